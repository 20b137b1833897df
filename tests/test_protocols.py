"""Protocols: held against a slow oracle, and no metric scored on what it was fitted on."""

import os
from dataclasses import asdict, replace

import numpy as np
import pytest

from fakes import FAKE, fake_embedder
from houndsight import Gallery, InputError, Query, Vectors, compare, evaluate, evaluation
from houndsight.errors import FingerprintMismatch
from houndsight.evaluation.cases import Library
from houndsight.evaluation.protocols import FOLDS
from houndsight.learning import Settings, refitting
from houndsight.queries import Queries
from houndsight.types import Where
from test_gallery import DIM, entry

SETTINGS = Settings(projection_shrinkage=0.01, score_shrinkage=0.01, temperature=1.0, blend=0.5)


@pytest.fixture
def empty(tmp_path):
    with Gallery.create(tmp_path / "g", fake_embedder()) as gallery:
        yield gallery


def put(gallery, vectors, labels, digests=None):
    root = gallery.root(os.fsencode(gallery.place), None)
    digests = digests or [None] * len(labels)
    gallery.add(
        root,
        [
            entry(f"{n:04d}.jpg", v, label, digest=digest)
            for n, (v, label, digest) in enumerate(zip(vectors, labels, digests, strict=True))
        ],
    )
    return sorted(gallery.items(), key=lambda item: item.path)


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def asked(gallery, vectors, labels, own=None):
    photos = [
        Query(f"q{n}.jpg".encode(), label, frozenset() if own is None else frozenset({own[n].id}))
        for n, label in enumerate(labels)
    ]
    return Queries(photos, Vectors(np.asarray(vectors, np.float32), gallery.fingerprint), [])


def noise(gallery, labels=4, each=40, seed=0):
    """Random vectors with random labels: nothing can be learned that holds for other photos."""
    rng = np.random.default_rng(seed)
    vectors = unit(rng.standard_normal((labels * each, DIM)))
    named = rng.permutation([f"l{n % labels}" for n in range(labels * each)]).tolist()
    return put(gallery, vectors, named), vectors, named


def learned(gallery, seed=0):
    """Fit a map on all of a gallery's photos, as `learn` would, though it is of no use."""
    photos = Library.of(gallery, parts=FOLDS, seed=seed).photos
    map_ = refitting(photos, SETTINGS, "learned@1")(np.arange(len(photos)))
    gallery.add_map(map_, {"settings": asdict(SETTINGS)}, None)


# Against an oracle


def oracle(query, label, hidden, items, vectors, k):
    """Every figure of one query from its definition, in plain Python."""
    ranked = sorted(
        (float(np.sqrt(((vectors[n].astype(float) - query.astype(float)) ** 2).sum())), item.id, n)
        for n, item in enumerate(items)
        if item.id not in hidden
    )
    labels = [items[n].label for _, _, n in ranked]
    hits = [name == label for name in labels]
    r = sum(hits)
    ranks = [rank for rank, hit in enumerate(hits, start=1) if hit]
    counts = {name: labels[:k].count(name) for name in labels[:k]}
    most = max(counts.values())
    winner = next(name for name in labels[:k] if counts[name] == most)
    dcg = sum(1 / np.log2(1 + rank) for rank in ranks if rank <= k)
    ideal = sum(1 / np.log2(1 + rank) for rank in range(1, min(k, r) + 1))
    figures = {
        "precision_at_k": sum(hits[:k]) / min(k, len(hits)),
        "recall_at_1": any(hits[:1]),
        "recall_at_5": any(hits[:5]),
        "vote_accuracy": winner == label,
        "retrieved_at_k": sum(hits[:k]) / r if r else 0,
        "average_precision": sum(n / rank for n, rank in enumerate(ranks, 1)) / r if r else 0,
        "map_at_r": sum(n / k_ for n, k_ in enumerate(ranks, 1) if k_ <= r) / r if r else 0,
        "r_precision": sum(hits[:r]) / r if r else 0,
        "ndcg_at_k": dcg / ideal if r else 0,
    }
    return {name: float(value) for name, value in figures.items()}


