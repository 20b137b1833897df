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
        changes none: those that are there belong to the copy as well.
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
        If the format is not known, or nothing can be written there.
    GalleryBusy
        If another process is adding photos.
    DamagedGallery
        If the catalogue is not what its format says.
    """
    version = _known(db, folder)
    cause = f"is gallery format {version}, and has to be brought to {layout.FORMAT}, but cannot be"
    if not os.access(folder, os.W_OK):
        raise GalleryError(
            f"{cause} written",
            path=folder,
            remedy="Open it once where it can be written, such as by houndsight info",
        )
    db.execute("PRAGMA synchronous = FULL")
    try:
        with held(folder):
            bring(db, folder, before=lambda version: _copy(folder, version))
    except (OSError, sqlite3.OperationalError) as error:
        raise GalleryError(
            f"{cause}: {error}; it is as it was",
            path=folder,
            remedy="Check the space and the rights there, and run the command again",
        ) from error


def bring(
    db: sqlite3.Connection, folder: Path, before: Callable[[int], None] = lambda _: None
) -> None:
    """Bring a catalogue to today's format; raises as `migrate`.

    `before` is called with its format when nobody else can change it any more.
    """
    with db:  # commits, or rolls back
        db.execute("BEGIN IMMEDIATE")
        if _version(db) == layout.FORMAT:  # another process was quicker
            return
        version = _known(db, folder)
        check_schema(db, STEPS[version].schema, folder / layout.CATALOGUE)
        before(version)
        for number in range(version, layout.FORMAT):
            STEPS[number].bring(db)
        db.execute(f"PRAGMA user_version = {layout.FORMAT}")


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


def _copy(folder: Path, version: int) -> None:
    """Copy the catalogue as it was committed; the copy has its name once it is whole and synced."""
    path = kept_copy(folder, version)
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    with (
        # SQLite copies for no connection that is about to write.
        contextlib.closing(layout.connect(folder)) as catalogue,
        contextlib.closing(sqlite3.connect(draft)) as copy,
    ):
        catalogue.backup(copy)
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    draft.replace(path)
    layout.sync_folder(folder)
