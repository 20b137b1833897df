"""A network of one's own: its vectors against plain arithmetic, and a gallery that keeps it."""

import json

import numpy as np
import onnx
import pytest
from PIL import Image

from fakes import draw, write_photo
from houndsight.embedder import Embedder
from houndsight.errors import FingerprintMismatch, InputError, ModelError
from houndsight.explaining import explain
from houndsight.gallery import Gallery
from houndsight.indexing import index
from houndsight.precision import narrowed
from networks import DIM, MEAN, STD, network, patches, save

SAID = {"mean": MEAN, "std": STD, "size": 32}


def pixels(image, size=32, mean=MEAN, std=STD):
    """What a squashed photo becomes, float64 (1, 3, size, size)."""
    small = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC), np.float64) / 255
    return ((small - mean) / std).transpose(2, 0, 1)[None]


def plain(image, kind, **options):
    made = patches(pixels(image, **options))
    tokens = made.reshape(1, DIM, -1)
    return tokens[:, :, 0] if kind == "cls" else tokens.mean(axis=2)


def load(path, normalise=False, **said):
    return Embedder.load(str(path), normalise=normalise, description={**SAID, **said})


# Vectors


@pytest.mark.parametrize(
    ("output", "pooling"),
    [("map", None), ("pooled", None), ("tokens", "cls"), ("tokens", "mean")],
)
def test_each_kind_of_output_becomes_a_vector(tmp_path, output, pooling):
    path = save(tmp_path / "net.onnx", output)
    embedder = load(path, **({"pooling": pooling} if pooling else {}))
    photos = [draw(seed) for seed in range(3)]
    expected = np.concatenate([plain(photo, pooling) for photo in photos])
    assert embedder.dim == DIM
    assert embedder.model.name == "net.onnx"
    np.testing.assert_allclose(embedder.embed(photos).values, expected, rtol=1e-4, atol=1e-5)
    long = load(path, normalise=True, **({"pooling": pooling} if pooling else {}))
    lengths = np.linalg.norm(long.embed(photos).values, axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"last": True},
        {"last": True, "side": 32},
        {"kind": onnx.TensorProto.FLOAT16},
        {"batch": 1},
        {"side": 32},
    ],
)
def test_networks_are_fed_as_they_want(tmp_path, options):
    embedder = load(save(tmp_path / "net.onnx", "pooled", **options))
    photos = [draw(seed) for seed in range(5)]
    expected = np.concatenate([plain(photo, None) for photo in photos])
    tolerance = 2e-2 if "kind" in options else 1e-4
    found = embedder.embed(photos).values
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance / 10)


def test_a_size_that_the_network_says_need_not_be_said_again(tmp_path):
    path = save(tmp_path / "net.onnx", "map", side=40)
    embedder = Embedder.load(str(path), description={"mean": MEAN, "std": STD})
    assert embedder.preprocessing.size == 40
    with pytest.raises(InputError, match=r"takes photos of 40 x 40, and 32 was said") as error:
        load(path)
    assert error.value.path == path


def test_of_several_outputs_one_is_named(tmp_path):
    path = save(tmp_path / "net.onnx", "tokens", "pooled")
    with pytest.raises(InputError, match="outputs tokens, pooled, and nothing says") as error:
        load(path)
    assert "--layer" in error.value.remedy
    with pytest.raises(InputError, match="outputs tokens, pooled, and none is 'logits'"):
        load(path, layer="logits")
    first, other = load(path, layer="pooled"), load(path, layer="tokens", pooling="mean")
    photo = draw(0)
    one, two = (embedder.embed(photo).values for embedder in (first, other))
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    assert first.fingerprint != other.fingerprint


