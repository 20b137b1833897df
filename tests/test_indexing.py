"""Indexing: only what is new or changed is embedded, and nothing is lost or double."""

import os
import random
import shutil
import signal
import time
from contextlib import ExitStack

import numpy as np
import pytest
from PIL import Image

from fakes import fake_embedder, start_indexing, write_photo
from houndsight import Gallery, InputError, images, index
from houndsight.errors import FingerprintMismatch, GalleryBusy, GalleryError, ModelError
from houndsight.indexing import HERE, Here


def draw(path, seed, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(values).save(path)


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "photos"
    for n in range(6):
        draw(folder / ("beagle" if n % 2 else "n02085620-Chihuahua") / f"{n}.png", n)
    draw(folder / "top.png", 99)
    return folder


@pytest.fixture
def run(tmp_path, place):
    def run(photos=place, **more):
        embedder = fake_embedder()
        report = index(photos, tmp_path / "gallery", embedder=embedder, **more)
        assert embedder.runtime.images == report.embedded
        with Gallery(tmp_path / "gallery") as gallery:
            assert gallery.verify() == []
            items = {os.fsdecode(item.path): item for item in gallery.items()}
        return report, items

    return run


def test_labels_come_from_folders(run):
    report, items = run()
    assert (report.new, report.embedded, report.skipped) == (7, 7, [])
    assert {items["beagle/1.png"].label, items["beagle/5.png"].label} == {"beagle"}
    assert items["n02085620-Chihuahua/0.png"].label == "Chihuahua"
    assert items["top.png"].label is None
    assert (items["top.png"].width, items["top.png"].height) == (40, 30)


def test_files_are_read_as_they_lie_on_the_disk(run, place, monkeypatch):
    read, seen = images.read, []

    def noted(path):
        seen.append(os.stat(path).st_ino)
        return read(path)

    # One file is written anew: by its name it is the first, by its place the last.
    first = min(place.rglob("*.png"))
    other = first.with_suffix(".new")
    other.write_bytes(first.read_bytes())
    other.replace(first)
    monkeypatch.setattr("houndsight.indexing.images.read", noted)
    monkeypatch.setattr("houndsight.streaming.available_cpus", lambda: 1)
    report, _ = run()
    assert report.new == 7
    assert seen == sorted(seen)


def test_again_embeds_nothing(run, place):
    _, before = run()
    report, after = run()
    assert (report.unchanged, report.embedded) == (7, 0)
    assert after == before
    # The same bytes with another time are read, not embedded.
    os.utime(place / "top.png", (1, 1))
    report, after = run()
    assert (report.unchanged, report.embedded) == (7, 0)
    assert after["top.png"].id == before["top.png"].id


def test_new_changed_renamed_and_removed_are_told_apart(run, place):
    _, before = run()
    draw(place / "beagle" / "new.png", 50)
    draw(place / "beagle" / "1.png", 51)
    (place / "beagle" / "3.png").rename(place / "n02085620-Chihuahua" / "moved.png")
    (place / "beagle" / "5.png").unlink()
    report, after = run()
    counts = (report.new, report.changed, report.renamed, report.removed, report.unchanged)
    assert counts == (1, 1, 1, 1, 4)
    assert report.embedded == 2
    assert after["beagle/1.png"].id == before["beagle/1.png"].id
    moved = after["n02085620-Chihuahua/moved.png"]
    assert (moved.id, moved.label) == (before["beagle/3.png"].id, "Chihuahua")
    assert "beagle/5.png" not in after
    # What comes back is known again, without embedding.
    draw(place / "beagle" / "5.png", 5)
    report, after = run()
    assert (report.new, report.embedded) == (1, 0)
    assert after["beagle/5.png"].id == before["beagle/5.png"].id


def test_a_swap_of_two_files_keeps_paths_and_vectors_right(run, place, tmp_path):
    _, before = run()
    a, b = place / "beagle" / "1.png", place / "beagle" / "3.png"
    a.rename(place / "x")
    b.rename(a)
    (place / "x").rename(b)
    os.utime(a, (5, 5))
    os.utime(b, (6, 6))
    report, after = run()
    assert (report.renamed + report.new, report.embedded, report.removed) == (2, 0, 0)
    with Gallery(tmp_path / "gallery") as gallery:
        for path in (a, b):
            item = after[f"beagle/{path.name}"]
            stored = gallery.vectors([item]).values[0]
            assert np.array_equal(stored, fake_embedder().embed(path).values[0])
    # An id, and with it a user's label, goes with the photo.
    assert after["beagle/1.png"].id == before["beagle/3.png"].id
    assert after["beagle/3.png"].id == before["beagle/1.png"].id


def test_a_users_label_stays_with_its_photo_when_names_shift(run, place, tmp_path):
    _, items = run()
    with Gallery(tmp_path / "gallery") as gallery:
        for name in ("1", "3"):
            gallery.set_labels({items[f"beagle/{name}.png"].id: f"photo {name}"}, source="user")
    folder = place / "beagle"
    (folder / "3.png").rename(folder / "4.png")
    (folder / "1.png").rename(folder / "3.png")
    draw(folder / "1.png", 55)
    report, items = run()
    assert (report.new, report.renamed, report.removed, report.embedded) == (1, 2, 0, 1)
    assert items["beagle/4.png"].label == "photo 3"
    assert items["beagle/3.png"].label == "photo 1"
    assert items["beagle/1.png"].label == "beagle"
    (folder / "4.png").unlink()
    run()
    draw(folder / "4.png", 56)  # another photo under a known name
    assert run()[1]["beagle/4.png"].label == "beagle"


def test_a_removal_by_hand_outlives_new_times_and_new_names(run, place, tmp_path):
    _, items = run()
    with Gallery(tmp_path / "gallery") as gallery:
        gallery.remove([items["beagle/1.png"].id])
    os.utime(place / "beagle" / "1.png", (7, 7))
    report, _ = run()
    assert (report.new, report.left_out) == (0, 1)
    (place / "beagle").rename(place / "hounds")
    report, items = run()
    assert (report.new, report.renamed, report.left_out, len(items)) == (0, 2, 1, 6)
    assert run()[0].left_out == 1
    assert run(restore=True)[0].new == 1
    with Gallery(tmp_path / "gallery") as gallery:
        assert gallery.undo()["action"] == "remove"  # it is back already: nothing to do
        assert len(gallery) == 7


def test_a_removal_by_hand_outlives_a_new_name_also_without_its_vector(run, place, tmp_path):
    _, items = run()
    gone = items["beagle/1.png"].id
    with Gallery(tmp_path / "gallery") as gallery:
        gallery.set_labels({gone: "mine"}, source="user")
        gallery.remove([gone])
        gallery.compact()
    (place / "beagle" / "1.png").rename(place / "beagle" / "9.png")
    report, after = run()
    assert (report.new, report.left_out, len(after)) == (0, 1, 6)
    assert run()[0].left_out == 1
    report, after = run(restore=True)
    back = after["beagle/9.png"]
    assert (report.new, len(after), back.id, back.label) == (1, 7, gone, "mine")
    with Gallery(tmp_path / "gallery") as gallery:
        embedded = fake_embedder().embed(place / "beagle" / "9.png").values[0]
        assert np.array_equal(gallery.vectors([back]).values[0], embedded)
        assert gallery.verify() == []


def test_a_swap_goes_well_across_batches(run, place):
    a, z = place / "a.png", place / "z.png"
    draw(a, 300)
    draw(z, 301)
    run()
    a.rename(place / "x")
    z.rename(a)
    (place / "x").rename(z)
    os.utime(a, (5, 5))
    os.utime(z, (6, 6))
    for n in range(40):
        draw(place / f"m{n:02d}.png", 400 + n)
    report, items = run()
    assert (len(items), report.embedded) == (49, 40)


class Backwards(Here):
    """Reads and embeds as this process does, but what comes last comes first, one by one."""

    def stream(self, embedder, reader, work):
        rows = [row for batch in super().stream(embedder, reader, work) for row in batch]
        yield from ([row] for row in reversed(rows))


@pytest.mark.parametrize("engine", [HERE, Backwards()])
def test_what_a_new_photo_displaces_is_found_first_in_whatever_order(place, tmp_path, engine):
    for n in range(2):
        write_photo(place / "pug" / f"{n}.jpg", n)
    index(place, tmp_path / "g", embedder=fake_embedder())
    with Gallery(tmp_path / "g") as gallery:
        cat, dog = (gallery.find(f"{name}.jpg") for name in ("pug/0", "pug/1"))
        gallery.set_labels({cat.id: "my cat", dog.id: "my dog"}, source="user")
    # Both go elsewhere, one to where the other was; other photos are where they were.
    (place / "pug" / "0.jpg").rename(place / "pug" / "moved.jpg")
    (place / "pug" / "1.jpg").rename(place / "pug" / "0.jpg")
    write_photo(place / "pug" / "1.jpg", 500)
    for n in range(20):
        write_photo(place / "new" / f"{n}.jpg", 600 + n)
    report = index(place, tmp_path / "g", embedder=fake_embedder(), engine=engine)
    assert (report.renamed, report.changed, report.removed) == (2, 0, 0)
    with Gallery(tmp_path / "g") as gallery:
        for was, path, label in ((cat, b"pug/moved.jpg", "my cat"), (dog, b"pug/0.jpg", "my dog")):
            (now,) = gallery.items([was.id])
            assert (now.path, now.digest, now.label) == (path, was.digest, label)
        assert gallery.find("pug/1.jpg").label == "pug"
        assert gallery.verify() == []


def test_one_folder_under_two_names_is_one_root(run, place, tmp_path):
    run()
    (place / "beagle" / "bad.jpg").write_text("no photo")
    (tmp_path / "link").symlink_to(place)
    report, items = run(tmp_path / "link")
    assert (len(items), len(report.skipped), report.removed) == (7, 1, 0)
    with pytest.raises(InputError, match="indexed already"):
        run(tmp_path / "link" / "beagle")


def test_a_photo_that_is_spoilt_is_not_found_any_more(run, place):
    _, before = run()
    good = (place / "beagle" / "1.png").read_bytes()
    (place / "beagle" / "1.png").write_text("rubbish")
    report, items = run()
    assert (report.removed, len(report.skipped), len(items)) == (1, 1, 6)
    (place / "beagle" / "1.png").write_bytes(good)
    report, items = run()
    assert (report.new, report.embedded, report.skipped) == (1, 0, [])
    assert items["beagle/1.png"].id == before["beagle/1.png"].id


def test_labels_that_name_no_photo_are_refused(run, tmp_path):
    (tmp_path / "labels.csv").write_text("path,label\nelsewhere/1.png,Bella\n")
    with pytest.raises(InputError, match="names none of the photos"):
        run(labels=str(tmp_path / "labels.csv"))
    assert not (tmp_path / "gallery").exists()


def test_copies_share_one_run_of_the_network(run, place):
    for n in range(5):
        shutil.copy(place / "top.png", place / f"copy{n}.png")
    report, items = run()
    assert len(items) == 12
    (place / "late").mkdir()
    shutil.copy(place / "top.png", place / "late" / "copy.png")
    report, items = run()
    assert (report.new, report.embedded) == (1, 0)
    assert items["late/copy.png"].width == 40


def test_a_folder_that_cannot_be_read_loses_nothing(run, place, monkeypatch):
    run()
    real = os.scandir

    def refuse(path):
        if os.fsencode(path).endswith(b"beagle"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    report, items = run()
    assert (report.removed, len(items)) == (0, 7)
    assert [os.path.basename(skip.path) for skip in report.skipped] == [b"beagle"]
    monkeypatch.undo()
    report, items = run()
    assert (report.unchanged, report.skipped) == (7, [])


def test_a_link_to_a_drive_that_is_away_loses_nothing(run, place, tmp_path):
    draw(tmp_path / "drive" / "1.png", 60)
    (place / "drive").symlink_to(tmp_path / "drive")
    assert run()[0].new == 8
    (tmp_path / "drive").rename(tmp_path / "away")
    report, items = run()
    assert (report.removed, len(items)) == (0, 8)
    (tmp_path / "away").rename(tmp_path / "drive")
    (tmp_path / "drive" / "1.png").unlink()
    draw(tmp_path / "drive" / "2.png", 61)
    report, items = run()
    assert (report.removed, report.new, "drive/2.png" in items) == (1, 1, True)


def test_folders_that_link_to_each_other_are_walked_in_no_time(run, place):
    for a in range(12):
        folder = place / "maze" / str(a)
        folder.mkdir(parents=True)
        for b in range(12):
            (folder / f"to-{b}").symlink_to(place / "maze" / str(b))
    draw(place / "maze" / "3" / "here.png", 62)
    report, items = run()
    assert "maze/3/here.png" in items
    assert len(items) == report.new == 9  # by its own path, and once by a link


def test_an_empty_or_absent_root_is_an_error_and_takes_nothing_away(run, place, tmp_path):
    run()
    shutil.rmtree(place)
    with pytest.raises(InputError, match="no such folder"):
        run()
    place.mkdir()
    (place / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"holds no photo \(1 other files"):
        run()
    with Gallery(tmp_path / "gallery") as gallery:
        assert len(gallery) == 7


def test_nothing_is_made_for_a_folder_without_photos(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError):
        index(tmp_path / "photos", tmp_path / "gallery", embedder=fake_embedder())
    assert not (tmp_path / "gallery").exists()


def test_two_roots_do_not_touch_each_other(run, place, tmp_path):
    run()
    draw(tmp_path / "more" / "cat" / "1.png", 70)
    report, items = run(tmp_path / "more")
    assert (report.new, report.removed, len(items)) == (1, 0, 8)
    draw(place / "again.png", 71)
    assert run()[0].new == 1


def test_a_root_inside_another_is_not_taken_in_twice(run, place, tmp_path):
    run()
    with pytest.raises(InputError, match="indexed already"):
        run(place / "beagle")
    report, items = run(tmp_path)  # holds the first root, and the gallery itself
    assert report.new == 0 if not items else len(items) == 7


def test_labels_change_without_embedding(run, place, tmp_path):
    run()
    rows = tmp_path / "labels.csv"
    rows.write_text("path,label\nbeagle/1.png,Bella\ntop.png,Top\n")
    report, items = run(labels=str(rows))
    assert (report.embedded, items["beagle/1.png"].label, items["top.png"].label) == (
        0,
        "Bella",
        "Top",
    )
    assert items["beagle/3.png"].label is None
    assert run()[1]["top.png"].label == "Top"  # the rule is remembered
    assert run(labels="none")[1]["top.png"].label is None
    report, items = run(labels="folder")
    assert (report.relabelled, items["beagle/3.png"].label) == (6, "beagle")


def test_what_was_removed_by_hand_stays_out(run, place, tmp_path):
    _, items = run()
    with Gallery(tmp_path / "gallery") as gallery:
        gallery.remove([items["top.png"].id, items["beagle/1.png"].id])
    report, after = run()
    assert (report.left_out, report.new, len(after)) == (2, 0, 5)
    draw(place / "beagle" / "1.png", 80)  # another photo by now
    report, after = run()
    assert (report.new, report.left_out) == (1, 1)
    with Gallery(tmp_path / "gallery") as gallery:
        gallery.compact()
    assert run()[0].left_out == 1
    report, after = run(restore=True)
    assert (report.new, report.embedded, len(after)) == (1, 1, 7)


def test_another_embedder_and_a_second_indexer_are_refused(run, place, tmp_path):
    run()
    with pytest.raises(FingerprintMismatch, match=r"settings: size \(32, not 64\)\."):
        index(place, tmp_path / "gallery", embedder=fake_embedder(image_size=64))
    gallery = Gallery(tmp_path / "gallery")
    with gallery, gallery.appending(), pytest.raises(GalleryBusy, match="Wait until it is done"):
        run()


def test_progress_counts_only_what_is_committed(place, tmp_path):
    for n in range(40):
        draw(place / "many" / f"{n}.png", 100 + n)
    (place / "bad.jpg").write_text("no photo")
    seen = []

    def progress(now):
        with Gallery(tmp_path / "gallery") as gallery:
            seen.append((now.done, len(gallery) + len(gallery.skipped()), now.total))

    index(place, tmp_path / "gallery", embedder=fake_embedder(), progress=progress)
    assert [done for done, *_ in seen] == [stored for _, stored, _ in seen]
    assert seen[-1][0] == seen[-1][2] == 48
    assert len(seen) >= 3


def test_an_error_in_the_middle_keeps_what_was_committed(place, tmp_path):
    for n in range(40):
        draw(place / "many" / f"{n}.png", 100 + n)

    def interrupt(now):
        if now.done >= 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index(place, tmp_path / "gallery", embedder=fake_embedder(), progress=interrupt)
    embedder = fake_embedder()
    report = index(place, tmp_path / "gallery", embedder=embedder)
    assert report.new == embedder.runtime.images == 47 - 16


@pytest.fixture
def many(tmp_path):
    for n in range(40):
        draw(tmp_path / "many" / f"{n}.png", 100 + n)
    (tmp_path / "many" / "bad.jpg").write_text("no photo")
    return tmp_path / "many"


def test_how_far_indexing_is_can_be_told_by_others(many, tmp_path):
    seen = []

    def progress(now):
        with Gallery(tmp_path / "gallery") as other:
            there = other.indexing()
            # What is on record is what is committed, no more and no less.
            assert there.done == now.done == len(other) + len(other.skipped())
            assert there.total == now.total == 41
            assert 0 <= there.seconds <= now.seconds + 0.001
            assert 0 <= there.idle_s < 30
            seen.append(there.done)

    Gallery.create(tmp_path / "gallery", fake_embedder()).close()
    with Gallery(tmp_path / "gallery") as gallery:
        assert gallery.indexing() is None
        index(many, tmp_path / "gallery", embedder=fake_embedder(), progress=progress)
        assert seen[-1] == 41
        assert len(seen) >= 3
        assert seen == sorted(seen)
        assert gallery.indexing() is None
        assert gallery.verify() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_indexing_that_ends_early_is_not_under_way(many, tmp_path, error):
    def stop(now):
        raise error

    with pytest.raises(error):
        index(many, tmp_path / "gallery", embedder=fake_embedder(), progress=stop)
    with Gallery(tmp_path / "gallery") as gallery:
        assert 0 < len(gallery) < 40
        assert gallery.indexing() is None


def test_nothing_is_taken_in_once_its_indexing_has_ended(many, tmp_path):
    """As by a node that was not heard of for hours."""
    held = []

    class Late(Here):
        def taken(self, embedder, reader, work, taking):
            batches = self.stream(embedder, reader, work)
            held.append((taking, next(batches)))
            yield from taking.all_of(batches)

    def stop(now):
        raise ZeroDivisionError

    with Gallery.create(tmp_path / "gallery", fake_embedder()) as gallery:
        with pytest.raises(ZeroDivisionError):
            index(many, gallery, embedder=fake_embedder(), progress=stop, engine=Late())
        before = gallery.items()
        taking, batch = held[0]
        for _ in range(2):
            with pytest.raises(GalleryError, match="of has ended; they were not taken in"):
                taking.take(batch)
            assert gallery.items() == before
            assert gallery.indexing() is None

        # Nor while there is another.
        def meanwhile(now):
            done = gallery.indexing().done
            with pytest.raises(GalleryError, match="of has ended"):
                taking.take(batch)
            assert gallery.indexing().done == done

        report = index(many, gallery, embedder=fake_embedder(), progress=meanwhile)
        assert len(gallery) == report.new + len(before)


def test_the_end_of_an_indexing_is_not_that_of_another(many, tmp_path):
    """Of one that lost its right to add, as its machine had been stopped for long."""
    with Gallery.create(tmp_path / "gallery", fake_embedder()) as gallery:
        for total in (0, 5):  # also if there was nothing to do
            with ExitStack() as other:
                with gallery.told_indexing(total):
                    second = other.enter_context(gallery.told_indexing(3))
                gallery.tell_indexing(second, 1)
                assert gallery.indexing().done == 1
            assert gallery.indexing() is None


def test_a_network_that_cannot_be_loaded_leaves_no_indexing_under_way(many, tmp_path, monkeypatch):
    Gallery.create(tmp_path / "gallery", fake_embedder()).close()
    found = []

    def lost(self, progress=None):
        found.append(self.indexing())
        raise ModelError("its weights are gone")

    monkeypatch.setattr(Gallery, "embedder", lost)
    with pytest.raises(ModelError):
        index(many, tmp_path / "gallery")
    assert (found[0].done, found[0].total) == (0, 41)
    with Gallery(tmp_path / "gallery") as gallery:
        assert gallery.indexing() is None


def test_a_killed_indexing_is_told_by_its_idleness(many, tmp_path):
    process = start_indexing(many, tmp_path / "gallery", wait=0.2)
    done = int(process.stdout.readline())
    process.kill()
    process.communicate()
    with Gallery(tmp_path / "gallery") as gallery:
        left = gallery.indexing()
        assert done <= left.done < left.total == 41
        time.sleep(0.05)
        assert gallery.indexing().idle_s >= left.idle_s + 0.05
        body = gallery.store.documents("indexing")["indexing"]
        for time_, least, most in (
            ("2020-01-01T00:00:00+00:00", 1e8, 1e12),
            ("9999-01-01T00:00:00+00:00", 0, 0),  # a clock that was set back
        ):
            gallery.store.put_document("indexing", {**body, "time": time_})
            assert least <= gallery.indexing().idle_s <= most
        index(many, tmp_path / "gallery", embedder=fake_embedder())
        assert gallery.indexing() is None
        # Also by one that finds nothing to do.
        gallery.store.put_document("indexing", body)
        assert index(many, tmp_path / "gallery", embedder=fake_embedder()).embedded == 0
        assert gallery.indexing() is None


def test_a_batch_that_fails_leaves_the_count_where_it_was(many, tmp_path, monkeypatch):
    real, seen = Gallery.add, []

    def fail_at_the_third(self, root, batch, **more):
        done = real(self, root, batch, **more)
        seen.append(len(batch))
        if len(seen) == 3:
            with Gallery(self.place) as other:
                seen.append(other.indexing().done)
                assert other.indexing().done == len(other) + len(other.skipped())
            raise ZeroDivisionError
        return done

    monkeypatch.setattr(Gallery, "add", fail_at_the_third)
    with pytest.raises(ZeroDivisionError):
        index(many, tmp_path / "gallery", embedder=fake_embedder())
    assert seen[3] == seen[0] + seen[1]


def test_kill_at_random_moments_loses_and_doubles_nothing(tmp_path):
    photos = tmp_path / "photos"
    for n in range(200):
        draw(photos / f"label{n % 7}" / f"{n}.png", n, size=(32, 32))
    dice = random.Random(0)
    promised, kills, started = 0, 0, time.monotonic()
    while kills < 25 and time.monotonic() - started < 60:
        process = start_indexing(photos, tmp_path / "gallery", wait=0.01)
        # From before the first line of code to the middle of a commit.
        lines = dice.choice([0, 1, 1, 2])
        done = [int(process.stdout.readline() or 0) for _ in range(lines)]
        time.sleep(dice.uniform(0, 0.03) if lines else dice.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        if not Gallery.exists(tmp_path / "gallery"):
            continue
        with Gallery(tmp_path / "gallery") as gallery:
            assert gallery.verify() == []
            paths = [item.path for item in gallery.items()]
            assert len(paths) == len(set(paths))
            promised += max(done, default=0)
            assert len(paths) >= promised
            promised = len(paths)
            if promised == 200:
                shutil.rmtree(tmp_path / "gallery")
                promised = 0
    assert kills >= 8
    report = index(photos, tmp_path / "gallery", embedder=fake_embedder())
    assert report.new == report.embedded == 200 - promised
    with Gallery(tmp_path / "gallery") as gallery:
        items = gallery.items()
        files = [gallery.path_of(item) for item in items]
        fresh = fake_embedder().embed(files).values
        assert np.allclose(gallery.vectors(items).values, fresh, atol=1e-6)
        assert len(items) == 200
