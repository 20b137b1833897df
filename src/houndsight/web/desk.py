"""The gallery and what is asked of it: where the page and the API get their answers."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from houndsight import images
from houndsight.adding import Added, add_photo
from houndsight.atlas import Atlas, lay_out
from houndsight.combining import as_one, search_combined
from houndsight.cropping import WHOLE, View
from houndsight.curation import DuplicateReport, duplicates, near_distance
from houndsight.doubting import Outlier, outliers
from houndsight.embedder import Embedder
from houndsight.errors import ImageError, ModelError
from houndsight.evaluation import Report, evaluate
from houndsight.explaining import Explanation, explain
from houndsight.gallery import Gallery
from houndsight.gallery.spaces import labelling
from houndsight.queries import Query, read_queries
from houndsight.types import Item, Match, Vectors, Where
from houndsight.voting import Vote, classify_queries
from houndsight.web.asking import ITEM, Ask
from houndsight.web.background import Made, Making
from houndsight.web.problems import Refused
from houndsight.web.uploads import Upload, Uploads

__all__ = ["Answer", "Desk"]

T = TypeVar("T")
# Queries whose vectors are remembered: 2,048 numbers of 4 bytes each, 4 MB.
REMEMBERED = 512
# Photos that may wait for the network, and that are decoded at once.
QUEUE, DECODED = 16, 2
# Explanations that are remembered.
EXPLAINED = 32
# Labelled photos that are asked about for the report of a large gallery, drawn at random.
EVALUATED = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A query and what was found.

    Attributes
    ----------
    query
        The query, or several as one.
    keys
        What names it, or them.
    matches
        The neighbours, nearest first.
    vote
        What they say of its label; None where that was not asked.
    """

    query: Query
    keys: tuple[str, ...]
    matches: list[Match]
    vote: Vote | None = field(default=None)


