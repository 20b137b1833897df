"""The words: frozen data that every layer passes around. No behaviour beyond looking things up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Found", "Item", "Match", "Matches", "Skipped", "Vectors", "Where"]


@dataclass(frozen=True, slots=True)
class Item:
    """One image in a gallery.

    Attributes
    ----------
    id
        63-bit number, kept through rename, edit and relabel; shown as 16 hex digits (`key`).
    root
        Number of the indexed root that the photo belongs to; 0: it was added by hand.
    path
        Path relative to the root, in bytes, so that any file name can be kept.
    label, label_source
        The label, if any, and where it comes from: ``folder``, ``csv`` or ``user``.
    digest
        SHA-256 of the file's bytes.
    size, mtime_ns
        Bytes and time of last change when it was read; what "unchanged" is judged by.
    width, height
        Pixels, after EXIF orientation.
    removed
        ``None`` while the item is in the gallery, else who took it out: ``index`` or ``user``.
    """

    id: int
    root: int
    path: bytes
    label: str | None
    label_source: str | None
    digest: bytes
    size: int
    mtime_ns: int
    width: int
    height: int
    removed: str | None = None

    @property
    def key(self) -> str:
        """The id as 16 hex digits: JavaScript loses integers over 2**53."""
        return f"{self.id:016x}"


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is there: in a folder, in an archive, or at an address.

    Attributes
    ----------
    path
        Relative to the root.
    size, mtime_ns
        Bytes, and time of last change; what "unchanged" is judged by.
    position
        Files are read fastest in this order: the number on their disk, or where they begin in an
        archive.
    """

    path: bytes
    size: int
    mtime_ns: int
    position: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A path and the reason why it is not in the gallery."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Where:
    """Which items a search may return.

    Attributes
    ----------
    labels
        Only items with one of these labels, None among them standing for those without; ``None``
        for no such limit.
    labelled
        Only items that have a label.
    """

    labels: frozenset[str | None] | None = None
    labelled: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.labels, str):  # one label, not a set of letters
            object.__setattr__(self, "labels", frozenset((self.labels,)))


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Feature vectors and the fingerprint of the embedder that made them.

    Attributes
    ----------
    values
        float32 (n, dim).
    fingerprint
        Digest of everything that decides what an image's vector is.
    """

    values: NDArray[np.float32]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        import numpy as np

        return np.array(self.values, dtype=dtype, copy=copy)


@dataclass(frozen=True, slots=True)
class Match:
    """One neighbour.

    Attributes
    ----------
    item, distance, rank
        The item, its Euclidean distance (0 or more), its rank (from 1).
    probability
        That it has the query's label, 0 to 1; None where the metric is not calibrated.
    """

    item: Item
    distance: float
    rank: int
    probability: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The neighbours of a batch of queries, nearest first, ties by item id.

    Attributes
    ----------
    ids
        int64 (n_queries, k); -1 where a query has fewer than k neighbours.
    distances
        float64 (n_queries, k), Euclidean, 0 or more; infinite where the id is -1.
    items
        The items by id.
    probabilities
        float64 (n_queries, k): that a neighbour has the query's label, for queries that are whole
        photos; None where the metric is not calibrated.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.float64]
    items: Mapping[int, Item]
    probabilities: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, query: int) -> list[Match]:
        """Return the neighbours of one query, nearest first."""
        return [
            Match(
                self.items[int(self.ids[query, n])],
                float(self.distances[query, n]),
                n + 1,
                None if self.probabilities is None else float(self.probabilities[query, n]),
            )
            for n in range(self.ids.shape[1])
            if self.ids[query, n] >= 0
        ]

    def __iter__(self) -> Iterator[list[Match]]:
        return (self[query] for query in range(len(self)))
