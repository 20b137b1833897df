"""What documents tell a shell is run by one, in a folder with all that they speak of."""

import dataclasses
import hashlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time

import pytest

from fakes import write_photo
from houndsight import Gallery, cli
from houndsight.models.description import Description
from networks import MEAN, STD, save
from processors import CLIP, CONVNEXT, DINO, SIGLIP
from test_examples import scene  # noqa: F401  the fixture
from test_project import read

BLOCK = re.compile(r"^ *```(console|sh|json)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SOME_ID = "000000000000002a"  # in the documents
PATIENCE_S = 60


def blocks(document, kind="console"):
    """Return the blocks of a kind in a document; of what is typed, without its prompts."""
    found = [body for name, body in BLOCK.findall(read(f"docs/{document}")) if name == kind]
    return [re.sub(r"^\$ ", "", body, flags=re.MULTILINE) for body in found]


def about(document, words, kind="console"):
    """Return the one block that has these words."""
    (body,) = [body for body in blocks(document, kind) if words in body]
    return body


class Shell:
    """Runs lines as a person types them."""

    def __init__(self, here, cache):
        self.here = here
        program = here / "bin" / "houndsight"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m houndsight "$@"\n')
        program.chmod(0o755)
        self.environment = os.environ | {
            "PATH": f"{program.parent}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
            "HOME": str(here),
            "BROWSER": "true",
            "HOUNDSIGHT_CACHE": str(cache),
            "HOUNDSIGHT_CONFIG": str(here / "config.toml"),
        }

    def start(self, lines, **more):
        words = ["bash", "-euo", "pipefail", "-c", lines]
        return subprocess.Popen(words, cwd=self.here, env=self.environment, text=True, **more)

    def __call__(self, lines):
        pipe = subprocess.PIPE
        process = self.start(lines, stdout=pipe, stderr=pipe)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, f"{lines}\n{out}\n{err}"
        return out


@pytest.fixture
def shell(scene, tmp_path):  # noqa: F811
    here = tmp_path / "here"
    shutil.copytree(scene, here)
    return Shell(here, scene / "cache")


def test_copies_are_taken_out_as_the_guide_says(shell):
    photos = shell.here / "some"
    for n in range(8):
        write_photo(photos / f"{n}.jpg", n)
    for n in range(2):
        shutil.copy(photos / f"{n}.jpg", photos / f"again-{n}.jpg")
    shell("houndsight index some -g with-copies")
    shell(about("correcting.md", "xargs").replace("my-gallery", "with-copies"))
    with Gallery(shell.here / "with-copies") as gallery:
        assert len(gallery) == 8
        assert len({item.digest for item in gallery.items()}) == 8


def test_the_last_step_of_the_tutorial(shell):
    shell(about("tutorial.md", "~/my-photos").replace("some-photo.jpg", "dog.jpg"))
    assert (shell.here / "my-photos" / "catalogue.sqlite").exists()
    assert "<html" in (shell.here / "answer.html").read_text()


def test_completion_and_manual_pages(shell):
    (shell.here / ".config/fish/completions").mkdir(parents=True)
    shell(about("command-line.md", "completion bash", "sh"))
    for name in (".bashrc", ".zshrc", ".config/fish/completions/houndsight.fish"):
        assert "houndsight" in (shell.here / name).read_text()


def test_a_network_of_ones_own(shell):
    pytest.importorskip("onnx", reason="the network is made by it")
    folder = shell.here / "dinov2"
    folder.mkdir()
    save(folder / "model.onnx", "tokens", side=32)
    (folder / "model.json").write_text(json.dumps({"size": 32, "mean": MEAN, "std": STD}))
    lines = about("bring-your-own-network.md", "--pooling cls")
    shell(lines.replace("my-gallery", "of-its-own"))
    with Gallery(shell.here / "of-its-own") as gallery:
        assert gallery.settings["made_of"]["pooling"] == "cls"


RECIPES = {"dinov2": DINO, "clip": CLIP, "siglip": SIGLIP, "convnext": CONVNEXT}


def recipes():
    """Return what follows for each network that the guide exports, by its folder."""
    page = read("docs/bring-your-own-network.md")
    lines = re.findall(r"^\| [\w ]+ \| `houndsight (index .*)` \| \d+ \|$", page, re.MULTILINE)
    return {re.search(r"--model (\w+)/", line)[1]: line for line in lines}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_goes_on_from_what_transformers_writes(name, scene, tmp_path, monkeypatch):  # noqa: F811
    """With a network made by hand, of the outputs of the real one."""
    pytest.importorskip("onnx", reason="the network is made by it")
    assert set(recipes()) == set(RECIPES)
    shutil.copytree(scene / "photos", tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    save(tmp_path / name / "model.onnx", "tokens" if name == "dinov2" else "pooled")
    (tmp_path / name / "preprocessor_config.json").write_text(json.dumps(RECIPES[name]))
    assert cli._run(shlex.split(recipes()[name])) == cli.DONE
    with Gallery("my-gallery") as gallery:
        done = gallery.settings["made_of"]["preprocessing"]
    assert done["mean"] == RECIPES[name]["image_mean"]
    assert (done["size"], done["resize"]) == (224, "squash" if name == "siglip" else "crop")


def test_the_description_that_is_shown():
    (block,) = blocks("bring-your-own-network.md", "json")
    assert Description.of(json.loads(block)).size == 224


def test_the_table_of_what_a_network_takes_has_every_key():
    page = read("docs/bring-your-own-network.md")
    (table,) = re.findall(r"^ *\| Key \|.*?\n\n", page, re.MULTILINE | re.DOTALL)
    named = re.findall(
        r"`([^`]+)`", "".join(row.split("|")[1] for row in table.splitlines() if row)
    )
    assert sorted(named) == sorted(one.name for one in dataclasses.fields(Description))


def test_the_fingerprint_that_is_shown():
    (shown,) = blocks("preprocessing.md", "json")
    text = json.dumps(json.loads(shown), sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() in read("docs/preprocessing.md")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_the_page_and_its_api(shell):
    pytest.importorskip("fastapi", reason="serving needs the extra web")
    if shutil.which("curl") is None:
        pytest.skip("curl is not here")
    port = free_port()
    with Gallery(shell.here / "my-gallery") as gallery:
        some = next(item for item in gallery.items() if item.label == "beagle")
    serve = about("page.md", "--open").splitlines()[1]
    log = (shell.here / "served.txt").open("w")
    server = shell.start(f"exec {serve} --port {port}", stdout=log, stderr=log)
    try:
        ends = time.monotonic() + PATIENCE_S
        while subprocess.run(["curl", "-sf", f"http://127.0.0.1:{port}/api/health"]).returncode:
            assert time.monotonic() < ends, (shell.here / "served.txt").read_text()
            time.sleep(0.2)
        asked = about("page.md", "/api/classify").replace("\\\n", " ").splitlines()
        assert len(asked) == 4
        answers = [
            json.loads(
                shell(
                    line.replace("curl ", "curl -sS --fail-with-body ")
                    .replace("127.0.0.1:8000", f"127.0.0.1:{port}")
                    .replace(SOME_ID, some.key)
                )
            )
            for line in asked
        ]
        assert [len(answers[n]["answers"][0]["matches"]) for n in (0, 1)] == [5, 5]
        assert {n["label"] for n in answers[1]["answers"][0]["matches"]} == {"beagle"}
        refused = shell(
            f"curl -s 'http://127.0.0.1:{port}/api/search?query={some.key}&label=beagel'"
        )
        (shown,) = blocks("page.md", "json")
        assert json.loads(refused) == json.loads(shown)
    finally:
        server.terminate()
        server.wait()
        log.close()
