"""Exact nearest neighbours over arrays, by Euclidean distance."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from houndsight.errors import FingerprintMismatch, InputError
from houndsight.types import Vectors

__all__ = ["bounds", "candidates", "distances", "distances_to", "nearest", "within"]

# Rows whose differences are in memory at once, as float64: 2,048 x 2,048 x 8 bytes = 32 MB.
BLOCK = 2048
# Numbers of the score matrix in memory at once: 16 million float32 = 64 MB.
SCORES = 1 << 24


def distances(queries: ArrayLike, gallery: ArrayLike) -> NDArray[np.float64]:
    """Euclidean distances of every query to every gallery vector.

    Computed as ``sqrt(sum((x - q)**2))`` in float64 from the vectors themselves; the expanded form
    ``|x|**2 + |q|**2 - 2 x.q`` would put two identical vectors a small distance apart.

    Parameters
    ----------
    queries
        (n, dim), or one vector (dim,).
    gallery
        (m, dim), or one vector (dim,).

    Returns
    -------
    ndarray
        float64 (n, m), 0 or more, no unit.

    Raises
    ------
    InputError
        If a shape does not fit, or a value is not finite.
    FingerprintMismatch
        If both are `Vectors` and come from different embedders.
    """
    if (
        isinstance(queries, Vectors)
        and isinstance(gallery, Vectors)
        and queries.fingerprint != gallery.fingerprint
    ):
        raise FingerprintMismatch(
            "the two sets of vectors come from different embedders",
            remedy="Embed both with the same model and settings",
        )
    q, x = _matrix(queries, "queries"), _matrix(gallery, "gallery")
    if q.shape[1] != x.shape[1]:
        raise InputError(f"queries have {q.shape[1]} dimensions, the gallery has {x.shape[1]}")
    return np.stack([distances_to(one, x) for one in q]) if len(q) else np.empty((0, len(x)))


def _matrix(values: ArrayLike, name: str) -> NDArray[np.floating]:
    matrix = np.atleast_2d(np.asarray(values))
    if matrix.ndim != 2:
        raise InputError(f"{name} must be (n, dim), not {matrix.shape}")
    if not np.issubdtype(matrix.dtype, np.floating):
        try:
            matrix = matrix.astype(np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{name} must be numbers, not {matrix.dtype}") from None
    if not np.isfinite(matrix).all():
        raise InputError(f"{name} hold a value that is not finite")
    return matrix


def distances_to(query: NDArray[np.floating], x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Euclidean distances of one query (dim,) to the rows of x (m, dim): float64 (m,)."""
    q = query.astype(np.float64)
    out = np.empty(len(x))
    for start in range(0, len(x), BLOCK):
        difference = x[start : start + BLOCK] - q
        difference *= difference
        out[start : start + BLOCK] = difference.sum(axis=1)
    return np.sqrt(out, out=out)


def nearest(
    distance: NDArray[np.float64], ids: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the k smallest distances and their ids, nearest first, ties by id."""
    order = np.lexsort((ids, distance))[:k]
    return ids[order], distance[order]


def candidates(
    queries: NDArray[np.float32],
    x: NDArray[np.float32],
    norms: NDArray[np.float64],
    k: int,
    rows: NDArray[np.intp] | None = None,
) -> Iterator[NDArray[np.intp]]:
    """For each query the rows among which its k nearest are, found by one matrix product.

    The product is rounded to float32. A dot product of d terms is off by at most
    ``d u / (1 - d u) |x| |q|`` with u = 2**-24 (Higham, Accuracy and Stability of Numerical
    Algorithms, 2nd edition, section 3.1), so the squared distance by the expanded form is off by
    less than ``(d + 8) u (|x| + |q|)**2``. A row is a candidate unless that bound proves that k
    others are nearer; rows that tie with the k-th are therefore always among them.

    Parameters
    ----------
    queries
        (n, dim), finite.
    x
        (m, dim), finite; may be a mapped file.
    norms
        (m,), Euclidean norms of x's rows.
    k
        How many neighbours are wanted, 1 or more.
    rows
        Only these rows may be answers; all of them when None.

    Yields
    ------
    ndarray
        Row numbers (positions in `rows`, where that is given), ascending: k or a little more of
        them; all, where there are no more than k.
    """
    for squared, slack in bounds(queries, x, norms if rows is None else norms[rows], rows):
        if k >= len(squared):
            yield np.arange(len(squared))
            continue
        bar = np.partition(squared + slack, k - 1)[k - 1]
        yield np.flatnonzero(squared - slack <= bar)


def within(
    queries: NDArray[np.float32], x: NDArray[np.float32], distance: float
) -> Iterator[NDArray[np.intp]]:
    """For each query (n, dim) the rows of x (m, dim), finite, no farther than a distance; exact.

    Found by one matrix product, as `candidates` are, and then looked at one by one.
    """
    norms = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
    for query, (squared, slack) in zip(queries, bounds(queries, x, norms, None), strict=True):
        rows = np.flatnonzero(squared - slack <= distance**2)
        yield rows[distances_to(query, x[rows]) <= distance]


def bounds(
    queries: NDArray[np.float32],
    x: NDArray[np.float32],
    lengths_x: NDArray[np.float64],
    rows: NDArray[np.intp] | None,
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For each query squared distances to rows by a product, and how far these may be off."""
    m, dim = x.shape
    unit = 2.0**-24
    step = max(1, SCORES // max(m, 1))
    for start in range(0, len(queries), step):
        chunk = queries[start : start + step]
        lengths = np.sqrt(np.einsum("ij,ij->i", chunk, chunk, dtype=np.float64))
        reach = lengths_x.max(initial=0.0) + lengths.max(initial=0.0)
        if not 1e-15 < reach < 1e15 or dim * unit > 0.1:
            # Numbers whose squares float32 cannot hold: every row is looked at.
            nothing = np.zeros(len(lengths_x)), np.full(len(lengths_x), np.inf)
            yield from (nothing for _ in chunk)
            continue
        products = chunk @ x.T
        for length, product in zip(lengths, products, strict=True):
            dots = product if rows is None else product[rows]
            squared = lengths_x**2 + length**2 - 2.0 * dots
            # The last term covers products too small for float32.
            slack = (dim + 8) * unit * (lengths_x + length) ** 2 + dim * 2.0**-126
            yield squared, slack
