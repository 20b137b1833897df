"""Labels as one line of text that shows what it is."""

from __future__ import annotations

import unicodedata

from houndsight.errors import printable

__all__ = ["JOINERS", "one_line"]

JOINERS = frozenset("\u200c\u200d")
"""Zero-width non-joiner and joiner: spelling in Persian and Hindi, and part of many emoji."""


def one_line(text: str) -> str:
    r"""Return the text with what would break its line or turn its direction as escapes.

    A newline in a label would vanish or break the layout, and U+202E would reverse all that follows
    it; both are written out (``\n``, ``\u202e``). Spaces of every width are kept.
    """
    return "".join(
        char if char in JOINERS or unicodedata.category(char) == "Zs" else printable(char)
        for char in text
    )
