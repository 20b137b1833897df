"""Duplicates and doubtful labels, as text for a terminal and as JSON values."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from houndsight.curation import DuplicateReport
from houndsight.doubting import Outlier
from houndsight.errors import counted, printable
from houndsight.gallery import Gallery
from houndsight.render.text import label_text

__all__ = ["duplicate_lines", "duplicate_record", "outlier_records", "outlier_table"]


def duplicate_lines(gallery: Gallery, report: DuplicateReport) -> Iterator[str]:
    """Yield the groups, a line for each photo, the one to keep first; then how many there are."""
    for n, group in enumerate(report.groups, start=1):
        kind = "the same bytes" if group.exact else "nearly the same"
        yield f"{n}: {counted(len(group.items), 'photo')}, {kind}"
        yield f"  keep    {printable(gallery.path_of(group.keep))}"
        for match in group.others:
            same = " (same bytes)" if match.item.digest == group.keep.digest else ""
            yield f"  {match.distance:.4f}  {printable(gallery.path_of(match.item))}{same}"
    more = sum(len(group.others) for group in report.groups)
    near = "by bytes"
    if report.max_distance is not None:
        near = f"by bytes and up to {report.max_distance:.4f} apart"
    yield (
        f"{counted(len(report.groups), 'group')} among {counted(report.photos, 'photo')}, {near}; "
        f"{counted(more, 'photo')} could go"
    )


def duplicate_record(gallery: Gallery, report: DuplicateReport) -> dict[str, Any]:
    """Return the groups, in each the photo to keep first."""
    groups = [
        {
            "exact": group.exact,
            "items": [
                {
                    "id": item.key,
                    "path": os.fsdecode(gallery.path_of(item)),
                    "label": item.label,
                    "width": item.width,
                    "height": item.height,
                    "size": item.size,
                    "distance": distance,
                    "same_bytes": item.digest == group.keep.digest,
                }
                for item, distance in zip(
                    group.items, [0.0, *(match.distance for match in group.others)], strict=True
                )
            ],
        }
        for group in report.groups
    ]
    return {"photos": report.photos, "max_distance": report.max_distance, "groups": groups}


def outlier_table(gallery: Gallery, found: Sequence[Outlier]) -> Table:
    """Return doubtful labels, the most doubtful first."""
    table = Table(box=None, pad_edge=False)
    for column in ("rank", "score", "label", "suggested", "id", "path"):
        table.add_column(column, justify="right" if column in ("rank", "score") else "left")
    for rank, one in enumerate(found, start=1):
        table.add_row(
            str(rank),
            f"{one.score:.2f}",
            Text(label_text(one.item.label)),
            Text(label_text(one.suggested)),
            one.item.key,
            Text(printable(gallery.path_of(one.item))),
        )
    return table


def outlier_records(gallery: Gallery, found: Sequence[Outlier]) -> list[dict[str, Any]]:
    """Return doubtful labels, the most doubtful first."""
    return [
        {
            "rank": rank,
            "id": one.item.key,
            "path": os.fsdecode(gallery.path_of(one.item)),
            "label": one.item.label,
            "suggested": one.suggested,
            "score": one.score,
            "own": one.own,
            "rival": one.rival,
        }
        for rank, one in enumerate(found, start=1)
    ]
