"""ResNet-50 as Keras publishes it: read from HDF5, and computed as Keras computes it."""

import dataclasses
import hashlib
import itertools
import json
import os
import sys

import h5py
import numpy as np
import pytest
from local_server import files
from plain_networks import conv, resnet

from houndsight.cli import app
from houndsight.errors import CheckpointError, InputError, WeightsUnavailable
from houndsight.models import architectures
from houndsight.models.checkpoint import read_checkpoint
from houndsight.models.resnet import ResNet
from houndsight.models.resnet_keras import KerasResNet
from houndsight.models.spec import spec
from houndsight.models.weights import fetch, keep, load, load_kept
from houndsight.runtime import OnnxRuntime

EPSILON = 1.001e-5
SMALL = KerasResNet(
    ResNet(
        name="small-keras",
        blocks=(2, 1, 2),
        width=4,
        expansion=2,
        epsilon=EPSILON,
        strided=1,
        biases=True,
    )
)


def shapes(blocks, width, expansion):
    """Names and shapes of Keras's layers, from the definition of its `stack1` and `block1`."""
    found = {"conv1_conv": (7, 7, 3, width)}
    inputs = width
    for stage, count in enumerate(blocks):
        inner = width * 2**stage
        outer = inner * expansion
        for block in range(1, count + 1):
            at = f"conv{stage + 2}_block{block}"
            if block == 1:
                found[f"{at}_0_conv"] = (1, 1, inputs, outer)
            found[f"{at}_1_conv"] = (1, 1, inputs, inner)
            found[f"{at}_2_conv"] = (3, 3, inner, inner)
            found[f"{at}_3_conv"] = (1, 1, inner, outer)
            inputs = outer
    return found


def drawn(blocks, width, expansion, seed=0):
    """Random variables by layer, that keep values of the order of one."""
    random = np.random.default_rng(seed)
    layers = {}
    for name, shape in shapes(blocks, width, expansion).items():
        outputs = shape[-1]
        spread = np.sqrt(2 / np.prod(shape[:3]))
        layers[name] = {
            "kernel:0": random.normal(0, spread, shape),
            "bias:0": random.normal(0, 0.3, outputs),
        }
        layers[name.replace("conv", "\0").replace("\0", "conv", 1).replace("\0", "bn")] = {
            "gamma:0": random.uniform(0.7, 1.3, outputs),
            "beta:0": random.normal(0, 0.3, outputs),
            "moving_mean:0": random.normal(0, 0.3, outputs),
            "moving_variance:0": random.uniform(0.5, 1.5, outputs),
        }
    return {
        layer: {name: value.astype(np.float32) for name, value in variables.items()}
        for layer, variables in layers.items()
    }


def write(path, layers, layout="nested"):
    """Write them as Keras does: with and without the layer's name twice, or in a saved model."""
    with h5py.File(path, "w") as file:
        root = file
        if layout == "model":
            root = file.create_group("model_weights")
            other = file.create_group("optimizer_weights/Adam/conv1_conv/kernel")
            other["m:0"] = np.zeros(3, np.float32)
        # Layers without variables have groups too.
        root.create_group("conv1_pad").attrs["weight_names"] = []
        for layer, variables in layers.items():
            group = root.create_group(layer)
            inner = group if layout == "flat" else group.create_group(layer)
            for name, value in variables.items():
                inner[name.removesuffix(":0") if layout == "flat" else name] = value
        root.attrs["layer_names"] = [name.encode() for name in layers]
    return path


