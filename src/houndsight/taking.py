"""What was read and embedded is taken into the gallery, wherever that is done."""

import os
import time
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from houndsight.gallery import Entry, Gallery, Root
from houndsight.labels import Labeller
from houndsight.reading import Read
from houndsight.types import Skipped

__all__ = ["Batch", "Batches", "Taking", "Terms"]

# What was read of each file with its vector (dim,), or None where that has no pixels.
Batch: TypeAlias = list[tuple[Read, NDArray[np.float32] | None]]
Batches: TypeAlias = Generator[Batch]


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms the photos of a root are taken in. They can be sent to other machines.

    Attributes
    ----------
    root
        The root.
    fresh
        How many of the files, the first, are at paths that were not known.
    loose, restore
        As for `Gallery.add`.
    label_of, source
        What gives photos their labels, and the source that is put on record.
    """

    root: Root
    fresh: int
    loose: Mapping[int, tuple[bytes, bytes]]
    restore: bool
    label_of: Labeller
    source: str | None


class Taking:
    """Takes photos into a gallery whose indexing is under way, and tells how far that is."""

    def __init__(self, gallery: Gallery, terms: Terms) -> None:
        self.gallery = gallery
        self.terms = terms
        underway = gallery.indexing()
        self._done, self._total, before = 0, 0, 0.0
        if underway is not None:
            self._done, self._total = underway.done, underway.total
            before = underway.seconds + underway.idle_s
        self._started = time.monotonic() - before

    def all_of(self, batches: Batches) -> Generator[Counter[str]]:
        """Take in batch by batch; yields what each commit has done: kinds, and ``embedded``."""
        with closing(batches):
            for batch in batches:
                done = Counter(self.take(batch))
                done["embedded"] = sum(vector is not None for _, vector in batch)
                yield done

    def take(self, batch: Batch) -> list[str]:
        """Take in a batch, all or nothing; returns what has happened to each of its photos."""
        root = self.terms.root
        retry = {
            os.path.join(root.place, read.found.path): (read.found.size, read.found.mtime_ns)
            for read, _ in batch
            if read.reason is not None and not read.passing
        }
        # Of what is taken in twice, as a node was lost, there is no more than there was to do.
        self._done = min(self._done + len(batch), self._total)
        with self.gallery.store.transaction():
            kinds = self.gallery.add(
                root,
                [self._entry(read, vector) for read, vector in batch],
                loose=self.terms.loose,
                restore=self.terms.restore,
                retry=retry,
            )
            seconds = time.monotonic() - self._started
            self.gallery.tell_indexing(self._done, self._total, seconds)
        return kinds

    def _entry(self, read: Read, vector: NDArray[np.float32] | None) -> Entry | Skipped:
        found = read.found
        if read.reason is not None:
            return Skipped(os.path.join(self.terms.root.place, found.path), read.reason)
        label = self.terms.label_of(found.path)
        return Entry(
            path=found.path,
            label=label,
            label_source=self.terms.source if label else None,
            digest=read.digest,
            size=read.size,
            mtime_ns=read.mtime_ns,
            width=read.width,
            height=read.height,
            vector=vector,
            thumbnail=read.thumbnail,
        )
