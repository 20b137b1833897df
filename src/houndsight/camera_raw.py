"""Camera RAW photos: told by their content, decoded by LibRaw, which comes with the extra ``raw``.

What is seen of one is the JPEG that the camera put into it, as the camera's own screen shows it. It
is developed from the sensor's values only where there is no such JPEG, or none that will do.
"""

import contextlib
import io
import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from PIL import Image

from houndsight.errors import ImageError, printable
from houndsight.pixels import check_count, orientation, upright

if TYPE_CHECKING:
    from rawpy import RawPy

__all__ = ["EXTENSIONS", "LIBRARY", "decode", "kind", "size"]

LIBRARY = "rawpy"
EXTENSIONS = frozenset(b".dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .pef .srw".split())
# Marks of formats that have one, where they stand, and how names of such files end.
MARKS = (
    (8, b"CR\x02", ".cr2"),
    (4, b"ftypcrx ", ".cr3"),
    (0, b"FUJIFILMCCD-RAW", ".raf"),
    (0, b"IIRO", ".orf"),
    (0, b"IIRS", ".orf"),
    (0, b"MMOR", ".orf"),
    (0, b"IIU\0", ".rw2"),
)
# The others are TIFFs. Tags: DNG 1.7; TIFF/EP (ISO 12234-2), where a picture of the photometric
# interpretation "colour filter array" holds the sensor's values.
TIFF = {b"II*\0": "<", b"MM\0*": ">"}
PHOTOMETRIC, SUB_DIRECTORIES, DNG_VERSION = 262, 330, 50706
COLOUR_FILTER_ARRAY = 32803
# More than real files have: of directories, and of entries in one.
DIRECTORIES, ENTRIES = 16, 1000
# Pixels that the shorter side must have of a JPEG within, and of what is developed at half size.
LEAST = 512
# The frame has a few rows and columns more than the camera's JPEG; 3:2 and 4:3 differ by an eighth.
SAME_SHAPE = 0.04
# By LibRaw's `flip`: 1 mirrors columns, 2 rows, 4 swaps the two.
ORIENTATION_OF_FLIP = (1, 2, 4, 3, 5, 8, 6, 7)


def kind(data: bytes, path: bytes) -> str | None:
    """Return how a camera RAW photo's name ends by its bytes, ``.nef`` for example; else None.

    What is a TIFF with a sensor's values in it is called as it is now, or ``.tif``. What has
    the name of a camera RAW photo is taken for one if it is any TIFF: seen as such, it may be a
    thumbnail.
    """
    for start, mark, ending in MARKS:
        if data.startswith(mark, start):
            return ending
    if data[:4] not in TIFF:
        return None
    found = _found(data)
    if DNG_VERSION in found:
        return ".dng"
    named = os.path.splitext(path)[1].lower()
    if named in EXTENSIONS:
        return named.decode()
    return ".tif" if COLOUR_FILTER_ARRAY in found else None


def _found(data: bytes) -> set[int]:
    """Return which of DNG_VERSION and COLOUR_FILTER_ARRAY a TIFF has in its directories."""
    found: set[int] = set()
    references, read = [4], 0  # where the offsets of directories stand
    while references and read < DIRECTORIES:
        with contextlib.suppress(struct.error):  # where it leads out of the file
            for tag, value, more in _entries(data, references.pop(0)):
                references += more
                if tag == DNG_VERSION or (tag, value) == (PHOTOMETRIC, COLOUR_FILTER_ARRAY):
                    found.add(tag if tag == DNG_VERSION else value)
        read += 1
    return found


def _entries(data: bytes, reference: int) -> Iterator[tuple[int, int, list[int]]]:
    """Yield a directory's tags, the first two bytes of their values, and references to others."""
    order = TIFF[data[:4]]

    def number(form: str, at: int) -> int:
        return int(struct.unpack_from(order + form, data, at)[0])

    start = number("I", reference)
    if not start:  # there is none
        return
    end = start + 2 + 12 * min(number("H", start), ENTRIES)
    for at in range(start + 2, end, 12):
        tag, count, place = number("H", at), number("I", at + 4), at + 8
        more: list[int] = []
        if tag == SUB_DIRECTORIES:
            first = place if count == 1 else number("I", place)
            more = list(range(first, first + 4 * min(count, DIRECTORIES), 4))
        yield tag, number("H", place), more
    yield 0, 0, [end]  # behind the last entry stands where the next directory is


