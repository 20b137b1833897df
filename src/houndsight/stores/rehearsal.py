"""A local store whose changes stay in a copy of its catalogue, which is gone when it is closed."""

import contextlib
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight.maps import Space
from houndsight.stores import layout
from houndsight.stores.local import LocalStore
from houndsight.stores.migrating import bring

__all__ = ["RehearsalStore"]


class RehearsalStore(LocalStore):
    """A store that reads a gallery's files and writes none of them.

    The copy is SQLite's temporary database: in memory, or where that is full in a file that the
    system deletes. Vectors that are put into it are not kept: they read as zeros.

    Parameters
    ----------
    folder
        An existing gallery; or with `documents` the place of one that is not there yet.
    dim, documents
        Of the gallery that is not there yet.
    """

    def __init__(
        self, folder: Path, dim: int = 0, documents: Mapping[str, Any] | None = None
    ) -> None:
        self._new = (dim, documents)
        super().__init__(folder)

    def _check_place(self) -> None:
        if self._new[1] is None:
            super()._check_place()

    def _connect(self) -> sqlite3.Connection:
        copy = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        dim, documents = self._new
        if documents is not None:
            layout.fill_catalogue(copy, dim, documents)
        else:
            with contextlib.closing(layout.connect(self.folder)) as catalogue:
                catalogue.backup(copy)
        return copy

    def _migrate(self) -> None:
        bring(self._db, self.folder)

    @contextlib.contextmanager
    def appending(self) -> Iterator[None]:
        """Let everybody go on: nothing is written that could be in another's way."""
        yield

    def _append(self, vectors: list[NDArray[np.float32]]) -> list[tuple[int, int]]:
        first = self._end()
        crc = zlib.crc32(bytes(4 * int(self.dim)))
        return [(first + n, crc) for n in range(len(vectors))]

    def _stored(self, generation: int) -> int:
        """Return how many rows the vector file has."""
        with contextlib.suppress(FileNotFoundError):
            size = layout.vector_file(self.folder, generation).stat().st_size
            return int(size) // (4 * int(self.dim))
        return 0

    def _rows(self, generation: int, rows: list[int]) -> NDArray[np.float32]:
        there = self._stored(generation)
        found = np.zeros((len(rows), self.dim), np.float32)
        inside = [n for n, row in enumerate(rows) if row < there]
        found[inside] = super()._rows(generation, [rows[n] for n in inside])
        return found

    def _map(self, generation: int, rows: int) -> NDArray[np.float32]:
        there = min(rows, self._stored(generation))
        mapped = super()._map(generation, there)
        if there == rows:
            return mapped
        return np.concatenate([mapped, np.zeros((rows - there, self.dim), np.float32)])

    def tidy(self, space: Space) -> None:
        """Leave what makes searches quick as it is."""

    def compact(self) -> int:
        """Return how many bytes would be gained; forget in the copy what would be forgotten."""
        with self.transaction():
            file = layout.vector_file(self.folder, self._current_generation())
            return file.stat().st_size - len(self._renumber()) * 4 * int(self.dim)
