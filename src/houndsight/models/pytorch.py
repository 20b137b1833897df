"""Reads PyTorch's two formats of checkpoint without PyTorch, into arrays.

`read_zip` reads what PyTorch writes since 1.6, `read_legacy` what it wrote before (and still does
when asked). Neither runs anything (see `unpickle`) nor allocates more than a few times the file.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any, Final

from houndsight.models.unpickle import Refused, Storage, Tensor, unpickle

if TYPE_CHECKING:
    import zipfile

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["as_float32", "numpy_dtype", "read_legacy", "read_zip", "take"]

_LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C  # torch/serialization.py, MAGIC_NUMBER
_LEGACY_PROTOCOL: Final = 1001
_MAX_PICKLE: Final = 64 << 20  # descriptions alone: a real file's has less than a megabyte
# Tensors may share a storage and grow when they become float32. Honest files stay far below this.
_MAX_GROWTH: Final = 8


class _Bounded:
    """A file whose ``read(n)`` never asks for more than is left (see `unpickle`)."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._size = size
        self.readline = file.readline

    def read(self, count: int = -1) -> bytes:
        left = max(0, self._size - self._file.tell())
        return self._file.read(left if count < 0 else min(count, left))


def as_float32(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Make floats float32 (bfloat16 is the upper half of one) and leave integers as they are."""
    import numpy as np

    if dtype == "bfloat16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    # A double beyond float32's range becomes infinite, which is refused when a graph is made.
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=False) if values.dtype.kind == "f" else values


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the dtype that elements are read as: bfloat16 as unsigned 16-bit numbers."""
    import numpy as np

    return np.dtype("<u2" if name == "bfloat16" else name)


def _state_dict(loaded: object) -> dict[str, Tensor]:
    """Find the tensors in what a checkpoint holds: wrappers and everything else are left behind."""
    for _ in range(3):
        if not isinstance(loaded, dict):
            break
        inner = [loaded.get(name) for name in ("state_dict", "model")]
        wrapped = next((value for value in inner if isinstance(value, dict)), None)
        if wrapped is None:
            break
        loaded = wrapped
    if not isinstance(loaded, dict):
        raise Refused("it holds no dictionary of tensors")
    tensors = {k: v for k, v in loaded.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if not tensors:
        raise Refused("it holds no tensors")
    return tensors


def _gather(
    tensors: Mapping[str, Tensor], read: Callable[[Storage], bytes], file_size: int
) -> dict[str, NDArray[Any]]:
    """Read the storages that the tensors need, each once, and shape the tensors.

    Strides are honoured: a transposed or channels-last tensor is stored as it lay in memory.
    """
    import numpy as np

    storages: dict[str, NDArray[Any]] = {}
    arrays = {}
    grown = 0
    for name, tensor in tensors.items():
        storage, count = tensor.storage, math.prod(tensor.shape)
        steps = zip(tensor.shape, tensor.strides, strict=True)
        last = tensor.offset + sum((extent - 1) * step for extent, step in steps)
        # The count is bounded too: a stride of zero would repeat one element for ever.
        if count and (last >= storage.count or count > storage.count):
            raise Refused("it has a tensor that reaches beyond its storage")
        grown += 4 * count
        if grown > _MAX_GROWTH * file_size:
            raise Refused("it describes more data than it holds")
        if storage.key not in storages:
            data = np.frombuffer(read(storage), numpy_dtype(storage.dtype))
            storages[storage.key] = data
        data = storages[storage.key]
        step_bytes = [step * data.itemsize for step in tensor.strides]
        view = np.lib.stride_tricks.as_strided(
            data[tensor.offset :] if count else data[:0], tensor.shape, step_bytes
        )
        arrays[name] = np.ascontiguousarray(as_float32(view, storage.dtype))
        # ascontiguousarray makes a number an array of one; the checkpoint's shape is kept.
        arrays[name] = arrays[name].reshape(tensor.shape)
    return arrays


def take(file: IO[bytes], count: int, size: int) -> bytes:
    """Read exactly `count` bytes of a file of `size` bytes, or refuse."""
    if count > size - file.tell():
        raise Refused("it ends too early")
    return file.read(count)


def read_legacy(file: IO[bytes], size: int) -> dict[str, NDArray[Any]]:
    """Read the format of PyTorch before 1.6: five pickles, then the storages one after another."""
    bounded: Any = _Bounded(file, size)
    if unpickle(bounded) != _LEGACY_MAGIC or unpickle(bounded) != _LEGACY_PROTOCOL:
        raise Refused("it is a pickle, but not a PyTorch checkpoint")
    system = unpickle(bounded)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Refused("it was written on a big-endian machine")
    storages: dict[str, Storage] = {}
    tensors = _state_dict(unpickle(bounded, storages))
    keys = unpickle(bounded)
    where: dict[str, int] = {}
    if not isinstance(keys, list):
        raise Refused("it has no list of storages")
    for key in keys:
        (count,) = struct.unpack("<q", take(file, 8, size))
        if not isinstance(key, str) or key not in storages or count != storages[key].count:
            raise Refused("it has a storage of another size than it says")
        where[key] = file.tell()
        length = count * numpy_dtype(storages[key].dtype).itemsize
        if length > size - file.tell():
            raise Refused("it ends too early")
        file.seek(length, os.SEEK_CUR)

    def read(storage: Storage) -> bytes:
        if storage.key not in where:
            raise Refused("it lacks a storage")
        file.seek(where[storage.key])
        return take(file, storage.count * numpy_dtype(storage.dtype).itemsize, size)

    return _gather(tensors, read, size)


def _entry(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    """Read a file of the archive, if it is stored as it is and no larger than the archive."""
    import zipfile

    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise Refused("it is compressed, which PyTorch never does")
    if not 0 <= info.header_offset <= size - info.file_size:
        raise Refused("it ends too early")
    return archive.read(info)  # checks the CRC


def read_zip(file: IO[bytes], size: int) -> dict[str, NDArray[Any]]:
    """Read the format of PyTorch since 1.6: a zip archive of one pickle and the storages."""
    import io
    import zipfile

    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise Refused("it is a zip archive, but not a PyTorch checkpoint")
        folder = pickles[0].removesuffix("data.pkl")
        if folder + "constants.pkl" in names or any(n.startswith(folder + "code/") for n in names):
            raise Refused("it is a TorchScript program, not a state dict")
        order = folder + "byteorder"
        if order in names and _entry(archive, order, size) != b"little":
            raise Refused("it was written on a big-endian machine")
        if archive.getinfo(pickles[0]).file_size > _MAX_PICKLE:
            raise Refused("its description is too long")
        pickled = io.BytesIO(_entry(archive, pickles[0], size))
        left = size

        def read(storage: Storage) -> bytes:
            nonlocal left
            data = _entry(archive, f"{folder}data/{storage.key}", size)
            left -= len(data)  # entries may overlap, which is another way to blow a file up
            if left < 0 or len(data) != storage.count * numpy_dtype(storage.dtype).itemsize:
                raise Refused("it has a storage of another size than it says")
            return data

        return _gather(_state_dict(unpickle(pickled)), read, size)
