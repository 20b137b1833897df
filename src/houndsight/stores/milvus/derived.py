"""Collections that are made of the items' vectors, and kept up to date by whoever writes.

What is in one can be made again at any moment, so whatever fails with it costs it, and nothing
else.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from houndsight.errors import DamagedGallery, GalleryBusy, GalleryError
from houndsight.stores.milvus.client import Field, Server
from houndsight.stores.milvus.lease import Lease
from houndsight.stores.milvus.rows import ITEMS, LIVE
from houndsight.stores.milvus.texts import Texts

__all__ = ["MAP", "Alone", "Derived", "Row", "names"]

MADE = "made."  # what the keys of the texts begin with that say what the collections are
MAP = "map."  # and of those that hold what maps the vectors, where something does
TOGETHER = 1000  # vectors that are copied while nobody else writes
PATIENCE_S = 1.0  # so that of two who make one at once one gets it

Row = Mapping[str, Any]
# Holds the right to write, with no journal left; gives what raises GalleryError if it was lost.
Alone = Callable[[], contextlib.AbstractContextManager[Callable[[], None]]]
Progress = Callable[[int, int], None]


def names(texts: Texts) -> list[str]:
    """Return the names of the collections that whoever writes has to keep up to date."""
    return [key.removeprefix(MADE) for key in texts.keys(MADE)]


class Derived:
    """A collection of what is made of each live item's vector.

    A text beside the journal says what it is, and whether it is whole. It is there before the
    collection is, so that whoever writes keeps it up to date from then on, and until that is gone:
    while it says that the collection is whole, that has all live items but those in the journal.

    Parameters
    ----------
    name
        The collection's.
    dim, stored
        How many numbers a vector has in it, and an item's; for what is only taken away, none.
    """

    called = ""  # in messages, and what to do where it is damaged
    remedy = ""
    # What the text has of its own, and of which type.
    says: Sequence[tuple[str, type]] = ()
    # Fields of an item that a row is made of, and what a row has beside id and vector.
    taken: Sequence[str] = ("id", "vector")
    more: Sequence[Field] = ()
    flat = True

    def __init__(
        self, server: Server, texts: Texts, name: str, dim: int = 0, stored: int = 0
    ) -> None:
        self._server = server
        self._texts = texts
        self.name = name
        self._dim = dim
        self._size, self._size_of_item = 4 * dim, 4 * stored
        self._loaded = ""  # the build that was

    # What it is

    def told(self) -> dict[str, Any] | None:
        """Return what it is, whole or not; None where there is none, or that cannot be read."""
        told: Any = None
        with contextlib.suppress(DamagedGallery, ValueError):
            found = self._texts.read([MADE + self.name]).get(MADE + self.name)
            told = None if found is None else json.loads(found[1])
        says = (*self.says, ("build", str), ("whole", bool))
        fits = isinstance(told, dict) and all(isinstance(told.get(n), kind) for n, kind in says)
        return told if fits else None

    def whole(self) -> dict[str, Any] | None:
        """Return what it is, with the number of its `build`; None unless it is whole."""
        told = self.told()
        return told if told is not None and told["whole"] else None

    def _tell(self, told: Mapping[str, Any]) -> None:
        self._texts.write({MADE + self.name: json.dumps(told)}, 0)

    def _fields(self) -> list[Field]:
        id_: Field = ("id", "INT64", {"is_primary": True})
        return [id_, *self.more, ("vector", "FLOAT_VECTOR", {"dim": self._dim})]

    def _made(self, items: Sequence[Row]) -> list[dict[str, Any]]:
        """Return the rows that are made of live items."""
        return [{"id": item["id"], "vector": item["vector"]} for item in items]

    # Read

    def search(
        self,
        build: str,
        queries: Sequence[Any],
        limit: int,
        condition: str,
        told: Mapping[str, int] | None = None,
    ) -> list[list[dict[str, Any]]] | None:
        """Return for each query the nearest rows as `Server.search` does.

        None where that build was taken away or made anew, before or meanwhile.
        """
        found: list[list[dict[str, Any]]] | None = None
        failed: GalleryError | None = None
        try:
            self._load(build)
            found = self._server.search(self.name, queries, limit, condition, told)
        except GalleryError as error:
            failed = error
        now = self.whole()
        if now is None or now["build"] != build:
            return None
        if failed is not None:
            self._loaded = ""  # whatever it was that has let go of it
            raise failed
        return found

    def _load(self, build: str) -> None:
        if self._loaded != build:  # Milvus Lite forgets it with its process
            self._server.load(self.name)
            self._loaded = build

    def every(self) -> Iterator[list[dict[str, Any]]]:
        """Yield all that is in it, some at a time."""
        self._server.load(self.name)
        out = [name for name, *_ in self._fields()]
        return self._server.every(self.name, "", out, self._size)

    def differences(self, live: Collection[int], passed: Collection[int]) -> tuple[int, int]:
        """Return how many live items it lacks, and how many rows are not as they would be made.

        But for those that are `passed` over, by id.
        """
        left, wrong = {*live} - {*passed}, 0
        for some in self.every():
            there = {int(row["id"]): row for row in some if int(row["id"]) not in passed}
            left -= there.keys()
            made = {int(row["id"]): row for row in self._made(self._items(list(there)))}
            wrong += sum(id_ not in made or not _same(row, made[id_]) for id_, row in there.items())
        return len(left), wrong

    def _items(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """Return what live items have of what rows are made of."""
        return self._server.rows(ITEMS, "id", ids, self.taken, LIVE, self._size_of_item)

    # Kept up to date

    def follow(self, items: Sequence[Row], new: Collection[int], gone: Sequence[int]) -> None:
        """Take in items that are about to be written; to be called by who has the right to write.

        Before they are in their collection, so that if a process is killed between the two, what
        finishes its journal does this again.

        Parameters
        ----------
        items
            As they are to be.
        new
            The ids of those whose vectors are new.
        gone
            The ids of items that are forgotten.
        """
        wanted = self._wanted([item for item in items if not item["removed"]], new)
        try:
            removed = [item["id"] for item in items if item["removed"]]
            self._server.delete(self.name, [*gone, *removed])
            self._write(wanted)
        except GalleryError:
            self.drop()  # nor must what is not up to date stay; where that fails, it is done again

    def _wanted(self, live: Sequence[Row], new: Collection[int]) -> Sequence[Row]:  # noqa: ARG002
        """Return those of the items whose rows here are others by now."""
        return live

    def _write(self, items: Sequence[Row]) -> None:
        if items:
            self._server.write(self.name, self._made(items), self._size)

    # Made and taken away

    def drop(self) -> None:
        """Take it away; to be called by who has the right to write.

        The text goes last: of one that is killed meanwhile it tells who writes to go on.
        """
        told = self.told()
        if told is not None and told["whole"]:
            self._tell({**told, "whole": False})
        self._remove(self.name)
        self._texts.remove([MADE + self.name, MAP + self.name])

    def _remove(self, collection: str) -> None:
        if self._server.has(collection):
            self._server.drop(collection)

    @contextlib.contextmanager
    def _right(self, what: str) -> Iterator[None]:
        """Hold the right to make it."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(Lease(self._server, self.name).held(PATIENCE_S))
            except GalleryBusy as error:
                raise GalleryBusy(
                    f"another process is building {what} for this gallery",
                    path=self._server.address,
                    remedy="Wait until it is done; if it was killed, a minute at most",
                ) from error
            yield

    def _build(
        self,
        what: Mapping[str, Any],
        ids: Callable[[], Sequence[int]],
        alone: Alone,
        progress: Progress = lambda *_: None,
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        """Make it anew of all live items; to be called by who has the right to make it.

        Others may write meanwhile: what they change, they change here too, from the first moment
        on, and each step here is one in which nobody else writes.

        Parameters
        ----------
        what
            What it is, for the text.
        ids
            Returns the ids of live items.
        progress
            Called with how many items are in, and how many will be.
        finish
            Called once they are.
        """
        told = {**what, "build": uuid.uuid4().hex[:8], "whole": False}
        with alone() as surely:
            self.drop()  # also what a killed process has left
            surely()
            with self._whole_or_gone(told, alone):
                self._begin(told)
                self._server.make(self.name, self._fields(), flat=self.flat, derived=True)
        with self._whole_or_gone(told, alone):
            every = list(ids())
            for start in range(0, len(every), TOGETHER):
                with alone() as surely:
                    items = self._items(every[start : start + TOGETHER])
                    self._check_still(told)
                    surely()
                    self._write(items)
                progress(min(start + TOGETHER, len(every)), len(every))
            finish()
            with alone() as surely:
                self._check_still(told)
                self.settle()
                surely()
                self._tell({**told, "whole": True})

    def _begin(self, told: Mapping[str, Any]) -> None:
        """Write down what is to be made."""
        self._tell(told)

    def settle(self) -> None:
        """Have Milvus Lite put rows where reading is quick; by who has the right to write."""
        if self.flat:  # an index of few rows is made with warnings, or not at all
            self._server.settle(self.name)

    @contextlib.contextmanager
    def _whole_or_gone(self, told: Mapping[str, Any], alone: Alone) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with contextlib.suppress(GalleryError), alone():
                now = self.told()
                if now is not None and now["build"] == told["build"]:  # none of another's
                    self.drop()
            raise

    def _check_still(self, told: Mapping[str, Any]) -> None:
        if self.told() != told:
            raise GalleryError(
                f"what was being built, {self._server.name(self.name)}, was taken away meanwhile "
                "by another process, which could not write into it or has begun it anew",
                path=self._server.address,
                remedy="Run the command again",
            )


def _same(row: Row, other: Row) -> bool:
    """Return whether rows are equal, but for what float32 rounds otherwise on another machine."""
    a, b = (np.array(one["vector"], np.float64) for one in (row, other))
    return bool(
        np.linalg.norm(a - b) <= 2.0**-22 * np.linalg.norm(b)
        and all(row[name] == value for name, value in other.items() if name != "vector")
    )
