"""What would happen: a gallery whose changes are forgotten, so that any verb can be tried on it."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from houndsight.embedder import Embedder
from houndsight.gallery.library import Gallery
from houndsight.models.spec import ModelSpec
from houndsight.preprocess import Resize
from houndsight.stores import Store
from houndsight.stores.opening import open_rehearsal
from houndsight.types import Item

__all__ = ["Difference", "Rehearsal", "blind"]


@dataclass(frozen=True, slots=True)
class Difference:
    """What would be another in a gallery.

    Attributes
    ----------
    what
        ``new``, ``back`` (after a removal), ``removed``, ``changed`` (other bytes), ``renamed``,
        ``label``, or ``forgotten`` (a removal that becomes final).
    before, after
        The item as it is and as it would be; None where there is none.
    """

    what: str
    before: Item | None
    after: Item | None


class _Blind:
    """A runtime without a network: every vector is zeros."""

    device = "none"

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.versions: dict[str, str] = {}

    def run(self, pixels: NDArray[np.float32], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        return [np.zeros((len(pixels), self.dim), np.float32) for _ in outputs]

    def single(self) -> "_Blind":
        return self


def blind(
    model: ModelSpec, *, image_size: int | None, resize: Resize | None, normalise: bool
) -> Embedder:
    """Return an embedder for a rehearsal of a gallery that is not there: it needs no weights."""
    return Embedder(
        model,
        _Blind(model.dim),
        weights_digest="0" * 64,
        image_size=image_size,
        resize=resize,
        normalise=normalise,
    )


class Rehearsal(Gallery):
    """A gallery as it is on the disk, of which no file is changed.

    Whatever is done with it is done in a copy of its catalogue, and forgotten when it is closed.
    Its embedder runs no network: photos that it takes in have vectors of zeros, so that searches
    mean nothing after that. Other processes may change the gallery meanwhile.

    Parameters
    ----------
    place
        The gallery's folder.
    embedder
        Where there is no gallery yet: what the new one would be made with, see `blind`.

    Raises
    ------
    GalleryError
        As for `Gallery`; or if a new one could not be made there.
    """

    def __init__(self, place: str | os.PathLike[str], embedder: Embedder | None = None) -> None:
        self._made_with = embedder
        super().__init__(place)
        self._before = {item.id: item for item in self.store.items()}

    def _open(self) -> Store:
        if self._made_with is None:
            return open_rehearsal(self.place)
        self.check_free(self.place)
        documents = {"settings": self._made_with.settings(), "roots": {}}
        return open_rehearsal(self.place, self._made_with.dim, documents)

    def embedder(self, progress: Callable[[int, int], None] | None = None) -> Embedder:  # noqa: ARG002
        """Return the gallery's embedder without its network; no weights are needed."""
        if self._made_with is not None:
            return self._made_with
        network = self._network() if "network" in self.settings["made_of"] else None
        runtime = _Blind(self.settings["dim"])
        return Embedder.reopen(self.settings, network=network, runtime=runtime)

    def differences(self) -> Iterator[Difference]:
        """Yield what is another by now than on the disk, item by item in order of their ids."""
        now = {item.id: item for item in self.store.items()}
        for id_ in sorted({*self._before, *now}):
            before, after = self._before.get(id_), now.get(id_)
            what = _what(before, after)
            if what is not None:
                yield Difference(what, before, after)

    # What would be written beside the store

    def keep_thumbnail(self, digest: bytes, picture: bytes) -> None:
        """Do nothing."""

    @contextlib.contextmanager
    def _copied(self, data: bytes, file: Path) -> Iterator[Callable[[], None]]:  # noqa: ARG002
        yield lambda: None

    def _delete(self, path: Path) -> None:
        pass


def _what(before: Item | None, after: Item | None) -> str | None:
    if before is None or after is None:
        if before is None and after is not None and after.removed is None:
            return "new"
        return "forgotten" if after is None else None
    if before.removed is None and after.removed is not None:
        return "removed"
    if after.removed is not None:
        return None
    if before.removed is not None:
        return "back"
    if before.digest != after.digest:
        return "changed"
    if before.path != after.path:
        return "renamed"
    return None if before.label == after.label else "label"