def plain(layers, blocks, x):
    """The map, float64, step by step as `keras.applications.ResNet50` is defined."""

    def layer(x, name, stride=1, pad=0):
        kernel = layers[f"{name}_conv"]["kernel:0"].transpose(3, 2, 0, 1)
        y = conv(x, kernel, stride=stride, pads=((pad, pad), (pad, pad)))
        y = y + layers[f"{name}_conv"]["bias:0"].astype(np.float64)[:, None, None]
        gamma, beta, mean, variance = (
            layers[f"{name}_bn"][f"{part}:0"].astype(np.float64)[:, None, None]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (y - mean) / np.sqrt(variance + EPSILON) * gamma + beta

    x = np.maximum(layer(x.astype(np.float64), "conv1", stride=2, pad=3), 0)
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))  # with zeros, as `pool1_pad`
    x = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))[:, :, ::2, ::2].max((4, 5))
    for stage, count in enumerate(blocks):
        for block in range(1, count + 1):
            at = f"conv{stage + 2}_block{block}"
            stride = 2 if stage > 0 and block == 1 else 1
            shortcut = layer(x, f"{at}_0", stride) if block == 1 else x
            y = np.maximum(layer(x, f"{at}_1", stride), 0)
            y = np.maximum(layer(y, f"{at}_2", pad=1), 0)
            x = np.maximum(layer(y, f"{at}_3") + shortcut, 0)
    return x


@pytest.fixture(scope="module")
def layers():
    return drawn((2, 1, 2), 4, 2)


@pytest.fixture
def small(layers, tmp_path):
    return write(tmp_path / "small.h5", layers)


# ---------------------------------------------------------------- the network


@pytest.mark.parametrize("size", [(32, 32), (37, 45), (64, 33), (31, 50)])
def test_it_agrees_with_a_plain_computation(layers, small, pixels, size):
    x = pixels(2, 3, *size)
    graph = SMALL.graph(read_checkpoint(small))
    vector, found = OnnxRuntime(graph).run(x, ["vector", "map"])
    expected = plain(layers, (2, 1, 2), x)
    assert found.shape == expected.shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * scale)
    np.testing.assert_allclose(vector, expected.mean((2, 3)), rtol=1e-4, atol=1e-5 * scale)


