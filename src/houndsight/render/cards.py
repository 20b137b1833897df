"""Queries and what they found, as pictures and words that grids and pages have in common."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence

from PIL import Image, ImageOps

from houndsight import images
from houndsight.cropping import WHOLE, View
from houndsight.errors import HoundsightError
from houndsight.gallery import Gallery
from houndsight.queries import Query
from houndsight.render.html import Card
from houndsight.render.sheet import MAT
from houndsight.render.text import label_text
from houndsight.types import Item, Match

__all__ = [
    "item_picture",
    "match_note",
    "neighbour_card",
    "photo_picture",
    "query_note",
    "query_picture",
    "query_thumbnail",
]

# A query is drawn at up to 480 pixels; JPEGs are decoded no larger than that needs.
QUERY_SIDE = 480
# A collage of more photos than these shows nothing of any.
COLLAGE = 9


def photo_picture(path: bytes, view: View) -> Image.Image | None:
    """Return a photo as far as it was looked at."""
    try:
        photo = images.decode(images.read(path).data, path=path, at_least=view.at_least(QUERY_SIDE))
        return view(photo.image, (photo.width, photo.height))
    except HoundsightError:
        return None


def query_picture(gallery: Gallery, query: Query) -> Image.Image | None:
    """Return what was searched for; of several photos a collage, None where none can be read."""
    combined = query.combination
    if combined is None or len(combined.like) == 1:
        return _own_picture(gallery, query)
    some = [_own_picture(gallery, one) for one in combined.like[:COLLAGE]]
    return _collage([picture for picture in some if picture is not None])


def _own_picture(gallery: Gallery, query: Query) -> Image.Image | None:
    """Return a query's photo; where it cannot be read, the thumbnail of the item that it is."""
    found = photo_picture(query.path, query.view)
    if found is None and query.view == WHOLE:
        for item in gallery.items(query.own):
            found = found or item_picture(gallery, item)
    return found


def item_picture(gallery: Gallery, item: Item) -> Image.Image | None:
    """Return an item's thumbnail; None where it and the photo are missing."""
    data = gallery.thumbnail(item)
    return None if data is None else Image.open(io.BytesIO(data))


def _collage(pictures: Sequence[Image.Image]) -> Image.Image | None:
    """Put photos into the squares of one, in rows."""
    if not pictures:
        return None
    columns = math.ceil(math.sqrt(len(pictures)))
    side, gap = QUERY_SIDE // columns, 4
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * side - gap, rows * side - gap), MAT)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        sheet.paste(ImageOps.fit(picture, (side - gap, side - gap)), (column * side, row * side))
    return sheet


def query_thumbnail(gallery: Gallery, query: Query) -> bytes | None:
    """Return what was searched for as a small JPEG."""
    picture = query_picture(gallery, query)
    return None if picture is None else images.thumbnail(picture)


def query_note(query: Query) -> str:
    """Return the name of a query, or what it is made of."""
    name = os.path.basename(query.path).decode("utf-8", "backslashreplace")
    combined = query.combination
    if combined is None:
        return name
    if combined.combine is not None and len(combined.like) > 1:
        name = f"{combined.combine} of {len(combined.like)} photos"
    return f"{name}, unlike {len(combined.unlike)}" if combined.unlike else name


def match_note(query: Query, match: Match) -> str:
    """Return a neighbour's distance and, where they are known, its probability and equal bytes."""
    chance = "" if match.probability is None else f"  {match.probability:.0%}"
    return f"{match.distance:.4f}{chance}{' same bytes' if query.same_bytes(match.item) else ''}"


def neighbour_card(
    gallery: Gallery, match: Match, *, right: bool | None, note: str | None = None
) -> Card:
    """Return a neighbour for a page; its note is the distance unless given."""
    label = label_text(match.item.label)
    return Card(
        label,
        f"{match.distance:.4f}" if note is None else note,
        right,
        gallery.thumbnail(match.item),
        f"neighbour {match.rank}, {label}",
        match.rank,
    )
