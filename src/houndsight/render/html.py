"""An evaluation or a set of answers as one HTML page that needs nothing but itself.

Thumbnails are ``data:`` URIs and there is no script, so that the page can be kept beside what
it shows, sent by mail, and opened without a network. Every text that comes in is data: Jinja2
escapes it, and the page's own content security policy lets nothing be loaded or run.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from houndsight.render.labels import one_line

__all__ = ["Answer", "Card", "Figure", "page"]


@dataclass(frozen=True, slots=True)
class Card:
    """One photo on the page.

    Attributes
    ----------
    title
        Its label, or what stands for none.
    note
        A second line: the distance, and perhaps more.
    right
        Whether the label is the query's; ``None`` where that is unknown.
    picture
        A small JPEG, or ``None`` where the photo is missing.
    alt
        What the photo shows, for those who do not see it.
    """

    title: str
    note: str
    right: bool | None
    picture: bytes | None
    alt: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A query, and its neighbours nearest first."""

    query: Card
    neighbours: Sequence[Card]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of an evaluation, in words ready for display.

    Attributes
    ----------
    name
        What is measured.
    value
        The figure, with its unit.
    interval
        Its confidence interval, or the empty string.
    meaning
        One sentence for somebody who does not know the name.
    """

    name: str
    value: str
    interval: str
    meaning: str


def _data_uri(picture: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode("ascii")


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("houndsight.render", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["one_line"] = one_line
    return environment.get_template("page.html.jinja")


def page(
    *,
    title: str,
    lead: str,
    figures: Sequence[Figure],
    table: Sequence[tuple[str, ...]],
    answers: Sequence[Answer],
    facts: Sequence[tuple[str, str]],
) -> str:
    """Return the page.

    Parameters
    ----------
    title
        Heading of the page.
    lead
        One or two sentences below it.
    figures
        Shown large, in this order.
    table
        Header and rows; may be empty. A row's first cell names it.
    answers
        Queries with their neighbours.
    facts
        What is needed to repeat it, as pairs of name and value.

    Returns
    -------
    str
        HTML, to be written as UTF-8.
    """
    return _template().render(
        title=title, lead=lead, figures=figures, table=table, answers=answers, facts=facts
    )
