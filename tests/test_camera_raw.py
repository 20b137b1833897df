"""Camera RAW: DNGs made by hand, developed, and compared with the colours that the sensor saw."""

import io
import os
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dng import dng, mosaic_of, plain
from fakes import draw, encoded, fake_embedder, upright, write_photo
from houndsight import Gallery, camera_raw, index
from houndsight.adding import add_photo
from houndsight.errors import ImageError
from houndsight.images import check_size, decode, extension, extra_endings, is_photo

LINEAR = (20_000, 40_000, 5_000)
SHOWN = (10, 200, 30)


def decoded(data, at_least=448, path=b"photo"):
    made = decode(data, path=path, at_least=at_least)
    assert made.image.mode == "RGB"
    return made


def pixels(data, **options):
    return np.asarray(decoded(data, **options).image).astype(int)


def cause(data, path=b"photo"):
    with pytest.raises(ImageError) as caught:
        decode(data, path=path, at_least=448)
    assert caught.value.path == path
    assert caught.value.cause.isprintable()
    return caught.value.cause


def jpeg(size, colour=SHOWN, **options):
    return (*size, encoded(Image.new("RGB", size, colour), quality=100, **options))


def encoding(linear):
    """From linear light, 0 to 1, to 0 to 255, by the formula of ITU-R BT.709."""
    linear = np.asarray(linear, float)
    curve = np.where(linear < 0.018, 4.5 * linear, 1.099 * linear**0.45 - 0.099)
    return 255 * curve


def is_developed(data, **options):
    """Whether the sensor's colour is seen; exactly one of it and the JPEG's has to be."""
    made = pixels(data, **options)
    # The brightest is white: LibRaw exposes so that a hundredth of the photo is.
    near = [
        np.abs(made - wanted).max() <= 3 for wanted in (encoding(np.divide(LINEAR, 40_000)), SHOWN)
    ]
    assert sum(near) == 1
    return near[0]


# Developed


def test_a_colour_is_developed_as_the_standard_says():
    made = pixels(dng(plain((640, 480), LINEAR)))
    assert made.shape == (480, 640, 3)
    assert np.abs(made - encoding([0.5, 1, 0.125])).max() <= 1


def quarters():
    """Linear colours of four quarters: red, green, blue and grey; white where nothing is looked."""
    colours = np.full((480, 640, 3), 50_000, np.uint16)
    for number, (top, left) in enumerate(((0, 0), (0, 300), (220, 0), (220, 300))):
        colours[top : top + 220, left : left + 300] = (4000, 4000, 4000)
        if number < 3:
            colours[top : top + 220, left : left + 300, number] = 30_000
    return colours


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("at_least", [128, 448])
def test_it_is_turned_once(orientation, at_least, monkeypatch):
    monkeypatch.setattr(camera_raw, "LEAST", 100)
    made = decoded(dng(mosaic_of(quarters()), orientation=orientation), at_least)
    seen = upright(quarters(), orientation)
    assert (made.height, made.width) == seen.shape[:2]
    half = at_least == 128
    wanted = seen[::2, ::2] if half else seen
    image = np.asarray(made.image).astype(float)
    assert image.shape == wanted.shape
    # Edges are the developer's business; everything else must be where it was seen.
    assert np.median(np.abs(image - encoding(wanted / 50_000))) <= 2
    assert (np.abs(image - encoding(wanted / 50_000)).max(axis=2) <= 6).mean() > 0.95


@pytest.mark.parametrize(
    ("size", "at_least", "seen"),
    [
        ((1040, 1024), 448, (520, 512)),
        ((1040, 1022), 448, (1040, 1022)),
        ((1200, 1100), 550, (600, 550)),
        ((1200, 1100), 551, (1200, 1100)),
    ],
)
def test_it_is_developed_at_half_the_size_where_enough_is_left(size, at_least, seen):
    made = decoded(dng(plain(size, LINEAR)), at_least)
    assert made.image.size == seen
    assert (made.width, made.height) == size


# The JPEG within

FRAME = (1200, 900)


