"""How good the neighbours are: figures with intervals, and everything needed to repeat them."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houndsight.errors import InputError
from houndsight.gallery import Gallery
from houndsight.queries import Queries
from houndsight.types import Item, Match, Vectors, Where
from houndsight.voting import classify

__all__ = ["Estimate", "LabelFigures", "Report", "evaluate", "wilson"]

RESAMPLES = 2000
Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution
CHUNK = 256


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries, 0 to 1, and the 95 % interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """How queries of one label fared.

    `confused_with` are wrong labels among their neighbours, most frequent first, with the share of
    all their neighbours.
    """

    label: str
    queries: int
    gallery: int
    precision_at_k: float
    vote_accuracy: float
    confused_with: list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of an evaluation with everything needed to repeat it.

    Attributes
    ----------
    precision_at_k
        Mean share of a query's k neighbours that have its label: the original paper's figure.
    recall_at_1, recall_at_5
        Share of queries with at least one such neighbour among the first 1, 5.
    vote_accuracy
        Share of queries whose label wins the vote of the k neighbours.
    k, n_queries, n_gallery, seed
        Neighbours asked for, queries scored, labelled items searched, seed of sampling and
        intervals.
    protocol
        ``queries`` or ``leave-one-out``.
    left_out
        Gallery items kept from a query because they have its bytes, summed over queries.
    unlabelled
        Queries that were not scored because their label is not known.
    unknown_labels
        Labels of queries that no gallery item has; such queries count as wrong.
    model, fingerprint, versions
        What made the vectors.
    labels
        By label, worst precision first.
    queries
        Paths and ids of what was asked, in order, with the precision of each.
    """

    precision_at_k: Estimate
    recall_at_1: Estimate
    recall_at_5: Estimate
    vote_accuracy: Estimate
    k: int
    n_queries: int
    n_gallery: int
    seed: int
    protocol: str
    left_out: int
    unlabelled: int
    unknown_labels: list[str]
    model: str
    fingerprint: str
    versions: dict[str, str]
    labels: list[LabelFigures]
    queries: list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class _Case:
    """One query to be scored, and the ids that are kept from it."""

    name: str
    label: str
    vector: NDArray[np.float32]
    hidden: frozenset[int]


def evaluate(
    gallery: Gallery,
    queries: Queries | None = None,
    *,
    k: int = 20,
    samples: int | None = 50,
    seed: int = 0,
) -> Report:
    """Score the neighbours of labelled queries.

    Only labelled items are searched. Items with a query's own bytes are kept from it.

    Parameters
    ----------
    gallery
        The gallery.
    queries
        Labelled query photos; when None, items are taken out of the gallery, each asked for with
        only itself and its equal bytes left out.
    k
        Neighbours looked at, 1 or more.
    samples
        How many items to take, drawn without replacement; all when None.
    seed
        Of the drawing and of the bootstrap.

    Raises
    ------
    InputError
        If there is nothing to score: no labelled query, or no labelled item to find.
    """
    items = [item for item in gallery.items() if item.label is not None]
    if k < 1:
        raise InputError(f"k is {k}", remedy="Ask for 1 neighbour or more")
    if len(items) < 2:
        raise InputError(
            f"holds {len(items)} labelled photos; figures need more",
            path=gallery.place,
            remedy="Give labels with houndsight index --labels, or houndsight label",
        )
    if queries is None:
        cases, unlabelled = _from_gallery(gallery, items, samples, seed), 0
    else:
        cases = _from_queries(queries)
        unlabelled = len(queries.photos) - len(cases)
    if not cases:
        raise InputError(
            "no query has a known label",
            remedy="Put the query photos in folders named by label, or give --labels FILE.csv",
        )
    # recall@5 looks at five neighbours, however few the vote is over.
    neighbours = _search(gallery, cases, max(k, 5))
    return _report(gallery, cases, neighbours, items, k, seed, queries is None, unlabelled)


def _from_gallery(
    gallery: Gallery, items: list[Item], samples: int | None, seed: int
) -> list[_Case]:
    if samples is not None and samples < 1:
        raise InputError(f"{samples} samples cannot be scored", remedy="Take 1 or more, or all")
    chosen = items
    if samples is not None and samples < len(items):
        order = np.random.default_rng(seed).choice(len(items), samples, replace=False)
        chosen = [items[n] for n in sorted(order.tolist())]
    equal: dict[bytes, set[int]] = {}
    for item in items:
        equal.setdefault(item.digest, set()).add(item.id)
    vectors = gallery.vectors(chosen).values
    return [
        _Case(item.key, item.label or "", vector, frozenset(equal[item.digest]))
        for item, vector in zip(chosen, vectors, strict=True)
    ]


