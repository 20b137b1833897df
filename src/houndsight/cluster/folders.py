"""What lies in folders, or below addresses, as one machine looks it up and tells another."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from houndsight import remote
from houndsight.errors import InputError
from houndsight.listing import scan
from houndsight.types import Found

__all__ = [
    "Entries",
    "Listed",
    "entries_read",
    "entries_told",
    "look_into",
    "members_read",
    "members_told",
    "of_each",
]


class Listed(NamedTuple):
    """An entry of a folder, as `os.DirEntry` has it; of hidden ones only the name is looked up."""

    name: bytes
    linked: bool
    error: OSError | None = None
    st_mode: int = 0
    st_size: int = 0
    st_mtime_ns: int = 0
    st_ino: int = 0

    def stat(self) -> Listed:
        """Return what the system said of it, links followed; OSError where it could not."""
        if self.error is not None:
            raise self.error
        return self

    def is_symlink(self) -> bool:
        """Return whether it is a link."""
        return self.linked

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder that is to be looked into: not a link, nor hidden."""
        return stat.S_ISDIR(self.st_mode) and not self.linked


# What lies in a folder, or why it cannot be read.
Entries = list[Listed] | OSError


def look_into(folder: bytes) -> Entries:
    """Return what lies in a folder."""
    try:
        return [_listed(entry) for entry in scan(folder)]
    except OSError as error:
        return error


def _listed(entry: os.DirEntry[bytes]) -> Listed:
    linked = entry.is_symlink()
    if entry.name.startswith(b"."):
        return Listed(entry.name, linked)
    try:
        info = entry.stat()
    except OSError as error:
        return Listed(entry.name, linked, error)
    of = info.st_mode, info.st_size, info.st_mtime_ns, info.st_ino
    return Listed(entry.name, linked, None, *of)


def of_each(tell: Callable[[bytes], str], block: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Tell something of each of a block's folders, on the node that this is called on."""
    told = np.empty(len(block["folder"]), object)
    told[:] = [tell(bytes(folder)) for folder in block["folder"]]
    return {"folder": block["folder"], "told": told}


def members_told(address: bytes) -> str:
    """Tell in JSON what `remote.members` returns; null where this machine cannot list it."""
    try:
        found = remote.members(address)
    except InputError:
        return json.dumps(None)
    return json.dumps([(_text(one.path), one.size, one.mtime_ns) for one in found])


def members_read(text: str) -> list[Found] | None:
    """Return what `members_told` tells; None for null."""
    found = json.loads(text)
    if found is None:
        return None
    return [Found(_bytes(name), size, mtime_ns, 0) for name, size, mtime_ns in found]


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def entries_told(folder: bytes) -> str:
    """Tell in JSON what lies in a folder: an error as its number, odd bytes as surrogates."""
    entries = look_into(folder)
    if isinstance(entries, OSError):
        return json.dumps(entries.errno)
    return json.dumps(
        [
            (
                _text(entry.name),
                entry.linked,
                None if entry.error is None else entry.error.errno or errno.EIO,
                *entry[3:],
            )
            for entry in entries
        ]
    )


def entries_read(text: str) -> Entries:
    """Return what `entries_told` tells."""
    found = json.loads(text)
    if not isinstance(found, list):
        return _error(found)
    return [
        Listed(
            _bytes(name),
            linked,
            None if number is None else _error(number),
            *of,
        )
        for name, linked, number, *of in found
    ]


def _error(number: int | None) -> OSError:
    return OSError(number or errno.EIO, os.strerror(number or errno.EIO))
