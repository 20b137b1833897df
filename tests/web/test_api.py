"""The HTTP API: the library's answers, and refusals with a code and a remedy."""

import io
import json
import os
import re
import struct
import time
import unicodedata
import zlib
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pillow_heif
import pytest
from calling import image_part, multipart, refused
from PIL import Image

from dng import dng, plain
from fakes import draw, encoded, fake_embedder
from houndsight import Gallery, import_vectors, index
from houndsight.combining import search_combined
from houndsight.cropping import Crop, View
from houndsight.errors import WeightsUnavailable
from houndsight.evaluation import evaluate
from houndsight.queries import read_queries
from houndsight.render.evaluation_record import evaluation_record
from houndsight.types import Where
from houndsight.voting import classify_queries
from houndsight.web import desk, uploads


def test_a_search_by_item_is_what_the_library_finds(ask):
    asked = ask()
    items = asked.gallery.items()
    answer = asked.client.get("/api/search", params={"query": items[0].key, "k": 5})
    assert answer.status_code == 200, answer.text
    (one,) = answer.json()["answers"]
    vectors = asked.gallery.vectors(items[:1])
    (found,) = asked.gallery.search(vectors, 5, exclude=[[items[0].id]])
    assert [(m["id"], m["distance"]) for m in one["matches"]] == [
        (match.item.key, pytest.approx(match.distance)) for match in found
    ]


def test_a_photo_that_is_handed_in_finds_its_twin(ask):
    asked = ask()
    photo = asked.gallery.items()[3]
    data = Path(os.fsdecode(asked.gallery.path_of(photo))).read_bytes()
    answer = asked.client.post("/api/search", files={"image": ("mine.jpg", data)}, data={"k": 3})
    assert answer.status_code == 200, answer.text
    (one,) = answer.json()["answers"]
    assert one["matches"][0]["id"] == photo.key
    assert one["matches"][0]["distance"] == 0
    assert one["matches"][0]["same_bytes"]
    again = asked.client.get("/api/search", params={"query": one["query"][0], "k": 3})
    assert again.json()["answers"][0]["matches"] == one["matches"]


def test_rubbish_is_refused_with_cause_and_remedy(ask):
    answer = ask().client.post("/api/search", files={"image": ("mine.jpg", b"no photo at all")})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "unreadable_image"


def test_a_label_is_changed_and_taken_back(ask):
    asked = ask()
    item = asked.gallery.items()[0]
    changed = asked.client.patch(f"/api/items/{item.key}", json={"label": "wolf"})
    assert changed.status_code == 200, changed.text
    assert asked.gallery.items([item.id])[0].label == "wolf"
    undone = asked.client.post(f"/api/changes/{changed.json()['change']}/undo")
    assert undone.status_code == 200, undone.text
    assert asked.gallery.items([item.id])[0].label == item.label


def test_a_photo_is_added_and_found(ask):
    asked = ask()
    data = encoded(draw(4711, (96, 80)))
    added = asked.client.post(
        "/api/items", files={"image": ("new.jpg", data)}, data={"label": "dingo"}
    )
    assert added.status_code == 201, added.text
    id_ = added.json()["item"]["id"]
    found = asked.client.post("/api/search", files={"image": ("new.jpg", data)}).json()
    assert found["answers"][0]["matches"][0]["id"] == id_
    assert {"label": "dingo", "count": 1} in asked.client.get("/api/labels").json()


# Answers are the library's


def as_json(found):
    """Return matches as (id, distance), to compare."""
    return [
        [(match.item.key, pytest.approx(match.distance)) for match in matches]
        for match in [0]
        for matches in found
    ]


def said(answer):
    assert answer.status_code == 200, answer.text
    return [[(m["id"], m["distance"]) for m in one["matches"]] for one in answer.json()["answers"]]


@pytest.mark.parametrize("way", ["each", "mean", "min", "max"])
def test_several_queries_are_answered_as_the_library_does(ask, way):
    asked = ask()
    items = [asked.gallery.items()[n] for n in (0, 7, 13)]
    params = {"query": [item.key for item in items], "k": 6, "way": way, "label": ["pug", "collie"]}
    found = search_combined(
        asked.gallery,
        asked.gallery.vectors(items),
        6,
        combine=None if way == "each" else way,
        where=Where(labels=frozenset({"pug", "collie"})),
        exclude=[[item.id] for item in items],
    )
    assert said(asked.client.get("/api/search", params=params)) == as_json(found)
    shown = asked.client.get("/", params={**params, "q": params["query"]}).text
    assert shown.count('aria-label="Neighbours') == len(found)


