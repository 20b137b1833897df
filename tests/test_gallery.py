"""The gallery and its local store: what goes in comes out, and damage is noticed."""

import contextlib
import multiprocessing
import os
import resource
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import fake_embedder
from houndsight import Change, Gallery, InputError, Vectors, Where
from houndsight.errors import (
    DamagedGallery,
    FingerprintMismatch,
    GalleryBusy,
    GalleryError,
    NewerFormat,
    NotAGallery,
)
from houndsight.gallery import Entry
from houndsight.stores import layout, snapshot
from houndsight.stores.catalogue import LocalCatalogue
from houndsight.stores.local import LocalStore
from houndsight.types import Item, Skipped

DIM = 192


@pytest.fixture
def embedder():
    return fake_embedder()


@pytest.fixture
def gallery(tmp_path, embedder):
    with Gallery.create(tmp_path / "gallery", embedder) as gallery:
        yield gallery


def entry(name, vector, label=None, digest=None):
    digest = digest or name.encode().ljust(32, b"-")
    source = "folder" if label else None
    value = None if vector is None else np.asarray(vector, np.float32)
    return Entry(os.fsencode(name), label, source, digest, 10, 20, 30, 40, value)


def fill(gallery, tmp_path, count, labels=("a", "b", None), seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, DIM)).astype(np.float32)
    root = gallery.root(os.fsencode(tmp_path / "photos"), None)
    gallery.add(
        root,
        [entry(f"{n:04d}.jpg", v, labels[n % len(labels)]) for n, v in enumerate(vectors)],
    )
    return root, vectors


def vectors_of(gallery, values):
    return Vectors(np.asarray(values, np.float32), gallery.fingerprint)


def test_what_goes_in_comes_out_after_reopening(gallery, tmp_path):
    root, vectors = fill(gallery, tmp_path, 30)
    with Gallery(gallery.place) as again:
        items = sorted(again.items(), key=lambda item: item.path)
        assert [item.path for item in items] == [b"%04d.jpg" % n for n in range(30)]
        assert np.array_equal(again.vectors(items).values, vectors)
        assert again.labels() == {"a": 10, "b": 10}
        assert again.path_of(items[0]) == os.path.join(root.place, b"0000.jpg")
        assert items[0].key == f"{items[0].id:016x}"
        assert all(0 <= item.id < 1 << 63 for item in items)
        assert again.verify() == []


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 60),
    removed=st.sets(st.integers(0, 59)),
    k=st.integers(1, 70),
    labels=st.none() | st.sets(st.sampled_from(["a", "b", "absent"])),
    labelled=st.booleans(),
    seed=st.integers(0, 5),
)
def test_search_equals_brute_force(tmp_path_factory, count, removed, k, labels, labelled, seed):
    folder = tmp_path_factory.mktemp("g")
    with Gallery.create(folder / "gallery", fake_embedder()) as gallery:
        _, vectors = fill(gallery, folder, count, seed=seed)
        items = {item.path: item for item in gallery.items()}
        order = [items[b"%04d.jpg" % n] for n in range(count)]
        gallery.remove([order[n].id for n in removed if n < count])
        where = Where(None if labels is None else frozenset(labels), labelled)
        query = vectors[:2] + np.float32(0.1)
        hidden = [{order[0].id}, set()][: len(query)]
        found = gallery.search(vectors_of(gallery, query), k, where=where, exclude=hidden)
        for q, out, matches in zip(query, hidden, found, strict=True):
            wanted = sorted(
                (float(np.sqrt(((v.astype(np.float64) - q) ** 2).sum())), item.id)
                for n, (v, item) in enumerate(zip(vectors, order, strict=True))
                if n not in removed
                and item.id not in out
                and (labels is None or item.label in labels)
                and (labels is not None or not labelled or item.label)
            )[:k]
            assert [m.item.id for m in matches] == [id_ for _, id_ in wanted]
            assert np.allclose([m.distance for m in matches], [d for d, _ in wanted], rtol=1e-12)
            assert [m.rank for m in matches] == list(range(1, len(wanted) + 1))


def test_equal_distances_go_by_id_and_max_distance_cuts(gallery, tmp_path):
    root = gallery.root(os.fsencode(tmp_path), None)
    one = np.eye(1, DIM)[0]
    gallery.add(root, [entry(f"{n}.jpg", one) for n in range(5)] + [entry("far.jpg", 3 * one)])
    (matches,) = gallery.search(vectors_of(gallery, [one]), 9, max_distance=1.0)
    assert [m.distance for m in matches] == [0.0] * 5
    assert [m.item.id for m in matches] == sorted(m.item.id for m in matches)


