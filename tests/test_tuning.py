"""An index beside FLAT: what it finds is measured and on record, and it costs nothing else."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import fake_embedder, write_photo
from houndsight import (
    Gallery,
    GalleryError,
    Vectors,
    Where,
    approximation,
    cli,
    drop_index,
    index,
    measured_recall,
)
from houndsight import tune as tune_
from houndsight.errors import GalleryBusy, InputError
from houndsight.gallery import Rehearsal
from houndsight.maps import Base, Unit
from houndsight.stores import Indexed
from houndsight.stores.address import located
from houndsight.stores.indexes import KINDS, Index
from houndsight.stores.local import LocalStore
from houndsight.stores.milvus.client import Server
from houndsight.stores.milvus.lease import Lease
from houndsight.stores.milvus.near import NEAR, TRIAL
from houndsight.stores.milvus.rows import ITEMS
from houndsight.stores.opening import open_store
from memory_store import MemoryStore
from milvus_servers import Killed, dying, needs_milvus
from test_store_contract import DIM, items, numbers

pytestmark = needs_milvus
VECTOR = ("vector", "FLOAT_VECTOR", {"dim": DIM})
LITE = ("--model", "efficientnet-lite0")
HERE = Path(__file__).parent
COUNT = 300
SAMPLE = 25
CHANGING = ("write", "delete", "make", "drop", "build")


@pytest.fixture(autouse=True)
def few_queries(monkeypatch):
    monkeypatch.setattr(approximation, "SAMPLE", SAMPLE)


@pytest.fixture
def gallery(url):
    """A gallery of vectors without photos."""
    with made(url) as gallery:
        yield gallery


@pytest.fixture(scope="module")
def untouched(milvus_port):
    """As `gallery`, one for all tests that change nothing."""
    with made(f"milvus://127.0.0.1:{milvus_port}/untouched") as gallery:
        yield gallery


def made(place):
    settings = {**fake_embedder().settings(), "dim": DIM}
    gallery = Gallery.create_for(place, settings)
    some = items(COUNT)
    vectors = dict(zip([one.id for one in some], numbers(COUNT), strict=True))
    gallery.store.put_document("roots", {"1": {"place": "/p", "labels": "none"}})
    gallery.store.put(some, vectors)
    return gallery


def found(gallery, query, k, looked_at=None, **how):
    vectors = Vectors(np.atleast_2d(query).astype(np.float32), gallery.fingerprint)
    return gallery.search(vectors, k, looked_at=looked_at, **how)


def asked(monkeypatch):
    """Note which collections are searched."""
    seen, real = [], Server.search

    def search(self, collection, *more):
        seen.append(collection)
        return real(self, collection, *more)

    monkeypatch.setattr(Server, "search", search)
    return seen


def held(gallery):
    """What the index has, by id."""
    return {
        int(row["id"]): np.array(row["vector"], np.float32)
        for some in gallery.store._near.every()
        for row in some
    }


def up_to_date(gallery):
    """Whether the index has the vectors of all live items, and no others."""
    ids = gallery.ids().tolist()
    vectors = gallery.store.vectors(ids)
    there = held(gallery)
    return there.keys() == set(ids) and all(
        np.array_equal(there[id_], vector) for id_, vector in zip(ids, vectors, strict=True)
    )


# What is measured


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_what_is_on_record_is_what_a_search_finds(gallery, kind, monkeypatch):
    parameters = {"ivf": {"nlist": 40, "nprobe": [1, 4, 40]}, "hnsw": {"M": 4, "ef": 64}}[kind]
    made = tune_(gallery, index=kind, parameters=parameters, k=5, wanted=0.6)
    assert made.trials[0].looked_at is None
    assert made.trials[0].recall.value == 1
    assert made.built_s is not None
    assert (made.items, made.queries, made.k, made.own) == (COUNT, SAMPLE, 5, True)
    recall = measured_recall(gallery, 5)
    assert recall.looked_at == made.chosen.looked_at
    assert recall.recall == made.chosen.recall.value >= 0.6
    # By definition: held against distances in NumPy.
    every = gallery.items()
    x = gallery.vectors(every).values.astype(np.float64)
    seen = asked(monkeypatch)
    for trial in made.trials[1:]:
        shares = []
        for n in np.sort(np.random.default_rng(0).permutation(COUNT)[:SAMPLE]):
            distance = np.sqrt(((x - x[n]) ** 2).sum(axis=1))
            distance[n] = np.inf
            near = {every[m].id for m in np.argsort(distance, kind="stable")[:5]}
            got = found(gallery, x[n], 5, trial.looked_at, exclude=[{every[n].id}])[0]
            shares.append(len({match.item.id for match in got} & near) / 5)
            # Whatever the index says, distances are those of the stored vectors.
            place = {item.id: m for m, item in enumerate(every)}
            for match in got:
                assert match.distance == pytest.approx(distance[place[match.item.id]], abs=1e-9)
        assert trial.recall.value == pytest.approx(np.mean(shares))
        assert trial.recall.low <= trial.recall.value <= trial.recall.high
    assert set(seen) == {NEAR}
    if kind == "ivf":  # one cluster of forty is not enough, all of them are
        first, _, last = made.trials[1:]
        assert first.recall.value < 0.6 < last.recall.value == 1
        assert recall.looked_at > 1


def test_the_smallest_that_reaches_what_is_wanted_is_chosen(gallery):
    made = tune_(gallery, index="ivf", parameters={"nlist": 30}, k=10, wanted=0.9)
    tried = [one.looked_at for one in made.trials[1:]]
    assert tried == [1, 2, 4, 8, 16, 30][: len(tried)]
    below = [one for one in made.trials[1:] if one.looked_at < made.chosen.looked_at]
    assert below
    assert all(one.recall.value < 0.9 for one in below)
    assert made.chosen.recall.value >= 0.9


def test_searches_without_approximate_stay_exact(gallery, monkeypatch):
    queries = numbers(6, seed=9)
    before = [found(gallery, query, 7) for query in queries]
    tune_(gallery, index="ivf", parameters={"nlist": 40, "nprobe": 1}, k=5, wanted=0.1)
    seen = asked(monkeypatch)
    for query, was in zip(queries, before, strict=True):
        now = found(gallery, query, 7)
        assert np.array_equal(now.ids, was.ids)
        assert np.array_equal(now.distances, was.distances)
    assert set(seen) == {ITEMS}


def test_what_the_index_does_not_hold_is_searched_exactly(gallery, monkeypatch):
    """By label, in other metrics: what was measured does not hold there."""
    tune_(gallery, index="ivf", parameters={"nlist": 40, "nprobe": 1}, k=5, wanted=0.1)
    store, query = gallery.store, numbers(1, seed=3)
    seen = asked(monkeypatch)
    for where, space in (
        (Where(labels=frozenset(["pug"])), Base(DIM)),
        (Where(labelled=True), Base(DIM)),
        (Where(), Unit(DIM)),
    ):
        assert len(list(store.candidates(space(query), 5, where, space, 1))) == 1
    assert NEAR not in seen
    assert store.shortcut(Unit(DIM)) == ""
    list(store.candidates(query, 5, Where(), Base(DIM), 1))
    assert seen[-1] == NEAR


def test_with_queries_of_one_s_own(gallery):
    vectors = Vectors(numbers(7, seed=4), gallery.fingerprint)
    made = tune_(gallery, vectors, k=COUNT, parameters={"ef": 500})
    assert (made.queries, made.own) == (7, False)
    recall = measured_recall(gallery, COUNT)
    assert (recall.own, recall.queries) == (False, 7)


# What is on record


def test_nothing_approximate_without_a_record(gallery, monkeypatch):
    place = gallery.place
    with pytest.raises(InputError, match="was not measured yet") as caught:
        measured_recall(gallery, 5)
    assert f"Run houndsight tune -g {place}, which builds" in str(caught.value)
    # An index alone is none.
    gallery.store.build_index(Index("hnsw", {"M": 16, "efConstruction": 50}), lambda *_: None)
    with pytest.raises(InputError, match="was not measured yet"):
        measured_recall(gallery, 5)
    tune_(gallery, k=5, wanted=0.5)
    assert measured_recall(gallery, 5).k == measured_recall(gallery, 3).k == 5
    with pytest.raises(InputError, match=f"for 5 neighbours, not for 6.* -g {place} -k 6"):
        measured_recall(gallery, 6)
    # For more the index that is there is measured anew, and both count.
    assert tune_(gallery, k=9, wanted=0.5).built_s is None
    assert [measured_recall(gallery, k).k for k in (4, 6)] == [5, 9]
    # Of another index, also one that is built alike, what was measured does not count.
    assert tune_(gallery, k=2, wanted=0.5, rebuild=True).built_s is not None
    assert measured_recall(gallery, 2).k == 2
    with pytest.raises(InputError, match="for 2 neighbours, not for 5"):
        measured_recall(gallery, 5)
    learned(gallery)
    with pytest.raises(InputError, match="of the vectors as they are stored, not of the metric"):
        measured_recall(gallery, 2)
    assert measured_recall(gallery, 2, metric="plain").k == 2
    assert drop_index(gallery)
    assert not drop_index(gallery)
    assert not gallery.store._server.has(NEAR)
    with pytest.raises(InputError, match="was not measured yet"):
        measured_recall(gallery, 2, metric="plain")


def learned(gallery):
    """Give the gallery a metric of its own."""
    from houndsight.maps import Map

    few = np.random.default_rng(0).normal(size=(2, DIM, 2))
    name = gallery.next_version("learned")
    map_ = Map(name, np.zeros(DIM), few[0], few[1], np.zeros(2), ("a", "b"), 1.0, 0.3)
    gallery.add_map(map_, {}, None)


def test_a_journal_that_was_left_is_finished_before_anything_is_measured(gallery, url, monkeypatch):
    """While it is there, searches are exact: what the index finds would seem to be all."""
    ivf = {"nlist": 40, "nprobe": 1}
    first = tune_(gallery, index="ivf", parameters=ivf, k=5, wanted=0.01)
    (item,) = items(1, first=COUNT)
    with Gallery(url) as killed, monkeypatch.context() as patch:
        patch.setattr(killed.store, "_complete", lambda *_: None)
        killed.store.put([item], {item.id: np.ones(DIM, np.float32)})
    assert gallery.store._seen()
    again = tune_(gallery, index="ivf", parameters=ivf, k=5, wanted=0.01)
    assert not gallery.store._seen()
    assert again.built_s is None
    assert first.chosen.recall.value < 0.6
    assert again.chosen.recall.value < 0.6


@pytest.mark.parametrize("at", ["exact", "ef"])
@pytest.mark.parametrize("anew", [True, False])
def test_an_index_that_another_builds_or_drops_meanwhile_is_not_put_on_record(
    gallery, url, at, anew
):
    done = []

    def progress(step, *_):
        if step.startswith(at) and not done:
            done.append(step)
            with Gallery(url) as other:
                if anew:
                    other.store.build_index(Index("ivf", {"nlist": 40}), lambda *_: None)
                else:
                    drop_index(other)

    with pytest.raises(GalleryBusy, match="was built anew or taken away while it was measured"):
        tune_(gallery, index="hnsw", k=5, wanted=0.01, rebuild=True, progress=progress)
    with pytest.raises(InputError, match="was not measured yet"):
        measured_recall(gallery, 5)


def test_of_photos_that_are_equally_far_one_is_as_good_as_another(gallery):
    store, some = gallery.store, items(COUNT)
    store.put(some, dict.fromkeys([one.id for one in some], np.ones(DIM, np.float32)))
    assert tune_(gallery, k=5, parameters={"ef": 64}).chosen.recall.value == 1


def test_what_is_returned_names_the_index_that_is_there(gallery):
    for again in (False, False, True):
        made = tune_(gallery, k=5, wanted=0.5, rebuild=again)
        assert made.index.build == gallery.store.index().build


def test_none_is_recorded_where_none_is_good_enough(gallery):
    made = tune_(gallery, index="ivf", parameters={"nlist": 40, "nprobe": 1}, k=5, wanted=1)
    assert made.chosen is None
    with pytest.raises(InputError, match="was not measured yet"):
        measured_recall(gallery, 5)


def test_a_gallery_that_has_changed_much_says_so(gallery):
    tune_(gallery, k=5, wanted=0.5)
    assert not measured_recall(gallery, 5).stale
    gallery.remove(gallery.ids().tolist()[: COUNT // 4])
    assert not measured_recall(gallery, 5).stale
    gallery.remove(gallery.ids().tolist()[:1])
    assert measured_recall(gallery, 5).stale


# Kept up to date


def test_the_index_follows_the_gallery(gallery):
    tune_(gallery, k=5, wanted=0.5)
    assert up_to_date(gallery)
    gallery.remove(gallery.ids().tolist()[:30])
    assert up_to_date(gallery)
    assert len(held(gallery)) == gallery.store.count() == COUNT - 30
    gallery.undo()
    assert up_to_date(gallery)
    assert gallery.store.count() == COUNT
    # A vector that changes, one that is new, one that comes without, some that are forgotten.
    store, some = gallery.store, items(3, first=COUNT)
    store.put(some[:1], {some[0].id: np.ones(DIM, np.float32)})
    store.put(some[:1], {some[0].id: np.zeros(DIM, np.float32)})
    store.put([replace(some[1], removed="user")], {})
    assert up_to_date(gallery)
    assert len(held(gallery)) == COUNT + 1
    gallery.remove(gallery.ids().tolist()[:3])
    store.compact()
    assert up_to_date(gallery)
    assert gallery.verify() == []


def test_labels_alone_leave_it(gallery, monkeypatch):
    tune_(gallery, k=5, wanted=0.5)
    real, wrote = Server.write, []

    def write(self, collection, rows, *more):
        wrote.extend([collection] * len(rows))
        return real(self, collection, rows, *more)

    monkeypatch.setattr(Server, "write", write)
    gallery.set_labels(dict.fromkeys(gallery.ids().tolist()[:9], "new"), source="user")
    assert wrote.count(ITEMS) == 9
    assert NEAR not in wrote


def test_an_index_that_cannot_be_written_is_given_up_and_nothing_else(gallery, monkeypatch):
    tune_(gallery, k=5, wanted=0.5)
    real = Server.write

    def write(self, collection, rows, *more):
        if collection == NEAR:
            raise GalleryError("disk full", path=self.address)
        return real(self, collection, rows, *more)

    monkeypatch.setattr(Server, "write", write)
    (item,) = items(1, first=COUNT)
    gallery.store.put([item], {item.id: np.ones(DIM, np.float32)})
    assert gallery.store.count() == COUNT + 1
    assert not gallery.store._seen()  # the journal is empty
    assert found(gallery, np.ones(DIM), 1)[0][0].item == item
    assert gallery.store.index() is None
    with pytest.raises(InputError, match="was not measured yet"):
        measured_recall(gallery, 5)


def test_verify_looks_at_the_index(gallery):
    tune_(gallery, k=5, wanted=0.5)
    assert gallery.verify() == []
    ids = gallery.ids().tolist()
    server = gallery.store._server
    server.delete(NEAR, ids[:2])
    server.write(NEAR, [{"id": ids[2], "vector": np.ones(DIM, np.float32)}])
    (said,) = gallery.verify()
    assert "lacks 2 vectors and has 1 that are not as stored: run houndsight tune" in said


def test_what_the_index_has_too_much_is_not_shown(gallery):
    """Between two writes of another process: what is shown is live."""
    tune_(gallery, k=5, wanted=0.5)
    query = numbers(1, seed=8)
    ghost = items(1, first=COUNT)[0].id
    gallery.store._server.write(NEAR, [{"id": ghost, "vector": query[0]}])
    got = found(gallery, query, 5, 64)[0]
    assert ghost not in {match.item.id for match in got}
    assert len(got) == 4


def test_while_a_journal_is_left_searches_are_exact(gallery, monkeypatch):
    tune_(gallery, k=5, wanted=0.5)
    (item,) = items(1, first=COUNT)
    with monkeypatch.context() as patch:
        patch.setattr(Server, "delete", lambda *_: None)
        real = Server.write

        def write(self, collection, rows, *more):
            if collection in (ITEMS, NEAR) and rows:
                raise GalleryError("away", path=self.address)
            return real(self, collection, rows, *more)

        patch.setattr(Server, "write", write)
        patch.setattr(Server, "drop", lambda self, collection: write(self, collection, [1]))
        gallery.store.put([item], {item.id: np.ones(DIM, np.float32)})
    assert gallery.store._seen()
    assert gallery.store.count() == COUNT + 1
    seen = asked(monkeypatch)
    assert found(gallery, np.ones(DIM), 1, 64)[0][0].item == item
    assert NEAR not in seen


# Killed, or two at once


def test_killed_before_any_write_the_gallery_is_usable(gallery, url, monkeypatch):
    """At each write, and then with photos that come and go: exact searches are right."""
    query = numbers(1, seed=5)
    ended, refused = False, 0
    n = 0
    while not ended:
        n += 1
        victim = Gallery(url)
        with monkeypatch.context() as patch:
            for name, method in dying(Server, CHANGING, n - 1).items():
                patch.setattr(Server, name, method)
            try:
                tune_(victim, index="ivf", parameters={"nlist": 9, "nprobe": 9}, k=5, rebuild=True)
                ended = True
            except Killed:
                pass
        victim.close()
        (item,) = items(1, first=COUNT + n)
        gallery.store.put([item], {item.id: np.full(DIM, n / 50, np.float32)})
        gallery.remove([item.id])
        assert not gallery.store._seen()
        expected = np.sort(np.sqrt(((numbers(COUNT).astype(np.float64) - query) ** 2).sum(axis=1)))[
            :5
        ]
        assert np.allclose(found(gallery, query, 5).distances[0], expected, atol=1e-12)
        assert gallery.verify() == []
        if not ended:
            try:
                measured_recall(gallery, 5)
            except InputError:
                refused += 1
            else:  # killed after the record was written, or before anything was changed
                assert up_to_date(gallery)
    assert n > 8
    assert refused > 8  # until the record is written
    assert up_to_date(gallery)
    assert measured_recall(gallery, 5).recall == 1
    assert not gallery.store._server.has(TRIAL)


TUNE = textwrap.dedent("""
    import sys
    sys.path.insert(0, {here!r})
    from houndsight import Gallery, tune
    from houndsight.stores.milvus import derived
    derived.TOGETHER = 100
    with Gallery(sys.argv[1]) as gallery:
        tune(gallery, k=5, progress=lambda *now: print(*now, flush=True), rebuild=True)
    print("finished", flush=True)
