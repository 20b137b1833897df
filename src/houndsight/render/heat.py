"""Heat maps over pairs of photos: how much each region adds to what makes the two alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from houndsight.errors import InputError
from houndsight.render.lettering import font_for
from houndsight.render.sheet import PAPER, QUIET, TEXT, Box, Sheet, flat

__all__ = ["OVERLAY", "Heated", "common_scale", "heat", "overlay"]

# Each ramp grows lighter and more opaque from 0 on, so that it is ordered without its hue over all
# but the lightest ground; orange and blue stay apart for every kind of colour blindness (Okabe and
# Ito), and the photo below is grey.
MORE = ((150, 40, 40), (230, 100, 16), (255, 226, 96))
LESS = ((24, 64, 150), (24, 130, 216), (168, 240, 255))
OPAQUE = 0.8
# Of a colour's lightness, this much is the photo's, so that its lines stay to be seen.
DRAWN = 0.3
# Of the photo's own lightness, so that the lightest of it stays darker than a ramp's end.
DIMMED = 0.62
# What the network did not see keeps this much of itself; the rest is paper.
UNSEEN = 0.3
LEGEND_GREY = 128
OVERLAY = 640  # the longer side of a photo alone, at most


@dataclass(frozen=True, slots=True, eq=False)
class Heated:
    """One photo, and what its regions add.

    Attributes
    ----------
    picture
        The whole photo, upright, or ``None`` where it is missing.
    title, note
        Two lines below it.
    shares
        float64 (h, w): a grid that lies evenly over what was seen; ``None`` where nothing is known.
    seen
        What was seen of it: left, top, right, bottom as fractions of its width and height.
    """

    picture: Image.Image | None
    title: str
    note: str
    shares: NDArray[np.float64] | None = None
    seen: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where everything stands, in pixels: one pair side by side, several one above the other."""

    tile: int
    pairs: int

    @property
    def text(self) -> int:
        return max(11, round(self.tile * 0.05))

    @property
    def gap(self) -> int:
        return round(self.text * 1.4)

    @property
    def margin(self) -> int:
        return round(self.text * 1.8)

    @property
    def top(self) -> int:
        return self.margin + round(self.text * 2.4)

    @property
    def caption(self) -> int:
        return round(self.text * 3.2)

    @property
    def columns(self) -> int:
        return max(self.pairs, 2)

    @property
    def legend(self) -> int:
        """Upper edge of the legend."""
        rows = 1 if self.pairs == 1 else 2
        return self.top + rows * (self.tile + self.caption + self.gap)

    @property
    def size(self) -> tuple[int, int]:
        wide = self.columns * (self.tile + self.gap) - self.gap
        return wide + 2 * self.margin, self.legend + round(self.text * 2.2) + self.margin

    def cell(self, pair: int, side: int) -> Box:
        """Return the square of a pair's query (side 0) or item (side 1)."""
        column, row = (side, 0) if self.pairs == 1 else (pair, side)
        x = self.margin + column * (self.tile + self.gap)
        y = self.top + row * (self.tile + self.caption + self.gap)
        return x, y, x + self.tile, y + self.tile


def heat(
    pairs: Sequence[tuple[Heated, Heated]], *, title: str, legend: str, tile: int | None = None
) -> Image.Image:
    """Draw queries and items with heat maps of one common scale.

    Parameters
    ----------
    pairs
        Query and item, one or more; the pairs in rank order.
    title
        A line above.
    legend
        What a share is, for the legend.
    tile
        Side of a photo in pixels, 48 or more; what suits the number of pairs by default.

    Returns
    -------
    PIL.Image.Image
        The picture, RGB. The photos are grey; orange to yellow is what a region adds, blue what it
        takes away, both the lighter the more.

    Raises
    ------
    InputError
        `tile` is less than 48, or there is no pair.
    """
    if tile is not None and tile < 48:
        raise InputError("the photos of a heat map are at least 48 pixels wide")
    if not pairs:
        raise InputError("there is no pair of photos to draw")
    layout = _Layout(tile or (400 if len(pairs) == 1 else 240), len(pairs))
    sheet = Sheet(layout.size, text=layout.text, border=0)
    shares = [one.shares for pair in pairs for one in pair if one.shares is not None]
    low = min((float(grid.min()) for grid in shares), default=0.0)
    high = max((float(grid.max()) for grid in shares), default=0.0)
    scale = common_scale(shares)
    width = layout.size[0] - 2 * layout.margin
    size = round(layout.text * 1.15)
    sheet.write((layout.margin, layout.margin), title, width=width, size=size, colour=TEXT)
    for number, pair in enumerate(pairs):
        for side, one in enumerate(pair):
            box = layout.cell(number, side)
            photo = one.picture
            if photo is not None:
                photo = overlay(photo, one.shares, one.seen, scale, side=layout.tile)
            sheet.photo(photo, box)
            rank = number + 1 if side and len(pairs) > 1 else None
            sheet.caption(box, one.title, one.note, rank=rank)
    _legend(sheet, layout, legend, min(low, 0.0), max(high, 0.0), scale)
    return sheet.image


