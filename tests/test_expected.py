"""The paper's figures on real photos with real networks, where they are on this machine."""

import json
import subprocess
import sys

import pytest

# precision@20, recall@1, recall@5, vote accuracy, in per cent
EXPECTED = {
    ("resnet50", "raw"): (36.44, 61.83, 87.67, 69.33),
    ("resnet50", "normalised"): (41.12, 66.33, 87.17, 72.67),
    ("resnet50", "leave-one-out"): (40.20, 61.40, 87.07, 68.87),
    ("efficientnet-lite0", "raw"): (43.08, 68.50, 90.67, 70.83),
    ("efficientnet-lite0", "normalised"): (45.27, 70.33, 89.50, 71.50),
    ("efficientnet-lite0", "leave-one-out"): (44.09, 67.00, 88.27, 70.63),
}
FIGURES = ("precision_at_k", "recall_at_1", "recall_at_5", "vote_accuracy")


def houndsight(*arguments):
    command = [sys.executable, "-m", "houndsight", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def unpacked(tmp_path, shared):
    path = tmp_path / "resnet50.safetensors"
    tool = shared / "tools" / "unpack_resnet50.py"
    subprocess.run([sys.executable, tool, path], check=True, capture_output=True)
    return path


def figures(*arguments):
    # Only equal bytes were kept from queries when these figures were taken.
    record = json.loads(houndsight("evaluate", *arguments, "-k", 20, "--keep-near", "--json"))
    return [100 * record[name] for name in FIGURES]


@pytest.mark.parametrize("model", ["efficientnet-lite0", "resnet50"])
def test_figures_agree(model, tmp_path, monkeypatch, shared, request):
    dogs = shared / "dogs"
    options = ["--model", model]
    if model == "resnet50":
        options += ["--weights", request.getfixturevalue("unpacked")]
    monkeypatch.setenv("HOUNDSIGHT_GALLERY", str(tmp_path / "raw"))
    houndsight("index", dogs / "gallery", "--raw", *options)
    raw = figures("--queries", dogs / "queries")
    assert raw == pytest.approx(EXPECTED[model, "raw"], abs=0.3)
    assert houndsight("verify").startswith("3,000 photos")

    # The same vectors, scaled to length 1: a second run of the network would tell nothing new.
    normalise(tmp_path / "raw", tmp_path / "normalised")
    monkeypatch.setenv("HOUNDSIGHT_GALLERY", str(tmp_path / "normalised"))
    normalised = figures("--queries", dogs / "queries")
    assert normalised == pytest.approx(EXPECTED[model, "normalised"], abs=0.3)
    alone = figures("--samples", "all")
    assert alone == pytest.approx(EXPECTED[model, "leave-one-out"], abs=0.3)
    assert wrong_labels_found(tmp_path / "normalised") >= 0.9


def wrong_labels_found(place):
    """Exchange 5 % of the labels; return how many of these are in the first 10 % of outliers."""
    import numpy as np

    from houndsight import Gallery, outliers

    rng = np.random.default_rng(0)
    with Gallery(place) as gallery:
        items, names = gallery.items(), sorted(gallery.labels())
        some = [items[n] for n in rng.choice(len(items), len(items) // 20, replace=False)]
        wrong = {i.id: rng.choice([name for name in names if name != i.label]) for i in some}
        gallery.set_labels({id_: str(label) for id_, label in wrong.items()}, source="user")
        found = outliers(gallery)
        first = {one.item.id for one in found[: len(found) // 10]}
    return len(first & set(wrong)) / len(wrong)


def normalise(source, target):
    from houndsight import Embedder, Gallery
    from houndsight.gallery import Entry

    with Gallery(source) as raw:
        embedder = raw.embedder()
        made = Embedder(
            embedder.model,
            embedder.runtime,
            weights_digest=embedder.made_of["weights"],
            weights_file=embedder.weights_file,
        )
        items = raw.items()
        vectors = raw.vectors(items).values
        with Gallery.create(target, made) as gallery:
            root = gallery.root(raw.roots()[0].place, "folder")
            entries = [
                Entry(i.path, i.label, "folder", i.digest, i.size, i.mtime_ns, i.width, i.height,
                      v / (v**2).sum() ** 0.5)
                for i, v in zip(items, vectors, strict=True)
            ]  # fmt: skip
            gallery.add(root, entries)