@pytest.mark.parametrize("protocol", ["leave-one-out", "folds", "split"])
@pytest.mark.parametrize("k", [1, 4, 100])
def test_figures_agree_with_an_oracle(empty, protocol, k, monkeypatch):
    rng = np.random.default_rng(3)
    vectors = rng.integers(0, 3, (60, DIM)).astype(np.float32) * (np.arange(DIM) < 6)  # many ties
    labels = [f"l{n}" for n in rng.integers(0, 7, 60)] + ["alone"]
    vectors = np.vstack([vectors, vectors[:1]])
    digests = [bytes([n % 50]) * 32 for n in range(61)]  # some twice
    items = put(empty, vectors, labels, digests)
    vectors = empty.vectors(items).values  # equal bytes share a vector
    monkeypatch.setattr(evaluation, "near_distance", lambda gallery, seed: 0.5)
    library = Library.of(empty, parts=FOLDS, seed=5)
    fold = {item.id: n for item, n in zip(library.items, library.photos.fold, strict=True)}
    if protocol == "split":
        queries = [*vectors[::7], *rng.random((5, DIM)).astype(np.float32)]
        names = ["l1", "l2", None, "strange", *["l3"] * (len(queries) - 4)]
        report = evaluate(empty, asked(empty, queries, names), k=k, seed=5)
        cases = [(q, n, None) for q, n in zip(queries, names, strict=True) if n is not None]
    else:
        report = evaluate(empty, protocol=protocol, k=k, seed=5)
        order = np.argsort([item.id for item in items])
        cases = [(vectors[n], labels[n], items[n]) for n in order]
    assert len(report.queries) == len(cases)
    for found, (query, label, item) in zip(report.queries, cases, strict=True):
        hidden = {
            other.id
            for other, v in zip(items, vectors, strict=True)
            if (item is not None and other.digest == item.digest)
            or np.linalg.norm(v - query) <= 0.5
            or (protocol == "folds" and fold[other.id] == fold[item.id])
        }
        expected = oracle(query, label, hidden, items, vectors, k)
        assert dict(found.figures()) == pytest.approx(expected), found
    for name, one in report.figures():
        assert one.value == pytest.approx(np.mean([getattr(q, name) for q in report.queries]))


def test_the_first_neighbours_are_those_of_search(empty):
    items, _, _ = noise(empty)
    report = evaluate(empty, protocol="leave-one-out", k=7, near=False)
    found = empty.search(
        empty.vectors([query.asked for query in report.queries]),
        7,
        where=Where(labelled=True),
        exclude=[[query.asked.id] for query in report.queries],
    )
    for query, matches in zip(report.queries, found, strict=True):
        assert list(query.neighbours) == matches
    assert len(items) == report.n_queries


# Nothing is scored on what it was fitted on


@pytest.mark.parametrize("protocol", ["leave-one-out", "folds", "paper"])
def test_a_metric_learned_from_noise_scores_at_chance(empty, protocol):
    noise(empty)
    learned(empty)
    # What a careless evaluation of the same metric would show:
    items = empty.items()
    careless = empty.search(empty.vectors(items), 10, exclude=[[item.id] for item in items])
    right = [
        m.item.label == item.label for item, ms in zip(items, careless, strict=True) for m in ms
    ]
    assert np.mean(right) > 0.9
    report = evaluate(empty, protocol=protocol, k=10)
    assert report.metric == "learned@1"
    assert (report.refitted, report.folds) == (FOLDS, FOLDS)
    assert report.precision_at_k.value == pytest.approx(0.25, abs=0.06)
    assert report.recall_at_1.low < 0.25 < report.recall_at_1.high


def test_queries_that_the_metric_was_fitted_on_do_not_count(empty):
    items, vectors, labels = noise(empty, each=60)
    learned(empty)
    # Photos that are in the gallery: they are kept from the fit, not only from the answer.
    half = items[:120]
    report = evaluate(empty, asked(empty, vectors[:120], labels[:120], half), k=10)
    assert (report.refitted, report.left_out) == (1, 120)
    assert report.precision_at_k.value == pytest.approx(0.25, abs=0.06)
    # Photos that were in the gallery when the metric was learned, and were taken out since.
    empty.remove([item.id for item in half])
    report = evaluate(empty, asked(empty, vectors[:120], labels[:120]), k=10)
    assert report.left_out == 0
    assert report.precision_at_k.value == pytest.approx(0.25, abs=0.06)


