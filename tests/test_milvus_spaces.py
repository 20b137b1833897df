"""Learned metrics in Milvus: searched in collections of their own, kept up to date, never needed.

Every answer is held against brute force over the images of the stored vectors.
"""

import contextlib
import json
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import fake_embedder, write_photo
from houndsight import Gallery, GalleryError, Vectors, Where, cli, copy_gallery
from houndsight.maps import Map
from houndsight.stores.indexes import Index
from houndsight.stores.milvus import search as milvus_search
from houndsight.stores.milvus import store as milvus_store
from houndsight.stores.milvus.client import Server
from houndsight.stores.milvus.derived import names
from houndsight.stores.milvus.lease import LOCK, Lease
from houndsight.stores.milvus.near import NEAR
from houndsight.stores.milvus.rows import ITEMS, OUT
from houndsight.stores.milvus.texts import DOCUMENTS, key_of
from milvus_servers import Killed, dying, needs_milvus
from test_store_contract import DIM, LABELS, items, learned, numbers

pytestmark = needs_milvus
HERE = Path(__file__).parent
COUNT = 200
CHANGING = ("write", "delete", "make", "drop")
LITE = ("--model", "efficientnet-lite0")


@pytest.fixture
def gallery(url):
    """A gallery of vectors without photos, with a learned metric."""
    settings = {**fake_embedder().settings(), "dim": DIM}
    with Gallery.create_for(url, settings) as gallery:
        some = items(COUNT)
        vectors = dict(zip([one.id for one in some], numbers(COUNT), strict=True))
        gallery.store.put_document("roots", {"1": {"place": "/p", "labels": "none"}})
        gallery.store.put(some, vectors)
        gallery.add_map(learned(), {}, None)
        yield gallery


def collection(gallery):
    """The only collection of a learned metric that is there."""
    (found,) = collections(gallery)
    return found


def collections(gallery):
    return [name for name in names(gallery.store._texts) if name != NEAR]


def up_to_date(gallery, space=None):
    """Whether it has all live items as they are in the space, with their labels, and no others."""
    space = space or gallery.space()
    server = gallery.store._server
    (one,) = (one for one in gallery.store._derived().values() if one.name == collection(gallery))
    there = {row["id"]: row for some in one.every() for row in some}
    ids = gallery.ids().tolist()
    images = space(gallery.store.vectors(ids))
    live = {row["id"]: row for row in server.rows(ITEMS, "id", ids, OUT)}
    return there.keys() == {*ids} and all(
        np.allclose(there[id_]["vector"], image, atol=1e-6)
        and there[id_]["label_key"] == live[id_]["label_key"]
        for id_, image in zip(ids, images, strict=True)
    )


OUT_HERE = ["id", "label_key", "vector"]


def asked(monkeypatch):
    """Note which collections are searched, and whether vectors are looked at one by one."""
    seen, real, sight = [], Server.search, milvus_store.by_sight

    def search(self, collection, *more):
        seen.append(collection)
        return real(self, collection, *more)

    def by_sight(*arguments):
        seen.append("by sight")
        return sight(*arguments)

    monkeypatch.setattr(Server, "search", search)
    monkeypatch.setattr(milvus_store, "by_sight", by_sight)
    return seen


def right(gallery, queries, k, where=None, metric=None):
    """Search, and hold what is found against brute force."""
    where = where or Where()
    found = gallery.search(Vectors(queries, gallery.fingerprint), k, where=where, metric=metric)
    space = gallery.space(metric)
    fitting = [
        item
        for item in gallery.items()
        if (where.labels is None or item.label in where.labels)
        and (item.label is not None or not where.labelled)
    ]
    images = space.exact(gallery.store.vectors([item.id for item in fitting]))
    ids = np.array([item.id for item in fitting])
    for n, query in enumerate(space.exact(queries)):
        distance = np.sqrt(((images - query) ** 2).sum(axis=1))
        # Equal photos are found by their ids; sums in another order may tell them apart.
        order = np.lexsort((ids, distance.round(12)))[:k]
        assert found.ids[n].tolist() == ids[order].tolist()
        assert np.allclose(found.distances[n], distance[order], atol=1e-9)
    return found


# Used


def test_milvus_searches_in_the_metric_in_use(gallery, monkeypatch):
    seen = asked(monkeypatch)
    queries = numbers(5, seed=3)
    right(gallery, queries, 7)
    right(gallery, queries, 7, Where(labelled=True))
    right(gallery, queries, 3, Where(labels=frozenset([LABELS[1], LABELS[2], None])))
    right(gallery, queries, 7, Where(labels=frozenset()))
    assert {*seen} == {collection(gallery)}
    seen.clear()
    right(gallery, queries, 7, metric="plain")
    assert {*seen} == {ITEMS}


