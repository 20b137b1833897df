"""Photos added by hand: in at once, beside whoever indexes, and never lost or doubled."""

import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import DIM, draw, encoded, fake_embedder, start_indexing, write_photo
from houndsight import Gallery, InputError, Vectors, add_photo, index, read_queries
from houndsight.errors import FingerprintMismatch, GalleryError, ImageError
from houndsight.exchange import export
from houndsight.labels import clean
from houndsight.maps import Map


@pytest.fixture
def embedder():
    return fake_embedder()


@pytest.fixture
def gallery(tmp_path, photos, embedder):
    index(photos, tmp_path / "gallery", embedder=embedder)
    with Gallery(tmp_path / "gallery") as gallery:
        yield gallery


@pytest.fixture
def photo(tmp_path):
    write_photo(tmp_path / "own" / "Bella.JPEG", 500, size=(60, 33))
    return tmp_path / "own" / "Bella.JPEG"


def copies(gallery):
    """Names of the files in the folder of photos added by hand."""
    folder = gallery.place / "photos"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def nearest(gallery, vectors, **more):
    return gallery.search(vectors, 1, **more)[0][0]


def check_vectors(gallery):
    """Hold every stored vector against that of the file that the item names."""
    assert gallery.verify() == []
    items = gallery.items()
    fresh = fake_embedder().embed([gallery.path_of(item) for item in items]).values
    assert np.allclose(gallery.vectors(items).values, fresh, atol=1e-6)


def test_where_a_drive_is_away_no_thumbnail_is_put_into_its_place(gallery, tmp_path):
    item = gallery.items()[0]
    gallery.place.rename(tmp_path / "away")
    gallery.place.mkdir()  # what is there when nothing is mounted
    assert gallery.thumbnail(item).startswith(b"\xff\xd8")
    assert list(gallery.place.iterdir()) == []
    gallery.place.rmdir()
    (tmp_path / "away").rename(gallery.place)
    assert len(gallery) == len(gallery.items())


def test_a_photo_is_in_at_once_and_moves_with_the_gallery(gallery, embedder, photo, tmp_path):
    data = photo.read_bytes()
    reader = Gallery(gallery.place)
    assert len(reader) == 12
    added = add_photo(gallery, embedder, photo, label=" Bella ")
    item = added.item
    assert (item.root, item.label, item.label_source, item.removed) == (0, "Bella", "user", None)
    assert (item.width, item.height, item.size) == (60, 33, len(data))
    assert item.mtime_ns == photo.stat().st_mtime_ns
    assert (added.change.number, added.change.count) == (1, 1)
    assert copies(gallery) == [os.fsdecode(item.path)]
    assert item.path == f"{item.digest.hex()[:2]}/{item.digest.hex()}.jpg".encode()
    photo.unlink()
    queries = embedder.embed(draw(500, (60, 33)))
    for there in (gallery, reader):
        found = nearest(there, embedder.embed(there.path_of(item)))
        assert (found.item, found.distance) == (item, 0.0)
        assert nearest(there, queries).item == item
        assert there.labels()["Bella"] == 1
        assert [root.number for root in there.roots()] == [1]
        for name in (item.key, item.path, there.path_of(item)):
            assert there.find(name) == item
    reader.close()
    gallery.close()
    gallery.place.rename(tmp_path / "moved")
    with Gallery(tmp_path / "moved") as moved:
        assert moved.path_of(item).startswith(os.fsencode(tmp_path / "moved" / "photos"))
        assert Path(os.fsdecode(moved.path_of(item))).read_bytes() == data
        shutil.rmtree(tmp_path / "moved" / "thumbnails")
        assert moved.thumbnail(item)
        assert moved.verify() == []
        assert export(moved, tmp_path / "out.csv") == 13
        (own,) = read_queries(moved, embedder, moved.path_of(item)).photos
        assert (own.own, own.label) == ({item.id}, "Bella")


