"""Candidates for the nearest neighbours, by Milvus's own search or by looking at every vector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight import search
from houndsight.maps import Space
from houndsight.stores.indexes import MOST

__all__ = ["SPARE", "Look", "by_index", "by_search", "by_sight"]

Found = tuple[NDArray[np.int64], NDArray[np.float32]]
# Returns for each query so many of the nearest rows, as `Server.search` does; None for no answer.
Look = Callable[[Sequence[Any], int], list[list[dict[str, Any]]] | None]
Block = tuple[NDArray[np.int64], NDArray[np.float32]]

SPARE = 16
TOGETHER = 4  # queries of one message: Milvus Lite may take seconds for each
SIGHT = 64  # queries that are held against all vectors while these come in once


def by_search(
    look: Look,
    queries: NDArray[np.float32],
    k: int,
    space: Space,
    read: Callable[[Sequence[int]], NDArray[np.float32] | None],
    otherwise: Callable[[NDArray[np.float32]], Iterator[Found]],
) -> Iterator[Found]:
    """For each query ids that surely contain its k nearest in a space, and their stored vectors.

    Milvus computes in float32, in whatever way, so that a row it leaves out may be nearer than one
    that it returns. By the bound of `search.candidates` a squared distance is off by less than
    ``(d + 8) u (|x| + |q|)**2``, and a row x as near as the k-th, at distance r, has a norm of at
    most |q| + r. What it holds is x rounded to float32, perhaps on another machine: that moves it
    by ``2 u |x|`` at most. So all are there when the last row returned is that much farther than
    the k-th; if not, more are asked for, and at last every vector is looked at, by `otherwise`.
    That q is rounded too is within the 8, of which a sum of d squares takes 2.

    Parameters
    ----------
    look
        Where it gives no answer, `otherwise` has to.
    queries
        (n, space.dim).
    read
        Returns the stored vectors of items by id; None where one is not there by now, or not yet.
    """
    for start in range(0, len(queries), TOGETHER):
        some = queries[start : start + TOGETHER]
        answers: list[Found | None] = [None] * len(some)
        open_, limit = list(range(len(some))), k + SPARE
        while open_ and limit <= MOST:
            found = look([some[n] for n in open_], limit)
            wanted = sorted({int(row["id"]) for rows in found or () for row in rows})
            vectors = None if found is None else read(wanted)
            if found is None or vectors is None:
                break
            place = {id_: n for n, id_ in enumerate(wanted)}
            for n, rows in zip(tuple(open_), found, strict=True):
                ids = np.array([row["id"] for row in rows], np.int64)
                there = vectors[[place[int(id_)] for id_ in ids]]
                given = np.array([row["distance"] for row in rows], np.float64)
                if len(rows) < limit or _all_there(some[n], space.exact(there), k, given):
                    answers[n] = ids, there
                    open_.remove(n)
            limit *= 4
        looked = otherwise(some[open_]) if open_ else iter(())
        for answer in answers:
            yield next(looked) if answer is None else answer


def _all_there(
    query: NDArray[np.float32],
    there: NDArray[np.float64],
    k: int,
    given: NDArray[np.float64],
) -> bool:
    """Return whether it is sure that no row which Milvus left out is among the k nearest.

    `given` are the squared distances of the rows that are `there`, as Milvus has them. Where these
    are not within the bound, which a computation in fewer bits would show, nothing is sure.
    """
    distance = search.distances_to(query, there)
    length = float(np.linalg.norm(query.astype(np.float64)))
    nearest = np.partition(distance, k - 1)[k - 1]
    # |x| is at most |q| and its distance together.
    least, most = _reach(distance, length, len(query))
    if not 1e-15 < 2 * length + distance.max() < 1e15 or ((given < least) | (given > most)).any():
        return False
    return bool(given.max() > _reach(nearest, length, len(query))[1])


def _reach(distance: Any, length: float, dim: int) -> tuple[Any, Any]:
    """Return the least and the greatest square that Milvus may have for a distance to a query.

    `length` is the query's.
    """
    unit = 2.0**-24
    moved = 2 * unit * (length + distance)
    slack = (dim + 8) * unit * (2 * length + distance + moved) ** 2 + dim * 2.0**-126
    return np.maximum(distance - moved, 0) ** 2 - slack, (distance + moved) ** 2 + slack


def by_index(
    look: Callable[[Sequence[Any]], list[list[dict[str, Any]]] | None],
    queries: NDArray[np.float32],
    read: Callable[[Sequence[int]], dict[int, NDArray[np.float32]]],
    otherwise: Callable[[NDArray[np.float32]], Iterator[Found]],
) -> Iterator[Found]:
    """For each query ids that most likely contain its nearest, and their vectors.

    Parameters
    ----------
    look
        Returns for each query what an index has found; None where it does not answer, so that
        `otherwise` has to.
    queries
        (n, dim), of the stored vectors' kind.
    read
        Returns the vectors of items by id, of those that are live.
    """
    for start in range(0, len(queries), TOGETHER):
        some = queries[start : start + TOGETHER]
        found = look(list(some))
        if found is None:
            yield from otherwise(some)
            continue
        held = read(sorted({int(row["id"]) for rows in found for row in rows}))
        for rows in found:
            ids = [int(row["id"]) for row in rows if int(row["id"]) in held]
            none = np.empty((0, queries.shape[1]), np.float32)
            yield np.array(ids, np.int64), np.stack([held[id_] for id_ in ids]) if ids else none


def by_sight(
    queries: NDArray[np.float32],
    k: int,
    space: Space,
    blocks: Callable[[], Iterable[Block]],
) -> Iterator[Found]:
    """For each query ids that surely contain its k nearest in a space, and their stored vectors.

    Every vector is looked at, for 64 queries at a time; `blocks` yields ids and vectors (n, dim).
    """
    for start in range(0, len(queries), SIGHT):
        some = queries[start : start + SIGHT]
        near = [_Near(k) for _ in some]
        for ids, vectors in blocks():
            there = space(vectors)
            norms = np.sqrt(np.einsum("ij,ij->i", there, there, dtype=np.float64))
            limits = search.bounds(some, there, norms, None)
            for one, (squared, slack) in zip(near, limits, strict=True):
                one.look_at(ids, vectors, squared - slack, squared + slack)
        for one in near:
            yield one.answer(len(queries[0]))


class _Near:
    """Rows of which nothing proves that k others are nearer."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._least = self._most = np.empty(0)
        self._ids = np.empty(0, np.int64)
        self._vectors: NDArray[np.float32] | None = None

    def look_at(
        self,
        ids: NDArray[np.int64],
        vectors: NDArray[np.float32],
        least: NDArray[np.float64],
        most: NDArray[np.float64],
    ) -> None:
        """Take in rows whose squared distances are between `least` and `most`."""
        least, most = np.append(self._least, least), np.append(self._most, most)
        kept = np.arange(len(least))
        if self._k < len(least):
            kept = np.flatnonzero(least <= np.partition(most, self._k - 1)[self._k - 1])
        all_ids = np.append(self._ids, ids)
        held = vectors if self._vectors is None else np.concatenate([self._vectors, vectors])
        self._least, self._most = least[kept], most[kept]
        self._ids, self._vectors = all_ids[kept], held[kept]

    def answer(self, dim: int) -> Found:
        """Return ids and vectors of what is left."""
        none = np.empty((0, dim), np.float32)
        return self._ids, none if self._vectors is None else self._vectors
