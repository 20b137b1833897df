"""Vectors that come back in: as they went out, or made elsewhere."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import FAKE, fake_embedder, write_photo
from houndsight import Gallery, evaluate, export, import_vectors, index, learn
from houndsight.curation import duplicates
from houndsight.errors import FingerprintMismatch, InputError, ModelError
from houndsight.exchange import incoming, npz, parquet, rows
from houndsight.exchange import settings as known_settings
from houndsight.fingerprint import fingerprint_of
from houndsight.maps import Map
from houndsight.queries import items_named, stored_queries

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
DIM = FAKE.dim
FORMS = ("npz", "parquet")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    for module in (rows, npz, parquet):
        monkeypatch.setattr(module, "BLOCK", 5)


@pytest.fixture(autouse=True)
def fake_is_known(monkeypatch):
    """Let the model of the tests' galleries be one of the catalogue's."""
    before = known_settings.spec

    def spec(name):
        return FAKE if name == "fake" else before(name)

    monkeypatch.setattr(known_settings, "spec", spec)


@pytest.fixture(params=[True, False], ids=["normalised", "raw"])
def made(request, photos, tmp_path):
    """A gallery of 12 photos, of two of which the bytes are the same; one has a user's label."""
    shutil.copy(photos / "pug" / "pug-0.jpg", photos / "beagle" / "copy.jpg")
    (photos / "no.jpg").write_bytes(b"no photo")
    index(photos, tmp_path / "g", embedder=fake_embedder(normalise=request.param))
    with Gallery(tmp_path / "g") as gallery:
        gallery.set_labels({gallery.items()[2].id: "mine"}, source="user")
        gallery.set_labels({gallery.items()[3].id: None}, source="user")
        yield gallery


