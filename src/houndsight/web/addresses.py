"""Addresses of files and photos, and how long a browser may keep what they name."""

from __future__ import annotations

import hashlib
from collections.abc import Container
from functools import cache
from pathlib import Path

import houndsight.render
from houndsight.types import Item

__all__ = ["STATIC", "kept_for", "photo_url", "static_url"]

# Where files under /static lie, the longest prefix last: reports and maps share theirs.
STATIC = {
    "": Path(__file__).parent / "static",
    "render/": Path(houndsight.render.__file__).parent / "static",
}


def photo_url(item: Item, kind: str = "thumb") -> str:
    """Return the address of an item's photo as it is now."""
    return f"/{kind}/{item.key}?v={item.digest[:6].hex()}"


@cache
def static_url(name: str) -> str:
    """Return the address of a style, script or picture as it is now."""
    prefix = next(one for one in reversed(STATIC) if name.startswith(one))
    data = (STATIC[prefix] / name.removeprefix(prefix)).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(data).hexdigest()[:8]}"


def kept_for(query: Container[str]) -> str:
    """Return the Cache-Control of what is asked for with these parameters.

    An address that names the bytes never shows anything else; the others are asked again.
    """
    return "private, max-age=31536000, immutable" if "v" in query else "private, no-cache"
