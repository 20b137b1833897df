"""Reads files of weights into arrays: safetensors, PyTorch's two formats without PyTorch, HDF5.

A file is known by its content, whatever it is called. Files come from strangers: nothing in them is
run (see `unpickle`), and nothing they say makes this allocate more than a few times their size.
"""

from __future__ import annotations

import json
import math
import os
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from houndsight.errors import CheckpointError
from houndsight.models.hdf5 import SIGNATURE, read_hdf5
from houndsight.models.pytorch import as_float32, numpy_dtype, read_legacy, read_zip, take
from houndsight.models.unpickle import Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_checkpoint"]

_MAX_HEADER: Final = 100_000_000  # safetensors' own limit
_SAFETENSORS_DTYPES: Final = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "bfloat16",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
_AGAIN: Final = "Download the file again, or give a state dict saved as .pth or .safetensors"


def _read_safetensors(file: IO[bytes], size: int) -> dict[str, NDArray[Any]]:
    """Read safetensors: a JSON header and raw data (https://huggingface.co/docs/safetensors).

    Not by the `safetensors` package: whether it can give NumPy a bfloat16 array depends on whether
    `ml_dtypes` has been imported.
    """
    import numpy as np

    (length,) = struct.unpack("<Q", take(file, 8, size))
    header = json.loads(take(file, length, size))
    start = 8 + length
    arrays = {}
    left = size - start
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        if kind not in _SAFETENSORS_DTYPES:
            raise Refused(f"its tensor {name[:100]!r} has the type {str(kind)[:20]!r}")
        dtype = numpy_dtype(_SAFETENSORS_DTYPES[kind])
        numbers = [*shape, begin, end]
        if any(type(n) is not int or n < 0 for n in numbers) or len(shape) > 64:
            raise Refused("it gives a tensor an impossible shape")
        if begin > end or start + end > size or end - begin != math.prod(shape) * dtype.itemsize:
            raise Refused("it gives a tensor an impossible place")
        left -= end - begin
        if left < 0:
            raise Refused("it describes more data than it holds")
        file.seek(start + begin)
        data = np.frombuffer(take(file, end - begin, size), dtype)
        arrays[name] = as_float32(data, _SAFETENSORS_DTYPES[kind]).reshape(shape)
    if not arrays:
        raise Refused("it holds no tensors")
    return arrays


def _read(file: IO[bytes], size: int) -> dict[str, NDArray[Any]]:
    head = file.read(64)
    file.seek(0)
    if not head:
        raise Refused("the file is empty")
    if head.startswith(SIGNATURE):
        return read_hdf5(file, size)
    if head.startswith(b"PK"):
        return read_zip(file, size)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_HEADER:
        return _read_safetensors(file, size)
    if head.startswith(b"\x80"):
        return read_legacy(file, size)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise Refused("it is a web page, not weights")
    raise Refused("it is no file of weights")


def read_checkpoint(path: Path) -> dict[str, NDArray[Any]]:
    """Read all tensors of a checkpoint.

    A state dict inside a dict under ``state_dict`` or ``model`` is found, a prefix ``module.`` that
    every name has (`torch.nn.DataParallel`) is taken off, and what is no tensor is left out.
    Weights of Keras are called by layer and variable, ``conv1_conv.kernel``.

    Parameters
    ----------
    path
        ``.safetensors``, ``.pth`` of either format, or ``.h5`` as Keras writes it; known by
        content, not by name.

    Returns
    -------
    dict of str to ndarray
        C-contiguous arrays, some read-only: float32 for float16, bfloat16, float32 and float64;
        integers and booleans as stored.

    Raises
    ------
    CheckpointError
        The file cannot be read, is damaged, or holds something other than tensors.
    InputError
        It is HDF5, and what reads that is not installed.
    """
    import zipfile

    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            tensors = _read(file, size)
    except Refused as error:
        raise CheckpointError(str(error), path=path, remedy=_AGAIN) from error
    except OSError as error:
        cause = error.strerror or type(error).__name__
        raise CheckpointError(f"it cannot be read: {cause}", path=path) from error
    # What the parsers beneath raise for damaged files: bad numbers, missing keys, lengths that
    # contradict each other, nesting without end, an encrypted or unknown kind of zip entry.
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        EOFError,
        MemoryError,
        RuntimeError,
        struct.error,
        zipfile.BadZipFile,
    ) as error:
        raise CheckpointError("it is damaged", path=path, remedy=_AGAIN) from error
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): array for name, array in tensors.items()}
    return tensors
