"""The picture grid: a query, and its neighbours in rank order with label and distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from houndsight.errors import InputError
from houndsight.render.sheet import PAPER, QUIET, Box, Colour, Sheet

__all__ = ["Tile", "grid"]

# Bluish green and vermilion of Okabe and Ito's palette, which differ in lightness as well as in
# hue; the check mark and the cross say the same without any colour.
RIGHT: Colour = (0, 158, 115)
WRONG: Colour = (213, 94, 0)
OVERSAMPLING = 4


@dataclass(frozen=True, slots=True)
class Tile:
    """One photo in the grid.

    Attributes
    ----------
    picture
        The photo, or ``None`` where it is missing.
    title
        Its label, or what stands for none.
    note
        A second line: the distance, and perhaps more.
    right
        Whether the label is the query's; ``None`` where that is unknown.
    """

    picture: Image.Image | None
    title: str
    note: str
    right: bool | None


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where everything stands, in pixels."""

    tile: int
    count: int
    columns: int

    @property
    def gap(self) -> int:
        return round(self.tile * 0.13)

    @property
    def text(self) -> int:
        return max(10, round(self.tile * 0.09))

    @property
    def caption(self) -> int:
        """Height of the two lines under a photo."""
        return round(self.text * 2.9)

    @property
    def heading(self) -> int:
        return round(self.text * 2.4)

    @property
    def border(self) -> int:
        return max(3, round(self.tile * 0.03))

    @property
    def margin(self) -> int:
        return round(self.tile * 0.15)

    @property
    def large(self) -> int:
        """Side of the query's photo."""
        return round(self.tile * 1.6)

    @property
    def left(self) -> int:
        """Left edge of the neighbours."""
        return self.margin + self.large + 2 * self.margin

    @property
    def top(self) -> int:
        return self.margin + self.heading

    @property
    def rows(self) -> int:
        return math.ceil(self.count / self.columns)

    @property
    def query(self) -> Box:
        return self.margin, self.top, self.margin + self.large, self.top + self.large

    def cell(self, index: int) -> Box:
        """Return the square of a neighbour's photo."""
        row, column = divmod(index, self.columns)
        x = self.left + column * (self.tile + self.gap)
        y = self.top + row * (self.tile + self.caption + self.gap)
        return x, y, x + self.tile, y + self.tile

    @property
    def size(self) -> tuple[int, int]:
        columns, rows = max(self.columns, 1), max(self.rows, 1)
        wide = columns * (self.tile + self.gap) - self.gap
        high = rows * (self.tile + self.caption + self.gap) - self.gap
        return (
            self.left + wide + self.margin,
            self.top + max(high, self.large + self.caption) + self.margin,
        )


def _columns(count: int) -> int:
    """Return how many columns suit: one row while it is short, else half as wide again as high."""
    if count <= 6:
        return max(count, 1)
    about = round(math.sqrt(1.5 * count))
    return min(range(about - 1, about + 2), key=lambda columns: (-count % columns, -columns))


class _Sheet(Sheet):
    """The picture being made."""

    def __init__(self, layout: _Layout) -> None:
        super().__init__(layout.size, text=layout.text, border=layout.border)
        self.layout = layout

    def mark(self, box: Box, *, right: bool) -> None:
        """Draw the border, and in the upper right corner the check mark or the cross."""
        x0, y0, x1, y1 = box
        colour = RIGHT if right else WRONG
        border = self.layout.border
        frame = (x0 - border, y0 - border, x1 + border - 1, y1 + border - 1)
        self.draw.rectangle(frame, outline=colour, width=border)
        side = round(self.layout.tile * 0.19)
        big = side * OVERSAMPLING
        badge = Image.new("RGBA", (big, big))
        draw = ImageDraw.Draw(badge)
        draw.ellipse((0, 0, big - 1, big - 1), fill=PAPER)
        edge = big * 0.07
        draw.ellipse((edge, edge, big - 1 - edge, big - 1 - edge), fill=colour)
        strokes = (
            [[(0.28, 0.53), (0.44, 0.68), (0.73, 0.35)]]
            if right
            else [[(0.33, 0.33), (0.67, 0.67)], [(0.33, 0.67), (0.67, 0.33)]]
        )
        thick = round(big * 0.12)
        for stroke in strokes:
            points = [(x * big, y * big) for x, y in stroke]
            draw.line(points, fill=PAPER, width=thick, joint="curve")
            for x, y in (points[0], points[-1]):
                r = thick / 2
                draw.ellipse((x - r, y - r, x + r, y + r), fill=PAPER)
        small = badge.resize((side, side), Image.Resampling.LANCZOS)
        inset = round(side * 0.2)
        self.image.paste(small, (x1 - side - inset, y0 + inset), small)


def grid(
    query: Tile, neighbours: Sequence[Tile], *, columns: int | None = None, tile: int = 160
) -> Image.Image:
    """Draw a query and its neighbours.

    Parameters
    ----------
    query
        Stands at the left, larger; its `right` is not shown.
    neighbours
        Nearest first; there may be none.
    columns
        Neighbours in a row; what suits their number by default.
    tile
        Side of a neighbour's photo in pixels, 48 or more.

    Returns
    -------
    PIL.Image.Image
        The picture, RGB.

    Raises
    ------
    InputError
        `columns` is less than 1, or `tile` less than 48.
    """
    if columns is not None and columns < 1:
        raise InputError("a picture grid needs at least 1 column")
    if tile < 48:
        raise InputError("the photos of a picture grid are at least 48 pixels wide")
    count = len(neighbours)
    per_row = _columns(count) if columns is None else min(columns, max(count, 1))
    layout = _Layout(tile, count, per_row)
    sheet = _Sheet(layout)
    size, (x, y, right_edge, _) = round(layout.text * 1.15), layout.query
    head = y - layout.border - round(size * 1.6)
    sheet.write((x, head), "query", width=layout.large, size=size, colour=QUIET)
    sheet.photo(query.picture, layout.query)
    sheet.caption((x, y, right_edge, y + layout.large), query.title, query.note)
    room = layout.size[0] - layout.margin - layout.left
    words = "nearest neighbours" if count else "no neighbours"
    sheet.write((layout.left, head), words, width=room, size=size, colour=QUIET)
    for index, neighbour in enumerate(neighbours):
        box = layout.cell(index)
        sheet.photo(neighbour.picture, box)
        if neighbour.right is not None:
            sheet.mark(box, right=neighbour.right)
        sheet.caption(box, neighbour.title, neighbour.note, rank=index + 1)
    return sheet.image
