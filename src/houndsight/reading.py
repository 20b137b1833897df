"""Reads photos for indexing: bytes, digest, thumbnail, and the pixels that the network takes.

What is here knows no gallery, and can be sent to other machines.
"""

import os
from collections.abc import Callable, Collection, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from houndsight import images, remote
from houndsight.ahead import ahead
from houndsight.errors import ImageError
from houndsight.preprocess import Preprocessing
from houndsight.shaping import Shaped, shaped
from houndsight.types import Found

__all__ = ["Read", "Reader", "Source"]

# A file, and what reads its bytes.
Source: TypeAlias = tuple[Found, Callable[[], images.File]]


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """What was read of a file.

    Attributes
    ----------
    found
        The file as it was listed.
    digest, size, mtime_ns
        SHA-256 of its bytes, how many there are, and when they changed last.
    width, height
        Pixels, upright; 0 where it was not decoded, as a photo of these bytes is known.
    thumbnail
        A JPEG of at most 256 px.
    pixels
        float32 (3, size, size); None where it was not decoded.
    reason
        Why it cannot be read; then nothing but `found` counts.
    passing
        Whether that reason may be gone the next time, though the file is the same.
    """

    found: Found
    digest: bytes = b""
    size: int = 0
    mtime_ns: int = 0
    width: int = 0
    height: int = 0
    thumbnail: bytes | None = None
    pixels: NDArray[np.float32] | None = None
    reason: str | None = None
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the photos of a root.

    Attributes
    ----------
    place
        The root.
    shape
        What makes the network's pixels of a photo.
    known
        Digests of photos that need not be decoded.
    shaper
        What decodes: `shaped`, or `houndsight.isolation.Workers`.
    """

    place: bytes
    shape: Preprocessing
    known: Collection[bytes]
    shaper: Callable[[bytes, bytes, Preprocessing], Shaped] = shaped

    def sources(self, work: Iterable[Found]) -> Generator[Source]:
        """Go through files with what reads each; those at an address are read ahead already."""
        if remote.is_address(self.place):
            # Little of this is work: most is waiting for the other side.
            fetching = remote.FETCHING
            yield from ahead(self._fetch, work, threads=fetching, depth=2 * fetching)
        else:
            yield from ((found, partial(images.read, self._path(found))) for found in work)

    def _path(self, found: Found) -> bytes:
        return os.path.join(self.place, found.path)

    def _fetch(self, found: Found) -> Source:
        try:
            file = images.read(self._path(found))
        except ImageError as error:
            return found, partial(_again, error)
        return found, lambda: file

    def __call__(self, source: Source) -> Read:
        """Read one photo; what goes wrong with it is told in what is returned."""
        found, get = source
        try:
            file = get()
            digest = file.digest
            # At an address only the listing knows when it changed. Bytes that are newer than that
            # are looked at once more the next time.
            mtime_ns = file.mtime_ns or found.mtime_ns
            if digest in self.known:
                return Read(found, digest, len(file.data), mtime_ns)
            made = self.shaper(file.data, self._path(found), self.shape)
        except ImageError as error:
            # What the system refused (rights, a lost drive) is tried again each time, and so is
            # what lacks an extra, which may be installed by then.
            passing = isinstance(error.__cause__, (OSError, ImportError)) or found.size < 0
            return Read(found, reason=error.reason, passing=passing)
        return Read(
            found,
            digest,
            len(file.data),
            mtime_ns,
            made.width,
            made.height,
            made.thumbnail,
            made.pixels,
        )


def _again(error: ImageError) -> images.File:
    raise error