def test_at_its_real_size_it_agrees_too(tmp_path, pixels):
    layers = drawn((3, 4, 6, 3), 64, 4)
    path = write(tmp_path / "real.h5", layers)
    model = spec("resnet50-keras")
    weights = load(model, path)
    graph = architectures.architecture(model.architecture).graph(weights.arrays)
    x = pixels(1, 3, 64, 64)
    (vector,) = OnnxRuntime(graph).run(x, ["vector"])
    expected = plain(layers, (3, 4, 6, 3), x).mean((2, 3))
    assert vector.shape == (1, model.dim)
    np.testing.assert_allclose(vector, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_every_layer_of_the_published_network_is_used():
    expected = KerasResNet().expected()
    kernels = {name: shape for name, shape in expected.items() if name.endswith(".kernel")}
    wanted = {f"{name}.kernel": shape for name, shape in shapes((3, 4, 6, 3), 64, 4).items()}
    assert kernels == wanted
    assert len(kernels) == 53
    assert len(expected) == 53 * 6
    # What `keras.applications.ResNet50(include_top=False).summary()` says.
    assert sum(np.prod(shape) for shape in expected.values()) == 23_587_712
    assert expected["conv5_block3_3_bn.moving_variance"] == (2048,)


def as_torchvision(layers):
    """The same values by torchvision's names, without the convolutions' biases."""
    variables = {"gamma": "weight", "beta": "bias"}
    variables |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    made = {}
    for layer, values in layers.items():
        *block, kind = layer.split("_")
        if block == ["conv1"]:
            at = f"{kind}1"
        else:
            stage, block, number = int(block[0][4:]), int(block[1][5:]), int(block[2])
            place = "downsample." + str(["conv", "bn"].index(kind)) if number == 0 else kind
            at = f"layer{stage - 1}.{block - 1}.{place}" + (str(number) if number else "")
        if kind == "conv":
            made[f"{at}.weight"] = values["kernel:0"].transpose(3, 2, 0, 1)
        else:
            made |= {f"{at}.{variables[name[:-2]]}": value for name, value in values.items()}
    return made


@pytest.mark.parametrize("blocks", [(3,), (2, 1, 2)])
def test_equal_weights_in_torchvision_s_layout_give_equal_vectors(tmp_path, pixels, blocks):
    layers = drawn(blocks, 4, 2)
    for values in layers.values():
        if "bias:0" in values:
            values["bias:0"] = np.zeros_like(values["bias:0"])
    net = ResNet(blocks=blocks, width=4, expansion=2, epsilon=EPSILON)
    keras = KerasResNet(dataclasses.replace(net, strided=1, biases=True))
    read = read_checkpoint(write(tmp_path / "some.h5", layers))
    # In one stage nothing is halved; with more, the place of the stride makes another network.
    x = pixels(2, 3, 64, 64)
    same, other = (
        OnnxRuntime(dataclasses.replace(net, strided=strided).graph(as_torchvision(layers))).run(
            x, ["vector"]
        )[0]
        for strided in (1, 2)
    )
    (vector,) = OnnxRuntime(keras.graph(read)).run(x, ["vector"])
    np.testing.assert_allclose(vector, same, rtol=1e-6, atol=1e-7)
    assert np.allclose(vector, other, rtol=1e-3) == (blocks == (3,))


def test_the_plain_torchvision_network_has_no_use_for_the_place_of_the_stride(pixels):
    """The oracle of the other tests agrees with `strided`'s default, not with 1."""
    net = ResNet(blocks=(1, 1), width=4, expansion=2, epsilon=EPSILON)
    weights = as_torchvision(drawn((1, 1), 4, 2))
    x = pixels(1, 3, 32, 32)
    expected = resnet(net, weights, x)
    for strided, agrees in ((2, True), (1, False)):
        graph = dataclasses.replace(net, strided=strided).graph(weights)
        (found,) = OnnxRuntime(graph).run(x, ["map"])
        assert np.allclose(found, expected, rtol=1e-3, atol=1e-4) == agrees


# ---------------------------------------------------------------- the file


@pytest.mark.parametrize("layout", ["nested", "flat", "model"])
def test_every_layout_gives_the_same_tensors(layers, small, tmp_path, layout):
    read = read_checkpoint(write(tmp_path / "other.h5", layers, layout))
    one = read_checkpoint(small)
    assert set(one) == set(read) == set(SMALL.expected())
    for name, array in one.items():
        np.testing.assert_array_equal(array, read[name])
        layer, variable = name.split(".")
        np.testing.assert_array_equal(array, layers[layer][f"{variable}:0"])


def test_half_and_double_become_float32(tmp_path):
    with h5py.File(tmp_path / "some.h5", "w") as file:
        file["a/x:0"] = np.array([1.5, 2], np.float16)
        file["b/x:0"] = np.array([1.5, 2], ">f8")
        file["c/x:0"] = np.array(7)
    read = read_checkpoint(tmp_path / "some.h5")
    for name in "a.x", "b.x":
        assert read[name].dtype == np.float32
        np.testing.assert_array_equal(read[name], [1.5, 2])
    assert (read["c.x"].shape, read["c.x"].dtype) == ((), np.int64)


def test_another_network_of_keras_is_named(tmp_path):
    path = write(tmp_path / "other.h5", drawn((1, 1), 4, 2))
    with pytest.raises(
        CheckpointError, match=r"not the weights of a resnet50-keras.*lacks"
    ) as error:
        load(spec("resnet50-keras"), path)
    assert error.value.path == path


def linked(file):
    file["a/x:0"] = h5py.SoftLink("/b")


def elsewhere(file):
    file["a/x:0"] = h5py.ExternalLink("/etc/passwd", "/")


def saved_elsewhere(file):
    file["model_weights"] = h5py.ExternalLink("other.h5", "/")


def in_another_file(file):
    file.create_dataset("a/x:0", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file.create_virtual_dataset("a/x:0", layout)


def round_in_a_circle(file):
    inner = file.create_group("a/b")
    inner["c"] = file["a"]


def many_ways(file):
    """Eight groups, each with the next one under a hundred names: 100^7 ways to the last."""
    groups = [file.create_group(f"g{n}") for n in range(8)]
    for outer, inner in itertools.pairwise(groups):
        for n in range(100):
            outer[f"n{n}"] = inner


def bomb(file):
    file.create_dataset("a/x:0", (1 << 24,), "f4", compression="gzip", fillvalue=0)
    file["a/x:0"][:1] = 1


def text(file):
    file["a/x:0"] = "text"


def twice(file):
    file["a/one/x:0"] = file["a/two/x:0"] = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (linked, "its 'x:0' is a link"),
        (elsewhere, "its 'x:0' is a link"),
        (saved_elsewhere, "its 'model_weights' is a link"),
        (in_another_file, "its 'x:0' lies in another file"),
        (virtual, "its 'x:0' lies in another file"),
        (round_in_a_circle, "nested without end"),
        (many_ways, "nested without end"),
        (bomb, "describes more data than it holds"),
        (text, "its 'a.x' is no array of numbers"),
        (twice, "has 'a.x' twice"),
        (lambda file: file.create_group("a"), "holds no arrays"),
        (lambda file: file.create_dataset("model_weights", data=[1.0]), "are no group"),
    ],
)
def test_a_strange_file_is_refused(tmp_path, make, reason):
    path = tmp_path / "strange.h5"
    with h5py.File(path, "w") as file:
        make(file)
    with pytest.raises(CheckpointError, match=reason) as error:
        read_checkpoint(path)
    assert error.value.path == path


