"""Fits calibrations on photos that the metric's map was not fitted on."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from houndsight import search
from houndsight.calibration import LEAST, Calibration, Curve, Threshold, features, voted
from houndsight.learning.choice import split
from houndsight.learning.folds import Labelled
from houndsight.maps import Space
from houndsight.metrics import auroc, expected_calibration_error

__all__ = ["Fit", "calibrate"]

# Fits the metric's space on some of the photos; one that is not learned is the same for all.
Fit = Callable[[NDArray[np.intp]], Space]

KNOTS = 200
STEPS = 100
RIDGE = 1e-3
UNKNOWN = 0.2
POWERS = np.linspace(0.5, 4.0, 29)
RESTS = np.geomspace(1e-6, 30.0, 40)


class _Asked:
    """Photos set apart, with their neighbours among the photos of other folds."""

    def __init__(
        self,
        photos: Labelled,
        space: Space,
        inside: NDArray[np.intp],
        asked: NDArray[np.intp],
        k: int,
    ) -> None:
        x, q = space(photos.vectors[inside]), space(photos.vectors[asked])
        self.distances = np.full((len(asked), k), np.inf)
        self.labels = np.full((len(asked), k), -1, np.intp)
        norms = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
        for n, rows in enumerate(search.candidates(q, x, norms, k)):
            found, distance = search.nearest(search.distances_to(q[n], x[rows]), rows, k)
            self.distances[n, : len(found)] = distance
            self.labels[n, : len(found)] = photos.labels[inside][found]
        self.truth = photos.labels[asked]
        self.traits = space.traits(photos.vectors[asked])
        self.known = np.isin(self.truth, photos.labels[inside])

    def support(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of the weights of each query's neighbours by label, (n, n_labels)."""
        out = np.zeros((len(self.labels), int(max(self.labels.max(), self.truth.max())) + 1))
        there = self.labels >= 0
        rows = np.nonzero(there)[0]
        np.add.at(out, (rows, self.labels[there]), weights[there])
        return out

    def supported(self, neighbour: Curve) -> NDArray[np.float64]:
        """Return q_l of `Calibration`, (n, n_labels)."""
        there = self.labels >= 0
        p = np.where(there, neighbour(np.where(there, self.distances, 0.0)), 0.0)
        return self.support(p) / self.labels.shape[1]


def _together(parts: Sequence[_Asked]) -> _Asked:
    whole = object.__new__(_Asked)
    for name in ("distances", "labels", "truth", "traits", "known"):
        setattr(whole, name, np.concatenate([getattr(part, name) for part in parts]))
    return whole


def calibrate(photos: Labelled, fit: Fit, *, k: int, seed: int) -> Calibration:
    """Fit the probabilities of neighbours, votes and of none of the labels.

    Every photo is asked for with its fold left out, of the space's fit too. For photos of unknown
    labels, a fifth of the labels is left out with each fold.

    Parameters
    ----------
    photos
        Labelled photos, dealt out into folds.
    fit
        Called with the numbers of photos that the space may be fitted on.
    k
        Neighbours that votes are taken over.
    seed
        Of the order in which labels are left out.
    """
    parts = int(photos.fold.max()) + 1
    closed = _together(
        [
            _Asked(photos, fit(inside), inside, asked, k)
            for inside, asked in (split(photos, part) for part in range(parts))
            if len(asked)
        ]
    )
    right = closed.labels == closed.truth[:, None]
    there = closed.labels >= 0
    neighbour = _falling(closed.distances[there], right[there])
    support = closed.supported(neighbour)
    power, rest = _power(support, closed.truth)
    raw = voted(support, power, rest)
    answers = raw.argmax(axis=1)
    won = answers == closed.truth
    top = _rising(raw.max(axis=1), won)
    made = {
        "queries": len(closed.truth),
        "neighbour_error": expected_calibration_error(
            neighbour(closed.distances[there]), right[there]
        ),
        "vote_error": expected_calibration_error(top(raw.max(axis=1)), won),
    }
    return _with_unknown(
        _of_unknown(photos, fit, k, seed) or closed,
        Calibration(k, neighbour, power, rest, top, (), (), UNKNOWN, made),
    )


def _of_unknown(photos: Labelled, fit: Fit, k: int, seed: int) -> _Asked | None:
    """Ask for photos, those of a fifth of the labels without their labels; None if it can't be."""
    parts = int(photos.fold.max()) + 1
    group = np.random.default_rng(seed).permutation(np.arange(len(photos.names)) % parts)
    asked_parts: list[_Asked] = []
    for part in range(parts):
        _, asked = split(photos, part)
        inside = np.flatnonzero((photos.fold != part) & (group[photos.labels] != part))
        strange = np.flatnonzero((photos.fold == part) & (group[photos.labels] == part))
        asked = np.union1d(asked, strange)
        if len(asked) and len(inside):
            asked_parts.append(_Asked(photos, fit(inside), inside, asked, k))
    return _together(asked_parts) if asked_parts else None


