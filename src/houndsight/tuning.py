"""An index for approximate searches of a gallery in Milvus: built, measured, and put on record."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houndsight.approximation import (
    Recall,
    document_of,
    now,
    own_queries,
    written,
)
from houndsight.errors import GalleryBusy, GalleryError, InputError, counted, printable
from houndsight.gallery import Gallery
from houndsight.metrics import Estimate, bootstrap
from houndsight.stores import Indexed
from houndsight.stores.indexes import KINDS, MOST, Index
from houndsight.types import Vectors

__all__ = ["Tuning", "TuningTrial", "drop_index", "tune"]

WANTED = 0.99
LADDER = 2048  # what the search of an index is told at most, unless many neighbours are asked for
RUNGS = 4  # settings to try at least, each twice the one before
PER_CLUSTER = 39  # vectors that each cluster of an index should have at least, by FAISS


@dataclass(frozen=True, slots=True)
class TuningTrial:
    """One setting.

    Attributes
    ----------
    looked_at
        What the search of the index is told; None for exact search.
    recall
        Share of the true neighbours that it finds; of those that are equally far one is as good as
        another.
    median_ms, p95_ms
        How long the search for one photo takes in an open gallery, in milliseconds.
    """

    looked_at: int | None
    recall: Estimate
    median_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was measured of an index.

    Attributes
    ----------
    index
        With the parameters that it is built with.
    built_s
        Seconds that building took; None where it was there.
    trials
        Exact search first.
    chosen
        The smallest setting that reaches `wanted`, which is on record now; None where none does.
    k, queries, own, items
        How many neighbours were asked for, of how many photos, whether these were the gallery's
        own, and how many it holds.
    """

    index: Index
    built_s: float | None
    trials: tuple[TuningTrial, ...]
    chosen: TuningTrial | None
    wanted: float
    k: int
    queries: int
    own: bool
    items: int


