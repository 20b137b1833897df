"""Figures held against cases worked by hand, plain definitions and scikit-learn."""

import tracemalloc
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import (
    average_precision_score,
    ndcg_score,
    roc_auc_score,
)

from houndsight import metrics
from houndsight.errors import InputError
from houndsight.metrics import (
    auroc,
    average_precision,
    bootstrap,
    calibration_curve,
    expected_calibration_error,
    map_at_r,
    ndcg_at,
    paired,
    precision_at,
    r_precision,
    recall_at,
    retrieved_at,
    wilson,
)


def ranking(*rows):
    """Rows of "x" (a hit) and "." (none) as hits."""
    return np.array([[mark == "x" for mark in row] for row in rows])


# Five queries:                 ranks   1 2 3 4 5 6   relevant  neighbours
HITS = ranking("x.x..x",  # hits at      1 . 3 . . 6      4          6
               ".x....",  # hit at       . 2 . . . .      1          3
               "......",  # nothing      . . . . . .      2          6
               "......",  # its label is in no item       0          6
               "......")  # no neighbours at all          0          0  # fmt: skip
RELEVANT = np.array([4, 1, 2, 0, 0])
COUNTS = np.array([6, 3, 6, 6, 0])


# Figures of a ranking, worked by hand


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (1, [1, 0, 0, 0, 0]),
        (2, [1 / 2, 1 / 2, 0, 0, 0]),
        (3, [2 / 3, 1 / 3, 0, 0, 0]),
        (5, [2 / 5, 1 / 3, 0, 0, 0]),  # the second query has 3 neighbours: over 3, not 5
        (6, [3 / 6, 1 / 3, 0, 0, 0]),
        (20, [3 / 6, 1 / 3, 0, 0, 0]),
    ],
)
def test_precision_by_hand(k, expected):
    assert precision_at(HITS, k, COUNTS) == pytest.approx(expected)


@pytest.mark.parametrize(("k", "expected"), [(1, [1, 0, 0, 0, 0]), (2, [1, 1, 0, 0, 0])])
def test_recall_by_hand(k, expected):
    assert recall_at(HITS, k).tolist() == [bool(one) for one in expected]
    assert recall_at(HITS, k).dtype == np.bool_


@pytest.mark.parametrize(
    ("k", "expected"),
    [(1, [1 / 4, 0, 0, 0, 0]), (3, [2 / 4, 1, 0, 0, 0]), (20, [3 / 4, 1, 0, 0, 0])],
)
def test_retrieved_by_hand(k, expected):
    assert retrieved_at(HITS, k, RELEVANT) == pytest.approx(expected)


def test_average_precision_by_hand():
    # Precision at the hits of the first query: 1/1, 2/3, 3/6; its fourth relevant item adds 0.
    first = (1 + 2 / 3 + 3 / 6 + 0) / 4
    assert average_precision(HITS, RELEVANT) == pytest.approx([first, 1 / 2, 0, 0, 0])


def test_map_at_r_by_hand():
    # The first query has R = 4: hits at 1 and 3 count, the one at 6 does not. The second has R = 1,
    # and its hit is at 2.
    assert map_at_r(HITS, RELEVANT) == pytest.approx([(1 + 2 / 3) / 4, 0, 0, 0, 0])
    # R = 10. Right are the first: 1/10; first and last: (1 + 2/10)/10; first two: (1 + 1)/10; all.
    ten = ranking("x.........", "x........x", "xx........", "xxxxxxxxxx")
    assert map_at_r(ten, [10] * 4) == pytest.approx([0.1, 0.12, 0.2, 1])
    assert r_precision(ten, [10] * 4) == pytest.approx([0.1, 0.2, 0.2, 1])


def test_r_precision_by_hand():
    assert r_precision(HITS, RELEVANT) == pytest.approx([2 / 4, 0, 0, 0, 0])


def test_ndcg_by_hand():
    # 1/log2(2) = 1, 1/log2(3) = 0.63093, 1/log2(4) = 0.5, 1/log2(5) = 0.43068, 1/log2(7) = 0.35621.
    # k = 3: the first query has hits at 1 and 3 of at most three; the second at 2 of at most one.
    at_3 = [1.5 / 2.13093, 0.63093 / 1, 0, 0, 0]
    at_6 = [(1 + 0.5 + 0.35621) / (1 + 0.63093 + 0.5 + 0.43068), 0.63093, 0, 0, 0]
    assert ndcg_at(HITS, 3, RELEVANT) == pytest.approx(at_3, abs=1e-5)
    assert ndcg_at(HITS, 6, RELEVANT) == pytest.approx(at_6, abs=1e-5)
    assert ndcg_at(HITS, 99, RELEVANT) == pytest.approx(at_6, abs=1e-5)


