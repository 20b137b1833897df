"""Pictures as Sixel, which many terminals show.

The format: VT330/VT340 Programmer Reference Manual, volume 2, chapter 14,
https://vt100.net/docs/vt3xx-gp/chapter14.html
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["sixel"]

COLOURS = 256
BAND = 6  # rows of pixels that one line of letters stands for
BLANK = 63  # the letter of no pixel, "?"; each of the six adds its bit


def sixel(picture: Image.Image) -> bytes:
    """Return a picture in 256 colours of its own as a sequence for a terminal.

    Parameters
    ----------
    picture
        Mode RGB.
    """
    reduced = picture.quantize(COLOURS)
    pixels = np.asarray(reduced)
    high, wide = pixels.shape
    palette = np.array(reduced.getpalette("RGB"), np.int64).reshape(-1, 3)
    # Kept as per cent by the format.
    shares = np.rint(palette * 100 / 255).astype(int)
    parts = [b'\x1bP0;1q"1;1;%d;%d' % (wide, high)]
    parts += [b"#%d;2;%d;%d;%d" % (n, *shares[n]) for n in np.unique(pixels).tolist()]
    for top in range(0, high, BAND):
        # "$" goes back to the band's left edge for the next colour, "-" to the next band.
        parts += [b"$".join(_band(pixels[top : top + BAND])), b"-"]
    return b"".join(parts) + b"\x1b\\"


def _band(rows: NDArray[np.uint8]) -> Iterator[bytes]:
    """Yield a band of up to six rows, colour by colour."""
    colours, at = np.unique(rows, return_inverse=True)
    letters = np.full((len(colours), rows.shape[1]), BLANK)
    for row, of in enumerate(at.reshape(rows.shape)):
        letters[of, np.arange(len(of))] += 1 << row
    for colour, line in zip(colours.tolist(), letters, strict=True):
        ends = np.append(np.flatnonzero(line[1:] != line[:-1]) + 1, len(line))
        lengths = np.diff(ends, prepend=0).tolist()
        runs = list(zip(line[ends - 1].tolist(), lengths, strict=True))
        if runs[-1][0] == BLANK:  # nothing follows on it
            runs.pop()
        yield b"#%d" % colour + b"".join([_run(letter, length) for letter, length in runs])


def _run(letter: int, length: int) -> bytes:
    return b"%c" % letter * length if length < 4 else b"!%d%c" % (length, letter)
