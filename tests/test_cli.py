"""The command line as a person uses it: what it writes, its exit codes, its messages."""

import contextlib
import csv
import json
import os
import pty
import re
import runpy
import select
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from fakes import write_photo
from houndsight import cli
from test_inline import kitty

LITE = ("--model", "efficientnet-lite0")


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def hs(tmp_path, monkeypatch):
    """Run houndsight in a process of its own, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOUNDSIGHT_OFFLINE", "1")

    def run(*arguments, code=0, text=True):
        command = [sys.executable, "-m", "houndsight", *map(os.fspath, map(_text, arguments))]
        done = subprocess.run(command, capture_output=True, text=text, check=False)
        assert done.returncode == code, (done.stdout, done.stderr)
        return Result(done)

    return run


def _text(value):
    return value if isinstance(value, str | bytes | os.PathLike) else str(value)


@pytest.fixture
def made(hs, photos):
    hs("index", photos, "-g", "g", *LITE)
    return hs


def test_index_search_and_a_query_that_is_in_the_gallery(made, photos, tmp_path):
    query = photos / "pug" / "pug-0.jpg"
    shutil.copy(query, photos / "beagle" / "copy.jpg")
    assert made("index", photos, "-g", "g", "--json").json["new"] == 1
    (answer,) = made("search", "-g", "g", query, "-k", 3, "--json").json
    assert answer["query"] == str(query)
    first = answer["matches"][0]
    assert set(first) == {"rank", "id", "path", "label", "distance", "probability", "same_bytes"}
    assert (first["rank"], first["distance"], first["same_bytes"]) == (1, 0.0, True)
    assert first["path"] == str(photos / "beagle" / "copy.jpg")
    assert len(first["id"]) == 16
    distances = [match["distance"] for match in answer["matches"]]
    assert distances == sorted(distances)
    assert len(distances) == 3
    (answer,) = made("search", "-g", "g", query, "-k", 2, "--self", "--json").json
    assert {match["path"] for match in answer["matches"]} == {first["path"], str(query)}
    table = made("search", "-g", "g", query, "-k", 2).out
    assert "(same bytes)" in table
    assert "0.0000" in table


def test_ctrl_c_stops_a_search_whose_network_is_still_coming(made, photos, tmp_path):
    hook = "import time, houndsight.gallery.library as made\n"
    hook += "made.Gallery.embedder = lambda *_: (open('coming', 'w'), time.sleep(30))\n"
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(hook)
    command = [sys.executable, "-m", "houndsight", "search", photos / "pug" / "pug-0.jpg"]
    paths = os.pathsep.join([str(tmp_path / "hook"), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths}
    with subprocess.Popen([*command, "-g", "g"], env=environment) as running:
        until = time.monotonic() + 20
        while not (tmp_path / "coming").exists() and time.monotonic() < until:
            time.sleep(0.02)
        asked = time.monotonic()
        running.send_signal(signal.SIGINT)
        assert running.wait() == 130
    assert time.monotonic() - asked < 15


def test_search_limits(made, photos):
    query = photos / "pug" / "pug-0.jpg"
    (answer,) = made(
        "search", "-g", "g", query, "--label", "beagle", "--label", "pug", "--json"
    ).json
    assert {match["label"] for match in answer["matches"]} == {"beagle", "pug"}
    assert len(answer["matches"]) == 7
    bar = answer["matches"][2]["distance"]
    near = made("search", "-g", "g", query, "--label", "beagle", "--label", "pug",
                "--max-distance", bar, "--json").json  # fmt: skip
    assert len(near[0]["matches"]) == 3
    assert "no neighbours" in made("search", "-g", "g", query, "--max-distance", 0).out
    wrong = made("search", "-g", "g", query, "--label", "beagel", code=1).err
    assert "beagel" in wrong
    assert "Labels like it: beagle" in wrong
    listed = made("search", "-g", "g", query, "-k", 2, "--paths0", text=False).out
    assert [os.path.exists(path) for path in listed.split(b"\0")[:-1]] == [True, True]


def test_an_approximate_search_says_what_it_is_worth(made, photos):
    query = photos / "pug" / "pug-0.jpg"
    exact = made("search", query, "-g", "g", "-k", 3, "--json").json
    done = made("search", query, "-g", "g", "-k", 3, "--json", "--approximate")
    assert done.json == exact
    assert "finds 100.00 % of the 3 nearest, measured on 12 photos of this gallery" in done.err
    done = made("search", query, query, "-g", "g", "--approximate", "--combine", "max", code=2)
    assert "--approximate and --combine max exclude each other" in done.err


def test_integers_are_measured_first_and_kept(hs, photos):
    done = hs("index", photos, "-g", "g", *LITE, "--precision", "int8", "--min-overlap", 0)
    assert "int8 against float32 on 12 of the photos" in done.err
    assert done.err.count("(taken)") == 1
    assert "12 new" in done.out
    assert hs("info", "-g", "g", "--json").json["made_of"]["precision"] == "int8"
    write_photo(photos / "pug" / "new.jpg", 77)
    assert "1 new" in hs("index", photos, "-g", "g").out
    write_photo(photos / "pug" / "newer.jpg", 78)
    assert "1 new" in hs("index", photos, "-g", "g", *LITE).out
    assert hs("search", photos / "pug" / "new.jpg", "-g", "g", "--self", "-k", 1).code == 0
    assert (
        hs("explain", photos / "pug" / "new.jpg", photos / "pug" / "newer.jpg", "-g", "g").code == 0
    )
    hs("index", photos, "-g", "h", *LITE, "--min-overlap", 0.5, code=2)
    (photos.parent / "full").mkdir()
    (photos.parent / "full" / "notes.txt").touch()
    done = hs("index", photos, "-g", "full", *LITE, "--precision", "int8", code=1)
    assert "other things in it" in done.err
    assert "against float32" not in done.err
    done = hs("index", photos, "-g", "g", "--precision", "float32", code=1)
    assert "holds vectors of int8, not of float32" in done.err
    done = hs("index", photos, "-g", "g", *LITE, "--raw", code=1)
    assert "normalised (True, not False)" in done.err


def test_grids(made, photos, tmp_path):
    made("search", "-g", "g", photos / "pug" / "pug-0.jpg", "-k", 5, "--grid", "one.png")
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.width > 500
    made("search", "-g", "g", photos / "pug", "-k", 2, "--grid", "many")
    assert len(list((tmp_path / "many").glob("*.png"))) == 4
    (photos / "beagle" / "beagle-0.jpg").unlink()
    made("search", "-g", "g", photos / "pug" / "pug-0.jpg", "-k", 11, "--grid", "again.png")
    shutil.rmtree(tmp_path / "g" / "thumbnails")
    made("search", "-g", "g", photos / "pug" / "pug-0.jpg", "-k", 11, "--grid", "again.png")
    assert (tmp_path / "g" / "thumbnails").is_dir()


def test_classify_and_evaluate(made, photos):
    (answer,) = made("classify", "-g", "g", photos / "pug" / "pug-0.jpg", "-k", 3, "--json").json
    assert answer["label"] in ("pug", "beagle", "collie")
    assert sum(vote["count"] for vote in answer["votes"]) == 3
    assert answer["share"] == max(vote["count"] for vote in answer["votes"]) / 3
    assert answer["label"] in made("classify", "-g", "g", photos / "pug" / "pug-0.jpg", "-k", 3).out
    record = made("evaluate", "-g", "g", "-k", 3, "--seed", 4, "--samples", 6, "--json").json
    assert {"precision_at_k", "recall_at_1", "recall_at_5", "vote_accuracy"} <= set(record)
    assert (record["k"], record["n_queries"], record["seed"]) == (3, 6, 4)
    assert record["model"] == "efficientnet-lite0"
    assert record["fingerprint"] == made("info", "-g", "g", "--json").json["fingerprint"]
    again = made("evaluate", "-g", "g", "-k", 3, "--seed", 4, "--samples", 6, "--json").json
    assert again == record
    text = made("evaluate", "-g", "g", "--samples", "all", "-k", 3).out
    assert "12 queries against 12 labelled photos" in text
    assert "95 % interval" in text
    same = made("evaluate", "-g", "g", "--queries", photos, "-k", 3, "--json").json
    alone = made("evaluate", "-g", "g", "--samples", "all", "-k", 3, "--json").json
    assert same["precision_at_k"] == alone["precision_at_k"]
    assert (
        "give a number from 1, or all" in made("evaluate", "-g", "g", "--samples", "x", code=2).err
    )


def test_evaluate_by_protocol(made, photos, hs, tmp_path):
    for name in ("leave-one-out", "folds"):
        record = made("evaluate", "-g", "g", "--protocol", name, "-k", 3, "--json").json
        assert (record["protocol"], record["n_queries"], record["metric"]) == (name, 12, "plain")
        assert record["trained_on"] == "ImageNet (ILSVRC-2012)"
    paper = made("evaluate", "-g", "g", "--protocol", "paper", "--samples", 5, "--repeats", 9)
    assert "5 of these queries, drawn 9 times" in paper.out
    assert "near-duplicates: " in paper.out
    needs = made("evaluate", "-g", "g", "--protocol", "split", code=1)
    assert "needs query photos" in needs.err
    both = made("evaluate", "-g", "g", "--protocol", "folds", "--queries", photos, code=1)
    assert "takes its queries from the gallery" in both.err
    for unused in (
        ("--labels", "no.csv"),
        ("--repeats", 5),
        ("--protocol", "folds", "--repeats", 5),
    ):
        said = made("evaluate", "-g", "g", *unused, code=2).err
        assert ("--queries" if "--labels" in unused else "--protocol paper") in said


def test_evaluate_compares_metrics_and_galleries_and_writes_a_page(made, photos, hs, tmp_path):
    hs("index", photos, "-g", "raw", "--raw", *LITE)
    out = hs("evaluate", "-g", "raw", "--compare", "plain", "--samples", "all", "-k", 3).out
    assert "12 queries, paper against plain" in out
    out = hs("evaluate", "-g", "raw", "--compare", "g", "--queries", photos, "-k", 3).out
    assert "12 queries, efficientnet-lite0, paper against efficientnet-lite0, plain" in out
    done = hs("evaluate", "-g", "g", "--samples", "all", "-k", 3, "--keep-near", "--html", "p.html")
    assert "near-duplicates: not looked for" in done.out
    page = (tmp_path / "p.html").read_text()
    assert page.count("data:image/jpeg") > 12
    assert "12 queries of 3 labels against 12 labelled photos, 3 neighbours each." in page
    assert "no such folder" in hs("evaluate", "-g", "g", "--html", "not/p.html", code=1).err
    lost = hs("evaluate", "-g", "g", "-k", 3, "--html", "/proc/p.html", code=1)
    assert "/proc/p.html: cannot be written" in lost.err
    assert "precision@3" in lost.out
    assert "no metric nothing" in hs("evaluate", "-g", "g", "--compare", "nothing", code=1).err


def test_pictures_are_shown_in_the_terminal(made, photos):
    query = photos / "pug" / "pug-0.jpg"
    said = made("search", query, "-g", "g", "--show", code=1).err
    assert "standard output is no terminal" in said
    assert "--grid OUT.png" in said
    both = made("search", query, "-g", "g", "--show", "--json", code=2).err
    assert "--show is for the table" in both
    command = [sys.executable, "-m", "houndsight", "search", query, "-g", "g", "-k", "2", "--show"]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-kitty"}
    environment = {name: v for name, v in environment.items() if name not in ("TMUX", "STY")}
    with subprocess.Popen(command, stdout=theirs, stdin=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # the end of what is written to a terminal
            while part := os.read(ours, 65536):
                seen += part
    os.close(ours)
    assert process.returncode == 0
    shown, _ = kitty(seen[seen.index(b"\x1b_G") :])
    made("search", query, "-g", "g", "-k", 2, "--grid", "grid.png")
    with Image.open("grid.png") as grid:
        expected = grid.convert("RGB")
        expected.thumbnail((720, 10_000))
    assert shown.size == pytest.approx(expected.size, abs=1)
    assert b"(pug)" in seen[: seen.index(b"\x1b_G")]  # the table stands above it


def test_vectors_go_out_and_come_back(made, photos, tmp_path):
    made("export", "-g", "g", "out.npz")
    done = made("import", "out.npz", "-g", "back")
    assert "12 vectors of efficientnet-lite0 in back; 12 of the photos are where" in done.out
    query = photos / "pug" / "pug-0.jpg"
    same = [made("search", query, "-g", g, "-k", 3, "--json").json for g in ("g", "back")]
    assert same[0] == same[1]
    # By id, without a network: the same neighbours.
    (named,) = (row["id"] for row in csv.DictReader(_csv(made)) if row["path"] == str(query))
    assert made("search", named, "-g", "back", "-k", 3, "--json").json == same[0]
    mixed = made("search", named, query, "-g", "back", code=1).err
    assert "is an item of the gallery" in mixed
    part = made("search", named, "-g", "back", "--crop", "0,0,50,50%", code=1).err
    assert "that of the whole photo" in part


def _csv(hs):
    hs("export", "-g", "g", "out.csv")
    with open("out.csv", newline="", encoding="utf-8") as file:
        return file.read().splitlines()


def test_vectors_made_elsewhere_are_asked_for_by_what_is_among_them(hs, photos, tmp_path):
    paths = sorted(photos.rglob("*.jpg"))
    vectors = np.random.default_rng(0).standard_normal((12, 5))
    labels = [path.parent.name for path in paths]
    np.savez("clip.npz", vectors=vectors, paths=list(map(str, paths)), labels=labels)
    done = hs("import", "clip.npz", "-g", "g", "--name", "CLIP")
    assert "12 vectors of CLIP (foreign) in g" in done.out
    assert "no other photo can be compared with them" in done.err
    assert "CLIP (foreign), layer not known, 5 numbers" in hs("info", "-g", "g").out
    (answer,) = hs("search", paths[0], "-g", "g", "-k", 11, "--json").json
    order = np.argsort(np.linalg.norm(vectors - vectors[0], axis=1))[1:]
    assert [match["path"] for match in answer["matches"]] == [str(paths[n]) for n in order]
    assert hs("classify", answer["matches"][0]["id"], "-g", "g", "-k", 3, "--json").json
    hs("search", paths[0], "-g", "g", "--grid", "grid.png", "--html", "page.html")
    shutil.copy(paths[0], "new.jpg")
    for command in (
        ("search", "new.jpg"),
        ("classify", "new.jpg"),
        ("search", paths[0], "--crop", "0,0,50,50%"),
        ("search", paths[0], "--explain", "why.png"),
        ("explain", paths[0], paths[1]),
        ("evaluate", "--queries", photos),
        ("index", photos),
        ("index", photos, *LITE),
        ("add", "new.jpg"),
    ):
        said = hs(*command, "-g", "g", code=1).err
        assert "made elsewhere, by CLIP, so no network is known" in said, command
    assert "is there already" in hs("import", "clip.npz", "-g", "g", code=1).err


def test_search_and_classify_write_pages(made, photos, tmp_path):
    query = photos / "pug" / "pug-0.jpg"
    for command in ("search", "classify"):
        made(command, query, "-g", "g", "-k", 3, "--html", f"{command}.html")
        page = (tmp_path / f"{command}.html").read_text()
        assert page.count("data:image/jpeg") == 4
        assert "pug-0.jpg" in page
        said = made(command, query, "-g", "g", "--html", "not/p.html", code=1).err
        assert "no such folder" in said
    table = made("classify", query, "-g", "g", "-k", 3).out
    assert f"{100 * 2 / 3:.0f}%" in table
    assert 'width="66.7"' in (tmp_path / "classify.html").read_text()


def test_keeping(made, photos, tmp_path):
    info = made("info", "-g", "g", "--json").json
    assert (info["items"], info["labels"], info["skipped"]) == (12, 3, 0)
    assert "squash to 224 px; vectors normalised" in made("info", "-g", "g").out
    made("label", "-g", "g", photos / "pug" / "pug-0.jpg", photos / "pug" / "pug-1.jpg", "Mops")
    assert made("info", "-g", "g", "--json").json["labels"] == 4
    assert "taken back: change 1, label of 2 photos by user" in made("undo", "-g", "g").out
    made("label", "-g", "g", "--none", photos / "pug" / "pug-0.jpg")
    assert made("info", "-g", "g", "--json").json["unlabelled"] == 1
    made("remove", "-g", "g", "pug/pug-2.jpg")
    assert "left out, as removed by hand: 1 photo" in made("index", photos, "-g", "g").out
    made("undo", "-g", "g")
    assert "nothing to undo" in made("undo", "-g", "g").out or True
    photos.rename(tmp_path / "elsewhere")
    moved = made("relocate", "-g", "g", "photos", "elsewhere").out
    assert moved == "12 of 12 photos are where the gallery says\n"
    assert made("index", "elsewhere", "-g", "g", "--json").json["embedded"] == 0
    made("remove", "-g", "g", "pug/pug-2.jpg")
    assert "0.0 MB" in made("compact", "-g", "g").out
    assert made("verify", "-g", "g").out == "11 photos, all well\n"


def test_changes_have_numbers(made, photos):
    pug, collie = photos / "pug" / "pug-0.jpg", photos / "collie" / "collie-0.jpg"
    said = made("label", "-g", "g", pug, "Mops").out
    assert said == "1 labelled, change 1; houndsight undo 1 takes it back\n"
    assert made("label", "-g", "g", pug, "Mops").out == "0 labelled\n"
    said = made("remove", "-g", "g", collie).out
    assert said == "1 removed, change 2; houndsight undo 2 takes it back\n"
    assert made("undo", "1", "-g", "g").out.startswith("taken back: change 1, label of 1 photo by")
    assert "change 1 was taken back already" in made("undo", "1", "-g", "g", code=1).err
    assert "there is no change 7" in made("undo", "7", "-g", "g", code=1).err
    made("undo", "0", "-g", "g", code=2)
    assert made("undo", "-g", "g").out.startswith("taken back: change 2, remove")
    assert made("undo", "-g", "g").out == "there is nothing to undo\n"


def test_add(made, photos, tmp_path):
    write_photo(tmp_path / "a\n.jpg", 70)
    write_photo(tmp_path / "b.png", 71, kind="PNG")
    said = made("add", "a\n.jpg", "-g", "g", "--label", "Bella").out
    assert said.startswith(f"{tmp_path}/a\\n.jpg: ")
    assert said.endswith(", added, change 1; houndsight undo 1 takes it back\n")
    (tmp_path / "a\n.jpg").rename(tmp_path / "a.jpg")
    (answer,) = made("search", "a.jpg", "-g", "g", "-k", 1, "--self", "--json").json
    assert (answer["matches"][0]["distance"], answer["matches"][0]["label"]) == (0, "Bella")
    assert answer["matches"][0]["id"] in said
    (tmp_path / "text.jpg").write_text("no photo")
    names = ("text.jpg", "b.png", "absent.jpg", "a.jpg", photos)
    done = made("add", *names, "-g", "g", "--json", code=3)
    (added,) = done.json["added"]
    assert added["photo"] == str(tmp_path / "b.png")
    assert (added["label"], added["change"], len(added["id"])) == (None, 2, 16)
    assert added["path"].startswith(str(tmp_path / "g" / "photos"))
    assert [os.path.basename(one["path"]) for one in done.json["skipped"]] == [
        "text.jpg", "absent.jpg", "a.jpg", "photos",
    ]  # fmt: skip
    for reason in (
        "text.jpg: is no photo of a kind that is read",
        "absent.jpg: there is no such file",
        f"is in the gallery already as {tmp_path}/g/photos/",
        "Label that one instead",
        "photos: is a folder, not a photo",
    ):
        assert reason in done.err
    assert "Label that one instead" in made("add", "a.jpg", "-g", "g", code=1).err
    none = made("--quiet", "add", "absent.jpg", "a.jpg", "-g", "g", code=1)
    assert none.err.startswith("houndsight: error: ")
    assert "absent.jpg: none of 2 photos can be read; the first: there is no such" in none.err
    assert "label is empty" in made("add", "b.png", "-g", "g", "--label", " ", code=2).err
    assert "12 unchanged" in made("index", photos, "-g", "g").out
    made("export", "-g", "g", "out.csv")
    with open("out.csv", newline="") as file:
        assert added["path"] in {row["path"] for row in csv.DictReader(file)}
    assert made("verify", "-g", "g").out == "14 photos, all well\n"
    made("undo", "1", "-g", "g")
    assert made("verify", "-g", "g").out == "13 photos, all well\n"
    photos.rename(tmp_path / "elsewhere")
    moved = made("relocate", "-g", "g", "photos", "elsewhere").out
    assert moved == "12 of 12 photos are where the gallery says\n"


def test_export(made, photos):
    made("export", "-g", "g", "out.npz")
    with np.load("out.npz") as data:
        assert data["vectors"].shape == (12, 1280)
        assert data["vectors"].dtype == np.float32
        assert np.allclose(np.linalg.norm(data["vectors"], axis=1), 1, atol=1e-6)
        assert min(data["labels"].tolist()) == "beagle"
        order = {path: n for n, path in enumerate(data["paths"].tolist())}
        stored = data["vectors"][order[str(photos / "pug" / "pug-3.jpg")]]
    made("embed", photos / "pug" / "pug-3.jpg", "-o", "one.npz", *LITE)
    with np.load("one.npz") as data:
        assert np.allclose(data["vectors"][0], stored, atol=1e-5)
    made("export", "-g", "g", "out.csv")
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == {"beagle", "collie", "pug"}
    assert (
        "neither in .npz, .csv, .parquet nor in .faiss"
        in made("export", "-g", "g", "out.xls", code=1).err
    )


def test_embed_as_in_the_paper(hs, photos):
    hs("embed", photos, "-o", "v.npz", "--raw", "--image-size", 244, "--resize", "crop", *LITE)
    with np.load("v.npz") as data:
        assert data["vectors"].shape == (12, 1280)
        assert (data["vectors"] >= 0).all()
        assert data["vectors"].max() > 1
    hs("embed", photos / "absent.jpg", photos / "pug" / "pug-0.jpg", "-o", "w.npz", *LITE, code=3)
    failed = hs("embed", photos / "absent.jpg", "-o", "x.npz", *LITE, code=1).err
    assert "absent.jpg: there is no such file" in failed
    assert not os.path.exists("x.npz")


def test_models(hs):
    text = hs("models").out
    assert "not on this machine; houndsight models fetch resnet50" in text
    rows = {row["name"]: row for row in hs("models", "--json").json}
    assert rows["resnet50"]["bytes"] == 102530333
    assert rows["resnet50"]["path"] is None
    assert os.path.exists(rows["efficientnet-lite0"]["path"])
    assert "HOUNDSIGHT_OFFLINE" in hs("models", "fetch", code=1).err


def test_doctor_says_what_runs(hs, photos):
    found = hs("doctor", "--json").json
    assert (found["model"], found["device"]) == ("efficientnet-lite0", "cpu")
    assert found["speed"] > 1
    assert found["cache_writable"]
    hs("index", photos, "-g", "g", *LITE)
    said = hs("doctor", "-g", "g").out
    assert said.startswith("network: efficientnet-lite0, float32, on cpu: ")
    assert "\nGPU: " in said
    assert "\nextra web, for houndsight serve: installed\n" in said
    assert f" GB free: {os.environ['HOUNDSIGHT_CACHE']}/networks\n" in said
    assert "\ngallery: " in said
    assert "\nmodels whose weights are here: efficientnet-lite0\n" in said
    assert "\nmodels whose weights are not: resnet50 (the default), resnet18" in said
    assert said.count("; houndsight models fetch resnet50\n") == 1
    assert os.path.exists(found["weights"]["efficientnet-lite0"])
    assert found["weights"]["resnet50"] is None


def test_offline_without_weights_says_the_ways_out_and_makes_nothing(hs, photos):
    failed = hs("index", photos, "-g", "new", code=1)
    for way in ("houndsight models fetch", "--weights", "--model efficientnet-lite0"):
        assert way in failed.err
    assert failed.err.count("\n") == 1
    assert not os.path.exists("new")


def in_a_terminal(arguments, answer):
    """Run houndsight with a terminal for its input and output; returns exit code and text."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-m", "houndsight", *map(str, arguments)])
    text, asked = b"", False
    while select.select([terminal], [], [], 60)[0]:
        try:
            text += os.read(terminal, 4096)
        except OSError:
            break
        if b"[y/N]" in text and not asked:
            os.write(terminal, answer)
            asked = True
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text.decode()


