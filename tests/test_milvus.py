"""Galleries in Milvus: the same as in a folder, whatever is killed, and errors that help."""

import contextlib
import hashlib
import importlib
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from fakes import DIM as DIM_FAKE
from fakes import fake_embedder, write_photo
from houndsight import Gallery, GalleryError, Where, add_photo, cli, copy_gallery, index, tune
from houndsight.copying import vectors_digest
from houndsight.errors import GalleryBusy, InputError, NewerFormat, NotAGallery
from houndsight.gallery import Entry, Rehearsal
from houndsight.maps import Base
from houndsight.stores.address import address, located
from houndsight.stores.indexes import Index
from houndsight.stores.milvus import client as milvus_client
from houndsight.stores.milvus import lease as milvus_lease
from houndsight.stores.milvus import making as milvus_making
from houndsight.stores.milvus import search as milvus_search
from houndsight.stores.milvus import store as milvus
from houndsight.stores.milvus.client import Server
from houndsight.stores.milvus.lease import LOCK, Lease
from houndsight.stores.milvus.rows import ASKED_FOR, ITEMS, fields
from houndsight.stores.milvus.texts import DOCUMENTS, _parts_of
from houndsight.stores.opening import create_store, open_store
from milvus_servers import needs_milvus
from test_store_contract import DIM, FILES, MADE, items, learned, numbers

pytestmark = needs_milvus
LITE = ("--model", "efficientnet-lite0")
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(milvus_client, "WAITS_S", (0.0, 0.0))


# Addresses


@pytest.mark.parametrize(
    ("text", "server", "name"),
    [
        ("milvus://db.example:19531/dogs", "http://db.example:19531", "dogs"),
        ("milvus://db.example/dogs_2", "http://db.example:19530", "dogs_2"),
        ("milvus+tls://[::1]:443/_x", "https://[::1]:443", "_x"),
    ],
)
def test_what_an_address_stands_for(text, server, name):
    found = address(text)
    assert (found.server, found.name, found.file) == (server, name, None)
    assert os.fspath(found) == str(found) == text


def test_an_address_of_milvus_lite_is_that_of_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, same = address("milvus-lite:x/../dogs.db"), address(f"milvus-lite:{tmp_path}/dogs.db")
    assert one.file == same.file == tmp_path / "dogs.db"
    assert one.key == same.key != address("milvus-lite:cats.db").key


@pytest.mark.parametrize("text", ["dogs", "./milvus:/x", Path("milvus:/h/x"), "milvusx://h/x"])
def test_what_is_a_folder(text):
    assert located(text) == Path(text)


@pytest.mark.parametrize(
    ("text", "only_here"),
    [
        ("milvus://localhost/dogs", True),
        ("milvus+tls://LocalHost.:5/dogs", True),
        ("milvus://127.0.0.2:5/dogs", True),
        ("milvus://[::1]:5/dogs", True),
        ("milvus://0.0.0.0/dogs", True),
        ("milvus-lite:dogs.db", True),
        ("milvus://10.0.0.1/dogs", False),
        ("milvus://[2001:db8::1]/dogs", False),
        ("milvus://localhost.example/dogs", False),
    ],
)
def test_which_addresses_are_of_this_machine_only(text, only_here):
    assert located(text).loopback is only_here


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("milvus://localhost:19530", "does not end in a gallery's name"),
        ("milvus://localhost/my-dogs", "letters without accents, digits and underscores"),
        ("milvus://localhost/a/b", "does not end in a gallery's name"),
        ("milvus:///dogs", "names no host and port"),
        ("milvus://host:99999/dogs", "names no host and port"),
        ("milvus://[1:2]/dogs", "names no host and port"),
        ("milvus-lite:", "names no file"),
    ],
)
def test_what_is_no_address(text, said):
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        Gallery.exists(text)
    assert text in str(caught.value)


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(InputError, match="HOUNDSIGHT_MILVUS_TOKEN") as caught:
        Gallery("milvus://root:hunter2@localhost/dogs")
    assert "hunter2" not in str(caught.value)


# The same as in a folder


