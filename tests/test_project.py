"""What the package exports, and that the documents say what is so."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

import houndsight
from houndsight.cli import CODES, app

HERE = Path(__file__).resolve().parents[1]
PACKAGE = Path(houndsight.__file__).parent
HEAVY = {"PIL", "jinja2", "numpy", "onnx", "onnxruntime", "pooch", "rich", "safetensors"}
DOCUMENTS = sorted(
    path.relative_to(HERE).as_posix()
    for path in HERE.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(HERE).parts[:-1])
    and path.relative_to(HERE).parts[0] not in {"build", "dist", "houndsight-demo"}
)


def read(name):
    path = HERE / name
    if not path.exists():
        pytest.skip(f"{name} is not there: this is no full checkout")
    return path.read_text(encoding="utf-8")


# What is exported


def declared():
    """Names, and the modules they come from, that type checkers see."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    return {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }


def test_all_is_what_type_checkers_see():
    assert houndsight.__all__ == sorted(declared())


@pytest.mark.parametrize("name", houndsight.__all__)
def test_every_name_is_that_of_its_module(name):
    module = import_module(declared()[name])
    assert name in module.__all__
    assert getattr(houndsight, name) is getattr(module, name)
    assert name in dir(houndsight)


def test_no_name_is_hidden_by_a_submodule():
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not modules & set(houndsight.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'cat'"):
        _ = houndsight.cat


@pytest.mark.parametrize(
    "code",
    ["import houndsight", "from houndsight.cli import app; app(['--help'], standalone_mode=False)"],
    ids=["import", "help"],
)
def test_the_start_loads_nothing_heavy(code):
    tell = "import json, sys; print(); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{tell}"], capture_output=True, text=True, check=True
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "houndsight" in loaded
    assert not HEAVY & set(loaded)


# Commands


def commands(group=app, *above):
    for name, command in sorted(group.commands.items()):
        yield " ".join([*above, name])
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)


@pytest.mark.parametrize("name", list(commands()))
def test_every_command_is_in_the_readme(name):
    # Only code counts: prose may use the word for something else.
    text = read("README.md")
    code = "\n".join(re.findall(r"`[^`\n]+`|^```.*?^```", text, re.MULTILINE | re.DOTALL))
    assert re.search(rf"\bhoundsight {name}\b", code)


@pytest.mark.parametrize("name", sorted(app.commands))
def test_every_command_has_an_example_in_its_help(name):
    command = app.commands[name]
    # A command keeps the help option that it was first asked for: as the program asks.
    text = command.get_help(click.Context(command, info_name=name, **app.context_settings))
    assert re.search(rf"\bExample: houndsight {name}\b", text)
    assert command.get_short_help_str()


def test_the_readme_lists_the_exit_codes():
    _, _, section = read("README.md").partition("\n## Exit codes\n")
    section, _, _ = section.partition("\n## ")
    rows = re.findall(r"^\| (\d+) \| (.+?) \|$", section, re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == CODES
    assert len(rows) == len(CODES)


# Documents


def test_the_newest_version_in_the_changelog_is_the_project_s():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    newest = re.search(r"^## \[(\d[^]]*)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert newest
    assert newest[1] == project["version"]


def prose(text):
    """A document without its code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text):
    """What the headings of a document are linked by."""
    heads = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_relative_link_leads_somewhere(name):
    page = HERE / name
    for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", prose(read(name))):
        if re.match(r"[a-z][a-z+.-]*:", link):
            continue
        file, _, anchor = unquote(link).partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert target.resolve().is_relative_to(HERE), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_every_decision_is_in_the_index():
    index = read("docs/adr/README.md")
    records = sorted(path.name for path in (HERE / "docs/adr").glob("[0-9]*.md"))
    assert re.findall(r"\]\((\d{4}-[^)]+)\)", index) == records
    assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))


@pytest.mark.parametrize("name", ["docs/library.md", "README.md"])
def test_the_code_in_the_documents_runs(name, photos, tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", read(name), re.MULTILINE | re.DOTALL)
    assert blocks
    shutil.copy(photos / "beagle" / "beagle-1.jpg", tmp_path / "dog.jpg")
    monkeypatch.chdir(tmp_path)
    if name == "README.md":
        # There the default model is used, which would be fetched: a gallery that is there already
        # keeps its own.
        built_in = houndsight.Embedder.load("efficientnet-lite0")
        houndsight.Gallery.create("my-gallery", built_in).close()
    scope = {}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"{name}, block {number}", "exec"), scope)