def test_near_duplicates_of_queries_are_kept_from_the_fit(empty):
    _, vectors, labels = noise(empty, each=60)
    learned(empty)
    rng = np.random.default_rng(1)
    again = unit(vectors + 0.001 * rng.standard_normal(vectors.shape))
    queries = asked(empty, again[:120], labels[:120])
    report = evaluate(empty, queries, k=10)
    assert (report.left_out, report.near_left_out) == (0, 120)
    assert report.precision_at_k.value == pytest.approx(0.25, abs=0.06)
    assert evaluate(empty, queries, k=10, near=False).precision_at_k.value > 0.5


def test_a_metric_that_nothing_is_left_to_fit_on_is_refused(empty):
    items, vectors, labels = noise(empty, each=5)
    learned(empty)
    with pytest.raises(InputError, match="without the photos asked for, too few are left"):
        evaluate(empty, asked(empty, vectors, labels, items))


def test_a_metric_that_is_not_learned_is_used_as_it_is(empty):
    noise(empty)
    learned(empty)
    report = evaluate(empty, metric="plain", protocol="leave-one-out")
    assert (report.metric, report.refitted, report.folds, report.notes) == ("plain", 0, 0, [])
    assert "strength of its fit" in evaluate(empty, protocol="folds").notes[0]


# Near-duplicates


def test_near_duplicates_are_counted_and_kept_out(empty):
    rng = np.random.default_rng(0)
    vectors = unit(rng.standard_normal((80, DIM)))
    near = unit(vectors[:10] + 0.002 * rng.standard_normal((10, DIM)))
    labels = [f"l{n % 8}" for n in range(80)]
    items = put(empty, np.vstack([vectors, near]), labels + labels[:10])
    report = evaluate(empty, protocol="leave-one-out", k=3)
    assert (report.left_out, report.near_left_out) == (90, 20)
    assert 0 < report.near_distance < 0.8
    twin = {items[n].id: items[80 + n].id for n in range(10)}
    for query in report.queries:
        assert twin.get(query.asked.id) not in [match.item.id for match in query.neighbours]
    kept = evaluate(empty, protocol="leave-one-out", k=3, near=False)
    assert (kept.near_left_out, kept.near_distance) == (0, None)
    assert kept.recall_at_1.value > report.recall_at_1.value + 0.15
    photos = evaluate(empty, asked(empty, near, labels[:10]), k=3)
    assert (photos.protocol, photos.left_out, photos.near_left_out) == ("split", 0, 20)


# Samples


def test_paper_shows_how_far_samples_are_apart(empty):
    noise(empty)
    report = evaluate(empty, protocol="paper", k=20, repeats=300, seed=4)
    whole = evaluate(empty, protocol="leave-one-out", k=20, seed=4)
    assert dict(report.figures()) == dict(whole.figures())
    assert (report.n_queries, report.samples) == (160, 50)
    values = np.array([query.precision_at_k for query in report.queries])
    spread = report.spread.precision_at_k
    assert len(spread.means) == 300
    # Without replacement from a finite number of queries, by the books.
    expected = values.std(ddof=1) / np.sqrt(50) * np.sqrt(1 - 50 / 160)
    assert spread.deviation == pytest.approx(expected, rel=0.15)
    assert spread.mean == pytest.approx(values.mean(), abs=4 * expected / np.sqrt(300))
    assert min(spread.means) < spread.low < spread.mean < spread.high < max(spread.means)
    again = evaluate(empty, protocol="paper", k=20, repeats=300, seed=4)
    assert again.spread == report.spread