@pytest.mark.parametrize("seed", range(3))
def test_answers_are_right_whatever_has_changed(gallery, monkeypatch, seed):
    rng, store = np.random.default_rng(seed), gallery.store
    seen, serial = asked(monkeypatch), COUNT
    for _ in range(12):
        ids = gallery.ids().tolist()
        some = rng.choice(ids, 5, replace=False).tolist()
        match rng.integers(6):
            case 0:
                gallery.remove(some)
            case 1:
                gallery.undo()
            case 2:
                label = LABELS[rng.integers(len(LABELS))]
                gallery.set_labels(dict.fromkeys(some, label), source="user")
            case 3:
                new = items(4, first=serial)
                serial += 4
                vectors = numbers(4, seed=serial)
                vectors[1] = vectors[0]  # the same photo twice
                store.put(new, {item.id: v for item, v in zip(new, vectors, strict=True)})
            case 4:  # other bytes under the same path
                old = store.items(some)
                vectors = numbers(5, seed=serial)
                store.put(old, {item.id: v for item, v in zip(old, vectors, strict=True)})
            case 5:
                store.put([replace(items(1, first=serial)[0], removed="user")], {})
                serial += 1
        right(gallery, np.concatenate([numbers(2, seed=serial), store.vectors(some[:1])]), 6)
        right(gallery, numbers(2, seed=serial), 4, Where(labels=frozenset(["pug", None])))
    assert up_to_date(gallery)
    assert gallery.verify() == []
    assert {*seen} == {collection(gallery)}


def test_a_metric_of_one_number(gallery, monkeypatch):
    """As of two labels: Milvus wants two."""
    rng = np.random.default_rng(0)
    few = np.zeros(DIM), rng.normal(size=(DIM, 1)), rng.normal(size=(DIM, 2)), np.zeros(2)
    gallery.add_map(Map("pair@1", *few, ("a", "b"), 1.0, 0.0), {}, None)
    assert gallery.space().dim == 1
    seen = asked(monkeypatch)
    gallery.search(Vectors(numbers(3, seed=3), gallery.fingerprint), 5)
    assert {*seen} == {gallery.store._mapped_of(gallery.space()).name}
    assert gallery.verify() == []


def test_images_rounded_on_another_machine_are_no_reason_to_look_at_all(gallery, monkeypatch):
    """A unit in the last place is within the proof; what is not is noticed, and costs time only."""
    server, name = gallery.store._server, collection(gallery)
    rows = [row for some in server.every(name, "", OUT_HERE) for row in some]
    for row in rows:
        row["vector"] = np.nextafter(np.array(row["vector"], np.float32), np.float32(2))
    server.write(name, rows)
    seen = asked(monkeypatch)
    right(gallery, numbers(9, seed=3), 7)
    assert {*seen} == {name}
    assert gallery.verify() == []
    for row in rows:
        row["vector"] = np.array(row["vector"], np.float32) * np.float32(1.001)
    server.write(name, rows)
    seen.clear()
    right(gallery, numbers(4, seed=3), 7)
    assert len(seen) == 3  # for more, and then for all
    (said,) = gallery.verify()
    assert f"of the metric kinds@1 lacks 0 vectors and has {COUNT} that are not as stored" in said
    assert "run houndsight compact, which makes it anew" in said
    gallery.compact()
    assert gallery.verify() == []
    assert up_to_date(gallery)


def test_a_row_left_out_by_rounding_is_found(monkeypatch):
    """Where Milvus has the k-th nearest behind others by what float32 may do, all are asked for."""
    space = learned()
    vectors = numbers(100)
    images = space(vectors)
    query = images[:1] + np.float32(0.02)
    order = np.argsort(((images - query) ** 2).sum(axis=1))
    # The last two that are returned, and one that is not, are as far as rounding can tell.
    vectors[order[18]] = vectors[order[19]] = vectors[order[2]]
    monkeypatch.setattr(milvus_search, "SPARE", 16)
    left_out, limits = order[2], []

    def look(queries, limit):
        limits.append(limit)
        there = space(vectors)
        found = []
        for one in queries:
            squared = ((there - one) ** 2).sum(axis=1)
            squared[left_out] += 1e-7  # within the bound
            nearest = np.argsort(squared, kind="stable")[:limit]
            found.append([{"id": int(n), "distance": squared[n]} for n in nearest])
        return found

    def all_of_them(some):
        raise AssertionError

    ((ids, held),) = milvus_search.by_search(
        look, query, 3, space, vectors.__getitem__, all_of_them
    )
    distance = np.sqrt(((space.exact(vectors) - query.astype(np.float64)) ** 2).sum(axis=1))
    assert {*np.flatnonzero(distance <= np.sort(distance)[2])} <= {*ids.tolist()}
    assert np.array_equal(held, vectors[ids])
    assert limits[0] == 19


