import hashlib
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from houndsight.demo.anatomy import POSES, Dog
from houndsight.demo.breeds import BREEDS
from houndsight.demo.drawings import _place, draw_dog, draw_set
from houndsight.demo.painting import paint
from houndsight.demo.scenes import SCENES
from houndsight.demo.strokes import Canvas, Placement, limb
from houndsight.demo.things import ball, person, tree
from houndsight.errors import InputError


def _digest(picture: Image.Image) -> str:
    return hashlib.sha256(picture.tobytes()).hexdigest()


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.jpg"))
    }


def _portrait(breed, pose, rng_seed=1):
    """Draw the breed alone on grey, always from the same lots."""
    canvas = Canvas((240, 210))
    canvas.image.paste((128, 128, 128), (0, 0, 240, 210))
    dog = Dog(breed, Random(rng_seed), pose)
    left, _, right, top = dog.box()
    scale = min(220 / (right - left), 190 / top)
    paint(canvas, dog, Placement(120 - (left + right) / 2 * scale, 200, scale))
    return np.asarray(canvas.image, dtype=np.int16)


def test_the_same_seed_draws_the_same_pixels():
    first, again, other = (_digest(draw_dog(BREEDS[0], Random(seed))) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_a_set_is_repeated_byte_for_byte_and_a_larger_one_holds_it(tmp_path):
    some = BREEDS[:2]
    draw_set(tmp_path / "a", breeds=some, per_breed=2, queries_per_breed=1, seed=3)
    draw_set(tmp_path / "b", breeds=some[:1], per_breed=1, queries_per_breed=0, seed=3)
    draw_set(tmp_path / "c", breeds=some[:1], per_breed=1, queries_per_breed=0, seed=4)
    a, b, c = (_files(tmp_path / name) for name in "abc")
    (name,) = b
    assert a[name] == b[name]
    assert c[name] != b[name]
    draw_set(tmp_path / "a", breeds=some, per_breed=2, queries_per_breed=1, seed=3)
    assert _files(tmp_path / "a") == a


def test_files_are_named_by_folder_breed_and_number(tmp_path):
    photos, queries = draw_set(
        tmp_path / "new", breeds=BREEDS[:2], per_breed=2, queries_per_breed=1
    )
    assert (photos, queries) == (tmp_path / "new" / "photos", tmp_path / "new" / "queries")
    names = [breed.name for breed in BREEDS[:2]]
    assert sorted(_files(tmp_path / "new")) == sorted(
        [f"photos/{name}/{name}_{number}.jpg" for name in names for number in ("01", "02")]
        + [f"queries/{name}/{name}_01.jpg" for name in names]
    )
    for path in photos.rglob("*.jpg"):
        with Image.open(path) as picture:
            assert picture.format == "JPEG"
            assert picture.mode == "RGB"
            assert min(picture.size) >= 240


def test_no_query_is_among_the_photos(tmp_path):
    draw_set(tmp_path, breeds=BREEDS[:1], per_breed=3, queries_per_breed=3)
    contents = list(_files(tmp_path).values())
    assert len(set(contents)) == len(contents) == 6


def test_breeds_are_distinct_in_name_and_in_looks():
    assert len(BREEDS) == 8
    assert len({breed.name for breed in BREEDS}) == 8
    assert {breed.ears for breed in BREEDS} == {"pointed", "floppy", "round", "long"}
    assert {breed.tail for breed in BREEDS} == {"curled", "straight", "bushy"}
    looks = [_portrait(breed, "standing") for breed in BREEDS]
    for i, one in enumerate(looks):
        for other in looks[:i]:
            changed = np.abs(one - other).max(axis=2) > 40
            assert changed.mean() > 0.1, "two breeds look alike"


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("breed", BREEDS, ids=lambda breed: breed.name)
def test_a_dog_is_one_piece_and_lies_within_its_box(breed, pose):
    dog = Dog(breed, Random(2), pose)
    canvas, place = Canvas((300, 300)), Placement(150, 250, 100)
    parts = [dog.trunk, dog.neck, dog.tail, dog.of_head((0, 0, 1)), *dog.near, *dog.far]
    masks = [np.zeros((300, 300), bool) for _ in parts]
    for part, mask in zip(parts, masks, strict=True):
        area = canvas.area([part], place)
        high, wide = area.mask.height, area.mask.width
        top, left = max(0, area.y), max(0, area.x)
        drawn = np.asarray(area.mask)[top - area.y :, left - area.x :] > 0
        drawn = drawn[: 300 - top, : 300 - left]
        mask[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
        assert drawn.any()
        assert high * wide < 300 * 300
    joined, left_over = masks[0], masks[1:]
    while touching := [mask for mask in left_over if (mask & joined).any()]:
        joined = np.logical_or.reduce([joined, *touching])
        left_over = [mask for mask in left_over if not (mask & joined).any()]
    assert not left_over, "a part floats"
    left, bottom, right, top = dog.box()
    assert left < dog.hip[0] < dog.chest[0] < right
    assert -0.02 < bottom < 0.16
    assert top > dog.chest[1]


def test_the_whole_dog_stands_in_the_picture_either_way_round_and_not_always_alike():
    flips, scales, middles = set(), [], []
    for i in range(200):
        rng = Random(i)
        size = rng.choice([(320, 280), (280, 340), (360, 270)])
        canvas, dog = Canvas(size), Dog(BREEDS[i % 8], rng, POSES[i % 4])
        place = _place(canvas, dog, rng)
        left, bottom, right, top = dog.box()
        straight = replace(place, angle=0.0)
        xs, ys = zip(straight(left, bottom), straight(right, top), strict=True)
        assert min(xs) >= 0
        assert max(xs) <= size[0]
        assert min(ys) >= 0
        assert max(ys) <= size[1]
        assert abs(place.angle) <= 0.05
        flips.add(place.flip)
        scales.append((max(xs) - min(xs)) / size[0])
        middles.append(sum(xs) / 2 / size[0])
    assert flips == {False, True}
    assert max(scales) - min(scales) > 0.2
    assert max(middles) - min(middles) > 0.1


def test_pictures_differ():
    seen = {_digest(draw_dog(BREEDS[i % 8], Random(i), (96, 84))) for i in range(24)}
    assert len(seen) == 24


@pytest.mark.parametrize("name", SCENES)
def test_surroundings_fill_the_picture_and_vary(name):
    drawn = []
    for seed in (1, 2):
        canvas = Canvas((160, 120))
        canvas.image.paste((255, 0, 255), (0, 0, 160, 120))
        SCENES[name](canvas, Random(seed))
        pixels = np.asarray(canvas.image)
        assert not (pixels == (255, 0, 255)).all(axis=2).any()
        drawn.append(_digest(canvas.image))
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("thing", [ball, person, tree])
def test_things_are_drawn_where_they_stand(thing):
    canvas = Canvas((200, 200))
    thing(canvas, Random(1), 0.5, 0.9)
    rows, columns = np.nonzero(np.asarray(canvas.image).any(axis=2))
    assert 170 <= rows.max() <= 188
    assert 60 < columns.mean() < 140


def test_night_light_dims_colours():
    canvas = Canvas((40, 40))
    assert canvas.lit((200, 200, 200)) == (200, 200, 200)
    SCENES["night"](canvas, Random(0))
    red, _, blue = canvas.lit((200, 200, 200))
    assert red < blue < 200


def test_fluff_stands_out_from_the_limb():
    smooth, fluffy = limb((0, 0, 1.0), (3, 0, 1.0)), limb((0, 0, 1.0), (3, 0, 1.0), fluff=0.4)
    canvas, place = Canvas((10, 10)), Placement(0, 0, 20)
    sums = [np.asarray(canvas.area([one], place).mask).sum() for one in (smooth, fluffy)]
    assert sums[1] > sums[0] * 1.02


@pytest.mark.parametrize("wrong", [{"breeds": BREEDS[:1] * 2}, {"per_breed": -1}])
def test_what_cannot_be_drawn_is_refused_before_anything_is_written(tmp_path, wrong):
    with pytest.raises(InputError):
        draw_set(tmp_path / "set", **wrong)
    assert not (tmp_path / "set").exists()
