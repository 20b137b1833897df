"""The page: what a person looks at. Everything here is read; changes go through the API."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, File, Path, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from numpy.typing import NDArray
from PIL import Image, ImageOps

from houndsight import images
from houndsight.cropping import WHOLE, View
from houndsight.errors import ImageError
from houndsight.render import atlas as maps
from houndsight.render import heat
from houndsight.render.records import info_record
from houndsight.render.report import report_content
from houndsight.types import Item, Match, Where
from houndsight.web.addresses import kept_for
from houndsight.web.api import ItemId, TheDesk, kept
from houndsight.web.asking import TOGETHER, UPLOAD, Ask
from houndsight.web.desk import Answer, Desk
from houndsight.web.problems import Refused
from houndsight.web.schema import Skip
from houndsight.web.templates import page

__all__ = ["router"]

router = APIRouter(include_in_schema=False)
# Pixels of the longer side: of a photo that is looked at, and of a query beside its neighbours.
LARGE, BESIDE = 1600, 800
ON_A_PAGE = 60
SOME = 24
# Of a label's doubt: above one half more speaks for another label.
DOUBTED = 0.5


@dataclass(frozen=True, slots=True)
class Shown:
    """The photo that is looked at large.

    Attributes
    ----------
    item
        The photo.
    answer, match
        The query that it is a neighbour of, and as which; None where it is none.
    alike
        What shows the same picture; None while that is found out.
    """

    item: Item
    answer: Answer | None
    match: Match | None
    alike: list[Match] | None


@router.get("/")
def search(request: Request, desk: TheDesk) -> HTMLResponse:
    """Show queries with their neighbours; without a query, how to ask."""
    return _answered(request, desk, Ask.read(request.query_params.multi_items()))


def _answered(request: Request, desk: Desk, ask: Ask, skipped: Sequence[Skip] = ()) -> HTMLResponse:
    answers = desk.answers(ask)
    return page(
        request,
        "search.html.jinja",
        desk=desk,
        ask=ask,
        answers=answers,
        skipped=skipped,
        shown=None if ask.show is None else _shown(desk, desk.item(ask.show), answers),
        some=[] if answers else _items(desk, _spread(desk.gallery.ids())),
        labels=sorted(desk.gallery.labels()),
        metrics=desk.gallery.metrics(),
    )


def _spread(ids: NDArray[np.int64]) -> list[int]:
    """Return some of many, evenly: photos that came in together are often of one kind."""
    return [int(id_) for id_ in ids[:: max(1, -(-len(ids) // SOME))]]


def _items(desk: Desk, ids: Sequence[int]) -> list[Item]:
    """Return items in the order asked for, those that are there."""
    found = {item.id: item for item in desk.gallery.items(ids)}
    return [found[id_] for id_ in ids if id_ in found]


def _shown(desk: Desk, item: Item, answers: Sequence[Answer]) -> Shown:
    alike = desk.alike(item)
    for answer in answers:
        for match in answer.matches:
            if match.item.id == item.id:
                return Shown(item, answer, match, alike)
    return Shown(item, answers[0] if len(answers) == 1 else None, None, alike)


@router.post("/upload")
async def upload(
    request: Request,
    desk: TheDesk,
    image: Annotated[list[UploadFile], File()] = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """Keep photos that were handed in, and go on to their neighbours."""
    given = [one for one in image if one.filename][:TOGETHER]
    keys, skipped = await kept(desk, given)
    if not keys:
        reason = skipped[0].reason if skipped else "no photo was chosen"
        raise Refused(422, "unreadable_image", reason, "Choose a photo: JPEG, PNG, WebP, GIF, TIFF")
    ask = Ask.read([*request.query_params.multi_items(), *(("q", key) for key in keys)])
    if not skipped:
        return RedirectResponse(ask.url(), 303)
    # What could not be read is said once, and is no part of the address.
    answer = await run_in_threadpool(_answered, request, desk, ask, skipped)
    answer.headers["hx-push-url"] = ask.url()
    return answer


# The gallery


@router.get("/gallery")
def gallery(request: Request, desk: TheDesk, label: str = "", start: int = 0) -> HTMLResponse:
    """Show photos, those that came in last first; all, those with a label, or those without."""
    counts = desk.gallery.labels()
    rest = len(desk.gallery) - counts.total()
    where = desk.where([label]) if label else Where()
    ids = desk.gallery.ids(where)[::-1]
    start = min(max(start, 0), max(len(ids) - 1, 0)) // ON_A_PAGE * ON_A_PAGE
    return page(
        request,
        "gallery.html.jinja",
        counts=sorted(counts.items()),
        unlabelled=rest,
        label=label,
        items=_items(desk, ids[start : start + ON_A_PAGE].tolist()),
        total=len(ids),
        start=start,
        step=ON_A_PAGE,
    )


@router.get("/map")
def atlas(request: Request, desk: TheDesk, again: bool = False) -> Response:
    """Show the photos laid out in the plane."""
    if again:
        desk.atlas.start(desk.contents())
        return RedirectResponse("/map", 303)
    state, stale = desk.made(desk.atlas)
    shown = page(request, "map.page.html.jinja", state=state, stale=stale)
    return _waited(request, shown, running=state.running)


@router.get("/map/data")
def atlas_data(desk: TheDesk) -> dict[str, object]:
    """Return what the map's script draws."""
    return {**maps.map_data(desk.gallery, desk.the_atlas()), "search": "/?q="}


