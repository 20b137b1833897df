"""Exact search held against a brute-force oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from houndsight import InputError, Vectors, distances
from houndsight.errors import FingerprintMismatch
from houndsight.search import candidates, distances_to, nearest, within


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


def test_candidates_are_few_on_ordinary_data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5000, 256)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    norms = np.linalg.norm(x.astype(np.float64), axis=1)
    (found,) = candidates(x[:1], x, norms, 20)
    assert 20 <= len(found) < 40


def test_many_queries_are_cut_into_chunks(monkeypatch):
    monkeypatch.setattr("houndsight.search.SCORES", 64)
    x = np.random.default_rng(1).standard_normal((50, 8)).astype(np.float32)
    norms = np.linalg.norm(x.astype(np.float64), axis=1)
    found = list(candidates(x, x, norms, 3))
    assert len(found) == 50
    assert all(n in rows for n, rows in enumerate(found))


@settings(max_examples=100, deadline=None)
@given(problems())
def test_distances_agree_with_plain_python(problem):
    q, x, _ = problem
    assert np.allclose(distances(q, x), oracle(q, x), rtol=1e-12, atol=0)


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
        ([[np.nan]], [[1.0]], "queries hold a value that is not finite"),
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
