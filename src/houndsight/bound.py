"""Exact nearest neighbours through a lower bound that needs few of a vector's numbers.

With P an orthonormal projection and r the length of what it leaves over, two vectors are never
nearer than the short vectors [Px, r_x] and [Pq, r_q] are (filter and refine by a lower bound:
Faloutsos et al., Fast subsequence matching in time-series databases, SIGMOD 1994). So most rows of
a gallery can be ruled out from a sixth of their numbers or less; what is left is looked at in
full.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MANY", "Basis", "Level", "Reduction", "approximate", "candidates", "columns", "fit"]

# A level has this part of a vector's numbers, in eights. Together that is less than a quarter.
PARTS = (16, 6)
EIGHT = 8
# From so many queries on one matrix product over the finer level costs less than picking rows.
MANY = 8
# Above this part of the rows a product over all of them is cheaper than one over picked ones.
PICKED = 8
# Above this part of the rows looking at each in full is dearer than a full product.
FULL = 8
# One row in so many is tried at a level before all that are left.
SOME = 64
# Rows looked at in full to find how far the k-th neighbour is at most.
FIRST = 40
# Rows looked at together: so many of 2,048 numbers fit into a core's second cache.
CACHED = 64
# Numbers of a query that are projected in float32 together.
PIECE = 128
# Queries that are projected together: more would take memory for all their pieces.
TOGETHER = 256
# Numbers of a page of memory.
PAGE = 1024
# An approximate search looks at so many times as many rows at the finest level as in full.
WIDER = 16
# Numbers of the score matrix in memory at once: 16 million float32 = 64 MB.
SCORES = 1 << 24
BLOCK = 4096
UNIT = 2.0**-24  # half a unit in the last place of float32


def columns(dim: int) -> tuple[int, ...]:
    """Return how many columns the levels for vectors of `dim` numbers have, coarsest first."""
    return tuple(dim // part // EIGHT * EIGHT for part in PARTS if dim // part >= EIGHT)


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """Principal axes.

    Attributes
    ----------
    centre
        float64 (dim,).
    axes
        float64 (dim, d), orthonormal columns, those of most variance first.
    left_over
        What the axes leave over of the squared distances to the centre, 0 to 1, over the rows that
        the axes were fitted on.
    """

    centre: NDArray[np.float64]
    axes: NDArray[np.float64]
    left_over: float

    @property
    def key(self) -> str:
        """A digest of its numbers."""
        digest = hashlib.sha256(np.ascontiguousarray(self.centre).tobytes())
        digest.update(np.ascontiguousarray(self.axes).tobytes())
        return digest.hexdigest()[:16]


def fit(x: NDArray[np.float32]) -> Basis:
    """Return the principal axes of rows (m, dim), as many as the finest level needs."""
    rows = x.astype(np.float64)
    centre = rows.mean(axis=0)
    rows -= centre
    variances, axes = np.linalg.eigh(rows.T @ rows)
    kept = columns(x.shape[1])[-1] - 2
    # eigh's columns are orthonormal to a few units in the last place of float64.
    axes = np.ascontiguousarray(axes[:, ::-1][:, :kept])
    whole = float(variances.sum())
    left = max(0.0, whole - float(variances[::-1][:kept].sum()))
    return Basis(centre, axes, left / whole if whole > 0 else 0.0)


class Reduction:
    """Turns vectors into short rows whose distances are lower bounds.

    With a = x - centre, p = a @ axes and r = sqrt(|a|**2 - |p|**2), a row is
    ``[p, r, -(1/2 - slack) |a|**2]`` and a query ``[p, r, 1]``, in float32, but for what covers
    rounding. Their inner product s proves that::

        |x - q|**2 >= (1 - 2 slack - loss) |b|**2 - 2 s,  b = q - centre

    `slack` covers all rounding of rows. With u = 2**-24 and n columns the product is off by at most
    ``n u / (1 - n u)`` times the product of the absolute values (Higham, Accuracy and Stability of
    Numerical Algorithms, 2nd edition, section 3.1), which is ``|a|**2 + |b|**2`` or less; p and r
    are rounded to float32; and r**2, a difference computed in float64, is off by at most
    ``(2 sqrt(n) + 4) dim 2**-53 |a|**2``, which matters where r is nearly 0.

    Queries are projected in float32, that is in half the time, in pieces that are put together in
    float64: each of the n - 2 products is off by ``(PIECE + 4) u |b|`` or less, all together by
    `loss` times |b|. So a query's r**2 is at most ``|b|**2 - |p|**2 + 2 loss |b|**2`` and a little,
    and s lacks ``loss |a| |b|`` or less, which is ``loss (|a|**2 + |b|**2) / 2`` or less.

    Parameters
    ----------
    basis
        The axes.
    columns
        How many columns rows have: two more than axes are used.
    """

    def __init__(self, basis: Basis, columns: int) -> None:
        self.basis = basis
        self.dim = columns
        dim = len(basis.centre)
        residual = ((2 * columns**0.5 + 4) * dim * 2.0**-53) ** 0.5
        # Twice what was derived, for what is smaller still: axes orthonormal but for 1e-13.
        self.slack = 2 * (columns + 8) * UNIT + 2 * (residual + 2 * UNIT)
        # A little more than was derived, for products of what is small.
        self.loss = (PIECE + 8) * UNIT * (columns - 2) ** 0.5

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return rows, float32 (m, columns)."""
        out = np.empty((len(vectors), self.dim), np.float32)
        for start in range(0, len(vectors), BLOCK):
            a = vectors[start : start + BLOCK].astype(np.float64) - self.basis.centre
            p, squares = a @ self.basis.axes[:, : self.dim - 2], np.vecdot(a, a)
            with np.errstate(over="ignore"):
                out[start : start + BLOCK] = self._row(p, squares, -(0.5 - self.slack) * squares)
        return out

    def projected(self, queries: NDArray[np.float32]) -> tuple[NDArray[np.float64], ...]:
        """Return p (n, columns - 2) and |b|**2 (n,) of queries (n, dim), both float64."""
        b = queries.astype(np.float64) - self.basis.centre
        p = np.empty((len(b), self.dim - 2))
        for start in range(0, len(b), TOGETHER):
            some = b[start : start + TOGETHER]
            pieces = np.zeros((len(some), len(self._pieces) * PIECE), np.float32)
            with np.errstate(over="ignore", invalid="ignore"):
                pieces[:, : b.shape[1]] = some
                products = pieces.reshape(len(some), -1, PIECE).swapaxes(0, 1) @ self._pieces
            products.sum(axis=0, dtype=np.float64, out=p[start : start + TOGETHER])
        return p, np.vecdot(b, b)

    @functools.cached_property
    def _pieces(self) -> NDArray[np.float32]:
        """The axes in pieces, float32 (pieces, PIECE, columns - 2), zeros after the last number."""
        dim = len(self.basis.axes)
        pieces = np.zeros((-(-dim // PIECE), PIECE, self.dim - 2), np.float32)
        pieces.reshape(-1, self.dim - 2)[:dim] = self.basis.axes[:, : self.dim - 2]
        return pieces

    def query(self, p: NDArray[np.float64], squares: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return queries, float32 (n, columns), by what `projected` makes of them.

        That may be by a finer reduction on the same basis: it is projected once for all levels.
        """
        # The last number gives each row what s may lack, |a|**2 loss / 2: the row has nearly half.
        most = (1 + 2.1 * self.loss) * squares
        return self._row(p, most, 1 - 1.1 * self.loss).astype(np.float32)

    def _row(
        self,
        p: NDArray[np.float64],
        squares: NDArray[np.float64],
        last: NDArray[np.float64] | float,
    ) -> NDArray[np.float64]:
        short = np.empty((len(p), self.dim))
        short[:, :-2] = p = p[:, : self.dim - 2]
        short[:, -2] = np.sqrt(np.maximum(squares - np.vecdot(p, p), 0.0))
        short[:, -1] = last
        return short

    def threshold(self, square: float, distance: float) -> np.float32:
        """Return the s below which a row is surely farther than sqrt(`distance`) from a query."""
        bar = ((1 - 2 * self.slack - self.loss) * square - distance) / 2
        with np.errstate(over="ignore"):
            below: np.float32 = np.nextafter(np.float32(bar), np.float32(-np.inf))
        return below


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """A reduction of all rows: most of them in a file, the newest perhaps in memory."""

    reduction: Reduction
    stored: NDArray[np.float32]
    recent: NDArray[np.float32]

    def extended(self, vectors: NDArray[np.float32]) -> Level:
        """Return the level with what it lacks of vectors (m, dim) made in memory."""
        known = len(self.stored) + len(self.recent)
        if known == len(vectors):
            return self
        recent = np.concatenate([self.recent, self.reduction(vectors[known:])])
        return Level(self.reduction, self.stored, recent)

    def scores(
        self, queries: NDArray[np.float32], rows: NDArray[np.intp] | None
    ) -> NDArray[np.float32]:
        """Return the inner products s of queries (n, columns) and rows: float32 (n, m).

        `rows` are ascending; None for all.
        """
        split = len(self.stored)
        if rows is None or PICKED * len(rows) > split + len(self.recent):
            products = queries @ self.stored.T
            if len(self.recent):
                products = np.concatenate([products, queries @ self.recent.T], axis=1)
            return products if rows is None else products[:, rows]
        picked = self.stored.take(rows[: np.searchsorted(rows, split)], axis=0)
        if len(picked) < len(rows):
            rest = self.recent.take(rows[len(picked) :] - split, axis=0)
            picked = np.concatenate([picked, rest])
        return queries @ picked.T


class _Near:
    """The nearest of the rows that were looked at in full."""

    def __init__(self, query: NDArray[np.float32], x: NDArray[np.float32], k: int) -> None:
        self.query, self.x, self.k = query, x, k
        self.rows = np.empty(0, np.intp)
        self.squared = np.empty(0, np.float32)
        self._seen = np.zeros(len(x), bool)
        self._scratch = np.empty((CACHED, len(query)), np.float32)
        self._pages = np.arange(0, len(query), PAGE)
        # Differences are rounded once, their squares once, and summed up in any order.
        self.slack = (len(query) + 8) * UNIT

    def look_at(self, rows: NDArray[np.intp]) -> None:
        """Compute the squared distances of rows."""
        rows = rows[~self._seen[rows]]
        self._seen[rows] = True
        squared = np.empty(len(rows), np.float32)
        # One number of each page, of all rows: processors wait for these at once, and where a page
        # begins to be read they know what is next.
        self.x[rows[:, None], self._pages]
        with np.errstate(over="ignore"):
            for start in range(0, len(rows), CACHED):
                some = rows[start : start + CACHED]
                # Not "raise", which copies twice; `_seen` has told that rows are in range. Memory
                # that is there already takes half of what it takes with new.
                difference = self._scratch[: len(some)]
                self.x.take(some, axis=0, mode="clip", out=difference)
                difference -= self.query
                np.vecdot(difference, difference, out=squared[start : start + CACHED])
        self.rows = np.concatenate([self.rows, rows])
        self.squared = np.concatenate([self.squared, squared])

    def reach(self) -> float:
        """Return what the k-th nearest row's squared distance is at most."""
        if len(self.rows) < self.k:
            return float("inf")
        # Squares too small for float32 are lost: the second term covers them.
        return (
            float(np.partition(self.squared, self.k - 1)[self.k - 1]) * (1 + self.slack)
            + len(self.query) * 2.0**-125
        )

    def answer(self) -> NDArray[np.intp]:
        """Return the rows that may be among the k nearest, ascending."""
        least = self.squared.astype(np.float64) * (1 - self.slack) - len(self.query) * 2.0**-125
        return np.sort(self.rows[~(least > self.reach())])


def candidates(
    queries: NDArray[np.float32],
    x: NDArray[np.float32],
    levels: Sequence[Level],
    k: int,
    rows: NDArray[np.intp] | None = None,
) -> Iterator[NDArray[np.intp] | None]:
    """For each query the rows among which its k nearest are, found through the lower bound.

    Parameters
    ----------
    queries
        (n, dim), finite.
    x
        (m, dim), finite; may be a mapped file.
    levels
        Reductions of all rows of x on the same basis, coarsest first.
    k
        How many neighbours are wanted, 1 or more.
    rows
        Only these rows may be answers, ascending; all of them when None.

    Yields
    ------
    ndarray or None
        Row numbers, ascending: k or a little more of them, those that tie with the k-th included;
        all, where there are no more than k. None where the bound rules out too little to be worth
        while, or cannot be trusted: the query has to be held against all rows.
    """
    every = len(x) if rows is None else len(rows)
    if FULL * k > every:
        yield from (None for _ in queries)
        return
    if len(queries) < MANY:
        for asked in _scores(queries, levels, rows):
            yield _refined(x, levels, asked, k, rows)
        return

    helped, tried, finest = 0, 0, levels[-1:]
    for some in _chunks(queries, levels[-1]):
        # Where nearly nothing could be ruled out for the first it is not tried for others.
        if tried >= MANY and 4 * helped < tried:
            yield from (None for _ in some)
            continue
        for asked in _scores(some, finest, rows):
            found = _refined(x, finest, asked, k, rows)
            tried, helped = tried + 1, helped + (found is not None)
            yield found


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A query (dim,), at each level (columns,) and its |b|**2, and its scores (m,) at the first."""

    query: NDArray[np.float32]
    short: tuple[NDArray[np.float32], ...]
    square: float
    scores: NDArray[np.float32]


def _chunks(queries: NDArray[np.float32], level: Level) -> Iterator[NDArray[np.float32]]:
    """Cut queries into a first few and then as many as may have their scores in memory."""
    every = len(level.stored) + len(level.recent)
    yield queries[:MANY]
    step = max(1, SCORES // max(every, 1))
    for start in range(MANY, len(queries), step):
        yield queries[start : start + step]


def _scores(
    queries: NDArray[np.float32], levels: Sequence[Level], rows: NDArray[np.intp] | None
) -> Iterator[_Asked]:
    """Project queries, and yield each with its scores at the first level."""
    p, squares = levels[-1].reduction.projected(queries)
    short = [level.reduction.query(p, squares) for level in levels]
    for n, scores in enumerate(levels[0].scores(short[0], rows)):
        yield _Asked(queries[n], tuple(at[n] for at in short), float(squares[n]), scores)


def _refined(
    x: NDArray[np.float32],
    levels: Sequence[Level],
    asked: _Asked,
    k: int,
    rows: NDArray[np.intp] | None,
) -> NDArray[np.intp] | None:
    """Rule rows out level by level."""
    square, scores = asked.square, asked.scores
    if not 1e-30 < square < 1e30:
        return None  # numbers whose products float32 cannot hold
    every = len(scores)
    near = _Near(asked.query, x, k)
    left = rows
    for n, (level, short) in enumerate(zip(levels, asked.short, strict=True)):
        if n and left is not None:
            # A few of many tell whether this level will help.
            if PICKED * len(left) > every:
                some = level.scores(short[None], left[::SOME])[0]
                least = level.reduction.threshold(square, near.reach())
                if FULL * np.count_nonzero(~(some < least)) * SOME > every:
                    return None
            scores = level.scores(short[None], left)[0]
        best = _greatest(scores, max(FIRST, 2 * k))
        near.look_at(best if left is None else left[best])
        # Not >=: a score that is no number proves nothing.
        kept = np.flatnonzero(~(scores < level.reduction.threshold(square, near.reach())))
        left = kept if left is None else left[kept]
    if left is None or FULL * len(left) > every:
        return None
    near.look_at(left)
    return near.answer()


def _greatest(scores: NDArray[np.float32], n: int) -> NDArray[np.intp]:
    """Return the positions of the n greatest scores and of some more, ascending.

    Where there are many, those that are no less than the n-th greatest of the maxima of 4 n pieces:
    two quick passes, where a partition of all scores takes longer than the product that they come
    from.
    """
    pieces = 4 * n
    size = len(scores) // pieces
    if n >= len(scores):
        return np.arange(len(scores))
    maxima = scores if size < 8 else scores[: pieces * size].reshape(pieces, size).max(axis=1)
    bar = np.partition(maxima, len(maxima) - n)[len(maxima) - n]
    found: NDArray[np.intp] = np.flatnonzero(scores >= bar)
    return found


def approximate(
    queries: NDArray[np.float32],
    x: NDArray[np.float32],
    levels: Sequence[Level],
    k: int,
    looked_at: int,
    rows: NDArray[np.intp] | None = None,
) -> Iterator[NDArray[np.intp]]:
    """For each query the nearest rows by the finest level, of those nearest by the coarsest.

    Nothing is proved: how many of the k nearest are among them has to be measured.

    Parameters
    ----------
    queries, x, levels, k, rows
        As for `candidates`.
    looked_at
        How many rows are looked at in full, or some more; 16 times as many at the finest level.

    Yields
    ------
    ndarray
        Row numbers, ascending: k or a little more of them.
    """
    for asked in (
        one for some in _chunks(queries, levels[0]) for one in _scores(some, levels, rows)
    ):
        left, scores = rows, asked.scores
        for n, (level, short) in enumerate(zip(levels, asked.short, strict=True)):
            if n:
                scores = level.scores(short[None], left)[0]
            best = _greatest(scores, looked_at * (WIDER if n + 1 < len(levels) else 1))
            left = best if left is None else left[best]
        near = _Near(asked.query, x, min(k, looked_at))
        near.look_at(np.empty(0, np.intp) if left is None else left)
        yield near.answer()
