"""The HTTP API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Path, Query, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from houndsight.errors import HoundsightError
from houndsight.labels import clean
from houndsight.render import records
from houndsight.render.evaluation_record import evaluation_record
from houndsight.web import schema
from houndsight.web.asking import ITEM, MOST, TOGETHER, UPLOAD, Ask, Way
from houndsight.web.dependencies import ItemId, TheDesk, kept, writable
from houndsight.web.problems import Refused
from houndsight.web.replies import escaped, neighbours, photo, verdicts

__all__ = ["router"]

CROP = r"^\s*[0-9.]+\s*%?\s*(,\s*[0-9.]+\s*%?\s*){3}$"
K = Annotated[int, Query(ge=1, le=MOST, description="neighbours")]
Key = Annotated[str, Query(pattern=f"{ITEM}|{UPLOAD}")]
Keys = Annotated[list[Key], Query(min_length=1, max_length=TOGETHER, description="ids or keys")]
Labels = Annotated[list[schema.Label], Query(max_length=100, description="only these")]
Crop = Annotated[
    str | None,
    Query(pattern=CROP, description="x,y,width,height in pixels, or in per cent with %"),
]
Combined = Annotated[Way, Query(description="several one by one, or as one")]
Metric = Annotated[str | None, Query(description="a metric of the gallery; its own by default")]

router = APIRouter(
    prefix="/api",
    responses={
        code: {"model": schema.Refusal, "description": words}
        for code, words in {
            401: "The token is missing.",
            404: "There is no such item, label, metric or photo.",
            421: "The server does not go by that name.",
            422: "What was asked makes no sense, or a photo cannot be read.",
            500: "Something is broken.",
            503: "Too many ask at once, or the model's weights are not here.",
        }.items()
    },
)
_CHANGES: dict[int | str, dict[str, Any]] = {
    code: {"model": schema.Refusal, "description": words}
    for code, words in {
        400: "The body cannot be read.",
        403: "Nothing can be changed here, or another site's page asked.",
        408: "The body came too slowly.",
        409: "It cannot be done as things are.",
        413: "That is too much at once.",
    }.items()
}


@router.get("/search")
def search(
    desk: TheDesk,
    query: Keys,
    k: K = 20,
    label: Labels = [],  # noqa: B006 - FastAPI copies it
    crop: Crop = None,
    way: Combined = "each",
    metric: Metric = None,
) -> schema.Answers:
    """Find the nearest photos of items, or of photos that were handed in before."""
    return neighbours(desk, desk.answers(_ask(query, k, label, crop, way, metric), voting=False))


@router.get("/classify")
def classify(
    desk: TheDesk, query: Keys, k: K = 20, crop: Crop = None, metric: Metric = None
) -> schema.Verdicts:
    """Say what the neighbours' labels make of items, or of photos that were handed in before."""
    return verdicts(desk, desk.answers(_ask(query, k, (), crop, "each", metric)))


def _ask(
    keys: Sequence[str],
    k: int,
    labels: Sequence[str],
    crop: str | None,
    way: Way,
    metric: str | None,
) -> Ask:
    fields = [*(("q", key) for key in keys), *(("label", label) for label in labels)]
    rest = {"k": str(k), "crop": crop or "", "way": way, "metric": metric or ""}
    return Ask.read([*fields, *rest.items()])


# Handed in

Images = Annotated[list[UploadFile], File(max_length=TOGETHER, description="photos")]
FormKeys = Annotated[list[Annotated[str, Form(pattern=f"{ITEM}|{UPLOAD}")]], Form(max_length=16)]


@router.post("/search", responses=_CHANGES)
async def search_photos(
    desk: TheDesk,
    image: Images = [],  # noqa: B006
    query: FormKeys = [],  # noqa: B006
    k: Annotated[int, Form(ge=1, le=MOST)] = 20,
    label: Annotated[list[schema.Label], Form(max_length=100)] = [],  # noqa: B006
    crop: Annotated[str | None, Form(pattern=CROP)] = None,
    way: Annotated[Way, Form()] = "each",
    metric: Annotated[str | None, Form()] = None,
) -> schema.Answers:
    """Find the nearest photos of photos that are handed in, and of others beside them.

    The answer names the key under which a photo can be asked about again while it is kept. Photos
    that cannot be read are named among `skipped`; if there is but one, the request fails.
    """
    keys, skipped = await kept(desk, image)
    ask = _ask(_some([*query, *keys], skipped), k, label, crop, way, metric)
    answers = await run_in_threadpool(desk.answers, ask, voting=False)
    return neighbours(desk, answers, skipped)


@router.post("/classify", responses=_CHANGES)
async def classify_photos(
    desk: TheDesk,
    image: Images = [],  # noqa: B006
    query: FormKeys = [],  # noqa: B006
    k: Annotated[int, Form(ge=1, le=MOST)] = 20,
    crop: Annotated[str | None, Form(pattern=CROP)] = None,
    metric: Annotated[str | None, Form()] = None,
) -> schema.Verdicts:
    """Say what the neighbours' labels make of photos that are handed in."""
    keys, skipped = await kept(desk, image)
    ask = _ask(_some([*query, *keys], skipped), k, (), crop, "each", metric)
    return verdicts(desk, await run_in_threadpool(desk.answers, ask), skipped)


def _some(keys: list[str], skipped: Sequence[schema.Skip]) -> list[str]:
    if keys or skipped:
        return keys
    raise Refused(422, "invalid_input", "no photo was handed in", "Send one as the field image")


# The gallery


