"""Shapes a decoded photo into what a network takes (preprocessing version 1)."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from houndsight.errors import InputError

__all__ = ["RESAMPLING", "VERSION", "Channels", "Preprocessing", "Resample", "Resize"]

VERSION = 1
Resize = Literal["squash", "crop"]
Channels = Literal["RGB", "BGR"]
Resample = Literal["bicubic", "bilinear", "lanczos", "box", "hamming", "nearest"]
RESAMPLING = {name: Image.Resampling[name.upper()] for name in get_args(Resample)}
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
        ``squash``: the whole photo to a square; ``crop``: short side to `shorter`, then the centre.
    scale, mean, std
        A channel value of 0..255 becomes ``(value * scale - mean) / std``, in the order `channels`.
    channels
        Order of the channels.
    resample
        Pillow's filter that photos are resized with.
    shorter
        The short side before the centre is taken, in pixels; round(size * 256 / 224) when None.
    """

    size: int
    resize: Resize
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: Channels = "RGB"
    resample: Resample = "bicubic"
    shorter: int | None = None

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
        if self.shorter is not None and not self.size <= self.shorter <= 2 * MAX_SIZE:
            raise InputError(
                f"the short side {self.shorter} is not usable",
                remedy=f"Take one from the image size, {self.size}, to {2 * MAX_SIZE}",
            )

    @property
    def decode_at_least(self) -> int:
        """Pixels that a side may not fall below when a JPEG is decoded at a reduced size."""
        return 2 * max(self.size, self.shorter or 0)

    @property
    def mean_colour(self) -> tuple[int, int, int]:
        """The 8-bit colour nearest to what becomes zeros: the mean of the photos trained on."""
        red, green, blue = (
            min(255, max(0, round(mean / self.scale))) for mean in self._rgb(self.mean)
        )
        return red, green, blue

    def settings(self) -> dict[str, Any]:
        """Return the settings and the version, for the fingerprint.

        Those that came later are left out where they have no effect: galleries made before them
        keep their fingerprint.
        """
        made = {"version": VERSION, **asdict(self)}
        later: dict[str, Any] = {"channels": "RGB", "resample": "bicubic", "shorter": None}
        return {name: value for name, value in made.items() if later.get(name, made) != value}

    def _rgb(self, values: tuple[float, float, float]) -> tuple[float, float, float]:
        """Turn numbers in the order `channels` to R, G, B."""
        first, middle, last = values
        return values if self.channels == "RGB" else (last, middle, first)

    def __call__(self, image: Image.Image) -> NDArray[np.float32]:
        """Shape an RGB image into float32 (3, size, size)."""
        square = self._squash(image) if self.resize == "squash" else self._crop(image)
        gain = np.float32(self.scale) / np.asarray(self.std, np.float32)
        shift = np.asarray(self.mean, np.float32) / np.asarray(self.std, np.float32)
        bands = square.split() if self.channels == "RGB" else square.split()[::-1]
        # Channel by channel into its place: a quarter of what it takes on all, and then in order.
        pixels = np.empty((3, self.size, self.size), np.float32)
        for n, band in enumerate(bands):
            np.multiply(np.asarray(band), gain[n], out=pixels[n])
            pixels[n] -= shift[n]
        return pixels

    def seen(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return the box of an image that the network sees: left, top, right, bottom in pixels."""
        if self.resize == "squash":
            return 0.0, 0.0, float(width), float(height)
        x0, y0, x1, y1 = _without_far_ends(width, height)
        (wide, high), (left, top) = self._centre(x1 - x0, y1 - y0)
        across, down = (x1 - x0) / wide, (y1 - y0) / high
        return (
            x0 + left * across,
            y0 + top * down,
            x0 + (left + self.size) * across,
            y0 + (top + self.size) * down,
        )

    def _squash(self, image: Image.Image) -> Image.Image:
        return self._resized(image, self.size, self.size)

    def _crop(self, image: Image.Image) -> Image.Image:
        middle = _without_far_ends(*image.size)
        if middle != (0, 0, *image.size):
            image = image.crop(middle)
        (width, height), (left, top) = self._centre(*image.size)
        square = (left, top, left + self.size, top + self.size)
        return self._resized(image, width, height).crop(square)

    def _centre(self, *size: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the size that `crop` gives an image, and the corner of the square it takes."""
        if self.shorter is not None:
            # All is cut off to whole pixels, as transformers does: its networks get the very
            # pixels that they were trained with.
            width, height = (side * self.shorter // min(size) for side in size)
            return (width, height), ((width - self.size) // 2, (height - self.size) // 2)
        short = round(self.size * CROP_RATIO)
        factor = short / min(size)
        width, height = (max(short, round(side * factor)) for side in size)
        corner = round((width - self.size) / 2), round((height - self.size) / 2)
        return (width, height), corner

    def _resized(self, image: Image.Image, width: int, height: int) -> Image.Image:
        if image.size == (width, height):
            return image
        return image.resize((width, height), RESAMPLING[self.resample])


def _without_far_ends(width: int, height: int) -> tuple[int, int, int, int]:
    longest = LONGEST * min(width, height)
    left, top = (max(0, side - longest) // 2 for side in (width, height))
    return left, top, width - left, height - top
