"""Shapes a decoded photo into what a network takes (preprocessing version 1)."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from houndsight.errors import InputError

__all__ = ["VERSION", "Preprocessing", "Resize"]

VERSION = 1
Resize = Literal["squash", "crop"]
# torchvision's evaluation rule: short side to 256, then the central 224.
CROP_RATIO = 256 / 224
MIN_SIZE, MAX_SIZE = 32, 2048
# Of a longer strip only so much of the middle is enlarged for `crop`: 65,000 x 1 pixels, short side
# to 256, would fill 13 GB.
LONGEST = 16


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a photo becomes numbers: everything that goes into the fingerprint.

    Attributes
    ----------
    size
        Side of the square that the network sees, in pixels, 32 to 2048.
    resize
        ``squash``: the whole photo to a square; ``crop``: short side to round(size * 256 / 224),
        then the centre.
    scale, mean, std
        A channel value of 0..255 becomes ``(value * scale - mean) / std``, in the order R, G, B.
    """

    size: int
    resize: Resize
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not MIN_SIZE <= self.size <= MAX_SIZE:
            raise InputError(
                f"the image size {self.size} is not usable",
                remedy=f"Take one from {MIN_SIZE} to {MAX_SIZE}; 224 is what the networks saw",
            )
        if self.resize not in ("squash", "crop"):
            raise InputError(
                f"the resize rule '{self.resize}' does not exist", remedy="Take squash or crop"
            )

    @property
    def decode_at_least(self) -> int:
        """Pixels that a side may not fall below when a JPEG is decoded at a reduced size."""
        return 2 * self.size

    def settings(self) -> dict[str, Any]:
        """Return the settings and the version, for the fingerprint."""
        return {"version": VERSION, **asdict(self)}

    def __call__(self, image: Image.Image) -> NDArray[np.float32]:
        """Shape an RGB image into float32 (3, size, size)."""
        square = self._squash(image) if self.resize == "squash" else self._crop(image)
        pixels = np.asarray(square, dtype=np.float32)
        gain = np.float32(self.scale) / np.asarray(self.std, np.float32)
        shift = np.asarray(self.mean, np.float32) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray((pixels * gain - shift).transpose(2, 0, 1))

    def _squash(self, image: Image.Image) -> Image.Image:
        return _resized(image, self.size, self.size)

    def _crop(self, image: Image.Image) -> Image.Image:
        image = _without_far_ends(image)
        short = round(self.size * CROP_RATIO)
        factor = short / min(image.size)
        width, height = (max(short, round(side * factor)) for side in image.size)
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        return _resized(image, width, height).crop((left, top, left + self.size, top + self.size))


def _without_far_ends(image: Image.Image) -> Image.Image:
    longest = LONGEST * min(image.size)
    if max(image.size) <= longest:
        return image
    left, top = (max(0, side - longest) // 2 for side in image.size)
    return image.crop((left, top, image.width - left, image.height - top))


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC)
