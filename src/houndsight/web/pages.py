"""The page: what a person looks at. Everything here is read; changes go through the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from fastapi import APIRouter, File, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from numpy.typing import NDArray

from houndsight.render import atlas as maps
from houndsight.render.records import info_record
from houndsight.render.report import report_content
from houndsight.types import Item, Match, Where
from houndsight.web.addresses import kept_for
from houndsight.web.asking import TOGETHER, Ask
from houndsight.web.dependencies import TheDesk, file_name, kept
from houndsight.web.desk import Answer, Desk
from houndsight.web.problems import Refused
from houndsight.web.schema import Skip
from houndsight.web.templates import page

__all__ = ["router"]

router = APIRouter(include_in_schema=False)
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
    given = [one for one in image if one.filename]
    keys, skipped = await kept(desk, given[:TOGETHER])
    beyond = f"only {TOGETHER} photos can be asked about at once"
    skipped += [Skip(name=file_name(one), reason=beyond) for one in given[TOGETHER:]]
    if not keys:
        reason = skipped[0].reason if skipped else "no photo was chosen"
        remedy = "Choose a photo: JPEG, PNG, WebP, GIF, TIFF, HEIC, RAW"
        raise Refused(422, "unreadable_image", reason, remedy)
    ask = Ask.read([*request.query_params.multi_items(), *(("q", key) for key in keys)])
    if not skipped:
        return RedirectResponse(ask.url(), 303)
    # What could not be read is said once, and is no part of the address.
    answer = await run_in_threadpool(_answered, request, desk, ask, skipped)
    answer.headers["hx-push-url"] = ask.url()
    return answer


# The gallery


@router.get("/gallery")
def gallery(
    request: Request, desk: TheDesk, label: str = "", without: bool = False, start: int = 0
) -> HTMLResponse:
    """Show photos, those that came in last first; all, those with a label, or those without."""
    counts = desk.gallery.labels()
    rest = len(desk.gallery) - counts.total()
    where = desk.where([label]) if label else Where(frozenset([None]) if without else None)
    ids = desk.gallery.ids(where)[::-1]
    start = min(max(start, 0), max(len(ids) - 1, 0)) // ON_A_PAGE * ON_A_PAGE
    return page(
        request,
        "gallery.html.jinja",
        counts=sorted(counts.items()),
        unlabelled=rest,
        label=label,
        without=without and not label,
        items=_items(desk, ids[start : start + ON_A_PAGE].tolist()),
        total=len(ids),
        start=start,
        step=ON_A_PAGE,
    )


@router.get("/map")
def atlas(request: Request, desk: TheDesk) -> Response:
    """Show the photos laid out in the plane."""
    state, stale = desk.made(desk.atlas)
    shown = page(request, "map.page.html.jinja", state=state, stale=stale)
    return _waited(request, shown, running=state.running)


@router.post("/map")
def atlas_again(desk: TheDesk) -> RedirectResponse:
    """Lay the photos out anew."""
    desk.atlas.start(desk.contents())
    return RedirectResponse("/map", 303)


@router.get("/map/data")
def atlas_data(desk: TheDesk) -> dict[str, object]:
    """Return what the map's script draws."""
    return {**maps.map_data(desk.gallery, desk.the_atlas()), "search": "/?q="}


@router.get("/map/photos")
def atlas_photos(desk: TheDesk) -> Response:
    """Return all photos of the map in small, as one picture."""
    picture = maps.sprite(desk.gallery, desk.the_atlas())
    return Response(picture, media_type="image/jpeg", headers={"cache-control": kept_for()})


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
def tidy(request: Request, desk: TheDesk) -> Response:
    """Show pictures that are there more than once, and labels that may be wrong."""
    twice, stale = desk.made(desk.duplicates)
    doubtful, _ = desk.made(desk.doubtful)
    found = [group.items for group in (twice.value.groups if twice.value else ())]
    wrong = [one for one in doubtful.value or () if one.score > DOUBTED]
    named = {item.id for group in found for item in group} | {one.item.id for one in wrong}
    here = {item.id: item for item in desk.gallery.items(named)}
    groups = [[here[item.id] for item in group if item.id in here] for group in found]
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
            for one in wrong
            if one.item.id in here and here[one.item.id].label == one.item.label
        ][:ON_A_PAGE],
    )


@router.post("/tidy")
def tidy_again(desk: TheDesk) -> RedirectResponse:
    """Look anew for what can be tidied up."""
    for one in (desk.duplicates, desk.doubtful):
        one.start(desk.contents())
    return RedirectResponse("/tidy", 303)


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
