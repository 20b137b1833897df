"""How queries and gallery are set against each other, so that nothing is scored on what it saw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houndsight.errors import InputError
from houndsight.evaluation.cases import Cases, Library
from houndsight.gallery import Gallery
from houndsight.learning import Settings, refitting
from houndsight.maps import Space

__all__ = ["FOLDS", "PROTOCOLS", "Round", "rounds", "uses_folds"]

PROTOCOLS = {
    "paper": "photos of the gallery, each against all others, and samples of them again and again",
    "leave-one-out": "photos of the gallery, each against all others",
    "split": "query photos against the gallery",
    "folds": "photos of the gallery, each against the four fifths that it is not in",
}
FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """Some of the queries, the rows of the library that they are to find, and the space."""

    space: Space
    searched: NDArray[np.intp]
    asked: NDArray[np.intp]


def uses_folds(protocol: str, *, learned: bool) -> bool:
    """Return whether a protocol takes the gallery apart."""
    return protocol == "folds" or (learned and protocol != "split")


def rounds(
    gallery: Gallery, library: Library, cases: Cases, protocol: str, metric: str
) -> Iterator[Round]:
    """Set queries and gallery against each other.

    A learned metric is never scored as it is stored: it is fitted again in every round, with its
    settings, on photos of which none is asked for in that round or kept from a query. So what it
    was fitted on when it was stored, be it removed from the gallery by now, cannot count.

    Raises
    ------
    InputError
        If too little is left to fit the metric on.
    """
    facts = gallery.facts(metric)
    space = gallery.space(metric)
    photos = library.photos
    refit = refitting(photos, Settings(**facts["settings"]), metric) if facts else None

    def fitted(asked: NDArray[np.intp], inside: NDArray[np.intp]) -> Space:
        if refit is None:
            return space
        seen = np.concatenate([cases.hidden(n) for n in asked])
        unseen = np.setdiff1d(inside, seen)
        if len(np.unique(photos.labels[unseen])) < 2:
            raise InputError(
                f"{metric} cannot be scored: without the photos asked for, too few are left to "
                "fit it on",
                path=gallery.place,
                remedy="Name other queries, or another metric",
            )
        return refit(unseen)

    everything = np.arange(len(library))
    if not uses_folds(protocol, learned=bool(facts)):
        asked = np.arange(len(cases))
        yield Round(fitted(asked, everything), everything, asked)
        return
    for part in range(FOLDS):
        asked = np.flatnonzero(cases.fold == part)
        if len(asked):
            inside = np.flatnonzero(photos.fold != part)
            searched = inside if protocol == "folds" else everything
            yield Round(fitted(asked, inside), searched, asked)
