"""Query photos: found, embedded, and what is known of them."""

import contextlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from houndsight import images
from houndsight.cropping import WHOLE, View
from houndsight.embedder import Embedder
from houndsight.errors import ImageError, InputError, printable
from houndsight.gallery import Gallery, find_photos
from houndsight.labels import folder_label, labeller
from houndsight.listing import is_place
from houndsight.remote import absolute
from houndsight.types import Item, Skipped, Vectors

__all__ = [
    "Combination",
    "Combine",
    "Queries",
    "Query",
    "items_named",
    "known_labels",
    "read_queries",
    "stored_queries",
]

ID = re.compile(rb"[0-9a-f]{16}")
Combine = Literal["mean", "min", "max"]
"""How several queries become one; see `houndsight.combining`."""


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A query photo.

    Attributes
    ----------
    path
        Its file.
    label
        Its label, if known.
    own
        Ids of gallery items that are this very file.
    twins
        Ids of gallery items with the same bytes elsewhere.
    view
        What of it is looked at.
    combination
        The photos that it stands for, unless it is just the one; `path` is the first's.
    pixels
        What the network takes; let go of once it is embedded.
    """

    path: bytes
    label: str | None
    own: frozenset[int] = frozenset()
    twins: frozenset[int] = frozenset()
    view: View = WHOLE
    combination: "Combination | None" = None
    pixels: NDArray[np.float32] | None = field(default=None, repr=False)

    def same_bytes(self, item: Item) -> bool:
        """Return whether an item's photo has the query's bytes."""
        return item.id in self.own or item.id in self.twins

    def agrees(self, item: Item) -> bool | None:
        """Return whether an item has the query's label; None where either has none."""
        return None if None in (self.label, item.label) else item.label == self.label


