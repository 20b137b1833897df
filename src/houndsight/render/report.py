"""An evaluation as one HTML page: figures, drawings, and the photos behind them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from houndsight.evaluation import Comparison, QueryFigures, Report
from houndsight.gallery import Gallery
from houndsight.render.cards import neighbour_card, query_thumbnail
from houndsight.render.evaluated import (
    comparison_rows,
    facts,
    figures,
    interval,
    percent,
    reliabilities,
    versus,
)
from houndsight.render.html import (
    Answer,
    Answers,
    Bars,
    Card,
    Charts,
    Content,
    Curve,
    Figure,
    Heat,
    Pairs,
    Section,
    Share,
    Shares,
    Table,
    page,
)
from houndsight.render.text import label_text
from houndsight.types import Item, Match

__all__ = ["report_content", "report_page"]

TITLE = "How good the neighbours are"
SHOWN = 10  # neighbours beside a query
QUERIES = 4  # best, typical and worst ones
PAIRS = 6
BESIDE = 4  # neighbours of the other label
HEAT = 16  # labels
BARS = 10
DRAWN = ("precision_at_k", "recall_at_1", "recall_at_5", "vote_accuracy")


def report_content(
    gallery: Gallery,
    report: Report,
    *,
    title: str = TITLE,
    lead: str = "",
    comparison: Comparison | None = None,
) -> Content:
    """Return an evaluation's figures and the photos behind them, for a page to show.

    Parameters
    ----------
    gallery
        The gallery that was evaluated.
    report
        What was found.
    title, lead
        Heading, and a sentence below it.
    comparison
        The report's figures beside those of other settings.
    """
    names = figures(report.k)
    cards = [
        Figure(names[key][0], percent(one.value), f"95 %: {interval(one)}", names[key][1])
        for key, one in report.figures()
    ]
    sections: list[Section] = []
    if comparison is not None:
        sections.append(_compared(comparison))
    sections += [*_spread(report), *_calibration(report), *_confusion(gallery, report)]
    sections += [*_queries(gallery, report), _bars_by_label(report), _labels(report)]
    return Content(title, lead, cards, sections, facts(report), report.notes)


def report_page(
    gallery: Gallery,
    report: Report,
    *,
    title: str = TITLE,
    lead: str = "",
    comparison: Comparison | None = None,
) -> str:
    """Return an HTML page of its own with the same as `report_content`."""
    return page(report_content(gallery, report, title=title, lead=lead, comparison=comparison))


def _compared(comparison: Comparison) -> Table:
    one, other = versus(comparison)
    return Table(
        "Compared",
        comparison_rows(comparison),
        note=f"{one} and {other} on the same queries. p says how often chance alone would show as "
        "large a difference (paired permutation test).",
    )


def _spread(report: Report) -> list[Section]:
    if report.spread is None:
        return []
    names = figures(report.k)
    rows = [("figure", "mean", "deviation", "95 % of samples", "least", "greatest")]
    for key, one in report.spread.figures():
        low, high = f"{100 * one.low:.1f}", f"{100 * one.high:.1f}"
        ends = percent(min(one.means)), percent(max(one.means))
        rows.append(
            (names[key][0], percent(one.mean), percent(one.deviation), f"{low} to {high}", *ends)
        )
    charts = [_bars(names[key][0], getattr(report.spread, key).means) for key in DRAWN]
    times = len(report.spread.precision_at_k.means)
    heading = f"Samples of {report.samples} queries"
    note = f"Drawn {times:,} times: how far one small sample can be from the next."
    return [Charts(heading, charts, note), Table("Spread of the samples", rows)]


def _bars(name: str, means: Sequence[float]) -> Bars:
    counts, edges = np.histogram(means, BARS)
    ends = f"{100 * edges[0]:.1f} %", f"{100 * edges[-1]:.1f} %"
    return Bars(name, f"{ends[0]} to {ends[1]}", *ends, counts.tolist())


def _calibration(report: Report) -> list[Section]:
    charts = [
        Curve(
            f"Probability {name}",
            f"gap {percent(one.error)}, by chance alone {interval(one.chance)}; "
            f"{one.answers:,} answers",
            "probability said",
            "share right",
            [(said, was) for said, was, _ in one.curve],
        )
        for name, one in reliabilities(report)
    ]
    if not charts:
        return []
    note = (
        "Each point is a fifteenth of the answers. On the broken line, what is said to be 70 % "
        "probable is so in 70 of 100 cases; the gap is the points' mean distance from it."
    )
    return [Charts("Are the probabilities true?", charts, note)]


def _confusion(gallery: Gallery, report: Report) -> list[Section]:
    pairs = report.most_confused(len(report.labels))
    names: list[str] = []
    for pair in pairs:
        # Labels that are taken for each other stand beside each other, and not one without its own.
        new = [name for name in pair if name not in names]
        names += new if len(names) + len(new) <= HEAT else []
    if not names:
        return []
    total = {one.label: 0 for one in report.confusion}
    for one in report.confusion:
        total[one.label] += one.neighbours
    share = {
        (one.label, one.other): one.neighbours / total[one.label]
        for one in report.confusion
        if total[one.label]
    }
    cells = [[share.get((row, column), 0.0) for column in names] for row in names]
    heat = Heat(
        f"The {len(names)} most confused labels",
        [label_text(name) for name in names],
        cells,
        f"Of the {report.k} neighbours of queries with the label of a row, the per cent that have "
        "the label of a column.",
    )
    shown = [
        (f"{label_text(a)} and {label_text(b)}", sides)
        for a, b in pairs[:PAIRS]
        if (sides := [*_side(gallery, report, share, a, b), *_side(gallery, report, share, b, a)])
    ]
    note = "A query of one label, and those of its nearest neighbours that have the other."
    return [heat, Pairs("Most confused", shown, note)]


def _side(
    gallery: Gallery,
    report: Report,
    share: dict[tuple[str, str], float],
    label: str,
    other: str,
) -> list[tuple[str, Answer]]:
    """Return the query of a label that has most neighbours of the other, with these."""
    mine = [query for query in report.queries if query.label == label]
    if not mine:
        return []

    def of_other(query: QueryFigures) -> list[Match]:
        return [match for match in query.neighbours if match.item.label == other]

    query = max(mine, key=lambda one: len(of_other(one)))
    found = of_other(query)
    if not found:
        return []
    words = (
        f"{label_text(label)}: {share[label, other]:.0%} of the neighbours are "
        f"{label_text(other)}; of this query's, {len(found)} of {len(query.neighbours)}"
    )
    return [(words, _answer(gallery, query, found[:BESIDE]))]


def _queries(gallery: Gallery, report: Report) -> list[Section]:
    ranked = sorted(report.queries, key=lambda one: (one.precision_at_k, one.average_precision))
    middle = max(0, len(ranked) // 2 - QUERIES // 2)
    groups = {
        "Worst queries": ranked[:QUERIES],
        "Typical queries": ranked[middle : middle + QUERIES],
        "Best queries": ranked[: -QUERIES - 1 : -1],
    }
    if len(ranked) <= 3 * QUERIES:
        groups = {"All queries, the worst first": ranked}
    return [
        Answers(heading, [_answer(gallery, one, one.neighbours[:SHOWN]) for one in some])
        for heading, some in groups.items()
    ]


def _bars_by_label(report: Report) -> Shares:
    name, meaning = figures(report.k)["precision_at_k"]
    bars = [
        Share(label_text(one.label), one.precision_at_k, f"{100 * one.precision_at_k:.1f} %")
        for one in report.labels
    ]
    return Shares(
        f"{name} of each label", bars, f"{meaning}; the worst first".capitalize(), low=True
    )


def _labels(report: Report) -> Table:
    rows = [
        (
            "label",
            "queries",
            "photos",
            f"precision@{report.k}",
            "vote",
            "mAP",
            "most confused with",
        )
    ]
    rows += [
        (
            label_text(one.label),
            str(one.queries),
            str(one.gallery),
            f"{100 * one.precision_at_k:.1f} %",
            f"{100 * one.vote_accuracy:.0f} %",
            f"{100 * one.average_precision:.1f} %",
            ", ".join(f"{label_text(lb)} {share:.0%}" for lb, share in one.confused_with),
        )
        for one in report.labels
    ]
    return Table("By label, the worst first", rows, low=True)


def _answer(gallery: Gallery, query: QueryFigures, matches: Sequence[Match]) -> Answer:
    label = label_text(query.label)
    asked = query.asked
    if isinstance(asked, Item):
        path, picture = gallery.path_of(asked), gallery.thumbnail(asked)
    else:
        path, picture = asked.path, query_thumbnail(gallery, asked)
    name = os.path.basename(path).decode("utf-8", "backslashreplace")
    return Answer(
        Card(label, name, None, picture, f"query photo, {label}"),
        [
            neighbour_card(gallery, match, right=match.item.label == query.label)
            for match in matches
        ],
    )
