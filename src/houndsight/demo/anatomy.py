"""How a dog is put together from limbs.

A dog has its own units: the ground is y = 0, y points up, the dog faces towards +x, and a tall
dog's back is at about 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from houndsight.demo.breeds import Breed
from houndsight.demo.strokes import Knot, Limb, limb, mix, turned

__all__ = ["POSES", "Dog"]

POSES = ("standing", "sitting", "lying", "running")

Point: TypeAlias = tuple[float, float]

TAILS: dict[str, tuple[Knot, ...]] = {
    "curled": (
        (0.12, -0.08, 0.08),
        (-0.06, 0.12, 0.08),
        (0.02, 0.32, 0.075),
        (0.18, 0.32, 0.065),
        (0.2, 0.2, 0.05),
    ),
    "straight": (
        (0.12, -0.06, 0.07),
        (-0.16, 0.06, 0.05),
        (-0.34, 0.22, 0.042),
        (-0.46, 0.42, 0.025),
    ),
    "bushy": (
        (0.12, -0.05, 0.08),
        (-0.14, 0.0, 0.11),
        (-0.36, 0.06, 0.145),
        (-0.56, 0.2, 0.1),
        (-0.66, 0.34, 0.02),
    ),
}


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a pose decides: `haunch` is the folded hind leg of a dog that sits or lies."""

    hip: Point
    chest: Point
    trunk: Limb
    near: list[Limb]
    far: list[Limb]
    head_at: Point
    tail_at: Point
    haunch: Limb | None = None


