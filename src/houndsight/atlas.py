"""A gallery laid out in the plane: photos that are alike come to lie together."""

import importlib.util
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houndsight.errors import InputError, counted
from houndsight.gallery import Gallery
from houndsight.types import Item

__all__ = ["Atlas", "lay_out"]

LIMIT = 5000
COMPONENTS = 50
PERPLEXITY = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """Photos and their places.

    Attributes
    ----------
    items
        The photos, by id.
    points
        float64 (n, 2), each coordinate within 0 and 1, both to one scale.
    method
        ``t-SNE``, or ``PCA``.
    metric
        Whose distances are shown.
    left_out
        How many photos of the gallery are not shown, as there are too many.
    """

    items: list[Item]
    points: NDArray[np.float64]
    method: str
    metric: str
    left_out: int


def lay_out(
    gallery: Gallery, *, metric: str | None = None, limit: int = LIMIT, seed: int = 0
) -> Atlas:
    """Give each photo a place in the plane.

    With scikit-learn, by t-SNE (van der Maaten and Hinton, Visualizing data using t-SNE, JMLR 9,
    2008), which keeps near photos near; distances between far ones mean nothing. Without it, by the
    first two principal components.

    Parameters
    ----------
    gallery
        At least three photos.
    metric
        As for `Gallery.search`.
    limit
        The most photos shown; of more, an even share of each label, drawn at random.
    seed
        Of the drawing and of t-SNE.

    Raises
    ------
    InputError
        If there are fewer than three photos, or no such metric.
    """
    every = gallery.items()
    if len(every) < 3:
        raise InputError(
            f"holds {counted(len(every), 'photo')}; a picture of the gallery needs three",
            path=gallery.place,
            remedy="Index more photos",
        )
    items = _some(every, limit, seed)
    x = gallery.space(metric)(gallery.vectors(items).values).astype(np.float64)
    reduced = _components(x, min(COMPONENTS, *x.shape))
    tsne = len(items) > 10 and importlib.util.find_spec("sklearn") is not None
    points = _neighbourly(reduced, seed) if tsne else reduced[:, :2]
    if points.shape[1] < 2:
        points = np.column_stack([points, np.zeros(len(points))])
    low, high = points.min(axis=0), points.max(axis=0)
    size = float((high - low).max()) or 1.0
    points = (points - (low + high) / 2) / size + 0.5
    method = "t-SNE" if tsne else "PCA"
    return Atlas(items, points, method, gallery.named(metric), len(every) - len(items))


def _some(items: list[Item], limit: int, seed: int) -> list[Item]:
    """Return at most `limit` items, an even share of each label."""
    if len(items) <= limit:
        return items
    order = np.random.default_rng(seed).permutation(len(items))
    seen: dict[str | None, int] = {}
    turn = np.empty(len(items))
    sizes: dict[str | None, int] = {}
    for item in items:
        sizes[item.label] = sizes.get(item.label, 0) + 1
    for n in order:
        label = items[n].label
        turn[n] = (seen.get(label, 0) + 0.5) / sizes[label]
        seen[label] = seen.get(label, 0) + 1
    chosen = np.lexsort((order, turn))[:limit]
    return [items[n] for n in sorted(chosen.tolist())]


def _components(x: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the principal components (n, count), each with a sign that does not depend on luck."""
    x = x - x.mean(axis=0)
    _, axes = np.linalg.eigh(x.T @ x)
    axes = axes[:, ::-1][:, :count]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(count)])
    found: NDArray[np.float64] = x @ axes
    return found


def _neighbourly(x: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(x) - 1) / 3)
    if not np.ptp(x, axis=0).any():
        return x[:, :2]  # all photos have one vector: there is nothing to tell apart
    fitted = TSNE(init="pca", perplexity=perplexity, random_state=seed, n_jobs=-1)
    points: NDArray[np.float64] = fitted.fit_transform(x.astype(np.float32)).astype(np.float64)
    return points