# Kept up to date


def test_it_follows_the_gallery(gallery):
    assert up_to_date(gallery)
    gallery.remove(gallery.ids().tolist()[:30])
    assert up_to_date(gallery)
    gallery.undo()
    assert up_to_date(gallery)
    gallery.set_labels(dict.fromkeys(gallery.ids().tolist()[:9], 'a "new" one'), source="user")
    assert up_to_date(gallery)
    store, some = gallery.store, items(3, first=COUNT)
    store.put(some[:1], {some[0].id: np.ones(DIM, np.float32)})
    store.put(some[:1], {some[0].id: np.full(DIM, 2, np.float32)})
    store.put([replace(some[1], removed="user")], {})
    assert up_to_date(gallery)
    gallery.remove(gallery.ids().tolist()[:3])
    gallery.compact()
    assert up_to_date(gallery)
    assert gallery.verify() == []


def test_a_new_version_takes_the_place_of_the_old(gallery, monkeypatch):
    gallery.add_map(learned("kinds@2", seed=5), {}, None)
    assert up_to_date(gallery, learned("kinds@2", seed=5))
    seen = asked(monkeypatch)
    right(gallery, numbers(2, seed=3), 5, metric="kinds@1")
    assert collection(gallery) not in seen
    assert gallery.undo_metric() == "kinds@1"
    assert up_to_date(gallery, learned())
    right(gallery, numbers(2, seed=3), 5)
    assert seen[-1] == collection(gallery)
    # Another metric has its own.
    gallery.add_map(learned("others@1", seed=6), {}, None)
    assert len(collections(gallery)) == 2
    for metric in ("kinds@1", "others"):
        right(gallery, numbers(2, seed=3), 5, metric=metric)
        assert seen[-1] != ITEMS
    assert len({*seen[-2:]}) == 2
    gallery.compact()
    assert up_to_date(gallery, learned("others@1", seed=6))


def test_what_cannot_be_written_is_given_up_and_nothing_else(gallery, monkeypatch):
    name, real = collection(gallery), Server.write

    def write(self, collection, rows, *more):
        if collection == name:
            raise GalleryError("disk full", path=self.address)
        return real(self, collection, rows, *more)

    with monkeypatch.context() as patch:
        patch.setattr(Server, "write", write)
        (item,) = items(1, first=COUNT)
        gallery.store.put([item], {item.id: np.ones(DIM, np.float32)})
        assert not gallery.store._seen()
        assert collections(gallery) == []
        right(gallery, numbers(2, seed=3), 5)
        gallery.tidy()
        assert collections(gallery) == []
        right(gallery, numbers(2, seed=3), 5)
    gallery.tidy()
    assert up_to_date(gallery)


STRANGE = ["no JSON", "[1]", '"x"', "{}", '{"key": [1], "build": "a", "whole": true}', "null"]


@pytest.mark.parametrize("spoilt", ["map", "its numbers", "its sum", *STRANGE])
def test_what_cannot_be_read_of_it_costs_it_and_nothing_else(gallery, url, spoilt):
    """Of a metric that is not in use, too: whoever writes takes it away."""
    gallery.add_map(learned("others@1", seed=6), {}, None)
    store, name = gallery.store, gallery.store._mapped_of(learned()).name
    server, made = store._server, f"made.{name}"
    if spoilt == "map":
        store._texts.remove([f"map.{name}"])
    elif spoilt == "its numbers":
        store._texts.write({f"map.{name}": json.dumps(learned(seed=9).document())}, 1)
    elif spoilt == "its sum":
        (row,) = server.rows(DOCUMENTS, "key", [made], ["key", "body", "parts", "version", "crc"])
        server.write(DOCUMENTS, [{**row, "crc": 1, "vector": [0.0, 0.0]}])
    else:
        store._texts.write({made: spoilt}, 0)
    with Gallery(url) as other:
        right(other, numbers(2, seed=3), 5)
        right(other, numbers(2, seed=3), 5, metric="kinds")
    with Gallery(url) as other:  # one that does not know the map
        (said,) = other.verify()
        assert f"{server.name(name)} is made by cannot be read: run houndsight compact" in said
        for _ in range(2):
            other.remove(other.ids().tolist()[:1])
            assert name not in collections(other)
            assert not server.has(name)
            right(other, numbers(2, seed=3), 5)
            assert other.verify() == []


