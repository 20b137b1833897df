"""Files for other programs: read back by their libraries, or as their formats are told."""

import base64
import csv
import io
import json
import os
import sys
import zlib

import numpy as np
import pytest

from fakes import fake_embedder
from houndsight import Gallery, Vectors, exchange, export
from houndsight.cli import exchanging
from houndsight.errors import InputError
from houndsight.exchange import milvus, rows
from houndsight.maps import Map
from milvus_servers import needs_milvus
from test_gallery import DIM, entry

faiss = pytest.importorskip("faiss")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

ODD = b"sub/odd-\xe9\n.jpg"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(rows, "BLOCK", 7)
    monkeypatch.setattr(milvus, "BLOCK", 7)


@pytest.fixture(params=[True, False], ids=["normalised", "raw"])
def gallery(request, tmp_path):
    with Gallery.create(tmp_path / "g", fake_embedder(normalise=request.param)) as made:
        vectors = np.random.default_rng(0).standard_normal((23, DIM))
        if request.param:
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        root = made.root(os.fsencode(tmp_path / "photos"), None)
        names = [f"{n:02d}.jpg" for n in range(22)]
        batch = [entry(name, vectors[n], "ab"[n % 2]) for n, name in enumerate(names)]
        batch[3] = entry("03.jpg", vectors[3])  # no label
        odd = entry("odd", vectors[22], 'caf\u00e9, "x"')
        object.__setattr__(odd, "path", ODD)
        made.add(root, [*batch, odd])
        yield made


def stored(gallery):
    items = gallery.items()
    return items, gallery.vectors(items).values


def odd_at(items):
    return [item.path for item in items].index(ODD)


def test_npz_holds_everything(gallery, tmp_path):
    assert export(gallery, tmp_path / "out.npz") == 23
    items, vectors = stored(gallery)
    with np.load(tmp_path / "out.npz") as data:
        assert data["vectors"].dtype == np.float32
        np.testing.assert_array_equal(data["vectors"], vectors)
        assert data["ids"].tolist() == [item.id for item in items]
        assert [os.fsencode(path) for path in data["paths"]] == [
            gallery.path_of(item) for item in items
        ]
        assert data["labels"].tolist() == [item.label or "" for item in items]
        assert data["digests"].tolist() == [item.digest.hex() for item in items]
        assert json.loads(str(data["settings"])) == gallery.settings
        assert str(data["fingerprint"]) == gallery.fingerprint


def test_parquet_holds_everything(gallery, tmp_path):
    assert export(gallery, tmp_path / "out.parquet") == 23
    items, vectors = stored(gallery)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.field("vector").type == pa.list_(pa.float32(), DIM)
    assert table.column_names == [
        "id", "path", "label", "label_source", "digest", "width", "height", "vector"
    ]  # fmt: skip
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist(), np.float32), vectors)
    assert table["id"].to_pylist() == [item.id for item in items]
    assert table["label"].to_pylist() == [item.label for item in items]
    assert table["digest"].to_pylist() == [item.digest for item in items]
    assert table["width"].to_pylist() == [30] * 23
    paths = table["path"].to_pylist()
    assert paths[odd_at(items)].endswith("sub/odd-\\xe9\n.jpg")
    plain = [n for n, item in enumerate(items) if item.path != ODD]
    assert [paths[n] for n in plain] == [os.fsdecode(gallery.path_of(items[n])) for n in plain]
    facts = table.schema.metadata
    assert facts[b"houndsight.fingerprint"].decode() == gallery.fingerprint
    assert json.loads(facts[b"houndsight.settings"]) == gallery.settings
    assert facts[b"houndsight.model"] == b"fake"


def test_faiss_finds_the_same_neighbours_at_squared_distances(gallery, tmp_path):
    assert export(gallery, tmp_path / "out.faiss") == 23
    index = faiss.read_index(str(tmp_path / "out.faiss"))
    assert isinstance(index, faiss.IndexIDMap2)
    assert isinstance(faiss.downcast_index(index.index), faiss.IndexFlatL2)
    queries = np.random.default_rng(1).standard_normal((5, DIM)).astype(np.float32)
    squares, ids = index.search(queries, 10)
    found = gallery.search(Vectors(queries, gallery.fingerprint), k=10)
    assert ids.tolist() == found.ids.tolist()
    np.testing.assert_allclose(np.sqrt(squares), found.distances, rtol=1e-5)
    items, vectors = stored(gallery)
    np.testing.assert_array_equal(index.reconstruct(items[4].id), vectors[4])


