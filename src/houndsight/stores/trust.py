"""Whether a gallery's folder is what houndsight makes: it may come from somebody else.

Nothing in a gallery is a program. What could act all the same is refused before it can: links that
lead out of the folder, pipes that block, what SQLite would run or delete when it opens the file.
"""

import os
import sqlite3
from pathlib import Path

from houndsight.errors import DamagedGallery

__all__ = ["check_files", "check_schema"]

# Folders of a gallery in which houndsight writes under names of its own.
_WRITTEN = ("", "spaces", "thumbnails", "photos")
# What ends a rollback journal that names a further file (https://sqlite.org/fileformat.html, 3.0).
_SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")


def check_files(folder: Path, catalogue: str) -> None:
    """Refuse links, pipes and devices in a gallery, and a journal that makes SQLite delete.

    Parameters
    ----------
    folder
        The gallery, which may itself be reached by a link.
    catalogue
        Name of its catalogue.

    Raises
    ------
    DamagedGallery
    """
    for name in _WRITTEN:
        try:
            with os.scandir(folder / name) as entries:
                odd = next((entry for entry in entries if not _plain(entry)), None)
        except OSError:  # absent, or not ours to read: nothing is read or written there
            continue
        if odd is not None:
            kind = "a link" if odd.is_symlink() else "neither a file nor a folder"
            raise DamagedGallery(
                f"is {kind}, which no gallery has: what is written there would go elsewhere",
                path=odd.path,
                remedy="Put the file itself in its place, or take it away",
            )
    journal = folder / f"{catalogue}-journal"
    # SQLite deletes the file that such a journal names, wherever that is.
    if journal.is_file() and _ends_with(journal, _SUPER_JOURNAL):
        raise DamagedGallery(
            "names another file, which SQLite would delete",
            path=journal,
            remedy="houndsight writes no such journal: do not use this gallery",
        )


def _plain(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)


def _ends_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(mark)))
        return file.read(len(mark)) == mark


def check_schema(db: sqlite3.Connection, statements: tuple[str, ...], path: Path) -> None:
    """Refuse a catalogue with anything but the tables and indexes that some statements make.

    A trigger, view or virtual table of somebody else's would take part in what is read and written.

    Raises
    ------
    DamagedGallery
    """
    for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_schema"):
        # Indexes that SQLite makes by itself have no statement; ANALYZE makes tables of its own.
        own = (kind == "index" and sql is None) or str(name).startswith("sqlite_stat")
        if not own and sql not in statements:
            raise DamagedGallery(
                f"has the {kind} {str(name)[:100]!r}, which is none of houndsight's",
                path=path,
                remedy="Do not use this gallery, or restore it from a backup",
            )
