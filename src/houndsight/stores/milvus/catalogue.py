"""Items, vectors and documents in Milvus: how they are written, all or nothing, and read.

A commit is one row. What a transaction changes is written down as a journal, under one key; the
moment that this key's row is written, all of it counts: every reader reads through the journal.
Then the changes are put where they belong, each of which can be done twice, and the journal is
emptied. A journal that a killed process leaves counts, and the next who writes finishes it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight.errors import DamagedGallery, GalleryError, InputError
from houndsight.maps import Map
from houndsight.stores.address import Address
from houndsight.stores.milvus.changes import Changes
from houndsight.stores.milvus.client import BYTES
from houndsight.stores.milvus.derived import Derived, names
from houndsight.stores.milvus.lease import Lease
from houndsight.stores.milvus.making import FILES, PATIENCE_S, STATE, document_text
from houndsight.stores.milvus.mapped import Mapped, named
from houndsight.stores.milvus.near import NEAR, Near
from houndsight.stores.milvus.rows import ITEMS, LONGEST, NO_VECTOR, OUT, Row, fits, packed
from houndsight.stores.milvus.texts import Texts, key_of, name_of
from houndsight.types import Item

__all__ = ["MilvusCatalogue"]

APPEND_S = 1.0  # so that of two who begin at once one gets it


class MilvusCatalogue:
    """The part of a store in Milvus that writes and reads, and does not search.

    What is read goes through `_seen`: changes that are not in the collections yet.
    """

    address: Address
    dim: int

    def _begin(self, server: Any) -> None:
        self._lock = threading.RLock()  # one thread at a time, as in a local store
        self._server = server
        self._texts = Texts(server)
        self._near = Near(server, self._texts, self.dim)
        self._mapped: dict[str, Mapped] = {}  # by the key of a map
        self._lease = Lease(server, "write")
        self._state: tuple[int, Changes] = (-1, Changes())
        self._changes: Changes | None = None  # of the transaction that is open
        self._known: dict[tuple[str, str, Any], list[Row]] = {}  # read in it, by what was asked
        self._steps = 0  # changes and rollbacks here: what was read before does not count after

    # Writing

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is read and written inside all or nothing, and alone."""
        with self._lock:
            if self._changes is not None:
                yield
                return
            with self._lease.held(PATIENCE_S):
                version, left = self._read_state()
                if version % 2:
                    self._complete(version, left)
                    self._texts.sweep()
                    version, left = self._read_state()
                self._changes = Changes(left.serial)
                try:
                    yield
                    if self._changes:
                        self._commit(version, self._changes)
                except BaseException:
                    self._steps += 1
                    raise
                finally:
                    self._changes = None
                    self._known.clear()

    def _commit(self, version: int, changes: Changes) -> None:
        for row in changes.rows.values():
            if row is not None:
                fits(row.item)
        self._lease.check()
        self._texts.write({STATE: changes.text()}, version + 1)
        # It counts by now: what cannot be finished here, the next who writes finishes.
        with contextlib.suppress(GalleryError):
            self._complete(version + 1, changes)

    def _complete(self, version: int, changes: Changes) -> None:
        """Put a journal's changes where they belong, and empty it."""
        gone = [id_ for id_, row in changes.rows.items() if row is None]
        derived = self._followers() if changes.rows else []
        if gone:
            for one in derived:
                one.follow([], (), gone)
            self._server.delete(ITEMS, gone)
        rows = [row for row in changes.rows.values() if row is not None]
        step = max(1, BYTES // (4 * self.dim))
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            old = [
                row.item.id
                for row in some
                if row.serial != NO_VECTOR and row.item.id not in changes.vectors
            ]
            vectors = {**self._stored(old), **changes.vectors}
            made = [
                packed(row, None if row.serial == NO_VECTOR else vectors[row.item.id], self.dim)
                for row in some
            ]
            self._lease.check()
            for one in derived:
                one.follow(made, changes.vectors, [])
            self._server.write(ITEMS, made, 4 * self.dim)
        texts = {key_of(name): text for name, text in changes.documents.items()}
        self._lease.check()
        self._texts.write({key: text for key, text in texts.items() if text is not None}, version)
        self._texts.remove([key for key, text in texts.items() if text is None])
        if changes.rows:
            # While Milvus Lite does this it shows neither what is to be settled nor what that has
            # replaced: readers have all of it from the journal until that is emptied.
            self._server.settle(ITEMS)
            for one in derived:
                one.settle()
        self._lease.check()
        self._texts.write({STATE: Changes(changes.serial).text()}, version + 1)

    def _derived(self) -> dict[str, Derived | None]:
        """Return the collections made of the items' vectors, by name; None for one of no use."""
        found: dict[str, Derived | None] = {}
        for name in names(self._texts):
            if name == NEAR:
                found[name] = self._near
            else:
                found[name] = named(self._server, self._texts, name, self.dim, self._mapped)
        return found

    def _followers(self) -> list[Derived]:
        """Return what is to be kept up to date beside the items; what cannot be is taken away."""
        found: list[Derived] = []
        for name, one in self._derived().items():
            if one is None:
                Derived(self._server, self._texts, name).drop()
            else:
                found.append(one)
        return found

    def _forget_mapped(self) -> None:
        """Take away the collections of learned metrics; by who has the right to write."""
        for name in names(self._texts):
            if name != NEAR:
                Derived(self._server, self._texts, name).drop()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[Callable[[], None]]:
        """Hold the right to write, with no journal left; gives what makes sure of it."""
        with self.transaction():
            yield self._lease.check

    def _mapped_of(self, space: Map) -> Mapped:
        """Return the collection of a learned metric, which is perhaps not there."""
        if space.key not in self._mapped:
            self._mapped[space.key] = Mapped(self._server, self._texts, space)
        return self._mapped[space.key]

    @contextlib.contextmanager
    def appending(self) -> Iterator[None]:
        """Hold the right to add many vectors; GalleryBusy if another process holds it.

        It keeps a second indexing, or a compact, from starting for nothing. What keeps vectors
        whole is the right to write, which every transaction has for itself.
        """
        with Lease(self._server, "append").held(APPEND_S):
            yield

    def put(self, items: Sequence[Item], vectors: Mapping[int, NDArray[np.float32]]) -> None:
        """Write items; `vectors` holds those that are new or have changed, by item id.

        A new item that is removed already may have none.
        """
        for vector in vectors.values():
            if len(vector) != self.dim:
                raise GalleryError(
                    f"takes vectors of {self.dim} numbers, not {len(vector)}", path=self.address
                )
            if not np.isfinite(vector).all():
                raise GalleryError("a vector holds a value that is not finite", path=self.address)
        with self.transaction():
            changes = self._open()
            known = self._rows_of([item.id for item in items if item.id not in vectors])
            for item in items:
                if item.id in vectors:
                    serial, changes.serial = changes.serial, changes.serial + 1
                    changes.vectors[item.id] = np.array(vectors[item.id], np.float32)
                elif item.id in known:
                    serial = known[item.id].serial
                elif item.removed is not None:
                    serial = NO_VECTOR
                else:
                    raise self._no_item(item.id)
                changes.rows[item.id] = Row(item, serial)
            self._steps += 1

    def put_document(self, name: str, body: Any | None) -> None:
        """Write a document; None takes it away."""
        if len(key_of(name)) + 64 > LONGEST:  # with what is added for a part
            raise InputError("the name of a document is too long for Milvus", path=self.address)
        with self.transaction():
            self._open().documents[name] = None if body is None else document_text(body)
            self._steps += 1

    def _open(self) -> Changes:
        assert self._changes is not None  # noqa: S101  only called in a transaction
        return self._changes

    # Reading

    def _read_state(self) -> tuple[int, Changes]:
        """Return the journal and its version, read again only when there is another."""
        version = self._texts.version(STATE)
        if version != self._state[0]:
            found = self._texts.read([STATE])
            if STATE not in found:
                raise DamagedGallery("the journal is gone", path=self.address)
            version, text = found[STATE]
            self._state = version, Changes.read(text)
        return self._state

    def _seen(self) -> Changes:
        """Return what is to be read over the collections."""
        return self._read_state()[1] if self._changes is None else self._changes

    def items(self, ids: Collection[int] | None = None) -> list[Item]:
        """Return items by id, all when `ids` is None; removed ones too; ordered by id."""
        if ids is not None:
            return [row.item for _, row in sorted(self._rows_of(ids).items())]
        with self._lock:
            seen = self._seen()
            found = [Row.read(row) for some in self._server.every(ITEMS, "", OUT) for row in some]
            now = seen.over(found, lambda _: True)
        return [row.item for _, row in sorted(now.items())]

    def _rows_of(self, ids: Collection[int]) -> dict[int, Row]:
        """Return what is known of items by id, of those that are here."""
        wanted = set(ids)
        with self._lock:
            seen = self._seen()
            asked = sorted(wanted - seen.rows.keys())
            return seen.over(self._base("id", asked), lambda row: row.item.id in wanted)

    def with_digests(self, digests: Collection[bytes], *, given_up: bool = False) -> list[Item]:
        """Return the items of which the store holds the vector, with one of these digests.

        With `given_up` also those whose vector `compact` gave up.
        """
        wanted = set(digests)
        return self._found(
            "digest",
            sorted(one.hex() for one in wanted),
            "",
            lambda row: row.item.digest in wanted and (given_up or row.serial != NO_VECTOR),
        )

    def at(self, root: int, paths: Collection[bytes]) -> list[Item]:
        """Return the items of a root at these paths; removed ones too."""
        wanted = set(paths)
        return self._found(
            "path",
            sorted(one.hex() for one in wanted),
            f"root == {int(root)}",
            lambda row: row.item.root == root and row.item.path in wanted,
        )

    def _base(self, field: str, values: Sequence[Any], and_: str = "") -> list[Row]:
        """Return rows of the collection that have one of these values in a field.

        In a transaction each is asked for once: nobody else writes meanwhile.
        """
        if self._changes is None:
            return [Row.read(row) for row in self._server.rows(ITEMS, field, values, OUT, and_)]
        new = [one for one in values if (field, and_, one) not in self._known]
        self._known |= {(field, and_, one): [] for one in new}
        for record in self._server.rows(ITEMS, field, new, OUT, and_):
            row = Row.read(record)
            self._known["id", "", row.item.id] = [row]
            if field != "id":
                self._known[field, and_, record[field]].append(row)
        return [row for one in values for row in self._known[field, and_, one]]

    def _found(
        self, field: str, values: list[str], and_: str, fitting: Callable[[Row], bool]
    ) -> list[Item]:
        with self._lock:
            seen = self._seen()
            found = [row for row in self._base(field, values, and_) if fitting(row)]
            now = seen.over(found, fitting)
        return [row.item for _, row in sorted(now.items())]

    def vectors(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the vectors (n, dim) of items, removed ones too, in the order asked for."""
        with self._lock:
            seen = self._seen()
            rows = self._rows_of(ids)
            for id_ in ids:
                if id_ not in rows:
                    raise self._no_item(id_)
                if rows[id_].serial == NO_VECTOR:
                    raise GalleryError(
                        f"gave up the vector of item {id_:016x} when it was compacted",
                        path=self.address,
                    )
            found = self._stored([id_ for id_ in rows if id_ not in seen.vectors])
            held = [seen.vectors[id_] if id_ in seen.vectors else found[id_] for id_ in ids]
        return np.stack(held) if held else np.empty((0, self.dim), np.float32)

    def _stored(self, ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """Return vectors by id, as they are in the collection."""
        found = self._server.rows(ITEMS, "id", ids, ["id", "vector"], size=4 * self.dim)
        held = {int(row["id"]): np.array(row["vector"], np.float32) for row in found}
        missing = [id_ for id_ in ids if id_ not in held]
        if missing:
            raise self._no_item(missing[0])
        return held

    def _no_item(self, id_: int) -> GalleryError:
        return GalleryError(f"holds no item {id_:016x}", path=self.address)

    def document(self, name: str, missing: Any = None) -> Any:
        """Return a document; `missing` where there is none of this name."""
        key = key_of(name)
        with self._lock:
            seen = self._seen()
            if name in seen.documents:
                text = seen.documents[name]
            else:
                text = self._texts.read([key]).get(key, (0, None))[1]
        return missing if text is None else json.loads(text)

    def documents(self, prefix: str) -> dict[str, Any]:
        """Return the documents whose names begin so, by name, in order of their names."""
        with self._lock:
            seen = self._seen()
            names = self._names(prefix, seen)
            keys = [key_of(name) for name in names if name not in seen.documents]
            found = self._texts.read(keys)
        bodies: dict[str, Any] = {}
        for name in names:
            text = seen.documents.get(name) or found.get(key_of(name), (0, None))[1]
            if text is not None:  # taken away since its name was read
                bodies[name] = json.loads(text)
        return bodies

    def names(self, prefix: str) -> list[str]:
        """Return the names of the documents that begin so, in order."""
        with self._lock:
            return self._names(prefix, self._seen())

    def _names(self, prefix: str, seen: Changes) -> list[str]:
        names = {name_of(key) for key in self._texts.keys(key_of(prefix))}
        for name, text in seen.documents.items():
            if name.startswith(prefix):
                (names.discard if text is None else names.add)(name)
        return sorted(names)

    def file(self, name: str) -> bytes:
        """Return a file that the gallery was made with; OSError where there is none."""
        body = self.document(FILES + name)
        if body is None:
            raise FileNotFoundError(2, "No such file or directory")
        return base64.b64decode(body)

    def revision(self) -> int:
        """Return a number that changes when anything was committed, by any process."""
        with self._lock:
            known = None if self._changes is None else self._state[0]
            version = self._texts.version(STATE) or 0 if known is None else known
            # A journal changes nothing by being emptied.
            return (version + 1) // 2 * (1 << 40) + self._steps
