"""HEIC and HEIF: encoded by pillow-heif, compared with the picture that it was made of."""

import io
import struct
import sys

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fakes import draw, encoded, fake_embedder, upright, write_photo
from houndsight import Gallery, index
from houndsight.adding import add_photo
from houndsight.errors import ImageError
from houndsight.heif import is_heif
from houndsight.images import check_size, decode, extension, extra_endings, thumbnail

NO_LIMIT = 1 << 30
PHOTO = draw(1, (96, 64))


def heic(*images, **options):
    """Return a HEIC file, as exact as the kind can be."""
    first, *others = images
    file = pillow_heif.from_pillow(first)
    for other in others:
        file.add_from_pillow(other)
    buffer = io.BytesIO()
    file.save(buffer, quality=-1, chroma=444, **options)
    return buffer.getvalue()


def pixels(data):
    made = decode(data, path=b"photo", at_least=NO_LIMIT)
    assert made.image.mode == "RGB"
    assert (made.width, made.height) == made.image.size
    return np.asarray(made.image).astype(int)


def cause(data):
    with pytest.raises(ImageError) as caught:
        decode(data, path=b"photo", at_least=NO_LIMIT)
    assert caught.value.path == b"photo"
    assert caught.value.cause.isprintable()
    return caught.value.cause


