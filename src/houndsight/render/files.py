"""Vectors and catalogues as files for other programs; each is there whole or not at all."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from houndsight.drafts import draft
from houndsight.errors import InputError
from houndsight.gallery import Gallery

__all__ = ["export", "write_npz"]

CSV_COLUMNS = ("id", "path", "label", "label_source", "width", "height", "bytes", "sha256")


def write_npz(path: Path, **arrays: Any) -> None:
    """Write arrays, or what makes them, into an .npz file that needs no pickle to read."""
    with draft(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def export(gallery: Gallery, path: Path) -> int:
    """Write a gallery's items to a file; returns how many.

    ``.npz`` holds `vectors` (n, dim) float32, `ids` int64, `paths`, `labels` ("" for none),
    `digests`, `fingerprint` and `model`; ``.csv`` holds the columns id, path, label, label_source,
    width, height, bytes and sha256.

    Raises
    ------
    InputError
        If the name ends otherwise, or cannot be written.
    """
    items = gallery.items()
    paths = [os.fsdecode(gallery.path_of(item)) for item in items]
    if path.suffix == ".npz":
        write_npz(
            path,
            vectors=gallery.vectors(items).values,
            ids=np.array([item.id for item in items], np.int64),
            paths=np.array(paths, dtype=str),
            labels=np.array([item.label or "" for item in items], dtype=str),
            digests=np.array([item.digest.hex() for item in items], dtype=str),
            fingerprint=gallery.fingerprint,
            model=gallery.model,
        )
    elif path.suffix == ".csv":
        rows = [
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
            for item, name in zip(items, paths, strict=True)
        ]
        _write_csv(path, rows)
    else:
        raise InputError("ends neither in .npz nor in .csv", path=path)
    return len(items)


def _write_csv(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    with (
        draft(path) as unfinished,
        unfinished.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        writer.writerows(rows)
