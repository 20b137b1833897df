"""The index for approximate searches: the vectors of live items once more, in their own collection.

A field of Milvus has one index, and that of the items is FLAT, by which searches are proved.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from houndsight.errors import GalleryError
from houndsight.stores.indexes import Index
from houndsight.stores.milvus.client import Server
from houndsight.stores.milvus.derived import Alone, Derived, Row
from houndsight.stores.milvus.rows import ITEMS, LIVE
from houndsight.stores.milvus.texts import Texts

__all__ = ["NEAR", "Near"]

NEAR = "near"
TRIAL = "trial"  # a collection of a few vectors
FEW = 39  # for one cluster; with fewer FAISS, in Milvus Lite, warns on standard error


class Near(Derived):
    """What approximate searches look at."""

    called = "the index for approximate searches"
    remedy = "run houndsight tune --rebuild; exact searches are right"
    says = (("kind", str), ("parameters", dict))
    flat = False

    def __init__(self, server: Server, texts: Texts, dim: int) -> None:
        super().__init__(server, texts, NEAR, dim, dim)

    def index(self) -> Index | None:
        """Return the index that is there; None for none, or one that is not finished."""
        told = self.whole()
        if told is None or not self._server.has(NEAR):
            return None
        return Index(told["kind"], told["parameters"], told["build"])

    def _wanted(self, live: Sequence[Row], new: Collection[int]) -> Sequence[Row]:
        # Labels are not here, so an item that was live before, with the same vector, is as it was.
        known = [int(item["id"]) for item in live if item["id"] not in new]
        before = self._server.rows(ITEMS, "id", known, ["id"], LIVE)
        there = {int(row["id"]) for row in before}
        return [item for item in live if item["id"] not in there]

    # Made and taken away

    def clear(self, alone: Alone) -> None:
        """Take away the index, and what a killed process left of one."""
        with self._right("an index"):
            self._remove(TRIAL)
            with alone():
                self.drop()

    def build(
        self,
        index: Index,
        ids: Callable[[], Sequence[int]],
        alone: Alone,
        progress: Callable[[int, int], None],
    ) -> None:
        """Make it anew of all live items, whose `ids` are told; others may write meanwhile.

        `alone` holds the right to write, with no journal left.
        """
        with self._right("an index"):
            self._try(index)
            what = {"kind": index.kind, "parameters": dict(index.parameters)}
            self._build(what, ids, alone, progress, lambda: self._index(NEAR, index))

    def _try(self, index: Index) -> None:
        """Build an index of a few vectors: what is refused is so before anything is changed.

        With its parameters, but for clusters, of which a few vectors make one.
        """
        self._remove(TRIAL)  # of one that was killed
        self._server.make(TRIAL, self._fields(), flat=False, derived=True)
        try:
            parameters = {n: 1 if n == "nlist" else value for n, value in index.parameters.items()}
            vector = np.ones(self._dim, np.float32)
            self._server.write(TRIAL, [{"id": n, "vector": vector} for n in range(FEW)], self._size)
            self._index(TRIAL, Index(index.kind, parameters))
        finally:
            self._remove(TRIAL)

    def _index(self, collection: str, index: Index) -> None:
        try:
            self._server.build(collection, index.name, index.parameters)
        except GalleryError as error:
            raise GalleryError(
                f"the index {index} cannot be built: {error.cause}",
                path=self._server.address,
                remedy="Try another --index: Milvus Lite has hnsw and ivf; diskann needs a server "
                "whose configuration allows it. Exact searches go on as before",
            ) from error