def test_fiftyone_is_told_photos_labels_and_vectors(gallery, tmp_path):
    assert export(gallery, tmp_path / "out", form="fiftyone") == 23
    items, vectors = stored(gallery)
    samples = json.loads((tmp_path / "out" / "samples.json").read_text())["samples"]
    assert [one["houndsight_id"] for one in samples] == [item.key for item in items]
    assert len({one["_id"]["$oid"] for one in samples}) == 23
    for one, item, vector in zip(samples, items, vectors, strict=True):
        packed = base64.b64decode(one["embedding"]["$binary"]["base64"])
        got = np.load(io.BytesIO(zlib.decompress(packed)), allow_pickle=False)
        np.testing.assert_array_equal(got, vector)
        assert got.dtype == np.float32
        label = one["ground_truth"]
        assert (label and label["label"]) == item.label
        if item.path != ODD:
            assert one["filepath"] == os.fsdecode(gallery.path_of(item))
    assert samples[odd_at(items)]["filepath"].endswith("odd-\\xe9\n.jpg")
    metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
    fields = {field["db_field"]: field for field in metadata["sample_fields"]}
    assert set(samples[0]) <= set(fields)  # each is declared
    assert fields["embedding"]["ftype"].endswith(".VectorField")
    assert fields["ground_truth"]["embedded_doc_type"].endswith(".Classification")
    assert metadata["media_type"] == "image"


def test_milvus_is_told_the_schema_of_its_parquet_files(gallery, tmp_path, monkeypatch):
    monkeypatch.setattr(milvus, "FILE_BYTES", 4 * DIM * 14)  # two blocks a file
    assert export(gallery, tmp_path / "out", form="milvus") == 23
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "1.parquet",
        "2.parquet",
        "schema.json",
    ]
    items, vectors = stored(gallery)
    parts = [pq.read_table(tmp_path / "out" / f"{n}.parquet") for n in (1, 2)]
    assert [len(part) for part in parts] == [14, 9]
    table = pa.concat_tables(parts)
    schema = json.loads((tmp_path / "out" / "schema.json").read_text())
    types = {5: pa.int64(), 4: pa.int32(), 21: pa.string(), 101: pa.list_(pa.float32())}
    assert [(f["name"], types[f["type"]]) for f in schema["fields"]] == [
        (field.name, field.type) for field in table.schema
    ]
    by_name = {field["name"]: field for field in schema["fields"]}
    assert by_name["vector"]["params"] == {"dim": DIM}
    assert [name for name, field in by_name.items() if field.get("is_primary")] == ["id"]
    for name in ("path", "label"):
        longest = max(len(text.encode()) for text in table[name].to_pylist())
        assert longest <= by_name[name]["params"]["max_length"] <= 65535
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist(), np.float32), vectors)
    assert table["id"].to_pylist() == [item.id for item in items]
    assert table["label"].to_pylist() == [item.label or "" for item in items]


@needs_milvus
def test_a_collection_of_that_schema_takes_the_rows_and_finds_the_same(gallery, tmp_path):
    """What a server's bulk import does with the files, by an insertion into Milvus Lite."""
    import pymilvus

    export(gallery, tmp_path / "out", form="milvus")
    said = json.loads((tmp_path / "out" / "schema.json").read_text())
    rows = pq.read_table(tmp_path / "out" / "1.parquet").to_pylist()
    client = pymilvus.MilvusClient(str(tmp_path / "milvus.db"))
    try:
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="L2")
        schema = pymilvus.CollectionSchema.construct_from_dict(said)
        client.create_collection("photos", schema=schema, index_params=index)
        assert client.insert("photos", rows)["insert_count"] == 23
        _, vectors = stored(gallery)
        answers = client.search("photos", vectors[:3].tolist(), limit=5, output_fields=["label"])
    finally:
        client.close()
    found = gallery.search(Vectors(vectors[:3], gallery.fingerprint), k=5)
    for ours, theirs in zip(found, answers, strict=True):
        assert [match.item.id for match in ours] == [one["id"] for one in theirs]
        assert [match.item.label or "" for match in ours] == [
            one["entity"]["label"] for one in theirs
        ]


