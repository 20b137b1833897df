"""Every example in a help text runs; every command in a document can be understood."""

import os
import re
import shlex
import shutil
import signal
import threading
import time

import click
import pytest
from PIL import Image

from fakes import draw, write_photo
from houndsight import cli
from test_project import HERE, read

CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Its download, from a server on loopback, is tested where downloads are.
FETCHES = "models fetch resnet50"
# These go on until they are told to stop.
ENDLESS = {"serve": cli.DONE, "watch": 130}
NEEDS = {
    "copy": "milvus_lite",
    "tune": "milvus_lite",
    "serve": "fastapi",
    "watch": "watchdog",
    "export": "pyarrow",
    "import": "pyarrow",
}


def examples(command=cli.app):
    """Yield what follows "Example: houndsight" in each help text, without what else is said."""
    for part in (command.epilog or "").split("Example: houndsight ")[1:]:
        yield re.split(r"\. |\.$| >> ", part.strip())[0]
    for lower in getattr(command, "commands", {}).values():
        yield from examples(lower)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A folder with all that examples speak of."""
    here = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setenv("HOUNDSIGHT_CACHE", str(here / "cache"))
        patch.setenv("HOUNDSIGHT_CONFIG", str(here / "config.toml"))
        (here / "config.toml").write_text(
            'index.model = "efficientnet-lite0"\nembed.model = "efficientnet-lite0"\n'
        )
        for row, label in enumerate(("beagle", "collie", "pug")):
            for column in range(8):
                path = here / "photos" / label / f"{column}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                # Alike within a label, so that neighbours tell.
                Image.blend(draw(row), draw(100 + 10 * row + column), 0.2).save(path)
        for n, name in enumerate(("a", "b", "blurred")):
            write_photo(here / "photos" / f"{name}.jpg", 80 + n)
        write_photo(here / "moved" / "pug" / "0.jpg", 70)
        write_photo(here / "holiday" / "sea.jpg", 71)
        write_photo(here / "dog.jpg", 72)
        Image.blend(draw(1), draw(73), 0.2).save(here / "unknown-dog.jpg")
        for photos, gallery in (
            ("photos", "my-gallery"),
            ("photos", "dogs"),
            ("moved", "more-dogs"),
        ):
            assert cli._run(["index", photos, "-g", gallery]) == cli.DONE
        assert cli._run(["calibrate", "-g", "my-gallery"]) == cli.DONE
        for name in ("galleries", "data"):
            shutil.copytree("dogs", here / name / "dogs")
        (here / "test").mkdir()
    return here


@pytest.mark.parametrize("example", [e for e in dict.fromkeys(examples()) if e != FETCHES])
def test_an_example_runs(example, scene, tmp_path, monkeypatch):
    command = example.split()[0]
    if command in NEEDS:
        pytest.importorskip(NEEDS[command], reason=f"houndsight {command} needs an extra")
    here = tmp_path / "here"
    shutil.copytree(scene, here)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setenv("HOUNDSIGHT_CACHE", str(scene / "cache"))
    monkeypatch.setenv("HOUNDSIGHT_CONFIG", str(here / "config.toml"))
    # The copy's photos lie elsewhere: it knows them where they were.
    lite = "milvus-lite:dogs.db"  # there is no server here
    places = {
        "milvus://localhost:19530/dogs": lite,
        "/old/photos": f"{scene}/photos",
        "/new/photos": f"{here}/moved",
        "/data": "data",
    }
    words = [places.get(word, os.path.expanduser(word)) for word in shlex.split(example)]
    if command == "import":
        assert cli._run(["export", "-g", "my-gallery", "vectors.parquet"]) == cli.DONE
    if command == "tune":
        assert cli._run(["copy", "dogs", lite]) == cli.DONE
    words = [os.path.join(scene, word) if word.startswith("photos/") else word for word in words]
    if command not in ENDLESS:
        assert cli._run(words) == cli.DONE
        return
    opened = threading.Event()
    monkeypatch.setattr(click, "launch", lambda _: opened.set())
    words += ["--port", "0"] if command == "serve" else []

    def end():
        opened.wait(60 if command == "serve" else 3)
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGINT)

    ending = threading.Thread(target=end)
    ending.start()
    assert cli._run(words) == ENDLESS[command]
    ending.join()
    assert opened.is_set() == (command == "serve")


def test_what_the_readme_shows_runs(scene, tmp_path, monkeypatch):
    here = tmp_path / "here"
    shutil.copytree(scene, here)
    shutil.rmtree(here / "my-gallery")
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOUNDSIGHT_CACHE", str(scene / "cache"))
    monkeypatch.setenv("HOUNDSIGHT_CONFIG", str(here / "config.toml"))
    lines = [line for name, line in typed() if name == "README.md"]
    assert len(lines) > 3
    for line in lines:
        assert cli._run(shlex.split(line, comments=True)[1:]) == cli.DONE, line


def test_the_file_of_settings_that_is_shown_can_be_used(scene, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(scene)
    monkeypatch.setenv("HOUNDSIGHT_CACHE", str(scene / "cache"))
    (block,) = re.findall(
        r"^```toml\n(.*?)^```", read("docs/command-line.md"), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "config.toml").write_text(block)
    words = ["--config", str(tmp_path / "config.toml"), "search", "dog.jpg", "-g", "my-gallery"]
    assert cli._run([*words, "--label", "beagle"]) == cli.DONE  # it asks for Beagle and Collie
    capsys.readouterr()


# Commands in documents, whether they are run elsewhere or not


def typed():
    for path in sorted([HERE / "README.md", *(HERE / "docs").glob("*.md")]):
        name = os.fspath(path.relative_to(HERE))
        for block in CONSOLE.findall(read(name)):
            for line in block.replace("\\\n", " ").splitlines():
                if "houndsight " in line and line.startswith("$ "):
                    yield name, line.removeprefix("$ ")


def understood(line):
    """Let a command's parser read a line; returns the command."""
    words = shlex.split(line, comments=True)
    while "=" in words[0]:  # variables
        words.pop(0)
    command, rest = cli.app, words[words.index("houndsight") + 1 :]
    ends = [n for n, word in enumerate(rest) if word in {"|", ">", ">>", "&&", "<"}]
    rest = rest[: min(ends, default=len(rest))]
    while True:
        # A command keeps the help option that it was first asked for: as the program asks.
        context = click.Context(command, **cli.app.context_settings)
        # What a shell fills in later stands for one word.
        _, left, _ = command.make_parser(context).parse_args(list(rest))
        if not isinstance(command, click.Group):
            return command
        if not left:
            return command
        group, (name, *rest) = command, left
        command = group.commands[name]


@pytest.mark.parametrize(("document", "line"), list(typed()))
def test_a_command_in_a_document_is_one(document, line):
    assert understood(line) is not None


def for_services():
    """Yield what cron and systemd are told to start."""
    page = read("docs/command-line.md")
    yield re.search(r"^[\d* ]{9,}(houndsight .*)$", page, re.MULTILINE)[1]
    yield re.search(r"^ExecStart=\S*/(houndsight .*)$", page, re.MULTILINE)[1]
    for line in re.findall(r"^docker (?:.*\\\n)*.*$", read("docs/docker.md"), re.MULTILINE):
        started = re.search(r" houndsight (\w+ .*)$", line.replace("\\\n", " "))
        if started:
            yield f"houndsight {started[1]}"


def test_what_services_start_is_a_command():
    lines = list(for_services())
    assert len(lines) > 2
    for line in lines:
        assert understood(line) is not None


@pytest.mark.parametrize("line", ["houndsight serch x.jpg", "houndsight search --kk 3 x.jpg"])
def test_what_is_no_command_is_noticed(line):
    with pytest.raises((KeyError, click.NoSuchOption)):
        understood(line)
