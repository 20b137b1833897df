"""A file of settings: what it gives commands, what goes before it, and what is wrong with it."""

import os
import subprocess
import sys

import click
import pytest

from fakes import fake_embedder
from houndsight import cli, index


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file of settings, and let it be the one that is read."""

    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("HOUNDSIGHT_CONFIG", str(path))
        return path

    return write


@pytest.fixture
def given(monkeypatch):
    """Return what a command is called with, without doing it."""

    def given(*arguments):
        command = cli.app.commands[next(one for one in arguments if one in cli.app.commands)]
        seen = {}
        monkeypatch.setattr(command, "callback", lambda **values: seen.update(values))
        assert cli._run(list(arguments)) == cli.DONE
        return seen

    return given


def failed(capsys, *arguments):
    assert cli._run(list(arguments)) == cli.FAILED
    return capsys.readouterr().err


def test_the_top_is_for_all_commands_and_a_table_for_one(write, given):
    write('gallery = "dogs"\nk = 30\n[search]\nk = 7\nlabel = ["pug", "collie"]\njson = true\n')
    search = given("search", "a.jpg")
    assert (search["gallery"], search["k"], search["as_json"]) == ("dogs", 7, True)
    assert list(search["wanted"]) == ["pug", "collie"]
    classify = given("classify", "a.jpg")
    assert (classify["gallery"], classify["k"], classify["as_json"]) == ("dogs", 30, False)


def test_the_command_line_goes_first_then_the_environment_then_the_file(write, given, monkeypatch):
    write('gallery = "file"\n[search]\nk = 7\nlabel = "pug"\n')
    assert list(given("search", "a.jpg")["wanted"]) == ["pug"]
    monkeypatch.setenv("HOUNDSIGHT_GALLERY", "environment")
    assert given("search", "a.jpg")["gallery"] == "environment"
    line = given("search", "a.jpg", "-g", "line", "-k", "2")
    assert (line["gallery"], line["k"]) == ("line", 2)


def test_where_the_file_is(write, given, tmp_path, monkeypatch):
    write("k = 1\n")
    other = tmp_path / "other.toml"
    other.write_text("k = 2\n")
    search = ("search", "a.jpg", "-g", "g")
    assert given(*search)["k"] == 1
    assert given("--config", str(other), *search)["k"] == 2
    assert given("--config", os.devnull, *search)["k"] == 20
    monkeypatch.delenv("HOUNDSIGHT_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert given(*search)["k"] == 20
    for number, folder in enumerate(("home/.config", "xdg"), start=3):
        (tmp_path / folder / "houndsight").mkdir(parents=True)
        (tmp_path / folder / "houndsight" / "config.toml").write_text(f"k = {number}\n")
    assert given(*search)["k"] == 4
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert given(*search)["k"] == 3


def test_a_tilde_is_the_home_folder(write, given, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    write('gallery = "~/dogs"\n[search]\nlabel = ["~/x", "a~/b"]\n')
    search = given("search", "a.jpg")
    assert (search["gallery"], list(search["wanted"])) == ("/home/me/dogs", ["/home/me/x", "a~/b"])


def test_a_command_below_another(write, given, monkeypatch):
    models = cli.app.commands["models"]
    seen = []
    monkeypatch.setattr(models, "callback", lambda **values: seen.append(values))
    monkeypatch.setattr(models.commands["fetch"], "callback", lambda **values: None)
    write("[models]\njson = true\n[models.fetch]\n")
    assert cli._run(["models", "fetch"]) == cli.DONE
    assert seen == [{"as_json": True}]


def test_every_flag_of_every_command_can_be_written(write, capsys):
    """Each flag with a value of its kind, as a file without a fault."""
    kinds = {"integer": 1, "float": 0.5}
    lines = []
    for name, command in sorted(cli.app.commands.items()):
        lines.append(f"[{name}]")
        for option in command.params:
            if not isinstance(option, click.Option) or option.hidden:
                continue
            key = max(option.opts, key=len).lstrip("-")
            value = kinds.get(option.type.name.removesuffix(" range"), '"x"')
            lines.append(f"{key} = {'true' if option.is_flag else value}")
    assert len(lines) > 80
    write("\n".join(lines))
    assert cli._run(["models", "--json"]) == cli.DONE
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("k = \n", "is no TOML: "),
        ("grid = dogs\n", "text in quotation marks"),
        ("galery = 'g'\n", "galery: no command has --galery. Like it: gallery"),
        ("max_distance = 1\n", "Like it: max-distance"),
        ("help = true\n", "help: no command has --help"),
        ("config = 'x'\n", "config: no command has --config"),
        ("zzz = 1\n", "See what houndsight COMMAND --help lists"),
        ("watch = 1\n", "watch: no command has --watch. Write it as a table, [watch]"),
        ("[serach]\nk = 1\n", "[serach]: there is no command serach. Like it: search"),
        ("[search]\nkk = 1\n", "[search] kk: houndsight search has no --kk"),
        ("[search]\nlable = 'x'\n", "houndsight search has no --lable. Like it: label"),
        ("[search]\nquery = {}\n", "houndsight search has no --query"),
        ("[models.fetch]\nname = 'x'\n", "[models.fetch] name: houndsight models.fetch has no"),
        ("[models]\nfetch = 1\n", "[models] fetch: houndsight models has no --fetch"),
        ("[search]\nk = '5'\n", "[search] k = '5': -k of houndsight search takes a whole number"),
        ("[search]\nk = 5.0\n", "takes a whole number. Mend it there"),
        ("[search]\nk = true\n", "takes a whole number"),
        ("[search]\nk = [1]\n", "takes a whole number"),
        ("[search]\nmax-distance = 'x'\n", "takes a number"),
        ("[search]\njson = 1\n", "[search] json = 1: --json of houndsight search takes true or"),
        ("[search]\nlabel = ['a', 1]\n", "takes text in quotation marks, or a list of such in"),
        ("gallery = 1979-05-27\n", "takes text in quotation marks. Write it in the table of the"),
        ("precision = 'int8'\n", "--precision of houndsight classify takes a number. Write it in"),
        ("[search]\nk = 0\n", "k, for houndsight search: 0 is not in the range x>=1. Mend it"),
        ("[search]\ncombine = 'x'\n", "combine, for houndsight search: 'x' is not one of"),
        ("[search]\ncrop = '1,2'\n", "crop, for houndsight search: '1,2' is no part of a photo"),
    ],
)
def test_what_is_wrong_is_said_with_file_key_and_remedy(write, capsys, text, says):
    path = write(text)
    said = failed(capsys, "search", "a.jpg", "-g", "g")
    assert said.startswith(f"houndsight: error: {path}: ")
    assert says in said
    assert said.count("\n") == 1


def test_a_file_that_cannot_be_read(tmp_path, capsys, monkeypatch):
    search = ("search", "a.jpg", "-g", "g")
    absent = str(tmp_path / "absent.toml")
    said = failed(capsys, "--config", absent, *search)
    assert f"{absent}: there is no such file. Mend --config or HOUNDSIGHT_CONFIG" in said
    assert "cannot be read: Is a directory" in failed(capsys, "--config", str(tmp_path), *search)
    (tmp_path / "latin.toml").write_bytes(b"gallery = '\xe9'\n")
    monkeypatch.setenv("HOUNDSIGHT_CONFIG", str(tmp_path / "latin.toml"))
    assert "is no TOML" in failed(capsys, *search)


def test_what_the_command_line_has_wrong_is_not_blamed_on_the_file(write, capsys):
    write("[search]\nk = 5\n")
    assert cli._run(["search", "a.jpg", "-g", "g", "-k", "0"]) == cli.USAGE
    assert "mine.toml" not in capsys.readouterr().err


def test_help_and_version_do_not_read_it(write, capsys):
    write("this is no TOML")
    for flag in ("--help", "--version"):
        assert cli._run([flag]) == cli.DONE
    assert capsys.readouterr().err == ""
    # coverage, in the process before houndsight, reads TOML as well.
    code = "import sys; sys.modules.pop('tomllib', None)\n"
    code += "from houndsight.cli import app; app(['--help'], standalone_mode=False)"
    tell = f"{code}\nprint('tomllib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_a_whole_run(photos, tmp_path, write):
    index(photos, tmp_path / "g", embedder=fake_embedder())
    write(f'gallery = "{tmp_path}/g"\n')
    done = subprocess.run(
        [sys.executable, "-m", "houndsight", "info"], capture_output=True, text=True, check=True
    )
    assert "12" in done.stdout


def test_the_usual_gallery_is_not_taken_for_a_new_one(write, capsys):
    """`gallery merge -g NEW` makes a gallery: it has to be named each time."""
    write('gallery = "dogs"\n')
    assert cli._run(["gallery", "merge", "a", "b"]) == cli.USAGE
    assert "Missing option '-g' / '--new'" in capsys.readouterr().err