def test_it_is_in_learned_spaces_too(gallery, embedder, photo):
    rng = np.random.default_rng(0)
    few = rng.normal(size=(DIM, 5)), rng.normal(size=(DIM, 2))
    map_ = Map("some@1", np.zeros(DIM), few[0], few[1], np.zeros(2), ("a", "b"), 1.0, 0.3)
    gallery.add_map(map_, {}, None)
    query = embedder.embed(photo)
    assert nearest(gallery, query).distance > 0
    item = add_photo(gallery, embedder, photo).item
    for metric in (None, "plain", "some"):
        found = nearest(gallery, query, metric=metric)
        assert (found.item, found.distance) == (item, 0.0)
    assert (item.label, item.label_source) == (None, None)


@pytest.mark.parametrize(
    ("kind", "ends"), [("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif"), ("GIF", "gif")]
)
def test_a_copy_is_named_by_its_content(gallery, embedder, tmp_path, kind, ends):
    for n, name in enumerate((b"no-extension", b"wrong.jpg", b"bytes-\xff\n.png")):
        path = os.path.join(os.fsencode(tmp_path), name)
        with open(path, "wb") as file:
            file.write(encoded(draw(600 + n), kind))
        assert add_photo(gallery, embedder, path).item.path.endswith(f".{ends}".encode())
    check_vectors(gallery)


def test_what_is_there_already_is_not_doubled(gallery, embedder, photos, photo):
    twin = gallery.find(photos / "pug" / "pug-0.jpg")
    with pytest.raises(InputError, match=f"already as .*pug-0.jpg, {twin.key}") as refused:
        add_photo(gallery, embedder, photos / "pug" / "pug-0.jpg", label="x")
    assert "Label that one" in refused.value.remedy
    item = add_photo(gallery, embedder, photo).item
    with pytest.raises(InputError, match=f"already as .*, {item.key}"):
        add_photo(gallery, embedder, photo)
    assert len(gallery) == 13
    # Of a removed one the bytes may come by hand; the vector is its, to the last bit.
    gallery.remove([twin.id])
    other = Vectors(np.ones((1, DIM), np.float32), gallery.fingerprint)
    added = add_photo(gallery, embedder, photos / "pug" / "pug-0.jpg", vector=other).item
    assert added.id != twin.id
    stored = gallery.vectors([twin, added]).values
    assert np.array_equal(stored[0], stored[1])
    # And the other way round: indexing takes its file in, and leaves the copy alone.
    write_photo(photos / "pug" / "same.jpg", 500, size=(60, 33))
    assert index(photos, gallery.place, embedder=embedder).new == 1
    assert {i.root for i in gallery.with_digest(item.digest)} == {0, 1}
    (photos / "pug" / "same.jpg").unlink()
    assert index(photos, gallery.place, embedder=embedder).removed == 1
    assert gallery.with_digest(item.digest) == [item]
    check_vectors(gallery)


def test_undo_takes_it_out_and_it_comes_back_as_itself(gallery, embedder, photo):
    before = gallery.items()
    first = add_photo(gallery, embedder, photo, label="a")
    body = gallery.undo(first.change.number)
    assert (body["number"], body["action"], body["by"]) == (1, "add", "user")
    assert body["changes"] == [[first.item.key, {"removed": "user"}, {"removed": None}]]
    assert gallery.items() == before
    second = add_photo(gallery, embedder, photo, label="b")
    assert (second.item.id, second.item.label) == (first.item.id, "b")
    third = gallery.remove([first.item.id]).number
    for number in (first.change.number, second.change.number):
        with pytest.raises(InputError, match=r"taken back already|changed again since"):
            gallery.undo(number)
    gallery.undo(third)
    assert gallery.find(first.item.key) == second.item
    assert gallery.undo()["number"] == second.change.number
    gallery.compact()  # its vector and its file are given up, but not who it was
    assert copies(gallery) == []
    last = add_photo(gallery, embedder, photo)
    assert (last.item.id, last.item.label, last.item.label_source) == (first.item.id, None, None)
    check_vectors(gallery)


