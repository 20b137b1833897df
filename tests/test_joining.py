"""Galleries put together and parted: vectors to the last bit, labels, folders, photos by hand."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from fakes import fake_embedder, write_photo
from houndsight import (
    FingerprintMismatch,
    Gallery,
    GalleryError,
    InputError,
    add_photo,
    cli,
    galleries,
    index,
    joining,
    merge,
    part_by_fraction,
    part_by_labels,
    split,
)
from test_rehearsal import files


def make(folder, place, labels=("beagle", "pug"), first=0, **more):
    """Index 3 photos of each label into a gallery; the photos of a number are always the same."""
    for row, label in enumerate(labels):
        for n in range(3):
            write_photo(folder / label / f"{label}-{n}.jpg", first + 10 * row + n)
    return index(folder, place, embedder=fake_embedder(), **more)


def held(place):
    """What a gallery holds: by full path its digest, label, where that is from, and its vector."""
    with Gallery(place) as gallery:
        assert gallery.verify() == []
        items = gallery.items()
        vectors = gallery.vectors(items).values
        return {
            os.fsdecode(gallery.path_of(item)): (
                item.digest,
                item.label,
                item.label_source,
                vector.tobytes(),
            )
            for item, vector in zip(items, vectors, strict=True)
        }


def ids(place):
    with Gallery(place) as gallery:
        return {os.fsdecode(gallery.path_of(item)): item.id for item in gallery.items()}


def joined(*places, new):
    before = [files(Path(place)) for place in places]
    opened = [Gallery(place) for place in places]
    done = merge(opened, new)
    for one in opened:
        one.close()
    assert [files(Path(place)) for place in places] == before
    assert not list(Path(new).parent.glob(".*draft*"))
    return done


@pytest.fixture
def two(tmp_path):
    """Galleries a and b of folders of their own."""
    make(tmp_path / "pa", tmp_path / "a")
    make(tmp_path / "pb", tmp_path / "b", labels=("collie", "pug"), first=100)
    return tmp_path / "a", tmp_path / "b", tmp_path / "new"


def test_all_of_both_with_ids_labels_and_vectors(two):
    a, b, new = two
    with Gallery(a) as gallery:
        gallery.set_labels({gallery.find("pug/pug-0.jpg").id: "Mops"}, source="user")
    done = joined(a, b, new=new)
    assert held(new) == held(a) | held(b)
    assert ids(new) == ids(a) | ids(b)
    assert (done.items, done.from_each, done.twice, done.conflicts) == (12, (6, 6), 0, ())
    with Gallery(new) as gallery:
        assert gallery.embedder  # it is a gallery like any other
        assert len(list((new / "thumbnails").rglob("*.jpg"))) == 12


def test_indexing_goes_on_in_both_folders(two, tmp_path):
    a, b, new = two
    with Gallery(a) as gallery:
        gallery.remove([gallery.find("pug/pug-2.jpg").id])
        gallery.remove([gallery.find("pug/pug-1.jpg").id])
        gallery.compact()  # what was removed by hand stays known, without vectors
    joined(a, b, new=new)
    for folder in ("pa", "pb"):
        write_photo(tmp_path / folder / "pug" / "late.jpg", 77)
        report = index(tmp_path / folder, new, embedder=fake_embedder())
        assert (report.new, report.removed, report.embedded) == (1, 0, folder == "pa")
        assert (report.unchanged, report.left_out) == ((4, 2) if folder == "pa" else (6, 0))
    with Gallery(new) as gallery:
        assert gallery.verify() == []
        assert len(gallery) == 12


def test_the_same_photos_come_in_once_and_a_persons_label_wins(tmp_path):
    a, b, new = (tmp_path / name for name in "abn")
    make(tmp_path / "p", a)
    make(tmp_path / "p", b)
    with Gallery(b) as gallery:
        gallery.set_labels({gallery.find("pug/pug-0.jpg").id: "Mops"}, source="user")
    done = joined(a, b, new=new)
    assert (done.items, done.from_each, done.twice, done.conflicts) == (6, (6, 0), 6, ())
    assert held(new) == held(b)  # the only difference between a and b is that label
    with Gallery(a) as gallery:
        gallery.set_labels({gallery.find("pug/pug-0.jpg").id: "Pug"}, source="user")
        gallery.set_labels({gallery.find("pug/pug-1.jpg").id: None}, source="user")
    done = joined(a, b, new=tmp_path / "m")
    (conflict,) = done.conflicts
    assert conflict.path == os.fsencode(tmp_path / "p" / "pug" / "pug-0.jpg")
    assert conflict.what == "has the labels Pug and Mops: Pug is taken"
    assert held(tmp_path / "m") == held(a)


def test_the_newer_bytes_are_taken_and_removals_of_one_alone_are_not(tmp_path):
    a, b, new = (tmp_path / name for name in "abn")
    make(tmp_path / "p", a)
    make(tmp_path / "p", b)
    photo = tmp_path / "p" / "pug" / "pug-0.jpg"
    write_photo(photo, 55)
    os.utime(photo, ns=(2 * 10**18, 2 * 10**18))
    index(tmp_path / "p", b, embedder=fake_embedder())
    with Gallery(a) as gallery:
        gallery.remove([gallery.find("pug/pug-2.jpg").id])
    for order in ((a, b), (b, a)):
        done = joined(*order, new=new)
        assert held(new) == held(b)
        said = {os.path.basename(one.path): one.what for one in done.conflicts}
        assert said == {
            b"pug-0.jpg": f"has other bytes in each gallery: the newer, of {b}, is taken",
            b"pug-2.jpg": f"was removed by hand from {a} alone: it is taken",
        }
        assert done.twice == 4
        shutil.rmtree(new)


def test_equal_bytes_have_equal_vectors_and_stay_two_photos(two, tmp_path):
    a, b, new = two
    shutil.copy(tmp_path / "pa" / "pug" / "pug-0.jpg", tmp_path / "pb" / "pug" / "other.jpg")

    class Slightly:  # another machine's rounding
        def __init__(self, runtime):
            self.runtime = runtime
            self.device, self.versions = runtime.device, runtime.versions

        def run(self, pixels, outputs):
            return [np.nextafter(one, np.float32(2)) for one in self.runtime.run(pixels, outputs)]

    made = fake_embedder()
    made.runtime = Slightly(made.runtime)
    index(tmp_path / "pb", b, embedder=made)
    path = str(tmp_path / "pb" / "pug" / "other.jpg")
    theirs = held(b)[path]
    ours = held(a)[str(tmp_path / "pa" / "pug" / "pug-0.jpg")]
    assert theirs[0] == ours[0]
    assert theirs[3] != ours[3]
    done = joined(a, b, new=new)
    assert (done.items, done.twice) == (13, 0)
    assert held(new)[path] == (*theirs[:3], ours[3])


def test_a_folder_in_another_has_its_photos_for_itself(tmp_path):
    a, b, new = (tmp_path / name for name in "abn")
    make(tmp_path / "p", a)
    index(tmp_path / "p" / "pug", b, embedder=fake_embedder())
    with Gallery(b) as gallery:
        gallery.set_labels({gallery.find("pug-0.jpg").id: "Mops"}, source="user")
    done = joined(a, b, new=new)
    assert (done.items, done.twice) == (6, 3)
    assert {path: values[1] for path, values in held(new).items() if "pug-0" in path} == {
        str(tmp_path / "p" / "pug" / "pug-0.jpg"): "Mops"
    }
    for folder, unchanged in ((tmp_path / "p", 3), (tmp_path / "p" / "pug", 3)):
        report = index(folder, new, embedder=fake_embedder())
        assert (report.unchanged, report.new, report.removed) == (unchanged, 0, 0)


def test_photos_added_by_hand_come_along(two, tmp_path):
    a, b, new = two
    write_photo(tmp_path / "x.jpg", 60)
    write_photo(tmp_path / "y.jpg", 61)
    for place, photos in ((a, "x"), (b, "xy")):
        with Gallery(place) as gallery:
            for name in photos:
                add_photo(gallery, fake_embedder(), tmp_path / f"{name}.jpg", label=place.name)
    done = joined(a, b, new=new)
    assert (done.items, done.from_each, done.twice) == (14, (7, 7), 1)
    (conflict,) = done.conflicts
    assert conflict.what == "has the labels a and b: a is taken"
    assert len(list((new / "photos").rglob("*.jpg"))) == 2
    with Gallery(new) as gallery:
        assert gallery.verify() == []
        assert gallery.labels()["a"] == gallery.labels()["b"] == 1


def test_labels_from_elsewhere_are_a_conflict_of_folders(tmp_path):
    a, b, new = (tmp_path / name for name in "abn")
    make(tmp_path / "p", a)
    make(tmp_path / "p", b, labels=("beagle", "pug"))
    with Gallery(b) as gallery:
        gallery.root(os.fsencode(tmp_path / "p"), "none")
    done = joined(a, b, new=new)
    assert done.conflicts == (
        joining.Conflict(
            os.fsencode(tmp_path / "p"),
            "has its labels from folder and from none: folder is taken",
        ),
    )


def test_what_cannot_be_put_together(two, tmp_path):
    a, b, new = two
    index(tmp_path / "pa", tmp_path / "raw", embedder=fake_embedder(normalise=False))
    with Gallery(a) as first, Gallery(tmp_path / "raw") as raw, Gallery(b) as second:
        with pytest.raises(FingerprintMismatch, match=r"normalised \(False, not True\)") as failed:
            merge([first, raw], new)
        assert failed.value.path == tmp_path / "raw"
        with pytest.raises(InputError, match="two galleries or more"):
            merge([first], new)
        with pytest.raises(InputError, match="is named twice"):
            merge([first, second, first], new)
        for taken in (a, tmp_path / "pa"):
            with pytest.raises(GalleryError, match=r"is there already\. Name a new folder"):
                merge([first, second], taken)
        with pytest.raises(GalleryError, match="cannot be made"):
            merge([first, second], "/proc/new")
    assert not new.exists()
    (tmp_path / "empty").mkdir()
    assert joined(a, b, new=tmp_path / "empty").items == 12


def test_a_merge_that_fails_leaves_nothing(two, monkeypatch):
    a, b, new = two

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Gallery, "tidy", stop)
    with Gallery(a) as first, Gallery(b) as second, pytest.raises(KeyboardInterrupt):
        merge([first, second], new)
    assert sorted(path.name for path in new.parent.iterdir()) == ["a", "b", "pa", "pb"]


def test_split_by_label(two):
    a, _, new = two
    before = files(a)
    with Gallery(a) as gallery:
        assert split(gallery, new, part_by_labels(gallery, ["pug"])) == 3
        with pytest.raises(InputError, match=r"has the label pgu\. Labels like it: pug"):
            part_by_labels(gallery, ["pug", "pgu"])
        with pytest.raises(InputError, match="no photo would be in the new gallery"):
            split(gallery, new.with_name("none"), [])
    assert files(a) == before
    assert held(new) == {path: one for path, one in held(a).items() if one[1] == "pug"}
    assert ids(new).items() <= ids(a).items()


def test_split_by_fraction(tmp_path):
    folder, place = tmp_path / "p", tmp_path / "g"
    for label, count in (("beagle", 10), ("pug", 4), ("collie", 1)):
        for n in range(count):
            write_photo(folder / label / f"{n}.jpg", 100 * count + n)
    for n in range(5):  # equal bytes, all of one photo
        shutil.copy(folder / "pug" / "0.jpg", folder / "pug" / f"copy-{n}.jpg")
    index(folder, place, embedder=fake_embedder())
    seen = set()
    with Gallery(place) as gallery:
        every = {item.id: item for item in gallery.items()}
        for seed in range(8):
            part = part_by_fraction(gallery, 0.5, seed=seed)
            assert part == part_by_fraction(gallery, 0.5, seed=seed)
            digests = {item.digest for item in part}
            assert len({i.digest for i in part if i.label == "beagle"}) == 5
            assert len({i.digest for i in part if i.label == "pug"}) == 2
            assert not any(item.label == "collie" for item in part)  # half of 1, ties to even
            rest = [item for item in every.values() if item not in part]
            assert not digests & {item.digest for item in rest}
            seen.add(tuple(item.id for item in part))
        assert len(seen) == 8
        assert len(part_by_fraction(gallery, 0.51)) >= 8
        for wrong in (0, 1, -1, float("nan")):
            with pytest.raises(InputError, match="between 0 and 1"):
                part_by_fraction(gallery, wrong)


def test_galleries_below_a_folder(two, tmp_path):
    a, b, _ = two
    shutil.copytree(b, tmp_path / "deep" / "er" / "b\n")
    (tmp_path / ".a.draft-1").mkdir()
    shutil.copytree(b, tmp_path / ".a.draft-1", dirs_exist_ok=True)
    (tmp_path / "deep" / "broken").mkdir()
    (tmp_path / "deep" / "broken" / "catalogue.sqlite").write_bytes(b"nothing" * 99)
    found = {os.path.relpath(os.fsdecode(one.path), tmp_path): one for one in galleries(tmp_path)}
    assert list(found) == ["a", "b", "deep/broken", "deep/er/b\n"]
    one = found["a"]
    assert (one.photos, one.labels, one.model, one.fault) == (6, 2, "fake", None)
    assert one.bytes == sum(path.stat().st_size for path in a.rglob("*") if path.is_file())
    assert one.changed.timestamp() == pytest.approx((a / "catalogue.sqlite").stat().st_mtime)
    assert "catalogue cannot be read" in found["deep/broken"].fault
    with pytest.raises(InputError, match="no such folder"):
        list(galleries(tmp_path / "absent"))


@pytest.fixture
def hs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0):
        done = cli._run([str(one) for one in arguments])
        said = capsys.readouterr()
        assert done == code, said
        return said

    return run


def test_the_commands(two, hs, tmp_path):
    new = two[2]
    out = hs("gallery", "list", ".", tmp_path / "a").out.splitlines()
    assert [line.split(":")[0] for line in out] == ["./a", "./b", str(tmp_path / "a")]
    assert "6 photos, 2 labels, fake, " in out[0]
    rows = json.loads(hs("gallery", "list", "--json").out)
    assert [row["photos"] for row in rows] == [6, 6]
    assert hs("gallery", "list", "pa").out == "there are no galleries\n"

    said = hs("gallery", "merge", "a", "b", "-g", "new", "--dry-run").out
    line = "12 photos in new: 6 from a, 6 from b; 0 were in several\n"
    assert said == f"dry run, nothing was written: {line}"
    assert not new.exists()
    assert hs("gallery", "merge", "a", "b", "-g", "new").out == line
    failed = hs("gallery", "merge", "a", "b", "-g", "new", "--dry-run", code=1).err
    assert "new: is there already" in failed
    record = json.loads(hs("gallery", "merge", "a", "b", "new", "-g", "m", "--json").out)
    assert (record["items"], record["twice"], record["from_each"]["new"]) == (12, 12, 0)

    split_a = ("gallery", "split", "-g", "a")
    said = hs(*split_a, "--label", "pug", "--out", "pugs", "--rest", "rest", "--dry-run").out
    lines = ["3 photos, 1 label in pugs\n", "3 photos, 1 label in rest\n"]
    assert said == "".join(f"dry run, nothing was written: {one}" for one in lines)
    assert not (tmp_path / "pugs").exists()
    (tmp_path / "labels.txt").write_text("\ufeffpug\n\n", "utf-8")
    said = hs(*split_a, "--label-list", "labels.txt", "--out", "pugs", "--rest", "rest").out
    assert said == "".join(lines)
    record = json.loads(hs(*split_a, "--fraction", "0.34", "--out", "third", "--json").out)
    assert record == {"galleries": {"third": 2}, "dry_run": False}
    for wrong in ((), ("--label", "pug", "--fraction", "0.5")):
        assert "or --fraction" in hs(*split_a, *wrong, "--out", "x", code=2).err
    both = hs(*split_a, "--label", "pug", "--out", "x", "--rest", "./x", code=2).err
    assert "a name each" in both
    everything = ("--label", "pug", "--label", "beagle", "--out", "x", "--rest", "y")
    assert "y: no photo would be in" in hs(*split_a, *everything, code=1).err
    assert not (tmp_path / "x").exists()


def test_conflicts_are_said(tmp_path, hs):
    for place, label in (("a", "x"), ("b", "y\n")):
        make(tmp_path / "p", tmp_path / place)
        with Gallery(tmp_path / place) as gallery:
            gallery.set_labels({gallery.find("pug/pug-0.jpg").id: label}, source="user")
    said = hs("gallery", "merge", "a", "b", "-g", "new").err
    photo = tmp_path / "p" / "pug" / "pug-0.jpg"
    assert said == f"conflict: {photo}: has the labels x and y\\n: x is taken\n"