def _from_queries(queries: Queries) -> list[_Case]:
    return [
        _Case(photo.path.decode("utf-8", "backslashreplace"), photo.label, vector, hidden)
        for photo, vector in zip(queries.photos, queries.vectors.values, strict=True)
        if photo.label is not None
        for hidden in [photo.own | photo.twins]
    ]


def _search(gallery: Gallery, cases: list[_Case], k: int) -> list[list[Match]]:
    found: list[list[Match]] = []
    for start in range(0, len(cases), CHUNK):
        some = cases[start : start + CHUNK]
        vectors = Vectors(np.stack([case.vector for case in some]), gallery.fingerprint)
        hidden = [case.hidden for case in some]
        found.extend(gallery.search(vectors, k, where=Where(labelled=True), exclude=hidden))
    return found


def _report(
    gallery: Gallery,
    cases: list[_Case],
    neighbours: list[list[Match]],
    items: list[Item],
    k: int,
    seed: int,
    leave_one_out: bool,
    unlabelled: int,
) -> Report:
    right = [
        [match.item.label == case.label for match in found]
        for case, found in zip(cases, neighbours, strict=True)
    ]
    neighbours = [found[:k] for found in neighbours]
    # Where the gallery has fewer than k other photos, the share is over those there are.
    precision = np.array([np.mean(hits[:k]) if hits else 0.0 for hits in right])
    voted = np.array([classify(f).label == c.label for c, f in zip(cases, neighbours, strict=True)])
    return Report(
        precision_at_k=bootstrap(precision, seed),
        recall_at_1=wilson([any(hits[:1]) for hits in right]),
        recall_at_5=wilson([any(hits[:5]) for hits in right]),
        vote_accuracy=wilson(voted.tolist()),
        k=k,
        n_queries=len(cases),
        n_gallery=len(items),
        seed=seed,
        protocol="leave-one-out" if leave_one_out else "queries",
        left_out=sum(len(case.hidden) for case in cases),
        unlabelled=unlabelled,
        unknown_labels=sorted({c.label for c in cases} - {i.label or "" for i in items}),
        model=gallery.model,
        fingerprint=gallery.fingerprint,
        versions=gallery.settings["versions"],
        labels=_by_label(cases, neighbours, items, precision, voted),
        queries=[(c.name, float(p)) for c, p in zip(cases, precision, strict=True)],
    )


def _by_label(
    cases: list[_Case],
    neighbours: list[list[Match]],
    items: list[Item],
    precision: NDArray[np.float64],
    voted: NDArray[np.bool_],
) -> list[LabelFigures]:
    sizes = Counter(item.label for item in items)
    figures: list[LabelFigures] = []
    for label in sorted({case.label for case in cases}):
        mine = [n for n, case in enumerate(cases) if case.label == label]
        found = Counter(match.item.label or "" for n in mine for match in neighbours[n])
        total = found.total()
        wrong = sorted(
            ((other, count / total) for other, count in found.items() if other != label),
            key=lambda pair: (-pair[1], pair[0]),
        )
        figures.append(
            LabelFigures(
                label,
                len(mine),
                sizes[label],
                float(precision[mine].mean()),
                float(voted[mine].mean()),
                wrong[:3],
            )
        )
    return sorted(figures, key=lambda one: (one.precision_at_k, one.label))


def wilson(hits: Sequence[bool]) -> Estimate:
    """Share of hits with Wilson's 95 % score interval.

    Unlike the normal approximation it stays within 0 and 1 and is not empty at 0 of n (E. B.
    Wilson, Probable inference, JASA 22, 1927).
    """
    n, p = len(hits), sum(hits) / len(hits)
    centre = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    return Estimate(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)))


def bootstrap(values: NDArray[np.float64], seed: int) -> Estimate:
    """Mean with its 95 % percentile bootstrap interval: 2,000 resamples of queries (Efron 1979)."""
    rng = np.random.default_rng(seed)
    means = np.array(
        [values[rng.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high))
