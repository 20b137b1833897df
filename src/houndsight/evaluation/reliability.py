"""How far a calibration's probabilities are what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houndsight.calibration import Calibration
from houndsight.metrics import Estimate, calibration_curve, expected_calibration_error
from houndsight.types import Match

__all__ = ["Calibrated", "Reliability", "calibrated", "reliability"]

BINS = 15
REPETITIONS = 200


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far probabilities are what they say.

    Attributes
    ----------
    answers
        How many answers with a probability there were.
    error
        Expected calibration error, 15 bins of equal mass: 0, the best, to 1.
    chance
        The error that perfect calibration would have shown on so many answers, with what 95 % of
        repetitions lie between; had each answer been independent of the others.
    curve
        Mean probability, share right and count of each bin.
    """

    answers: int
    error: float
    chance: Estimate
    curve: list[tuple[float, float, int]]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """How far a calibration's probabilities are what they say.

    Attributes
    ----------
    k
        Neighbours that the calibration is for.
    neighbours
        That a neighbour has the query's label.
    votes
        That a label is the query's, for every label that one of its neighbours has.
    winners
        The same for the most probable label alone.
    """

    k: int
    neighbours: Reliability
    votes: Reliability
    winners: Reliability


def calibrated(
    calibration: Calibration,
    labels: Sequence[str],
    neighbours: Sequence[Sequence[Match]],
    seed: int,
) -> Calibrated | None:
    """Hold a calibration against queries whose labels are in the gallery; None without any answer.

    Parameters
    ----------
    calibration
        What gives the probabilities.
    labels, neighbours
        The label and the `calibration.k` nearest of each query.
    seed
        Of the simulation of chance.
    """
    chances: list[float] = []
    agree: list[bool] = []
    votes: list[tuple[float, bool]] = []
    winners: list[tuple[float, bool]] = []
    for label, found in zip(labels, neighbours, strict=True):
        first = found[: calibration.k]
        distances = [match.distance for match in first]
        names = [match.item.label for match in first]
        chances.extend(calibration.neighbours(distances).tolist())
        agree.extend(name == label for name in names)
        ranked = [(p, name == label) for name, p in calibration.votes(names, distances).items()]
        votes.extend(ranked)
        winners.extend(ranked[:1])
    if not votes:
        return None
    return Calibrated(
        k=calibration.k,
        neighbours=reliability(chances, agree, seed),
        votes=reliability([p for p, _ in votes], [right for _, right in votes], seed),
        winners=reliability([p for p, _ in winners], [right for _, right in winners], seed),
    )


def reliability(probability: Sequence[float], right: Sequence[bool], seed: int) -> Reliability:
    """Return error and curve of probabilities, 0 to 1, and what chance alone makes of the error."""
    p, hits = np.array(probability), np.array(right)
    said, was, counts = calibration_curve(p, hits, BINS)
    return Reliability(
        answers=len(p),
        error=expected_calibration_error(p, hits, BINS),
        chance=_chance(p, said, counts, seed),
        curve=list(zip(said.tolist(), was.tolist(), counts.tolist(), strict=True)),
    )


def _chance(
    p: NDArray[np.float64], said: NDArray[np.float64], counts: NDArray[np.int64], seed: int
) -> Estimate:
    """Simulate the error of answers that are right as often as they are said to be."""
    ordered = np.sort(p)
    starts = np.cumsum(counts) - counts
    rng = np.random.default_rng(seed)
    errors = [
        np.abs(np.add.reduceat(rng.random(len(p)) < ordered, starts) / counts - said) @ counts
        for _ in range(REPETITIONS)
    ]
    shares = np.array(errors) / len(p)
    low, high = np.quantile(shares, [0.025, 0.975])
    return Estimate(float(shares.mean()), float(low), float(high))
