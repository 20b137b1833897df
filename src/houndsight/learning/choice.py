"""Cross-validation: what every setting of a map would do for photos that it was not fitted on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from houndsight.learning.discriminant import Discriminant, Settings
from houndsight.learning.folds import Labelled
from houndsight.maps import softmax, unit

__all__ = ["METHODS", "Outcome", "Trials", "cross_validate", "split"]

METHODS = ("auto", "lda", "posteriors", "blend")
Point = tuple[float, float, float, float]

QUERIES = 2000  # photos asked for, all folds together: their mean is known to a percentage point
NEIGHBOURS = 20
PROJECTION_SHRINKAGES = (0.3, 0.6, 0.85)
SCORE_SHRINKAGES = (0.6, 0.8, 0.9)
# Parts of the temperature at which posteriors fit photos not seen best: below it neighbours share
# the label more often, above it they differ in more than one label.
SOFTNESS = (0.35, 0.7, 1.0, 1.4)
BLENDS = (0.15, 0.3, 0.5, 0.75)
PIECE = 64
TEMPERATURES = np.geomspace(0.1, 500, 60)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """How the neighbours of each query fared.

    Attributes
    ----------
    precision
        float64 (n_queries,): share of the k neighbours that have the query's label.
    recall
        bool (n_queries,): whether one of the nearest 5 has.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.bool_]

    def worth(self, favour: float) -> float:
        """Return favour x mean precision + (1 - favour) x mean recall.

        `favour` goes from 0 (a photo of the label among the nearest 5, come what may) to 1 (as many
        of the neighbours as can be).
        """
        return favour * float(self.precision.mean()) + (1 - favour) * float(self.recall.mean())


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """What was tried.

    Attributes
    ----------
    plain
        Vectors scaled to norm 1, without a map.
    maps
        Each setting with its outcome.
    k
        20, or fewer where labels have fewer photos: as many as a query's label has in the median.
    """

    plain: Outcome
    maps: list[tuple[Settings, Outcome]]
    k: int

    def best(self, favour: float) -> tuple[Settings, Outcome]:
        """Return the setting of the highest worth, the first of equals."""
        return max(self.maps, key=lambda trial: trial[1].worth(favour))


