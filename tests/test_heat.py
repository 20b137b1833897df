"""Heat maps: the colours are ordered and keep apart, and lie where the shares are."""

import numpy as np
import pytest
from PIL import Image

from houndsight.errors import InputError
from houndsight.render.heat import Heated, _blended, _Layout, common_scale, heat, overlay
from houndsight.render.sheet import MAT, PAPER

GREY = (128, 128, 128)


def one(shares=None, size=(60, 60), seen=(0, 0, 1, 1), colour=GREY):
    return Heated(Image.new("RGB", size, colour), "Label", "0.5", shares, seen)


def cell(picture, side, tile=100, pairs=1, pair=0):
    return np.asarray(picture.crop(_Layout(tile, pairs).cell(pair, side)), int)


def at(row, column, value=1.0, shape=(3, 3)):
    shares = np.zeros(shape)
    shares[row, column] = value
    return shares


def lightness(colours):
    """CIE L* of sRGB colours, 0 to 100."""
    c = np.asarray(colours, float) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    y = linear @ (0.2126, 0.7152, 0.0722)
    return np.where(y > 216 / 24389, 116 * np.cbrt(y) - 16, y * 24389 / 27)


def warm(pixels):
    return pixels[..., 0] - pixels[..., 2]


@pytest.mark.parametrize("ground", [0, 64, 128])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_scale_is_ordered_by_lightness_alone_over_any_but_the_lightest_ground(ground, sign):
    values = sign * np.linspace(0.15, 1, 30)[None]
    light = lightness(_blended(np.full((1, 30, 3), float(ground)), values)[0])
    assert (np.diff(light) > 0).all()
    assert light[-1] - light[0] > 20


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_what_takes_away_is_blue_what_adds_is_orange_and_nothing_is_grey(ground):
    values = np.array([[-1.0, -0.3, 0.0, 0.3, 1.0]])
    colours = _blended(np.full((1, 5, 3), float(ground)), values)[0]
    assert (warm(colours[:2]) < -15).all()
    assert np.ptp(colours[2]) == 0
    assert (warm(colours[3:]) > 15).all()


@pytest.mark.parametrize("place", [(0, 0), (1, 2), (2, 1)])
@pytest.mark.parametrize("side", [0, 1])
def test_the_heat_lies_where_the_share_is(place, side):
    pair = [one(), one()]
    pair[side] = one(at(*place))
    picture = heat([tuple(pair)], title="t", legend="l", tile=90)
    hot = warm(cell(picture, side, tile=90))
    middles = hot[15::30, 15::30]
    assert np.unravel_index(middles.argmax(), (3, 3)) == place
    assert middles.max() > 60
    assert (np.sort(middles.ravel())[:4] < 10).all()
    assert (warm(cell(picture, 1 - side, tile=90)) == 0).all()


def test_a_grid_over_a_photo_that_is_not_square_is_stretched_over_all_of_it():
    picture = heat([(one(at(0, 2), size=(300, 100)), one())], title="", legend="", tile=90)
    hot = warm(cell(picture, 0, tile=90))
    rows, columns = np.nonzero(hot > 40)
    assert (rows >= 30).all()
    assert (rows < 50).all(), "the photo is 30 pixels high in a square of 90"
    assert (columns > 45).all()


def test_only_what_was_seen_is_heated_and_the_rest_is_faded():
    shares = np.ones((3, 3))
    picture = heat([(one(shares, seen=(0.5, 0, 1, 0.5)), one())], title="", legend="", tile=100)
    pixels = cell(picture, 0)
    assert (warm(pixels[:50, 50:]) > 60).all()
    assert (warm(pixels[50:]) == 0).all()
    assert (warm(pixels[:50, :50]) == 0).all()
    assert (pixels[50:] > 200).all()


def test_smoothing_makes_up_no_values():
    """Bicubic filters overshoot: beside a strong share they would show a negative one."""
    picture = heat([(one(at(1, 1, shape=(7, 7))), one())], title="", legend="", tile=140)
    assert (warm(cell(picture, 0, tile=140)) >= 0).all()


