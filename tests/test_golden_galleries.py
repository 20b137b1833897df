"""Galleries that earlier versions made are opened, searched and changed as if made today."""

import json
import os
import sys
import tarfile
from pathlib import Path

import pytest

from fakes import fake_embedder, write_photo
from houndsight import Gallery, add_photo, backup, index, learn, repair

FIXTURES = Path(__file__).parent / "fixtures"
sys.path.insert(0, str(FIXTURES))

from make_galleries import PLACE, told  # noqa: E402  found by the line above

FIRST = "1-08834bf"  # which could not learn yet
NAMES = sorted(path.stem for path in (FIXTURES / "galleries").glob("*.json"))


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def golden(name, tmp_path):
    """A gallery and its photos in `tmp_path`, and what was in it when it was made."""
    with tarfile.open(FIXTURES / "galleries" / f"{name}.tar.xz") as archive:
        # Python knows filters from 3.11.4 on.
        how = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path, **how)
    text = (FIXTURES / "galleries" / f"{name}.json").read_text(encoding="utf-8")
    with Gallery(tmp_path / "gallery") as gallery:
        gallery.relocate(os.fsencode(PLACE / "photos"), os.fsencode(tmp_path / "photos"))
    return tmp_path / "gallery", json.loads(text)


def near(neighbours):
    return {
        key: [(id_, pytest.approx(distance, abs=1e-6)) for id_, distance in found]
        for key, found in neighbours.items()
    }


def test_there_is_one_of_each_format():
    from houndsight.stores.layout import FORMAT

    assert {int(name.partition("-")[0]) for name in NAMES} == set(range(1, FORMAT + 1))


def test_what_is_in_it_is_what_was(golden):
    place, then = golden
    now = told(place)
    assert now["items"] == then["items"]
    assert [Path(path).name for path in now["skipped"]] == ["broken.jpg"]
    assert near(now["neighbours"]) == {
        key: [tuple(one) for one in found] for key, found in then["neighbours"].items()
    }
    with Gallery(place) as gallery:
        assert gallery.verify() == []


def test_nothing_in_it_is_new_to_an_index(golden):
    place, then = golden
    report = index(place.parent / "photos", place, embedder=fake_embedder())
    assert (report.new, report.changed, report.renamed, report.removed) == (0, 0, 0, 0)
    assert (report.embedded, report.left_out) == (0, 1)
    assert told(place)["items"] == then["items"]


def test_it_goes_on(golden):
    place, _ = golden
    photos = place.parent / "photos"
    write_photo(photos / "pug" / "later.jpg", 70)
    (photos / "beagle" / "1.jpg").rename(photos / "beagle" / "one.jpg")
    (photos / "beagle" / "0.jpg").unlink()
    report = index(photos, place, embedder=fake_embedder())
    assert (report.new, report.renamed, report.removed) == (1, 1, 1)
    with Gallery(place) as gallery:
        count = len(gallery)
        changed = gallery.find("pug/1.jpg")
        gallery.set_labels({changed.id: "collie"}, source="user")
        assert gallery.find("pug/1.jpg").label == "collie"
        gallery.undo()
        assert gallery.find("pug/1.jpg").label == "pug"
        assert gallery.find("beagle/2.jpg").label == "mongrel"  # a person's, from then
        write_photo(place.parent / "another.jpg", 80)
        add_photo(gallery, fake_embedder(), place.parent / "another.jpg", label="pug")
        assert learn(gallery, method="lda").metric is not None
        gallery.compact()
        assert len(gallery) == count + 1
        assert gallery.verify() == []
        assert backup(gallery, place.parent / "copy") == count + 1
    assert told(place.parent / "copy")["items"] == told(place)["items"]


def test_what_was_removed_comes_back(golden):
    place, then = golden
    with Gallery(place) as gallery:
        assert gallery.undo(3)["action"] == "remove"
        assert len(gallery) == len(then["items"]) + 1
        assert gallery.find("collie/4.jpg").label == "collie"


def test_what_was_learned_is_still_used(golden, name):
    place, _ = golden
    with Gallery(place) as gallery:
        metric = gallery.named(None)
        assert (metric == "plain") == (name == FIRST)
        found = gallery.search(gallery.vectors(gallery.items()), k=3)
        assert [matches[0].distance for matches in found] == [pytest.approx(0, abs=1e-4)] * len(
            found
        )


def test_damage_in_it_is_mended(golden):
    place, then = golden
    file = next(place.glob("vectors-*.bin"))
    with file.open("r+b") as opened:
        opened.seek(40)
        opened.write(b"\x7f")
    with Gallery(place) as gallery:
        assert len(gallery.verify()) == 1
        repair(gallery, embedder=fake_embedder)
        assert gallery.verify() == []
    assert told(place)["items"] == then["items"]
