"""Photos on disk: reads their bytes, decodes them (preprocessing version 1)."""

import contextlib
import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from houndsight import archives, remote
from houndsight.errors import ImageError, printable

__all__ = [
    "Decoded",
    "File",
    "check_size",
    "decode",
    "extension",
    "is_photo",
    "os_reason",
    "read",
    "thumbnail",
]

EXTENSIONS = frozenset(b".jpg .jpeg .jpe .jfif .png .webp .gif .tif .tiff .bmp .avif".split())
# "JPEG" opens MPO too (a JPEG with further pictures behind the first, as phones write them);
# Pillow has no opener of that name, and to ask for it fails for every other kind of photo.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
MAX_BYTES = 1 << 30
TOO_LARGE = "is larger than 1 GiB, more than a photo can be"
THUMBNAIL_SIZE = 256
# Pixels that are converted at once, in as many as 8 bytes each.
STRIP = 1 << 22
# EXIF 2.32, tag 0x0112: how the stored rows and columns are to be turned for viewing.
ORIENTATION_TAG = 0x0112
ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def is_photo(name: bytes) -> bool:
    """Return whether a file's name ends like that of a photo, in any case."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def os_reason(error: OSError) -> str:
    """Return why the system refused a file, as the end of a sentence."""
    reasons = {
        errno.ENOENT: "is a link to a file that does not exist",
        errno.ELOOP: "is a link that leads to itself",
        errno.EACCES: "may not be read: permission denied",
        errno.EPERM: "may not be read: permission denied",
    }
    return reasons.get(error.errno or 0, f"cannot be read: {error.strerror}")


@dataclass(frozen=True, slots=True)
class File:
    """A photo's bytes, and the time of last change that goes with them; 0 at addresses."""

    data: bytes
    mtime_ns: int

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes."""
        return hashlib.sha256(self.data).digest()


def read(path: bytes) -> File:
    """Read a photo's bytes, from a folder, an archive or an address.

    Raises
    ------
    ImageError
        If it is absent, no regular file, unreadable, empty, larger than 1 GiB, or changed while
        it was read. `__cause__` is an OSError where the system refused it.
    """
    if remote.is_address(path):
        return _checked(File(remote.read(path), 0), path)
    try:
        # A named pipe would block in open() until somebody writes to it.
        if not stat.S_ISREG(os.stat(path).st_mode):
            kind = "a folder" if os.path.isdir(path) else "no regular file"
            raise ImageError(f"is {kind}, not a photo", path=path)
        with open(path, "rb") as file:
            info = os.fstat(file.fileno())
            if info.st_size > MAX_BYTES:
                raise ImageError(TOO_LARGE, path=path)
            data = file.read(MAX_BYTES)
    except NotADirectoryError as error:
        within = archives.holder(path)
        if within is None:
            raise ImageError("there is no such file", path=path) from error
        data, mtime_ns = archives.read(*within, MAX_BYTES + 1)
        return _checked(File(data, mtime_ns), path)
    except FileNotFoundError as error:
        reason = "is a link to a file that does not exist" if os.path.islink(path) else None
        raise ImageError(
            reason or "there is no such file", path=path, remedy="Check the name"
        ) from error
    except OSError as error:
        raise ImageError(os_reason(error), path=path) from error
    if len(data) != info.st_size and data:
        raise ImageError("changed while it was read", path=path) from OSError(errno.EAGAIN, "busy")
    return _checked(File(data, info.st_mtime_ns), path)


def _checked(file: File, path: bytes) -> File:
    if not file.data:
        raise ImageError("is empty", path=path)
    if len(file.data) > MAX_BYTES:
        raise ImageError(TOO_LARGE, path=path)
    return file


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded photo.

    Attributes
    ----------
    image
        Mode RGB, upright; a large JPEG may be decoded at a reduced size.
    width, height
        The photo's full size in pixels, upright.
    """

    image: Image.Image
    width: int
    height: int


