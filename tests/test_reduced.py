"""The files of short rows beside a gallery's vectors: quick searches, and never another answer."""

import os
import shutil
import time

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import fake_embedder
from houndsight import Gallery, Vectors, Where, bound
from houndsight.gallery import Entry
from houndsight.learning import learn
from houndsight.stores import reduced

DIM = 192


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Galleries of a hundred photos count as large ones, and the bound is always tried."""
    monkeypatch.setattr(reduced, "FEWEST", 50 * DIM)
    monkeypatch.setattr(reduced, "RECENT", 40)
    monkeypatch.setattr(bound, "FULL", 1)


def made(folder, count, seed=0):
    """A gallery with a structure in its vectors; not tidied yet."""
    gallery = Gallery.create(folder / "gallery", fake_embedder())
    more(gallery, folder, count, seed)
    return gallery


def more(gallery, folder, count, seed):
    rng = np.random.default_rng(seed)
    fixed = np.random.default_rng(99)
    axes, centres = fixed.standard_normal((6, DIM)), fixed.standard_normal((12, DIM))
    vectors = rng.standard_normal((count, 6)) @ axes + centres[np.arange(count) % 12]
    vectors += 0.1 * rng.standard_normal((count, DIM))
    root = gallery.root(os.fsencode(folder / "photos"), None)
    entries = []
    for n, vector in enumerate(vectors.astype(np.float32)):
        name = b"%d-%05d" % (seed, n)
        digest = name.ljust(32, b"-")
        entries.append(Entry(name, "abcdefghijkl"[n % 12], "folder", digest, 1, 2, 3, 4, vector))
    gallery.add(root, entries)


def agrees(gallery, k=7, where=None, queries=3):
    """Hold a search against plain NumPy; returns how many queries went through the bound."""
    where = where or Where()
    items = gallery.items()
    vectors = gallery.vectors(items).values.astype(np.float64)
    wanted = [n for n, i in enumerate(items) if where.labels is None or i.label in where.labels]
    asked = vectors[:queries].astype(np.float32) + np.float32(0.01)
    counted = []
    real = bound.candidates

    def counting(*arguments):
        for found in real(*arguments):
            counted.append(found is not None)
            yield found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bound, "candidates", counting)
        answers = gallery.search(Vectors(asked, gallery.fingerprint), k, where=where)
    for query, matches in zip(asked, answers, strict=True):
        exact = np.sqrt(((vectors[wanted] - query.astype(np.float64)) ** 2).sum(axis=1))
        order = sorted((d, items[n].id) for d, n in zip(exact, wanted, strict=True))[:k]
        assert [m.item.id for m in matches] == [id_ for _, id_ in order]
        assert np.allclose([m.distance for m in matches], [d for d, _ in order], rtol=1e-12)
    return sum(counted)


def files(gallery, pattern="base-*.rows"):
    return sorted(path.name for path in (gallery.place / "spaces").glob(pattern))


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 150),
    later=st.integers(0, 60),
    removed=st.sets(st.integers(0, 149), max_size=40),
    k=st.integers(1, 30),
    labels=st.sampled_from([None, {"a"}, {"a", "b"}, {"none"}]),
    queries=st.sampled_from([1, 3, 9]),
    seed=st.integers(0, 5),
)
def test_search_equals_brute_force(
    tmp_path_factory, count, later, removed, k, labels, queries, seed
):
    folder = tmp_path_factory.mktemp("g")
    with made(folder, count, seed) as gallery:
        gallery.tidy()
        more(gallery, folder, later, seed=seed + 10)
        order = gallery.items()
        gallery.remove([order[n].id for n in removed if n + 1 < len(order)])
        agrees(gallery, k, Where(None if labels is None else frozenset(labels)), queries)


def test_the_bound_is_used_once_there_are_rows_enough(tmp_path):
    with made(tmp_path, 49) as gallery:
        gallery.tidy()
        assert files(gallery) == []
        assert agrees(gallery) == 0
        more(gallery, tmp_path, 31, seed=1)
        assert agrees(gallery) == 0  # a search makes no files
        assert files(gallery) == []
        gallery.tidy()
        assert len(files(gallery)) == len(bound.columns(DIM)) == 2
        assert agrees(gallery) == 3
        assert agrees(gallery, where=Where(frozenset("abcdef"))) > 0
        assert gallery.verify() == []


def test_photos_that_come_later_are_found_and_files_extended_in_time(tmp_path):
    with made(tmp_path, 80) as gallery, Gallery(gallery.place) as reader:
        gallery.tidy()
        assert agrees(reader) == 3
        more(gallery, tmp_path, 15, seed=1)
        size = (gallery.place / "spaces" / files(gallery)[0]).stat().st_size
        assert agrees(reader) == 3  # in memory
        gallery.tidy()  # not worth it yet
        assert (gallery.place / "spaces" / files(gallery)[0]).stat().st_size == size
        more(gallery, tmp_path, 30, seed=2)
        assert agrees(reader) == 0  # too many to shorten while somebody waits
        gallery.tidy()
        assert (gallery.place / "spaces" / files(gallery)[0]).stat().st_size > size
        assert agrees(reader) == 3
        assert gallery.verify() == []


def test_axes_that_have_drifted_are_fitted_anew(tmp_path):
    with made(tmp_path, 80) as gallery, Gallery(gallery.place) as reader:
        gallery.tidy()
        before = files(gallery)
        assert agrees(reader) == 3
        rng = np.random.default_rng(5)
        root = gallery.root(os.fsencode(tmp_path / "photos"), None)
        other = rng.standard_normal((80, 30)) @ rng.standard_normal((30, DIM)) * 9
        gallery.add(
            root,
            [
                Entry(b"o%d" % n, "z", "folder", (b"o%d" % n).ljust(32), 1, 2, 3, 4, v)
                for n, v in enumerate(other.astype(np.float32))
            ],
        )
        gallery.tidy()
        assert len(files(gallery)) == len(before)
        assert not set(files(gallery)) & set(before)
        agrees(reader)
        assert reader.store._spaces["base"].reduced.levels


def test_compact_makes_them_for_the_new_vector_file(tmp_path):
    with made(tmp_path, 90) as gallery, Gallery(gallery.place) as reader:
        gallery.tidy()
        agrees(reader)
        gallery.remove([item.id for item in gallery.items()[:20]])
        assert agrees(reader) == 3
        gallery.compact()
        assert [name.rsplit("-")[-1] for name in files(gallery)] == ["2.rows", "2.rows"]
        assert files(gallery, "*.basis") == ["base-2.basis"]
        assert agrees(reader) == agrees(gallery) == 3


def test_a_removed_last_photo_costs_nothing(tmp_path):
    with made(tmp_path, 90) as gallery:
        gallery.tidy()
        last = max(
            gallery.store._places([i.id for i in gallery.items()]).items(), key=lambda p: p[1]
        )
        gallery.remove([last[0]])
        with Gallery(gallery.place) as again:
            assert agrees(again) == 3


def test_files_that_are_damaged_or_gone_do_not_change_answers(tmp_path):
    with made(tmp_path, 90) as gallery:
        gallery.tidy()
        gallery.close()
        basis = gallery.place / "spaces" / "base-1.basis"
        whole = basis.read_bytes()
        for content in (b"", whole[:1000], whole[:-40], b"x" * 4000, None):
            if content is None:
                shutil.rmtree(basis.parent)
            else:
                basis.write_bytes(content)
            with Gallery(gallery.place) as again:
                assert agrees(again) == 0
                again.tidy()
                assert agrees(again) == 3


def test_a_flipped_bit_in_the_axes_leads_to_rows_that_are_not_there(tmp_path):
    with made(tmp_path, 90) as gallery:
        gallery.tidy()
    basis = gallery.place / "spaces" / "base-1.basis"
    data = bytearray(basis.read_bytes())
    data[len(data) // 2] ^= 1
    basis.write_bytes(data)
    with Gallery(gallery.place) as again:
        assert agrees(again) == 0


def test_verify_notices_a_flipped_bit_in_the_rows(tmp_path):
    with made(tmp_path, 90) as gallery:
        gallery.tidy()
        path = gallery.place / "spaces" / files(gallery)[0]
        data = bytearray(path.read_bytes())
        data[-7] ^= 4
        path.write_bytes(data)
        assert "delete it, it is made again" in gallery.verify()[0]


def test_a_learned_space_has_its_own(tmp_path):
    with made(tmp_path, 90) as gallery:
        learn(gallery)
        gallery.tidy()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bound, "PARTS", (1,))
            patch.setattr(reduced, "FEWEST", 1)
            gallery.tidy()
            assert len(files(gallery, "learned@1-*-*-1.rows")) == 1
            query = Vectors(gallery.vectors(gallery.items()[:1]).values, gallery.fingerprint)
            short = gallery.search(query, 5)
        assert gallery.store._spaces["learned@1"].reduced.levels
        shutil.rmtree(gallery.place / "spaces")
        with Gallery(gallery.place) as again:
            assert np.array_equal(again.search(query, 5).ids, short.ids)
            assert np.array_equal(again.search(query, 5).distances, short.distances)


def test_a_search_does_not_wait_while_another_process_tidies(tmp_path):
    with made(tmp_path, 90) as gallery:
        learn(gallery)
        gallery.tidy()
        query = Vectors(gallery.vectors(gallery.items()[:1]).values, gallery.fingerprint)
        more(gallery, tmp_path, 5, seed=1)
        key = gallery.space().key
        with FileLock(gallery.place / "spaces" / f"{key}-1.tidy"):
            begin = time.monotonic()
            gallery.search(query, 5)
            assert time.monotonic() - begin < 5
            gallery.tidy()  # left to the other


def test_where_nothing_may_be_written_searches_are_slower_and_right(tmp_path, monkeypatch):
    with made(tmp_path, 90) as gallery:

        def refuse(*_, **__):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(reduced, "FileLock", refuse)
        gallery.tidy()
        assert files(gallery) == []
        assert agrees(gallery) == 0
