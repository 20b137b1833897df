"""Pictures that a gallery holds more than once: of equal bytes, or nearly the same."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houndsight import search
from houndsight.errors import InputError
from houndsight.gallery import Gallery
from houndsight.grouping import grouped
from houndsight.types import Item, Match

__all__ = ["DuplicateGroup", "DuplicateReport", "duplicates", "near_distance"]

SAMPLE = 2000  # photos whose distances are looked at; other seeds move the result by 2 or 3 %
DEPTH = 64  # neighbours of each; those beyond have next to no weight
PART = 0.25
QUANTILES = np.array([0.5, 0.75])
CHANCE = 0.001
AT_MOST = 0.6
EQUAL = 1e-6  # distances that are rounding, at norm 1 and in float64
CHUNK = 256


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Photos that show one picture.

    Attributes
    ----------
    keep
        The one that is suggested to be kept: of most pixels, of these the one with most bytes, of
        these the one with the lowest id.
    others
        The others with their distances to it in the metric ``plain``, nearest first, ties by id.
        Where photos are alike in a chain, a distance can be above the greatest that was asked for.
    """

    keep: Item
    others: list[Match]

    @property
    def items(self) -> list[Item]:
        """All photos of the group, that to be kept first."""
        return [self.keep, *(match.item for match in self.others)]

    @property
    def exact(self) -> bool:
        """Whether all have the same bytes."""
        return all(match.item.digest == self.keep.digest for match in self.others)


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """What a gallery holds more than once.

    Attributes
    ----------
    groups
        The largest first, of equal size that with the least distance to its last photo, then by id.
    max_distance
        What was held to be near, in the metric ``plain``; None where only bytes were compared.
    photos
        How many photos were looked at.
    """

    groups: list[DuplicateGroup]
    max_distance: float | None
    photos: int


