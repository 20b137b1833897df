"""Who may ask what: each rule with a request that it refuses."""

import asyncio
import re
import socket
from pathlib import Path

import pytest
from calling import HOST, call, image_part, multipart, refused, routes
from fastapi import FastAPI

from fakes import draw, encoded
from houndsight.render import html
from houndsight.web import guard
from houndsight.web.app import ROUTERS
from houndsight.web.desk import Desk
from houndsight.web.guard import POLICY, Rules, is_loopback

TOKEN = "correct horse battery staple".replace(" ", "-")
HERE = "127.0.0.1:8000"
WEB = Path(guard.__file__).parent
JSON = ("content-type", "application/json")


def run(*calls):
    """Run calls side by side; return their answers."""

    async def every():
        return await asyncio.gather(*calls)

    return asyncio.run(every())


# Hosts


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8000",
        "127.0.0.1",
        "localhost:8000",
        "LOCALHOST:8000",
        "localhost.",
        "127.9.8.7:1",
        "[::1]:8000",
        "[0:0:0:0:0:0:0:1]",
        "photos.example:443",
        "PHOTOS.example.",
    ],
)
def test_the_server_goes_by_these_names(ask, host):
    asked = ask(names=frozenset({"photos.example"}))
    (answer,) = run(call(asked.client.app, "GET", "/api/health", headers=[("host", host)]))
    assert answer.status_code == 200, answer.text


WRONG = [
    "",
    "evil.example",
    "evil.example:8000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil.example@127.0.0.1",
    "127.0.0.1@evil.example",
    "127.0.0.1/evil",
    "127.0.0.1?x",
    "127.0.0.1#evil.example",
    "127.0.0.1:8000:9",
    "127.0.0.1:port",
    "127.0.0.1 ",
    "127.0.0.1, evil.example",
    "192.168.0.4",
    "2130706433",
    "127.1",
    "0.0.0.0",
    "[::2]:8000",
    "[",
    "[::1",
    "[]",
    "::1",
    "localhost..",
    "mybox",
    "a" * 5000,
    "\xff",
]


@pytest.mark.parametrize("host", WRONG, ids=lambda host: ascii(host)[:30])
@pytest.mark.parametrize("path", ["/api/health", "/"])
def test_other_names_are_refused(ask, host, path):
    (answer,) = run(call(ask().client.app, "GET", path, headers=[("host", host)]))
    assert answer.status_code == 421
    assert answer.headers["content-security-policy"] == POLICY
    if path.startswith("/api"):
        refused(answer, 421, "wrong_host")
    else:
        assert "does not go by the name" in answer.text


@pytest.mark.parametrize("headers", [[], [HOST, HOST], [HOST, ("host", "evil.example")]])
def test_one_host_has_to_be_named(ask, headers):
    (answer,) = run(call(ask().client.app, "GET", "/api/health", headers=headers))
    refused(answer, 421, "wrong_host")


def test_every_route_asks_for_the_host(ask):
    app = ask().client.app
    calls = [call(app, way, path, headers=[("host", "evil.example")]) for way, path in routes()]
    assert {answer.status_code for answer in run(*calls)} == {421}


def test_where_other_machines_can_reach_it_addresses_and_its_own_name_are_known():
    for host in ("0.0.0.0", "::", "192.168.0.4"):
        rules = Rules(host=host)
        for name in ("192.168.0.4:8000", "[fe80::1]", "localhost", socket.gethostname()):
            assert rules.knows(name), (host, name)
        assert not rules.knows("evil.example")
        assert not rules.knows("")
    assert Rules(host="MyBox").knows("mybox:8000")


def test_loopback_is_what_only_this_machine_reaches():
    for host in ("localhost", "127.0.0.1", "127.5.4.3", "::1"):
        assert is_loopback(host)
    for host in ("0.0.0.0", "::", "", "0", "192.168.0.4", "localhost.evil.example", "mybox"):
        assert not is_loopback(host), host


# Other sites


