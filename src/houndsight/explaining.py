"""Says which regions of two photos made them alike.

Vectors are averages over a grid of regions, and what compares them is linear before it is scaled,
so each region has an exact share: no gradients, no guesswork. With m_r the network's output at
region r of R, v = mean of m_r, and x the other photo's vector, the cosine similarity is ::

    <v, x> / (|v| |x|) = sum over r of <m_r, x> / (R |v| |x|)

This is class activation mapping (Zhou et al., CVPR 2016) with the other photo's vector in place of
a class's weights (Stylianou et al., Visualizing deep similarity networks, WACV 2019).
"""

import os
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from houndsight import images
from houndsight.cropping import WHOLE, Box, View
from houndsight.embedder import Embedder
from houndsight.errors import ImageError
from houndsight.gallery import Gallery
from houndsight.maps import Map, Space
from houndsight.types import Item

__all__ = ["Explained", "Explanation", "explain"]

Explained: TypeAlias = Literal["similarity", "projected similarity", "label score"]


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What each region of two photos has to do with their being alike.

    Attributes
    ----------
    explained
        What the shares add up to. ``similarity``: the cosine similarity of the two vectors, -1 to
        1. ``projected similarity``: that of their projections, in a learned space. ``label score``:
        in a learned space of labels alone, each photo's own score of `label`.
    space
        Name of the space: ``base``, ``unit``, or that of a learned map.
    label
        The label that the two photos share most (the product of its posteriors is greatest);
        ``None`` unless a label's score is explained.
    distance
        Euclidean distance of the two in that space.
    query_shares, item_shares
        float64 (h, w) each: a grid that lies evenly over what the network saw of the photo, to
        about a third of a cell. A negative share made them less alike.
    query_total, item_total
        What the shares add up to, to rounding; the two are the same similarity, but two scores.
    query_seen, item_seen
        What the network saw of each photo: left, top, right, bottom as fractions of its width and
        height.
    """

    explained: Explained
    space: str
    label: str | None
    distance: float
    query_shares: NDArray[np.float64]
    item_shares: NDArray[np.float64]
    query_total: float
    item_total: float
    query_seen: Box
    item_seen: Box


def explain(
    gallery: Gallery,
    embedder: Embedder,
    photo: str | bytes | os.PathLike[str] | Image.Image,
    item: Item,
    *,
    metric: str | None = None,
    view: View = WHOLE,
) -> Explanation:
    """Say which regions of a query photo and of an item's photo made them alike.

    Parameters
    ----------
    gallery
        The gallery that the item is in.
    embedder
        The gallery's embedder, of a network that ends in average pooling.
    photo
        The query: a path, or a Pillow image (taken as upright and whole).
    item
        The item; its photo is read again.
    metric
        As for `Gallery.search`. What is explained of a learned one: the projection, unless it
        compares nothing but posteriors.
    view
        What of the query is looked at.

    Returns
    -------
    Explanation
        The shares of each region, and what they add up to.

    Raises
    ------
    ImageError
        If a photo cannot be read, or the item's is not the one that was indexed.
    ModelError
        If the network has no regions to tell apart.
    FingerprintMismatch
        If the embedder is not the gallery's.
    InputError
        If there is no such metric, or the view reaches beyond the photo.
    """
    gallery.check(embedder)
    space = gallery.space(metric)
    query, query_seen = _looked_at(embedder, _decoded(embedder, photo, view), view)
    other, item_seen = _looked_at(embedder, _photo_of(gallery, embedder, item), WHOLE)
    maps = embedder.regions([query, other])
    regions = maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1).astype(np.float64)
    label: str | None = None
    explained: Explained
    if isinstance(space, Map) and space.blend == 1:
        explained = "label score"
        shares, totals, label = _scores(space, regions)
    else:
        explained = "projected similarity" if isinstance(space, Map) else "similarity"
        shares, totals = _similarity(_parts(space, regions))
    (distance,) = gallery.distances(embedder.embed(query), [item], metric=metric)
    query_shares, item_shares = shares.reshape(2, *maps.shape[2:])
    return Explanation(
        explained=explained,
        space=space.name,
        label=label,
        distance=float(distance),
        query_shares=query_shares,
        item_shares=item_shares,
        query_total=totals[0],
        item_total=totals[1],
        query_seen=query_seen,
        item_seen=item_seen,
    )


# Photos


def _decoded(
    embedder: Embedder, photo: str | bytes | os.PathLike[str] | Image.Image, view: View
) -> images.Decoded:
    if isinstance(photo, Image.Image):
        return images.Decoded(photo.convert("RGB"), *photo.size)
    path = os.fsencode(photo)
    at_least = view.at_least(embedder.preprocessing.decode_at_least)
    return images.decode(images.read(path).data, path=path, at_least=at_least)


def _photo_of(gallery: Gallery, embedder: Embedder, item: Item) -> images.Decoded:
    path = gallery.path_of(item)
    try:
        file = images.read(path)
    except ImageError as error:
        raise ImageError(
            f"{error.cause}: the item's photo is needed to explain it",
            path=path,
            remedy="Say where its folder is now with houndsight relocate, or index it again",
        ) from error
    if file.digest != item.digest:
        raise ImageError(
            "is not the photo any more that was indexed",
            path=path,
            remedy="Bring the gallery up to date with houndsight index",
        )
    return images.decode(file.data, path=path, at_least=embedder.preprocessing.decode_at_least)


def _looked_at(embedder: Embedder, photo: images.Decoded, view: View) -> tuple[Image.Image, Box]:
    """Return what is to be seen of a photo, and the box of it that the network sees."""
    full = photo.width, photo.height
    image = view(photo.image, full, embedder.preprocessing.mean_colour)
    x0, y0, x1, y1 = view.fractions(*full)
    left, top, right, bottom = embedder.preprocessing.seen(*image.size)
    across, down = (x1 - x0) / image.width, (y1 - y0) / image.height
    return image, (x0 + left * across, y0 + top * down, x0 + right * across, y0 + bottom * down)


# Shares, float64 (2, R): those of the query's R regions, then those of the item's


def _parts(space: Space, regions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what regions (2, R, dim) add to what is compared, (2, R, d); centring evenly."""
    count = regions.shape[1]
    parts: NDArray[np.float64] = regions / count
    if isinstance(space, Map):
        parts = (_of_unit_vectors(regions) - space.centre / count) @ space.projection
    return parts


def _of_unit_vectors(regions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each region adds to its photo's vector of norm 1."""
    lengths = np.linalg.norm(regions.mean(axis=1), axis=1)
    lengths = np.where(lengths > 0, lengths, 1.0)
    parts: NDArray[np.float64] = regions / (regions.shape[1] * lengths[:, None, None])
    return parts


def _similarity(parts: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Return the shares of the cosine similarity of the regions' sums, and that similarity."""
    query, item = parts.sum(axis=1)
    scale = float(np.linalg.norm(query) * np.linalg.norm(item)) or 1.0  # zeros have no direction
    total = float(query @ item) / scale
    return np.stack([parts[0] @ item, parts[1] @ query]) / scale, (total, total)


def _scores(
    space: Map, regions: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[float, float], str]:
    """Return the shares of each photo's score of the label that both share most."""
    query, item = space.scores(regions.mean(axis=1))
    # The product of two posteriors is greatest where the sum of the scores is.
    label = int(np.argmax(query + item))
    bias = space.bias[label] / regions.shape[1]
    shares = _of_unit_vectors(regions) @ space.weights[:, label] + bias
    return shares, (float(query[label]), float(item[label])), space.labels[label]
