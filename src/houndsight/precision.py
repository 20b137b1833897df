"""A network in narrower numbers, made for a collection of photos and measured on them."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houndsight import search
from houndsight.embedder import Embedder
from houndsight.errors import InputError
from houndsight.models.narrow import halved, left_in_float, quantized
from houndsight.streaming import BATCH
from houndsight.types import Skipped

__all__ = ["LEAST_OVERLAP", "PrecisionReport", "Trial", "narrowed"]

# Photos that the networks are compared on, and of these that the integers are calibrated on.
SAMPLE = 1000
CALIBRATION = 64
# Neighbours that are compared, and the part of the sample that they are at most: more would be the
# same whatever the network.
K = 20
PART = 5
# The fastest network that reaches it is taken, else the one that comes nearest.
WANTED_OVERLAP = 0.92
# Below this the neighbours are others.
LEAST_OVERLAP = 0.85


@dataclass(frozen=True, slots=True)
class Trial:
    """One network.

    Attributes
    ----------
    name
        ``float32``, ``float16``, or ``int8`` with what stays in float32.
    speed
        Images a second, the network alone on all CPUs: the best of a few runs.
    overlap
        Share of float32's nearest neighbours among the sample that are this network's too.
    precision
        Share of the neighbours that have the photo's label, over labelled photos; None where there
        are none.
    """

    name: str
    speed: float
    overlap: float
    precision: float | None


@dataclass(frozen=True, slots=True)
class PrecisionReport:
    """What was measured, float32 first, which was chosen, on how many photos and neighbours."""

    trials: tuple[Trial, ...]
    chosen: str
    photos: int
    k: int


def narrowed(
    embedder: Embedder,
    photos: Sequence[bytes],
    labels: Sequence[str | None],
    *,
    precision: str = "int8",
    least_overlap: float = LEAST_OVERLAP,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[Embedder, PrecisionReport]:
    """Return an embedder with a narrower network, and what it is worth beside the one given.

    Parameters
    ----------
    embedder
        In float32.
    photos, labels
        Paths of the photos that the vectors are wanted of, and their labels. Networks are compared
        on at most 1,000 of them, drawn with seed 0.
    precision
        ``int8``, for CPUs, or ``float16``, for GPUs.
    least_overlap
        What is refused: a smaller share of common neighbours.
    progress
        Called with what is being done, how many parts of it are done, and how many there are.

    Raises
    ------
    InputError
        If fewer than three photos can be read, no network reaches `least_overlap`, or the network
        is a person's own.
    """
    tell = progress or (lambda *_: None)
    graph = embedder.float_graph()  # first: there may be none
    drawn = np.sort(np.random.default_rng(0).permutation(len(photos))[:SAMPLE])
    sample = [photos[n] for n in drawn]
    wanted = {photos[n]: labels[n] for n in drawn}
    found = _embedded(embedder, sample, lambda n: tell("float32", n, len(sample)))
    names = list(found)
    if len(names) < 3:
        raise InputError(
            f"{len(names)} photos can be read; to measure a network takes three or more",
            remedy="Leave --precision out",
        )
    exact, k = np.stack(list(found.values())), min(K, max(1, len(names) // PART))
    marks = np.array([wanted[name] for name in names], object)
    near = _neighbours(exact, k)
    pixels = np.stack([embedder.pixels(os.fsdecode(name)) for name in names[:CALIBRATION]])
    batch = pixels[np.arange(BATCH) % len(pixels)]
    trials = [Trial("float32", embedder.speed(batch), 1.0, _precision(near, marks))]
    best = (embedder, trials[0])
    for name, network in _networks(graph, precision, pixels):
        made = embedder.with_network(network, precision)
        vectors = _embedded(made, names, lambda n, name=name: tell(name, n, len(names)))  # type: ignore[misc]
        theirs = _neighbours(np.stack([vectors[name] for name in names]), k)
        common = [len(np.intersect1d(a, b)) / k for a, b in zip(near, theirs, strict=True)]
        trial = Trial(name, made.speed(batch), float(np.mean(common)), _precision(theirs, marks))
        trials.append(trial)
        if len(trials) == 2 or _better(trial, best[1]):
            best = (made, trial)
    if best[1].overlap < least_overlap:
        raise InputError(
            f"of {k} neighbours only {100 * best[1].overlap:.1f} % are the same in {precision}, "
            f"not {100 * least_overlap:.1f} %",
            remedy="Leave --precision out, or say with --min-overlap how few will do",
        )
    return best[0], PrecisionReport(tuple(trials), best[1].name, len(names), k)


def _networks(
    graph: bytes, precision: str, pixels: NDArray[np.float32]
) -> Iterator[tuple[str, bytes]]:
    """Yield the networks to try, by name."""
    if precision == "float16":
        yield precision, halved(graph)
        return
    for kept, nodes in left_in_float(graph).items():
        yield ("int8" if kept == "none" else f"int8 but {kept}"), quantized(graph, pixels, nodes)


def _better(trial: Trial, best: Trial) -> bool:
    if trial.overlap >= WANTED_OVERLAP <= best.overlap:
        return trial.speed > best.speed
    return trial.overlap > best.overlap


def _embedded(
    embedder: Embedder, photos: Sequence[bytes], tell: Callable[[int], None]
) -> dict[bytes, NDArray[np.float32]]:
    found: dict[bytes, NDArray[np.float32]] = {}
    for n, (path, vector) in enumerate(embedder.embed_files(photos)):
        if not isinstance(vector, Skipped):
            found[path] = vector
        tell(n + 1)
    return found


def _neighbours(vectors: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the k nearest other rows of each row, (n, k)."""
    rows = np.arange(len(vectors))
    return np.stack(
        [
            search.nearest(search.distances_to(vectors[n], vectors[rows != n]), rows[rows != n], k)[
                0
            ]
            for n in rows
        ]
    )


def _precision(near: NDArray[np.int64], labels: NDArray[np.object_]) -> float | None:
    labelled = np.flatnonzero([label is not None for label in labels])
    if not len(labelled):
        return None
    return float(np.mean(labels[near[labelled]] == labels[labelled, None]))