FOREIGN = {
    "null": {"origin": "null"},
    "empty": {"origin": ""},
    "another site": {"origin": "http://evil.example"},
    "another port": {"origin": "http://127.0.0.1:9000"},
    "no port": {"origin": "http://127.0.0.1"},
    "another scheme": {"origin": f"ftp://{HERE}"},
    "an extension": {"origin": f"chrome-extension://{HERE}"},
    "another name of ours": {"origin": "http://localhost:8000"},
    "hidden": {"origin": f"http://evil.example@{HERE}"},
    "broken": {"origin": "http://["},
    "two": {"origin": f"http://{HERE}, http://evil.example"},
    "cross-site": {"sec-fetch-site": "cross-site"},
    "same-site": {"sec-fetch-site": "same-site"},
    "a form": {
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "document",
    },
    "right origin, wrong site": {"origin": f"http://{HERE}", "sec-fetch-site": "cross-site"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=list(FOREIGN))
def test_no_other_site_changes_anything(ask, headers):
    asked = ask()
    before = asked.gallery.items()
    key = before[0].key
    changing = [(method, path) for method, path in routes(item=key) if method != "GET"]
    for method, path in changing:
        answer = asked.client.request(method, path, headers=headers)
        assert answer.status_code == 403, (method, path)
        if path.startswith("/api"):
            refused(answer, 403, "cross_site")
    assert len(changing) >= 9
    assert asked.gallery.items() == before


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": f"http://{HERE}"},
        {"origin": f"http://{HERE}", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
def test_our_own_page_and_programs_may(ask, headers):
    asked = ask()
    item = asked.gallery.items()[0]
    answer = asked.client.patch(f"/api/items/{item.key}", json={"label": "wolf"}, headers=headers)
    assert answer.status_code == 200, answer.text


def test_behind_a_proxy_the_origin_is_secure(ask):
    asked = ask(names=frozenset({"photos.example"}))
    item = asked.gallery.items()[0]
    headers = {"host": "photos.example", "origin": "https://photos.example"}
    answer = asked.client.delete(f"/api/items/{item.key}", headers=headers)
    assert answer.status_code == 200, answer.text


def test_another_site_may_link_here_and_nothing_else(ask):
    asked = ask()
    item = asked.gallery.items()[0]
    link = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    picture = {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
    frame = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
    for site in ("cross-site", "same-site"):
        cross = {"sec-fetch-site": site}
        assert asked.client.get("/", headers={**cross, **link}).status_code == 200
        for path in (f"/thumb/{item.key}", "/map?again=1", "/api/items"):
            for how in (picture, frame, {}):
                assert asked.client.get(path, headers={**cross, **how}).status_code == 403
    assert not asked.desk.atlas.state.running
    # Nobody is told by CORS that other sites may read.
    answer = asked.client.options("/api/items", headers={"access-control-request-method": "GET"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


# Read only


HARMLESS = {
    *("/upload", "/api/search", "/api/classify", "/api/report", "/map", "/tidy"),
    *("/enter", "/enter/link"),
}


def test_where_nothing_may_be_changed_nothing_is(ask):
    asked = ask(read_only=True)
    item = asked.gallery.items()[0]
    before, count = asked.gallery.items(), 0
    for method, path in routes(item=item.key):
        if method == "GET" or path in HARMLESS:
            continue
        count += 1
        body = {"json": {"label": "x"}} if method == "PATCH" else {}
        refused(asked.client.request(method, path, **body), 403, "read_only")
    assert count == 4
    photo = encoded(draw(99))
    added = asked.client.post("/api/items", files={"image": ("new.jpg", photo)})
    refused(added, 403, "read_only")
    assert asked.gallery.items() == before
    assert {path for _, path in routes()} >= HARMLESS
    # Nor does the page offer it.
    page = asked.client.get("/", params={"q": item.key, "show": item.key}).text
    assert "data-change" not in page
    assert asked.client.get("/api/info").json()["read_only"] is True


def test_where_nothing_may_be_changed_photos_can_be_asked_about(ask):
    asked = ask(read_only=True)
    answer = asked.client.post("/api/search", files={"image": ("a.jpg", encoded(draw(99)))})
    assert answer.status_code == 200
    assert asked.client.post("/api/report").status_code == 202


# Tokens


def test_without_the_token_nothing_is_said(ask):
    asked = ask(token=TOKEN)
    key = asked.gallery.items()[0].key
    for method, path in routes(item=key):
        answer = asked.client.request(method, path)
        if path in ("/enter", "/api/health"):
            assert answer.status_code in (200, 401), path
            continue
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"] == "Bearer"
        if path.startswith("/api"):
            refused(answer, 401, "not_admitted")
        else:
            assert 'action="/enter"' in answer.text
        assert "beagle" not in answer.text
    assert asked.client.get("/api/openapi.json").status_code == 401
    assert asked.client.get("/nowhere").status_code == 401
    assert asked.client.get("/api/health").json() == {"status": "ok"}
    assert asked.client.get("/static/style.css").status_code == 200
    for path in ("/static", "/staticx", "/enter/", "/api/health/"):
        answer = asked.client.get(path, follow_redirects=False)
        assert answer.status_code in (401, 404), path


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer"},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer \xe9\xff".encode("latin-1")},
        {"cookie": f"houndsight={TOKEN}"},
        {"cookie": "houndsight="},
        {"cookie": "houndsight"},
        {"cookie": ";;;=;\x7f"},
        {"x-token": TOKEN},
    ],
    ids=ascii,
)
def test_a_wrong_token_is_refused(ask, headers):
    refused(ask(token=TOKEN).client.get("/api/items", headers=headers), 401, "not_admitted")


def test_the_token_lets_in_as_a_header_and_not_in_an_address(ask):
    client = ask(token=TOKEN).client
    for way in ("Bearer", "bearer"):
        answer = client.get("/api/items", headers={"authorization": f"{way} {TOKEN}"})
        assert answer.status_code == 200
    assert client.get("/api/items", params={"token": TOKEN}).status_code == 401


def cookie_of(answer):
    name, _, rest = answer.headers["set-cookie"].partition("=")
    value, *flags = [part.strip().lower() for part in rest.split(";")]
    assert name == "houndsight-8000"  # browsers send the cookies of one port to the others
    assert {"httponly", "samesite=strict", "path=/"} <= set(flags)
    assert len(value) > 40
    return answer.headers["set-cookie"].partition(";")[0]


def test_a_link_lets_one_browser_in_once(ask):
    asked = ask(token=TOKEN)
    key = asked.sessions.link()
    # Looking whether it is there does not use it up.
    looked = asked.client.head("/enter", params={"key": key})
    assert looked.status_code == 200
    assert "set-cookie" not in looked.headers
    answer = asked.client.get("/enter", params={"key": key})
    assert answer.status_code == 200
    cookie = cookie_of(answer)
    assert key not in answer.text
    assert TOKEN not in str(answer.headers)
    asked.client.cookies.clear()
    again = asked.client.get("/enter", params={"key": key})
    assert again.status_code == 401
    assert "set-cookie" not in again.headers
    assert asked.client.get("/").status_code == 401
    headers = {"cookie": cookie}
    assert asked.client.get("/", headers=headers).status_code == 200
    # Cookies of other servers on this machine come along, and need not be well-formed.
    others = {"cookie": f'a={{"b": 1}}; {cookie}; c="'}
    assert asked.client.get("/", headers=others).status_code == 200
    # A wrong token is not overlooked for a good cookie.
    wrong = {**headers, "authorization": "Bearer wrong"}
    assert asked.client.get("/", headers=wrong).status_code == 401


def test_who_is_in_can_let_others_in(ask):
    asked = ask(token=TOKEN)
    assert asked.client.post("/enter/link").status_code == 401
    made = asked.client.post("/enter/link", headers={"authorization": f"Bearer {TOKEN}"})
    link = made.json()["link"]
    assert link.startswith(f"http://{HERE}/enter?key=")
    # Behind a proxy with HTTPS neither the link nor the cookie goes without.
    secure = {"authorization": f"Bearer {TOKEN}", "origin": f"https://{HERE}"}
    through = asked.client.post("/enter/link", headers=secure).json()["link"]
    assert through.startswith(f"https://{HERE}/enter?key=")
    key = through.rpartition("=")[2]
    proxied = asked.client.get("/enter?key=" + key, headers={"x-forwarded-proto": "https"})
    assert "secure" in proxied.headers["set-cookie"].lower()
    asked.client.cookies.clear()
    cookie_of(asked.client.get(link))
    assert asked.client.get("/").status_code == 200
    assert ask().client.post("/enter/link").status_code == 404


def test_the_token_can_be_typed_in(ask):
    asked = ask(token=TOKEN)
    for wrong in ("", "wrong", TOKEN + "x", "\u202e"):
        answer = asked.client.post("/enter", data={"token": wrong})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
    cookie_of(asked.client.post("/enter", data={"token": f" {TOKEN} "}))
    assert asked.client.get("/").status_code == 200
    assert ask().client.post("/enter", data={"token": "x"}).status_code == 401


def test_sessions_are_forgotten_when_there_are_too_many(ask, monkeypatch):
    monkeypatch.setattr(guard, "SESSIONS", 3)
    sessions = ask(token=TOKEN).sessions
    names = [sessions.begin() for _ in range(4)]
    assert [name in sessions for name in names] == [False, True, True, True]
    assert len(set(names)) == 4


# Bodies


def upload(size=3000):
    return multipart(image_part(b"x" * size))


def test_a_body_that_says_it_is_too_long_is_not_read(ask):
    app = ask(max_body=1 << 20).client.app
    _, kind = upload()
    headers = [HOST, ("content-type", kind), ("content-length", str((1 << 20) + 1))]
    (answer,) = run(call(app, "POST", "/api/search", headers=headers, chunks=[b"x"] * 9))
    refused(answer, 413, "too_large")
    assert answer.asked == 0
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "", "+5", "0x10", "\xb2", "9" * 5000])
def test_a_length_that_is_none_is_refused(ask, length):
    headers = [HOST, ("content-type", upload()[1]), ("content-length", length)]
    (answer,) = run(call(ask().client.app, "POST", "/api/search", headers=headers, chunks=[b"x"]))
    assert answer.status_code == 413
    assert answer.asked == 0


