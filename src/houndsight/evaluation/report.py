"""What an evaluation found, as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

import numpy as np

from houndsight.evaluation.reliability import Calibrated
from houndsight.metrics import Difference, Estimate
from houndsight.queries import Query
from houndsight.types import Item, Match

__all__ = [
    "Comparison",
    "Confused",
    "Figures",
    "LabelFigures",
    "QueryFigures",
    "Report",
    "Spread",
]

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Figures(Generic[T]):
    """What is measured, each 0 to 1: of one query, or of many as values, means or intervals.

    Attributes
    ----------
    precision_at_k
        Share of a query's k neighbours that have its label: the original paper's figure.
    recall_at_1, recall_at_5
        Whether there is at least one such neighbour among the first 1, 5.
    vote_accuracy
        Whether the query's label wins the vote of the k neighbours.
    retrieved_at_k
        Share of all photos of its label that are among the k neighbours.
    average_precision
        Mean over all photos of its label of the precision at the rank of each; its mean over
        queries is mAP.
    map_at_r
        The same over the first R ranks, R being how many photos of its label there are.
    r_precision
        Share of the first R neighbours that have its label.
    ndcg_at_k
        Gain of the k neighbours, discounted by rank, of that of the best ranking there could be.
    """

    precision_at_k: T
    recall_at_1: T
    recall_at_5: T
    vote_accuracy: T
    retrieved_at_k: T
    average_precision: T
    map_at_r: T
    r_precision: T
    ndcg_at_k: T

    @staticmethod
    def names() -> tuple[str, ...]:
        """Return the names of the figures."""
        return tuple(field.name for field in fields(Figures))

    def figures(self) -> Iterator[tuple[str, T]]:
        """Yield name and value of each figure."""
        return ((name, getattr(self, name)) for name in Figures.names())

    def each(self, make: Callable[[T], S]) -> Figures[S]:
        """Return the figures that something makes of these."""
        return Figures(**{name: make(value) for name, value in self.figures()})


@dataclass(frozen=True, slots=True)
class LabelFigures(Figures[float]):
    """How queries of one label fared: means over its queries.

    `gallery` is how many photos of the gallery have the label. `confused_with` are wrong labels
    among the queries' neighbours, most frequent first, with the share of all their neighbours.
    """

    label: str
    queries: int
    gallery: int
    confused_with: list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class QueryFigures(Figures[float]):
    """How one query fared.

    Attributes
    ----------
    asked
        A photo of the gallery, or one that was read.
    label
        The label that it has.
    answer
        The label that won the vote; None where it has no neighbours.
    neighbours
        The k nearest.
    """

    asked: Item | Query
    label: str
    answer: str | None
    neighbours: tuple[Match, ...]

    @property
    def name(self) -> str:
        """The item's id as 16 hex digits, or the photo's path."""
        if isinstance(self.asked, Item):
            return self.asked.key
        return self.asked.path.decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Confused:
    """How often one label was taken for another, or for itself.

    `votes` counts queries of `label` for which `other` won the vote, `neighbours` their neighbours
    that have the label `other`.
    """

    label: str
    other: str
    votes: int
    neighbours: int


@dataclass(frozen=True, slots=True)
class Spread:
    """The means of one figure over samples that were drawn again and again, in that order."""

    means: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean of the means."""
        return float(np.mean(self.means))

    @property
    def deviation(self) -> float:
        """Their standard deviation; 0 for a single one."""
        return float(np.std(self.means, ddof=1)) if len(self.means) > 1 else 0.0

    @property
    def low(self) -> float:
        """What 2.5 % of them are below."""
        return float(np.quantile(self.means, 0.025))

    @property
    def high(self) -> float:
        """What 2.5 % of them are above."""
        return float(np.quantile(self.means, 0.975))


@dataclass(frozen=True, slots=True)
class Report(Figures[Estimate]):
    """The figures of an evaluation with everything needed to repeat it.

    Attributes
    ----------
    protocol
        ``paper``, ``leave-one-out``, ``split`` or ``folds``.
    metric
        The metric's full name.
    folds
        Parts that the gallery was dealt into; 0 where it was not.
    refitted
        How many times a learned metric was fitted, each time without the photos asked for; 0 for
        one that is not learned.
    k, n_queries, n_gallery, seed
        Neighbours looked at, queries scored, labelled items, seed of all that is drawn.
    samples
        Items drawn from the gallery, each time for ``paper``; None where all were taken.
    spread
        For ``paper``: each figure over the repeated samples; else None.
    near_distance
        Items no farther than this from a query, in the metric ``plain``, were held to be the same
        picture and kept from it; None where they were not looked for.
    left_out, near_left_out
        Items kept from a query because they have its bytes (itself included), or as the same
        picture in other bytes; summed over queries.
    unlabelled
        Queries that were not scored because their label is not known.
    unknown_labels
        Labels of queries that no item has; such queries count as wrong.
    model, fingerprint, versions
        What made the vectors.
    trained_on
        What the network was trained on; None where that is not on record.
    imagenet_names
        How many queries and items have names as ImageNet gives them.
    calibration
        How far probabilities are what they say; None where the metric is not calibrated.
    notes
        Why the figures should be taken with care, if so.
    labels
        By label, worst precision first.
    queries
        Each query, in order.
    confusion
        By label and other label; what never happened is left out.
    """

    protocol: str
    metric: str
    folds: int
    refitted: int
    k: int
    n_queries: int
    n_gallery: int
    seed: int
    samples: int | None
    spread: Figures[Spread] | None
    near_distance: float | None
    left_out: int
    near_left_out: int
    unlabelled: int
    unknown_labels: list[str]
    model: str
    fingerprint: str
    versions: dict[str, str]
    trained_on: str | None
    imagenet_names: int
    calibration: Calibrated | None
    notes: list[str]
    labels: list[LabelFigures]
    queries: list[QueryFigures]
    confusion: list[Confused]

    def most_confused(self, count: int) -> list[tuple[str, str]]:
        """Return pairs of labels, those most often among each other's neighbours first.

        They are ranked by the share of the first label's neighbours that have the second, plus the
        share of the second's that have the first. Each pair begins with the label that is more
        often taken for the other.
        """
        total: Counter[str] = Counter()
        for one in self.confusion:
            total[one.label] += one.neighbours
        share = {
            (one.label, one.other): one.neighbours / total[one.label]
            for one in self.confusion
            if one.label != one.other and one.neighbours
        }
        pairs = {
            pair: value
            for pair, value in share.items()
            if (value, pair[::-1]) > (share.get(pair[::-1], 0.0), pair)
        }
        both = {pair: value + share.get(pair[::-1], 0.0) for pair, value in pairs.items()}
        return sorted(both, key=lambda pair: (-both[pair], pair))[:count]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two settings on the same queries.

    `differences` are the first's figures less the second's, with intervals and the p-values of a
    paired test, see `houndsight.metrics.paired`.
    """

    first: Report
    second: Report
    differences: Figures[Difference]