def tune(
    gallery: Gallery,
    queries: Vectors | None = None,
    *,
    exclude: Sequence[Collection[int]] | None = None,
    index: str | None = None,
    parameters: Mapping[str, int | Sequence[int]] | None = None,
    k: int = 20,
    wanted: float = WANTED,
    rebuild: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Tuning:
    """Build an index for approximate searches, and measure them against exact ones.

    The smallest setting that finds `wanted` of the true k nearest is put on record; from then on
    `measured_recall` returns it. Exact searches do not change. An index that is there with these
    parameters is only measured.

    Parameters
    ----------
    gallery
        In Milvus.
    queries
        What to measure with; 200 of the gallery's own photos, each without itself, when None.
    exclude
        For each query, ids that are not to be returned to it.
    index
        ``hnsw``, ``ivf`` or ``diskann``; the one that is there, else ``hnsw``, when None.
    parameters
        What it is built with: M and efConstruction for ``hnsw``, nlist for ``ivf``. And one or
        several settings to try, of ef, nprobe or search_list; unless given, each twice the one
        before.
    k
        How many neighbours, 1 or more.
    wanted
        Share of the true neighbours, 0 to 1.
    rebuild
        Build the index anew, also where it is there.
    progress
        Called with what is being done, how many parts of it are done, and how many there are.

    Raises
    ------
    InputError
        If the gallery is in a folder or has too few photos, there is no such index, parameter or
        setting, or `k` or `wanted` is none.
    GalleryBusy
        If another process builds the index anew, or takes it away, meanwhile; or the index does not
        answer.
    GalleryError
        If Milvus cannot build the index.
    """
    store, own = gallery.indexed(), queries is None
    k = _whole("k", k)
    if not 0 <= wanted <= 1:
        raise InputError(f"wanted is {wanted}", remedy="Give a share from 0 to 1")
    given = {
        name: [
            _whole(name, one)
            for one in (
                [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
            )
        ]
        for name, value in (parameters or {}).items()
    }
    if queries is not None and exclude is None:
        exclude = [()] * len(queries)
    if queries is not None and (not len(queries) or len(exclude or ()) != len(queries)):
        raise InputError(f"{len(exclude or ())} sets to exclude for {len(queries)} queries")
    items = _enough(gallery, store, k, 1 if own else max(map(len, exclude or ())))
    if queries is None:
        queries, exclude = own_queries(gallery)
    out = exclude or []
    there = store.index()
    asked = _asked(there, index, given, items)
    settings = _settings(asked, given.get(asked.searched, []), k + max(map(len, out)))
    tell = progress or (lambda *_: None)
    built = _built(store, asked, tell) if rebuild or asked != there else None
    with gallery.store.transaction():  # finishes a journal that was left: till then all is exact
        measured = store.index()
    if measured is None or measured != asked:
        raise _lost(gallery)
    ask = _Asking(gallery, queries, out, k, tell, measured.build)
    trials = [ask.exactly()]
    for setting in settings:
        trials.append(ask.trial(asked, setting))
        if trials[-1].recall.value == 1:
            break  # more cannot be found
    chosen = next((one for one in trials[1:] if one.recall.value >= wanted), None)
    made = Tuning(measured, built, tuple(trials), chosen, wanted, k, len(queries), own, items)
    with gallery.store.transaction():
        now_there = store.index()
        if now_there is None or now_there.build != measured.build:
            raise _lost(gallery)
        if chosen is not None:
            _record(gallery, made)
    return made


def _whole(name: str, value: object) -> int:
    """Return a whole number; InputError where it is none."""
    if not isinstance(value, bool):
        try:
            return operator.index(value)  # type: ignore[arg-type]  # also those of NumPy
        except TypeError:
            pass
    raise InputError(f"{printable(name)} is {value!r}", remedy="Give a whole number")


def _lost(gallery: Gallery) -> GalleryError:
    return GalleryBusy(
        "the index was built anew or taken away while it was measured; nothing was put on record",
        path=gallery.place,
        remedy="Run houndsight tune again",
    )


def _enough(gallery: Gallery, store: Indexed, k: int, spare: int) -> int:
    """Return how many photos the gallery holds; InputError unless there are k neighbours.

    Beside so many that are left out of what a query finds.
    """
    if k < 1:
        raise InputError(f"k is {k}", remedy="Ask for 1 or more")
    items = store.count()
    if not items:
        raise InputError("holds no photo", path=gallery.place, remedy="Index photos first")
    if k > items - spare:
        left = items - spare
        less = "" if spare < 2 else f", of which {spare:,} are left out"
        raise InputError(
            f"holds {counted(items, 'photo')}{less}, so none has {k:,} neighbours",
            path=gallery.place,
            remedy=f"Ask for {left:,} or fewer with -k" if left > 0 else "Index more photos first",
        )
    if k + spare > MOST:
        raise InputError(
            f"{k:,} neighbours are asked for beside {spare:,} that {'is' if spare == 1 else 'are'} "
            f"left out, and a search of Milvus returns {MOST:,} at most",
            path=gallery.place,
            remedy=f"Ask for {MOST - spare:,} or fewer with -k",
        )
    return items


def _asked(
    there: Index | None, kind: str | None, given: Mapping[str, list[int]], items: int
) -> Index:
    """Return the index that is asked for; InputError where there is no such."""
    kind = kind or (there.kind if there is not None else "hnsw")
    if kind not in KINDS:
        raise InputError(f"there is no index '{kind}'", remedy=f"Take {' or '.join(KINDS)}")
    built, searched = KINDS[kind].built, KINDS[kind].searched
    parameters = {}
    for name, values in given.items():
        if name not in (*built, searched):
            raise InputError(
                f"{kind} has no parameter {printable(name)}",
                remedy=f"It has {' and '.join([*built, searched])}",
            )
        if name == searched:
            continue
        if len(values) != 1:
            raise InputError(f"{name} is given {len(values)} times", remedy="Give it once")
        least, most = built[name]
        if not least <= values[0] <= most:
            raise InputError(f"{name} is {values[0]}", remedy=f"Give {least} to {most}")
        parameters[name] = values[0]
    if there is not None and there.kind == kind and not parameters:
        return there
    return Index(kind, {**_usual(kind, items), **parameters})


def _usual(kind: str, items: int) -> dict[str, int]:
    """Return the parameters that an index of so many vectors is built with unless told."""
    if kind == "hnsw":
        return {"M": 16, "efConstruction": 200}
    if kind == "ivf":  # Milvus advises the first, FAISS the second
        return {"nlist": max(1, min(round(4 * math.sqrt(items)), items // PER_CLUSTER, 65_536))}
    return {}


def _settings(index: Index, looked_at: Sequence[int], least: int) -> list[int]:
    """Return what its searches are to be told, ascending; `least` rows are asked for."""
    searched = KINDS[index.kind].searched
    if KINDS[index.kind].least_k:
        first = 1 << (least - 1).bit_length()
        most = min(max(LADDER, first << RUNGS - 1), index.most)
        why = f", the least that finds so many, to {index.most}"
    else:
        first, least, most = 1, 1, index.most
        why = f" to {most}, as many clusters as there are"
    for value in looked_at:
        if not least <= value <= index.most:
            raise InputError(f"{searched} is {value}", remedy=f"Give {least}{why}")
    if looked_at:
        return sorted({*looked_at})
    return sorted({min(first << n, most) for n in range(32)})


def _built(store: Indexed, index: Index, tell: Callable[[str, int, int], None]) -> float:
    """Build an index; return how many seconds it took."""
    began = time.perf_counter()

    def progress(done: int, total: int) -> None:
        tell(f"building {index.name}" if done == total else "copying", done, total)

    store.build_index(index, progress)
    return time.perf_counter() - began


def _record(gallery: Gallery, made: Tuning) -> None:
    """Put on record what was chosen; to be called in a transaction."""
    chosen = made.chosen
    if chosen is None or chosen.looked_at is None:
        return
    found = Recall(
        k=made.k,
        looked_at=chosen.looked_at,
        recall=chosen.recall.value,
        queries=made.queries,
        items=made.items,
        by=gallery.store.shortcut(gallery.space(gallery.stored_metric)),
        time=now(),
        own=made.own,
    )
    name = document_of(gallery, gallery.stored_metric)
    known = gallery.store.document(name, {})
    same = {k: one for k, one in known.items() if one["by"] == found.by}
    gallery.store.put_document(name, {**same, str(made.k): written(found)})


class _Asking:
    """The same photos asked for again and again, one by one."""

    def __init__(
        self,
        gallery: Gallery,
        queries: Vectors,
        out: Sequence[Collection[int]],
        k: int,
        tell: Callable[[str, int, int], None],
        build: str,
    ) -> None:
        self._gallery = gallery
        self._store = gallery.indexed()
        self._build = build
        self._queries = queries
        self._out = out
        self._k = k
        self._tell = tell
        self._true: list[NDArray[np.float64]] = []

    def exactly(self) -> TuningTrial:
        """Find the true neighbours."""
        self._true, times = self._found(None, "exact")
        return _trial(None, [1.0] * len(times), times)

    def trial(self, index: Index, looked_at: int) -> TuningTrial:
        """Hold what the index finds against the true neighbours."""
        found, times = self._found(looked_at, f"{index.searched} {looked_at}")
        return _trial(looked_at, list(map(_share, found, self._true)), times)

    def _found(
        self, looked_at: int | None, said: str
    ) -> tuple[list[NDArray[np.float64]], list[float]]:
        found: list[NDArray[np.float64]] = []
        times = []
        for n in range(len(self._queries)):
            self._tell(said, n, len(self._queries))
            if n == 0:  # what is read and loaded once is not timed
                self._search(n, looked_at)
            distances, took = self._timed(n, looked_at)
            if looked_at is not None and self._store.why_exact():
                # Not the index's answer. Again, alone: then no change of another is in the way.
                with self._gallery.store.transaction():
                    distances, took = self._timed(n, looked_at)
                    if why := self._store.why_exact():
                        raise self._unanswered(why)
            times.append(took)
            found.append(distances)
        return found, times

    def _unanswered(self, why: str) -> GalleryError:
        now = self._store.index()
        if now is None or now.build != self._build:
            return _lost(self._gallery)
        return GalleryBusy(
            f"its index does not answer: {why}; nothing was put on record",
            path=self._gallery.place,
            remedy="Run houndsight tune again, or with another --index",
        )

    def _timed(self, n: int, looked_at: int | None) -> tuple[NDArray[np.float64], float]:
        began = time.perf_counter()
        distances = self._search(n, looked_at)
        return distances, time.perf_counter() - began

    def _search(self, n: int, looked_at: int | None) -> NDArray[np.float64]:
        one = Vectors(self._queries.values[n : n + 1], self._queries.fingerprint)
        found = self._gallery.search(
            one,
            self._k,
            exclude=[self._out[n]],
            metric=self._gallery.stored_metric,
            looked_at=looked_at,
        )
        distances: NDArray[np.float64] = found.distances[0]
        return distances


def _share(found: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Return which share of the true neighbours was found, by the distances of both, ascending."""
    if not len(true):
        return 1.0
    return min(1.0, float(np.count_nonzero(found <= true[-1])) / len(true))


def _trial(looked_at: int | None, shares: list[float], times: list[float]) -> TuningTrial:
    median, late = np.quantile(np.array(times) * 1000, [0.5, 0.95])
    return TuningTrial(looked_at, bootstrap(shares, seed=0), float(median), float(late))


def drop_index(gallery: Gallery) -> bool:
    """Take a gallery's index away, with what is on record of it; returns whether there was one.

    Raises
    ------
    InputError
        If the gallery is in a folder.
    GalleryBusy
        If another process is building an index.
    """
    store = gallery.indexed()
    there = store.index() is not None
    store.drop_index()
    gallery.store.put_document(document_of(gallery, gallery.stored_metric), None)
    return there
