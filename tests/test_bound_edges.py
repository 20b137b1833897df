"""Where the lower bound is hard to get right: poor bounds, ties, tiny and far; and what it costs.

Results are held against the oracle of test_bound.
"""

import numpy as np
import pytest

from houndsight import bound
from houndsight.bound import approximate, candidates, fit
from houndsight.search import distances_to, nearest
from test_bound import levels_of, oracle


@pytest.fixture
def always_tried(monkeypatch):
    """Small problems, and ones where the bound rules out little, go through it all the same."""
    for name, value in {"FULL": 0, "FIRST": 2, "PICKED": 2}.items():
        monkeypatch.setattr(bound, name, value)


def check(queries, x, levels, k, among, each):
    """Hold what was found against the oracle; return for how many queries something was."""
    count = 0
    for query, found in zip(queries, each, strict=True):
        if found is not None:
            wanted = oracle(query, x, among, k)
            assert set(wanted) <= set(found.tolist())
            got, _ = nearest(distances_to(query, x[found]), found, k)
            assert got.tolist() == wanted.tolist()
            count += 1
    return count


def structured(rng, m, dim):
    """Rows near one of 40 centres."""
    centres = rng.standard_normal((40, dim))
    x = centres[rng.integers(40, size=m)] + 0.2 * rng.standard_normal((m, dim))
    return x.astype(np.float32)


class Counted(np.ndarray):
    """Rows that count how many of them are looked at."""

    def take(self, rows, axis=None, **options):
        self.looked_at = getattr(self, "looked_at", 0) + len(rows)
        return np.asarray(self).take(rows, axis=axis, **options)

    def __getitem__(self, key):
        found = np.asarray(self)[key]
        if not isinstance(key, tuple):  # else numbers of rows, which are asked for ahead
            self.looked_at = getattr(self, "looked_at", 0) + len(found)
        return found


