"""Labels that are likely wrong: photos whose neighbours have another."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from houndsight.errors import InputError
from houndsight.gallery import Gallery
from houndsight.learning import Settings, labelled, refitting
from houndsight.maps import softmax
from houndsight.types import Item, Match, Where

__all__ = ["Outlier", "outliers"]

CHUNK = 256


@dataclass(frozen=True, slots=True)
class Outlier:
    """A labelled photo, and how much speaks against its label.

    Attributes
    ----------
    item
        The photo.
    score
        0 to 1: the probability that the label is `suggested` rather than its own, if it is one of
        the two. Above 0.5 more speaks for `suggested`.
    suggested
        The other label that most speaks for; None where nothing speaks for any other.
    own, rival
        Shares of the photo's own label and of `suggested`, 0 to 1.
    """

    item: Item
    score: float
    suggested: str | None
    own: float
    rival: float


def outliers(
    gallery: Gallery, *, k: int = 20, metric: str | None = None, seed: int = 0
) -> list[Outlier]:
    """Rank labelled photos by how much speaks against their labels.

    The photo itself and those of equal bytes have no say. In the metrics ``plain`` and ``paper``
    its k nearest labelled photos vote, with a weight of d_k / (d + d_k), where d_k is the distance
    of the farthest: 1 at distance 0, 1/2 for the farthest. With v the votes for its own label and w
    those for the best other one, the score is ``(w + 1/2) / (v + w + 1)`` (Krichevsky and Trofimov,
    The performance of universal encoding, IEEE Trans. Information Theory 27, 1981). No more vote
    than a photo has others of its label, in the median: a label of two photos has one vote at best,
    and would lose against any two of twenty.

    A learned metric was fitted on these very labels, and draws a photo to a wrong one too. There
    the map is fitted again, for each fifth of the photos on the other four. With v and w the
    posteriors of the two labels, the score is ``w / (v + w)``; posteriors rather than votes, as the
    photos that a map was fitted on lie nearer to their labels than others.

    Parameters
    ----------
    gallery
        A photo whose label no photo of other bytes has cannot be judged, and is left out.
    k
        How many neighbours at most, 1 or more; a learned metric needs none.
    metric
        ``paper``, ``plain`` or a learned one; the gallery's own when None.
    seed
        Of the dealing out into fifths.

    Returns
    -------
    list of Outlier
        All photos that can be judged, the most doubtful first, ties by id.

    Raises
    ------
    InputError
        If no photo has a label, there is no such metric, or too little to fit a learned one on.
    """
    name = gallery.named(metric)
    items = [item for item in gallery.items() if item.label is not None]
    if len(items) < 2:
        raise InputError(
            f"holds {len(items)} labelled photos; two are needed",
            path=gallery.place,
            remedy="Give labels with houndsight index --labels, or houndsight label",
        )
    digests: dict[str, set[bytes]] = {}
    for item in items:
        digests.setdefault(item.label or "", set()).add(item.digest)
    judged = [item for item in items if len(digests[item.label or ""]) > 1]
    if gallery.facts(name):
        found = _by_posteriors(gallery, judged, name, seed)
    else:
        others = [len(digests[item.label or ""]) - 1 for item in judged]
        voters = min(k, int(np.median(others or [k])))
        found = _by_votes(gallery, items, judged, voters, name)
    return sorted(found, key=lambda one: (-one.score, one.item.id))


def _by_votes(
    gallery: Gallery, items: list[Item], judged: list[Item], k: int, metric: str
) -> Iterator[Outlier]:
    equal: dict[bytes, list[int]] = {}
    for item in items:
        equal.setdefault(item.digest, []).append(item.id)
    where = Where(labelled=True)
    for start in range(0, len(judged), CHUNK):
        some = judged[start : start + CHUNK]
        own = [equal[item.digest] for item in some]
        found = gallery.search(gallery.vectors(some), k, where=where, exclude=own, metric=metric)
        for item, matches in zip(some, found, strict=True):
            votes = _votes(matches)
            total = sum(votes.values()) or 1.0
            v = votes.pop(item.label or "", 0.0)
            suggested = max(votes, key=lambda label: votes[label], default=None)
            w = votes[suggested] if suggested is not None else 0.0
            yield Outlier(item, (w + 0.5) / (v + w + 1.0), suggested, v / total, w / total)


def _votes(matches: list[Match]) -> dict[str, float]:
    """Return the weighted votes by label; labels in the order in which they are first met."""
    votes: dict[str, float] = {}
    farthest = matches[-1].distance if matches else 0.0
    for match in matches:
        weight = farthest / (match.distance + farthest) if farthest > 0 else 1.0
        label = match.item.label or ""
        votes[label] = votes.get(label, 0.0) + weight
    return votes


def _by_posteriors(
    gallery: Gallery, judged: list[Item], metric: str, seed: int
) -> Iterator[Outlier]:
    photos = labelled(gallery, judged, seed=seed)
    settings = Settings(**gallery.facts(metric)["settings"])
    fit = refitting(photos, settings, metric)
    for part in np.unique(photos.fold):
        map_ = fit(np.flatnonzero(photos.fold != part))
        places = {label: n for n, label in enumerate(map_.labels)}
        asked = np.flatnonzero(photos.fold == part)
        shares = softmax(map_.scores(photos.vectors[asked]) / settings.temperature)
        for n, row in zip(asked.tolist(), shares, strict=True):
            own = places.get(judged[n].label or "")
            v = float(row[own]) if own is not None else 0.0
            best = int(np.argmax(np.where(np.arange(len(row)) == own, -1.0, row)))
            if best == own:  # there is no other label
                continue
            w = float(row[best])
            yield Outlier(judged[n], w / (v + w), map_.labels[best], v, w)