def save(path, **arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return path
    columns = {}
    for name, values in arrays.items():
        if name == "vectors":
            values = np.asarray(values)
            kind = pa.from_numpy_dtype(values.dtype)
            columns["vector"] = pa.array([list(v) for v in values], pa.list_(kind))
        else:
            columns[name.removesuffix("s")] = pa.array(list(values))
    pq.write_table(pa.table(columns), path)
    return path


def some(count=12, dim=6, seed=0):
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


@pytest.mark.parametrize("form", FORMS)
def test_what_went_out_comes_back_equal(made, tmp_path, form):
    export(made, tmp_path / f"out.{form}")
    done = import_vectors(tmp_path / f"out.{form}", tmp_path / "back")
    assert (done.items, done.photos, done.model, done.foreign) == (13, 13, "fake", "")
    with Gallery(tmp_path / "back") as back:
        assert back.settings == made.settings
        items, again = made.items(), back.items()
        plain = {"label_source": None, "root": 0, "path": b""}
        assert [replace(i, **plain) for i in again] == [replace(i, **plain) for i in items]
        assert [back.path_of(i) for i in again] == [made.path_of(i) for i in items]
        assert {i.id: i.label_source for i in again if i.label} == {
            i.id: i.label_source for i in items if i.label
        }
        vectors = made.vectors(items)
        np.testing.assert_array_equal(back.vectors(again).values, vectors.values)
        for metric in back.metrics():
            one, other = (g.search(vectors, k=13, metric=metric) for g in (made, back))
            np.testing.assert_array_equal(one.ids, other.ids)
            np.testing.assert_array_equal(one.distances, other.distances)
        for item in again:
            assert os.path.exists(back._thumbnail_path(item.digest))
        assert back.verify() == []
        back.check(fake_embedder(normalise=made.settings["made_of"]["normalised"]))


def test_a_gallery_that_came_back_is_brought_up_to_date_like_any(made, photos, tmp_path):
    export(made, tmp_path / "out.npz")
    import_vectors(tmp_path / "out.npz", tmp_path / "back")
    write_photo(photos / "pug" / "new.jpg", 99)
    normalised = made.settings["made_of"]["normalised"]
    report = index(photos, tmp_path / "back", embedder=fake_embedder(normalise=normalised))
    assert (report.new, report.unchanged, report.changed, report.embedded) == (1, 13, 0, 1)
    with Gallery(tmp_path / "back") as back:
        assert back.labels()["mine"] == 1  # a user's label stays


def test_photos_that_are_gone_or_changed_have_no_thumbnail(made, photos, tmp_path):
    export(made, tmp_path / "out.npz")
    (photos / "pug" / "pug-1.jpg").unlink()
    write_photo(photos / "pug" / "pug-2.jpg", 77)
    done = import_vectors(tmp_path / "out.npz", tmp_path / "back")
    assert (done.items, done.photos) == (13, 11)
    with Gallery(tmp_path / "back") as back:
        for name in ("pug-1", "pug-2"):
            item = back.find(photos / "pug" / f"{name}.jpg")
            assert back.thumbnail(item) is None
            assert (item.width, item.height) == (48, 40)  # as the file says


@pytest.mark.parametrize("form", FORMS)
def test_vectors_made_elsewhere_can_be_searched_by_what_is_among_them(tmp_path, photos, form):
    names = sorted(os.fspath(path) for path in photos.rglob("*.jpg"))
    vectors = some(len(names))
    labels = [os.path.basename(os.path.dirname(name)) for name in names]
    file = save(tmp_path / f"clip.{form}", vectors=vectors, paths=names, labels=labels)
    done = import_vectors(file, tmp_path / "g", name="CLIP")
    assert (done.items, done.photos, done.model) == (12, 12, "CLIP (foreign)")
    assert "does not say what made them" in done.foreign
    with Gallery(tmp_path / "g") as gallery:
        made_of = gallery.settings["made_of"]
        assert (gallery.settings["model"], made_of["foreign"], made_of["dim"]) == (
            "foreign",
            "CLIP",
            6,
        )
        assert made_of["vectors"] == hashlib.sha256(vectors.tobytes()).hexdigest()
        (item,) = items_named(gallery, [names[3]])
        assert items_named(gallery, [item.key]) == [item]
        assert item.digest == hashlib.sha256(Path(names[3]).read_bytes()).digest()
        assert (item.label, item.label_source) == (labels[3], "user")
        assert gallery.thumbnail(item)
        queries = stored_queries(gallery, [item])
        (query,) = queries.photos
        found = gallery.search(queries.vectors, k=12, exclude=[query.own])[0]
        distances = np.linalg.norm(vectors.astype(np.float64) - vectors[3], axis=1)
        order = [n for n in np.argsort(distances, kind="stable") if n != 3]
        assert [os.fsdecode(gallery.path_of(m.item)) for m in found] == [names[n] for n in order]
        np.testing.assert_allclose([m.distance for m in found], distances[order], rtol=1e-6)
        with pytest.raises(ModelError, match=r"made elsewhere, by CLIP.*other\.jpg is no photo in"):
            items_named(gallery, ["other.jpg"])
        with pytest.raises(ModelError, match=r"no network is known.*by id or path"):
            gallery.embedder()
        with pytest.raises(FingerprintMismatch, match="made with other settings"):
            gallery.check(fake_embedder())


def test_verbs_work_on_vectors_made_elsewhere(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((90, 40)) * np.where(np.arange(40) < 30, 4, 1)
    vectors[np.arange(90), 30 + np.arange(90) % 3] += 4
    vectors[7] = vectors[4]
    labels = [f"label {n % 3}" for n in range(90)]
    file = save(tmp_path / "v.npz", vectors=vectors, labels=labels)
    import_vectors(file, tmp_path / "g")
    with Gallery(tmp_path / "g") as gallery:
        assert gallery.metric == "paper"
        report = evaluate(gallery, k=5, protocol="leave-one-out", near=False)
        assert (report.n_queries, report.model) == (90, "v (foreign)")
        assert 0.33 < report.precision_at_k.value < 0.9
        assert learn(gallery, method="lda", favour=1.0).metric is not None
        (group,) = duplicates(gallery, max_distance=1e-6).groups
        paths = {os.path.basename(i.path) for i in (group.keep, *(m.item for m in group.others))}
        assert paths == {b"05", b"08"}


def test_a_gallery_of_vectors_made_elsewhere_goes_out_and_comes_back(tmp_path):
    file = save(tmp_path / "v.npz", vectors=some(), labels=list("aabbccddeeff"))
    import_vectors(file, tmp_path / "g", name="mine")
    with Gallery(tmp_path / "g") as gallery:
        export(gallery, tmp_path / "out.parquet")
        done = import_vectors(tmp_path / "out.parquet", tmp_path / "h", name="other")
        assert "made elsewhere, by mine" in done.foreign
        with Gallery(tmp_path / "h") as again:
            assert again.settings == gallery.settings
            assert [i.id for i in again.items()] == [i.id for i in gallery.items()]
            # Nothing was known of the photos, and so nothing is.
            assert [i.path for i in again.items()] == [i.path for i in gallery.items()]


def test_vectors_of_two_files_are_not_mixed_up(tmp_path):
    for n in range(2):
        save(tmp_path / f"{n}.npz", vectors=some(seed=n))
        import_vectors(tmp_path / f"{n}.npz", tmp_path / f"g{n}", name="CLIP")
    with Gallery(tmp_path / "g1") as other:
        queries = other.vectors(other.items())
    with Gallery(tmp_path / "g0") as one, pytest.raises(FingerprintMismatch):
        one.search(queries)


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int8])
@pytest.mark.parametrize("form", FORMS)
def test_numbers_of_other_kinds_become_float32(tmp_path, kind, form):
    vectors = (some() * 10).astype(kind)
    import_vectors(save(tmp_path / f"v.{form}", vectors=vectors), tmp_path / "g")
    with Gallery(tmp_path / "g") as gallery:
        ids = gallery.ids().tolist()
        stored = gallery.store.vectors(ids)
    np.testing.assert_array_equal(stored, vectors.astype(np.float32))


