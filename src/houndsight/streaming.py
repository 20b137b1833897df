"""Decoding and inference beside each other, a bounded number of photos ahead of whoever asks."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import chain, islice
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
# So many batches are handed on as one where none of their photos has pixels: photos that are known
# already are looked at by the thousand, and each commit takes as long as ten of them.
KNOWN = 16
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
    another: two of them do a tenth more than one network spread over both. A few photos are decoded
    by all threads and computed by one run on all of them, which is sooner. A GPU does one large
    batch after the other, which threads have decoded.

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
        pixels: at most 8 with a vector on a CPU, 64 on a GPU, or what ``HOUNDSIGHT_BATCH`` says.
    """
    on_gpu = runtime.device in GPUS
    full = given("HOUNDSIGHT_BATCH") or max(1, round((GPU_BATCH if on_gpu else BATCH) * room))
    threads = available_cpus()
    source = iter(sources)
    if on_gpu:
        yield from _laden(_together(runtime, vectors, source, prepare, full, threads), full)
        return
    first = list(islice(source, max(BATCH, full * threads)))
    if len(first) < BATCH:
        yield from _together(runtime, vectors, iter(first), prepare, full, threads)
        return

    network = runtime.single()
    piece = min(full, max(1, round(PIECE * room)))

    def done(chunk: list[S]) -> Embedded[P]:
        return [
            one
            for some in _chunks(iter(chunk), piece)
            for one in _embedded([prepare(one) for one in some], partial(vectors, network))
        ]

    # Where there are not enough to fill a batch for each thread they are shared out.
    share = min(full, -(-len(first) // threads))
    chunks = chain(_chunks(iter(first), share), _chunks(source, full))
    # One more than there are threads: these go on while whoever takes a batch stores it.
    yield from _laden(ahead(done, chunks, threads=threads, depth=threads + 1), full)


def _together(
    runtime: Runtime,
    vectors: Callable[[Runtime, NDArray[np.float32]], NDArray[np.float32]],
    sources: Iterator[S],
    prepare: Callable[[S], P],
    full: int,
    threads: int,
) -> Generator[Embedded[P]]:
    """Decode on all threads, and compute batch after batch by one run on all that there is."""
    prepared = ahead(prepare, sources, threads=threads, depth=2 * full + threads)
    done = partial(_embedded, run=partial(vectors, runtime))
    yield from ahead(done, _chunks(prepared, full), threads=1, depth=2)


def _laden(batches: Generator[Embedded[P]], full: int) -> Generator[Embedded[P]]:
    """Put batches without a vector to the next that has one."""
    held: Embedded[P] = []
    with closing(batches):
        for batch in batches:
            held += batch
            if len(held) >= KNOWN * full or any(vector is not None for _, vector in batch):
                yield held
                held = []
    if held:
        yield held


def _chunks(sources: Iterator[S], size: int) -> Iterator[list[S]]:
    while chunk := list(islice(sources, size)):
        yield chunk


def _embedded(
    prepared: list[P], run: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> Embedded[P]:
    pixels = [one.pixels for one in prepared if one.pixels is not None]
    found = iter(run(np.stack(pixels)) if pixels else ())
    return [(one, None if one.pixels is None else next(found)) for one in prepared]