def split(photos: Labelled, part: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the photos to fit on, and those of a fold to ask for, at most a fair part of QUERIES.

    A photo whose label none of the others has is not asked for: nothing could be right.
    """
    inside = np.flatnonzero(photos.fold != part)
    known = np.isin(photos.labels, photos.labels[inside])
    asked = np.flatnonzero((photos.fold == part) & known)
    limit = QUERIES // (photos.fold.max() + 1)
    if len(asked) > limit:
        asked = asked[np.sort(np.random.default_rng(part).permutation(len(asked))[:limit])]
    return inside, asked


def cross_validate(
    photos: Labelled, method: str, progress: Callable[[int, int], None] | None = None
) -> Trials:
    """Try every setting of a method on each fold, with maps fitted on the other folds.

    Parameters
    ----------
    photos
        Labelled photos, dealt out into folds.
    method
        One of METHODS: ``lda`` (projections only), ``posteriors``, ``blend`` (of both), or
        ``auto``: all of these.
    progress
        Called with (folds done, folds in all).
    """
    grid = _grid(method)
    parts = int(photos.fold.max()) + 1
    k = _neighbours(photos, parts)
    precision: list[NDArray[np.float64]] = []
    recall: list[NDArray[np.bool_]] = []
    fits: list[NDArray[np.float64]] = []
    for part in range(parts):
        inside, asked = split(photos, part)
        if len(asked):
            one = _Fold(photos, inside, asked)
            hits = np.stack(list(one.hits(grid, max(k, 5))))
            precision.append(hits[:, :, :k].mean(axis=2))
            recall.append(np.asarray(hits[:, :, :5].any(axis=2)))
            fits.append(np.array([one.temperature[t] for t in SCORE_SHRINKAGES]))
        if progress is not None:
            progress(part + 1, parts)
    temperature = dict(
        zip(SCORE_SHRINKAGES, np.exp(np.mean(np.log(fits), axis=0)).tolist(), strict=True)
    )
    settings = [
        Settings(projection, scores, round(softness * temperature[scores], 3), blend)
        for projection, scores, softness, blend in grid
    ]
    plain, *outcomes = map(Outcome, np.hstack(precision), np.hstack(recall))
    return Trials(plain, list(zip(settings, outcomes, strict=True)), k)


def _grid(method: str) -> list[Point]:
    """Return (projection shrinkage, score shrinkage, softness, blend) of all settings to try."""
    middle = (SCORE_SHRINKAGES[1], 1.0)
    kinds: dict[str, list[Point]] = {
        "lda": [(p, *middle, 0.0) for p in PROJECTION_SHRINKAGES],
        "posteriors": [
            (PROJECTION_SHRINKAGES[1], s, soft, 1.0)
            for s, soft in product(SCORE_SHRINKAGES, SOFTNESS)
        ],
        "blend": list(product(PROJECTION_SHRINKAGES, SCORE_SHRINKAGES, SOFTNESS, BLENDS)),
    }
    return [p for kind in kinds.values() for p in kind] if method == "auto" else kinds[method]


def _neighbours(photos: Labelled, parts: int) -> int:
    """Return how many neighbours are looked at: no more than a query's label has photos."""
    others = np.bincount(photos.labels)[photos.labels] * (parts - 1) // parts
    return int(np.clip(np.median(others), 1, NEIGHBOURS))


class _Fold:
    """One part of the photos set apart, and what the others say of them under every setting."""

    def __init__(self, photos: Labelled, inside: NDArray[np.intp], asked: NDArray[np.intp]) -> None:
        present, numbers = np.unique(photos.labels[inside], return_inverse=True)
        self.right = photos.labels[asked][:, None] == photos.labels[inside][None]
        self._fit = Discriminant(photos.vectors[inside], numbers)
        self._inside = unit(photos.vectors[inside].astype(np.float64)).astype(np.float32)
        self._asked = unit(photos.vectors[asked].astype(np.float64)).astype(np.float32)
        truth = np.searchsorted(present, photos.labels[asked])
        self._scores = {t: self._scored(t) for t in SCORE_SHRINKAGES}
        self.temperature = {
            t: _temperature(asked_scores, truth) for t, (_, asked_scores) in self._scores.items()
        }

    def _scored(self, shrinkage: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        weights, bias = (a.astype(np.float32) for a in self._fit.scores(shrinkage))
        return self._inside @ weights + bias, self._asked @ weights + bias

    def hits(self, grid: list[Point], k: int) -> Iterator[NDArray[np.bool_]]:
        """Yield without a map, then for each setting: which of k neighbours are right (n, k)."""
        yield self._nearest(self._asked @ self._inside.T, k)
        # The grid goes through all blends of the same two before it goes on.
        along, likeness = lru_cache(1)(self._along), lru_cache(1)(self._likeness)
        for projection, scores, softness, blend in grid:
            # Of two vectors of norm 1 the one with the greater product is nearer.
            if blend == 0:
                products = along(projection)
            elif blend == 1:
                products = likeness(scores, softness)
            else:
                products = (1 - blend) * along(projection) + blend * likeness(scores, softness)
            yield self._nearest(products, k)

    def _along(self, shrinkage: float) -> NDArray[np.float32]:
        axes = self._fit.projection(shrinkage)
        centre = (self._fit.centre @ axes).astype(np.float32)
        inside, asked = (
            unit((x @ axes.astype(np.float32) - centre).astype(np.float64)).astype(np.float32)
            for x in (self._inside, self._asked)
        )
        return asked @ inside.T

    def _likeness(self, shrinkage: float, softness: float) -> NDArray[np.float32]:
        temperature = softness * self.temperature[shrinkage]
        inside, asked = (
            np.sqrt(softmax((s / temperature).astype(np.float64))).astype(np.float32)
            for s in self._scores[shrinkage]
        )
        return asked @ inside.T

    def _nearest(self, products: NDArray[np.float32], k: int) -> NDArray[np.bool_]:
        """Return which of the k nearest are right; False where there are fewer."""
        there = min(k, products.shape[1])
        found = _greatest(products, there)
        order = np.argsort(-np.take_along_axis(products, found, 1), axis=1, kind="stable")
        hits = np.take_along_axis(self.right, np.take_along_axis(found, order, 1), 1)
        return np.pad(hits, ((0, 0), (0, k - there)))


def _greatest(values: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Return where the k greatest values of each row are, in any order: (n, k).

    They are in the k pieces of the row with the greatest maxima, so that no more than these need be
    partitioned: at 9,600 columns four times as fast.
    """
    n, columns = values.shape
    pieces = columns // PIECE
    if pieces < 2 * k:
        return np.argpartition(-values, k - 1, axis=1)[:, :k]
    whole = pieces * PIECE
    maxima = values[:, :whole].reshape(n, pieces, PIECE).max(axis=2)
    best = np.argpartition(-maxima, k - 1, axis=1)[:, :k]
    among = (best[:, :, None] * PIECE + np.arange(PIECE)).reshape(n, -1)
    rest = np.broadcast_to(np.arange(whole, columns), (n, columns - whole))
    among = np.hstack([among, rest])
    some = np.take_along_axis(values, among, 1)
    return np.take_along_axis(among, np.argpartition(-some, k - 1, axis=1)[:, :k], 1)


def _temperature(scores: NDArray[np.floating], truth: NDArray[np.intp]) -> float:
    """Return the temperature that makes posteriors fit the truth best.

    By the likelihood of the right labels (Guo et al., On calibration of modern neural networks,
    ICML 2017), the best of 60 values.
    """
    loss: list[float] = []
    for temperature in TEMPERATURES:
        z = scores / temperature
        z = z - z.max(axis=1, keepdims=True)
        right = z[np.arange(len(z)), truth]
        loss.append(float(np.mean(np.log(np.exp(z).sum(axis=1)) - right)))
    return float(TEMPERATURES[int(np.argmin(loss))])
