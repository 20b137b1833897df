"""Several queries as one, against brute force over all distances."""

import os
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import fake_embedder
from houndsight import (
    FingerprintMismatch,
    Gallery,
    InputError,
    Matches,
    Vectors,
    Where,
    index,
    read_queries,
    search_combined,
)
from houndsight.combining import UNLIKE_WEIGHT, as_one
from houndsight.queries import Query
from test_gallery import DIM, entry

HOWS = ("mean", "min", "max")


def a_gallery(tmp_path, points, labels=None, *, normalised=False):
    """A gallery of points in the plane (the vectors' first two numbers), and their embedder."""
    embedder = fake_embedder(normalise=normalised)
    gallery = Gallery.create(tmp_path / "g", embedder)
    root = gallery.root(os.fsencode(tmp_path), None)
    names = [f"{number:03d}" for number in range(len(points))]
    vectors = at(points)
    gallery.add(
        root,
        [
            entry(name, vector, (labels or {}).get(number))
            for number, (name, vector) in enumerate(zip(names, vectors, strict=True))
        ],
    )
    return gallery, embedder


def at(points):
    vectors = np.zeros((len(points), DIM), np.float32)
    vectors[:, :2] = points
    return vectors


def brute_force(gallery, queries, how, k, *, exclude=(), max_distance=np.inf, labels=None):
    """Ids and distances of the k nearest, from every distance there is."""
    items = gallery.items()
    x = gallery.vectors(items).values.astype(float)
    each = np.sqrt(((x[None] - queries.astype(float)[:, None]) ** 2).sum(axis=2))
    distance = each.min(axis=0) if how == "min" else each.max(axis=0)
    order = sorted(
        (float(d), item.id)
        for d, item in zip(distance, items, strict=True)
        if d <= max_distance and item.id not in exclude and (labels is None or item.label in labels)
    )[:k]
    return [id_ for _, id_ in order], [d for d, _ in order]


# Few values, so that there are many ties.
coordinates = st.integers(0, 4).map(float)
points = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(
    points,
    st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=4),
    st.integers(1, 12),
    st.sampled_from(("min", "max")),
    st.sampled_from((np.inf, 1.0, 2.5)),
    st.sets(st.integers(0, 29), max_size=5),
)
def test_smallest_and_greatest_distance_are_exact_with_ties_by_id(
    tmp_path_factory, stored, asked, k, how, bar, gone
):
    gallery, embedder = a_gallery(tmp_path_factory.mktemp("any"), stored)
    with gallery:
        ids = [item.id for item in gallery.items()]
        out = frozenset(ids[number] for number in gone if number < len(ids))
        queries = Vectors(at(asked), embedder.fingerprint)
        sets = [out if number == 0 else () for number in range(len(asked))]
        found = search_combined(gallery, queries, k, combine=how, exclude=sets, max_distance=bar)
        right = brute_force(gallery, queries.values, how, k, exclude=out, max_distance=bar)
    assert len(found) == 1
    assert found.ids[0].tolist() == right[0]
    assert found.distances[0].tolist() == right[1]
    assert set(found.items) == set(right[0])


class Table:
    """Stands in for a gallery: the distances of items 0, 1, 2 ... to each query are given."""

    settings: ClassVar = {"made_of": {"normalised": False}}

    def __init__(self, distances):
        self.distances = np.array(distances, float)

    def search(self, queries, k, **_):
        order = np.argsort(self.distances, axis=1, kind="stable")[:, :k]
        distances = np.take_along_axis(self.distances, order, axis=1)
        return Matches(order, distances, dict.fromkeys(range(self.distances.shape[1])))


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(2, 3), st.integers(1, 40), st.integers(1, 3))
def test_ties_wherever_the_lists_are_cut_off(data, queries, items, k):
    # Three values only: the last neighbour that was looked at ties with others past it.
    rows = data.draw(
        st.lists(
            st.lists(st.integers(0, 2), min_size=items, max_size=items),
            min_size=queries,
            max_size=queries,
        )
    )
    table, vectors = Table(rows), Vectors(np.zeros((queries, 1), np.float32), "")
    for how, whole in (("min", table.distances.min(axis=0)), ("max", table.distances.max(axis=0))):
        found = search_combined(table, vectors, k, combine=how)
        right = sorted((distance, id_) for id_, distance in enumerate(whole))[:k]
        assert list(zip(found.distances[0], found.ids[0], strict=True)) == right