def test_a_heic_gives_nearly_the_pixels():
    assert np.abs(pixels(heic(PHOTO)) - np.asarray(PHOTO)).max() <= 4


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_grey_and_colours_become_rgb(mode):
    wanted = PHOTO.convert(mode)
    assert np.abs(pixels(heic(wanted)) - np.asarray(wanted.convert("RGB"))).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_once(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    xmp = f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'
    data = heic(PHOTO, exif=exif.tobytes(), xmp=xmp.encode())
    # How the encoder wrote it (irot, imir) is not looked at.
    rows = upright(np.asarray(PHOTO), orientation)
    made = pixels(data)
    assert made.shape == rows.shape
    assert np.abs(made - rows).max() <= 4


def test_exif_orientation_alone_does_not_turn_it():
    """HEIF says so: only irot and imir count. An encoder may leave the camera's tag as it was."""
    data = heic(PHOTO, exif=exif_of(1))
    assert data.count(exif_of(1)[-20:]) == 1
    data = data.replace(exif_of(1)[-20:], exif_of(6)[-20:])
    assert np.abs(pixels(data) - np.asarray(PHOTO)).max() <= 4


def test_orientation_in_xmp_alone_does_not_turn_it():
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="%d "/></x:xmpmeta>'
    data = heic(PHOTO, xmp=xmp % 1)
    assert data.count(xmp % 1) == 1
    assert np.abs(pixels(data.replace(xmp % 1, xmp % 6)) - np.asarray(PHOTO)).max() <= 4


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.mark.parametrize("alpha", [0, 100, 255])
def test_alpha_is_laid_over_white(alpha):
    colour = np.array([200, 40, 0])
    data = heic(Image.new("RGBA", (64, 48), (*colour, alpha)))
    wanted = colour * alpha / 255 + 255 * (1 - alpha / 255)
    assert np.abs(pixels(data) - wanted).max() <= 4


@pytest.mark.parametrize("primary", [0, 1, 2])
def test_of_several_photos_the_primary_one_is_seen(primary):
    colours = [(200, 40, 0), (0, 90, 200), (20, 180, 30)]
    data = heic(*(Image.new("RGB", (64, 48), one) for one in colours), primary_index=primary)
    assert np.abs(pixels(data) - colours[primary]).max() <= 4


def test_ten_bits_become_eight():
    deep = (np.asarray(PHOTO).astype(np.uint16) << 8) + 128
    file = pillow_heif.from_bytes("RGB;16", PHOTO.size, deep.tobytes())
    buffer = io.BytesIO()
    file.save(buffer, quality=-1, chroma=444)
    assert pillow_heif.open_heif(buffer).info["bit_depth"] == 10
    assert np.abs(pixels(buffer.getvalue()) - np.asarray(PHOTO)).max() <= 4


def test_what_is_written_beside_the_pixels_is_let_go():
    data = heic(PHOTO, xmp=b"a secret place")
    assert b"a secret place" in data
    made = decode(data, path=b"photo", at_least=NO_LIMIT).image
    assert made.info == {}
    assert b"a secret place" not in thumbnail(made)


def test_pillow_itself_is_left_as_it_was():
    pixels(heic(PHOTO))
    assert "HEIF" not in Image.OPEN
    assert ".heic" not in Image.EXTENSION


@pytest.mark.parametrize(
    ("brands", "heif"),
    [
        ("heic", True),
        ("hevc", True),
        ("mif1 heic", True),
        ("mif1 miaf", True),
        ("msf1 hevc", True),
        ("mif1 miaf avif", False),
        ("avif mif1", False),
        ("crx", False),
        ("isom", False),
    ],
)
def test_heif_is_told_by_its_brands(brands, heif):
    first, *others = (brand.ljust(4).encode() for brand in brands.split())
    box = b"ftyp" + first + bytes(4) + b"".join(others)
    assert is_heif(struct.pack(">I", len(box) + 4) + box + bytes(100)) == heif


def test_avif_is_still_left_to_pillow(monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    assert np.abs(pixels(encoded(PHOTO, "AVIF", quality=100)) - np.asarray(PHOTO)).mean() < 3


def with_size(data, wide, high):
    """Return a HEIC whose header speaks of another size."""
    at = data.index(b"ispe") + 8
    assert struct.unpack_from(">II", data, at) == PHOTO.size
    return data[:at] + struct.pack(">II", wide, high) + data[at + 8 :]


def test_a_decompression_bomb_is_refused_by_its_header():
    assert cause(with_size(heic(PHOTO), 30_000, 30_000)) == (
        "holds more pixels than are safe to decode"
    )


def test_what_is_larger_than_its_header_says_is_not_decoded():
    assert cause(with_size(heic(PHOTO), 8, 8)).startswith("is damaged: ")


def test_the_size_is_checked_before_decoding():
    data = heic(PHOTO)
    check_size(data, path=b"photo", most=96 * 64)
    with pytest.raises(ImageError, match="holds more than 0 megapixels"):
        check_size(data, path=b"photo", most=96 * 64 - 1)
    with pytest.raises(ImageError, match="megapixels"):
        check_size(with_size(data, 30_000, 30_000), path=b"photo", most=1000)


def test_a_file_cut_off_anywhere_is_refused():
    data = heic(PHOTO)
    for cut in {*range(0, len(data), 97), len(data) - 1}:
        assert cause(data[:cut]).startswith(("is damaged: ", "is no photo of a kind"))


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=100)
@given(st.data())
def test_a_file_with_bytes_overwritten_is_refused_or_read(data):
    file = bytearray(SMALL)
    places = st.integers(0, len(file) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        file[place] = byte
    try:
        made = decode(bytes(file), path=b"photo", at_least=NO_LIMIT).image.mode
    except ImageError as error:
        made = error.cause
    assert made.isprintable()


SMALL = heic(draw(6, (24, 20)))


def test_without_the_extra_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    for look in (
        lambda: decode(heic(PHOTO), path=b"a.heic", at_least=NO_LIMIT),
        lambda: check_size(heic(PHOTO), path=b"a.heic", most=NO_LIMIT),
    ):
        with pytest.raises(ImageError) as caught:
            look()
        assert str(caught.value) == (
            "a.heic: is a HEIC photo, for which houndsight[heic] is needed. "
            "Run: pip install 'houndsight[heic]'"
        )
    assert ".heic" not in extra_endings()


def test_endings_are_named_where_the_extra_is_there():
    assert {".heic", ".heif", ".hif", ".dng"} < set(extra_endings())
    assert extension(heic(PHOTO), path=b"any") == ".heic"


def test_photos_without_their_extra_are_skipped_until_it_is_there(tmp_path, monkeypatch):
    write_photo(tmp_path / "photos" / "a.jpg", 1)
    (tmp_path / "photos" / "b.heic").write_bytes(heic(PHOTO))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pi_heif", None)
        report = index(tmp_path / "photos", tmp_path / "g", embedder=fake_embedder())
    (skipped,) = report.skipped
    assert skipped.reason == (
        "is a HEIC photo, for which houndsight[heic] is needed. Run: pip install 'houndsight[heic]'"
    )
    report = index(tmp_path / "photos", tmp_path / "g", embedder=fake_embedder())
    assert (report.new, report.unchanged, report.skipped) == (1, 1, [])
    with Gallery(tmp_path / "g") as gallery:
        found = {item.path: item for item in gallery.items()}[b"b.heic"]
        assert (found.width, found.height) == PHOTO.size
        assert gallery.thumbnail(found).startswith(b"\xff\xd8\xff")


def test_a_heic_can_be_added(tmp_path):
    write_photo(tmp_path / "photos" / "a.jpg", 1)
    (tmp_path / "b").write_bytes(heic(draw(2)))
    index(tmp_path / "photos", tmp_path / "g", embedder=fake_embedder())
    with Gallery(tmp_path / "g") as gallery:
        added = add_photo(gallery, fake_embedder(), tmp_path / "b")
        assert added.item.path.endswith(b".heic")
        assert gallery.verify() == []
