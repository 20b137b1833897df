"""Learn from a gallery's labels what makes its photos alike, on stored vectors alone."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight.calibration import Calibration
from houndsight.errors import InputError
from houndsight.gallery import Gallery
from houndsight.gallery.spaces import labelling
from houndsight.learning.calibrating import Fit
from houndsight.learning.calibrating import calibrate as fit_calibration
from houndsight.learning.choice import METHODS, Outcome, Trials, cross_validate, split
from houndsight.learning.discriminant import Discriminant, Settings
from houndsight.learning.folds import Labelled
from houndsight.maps import Map
from houndsight.metrics import Difference, Estimate, bootstrap, paired, wilson
from houndsight.types import Item

__all__ = [
    "BALANCED",
    "FAVOURS",
    "Figure",
    "LearnReport",
    "Outcome",
    "Settings",
    "calibrate",
    "labelled",
    "learn",
    "refitting",
]

PARTS = 5
FAVOURS = {"label": 1.0, "photo": 0.25}
BALANCED = 0.5
FEW = 5
VOTERS = 20

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure without a map and with it, on the same queries.

    `difference` is after less before, with its interval and the p-value of a paired test.
    """

    name: str
    before: Estimate
    after: Estimate
    difference: Difference


@dataclass(frozen=True, slots=True)
class LearnReport:
    """What was learned, and what it is worth.

    Attributes
    ----------
    metric
        Name and version of the new metric; None where none of the settings was better than no map.
    settings
        Of the map that was chosen, or would have been.
    figures
        Precision over k neighbours and recall@5, cross-validated.
    k, queries, items, labels, unlabelled
        Neighbours looked at, photos asked for, labelled photos, labels, photos without label.
    trials
        All settings that were tried, and what each did.
    warnings
        Why the figures should be taken with care, if so.
    """

    metric: str | None
    settings: Settings
    figures: list[Figure]
    k: int
    queries: int
    items: int
    labels: int
    unlabelled: int
    favour: float
    seed: int
    trials: Trials
    warnings: list[str]


def learn(
    gallery: Gallery,
    *,
    method: str = "auto",
    favour: float = BALANCED,
    name: str = "learned",
    seed: int = 0,
    progress: Progress | None = None,
) -> LearnReport:
    """Fit a map on a gallery's labelled vectors and make it the gallery's metric.

    Method and strengths are chosen by cross-validation: every photo is asked for among photos of
    other folds, under maps fitted on these alone. The metric is kept, with its calibration, as a
    new version; where no map does better than none, nothing is changed.

    Parameters
    ----------
    gallery
        With two labels or more, of which some have two photos or more.
    method
        ``auto``, ``lda``, ``posteriors`` or ``blend``.
    favour
        0 to 1: the setting with the highest ``favour x precision@k + (1 - favour) x recall@5`` is
        taken.
    name
        The metric's name; its version is one more than the last.
    seed
        Of the folds.
    progress
        Called with what is being done, how many parts of it are done, and how many there are.

    Raises
    ------
    InputError
        If there is nothing to learn from, or an argument makes no sense.
    """
    if method not in METHODS:
        raise InputError(f"there is no method {method}", remedy=f"Methods: {', '.join(METHODS)}")
    if not 0 <= favour <= 1:
        raise InputError(f"favour is {favour}", remedy="Give a number from 0 to 1")
    version = gallery.next_version(name)
    items = gallery.items()
    photos = labelled(gallery, items, seed=seed)
    tell = progress or (lambda *_: None)
    trials = cross_validate(photos, method, lambda done, of: tell("trying settings", done, of))
    settings, outcome = trials.best(favour)
    helps = outcome.worth(favour) > trials.plain.worth(favour)
    if helps:
        fit = refitting(photos, settings, version)
        map_ = fit(np.arange(len(photos)))
        tell("calibrating", 0, 1)
        calibration = fit_calibration(photos, fit, k=VOTERS, seed=seed)
        made = {"method": method, "favour": favour, "seed": seed, "settings": asdict(settings)}
        made |= {"labelling": labelling(items)}
        gallery.add_map(map_, made, _dated(calibration, items))
        tell("calibrating", 1, 1)
    return LearnReport(
        metric=version if helps else None,
        settings=settings,
        figures=_figures(trials, outcome, seed),
        k=trials.k,
        queries=len(outcome.recall),
        items=len(photos),
        labels=len(photos.names),
        unlabelled=len(items) - len(photos),
        favour=favour,
        seed=seed,
        trials=trials,
        warnings=list(_warnings(photos, helps=helps)),
    )


