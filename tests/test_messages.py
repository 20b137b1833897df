"""What a new user does wrongly with each command: the message names the cause and the remedy.

Mistakes and messages are in golden/messages.txt, which its first lines explain. To renew the
messages, run this file with HOUNDSIGHT_RENEW=1, and read what git diff shows as a newcomer would.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import stat
import sys
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pytest

from fakes import write_photo
from houndsight import cli, embedder
from houndsight.errors import counted
from networks import save

GOLDEN = Path(__file__).parent / "golden" / "messages.txt"
RENEW = "HOUNDSIGHT_RENEW"
LEAST = 5
LOCKED = "locked"  # a gallery that nobody but root can change: it need not be restored
LITE = ("--model", "efficientnet-lite0")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One entry of the file.

    `command` is the heading it stands under, `said` what has to be written, ``[code]`` last.
    """

    command: str
    without: tuple[str, ...]
    root: bool
    typed: str
    said: str


def mistakes():
    """Read the file: its entries in order."""
    found, command = [], ""
    for block in re.split(r"\n(?=# |== )", GOLDEN.read_text(encoding="utf-8"))[1:]:
        if block.startswith("== "):
            command = block.strip().removeprefix("== ")
            continue
        about, typed, *said = block.strip().split("\n", 2)
        without = re.search(r"\(without (.+)\)", about)
        names = tuple(without[1].split(", ")) if without else ()
        root = "(not as root)" not in about
        found.append(Mistake(command, names, root, typed.removeprefix("$ "), "".join(said)))
    return found


# The folder in which everything is tried


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A working folder as a new user may have it, and a copy to restore it from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOUNDSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HOUNDSIGHT_CONFIG", os.devnull)
        patch.setenv("HOUNDSIGHT_OFFLINE", "1")
        patch.setenv("COLUMNS", "80")
        for name in ("HOUNDSIGHT_GALLERY", "HOUNDSIGHT_TOKEN", "XDG_CONFIG_HOME"):
            patch.delenv(name, raising=False)
        # Networks are loaded once, not for each entry.
        patch.setattr(embedder, "open_network", _once(embedder.open_network))
        folder = tmp_path_factory.mktemp("scene")
        here, kept = folder / "here", folder / "kept"
        here.mkdir()
        patch.chdir(here)
        _furnish(here)
        shutil.copytree(here, kept)
        shutil.copytree("my-gallery", LOCKED)
        _chmod(here / LOCKED, 0o555, 0o444)
        yield here, kept
        _chmod(here / LOCKED, 0o755, 0o644)


def _once(open_network):
    opened = {}

    def load(identity, graph):
        if identity not in opened:
            opened[identity] = open_network(identity, graph)
        return opened[identity]

    return load


def _chmod(top, folders, files):
    for path in (top, *top.rglob("*")):
        path.chmod(folders if path.is_dir() else files)


def _furnish(here):
    for row, label in enumerate(("beagle", "collie", "pug")):
        for column in range(4):
            write_photo(here / "dogs" / label / f"{label}-{column}.jpg", 10 * row + column)
    write_photo(here / "holiday" / "sea.jpg", 50)
    write_photo(here / "holiday" / "hill.jpg", 51)
    write_photo(here / "one" / "pug" / "pug.jpg", 60)
    (here / "notes.txt").write_text("beagle: the brown one\n")
    (here / "notes.jpg").write_text("beagle: the brown one\n")
    (here / "phone").mkdir()
    for path in ("sea.heic", "phone/hill.heic"):
        (here / path).write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (here / "sea.raf").write_bytes(b"FUJIFILMCCD-RAW " + bytes(100))
    (here / "empty.jpg").touch()
    (here / "empty").mkdir()
    (here / "full").mkdir()
    (here / "full" / "letter.txt").write_text("Dear Sir\n")
    (here / "bad.csv").write_text("file;breed\nbeagle-0.jpg;beagle\n")
    (here / "labels.csv").write_text("path,label\nbeagle/beagle-0.jpg,beagle\n")
    (here / "breeds.txt").write_text("beagle\nbeagel\n")
    (here / "bad.toml").write_text("k = many\n")
    (here / "typo.toml").write_text("[search]\nkk = 30\n")
    (here / "vectors.parquet").touch()
    with zipfile.ZipFile(here / "other.npz", "w"):
        pass
    rng = np.random.default_rng(0)
    np.savez(here / "plain.npz", data=rng.normal(size=(4, 8)).astype(np.float32))
    names = [f"dogs/pug/pug-{n}.jpg" for n in range(4)]
    vectors = rng.normal(size=(4, 8)).astype(np.float32)
    np.savez(here / "foreign.npz", vectors=vectors, paths=np.array(names))
    np.savez(here / "short.npz", vectors=vectors, paths=np.array(names[:3]))
    save(here / "net.onnx")
    for photos, gallery, *more in (
        ("dogs", "my-gallery"),
        ("dogs", "raw-gallery", "--raw"),
        ("dogs", "unlabelled", "--labels", "none"),
        ("one", "single"),
    ):
        assert cli._run(["index", photos, "-g", gallery, *LITE, *more]) == cli.DONE
    assert cli._run(["import", "foreign.npz", "-g", "foreign", "--name", "CLIP"]) == cli.DONE
    shutil.copytree("my-gallery", "damaged")
    with open("damaged/vectors-1.bin", "r+b") as file:
        file.write(b"scratched")


