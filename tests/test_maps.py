"""Spaces: what a map computes, that it survives being written down, and searching in it."""

import json
import os

import numpy as np
import pytest

from fakes import fake_embedder
from houndsight import Gallery, Vectors
from houndsight.errors import InputError
from houndsight.maps import Map, Unit
from houndsight.search import distances
from houndsight.types import Where
from test_gallery import DIM, entry


def fill(gallery, tmp_path, count, first=0):
    vectors = np.random.default_rng(first).standard_normal((count, DIM)).astype(np.float32)
    root = gallery.root(os.fsencode(tmp_path / "photos"), None)
    labels = ("a", "b", None)
    gallery.add(
        root,
        [entry(f"{n:04d}.jpg", v, labels[n % 3]) for n, v in enumerate(vectors, start=first)],
    )


def some_map(blend, name="learned@1", seed=0, dim=DIM, labels=3, rank=2, temperature=2.0):
    rng = np.random.default_rng(seed)
    return Map(
        name=name,
        centre=(rng.normal(size=dim) / dim).astype(np.float32).astype(float),
        projection=rng.normal(size=(dim, rank)).astype(np.float32).astype(float),
        weights=rng.normal(size=(dim, labels)).astype(np.float32).astype(float),
        bias=rng.normal(size=labels).astype(np.float32).astype(float),
        labels=tuple("abc"[:labels]),
        temperature=temperature,
        blend=blend,
    )


def by_hand(map_, v):
    """Return a vector's image, number by number, as the formula in Map's docstring says."""
    length = sum(float(a) ** 2 for a in v) ** 0.5
    x = [float(a) / length if length else 0.0 for a in v]
    rank, count = map_.projection.shape[1], len(map_.labels)
    dims = range(len(x))
    h = [sum((x[i] - map_.centre[i]) * map_.projection[i, j] for i in dims) for j in range(rank)]
    s = [sum(x[i] * map_.weights[i, c] for i in dims) + map_.bias[c] for c in range(count)]
    size = sum(a * a for a in h) ** 0.5
    e = [np.exp(a / map_.temperature) for a in s]
    first = [(1 - map_.blend) ** 0.5 * a / size for a in h] if map_.blend < 1 else []
    second = [(map_.blend * a / sum(e)) ** 0.5 for a in e] if map_.blend > 0 else []
    return [*first, *second], (size, max(s))


@pytest.mark.parametrize("blend", [0.0, 0.3, 1.0])
def test_a_map_computes_what_its_formula_says(blend):
    map_ = some_map(blend)
    vectors = np.random.default_rng(1).normal(size=(5, DIM)).astype(np.float32)
    got = map_(vectors)
    assert got.shape == (5, map_.dim)
    assert got.dtype == np.float32
    for row, trait, v in zip(got, map_.traits(vectors), vectors, strict=True):
        expected, traits = by_hand(map_, v)
        assert row == pytest.approx(expected, abs=1e-6)
        assert trait == pytest.approx(traits, rel=1e-9)


def test_a_map_survives_being_written_down():
    map_ = some_map(0.3)
    again = Map.read(json.loads(json.dumps(map_.document())))
    vectors = np.random.default_rng(1).normal(size=(5, DIM)).astype(np.float32)
    assert np.array_equal(again(vectors), map_(vectors))
    assert again.key == map_.key
    assert again.key != some_map(0.3, seed=1).key


def test_a_vector_of_zeros_has_no_direction_and_no_image_that_is_not_finite():
    zeros = np.zeros((1, DIM), np.float32)
    assert np.array_equal(Unit(DIM)(zeros), zeros)
    assert np.isfinite(some_map(0.3)(zeros)).all()


# In a gallery


@pytest.fixture
def gallery(tmp_path):
    with Gallery.create(tmp_path / "gallery", fake_embedder()) as made:
        fill(made, tmp_path, 60)
        yield made


def brute_force(gallery, query, k, space, where=None):
    items = [i for i in gallery.items() if where is None or i.label in where]
    x = space.exact(gallery.vectors(items).values)
    found = distances(space.exact(query.values), x)[0]
    order = sorted(range(len(items)), key=lambda n: (found[n], items[n].id))[:k]
    return [items[n].id for n in order], [found[n] for n in order]


@pytest.mark.parametrize("blend", [0.0, 0.3, 1.0])
def test_searching_in_a_space_is_exact(gallery, blend):
    map_ = some_map(blend)
    gallery.add_map(map_, {}, None)
    query = Vectors(np.random.default_rng(9).random((1, DIM), np.float32), gallery.fingerprint)
    for k in (1, 7, 60):
        ids, found = brute_force(gallery, query, k, map_)
        matches = gallery.search(query, k)
        assert matches.ids[0].tolist() == ids
        assert matches.distances[0] == pytest.approx(found, abs=1e-12)
    label = next(item.label for item in gallery.items() if item.label)
    ids, _ = brute_force(gallery, query, 5, map_, {label})
    assert gallery.search(query, 5, where=Where(labels=label)).ids[0].tolist() == ids


