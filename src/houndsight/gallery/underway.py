"""How far indexing is, on record, so that other processes and threads can tell."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from houndsight.errors import GalleryError
from houndsight.gallery.documents import understood
from houndsight.stores import Store
from houndsight.stores.address import Place

__all__ = ["Underway", "Watched"]

NAME = "indexing"


@dataclass(frozen=True, slots=True)
class Underway:
    """How far an indexing is that is under way, or was when it was killed.

    Attributes
    ----------
    done, total
        Photos committed or skipped; photos to do.
    seconds
        From its start to its last commit.
    idle_s
        Seconds since its last commit, 0 or more; many if it was killed.
    """

    done: int
    total: int
    seconds: float
    idle_s: float


class Watched:
    """The part of a gallery that tells how far indexing is."""

    store: Store
    place: Place

    def indexing(self) -> Underway | None:
        """Return how far indexing is, by whatever process; None if none is under way."""
        body = self.store.documents(NAME).get(NAME)
        if body is None:
            return None
        with understood(self.place, "indexing"):
            idle = (datetime.now(UTC) - datetime.fromisoformat(body["time"])).total_seconds()
            done, total, seconds = int(body["done"]), int(body["total"]), float(body["seconds"])
        return Underway(done, total, seconds, max(0.0, idle))

    def tell_indexing(self, done: int, total: int, seconds: float) -> None:
        """Put on record how far indexing is; `index` calls this in a `told_indexing`."""
        time = datetime.now(UTC).isoformat()
        body = {"done": done, "total": total, "seconds": round(seconds, 3), "time": time}
        self.store.put_document(NAME, body)

    @contextlib.contextmanager
    def told_indexing(self) -> Iterator[None]:
        """Take what is on record away in the end, also what a killed indexing has left."""
        try:
            yield
        finally:
            # Where that cannot be written, what went wrong before is what is to be told.
            with contextlib.suppress(GalleryError):
                if self.store.names(NAME):
                    self.store.put_document(NAME, None)
