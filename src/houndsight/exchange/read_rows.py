"""What a file says of its vectors, one by one, checked before anything is made of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from houndsight.errors import InputError, printable
from houndsight.exchange.incoming import Incoming
from houndsight.labels import clean

__all__ = ["Row", "read_rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """What a file says of one vector's photo.

    Attributes
    ----------
    path
        Where it is, absolute; a made-up name in the same folder where the file does not say.
    id, digest
        None where the file does not say.
    label, label_source
        As an item's; a label that is no folder's name is the user's, so that indexing keeps it.
    width, height
        0 where the file does not say.
    """

    path: bytes
    id: int | None
    digest: bytes | None
    label: str | None
    label_source: str | None
    width: int
    height: int


def read_rows(incoming: Incoming, base: bytes) -> Iterator[Row]:
    """Yield what the file says of each vector, in order.

    Parameters
    ----------
    incoming
        The file.
    base
        Where relative paths begin.

    Raises
    ------
    InputError
        If two vectors have one path or id, or a value cannot be used.
    """
    paths: set[bytes] = set()
    ids: set[int] = set()
    digits = len(str(incoming.shape[0]))
    for n in range(incoming.shape[0]):
        given = {name: values[n] for name, values in incoming.columns.items()}
        said = given.get("paths")
        path = _path(incoming, f"{n + 1:0{digits}d}" if said is None else said, base)
        if path in paths:
            raise _twice(incoming, "path", printable(path), n)
        paths.add(path)
        id_ = _id(incoming, given.get("ids"), n)
        if id_ is not None:
            if id_ in ids:
                raise _twice(incoming, "id", f"{id_:016x}", n)
            ids.add(id_)
        label = None if given.get("labels") is None else clean(_text(given["labels"]))
        by_folder = given.get("label_sources") in ("folder", b"folder")
        yield Row(
            path=path,
            id=id_,
            digest=_digest(incoming, given.get("digests"), n),
            label=label,
            label_source=None if label is None else ("folder" if by_folder else "user"),
            width=_pixels(given.get("widths")),
            height=_pixels(given.get("heights")),
        )


def _twice(incoming: Incoming, what: str, value: str, n: int) -> InputError:
    return InputError(
        f"gives vector {n + 1} the {what} {value}, which another has already",
        path=incoming.path,
        remedy=f"Give each a {what} of its own, or leave the {what}s out",
    )


def _wrong(incoming: Incoming, what: str, value: Any, n: int, wanted: str) -> InputError:
    return InputError(
        f"the {what} of vector {n + 1}, {printable(str(value))}, is not {wanted}",
        path=incoming.path,
        remedy=f"Leave the {what}s out if they are something else",
    )


def _text(value: Any) -> str:
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)


def _path(incoming: Incoming, value: Any, base: bytes) -> bytes:
    path = os.fsencode(_text(value))
    if b"\0" in path:
        raise InputError("holds a path with a zero byte in it", path=incoming.path)
    return os.path.normpath(os.path.join(base, path))


def _id(incoming: Incoming, value: Any, n: int) -> int | None:
    if value is None:
        return None
    text = _text(value)
    if isinstance(value, int) and 0 <= value < 1 << 63:
        return value
    if isinstance(value, str | bytes) and re.fullmatch("[0-7][0-9a-f]{15}", text):
        return int(text, 16)
    raise _wrong(incoming, "id", value, n, "a number from 0 to 2^63 - 1, nor its 16 hex digits")


def _digest(incoming: Incoming, value: Any, n: int) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, bytes) and len(value) == 32:
        return value
    if re.fullmatch("[0-9a-fA-F]{64}", _text(value)):
        return bytes.fromhex(_text(value))
    raise _wrong(incoming, "digest", value, n, "a SHA-256, as 64 hex digits or 32 bytes")


def _pixels(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 1 << 31 else 0
