"""Photos on disk: reads their bytes, decodes them (preprocessing version 1)."""

import errno
import hashlib
import io
import os
import stat
from dataclasses import dataclass
from importlib.util import find_spec

from PIL import Image, UnidentifiedImageError

from houndsight import archives, camera_raw, heif, pixels, remote
from houndsight.errors import ImageError, printable

__all__ = [
    "Decoded",
    "File",
    "check_size",
    "decode",
    "extension",
    "extra_endings",
    "is_photo",
    "os_reason",
    "read",
    "thumbnail",
]

EXTENSIONS = frozenset(b".jpg .jpeg .jpe .jfif .png .webp .gif .tif .tiff .bmp .avif".split())
# Those that are seen only with an extra are photos as well: a folder of them is not without any.
EXTENSIONS |= heif.EXTENSIONS | camera_raw.EXTENSIONS
# "JPEG" opens MPO too (a JPEG with further pictures behind the first, as phones write them);
# Pillow has no opener of that name, and to ask for it fails for every other kind of photo.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
MAX_BYTES = 1 << 30
TOO_LARGE = "is larger than 1 GiB, more than a photo can be"
THUMBNAIL_SIZE = 256
# As large as that will do where it comes cheaper.
NEARLY = 240


def is_photo(name: bytes) -> bool:
    """Return whether a file's name ends like that of a photo, in any case."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def extra_endings() -> list[str]:
    """Return how names of HEIC and camera RAW photos end, where the extra for them is installed."""
    found = [part.EXTENSIONS for part in (heif, camera_raw) if find_spec(part.LIBRARY)]
    return sorted(ending.decode() for endings in found for ending in endings)


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
    if b"\0" in path:  # only a gallery that was tampered with has such a name
        raise ImageError("there is no such file", path=path)
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
        Mode RGB, upright; a large JPEG or camera RAW may be decoded at a reduced size.
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
        The file's bytes: JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF, HEIC or camera RAW, recognised by
        content.
    path
        Named in errors; tells the rare camera RAW whose content could be a TIFF's.
    at_least
        A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size (by DCT scaling, much faster), and a
        camera RAW be developed at 1/2, as long as neither side falls below this number of pixels.

    Raises
    ------
    ImageError
        If the bytes are no photo, are damaged, hold more pixels than Pillow admits (about 179
        million: a decompression bomb), or are HEIC or camera RAW and that extra is not installed.
    """
    try:
        image, size = _upright(data, path, at_least)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(_what_instead(data), path=path) from None
    except Image.DecompressionBombError:
        raise ImageError("holds more pixels than are safe to decode", path=path) from None
    except MemoryError:
        raise ImageError("needs more memory to decode than there is", path=path) from None
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise _damaged(error, path) from None
    return Decoded(image, *size)


def check_size(data: bytes, *, path: bytes, most: int) -> None:
    """Refuse what is no photo, or has too many pixels, before any of them is decoded.

    Parameters
    ----------
    data
        The file's bytes.
    path
        As for `decode`.
    most
        Pixels that it may have.

    Raises
    ------
    ImageError
        If it has more, its first bytes are those of no photo, or its extra is not installed.
    """
    try:
        wide, high = _size(data, path)
        count = wide * high
    except ImageError:
        raise
    except (UnidentifiedImageError, OSError):
        raise ImageError(_what_instead(data), path=path) from None
    except Image.DecompressionBombError:
        count = most + 1
    except Exception as error:  # as in decode
        raise _damaged(error, path) from None
    if count > most:
        raise ImageError(
            f"holds more than {most / 1e6:.0f} megapixels",
            path=path,
            remedy="Make it smaller",
        )


def extension(data: bytes, *, path: bytes) -> str:
    """Return how a photo's name ends by its bytes, ``.jpg`` for example.

    Parameters
    ----------
    data
        Bytes that `decode` takes.
    path
        Its name now: some kinds of camera RAW differ in nothing else.
    """
    if ending := camera_raw.kind(data, path):
        return ending
    if heif.is_heif(data):
        return ".heic"
    with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
        kind = str(opened.format)
    return {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}.get(kind, f".{kind.lower()}")


def _upright(data: bytes, path: bytes, at_least: int) -> tuple[Image.Image, tuple[int, int]]:
    if camera_raw.kind(data, path):
        return camera_raw.decode(data, path=path, at_least=at_least)
    return pixels.upright(_opened(data, path), at_least)


def _size(data: bytes, path: bytes) -> tuple[int, int]:
    if camera_raw.kind(data, path):
        return camera_raw.size(data, path=path)
    with _opened(data, path) as opened:
        return opened.size


def _opened(data: bytes, path: bytes) -> Image.Image:
    if heif.is_heif(data):
        return heif.opened(data, path=path)
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _damaged(error: Exception, path: bytes) -> ImageError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ImageError(f"is damaged: {printable(reason)}", path=path)


def _what_instead(data: bytes) -> str:
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "is a web page, not a photo"
    return "is no photo of a kind that is read (JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF, HEIC, RAW)"


def thumbnail(image: Image.Image) -> bytes:
    """Return a JPEG of at most 256 x 256 pixels, for pages and grids."""
    longest = max(image.size)
    factor = -(-longest // THUMBNAIL_SIZE)
    if longest >= factor * NEARLY:
        # Means over whole squares take a tenth of what a filter takes.
        small = image.reduce(factor)
    else:
        small = image.copy()
        # Half of what bicubic takes, and as sharp as a thumbnail need be.
        box = (THUMBNAIL_SIZE, THUMBNAIL_SIZE)
        small.thumbnail(box, Image.Resampling.HAMMING, reducing_gap=1.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