@pytest.fixture
def hs(tmp_path, monkeypatch, capsys):
    """Run houndsight in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOUNDSIGHT_OFFLINE", "1")

    def run(*arguments):
        code = cli._run([os.fspath(one) for one in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_every_command_says_the_same_as_of_a_folder(hs, photos, tmp_path):
    query, other = photos / "pug" / "pug-0.jpg", photos / "beagle" / "beagle-1.jpg"
    (photos / "broken.jpg").write_bytes(b"no photo")
    write_photo(tmp_path / "new.jpg", 77)

    def same(*arguments, code=0):
        """Run it on both; hold what is written against each other."""
        said = []
        for gallery in ("milvus-lite:m.db", "on-disk"):
            found = hs(*(gallery if one == "G" else one for one in arguments))
            plain = [text.replace(gallery, "G") for text in found[1:]]
            plain = [
                re.sub(r"\(\d+\.\d s(, [\d.]+ images/s)?\)|T\d\d:\d\d:\d\d", "", text)
                for text in plain
            ]
            said.append((found[0], *plain))
        assert said[0] == said[1]
        assert said[0][0] == code, said[0]
        return said[0][1]

    same("index", photos, "-g", "G", "--dry-run", *LITE, code=3)
    same("index", photos, "-g", "G", *LITE, code=3)
    same("index", photos, "-g", "G", code=3)
    assert "12" in same("info", "-g", "G", "--json")
    same("search", query, "-g", "G", "-k", "5")
    same("search", query, "-g", "G", "--label", "beagle", "--label", "collie", "--json")
    same("search", query, "-g", "G", "--label", "beagel", code=1)
    same("classify", query, tmp_path / "new.jpg", "-g", "G")
    same("evaluate", "-g", "G", "-k", "3")
    same("duplicates", "-g", "G")
    same("label", query, 'Mops "O\'Neil" \\ ☃', "-g", "G", "--dry-run")
    same("label", query, 'Mops "O\'Neil" \\ ☃', "-g", "G")
    same("search", other, "-g", "G", "--label", 'Mops "O\'Neil" \\ ☃', "--json")
    same("remove", other, "-g", "G")
    same("remove", other, "-g", "G", code=1)
    same("search", other, "-g", "G", "-k", "20", "--json")
    same("undo", "-g", "G")
    same("undo", "1", "-g", "G")
    (photos / "pug" / "pug-3.jpg").unlink()
    write_photo(photos / "collie" / "collie-3.jpg", 99)
    same("index", photos, "-g", "G", code=3)
    same("learn", "-g", "G", "--name", "kinds")
    same("search", query, "-g", "G", "-k", "5", "--json")
    same("compact", "-g", "G", "--dry-run")
    same("info", "-g", "G", "--skipped")
    assert "all well" in same("verify", "-g", "G")
    listed = [
        (hs("export", "-g", name, f"{n}.csv")[0], Path(f"{n}.csv").read_bytes())
        for n, name in enumerate(("milvus-lite:m.db", "on-disk"))
    ]
    assert listed[0] == listed[1]
    # And the same vectors, which came by way of Milvus.
    with Gallery("milvus-lite:m.db") as there, Gallery("on-disk") as here:
        assert there.store.items() == here.store.items()
        assert vectors_digest(there) == vectors_digest(here)
        assert there.ids().tolist() == here.ids().tolist()


def test_to_milvus_and_back_is_the_same_gallery(hs, photos, tmp_path, url):
    hs("index", photos, "-g", "one", *LITE)
    hs("remove", photos / "pug" / "pug-1.jpg", "-g", "one")
    hs("learn", "-g", "one", "--name", "kinds")
    hs("remove", photos / "pug" / "pug-2.jpg", "-g", "one")
    hs("compact", "-g", "one")
    hs("remove", photos / "pug" / "pug-3.jpg", "-g", "one")
    for source, target in (("one", url), (url, "milvus-lite:x.db"), ("milvus-lite:x.db", "two")):
        code, out, err = hs("copy", source, target)
        assert (code, err) == (0, "")
        assert "9 photos and 3 removed ones" in out
        assert "the same 10 vectors in both" in out
    with Gallery("one") as one, Gallery("two") as two:
        assert one.store.items() == two.store.items()
        assert one.ids().tolist() == two.ids().tolist()
        assert one.settings == two.settings
        assert one.store.documents("") == two.store.documents("")
        assert two.metric == "kinds@1"
        assert two.verify() == []
    code, _, err = hs("copy", "one", url)
    assert (code, "is a gallery already" in err) == (1, True)
    # What was removed last can come back, what compact made final cannot.
    assert "1 photo" in hs("undo", "-g", url)[1]


def test_a_narrower_network_comes_along(tmp_path, url):
    settings = fake_embedder().settings()
    network = os.urandom(200_000)
    digest = hashlib.sha256(network).hexdigest()
    settings["made_of"] = {**settings["made_of"], "network": digest}
    with Gallery.create_for(tmp_path / "g", settings, network) as source:
        copy_gallery(source, url)
    with Gallery(url) as there:
        assert there._network() == network
        assert there.verify() == []
        copy_gallery(there, tmp_path / "back")
    assert (tmp_path / "back" / "network.onnx").read_bytes() == network


def test_photos_by_hand_are_refused(photos, tmp_path, url):
    made = fake_embedder()
    index(photos, url, embedder=made)
    write_photo(tmp_path / "own.jpg", 60)
    with Gallery(url) as gallery:
        with pytest.raises(InputError, match="which keeps no photos"):
            add_photo(gallery, made, tmp_path / "own.jpg")
        assert len(gallery) == 12
    index(photos, tmp_path / "g", embedder=made)
    with Gallery(tmp_path / "g") as gallery:
        add_photo(gallery, made, tmp_path / "own.jpg")
        with pytest.raises(GalleryError, match="holds 1 photo added by hand"):
            copy_gallery(gallery, f"{url}_2")
        assert not Gallery.exists(f"{url}_2")
        item = next(one for one in gallery.items() if one.root == 0)
        gallery.remove([item.id])  # which could come back
        with pytest.raises(GalleryError, match="and run houndsight compact"):
            copy_gallery(gallery, f"{url}_2")
        gallery.compact()
        assert copy_gallery(gallery, f"{url}_2").photos == 12


def test_thumbnails_are_in_the_cache_and_made_again(photos, tmp_path, url, cache):
    index(photos, url, embedder=fake_embedder())
    with Gallery(url) as gallery:
        (file, *others) = (cache / "galleries").rglob("*.jpg")
        assert len(others) == 11
        before = file.read_bytes()
        file.unlink()
        item = next(one for one in gallery.items() if one.digest.hex() == file.stem)
        assert gallery.thumbnail(item) == before


def test_a_rehearsal_writes_nothing(photos, url, monkeypatch):
    index(photos, url, embedder=fake_embedder())
    with Gallery(url) as gallery:
        version = gallery.store.revision()
    for name in ("write", "delete", "make", "drop", "build", "settle"):
        monkeypatch.setattr(Server, name, lambda *_, name=name: pytest.fail(name))
    with Rehearsal(url) as library:
        pug = library.find(photos / "pug" / "pug-0.jpg")
        library.remove([pug.id])
        library.set_labels({library.find(photos / "pug" / "pug-1.jpg").id: "x"}, source="user")
        assert sorted(one.what for one in library.differences()) == ["label", "removed"]
        assert library.compact() == 4 * library.settings["dim"]
        assert len(library) == 11
        library.add_map(learned("kinds@1", dim=library.settings["dim"]), {}, None)
        library.tidy()
        assert library.undo_metric() == "plain"
    with Gallery(url) as gallery:
        assert (len(gallery), gallery.store.revision()) == (12, version)


@pytest.mark.parametrize("limit", [1 << 30, 1000])
@pytest.mark.parametrize("many", [1, 10_000])
def test_the_ways_of_a_search_agree(url, tmp_path, monkeypatch, limit, many):
    """By Milvus, by vectors fetched once, and by looking at all of them for each query."""
    monkeypatch.setattr(milvus, "HELD", limit)
    monkeypatch.setattr(milvus, "MANY", many)
    embedder = fake_embedder()
    rng = np.random.default_rng(5)
    with Gallery.create(tmp_path / "g", embedder) as local:
        local.store.put_document("roots", {"1": {"place": "/p", "labels": "none"}})
        vectors = rng.normal(size=(70, embedder.dim)).astype(np.float32)
        vectors[30:40] = vectors[3]
        some = items(70)
        local.store.put(some, {i.id: v for i, v in zip(some, vectors, strict=True)})
        copy_gallery(local, f"{url}")
        queries = local.vectors([some[3], some[60]])
        with Gallery(url) as there:
            for metric in ("plain", None):
                for where in (Where(), Where(labels=frozenset(["pug", None]))):
                    one = local.search(queries, 12, where=where, metric=metric)
                    two = there.search(queries, 12, where=where, metric=metric)
                    assert np.array_equal(one.ids, two.ids)
                    assert np.array_equal(one.distances, two.distances)


@pytest.mark.parametrize("most", [50, 16_384])
@pytest.mark.parametrize("wrong", [np.sqrt, lambda d: d * 1.001, lambda d: d + 1e-3])
def test_numbers_that_cannot_be_trusted_prove_nothing(wrong, most, monkeypatch):
    """A server whose distances are no squares, or of few bits: all are asked for, or looked at."""
    vectors = numbers(100)
    queries = vectors[:2] + np.float32(0.01)

    def careless(some, limit):
        found = []
        for query in some:
            squared = ((vectors - query) ** 2).sum(axis=1)
            order = np.argsort(squared)[:limit]
            found.append([{"id": int(n), "distance": wrong(squared[n])} for n in order])
        return found

    def all_of_them(some):
        return ((np.arange(100), vectors) for _ in some)

    monkeypatch.setattr(milvus_search, "MOST", most)
    found = milvus_search.by_search(
        careless, queries, 3, Base(vectors.shape[1]), vectors.__getitem__, all_of_them
    )
    for ids, held in found:
        assert sorted(ids) == list(range(100))
        assert np.array_equal(held, vectors[ids])


def test_a_batch_asks_as_often_for_many_photos_as_for_few(tmp_path, url, monkeypatch):
    asked, real = [], Server.rows

    def rows(self, collection, field, values, *more, **how):
        if values:
            asked.append((collection, field))
        return real(self, collection, field, values, *more, **how)

    write_photo(tmp_path / "photos" / "1.jpg", 1)
    counts = []
    index(tmp_path / "photos", url, embedder=fake_embedder())
    with Gallery(url) as gallery:
        monkeypatch.setattr(Server, "rows", rows)
        for n, count in enumerate((2, 14)):
            entries = [
                Entry(b"%d-%d.jpg" % (n, m), None, None, bytes([n, m]) * 16, 1, 2, 3, 4, one)
                for m, one in enumerate(np.eye(count, DIM_FAKE, dtype=np.float32))
            ]
            asked.clear()
            assert gallery.add(gallery.roots()[0], entries) == ["new"] * count
            counts.append(len(asked))
    assert max(counts) < 14


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": "x" * 70_000}, "its label is too long for Milvus"),
        ({"label": "\udc80"}, "its label is no Unicode"),
        ({"path": b"x" * 40_000}, "its path is too long for Milvus"),
    ],
)
def test_what_milvus_cannot_keep_is_refused_before_it_counts(url, change, said):
    place = located(url)
    create_store(place, DIM, MADE, {})
    store, (item,) = open_store(place), items(1)
    wrong = replace(item, **change)
    with pytest.raises(InputError, match=said):
        store.put([wrong], {wrong.id: np.ones(DIM, np.float32)})
    with pytest.raises(InputError, match="name of a document is too long"):
        store.put_document("x" * 40_000, 1)
    store.put([item], {item.id: np.ones(DIM, np.float32)})
    assert store.items() == [item]
    store.close()


# Killed


class Killed(BaseException):
    """Stands for a process that ends, which no handler of errors catches."""


def test_killed_before_any_write_the_gallery_is_as_before_or_after(url, monkeypatch):
    place = located(url)
    create_store(place, DIM, MADE, FILES)
    long = {"text": "x" * 150_000}
    some, vectors = items(30), numbers(30)
    store = open_store(place)
    store.put(some, {i.id: v for i, v in zip(some, vectors, strict=True)})
    store.put_document("long", {"text": "y" * 150_000})
    store.put_document("gone", 1)

    def change(store, n):
        """A transaction that touches everything: new, changed, relabelled, forgotten, documents."""
        more = items(3, first=100 + 10 * n)
        with store.transaction():
            store.put(more, {item.id: np.full(DIM, n, np.float32) for item in more})
            store.put(some[:2], {some[0].id: np.full(DIM, -n, np.float32)})
            store.put_document("long", {**long, "n": n})
            store.put_document("gone", None)
            store.put_document(f"new/{n}", n)
        return more

    def state(store):
        return (
            store.items(),
            store.vectors([item.id for item in store.items()]).tobytes(),
            store.ids(Where()).tolist(),
            store.documents(""),
        )

    real = {name: getattr(Server, name) for name in ("write", "delete")}
    n, ended, seen = 0, False, set()
    while not ended:
        left = n  # how many writes are done before the end
        n += 1
        store.put_document("gone", 1)
        before = state(store)

        def dying(name):
            def call(self, collection, rows, *more):
                nonlocal left
                if collection == LOCK:
                    return real[name](self, collection, rows, *more)
                if rows:
                    if left == 0:
                        raise Killed
                    left -= 1
                return real[name](self, collection, rows, *more)

            return call

        victim = open_store(place)
        with monkeypatch.context() as patch:
            for name in real:
                patch.setattr(Server, name, dying(name))
            try:
                change(victim, n)
                ended = True
            except Killed:
                pass
        victim.close()
        after = state(store)  # read through what was left
        seen.add(after == before)
        if after != before:
            assert after[3][f"new/{n}"] == n
            assert after[3]["long"] == {**long, "n": n}
            assert "gone" not in after[3]
            assert len(after[0]) == len(before[0]) + 3
        assert store.verify() == []
        store.put_document("then", n)  # finishes it
        assert store.verify() == []
        finished = state(store)
        assert finished[:3] == after[:3]
        assert finished[3] == {**after[3], "then": n}
        # Parts of a journal that was not finished are left over, and nothing else.
        store._texts.sweep()
        assert store._texts.keys("p") == sorted(
            key
            for row in store._server.rows(
                DOCUMENTS, "parts", [1, 2, 3, 4, 5, 6], ["key", "parts", "version"]
            )
            for key in _parts_of(row)
        )
    assert seen == {True, False}
    assert n > 8
    store.close()


STAGES = textwrap.dedent("""
    import os, sys
    sys.path.insert(0, {here!r})
    from houndsight.stores.milvus.client import Server
    from houndsight.stores.milvus.lease import LOCK
    from houndsight.stores.opening import open_store
    from houndsight.stores.address import located
    from test_store_contract import items, numbers
    left, real = int(sys.argv[2]), Server.write
    def write(self, collection, rows, *more):
        global left
        if collection != LOCK and rows:
            if left == 0:
                os._exit(9)
            left -= 1
        return real(self, collection, rows, *more)
    store, some = open_store(located(sys.argv[1])), items(40)
    Server.write = write
    store.put(some, dict(zip([i.id for i in some], numbers(40), strict=True)))
