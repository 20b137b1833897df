"""The short rows by which a search rules most rows out, kept in files beside the vector file.

A space that has them has a file of principal axes, ``spaces/<space>-<generation>.basis``, and for
each level a file of rows named after a digest of the axes. All of it can be made again; a search
never waits for it and never writes it.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from houndsight.bound import Basis, Level, Reduction, columns, fit
from houndsight.maps import Space
from houndsight.stores.derived import FOLDER, extend, mapped, rows_file

__all__ = ["Reduced", "reduced", "stamp", "tidy"]

# Below so many numbers a full product takes a millisecond or two: 8,192 rows of 2,048.
FEWEST = 1 << 24
# Rows that a search may shorten in memory; with more it takes the full product.
RECENT = 8192
# Rows that axes are fitted on.
SAMPLE = 16384
# The axes have drifted when they leave over so many times what they left over when fitted.
DRIFT = 1.15


@dataclass(frozen=True, slots=True, eq=False)
class Reduced:
    """The levels of a space's rows, and of which file of axes they are."""

    stamp: tuple[int, int] | None
    levels: tuple[Level, ...]


def _basis_file(folder: Path, generation: int, space: Space) -> str:
    # Every search looks at it: a Path would take longer to make than its state to read.
    return f"{folder}{os.sep}{FOLDER}{os.sep}{space.key}-{generation}.basis"


def _files(
    folder: Path, generation: int, space: Space, basis: Basis
) -> list[tuple[Reduction, Path]]:
    """Return the levels that axes make, coarsest first, each with its file."""
    levels = [Reduction(basis, n) for n in columns(len(basis.centre))]
    keys = [f"{space.key}-{basis.key}-{level.dim}" for level in levels]
    return [(lv, rows_file(folder, key, generation)) for lv, key in zip(levels, keys, strict=True)]


def stamp(folder: Path, generation: int, space: Space) -> tuple[int, int] | None:
    """Return what changes when there are other axes, or more rows; None while there are none."""
    try:
        state = os.stat(_basis_file(folder, generation, space))
    except OSError:
        return None
    return state.st_mtime_ns, state.st_ino


def _read(path: str, dim: int) -> Basis | None:
    """Return the axes in a file; None where there are none that can be used."""
    try:
        found = load(Path(path).read_bytes())
        basis = Basis(found["centre"], found["axes"], float(found["left_over"][0]))
    except (OSError, SafetensorError, LookupError):
        return None
    # Another version may have used more or fewer.
    fits = basis.centre.shape == (dim,) and basis.axes.shape == (dim, columns(dim)[-1] - 2)
    return basis if fits else None


def reduced(
    folder: Path,
    generation: int,
    space: Space,
    vectors: NDArray[np.float32],
    before: Reduced | None,
) -> Reduced:
    """Return the levels of all rows of a space; none where rows are to be held against in full.

    What the files lack is computed in memory, if it is little.

    Parameters
    ----------
    vectors
        The rows in the space, float32 (m, space.dim).
    before
        What this returned for fewer of these rows.
    """
    now = stamp(folder, generation, space)
    levels: Sequence[Level] = ()
    if before and before.stamp == now:
        levels = before.levels
    elif now and (basis := _read(_basis_file(folder, generation, space), space.dim)):
        with contextlib.suppress(OSError):
            levels = [
                Level(level, mapped(path, level, vectors), np.empty((0, level.dim), np.float32))
                for level, path in _files(folder, generation, space, basis)
            ]
    if len(vectors) - min((len(level.stored) for level in levels), default=0) > RECENT:
        levels = ()
    return Reduced(now, tuple(level.extended(vectors) for level in levels))


def tidy(folder: Path, generation: int, space: Space, vectors: NDArray[np.float32]) -> None:
    """Make or extend the files, where that pays; fit the axes anew where they have drifted.

    Where the gallery may not be written, or another process is at it, all stays as it is.
    """
    if vectors.size < FEWEST or not columns(space.dim):
        return
    name = _basis_file(folder, generation, space)
    path = Path(name)
    with contextlib.suppress(OSError, Timeout):
        basis = _read(name, space.dim)
        if basis and _lacking(_files(folder, generation, space, basis), vectors) < RECENT // 2:
            return
        path.parent.mkdir(exist_ok=True)
        # Not the lock of the rows themselves: a search may want these meanwhile.
        with FileLock(path.with_suffix(".tidy"), timeout=0):
            basis = _read(name, space.dim)
            fresh = None
            if basis is None or _drifted(basis, vectors):
                basis = fresh = fit(vectors[_spread(len(vectors), SAMPLE)])
            files = _files(folder, generation, space, basis)
            for level, file in files:
                extend(file, level, vectors)
            if fresh:
                _write(path, fresh)
                _forget(folder, generation, space, files)
            else:
                path.touch()  # tells those who search to look again


def _lacking(files: list[tuple[Reduction, Path]], vectors: NDArray[np.float32]) -> int:
    """Return how many rows the files lack."""
    return len(vectors) - min(len(mapped(path, level, vectors)) for level, path in files)


def _drifted(basis: Basis, vectors: NDArray[np.float32]) -> bool:
    """Return whether the axes leave over more of the rows than they did of those fitted on."""
    a = vectors[_spread(len(vectors), 1024)] - basis.centre
    whole = float(np.vecdot(a, a).sum())
    p = a @ basis.axes
    left_over = max(0.0, whole - float(np.vecdot(p, p).sum())) / whole if whole > 0 else 0.0
    return left_over > DRIFT * basis.left_over + 0.01


def _spread(rows: int, n: int) -> NDArray[np.intp]:
    """Return at most n rows, evenly spread."""
    return np.unique(np.linspace(0, rows - 1, min(rows, n)).astype(np.intp))


def _write(path: Path, basis: Basis) -> None:
    """Write the axes, whole or not at all."""
    draft = path.with_suffix(f".{os.getpid()}")
    with draft.open("wb") as file:
        left_over = np.array([basis.left_over])
        file.write(save({"centre": basis.centre, "axes": basis.axes, "left_over": left_over}))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _forget(
    folder: Path, generation: int, space: Space, kept: list[tuple[Reduction, Path]]
) -> None:
    """Delete the rows of earlier axes of the same space."""
    names = {path.name for _, path in kept}
    for path in (folder / FOLDER).glob(f"{space.key}-*-*-{generation}.rows"):
        if path.name not in names:
            with contextlib.suppress(OSError):
                path.unlink()