def test_a_person_s_file_says_how_photos_are_shaped(tmp_path):
    path = save(tmp_path / "net.onnx", "map")
    said = {"mean": [10, 20, 30], "std": [2, 3, 4], "scale": 1, "size": 32, "channels": "BGR"}
    path.with_suffix(".json").write_text(json.dumps({**said, "resample": "bilinear"}))
    embedder = Embedder.load(str(path), normalise=False)
    photo = draw(1)
    small = np.asarray(photo.resize((32, 32), Image.Resampling.BILINEAR), np.float64)
    shaped = ((small[:, :, ::-1] - [10, 20, 30]) / [2, 3, 4]).transpose(2, 0, 1)[None]
    expected = patches(shaped).mean(axis=(2, 3))
    np.testing.assert_allclose(embedder.embed(photo).values, expected, rtol=1e-4, atol=1e-4)


def test_what_is_given_wins_over_the_file(tmp_path):
    path = save(tmp_path / "net.onnx", "map")
    path.with_suffix(".json").write_text(json.dumps({**SAID, "mean": [0, 0, 0]}))
    given = Embedder.load(str(path), image_size=64, description={"mean": MEAN})
    assert given.preprocessing.size == 64
    assert given.preprocessing.mean == tuple(MEAN)
    assert given.preprocessing.std == tuple(STD)


def test_weights_in_other_files_are_taken_in(tmp_path):
    path = tmp_path / "net.onnx"
    model = network(("map",))
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    assert (tmp_path / "net.data").is_file()
    embedder = load(path)
    photo = draw(2)
    expected = plain(photo, None)
    np.testing.assert_allclose(embedder.embed(photo).values, expected, rtol=1e-4, atol=1e-5)
    (tmp_path / "net.data").unlink()
    with pytest.raises(ModelError, match="cannot be read with all its weights") as error:
        load(path)
    assert error.value.path == path


def test_regions_of_a_map_make_its_vector(tmp_path):
    embedder = load(save(tmp_path / "net.onnx", "map"))
    photo = draw(3)
    regions = embedder.regions(photo)
    np.testing.assert_allclose(regions, patches(pixels(photo)), rtol=1e-4, atol=1e-4)
    tokens = load(save(tmp_path / "other.onnx", "tokens"), pooling="mean")
    with pytest.raises(ModelError, match="'tokens' is no map of regions"):
        tokens.regions(photo)


# What is refused


@pytest.mark.parametrize(
    ("outputs", "options", "said", "trouble"),
    [
        (("tokens",), {}, {}, r"is \[1, 16, 6\]: tokens, of which one vector"),
        (("pooled",), {}, {"pooling": "cls"}, r"is \[1, 6\], which has no tokens to take the cls"),
        (("map",), {}, {"pooling": "mean"}, r"which has no tokens to take the mean of"),
        (("flat",), {}, {}, r"gives 6 results for 1 photos"),
        (("whole",), {}, {}, r"'whole' is int64, not float"),
        (("map",), {"inputs": 3}, {}, "has 3 inputs, not one: pixels, more_0, more_1"),
        (("map",), {"batch": 4}, {}, "takes 4 photos at a time"),
        (("map",), {"kind": onnx.TensorProto.UINT8}, {}, r"its input is tensor\(uint8\)"),
    ],
)
def test_a_network_that_makes_no_vectors_is_refused(tmp_path, outputs, options, said, trouble):
    path = save(tmp_path / "net.onnx", *outputs, **options)
    with pytest.raises((InputError, ModelError), match=trouble) as error:
        load(path, **said)
    assert error.value.path == path


@pytest.mark.parametrize("size", [31, 2049, 1 << 20])
def test_a_size_that_cannot_be_is_refused_before_the_network_runs(tmp_path, size):
    path = save(tmp_path / "net.onnx", "map")
    with pytest.raises(InputError, match=f"the image size {size} is not usable"):
        load(path, size=size)


@pytest.mark.parametrize("data", [b"", b"no network", b"<html>"])
def test_a_file_that_is_no_network_is_refused(tmp_path, data):
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError) as error:
        load(path)
    assert error.value.path == path


