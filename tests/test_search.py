"""Exact search held against a brute-force oracle."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from houndsight import InputError, Vectors, distances
from houndsight.errors import FingerprintMismatch
from houndsight.search import BLOCK, bounds, candidates, distances_to, nearest, within


def oracle(queries, gallery):
    """Plain Python, no shared code."""
    return [
        [sum((float(a) - float(b)) ** 2 for a, b in zip(x, q, strict=True)) ** 0.5 for x in gallery]
        for q in queries
    ]


def numbers(exponent):
    bound = float(np.float32(10.0**exponent))
    return st.floats(-bound, bound, width=32, allow_subnormal=True)


@st.composite
def problems(draw):
    dim, m, n = draw(st.integers(1, 6)), draw(st.integers(1, 40)), draw(st.integers(1, 4))
    element = numbers(draw(st.sampled_from([-20, -3, 0, 2, 15, 30])))
    x = draw(arrays(np.float32, (m, dim), elements=element))
    q = draw(arrays(np.float32, (n, dim), elements=element))
    # Copies of rows and queries that are rows make ties and distances of 0.
    for target in draw(st.lists(st.integers(0, m - 1), max_size=8)):
        x[target] = x[draw(st.integers(0, m - 1))]
    if draw(st.booleans()):
        q[0] = x[draw(st.integers(0, m - 1))]
    return q, x, draw(st.integers(1, m + 2))


@settings(max_examples=400, deadline=None)
@given(problems(), st.booleans(), st.randoms())
def test_candidates_hold_the_k_nearest_and_ties_go_by_id(problem, some, random):
    q, x, k = problem
    rows = None
    if some:
        rows = np.array(sorted(random.sample(range(len(x)), random.randint(1, len(x)))))
    norms = np.sqrt((x.astype(np.float64) ** 2).sum(axis=1))
    kept = np.arange(len(x)) if rows is None else rows
    ids = np.array(random.sample(range(1000), len(x)), np.int64)
    for query, found in zip(q, candidates(q, x, norms, k, rows), strict=True):
        exact = np.sqrt(((x[kept].astype(np.float64) - query.astype(np.float64)) ** 2).sum(axis=1))
        wanted = sorted(zip(exact.tolist(), ids[kept].tolist(), strict=True))[:k]
        chosen = kept[found]
        got_ids, got = nearest(distances(query, x[chosen])[0], ids[chosen], k)
        assert [d for d, _ in wanted] == got.tolist()
        assert [i for _, i in wanted] == got_ids.tolist()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("longer", [0.5, 1.0, 2.0])
def test_candidates_are_few_on_ordinary_data(scale, longer):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, 256)).astype(np.float32)
    x *= np.float32(scale) / np.linalg.norm(x, axis=1, keepdims=True)
    norms = np.linalg.norm(x.astype(np.float64), axis=1)
    queries = x[:20] * np.float32(longer)
    for k in (*range(1, 30), 999, 1000):
        counts = np.array([len(found) for found in candidates(queries, x, norms, k)])
        assert (counts >= k).all()
        assert (counts - k).sum() < 10  # where rows happen to tie but for rounding


@pytest.mark.parametrize("near", [1e-2, 1e-3, 1e-4, 1e-5])
def test_rows_that_a_product_cannot_tell_apart_are_all_candidates(near):
    """Where distances are below what is lost by rounding, only the margin keeps the nearest."""
    rng = np.random.default_rng(1)
    for dim in (3, 64, 512):
        centre = rng.standard_normal(dim)
        both = (centre + near * rng.standard_normal((320, dim))).astype(np.float32)
        q, x = both[:20], both[20:]
        norms = np.linalg.norm(x.astype(np.float64), axis=1)
        for query, found in zip(q, candidates(q, x, norms, 5), strict=True):
            exact = ((x.astype(np.float64) - query.astype(np.float64)) ** 2).sum(axis=1)
            assert set(np.argsort(exact, kind="stable")[:5]) <= set(found.tolist())


@pytest.mark.parametrize("dim", [1, 4, 2048, 30_000, 10_000_000])
def test_the_margin_covers_what_rounding_can_lose(dim):
    """Of a product of d terms d u / (1 - d u) |x| |q|, wherever that bound says anything."""
    x = np.ones((1, dim), np.float32)
    length = np.array([dim**0.5])
    ((squared, margin),) = bounds(x, x, length, None)
    unit = 2.0**-24
    assert margin.shape == squared.shape == (1,)
    assert margin[0] >= 2 * dim * unit / (1 - dim * unit) * dim


@settings(max_examples=200, deadline=None)
@given(problems())
def test_squared_distances_are_off_by_no_more_than_the_margin(problem):
    q, x, _ = problem
    norms = np.sqrt((x.astype(np.float64) ** 2).sum(axis=1))
    for query, (squared, margin) in zip(q, bounds(q, x, norms, None), strict=True):
        exact = distances_to(query, x) ** 2
        assert (np.abs(squared - exact) <= margin).all()


@pytest.mark.parametrize("tiny", [1e-20, 1e-21, 1e-22])
def test_rows_too_small_for_products_beside_one_that_is_not(tiny):
    x = (tiny * np.random.default_rng(3).standard_normal((120, 16))).astype(np.float32)
    x[0] = 1
    norms = np.linalg.norm(x.astype(np.float64), axis=1)
    for query, found in zip(x, candidates(x, x, norms, 5), strict=True):
        exact = distances_to(query, x)
        assert set(np.argsort(exact, kind="stable")[:5]) <= set(found.tolist())


def test_distances_of_more_rows_than_are_taken_at_once():
    x = np.random.default_rng(5).standard_normal((2 * BLOCK + 9, 3)).astype(np.float32)
    wanted = np.sqrt(((x.astype(np.float64) - x[7].astype(np.float64)) ** 2).sum(axis=1))
    assert np.array_equal(distances_to(x[7], x), wanted)


def test_no_rows_have_no_candidates():
    q, x = np.ones((3, 8), np.float32), np.empty((0, 8), np.float32)
    assert [len(found) for found in candidates(q, x, np.empty(0), 2)] == [0, 0, 0]


def test_many_queries_are_cut_into_chunks(monkeypatch):
    x = np.random.default_rng(1).standard_normal((50, 8)).astype(np.float32)
    x[::7] *= np.float32(1e25)  # what float32 cannot multiply is looked at row by row
    norms = np.linalg.norm(x.astype(np.float64), axis=1)
    small = np.flatnonzero(norms < 1e20)
    for scores, rows in product((1, 64, 200, 1 << 20), (None, small)):
        monkeypatch.setattr("houndsight.search.SCORES", scores)
        found = list(candidates(x, x, norms, 3, rows))
        assert len(found) == 50
        among = np.arange(50) if rows is None else rows
        for n in among:
            assert n in among[found[n]]


def test_large_numbers_that_are_near_each_other():
    """Their products are beyond float32, though the lengths differ by little."""
    step = np.float32(1) + np.arange(20, dtype=np.float32) * np.float32(2e-6)
    x = np.full(16, 1e19, np.float32) * step[:, None]
    norms = np.linalg.norm(x.astype(np.float64), axis=1)
    for n, found in enumerate(candidates(x, x, norms, 2)):
        assert n in found


@settings(max_examples=100, deadline=None)
@given(problems())
def test_distances_agree_with_plain_python(problem):
    q, x, _ = problem
    assert np.allclose(distances(q, x), oracle(q, x), rtol=1e-12, atol=0)


def test_distances_to_more_rows_than_are_in_memory_at_once():
    x = np.random.default_rng(4).standard_normal((5000, 3)).astype(np.float32)
    whole = np.sqrt(((x.astype(np.float64) - x[7].astype(np.float64)) ** 2).sum(axis=1))
    assert np.allclose(distances_to(x[7], x), whole, rtol=1e-14, atol=0)


def test_equal_vectors_are_at_distance_zero():
    x = np.random.default_rng(2).random((3, 2048), np.float32)
    assert distances(x, x).diagonal().tolist() == [0.0, 0.0, 0.0]


def test_one_vector_counts_as_one_query():
    assert distances([0.0, 0.0], [[3.0, 4.0], [0.0, 1.0]]).tolist() == [[5.0, 1.0]]
    assert distances(np.empty((0, 2)), [[3.0, 4.0]]).shape == (0, 1)


@pytest.mark.parametrize(
    ("queries", "gallery", "message"),
    [
        ([[1.0, 2.0]], [[1.0]], "2 dimensions, the gallery has 1"),
        ([[np.nan]], [[1.0]], "^queries hold a value that is not finite"),
        ([[1.0]], [[np.inf]], "^gallery hold a value that is not finite"),
        ([["a"]], [[1.0]], "queries must be numbers"),
        (np.zeros((1, 1, 1)), [[1.0]], r"must be \(n, dim\)"),
    ],
)
def test_bad_arrays_are_refused(queries, gallery, message):
    with pytest.raises(InputError, match=message):
        distances(queries, gallery)


def test_vectors_of_two_embedders_are_refused():
    one, other = (Vectors(np.ones((1, 2), np.float32), name) for name in "ab")
    with pytest.raises(FingerprintMismatch):
        distances(one, other)
    assert distances(one, one).tolist() == [[0.0]]


@settings(max_examples=200, deadline=None)
@given(problems())
def test_within_holds_all_that_are_no_farther_and_no_others(problem):
    q, x, k = problem
    distance = np.sort(distances_to(q[0], x))[min(k, len(x)) - 1]  # as far as one of them
    for query, rows in zip(q, within(q, x, float(distance)), strict=True):
        assert rows.tolist() == np.flatnonzero(distances_to(query, x) <= distance).tolist()
