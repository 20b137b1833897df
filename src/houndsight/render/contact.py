"""Contact sheets: photos in rows, each with a caption."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from houndsight.curation import DuplicateGroup
from houndsight.doubting import Outlier
from houndsight.gallery import Gallery
from houndsight.render.cards import item_picture
from houndsight.render.grid import Tile
from houndsight.render.sheet import QUIET, Sheet
from houndsight.render.text import label_text

__all__ = ["contact_sheet", "duplicate_rows", "outlier_rows"]

TILE, GAP, MARGIN, TEXT = 150, 20, 30, 14
CAPTION, HEADING = 42, 34
MOST_IN_ROW = 8


def contact_sheet(title: str, rows: Sequence[tuple[str, Sequence[Tile]]]) -> Image.Image:
    """Draw rows of photos, each row with a heading (none where it is empty).

    A row of more than eight goes on in the next line.
    """
    lines = sum(-(-len(tiles) // MOST_IN_ROW) for _, tiles in rows)
    wide = min(MOST_IN_ROW, max((len(tiles) for _, tiles in rows), default=1))
    headings = sum(bool(heading) for heading, _ in rows)
    size = (
        max(2 * MARGIN + wide * (TILE + GAP) - GAP, 640),
        2 * MARGIN + HEADING * (1 + headings) + lines * (TILE + CAPTION + GAP),
    )
    sheet = Sheet(size, text=TEXT, border=2)
    room = size[0] - 2 * MARGIN
    y = MARGIN
    sheet.write((MARGIN, y), title, width=room, size=20, colour=(0, 0, 0))
    y += HEADING
    for heading, tiles in rows:
        if heading:
            sheet.write((MARGIN, y + 8), heading, width=room, size=15, colour=QUIET)
            y += HEADING
        for n, tile in enumerate(tiles):
            x = MARGIN + n % MOST_IN_ROW * (TILE + GAP)
            if n and n % MOST_IN_ROW == 0:
                y += TILE + CAPTION + GAP
            box = (x, y, x + TILE, y + TILE)
            sheet.photo(tile.picture, box)
            sheet.caption(box, tile.title, tile.note)
        y += TILE + CAPTION + GAP
    return sheet.image


def outlier_rows(gallery: Gallery, found: Sequence[Outlier]) -> list[tuple[str, list[Tile]]]:
    """Return the doubtful photos, the most doubtful first: their label, and the one suggested."""
    tiles = [
        Tile(
            item_picture(gallery, one.item),
            label_text(one.item.label),
            f"rather {label_text(one.suggested)}",
            None,
        )
        for one in found
    ]
    return [("", tiles)]


def duplicate_rows(
    gallery: Gallery, groups: Sequence[DuplicateGroup]
) -> list[tuple[str, list[Tile]]]:
    """Return a row for each group, the photo that is suggested to be kept first."""
    rows: list[tuple[str, list[Tile]]] = []
    for n, group in enumerate(groups, start=1):
        distances = ["keep", *(f"{match.distance:.4f}" for match in group.others)]
        tiles = [
            Tile(item_picture(gallery, item), f"{item.width} x {item.height}", note, None)
            for item, note in zip(group.items, distances, strict=True)
        ]
        kind = "the same bytes" if group.exact else "nearly the same"
        rows.append((f"{n}: {len(tiles)} photos, {kind}", tiles))
    return rows
