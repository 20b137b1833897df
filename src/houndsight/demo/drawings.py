"""Draws a small labelled set of cartoon dogs.

Breed and surroundings are drawn independently of one another: half of what is in a picture says
nothing about its label, which is what makes the set worth searching in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from PIL import Image, ImageChops, ImageFilter

from houndsight.demo.anatomy import POSES, Dog
from houndsight.demo.breeds import BREEDS, Breed
from houndsight.demo.painting import paint
from houndsight.demo.scenes import SCENES
from houndsight.demo.strokes import Canvas, Placement
from houndsight.demo.things import ball, person, tree
from houndsight.errors import InputError

__all__ = ["BREEDS", "Breed", "draw_dog", "draw_set"]

SHAPES = ((320, 280), (320, 280), (320, 240), (300, 300), (280, 340), (360, 270))
"""Widths and heights of the pictures of a set; the first is twice as common."""

WITH_TREES = frozenset({"meadow", "night", "street"})
POSE_WEIGHTS = (4, 4, 1, 1)  # of standing, sitting, lying, running
FARTHEST = 0.85  # the least size of a dog, as a share of what fits
BLUR, HAZE = 0.018, 0.45  # shares of the height, and of the whole
OVERSAMPLING = 3
JPEG_QUALITY = 88


def draw_dog(breed: Breed, rng: Random, size: tuple[int, int] = SHAPES[0]) -> Image.Image:
    """Draw one dog of a breed, somewhere, doing something.

    Parameters
    ----------
    breed
        The breed; everything else is drawn by lot.
    rng
        Where the lots come from: the same state gives the same picture.
    size
        Width and height in pixels.

    Returns
    -------
    PIL.Image.Image
        The picture, RGB.
    """
    canvas = Canvas((size[0] * OVERSAMPLING, size[1] * OVERSAMPLING))
    scene = rng.choice(tuple(SCENES))
    SCENES[scene](canvas, rng)
    dog = Dog(breed, rng, rng.choices(POSES, POSE_WEIGHTS)[0])
    place = _place(canvas, dog, rng)
    ground, wide = place.y / canvas.height, canvas.width / canvas.height
    aside = rng.choice((rng.uniform(0.05, 0.2), rng.uniform(0.8, 0.95))) * wide
    lot = rng.random()
    if lot < 0.16:
        person(canvas, rng, aside, ground - 0.05)
    elif lot < 0.4 and scene in WITH_TREES:
        tree(canvas, rng, aside, ground - 0.08)
    _soften(canvas)
    paint(canvas, dog, place)
    if rng.random() < 0.22:
        ball(canvas, rng, rng.uniform(0.1, 0.9) * wide, min(0.97, ground + rng.uniform(0.02, 0.06)))
    picture = canvas.image.resize(size, Image.Resampling.LANCZOS)
    bright, warm = rng.uniform(0.9, 0.97), rng.uniform(-0.06, 0.06)
    tint = tuple(round(255 * min(1.0, bright + shift)) for shift in (warm, warm / 4, -warm))
    return ImageChops.multiply(picture, Image.new("RGB", size, tint))


def _soften(canvas: Canvas) -> None:
    """Put the surroundings out of focus and into haze, so that the dog stands out.

    Measured with the built-in model on the default set: in sharp, saturated surroundings the 10
    nearest pictures share the breed 3 times in 10; the set is for showing a search that works.
    """
    image = canvas.image
    small = image.resize((image.width // 6, image.height // 6), Image.Resampling.BOX)
    small = small.filter(ImageFilter.GaussianBlur(small.height * BLUR))
    pixel = small.resize((1, 1), Image.Resampling.BOX)
    haze = Image.blend(pixel, Image.new("RGB", (1, 1), (255, 250, 240)), 0.25)
    soft = Image.blend(small, haze.resize(small.size), HAZE)
    image.paste(soft.resize(image.size, Image.Resampling.BICUBIC))


def _place(canvas: Canvas, dog: Dog, rng: Random) -> Placement:
    """Return where the dog stands: wholly in the picture, near or far, rarely in the middle."""
    left, bottom, right, top = dog.box()
    near = rng.uniform(FARTHEST, 1.0)
    scale = near * min(0.94 * canvas.width / (right - left), 0.82 * canvas.height / (top - bottom))
    flip = rng.random() < 0.5
    room = canvas.width - (right - left) * scale
    start = room * rng.uniform(0.1, 0.9)  # the dog's left edge, in pixels
    x = start + (right if flip else -left) * scale
    y = canvas.height * (
        0.8 + 0.11 * (near - FARTHEST) / (1 - FARTHEST) + rng.uniform(-0.015, 0.02)
    )
    return Placement(x, y, scale, flip, rng.uniform(-0.05, 0.05))


def draw_set(
    folder: Path,
    *,
    breeds: Sequence[Breed] = BREEDS,
    per_breed: int = 14,
    queries_per_breed: int = 3,
    seed: int = 0,
) -> tuple[Path, Path]:
    """Draw a labelled set: photos for a gallery, and queries that are not among them.

    Parameters
    ----------
    folder
        Where ``photos/<Breed>/<Breed>_NN.jpg`` and ``queries/<Breed>/<Breed>_NN.jpg`` are written;
        made if need be. Files of the same names are replaced.
    breeds
        The breeds, each of its own name.
    per_breed, queries_per_breed
        Pictures of each breed.
    seed
        Every picture depends on seed, breed, folder and number only, so that a larger set holds
        the smaller one.

    Returns
    -------
    tuple of Path
        The folders of the photos and of the queries.

    Raises
    ------
    InputError
        Two breeds share a name, or a count is negative.
    """
    if len({breed.name for breed in breeds}) < len(breeds):
        raise InputError("two of the breeds to draw have the same name")
    if min(per_breed, queries_per_breed) < 0:
        raise InputError("the number of pictures of a breed cannot be negative")
    folders = folder / "photos", folder / "queries"
    for parent, count in zip(folders, (per_breed, queries_per_breed), strict=True):
        parent.mkdir(parents=True, exist_ok=True)
        for breed in breeds:
            (parent / breed.name).mkdir(exist_ok=True)
            for number in range(1, count + 1):
                rng = Random(f"{seed}/{parent.name}/{breed.name}/{number}")  # noqa: S311 -- no secret
                picture = draw_dog(breed, rng, rng.choice(SHAPES))
                path = parent / breed.name / f"{breed.name}_{number:02d}.jpg"
                picture.save(path, quality=JPEG_QUALITY)
    return folders
