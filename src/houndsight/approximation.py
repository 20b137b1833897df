"""What an approximate search finds of the true neighbours, measured on the gallery itself."""

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from houndsight.errors import InputError, counted, printable
from houndsight.gallery import Gallery
from houndsight.gallery.documents import understood
from houndsight.stores import Indexed
from houndsight.types import Vectors, Where

__all__ = [
    "Recall",
    "document_of",
    "exact_anyway",
    "measured_recall",
    "now",
    "own_queries",
    "percent",
    "written",
]

# Items that stand in for queries, drawn with seed 0.
SAMPLE = 200
# What is asked of the number of vectors that are looked at. The one after the smallest that reaches
# it is taken: photos that are not in the gallery have their neighbours farther off than its own.
WANTED = 0.999
LOOKED_AT = (100, 200, 400, 800, 1600, 3200, 6400)
# Measured again, or said to be of another gallery, once it has grown or shrunk by this part.
CHANGE = 0.25


@dataclass(frozen=True, slots=True)
class Recall:
    """How much of the true neighbours an approximate search finds.

    Attributes
    ----------
    k
        How many neighbours are asked for.
    looked_at
        How many vectors are looked at in full; in Milvus what the search of the index is told.
    recall
        Share of the true k nearest that are found, 0 to 1, the mean over `queries`.
    queries
        How many photos it was measured on.
    items
        How many items the gallery had.
    by
        What such a search goes by; where it is another now, this does not count.
    time
        When, UTC in ISO 8601.
    own
        Whether the queries were the gallery's own items, each without itself.
    stale
        Whether the gallery has grown or shrunk by a quarter since. In a folder it is measured again
        then.
    """

    k: int
    looked_at: int
    recall: float
    queries: int
    items: int
    by: str
    time: str
    own: bool = True
    stale: bool = False


def measured_recall(gallery: Gallery, k: int = 20, *, metric: str | None = None) -> Recall:
    """Return what an approximate search of a gallery is worth, from its record or measured now.

    With ``gallery.search(..., looked_at=measured_recall(gallery, k).looked_at)`` 99.9 % of the true
    neighbours are found, or what looking at 6,400 vectors gives, as `Recall.recall` says. Of a
    gallery in Milvus it is what `houndsight.tune` has measured, for k neighbours or more.

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
        If k is below 1, there is no such metric, or the gallery is empty; in Milvus if nothing is
        on record.
    """
    known = _known(gallery, metric)
    by = gallery.store.shortcut(gallery.space(metric))
    if isinstance(gallery.store, Indexed):
        items = gallery.store.count()
        return _tuned(
            gallery, k, metric, [one for one in known.values() if by and one.by == by], items
        )
    items = len(gallery)
    if not items:
        raise InputError("holds no photo", path=gallery.place, remedy="Index photos first")
    recall = known.get(str(k))
    if recall is None or recall.by != by or _stale(recall, items):
        recall = _measure(gallery, k, metric, items, by)
        if by:  # else it looked at everything, which is no promise for later
            body = {name: written(one) for name, one in {**known, str(k): recall}.items()}
            gallery.record(document_of(gallery, metric), body)
    return recall


def exact_anyway(gallery: Gallery, k: int, where: Where) -> str | None:
    """Return why a search is exact also where an approximate one is asked for; None if it is not.

    In Milvus: what was measured holds for all photos, not for those of a label; and it cannot be
    measured for as many neighbours as there are photos.
    """
    if not isinstance(gallery.store, Indexed):
        return None
    if where != Where():
        return "searches by label are, in Milvus"
    items = gallery.store.count()
    return f"for {k:,} neighbours a gallery of {items:,} is too small" if k >= items else None


def percent(share: float) -> str:
    """Return a share in per cent, rounded down: what is missing a little is not 100."""
    return f"{math.floor(share * 10_000 + 1e-6) / 100:.2f} %"


def document_of(gallery: Gallery, metric: str | None) -> str:
    """Return the name of the document that has what was measured in a metric, by k."""
    return f"recall/{gallery.named(metric)}"


def _known(gallery: Gallery, metric: str | None) -> dict[str, Recall]:
    name = document_of(gallery, metric)
    body: dict[str, dict[str, Any]] = gallery.store.document(name, {})
    with understood(gallery.place, "approximate searches"):
        return {k: Recall(**one) for k, one in body.items()}


def written(recall: Recall) -> dict[str, Any]:
    """Return a record as JSON values."""
    body = asdict(recall)
    del body["stale"]  # which is found out when it is read
    return body


def _stale(recall: Recall, items: int) -> bool:
    return abs(items - recall.items) > CHANGE * recall.items


def _tuned(
    gallery: Gallery, k: int, metric: str | None, known: Sequence[Recall], items: int
) -> Recall:
    """Return the record of the fewest neighbours that are k or more; InputError without one."""
    tune = f"houndsight tune -g {printable(gallery.place)}"
    name = gallery.named(metric)
    if name != gallery.stored_metric:
        raise InputError(
            f"its index is of the vectors as they are stored, not of the metric {name}",
            path=gallery.place,
            remedy=f"Leave --approximate out, or search with --metric {gallery.stored_metric}",
        )
    fitting = [one for one in known if one.k >= k]
    if not fitting and k >= items:
        raise InputError(
            f"holds {counted(items, 'photo')}, too few for an approximate search of {k:,} "
            "neighbours",
            path=gallery.place,
            remedy="Leave --approximate out: among so few an exact search is as quick",
        )
    if not known:
        raise InputError(
            "what an approximate search finds was not measured yet",
            path=gallery.place,
            remedy=f"Run {tune}, which builds an index and measures it, or leave --approximate out",
        )
    if not fitting:
        most = max(one.k for one in known)
        raise InputError(
            f"what an approximate search finds was measured for {most} neighbour"
            f"{'s' * (most > 1)}, not for {k}",
            path=gallery.place,
            remedy=f"Run {tune} -k {k}, or ask for fewer",
        )
    recall = min(fitting, key=lambda one: one.k)
    return replace(recall, stale=_stale(recall, items))


def own_queries(gallery: Gallery) -> tuple[Vectors, list[set[int]]]:
    """Return vectors of items that stand in for queries, at most 200, and the id of each."""
    ids = np.sort(gallery.ids())
    drawn = np.random.default_rng(0).permutation(len(ids))[:SAMPLE]
    asked = gallery.items(ids[np.sort(drawn)].tolist())
    return gallery.vectors(asked), [{item.id} for item in asked]


def _share_found(found: Collection[int], true: Collection[int]) -> float:
    """Return which share of the true neighbours was found."""
    return len({*found} & {*true}) / len(true) if true else 1.0


def now() -> str:
    """Return the time as records have it: UTC in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _measure(gallery: Gallery, k: int, metric: str | None, items: int, by: str) -> Recall:
    queries, own = own_queries(gallery)

    def found(looked_at: int | None) -> list[set[int]]:
        ids = gallery.search(queries, k, exclude=own, metric=metric, looked_at=looked_at).ids
        return [set(row.tolist()) - {-1} for row in ids]

    exact = found(None)
    recall, looked_at, reached = 0.0, 0, False
    for looked_at in (n for n in LOOKED_AT if n >= 2 * k or n == LOOKED_AT[-1]):
        pairs = zip(found(looked_at), exact, strict=True)
        recall = float(np.mean([_share_found(some, true) for some, true in pairs]))
        if reached:
            break
        reached = recall >= WANTED
    return Recall(k, looked_at, recall, len(queries), items, by, now())
