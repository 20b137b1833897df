"""Damage is never compared with, is mended where the photo is there, and is never copied."""

import shutil
import sqlite3

import numpy as np
import pytest

from fakes import fake_embedder, write_photo
from houndsight import (
    DamagedGallery,
    Gallery,
    GalleryBusy,
    InputError,
    ModelError,
    add_photo,
    backup,
    cli,
    examine,
    index,
    repair,
)
from houndsight.stores import layout
from houndsight.types import Vectors


@pytest.fixture
def place(photos, tmp_path):
    """A gallery of the 12 photos."""
    index(photos, tmp_path / "gallery", embedder=fake_embedder())
    return tmp_path / "gallery"


def damage(place, *rows, value=b"\x7f"):
    """Write other bytes into rows of the vector file; returns the items' ids."""
    with Gallery(place) as gallery:
        ids, size = gallery.ids().tolist(), 4 * gallery.settings["dim"]
    file = next(place.glob("vectors-*.bin"))
    with file.open("r+b") as opened:
        for row in rows:
            opened.seek(row * size + 8)
            opened.write(value)
    return [ids[row] for row in rows]


def mended(place, **more):
    with Gallery(place) as gallery:
        return repair(gallery, embedder=more.pop("embedder", fake_embedder), **more)


def everything(place):
    with Gallery(place) as gallery:
        items = gallery.items()
        return items, gallery.vectors(items).values.tobytes(), gallery.store.documents("")


# What is damaged is not compared with


def test_a_search_that_would_return_a_damaged_vector_names_it(place):
    before = everything(place)
    (id_,) = damage(place, 3)
    with Gallery(place) as gallery:
        dim = gallery.settings["dim"]
        values = np.frombuffer(before[1], np.float32).reshape(-1, dim)
        order = [item.id for item in before[0]]
        asked = Vectors(values[[order.index(id_)]], gallery.fingerprint)
        for call in (
            lambda: gallery.search(asked, k=12),
            lambda: gallery.vectors(gallery.items()),
            lambda: gallery.distances(asked, gallery.items([id_])),
        ):
            with pytest.raises(DamagedGallery, match=f"{id_:016x} is damaged.*houndsight repair"):
                call()
        # The others are as they were.
        others = [item for item in gallery.items() if item.id != id_]
        for item in others:
            own = Vectors(values[[order.index(item.id)]], gallery.fingerprint)
            assert gallery.search(own, k=1).ids.tolist() == [[item.id]]


def test_a_damaged_document_is_not_read(place):
    with sqlite3.connect(place / "catalogue.sqlite") as db:
        db.execute("UPDATE documents SET body = '{}' WHERE name = 'roots'")
    db.close()
    with (
        Gallery(place) as gallery,
        pytest.raises(DamagedGallery, match=r"checksum of document 'roots'.*backup"),
    ):
        gallery.roots()


# Repair


@pytest.mark.parametrize("value", [b"\x7f", b"\xff" * 8], ids=["other number", "no number"])
def test_damaged_vectors_are_made_again(place, value):
    before = everything(place)
    ids = damage(place, 0, 5, 11, value=value)
    done = mended(place)
    assert sorted(item.id for item in done.mended) == sorted(ids)
    assert (done.lost, done.damage) == ([], [])
    assert everything(place) == before


@pytest.mark.parametrize(("left", "lacking"), [(None, 12), (0, 12), (5000, 6)])
def test_a_vector_file_that_is_gone_or_cut_off_is_made_again(place, left, lacking):
    before = everything(place)
    if left is None:
        (place / "vectors-1.bin").unlink()
    else:
        with (place / "vectors-1.bin").open("r+b") as file:
            file.truncate(left)
    with Gallery(place) as gallery:
        assert gallery.verify()
    done = mended(place)
    assert len(done.mended) == lacking
    assert done.damage == []
    assert everything(place) == before


def test_what_has_no_photo_any_more_is_lost_and_named(place, photos):
    damage(place, 0, 1, 2)
    with Gallery(place) as gallery:
        items = {item.id: item for item in gallery.items()}
        first, second, third = (items[id_] for id_ in gallery.ids()[:3].tolist())
        paths = [gallery.path_of(item).decode() for item in (first, second)]
    shutil.move(paths[0], f"{paths[0]}.away")
    write_photo(paths[1], 999)
    with Gallery(place) as gallery:
        found = examine(gallery)
        assert [item.id for item in found.embedded] == [third.id]
    done = mended(place)
    assert [item.id for item in done.mended] == [third.id]
    assert {item.id: reason for item, reason in done.lost} == {
        first.id: "there is no such file",
        second.id: "the file has other bytes now",
    }
    assert len(done.damage) == 2
    shutil.move(f"{paths[0]}.away", paths[0])
    assert [item.id for item in mended(place).mended] == [first.id]


def test_an_equal_photo_gives_its_vector_without_the_network(photos, tmp_path):
    shutil.copy(photos / "pug" / "pug-0.jpg", photos / "pug" / "twin.jpg")
    place = tmp_path / "gallery"
    index(photos, place, embedder=fake_embedder())
    with Gallery(place) as gallery:
        (digest,) = {i.digest for i in gallery.items() if i.path == b"pug/twin.jpg"}
        twin = gallery.with_digest(digest)[0].id
        row = gallery.ids().tolist().index(twin)
    before = everything(place)
    damage(place, row)
    shutil.rmtree(photos)

    def none():
        raise AssertionError("the network is not needed")

    assert [item.id for item in mended(place, embedder=none).mended] == [twin]
    assert everything(place) == before


