"""Gallery format 1 byte by byte: tables, row checksums, vector files, and what counts as damage.

Every catalogue row ends with a CRC-32 over its other columns; every item's row names its row in the
vector file and the CRC-32 of that vector's bytes.
"""

import contextlib
import io
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from houndsight.types import Item

__all__ = [
    "APPLICATION_ID",
    "AT_ONCE",
    "CATALOGUE",
    "COLUMNS",
    "FORMAT",
    "INSERT_ITEM",
    "NO_ROW",
    "SCHEMA",
    "Fault",
    "chunks",
    "connect",
    "copy_rows",
    "copy_start",
    "document_crc",
    "document_row",
    "faults",
    "fill_catalogue",
    "make_below",
    "make_folder",
    "mended_rows",
    "norms",
    "record",
    "sync_folder",
    "values",
    "vector_file",
    "write_catalogue",
    "write_file",
]

CATALOGUE = "catalogue.sqlite"
FORMAT = 1
APPLICATION_ID = 0x686F756E  # "houn"
PATIENCE_S = 60.0  # how long a short transaction waits for another process's
NO_ROW = -1  # the row of an item whose vector was given up
COLUMNS = tuple(field.name for field in fields(Item))
_ALL = (*COLUMNS, "row", "vector_crc", "crc")
values = attrgetter(*COLUMNS)  # of an item; dataclasses.astuple takes 20 times as long
# Not INSERT OR REPLACE: that would silently delete another item that has the path.
INSERT_ITEM = (
    f"INSERT INTO items VALUES ({', '.join('?' * len(_ALL))}) ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _ALL[1:])
)
BLOCK = 4096
AT_ONCE = 900  # values in one statement

SCHEMA = (
    """CREATE TABLE items (
        id INTEGER PRIMARY KEY, root INTEGER NOT NULL, path BLOB NOT NULL, label TEXT,
        label_source TEXT, digest BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
        width INTEGER NOT NULL, height INTEGER NOT NULL, removed TEXT,
        row INTEGER NOT NULL, vector_crc INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT""",
    "CREATE UNIQUE INDEX items_place ON items (root, path) WHERE removed IS NULL",
    "CREATE INDEX items_path ON items (path)",
    "CREATE INDEX items_digest ON items (digest)",
    "CREATE INDEX items_row ON items (row)",
    """CREATE TABLE documents (
        name TEXT PRIMARY KEY, body TEXT NOT NULL, crc INTEGER NOT NULL) STRICT""",
    "CREATE TABLE vectors (generation INTEGER NOT NULL, dim INTEGER NOT NULL) STRICT",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT}",
)


def connect(folder: Path) -> sqlite3.Connection:
    """Open the catalogue; statements commit by themselves outside BEGIN.

    In a folder that may not be written SQLite cannot make the files that tell readers of writers;
    it is told that nobody writes.
    """
    locked = not os.access(folder, os.W_OK)
    place = (folder / CATALOGUE).absolute().as_uri()
    db = sqlite3.connect(
        f"{place}?mode=ro&immutable=1" if locked else f"{place}?mode=rw",
        timeout=PATIENCE_S,
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )
    # Whoever made the file may have put anything into it (https://sqlite.org/security.html).
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    return db


def vector_file(folder: Path, generation: int) -> Path:
    """Return the file of float32 rows that a generation's vectors are in."""
    return folder / f"vectors-{generation}.bin"


def write_catalogue(path: Path, dim: int, documents: Mapping[str, Any]) -> None:
    """Write a new catalogue without items, synced to the disk."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = FULL")
        fill_catalogue(db, dim, documents)


def fill_catalogue(db: sqlite3.Connection, dim: int, documents: Mapping[str, Any]) -> None:
    """Make an empty database a catalogue without items."""
    db.execute("BEGIN")
    for statement in SCHEMA:
        db.execute(statement)
    db.execute("INSERT INTO vectors VALUES (1, ?)", (dim,))
    for name, body in documents.items():
        db.execute("INSERT INTO documents VALUES (?, ?, ?)", document_row(name, body))
    db.execute("COMMIT")


def document_row(name: str, body: Any) -> tuple[str, str, int]:
    """Return a document's catalogue row, checksum included."""
    text = json.dumps(body, sort_keys=True)
    return name, text, document_crc(name, text)


def record(item: Item, row: int, vector_crc: int) -> tuple[Any, ...]:
    """Return an item's catalogue row, checksum included."""
    whole = (*values(item), row, vector_crc)
    return (*whole, zlib.crc32(repr(whole).encode("utf-8", "backslashreplace")))


def document_crc(name: str, body: str) -> int:
    """Return the checksum of a document's catalogue row."""
    return zlib.crc32(f"{name}\0{body}".encode())


def chunks(values: list[Any]) -> Iterator[list[Any]]:
    """Cut a list into pieces that fit SQLite's limit on parameters."""
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]


