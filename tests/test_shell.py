"""What the shell gets: completion, manual pages; and what of the image can be tried here."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from houndsight import cli
from houndsight.cli.manual import pages
from test_project import commands, read

HERE = Path(__file__).resolve().parents[1]


def said(capsys, *arguments, code=0):
    assert cli._run(list(arguments)) == code
    return capsys.readouterr()


def completed(*words):
    """What bash is offered for the last word."""
    line = ["houndsight", *words]
    variables = {"COMP_WORDS": " ".join(line), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-m", "houndsight"],
        env={**os.environ, **variables, "_HOUNDSIGHT_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [tuple(one.split(",", 1)) for one in done.stdout.splitlines()]


def test_what_is_completed(tmp_path, monkeypatch):
    (tmp_path / "broken.toml").write_text("no TOML")
    monkeypatch.setenv("HOUNDSIGHT_CONFIG", str(tmp_path / "broken.toml"))  # is not looked at
    assert completed("se") == [("plain", "search"), ("plain", "serve")]
    assert completed("gallery", "m") == [("plain", "merge")]
    assert ("plain", "--max-distance") in completed("search", "--m")
    assert completed("search", "--combine", "m") == [
        ("plain", way) for way in ("mean", "min", "max")
    ]
    assert completed("search", "-g", "x") == [("dir", "x")]
    assert completed("search", "x") == [("file", "x")]
    assert completed("index", "x") == [("dir", "x")]
    assert ("plain", "--quiet") not in completed("search", "--q")  # taken, but listed once


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_understands_it(shell, capsys, tmp_path):
    script = said(capsys, "completion", shell).out
    assert f"_HOUNDSIGHT_COMPLETE={shell}_complete" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "script").write_text(script)
    subprocess.run([shell, "-n", tmp_path / "script"], check=True)
    if shell == "zsh":  # as from a ~/.zshrc with nothing else in it
        ask = f"HOME={tmp_path}; source {tmp_path}/script && echo $_comps[houndsight]"
        done = subprocess.run(["zsh", "-f", "-c", ask], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("_houndsight_completion\n", "")
    if shell == "bash":
        # The whole way: bash asks houndsight, here a function, and offers what it says.
        ask = f"""source {tmp_path}/script
        houndsight() {{ {sys.executable} -m houndsight "$@"; }}
        export -f houndsight
        printf '#!/bin/bash\\nexec {sys.executable} -m houndsight "$@"\\n' > {tmp_path}/houndsight
        chmod +x {tmp_path}/houndsight
        COMP_WORDS=(houndsight outl) COMP_CWORD=1
        _houndsight_completion {tmp_path}/houndsight
        echo "${{COMPREPLY[@]}}" """
        done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
        assert done.stdout == "outliers\n"


def test_zsh_is_told_first_what_it_is_for_and_then_to_complete_at_all(capsys):
    first, _, compinit, *rest = said(capsys, "completion", "zsh").out.splitlines()
    assert first == "#compdef houndsight"
    assert "compinit" in compinit
    assert "    compdef _houndsight_completion houndsight" in rest


def test_an_unknown_shell(capsys):
    assert "'bash', 'zsh', 'fish'" in said(capsys, "completion", "tcsh", code=2).err


def test_every_command_has_a_manual_page(capsys, tmp_path):
    out = said(capsys, "manual", str(tmp_path / "new" / "man1")).out
    names = {"houndsight", *(f"houndsight-{name.replace(' ', '-')}" for name in commands())}
    assert {path.stem for path in (tmp_path / "new" / "man1").glob("*.1")} == names
    assert out == f"{len(names)} pages in {tmp_path}/new/man1\n"
    assert "cannot be written" in said(capsys, "manual", "/proc/none", code=1).err


@pytest.mark.parametrize("name", [name for name, _ in pages(cli.app)])
def test_a_manual_page_says_what_help_says(name, capsys, tmp_path):
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    page = dict(pages(cli.app))[name]
    (tmp_path / "page.1").write_text(page, encoding="utf-8")
    command = ["groff", "-man", "-Tutf8", "-ww", "-k", "-P-cbou", tmp_path / "page.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    shown = words(done.stdout)
    full = said(capsys, *name.split("-")[1:], "--help").out
    options = re.search(r"\nOptions:\n(.*?)(\n\n|\Z)", full, re.DOTALL)
    for flag in re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", options[1]):
        assert re.search(rf"{re.escape(flag.replace('-', chr(92) + '-'))}(?![\w\\])", page), flag
    about = re.search(r"\n\n  (.*?)\n\n", full, re.DOTALL)
    assert words(about[1]) in shown


def words(text):
    """Text without spaces and hyphens: lines are broken elsewhere."""
    return re.sub(r"[\s\u2010-]+", "", text)


# The image, which cannot be built here


def test_the_image_is_made_of_what_is_there():
    dockerfile, ignored = read("Dockerfile"), read(".dockerignore")
    sources = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    for name in " ".join(sources).split():
        assert (HERE / name).exists(), name
        assert f"!{name}\n" in ignored, name
    needed = read("pyproject.toml")
    for name in ("README.md", "LICENSE"):
        assert name in needed
        assert name in " ".join(sources)


def test_its_default_command_and_its_question_are_houndsights(capsys):
    dockerfile = read("Dockerfile")
    (arguments,) = re.findall(r"^CMD (\[.+\])$", dockerfile, re.MULTILINE)
    command, *flags = __import__("json").loads(arguments)
    known = {flag for option in cli.app.commands[command].params for flag in option.opts}
    assert {flag for flag in flags if flag.startswith("--")} <= known
    (question,) = re.findall(r"urlopen\(\'http://127.0.0.1:8000(/\S+)\'", dockerfile)
    assert question in __import__("houndsight.web.guard").web.guard.OPEN
    lock = read("requirements.lock")
    for package in ("uvicorn", "hatchling", "onnxruntime"):
        assert re.search(rf"^{package}==", lock, re.MULTILINE)
    assert re.search(r"^USER (?!root)", dockerfile, re.MULTILINE)