def decode(data: bytes, *, path: bytes, at_least: int) -> Decoded:
    """Decode a photo: first frame, upright, alpha over white, 8 bits a channel, RGB.

    Parameters
    ----------
    data
        The file's bytes: JPEG, PNG, WebP, GIF, TIFF, BMP or AVIF, recognised by content.
    path
        Named in errors.
    at_least
        A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size (by DCT scaling, much faster) as long
        as neither side falls below this number of pixels.

    Raises
    ------
    ImageError
        If the bytes are no photo, are damaged, or hold more pixels than Pillow admits (about
        179 million: a decompression bomb).
    """
    try:
        opened = Image.open(io.BytesIO(data), formats=FORMATS)
        size = opened.size
        if opened.format in ("JPEG", "MPO"):
            opened.draft(None, (at_least, at_least))
        opened.load()
        # Only now: Pillow turns a TIFF itself while it loads it, and then forgets the tag.
        orientation = _orientation(opened)
        image = _to_rgb(opened)
        # Pillow would write comments and XMP, which may say where it was taken, into thumbnails.
        image.info = {}
    except UnidentifiedImageError:
        raise ImageError(_what_instead(data), path=path) from None
    except Image.DecompressionBombError:
        raise ImageError("holds more pixels than are safe to decode", path=path) from None
    except MemoryError:
        raise ImageError("needs more memory to decode than there is", path=path) from None
    except Exception as error:  # decoders raise nearly anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"is damaged: {printable(reason)}", path=path) from None
    if orientation in ORIENTATIONS:
        image = image.transpose(ORIENTATIONS[orientation])
        if orientation >= 5:
            size = size[::-1]
    return Decoded(image, *size)


def check_size(data: bytes, *, path: bytes, most: int) -> None:
    """Refuse what is no photo, or has too many pixels, before any of them is decoded.

    Parameters
    ----------
    data
        The file's bytes.
    path
        Named in errors.
    most
        Pixels that it may have.

    Raises
    ------
    ImageError
        If it has more, or its first bytes are those of no photo.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            pixels = opened.width * opened.height
    except (UnidentifiedImageError, OSError):
        raise ImageError(_what_instead(data), path=path) from None
    except Image.DecompressionBombError:
        pixels = most + 1
    except Exception as error:  # as in decode
        raise ImageError(f"is damaged: {printable(str(error))}", path=path) from None
    if pixels > most:
        raise ImageError(
            f"holds more than {most / 1e6:.0f} megapixels",
            path=path,
            remedy="Make it smaller",
        )


def extension(data: bytes) -> str:
    """Return how a photo's name ends by its bytes, ``.jpg`` for example.

    Parameters
    ----------
    data
        Bytes that `decode` takes.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
        kind = str(opened.format)
    return {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}.get(kind, f".{kind.lower()}")


def _orientation(image: Image.Image) -> int:
    # Damaged EXIF data is common in photos that are otherwise sound: seen as not turned.
    with contextlib.suppress(Exception):
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _from_deep(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _strips(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Cut an image into boxes: what is computed for each takes little memory beside the image."""
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)


def _on_white(image: Image.Image) -> Image.Image:
    whole = Image.new("RGB", image.size)
    for box in _strips(image):
        layer = image.crop(box).convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        whole.paste(Image.alpha_composite(white, layer).convert("RGB"), box)
    return whole


def _from_deep(image: Image.Image) -> Image.Image:
    """Scale more than 8 bits a channel to 8: Pillow's own convert() clips at 255."""
    top = max(float(_values(image, box).max(initial=0.0)) for box in _strips(image))
    whole = Image.new("L", image.size)
    for box in _strips(image):
        values = _values(image, box)
        if image.mode.startswith("I;16") or (image.mode == "I" and 255 < top <= 65535):
            values /= 257.0
        elif image.mode == "F" and top <= 1.0:
            values *= 255.0
        elif top > 65535:
            values *= 255.0 / top
        whole.paste(Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)), box)
    return whole


def _values(image: Image.Image, box: tuple[int, int, int, int]) -> NDArray[np.float64]:
    # NaN and infinite stand for "no value" in scientific images: black.
    values = np.asarray(image.crop(box)).astype(np.float64)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _what_instead(data: bytes) -> str:
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "is a web page, not a photo"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypheim"):
        return "is a HEIC photo, which is not read yet; convert it to JPEG"
    return "is no photo of a kind that is read (JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF)"


def thumbnail(image: Image.Image) -> bytes:
    """Return a JPEG of at most 256 x 256 pixels, for pages and grids."""
    small = image.copy()
    # Half of what bicubic takes, and as sharp as a thumbnail need be.
    box = (THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    small.thumbnail(box, Image.Resampling.HAMMING, reducing_gap=1.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
