"""A server in a process of its own: slow clients, many at once, stopping, and its command."""

import asyncio
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from calling import image_part, multipart

from fakes import draw, encoded, fake_embedder
from houndsight import Gallery
from houndsight.cli import _run
from houndsight.errors import InputError
from houndsight.voting import classify_queries
from houndsight.web.guard import Rules
from houndsight.web.server import serve as listen

PHOTO = encoded(draw(4711, (96, 80)))
BUNDLE = "/static/swagger/swagger-ui-bundle.js"


@contextmanager
def connected(served, *, receive=None):
    with socket.socket() as client:
        if receive:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        client.settimeout(10)
        client.connect(("127.0.0.1", served.port))
        yield client


def until_closed(client):
    """Return what comes until the server closes."""
    parts = []
    try:
        while part := client.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def heard_enough():
    """What a client may meet that is still sending when it was refused."""
    return suppress(BrokenPipeError, ConnectionResetError)


def head(served, way="GET", path="/api/health", **headers):
    lines = [f"{way} {path} HTTP/1.1", f"Host: 127.0.0.1:{served.port}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def posted(served, photo=PHOTO, path="/api/search", **headers):
    """Return a whole request that hands in a photo."""
    body, kind = multipart(image_part(photo))
    length = {"content_length": len(body), "connection": "close"}
    return head(served, "POST", path, content_type=kind, **{**length, **headers}) + body


def get(served, path):
    with urllib.request.urlopen(served.address + path, timeout=20) as answer:
        return answer.read()


def is_well(served):
    return json.loads(get(served, "/api/health")) == {"status": "ok"}


@contextmanager
def files_allowed(soft):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < soft:
        pytest.skip(f"so many files may not be open: {before[1]}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# Slow clients


def test_who_takes_all_day_to_ask_is_hung_up_on(place, serve):
    served = serve(place, set={"server.HEAD_S": 0.3, "server.KEEP_ALIVE_S": 0.6})
    start = time.monotonic()
    with (
        connected(served) as silent,
        connected(served) as half,
        connected(served) as dripping,
        connected(served) as again,
    ):
        half.sendall(b"GET / HTTP/1.1\r\nHost: 127")
        again.sendall(head(served) + b"GET /api/he")
        for char in head(served)[:10]:
            dripping.sendall(bytes([char]))
            time.sleep(0.01)
        assert until_closed(silent) == until_closed(half) == until_closed(dripping) == b""
        # What was asked whole is answered.
        assert until_closed(again).count(b"200 OK") == 1
    assert time.monotonic() - start < 4
    assert is_well(served)


def test_who_does_not_listen_is_hung_up_on(place, serve):
    served = serve(place, set={"server.UNREAD_S": 0.3})
    asked = 20
    with connected(served, receive=1 << 16) as deaf, connected(served, receive=1 << 16) as slow:
        deaf.sendall(head(served, path=BUNDLE) * asked)
        slow.sendall(head(served, path=BUNDLE, connection="close"))
        whole = 0
        while part := slow.recv(1 << 15):
            whole += len(part)
            time.sleep(0.01)
        size = len(get(served, BUNDLE))
        assert whole > size > 1_000_000
        # The slow one took longer than the deaf one had.
        assert len(until_closed(deaf)) < asked * size
    assert is_well(served)


def test_half_a_body_is_answered_with_408(place, serve):
    served = serve(place, set={"guard.STILL_S": 0.3})
    with connected(served) as client:
        client.sendall(posted(served)[:-100])
        answer = until_closed(client)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"too_slow"' in answer


def test_many_idle_connections_keep_nobody_out(place, serve):
    with files_allowed(1024):  # what a shell gives
        served = serve(place)
    with files_allowed(4000), ExitStack() as idle:
        for _ in range(1100):
            idle.enter_context(connected(served)).sendall(head(served)[:30])
        start = time.monotonic()
        assert is_well(served)
        assert time.monotonic() - start < 2


# What is no HTTP, or lies


NO_GOOD = [
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.0\r\n\r\n", 421),
    (b"GET /api/health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 421),
    (b"GET http://evil.example/ HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\n\r\n", 404),
    (b"GET / HTTP/1.1\r\nHost: HERE\r\nX: " + b"x" * 200_000, 400),
    (b"GET /" + b"a" * 200_000, 400),
    (b"GET /\xff HTTP/1.1\r\nHost: HERE\r\n\r\n", 400),
    (b"POST /api/search HTTP/1.1\r\nHost: HERE\r\nContent-Length: -5\r\n\r\n", 400),
    (b"POST /api/search HTTP/1.1\r\nHost: HERE\r\nContent-Length: x\r\n\r\n", 400),
    (
        b"POST /api/search HTTP/1.1\r\nHost: HERE\r\nContent-Type: multipart/form-data; "
        b"boundary=b\r\nContent-Length: 99999999999\r\n\r\n",
        413,
    ),
    (
        b"POST /api/search HTTP/1.1\r\nHost: HERE\r\nContent-Length: 5\r\n"
        b"Content-Length: 6\r\n\r\n",
        400,
    ),
    (b"POST /api/search HTTP/1.1\r\nHost: HERE\r\nTransfer-Encoding: x\r\n\r\n", 501),
]


def test_what_is_no_good_http_is_refused(place, serve):
    served = serve(place)
    for request, status in NO_GOOD:
        with connected(served) as client:
            with heard_enough():
                client.sendall(request.replace(b"HERE", f"127.0.0.1:{served.port}".encode()))
            answer = until_closed(client)
        assert answer == b"" or int(answer.split()[1]) in (status, 400), (request[:99], answer)
        assert is_well(served)


def test_a_body_in_pieces_that_grows_too_long_is_cut_off(place, serve):
    served = serve(place, max_body=1 << 20)
    body, kind = multipart(image_part(b"x" * (1 << 20)))
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    first = body[: body.index(b"\r\n\r\n") + 4]
    headers = {"content_type": kind, "transfer_encoding": "chunked"}
    start = time.monotonic()
    with connected(served) as client:
        client.sendall(head(served, "POST", "/api/search", **headers))
        client.sendall(b"%x\r\n%b\r\n" % (len(first), first))
        with heard_enough():
            for _ in range(1000):
                client.sendall(piece)
        answer = until_closed(client)
    assert not answer or answer.startswith(b"HTTP/1.1 413")
    assert time.monotonic() - start < 5  # it does not listen to the rest
    assert is_well(served)


def test_clients_that_go_in_the_midst_leave_nothing(place, serve, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    served = serve(place)
    whole = posted(served, path="/api/items")
    for length in (20, 150, len(whole) // 2, len(whole) - 3):
        for _ in range(5):
            with connected(served) as client:
                client.sendall(whole[:length])
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert is_well(served)
    _, errors, code = served.stop()
    assert (code, "Traceback" in errors) == (0, False), errors
    with Gallery(place) as gallery:
        assert len(gallery) == 20
        assert gallery.verify() == []
    assert list(tmp_path.glob("houndsight-queries-*")) == []


# Many at once


def memory(served):
    """Return the most memory that the server has had, in MB."""
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+)", status)[1]) // 1024


def test_a_thousand_uploads_at_once(place, serve):
    served = serve(place)
    # 40 different photos of 400 kB: 400 MB, were all in memory.
    pads = [encoded(draw(number, (96, 80))) + os.urandom(400_000) for number in range(40)]
    is_well(served)
    before = memory(served)

    async def upload(number):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        try:
            writer.write(posted(served, pads[number % 40]))
            return await reader.read()
        finally:
            writer.close()

    async def search(item):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(head(served, path=f"/api/search?query={item}&k=3", connection="close"))
        answer = await reader.read()
        writer.close()
        return answer

    async def every():
        uploads = [asyncio.create_task(upload(number)) for number in range(1000)]
        searched = []
        while not all(task.done() for task in uploads):
            start = time.monotonic()
            searched.append((await search(items[0]), time.monotonic() - start))
            await asyncio.sleep(0.05)
        return await asyncio.gather(*uploads, return_exceptions=True), searched

    with Gallery(place) as gallery:
        items = [item.key for item in gallery.items()]
    with files_allowed(4000):
        answers, searched = asyncio.run(every())
    # One that is sent away at once may have been cut off while it was still sending.
    cut = [one for one in answers if isinstance(one, ConnectionError) or one == b""]
    heard = [one for one in answers if isinstance(one, bytes) and one]
    statuses = [int(one.split()[1]) for one in heard]
    assert len(cut) + len(heard) == 1000
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 96
    for one in heard:
        if one.startswith(b"HTTP/1.1 503"):
            assert b"retry-after:" in one.split(b"\r\n\r\n")[0].lower()
            assert b'"code":"busy"' in one
    # Searches are answered meanwhile, and soon.
    assert {one.split()[1] for one, _ in searched} == {b"200"}
    assert max(seconds for _, seconds in searched) < 10  # other tests' processes may be at work
    assert memory(served) - before < 200
    assert is_well(served)
    assert b'"same_bytes"' in get(served, f"/api/search?query={items[1]}")
    _, errors, code = served.stop()
    assert (code, errors) == (0, "")


def test_sixteen_threads_get_the_answers_of_one(place, serve):
    served = serve(place)
    with Gallery(place) as gallery:
        items = gallery.items()
        vectors = gallery.vectors(items)
        expected = [
            [(match.item.key, pytest.approx(match.distance)) for match in matches]
            for matches in gallery.search(vectors, 5, exclude=[[item.id] for item in items])
        ]
        whole = classify_queries(gallery, vectors, k=1)
        photos = [Path(os.fsdecode(gallery.path_of(item))).read_bytes() for item in items]
    wrong = []

    def check(told, value):
        if told != value:
            wrong.append((told, value))

    def ask(number):
        for turn in range(6):
            n = (number * 7 + turn) % len(items)
            found = json.loads(get(served, f"/api/search?query={items[n].key}&k=5"))
            matches = found["answers"][0]["matches"]
            check([(m["id"], m["distance"]) for m in matches], expected[n])
            with connected(served) as client:
                client.sendall(posted(served, photos[n]))
                answer = until_closed(client)
            check(answer.split()[1], b"200")
            told = json.loads(answer.split(b"\r\n\r\n", 1)[1])["answers"][0]["matches"]
            check((told[0]["id"], told[0]["distance"]), (items[n].key, 0))
            # Each has photos of its own to change: n is answered for by thread n alone.
            if number < len(items):
                url = f"{served.address}/api/items/{items[number].key}"
                label = f"label {number} {turn}"
                data = json.dumps({"label": label}).encode()
                headers = {"content-type": "application/json"}
                request = urllib.request.Request(url, data, headers, method="PATCH")
                with urllib.request.urlopen(request, timeout=20) as answer:
                    change = json.load(answer)["change"]
                check(json.loads(get(served, f"/api/items/{items[number].key}"))["label"], label)
                undo = urllib.request.Request(
                    f"{served.address}/api/changes/{change}/undo", b"", method="POST"
                )
                urllib.request.urlopen(undo, timeout=20).close()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))
    assert not wrong, wrong[:3]
    with Gallery(place) as gallery:
        assert gallery.items() == items
        assert gallery.verify() == []
    verdict = json.loads(get(served, f"/api/classify?query={items[0].key}&k=1"))
    assert verdict["answers"][0]["answer"] in {vote.label for vote in whole}


# Stopping


def until(true):
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_what_was_asked_is_answered_before_it_stops(place, serve, tmp_path, monkeypatch, how):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    served = serve(place, wait=0.7)
    with connected(served) as client, connected(served) as idle:
        idle.sendall(head(served))
        client.sendall(posted(served, path="/api/items"))
        (folder,) = tmp_path.glob("houndsight-queries-*")
        until(lambda: list(folder.iterdir()))
        served.process.send_signal(how)
        answer = until_closed(client)
    assert answer.startswith(b"HTTP/1.1 201"), answer
    out, errors, code = served.stop()
    assert (out, errors, code) == ("stopped\n", "", 0)
    assert list(tmp_path.glob("houndsight-queries-*")) == []
    with Gallery(place) as gallery:
        assert len(gallery) == 21
        assert gallery.verify() == []
    with pytest.raises(OSError), connected(served):
        pass


def test_who_is_too_slow_does_not_keep_it_from_stopping(place, serve):
    served = serve(place, set={"server.STOP_S": 1})
    with connected(served) as half, connected(served) as silent, connected(served) as deaf:
        half.sendall(posted(served)[:-100])
        silent.sendall(b"GET")
        deaf.sendall(head(served, path=BUNDLE) * 20)
        assert is_well(served)
        start = time.monotonic()
        out, errors, code = served.stop()
        answered = until_closed(half)
    assert time.monotonic() - start < 5
    assert (out, code) == ("stopped\n", 0), errors
    # Who was in the midst of it is told so, and the terminal is not filled with where that was.
    assert answered.startswith(b"HTTP/1.1 503 ")
    assert b'"stopping"' in answered
    assert "Traceback" not in errors
    with Gallery(place) as gallery:
        assert gallery.verify() == []


def test_what_is_made_in_the_background_does_not_keep_it_from_stopping(place, serve):
    served = serve(place)
    for path in ("/map", "/tidy"):
        get(served, path)
    urllib.request.urlopen(
        urllib.request.Request(f"{served.address}/api/report", b"", method="POST"), timeout=20
    ).close()
    out, errors, code = served.stop()
    assert (out, errors, code) == ("stopped\n", "", 0)


def test_adding_that_is_cut_short_leaves_nothing_half_written(place, serve):
    served = serve(place)
    stop = threading.Event()

    def add(start):
        for number in range(start, start + 500):
            if stop.is_set():
                return
            try:
                with connected(served) as client:
                    client.sendall(posted(served, encoded(draw(number)), "/api/items"))
                    until_closed(client)
            except OSError:
                return

    with ThreadPoolExecutor(4) as pool:
        for start in (1000, 2000, 3000, 4000):
            pool.submit(add, start)
        with Gallery(place) as gallery:
            until(lambda: len(gallery) > 25)
        out, errors, code = served.stop()
        stop.set()
    assert (out, errors, code) == ("stopped\n", "", 0)
    with Gallery(place) as gallery:
        assert gallery.verify() == []
        added = [item for item in gallery.items() if item.root == 0]
    photos = place / "photos"
    assert len([path for path in photos.rglob("*") if path.is_file()]) == len(added) > 5
    assert not list(photos.glob(".*"))


# How it is started


@pytest.fixture
def command(capsys):
    """Return what runs the command here: its exit code, and what it said."""

    def run(*arguments):
        code = _run(["serve", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.4", "mybox"])
def test_where_others_can_reach_it_a_token_is_needed(place, host, command, monkeypatch):
    monkeypatch.setattr("houndsight.web.server.serve", None)  # it must not come so far
    code, output = command("-g", place, "--host", host, "--port", 0)
    assert code == 1
    assert "reach the server" in output
    assert re.search(r"--token [\w-]{20,}", output)


@pytest.mark.parametrize("host", ["", "127.0.0.1:8000", "http://localhost"])
def test_what_is_no_address_is_not_listened_at(place, host, command, monkeypatch):
    monkeypatch.setattr("houndsight.web.server.serve", None)
    code, output = command("-g", place, "--host", host, "--port", 0)
    assert code == 1
    assert "this is no address or name. Give it alone" in output


BAD_TOKENS = ["", "short", "x" * 15, "p\u00e4ssw\u00f6rter sind lang", "x " * 20]


@pytest.mark.parametrize("token", BAD_TOKENS)
def test_a_token_that_is_guessed_is_refused(place, token, command, monkeypatch):
    monkeypatch.setattr("houndsight.web.server.serve", None)
    code, output = command("-g", place, "--token", token)
    assert code == 1
    assert "16 or more letters" in output
    assert re.search(r"--token [\w-]{20,}", output)


BAD_NAMES = [
    *("https://x", "x/", "x y", "", "*", "x:80", "photos.example:443", "bad:80"),
    *("192.168.0.4:8000", "[::1]", "[::1]:8000", "::1:zz", "m\u00fcnchen.example", "x\x1b[31m"),
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_no_browser_would_send_is_refused(place, name, command, monkeypatch):
    monkeypatch.setattr("houndsight.web.server.serve", None)
    given = ("--token", "x" * 16, "--name", "photos.example", "--name", name)
    code, output = command("-g", place, *given)
    assert code == 1
    assert "this is no name of a host" in output
    assert "Give the name alone, without https:// or a port" in output
    assert "\x1b[31m" not in output


@pytest.mark.parametrize(
    ("arguments", "rules"),
    [
        ((), {"host": "127.0.0.1", "token": None, "read_only": False}),
        (("--read-only",), {"read_only": True}),
        (("--token", "x" * 16), {"token": "x" * 16, "read_only": False}),
        (("--host", "0.0.0.0", "--token", "x" * 16), {"host": "0.0.0.0", "read_only": True}),
        (("--host", "::1"), {"host": "::1", "read_only": False}),
        (
            ("--host", "0.0.0.0", "--token", "x" * 16, "--writable"),
            {"read_only": False, "token": "x" * 16},
        ),
        (
            ("--name", "Photos.Example.", "--token", "x" * 16),
            {"names": frozenset({"photos.example"})},
        ),
        (
            ("--token", "x" * 16, "--name", "my_box", "--name", "FD00::4", "--name", "192.168.0.4"),
            {"names": frozenset({"my_box", "fd00::4", "192.168.0.4"})},
        ),
        (("--max-upload", "3"), {"max_body": 3 << 20}),
    ],
)
def test_the_options_become_rules(place, arguments, rules, command, monkeypatch):
    given = []
    monkeypatch.setattr(
        "houndsight.web.server.serve",
        lambda gallery, embedder, rules, **_: given.append(rules),
    )
    monkeypatch.setattr(Gallery, "embedder", lambda *_: fake_embedder())
    code, output = command("-g", place, *arguments)
    assert code == 0, output
    assert {name: getattr(given[0], name) for name in rules} == rules


def test_the_token_can_come_from_the_environment(place, command, monkeypatch):
    given = []
    monkeypatch.setattr("houndsight.web.server.serve", lambda *_, **__: given.append(_[2].token))
    monkeypatch.setattr(Gallery, "embedder", lambda *_: fake_embedder())
    monkeypatch.setenv("HOUNDSIGHT_TOKEN", "y" * 20)
    assert command("-g", place, "--host", "::")[0] == 0
    assert given == ["y" * 20]
    monkeypatch.setenv("HOUNDSIGHT_TOKEN", "")
    assert command("-g", place, "--host", "::")[0] == 1


def test_a_port_that_is_taken_is_named(place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Gallery(place) as gallery, pytest.raises(InputError, match=f"port {port}") as told:
            listen(gallery, fake_embedder(), Rules(), port=port)
    assert "--port" in told.value.remedy
    # Bound by another, which does not listen yet.
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with Gallery(place) as gallery, pytest.raises(InputError):
            listen(gallery, fake_embedder(), Rules(), port=taken.getsockname()[1])
    with Gallery(place) as gallery:
        for host in ("no.such.host.invalid", "a" * 300, "256.1.1.1"):
            with pytest.raises(InputError, match="cannot listen"):
                listen(gallery, fake_embedder(), Rules(host=host), port=0)


def test_what_is_no_gallery_is_named_as_everywhere(place, command, tmp_path):
    code, output = command("-g", tmp_path / "nothing")
    assert (code, "there is no gallery here" in output) == (1, True)
    (place / "catalogue.sqlite").write_bytes(b"rubbish" * 1000)
    code, output = command("-g", place)
    assert (code, "catalogue cannot be read" in output) == (1, True)


def test_without_the_extra_the_command_says_what_to_install(place):
    code = """
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("fastapi", "uvicorn", "starlette", "prometheus_client"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])
sys.meta_path.insert(0, Gone())
from houndsight.__main__ import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "-g", place],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'houndsight[web]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_and_stops(tmp_path, how, place):
    process = subprocess.Popen(
        [sys.executable, "-m", "houndsight", "serve", "-g", place, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert address, process.communicate()
        with urllib.request.urlopen(f"{address[0]}/api/info", timeout=20) as answer:
            assert json.load(answer)["items"] == 20
        process.send_signal(how)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def test_it_can_be_reached_by_the_newer_protocol_too(place, serve):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    served = serve(place, host="::1")
    assert re.fullmatch(r"http://\[::1\]:\d+", served.address)
    assert is_well(served)


def test_a_link_is_printed_where_a_token_is_asked_for(place, serve):
    served = serve(place, host="0.0.0.0", token="x" * 20, names=[socket.gethostname().lower()])
    local = f"http://127.0.0.1:{served.port}"
    link = served.link.replace(served.address, local)
    assert re.fullmatch(rf"{local}/enter\?key=[\w-]{{32}}", link)
    with pytest.raises(urllib.error.HTTPError) as told:
        urllib.request.urlopen(f"{local}/", timeout=20)
    assert told.value.code == 401
    told.value.close()
    with urllib.request.urlopen(link, timeout=20) as answer:
        cookie = answer.headers["set-cookie"].partition(";")[0]
    request = urllib.request.Request(f"{local}/", headers={"cookie": cookie})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200