def common_scale(grids: Iterable[NDArray[np.float64]]) -> float:
    """Return the share that gets the strongest colour where all these grids are compared.

    It is the greatest of them, whether it adds or takes away, and 1 where all are 0.
    """
    return max((float(np.abs(grid).max()) for grid in grids), default=0.0) or 1.0


def overlay(
    picture: Image.Image,
    shares: NDArray[np.float64] | None,
    seen: tuple[float, float, float, float],
    scale: float,
    *,
    side: int | None = None,
) -> Image.Image:
    """Lay a heat map over a photo, and write nothing.

    Parameters
    ----------
    picture, shares, seen
        As in `Heated`.
    scale
        The share that gets the strongest colour, from `common_scale`.
    side
        The longer side of what is returned, in pixels; by default the photo's own, 640 at most.

    Returns
    -------
    PIL.Image.Image
        RGB: the photo in grey; what was seen of it is under the heat, the rest is faded.
    """
    picture = flat(picture)
    longer = max(picture.size)
    factor = (side or min(longer, OVERLAY)) / longer
    wide, high = (max(1, round(length * factor)) for length in picture.size)
    grey = picture.resize((wide, high), Image.Resampling.LANCZOS).convert("L")
    ground = np.asarray(grey, np.float64)[..., None].repeat(3, axis=2)
    out = UNSEEN * ground + (1 - UNSEEN) * np.asarray(PAPER, np.float64)
    left, right = (round(end * wide) for end in seen[::2])
    top, bottom = (round(end * high) for end in seen[1::2])
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    values = np.zeros((bottom - top, right - left))
    if shares is not None:
        values = _smooth(shares, right - left, bottom - top) / scale
    out[top:bottom, left:right] = _blended(ground[top:bottom, left:right], values)
    return Image.fromarray(np.rint(out).astype(np.uint8))


def _smooth(shares: NDArray[np.float64], wide: int, high: int) -> NDArray[np.float64]:
    """Enlarge a grid without steps, and without values beyond its own, which would be made up."""
    grid = Image.fromarray(shares.astype(np.float32))
    large = np.asarray(grid.resize((wide, high), Image.Resampling.BICUBIC), np.float64)
    return large.clip(shares.min(), shares.max())


def _blended(ground: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lay the colours of values (h, w), -1 to 1, over grey (h, w, 3) of 0 to 255."""
    amount = np.abs(values)
    stops = np.linspace(0, 1, len(MORE))
    colours = np.empty((*values.shape, 3))
    for channel in range(3):
        more, less = (
            np.interp(amount, stops, [stop[channel] for stop in ramp]) for ramp in (MORE, LESS)
        )
        colours[..., channel] = np.where(values < 0, less, more)
    colours *= 1 - DRAWN + DRAWN * ground / 255
    # Steep at first, so that small shares are seen, but no edge where they change their sign.
    opaque = (OPAQUE * amount * (2 - amount))[..., None]
    blended: NDArray[np.float64] = opaque * colours + (1 - opaque) * DIMMED * ground
    return blended


def _legend(
    sheet: Sheet, layout: _Layout, words: str, low: float, high: float, scale: float
) -> None:
    """Draw the scale of colours, from the least share to the greatest, 0 among them."""
    text, y = layout.text, layout.legend
    wide, thick = round(layout.tile * 0.9), text
    values = np.linspace(low, high, wide) / scale
    ground = np.full((thick, wide, 3), float(LEGEND_GREY))
    bar = _blended(ground, np.broadcast_to(values, (thick, wide)))
    x = layout.margin
    sheet.image.paste(Image.fromarray(np.rint(bar).astype(np.uint8)), (x, y))
    small = max(9, round(text * 0.9))
    taken: list[tuple[float, float]] = []
    for value in (0.0, *{low, high} - {0.0}):  # what is hardly below 0 needs no number beside it
        at = x + (value - low) / ((high - low) or 1.0) * (wide - 1)
        number = f"{value:.2g}"
        length = font_for(number, small).getlength(number)
        left = min(max(at - length / 2, x), x + wide - length)
        right = left + length + text * 0.3
        if all(right < other or left > end for other, end in taken):
            taken.append((left, right))
            sheet.draw.line((at, y + thick, at, y + thick + text * 0.3), fill=QUIET)
            sheet.write(
                (left, y + thick + text * 0.4), number, width=wide, size=small, colour=QUIET
            )
    start = x + wide + layout.gap
    room = layout.size[0] - layout.margin - start
    sheet.write((start, y - text * 0.1), words, width=room, size=text, colour=QUIET)