def test_a_foreign_vector_and_a_senseless_k_are_refused(gallery, tmp_path):
    fill(gallery, tmp_path, 3)
    with pytest.raises(FingerprintMismatch):
        gallery.search(Vectors(np.zeros((1, DIM), np.float32), "other"))
    with pytest.raises(InputError, match="k is 0"):
        gallery.search(vectors_of(gallery, np.zeros((1, DIM))), 0)
    with pytest.raises(FingerprintMismatch, match=r"settings: size \(32, not 64\)\."):
        gallery.check(fake_embedder(image_size=64))


def test_what_was_read_before_a_rollback_does_not_count_after_it(gallery):
    assert gallery.metric == "plain"

    def fail_midway():
        with gallery.store.transaction():
            gallery.store.put_document("metric", {"chosen": ["other@1"]})
            assert gallery.metric == "other@1"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_midway()
    assert gallery.metric == "plain"


def test_what_a_killed_making_left_is_no_obstacle(tmp_path, embedder):
    place = tmp_path / "left"
    place.mkdir()
    (place / "network.onnx").write_bytes(b"of a gallery that never was")
    with Gallery.create(place, embedder) as gallery:
        assert gallery.verify() == []
    assert not (place / "network.onnx").exists()


def test_an_empty_gallery_answers_with_nothing(gallery):
    assert gallery.search(vectors_of(gallery, np.zeros((2, DIM))))[0] == []


def test_equal_bytes_share_a_vector_but_not_an_identity(gallery, tmp_path):
    root = gallery.root(os.fsencode(tmp_path), None)
    one, other = np.random.default_rng(0).random((2, DIM))
    same = b"s" * 32
    gallery.add(root, [entry("a.jpg", one, digest=same), entry("b.jpg", other, digest=same)])
    gallery.add(root, [entry("c.jpg", None, digest=same)])
    items = gallery.items()
    assert len({item.id for item in items}) == 3
    stored = gallery.vectors(items).values
    assert (stored == np.float32(one)).all()
    assert len(gallery.with_digest(same)) == 3
    with pytest.raises(GalleryError, match="taken out"):
        gallery.add(root, [entry("d.jpg", None, digest=b"unknown".ljust(32))])
    assert len(gallery) == 3


def test_an_id_that_is_taken_gives_the_next_free_one(tmp_path, embedder):
    with Gallery.create(tmp_path / "g", embedder) as gallery:
        vector = np.ones(DIM)
        first, second = (
            gallery.root(os.fsencode(tmp_path / name), None) for name in ("one", "two")
        )
        gallery.add(first, [entry("a.jpg", vector)])
        gallery.add(second, [entry("a.jpg", vector)])
        low, high = sorted(item.id for item in gallery.items())
        assert high == low + 1


def test_rename_edit_and_relabel_keep_the_id(gallery, tmp_path):
    root = gallery.root(os.fsencode(tmp_path), None)
    one, two = np.random.default_rng(0).random((2, DIM))
    gallery.add(root, [entry("a.jpg", one, "x")])
    (item,) = gallery.items()
    renamed = replace(entry("b.jpg", None, "y"), digest=item.digest)
    other = replace(entry("c.jpg", None, "y"), digest=item.digest)
    loose = {item.id: (item.path, item.digest)}
    # The first of two that might be it is it; from then on it is as it was no more.
    assert gallery.add(root, [renamed], loose=loose) == ["renamed"]
    assert gallery.add(root, [other], loose=loose) == ["new"]
    gallery.remove([found.id for found in gallery.items() if found.path == b"c.jpg"])
    (after,) = gallery.items()
    assert (after.id, after.path, after.label) == (item.id, b"b.jpg", "y")
    edited = entry("b.jpg", two, "y", digest=b"e" * 32)
    assert gallery.add(root, [edited]) == ["changed"]
    (after,) = gallery.items()
    assert after.id == item.id
    assert np.array_equal(gallery.vectors([after]).values[0], np.float32(two))
    gallery.set_labels({item.id: "mine"}, source="user")
    gallery.add(root, [replace(edited, label="folder's", mtime_ns=99)])
    assert [(i.label, i.label_source) for i in gallery.items()] == [("mine", "user")]