class Dog:
    """One dog: a breed in a pose, with the small differences between dogs of a breed.

    Parameters
    ----------
    breed
        The breed.
    rng
        Where the differences come from; painting the dog goes on drawing from it.
    pose
        One of `POSES`.
    """

    def __init__(self, breed: Breed, rng: Random, pose: str) -> None:
        self.breed, self.rng, self.pose = breed, rng, pose
        vary = rng.uniform
        self.length = breed.length * vary(0.94, 1.06)
        self.girth = breed.girth * vary(0.95, 1.06)
        shade = (255, 250, 240) if rng.random() < 0.5 else (70, 50, 40)
        self.coat = mix(breed.coat, shade, vary(0, 0.06))
        self.tall = breed.legs * vary(0.92, 1.08) + 0.85 * self.girth
        self.paw = 0.055 + 0.1 * breed.girth
        wag = vary(-0.25, 0.25)
        poses = {"sitting": self._sit, "lying": self._lie, "running": self._run}
        frame = poses.get(pose, self._stand)()
        self.hip, self.chest, self.head_at = frame.hip, frame.chest, frame.head_at
        self.trunk, self.near, self.far, self.haunch = (
            frame.trunk,
            frame.near,
            frame.far,
            frame.haunch,
        )
        self.nod = vary(-0.18, 0.2)
        self.neck = self._neck()
        self.tail = self._tail(frame.tail_at, wag)

    def _stand(self) -> _Frame:
        half = self.length / 2
        spread, step = self.rng.uniform(0.15, 0.25), self.rng.uniform(-0.05, 0.05)
        feet = [(step - 0.06, 0.0), (step, 0.0), (spread, 0.0), (spread * 1.1, 0.0)]
        return self._on_legs((-half, self.tall), (half, self.tall), feet)

    def _run(self) -> _Frame:
        tilt, lift, half = self.rng.uniform(-0.05, 0.1), 0.1, self.length / 2
        reach = self.rng.choice((1.0, 0.8, 0.65)) * (0.3 + 0.6 * self.breed.legs)
        feet = [
            (-reach - 0.08, 0.13),
            (reach + 0.12, 0.16),
            (-reach * 0.7 + 0.1, 0.06),
            (reach * 0.7 + 0.02, 0.07),
        ]
        return self._on_legs(
            (-half, self.tall + lift - tilt), (half, self.tall + lift + tilt), feet
        )

    def _on_legs(self, hip: Point, chest: Point, feet: list[Point]) -> _Frame:
        """Return a dog on its legs; the feet (hind, front, far hind, far front) start below it."""
        r, breed = self.girth, self.breed
        ends, wide = (hip, chest), (r * 0.66, r * 0.5)
        legs = [
            self._leg(
                (ends[i % 2][0] + 0.02, ends[i % 2][1] - 0.25 * r),
                (ends[i % 2][0] + 0.02 + dx, self.paw + dy),
                hind=i % 2 == 0,
                wide=wide[i % 2],
            )
            for i, (dx, dy) in enumerate(feet)
        ]
        belly = (hip[1] + chest[1]) / 2 + r * (1 - breed.waist) * 0.45
        return _Frame(
            hip=hip,
            chest=chest,
            trunk=limb(
                (*hip, r * 0.86),
                (0.0, belly, r * breed.waist),
                (*chest, r),
                fluff=breed.fluff * 0.8,
            ),
            near=legs[:2],
            far=legs[2:],
            head_at=(chest[0] + r * 0.62 + 0.1, chest[1] + r * 0.75 + breed.head * 0.75),
            tail_at=(hip[0] - r * 0.7, hip[1] + r * 0.42),
        )

    def _sit(self) -> _Frame:
        r, paw, breed = self.girth, self.paw, self.breed
        hip = x, y = -0.34 * self.length, r * 0.98
        chest = 0.16 * self.length, y + max(0.52 * self.length, self.tall * 0.8) * 0.8
        middle = (x + chest[0]) / 2, (y + chest[1]) / 2
        front = self._leg(
            (chest[0] + 0.06, chest[1] - 0.1), (chest[0] + 0.12, paw), hind=False, wide=r * 0.45
        )
        far_front = self._leg(
            (chest[0] + 0.1, chest[1] - 0.1), (chest[0] + 0.25, paw), hind=False, wide=r * 0.4
        )
        return _Frame(
            hip=hip,
            chest=chest,
            trunk=limb(
                (*hip, r * 1.02),
                (*middle, r * (0.5 + breed.waist / 2)),
                (*chest, r * 0.92),
                fluff=breed.fluff * 0.8,
            ),
            near=[front],
            far=[limb((x + r, r * 0.4, paw), (x + r * 1.8, paw, paw)), far_front],
            head_at=(chest[0] + r * 0.42, chest[1] + r * 0.8 + breed.head * 0.75),
            tail_at=(x - r * 0.84, r * (0.8 if breed.tail == "curled" else 0.5)),
            haunch=limb(
                (x + r * 0.2, r * 0.86, r * 0.72),
                (x + r * 0.55, r * 0.5, r * 0.46),
                (x + r * 0.95, paw, paw),
                (x + r * 1.65, paw, paw),
                fluff=breed.fluff * 0.6,
            ),
        )

    def _lie(self) -> _Frame:
        r, paw, breed = self.girth, self.paw, self.breed
        hip, chest = (-0.5 * self.length, r * 0.86), (0.42 * self.length, r)
        (x, y), (front, _) = hip, chest
        reach = 0.3 + 0.5 * breed.legs
        return _Frame(
            hip=hip,
            chest=chest,
            trunk=limb(
                (*hip, r * 0.86),
                (0.0, y, r * (0.4 + breed.waist * 0.45)),
                (*chest, r * 0.98),
                fluff=breed.fluff * 0.8,
            ),
            near=[
                limb(
                    (front, r * 0.6, r * 0.5),
                    (front + 0.1, paw * 1.4, paw * 1.2),
                    (front + r + reach, paw, paw),
                )
            ],
            far=[
                limb((x + 0.2, paw, paw), (x + 0.4, paw, paw)),
                limb(
                    (front, r * 0.6, r * 0.4),
                    (front + 0.15, paw * 2.0, paw),
                    (front + r + reach * 1.16, paw * 1.75, paw),
                ),
            ],
            head_at=(front + r * 0.75, r * 1.85 + breed.head * 0.7),
            tail_at=(x - r * 0.72, r * (1.05 if breed.tail == "curled" else 0.6)),
            haunch=limb(
                (x + r * 0.12, r * 0.82, r * 0.7),
                (x + r * 0.55, r * 0.5, r * 0.4),
                (x + r * 0.8, paw, paw),
                (x + r * 1.7, paw, paw),
                fluff=breed.fluff * 0.6,
            ),
        )

    def _leg(self, top: Point, foot: Point, *, hind: bool, wide: float) -> Limb:
        """Return a leg with a paw; a hind leg bends at knee and hock."""
        r = self.paw
        (x0, y0), (x1, y1) = top, foot
        bend = (0.16 if hind else -0.03) * math.dist(top, foot)

        def between(share: float, aside: float) -> Point:
            return x0 + (x1 - x0) * share + aside, y0 + (y1 - y0) * share

        knee, hock = between(0.48, bend), between(0.78, -0.55 * bend)
        return limb(
            (x0, y0, wide),
            (*knee, r * 1.25),
            (*hock, r * 0.95),
            (x1, y1, r),
            (x1 + 1.1 * r, y1, r * 0.9),
        )

    def _neck(self) -> Limb:
        r, (cx, cy), (hx, hy) = self.girth, self.chest, self.head_at
        thick = (0.3 * self.breed.head + 0.4 * r) * 1.05
        return limb(
            (cx, cy + r * 0.2, r * 0.8),
            ((cx + hx) / 2, (cy + r * 0.3 + hy) / 2, thick),
            (hx, hy, self.breed.head * 0.75),
            fluff=self.breed.fluff,
        )

    def _tail(self, at: Point, wag: float) -> Limb:
        fluff, plump = (0.45, 1.35) if self.breed.fluff else (0.0, 1.0)
        knots = []
        for x, y, r in TAILS[self.breed.tail]:
            dx, dy = turned(x, y, -wag)
            knots.append((at[0] + dx, max(at[1] + dy, r * plump), r * plump))
        return limb(*knots, fluff=fluff)

    def of_head(self, *knots: Knot) -> Limb:
        """Return a limb given in units of the head: its centre is 0, its radius 1."""
        size, (cx, cy) = self.breed.head, self.head_at
        placed = []
        for x, y, r in knots:
            dx, dy = turned(x * size, y * size, self.nod)
            placed.append((cx + dx, cy + dy, r * size))
        return limb(*placed)

    def box(self) -> tuple[float, float, float, float]:
        """Return left, bottom, right, top of the dog in its own units."""
        snout = self.of_head((1.0 + self.breed.snout, -0.3, 0.4), (0.0, 0.5, 1.1))
        parts = (self.trunk, self.neck, self.tail, snout, *self.near, *self.far)
        discs = [disc for part in parts for disc in part.samples()]
        return (
            min(x - r for x, _, r in discs),
            min(y - r for _, y, r in discs),
            max(x + r for x, _, r in discs),
            max(y + r for _, y, r in discs),
        )
