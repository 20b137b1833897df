"""The local store: its catalogue and vectors, searched, copied, mended and compacted."""

import contextlib
import sqlite3
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from houndsight.maps import Space
from houndsight.stores import layout
from houndsight.stores.catalogue import LocalCatalogue
from houndsight.stores.derived import damaged, derived, forget
from houndsight.stores.reduced import reduced, stamp, tidy
from houndsight.stores.snapshot import Rows, Snapshot, Sound
from houndsight.types import Item, Where

__all__ = ["LocalStore"]


class LocalStore(LocalCatalogue):
    """A folder with a catalogue and a vector file.

    Parameters
    ----------
    folder
        An existing gallery; use `create` for a new one.

    Raises
    ------
    NotAGallery, NewerFormat, DamagedGallery
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._snapshot: Snapshot | None = None
        self._spaces: dict[str, Rows] = {}  # by the name of a space
        self._sound = Sound(0, 0)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is read and written inside all or nothing, and alone."""
        try:
            with super().transaction():
                yield
        except BaseException:
            with self._lock:  # what was learned of rows that others get now
                self._spaces.clear()
                self._sound = Sound(0, 0)
            raise

    # Searching

    def ids(self, where: Where) -> NDArray[np.int64]:
        """Return the ids of live items, (n,), in the order in which their vectors were added."""
        with self._reading():
            return self._live().ids_of(where)

    def labels(self) -> dict[str | None, int]:
        """Return how many live items have each label, or None."""
        with self._reading():
            return self._live().counted()

    def items(self, ids: Collection[int] | None = None) -> list[Item]:
        """Return items by id, all when `ids` is None; removed ones too; ordered by id."""
        live = self._snapshot
        if ids is None or live is None or live.revision != self.revision():
            return super().items(ids)
        return live.shown.of(ids, super().items, lambda: self._items("id", None, "removed IS NULL"))

    def candidates(
        self,
        queries: NDArray[np.float32],
        k: int,
        where: Where,
        space: Space,
        looked_at: int | None = None,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """For each query ids of live items that surely contain its k nearest in a space.

        With their vectors as stored, (n, dim). Most likely, where only `looked_at` vectors are
        looked at in full.
        """
        with self._reading():
            live = self._live()
            among = self._rows_in(space, live)
        return live.candidates(queries, k, where, among, looked_at)

    def _live(self) -> Snapshot:
        """Return the live part of the catalogue, read again only when something was committed."""
        revision = self.revision()
        if self._snapshot is None or self._snapshot.revision != revision:
            self._snapshot = self._in_one_view(lambda now: self._read_live(revision, now))
        return self._snapshot

    def _read_live(self, revision: int, generation: int) -> Snapshot:
        found = self._db.execute(
            "SELECT id, row, label, vector_crc FROM items WHERE removed IS NULL ORDER BY row"
        ).fetchall()
        stored = self._map(generation, self._end())
        self._sound = self._sound.extended(generation, len(stored))
        try:
            live = Snapshot.of(revision, found, generation, stored, self._sound, self.folder)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._damaged(f"the catalogue cannot be read: {error}") from error
        rows = live.rows
        if len(rows) and (rows[0] < 0 or rows[-1] >= len(stored) or (np.diff(rows) <= 0).any()):
            raise self._wrong_rows()
        return live

    def _rows_in(self, space: Space, live: Snapshot) -> Rows:
        """Return what the stored rows are in a space; what is known of them is kept."""
        before = self._spaces.get(space.name)
        if before and before.generation != live.generation:
            before = None
        now = stamp(self.folder, live.generation, space)
        if before and len(before.vectors) == len(live.stored) and before.reduced.stamp == now:
            return before
        vectors = self._placed(space, live.generation, live.stored)
        short = before.reduced if before else None
        short = reduced(self.folder, live.generation, space, vectors, short)
        rows = self._spaces[space.name] = Rows(live.generation, vectors, short, before)
        return rows

    def _placed(
        self, space: Space, generation: int, stored: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return stored rows in a space, mapped."""
        return stored if space.name == "base" else derived(self.folder, generation, space, stored)

    def shortcut(self, space: Space) -> str:
        """Return what names the way an approximate search takes; empty where it is exact."""
        with self._reading():
            live = self._live()
            levels = self._rows_in(space, live).reduced.levels
        return f"{live.generation}-{levels[0].reduction.basis.key}" if levels else ""

    # Upkeep

    def tidy(self, space: Space) -> None:
        """Bring up to date what makes searches in a space quick."""

        def read(generation: int) -> tuple[int, NDArray[np.float32]]:
            return generation, self._map(generation, self._end())

        generation, stored = self._in_one_view(read)
        tidy(self.folder, generation, space, self._placed(space, generation, stored))

    def verify(self) -> list[str]:
        """Return what is damaged, one sentence each; nothing when all is well."""
        faults = self.faults()
        # A vector file that is gone is said once, not for each item.
        whole = {fault.what for fault in faults if fault.item is None}
        shown = [fault for fault in faults if fault.item is None or fault.what not in whole]
        return [*map(str, shown), *damaged(self.folder)]

    def faults(self) -> list[layout.Fault]:
        """Return what is damaged of catalogue and vectors."""
        with self._reading():
            return list(layout.faults(self._db, self.folder))

    def copy_to(self, folder: Path) -> None:
        """Write a copy of one moment into a folder, synced, also while other processes write.

        Rows that count are never written again within a generation, so no lock is needed.

        Raises
        ------
        DamagedGallery
            If there are fewer vectors than the catalogue names.
        """

        def read(generation: int) -> None:
            for left in folder.glob("vectors-*.bin"):  # of a try before another's compact
                left.unlink()
            path = layout.vector_file(self.folder, generation)
            to = layout.vector_file(folder, generation)
            try:
                layout.copy_start(path, self._end() * self.dim * 4, to)
            except (FileNotFoundError, EOFError) as error:
                raise self._too_few(path) from error
            with contextlib.closing(sqlite3.connect(folder / layout.CATALOGUE)) as copy:
                self._db.backup(copy)
            layout.sync_folder(folder)

        with self._reading():
            self._in_one_view(read)

    def mend(self, vectors: Mapping[int, NDArray[np.float32]]) -> None:
        """Put vectors in the place of damaged ones, by item id; to be called in `appending`.

        All vectors are written into a new file, to which one transaction switches.
        """
        with self.transaction():
            old, end = self._current_generation(), self._end()
            path = layout.vector_file(self.folder, old + 1)
            others = self._db.execute("SELECT id, row FROM items").fetchall()
            taken = {row for id_, row in others if id_ not in vectors}
            fresh: dict[int, NDArray[np.float32]] = {}
            items = {item.id: item for item in self._items("id", vectors)}
            for id_, (row, _) in self._places(list(vectors)).items():
                if row in taken:  # two items had one row
                    row, end = end, end + 1
                taken.add(row)
                fresh[row] = vector = np.ascontiguousarray(vectors[id_], dtype="<f4")
                record = layout.record(items[id_], row, zlib.crc32(vector.tobytes()))
                self._db.execute(layout.INSERT_ITEM, record)
            layout.mended_rows(
                layout.vector_file(self.folder, old), end, int(self.dim), fresh, path
            )
            self._db.execute("UPDATE vectors SET generation = ?", (old + 1,))
        self._forget_others(old + 1)

    def forget_derived(self) -> None:
        """Delete what was computed from vectors and documents; it is made again."""
        forget(self.folder, None)
        self._spaces.clear()

    def compact(self) -> int:
        """Give back the room of removed and superseded vectors; returns bytes gained.

        The kept rows are copied into a new file, to which one transaction switches; processes that
        have the old file mapped go on reading it. Photos removed by hand stay known, without
        vector, so that indexing does not bring them back.
        """
        # The lock is held to the end, or the file of a next compact would be deleted here.
        with self.appending():
            with self.transaction():
                old = self._current_generation()
                mapped = self._map(old, self._end())
                path = layout.vector_file(self.folder, old + 1)
                layout.copy_rows(mapped, self._renumber(), path)
                self._db.execute("UPDATE vectors SET generation = ?", (old + 1,))
                gained = layout.vector_file(self.folder, old).stat().st_size - path.stat().st_size
            self._forget_others(old + 1)
        return gained

    def _forget_others(self, generation: int) -> None:
        """Delete the files of all generations but this one.

        Also what an earlier run could not delete, as it was killed or the file was in use.
        """
        forget(self.folder, generation)
        for file in self.folder.glob("vectors-*.bin"):
            if file != layout.vector_file(self.folder, generation):
                with contextlib.suppress(OSError):
                    file.unlink()

    def _renumber(self) -> list[int]:
        """Give live items the rows from 0 on, and the others none; returns the rows they had."""
        live = self._db.execute(
            "SELECT id, row FROM items WHERE removed IS NULL ORDER BY row"
        ).fetchall()
        self._db.execute("DELETE FROM items WHERE removed IS NOT NULL AND removed != 'user'")
        moved = {id_: n for n, (id_, _) in enumerate(live)}
        for record in self._db.execute("SELECT * FROM items").fetchall():
            item = Item(*record[: len(layout.COLUMNS)])
            row, crc = moved.get(item.id, layout.NO_ROW), record[-2]
            self._db.execute(layout.INSERT_ITEM, layout.record(item, row, crc))
        return [row for _, row in live]

    def close(self) -> None:
        """Release files."""
        with self._lock:
            self._snapshot = None
            self._spaces.clear()
            super().close()