def _files(folder):
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != LOCKED]
        for name in folders + names:
            path = os.path.join(place, name)
            found = os.lstat(path)
            plain = stat.S_ISREG(found.st_mode)
            yield os.path.relpath(path, folder), plain and (found.st_size, found.st_mtime_ns)


@pytest.fixture
def here(scene):
    """The working folder, as it was before the first entry."""
    folder, kept = scene
    if set(_files(folder)) != set(_files(kept)):
        for path in folder.iterdir():
            if path.name != LOCKED:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(kept, folder, dirs_exist_ok=True)
    return folder


# The entries


def _run(mistake, here, monkeypatch, capsys):
    """Do what was typed; return what was said as the file has it."""
    words = shlex.split(mistake.typed)
    while words[0] != "houndsight":
        name, value = words.pop(0).split("=", 1)
        monkeypatch.setenv(name, value)
    for name in mistake.without:
        for loaded in [one for one in sys.modules if one.startswith("houndsight.web.")]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setitem(sys.modules, name, None)
    capsys.readouterr()
    with _no_longer_than(20):
        code = cli._run(words[1:])
    out, err = capsys.readouterr()
    said = err.strip("\n") or out.strip("\n")
    for place, name in ((here, "<here>"), (os.environ["HOUNDSIGHT_CACHE"], "<cache>")):
        said = said.replace(os.fspath(place), name)
    said = re.sub(r"(?<=--token )[\w-]{20,}", "<token>", said)
    said = "\n".join(line.rstrip() for line in said.splitlines())
    return f"{said}\n[{code}]"


@contextlib.contextmanager
def _no_longer_than(seconds):
    """Fail where a mistake was not noticed, and a server runs or a folder is watched."""

    def fail(*_):
        raise AssertionError("it goes on, as if nothing was wrong")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def renewed():
    """What was said, by entry; takes its place in the file at the end, if that is wanted."""
    said = {}
    yield said
    if RENEW not in os.environ:
        return
    text = GOLDEN.read_text(encoding="utf-8")
    for mistake, new in said.items():
        was, now = (f"\n$ {mistake.typed}\n{one}".rstrip() for one in (mistake.said, new))
        assert text.count(f"{was}\n") == 1, mistake.typed
        text = text.replace(f"{was}\n", f"{now}\n")
    GOLDEN.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("mistake", mistakes(), ids=lambda one: one.typed)
def test_what_is_said_to_it(mistake, here, renewed, monkeypatch, capsys):
    if not mistake.root and os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    said = renewed[mistake] = _run(mistake, here, monkeypatch, capsys)
    assert RENEW in os.environ or said == mistake.said


def test_every_command_has_enough_entries():
    entries = Counter(mistake.command for mistake in mistakes())
    lacking = [path for path in _commands(cli.app, "houndsight") if entries[path] < LEAST]
    assert lacking == []


def test_every_entry_stands_under_its_command():
    paths = {*_commands(cli.app, "houndsight")}
    for mistake in mistakes():
        assert mistake.command in paths
        words = [one for one in shlex.split(mistake.typed) if "=" not in one]
        own = mistake.command.split()
        assert mistake.command == "houndsight" or words[1 : 1 + len(own)] == own, mistake.typed
    assert len({mistake.typed for mistake in mistakes()}) == len(mistakes())


def _commands(command, path):
    """Yield every command's name as it is typed, that of groups too."""
    yield path
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _commands(inner, name if path == "houndsight" else f"{path} {name}")


def test_what_is_counted_in_words():
    told = [counted(n, noun) for n, noun in ((1, "query"), (0, "query"), (2000, "photo"))]
    assert told == ["1 query", "0 queries", "2,000 photos"]