def test_lists_of_fixed_size_and_other_names_are_read(tmp_path):
    vectors = some()
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 6)
    pq.write_table(pa.table({"embedding": lists, "clip": lists}), tmp_path / "v.parquet")
    for column, place in ((None, "a"), ("clip", "b")):
        done = import_vectors(tmp_path / "v.parquet", tmp_path / place, column=column)
        assert done.items == 12


def test_what_is_normalised_is_found_out(tmp_path):
    vectors = some()
    scaled = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for name, values in (("raw", vectors), ("unit", scaled)):
        import_vectors(save(tmp_path / f"{name}.npz", vectors=values), tmp_path / name)
        with Gallery(tmp_path / name) as gallery:
            assert gallery.metric == {"raw": "paper", "unit": "plain"}[name]


def test_paths_begin_where_it_is_said(tmp_path, photos):
    file = save(tmp_path / "v.npz", vectors=some(2), paths=["pug/pug-0.jpg", "pug/pug-1.jpg"])
    assert import_vectors(file, tmp_path / "a").photos == 0
    assert import_vectors(file, tmp_path / "b", photos=photos).photos == 2
    with Gallery(tmp_path / "b") as gallery:
        assert [root.place for root in gallery.roots()] == [os.fsencode(photos / "pug")]


def test_an_export_in_a_learned_metric_comes_back_as_made_elsewhere(made, tmp_path):
    few = some(DIM, 5), some(DIM, 2, seed=1)
    made.add_map(Map("some@1", np.zeros(DIM), *few, np.zeros(2), ("a", "b"), 1.0, 0.3), {}, None)
    export(made, tmp_path / "out.npz", metric="some")
    done = import_vectors(tmp_path / "out.npz", tmp_path / "back")
    assert "as the metric some@1 has them" in done.foreign
    with Gallery(tmp_path / "back") as back:
        items = made.items()
        one = made.search(made.vectors(items), k=13)
        other = back.search(back.vectors(back.items()), k=13)
        np.testing.assert_array_equal(one.ids[:, :5], other.ids[:, :5])
        np.testing.assert_allclose(one.distances, other.distances, atol=1e-6)


def changed(made, tmp_path, **changes):
    """Write an .npz of a gallery with other settings."""
    export(made, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as file:
        arrays = dict(file)
    settings = json.loads(str(arrays["settings"]))
    resign = changes.pop("resign", True)
    for name, value in changes.items():
        (settings["made_of"] if name in settings["made_of"] else settings)[name] = value
    if resign:
        settings["fingerprint"] = fingerprint_of(settings["made_of"])
        arrays["fingerprint"] = settings["fingerprint"]
    arrays["settings"] = json.dumps(settings)
    np.savez(tmp_path / "out.npz", **arrays)
    return tmp_path / "out.npz"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": "1" * 64, "resign": False}, "the fingerprint is not that of its settings"),
        ({"dim": 7}, "vectors of 7 numbers are announced"),
        ({"weights": "../../etc/passwd"}, "none that houndsight writes"),
        ({"preprocessing": {}}, "none that houndsight writes"),
        ({"weights_file": "yes"}, "none that houndsight writes"),
        ({"model": "resnet50"}, "its model makes other vectors"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(made, tmp_path, changes, said):
    with pytest.raises(InputError, match=rf"contradicts itself: .*{said}"):
        import_vectors(changed(made, tmp_path, **changes), tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_settings_that_are_no_json_are_refused(made, tmp_path):
    for text in ("", "[]", "{}", "null", '{"made_of": 3}'):
        file = save(tmp_path / "v.npz", vectors=some(), settings=text)
        with pytest.raises(InputError, match="none that houndsight writes"):
            import_vectors(file, tmp_path / "back")


def test_vectors_that_are_not_as_long_as_announced_are_refused(tmp_path, photos):
    index(photos, tmp_path / "g", embedder=fake_embedder())
    with Gallery(tmp_path / "g") as gallery:
        export(gallery, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as file:
        arrays = dict(file)
    arrays["vectors"] = arrays["vectors"] * 2
    np.savez(tmp_path / "out.npz", **arrays)
    with pytest.raises(InputError, match="vectors of length 1 are announced"):
        import_vectors(tmp_path / "out.npz", tmp_path / "back")


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"model": "other"}, "the model other is not known here")],
)
def test_a_model_that_is_not_known_here_makes_foreign_vectors(made, tmp_path, changes, why):
    done = import_vectors(changed(made, tmp_path, **changes), tmp_path / "back")
    assert done.foreign == why


