"""Decoding and inference beside each other, a bounded number of photos ahead of whoever asks."""

from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from threading import Semaphore
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from houndsight.ahead import ahead
from houndsight.machine import available_cpus, given
from houndsight.runtime import GPUS, Runtime

__all__ = ["BATCH", "Prepared", "stream"]

# What is handed on together, and so committed together.
BATCH = 8
# What one thread puts through the network at once: more does not fit into a core's cache. ResNet-50
# gains a tenth by that, networks with large maps between small layers nearly a half.
PIECE = 4
# A GPU is only busy with more.
GPU_BATCH = 64


class Prepared(Protocol):
    """What a photo has become on a decoding thread; `pixels` is None where none are wanted."""

    @property
    def pixels(self) -> NDArray[np.float32] | None:
        """What the network takes, float32 (3, size, size)."""
        ...


S = TypeVar("S")
P = TypeVar("P", bound=Prepared)
# Batches of what was prepared, each with its vector (dim,) where it has pixels.
Embedded = list[tuple[P, NDArray[np.float32] | None]]


def stream(
    runtime: Runtime,
    vectors: Callable[[Runtime, NDArray[np.float32]], NDArray[np.float32]],
    sources: Iterable[S],
    prepare: Callable[[S], P],
    *,
    room: float = 1.0,
) -> Generator[Embedded[P]]:
    """Prepare sources and put them through a network, in order, on all CPUs that there are.

    Each thread decodes some photos and then computes their vectors, so that no core waits for
    another: two of them do a tenth more than one network spread over both. A few photos, less than
    a batch, are computed by all threads together, which is sooner.

    Parameters
    ----------
    runtime
        Runs the network.
    vectors
        Returns the vectors (n, dim) of pixels (n, 3, size, size) by a runtime.
    sources
        Whatever `prepare` takes; read only as far ahead as needed.
    prepare
        Called on several threads; what it raises is raised here.
    room
        What part of a usual batch a batch may have at most, where photos take more memory.

    Yields
    ------
    list
        In order, what `prepare` returned, each with its vector (dim,), or None where it has no
        pixels: 8 of them on a CPU, 64 on a GPU, or what ``HOUNDSIGHT_BATCH`` says.
    """
    on_gpu = runtime.device in GPUS
    asked = given("HOUNDSIGHT_BATCH")
    full = asked or max(1, round((GPU_BATCH if on_gpu else BATCH) * room))
    piece = full if asked or on_gpu else max(1, round(PIECE * room))
    threads = available_cpus()
    chunks = _chunks(iter(sources), full)
    first = next(chunks, [])
    if len(first) < full:
        few = list(ahead(prepare, first, threads=threads, depth=full))
        if few:
            yield _embedded(few, lambda pixels: vectors(runtime, pixels))
        return

    network = runtime.single()
    # A GPU does one after the other; what waits for it has its pixels ready.
    turn = Semaphore(1 if on_gpu else threads)

    def run(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        with turn:
            return vectors(network, pixels)

    def done(chunk: list[S]) -> Embedded[P]:
        return [
            one
            for some in _chunks(iter(chunk), piece)
            for one in _embedded([prepare(source) for source in some], run)
        ]

    def every() -> Iterator[list[S]]:
        yield first
        yield from chunks

    # One more than there are threads: these go on while whoever takes a batch stores it.
    yield from ahead(done, every(), threads=threads, depth=threads + 1)


def _chunks(sources: Iterator[S], size: int) -> Iterator[list[S]]:
    while chunk := list(islice(sources, size)):
        yield chunk


def _embedded(
    prepared: list[P], run: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> Embedded[P]:
    pixels = [one.pixels for one in prepared if one.pixels is not None]
    found = iter(run(np.stack(pixels)) if pixels else ())
    return [(one, None if one.pixels is None else next(found)) for one in prepared]