""")


@pytest.mark.parametrize("at", ["copying", "building", "exact", "ef"])
def test_kill_9_in_the_midst_of_tune(at, gallery, url):
    process = subprocess.Popen(
        [sys.executable, "-c", TUNE.format(here=str(HERE)), url], stdout=subprocess.PIPE, text=True
    )
    assert any(line.startswith(at) for line in process.stdout)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    query = numbers(1, seed=5)
    expected = np.sort(np.sqrt(((numbers(COUNT).astype(np.float64) - query) ** 2).sum(axis=1)))
    assert np.allclose(found(gallery, query, 5).distances[0], expected[:5], atol=1e-12)
    with pytest.raises(InputError, match="was not measured yet"):
        measured_recall(gallery, 5)
    assert gallery.verify() == []
    gallery.remove(gallery.ids().tolist()[:2])
    assert tune_(gallery, k=5, wanted=0.5).chosen is not None  # its right went with it
    assert up_to_date(gallery)


def test_two_at_once(gallery):
    with (
        Lease(gallery.store._server, NEAR).held(0),
        pytest.raises(GalleryBusy, match="another process is building an index for this gallery"),
    ):
        tune_(gallery, k=5)


def test_photos_that_come_and_go_meanwhile(gallery, url):
    """From the first moment on, who writes writes into the index too."""
    new, gone = items(1, first=COUNT)[0], gallery.ids().tolist()[:7]
    with Gallery(url) as other:

        def progress(step, done, total):
            if done == total == COUNT and step.startswith("building"):
                other.store.put([new], {new.id: np.ones(DIM, np.float32)})
                other.remove(gone)

        tune_(gallery, k=5, wanted=0.5, progress=progress)
    assert up_to_date(gallery)
    assert new.id in held(gallery)
    assert not {*gone} & held(gallery).keys()


# What is refused


def test_what_a_server_refuses_leaves_the_index_that_was_there(gallery, monkeypatch):
    tune_(gallery, k=5, wanted=0.5)
    before = measured_recall(gallery, 5)
    with pytest.raises(GalleryError, match=r"the index DISKANN cannot be built: .*DISKANN") as no:
        tune_(gallery, index="diskann", k=5)
    assert "diskann needs a server" in no.value.remedy
    assert measured_recall(gallery, 5) == before
    assert not gallery.store._server.has(TRIAL)
    # A server that has second thoughts once all is there.
    real = Server.build

    def build(self, collection, *more):
        if collection == NEAR:
            raise GalleryError("Milvus answers with an error: no room", path=self.address)
        return real(self, collection, *more)

    monkeypatch.setattr(Server, "build", build)
    with pytest.raises(GalleryError, match="HNSW M=8 efConstruction=200 cannot be built: Milvus"):
        tune_(gallery, parameters={"M": 8}, k=5)
    assert gallery.store.index() is None
    assert not gallery.store._server.has(NEAR)
    with pytest.raises(InputError, match="was not measured yet"):
        measured_recall(gallery, 5)


def test_what_searches_of_diskann_are_told(gallery, monkeypatch):
    """Milvus Lite has none: its calls, with HNSW in its place."""
    told, built, real = [], [], (Server.search, Server.build)

    def search(self, collection, queries, limit, condition, how=None):
        told.append((limit, how))
        return real[0](self, collection, queries, limit, condition, {"ef": 500})

    def build(self, collection, kind, parameters):
        built.append((collection, kind, dict(parameters)))
        return real[1](self, collection, "HNSW", parameters)

    monkeypatch.setattr(Server, "search", search)
    monkeypatch.setattr(Server, "build", build)
    made = tune_(gallery, index="diskann", k=5, parameters={"search_list": [20, 6]})
    assert built == [(TRIAL, "DISKANN", {}), (NEAR, "DISKANN", {})]
    assert [how for limit, how in told if limit == 6 and how] == [{"search_list": 6}] * (SAMPLE + 1)
    assert made.chosen.looked_at == 6
    assert str(made.index) == "DISKANN"


def test_parameters_reach_milvus(gallery):
    """Each search and each index is told what it should be: by what it then finds."""
    tune_(gallery, index="ivf", parameters={"nlist": 1, "nprobe": 1}, k=5, wanted=1)
    assert measured_recall(gallery, 5).recall == 1  # one cluster has all
    made = tune_(gallery, index="ivf", parameters={"nlist": 100, "nprobe": 1}, k=5, wanted=0)
    assert made.chosen.recall.value < 0.6


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"index": "flat"}, "there is no index 'flat'. Take hnsw or ivf or diskann"),
        ({"parameters": {"nlist": 4}}, "hnsw has no parameter nlist. It has M and efConstruction"),
        ({"index": "diskann", "parameters": {"M": 4}}, "diskann has no parameter M. It has search"),
        ({"parameters": {"M": 1}}, "M is 1. Give 2 to 2048"),
        ({"parameters": {"M": [4, 8]}}, "M is given 2 times. Give it once"),
        (
            {"parameters": {"ef": 5}, "k": 5},
            "ef is 5. Give 6, the least that finds so many, to 32768",
        ),
        (
            {"index": "ivf", "parameters": {"nprobe": 0}},
            "nprobe is 0. Give 1 to 7, as many clusters as there are",
        ),
        ({"k": 0}, "k is 0. Ask for 1 or more"),
        (
            {"k": COUNT},
            f"holds {COUNT} photos, so none has {COUNT} neighbours. Ask for 299 or fewer",
        ),
        ({"parameters": {"ef": 32_769}}, "ef is 32769. Give 8, the least that finds so many, to"),
        ({"index": "diskann", "parameters": {"search_list": 65_536}}, "search_list is 65536. Give"),
        ({"index": "ivf", "parameters": {"nlist": 4, "nprobe": 5}}, "nprobe is 5. Give 1 to 4, as"),
        ({"index": "ivf", "parameters": {"nlist": 65_537}}, "nlist is 65537. Give 1 to 65536"),
        ({"wanted": 99}, "wanted is 99. Give a share from 0 to 1"),
        ({"wanted": float("nan")}, "wanted is nan. Give a share from 0 to 1"),
        ({"k": 5.0}, "k is 5.0. Give a whole number"),
        ({"k": True}, "k is True. Give a whole number"),
        ({"parameters": {"ef": "64"}}, "ef is '64'. Give a whole number"),
        ({"parameters": {"ef": [64.5]}}, "ef is 64.5. Give a whole number"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(untouched, monkeypatch, how, said):
    for name in ("write", "make", "drop", "build"):
        monkeypatch.setattr(Server, name, lambda *_, name=name: pytest.fail(name))
    with pytest.raises(InputError, match=re.escape(said)):
        tune_(untouched, **{"k": 7, **how})


def test_settings_that_are_tried():
    from houndsight.tuning import _settings, _usual

    hnsw = Index("hnsw", {"M": 16, "efConstruction": 200})
    assert _settings(hnsw, [], 21) == [32, 64, 128, 256, 512, 1024, 2048]
    assert _settings(hnsw, [], 32)[0] == 32
    assert _settings(hnsw, [], 1001) == [1024, 2048, 4096, 8192]
    assert _settings(Index("ivf", {"nlist": 5}), [], 21) == [1, 2, 4, 5]
    assert _settings(Index("diskann"), [50, 30, 50], 21) == [30, 50]
    assert _usual("ivf", 3000) == {"nlist": 76}
    assert _usual("ivf", 10) == {"nlist": 1}
    assert _usual("ivf", 10**8) == {"nlist": 40_000}


def test_other_stores_have_no_index(tmp_path, photos, url):
    assert not issubclass(LocalStore, Indexed)
    assert not issubclass(MemoryStore, Indexed)
    index(photos, tmp_path / "g", embedder=fake_embedder())
    with Gallery(tmp_path / "g") as local, pytest.raises(InputError, match="is in a folder, where"):
        tune_(local, k=3)
    index(photos, url, embedder=fake_embedder())
    with Rehearsal(url) as gallery, pytest.raises(InputError, match="cannot be rehearsed"):
        tune_(gallery, k=3)
    assert isinstance(open_store(located(url)), Indexed)
    assert {*KINDS} == {"hnsw", "ivf", "diskann"}


def test_an_empty_gallery(url):
    with (
        Gallery.create(url, fake_embedder()) as gallery,
        pytest.raises(InputError, match=r"holds no photo\. Index photos first"),
    ):
        tune_(gallery)


def test_a_server_that_refuses_the_parameters_is_found_out_in_time(gallery, monkeypatch):
    tune_(gallery, k=5, wanted=0.5)
    before = measured_recall(gallery, 5)
    real = Server.build

    def build(self, collection, kind, parameters):
        if parameters["M"] > 100:
            raise GalleryError("M is too large", path=self.address)
        return real(self, collection, kind, parameters)

    monkeypatch.setattr(Server, "build", build)
    with pytest.raises(GalleryError, match="cannot be built: M is too large"):
        tune_(gallery, parameters={"M": 101}, k=5)
    assert measured_recall(gallery, 5) == before


# What the index does not answer


def test_a_change_meanwhile_is_no_answer_of_the_index(gallery, url, monkeypatch):
    """Another process's journal is left after the first query: asked again, not counted."""
    ivf = {"nlist": 40, "nprobe": 1}
    expected = tune_(gallery, index="ivf", parameters=ivf, k=5, wanted=0.01).chosen.recall.value
    left = []

    def progress(step, done, _):
        if step == "nprobe 1" and not left:
            left.append(step)
            with Gallery(url) as killed, monkeypatch.context() as patch:
                patch.setattr(killed.store, "_complete", lambda *_: None)
                killed.store.put_document("note", {})
            assert gallery.store._seen()

    again = tune_(gallery, index="ivf", parameters=ivf, k=5, wanted=0.01, progress=progress)
    assert left
    assert not gallery.store._seen()
    assert again.chosen.recall.value == expected < 1


