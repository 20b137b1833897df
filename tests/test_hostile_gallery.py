"""A gallery made by somebody else: opening it runs nothing, follows nothing and deletes nothing."""

import ast
import contextlib
import json
import os
import shutil
import sqlite3
import struct
from pathlib import Path

import numpy as np
import pytest

import houndsight
from fakes import fake_embedder
from houndsight.errors import DamagedGallery, GalleryError, HoundsightError
from houndsight.gallery import Gallery, Rehearsal
from houndsight.indexing import index
from houndsight.maps import Map
from houndsight.stores import layout
from houndsight.types import Vectors


@pytest.fixture
def place(tmp_path, photos):
    """A gallery of twelve photos."""
    index(photos, tmp_path / "gallery", embedder=fake_embedder())
    return tmp_path / "gallery"


@contextlib.contextmanager
def catalogue(place):
    with contextlib.closing(sqlite3.connect(place / layout.CATALOGUE, isolation_level=None)) as db:
        yield db


def use(place):
    """What people do with a gallery: look into it, search it, change it."""
    with Gallery(place) as gallery:
        items = gallery.items()
        gallery.labels(), gallery.skipped(), gallery.metrics(), gallery.roots(), gallery.indexing()
        queries = Vectors(np.ones((1, gallery.settings["dim"]), np.float32), gallery.fingerprint)
        gallery.search(queries, k=3)
        gallery.calibration()
        gallery.verify()
        gallery.set_labels({items[0].id: "other"}, source="user")
        gallery.undo(), gallery.undo()


# SQLite

SCHEMAS = {
    "trigger": "CREATE TRIGGER t AFTER UPDATE ON items BEGIN DELETE FROM items; END",
    "trigger on documents": "CREATE TRIGGER t BEFORE INSERT ON documents "
    "BEGIN SELECT load_extension('./evil.so'); END",
    "view": "CREATE VIEW v AS SELECT writefile('executed', 'x')",
    "virtual table": "CREATE VIRTUAL TABLE f USING fts5(body)",
    "table": "CREATE TABLE more (a)",
    "index by a function": "CREATE INDEX i ON items (abs(size))",
}


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("opener", [Gallery, Rehearsal])
def test_what_sqlite_would_run_is_refused(place, name, opener):
    with catalogue(place) as db:
        db.execute(SCHEMAS[name])
    with pytest.raises(DamagedGallery, match="none of houndsight's"):
        opener(place)


def swapped(place, old, new):
    """Change the text of the catalogue's schema; SQLite itself is told not to mind."""
    with catalogue(place) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, ?, ?)", (old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("label TEXT,", "label TEXT DEFAULT (load_extension('evil')),"),
        ("removed TEXT,", "removed TEXT CHECK (randomblob(1000000000) IS NOT NULL),"),
        ("crc INTEGER NOT NULL) STRICT", "crc INTEGER NOT NULL, x AS (hex(zeroblob(9)))) STRICT"),
    ],
)
def test_columns_that_compute_are_refused(place, old, new):
    swapped(place, old, new)
    with pytest.raises(DamagedGallery):
        Gallery(place)


def test_a_view_in_the_place_of_a_table_is_refused(place):
    """A table that never ends: the first look at the items would not come back."""
    forever = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
    columns = ", ".join(f"1 AS {name}" for name in (*layout.COLUMNS, "row", "vector_crc", "crc"))
    with catalogue(place) as db:
        db.execute("DROP TABLE items")
        db.execute(f"CREATE VIEW items AS SELECT {columns} FROM ({forever})")
    with pytest.raises(DamagedGallery, match="has the view 'items'"):
        Gallery(place)


def test_connections_trust_no_schema(place):
    with contextlib.closing(layout.connect(place)) as db:
        assert db.execute("PRAGMA trusted_schema").fetchone() == (0,)
        assert db.execute("PRAGMA cell_size_check").fetchone() == (1,)
        with pytest.raises(sqlite3.OperationalError):  # extensions cannot be loaded by SQL
            db.execute("SELECT load_extension('evil')")


def test_sqlite_s_own_statistics_are_no_trouble(place):
    with catalogue(place) as db:
        db.execute("ANALYZE")
    with Gallery(place) as gallery:
        assert len(gallery) == 12


