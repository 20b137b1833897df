"""What is asked for in an evaluation, and what is kept from each query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houndsight import search
from houndsight.errors import FingerprintMismatch, InputError
from houndsight.gallery import Gallery
from houndsight.learning.folds import Labelled
from houndsight.queries import Queries, Query
from houndsight.types import Item

__all__ = ["Cases", "Library", "from_gallery", "from_queries"]

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """A gallery's labelled items by id, and the same as arrays."""

    items: list[Item]
    photos: Labelled

    @classmethod
    def of(cls, gallery: Gallery, *, parts: int, seed: int) -> Library:
        """Read a gallery's labelled items, dealt out into folds; those of equal bytes into one.

        Raises
        ------
        InputError
            If there are fewer than two.
        """
        items = [item for item in gallery.items() if item.label is not None]
        if len(items) < 2:
            raise InputError(
                f"holds {len(items)} labelled photos; figures need more",
                path=gallery.place,
                remedy="Give labels with houndsight index --labels, or houndsight label",
            )
        photos = Labelled.of(
            gallery.vectors(items).values,
            [item.label or "" for item in items],
            [item.digest for item in items],
            parts=parts,
            seed=seed,
        )
        return cls(items, photos)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Queries to be scored.

    Attributes
    ----------
    asked, labels
        The photos and their labels.
    vectors
        float32 (n, dim), as stored.
    fold
        int (n,): the fold of a photo of the gallery; -1 for others.
    equal
        For each query the library's rows with its bytes, itself included.
    near
        For each query the other rows that are held to be the same picture.
    """

    asked: Sequence[Item | Query]
    labels: list[str]
    vectors: NDArray[np.float32]
    fold: NDArray[np.intp]
    equal: list[Rows]
    near: list[Rows]

    def __len__(self) -> int:
        return len(self.asked)

    def hidden(self, query: int) -> Rows:
        """Return the rows that are kept from a query."""
        return np.concatenate([self.equal[query], self.near[query]])


def from_gallery(
    gallery: Gallery, library: Library, chosen: Rows, near_distance: float | None
) -> Cases:
    """Return photos of the gallery as queries."""
    equal: dict[bytes, list[int]] = {}
    for row, item in enumerate(library.items):
        equal.setdefault(item.digest, []).append(row)
    items = [library.items[row] for row in chosen]
    vectors = library.photos.vectors[chosen]
    same = [np.array(equal[item.digest], np.intp) for item in items]
    return Cases(
        asked=items,
        labels=[item.label or "" for item in items],
        vectors=vectors,
        fold=library.photos.fold[chosen],
        equal=same,
        near=_near(gallery, library, vectors, same, near_distance),
    )


def from_queries(
    gallery: Gallery, library: Library, queries: Queries, near_distance: float | None
) -> Cases:
    """Return the labelled ones of photos that were read as queries.

    Raises
    ------
    InputError
        If there is none.
    FingerprintMismatch
        If they were not embedded as the gallery was.
    """
    chosen = [n for n, photo in enumerate(queries.photos) if photo.label is not None]
    if not chosen:
        raise InputError(
            "no query has a known label",
            remedy="Put the query photos in folders named by label, or give --labels FILE.csv",
        )
    if queries.vectors.fingerprint != gallery.fingerprint:
        raise FingerprintMismatch(
            "the queries were embedded with another model or other settings than the gallery",
            path=gallery.place,
            remedy="Read them with read_queries(gallery, gallery.embedder(), ...)",
        )
    photos = [queries.photos[n] for n in chosen]
    vectors = queries.vectors.values[chosen]
    row = {item.id: n for n, item in enumerate(library.items)}
    same = [
        np.array([row[id_] for id_ in sorted(photo.own | photo.twins) if id_ in row], np.intp)
        for photo in photos
    ]
    return Cases(
        asked=photos,
        labels=[photo.label or "" for photo in photos],
        vectors=vectors,
        fold=np.full(len(photos), -1, np.intp),
        equal=same,
        near=_near(gallery, library, vectors, same, near_distance),
    )


def _near(
    gallery: Gallery,
    library: Library,
    vectors: NDArray[np.float32],
    equal: list[Rows],
    distance: float | None,
) -> list[Rows]:
    if distance is None:
        return [np.empty(0, np.intp) for _ in equal]
    plain = gallery.space("plain")
    found = search.within(plain(vectors), plain(library.photos.vectors), distance)
    return [np.setdiff1d(rows, same) for rows, same in zip(found, equal, strict=True)]
