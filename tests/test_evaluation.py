"""Evaluation held against cases worked by hand, and votes with every kind of tie."""

import os

import numpy as np
import pytest

from fakes import fake_embedder
from houndsight import Gallery, InputError, Match, Query, Vectors, classify, evaluate
from houndsight.queries import Queries
from houndsight.types import Item
from test_gallery import DIM, entry


def match(label, rank):
    item = Item(rank, 1, b"", label, None, b"", 0, 0, 0, 0)
    return Match(item, float(rank), rank)


@pytest.mark.parametrize(
    ("labels", "label", "share"),
    [
        ("a", "a", 1.0),
        ("ab", "a", 0.5),  # a tie goes to whose photo is nearest
        ("ba", "b", 0.5),
        ("abb", "b", 2 / 3),
        ("cabab", "a", 0.4),  # a and b tie at two; a's nearest photo is nearer
        ("cbaab", "b", 0.4),
        ("abcabc", "a", 1 / 3),
        (["x", None, None, None], "x", 1.0),  # no label, no vote
        ([None], None, 0.0),
        ([], None, 0.0),
    ],
)
def test_vote(labels, label, share):
    vote = classify([match(name, rank) for rank, name in enumerate(labels, start=1)])
    assert (vote.label, vote.share) == (label, share)


@pytest.fixture
def line(tmp_path):
    """Items on a line, at 0 a, 1 b, 3 a, 6 b, 10 a, 15 c: every distance is plain to see."""
    with Gallery.create(tmp_path / "g", fake_embedder()) as gallery:
        root = gallery.root(os.fsencode(tmp_path), None)
        places = {"0": "a", "1": "b", "3": "a", "6": "b", "10": "a", "15": "c"}
        gallery.add(root, [entry(at, at_place(at), label) for at, label in places.items()])
        yield gallery


def at_place(at):
    vector = np.zeros(DIM)
    vector[0] = float(at)
    return vector


def test_leave_one_out_by_hand(line):
    report = evaluate(line, k=2, samples="all", near=False)
    # place: its two nearest others          right   first right  vote
    # 0 a: 1 b, 3 a                           1/2     no           b (tie, b is nearer)
    # 1 b: 0 a, 3 a                           0       no           a
    # 3 a: 1 b, 0 a  (6 b is as far as 0 a)   by id   no           by id
    # 6 b: 3 a, 10 a                          0       no           a
    # 10 a: 6 b, 15 c                         0       no           b
    # 15 c: 10 a, 6 b                         0       no           a
    ids = {item.path: item.id for item in line.items()}
    third = 0.5 if ids[b"0"] < ids[b"6"] else 0.0
    assert report.precision_at_k.value == pytest.approx((0.5 + third) / 6)
    assert report.recall_at_1.value == 0
    assert report.recall_at_5.value == pytest.approx(5 / 6)  # all but c, whose label is alone
    assert report.vote_accuracy.value == 0
    assert (report.n_queries, report.n_gallery, report.left_out) == (6, 6, 6)
    assert (report.protocol, report.folds, report.refitted) == ("leave-one-out", 0, 0)
    # The whole rankings, right ones by rank; c is alone, and all its figures are 0.
    #  0 a: 1b 3a 6b 10a 15c    2 4     AP (1/2 + 2/4) / 2     R 2: 1/2
    #  1 b: 0a 3a 6b 10a 15c    3       AP 1/3                 R 1: 0
    #  3 a: 1b 0a|6b 10a 15c    2 4 or 3 4
    #  6 b: 3a 10a 1b 0a 15c (0 and 6 of 3 tie as above; 1b is 5 away)   3   AP 1/3
    # 10 a: 6b 15c 3a 1b 0a     3 5     AP (1/3 + 2/5) / 2     R 2: 0
    ap = {query.asked.path: query.average_precision for query in report.queries}
    assert ap == pytest.approx(
        {
            b"0": (1 / 2 + 2 / 4) / 2,
            b"1": 1 / 3,
            b"3": (1 / 2 + 2 / 4) / 2 if third else (1 / 3 + 2 / 4) / 2,
            b"6": 1 / 3,
            b"10": (1 / 3 + 2 / 5) / 2,
            b"15": 0,
        }
    )
    assert report.average_precision.value == pytest.approx(np.mean(list(ap.values())))
    assert report.r_precision.value == pytest.approx((1 / 2 + third) / 6)
    assert report.retrieved_at_k.value == pytest.approx((1 / 2 + third) / 6)
    first = 1 / np.log2(3) / (1 + 1 / np.log2(3))
    assert report.ndcg_at_k.value == pytest.approx((first + (first if third else 0)) / 6)


def test_queries_by_hand(line):
    asked = [("a", 2.9), ("b", 0.9), ("c", 14.0), ("d", 5.0), (None, 1.0)]
    photos = [Query(name.encode(), label) for name, (label, _) in zip("vwxyz", asked, strict=True)]
    values = np.stack([at_place(at) for _, at in asked]).astype(np.float32)
    queries = Queries(photos, Vectors(values, line.fingerprint), [])
    report = evaluate(line, queries, k=3, near=False)
    # 2.9: 3 a, 1 b, 0 a -> 2/3, first right, vote a     0.9: 1 b, 0 a, 3 a -> 1/3, right, vote a
    # 14:  15 c, 10 a, 6 b -> 1/3, right, vote c         5:   6 b, 3 a, 1 b -> 0, unknown label
    assert report.precision_at_k.value == pytest.approx((2 / 3 + 1 / 3 + 1 / 3 + 0) / 4)
    assert report.recall_at_1.value == 0.75
    assert report.recall_at_5.value == 0.75
    assert report.vote_accuracy.value == 0.5
    assert (report.unlabelled, report.unknown_labels) == (1, ["d"])
    worst = report.labels[0]
    assert (worst.label, worst.gallery, worst.confused_with[0]) == ("d", 0, ("b", 2 / 3))
    by_label = {one.label: one for one in report.labels}
    assert by_label["b"].confused_with == [("a", pytest.approx(2 / 3))]


def test_equal_bytes_are_kept_from_a_query(tmp_path):
    with Gallery.create(tmp_path / "g", fake_embedder()) as gallery:
        root = gallery.root(os.fsencode(tmp_path), None)
        twin = b"t" * 32
        gallery.add(
            root,
            [
                entry("a1", at_place("1"), "a", digest=twin),
                entry("a2", None, "a", digest=twin),
                entry("b", at_place("2"), "b"),
            ],
        )
        report = evaluate(gallery, k=1, samples="all", near=False)
        assert report.precision_at_k.value == 0.0  # with its twin in it would be 2/3
        assert report.left_out == 5


def test_sampling_is_seeded_and_without_replacement(line):
    one, again, other = (evaluate(line, samples=4, seed=seed, near=False) for seed in (1, 1, 2))
    assert one == again
    assert one.queries != other.queries
    assert len({query.name for query in one.queries}) == 4
    assert evaluate(line, samples=99, near=False).n_queries == 6


def test_what_cannot_be_scored_is_said(line, tmp_path):
    with pytest.raises(InputError, match="samples"):
        evaluate(line, samples=0)
    with pytest.raises(InputError, match="no query has a known label"):
        evaluate(line, Queries([], Vectors(np.empty((0, DIM), np.float32), line.fingerprint), []))
    empty = Gallery.create(tmp_path / "empty", fake_embedder())
    with empty, pytest.raises(InputError, match="0 labelled photos"):
        evaluate(empty)
