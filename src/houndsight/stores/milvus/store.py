"""A store in Milvus: items with vectors, documents and locks, each in a collection of theirs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from houndsight.errors import DamagedGallery, GalleryError
from houndsight.maps import Base, Map, Space
from houndsight.stores.address import Address
from houndsight.stores.indexes import MOST, Index
from houndsight.stores.milvus import lease
from houndsight.stores.milvus.catalogue import MilvusCatalogue
from houndsight.stores.milvus.client import Server
from houndsight.stores.milvus.damage import damage
from houndsight.stores.milvus.lease import LOCK
from houndsight.stores.milvus.making import absent, is_there, may_be
from houndsight.stores.milvus.rows import (
    ITEMS,
    LIVE,
    NO_VECTOR,
    Row,
    condition,
    fields,
    label_condition,
)
from houndsight.stores.milvus.search import SPARE, Look, by_index, by_search, by_sight
from houndsight.stores.reduced import Reduced
from houndsight.stores.snapshot import Rows, Snapshot, Sound
from houndsight.types import Where

__all__ = ["MilvusStore"]

T = TypeVar("T")
LOOKS = 3  # how often what is to be of one moment is read where others write meanwhile
HELD = 1 << 30  # bytes of vectors that may be kept in memory
MANY = 64  # queries from which on it pays to fetch all vectors


class MilvusStore(MilvusCatalogue):
    """A gallery's collections in Milvus.

    Parameters
    ----------
    address
        Of an existing gallery; `making.create` makes a new one.

    Raises
    ------
    NotAGallery, NewerFormat, DamagedGallery
    GalleryError
        If Milvus cannot be reached, or the collections are not houndsight's.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        if not may_be(address):
            raise absent(address)
        server = self._connect(address)
        try:
            if not is_there(server):
                raise absent(address)
            self.dim = server.check(ITEMS, fields(0))
            server.check(LOCK, lease.FIELDS)
        except BaseException:
            server.close()
            raise
        self._begin(server)

    def _connect(self, address: Address) -> Server:
        return Server(address)

    def _begin(self, server: Any) -> None:
        super()._begin(server)
        self._snapshot: Snapshot | None = None
        self._spaces: dict[str, Rows] = {}
        self._why_exact = ""

    # Searching

    def ids(self, where: Where) -> NDArray[np.int64]:
        """Return the ids of live items, (n,), in the order in which their vectors were added."""
        with self._lock:
            return self._live().ids_of(where)

    def labels(self) -> dict[str | None, int]:
        """Return how many live items have each label, or None."""
        with self._lock:
            return self._live().counted()

    def candidates(
        self,
        queries: NDArray[np.float32],
        k: int,
        where: Where,
        space: Space,
        looked_at: int | None = None,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """For each query ids of live items that surely contain its k nearest in a space.

        With their vectors as stored, (n, dim). Milvus searches where neighbours and queries are
        few and the space has a collection, as that of the stored vectors has. Else all vectors are
        fetched: once, and kept until something is committed, if they fit into 1 GiB.

        With `looked_at`, and an index, the k nearest stored vectors of all are those that it finds.
        All other searches are exact: while a journal is not emptied, or where the index does not
        answer; `why_exact` says so.
        """
        with self._lock:
            if looked_at is not None:
                index = self.index()
                self._why_exact = self._obstacle(index, k, where, space)
                if index is not None and not self._why_exact:
                    return by_index(
                        lambda some: self._by_index(index, k, looked_at, some),
                        queries,
                        self._live_vectors,
                        lambda some: self.candidates(some, k, where, space),
                    )
            live = self._live()
            if not len(queries):  # asked to have read what any search reads
                return iter(())
            few = k + SPARE <= min(MOST, len(live.ids) // 2) and len(queries) < MANY
            held = len(live.stored) > 0 or not len(live.ids)
            look = None if held or not few or self._seen() else self._looking(space, where)
            if look is not None:
                return by_search(
                    look,
                    queries,
                    k,
                    space,
                    self._vectors_of,
                    lambda some: self._fetched(some, k, where, space),
                )
            return self._fetched(queries, k, where, space)

    def _fetched(
        self, queries: NDArray[np.float32], k: int, where: Where, space: Space
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        with self._lock:
            live = self._live()
            if 4 * self.dim * len(live.ids) > HELD:
                return by_sight(queries, k, space, lambda: self._blocks(where))
            if not len(live.stored):
                live = self._snapshot = self._with_vectors(live)
            return live.candidates(queries, k, where, self._rows_in(space, live), None)

    def _looking(self, space: Space, where: Where) -> Look | None:
        """Return what has Milvus search in a space; None where there is no collection of it."""
        if isinstance(space, Base):
            return lambda some, limit: self._server.search(ITEMS, some, limit, condition(where))
        if not isinstance(space, Map):
            return None
        mapped = self._mapped_of(space)
        told = mapped.whole()
        if told is None:
            return None
        build, asked = told["build"], label_condition(where)

        def look(queries: Sequence[Any], limit: int) -> list[list[dict[str, Any]]] | None:
            with contextlib.suppress(GalleryError):  # what fails with it costs it, and nothing else
                return mapped.search(build, queries, limit, asked)
            return None

        return look

    def _vectors_of(self, ids: Sequence[int]) -> NDArray[np.float32] | None:
        """Return stored vectors; None where one has gone, or is not there yet."""
        held = self._live_vectors(ids)
        if len(held) < len(ids):
            return None
        return np.stack([held[id_] for id_ in ids]) if ids else np.empty((0, self.dim), np.float32)

    def why_exact(self) -> str:
        """Return why the last search that might be approximate was not; empty where it was."""
        return self._why_exact

    def _obstacle(self, index: Index | None, k: int, where: Where, space: Space) -> str:
        """Return why an index may not be asked: it has the stored vectors, and no labels."""
        if index is None:
            return "there is no index"
        if not isinstance(space, Base) or where != Where():
            return "the index is of all vectors as they are stored"
        if k > MOST:
            return f"Milvus returns {MOST:,} neighbours at most"
        return "a change of the gallery is not finished" if self._seen() else ""

    def _by_index(
        self, index: Index, k: int, looked_at: int, queries: Sequence[Any]
    ) -> list[list[dict[str, Any]]] | None:
        """Return what the index finds, None where it does not answer."""
        try:
            told = index.told(looked_at, k)
            found = self._near.search(index.build, queries, k, "", told)
        except GalleryError as error:
            self._why_exact = f"the index fails: {error.cause}"
            return None
        if found is None:
            self._why_exact = "the index was taken away or built anew meanwhile"
        return found

    def _live_vectors(self, ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        rows = self._server.rows(ITEMS, "id", ids, ["id", "vector"], LIVE, 4 * self.dim)
        return {int(row["id"]): np.array(row["vector"], np.float32) for row in rows}

    def _live(self) -> Snapshot:
        """Return the live items, read again only when something was committed."""
        while True:
            revision = self.revision()
            if self._snapshot is not None and self._snapshot.revision == revision:
                return self._snapshot
            seen = self._seen()
            found = [
                (int(row["serial"]), int(row["id"]), row["label"] if row["label_key"] else None)
                for some in self._server.every(ITEMS, LIVE, ("id", "serial", "label", "label_key"))
                for row in some
                if int(row["id"]) not in seen.rows
            ]
            found += [
                (row.serial, id_, row.item.label)
                for id_, row in seen.rows.items()
                if row is not None and row.item.removed is None
            ]
            if self.revision() == revision:  # all of one moment
                break
        found.sort(key=lambda row: row[:2])
        rows = [(id_, n, label, 0) for n, (_, id_, label) in enumerate(found)]
        sound = Sound(0, len(rows))
        sound.known[:] = True  # vectors are held against checksums as they are fetched
        self._spaces.clear()
        none = np.empty((0, self.dim), np.float32)
        self._snapshot = Snapshot.of(revision, rows, 0, none, sound, Path())
        return self._snapshot

    def _with_vectors(self, live: Snapshot) -> Snapshot:
        stored = np.empty((len(live.ids), self.dim), np.float32)
        place = {int(id_): n for n, id_ in enumerate(live.ids)}
        for ids, vectors in self._blocks(Where()):
            for id_, vector in zip(ids.tolist(), vectors, strict=True):
                if id_ in place:
                    stored[place.pop(id_)] = vector
        if place:  # what was committed while all this came in
            stored[list(place.values())] = self.vectors(list(place))
        return replace(live, stored=stored)

    def at_one_moment(self, read: Callable[[], T]) -> T:
        """Return what `read` does; all that it reads from the store is of one moment.

        Milvus knows no moments: it is called again where something was committed meanwhile, but
        not for ever. Where others never stop, what it reads may be of successive moments.
        """
        for _ in range(LOOKS - 1):
            revision = self.revision()
            with contextlib.suppress(GalleryError):  # what it read may not have fitted together
                found = read()
                if self.revision() == revision:
                    return found
        return read()

    def _rows_in(self, space: Space, live: Snapshot) -> Rows:
        if space.name not in self._spaces:
            self._spaces[space.name] = Rows(0, space(live.stored), Reduced(None, ()), None)
        return self._spaces[space.name]

    def _blocks(self, where: Where) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield ids and vectors of live items, some at a time."""
        seen = self._seen()
        asked, out = condition(where), ["id", "vector"]
        for some in self._server.every(ITEMS, asked, out, 4 * self.dim):
            kept = [row for row in some if int(row["id"]) not in seen.rows]
            if kept:
                ids = np.array([row["id"] for row in kept], np.int64)
                yield ids, np.array([row["vector"] for row in kept], np.float32)
        changed = [
            id_
            for id_, row in seen.rows.items()
            if row is not None and row.item.removed is None and _passes(where, row.item.label)
        ]
        if changed:
            yield np.array(changed, np.int64), self.vectors(changed)

    # An index for approximate searches

    def shortcut(self, space: Space) -> str:
        """Return what names the way an approximate search takes; empty where it is exact."""
        index = self.index() if isinstance(space, Base) else None
        return "" if index is None else f"{index} #{index.build}"

    def count(self) -> int:
        """Return how many live items there are, without reading them."""
        with self._lock:
            if self._seen():
                return len(self._live().ids)
            return int(self._server.count(ITEMS, LIVE))

    def index(self) -> Index | None:
        """Return the index that is there, built to the end and up to date; None for none."""
        with self._lock:
            return self._near.index()

    def build_index(self, index: Index, progress: Callable[[int, int], None]) -> None:
        """Build an index of the stored vectors, in the place of one that is there."""
        self._near.build(index, lambda: self.ids(Where()).tolist(), self._alone, progress)

    def drop_index(self) -> None:
        """Take the index away, if there is one; GalleryBusy while another process builds one."""
        self._near.clear(self._alone)

    # Upkeep

    def tidy(self, space: Space) -> None:
        """Make the collection of a learned metric, where it is not there.

        Where that cannot be, or another process is at it, all stays as it is.
        """
        if isinstance(space, Map):
            with contextlib.suppress(GalleryError):
                self._mapped_of(space).build(lambda: self.ids(Where()).tolist(), self._alone)

    def verify(self) -> list[str]:
        """Return what is damaged, one sentence each; nothing when all is well."""
        with self._lock:
            for _ in range(LOOKS):
                try:
                    revision = self.revision()
                    # The journal has a checksum of its own; what it changes need not be whole.
                    rows = self._seen().rows
                    size = 4 * self.dim
                    derived = self._derived()
                    found = list(damage(self._server, self._texts, derived, rows, size))
                except DamagedGallery as error:
                    return [error.cause]
                if not found or self.revision() == revision:
                    break  # else it may be what another process was changing
        return found

    def compact(self) -> int:
        """Give back the room of removed vectors; returns bytes gained.

        Photos removed by hand stay known, without vector, so that indexing does not bring them
        back. Collections of learned metrics go: `tidy` makes the one that is needed anew.
        """
        with self.appending():
            with self.transaction():
                self._forget_mapped()
                changes, gained = self._open(), 0
                rows = self._rows_of([i.id for i in self.items() if i.removed is not None])
                for id_, row in rows.items():
                    gained += 4 * self.dim * (row.serial != NO_VECTOR)
                    by_user = row.item.removed == "user"
                    changes.rows[id_] = Row(row.item, NO_VECTOR) if by_user else None
                self._steps += 1
            self._sweep()
        return gained

    def _sweep(self) -> None:
        self._texts.sweep()

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            self._snapshot = None
            self._spaces.clear()
            self._server.close()


def _passes(where: Where, label: str | None) -> bool:
    if where.labels is not None:
        return label in where.labels
    return label is not None or not where.labelled
