"""What of a photo is looked at: a part of it, or all but some parts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from houndsight.errors import InputError, printable

__all__ = ["WHOLE", "Box", "Crop", "View"]

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, counted from the upper left corner."""

REMEDY = (
    "Write x,y,width,height from the upper left corner: 40,60,200,150 in pixels, 10,20,50,50% in "
    "per cent of the photo"
)
# More than any decoder makes: a JPEG is at most 65,535 pixels wide or high.
FULL_SIZE = 1 << 16
# Parts that are painted over where the model's colour is not known.
GREY = (127, 127, 127)


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of a photo, as it is seen upright (after EXIF orientation) and at full size.

    Attributes
    ----------
    x, y
        Upper left corner, counted from the photo's, 0 or more.
    width, height
        Above 0.
    percent
        Whether the four are per cent of the photo's width and height, else whole pixels.

    Raises
    ------
    InputError
        If it is empty, or begins or ends outside every photo.
    """

    x: float
    y: float
    width: float
    height: float
    percent: bool = False

    def __post_init__(self) -> None:
        numbers = (self.x, self.y, self.width, self.height)
        if not all(math.isfinite(number) for number in numbers) or (
            not self.percent and any(number != int(number) for number in numbers)
        ):
            raise InputError(f"{self} is no part of a photo", remedy=REMEDY)
        if self.width <= 0 or self.height <= 0:
            raise InputError(f"the part {self} is empty", remedy=REMEDY)
        # 33.4 + 66.6 and their like may come out a little above 100.
        beyond = self.percent and max(self.x + self.width, self.y + self.height) > 100 + 1e-9
        if self.x < 0 or self.y < 0 or beyond:
            raise InputError(f"the part {self} reaches beyond the photo", remedy=REMEDY)

    @classmethod
    def parse(cls, text: str) -> Crop:
        """Read ``x,y,width,height``: pixels, or per cent with % after each number or the last.

        Raises
        ------
        InputError
            If the text is malformed, or names no part of a photo.
        """
        number = r"\s*(-?[0-9]+(?:\.[0-9]+)?)\s*"
        for sign, last in (("", ""), ("", "%"), ("%", "%")):
            pattern = f"{sign},".join([number] * 4) + last + r"\s*"
            if match := re.fullmatch(pattern, text):
                x, y, width, height = map(float, match.groups())
                return cls(x, y, width, height, percent=bool(last))
        raise InputError(f"'{printable(text)}' is no part of a photo", remedy=REMEDY)

    def __str__(self) -> str:
        numbers = ",".join(f"{n:.10g}" for n in (self.x, self.y, self.width, self.height))
        return numbers + "%" * self.percent

    def fractions(self, width: int, height: int) -> Box:
        """Return the box as fractions, 0 to 1, of a photo's width and height in pixels.

        Raises
        ------
        InputError
            If it reaches beyond the photo. It is not cut down to what lies inside: that would
            search for something else than was asked for.
        """
        right, bottom = self.x + self.width, self.y + self.height
        if self.percent:
            return self.x / 100, self.y / 100, min(right / 100, 1.0), min(bottom / 100, 1.0)
        if right > width or bottom > height:
            raise InputError(
                f"the part {self} reaches beyond the photo, which is {width} x {height} pixels",
                remedy="Name a part that lies inside, or give it in per cent",
            )
        return self.x / width, self.y / height, right / width, bottom / height


@dataclass(frozen=True, slots=True)
class View:
    """What of a photo the network gets to see.

    Attributes
    ----------
    crop
        Only this part; ``None`` for the whole photo.
    without
        Parts that are painted over in the colour that the network takes for nothing. They are
        parts of the photo, not of `crop`.
    """

    crop: Crop | None = None
    without: tuple[Crop, ...] = ()

    def at_least(self, side: int) -> int:
        """Return how large to decode a photo so that `side` pixels are left of the crop's sides."""
        if self.crop is None:
            return side
        if not self.crop.percent:
            return FULL_SIZE  # what part of the photo it is, only its size will tell
        return math.ceil(side * 100 / min(self.crop.width, self.crop.height))

    def fractions(self, width: int, height: int) -> Box:
        """Return the box of the crop as fractions of the photo's width and height."""
        return (0.0, 0.0, 1.0, 1.0) if self.crop is None else self.crop.fractions(width, height)

    def __call__(
        self, image: Image.Image, full: tuple[int, int], colour: tuple[int, int, int] = GREY
    ) -> Image.Image:
        """Return what is to be seen of an image.

        Parameters
        ----------
        image
            RGB, upright, at full or reduced size.
        full
            Width and height in pixels that the photo has at full size.
        colour
            What parts are painted over with.

        Raises
        ------
        InputError
            If a part reaches beyond the photo, or nothing is left to be seen.
        """
        if self == WHOLE:
            return image
        kept = Image.new("L", image.size, 255)
        for part in self.without:  # rounded outwards, so that no edge of it shows
            kept.paste(0, _pixels(part.fractions(*full), image.size, math.floor, math.ceil))
        box = _pixels(self.fractions(*full), image.size, round, round)
        if kept.crop(box).getbbox() is None:
            raise InputError(
                "nothing of the photo is left to be seen", remedy="Leave out less of it"
            )
        painted = Image.composite(image, Image.new("RGB", image.size, colour), kept)
        return painted.crop(box)


def _pixels(
    box: Box, size: tuple[int, int], low: Callable[[float], int], high: Callable[[float], int]
) -> tuple[int, int, int, int]:
    """Return a box of fractions in whole pixels, one or more each way."""
    ends: list[tuple[int, int]] = []
    for side, start, end in zip(size, box[:2], box[2:], strict=True):
        # 0.3 of 10 pixels may come out as 3.0000000000000004, which is not to be rounded up to 4.
        first = min(low(round(start * side, 6)), side - 1)
        ends.append((first, max(high(round(end * side, 6)), first + 1)))
    (left, right), (top, bottom) = ends
    return left, top, right, bottom


WHOLE = View()