@router.get("/map/photos")
def atlas_photos(desk: TheDesk) -> Response:
    """Return all photos of the map in small, as one picture."""
    picture = maps.sprite(desk.gallery, desk.the_atlas())
    return Response(picture, media_type="image/jpeg", headers={"cache-control": kept_for(())})


@router.get("/quality")
def quality(request: Request, desk: TheDesk) -> Response:
    """Show the evaluation."""
    state = desk.report.state
    shown = page(
        request,
        "quality.html.jinja",
        state=state,
        stale=state.value is not None and state.contents != desk.contents(),
        content=None if state.value is None else report_content(desk.gallery, state.value),
    )
    return _waited(request, shown, running=state.running)


def _waited(request: Request, shown: Response, *, running: bool) -> Response:
    """Let a browser that asks every second until something is made load the page whole then."""
    if "hx-request" in request.headers and not running:
        shown.headers["hx-refresh"] = "true"
    return shown


@router.get("/tidy")
def tidy(request: Request, desk: TheDesk, again: bool = False) -> Response:
    """Show pictures that are there more than once, and labels that may be wrong."""
    if again:
        for one in (desk.duplicates, desk.doubtful):
            one.start(desk.contents())
        return RedirectResponse("/tidy", 303)
    twice, stale = desk.made(desk.duplicates)
    doubtful, _ = desk.made(desk.doubtful)
    here = {item.id: item for item in desk.gallery.items()}
    groups = [
        [here[item.id] for item in group.items if item.id in here]
        for group in (twice.value.groups if twice.value else ())
    ]
    return page(
        request,
        "tidy.html.jinja",
        twice=twice,
        doubtful=doubtful,
        stale=stale,
        groups=[group for group in groups if len(group) > 1][:ON_A_PAGE],
        # Those that were taken out or given another label since are settled.
        outliers=[
            one
            for one in doubtful.value or ()
            if one.score > DOUBTED
            and one.item.id in here
            and here[one.item.id].label == one.item.label
        ][:ON_A_PAGE],
    )


@router.get("/about")
def about(request: Request, desk: TheDesk, start: int = 0) -> HTMLResponse:
    """Say what the gallery holds, what made it, and what could not be taken in."""
    skipped = desk.gallery.skipped()
    start = min(max(start, 0), max(len(skipped) - 1, 0)) // ON_A_PAGE * ON_A_PAGE
    return page(
        request,
        "about.html.jinja",
        info=info_record(desk.gallery),
        lacking=desk.lacking,
        skipped=skipped[start : start + ON_A_PAGE],
        total=len(skipped),
        start=start,
        step=ON_A_PAGE,
    )


@router.get("/progress")
def progress(request: Request) -> HTMLResponse:
    """Say how far indexing is."""
    return page(request, "progress.html.jinja")


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """Describe the API."""
    return page(request, "docs.html.jinja")


# Pictures. None is sent as it lies on the disk: all were decoded and are JPEGs made here, so that
# nothing but photos gets out, and nothing in them gets in.


@router.get("/thumb/{item_id}")
def thumb(request: Request, desk: TheDesk, item_id: ItemId) -> Response:
    """Send an item's thumbnail."""
    item = desk.item(item_id)

    def make() -> bytes:
        picture = desk.gallery.thumbnail(item)
        if picture is None:
            raise Refused(404, "no_photo", "the photo was not found", "Is its drive connected?")
        return picture

    return _picture(request, item.digest.hex(), make)


@router.get("/photo/{key}")
async def photo(request: Request, desk: TheDesk, key: ItemId) -> Response:
    """Send an item's photo, no larger than a screen."""
    digest = (await run_in_threadpool(desk.digest, key)).hex()
    return await _decoding(
        request, f"{digest}-{LARGE}", lambda: _jpeg(_decoded(desk, key, LARGE), LARGE)
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


async def _decoding(request: Request, name: str, make: Callable[[], bytes]) -> Response:
    """Send a picture when it is its turn: a large photo, decoded, takes half a gigabyte."""
    async with request.app.state.desk.turns:
        return await run_in_threadpool(_picture, request, name, make)


def _picture(request: Request, name: str, make: Callable[[], bytes]) -> Response:
    """Send a picture; not if the browser has it: its ETag is made of its name."""
    etag = f'"{re.sub("[^0-9A-Za-z@._-]", "_", name)}"'
    headers = {"etag": etag, "cache-control": kept_for(request.query_params)}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        return Response(make(), media_type="image/jpeg", headers=headers)
    except ImageError as error:
        raise Refused(404, "no_photo", error.cause, error.remedy) from error
