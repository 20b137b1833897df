"""Pictures among the text of a terminal: the graphics protocols of Kitty and iTerm2, and Sixel.

Kitty: https://sw.kovidgoyal.net/kitty/graphics-protocol/
iTerm2: https://iterm2.com/documentation-images.html
"""

import base64
import io
from collections.abc import Iterator
from typing import Literal

from PIL import Image

from houndsight.render.sixel import sixel

__all__ = ["Protocol", "inline"]

Protocol = Literal["kitty", "iterm2", "sixel"]
# The most that Kitty takes at once; whole groups of 4 letters, so that only the last is padded.
CHUNK = 4096


def inline(picture: Image.Image, protocol: Protocol, *, width: int) -> bytes:
    """Return what shows a picture where it is written to a terminal, and ends its line.

    Parameters
    ----------
    picture
        The picture, mode RGB.
    protocol
        What the terminal understands.
    width
        How wide the terminal is, in pixels; a wider picture is made smaller.
    """
    if picture.width > width:
        height = max(1, round(picture.height * width / picture.width))
        picture = picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    if protocol == "sixel":
        return sixel(picture) + b"\n"
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    png = buffer.getvalue()
    return (b"".join(_kitty(png)) if protocol == "kitty" else _iterm2(png)) + b"\n"


def _kitty(png: bytes) -> Iterator[bytes]:
    data = base64.b64encode(png)
    for start in range(0, len(data), CHUNK):
        # a=T: transmit and show; f=100: a PNG; q=2: no reply, as nobody would read it.
        first = b"a=T,f=100,q=2," if start == 0 else b""
        more = start + CHUNK < len(data)
        yield b"\x1b_G%bm=%d;%b\x1b\\" % (first, more, data[start : start + CHUNK])


def _iterm2(png: bytes) -> bytes:
    data = base64.b64encode(png)
    return b"\x1b]1337;File=inline=1;size=%d;preserveAspectRatio=1:%b\x07" % (len(png), data)
