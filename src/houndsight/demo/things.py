"""Things that stand or lie about in the surroundings, whatever the dog.

Lengths are shares of the picture's height.
"""

from __future__ import annotations

from random import Random

from houndsight.demo.strokes import Canvas, Colour, Placement, limb, mix

__all__ = ["CLOTHES", "ball", "person", "tree"]

CLOTHES: tuple[Colour, ...] = (
    (196, 90, 84),
    (88, 128, 176),
    (226, 178, 92),
    (120, 158, 120),
    (150, 120, 168),
)
WHITE: Colour = (255, 255, 255)
INK: Colour = (52, 38, 40)


def tree(canvas: Canvas, rng: Random, x: float, y: float) -> None:
    """Draw a tree whose trunk meets the ground at (x, y)."""
    high, leaf = (
        rng.uniform(0.5, 0.65),
        rng.choice(((112, 160, 92), (134, 172, 84), (94, 146, 104))),
    )
    bark, leaf = canvas.lit((136, 100, 74)), canvas.lit(leaf)
    canvas.shape([(x - 0.04, y), (x + 0.04, y), (x + 0.02, y - high), (x - 0.02, y - high)], bark)
    for dx, dy, r in ((-0.1, -0.02, 0.12), (0.1, 0.0, 0.11), (0.0, -0.1, 0.14)):
        canvas.oval(x + dx, y - high + dy, r, r, leaf)
    canvas.oval(x - 0.04, y - high - 0.1, 0.05, 0.04, mix(leaf, WHITE, 0.15))


def person(canvas: Canvas, rng: Random, x: float, y: float) -> None:
    """Draw a person who stands at (x, y), about as tall as the picture."""
    at = Placement(x * canvas.height, y * canvas.height, canvas.height * rng.uniform(0.6, 0.72))
    skin: Colour = rng.choice(((244, 208, 180), (206, 150, 112), (136, 92, 68)))
    hair: Colour = rng.choice(((66, 46, 40), (176, 120, 70), (60, 60, 66), (206, 200, 196)))
    shirt, trousers = rng.sample(CLOTHES, 2)
    wave = rng.uniform(-0.2, 0.28)
    parts = [
        (
            limb((0.13, 0.68, 0.04), (0.21, 0.62 + wave / 2, 0.034), (0.27, 0.6 + wave, 0.03)),
            skin,
        ),
        (limb((-0.06, 0.42, 0.07), (-0.07, 0.03, 0.045)), mix(trousers, (60, 60, 80), 0.4)),
        (limb((0.06, 0.42, 0.07), (0.07, 0.03, 0.045)), mix(trousers, (60, 60, 80), 0.4)),
        (limb((-0.07, 0.03, 0.04), (-0.03, 0.025, 0.035)), (70, 56, 56)),
        (limb((0.07, 0.03, 0.04), (0.11, 0.025, 0.035)), (70, 56, 56)),
        (limb((0.0, 0.7, 0.13), (0.0, 0.46, 0.12)), shirt),
        (
            limb((-0.12, 0.71, 0.045), (-0.19, 0.58, 0.04), (-0.17, 0.46, 0.032)),
            mix(shirt, (40, 30, 50), 0.12),
        ),
        (limb((0.0, 0.98, 0.098), (0.0, 1.0, 0.1)), hair),
        (limb((0.0, 0.84, 0.035), (0.012, 0.95, 0.082)), skin),
    ]
    for part, colour in parts:
        canvas.fill(canvas.area([part], at), colour)
    for dx in (-0.02, 0.045):
        canvas.fill(canvas.area([limb((dx, 0.965, 0.009))], at), (52, 38, 40))
    smile = limb((-0.015, 0.925, 0.006), (0.015, 0.913, 0.006), (0.045, 0.925, 0.006))
    canvas.fill(canvas.area([smile], at), (120, 60, 60))


def ball(canvas: Canvas, rng: Random, x: float, y: float) -> None:
    """Draw a ball that lies at (x, y)."""
    r, colour = rng.uniform(0.04, 0.06), rng.choice(((226, 84, 74), (76, 142, 206), (244, 196, 66)))
    u = canvas.height
    canvas.veil(((x - r) * u, (y - 0.012) * u, (x + r) * u, (y + 0.016) * u), (30, 30, 40), 0.28)
    canvas.oval(x, y - r, r + 0.006, r + 0.006, canvas.lit((52, 38, 40)))
    canvas.oval(x, y - r, r, r, canvas.lit(colour))
    canvas.oval(x, y - r, r, r * 0.3, canvas.lit((250, 244, 232)))
    canvas.oval(x - r * 0.35, y - r * 1.5, r * 0.22, r * 0.16, canvas.lit(WHITE))
