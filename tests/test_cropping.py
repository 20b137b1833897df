"""Parts of photos: how they are written, and that what is seen is what was asked for."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fakes import draw, encoded, fake_embedder
from houndsight import Gallery, InputError, read_queries
from houndsight.cropping import WHOLE, Crop, View
from houndsight.images import decode

RED, BLACK = (250, 10, 20), (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "crop"),
    [
        ("40,60,200,150", Crop(40, 60, 200, 150)),
        (" 40 , 60,200, 150 ", Crop(40, 60, 200, 150)),
        ("10,20,50,50%", Crop(10, 20, 50, 50, percent=True)),
        ("10%,20%,50%,50%", Crop(10, 20, 50, 50, percent=True)),
        ("0,12.5,100,33.3 %", Crop(0, 12.5, 100, 33.3, percent=True)),
        ("33.4,33.4,66.6,66.6%", Crop(33.4, 33.4, 66.6, 66.6, percent=True)),
    ],
)
def test_a_part_is_read_as_it_is_written(text, crop):
    assert Crop.parse(text) == crop
    assert Crop.parse(str(crop)) == crop


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is no part of a photo"),
        ("1,2,3", "is no part"),
        ("1,2,3,4,5", "is no part"),
        ("1;2;3;4", "is no part"),
        ("a,2,3,4", "is no part"),
        ("nan,2,3,4", "is no part"),
        ("1e2,2,3,4", "is no part"),
        ("1%,2,3,4", "is no part"),
        ("1%,2%,3%,4", "is no part"),
        ("1.5,2,3,4", "is no part"),
        ("1,2,0,4", "is empty"),
        ("1,2,3,-4", "is empty"),
        ("-1,2,3,4", "reaches beyond"),
        ("60,0,50,10%", "reaches beyond"),
        ("0,0,100.1,100%", "reaches beyond"),
        ("1,\x1b[2J,3,4", r"'1,\x1b[2J,3,4' is no part"),
    ],
)
def test_what_is_no_part_is_refused_with_an_example(text, says):
    with pytest.raises(InputError) as error:
        Crop.parse(text)
    assert says in str(error.value)
    assert "10,20,50,50%" in error.value.remedy


def test_pixels_beyond_the_photo_are_refused_and_its_size_is_said():
    crop = Crop(30, 0, 11, 10)
    assert crop.fractions(41, 10) == (30 / 41, 0, 1, 1)
    with pytest.raises(InputError, match="30,0,11,10 reaches beyond the photo, which is 40 x 50"):
        crop.fractions(40, 50)


sizes = st.integers(1, 60)


@given(st.data(), sizes, sizes)
def test_pixels_are_cut_out_to_the_pixel(data, width, height):
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    wide, high = data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    image = Image.fromarray(
        np.arange(width * height * 3).reshape(height, width, 3).astype(np.uint8)
    )
    seen = View(Crop(x, y, wide, high))(image, image.size)
    assert np.array_equal(np.asarray(seen), np.asarray(image)[y : y + high, x : x + wide])
    if (wide, high) != (width, height):
        out = np.asarray(View(without=(Crop(x, y, wide, high),))(image, image.size, RED)).copy()
        assert (out[y : y + high, x : x + wide] == RED).all()
        out[y : y + high, x : x + wide] = np.asarray(image)[y : y + high, x : x + wide]
        assert np.array_equal(out, np.asarray(image))


def test_the_whole_photo_is_untouched():
    image = draw(1)
    assert WHOLE(image, image.size) is image


def test_a_part_may_be_smaller_than_a_pixel_of_the_photo():
    seen = View(Crop(99.9, 0, 0.1, 0.1, percent=True))(draw(1), (48, 40))
    assert seen.size == (1, 1)


def test_painted_parts_are_parts_of_the_photo_not_of_the_crop():
    image = Image.new("RGB", (100, 100), RED)
    view = View(Crop(50, 0, 50, 100), (Crop(40, 0, 20, 50),))
    seen = np.asarray(view(image, image.size, BLACK))
    assert (seen[:50, :10] == BLACK).all()
    assert (seen[50:] == RED).all()
    assert (seen[:, 10:] == RED).all()


def test_nothing_left_to_be_seen_is_an_error():
    view = View(Crop(10, 10, 20, 20), (Crop(0, 0, 20, 50), Crop(20, 0, 20, 50)))
    with pytest.raises(InputError, match="nothing of the photo is left"):
        view(Image.new("RGB", (50, 50)), (50, 50))


@pytest.fixture
def large():
    """A JPEG of 1600 x 1200, red where x is 800 to 1000 and y 300 to 450."""
    pixels = np.full((1200, 1600, 3), 128, np.uint8)
    pixels[300:450, 800:1000] = RED
    return encoded(Image.fromarray(pixels), quality=95)


@pytest.mark.parametrize("text", ["800,300,200,150", "50,25,12.5,12.5%"])
def test_a_part_is_one_of_the_photo_at_full_size_and_keeps_its_pixels(large, text):
    view = View(Crop.parse(text))
    photo = decode(large, path=b"", at_least=view.at_least(64))
    seen = view(photo.image, (photo.width, photo.height))
    assert min(seen.size) >= 64  # twice what a network of 32 pixels takes
    inner = np.asarray(seen, int)[4:-4, 4:-4]
    assert np.abs(inner - RED).max() < 12


def test_what_is_left_out_of_a_photo_decoded_at_reduced_size_is_all_of_it(large):
    view = View(without=(Crop(797, 297, 206, 156),))
    photo = decode(large, path=b"", at_least=view.at_least(64))
    assert photo.image.width < photo.width
    seen = np.asarray(view(photo.image, (photo.width, photo.height), (128, 128, 128)), int)
    assert np.abs(seen - 128).max() < 12


def test_parts_are_of_the_upright_photo():
    upright = Image.new("RGB", (40, 60))
    upright.paste(RED, (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right: stored, it stands on its side
    stored = encoded(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    assert Image.open(io.BytesIO(stored)).size == (60, 40)
    photo = decode(stored, path=b"", at_least=64)
    seen = View(Crop(0, 0, 20, 20))(photo.image, (photo.width, photo.height))
    assert seen.getcolors() == [(400, RED)]


def test_a_query_of_a_part_is_that_part(photos, tmp_path):
    embedder = fake_embedder()
    image = Image.open(photos / "pug" / "pug-1.jpg").convert("RGB")
    view = View(Crop(25, 50, 50, 50, percent=True))
    with Gallery.create(tmp_path / "g", embedder) as gallery:
        asked = read_queries(gallery, embedder, photos / "pug" / "pug-1.jpg", view=view)
        with pytest.raises(InputError, match="reaches beyond"):
            Crop(0, 0, 49, 40).fractions(*image.size)
        beyond = View(Crop(0, 0, 49, 40))
        none = read_queries(gallery, embedder, photos / "pug", view=beyond)
    alone = embedder.embed(image.crop((12, 20, 36, 40)))
    assert np.array_equal(asked.vectors.values, alone.values)
    assert asked.photos[0].view == view
    assert not none.photos
    assert [skip.reason for skip in none.skipped] == [
        "the part 0,0,49,40 reaches beyond the photo, which is 48 x 40 pixels. "
        "Name a part that lies inside, or give it in per cent"
    ] * 4


def test_painted_parts_add_nothing(photos, tmp_path):
    path = photos / "pug" / "pug-1.jpg"
    embedder = fake_embedder()  # its mean colour is black
    with Gallery.create(tmp_path / "g", embedder) as gallery:
        view = View(without=(Crop(0, 0, 50, 100, percent=True),))
        asked = read_queries(gallery, embedder, path, view=view)
    cells = asked.vectors.values.reshape(3, 8, 8)
    assert (cells[:, :, :3] == 0).all()
    assert (cells[:, :, 5:] > 0).all()