@pytest.mark.parametrize("dim", [64, 256])
@pytest.mark.parametrize("reach", [0.0, 0.1, 1.0, 3.0])
def test_rows_that_short_vectors_say_little_of(always_tried, dim, reach):
    """The bound is poor for noise: what is nearest is not among the first that are looked at."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((400, dim)).astype(np.float32)
    levels = levels_of(x, split=300)
    q = (x.mean(axis=0) + reach * rng.standard_normal((12, dim))).astype(np.float32)
    some = np.arange(0, 400, 3)
    for k in (1, 2, 5):
        for queries in (q, q[:3]):
            for rows, among in ((None, np.arange(400)), (some, some)):
                each = candidates(queries, x, levels, k, rows)
                assert check(queries, x, levels, k, among, each) == len(queries)


@pytest.mark.parametrize("near", [1e-22, 1e-21, 1e-20])
def test_distances_whose_squares_float32_hardly_holds(always_tried, near):
    rng = np.random.default_rng(7)
    x = near * rng.standard_normal((200, 64))
    x[:, 0] = np.sign(rng.standard_normal(200))
    x = x.astype(np.float32)
    levels = levels_of(x)
    for k in (1, 3, 10):
        for queries in (x[:10], x[:2]):
            each = candidates(queries, x, levels, k)
            assert check(queries, x, levels, k, np.arange(200), each) == len(queries)


def test_rows_that_are_as_far_as_each_other_but_for_rounding(always_tried):
    rng = np.random.default_rng(8)
    q = rng.standard_normal((10, 64)).astype(np.float32)
    directions = rng.standard_normal((300, 64))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for query in q:
        x = (query + directions).astype(np.float32)
        levels = levels_of(x)
        for k in (1, 5, 20):
            each = candidates(query[None], x, levels, k)
            assert check(query[None], x, levels, k, np.arange(300), each) == 1


def test_rows_so_far_that_float32_cannot_hold_the_square(always_tried):
    rng = np.random.default_rng(9)
    x = rng.standard_normal((60, 64)).astype(np.float32)
    levels = levels_of(x)
    far = x.copy()
    far[5:] *= np.float32(1e20)
    levels = levels_of(far, basis=levels[0].reduction.basis)
    for k in (3, 5, 8):
        for queries in (x[:10], x[:2]):
            check(queries, far, levels, k, np.arange(60), candidates(queries, far, levels, k))


@pytest.mark.parametrize(("scale", "offset"), [(1e-3, 0), (1.0, 0), (1.0, 300), (1e3, 0)])
@pytest.mark.parametrize("dim", [64, 256])
def test_every_query_is_helped_where_vectors_have_a_structure(monkeypatch, dim, scale, offset):
    x = structured(np.random.default_rng(1), 5000, dim) * np.float32(scale) + np.float32(offset)
    levels = levels_of(x, split=4000)
    for scores in (1, 1 << 24):
        monkeypatch.setattr(bound, "SCORES", scores)
        for n in (1, 7, 8, 9, 40):
            counted = x.view(Counted)
            found = list(candidates(x[:n], counted, levels, 20))
            assert check(x[:n], x, levels, 20, np.arange(5000), found) == n
            assert all(20 <= len(one) < 30 for one in found)
            assert counted.looked_at < 400 * n


def test_no_more_queries_are_tried_where_the_first_were_not_helped(monkeypatch):
    x = np.random.default_rng(2).standard_normal((3000, 512)).astype(np.float32)
    levels = levels_of(x)
    looked_at = set()
    for scores in (1, 30_000, 1 << 24):
        monkeypatch.setattr(bound, "SCORES", scores)
        for n in (8, 9, 50):
            counted = x.view(Counted)
            assert list(candidates(x[:n], counted, levels, 5)) == [None] * n
            looked_at.add(counted.looked_at)
    assert len(looked_at) == 1


@pytest.mark.parametrize("dim", [64, 256])
@pytest.mark.parametrize("rows", [None, np.arange(0, 2000, 3)])
def test_approximate_looks_at_what_the_finest_level_thinks_nearest(dim, rows):
    """Of 16 times as many as in full that the coarsest level thinks nearest."""
    x = np.random.default_rng(11).standard_normal((2000, dim)).astype(np.float32)
    levels = levels_of(x, split=1500)
    among = np.arange(2000) if rows is None else rows
    for looked_at, k in ((1, 1), (5, 10), (30, 10), (100, 10)):
        counted = x.view(Counted)
        for query, found in zip(
            x[:9], approximate(x[:9], counted, levels, k, looked_at, rows), strict=True
        ):
            left = among
            for level, many in zip(levels[::-1][:2][::-1], (16, 1)[-len(levels) :], strict=True):
                short = level.reduction.query(*levels[-1].reduction.projected(query[None]))
                scores = level.scores(short, None)[0][left]
                left = left[np.argsort(-scores, kind="stable")[: many * looked_at]]
            least = min(k, looked_at)
            wanted = distances_to(query, x[oracle(query, x, left, least)])
            got = distances_to(query, x[oracle(query, x, found, least)])
            assert (got <= wanted).all()
        # "Some more": the coarse way of finding the greatest scores takes them along.
        assert counted.looked_at <= 9 * max(1.5 * looked_at, looked_at + 2)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_axes_are_those_of_most_variance(scale):
    rng = np.random.default_rng(12)
    x = (scale * rng.standard_normal((300, 64)) * np.linspace(3, 0.1, 64)).astype(np.float32)
    basis = fit(x)
    centred = x.astype(np.float64) - x.astype(np.float64).mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    kept = basis.axes.shape[1]
    assert np.allclose(np.abs(axes[:kept] @ basis.axes), np.eye(kept), atol=1e-6)
    left_over = (singular[kept:] ** 2).sum() / (singular**2).sum()
    assert basis.left_over == pytest.approx(left_over, rel=1e-6)
    same = fit(np.ones((5, 64), np.float32))
    assert same.left_over == 0
    assert not (same.centre - 1).any()


@pytest.mark.parametrize("dim", [48, 256, 2048])
def test_the_margin_is_no_less_than_was_derived(dim):
    """For the product of n columns, for p and r as float32, and for r, a difference."""
    unit, rng = 2.0**-24, np.random.default_rng(13)
    for level in levels_of(rng.standard_normal((20, dim)).astype(np.float32)):
        n = level.reduction.dim
        product = n * unit / (1 - n * unit)
        difference = np.sqrt((2 * np.sqrt(n) + 4) * dim * 2.0**-53)
        assert level.reduction.slack >= product + 2 * unit + difference


def test_a_level_that_was_extended_is_as_one_made_of_all_rows():
    x = np.random.default_rng(5).standard_normal((100, 256)).astype(np.float32)
    for whole, cut in zip(levels_of(x), levels_of(x, split=60), strict=True):
        short = whole.reduction.query(*whole.reduction.projected(x[:2]))
        more = cut.extended(np.concatenate([x, x[:7]]))
        again = more.scores(short, np.arange(107))
        expected = cut.scores(short, None)
        assert np.allclose(again[:, :100], expected, rtol=1e-5, atol=1e-5)
        assert np.allclose(again[:, 100:], expected[:, :7], rtol=1e-5, atol=1e-5)
        assert len(more.extended(np.concatenate([x, x[:9]])).recent) == 49
