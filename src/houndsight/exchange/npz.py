"""Vectors as NumPy's ``.npz``, without pickle."""

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from houndsight.drafts import draft
from houndsight.errors import InputError
from houndsight.exchange.incoming import COLUMNS, Incoming
from houndsight.exchange.rows import BLOCK, Rows

__all__ = ["read", "write", "write_npz"]


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
    `digests`, `widths`, `heights`, `fingerprint`, `metric`, `model` and `settings` (JSON).
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
        widths=np.array([item.width for item in items], np.int32),
        heights=np.array([item.height for item in items], np.int32),
        fingerprint=rows.fingerprint,
        metric=rows.metric,
        model=rows.gallery.model,
        settings=rows.settings,
    )


def read(path: Path, column: str | None = None) -> Incoming:
    """Read vectors, and what else the file says of them.

    `vectors` (n, dim), or the array named by `column`, in any real type; as far as they are there
    also `ids`, `paths`, `labels`, `label_sources`, `digests` (hex), `widths`, `heights` (n), and
    `fingerprint`, `metric`, `model` and `settings`.

    Raises
    ------
    InputError
        If it cannot be read, or holds no such vectors.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or "it is no .npz, damaged, or needs pickle"
        raise InputError(
            f"cannot be read: {reason}", path=path, remedy="Save vectors with numpy.savez"
        ) from error
    name = column or "vectors"
    if name not in arrays:
        if not arrays:
            raise InputError("holds no array", path=path, remedy="Save vectors with numpy.savez")
        raise InputError(
            f"holds no array {name}, only {', '.join(sorted(arrays))}",
            path=path,
            remedy="Name the one that holds the vectors with --column",
        )
    vectors = arrays[name]
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        raise InputError(
            f"{name} is {vectors.dtype} {vectors.shape}, not real numbers (n, dim)", path=path
        )

    def blocks() -> Iterator[NDArray[Any]]:
        return (vectors[n : n + BLOCK] for n in range(0, len(vectors), BLOCK))

    columns = {name: _listed(arrays[name]) for name in COLUMNS if name in arrays}
    facts = {
        name: str(array) for name, array in arrays.items() if array.ndim == 0 and name != column
    }
    return Incoming(path, vectors.shape, blocks, columns, facts)


def _listed(array: NDArray[Any]) -> list[Any]:
    values: list[Any] = np.atleast_1d(array).tolist()
    return [None if value in ("", b"") else value for value in values]
