"""Every format gives the same tensors; no file does anything else."""

import json
import pickle
import struct

import numpy as np
import pytest
from handwritten import FILES, sample, tensors_file, write
from safetensors.numpy import save_file

from houndsight.errors import CheckpointError
from houndsight.models import checkpoint
from houndsight.models.checkpoint import read_checkpoint
from houndsight.models.weights import tensor_digest
from houndsight.runtime import OnnxRuntime

FORMATS = sorted(path.name for path in FILES.glob("*.pth") if path.name != "torchscript.pth")


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_the_same(tiny, name):
    weights = tiny.select(read_checkpoint(FILES / name))
    expected = tiny.select(read_checkpoint(FILES / "zip.pth"))
    assert tensor_digest(weights) == tensor_digest(expected)
    for key, array in weights.items():
        np.testing.assert_array_equal(array, expected[key])
        assert array.dtype == np.float32
        assert array.flags.c_contiguous


@pytest.mark.parametrize("name", FORMATS)
def test_vectors_are_those_of_pytorch(tiny, name):
    x = np.sin(np.arange(3 * 37 * 45, dtype=np.float32) * np.float32(0.01)).reshape(1, 3, 37, 45)
    graph = tiny.graph(read_checkpoint(FILES / name))
    (vector,) = OnnxRuntime(graph).run(x, ["vector"])
    expected = np.loadtxt(FILES / "vector.txt")
    np.testing.assert_allclose(vector[0], expected, rtol=1e-4, atol=1e-5)


def test_extensions_mean_nothing(tmp_path, tiny):
    expected = tiny.select(read_checkpoint(FILES / "zip.pth"))
    save_file(expected, tmp_path / "weights.pth")
    again = read_checkpoint(tmp_path / "weights.pth")
    assert tensor_digest(again) == tensor_digest(expected)
    copy = write(tmp_path / "weights.safetensors", sample("zip-legacy.pth"))
    assert tensor_digest(tiny.select(read_checkpoint(copy))) == tensor_digest(expected)


@pytest.mark.parametrize("dtype", ["F16", "F32", "F64"])
def test_floats_become_float32(tmp_path, dtype):
    values = np.array([[0.5, -2.0], [3.25, 0.0]], {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype])
    read = read_checkpoint(write(tmp_path / "a", tensors_file({"a": values}, dtype)))["a"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, values)


def test_bfloat16_is_the_upper_half_of_a_float32(tmp_path):
    values = np.array([1.0, -2.5, 0.0, 3.0], "<f4")
    upper = (values.view(np.uint32) >> 16).astype("<u2")
    read = read_checkpoint(write(tmp_path / "a", tensors_file({"a": upper}, "BF16")))["a"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, values)


def test_a_float64_beyond_float32_is_infinite(tmp_path):
    values = np.array([1e300])
    read = read_checkpoint(write(tmp_path / "a", tensors_file({"a": values}, "F64")))["a"]
    assert np.isinf(read).all()


@pytest.mark.parametrize(("dtype", "code"), [("I64", "<i8"), ("U8", "|u1"), ("BOOL", "|b1")])
def test_integers_are_kept(tmp_path, dtype, code):
    values = np.array([0, 1, 1], code)
    read = read_checkpoint(write(tmp_path / "a", tensors_file({"a": values}, dtype)))["a"]
    assert read.dtype == np.dtype(code)
    np.testing.assert_array_equal(read, values)


def test_numbers_and_empty_tensors_keep_their_shape(tmp_path):
    values = {"number": np.array(3, "<f4"), "empty": np.zeros((0, 4), "<f4")}
    read = read_checkpoint(write(tmp_path / "a", tensors_file(values)))
    assert {name: array.shape for name, array in read.items()} == {"number": (), "empty": (0, 4)}
    assert read_checkpoint(FILES / "zip.pth")["bn1.num_batches_tracked"].shape == ()


# ---------------------------------------------------------------- files that are no weights


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><title>404</title>", "web page"),
        (b"\xef\xbb\xbf\n <html>", "web page"),
        (b"weights", "no file of weights"),
        (b"X<Y", "no file of weights"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "no file of weights"),
        (b"PK\x03\x04", "damaged"),
        (b"\x80", "damaged"),
        (pickle.dumps({"a": 1}), "not a PyTorch checkpoint"),
        (struct.pack("<Q", 22) + b"{" + bytes(20), "too early"),
        (struct.pack("<Q", 2) + b"{}", "no tensors"),
        (struct.pack("<Q", 20) + b"{" + b"[" * 19, "damaged"),
        (struct.pack("<Q", 50_001) + b"{" + b'"a":{' * 10_000, "damaged"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_words(tmp_path, content, cause):
    path = write(tmp_path / "odd\nname.pth", content)
    with pytest.raises(CheckpointError, match=cause) as error:
        read_checkpoint(path)
    assert error.value.path == path
    assert error.value.remedy
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        read_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        read_checkpoint(tmp_path)


def test_a_cause_that_the_system_does_not_name(tmp_path):
    class Gone(type(tmp_path)):
        def open(self, *_):
            raise BlockingIOError("gone")

    with pytest.raises(CheckpointError, match="cannot be read: BlockingIOError"):
        read_checkpoint(Gone(tmp_path))


def test_a_header_as_long_as_any_may_be(tmp_path, monkeypatch):
    content = tensors_file({"a": np.ones(4, "<f4")})
    path = write(tmp_path / "a", content)
    length = len(content) - 8 - 16
    monkeypatch.setattr(checkpoint, "_MAX_HEADER", length)
    assert read_checkpoint(path)["a"].tolist() == [1] * 4
    monkeypatch.setattr(checkpoint, "_MAX_HEADER", length - 1)
    with pytest.raises(CheckpointError, match="no file of weights"):
        read_checkpoint(path)


def test_torchscript_is_named():
    with pytest.raises(CheckpointError, match="TorchScript"):
        read_checkpoint(FILES / "torchscript.pth")


@pytest.mark.parametrize(
    ("entry", "cause"),
    [
        ({"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}, "type 'F8_E4M3'"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, "impossible shape"),
        ({"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}, "impossible shape"),
        ({"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}, "impossible shape"),
        ({"dtype": "F32", "shape": [1] * 65, "data_offsets": [0, 4]}, "impossible shape"),
        # Else the header would be read as numbers.
        ({"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}, "impossible shape"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "impossible place"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "impossible place"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}, "impossible place"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}, "impossible place"),
        ({"dtype": "F32", "shape": [1 << 62], "data_offsets": [0, 1 << 64]}, "impossible place"),
        ({"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}, "damaged"),
        ({"shape": [1], "data_offsets": [0, 4]}, "damaged"),
        ([], "damaged"),
    ],
)
def test_safetensors_that_contradict_themselves(tmp_path, entry, cause):
    header = json.dumps({"a": entry}).encode()
    path = write(tmp_path / "a", struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(CheckpointError, match=cause):
        read_checkpoint(path)


def test_as_many_dimensions_as_numpy_can_hold(tmp_path):
    values = np.ones((1,) * 64, "<f4")
    read = read_checkpoint(write(tmp_path / "a", tensors_file({"a": values})))
    np.testing.assert_array_equal(read["a"], values, strict=True)


def test_safetensors_may_not_use_their_data_twice(tmp_path):
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header = json.dumps({"a": entry, "b": entry}).encode()
    path = write(tmp_path / "a", struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(CheckpointError, match="more data than it holds"):
        read_checkpoint(path)