@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
def test_a_path_is_one_piece_in_a_narrow_terminal(made, photos, monkeypatch):
    """The terminal wraps it, and so it can be copied; in a pipe no line ends in blanks."""
    monkeypatch.setenv("COLUMNS", "50")
    query = photos / "pug" / "pug-0.jpg"
    deep = photos / "deeper" / ("a name that is longer than a terminal " * 3)
    write_photo(deep / "x.jpg", 90)
    made("index", photos, "-g", "g")
    for words in (["search", query, "-k", "13"], ["outliers"], ["index", photos, "--dry-run"]):
        if words[0] == "index":
            (deep / "x.jpg").rename(deep / "another.jpg")
        code, text = in_a_terminal([*words, "-g", "g"], b"")
        shown = re.sub(r"\x1b\[[\d;]*m", "", text).replace("\r\n", "\n")
        wanted = query if words[0] == "outliers" else deep  # a label of one photo is not doubted
        assert (code, str(wanted) in shown) == (0, True)
        piped = made(*words, "-g", "g").out
        assert "\x1b" not in piped
        for said in (shown, piped):
            assert [line for line in said.split("\n") if line != line.rstrip(" ")] == []


@pytest.mark.parametrize("form", [(), ("--json",), ("--paths0",)])
def test_whoever_stops_reading_is_no_error(made, photos, form):
    """`head` that has seen enough; what follows is more than a pipe holds."""
    words = [sys.executable, "-m", "houndsight", "search", "-g", "g", *[photos] * 60, *form]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, b"")