def test_every_change_can_be_undone(gallery, tmp_path):
    fill(gallery, tmp_path, 4, labels=("a", None))
    before = gallery.items()
    ids = [item.id for item in before]
    assert gallery.set_labels({ids[0]: "new", ids[1]: None}, source="user") == Change(1, 2)
    assert gallery.remove(ids[:3]) == Change(2, 3)
    assert gallery.remove(ids[:3]) == Change(None, 0)
    assert len(gallery) == 1
    (tmp_path / "moved").mkdir()
    old = gallery.roots()[0].place
    gallery.relocate(old, os.fsencode(tmp_path / "moved"))
    assert gallery.roots()[0].place == os.fsencode(tmp_path / "moved")
    assert [gallery.undo()["action"] for _ in range(3)] == ["relocate", "remove", "label"]
    assert gallery.items() == before
    assert gallery.roots()[0].place == old
    assert gallery.undo() is None
    assert gallery.remove(ids) == Change(4, 4)
    assert gallery.undo()["number"] == 4
    assert gallery.items() == before
    assert gallery.verify() == []


NEVER = 99
ACTS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["user", "folder"]),
            st.dictionaries(st.integers(0, 3), st.sampled_from(["a", "b", None]), max_size=4),
        ),
        st.tuples(st.just("remove"), st.sets(st.integers(0, 3), max_size=3)),
        st.tuples(st.just("undo"), st.none() | st.integers(1, 8) | st.just(NEVER)),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(acts=ACTS)
def test_changes_and_undo_are_as_a_small_model_says(tmp_path_factory, acts):
    folder = tmp_path_factory.mktemp("g")
    with Gallery.create(folder / "gallery", fake_embedder()) as gallery:
        fill(gallery, folder, 4)
        ids = [item.id for item in gallery.store.items()]
        state = {
            n: {"label": i.label, "label_source": i.label_source, "removed": None}
            for n, i in enumerate(gallery.store.items())
        }
        past = []  # [before, after, whether it was taken back], by item and column

        def change(wanted):
            wanted = {n: new for n, new in wanted.items() if new.items() - state[n].items()}
            if not wanted:
                return Change(None, 0)
            before = {n: {name: state[n][name] for name in new} for n, new in wanted.items()}
            past.append([before, wanted, False])
            for n, new in wanted.items():
                state[n].update(new)
            return Change(len(past), len(wanted))

        for kind, what in acts:
            if kind == "remove":
                model = change(
                    {n: {"removed": "user"} for n in what if state[n]["removed"] is None}
                )
                assert gallery.remove([ids[n] for n in what]) == model
            elif kind == "undo":
                left = [n for n, (*_, undone) in enumerate(past, 1) if not undone]
                number = max(left, default=None) if what is None else what
                touched = number in left and any(
                    state[n][name] != value
                    for n, new in past[number - 1][1].items()
                    for name, value in new.items()
                )
                if what is not None and (number not in left or touched):
                    gone = number > len(past)
                    says = "no change" if gone else "again since" if touched else "back already"
                    with pytest.raises(InputError, match=says):
                        gallery.undo(number)
                else:
                    done = gallery.undo(what)
                    assert (done and done["number"]) == number
                    if number is not None:
                        past[number - 1][2] = True
                        for n, old in past[number - 1][0].items():
                            state[n].update(old)
            else:
                by_user = kind == "user"
                wanted = {
                    n: {"label": label, "label_source": kind if label or by_user else None}
                    for n, label in what.items()
                    if state[n]["removed"] is None
                    and (by_user or state[n]["label_source"] != "user")
                }
                assert gallery.set_labels({ids[n]: b for n, b in what.items()}, source=kind) == (
                    change(wanted)
                )
            assert [(i.label, i.label_source, i.removed) for i in gallery.store.items()] == [
                tuple(state[n].values()) for n in range(4)
            ]
        assert gallery.verify() == []


