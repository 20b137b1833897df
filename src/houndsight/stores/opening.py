"""Which store a gallery's name stands for: a folder's, or one in Milvus. The only place to ask."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from houndsight.models.cache import cache_folder
from houndsight.stores import Store
from houndsight.stores.address import Address, Place
from houndsight.stores.layout import CATALOGUE
from houndsight.stores.local import LocalStore
from houndsight.stores.rehearsal import RehearsalStore

__all__ = [
    "check_free",
    "create_store",
    "exists",
    "open_rehearsal",
    "open_store",
    "side_folder",
]

# The client of Milvus, and what imports it, is loaded only where an address is named.


def open_store(place: Place) -> Store:
    """Open an existing gallery's store; the errors are those of `LocalStore` and `MilvusStore`."""
    if isinstance(place, Address):
        from houndsight.stores.milvus.store import MilvusStore

        return MilvusStore(place)
    return LocalStore(place)


def open_rehearsal(place: Place, dim: int = 0, documents: Mapping[str, Any] | None = None) -> Store:
    """Open a store of which nothing that is done lasts; with `documents` one that is not there."""
    if isinstance(place, Address):
        from houndsight.stores.milvus.rehearsal import MilvusRehearsal

        return MilvusRehearsal(place, dim, documents)
    return RehearsalStore(place, dim, documents)


def create_store(
    place: Place, dim: int, documents: Mapping[str, Any], files: Mapping[str, bytes | None]
) -> None:
    """Make a new, empty store; GalleryError if that cannot be done there."""
    if isinstance(place, Address):
        from houndsight.stores.milvus.making import create

        create(place, dim, documents, files)
    else:
        LocalStore.create(place, dim, documents, files).close()


def check_free(place: Place, files: tuple[str, ...] = ()) -> None:
    """Raise GalleryError if `create_store` would refuse a place for what is there."""
    if isinstance(place, Address):
        from houndsight.stores.milvus import making

        making.check_free(place)
    else:
        LocalStore.check_free(place, files)


def exists(place: Place) -> bool:
    """Return whether there is a gallery at a place."""
    if isinstance(place, Address):
        from houndsight.stores.milvus import making

        return making.exists(place)
    return (place / CATALOGUE).is_file()


def side_folder(place: Place) -> Path:
    """Return the folder of what is kept beside a store, such as thumbnails.

    The gallery's own; for one in Milvus a folder in this machine's cache, which can be deleted.
    """
    if isinstance(place, Address):
        return cache_folder() / "galleries" / place.key
    return place
