"""Photos found, read and decoded; what upright pixels are is worked out with NumPy alone."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import houndsight.pixels
from fakes import draw, encoded, write_photo
from houndsight.errors import ImageError
from houndsight.images import decode, read, thumbnail

ORIENTATION = 0x0112
NO_LIMIT = 1 << 30


def decoded(data, at_least=NO_LIMIT):
    return decode(data, path=b"photo", at_least=at_least)


def pixels(data, at_least=NO_LIMIT):
    made = decoded(data, at_least).image
    assert made.mode == "RGB"
    return np.asarray(made).astype(int)


def cause(data):
    with pytest.raises(ImageError) as caught:
        decoded(data)
    assert caught.value.path == b"photo"
    assert caught.value.cause.isprintable()
    return caught.value.cause


def outcome(data):
    """What is decoded, or the reason why nothing is."""
    try:
        return decoded(data)
    except ImageError as error:
        return error.cause


def png(width, height, *, bits=8, colour=2, rows=b"", before=b""):
    """A PNG by hand: `colour` 0 is grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA."""

    def chunk(kind, body):
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


# Formats

LOSSLESS = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "BMP": {},
}
LOSSY = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "MPO": {"quality": 95, "subsampling": 0},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}
EVERY = {**LOSSLESS, **LOSSY, "GIF": {}}
PHOTO = draw(1, (90, 64))


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_the_very_pixels(kind):
    made = decoded(encoded(PHOTO, kind, **LOSSLESS[kind]))
    assert np.array_equal(np.asarray(made.image), np.asarray(PHOTO))
    assert (made.width, made.height, made.image.mode) == (90, 64, "RGB")


@pytest.mark.parametrize("kind", LOSSY)
def test_lossy_formats_give_nearly_the_pixels(kind):
    made = decoded(encoded(PHOTO, kind, **LOSSY[kind]))
    assert np.abs(np.asarray(made.image).astype(int) - np.asarray(PHOTO)).mean() < 3
    assert (made.width, made.height) == (90, 64)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF", "MPO"])
def test_of_an_animation_or_several_pages_the_first_is_taken(kind):
    first, second = Image.new("RGB", (40, 30), (200, 40, 0)), Image.new("RGB", (40, 30), "blue")
    data = encoded(first, kind, save_all=True, append_images=[second, second])
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.n_frames > 1
    assert np.abs(pixels(data) - (200, 40, 0)).max() <= 6


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiffs_are_read(compression):
    assert np.array_equal(pixels(encoded(PHOTO, "TIFF", compression=compression)), PHOTO)


def test_the_kind_is_told_by_content_not_by_name():
    made = decode(encoded(PHOTO, "PNG"), path=b"named.jpg", at_least=NO_LIMIT)
    assert np.array_equal(np.asarray(made.image), np.asarray(PHOTO))


# EXIF orientation

UPRIGHT = np.asarray(draw(2, (96, 64)))
# How a camera held that way stores the upright picture: TIFF 6.0, tag Orientation, says at which
# side of the picture the stored row 0 and column 0 are (1: top, left; 6: right, top; ...).
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: UPRIGHT[:, ::-1].transpose(1, 0, 2),
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: UPRIGHT[::-1].transpose(1, 0, 2),
}


def turned(orientation, kind, **options):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(Image.fromarray(STORED[orientation].copy()), kind, exif=exif, **options)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", [kind for kind in (*LOSSLESS, *LOSSY) if kind != "BMP"])
def test_photos_are_turned_upright_once(kind, orientation):
    made = decoded(turned(orientation, kind, **EVERY[kind]))
    assert (made.width, made.height) == made.image.size == (96, 64)
    # Any other way up is off by 40 and more.
    error = np.abs(np.asarray(made.image).astype(int) - UPRIGHT).mean()
    assert error == 0 if kind in LOSSLESS else error < 3


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg"])
def test_compressed_tiffs_are_turned_upright_once(compression, orientation):
    made = decoded(turned(orientation, "TIFF", compression=compression))
    assert (made.width, made.height) == made.image.size == (96, 64)
    assert np.abs(np.asarray(made.image).astype(int) - UPRIGHT).mean() < 4


@pytest.mark.parametrize("orientation", STORED)
def test_a_jpeg_decoded_at_reduced_size_is_upright_and_tells_its_full_size(orientation):
    made = decoded(turned(orientation, "JPEG"), at_least=16)
    assert made.image.size == (24, 16)
    assert (made.width, made.height) == (96, 64)
    small = UPRIGHT.reshape(16, 4, 24, 4, 3).mean(axis=(1, 3))
    assert np.abs(np.asarray(made.image) - small).mean() < 6


@pytest.mark.parametrize("orientation", [0, 9, 99, 65535])
def test_orientations_that_do_not_exist_are_no_turn(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert np.array_equal(pixels(encoded(PHOTO, "PNG", exif=exif)), PHOTO)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0neither II nor MM",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        # The orientation is text.
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04six\0\0\0\0\0",
    ],
    ids=["empty", "foreign", "cut off", "too many", "points outside", "text"],
)
def test_a_photo_with_damaged_exif_data_is_read_as_stored(kind, exif):
    options = {**EVERY[kind], "exif": exif}
    with_exif = encoded(PHOTO, kind, **options)
    assert exif[6:] in with_exif
    assert np.array_equal(pixels(with_exif), pixels(encoded(PHOTO, kind, **EVERY[kind])))


# Alpha, depth, colour

COLOUR = (200, 40, 0)


def over_white(alpha, colour=COLOUR):
    return [channel * alpha / 255 + 255 * (1 - alpha / 255) for channel in colour]


@pytest.mark.parametrize("alpha", [0, 1, 64, 128, 254, 255])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_over_white(kind, alpha):
    image = Image.new("RGBA", (40, 40), (*COLOUR, alpha))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    assert np.abs(pixels(encoded(image, kind, **options)) - over_white(alpha)).max() <= 1


@pytest.mark.parametrize("alpha", [0, 100, 255])
def test_alpha_of_avif_is_laid_over_white(alpha):
    data = encoded(Image.new("RGBA", (40, 40), (*COLOUR, alpha)), "AVIF", quality=100)
    assert np.abs(pixels(data) - over_white(alpha)).max() <= 4


@pytest.mark.parametrize("alpha", [0, 100, 255])
def test_alpha_of_grey_is_laid_over_white(alpha):
    data = encoded(Image.new("LA", (40, 40), (30, alpha)), "PNG")
    assert np.abs(pixels(data) - over_white(alpha, (30, 30, 30))).max() <= 1


def palette_image():
    """Left half colour 0 of the palette, right half colour 1."""
    image = Image.new("P", (40, 40), 0)
    image.putpalette([*COLOUR, 0, 0, 255])
    image.paste(1, (20, 0, 40, 40))
    return image


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette_is_white(kind):
    made = pixels(encoded(palette_image(), kind, transparency=0))
    assert (made[:, :20] == 255).all()
    assert (made[:, 20:] == (0, 0, 255)).all()


def test_a_palette_with_alpha_for_each_colour_is_laid_over_white():
    made = pixels(encoded(palette_image(), "PNG", transparency=bytes([100, 255])))
    assert np.abs(made[:, :20] - over_white(100)).max() <= 1
    assert (made[:, 20:] == (0, 0, 255)).all()


def test_a_transparent_colour_of_rgb_grey_and_black_and_white_is_white():
    image = Image.new("RGB", (40, 40), COLOUR)
    image.paste("blue", (20, 0, 40, 40))
    made = pixels(encoded(image, "PNG", transparency=COLOUR))
    assert (made[:, :20] == 255).all()
    assert (made[:, 20:] == (0, 0, 255)).all()
    for mode, other in (("L", 77), ("1", 1)):
        image = Image.new(mode, (40, 40), 0)
        image.paste(other, (20, 0, 40, 40))
        made = pixels(encoded(image, "PNG", transparency=0))
        assert (made[:, :20] == 255).all()
        assert (made[:, 20:] == (77 if mode == "L" else 255)).all()


RAMP = (np.arange(1600) * 40).reshape(40, 40)


def grey(values):
    return np.repeat(np.rint(values)[:, :, None], 3, axis=2)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_16_bits_is_scaled_not_clipped(kind):
    data = encoded(Image.fromarray(RAMP.astype(np.uint16)), kind)
    assert np.array_equal(pixels(data), grey(RAMP / 257))


def test_grey_of_16_bits_stays_dark_where_the_whole_photo_is():
    dark = RAMP // 300
    assert dark.max() < 255
    data = encoded(Image.fromarray(dark.astype(np.uint16)), "PNG")
    assert np.array_equal(pixels(data), grey(dark / 257))


def test_a_16_bit_png_made_by_hand_is_scaled():
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in RAMP)
    assert np.array_equal(pixels(png(40, 40, bits=16, colour=0, rows=rows)), grey(RAMP / 257))


def test_rgb_of_16_bits_is_scaled():
    deep = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=2)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    assert np.abs(pixels(png(40, 40, bits=16, rows=rows)) - deep / 257).max() <= 1


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (RAMP.astype(np.int32), RAMP / 257),
        ((RAMP // 300).astype(np.int32), RAMP // 300),
        ((RAMP * 1000).astype(np.int32), RAMP * 1000 / (RAMP.max() * 1000) * 255),
        ((RAMP / RAMP.max()).astype(np.float32), RAMP / RAMP.max() * 255),
        ((RAMP / RAMP.max() * 200).astype(np.float32), RAMP / RAMP.max() * 200),
        ((-RAMP).astype(np.float32), 0 * RAMP),
    ],
    ids=["to 65535", "to 255", "beyond", "floats to 1", "floats to 255", "below 0"],
)
def test_deeper_tiffs_are_scaled_to_8_bits(values, wanted):
    made = pixels(encoded(Image.fromarray(values), "TIFF"))
    assert np.abs(made - np.repeat(wanted[:, :, None], 3, axis=2)).max() <= 0.51


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_black(missing):
    values = (RAMP / RAMP.max()).astype(np.float32)
    values[5, 7] = missing
    made = pixels(encoded(Image.fromarray(values), "TIFF"))
    assert made[5, 7].tolist() == [0, 0, 0]
    assert made[39, 39].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind):
    inks = np.zeros((40, 40, 4), np.uint8)
    inks[:, :20] = (0, 255, 255, 0)  # magenta and yellow: red
    inks[:, 20:] = (255, 0, 0, 102)  # cyan and some black: dark cyan
    made = pixels(encoded(Image.fromarray(inks, "CMYK"), kind))
    assert np.abs(made[:, 2:18] - (255, 0, 0)).max() <= 6
    assert np.abs(made[:, 22:38] - (0, 153, 153)).max() <= 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF"])
def test_grey_becomes_rgb(kind):
    values = np.asarray(PHOTO.convert("L"))
    options = {"quality": 100} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    error = np.abs(pixels(encoded(Image.fromarray(values), kind, **options)) - grey(values))
    assert error.max() <= (3 if kind == "JPEG" else 0)


def test_black_and_white_becomes_rgb():
    image = Image.new("1", (40, 40), 0)
    image.paste(1, (0, 0, 10, 40))
    made = pixels(encoded(image, "PNG"))
    assert (made[:, :10] == 255).all()
    assert (made[:, 10:] == 0).all()


# JPEG at reduced size


@pytest.mark.parametrize("size", [(1024, 768), (897, 900), (447, 2000), (895, 895), (1793, 3585)])
@pytest.mark.parametrize("at_least", [64, 448])
@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
def test_no_side_of_a_reduced_jpeg_falls_below_the_limit(kind, size, at_least):
    made = decoded(encoded(draw(3, size), kind), at_least)
    assert (made.width, made.height) == size
    shrink = max(s for s in (1, 2, 4, 8) if s == 1 or min(size) // s >= at_least)
    assert made.image.size == tuple(-(-side // shrink) for side in size)
    if min(size) >= at_least:
        assert min(made.image.size) >= at_least


def test_a_reduced_jpeg_is_close_to_the_full_one_made_smaller():
    data = encoded(draw(4, (1600, 1200)), "JPEG", quality=92)
    full, reduced = pixels(data), pixels(data, at_least=300)
    assert reduced.shape == (300, 400, 3)
    assert np.abs(reduced - full.reshape(300, 4, 400, 4, 3).mean(axis=(1, 3))).mean() < 1.5


def test_other_formats_are_decoded_whole():
    made = decoded(encoded(draw(5, (1600, 1200)), "PNG"), at_least=64)
    assert made.image.size == (1600, 1200)


# What cannot be decoded

NO_PHOTO = "is no photo of a kind that is read (JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF, HEIC, RAW)"


@pytest.mark.parametrize(
    "data", [b"", b"x", b"text named like a photo", b"\xff\xd8\xff", b"\0" * 99]
)
def test_what_is_no_photo_is_refused_as_such(data):
    assert cause(data) == NO_PHOTO


@pytest.mark.parametrize("page", [b"<html><body>404", b"\n <!DOCTYPE HTML><title>Not found"])
def test_a_web_page_is_named(page):
    assert cause(page) == "is a web page, not a photo"


@pytest.mark.parametrize("kind", ["ICO", "PPM", "TGA", "PCX", "ICNS"])
def test_kinds_that_pillow_reads_but_are_not_asked_for_are_refused(kind):
    data = encoded(draw(1, (64, 64)), kind)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.format == kind
    assert cause(data) == NO_PHOTO


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Truncated File Read")
@pytest.mark.parametrize(
    ("kind", "options"), [*EVERY.items(), ("JPEG", {"progressive": True})], ids=str
)
def test_a_file_cut_off_anywhere_is_refused_or_complete(kind, options):
    data = encoded(PHOTO, kind, **options)
    whole = pixels(data)
    refused = 0
    cuts = sorted({*range(64), *range(0, len(data), max(1, len(data) // 150)), len(data) - 1})
    for cut in cuts:
        made = outcome(data[:cut])
        if isinstance(made, str):
            assert made == NO_PHOTO or made.startswith("is damaged: ")
            refused += 1
        else:
            # Nothing but the end mark was cut off.
            assert cut > 0.98 * len(data)
            assert np.array_equal(np.asarray(made.image), whole)
    assert refused >= 0.95 * len(cuts)


@given(st.binary(max_size=400))
def test_random_bytes_are_refused(data):
    with pytest.raises(ImageError):
        decoded(data)


STARTS = [
    b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"GIF89a",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"BM",
    b"RIFF\x40\0\0\0WEBPVP8 ",
    b"\0\0\0\x1cftypavif",
]


@pytest.mark.filterwarnings("ignore")
@given(st.sampled_from(STARTS), st.binary(max_size=300))
def test_random_bytes_behind_a_photos_beginning_are_refused_or_read(start, data):
    made = outcome(start + data)
    assert made.isprintable() if isinstance(made, str) else made.image.mode == "RGB"


SMALL = {kind: encoded(draw(6, (24, 20)), kind, **EVERY[kind]) for kind in EVERY}


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300)
@given(st.data())
def test_a_photo_with_bytes_overwritten_is_refused_or_read(data):
    kind = data.draw(st.sampled_from(sorted(SMALL)))
    file = bytearray(SMALL[kind])
    places = st.integers(0, len(file) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        file[place] = byte
    made = outcome(bytes(file))
    if isinstance(made, str):
        assert made.isprintable()
    else:
        assert made.image.mode == "RGB"
        assert min(made.image.size) > 0


def test_a_decompression_bomb_is_refused_before_it_goes_off():
    bomb = png(30_000, 30_000)
    assert len(bomb) < 100
    assert cause(bomb) == "holds more pixels than are safe to decode"


def test_too_little_memory_is_a_reason_to_skip_one_photo(monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr("houndsight.pixels._to_rgb", full)
    assert cause(encoded(PHOTO, "PNG")) == "needs more memory to decode than there is"


# Thumbnails


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((800, 400), (256, 128)),
        ((400, 800), (128, 256)),
        ((100, 60), (100, 60)),
        ((60_000, 1), (256, 1)),
    ],
)
def test_a_thumbnail_is_a_jpeg_of_at_most_256_pixels(size, small):
    image = draw(7, size)
    before = image.tobytes()
    with Image.open(io.BytesIO(thumbnail(image))) as made:
        assert (made.format, made.size) == ("JPEG", small)
        if min(small) > 1:
            shape = (*reversed(small), 3)
            wanted = np.asarray(image.resize(small, Image.Resampling.BOX)).reshape(shape)
            assert np.abs(np.asarray(made).astype(int) - wanted).mean() < 4
    assert image.tobytes() == before


# Reading


def unreadable(path):
    with pytest.raises(ImageError) as caught:
        read(os.fsencode(path))
    assert caught.value.path == os.fsencode(path)
    return caught.value


def test_a_file_is_read_whole_with_its_time(tmp_path):
    data = write_photo(tmp_path / "a.jpg", 1)
    os.utime(tmp_path / "a.jpg", ns=(1, 1_234_567_890_123_456_789))
    file = read(os.fsencode(tmp_path / "a.jpg"))
    assert (file.data, file.mtime_ns) == (data, 1_234_567_890_123_456_789)


def test_what_cannot_be_read_says_why(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    with open(tmp_path / "huge.jpg", "wb") as huge:
        huge.truncate((1 << 30) + 1)
    reasons = {
        "empty": "is empty",
        "folder": "is a folder, not a photo",
        "pipe": "is no regular file, not a photo",
        "huge": "is larger than 1 GiB, more than a photo can be",
        "gone": "is a link to a file that does not exist",
        "loop": "is a link that leads to itself",
        "absent": "there is no such file",
    }
    assert {name: unreadable(tmp_path / f"{name}.jpg").cause for name in reasons} == reasons


def test_what_the_system_refuses_can_be_told_from_what_is_wrong_with_the_file(
    tmp_path, monkeypatch
):
    (tmp_path / "empty.jpg").touch()
    assert not isinstance(unreadable(tmp_path / "empty.jpg").__cause__, OSError)
    assert isinstance(unreadable(tmp_path / "absent.jpg").__cause__, FileNotFoundError)

    def denied(path, *_):
        raise PermissionError(13, "Permission denied", path)

    write_photo(tmp_path / "a.jpg", 1)
    monkeypatch.setattr("builtins.open", denied)
    error = unreadable(tmp_path / "a.jpg")
    assert error.cause == "may not be read: permission denied"
    assert isinstance(error.__cause__, PermissionError)


def test_a_file_that_grows_while_it_is_read_is_refused_for_now(tmp_path, monkeypatch):
    write_photo(tmp_path / "a.jpg", 1)
    fstat = os.fstat

    def before_it_grew(number):
        info = list(fstat(number))
        info[6] -= 1  # st_size
        return os.stat_result(info)

    monkeypatch.setattr(os, "fstat", before_it_grew)
    error = unreadable(tmp_path / "a.jpg")
    assert error.cause == "changed while it was read"
    assert isinstance(error.__cause__, OSError)


@pytest.mark.parametrize("strip", [1, 70, 1000])
def test_a_large_photo_is_converted_strip_by_strip_and_no_edge_is_seen(strip, monkeypatch):
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (23, 31))
    colours = Image.fromarray(rng.integers(0, 256, (23, 31, 4), dtype=np.uint8))
    photos = [
        encoded(colours, "PNG"),
        encoded(colours.convert("LA"), "PNG"),
        encoded(colours.convert("P"), "PNG", transparency=bytes(range(256))),
        encoded(
            colours.convert("RGB"), "PNG", transparency=colours.convert("RGB").getpixel((0, 0))
        ),
        encoded(Image.fromarray(deep.astype(np.uint16)), "PNG"),
        encoded(Image.fromarray((deep * 1000.0).astype(np.float32)), "TIFF"),
        encoded(Image.fromarray((deep * 1000).astype(np.int32)), "TIFF"),
    ]
    whole = [pixels(data) for data in photos]
    monkeypatch.setattr(houndsight.pixels, "STRIP", strip)
    for data, expected in zip(photos, whole, strict=True):
        assert np.array_equal(pixels(data), expected)


def test_what_is_written_beside_the_pixels_is_let_go():
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    data = encoded(draw(1), exif=exif, comment=b"a secret place", xmp=b"a secret place")
    assert data.count(b"a secret place") == 3
    made = decoded(data).image
    assert b"a secret place" not in thumbnail(made)
    assert b"a secret place" not in encoded(made)


@pytest.mark.parametrize(
    ("size", "made"),
    [
        ((200, 100), (200, 100)),
        ((256, 7), (256, 7)),
        ((500, 375), (250, 188)),  # means over whole squares
        ((1000, 750), (250, 188)),
        ((600, 300), (256, 128)),  # 200 would be too few
        ((300, 300), (256, 256)),
        ((9000, 3), (250, 1)),
    ],
)
def test_thumbnails_have_at_most_256_pixels_a_side_and_not_many_fewer(size, made):
    photo = Image.new("RGB", size, (10, 200, 90))
    with Image.open(io.BytesIO(thumbnail(photo))) as small:
        assert small.size == made
        assert abs(small.getpixel((0, 0))[1] - 200) < 4
