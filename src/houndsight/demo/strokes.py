"""What the drawings are made of: limbs (a curve with a thickness), colours, and a canvas.

Everything in a drawn dog is a limb, from the trunk to the tip of the tail. A limb grown by the
width of the line and drawn beneath is its outline; limbs drawn as one group share one outline,
which is why legs and neck run into the trunk without a seam.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

from PIL import Image, ImageChops, ImageDraw

__all__ = ["Area", "Canvas", "Colour", "Knot", "Limb", "Placement", "limb", "mix", "turned"]

Colour: TypeAlias = tuple[int, int, int]
Knot: TypeAlias = tuple[float, float, float]


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return the colour that is `share` (0 to 1) of the way from `one` to `other`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def turned(x: float, y: float, angle: float) -> tuple[float, float]:
    """Return (x, y) turned about the origin by `angle` radians, from x towards y."""
    cos, sin = math.cos(angle), math.sin(angle)
    return x * cos - y * sin, x * sin + y * cos


@dataclass(frozen=True, slots=True)
class Limb:
    """A smooth curve through knots (x, y, radius); one knot is a disc.

    Attributes
    ----------
    knots
        In the order in which the curve (Catmull-Rom) runs through them.
    fluff
        0 for a smooth edge; else the size of the tufts along it, as a share of the radius.
    """

    knots: tuple[Knot, ...]
    fluff: float = 0.0

    def samples(self) -> list[Knot]:
        """Return points along the curve, near enough to one another for a smooth edge."""
        knots = (self.knots[0], *self.knots, self.knots[-1])
        points: list[Knot] = []
        for a, b, c, d in zip(knots, knots[1:], knots[2:], knots[3:], strict=False):
            steps = 2 + int(6 * math.dist(b[:2], c[:2]) / max(0.02, min(b[2], c[2])))
            count = min(steps, 14)
            for t in (step / count for step in range(count)):
                x, y, r = (
                    q
                    + t
                    / 2
                    * (s - p + t * (2 * p - 5 * q + 4 * s - u + t * (3 * q - 3 * s + u - p)))
                    for p, q, s, u in zip(a, b, c, d, strict=True)
                )
                points.append((x, y, max(r, 0.004)))
        points.append(self.knots[-1])
        return points

    def tufts(self) -> list[Knot]:
        """Return the discs that stand out along the edge of a fluffy limb."""
        if not self.fluff:
            return []
        points = self.samples()
        spots: list[tuple[Knot, float]] = []
        walked = 0.0
        for (x0, y0, _), here in pairwise(points):
            x, y, r = here
            walked += math.hypot(x - x0, y - y0)
            if walked > 0.42 * r:
                walked = 0.0
                along = math.atan2(y - y0, x - x0)
                spots += [(here, along - 1.9), (here, along + 1.9)]
        spots += [(end, float(angle)) for end in (points[0], points[-1]) for angle in range(6)]
        return [
            (x + math.cos(angle) * r * 0.82, y + math.sin(angle) * r * 0.82, r * self.fluff)
            for (x, y, r), angle in spots
        ]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a drawing stands on a canvas: its origin in pixels, scale, facing, slant."""

    x: float
    y: float
    scale: float
    flip: bool = False
    angle: float = 0.0

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel for a point of the drawing, whose y points up."""
        x, y = turned(x, y, self.angle)
        return self.x + (-x if self.flip else x) * self.scale, self.y - y * self.scale


@dataclass(frozen=True, slots=True)
class Area:
    """A part of a canvas: a mask, and where its upper left corner lies."""

    mask: Image.Image
    x: int
    y: int

    def within(self, other: Area) -> Area:
        """Return what both areas, which share their frame, cover."""
        return Area(ImageChops.multiply(self.mask, other.mask), self.x, self.y)

    def without(self, other: Area) -> Area:
        """Return what the other area, which shares the frame, leaves uncovered."""
        return Area(ImageChops.subtract(self.mask, other.mask), self.x, self.y)

    def underside(self, depth: int, strength: float) -> Area:
        """Return the lower edge of the area, as a weak mask to shade it with."""
        above = ImageChops.offset(self.mask, -depth // 4, -depth)
        low = ImageChops.subtract(self.mask, above)
        return Area(low.point([round(v * strength) for v in range(256)]), self.x, self.y)


class Canvas:
    """A picture being drawn, with a light that colours what is drawn in it.

    Parameters
    ----------
    size
        Width and height in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.image = Image.new("RGB", size)
        self.width, self.height = size
        self.draw = ImageDraw.Draw(self.image)
        self.light: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def lit(self, colour: Colour) -> Colour:
        """Return the colour as it looks in this light."""
        red, green, blue = (min(255, round(c * f)) for c, f in zip(colour, self.light, strict=True))
        return red, green, blue

    def area(
        self,
        limbs: Iterable[Limb],
        place: Placement,
        grow: float = 0.0,
        *,
        frame: Area | None = None,
    ) -> Area:
        """Return what the limbs cover, each thicker by `grow` on every side.

        Only the frame around them is held, or that of another area, which keeps small parts cheap.
        """
        paths = [(limb.samples(), limb.tufts()) for limb in limbs]
        if frame is None:
            dots = [
                (*place(x, y), (r + grow) * place.scale)
                for points, tufts in paths
                for x, y, r in points + tufts
            ]
            pad = 0.12 * place.scale  # room for the shaded underside to be moved in
            left = math.floor(min(x - r for x, _, r in dots) - pad)
            top = math.floor(min(y - r for _, y, r in dots) - pad)
            width = math.ceil(max(x + r for x, _, r in dots) + pad) - left
            height = math.ceil(max(y + r for _, y, r in dots) + pad) - top
            frame = Area(Image.new("L", (width, height)), left, top)
        mask = Image.new("L", frame.mask.size)
        draw = ImageDraw.Draw(mask)
        place = replace(place, x=place.x - frame.x, y=place.y - frame.y)
        for points, tufts in paths:
            for (x0, y0, r0), (x1, y1, r1) in pairwise(points):
                length = math.hypot(x1 - x0, y1 - y0) or 1.0
                nx, ny = (y0 - y1) / length, (x1 - x0) / length
                a, b = r0 + grow, r1 + grow
                corners = [
                    place(x0 + nx * a, y0 + ny * a),
                    place(x1 + nx * b, y1 + ny * b),
                    place(x1 - nx * b, y1 - ny * b),
                    place(x0 - nx * a, y0 - ny * a),
                ]
                draw.polygon(corners, fill=255)
            for x, y, r in points + tufts:
                (px, py), pr = place(x, y), (r + grow) * place.scale
                draw.ellipse((px - pr, py - pr, px + pr, py + pr), fill=255)
        return Area(mask, frame.x, frame.y)

    def fill(self, area: Area, colour: Colour) -> None:
        """Paint an area in one colour."""
        self.image.paste(self.lit(colour), (area.x, area.y), area.mask)

    def veil(self, box: Sequence[float], colour: Colour, strength: float) -> None:
        """Lay an ellipse of a colour over the picture, as strong as `strength` (0 to 1)."""
        left, top, right, bottom = (round(v) for v in box)
        mask = Image.new("L", (max(1, right - left), max(1, bottom - top)))
        level = round(255 * strength)
        ImageDraw.Draw(mask).ellipse((0, 0, right - left - 1, bottom - top - 1), fill=level)
        self.image.paste(self.lit(colour), (left, top), mask)

    def gradient(self, top: Colour, bottom: Colour, from_y: float, to_y: float) -> None:
        """Fill the full width between two heights (shares of the height) with a gradient."""
        first, last = round(from_y * self.height), round(to_y * self.height)
        for y in range(first, last):
            self.draw.line(
                [(0, y), (self.width, y)], fill=mix(top, bottom, (y - first) / (last - first))
            )

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """Draw an ellipse; all lengths, like those of `shape`, are shares of the height."""
        u = self.height
        self.draw.ellipse(((x - rx) * u, (y - ry) * u, (x + rx) * u, (y + ry) * u), fill=colour)

    def shape(self, points: Sequence[tuple[float, float]], colour: Colour) -> None:
        """Draw a polygon."""
        u = self.height
        self.draw.polygon([(x * u, y * u) for x, y in points], fill=colour)

    def block(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """Draw a rectangle."""
        u = self.height
        self.draw.rectangle((x0 * u, y0 * u, x1 * u, y1 * u), fill=colour)


def limb(*knots: Knot, fluff: float = 0.0) -> Limb:
    """Return the limb through the knots."""
    return Limb(knots, fluff)
