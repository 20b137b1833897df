"""What was learned, as tables for a terminal and as JSON values."""

from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from houndsight.learning import BALANCED, FAVOURS, LearnReport, Outcome, Settings
from houndsight.metrics import Estimate

__all__ = ["favoured", "learn_record", "learn_table", "trade_table"]


def favoured(report: LearnReport) -> list[tuple[str, Settings, Outcome]]:
    """Return the best settings from one end of the trade to the other, with what each favours."""
    names = {value: name for name, value in FAVOURS.items()}
    favours = sorted({0.0, BALANCED, 0.75, *FAVOURS.values(), report.favour})
    return [(names.get(one, f"{one:g}"), *report.trials.best(one)) for one in favours]


def learn_table(report: LearnReport) -> Table:
    """Return each figure before and after, with intervals and the paired difference."""
    title = f"{report.queries:,} of {report.items:,} labelled photos, each asked for unseen"
    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False)
    for column in ("figure", "before", "after", "difference", "p"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for figure in report.figures:
        difference = figure.difference
        table.add_row(
            figure.name,
            _share(figure.before),
            _share(figure.after),
            _share(difference.difference, sign="+"),
            f"{difference.p:.4f}",
        )
    return table


def _share(one: Estimate, sign: str = "") -> str:
    low, high = 100 * one.low, 100 * one.high
    return f"{100 * one.value:{sign}.1f} % ({low:{sign}.1f} to {high:{sign}.1f})"


def trade_table(report: LearnReport) -> Table:
    """Return what favouring the label or the photo would give."""
    table = Table(
        title=Text("The trade", style="bold"), title_justify="left", box=None, pad_edge=False
    )
    for column in ("--favour", f"precision@{report.k}", "recall@5", "map"):
        table.add_column(column, justify="left" if column == "map" else "right")
    chosen = None if report.metric is None else report.settings
    for name, settings, outcome in favoured(report):
        mark = " (chosen)" if settings == chosen else ""
        table.add_row(name, *_means(outcome), _said(settings) + mark)
    table.add_row(
        "", *_means(report.trials.plain), "none" + (" (chosen)" if chosen is None else "")
    )
    return table


def _means(outcome: Outcome) -> tuple[str, str]:
    return f"{100 * outcome.precision.mean():.1f} %", f"{100 * outcome.recall.mean():.1f} %"


def _said(settings: Settings) -> str:
    if settings.blend == 0:
        return f"projection, shrinkage {settings.projection_shrinkage:g}"
    shrinkage, temperature = settings.score_shrinkage, settings.temperature
    posteriors = f"posteriors, shrinkage {shrinkage:g}, temperature {temperature:.1f}"
    if settings.blend == 1:
        return posteriors
    part = f"{1 - settings.blend:.0%} projection, shrinkage {settings.projection_shrinkage:g}"
    return f"{part}; {settings.blend:.0%} {posteriors}"


def learn_record(report: LearnReport) -> dict[str, Any]:
    """Return a report as JSON values: figures as fractions."""
    return {
        "metric": report.metric,
        "settings": asdict(report.settings),
        "figures": [asdict(figure) for figure in report.figures],
        "k": report.k,
        "queries": report.queries,
        "items": report.items,
        "labels": report.labels,
        "unlabelled": report.unlabelled,
        "favour": report.favour,
        "seed": report.seed,
        "warnings": report.warnings,
        "trade": [
            {
                "settings": asdict(settings),
                "precision": float(outcome.precision.mean()),
                "recall": float(outcome.recall.mean()),
            }
            for settings, outcome in report.trials.maps
        ],
    }