def test_compact_deletes_what_is_gone_and_nothing_else(gallery, embedder, tmp_path):
    paths = [tmp_path / f"{n}.jpg" for n in range(4)]
    for n, path in enumerate(paths):
        write_photo(path, 700 + n)
    items = [add_photo(gallery, embedder, path).item for path in paths]
    folder = gallery.place / "photos"
    foreign = ["readme.txt", "ab/dog.jpg", f"ab/{'cd' * 32}.jpg", f"ab/{'ab' * 32}/x.jpg"]
    for name in foreign:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"somebody's")
    left = folder / f"ab/{'ab' * 32}.jpg"  # by a crash before a commit
    old, young = folder / ".old-1-2.draft", folder / ".young-1-2.draft"
    for path in (left, old, young):
        path.write_bytes(b"12345")
    os.utime(old, (time.time() - 4000,) * 2)
    gallery.remove([items[0].id])
    gallery.undo(add_photo(gallery, embedder, paths[0]).change.number)
    gallery.remove([items[1].id], by="index")
    gallery.remove([items[2].id])
    gallery.undo()
    before = {name: (folder / name).stat().st_size for name in copies(gallery)}
    gained = gallery.compact()
    after = copies(gallery)
    gone = {name: size for name, size in before.items() if name not in after}
    assert set(after) == {*foreign, young.name, *(os.fsdecode(i.path) for i in items[2:])}
    assert gained == 2 * DIM * 4 + sum(gone.values())
    assert sum(gone.values()) == 10 + items[0].size + items[1].size
    assert set(gallery.items()) >= set(items[2:])
    check_vectors(gallery)


@settings(max_examples=25, deadline=None)
@given(label=st.text() | st.text(" \t\n\u3000\u00a0"))
def test_a_label_is_any_text_that_is_not_blank(tmp_path_factory, label):
    folder = tmp_path_factory.mktemp("g")
    write_photo(folder / "a.jpg", 1)
    with Gallery.create(folder / "gallery", fake_embedder()) as gallery:
        if clean(label) is None:
            with pytest.raises(InputError, match="the label is empty"):
                add_photo(gallery, fake_embedder(), folder / "a.jpg", label=label)
            assert (len(gallery), (gallery.place / "photos").exists()) == (0, False)
        else:
            add_photo(gallery, fake_embedder(), folder / "a.jpg", label=label)
            assert gallery.labels() == {clean(label): 1}


def test_what_does_not_fit_is_refused_and_leaves_nothing(gallery, embedder, photo, tmp_path):
    def vector(values, fingerprint=gallery.fingerprint):
        return Vectors(np.asarray(values, np.float32), fingerprint)

    with pytest.raises(FingerprintMismatch, match=r"settings: size \(32, not 64\)\."):
        add_photo(gallery, fake_embedder(image_size=64), photo)
    with pytest.raises(FingerprintMismatch, match="another model"):
        add_photo(gallery, embedder, photo, vector=vector(np.ones((1, DIM)), "other"))
    for values in (np.ones((2, DIM)), np.ones((1, DIM - 1)), np.ones(DIM)):
        with pytest.raises(InputError, match=r"the vector is \("):
            add_photo(gallery, embedder, photo, vector=vector(values))
    with pytest.raises(InputError, match="not finite"):
        add_photo(gallery, embedder, photo, vector=vector(np.full((1, DIM), np.inf)))
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "cut.jpg").write_bytes(photo.read_bytes()[:300])
    (tmp_path / "empty.jpg").touch()
    for name in ("text.jpg", "cut.jpg", "empty.jpg", "absent.jpg", "own"):
        with pytest.raises((ImageError, InputError)):
            add_photo(gallery, embedder, tmp_path / name)
    assert not (gallery.place / "photos").exists()
    assert (len(gallery), gallery.undo(), gallery.verify()) == (12, None, [])
    (gallery.place / "photos").touch()
    with pytest.raises(GalleryError, match="the photo was not added"):
        add_photo(gallery, embedder, photo)


def test_pixels_beyond_measure_are_refused(gallery, embedder, tmp_path, monkeypatch):
    write_photo(tmp_path / "bomb.png", 1, size=(40, 40), kind="PNG")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 700)
    with pytest.raises(ImageError, match="more pixels than are safe"):
        add_photo(gallery, embedder, tmp_path / "bomb.png")


def test_a_vector_that_is_known_is_not_computed_again(gallery, photo):
    embedder = fake_embedder()
    known = embedder.embed(photo)
    runs = embedder.runtime.runs
    item = add_photo(gallery, embedder, photo, vector=known).item
    assert embedder.runtime.runs == runs
    assert np.array_equal(gallery.vectors([item]).values, known.values)


