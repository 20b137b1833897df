"""What an approximate search finds of the true neighbours, measured on the gallery itself."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from houndsight.errors import InputError
from houndsight.gallery import Gallery
from houndsight.gallery.documents import understood

__all__ = ["Recall", "measured_recall"]

# Items that stand in for queries, drawn with seed 0.
SAMPLE = 200
# What is asked of the number of vectors that are looked at: the smallest that reaches it is taken.
WANTED = 0.999
LOOKED_AT = (100, 200, 400, 800, 1600, 3200, 6400)
# Measured again once the gallery has grown or shrunk by this part.
CHANGE = 0.25


@dataclass(frozen=True, slots=True)
class Recall:
    """How much of the true neighbours an approximate search finds.

    Attributes
    ----------
    k
        How many neighbours are asked for.
    looked_at
        How many vectors are looked at in full.
    recall
        Share of the true k nearest that are found, 0 to 1, the mean over `queries`.
    queries
        How many of the gallery's own items it was measured on, each without itself.
    items
        How many items the gallery had.
    by
        What such a search goes by; where it is another now, it is measured again.
    time
        When, UTC in ISO 8601.
    """

    k: int
    looked_at: int
    recall: float
    queries: int
    items: int
    by: str
    time: str


def measured_recall(gallery: Gallery, k: int = 20, *, metric: str | None = None) -> Recall:
    """Return what an approximate search of a gallery is worth, from its record or measured now.

    With ``gallery.search(..., looked_at=measured_recall(gallery, k).looked_at)`` 99.9 % of the true
    neighbours are found, or what looking at 6,400 vectors gives, as `Recall.recall` says.

    Parameters
    ----------
    gallery
        The gallery; what is measured is put on its record, where it may be written.
    k
        How many neighbours, 1 or more.
    metric
        As for `Gallery.search`.

    Raises
    ------
    InputError
        If k is below 1, there is no such metric, or the gallery is empty.
    """
    name = f"recall/{gallery.named(metric)}"
    items = len(gallery)
    if not items:
        raise InputError("holds no photo", path=gallery.place, remedy="Index photos first")
    known: dict[str, dict[str, Any]] = gallery.store.documents(name).get(name, {})
    by = gallery.store.shortcut(gallery.space(metric))
    with understood(gallery.place, "approximate searches"):
        if str(k) in known:
            recall = Recall(**known[str(k)])
            if recall.by == by and abs(items - recall.items) <= CHANGE * recall.items:
                return recall
    recall = _measure(gallery, k, metric, items, by)
    if by:  # else it looked at everything, which is no promise for later
        gallery.record(name, {**known, str(k): asdict(recall)})
    return recall


def _measure(gallery: Gallery, k: int, metric: str | None, items: int, by: str) -> Recall:
    every = gallery.items()
    drawn = np.random.default_rng(0).permutation(items)[:SAMPLE]
    asked = [every[n] for n in sorted(drawn.tolist())]
    queries, own = gallery.vectors(asked), [{item.id} for item in asked]

    def found(looked_at: int | None) -> list[set[int]]:
        ids = gallery.search(queries, k, exclude=own, metric=metric, looked_at=looked_at).ids
        return [set(row.tolist()) - {-1} for row in ids]

    exact = found(None)
    recall, looked_at = 0.0, 0
    for looked_at in (n for n in LOOKED_AT if n >= 2 * k or n == LOOKED_AT[-1]):
        pairs = zip(found(looked_at), exact, strict=True)
        recall = float(np.mean([len(a & b) / len(b) if b else 1.0 for a, b in pairs]))
        if recall >= WANTED:
            break
    time = datetime.now(UTC).isoformat(timespec="seconds")
    return Recall(k, looked_at, recall, len(asked), items, by, time)
