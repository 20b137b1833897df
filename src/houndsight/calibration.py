"""From distances to probabilities: curves that were fitted elsewhere, applied with NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from houndsight.errors import InputError

__all__ = ["Calibration", "Curve", "Threshold", "features", "voted"]

# No curve is fitted on so much that it could promise more.
LEAST = 1e-4


@dataclass(frozen=True, slots=True)
class Curve:
    """A monotone function, linear between its points and level beyond them."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return float64 of the values' shape."""
        return np.interp(np.asarray(values, np.float64), self.x, self.y)


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a least certainty gives: the share of answers that are right, of photos answered."""

    certainty: float
    precision: float
    answered: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Probabilities for the neighbours and votes of one metric.

    With ``p_i`` the probability that neighbour i has the query's label, and ``q_l`` the sum of the
    ``p_i`` of the neighbours with label l, divided by k, label l has probability ::

        P_l = q_l^a / (sum_j q_j^a + c (1 - sum_j q_j)^a)

    of which the largest is put through a last curve, and the others scaled by what that leaves.
    That holds for photos that show one of the gallery's labels; how likely a photo does not is a
    logistic regression on what its neighbours look like.

    Attributes
    ----------
    k
        Neighbours that votes are taken over.
    neighbour
        From distance to p.
    power, rest
        a and c.
    top
        From the largest P_l to how often it was right.
    known
        Weights of `features`, then a constant: the log odds that the gallery has the label.
    thresholds
        By rising certainty.
    unknown
        Share of photos of no label of the gallery that `thresholds` and `none` are for.
    made
        What it was fitted on, and how well it fits there.
    """

    k: int
    neighbour: Curve
    power: float
    rest: float
    top: Curve
    known: tuple[float, ...]
    thresholds: tuple[Threshold, ...]
    unknown: float
    made: Mapping[str, Any]

    def neighbours(self, distances: ArrayLike) -> NDArray[np.float64]:
        """Return the probability that a neighbour at a distance has the query's label."""
        return self.neighbour(distances)

    def votes(self, labels: Sequence[str | None], distances: ArrayLike) -> dict[str, float]:
        """Return the probability of each label among one query's neighbours, highest first.

        Ties go to the label whose photo is nearer. The probabilities add up to less than 1: the
        rest is for labels that no neighbour has.
        """
        support: dict[str, float] = {}
        for label, p in zip(labels, self.neighbours(distances), strict=True):
            if label is not None:
                support[label] = support.get(label, 0.0) + float(p) / self.k
        if not support:
            return {}
        names = list(support)
        found = voted(np.array([list(support.values())]), self.power, self.rest)[0]
        best = int(found.argmax())
        certain = float(self.top(found[best]))
        others = found * (1 - certain) / max(1 - float(found[best]), LEAST)
        others[best] = certain
        order = np.argsort(-others, kind="stable")
        return {names[n]: float(others[n]) for n in order}

    def none(self, found: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability that the gallery has no such label, from `features` (n, m)."""
        odds = found @ np.array(self.known[:-1]) + self.known[-1]
        chance: NDArray[np.float64] = 1 / (1 + np.exp(np.clip(odds, -50, 50)))
        return chance

    def threshold(self, precision: float) -> Threshold:
        """Return the least certainty from which on at least this share of answers was right.

        Raises
        ------
        InputError
            If no certainty gives so much.
        """
        enough = [one for one in self.thresholds if one.precision >= precision]
        if not enough:
            best = max((one.precision for one in self.thresholds), default=0.0)
            raise InputError(
                f"no answers of this gallery were right in {precision:.0%} of all cases",
                remedy=f"Ask for a precision of {best:.3f} or less",
            )
        return max(enough, key=lambda one: one.answered)

    def document(self) -> dict[str, Any]:
        """Return the calibration as a JSON value."""
        return asdict(self)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Calibration:
        """Return the calibration that `document` wrote down."""
        values = {field.name: body[field.name] for field in fields(cls)}
        for name in ("neighbour", "top"):
            values[name] = Curve(tuple(body[name]["x"]), tuple(body[name]["y"]))
        values["known"] = tuple(body["known"])
        values["thresholds"] = tuple(Threshold(**one) for one in body["thresholds"])
        return cls(**values)


def voted(support: NDArray[np.float64], power: float, rest: float) -> NDArray[np.float64]:
    """Return P_l of `Calibration`, before its last curve, from q_l (n, m)."""
    raised = support**power
    other = rest * np.maximum(1 - support.sum(axis=1, keepdims=True), LEAST) ** power
    total: NDArray[np.float64] = raised / np.maximum(
        raised.sum(axis=1, keepdims=True) + other, 1e-300
    )
    return total


def features(
    distances: NDArray[np.float64], share: NDArray[np.float64], traits: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what tells a photo of an unknown label: float64 (n, 3 + m).

    Parameters
    ----------
    distances
        (n, k) to the neighbours, nearest first; infinite where there are fewer.
    share
        (n,) of the votes that the most frequent label has.
    traits
        (n, m) what the space itself says of the query, see `Map.traits`.
    """
    there = np.isfinite(distances)
    known = np.where(there, distances, 0.0)
    mean = known.sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    nearest = known[:, :1] if distances.shape[1] else np.zeros((len(distances), 1))
    return np.hstack([nearest, mean[:, None], share[:, None], traits])
