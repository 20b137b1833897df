"""Photos in folders, in archives and at addresses: which there are, and what else lies there."""

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from houndsight import archives, remote
from houndsight.errors import InputError
from houndsight.images import MAX_BYTES, TOO_LARGE, is_photo, os_reason
from houndsight.types import Found, Skipped

__all__ = ["Entry", "Listing", "Members", "Scan", "find", "is_place", "scan"]

# Far deeper than people nest folders; Python's stack ends at about 490.
MAX_DEPTH = 250
# What macOS puts into archives beside the files.
RESOURCES = b"__MACOSX"


class State(Protocol):
    """What the system says of a file or folder, as `os.stat_result` has it."""

    @property
    def st_mode(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ino(self) -> int: ...


class Entry(Protocol):
    """What lies in a folder, as `os.DirEntry` has it."""

    @property
    def name(self) -> bytes: ...  # noqa: D102
    def stat(self) -> State: ...  # noqa: D102
    def is_symlink(self) -> bool: ...  # noqa: D102


# Returns what lies in a folder, sorted by name; OSError where it cannot be read.
Scan: TypeAlias = Callable[[bytes], Sequence[Entry]]
# Returns the files below an address, as `remote.members` does.
Members: TypeAlias = Callable[[bytes], list[Found]]


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds.

    Attributes
    ----------
    photos
        The photos, sorted by path.
    skipped
        What is named like a photo but cannot be one, and folders that cannot be read.
    unseen
        Relative paths of folders that could not be read: nothing is known of what they hold.
    passed_over
        How many other files there are, by extension (``hidden`` for names that begin with a dot).
    """

    photos: list[Found] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    unseen: list[bytes] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)


def scan(folder: bytes) -> list[os.DirEntry[bytes]]:
    """Return what lies in a folder, sorted by name; OSError where it cannot be read."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def find(
    root: bytes,
    *,
    leave_out_with: bytes | None = None,
    scan: Scan = scan,
    members: Members | None = None,
) -> Listing:
    """List the photos under a folder, links followed, in an archive or below an address.

    They are sorted by path.

    Parameters
    ----------
    root
        The folder, a .zip or .tar file, or an address such as ``s3://bucket/dogs``.
    leave_out_with
        Folders that hold a file of this name are left out, with all they hold.
    scan
        What looks into folders.
    members
        What lists an address; `remote.members` when None.

    Raises
    ------
    InputError
        If the root is absent, neither folder nor archive, or cannot be read.
    """
    if remote.is_address(root):
        if archives.is_called_archive(root):
            raise InputError(
                "is an archive at an address; archives are read from disks only",
                path=root,
                remedy="Fetch it, and name the file",
            )
        return _among((members or remote.members)(root), root, leave_out_with)
    if archives.is_archive(root):
        return _among(archives.members(root), root, leave_out_with)
    try:
        info = os.stat(root)
        entries = scan(root)
    except FileNotFoundError:
        raise InputError(
            "there is no such folder", path=root, remedy="Check the path, or mount the drive"
        ) from None
    except NotADirectoryError:
        raise InputError(
            "is a file, neither folder nor archive",
            path=root,
            remedy="Name the folder that holds the photos, or a .zip or .tar file",
        ) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=root) from error
    walk = _Walk(root, leave_out_with, scan)
    walk.folder(b"", entries, {(info.st_dev, info.st_ino)})
    walk.listing.photos.sort(key=lambda found: found.path)
    return walk.listing


def is_place(path: bytes) -> bool:
    """Return whether a path is one of many photos: a folder, or an archive.

    An address is, unless it ends like a photo or has a query.
    """
    if remote.is_address(path):
        return not is_photo(path) and b"?" not in path
    return os.path.isdir(path) or archives.is_archive(path)


