"""Answers as JSON values.

Ids are 16 hex digits. A byte of a path that is not UTF-8 is the lone surrogate that Python's
surrogateescape makes of it: os.fsencode gives the path back.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from houndsight.cropping import WHOLE
from houndsight.gallery import Gallery
from houndsight.gallery.spaces import labelling
from houndsight.queries import Queries, Query
from houndsight.types import Item, Match, Skipped
from houndsight.voting import Vote

if TYPE_CHECKING:  # a search has no use for what these modules load
    from houndsight.explaining import Explanation
    from houndsight.indexing import IndexReport

__all__ = [
    "classify_records",
    "explanation_record",
    "index_record",
    "info_record",
    "search_records",
    "skipped_records",
]


def search_records(
    gallery: Gallery, queries: Queries, found: Sequence[Sequence[Match]]
) -> list[dict[str, Any]]:
    """Return one object for each query, in order, then one for each that could not be read.

    Where parts of photos were searched for, or several photos as one, an object says so.
    """
    return [
        {
            "query": os.fsdecode(query.path),
            "label": query.label,
            **_asked(query),
            "matches": [_match(gallery, query, match) for match in matches],
        }
        for query, matches in zip(queries.photos, found, strict=True)
    ] + [{**one, "matches": []} for one in _unread(queries)]


def _asked(query: Query) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    if query.view != WHOLE:
        asked["crop"] = None if query.view.crop is None else str(query.view.crop)
        asked["exclude_crops"] = [str(part) for part in query.view.without]
    if query.combination is not None:
        asked["combine"] = query.combination.combine
        asked["like"] = [os.fsdecode(one.path) for one in query.combination.like]
        asked["unlike"] = [os.fsdecode(one.path) for one in query.combination.unlike]
    return asked


def _match(gallery: Gallery, query: Query, match: Match) -> dict[str, Any]:
    return {
        "rank": match.rank,
        "id": match.item.key,
        "path": os.fsdecode(gallery.path_of(match.item)),
        "label": match.item.label,
        "distance": match.distance,
        "probability": match.probability,
        "same_bytes": query.same_bytes(match.item),
    }


def _unread(queries: Queries) -> list[dict[str, Any]]:
    return [
        {"query": os.fsdecode(skip.path), "label": None, "skipped": skip.reason}
        for skip in queries.skipped
    ]


def explanation_record(
    gallery: Gallery, query: Query, item: Item, explanation: Explanation
) -> dict[str, Any]:
    """Return an explanation: shares as nested lists, what was seen as fractions of the photo."""
    return {
        "explained": explanation.explained,
        "space": explanation.space,
        "label": explanation.label,
        "distance": explanation.distance,
        "query": {
            "path": os.fsdecode(query.path),
            "label": query.label,
            **_asked(query),
            "total": explanation.query_total,
            "seen": list(explanation.query_seen),
            "shares": explanation.query_shares.tolist(),
        },
        "item": {
            "id": item.key,
            "path": os.fsdecode(gallery.path_of(item)),
            "label": item.label,
            "total": explanation.item_total,
            "seen": list(explanation.item_seen),
            "shares": explanation.item_shares.tolist(),
        },
    }


def classify_records(queries: Queries, votes: Sequence[Vote]) -> list[dict[str, Any]]:
    """Return one object for each query: the label, its share of the votes, all votes.

    Where the metric is calibrated, also the probability of each label, and of none of them.
    """
    return [
        {
            "query": os.fsdecode(query.path),
            "label": vote.label,
            "first": vote.first,
            "share": vote.share,
            "votes": [{"label": lb, "count": count} for lb, count in vote.counts.items()],
            "probabilities": [
                {"label": lb, "probability": chance} for lb, chance in vote.probabilities.items()
            ],
            "none": vote.none,
            "known_label": query.label,
        }
        for query, vote in zip(queries.photos, votes, strict=True)
    ] + [
        {
            **one,
            "first": None,
            "share": 0.0,
            "votes": [],
            "probabilities": [],
            "none": None,
            "known_label": None,
        }
        for one in _unread(queries)
    ]


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
    now = labelling(items)
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
        "metric": gallery.metric,
        "metrics": [_metric(gallery, name, now) for name in gallery.metrics()],
        "roots": [
            {"place": os.fsdecode(root.place), "labels": root.labels} for root in gallery.roots()
        ],
    }


def _metric(gallery: Gallery, name: str, now: dict[str, Any]) -> dict[str, Any]:
    """Return a metric's name, what its map and its calibration were made from, and their age."""
    facts = gallery.facts(name)
    calibration = gallery.calibration(name)
    return {
        "name": name,
        **{key: facts[key] for key in ("time", "method", "favour", "settings") if key in facts},
        "fitted_on": facts.get("labelling"),
        "stale": bool(facts) and facts["labelling"] != now,
        "calibrated": calibration is not None,
        "calibration_stale": calibration is not None and calibration.made["labelling"] != now,
        "labelled_now": now,
    }
