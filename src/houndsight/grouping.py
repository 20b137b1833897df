"""Groups of vectors that hang together by small distances: exact, without a matrix of all pairs."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["grouped"]

WIDTH = 128  # numbers of a shadow
SAMPLE = 512
# Rows and columns of products in memory at once: 1,024 x 4,096 float32 = 16 MB.
TALL, WIDE = 1024, 4096
PAIRS = 1024  # whose differences are in memory at once, as float64: 16 MB at 2,048 numbers
# Where shadows leave more pairs of a block than this, one product of the vectors is cheaper.
MANY = 20_000
UNIT = 2.0**-24

Read = Callable[[NDArray[np.intp]], NDArray[np.float32]]


def grouped(
    n: int,
    vectors: Read,
    within: float,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.intp]:
    """Put vectors that are at most `within` apart into one group, and what hangs on them too.

    The groups are the connected components, which is single linkage. That no pair is overlooked,
    though few distances are computed, is shown by lower bounds: with P orthonormal axes and r the
    length of what they leave of a vector, ``|Px - Py|**2 + (r_x - r_y)**2 <= |x - y|**2``
    (Faloutsos et al., Fast subsequence matching in time-series databases, SIGMOD 1994). (Px, r) is
    a vector's shadow. Pairs whose shadows are near are decided by ``sqrt(sum((x - y)**2))`` in
    float64, unless they are in one group by then.

    Parameters
    ----------
    n
        How many vectors.
    vectors
        Returns the vectors of these numbers, float32 (len, dim), of Euclidean norm 1 or less. It is
        asked for some thousand at a time.
    within
        0 or more.
    progress
        Called with how many of all blocks of vectors are done, and their number.

    Returns
    -------
    ndarray
        int (n,): for each vector the lowest number in its group.

    Notes
    -----
    Memory: some 600 bytes a vector, and about 150 MB. Where many vectors are near each other,
    single distances are seldom needed, as groups grow fast.
    """
    groups = _Groups(n)
    shadows = _shadows(n, vectors)
    tops = range(0, n, TALL)
    for done, top in enumerate(tops):
        for start in range(top, n, WIDE):
            _join(groups, vectors, shadows, (top, start), within)
        if progress is not None:
            progress(done + 1, len(tops))
    return groups.of


class _Groups:
    """Which vectors are known to be in one group: a disjoint-set forest, flat after each step."""

    def __init__(self, n: int) -> None:
        self.of = np.arange(n)

    def join(self, some: NDArray[np.intp], others: NDArray[np.intp]) -> None:
        for a, b in zip(some.tolist(), others.tolist(), strict=True):
            first, second = self._first(a), self._first(b)
            self.of[max(first, second)] = min(first, second)
        while not np.array_equal(above := self.of[self.of], self.of):
            self.of = above

    def _first(self, one: int) -> int:
        """Return the lowest number in a group; the way there is half as long the next time."""
        of = self.of
        while of[one] != one:
            of[one] = of[of[one]]
            one = int(of[one])
        return one


def _shadows(n: int, vectors: Read) -> NDArray[np.float32]:
    """Return (Px, r, -|x|**2 / 2, 1) of each vector, float32 (n, up to WIDTH + 3)."""
    chosen = np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.intp))
    sample = vectors(chosen).astype(np.float64)
    # Principal axes of the sample by its Gram matrix, which is smaller; made orthonormal after.
    _, mixtures = np.linalg.eigh(sample @ sample.T)
    axes, _ = np.linalg.qr(sample.T @ mixtures[:, -WIDTH:])
    out = np.ones((n, axes.shape[1] + 3), np.float32)
    for start in range(0, n, TALL):
        x = vectors(np.arange(start, min(start + TALL, n))).astype(np.float64)
        rows = out[start : start + TALL]
        along, squares = x @ axes, np.einsum("ij,ij->i", x, x)
        left = squares - np.einsum("ij,ij->i", along, along)
        rows[:, :-3] = along
        rows[:, -3] = np.sqrt(np.maximum(left, 0.0))
        rows[:, -2] = -squares / 2
    return out


def _slack(dim: int) -> float:
    """Return how far a squared distance by a float32 product can be off, with room to spare.

    See `houndsight.search.candidates` for the bound; the norms are 1 or less.
    """
    return 2 * (dim + 8) * UNIT * 4


def _join(
    groups: _Groups,
    vectors: Read,
    shadows: NDArray[np.float32],
    corner: tuple[int, int],
    within: float,
) -> None:
    """Join what is near in one block of pairs."""
    top, start = corner
    tall, wide = shadows[top : top + TALL], shadows[start : start + WIDE]
    here = groups.of[top : top + TALL]
    if (here == here[0]).all() and (groups.of[start : start + WIDE] == here[0]).all():
        return
    width = shadows.shape[1]
    # The last two columns change places: Px.Py + r_x r_y - (|x|**2 + |y|**2) / 2.
    halves = tall @ wide[:, [*range(width - 2), width - 1, width - 2]].T
    found = np.flatnonzero(halves >= -(within**2 + _slack(width)) / 2)
    i, j = top + found // len(wide), start + found % len(wide)
    i, j = _apart(groups, i, j)
    if len(i) > MANY:
        x, y = (
            vectors(np.arange(top, top + len(tall))),
            vectors(np.arange(start, start + len(wide))),
        )
        halves = x @ y.T
        halves += tall[:, -2:-1]
        halves += wide[:, -2]
        near = halves[i - top, j - start] >= -(within**2 + _slack(x.shape[1])) / 2
        i, j = i[near], j[near]
    while len(i):
        some, others = i[:PAIRS], j[:PAIRS]
        near = _distances(vectors, some, others) <= within
        groups.join(some[near], others[near])
        i, j = _apart(groups, i[PAIRS:], j[PAIRS:])


def _apart(
    groups: _Groups, i: NDArray[np.intp], j: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs that are not known to be in one group, each once."""
    kept = (i < j) & (groups.of[i] != groups.of[j])
    return i[kept], j[kept]


def _distances(
    vectors: Read, some: NDArray[np.intp], others: NDArray[np.intp]
) -> NDArray[np.float64]:
    rows, places = np.unique(np.concatenate([some, others]), return_inverse=True)
    read = vectors(rows)
    difference = read[places[: len(some)]].astype(np.float64) - read[places[len(some) :]]
    difference *= difference
    distances: NDArray[np.float64] = np.sqrt(difference.sum(axis=1))
    return distances
