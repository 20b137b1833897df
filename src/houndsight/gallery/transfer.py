"""Items with their vectors from galleries into a new one: nothing is embedded again."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight.errors import GalleryError, InputError
from houndsight.gallery.intake import BY_HAND
from houndsight.gallery.library import Gallery
from houndsight.stores.address import Address, located
from houndsight.stores.layout import sync_folder, write_file
from houndsight.types import Item

__all__ = ["Taken", "as_folder", "check_empty", "copy_photo", "made_whole", "take"]

TOGETHER = 1024  # items that are copied in one transaction


@dataclass(frozen=True, slots=True)
class Taken:
    """An item on its way into another gallery.

    Attributes
    ----------
    item
        As it will be in the new gallery.
    source
        The gallery that it comes from, with its thumbnail and the copy of its photo.
    vector
        The gallery and the item there whose vector it gets; None for a removed item whose vector
        was given up.
    """

    item: Item
    source: Gallery
    vector: tuple[Gallery, int] | None


@contextlib.contextmanager
def made_whole(place: str | os.PathLike[str], like: Gallery) -> Iterator[Gallery]:
    """Make a gallery for the same vectors as another's; it gets its name only when all is in it.

    Raises
    ------
    GalleryError
        If there is anything at the place already, or nothing can be written there.
    InputError
        If it is no folder's name.
    """
    place = check_empty(place)
    draft = place.absolute().with_name(f".{place.name}.draft-{os.getpid()}")
    try:
        with Gallery.create_like(draft, like) as gallery:
            yield gallery
            gallery.tidy()
        draft.rename(place)
        sync_folder(place.absolute().parent)
    except GalleryError as error:
        if error.path is None or Path(os.fsdecode(error.path)) != draft:
            raise
        # Of the draft nobody knows.
        raise GalleryError(error.cause, path=place, remedy=error.remedy) from error
    except OSError as error:
        raise GalleryError(
            f"cannot be made: {error.strerror}",
            path=place,
            remedy="Check the space and the rights there, and run the command again",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_empty(name: str | os.PathLike[str]) -> Path:
    """Return a new gallery's folder; GalleryError unless it is absent or empty.

    InputError if the name is no folder's.
    """
    place = as_folder(name)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise GalleryError(
            "is there already", path=place, remedy="Name a new folder for the gallery"
        )
    return place


def as_folder(name: str | os.PathLike[str]) -> Path:
    """Return the folder that a gallery's name stands for; InputError if it is an address."""
    place = located(name)
    if isinstance(place, Address):
        raise InputError(
            "is an address in Milvus, and this makes a gallery in a folder only",
            path=place,
            remedy="Name a new folder, and then take that gallery here with houndsight copy",
        )
    return place


def take(gallery: Gallery, taken: Sequence[Taken], roots: dict[str, Any]) -> None:
    """Copy items into a new gallery, in this order, with the roots that they belong to."""
    gallery.store.put_document("roots", roots)
    for start in range(0, len(taken), TOGETHER):
        some = taken[start : start + TOGETHER]
        wanted: dict[int, tuple[Gallery, dict[int, int]]] = {}  # new id to the source's, by source
        for one in some:
            copy_photo(gallery, one.item, one.source)
            if one.vector is not None:
                source, id_ = one.vector
                wanted.setdefault(id(source), (source, {}))[1][one.item.id] = id_
        vectors: dict[int, NDArray[np.float32]] = {}
        for source, ids in wanted.values():
            vectors |= zip(ids, source.store.vectors(list(ids.values())), strict=True)
        gallery.store.put([one.item for one in some], vectors)


def copy_photo(gallery: Gallery, item: Item, source: Gallery) -> None:
    """Copy an item's thumbnail, and its photo if it was added by hand, from gallery to gallery."""
    # A thumbnail is made again where it is missing.
    with contextlib.suppress(OSError):
        gallery.keep_thumbnail_of(item, source)
    if item.root == BY_HAND and item.removed is None:
        copy = Path(os.fsdecode(gallery.path_of(item)))
        copy.parent.mkdir(parents=True, exist_ok=True)
        # One that is missing is as missing in the new gallery: verify says so in both.
        with contextlib.suppress(FileNotFoundError):
            write_file(copy, Path(os.fsdecode(source.path_of(item))).read_bytes())