def test_an_index_that_fails_is_not_measured(gallery, monkeypatch):
    tune_(gallery, k=5, wanted=0.5, parameters={"ef": 64})
    real = Server.search

    def search(self, collection, *more):
        if collection == NEAR:
            raise GalleryError("out of memory", path=self.address)
        return real(self, collection, *more)

    monkeypatch.setattr(Server, "search", search)
    with pytest.raises(GalleryBusy, match="does not answer: the index fails: out of memory"):
        tune_(gallery, k=6, wanted=0.5)
    assert measured_recall(gallery, 5).looked_at == 64
    query = numbers(1, seed=3)
    assert np.array_equal(found(gallery, query, 5, 64).ids, found(gallery, query, 5).ids)


@pytest.mark.parametrize("anew", [True, False])
def test_a_search_whose_index_goes_meanwhile_is_exact(gallery, url, monkeypatch, anew):
    """In the midst of several queries: those before it came from the index, the others do not."""
    tune_(gallery, index="ivf", parameters={"nlist": 40, "nprobe": 1}, k=5, wanted=0.01)
    queries = numbers(9, seed=3)
    exact = found(gallery, queries, 5)
    seen, real = [], Server.search

    def search(self, collection, *more):
        seen.append(collection)
        if seen.count(NEAR) == 2 and collection == NEAR:
            with Gallery(url) as other:
                if anew:
                    other.store.build_index(Index("ivf", {"nlist": 40}), lambda *_: None)
                else:
                    other.store.drop_index()
        return real(self, collection, *more)

    monkeypatch.setattr(Server, "search", search)
    got = found(gallery, queries, 5, 1)
    assert np.array_equal(got.ids[4:], exact.ids[4:])
    assert not np.array_equal(got.ids[:4], exact.ids[:4])
    assert gallery.store.why_exact() == "the index was taken away or built anew meanwhile"


