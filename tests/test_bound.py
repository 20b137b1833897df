"""Search through the lower bound held against brute force, also where pruning does not help."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from houndsight import bound
from houndsight.bound import Level, Reduction, approximate, candidates, columns, fit
from houndsight.search import distances_to, nearest


def oracle(query, x, rows, k):
    """Plain float64 differences, no shared code: the k nearest by distance, then by row."""
    exact = np.sqrt(((x[rows].astype(np.float64) - query.astype(np.float64)) ** 2).sum(axis=1))
    return rows[np.lexsort((rows, exact))[:k]]


def levels_of(x, basis=None, split=None):
    """The levels of rows, the last of them as if they had come later."""
    split = len(x) if split is None else split
    basis = basis or fit(x)
    made = [Reduction(basis, n) for n in columns(x.shape[1])]
    return [Level(one, one(x[:split]), one(x[split:])) for one in made]


def numbers(exponent):
    edge = float(np.float32(10.0**exponent))
    return st.floats(-edge, edge, width=32, allow_subnormal=True)


@st.composite
def problems(draw):
    """Few vectors of 64 or 256 numbers: copies, one direction only, far outliers, tiny and huge."""
    dim = draw(st.sampled_from([64, 256]))
    m, n, rank = draw(st.integers(1, 60)), draw(st.integers(1, 10)), draw(st.integers(0, 6))
    element = numbers(draw(st.sampled_from([-20, -8, 0, 2, 9, 17])))
    weights = draw(arrays(np.float32, (m + n, rank), elements=element))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    noise = draw(st.sampled_from([0.0, 1e-6, 1.0]))
    with np.errstate(over="ignore"):
        both = weights @ rng.standard_normal((rank, dim)).astype(np.float32)
        both += (noise * np.abs(both).max(initial=1e-9)) * rng.standard_normal(both.shape)
    both = np.nan_to_num(both.astype(np.float32), posinf=1e30, neginf=-1e30)
    x, q = both[:m], both[m:]
    for target in draw(st.lists(st.integers(0, m - 1), max_size=8)):
        x[target] = x[draw(st.integers(0, m - 1))]
    if draw(st.booleans()):
        q[0] = x[draw(st.integers(0, m - 1))]
    rows = None
    if draw(st.booleans()):
        rows = np.array(sorted(draw(st.sets(st.integers(0, m - 1), min_size=1))))
    return q, x, draw(st.integers(1, m + 2)), rows, draw(st.integers(0, m))


@pytest.fixture(scope="module", autouse=True)
def always_tried():
    """Small problems, and ones where the bound rules out little, go through it all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bound, "FULL", 0)
        patch.setattr(bound, "FIRST", 2)
        patch.setattr(bound, "PICKED", 2)
        yield


@settings(max_examples=600, deadline=None)
@given(problems(), st.booleans())
def test_the_k_nearest_are_among_the_candidates(problem, foreign):
    q, x, k, rows, split = problem
    # Axes fitted on other rows are as right as any: only slower.
    basis = fit(np.random.default_rng(0).standard_normal((9, x.shape[1])).astype(np.float32))
    levels = levels_of(x, basis if foreign else None, split)
    among = np.arange(len(x)) if rows is None else rows
    for some in (q, q[:1]):  # many queries take the finest level alone
        for query, found in zip(some, candidates(some, x, levels, k, rows), strict=True):
            wanted = oracle(query, x, among, k)
            if found is not None:
                assert set(wanted) <= set(found.tolist())
                got, _ = nearest(distances_to(query, x[found]), found, k)
                assert got.tolist() == wanted.tolist()


@settings(max_examples=300, deadline=None)
@given(problems())
def test_no_row_is_nearer_than_its_bound(problem):
    q, x, *_ = problem
    levels = levels_of(x)
    if not levels:
        return
    p, squares = levels[-1].reduction.projected(q)  # once for all levels
    for level in levels:
        short = level.reduction.query(p, squares)
        with np.errstate(over="ignore", invalid="ignore"):
            scores = level.scores(short, None).astype(np.float64)
        for query, row, square in zip(q, scores, squares, strict=True):
            if 1e-30 < square < 1e30:
                exact = ((x.astype(np.float64) - query.astype(np.float64)) ** 2).sum(axis=1)
                off = 2 * level.reduction.slack + level.reduction.loss
                least = (1 - off) * square - 2 * row
                assert not (least > exact * (1 + 1e-12)).any()


def test_levels_have_a_sixteenth_and_a_sixth_of_the_numbers_in_eights():
    found = [columns(dim) for dim in (47, 48, 127, 128, 2048)]
    assert found == [(), (8,), (16,), (8, 16), (128, 336)]


def test_many_queries_are_held_against_the_finest_level_alone():
    class Unasked(Level):
        def scores(self, queries, rows):
            raise AssertionError

    x = np.random.default_rng(0).standard_normal((40, 256)).astype(np.float32)
    coarse, fine = levels_of(x)
    unasked = Unasked(coarse.reduction, coarse.stored, coarse.recent)
    for found in candidates(x[:8], x, [unasked, fine], 3):
        assert found is not None
    with pytest.raises(AssertionError):
        next(candidates(x[:7], x, [unasked, fine], 3))


@pytest.mark.parametrize("dim", [48, 2048])
def test_the_margin_of_distances_is_what_rounding_can_do_and_hardly_more(dim):
    """Each difference and each square is rounded once, and a sum of n terms n - 1 times."""
    near = bound._Near(np.zeros(dim, np.float32), np.zeros((1, dim), np.float32), 1)
    assert (dim + 2) * 2.0**-24 <= near.slack <= (dim + 10) * 2.0**-24