class Desk:
    """A gallery and its embedder, asked by several threads at once.

    Parameters
    ----------
    gallery
        The gallery.
    embedder
        Its embedder; or why there is none: then only its own photos can be asked about.
    """

    def __init__(self, gallery: Gallery, embedder: Embedder | ModelError) -> None:
        self.gallery = gallery
        self.uploads = Uploads()
        self._embedder = embedder
        # One photo at a time: the network has all cores.
        self._network = threading.Lock()
        self._queue = threading.Semaphore(QUEUE)
        self._read: OrderedDict[object, tuple[Query, NDArray[np.float32]]] = OrderedDict()
        self._reading = threading.Lock()
        self._contents: tuple[int, tuple[str, str]] | None = None  # by revision
        self._explained: OrderedDict[object, Explanation] = OrderedDict()
        # Held in the event loop by those whose photo is read; waiting there takes no thread.
        self.turns = asyncio.Semaphore(DECODED)
        self.report: Made[Report] = Made(
            lambda progress: evaluate(
                gallery,
                protocol="leave-one-out",
                samples=EVALUATED if gallery.labels().total() > 3 * EVALUATED else "all",
                progress=progress,
            )
        )
        self.atlas: Made[Atlas] = Made(lambda _: lay_out(gallery))
        self.duplicates: Made[DuplicateReport] = Made(
            lambda progress: duplicates(gallery, progress=progress)
        )
        self.doubtful: Made[list[Outlier]] = Made(lambda _: outliers(gallery))
        self.near: Made[float] = Made(lambda _: near_distance(gallery))

    def close(self) -> None:
        """Delete the photos that were handed in, before the gallery is closed."""
        for one in (self.report, self.atlas, self.duplicates, self.doubtful, self.near):
            one.give_up()
        self.uploads.close()

    # Items

    def item(self, key: str) -> Item:
        """Return an item by its id; Refused (404) if there is none."""
        found = self.gallery.items([int(key, 16)]) if re.fullmatch(ITEM, key) else []
        if not found:
            raise Refused(
                404,
                "no_such_item",
                "this photo is not in the gallery, or not any more",
                "Search again, or take back its removal",
            )
        return found[0]

    def where(self, labels: Sequence[str]) -> Where:
        """Return what limits an answer to labels; Refused (404) if the gallery lacks one."""
        known = self.gallery.labels()
        for label in labels:
            if label not in known:
                near = ", ".join(get_close_matches(label, known, n=3))
                raise Refused(
                    404,
                    "no_such_label",
                    f"no photo in the gallery has the label {label[:80]!r}",
                    f"Labels like it: {near}" if near else "See the list of labels",
                )
        return Where(labels=frozenset(labels) or None)

    def metric(self, name: str | None) -> str:
        """Return a metric's full name; Refused (404) if there is none."""
        every = self.gallery.metrics()
        if name is not None and name not in {*every, *(one.split("@")[0] for one in every)}:
            raise Refused(
                404,
                "no_such_metric",
                f"the gallery has no metric {name[:80]!r}",
                f"It has {', '.join(every)}",
            )
        return self.gallery.named(name)

    # Answers

    def answers(self, ask: Ask, *, voting: bool = True) -> list[Answer]:
        """Return the neighbours of each query, or of all as one.

        The query's own file is left out, as `houndsight search` does; a photo that was handed in is
        no file of the gallery, and all that equals it is shown.

        Raises
        ------
        Refused, HoundsightError
            If anything that is asked for is not there, or cannot be read.
        """
        where, metric = self.where(ask.labels), self.metric(ask.metric)
        view = WHOLE if ask.crop is None else View(ask.crop)
        read = [self.read(key, view) for key in ask.queries]
        if not read:
            return []
        photos = [query for query, _ in read]
        vectors = Vectors(np.stack([vector for _, vector in read]), self.gallery.fingerprint)
        combine = ask.way if ask.way != "each" and len(read) > 1 else None
        exclude = [query.own for query in photos]
        found = search_combined(
            self.gallery,
            vectors,
            ask.k,
            combine=combine,
            where=where,
            exclude=exclude,
            metric=metric,
        )
        if ask.crop is not None:  # probabilities were fitted on whole photos
            found = replace(found, probabilities=None)
        shown = as_one(photos, (), combine)
        votes: list[Vote | None] = [None] * len(shown)
        if voting and combine is None:
            votes = list(self.votes(vectors, photos, ask.k, metric, whole=ask.crop is None))
        keys = [ask.queries] if combine else [(key,) for key in ask.queries]
        return [
            Answer(query, some, matches, vote)
            for query, some, matches, vote in zip(shown, keys, found, votes, strict=True)
        ]

    def votes(
        self, vectors: Vectors, photos: Sequence[Query], k: int, metric: str, *, whole: bool
    ) -> list[Vote]:
        """Return what the k nearest labelled neighbours say; as many as were calibrated for."""
        calibration = self.gallery.calibration(metric)
        votes = classify_queries(
            self.gallery,
            vectors,
            k=k if calibration is None else calibration.k,
            metric=metric,
            exclude=[query.own for query in photos],
        )
        # Probabilities were fitted on whole photos.
        plain = [Vote(next(iter(one.counts), None), one.share, one.counts) for one in votes]
        return votes if whole else plain

    def read(self, key: str, view: View = WHOLE) -> tuple[Query, NDArray[np.float32]]:
        """Return a query photo and its vector, float32 (dim,)."""
        if re.fullmatch(ITEM, key) and view == WHOLE:
            item = self.item(key)
            (vector,) = self.gallery.vectors([item]).values
            own = frozenset([item.id])
            twins = frozenset(one.id for one in self.gallery.with_digest(item.digest)) - own
            return Query(self.gallery.path_of(item), item.label, own, twins), vector
        digest = self.digest(key)  # an item keeps its id when its photo is edited
        with self._reading:
            known = self._read.get((key, digest, view))
        if known is None:
            known = self._embedded(key, view)
            with self._reading:
                self._read[key, digest, view] = known
                while len(self._read) > REMEMBERED:
                    self._read.popitem(last=False)
        query, vector = known
        # What has the same bytes may have come or gone, or have another label, since it was read.
        equal = self.gallery.with_digest(digest)
        label = next((item.label for item in equal if item.label), None)
        twins = frozenset(item.id for item in equal) - query.own
        return replace(query, label=label, twins=twins), vector

    def path(self, key: str) -> bytes:
        """Return where a query photo lies."""
        if re.fullmatch(ITEM, key):
            return self.gallery.path_of(self.item(key))
        return os.fsencode(self.uploads[key].path)

    def digest(self, key: str) -> bytes:
        """Return the SHA-256 that the bytes of a query photo have to have."""
        return self.item(key).digest if re.fullmatch(ITEM, key) else bytes.fromhex(key)

    def photo(self, key: str) -> images.File:
        """Return the bytes of an item's photo, or of one that was handed in.

        Whatever has taken a photo's place on the disk since it was indexed was never let in, and is
        Refused (404).
        """
        file = images.read(self.path(key))
        if file.digest != self.digest(key):
            raise Refused(
                404, "no_photo", "the file has changed since it was indexed", "Index it again"
            )
        return file

    def name(self, key: str) -> str:
        """Return what a query photo's file is called."""
        if re.fullmatch(ITEM, key):
            name = os.path.basename(self.path(key))
            return name.decode("utf-8", "backslashreplace")
        return self.uploads[key].name

    def _embedded(self, key: str, view: View) -> tuple[Query, NDArray[np.float32]]:
        self.photo(key)
        with self.network() as embedder:
            found = read_queries(self.gallery, embedder, self.path(key), view=view)
        if found.skipped:
            # The part that is asked for may lie beyond a good photo.
            if view == WHOLE:
                self.uploads.forget(key)
            raise ImageError(found.skipped[0].reason)
        return found.photos[0], found.vectors.values[0]

    @contextmanager
    def network(self) -> Iterator[Embedder]:
        """Have the embedder alone; Refused (503) if it is not there, or others wait for it."""
        if not isinstance(self._embedder, Embedder):
            raise self._embedder
        # Each of them holds a thread, and searches need some as well.
        if not self._queue.acquire(blocking=False):
            raise Refused(503, "busy", "too many photos are waiting to be looked at", "Try again")
        try:
            with self._network:
                yield self._embedder
        finally:
            self._queue.release()

    @property
    def lacking(self) -> ModelError | None:
        """Why photos of other places cannot be asked about, if they cannot."""
        return None if isinstance(self._embedder, Embedder) else self._embedder

    def keep(self, file: BinaryIO, name: str) -> Upload:
        """Keep a photo that was handed in, once it has been read and embedded."""
        upload = self.uploads.keep(file.read(), name)
        self.read(upload.key)
        return upload

    def explained(self, key: str, view: View, item: Item, metric: str | None) -> Explanation:
        """Say which regions of a query and of an item made them alike."""
        asked = (key, self.digest(key), view, item.id, item.digest, self.metric(metric))
        with self.network() as embedder:  # the page asks for both photos of a pair at once
            if asked not in self._explained:
                self.photo(key)
                self._explained[asked] = explain(
                    self.gallery, embedder, self.path(key), item, metric=metric, view=view
                )
                while len(self._explained) > EXPLAINED:
                    self._explained.popitem(last=False)
            return self._explained[asked]

    def alike(self, item: Item) -> list[Match] | None:
        """Return what shows the same picture, nearest first; None while that is found out.

        Photos of equal bytes, and those nearer than near-duplicates are.
        """
        state = self.near.state
        if state.value is None and state.problem is None:
            self.near.start(None)
            return None
        found = self.gallery.search(
            self.gallery.vectors([item]),
            20,
            exclude=[(item.id,)],
            max_distance=state.value or 0.0,
            metric="plain",
        )
        return found[0]

    # Changes

    def add(self, key: str, label: str | None) -> Added:
        """Put a photo that was handed in into the gallery."""
        _, vector = self.read(key)
        vectors = Vectors(vector[None], self.gallery.fingerprint)
        with self.network() as embedder:
            return add_photo(self.gallery, embedder, self.path(key), label=label, vector=vectors)

    # What takes a while

    def made(self, what: Made[T]) -> tuple[Making[T], bool]:
        """Return how far something is, and whether the gallery has changed since it was made.

        It is begun if it was never made.
        """
        contents = self.contents()
        if what.state.value is None and what.state.problem is None:
            what.start(contents)
        state = what.state
        return state, state.value is not None and state.contents != contents

    def the_atlas(self) -> Atlas:
        """Return the map; Refused (404) before it is made."""
        atlas = self.atlas.state.value
        if atlas is None:
            raise Refused(404, "no_map", "the map is not made yet", "Look at /map")
        return atlas

    def contents(self) -> tuple[str, str]:
        """Return what changes when photos or labels do, or the metric."""
        revision = self.gallery.store.revision()
        if self._contents is None or self._contents[0] != revision:
            now = self.gallery.metric, labelling(self.gallery.items())["digest"]
            self._contents = revision, now
        return self._contents[1]