def test_indexing_never_touches_it(gallery, embedder, photos, photo, tmp_path):
    item = add_photo(gallery, embedder, photo, label="Bella").item
    files = copies(gallery)
    for place in (gallery.place / "photos", gallery.place / "photos" / files[0][:2]):
        with pytest.raises(InputError, match="added by hand"):
            index(place, gallery.place, embedder=embedder)
    with pytest.raises(InputError, match="is a gallery, not a folder of photos"):
        index(gallery.place, gallery.place, embedder=embedder)
    photo.unlink()
    shutil.rmtree(photos / "pug")
    assert index(photos, gallery.place, embedder=embedder).removed == 4
    write_photo(tmp_path / "more.jpg", 800)
    report = index(tmp_path, gallery.place, embedder=embedder, labels="none")  # holds the gallery
    assert (report.new, report.removed) == (1, 0)
    assert gallery.find(item.key) == item
    assert copies(gallery) == files
    with pytest.raises(InputError, match="is not an indexed folder"):
        gallery.relocate(gallery.by_hand.place, os.fsencode(photos))
    assert gallery.verify() == []
    with Gallery.create(tmp_path / "other", embedder):
        pass
    report = index(gallery.place / "photos", tmp_path / "other", embedder=embedder)
    assert report.new == 1  # into another gallery it may go


def test_verify_notices_a_lost_and_a_changed_copy(gallery, embedder, photo):
    item = add_photo(gallery, embedder, photo).item
    file = Path(os.fsdecode(gallery.path_of(item)))
    file.write_bytes(photo.read_bytes() + b"\0")
    assert gallery.verify() == [f"photos/{os.fsdecode(item.path)}: is not the photo that was added"]
    file.unlink()
    assert gallery.verify() == [f"photos/{os.fsdecode(item.path)}: there is no such file"]
    gallery.remove([item.id])
    assert gallery.verify() == []
    assert add_photo(gallery, embedder, photo).item.id == item.id
    check_vectors(gallery)


def test_a_crash_before_the_commit_does_no_harm(gallery, embedder, photo, monkeypatch):
    def crash(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(gallery, "_record", crash)
    with pytest.raises(ZeroDivisionError):
        add_photo(gallery, embedder, photo)
    monkeypatch.undo()
    (left,) = copies(gallery)
    assert (len(gallery), gallery.verify(), gallery.undo()) == (12, [], None)
    gallery.compact()
    assert copies(gallery) == []
    item = add_photo(gallery, embedder, photo).item
    assert copies(gallery) == [left] == [os.fsdecode(item.path)]
    check_vectors(gallery)


def test_threads_add_side_by_side_and_one_photo_once(gallery, embedder, tmp_path):
    for n in range(12):
        write_photo(tmp_path / f"{n}.jpg", 900 + n)

    def add(n):
        try:
            return add_photo(gallery, embedder, tmp_path / f"{n}.jpg", label=str(n))
        except InputError as error:
            return error

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(add, [n for n in range(12) for _ in range(3)]))
    added = [one for one in done if not isinstance(one, InputError)]
    assert len(added) == len({one.item.id for one in added}) == 12
    assert sorted(one.change.number for one in added) == list(range(1, 13))
    assert all("already" in one.cause for one in done if isinstance(one, InputError))
    assert sorted(copies(gallery)) == sorted(os.fsdecode(one.item.path) for one in added)
    assert len(gallery) == 24
    check_vectors(gallery)


def test_no_vector_is_lost_beside_a_process_that_indexes(tmp_path, embedder):
    for n in range(160):
        write_photo(tmp_path / "photos" / f"{n}.jpg", n)
    for n in range(40):
        write_photo(tmp_path / "own" / f"{n}.jpg", 1000 + n)
    process = start_indexing(tmp_path / "photos", tmp_path / "gallery", wait=0.05)
    assert process.stdout.readline()
    with Gallery(tmp_path / "gallery") as gallery:
        beside = 0
        for n in range(40):
            item = add_photo(gallery, embedder, tmp_path / "own" / f"{n}.jpg").item
            assert nearest(gallery, gallery.vectors([item])).distance == 0
            beside += process.poll() is None and gallery.indexing() is not None
        _, err = process.communicate()
        assert (process.returncode, err) == (0, b"")
        assert beside > 5  # else this test tests nothing
        assert len(gallery) == 200
        check_vectors(gallery)
        found = gallery.search(embedder.embed([tmp_path / "own" / "7.jpg"]), 200)[0]
        assert len({match.item.id for match in found}) == 200


