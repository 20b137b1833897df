"""Answers as pictures and pages: what a query found, for `grid` and `html` to draw."""

import io
import os
from collections.abc import Sequence

from PIL import Image

from houndsight import images
from houndsight.errors import ImageError
from houndsight.evaluation import Report
from houndsight.gallery import Gallery
from houndsight.queries import Query
from houndsight.render.grid import Tile, grid
from houndsight.render.html import Answer, Card, Figure, page
from houndsight.render.text import figures, label_text
from houndsight.types import Match

__all__ = ["answer_grid", "report_page"]

# A query is drawn at up to 480 pixels; JPEGs are decoded no larger than that needs.
QUERY_SIDE = 480


def _query_picture(query: Query) -> Image.Image | None:
    try:
        data = images.read(query.path).data
        return images.decode(data, path=query.path, at_least=QUERY_SIDE).image
    except ImageError:
        return None


def _item_picture(gallery: Gallery, match: Match) -> Image.Image | None:
    data = gallery.thumbnail(match.item)
    return None if data is None else Image.open(io.BytesIO(data))


def _note(query: Query, match: Match) -> str:
    return f"{match.distance:.4f}{' same bytes' if query.same_bytes(match.item) else ''}"


def answer_grid(gallery: Gallery, query: Query, matches: Sequence[Match]) -> Image.Image:
    """Draw a query on the left and its neighbours beside it, with label and distance."""
    known = "" if query.label is None else label_text(query.label)
    name = os.path.basename(query.path).decode("utf-8", "backslashreplace")
    tiles = [
        Tile(
            _item_picture(gallery, match),
            label_text(match.item.label),
            _note(query, match),
            query.agrees(match.item),
        )
        for match in matches
    ]
    return grid(Tile(_query_picture(query), known, name, None), tiles)


def report_page(
    gallery: Gallery,
    report: Report,
    answers: Sequence[tuple[Query, Sequence[Match]]],
    *,
    title: str,
    lead: str,
) -> str:
    """Return an HTML page with an evaluation's figures and some answers, all in one file."""
    percent = [
        Figure(
            name,
            f"{100 * one.value:.1f} %",
            f"95 %: {100 * one.low:.1f} to {100 * one.high:.1f}",
            meaning,
        )
        for name, one, meaning in figures(report)
    ]
    table = [("label", "queries", f"precision@{report.k}", "vote", "most confused with")] + [
        (
            label_text(one.label),
            str(one.queries),
            f"{100 * one.precision_at_k:.1f} %",
            f"{100 * one.vote_accuracy:.0f} %",
            ", ".join(f"{label_text(lb)} {share:.0%}" for lb, share in one.confused_with),
        )
        for one in report.labels
    ]
    facts = [
        ("photos searched", f"{report.n_gallery:,}"),
        ("queries", f"{report.n_queries:,}"),
        ("protocol", report.protocol),
        ("k", str(report.k)),
        ("seed", str(report.seed)),
        ("model", report.model),
        ("fingerprint", report.fingerprint),
    ]
    return page(
        title=title,
        lead=lead,
        figures=percent,
        table=table,
        answers=[_answer(gallery, query, matches) for query, matches in answers],
        facts=facts,
    )


def _answer(gallery: Gallery, query: Query, matches: Sequence[Match]) -> Answer:
    picture = _query_picture(query)
    label = label_text(query.label)
    return Answer(
        Card(
            label,
            os.path.basename(query.path).decode("utf-8", "backslashreplace"),
            None,
            None if picture is None else images.thumbnail(picture),
            f"query photo, {label}",
        ),
        [
            Card(
                label_text(match.item.label),
                _note(query, match),
                query.agrees(match.item),
                gallery.thumbnail(match.item),
                f"neighbour {match.rank}, {label_text(match.item.label)}",
            )
            for match in matches
        ],
    )
