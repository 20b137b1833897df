"""Searches for several photos as one, and away from others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from houndsight.errors import FingerprintMismatch, InputError
from houndsight.gallery import Gallery
from houndsight.queries import Combination, Combine, Query
from houndsight.search import nearest
from houndsight.types import Matches, Vectors, Where

__all__ = ["UNLIKE_WEIGHT", "as_one", "search_combined"]

# Measured on photos of 120 dog breeds (gallery 3,000, queries 600, efficientnet-lite0), each query
# unlike the nearest one (or three) of a wrong breed: precision@20 is 46.8 (49.6) per cent with
# weight 0, 47.3 (50.7) with 0.25 and 41.9 (47.8) with 0.5; of the 20 neighbours 14 (22), 9 (16) and
# 5 (10) per cent have an unwanted breed. Text retrieval settled at 0.15 / 0.75 = 0.2 (Manning,
# Raghavan and Schuetze, Introduction to Information Retrieval, 2008, 9.1.1): what a photo is not
# says less than what it is.
UNLIKE_WEIGHT = 0.25
# How much farther the next look goes where the last did not prove an answer.
FARTHER = 4


def search_combined(
    gallery: Gallery,
    queries: Vectors,
    k: int = 20,
    *,
    combine: Combine | None = "mean",
    unlike: Vectors | None = None,
    where: Where | None = None,
    exclude: Sequence[Collection[int]] | None = None,
    max_distance: float = float("inf"),
    metric: str | None = None,
    looked_at: int | None = None,
) -> Matches:
    """Return the k nearest items of several queries as one: exact, ties by id.

    Parameters
    ----------
    gallery
        What is searched.
    queries
        Vectors (n, dim) of what is to be like, with the gallery's fingerprint.
    k
        How many neighbours, 1 or more.
    combine
        ``mean``: one query, the mean of the vectors. ``min``: an item is as far as the query that
        is nearest to it, so it need be like one of them. ``max``: as far as the one that is
        farthest, so it must be like all. None: every query on its own.
    unlike
        Vectors (m, dim) of what is to be stayed away from: a query q (the mean, or each of them)
        becomes q - 0.25 mean(unlike) (J. J. Rocchio, Relevance feedback in information retrieval,
        1971).
    where, max_distance, metric, looked_at
        As for `Gallery.search`.
    exclude
        For each query, ids that are not to be returned; to combined ones, none of them all.

    Returns
    -------
    Matches
        One row, or one for each query where `combine` is None. Distances are Euclidean; to the mean
        and to moved queries, which in a normalised gallery are scaled to norm 1.

    Raises
    ------
    FingerprintMismatch
        If the queries, or what is unlike them, come from another embedder.
    InputError
        If the vectors add up to zeros, `looked_at` is given though the farthest of several queries
        counts, or as for `Gallery.search`.
    """
    if combine == "max" and looked_at is not None:
        raise InputError("what is near to every query can only be found by an exact search")
    if combine not in (None, "mean", "min", "max"):
        raise InputError(f"there is no way '{combine}' to combine", remedy="Take mean, min or max")
    if exclude is not None and len(exclude) != len(queries):
        raise InputError(f"{len(exclude)} sets to exclude for {len(queries)} queries")
    if combine is not None and exclude is not None:
        together = frozenset[int]().union(*exclude)
        exclude = [together] * len(queries)
    normalised: bool = gallery.settings["made_of"]["normalised"]
    asked = _rocchio(queries, unlike, mean=combine == "mean", normalised=normalised)

    def search(depth: int) -> Matches:
        out = None if exclude is None else exclude[: len(asked)]
        return gallery.search(
            asked,
            depth,
            where=where,
            exclude=out,
            max_distance=max_distance,
            metric=metric,
            looked_at=looked_at,
        )

    if combine == "max" and len(asked):
        return _farthest_query(search, k)
    found = search(k)
    if combine == "min" and len(asked):
        return _nearest_query(found, k)
    # Probabilities were fitted on photos as they are, not on mixtures of them.
    return found if asked is queries else replace(found, probabilities=None)


def _rocchio(like: Vectors, unlike: Vectors | None, *, mean: bool, normalised: bool) -> Vectors:
    """Return the mean of the vectors, or each of them, moved away from others."""
    away = unlike if unlike is not None and len(unlike) else None
    if away is not None and away.fingerprint != like.fingerprint:
        raise FingerprintMismatch(
            "what is to be like and what is to be unlike come from different embedders",
            remedy="Embed both with the gallery's embedder",
        )
    mean = mean and len(like) > 1
    if away is None and not mean:
        return like  # untouched, so that a photo's distance to itself is 0
    values = like.values.astype(np.float64)
    size = float(np.abs(values).max(initial=0.0))
    if mean:
        values = values.mean(axis=0, keepdims=True)
    if away is not None:
        values = values - UNLIKE_WEIGHT * away.values.mean(axis=0, dtype=np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    if (lengths <= 1e-6 * size).any():  # float32: what is left of equal numbers is rounding
        raise InputError(
            "the photos add up to a vector of zeros, which is like nothing",
            remedy="Name other photos to be like or unlike",
        )
    if normalised:
        values = values / lengths
    return Vectors(values.astype(np.float32), like.fingerprint)


def _nearest_query(found: Matches, k: int) -> Matches:
    """Return the k items whose smallest distance to any query is smallest.

    The k nearest of each query suffice: an item that is not among those of the query nearest to it
    is preceded by k others.
    """
    there = found.ids >= 0
    distances, ids = found.distances[there], found.ids[there]
    order = np.lexsort((distances, ids))
    distances, ids = distances[order], ids[order]
    first = np.flatnonzero(np.diff(ids, prepend=-1))
    return _one_row(found, *nearest(distances[first], ids[first], k))


def _farthest_query(search: Callable[[int], Matches], k: int) -> Matches:
    """Return the k items whose greatest distance to any query is smallest.

    Fagin's algorithm (Fagin, Lotem and Naor, Optimal aggregation algorithms for middleware, 2003,
    section 3), which looks ever deeper into the sorted neighbours of each query. An item that was
    not met by all of them is, to some query, at least as far as its last neighbour.
    """
    depth = k
    while True:
        found = search(depth)
        there = found.ids >= 0
        ids, row, met = np.unique(found.ids[there], return_inverse=True, return_counts=True)
        greatest = np.zeros(len(ids))
        np.maximum.at(greatest, row, found.distances[there])
        by_all = met == len(found)
        best = nearest(greatest[by_all], ids[by_all], k)
        reach = _reach(found, depth)
        # As far as the reach, an unmet item with a smaller id might come first.
        if np.isinf(reach) or (len(best[0]) == k and best[1][-1] < reach):
            return _one_row(found, *best)
        depth *= FARTHER


def _reach(found: Matches, depth: int) -> float:
    """Return what no unmet item is nearer than; infinite where none is left for any query."""
    full = found.ids.shape[1] == depth
    last = np.where(found.ids[:, -1] >= 0, found.distances[:, -1], np.inf) if full else [np.inf]
    return float(np.min(last))


def _one_row(found: Matches, ids: NDArray[np.int64], distances: NDArray[np.float64]) -> Matches:
    items = {int(id_): found.items[int(id_)] for id_ in ids}
    return Matches(ids[None], distances[None], items)


def as_one(
    like: Sequence[Query], unlike: Sequence[Query] = (), combine: Combine | None = "mean"
) -> list[Query]:
    """Return the queries that the rows of `search_combined` are the answers to.

    A combined query has the label that all of its photos have, else none, and the ids of all of
    them as its own.
    """
    away = tuple(unlike)
    if combine is None or not like:
        if not away:
            return list(like)
        return [replace(one, combination=Combination((one,), away, None)) for one in like]
    labels = {one.label for one in like}
    own = frozenset[int]().union(*(one.own for one in like))
    return [
        replace(
            like[0],
            label=labels.pop() if len(labels) == 1 else None,
            own=own,
            twins=frozenset[int]().union(*(one.twins for one in like)) - own,
            combination=Combination(tuple(like), away, combine),
        )
    ]
