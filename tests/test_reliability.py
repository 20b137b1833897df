"""Calibration held against answers: by hand, and where what chance does is known."""

import numpy as np
import pytest

from fakes import fake_embedder
from houndsight import Gallery, calibrate, evaluate
from houndsight.calibration import Calibration, Curve
from houndsight.evaluation.reliability import calibrated, reliability
from houndsight.types import Item, Match
from test_gallery import DIM
from test_protocols import put, unit


def found(*neighbours):
    return [
        Match(Item(n, 1, b"", label, None, b"", 0, 0, 0, 0), distance, n)
        for n, (label, distance) in enumerate(neighbours, start=1)
    ]


def test_probabilities_are_held_against_answers_by_hand():
    line = Curve((0.0, 1.0), (1.0, 0.0))  # p = 1 - distance
    # With power and rest 1, a label's probability is the mean p of its neighbours.
    same = Calibration(2, line, 1.0, 1.0, Curve((0.0, 1.0), (0.0, 1.0)), (), (), 0.2, {})
    asked = [found(("a", 0.2), ("b", 0.6), ("a", 0.7)), found(("b", 0.5), ("b", 0.75))]
    report = calibrated(same, ["a", "a"], asked, seed=0)
    assert report.k == 2  # the third neighbour has no say
    # p 0.8 right, 0.4 wrong, 0.5 wrong, 0.25 wrong
    assert report.neighbours.answers == 4
    assert report.neighbours.error == pytest.approx((0.2 + 0.4 + 0.5 + 0.25) / 4)
    curve = [(0.25, 0, 1), (0.4, 0, 1), (0.5, 0, 1), (0.8, 1, 1)]
    assert np.array(report.neighbours.curve) == pytest.approx(np.array(curve))
    # a 0.4 right, b 0.2 wrong; b 0.375 wrong
    assert report.votes.answers == 3
    assert report.votes.error == pytest.approx((0.6 + 0.2 + 0.375) / 3)
    assert report.winners.answers == 2
    assert report.winners.error == pytest.approx((0.6 + 0.375) / 2)
    assert calibrated(same, ["a"], [[]], seed=0) is None


def test_what_chance_does_to_true_probabilities():
    rng = np.random.default_rng(0)
    p = rng.random(6000)
    one = reliability(p.tolist(), (rng.random(6000) < p).tolist(), seed=1)
    # The mean of |x| is sqrt(2 / pi) standard deviations; each bin has 400 answers.
    said = np.sort(p).reshape(15, 400).mean(axis=1)
    spread = np.sqrt(said * (1 - said) / 400)
    assert one.chance.value == pytest.approx(np.sqrt(2 / np.pi) * spread.mean(), rel=0.05)
    assert one.chance.low < one.error < one.chance.high
    wrong = reliability(p.tolist(), (rng.random(6000) < p**2).tolist(), seed=1)
    assert wrong.error == pytest.approx(1 / 6, abs=0.02)  # the mean of p - p^2
    assert wrong.error > 3 * wrong.chance.high
    certain = reliability([1.0, 1.0, 0.0], [True, True, False], seed=1)
    assert (certain.error, certain.chance.high) == (0, 0)
    assert [count for *_, count in one.curve] == [400] * 15


def test_a_calibrated_gallery_s_probabilities_are_reported(tmp_path):
    rng = np.random.default_rng(0)
    means = rng.standard_normal((10, DIM)) * (np.arange(DIM) < 12)
    numbers = np.arange(400) % 10

    def photos(n):
        return unit(
            means[numbers[:n]] + 1.2 * rng.standard_normal((n, DIM)) * (np.arange(DIM) < 12)
        )

    with Gallery.create(tmp_path / "g", fake_embedder()) as gallery:
        put(gallery, photos(400), [f"l{n}" for n in numbers])
        assert evaluate(gallery).calibration is None
        calibrate(gallery)
        report = evaluate(gallery, protocol="folds", k=3)
        one = report.calibration
        assert one.k == 20
        assert one.neighbours.answers == 400 * 20
        assert one.winners.answers == 400
        assert one.neighbours.error < 0.03
        assert one.winners.error < 0.08
        assert "fitted on this gallery's own photos" in report.notes[-1]
        assert sum(count for *_, count in one.votes.curve) == one.votes.answers
