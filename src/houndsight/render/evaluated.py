"""An evaluation as tables for a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from houndsight.errors import counted
from houndsight.evaluation import PROTOCOLS, Comparison, Reliability, Report
from houndsight.metrics import Estimate
from houndsight.render.text import label_text

__all__ = [
    "calibration_table",
    "comparison_rows",
    "comparison_table",
    "facts",
    "figures",
    "figures_table",
    "interval",
    "labels_table",
    "percent",
    "reliabilities",
    "spread_table",
    "versus",
]


def percent(share: float, sign: str = "") -> str:
    """Return a share as a percentage."""
    return f"{100 * share:{sign}.2f} %"


def interval(one: Estimate, sign: str = "") -> str:
    """Return an interval as percentages."""
    return f"{100 * one.low:{sign}.1f} to {100 * one.high:{sign}.1f}"


def figures(k: int) -> dict[str, tuple[str, str]]:
    """Return what each figure is called, and what it means, by its attribute."""
    return {
        "precision_at_k": (f"precision@{k}", f"share of the {k} neighbours with its label"),
        "recall_at_1": ("recall@1", "the nearest neighbour has its label"),
        "recall_at_5": ("recall@5", "at least one of the nearest 5 has its label"),
        "vote_accuracy": ("vote accuracy", f"its label wins the vote of the {k} neighbours"),
        "retrieved_at_k": (
            f"retrieved@{k}",
            f"share of all photos of its label that are among the {k} neighbours",
        ),
        "average_precision": ("mAP", "mean precision where each photo of its label is found"),
        "map_at_r": ("MAP@R", "the same among the first R, R = photos of its label"),
        "r_precision": ("R-precision", "share of the first R neighbours with its label"),
        "ndcg_at_k": (f"nDCG@{k}", "hits weighted by rank, of the best ranking there could be"),
    }


def _table(title: str, *columns: str, left: tuple[str, ...] = ()) -> Table:
    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        start = number == 0 or column in left
        table.add_column(column, justify="left" if start else "right", overflow="fold")
    return table


def figures_table(report: Report) -> Table:
    """Return the figures with their intervals."""
    title = (
        f"{counted(report.n_queries, 'query')} against "
        f"{counted(report.n_gallery, 'labelled photo')}"
    )
    table = _table(title, "figure", "mean", "95 % interval", "of a query", left=("of a query",))
    names = figures(report.k)
    for key, one in report.figures():
        name, meaning = names[key]
        table.add_row(name, percent(one.value), interval(one), meaning)
    return table


def spread_table(report: Report) -> Table:
    """Return how far small samples differ from each other."""
    if report.spread is None:
        return _table("")
    first = report.spread.precision_at_k
    title = f"{report.samples} of these queries, drawn {len(first.means):,} times"
    table = _table(title, "figure", "mean", "deviation", "95 % of samples", "least", "greatest")
    names = figures(report.k)
    for key, one in report.spread.figures():
        table.add_row(
            names[key][0],
            percent(one.mean),
            percent(one.deviation),
            interval(Estimate(one.mean, one.low, one.high)),
            percent(min(one.means)),
            percent(max(one.means)),
        )
    return table


def reliabilities(report: Report) -> list[tuple[str, Reliability]]:
    """Return what has probabilities, in words."""
    one = report.calibration
    if one is None:
        return []
    return [
        (f"that a neighbour (of {one.k}) has its label", one.neighbours),
        ("that a label which a neighbour has is its own", one.votes),
        ("that the most probable label is its own", one.winners),
    ]


def calibration_table(report: Report) -> Table:
    """Return how far probabilities are what they say."""
    title = "Calibration: mean gap between probability and share right"
    table = _table(title, "probability", "answers", "gap", "by chance alone")
    for name, one in reliabilities(report):
        table.add_row(name, f"{one.answers:,}", percent(one.error), interval(one.chance))
    return table


def versus(comparison: Comparison) -> tuple[str, str]:
    """Return what two settings are called: by metric, and by what else is not the same."""
    one, other = comparison.first, comparison.second
    if one.fingerprint == other.fingerprint:
        return one.metric, other.metric
    names = f"{one.model}, {one.metric}", f"{other.model}, {other.metric}"
    if names[0] != names[1]:
        return names
    return f"{names[0]} ({one.fingerprint[:8]})", f"{names[1]} ({other.fingerprint[:8]})"


def comparison_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return a heading, then each figure of two settings with the difference and its p-value."""
    names = figures(comparison.first.k)
    return [
        ("figure", *versus(comparison), "difference", "95 % interval", "p"),
        *(
            (
                names[key][0],
                percent(getattr(comparison.first, key).value),
                percent(getattr(comparison.second, key).value),
                percent(difference.difference.value, "+"),
                interval(difference.difference, "+"),
                f"{difference.p:.4f}",
            )
            for key, difference in comparison.differences.figures()
        ),
    ]


