"""Figures of retrieval and classification, over arrays.

Figures of a ranking are one value per query, 0 to 1, from these arrays:

hits : bool (n_queries, m)
    Whether the neighbour at each rank has the query's label, nearest first; False where a query
    has fewer than m. Ties of distance are broken by whoever ranked. Ranks past m count as misses.
relevant : integer (n_queries,)
    How many items with the query's label it could find: those in the gallery, less the query
    itself and whatever else is kept from it. At least as many as its hits.

A query with nothing relevant scores 0 and is not left out: all that it is shown is wrong, and no
figure may rise because labels are missing from the gallery. Arguments that are not as described
raise `InputError`. IIR is Manning et al., Introduction to Information Retrieval, 2008.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from houndsight.errors import InputError

__all__ = [
    "Difference",
    "Estimate",
    "auroc",
    "average_precision",
    "bootstrap",
    "calibration_curve",
    "expected_calibration_error",
    "map_at_r",
    "ndcg_at",
    "paired",
    "precision_at",
    "r_precision",
    "recall_at",
    "retrieved_at",
    "wilson",
]

RESAMPLES = 2000
FLIPS = 9999
Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution
BLOCK = 1 << 20  # random numbers in memory at once: 8 MB

Flags: TypeAlias = NDArray[np.bool_]
Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Kind = TypeVar("Kind", np.bool_, np.int64, np.float64)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries and the 95 % interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How far apart two systems are: mean of the first less mean of the second, and its p-value."""

    difference: Estimate
    p: float


def wilson(hits: ArrayLike) -> Estimate:
    """Share of hits, bool (n,) with n at least 1, with Wilson's 95 % score interval.

    Unlike the normal approximation it stays within 0 and 1 and is not empty at 0 of n (E. B.
    Wilson, Probable inference, JASA 22, 1927).
    """
    flags = _column(hits, np.bool_, "hits")
    n, p = len(flags), float(flags.mean())
    centre = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    return Estimate(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)))


def bootstrap(values: ArrayLike, seed: int) -> Estimate:
    """Mean with its 95 % percentile bootstrap interval: 2,000 resamples of queries (Efron 1979).

    Values are float or bool (n_queries,), finite, one or more.
    """
    x = _column(values, np.float64, "values")
    rng = np.random.default_rng(seed)
    means = [x[rng.integers(0, len(x), part)].mean(axis=1) for part in _parts(RESAMPLES, len(x))]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return Estimate(float(x.mean()), float(low), float(high))


def paired(a: ArrayLike, b: ArrayLike, seed: int) -> Difference:
    """Compare two systems by their scores of the same queries: float or bool (n_queries,), finite.

    The interval is the bootstrap's. The p-value, two-sided, is a permutation test's: were there no
    difference, the two scores of any query might be swapped, which flips the sign of its
    difference. Of 9,999 choices of signs, random by the seed (0 or more), those are counted whose
    mean is as far from 0 as the observed one or farther: p = (count + 1) / 10,000 (Fisher, The
    Design of Experiments, 1935; Pitman, 1937; for retrieval Smucker et al., CIKM 2007).
    """
    x = _column(a, np.float64, "a")
    y = _column(b, np.float64, "b", len(x))
    difference, count = x - y, 0
    total = difference.sum()
    # Scores are often multiples of 1 / k, so many sums equal the observed one, and rounding must
    # not part them: however n numbers are added, it shifts the sum by less than n eps sum(|x|).
    slack = 4 * len(x) * np.finfo(np.float64).eps * (np.abs(x) + np.abs(y)).sum()
    rng = np.random.default_rng([seed, 1])  # not the numbers that the bootstrap draws
    for part in _parts(FLIPS, len(x)):
        flipped = rng.integers(0, 2, part, dtype=np.bool_)
        sums = total - 2.0 * (flipped @ difference)
        count += int(np.count_nonzero(np.abs(sums) >= abs(total) - slack))
    return Difference(bootstrap(difference, seed), (count + 1) / (FLIPS + 1))


