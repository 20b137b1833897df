"""A network of one's own on the command line."""

import json

import pytest

from houndsight import cli
from networks import MEAN, STD, save

NUMBERS = ["--mean", ",".join(map(str, MEAN)), "--std", ",".join(map(str, STD))]


@pytest.fixture
def run(tmp_path, photos, monkeypatch, capsys):
    """Run a command in a folder with photos and a network; returns code, output, errors."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "net.onnx", "tokens", "pooled")

    def call(*words):
        code = cli._run([*words])
        return (code, *capsys.readouterr())

    return call


def describe(**more):
    with open("net.json", "w", encoding="utf-8") as file:
        json.dump({"mean": MEAN, "std": STD, "size": 32, "layer": "pooled", **more}, file)


def test_index_and_search_with_a_described_network(run, tmp_path):
    describe()
    assert run("index", "photos", "-g", "gallery", "--model", "net.onnx")[0] == 0
    code, text, _ = run("index", "photos", "-g", "gallery", "--model", "net.onnx")
    assert code == 0
    assert "0 new" in text
    (tmp_path / "net.onnx").unlink()
    code, text, _ = run("search", "-g", "gallery", "photos/pug/pug-1.jpg", "-k", "1", "--json")
    assert code == 0
    code, text, _ = run("info", "-g", "gallery", "--json")
    record = json.loads(text)
    assert record["model"] == "net.onnx"
    assert record["made_of"]["layer"] == "pooled"
    assert run("verify", "-g", "gallery")[0] == 0


def test_everything_by_options(run):
    words = ["--model", "net.onnx", "--image-size", "32", *NUMBERS]
    words += ["--layer", "tokens", "--pooling", "cls", "--resize", "crop"]
    assert run("index", "photos", "-g", "gallery", *words)[0] == 0
    _, text, _ = run("info", "-g", "gallery", "--json")
    made_of = json.loads(text)["made_of"]
    assert (made_of["layer"], made_of["pooling"]) == ("tokens", "cls")
    assert made_of["preprocessing"]["resize"] == "crop"
    code, _, errors = run("index", "photos", "-g", "gallery", *words, "--pooling", "mean")
    assert code == 1
    assert "pooling (cls, not mean)" in errors
    assert run("embed", "photos", "-o", "vectors.npz", *words)[0] == 0


def test_settings_of_such_a_gallery_need_the_file(run):
    describe()
    assert run("index", "photos", "-g", "gallery", "--model", "net.onnx")[0] == 0
    code, _, errors = run("index", "photos", "-g", "gallery", "--raw")
    assert code == 1
    assert "the gallery was made with net.onnx" in errors
    assert "--model" in errors
    assert run("index", "photos", "-g", "gallery")[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "trouble"),
    [
        (["--model", "net.onnx"], 1, "nothing says which mean and std the network takes"),
        (["--model", "net.onnx", "--mean", "1,2"], 2, "'1,2' is not three numbers"),
        (["--model", "net.onnx", "--mean", "red"], 2, "'red' is not three numbers"),
        (["--model", "absent.onnx", *NUMBERS], 1, "absent.onnx: there is no such file"),
        (["--model", "efficientnet-lite0", *NUMBERS], 1, "is for networks from an .onnx file"),
        (["--model", "net.onnx", *NUMBERS, "--image-size", "32"], 1, "outputs tokens, pooled"),
    ],
)
def test_what_is_lacking_is_told(run, words, code, trouble):
    got, _, errors = run("index", "photos", "-g", "gallery", *words)
    assert got == code
    assert trouble in errors


def test_integers_are_refused(run):
    describe()
    words = ["--model", "net.onnx", "--precision", "int8"]
    code, _, errors = run("index", "photos", "-g", "gallery", *words)
    assert code == 1
    assert "computes in what it was exported in" in errors
