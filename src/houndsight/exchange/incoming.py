"""Vectors on their way into a gallery, whatever file they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight.errors import InputError

__all__ = ["COLUMNS", "Checked", "Incoming"]

# What else a file may say of each vector; each is named as in an .npz and as in Parquet.
COLUMNS = {
    "ids": "id",
    "paths": "path",
    "labels": "label",
    "label_sources": "label_source",
    "digests": "digest",
    "widths": "width",
    "heights": "height",
}
# Vectors of length 1 in float32 are not farther from it; those that were float16 are.
UNIT = 1e-5


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of all vectors once they were looked through.

    Attributes
    ----------
    digest
        SHA-256 of their numbers as float32, little-endian, in order; 64 hex digits.
    normalised
        Whether each has Euclidean norm 1.
    """

    digest: str
    normalised: bool


@dataclass(frozen=True, slots=True, eq=False)
class Incoming:
    """Vectors, and what their file says of them.

    Attributes
    ----------
    path
        The file.
    shape
        How many vectors there are, and of how many numbers.
    read
        Yields them in blocks (m, dim) of real numbers, in order; can be called again.
    columns
        Some of `COLUMNS`, a value or None for each vector.
    facts
        ``fingerprint``, ``metric``, ``model`` and ``settings``, where the file has them.
    """

    path: Path
    shape: tuple[int, int]
    read: Callable[[], Iterator[NDArray[Any]]]
    columns: Mapping[str, list[Any]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.shape[0] == 0 or self.shape[1] == 0:
            raise InputError("holds no vectors", path=self.path)
        for name, values in self.columns.items():
            if len(values) != self.shape[0]:
                raise InputError(
                    f"holds {self.shape[0]} vectors, but {len(values)} {name}",
                    path=self.path,
                    remedy="Give one for each vector, in the same order",
                )

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the vectors, float32 (m, dim), in order."""
        return (np.ascontiguousarray(block, np.float32) for block in self.read())

    def check(self) -> Checked:
        """Look all vectors through.

        Raises
        ------
        InputError
            If a value is not finite.
        """
        digest, normalised, at = hashlib.sha256(), True, 0
        for block in self.blocks():
            bad = ~np.isfinite(block).all(axis=1)
            if bad.any():
                raise InputError(
                    f"vector {at + int(bad.argmax()) + 1} holds a value that is not finite",
                    path=self.path,
                )
            lengths = np.linalg.norm(block.astype(np.float64), axis=1)
            normalised = normalised and bool((np.abs(lengths - 1) < UNIT).all())
            digest.update(block.astype("<f4", copy=False).tobytes())
            at += len(block)
        return Checked(digest.hexdigest(), normalised)