def test_more_than_milvus_returns(gallery, monkeypatch):
    monkeypatch.setattr("houndsight.tuning.MOST", 100)
    monkeypatch.setattr("houndsight.stores.milvus.store.MOST", 100)
    vectors = Vectors(numbers(2, seed=4), gallery.fingerprint)
    with pytest.raises(InputError, match="98 neighbours are asked for beside 3 that are left out"):
        tune_(gallery, vectors, exclude=[{1}, {1, 2, 3}], k=98)
    with pytest.raises(InputError, match=r"returns 100 at most\. Ask for 99 or fewer with -k"):
        tune_(gallery, k=100)
    tune_(gallery, k=99, wanted=0)
    found(gallery, numbers(1), 101, 200)
    assert gallery.store.why_exact() == "Milvus returns 100 neighbours at most"
    found(gallery, numbers(1), 99, 200)
    assert gallery.store.why_exact() == ""


def test_nothing_to_find_is_no_measure(gallery):
    vectors, ids = Vectors(numbers(1, seed=4), gallery.fingerprint), gallery.ids().tolist()
    with pytest.raises(InputError, match=r"of which 296 are left out, so none has 5 .* for 4 or"):
        tune_(gallery, vectors, exclude=[ids[:296]], k=5)
    with pytest.raises(InputError, match=r"300 are left out, so none has 5.* Index more photos"):
        tune_(gallery, vectors, exclude=[ids], k=5)