@pytest.mark.parametrize("length", [[], [("content-length", "10")]])
def test_a_body_that_turns_out_too_long_is_cut_off(ask, length):
    app = ask(max_body=1 << 20).client.app
    headers = [HOST, ("content-type", upload()[1]), *length]
    body, _ = upload(3 << 20)
    chunks = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    (answer,) = run(call(app, "POST", "/api/search", headers=headers, chunks=chunks))
    refused(answer, 413, "too_large")
    assert answer.asked <= 18  # of 49


def test_what_holds_no_photos_is_short(ask):
    app, key = ask().client.app, "0" * 16
    long = [b"x" * guard.SHORT] * 9
    for method, path, kind in (
        ("PATCH", f"/api/items/{key}", "application/json"),
        ("POST", "/api/search", "image/jpeg"),
        ("POST", "/api/search", "application/x-www-form-urlencoded"),
        ("POST", "/enter", "application/x-www-form-urlencoded"),
        ("POST", "/enter", upload()[1]),
    ):
        headers = [HOST, ("content-type", kind)]
        told = [("content-length", str(9 * guard.SHORT))]
        (answer,) = run(call(app, method, path, headers=headers + told, chunks=long))
        assert (answer.status_code, answer.asked) == (413, 0), (path, kind)
        (answer,) = run(call(app, method, path, headers=headers, chunks=long))
        # Or 4xx for what it is: what is no form at all is not even read.
        assert answer.status_code in (400, 413, 422), (path, kind)
        assert answer.asked <= 3


