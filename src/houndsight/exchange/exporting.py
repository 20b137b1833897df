"""A gallery into a file or folder of another program's format."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from houndsight.errors import InputError, printable
from houndsight.exchange import catalogue, faiss_index, fiftyone, milvus, npz, parquet
from houndsight.exchange.rows import Rows
from houndsight.gallery import Gallery

__all__ = ["FORMATS", "export"]

WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "npz": npz.write,
    "csv": catalogue.write,
    "parquet": parquet.write,
    "faiss": faiss_index.write,
    "fiftyone": fiftyone.write,
    "milvus": milvus.write,
}
FORMATS = tuple(WRITERS)
FOLDERS = ("fiftyone", "milvus")


def export(
    gallery: Gallery,
    path: str | os.PathLike[str],
    *,
    form: str | None = None,
    metric: str | None = None,
) -> int:
    """Write a gallery's items, by id, with their vectors; returns how many.

    It is there whole or not at all. A file of that name is replaced, a folder with something in it
    is not. Vectors go from the gallery to the file in blocks.

    Parameters
    ----------
    gallery
        Whose items.
    path
        A file, or for ``fiftyone`` and ``milvus`` a new or empty folder.
    form
        One of `FORMATS`; by the ending of the name when None.
    metric
        The metric that vectors are written in; as they are stored when None.

    Raises
    ------
    InputError
        If no format fits the name, the gallery has no such metric, what writes the format is not
        installed, or it cannot be written.
    """
    place = Path(path)
    found = form or place.suffix.lower().removeprefix(".")
    if found not in WRITERS or (form is None and found in FOLDERS):
        files = [f".{name}" for name in FORMATS if name not in FOLDERS]
        raise InputError(
            f"ends neither in {', '.join(files[:-1])} nor in {files[-1]}",
            path=place,
            remedy=f"Name it so, or say --format {' or '.join(FOLDERS)} for a folder",
        )
    if (other := place.suffix.lower().removeprefix(".")) in WRITERS and other != found:
        raise InputError(
            f"ends in .{other}, but the format is to be {found}",
            path=place,
            remedy=f"Name it like {printable(place.stem)}"
            + ("" if found in FOLDERS else f".{found}")
            + ", or leave --format out",
        )
    if found == "csv" and metric is not None:
        raise InputError("a catalogue as .csv holds no vectors", remedy="Leave --metric out")
    rows = Rows.of(gallery, metric)
    WRITERS[found](place, rows)
    return len(rows)
