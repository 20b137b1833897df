"""Answers as pictures: what a query found, and why, for `grid` and `heat` to draw."""

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from houndsight.cropping import WHOLE
from houndsight.explaining import Explanation
from houndsight.gallery import Gallery
from houndsight.queries import Query
from houndsight.render.cards import (
    item_picture,
    match_note,
    photo_picture,
    query_note,
    query_picture,
)
from houndsight.render.grid import Tile, grid
from houndsight.render.heat import Heated, heat
from houndsight.render.text import explained_text, label_text
from houndsight.types import Item, Match

__all__ = ["answer_grid", "explanation_picture"]


def answer_grid(gallery: Gallery, query: Query, matches: Sequence[Match]) -> Image.Image:
    """Draw a query on the left and its neighbours beside it, with label and distance."""
    known = "" if query.label is None else label_text(query.label)
    tiles = [
        Tile(
            item_picture(gallery, match.item),
            label_text(match.item.label),
            match_note(query, match),
            query.agrees(match.item),
        )
        for match in matches
    ]
    return grid(Tile(query_picture(gallery, query), known, query_note(query), None), tiles)


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
    whole = photo_picture(query.path, replace(query.view, crop=None))
    known = "" if query.label is None else label_text(query.label)
    pairs: list[tuple[Heated, Heated]] = []
    for item, why in explained:
        # Above each other the query is named once.
        words = (known, query_note(query)) if not pairs else ("", "")
        title = label_text(item.label)
        note = "not explained" if why is None else _why(why, alone=len(explained) == 1)
        photo = photo_picture(gallery.path_of(item), WHOLE)
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
