"""The live part of a local store in memory, at one revision: what a search looks at."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from houndsight import bound, search
from houndsight.errors import GalleryError
from houndsight.stores import layout
from houndsight.stores.faults import damaged_rows
from houndsight.stores.reduced import Reduced
from houndsight.types import Item, Where

__all__ = ["Rows", "Shown", "Snapshot", "Sound"]

# Items that may be kept in memory: some 400 bytes each.
KEPT = 1 << 16
# One item of many is read in the time in which so many are where all are.
CHEAPER = 3


class Sound:
    """Which rows of a generation's vector file were held against their checksums.

    Each is once, when it is first to be returned: what it takes is paid once.
    """

    def __init__(self, generation: int, rows: int) -> None:
        self.generation = generation
        self.known = np.zeros(rows, bool)

    def extended(self, generation: int, rows: int) -> Sound:
        """Return the same of more rows, or of those of another generation."""
        # A row that counts is never written again within a generation.
        new = Sound(generation, rows)
        if generation == self.generation:
            kept = min(rows, len(self.known))
            new.known[:kept] = self.known[:kept]
        return new


class Rows:
    """The rows of a generation's vector file in one space, also those of no live item.

    Parameters
    ----------
    generation
        The vector file's.
    vectors
        float32 (rows, dim), mapped.
    reduced
        The short rows by which most of them can be ruled out.
    before
        What was known of fewer rows.
    """

    def __init__(
        self,
        generation: int,
        vectors: NDArray[np.float32],
        reduced: Reduced,
        before: Rows | None,
    ) -> None:
        self.generation = generation
        self.vectors = vectors
        self.reduced = reduced
        # A row that counts is never written again within a generation.
        known = before._norms if before and before.generation == generation else np.empty(0)
        self._norms: NDArray[np.float64] = known

    @property
    def norms(self) -> NDArray[np.float64]:
        """Euclidean norms, float64 (rows,); read from all rows when first asked for."""
        known = self._norms[: len(self.vectors)]
        if len(known) < len(self.vectors):
            known = np.concatenate([known, layout.norms(self.vectors[len(known) :])])
            self._norms = known
        return known


class Shown:
    """Items in memory, once so many were read one by one that reading all takes no longer.

    Parameters
    ----------
    every
        How many there are.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._asked = 0
        self._items: dict[int, Item] | None = None

    def of(
        self,
        ids: Collection[int],
        read: Callable[[Collection[int]], list[Item]],
        read_live: Callable[[], list[Item]],
    ) -> list[Item]:
        """Return items as `read` does, which reads them; `read_live` reads all that are live."""
        if self._items is None:
            self._asked += len(ids)
            if self._every <= KEPT and self._asked * CHEAPER >= self._every:
                self._items = {}
                with contextlib.suppress(GalleryError):  # perhaps of others than are asked for
                    self._items = {item.id: item for item in read_live()}
        if self._items and all(id_ in self._items for id_ in ids):
            return [self._items[id_] for id_ in sorted({*ids})]
        return read(ids)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Ids, rows and labels of live items, in order of their rows, and all rows as they are stored.

    `labels` are numbers into `names`, -1 for no label; `crcs` the checksums of the items' vectors;
    `stored` are float32 (rows, dim), mapped; `shown` is what else is known of items.
    """

    revision: int
    ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    crcs: NDArray[np.int64]
    names: dict[str, int]
    generation: int
    stored: NDArray[np.float32]
    sound: Sound
    folder: Path
    shown: Shown

    @classmethod
    def of(
        cls,
        revision: int,
        found: Sequence[tuple[int, int, str | None, int]],
        generation: int,
        stored: NDArray[np.float32],
        sound: Sound,
        folder: Path,
    ) -> Snapshot:
        """Make a snapshot of (id, row, label, checksum) in order of rows."""
        ids, rows, labels, crcs = zip(*found, strict=True) if found else ((), (), (), ())
        names = {name: n for n, name in enumerate(sorted({*labels} - {None}))}
        numbers = [-1 if label is None else names[label] for label in labels]
        return cls(
            revision,
            np.array(ids, np.int64),
            np.array(rows, np.int64),
            np.array(numbers, np.int64),
            np.array(crcs, np.int64),
            names,
            generation,
            stored,
            sound,
            folder,
            Shown(len(ids)),
        )

    def ids_of(self, where: Where) -> NDArray[np.int64]:
        """Return the ids of items, (n,), in order of their rows."""
        rows = self._rows(where)
        return self.ids if rows is None else self.ids[np.searchsorted(self.rows, rows)]

    def counted(self) -> dict[str | None, int]:
        """Return how many items have each label, or None."""
        counts = np.bincount(self.labels + 1, minlength=len(self.names) + 1).tolist()
        every = zip((None, *self.names), counts, strict=True)
        return {name: count for name, count in every if count}

    def candidates(
        self,
        queries: NDArray[np.float32],
        k: int,
        where: Where,
        among: Rows,
        looked_at: int | None,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """For each query ids of items that surely contain its k nearest, and stored vectors.

        `among` are the rows in the space that the queries are in. Most likely, where only
        `looked_at` of them are looked at in full. DamagedGallery if a vector is not as it was
        stored.
        """
        rows = self._rows(where)
        found: list[NDArray[np.intp] | None] = [None] * len(queries)
        if among.reduced.levels and looked_at is not None:
            many = max(k, looked_at)
            found = list(
                bound.approximate(queries, among.vectors, among.reduced.levels, k, many, rows)
            )
        elif among.reduced.levels:
            found = list(bound.candidates(queries, among.vectors, among.reduced.levels, k, rows))
        full = [n for n, some in enumerate(found) if some is None]
        if full:
            for n, some in zip(full, self._in_full(queries[full], k, rows, among), strict=True):
                found[n] = some
        for positions in found:
            if positions is not None:  # none is by now
                at = np.searchsorted(self.rows, positions)
                vectors = self.stored[positions]
                self._check(at, positions, vectors)
                yield self.ids[at], vectors

    def _check(
        self, at: NDArray[np.intp], rows: NDArray[np.intp], vectors: NDArray[np.float32]
    ) -> None:
        """Raise DamagedGallery if vectors of these rows, items `at`, do not fit their checksums."""
        new = np.flatnonzero(~self.sound.known[rows])
        fits = [zlib.crc32(vectors[n]) == self.crcs[at[n]] for n in new]
        if not all(fits):
            keys = [f"{self.ids[at[n]]:016x}" for n, fit in zip(new, fits, strict=True) if not fit]
            raise damaged_rows(keys, self.folder)
        self.sound.known[rows] = True

    def _rows(self, where: Where) -> NDArray[np.intp] | None:
        """Return which rows may be answers, ascending; None for all that there are."""
        if where.labels is not None:
            # A number that no item has for a label that none has.
            wanted = [-1 if name is None else self.names.get(name, -2) for name in where.labels]
            return self.rows[np.isin(self.labels, wanted)]
        if where.labelled and not (self.labels >= 0).all():
            return self.rows[self.labels >= 0]
        return None if len(self.rows) == len(self.stored) else self.rows

    def _in_full(
        self, queries: NDArray[np.float32], k: int, rows: NDArray[np.intp] | None, among: Rows
    ) -> Iterator[NDArray[np.intp]]:
        x = among.vectors
        if rows is None:
            return search.candidates(queries, x, among.norms, k)
        if 2 * len(rows) >= len(x):
            # A product over the mapped file as it lies is cheaper than a copy of half of it.
            positions = search.candidates(queries, x, among.norms, k, rows)
        else:
            positions = search.candidates(queries, x[rows], layout.norms(x[rows]), k)
        return (rows[some] for some in positions)