def test_how_many_are_drawn(empty):
    noise(empty)
    assert evaluate(empty).n_queries == 50
    assert evaluate(empty, samples="all").n_queries == 160
    assert evaluate(empty, protocol="folds").n_queries == 160
    assert evaluate(empty, protocol="folds", samples=7).n_queries == 7
    assert evaluate(empty, protocol="paper", samples=9).samples == 9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "holdout"}, "there is no protocol holdout"),
        ({"protocol": "split"}, "needs query photos"),
        ({"protocol": "paper", "samples": "all"}, "small samples"),
        ({"protocol": "paper", "repeats": 0}, "small samples"),
        ({"k": 0}, "k is 0"),
        ({"metric": "learned"}, "no metric learned"),
    ],
)
def test_what_makes_no_sense_is_said(empty, settings, message):
    noise(empty)
    with pytest.raises(InputError, match=message):
        evaluate(empty, **settings)


def test_queries_are_for_split_and_of_the_gallery_s_kind(empty):
    _, vectors, labels = noise(empty)
    queries = asked(empty, vectors, labels)
    with pytest.raises(InputError, match="takes its queries from the gallery"):
        evaluate(empty, queries, protocol="folds")
    strange = replace(queries, vectors=Vectors(queries.vectors.values, "other"))
    with pytest.raises(FingerprintMismatch):
        evaluate(empty, strange)


def test_progress_is_told(empty):
    noise(empty)
    told = []
    evaluate(empty, protocol="folds", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (160, 160)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


# Comparison


def test_two_metrics_are_compared_on_the_same_queries(empty):
    rng = np.random.default_rng(2)
    means = rng.standard_normal((6, DIM)) * (np.arange(DIM) < 8)
    numbers = np.arange(180) % 6
    vectors = unit(means[numbers] + 0.6 * rng.standard_normal((180, DIM)))
    put(empty, vectors, [f"l{n}" for n in numbers])
    settings = replace(SETTINGS, projection_shrinkage=0.5, score_shrinkage=0.5)
    photos = Library.of(empty, parts=FOLDS, seed=0).photos
    empty.add_map(
        refitting(photos, settings, "learned@1")(np.arange(180)),
        {"settings": asdict(settings)},
        None,
    )
    first = evaluate(empty, protocol="folds")
    second = evaluate(empty, protocol="folds", metric="plain")
    found = compare(first, second)
    for name, one in found.differences.figures():
        gap = getattr(first, name).value - getattr(second, name).value
        assert one.difference.value == pytest.approx(gap)
    precision = found.differences.precision_at_k
    assert precision.difference.low > 0
    assert precision.p < 0.01
    nothing = compare(second, second).differences.precision_at_k
    assert (nothing.difference.value, nothing.p) == (0, 1)
    with pytest.raises(InputError, match="folds cannot be compared with leave-one-out"):
        compare(first, evaluate(empty, protocol="leave-one-out"))
    with pytest.raises(InputError, match="180 and 20 queries 20 are in both"):
        compare(first, evaluate(empty, protocol="folds", samples=20))


# What the network has seen


def test_photos_of_the_training_set_are_named(tmp_path, monkeypatch):
    from houndsight.evaluation import provenance

    with Gallery.create(tmp_path / "g", fake_embedder()) as gallery:
        root = gallery.root(os.fsencode(tmp_path), None)
        names = ["pug/n02110958_12.jpg", "pug/n02110958_3.JPEG", "pug/dog.jpg", "n1_1.jpg"]
        vectors = np.random.default_rng(0).standard_normal((4, DIM))
        gallery.add(root, [entry(n, v, "pug") for n, v in zip(names, vectors, strict=True)])
        report = evaluate(gallery)
        assert (report.trained_on, report.imagenet_names) == (None, 2)
        assert "names of 2 of these photos are ImageNet's; what the network" in report.notes[0]
        known = {"fake": replace(FAKE, trained_on="ImageNet (ILSVRC-2012)")}
        monkeypatch.setattr(provenance, "CATALOGUE", known)
        report = evaluate(gallery)
        assert report.trained_on == "ImageNet (ILSVRC-2012)"
        assert "ImageNet's, on which the network was trained" in report.notes[0]
        gallery.settings["weights_file"] = True  # weights of one's own: nobody knows
        assert evaluate(gallery).trained_on is None
