"""Decoding and inference beside each other: order, bounds, and who computes what."""

import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

from fakes import FakeRuntime
from houndsight.streaming import BATCH, GPU_BATCH, PIECE, stream

SIZE = 32


@dataclass(frozen=True)
class Photo:
    number: int
    pixels: np.ndarray | None


def photo(number):
    return Photo(number, np.full((3, SIZE, SIZE), number, np.float32))


def vectors(runtime, pixels):
    return runtime.run(pixels, ["vector"])[0]


class Runtime(FakeRuntime):
    """Notes by how many threads it is run at once, and with how many photos."""

    def __init__(self, device="cpu", parted=None):
        super().__init__()
        self.device = device
        self.parted = parted or self
        self.lock, self.now, self.most, self.sizes = threading.Lock(), 0, 0, []

    def single(self):
        return self.parted

    def run(self, pixels, outputs):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.sizes.append(len(pixels))
        time.sleep(0.005)
        with self.lock:
            made = super().run(pixels, outputs)
            self.now -= 1
        return made


@pytest.fixture(autouse=True)
def three_cpus(monkeypatch):
    monkeypatch.setenv("HOUNDSIGHT_THREADS", "3")


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 5 * BATCH + 3])
def test_everything_comes_once_and_in_order(count):
    batches = list(stream(Runtime(), vectors, range(count), photo))
    found = [one for batch in batches for one in batch]
    assert [one.number for one, _ in found] == list(range(count))
    assert all((vector == one.number).all() for one, vector in found)
    assert all(len(batch) <= BATCH for batch in batches)


@pytest.mark.parametrize("count", [BATCH, BATCH + 1, 3 * BATCH - 1])
def test_what_does_not_fill_a_batch_for_each_thread_is_shared_out(count):
    batches = list(stream(Runtime(), vectors, range(count), photo))
    assert len(batches) == 3
    assert max(map(len, batches)) - min(map(len, batches)) <= 2


def test_many_are_computed_by_each_thread_alone():
    parted = Runtime()
    runtime = Runtime(parted=parted)
    list(stream(runtime, vectors, range(6 * BATCH), photo))
    assert (runtime.runs, parted.most) == (0, 3)
    assert set(parted.sizes) == {PIECE}


def test_a_few_are_computed_by_all_threads_together():
    runtime = Runtime(parted=Runtime())
    list(stream(runtime, vectors, range(BATCH - 1), photo))
    assert (runtime.sizes, runtime.parted.runs) == ([BATCH - 1], 0)


def test_a_gpu_does_large_batches_one_after_the_other_and_threads_decode():
    runtime, decoding, lock = Runtime("cuda"), set(), threading.Lock()

    def decoded(number):
        with lock:
            decoding.add(threading.get_ident())
        time.sleep(0.001)
        return photo(number)

    list(stream(runtime, vectors, range(4 * GPU_BATCH), decoded))
    assert (runtime.most, runtime.sizes) == (1, [GPU_BATCH] * 4)
    assert len(decoding) == 3


def test_a_batch_can_be_set_and_shrinks_where_photos_are_larger(monkeypatch):
    runtime = Runtime()
    list(stream(runtime, vectors, range(16), photo, room=0.25))
    assert set(runtime.sizes) == {1}
    alone = Runtime(parted=Runtime())
    list(stream(alone, vectors, range(1), photo, room=0.1))
    assert (alone.sizes, alone.parted.runs) == ([1], 0)  # a query, whatever its size
    monkeypatch.setenv("HOUNDSIGHT_BATCH", "5")
    runtime = Runtime()
    assert [len(batch) for batch in stream(runtime, vectors, range(17), photo)] == [5, 5, 5, 2]
    assert sorted(runtime.sizes) == [1, 1, 1, 2, 4, 4, 4]  # at once not more than usual


def test_what_has_no_pixels_has_no_vector():
    def some(number):
        return photo(number) if number % 3 else Photo(number, None)

    found = [one for batch in stream(Runtime(), vectors, range(40), some) for one in batch]
    assert [one.number for one, vector in found if vector is None] == list(range(0, 40, 3))
    assert all(vector is None or (vector == one.number).all() for one, vector in found)
    nothing = stream(Runtime(), vectors, range(40), lambda number: Photo(number, None))
    assert sum(map(len, nothing)) == 40


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_has_no_pixels_is_handed_on_in_large_batches(device):
    nothing = stream(Runtime(device), vectors, range(3000), lambda number: Photo(number, None))
    found = list(nothing)
    assert [one.number for batch in found for one, _ in batch] == list(range(3000))
    full = GPU_BATCH if device == "cuda" else BATCH
    assert all(16 * full <= len(batch) < 17 * full for batch in found[:-1])


def test_sources_are_read_only_as_far_ahead_as_needed():
    read = []

    def sources():
        for number in range(1000):
            read.append(number)
            yield number

    batches = stream(Runtime(), vectors, sources(), photo)
    for taken in range(1, 6):
        next(batches)
        assert len(read) <= (taken + 4) * BATCH
    batches.close()
    assert len(read) < 100


@pytest.mark.parametrize("at", [3, 50])
def test_what_prepare_raises_is_raised(at):
    def some(number):
        if number == at:
            raise ZeroDivisionError
        return photo(number)

    with pytest.raises(ZeroDivisionError):
        list(stream(Runtime(), vectors, range(at + BATCH), some))
