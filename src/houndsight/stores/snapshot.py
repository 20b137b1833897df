"""The live part of a local store in memory, at one revision: what a search looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from houndsight import search
from houndsight.stores import layout
from houndsight.types import Where

__all__ = ["Snapshot"]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Ids, rows and labels of live items, in order of their rows, and the mapped vectors.

    `labels` are numbers into `names`, -1 for no label. `vectors` (rows of the file, dim) and
    `norms` also cover rows that no live item has any more.
    """

    revision: int
    generation: int
    ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    names: dict[str, int]
    vectors: NDArray[np.float32]
    norms: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        revision: int,
        generation: int,
        found: Sequence[tuple[int, int, str | None]],
        vectors: NDArray[np.float32],
        before: Self | None,
    ) -> Self:
        """Make a snapshot of (id, row, label) in order of rows; norms known before are kept."""
        names = {name: n for n, name in enumerate(sorted({lb for *_, lb in found if lb}))}
        # A row that counts is never written again within a generation.
        known = before.norms if before and before.generation == generation else np.empty(0)
        return cls(
            revision,
            generation,
            np.fromiter((id_ for id_, *_ in found), np.int64, len(found)),
            np.fromiter((row for _, row, _ in found), np.int64, len(found)),
            np.fromiter((names.get(lb or "", -1) for *_, lb in found), np.int64, len(found)),
            names,
            vectors,
            np.concatenate([known[: len(vectors)], layout.norms(vectors[len(known) :])]),
        )

    def candidates(
        self, queries: NDArray[np.float32], k: int, where: Where
    ) -> list[NDArray[np.int64]]:
        """Return for each query ids of items that surely contain its k nearest."""
        chosen = np.arange(len(self.ids))
        if where.labels is not None:
            wanted = [self.names[label] for label in where.labels if label in self.names]
            chosen = np.flatnonzero(np.isin(self.labels, wanted))
        elif where.labelled:
            chosen = np.flatnonzero(self.labels >= 0)
        rows = self.rows[chosen]
        if 2 * len(rows) >= len(self.vectors):
            # A product over the mapped file as it lies is cheaper than a copy of half of it.
            found = search.candidates(queries, self.vectors, self.norms, k, rows)
        else:
            found = search.candidates(queries, self.vectors[rows], self.norms[rows], k)
        return [self.ids[chosen[positions]] for positions in found]
