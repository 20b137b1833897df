"""Vectors from a file into a new gallery."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight import images
from houndsight.ahead import ahead
from houndsight.drafts import check_new, draft_folder
from houndsight.errors import ImageError, InputError
from houndsight.exchange import npz, parquet
from houndsight.exchange.incoming import Incoming
from houndsight.exchange.read_rows import Row, read_rows
from houndsight.exchange.settings import foreign_settings, own_settings
from houndsight.gallery import Gallery, Root, as_folder, first_id
from houndsight.gallery.documents import model_name
from houndsight.machine import available_cpus
from houndsight.remote import absolute
from houndsight.types import Item

__all__ = ["Imported", "import_vectors", "planned_import"]

READERS = {".npz": npz.read, ".parquet": parquet.read}
# What a thumbnail of 256 pixels needs.
AT_LEAST = 512


@dataclass(frozen=True, slots=True)
class Imported:
    """What was imported.

    Attributes
    ----------
    items
        How many vectors.
    photos
        How many of their photos could be read where the paths say.
    model
        What made the vectors.
    foreign
        Why no photo can be compared with them; the empty string where one can.
    """

    items: int
    photos: int
    model: str
    foreign: str


@dataclass(frozen=True, slots=True)
class _Photo:
    """What is known of a photo; `thumbnail` is None where it could not be read."""

    digest: bytes | None
    size: int = 0
    mtime_ns: int = 0
    width: int = 0
    height: int = 0
    thumbnail: bytes | None = None


def import_vectors(
    path: str | os.PathLike[str],
    gallery: str | os.PathLike[str],
    *,
    name: str | None = None,
    column: str | None = None,
    photos: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Imported:
    """Make a new gallery of vectors in a file, in their order.

    Labels, paths and ids come along, as far as the file has them, see
    `houndsight.exchange.npz.read` and ``parquet.read``. Photos that lie where the paths say get
    thumbnails. Where the file does not say that houndsight made the vectors, photos cannot be
    compared with them: the gallery can be asked for the photos in it.

    Parameters
    ----------
    path
        A file that ends in ``.npz`` or ``.parquet``.
    gallery
        A new or empty folder.
    name
        What made the vectors, where the file does not say; its own name when None.
    column
        The array or column of the vectors, unless it is called ``vectors`` or ``vector``.
    photos
        Where paths that are not absolute begin; the folder of the file when None.
    progress
        Called with (vectors done, vectors in all).

    Raises
    ------
    InputError
        If the file cannot be read or used, or the folder is not free.
    """
    plan = _plan(path, name, column, photos)
    target = as_folder(gallery)
    target.absolute().parent.mkdir(parents=True, exist_ok=True)
    with draft_folder(target) as folder, Gallery.create_for(folder, plan.settings) as library:
        found = _fill(library, plan.incoming, plan.rows, progress)
        library.tidy()
    return plan.outcome(found)


def planned_import(
    path: str | os.PathLike[str],
    gallery: str | os.PathLike[str],
    *,
    name: str | None = None,
    column: str | None = None,
    photos: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Imported:
    """Return what `import_vectors` would do; nothing is written. It raises what that does."""
    plan = _plan(path, name, column, photos)
    check_new(as_folder(gallery))
    found = 0
    for done, photo in enumerate(_seen(plan.rows), 1):
        found += photo.thumbnail is not None
        if progress is not None:
            progress(done, len(plan.rows))
    return plan.outcome(found)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A file that can be imported, and what the gallery is to put on record of it."""

    incoming: Incoming
    rows: list[Row]
    settings: dict[str, Any]
    why: str

    def outcome(self, found: int) -> Imported:
        return Imported(len(self.rows), found, model_name(self.settings), self.why)


def _plan(
    path: str | os.PathLike[str],
    name: str | None,
    column: str | None,
    photos: str | os.PathLike[str] | None,
) -> _Plan:
    file = Path(path)
    reader = READERS.get(file.suffix.lower())
    if not file.is_file():
        raise InputError(
            "is a folder, not a file" if file.is_dir() else "there is no such file",
            path=file,
            remedy="Name an .npz or .parquet file; photos are taken in by houndsight index",
        )
    if reader is None:
        raise InputError(
            f"ends neither in {' nor in '.join(READERS)}",
            path=file,
            remedy="Save vectors with numpy.savez, or as Parquet",
        )
    incoming = reader(file, column)
    base = absolute(photos if photos is not None else file.parent)
    rows = list(read_rows(incoming, base))
    checked = incoming.check()
    settings, why = own_settings(incoming, checked)
    if settings is None:
        settings = foreign_settings(name or file.stem, incoming.shape[1], checked)
    return _Plan(incoming, rows, settings, why)


def _seen(rows: list[Row]) -> Iterator[_Photo]:
    threads = available_cpus()
    return iter(ahead(_look, rows, threads=threads, depth=4 * threads))


def _fill(
    library: Gallery,
    incoming: Incoming,
    rows: list[Row],
    progress: Callable[[int, int], None] | None,
) -> int:
    """Put all vectors into a gallery; returns how many of the photos could be read."""
    place = os.path.commonpath([os.path.dirname(row.path) for row in rows])
    by_folder = any(row.label_source == "folder" for row in rows)
    root = library.root(place, "folder" if by_folder else "none")
    looked_at = _seen(rows)
    taken: set[int] = set()
    done = found = 0
    for vectors in incoming.blocks():
        some = rows[done : done + len(vectors)]
        seen = list(islice(looked_at, len(vectors)))
        items = [
            _item(row, root, photo, vector, taken)
            for row, photo, vector in zip(some, seen, vectors, strict=True)
        ]
        library.take_over(items, vectors, [photo.thumbnail for photo in seen])
        found += sum(photo.thumbnail is not None for photo in seen)
        done += len(vectors)
        if progress is not None:
            progress(done, len(rows))
    return found


def _look(row: Row) -> _Photo:
    """Read a photo, if it is the one that the file speaks of."""
    try:
        file = images.read(row.path)
        if row.digest not in (None, file.digest):
            return _Photo(row.digest)
        photo = images.decode(file.data, path=row.path, at_least=AT_LEAST)
    except ImageError:
        return _Photo(row.digest)
    picture = images.thumbnail(photo.image)
    size = len(file.data)
    return _Photo(file.digest, size, file.mtime_ns, photo.width, photo.height, picture)


def _item(
    row: Row, root: Root, photo: _Photo, vector: NDArray[np.float32], taken: set[int]
) -> Item:
    path = os.path.relpath(row.path, root.place)
    # Something of its own must stand for the bytes of a photo that nobody has seen.
    digest = photo.digest or hashlib.sha256(path + b"\0" + vector.tobytes()).digest()
    id_ = first_id(path, digest) if row.id is None else row.id
    while id_ in taken:
        id_ = (id_ + 1) % (1 << 63)
    taken.add(id_)
    return Item(
        id=id_,
        root=root.number,
        path=path,
        label=row.label,
        label_source=row.label_source,
        digest=digest,
        size=photo.size,
        mtime_ns=photo.mtime_ns,
        width=photo.width or row.width,
        height=photo.height or row.height,
    )
