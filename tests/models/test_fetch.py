"""Weights are fetched whole or not at all, and what is fetched is verified."""

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import ThreadingHTTPServer

import pytest
from local_server import CONTENT, Handler, files

from houndsight.errors import WeightsUnavailable
from houndsight.models.weights import (
    fetch,
    load,
    locate,
)

pytestmark = pytest.mark.usefixtures("cache")


def test_a_fetched_file_is_whole_and_under_its_name(model, cache):
    assert locate(model) is None
    seen = []
    path = fetch(model, lambda done, total: seen.append((done, total)))
    assert path == locate(model) == cache / "weights" / "tiny-1234.pth"
    assert path.read_bytes() == CONTENT
    assert files(cache) == ["weights/tiny-1234.pth"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert all(0 <= done <= total == len(CONTENT) for done, total in seen)


def test_what_is_here_is_not_fetched_again(model, server):
    fetch(model)
    fetch(model)
    load(model)
    assert server.requests == 1


def test_fetching_says_nothing(model, capfd):
    fetch(model)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("answers", "cause", "requests"),
    [
        ([("whole", CONTENT[:-1])], r"has 24,322 bytes, not the 24,323 expected", 1),
        ([("whole", CONTENT[:-1] + b"x")], "another file than expected", 1),
        ([("endless", bytes(1 << 16))], "larger than the 24,323 bytes", 1),
        ([("status", 404)], "HTTP status 404", 1),
        ([("status", 503)], "HTTP status 503", 3),
        ([("cut", CONTENT)], "cannot be reached: .*", 3),
    ],
)
def test_a_failed_fetch_leaves_nothing_and_tells_why(
    model, server, cache, answers, cause, requests
):
    server.answers = answers
    with pytest.raises(WeightsUnavailable, match=cause) as error:
        fetch(model)
    assert files(cache) == []
    assert locate(model) is None
    assert server.requests == requests
    for way_out in ("houndsight models fetch", "--weights", "--model efficientnet-lite0"):
        assert way_out in error.value.remedy
    server.answers, server.requests = [("whole", CONTENT)], 0
    assert fetch(model).read_bytes() == CONTENT


def test_a_sha256_decides_and_the_size_may_be_rounded(model, server):
    rounded = dataclasses.replace(model, size=model.size - 500)
    assert fetch(rounded).read_bytes() == CONTENT
    assert fetch(rounded).read_bytes() == CONTENT
    assert server.requests == 1
    by_md5 = {"sha256": None, "md5": hashlib.md5(CONTENT).hexdigest(), "filename": "other.pth"}
    assert fetch(dataclasses.replace(model, **by_md5)).read_bytes() == CONTENT
    with pytest.raises(WeightsUnavailable, match="has 24,323 bytes, not the 23,823 expected"):
        fetch(dataclasses.replace(rounded, **by_md5))


@pytest.mark.parametrize("first", [("cut", CONTENT), ("status", 500)])
def test_a_passing_failure_is_tried_again(model, server, first):
    server.answers = [first, ("whole", CONTENT)]
    assert fetch(model).read_bytes() == CONTENT
    assert server.requests == 2


def test_nobody_listens(model):
    dead = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{dead.server_port}/"
    dead.server_close()
    with pytest.raises(WeightsUnavailable, match="cannot be reached: Connection refused"):
        fetch(dataclasses.replace(model, url=url))


def test_an_interruption_leaves_nothing(model, cache):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(model, stop)
    assert files(cache) == []
    assert fetch(model).read_bytes() == CONTENT


@pytest.mark.parametrize("value", ["1", "true", "YES", " on "])
def test_offline_touches_no_network(model, server, monkeypatch, value):
    monkeypatch.setenv("HOUNDSIGHT_OFFLINE", value)
    with pytest.raises(WeightsUnavailable, match="HOUNDSIGHT_OFFLINE forbids") as error:
        load(model)
    assert "are not on this machine" in error.value.cause
    assert "--weights" in error.value.remedy
    assert server.requests == 0


def test_offline_uses_what_is_here(model, server, monkeypatch):
    path = fetch(model)
    monkeypatch.setenv("HOUNDSIGHT_OFFLINE", "1")
    assert load(model).path == path
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(WeightsUnavailable, match="are damaged"):
        load(model)
    assert server.requests == 1


@pytest.mark.parametrize("value", ["", "0", "no", "false"])
def test_offline_can_be_off(model, monkeypatch, value):
    monkeypatch.setenv("HOUNDSIGHT_OFFLINE", value)
    assert fetch(model).is_file()


@pytest.mark.parametrize("damage", [CONTENT[:-1] + b"x", CONTENT[:100], b""])
def test_a_damaged_cached_file_is_fetched_again(model, server, damage):
    path = fetch(model)
    path.write_bytes(damage)
    assert load(model).path == path
    assert path.read_bytes() == CONTENT
    assert server.requests == 2


def test_a_cache_that_cannot_be_written(model, cache, monkeypatch):
    cache.write_text("in the way")
    with pytest.raises(WeightsUnavailable, match="the cache cannot be used") as error:
        fetch(model)
    assert "HOUNDSIGHT_CACHE" in error.value.remedy
    monkeypatch.setenv("HOUNDSIGHT_OFFLINE", "1")
    with pytest.raises(WeightsUnavailable, match="not on this machine"):
        fetch(model)


def test_two_at_once_fetch_once(model, server):
    threads = [threading.Thread(target=fetch, args=(model,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.requests == 1


CHILD = """
import dataclasses, sys
from houndsight.models.spec import spec
from houndsight.models.weights import fetch
url, size, digest = sys.argv[1:]
fetch(dataclasses.replace(
    spec("resnet50"), url=url, filename="tiny-1234.pth", size=int(size), sha256=digest))
"""


def test_a_killed_fetch_leaves_nothing_under_the_name(model, server, cache):
    # More than the pieces that are written at a time, so that a part is on the disk.
    content = bytes(1 << 18) + CONTENT
    model = dataclasses.replace(
        model, size=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    server.answers = [("hang", content), ("whole", content)]
    arguments = [model.url, str(model.size), model.sha256]
    with subprocess.Popen([sys.executable, "-c", CHILD, *arguments]) as child:
        partial = cache / "partial" / "tiny-1234.pth"
        deadline = time.monotonic() + 30
        while not (partial.is_file() and partial.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert files(cache) == ["partial/tiny-1234.pth"]
    assert locate(model) is None
    (cache / "partial" / "other-model.pth").write_bytes(b"of yet another killed process")
    assert fetch(model).read_bytes() == content
    assert files(cache) == ["weights/tiny-1234.pth"]
