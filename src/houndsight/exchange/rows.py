"""What is exported of a gallery: its items by id, their vectors in blocks, and what made them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houndsight.gallery import Gallery
from houndsight.maps import Space
from houndsight.types import Item

__all__ = ["Rows", "utf8"]

# Vectors that are in memory at once: 4,096 x 2,048 x 4 bytes = 32 MB.
BLOCK = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The items of a gallery, and their vectors in one of its metrics.

    Attributes
    ----------
    gallery
        Where they are.
    items
        The items, by id.
    metric
        The metric's full name.
    space
        Its space.
    """

    gallery: Gallery
    items: list[Item]
    metric: str
    space: Space

    @classmethod
    def of(cls, gallery: Gallery, metric: str | None) -> Rows:
        """Return the rows of a gallery; vectors as they are stored when `metric` is None.

        Raises
        ------
        InputError
            If the gallery has no such metric.
        """
        name = gallery.stored_metric if metric is None else gallery.named(metric)
        return cls(gallery, gallery.items(), name, gallery.space(name))

    def __len__(self) -> int:
        return len(self.items)

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        return self.space.dim

    @property
    def ids(self) -> NDArray[np.int64]:
        """The items' ids, int64 (n,)."""
        return np.array([item.id for item in self.items], np.int64)

    @property
    def paths(self) -> list[str]:
        """Where the photos are; bytes that are not UTF-8 as `os.fsdecode` gives them."""
        return [os.fsdecode(self.gallery.path_of(item)) for item in self.items]

    @property
    def fingerprint(self) -> str:
        """What vectors must have to be compared with these.

        In another metric than the stored one no embedder makes such vectors, and the name of the
        metric stands behind.
        """
        stored = self.metric == self.gallery.stored_metric
        return self.gallery.fingerprint + ("" if stored else f" {self.metric}")

    @property
    def settings(self) -> str:
        """What made the vectors, as the gallery has it on record, in JSON."""
        return json.dumps(self.gallery.settings, sort_keys=True)

    def blocks(self) -> Iterator[tuple[list[Item], NDArray[np.float32]]]:
        """Yield items and their vectors, float32 (m, dim), m at most `BLOCK`."""
        for start in range(0, len(self.items), BLOCK):
            some = self.items[start : start + BLOCK]
            yield some, self.space(self.gallery.vectors(some).values)

    def vectors(self) -> Iterator[NDArray[np.float32]]:
        """Yield the vectors alone, as `blocks` does."""
        return (values for _, values in self.blocks())


def utf8(path: str) -> str:
    """Return a path that any program can read: bytes that are not UTF-8 as backslash escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
