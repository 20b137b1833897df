"""The documents: what they show runs, what the site makes of the code is whole and asks no one."""

import json
import os
import re
import shlex
import sys
import tomllib
from pathlib import Path

import click
import pytest

import houndsight
from houndsight import cli
from test_project import HERE, commands, read

SITE = HERE / "docs" / "site"
if not SITE.is_dir():
    pytest.skip("docs/site is not there: this is no full checkout", allow_module_level=True)
sys.path.insert(0, str(SITE))

import notebook  # noqa: E402 -- found by the line above
import offline  # noqa: E402
import reference  # noqa: E402

NUMBER = r"\d+(?:[.,:]\d+)*"
RUN = re.compile(r"^<!-- runs -->\n```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


# The commands


def tree(command=cli.app, *above):
    yield above, command
    for name, lower in sorted(getattr(command, "commands", {}).items()):
        yield from tree(lower, *above, name)


@pytest.fixture(scope="module")
def sections():
    """What the page says of each command."""
    parts = re.split(r"^## houndsight ?(.*)\n", reference.commands(), flags=re.MULTILINE)
    assert parts[0] == ""
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_of_commands_has_each_once(sections):
    assert sorted(sections) == sorted(["", *commands()])


@pytest.mark.parametrize(("path", "command"), list(tree()), ids=lambda value: str(value))
def test_the_page_of_commands_has_every_flag(path, command, sections):
    by_hand = read("docs/commands.md")
    for option in command.params:
        for flag in [*option.opts, *option.secondary_opts]:
            if isinstance(option, click.Option):
                text = by_hand if option.hidden else sections[" ".join(path)]
                assert re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text), flag
            else:
                name = option.make_metavar(click.Context(command))
                assert name in sections[" ".join(path)]


@pytest.mark.parametrize("name", list(commands()))
def test_every_command_has_an_example_line(name, sections):
    if name == "gallery":
        names = "list|merge|split"  # its examples are those of what is below it
        assert re.search(rf"Example: houndsight gallery ({names})\b", sections[name])
    else:
        assert re.search(rf"\bExample: houndsight {name}\b", sections[name])


# The names


def test_the_page_of_names_has_each_once():
    found = re.findall(r"^\.\. auto\w+:: houndsight\.(\w+)$", reference.names(), re.MULTILINE)
    assert sorted(found) == houndsight.__all__


def test_the_pages_have_a_place_for_what_is_made():
    assert read("docs/commands.md").count("\n<!-- the commands -->\n") == 1
    assert read("docs/api.md").count("\n<!-- the names -->\n") == 1


# What is shown is run