def test_a_file_cut_short_is_damaged(small):
    whole = small.read_bytes()
    for length in (9, 100, len(whole) // 2, len(whole) - 1):
        small.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="it is damaged"):
            read_checkpoint(small)


# ---------------------------------------------------------------- fetching and keeping


@pytest.fixture
def published(small, server, model, monkeypatch):
    """The small network, published with an MD5 only."""
    known = {**architectures.ARCHITECTURES, "small-keras": SMALL}
    monkeypatch.setattr(architectures, "ARCHITECTURES", known)
    content = small.read_bytes()
    server.answers = [("whole", content)]
    return dataclasses.replace(
        model,
        architecture="small-keras",
        filename="small.h5",
        size=len(content),
        sha256=None,
        md5=hashlib.md5(content).hexdigest(),
        dim=SMALL.dim,
    )


def test_it_is_fetched_and_checked_by_md5(published, server, cache, layers):
    weights = load(published)
    assert files(cache) == ["weights/small.h5"]
    assert server.requests == 1
    np.testing.assert_array_equal(
        weights.arrays["conv2_block1_0_conv.kernel"], layers["conv2_block1_0_conv"]["kernel:0"]
    )
    weights.path.write_bytes(weights.path.read_bytes()[:-1] + b"x")
    assert load(published).digest == weights.digest
    assert server.requests == 2


def test_another_md5_is_refused(published, cache):
    with pytest.raises(WeightsUnavailable, match="another file than expected: its MD5 differs"):
        fetch(dataclasses.replace(published, md5="0" * 32))
    assert files(cache) == []


def test_kept_weights_of_keras_need_no_h5py(published, small, monkeypatch):
    given = load(published, small)
    keep(given, published)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert load_kept(published, given.digest).digest == given.digest


def test_without_h5py_nothing_is_fetched(published, server, small, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    for given in (None, small):
        with pytest.raises(InputError, match="needs h5py, which is not installed") as error:
            load(published, given)
        assert error.value.remedy == "Run: pip install 'houndsight[keras]'"
    assert server.requests == 0


def test_the_list_of_models_says_what_it_is_checked_by(capsys):
    app(["models"], standalone_mode=False)
    text = capsys.readouterr().out
    _, _, mine = text.partition("resnet50-keras:")
    assert "MD5" in mine.split("efficientnet")[0]
    assert text.count("MD5") == 1
    app(["models", "--json"], standalone_mode=False)
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    row = rows["resnet50-keras"]
    assert (row["sha256"], row["md5"]) == (None, "4d473c1dd8becc155b73f8504c6f6626")
    assert os.path.basename(row["url"]) == "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    assert rows["resnet50"]["md5"] is None