def test_all_pairs_have_one_scale():
    weak, strong = np.full((3, 3), 0.1), np.full((3, 3), 1.0)
    pairs = [(one(weak), one(weak)), (one(strong), one(strong))]
    picture = heat(pairs, title="", legend="", tile=100)
    assert picture.size == _Layout(100, 2).size
    first, second = (warm(cell(picture, 0, pairs=2, pair=n)).mean() for n in (0, 1))
    assert second > 2 * first > 0
    alone = heat(pairs[:1], title="", legend="", tile=100)
    assert warm(cell(alone, 0)).mean() == pytest.approx(second, abs=1)


@pytest.mark.parametrize(
    ("size", "shown"), [((1000, 500), (640, 320)), ((30, 60), (30, 60)), ((1, 2000), (1, 640))]
)
def test_a_photo_alone_has_its_size_up_to_a_limit(size, shown):
    picture = overlay(Image.new("RGBA", size), at(0, 0), (0, 0, 1, 1), 1.0)
    assert (picture.size, picture.mode) == (shown, "RGB")


def test_a_photo_alone_is_as_in_the_picture_of_a_pair():
    pair = one(at(0, 2), seen=(0, 0.25, 1, 1)), one(at(1, 1, -2.0))
    scale = common_scale(photo.shares for photo in pair)
    assert scale == 2
    picture = heat([pair], title="", legend="", tile=60)
    for side, photo in enumerate(pair):
        alone = overlay(photo.picture, photo.shares, photo.seen, scale)
        assert np.array_equal(cell(picture, side, tile=60), np.asarray(alone))


def test_the_scale_of_nothing_divides_by_one():
    assert common_scale([]) == common_scale([np.zeros((2, 2))]) == 1


@pytest.mark.parametrize("count", [1, 2, 5])
def test_pairs_do_not_overlap(count):
    layout = _Layout(60, count)
    boxes = [layout.cell(n, side) for n in range(count) for side in (0, 1)]
    covered = np.zeros(layout.size[::-1], int)
    for x0, y0, x1, y1 in boxes:
        covered[y0:y1, x0:x1] += 1
    assert covered.max() == 1
    assert covered.sum() == 2 * count * 60 * 60
    assert max(y1 for *_, y1 in boxes) + layout.caption < layout.legend < layout.size[1]


def test_a_missing_photo_and_one_that_is_not_explained_are_drawn():
    missing = Heated(None, "Label", "not explained")
    picture = heat([(one(), missing)], title="", legend="", tile=100)
    assert tuple(cell(picture, 1)[5, 5]) == MAT
    assert (warm(cell(picture, 0)) == 0).all()


def test_shares_of_nothing_are_no_division_by_zero():
    picture = heat([(one(np.zeros((3, 3))), one(np.zeros((3, 3))))], title="", legend="")
    assert (warm(cell(picture, 0, tile=400)) == 0).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16"])
def test_photos_of_any_mode_and_shape_are_drawn(mode):
    for size in ((1, 1), (3, 900)):
        photo = Heated(Image.new(mode, size), "犬\n", "\u202e", np.ones((7, 7)))
        assert heat([(photo, photo)], title="x" * 900, legend="y" * 900, tile=48).mode == "RGB"


def test_the_legend_tells_the_ends_and_zero():
    def legend(low, high):
        pair = (one(np.array([[low, high]])), one())
        picture = heat([pair], title="", legend="words", tile=200)
        return np.asarray(picture.crop((0, _Layout(200, 1).legend, *picture.size)), int)

    plain, both = legend(0.0, 1.0), legend(-1.0, 1.0)
    assert (warm(plain) > -40).all()
    assert (warm(both) < -60).any()
    assert not np.array_equal(plain, legend(0.0, 0.5)), "the number at its end is another"
    assert (plain[-5:] == PAPER).all()


@pytest.mark.parametrize("wrong", [{"pairs": []}, {"tile": 20}])
def test_impossible_pictures_are_refused(wrong):
    with pytest.raises(InputError):
        heat(**{"pairs": [(one(), one())], "title": "", "legend": "", **wrong})
