"""Doubtful labels: scores worked by hand, and wrong labels found among right ones."""

import numpy as np
import pytest

from fakes import fake_embedder
from houndsight import Gallery, InputError, doubting, learn, outliers
from houndsight.gallery import Entry
from houndsight.learning import refitting
from test_gallery import DIM
from test_learning import make


@pytest.fixture
def gallery(tmp_path):
    with Gallery.create(tmp_path / "gallery", fake_embedder(normalise=False)) as made:
        yield made


def put(gallery, vectors, labels, digests=None):
    rows = []
    for n, (vector, label) in enumerate(zip(vectors, labels, strict=True)):
        name = f"{n:04d}.jpg".encode()
        digest = ((digests and digests[n]) or name).ljust(32, b"-")
        source = "folder" if label else None
        values = np.asarray(vector, np.float32)
        rows.append(Entry(name, label, source, digest, 10, 20, 30, 40, values))
    gallery.add(gallery.root(b"/photos", None), rows)


def on_a_line(*places):
    x = np.zeros((len(places), DIM))
    x[:, 0] = places
    return x


def by_name(found):
    return {int(one.item.path[:4]): one for one in found}


def wrong(labels, share, seed):
    """Return the labels with a share of them exchanged for others, and which."""
    rng = np.random.default_rng(seed)
    names = sorted(set(labels))
    out = list(labels)
    some = rng.choice(len(labels), round(share * len(labels)), replace=False)
    for n in some:
        out[n] = rng.choice([name for name in names if name != labels[n]])
    return out, set(some.tolist())


def found_first(found, swapped, share):
    first = found[: round(share * len(found))]
    return sum(int(one.item.path[:4]) in swapped for one in first) / len(swapped)


# Scores


def test_scores_by_hand(gallery):
    # Those from 90 on are far from all: they let three vote, as each label has three others.
    put(gallery, on_a_line(0, 1, 2, 4, 90, 91, 92, 93), ["a", "b", "b", "a", "a", "a", "b", "b"])
    found = by_name(outliers(gallery, k=3, metric="paper"))
    # Of photo 0 the others are at 1, 2 and 4: weights 4 / 5, 4 / 6 and 4 / 8.
    own, rival = 0.5, 4 / 5 + 4 / 6
    assert found[0].score == pytest.approx((rival + 0.5) / (own + rival + 1))
    assert found[0].suggested == "b"
    assert found[0].own == pytest.approx(own / (own + rival))
    assert found[0].rival == pytest.approx(rival / (own + rival))
    # Of photo 2 they are at 1 (b), 2 (a) and 2 (a): weights 2 / 3, 1 / 2 and 1 / 2.
    assert found[2].score == pytest.approx((1 + 0.5) / (2 / 3 + 1 + 1))


def test_most_doubtful_first_and_equal_ones_by_id(gallery):
    put(gallery, on_a_line(0, 0, 0, 9, 9, 9), ["a", "a", "a", "b", "b", "b"])
    found = outliers(gallery, k=2, metric="paper")
    assert len({one.score for one in found}) == 1
    assert [one.item.id for one in found] == sorted(one.item.id for one in found)
    assert all(one.suggested is None and one.rival == 0 for one in found)
    assert all(one.score == pytest.approx(0.5 / 3) for one in found)


def test_of_rivals_with_as_many_votes_the_nearest_is_suggested(gallery):
    put(gallery, on_a_line(0, 3, -3, 50, 50, 50, 60, 60, 60), [*"acb", *"abc", *"abc"])
    one = by_name(outliers(gallery, k=2, metric="paper"))[0]
    nearest = gallery.search(
        gallery.vectors([one.item]), 2, metric="paper", exclude=[[one.item.id]]
    )
    assert one.suggested == nearest[0][0].item.label


def test_no_more_vote_than_could_have_the_label(gallery):
    # 20 labels of two photos, side by side: whatever k is, nothing speaks against any label.
    places = [100 * n + side for n in range(20) for side in (0, 1)]
    labels = [f"label {n}" for n in range(20) for _ in (0, 1)]
    put(gallery, on_a_line(*places), labels)
    found = outliers(gallery, metric="paper")
    assert len(found) == 40
    assert all(one.score < 0.5 for one in found)
    assert found == outliers(gallery, k=1, metric="paper")


def test_photos_of_equal_bytes_have_no_say(gallery):
    put(
        gallery,
        on_a_line(0, 0, 0, 1, 5, 6),
        ["a", "a", "b", "b", "a", "a"],
        [b"x", b"x", b"x", None, None, None],
    )
    found = by_name(outliers(gallery, k=2, metric="paper"))
    # The nearest others of other bytes are at 1 (b) and 5 (a).
    for n, suggested in ((0, "b"), (1, "b"), (2, "a")):
        assert found[n].suggested == suggested
        assert found[n].own > 0
        assert found[n].rival > 0


def test_what_cannot_be_judged_is_left_out(gallery):
    put(
        gallery,
        on_a_line(0, 1, 2, 3, 3),
        ["a", "a", "b", None, "c"],
        [None, None, None, b"y", b"y"],
    )
    found = outliers(gallery, k=2, metric="paper")
    assert sorted(one.item.label for one in found) == ["a", "a"]


def test_no_label_and_one_label(gallery):
    put(gallery, on_a_line(0, 1), [None, None])
    with pytest.raises(InputError, match="holds 0 labelled photos; two are needed"):
        outliers(gallery)
    gallery.set_labels({item.id: "a" for item in gallery.items()}, source="user")
    assert [one.suggested for one in outliers(gallery, metric="paper")] == [None, None]
    with pytest.raises(InputError, match="k is 0"):
        outliers(gallery, k=0)
    with pytest.raises(InputError, match="no metric nose"):
        outliers(gallery, metric="nose")


# Wrong labels among right ones


@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_are_found(gallery, seed):
    vectors, labels = make(seed, [20] * 10, noise=1.0)
    given, swapped = wrong(labels, 0.05, seed)
    put(gallery, vectors, given)
    found = outliers(gallery, k=10)
    assert len(found) == 200
    assert found_first(found, swapped, 0.1) >= 0.9
    right = [one.suggested == labels[int(one.item.path[:4])] for one in found[:10]]
    assert sum(right) >= 8
    assert found == outliers(gallery, k=10)


def test_a_learned_metric_judges_no_photo_that_it_was_fitted_on(gallery, monkeypatch):
    vectors, labels = make(0, [20] * 10)
    given, swapped = wrong(labels, 0.05, 0)
    put(gallery, vectors, given)
    plain = found_first(outliers(gallery, metric="plain"), swapped, 0.1)
    assert learn(gallery, method="posteriors").metric == "learned@1"
    judged = []

    def spied(photos, settings, name):
        fit = refitting(photos, settings, name)

        def fitting(inside):
            outside = np.setdiff1d(np.arange(len(photos)), inside)
            judged.append(outside)
            assert set(photos.fold[inside]).isdisjoint(photos.fold[outside])
            return fit(inside)

        return fitting

    monkeypatch.setattr(doubting, "refitting", spied)
    found = outliers(gallery)
    assert sorted(np.concatenate(judged).tolist()) == list(range(200))
    assert found_first(found, swapped, 0.1) >= max(plain, 0.8)
    assert all(0 <= one.score <= 1 for one in found)
    assert all(one.suggested not in (None, one.item.label) for one in found)
    again = outliers(gallery, metric="learned@1")
    assert [(one.item.id, one.score) for one in found] == [(o.item.id, o.score) for o in again]
