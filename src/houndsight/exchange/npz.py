"""Vectors as NumPy's ``.npz``: read with numpy.load, without pickle."""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from houndsight.drafts import draft
from houndsight.exchange.rows import Rows

__all__ = ["write", "write_npz"]


def write_npz(
    path: Path, shape: tuple[int, int], vectors: Iterable[NDArray[Any]], **arrays: ArrayLike
) -> None:
    """Write vectors, block by block, and other arrays.

    Parameters
    ----------
    path
        The file.
    shape
        How many vectors there are in all, and of how many numbers.
    vectors
        Blocks of them, in order.
    arrays
        What else the file holds, by name.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    with draft(path) as unfinished, zipfile.ZipFile(unfinished, "w") as archive:
        with archive.open("vectors.npy", "w", force_zip64=True) as member:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(member, header)
            for block in vectors:
                member.write(np.ascontiguousarray(block, "<f4").tobytes())
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def write(path: Path, rows: Rows) -> None:
    """Write what a gallery holds.

    `vectors` (n, dim) float32, `ids` int64, `paths`, `labels` ("" for none), `label_sources`,
    `digests`, `fingerprint`, `metric`, `model` and `settings` (JSON).
    """
    items = rows.items
    write_npz(
        path,
        (len(rows), rows.dim),
        rows.vectors(),
        ids=rows.ids,
        paths=np.array(rows.paths, str),
        labels=np.array([item.label or "" for item in items], str),
        label_sources=np.array([item.label_source or "" for item in items], str),
        digests=np.array([item.digest.hex() for item in items], str),
        fingerprint=rows.fingerprint,
        metric=rows.metric,
        model=rows.gallery.model,
        settings=rows.settings,
    )