def test_two_items_with_one_row_get_a_row_each(place):
    before = everything(place)
    with Gallery(place) as gallery:
        first, second = gallery.store.items(gallery.ids()[:2].tolist())
        row, crc = gallery.store._places([first.id])[first.id]
        gallery.store._db.execute(layout.INSERT_ITEM, layout.record(second, row, crc))
        assert any("also another item's" in line for line in gallery.verify())
    assert mended(place).damage == []
    assert everything(place) == before


def test_a_damaged_catalogue_is_said_to_be_beyond_repair(place):
    with sqlite3.connect(place / "catalogue.sqlite") as db:
        db.execute("UPDATE items SET label = 'other' WHERE label = 'pug'")
    db.close()
    with (
        Gallery(place) as gallery,
        pytest.raises(DamagedGallery, match=r"cannot be repaired.*and 3 more.*houndsight backup"),
    ):
        repair(gallery)


def test_rows_in_other_spaces_are_made_again(place):
    with Gallery(place) as gallery:
        (place / "spaces").mkdir(exist_ok=True)
        bad = place / "spaces" / "unit-1.rows"
        bad.write_bytes(b"x" * 5000)
        assert [line.split(":")[0] for line in gallery.verify()] == ["spaces/unit-1.rows"]
    assert mended(place).damage == []
    assert not bad.exists()


def test_no_repair_beside_an_indexing(place):
    damage(place, 0)
    with (
        Gallery(place) as gallery,
        Gallery(place) as other,
        other.appending(),
        pytest.raises(GalleryBusy, match=r"adding photos to this gallery: process \d+ on .*since"),
    ):
        repair(gallery)


def test_vectors_made_elsewhere_cannot_be_made_again(place, tmp_path, monkeypatch):
    (id_,) = damage(place, 0)
    monkeypatch.setattr(Gallery, "foreign", "CLIP")
    with Gallery(place) as gallery:
        assert examine(gallery).lost == [(gallery.items([id_])[0], "its vector was made elsewhere")]
        with pytest.raises(ModelError):
            gallery.embedder()


# Backup


def test_a_copy_holds_the_same(place, tmp_path):
    write_photo(tmp_path / "own.jpg", 77)
    with Gallery(place) as gallery:
        add_photo(gallery, fake_embedder(), tmp_path / "own.jpg", label="pug")
        gallery.remove(gallery.ids()[:2].tolist())
        with gallery.told_indexing(2):
            assert backup(gallery, tmp_path / "deep" / "copy") == 11
    copy = tmp_path / "deep" / "copy"
    assert everything(copy) == everything(place)
    shutil.rmtree(place)
    with Gallery(copy) as gallery:
        assert gallery.verify() == []
        gallery.undo()
        assert len(gallery) == 13


def test_a_damaged_gallery_is_not_copied(place, tmp_path):
    damage(place, 0)
    with Gallery(place) as gallery, pytest.raises(DamagedGallery, match="no copy was made"):
        backup(gallery, tmp_path / "copy")
    with (place / "vectors-1.bin").open("r+b") as file:
        file.truncate(100)
    with Gallery(place) as gallery, pytest.raises(DamagedGallery, match="fewer than the 12"):
        backup(gallery, tmp_path / "copy")
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "gallery"}


def test_a_copy_takes_no_one_s_place(place, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    with Gallery(place) as gallery, pytest.raises(InputError, match="is there already"):
        backup(gallery, tmp_path / "full")


# The commands


def test_the_exit_code_says_what_is_left(photos, tmp_path, capsys):
    place = tmp_path / "gallery"
    here = ["-g", str(place)]
    assert cli._run(["index", str(photos), *here, "--model", "efficientnet-lite0"]) == cli.DONE
    damage(place, 0, 1)
    assert cli._run(["verify", *here]) == cli.DAMAGED
    with Gallery(place) as gallery:
        gone = gallery.path_of(gallery.items(gallery.ids()[:1].tolist())[0]).decode()
    shutil.move(gone, tmp_path / "away.jpg")
    capsys.readouterr()
    assert cli._run(["repair", *here, "--dry-run"]) == cli.DAMAGED
    assert "1 photo would be embedded again, 0 vectors copied from equal photos, 1 are lost" in (
        capsys.readouterr().out.replace("\n", " ")
    )
    assert cli._run(["repair", *here]) == cli.DAMAGED
    out, err = capsys.readouterr()
    assert "1 vector mended, 1 still damaged" in out
    assert "lost:" in err
    assert gone in err.replace("\n", "")
    shutil.move(tmp_path / "away.jpg", gone)
    assert cli._run(["repair", *here]) == cli.DONE
    assert cli._run(["backup", *here, str(tmp_path / "copy")]) == cli.DONE
    assert cli._run(["verify", "-g", str(tmp_path / "copy")]) == cli.DONE
