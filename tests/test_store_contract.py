"""What every store owes a gallery: the same tests over all of them, brute force as the oracle."""

import itertools
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from houndsight.errors import GalleryBusy, GalleryError
from houndsight.maps import Base, Map, Unit
from houndsight.stores.address import located
from houndsight.stores.layout import CATALOGUE
from houndsight.stores.opening import create_store, exists, open_store
from houndsight.types import Item, Where
from memory_store import MemoryStore
from milvus_servers import needs_milvus, serving

DIM = 12
FILES = {"network.onnx": bytes(range(256)) * 1000}
LABELS = ("pug", 'a "quoted" one', "back\\slash", "ear's", "Gänse ☃ 犬 🐕", "100%_sure", "", "x\ny")
MADE = {"settings": {"dim": DIM}, "roots": {}}


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory):
    """The port of Milvus Lite as a server of its own process."""
    with serving(tmp_path_factory.mktemp("milvus") / "data") as port:
        yield port


@pytest.fixture(
    params=[
        "local",
        "memory",
        pytest.param("milvus-lite", marks=needs_milvus),
        pytest.param("milvus", marks=needs_milvus),
    ]
)
def kind(request):
    return request.param


@pytest.fixture
def at(kind, tmp_path, request):
    """Make a store, and open it again; close all that was opened."""
    names = {"local": tmp_path / "g", "memory": None, "milvus-lite": f"milvus-lite:{tmp_path}/m"}
    if kind == "milvus":
        port = request.getfixturevalue("milvus_server")
        names["milvus"] = f"milvus://127.0.0.1:{port}/{tmp_path.name.replace('-', '_')}"
    opened = []
    if kind == "memory":
        one = MemoryStore(DIM, MADE, FILES)
        yield SimpleNamespace(open=lambda: one, place=None)
        return
    place = located(names[kind])
    assert not exists(place)
    create_store(place, DIM, MADE, FILES)
    assert exists(place)

    def open_() -> object:
        opened.append(open_store(place))
        return opened[-1]

    yield SimpleNamespace(open=open_, place=place)
    for store in opened:
        store.close()


@pytest.fixture
def store(at):
    return at.open()