@pytest.mark.parametrize(
    ("shown", "developed"),
    [
        ((684, 513), False),
        ((680, 510), True),  # its shorter side has less than 512
        ((1200, 900), False),
        ((1600, 1200), True),  # larger than the sensor
        ((1160, 900), False),  # a few columns are left out, as cameras do
        ((900, 600), True),  # 3:2 of 4:3: not the whole frame, or with bars
        ((513, 684), True),
    ],
)
def test_the_jpeg_within_is_taken_where_it_shows_all_and_enough(shown, developed):
    data = dng(plain(FRAME, LINEAR), preview=jpeg(shown))
    assert is_developed(data) == developed
    made = decoded(data, at_least=9999)
    assert (made.width, made.height) == FRAME
    if not developed:
        assert made.image.size == shown


def test_a_large_jpeg_within_is_made_smaller_as_it_is_decoded():
    made = decoded(dng(plain((2400, 1800), LINEAR), preview=jpeg((2400, 1800))))
    assert (made.width, made.height) == (2400, 1800)
    assert made.image.size == (600, 450)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("tag", [None, 0x0112, 0x010E], ids=["no EXIF", "its own", "no such tag"])
def test_the_jpeg_within_is_turned_once(orientation, tag):
    picture = draw(3, (720, 540))
    rows = np.asarray(picture).astype(int)
    exif = Image.Exif()
    if tag:
        exif[tag] = orientation if tag == 0x0112 else "a dog"
    options = {"exif": exif.tobytes()} if tag else {}
    within = encoded(picture, quality=100, subsampling=0, **options)
    if tag:  # as cameras have it: LibRaw puts EXIF of its own before what does not begin with it
        assert within[6:10] == b"JFIF"
        within = within[:2] + within[20:]
        assert within[6:10] == b"Exif"
    made = pixels(
        dng(plain(FRAME, LINEAR), orientation=orientation, preview=(720, 540, within)),
        at_least=9999,
    )
    seen = upright(rows, orientation)
    assert made.shape == seen.shape
    assert np.abs(made - seen).max() <= 8


def test_what_the_jpeg_says_of_itself_counts():
    picture = draw(3, (720, 540))
    exif = Image.Exif()
    exif[0x0112] = 1
    within = encoded(picture, quality=100, exif=exif.tobytes())
    within = within[:2] + within[20:]
    data = dng(plain(FRAME, LINEAR), orientation=3, preview=(720, 540, within))
    assert np.abs(pixels(data, at_least=9999) - np.asarray(picture)).mean() < 3


def test_a_damaged_jpeg_within_does_not_damage_the_photo():
    wide, high, data = jpeg((720, 540))
    assert is_developed(dng(plain(FRAME, LINEAR), preview=(wide, high, data[:700])))
    assert is_developed(dng(plain(FRAME, LINEAR), preview=(wide, high, b"\xff\xd8" + bytes(700))))


# Told from other photos

TINY = encoded(Image.new("RGB", (16, 16), "red"), "TIFF")


