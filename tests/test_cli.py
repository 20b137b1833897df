"""The command line as a person uses it: what it writes, its exit codes, its messages."""

import csv
import json
import os
import pty
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
    assert set(first) == {"rank", "id", "path", "label", "distance", "same_bytes"}
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


def test_keeping(made, photos, tmp_path):
    info = made("info", "-g", "g", "--json").json
    assert (info["items"], info["labels"], info["skipped"]) == (12, 3, 0)
    assert "squash to 224 px; vectors normalised" in made("info", "-g", "g").out
    made("label", "-g", "g", photos / "pug" / "pug-0.jpg", photos / "pug" / "pug-1.jpg", "Mops")
    assert made("info", "-g", "g", "--json").json["labels"] == 4
    assert "of 2 photos by user" in made("undo", "-g", "g").out
    made("label", "-g", "g", "--none", photos / "pug" / "pug-0.jpg")
    assert made("info", "-g", "g", "--json").json["unlabelled"] == 1
    made("remove", "-g", "g", "pug/pug-2.jpg")
    assert "stay out" in made("index", photos, "-g", "g").out
    made("undo", "-g", "g")
    assert "nothing to undo" in made("undo", "-g", "g").out or True
    photos.rename(tmp_path / "elsewhere")
    moved = made("relocate", "-g", "g", "photos", "elsewhere").out
    assert moved == "12 of 12 photos are where the gallery says\n"
    assert made("index", "elsewhere", "-g", "g", "--json").json["embedded"] == 0
    made("remove", "-g", "g", "pug/pug-2.jpg")
    assert "0.0 MB" in made("compact", "-g", "g").out
    assert made("verify", "-g", "g").out == "11 photos, all well\n"


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
    assert "neither in .npz nor in .csv" in made("export", "-g", "g", "out.xls", code=1).err


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
    assert "preprocessing" in made("index", photos, "-g", "g", "--image-size", 128, code=1).err
    made("index", photos, "-g", "g", *LITE)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["search", "x.jpg"], 2, "HOUNDSIGHT_GALLERY"),
        (["search", "x.jpg", "-g", "absent"], 1, "houndsight index PHOTOS -g GALLERY"),
        (["index", "absent", "-g", "g", *LITE], 1, "absent: there is no such folder"),
        (["index", "photos/pug/pug-0.jpg", "-g", "g", *LITE], 1, "is a file, not a folder"),
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
    assert made("classify", "-g", "g", photos / "bad.jpg", code=1).err.count("skipped") == 1


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
