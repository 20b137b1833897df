"""Rows of what workers have read and embedded, as columns on their way to who takes them in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from houndsight.reading import Read
from houndsight.taking import Batch
from houndsight.types import Found

__all__ = ["Answer", "answers", "answers_packed", "packed", "unpacked"]

Block = dict[str, NDArray[Any]]


class Answer(NamedTuple):
    """What has become of a photo that a node took in.

    Attributes
    ----------
    kind
        What has happened to it, as `Gallery.add` tells.
    embedded
        Whether it went through the network.
    digest, thumbnail
        What the thumbnail's file is called by, and the JPEG; empty where there is none.
    error, path, cause, remedy
        Why it could not be taken in, as `houndsight.errors` has it: the name of the error's class,
        and what it says; empty where it was.
    """

    kind: str
    embedded: bool = False
    digest: bytes = b""
    thumbnail: bytes = b""
    error: str = ""
    path: bytes = b""
    cause: str = ""
    remedy: str = ""


def packed(numbers: NDArray[np.int64], done: Batch, node: str) -> Block:
    """Put what was read into columns; bytes are kept as such, None as what is empty.

    A file's position means nothing elsewhere, and need not fit into 63 bits.
    """
    reads = [read for read, _ in done]
    return {
        "n": numbers,
        "path": _objects(read.found.path for read in reads),
        "listed_size": np.array([read.found.size for read in reads], np.int64),
        "listed_mtime_ns": np.array([read.found.mtime_ns for read in reads], np.int64),
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


def _objects(values: Iterable[Any]) -> NDArray[np.object_]:
    listed = list(values)
    column = np.empty(len(listed), object)
    column[:] = listed
    return column


def unpacked(block: Block) -> Batch:
    """Return what `packed` put into columns."""
    count = len(block["n"])
    return [_row({name: column[at] for name, column in block.items()}) for at in range(count)]


def _row(row: dict[str, Any]) -> tuple[Read, NDArray[np.float32] | None]:
    read = Read(
        Found(bytes(row["path"]), int(row["listed_size"]), int(row["listed_mtime_ns"]), 0),
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


def answers_packed(numbers: NDArray[np.int64], done: Iterable[Answer]) -> Block:
    """Put answers into columns."""
    columns = zip(*done, strict=True)
    return {"n": numbers} | dict(zip(Answer._fields, map(_objects, columns), strict=True))


def answers(block: Block) -> list[Answer]:
    """Return what `answers_packed` put into columns."""
    columns = (block[name].tolist() for name in Answer._fields)
    return [Answer(*row) for row in zip(*columns, strict=True)]