def test_a_body_that_stops_coming_is_given_up(ask, monkeypatch):
    monkeypatch.setattr(guard, "STILL_S", 0.05)
    app = ask().client.app
    body, kind = upload()
    headers = [HOST, ("content-type", kind), ("content-length", str(len(body)))]
    for chunks in ([], [body[:50]], [body[:-1]]):
        (answer,) = run(call(app, "POST", "/api/search", headers=headers, chunks=chunks))
        refused(answer, 408, "too_slow")


def test_a_body_that_drips_is_given_up(ask, monkeypatch):
    monkeypatch.setattr(guard, "STILL_S", 0.5)
    app = ask().client.app
    body, kind = upload()
    headers = [HOST, ("content-type", kind)]
    chunks = [body[at : at + 1] for at in range(1000)]
    (answer,) = run(call(app, "POST", "/api/search", headers=headers, chunks=chunks, pause=0.05))
    refused(answer, 408, "too_slow")
    assert 1 < answer.asked < 15


def test_a_client_that_goes_while_it_sends_breaks_nothing(ask):
    app = ask().client.app
    body, kind = upload()
    headers = [HOST, ("content-type", kind)]
    gone, after = run(
        call(app, "POST", "/api/search", headers=headers, chunks=[body[:50]], then="go"),
        call(app, "GET", "/api/health", headers=[HOST]),
    )
    assert gone is None or gone.status_code == 400
    assert after.status_code == 200


