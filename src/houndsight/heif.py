"""HEIC and HEIF photos, decoded by libheif, which comes with the extra ``heic``."""

import io

from PIL import Image

from houndsight.errors import ImageError
from houndsight.pixels import check_count

__all__ = ["EXTENSIONS", "LIBRARY", "is_heif", "opened"]

LIBRARY = "pi_heif"
EXTENSIONS = frozenset(b".heic .heif .hif".split())
# ISO/IEC 23008-12, annex B: still photos and sequences that HEVC compressed; any codec; and AVIF,
# which may call itself "any codec" as well, and which Pillow reads.
HEVC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
ANY = frozenset({b"mif1", b"msf1"})
AVIF = frozenset({b"avif", b"avis"})
# Brands that are looked at; real files have up to ten.
BRANDS = 32


def is_heif(data: bytes) -> bool:
    """Return whether a file's first bytes are those of a HEIF file, AVIF apart."""
    if data[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(data[:4], "big"), 16 + 4 * BRANDS)
    first = data[8:12]
    others = {data[at : at + 4] for at in range(16, end, 4)}
    return first in HEVC or (first in ANY and not others & AVIF)


def opened(data: bytes, *, path: bytes) -> Image.Image:
    """Open the primary photo of a HEIF file; it is decoded only when it is loaded.

    libheif itself turns it as the file says (by ``irot`` and ``imir``; EXIF orientation does not
    count in HEIF, and is not returned), and holds the decoder to the size in the header.

    Raises
    ------
    ImageError
        If pi-heif (the extra ``heic``) is not installed; its cause is an ImportError.
    Exception
        Whatever the decoder and Pillow raise where a file is damaged or holds too many pixels.
    """
    try:
        from pi_heif import HeifImageFile
    except ImportError as error:
        raise ImageError(
            "is a HEIC photo, for which houndsight[heic] is needed",
            path=path,
            remedy="Run: pip install 'houndsight[heic]'",
        ) from error
    # Opened directly: pi-heif's own registration would change Pillow for the whole process.
    image: Image.Image = HeifImageFile(io.BytesIO(data))
    check_count(image.size)
    # EXIF and XMP may speak of an orientation, and libheif has seen to that.
    image.info = {}
    return image
