"""Camera RAW photos by hand: the simplest that there can be, as Adobe's DNG 1.4 describes them."""

import struct

import numpy as np

BYTE, ASCII, SHORT, LONG, RATIONAL, SRATIONAL = 1, 2, 3, 4, 5, 10
THUMBNAIL = bytes((255, 0, 0))  # its colour
FORMS = {BYTE: "B", SHORT: "H", LONG: "I"}
# From XYZ (D65) to linear sRGB, times 10,000: the camera's own colours are sRGB's.
SRGB = (32405, -15371, -4985, -9693, 18760, 416, 556, -2040, 10572)


def dng(mosaic, *, orientation=1, preview=None, named=True, sub=False):
    """Return a DNG.

    Parameters
    ----------
    mosaic
        uint16 (h, w): red at even rows and columns, blue at odd ones, green at the others.
    orientation
        As in EXIF: how the rows lie.
    preview
        Width, height and bytes of a JPEG within.
    named
        Whether it says that it is a DNG.
    sub
        Whether the sensor's values are in a directory below the first, which holds a red
        thumbnail, as cameras have it.
    """
    high, wide = mosaic.shape
    pixels = mosaic.astype("<u2").tobytes()
    sensor = {
        254: (LONG, [0]),
        256: (LONG, [wide]),
        257: (LONG, [high]),
        258: (SHORT, [16]),
        259: (SHORT, [1]),  # uncompressed
        262: (SHORT, [32803]),  # colour filter array
        273: (LONG, [0]),
        277: (SHORT, [1]),
        278: (LONG, [high]),
        279: (LONG, [len(pixels)]),
        33421: (SHORT, [2, 2]),
        33422: (BYTE, [0, 1, 1, 2]),
        50714: (LONG, [0]),  # black
        50717: (LONG, [65535]),  # white
    }
    camera = {
        271: (ASCII, b"Hound\0"),
        272: (ASCII, b"Hound One\0"),
        274: (SHORT, [orientation]),
        50708: (ASCII, b"Hound One\0"),
        50721: (SRATIONAL, [(value, 10_000) for value in SRGB]),
        50728: (RATIONAL, [(1, 1)] * 3),  # white is as the sensor saw it
        50778: (SHORT, [21]),  # D65
    }
    if named:
        camera[50706] = (BYTE, [1, 4, 0, 0])
    first, data = {**sensor, **camera}, pixels
    below = []  # directories below the first, and what lies behind each
    if sub:
        data = THUMBNAIL * 16 * 12
        first = {**_picture(16, 12, 2, data), **camera}
        below.append((sensor, pixels))
    if preview is not None:
        wide, high, within = preview
        below.append((_picture(wide, high, 6, within), within))
    if below:
        first[330] = (LONG, [0] * len(below))
    file, places = b"II*\0" + struct.pack("<I", 8), []
    # The first is written once more when it is known where the others are.
    length = len(_directory(first, 8))
    for directory, behind in [(first, data), *below]:
        places.append(len(file))
        directory[273] = (LONG, [len(file) + len(_directory(directory, 0))])
        file += _directory(directory, len(file)) + behind + bytes(len(behind) % 2)
    if below:
        first[330] = (LONG, places[1:])
    return file[:8] + _directory(first, 8) + file[8 + length :]


def _picture(wide, high, photometric, data):
    """Return the directory of a small picture: RGB (2), or a JPEG (6)."""
    return {
        254: (LONG, [1]),  # smaller than another one
        256: (LONG, [wide]),
        257: (LONG, [high]),
        258: (SHORT, [8, 8, 8]),
        259: (SHORT, [7 if photometric == 6 else 1]),
        262: (SHORT, [photometric]),
        273: (LONG, [0]),
        277: (SHORT, [3]),
        278: (LONG, [high]),
        279: (LONG, [len(data)]),
    }


def mosaic_of(colours):
    """Return what a sensor sees of linear colours, uint16 (h, w, 3): a third of them, (h, w)."""
    seen = colours[:, :, 1].copy()
    seen[0::2, 0::2] = colours[0::2, 0::2, 0]
    seen[1::2, 1::2] = colours[1::2, 1::2, 2]
    return seen


def plain(size, colour):
    """Return the mosaic of one linear colour; `size` is width and height."""
    wide, high = size
    return mosaic_of(np.full((high, wide, 3), colour, np.uint16))


def _directory(entries, start):
    """Return a directory of a TIFF that begins at `start`, with its longer values behind it."""
    table = longer = b""
    behind = start + 2 + 12 * len(entries) + 4
    for tag, (kind, values) in sorted(entries.items()):
        if kind == ASCII:
            raw = values
        elif kind in (RATIONAL, SRATIONAL):
            raw = b"".join(struct.pack("<ii", *value) for value in values)
        else:
            raw = struct.pack(f"<{len(values)}{FORMS[kind]}", *values)
        field = raw.ljust(4, b"\0")
        if len(raw) > 4:
            field = struct.pack("<I", behind + len(longer))
            longer += raw + bytes(len(raw) % 2)
        table += struct.pack("<HHI", tag, kind, len(values)) + field
    return struct.pack("<H", len(entries)) + table + bytes(4) + longer