""")


@pytest.mark.parametrize("kind", ["server", "lite"])
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_process_that_ends_in_the_midst(kind, stage, url, tmp_path):
    """Before the journal; when it is written; when the items are too. Its right ends with it."""
    place = located(url if kind == "server" else f"milvus-lite:{tmp_path}/m")
    create_store(place, DIM, MADE, FILES)
    script = STAGES.format(here=str(HERE))
    done = subprocess.run([sys.executable, "-c", script, str(place), str(stage)], check=False)
    assert done.returncode == 9
    store = open_store(place)
    try:
        assert len(store.items()) == (0 if stage == 0 else 40)
        assert store.verify() == []
        began = time.monotonic()
        store.put_document("then", 1)
        assert time.monotonic() - began < 10  # the right of a process that is gone is free
        if stage:
            assert np.array_equal(store.vectors([one.id for one in items(40)]), numbers(40))
            assert store.labels() == {one.label: 5 - (n >= 4) for n, one in enumerate(items(9))}
    finally:
        store.close()


INDEX = textwrap.dedent("""
    import sys
    sys.path.insert(0, {here!r})
    from fakes import fake_embedder
    from houndsight import Gallery, copy_gallery, copying, index
    copying.TOGETHER = 5
    if sys.argv[1] == "index":
        index(sys.argv[2], sys.argv[3], embedder=fake_embedder(),
              progress=lambda now: print(now.done, flush=True))
    else:
        with Gallery(sys.argv[2]) as source:
            copy_gallery(source, sys.argv[3], lambda done, of: print(done, flush=True))
    print("finished", flush=True)
