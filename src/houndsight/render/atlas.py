"""A gallery laid out in the plane, as a picture and as a page to move about in."""

from __future__ import annotations

import base64
import colorsys
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image, ImageDraw

from houndsight.atlas import Atlas
from houndsight.errors import InputError, counted, unwritable
from houndsight.gallery import Gallery
from houndsight.render.cards import item_picture
from houndsight.render.html import environment
from houndsight.render.labels import one_line
from houndsight.render.lettering import font_for, shown
from houndsight.render.sheet import MAT, PAPER, QUIET, TEXT, Box, Colour, flat
from houndsight.render.text import label_text
from houndsight.types import Item

__all__ = ["map_data", "page", "picture", "save", "sprite"]

SIDE, MARGIN, HEAD = 2000, 60, 90
THUMBNAIL, FRAME = 52, 4
NAMES = 60
UNLABELLED: Colour = (138, 142, 148)
COLUMNS = 50
SPRITE = 64
# Relative luminances, in turn, for people who do not tell hues apart; each has 3 : 1 or more
# against the light page and the dark one.
LUMINANCES = (0.15, 0.2, 0.265)
SATURATION = 0.62


def save(gallery: Gallery, atlas: Atlas, path: Path) -> None:
    """Write a picture (.png) or a page (.html).

    Raises
    ------
    InputError
        If the name ends otherwise, or the file cannot be written.
    """
    try:
        if path.suffix.lower() == ".png":
            picture(gallery, atlas).save(path, "PNG")
        elif path.suffix.lower() in (".html", ".htm"):
            path.write_text(page(gallery, atlas), encoding="utf-8")
        else:
            raise InputError("ends neither in .png nor in .html", path=path)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error


