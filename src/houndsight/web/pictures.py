"""Photos as pictures for the page.

All are JPEGs made by houndsight from decoded photos, so that nothing but photos gets out, and
nothing in them gets in.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from PIL import Image, ImageOps

from houndsight import images
from houndsight.cropping import WHOLE, View
from houndsight.errors import ImageError
from houndsight.render import heat
from houndsight.web.addresses import kept_for, photo_tag
from houndsight.web.asking import UPLOAD, Ask
from houndsight.web.dependencies import ItemId, TheDesk
from houndsight.web.desk import Desk
from houndsight.web.problems import Refused

__all__ = ["router"]

router = APIRouter(include_in_schema=False)
# Pixels of the longer side: of a photo that is looked at, and of a query beside its neighbours.
LARGE, BESIDE = 1600, 800


@router.get("/thumb/{item_id}")
def thumb(request: Request, desk: TheDesk, item_id: ItemId, v: str = "") -> Response:
    """Send an item's thumbnail."""
    item = desk.item(item_id)

    def make() -> bytes:
        picture = desk.gallery.thumbnail(item)
        if picture is None:
            raise Refused(404, "no_photo", "the photo was not found", "Is its drive connected?")
        return picture

    return _picture(request, item.digest.hex(), make, kept_for(v, photo_tag(item)))


@router.get("/photo/{key}")
async def photo(request: Request, desk: TheDesk, key: ItemId, v: str = "") -> Response:
    """Send an item's photo, no larger than a screen."""
    item = await run_in_threadpool(desk.item, key)
    return await _decoding(
        request,
        f"{item.digest.hex()}-{LARGE}",
        lambda: _jpeg(_decoded(desk, key, LARGE), LARGE),
        kept_for(v, photo_tag(item)),
    )


@router.get("/query/{key}")
async def query(
    request: Request, desk: TheDesk, key: Annotated[str, Path(pattern=UPLOAD)]
) -> Response:
    """Send a photo that was handed in, no larger than it is shown."""
    await run_in_threadpool(desk.path, key)  # whether it is still there
    return await _decoding(
        request, f"{key}-{BESIDE}", lambda: _jpeg(_decoded(desk, key, BESIDE), BESIDE)
    )


@router.get("/heat/{side}")
async def heated(request: Request, desk: TheDesk, side: Literal["query", "item"]) -> Response:
    """Send one of a pair of photos with the regions that made them alike: ?q=QUERY&show=ITEM."""
    ask = Ask.read(request.query_params.multi_items())
    if len(ask.queries) != 1 or ask.show is None:
        raise Refused(
            422,
            "invalid_input",
            "a heat map is of one query and one photo",
            "Name them as ?q=QUERY&show=ITEM",
        )
    (key,), show, view = ask.queries, ask.show, WHOLE if ask.crop is None else View(ask.crop)

    def name() -> str:
        digests = f"{desk.digest(key).hex()}-{desk.digest(show).hex()}"
        return f"{side}-{digests}-{desk.metric(ask.metric)}-{view.crop}"

    def make() -> bytes:
        found = desk.explained(key, view, desk.item(show), ask.metric)
        scale = heat.common_scale([found.query_shares, found.item_shares])
        which, shares, seen = show, found.item_shares, found.item_seen
        if side == "query":
            which, shares, seen = key, found.query_shares, found.query_seen
        image = _decoded(desk, which, heat.OVERLAY)
        return _jpeg(heat.overlay(image, shares, seen, scale), heat.OVERLAY)

    return await _decoding(request, await run_in_threadpool(name), make)


def _decoded(desk: Desk, key: str, side: int) -> Image.Image:
    return images.decode(desk.photo(key).data, path=desk.path(key), at_least=side).image


def _jpeg(image: Image.Image, side: int) -> bytes:
    """Return an image as a JPEG of no more than so many pixels on its longer side."""
    if max(image.size) > side:
        image = ImageOps.contain(image, (side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


async def _decoding(
    request: Request, name: str, make: Callable[[], bytes], kept: str | None = None
) -> Response:
    """Send a picture when it is its turn: a large photo, decoded, takes half a gigabyte."""
    async with request.app.state.desk.turns:
        return await run_in_threadpool(_picture, request, name, make, kept)


def _picture(
    request: Request, name: str, make: Callable[[], bytes], kept: str | None = None
) -> Response:
    """Send a picture; not if the browser has it: its ETag is made of its name."""
    etag = f'"{re.sub("[^0-9A-Za-z@._-]", "_", name)}"'
    headers = {"etag": etag, "cache-control": kept or kept_for()}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        return Response(make(), media_type="image/jpeg", headers=headers)
    except ImageError as error:
        raise Refused(404, "no_photo", error.cause, error.remedy) from error
