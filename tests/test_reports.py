"""Reports as text, JSON and pages: complete, and every label is data."""

import io
import json
import os
import re
from dataclasses import fields, replace

import numpy as np
import pytest
from rich.console import Console

from fakes import fake_embedder, write_photo
from houndsight import Gallery, calibrate, compare, evaluate, index, learn, read_queries
from houndsight.evaluation import Report
from houndsight.render import evaluated, learned, trade
from houndsight.render.evaluation_record import evaluation_record
from houndsight.render.html import Content, page
from houndsight.render.report import report_content, report_page
from test_gallery import DIM, entry
from test_html import HOSTILE, read
from test_protocols import put, unit

LABELS = ("pug", *HOSTILE[:4])


def text(table):
    file = io.StringIO()
    Console(file=file, width=300).print(table)
    return file.getvalue()


@pytest.fixture
def clusters(tmp_path):
    """Photos of 12 labels, of which 0 and 1 can hardly be told apart, nor 2 and 3."""
    rng = np.random.default_rng(0)
    means = rng.standard_normal((12, DIM)) * (np.arange(DIM) < 12)
    means[1] = means[0] + 0.1 * means[1]
    means[3] = means[2] + 0.3 * means[3]
    numbers = np.arange(360) % 12
    noise = rng.standard_normal((360, DIM)) * (np.arange(DIM) < 12)
    with Gallery.create(tmp_path / "g", fake_embedder()) as gallery:
        put(gallery, unit(means[numbers] + 0.5 * noise), [f"label {n:02d}" for n in numbers])
        calibrate(gallery)
        yield gallery


def test_the_record_is_complete_and_json(clusters):
    report = evaluate(clusters, protocol="paper", k=10)
    other = evaluate(clusters, protocol="paper", k=5)
    record = evaluation_record(clusters, report, compare(report, other))
    assert json.loads(json.dumps(record)) == record
    names = {field.name for field in fields(Report)}
    assert names <= set(record)
    assert set(record) - names == {"intervals_95", "repeats", "comparison"}
    assert record["precision_at_k"] == report.precision_at_k.value
    assert record["intervals_95"]["map_at_r"] == [report.map_at_r.low, report.map_at_r.high]
    assert record["repeats"] == 100
    assert record["spread"]["recall_at_1"]["deviation"] == report.spread.recall_at_1.deviation
    assert len(record["calibration"]["neighbours"]["curve"]) == 15
    difference = record["comparison"]["differences"]["precision_at_k"]
    gap = report.precision_at_k.value - other.precision_at_k.value
    assert difference["value"] == pytest.approx(gap)
    assert set(difference) == {"value", "interval_95", "p"}
    first, query = record["queries"][0], report.queries[0]
    assert (first["query"], first["label"], first["answer"]) == (
        query.asked.key,
        query.label,
        query.answer,
    )
    assert os.path.basename(first["path"]) == os.fsdecode(query.asked.path)
    assert first["average_precision"] == query.average_precision
    cells = record["confusion"]
    assert sum(cell["votes"] for cell in cells) == 360
    assert sum(cell["neighbours"] for cell in cells) == 3600
    right = sum(cell["votes"] for cell in cells if cell["label"] == cell["other"])
    assert right / 360 == pytest.approx(record["vote_accuracy"])


def test_most_confused_labels_come_first(clusters):
    report = evaluate(clusters, protocol="folds")
    assert [set(pair) for pair in report.most_confused(2)] == [
        {"label 00", "label 01"},
        {"label 02", "label 03"},
    ]
    share = {(one.label, one.other): one.neighbours for one in report.confusion}
    (a, b), _ = report.most_confused(2)
    assert share[a, b] >= share[b, a]
    assert len(report.most_confused(1)) == 1


