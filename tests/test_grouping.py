"""Groups by small distances, against brute force; and that memory does not grow with pairs."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from houndsight import grouping
from houndsight.grouping import grouped
from houndsight.search import distances


def reader(x):
    return lambda rows: np.asarray(x[rows], np.float32)


def brute_force(x, within):
    near = distances(x, x) <= within
    of = np.arange(len(x))
    for _ in range(len(x)):
        of = np.array([of[row].min() for row in near])
    return of


@st.composite
def vectors(draw):
    """Vectors on a coarse lattice, so that many distances are equal, some of them to `within`."""
    n, dim = draw(st.integers(1, 40)), draw(st.integers(1, 6))
    seed = draw(st.integers(0, 2**32 - 1))
    steps = draw(st.integers(1, 4))
    x = np.random.default_rng(seed).integers(-steps, steps + 1, (n, dim)) / 16
    return x.astype(np.float32)


@settings(deadline=None)
@given(vectors(), st.integers(0, 16).map(lambda n: n / 32))
def test_groups_are_the_connected_components(x, within):
    with pytest.MonkeyPatch.context() as patch:  # so small that a few vectors fill many blocks
        for name, value in {"TALL": 5, "WIDE": 7, "PAIRS": 3, "MANY": 4, "WIDTH": 3}.items():
            patch.setattr(grouping, name, value)
        assert np.array_equal(grouped(len(x), reader(x), within), brute_force(x, within))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0, 2.1))
def test_directions_in_many_dimensions(seed, within):
    rng = np.random.default_rng(seed)
    x = np.abs(rng.normal(size=(rng.integers(2, 60), 300)))
    x[len(x) // 2 :] = x[: len(x) - len(x) // 2] + rng.choice([0, 1e-3, 0.1, 0.5]) * np.abs(
        rng.normal(size=(len(x) - len(x) // 2, 300))
    )
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    assert np.array_equal(grouped(len(x), reader(x), within), brute_force(x, within))


def test_a_chain_hangs_together_however_it_is_ordered():
    angles = np.random.default_rng(0).permutation(np.arange(1500)) * 4e-4
    x = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    assert set(grouped(1500, reader(x), 4.1e-4).tolist()) == {0}
    assert len(set(grouped(1500, reader(x), 3.9e-4).tolist())) == 1500


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_to_compare(n):
    assert grouped(n, reader(np.ones((n, 4))), 1.0).tolist() == list(range(n))


def test_vectors_of_zeros_are_equal():
    x = np.array([[0, 0], [1, 0], [0, 0]])
    assert grouped(3, reader(x), 0.0).tolist() == [0, 1, 0]


def test_progress_goes_to_the_end():
    seen = []
    x = np.eye(3)
    grouped(3, reader(x), 0.5, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 1)]


@pytest.mark.parametrize("kind", ["apart", "alike"])
def test_memory_does_not_grow_with_pairs(kind):
    n, dim = 12_000, 32
    x = np.random.default_rng(0).normal(size=(n, dim)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    if kind == "alike":
        x[:] = x[0]
    tracemalloc.start()
    of = grouped(n, reader(x), 0.2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 250e6  # all distances would be 576 MB as float32
    assert len(np.unique(of)) == (1 if kind == "alike" else n)