def items(count, first=0, labels=(*LABELS, None)):
    return [
        Item(
            id=(n * 2654435761) % (1 << 61) + 1,
            root=1,
            path=b"%03d-\xff\x00.jpg" % n,
            label=labels[n % len(labels)],
            label_source="folder" if labels[n % len(labels)] is not None else None,
            digest=bytes([n % 256, n // 256]) * 16,
            size=n,
            mtime_ns=1_700_000_000_000_000_000 + n,
            width=30,
            height=40,
        )
        for n in range(first, first + count)
    ]


def numbers(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


def filled(store, count=90, seed=0):
    some, vectors = items(count), numbers(count, seed)
    store.put(some, {item.id: vector for item, vector in zip(some, vectors, strict=True)})
    return some, vectors


def test_what_is_put_comes_out_bit_by_bit_also_after_reopening(at):
    some, vectors = filled(at.open())
    vectors[0, :3] = -0.0, 1e-42, 3.4e38  # what a detour through text or float16 would change
    at.open().put(some[:1], {some[0].id: vectors[0]})
    again = at.open()
    assert again.items() == sorted(some, key=lambda item: item.id)
    order = np.random.default_rng(1).permutation(len(some))
    found = again.vectors([some[n].id for n in order])
    assert found.dtype == np.float32
    assert found.tobytes() == vectors[order].tobytes()
    # The vector that changed came in last.
    assert again.ids(Where()).tolist() == [item.id for item in (*some[1:], some[0])]
    assert again.vectors([]).shape == (0, DIM)
    assert again.verify() == []


def test_items_are_found_by_id_digest_and_path(store):
    some, _ = filled(store)
    assert store.items([some[5].id, some[3].id, 7]) == sorted(
        [some[3], some[5]], key=lambda item: item.id
    )
    assert store.items([]) == []
    assert store.with_digests([some[4].digest, b"?" * 32]) == [some[4]]
    assert store.at(1, [some[6].path, b"no"]) == [some[6]]
    assert store.at(2, [some[6].path]) == []


def oracle(store, queries, k, where, space):
    """The k smallest distances of each query to the live items that fit, worked out anew."""
    fitting = [
        item
        for item in store.items()
        if item.removed is None
        and (where.labels is None or item.label in where.labels)
        and (item.label is not None or not where.labelled)
    ]
    vectors = space.exact(store.vectors([item.id for item in fitting]))
    for query in queries.astype(np.float64):
        distance = np.sqrt(((vectors - query) ** 2).sum(axis=1))
        bar = np.sort(distance)[k - 1] if len(distance) > k else np.inf
        yield {item.id for item, d in zip(fitting, distance, strict=True) if d <= bar}


WHERES = [
    Where(),
    Where(labelled=True),
    Where(labels=frozenset([None])),
    Where(labels=frozenset(["pug", None])),
    Where(labels=frozenset(["none has this"])),
    Where(labels=frozenset()),
    *(Where(labels=frozenset([label])) for label in LABELS),
]


def learned(name="kinds@1", seed=0, dim=DIM):
    """A metric with numbers as a document has them."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=dim), rng.normal(size=(dim, 5)), rng.normal(size=(dim, 3))
    made = Map(name, *numbers, np.ones(3), ("a", "b", "c"), 0.7, 0.4)
    return Map.read(made.document())


@pytest.mark.parametrize("space", [Base(DIM), Unit(DIM), learned()], ids=["base", "unit", "map"])
def test_the_candidates_hold_the_k_nearest(store, space):
    some, vectors = filled(store)
    store.tidy(space)  # before more is changed
    store.put([replace(some[0], removed="user")], {})
    # Four equal rows: all of a tie are candidates.
    store.put(some[40:44], {item.id: vectors[40] for item in some[40:44]})
    queries = space(np.concatenate([numbers(4, seed=9), vectors[[0, 40]]]))
    for where, k in itertools.product(WHERES, [1, 7, 200]):
        expected = oracle(store, queries, k, where, space)
        found = store.candidates(queries, k, where, space)
        for (ids, held), surely in zip(found, expected, strict=True):
            assert surely <= set(ids.tolist())
            live = {item.id: item for item in store.items(ids.tolist())}
            assert all(live[id_].removed is None for id_ in ids.tolist())
            if where.labels is not None:
                assert {item.label for item in live.values()} <= where.labels
            assert held.tobytes() == store.vectors(ids.tolist()).tobytes()


def test_more_ties_than_one_answer_holds(store):
    some = items(120, labels=("pug",))
    store.put(some, {item.id: np.ones(DIM, np.float32) for item in some})
    far = items(120, first=120)
    store.put(far, {item.id: v + 9 for item, v in zip(far, numbers(120), strict=True)})
    ((ids, _),) = store.candidates(np.ones((1, DIM), np.float32), 3, Where(), Base(DIM))
    assert {item.id for item in some} <= set(ids.tolist())


@pytest.mark.parametrize("scale", [1e-18, 1e17])
def test_numbers_whose_squares_float32_cannot_hold(store, scale):
    some, vectors = items(80), (numbers(80) * scale).astype(np.float32)
    store.put(some, {item.id: vector for item, vector in zip(some, vectors, strict=True)})
    for surely, (ids, _) in zip(
        oracle(store, vectors[:3], 2, Where(), Base(DIM)),
        store.candidates(vectors[:3], 2, Where(), Base(DIM)),
        strict=True,
    ):
        assert surely <= set(ids.tolist())


def test_what_is_read_at_one_moment_is_of_one(at, kind):
    if kind == "memory":
        pytest.skip("only one process has it")
    store, other = at.open(), at.open()
    some, _ = filled(store, 9)
    calls = []

    def read():
        before = store.labels()
        if not calls:
            other.put([replace(item, label="new") for item in some], {})
        calls.append(1)
        return before, store.labels(), {item.label for item in store.items([i.id for i in some])}

    before, after, labels = store.at_one_moment(read)
    assert before == after
    assert labels == set(before)
    assert store.labels() == {"new": 9}


def test_another_thread_meanwhile_reads_what_it_has_written(at, kind):
    if kind == "memory":
        pytest.skip("only one thread uses it")
    store = at.open()
    some, _ = filled(store, 9)
    seen = []

    def relabelled():
        store.put([replace(item, label="new") for item in some], {})
        seen.append(store.labels())

    def read():
        before = store.labels()
        if not seen:
            thread = threading.Thread(target=relabelled)
            thread.start()
            thread.join()
        return before, store.labels()

    before, after = store.at_one_moment(read)
    assert before == after
    assert seen == [{"new": 9}] == [store.labels()]


def test_what_was_searched_in_a_transaction_that_is_taken_back_is_forgotten(store):
    """Rows that it had are others' afterwards."""
    vectors = numbers(22)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    some, asked = items(22), vectors[20:21]
    store.put(some[:20], {item.id: v for item, v in zip(some, vectors[:20], strict=False)})
    last = some[20]

    def taken_back():
        with store.transaction():
            store.put([last], {last.id: 100 * vectors[21]})
            list(store.candidates(asked, 3, Where(), Base(DIM)))
            raise KeyError

    with pytest.raises(KeyError):
        taken_back()
    store.put([last], {last.id: asked[0]})
    ((ids, _),) = store.candidates(asked, 1, Where(), Base(DIM))
    assert last.id in ids


def test_labels_are_counted_and_changed_without_vectors(store):
    some, vectors = filled(store)
    store.put([replace(item, label="new") for item in some[:5]], {})
    labels = [item.label for item in some]
    counts = {label: labels[5:].count(label) for label in labels}
    assert store.labels() == {**counts, "new": 5}
    assert set(store.ids(Where(labels=frozenset(["new"])))) == {item.id for item in some[:5]}
    assert np.array_equal(store.vectors([item.id for item in some]), vectors)
    assert store.ids(Where()).tolist() == [item.id for item in some]


def test_removed_items_keep_their_vectors_until_compacted(store):
    some, vectors = filled(store)
    store.put([replace(some[1], removed="user"), replace(some[2], removed="index")], {})
    assert np.array_equal(store.vectors([some[1].id, some[2].id]), vectors[1:3])
    assert some[1].id not in store.ids(Where())
    store.put([some[2]], {})
    assert some[2].id in store.ids(Where())
    store.put([replace(some[3], removed="index")], {})
    assert store.compact() == 2 * 4 * DIM
    assert [item.removed for item in store.items([some[1].id, some[3].id])] == ["user"]
    assert store.with_digests([some[1].digest]) == []
    assert store.with_digests([some[1].digest, some[2].digest], given_up=True) == sorted(
        [replace(some[1], removed="user"), some[2]], key=lambda item: item.id
    )
    with pytest.raises(GalleryError, match=f"gave up the vector of item {some[1].key}"):
        store.vectors([some[1].id])
    assert np.array_equal(store.vectors([some[2].id]), vectors[2:3])
    assert store.verify() == []


def test_a_removed_item_may_come_without_a_vector(store):
    gone = replace(items(1)[0], removed="user")
    store.put([gone], {})
    assert store.items() == [gone]
    assert store.with_digests([gone.digest]) == []
    assert store.verify() == []


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.ones(DIM + 1, np.float32), f"takes vectors of {DIM} numbers, not {DIM + 1}"),
        (np.full(DIM, np.nan, np.float32), "not finite"),
        (None, "holds no item"),
    ],
)
def test_what_cannot_be_put_leaves_nothing(store, vector, message):
    first, second = items(2)

    def put_both():
        with store.transaction():
            store.put([first], {first.id: np.ones(DIM, np.float32)})
            store.put([second], {} if vector is None else {second.id: vector})

    with pytest.raises(GalleryError, match=message):
        put_both()
    assert store.items() == []
    with pytest.raises(GalleryError, match=f"holds no item {first.key}"):
        store.vectors([first.id])


