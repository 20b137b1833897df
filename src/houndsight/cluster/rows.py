"""Rows of what workers have read and embedded, as columns on their way to who writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight.reading import Read
from houndsight.types import Found

__all__ = ["packed", "unpacked"]


def packed(
    numbers: NDArray[np.int64], done: list[tuple[Read, NDArray[np.float32] | None]], node: str
) -> dict[str, Any]:
    """Put what was read into columns; bytes are kept as such, None as what is empty."""
    reads = [read for read, _ in done]
    return {
        "n": numbers,
        "digest": _objects(read.digest for read in reads),
        "size": np.array([read.size for read in reads], np.int64),
        "mtime_ns": np.array([read.mtime_ns for read in reads], np.int64),
        "width": np.array([read.width for read in reads], np.int64),
        "height": np.array([read.height for read in reads], np.int64),
        "thumbnail": _objects(read.thumbnail or b"" for read in reads),
        "vector": _objects(b"" if v is None else v.astype("<f4").tobytes() for _, v in done),
        "reason": _objects(
            "" if read.reason is None else f"{read.reason} (on {node})" for read in reads
        ),
        "passing": np.array([read.passing for read in reads], bool),
    }


def _objects(values: Iterator[Any]) -> NDArray[np.object_]:
    listed = list(values)
    column = np.empty(len(listed), object)
    column[:] = listed
    return column


def unpacked(
    found: Found, block: dict[str, NDArray[Any]], at: int
) -> tuple[Read, NDArray[np.float32] | None]:
    """Return what `packed` put into a row."""
    row = {name: column[at] for name, column in block.items()}
    read = Read(
        found,
        bytes(row["digest"]),
        size=int(row["size"]),
        mtime_ns=int(row["mtime_ns"]),
        width=int(row["width"]),
        height=int(row["height"]),
        thumbnail=bytes(row["thumbnail"]) or None,
        reason=str(row["reason"]) or None,
        passing=bool(row["passing"]),
    )
    vector = np.frombuffer(row["vector"], "<f4").astype(np.float32) if row["vector"] else None
    return read, vector