@pytest.mark.parametrize(("dim", "columns"), [(48, 8), (2048, 16), (2048, 128), (2048, 336)])
def test_the_margin_of_short_rows_is_twice_what_was_derived_and_hardly_more(dim, columns):
    """The terms are those of `Reduction`: of the product, of r**2, and of p and r in float32."""
    u = 2.0**-24
    product = columns * u / (1 - columns * u)
    residual = math.sqrt((2 * math.sqrt(columns) + 4) * dim * 2.0**-53)
    derived = product + residual + 2 * u
    slack = Reduction(fit(np.eye(2, dim, dtype=np.float32)), columns).slack
    assert 2 * derived <= slack <= 2 * derived + 17 * u


@pytest.mark.parametrize(("dim", "columns"), [(48, 8), (200, 32), (2048, 128), (2048, 336)])
def test_a_query_is_projected_as_exactly_as_was_derived(dim, columns):
    """In pieces of float32, of which those below have the worst signs and sizes."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((400, dim)).astype(np.float32)
    basis = fit(x)
    reduction = Reduction(basis, columns)
    u, n = 2.0**-24, columns - 2
    derived = (bound.PIECE + 4) * u * math.sqrt(n)
    assert derived < reduction.loss < 1.1 * derived
    axes = basis.axes[:, :n]
    hard = np.abs(axes.T[:20]) * (1 + rng.random((min(n, 20), dim)))
    queries = np.concatenate([x[:50], 1e8 * x[:5], 1e-9 * x[:5], hard, np.abs(x[:20]) + 30])
    queries = (queries + basis.centre).astype(np.float32)
    p, squares = reduction.projected(queries)
    b = queries.astype(np.float64) - basis.centre
    assert np.array_equal(squares, np.vecdot(b, b))
    off = np.linalg.norm(p - b @ axes, axis=1)
    assert (off <= derived * np.sqrt(squares)).all()
    assert off.max() > 0
    one = np.concatenate([reduction.projected(query[None])[0] for query in queries])
    assert np.allclose(one, p, rtol=0, atol=2 * derived * np.sqrt(squares).max())
    short = reduction.query(p, squares)
    # What is left over is no less than it is, and each row may lack half the loss.
    r = np.sqrt(np.maximum(squares - np.vecdot(b @ axes, b @ axes), 0))
    assert (short[:, -2] >= r * (1 - 2 * u)).all()
    lacks = (1 - short[:, -1].astype(np.float64)) * (0.5 - reduction.slack)
    assert (lacks >= reduction.loss / 2).all()


def test_few_rows_are_looked_at_in_full_where_vectors_have_a_structure(monkeypatch):
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((40, 256))
    x = centres[rng.integers(40, size=5000)] + 0.3 * rng.standard_normal((5000, 256))
    x = x.astype(np.float32)
    monkeypatch.setattr(bound, "FULL", 12)
    looked_at = []
    look_at = bound._Near.look_at

    def counted(self, rows):
        looked_at.append(len(rows))
        look_at(self, rows)

    monkeypatch.setattr(bound._Near, "look_at", counted)
    (found,) = candidates(x[:1], x, levels_of(x), 20)
    assert 20 <= len(found) < 40
    assert sum(looked_at) < 500


def test_where_nothing_can_be_ruled_out_it_says_so(monkeypatch):
    monkeypatch.setattr(bound, "FULL", 12)
    x = np.random.default_rng(2).standard_normal((3000, 512)).astype(np.float32)
    assert list(candidates(x[:3], x, levels_of(x), 5)) == [None] * 3
    assert list(candidates(x[:1], x, levels_of(x), 2999)) == [None]


def test_numbers_that_float32_cannot_multiply_are_left_to_the_full_search():
    x = np.random.default_rng(3).standard_normal((50, 64)).astype(np.float32)
    q = np.concatenate([x[:1] * np.float32(1e25), x.mean(axis=0, keepdims=True)])
    levels = levels_of(x)
    assert list(candidates(q[:1], x, levels, 3)) == [None]
    basis = fit(x)
    assert basis.axes.shape == (64, columns(64)[-1] - 2)
    assert np.allclose(basis.axes.T @ basis.axes, np.eye(basis.axes.shape[1]), atol=1e-12)


def test_approximate_finds_all_when_it_looks_at_all_and_says_how_few_otherwise():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((2000, 256)).astype(np.float32)
    levels = levels_of(x, split=1500)
    for query, found in zip(x[:5], approximate(x[:5], x, levels, 10, 2000), strict=True):
        assert set(oracle(query, x, np.arange(2000), 10)) <= set(found.tolist())
    for rows in (None, np.arange(0, 2000, 3)):
        for found in approximate(x[:5], x, levels, 10, 50, rows):
            assert 10 <= len(found) < 20
            assert rows is None or np.isin(found, rows).all()


def test_levels_in_two_pieces_are_as_one():
    x = np.random.default_rng(5).standard_normal((100, 256)).astype(np.float32)
    basis = fit(x)
    for whole, cut in zip(levels_of(x, basis), levels_of(x, basis, 60), strict=True):
        short = whole.reduction.query(*whole.reduction.projected(x[:2]))
        for rows in (None, np.array([0, 59, 60, 99]), np.arange(60), np.arange(60, 100)):
            assert np.allclose(whole.scores(short, rows), cut.scores(short, rows), rtol=1e-5)
        more = cut.extended(np.concatenate([x, x[:7]]))
        assert len(more.recent) == 47
        assert np.array_equal(more.recent[-7:], whole.stored[:7])
