"""Approximate search says what it is worth, measured on the gallery, and the record is kept."""

import shutil

import numpy as np
import pytest

from houndsight import Gallery, InputError, Vectors, approximation, measured_recall
from houndsight.approximation import Recall
from houndsight.stores import reduced
from test_reduced import made, more


@pytest.fixture
def gallery(tmp_path, monkeypatch):
    monkeypatch.setattr(reduced, "FEWEST", 1)
    with made(tmp_path, 300) as gallery:
        gallery.tidy()
        yield gallery


def share_found(gallery, k, looked_at):
    """The recall by definition: held against distances in NumPy."""
    items = gallery.items()
    drawn = sorted(np.random.default_rng(0).permutation(len(items))[: approximation.SAMPLE])
    vectors = gallery.vectors(items).values.astype(np.float64)
    shares = []
    for n in drawn:
        distance = np.sqrt(((vectors - vectors[n]) ** 2).sum(axis=1))
        order = sorted(
            (d, i.id) for m, (d, i) in enumerate(zip(distance, items, strict=True)) if m != n
        )
        query = Vectors(vectors[n : n + 1].astype(np.float32), gallery.fingerprint)
        got = gallery.search(query, k, exclude=[{items[n].id}], looked_at=looked_at)[0]
        shares.append(len({m.item.id for m in got} & {id_ for _, id_ in order[:k]}) / k)
    return float(np.mean(shares))


def test_what_is_recorded_is_what_a_search_finds(gallery, monkeypatch):
    monkeypatch.setattr(approximation, "LOOKED_AT", (12, 30, 300))
    monkeypatch.setattr(approximation, "WANTED", 0.9)
    recall = measured_recall(gallery, 5)
    assert recall.k == 5
    assert (recall.queries, recall.items) == (200, 300)
    assert recall.recall == pytest.approx(share_found(gallery, 5, recall.looked_at))
    assert recall.recall >= 0.9
    if recall.looked_at > 30:
        assert share_found(gallery, 5, 12) < 0.9


@pytest.mark.parametrize(("wanted", "taken"), [(0, 30), (1.1, 300)])
def test_the_one_after_the_fewest_that_reach_what_is_wanted_is_taken(
    gallery, monkeypatch, wanted, taken
):
    """New photos have their neighbours farther off than those that are in the gallery."""
    monkeypatch.setattr(approximation, "LOOKED_AT", (12, 30, 299, 300))
    monkeypatch.setattr(approximation, "WANTED", wanted)
    recall = measured_recall(gallery, 5)
    assert recall.looked_at == taken
    assert recall.recall == pytest.approx(share_found(gallery, 5, taken))


def test_below_twice_as_many_as_are_asked_for_is_not_tried(gallery, monkeypatch):
    monkeypatch.setattr(approximation, "LOOKED_AT", (1, 2, 300))
    recall = measured_recall(gallery, 10)
    assert recall.looked_at == 300
    assert recall.recall == 1.0


def test_it_is_measured_once_and_again_when_the_gallery_has_changed(gallery, tmp_path):
    first = measured_recall(gallery, 5)
    document = gallery.store.documents("recall/")["recall/plain"]
    names = {*Recall.__slots__} - {"stale"}  # found out when it is read
    assert document == {"5": {name: getattr(first, name) for name in names}}
    more(gallery, tmp_path, 20, seed=1)
    assert measured_recall(gallery, 5) == first
    assert measured_recall(gallery, 6).items == 320
    more(gallery, tmp_path, 100, seed=2)
    again = measured_recall(gallery, 5)
    assert again.items == 420
    assert set(gallery.store.documents("recall/")["recall/plain"]) == {"5", "6"}


def test_what_was_exact_is_no_promise_for_later(gallery, tmp_path):
    shutil.rmtree(gallery.place / "spaces")
    with Gallery(gallery.place) as other:
        assert measured_recall(other, 5).by == ""
        assert other.store.documents("recall/") == {}
        other.tidy()
        first = measured_recall(other, 5)
        assert first.by
        assert measured_recall(other, 5) == first
        other.compact()  # other files by other axes
        assert measured_recall(other, 5).by not in ("", first.by)


def test_a_small_gallery_is_searched_exactly_all_the_same(tmp_path):
    with made(tmp_path, 1) as gallery:
        assert measured_recall(gallery, 5).recall == 1.0  # there was nothing to find
        more(gallery, tmp_path, 2, seed=1)
        query = gallery.vectors(gallery.items()[:1])
        assert len(gallery.search(query, 5, looked_at=1)[0]) == 3
        with pytest.raises(InputError, match="looked_at is 0"):
            gallery.search(query, 5, looked_at=0)


def test_an_empty_gallery_has_nothing_to_measure(tmp_path):
    with made(tmp_path, 0) as gallery, pytest.raises(InputError, match="holds no photo"):
        measured_recall(gallery)