def test_what_does_not_belong_together_is_refused(tmp_path):
    path = save(tmp_path / "net.onnx", "map")
    with pytest.raises(InputError, match="there is no such file"):
        load(tmp_path / "absent.onnx")
    with pytest.raises(InputError, match="holds its weights itself"):
        Embedder.load(str(path), weights="some.pth", description=SAID)
    with pytest.raises(InputError, match=r"'pooling' is for networks from an \.onnx file"):
        Embedder.load("efficientnet-lite0", description={"pooling": "cls"})
    with pytest.raises(InputError, match="nothing says which it was trained with"):
        Embedder.load(str(path), description={"mean": MEAN, "std": STD})


def test_integers_are_refused_before_any_photo_is_read(tmp_path):
    embedder = load(save(tmp_path / "net.onnx", "map"))
    with pytest.raises(InputError, match="computes in what it was exported in") as error:
        narrowed(embedder, [b"absent.jpg"] * 3, [None] * 3)
    assert "--precision" in error.value.remedy


# Fingerprints and galleries


def test_the_fingerprint_covers_the_network_and_all_that_is_said(tmp_path):
    said = [
        {},
        {"mean": [0.5, 0.5, 0.5]},
        {"std": [0.5, 0.5, 0.5]},
        {"scale": 1.0},
        {"size": 64},
        {"resize": "crop"},
        {"resize": "crop", "shorter": 40},
        {"resample": "bilinear"},
        {"channels": "BGR"},
    ]
    path = save(tmp_path / "net.onnx", "map")
    made = [load(path, **one).fingerprint for one in said]
    made.append(load(save(tmp_path / "other.onnx", "map", seed=1)).fingerprint)
    tokens = save(tmp_path / "tokens.onnx", "tokens")
    made += [load(tokens, pooling=pooling).fingerprint for pooling in ("cls", "mean")]
    assert len(set(made)) == len(made)
    # Not what the file is called, nor where it lies.
    assert load(save(tmp_path / "else" / "where.onnx", "map")).fingerprint == made[0]


def test_a_gallery_keeps_the_network(tmp_path, photos):
    path = save(tmp_path / "net.onnx", "tokens")
    crop = {"resize": "crop", "shorter": 40, "resample": "bilinear", "channels": "BGR"}
    embedder = load(path, pooling="cls", **crop)
    index(photos, tmp_path / "gallery", embedder=embedder)
    path.unlink()
    with Gallery(tmp_path / "gallery") as gallery:
        assert gallery.model == "net.onnx"
        again = gallery.embedder()
        assert again.fingerprint == embedder.fingerprint
        assert (again.dim, again.preprocessing) == (embedder.dim, embedder.preprocessing)
        photo = str(photos / "pug" / "pug-1.jpg")
        assert gallery.search(again.embed(photo), 1)[0][0].distance == 0.0
        assert gallery.verify() == []
    write_photo(photos / "pug" / "new.jpg", 99)
    assert index(photos, tmp_path / "gallery").new == 1
    other = load(save(path, "tokens", seed=1), pooling="cls", **crop)
    with pytest.raises(FingerprintMismatch, match="network"):
        index(photos, tmp_path / "gallery", embedder=other)


def test_likeness_in_such_a_gallery_can_be_explained(tmp_path, photos):
    embedder = load(save(tmp_path / "net.onnx", "map"), normalise=True)
    index(photos, tmp_path / "gallery", embedder=embedder)
    with Gallery(tmp_path / "gallery") as gallery:
        found = explain(
            gallery, embedder, str(photos / "pug" / "pug-1.jpg"), gallery.find(b"pug/pug-2.jpg")
        )
    assert found.query_shares.shape == (4, 4)
    assert found.explained == "similarity"
    assert found.query_shares.sum() == pytest.approx(found.query_total, abs=1e-5)
    assert found.query_total == pytest.approx(1 - found.distance**2 / 2, abs=1e-5)
