"""Answers and evaluations as one HTML page that needs nothing but itself.

Thumbnails are ``data:`` URIs and there is no script, so that the page can be kept beside what
it shows, sent by mail, and opened without a network. Every text that comes in is data: Jinja2
escapes it, and the page's own content security policy lets nothing be loaded or run.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, TypeAlias

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from houndsight.drafts import draft
from houndsight.render.labels import one_line

__all__ = [
    "Answer",
    "Answers",
    "Bars",
    "Card",
    "Charts",
    "Content",
    "Curve",
    "Figure",
    "Heat",
    "Pairs",
    "Section",
    "Share",
    "Shares",
    "Table",
    "page",
    "write_page",
]


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
    rank
        Its place among all neighbours, where not every one is shown.
    """

    title: str
    note: str
    right: bool | None
    picture: bytes | None
    alt: str
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """One bar.

    Attributes
    ----------
    name
        What it stands for.
    share
        Its length, 0 to 1.
    text
        The figure in words.
    """

    name: str
    share: float
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A query, and its neighbours nearest first; `shares` are bars below the query."""

    query: Card
    neighbours: Sequence[Card]
    shares: Sequence[Share] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, in words ready for display.

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


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `rows` begins with the header, and a row's first cell names it.

    A `low` one scrolls within a part of the screen.
    """

    kind: ClassVar[str] = "table"
    heading: str
    rows: Sequence[Sequence[str]]
    note: str = ""
    low: bool = False


@dataclass(frozen=True, slots=True)
class Answers:
    """Queries with their neighbours."""

    kind: ClassVar[str] = "answers"
    heading: str
    answers: Sequence[Answer]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Answers side by side, two by two, each with a line above it and each pair with a title."""

    kind: ClassVar[str] = "pairs"
    heading: str
    pairs: Sequence[tuple[str, Sequence[tuple[str, Answer]]]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points (x, y), 0 to 1 each, against the line on which they would best be."""

    kind: ClassVar[str] = "curve"
    title: str
    note: str
    x: str
    y: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Bars:
    """How many of each, from left to right; `first` and `last` say what the ends stand for."""

    kind: ClassVar[str] = "bars"
    title: str
    note: str
    first: str
    last: str
    counts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Charts:
    """Drawings beside each other."""

    kind: ClassVar[str] = "charts"
    heading: str
    charts: Sequence[Curve | Bars]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Heat:
    """Shares of a row, 0 to 1, by row and column; both have the same names, in the same order."""

    kind: ClassVar[str] = "heat"
    heading: str
    names: Sequence[str]
    shares: Sequence[Sequence[float]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Shares:
    """Bars below each other; a `low` section scrolls within a part of the screen."""

    kind: ClassVar[str] = "shares"
    heading: str
    shares: Sequence[Share]
    note: str = ""
    low: bool = False


Section: TypeAlias = Table | Answers | Pairs | Charts | Heat | Shares


@dataclass(frozen=True, slots=True)
class Content:
    """What ``content.html.jinja`` shows, within a page of its own or another's.

    Attributes
    ----------
    title
        The heading.
    lead
        One or two sentences below it.
    figures
        Shown large, in this order.
    sections
        What follows, in this order.
    facts
        What is needed to repeat it, as pairs of name and value.
    notes
        What must be known before the figures are believed.
    """

    title: str
    lead: str
    figures: Sequence[Figure]
    sections: Sequence[Section]
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str] = ()


def _data_uri(picture: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode("ascii")


def _breakable(text: str) -> Markup:
    """Let a name be broken after its underscores."""
    return escape(text).replace("_", Markup("_<wbr>"))


@cache
def environment() -> Environment:
    """Return what all pages are made with: every text that comes in is escaped."""
    made = Environment(
        loader=PackageLoader("houndsight.render", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["data_uri"] = _data_uri
    made.filters["one_line"] = one_line
    made.filters["breakable"] = _breakable
    return made


def page(content: Content) -> str:
    """Return the content as a page of its own: HTML, to be written as UTF-8."""
    return environment().get_template("page.html.jinja").render(content=content)


def write_page(path: Path, content: Content) -> None:
    """Write the content as a page of its own; InputError if it cannot be written."""
    with draft(path) as unfinished:
        unfinished.write_text(page(content), encoding="utf-8")
