"""A folder that is watched: photos are indexed as they arrive."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, TypeAlias

from houndsight.embedder import Embedder
from houndsight.errors import GalleryBusy, GalleryError, HoundsightError, InputError
from houndsight.gallery import Gallery, find_photos
from houndsight.indexing import HERE, Engine, IndexReport, Progress, index
from houndsight.remote import absolute
from houndsight.types import Skipped

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

__all__ = ["Batch", "Waiting", "watch", "watched_folder"]

# How long photos that go on arriving are waited for before those that are there are taken in.
LONGEST_S = 60.0
# After so long the whole folder is looked at, even if nothing was told: links are not watched.
SWEEP_S = 600.0
# How soon it is seen that the folder has gone or is back, and whether another process is done.
GLANCE_S = 2.0
# What the system tells of a file that was only read is left out: indexing reads.
WRITTEN = {"created", "modified", "moved", "deleted", "closed"}
# The photos of a folder: path, bytes, time of last change.
_Seen: TypeAlias = tuple[tuple[bytes, int, int], ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """What was taken in at once.

    Attributes
    ----------
    report
        What `index` says.
    skipped
        Files that could not be read, and were not told of before.
    """

    report: IndexReport
    skipped: list[Skipped]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why nothing is taken in at the moment; it goes on by itself when that is over."""

    reason: HoundsightError


def watch(
    photos: str | bytes | os.PathLike[str],
    gallery: str | os.PathLike[str],
    *,
    embedder: Callable[[], Embedder] | None = None,
    labels: str | None = None,
    settle_s: float = 2.0,
    poll_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    engine: Engine = HERE,
) -> Iterator[Batch | Waiting]:
    """Bring a gallery up to date with a folder, again and again; never ends by itself.

    Photos that arrive together are taken in together: when the sizes and times of all files have
    been the same for a while. A folder that vanishes is waited for; nothing is removed then.

    Parameters
    ----------
    photos, gallery, labels, progress, engine
        As for `index`.
    embedder
        What loads the embedder, called once; the gallery's own when None, for a new gallery the
        default model.
    settle_s
        How long files have to stay as they are, in seconds.
    poll_s
        Look at the folder so often, in seconds, where the system tells nothing of new files, as of
        network drives; None: be told by the system.

    Yields
    ------
    Batch or Waiting
        A batch when anything has changed, and the first in any case; why it waits, once.

    Raises
    ------
    InputError
        If there is no such folder at the start, or it is a gallery.
    GalleryError
        If the system cannot watch it, or watchdog (the extra ``watch``) is not installed.
    HoundsightError
        What `index` raises, but for a folder without photos and a gallery that is busy.
    """
    place = watched_folder(photos)
    load = cache(embedder or partial(_own, gallery))
    known: set[Skipped] | None = None
    seen: _Seen | None = None
    told = ""
    with closing(_Clock(poll_s) if poll_s is not None else _Ears(place)) as alarm:
        while True:
            try:
                alarm.set()
                now = _settled(place, seen, settle_s)
                if now != seen:
                    report = index(
                        place,
                        gallery,
                        embedder=load,
                        labels=labels,
                        progress=progress,
                        engine=engine,
                    )
                    fresh = [skip for skip in report.skipped if skip not in (known or ())]
                    if known is None or fresh or _anything(report):
                        yield Batch(report, fresh)
                    known, seen = set(report.skipped), now
                told = ""
            except (InputError, GalleryBusy) as error:
                seen = None
                reason = error if isinstance(error, GalleryBusy) else _absence(place)
                if reason is None:
                    raise
                if str(reason) != told:
                    told = str(reason)
                    yield Waiting(reason)
                time.sleep(GLANCE_S)
            else:
                alarm.wait()


def watched_folder(photos: str | bytes | os.PathLike[str]) -> bytes:
    """Return the absolute path of a folder that `watch` can watch; InputError if it is none."""
    place = absolute(photos)
    find_photos(place)  # a wrong name is no folder that comes back
    if not os.path.isdir(place):
        raise InputError(
            "is no folder: nothing tells when photos arrive there",
            path=place,
            remedy="Run houndsight index now and then: only what is new is read",
        )
    return place


def _own(gallery: str | os.PathLike[str]) -> Embedder:
    if not Gallery.exists(gallery):
        return Embedder.load()
    with Gallery(gallery) as library:
        return library.embedder()


def _anything(report: IndexReport) -> bool:
    return any((report.new, report.changed, report.renamed, report.removed, report.relabelled))


def _look(place: bytes) -> _Seen:
    listing = find_photos(place)
    if not listing.photos:
        raise InputError("holds no photo", path=place, remedy="It is looked at again")
    return tuple((found.path, found.size, found.mtime_ns) for found in listing.photos)


def _absence(place: bytes) -> InputError | None:
    """Return why nothing can be indexed in a folder, if that is so now."""
    try:
        _look(place)
    except InputError as error:
        return error
    return None


def _settled(place: bytes, seen: _Seen | None, settle_s: float) -> _Seen:
    """Return what a folder holds, once that has been the same for a while."""
    until = time.monotonic() + LONGEST_S
    now = _look(place)
    while now != seen:
        time.sleep(settle_s)
        before, now = now, _look(place)
        if now == before or time.monotonic() > until:
            break
    return now


class _Clock:
    """Says every so many seconds that it is time to look."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s

    def set(self) -> None:
        pass

    def wait(self) -> None:
        time.sleep(self.every_s)

    def close(self) -> None:
        pass


class _Ears:
    """Says when the system tells of a change in a folder, or the folder is another by now."""

    def __init__(self, place: bytes) -> None:
        self.place = place
        self.heard = threading.Event()
        self._observer: BaseObserver | None = None
        self._identity: tuple[int, int] | None = None
        self.set()

    def set(self) -> None:
        """Listen to the folder that is at the place now, if there is one."""
        now = self._now()
        if now == self._identity:
            return
        self.close()
        self._identity = now
        if now is None:
            return
        try:
            from watchdog.events import FileSystemEvent, FileSystemEventHandler
            from watchdog.observers import Observer
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("watchdog"):
                raise
            raise GalleryError(
                "watching needs watchdog, which is not installed",
                remedy="Run: pip install 'houndsight[watch]'; or look every so often with --poll",
            ) from error

        heard = self.heard

        class Handler(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                if event.event_type in WRITTEN:
                    heard.set()

        observer = Observer()
        try:
            observer.schedule(Handler(), os.fsdecode(self.place), recursive=True)
            observer.start()
        except OSError as error:
            if self._now() != now:  # gone again
                self._identity = None
                return
            raise GalleryError(
                f"cannot be watched: {error.strerror}",
                path=self.place,
                remedy="Look every so often with --poll; or, on Linux, raise the limit "
                "fs.inotify.max_user_watches",
            ) from error
        self._observer = observer

    def wait(self) -> None:
        until = time.monotonic() + SWEEP_S
        while not self.heard.wait(GLANCE_S):
            if self._now() != self._identity or time.monotonic() > until:
                break
        self.heard.clear()

    def close(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None

    def _now(self) -> tuple[int, int] | None:
        try:
            info = os.stat(self.place)
        except OSError:
            return None
        return (info.st_dev, info.st_ino)
