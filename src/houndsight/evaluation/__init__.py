"""How good the neighbours are: figures with intervals, and everything needed to repeat them."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from houndsight.calibration import Calibration
from houndsight.curation import near_distance
from houndsight.errors import InputError
from houndsight.evaluation import summary
from houndsight.evaluation.cases import Cases, Library, from_gallery, from_queries
from houndsight.evaluation.comparing import compare
from houndsight.evaluation.protocols import FOLDS, PROTOCOLS, rounds, uses_folds
from houndsight.evaluation.provenance import imagenet_names, trained_on
from houndsight.evaluation.ranking import Scores, score
from houndsight.evaluation.reliability import Calibrated, Reliability, calibrated
from houndsight.evaluation.report import (
    Comparison,
    Confused,
    Figures,
    LabelFigures,
    QueryFigures,
    Report,
    Spread,
)
from houndsight.gallery import Gallery
from houndsight.queries import Queries

__all__ = [
    "PROTOCOLS",
    "Calibrated",
    "Comparison",
    "Confused",
    "Figures",
    "LabelFigures",
    "QueryFigures",
    "Reliability",
    "Report",
    "Spread",
    "compare",
    "evaluate",
]

SAMPLES = 50  # the original paper's


def evaluate(
    gallery: Gallery,
    queries: Queries | None = None,
    *,
    protocol: str | None = None,
    k: int = 20,
    samples: int | Literal["all"] | None = None,
    repeats: int = 100,
    seed: int = 0,
    metric: str | None = None,
    near: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Score the neighbours of labelled queries.

    Only labelled items are searched. Items with a query's own bytes are kept from it, and so are
    those that are the same picture in other bytes. A learned metric is fitted again, with its
    settings, on photos that are neither asked for nor kept from a query: it is never scored on what
    it has seen.

    Parameters
    ----------
    gallery
        The gallery.
    queries
        Query photos, for ``split`` and no other protocol; those without a label are left out.
    protocol
        ``split``: the queries against the whole gallery. ``leave-one-out``: items, each against all
        others; a learned metric is fitted on the four fifths of the gallery that the item is not
        in. ``folds``: items, each against these four fifths alone. ``paper``: as leave-one-out over
        all items, and the spread over small samples of these, as in the original paper. When None,
        ``split`` with queries, else ``leave-one-out``.
    k
        Neighbours looked at, 1 or more.
    samples
        How many items are drawn as queries, without replacement, or ``all``; for ``paper``, the
        size of each sample. When None, 50 for ``paper`` and where no protocol is named, else all.
    repeats
        How many samples ``paper`` draws.
    seed
        Of folds, samples, bootstrap and all else that is drawn.
    metric
        ``paper``, ``plain`` or a learned map's name; the gallery's own when None.
    near
        Whether near-duplicates are kept from a query, see `houndsight.curation.near_distance`; if
        not, only its own bytes are.
    progress
        Called with (queries done, queries in all).

    Raises
    ------
    InputError
        If there is nothing to score: no labelled query, or no labelled item to find; if too little
        is left to fit a learned metric on; or if an argument makes no sense.
    FingerprintMismatch
        If the queries were not embedded as the gallery was.
    """
    name = gallery.named(metric)
    learned = bool(gallery.facts(name))
    way = protocol or ("leave-one-out" if queries is None else "split")
    size = _size(protocol, samples)
    _check(way, queries, k, size, repeats)
    library = Library.of(gallery, parts=FOLDS, seed=seed)
    distance = near_distance(gallery, seed=seed) if near else None
    if queries is not None:
        cases = from_queries(gallery, library, queries, distance)
    else:
        rows = np.arange(len(library))
        if size is not None and way != "paper":
            rows = summary.drawn(len(library), size, np.random.default_rng(seed))
        cases = from_gallery(gallery, library, rows, distance)
    calibration = gallery.calibration(name)
    # recall@5 looks at five neighbours, however few the vote is over.
    depth = max(k, 5, 0 if calibration is None else calibration.k)
    made = rounds(gallery, library, cases, way, name)
    scores = score(library, cases, made, k=k, depth=depth, progress=progress)
    asked = summary.by_query(cases, scores, k)
    confused = summary.confusion(asked)
    reliable = None if calibration is None else _calibrated(calibration, cases, scores, seed)
    photos = [*library.items, *([] if queries is None else cases.asked)]
    trained, seen = trained_on(gallery), imagenet_names(one.path for one in photos)
    size = None if size is None or queries is not None else min(size, len(library))
    return Report(
        **dict(summary.estimates(scores.values, seed).figures()),
        protocol=way,
        metric=name,
        folds=FOLDS if uses_folds(way, learned=learned) else 0,
        refitted=len(np.unique(cases.fold)) if learned else 0,
        k=k,
        n_queries=len(cases),
        n_gallery=len(library),
        seed=seed,
        samples=size,
        spread=summary.spread(scores.values, size, repeats, seed)
        if size is not None and way == "paper"
        else None,
        near_distance=distance,
        left_out=sum(map(len, cases.equal)),
        near_left_out=sum(map(len, cases.near)),
        unlabelled=0 if queries is None else len(queries.photos) - len(cases),
        unknown_labels=sorted(set(cases.labels) - set(library.photos.names)),
        model=gallery.model,
        fingerprint=gallery.fingerprint,
        versions=gallery.settings["versions"],
        trained_on=trained,
        imagenet_names=seen,
        calibration=reliable,
        notes=list(
            summary.notes(
                trained_on=trained,
                imagenet=seen,
                learned=learned,
                calibrated=reliable is not None,
                split=way == "split",
            )
        ),
        labels=summary.by_label(library, asked, confused),
        queries=asked,
        confusion=confused,
    )


def _size(protocol: str | None, samples: int | Literal["all"] | None) -> int | None:
    """Return how many items are drawn; None for all."""
    if samples is None and protocol in (None, "paper"):
        return SAMPLES
    return None if samples == "all" else samples


def _check(way: str, queries: Queries | None, k: int, size: int | None, repeats: int) -> None:
    if way not in PROTOCOLS:
        raise InputError(f"there is no protocol {way}", remedy=f"Take {', '.join(PROTOCOLS)}")
    if k < 1:
        raise InputError(f"k is {k}", remedy="Ask for 1 neighbour or more")
    if way == "split" and queries is None:
        raise InputError(
            "the protocol split needs query photos", remedy="Name them: --queries FOLDER"
        )
    if way != "split" and queries is not None:
        raise InputError(
            f"the protocol {way} takes its queries from the gallery",
            remedy="Leave the query photos out, or take the protocol split",
        )
    if size is not None and size < 1:
        raise InputError(f"{size} samples cannot be scored", remedy="Take 1 or more, or all")
    if way == "paper" and (size is None or repeats < 1):
        raise InputError(
            "the protocol paper shows how much small samples differ",
            remedy="Draw one sample or more, of a number of photos",
        )


def _calibrated(
    calibration: Calibration, cases: Cases, scores: Scores, seed: int
) -> Calibrated | None:
    # Probabilities are for photos of a label that can be found.
    known = np.flatnonzero(scores.relevant)
    return calibrated(
        calibration,
        [cases.labels[n] for n in known],
        [scores.neighbours[n] for n in known],
        seed,
    )
