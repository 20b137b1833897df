"""Duplicates: what is found, what is suggested to be kept, and what is held to be near."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import fake_embedder
from houndsight import Gallery, InputError
from houndsight.curation import duplicates, near_distance
from houndsight.gallery import Entry
from houndsight.search import distances
from test_gallery import DIM


@pytest.fixture
def gallery(tmp_path):
    with Gallery.create(tmp_path / "gallery", fake_embedder()) as made:
        yield made


def put(gallery, vectors, digests=None, names=None, sizes=None):
    """Add photos of these vectors, named by number."""
    root = gallery.root(b"/photos", None)
    names = names or [f"{n:05d}.jpg" for n in range(len(vectors))]
    rows = []
    for n, vector in enumerate(vectors):
        digest = (digests[n] if digests else names[n].encode()).ljust(32, b"-")
        wide, high, size = sizes[n] if sizes else (40, 30, 1000)
        vector = np.asarray(vector, np.float32)
        rows.append(Entry(os.fsencode(names[n]), None, None, digest, size, 0, wide, high, vector))
    gallery.add(root, rows)


def apart(seed, count, dim=8):
    """Different pictures: at random on the positive part of a sphere in few dimensions."""
    x = np.zeros((count, DIM))
    x[:, :dim] = np.abs(np.random.default_rng(seed).normal(size=(count, dim)))
    return unit(x)


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def changed(x, by, seed):
    """The same pictures, each moved by about that distance."""
    noise = np.random.default_rng(seed).normal(size=x.shape)
    return unit(x + by * unit(noise))


def paths(groups):
    return [[item.path.decode() for item in group.items] for group in groups]


# What is held to be near


@pytest.mark.parametrize("copies", [0, 5, 100, 400])
def test_near_lies_between_copies_and_other_pictures(gallery, copies):
    x = apart(0, 400, dim=24)
    same = changed(x[:copies], 0.05, 1)
    put(gallery, np.concatenate([x, same]))
    near = near_distance(gallery)
    if copies:
        assert np.linalg.norm(x[:copies] - same, axis=1).max() < near
    between = distances(x, x)[np.triu_indices(400, 1)]
    assert (between <= near).sum() <= 2


def test_near_is_the_same_whatever_is_there_in_equal_bytes(gallery, tmp_path):
    x = apart(0, 60)
    put(gallery, x)
    alone = near_distance(gallery)
    put(
        gallery,
        np.repeat(x[:1], 40, axis=0),
        digests=[b"00000.jpg"] * 40,
        names=[f"again-{n}.jpg" for n in range(40)],
    )
    assert len(gallery) == 100
    assert near_distance(gallery) == pytest.approx(alone, rel=1e-12)


def test_near_is_found_with_many_copies_of_few_pictures(gallery):
    x = apart(0, 300, dim=24)
    copies = np.concatenate([changed(x[:40], 0.05, seed) for seed in range(1, 9)])
    put(gallery, np.concatenate([x, copies]))
    report = duplicates(gallery)
    assert len(report.groups) == 40
    assert {len(group.items) for group in report.groups} == {9}


def test_near_depends_on_the_seed_only_where_there_are_many(gallery, monkeypatch):
    put(gallery, apart(0, 300))
    assert near_distance(gallery, seed=1) == near_distance(gallery, seed=2)
    monkeypatch.setattr("houndsight.curation.SAMPLE", 100)
    assert near_distance(gallery, seed=1) == near_distance(gallery, seed=1)
    assert near_distance(gallery, seed=1) != near_distance(gallery, seed=2)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_nothing_can_be_learned_from_two_photos(gallery, count):
    put(gallery, apart(0, count)) if count else None
    assert near_distance(gallery) == 0.0
    assert duplicates(gallery).groups == []


def test_nothing_can_be_learned_where_all_is_the_same(gallery):
    put(gallery, np.repeat(apart(0, 1), 30, axis=0))
    assert near_distance(gallery) == 0.0
    (group,) = duplicates(gallery).groups
    assert len(group.items) == 30
    assert not group.exact
    assert group.others[-1].distance == 0.0


def test_of_three_photos_two_that_are_nearly_the_same_are_found(gallery):
    x = apart(0, 2)
    put(gallery, np.concatenate([x, changed(x[:1], 0.02, 1)]))
    assert paths(duplicates(gallery).groups) == [["00000.jpg", "00002.jpg"]] or paths(
        duplicates(gallery).groups
    ) == [["00002.jpg", "00000.jpg"]]


# Groups


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_groups_are_what_brute_force_finds(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 40))
    x = apart(seed, count, dim=3)
    digests = [f"{rng.integers(count)}".encode() for _ in range(count)]
    known = {}
    x = np.stack([known.setdefault(d, v) for d, v in zip(digests, x, strict=True)])
    within = float(rng.choice([0.0, 0.1, 0.3, 3.0]))
    with Gallery.create(tmp_path_factory.mktemp("any") / "gallery", fake_embedder()) as gallery:
        put(gallery, x, digests)
        report = duplicates(gallery, max_distance=within)
        items = gallery.items()
        values = gallery.vectors(items).values
        near = distances(values, values) <= within
        near |= np.array([[a.digest == b.digest for a in items] for b in items])
        for _ in range(count):
            near = near @ near
        expected = {
            frozenset(items[n].id for n in np.flatnonzero(row)) for row in near if row.sum() > 1
        }
        assert {frozenset(i.id for i in group.items) for group in report.groups} == expected
        assert len(report.groups) == len(expected)
        places = {item.id: n for n, item in enumerate(items)}
        between = distances(values, values)
        for group in report.groups:
            centre = places[group.keep.id]
            assert [m.rank for m in group.others] == list(range(1, len(group.items)))
            found = [(m.distance, m.item.id) for m in group.others]
            assert found == sorted(found)
            assert found == [(between[centre, places[i]], i) for _, i in found]
            assert group.exact == (len({i.digest for i in group.items}) == 1)
        order = [(-len(g.items), g.others[-1].distance, g.keep.id) for g in report.groups]
        assert order == sorted(order)
        exact = duplicates(gallery, exact=True)
        assert exact.max_distance is None
        assert sum(len(g.items) for g in exact.groups) == sum(
            digests.count(d) for d in set(digests) if digests.count(d) > 1
        )
        assert all(group.exact for group in exact.groups)


def test_to_be_kept_is_most_pixels_then_most_bytes_then_the_lowest_id(gallery):
    same = np.repeat(apart(0, 1), 4, axis=0)
    put(
        gallery,
        same,
        names=["small.jpg", "short.jpg", "one.jpg", "two.jpg"],
        sizes=[(10, 10, 9000), (20, 20, 500), (25, 16, 600), (16, 25, 600)],
    )
    (group,) = duplicates(gallery, max_distance=0).groups
    first = min(
        (i for i in gallery.items() if i.path in (b"one.jpg", b"two.jpg")), key=lambda i: i.id
    )
    assert group.keep == first
    assert group.items[0] == first
    assert [match.item.id for match in group.others] == sorted(
        item.id for item in group.items if item != first
    )


def test_what_hangs_on_a_chain_is_in_the_group_with_its_true_distance(gallery):
    angles = np.arange(5) * 0.1
    x = np.zeros((5, DIM))
    x[:, 0], x[:, 1] = np.cos(angles), np.sin(angles)
    put(gallery, x, sizes=[(100, 100, 1000)] + [(10, 10, 1000)] * 4)
    (group,) = duplicates(gallery, max_distance=0.11).groups
    assert paths([group]) == [[f"{n:05d}.jpg" for n in range(5)]]
    assert group.others[-1].distance == pytest.approx(2 * np.sin(0.2), abs=1e-6)
    assert duplicates(gallery, max_distance=0.09).groups == []


def test_removed_photos_are_not_looked_at(gallery):
    put(gallery, np.repeat(apart(0, 1), 2, axis=0))
    gallery.remove([gallery.items()[0].id])
    report = duplicates(gallery, max_distance=1)
    assert (report.groups, report.photos) == ([], 1)


def test_raw_vectors_are_compared_by_direction(tmp_path):
    with Gallery.create(tmp_path / "raw", fake_embedder(normalise=False)) as gallery:
        x = apart(0, 20, dim=24)
        put(gallery, np.concatenate([5 * x, 50 * x[:1]]))
        (group,) = duplicates(gallery).groups
        assert sorted(paths([group])[0]) == ["00000.jpg", "00020.jpg"]
        assert group.others[0].distance == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("distance", [-0.1, float("nan")])
def test_a_distance_that_makes_no_sense_is_refused(gallery, distance):
    with pytest.raises(InputError, match="0 or more"):
        duplicates(gallery, max_distance=distance)


def test_progress_goes_to_the_end(gallery):
    put(gallery, apart(0, 10))
    seen = []
    duplicates(gallery, progress=lambda done, of: seen.append((done, of)))
    assert seen[-1][0] == seen[-1][1]