def comparison_table(comparison: Comparison) -> Table:
    """Return the figures of two settings side by side, with the difference and its p-value."""
    one, other = versus(comparison)
    heading, *rows = comparison_rows(comparison)
    title = f"{counted(comparison.first.n_queries, 'query')}, {one} against {other}"
    table = _table(title, *heading)
    for row in rows:
        table.add_row(*row)
    return table


def labels_table(report: Report, rows: int) -> Table:
    """Return the labels that fared worst, with what they are taken for."""
    some = report.labels[:rows]
    title = f"Worst {len(some)} of {len(report.labels)} labels"
    confused, precision = "most confused with", f"precision@{report.k}"
    table = _table(
        title, "label", "queries", "photos", precision, "vote", "mAP", confused, left=(confused,)
    )
    for one in some:
        table.add_row(
            Text(label_text(one.label)),
            str(one.queries),
            str(one.gallery),
            f"{100 * one.precision_at_k:.1f} %",
            f"{100 * one.vote_accuracy:.0f} %",
            f"{100 * one.average_precision:.1f} %",
            Text(", ".join(f"{label_text(lb)} {share:.0%}" for lb, share in one.confused_with)),
        )
    return table


def facts(report: Report) -> list[tuple[str, str]]:
    """Return what is needed to repeat an evaluation, and what was counted, in words."""
    same = f"{report.left_out:,}"
    if report.protocol != "split":
        same = f"themselves, and {report.left_out - report.n_queries:,} others"
    near = "not looked for"
    if report.near_distance is not None:
        near = f"{report.near_left_out:,}, at distance {report.near_distance:.3f} or less"
    k = str(report.k)
    # In a small gallery, or where much is kept from a query, there are fewer.
    fewest = min(len(query.neighbours) for query in report.queries)
    if fewest < report.k:
        k += f", or as many neighbours as a query could find: {fewest:,} at the least"
    found = [
        ("protocol", _protocol(report)),
        ("metric", report.metric),
        ("k", k),
        ("seed", str(report.seed)),
        ("model", report.model),
        ("trained on", report.trained_on or "not on record"),
        ("fingerprint", report.fingerprint[:12]),
        ("kept from queries, same bytes", same),
        ("kept from queries, near-duplicates", near),
    ]
    if report.calibration is None:
        found.append(("calibration", "none to hold the answers against; see houndsight calibrate"))
    if report.unlabelled:
        found.append(("queries without a known label, not scored", f"{report.unlabelled:,}"))
    if report.unknown_labels:
        names = ", ".join(label_text(label) for label in report.unknown_labels[:10])
        found.append(("labels that the gallery lacks, counted as wrong", names))
    return found


def _protocol(report: Report) -> str:
    text = f"{report.protocol}: {PROTOCOLS[report.protocol]}"
    if report.samples is not None and report.spread is None:
        text += f"; {report.n_queries:,} of {report.n_gallery:,} drawn"
    if report.refitted:
        times = "once" if report.refitted == 1 else f"{report.refitted} times"
        text += f"; metric fitted {times}, without the photos asked for"
    return text
