"""Indexes for approximate searches: what each is built with, and what its searches are told."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["KINDS", "MOST", "Index", "Kind"]

MOST = 16_384  # rows that one search may return, by Milvus
_MANY = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of index of Milvus.

    Attributes
    ----------
    name
        As Milvus calls it.
    built
        The least and the most of each parameter that it is built with.
    searched
        The parameter by which a search looks at more or fewer vectors.
    least_k
        Whether that has to be as many as the neighbours that are asked for.
    most
        The most that it may be; of clusters no more than there are.
    """

    name: str
    built: Mapping[str, tuple[int, int]]
    searched: str
    least_k: bool
    most: int


# The bounds are those of Milvus's documents: 2.6 where they name any, else 2.2.
KINDS: Mapping[str, Kind] = {
    "hnsw": Kind("HNSW", {"M": (2, 2048), "efConstruction": (1, _MANY)}, "ef", True, 32_768),
    "ivf": Kind("IVF_FLAT", {"nlist": (1, 65_536)}, "nprobe", False, 65_536),
    "diskann": Kind("DISKANN", {}, "search_list", True, 65_535),
}


@dataclass(frozen=True, slots=True)
class Index:
    """An index as it is built: its kind, a key of `KINDS`, and its parameters.

    `build` tells those that are there apart, and is nothing that can be asked for.
    """

    kind: str
    parameters: Mapping[str, int] = field(default_factory=dict)
    build: str = field(default="", compare=False)

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{name}={n}" for name, n in self.parameters.items())])

    @property
    def name(self) -> str:
        """What Milvus calls its kind."""
        return KINDS[self.kind].name

    @property
    def searched(self) -> str:
        """The parameter that its searches are told."""
        return KINDS[self.kind].searched

    @property
    def most(self) -> int:
        """The most that its searches may be told."""
        return min(KINDS[self.kind].most, self.parameters.get("nlist", _MANY))

    def told(self, looked_at: int, k: int) -> dict[str, int]:
        """Return what a search for k neighbours is told, to look at as many."""
        kind = KINDS[self.kind]
        return {kind.searched: max(looked_at, k) if kind.least_k else looked_at}