def picture(gallery: Gallery, atlas: Atlas) -> Image.Image:
    """Draw all photos as points, as many as there is room for as small pictures, and names."""
    image = Image.new("RGB", (SIDE, SIDE + HEAD), PAPER)
    draw = ImageDraw.Draw(image)
    inner = SIDE - 2 * MARGIN
    places = MARGIN + atlas.points * [1, -1] * inner + [0, inner] + [0, HEAD]
    colours = _colours(atlas)
    for item, (x, y) in zip(atlas.items, places, strict=True):
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colours[item.label])
    taken = np.zeros((0, 2))
    reach = THUMBNAIL + 2 * FRAME + 2
    for item, place in zip(atlas.items, places, strict=True):
        if len(taken) and (np.abs(taken - place).max(axis=1) < reach).any():
            continue
        small = _thumbnail(gallery, item, THUMBNAIL)
        if small is not None:
            taken = np.vstack([taken, place])
            x, y = (round(float(c)) - THUMBNAIL // 2 for c in place)
            frame = (x - FRAME, y - FRAME, x + THUMBNAIL + FRAME - 1, y + THUMBNAIL + FRAME - 1)
            draw.rectangle(frame, fill=colours[item.label])
            image.paste(small, (x, y))
    _names(draw, atlas, places)
    font = font_for("x", 34)
    draw.text((MARGIN, 30), shown(_title(atlas), font), font=font, fill=TEXT)
    note = font_for("x", 22)
    draw.text((MARGIN, 74), shown(_note(gallery, atlas), note), font=note, fill=QUIET)
    return image


def _title(atlas: Atlas) -> str:
    return f"{counted(len(atlas.items), 'photo')} by {atlas.method}, metric {atlas.metric}"


def _note(gallery: Gallery, atlas: Atlas) -> str:
    what = (
        "Near photos are alike; how far apart distant groups lie means nothing."
        if atlas.method == "t-SNE"
        else "The first two principal components: what is near here may be far in the others."
    )
    if gallery.facts(atlas.metric):
        what += " Learned from these labels: new photos lie less clearly apart."
    return what + (f" {atlas.left_out:,} more photos are not shown." if atlas.left_out else "")


def _names(draw: ImageDraw.ImageDraw, atlas: Atlas, places: np.ndarray) -> None:
    """Write the names of the largest labels at their medians, where no other name stands."""
    members: dict[str, list[int]] = {}
    for n, item in enumerate(atlas.items):
        if item.label is not None:
            members.setdefault(item.label, []).append(n)
    boxes: list[tuple[float, ...]] = []
    for label, rows in sorted(members.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        text = one_line(label)[:40]
        font = font_for(text, 24)
        text = shown(text, font)
        x, y = (float(c) for c in np.median(places[rows], axis=0))
        half = draw.textlength(text, font=font) / 2 + 8
        x = min(max(x, half), SIDE - half)
        box = draw.textbbox((x, y), text, font=font, anchor="mm", stroke_width=4)
        free = not any(
            box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in boxes
        )
        if free and len(boxes) < NAMES:
            boxes.append(box)
            draw.text(
                (x, y), text, font=font, fill=TEXT, anchor="mm", stroke_width=4, stroke_fill=PAPER
            )


def _colours(atlas: Atlas) -> dict[str | None, Colour]:
    """Give each label a colour; labels that lie side by side get different ones."""
    labels = sorted({item.label for item in atlas.items if item.label is not None})
    middle = {
        label: np.median(
            [p for i, p in zip(atlas.items, atlas.points, strict=True) if i.label == label], axis=0
        )
        for label in labels
    }
    around = sorted(labels, key=lambda lb: float(np.arctan2(*(middle[lb] - 0.5))))
    out: dict[str | None, Colour] = {None: UNLABELLED}
    for n, label in enumerate(around):
        hue = (n * 0.381966) % 1.0  # the golden angle: no two in a row are near each other
        out[label] = _colour(hue, LUMINANCES[n % 3])
    return out


def _colour(hue: float, luminance: float) -> Colour:
    """Return the colour of a hue, 0 to 1, that has a relative luminance as WCAG defines it."""
    lightness = np.arange(256) / 255
    rgb = np.array([colorsys.hls_to_rgb(hue, one, SATURATION) for one in lightness])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    chosen = rgb[np.abs(linear @ (0.2126, 0.7152, 0.0722) - luminance).argmin()]
    red, green, blue = np.rint(255 * chosen).astype(int).tolist()
    return red, green, blue


def _thumbnail(gallery: Gallery, item: Item, side: int) -> Image.Image | None:
    opened = item_picture(gallery, item)
    if opened is None:
        return None
    opened.draft("RGB", (side, side))
    photo = flat(opened)
    scale = side / max(photo.size)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    square = Image.new("RGB", (side, side), MAT)
    at: Box = ((side - size[0]) // 2, (side - size[1]) // 2, 0, 0)
    square.paste(photo.resize(size, Image.Resampling.LANCZOS), at[:2])
    return square


def map_data(gallery: Gallery, atlas: Atlas) -> dict[str, Any]:
    """Return what ``atlas.js`` draws, as JSON has it.

    With ``search`` added, the address up to the id of what searches for a photo, each photo leads
    there.

    Returns
    -------
    dict
        ``points``: x and y, 0 to 1 from the upper left, and the number of the label; ``ids`` and
        ``paths`` in the same order; ``labels``, ``colours`` and ``counts`` by number; ``columns``
        and ``side`` in pixels of the photos in `sprite`; ``title`` and ``note``, to be read.
    """
    colours = _colours(atlas)
    labels = sorted(colours, key=lambda label: (label is None, label or ""))
    number = {label: n for n, label in enumerate(labels)}
    return {
        "title": _title(atlas),
        "note": _note(gallery, atlas),
        "points": [
            [round(float(x), 4), round(1 - float(y), 4), number[item.label]]
            for item, (x, y) in zip(atlas.items, atlas.points, strict=True)
        ],
        "ids": [item.key for item in atlas.items],
        "paths": [
            os.fsencode(gallery.path_of(item)).decode("utf-8", "backslashreplace")
            for item in atlas.items
        ],
        "labels": [one_line(label_text(label)) for label in labels],
        "colours": ["#{:02x}{:02x}{:02x}".format(*colours[label]) for label in labels],
        "counts": [sum(item.label == label for item in atlas.items) for label in labels],
        "columns": COLUMNS,
        "side": SPRITE,
    }


def sprite(gallery: Gallery, atlas: Atlas) -> bytes:
    """Return one JPEG with all photos in small, in rows, in the order of the items."""
    sheet = Image.new("RGB", (COLUMNS * SPRITE, -(-len(atlas.items) // COLUMNS) * SPRITE), MAT)
    for n, item in enumerate(atlas.items):
        small = _thumbnail(gallery, item, SPRITE)
        if small is not None:
            sheet.paste(small, (n % COLUMNS * SPRITE, n // COLUMNS * SPRITE))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=72)
    return buffer.getvalue()


def page(gallery: Gallery, atlas: Atlas) -> str:
    """Return a page that needs nothing but itself: move, zoom, look, and pick labels."""
    script = (Path(__file__).parent / "static" / "atlas.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        environment()
        .get_template("atlas.html.jinja")
        .render(
            data=map_data(gallery, atlas),
            sprite=sprite(gallery, atlas),
            script=Markup(script),  # noqa: S704 - houndsight's own
            digest=digest,
        )
    )
