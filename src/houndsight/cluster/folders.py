"""What lies in folders, or below addresses, as one machine looks it up and tells another."""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from houndsight import remote
from houndsight.errors import InputError
from houndsight.listing import scan
from houndsight.types import Found

__all__ = ["Entries", "Listed", "answered", "asked", "look_into", "looked_into", "told"]


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


def looked_into(block: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Look into a block's folders, on the node that this is called on."""
    entries = np.empty(len(block["folder"]), object)
    entries[:] = [_written(look_into(bytes(folder))) for folder in block["folder"]]
    return {"folder": block["folder"], "entries": entries}


def answered(block: dict[str, NDArray[Any]]) -> dict[bytes, Entries]:
    """Return what `looked_into` found, by folder."""
    return {
        bytes(folder): _read(text)
        for folder, text in zip(block["folder"], block["entries"], strict=True)
    }


def asked(block: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """List what is below a block's addresses, on the node that this is called on."""
    found = np.empty(len(block["folder"]), object)
    found[:] = [_listed_below(bytes(folder)) for folder in block["folder"]]
    return {"folder": block["folder"], "found": found}


def _listed_below(address: bytes) -> str:
    try:
        found = remote.members(address)
    except InputError:
        return json.dumps(None)
    return json.dumps([(_text(one.path), one.size, one.mtime_ns) for one in found])


def told(block: dict[str, NDArray[Any]]) -> dict[bytes, list[Found] | None]:
    """Return what `asked` found, by address; None where the node could not list it."""
    return {
        bytes(folder): _read_below(text)
        for folder, text in zip(block["folder"], block["found"], strict=True)
    }


def _read_below(text: str) -> list[Found] | None:
    found = json.loads(text)
    if found is None:
        return None
    return [Found(_bytes(name), size, mtime_ns, 0) for name, size, mtime_ns in found]


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _written(entries: Entries) -> str:
    """Put what was seen into JSON: an error as its number, a name's odd bytes as surrogates."""
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


def _read(text: str) -> Entries:
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
