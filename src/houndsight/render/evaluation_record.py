"""An evaluation as JSON values: figures as fractions, their intervals beside them."""

from __future__ import annotations

import os
from typing import Any

from houndsight.evaluation import Calibrated, Comparison, QueryFigures, Reliability, Report, Spread
from houndsight.gallery import Gallery
from houndsight.types import Item

__all__ = ["evaluation_record"]

PLAIN = (
    "protocol",
    "metric",
    "folds",
    "refitted",
    "k",
    "n_queries",
    "n_gallery",
    "seed",
    "samples",
    "near_distance",
    "left_out",
    "near_left_out",
    "unlabelled",
    "unknown_labels",
    "model",
    "fingerprint",
    "versions",
    "trained_on",
    "imagenet_names",
    "notes",
)


def evaluation_record(
    gallery: Gallery, report: Report, comparison: Comparison | None = None
) -> dict[str, Any]:
    """Return a report, complete; of what it is compared with, the figures and the differences."""
    spread = report.spread
    return {
        **_figures(report),
        **{name: getattr(report, name) for name in PLAIN},
        "repeats": None if spread is None else len(spread.precision_at_k.means),
        "spread": None
        if spread is None
        else {name: _spread(one) for name, one in spread.figures()},
        "calibration": None if report.calibration is None else _calibrated(report.calibration),
        "comparison": None if comparison is None else _comparison(comparison),
        "labels": [
            {
                "label": one.label,
                "queries": one.queries,
                "gallery": one.gallery,
                **dict(one.figures()),
                "confused_with": [{"label": lb, "share": s} for lb, s in one.confused_with],
            }
            for one in report.labels
        ],
        "confusion": [
            {
                "label": one.label,
                "other": one.other,
                "votes": one.votes,
                "neighbours": one.neighbours,
            }
            for one in report.confusion
        ],
        "queries": [_query(gallery, one) for one in report.queries],
    }


def _figures(report: Report) -> dict[str, Any]:
    return {
        **{name: one.value for name, one in report.figures()},
        "intervals_95": {name: [one.low, one.high] for name, one in report.figures()},
    }


def _spread(one: Spread) -> dict[str, float]:
    return {
        "mean": one.mean,
        "deviation": one.deviation,
        "low": one.low,
        "high": one.high,
        "least": min(one.means),
        "greatest": max(one.means),
    }


def _calibrated(one: Calibrated) -> dict[str, Any]:
    return {
        "k": one.k,
        "neighbours": _reliability(one.neighbours),
        "votes": _reliability(one.votes),
        "winners": _reliability(one.winners),
    }


def _reliability(one: Reliability) -> dict[str, Any]:
    return {
        "answers": one.answers,
        "error": one.error,
        "by_chance": one.chance.value,
        "by_chance_95": [one.chance.low, one.chance.high],
        "curve": [
            {"probability": said, "right": was, "count": count} for said, was, count in one.curve
        ],
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    other = comparison.second
    return {
        **_figures(other),
        **{name: getattr(other, name) for name in ("metric", "model", "fingerprint", "refitted")},
        "differences": {
            name: {
                "value": one.difference.value,
                "interval_95": [one.difference.low, one.difference.high],
                "p": one.p,
            }
            for name, one in comparison.differences.figures()
        },
    }


def _query(gallery: Gallery, one: QueryFigures) -> dict[str, Any]:
    item = isinstance(one.asked, Item)
    path = gallery.path_of(one.asked) if isinstance(one.asked, Item) else one.asked.path
    return {
        "query": one.name if item else os.fsdecode(path),
        "path": os.fsdecode(path),
        "label": one.label,
        "answer": one.answer,
        **dict(one.figures()),
    }
