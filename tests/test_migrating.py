"""Galleries of an earlier format: brought to today's, a copy kept, whole or not at all.

There is none yet. Here a format 0 is made up, in which the table `vectors` had no generation.
"""

import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fakes import fake_embedder, write_photo
from houndsight import DamagedGallery, Gallery, GalleryBusy, GalleryError, cli, index
from houndsight.stores import layout, migrating
from houndsight.stores.lock import held

BEFORE = "CREATE TABLE vectors (dim INTEGER NOT NULL) STRICT"
AFTER = next(text for text in layout.SCHEMA if text.startswith("CREATE TABLE vectors"))
SCHEMA = tuple(BEFORE if text == AFTER else text for text in layout.SCHEMA)


def add_generation(db):
    ((dim,),) = db.execute("SELECT dim FROM vectors").fetchall()
    db.execute("DROP TABLE vectors")
    db.execute(AFTER)
    db.execute("INSERT INTO vectors VALUES (1, ?)", (dim,))


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A gallery of format 0, and what is in it."""
    place = tmp_path / "gallery"
    for n in range(6):
        write_photo(tmp_path / "photos" / f"{n}.jpg", n)
    index(tmp_path / "photos", place, embedder=fake_embedder())
    with Gallery(place) as gallery:
        gallery.set_labels(dict.fromkeys(gallery.ids().tolist()[:2], "pug"), source="user")
    then = held_in(place)
    with closing(sqlite3.connect(place / layout.CATALOGUE)) as db:
        ((dim,),) = db.execute("SELECT dim FROM vectors").fetchall()
        db.execute("DROP TABLE vectors")
        db.execute(BEFORE)
        db.execute("INSERT INTO vectors VALUES (?)", (dim,))
        db.execute("PRAGMA user_version = 0")
        db.commit()
    monkeypatch.setattr(migrating, "STEPS", {0: migrating.Step(SCHEMA, add_generation)})
    return place, then


def held_in(place):
    with Gallery(place) as gallery:
        items = gallery.items()
        return items, gallery.vectors(items).values.tobytes(), gallery.store.names("")


def version(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def test_it_is_brought_to_todays_and_a_copy_is_kept(old):
    place, then = old
    assert held_in(place) == then
    copy = migrating.kept_copy(place, 0)
    assert (version(place / layout.CATALOGUE), version(copy)) == (1, 0)
    with Gallery(place) as gallery:
        assert gallery.verify() == []
    # The copy is as good as the catalogue was.
    restored = place.with_name("restored")
    shutil.copytree(place, restored)
    copy.replace(restored / layout.CATALOGUE)
    assert held_in(restored) == then
    stamp = (restored / "catalogue-format-0.sqlite").stat().st_mtime_ns
    assert held_in(restored) == then  # and nothing is copied again
    assert (restored / "catalogue-format-0.sqlite").stat().st_mtime_ns == stamp


def test_what_fails_leaves_it_as_it_was(old, monkeypatch):
    place, _ = old

    def fail(db):
        db.execute("DROP TABLE vectors")
        raise ZeroDivisionError

    before = (place / layout.CATALOGUE).read_bytes()
    monkeypatch.setattr(migrating, "STEPS", {0: migrating.Step(SCHEMA, fail)})
    with pytest.raises(ZeroDivisionError):
        Gallery(place)
    assert (place / layout.CATALOGUE).read_bytes() == before


def test_a_full_disk_leaves_it_as_it_was(old, monkeypatch):
    place, then = old

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(GalleryError, match=r"brought to 1, but cannot be: .*No space"):
            Gallery(place)
    assert version(place / layout.CATALOGUE) == 0
    assert not migrating.kept_copy(place, 0).exists()
    assert held_in(place) == then


def test_nothing_is_changed_between_the_copy_and_what_comes_of_it(old, monkeypatch):
    place, _ = old
    tried = []

    def after_another_has_tried(function):
        def run(*arguments):
            with (
                closing(sqlite3.connect(place / layout.CATALOGUE, timeout=0)) as other,
                pytest.raises(sqlite3.OperationalError, match="locked"),
            ):
                other.execute("UPDATE items SET label = 'late'")
            tried.append(function)
            function(*arguments)

        return run

    copy, add = migrating._copy, add_generation
    monkeypatch.setattr(migrating, "_copy", after_another_has_tried(copy))
    steps = {0: migrating.Step(SCHEMA, after_another_has_tried(add))}
    monkeypatch.setattr(migrating, "STEPS", steps)
    Gallery(place).close()
    assert tried == [copy, add]


def test_killed_at_any_step_it_is_the_old_one_or_the_new_one(old, tmp_path, monkeypatch):
    place, then = old
    ended, at = set(), 0
    connect = layout.connect
    while "done" not in ended:
        work = tmp_path / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(place, work)
        at += 1
        child = os.fork()
        if not child:
            _die_at(at, connect, monkeypatch)
            try:
                Gallery(work).close()
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WEXITSTATUS(status) == 0:
            ended.add("done")
        now = version(work / layout.CATALOGUE)
        ended.add(now)
        if now == layout.FORMAT:
            assert version(migrating.kept_copy(work, 0)) == 0
        assert held_in(work) == then, f"killed at step {at}"
    assert ended == {0, 1, "done"}
    assert at > 10


def _die_at(count, connect, monkeypatch):
    """End this process at so many statements of SQLite, syncs and renames."""
    left = [count]

    def step(*_):
        left[0] -= 1
        if left[0] == 0:
            os._exit(9)

    def traced(folder):
        db = connect(folder)
        db.set_trace_callback(step)
        return db

    def before(function):
        def stepping(*arguments):
            step()
            return function(*arguments)

        return stepping

    monkeypatch.setattr(layout, "connect", traced)
    monkeypatch.setattr(os, "fsync", before(os.fsync))
    monkeypatch.setattr(os, "replace", before(os.replace))
    monkeypatch.setattr(Path, "replace", before(Path.replace))


def test_not_beside_an_indexing(old):
    place, then = old
    with held(place), pytest.raises(GalleryBusy):
        Gallery(place)
    assert held_in(place) == then


def test_where_nothing_may_be_written(old, monkeypatch):
    place, _ = old
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(GalleryError, match="has to be brought to 1, but cannot be written"):
        Gallery(place)


def test_what_somebody_put_in_does_not_run(old):
    place, _ = old
    with closing(sqlite3.connect(place / layout.CATALOGUE)) as db:
        db.execute("CREATE TRIGGER t AFTER DELETE ON vectors BEGIN DELETE FROM items; END")
        db.commit()
    with pytest.raises(DamagedGallery, match="trigger"):
        Gallery(place)
    assert version(place / layout.CATALOGUE) == 0


def test_a_format_that_is_not_known(old, monkeypatch):
    place, _ = old
    monkeypatch.setattr(migrating, "STEPS", {})
    with pytest.raises(GalleryError, match="is gallery format 0, this houndsight reads 1 to 1"):
        Gallery(place)


@pytest.mark.parametrize(
    "command",
    [
        ("index", "{photos}", "-g", "{gallery}"),
        ("index", "{photos}", "-g", "{gallery}", "--labels", "none"),
        ("watch", "{photos}", "-g", "{gallery}"),
        ("repair", "-g", "{gallery}"),
        ("undo", "-g", "{gallery}"),
        ("gallery", "split", "-g", "{gallery}", "--label", "pug", "--out", "{new}"),
    ],
)
def test_a_dry_run_brings_only_its_copy(old, command):
    place, _ = old
    names = {"photos": place.with_name("photos"), "gallery": place, "new": place.with_name("new")}
    before = {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
    assert cli._run([word.format(**names) for word in (*command, "--dry-run")]) == 0
    assert {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()} == before
