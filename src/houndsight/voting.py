"""The neighbours as a lazy classifier."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from houndsight.calibration import Calibration, features
from houndsight.errors import InputError
from houndsight.gallery import Gallery
from houndsight.types import Match, Vectors, Where

__all__ = ["Vote", "classify", "classify_queries"]


@dataclass(frozen=True, slots=True)
class Vote:
    """What the neighbours say.

    Attributes
    ----------
    label
        The answer: the most probable label where the metric is calibrated, else the one with most
        votes; None where no label is likely enough, or no neighbour has one.
    share
        Part of the votes, 0 to 1, of the label that comes first.
    counts
        Votes by label, most first, ties by whose photo is nearest.
    probabilities
        By label, highest first, for a photo of one of the gallery's labels; empty where the metric
        is not calibrated. What is left to 1 is for labels that no neighbour has.
    none
        Probability that the photo shows none of the gallery's labels, if a fifth of photos do; None
        where the metric is not calibrated.
    neighbours
        Who voted, nearest first.
    """

    label: str | None
    share: float
    counts: dict[str, int]
    probabilities: Mapping[str, float] = field(default_factory=dict)
    none: float | None = None
    neighbours: Sequence[Match] = field(default=(), repr=False, compare=False)

    @property
    def first(self) -> str | None:
        """The label that comes first, whether or not it is likely enough to be the answer."""
        return next(iter(self.probabilities or self.counts), None)


def classify(neighbours: Sequence[Match]) -> Vote:
    """Return the majority of the neighbours' labels; ties go to the tied label that is nearest.

    Parameters
    ----------
    neighbours
        Nearest first; those without a label have no vote.
    """
    # A Counter keeps the order in which labels were first met, and most_common is stable.
    counts = Counter(match.item.label for match in neighbours if match.item.label is not None)
    ranked = dict(counts.most_common())
    if not ranked:
        return Vote(None, 0.0, {}, neighbours=neighbours)
    label = next(iter(ranked))
    return Vote(label, ranked[label] / counts.total(), ranked, neighbours=neighbours)


def classify_queries(
    gallery: Gallery,
    queries: Vectors,
    *,
    k: int = 20,
    metric: str | None = None,
    exclude: Sequence[Collection[int]] | None = None,
    precision: float | None = None,
) -> list[Vote]:
    """Return what the k nearest labelled photos say of each query.

    With a calibrated metric, votes have probabilities, and a photo is given no label where "none of
    the labels" is likelier than the first of them.

    Parameters
    ----------
    gallery, queries, metric, exclude
        As for `Gallery.search`.
    k
        Neighbours that vote. Probabilities hold for the number that was calibrated for, 20.
    precision
        Answer only where so large a share of answers was right, 0 to 1, among photos of which a
        fifth show none of the labels.

    Raises
    ------
    InputError
        If `precision` is asked for and cannot be had: the metric is not calibrated for k
        neighbours, or no answers were right so often.
    """
    calibration = gallery.calibration(metric)
    if calibration is not None and calibration.k != k:
        calibration = None
    if precision is not None and calibration is None:
        raise InputError(
            f"the metric {gallery.named(metric)} is not calibrated for {k} neighbours",
            path=gallery.place,
            remedy="Run houndsight calibrate, and leave -k out",
        )
    found = gallery.search(queries, k, where=Where(labelled=True), exclude=exclude, metric=metric)
    plain = [classify(neighbours) for neighbours in found]
    if calibration is None or not plain:
        return plain
    least = None if precision is None else calibration.threshold(precision).certainty
    share = np.array([vote.share for vote in plain])
    traits = gallery.space(metric).traits(queries.values)
    none = calibration.none(features(found.distances, share, traits))
    return [
        _judged(vote, calibration, float(chance), least)
        for vote, chance in zip(plain, none, strict=True)
    ]


def _judged(vote: Vote, calibration: Calibration, none: float, least: float | None) -> Vote:
    neighbours = vote.neighbours
    labels = [match.item.label for match in neighbours]
    probabilities = calibration.votes(labels, [match.distance for match in neighbours])
    if not probabilities:
        return vote
    first, chance = next(iter(probabilities.items()))
    certainty = chance * (1 - none)
    label = first if certainty >= (none if least is None else least) else None
    share = vote.counts[first] / sum(vote.counts.values())
    return Vote(label, share, vote.counts, probabilities, none, neighbours)