@pytest.mark.parametrize(
    ("data", "path", "kind"),
    [
        (dng(plain((64, 48), LINEAR)), b"a", ".dng"),
        (dng(plain((64, 48), LINEAR)), b"a.tif", ".dng"),
        (dng(plain((64, 48), LINEAR), sub=True), b"a", ".dng"),
        (dng(plain((64, 48), LINEAR), named=False), b"a", ".tif"),
        (dng(plain((64, 48), LINEAR), named=False, sub=True), b"a", ".tif"),
        (dng(plain((64, 48), LINEAR), named=False, sub=True), b"a.NEF", ".nef"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(20), b"a", ".cr2"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", b"a", ".cr3"),
        (b"FUJIFILMCCD-RAW 0201", b"a", ".raf"),
        (b"IIRO\x08\0\0\0", b"a", ".orf"),
        (b"IIU\0\x08\0\0\0", b"a", ".rw2"),
        (TINY, b"a.arw", ".arw"),
        (TINY, b"a.tif", None),
        (TINY, b"a", None),
        (encoded(draw(1)), b"a.nef", None),
        (b"II*\0", b"a", None),
        (b"", b"a.nef", None),
    ],
)
def test_it_is_told_by_content_and_where_that_says_nothing_by_name(data, path, kind):
    assert camera_raw.kind(data, path) == kind
    assert is_photo(b"x" + (kind or ".jpg").encode())
    if kind:
        assert extension(data, path=path) == kind


def test_a_motorolas_byte_order_is_read_too():
    directory = struct.pack(">HHHIHHI", 1, 262, 3, 1, 32803, 0, 0)
    assert camera_raw.kind(b"MM\0*\0\0\0\x08" + directory, b"a") == ".tif"


@pytest.mark.parametrize("named", [False, True])
def test_the_small_picture_in_its_first_directory_is_never_what_is_seen(named):
    """Cameras put a thumbnail there, and Pillow takes it for the photo."""
    data = dng(plain((640, 480), LINEAR), sub=True, named=named)
    with Image.open(io.BytesIO(data)) as opened:
        assert (opened.size, opened.getpixel((3, 3))) == ((16, 12), (255, 0, 0))
    assert is_developed(data)


def test_what_only_its_name_tells_is_not_seen_as_a_tiff():
    assert np.abs(pixels(TINY, path=b"a.tif") - (255, 0, 0)).max() == 0
    assert cause(TINY, b"a.arw").startswith("is a camera RAW photo that LibRaw cannot read: ")


def test_a_jpeg_named_like_camera_raw_is_a_jpeg():
    assert (
        np.abs(pixels(encoded(Image.new("RGB", (64, 48), SHOWN)), path=b"a.nef") - SHOWN).max() < 9
    )


def test_directories_that_lead_round_in_a_circle_end():
    entry = struct.pack("<HHII", 330, 4, 1000, 8)
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", 1000) + entry * 1000 + struct.pack("<I", 8)
    assert camera_raw.kind(data, b"a") is None


# What cannot be read


def test_a_file_cut_off_anywhere_is_refused():
    data = dng(plain((640, 480), LINEAR))
    for cut in {*range(8, len(data), 9973), *range(8, 700, 23), len(data) - 2}:
        assert cause(data[:cut], b"a.dng").startswith(
            "is a camera RAW photo that LibRaw cannot read"
        )


def test_too_many_pixels_are_refused_before_they_are_read():
    data = dng(plain((640, 480), LINEAR))
    check_size(data, path=b"a", most=640 * 480)
    with pytest.raises(ImageError, match="holds more than 0 megapixels"):
        check_size(data, path=b"a", most=640 * 480 - 1)
    large = data.replace(
        struct.pack("<HHII", 256, 4, 1, 640), struct.pack("<HHII", 256, 4, 1, 20_000)
    )
    large = large.replace(
        struct.pack("<HHII", 257, 4, 1, 480), struct.pack("<HHII", 257, 4, 1, 20_000)
    )
    assert cause(large) == "holds more pixels than are safe to decode"
    with pytest.raises(ImageError, match="holds more than 64 megapixels"):
        check_size(large, path=b"a", most=64_000_000)


SMALL = dng(plain((64, 48), LINEAR), preview=jpeg((40, 30)))


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_file_with_bytes_overwritten_is_refused_or_read(data):
    file = bytearray(SMALL)
    places = st.integers(0, 700)  # where its directories are
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        file[place] = byte
    try:
        made = decode(bytes(file), path=b"a.dng", at_least=448).image.mode
    except ImageError as error:
        made = error.cause
    assert made.isprintable()


def test_without_the_extra_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    data = dng(plain((64, 48), LINEAR))
    for look in (
        lambda: decode(data, path=b"a.dng", at_least=448),
        lambda: check_size(data, path=b"a.dng", most=1),
    ):
        with pytest.raises(ImageError) as caught:
            look()
        assert str(caught.value) == (
            "a.dng: is a camera RAW photo, for which houndsight[raw] is needed. "
            "Run: pip install 'houndsight[raw]'"
        )
    assert ".dng" not in extra_endings()


# Through a gallery


def test_camera_raw_is_indexed_added_and_found_again(tmp_path):
    photos = tmp_path / "photos"
    write_photo(photos / "a.jpg", 1)
    (photos / "b.nef").write_bytes(
        dng(plain((640, 480), LINEAR), named=False, sub=True, orientation=6)
    )
    report = index(photos, tmp_path / "g", embedder=fake_embedder())
    assert (report.new, report.skipped) == (2, [])
    (tmp_path / "c.pef").write_bytes(dng(plain((64, 48), (9000, 500, 500)), named=False))
    with Gallery(tmp_path / "g") as gallery:
        found = {item.path: item for item in gallery.items()}[b"b.nef"]
        assert (found.width, found.height) == (480, 640)
        with Image.open(io.BytesIO(gallery.thumbnail(found))) as thumbnail:
            assert (thumbnail.format, thumbnail.size) == ("JPEG", (192, 256))
        added = add_photo(gallery, fake_embedder(), tmp_path / "c.pef")
        assert os.path.splitext(added.item.path)[1] == b".pef"
        assert gallery.verify() == []
