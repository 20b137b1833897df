"""Damaged vectors are made again from their photos, where these still are what they were."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houndsight import images
from houndsight.embedder import Embedder
from houndsight.errors import DamagedGallery, ImageError
from houndsight.gallery import Gallery
from houndsight.types import Item

__all__ = ["Examination", "Repair", "examine", "repair"]


@dataclass(frozen=True, slots=True)
class Examination:
    """What is to be done about a gallery's damage.

    Attributes
    ----------
    copied
        Damaged items, each with a sound item of equal bytes, whose vector is theirs too.
    embedded
        Damaged items whose photos have to be embedded again.
    lost
        Damaged items whose vectors cannot be had again, with the reason for each.
    """

    copied: list[tuple[Item, Item]]
    embedded: list[Item]
    lost: list[tuple[Item, str]]


@dataclass(frozen=True, slots=True)
class Repair:
    """What was mended, what is lost with the reason for each, and all that is still damaged."""

    mended: list[Item]
    lost: list[tuple[Item, str]]
    damage: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    item: Item
    reason: str = ""
    pixels: NDArray[np.float32] | None = None


def examine(gallery: Gallery) -> Examination:
    """Find which vectors are damaged and which of them can be had again; changes nothing.

    Raises
    ------
    DamagedGallery
        If the catalogue is damaged: it cannot be made again from photos.
    """
    faults = gallery.local().faults()
    catalogue = [fault for fault in faults if not fault.vector]
    if catalogue:
        more = f", and {len(catalogue) - 1:,} more" if len(catalogue) > 1 else ""
        raise DamagedGallery(
            f"the catalogue is damaged, which cannot be repaired: {catalogue[0]}{more}",
            path=gallery.place,
            remedy="Restore the gallery from a backup (houndsight backup makes one), or index the "
            "photos into a new gallery",
        )
    damaged = {fault.item.id: fault.item for fault in faults if fault.item is not None}
    found = Examination([], [], [])
    sound = {
        twin.digest: twin
        for twin in gallery.store.with_digests({item.digest for item in damaged.values()})
        if twin.id not in damaged
    }
    for item in damaged.values():
        if item.digest in sound:
            found.copied.append((item, sound[item.digest]))
        elif gallery.foreign is not None:
            found.lost.append((item, "its vector was made elsewhere"))
        elif reason := _changed(gallery, item):
            found.lost.append((item, reason))
        else:
            found.embedded.append(item)
    return found


def _changed(gallery: Gallery, item: Item) -> str | None:
    """Return why an item's photo is not what it was; None where it is."""
    try:
        same = images.read(gallery.path_of(item)).digest == item.digest
    except ImageError as error:
        return error.cause
    return None if same else "the file has other bytes now"


def repair(
    gallery: Gallery,
    *,
    embedder: Callable[[], Embedder] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Repair:
    """Make damaged vectors again, and what was computed from vectors; all or nothing.

    Parameters
    ----------
    gallery
        Which.
    embedder
        What loads its embedder, where photos have to be embedded; the gallery's own when None.
    progress
        Called with photos embedded and photos to embed.

    Raises
    ------
    DamagedGallery
        If the catalogue is damaged, or the network that the gallery keeps.
    GalleryBusy
        If another process is adding photos.
    """
    with gallery.appending():
        found = examine(gallery)
        vectors: dict[int, NDArray[np.float32]] = {}
        for item, twin in found.copied:
            vectors[item.id] = gallery.vectors([twin]).values[0]
        lost = list(found.lost)
        if found.embedded:
            made = (embedder or gallery.embedder)()
            gallery.check(made)
            done = 0
            with closing(made.stream(found.embedded, _reader(gallery, made))) as batches:
                for batch in batches:
                    for one, vector in batch:
                        if vector is None:
                            lost.append((one.item, one.reason))
                        else:
                            vectors[one.item.id] = vector
                    done += len(batch)
                    if progress is not None:
                        progress(done, len(found.embedded))
        if vectors:
            gallery.local().mend(vectors)
        # Rows in other spaces were perhaps made of damaged ones.
        if vectors or lost or gallery.store.verify():
            gallery.local().forget_derived()
        gallery.tidy()
    return Repair(gallery.store.items(vectors), lost, gallery.verify())


def _reader(gallery: Gallery, embedder: Embedder) -> Callable[[Item], _Read]:
    """Return what reads one photo on a decoding thread."""
    shape = embedder.preprocessing

    def read(item: Item) -> _Read:
        path = gallery.path_of(item)
        try:
            file = images.read(path)
            if file.digest != item.digest:
                return _Read(item, "the file has other bytes now")
            decoded = images.decode(file.data, path=path, at_least=shape.decode_at_least)
        except ImageError as error:
            return _Read(item, error.cause)
        return _Read(item, pixels=shape(decoded.image))

    return read