def test_a_change_by_its_number_says_what_stands_in_its_way(gallery, tmp_path):
    root, _ = fill(gallery, tmp_path, 3)
    one, two, three = gallery.items()
    first = gallery.set_labels({one.id: "x", two.id: "x"}, source="user").number
    gallery.set_labels({one.id: "y"}, source="user")
    with pytest.raises(InputError, match=f"item {one.key} was changed again since change 1") as no:
        gallery.undo(first)
    assert no.value.path == one.path
    assert "by hand" in no.value.remedy
    taken = gallery.remove([three.id]).number
    gallery.add(root, [entry(os.fsdecode(three.path), np.ones(DIM), digest=b"new".ljust(32))])
    with pytest.raises(InputError, match="its path is another item's now"):
        gallery.undo(taken)
    for senseless in (0, -1, 10**15):
        with pytest.raises(InputError, match=f"no change {senseless}"):
            gallery.undo(senseless)


def test_a_relocation_is_taken_back_by_its_number(gallery, tmp_path):
    fill(gallery, tmp_path, 1)
    places = [os.fsencode(tmp_path / name) for name in ("photos", "b", "c")]
    for place in places[1:]:
        os.mkdir(place)
    gallery.relocate(places[0], places[1])
    gallery.relocate(places[1], places[2])
    with pytest.raises(InputError, match="relocated again since change 1"):
        gallery.undo(1)
    gallery.undo(2)
    gallery.undo(1)
    assert gallery.roots()[0].place == places[0]


def test_what_compact_makes_final_is_said_to_be(gallery, tmp_path):
    fill(gallery, tmp_path, 4)
    one, two, three, four = gallery.items()
    gallery.set_labels({one.id: "x"}, source="user")
    gallery.set_labels({two.id: "x", four.id: "x"}, source="user")
    gallery.remove([one.id, two.id], by="index")
    gallery.remove([three.id])
    gallery.compact()
    for number in (1, 3, 4):
        with pytest.raises(InputError, match=f"change {number} was made final by compact"):
            gallery.undo(number)
    with pytest.raises(InputError, match=f"item {two.key} of change 2 is gone"):
        gallery.undo(2)
    assert gallery.undo()["number"] == 2  # of what is left of it
    assert gallery.items() == [four]
    assert gallery.undo() is None


def test_a_vector_that_compact_gave_up_does_not_come_back(gallery, tmp_path, monkeypatch):
    fill(gallery, tmp_path, 2)
    gallery.remove([gallery.items()[0].id])
    gallery.store.compact()  # killed before it put on record what is final
    for number in (1, None):
        with pytest.raises(InputError, match="compact gave up its vector"):
            gallery.undo(number)
    assert len(gallery) == 1


def test_undo_reads_no_more_of_the_history_than_it_needs(gallery, tmp_path, monkeypatch):
    fill(gallery, tmp_path, 1)
    (item,) = gallery.items()
    for n in range(30):
        gallery.set_labels({item.id: str(n)}, source="user")
    real, read = gallery.store.documents, []

    def noted(prefix):
        found = real(prefix)
        read.extend(name for name in found if name.startswith("history/"))
        return found

    monkeypatch.setattr(gallery.store, "documents", noted)
    gallery.set_labels({item.id: "last"}, source="user")
    assert read == []
    assert [gallery.undo()["number"] for _ in range(2)] == [31, 30]
    assert len(read) <= 6


def test_documents_are_found_by_the_beginning_of_their_names(gallery):
    names = ["a", "a/", "a/1", "a/10", "a/\U0010fffe", "a0", "b", "A/"]
    for name in names:
        gallery.store.put_document(name, name)
    for prefix in ("", "a", "a/", "a/1", "b", "c"):
        wanted = sorted(name for name in names if name.startswith(prefix))
        assert [n for n in gallery.store.names(prefix) if n in names] == wanted
        assert [n for n in gallery.store.documents(prefix) if n in names] == wanted


def test_an_index_label_never_replaces_a_users(gallery, tmp_path):
    fill(gallery, tmp_path, 2, labels=("a",))
    one, two = (item.id for item in gallery.items())
    gallery.set_labels({one: None}, source="user")
    assert gallery.set_labels({one: "b", two: "b"}, source="folder").count == 1
    assert {item.id: item.label for item in gallery.items()} == {one: None, two: "b"}


def test_relocate_refuses_what_makes_no_sense(gallery, tmp_path):
    fill(gallery, tmp_path, 1)
    with pytest.raises(InputError, match="no such folder"):
        gallery.relocate(b"/x", os.fsencode(tmp_path / "absent"))
    with pytest.raises(InputError, match=r"Indexed folders:.*photos"):
        gallery.relocate(b"/x", os.fsencode(tmp_path))


