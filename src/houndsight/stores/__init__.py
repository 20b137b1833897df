"""Keep items, vectors and named documents, and find neighbours; know nothing of images."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from houndsight.maps import Space
from houndsight.stores.indexes import Index
from houndsight.types import Item, Where

__all__ = ["Indexed", "Store"]

T = TypeVar("T")


class Store(Protocol):
    """What a gallery needs of a place to keep things.

    A document is a JSON value under a name such as ``settings`` or ``skipped/1/...``.
    """

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Make what is read and written inside all or nothing, and alone."""
        ...

    def appending(self) -> AbstractContextManager[None]:
        """Hold the right to add many vectors; GalleryBusy if another process holds it.

        A transaction that puts a few vectors needs it not, and loses none beside one who holds it.
        """
        ...

    def items(self, ids: Collection[int] | None = None) -> list[Item]:
        """Return items by id, all when `ids` is None; removed ones too; ordered by id."""
        ...

    def ids(self, where: Where) -> NDArray[np.int64]:
        """Return the ids of live items, (n,), in the order in which their vectors were added."""
        ...

    def labels(self) -> dict[str | None, int]:
        """Return how many live items have each label, or None."""
        ...

    def with_digests(self, digests: Collection[bytes], *, given_up: bool = False) -> list[Item]:
        """Return the items of which the store holds the vector, with one of these digests.

        With `given_up` also those whose vector `compact` gave up.
        """
        ...

    def at(self, root: int, paths: Collection[bytes]) -> list[Item]:
        """Return the items of a root at these paths; removed ones too."""
        ...

    def put(self, items: Sequence[Item], vectors: Mapping[int, NDArray[np.float32]]) -> None:
        """Write items; `vectors` holds those that are new or have changed, by item id.

        A new item that is removed already may have none.
        """
        ...

    def vectors(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the vectors (n, dim) of items, removed ones too, in the order asked for."""
        ...

    def candidates(
        self,
        queries: NDArray[np.float32],
        k: int,
        where: Where,
        space: Space,
        looked_at: int | None = None,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """For each query ids of live items that surely contain its k nearest in a space.

        With their vectors as stored, (n, dim). The queries are in that space already; a store may
        keep its items' vectors in it. With `looked_at` they contain them most likely: only so many
        vectors need be looked at in full.
        """
        ...

    def tidy(self, space: Space) -> None:
        """Bring up to date what makes searches in a space quick; never needed for their answers."""
        ...

    def shortcut(self, space: Space) -> str:
        """Return what names the way an approximate search takes; empty where it is exact."""
        ...

    def document(self, name: str, missing: Any = None) -> Any:
        """Return a document; `missing` where there is none of this name."""
        ...

    def documents(self, prefix: str) -> dict[str, Any]:
        """Return the documents whose names begin so, by name, in order of their names."""
        ...

    def names(self, prefix: str) -> list[str]:
        """Return the names of the documents that begin so, in order."""
        ...

    def put_document(self, name: str, body: Any | None) -> None:
        """Write a document; None takes it away."""
        ...

    def file(self, name: str) -> bytes:
        """Return a file that the gallery was made with; OSError if it cannot be read."""
        ...

    def revision(self) -> int:
        """Return a number that changes when anything was committed, by any process."""
        ...

    def at_one_moment(self, read: Callable[[], T]) -> T:
        """Return what `read` does; all that it reads from the store is of one moment.

        It writes nothing, and may be called again where others write meanwhile.
        """
        ...

    def verify(self) -> list[str]:
        """Return what is damaged, one sentence each; nothing when all is well."""
        ...

    def compact(self) -> int:
        """Give back the room of removed and superseded vectors; returns bytes gained."""
        ...

    def close(self) -> None:
        """Release files."""
        ...


@runtime_checkable
class Indexed(Protocol):
    """A store that can have an index for approximate searches, beside what makes it exact.

    `Store.candidates` uses it where `looked_at` is given, which then is what searches of that index
    are told, and `Store.shortcut` names it.
    """

    def count(self) -> int:
        """Return how many live items there are, without reading them."""
        ...

    def index(self) -> Index | None:
        """Return the index that is there, built to the end and up to date; None for none."""
        ...

    def why_exact(self) -> str:
        """Return why the last search that might be approximate was not; empty where it was."""
        ...

    def build_index(self, index: Index, progress: Callable[[int, int], None]) -> None:
        """Build an index of the stored vectors, in the place of one that is there.

        `progress` is called with how many vectors are in, and how many will be. Stopped at any
        moment, there is none, and all else is as it was.
        """
        ...

    def drop_index(self) -> None:
        """Take the index away, if there is one; GalleryBusy while another process builds one."""
        ...