def test_a_map_document_that_is_damaged_stops_no_write(gallery, url):
    gallery.add_map(learned("others@1", seed=6), {}, None)
    server, key = gallery.store._server, key_of("spaces/kinds@1")
    (row,) = server.rows(DOCUMENTS, "key", [key], ["key", "body", "parts", "version", "crc"])
    server.write(DOCUMENTS, [{**row, "crc": 1, "vector": [0.0, 0.0]}])
    with Gallery(url) as other:
        for _ in range(3):
            other.remove(other.ids().tolist()[:1])
            assert not other.store._seen()
        right(other, numbers(2, seed=3), 5)
        other.compact()
        assert other.undo_metric() is not None  # to the one that cannot be read


def test_while_a_journal_is_left_all_are_looked_at(gallery, url, monkeypatch):
    (item,) = items(1, first=COUNT)
    with Gallery(url) as killed, monkeypatch.context() as patch:
        patch.setattr(killed.store, "_complete", lambda *_: None)
        killed.store.put([item], {item.id: np.ones(DIM, np.float32)})
    seen = asked(monkeypatch)
    found = right(gallery, np.ones((1, DIM), np.float32), 5)
    assert found[0][0].item == item
    assert collection(gallery) not in seen
    gallery.remove([item.id])  # who writes finishes it
    assert up_to_date(gallery)
    right(gallery, np.ones((1, DIM), np.float32), 5)
    assert seen[-1] == collection(gallery)


@pytest.mark.parametrize("anew", [True, False])
def test_a_search_whose_collection_goes_meanwhile(gallery, url, monkeypatch, anew):
    name, seen, real = collection(gallery), [], Server.search

    def search(self, collection, *more):
        seen.append(collection)
        if seen.count(name) == 2 and collection == name:
            with Gallery(url) as other:
                other.store.compact()
                if anew:
                    other.tidy()
        return real(self, collection, *more)

    monkeypatch.setattr(Server, "search", search)
    right(gallery, numbers(9, seed=3), 5)
    assert seen.count(name) >= 2


def test_a_collection_that_cannot_be_searched_costs_nothing_else(gallery, monkeypatch):
    name, real = collection(gallery), Server.search

    def search(self, collection, *more):
        if collection == name:
            raise GalleryError("out of memory", path=self.address)
        return real(self, collection, *more)

    monkeypatch.setattr(Server, "search", search)
    right(gallery, numbers(2, seed=3), 5)


def test_one_that_fails_costs_one_look_at_all(gallery, monkeypatch):
    name, real, looked = collection(gallery), Server.search, []

    def search(self, collection, *more):
        if collection == name:
            raise GalleryError("out of memory", path=self.address)
        return real(self, collection, *more)

    every = gallery.store._blocks
    monkeypatch.setattr(Server, "search", search)
    monkeypatch.setattr(
        gallery.store, "_blocks", lambda where: looked.append(where) or every(where)
    )
    for _ in range(3):
        right(gallery, numbers(20, seed=3), 5)
    assert len(looked) == 1


def test_an_item_that_is_not_there_yet_is_no_error():
    """Its image comes before it does."""
    vectors, space = numbers(100), learned()

    def look(queries, limit):
        return [[{"id": n, "distance": 0.0} for n in range(limit)] for _ in queries]

    def all_of_them(some):
        return ((np.arange(100), vectors) for _ in some)

    found = milvus_search.by_search(look, space(vectors[:2]), 3, space, lambda _: None, all_of_them)
    assert [len(ids) for ids, _ in found] == [100, 100]


@pytest.mark.parametrize("name", [NEAR, "the metric's"])
def test_what_an_administrator_drops_is_told_and_made_anew(gallery, name):
    server, store = gallery.store._server, gallery.store
    if name == NEAR:
        store.build_index(Index("hnsw", {"M": 16, "efConstruction": 50}), lambda *_: None)
    else:
        name = collection(gallery)
    server.drop(name)
    (said,) = gallery.verify()
    assert "cannot be read: Milvus answers with an error" in said
    right(gallery, numbers(2, seed=3), 5)
    if name == NEAR:
        assert store.index() is None
        store.drop_index()
    else:
        gallery.tidy()
        assert up_to_date(gallery)
    assert gallery.verify() == []


