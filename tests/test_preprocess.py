"""Preprocessing against plain float64 arithmetic that shares no code with it or with Pillow."""

import math

import numpy as np
import pytest
from PIL import Image

from fakes import draw
from houndsight.errors import InputError
from houndsight.models.spec import CATALOGUE
from houndsight.preprocess import RESAMPLING, VERSION, Preprocessing

PLAIN = {"scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def cubic(x, a=-0.5):
    """Keys' kernel; a = -0.5 as in Pillow."""
    x = abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


def weights(size, wanted):
    """The antialiased filter as a matrix (wanted, size)."""
    scale = size / wanted
    stretch = max(scale, 1.0)
    matrix = np.zeros((wanted, size))
    for out in range(wanted):
        centre = (out + 0.5) * scale
        first = max(0, int(centre - 2 * stretch + 0.5))
        last = min(size, int(centre + 2 * stretch + 0.5))
        taps = [cubic((at + 0.5 - centre) / stretch) for at in range(first, last)]
        matrix[out, first:last] = np.array(taps) / sum(taps)
    return matrix


def resized(image, width, height, *, across_first):
    """float64 (height, width, 3); rounded between the passes, as 8-bit images are."""
    pixels = np.asarray(image, np.float64)
    wanted = {1: width, 0: height}
    for axis in (1, 0) if across_first else (0, 1):
        size = pixels.shape[axis]
        if size != wanted[axis]:
            sums = np.tensordot(weights(size, wanted[axis]), pixels, (1, axis))
            pixels = np.clip(np.floor(np.moveaxis(sums, 0, axis) + 0.5), 0, 255)
    return pixels


def check(made, image, width, height, box):
    """Hold against the plain computation, in whichever order of passes Pillow finds cheaper."""
    left, top, right, bottom = box
    errors = [
        np.abs(made - whole[top:bottom, left:right].transpose(2, 0, 1))
        for whole in (
            resized(image, width, height, across_first=True),
            resized(image, width, height, across_first=False),
        )
    ]
    error = min(errors, key=np.mean)
    # Pillow's fixed-point weights may round a value the other way, never further.
    assert error.max() <= 1
    assert (error > 0).mean() < 0.01


def noisy(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


SIZES = [(300, 200), (200, 300), (64, 50), (224, 224), (500, 90), (224, 100), (1, 1), (7, 400)]


@pytest.mark.parametrize("size", [224, 244])
@pytest.mark.parametrize("photo", SIZES)
def test_squash_takes_the_whole_photo_to_a_square(size, photo):
    image = noisy(*photo)
    made = Preprocessing(size, "squash", **PLAIN)(image)
    assert made.shape == (3, size, size)
    assert made.dtype == np.float32
    assert made.flags["C_CONTIGUOUS"]
    check(made, image, size, size, (0, 0, size, size))


@pytest.mark.parametrize(("size", "short"), [(224, 256), (244, 279)])
@pytest.mark.parametrize("photo", SIZES[:-1])
def test_crop_takes_the_centre_of_the_photo_resized_by_its_short_side(size, short, photo):
    image = noisy(*photo)
    made = Preprocessing(size, "crop", **PLAIN)(image)
    factor = short / min(photo)
    width, height = (round(side * factor) for side in photo)
    assert min(width, height) == short
    left, top = round((width - size) / 2), round((height - size) / 2)
    assert made.shape == (3, size, size)
    check(made, image, width, height, (left, top, left + size, top + size))


@pytest.mark.parametrize("turned", [False, True])
def test_crop_of_a_long_photo_shows_its_middle_and_squash_its_ends(turned):
    # Three squares side by side: red, green, blue.
    pixels = np.zeros((60, 180, 3), np.uint8)
    for third in range(3):
        pixels[:, 60 * third : 60 * third + 60, third] = 255
    image = Image.fromarray(pixels.transpose(1, 0, 2) if turned else pixels)
    crop = Preprocessing(224, "crop", **PLAIN)(image)
    assert crop[1].min() >= 254
    assert max(crop[0].max(), crop[2].max()) <= 1
    squash = Preprocessing(224, "squash", **PLAIN)(image)
    squash = squash.transpose(0, 2, 1) if turned else squash
    assert squash[:, 100, 10].tolist() == [255, 0, 0]
    assert squash[:, 100, 112].tolist() == [0, 255, 0]
    assert squash[:, 100, 213].tolist() == [0, 0, 255]


@pytest.mark.parametrize("photo", [(60_000, 1), (1, 60_000), (20_000, 3)])
def test_crop_of_a_strip_shows_its_middle_and_needs_no_gigabytes(photo, monkeypatch):
    largest = []
    resize = Image.Image.resize

    def watched(self, size, *rest, **options):
        largest.append(math.prod(size))
        return resize(self, size, *rest, **options)

    monkeypatch.setattr(Image.Image, "resize", watched)
    # Green, but for the ends.
    image = Image.new("RGB", photo, "red")
    middle = tuple(side // 2 - min(photo) * 2 if side > 3 else 0 for side in photo)
    green = tuple(min(photo) * 4 if side > 3 else side for side in photo)
    image.paste("lime", (*middle, *(a + b for a, b in zip(middle, green, strict=True))))
    made = Preprocessing(224, "crop", **PLAIN)(image)
    assert made.shape == (3, 224, 224)
    assert made[1].min() == 255
    assert made[0].max() == 0
    assert max(largest) < 5_000_000


def test_channels_are_red_green_blue_and_normalised_with_the_constants_of_each_model():
    image = Image.new("RGB", (30, 20), (255, 128, 0))
    resnet = CATALOGUE["resnet50"]
    made = Preprocessing(224, "squash", resnet.scale, resnet.mean, resnet.std)(image)
    # (255/255 - 0.485) / 0.229, (128/255 - 0.456) / 0.224, (0 - 0.406) / 0.225
    for channel, wanted in enumerate([2.2489083, 0.2051821, -1.8044444]):
        assert np.allclose(made[channel], wanted, rtol=0, atol=1e-6)
    lite = CATALOGUE["efficientnet-lite0"]
    made = Preprocessing(224, "squash", lite.scale, lite.mean, lite.std)(image)
    # (255 - 127) / 128, (128 - 127) / 128, (0 - 127) / 128
    for channel, wanted in enumerate([1.0, 0.0078125, -0.9921875]):
        assert np.allclose(made[channel], wanted, rtol=0, atol=1e-7)


def test_rows_and_columns_keep_their_places():
    image = noisy(32, 32, seed=3)
    made = Preprocessing(32, "squash", **PLAIN)(image)
    for x, y in [(0, 0), (31, 0), (0, 31), (5, 20)]:
        assert tuple(made[:, y, x]) == image.getpixel((x, y))


def test_the_photo_itself_is_left_as_it_was():
    image = draw(1, (90, 70))
    before = image.tobytes()
    for resize in ("squash", "crop"):
        Preprocessing(64, resize, **PLAIN)(image)
    assert (image.size, image.tobytes()) == ((90, 70), before)


def test_a_jpeg_is_decoded_at_no_less_than_twice_the_size():
    assert Preprocessing(224, "squash", **PLAIN).decode_at_least == 448


def test_settings_name_the_version_and_everything_that_decides_the_pixels():
    made = Preprocessing(64, "crop", 0.5, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)).settings()
    assert VERSION == 1
    assert made == {
        "version": 1,
        "size": 64,
        "resize": "crop",
        "scale": 0.5,
        "mean": (1.0, 2.0, 3.0),
        "std": (4.0, 5.0, 6.0),
    }


@pytest.mark.parametrize("size", [-224, 0, 31, 2049, 10**6])
def test_an_unusable_size_is_refused_with_the_usable_ones(size):
    with pytest.raises(InputError, match=rf"image size {size} is not usable.*32 to 2048"):
        Preprocessing(size, "squash", **PLAIN)


@pytest.mark.parametrize("size", [32, 2048])
def test_the_smallest_and_largest_size_are_usable(size):
    assert Preprocessing(size, "crop", **PLAIN)(draw(2)).shape == (3, size, size)


def test_an_unknown_rule_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"'stretch' does not exist.*squash or crop"):
        Preprocessing(224, "stretch", **PLAIN)


def test_channels_go_in_the_order_that_the_network_takes():
    image = noisy(64, 64)
    made = Preprocessing(64, "squash", 1.0, (103.939, 116.779, 123.68), (1, 1, 1), "BGR")
    pixels = np.asarray(image, np.float64)
    blue, green, red = (pixels[:, :, channel] for channel in (2, 1, 0))
    expected = np.stack([blue - 103.939, green - 116.779, red - 123.68])
    np.testing.assert_allclose(made(image), expected, atol=1e-4)
    assert made.mean_colour == (124, 117, 104)


@pytest.mark.parametrize("name", RESAMPLING)
def test_photos_are_resized_with_the_filter_asked_for(name):
    image = noisy(90, 70)
    made = Preprocessing(32, "squash", **PLAIN, resample=name)(image)
    expected = image.resize((32, 32), Image.Resampling[name.upper()])
    np.testing.assert_array_equal(made, np.asarray(expected, np.float32).transpose(2, 0, 1))


@pytest.mark.parametrize(("shorter", "size"), [(64, 64), (81, 64), (300, 224), (227, 224)])
def test_the_short_side_before_cropping_can_be_given(shorter, size):
    image = noisy(400, 320)
    made = Preprocessing(size, "crop", **PLAIN, shorter=shorter)
    width = 400 * shorter // 320
    left, top = (width - size) // 2, (shorter - size) // 2
    check(made(image), image, width, shorter, (left, top, left + size, top + size))
    assert made.decode_at_least == 2 * shorter
    box = made.seen(400, 320)
    edges = [left * 400 / width, top * 320 / shorter]
    edges += [(left + size) * 400 / width, (top + size) * 320 / shorter]
    assert box == pytest.approx(edges)


@pytest.mark.parametrize("shorter", [0, 223, 5000])
def test_a_short_side_that_holds_no_square_is_refused(shorter):
    with pytest.raises(InputError, match=f"the short side {shorter} is not usable"):
        Preprocessing(224, "crop", **PLAIN, shorter=shorter)


def test_settings_that_came_later_are_named_only_where_they_matter():
    plain = Preprocessing(224, "crop", **PLAIN)
    assert set(plain.settings()) == {"version", "size", "resize", "scale", "mean", "std"}
    other = Preprocessing(224, "crop", **PLAIN, channels="BGR", resample="box", shorter=256)
    later = {"channels": "BGR", "resample": "box", "shorter": 256}
    assert other.settings() == {**plain.settings(), **later}
