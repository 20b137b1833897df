"""Spaces to search in: vectors as they are stored, scaled to length 1, or put through a map.

A map is fitted elsewhere and applied here, with NumPy alone.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Base", "Map", "Space", "Unit", "softmax", "unit"]

# Rows that are mapped at once, in float64: 2,048 x 2,048 x 8 bytes = 32 MB.
BLOCK = 2048


class Space(Protocol):
    """What a search needs to know of the space that it takes place in."""

    @property
    def name(self) -> str:
        """``base``, ``unit``, or a map's ``name@version``."""
        ...

    @property
    def key(self) -> str:
        """The name, with a digest of what decides the numbers; fit for a file's name."""
        ...

    @property
    def dim(self) -> int:
        """How many numbers a vector has in this space."""
        ...

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what stored vectors (n, dim of the embedder) are in this space."""
        ...

    def exact(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the same without rounding to float32: what distances are computed from."""
        ...

    def traits(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what the space says of each vector by itself, float64 (n, m); m may be 0."""
        ...


def unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows scaled to Euclidean norm 1; a row of zeros has no direction and stays."""
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(lengths > 0, lengths, 1.0)


def softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return exp(x) over its sum, by rows, without overflow."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    total: NDArray[np.float64] = e / e.sum(axis=1, keepdims=True)
    return total


@dataclass(frozen=True, slots=True)
class Base:
    """The vectors as they are stored."""

    dim: int
    name: str = "base"
    key: str = "base"

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the vectors themselves."""
        return vectors

    def exact(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the same numbers as float64."""
        return vectors.astype(np.float64)

    def traits(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return nothing, (n, 0): lengths and places here say nothing of labels."""
        return np.empty((len(vectors), 0))


@dataclass(frozen=True, slots=True)
class Unit:
    """Stored vectors scaled to Euclidean norm 1, for a gallery that keeps them raw."""

    dim: int
    name: str = "unit"
    key: str = "unit"

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (n, dim) of norm 1, as an embedder with normalisation makes them."""
        return self.exact(vectors).astype(np.float32)

    def exact(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return float64 (n, dim) of norm 1."""
        return unit(vectors.astype(np.float64))

    def traits(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return nothing, (n, 0): lengths and places here say nothing of labels."""
        return np.empty((len(vectors), 0))


@dataclass(frozen=True, eq=False)
class Map:
    """A linear map, partly followed by softmax and root.

    With x a vector scaled to norm 1, a search in the map's space compares ::

        h = (x - centre) @ projection               where labels lie apart
        s = x @ weights + bias                      one linear score for each label
        y = [sqrt(1 - blend) h / |h|,  sqrt(blend) sqrt(softmax(s / temperature))]

    The Euclidean distance of two roots of posteriors is sqrt(2) times their Hellinger distance (E.
    Hellinger, J. reine angew. Math. 136, 1909). With `blend` 0 or 1 only one of the parts is left.

    Attributes
    ----------
    name
        ``name@version``.
    centre
        float64 (dim,).
    projection
        float64 (dim, r).
    weights, bias
        float64 (dim, n_labels) and (n_labels,).
    labels
        What the scores are of.
    temperature
        What scores are divided by, above 0; the higher, the softer the posteriors.
    blend
        Part of the posteriors in squared distances, 0 to 1.
    """

    name: str
    centre: NDArray[np.float64]
    projection: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    labels: tuple[str, ...]
    temperature: float
    blend: float

    @functools.cached_property  # every search asks for it, and it takes 15 ms
    def key(self) -> str:
        """The name, with a digest of the map's numbers."""
        text = json.dumps(self.document(), sort_keys=True)
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def takes(self) -> int:
        """How many numbers a stored vector has."""
        return len(self.centre)

    @property
    def dim(self) -> int:
        """How many numbers a vector has in this space."""
        projected = self.projection.shape[1] if self.blend < 1 else 0
        return projected + (len(self.labels) if self.blend > 0 else 0)

    def projected(self, vectors: ArrayLike) -> NDArray[np.float64]:
        """Return h, float64 (n, r), of vectors (n, dim)."""
        return (unit(np.asarray(vectors, np.float64)) - self.centre) @ self.projection

    def scores(self, vectors: ArrayLike) -> NDArray[np.float64]:
        """Return s, float64 (n, n_labels), of vectors (n, dim)."""
        return unit(np.asarray(vectors, np.float64)) @ self.weights + self.bias

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return y, float32 (n, self.dim)."""
        out = np.empty((len(vectors), self.dim), np.float32)
        for start in range(0, len(vectors), BLOCK):
            out[start : start + BLOCK] = self.exact(vectors[start : start + BLOCK])
        return out

    def exact(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return y, float64 (n, self.dim)."""
        parts: list[NDArray[np.float64]] = []
        if self.blend < 1:
            parts.append(np.sqrt(1 - self.blend) * unit(self.projected(vectors)))
        if self.blend > 0:
            posteriors = softmax(self.scores(vectors) / self.temperature)
            parts.append(np.sqrt(self.blend * posteriors))
        return np.hstack(parts)

    def traits(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (n, 2): the length of h and the greatest score.

        With the same shrinkage for both, the squared length less twice the score is the squared
        Mahalanobis distance to the nearest label's mean, but for a constant: what tells photos of
        labels that the map has not seen (Lee et al., A simple unified framework for detecting
        out-of-distribution samples, NeurIPS 2018).
        """
        lengths = np.linalg.norm(self.projected(vectors), axis=1)
        return np.column_stack([lengths, self.scores(vectors).max(axis=1)])

    def document(self) -> dict[str, Any]:
        """Return the map as a JSON value; its numbers as float32."""
        return {
            "name": self.name,
            "centre": _encoded(self.centre),
            "projection": _encoded(self.projection),
            "weights": _encoded(self.weights),
            "bias": _encoded(self.bias),
            "labels": list(self.labels),
            "temperature": self.temperature,
            "blend": self.blend,
        }

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Map:
        """Return the map that `document` wrote down; ValueError if its parts do not fit."""
        found = cls(
            name=body["name"],
            centre=_decoded(body["centre"]),
            projection=_decoded(body["projection"]),
            weights=_decoded(body["weights"]),
            bias=_decoded(body["bias"]),
            labels=tuple(body["labels"]),
            temperature=float(body["temperature"]),
            blend=float(body["blend"]),
        )
        (takes,), (count,) = found.centre.shape, found.bias.shape
        fits = (
            found.projection.ndim == 2
            and len(found.projection) == takes
            and found.weights.shape == (takes, count)
            and len(found.labels) == count
            and found.temperature > 0
            and 0 <= found.blend <= 1
        )
        if not fits:
            raise ValueError("the parts of the map do not fit each other")
        return found


def _encoded(array: NDArray[np.float64]) -> dict[str, Any]:
    data = np.ascontiguousarray(array, dtype="<f4").tobytes()
    return {"shape": list(array.shape), "float32": base64.b64encode(data).decode("ascii")}


def _decoded(body: Mapping[str, Any]) -> NDArray[np.float64]:
    data = base64.b64decode(body["float32"])
    return np.frombuffer(data, "<f4").astype(np.float64).reshape(body["shape"])
