"""Photos in .zip and .tar archives: listed and read where they lie; nothing is unpacked to disk."""

from __future__ import annotations

import lzma
import os
import tarfile
import threading
import weakref
import zipfile
import zlib
from calendar import timegm
from collections import OrderedDict
from typing import Protocol

from houndsight.errors import ImageError, InputError
from houndsight.types import Found

__all__ = ["holder", "is_archive", "is_called_archive", "members", "read"]

ENDINGS = (b".zip", b".tar", b".tar.gz", b".tgz", b".tar.bz2", b".tbz2", b".tar.xz", b".txz")
# Archives that are kept open: their tables of contents are read once.
OPEN = 4
# What the standard library raises for archives that are damaged, or of a kind that it lacks.
DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, RuntimeError, ValueError),
)


class _Opened(Protocol):
    members: dict[bytes, Found]

    def read(self, path: bytes, most: int) -> bytes: ...


def _name(name: str) -> bytes:
    """Return a member's path; ``tar cf photos.tar .`` puts ``./`` before each."""
    path = os.fsencode(name)
    while path.startswith(b"./"):
        path = path[2:]
    return path


class _Zip:
    def __init__(self, path: bytes) -> None:
        # It has a lock of its own, so that several threads can read.
        self._zip = zipfile.ZipFile(os.fsdecode(path))
        weakref.finalize(self, self._zip.close)
        self._infos = {
            _name(info.filename): info for info in self._zip.infolist() if not info.is_dir()
        }
        self.members = {
            name: Found(name, info.file_size, _stamp(info), info.header_offset)
            for name, info in self._infos.items()
        }

    def read(self, path: bytes, most: int) -> bytes:
        with self._zip.open(self._infos[path]) as file:
            return file.read(most)


def _stamp(info: zipfile.ZipInfo) -> int:
    # Seconds are even there, and of no time zone: the checksum tells of changes that they do not.
    return timegm((*info.date_time, 0, 0, 0)) * 10**9 + info.CRC % 10**9


class _Tar:
    def __init__(self, path: bytes) -> None:
        self._tar = tarfile.open(os.fsdecode(path), errorlevel=2)  # noqa: SIM115 - kept open
        weakref.finalize(self, self._tar.close)
        self._lock = threading.Lock()
        self._infos = {_name(info.name): info for info in self._tar if info.isreg()}
        # tarfile takes one that was cut off for one that ends there, and photos would seem gone.
        whole = self._tar.fileobj
        assert whole is not None  # noqa: S101 - it was opened above
        whole.seek(self._tar.offset)
        if whole.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("its end is missing")
        self.members = {
            name: Found(name, info.size, int(info.mtime * 10**9), info.offset_data)
            for name, info in self._infos.items()
        }

    def read(self, path: bytes, most: int) -> bytes:
        with self._lock:
            file = self._tar.extractfile(self._infos[path])
            assert file is not None  # noqa: S101 - only what is no regular file has none
            return file.read(most)


# By path, size and time of change. What is put out is closed when the last who reads it is done.
_kept: OrderedDict[tuple[bytes, int, int], _Opened] = OrderedDict()
_keeping = threading.Lock()


def _opened(path: bytes) -> _Opened:
    info = os.stat(path)
    key = path, info.st_size, info.st_mtime_ns
    with _keeping:
        if key not in _kept:
            _kept[key] = _Zip(path) if path.lower().endswith(b".zip") else _Tar(path)
            while len(_kept) > OPEN:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        return _kept[key]


def is_called_archive(path: bytes) -> bool:
    """Return whether a name ends like an archive's."""
    return path.lower().endswith(ENDINGS)


def is_archive(path: bytes) -> bool:
    """Return whether a file is an archive, by its name."""
    return is_called_archive(path) and os.path.isfile(path)


def holder(path: bytes) -> tuple[bytes, bytes] | None:
    """Return the archive that a path leads into, and the rest of the path; None if it does not."""
    above = os.path.dirname(path)
    while above and above != os.path.dirname(above):
        if is_archive(above):
            return above, path[len(above) + 1 :]
        above = os.path.dirname(above)
    return None


def members(archive: bytes) -> list[Found]:
    """Return the regular files in an archive; of several of one name the last.

    Times in a .zip have its checksum as the nanoseconds.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        return list(_opened(archive).members.values())
    except (OSError, *DAMAGE) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot be read as an archive: {reason}",
            path=archive,
            remedy="Is it still being copied? Else make it anew, or unpack it and name the folder",
        ) from error


def read(archive: bytes, member: bytes, most: int) -> tuple[bytes, int]:
    """Return a member's bytes, no more than `most`, and its time of change in nanoseconds.

    Raises
    ------
    ImageError
        If it is not there, or cannot be read.
    """
    path = os.path.join(archive, member)
    try:
        opened = _opened(archive)
        if member not in opened.members:
            raise ImageError("there is no such file in the archive", path=path)
        return opened.read(member, most), opened.members[member].mtime_ns
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}", path=path) from error
    except DAMAGE as error:
        raise ImageError(f"cannot be read from the archive: {error}", path=path) from error