FENCE = re.compile(r"(<!-- runs -->\n)?^ *```([\w{}]*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
# Blocks that other tests run: by document and the words they begin with, the test.
RUN_BY = {
    ("README.md", "./run test"): ".ci/run",
    ("README.md", "$ houndsight index photos"): "test_what_the_readme_shows_runs",
    ("README.md", "from houndsight import"): "test_the_code_in_the_documents_runs",
    ("CONTRIBUTING.md", "./run test"): ".ci/run",
    ("CONTRIBUTING.md", "./run docs"): ".ci/run",
    ("docs/bring-your-own-network.md", "$ houndsight"): "test_a_network_of_ones_own",
    ("docs/bring-your-own-network.md", "{"): "test_the_description_that_is_shown",
    ("docs/command-line.md", "gallery ="): "test_the_file_of_settings_that_is_shown_can_be_used",
    ("docs/command-line.md", "houndsight completion"): "test_completion_and_manual_pages",
    (
        "docs/correcting.md",
        "$ houndsight duplicates",
    ): "test_copies_are_taken_out_as_the_guide_says",
    ("docs/page.md", "$ curl"): "test_the_page_and_its_api",
    ("docs/page.md", "$ pip install"): "test_the_page_and_its_api",
    ("docs/page.md", '{"error"'): "test_the_page_and_its_api",
    ("docs/preprocessing.md", "{"): "test_the_fingerprint_that_is_shown",
    ("docs/tutorial.md", "$ houndsight index ~/photos"): "test_the_last_step_of_the_tutorial",
}
# Blocks that no test runs, and why; commands of houndsight in them are read by the parser.
WHY_NOT = {
    ("README.md", "./run demo"): "it makes an environment from the network; houndsight demo runs",
    (
        "README.md",
        "houndsight index /nas/photos",
    ): "it needs servers: test_cluster.py, test_milvus.py",
    ("CONTRIBUTING.md", "lock="): "it asks for all newest versions, and changes the locks",
    ("CONTRIBUTING.md", ".venv/bin/python tests/mutation"): "it takes half an hour",
    ("docs/bring-your-own-network.md", "from pathlib"): "it needs PyTorch, transformers, weights",
    ("docs/command-line.md", "$ pip install"): "it needs a bucket; test_remote.py has others",
    ("docs/command-line.md", "[Service]"): "it needs systemd",
    ("docs/command-line.md", "15 3 * * *"): "it needs cron",
    ("docs/docker.md", "docker"): "it needs a daemon of Docker and the network",
    ("docs/milvus.md", "pip install"): "it installs from the network",
    (
        "docs/more-than-one-machine.md",
        "$ pip install",
    ): "it needs a cluster: test_cluster.py",
    ("docs/more-than-one-machine.md", "cd deploy"): "it needs Docker: test_deploy.py",
    ("docs/more-than-one-machine.md", "docker"): "it needs Docker: test_deploy.py",
    ("docs/more-than-one-machine.md", "kubectl"): "it needs Kubernetes: test_deploy.py",
    (
        "docs/page.md",
        "$ export HOUNDSIGHT_TOKEN",
    ): "it needs a name for the host: test_guard.py",
}


def blocks():
    """Yield document, whether it is marked, language and text of every block that is shown."""
    names = ["README.md", "CONTRIBUTING.md", "SECURITY.md"]
    names += [path.relative_to(HERE).as_posix() for path in (HERE / "docs").rglob("*.md")]
    for name in names:
        for marked, kind, body in FENCE.findall(read(name)):
            if kind != "{toctree}":
                yield name, bool(marked), kind, body.strip()


def test_every_block_is_run_or_it_is_said_why_not():
    """Marked ones and Python are held to be run by `test_what_is_marked_is_played_on_some_page`."""
    unused = {*RUN_BY, *WHY_NOT}
    for name, marked, kind, body in blocks():
        python = kind == "python" and name in {"docs/library.md", "docs/exporting.md"}
        if marked or python:
            continue
        found = [key for key in (*RUN_BY, *WHY_NOT) if key[0] == name and body.startswith(key[1])]
        assert len(found) == 1, (name, body[:60])
        unused -= {found[0]}
    assert unused == set()


def test_tests_that_are_said_to_run_blocks_are_there():
    tests = "".join(path.read_text("utf-8") for path in (HERE / "tests").glob("test_*.py"))
    for name in {*RUN_BY.values()} - {".ci/run"}:
        assert f"\ndef {name}(" in tests, name


def plain(text):
    """Text without its numbers (nor times, nor ids) and with single blanks."""
    return " ".join(re.sub(NUMBER, "0", text).split())


def typed(block):
    """Split a block into commands, each with the lines that it is said to write."""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            program, *arguments = shlex.split(line[2:], comments=True)
            assert program == "houndsight", line
            found.append((arguments, []))
        else:
            found[-1][1].append(line)
    return found


def play(page, capsys):
    """Run the blocks of a page that are marked, in the working folder."""
    blocks = RUN.findall(page)
    assert blocks
    for arguments, said in (one for block in blocks for one in typed(block)):
        assert cli._run(arguments) == cli.DONE, arguments
        written = capsys.readouterr().out
        lines = {plain(line) for line in written.splitlines()}
        for line in said:
            assert plain(line) in lines, (line, written)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The folder that the tutorial leaves behind: drawn, indexed, and learned from once."""
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HOUNDSIGHT_CACHE", str(folder / "cache"))
        patch.setenv("HOUNDSIGHT_CONFIG", os.devnull)
        yield folder


@pytest.mark.parametrize("name", ["tutorial", "correcting", "learning"])
def test_the_commands_on_a_page_run(name, drawn, monkeypatch, capsys):
    monkeypatch.chdir(drawn)
    if name != "tutorial" and not (drawn / "my-gallery").exists():
        pytest.skip("needs the tutorial's gallery: run the whole file")
    play(read(f"docs/{name}.md"), capsys)


def test_the_commands_of_the_page_on_milvus_run(drawn, monkeypatch, capsys):
    for module in ("pymilvus", "milvus_lite"):
        pytest.importorskip(module)
    if not (drawn / "my-gallery").exists():
        pytest.skip("needs the tutorial's gallery: run the whole file")
    monkeypatch.chdir(drawn)
    play(read("docs/milvus.md"), capsys)


def test_the_code_and_the_commands_of_exporting_run(drawn, monkeypatch, capsys):
    for module in ("faiss", "pyarrow", "scipy", "sklearn"):
        pytest.importorskip(module)
    if not (drawn / "my-gallery").exists():
        pytest.skip("needs the tutorial's gallery: run the whole file")
    monkeypatch.chdir(drawn)
    page, scope = read("docs/exporting.md"), {}
    parts = re.split(r"(?=^<!-- runs -->\n|^```python\n)", page, flags=re.MULTILINE)
    assert len(parts) > 8
    for part in parts[1:]:
        if part.startswith("```python"):
            (block,) = PYTHON.findall(part)
            exec(compile(block, "docs/exporting.md", "exec"), scope)
        else:
            play(part, capsys)
    back = houndsight.Gallery("from-matlab")
    with back:
        assert back.labels() == houndsight.Gallery("my-gallery").labels()


def test_what_is_marked_is_played_on_some_page():
    marked = {path.name for path in (HERE / "docs").glob("*.md") if RUN.search(path.read_text())}
    assert marked == {"tutorial.md", "correcting.md", "learning.md", "exporting.md", "milvus.md"}
    with_code = {
        path.name for path in (HERE / "docs").glob("*.md") if PYTHON.search(path.read_text())
    }
    # test_project.py runs those of library.md. What brings networks needs PyTorch and the network.
    assert with_code == {"library.md", "exporting.md", "bring-your-own-network.md"}
    for block in PYTHON.findall(read("docs/bring-your-own-network.md")):
        compile(block, "docs/bring-your-own-network.md", "exec")


@pytest.mark.parametrize(
    ("block", "says"),
    [("$ rm -r /\n", "rm"), ("$ houndsight info -g nowhere\n", "info")],
)
def test_a_block_that_does_not_run_fails(block, says, capsys):
    with pytest.raises(AssertionError, match=says):
        play(f"<!-- runs -->\n```console\n{block}```\n", capsys)


def test_a_line_that_is_not_written_fails(capsys):
    page = "<!-- runs -->\n```console\n$ houndsight --version\nhoundsight, {}\n```\n"
    play(page.format("version 7.1.0"), capsys)  # another number is let pass
    with pytest.raises(AssertionError, match="edition"):
        play(page.format("edition 7.1.0"), capsys)


# The notebook


def texts(outputs):
    return ["".join(one.get("text") or one.get("data", {}).get("text/plain")) for one in outputs]


def test_the_notebook_shows_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = notebook.loaded(read("docs/from-matlab.ipynb"))
    now = notebook.run(kept)
    before = [cell["outputs"] for cell in kept["cells"] if cell["cell_type"] == "code"]
    assert len(now) == len(before) > 5
    for old, new in zip(before, now, strict=True):
        for one, other in zip(texts(old), texts(new), strict=True):
            assert re.sub(NUMBER, "0", one) == re.sub(NUMBER, "0", other)
            # On another CPU the last digits may be others.
            numbers = [[float(n) for n in re.findall(r"\d+(?:\.\d+)?", t)] for t in (one, other)]
            assert numbers[0] == pytest.approx(numbers[1], rel=0.02)
    pictures = [
        png for outputs in now for one in outputs if (png := "image/png" in one.get("data", {}))
    ]
    assert len(pictures) == 1


def test_a_notebook_as_a_document():
    cells = [
        {"cell_type": "markdown", "source": ["# Head\n", "text"]},
        {"cell_type": "code", "source": ["print(1)\n", "1 + 1"], "outputs": []},
        {"cell_type": "code", "source": ["None"], "outputs": []},
    ]
    one = {"nbformat": 4, "cells": cells}
    shown = notebook.run(one)
    assert [texts(outputs) for outputs in shown] == [["1\n", "2"], []]
    cells[1]["outputs"] = shown[0]
    assert notebook.document(one) == (
        "# Head\ntext\n\n```python\nprint(1)\n1 + 1\n```\n\n```text\n1\n```\n\n```text\n2\n```\n\n"
        "```python\nNone\n```\n"
    )
    with pytest.raises(ValueError, match="nbformat"):
        notebook.loaded(json.dumps({"nbformat": 3}))


# The site


@pytest.mark.parametrize(
    ("page", "asks"),
    [
        ('<script async src="https://x.example/a.js">', ["https://x.example/a.js"]),
        ('<link rel="stylesheet" href="//x.example/a.css">', ["//x.example/a.css"]),
        ('<link href="https://x.example/f" rel="preconnect">', ["https://x.example/f"]),
        ("<img alt='' src='http://x.example/a.png'>", ["http://x.example/a.png"]),
        ("<style>@import url(https://x.example/a);</style>", ["https://x.example/a"]),
        (
            '<a href="https://x.example">x</a><img src="a.png"><img src="data:a/b;base64,//">',
            [],
        ),
        ('<link rel="canonical" href="https://x.example">', []),
    ],
)
def test_what_a_page_would_ask_of_other_hosts(page, asks, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "page.html").write_text(page)
    assert offline.requests(tmp_path) == [f"deep/page.html: {one}" for one in asks]


def test_what_a_style_would_ask_of_other_hosts(tmp_path):
    (tmp_path / "a.css").write_text("a { src: url('https://x.example/font') } b { src: url(f) }")
    assert offline.requests(tmp_path) == ["a.css: https://x.example/font"]


def test_every_page_is_in_a_table_of_contents():
    index = read("docs/index.md")
    listed = set(
        re.findall(
            r"^(/?[\w/-]+)$",
            "".join(re.findall(r"```\{toctree\}.*?```", index, re.DOTALL)),
            re.MULTILINE,
        )
    )
    pages = {
        path.stem for path in Path(HERE / "docs").iterdir() if path.suffix in {".md", ".ipynb"}
    }
    assert listed == (pages - {"index"}) | {
        *("/README", "/CONTRIBUTING", "/SECURITY", "/CHANGELOG", "adr/README")
    }
    linked = set(re.findall(r"\]\((?!\.\.)([\w-]+)\.(?:md|ipynb)\)", index))
    assert linked == pages - {"index"}


def test_every_extra_is_in_the_table_with_what_it_weighs():
    told = re.findall(r"^\| `(\w+)` \|.*\| \d+ \|$", read("docs/command-line.md"), re.MULTILINE)
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    assert sorted(told) == sorted(extras)
