"""The graphs compute what the networks' definitions say."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from plain_networks import random_weights, resnet

from houndsight.errors import CheckpointError, ModelError
from houndsight.models import weights as weights_module
from houndsight.models.architectures import ARCHITECTURES, architecture
from houndsight.models.spec import CATALOGUE, spec
from houndsight.runtime import OnnxRuntime


def test_graph_is_valid_onnx(case):
    model = onnx.load_from_string(case.net.graph(case.weights))
    onnx.checker.check_model(model, full_check=True)
    assert [node.name for node in model.graph.input] == ["pixels"]
    assert [node.name for node in model.graph.output] == ["vector", "map"]


def test_equal_weights_give_equal_bytes(case):
    assert case.net.graph(case.weights) == case.net.graph(dict(reversed(case.weights.items())))


@pytest.mark.parametrize("size", [(32, 32), (37, 45), (64, 33), (31, 50), (224, 224)])
def test_outputs_agree_with_a_plain_computation(case, pixels, size):
    x = pixels(2, 3, *size)
    vector, found = OnnxRuntime(case.net.graph(case.weights)).run(x, ["vector", "map"])
    expected = case.plain(case.net, case.weights, x)
    assert found.shape == expected.shape
    assert vector.shape == (2, case.net.dim)
    assert vector.dtype == found.dtype == np.float32
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * scale)
    np.testing.assert_allclose(vector, expected.mean((2, 3)), rtol=1e-4, atol=1e-5 * scale)
    np.testing.assert_allclose(vector, found.mean((2, 3)), rtol=1e-5, atol=1e-6 * scale)


def test_vector_does_not_depend_on_its_batch(case, pixels):
    x = pixels(9, 3, 64, 64)
    runtime = OnnxRuntime(case.net.graph(case.weights))
    (together,) = runtime.run(x, ["vector"])
    for i in range(len(x)):
        (alone,) = runtime.run(x[i : i + 1], ["vector"])
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-5, atol=1e-6)


def test_classifier_and_counters_are_ignored(case):
    extra = {
        "fc.weight": np.zeros((5, 5), np.float32),
        "_fc.bias": np.zeros(5, np.float32),
        "bn1.num_batches_tracked": np.array(3),
    }
    used = {name: extra[name] for name in extra if name.startswith((*case.net.ignored, "bn1"))}
    assert case.net.graph(case.weights | used) == case.net.graph(case.weights)
    assert set(case.net.select(case.weights | used)) == set(case.net.expected())


def test_foreign_weights_are_named(case):
    first, *rest = case.net.expected()
    lacking = {name: case.weights[name] for name in rest}
    with pytest.raises(CheckpointError, match=f"not the weights of a {case.net.name}.*lacks.*"):
        case.net.graph(lacking)
    with pytest.raises(CheckpointError, match=r"has besides layer9\.weight"):
        case.net.graph(case.weights | {"layer9.weight": np.zeros(1, np.float32)})
    with pytest.raises(CheckpointError, match=rf"{first} is \(1, 2\) and not"):
        case.net.graph(case.weights | {first: np.zeros((1, 2), np.float32)})
    with pytest.raises(CheckpointError, match=r"and \d+ more"):
        case.net.select({}, Path("some.pth"))


@pytest.mark.parametrize("value", [math.nan, math.inf, -5.0])
def test_weights_that_are_no_numbers_are_refused(case, value):
    name = next(n for n in case.weights if n.endswith("running_var"))
    broken = case.weights[name].copy()
    broken[0] = value
    if value == math.inf:  # a variance without end is a scale of zero: the mean tells
        name = name.replace("running_var", "running_mean")
    with pytest.raises(CheckpointError, match="not finite"):
        case.net.graph(case.weights | {name: broken})


def test_every_model_of_the_catalogue_has_its_architecture():
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert architecture(entry.architecture).dim == entry.dim
        assert (entry.url is None) != (entry.package is None)
        kind, digest = entry.checksum
        assert len(digest) == {"sha256": 64, "md5": 32}[kind]


# Parameters as torchvision's documentation gives them, less the classifier's (dim + 1) x 1000; and
# the number of weight layers that gives each its name, less the classifier and with the shortcuts'.
@pytest.mark.parametrize(
    ("name", "parameters", "convolutions"),
    [
        ("resnet18", 11_689_512, 17 + 3),
        ("resnet34", 21_797_672, 33 + 3),
        ("resnet50", 25_557_032, 49 + 4),
        ("resnet101", 44_549_160, 100 + 4),
        ("resnet152", 60_192_808, 151 + 4),
    ],
)
def test_torchvision_s_resnets_have_their_tensors(name, parameters, convolutions):
    net, entry = architecture(name), spec(name)
    shapes = net.expected()
    learned = {n: s for n, s in shapes.items() if "running" not in n}
    assert sum(math.prod(shape) for shape in learned.values()) == parameters - (net.dim + 1) * 1000
    assert sum(len(shape) == 4 for shape in shapes.values()) == convolutions
    assert ("layer1.0.downsample.0.weight" in shapes) == (not net.basic)
    assert entry.url.endswith(f"/{entry.filename}")
    assert entry.filename == f"{name}-{entry.sha256[:8]}.pth"
    # A file holds its tensors, four bytes a number, and hardly anything else.
    numbers = sum(math.prod(shape) for shape in shapes.values()) + (net.dim + 1) * 1000
    assert 0 < entry.size - 4 * numbers < 600 * len(shapes)


def test_resnet18_at_its_real_size_agrees_with_a_plain_computation(pixels):
    net = architecture("resnet18")
    weights = random_weights(net)
    x = pixels(1, 3, 64, 64)
    (found,) = OnnxRuntime(net.graph(weights)).run(x, ["map"])
    expected = resnet(net, weights, x)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_unknown_names_are_told_with_the_known_ones():
    with pytest.raises(ModelError, match=r"no model is called 'vgg'.*lite0, resnet101, .*resnet50"):
        spec("vgg")
    with pytest.raises(ModelError, match=r"no architecture is called 'vgg'.*resnet50"):
        architecture("vgg")
    assert "resnet50" in ARCHITECTURES


def test_the_catalogue_loads_nothing_heavy():
    heavy = "{'h5py', 'numpy', 'onnx', 'onnxruntime', 'pooch', 'requests', 'safetensors'}"
    modules = "spec", "weights"
    for module in modules:
        code = f"import sys, houndsight.models.{module}; assert not {heavy} & set(sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True)


SHARED = Path(os.environ.get("HOUNDSIGHT_SHARED") or Path(__file__).parents[3] / "shared")
PHOTO = SHARED / "dogs/gallery/Afghan_hound/n02088094_1186.jpg"


def embed(model, weights):
    from PIL import Image

    runtime = OnnxRuntime(architecture(model.architecture).graph(weights.arrays))
    with Image.open(PHOTO) as photo:
        pixel = np.asarray(photo.convert("RGB"), np.float32)
    x = (pixel * model.scale - np.array(model.mean)) / np.array(model.std)
    x = np.ascontiguousarray(x.transpose(2, 0, 1)[None], np.float32)
    vector, found = runtime.run(x, ["vector", "map"])
    assert found.shape == (1, model.dim, 7, 7)
    return vector[0]


needs_photos = pytest.mark.skipif(
    not PHOTO.is_file(), reason=f"the development photos are not in {SHARED}"
)


@needs_photos
def test_efficientnet_lite0_gives_the_expected_vector():
    model = spec("efficientnet-lite0")
    vector = embed(model, weights_module.load(model))
    np.testing.assert_allclose(np.linalg.norm(vector), 12.551397, rtol=1e-4)
    expected = [0.6706818, 2.0272205, 0.10214767, 0.45913967, 0.1393717, 0.0]
    np.testing.assert_allclose(vector[:6], expected, rtol=1e-3, atol=1e-4)


@needs_photos
def test_resnet50_gives_the_expected_vector(tmp_path):
    tool, source = SHARED / "tools/unpack_resnet50.py", SHARED / "weights/resnet50-pqf"
    if not (tool.is_file() and source.is_dir()):
        pytest.skip(f"the development weights are not in {SHARED}")
    file = tmp_path / "resnet50.safetensors"
    subprocess.run([sys.executable, tool, file], check=True, stdout=subprocess.DEVNULL)
    model = spec("resnet50")
    vector = embed(model, weights_module.load(model, file))
    np.testing.assert_allclose(np.linalg.norm(vector), 9.67333, rtol=1e-4)
    expected = [0.03791706, 0.07888754, 0.10368025, 0.5846547, 0.52850795, 0.11709615]
    np.testing.assert_allclose(vector[:6], expected, rtol=1e-3, atol=1e-4)