""")


@pytest.mark.parametrize(
    ("verb", "kind"), [("index", "server"), ("copy", "server"), ("index", "file")]
)
def test_kill_9_and_again_loses_and_doubles_nothing(verb, kind, photos, url, tmp_path):
    if kind == "file":
        url = f"milvus-lite:{tmp_path}/m.db"
    for n in range(60):
        write_photo(photos / f"kind{n % 5}" / f"{n}.jpg", 200 + n)
    index(photos, tmp_path / "g", embedder=fake_embedder())
    source = photos if verb == "index" else tmp_path / "g"
    command = [sys.executable, "-c", INDEX.format(here=str(HERE)), verb, source, url]
    killed = 0
    for wait in (0.0, 0.02, 0.05, 0.09, 0.2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
        killed += process.returncode == -signal.SIGKILL
        if verb == "copy" and killed and wait == 0.0:
            with pytest.raises(GalleryError, match="is an unfinished copy of /"):
                Gallery(url)
    last = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if verb == "index":  # a copy that had been finished is refused
        assert (last.returncode, last.stdout.splitlines()[-1:]) == (0, ["finished"]), last.stderr
    assert killed
    with Gallery(url) as there, Gallery(tmp_path / "g") as here:
        assert [i.path for i in there.items()] == [i.path for i in here.items()]
        assert there.store.items() == here.store.items()
        assert vectors_digest(there) == vectors_digest(here)
        assert there.verify() == []
        assert sorted(there.ids().tolist()) == sorted(here.ids().tolist())


def test_half_an_index_of_milvus_lite_is_made_anew(photos, tmp_path):
    """What a process leaves that is killed while Milvus Lite writes one."""
    place = f"milvus-lite:{tmp_path}/m"
    for n in range(40):
        write_photo(photos / f"{n}.jpg", 300 + n)
    index(photos, place, embedder=fake_embedder())
    with Gallery(place) as gallery:
        gallery.store.build_index(Index("hnsw", {"M": 4, "efConstruction": 50}), lambda *_: None)
        said = vectors_digest(gallery), gallery.ids().tolist()
    files = sorted((tmp_path / "m").rglob("indexes/*"))
    assert {".".join(file.name.split(".")[1:]) for file in files} >= {
        "vector.flat.idx",
        "vector.hnsw.idx",
        "path.inverted.sidx",
        "digest.inverted.sidx",
    }
    for file in files:
        whole = file.read_bytes()
        for size in (0, len(whole) // 2, len(whole) - 1):
            os.truncate(file, size)
            with Gallery(place) as gallery:
                assert (vectors_digest(gallery), gallery.ids().tolist()) == said
                assert {row["id"] for some in gallery.store._near.every() for row in some} == {
                    *said[1]
                }
                assert gallery.verify() == []
            assert len(file.read_bytes()) == len(whole)


@pytest.mark.parametrize("call", ["create_collection", "create_index"])
@pytest.mark.parametrize("nth", [0, 1, 2])
def test_a_collection_that_was_half_made_is_made_to_its_end(photos, url, monkeypatch, call, nth):
    """Killed before a collection is made, or its indexes."""

    class Killed(BaseException):
        pass

    real, seen = Server._call, Counter()

    def until(self, method, *what, **how):
        seen[method] += 1
        if seen[call] == nth + 1 and method == call:
            raise Killed
        return real(self, method, *what, **how)

    with monkeypatch.context() as patch:
        patch.setattr(Server, "_call", until)
        with pytest.raises(Killed):
            index(photos, url, embedder=fake_embedder())
    Gallery.check_free(url)
    assert not Gallery.exists(url)
    index(photos, url, embedder=fake_embedder())
    with Gallery(url) as gallery:
        assert len(gallery) == 12
        server = gallery.store._server
        for name in ("items", "documents", "lock"):
            assert server.indexed(name, "vector")
        assert all(server.indexed(ITEMS, name) for name in ASKED_FOR)


@pytest.mark.parametrize("left", [[], ["schema.json.tmp"]])
@pytest.mark.parametrize("name", ["gallery_lock", "gallery_items", "gallery_documents"])
def test_a_folder_without_a_schema_is_in_nobody_s_way(photos, tmp_path, name, left):
    """Milvus Lite, killed while it made a collection."""
    folder = tmp_path / "m" / "collections" / name
    folder.mkdir(parents=True)
    for file in left:
        (folder / file).write_bytes(b"{")
    index(photos, f"milvus-lite:{tmp_path}/m", embedder=fake_embedder())
    with Gallery(f"milvus-lite:{tmp_path}/m") as gallery:
        assert len(gallery) == 12


def test_what_lacks_its_schema_is_deleted_only_where_it_can_be_made_again(photos, tmp_path):
    place, folder = f"milvus-lite:{tmp_path}/m", tmp_path / "m" / "collections"
    (folder / "gallery_trial" / "wal").mkdir(parents=True)  # of one that was killed as it deleted
    index(photos, place, embedder=fake_embedder())
    with Gallery(place) as gallery:
        tune(gallery, k=2)
    (folder / "gallery_documents" / "schema.json").rename(tmp_path / "schema.json")
    with pytest.raises(GalleryError, match="File exists"):
        index(photos, place, embedder=fake_embedder())
    (tmp_path / "schema.json").rename(folder / "gallery_documents" / "schema.json")
    with Gallery(place) as gallery:
        assert len(gallery) == 12
        assert gallery.verify() == []


def test_documents_that_lost_their_index_are_no_reason_to_begin_again(photos, url):
    index(photos, url, embedder=fake_embedder())
    with Gallery(url) as gallery:
        client = gallery.store._server._client
        client.release_collection(gallery.store._server.name("documents"))
        client.drop_index(gallery.store._server.name("documents"), "vector")
    with pytest.raises(GalleryBusy):
        index(photos, url, embedder=fake_embedder())
    assert index(photos, url, embedder=fake_embedder()).unchanged == 12


def test_threads_that_open_it_together_all_find_it_made_anew(photos, tmp_path):
    place = f"milvus-lite:{tmp_path}/m"
    index(photos, place, embedder=fake_embedder())
    for _ in range(3):
        for file in (tmp_path / "m").rglob("indexes/*"):
            os.truncate(file, 0)
        with ThreadPoolExecutor(4) as threads:
            for opened in [threads.submit(Gallery, place) for _ in range(4)]:
                opened.result().close()


def test_threads_that_open_it_together_have_its_collections_once(photos, tmp_path, monkeypatch):
    from milvus_lite import db

    place = f"milvus-lite:{tmp_path}/m"
    index(photos, place, embedder=fake_embedder())
    opened, real = Counter(), db.Collection

    def slowly(name, *how, **more):
        opened[name] += 1
        time.sleep(0.05)
        return real(name, *how, **more)

    monkeypatch.setattr(db, "Collection", slowly)
    with ThreadPoolExecutor(4) as threads, contextlib.ExitStack() as stack:
        for gallery in list(threads.map(Gallery, [place] * 4)):
            stack.enter_context(gallery)
    assert opened == {"gallery_items": 1, "gallery_documents": 1, "gallery_lock": 1}


def test_indexes_that_are_whole_stay_whatever_cannot_be_loaded(photos, tmp_path, monkeypatch):
    from milvus_lite.index.scalar import ScalarInvertedIndex

    place = f"milvus-lite:{tmp_path}/m"
    index(photos, place, embedder=fake_embedder())
    files = {file: file.stat().st_ino for file in (tmp_path / "m").rglob("indexes/*")}
    half, *_ = files
    os.truncate(half, 5)
    loaded = ScalarInvertedIndex.load

    def once_not(path):
        monkeypatch.setattr(ScalarInvertedIndex, "load", loaded)
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(ScalarInvertedIndex, "load", once_not)
    Gallery(place).close()
    monkeypatch.setattr(Path, "unlink", Mock(side_effect=PermissionError))
    assert {file for file, number in files.items() if file.stat().st_ino != number} <= {half}
    os.truncate(half, 5)
    with pytest.raises(GalleryError, match="Milvus answers with an error: "):
        Gallery(place)


def test_what_cannot_be_loaded_without_its_indexes_either_is_told(photos, tmp_path):
    index(photos, f"milvus-lite:{tmp_path}/m", embedder=fake_embedder())
    for kind in ("indexes", "data"):
        for file in (tmp_path / "m" / "collections" / "gallery_items").rglob(f"{kind}/*"):
            os.truncate(file, 0)
    for _ in range(2):
        with pytest.raises(GalleryError, match="Milvus answers with an error: "):
            Gallery(f"milvus-lite:{tmp_path}/m")


@pytest.mark.parametrize("version", [None, "2.6.4"])
def test_rows_are_settled_in_milvus_lite_and_left_to_a_server(version, url, photos, monkeypatch):
    from pymilvus import MilvusClient

    if version is not None:
        monkeypatch.setattr(MilvusClient, "get_server_version", lambda _: version)
    index(photos, url, embedder=fake_embedder())
    flushed = []
    monkeypatch.setattr(MilvusClient, "flush", lambda _, name, **__: flushed.append(name))
    with Gallery(url) as gallery:
        gallery.set_labels({gallery.items()[0].id: "new"}, source="user")
        gallery.record("note", 1)  # changes no item
        assert flushed == ([gallery.store._server.name("items")] if version is None else [])


def test_while_milvus_lite_settles_readers_miss_nothing(photos, tmp_path, monkeypatch):
    """For a moment it shows neither the rows to be written down nor that they replace others."""
    from milvus_lite.engine import collection

    place = f"milvus-lite:{tmp_path}/m.db"
    index(photos, place, embedder=fake_embedder())
    begun = collection.WAL
    seen = []
    with Gallery(place) as gallery, Gallery(place) as reader:
        one, other, third, *_ = gallery.items()
        vectors = gallery.vectors([one, other, third]).values
        more = replace(one, id=7, path=b"more.jpg", digest=b"m" * 32)

        def settling(**how):
            found = reader.search(reader.vectors([third]), 99)
            seen.append((set(found.ids[0].tolist()), reader.items([one.id])[0].label))
            return begun(**how)

        monkeypatch.setattr(collection, "WAL", settling)
        with gallery.store.transaction():
            gallery.set_labels({one.id: "new"}, source="user")
            gallery.remove([other.id])
            gallery.store.put([more], {7: vectors[0]})
        monkeypatch.undo()
        wanted = {*gallery.ids().tolist()}
        assert {one.id, third.id, 7} <= wanted
        assert other.id not in wanted
        assert seen == [(wanted, "new")]
        assert gallery.verify() == []


def test_a_copy_of_a_gallery_that_changes_says_so(photos, tmp_path, url):
    index(photos, tmp_path / "g", embedder=fake_embedder())
    with Gallery(tmp_path / "g") as source:
        ids = source.ids().tolist()

        def change(done, of):
            source.set_labels({ids[0]: f"label {time.time()}"}, source="user")

        with pytest.raises(GalleryError, match="was changed meanwhile"):
            copy_gallery(source, url, change)
        other = copy_gallery(source, tmp_path / "other")
        with (
            Gallery(tmp_path / "other") as wrong,
            pytest.raises(GalleryError, match="unfinished copy of another gallery"),
        ):
            copy_gallery(wrong, url)
        done = copy_gallery(source, url)
        assert (done.written, done.digest) == (1, other.digest)
        assert done.photos == done.items == done.vectors == 12


# One at a time


def test_a_right_is_one_s_alone_and_says_whose(url, monkeypatch):
    place = located(url)
    create_store(place, DIM, MADE, {})
    server = Server(place)
    one, two = Lease(server, "write"), Lease(server, "write")
    with one.held(0):
        with pytest.raises(GalleryBusy) as caught, two.held(0.1):
            pass
        said = str(caught.value)
        assert f"process {os.getpid()} on {socket.gethostname()} is writing" in said
        assert url in said
        with Lease(server, "append").held(0):  # another right
            pass
    with two.held(0):
        pass
    assert server.count(LOCK) == 0
    # One that was not renewed is over.
    monkeypatch.setattr(milvus_lease, "LASTS_S", 0.2)
    one._claim(0)
    monkeypatch.setattr(milvus_lease, "SURE_S", -1.0)
    with pytest.raises(GalleryError, match="right to write was lost"):
        one.check()
    monkeypatch.setattr(milvus_lease, "SURE_S", 30.0)
    time.sleep(0.25)
    with two.held(0):
        pass
    server.close()


def test_many_who_write_at_once_lose_nothing(url):
    place = located(url)
    create_store(place, DIM, {**MADE, "count": 0}, {})

    def work():
        store = open_store(place)
        for _ in range(4):
            with store.transaction():
                store.put_document("count", store.documents("count")["count"] + 1)
        store.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = open_store(place)
    assert store.documents("count") == {"count": 16}
    assert store._server.count(LOCK) == 0
    store.close()


def test_a_file_of_milvus_lite_is_one_process_s(photos, tmp_path):
    place = f"milvus-lite:{tmp_path}/m.db"
    index(photos, place, embedder=fake_embedder())
    with Gallery(place), Gallery(place):  # in this process as often as one likes
        done = subprocess.run(
            [sys.executable, "-m", "houndsight", "info", "-g", place],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "another process has this file of Milvus Lite open, and only one can" in done.stderr
    assert "a Milvus server takes many" in done.stderr
    with Gallery(place) as gallery:
        assert len(gallery) == 12


# Servers that fail


def test_without_the_extra_the_message_says_how_to_get_it(monkeypatch, tmp_path):
    real = importlib.import_module

    def missing(name, *more):
        if name.startswith(("pymilvus", "milvus_lite")):
            raise ModuleNotFoundError(name=name.split(".")[0])
        return real(name, *more)

    monkeypatch.setattr("houndsight.stores.milvus.lite.import_module", missing)
    for place in ("milvus://localhost/dogs", f"milvus-lite:{tmp_path}/m"):
        with pytest.raises(InputError, match=r"pip install 'houndsight\[milvus\]'"):
            Gallery.create(place, fake_embedder())


def test_no_server_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"milvus://127.0.0.1:{free.getsockname()[1]}/dogs"
    with pytest.raises(GalleryError, match="no answer from a Milvus server") as caught:
        Gallery(url)
    assert url in str(caught.value)
    assert "host and port" in caught.value.remedy


def test_a_server_that_never_answers(monkeypatch):
    monkeypatch.setattr(milvus_client, "CONNECT_S", 0.3)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        began = time.monotonic()
        with pytest.raises(GalleryError, match="no answer from a Milvus server"):
            Gallery(f"milvus://127.0.0.1:{mute.getsockname()[1]}/dogs")
        assert time.monotonic() - began < 20


class Failing(Exception):
    def __init__(self, code, message, retriable=False):
        super().__init__(message)
        self.code, self.message, self.retriable = code, message, retriable


class Status:
    def __init__(self, name):
        self.name = name


@pytest.mark.parametrize(
    ("error", "calls", "said"),
    [
        (Failing(Status("UNAVAILABLE"), "gone"), 3, "did not answer in time, 3 times: gone"),
        (Failing(Status("DEADLINE_EXCEEDED"), "late"), 3, "did not answer in time, 3 times"),
        (Failing(8, "rate limit", retriable=True), 3, "did not answer in time, 3 times: rate"),
        (TimeoutError("slow"), 3, "did not answer in time, 3 times: slow"),
        (Failing(1, "disk\nfull"), 1, "Milvus answers with an error: disk full"),
        (Failing(1800, "auth check failure"), 1, "Milvus refuses the token, or asks for one"),
        (Failing(Status("UNAUTHENTICATED"), "unauthenticated"), 1, "Milvus refuses the token"),
    ],
)
def test_errors_are_told_and_tried_again_only_where_that_helps(
    url, monkeypatch, error, calls, said
):
    place = located(url)
    create_store(place, DIM, MADE, {})
    store = open_store(place)
    seen = []

    def fail(*_, **__):
        seen.append(1)
        raise error

    real = store._server._client.query
    monkeypatch.setattr(store._server._client, "query", fail)
    with pytest.raises(GalleryError, match=re.escape(said)) as caught:
        store.items([1])
    assert len(seen) == calls
    assert url in str(caught.value)
    assert caught.value.remedy

    # Once is no harm.
    def once(*given, **more):
        if len(seen) == calls:
            fail()
        return real(*given, **more)

    if calls > 1:
        monkeypatch.setattr(store._server._client, "query", once)
        assert store.items([1]) == []
    store.close()


def test_an_error_after_the_journal_is_no_loss(url, monkeypatch):
    place = located(url)
    create_store(place, DIM, MADE, {})
    store, (item,) = open_store(place), items(1)
    real = Server.write

    def fail(self, collection, rows, *more):
        if collection == ITEMS:
            raise GalleryError("Milvus answers with an error", path=place)
        return real(self, collection, rows, *more)

    with monkeypatch.context() as patch:
        patch.setattr(Server, "write", fail)
        store.put([item], {item.id: np.ones(DIM, np.float32)})
    assert store._server.count(ITEMS) == 0
    assert store.items() == [item]
    assert store.ids(Where()).tolist() == [item.id]
    store.put_document("a", 1)
    assert store._server.count(ITEMS) == 1
    store.close()


def test_foreign_collections_are_named(url):
    place = located(url)
    server = Server(place)
    server.make(
        ITEMS, [("id", "INT64", {"is_primary": True}), ("vector", "FLOAT_VECTOR", {"dim": 4})]
    )
    with pytest.raises(GalleryError, match=f"{place.name}_items has no field serial, so"):
        Gallery.check_free(url)
    with pytest.raises(GalleryError, match="has no field serial"):
        create_store(place, DIM, MADE, {})
    server.drop(ITEMS)
    wrong = [
        one if one[0] != "size" else ("size", "VARCHAR", {"max_length": 9}) for one in fields(4)
    ]
    server.make(ITEMS, wrong)
    with pytest.raises(GalleryError, match="has a field size that is no INT64"):
        create_store(place, DIM, MADE, {})
    server.drop(ITEMS)
    # What a killed making left, for vectors of another length, is made again.
    server.make(ITEMS, fields(4))
    server.close()
    assert not Gallery.exists(url)
    create_store(place, DIM, MADE, {})
    store = open_store(place)
    assert store.dim == DIM
    store.close()


def test_what_is_no_gallery_and_what_is_newer(url, tmp_path):
    with pytest.raises(NotAGallery, match="there is no gallery here"):
        Gallery(url)
    with pytest.raises(NotAGallery, match="there is no gallery here"):
        Gallery(f"milvus-lite:{tmp_path}/none")
    assert list(tmp_path.iterdir()) == []  # nothing was made by looking
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(NotAGallery, match="is a folder with other things in it, and no gallery"):
        Gallery(f"milvus-lite:{tmp_path}/photos")
    place = located(url)
    create_store(place, DIM, MADE, {})
    store = open_store(place)
    store._texts.write({milvus_making.STATE: '{"format": 2}'}, 4)
    with pytest.raises(NewerFormat, match="format 2, this houndsight reads up to 1"):
        store.items()
    store.close()
