"""Paints a dog onto a canvas: behind, trunk, legs, head, face."""

from __future__ import annotations

import math
from collections.abc import Sequence

from houndsight.demo.anatomy import Dog
from houndsight.demo.markings import on_body, on_feet, on_head, on_tail
from houndsight.demo.strokes import Area, Canvas, Colour, Limb, Placement, limb, mix

__all__ = ["paint"]

INK: Colour = (52, 38, 40)
WHITE: Colour = (252, 248, 240)
PINK: Colour = (240, 128, 136)
COLLARS: tuple[Colour, ...] = (
    (206, 62, 62),
    (46, 116, 190),
    (240, 184, 52),
    (82, 152, 92),
    (142, 88, 168),
)
LINE = 0.021


class _Painter:
    """Paints one dog; every method adds one layer on top of the last."""

    def __init__(self, canvas: Canvas, dog: Dog, place: Placement) -> None:
        self.canvas, self.dog, self.place = canvas, dog, place
        self.marks = on_body(dog)

    def group(
        self,
        limbs: Sequence[Limb],
        colour: Colour,
        *,
        marks: Sequence[Limb] = (),
        seam: Sequence[Limb] = (),
        shading: float = 0.14,
        line: float = LINE,
    ) -> Area:
        """Paint limbs as one shape: outline (none along `seam`), colour, markings, shading."""
        canvas, place = self.canvas, self.place
        outline = canvas.area(limbs, place, line)
        if seam:
            outline = outline.without(canvas.area(seam, place, frame=outline))
        canvas.fill(outline, INK)
        area = canvas.area(limbs, place)
        canvas.fill(area, colour)
        if marks:
            canvas.fill(area.within(canvas.area(marks, place, frame=area)), self.dog.breed.second)
        if shading:
            canvas.fill(area.underside(round(0.07 * place.scale), shading), (40, 20, 60))
        return area

    def ear(self, *, near: bool) -> None:
        """Paint one ear; the far one stands behind the head, and darker."""
        dog = self.dog
        colour = mix(dog.breed.ear, dog.coat, 0.05)
        dx = 0.0 if near else 0.42
        inner: list[Limb] = []
        kind = dog.breed.ears
        if kind == "pointed":
            lean = -0.16 if near else 0.1
            ear = dog.of_head(
                (-0.38 + dx, 0.55, 0.36),
                (-0.42 + dx + lean * 0.6, 1.0, 0.24),
                (-0.42 + dx + lean, 1.5, 0.03),
            )
            inner = [
                dog.of_head(
                    (-0.36 + dx, 0.72, 0.17),
                    (-0.4 + dx + lean * 0.6, 1.0, 0.12),
                    (-0.41 + dx + lean, 1.3, 0.02),
                )
            ]
        elif kind == "round":
            ear = dog.of_head((-0.5 + dx * 1.6, 0.86, 0.36))
            inner = [dog.of_head((-0.46 + dx * 1.6, 0.84, 0.2))]
        elif kind == "floppy":
            ear = dog.of_head(
                (-0.2 + dx, 0.78, 0.16),
                (-0.55 + dx, 0.78, 0.22),
                (-0.78 + dx, 0.35, 0.3),
                (-0.7 + dx, -0.05, 0.2),
            )
        else:
            ear = dog.of_head(
                (-0.1 + dx, 0.72, 0.16),
                (-0.38 + dx, 0.5, 0.28),
                (-0.46 + dx, -0.3, 0.36),
                (-0.36 + dx, -0.98, 0.38),
            )
        if not near:
            colour = mix(colour, (40, 20, 40), 0.22)
        self.group([ear], colour, shading=0.1 if near else 0)
        if inner:
            self.canvas.fill(self.canvas.area(inner, self.place), mix(colour, PINK, 0.4))

    def collar(self, area: Area) -> None:
        """Paint a collar over the neck, which is an area already painted."""
        dog, canvas = self.dog, self.canvas
        (x0, y0, _), (x1, y1, r1), _ = dog.neck.knots
        along = math.atan2(dog.head_at[1] - y0, dog.head_at[0] - x0)
        nx, ny = -math.sin(along) * r1 * 1.25, math.cos(along) * r1 * 1.25
        bow = 0.03
        band = limb(
            (x1 + nx, y1 + ny, 0.035),
            (x1 + bow * math.cos(along) - 0.02, y1 - bow, 0.035),
            (x1 - nx, y1 - ny, 0.035),
        )
        colour = dog.rng.choice(COLLARS)
        for grow, shade in ((0.014, INK), (0.0, colour)):
            canvas.fill(area.within(canvas.area([band], self.place, grow, frame=area)), shade)
        self.group(
            [limb((x1 - nx * 0.62 + 0.02, y1 - ny * 0.62 - 0.07, 0.034))],
            (246, 200, 70),
            shading=0,
            line=0.013,
        )

    def head(self) -> None:
        """Paint the face: snout, eye, nose, mouth, and now and then a tongue."""
        dog, canvas, place, breed = self.dog, self.canvas, self.place, self.dog.breed
        long, thick = breed.snout, breed.muzzle
        tip = 0.72 + long
        skull = Limb(dog.of_head((0.0, 0.0, 1.0)).knots, breed.fluff * 0.8)
        snout = dog.of_head(
            (0.3, -0.22, 0.62), (0.6 + long * 0.4, -0.32, (thick + 0.5) / 2), (tip, -0.38, thick)
        )
        self.group([skull, snout], dog.coat, marks=on_head(dog, snout))
        self.mouth(tip, thick)
        nose = dog.of_head(
            (tip + thick * 0.62, -0.38 + thick * 0.5, 0.17),
            (tip + thick * 0.78, -0.38 + thick * 0.42, 0.15),
        )
        canvas.fill(canvas.area([nose], place), (38, 28, 34))
        canvas.fill(
            canvas.area(
                [dog.of_head((tip + thick * 0.66, -0.38 + thick * 0.5 + 0.07, 0.045))], place
            ),
            (150, 140, 150),
        )
        self.eye()

    def mouth(self, tip: float, thick: float) -> None:
        dog, canvas = self.dog, self.canvas
        low = -0.38 - thick * 0.25
        lips = dog.of_head(
            (tip + thick * 0.55, low + 0.1, 0.03),
            (tip + thick * 0.1, low - 0.12, 0.035),
            (0.75, low - 0.14, 0.035),
            (0.48, low + 0.02, 0.03),
        )
        if dog.rng.random() < 0.4:
            x = 0.75 + 0.45 * (tip - 0.72)
            tongue = dog.of_head(
                (x, low - 0.14, 0.15), (x + 0.06, low - 0.42, 0.17), (x + 0.05, low - 0.62, 0.15)
            )
            self.group([tongue], PINK, shading=0, line=0.016)
            crease = dog.of_head((x + 0.02, low - 0.2, 0.02), (x + 0.05, low - 0.5, 0.02))
            canvas.fill(canvas.area([crease], self.place), (206, 92, 104))
        canvas.fill(canvas.area([lips], self.place), INK)

    def eye(self) -> None:
        dog, canvas, place = self.dog, self.canvas, self.place

        def dot(x: float, y: float, r: float, colour: Colour) -> None:
            canvas.fill(canvas.area([dog.of_head((x, y, r))], place), colour)

        if dog.rng.random() < 0.08:  # asleep, or blinking
            lid = dog.of_head((0.22, 0.16, 0.035), (0.38, 0.09, 0.04), (0.54, 0.16, 0.035))
            canvas.fill(canvas.area([lid], place), INK)
            return
        dot(0.38, 0.16, 0.25, INK)
        dot(0.38, 0.16, 0.2, WHITE)
        dot(0.42, 0.14, 0.165, (62, 38, 30))
        dot(0.43, 0.14, 0.11, (24, 16, 20))
        dot(0.48, 0.21, 0.06, (255, 255, 255))