def test_a_part_of_a_photo_is_looked_at_as_the_library_does(ask, tmp_path):
    asked = ask()
    item = asked.gallery.items()[0]
    mine = tmp_path / "mine.jpg"
    mine.write_bytes(encoded(draw(4711, (96, 80))))
    key = handed_in(asked, mine.read_bytes())
    for query, path in ((item.key, asked.gallery.path_of(item)), (key, mine)):
        for crop in ("10,10,60,50%", "8,8,40,32"):
            read = read_queries(
                asked.gallery, asked.desk._embedder, path, view=View(Crop.parse(crop))
            )
            found = asked.gallery.search(
                read.vectors, 20, exclude=[photo.own for photo in read.photos]
            )
            answer = asked.client.get("/api/search", params={"query": query, "crop": crop})
            assert said(answer) == as_json(found)
            assert answer.json()["answers"][0]["crop"] == crop


def test_what_neighbours_make_of_it_is_what_the_library_says(ask):
    asked = ask()
    items = asked.gallery.items()[:3]
    votes = classify_queries(
        asked.gallery,
        asked.gallery.vectors(items),
        k=7,
        exclude=[[item.id] for item in items],
    )
    params = {"query": [item.key for item in items], "k": 7}
    found = asked.client.get("/api/classify", params=params).json()["answers"]
    assert [one["answer"] for one in found] == [vote.label for vote in votes]
    assert [one["share"] for one in found] == [pytest.approx(vote.share) for vote in votes]
    assert [{v["label"]: v["count"] for v in one["votes"]} for one in found] == [
        vote.counts for vote in votes
    ]
    photos = [photo_of(asked, item) for item in items]
    files = [("image", (f"{n}.jpg", photo)) for n, photo in enumerate(photos)]
    posted = asked.client.post("/api/classify", files=files, data={"k": 8}).json()["answers"]
    # What was handed in is no file of the gallery: its twin votes as well.
    whole = classify_queries(asked.gallery, asked.gallery.vectors(items), k=8)
    assert [one["answer"] for one in posted] == [vote.label for vote in whole]


def photo_of(asked, item):
    return Path(os.fsdecode(asked.gallery.path_of(item))).read_bytes()


def handed_in(asked, data, name="mine.jpg"):
    """Hand in a photo; return its key."""
    answer = asked.client.post("/api/search", files={"image": (name, data)}, data={"k": 1})
    assert answer.status_code == 200, answer.text
    return answer.json()["answers"][0]["query"][0]


# What is handed in


