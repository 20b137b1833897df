"""From what each query scored to means, intervals, labels, spread and words of care."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight.evaluation.cases import Cases, Library
from houndsight.evaluation.ranking import Scores
from houndsight.evaluation.report import Confused, Figures, LabelFigures, QueryFigures, Spread
from houndsight.metrics import Estimate, bootstrap, wilson

__all__ = ["by_label", "by_query", "confusion", "drawn", "estimates", "notes", "spread"]

NAMED = 3  # labels that one is most confused with


def estimates(values: Figures[NDArray[Any]], seed: int) -> Figures[Estimate]:
    """Return means with intervals: Wilson's for shares of queries, else the bootstrap's."""
    return values.each(lambda x: wilson(x) if x.dtype == np.bool_ else bootstrap(x, seed))


def drawn(n: int, samples: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return numbers below n without replacement, at most `samples`, rising."""
    return np.sort(rng.choice(n, min(samples, n), replace=False))


def spread(values: Figures[NDArray[Any]], samples: int, repeats: int, seed: int) -> Figures[Spread]:
    """Return the figures' means over samples drawn again and again."""
    n = len(values.precision_at_k)
    rng = np.random.default_rng(seed)
    rows = np.stack([drawn(n, samples, rng) for _ in range(repeats)])
    return values.each(lambda x: Spread(tuple(x[rows].mean(axis=1).tolist())))


def by_query(cases: Cases, scores: Scores, k: int) -> list[QueryFigures]:
    """Return how each query fared."""
    columns = {name: x.astype(float).tolist() for name, x in scores.values.figures()}
    return [
        QueryFigures(
            **{name: column[n] for name, column in columns.items()},
            asked=asked,
            label=cases.labels[n],
            answer=scores.answers[n],
            neighbours=tuple(scores.neighbours[n][:k]),
        )
        for n, asked in enumerate(cases.asked)
    ]


def confusion(queries: Sequence[QueryFigures]) -> list[Confused]:
    """Return how often labels were taken for others, or for themselves."""
    votes: Counter[tuple[str, str]] = Counter()
    neighbours: Counter[tuple[str, str]] = Counter()
    for query in queries:
        if query.answer is not None:
            votes[query.label, query.answer] += 1
        neighbours.update((query.label, match.item.label or "") for match in query.neighbours)
    pairs = sorted(votes.keys() | neighbours.keys())
    return [Confused(*pair, votes[pair], neighbours[pair]) for pair in pairs]


def by_label(
    library: Library, queries: Sequence[QueryFigures], confused: Sequence[Confused]
) -> list[LabelFigures]:
    """Return how queries of each label fared, the worst precision first."""
    of_label: defaultdict[str, list[QueryFigures]] = defaultdict(list)
    for query in queries:
        of_label[query.label].append(query)
    taken_for: defaultdict[str, list[Confused]] = defaultdict(list)
    for one in confused:
        taken_for[one.label].append(one)
    sizes = Counter(item.label for item in library.items)
    found = [
        LabelFigures(
            **{name: _mean([getattr(query, name) for query in mine]) for name in Figures.names()},
            label=label,
            queries=len(mine),
            gallery=sizes[label],
            confused_with=_wrong(taken_for[label]),
        )
        for label, mine in of_label.items()
    ]
    return sorted(found, key=lambda one: (one.precision_at_k, one.label))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _wrong(taken_for: Sequence[Confused]) -> list[tuple[str, float]]:
    total = sum(one.neighbours for one in taken_for)
    wrong = [
        (one.other, one.neighbours / total)
        for one in taken_for
        if one.other != one.label and one.neighbours
    ]
    return sorted(wrong, key=lambda pair: (-pair[1], pair[0]))[:NAMED]


def notes(
    *, trained_on: str | None, imagenet: int, learned: bool, calibrated: bool, split: bool
) -> Iterator[str]:
    """Say why the figures should be taken with care."""
    if imagenet and trained_on is not None and "ImageNet" in trained_on:
        yield (
            f"the names of {imagenet:,} of these photos are ImageNet's, on which the network was "
            "trained: it has seen many of them, so the figures are higher than for new photos"
        )
    elif imagenet:
        yield (
            f"the names of {imagenet:,} of these photos are ImageNet's; what the network was "
            "trained on is not on record, but if it is ImageNet, it has seen many of them, and the "
            "figures are higher than for new photos"
        )
    if learned and not split:
        yield (
            "the learned metric was fitted again without the photos asked for, but the strength of "
            "its fit was once chosen on this gallery; query photos of their own are the harder test"
        )
    if calibrated and not split:
        yield (
            "the calibration was fitted on this gallery's own photos; query photos of their own "
            "are the harder test"
        )
