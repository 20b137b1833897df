"""The vectors of live items in the space of a learned metric, searched by brute force there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight.maps import SPACES, Map
from houndsight.stores.milvus.client import Server
from houndsight.stores.milvus.derived import Alone, Derived, Row
from houndsight.stores.milvus.rows import LABEL_FIELD, LABEL_KEY
from houndsight.stores.milvus.texts import Texts

__all__ = ["Mapped"]

LEAST = 2  # numbers that a vector of Milvus has


class Mapped(Derived):
    """What searches in a learned metric look at: one for all of its versions, of one of them."""

    remedy = "run houndsight compact, which makes it anew; until then searches in it may miss some"
    taken = ("id", LABEL_KEY, "vector")
    more = (LABEL_FIELD,)

    def __init__(self, server: Server, texts: Texts, space: Map, stored: int) -> None:
        super().__init__(server, texts, _name(space), max(LEAST, space.dim), stored)
        self.space = space
        self.called = f"the collection of the metric {space.name}"
        self._what = {"space": space.name, "key": space.key}

    @classmethod
    def read(
        cls, server: Server, texts: Texts, told: Any, document: Callable[[str], Any], stored: int
    ) -> Mapped | None:
        """Return the one that a text tells of; None where its map is not to be had.

        Parameters
        ----------
        document
            Returns the document of a name.
        """
        try:
            space = Map.read(document(SPACES + told["space"])["map"])
        except (KeyError, TypeError, ValueError):
            return None
        fits = space.takes == stored and space.key == told["key"]
        return cls(server, texts, space, stored) if fits else None

    def whole(self) -> dict[str, Any] | None:
        """Return what it is; None unless it is whole, and of this very space."""
        told = super().whole()
        return told if told is not None and self._is_of(told) else None

    def _is_of(self, told: dict[str, Any]) -> bool:
        return self._what.items() <= told.items()

    def _made(self, items: Sequence[Row]) -> list[dict[str, Any]]:
        if not items:
            return []
        images = self.space(np.array([item["vector"] for item in items], np.float32))
        return [
            {"id": item["id"], LABEL_KEY: item[LABEL_KEY], "vector": self._filled(image)}
            for item, image in zip(items, images, strict=True)
        ]

    def _filled(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return an image as Milvus takes it: of two labels, it may have one number."""
        return np.pad(image, (0, self._dim - len(image)))

    def search(
        self, build: str, queries: Sequence[Any], limit: int, condition: str, told: Any = None
    ) -> list[list[dict[str, Any]]] | None:
        """Return for each query (space.dim,) the nearest rows; None if that build is gone."""
        filled = [self._filled(query) for query in queries]
        return super().search(build, filled, limit, condition, told)

    def build(self, ids: Callable[[], Sequence[int]], alone: Alone) -> None:
        """Make it anew, unless it is whole, of all live items, whose `ids` are told.

        Others may write meanwhile; `alone` holds the right to write, with no journal left.
        """
        with self._right(f"the space {self.space.name}"):
            if self.whole() is None:
                self._build(self._what, ids, alone)


def _name(space: Map) -> str:
    # A digest: collections have letters, digits and underscores in their names.
    name = space.name.partition("@")[0]
    return f"space{hashlib.sha256(name.encode()).hexdigest()[:16]}"