def size(data: bytes, *, path: bytes) -> tuple[int, int]:
    """Return width and height of the full picture, upright; nothing is decoded.

    Raises
    ------
    As `decode`.
    """
    with _opened(data, path) as raw:
        return _frame(raw)


def decode(data: bytes, *, path: bytes, at_least: int) -> tuple[Image.Image, tuple[int, int]]:
    """Return a camera RAW photo upright in mode RGB, and the full picture's size, upright too.

    It is the JPEG within, if that shows the whole frame and its shorter side has 512 pixels. Else
    it is developed with the camera's white balance, at half the size where 512 pixels are left, and
    `at_least`.

    Parameters
    ----------
    data
        Bytes that have a `kind`.
    path
        Named in errors.
    at_least
        As for `pixels.upright`.

    Raises
    ------
    ImageError
        If LibRaw cannot read it, or rawpy (the extra ``raw``) is not installed; then the cause is
        an ImportError.
    DecompressionBombError, MemoryError
        If there are too many pixels, or too little memory.
    """
    with _opened(data, path) as raw:
        frame = _frame(raw)
        shown = _shown(raw, frame, at_least)
        if shown is not None:
            return shown, frame
        half = min(frame) // 2 >= max(LEAST, at_least)
        values = raw.postprocess(use_camera_wb=True, output_bps=8, half_size=half)
    # A sensor without colours gives one channel.
    grey = values.shape[2] == 1
    return Image.fromarray(values[:, :, 0] if grey else values).convert("RGB"), frame


@contextlib.contextmanager
def _opened(data: bytes, path: bytes) -> "Iterator[RawPy]":
    try:
        import rawpy
    except ImportError as error:
        raise ImageError(
            "is a camera RAW photo, for which houndsight[raw] is needed",
            path=path,
            remedy="Run: pip install 'houndsight[raw]'",
        ) from error
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            check_count((raw.sizes.raw_width, raw.sizes.raw_height))
            yield raw
    except rawpy.LibRawUnsufficientMemoryError:
        raise MemoryError from None
    except rawpy.LibRawTooBigError:
        raise Image.DecompressionBombError from None
    except rawpy.LibRawError as error:
        (reason,) = error.args  # bytes
        raise ImageError(
            f"is a camera RAW photo that LibRaw cannot read: {printable(reason)}", path=path
        ) from None


def _frame(raw: "RawPy") -> tuple[int, int]:
    sizes = raw.sizes
    if sizes.flip & 4:
        return sizes.height, sizes.width
    return sizes.width, sizes.height


def _shown(raw: "RawPy", frame: tuple[int, int], at_least: int) -> Image.Image | None:
    """Return the JPEG within, if it shows the frame and is large enough."""
    import rawpy

    try:
        preview = raw.extract_thumb()
    except rawpy.LibRawNonFatalError:  # there is none, or of a kind that is not known
        return None
    if not isinstance(preview.data, bytes):  # a bitmap
        return None
    try:
        opened = Image.open(io.BytesIO(preview.data), formats=["JPEG"])
        # Where the JPEG says nothing, it lies as the sensor does.
        turn = orientation(opened, ORIENTATION_OF_FLIP[raw.sizes.flip])
        wide, high = opened.size[::-1] if turn >= 5 else opened.size
        shape = wide * frame[1] / (high * frame[0])
        whole = abs(shape - 1) <= SAME_SHAPE and wide * high <= frame[0] * frame[1]
        return upright(opened, at_least, turn)[0] if whole and min(wide, high) >= LEAST else None
    except (OSError, SyntaxError, ValueError):  # a damaged one does not make the photo one
        return None