def calibrate(gallery: Gallery, *, metric: str | None = None, seed: int = 0) -> dict[str, Any]:
    """Fit probabilities for a metric's distances and votes, and keep them in the gallery.

    A learned metric is fitted again for each fold, with its settings, on the other folds.

    Returns
    -------
    dict
        How well it fits: see `Calibration.made`.

    Raises
    ------
    InputError
        If there are too few labelled photos, or no such metric.
    """
    name = gallery.named(metric)
    items = gallery.items()
    photos = labelled(gallery, items, seed=seed)
    facts = gallery.facts(name)
    space = gallery.space(name)
    fit: Fit = refitting(photos, Settings(**facts["settings"]), name) if facts else lambda _: space
    found = fit_calibration(photos, fit, k=VOTERS, seed=seed)
    gallery.set_calibration(name, _dated(found, items))
    return dict(found.made)


def refitting(photos: Labelled, settings: Settings, name: str) -> Callable[[NDArray[np.intp]], Map]:
    """Return what fits a map with these settings on some of the photos."""

    @lru_cache(maxsize=PARTS)
    def fitted(inside: bytes) -> Map:
        chosen = np.frombuffer(inside, np.intp)
        present, numbers = np.unique(photos.labels[chosen], return_inverse=True)
        names = [photos.names[n] for n in present]
        return Discriminant(photos.vectors[chosen], numbers).map(name, names, settings)

    return lambda inside: fitted(np.ascontiguousarray(inside, np.intp).tobytes())


def labelled(gallery: Gallery, items: list[Item], *, seed: int, parts: int = PARTS) -> Labelled:
    """Return a gallery's labelled photos, dealt out into folds; those of equal bytes into one.

    Raises
    ------
    InputError
        If there are fewer than two labels with two different photos, or too few photos in all.
    """
    chosen = [item for item in items if item.label is not None]
    digests: dict[str, set[bytes]] = {}
    for item in chosen:
        digests.setdefault(item.label or "", set()).add(item.digest)
    several = sum(len(of_label) > 1 for of_label in digests.values())
    if several < 2:
        raise InputError(
            f"has {several} labels with two different photos or more; two are needed",
            path=gallery.place,
            remedy="Give labels with houndsight index --labels, or houndsight label",
        )
    photos = Labelled.of(
        gallery.vectors(chosen).values,
        [item.label or "" for item in chosen],
        [item.digest for item in chosen],
        parts=parts,
        seed=seed,
    )
    if not any(len(split(photos, part)[1]) for part in range(parts)):
        raise InputError(
            "has too few different photos to set some apart and ask the others for them",
            path=gallery.place,
            remedy="Index more photos with labels",
        )
    return photos


def _dated(calibration: Calibration, items: list[Item]) -> Calibration:
    """Put on record which labels it was fitted on."""
    return replace(calibration, made={**calibration.made, "labelling": labelling(items)})


def _figures(trials: Trials, outcome: Outcome, seed: int) -> list[Figure]:
    before, after = trials.plain, outcome
    return [
        Figure(
            f"precision@{trials.k}",
            bootstrap(before.precision, seed),
            bootstrap(after.precision, seed),
            paired(after.precision, before.precision, seed),
        ),
        Figure(
            "recall@5",
            wilson(before.recall.tolist()),
            wilson(after.recall.tolist()),
            paired(after.recall.astype(float), before.recall.astype(float), seed),
        ),
    ]


def _warnings(photos: Labelled, *, helps: bool) -> Iterator[str]:
    counts = np.bincount(photos.labels)
    if not helps:
        yield "no map did better than none, so the gallery's metric stays as it was"
    if np.median(counts) < FEW:
        yield (
            f"half of the labels have fewer than {FEW} photos: the figures are rough, and more "
            "photos would teach more"
        )
    if (counts == 1).any():
        single = int((counts == 1).sum())
        yield f"labels with a single photo, which cannot be asked for: {single:,}"