def test_so_many_are_read_so_many_wait_and_the_others_are_sent_away(ask, monkeypatch):
    monkeypatch.setattr(guard, "AT_ONCE", 2)
    monkeypatch.setattr(guard, "WAITING", 3)
    monkeypatch.setattr(guard, "STILL_S", 0.2)
    asked = ask(token=TOKEN)
    app, item = asked.client.app, asked.gallery.items()[0]
    key = [HOST, ("authorization", f"Bearer {TOKEN}")]
    _, kind = upload()
    slow = [
        call(app, "POST", "/api/search", headers=[*key, ("content-type", kind)]) for _ in range(9)
    ]
    label = b'{"label": "wolf"}'
    *answers, changed, searched, entered = run(
        *slow,
        # None of these waits for its turn behind photos.
        call(
            app, "PATCH", f"/api/items/{item.key}", headers=[*key, JSON], chunks=[label], then="end"
        ),
        call(app, "GET", "/api/search", headers=key, query=f"query={item.key}"),
        call(
            app,
            "POST",
            "/enter",
            headers=[HOST, ("content-type", "application/x-www-form-urlencoded")],
            chunks=[f"token={TOKEN}".encode()],
            then="end",
        ),
    )
    assert (changed.status_code, searched.status_code, entered.status_code) == (200, 200, 200)
    busy = [answer for answer in answers if answer.status_code == 503]
    assert len(busy) == 9 - 2 - 3
    for answer in busy:
        refused(answer, 503, "busy")
        assert int(answer.headers["retry-after"]) > 0
        assert answer.asked == 0
    # Those that had their turn were too slow, and those that waited had theirs then.
    assert sorted(answer.status_code for answer in answers) == [408] * 5 + [503] * 4


def test_strangers_cannot_keep_out_those_who_have_the_token(ask, monkeypatch):
    monkeypatch.setattr(guard, "AT_ONCE", 1)
    monkeypatch.setattr(guard, "WAITING", 0)
    monkeypatch.setattr(guard, "STILL_S", 0.2)
    app = ask(token=TOKEN).client.app
    body, kind = multipart(image_part(encoded(draw(99))))
    stranger = [HOST, ("content-type", kind)]
    friend = [*stranger, ("authorization", f"Bearer {TOKEN}")]
    *_, answer = run(
        *[call(app, "POST", "/enter", headers=stranger) for _ in range(5)],
        call(app, "POST", "/api/search", headers=friend, chunks=[body], then="end"),
    )
    assert answer.status_code == 200, answer.text


# Answers


def answers(asked):
    """Return an answer of each status that there is."""
    client, key = asked.client, asked.gallery.items()[0].key
    thumb = client.get(f"/thumb/{key}")
    for path in ("/", "/gallery", "/map", "/tidy", "/quality", "/about", "/docs", "/progress"):
        yield client.get(path)
    yield from (
        thumb,
        client.get(f"/thumb/{key}", headers={"if-none-match": thumb.headers["etag"]}),
        client.get("/static/app.js"),
        client.get("/static/render/theme.css"),
        client.get("/static/nothing.js"),
        client.get("/static", follow_redirects=False),
        client.get("/api/items"),
        client.get("/api/openapi.json"),
        client.get("/api/metrics"),
        client.post("/upload", files={"image": ("a.jpg", encoded(draw(99)))}),
        client.post("/upload"),
        client.post("/api/search", content=b"--", headers={"content-type": "multipart/form-data"}),
        client.post("/api/items", headers={"origin": "null"}),
        client.get("/nowhere"),
        client.get("/api/nowhere"),
        client.put("/api/items"),
        client.delete("/"),
        client.options("/"),
        client.head("/"),
        client.post(f"/api/changes/{4711}/undo"),
        client.post("/api/search", content=b"x" * (1 << 20)),
        client.get("/", headers={"host": "evil.example"}),
        client.get("/", params={"k": "many"}),
        client.get("/api/search"),
    )


