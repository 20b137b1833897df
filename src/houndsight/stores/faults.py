"""What SQLite and the system say of a gallery's files, as errors that name the place."""

import sqlite3
from pathlib import Path

from houndsight.errors import DamagedGallery, GalleryError
from houndsight.stores.layout import CATALOGUE

__all__ = ["RESTORE", "UNREADABLE", "damaged_rows", "told"]

RESTORE = "Restore it from a backup, or index the photos into a new gallery"
# What a damaged catalogue leads to; the second where the name in SQLite's own message is damaged.
UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)
# Nothing is wrong with what is stored: the disk, its space or the rights are.
_OUTSIDE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
NAMED = 5  # items that a message names


def told(error: Exception, folder: Path) -> GalleryError:
    """Return what to raise for an error of SQLite while a gallery is read."""
    # The lowest byte of a code is its kind. Text that is no UTF-8 has none.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in _OUTSIDE:
        return GalleryError(
            f"cannot be read: {error}",
            path=folder,
            remedy="Check that the drive is there, its space and the rights",
        )
    return DamagedGallery(
        f"the catalogue cannot be read: {error}", path=folder / CATALOGUE, remedy=RESTORE
    )


def damaged_rows(keys: list[str], folder: Path) -> DamagedGallery:
    """Return what to raise where the vectors of items, 16 hex digits each, are damaged."""
    more = f" and {len(keys) - NAMED:,} more" if len(keys) > NAMED else ""
    many = "s" if len(keys) > 1 else ""
    return DamagedGallery(
        f"the stored vector{many} of {', '.join(keys[:NAMED])}{more} "
        f"{'are' if many else 'is'} damaged",
        path=folder,
        remedy="Run houndsight repair: it embeds damaged photos again",
    )
