"""A store in Milvus whose changes stay in memory, and are gone when it is closed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from houndsight.errors import InputError
from houndsight.maps import Space
from houndsight.stores.address import Address
from houndsight.stores.indexes import Index
from houndsight.stores.milvus.changes import Changes
from houndsight.stores.milvus.client import Server
from houndsight.stores.milvus.making import document_text
from houndsight.stores.milvus.store import MilvusStore

__all__ = ["MilvusRehearsal"]


class MilvusRehearsal(MilvusStore):
    """A store that reads a gallery's collections and writes nothing into them.

    Parameters
    ----------
    address
        Of an existing gallery; or with `documents` of one that is not there yet.
    dim, documents
        Of the gallery that is not there yet.
    """

    def __init__(
        self, address: Address, dim: int = 0, documents: Mapping[str, Any] | None = None
    ) -> None:
        if documents is None:
            super().__init__(address)
            self._kept = self._read_state()[1]
        else:
            self.address, self.dim = address, dim
            texts = {name: document_text(body) for name, body in documents.items()}
            self._kept = Changes(documents=dict(texts))
            self._begin(_Nothing())

    def _connect(self, address: Address) -> Server:
        return _Reading(address)

    def _seen(self) -> Changes:
        return self._kept if self._changes is None else self._changes

    def revision(self) -> int:
        """Return a number that changes with every change here; those of others do not count."""
        return self._steps

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is read and written inside all or nothing."""
        with self._lock:
            if self._changes is not None:
                yield
                return
            self._changes = self._kept.then(Changes(self._kept.serial))
            try:
                yield
                self._kept = self._changes
            except BaseException:
                self._steps += 1
                raise
            finally:
                self._changes = None
                self._known.clear()

    @contextlib.contextmanager
    def appending(self) -> Iterator[None]:
        """Let everybody go on: nothing is written that could be in another's way."""
        yield

    def _sweep(self) -> None:
        pass

    def tidy(self, space: Space) -> None:
        """Leave what makes searches quick as it is."""

    def _forget_mapped(self) -> None:
        pass

    def build_index(self, index: Index, progress: Callable[[int, int], None]) -> None:  # noqa: ARG002
        """Raise InputError: what an index finds is known when it is there."""
        raise InputError("an index cannot be rehearsed", path=self.address)

    def drop_index(self) -> None:
        """Leave it."""


class _Reading(Server):
    """A server that is only read: what would write fails, and is a mistake here."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a rehearsal is about to write")

    make = build = drop = write = delete = settle = _refuse


class _Nothing:
    """A server without rows."""

    def rows(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return []

    def every(self, *_: Any, **__: Any) -> Iterator[list[dict[str, Any]]]:
        return iter(())

    def count(self, *_: Any) -> int:
        return 0

    def close(self) -> None:
        pass
