"""Items, vectors and documents in a folder, gallery format 1: how they are written and read.

One SQLite catalogue and one mapped file of vectors. Order of writing: vectors, fsync, then the
catalogue's commit. A row counts once the commit that names it is done; what a crash leaves behind
it is ignored and overwritten.
"""

import contextlib
import json
import operator
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from houndsight.errors import DamagedGallery, GalleryBusy, GalleryError, NewerFormat, NotAGallery
from houndsight.stores import layout
from houndsight.stores.faults import RESTORE, UNREADABLE, damaged_rows, told
from houndsight.stores.lock import held
from houndsight.stores.migrating import migrate
from houndsight.stores.trust import check_files, check_schema
from houndsight.types import Item

__all__ = ["LocalCatalogue"]

T = TypeVar("T")
# More numbers than any network's vector has.
MOST_DIM = 1 << 20
# Behind every name that begins alike, so that such names are found by their index.
LAST = "\U0010ffff"
NAMES = ", ".join(layout.COLUMNS)


class Moment(threading.local):
    """The revision that this thread reads at, while all that it reads is of one moment."""

    revision: int | None = None

    @contextlib.contextmanager
    def held(self, revision: int) -> Iterator[None]:
        before, self.revision = self.revision, revision
        try:
            yield
        finally:
            self.revision = before