def test_compact_gives_room_back_and_readers_keep_their_view(gallery, tmp_path):
    fill(gallery, tmp_path, 50)
    items = gallery.items()
    query = gallery.vectors(items[:1])
    reader = Gallery(gallery.place)
    before = [m.distance for m in reader.search(query, 50)[0]]
    mapped = reader.store._live().stored
    gallery.remove([item.id for item in items[10:]], by="index")
    gallery.remove([items[9].id])
    kept = gallery.vectors(items[:9]).values.copy()
    assert gallery.compact() == 41 * DIM * 4
    assert len(mapped[40]) == DIM  # the old file is gone, but this mapping of it is not
    assert [m.item.id for m in reader.search(query, 50)[0]] == [
        m.item.id for m in gallery.search(query, 50)[0]
    ]
    assert len(before) == 50
    assert np.array_equal(gallery.vectors(items[:9]).values, kept)
    assert gallery.verify() == []
    assert sorted(p.name for p in gallery.place.glob("vectors-*")) == ["vectors-2.bin"]
    assert gallery.undo() is None  # those removals are final now
    with pytest.raises(GalleryError, match="gave up"):
        gallery.vectors([items[9]])
    reader.close()


def test_a_compact_in_the_middle_of_a_read_is_not_noticed(gallery, tmp_path, monkeypatch):
    fill(gallery, tmp_path, 20)
    items = gallery.items()
    gallery.remove([item.id for item in items[:5]])
    wanted = gallery.vectors(items[5:]).values.copy()
    reader = Gallery(gallery.place)
    real = reader.store._map
    calls = []

    def compact_first(generation, rows):
        if not calls:
            calls.append(generation)
            gallery.compact()
        return real(generation, rows)

    monkeypatch.setattr(reader.store, "_map", compact_first)
    assert np.array_equal(reader.vectors(items[5:]).values, wanted)
    calls.clear()
    found = reader.search(Vectors(wanted[:1], gallery.fingerprint), 3)[0]
    assert found[0].item == items[5]
    assert found[0].distance == 0.0
    reader.close()


def test_items_read_in_pieces_are_of_one_moment(gallery, tmp_path, monkeypatch):
    fill(gallery, tmp_path, 20, labels=("before",))
    ids = gallery.ids().tolist()
    reader = Gallery(gallery.place)

    whole = layout.chunks

    def relabelled_meanwhile(values):
        yield values[:10]
        monkeypatch.setattr(layout, "chunks", whole)
        gallery.set_labels(dict.fromkeys(ids, "after"), source="user")
        yield values[10:]

    monkeypatch.setattr(layout, "AT_ONCE", 10)
    monkeypatch.setattr(layout, "chunks", relabelled_meanwhile)
    assert {item.label for item in reader.items(ids)} == {"before"}
    assert {item.label for item in reader.items(ids)} == {"after"}
    reader.close()


@pytest.mark.parametrize("then", [lambda gallery: None, Gallery.compact], ids=["", "compacted"])
def test_an_answer_and_what_is_told_of_it_are_of_one_moment(gallery, tmp_path, monkeypatch, then):
    _, vectors = fill(gallery, tmp_path, 20, labels=("before",))
    ids = gallery.ids().tolist()
    query = vectors_of(gallery, vectors[:1])
    reader = Gallery(gallery.place)
    found = reader.store.candidates
    left = [ids, ids[:10], ids[:5]]
    calls = []

    def another_writes_meanwhile(*asked):
        yield from found(*asked)
        now = left[len(calls)]
        calls.append(1)
        gallery.set_labels(dict.fromkeys(now, f"after {len(calls)}"), source="user")
        gallery.remove(now[len(left[len(calls)]) :])
        then(gallery)

    monkeypatch.setattr(reader.store, "candidates", another_writes_meanwhile)
    answer = reader.search(query, 20)
    assert len(calls) == 2
    assert set(answer.ids[0].tolist()) == set(left[1])
    assert {(item.label, item.removed) for item in answer.items.values()} == {("after 1", None)}
    monkeypatch.undo()
    after = reader.search(query, 20)
    assert set(after.ids[0].tolist()) == set(left[2])
    assert {item.label for item in after.items.values()} == {"after 2"}
    reader.close()


def statements(gallery):
    """What of the items is asked of SQLite from now on."""
    told = []
    gallery.store._db.set_trace_callback(lambda text: "FROM items" in text and told.append(text))
    return told