def test_tables_say_what_was_found(clusters):
    report = evaluate(clusters, protocol="paper", k=10, repeats=30)
    shown = text(evaluated.figures_table(report))
    assert "360 queries against 360 labelled photos" in shown
    for name in ("precision@10", "mAP", "MAP@R", "R-precision", "nDCG@10", "retrieved@10"):
        assert name in shown
    assert f"{100 * report.map_at_r.value:.2f} %" in shown
    spread = text(evaluated.spread_table(report))
    assert "50 of these queries, drawn 30 times" in spread
    assert f"{100 * report.spread.precision_at_k.deviation:.2f} %" in spread
    gaps = text(evaluated.calibration_table(report))
    assert f"{100 * report.calibration.winners.error:.2f} %" in gaps
    assert "label 0" in text(evaluated.labels_table(report, 1))
    both = compare(report, evaluate(clusters, protocol="paper", k=5))
    assert "plain against plain" in text(evaluated.comparison_table(both))
    facts = dict(evaluated.facts(report))
    assert facts["kept from queries, same bytes"] == "themselves, and 0 others"
    assert facts["protocol"].startswith("paper: photos of the gallery")
    assert facts["trained on"] == "not on record"
    folds = dict(evaluated.facts(evaluate(clusters, protocol="folds", samples=9, near=False)))
    assert folds["protocol"].endswith("that it is not in; 9 of 360 drawn")
    assert folds["kept from queries, near-duplicates"] == "not looked for"


def test_neighbours_that_are_not_there_are_not_promised(tmp_path):
    rows = unit(np.random.default_rng(0).standard_normal((10, DIM)))
    with Gallery.create(tmp_path / "g", fake_embedder()) as gallery:
        put(gallery, rows, ["a", "b"] * 5)
        few = dict(evaluated.facts(evaluate(gallery, k=20, near=False)))
        assert few["k"] == "20, or as many neighbours as a query could find: 9 at the least"
        report = evaluate(gallery, k=20, near=False)
        assert few["k"] in "".join(read(report_page(gallery, report)).text)
        assert dict(evaluated.facts(evaluate(gallery, k=9, near=False)))["k"] == "9"


def test_what_was_chosen_is_marked_and_no_map_where_none_did_better(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60, DIM))
    vectors[:, 0] += np.arange(60) % 3 * 4
    with Gallery.create(tmp_path / "g", fake_embedder()) as gallery:
        put(gallery, unit(vectors), [f"label {n % 3}" for n in range(60)])
        better = learn(gallery, method="lda", favour=1.0)
    assert better.metric is not None
    heights = []
    for report in (better, replace(better, metric=None)):
        *maps, none = text(learned.trade_table(report)).rstrip().splitlines()
        assert any("(chosen)" in line for line in maps) == (report is better)
        assert ("none (chosen)" in none) == (report is not better)
        pixels = np.asarray(trade.picture(report))
        heights.append(np.argwhere((pixels == trade.CHOSEN).all(axis=2))[:, 0].mean())
    assert heights[0] < heights[1] - 100  # no map is less precise, so its dot is farther down


def test_the_page_shows_figures_curves_and_confusion(clusters):
    report = evaluate(clusters, protocol="paper", k=10)
    page = report_page(clusters, report, comparison=compare(report, report), lead="words")
    reader = read(page)
    heads = [re.sub(r"\d+ most", "N most", text) for tag, text in reader.headings if tag == "h2"]
    assert heads == [
        "Figures",
        "Compared",
        "Samples of 50 queries",
        "Spread of the samples",
        "Are the probabilities true?",
        "The N most confused labels",
        "Most confused",
        "Worst queries",
        "Typical queries",
        "Best queries",
        "precision@10 of each label",
        "By label, the worst first",
        "How it was made",
    ]
    assert len(reader.tags("circle")) == 3 * 15
    assert len(reader.tags("rect")) == 4 * 10 + len(report.labels)
    widths = [float(bar["width"]) for bar in reader.tags("rect")[-len(report.labels) :]]
    assert widths == pytest.approx([100 * one.precision_at_k for one in report.labels], abs=0.05)
    drawings = [attrs for attrs in reader.tags("svg") if attrs.get("role") == "img"]
    assert all(attrs["aria-label"] for attrs in drawings)
    words = "".join(reader.text)
    for one in (report.precision_at_k, report.average_precision, report.spread.map_at_r):
        value = one.value if hasattr(one, "value") else one.mean
        assert f"{100 * value:.2f} %" in words
    assert "label 00 and label 01" in words or "label 01 and label 00" in words
    assert all(note in words for note in report.notes)
    articles = [attrs["class"] for attrs in reader.tags("article")]
    assert articles.count("answer") == 12
    assert "pair" in articles