def test_a_copy_that_is_being_added_is_not_taken_for_gone(gallery, embedder, photo, monkeypatch):
    real = gallery._enter

    def delete():
        with Gallery(gallery.place) as other:
            return other._delete_photos()  # the last step of compact

    with ThreadPoolExecutor(1) as pool:
        done = []

        def enter(entry, vector):
            assert len(copies(gallery)) == 1  # there, and not committed
            done.append(pool.submit(delete))
            time.sleep(0.3)
            return real(entry, vector)

        monkeypatch.setattr(gallery, "_enter", enter)
        item = add_photo(gallery, embedder, photo).item
        assert done[0].result() == 0
    assert copies(gallery) == [os.fsdecode(item.path)]
    check_vectors(gallery)


def _compact(place, to_go, ready, enough):
    with Gallery(place) as gallery:
        while not enough.is_set():
            gallery.remove([to_go.pop()] if to_go else [])
            gallery.compact()
            ready.set()


def test_no_vector_and_no_photo_is_lost_beside_compact(tmp_path, embedder):
    for n in range(60):
        write_photo(tmp_path / "own" / f"{n}.jpg", 1000 + n)
    context = multiprocessing.get_context("spawn")
    ready, enough = context.Event(), context.Event()
    with Gallery.create(tmp_path / "gallery", embedder) as gallery:
        for n in range(20):
            add_photo(gallery, embedder, tmp_path / "own" / f"{n}.jpg")
        to_go = [item.id for item in gallery.items()]
        process = context.Process(target=_compact, args=(gallery.place, to_go, ready, enough))
        process.start()
        try:
            assert ready.wait(60)
            own = [tmp_path / "own" / f"{n}.jpg" for n in range(20, 60)]
            ids = {add_photo(gallery, embedder, photo).item.id for photo in own}
        finally:
            enough.set()
            process.join(60)
        assert process.exitcode == 0
        assert not list(gallery.place.glob("vectors-[12].bin"))  # else this test tests nothing
        items = gallery.items()
        assert ids <= {item.id for item in items} <= {*ids, *to_go}
        gallery.compact()
        assert copies(gallery) == sorted(os.fsdecode(item.path) for item in items)
        check_vectors(gallery)


ADDING = """
import sys
sys.path.insert(0, {tests!r})
from fakes import fake_embedder
from houndsight import Gallery, InputError, add_photo
embedder = fake_embedder()
with Gallery({gallery!r}) as gallery:
    for n in range({first}, {first} + 1000):
        try:
            print(add_photo(gallery, embedder, {own!r} % (n % 60)).item.key, flush=True)
        except InputError:
            pass
"""


def test_kill_at_random_moments_keeps_what_was_promised(tmp_path, embedder):
    for n in range(60):
        write_photo(tmp_path / "own" / f"{n}.jpg", n)
    place, dice, promised = tmp_path / "gallery", random.Random(0), set()
    Gallery.create(place, embedder).close()
    for turn in range(10):
        code = ADDING.format(
            tests=str(Path(__file__).parent),
            gallery=str(place),
            own=str(tmp_path / "own" / "%d.jpg"),
            first=6 * turn,
        )
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        promised.add(int(process.stdout.readline(), 16))
        time.sleep(dice.uniform(0, 0.03))
        process.kill()
        out, _ = process.communicate()
        promised.update(int(line, 16) for line in out.split())
        with Gallery(place) as gallery:
            assert promised <= {item.id for item in gallery.items()}
            check_vectors(gallery)
            if turn == 7:  # as many again
                gallery.remove(promised)
                gallery.compact()
                promised.clear()
    with Gallery(place) as gallery:
        gallery.compact()
        kept = [name for name in copies(gallery) if not name.endswith(".draft")]
        assert kept == sorted(os.fsdecode(item.path) for item in gallery.items())