def _among(members: list[Found], root: bytes, leave_out_with: bytes | None) -> Listing:
    """Tell photos from other files, where files are listed in one go."""
    listing = Listing()
    galleries = tuple(
        os.path.join(os.path.dirname(member.path), b"")
        for member in members
        if os.path.basename(member.path) == leave_out_with
    )
    for member in members:
        parts = member.path.split(b"/")
        if member.path.startswith(galleries):
            continue
        if any(part in (b"", b".", b"..") for part in parts):
            # No path that could be found again below the archive's own.
            if is_photo(member.path):
                path = os.path.join(root, member.path.lstrip(b"/"))
                listing.skipped.append(Skipped(path, "has a name that is no path"))
        elif parts[0] == RESOURCES or any(part.startswith(b".") for part in parts):
            listing.passed_over["hidden"] += 1
        elif not is_photo(member.path):
            listing.passed_over[_ending(member.path)] += 1
        elif member.size > MAX_BYTES:
            listing.skipped.append(Skipped(os.path.join(root, member.path), TOO_LARGE))
        else:
            listing.photos.append(member)
    listing.photos.sort(key=lambda found: found.path)
    return listing


def _ending(name: bytes) -> str:
    extension = os.path.splitext(name)[1].decode("ascii", "replace").lower()
    return extension or "no extension"


class _Walk:
    """One walk through a root, and what it found so far."""

    def __init__(self, root: bytes, leave_out_with: bytes | None, scan: Scan) -> None:
        self.root = root
        self.leave_out_with = leave_out_with
        self.scan = scan
        self.listing = Listing()
        self.linked: set[tuple[int, int]] = set()

    def folder(self, inside: bytes, entries: Sequence[Entry], above: set[tuple[int, int]]) -> None:
        """Add what one folder holds; `above` are the folders it lies in, itself included."""
        listing = self.listing
        if any(entry.name == self.leave_out_with for entry in entries):
            return
        for entry in entries:
            path = os.path.join(inside, entry.name)
            if entry.name.startswith(b"."):
                listing.passed_over["hidden"] += 1
                continue
            try:
                info = entry.stat()
            except OSError as error:
                # It may lead to a drive that is away: what was below it is not known to be gone.
                listing.unseen.append(path)
                if is_photo(entry.name) or error.errno == errno.ELOOP:
                    self.skip(path, os_reason(error))
                else:
                    listing.passed_over["broken link"] += 1
                continue
            if stat.S_ISDIR(info.st_mode):
                self.inner(path, above, linked=entry.is_symlink())
            elif not is_photo(entry.name):
                listing.passed_over[_ending(entry.name)] += 1
            elif not stat.S_ISREG(info.st_mode):
                self.skip(path, "is no regular file (a pipe, socket or device)")
            else:
                listing.photos.append(Found(path, info.st_size, info.st_mtime_ns, info.st_ino))

    def inner(self, path: bytes, above: set[tuple[int, int]], *, linked: bool) -> None:
        """Go into a folder, unless that would lead round in a circle."""
        listing = self.listing
        full = os.path.join(self.root, path)
        try:
            # Asked here and now: on Windows an entry does not know, and another machine's numbers
            # are its own.
            info = os.stat(full)
        except OSError as error:
            self.unread(path, error)
            return
        identity = (info.st_dev, info.st_ino)
        if identity in above:
            self.skip(path, "is a link that leads back to a folder it lies in")
            return
        if linked and identity in self.linked:
            # Folders that link to each other would be walked along every path between them.
            listing.passed_over["link to a folder that was listed by another link"] += 1
            return
        if len(above) > MAX_DEPTH:
            self.skip(path, f"lies more than {MAX_DEPTH} folders deep")
            listing.unseen.append(path)
            return
        try:
            entries = self.scan(full)
        except OSError as error:
            self.unread(path, error)
            return
        if linked:
            self.linked.add(identity)
        before = len(listing.photos)
        self.folder(path, entries, above | {identity})
        if is_photo(path) and len(listing.photos) == before:
            self.skip(path, "is a folder named like a photo, with no photo in it")

    def unread(self, path: bytes, error: OSError) -> None:
        """Put a folder on record of which nothing is known."""
        self.skip(path, f"a folder that {os_reason(error)}")
        self.listing.unseen.append(path)

    def skip(self, path: bytes, reason: str) -> None:
        """Put a path on record that cannot be taken in."""
        self.listing.skipped.append(Skipped(os.path.join(self.root, path), reason))
