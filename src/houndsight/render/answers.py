"""Answers as pictures: what a query found, and why, for `grid` and `heat` to draw."""

import io
import math
import os
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image, ImageOps

from houndsight import images
from houndsight.cropping import WHOLE, View
from houndsight.errors import HoundsightError
from houndsight.explaining import Explanation
from houndsight.gallery import Gallery
from houndsight.queries import Query
from houndsight.render.grid import Tile, grid
from houndsight.render.heat import Heated, heat
from houndsight.render.sheet import MAT
from houndsight.render.text import explained_text, label_text
from houndsight.types import Item, Match

__all__ = ["answer_grid", "explanation_picture", "item_picture"]

# A query is drawn at up to 480 pixels; JPEGs are decoded no larger than that needs.
QUERY_SIDE = 480
# A collage of more photos than these shows nothing of any.
COLLAGE = 9


def _picture(path: bytes, view: View) -> Image.Image | None:
    """Return a photo as far as it was looked at."""
    try:
        photo = images.decode(images.read(path).data, path=path, at_least=view.at_least(QUERY_SIDE))
        return view(photo.image, (photo.width, photo.height))
    except HoundsightError:
        return None


def _query_picture(query: Query) -> Image.Image | None:
    combined = query.combination
    if combined is None or len(combined.like) == 1:
        return _picture(query.path, query.view)
    some = [_picture(one.path, one.view) for one in combined.like[:COLLAGE]]
    return _collage([picture for picture in some if picture is not None])


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


def _query_note(query: Query) -> str:
    name = os.path.basename(query.path).decode("utf-8", "backslashreplace")
    combined = query.combination
    if combined is None:
        return name
    if combined.combine is not None and len(combined.like) > 1:
        name = f"{combined.combine} of {len(combined.like)} photos"
    return f"{name}, unlike {len(combined.unlike)}" if combined.unlike else name


def item_picture(gallery: Gallery, item: Item) -> Image.Image | None:
    """Return an item's thumbnail; None where it and the photo are missing."""
    data = gallery.thumbnail(item)
    return None if data is None else Image.open(io.BytesIO(data))


def _note(query: Query, match: Match) -> str:
    chance = "" if match.probability is None else f"  {match.probability:.0%}"
    return f"{match.distance:.4f}{chance}{' same bytes' if query.same_bytes(match.item) else ''}"


def answer_grid(gallery: Gallery, query: Query, matches: Sequence[Match]) -> Image.Image:
    """Draw a query on the left and its neighbours beside it, with label and distance."""
    known = "" if query.label is None else label_text(query.label)
    tiles = [
        Tile(
            item_picture(gallery, match.item),
            label_text(match.item.label),
            _note(query, match),
            query.agrees(match.item),
        )
        for match in matches
    ]
    return grid(Tile(_query_picture(query), known, _query_note(query), None), tiles)


def explanation_picture(
    gallery: Gallery, query: Query, explained: Sequence[tuple[Item, Explanation | None]]
) -> Image.Image:
    """Draw a query beside items of which each region says how much it made the two alike.

    Parameters
    ----------
    gallery
        The gallery of the items.
    query
        One photo.
    explained
        Items, one or more, the nearest first, and how they are like the query; None where that
        cannot be said.
    """
    whole = _picture(query.path, replace(query.view, crop=None))
    known = "" if query.label is None else label_text(query.label)
    pairs: list[tuple[Heated, Heated]] = []
    for item, why in explained:
        # Above each other the query is named once.
        words = (known, _query_note(query)) if not pairs else ("", "")
        title = label_text(item.label)
        note = "not explained" if why is None else _why(why, alone=len(explained) == 1)
        photo = _picture(gallery.path_of(item), WHOLE)
        if why is None:
            pairs.append((Heated(whole, *words), Heated(photo, title, note)))
        else:
            asked = Heated(whole, *words, why.query_shares, why.query_seen)
            pairs.append((asked, Heated(photo, title, note, why.item_shares, why.item_seen)))
    known_why = [why for _, why in explained if why is not None]
    heading, word = "Not explained", "similarity"
    if known_why:
        # Several pairs may share different labels.
        words_of_first = explained_text(known_why[0], label_too=len(explained) == 1)
        heading = f"Alike by {words_of_first}"
        word = "score" if known_why[0].explained == "label score" else "similarity"
    return heat(pairs, title=heading, legend=f"what a region adds to the {word}")


def _why(why: Explanation, *, alone: bool) -> str:
    distance = f"distance {why.distance:.4f}"
    if why.explained != "label score":
        return f"{distance}, similarity {why.item_total:.3f}"
    if alone:
        return f"{distance}, scores {why.query_total:.1f} and {why.item_total:.1f}"
    return f"{distance}, by {label_text(why.label)}"
