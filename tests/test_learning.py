"""Learning from labels: against scikit-learn, on made-up galleries, and what cannot be learned."""

import json
import os

import numpy as np
import pytest
import scipy.linalg
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from fakes import fake_embedder
from houndsight import Gallery, Vectors, calibrate, learn
from houndsight.calibration import Calibration
from houndsight.errors import InputError
from houndsight.learning import labelled, refitting
from houndsight.learning.calibrating import _rising
from houndsight.learning.choice import _greatest, cross_validate, split
from houndsight.learning.discriminant import Discriminant, Settings
from houndsight.learning.folds import Labelled, folds
from houndsight.maps import unit
from houndsight.metrics import auroc, expected_calibration_error
from houndsight.search import distances
from houndsight.types import Where
from houndsight.voting import classify_queries
from test_gallery import DIM, entry

SIGNAL = 8
HARD = 0.35
SOME = Settings(0.3, 0.6, 2.0, 0.3)


def make(seed, counts, *, noise=6.0, apart=2.0, centres=None):
    """Return vectors and labels: labels differ in a few directions, all else is louder noise.

    So a metric that weighs all directions alike does badly, and a learned one well.
    """
    rng = np.random.default_rng(seed)
    if centres is None:
        centres = np.random.default_rng(77).normal(size=(len(counts), SIGNAL))
    labels = np.repeat(np.arange(len(counts)), counts)
    vectors = rng.normal(size=(len(labels), DIM)) * 0.3
    vectors[:, :SIGNAL] += apart * centres[labels]
    vectors[:, SIGNAL : SIGNAL + 20] *= noise
    return vectors.astype(np.float32), [f"label-{n:03d}" for n in labels]


def put(gallery, vectors, labels, tmp_path, prefix=""):
    root = gallery.root(os.fsencode(tmp_path / "photos"), None)
    gallery.add(
        root,
        [
            entry(f"{prefix}{n:05d}.jpg", v, lb)
            for n, (v, lb) in enumerate(zip(vectors, labels, strict=True))
        ],
    )


@pytest.fixture
def gallery(tmp_path):
    with Gallery.create(tmp_path / "gallery", fake_embedder()) as made:
        put(made, *make(0, [12] * 10), tmp_path)
        yield made


def accuracy(gallery, metric, *, k=5, counts=(20,) * 10):
    vectors, labels = make(1, counts)
    found = gallery.search(
        Vectors(vectors, gallery.fingerprint), k, where=Where(labelled=True), metric=metric
    )
    right = [[m.item.label == lb for m in ms] for ms, lb in zip(found, labels, strict=True)]
    return float(np.mean(right))


# The parts


