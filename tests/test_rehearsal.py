"""--dry-run: nothing is changed, and what is said is what happens then."""

import hashlib
import json
import os
import shutil
import sqlite3

import numpy as np
import pytest

from fakes import fake_embedder, write_photo
from houndsight import Gallery, GalleryError, InputError, add_photo, cli, index
from houndsight.gallery import Rehearsal, blind
from houndsight.models.spec import spec


def files(folder):
    """Every file below a folder, with its bytes' digest and its time of last change."""
    return {
        path.relative_to(folder): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def place(tmp_path, photos):
    """A gallery of 12 photos of the folder, and one that was added by hand."""
    write_photo(tmp_path / "own.jpg", 60)
    made = fake_embedder()
    index(photos, tmp_path / "g", embedder=made)
    with Gallery(tmp_path / "g") as gallery:
        add_photo(gallery, made, tmp_path / "own.jpg", label="Bella")
    return tmp_path / "g"


def rehearse(place, verb):
    """Do something in a rehearsal, hold the files against those before, and return what it said."""
    before = files(place)
    with Rehearsal(place) as library:
        said = verb(library)
        told = [(one.what, one.before, one.after) for one in library.differences()]
    assert files(place) == before
    return said, told


def really(place, verb):
    """Do it; return what it said, and what is another now, worked out here."""
    with Gallery(place) as library:
        before = {item.id: item for item in library.store.items()}
        said = verb(library)
        after = {item.id: item for item in library.store.items()}
        assert library.verify() == []
    return said, before, after


def visible(item):
    return None if item is None else (item.path, item.label, item.digest, item.removed)


def pug(library, number=0):
    return library.find(f"pug/pug-{number}.jpg").id


VERBS = {
    "label": lambda library: library.set_labels({pug(library): "Mops"}, source="user"),
    "no label": lambda library: library.set_labels({pug(library): None}, source="user"),
    "remove": lambda library: library.remove([pug(library), pug(library, 1)]),
    "undo": lambda library: library.undo()["action"],
    "compact": lambda library: library.compact(),
}


@pytest.mark.parametrize("name", VERBS)
def test_what_would_happen_happens(place, name):
    with Gallery(place) as library:
        library.remove([pug(library, 3)])
        library.remove([pug(library, 2)], by="index")
        library.undo(2)
    tried, told = rehearse(place, VERBS[name])
    said, before, after = really(place, VERBS[name])
    assert tried == said
    others = {
        id_ for id_ in {*before, *after} if visible(before.get(id_)) != visible(after.get(id_))
    }
    assert {(old or new).id for _, old, new in told} == others
    for _, old, new in told:
        assert visible(new) == visible(after.get((old or new).id))
        assert old == before.get((old or new).id)


def test_compact_would_gain_what_it_gains_and_delete_what_it_deletes(place):
    with Gallery(place) as library:
        library.remove([pug(library)])
        by_hand = next(item for item in library.items() if item.root == 0)
        library.remove([by_hand.id])
        library.remove([pug(library, 1)], by="index")
        copy = os.fsdecode(library.path_of(by_hand))
    size = os.path.getsize(copy)
    gained, told = rehearse(place, lambda library: library.compact())
    assert os.path.exists(copy)
    assert gained == 3 * 192 * 4 + size
    assert [what for what, *_ in told] == ["forgotten"]
    with Gallery(place) as library:
        assert library.compact() == gained
    assert not os.path.exists(copy)


def changed(photos):
    """Make every kind of change in the folder of photos."""
    write_photo(photos / "husky" / "new.jpg", 40)
    write_photo(photos / "pug" / "pug-0.jpg", 41)
    (photos / "pug" / "pug-1.jpg").rename(photos / "collie" / "renamed.jpg")
    (photos / "pug" / "pug-2.jpg").unlink()
    shutil.copy(photos / "beagle" / "beagle-0.jpg", photos / "beagle" / "twin.jpg")
    (photos / "broken.jpg").write_bytes((photos / "pug" / "pug-3.jpg").read_bytes()[:300])
    (photos / "notes.txt").touch()
    os.utime(photos / "beagle" / "beagle-1.jpg", (1, 1))


def counts(report):
    names = "new changed renamed unchanged removed relabelled left_out embedded passed_over"
    return {name: getattr(report, name) for name in names.split()} | {"skipped": report.skipped}


def test_index_says_what_it_would_do(place, photos):
    with Gallery(place) as library:
        library.remove([pug(library, 3)])
    changed(photos)
    made = fake_embedder()
    tried, told = rehearse(place, lambda library: index(photos, library, embedder=made))
    report = index(photos, place, embedder=made)
    assert counts(tried) == counts(report)
    assert (report.new, report.changed, report.renamed, report.removed) == (2, 1, 1, 1)
    assert len(report.skipped) == 1
    with Gallery(place) as library:
        after = {item.id: item for item in library.store.items()}
    assert sorted(what for what, *_ in told) == ["changed", "new", "new", "removed", "renamed"]
    for _, old, new in told:
        assert visible(new) == visible(after[(old or new).id])


def test_its_own_embedder_runs_nothing_and_has_the_gallerys_fingerprint(tmp_path, photos):
    facts = spec("efficientnet-lite0")
    made = blind(facts, image_size=64, resize="crop", normalise=False)
    index(photos, tmp_path / "g", embedder=made)
    write_photo(photos / "new.jpg", 70)

    def verb(library):
        own = library.embedder()
        library.check(own)
        assert not own.embed(photos / "new.jpg").values.any()
        assert own.preprocessing == made.preprocessing
        return index(photos, library)

    report, told = rehearse(tmp_path / "g", verb)
    assert (report.new, report.embedded, report.unchanged) == (1, 1, 12)
    assert [what for what, *_ in told] == ["new"]


def test_index_into_a_gallery_that_is_not_there(tmp_path, photos):
    made = blind(spec("resnet50"), image_size=None, resize=None, normalise=True)
    with Rehearsal(tmp_path / "none", made) as library:
        report = index(photos, library)
        assert (report.new, report.embedded, len(library)) == (12, 12, 12)
        assert {one.what for one in library.differences()} == {"new"}
    assert not (tmp_path / "none").exists()
    with pytest.raises(GalleryError, match="other things in it"):
        Rehearsal(photos, made)
    with pytest.raises(GalleryError, match="there is no gallery here"):
        Rehearsal(tmp_path / "none")


def test_adding_and_what_is_refused(place, tmp_path):
    write_photo(tmp_path / "a.jpg", 61)
    made = fake_embedder()
    added, told = rehearse(
        place, lambda library: add_photo(library, made, tmp_path / "a.jpg", label="x")
    )
    assert [(what, item.label) for what, _, item in told] == [("new", "x")]
    with Gallery(place) as gallery:
        real = add_photo(gallery, made, tmp_path / "a.jpg", label="x")
    assert (real.item, real.change) == (added.item, added.change)

    def again(library):
        with pytest.raises(InputError, match="is in the gallery already"):
            add_photo(library, made, tmp_path / "own.jpg")

    rehearse(place, again)


def test_it_needs_no_right_to_write_and_waits_for_nobody(place, photos):
    with Gallery(place) as other, other.appending(), other.store.transaction():
        other.set_labels({pug(other): "not committed"}, source="user")
        with Rehearsal(place) as library:
            assert library.find("pug/pug-0.jpg").label == "pug"
            library.remove([pug(library)])
            write_photo(photos / "new.jpg", 90)
            assert index(photos, library, embedder=fake_embedder()).new == 1
            assert len(library) == 13
    with Gallery(place) as gallery:
        assert len(gallery) == 13
        assert pug(gallery)


def test_vectors_are_those_of_the_gallery_and_zeros_of_what_is_new(place, photos):
    write_photo(photos / "new.jpg", 91)
    with Gallery(place) as gallery:
        items = gallery.items()
        stored = gallery.vectors(items).values
    with Rehearsal(place) as library:
        index(photos, library, embedder=fake_embedder())
        assert (library.vectors(items).values == stored).all()
        new = library.find("new.jpg")
        both = library.vectors([new, items[0]]).values
        assert not both[0].any()
        assert (both[1] == stored[0]).all()
        assert library.labels() == {"beagle": 4, "collie": 4, "pug": 4, "Bella": 1}
        assert np.isfinite(library.vectors(library.items()).values).all()


def test_a_damaged_catalogue_is_told_as_by_a_gallery(place):
    (place / "catalogue.sqlite").write_bytes(b"no database" * 1000)
    for kind in (Gallery, Rehearsal):
        with pytest.raises(GalleryError, match="cannot be read"):
            kind(place)


# The commands


LITE = ("--model", "efficientnet-lite0")


@pytest.fixture
def hs(tmp_path, monkeypatch, capsys):
    """Run houndsight here; returns what it wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOUNDSIGHT_OFFLINE", "1")

    def run(*arguments, code=0):
        done = cli._run([str(one) for one in arguments])
        said = capsys.readouterr()
        assert done == code, said
        return said.out

    return run


@pytest.fixture
def dry(hs, tmp_path):
    """Run a command with --dry-run; the gallery's files stay as they are to the last byte."""

    def run(*arguments, code=0):
        before = files(tmp_path / "g")
        out = hs(*arguments, "-g", "g", "--dry-run", code=code)
        assert files(tmp_path / "g") == before
        return out

    return run


def test_every_command_that_changes_a_gallery_can_be_tried(hs, dry, photos, tmp_path):
    hs("index", photos, "-g", "g", *LITE)
    write_photo(photos / "pug" / "n\new.jpg", 50)
    write_photo(tmp_path / "own.jpg", 51)
    out = dry("index", photos)
    assert out.startswith(
        f"new: {photos}/pug/n\\new.jpg\ndry run, nothing was changed: 1 new, 0 ch"
    )
    assert "images/s" not in out
    record = json.loads(dry("index", photos, "--json"))
    assert (record["new"], record["embedded"], record["dry_run"]) == (1, 1, True)
    (one,) = record["differences"]
    assert (one["what"], one["path"], one["label"]) == ("new", f"{photos}/pug/n\new.jpg", "pug")
    watched = dry("watch", photos)
    assert watched.rpartition(" (")[0] == out.rpartition(" (")[0]
    assert dry("watch", photos, "--labels", "none").count(": pug -> none\n") == 4
    shutil.make_archive("packed", "zip", photos)
    assert dry("watch", "packed.zip", code=1) == ""  # as it could not be watched
    hs("index", photos, "-g", "g")

    out = dry("add", "own.jpg", "--label", "x")
    assert out.startswith(f"new: {tmp_path}/g/photos/")
    assert out.endswith("dry run, nothing was changed: 1 added\n")
    record = json.loads(dry("add", "own.jpg", photos / "pug" / "pug-0.jpg", "--json", code=3))
    assert (len(record["added"]), len(record["skipped"]), record["dry_run"]) == (1, 1, True)

    mops = photos / "pug" / "pug-0.jpg"
    said = "dry run, nothing was changed: 1 labelled\n"
    assert dry("label", mops, "Mops") == f"label: {mops}: pug -> Mops\n{said}"
    assert dry("label", mops, "--none") == f"label: {mops}: pug -> none\n{said}"
    said = "dry run, nothing was changed: 1 removed\n"
    assert dry("remove", mops) == f"removed: {mops}\n{said}"
    hs("remove", mops, "-g", "g")
    out = dry("undo")
    assert out.startswith(
        f"back: {mops}\ndry run, nothing was changed: taken back: change 1, remov"
    )
    assert dry("undo", "1") == out
    assert dry("compact") == "dry run, nothing was changed: 0.0 MB gained\n"
    shutil.copytree(photos, tmp_path / "elsewhere")
    said = "dry run, nothing was changed: 12 of 12 photos are where the gallery says\n"
    assert dry("relocate", "photos", "elsewhere") == said
    assert "calibrated on 12 photos" in dry("calibrate")
    out = dry("learn", "--method", "lda", code=0)
    assert "no map did better" in out or "dry run, nothing was changed: the gallery's metric" in out
    dry("learn", "--undo")
    assert "Indexed folders:" not in dry("relocate", "nowhere", "photos", code=1)


def test_a_new_gallery_is_not_made_and_needs_no_weights(hs, photos, tmp_path):
    out = hs("index", photos, "-g", "new", "--dry-run")  # resnet50, which is not here
    assert "dry run, nothing was changed: 12 new" in out
    assert not (tmp_path / "new").exists()
    hs("index", photos, "-g", "photos", "--dry-run", code=1)
    hs("index", photos, "-g", "new", "--dry-run", "--precision", "int8")
    hs("index", photos, "-g", "g", *LITE)
    hs("index", photos, "-g", "g", "--raw", "--dry-run", code=1)


@pytest.mark.parametrize("name", [(), ("--name", "CLIP")])
def test_an_import_says_what_it_would_make(hs, photos, tmp_path, name):
    hs("index", photos, "-g", "g", *LITE)
    hs("export", "-g", "g", "g.npz")
    (photos / "pug" / "pug-0.jpg").unlink()
    before = files(tmp_path)
    words = ("import", "g.npz", "-g", "deep/new", *name)
    said = hs(*words, "--dry-run")
    assert files(tmp_path) == before
    assert said.startswith("dry run, nothing was written: 12 vectors of efficientnet-lite0 in")
    assert said.endswith("11 of the photos are where their paths say\n")
    assert said.endswith(hs(*words))
    hs(*words, "--dry-run", code=1)  # now it is there


def test_every_command_that_makes_or_changes_a_gallery_has_it():
    without = {"backup", "copy", "demo", "serve"}  # copies as they are; drawings; a page
    made = {"add", "calibrate", "compact", "gallery merge", "gallery split", "import", "index"}
    changed = {"label", "learn", "relocate", "remove", "repair", "undo", "watch"}
    groups = {f"gallery {name}": one for name, one in cli.app.commands["gallery"].commands.items()}
    rehearsed = {
        name
        for name, one in {**cli.app.commands, **groups}.items()
        if any("--dry-run" in option.opts for option in one.params)
    }
    assert rehearsed == made | changed
    assert not rehearsed & without


def test_a_catalogue_in_use_is_copied_whole(place):
    """What is in SQLite's log and not yet in the catalogue counts as well."""
    with Gallery(place) as gallery:
        gallery.set_labels({pug(gallery): "Mops"}, source="user")
        assert (place / "catalogue.sqlite-wal").stat().st_size > 0
        with Rehearsal(place) as library:
            assert library.find("pug/pug-0.jpg").label == "Mops"
            assert isinstance(library.store._db, sqlite3.Connection)