def test_the_greatest_distance_is_proved_without_a_look_at_everything(tmp_path):
    rng = np.random.default_rng(0)
    cloud = np.vstack([rng.normal(size=(40, 2)), 50 + rng.normal(size=(2000, 2))])
    gallery, embedder = a_gallery(tmp_path, cloud)
    depths = []

    def search(vectors, k, **settings):
        depths.append(k)
        return gallery.search(vectors, k, **settings)

    with gallery:
        watched = SimpleNamespace(search=search, settings=gallery.settings)
        queries = Vectors(at([(0, 0), (0.5, 0)]), embedder.fingerprint)
        found = search_combined(watched, queries, 3, combine="max")
        assert found.ids[0].tolist() == brute_force(gallery, queries.values, "max", 3)[0]
    assert depths[-1] <= 48


@pytest.mark.parametrize("how", HOWS)
def test_only_some_labels(tmp_path, how):
    labels = {number: "ab"[number % 2] for number in range(20)}
    rng = np.random.default_rng(1)
    gallery, embedder = a_gallery(tmp_path, rng.normal(size=(20, 2)), labels)
    with gallery:
        queries = Vectors(at(rng.normal(size=(3, 2))), embedder.fingerprint)
        where = Where(labels=frozenset("a"))
        found = search_combined(gallery, queries, 4, combine=how, where=where)
        assert {match.item.label for match in found[0]} == {"a"}
        asked = queries.values.mean(axis=0, keepdims=True) if how == "mean" else queries.values
        right = brute_force(gallery, asked, "min" if how == "mean" else how, 4, labels={"a"})
    assert found.ids[0].tolist() == right[0]
    assert np.allclose(found.distances[0], right[1])


def test_the_mean_is_scaled_where_the_gallery_is_normalised(tmp_path):
    line = [(1, 0), (0, 1), (0.6, 0.8)]
    for normalised, query in ((True, (np.sqrt(0.5), np.sqrt(0.5))), (False, (0.5, 0.5))):
        place = tmp_path / str(normalised)
        place.mkdir()
        gallery, embedder = a_gallery(place, line, normalised=normalised)
        with gallery:
            queries = Vectors(at(line[:2]), embedder.fingerprint)
            found = search_combined(gallery, queries, 3, combine="mean")[0]
            for match in found:
                vector = gallery.vectors([match.item]).values[0, :2]
                assert match.distance == pytest.approx(np.linalg.norm(vector - query), abs=1e-6)


def test_one_query_is_itself_whatever_the_way(tmp_path):
    gallery, embedder = a_gallery(tmp_path, [(1, 0), (3, 4), (3, 5)])
    with gallery:
        query = Vectors(at([(3, 4)]), embedder.fingerprint)
        plain = gallery.search(query, 2)
        for how in (*HOWS, None):
            found = search_combined(gallery, query, 2, combine=how)
            assert found.ids.tolist() == plain.ids.tolist()
            assert found.distances.tolist() == plain.distances.tolist() == [[0.0, 1.0]]


def test_no_query_has_no_answer(tmp_path):
    gallery, embedder = a_gallery(tmp_path, [(1, 0)])
    with gallery:
        none = Vectors(np.empty((0, DIM), np.float32), embedder.fingerprint)
        for how in (*HOWS, None):
            assert len(search_combined(gallery, none, 2, combine=how)) == 0