def journal_naming(victim, pages):
    """A rollback journal of no pages, which ends by naming a further journal."""
    mark = bytes.fromhex("d9d505f920a163d7")
    name = os.fsencode(victim)
    head = (mark + struct.pack(">5I", 0, 0, pages, 512, 4096)).ljust(512, b"\0")
    tail = struct.pack(">I", (1 << 30) // 4096 + 1) + name
    return head + tail + struct.pack(">2I", len(name), sum(name)) + mark


def test_a_journal_cannot_delete_a_file_elsewhere(tmp_path, place):
    victim, catalogued = tmp_path / "victim.txt", place / layout.CATALOGUE
    victim.write_text("precious")
    journal = place / f"{layout.CATALOGUE}-journal"
    pages = catalogued.stat().st_size // 4096
    journal.write_bytes(journal_naming(victim, pages))
    for opener in (Gallery, Rehearsal):
        with pytest.raises(DamagedGallery, match="names another file, which SQLite would delete"):
            opener(place)
    assert victim.exists()
    # SQLite by itself does delete it: the test above tests something.
    with catalogue(place) as db:
        db.execute("SELECT count(*) FROM items").fetchone()
    assert not victim.exists()


# Links and pipes

NAMES = [
    "vectors-1.bin",
    "append.lock",
    "network.onnx",
    "catalogue.sqlite-wal",
    "spaces/x.rows",
    "photos/00",
    "thumbnails/zz",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_links_and_pipes_are_refused_before_anything_is_written(tmp_path, place, name, kind):
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    path = place / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(victim) if kind == "link" else os.mkfifo(path)
    said = "a link" if kind == "link" else "neither a file nor a folder"
    with pytest.raises(DamagedGallery, match=said) as error:
        Gallery(place)
    assert Path(error.value.path) == path
    assert victim.read_text() == "precious"


def test_the_gallery_itself_may_be_reached_by_a_link(tmp_path, place):
    (tmp_path / "link").symlink_to(place)
    with Gallery(tmp_path / "link") as gallery:
        assert len(gallery) == 12


def test_a_thumbnail_that_is_a_pipe_does_not_block(place):
    with Gallery(place) as gallery:
        item = gallery.items()[0]
        path = gallery._thumbnail_path(item.digest)
        path.unlink()
        os.mkfifo(path)
        picture = gallery.thumbnail(item)
    assert picture.startswith(b"\xff\xd8")


# Documents

NESTED = "[" * 100_000 + "]" * 100_000
DOCUMENTS = {
    "settings": ["null", "[]", "{}", '{"fingerprint": 1}', "nonsense", NESTED, '"' * 3],
    "roots": ["null", "[]", '{"roots": {"a": {}}}', '{"roots": [1]}', NESTED],
    "metric": ["null", '{"chosen": 1}', '{"chosen": ["nothing@1"]}', "{}"],
    "indexing": ['{"time": "never", "done": "x"}', "[]"],
    "skipped/1/zz": ['{"reason": "x"}', "[]"],
    "skipped/1": ["{}"],
    "history/x": ["{}"],
    "history/000000000009": ["[]", "{}", '{"undone": false, "action": "label"}'],
}


def put(place, name, body):
    with catalogue(place) as db:
        row = (name, body, layout.document_crc(name, body))
        db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", row)


@pytest.mark.parametrize(
    ("name", "body"), [(name, body) for name, bodies in DOCUMENTS.items() for body in bodies]
)
def test_documents_that_say_anything_are_told_as_damage(place, name, body):
    put(place, name, body)
    said = "is not JSON|cannot be understood|has no metric"
    with pytest.raises(HoundsightError, match=said):
        use(place)


@pytest.mark.parametrize("name", ["spaces/evil@x", "spaces/evil", "spaces/@1", "spaces/a/b@1"])
def test_documents_that_are_no_metrics_are_none(place, name):
    put(place, name, "{}")
    use(place)


@pytest.mark.parametrize("where", ["spaces/../../evil@1", "spaces/evil@1"])
def test_a_map_s_name_cannot_lead_out_of_the_gallery(tmp_path, place, where):
    """Files are named after it: it was made ``../../evil@1`` to write beside the gallery."""
    dim = 192
    evil = Map(
        "../../evil@1",
        np.zeros(dim),
        np.eye(dim, 4),
        np.zeros((dim, 1)),
        np.zeros(1),
        ("a",),
        1.0,
        0.0,
    )
    with Gallery(place) as gallery:
        gallery.store.put_document(where, {"map": evil.document(), "made": {}})
        gallery.store.put_document("metric", {"chosen": [where.removeprefix("spaces/")]})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(HoundsightError), Gallery(place) as gallery:
        gallery.search(Vectors(np.ones((1, dim), np.float32), gallery.fingerprint), k=3)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "change",
    [
        {"centre": {"shape": [3], "float32": "AAAAAAAAAAAAAAAA"}},
        {"centre": {"shape": [1 << 40], "float32": ""}},
        {"projection": {"shape": [0], "float32": ""}},
        {"labels": ["a"] * 100},
        {"temperature": 0},
        {"temperature": "hot"},
        {"blend": 7},
    ],
)
def test_a_map_whose_parts_do_not_fit_is_damage(place, change):
    dim = 192
    sound = Map(
        "own@1", np.zeros(dim), np.eye(dim, 4), np.zeros((dim, 1)), np.zeros(1), ("a",), 1.0, 0.0
    )
    with Gallery(place) as gallery:
        body = {**sound.document(), **change}
        gallery.store.put_document("spaces/own@1", {"map": body, "made": {}})
        with pytest.raises(DamagedGallery, match=r"the metric own@1 cannot be understood"):
            gallery.space("own")


# Numbers


@pytest.mark.parametrize("dim", [0, -1, 1 << 40, (1 << 63) - 1, 191])
def test_absurd_lengths_of_vectors_are_damage(place, dim):
    with catalogue(place) as db:
        db.execute("UPDATE vectors SET dim = ?", (dim,))
    with pytest.raises(DamagedGallery):
        Gallery(place)


@pytest.mark.parametrize("row", [12, 1 << 40, (1 << 63) - 2])
def test_absurd_rows_are_damage(place, row):
    with catalogue(place) as db:
        db.execute("UPDATE items SET row = ? WHERE id = (SELECT max(id) FROM items)", (row,))
    with Gallery(place) as gallery:
        queries = Vectors(np.ones((1, 192), np.float32), gallery.fingerprint)
        with pytest.raises(DamagedGallery, match="fewer than"):
            gallery.search(queries, k=3)


@pytest.mark.parametrize("row", [-2, -(1 << 40), -(1 << 63)])
def test_rows_below_the_first_are_damage(place, row):
    with catalogue(place) as db:
        db.execute("UPDATE items SET row = ? WHERE row = 3", (row,))
    with Gallery(place) as gallery:
        broken = [item for item in gallery.items() if _row(place, item) == row]
        with pytest.raises(DamagedGallery):
            gallery.vectors(broken)
        assert len(gallery.verify()) == 1
    with catalogue(place) as db:
        db.execute("UPDATE items SET row = ?", (row,))
    with Gallery(place) as gallery:
        queries = Vectors(np.ones((1, 192), np.float32), gallery.fingerprint)
        with pytest.raises(DamagedGallery, match="rows that there are not"):
            gallery.search(queries, k=3)
        with pytest.raises(DamagedGallery, match="rows that there are not"):
            gallery.store.put(gallery.items()[:1], {gallery.items()[0].id: queries.values[0]})


@pytest.mark.parametrize("value", ["NULL", "'x'", "x'00'", "1.5"])
@pytest.mark.parametrize(
    "statement",
    ["vectors SET generation = {}", "items SET row = {}", "items SET row = {} WHERE row = 3"],
)
def test_what_is_no_number_is_damage(place, statement, value):
    """As damage can leave it, though the tables forbid it."""
    lawful = "UPDATE sqlite_schema SET sql = ? WHERE sql = ?"
    lawless = [
        (text.replace(" NOT NULL", "").replace(" STRICT", ""), text) for text in layout.SCHEMA
    ]
    with catalogue(place) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.executemany(lawful, lawless)
    with catalogue(place) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute(f"UPDATE {statement.format(value)}")
        db.execute("PRAGMA writable_schema = ON")
        db.executemany(lawful, [(text, changed) for changed, text in lawless])
    with Gallery(place) as gallery:
        assert gallery.verify()
        queries = Vectors(np.ones((1, 192), np.float32), gallery.fingerprint)
        with pytest.raises(DamagedGallery):
            gallery.search(queries, k=3)
        with pytest.raises(DamagedGallery):
            gallery.vectors(gallery.items())
        assert not gallery.local()._db.in_transaction


def _row(place, item):
    with catalogue(place) as db:
        return db.execute("SELECT row FROM items WHERE id = ?", (item.id,)).fetchone()[0]


def test_an_item_of_a_folder_that_is_not_on_record_is_damage(place):
    put(place, "roots", "{}")
    with Gallery(place) as gallery, pytest.raises(DamagedGallery, match="its folders"):
        gallery.path_of(gallery.items()[0])


def test_paths_that_no_system_has_are_told(place):
    with catalogue(place) as db:
        db.execute(
            "UPDATE items SET path = ?, digest = ? WHERE id = (SELECT min(id) FROM items)",
            (b"a\0b.jpg", bytes(32)),
        )
    with Gallery(place) as gallery:
        item = gallery.items()[0]
        assert gallery.thumbnail(item) is None


# No programs

SERIALISERS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "torch"}


def test_nothing_in_houndsight_reads_programs():
    """No module that runs what it reads is imported, nor `eval` or `exec` called, anywhere."""
    for path in Path(houndsight.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [(node.module or "").split(".")[0]]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "compile"}, f"{path}:{node.lineno}"
            elif isinstance(node, ast.keyword):
                assert node.arg != "allow_pickle" or node.value.value is False, path
            assert SERIALISERS.isdisjoint(names), f"{path}:{node.lineno}"


def test_a_gallery_that_was_copied_as_it_is_opens(tmp_path, place):
    """What is refused above is not what every gallery has."""
    shutil.copytree(place, tmp_path / "copy")
    with Gallery(tmp_path / "copy") as gallery:
        assert len(gallery) == 12
        settings = json.loads(json.dumps(gallery.settings))
    assert settings["dim"] == 192
    with pytest.raises(GalleryError):
        use(tmp_path / "absent")
