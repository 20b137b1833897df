"""Rows of a vector file as they are in another space, kept in a file beside it.

A header of 4,096 bytes, then float32 rows in the order of the vector file. The header counts the
rows that are whole and holds their checksum, and that of the stored vector that the last of them
was made from; it is written after the rows, and both are synced. The file can be deleted at any
moment: it is made again.
"""

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from houndsight.maps import Space

__all__ = ["damaged", "derived", "forget"]

FOLDER = "spaces"
HEADER = 4096
# Mark, dim, CRC-32 of the last row's stored vector, rows, CRC-32 of all rows.
_FIELDS = struct.Struct("<8sIIQI")
_MARK = b"hsrows1\0"
BLOCK = 4096


def derived(
    folder: Path, generation: int, space: Space, vectors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return what the rows of a vector file are in a space, float32 (rows, space.dim).

    What is missing in the file is computed and added; where the gallery may not be written, in
    memory.
    """
    path = folder / FOLDER / f"{space.key}-{generation}.rows"
    if len(vectors) == 0:
        return np.empty((0, space.dim), np.float32)
    try:
        if not path.exists() or _missing(path, space, vectors):
            path.parent.mkdir(exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                _extend(path, space, vectors)
        return np.memmap(path, np.dtype("<f4"), "r", HEADER, shape=(len(vectors), space.dim))
    except OSError:
        blocks = range(0, len(vectors), BLOCK)
        return np.concatenate([space(vectors[start : start + BLOCK]) for start in blocks])


def _missing(path: Path, space: Space, vectors: NDArray[np.float32]) -> bool:
    with path.open("rb") as file:
        return _whole(file.fileno(), space, vectors)[0] < len(vectors)


def _extend(path: Path, space: Space, vectors: NDArray[np.float32]) -> None:
    with path.open("r+b" if path.exists() else "w+b") as file:
        known, crc = _whole(file.fileno(), space, vectors)
        for start in range(known, len(vectors), BLOCK):
            rows = space(vectors[start : start + BLOCK])
            data = np.ascontiguousarray(rows, dtype="<f4").tobytes()
            crc, place = zlib.crc32(data, crc), HEADER + start * space.dim * 4
            while data:
                written = os.pwrite(file.fileno(), data, place)
                data, place = data[written:], place + written
        os.fsync(file.fileno())
        last = zlib.crc32(vectors[-1].tobytes())
        header = _FIELDS.pack(_MARK, space.dim, last, len(vectors), crc)
        os.pwrite(file.fileno(), header, 0)
        os.fsync(file.fileno())


def forget(folder: Path, generation: int) -> None:
    """Delete the files of all generations but this one."""
    for path in (folder / FOLDER).glob("*.rows"):
        if not path.name.endswith(f"-{generation}.rows"):
            with contextlib.suppress(OSError):
                path.unlink()


def damaged(folder: Path) -> Iterator[str]:
    """Say which files do not hold what was written."""
    for path in sorted((folder / FOLDER).glob("*.rows")):
        with path.open("rb") as file:
            try:
                mark, dim, _, rows, crc = _FIELDS.unpack(file.read(_FIELDS.size))
            except struct.error:  # nothing was finished here
                continue
            file.seek(HEADER)
            found, left = 0, rows * dim * 4
            while left and (data := file.read(min(left, 1 << 24))):
                found, left = zlib.crc32(data, found), left - len(data)
        if mark != _MARK or left or found != crc:
            yield f"{FOLDER}/{path.name}: its checksum does not fit; delete it, it is made again"


def _whole(handle: int, space: Space, vectors: NDArray[np.float32]) -> tuple[int, int]:
    """Return how many rows of the file are whole and made from these vectors, and their CRC."""
    try:
        mark, dim, last, rows, crc = _FIELDS.unpack(os.pread(handle, _FIELDS.size, 0))
    except struct.error:  # empty or cut off
        return 0, 0
    size = os.fstat(handle).st_size
    fits = mark == _MARK and dim == space.dim and size >= HEADER + rows * dim * 4
    # More rows than the vector file has, or others: another catalogue was put in its place.
    if not fits or not 0 < rows <= len(vectors) or zlib.crc32(vectors[rows - 1].tobytes()) != last:
        return 0, 0
    return rows, crc
