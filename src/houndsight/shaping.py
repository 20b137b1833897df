"""From a photo's bytes to what indexing keeps of it: size, thumbnail, the network's pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houndsight import images
from houndsight.preprocess import Preprocessing

__all__ = ["Shaped", "shaped"]


@dataclass(frozen=True, slots=True, eq=False)
class Shaped:
    """A photo that was decoded.

    Attributes
    ----------
    width, height
        Pixels, upright.
    thumbnail
        A JPEG of at most 256 px.
    pixels
        float32 (3, size, size).
    """

    width: int
    height: int
    thumbnail: bytes
    pixels: NDArray[np.float32]


def shaped(data: bytes, path: bytes, shape: Preprocessing) -> Shaped:
    """Decode a photo.

    Parameters
    ----------
    data, path
        As for `images.decode`.
    shape
        What makes the network's pixels of it.

    Raises
    ------
    ImageError
        As `images.decode` does.
    """
    decoded = images.decode(data, path=path, at_least=shape.decode_at_least)
    return Shaped(
        decoded.width, decoded.height, images.thumbnail(decoded.image), shape(decoded.image)
    )
