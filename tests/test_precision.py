"""Integers instead of float32: quantized on the photos, measured, kept by the gallery."""

import logging
import sys

import numpy as np
import pytest

import houndsight.embedder
from fakes import fake_embedder, write_photo
from houndsight import Embedder, Gallery, index, narrowed, precision
from houndsight.errors import DamagedGallery, FingerprintMismatch, InputError
from houndsight.models.narrow import halved, left_in_float, quantized
from houndsight.precision import Trial


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOUNDSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Embedder.load("efficientnet-lite0")


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for n in range(24):
        write_photo(folder / f"label{n % 3}" / f"{n}.jpg", n, size=(300, 260))
    return sorted(str(path).encode() for path in folder.rglob("*.jpg"))


@pytest.fixture(scope="module")
def chosen(embedder, paths):
    labels = [path.split(b"/")[-2].decode() for path in paths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(houndsight.embedder, "TIMED_S", 0.05)
        return narrowed(embedder, paths, labels, least_overlap=0.0)


def test_the_graph_is_in_integers_but_for_what_is_left(embedder, paths):
    graph = embedder.float_graph()
    choices = left_in_float(graph)
    assert list(choices) == ["none", "first convolution", "first convolution, last stage"]
    assert [len(nodes) for nodes in choices.values()][:2] == [0, 1]
    assert len(choices["first convolution, last stage"]) > 2
    pixels = np.stack([embedder.pixels(path) for path in paths[:8]])
    handlers = list(logging.getLogger().handlers)
    made = quantized(graph, pixels, choices["first convolution"])
    assert logging.getLogger().handlers == handlers
    assert len(made) < 0.45 * len(graph)
    (exact,) = embedder.runtime.run(pixels, ["vector"])
    (vectors,) = embedder.with_network(made, "int8").runtime.run(pixels, ["vector"])
    cosine = (vectors * exact).sum(1) / np.linalg.norm(vectors, axis=1)
    assert (cosine / np.linalg.norm(exact, axis=1) > 0.8).all()
    assert not np.array_equal(vectors, exact)
    # Regions have exact shares in these vectors too.
    regions = embedder.with_network(made, "int8").regions([path.decode() for path in paths[:3]])
    average = regions.mean(axis=(2, 3), dtype=np.float64)
    scaled = vectors[:3] / np.linalg.norm(vectors[:3], axis=1, keepdims=True)
    assert np.allclose(average, scaled, atol=1e-6)


def test_half_precision_is_near_and_half_as_large(embedder, paths):
    graph, before = embedder.float_graph(), list(sys.path)
    network = halved(graph)
    assert sys.path == before
    assert len(network) < 0.55 * len(graph)
    made = embedder.with_network(network, "float16")
    pixels = np.stack([embedder.pixels(path) for path in paths[:8]])
    (exact,) = embedder.runtime.run(pixels, ["vector"])
    (vectors,) = made.runtime.run(pixels, ["vector"])
    assert vectors.dtype == np.float32
    cosine = (vectors * exact).sum(1) / np.linalg.norm(vectors, axis=1)
    assert (cosine / np.linalg.norm(exact, axis=1) > 0.999).all()
    assert made.made_of["precision"] == "float16"
    assert made.fingerprint != embedder.fingerprint
    _, report = narrowed(embedder, paths, [None] * len(paths), precision="float16")
    assert [trial.name for trial in report.trials] == ["float32", "float16"]
    assert report.trials[1].overlap > 0.95
    assert report.trials[1].precision is None


def test_figures_are_what_plain_numpy_says(embedder, paths, chosen):
    made, report = chosen
    assert (report.photos, report.k) == (24, 4)
    assert [trial.name for trial in report.trials] == [
        "float32",
        "int8",
        "int8 but first convolution",
        "int8 but first convolution, last stage",
    ]
    assert report.trials[0].overlap == 1.0
    assert all(trial.speed > 0 for trial in report.trials)

    def near(one):
        x = one.embed([path.decode() for path in paths]).values.astype(np.float64)
        d = ((x[:, None] - x[None]) ** 2).sum(axis=2)
        np.fill_diagonal(d, np.inf)
        return np.argsort(d, axis=1)[:, :4]

    exact, theirs = near(embedder), near(made)
    common = np.mean([len({*a} & {*b}) / 4 for a, b in zip(exact, theirs, strict=True)])
    (taken,) = [trial for trial in report.trials if trial.name == report.chosen]
    assert taken.overlap == pytest.approx(common)
    labels = np.array([path.split(b"/")[-2] for path in paths])
    assert taken.precision == pytest.approx((labels[theirs] == labels[:, None]).mean())


def test_batches_are_as_large_as_they_are_set(paths, monkeypatch):
    monkeypatch.setenv("HOUNDSIGHT_BATCH", "5")
    monkeypatch.setenv("HOUNDSIGHT_THREADS", "2")
    made = fake_embedder()
    assert len(list(made.embed_files(paths))) == 24
    assert made.runtime.runs == 9  # four times 4 and 1, and the last 4


@pytest.mark.parametrize(
    ("trial", "best", "better"),
    [
        ((50, 0.93), (40, 0.99), True),  # both are near enough: the faster
        ((50, 0.91), (40, 0.99), False),
        ((10, 0.92), (90, 0.91), True),
        ((10, 0.90), (90, 0.89), True),  # neither is: the nearer
        ((99, 0.88), (20, 0.89), False),
    ],
)
def test_the_fastest_that_is_near_enough_is_taken(trial, best, better):
    one, other = (Trial("x", speed, overlap, None) for speed, overlap in (trial, best))
    assert precision._better(one, other) == better


def test_too_little_overlap_is_refused(embedder, paths, monkeypatch):
    monkeypatch.setattr(houndsight.embedder, "TIMED_S", 0.01)
    with pytest.raises(InputError, match=r"neighbours only .* % are the same") as refused:
        narrowed(embedder, paths[:12], [None] * 12, least_overlap=1.01)
    assert "--min-overlap" in refused.value.remedy
    with pytest.raises(InputError, match="2 photos can be read"):
        narrowed(embedder, [*paths[:2], b"/absent.jpg"], [None] * 3)


def test_a_gallery_keeps_its_network(chosen, embedder, paths, tmp_path, cache):
    made, _ = chosen
    folder = paths[0].rsplit(b"/", 2)[0].decode()
    index(folder, tmp_path / "g", embedder=made)
    assert made.fingerprint != embedder.fingerprint
    with Gallery(tmp_path / "g") as gallery:
        assert gallery.settings["made_of"]["precision"] == "int8"
        again = gallery.embedder()  # no weights are needed for it
        assert again.fingerprint == made.fingerprint
        query = again.embed(paths[5].decode())
        assert gallery.search(query, 1)[0][0].distance == 0.0
        with pytest.raises(FingerprintMismatch):
            gallery.search(embedder.embed(paths[5].decode()), 1)
        assert gallery.verify() == []
        network = gallery.place / "network.onnx"
        data = bytearray(network.read_bytes())
        data[1000] ^= 1
        network.write_bytes(data)
        assert "network.onnx: is not the network" in gallery.verify()[0]
        with pytest.raises(DamagedGallery, match="is not the network"):
            gallery.embedder()
        network.unlink()
        with pytest.raises(DamagedGallery, match="No such file"):
            gallery.embedder()
