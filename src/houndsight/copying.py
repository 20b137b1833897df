"""A gallery to another place, such as from a folder into Milvus and back, and nothing is embedded.

Copying can be killed at any moment: run again, it goes on where it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from houndsight.errors import GalleryError, counted
from houndsight.gallery import Gallery, Unfinished, copy_photo
from houndsight.gallery.intake import BY_HAND
from houndsight.stores import Store
from houndsight.stores.address import Address, located
from houndsight.types import Item, Where

__all__ = ["Copied", "copy_gallery", "vectors_digest"]

TOGETHER = 512  # items of one transaction
OURS = ("settings", "indexing", "files/")  # documents that the copy has of its own


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied.

    Attributes
    ----------
    photos
        How many are in the copy.
    items, vectors
        How many it has with those that were removed; and how many vectors.
    written
        Items that were not there from an earlier run.
    digest
        SHA-256 of all ids and vectors, the same for source and copy.
    """

    photos: int
    items: int
    vectors: int
    written: int
    digest: str


def copy_gallery(
    source: Gallery,
    place: str | os.PathLike[str],
    progress: Callable[[int, int], None] | None = None,
) -> Copied:
    """Copy a gallery to a new place, bit by bit, and hold the copy against it.

    Items keep their ids; removed ones, learned metrics, calibrations and the history come along.
    Until all is there and verified nothing else can open the copy.

    Parameters
    ----------
    source
        It is not changed, and should not be changed meanwhile.
    place
        A new or empty folder, or an address in Milvus; or where copying it was begun before.
    progress
        Called with (items done, items in all).

    Raises
    ------
    GalleryError
        If there is a gallery at the place already, it cannot be written, the copy is not equal to
        the source in the end, or photos that were added by hand would go into Milvus.
    """
    items = {item.id: item for item in source.store.items()}
    order, held = _in_order(source, items)
    by_hand = sum(items[id_].root == BY_HAND for id_ in held)
    with _opened(source, place, by_hand) as copy, copy.appending():
        written = 0
        for start in range(0, len(order), TOGETHER):
            some = order[start : start + TOGETHER]
            written += _take(source, copy, [items[id_] for id_ in some], held)
            if progress is not None:
                progress(start + len(some), len(order))
        _take_documents(source.store, copy.store)
        digest = _verified(source, copy)
        copy.finish()
        copy.tidy()
        return Copied(len(copy), len(items), len(held), written, digest)


@contextlib.contextmanager
def _opened(source: Gallery, place: str | os.PathLike[str], by_hand: int) -> Iterator[Unfinished]:
    """Open the copy, made if need be; `by_hand` is how many photos were, removed ones too."""
    if Gallery.exists(place):
        opened = Unfinished(place, source)
    else:
        if by_hand and isinstance(located(place), Address):
            raise GalleryError(
                f"holds {counted(by_hand, 'photo')} added by hand, and Milvus keeps no photos",
                path=source.place,
                remedy="Put them into a folder and index that into this gallery, remove them from "
                "it and run houndsight compact; or copy to a folder",
            )
        opened = Unfinished.begin(place, source)
    try:
        yield opened
    finally:
        opened.close()


def _in_order(source: Gallery, items: dict[int, Item]) -> tuple[list[int], set[int]]:
    """Return all ids, in the order in which they came in, and those that have a vector."""
    live = source.store.ids(Where()).tolist()
    gone = [id_ for id_, item in items.items() if item.removed is not None]
    there = source.store.with_digests({items[id_].digest for id_ in gone})
    held = {*live, *({item.id for item in there} & set(gone))}
    return [*live, *gone], held


def _take(source: Gallery, copy: Gallery, items: Sequence[Item], held: set[int]) -> int:
    """Copy items that the copy lacks or has otherwise; returns how many."""
    there = {item.id: item for item in copy.store.items([item.id for item in items])}
    new = [item for item in items if there.get(item.id) != item]
    wanted = [item.id for item in new if item.id in held]
    vectors = dict(zip(wanted, source.store.vectors(wanted), strict=True))
    for item in new:
        copy_photo(copy, item, source)
    if new:
        copy.store.put(new, vectors)
    return len(new)


def _take_documents(source: Store, copy: Store) -> None:
    with copy.transaction():
        wanted = {name for name in source.names("") if not name.startswith(OURS)}
        for name in copy.names(""):
            if name not in wanted and not name.startswith(OURS):
                copy.put_document(name, None)
        for kind in sorted({name.split("/")[0] for name in wanted}):
            for name, body in source.documents(kind).items():
                if name in wanted:
                    copy.put_document(name, body)


def _verified(source: Gallery, copy: Gallery) -> str:
    """Return the digest that source and copy have; GalleryError if they are not the same."""
    digest = vectors_digest(copy)
    same = source.store.items() == copy.store.items() and digest == vectors_digest(source)
    if not same:
        raise GalleryError(
            f"is not the same as {source.place}, which was changed meanwhile",
            path=copy.place,
            remedy="Run the same houndsight copy again, while nobody changes that gallery",
        )
    return digest


def vectors_digest(gallery: Gallery) -> str:
    """Return the SHA-256, in hexadecimal, of all ids and vectors, in order of the ids.

    Each is the id as 8 bytes and the vector as float32, both little-endian; of an item whose
    vector was given up the id alone.
    """
    items = {item.id: item for item in gallery.store.items()}
    _, held = _in_order(gallery, items)
    ids, digest = sorted(items), hashlib.sha256()
    for start in range(0, len(ids), TOGETHER):
        some = ids[start : start + TOGETHER]
        wanted = [id_ for id_ in some if id_ in held]
        vectors = dict(zip(wanted, gallery.store.vectors(wanted), strict=True))
        for id_ in some:
            digest.update(id_.to_bytes(8, "little"))
            if id_ in vectors:
                digest.update(vectors[id_].astype("<f4").tobytes())
    return digest.hexdigest()
