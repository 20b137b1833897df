"""The HTTP API: the library's answers, and refusals with a code and a remedy."""

import os
from pathlib import Path

import pytest

from fakes import draw, encoded


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