def test_one_of_ten_relevant_is_no_perfect_ranking():
    # The sum of 1/log2(1 + r) over ten ranks is 4.54356.
    one = ranking("x.........")
    assert ndcg_at(one, 10, [10]) == pytest.approx(1 / 4.54356, abs=1e-5)
    assert retrieved_at(one, 10, [10]) == pytest.approx(0.1)
    assert average_precision(one, [10]) == pytest.approx(0.1)


@pytest.mark.parametrize("r", [1, 3, 7, 49, 1000])
def test_a_perfect_ranking_scores_exactly_one(r):
    hits = np.arange(1200)[None] < r
    for figure in (average_precision, map_at_r, r_precision):
        assert figure(hits, [r]).tolist() == [1.0]
    assert ndcg_at(hits, 1200, [r]).tolist() == [1.0]


def test_no_queries_and_no_neighbours():
    none = np.zeros(0, int)
    assert ndcg_at(np.zeros((0, 5), bool), 5, none).shape == (0,)
    for figure in (average_precision, map_at_r, r_precision):
        assert figure(np.zeros((0, 5), bool), none).shape == (0,)
    empty = np.zeros((2, 0), bool)
    assert precision_at(empty, 5, [0, 0]).tolist() == [0, 0]
    assert recall_at(empty, 5).tolist() == [False, False]
    assert ndcg_at(empty, 5, [3, 0]).tolist() == average_precision(empty, [3, 0]).tolist() == [0, 0]
    assert map_at_r(empty, [0, 0]).tolist() == r_precision(empty, [0, 0]).tolist() == [0, 0]


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint64])
def test_counts_may_be_of_any_kind_of_integer(kind):
    assert precision_at(HITS, 3, COUNTS.astype(kind)).tolist() == pytest.approx(
        [2 / 3, 1 / 3, 0, 0, 0]
    )


# Figures of a ranking, against other definitions