def duplicates(
    gallery: Gallery,
    *,
    max_distance: float | None = None,
    exact: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> DuplicateReport:
    """Find photos of equal bytes, and such as are nearly the same.

    Photos at most `max_distance` apart are in one group, and so is what hangs on one of them in the
    same way. No pair is overlooked, however large the gallery, and memory grows with the number of
    photos, not of pairs: see `houndsight.grouping`.

    Parameters
    ----------
    gallery
        Nothing in it is changed.
    max_distance
        In the metric ``plain``, 0 or more; learned by `near_distance` when None. 0 finds photos of
        equal vectors.
    exact
        Only photos of equal bytes.
    seed
        For `near_distance`.
    progress
        Called with how much of the search for near photos is done, and how much there is.

    Raises
    ------
    InputError
        If `max_distance` is no number of 0 or more.
    """
    if max_distance is not None and not max_distance >= 0:
        raise InputError(f"the distance is {max_distance}", remedy="Give a number of 0 or more")
    items = gallery.items()
    first: dict[bytes, int] = {}
    group = np.array([first.setdefault(item.digest, n) for n, item in enumerate(items)], np.intp)
    within = None
    if not exact:
        within = near_distance(gallery, seed=seed) if max_distance is None else max_distance
        chosen = np.unique(group)

        def vectors(rows: NDArray[np.intp]) -> NDArray[np.float32]:
            return _vectors(gallery, [items[n] for n in chosen[rows]])

        if len(chosen):
            near = grouped(len(chosen), vectors, within, progress=progress)
            group = chosen[near[np.searchsorted(chosen, group)]]
    members: dict[int, list[Item]] = {}
    sizes = np.bincount(group, minlength=1)
    for n in np.flatnonzero(sizes[group] > 1).tolist():
        members.setdefault(int(group[n]), []).append(items[n])
    groups = [_group(gallery, some) for some in members.values()]
    groups.sort(key=lambda one: (-len(one.others), one.others[-1].distance, one.keep.id))
    return DuplicateReport(groups, within, len(items))


def _vectors(gallery: Gallery, items: list[Item]) -> NDArray[np.float32]:
    return gallery.space("plain")(gallery.vectors(items).values)


def _group(gallery: Gallery, items: list[Item]) -> DuplicateGroup:
    keep = max(items, key=lambda item: (item.width * item.height, item.size, -item.id))
    (centre,) = _vectors(gallery, [keep])
    found: list[tuple[float, int, Item]] = []
    for start in range(0, len(items), CHUNK):
        some = [item for item in items[start : start + CHUNK] if item is not keep]
        distances = search.distances_to(centre, _vectors(gallery, some)).tolist()
        found += [(d, item.id, item) for d, item in zip(distances, some, strict=True)]
    found.sort(key=lambda one: one[:2])
    others = [Match(item, d, rank) for rank, (d, _, item) in enumerate(found, start=1)]
    return DuplicateGroup(keep, others)


def near_distance(gallery: Gallery, *, seed: int = 0) -> float:
    """Return the distance at or below which two photos are held to be the same picture.

    Learned from the gallery, as how near *different* pictures come to each other depends on the
    model and on the kind of photos. The distance to the nearest of many is distributed as Weibull's
    law, ``P(nearest <= d) = 1 - exp(-(d / scale)**m)`` (Fisher and Tippett, Limiting forms of the
    frequency distribution of the largest or smallest member of a sample, 1928). Its two numbers are
    read off the median and the upper quartile of the distances to the nearest among 2,000 photos,
    or a quarter of the gallery if that is less, among which a photo's duplicates seldom are. The
    result is the distance at which one photo in a thousand would have a neighbour by chance in the
    whole gallery, but no more than 0.6 x scale. Photos that are so near that they may be duplicates
    are left out of the fit: first those nearer than 0.6 x the median distance of two photos, then
    those nearer than what that gives.

    Parameters
    ----------
    gallery
        Photos of equal bytes count as one.
    seed
        Of the 2,000 photos that are looked at, where there are more.

    Returns
    -------
    float
        In the metric ``plain``, 0 or more. 0.0 where there are fewer than three different photos,
        or their vectors do not differ: nothing can be learned from these.
    """
    different = list({item.digest: item for item in reversed(gallery.items())}.values())
    count = len(different)
    if count < 3:
        return 0.0
    if count > SAMPLE:
        chosen = np.random.default_rng(seed).choice(count, SAMPLE, replace=False)
        different = [different[n] for n in np.sort(chosen)]
    x = _vectors(gallery, different).astype(np.float64)
    squares = np.einsum("ij,ij->i", x, x)
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2 * (x @ x.T), 0.0))
    np.fill_diagonal(apart, np.inf)
    apart.sort(axis=1)
    apart = apart[:, :-1]
    middle = float(np.median(apart))
    if middle < EQUAL:
        return 0.0
    part = min(PART, SAMPLE / count)
    share = part * count / len(x)
    first = _bound(apart, share, part, AT_MOST * middle)
    return _bound(apart, share, part, first)


def _bound(apart: NDArray[np.float64], share: float, part: float, near: float) -> float:
    """Return the distance that one photo in a thousand has a neighbour at by chance.

    Parameters
    ----------
    apart
        (n, n - 1): distances of the photos looked at to the others of them, ascending.
    share
        The part of them among which the nearest is looked for. That is done for all such parts at
        once: the nearest in one is the k-th of all with probability ``share (1 - share)**(k - 1)``.
    part
        How much of the whole gallery that is.
    near
        Neighbours at or below this distance are left out.
    """
    ranks = np.arange(DEPTH)
    columns = np.sum(apart <= near, axis=1)[:, None] + ranks
    there = columns < apart.shape[1]
    if not there.any():
        return near
    weights = np.broadcast_to(share * (1 - share) ** ranks, columns.shape)[there]
    nearest = np.take_along_axis(apart, np.minimum(columns, apart.shape[1] - 1), axis=1)[there]
    order = np.argsort(nearest)
    sums = np.cumsum(weights[order])
    low, high = np.log(nearest[order[np.searchsorted(sums, sums[-1] * QUANTILES)]])
    # log d = log scale + slope log(-log(1 - P)), slope = 1 / m
    a, b = np.log(-np.log1p(-QUANTILES))
    slope = (high - low) / (b - a)
    scale = low - slope * a
    # In the whole gallery there are 1 / part times as many to be near.
    return float(np.exp(scale + min(slope * np.log(part * CHANCE), np.log(AT_MOST))))