@router.get("/items")
def items(
    desk: TheDesk,
    label: Labels = [],  # noqa: B006
    offset: Annotated[int, Query(ge=0, le=1 << 40)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> schema.Items:
    """List photos, those that came in last first."""
    ids = desk.gallery.ids(desk.where(label))[::-1]
    some = ids[offset : offset + limit].tolist()
    found = {item.id: item for item in desk.gallery.items(some)}
    return schema.Items(
        total=len(ids), items=[photo(desk, found[id_]) for id_ in some if id_ in found]
    )


@router.get("/items/{item_id}")
def item(desk: TheDesk, item_id: ItemId) -> schema.Photo:
    """Describe one photo."""
    return photo(desk, desk.item(item_id))


@router.post("/items", status_code=201, dependencies=[Depends(writable)], responses=_CHANGES)
async def add(
    desk: TheDesk,
    image: Annotated[list[UploadFile], File(max_length=1, description="a photo")] = [],  # noqa: B006
    query: Annotated[str | None, Form(pattern=UPLOAD, description="or one handed in")] = None,
    label: Annotated[schema.Label | None, Form()] = None,
) -> schema.Added:
    """Put a photo into the gallery."""
    if query is not None and image:
        raise Refused(422, "invalid_input", "image and query are two photos", "Send one of them")
    keys = [query] if query is not None else (await kept(desk, image))[0]
    (key,) = _some(keys, ())
    added = await run_in_threadpool(desk.add, key, label)
    return schema.Added(
        change=added.change.number,
        message="1 photo added" + (f", {label}" if label else ""),
        item=photo(desk, added.item),
    )


@router.patch("/items/{item_id}", dependencies=[Depends(writable)], responses=_CHANGES)
def relabel(desk: TheDesk, item_id: ItemId, new: schema.Relabel) -> schema.Changed:
    """Give a photo another label."""
    label = None if new.label is None else clean(new.label)
    change = desk.gallery.set_labels({desk.item(item_id).id: label}, source="user")
    words = "no label" if label is None else label
    return schema.Changed(
        change=change.number,
        message=f"label changed to {words}" if change.count else f"the label was {words} already",
    )


@router.delete("/items/{item_id}", dependencies=[Depends(writable)], responses=_CHANGES)
def remove(desk: TheDesk, item_id: ItemId) -> schema.Changed:
    """Take a photo out of the gallery; its file stays where it is."""
    change = desk.gallery.remove([desk.item(item_id).id])
    return schema.Changed(change=change.number, message="1 photo taken out")


@router.post("/changes/{number}/undo", dependencies=[Depends(writable)], responses=_CHANGES)
def undo(desk: TheDesk, number: Annotated[int, Path(ge=1, le=1 << 62)]) -> schema.Changed:
    """Take a change back."""
    try:
        desk.gallery.undo(number)
    except HoundsightError as error:
        remedy = error.remedy or "Look at how it is now, and change that"
        raise Refused(409, "not_undone", error.cause, remedy) from error
    return schema.Changed(change=None, message="taken back")


@router.get("/labels")
def labels(desk: TheDesk) -> list[schema.Count]:
    """Count photos by label, most first; null counts those without one."""
    counts = desk.gallery.labels()
    found = [schema.Count(label=label, count=n) for label, n in sorted(counts.items())]
    rest = len(desk.gallery) - counts.total()
    found += [schema.Count(label=None, count=rest)] * bool(rest)
    return sorted(found, key=lambda one: -one.count)


@router.get("/skipped")
def skipped(
    desk: TheDesk,
    offset: Annotated[int, Query(ge=0, le=1 << 40)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> schema.Skips:
    """List files that indexing could not take in."""
    every = records.skipped_records(desk.gallery.skipped())
    return schema.Skips(
        total=len(every),
        skipped=[
            schema.Skip(name=escaped(one["path"]), reason=escaped(one["reason"]))
            for one in every[offset : offset + limit]
        ],
    )


@router.get("/info")
def info(request: Request, desk: TheDesk) -> schema.Info:
    """Say what the gallery holds, and what made it."""
    record = records.info_record(desk.gallery)
    for root in record["roots"]:
        root["place"] = escaped(root["place"])
    underway = desk.gallery.indexing()
    working = None
    if underway is not None:
        working = schema.Working(running=True, done=underway.done, total=underway.total)
    return schema.Info(
        **{**record, "place": escaped(record["place"])},
        read_only=request.app.state.rules.read_only,
        indexing=working,
    )


@router.get(
    "/report",
    response_class=Response,
    responses={
        200: {"content": {"application/json": {"schema": {"type": "object"}}}},
        202: {"model": schema.Working, "description": "It is being made."},
    },
)
def report(desk: TheDesk) -> Response:
    """Return the last evaluation, as `houndsight evaluate --json` writes it; 202 while it runs."""
    state = desk.report.state
    if state.value is not None:
        # With escapes for what is not ASCII, so that any path can be written.
        record = json.dumps(evaluation_record(desk.gallery, state.value))
        return Response(record, media_type="application/json")
    if state.problem is not None:
        problem = state.problem
        raise Refused(problem.status, problem.code, problem.message, problem.remedy)
    if not state.running:
        raise Refused(404, "no_report", "nothing was evaluated yet", "POST /api/report begins it")
    working = schema.Working(running=True, done=state.done, total=state.total)
    return JSONResponse(working.model_dump(), 202)


@router.post("/report", status_code=202, responses=_CHANGES)
def evaluate(desk: TheDesk) -> schema.Working:
    """Begin to evaluate the gallery: how often a photo's neighbours have its label."""
    desk.report.start(desk.contents())
    state = desk.report.state
    return schema.Working(running=state.running, done=state.done, total=state.total)


@router.get("/health")
def health() -> schema.Health:
    """Say that the server answers."""
    return schema.Health(status="ok")


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request) -> Response:
    """Return figures of the server for Prometheus."""
    body, kind = request.app.state.measures.page()
    return Response(body, media_type=kind)