def norms(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the Euclidean norms of rows, float64 (m,), a block of rows in memory at a time."""
    blocks = [vectors[start : start + BLOCK] for start in range(0, len(vectors), BLOCK)]
    squares = [np.einsum("ij,ij->i", block, block, dtype=np.float64) for block in blocks]
    return np.sqrt(np.concatenate(squares)) if squares else np.empty(0)


def copy_rows(mapped: NDArray[np.float32], rows: Sequence[int], path: Path) -> None:
    """Write the named rows into a new vector file, synced to the disk."""
    with path.open("wb") as file:
        for start in range(0, len(rows), BLOCK):
            file.write(mapped[list(rows[start : start + BLOCK])].tobytes())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def copy_start(path: Path, size: int, to: Path) -> None:
    """Copy a file's first bytes, synced to the disk; EOFError if it has fewer."""
    with path.open("rb") as source, to.open("wb") as target:
        left = size
        while left:
            data = source.read(min(left, 1 << 24))
            if not data:
                raise EOFError
            target.write(data)
            left -= len(data)
        target.flush()
        os.fsync(target.fileno())


def mended_rows(
    path: Path, rows: int, dim: int, fresh: Mapping[int, NDArray[np.float32]], to: Path
) -> None:
    """Write a vector file anew with other vectors in some rows, synced to the disk.

    What the old file lacks, and numbers that are not finite, become zeros.
    """
    old = open(path, "rb") if path.exists() else io.BytesIO()  # noqa: SIM115
    with old, to.open("wb") as file:
        for start in range(0, rows, BLOCK):
            count = min(BLOCK, rows - start)
            data = old.read(count * dim * 4).ljust(count * dim * 4, b"\0")
            block = np.frombuffer(data, "<f4").reshape(count, dim).copy()
            block[~np.isfinite(block)] = 0
            for row in range(start, start + count):
                if row in fresh:
                    block[row - start] = fresh[row]
            file.write(block.tobytes())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(to.parent)


def write_file(path: Path, content: bytes) -> None:
    """Write a file, synced to the disk; its name is durable once its folder is synced."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, their names durable; one that is there stays."""
    if not folder.is_dir():
        make_folder(folder.absolute().parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.absolute().parent)


def make_below(folder: Path, wanted: Path) -> None:
    """Make a folder below another that is there; FileNotFoundError if that one is gone.

    It may have been moved: what is written into a new folder of its name would be lost.
    """
    if wanted == folder:
        return
    try:
        wanted.mkdir(exist_ok=True)
    except FileNotFoundError:
        if wanted.parent == folder:
            raise
        make_below(folder, wanted.parent)
        wanted.mkdir(exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable, where the system knows such a thing."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is damaged: `what`, of which item if of one's; only its `vector`, or more."""

    what: str
    item: Item | None = None
    vector: bool = False

    def __str__(self) -> str:
        return self.what if self.item is None else f"item {self.item.key}: {self.what}"


def faults(db: sqlite3.Connection, folder: Path) -> Iterator[Fault]:
    """Find what is damaged: SQLite's own check, every checksum, every vector."""
    try:
        yield from _faults(db, folder)
    except (sqlite3.DatabaseError, TypeError, ValueError, OverflowError) as error:
        yield Fault(f"catalogue: {error}")


def _faults(db: sqlite3.Connection, folder: Path) -> Iterator[Fault]:
    for (line,) in db.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Fault(f"catalogue: {line}")
    db.execute("BEGIN")  # one view of catalogue and vector file
    try:
        for name, body, crc in db.execute("SELECT name, body, crc FROM documents"):
            if crc != document_crc(name, body):
                yield Fault(f"document {name!r}: its checksum does not fit")
            elif not _is_json(body):
                yield Fault(f"document {name!r}: is not JSON")
        yield from _faulty_items(db, folder)
    finally:
        db.execute("COMMIT")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _faulty_items(db: sqlite3.Connection, folder: Path) -> Iterator[Fault]:
    generation, dim = db.execute("SELECT generation, dim FROM vectors").fetchone()
    path = vector_file(folder, generation)
    used: set[int] = set()
    gone = ""
    try:
        file: BinaryIO = path.open("rb")
    except OSError as error:
        gone, file = f"{path.name}: {error.strerror}", io.BytesIO()
        yield Fault(gone, vector=True)
    with file:
        for *values, crc in db.execute("SELECT * FROM items ORDER BY row"):
            *_, row, vector_crc = values
            item = Item(*values[: len(COLUMNS)])
            if record(item, row, vector_crc)[-1] != crc:
                yield Fault("the checksum of its catalogue row does not fit", item)
                continue
            if row == NO_ROW and item.removed:
                continue
            file.seek(row * dim * 4)
            data = file.read(dim * 4)
            if len(data) < dim * 4:
                what = gone or f"{path.name} ends before its vector, row {row}"
                yield Fault(what, item, vector=True)
            elif zlib.crc32(data) != vector_crc:
                what = f"the checksum of its vector, row {row}, does not fit"
                yield Fault(what, item, vector=True)
            elif not np.isfinite(np.frombuffer(data, "<f4")).all():
                yield Fault("its vector holds a value that is not finite", item, vector=True)
            if row in used:
                yield Fault(f"its row {row} is also another item's", item, vector=True)
            used.add(row)