def test_a_transaction_is_read_inside_and_forgotten_when_it_fails(store):
    some, vectors = filled(store)
    more = items(3, first=90)
    before = store.revision()

    def work():
        with store.transaction():
            store.put(more, {item.id: np.ones(DIM, np.float32) for item in more})
            store.put([replace(some[0], label="inside"), replace(some[1], removed="user")], {})
            store.put_document("a", {"b": 1})
            store.put_document("settings", None)
            assert store.names("a") == ["a"]
            assert store.documents("settings") == {}
            assert store.labels()["inside"] == 1
            assert store.ids(Where()).tolist()[-3:] == [item.id for item in more]
            assert some[1].id not in store.ids(Where())
            moved = replace(some[3], path=b"moved", digest=b"#" * 32)
            store.put([moved], {})
            assert store.at(1, [some[3].path]) == store.with_digests([some[3].digest]) == []
            assert store.at(1, [b"moved"]) == store.with_digests([b"#" * 32]) == [moved]
            assert store.with_digests([more[0].digest]) == [more[0]]
            assert store.at(1, [more[1].path]) == [more[1]]
            assert np.array_equal(store.vectors([more[2].id, some[0].id])[1], vectors[0])
            ((ids, _),) = store.candidates(np.ones((1, DIM), np.float32), 1, Where(), Base(DIM))
            assert {item.id for item in more} <= set(ids.tolist())
            with store.transaction():  # is part of the one around it
                store.put_document("c", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert store.revision() != before
    assert store.items() == sorted(some, key=lambda item: item.id)
    assert store.names("a") == store.names("c") == []
    assert store.documents("settings") == {"settings": {"dim": DIM}}
    assert store.ids(Where()).tolist() == [item.id for item in some]
    assert "inside" not in store.labels()


def test_documents_of_any_size_in_order_of_their_names(at):
    store = at.open()
    long = {"text": "Größe 🐕 \\ \" ' % " * 20_000}
    names = ["history/000000000002", "history/000000000010", "history2", 'it\'s "x"/%_', "hü/1"]
    for name in reversed(names):
        store.put_document(name, {"name": name})
    store.put_document("history/000000000010", long)
    again = at.open()
    assert again.names("history/") == ["history/000000000002", "history/000000000010"]
    assert again.documents("history/") == {
        "history/000000000002": {"name": "history/000000000002"},
        "history/000000000010": long,
    }
    for prefix in ("", "history/"):
        for name, body in again.documents(prefix).items():
            assert again.document(name) == body
    assert again.document("history/") is None
    assert again.document("it's", "none") == "none"  # only what has just this name
    assert again.documents("it's") == {'it\'s "x"/%_': {"name": 'it\'s "x"/%_'}}
    store.put_document("history/000000000010", [1])  # shorter, over a long one
    assert at.open().documents("history/000000000010") == {"history/000000000010": [1]}
    store.put_document("hü/1", None)
    assert at.open().names("hü") == []
    assert at.open().verify() == []


def test_files_that_it_was_made_with(store):
    assert store.file("network.onnx") == FILES["network.onnx"]
    with pytest.raises(OSError, match="No such file"):
        store.file("other.onnx")


def test_the_revision_tells_of_others(at):
    store, other = at.open(), at.open()
    seen = {store.revision()}
    steps = (
        lambda: filled(other),
        lambda: other.put_document("a", 1),
        lambda: other.put([replace(other.items()[0], label="z")], {}),
    )
    for step in steps:
        step()
        assert store.revision() not in seen
        seen.add(store.revision())
    assert store.revision() in seen  # reading changes nothing
    assert store.labels() == other.labels()
    assert store.documents("a") == {"a": 1}


def test_one_at_a_time_adds_while_others_label(at):
    store, other = at.open(), at.open()
    some, _ = filled(store)
    with store.appending():
        with pytest.raises(GalleryBusy), other.appending():
            pass
        other.put([replace(some[0], label="meanwhile")], {})
    with other.appending():
        pass
    assert store.labels()["meanwhile"] == 1


def test_damage_is_found(at, kind):
    store = at.open()
    some, _ = filled(store, 10)
    if kind == "memory":
        pytest.skip("memory is not damaged")
    if kind == "local":
        with (at.place / "vectors-1.bin").open("r+b") as file:
            file.seek(3 * 4 * DIM)
            file.write(b"\1\2\3\4")
        assert (at.place / CATALOGUE).is_file()
    else:
        from houndsight.stores.milvus.rows import ITEMS, Row, packed

        row = packed(Row(some[3], 3), np.ones(DIM, np.float32), DIM)
        row["vector"] = np.full(DIM, 2, np.float32)
        store._server.write(ITEMS, [row])
    assert any(some[3].key in line and "vector" in line for line in at.open().verify())


def test_no_store_is_twice_the_same_place(at, kind):
    if kind == "memory":
        pytest.skip("has no place")
    with pytest.raises(GalleryBusy, match="has just made"):
        create_store(at.place, DIM, MADE, FILES)
    assert {"roots", "settings"} <= set(at.open().names(""))
