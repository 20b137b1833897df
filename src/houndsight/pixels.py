"""From a photo that Pillow opened to upright RGB (preprocessing version 1)."""

import contextlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

__all__ = ["check_count", "orientation", "upright"]

# What Pillow refuses to open, for decoders that are not Pillow's.
MOST = 178_956_970
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


def check_count(size: tuple[int, int]) -> None:
    """Raise Pillow's DecompressionBombError if there are more pixels than Pillow admits."""
    if size[0] * size[1] > MOST:
        raise Image.DecompressionBombError(f"{size[0]} x {size[1]} pixels")


def orientation(image: Image.Image, otherwise: int = 1) -> int:
    """Return what EXIF says of how the stored rows and columns lie, 1 to 8 in sound files.

    Parameters
    ----------
    image
        As Pillow loaded it.
    otherwise
        What is returned where nothing is said, or EXIF is damaged. That is common in photos that
        are otherwise sound.
    """
    with contextlib.suppress(Exception):
        return int(image.getexif().get(ORIENTATION_TAG, otherwise))
    return otherwise


def upright(
    opened: Image.Image, at_least: int, otherwise: int = 1
) -> tuple[Image.Image, tuple[int, int]]:
    """Decode an opened photo; return it upright in mode RGB, and its full size, upright too.

    Parameters
    ----------
    opened
        What Pillow opened.
    at_least
        A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size (by DCT scaling, much faster) as long
        as neither side falls below this number of pixels.
    otherwise
        The orientation where the photo names none.
    """
    size = opened.size
    if isinstance(opened, JpegImageFile):
        opened.draft(None, (at_least, at_least))
    opened.load()
    # Only now: Pillow turns a TIFF itself while it loads it, and then forgets the tag.
    turn = orientation(opened, otherwise)
    image = _to_rgb(opened)
    # Pillow would write comments and XMP, which may say where it was taken, into thumbnails.
    image.info = {}
    if turn in ORIENTATIONS:
        image = image.transpose(ORIENTATIONS[turn])
        if turn >= 5:
            size = size[::-1]
    return image, size


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