@st.composite
def rankings(draw):
    """Hits of complete rankings: every relevant item is somewhere in them."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(2, 30)))
    return draw(arrays(np.bool_, shape))


@given(rankings(), st.integers(1, 35))
def test_figures_agree_with_scikit_learn(hits, k):
    relevant = hits.sum(axis=1)
    scores = np.arange(hits.shape[1], 0, -1.0)  # by rank, so no two tie
    some = relevant > 0  # where nothing is relevant scikit-learn warns
    truth = hits[some]
    ap = [average_precision_score(row, scores) for row in truth]
    ndcg = [ndcg_score([row], [scores], k=k) for row in truth.astype(float)]
    assert average_precision(hits, relevant)[some] == pytest.approx(ap)
    assert ndcg_at(hits, k, relevant)[some] == pytest.approx(ndcg)
    for values in (average_precision(hits, relevant), ndcg_at(hits, k, relevant)):
        assert values.dtype == np.float64
        assert not values[~some].any()
        assert ((values >= 0) & (values <= 1)).all()


def plain(row, r):
    """AP, MAP@R, R-precision of one ranking, as their definitions read."""

    def precision(rank):
        return sum(row[:rank]) / rank

    if r == 0:
        return 0, 0, 0
    ranks = range(1, len(row) + 1)
    return (
        sum(precision(rank) for rank in ranks if row[rank - 1]) / r,
        sum(precision(rank) if row[rank - 1] else 0 for rank in range(1, r + 1)) / r,
        precision(r),
    )


@given(rankings(), st.data())
def test_figures_agree_with_their_plain_definitions(hits, data):
    m = hits.shape[1]
    # Some relevant items may be missing from the ranking.
    relevant = [data.draw(st.integers(sum(row), m)) for row in hits.tolist()]
    expected = [plain(row, r) for row, r in zip(hits.tolist(), relevant, strict=True)]
    got = [average_precision(hits, relevant), map_at_r(hits, relevant), r_precision(hits, relevant)]
    for values, column in zip(got, zip(*expected, strict=True), strict=True):
        assert values == pytest.approx(column)
    # At k = R, precision and recall in the sense of information retrieval are both R-precision.
    for row, r, value in zip(hits, relevant, got[2], strict=True):
        if r:
            assert precision_at(row[None], r, [m]) == retrieved_at(row[None], r, [r]) == value


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: recall_at(HITS, 0),
        lambda: retrieved_at(HITS, -1, RELEVANT),
        lambda: ndcg_at(HITS, 0, RELEVANT),
        lambda: precision_at(HITS, 0, COUNTS),
        lambda: precision_at(HITS, 3, COUNTS[:4]),
        lambda: precision_at(HITS, 3, COUNTS - 4),  # fewer neighbours than hits
        lambda: recall_at(HITS[0], 1),
        lambda: recall_at(HITS.astype(float), 1),
        lambda: average_precision(HITS, RELEVANT - 1),  # fewer relevant than hits
        lambda: average_precision(HITS, RELEVANT / 1.0),
        lambda: average_precision(HITS, RELEVANT[None]),
        lambda: map_at_r(HITS, RELEVANT + 3),  # R = 7, and only 6 ranks to look at
        lambda: r_precision(HITS, RELEVANT + 3),
    ],
)
def test_rankings_that_cannot_be_scored_are_refused(wrong):
    with pytest.raises(InputError):
        wrong()


# Answers, probabilities, scores


def test_calibration_by_hand():
    # In order: .1 no, .2 no, .3 yes | .6 yes, .7 no | .9 yes, 1. yes: bins of 3, 2 and 2.
    probability = [0.9, 0.1, 0.6, 0.3, 0.7, 1.0, 0.2]
    right = [True, False, True, True, False, True, False]
    said, was, count = calibration_curve(probability, right, bins=3)
    assert said == pytest.approx([0.2, 0.65, 0.95])
    assert was == pytest.approx([1 / 3, 1 / 2, 1])
    assert count.tolist() == [3, 2, 2]
    # 3/7 x (1/3 - 0.2) + 2/7 x 0.15 + 2/7 x 0.05
    assert expected_calibration_error(probability, right, bins=3) == pytest.approx(0.8 / 7)
    # In more bins than answers each has its own: .1 + .2 + .7 + .4 + .7 + .1 + 0.
    assert expected_calibration_error(probability, right) == pytest.approx(2.2 / 7)


@given(st.lists(st.tuples(st.sampled_from([0, 0.25, 0.5, 1.0]), st.booleans()), min_size=1))
def test_calibration_does_not_depend_on_the_order_of_answers(pairs):
    p, right = (np.array(column) for column in zip(*pairs, strict=True))
    said, was, count = calibration_curve(p, right, 4)
    assert np.ptp(count) <= 1
    assert (np.diff(said) >= -1e-12).all()
    assert said @ count == pytest.approx(p.sum())
    assert was @ count == pytest.approx(right.sum())
    for order in (np.argsort(right), np.argsort(~right)):
        assert calibration_curve(p[order], right[order], 4)[1] == pytest.approx(was)


def test_equal_probabilities_that_are_right_as_often_as_said_have_no_error():
    # Cut in the order given, the first of the two bins would hold the wrong half.
    assert expected_calibration_error(np.full(100, 0.5), np.arange(100) >= 50, bins=2) == 0


def test_calibration_of_answers_that_are_right_as_often_as_said():
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    right = rng.random(20_000) < probability
    # Chance alone: sqrt(2 / pi) of a standard error, 0.41 / sqrt(1,333) on average: 0.009.
    assert expected_calibration_error(probability, right) < 0.018
    # Answers said to be surer than they are: sqrt(p) - p is 1/6 on average.
    error = expected_calibration_error(np.sqrt(probability), right)
    assert error == pytest.approx(1 / 6, abs=0.018)


def test_there_are_fifteen_bins_unless_asked_otherwise_and_may_be_one():
    probability = np.random.default_rng(3).random(1000)
    right = np.random.default_rng(4).random(1000) < 0.5
    said, was, count = calibration_curve(probability, right)
    assert len(said) == len(was) == len(count) == 15
    error = expected_calibration_error(probability, right)
    # The definition, bin by bin: 10 of 67 and 5 of 66 answers.
    order = np.argsort(probability)
    ends = np.cumsum([0, *[67] * 10, *[66] * 5])
    gaps = [abs(probability[order[a:b]].sum() - right[order[a:b]].sum()) for a, b in pairwise(ends)]
    assert error == pytest.approx(sum(gaps) / 1000)
    whole = abs(probability.mean() - right.mean())
    assert expected_calibration_error(probability, right, bins=1) == pytest.approx(whole)


def test_auroc_by_hand():
    # Positives 0.8, 0.5; negatives 0.5, 0.1, 0.9. Pairs won: 0.8 over 0.5, 0.1; 0.5 over 0.1, and
    # half of 0.5 with 0.5: 3.5 of 6.
    scores, positive = [0.8, 0.5, 0.5, 0.1, 0.9], [True, True, False, False, False]
    assert auroc(scores, positive) == pytest.approx(3.5 / 6)
    assert auroc([1, 1, 1], [True, False, True]) == 0.5


@given(
    st.lists(st.tuples(st.integers(-5, 5) | st.floats(-5, 5, width=16), st.booleans()), min_size=2)
)
def test_auroc_agrees_with_scikit_learn(pairs):
    scores, positive = (list(column) for column in zip(*pairs, strict=True))
    if len(set(positive)) < 2:
        with pytest.raises(InputError, match="positives and negatives"):
            auroc(scores, positive)
    else:
        assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: wilson([]),
        lambda: wilson([1, 0]),
        lambda: bootstrap([], 0),
        lambda: bootstrap([0.5, np.nan], 0),
        lambda: bootstrap([[0.5]], 0),
        lambda: bootstrap(["a"], 0),
        lambda: paired([0.5], [0.5, 0.5], 0),
        lambda: calibration_curve([0.5], [1]),
        lambda: calibration_curve([0.5], [True, True]),
        lambda: calibration_curve([1.1], [True]),
        lambda: calibration_curve([-0.1], [True]),
        lambda: calibration_curve([0.5], [True], bins=0),
        lambda: auroc([0.1, np.inf], [True, False]),
        lambda: auroc([0.1, 0.2], [True]),
    ],
)
def test_numbers_that_do_not_fit_are_refused(wrong):
    with pytest.raises(InputError):
        wrong()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: wilson([]), "hits must be finite bool (1 or more,), not float64 (0,)"),
        (lambda: bootstrap([[1.0]], 0), "values must be finite float64 (1 or more,)"),
        (lambda: paired([], [], 0), "a must be finite float64 (1 or more,)"),
        (lambda: paired([0.5], [0.5, 1], 0), "b must be finite float64 (1,), not float64 (2,)"),
        (lambda: calibration_curve([], []), "probability must be"),
        (lambda: calibration_curve([0.5], [1]), "right must be finite bool (1,), not int64 (1,)"),
        (lambda: auroc([], []), "scores must be"),
        (lambda: auroc([0.5], []), "positive must be"),
        (lambda: precision_at(HITS, 1, [1]), "counts must be finite int64 (5,), not int64 (1,)"),
        (lambda: precision_at(HITS, 1, COUNTS - 4), "a query has more hits than counts says"),
        (lambda: retrieved_at(HITS, 1, [1]), "relevant must be"),
        (lambda: average_precision(HITS, [1]), "relevant must be"),
        (lambda: map_at_r(HITS, [1]), "relevant must be"),
        (lambda: ndcg_at(HITS, 1, [1]), "relevant must be"),
        (lambda: map_at_r(HITS, RELEVANT + 3), "7 items are relevant, but the ranking ends at 6"),
    ],
)
def test_what_is_refused_is_named(wrong, message):
    with pytest.raises(InputError) as error:
        wrong()
    assert message in str(error.value)


# Intervals and the paired test


def test_wilson_by_the_books():
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81/263 and 15/148, 0/20, 1/29.
    for hits, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        estimate = wilson([True] * hits + [False] * (n - hits))
        assert (round(estimate.low, 4), round(estimate.high, 4)) == (low, high)
        assert estimate.value == hits / n
    # All of n and none of n, where rounding must not push an end beyond 1 or 0, or off it.
    for n in range(1, 100):
        assert wilson([True] * n).high == 1.0
        assert wilson([False] * n).low == 0.0


def test_bootstrap_agrees_with_the_normal_interval_on_much_data():
    values = np.random.default_rng(0).random(4000)
    estimate = bootstrap(values, 0)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert estimate.value == values.mean()
    assert estimate.low == pytest.approx(values.mean() - half, abs=half / 6)
    assert estimate.high == pytest.approx(values.mean() + half, abs=half / 6)
    assert estimate == bootstrap(values, 0)
    assert estimate != bootstrap(values, 1)


@pytest.mark.parametrize("n", [1, 7, 700])
def test_bootstrap_in_blocks_is_the_bootstrap_one_resample_at_a_time(n):
    values = np.random.default_rng(n).random(n)
    rng = np.random.default_rng(5)
    means = [values[rng.integers(0, n, n)].mean() for _ in range(metrics.RESAMPLES)]
    estimate = bootstrap(values, 5)
    low, high = np.quantile(means, [0.025, 0.975])
    assert (estimate.low, estimate.high) == pytest.approx((low, high), rel=1e-12)


@pytest.mark.parametrize("block", [1, 100, 1 << 20])
def test_no_more_is_drawn_at_once_than_a_block_and_none_is_left_out(block, monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK", block)
    values = np.arange(30.0)
    parts = list(metrics._parts(metrics.FLIPS, len(values)))
    assert sum(rows for rows, _ in parts) == metrics.FLIPS
    assert max(rows * width for rows, width in parts) <= max(block, len(values))
    assert bootstrap(values, 3).high == pytest.approx(17.5, abs=0.5)  # 14.5 + 1.96 x 8.66 / √30
    assert paired(values, values[::-1], 3).p == pytest.approx(1)


# Differences of precision@5 of 15 queries: multiples of 0.2, so many sums of theirs tie.
FIFTHS = np.array([2, 1, -1, 0, 3, 1, 0, -2, 1, 4, 0, 1, 2, -1, 2]) / 5


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (FIFTHS, np.zeros(15)),
        (0.6 + FIFTHS, np.full(15, 0.6)),  # the same, and rounded
        (np.array([0.3, 0.9, 0.7, 0.4]), np.array([0.1, 0.5, 0.1, 0.6])),
        (np.random.default_rng(2).normal(0.3, 1, 12), np.zeros(12)),
        (np.ones(3), np.zeros(3)),  # p cannot be less than 2 of 8
        (np.array([True, True, False, True]), np.array([False, False, True, False])),
    ],
)
def test_paired_agrees_with_all_choices_of_signs(a, b):
    difference = a.astype(float) - b
    observed = abs(difference.sum())
    signs = np.array(list(product([-1, 1], repeat=len(difference))))
    exact = np.mean(np.abs(signs @ difference) >= observed - 1e-9)
    got = paired(a, b, seed=0)
    # 9,999 draws: four standard errors, and what the observed one adds.
    assert got.p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 9999) + 1e-4)
    assert got.difference == bootstrap(difference, 0)
    assert got == paired(a, b, seed=0)
    swapped = paired(b, a, seed=0)
    assert (swapped.p, swapped.difference.value) == (got.p, pytest.approx(-got.difference.value))


def test_paired_is_the_permutation_test_one_choice_of_signs_at_a_time():
    a, b = np.random.default_rng(6).random((2, 40))
    swaps = np.random.default_rng([7, 1]).integers(0, 2, (9999, 40), dtype=bool)
    observed, count = abs((a - b).sum()), 0
    for swap in swaps:
        count += abs(np.where(swap, b - a, a - b).sum()) >= observed - 1e-9
    assert paired(a, b, 7).p == (count + 1) / 10_000


def test_paired_is_not_misled_by_rounding():
    # Ten times 0.1 less once 1 is 0, but not in binary when added up in order.
    a = np.append(np.full(10, 0.1), -1.0)
    assert paired(a, np.zeros(11), 0).p == 1.0
    # 0.1 + 0.2 is not 0.3: every difference is rounding.
    for n in (9, 3000):
        assert paired(np.full(n, 0.1) + 0.2, np.full(n, 0.3), 0).p == 1.0
    assert paired([0, 0], [0, 0], 0).p == 1.0


def test_memory_does_not_grow_with_the_resamples():
    values = np.random.default_rng(0).random(3000)
    tracemalloc.start()
    try:
        paired(values, values[::-1], 0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32e6  # all flips at once would be 240 MB, all resamples 48 MB


def test_paired_of_equal_scores():
    scores = np.random.default_rng(0).random(50)
    got = paired(scores, scores, 0)
    assert (got.p, got.difference.value, got.difference.low, got.difference.high) == (1, 0, 0, 0)


def test_paired_rejects_as_often_as_it_says(monkeypatch):
    # Without a difference 5 % of p-values are at most 0.05: of 1,000, 50, standard deviation 7.
    monkeypatch.setattr(metrics, "FLIPS", 199)
    monkeypatch.setattr(metrics, "RESAMPLES", 2)
    rng = np.random.default_rng(0)
    p = np.array([paired(*rng.random((2, 30)), seed).p for seed in range(1000)])
    assert 29 <= np.count_nonzero(p <= 0.05) <= 71
    assert 0.45 < np.mean(p) < 0.55


def test_paired_finds_a_difference():
    rng = np.random.default_rng(0)
    base = rng.random(200)  # queries differ far more than the systems do
    better = base + rng.normal(0.02, 0.05, 200)
    got = paired(better, base, 0)
    assert got.p < 0.001
    assert 0 < got.difference.low < 0.02 < got.difference.high
    assert paired(np.ones(100), np.zeros(100), 0).p == 1 / 10_000  # the least there is


@settings(max_examples=20, deadline=None)
@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1)), st.integers(0, 99))
def test_p_values_are_within_their_range(values, seed):
    assert 1e-4 <= paired(values, values[::-1], seed).p <= 1