def _with_unknown(open_: _Asked, closed: Calibration) -> Calibration:
    """Add what tells photos of unknown labels, and the thresholds."""
    there = open_.labels >= 0
    share = open_.support(there.astype(float)).max(axis=1) / np.maximum(there.sum(axis=1), 1)
    seen = features(open_.distances, share, open_.traits)
    weights = _weights(open_.known)
    told = bool(open_.known.any() and not open_.known.all())
    # With too few labels to leave any out every photo is as likely to show another.
    level = (*(0.0 for _ in seen[0]), float(np.log((1 - UNKNOWN) / UNKNOWN)))
    known = _logistic(seen, open_.known, weights) if told else level
    raw = voted(open_.supported(closed.neighbour), closed.power, closed.rest)
    none = replace(closed, known=known).none(seen)
    certainty = closed.top(raw.max(axis=1)) * (1 - none)
    right = raw.argmax(axis=1) == open_.truth
    made = {**closed.made, "auroc": auroc(none, ~open_.known) if told else None}
    thresholds = _thresholds(certainty, right, weights)
    return replace(closed, known=known, thresholds=thresholds, made=made)


def _weights(known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return weights that add up to 1, UNKNOWN of it for photos of unknown labels."""
    strange = ~known
    out = np.where(known, (1 - UNKNOWN) / max(known.sum(), 1), UNKNOWN / max(strange.sum(), 1))
    total: NDArray[np.float64] = out / out.sum()
    return total


def _rising(x: NDArray[np.float64], right: NDArray[np.bool_]) -> Curve:
    """Fit the share of what is right as a rising step function, and return points along it.

    Pool adjacent violators (Ayer et al., Annals of Mathematical Statistics 26, 1955), each block at
    its mean, on at most KNOTS groups of equal size. A little is taken off certainty, as if a right
    and a wrong one had been seen beside those of each block.
    """
    order = np.argsort(x, kind="stable")
    groups = np.array_split(order, min(KNOTS, len(order)))
    blocks = _pooled((float(x[g].sum()), float(right[g].sum()), float(len(g))) for g in groups)
    # What is taken off moves small blocks more, and some of them past their neighbours.
    blocks = _pooled((total, size * (hits + 1) / (size + 2), size) for total, hits, size in blocks)
    return Curve(
        tuple(total / size for total, _, size in blocks),
        tuple(share / size for _, share, size in blocks),
    )


def _pooled(blocks: Iterable[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Pool blocks (sum of x, sum of y, size) until their means of y rise."""
    out: list[tuple[float, float, float]] = []
    for block in blocks:
        out.append(block)
        while len(out) > 1 and out[-2][1] * out[-1][2] >= out[-1][1] * out[-2][2]:
            (x1, y1, n1), (x2, y2, n2) = out.pop(-2), out.pop()
            out.append((x1 + x2, y1 + y2, n1 + n2))
    return out


def _falling(x: NDArray[np.float64], right: NDArray[np.bool_]) -> Curve:
    mirrored = _rising(-x, right)
    return Curve(tuple(-value for value in reversed(mirrored.x)), mirrored.y[::-1])


def _power(support: NDArray[np.float64], truth: NDArray[np.intp]) -> tuple[float, float]:
    """Return a and c of `Calibration` with the greatest likelihood on a grid."""
    rows = np.arange(len(truth))
    best = (np.inf, 1.0, 1.0)
    for power in POWERS:
        raised = support**power
        total, mine = raised.sum(axis=1), raised[rows, truth]
        other = np.maximum(1 - support.sum(axis=1), LEAST) ** power
        for rest in RESTS:
            whole = np.maximum(total + rest * other, 1e-300)
            # A label that no neighbour has shares what is left with all such labels.
            likely = np.where(mine > 0, mine, rest * other) / whole
            loss = float(-np.log(np.maximum(likely, 1e-12)).mean())
            best = min(best, (loss, float(power), float(rest)))
    return best[1:]


def _logistic(
    x: NDArray[np.float64], positive: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[float, ...]:
    """Return weights and constant of a logistic regression, fitted by Newton's method.

    On standardised features, with a slight ridge (Hastie, Tibshirani, Friedman, Elements of
    Statistical Learning, 2nd edition, 4.4.1).
    """
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
    z = np.column_stack([(x - mean) / scale, np.ones(len(x))])
    beta = np.zeros(z.shape[1])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(z @ beta, -30, 30)))
        gradient = z.T @ (weights * (positive - p)) - RIDGE * beta
        curvature = (z * (weights * p * (1 - p))[:, None]).T @ z + RIDGE * np.eye(len(beta))
        step = np.linalg.solve(curvature, gradient)
        beta += step
        if np.abs(step).max() < 1e-9:
            break
    slopes = beta[:-1] / scale
    return (*(float(slope) for slope in slopes), float(beta[-1] - slopes @ mean))


def _thresholds(
    certainty: NDArray[np.float64], right: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[Threshold, ...]:
    """Return what answering only from a certainty on would have given, at up to KNOTS places."""
    order = np.argsort(-certainty, kind="stable")
    mass = np.cumsum(weights[order])
    good = np.cumsum((weights * right)[order])
    # Fewer answers than this say little of the share that is right.
    enough = np.arange(len(order)) >= min(20, len(order) - 1)
    last = np.append(np.diff(certainty[order]) != 0, True)  # only whole groups of equals
    places = np.flatnonzero(enough & last)
    chosen = places[np.unique(np.linspace(0, len(places) - 1, KNOTS).astype(int))]
    return tuple(
        Threshold(float(certainty[order[n]]), float(good[n] / mass[n]), float(mass[n]))
        for n in reversed(chosen)
    )
