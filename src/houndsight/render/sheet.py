"""What pictures of answers are put together from: photos in squares, and lines of text."""

from __future__ import annotations

from typing import TypeAlias

from PIL import Image, ImageDraw

from houndsight.render.labels import one_line
from houndsight.render.lettering import fitted, font_for, shown

__all__ = ["MAT", "PAPER", "QUIET", "TEXT", "Box", "Colour", "Sheet", "flat"]

Colour: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[int, int, int, int]

PAPER: Colour = (255, 255, 255)
MAT: Colour = (240, 241, 243)  # around photos that are not square
TEXT: Colour = (32, 36, 42)
QUIET: Colour = (98, 105, 116)  # 5.6 : 1 on white


def flat(picture: Image.Image) -> Image.Image:
    """Return the picture in RGB, what is transparent over white."""
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        paper = Image.new("RGBA", picture.size, (*PAPER, 255))
        return Image.alpha_composite(paper, picture).convert("RGB")
    return picture.convert("RGB")


class Sheet:
    """The picture being made.

    Parameters
    ----------
    size
        Width and height in pixels.
    text
        Height of the letters.
    border
        Width of what may be drawn around a photo; captions keep that far away.
    """

    def __init__(self, size: tuple[int, int], *, text: int, border: int) -> None:
        self.text = text
        self.border = border
        self.image = Image.new("RGB", size, PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def write(
        self, at: tuple[float, float], text: str, *, width: float, size: int, colour: Colour
    ) -> None:
        """Write one line from its upper left corner, shortened to the width."""
        text = one_line(text)  # first, so that no font is chosen for a character that is not drawn
        font = font_for(text, size)
        line = fitted(shown(text, font), font, width)
        self.draw.text(at, line, font=font, fill=colour)

    def photo(self, picture: Image.Image | None, box: Box) -> None:
        """Fit a photo into a square without distortion."""
        x0, y0, x1, y1 = box
        side = x1 - x0
        self.draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=MAT)
        if picture is None:
            text = "photo not found"
            font = font_for(text, self.text)
            at = ((x0 + x1) / 2, (y0 + y1) / 2)
            line = fitted(text, font, side * 0.92)
            self.draw.text(at, line, font=font, fill=QUIET, anchor="mm")
            return
        scale = side / max(picture.size)
        wide, high = (max(1, round(length * scale)) for length in picture.size)
        fitting = flat(picture).resize((wide, high), Image.Resampling.LANCZOS)
        self.image.paste(fitting, (x0 + (side - wide) // 2, y0 + (side - high) // 2))

    def caption(self, box: Box, title: str, note: str, *, rank: int | None = None) -> None:
        """Write rank and label, and below them the note, under a photo."""
        x0, _, x1, y1 = box
        text = self.text
        y = y1 + self.border + text * 0.4
        x = float(x0)
        if rank is not None:
            number = f"{rank}"
            self.write((x, y), number, width=x1 - x0, size=text, colour=QUIET)
            x += font_for(number, text).getlength(number) + text * 0.5
        self.write((x, y), title, width=x1 - x, size=text, colour=TEXT)
        below = y + text * 1.25
        small = max(9, round(text * 0.9))
        self.write((x0, below), note, width=x1 - x0, size=small, colour=QUIET)
