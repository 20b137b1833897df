"""Galleries of earlier formats are brought to today's, and a copy of the catalogue is kept."""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from houndsight.errors import GalleryError
from houndsight.stores import layout
from houndsight.stores.lock import held
from houndsight.stores.trust import check_schema

__all__ = ["STEPS", "Step", "bring", "kept_copy", "migrate"]


class Step(NamedTuple):
    """What brings a catalogue to the next format.

    Attributes
    ----------
    schema
        Statements that made the tables and indexes of the format before.
    bring
        Changes them, and what is in them, within a transaction. It adds files, if it has to, and
        changes none.
    """

    schema: tuple[str, ...]
    bring: Callable[[sqlite3.Connection], None]


# By the format that a catalogue is brought from. Format 1 is the first.
STEPS: Final[Mapping[int, Step]] = {}


def kept_copy(folder: Path, version: int) -> Path:
    """Return where the catalogue is kept as it was in a format."""
    return folder / f"catalogue-format-{version}.sqlite"


def migrate(db: sqlite3.Connection, folder: Path) -> None:
    """Bring a gallery's open catalogue to today's format, as a whole or not at all.

    Before, it is copied to `kept_copy`, synced to the disk.

    Raises
    ------
    GalleryError
        If nothing can be written there, or the format is one that is not known.
    GalleryBusy
        If another process is adding photos.
    DamagedGallery
        If the catalogue is not what its format says.
    """
    version = _known(db, folder)
    if not os.access(folder, os.W_OK):
        raise GalleryError(
            f"is gallery format {version}, and has to be brought to {layout.FORMAT}, but cannot be "
            "written",
            path=folder,
            remedy="Open it once where it can be written, such as by houndsight info",
        )
    with held(folder):
        version = _version(db)
        if version < layout.FORMAT:  # else another process was quicker
            check_schema(db, STEPS[version].schema, folder / layout.CATALOGUE)
            _copy(db, kept_copy(folder, version))
            bring(db, folder)


def bring(db: sqlite3.Connection, folder: Path) -> None:
    """Bring a catalogue to today's format without a copy; raises as `migrate`."""
    version = _known(db, folder)
    check_schema(db, STEPS[version].schema, folder / layout.CATALOGUE)
    db.execute("PRAGMA synchronous = FULL")
    db.execute("BEGIN IMMEDIATE")
    try:
        for number in range(version, layout.FORMAT):
            STEPS[number].bring(db)
        db.execute(f"PRAGMA user_version = {layout.FORMAT}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _known(db: sqlite3.Connection, folder: Path) -> int:
    version = _version(db)
    if version not in STEPS:
        first = min(STEPS, default=layout.FORMAT)
        raise GalleryError(
            f"is gallery format {version}, this houndsight reads {first} to {layout.FORMAT}",
            path=folder,
            remedy="Index the photos into a new gallery",
        )
    return version


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _copy(db: sqlite3.Connection, path: Path) -> None:
    """Copy a catalogue; the copy has its name once it is whole and synced."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(draft)) as copy:
        db.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # else it would need files beside it
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    draft.replace(path)
    layout.sync_folder(path.parent)