def precision_at(hits: Flags, k: int, counts: ArrayLike) -> Floats:
    """Share of the first k neighbours that are hits: float64 (n_queries,) (IIR 8.4).

    `counts`, integer (n_queries,), says how many neighbours each query has, its hits or more. Where
    they are fewer than k, the share is over those there are; a query without any scores 0.
    """
    there = np.minimum(_at_least_hits(counts, "counts", hits), k)
    return _share(_first(hits, k).sum(axis=1), there)


def recall_at(hits: Flags, k: int) -> Flags:
    """Whether there is a hit among the first k neighbours: bool (n_queries,).

    Image retrieval calls this recall@k (Song et al., CVPR 2016; after Jegou et al., PAMI 33, 2011,
    where a query has one right answer). What it hides is said by Musgrave et al., ECCV 2020. The
    share of all that is relevant is `retrieved_at`.
    """
    return np.asarray(_first(hits, k).any(axis=1))


def retrieved_at(hits: Flags, k: int, relevant: ArrayLike) -> Floats:
    """Share of all relevant items that are among the first k: float64 (n_queries,).

    This is recall as information retrieval has it (IIR 8.3); with k < relevant it stays below 1.
    """
    return _share(_first(hits, k).sum(axis=1), _at_least_hits(relevant, "relevant", hits))


def average_precision(hits: Flags, relevant: ArrayLike) -> Floats:
    """Mean over all relevant items of the precision at the rank of each: float64 (n_queries,).

    An item that is not in the ranking adds 0: of a ranking cut short it is a lower bound (IIR 8.4).
    """
    total = _at_least_hits(relevant, "relevant", hits)
    rows, ranks = np.nonzero(hits)  # query by query, nearest first
    found = hits.sum(axis=1)
    nth = np.arange(1, len(rows) + 1) - np.repeat(np.cumsum(found) - found, found)
    return _share(np.bincount(rows, nth / (ranks + 1), len(hits)), total)


def map_at_r(hits: Flags, relevant: ArrayLike) -> Floats:
    """Average precision over the first R = relevant ranks, at most m: float64 (n_queries,).

    It is 1 only where the R nearest are all hits (Musgrave, Belongie and Lim, A metric learning
    reality check, ECCV 2020).
    """
    return average_precision(*_first_r(hits, relevant))


def r_precision(hits: Flags, relevant: ArrayLike) -> Floats:
    """Share of hits in the first R = relevant ranks, at most m: float64 (n_queries,) (IIR 8.4)."""
    first, r = _first_r(hits, relevant)
    return _share(first.sum(axis=1), r)


def ndcg_at(hits: Flags, k: int, relevant: ArrayLike) -> Floats:
    """Normalised discounted cumulative gain of the first k ranks: float64 (n_queries,).

    A hit at rank r gains 1 / log2(1 + r), and the sum is divided by that of the best ranking there
    could be, with min(k, relevant) hits in front, found or not (Jarvelin and Kekalainen, TOIS 20,
    2002, who discount from rank 3 on; the discount here is that of Burges et al., ICML 2005).
    """
    rows, ranks = np.nonzero(_first(hits, k))
    best = np.minimum(_at_least_hits(relevant, "relevant", hits), k)
    discount = 1.0 / np.log2(np.arange(2, 2 + max(hits.shape[1], best.max(initial=0))))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    return _share(np.bincount(rows, discount[ranks], len(hits)), ideal[best])


