"""Pictures that a gallery holds more than once: of equal bytes, or nearly the same."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houndsight import search
from houndsight.errors import InputError
from houndsight.gallery import Gallery
from houndsight.grouping import grouped
from houndsight.types import Item, Match

__all__ = ["DuplicateGroup", "DuplicateReport", "duplicates", "near_distance"]

SAMPLE = 2000  # photos whose neighbours are looked at; other seeds move the result by 2 or 3 %
DEPTH = 16
PART = 0.25
# Of other photos, one in a thousand is allowed to have a neighbour at the distance or below.
CHANCE = 0.001
AT_MOST = 0.6
QUANTILES = np.array([0.5, 0.75])
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
    read off the median and the upper quartile, which near-duplicates, all in the lower tail, do not
    reach; and neighbours are looked for in a random quarter of the gallery, as a photo's duplicates
    are then seldom among them. (All quarters at once: the k-th neighbour is the nearest within a
    quarter with probability ``1/4 (3/4)**(k - 1)``.) What is near is left out, and the law fitted
    again, until nothing changes. The result is the distance at which one photo in a thousand would
    have a neighbour by chance in the whole gallery, but no more than 0.6 x scale.

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
        or all have the same vector: nothing can be learned from these.
    """
    rows = np.concatenate([np.empty((0, DEPTH)), *_neighbours(gallery, seed)])
    near = 0.0
    for _ in range(20):  # 3 to 5 rounds on real photos
        before, near = near, _bound(rows, near)
        if near == before:
            break
    return near


def _neighbours(gallery: Gallery, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield the distances of photos to their nearest of other bytes, (n, DEPTH), inf for none."""
    equal: dict[bytes, list[Item]] = {}
    for item in gallery.items():
        equal.setdefault(item.digest, []).append(item)
    if len(equal) < 3:
        return
    chosen = [items[0] for items in equal.values()]
    if len(chosen) > SAMPLE:
        order = np.random.default_rng(seed).choice(len(chosen), SAMPLE, replace=False)
        chosen = [chosen[n] for n in np.sort(order)]
    for start in range(0, len(chosen), CHUNK):
        some = chosen[start : start + CHUNK]
        own = [[item.id for item in equal[photo.digest]] for photo in some]
        found = gallery.search(gallery.vectors(some), DEPTH, exclude=own, metric="plain")
        for matches in found:
            once = {match.item.digest: match.distance for match in reversed(matches)}
            row = sorted(once.values())
            yield np.array([row + [np.inf] * (DEPTH - len(row))])


def _bound(rows: NDArray[np.float64], near: float) -> float:
    """Return what `near_distance` is, with neighbours at or below `near` left out of the fit."""
    kept = (rows > near) & np.isfinite(rows)
    if not kept.any():
        return near
    rank = np.cumsum(kept, axis=1)[kept]
    low, high = np.log(_quantiles(rows[kept], PART * (1 - PART) ** (rank - 1)))
    # log d = log scale + slope log(-log(1 - P)), slope = 1 / m
    a, b = np.log(-np.log1p(-QUANTILES))
    slope = (high - low) / (b - a)
    scale = low - slope * a
    # In the whole gallery there are 1 / PART times as many to be near.
    return float(np.exp(scale + min(slope * np.log(PART * CHANCE), np.log(AT_MOST))))


def _quantiles(values: NDArray[np.float64], weights: NDArray[np.floating]) -> NDArray[np.float64]:
    order = np.argsort(values)
    shares = np.cumsum(weights[order])
    found: NDArray[np.float64] = values[order[np.searchsorted(shares, shares[-1] * QUANTILES)]]
    return found