def test_dropped_with_what_a_killed_process_left(gallery):
    gallery.store._server.make(TRIAL, [("id", "INT64", {"is_primary": True}), VECTOR], flat=False)
    assert not drop_index(gallery)
    assert not gallery.store._server.has(TRIAL)
    with Lease(gallery.store._server, NEAR).held(0), pytest.raises(GalleryBusy, match="is build"):
        drop_index(gallery)


# On the command line


@pytest.fixture
def hs(tmp_path, monkeypatch, capsys):
    """Run houndsight in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOUNDSIGHT_OFFLINE", "1")

    def run(*arguments, code=0):
        found = cli._run([os.fspath(one) for one in arguments])
        said = capsys.readouterr()
        assert found == code, said.err
        return said.out, said.err

    return run


def test_from_tune_to_search(hs, photos, tmp_path):
    """Measured, used, dropped; also after the file was closed and opened again."""
    place, query = "milvus-lite:m.db", photos / "pug" / "pug-0.jpg"
    for n in range(40):
        write_photo(photos / "more" / f"{n}.jpg", 300 + n)
    hs("index", photos, "-g", place, *LITE)
    _, err = hs("search", query, "-g", place, "-k", "3", "--approximate", code=1)
    assert "was not measured yet. Run houndsight tune -g milvus-lite:m.db" in err
    exact, _ = hs("search", query, "-g", place, "-k", "3")
    out, _ = hs("tune", "-g", place, "-k", "5", "-p", "ef=64")
    assert re.search(r"HNSW M=16 efConstruction=200 over 52 photos, built in [\d.]+ s; meas", out)
    assert re.search(r"exact +100 % +[\d.]+ ms +[\d.]+ ms", out)
    assert re.search(r"ef 64 +100.00 % +100.00 to 100.00 +[\d.]+ ms +[\d.]+ ms +chosen", out)
    assert "ef 64 is what houndsight search --approximate uses from now on, for 5" in out
    out, err = hs("search", query, "-g", place, "-k", "3", "--approximate")
    assert out == exact
    assert "finds 100.00 % of the 5 nearest, measured on 25 photos of this gallery" in err
    _, err = hs("search", query, "-g", place, "-k", "6", "--approximate", code=1)
    assert "was measured for 5 neighbours, not for 6" in err
    said = json.loads(
        hs("tune", photos / "more", "-g", place, "-k", "5", "-p", "ef=99", "--json")[0]
    )
    assert (said["own"], said["queries"], said["built_s"]) == (False, 40, None)
    assert said["index"]["parameters"] == {"M": 16, "efConstruction": 200}
    assert said["chosen"] == said["trials"][1]
    _, err = hs("search", query, "-g", place, "-k", "3", "--approximate")
    assert "measured on 40 photos\n" in err
    for path in sorted((photos / "more").iterdir())[:20]:
        path.unlink()
    hs("index", photos, "-g", place)
    _, err = hs("search", query, "-g", place, "-k", "3", "--approximate")
    assert "it held 52 photos then, and has changed much since. Run houndsight tune again" in err
    assert "all well" in hs("verify", "-g", place)[0]
    hs("learn", "-g", place, "--name", "kinds")
    _, err = hs("search", query, "-g", place, "-k", "3", "--approximate", code=1)
    assert "not of the metric kinds@1. Leave --approximate out, or search with --metric" in err
    hs("search", query, "-g", place, "-k", "3", "--approximate", "--metric", "plain")
    _, err = hs("tune", "-g", place, "-k", "5", "--recall", "0.5")
    assert "searches in kinds@1, the gallery's metric, stay exact; the index is for" in err
    assert "the index is gone" in hs("tune", "-g", place, "--index", "flat")[0]
    assert "there is no index" in hs("tune", "-g", place, "--index", "flat")[0]
    hs("search", query, "-g", place, "-k", "3", "--approximate", "--metric", "plain", code=1)


def test_a_number_of_thousands_of_digits_is_none(hs, photos):
    hs("index", photos, "-g", "milvus-lite:m.db", *LITE)
    _, err = hs("tune", "-g", "milvus-lite:m.db", "-p", "ef=" + "9" * 5000, code=2)
    assert "is no NAME=NUMBER" in err


def test_what_is_exact_all_the_same_says_so(hs, photos):
    """By label, and for as many neighbours as there are photos: without a record."""
    place, query = "milvus-lite:m.db", photos / "pug" / "pug-0.jpg"
    hs("index", photos, "-g", place, *LITE)
    for how, why in (
        (("-k", "3", "--label", "pug"), "searches by label are, in Milvus"),
        ((), "for 20 neighbours a gallery of 12 is too small"),
        (("-k", "50"), "for 50 neighbours a gallery of 12 is too small"),
    ):
        exact, _ = hs("search", query, "-g", place, *how)
        out, err = hs("search", query, "-g", place, *how, "--approximate")
        assert out == exact
        assert f"exact, in spite of --approximate: {why}\n" in err
        assert "finds" not in err
    with Gallery(place) as gallery, pytest.raises(InputError, match="Leave --approximate out"):
        measured_recall(gallery, 12)


def test_flat_takes_nothing_else(hs, photos):
    hs("index", photos, "-g", "milvus-lite:m.db", *LITE)
    for more in (("-k", "20"), ("--recall", "0.99"), ("-p", "M=4")):
        _, err = hs("tune", "-g", "milvus-lite:m.db", "--index", "flat", *more, code=2)
        assert "--index flat takes the index away: give nothing else." in err


def test_what_may_find_more():
    """It fits the kind of index, and what was limited."""
    from houndsight.cli.tuning import _more
    from houndsight.metrics import Estimate
    from houndsight.tuning import Tuning, TuningTrial

    def more(index, tried, **given):
        trial = TuningTrial(tried, Estimate(0.5, 0.4, 0.6), 1.0, 2.0)
        made = Tuning(index, None, (trial, trial), None, 0.9, 5, 1, True, 100)
        return _more(made, given)

    assert "-p M=32" in more(Index("hnsw", {"M": 16, "efConstruction": 200}), 2048)
    assert "-p M=128" in more(Index("hnsw", {"M": 64, "efConstruction": 200}), 2048, M=[64])
    assert more(Index("hnsw", {"M": 2048, "efConstruction": 1}), 99) == "take another --index"
    assert "leave -p ef out" in more(Index("hnsw", {"M": 16}), 64, ef=[64])
    assert "leave -p nprobe out" in more(Index("ivf", {"nlist": 9}), 4, nprobe=[4])
    assert more(Index("ivf", {"nlist": 9}), 9, nprobe=[9]) == "take another --index"
    assert more(Index("diskann"), 2048) == "take another --index"
    assert "leave -p search_list out" in more(Index("diskann"), 64, search_list=[64])


def test_a_share_is_not_rounded_up():
    assert [approximation.percent(n) for n in (1, 0.99999, 0.29, 0.9997)] == [
        "100.00 %",
        "99.99 %",
        "29.00 %",
        "99.97 %",
    ]


def test_none_good_enough(hs, photos):
    place = "milvus-lite:m.db"
    for n in range(60):
        write_photo(photos / "more" / f"{n}.jpg", 300 + n)
    hs("index", photos, "-g", place, *LITE)
    ivf = ("--index", "ivf", "-p", "nlist=30", "-p", "nprobe=1")
    out, err = hs("tune", "-g", place, "-k", "9", *ivf, code=1)
    assert "nprobe 1" in out
    assert "no setting finds 99 % of the true neighbours, the best finds" in err
    assert "; none was put on record. Ask for less with --recall, or let it look at more" in err
    assert "leave -p nprobe out, or give more than 1" in err
    assert "M=" not in err
    hs("tune", "-g", place, "-k", "9", *ivf, "--recall", "0.01")
    _, err = hs("tune", "-g", place, "-k", "9", *ivf, "--recall", "0.999999", code=1)
    assert "no setting finds 99.9999 %" in err
    assert "; what is on record stays: nprobe 1. Ask" in err
    hs("search", photos / "pug" / "pug-0.jpg", "-g", place, "-k", "3", "--approximate")


def test_tuned_by_photos_of_the_gallery_they_are_left_out(hs, photos):
    place = "milvus-lite:m.db"
    hs("index", photos, "-g", place, *LITE)
    with Gallery(place) as gallery:
        keys = [item.key for item in gallery.items()]
    out, _ = hs("tune", keys[0], "-g", place, "-k", "11")  # all others
    assert "over 12 photos" in out
    assert "measured on 1 photo\n" in out