def test_photos_that_come_later_are_in_the_space_at_once(gallery, tmp_path):
    gallery.add_map(some_map(0.3), {}, None)
    reader = Gallery(gallery.place)
    query = gallery.vectors(gallery.items()[:1])
    assert len(reader.search(query, 500)[0]) == 60
    fill(gallery, tmp_path, 40, first=60)
    matches = reader.search(query, 500)
    assert len(matches[0]) == 100
    ids, found = brute_force(gallery, query, 100, gallery.space())
    assert matches.ids[0].tolist() == ids
    assert matches.distances[0] == pytest.approx(found, abs=1e-12)
    (file,) = (gallery.place / "spaces").glob("*.rows")
    assert file.stat().st_size == 4096 + 100 * gallery.space().dim * 4
    gallery.remove([item.id for item in gallery.items()[:50]])
    assert gallery.compact() > 0
    assert len(gallery.search(query, 500)[0]) == 50
    assert [f.name[-7:] for f in (gallery.place / "spaces").glob("*.rows")] == ["-2.rows"]
    assert gallery.verify() == []
    reader.close()


def rows_file(gallery):
    (file,) = (gallery.place / "spaces").glob("*.rows")
    return file


@pytest.mark.parametrize("damage", ["empty", "header", "short", "other rows", "gone"])
def test_a_damaged_file_of_rows_is_made_again(gallery, damage):
    gallery.add_map(some_map(0.3), {}, None)
    query = gallery.vectors(gallery.items()[:1])
    before = gallery.search(query, 60)
    file = rows_file(gallery)
    data = file.read_bytes()
    gallery.close()
    if damage == "gone":
        file.unlink()
    else:
        changed = {
            "empty": b"",
            "header": b"\0" * 4096 + data[4096:],
            "short": data[:-100],
            # The header names another stored vector as the last: a file of another catalogue.
            "other rows": data[:12] + bytes(4) + data[16:],
        }
        file.write_bytes(changed[damage])
    with Gallery(gallery.place) as again:
        after = again.search(query, 60)
        assert np.array_equal(after.ids, before.ids)
        assert np.array_equal(after.distances, before.distances)
        assert again.verify() == []


def test_verify_notices_a_flipped_bit_in_a_space(gallery):
    gallery.add_map(some_map(0.3), {}, None)
    gallery.search(gallery.vectors(gallery.items()[:1]), 1)
    assert gallery.verify() == []
    with rows_file(gallery).open("r+b") as file:
        file.seek(4096 + 77)
        (byte,) = file.read(1)
        file.seek(4096 + 77)
        file.write(bytes([byte ^ 1]))
    (line,) = gallery.verify()
    assert "spaces/" in line
    assert "made again" in line


def test_where_nothing_can_be_written_a_space_is_kept_in_memory(gallery, monkeypatch):
    (gallery.place / "spaces").write_text("no folder")
    gallery.add_map(some_map(0.3), {}, None)
    query = gallery.vectors(gallery.items()[:1])
    ids, _ = brute_force(gallery, query, 10, gallery.space())
    assert gallery.search(query, 10).ids[0].tolist() == ids


@pytest.mark.parametrize("blend", [0.0, 0.3, 1.0])
def test_photos_with_equal_vectors_are_at_distance_0_and_tie(gallery, tmp_path, blend):
    one = np.random.default_rng(3).standard_normal(DIM).astype(np.float32)
    root = gallery.root(os.fsencode(tmp_path / "photos"), None)
    gallery.add(root, [entry(f"twin-{n}.jpg", one, "a") for n in range(9)])
    gallery.add_map(some_map(blend), {}, None)
    twins = sorted(item.id for item in gallery.items() if b"twin" in item.path)
    for k in (9, 30):
        matches = gallery.search(Vectors(one[None], gallery.fingerprint), k)
        assert matches.ids[0][:9].tolist() == twins
        assert (matches.distances[0][:9] == 0).all()


# Metrics


def test_the_newest_map_is_the_metric_until_it_is_taken_back(gallery):
    assert gallery.metric == "plain"
    assert gallery.undo_metric() is None
    for expected in ("learned@1", "learned@2"):
        assert gallery.next_version("learned") == expected
        gallery.add_map(some_map(0.3, expected), {"method": "lda"}, None)
        assert gallery.metric == expected
    assert gallery.metrics() == ["plain", "learned@1", "learned@2"]
    assert gallery.named("learned") == "learned@2"
    assert gallery.facts("learned@1")["method"] == "lda"
    assert gallery.undo_metric() == "learned@1"
    assert gallery.undo_metric() == "plain"
    assert gallery.named("learned") == "learned@2"  # it stays
    assert gallery.next_version("learned") == "learned@3"  # a version is never used again
    assert gallery.facts("plain") == {}
    with pytest.raises(InputError, match=r"has no metric nose.*plain, learned@1, learned@2"):
        gallery.space("nose")
    for name in ("plain", "paper"):
        with pytest.raises(InputError, match=f"{name} is a metric that every gallery has"):
            gallery.next_version(name)
    for name in ("Big", "a/b", "a@b", "", "x" * 41):
        with pytest.raises(InputError, match="cannot be called"):
            gallery.next_version(name)


def test_paper_and_plain_in_a_raw_and_in_a_normalised_gallery(gallery, tmp_path):
    with pytest.raises(InputError, match=r"length 1.*--raw"):
        gallery.space("paper")
    with Gallery.create(tmp_path / "raw", fake_embedder(normalise=False)) as raw:
        fill(raw, tmp_path, 20)
        assert raw.metric == "paper"
        query = Vectors(np.random.default_rng(9).random((1, DIM), np.float32), raw.fingerprint)
        for metric, space in (("paper", raw.space("paper")), ("plain", Unit(DIM))):
            ids, found = brute_force(raw, query, 20, space)
            matches = raw.search(query, 20, metric=metric)
            assert matches.ids[0].tolist() == ids
            assert matches.distances[0] == pytest.approx(found, abs=1e-12)
        assert raw.search(query, 20).distances[0].max() > 2  # not of length 1