def test_milvus_lite_is_told_to_flush_it(gallery, monkeypatch):
    name, real, told = collection(gallery), Server.settle, []
    monkeypatch.setattr(Server, "settle", lambda self, one: told.append(one) or real(self, one))
    gallery.remove(gallery.ids().tolist()[:1])
    assert told == [ITEMS, name]
    gallery.store.compact()
    told.clear()
    gallery.tidy()
    assert told == [name]


# Made by several at once, killed


@pytest.mark.parametrize("killed", [True, False])
def test_one_that_slept_does_not_write_into_another_s(gallery, url, monkeypatch, killed):
    """Its right to make is over, and meanwhile the metric was learned anew."""
    monkeypatch.setattr("houndsight.stores.milvus.derived.TOGETHER", 50)
    gallery.store.compact()
    name = gallery.store._mapped_of(gallery.space()).name
    with Gallery(url) as sleeper, Gallery(url) as other:
        real, steps = sleeper.store._server.write, []

        def write(collection, rows, *more):
            real(collection, rows, *more)
            if collection == name:
                steps.append(rows)
                if len(steps) == 2:
                    sleep()
                if killed and len(steps) > 2:
                    raise KeyboardInterrupt

        def sleep():
            asleep.set()
            awake.wait(60)

        asleep, awake = threading.Event(), threading.Event()
        monkeypatch.setattr(sleeper.store._server, "write", write)
        worker = threading.Thread(target=lambda: sleeper.tidy())
        # What it holds is over, and it is in no step.
        worker.start()
        assert asleep.wait(60)
        claims = other.store._server.rows(LOCK, "right", [name, "write"], ["key"])
        other.store._server.delete(LOCK, [row["key"] for row in claims])
        other.add_map(learned("kinds@2", seed=5), {}, None)
        assert up_to_date(other)
        awake.set()
        worker.join()
        assert len(steps) == 2
        assert up_to_date(other)
        right(other, numbers(2, seed=3), 5)
        assert other.verify() == []


def test_other_numbers_under_the_same_name(gallery, url):
    """A process that has known the metric before does not write its images."""
    with Gallery(url) as stale:
        right(stale, numbers(2, seed=3), 5)
        stale.set_labels(dict.fromkeys(stale.ids().tolist()[:5], "new"), source="user")
        gallery.store.put_document("spaces/kinds@1", None)
        gallery.store.put_document("metric", None)
        with Gallery(url) as other:
            other.add_map(learned(seed=7), {}, None)
        stale.set_labels(dict.fromkeys(stale.ids().tolist(), "newer"), source="user")
    with Gallery(url) as other:
        assert up_to_date(other, learned(seed=7))
        right(other, numbers(2, seed=3), 5)


def test_who_finds_another_at_it_leaves_it_to_them(gallery, url):
    gallery.store.compact()
    name = gallery.store._mapped_of(gallery.space()).name
    with Lease(gallery.store._server, name).held(0), Gallery(url) as other:
        other.tidy()
        assert collections(other) == []
        right(other, numbers(2, seed=3), 5)
    gallery.tidy()
    assert up_to_date(gallery)


def test_photos_that_come_and_go_while_it_is_made(gallery, url, monkeypatch):
    monkeypatch.setattr("houndsight.stores.milvus.derived.TOGETHER", 50)
    gallery.store.compact()
    name = gallery.store._mapped_of(gallery.space()).name
    real, steps = Server.write, []
    new, gone = items(1, first=COUNT)[0], gallery.ids().tolist()[::40]

    def write(self, collection, rows, *more):
        real(self, collection, rows, *more)
        if collection == name:
            steps.append(threading.get_ident())
            if len(steps) == 2:
                worker.start()

    def change():
        with Gallery(url) as other:
            other.remove(gone)
            other.store.put([new], {new.id: np.ones(DIM, np.float32)})

    worker = threading.Thread(target=change)
    monkeypatch.setattr(Server, "write", write)
    gallery.tidy()
    worker.join()
    assert len(steps) > 4
    assert up_to_date(gallery)
    assert new.id in gallery.ids().tolist()
    right(gallery, numbers(4, seed=3), 5)


