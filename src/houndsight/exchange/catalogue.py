"""The catalogue as ``.csv``."""

import csv
from pathlib import Path

from houndsight.drafts import draft
from houndsight.exchange.rows import Rows

__all__ = ["write"]

COLUMNS = ("id", "path", "label", "label_source", "width", "height", "bytes", "sha256")


def write(path: Path, rows: Rows) -> None:
    """Write the columns id, path, label, label_source, width, height, bytes and sha256."""
    with (
        draft(path) as unfinished,
        unfinished.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(
            (
                item.key,
                name,
                item.label or "",
                item.label_source or "",
                item.width,
                item.height,
                item.size,
                item.digest.hex(),
            )
            for item, name in zip(rows.items, rows.paths, strict=True)
        )