def paint(canvas: Canvas, dog: Dog, place: Placement) -> None:
    """Paint a dog, with its shadow on the ground.

    Parameters
    ----------
    canvas
        Already holds the surroundings, and their light.
    dog
        The dog.
    place
        Where its origin stands, at which scale, and which way it faces.
    """
    painter = _Painter(canvas, dog, place)
    left, _, right, _ = dog.box()
    lift = 0.1 if dog.pose == "running" else 0.0
    (x0, y0), (x1, _) = place(left * 0.9, -0.02 - lift * 0.3), place(right * 0.85, 0)
    y = (place(0, -lift * 0.5)[1] + y0) / 2
    half = 0.075 * place.scale
    canvas.veil((min(x0, x1), y - half, max(x0, x1), y + half), (30, 30, 40), 0.28)
    behind = mix(dog.coat, (40, 20, 50), 0.24)
    painter.group(dog.far, behind, marks=painter.marks + on_feet(dog, dog.far))
    painter.group([dog.tail], dog.coat, marks=on_tail(dog))
    painter.ear(near=False)
    trunk = [dog.trunk, dog.neck, *dog.near]
    area = painter.group(trunk, dog.coat, marks=painter.marks + on_feet(dog, dog.near))
    if dog.haunch is not None:
        x, y, r = dog.haunch.knots[0]
        painter.group(
            [dog.haunch],
            dog.coat,
            marks=painter.marks + on_feet(dog, [dog.haunch]),
            seam=[limb((x - 0.75 * r, y + 0.35 * r, r), (x - 0.25 * r, y + 0.55 * r, 0.9 * r))],
        )
    painter.head()
    if dog.rng.random() < 0.55:
        painter.collar(area)
    painter.ear(near=True)
