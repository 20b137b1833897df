"""The surroundings: seven places.

They are drawn at random and know nothing of the dog, so that, as in real photos, two pictures can
look alike for the wrong reason. Lengths are shares of the picture's height.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from houndsight.demo.strokes import Canvas, Colour, mix
from houndsight.demo.things import CLOTHES

__all__ = ["SCENES"]

WHITE: Colour = (255, 255, 255)


def _ridge(
    canvas: Canvas, rng: Random, y: float, swing: float, colour: Colour, *, pace: float = 1.6
) -> None:
    """Draw ground up to a wavy line at height `y`."""
    wide, phase = canvas.width / canvas.height, rng.uniform(0, 6.3)
    top = [
        (x, y + swing * math.sin(phase + pace * x * 2) + swing / 2 * math.sin(phase + pace * x * 5))
        for x in (wide * i / 40 for i in range(41))
    ]
    canvas.shape([*top, (wide, 1.0), (0.0, 1.0)], colour)


def _cloud(canvas: Canvas, x: float, y: float, size: float, colour: Colour) -> None:
    for dx, dy, r in ((-1.1, 0.1, 0.5), (-0.4, -0.2, 0.7), (0.4, -0.1, 0.6), (1.1, 0.15, 0.4)):
        canvas.oval(x + dx * size, y + dy * size, r * size, r * size * 0.75, colour)


def _pine(canvas: Canvas, x: float, y: float, high: float, colour: Colour, *, snow: bool) -> None:
    canvas.block(x - 0.03 * high, y - 0.12 * high, x + 0.03 * high, y, (112, 86, 72))
    for k in range(3):
        foot, half = y - high * (0.1 + 0.24 * k), high * (0.3 - 0.07 * k)
        tip = foot - high * 0.42
        canvas.shape([(x - half, foot), (x + half, foot), (x, tip)], colour)
        if snow:
            cap = [(x - half * 0.5, tip + high * 0.2), (x + half * 0.5, tip + high * 0.2)]
            canvas.shape([*cap, (x, tip)], (244, 248, 252))


def meadow(canvas: Canvas, rng: Random) -> None:
    """Draw hills, a sun, flowers."""
    wide = canvas.width / canvas.height
    sky: Colour = rng.choice(((132, 196, 232), (164, 208, 236), (188, 214, 220)))
    canvas.gradient(sky, mix(sky, WHITE, 0.65), 0, 0.7)
    canvas.oval(rng.uniform(0.1, wide - 0.1), rng.uniform(0.1, 0.25), 0.07, 0.07, (255, 236, 160))
    for _ in range(rng.randint(1, 3)):
        _cloud(canvas, rng.uniform(0, wide), rng.uniform(0.08, 0.3), 0.07, (250, 252, 254))
    grass: Colour = rng.choice(((142, 190, 98), (160, 194, 92), (122, 178, 104)))
    far = rng.uniform(0.46, 0.58)
    _ridge(canvas, rng, far, 0.05, mix(grass, (150, 190, 190), 0.55))
    _ridge(canvas, rng, far + 0.09, 0.035, mix(grass, (90, 140, 90), 0.3))
    _ridge(canvas, rng, far + 0.17, 0.012, grass)
    for _ in range(26):
        x, y = rng.uniform(0, wide), rng.uniform(far + 0.22, 0.99)
        size = 0.012 * (0.5 + y)
        blade = mix(grass, (60, 110, 60), 0.35)
        for lean in (-1, 0, 1):
            tip = (x + lean * size, y - size * 2)
            canvas.shape([(x - size * 0.4, y), (x + size * 0.4, y), tip], blade)
        if rng.random() < 0.35:
            canvas.oval(
                x,
                y - size * 2,
                size,
                size,
                rng.choice(((250, 240, 240), (250, 210, 90), (232, 132, 150))),
            )


def beach(canvas: Canvas, rng: Random) -> None:
    """Draw sea, sand, a parasol."""
    wide = canvas.width / canvas.height
    sky: Colour = rng.choice(((140, 206, 236), (248, 206, 170), (176, 214, 228)))
    sea = rng.uniform(0.38, 0.48)
    canvas.gradient(sky, mix(sky, WHITE, 0.5), 0, sea)
    canvas.gradient((66, 150, 186), (128, 204, 208), sea, sea + 0.22)
    for _ in range(9):
        x, y, half = (
            rng.uniform(0, wide),
            rng.uniform(sea + 0.02, sea + 0.16),
            rng.uniform(0.03, 0.08),
        )
        canvas.oval(x, y, half, 0.005, (190, 228, 230))
    if rng.random() < 0.6:
        x = rng.uniform(0.1, wide - 0.1)
        canvas.shape(
            [
                (x - 0.06, sea + 0.01),
                (x + 0.06, sea + 0.01),
                (x + 0.04, sea + 0.03),
                (x - 0.04, sea + 0.03),
            ],
            (160, 90, 70),
        )
        canvas.shape([(x, sea - 0.14), (x, sea), (x + 0.07, sea)], (250, 246, 236))
    _ridge(canvas, rng, sea + 0.185, 0.008, (246, 250, 246))
    sand: Colour = rng.choice(((240, 216, 164), (232, 206, 160), (246, 226, 186)))
    _ridge(canvas, rng, sea + 0.21, 0.01, sand)
    if rng.random() < 0.6:
        x, y = rng.choice((0.14, wide - 0.14)), rng.uniform(0.2, 0.28)
        cloth = rng.choice(CLOTHES)
        canvas.block(x - 0.006, y, x + 0.006, 0.74, (150, 116, 92))
        for k in range(-2, 3):
            stripe = cloth if k % 2 else (250, 244, 234)
            canvas.shape(
                [(x, y - 0.06), (x + (k - 0.5) * 0.08, y + 0.07), (x + (k + 0.5) * 0.08, y + 0.07)],
                stripe,
            )
    for _ in range(30):
        x, y = rng.uniform(0, wide), rng.uniform(sea + 0.26, 0.99)
        canvas.oval(x, y, 0.006, 0.003, mix(sand, (150, 110, 70), 0.35))


def snow(canvas: Canvas, rng: Random) -> None:
    """Draw white hills, pines, snowflakes."""
    wide = canvas.width / canvas.height
    sky: Colour = rng.choice(((176, 204, 226), (198, 204, 222), (150, 190, 222)))
    canvas.gradient(sky, (236, 242, 248), 0, 0.7)
    far = rng.uniform(0.48, 0.58)
    _ridge(canvas, rng, far, 0.05, (214, 226, 238))
    for _ in range(rng.randint(3, 7)):
        x = rng.uniform(0, wide)
        _pine(
            canvas,
            x,
            far + rng.uniform(0.05, 0.12),
            rng.uniform(0.2, 0.42),
            (84, 128, 120),
            snow=True,
        )
    _ridge(canvas, rng, far + 0.1, 0.015, (240, 245, 250))
    _ridge(canvas, rng, 0.9, 0.01, (228, 236, 246))
    for _ in range(45):
        r = rng.uniform(0.003, 0.009)
        canvas.oval(rng.uniform(0, wide), rng.random(), r, r, WHITE)


def room(canvas: Canvas, rng: Random) -> None:
    """Draw a wall with a picture or a window, a floor with a rug, a sofa or a lamp."""
    wide, floor = canvas.width / canvas.height, rng.uniform(0.6, 0.68)
    wall: Colour = rng.choice(((238, 222, 196), (200, 216, 206), (222, 196, 190), (190, 202, 218)))
    canvas.block(0, 0, wide, floor, wall)
    if rng.random() < 0.5:
        for i in range(int(wide / 0.12) + 1):
            canvas.block(i * 0.12, 0, i * 0.12 + 0.05, floor, mix(wall, WHITE, 0.22))
    wood: Colour = rng.choice(((190, 140, 96), (166, 122, 90), (206, 170, 130)))
    canvas.block(0, floor, wide, 1, wood)
    for k in range(1, 6):
        y = floor + (1 - floor) * (k / 6) ** 1.3
        canvas.block(0, y, wide, y + 0.005, mix(wood, (80, 50, 30), 0.25))
    canvas.block(0, floor - 0.035, wide, floor, mix(wall, WHITE, 0.6))
    x = rng.uniform(0.25, wide - 0.25)
    canvas.block(x - 0.17, 0.1, x + 0.17, 0.4, (150, 110, 82))
    if rng.random() < 0.5:
        canvas.block(x - 0.15, 0.12, x + 0.15, 0.38, (176, 216, 238))
        canvas.block(x - 0.008, 0.12, x + 0.008, 0.38, (150, 110, 82))
        canvas.block(x - 0.15, 0.242, x + 0.15, 0.258, (150, 110, 82))
    else:
        canvas.block(x - 0.15, 0.12, x + 0.15, 0.38, (244, 238, 226))
        canvas.oval(x, 0.25, 0.08, 0.08, rng.choice(CLOTHES))
    if rng.random() < 0.6:
        cloth = mix(rng.choice(CLOTHES), (200, 190, 180), 0.3)
        left = rng.choice((-0.15, wide - 0.5))
        dark = mix(cloth, (60, 40, 60), 0.2)
        canvas.block(left, 0.4, left + 0.65, floor + 0.06, cloth)
        canvas.block(left, 0.53, left + 0.65, floor + 0.06, dark)
        for arm in (left, left + 0.65):
            canvas.oval(arm, 0.53, 0.05, 0.05, cloth)
            canvas.block(arm - 0.05, 0.53, arm + 0.05, floor + 0.08, cloth)
    rug = mix(rng.choice(CLOTHES), (240, 226, 206), 0.35)
    canvas.oval(wide / 2, 0.88, wide * 0.46, 0.11, mix(rug, WHITE, 0.4))
    canvas.oval(wide / 2, 0.88, wide * 0.42, 0.09, rug)


def night(canvas: Canvas, rng: Random) -> None:
    """Draw a moon and stars over dark hills; everything is seen in blue light."""
    wide = canvas.width / canvas.height
    canvas.gradient((24, 30, 66), (76, 84, 136), 0, 0.7)
    for _ in range(50):
        r = rng.uniform(0.002, 0.006)
        canvas.oval(rng.uniform(0, wide), rng.uniform(0, 0.5), r, r, (236, 236, 214))
    x, y = rng.uniform(0.15, wide - 0.15), rng.uniform(0.12, 0.24)
    canvas.veil(
        tuple(v * canvas.height for v in (x - 0.15, y - 0.15, x + 0.15, y + 0.15)),
        (250, 240, 200),
        0.15,
    )
    canvas.oval(x, y, 0.085, 0.085, (250, 242, 210))
    canvas.oval(x - 0.03, y - 0.02, 0.018, 0.018, (232, 222, 188))
    canvas.oval(x + 0.03, y + 0.03, 0.013, 0.013, (232, 222, 188))
    far = rng.uniform(0.5, 0.6)
    _ridge(canvas, rng, far, 0.05, (52, 62, 106))
    for _ in range(rng.randint(0, 4)):
        _pine(
            canvas,
            rng.uniform(0, wide),
            far + 0.1,
            rng.uniform(0.2, 0.36),
            (34, 48, 80),
            snow=False,
        )
    _ridge(canvas, rng, far + 0.1, 0.02, (58, 82, 104))
    canvas.light = (0.86, 0.87, 0.98)


def autumn(canvas: Canvas, rng: Random) -> None:
    """Draw tree trunks, and leaves everywhere."""
    wide = canvas.width / canvas.height
    canvas.gradient((250, 220, 170), (244, 196, 130), 0, 0.7)
    leaves: tuple[Colour, ...] = ((214, 110, 50), (232, 160, 60), (190, 76, 48), (226, 190, 90))
    for depth in range(3):
        haze = 0.6 - 0.28 * depth
        for _ in range(4):
            x, half = rng.uniform(0, wide), 0.014 + 0.012 * depth
            bark = mix((108, 76, 60), (246, 206, 150), haze)
            canvas.block(x - half, 0.0, x + half, 0.58 + 0.05 * depth, bark)
        for _ in range(9):
            r = rng.uniform(0.07, 0.13)
            colour = mix(rng.choice(leaves), (250, 214, 150), haze)
            canvas.oval(
                rng.uniform(0, wide), rng.uniform(-0.04, 0.2 - 0.03 * depth), r * 1.3, r, colour
            )
    ground: Colour = rng.choice(((196, 140, 84), (176, 134, 84)))
    _ridge(canvas, rng, rng.uniform(0.56, 0.64), 0.015, ground)
    for _ in range(80):
        x, y = rng.uniform(0, wide), rng.uniform(0.66, 1.0)
        canvas.oval(
            x, y, 0.014 * (0.4 + y), 0.007 * (0.4 + y), mix(rng.choice(leaves), ground, 0.25)
        )


def street(canvas: Canvas, rng: Random) -> None:
    """Draw a row of houses, a pavement, a road."""
    wide, foot = canvas.width / canvas.height, rng.uniform(0.6, 0.66)
    canvas.gradient((176, 208, 230), (230, 238, 240), 0, foot)
    x = -rng.uniform(0, 0.2)
    while x < wide:
        house, top = rng.uniform(0.28, 0.4), rng.uniform(0.12, 0.28)
        wall: Colour = rng.choice(
            ((222, 178, 150), (206, 210, 190), (232, 212, 168), (188, 196, 212), (214, 160, 150))
        )
        canvas.block(x, top, x + house, foot, wall)
        roof = mix(wall, (110, 60, 50), 0.6)
        canvas.shape([(x - 0.02, top), (x + house + 0.02, top), (x + house / 2, top - 0.14)], roof)
        glass: Colour = rng.choice(((170, 206, 224), (250, 226, 150)))
        for i in (0.27, 0.73):
            for y in (top + 0.05, top + 0.2):
                canvas.block(x + house * i - 0.045, y, x + house * i + 0.045, y + 0.09, WHITE)
                canvas.block(
                    x + house * i - 0.035, y + 0.01, x + house * i + 0.035, y + 0.08, glass
                )
        canvas.block(x + house / 2 - 0.035, foot - 0.15, x + house / 2 + 0.035, foot, roof)
        x += house + 0.02
    canvas.block(0, foot, wide, 1, (190, 188, 186))
    for i in range(-4, 16):
        a = i * 0.16
        canvas.shape(
            [(a, foot), (a + 0.006, foot), (a * 1.4 - 0.3, 1.0), (a * 1.4 - 0.31, 1.0)],
            (168, 166, 166),
        )
    kerb = rng.uniform(0.9, 0.95)
    canvas.block(0, kerb, wide, kerb + 0.015, (224, 222, 216))
    canvas.block(0, kerb + 0.015, wide, 1, (120, 120, 128))


SCENES: dict[str, Callable[[Canvas, Random], None]] = {
    "meadow": meadow,
    "beach": beach,
    "snow": snow,
    "room": room,
    "night": night,
    "autumn": autumn,
    "street": street,
}