@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
def test_offline_in_a_terminal_it_asks(hs, photos):
    code, text = in_a_terminal(["index", photos, "-g", "new"], b"n\n")
    assert code == 1
    assert not os.path.exists("new")
    code, text = in_a_terminal(["index", photos, "-g", "new"], b"y\n")
    assert (code, "12 new" in text) == (0, True)
    assert hs("info", "-g", "new", "--json").json["model"] == "efficientnet-lite0"
    # A gallery keeps its model, whatever the default.
    write_photo(photos / "late.jpg", 77)
    assert hs("index", photos, "-g", "new", "--json").json["new"] == 1


def test_other_settings_than_the_gallerys_are_refused_by_name(made, photos):
    refused = made("index", photos, "-g", "g", "--raw", code=1).err
    assert "normalised (True, not False)" in refused
    said = made("index", photos, "-g", "g", "--image-size", 128, code=1).err
    assert "made with other settings: size (224, not 128). " in said
    made("index", photos, "-g", "g", *LITE)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["search", "x.jpg"], 2, "HOUNDSIGHT_GALLERY"),
        (["search", "x.jpg", "-g", "absent"], 1, "houndsight index PHOTOS -g GALLERY"),
        (["index", "absent", "-g", "g", *LITE], 1, "absent: there is no such folder"),
        (
            ["index", "photos/pug/pug-0.jpg", "-g", "g", *LITE],
            1,
            "is a file, neither folder nor archive",
        ),
        (["index", "photos", "-g", "photos", *LITE], 1, "other things in it"),
        (["index", "photos", "-g", "g", "--model", "vgg"], 1, "efficientnet-lite0"),
        (["index", "photos", "-g", "g", "--labels", "no.csv", *LITE], 1, "no.csv"),
        (["index", "photos", "-g", "g", "--weights", "photos/pug/pug-0.jpg"], 1, "pug-0.jpg"),
        (["index", "photos", "-g", "g", "--image-size", "7"], 2, "--image-size"),
        (["index", "photos", "-g", "g", "--resize", "stretch"], 2, "squash"),
        (["nonsense"], 2, "nonsense"),
        (["label", "-g", "g", "only-one"], 2, "then the label"),
        (["embed", "photos", "-o", "vectors.txt"], 1, "vectors.npz"),
        (["demo", "photos"], 1, None),
    ],
)
def test_mistakes_are_answered_with_cause_and_remedy(hs, photos, arguments, code, says):
    if arguments == ["demo", "photos"]:
        (photos / "photos").mkdir()
        arguments, says = ["demo", "photos/pug"], "other things"
    failed = hs(*arguments, code=code)
    assert says in failed.err
    assert "Traceback" not in failed.err
    assert not os.path.exists("g")