def test_the_content_is_had_without_the_page_around_it(clusters):
    report = evaluate(clusters, protocol="folds", k=10)
    content = report_content(clusters, report, title="words", lead="more words")
    assert isinstance(content, Content)
    assert (content.title, content.lead) == ("words", "more words")
    assert content.notes == report.notes
    assert page(content) == report_page(clusters, report, title="words", lead="more words")


def test_worst_and_best_queries_are_those(clusters):
    report = evaluate(clusters, protocol="folds", k=10)
    page = report_page(clusters, report)
    order = sorted(report.queries, key=lambda one: (one.precision_at_k, one.average_precision))
    sections = page.split("<h2")
    names = [os.fsdecode(one.asked.path).replace("_", "_<wbr>") for one in order]
    worst = next(part for part in sections if "Worst queries" in part)
    best = next(part for part in sections if "Best queries" in part)
    assert all(name in worst for name in names[:4])
    assert all(name in best for name in names[-4:])


def test_labels_are_data_and_photos_are_shown(tmp_path):
    photos = tmp_path / "photos"
    rows = ["path,label"]
    for n in range(20):
        write_photo(photos / f"p{n}.jpg", n)
        label = LABELS[n % 5].replace('"', '""')
        rows.append(f'p{n}.jpg,"{label}"')
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    write_photo(tmp_path / "asked" / "pug" / "one.jpg", 3)
    write_photo(tmp_path / "asked" / "pug" / "two.jpg", 77)
    embedder = fake_embedder()
    index(photos, tmp_path / "g", embedder=embedder, labels=str(tmp_path / "labels.csv"))
    with Gallery(tmp_path / "g") as gallery:
        page = report_page(gallery, evaluate(gallery, samples="all", k=3, near=False))
        reader = read(page)
        assert not reader.tags("script")
        assert len(reader.tags("img")) > 20
        assert "photo not found" not in page
        for label in LABELS:
            assert label in "".join(reader.text)
            assert label in [attrs["alt"].partition(", ")[2] for attrs in reader.tags("img")]
        queries = read_queries(gallery, embedder, [tmp_path / "asked"], labels="folder")
        report = evaluate(gallery, queries, k=3)
        assert (report.left_out, report.protocol) == (1, "split")
        (tmp_path / "asked" / "pug" / "two.jpg").unlink()
        page = report_page(gallery, report)
        assert "photo not found" in page
        assert "All queries, the worst first" in page
        record = evaluation_record(gallery, report)
        paths = [os.fsdecode(tmp_path / "asked" / "pug" / f"{name}.jpg") for name in ("one", "two")]
        assert [query["query"] for query in record["queries"]] == paths


def test_a_gallery_without_confusion_has_a_page_too(tmp_path):
    with Gallery.create(tmp_path / "g", fake_embedder()) as gallery:
        root = gallery.root(os.fsencode(tmp_path), None)
        vectors = np.eye(DIM)[:3]
        gallery.add(root, [entry(f"{n}", vectors[n], "pug") for n in range(3)])
        report = evaluate(gallery, near=False)
        assert report.precision_at_k.value == 1
        assert report.most_confused(5) == []
        assert "Most confused" not in report_page(gallery, report)
