"""What was read and embedded is taken into the gallery, wherever that is done."""

import os
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
    run
        What names the indexing that they are of.
    root
        The root.
    fresh
        How many of the files, the first, are at paths that were not known.
    loose, restore
        As for `Gallery.add`.
    label_of, source
        What gives photos their labels, and the source that is put on record.
    """

    run: str
    root: Root
    fresh: int
    loose: Mapping[int, tuple[bytes, bytes]]
    restore: bool
    label_of: Labeller
    source: str | None


@dataclass(frozen=True, slots=True)
class Taking:
    """Takes photos into a gallery on some terms."""

    gallery: Gallery
    terms: Terms

    def all_of(self, batches: Batches) -> Generator[Counter[str]]:
        """Take in batch by batch; yields what each commit has done: kinds, and ``embedded``."""
        with closing(batches):
            for batch in batches:
                done = Counter(self.take(batch))
                done["embedded"] = sum(vector is not None for _, vector in batch)
                yield done

    def take(self, batch: Batch) -> list[str]:
        """Take in a batch, all or nothing; returns what has happened to each of its photos.

        GalleryError if the indexing has ended meanwhile: a node may come late with what nobody
        waits for any more, and what was taken out since must not come back.
        """
        root = self.terms.root
        retry = {
            os.path.join(root.place, read.found.path): (read.found.size, read.found.mtime_ns)
            for read, _ in batch
            if read.reason is not None and not read.passing
        }
        with self.gallery.store.transaction():
            self.gallery.tell_indexing(self.terms.run, len(batch))
            return self.gallery.add(
                root,
                [self._entry(read, vector) for read, vector in batch],
                loose=self.terms.loose,
                restore=self.terms.restore,
                retry=retry,
            )

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
