"""The breeds of the drawn set, invented, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from houndsight.demo.strokes import Colour

__all__ = ["BREEDS", "Breed"]

WHITE: Colour = (252, 248, 240)


@dataclass(frozen=True, slots=True)
class Breed:
    """What makes a breed: all that a dog does not share with its pose and its surroundings.

    Attributes
    ----------
    length, legs, girth, waist
        From hip to shoulder; free length of the legs; radius of the chest; waist as a share of it.
    head, snout, muzzle
        Radius of the head; length and thickness of the snout as shares of it.
    coat, second, ear
        Colours of the coat, the markings, and the ears.
    fluff
        Size of the tufts of the coat, 0 for a smooth one.
    """

    name: str
    ears: Literal["pointed", "floppy", "round", "long"]
    tail: Literal["curled", "straight", "bushy"]
    markings: frozenset[Literal["spots", "patches", "saddle", "mask", "socks", "bib"]]
    coat: Colour
    second: Colour
    ear: Colour
    length: float = 0.9
    legs: float = 0.4
    girth: float = 0.3
    waist: float = 0.8
    head: float = 0.27
    snout: float = 0.6
    muzzle: float = 0.34
    fluff: float = 0.0


BREEDS = (
    Breed(
        "Patchwork-Setter",
        "long",
        "bushy",
        frozenset({"patches"}),
        (244, 232, 208),
        (178, 88, 48),
        (164, 78, 44),
        length=0.84,
        legs=0.5,
        girth=0.27,
        waist=0.82,
        head=0.28,
        snout=0.75,
        muzzle=0.36,
    ),
    Breed(
        "Biscuit-Waddler",
        "pointed",
        "curled",
        frozenset({"socks", "bib"}),
        (236, 150, 62),
        WHITE,
        (214, 144, 72),
        length=0.88,
        legs=0.15,
        girth=0.28,
        waist=0.95,
        head=0.3,
        snout=0.5,
        muzzle=0.3,
    ),
    Breed(
        "Inkspot-Hound",
        "floppy",
        "straight",
        frozenset({"spots"}),
        (244, 242, 238),
        (54, 50, 58),
        (54, 50, 58),
        length=0.78,
        legs=0.5,
        girth=0.27,
        waist=0.7,
        head=0.28,
        snout=0.65,
        muzzle=0.33,
    ),
    Breed(
        "Snowdrift-Spitz",
        "round",
        "curled",
        frozenset(),
        (246, 242, 234),
        (246, 242, 234),
        (232, 222, 210),
        length=0.66,
        legs=0.26,
        girth=0.33,
        waist=0.98,
        head=0.3,
        snout=0.34,
        muzzle=0.28,
        fluff=0.36,
    ),
    Breed(
        "Saddleback-Shepherd",
        "pointed",
        "bushy",
        frozenset({"saddle", "mask"}),
        (206, 148, 88),
        (66, 54, 52),
        (98, 72, 58),
        length=0.88,
        legs=0.46,
        girth=0.29,
        waist=0.8,
        head=0.29,
        snout=0.72,
        muzzle=0.3,
    ),
    Breed(
        "Pebble-Grumbler",
        "round",
        "curled",
        frozenset({"mask"}),
        (222, 188, 144),
        (72, 58, 58),
        (84, 66, 62),
        length=0.62,
        legs=0.2,
        girth=0.32,
        waist=0.92,
        head=0.33,
        snout=0.1,
        muzzle=0.44,
    ),
    Breed(
        "Dusk-Courser",
        "floppy",
        "straight",
        frozenset({"bib"}),
        (122, 128, 146),
        (216, 218, 226),
        (98, 102, 122),
        length=0.86,
        legs=0.66,
        girth=0.26,
        waist=0.52,
        head=0.23,
        snout=1.05,
        muzzle=0.3,
    ),
    Breed(
        "Cocoa-Trundler",
        "long",
        "straight",
        frozenset({"socks", "bib"}),
        (104, 66, 50),
        (226, 168, 104),
        (78, 48, 40),
        length=1.02,
        legs=0.14,
        girth=0.28,
        waist=0.92,
        head=0.31,
        snout=0.6,
        muzzle=0.42,
    ),
)