def test_a_metric_is_exported_as_it_compares(gallery, tmp_path):
    rng = np.random.default_rng(2)
    few = rng.normal(size=(DIM, 5)), rng.normal(size=(DIM, 2))
    gallery.add_map(Map("some@1", np.zeros(DIM), *few, np.zeros(2), ("a", "b"), 1.0, 0.3), {}, None)
    assert gallery.metric == "some@1"
    export(gallery, tmp_path / "stored.npz")
    with np.load(tmp_path / "stored.npz") as data:
        assert data["vectors"].shape == (23, DIM)  # as stored, whatever is in use
    export(gallery, tmp_path / "some.faiss", metric="some")
    index = faiss.read_index(str(tmp_path / "some.faiss"))
    assert index.d == 7
    items, vectors = stored(gallery)
    found = gallery.search(Vectors(vectors[:1], gallery.fingerprint), k=23, metric="some")
    squares, ids = index.search(index.reconstruct(items[0].id)[None], 23)
    assert ids.tolist() == found.ids.tolist()
    np.testing.assert_allclose(np.sqrt(squares), found.distances, atol=1e-6)
    export(gallery, tmp_path / "some.npz", metric="some")
    with np.load(tmp_path / "some.npz") as data:
        assert str(data["fingerprint"]) == f"{gallery.fingerprint} some@1"  # no embedder's
    with pytest.raises(InputError, match="has no metric other"):
        export(gallery, tmp_path / "x.npz", metric="other")
    with pytest.raises(InputError, match="holds no vectors"):
        export(gallery, tmp_path / "x.csv", metric="some")


@pytest.mark.parametrize("form", exchange.FORMATS)
def test_an_export_is_there_whole_or_not_at_all(gallery, tmp_path, form, monkeypatch):
    if form == "csv":
        pytest.skip("takes no vectors, so nothing can fail on the way")
    folder = tmp_path / "out"
    folder.mkdir()

    def fails(_):
        yield gallery.items()[:7], stored(gallery)[1][:7]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rows.Rows, "blocks", fails)
    with pytest.raises((InputError, OSError), match="No space left on device"):
        export(gallery, folder / "made", form=form)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("form", exchange.FORMATS)
def test_what_cannot_be_written_is_said(gallery, tmp_path, form):
    with pytest.raises(InputError, match=r"absent.made: cannot be written: .*[Nn]o such file"):
        export(gallery, tmp_path / "absent" / "made", form=form)


@pytest.mark.parametrize("form", ["fiftyone", "milvus"])
def test_no_folder_with_something_in_it_is_replaced(gallery, tmp_path, form):
    (tmp_path / "out").mkdir()
    assert export(gallery, tmp_path / "out", form=form) == 23  # it was empty
    with pytest.raises(InputError, match="is there already and not an empty folder"):
        export(gallery, tmp_path / "out", form=form)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        export(gallery, tmp_path / "file", form=form)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_ending_that_says_nothing_is_refused(gallery, tmp_path):
    for name in ("out", "out.xls", "out.milvus"):
        with pytest.raises(InputError, match=r"neither in .*\.parquet nor in \.faiss"):
            export(gallery, tmp_path / name)


@pytest.mark.parametrize(("form", "extra"), [("faiss", "faiss"), ("parquet", "parquet"),
                                             ("milvus", "parquet")])  # fmt: skip
def test_what_is_missing_is_named_with_the_command(gallery, tmp_path, form, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=rf"pip install 'houndsight\[{extra}\]'"):
        export(gallery, tmp_path / "out", form=form)
    assert not (tmp_path / "out").exists()


def test_a_gallery_without_photos_can_be_exported(tmp_path):
    with Gallery.create(tmp_path / "g", fake_embedder()) as gallery:
        for form in exchange.FORMATS:
            assert export(gallery, tmp_path / form, form=form) == 0
    assert pq.read_table(tmp_path / "parquet").num_rows == 0
    assert faiss.read_index(str(tmp_path / "faiss")).ntotal == 0
    assert json.loads((tmp_path / "fiftyone" / "samples.json").read_text()) == {"samples": []}


def test_the_catalogue_is_one_line_for_each_photo(gallery, tmp_path):
    export(gallery, tmp_path / "out.csv")
    with open(tmp_path / "out.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        lines = list(csv.DictReader(file))
    items = gallery.items()
    assert [line["id"] for line in lines] == [item.key for item in items]
    assert [os.fsencode(line["path"]) for line in lines] == [gallery.path_of(i) for i in items]
    assert [line["label"] for line in lines] == [item.label or "" for item in items]


def test_the_command_line_offers_every_format():
    assert exchanging.FORMATS == exchange.FORMATS