def calibration_curve(
    probability: ArrayLike, right: ArrayLike, bins: int = 15
) -> tuple[Floats, Floats, Integers]:
    """How often answers were right, against how probable they were said to be.

    `probability`, 0 to 1, and `right`, bool, are (n,) with n at least 1. In order of probability,
    answers fill min(bins, n) bins of equal mass: sizes differ by one at most (Nixon et al.,
    Measuring calibration in deep learning, CVPR workshops 2019). Returned are mean probability
    (float64), share right (float64) and count (int64) of each bin. Bins that divide answers of
    equal probability get the right ones among them pro rata, whatever order these come in.
    """
    p = _column(probability, np.float64, "probability")
    hits = _column(right, np.bool_, "right", len(p))
    if p.min() < 0 or p.max() > 1 or bins < 1:
        raise InputError("a probability is below 0 or above 1, or there is less than one bin")
    values, tie, size = np.unique(p, return_inverse=True, return_counts=True)
    share = np.bincount(tie, hits) / size
    parts = np.array_split(np.sort(tie), min(bins, len(p)))
    said, was = (np.array([x[part].mean() for part in parts]) for x in (values, share))
    return said, was, np.array([len(part) for part in parts])


def expected_calibration_error(probability: ArrayLike, right: ArrayLike, bins: int = 15) -> float:
    """Gap between probability and share right, weighted by count: 0, the best, to 1.

    Guo et al., On calibration of modern neural networks, ICML 2017, with the bins of
    `calibration_curve`. Chance makes it a little more than 0 for the best calibration, too.
    """
    said, was, count = calibration_curve(probability, right, bins)
    return float(np.average(np.abs(said - was), weights=count))


def auroc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve, 0 to 1, where 0.5 is chance.

    How often a positive scores above a negative, ties counted half: Mann and Whitney's U over the
    number of pairs, from ranks (Hanley and McNeil, Radiology 143, 1982). Scores are finite, (n,),
    `positive` is bool (n,) and has both kinds.
    """
    x = _column(scores, np.float64, "scores")
    flags = _column(positive, np.bool_, "positive", len(x))
    n = int(flags.sum())
    if n in (0, len(x)):
        raise InputError("the area under the ROC curve needs positives and negatives")
    _, tie, size = np.unique(x, return_inverse=True, return_counts=True)
    rank = np.cumsum(size) - (size - 1) / 2  # from 1; equal scores have the mean of their ranks
    return float((rank[tie[flags]].sum() - n * (n + 1) / 2) / (n * (len(x) - n)))


def _parts(rows: int, width: int) -> Iterator[tuple[int, int]]:
    """Shapes of `BLOCK` numbers or less (one row at least) that make up (rows, width)."""
    step = max(1, BLOCK // width)
    return ((min(step, rows - start), width) for start in range(0, rows, step))


def _column(values: ArrayLike, kind: type[Kind], name: str, n: int | None = None) -> NDArray[Kind]:
    """Values as an array (n,) of that kind."""
    x = np.asarray(values)
    fits = x.ndim == 1 and (len(x) == n or (n is None and len(x) > 0))
    if not fits or not np.can_cast(x.dtype, kind, "same_kind") or not np.isfinite(x).all():
        want = f"finite {kind.__name__} ({'1 or more' if n is None else n},)"
        raise InputError(f"{name} must be {want}, not {x.dtype} {x.shape}")
    return x.astype(kind)


def _first(hits: Flags, k: int) -> Flags:
    if hits.ndim != 2 or hits.dtype != np.bool_ or k < 1:
        raise InputError(f"hits are {hits.dtype} {hits.shape}, not bool (n_queries, m), or k < 1")
    return hits[:, :k]


def _at_least_hits(values: ArrayLike, name: str, hits: Flags) -> Integers:
    x = _column(values, np.int64, name, len(_first(hits, 1)))
    if (hits.sum(axis=1) > x).any():
        raise InputError(f"a query has more hits than {name} says")
    return x


def _first_r(hits: Flags, relevant: ArrayLike) -> tuple[Flags, Integers]:
    """Hits among each query's first R = relevant ranks, False past these, and R."""
    r = _at_least_hits(relevant, "relevant", hits)
    if r.max(initial=0) > hits.shape[1]:
        raise InputError(f"{r.max()} items are relevant, but the ranking ends at {hits.shape[1]}")
    return hits & (np.arange(hits.shape[1]) < r[:, None]), r


def _share(part: NDArray[np.number], whole: NDArray[np.number]) -> Floats:
    """Part over whole, and 0 where the whole is 0."""
    shares: Floats = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return shares