def test_mistakes_with_a_gallery(made, photos):
    assert "no such file" in made("search", "-g", "g", "absent.jpg", code=1).err
    assert "not in the gallery" in made("remove", "-g", "g", "absent.jpg", code=1).err
    assert "Indexed folders:" in made("relocate", "-g", "g", "x", "photos", code=1).err
    (photos / "bad.jpg").write_text("no photo")
    mixed = made("search", "-g", "g", photos, "-k", 1, "--json", code=3)
    assert len(mixed.json) == 13
    assert "bad.jpg: is no photo of a kind that is read" in mixed.err
    alone = made("classify", "-g", "g", photos / "bad.jpg", code=1).err
    assert alone.startswith("houndsight: error: ")
    assert alone.count("bad.jpg") == 1


def test_verify_says_damage_by_its_exit_code(made, tmp_path):
    file = tmp_path / "g" / "vectors-1.bin"
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    assert "checksum of its vector, row 0" in made("verify", "-g", "g", code=4).out


def test_output_cut_off_by_head_is_no_error(made, photos):
    command = f"{sys.executable} -m houndsight search -g g {photos} | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


def test_interrupt_keeps_what_was_stored(hs, photos):
    for n in range(300):
        write_photo(photos / "many" / f"{n}.jpg", 100 + n)
    process = subprocess.Popen(
        [sys.executable, "-m", "houndsight", "index", str(photos), "-g", "g", *LITE],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not os.path.exists("g/catalogue.sqlite"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on there" in err
    stored = hs("info", "-g", "g", "--json").json["items"]
    report = hs("index", photos, "-g", "g", "--json").json
    assert report["new"] == report["embedded"] == 312 - stored
    assert hs("verify", "-g", "g").out.startswith("312 photos")


def test_only_indexing_is_said_to_go_on_where_it_stopped(monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.app, "main", stop)
    assert cli._run(["learn", "-g", "g"]) == cli.INTERRUPTED
    assert capsys.readouterr().err == "houndsight: stopped; what was stored before stays\n"
    assert cli._run(["index", "photos", "-g", "g"]) == cli.INTERRUPTED
    assert "the same command goes on there" in capsys.readouterr().err


def test_an_interrupt_while_it_is_still_loading_is_no_traceback(monkeypatch, capsys):
    class Stop:
        def find_spec(self, name, *_):
            if name == "houndsight.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "houndsight.cli")
    monkeypatch.setattr(sys, "meta_path", [Stop(), *sys.meta_path])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("houndsight", run_name="__main__")
    assert left.value.code == cli.INTERRUPTED
    assert capsys.readouterr().err == "houndsight: stopped\n"


def test_demo(hs, tmp_path):
    text = hs("demo").out
    assert "$ houndsight index houndsight-demo/photos -g houndsight-demo/gallery" in text
    page = (tmp_path / "houndsight-demo" / "page.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert page.count("data:image/jpeg;base64") > 50
    assert len(list((tmp_path / "houndsight-demo" / "grids").glob("*.png"))) == 24
    answers = json.loads((tmp_path / "houndsight-demo" / "answers.json").read_text())
    assert len(answers) == 24
    assert "112 unchanged" in hs("demo").out  # again, over the same folder


def test_search_by_part_and_by_several_photos(made, photos, tmp_path):
    pugs = [photos / "pug" / f"pug-{number}.jpg" for number in range(3)]
    (whole,) = made("search", "-g", "g", pugs[0], "-k", 3, "--json").json
    assert set(whole) == {"query", "label", "matches"}
    parts = ("--crop", "25,0,50,100%", "--exclude-crop", "0,0,20,20", "--exclude-crop", "0,30,9,9")
    (part,) = made("search", "-g", "g", pugs[0], "-k", 3, *parts, "--json").json
    assert (part["crop"], part["exclude_crops"]) == ("25,0,50,100%", ["0,0,20,20", "0,30,9,9"])
    assert part["matches"] != whole["matches"]
    assert "only 25,0,50,100%, without" in made("search", "-g", "g", pugs[0], *parts).out

    nearest = {}
    for way in ("mean", "min", "max"):
        (one,) = made("search", "-g", "g", *pugs[:2], "--combine", way, "-k", 9, "--json").json
        assert (one["combine"], one["label"], one["query"]) == (way, "pug", str(pugs[0]))
        assert one["like"] == [str(pug) for pug in pugs[:2]]
        paths = {match["path"] for match in one["matches"]}
        assert not paths & {str(pug) for pug in pugs[:2]}
        nearest[way] = {match["path"]: match["distance"] for match in one["matches"]}
    shown = nearest["min"].keys() & nearest["max"].keys()
    assert shown
    assert all(nearest["min"][path] <= nearest["max"][path] for path in shown)
    away = ("--unlike", pugs[2], "--self")
    (one,) = made("search", "-g", "g", pugs[0], *away, "-k", 20, "--json").json
    assert one["unlike"] == [str(pugs[2])]
    paths = [match["path"] for match in one["matches"]]
    assert paths[0] == str(pugs[0])
    assert str(pugs[2]) not in paths
    assert len(paths) == 11
    out = made("search", "-g", "g", *pugs[:2], "--combine", "max", "--unlike", photos / "beagle",
               "-k", 2, "--grid", "all.png").out  # fmt: skip
    assert out.count("rank") == 1
    assert out.startswith("max of ")
    assert "beagle-2.jpg and 1 more" in out
    assert (tmp_path / "all.png").exists()


def test_explain(made, photos, tmp_path):
    query, item = photos / "pug" / "pug-0.jpg", photos / "collie" / "collie-1.jpg"
    why = made("explain", "-g", "g", query, item, "-o", "new/why.png", "--json")
    assert set(why.json) == {"explained", "space", "label", "distance", "query", "item"}
    assert (why.json["explained"], why.json["label"]) == ("similarity", None)
    for side in ("query", "item"):
        shares = np.array(why.json[side]["shares"])
        assert shares.shape == (7, 7)
        assert abs(shares.sum() - why.json[side]["total"]) < 1e-9
        assert why.json[side]["seen"] == [0, 0, 1, 1]
    found = made("search", "-g", "g", query, "--json").json[0]["matches"]
    same = next(match for match in found if match["id"] == why.json["item"]["id"])
    assert same["distance"] == why.json["distance"]
    with Image.open(tmp_path / "new" / "why.png") as picture:
        assert picture.width > 600
    text = made("explain", "-g", "g", query, same["id"], "--crop", "0,0,50,50%").out
    assert "cosine similarity, distance" in text
    assert "only 0,0,50,50%" in text

    made("search", "-g", "g", query, "-k", 7, "--explain", "one.png")
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.width > 5 * 200
    made("search", "-g", "g", photos / "pug", "-k", 1, "--explain", "many")
    assert len(list((tmp_path / "many").glob("*.png"))) == 4
    (tmp_path / "old.png").write_text("of before")
    for name in ("none.png", "old.png"):
        nothing = made("search", "-g", "g", query, "--max-distance", 0, "--explain", name)
        assert nothing.err == f"nothing to draw in {name}: there are no neighbours\n"
    assert not (tmp_path / "none.png").exists()
    assert (tmp_path / "old.png").read_text() == "of before"


def test_explaining_photos_that_are_gone_or_changed(made, photos, tmp_path):
    query, gone, changed = (
        photos / label / f"{label}-0.jpg" for label in ("pug", "collie", "beagle")
    )
    gone.unlink()
    write_photo(changed, 500)
    assert (
        "collie-0.jpg: there is no such file" in made("explain", "-g", "g", query, gone, code=1).err
    )
    assert "any more" in made("explain", "-g", "g", query, changed, code=1).err
    drawn = made("search", "-g", "g", query, "--label", "collie", "--explain", "why.png", code=3)
    assert "not explained: " in drawn.err
    assert "collie-0.jpg" in drawn.err
    assert (tmp_path / "why.png").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--crop", "1,2,3"], 2, "'--crop': '1,2,3' is no part of a photo. Write x,y,width,height"),
        (["--crop", "10,10,95,10%"], 2, "reaches beyond the photo"),
        (["--exclude-crop", "0,0,0,9"], 2, "is empty"),
        (["--crop", "0,0,490,10"], 1, "which is 48 x 40 pixels. Name a part that lies inside, or"),
        (["--exclude-crop", "0,0,100,100%"], 1, "nothing of the photo is left"),
        (["--combine", "median"], 2, "mean"),
        (["--unlike", "absent.jpg"], 1, "absent.jpg: there is no such file. Check the name"),
        (["--explain", "a.png", "--combine", "max"], 2, "--explain is for one photo"),
        (["--explain", "a.png", "--unlike", "photos"], 2, "--explain is for one photo"),
        (["--explain", "a.png", "--grid", "a.png"], 2, "a name each"),
        (["--explain", "g/append.lock/why.png"], 1, "cannot be written"),
        (["--explain", "why.text"], 1, "does not end like a picture that can be written"),
        (["--grid", "a.xyz"], 1, "Name it like a.png"),
        (["--max-distance", "nan"], 2, "'--max-distance': nan is no number"),
        (["--metric", "absent"], 1, "has no metric absent"),
    ],
)
def test_mistakes_with_parts_and_pictures(made, photos, tmp_path, arguments, code, says):
    (tmp_path / "g" / "append.lock").touch()
    failed = made("search", "-g", "g", photos / "pug" / "pug-0.jpg", *arguments, code=code)
    assert says in " ".join(failed.err.split())
    if "--grid" in arguments:  # said before anything is searched for
        assert failed.out == ""
    assert "Traceback" not in failed.err


def test_mistakes_with_explain(made, photos):
    query = photos / "pug" / "pug-0.jpg"
    assert "not in the gallery" in made("explain", "-g", "g", query, "absent.jpg", code=1).err
    assert "is a folder" in made("explain", "-g", "g", photos, query, code=1).err
    assert "no such file" in made("explain", "-g", "g", "absent.jpg", query, code=1).err
    beyond = ("--crop", "0,0,99,99")
    assert "48 x 40 pixels" in made("explain", "-g", "g", query, query, *beyond, code=1).err
    failed = made("explain", "-g", "g", query, query, "-o", "photos/pug/pug-1.jpg/x.png", code=1)
    assert "cannot be written" in failed.err


@pytest.fixture
def drawn(tmp_path):
    """3 labels x 8 photos that differ by label in their colours."""
    for n, label in enumerate(("beagle", "collie", "pug")):
        for number in range(8):
            write_photo(tmp_path / "drawn" / label / f"{number}.jpg", 100 * n + number)
    return tmp_path / "drawn"


def test_learn_choose_classify_and_go_back(hs, drawn, tmp_path):
    hs("index", drawn, "-g", "g", *LITE)
    photo = drawn / "pug" / "0.jpg"
    before = hs("search", "-g", "g", photo, "-k", 3, "--json").json
    report = hs("learn", "-g", "g", "--method", "lda", "--picture", "trade.png", "--json").json
    assert report["items"] == 24
    assert report["labels"] == 3
    assert {figure["name"] for figure in report["figures"]} == {"precision@6", "recall@5"}
    with Image.open("trade.png") as picture:
        assert picture.size == (1200, 800)
    facts = hs("info", "-g", "g", "--json").json
    if report["metric"] is None:  # these drawings have nothing in common but their folder
        assert facts["metric"] == "plain"
    else:
        assert facts["metric"] == "learned@1"
    assert hs("search", "-g", "g", photo, "-k", 3, "--json", "--metric", "plain").json == before
    hs("calibrate", "-g", "g", "--metric", "plain")
    (answer,) = hs("search", "-g", "g", photo, "-k", 3, "--json", "--metric", "plain").json
    assert all(0 < match["probability"] < 1 for match in answer["matches"])
    assert "same label" in hs("search", "-g", "g", photo, "-k", 3, "--metric", "plain").out
    (vote,) = hs("classify", "-g", "g", photo, "--json", "--metric", "plain").json
    assert vote["first"] == next(iter(vote["probabilities"]))["label"]
    assert 0 < vote["none"] < 1
    table = hs("classify", "-g", "g", photo, "--metric", "plain", "--precision", "0.4").out
    assert "probability" in table
    failed = hs("classify", "-g", "g", photo, "--metric", "plain", "--precision", "1", code=1)
    assert "Ask for a precision of" in failed.err
    text = hs("learn", "-g", "g", "--name", "mine", "--favour", "label").out
    assert "The trade" in text
    assert "--favour" in text
    hs("label", "-g", "g", photo, "collie")
    lines = hs("info", "-g", "g").out
    if "mine@1" in lines:
        assert "stale" in lines
    while "nothing was chosen" not in (said := hs("learn", "-g", "g", "--undo").out):
        assert "again" in said
    assert hs("info", "-g", "g", "--json").json["metric"] == "plain"
    assert hs("learn", "-g", "g", "--undo", "--json").json == {"metric": "plain"}
    lost = hs("learn", "-g", "g", "--method", "lda", "--picture", "/proc/x.png", code=1)
    assert "/proc/x.png: cannot be written" in lost.err
    metric = hs("info", "-g", "g", "--json").json["metric"]
    assert ("no map did better" if metric == "plain" else f"metric is {metric} now") in lost.out


def test_mistakes_with_learning_are_answered(hs, drawn, photos):
    hs("index", drawn, "-g", "g", *LITE)
    for arguments, code, message in (
        (("learn", "-g", "g", "--favour", "2"), 2, "give label, photo, or a number"),
        (("learn", "-g", "g", "--name", "Plain!"), 1, "cannot be called"),
        (("learn", "-g", "g", "--picture", "absent/x.png"), 1, "no such folder"),
        (("learn", "-g", "g", "--picture", "x.xyz"), 1, "does not end in .png. Name it like x.png"),
        (("learn", "-g", "nowhere"), 1, "no gallery here"),
        (("calibrate", "-g", "g", "--metric", "learned"), 1, "has no metric learned. It has plain"),
        (("search", "-g", "g", drawn / "pug" / "0.jpg", "--metric", "paper"), 1, "--raw"),
        (("classify", "-g", "g", drawn / "pug" / "0.jpg", "--precision", "0.9"), 1, "calibrate"),
        (("classify", "-g", "g", drawn, "--precision", "nan"), 2, "nan is no number"),
    ):
        assert message in hs(*arguments, code=code).err
    hs("index", photos, "-g", "none", *LITE, "--labels", "none")
    assert "0 labels with two" in hs("learn", "-g", "none", code=1).err


def test_duplicates_and_outliers(hs, drawn, tmp_path):
    shutil.copy(drawn / "pug" / "0.jpg", drawn / "pug" / "again.jpg")
    with Image.open(drawn / "collie" / "3.jpg") as photo:
        photo.resize((60, 50)).save(drawn / "collie" / "larger.jpg", quality=95)
    hs("index", drawn, "-g", "g", *LITE)
    found = hs("duplicates", "-g", "g", "--max-distance", "0.2", "--json", "--sheet", "d.png").json
    names = [{os.path.basename(i["path"]) for i in group["items"]} for group in found["groups"]]
    assert {"0.jpg", "again.jpg"} in names
    near = next(group for group in found["groups"] if not group["exact"])
    assert os.path.basename(near["items"][0]["path"]) == "larger.jpg"
    exact = hs("duplicates", "-g", "g", "--exact")
    assert "1 group among 26 photos, by bytes; 1 photo could go" in exact.out
    paths = hs("duplicates", "-g", "g", "--exact", "--paths0", text=False).out
    assert paths.count(b"\0") == 1
    assert hs("duplicates", "-g", "g", "--exact", "--paths0", "--json", code=2)
    hs("label", "-g", "g", drawn / "pug" / "5.jpg", "beagle")
    rows = hs("outliers", "-g", "g", "-n", 3, "-k", 5, "--sheet", "o.png", "--json").json
    assert len(rows) == 3
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert {"path", "label", "suggested", "score"} <= set(rows[0])
    assert "speak more for another label" in hs("outliers", "-g", "g", "-k", 5).out
    for name in ("d.png", "o.png"):
        with Image.open(name) as sheet:
            assert min(sheet.size) > 100
    for command in ("outliers", "duplicates"):
        for name, says in (
            ("no/o.png", "no such folder. Make the folder"),
            ("o.qqq", "like o.png"),
        ):
            refused = hs(command, "-g", "g", "--sheet", name, code=1)
            assert says in refused.err
            assert name in refused.err
            assert refused.out == ""


def test_map_draws_a_picture_and_a_page(hs, drawn):
    hs("index", drawn, "-g", "g", *LITE)
    assert "24 photos by" in hs("map", "-g", "g", "-o", "map.png").out
    hs("map", "-g", "g", "-o", "map.html")
    with open("map.html", encoding="utf-8") as page:
        assert "</html>" in page.read()
    assert "does not end in .png or .html" in hs("map", "-g", "g", "-o", "map.gif", code=1).err
    assert "'--seed'" in hs("map", "-g", "g", "-o", "map.png", "--seed", 2**32, code=2).err
    assert "no such folder" in hs("map", "-g", "g", "-o", "no/map.png", code=1).err
