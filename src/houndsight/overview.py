"""Which galleries there are under some folders, and what each holds."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from houndsight.errors import HoundsightError, InputError
from houndsight.gallery import GALLERY_MARK, Gallery

__all__ = ["Summary", "galleries"]


@dataclass(frozen=True, slots=True)
class Summary:
    """A gallery in a line.

    Attributes
    ----------
    path
        Its folder.
    photos, labels
        How many photos it has, and how many labels.
    model
        The model that made its vectors; empty where it cannot be opened.
    bytes
        The size of all files in its folder.
    changed
        When its catalogue was last written.
    fault
        Why it cannot be opened; None where it can.
    """

    path: bytes
    photos: int
    labels: int
    model: str
    bytes: int
    changed: datetime
    fault: str | None = None


def galleries(folder: str | bytes | os.PathLike[str]) -> Iterator[Summary]:
    """Yield the galleries in and below a folder, sorted by path; links are not followed.

    Raises
    ------
    InputError
        If the folder is absent, or is no folder.
    """
    top = os.fsencode(folder)
    if not os.path.isdir(top):
        cause = "is a file, not a folder" if os.path.exists(top) else "there is no such folder"
        raise InputError(cause, path=top, remedy="Name a folder that has galleries below it")
    for place, folders, files in os.walk(top):
        if GALLERY_MARK in files:
            folders.clear()  # there is no gallery in a gallery
            yield _summary(place)
        # A draft of a gallery that is being made is none yet.
        folders[:] = sorted(name for name in folders if not name.startswith(b"."))


def _summary(place: bytes) -> Summary:
    catalogue = os.path.join(place, GALLERY_MARK)
    # Before it is opened: that may tidy the catalogue. What was committed last is in the log.
    times = [_time(catalogue), _time(catalogue + b"-wal")]
    changed = datetime.fromtimestamp(max(times), UTC)
    size = sum(
        _size(os.path.join(folder, file)) for folder, _, files in os.walk(place) for file in files
    )
    try:
        with Gallery(Path(os.fsdecode(place))) as gallery:
            labels, photos, model = gallery.labels(), len(gallery), gallery.model
    except HoundsightError as error:
        return Summary(place, 0, 0, "", size, changed, error.cause)
    return Summary(place, photos, len(labels), model, size, changed)


def _time(path: bytes) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _size(path: bytes) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # gone by now
        return 0
