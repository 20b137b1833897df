"""Pages of searches and classifications: what they show is what was found."""

import base64
import io
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fakes import fake_embedder, write_photo
from houndsight import Crop, Gallery, View, calibrate, classify_queries, index, read_queries
from houndsight.combining import as_one
from houndsight.render.found import classify_content, search_content
from houndsight.render.html import Share, page
from test_gallery import DIM
from test_html import HOSTILE, read
from test_protocols import asked, put, unit


@pytest.fixture
def indexed(tmp_path):
    rows = ["path,label"]
    for n in range(12):
        write_photo(tmp_path / "photos" / f"p{n}.jpg", n)
        label = HOSTILE[n % 3].replace('"', '""')
        rows.append(f'p{n}.jpg,"{label}"')
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    embedder = fake_embedder()
    index(tmp_path / "photos", tmp_path / "g", embedder=embedder, labels=tmp_path / "labels.csv")
    with Gallery(tmp_path / "g") as gallery:
        yield gallery, embedder


def photos_of(reader):
    return [base64.b64decode(image["src"].partition(",")[2]) for image in reader.tags("img")]


def test_a_search_shows_the_query_and_what_it_found_in_order(indexed, tmp_path):
    gallery, embedder = indexed
    write_photo(tmp_path / "asked" / "one.jpg", 5)
    (tmp_path / "asked" / "two.jpg").write_bytes(b"no photo")
    queries = read_queries(gallery, embedder, tmp_path / "asked")
    found = list(gallery.search(queries.vectors, k=4))
    content = search_content(gallery, queries, found)
    (answer,) = content.sections[0].answers
    assert answer.query.title == HOSTILE[5 % 3]  # an item has its bytes
    assert answer.query.note == "one.jpg"
    assert [card.note.split()[0] for card in answer.neighbours] == [
        f"{match.distance:.4f}" for match in found[0]
    ]
    assert answer.neighbours[0].note == "0.0000 same bytes"
    assert [card.right for card in answer.neighbours] == [
        match.item.label == HOSTILE[2] for match in found[0]
    ]
    reader = read(page(content))
    assert not reader.tags("script")
    shown = photos_of(reader)
    assert shown[1:] == [gallery.thumbnail(match.item) for match in found[0]]
    query = Image.open(io.BytesIO(shown[0]))
    assert query.size == (48, 40)
    words = "".join(reader.text)
    assert "two.jpg" in words
    assert queries.skipped[0].reason in words
    assert dict(content.facts)["metric"] == "plain"


def test_a_part_of_a_query_is_shown_as_that_part(indexed, tmp_path):
    gallery, embedder = indexed
    write_photo(tmp_path / "one.jpg", 5)
    view = View(crop=Crop.parse("0,0,20,10"))
    queries = read_queries(gallery, embedder, tmp_path / "one.jpg", view=view)
    content = search_content(gallery, queries, list(gallery.search(queries.vectors, k=1)))
    shown = photos_of(read(page(content)))
    assert Image.open(io.BytesIO(shown[0])).size == (20, 10)


def test_several_photos_as_one_are_named_so(indexed, tmp_path):
    gallery, embedder = indexed
    for n in range(2):
        write_photo(tmp_path / "asked" / f"{n}.jpg", n)
    queries = read_queries(gallery, embedder, tmp_path / "asked")
    (query,) = as_one(queries.photos, [], "mean")
    content = search_content(gallery, replace(queries, photos=[query]), [[]])
    assert content.sections[0].answers[0].query.note == "mean of 2 photos"
    assert "no neighbours" in read(page(content)).text


def test_a_classification_shows_its_votes_as_bars(indexed, tmp_path):
    gallery, embedder = indexed
    write_photo(tmp_path / "one.jpg", 50)
    queries = read_queries(gallery, embedder, tmp_path / "one.jpg")
    (vote,) = classify_queries(gallery, queries.vectors, k=7)
    content = classify_content(gallery, queries, [vote])
    (answer,) = content.sections[0].answers
    counts = [match.item.label for match in gallery.search(queries.vectors, k=7)[0]]
    expected = sorted(-counts.count(label) / 7 for label in set(counts))
    assert [-bar.share for bar in answer.shares] == expected
    assert answer.query.title == vote.label
    assert [card.rank for card in answer.neighbours] == list(range(1, 8))
    assert "share of the votes" in content.lead
    assert read(page(content)).tags("svg")


def test_of_probabilities_none_of_these_is_shown_too(tmp_path):
    rng = np.random.default_rng(0)
    means = rng.standard_normal((8, DIM))
    rows = unit(means[np.arange(240) % 8] + 0.6 * rng.standard_normal((240, DIM)))
    with Gallery.create(tmp_path / "g", fake_embedder()) as gallery:
        put(gallery, rows, [f"l{n % 8}" for n in range(240)])
        calibrate(gallery)
        queries = asked(gallery, unit(np.stack([means[3], rng.standard_normal(DIM)])), [None, "l1"])
        votes = classify_queries(gallery, queries.vectors)
        content = classify_content(gallery, queries, votes)
    known, strange = content.sections[0].answers
    assert known.query.title == "l3"
    assert known.shares[0].share == votes[0].probabilities["l3"]
    assert known.shares[-1] == Share(
        "none of the gallery's labels", votes[0].none, f"{votes[0].none:.0%}"
    )
    assert strange.query.title == "none of these"
    assert strange.query.note == "q1.jpg, known as l1"
    assert os.path.basename(dict(content.facts)["gallery"]) == "g"
    assert "probability" in content.lead