def test_items_that_searches_ask_for_often_are_kept(gallery, tmp_path):
    _, vectors = fill(gallery, tmp_path, 90)
    gone = gallery.ids().tolist()[-1]
    gallery.remove([gone])
    live = gallery.items()

    def found(some, k):
        return gallery.search(vectors_of(gallery, vectors[some]), k).items

    found([0], 9)
    told = statements(gallery)
    first = found([1], 9)
    assert [" IN " in text for text in told] == [True]  # 18 are less than a third of 89
    found([2, 3], 9)
    assert [" IN " in text for text in told] == [True, False]  # all of them
    assert found([1], 9) == first
    assert found(range(90), 89) == {item.id: item for item in live}
    some = [live[3].id, live[1].id, live[3].id]
    assert gallery.store.items(some) == [live[1], live[3]]
    assert gallery.store.items([]) == []
    assert len(told) == 2
    # What is not among them is read, with what was asked for beside it.
    read = gallery.store.items([gone, some[0], 7])
    assert {item.id: item.removed for item in read} == {gone: "user", some[0]: None}
    assert len(told) == 3


def test_items_that_are_kept_are_of_what_was_committed_last(gallery, tmp_path):
    _, vectors = fill(gallery, tmp_path, 5, labels=("one",))
    asked = vectors_of(gallery, vectors)

    def labels(of):
        return [{item.label for item in of.search(asked, 5).items.values()} for _ in range(3)]

    with Gallery(gallery.place) as other:
        assert labels(other) == labels(gallery) == [{"one"}] * 3
        ids = gallery.ids().tolist()
        gallery.set_labels(dict.fromkeys(ids, "two"), source="user")
        assert labels(other) == labels(gallery) == [{"two"}] * 3

        def fail_midway():
            with other.store.transaction():
                other.set_labels(dict.fromkeys(ids, "three"), source="user")
                assert labels(other) == [{"three"}] * 3
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_midway()
        assert labels(other) == labels(gallery) == [{"two"}] * 3
        assert {item.label for item in other.store.items(ids)} == {"two"}
        other.remove(ids[:1])
        assert len(gallery.search(asked, 5).items) == 4
        assert gallery.store.items(ids[:1])[0].removed == "user"


def test_items_of_a_gallery_that_is_large_or_damaged_elsewhere_are_not_kept(
    gallery, tmp_path, monkeypatch
):
    _, vectors = fill(gallery, tmp_path, 5)
    asked = vectors_of(gallery, vectors)
    with monkeypatch.context() as patch, Gallery(gallery.place) as large:
        patch.setattr(snapshot, "KEPT", 4)
        large.search(asked, 5)
        told = statements(large)
        for n in range(1, 5):
            large.search(asked, 5)
            assert len(told) == n

    read = LocalCatalogue._items

    def damaged(self, column, values, condition="1"):
        if values is None:
            raise DamagedGallery("a page of it is damaged")
        return read(self, column, values, condition)

    with Gallery(gallery.place) as other:
        monkeypatch.setattr(LocalCatalogue, "_items", damaged)
        for _ in range(3):
            assert len(other.search(asked, 5).items) == 5


def test_numbers_of_numpy_are_ids(gallery, tmp_path):
    fill(gallery, tmp_path, 4)
    ids = gallery.ids()
    for _ in range(3):  # read one by one, and kept
        assert [item.id for item in gallery.store.items(ids)] == sorted(ids.tolist())
        gallery.search(vectors_of(gallery, np.ones((1, DIM))), 4)
    with pytest.raises(TypeError):
        gallery.store.items([0.5])


def test_other_threads_do_not_wait_for_a_search(gallery, tmp_path, monkeypatch):
    _, vectors = fill(gallery, tmp_path, 5)
    found = gallery.store.candidates
    begun, looked = threading.Event(), threading.Event()

    def slow(*asked):
        yield from found(*asked)
        begun.set()
        assert looked.wait(10)

    monkeypatch.setattr(gallery.store, "candidates", slow)
    with ThreadPoolExecutor(2) as others:
        searching = others.submit(gallery.search, vectors_of(gallery, vectors[:1]), 3)
        assert begun.wait(10)
        try:
            assert len(others.submit(gallery.items).result(timeout=5)) == 5
        finally:
            looked.set()
        assert searching.result().ids.shape == (1, 3)