def with_size(kind, width, height):
    """Return a file of a few bytes that says it is a photo of that size."""
    if kind == "png":
        body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunks = [(b"IHDR", body), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
        made = [
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        ]
        return b"\x89PNG\r\n\x1a\n" + b"".join(made)
    data = bytearray(encoded(draw(1)))
    at = data.index(b"\xff\xc0") + 5  # in the frame header: height, width
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


JPEG = encoded(draw(1))
RUBBISH = {
    "nothing": (b"", "no photo"),
    "one byte": (b"\xff", "no photo"),
    "text": (b"no photo at all", "no photo"),
    "zeros": (b"\0" * 5000, "no photo"),
    "a web page": (b"<!doctype html><script>alert(1)</script>", "is a web page"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "no photo"),
    "HEIC": (b"\0\0\0\x18ftypheic" + b"\0" * 500, "damaged"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "no photo"),
    "a program": (b"\x7fELF" + b"\0" * 100, "no photo"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no photo"),
    "an archive": (b"PK\x03\x04" + b"\0" * 100, "no photo"),
    "a head without a photo": (JPEG[:300], ""),
    "half a photo": (encoded(draw(1, (400, 300)))[:3000], "damaged"),
    "a PNG cut short": (encoded(draw(1), "PNG")[:-500], "damaged"),
    "2,500 megapixels": (with_size("png", 50_000, 50_000), "megapixels"),
    "a row of 2 billion": (with_size("png", 2_000_000_000, 1), "megapixels"),
    "a little too large": (with_size("png", 8_001, 8_001), "megapixels"),
    "4,290 megapixels as JPEG": (with_size("jpeg", 65_500, 65_500), "megapixels"),
    "a PNG without pixels": (with_size("png", 0, 0), ""),
}


@pytest.mark.parametrize(("data", "words"), RUBBISH.values(), ids=list(RUBBISH))
def test_what_is_no_good_photo_is_refused(ask, data, words):
    asked = ask()
    files = {"image": ("holiday.jpg", data, "image/jpeg")}
    before = len(asked.gallery)
    for path in ("/api/search", "/api/classify", "/api/items"):
        answer = asked.client.post(path, files=files)
        assert answer.status_code == 422, answer.text
        error = answer.json()["error"]
        assert error["code"] == "unreadable_image"
        assert words in error["message"]
        assert "/tmp" not in answer.text  # where it lies is nobody's business
    page = asked.client.post("/upload", files=files)
    assert page.status_code == 422
    assert "<script>" not in page.text
    assert len(asked.gallery) == before
    # Nothing is left of it.
    assert list(Path(asked.desk.uploads._folder.name).iterdir()) == []


def test_large_photos_are_let_in_and_the_limit_is_where_it_says(ask, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_PIXELS", 96 * 80)
    asked = ask()
    handed_in(asked, encoded(draw(4711, (96, 80))))
    files = {"image": ("a.jpg", encoded(draw(4711, (97, 80))))}
    answer = asked.client.post("/api/search", files=files)
    assert "megapixels" in refused(answer, 422, "unreadable_image")["message"]


def test_one_bad_photo_among_several_is_named(ask):
    asked = ask()
    files = [
        ("image", ("good.jpg", encoded(draw(99)))),
        ("image", ("bad.jpg", b"rubbish")),
        ("image", ("large.png", with_size("png", 50_000, 50_000))),
    ]
    for path in ("/api/search", "/api/classify"):
        answer = asked.client.post(path, files=files).json()
        assert [one["name"] for one in answer["answers"]] == ["good.jpg"]
        assert [one["name"] for one in answer["skipped"]] == ["bad.jpg", "large.png"]
        assert all(one["reason"] for one in answer["skipped"])
    bad = asked.client.post("/api/search", files=files[1:]).json()
    assert (bad["answers"], len(bad["skipped"])) == ([], 2)


MULTIPART = "multipart/form-data"
FORMS = {
    "no boundary": (b"x", MULTIPART, 400),
    "an empty boundary": (b"x", f"{MULTIPART}; boundary=", 400),
    "a long boundary": (b"x", f"{MULTIPART}; boundary={'b' * 5000}", 400),
    "rubbish": (b"\0\xff" * 500, f"{MULTIPART}; boundary=frontier", 400),
    "no name": (*multipart((b"Content-Disposition: form-data", b"x")), 400),
    "no head": (*multipart((b"", b"x")), 400),
    "1,001 files": (*multipart(*[image_part(b"x")] * 1001), 400),
    "1,001 fields": (
        *multipart(*[(b'Content-Disposition: form-data; name="k"', b"1")] * 1001),
        400,
    ),
    "17 bad photos": (*multipart(*[image_part(b"x")] * 17), 422),
    "a field of 2 MB": (
        *multipart((b'Content-Disposition: form-data; name="label"', b"x" * (2 << 20))),
        400,
    ),
    "a field's name of 1 MB": (
        *multipart((b'Content-Disposition: form-data; name="%b"' % (b"x" * (1 << 20)), b"1")),
        None,
    ),
    "many heads": (*multipart((b"\r\n".join([b"X-A: b"] * 50_000), b"1")), None),
    "a photo as text": (
        *multipart((b'Content-Disposition: form-data; name="image"', JPEG)),
        422,
    ),
    "k as a file": (
        *multipart((b'Content-Disposition: form-data; name="k"; filename="k"', b"5")),
        422,
    ),
    "a strange character set": (
        multipart((b'Content-Disposition: form-data; name="metric"', rb"\ud800"))[0],
        f"{MULTIPART}; boundary=frontier; charset=unicode_escape",
        422,
    ),
    "JSON": (b"{}", "application/json", 422),
    "a bare photo": (JPEG, "image/jpeg", 422),
    "a form without photos": (b"k=5", "application/x-www-form-urlencoded", 422),
}


@pytest.mark.parametrize(("body", "kind", "status"), FORMS.values(), ids=list(FORMS))
def test_forms_that_make_no_sense_are_refused(ask, body, kind, status):
    asked = ask()
    for path in ("/api/search", "/api/classify", "/api/items"):
        answer = asked.client.post(path, content=body, headers={"content-type": kind})
        assert answer.status_code in ((400, 422) if status is None else (status,)), answer.text
        refused(answer, answer.status_code, answer.json()["error"]["code"])
    assert asked.client.get("/api/health").status_code == 200


HOSTILE = [
    '<script>alert(1)</script>"><img src=x onerror=alert(1)>',
    "a'b\"c&d`e",
    "two\nlines\r\nand\ttabs",
    "\u202egpj.evil\u202c",
    "\U0001f415\u200d\U0001f9ba e\u0301",
    "../../../etc/passwd",
    "x" * 200,
    "nul\0byte",
    "{{ 7 * 7 }}${7*7}%s%n",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
def test_labels_of_any_text_are_kept_and_come_back(ask, text):
    asked = ask()
    item = asked.gallery.items()[0]
    kept = unicodedata.normalize("NFC", text)
    assert asked.client.patch(f"/api/items/{item.key}", json={"label": text}).status_code == 200
    assert asked.client.get(f"/api/items/{item.key}").json()["label"] == kept
    assert {"label": kept, "count": 1} in asked.client.get("/api/labels").json()
    listed = asked.client.get("/api/items", params={"label": kept}).json()
    assert [one["id"] for one in listed["items"]] == [item.key]
    files = {"image": ("new.jpg", encoded(draw(77)))}
    added = asked.client.post("/api/items", files=files, data={"label": text})
    assert added.status_code == 201, added.text
    # A form's lines end with CR LF, and a field may not hold NUL, whatever a client thinks.
    assert added.json()["item"]["label"].split() == kept.split()


def test_file_names_are_shown_and_lead_nowhere(ask):
    asked = ask()
    names = [
        b"../../../../etc/passwd",
        b"..\\..\\windows\\win.ini",
        b"/etc/passwd",
        b"<script>alert(1)</script>.jpg",
        "\u202egpj.exe".encode(),
        b"nul\0.jpg",
        b"\xff\xfe.jpg",
        b"x" * 3000 + b".jpg",
        b"con",
        b" ",
    ]
    folder = Path(asked.desk.uploads._folder.name)
    for number, name in enumerate(names):
        body, kind = multipart(image_part(encoded(draw(number)), name))
        answer = asked.client.post("/api/search", content=body, headers={"content-type": kind})
        assert answer.status_code == 200, answer.text
        (one,) = answer.json()["answers"]
        assert len(one["name"]) <= 255
        assert (folder / one["query"][0]).read_bytes() == encoded(draw(number))
        added = asked.client.post("/api/items", data={"query": one["query"][0]})
        assert re.fullmatch(r".*/[0-9a-f]{2}/[0-9a-f]{64}\.jpg", added.json()["item"]["path"])
    assert len(list(folder.iterdir())) == len(names)
    # Half a character by way of a strange character set.
    body, _ = multipart(image_part(JPEG, rb"\ud800.jpg"))
    kind = f"{MULTIPART}; boundary=frontier; charset=unicode_escape"
    answer = asked.client.post("/api/search", content=body, headers={"content-type": kind})
    assert answer.status_code == 200, answer.text
    assert answer.json()["answers"][0]["name"] == "?.jpg"


# Changes


BAD_LABELS = ["", " ", "\t\n", "\u3000\u00a0", "\x1c\x1f", "x" * 201, 5, True, ["a"], {"a": 1}]


@pytest.mark.parametrize("label", BAD_LABELS, ids=ascii)
def test_a_label_that_is_none_is_refused(ask, label):
    asked = ask()
    item = asked.gallery.items()[0]
    answer = asked.client.patch(f"/api/items/{item.key}", json={"label": label})
    refused(answer, 422, "invalid_input")
    if isinstance(label, str) and label:
        files = {"image": ("new.jpg", encoded(draw(77)))}
        added = asked.client.post("/api/items", files=files, data={"label": label})
        refused(added, 422, "invalid_input")
    assert asked.gallery.items([item.id]) == [item]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"label": "wolf"}', "text/plain"),
        (b'{"label": "wolf"}', ""),
        (b"label=wolf", "application/x-www-form-urlencoded"),
        (b'{"label": "wolf", "removed": null}', "application/json"),
        (b'{"label": "wolf", "\\ud800": 1}', "application/json"),
        (b'{"label": "\\ud800"}', "application/json"),
        (b'{"label": "\xff"}', "application/json"),
        (b'{"label": ', "application/json"),
        (b"{}", "application/json"),
        (b"null", "application/json"),
        (b"[1]", "application/json"),
        (b"", "application/json"),
        (b"[" * 60_000, "application/json"),
        (b'{"label": ' + b"9" * 5000 + b"}", "application/json"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_change_that_makes_no_sense_is_refused(ask, body, kind):
    asked = ask()
    before = asked.gallery.items()
    answer = asked.client.patch(
        f"/api/items/{before[0].key}", content=body, headers={"content-type": kind}
    )
    assert answer.status_code in (400, 422), answer.text
    refused(answer, answer.status_code, answer.json()["error"]["code"])
    assert asked.gallery.items() == before


def test_every_change_has_a_way_back_once(ask):
    asked = ask()
    client, items = asked.client, asked.gallery.items()
    key = handed_in(asked, encoded(draw(99)))
    relabelled = client.patch(f"/api/items/{items[0].key}", json={"label": " wo\u0308lf "}).json()
    unlabelled = client.patch(f"/api/items/{items[1].key}", json={"label": None}).json()
    removed = client.delete(f"/api/items/{items[2].key}").json()
    added = client.post("/api/items", data={"query": key, "label": "dingo"}).json()
    labels = {item.id: item.label for item in asked.gallery.items()}
    assert labels[items[0].id] == "w\u00f6lf"
    assert labels[items[1].id] is None
    assert items[2].id not in labels
    assert labels[int(added["item"]["id"], 16)] == "dingo"
    # In any order, whatever came after.
    for change in (unlabelled, added, relabelled, removed):
        assert client.post(f"/api/changes/{change['change']}/undo").status_code == 200
        refused(client.post(f"/api/changes/{change['change']}/undo"), 409, "not_undone")
    assert asked.gallery.items() == items
    same = client.patch(f"/api/items/{items[0].key}", json={"label": items[0].label}).json()
    # It is a person's label now.
    assert same["change"] is not None
    again = client.patch(f"/api/items/{items[0].key}", json={"label": items[0].label}).json()
    assert again["change"] is None


def test_a_change_that_was_overtaken_is_not_undone(ask):
    asked = ask()
    item = asked.gallery.items()[0]
    first = asked.client.patch(f"/api/items/{item.key}", json={"label": "a"}).json()["change"]
    asked.client.patch(f"/api/items/{item.key}", json={"label": "b"})
    refused(asked.client.post(f"/api/changes/{first}/undo"), 409, "not_undone")
    assert asked.gallery.items([item.id])[0].label == "b"
    for number in (4711, 1 << 61):
        assert asked.client.post(f"/api/changes/{number}/undo").status_code == 409
    for number in ("0", "-1", "x", str(1 << 70), "1e3"):
        assert asked.client.post(f"/api/changes/{number}/undo").status_code == 422


def test_a_photo_that_was_taken_out_is_gone_for_every_request(ask):
    asked = ask()
    item = asked.gallery.items()[0]
    url = f"/api/items/{item.key}"
    assert asked.client.delete(url).status_code == 200
    refused(asked.client.get(url), 404, "no_such_item")
    refused(asked.client.delete(url), 404, "no_such_item")
    refused(asked.client.patch(url, json={"label": "x"}), 404, "no_such_item")
    for path in ("search", "classify"):
        for crop in ({}, {"crop": "10,10,50,50%"}):
            params = {"query": item.key, **crop}
            refused(asked.client.get(f"/api/{path}", params=params), 404, "no_such_item")
    others = asked.client.get("/api/items").json()["items"]
    assert item.key not in [one["id"] for one in others]


def test_a_photo_is_added_once(ask):
    asked = ask()
    item = asked.gallery.items()[0]
    again = asked.client.post("/api/items", files={"image": ("a.jpg", photo_of(asked, item))})
    assert again.status_code in (409, 422)
    refused(again, again.status_code, again.json()["error"]["code"])
    assert len(asked.gallery) == 20


def test_only_one_photo_is_added_at_once(ask):
    asked = ask()
    files = [("image", (f"{n}.jpg", encoded(draw(4711 + n)))) for n in range(2)]
    answer = asked.client.post("/api/items", files=files, data={"label": "dingo"})
    refused(answer, 422, "invalid_input")
    assert "image" in answer.json()["error"]["message"]
    assert len(asked.gallery) == 20
    assert asked.client.post("/api/items", files=files[:1]).status_code == 201
    assert len(asked.gallery) == 21


BAD_KEYS = [
    *("", "x", "..", "0" * 15, "0" * 17, "0" * 63, "0" * 65, "f" * 16, "8" + "0" * 15, "A" * 16),
    *("0" * 15 + "\n", "0" * 16 + "\n", "0" * 16 + "\0", "-" + "0" * 15, "0x" + "0" * 14),
    *("0" * 16 + "/..", "../" * 5, "%00", "%2e%2e", "0" * 5000, "\u0660" * 16, " " + "0" * 16),
]


@pytest.mark.parametrize("key", BAD_KEYS, ids=lambda key: ascii(key)[:24])
def test_keys_that_are_none_are_refused(ask, key):
    client = ask().client
    quoted = quote(key, safe="")
    for way in ("GET", "DELETE", "PATCH") if key else ():
        answer = client.request(way, f"/api/items/{quoted}")
        assert answer.status_code in (404, 422), (way, answer.status_code)
    for path in ("search", "classify"):
        refused(client.get(f"/api/{path}", params={"query": key}), 422, "invalid_input")
    answer = client.post("/api/items", data={"query": key})
    assert answer.status_code == 422


def test_questions_that_make_no_sense_are_refused(ask):
    asked = ask()
    key = asked.gallery.items()[0].key
    good = {"query": key}
    for bad, status in (
        ({"k": 0}, 422),
        ({"k": 201}, 422),
        ({"k": "9" * 30}, 422),
        ({"k": "five"}, 422),
        ({"crop": "1,2,3"}, 422),
        ({"crop": "nan,0,5,5"}, 422),
        ({"crop": "0,0,0,0"}, 422),
        ({"crop": "0,0,1000,1000"}, 422),
        ({"crop": "90,90,50,50%"}, 422),
        ({"crop": "9" * 400 + ",1,1,1"}, 422),
        ({"crop": "1.5,1.5,5,5"}, 422),
        ({"crop": "\u0661,0,5,5"}, 422),
        ({"label": "no such label"}, 404),
        ({"label": "beagel"}, 404),
        ({"label": "x" * 500}, 422),
        ({"label": ["x"] * 101}, 422),
        ({"metric": "no-such"}, 404),
        ({"metric": "../../etc"}, 404),
        ({"metric": "x" * 5000}, 404),
        ({"way": "any"}, 422),
        ({"query": [key] * 17}, 422),
        ({"query": "0" * 16}, 404),
        ({"query": "0" * 64}, 404),
    ):
        answer = asked.client.get("/api/search", params={**good, **bad})
        refused(answer, status, answer.json()["error"]["code"])
    hint = asked.client.get("/api/search", params={**good, "label": "beagel"})
    assert "beagle" in hint.json()["error"]["remedy"]
    for params in ({"offset": -1}, {"limit": 0}, {"limit": 1001}, {"offset": 1 << 63}):
        refused(asked.client.get("/api/items", params=params), 422, "invalid_input")
    assert asked.client.get("/api/items", params={"offset": 1 << 40}).json()["items"] == []


def test_a_part_beyond_the_photo_does_not_lose_the_photo(ask):
    asked = ask()
    key = handed_in(asked, encoded(draw(99, (96, 80))))
    bad = asked.client.get("/api/search", params={"query": key, "crop": "0,0,500,500"})
    assert bad.status_code == 422
    assert asked.client.get("/api/search", params={"query": key}).status_code == 200
    assert asked.client.get(f"/query/{key}").status_code == 200


def test_queries_that_were_not_used_for_long_make_room(ask):
    asked = ask()
    photos = [encoded(draw(number, (96, 80))) for number in range(50, 53)]
    asked.desk.uploads.room = sum(map(len, photos)) - 1
    keys = [handed_in(asked, photo) for photo in photos]
    gone = asked.client.get("/api/search", params={"query": keys[0]})
    refused(gone, 404, "query_gone")
    refused(asked.client.post("/api/items", data={"query": keys[0]}), 404, "query_gone")
    for path in (f"/query/{keys[0]}", f"/?q={keys[0]}"):
        assert "Hand it in once more" in asked.client.get(path).text
    for key in keys[1:]:
        assert asked.client.get("/api/search", params={"query": key}).status_code == 200
    assert len(list(Path(asked.desk.uploads._folder.name).iterdir())) == 2
    assert handed_in(asked, photos[0]) == keys[0]


def test_a_change_shows_in_the_next_answer(ask):
    asked = ask()
    client, items = asked.client, asked.gallery.items()
    photo = photo_of(asked, items[5])
    key = handed_in(asked, photo)
    params = {"query": key, "k": 1}
    for label in ("wolf", "fox"):
        client.patch(f"/api/items/{items[5].key}", json={"label": label})
        (one,) = client.get("/api/search", params=params).json()["answers"]
        assert (one["matches"][0]["label"], one["label"]) == (label, label)
        (vote,) = client.get("/api/classify", params=params).json()["answers"]
        assert vote["answer"] == label
    # Done by another process, here another handle.
    with Gallery(asked.gallery.place) as other:
        other.set_labels({items[5].id: "jackal"}, source="user")
    (one,) = client.get("/api/search", params=params).json()["answers"]
    assert (one["matches"][0]["label"], one["label"]) == ("jackal", "jackal")
    client.delete(f"/api/items/{items[5].key}")
    (one,) = client.get("/api/search", params=params).json()["answers"]
    assert (one["matches"][0]["id"] != items[5].key, one["label"]) == (True, None)
    added = client.post("/api/items", data={"query": key, "label": "dingo"}).json()
    (one,) = client.get("/api/search", params=params).json()["answers"]
    assert one["matches"][0]["id"] == added["item"]["id"]
    assert one["matches"][0]["same_bytes"]


def test_a_photo_that_was_edited_and_indexed_again_is_looked_at_anew(ask, tmp_path):
    asked = ask()
    item = asked.gallery.items()[0]
    params = {"query": item.key, "crop": "10,10,80,80%", "k": 5}
    heat = f"/heat/query?q={item.key}&show={asked.gallery.items()[1].key}"
    before, map_before = asked.client.get("/api/search", params=params), asked.client.get(heat)
    assert map_before.status_code == 200, map_before.text
    place = Path(os.fsdecode(asked.gallery.path_of(item)))
    place.write_bytes(encoded(draw(31337, (96, 80))))
    index(tmp_path / "photos", asked.gallery.place, embedder=fake_embedder())
    assert asked.gallery.items([item.id])[0].digest != item.digest
    after, map_after = asked.client.get("/api/search", params=params), asked.client.get(heat)
    assert said(after) != said(before)
    assert map_after.headers["etag"] != map_before.headers["etag"]
    assert map_after.content != map_before.content


# Without the network, or with a gallery that cannot be written


def test_without_the_network_the_gallery_can_still_be_asked(ask):
    reason = WeightsUnavailable("the weights are not here", remedy="Run houndsight models --fetch")
    asked = ask(reason)
    items = asked.gallery.items()
    assert asked.client.get("/api/search", params={"query": items[0].key}).status_code == 200
    files = {"image": ("a.jpg", encoded(draw(99)))}
    for path in ("/api/search", "/api/classify", "/api/items"):
        error = refused(asked.client.post(path, files=files), 503, "weights_unavailable")
        assert error["remedy"] == "Run houndsight models --fetch"
    crop = asked.client.get("/api/search", params={"query": items[0].key, "crop": "0,0,50,50%"})
    refused(crop, 503, "weights_unavailable")
    assert asked.client.get(f"/heat/item?q={items[0].key}&show={items[1].key}").status_code == 503
    changed = asked.client.patch(f"/api/items/{items[0].key}", json={"label": "x"})
    assert changed.status_code == 200
    for path in ("/", f"/?q={items[0].key}&show={items[1].key}", "/about"):
        page = asked.client.get(path)
        assert page.status_code == 200
        assert "the weights are not here" in page.text or path != "/"
        assert "/heat/" not in page.text
    assert asked.client.get(f"/photo/{items[0].key}").status_code == 200


def test_a_gallery_that_cannot_be_written_says_so(ask):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    asked = ask()
    item = asked.gallery.items()[0]
    key = handed_in(asked, encoded(draw(99)))
    every = [asked.gallery.place, *Path(asked.gallery.place).rglob("*")]
    modes = {path: path.stat().st_mode for path in every}
    try:
        for path in every:
            path.chmod(modes[path] & ~0o222)
        answer = asked.client.patch(f"/api/items/{item.key}", json={"label": "wolf"})
        assert answer.status_code == 503
        refused(answer, 503, "gallery_error")
        assert asked.client.post("/api/items", data={"query": key}).status_code == 503
        assert asked.client.get("/api/search", params={"query": key}).status_code == 200
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def test_too_many_that_wait_for_the_network_are_sent_away(ask, monkeypatch):
    asked = ask()
    item = asked.gallery.items()[0]
    queue = desk.QUEUE
    for _ in range(queue):
        assert asked.desk._queue.acquire(blocking=False)
    params = {"query": item.key, "crop": "0,0,50,50%"}
    busy = asked.client.get("/api/search", params=params)
    refused(busy, 503, "busy")
    assert busy.headers["retry-after"]
    assert asked.client.get("/api/search", params={"query": item.key}).status_code == 200
    for _ in range(queue):
        asked.desk._queue.release()
    assert asked.client.get("/api/search", params=params).status_code == 200


def test_what_goes_wrong_in_the_midst_gives_the_network_back(ask, monkeypatch):
    asked = ask()

    def broken(*_, **__):
        raise RuntimeError

    monkeypatch.setattr(desk, "read_queries", broken)
    for number in range(desk.QUEUE + 5):
        files = {"image": ("a.jpg", encoded(draw(number)))}
        assert asked.client.post("/api/search", files=files).status_code == 500
    monkeypatch.undo()
    handed_in(asked, encoded(draw(99)))


def test_the_last_evaluation_is_there_when_it_is_made(ask):
    asked = ask()
    refused(asked.client.get("/api/report"), 404, "no_report")
    assert asked.client.post("/api/report").status_code == 202
    for _ in range(500):
        answer = asked.client.get("/api/report")
        if answer.status_code != 202:
            break
        assert answer.json()["running"]
        time.sleep(0.01)
    with Gallery(asked.gallery.place) as other:
        record = evaluation_record(other, evaluate(other, protocol="leave-one-out"))
    found, expected = answer.json(), json.loads(json.dumps(record))
    assert found.keys() == expected.keys()
    same = {name for name in found if found[name] == expected[name]}
    assert found.keys() - same <= {"seconds", "time", "made"}, found


def test_vectors_made_elsewhere_are_asked_by_the_photos_among_them(ask, place, tmp_path):
    with Gallery(place) as gallery:
        vectors = gallery.vectors(gallery.items())
        paths = [os.fsdecode(gallery.path_of(item)) for item in gallery.items()]
    np.savez(tmp_path / "clip.npz", vectors=vectors.values, paths=np.array(paths))
    import_vectors(tmp_path / "clip.npz", tmp_path / "foreign", name="CLIP")
    with Gallery(tmp_path / "foreign") as gallery:
        asked = ask(gallery.no_network(), at=tmp_path / "foreign")
    item, *_ = asked.gallery.items()
    answer = asked.client.get("/api/search", params={"query": item.key, "k": 3})
    assert answer.status_code == 200
    found = [one["id"] for one in answer.json()["answers"][0]["matches"]]
    wanted = asked.gallery.search(asked.gallery.vectors([item]), 3, exclude=[[item.id]])
    assert found == [f"{id_:016x}" for id_ in wanted.ids[0]]
    files = {"image": ("a.jpg", encoded(draw(99)))}
    error = refused(asked.client.post("/api/search", files=files), 503, "model_error")
    assert "made elsewhere, by CLIP" in error["message"]
    for path in ("/", f"/?q={item.key}", "/gallery", "/about"):
        page = asked.client.get(path)
        assert page.status_code == 200
        assert "CLIP" in page.text or path == "/gallery"


def test_camera_raw_and_heic_are_answered_with_jpegs(ask, monkeypatch):
    asked = ask()
    raw = dng(plain((640, 480), (20_000, 40_000, 5_000)), named=False, sub=True, orientation=6)
    buffer = io.BytesIO()
    pillow_heif.from_pillow(draw(99, (96, 80))).save(buffer)
    for name, data, size in (
        ("a.NEF", raw, (480, 640)),
        ("blob", raw, (480, 640)),
        ("b.heic", buffer.getvalue(), (96, 80)),
    ):
        answer = asked.client.post("/api/search", files={"image": (name, data)})
        assert answer.status_code == 200, answer.text
        (key,) = answer.json()["answers"][0]["query"]
        shown = asked.client.get(f"/query/{key}")
        assert shown.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(shown.content)) as picture:
            assert (picture.format, picture.size) == ("JPEG", size)
    monkeypatch.setattr(uploads, "MAX_PIXELS", 640 * 480 - 1)
    answer = asked.client.post("/api/search", files={"image": ("c.dng", raw)})
    assert "megapixels" in refused(answer, 422, "unreadable_image")["message"]
    (more,) = re.findall(r'id="choose"[^>]*accept="([^"]*)"', asked.client.get("/").text)
    assert {"image/*", ".heic", ".nef"} <= set(more.split(","))
    # To some by name alone: a TIFF, whose first picture may be but a thumbnail.
    tiff = encoded(draw(7), "TIFF")
    answer = asked.client.post("/api/search", files={"image": ("d.arw", tiff)})
    assert "LibRaw" in refused(answer, 422, "unreadable_image")["message"]
