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
from typing import BinaryIO, Protocol

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from houndsight.maps import Space

__all__ = ["FOLDER", "damaged", "derived", "extend", "forget", "mapped", "rows_file"]

FOLDER = "spaces"
HEADER = 4096
# Mark, dim, CRC-32 of the last row's stored vector, rows, CRC-32 of all rows.
_FIELDS = struct.Struct("<8sIIQI")
_MARK = b"hsrows1\0"
BLOCK = 4096


class Making(Protocol):
    """What makes rows of vectors."""

    @property
    def dim(self) -> int:
        """How many numbers a row has."""
        ...

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return rows (n, self.dim) of vectors."""
        ...


def rows_file(folder: Path, key: str, generation: int) -> Path:
    """Return the file of a generation's rows in what is known by a key."""
    return folder / FOLDER / f"{key}-{generation}.rows"


def derived(
    folder: Path, generation: int, space: Space, vectors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return what the rows of a vector file are in a space, float32 (rows, space.dim).

    What is missing in the file is computed and added; where the gallery may not be written, in
    memory.
    """
    path = rows_file(folder, space.key, generation)
    try:
        found = mapped(path, space, vectors)
        if len(found) < len(vectors):
            path.parent.mkdir(exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                extend(path, space, vectors)
            found = mapped(path, space, vectors)
    except OSError:
        blocks = range(0, len(vectors), BLOCK)
        return np.concatenate([space(vectors[start : start + BLOCK]) for start in blocks])
    return found


def mapped(path: Path, making: Making, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Map the rows that a file has of these vectors, float32 (n, making.dim); perhaps none."""
    rows = 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        rows, _ = _whole(file, making, vectors)
    if not rows:
        return np.empty((0, making.dim), np.float32)
    return np.asarray(np.memmap(path, np.dtype("<f4"), "r", HEADER, shape=(rows, making.dim)))


def extend(path: Path, making: Making, vectors: NDArray[np.float32]) -> None:
    """Add the rows that a file lacks of these vectors; to be called by one at a time."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        known, crc = _whole(file, making, vectors)
        if known == len(vectors):
            return
        for start in range(known, len(vectors), BLOCK):
            rows = making(vectors[start : start + BLOCK])
            data = np.ascontiguousarray(rows, dtype="<f4").tobytes()
            crc = zlib.crc32(data, crc)
            file.seek(HEADER + start * making.dim * 4)
            file.write(data)
        _sync(file)
        last = zlib.crc32(vectors[-1].tobytes())
        file.seek(0)
        file.write(_FIELDS.pack(_MARK, making.dim, last, len(vectors), crc))
        _sync(file)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def forget(folder: Path, generation: int | None) -> None:
    """Delete the files of all generations but this one; of all where it is None."""
    for path in (folder / FOLDER).glob("*"):
        if generation is None or not path.stem.endswith(f"-{generation}"):
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
        if mark == bytes(len(_MARK)):  # rows without a header: nor was anything here
            continue
        if mark != _MARK or left or found != crc:
            yield f"{FOLDER}/{path.name}: its checksum does not fit; delete it, it is made again"


def _whole(file: BinaryIO, making: Making, vectors: NDArray[np.float32]) -> tuple[int, int]:
    """Return how many rows of the file are whole and made from these vectors, and their CRC."""
    try:
        mark, dim, last, rows, crc = _FIELDS.unpack(file.read(_FIELDS.size))
    except struct.error:  # empty or cut off
        return 0, 0
    size = os.fstat(file.fileno()).st_size
    fits = mark == _MARK and dim == making.dim and size >= HEADER + rows * dim * 4
    # More rows than the vector file has, or others: another catalogue was put in its place.
    if not fits or not 0 < rows <= len(vectors) or zlib.crc32(vectors[rows - 1].tobytes()) != last:
        return 0, 0
    return rows, crc
