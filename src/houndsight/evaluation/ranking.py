"""Rankings of a gallery for each query, and the figures of these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight import metrics, search
from houndsight.evaluation.cases import Cases, Library
from houndsight.evaluation.protocols import Round
from houndsight.evaluation.report import Figures
from houndsight.types import Match
from houndsight.voting import classify

__all__ = ["Scores", "score"]

# Distances in memory at once: 2 million float64 = 16 MB; with their order and the labels 80 MB.
BLOCK = 1 << 21


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """How each query fared, in order.

    Attributes
    ----------
    values
        The figures, float or bool (n_queries,).
    answers
        The label that won each vote; None where a query has no neighbours.
    neighbours
        The nearest of each query, up to the depth asked for.
    relevant
        int (n_queries,): how many items with its label each query could find.
    """

    values: Figures[NDArray[Any]]
    answers: list[str | None]
    neighbours: list[list[Match]]
    relevant: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Some queries by number; `hits` as in `houndsight.metrics`, over the whole ranking."""

    queries: NDArray[np.intp]
    hits: NDArray[np.bool_]
    found: NDArray[np.intp]
    relevant: NDArray[np.intp]
    nearest: list[list[Match]]


def score(
    library: Library,
    cases: Cases,
    rounds: Iterable[Round],
    *,
    k: int,
    depth: int,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Rank the gallery for every query and take the figures.

    Parameters
    ----------
    library, cases, rounds
        What is searched, what is asked, and how they are set against each other.
    k
        Neighbours that figures at k and votes look at.
    depth
        Neighbours that are returned, k or more.
    progress
        Called with (queries done, queries in all).
    """
    answers: list[str | None] = [None] * len(cases)
    neighbours: list[list[Match]] = [[] for _ in cases.labels]
    relevant = np.zeros(len(cases), np.intp)
    values: dict[str, NDArray[Any]] = {}
    done = 0
    for one in rounds:
        for block in _blocks(library, cases, one, depth):
            won: list[bool] = []
            for query, found in zip(block.queries, block.nearest, strict=True):
                answers[query], neighbours[query] = classify(found[:k]).label, found
                won.append(answers[query] == cases.labels[query])
            relevant[block.queries] = block.relevant
            for name, some in _figures(block, k, np.array(won)).figures():
                column = values.setdefault(name, np.zeros(len(cases), some.dtype))
                column[block.queries] = some
            done += len(block.queries)
            if progress is not None:
                progress(done, len(cases))
    return Scores(Figures(**values), answers, neighbours, relevant)


def _figures(block: _Block, k: int, won: NDArray[np.bool_]) -> Figures[NDArray[Any]]:
    hits, relevant = block.hits, block.relevant
    return Figures(
        precision_at_k=metrics.precision_at(hits, k, block.found),
        recall_at_1=metrics.recall_at(hits, 1),
        recall_at_5=metrics.recall_at(hits, 5),
        vote_accuracy=won,
        retrieved_at_k=metrics.retrieved_at(hits, k, relevant),
        average_precision=metrics.average_precision(hits, relevant),
        map_at_r=metrics.map_at_r(hits, relevant),
        r_precision=metrics.r_precision(hits, relevant),
        ndcg_at_k=metrics.ndcg_at(hits, k, relevant),
    )


def _blocks(library: Library, cases: Cases, one: Round, depth: int) -> Iterator[_Block]:
    """Rank what is searched for some of the queries at a time.

    The first `depth` are exact, ties by id. The others come in the order of a float32 product,
    which may swap those whose squared distances differ by about a millionth of the vectors' own.
    """
    photos, rows = library.photos, one.searched
    x = one.space(photos.vectors[rows])
    squares = np.einsum("ij,ij->i", x, x, dtype=np.float64)
    labels = photos.labels[rows]
    sizes = np.bincount(labels, minlength=len(photos.names))
    number = {name: n for n, name in enumerate(photos.names)}
    place = np.full(len(library), -1, np.intp)
    place[rows] = np.arange(len(rows))
    step = max(1, BLOCK // len(rows))
    for start in range(0, len(one.asked), step):
        queries = one.asked[start : start + step]
        q = one.space(cases.vectors[queries])
        truth = np.array([number.get(cases.labels[n], -1) for n in queries])
        hidden = [found[found >= 0] for found in (place[cases.hidden(n)] for n in queries)]
        spare = max(map(len, hidden))
        squared = squares + np.einsum("ij,ij->i", q, q, dtype=np.float64)[:, None]
        squared = np.maximum(squared - 2.0 * (q @ x.T), 0.0)
        nearest: list[list[Match]] = []
        for n, near in enumerate(search.candidates(q, x, np.sqrt(squares), depth + spare)):
            kept = np.setdiff1d(near, hidden[n])
            first, distances = search.nearest(search.distances_to(q[n], x[kept]), kept, depth)
            nearest.append(
                [
                    Match(library.items[row], float(distance), rank)
                    for rank, (row, distance) in enumerate(
                        zip(rows[first], distances, strict=True), start=1
                    )
                ]
            )
            squared[n, first] = np.arange(-len(first), 0)  # before all others, in this order
            squared[n, hidden[n]] = np.inf
        order = np.argsort(squared, axis=1, kind="stable")
        found = len(rows) - np.array([len(out) for out in hidden])
        hits = (labels[order] == truth[:, None]) & (np.arange(len(rows)) < found[:, None])
        relevant = np.where(truth >= 0, sizes[truth], 0)
        relevant -= [
            np.count_nonzero(labels[out] == mine) for out, mine in zip(hidden, truth, strict=True)
        ]
        yield _Block(queries, hits, found, relevant, nearest)
