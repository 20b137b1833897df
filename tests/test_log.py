"""What is said beside results: to people, to machines, or not; colours and widths in pipes."""

import json
import os
import pty
import re
import select
import subprocess
import sys
from datetime import datetime

import pytest

from fakes import write_photo
from houndsight import cli
from houndsight.cli.log import LOG, Log
from test_watching import Watcher

LITE = ("--model", "efficientnet-lite0")


@pytest.fixture
def hs(tmp_path, monkeypatch, capsys):
    """Run houndsight here; returns what it wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOUNDSIGHT_OFFLINE", "1")

    def run(*arguments, code=0):
        done = cli._run([str(one) for one in arguments])
        said = capsys.readouterr()
        assert done == code, said
        return said

    return run


@pytest.fixture
def broken(photos):
    (photos / "broken.jpg").write_text("no photo")
    return photos


def lines(text):
    """JSON lines, each with its time taken off, once that was looked at."""
    found = [json.loads(line) for line in text.splitlines()]
    for one in found:
        assert abs((datetime.now().astimezone() - at(one)).total_seconds()) < 600
    return [{key: value for key, value in one.items() if key != "time"} for one in found]


def at(line):
    return datetime.fromisoformat(line["time"])


def test_quiet_leaves_results_and_errors(hs, broken):
    said = hs("index", broken, "-g", "g", *LITE, code=3)
    assert said.err.startswith("skipped: ")
    for order in (("--quiet", "index"), ("index", "--quiet")):
        said = hs(*order, broken, "-g", "g", code=3)
        assert "12 unchanged" in said.out
        assert said.err == ""
    assert "no gallery here" in hs("--quiet", "info", "-g", "none", code=1).err
    assert "Usage: " in hs("--quiet", "index", code=2).err
    assert hs("index", broken, "-g", "g", code=3).err != ""  # it does not outlast the run


def test_json_lines_on_standard_error_and_nothing_else_there(hs, broken):
    said = hs("--log-json", "-", "index", broken, "-g", "g", *LITE, "--json", code=3)
    assert json.loads(said.out)["new"] == 12
    told = lines(said.err)
    assert [one["event"] for one in told] == ["progress", "indexed", "skipped", "ended"]
    progress, indexed, skipped, ended = told
    assert (progress["level"], progress["done"], progress["total"]) == ("info", 13, 13)
    assert (indexed["new"], indexed["skipped"], indexed["gallery"]) == (12, 1, "g")
    assert skipped["level"] == "warning"
    assert skipped["path"] == str(broken / "broken.jpg")
    assert skipped["reason"].startswith("is no photo of a kind that is read")
    assert (ended["command"], ended["code"]) == ("index", 3)
    assert ended["seconds"] >= progress["seconds"] > 0
    for arguments, code in ((("info", "-g", "none"), 1), (("search", "-g", "g"), 2)):
        told = lines(hs("--log-json", "-", *arguments, code=code).err)
        assert [one["event"] for one in told] == ["error", "ended"]
        assert told[0]["level"] == "error"
        assert told[1]["code"] == code
    assert "no gallery here" in told[0]["message"] or "Missing argument" in told[0]["message"]


def test_a_log_file_is_written_on_beside_lines_for_people(hs, broken, tmp_path):
    for _ in range(2):
        said = hs("index", broken, "-g", "g", *LITE, "--log-json", "log.jsonl", code=3)
        assert said.err.startswith("skipped: ")
    told = lines((tmp_path / "log.jsonl").read_text())
    assert [one["event"] for one in told].count("ended") == 2
    assert [one["new"] for one in told if one["event"] == "indexed"] == [12, 0]
    (tmp_path / "c.toml").write_text('log-json = "c.jsonl"\nquiet = true\n[info]\njson = true\n')
    settings = ("--config", "c.toml")
    assert hs(*settings, "index", broken, "-g", "g", code=3).err == ""
    for order in (("--log-json", "typed.jsonl", "info"), ("info", "--log-json", "typed.jsonl")):
        hs(*settings, *order, "-g", "g")
    assert [one["command"] for one in lines((tmp_path / "typed.jsonl").read_text())] == ["info"] * 2
    assert len(lines((tmp_path / "c.jsonl").read_text())) == 3


def test_a_log_that_cannot_be_written(hs, tmp_path):
    said = hs("--log-json", "no/log.jsonl", "info", "-g", "g", code=1).err
    assert "no/log.jsonl: cannot be written: No such file or directory. Name a file in" in said


def test_a_full_disk_ends_the_log_and_not_the_run(hs, photos):
    said = hs("--log-json", "/dev/full", "index", photos, "-g", "g", *LITE)
    assert "12 new" in said.out
    assert said.err == "houndsight: the log cannot be written: No space left on device\n"


def test_any_file_name_survives(hs, photos, tmp_path):
    strange = os.fsencode(photos) + b"/a\xff\n.jpg"
    with open(strange, "wb") as file:
        file.write(b"no photo")
    told = lines(hs("--log-json", "-", "index", photos, "-g", "g", *LITE, code=3).err)
    (skipped,) = [one for one in told if one["event"] == "skipped"]
    assert os.fsencode(skipped["path"]) == strange


def test_progress_is_told_now_and_then(tmp_path, monkeypatch):
    log = Log()
    log.open(str(tmp_path / "log"))
    now = [100.0]
    monkeypatch.setattr("houndsight.cli.log.time.monotonic", lambda: now[0])
    for done in range(1, 101):
        log.progress(done, 100, done / 10)
        now[0] += 0.1
    log.close()
    done = [one["done"] for one in lines((tmp_path / "log").read_text())]
    assert done[0] == 1
    assert done[-1] == 100
    assert 9 <= len(done) <= 12


def test_watching_tells_the_same(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("HOUNDSIGHT_OFFLINE", "1")
    running = Watcher(photos, "-g", tmp_path / "g", *LITE, "--settle", 0.3, "--log-json", "-")
    try:
        told = []
        while not told or told[-1]["event"] != "indexed":
            told += lines(running.err.get(timeout=90))
        assert {one["event"] for one in told} == {"note", "progress", "indexed"}
        assert told[-1]["new"] == 12
        photos.rename(tmp_path / "away")
        (waiting,) = lines(running.err.get(timeout=90))
        assert waiting["event"] == "waiting"
        assert "no such folder" in waiting["reason"]
    finally:
        running.process.kill()
        running.process.wait()
        running.process.stdout.close()
        running.process.stderr.close()
    assert LOG.for_people


# Colours and widths

ESCAPE = re.compile("\x1b\\[[0-9;]*[A-Za-z]")


def run(*arguments, **variables):
    environment = {**os.environ, "HOUNDSIGHT_OFFLINE": "1", **variables}
    return subprocess.run(
        [sys.executable, "-m", "houndsight", *map(str, arguments)],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip


def in_a_terminal(arguments, **variables):
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="60", **variables)
        os.execv(sys.executable, [sys.executable, "-m", "houndsight", *map(str, arguments)])
    text = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            text += os.read(terminal, 4096)
        except OSError:
            break
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return text.decode()


@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
def test_no_colours_and_no_cut_lines_in_pipes(hs, photos, tmp_path):
    deep = photos / ("long-" * 30) / ("name-" * 30)
    write_photo(deep / "a.jpg", 50)
    hs("index", photos, "-g", "g", *LITE)
    search = ("search", "-g", tmp_path / "g", photos / "pug" / "pug-0.jpg", "-k", 12)
    for variables in ({}, {"COLUMNS": "40"}, {"TERM": "dumb"}, {"FORCE_COLOR": ""}):
        said = run(*search, **variables)
        assert "\x1b" not in said.stdout
        assert str(deep / "a.jpg") in said.stdout
        assert said.stderr == ""
    colour = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3|4|9|10)\d[0-9;]*m")
    assert colour.search(in_a_terminal(search))
    plain = in_a_terminal(search, NO_COLOR="1")
    assert not colour.search(plain)
    assert str(deep / "a.jpg") in plain  # a path at a line's end is the terminal's to wrap
    folded = in_a_terminal(("classify", *search[1:]))
    assert max(len(ESCAPE.sub("", line)) for line in folded.splitlines()) <= 60
