"""The pages and pictures: nothing gets into them that was not meant to, and nothing out."""

import asyncio
import hashlib
import json
import os
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from calling import HOST, call, image_part, multipart
from PIL import Image

from fakes import draw, encoded, fake_embedder, start_indexing, write_photo
from houndsight import Gallery, images, index
from houndsight.doubting import Outlier
from houndsight.web import desk as desks
from houndsight.web import pages

EVIL = [
    b"<script>alert(1)</script>",
    b'"><img src=x onerror=alert(1)>',
    b"' onfocus='alert(1)' autofocus x='",
    b"</title><evil>&lt;evil&gt;",
    b"two\nlines\r\n",
    "\u202egpj.evil \u2066hidden\u2069".encode(),
    "\U0001f415\u200d\U0001f9ba".encode(),
    b"{{ 7 * 191 }}",
    b"javascript:alert(1)",
    b"\xff\xfe not UTF-8",
    b"x" * 220,
]
DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")
NO_TAGS = {"evil", "style", "base", "iframe", "frame", "object", "embed", "applet", "math"}


class Reader(HTMLParser):
    """Notes what a page is made of."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.texts, self.scripts = set(), [], [], []
        self._in_script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._in_script = tag == "script"
        assert tag != "script" or {"src", "data-from"} & dict(attrs).keys()

    def handle_endtag(self, tag):
        self._in_script = False

    def handle_data(self, data):
        (self.scripts if self._in_script else self.texts).append(data)


def check_page(text):
    """Assert that a page holds nothing but what its templates put there; return what it says."""
    page = Reader(text)
    assert not page.tags & NO_TAGS
    assert not "".join(page.scripts).strip()
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name, value)
        assert name not in ("autofocus", "srcdoc", "style", "x"), (tag, name, value)
        assert re.fullmatch("[a-zA-Z-]+[0-9]?", name), (tag, name)
        if name in ("href", "src", "action", "formaction", "hx-get"):
            made = tag == "img" and value.startswith("data:image/jpeg;base64,")
            assert made or re.match(r"(/|#|$)(?!/)", value), (tag, name, value)
        if name in ("alt", "aria-label", "title"):
            assert not DIRECTIONS.search(value), (tag, name, value)
    said = "".join(page.texts)
    assert not DIRECTIONS.search(said)
    assert "1337" not in said  # 7 * 191
    return said


def settle(*made):
    """Wait until what is made in the background is there."""
    end = time.monotonic() + 20
    while any(one.state.running for one in made):
        assert time.monotonic() < end
        time.sleep(0.005)
    for one in made:
        assert one.state.problem is None, one.state.problem


@pytest.fixture
def hostile(tmp_path):
    """A gallery of photos whose folders, names and labels are as bad as can be."""
    folder = os.path.join(os.fsencode(tmp_path), b"photos \xff <b>'\"\n")
    for number, name in enumerate(EVIL):
        inside = os.path.join(folder, name.replace(b"/", b"\\"))
        write_photo(os.path.join(inside, name.replace(b"/", b"\\") + b".jpg"), number)
        write_photo(os.path.join(inside, b"twin.jpg"), 0)
        with open(os.path.join(inside, name.replace(b"/", b"\\") + b".png"), "wb") as file:
            file.write(b"no photo")
    index(folder, tmp_path / "hostile", embedder=fake_embedder())
    return tmp_path / "hostile"


def test_no_label_and_no_path_breaks_a_page(hostile, ask, tmp_path):
    asked = ask(at=hostile)
    client, items = asked.client, asked.gallery.items()
    assert len(items) == 2 * len(EVIL)
    assert len(asked.gallery.skipped()) == len(EVIL)
    keys = []
    for name in EVIL:
        for char in (b'"', b"\r", b"\n"):  # as browsers do
            name = name.replace(char, b"%%%02X" % char[0])
        body, kind = multipart(image_part(encoded(draw(len(keys))), name))
        sent = client.post(
            "/upload", content=body, headers={"content-type": kind}, follow_redirects=False
        )
        assert sent.status_code == 303, sent.text
        keys += parse_qs(urlsplit(sent.headers["location"]).query)["q"]
    client.post("/api/report")
    for path in ("/map", "/tidy"):
        check_page(client.get(path).text)
    client.get("/", params={"q": items[0].key, "show": items[1].key})
    made = asked.desk
    settle(made.report, made.atlas, made.duplicates, made.doubtful, made.near)
    labels = sorted(asked.gallery.labels())
    every = [
        *("/", "/gallery", "/map", "/quality", "/tidy", "/about", "/progress", "/docs", "/nowhere"),
        *(f"/?q={items[n].key}&show={items[n + 1].key}" for n in range(0, len(items) - 1, 3)),
        *(f"/?q={key}" for key in keys),
        "/?" + "&".join(f"q={item.key}" for item in items[:9]) + f"&show={items[9].key}",
        *(client.build_request("GET", "/gallery", params={"label": one}).url for one in labels),
        client.build_request(
            "GET", "/", params={"q": items[0].key, "label": labels, "show": items[4].key}
        ).url,
        client.build_request("GET", "/", params={"label": "<evil>' \"\u202e"}).url,
        client.build_request("GET", "/gallery", params={"label": "<evil>' \"\u202e"}).url,
        client.build_request("GET", "/", params={"k": "<evil>\u202e"}).url,
        client.build_request("GET", "/", params={"crop": "<evil>\u202e"}).url,
        client.build_request("GET", "/enter", params={"key": "<evil>"}).url,
        "/<evil>",
        "/thumb/<evil>",
    ]
    seen = ""
    for path in every:
        answer = client.get(path)
        assert answer.status_code in (200, 401, 404, 422), (path, answer.status_code)
        if answer.request.url.path != "/docs":
            seen += check_page(answer.text)
    for words in ("alert(1)", "\\u202e", "\\n", "{{ 7 * 191 }}", "\\xff"):
        assert words in seen, words
    # A script would also run from what is meant for programs, were it taken for a page.
    for path in ("/api/items", "/api/labels", "/api/skipped", "/api/info", "/api/report"):
        answer = client.get(path)
        assert answer.headers["content-type"] == "application/json"
        answer.content.decode("utf-8")
        json.loads(answer.content)
    data = client.get("/map/data")
    assert data.headers["content-type"] == "application/json"
    json.loads(data.content)
    found = client.get("/api/search", params={"query": [item.key for item in items[:9]], "k": 20})
    assert len(json.loads(found.content)["answers"]) == 9
    settle(made.report, made.atlas, made.duplicates, made.doubtful, made.near)


def test_labels_that_were_given_by_hand_break_no_page_either(ask):
    asked = ask()
    items = asked.gallery.items()
    for item, label in zip(items, EVIL, strict=False):
        label = label.decode("utf-8", "replace")[:200]
        changed = asked.client.patch(f"/api/items/{item.key}", json={"label": label})
        assert changed.status_code == 200
    for item in items[: len(EVIL)]:
        path = f"/?q={items[0].key}&show={item.key}"
        check_page(asked.client.get(path).text)
    assert "alert(1)" in check_page(asked.client.get("/gallery").text)


def test_a_link_leads_to_the_label_whatever_it_is(hostile, ask):
    asked = ask(at=hostile)
    page = Reader(asked.client.get("/gallery").text)
    links = [
        value
        for tag, name, value in page.attributes
        if (tag, name) == ("a", "href") and value.startswith("/gallery?label=")
    ]
    assert len(links) == len(asked.gallery.labels())
    for link in links:
        assert asked.client.get(link).status_code == 200, link


# Paths


PATHS = [
    "../../../../etc/passwd",
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "%252e%252e%252fetc%252fpasswd",
    "..%5c..%5cetc%5cpasswd",
    "....//....//etc/passwd",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "%c0%ae%c0%ae/etc/passwd",
    "..%00/etc/passwd",
    "%00",
    "0000000000000000%00.jpg",
    "0000000000000000/../../../etc/passwd",
    "0000000000000000%0a",
    "0000000000000000.jpg",
    "00000000000000000",
    "000000000000000",
    "ffffffffffffffff",
    "8000000000000000",
    "g000000000000000",
    "-000000000000000",
    "f" * 64,
    "0" * 20_000,
    "%",
    "%zz",
    "%ff%fe",
    "~root",
    "C:%5cwindows%5cwin.ini",
    "file:%2f%2f%2fetc%2fpasswd",
]
KINDS = (
    *("thumb", "photo", "query", "heat", "static", "static/render", "static/swagger", "api/items"),
    *("api/changes", "gallery", "map", "enter", "."),
)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:30])
def test_no_path_leads_out(ask, path):
    asked = ask()

    async def every():
        for kind in KINDS:
            raw = f"/{kind}/{path}"
            answer = await call(asked.client.app, "GET", unquote(raw), headers=[HOST])
            assert answer.status_code in (404, 405, 422), (raw, answer.status_code)
            assert b"root:" not in answer.content

    asyncio.run(every())


def test_only_what_is_meant_to_be_static_is_served(ask):
    client = ask().client
    for path in (
        *("/static/../guard.py", "/static/..%2fguard.py", "/static/render/../atlas.py"),
        *(
            "/static/__init__.py",
            "/static/swagger/../../app.py",
            "/static/templates/base.html.jinja",
        ),
        *("/templates/base.html.jinja", "/guard.py", "/.git/config", "/catalogue.sqlite"),
    ):

        async def ask_for(path=path):
            return await call(client.app, "GET", unquote(path), headers=[HOST])

        answer = asyncio.run(ask_for())
        assert answer.status_code == 404, path


def test_no_redirect_leads_to_another_host(ask):
    client = ask().client

    async def every():
        for path in (
            "//evil.example",
            "//evil.example/",
            "/\\evil.example/",
            "/api/items/",
            "/map/",
        ):
            answer = await call(client.app, "GET", path, headers=[HOST])
            if "location" in answer.headers:
                assert answer.headers["location"].startswith("http://127.0.0.1:8000/")

    asyncio.run(every())
    files = {"image": ("a.jpg", encoded(draw(99)))}
    for query in ("", "?q=//evil.example", "?next=//evil.example", "?k=5&label=pug"):
        sent = client.post(f"/upload{query}", files=files, follow_redirects=False)
        if sent.status_code == 303:
            assert re.fullmatch(r"/\?[^/]*", sent.headers["location"])
            assert ("k=5" in sent.headers["location"]) == ("k=5" in query)


# Pictures


def replaced(kind, photo, outside):
    """Put something in the place of an indexed photo."""
    photo.unlink()
    if kind == "a link to a text":
        outside.write_bytes(b"root:x:0:0:root:/root:/bin/bash\n")
        photo.symlink_to(outside)
    elif kind == "a link to a photo outside":
        outside.write_bytes(encoded(Image.new("RGB", (90, 70), "red")))
        photo.symlink_to(outside)
    elif kind == "another photo":
        photo.write_bytes(encoded(Image.new("RGB", (90, 70), "red")))
    elif kind == "a pipe":
        os.mkfifo(photo)
    elif kind == "a device":
        photo.symlink_to("/dev/zero")
    elif kind == "a folder":
        photo.mkdir()
    elif kind == "a link to itself":
        photo.symlink_to(photo)
    elif kind == "a link to nothing":
        photo.symlink_to(outside)


@pytest.mark.parametrize(
    "kind",
    [
        "a link to a text",
        "a link to a photo outside",
        "another photo",
        "a pipe",
        "a device",
        "a folder",
        "a link to itself",
        "a link to nothing",
        "nothing",
    ],
)
def test_what_took_a_photos_place_is_not_served(ask, tmp_path, kind):
    asked = ask()
    item, other = asked.gallery.items()[:2]
    photo = Path(os.fsdecode(asked.gallery.path_of(item)))
    thumbnail = asked.client.get(f"/thumb/{item.key}").content
    replaced(kind, photo, tmp_path / "outside")
    with ThreadPoolExecutor(1) as pool:

        def get(path):
            return pool.submit(asked.client.get, path).result(timeout=10)

        assert get(f"/thumb/{item.key}").content == thumbnail  # it was made of the indexed photo
        shutil.rmtree(Path(asked.gallery.place) / "thumbnails")
        for path in (
            f"/photo/{item.key}",
            f"/photo/{item.key}?v={item.digest[:6].hex()}",
            f"/thumb/{item.key}",
            f"/thumb/{item.key}",
            f"/query/{item.key}",
            f"/heat/item?q={other.key}&show={item.key}",
            f"/heat/query?q={item.key}&show={other.key}",
            f"/heat/query?q={other.key}&show={item.key}",
            f"/heat/item?q={item.key}&show={other.key}",
            f"/api/search?query={item.key}&crop=10,10,50,50%25",
            f"/?q={item.key}&crop=10,10,50,50%25",
        ):
            answer = get(path)
            assert answer.status_code in (404, 422), path
            assert b"root:" not in answer.content
            assert not answer.headers["content-type"].startswith("image/")
        # All that is known of it is still there.
        assert get(f"/api/search?query={item.key}").status_code == 200
        assert get(f"/?q={item.key}&show={other.key}").status_code == 200
        assert get(f"/photo/{other.key}").status_code == 200
    # No thumbnail of what took its place is kept for later.
    assert not list((Path(asked.gallery.place) / "thumbnails").rglob(f"{item.digest.hex()}*"))


def test_a_photo_that_was_taken_out_has_no_picture(ask):
    asked = ask()
    item, other = asked.gallery.items()[:2]
    asked.client.delete(f"/api/items/{item.key}")
    for path in (
        f"/thumb/{item.key}",
        f"/photo/{item.key}",
        f"/heat/item?q={other.key}&show={item.key}",
        f"/heat/query?q={item.key}&show={other.key}",
        f"/?q={item.key}",
        f"/?q={other.key}&show={item.key}",
    ):
        answer = asked.client.get(path)
        assert answer.status_code == 404, path
        assert "not in the gallery, or not any more" in answer.text


def test_pictures_are_made_here_and_hold_nothing_of_the_file(ask, tmp_path):
    folder = tmp_path / "more"
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    write_photo(folder / "a" / "a.jpg", 501, (300, 200), exif=exif, comment=b"a secret place")
    write_photo(folder / "a" / "b.png", 502, (300, 200), "PNG")
    asked = ask()
    index(folder, asked.gallery.place, embedder=fake_embedder())
    items = [item for item in asked.gallery.items() if item.width == 300]
    assert len(items) == 2
    data = (folder / "a" / "a.jpg").read_bytes()
    assert b"a secret place" in data
    sent = asked.client.post("/upload", files={"image": ("a.jpg", data)})
    key = parse_qs(sent.url.query.decode())["q"][0]
    for path in (
        *(f"/{kind}/{item.key}" for item in items for kind in ("thumb", "photo")),
        f"/query/{key}",
        f"/heat/item?q={key}&show={items[0].key}",
        f"/heat/query?q={key}&show={items[1].key}",
    ):
        answer = asked.client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.content.startswith(b"\xff\xd8\xff")
        assert b"a secret place" not in answer.content


def test_a_browser_that_has_a_picture_is_not_sent_it_again(ask):
    asked = ask()
    item, other = asked.gallery.items()[:2]
    sent = asked.client.post("/upload", files={"image": ("a.jpg", encoded(draw(99)))})
    key = parse_qs(sent.url.query.decode())["q"][0]
    seen = set()
    for path in (
        f"/thumb/{item.key}",
        f"/thumb/{other.key}",
        f"/photo/{item.key}",
        f"/photo/{other.key}",
        f"/query/{key}",
        f"/heat/item?q={key}&show={item.key}",
        f"/heat/query?q={key}&show={item.key}",
        f"/heat/query?q={key}&show={item.key}&crop=10,10,50,50%25",
        f"/heat/query?q={key}&show={other.key}",
        f"/heat/query?q={item.key}&show={other.key}",
    ):
        first = asked.client.get(path)
        etag = first.headers["etag"]
        assert re.fullmatch(r'"[!#-~]+"', etag)
        assert first.headers["cache-control"] == "private, no-cache"
        for known in (etag, f"W/{etag}", f'"x", {etag}'):
            again = asked.client.get(path, headers={"if-none-match": known})
            assert (again.status_code, again.content) == (304, b""), path
            assert again.headers["etag"] == etag
            assert "content-security-policy" in again.headers
        assert asked.client.get(path, headers={"if-none-match": '"x"'}).content == first.content
        seen.add(etag)
    assert len(seen) == 10
    shown = Reader(asked.client.get("/gallery").text)
    thumbs = [value for tag, name, value in shown.attributes if (tag, name) == ("img", "src")]
    assert len(thumbs) == 20
    for path in thumbs:
        assert "immutable" in asked.client.get(path).headers["cache-control"]


def test_a_file_of_the_page_is_kept_by_the_browser_as_long_as_it_is_the_same(ask):
    asked = ask()
    client, made = asked.client, asked.desk
    for path in ("/map", "/tidy"):
        client.get(path)
    client.post("/api/report")
    settle(made.report, made.atlas, made.duplicates, made.doubtful)
    item, other = asked.gallery.items()[:2]
    shown = f"/?q={item.key}&show={other.key}"
    addresses = set()
    for path in (
        *("/", shown, "/gallery", "/map", "/quality", "/tidy", "/about", "/enter", "/docs"),
        *(f"/?q={'0' * 16}", "/nowhere"),
    ):
        here = Reader(client.get(path).text).attributes
        files = {value for _, _, value in here if value.startswith("/static/")}
        assert files, path
        addresses |= files
    swagger = {one for one in addresses if one.startswith("/static/swagger/")}
    assert len(swagger) == 2
    named = {one.partition("#")[0] for one in addresses - swagger}
    assert {urlsplit(one).path.rpartition("/")[2] for one in named} == {
        *("app.js", "atlas.css", "atlas.js", "docs.js", "htmx.min.js", "icon.svg", "report.css"),
        *("style.css", "theme.css"),
    }
    for address in named | swagger:
        path, _, version = address.partition("?v=")
        data = client.get(address).content
        # The address is another one as soon as the bytes are, and only that one is kept.
        tag = hashlib.sha256(data).hexdigest()[:8]
        assert version == ("" if address in swagger else tag)
        for asked_for, kept in (
            (f"{path}?v={tag}", "private, max-age=31536000, immutable"),
            (f"{path}?v=00000000", "private, no-cache"),
            (path, "private, no-cache"),
        ):
            answer = client.get(asked_for)
            assert (answer.status_code, answer.content) == (200, data)
            etag = answer.headers["etag"]
            again = client.get(asked_for, headers={"if-none-match": etag})
            assert (again.status_code, again.content) == (304, b"")
            for one in (answer, again, client.head(asked_for)):
                assert (one.headers["cache-control"], one.headers["etag"]) == (kept, etag)
            assert client.get(asked_for, headers={"if-none-match": '"x"'}).status_code == 200
    # What is not there may be there later.
    missing = client.get("/static/nothing.css?v=1")
    assert missing.status_code == 404
    assert "immutable" not in missing.headers.get("cache-control", "")


def test_a_thumbnail_that_is_gone_is_made_again(ask):
    asked = ask()
    item = asked.gallery.items()[0]
    before = asked.client.get(f"/thumb/{item.key}").content
    shutil.rmtree(Path(asked.gallery.place) / "thumbnails")
    assert asked.client.get(f"/thumb/{item.key}").content == before


def test_few_large_photos_are_decoded_at_once_and_searches_go_on(ask, monkeypatch):
    asked = ask()
    item = asked.gallery.items()[0]
    sent = asked.client.post("/upload", files={"image": ("a.jpg", encoded(draw(99)))})
    key = parse_qs(sent.url.query.decode())["q"][0]
    at_once, most, lock, decode = 0, 0, threading.Lock(), images.decode

    def counted(*given, **options):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        try:
            time.sleep(0.02)
            return decode(*given, **options)
        finally:
            with lock:
                at_once -= 1

    monkeypatch.setattr(images, "decode", counted)
    heat = ("/heat/item", f"q={key}&show={item.key}")
    paths = [(f"/photo/{item.key}", ""), (f"/query/{key}", ""), heat] * 20
    app = asked.client.app
    body, kind = multipart(image_part(encoded(draw(98))))
    headers = [HOST, ("content-type", kind)]

    async def every():
        pictures = [
            asyncio.create_task(call(app, "GET", path, query=query, headers=[HOST]))
            for path, query in paths
        ]
        uploads = [
            asyncio.create_task(
                call(app, "POST", "/api/search", headers=headers, chunks=[body], then="end")
            )
            for _ in range(10)
        ]
        search = await call(app, "GET", "/api/search", query=f"query={item.key}", headers=[HOST])
        waiting = sum(not task.done() for task in pictures + uploads)
        return search, waiting, await asyncio.gather(*pictures, *uploads)

    search, waiting, answers = asyncio.run(every())
    assert search.status_code == 200
    assert waiting > 50
    assert {answer.status_code for answer in answers} == {200}
    assert most == desks.DECODED


# While it is indexed


def test_photos_show_while_another_process_indexes_and_changes_are_made(tmp_path, ask):
    folder = tmp_path / "photos"
    asked = ask()
    client, items = asked.client, asked.gallery.items()
    for number in range(60):
        write_photo(folder / "husky" / f"{number}.jpg", 1000 + number)
    process = start_indexing(folder, asked.gallery.place, wait=0.15)
    try:
        assert process.stdout.readline()  # the first were committed
        underway = client.get("/api/info").json()["indexing"]
        assert underway["running"]
        assert underway["total"] == 60
        for path in ("/", "/progress", "/gallery"):
            page = client.get(path).text
            assert re.search(r"Indexing: \d+ of 60 photos", page), path
            check_page(page)
        assert 20 < len(asked.gallery) < 80
        shown = client.get("/api/items", params={"label": "husky", "limit": 1}).json()
        new = shown["items"][0]["id"]
        assert client.get(f"/thumb/{new}").status_code == 200
        # Every change goes through meanwhile.
        relabelled = client.patch(f"/api/items/{items[0].key}", json={"label": "wolf"})
        removed = client.delete(f"/api/items/{items[1].key}")
        files = {"image": ("new.jpg", encoded(draw(4711)))}
        added = client.post("/api/items", files=files, data={"label": "dingo"})
        own = client.patch(f"/api/items/{new}", json={"label": "malamute"})
        undone = client.post(f"/api/changes/{removed.json()['change']}/undo")
        for answer in (relabelled, removed, added, own, undone):
            assert answer.status_code in (200, 201), answer.text
        assert process.poll() is None
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    finally:
        process.kill()
        process.communicate()
    assert len(asked.gallery) == 20 + 60 + 1
    assert client.get("/api/info").json()["indexing"] is None
    assert "Indexing" not in client.get("/progress").text
    labels = {one["label"]: one["count"] for one in client.get("/api/labels").json()}
    assert (labels["wolf"], labels["dingo"], labels["malamute"], labels["husky"]) == (1, 1, 1, 59)
    assert items[1].key in [one["id"] for one in client.get("/api/items").json()["items"]]
    assert asked.gallery.verify() == []


def test_an_indexing_that_was_killed_is_not_shown_as_running_for_ever(ask):
    asked = ask()
    with asked.gallery.told_indexing(60) as run:
        asked.gallery.tell_indexing(run, 5)
        assert "Indexing: 5 of 60" in asked.client.get("/progress").text
        body = asked.gallery.store.documents("indexing")["indexing"]
    asked.gallery.record("indexing", {**body, "time": "2020-01-01T00:00:00+00:00"})
    assert "Indexing stopped at 5 of 60" in asked.client.get("/progress").text


def test_a_gallery_that_breaks_while_it_is_served_says_so(ask):
    asked = ask()
    item = asked.gallery.items()[0]
    asked.gallery.close()
    for path in ("/", "/gallery", f"/thumb/{item.key}", "/about"):
        answer = asked.client.get(path)
        assert answer.status_code in (500, 503), path
        assert "That did not work" in answer.text
        assert "content-security-policy" in answer.headers
    answer = asked.client.get("/api/items")
    assert answer.status_code in (500, 503)
    assert answer.json()["error"]["remedy"]
    assert asked.client.get("/api/health").status_code == 200
    assert asked.client.get("/", headers={"host": "evil.example"}).status_code == 421


def test_what_is_being_made_when_it_stops_is_given_up_without_a_word(ask):
    asked = ask()
    stopped, ended = threading.Event(), threading.Event()

    def make(_):
        try:
            assert stopped.wait(10)
            return len(asked.gallery)
        finally:
            ended.set()

    asked.desk.atlas._make = make
    asked.client.get("/map")
    asked.desk.close()
    asked.gallery.close()
    stopped.set()
    assert ended.wait(10)
    for thread in threading.enumerate():  # an error in it would fail this test
        if thread.daemon and thread.name.endswith("(_run)"):
            thread.join(10)


def test_what_a_clumsy_user_asks_for_is_answered(ask):
    asked = ask()
    key = asked.gallery.items()[0].key
    for path, status in (
        ("/gallery?start=-5", 200),
        (f"/gallery?start={10**30}", 200),
        ("/gallery?start=many", 422),
        ("/gallery?label=", 200),
        ("/gallery?label=cat", 404),
        ("/about?start=99", 200),
        ("/?q=", 200),
        ("/?nothing=here", 200),
        (f"/?q={key}&q={key}", 200),
        (f"/?q={key}&k=0", 422),
        (f"/?q={key}&k=", 200),
        (f"/?q={key}&k=201", 422),
        (f"/?q={key}&k=1&k=2", 200),
        (f"/?q={key}&way=any", 422),
        (f"/?q={key}&crop=no", 422),
        (f"/?q={key}&crop=0,0,0,0", 422),
        (f"/?q={key}&label=pug&label=pug", 200),
        (f"/?q={key}&metric=none", 404),
        (f"/?q={key}&show=x", 404),
        (f"/?q={key}&show={'0' * 64}", 404),
        (f"/?q={key}%0A", 404),
        (f"/?q={key.upper()}x", 404),
        ("/?" + "&".join(f"q={n:016x}" for n in range(17)), 422),
        (f"/heat/item?q={key}", 422),
        ("/heat/item", 422),
        ("/heat/else?q=x", 422),
        ("/map?again=perhaps", 200),
        ("/enter?key=no", 401),
    ):
        answer = asked.client.get(path)
        assert answer.status_code == status, (path, answer.status_code)
        check_page(answer.text)
    # A browser's form without a photo; a body without one.
    nothing = multipart((b'Content-Disposition: form-data; name="image"; filename=""', b""))
    other = multipart((b'Content-Disposition: form-data; name="picture"; filename="a"', b"x"))
    for body, kind in (nothing, other, (b"", "text/plain")):
        sent = asked.client.post("/upload", content=body, headers={"content-type": kind})
        assert sent.status_code == 422
        assert "no photo was chosen" in check_page(sent.text)


def test_many_photos_at_once_are_asked_about_together(ask):
    client = ask().client
    files = [("image", (f"{n}.jpg", encoded(draw(n)))) for n in range(pages.TOGETHER)]
    sent = client.post("/upload", files=files)
    assert sent.status_code == 200
    assert sent.text.count('class="query"') == pages.TOGETHER
    assert client.post("/upload?q=" + "0" * 16, files=files).status_code == 422


def test_of_several_photos_what_cannot_be_read_is_named_once(ask):
    client = ask().client
    files = [
        ("image", ("good.jpg", encoded(draw(1)))),
        ("image", ("<evil>\u202e.jpg", b"no photo")),
        ("image", ("empty.png", b"")),
    ]
    sent = client.post("/upload?k=5", files=files, follow_redirects=False)
    assert sent.status_code == 200
    said = check_page(sent.text)
    assert "2 of the files could not be used" in said
    for name in ("<evil>\\u202e.jpg", "empty.png"):
        assert len(re.findall(rf"{re.escape(name)}: \S", said)) == 1, said
    assert sent.text.count('class="query"') == 1
    assert sent.text.count('class="rank"') == 5
    # The address holds only what could be read, and there nothing is said of the others.
    address = sent.headers["hx-push-url"]
    assert re.fullmatch(r"/\?q=[0-9a-f]{64}&k=5", address)
    there = client.get(address)
    assert there.status_code == 200
    assert "could not be used" not in check_page(there.text)
    assert there.text.count('class="rank"') == 5
    # Where all could be read it is gone to as ever, and where none could nothing is answered.
    good = client.post("/upload", files=files[:1], follow_redirects=False)
    assert (good.status_code, "hx-push-url" in good.headers) == (303, False)
    bad = client.post("/upload", files=files[1:])
    assert (bad.status_code, "hx-push-url" in bad.headers) == (422, False)


def test_the_most_doubtful_labels_are_shown_and_no_others(ask, monkeypatch):
    monkeypatch.setattr(pages, "ON_A_PAGE", 3)
    asked = ask()
    items = asked.gallery.items()
    scores = [0.5, 0.4, 0.1, 0.0, 0.9, 0.8, 0.7, 0.6]
    ranked = [
        Outlier(item, score, "wolf", 0, 0) for item, score in zip(items, scores, strict=False)
    ]
    asked.desk.doubtful._make = lambda _: ranked
    asked.client.get("/tidy")
    settle(asked.desk.doubtful, asked.desk.duplicates)

    def shown():
        page = Reader(asked.client.get("/tidy").text)
        links = [value for _, name, value in page.attributes if name == "action"]
        return [link.rpartition("/")[2] for link in links if link.startswith("/api/items/")]

    assert shown() == [item.key for item in items[4:7]]
    # Where one was settled the next moves up.
    asked.client.patch(f"/api/items/{items[4].key}", json={"label": "wolf"})
    assert shown() == [item.key for item in items[5:8]]


def test_the_oldest_gallery_of_all_is_one_without_photos(tmp_path, ask):
    Gallery.create(tmp_path / "empty", fake_embedder()).close()
    asked = ask(at=tmp_path / "empty")
    for path in ("/", "/gallery", "/about", "/quality", "/map", "/tidy", "/api/info"):
        assert asked.client.get(path).status_code == 200, path
    settle_all(asked.desk)
    for path in ("/map", "/tidy"):
        check_page(asked.client.get(path).text)
    files = {"image": ("a.jpg", encoded(draw(1)))}
    assert asked.client.post("/api/search", files=files).json()["answers"][0]["matches"] == []
    assert asked.client.post("/api/classify", files=files).json()["answers"][0]["answer"] is None
    added = asked.client.post("/api/items", files=files, data={"label": "pug"})
    assert added.status_code == 201, added.text
    found = asked.client.post("/api/classify", files=files).json()["answers"][0]
    assert found["answer"] == "pug"


def settle_all(desk):
    end = time.monotonic() + 20
    made = (desk.report, desk.atlas, desk.duplicates, desk.doubtful, desk.near)
    while any(one.state.running for one in made):
        assert time.monotonic() < end
        time.sleep(0.005)
