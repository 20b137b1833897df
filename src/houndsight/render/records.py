"""Answers as JSON values.

Ids are 16 hex digits. A byte of a path that is not UTF-8 is the lone surrogate that Python's
surrogateescape makes of it: os.fsencode gives the path back.
"""

import os
from collections.abc import Sequence
from typing import Any

from houndsight.evaluation import Report
from houndsight.gallery import Gallery
from houndsight.indexing import IndexReport
from houndsight.queries import Queries, Query
from houndsight.types import Match, Skipped
from houndsight.voting import Vote

__all__ = [
    "classify_records",
    "evaluation_record",
    "index_record",
    "info_record",
    "search_records",
    "skipped_records",
]


def search_records(
    gallery: Gallery, queries: Queries, found: Sequence[Sequence[Match]]
) -> list[dict[str, Any]]:
    """Return one object for each query, in order, then one for each that could not be read."""
    return [
        {
            "query": os.fsdecode(query.path),
            "label": query.label,
            "matches": [_match(gallery, query, match) for match in matches],
        }
        for query, matches in zip(queries.photos, found, strict=True)
    ] + [{**one, "matches": []} for one in _unread(queries)]


def _match(gallery: Gallery, query: Query, match: Match) -> dict[str, Any]:
    return {
        "rank": match.rank,
        "id": match.item.key,
        "path": os.fsdecode(gallery.path_of(match.item)),
        "label": match.item.label,
        "distance": match.distance,
        "same_bytes": query.same_bytes(match.item),
    }


def _unread(queries: Queries) -> list[dict[str, Any]]:
    return [
        {"query": os.fsdecode(skip.path), "label": None, "skipped": skip.reason}
        for skip in queries.skipped
    ]


def classify_records(queries: Queries, votes: Sequence[Vote]) -> list[dict[str, Any]]:
    """Return one object for each query: the label, its share of the votes, all votes."""
    return [
        {
            "query": os.fsdecode(query.path),
            "label": vote.label,
            "share": vote.share,
            "votes": [{"label": lb, "count": count} for lb, count in vote.counts.items()],
            "known_label": query.label,
        }
        for query, vote in zip(queries.photos, votes, strict=True)
    ] + [{**one, "share": 0.0, "votes": [], "known_label": None} for one in _unread(queries)]


def index_record(report: IndexReport) -> dict[str, Any]:
    """Return the counts of a run of `index`, and what was skipped."""
    return {
        "new": report.new,
        "changed": report.changed,
        "renamed": report.renamed,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "relabelled": report.relabelled,
        "left_out": report.left_out,
        "embedded": report.embedded,
        "seconds": report.seconds,
        "skipped": len(report.skipped),
        "skipped_files": skipped_records(report.skipped),
        "passed_over": dict(report.passed_over),
    }


def skipped_records(skipped: Sequence[Skipped]) -> list[dict[str, str]]:
    """Return path and reason of files that are not in the gallery."""
    return [{"path": os.fsdecode(skip.path), "reason": skip.reason} for skip in skipped]


def info_record(gallery: Gallery) -> dict[str, Any]:
    """Return what a gallery holds, and what made it."""
    labels = gallery.labels()
    items = gallery.items()
    return {
        "place": os.fspath(gallery.place),
        "items": len(items),
        "labels": len(labels),
        "unlabelled": len(items) - labels.total(),
        "skipped": len(gallery.skipped()),
        "model": gallery.model,
        "fingerprint": gallery.fingerprint,
        "dim": gallery.settings["dim"],
        "made_of": gallery.settings["made_of"],
        "versions": gallery.settings["versions"],
        "roots": [
            {"place": os.fsdecode(root.place), "labels": root.labels} for root in gallery.roots()
        ],
    }


def evaluation_record(report: Report) -> dict[str, Any]:
    """Return a report as JSON values: figures as fractions, their intervals beside them."""
    names = ("precision_at_k", "recall_at_1", "recall_at_5", "vote_accuracy")
    estimates = {name: getattr(report, name) for name in names}
    return {
        **{name: estimate.value for name, estimate in estimates.items()},
        "intervals_95": {name: [e.low, e.high] for name, e in estimates.items()},
        **{
            name: getattr(report, name)
            for name in (
                "k",
                "n_queries",
                "n_gallery",
                "seed",
                "protocol",
                "left_out",
                "unlabelled",
                "unknown_labels",
                "model",
                "fingerprint",
                "versions",
            )
        },
        "labels": [
            {
                "label": one.label,
                "queries": one.queries,
                "gallery": one.gallery,
                "precision_at_k": one.precision_at_k,
                "vote_accuracy": one.vote_accuracy,
                "confused_with": [{"label": lb, "share": s} for lb, s in one.confused_with],
            }
            for one in report.labels
        ],
        "queries": [{"query": name, "precision_at_k": value} for name, value in report.queries],
    }