def test_a_network_that_only_the_gallery_keeps_is_missed(photos, tmp_path):
    embedder = fake_embedder(network=b"graph", precision="int8")
    index(photos, tmp_path / "g", embedder=embedder)
    with Gallery(tmp_path / "g") as gallery:
        export(gallery, tmp_path / "out.npz")
    done = import_vectors(tmp_path / "out.npz", tmp_path / "back")
    assert done.foreign == "the network in int8 is not in the file"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"vectors": np.full((2, 3), np.nan)}, "vector 1 holds a value that is not finite"),
        ({"vectors": np.zeros((0, 3))}, "holds no vectors"),
        ({"vectors": some(2), "ids": [1, 1]}, "gives vector 2 the id 0000000000000001"),
        ({"vectors": some(2), "ids": [1, -1]}, "the id of vector 2, -1, is not a number"),
        ({"vectors": some(2), "ids": ["a", "b"]}, "the id of vector 1, a, is not"),
        ({"vectors": some(2), "paths": ["x/../a.jpg", "a.jpg"]}, "gives vector 2 the path"),
        ({"vectors": some(2), "digests": ["a", "b"]}, "the digest of vector 1, a, is not a SHA"),
    ],
)
def test_bad_input_is_named(tmp_path, form, arrays, said):
    file = save(tmp_path / f"v.{form}", **arrays)
    with pytest.raises(InputError, match=rf"v\.{form}: .*{said}"):
        import_vectors(file, tmp_path / "g")
    assert not (tmp_path / "g").exists()


def test_bad_files_are_named(tmp_path):
    cases = {
        "no.npz": (None, "there is no such file"),
        "no.parquet": (None, "there is no such file"),
        "bad.npz": (b"PK\3\4 nothing", "cannot be read: it is no .npz"),
        "bad.parquet": (b"PAR1 nothing", "cannot be read: "),
        "v.txt": (b"", "ends neither in .npz nor in .parquet"),
    }
    for name, (data, said) in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=f"{name}: {said}"):
            import_vectors(tmp_path / name, tmp_path / "g")
    save(tmp_path / "other.npz", features=some())
    with pytest.raises(InputError, match=r"holds no array vectors, only features.*--column"):
        import_vectors(tmp_path / "other.npz", tmp_path / "g")
    assert import_vectors(tmp_path / "other.npz", tmp_path / "g", column="features").items == 12
    save(tmp_path / "few.npz", vectors=some(), labels=["a"])
    with pytest.raises(InputError, match="12 vectors, but 1 labels"):
        import_vectors(tmp_path / "few.npz", tmp_path / "h")
    np.savez(tmp_path / "pickled.npz", vectors=np.array([{}], object), allow_pickle=True)
    with pytest.raises(InputError, match="needs pickle"):
        import_vectors(tmp_path / "pickled.npz", tmp_path / "h")
    save(tmp_path / "flat.npz", vectors=np.zeros(3))
    with pytest.raises(InputError, match=r"vectors is float64 \(3,\), not real numbers"):
        import_vectors(tmp_path / "flat.npz", tmp_path / "h")


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (["a", "b"], "column vector is string, not lists of real numbers"),
        ([[1.0], [1.0, 2.0]], "unequal lengths"),
        ([[1.0], None], "a null in a vector's place"),
        ([[1.0], [None]], "a null in a vector's place"),
    ],
)
def test_bad_columns_are_named(tmp_path, column, said):
    pq.write_table(pa.table({"vector": column}), tmp_path / "v.parquet")
    with pytest.raises(InputError, match=said):
        import_vectors(tmp_path / "v.parquet", tmp_path / "g")
    pq.write_table(pa.table({"other": [1]}), tmp_path / "v.parquet")
    with pytest.raises(InputError, match=r"holds no column vector, only other.*--column"):
        import_vectors(tmp_path / "v.parquet", tmp_path / "g")


def test_a_gallery_that_is_there_is_not_touched(made, tmp_path):
    export(made, tmp_path / "out.npz")
    with pytest.raises(InputError, match="is there already"):
        import_vectors(tmp_path / "out.npz", tmp_path / "g")
    assert len(made) == 13


def test_an_import_is_there_whole_or_not_at_all(made, tmp_path, monkeypatch):
    export(made, tmp_path / "out.npz")
    before = incoming.Incoming.blocks
    calls = []

    def fails(self):
        calls.append(1)
        for n, block in enumerate(before(self)):
            if len(calls) == 2 and n == 1:
                raise OSError(28, "No space left on device")
            yield block

    monkeypatch.setattr(incoming.Incoming, "blocks", fails)
    names = set(os.listdir(tmp_path))
    with pytest.raises(InputError, match="No space left on device"):
        import_vectors(tmp_path / "out.npz", tmp_path / "back")
    assert set(os.listdir(tmp_path)) == names
