"""The index for approximate searches: the vectors of live items once more, in their own collection.

A field of Milvus has one index, and that of the items is FLAT, by which searches are proved. What
is here can be made again at any moment, so whatever fails with it costs it, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from houndsight.errors import GalleryBusy, GalleryError
from houndsight.stores.indexes import Index
from houndsight.stores.milvus.client import Field, Server
from houndsight.stores.milvus.lease import Lease
from houndsight.stores.milvus.rows import ITEMS, LIVE
from houndsight.stores.milvus.texts import Texts

__all__ = ["NEAR", "Near"]

NEAR = "near"  # the collection, and the key of the text that says which index it has
TRIAL = "trial"  # a collection of a few vectors
FEW = 39  # for one cluster; with fewer FAISS, in Milvus Lite, warns on standard error
TOGETHER = 1000  # vectors that are copied while nobody else writes
PATIENCE_S = 1.0  # so that of two who build at once one gets it


class Near:
    """What approximate searches look at.

    The text is written last, once the index is built, and taken away first: while it is there, the
    collection holds the vectors of all live items but those in the journal.
    """

    def __init__(self, server: Server, texts: Texts, dim: int) -> None:
        self._server = server
        self._texts = texts
        self._size = 4 * dim
        self._dim = dim
        self._loaded = False

    def index(self) -> Index | None:
        """Return the index that is there; None for none, or one that is not finished."""
        found = self._texts.read([NEAR]).get(NEAR)
        if found is None or not self._server.has(NEAR):
            return None
        body = json.loads(found[1])
        return Index(body["kind"], body["parameters"], body["build"])

    def search(
        self, index: Index, k: int, looked_at: int, queries: Sequence[Any]
    ) -> list[list[dict[str, Any]]] | None:
        """Return for each query some of the nearest k items: `id`.

        None where that index was taken away or built anew, before or meanwhile.
        """
        found: list[list[dict[str, Any]]] | None = None
        failed: GalleryError | None = None
        try:
            self._load()
            found = self._server.search(NEAR, queries, k, "", index.told(looked_at, k))
        except GalleryError as error:
            failed = error
        now = self._texts.read([NEAR]).get(NEAR)
        if now is None or json.loads(now[1])["build"] != index.build:
            self._loaded = False
            return None
        if failed is not None:
            raise failed
        return found

    def every(self) -> Iterator[list[dict[str, Any]]]:
        """Yield all that is in it, some at a time: `id` and `vector`."""
        self._load()
        return self._server.every(NEAR, "", ["id", "vector"], self._size)

    def _load(self) -> None:
        if not self._loaded:  # Milvus Lite forgets it with its process
            self._server.load(NEAR)
            self._loaded = True

    # Kept up to date

    def follow(
        self, rows: Sequence[Mapping[str, Any]], new: Collection[int], gone: Sequence[int]
    ) -> None:
        """Take in items that are about to be written; to be called by who has the right to write.

        Before they are in their collection, so that if a process is killed between the two, what
        finishes its journal does this again.

        Parameters
        ----------
        rows
            As they are to be.
        new
            The ids of those whose vectors are new.
        gone
            The ids of items that are forgotten.
        """
        if not self._server.has(NEAR):
            return
        live = [row for row in rows if not row["removed"]]
        known = [int(row["id"]) for row in live if row["id"] not in new]
        before = self._server.rows(ITEMS, "id", known, ["id"], LIVE)
        there = {int(row["id"]) for row in before}
        try:
            self._server.delete(NEAR, [*gone, *(row["id"] for row in rows if row["removed"])])
            self._write(row for row in live if row["id"] not in there)
        except GalleryError:
            self.drop()  # nor must what is not up to date stay; where that fails, it is done again

    def _write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        written = [{"id": row["id"], "vector": row["vector"]} for row in rows]
        self._server.write(NEAR, written, self._size)

    # Made and taken away

    def clear(self, alone: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        """Take away the index, and what a killed process left of one."""
        with self._right():
            self._remove(TRIAL)
            with alone():
                self.drop()

    def drop(self) -> None:
        """Take it away; to be called by who has the right to write."""
        self._texts.remove([NEAR])
        self._remove(NEAR)
        self._loaded = False

    def build(
        self,
        index: Index,
        ids: Callable[[], Sequence[int]],
        alone: Callable[[], contextlib.AbstractContextManager[None]],
        progress: Callable[[int, int], None],
    ) -> None:
        """Make it anew of all live items.

        Others may write meanwhile: what they change, they change here too, from the first moment
        on, and each step here is one in which nobody else writes.

        Parameters
        ----------
        ids
            Returns the ids of live items.
        alone
            Holds the right to write, with no journal left.
        """
        with self._right():
            self._build(index, ids, alone, progress)

    @contextlib.contextmanager
    def _right(self) -> Iterator[None]:
        """Hold the right to build."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(Lease(self._server, NEAR).held(PATIENCE_S))
            except GalleryBusy as error:
                raise GalleryBusy(
                    "another process is building an index for this gallery",
                    path=self._server.address,
                    remedy="Wait until it is done; if it was killed, a minute at most",
                ) from error
            yield

    def _build(
        self,
        index: Index,
        ids: Callable[[], Sequence[int]],
        alone: Callable[[], contextlib.AbstractContextManager[None]],
        progress: Callable[[int, int], None],
    ) -> None:
        self._try(index)
        with alone():
            self.drop()
            self._server.make(NEAR, fields(self._dim), flat=False)
        try:
            every = list(ids())
            for start in range(0, len(every), TOGETHER):
                with alone():
                    some = every[start : start + TOGETHER]
                    out = ["id", "vector"]
                    self._write(self._server.rows(ITEMS, "id", some, out, LIVE, self._size))
                progress(min(start + TOGETHER, len(every)), len(every))
            self._make(NEAR, index)
        except BaseException:
            with contextlib.suppress(GalleryError), alone():
                self.drop()
            raise
        body = {
            "kind": index.kind,
            "parameters": dict(index.parameters),
            "build": uuid.uuid4().hex[:8],
        }
        with alone():
            self._texts.write({NEAR: json.dumps(body)}, 0)

    def _try(self, index: Index) -> None:
        """Build an index of a few vectors: what is refused is so before anything is changed.

        With its parameters, but for clusters, of which a few vectors make one.
        """
        self._remove(TRIAL)  # of one that was killed
        self._server.make(TRIAL, fields(self._dim), flat=False)
        try:
            parameters = {n: 1 if n == "nlist" else value for n, value in index.parameters.items()}
            vector = np.ones(self._dim, np.float32)
            self._server.write(TRIAL, [{"id": n, "vector": vector} for n in range(FEW)], self._size)
            self._make(TRIAL, Index(index.kind, parameters))
        finally:
            self._remove(TRIAL)

    def _remove(self, collection: str) -> None:
        if self._server.has(collection):
            self._server.drop(collection)

    def _make(self, collection: str, index: Index) -> None:
        try:
            self._server.build(collection, index.name, index.parameters)
        except GalleryError as error:
            raise GalleryError(
                f"the index {index} cannot be built: {error.cause}",
                path=self._server.address,
                remedy="Try another --index: Milvus Lite has hnsw and ivf; diskann needs a server "
                "whose configuration allows it. Exact searches go on as before",
            ) from error


def fields(dim: int) -> list[Field]:
    """Return the collection's fields: name, type, and what else there is to say."""
    return [("id", "INT64", {"is_primary": True}), ("vector", "FLOAT_VECTOR", {"dim": dim})]