class LocalCatalogue:
    """The part of a store in a folder that writes and reads, and does not search."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._check_place()
        # One connection for all threads; the lock keeps their statements apart.
        self._lock = threading.RLock()
        try:
            self._db = self._connect()
        except UNREADABLE as error:
            raise told(error, folder) from error
        with contextlib.ExitStack() as unless_opened:
            unless_opened.callback(self._db.close)
            self._prepare()
            unless_opened.pop_all()
        self._mapped: dict[int, NDArray[np.float32]] = {}  # by generation, the newest only
        self._written: FileIO | None = None  # the vector file, once a transaction adds rows
        self._rolled_back = 0
        self._moment = Moment()

    def _prepare(self) -> None:
        """Check the catalogue, and say how it is to be written."""
        try:
            self._check_format()
            # Not before: a file that is not ours, or is newer, stays as it is.
            if os.access(self.folder, os.W_OK):
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
            self.dim = self._stored_dim()
        except UNREADABLE as error:
            raise told(error, self.folder) from error
        except TypeError as error:
            raise self._damaged(f"the catalogue cannot be read: {error}") from error

    def _check_place(self) -> None:
        if not (self.folder / layout.CATALOGUE).is_file():
            if self.folder.is_dir():
                cause, more = "is a folder, but no gallery", "Make one of photos: "
            elif self.folder.exists():
                cause, more = "is a file, not a gallery", "Name the gallery's folder, or make one: "
            else:
                cause, more = "there is no gallery here", "Check the name, or make one: "
            raise NotAGallery(
                cause,
                path=self.folder,
                remedy=f"{more}houndsight index PHOTOS -g GALLERY",
            )

        check_files(self.folder, layout.CATALOGUE)

    def _stored_dim(self) -> int:
        (dim,) = self._db.execute("SELECT dim FROM vectors").fetchone()
        if not 1 <= dim <= MOST_DIM:
            raise DamagedGallery(
                f"says that vectors have {dim} numbers",
                path=self.folder / layout.CATALOGUE,
                remedy="Restore it from a backup, or index the photos into a new gallery",
            )
        return int(dim)

    def _connect(self) -> sqlite3.Connection:
        return layout.connect(self.folder)

    def _damaged(self, cause: str) -> DamagedGallery:
        return DamagedGallery(cause, path=self.folder / layout.CATALOGUE, remedy=RESTORE)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Keep other threads out, and tell what SQLite says with the place."""
        with self._lock:
            try:
                yield
            except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
                raise
            except UNREADABLE as error:
                raise told(error, self.folder) from error

    @classmethod
    def create(
        cls,
        folder: Path,
        dim: int,
        documents: Mapping[str, Any],
        files: Mapping[str, bytes | None] | None = None,
    ) -> Self:
        """Make a new, empty store in a folder that is absent or empty.

        `files` are put into it; of those that are None nothing may be left by a making that was
        killed.

        Raises
        ------
        GalleryError
            If the folder holds anything, or cannot be made.
        """
        try:
            files = files or {}
            layout.make_folder(folder)
            cls.check_free(folder, tuple(files))
            # Filled under another name first: a catalogue is there whole or not at all.
            draft = folder / f".{layout.CATALOGUE}.draft-{os.getpid()}"
            draft.unlink(missing_ok=True)
            if (folder / layout.CATALOGUE).exists():
                raise FileExistsError
            layout.write_catalogue(draft, dim, documents)
            layout.vector_file(folder, 1).touch()
            for name, content in files.items():
                if content is None:
                    (folder / name).unlink(missing_ok=True)
                else:
                    layout.write_file(folder / name, content)
            layout.sync_folder(folder)
            os.link(draft, folder / layout.CATALOGUE)  # fails where rename would replace
            draft.unlink()
            layout.sync_folder(folder)
        except FileExistsError:
            if folder.is_file():
                raise GalleryError(
                    "is a file", path=folder, remedy="Name a new folder for the gallery"
                ) from None
            raise GalleryBusy(
                "is a gallery that another process has just made",
                path=folder,
                remedy="Run the command again, or name a new folder for the gallery",
            ) from None
        except (OSError, sqlite3.Error) as error:
            raise GalleryError(
                f"cannot be made: {getattr(error, 'strerror', None) or error}",
                path=folder,
                remedy="Name a new folder in a place that can be written",
            ) from error
        return cls(folder)

    @staticmethod
    def check_free(folder: Path, files: tuple[str, ...] = ()) -> None:
        """Raise NotAGallery if a folder has other things in it than a killed `create` leaves."""
        ours = (f".{layout.CATALOGUE}", layout.vector_file(folder, 1).name, *files)
        if folder.is_dir() and any(
            not path.name.startswith((*ours, layout.CATALOGUE)) for path in folder.iterdir()
        ):
            raise NotAGallery(
                "is a folder with other things in it, and no gallery",
                path=folder,
                remedy="Name a new or empty folder for the gallery",
            )

    def _check_format(self) -> None:
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if application != layout.APPLICATION_ID:
            raise NotAGallery("is no houndsight catalogue", path=self.folder / layout.CATALOGUE)
        if version > layout.FORMAT:
            raise NewerFormat(
                f"is gallery format {version}, this houndsight reads up to {layout.FORMAT}",
                path=self.folder,
                remedy="Install a newer houndsight",
            )
        if version < layout.FORMAT:
            self._migrate()
        check_schema(self._db, layout.SCHEMA, self.folder / layout.CATALOGUE)

    def _migrate(self) -> None:
        migrate(self._db, self.folder)

    # Writing

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is read and written inside all or nothing, and alone."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._sync_vectors()
                    self._db.execute("COMMIT")
                except BaseException:
                    self._rolled_back += 1
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
                finally:
                    with contextlib.suppress(OSError):  # what has failed before is to be told
                        self._leave_vectors()
            except UNREADABLE as error:
                # What does not fit what is stored (IntegrityError) is for whoever asked for it.
                if isinstance(error, (sqlite3.ProgrammingError, sqlite3.IntegrityError)):
                    raise
                if isinstance(damage := told(error, self.folder), DamagedGallery):
                    raise damage from error
                raise self._unwritten(error) from error
            except OSError as error:
                raise self._unwritten(error) from error

    def _unwritten(self, error: Exception) -> GalleryError:
        return GalleryError(
            f"cannot be written: {error}; nothing of this step was stored",
            path=self.folder,
            remedy="Check the space and the rights there, and run the command again",
        )

    @contextlib.contextmanager
    def appending(self) -> Iterator[None]:
        """Hold the right to add many vectors; GalleryBusy if another process holds it.

        It keeps a second indexing, or a compact, from starting for nothing. What keeps vectors
        whole is the catalogue's write lock, see `_append`.
        """
        with held(self.folder):
            yield

    def put(self, items: Sequence[Item], vectors: Mapping[int, NDArray[np.float32]]) -> None:
        """Write items; `vectors` holds those that are new or have changed, by item id.

        A new item that is removed already may have none.
        """
        with self.transaction():
            fresh = [item.id for item in items if item.id in vectors]
            places = self._append([vectors[id_] for id_ in fresh]) if fresh else []
            place = dict(zip(fresh, places, strict=True))
            others = [item for item in items if item.id not in place]
            stored = {item.id: (layout.NO_ROW, 0) for item in others if item.removed is not None}
            stored |= self._known_places([item.id for item in others])
            _check_all_there([item.id for item in others], stored, self.folder)
            self._db.executemany(
                layout.INSERT_ITEM,
                (layout.record(item, *(place.get(item.id) or stored[item.id])) for item in items),
            )

    def _append(self, vectors: list[NDArray[np.float32]]) -> list[tuple[int, int]]:
        """Write rows behind the last that counts; returns (row, crc) of each.

        Safe beside a process that is indexing or compacts, with no further lock: file and end are
        looked up within BEGIN IMMEDIATE, and no other process writes a row, or another file, until
        the rows are named by this transaction's commit. Both of those go by the same rule.
        """
        block = np.ascontiguousarray(np.stack(vectors), dtype="<f4")
        if block.shape[1] != self.dim:
            raise GalleryError(
                f"takes vectors of {self.dim} numbers, not {block.shape[1]}", path=self.folder
            )
        if not np.isfinite(block).all():
            raise GalleryError("a vector holds a value that is not finite", path=self.folder)
        first = self._end()
        data = memoryview(block.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        path = layout.vector_file(self.folder, self._current_generation())
        if self._written is not None and Path(self._written.name) != path:  # compacted meanwhile
            self._sync_vectors()
        if self._written is None:
            # Never made here: where it is gone so is the folder, from which the catalogue was
            # opened. Without a buffer: what is held back would be written after a rollback, when
            # the rows may be another process's.
            self._written = path.open("r+b", buffering=0)
        self._written.seek(first * self.dim * 4)
        while data:
            data = data[self._written.write(data) :]
        return [(first + n, zlib.crc32(row)) for n, row in enumerate(block)]

    def _sync_vectors(self) -> None:
        """Make the rows of this transaction durable, all at once, before its commit."""
        if self._written is not None:
            os.fsync(self._written.fileno())
            self._leave_vectors()

    def _leave_vectors(self) -> None:
        if self._written is not None:
            written, self._written = self._written, None
            written.close()

    def put_document(self, name: str, body: Any | None) -> None:
        """Write a document; None takes it away."""
        with self.transaction():
            if body is None:
                self._db.execute("DELETE FROM documents WHERE name = ?", (name,))
            else:
                row = layout.document_row(name, body)
                self._db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", row)

    # Reading

    def items(self, ids: Collection[int] | None = None) -> list[Item]:
        """Return items by id, all when `ids` is None; removed ones too; ordered by id."""
        # NumPy's numbers are none to SQLite, which finds nothing by them.
        return self._items("id", None if ids is None else {*map(operator.index, ids)})

    def with_digests(self, digests: Collection[bytes], *, given_up: bool = False) -> list[Item]:
        """Return the items of which the store holds the vector, with one of these digests.

        With `given_up` also those whose vector `compact` gave up.
        """
        return self._items("digest", digests, "1" if given_up else f"row != {layout.NO_ROW}")

    def at(self, root: int, paths: Collection[bytes]) -> list[Item]:
        """Return the items of a root at these paths; removed ones too."""
        return self._items("path", paths, f"root = {int(root)}")

    def _items(
        self, column: str, values: Collection[Any] | None, condition: str = "1"
    ) -> list[Item]:
        def read(_: int = 0) -> list[Item]:
            found: list[Item] = []
            for chunk in [None] if values is None else layout.chunks(list(values)):
                among = "" if chunk is None else f"{column} IN ({', '.join('?' * len(chunk))}) AND "
                rows = self._db.execute(
                    f"SELECT {NAMES} FROM items WHERE {among}{condition}", chunk or ()
                )
                found.extend(Item(*row) for row in rows)
            return found

        if values is not None and len(values) > layout.AT_ONCE:
            found = self._in_one_view(read)
        else:
            with self._reading():  # what one statement gives is of one moment
                found = read()
        return sorted(found, key=lambda item: item.id)

    def document(self, name: str, missing: Any = None) -> Any:
        """Return a document; `missing` where there is none of this name."""
        return self._documents("name = ?", name).get(name, missing)

    def documents(self, prefix: str) -> dict[str, Any]:
        """Return the documents whose names begin so, by name, in order of their names."""
        return self._documents("name >= ? AND name < ?", prefix, prefix + LAST)

    def _documents(self, condition: str, *names: str) -> dict[str, Any]:
        with self._reading():
            rows = self._db.execute(
                f"SELECT name, body, crc FROM documents WHERE {condition} ORDER BY name", names
            ).fetchall()
        for name, body, crc in rows:
            if crc != layout.document_crc(name, body):
                raise self._damaged(f"the checksum of document {name!r} does not fit")
        try:
            return {name: json.loads(body) for name, body, _ in rows}
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"a document whose name begins {names[0]!r} is not JSON") from error

    def names(self, prefix: str) -> list[str]:
        """Return the names of the documents that begin so, in order."""
        with self._reading():
            rows = self._db.execute(
                "SELECT name FROM documents WHERE name >= ? AND name < ? ORDER BY name",
                (prefix, prefix + LAST),
            ).fetchall()
        return [name for (name,) in rows]

    def file(self, name: str) -> bytes:
        """Return a file that the gallery was made with; OSError if it cannot be read."""
        return (self.folder / name).read_bytes()

    def revision(self) -> int:
        """Return a number that changes when anything was committed, by any process."""
        if self._moment.revision is not None:
            return self._moment.revision
        with self._reading():
            (others,) = self._db.execute("PRAGMA data_version").fetchone()
            # What was read before a rollback does not count after it.
            return int(others) * (1 << 40) + self._db.total_changes + self._rolled_back

    def vectors(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the vectors (n, dim) of items, removed ones too, in the order asked for."""

        def read(generation: int) -> NDArray[np.float32]:
            places = self._places(ids)
            given_up = [id_ for id_, (row, _) in places.items() if row == layout.NO_ROW]
            if given_up:
                raise GalleryError(
                    f"gave up the vector of item {given_up[0]:016x} when it was compacted",
                    path=self.folder,
                )
            found = self._rows(generation, [places[id_][0] for id_ in ids])
            crcs = [places[id_][1] for id_ in ids]
            bad = [
                id_
                for id_, row, crc in zip(ids, found, crcs, strict=True)
                if zlib.crc32(row) != crc
            ]
            if bad:
                raise damaged_rows([f"{id_:016x}" for id_ in bad], self.folder)
            return found

        return self._in_one_view(read)

    def _rows(self, generation: int, rows: list[int]) -> NDArray[np.float32]:
        """Return rows of a generation's vector file, (n, dim)."""
        mapped = self._map(generation, max(rows, default=-1) + 1)
        return mapped[rows].reshape(len(rows), self.dim)

    def at_one_moment(self, read: Callable[[], T]) -> T:
        """Return what `read` does; all that it reads from the store is of one moment.

        Nobody waits for it, unless something was committed meanwhile: then it is called again, in
        one transaction, for which other threads that use this store wait, and writers do not.
        """
        revision = self.revision()
        with contextlib.suppress(GalleryError):  # what it read may not have fitted together
            with self._moment.held(revision):
                found = read()
            if self.revision() == revision:
                return found
        return self._in_one_view(lambda _: read())

    def _in_one_view(self, read: Callable[[int], T]) -> T:
        """Call what reads the catalogue and the vector file of the generation that it is given.

        Both are of one moment: where another process compacts in between and deletes that file,
        it is called again.
        """
        with self._reading():
            if self._db.in_transaction:
                return read(self._current_generation())
            while True:
                self._db.execute("BEGIN")
                generation = -1
                try:
                    generation = self._current_generation()
                    with self._moment.held(self.revision()):
                        return read(generation)
                except DamagedGallery:
                    self._db.execute("COMMIT")
                    if self._current_generation() == generation:
                        raise
                finally:
                    if self._db.in_transaction:
                        self._db.execute("COMMIT")

    def _places(self, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Return (row, crc) by id."""
        places = self._known_places(ids)
        _check_all_there(ids, places, self.folder)
        return places

    def _known_places(self, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Return (row, crc) by id, of those that are here."""
        places: dict[int, tuple[int, int]] = {}
        for chunk in layout.chunks(list(ids)):
            among = ", ".join("?" * len(chunk))
            for id_, row, crc in self._db.execute(
                f"SELECT id, row, vector_crc FROM items WHERE id IN ({among})", chunk
            ):
                if not isinstance(row, int):
                    raise self._wrong_rows()
                places[id_] = (row, crc)
        return places

    def _current_generation(self) -> int:
        return self._number("SELECT generation FROM vectors")

    def _number(self, query: str) -> int:
        """Return the number that a query gives; DamagedGallery if it gives anything else."""
        found = self._db.execute(query).fetchone()
        if found is None or not isinstance(found[0], int):
            raise self._damaged(
                "the catalogue cannot be read: something else is in a number's place"
            )
        return found[0]

    def _map(self, generation: int, rows: int) -> NDArray[np.float32]:
        """Map the first rows of a generation's vector file."""
        if rows < 0:
            raise self._wrong_rows()
        if rows == 0:
            return np.empty((0, self.dim), np.float32)
        mapped = self._mapped.get(generation)
        if mapped is not None and len(mapped) >= rows:
            return mapped[:rows]
        path = layout.vector_file(self.folder, generation)
        try:
            # NumPy's own product overflows where the catalogue names an absurd row.
            if path.stat().st_size < rows * self.dim * 4:
                raise ValueError
            mapped = np.asarray(np.memmap(path, np.dtype("<f4"), "r", shape=(rows, self.dim)))
        except (OSError, ValueError) as error:
            raise self._too_few(path) from error
        self._mapped = {generation: mapped}
        return mapped

    def _too_few(self, path: Path) -> DamagedGallery:
        return DamagedGallery(
            f"holds fewer than the {self._end()} vectors that the catalogue names",
            path=path,
            remedy="Run houndsight repair: it embeds damaged photos again",
        )

    def _wrong_rows(self) -> DamagedGallery:
        return self._damaged("the catalogue names rows twice, or rows that there are not")

    def _end(self) -> int:
        """Return the row behind the last that counts."""
        last = self._number("SELECT coalesce(max(row), -1) FROM items")
        if last < layout.NO_ROW:
            raise self._wrong_rows()
        return last + 1

    def close(self) -> None:
        """Release files."""
        with self._lock:
            self._mapped.clear()
            self._db.close()


def _check_all_there(ids: Sequence[int], places: Mapping[int, Any], folder: Path) -> None:
    missing = [id_ for id_ in ids if id_ not in places]
    if missing:
        raise GalleryError(f"holds no item {missing[0]:016x}", path=folder)
