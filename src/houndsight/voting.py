"""The neighbours as a lazy classifier."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from houndsight.types import Match

__all__ = ["Vote", "classify"]


@dataclass(frozen=True, slots=True)
class Vote:
    """What the neighbours say.

    Attributes
    ----------
    label
        The label with most votes; None where no neighbour has a label.
    share
        Its part of the votes, 0 to 1.
    counts
        Votes by label, most first, ties by whose photo is nearest.
    """

    label: str | None
    share: float
    counts: dict[str, int]


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
        return Vote(None, 0.0, {})
    label = next(iter(ranked))
    return Vote(label, ranked[label] / counts.total(), ranked)