@pytest.mark.parametrize("how", [*HOWS, None])
@pytest.mark.parametrize("normalised", [False, True])
def test_unlike_moves_queries_by_rocchios_formula(tmp_path, how, normalised):
    rng = np.random.default_rng(2)
    cloud, like, unlike = rng.normal(size=(30, 2)), rng.normal(size=(3, 2)), rng.normal(size=(2, 2))
    gallery, embedder = a_gallery(tmp_path, cloud, normalised=normalised)
    start = like.mean(axis=0, keepdims=True) if how == "mean" else like
    moved = start - 0.25 * unlike.mean(axis=0)
    if normalised:
        moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    with gallery:
        found = search_combined(
            gallery,
            Vectors(at(like), embedder.fingerprint),
            5,
            combine=how,
            unlike=Vectors(at(unlike), embedder.fingerprint),
        )
        for row, answer in enumerate(found):
            asked = at(moved[row : row + 1] if how is None else moved)
            right = brute_force(gallery, asked, "max" if how == "max" else "min", 5)
            assert [match.item.id for match in answer] == right[0]
            assert np.allclose([match.distance for match in answer], right[1], atol=1e-6)
    assert len(found) == (3 if how is None else 1)
    assert UNLIKE_WEIGHT == 0.25


def test_unlike_moves_neighbours_away(tmp_path):
    circle = [(np.cos(angle), np.sin(angle)) for angle in np.linspace(0, np.pi, 19)]
    gallery, embedder = a_gallery(tmp_path, circle, normalised=True)
    with gallery:
        like, unlike = (Vectors(at([circle[n]]), embedder.fingerprint) for n in (9, 13))
        plain = search_combined(gallery, like, 1)[0][0].item
        away = search_combined(gallery, like, 1, unlike=unlike)[0][0].item
    assert (plain.path, away.path < plain.path) == (b"009", True)


def test_vectors_that_add_up_to_nothing_are_an_error(tmp_path):
    gallery, embedder = a_gallery(tmp_path, [(1, 0)], normalised=True)
    with gallery:
        opposite = Vectors(at([(1, 0), (-1, 0)]), embedder.fingerprint)
        with pytest.raises(InputError, match=r"zeros.*Name other photos"):
            search_combined(gallery, opposite, 1, combine="mean")
        like, unlike = (Vectors(at([p]), embedder.fingerprint) for p in ((0.1, 0.3), (0.4, 1.2)))
        with pytest.raises(InputError, match="zeros"):
            search_combined(gallery, like, 1, unlike=unlike)


def test_misuse_is_answered(tmp_path):
    gallery, embedder = a_gallery(tmp_path, [(1, 0)])
    with gallery:
        query = Vectors(at([(1, 0), (2, 0)]), embedder.fingerprint)
        with pytest.raises(InputError, match="Take mean, min or max"):
            search_combined(gallery, query, 1, combine="median")
        with pytest.raises(InputError, match="k is 0"):
            search_combined(gallery, query, 0, combine="max")
        with pytest.raises(InputError, match="1 sets to exclude for 2 queries"):
            search_combined(gallery, query, 1, exclude=[()])
        with pytest.raises(InputError, match="no metric"):
            search_combined(gallery, query, 1, metric="absent")
        with pytest.raises(FingerprintMismatch):
            search_combined(gallery, query, 1, unlike=Vectors(query.values, "other"))


def test_a_combined_query_is_all_of_its_photos():
    a = Query(b"a", "pug", frozenset({1}), frozenset({2}))
    b = Query(b"b", "pug", frozenset({2}), frozenset({3}))
    c = Query(b"c", None)
    (one,) = as_one([a, b])
    assert (one.path, one.label, one.own, one.twins) == (b"a", "pug", {1, 2}, {3})
    assert (one.combination.like, one.combination.combine) == ((a, b), "mean")
    assert as_one([a, c], combine="max")[0].label is None
    assert as_one([a, b], combine=None) == [a, b]
    assert as_one([], combine="min") == []
    apart = as_one([a, b], [c], None)
    assert [(one.path, one.combination.unlike) for one in apart] == [(b"a", (c,)), (b"b", (c,))]


def test_photos_are_found_by_what_they_have_in_common(photos, tmp_path):
    embedder = fake_embedder()
    index(photos, tmp_path / "g", embedder=embedder)
    with Gallery(tmp_path / "g") as gallery:
        queries = read_queries(gallery, embedder, [photos / "pug", photos / "collie"])
        (one,) = as_one(queries.photos)
        found = search_combined(gallery, queries.vectors, 3, exclude=[one.own] * 8)
    assert len(one.own) == 8
    assert {match.item.label for match in found[0]} == {"beagle"}