def test_killed_before_any_write_answers_are_right(gallery, url, monkeypatch):
    """At each write of making it, of a change, and of compact."""

    def change(victim, n):
        some = items(2, first=COUNT + 2 * n)
        victim.store.put(some, dict(zip([i.id for i in some], numbers(2, seed=n), strict=True)))
        victim.remove(victim.ids().tolist()[:1])
        victim.set_labels({victim.ids().tolist()[0]: "new"}, source="user")

    def make(victim, _):
        victim.store.compact()
        victim.tidy()

    for act in (make, change):
        ended, n = False, 0
        while not ended:
            n += 1
            victim = Gallery(url)
            with monkeypatch.context() as patch:
                for name, method in dying(Server, CHANGING, n - 1).items():
                    patch.setattr(Server, name, method)
                with contextlib.suppress(Killed):
                    act(victim, n)
                    ended = True
            victim.close()
            right(gallery, numbers(2, seed=5), 5)
            gallery.remove(gallery.ids().tolist()[:1])
            gallery.undo()
            right(gallery, numbers(2, seed=5), 5)
            assert gallery.verify() == []
        gallery.tidy()
        assert n > 5
        assert up_to_date(gallery)


TIDY = textwrap.dedent("""
    import sys
    sys.path.insert(0, {here!r})
    from houndsight import Gallery
    from houndsight.stores.milvus import derived
    from houndsight.stores.milvus.client import Server
    derived.TOGETHER, real, wrote = 10, Server.write, []

    def write(self, collection, rows, *more):
        real(self, collection, rows, *more)
        if collection.startswith("space"):
            wrote.append(rows)
            print(len(wrote), flush=True)

    Server.write = write
    with Gallery(sys.argv[1]) as gallery:
        gallery.store.compact()
        gallery.tidy()
    print("finished", flush=True)
""")


def test_kill_9_while_it_is_made(gallery, url):
    process = subprocess.Popen(
        [sys.executable, "-c", TIDY.format(here=str(HERE)), url], stdout=subprocess.PIPE, text=True
    )
    assert any(line.strip() == "7" for line in process.stdout)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert not gallery.store._mapped_of(gallery.space()).whole()
    right(gallery, numbers(2, seed=5), 5)
    gallery.remove(gallery.ids().tolist()[:2])
    right(gallery, numbers(2, seed=5), 5)
    gallery.tidy()  # its right went with it
    assert up_to_date(gallery)


# From the command line, and copied


def test_learned_indexed_copied(photos, tmp_path, monkeypatch, capsys):
    """Learn makes it, indexing keeps it up to date, a copy has one, reopened it is used."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOUNDSIGHT_OFFLINE", "1")

    def hs(*words):
        code = cli._run([str(word) for word in words])
        out, err = capsys.readouterr()
        assert code == 0, (out, err)
        return out

    place, query = "milvus-lite:m.db", photos / "pug" / "pug-0.jpg"
    for n in range(40):
        write_photo(photos / ("a", "b")[n % 2] / f"{n}.jpg", 300 + n)
    hs("index", photos, "-g", place, *LITE)
    out = hs("learn", "-g", place, "--name", "kinds")
    if "metric is kinds@1 now" not in out:  # of drawings like these nothing may be learned
        with Gallery(place) as gallery:
            width = gallery.store.dim
            rng = np.random.default_rng(0)
            few = rng.normal(size=(width, 4)), rng.normal(size=(width, 2))
            some = Map("kinds@1", np.zeros(width), *few, np.zeros(2), ("a", "b"), 1.0, 0.3)
            gallery.add_map(some, {}, None)
    for n in range(4):
        write_photo(photos / "a" / f"later-{n}.jpg", 900 + n)
    hs("index", photos, "-g", place)
    hs("remove", photos / "b" / "1.jpg", "-g", place)
    hs("label", photos / "b" / "3.jpg", "a", "-g", place)
    seen = asked(monkeypatch)
    hs("search", query, "-g", place, "-k", "5")
    with Gallery(place) as gallery:
        assert seen == [collection(gallery)]
        assert up_to_date(gallery)
        copy_gallery(gallery, "milvus-lite:other.db")
        copy_gallery(gallery, tmp_path / "folder")
    assert "all well" in hs("verify", "-g", "milvus-lite:other.db")
    with Gallery("milvus-lite:other.db") as copy, Gallery(tmp_path / "folder") as folder:
        assert up_to_date(copy)
        queries = folder.vectors(folder.items()[:3])
        one, two = (each.search(queries, 6) for each in (copy, folder))
        assert np.array_equal(one.ids, two.ids)
        assert np.array_equal(one.distances, two.distances)