@dataclass(frozen=True, slots=True, eq=False)
class Combination:
    """Photos that are searched for as one: like `like`, in which way, and not like `unlike`.

    `combine` is None where one photo is searched for that is not to be like others.
    """

    like: tuple[Query, ...]
    unlike: tuple[Query, ...]
    combine: Combine | None


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Query photos that could be read, their vectors in the same order, and those that could not.

    `skipped` holds what could not be read.
    """

    photos: list[Query]
    vectors: Vectors
    skipped: list[Skipped]


def read_queries(
    gallery: Gallery,
    embedder: Embedder,
    names: str | bytes | os.PathLike[str] | Iterable[str | bytes | os.PathLike[str]],
    *,
    labels: str | None = None,
    view: View = WHOLE,
) -> Queries:
    """Find, read and embed query photos.

    Parameters
    ----------
    gallery
        Where they are to be searched for.
    embedder
        The gallery's embedder.
    names
        Photos and folders of photos, one or several.
    labels
        ``folder``, ``none``, or the path of a CSV file, for photos in folders; a photo directly in
        the folder named has that folder's label only if the gallery knows it. When None, a photo's
        label is that of an item with the same bytes, else the name of the folder that holds it,
        where the gallery has such a label.
    view
        What of each photo is looked at; one that it reaches beyond is skipped.

    Raises
    ------
    InputError
        If a name is neither a photo nor a folder with photos.
    """
    gallery.check(embedder)
    if isinstance(names, str | bytes | os.PathLike):
        names = [names]
    found = list(_find(gallery, names, labels))
    skipped = [one for one in found if isinstance(one, Skipped)]
    photos: list[Query] = []
    vectors: list[NDArray[np.float32]] = []

    shape = embedder.preprocessing

    def read(query: Query) -> Query | _Unread:
        try:
            file = images.read(query.path)
            at_least = view.at_least(shape.decode_at_least)
            photo = images.decode(file.data, path=query.path, at_least=at_least)
            image = view(photo.image, (photo.width, photo.height), shape.mean_colour)
            return _known(gallery, query, file.digest, shape(image), guess=labels is None)
        except (ImageError, InputError) as error:
            return _Unread(Skipped(query.path, error.reason))

    wanted = [one for one in found if isinstance(one, Query)]
    for batch in embedder.stream(wanted, read):
        for one, vector in batch:
            if isinstance(one, _Unread):
                skipped.append(one.skipped)
            elif vector is not None:
                photos.append(replace(one, view=view, pixels=None))
                vectors.append(vector)
    values = np.stack(vectors) if vectors else np.empty((0, embedder.dim), np.float32)
    return Queries(photos, Vectors(values, embedder.fingerprint), skipped)


def items_named(
    gallery: Gallery, names: Iterable[str | bytes | os.PathLike[str]]
) -> list[Item] | None:
    """Return the items that names stand for, or None if they are photos to be read.

    A name is an item's where it is an id, 16 hex digits, and no file is called so. In a gallery of
    vectors that were made elsewhere, where other photos are of no use, it is an id or a path.

    Raises
    ------
    InputError
        If some are items and some are not.
    ModelError
        If a name is no item's, and no network is known that would make vectors of photos.
    """
    found: list[Item] = []
    photos: list[bytes] = []
    for name in map(os.fsencode, names):
        item = _item_named(gallery, name)
        if item is None:
            photos.append(name)
        else:
            found.append(item)
    if not photos:
        return found
    if gallery.foreign is not None:
        raise gallery.no_network(photos[0])
    if found:
        raise InputError(
            f"{found[0].key} is an item of the gallery, {printable(photos[0])} is none",
            remedy="Search for items by id or for photos by path, not for both at once",
        )
    return None


def _item_named(gallery: Gallery, name: bytes) -> Item | None:
    if gallery.foreign is None and (not ID.fullmatch(name) or os.path.exists(name)):
        return None
    with contextlib.suppress(InputError):
        return gallery.find(name)
    return None


def stored_queries(gallery: Gallery, items: Sequence[Item]) -> Queries:
    """Return items of a gallery as queries, with the vectors that it holds; no photo is read."""
    photos = [
        Query(
            gallery.path_of(item),
            item.label,
            own=frozenset({item.id}),
            twins=frozenset(one.id for one in gallery.with_digest(item.digest)) - {item.id},
        )
        for item in items
    ]
    return Queries(photos, gallery.vectors(items), [])


@dataclass(frozen=True, slots=True)
class _Unread:
    skipped: Skipped
    pixels: None = None


def _find(
    gallery: Gallery, names: Iterable[str | bytes | os.PathLike[str]], labels: str | None
) -> Iterator[Query | Skipped]:
    known = frozenset(gallery.labels()) if labels in (None, "folder") else frozenset()
    for name in names:
        path = absolute(name)
        if is_place(path):
            listing = find_photos(path)
            if not listing.photos:
                raise InputError("holds no photo", path=path, remedy="Name a photo, or its folder")
            label_of, _ = labeller(labels or "none", path)
            for found in listing.photos:
                photo = os.path.join(path, found.path)
                yield Query(photo, label_of(found.path) or _guess(photo, known))
            yield from listing.skipped
        elif ID.fullmatch(os.fsencode(name)) and not os.path.lexists(path):
            yield Skipped(
                path,
                "there is no such file, and no photo of this id in the gallery. "
                "houndsight search --json and export show ids",
            )
        else:
            label_of, _ = labeller(labels or "none", os.path.dirname(path))
            yield Query(path, label_of(os.path.basename(path)) or _guess(path, known))


def _guess(path: bytes, known: frozenset[str]) -> str | None:
    label = folder_label(path)
    return label if label in known else None


def _known(
    gallery: Gallery, query: Query, digest: bytes, pixels: NDArray[np.float32], *, guess: bool
) -> Query:
    """Add which items are this very file, and which have its bytes."""
    equal = gallery.with_digest(digest)
    own = frozenset(item.id for item in equal if _same_file(gallery, item, query.path))
    label = query.label
    if guess and equal:
        label = next((item.label for item in equal if item.label), label)
    twins = frozenset(item.id for item in equal) - own
    return replace(query, label=label, own=own, twins=twins, pixels=pixels)


def _same_file(gallery: Gallery, item: Item, path: bytes) -> bool:
    place = gallery.path_of(item)
    if place == path:
        return True
    try:
        return os.path.samefile(place, path)
    except NotADirectoryError:  # one of them is in an archive
        return os.path.realpath(place) == os.path.realpath(path)
    except OSError:
        return False


def known_labels(gallery: Gallery, wanted: Collection[str]) -> frozenset[str]:
    """Return labels as a set.

    Raises
    ------
    InputError
        If no photo in the gallery has one of them; it names labels like it.
    """
    from difflib import get_close_matches

    known = gallery.labels()
    for label in wanted:
        if label not in known:
            near = ", ".join(get_close_matches(label, known, n=3)) or ", ".join(sorted(known)[:5])
            raise InputError(
                f"no photo in the gallery has the label {printable(label)}",
                remedy=f"Labels like it: {printable(near) or 'there are none at all'}",
            )
    return frozenset(wanted)
