"""Where a dog's coat has its second colour, as limbs that are clipped to the part they lie on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from houndsight.demo.anatomy import Dog
from houndsight.demo.strokes import Limb, limb

__all__ = ["on_body", "on_feet", "on_head", "on_tail"]


def on_body(dog: Dog) -> list[Limb]:
    """Return the markings of trunk and legs; spots and patches are drawn by lot."""
    rng = dog.rng
    (hx, hy), (cx, cy), r = dog.hip, dog.chest, dog.girth
    dx, dy = cx - hx, cy - hy
    marks: list[Limb] = []
    kinds = dog.breed.markings
    if "spots" in kinds:
        for _ in range(30):
            t, side = rng.uniform(-0.35, 1.3), rng.uniform(-1.0, 1.0) * r
            marks.append(limb((hx + dx * t, hy + dy * t + side, rng.uniform(0.025, 0.06))))
        for _ in range(8):  # on the legs
            x = rng.choice((hx, cx)) + rng.uniform(-0.1, 0.15)
            marks.append(limb((x, rng.uniform(0.1, 0.5) * hy, 0.03)))
    if "patches" in kinds:
        for t in (rng.uniform(-0.1, 0.15), rng.uniform(0.5, 0.75)):
            x, y = hx + dx * t, hy + dy * t + r * rng.uniform(0.2, 0.7)
            end = r * rng.uniform(0.35, 0.55)
            marks.append(limb((x - r * 0.3, y, r * 0.42), (x + r * 0.3, y + 0.05, end)))
    if "saddle" in kinds:
        length = math.hypot(dx, dy)
        ux, uy = -dy / length * r * 0.75, dx / length * r * 0.75
        marks.append(
            limb(
                (hx + ux, hy + uy, r * 0.7),
                (hx + dx / 2 + ux, hy + dy / 2 + uy, r * 0.55),
                (cx + ux - dx * 0.05, cy + uy, r * 0.72),
            )
        )
    if "bib" in kinds:
        marks.append(
            limb(
                (cx + r * 0.75, cy + r * 0.5, r * 0.45),
                (cx + r * 0.75, cy - r * 0.3, r * 0.55),
                (cx + r * 0.2, cy - r * 0.95, r * 0.3),
            )
        )
    return marks


def on_feet(dog: Dog, legs: Sequence[Limb]) -> list[Limb]:
    """Return the socks."""
    if "socks" not in dog.breed.markings:
        return []
    return [limb(*((x, y * 0.6, r * 1.5) for x, y, r in leg.knots[-2:])) for leg in legs]


def on_tail(dog: Dog) -> list[Limb]:
    """Return the tail's tip, or its root."""
    if dog.breed.markings & {"socks", "saddle", "spots"}:
        return [limb(*((x, y, r * 1.5) for x, y, r in dog.tail.knots[-2:]))]
    if "patches" in dog.breed.markings:
        return [limb(*((x, y, r * 1.2) for x, y, r in dog.tail.knots[:2]))]
    return []


def on_head(dog: Dog, snout: Limb) -> list[Limb]:
    """Return the markings of the face: mask, blaze, patch or freckles."""
    rng, kinds, thick = dog.rng, dog.breed.markings, dog.breed.muzzle
    tip = 0.72 + dog.breed.snout
    if "mask" in kinds:
        mask = limb(*((x, y, r * 1.04) for x, y, r in snout.knots[1:]))
        return [mask, dog.of_head((0.42, 0.02, 0.3))]
    if kinds & {"socks", "bib"}:
        return [
            dog.of_head((0.55, 0.95, 0.14), (0.62, 0.3, 0.16), (tip, -0.3, thick * 1.05)),
            dog.of_head((0.5, -0.62, 0.42), (tip, -0.6, thick)),
        ]
    if "patches" in kinds:
        return [dog.of_head((-0.3, 0.3, 0.78))]
    if "spots" in kinds:
        freckles = [
            (rng.uniform(0.3, tip), rng.uniform(-0.7, -0.1), rng.uniform(0.05, 0.09))
            for _ in range(7)
        ]
        return [*(dog.of_head(knot) for knot in freckles), dog.of_head((0.1, 0.3, 0.42))]
    return []