@pytest.mark.parametrize("shrinkage", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("counts", [[12] * 5, [3, 30, 8], [100] * 4, [2, 2, 2]])
def test_scores_are_scikit_learn_s(shrinkage, counts):
    vectors, labels = make(0, counts)
    numbers = np.unique(labels, return_inverse=True)[1]
    x = unit(vectors.astype(float))
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(x, numbers)
    weights, bias = Discriminant(vectors, numbers).scores(shrinkage)
    ours, theirs = x @ weights + bias, oracle.decision_function(x)
    # A score that all labels share says nothing.
    assert np.allclose(
        ours - ours.mean(axis=1, keepdims=True),
        theirs - theirs.mean(axis=1, keepdims=True),
        rtol=1e-6,
        atol=1e-5 * np.abs(theirs).max(),
    )


def test_the_projection_solves_the_generalised_eigenproblem():
    vectors, labels = make(0, [3, 30, 8, 12, 12])
    numbers = np.unique(labels, return_inverse=True)[1]
    x = unit(vectors.astype(float))
    axes = Discriminant(vectors, numbers).projection(0.3)
    means = np.stack([x[numbers == c].mean(axis=0) for c in range(5)])
    shares = np.bincount(numbers) / len(numbers)
    apart = means - shares @ means
    between = (apart * shares[:, None]).T @ apart
    within = (x - means[numbers]).T @ (x - means[numbers]) / len(x)
    within = 0.7 * within + 0.3 * np.trace(within) / DIM * np.eye(DIM)
    _, oracle = scipy.linalg.eigh(between, within, subset_by_index=[DIM - 4, DIM - 1])
    assert axes.shape == (DIM, 4)
    # The two differ by a rotation: distances in both are the same.
    ours, theirs = x @ axes, x @ oracle
    assert np.allclose(distances(ours, ours), distances(theirs, theirs), rtol=1e-6, atol=1e-6)


def test_there_may_be_more_labels_than_dimensions():
    vectors, labels = make(0, [2] * 40)
    few = vectors[:, :20]
    numbers = np.unique(labels, return_inverse=True)[1]
    axes = Discriminant(few, numbers).projection(0.3)
    assert axes.shape == (20, 20)
    # All dimensions are left, so distances are those of Mahalanobis.
    x = unit(few.astype(float))
    means = np.stack([x[numbers == c].mean(axis=0) for c in range(40)])
    within = (x - means[numbers]).T @ (x - means[numbers]) / len(x)
    within = 0.7 * within + 0.3 * np.trace(within) / 20 * np.eye(20)
    inverse = np.linalg.inv(within)
    apart = (x[:, None] - x[None]).reshape(-1, 20)
    oracle = np.sqrt(np.einsum("ni,ij,nj->n", apart, inverse, apart)).reshape(len(x), -1)
    assert np.allclose(distances(x @ axes, x @ axes), oracle, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("columns", [5, 64, 700, 2600, 5003])
def test_the_greatest_values_of_rows(columns):
    values = np.random.default_rng(0).normal(size=(30, columns)).astype(np.float32)
    for k in (1, 5, 20):
        if k <= columns:
            found = np.sort(np.take_along_axis(values, _greatest(values, k), 1), axis=1)
            assert np.array_equal(found, np.sort(values, axis=1)[:, -k:])


def test_blocks_of_rows_make_no_difference():
    vectors, labels = make(0, [1500, 1500])
    numbers = np.unique(labels, return_inverse=True)[1]
    order = np.random.default_rng(0).permutation(len(numbers))
    one, other = Discriminant(vectors, numbers), Discriminant(vectors[order], numbers[order])
    assert np.allclose(one.scores(0.5)[0], other.scores(0.5)[0], rtol=1e-6, atol=1e-6)


def test_folds_are_even_within_labels_and_keep_what_is_alike_together():
    labels = np.repeat([0, 1, 2], [10, 3, 1])
    alike = [0, 0, *range(2, 14)]
    part = folds(labels, alike, 5, 0)
    assert part[0] == part[1]
    assert np.array_equal(part, folds(labels, alike, 5, 0))
    counts = np.bincount(part[1:10], minlength=5)
    assert counts.max() - counts.min() <= 1
    assert len(set(part[10:13].tolist())) == 3
    assert not np.array_equal(part, folds(labels, alike, 5, 1))
    first = [int(folds(np.zeros(1, int), [0], 5, seed)[0]) for seed in range(40)]
    assert len(set(first)) == 5


def test_a_photo_is_never_asked_of_a_map_that_saw_it():
    vectors, labels = make(0, [6] * 4 + [1])
    photos = Labelled.of(vectors, labels, [n // 2 for n in range(len(labels))], parts=5, seed=0)
    seen = []
    for part in range(5):
        inside, asked = split(photos, part)
        assert not set(inside) & set(asked)
        assert not set(inside // 2) & set(asked // 2)  # nor its twin
        assert set(photos.labels[asked]) <= set(photos.labels[inside])
        seen.extend(asked)
    assert sorted(seen) == list(range(24))  # all but the label with a single photo


def test_cross_validation_agrees_with_searching_in_the_fitted_maps():
    vectors, labels = make(0, [8] * 6)
    photos = Labelled.of(vectors, labels, range(len(labels)), parts=4, seed=0)
    trials = cross_validate(photos, "blend")
    assert trials.k == 6
    for settings, outcome in trials.maps[::17]:
        precision, recall = [], []
        for part in range(4):
            inside, asked = split(photos, part)
            # The temperature of the last fit is the folds' mean, which moves hits only a little.
            space = refitting(photos, settings, "x@1")(inside)
            x, q = space(photos.vectors[inside]), space(photos.vectors[asked])
            near = np.argsort(((q[:, None] - x[None]) ** 2).sum(axis=2), axis=1)
            hits = photos.labels[inside][near] == photos.labels[asked][:, None]
            precision.extend(hits[:, :6].mean(axis=1))
            recall.extend(hits[:, :5].any(axis=1))
        assert np.mean(precision) == pytest.approx(outcome.precision.mean(), abs=0.02)
        assert np.mean(recall) == pytest.approx(outcome.recall.mean(), abs=0.03)


# The whole


def test_learning_finds_what_counts_and_makes_it_the_metric(gallery):
    plain = accuracy(gallery, "plain")
    report = learn(gallery)
    assert report.metric == gallery.metric == "learned@1"
    learned = accuracy(gallery, None)
    assert learned > plain + 0.2
    precision = next(f for f in report.figures if f.name.startswith("precision"))
    assert precision.before.low < precision.after.low
    assert precision.difference.p < 0.01
    assert precision.after.value == pytest.approx(learned, abs=0.15)
    assert report.items == 120
    assert report.labels == 10
    assert gallery.facts("learned")["labelling"]["items"] == 120
    assert learn(gallery).metric == "learned@2"
    assert gallery.undo_metric() == "learned@1"


def test_learning_twice_gives_the_same(gallery, tmp_path):
    one, other = learn(gallery, seed=3), learn(gallery, seed=3)
    assert one.settings == other.settings
    assert one.figures == other.figures
    vectors = gallery.vectors(gallery.items()).values
    a, b = gallery.space("learned@1")(vectors), gallery.space("learned@2")(vectors)
    assert np.array_equal(a, b)


def test_favour_moves_the_choice_along_the_trade(gallery, tmp_path):
    put(gallery, *make(5, [10] * 10, noise=12), tmp_path, "more")
    ends = [learn(gallery, favour=favour) for favour in (0.0, 1.0)]
    means = []
    for report in ends:
        outcome = dict(report.trials.maps)[report.settings]
        means.append((outcome.recall.mean(), outcome.precision.mean()))
    assert means[0][0] >= means[1][0]
    assert means[1][1] >= means[0][1]


@pytest.mark.parametrize("method", ["lda", "posteriors", "blend"])
def test_a_method_is_kept_to(gallery, method):
    report = learn(gallery, method=method)
    blend = report.settings.blend
    assert {"lda": blend == 0, "posteriors": blend == 1, "blend": 0 < blend < 1}[method]


def test_where_labels_mean_nothing_nothing_is_changed(tmp_path):
    rng = np.random.default_rng(0)
    with Gallery.create(tmp_path / "gallery", fake_embedder()) as gallery:
        # All photos of a label are one photo with a little noise: nothing can be better.
        centres = rng.normal(size=(20, DIM))
        vectors = np.repeat(centres, 6, axis=0) + 1e-4 * rng.normal(size=(120, DIM))
        labels = [f"label-{n // 6}" for n in range(120)]
        put(gallery, vectors.astype(np.float32), labels, tmp_path)
        report = learn(gallery)
        assert report.metric is None
        assert gallery.metric == "plain"
        assert any("no map did better" in warning for warning in report.warnings)


def test_labels_at_random_do_not_look_learned(tmp_path):
    rng = np.random.default_rng(0)
    with Gallery.create(tmp_path / "gallery", fake_embedder()) as gallery:
        vectors, labels = make(0, [30] * 5)
        put(gallery, vectors, list(rng.permutation(labels)), tmp_path)
        report = learn(gallery)
        assert report.figures[0].after.value == pytest.approx(0.2, abs=0.06)


def test_two_photos_of_each_label_and_unlabelled_ones_between(tmp_path):
    with Gallery.create(tmp_path / "gallery", fake_embedder()) as gallery:
        put(gallery, *make(0, [2] * 30), tmp_path)
        put(gallery, make(3, [2] * 30)[0], [None] * 60, tmp_path, "unlabelled")
        report = learn(gallery)
        assert report.unlabelled == 60
        assert report.k == 1
        assert any("fewer than 5 photos" in warning for warning in report.warnings)
        assert accuracy(gallery, None, k=1, counts=(5,) * 30) > accuracy(
            gallery, "plain", k=1, counts=(5,) * 30
        )
        everything = gallery.search(gallery.vectors(gallery.items()[:1]), 120)
        assert len(everything[0]) == 120  # unlabelled photos are found in the learned space too


def test_many_labels(tmp_path):
    with Gallery.create(tmp_path / "gallery", fake_embedder()) as gallery:
        put(gallery, *make(0, [3] * 300), tmp_path)
        report = learn(gallery, method="lda")
        assert report.labels == 300


def test_what_cannot_be_learned_from_is_said(gallery, tmp_path):
    for arguments, match in (
        ({"method": "magic"}, "no method magic"),
        ({"favour": 2.0}, "favour is 2"),
        ({"name": "../x"}, "cannot be called"),
    ):
        with pytest.raises(InputError, match=match):
            learn(gallery, **arguments)
    with Gallery.create(tmp_path / "empty", fake_embedder()) as empty:
        with pytest.raises(InputError, match="0 labels with two"):
            learn(empty)
        put(empty, *make(0, [1] * 5), tmp_path)
        with pytest.raises(InputError, match="0 labels with two"):
            learn(empty)
    with Gallery.create(tmp_path / "same", fake_embedder()) as same:
        one = np.ones((1, DIM), np.float32)
        put(same, np.repeat([one[0], -one[0]], 4, axis=0), ["a"] * 4 + ["b"] * 4, tmp_path)
        assert learn(same).metric is None  # without a map all is right already


@pytest.mark.parametrize("seed", range(12))
def test_galleries_of_a_few_lopsided_labels_are_learned_from_or_refused_in_words(tmp_path, seed):
    rng = np.random.default_rng(seed)
    counts = [int(n) for n in rng.choice([1, 1, 2, 3, 6], size=rng.integers(2, 5))]
    with Gallery.create(tmp_path / "few", fake_embedder()) as few:
        vectors, labels = make(seed, counts)
        # Some files are in two folders, under two labels.
        root = few.root(os.fsencode(tmp_path / "photos"), None)
        few.add(
            root,
            [
                entry(f"{n}.jpg", v, lb, digest=b"%032d" % (n // 2 if seed % 3 == 0 else n))
                for n, (v, lb) in enumerate(zip(vectors, labels, strict=True))
            ],
        )
        for number in range(4):
            for verb in (learn, calibrate):
                said = None
                try:
                    verb(few, seed=number)
                except InputError as error:
                    said = error
                assert said is None or (str(few.place) in str(said) and said.remedy)
        query = few.vectors(few.items()[:1])
        vote = classify_queries(few, query, k=3)[0]
        assert all(0 <= p <= 1 for p in (vote.probabilities or {}).values())


def test_curves_rise():
    rng = np.random.default_rng(3)
    for _ in range(50):
        x = rng.random(40)
        curve = _rising(x, rng.random(40) < x)
        assert all(np.diff(curve.x) > 0)
        assert all(np.diff(curve.y) >= 0)


# Calibration


def test_probabilities_hold_for_photos_not_seen(tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", fake_embedder())
    put(gallery, *make(7, [40] * 10, apart=HARD), tmp_path)
    learn(gallery)
    calibration = gallery.calibration("learned")
    vectors, labels = make(11, [60] * 10, apart=HARD)
    queries = Vectors(vectors, gallery.fingerprint)
    found = gallery.search(queries, 20)
    right = np.array(
        [[m.item.label == lb for m in ms] for ms, lb in zip(found, labels, strict=True)]
    )
    p = calibration.neighbours(found.distances)
    assert np.array_equal(p, found.probabilities)
    assert found[0][3].probability == p[0, 3]
    assert expected_calibration_error(p.ravel(), right.ravel()) < 0.06
    votes = classify_queries(gallery, queries)
    top = np.array([vote.probabilities[vote.first] for vote in votes])
    won = np.array([vote.first == lb for vote, lb in zip(votes, labels, strict=True)])
    assert 0.5 < won.mean() < 1
    assert expected_calibration_error(top, won) < 0.08
    for vote in votes:
        chances = list(vote.probabilities.values())
        assert sum(chances) <= 1 + 1e-9
        assert chances == sorted(chances, reverse=True)
        assert 0 <= vote.none <= 1
    gallery.close()


def test_photos_of_no_label_are_told_and_precision_can_be_asked_for(gallery, tmp_path):
    put(gallery, *make(7, [20] * 10), tmp_path, "more")
    learn(gallery)
    known, labels = make(11, [20] * 10)
    strange, _ = make(12, [20] * 10, centres=np.random.default_rng(5).normal(size=(10, SIGNAL)))
    queries = Vectors(np.vstack([known, strange]), gallery.fingerprint)
    votes = classify_queries(gallery, queries)
    none = np.array([vote.none for vote in votes])
    assert auroc(none, np.arange(400) >= 200) > 0.7
    share = []
    for precision in (0.7, 0.9):
        votes = classify_queries(gallery, queries, precision=precision)
        answered = [n for n, vote in enumerate(votes) if vote.label is not None]
        share.append(len(answered))
        right = [n < 200 and votes[n].label == labels[n] for n in answered]
        # A fifth of unknown photos is reckoned with: weigh the two kinds like that.
        weights = [0.8 if n < 200 else 0.2 for n in answered]
        assert np.average(right, weights=weights) > precision - 0.1
    assert share[0] > share[1] > 0
    with pytest.raises(InputError, match="not calibrated for 7 neighbours"):
        classify_queries(gallery, queries, k=7, precision=0.9)


def test_a_metric_that_is_not_learned_can_be_calibrated(gallery):
    assert gallery.calibration("plain") is None
    made = calibrate(gallery)
    assert made["queries"] == 120
    again = gallery.calibration()
    assert Calibration.read(json.loads(json.dumps(again.document()))) == again
    p = again.neighbours([0.0, 0.5, 1.0, 2.0])
    assert (np.diff(p) <= 0).all()
    assert ((p > 0) & (p < 1)).all()
    vectors, _ = make(11, [2] * 10)
    votes = classify_queries(gallery, Vectors(vectors, gallery.fingerprint))
    assert all(vote.probabilities for vote in votes)
    assert not any(
        v.probabilities
        for v in classify_queries(gallery, Vectors(vectors, gallery.fingerprint), k=3)
    )


def test_labelled_keeps_equal_bytes_in_one_fold(gallery, tmp_path):
    photos = labelled(gallery, gallery.items(), seed=0)
    assert len(photos) == 120
    assert photos.names[0] == "label-000"
    assert refitting(photos, SOME, "x@1")(np.arange(60)).labels == tuple(
        photos.names[n] for n in np.unique(photos.labels[:60])
    )