def test_every_answer_says_what_it_may_load(ask, monkeypatch):
    asked = ask()
    asked.client.follow_redirects = False
    found = list(answers(asked))
    found.append(ask(token=TOKEN).client.get("/"))
    found.append(ask(read_only=True).client.delete("/api/items/" + "0" * 16))

    def broken(*_):
        raise RuntimeError("a secret")

    monkeypatch.setattr(Desk, "item", broken)
    found += [asked.client.get("/thumb/" + "0" * 16), asked.client.get("/api/items/" + "0" * 16)]
    every = {200, 303, 304, 400, 401, 403, 404, 405, 409, 413, 421, 422, 500}
    assert {answer.status_code for answer in found} >= every
    for answer in found:
        where = answer.request.url, answer.status_code
        policy = answer.headers["content-security-policy"]
        assert policy == (guard.DOCS_POLICY if where[0].path == "/docs" else POLICY), where
        assert answer.headers["x-content-type-options"] == "nosniff", where
        assert answer.headers["referrer-policy"] in ("no-referrer", "same-origin"), where
        assert answer.headers["cross-origin-resource-policy"] == "same-origin", where
        assert answer.headers["cross-origin-opener-policy"] == "same-origin", where
        assert "cache-control" in answer.headers, where
        assert "a secret" not in answer.text
        assert "Traceback" not in answer.text
    refused(found[-1], 500, "internal_error")


def test_the_policy_lets_nothing_in_from_elsewhere():
    for policy, loose in ((POLICY, set()), (guard.DOCS_POLICY, {"'unsafe-inline'"})):
        parts = {part.split()[0]: set(part.split()[1:]) for part in policy.split(";")}
        assert parts.pop("default-src") == {"'none'"}
        assert parts.pop("frame-ancestors") == {"'none'"}
        assert parts.pop("base-uri") == {"'none'"}
        assert parts.pop("img-src") == {"'self'", "data:", "blob:"}
        assert parts.pop("style-src") == {"'self'"} | loose
        assert parts.pop("script-src") == {"'self'"}
        assert parts.pop("form-action") == {"'self'"}
        assert set().union(*parts.values()) == {"'self'"}


def test_no_page_style_or_script_names_another_host():
    vendored = {"htmx.min.js", "swagger-ui.css", "swagger-ui-bundle.js"}
    places = [WEB / "static", WEB / "templates", Path(html.__file__).parent / "static"]
    files = [
        path
        for place in places
        for path in place.rglob("*")
        if path.suffix in (".js", ".css", ".svg", ".jinja", ".html") and path.name not in vendored
    ]
    assert len(files) > 20
    for path in files:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|[\"'(=]\s*//", text), path
        # Nothing that the policy would stop.
        assert not re.search(r"\son[a-z]+=|\sstyle=|<script>|<style|javascript:", text), path


def test_problems_are_json_for_programs_and_pages_for_people(ask):
    client = ask().client
    refused(client.get("/api/nowhere"), 404, "not_found")
    error = client.put("/api/items")
    refused(error, 405, "method_not_allowed")
    assert error.headers["allow"] == "GET, HEAD, POST"
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("GET", "/apis", 404),
        ("POST", "/", 405),
        ("GET", "/?k=0", 422),
        ("GET", "/static/x.js", 404),
    ):
        answer = client.request(method, path)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "That did not work" in answer.text
    assert client.post("/").headers["allow"] == "GET, HEAD"


def test_head_is_get_without_the_body(ask):
    asked = ask()
    key = asked.gallery.items()[0].key
    for path in ("/", "/api/items", f"/thumb/{key}", f"/photo/{key}", "/static/app.js"):
        head, get = asked.client.head(path), asked.client.get(path)
        assert (head.status_code, head.content) == (200, b""), path
        assert head.headers["content-length"] == get.headers["content-length"]
        assert head.headers.get("etag") == get.headers.get("etag")
    assert asked.client.head("/nowhere").status_code == 404


def test_there_are_no_routes_but_those_that_were_tried_here(ask):
    app = ask().client.app
    while not isinstance(app, FastAPI):
        app = app.app
    every = {getattr(route, "path", None) for route in app.routes} - {None}
    ours = {route.path for router in ROUTERS for route in router.routes}
    assert every <= ours | {"/api/openapi.json", "/static", "/static/render"}


def test_no_websocket_is_opened(ask):
    with pytest.raises(Exception), ask().client.websocket_connect("/"):  # noqa: B017
        pass
