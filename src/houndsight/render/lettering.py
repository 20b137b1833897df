"""Writes labels onto pictures: a font that has the glyphs, and text that fits.

A label is data of unknown origin. What no font here can draw is written as an escape, never as an
empty box, and control characters (a newline, a change of direction) never reach the picture.
"""

from __future__ import annotations

from functools import lru_cache

from PIL import ImageFont

from houndsight.render.labels import JOINERS, one_line

__all__ = ["Font", "fitted", "font_for", "shown"]

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "NotoSansArabic-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "wqy-zenhei.ttc",
    "Arial Unicode.ttf",
    "PingFang.ttc",
    "msyh.ttc",
)
"""Looked for by name among the system's fonts when the font within Pillow lacks a glyph."""

ELLIPSIS = "…"


@lru_cache(maxsize=64)
def _own(size: int) -> Font:
    """Return the font that comes with Pillow."""
    return ImageFont.load_default(size)


@lru_cache(maxsize=64)
def _system(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _has(font: Font, char: str) -> bool:
    """Tell whether the font draws this character as something of its own.

    Pillow does not show a font's character map; a character that it lacks comes out as the same
    picture as U+10FFFF, which no font has.
    """
    if char.isspace() or char in JOINERS:
        return True
    try:
        lacking, drawn = font.getmask("\U0010ffff"), font.getmask(char)
    except UnicodeEncodeError:  # a bitmap font: Latin-1 only
        return False
    return (drawn.size, bytes(drawn)) != (lacking.size, bytes(lacking))


def font_for(text: str, size: int) -> Font:
    """Return the font for a text: Pillow's own, else the one at hand that lacks the fewest glyphs.

    Parameters
    ----------
    text
        What is to be written.
    size
        In pixels.

    Returns
    -------
    PIL.ImageFont.FreeTypeFont or PIL.ImageFont.ImageFont
        The second where Pillow was built without FreeType.
    """
    chars = set(text)
    own = _own(size)
    if all(_has(own, char) for char in chars):
        return own
    found = [own, *(font for name in SYSTEM_FONTS if (font := _system(name, size)) is not None)]
    return min(found, key=lambda font: sum(not _has(font, char) for char in chars))


def shown(text: str, font: Font) -> str:
    """Return the text as this font can show it on one line, the rest as backslash escapes."""
    return "".join(
        char if _has(font, char) else char.encode("unicode_escape").decode("ascii")
        for char in one_line(text)
    )


def fitted(text: str, font: Font, width: float) -> str:
    """Return the text, or its longest beginning with an ellipsis, that is at most `width` wide.

    Parameters
    ----------
    text
        One line.
    font
        The font that it is measured in.
    width
        In pixels; where not even the ellipsis fits, the text is empty.
    """
    if font.getlength(text) <= width:
        return text
    mark = ELLIPSIS if _has(font, ELLIPSIS) else "..."
    low, high = 0, len(text)  # text[:low] fits, text[:high] does not
    while high - low > 1:
        middle = (low + high) // 2
        if font.getlength(text[:middle].rstrip() + mark) <= width:
            low = middle
        else:
            high = middle
    if low == 0 and font.getlength(mark) > width:
        return ""
    return text[:low].rstrip() + mark
