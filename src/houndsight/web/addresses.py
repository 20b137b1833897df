"""Addresses of files and photos, and how long a browser may keep what they name."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import houndsight.render
from houndsight.types import Item

__all__ = ["STATIC", "kept_for", "photo_tag", "photo_url", "static_tag", "static_url"]

# Where files under /static lie, the longest prefix last: reports and maps share theirs.
STATIC = {
    "": Path(__file__).parent / "static",
    "render/": Path(houndsight.render.__file__).parent / "static",
}


def photo_url(item: Item, kind: str = "thumb") -> str:
    """Return the address of an item's photo as it is now."""
    return f"/{kind}/{item.key}?v={photo_tag(item)}"


def photo_tag(item: Item) -> str:
    """Return what changes when a photo does."""
    return item.digest[:6].hex()


def static_url(name: str) -> str:
    """Return the address of a style, script or picture as it is now."""
    return f"/static/{name}?v={static_tag(name)}"


def static_tag(name: str) -> str:
    """Return what changes when a file under /static does; FileNotFoundError if there is none."""
    prefix = next(one for one in reversed(STATIC) if name.startswith(one))
    path = STATIC[prefix] / name.removeprefix(prefix)
    return _tag(path, path.stat().st_mtime_ns)


@lru_cache
def _tag(path: Path, _mtime_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def kept_for(given: str | None = None, tag: str | None = None) -> str:
    """Return the Cache-Control of what was asked for with a tag and has another, or the same.

    With the same, the address names the bytes and never shows anything else.
    """
    same = tag is not None and given == tag
    return "private, max-age=31536000, immutable" if same else "private, no-cache"
