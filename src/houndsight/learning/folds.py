"""Photos set apart for checking, so that nothing is scored on what it was fitted on."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Labelled", "folds"]


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Labelled photos as arrays.

    Attributes
    ----------
    vectors
        float32 (n, dim), as stored.
    labels
        int (n,), numbers into `names`.
    names
        The labels, sorted; each occurs.
    fold
        int (n,): in which part each photo is set apart.
    """

    vectors: NDArray[np.float32]
    labels: NDArray[np.intp]
    names: tuple[str, ...]
    fold: NDArray[np.intp]

    @classmethod
    def of(
        cls,
        vectors: NDArray[np.float32],
        labels: Sequence[str],
        alike: Sequence[Hashable],
        *,
        parts: int,
        seed: int,
    ) -> "Labelled":
        """Give labels numbers, and deal the photos out as `folds` does."""
        names, numbers = np.unique(np.asarray(labels), return_inverse=True)
        return cls(
            vectors,
            numbers.astype(np.intp),
            tuple(str(name) for name in names),
            folds(numbers, alike, parts, seed),
        )

    def __len__(self) -> int:
        return len(self.labels)


def folds(
    labels: NDArray[np.integer], alike: Sequence[Hashable], parts: int, seed: int
) -> NDArray[np.intp]:
    """Deal photos out into parts, each label evenly, photos that are alike into the same part.

    Parameters
    ----------
    labels
        int (n,).
    alike
        (n,): photos with an equal value stay together; such as the digests of their files.
    parts
        How many, 2 or more.
    seed
        Of the order in which photos are dealt out.

    Returns
    -------
    ndarray
        int (n,), 0 to parts - 1.
    """
    rng = np.random.default_rng(seed)
    first: dict[Hashable, int] = {}
    leader = np.array([first.setdefault(mark, n) for n, mark in enumerate(alike)], np.intp)
    out = np.zeros(len(labels), np.intp)
    own = leader == np.arange(len(labels))
    for label in np.unique(labels):
        mine = np.flatnonzero(own & (labels == label))
        # Labels with few photos do not all begin with the same part.
        out[rng.permutation(mine)] = (np.arange(len(mine)) + rng.integers(parts)) % parts
    return out[leader]
