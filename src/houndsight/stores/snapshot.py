"""The live part of a local store in memory, at one revision: what a search looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houndsight import search
from houndsight.stores import layout
from houndsight.types import Where

__all__ = ["Rows", "Snapshot"]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a generation's vector file in one space, also those of no live item.

    `vectors` are float32 (rows, dim), mapped; `norms` float64 (rows,).
    """

    generation: int
    vectors: NDArray[np.float32]
    norms: NDArray[np.float64]

    @classmethod
    def of(cls, generation: int, vectors: NDArray[np.float32], before: Rows | None) -> Rows:
        """Add norms; those known before are kept."""
        # A row that counts is never written again within a generation.
        known = before.norms if before and before.generation == generation else np.empty(0)
        known = known[: len(vectors)]
        return cls(
            generation, vectors, np.concatenate([known, layout.norms(vectors[len(known) :])])
        )


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Ids, rows and labels of live items, in order of their rows, and all rows as they are stored.

    `labels` are numbers into `names`, -1 for no label.
    """

    revision: int
    ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    names: dict[str, int]
    stored: Rows

    @classmethod
    def of(
        cls, revision: int, found: Sequence[tuple[int, int, str | None]], stored: Rows
    ) -> Snapshot:
        """Make a snapshot of (id, row, label) in order of rows."""
        names = {name: n for n, name in enumerate(sorted({lb for *_, lb in found if lb}))}
        return cls(
            revision,
            np.fromiter((id_ for id_, *_ in found), np.int64, len(found)),
            np.fromiter((row for _, row, _ in found), np.int64, len(found)),
            np.fromiter((names.get(lb or "", -1) for *_, lb in found), np.int64, len(found)),
            names,
            stored,
        )

    def candidates(
        self, queries: NDArray[np.float32], k: int, where: Where, among: Rows
    ) -> list[NDArray[np.int64]]:
        """Return for each query ids of items that surely contain its k nearest.

        `among` are the rows in the space that the queries are in.
        """
        chosen = np.arange(len(self.ids))
        if where.labels is not None:
            wanted = [self.names[label] for label in where.labels if label in self.names]
            chosen = np.flatnonzero(np.isin(self.labels, wanted))
        elif where.labelled:
            chosen = np.flatnonzero(self.labels >= 0)
        rows = self.rows[chosen]
        if 2 * len(rows) >= len(among.vectors):
            # A product over the mapped file as it lies is cheaper than a copy of half of it.
            found = search.candidates(queries, among.vectors, among.norms, k, rows)
        else:
            found = search.candidates(queries, among.vectors[rows], among.norms[rows], k)
        return [self.ids[chosen[positions]] for positions in found]
