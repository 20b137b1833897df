"""The vectors of live items in the space of a learned metric, searched by brute force there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight.errors import DamagedGallery
from houndsight.maps import Map
from houndsight.stores.milvus.client import Server
from houndsight.stores.milvus.derived import MAP, Alone, Derived, Row
from houndsight.stores.milvus.rows import LABEL_FIELD, LABEL_KEY
from houndsight.stores.milvus.texts import Texts

__all__ = ["Mapped", "named"]

LEAST = 2  # numbers that a vector of Milvus has


class Mapped(Derived):
    """What searches in a learned metric look at: one for all of its versions, of one of them.

    The map is kept beside it, for whoever writes.
    """

    remedy = "run houndsight compact, which makes it anew; until then searches in it may miss some"
    says = (("key", str),)
    taken = ("id", LABEL_KEY, "vector")
    more = (LABEL_FIELD,)

    def __init__(self, server: Server, texts: Texts, space: Map) -> None:
        super().__init__(server, texts, _name(space), max(LEAST, space.dim), space.takes)
        self._space = space
        self.called = f"the collection of the metric {space.name}"

    def whole(self) -> dict[str, Any] | None:
        """Return what it is; None unless it is whole, and of this very map."""
        told = super().whole()
        return told if told is not None and told["key"] == self._space.key else None

    def _begin(self, told: Mapping[str, Any]) -> None:
        # Before what names it; the version is another with each build.
        text = json.dumps(self._space.document())
        self._texts.write({MAP + self.name: text}, int(told["build"], 16))
        super()._begin(told)

    def _made(self, items: Sequence[Row]) -> list[dict[str, Any]]:
        if not items:
            return []
        images = self._space(np.array([item["vector"] for item in items], np.float32))
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
        """Make it, unless it is whole, of all live items, whose `ids` are told.

        Others may write meanwhile.
        """
        if not self._is_there():
            with self._right(self.called):
                if not self._is_there():
                    self._build({"key": self._space.key}, ids, alone)

    def _is_there(self) -> bool:
        return self.whole() is not None and self._server.has(self.name)


def named(
    server: Server, texts: Texts, name: str, stored: int, known: dict[str, Mapped]
) -> Mapped | None:
    """Return the collection of a learned metric by its name; None where its map is not to be had.

    Parameters
    ----------
    stored
        How many numbers an item's vector has.
    known
        Those that were returned before, by the key of their map.
    """
    told = Derived(server, texts, name).told()
    key = None if told is None else told.get("key")
    if not isinstance(key, str):
        return None
    if key not in known:
        try:
            space = Map.read(json.loads(texts.read([MAP + name])[MAP + name][1]))
        except (DamagedGallery, KeyError, TypeError, ValueError):
            return None
        if space.takes != stored or space.key != key:
            return None
        known[key] = Mapped(server, texts, space)
    return known[key]


def _name(space: Map) -> str:
    # A digest: collections have letters, digits and underscores in their names.
    name = space.name.partition("@")[0]
    return f"space{hashlib.sha256(name.encode()).hexdigest()[:16]}"
