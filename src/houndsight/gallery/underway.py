"""How far indexing is, on record, so that other processes and threads can tell."""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

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
        body = self.store.document(NAME)
        if body is None:
            return None
        with understood(self.place, "indexing"):
            idle = (datetime.now(UTC) - datetime.fromisoformat(body["time"])).total_seconds()
            done, total, seconds = int(body["done"]), int(body["total"]), float(body["seconds"])
        return Underway(done, total, seconds, max(0.0, idle))

    @contextlib.contextmanager
    def told_indexing(self, total: int) -> Iterator[str]:
        """Have on record, while it lasts, how far an indexing of `total` photos is.

        Yields what names it. In the end that is taken away, also what a killed indexing had left;
        from then on nothing can be taken in that is of it. Another's, which began as this one had
        lost its right to add, stays.
        """
        run, left = uuid.uuid4().hex, self.store.document(NAME)
        if total:
            self._tell({"run": run, "done": 0, "total": total, "seconds": 0.0}, datetime.now(UTC))
        try:
            yield run
        finally:
            # Where that cannot be written, what went wrong before is what is to be told.
            with contextlib.suppress(GalleryError):
                now = self.store.document(NAME)
                if now is not None and (now == left or now["run"] == run):
                    self.store.put_document(NAME, None)

    def tell_indexing(self, run: str, photos: int) -> None:
        """Put on record that an indexing has taken in more photos, in the transaction that does.

        Raises
        ------
        GalleryError
            If it is no longer under way: whoever took them in was not heard of for long, and the
            transaction must not count.
        """
        body = self.store.document(NAME)
        now = datetime.now(UTC)
        with understood(self.place, "indexing"):
            if body is None or body["run"] != run:
                raise GalleryError(
                    "the indexing that these photos are of has ended; they were not taken in",
                    path=self.place,
                    remedy="Run the command again: it goes on where it was",
                )
            # Of what is taken in twice, as a node was lost, there is no more than there was to do.
            body["done"] = min(body["done"] + photos, body["total"])
            since = (now - datetime.fromisoformat(body["time"])).total_seconds()
            body["seconds"] = round(body["seconds"] + max(0.0, since), 3)
        self._tell(body, now)

    def _tell(self, body: dict[str, Any], now: datetime) -> None:
        self.store.put_document(NAME, body | {"time": now.isoformat()})