def test_find_by_id_and_by_every_kind_of_path(gallery, tmp_path, monkeypatch):
    fill(gallery, tmp_path, 2)
    (tmp_path / "photos").mkdir()
    item = next(item for item in gallery.items() if item.path == b"0000.jpg")
    monkeypatch.chdir(tmp_path / "photos")
    for name in (item.key, "0000.jpg", "./0000.jpg", str(tmp_path / "photos" / "0000.jpg")):
        assert gallery.find(name) == item
    with pytest.raises(InputError, match="not in the gallery"):
        gallery.find("absent.jpg")
    gallery.remove([item.id])
    with pytest.raises(InputError, match="not in the gallery"):
        gallery.find(item.key)


def test_roots_do_not_overlap(gallery, tmp_path):
    outer = gallery.root(os.fsencode(tmp_path), "none")
    assert gallery.root(os.fsencode(tmp_path), None) == outer
    (tmp_path / "link").symlink_to(tmp_path)
    assert gallery.root(os.fsencode(tmp_path / "link"), None).number == outer.number
    with pytest.raises(InputError, match="lies inside"):
        gallery.root(os.fsencode(tmp_path / "inner"), None)


def test_skipped_files_are_remembered(gallery, tmp_path):
    root = gallery.root(os.fsencode(tmp_path), None)
    bad, gone = (os.path.join(root.place, name) for name in (b"bad\n\xff.jpg", b"gone.jpg"))
    gallery.add(root, [Skipped(bad, "is empty"), Skipped(gone, "away")], retry={bad: (0, 5)})
    assert gallery.skipped() == [Skipped(bad, "is empty"), Skipped(gone, "away")]
    assert gallery.unchanged_skips(root) == {b"bad\n\xff.jpg": (0, 5)}
    gallery.forget_skipped(root, keep={b"bad\n\xff.jpg"}, unseen=())
    assert gallery.skipped() == [Skipped(bad, "is empty")]


def _append(place, ready, release):
    with Gallery(place) as gallery, gallery.appending():
        ready.set()
        release.wait(30)


def test_one_process_appends_while_labels_change(gallery, tmp_path):
    root, _ = fill(gallery, tmp_path, 2, labels=("a",))
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    process = context.Process(target=_append, args=(gallery.place, ready, release))
    process.start()
    try:
        assert ready.wait(60)
        with pytest.raises(GalleryBusy), gallery.appending():
            pass
        assert gallery.set_labels({gallery.items()[0].id: "b"}, source="user").count == 1
        assert gallery.remove([gallery.items()[1].id]).count == 1
    finally:
        release.set()
        process.join(60)
    with gallery.appending():
        gallery.add(root, [entry("late.jpg", np.ones(DIM))])
    assert len(gallery) == 2


def test_another_process_sees_each_commit(gallery, tmp_path):
    fill(gallery, tmp_path, 3)
    with Gallery(gallery.place) as other:
        query = vectors_of(gallery, np.ones((1, DIM)))
        assert len(other.search(query)[0]) == 3
        gallery.add(other.roots()[0], [entry("x.jpg", np.ones(DIM))])
        assert len(other.search(query)[0]) == 4
        gallery.remove([gallery.items()[0].id])
        assert len(other.search(query)[0]) == 3


def test_a_failed_batch_leaves_nothing(gallery, tmp_path):
    root, _ = fill(gallery, tmp_path, 2)
    bad = np.full(DIM, np.nan)
    with pytest.raises(GalleryError, match="not finite"):
        gallery.add(root, [entry("ok.jpg", np.ones(DIM)), entry("bad.jpg", bad)])
    with pytest.raises(GalleryError, match="192 numbers"):
        gallery.add(root, [entry("short.jpg", np.ones(3))])
    assert len(gallery) == 2
    assert gallery.verify() == []


def _columns(place, statement, *values):
    with contextlib.closing(sqlite3.connect(place / "catalogue.sqlite")) as db, db:
        db.execute(statement, values)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE items SET label = 'z' WHERE row = 1", "catalogue row"),
        ("UPDATE items SET row = 0 WHERE row = 1", "catalogue row"),
        ("UPDATE documents SET body = '{}' WHERE name = 'settings'", "document 'settings'"),
        ("UPDATE vectors SET generation = 7", "vectors-7.bin"),
    ],
)
def test_verify_notices_a_changed_catalogue(gallery, tmp_path, statement, says):
    fill(gallery, tmp_path, 3)
    assert gallery.verify() == []
    _columns(gallery.place, statement)
    damage = gallery.verify()
    assert len(damage) == 1
    assert says in damage[0]


