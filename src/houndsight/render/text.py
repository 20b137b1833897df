"""Answers as tables for a terminal."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from houndsight.errors import printable
from houndsight.evaluation import Estimate, Report
from houndsight.gallery import Gallery
from houndsight.queries import Queries, Query
from houndsight.types import Match
from houndsight.voting import Vote

__all__ = [
    "classify_table",
    "confusion_table",
    "figures",
    "figures_table",
    "label_text",
    "matches_table",
]


def label_text(label: str | None) -> str:
    """Return a label that is safe to show on one line."""
    return "no label" if label is None else printable(label)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False)
    for column in columns:
        right = column in ("rank", "distance", "share", "queries", "photos", "95 % interval")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    return table


def matches_table(gallery: Gallery, query: Query, matches: Sequence[Match]) -> Table:
    """Return the neighbours of one query; right and wrong are marked where its label is known."""
    known = "" if query.label is None else f" ({label_text(query.label)})"
    table = _table(f"{printable(query.path)}{known}", "rank", "", "label", "distance", "id", "path")
    for match in matches:
        mark = Text("✓", "green") if query.agrees(match.item) else Text("✗", "red")
        same = " (same bytes)" if query.same_bytes(match.item) else ""
        table.add_row(
            str(match.rank),
            "" if query.label is None else mark,
            Text(label_text(match.item.label)),
            f"{match.distance:.4f}",
            match.item.key,
            Text(printable(gallery.path_of(match.item)) + same),
        )
    return table


def classify_table(queries: Queries, votes: Sequence[Vote]) -> Table:
    """Return the label of each query with its share of the votes, and who came next."""
    table = _table("", "query", "label", "share", "next")
    for query, vote in zip(queries.photos, votes, strict=True):
        others = list(vote.counts.items())[1:3]
        table.add_row(
            Text(printable(query.path)),
            Text(label_text(vote.label)),
            f"{vote.share:.0%}",
            Text(
                ", ".join(
                    f"{label_text(lb)} {n / sum(vote.counts.values()):.0%}" for lb, n in others
                )
            ),
        )
    return table


def figures(report: Report) -> list[tuple[str, Estimate, str]]:
    """Return name, value and meaning of a report's four figures."""
    k = report.k
    return [
        (f"precision@{k}", report.precision_at_k, f"share of the {k} neighbours with its label"),
        ("recall@1", report.recall_at_1, "the nearest neighbour has its label"),
        ("recall@5", report.recall_at_5, "at least one of the nearest 5 has its label"),
        ("vote accuracy", report.vote_accuracy, f"its label wins the vote of the {k} neighbours"),
    ]


def figures_table(report: Report) -> Table:
    """Return the four figures with their intervals."""
    table = _table(
        f"{report.n_queries:,} queries against {report.n_gallery:,} labelled photos",
        "figure",
        "share",
        "95 % interval",
        "a query is right when",
    )
    for name, estimate, meaning in figures(report):
        interval = f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"
        table.add_row(name, f"{100 * estimate.value:.2f} %", interval, meaning)
    return table


def confusion_table(report: Report, rows: int) -> Table:
    """Return the labels that fared worst, with what they are taken for."""
    some = report.labels[:rows]
    title = f"Worst {len(some)} of {len(report.labels)} labels"
    precision = f"precision@{report.k}"
    table = _table(title, "label", "queries", "photos", precision, "vote", "most confused with")
    for one in some:
        table.add_row(
            Text(label_text(one.label)),
            str(one.queries),
            str(one.gallery),
            f"{100 * one.precision_at_k:.1f} %",
            f"{100 * one.vote_accuracy:.0f} %",
            Text(", ".join(f"{label_text(lb)} {share:.0%}" for lb, share in one.confused_with)),
        )
    return table