@settings(max_examples=20, deadline=None)
@given(place=st.integers(0, 3 * DIM * 4 - 1), bit=st.integers(0, 7))
def test_verify_notices_any_flipped_bit_of_a_vector(tmp_path_factory, place, bit):
    folder = tmp_path_factory.mktemp("g")
    with Gallery.create(folder / "gallery", fake_embedder()) as gallery:
        fill(gallery, folder, 3)
        file = gallery.place / "vectors-1.bin"
        data = bytearray(file.read_bytes())
        data[place] ^= 1 << bit
        file.write_bytes(data)
        assert len(gallery.verify()) == 1


def test_verify_notices_a_cut_vector_file_and_search_says_so(gallery, tmp_path):
    fill(gallery, tmp_path, 3)
    file = gallery.place / "vectors-1.bin"
    os.truncate(file, file.stat().st_size - 1)
    assert len(gallery.verify()) == 1
    with Gallery(gallery.place) as again, pytest.raises(DamagedGallery, match="fewer than the 3"):
        again.search(vectors_of(gallery, np.ones((1, DIM))))


def test_what_a_crash_left_behind_the_last_row_is_overwritten(gallery, tmp_path):
    root, _ = fill(gallery, tmp_path, 2)
    with (gallery.place / "vectors-1.bin").open("ab") as file:
        file.write(b"half a vector")
    gallery.add(root, [entry("next.jpg", np.full(DIM, 7.0))])
    item = next(item for item in gallery.items() if item.path == b"next.jpg")
    assert (gallery.vectors([item]).values == 7.0).all()
    assert gallery.verify() == []


def test_places_that_are_no_gallery_are_named(tmp_path, embedder):
    with pytest.raises(NotAGallery, match="houndsight index"):
        Gallery(tmp_path)
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(NotAGallery, match="other things"):
        Gallery.create(tmp_path, embedder)
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
    (tmp_path / "catalogue.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(DamagedGallery):
        Gallery(tmp_path)
    (tmp_path / "catalogue.sqlite").unlink()
    _columns(tmp_path, "CREATE TABLE other (x)")
    with pytest.raises(NotAGallery, match="no houndsight catalogue"):
        Gallery(tmp_path)


def test_a_newer_format_is_refused_by_name(gallery):
    _columns(gallery.place, "PRAGMA user_version = 99")
    with pytest.raises(NewerFormat, match=r"format 99.*reads up to 1"):
        Gallery(gallery.place)


def test_a_kill_while_it_was_made_is_no_obstacle(tmp_path, embedder):
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / ".catalogue.sqlite.draft").write_bytes(b"half")
    (tmp_path / "g" / "vectors-1.bin").touch()
    with Gallery.create(tmp_path / "g", embedder) as gallery:
        assert len(gallery) == 0


def test_what_a_full_disk_has_refused_is_not_written_later(tmp_path):
    """After the rollback another process may have its rows in that place."""
    store = LocalStore.create(tmp_path / "g", 4, {})
    limit, none = resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2
    item = Item(1, 1, b"1", None, None, b"1", 1, 1, 1, 1)
    real = store._db

    class Watched:
        """The catalogue, in which another store writes as soon as it may."""

        def __getattr__(self, name):
            return getattr(real, name)

        def execute(self, query, *more):
            found = real.execute(query, *more)
            if query == "ROLLBACK":
                resource.setrlimit(limit, none)
                with contextlib.closing(LocalStore(tmp_path / "g")) as other:
                    other.put([replace(item, id=2, path=b"2")], {2: np.full(4, 2, np.float32)})
            return found

    end = store._end

    def full():
        resource.setrlimit(limit, (0, resource.RLIM_INFINITY))
        return end()

    store._db, store._end = Watched(), full
    try:
        with pytest.raises(GalleryError, match="nothing of this step was stored"):
            store.put([item], {1: np.full(4, 1, np.float32)})
    finally:
        resource.setrlimit(limit, none)
    with contextlib.closing(LocalStore(tmp_path / "g")) as other:
        assert other.vectors([2]).tolist() == [[2, 2, 2, 2]]
        assert other.verify() == []
    store.close()
