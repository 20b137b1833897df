"""ONNX files that reach for other files, or never end, are refused before anything runs them."""

import hashlib
import json
import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from fakes import write_photo
from houndsight.embedder import Embedder
from houndsight.errors import HoundsightError, ModelError
from houndsight.gallery import Gallery
from houndsight.indexing import index
from houndsight.models import admission
from houndsight.models.admission import admitted
from houndsight.runtime import OnnxRuntime
from networks import DIM, FLOAT, MEAN, PATCH, STD, kernel, network, save

SAID = {"mean": MEAN, "std": STD, "size": 32}


def elsewhere(location, name="kernel", **more):
    """A tensor of the size of the network's weights that says it lies in another file."""
    tensor = TensorProto(name=name, data_type=FLOAT, dims=(DIM, 3, PATCH, PATCH), data_location=1)
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def with_weights(tensor):
    made = network()
    made.graph.initializer[0].CopyFrom(tensor)
    return made


def with_constant(tensor):
    """The weights are in an attribute of a node, where a hasty look misses them."""
    made = network()
    del made.graph.initializer[0]
    made.graph.node.insert(0, helper.make_node("Constant", [], ["kernel"], value=tensor))
    return made


def with_function(tensor):
    made = with_constant(tensor)
    inner = made.graph.node.pop(0)
    made.opset_import.append(helper.make_opsetid("own", 1))
    made.functions.append(
        helper.make_function(
            "own", "Weights", [], ["kernel"], [inner], [helper.make_opsetid("", 17)]
        )
    )
    made.graph.node.insert(0, helper.make_node("Weights", [], ["kernel"], domain="own"))
    return made


def with_branch(tensor):
    """The weights are those of a graph within a node."""
    made = network()
    inside = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["kernel"])],
        "inside",
        [],
        [helper.make_tensor_value_info("kernel", FLOAT, (DIM, 3, PATCH, PATCH))],
        [tensor],
    )
    inside.initializer[0].name = "inner"
    del made.graph.initializer[0]
    true = helper.make_tensor("true", TensorProto.BOOL, [], [True])
    made.graph.initializer.append(true)
    made.graph.node.insert(
        0, helper.make_node("If", ["true"], ["kernel"], then_branch=inside, else_branch=inside)
    )
    return made


def with_default(tensor):
    """The weights are what a function's attribute is when none is given."""
    made = network()
    made.opset_import.append(helper.make_opsetid("own", 1))
    function = helper.make_function("own", "Unused", [], [], [], [helper.make_opsetid("", 17)])
    function.attribute_proto.append(helper.make_attribute("value", tensor))
    made.functions.append(function)
    return made


HIDDEN = [with_weights, with_constant, with_function, with_branch, with_default]


@pytest.mark.parametrize("hide", HIDDEN)
def test_a_network_kept_in_a_gallery_names_no_other_file(tmp_path, monkeypatch, hide):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(kernel().tobytes())
    with pytest.raises(ModelError, match="has weights in another file"):
        admitted(hide(elsewhere("secret")).SerializeToString())


def test_onnx_runtime_by_itself_would_have_read_it(tmp_path, monkeypatch):
    """The test above tests something: what is refused there reads a file of the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(kernel().tobytes())
    ran = OnnxRuntime(with_constant(elsewhere("secret")).SerializeToString())
    pixels = np.ones((1, 3, PATCH, PATCH), np.float32)
    (made,) = ran.run(pixels, ["map"])
    np.testing.assert_allclose(made.ravel(), kernel().sum(axis=(1, 2, 3)), rtol=1e-4, atol=1e-4)


def write(path, model):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def load(path):
    return Embedder.load(str(path), normalise=False, description=SAID)


@pytest.mark.parametrize("hide", [with_weights, with_constant, with_branch])
def test_weights_beside_the_file_are_taken_in_wherever_they_are_named(tmp_path, hide, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    path = write(tmp_path / "net" / "net.onnx", hide(elsewhere("net.data")))
    (tmp_path / "net" / "net.data").write_bytes(kernel().tobytes())
    found = load(path)
    assert not admission.has_other_files(onnx.load_model_from_string(found.network))


@pytest.mark.parametrize("hide", [with_weights, with_constant, with_branch])
@pytest.mark.parametrize(
    "place", ["up", "absolute", "link", "link to a folder", "pipe", "memory", "device", "folder"]
)
def test_weights_outside_the_folder_are_refused(tmp_path, monkeypatch, hide, place):
    folder, secret = tmp_path / "net", tmp_path / "secret"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    secret.write_bytes(kernel().tobytes())
    os.symlink(secret, folder / "link")
    os.symlink(tmp_path, folder / "over")
    os.mkfifo(folder / "pipe")
    location = {
        "up": "../secret",
        "absolute": str(secret),
        "link": "link",
        "link to a folder": "over/secret",
        "pipe": "pipe",
        "memory": "*/_ORT_MEM_ADDR_/*",
        "device": "/dev/zero",
        "folder": ".",
    }[place]
    path = write(folder / "net.onnx", hide(elsewhere(location)))
    with pytest.raises(ModelError, match="cannot be read with all its weights") as error:
        load(path)
    assert error.value.path == path


@pytest.mark.parametrize(
    "more", [{"offset": 1 << 60}, {"length": 1 << 60}, {"offset": -1}, {"length": "many"}]
)
def test_absurd_places_in_the_other_file_are_refused(tmp_path, more):
    path = write(tmp_path / "net.onnx", with_weights(elsewhere("net.data", **more)))
    (tmp_path / "net.data").write_bytes(kernel().tobytes())
    with pytest.raises(ModelError):
        load(path)


# What has no end


def calling(*bodies):
    """A network with functions f0, f1 and so on; each body names what its function calls."""
    made = network()
    made.opset_import.append(helper.make_opsetid("own", 1))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    for number, body in enumerate(bodies):
        names = [f"x{n}" for n in range(len(body) + 1)]
        nodes = [
            helper.make_node(
                name, [names[n]], [names[n + 1]], domain="own" if name[0] == "f" else ""
            )
            for n, name in enumerate(body)
        ]
        made.functions.append(
            helper.make_function("own", f"f{number}", ["x0"], [names[-1]], nodes, opsets)
        )
    made.graph.node[-1].CopyFrom(
        helper.make_node(
            f"f{len(bodies) - 1}", list(made.graph.node[-1].input), ["map"], domain="own"
        )
    )
    return made.SerializeToString()


def test_functions_that_end_are_admitted_and_run():
    graph = calling(["Relu"], ["f0", "Neg"])
    assert admitted(graph) == graph
    (made,) = OnnxRuntime(admitted(graph)).run(np.ones((1, 3, 8, 8), np.float32), ["map"])
    expected = -np.maximum(kernel().sum(axis=(1, 2, 3)), 0)
    np.testing.assert_allclose(made.ravel(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("bodies", "trouble"),
    [
        ([["f0"]], "call each other without end"),
        ([["f1"], ["f0"]], "call each other without end"),
        ([["f0", "f0", "f0"]], "call each other without end"),
        ([["Relu"] * 10, *([f"f{n}"] * 10 for n in range(8))], "more than 200,000 operators"),
        ([["Relu"], *([f"f{n}"] for n in range(100))], "call each other without end"),
    ],
)
def test_functions_that_grow_beyond_measure_are_refused(bodies, trouble):
    with pytest.raises(ModelError, match=trouble):
        admitted(calling(*bodies))


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_loops_are_refused(domain):
    made = network()
    condition = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    on = helper.make_tensor_value_info("on", TensorProto.BOOL, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])], "body", [turn, condition], [on]
    )
    made.graph.node.append(helper.make_node("Loop", ["", ""], [], body=body, domain=domain))
    with pytest.raises(ModelError, match="has the operator Loop, which may go on for ever"):
        admitted(made.SerializeToString())


# What ONNX Runtime refuses


def test_operators_that_onnx_runtime_does_not_have_are_refused(tmp_path):
    made = network()
    made.opset_import.append(helper.make_opsetid("com.example", 1))
    made.graph.node[-1].CopyFrom(
        helper.make_node("RunThis", list(made.graph.node[-1].input), ["map"], domain="com.example")
    )
    with pytest.raises(ModelError, match="cannot load the graph"):
        load(write(tmp_path / "net.onnx", made))


@pytest.mark.parametrize("dims", [[1 << 40], [-1], [1 << 62, 1 << 62], [DIM, 3, PATCH, PATCH + 1]])
def test_weights_of_impossible_shapes_are_refused(tmp_path, dims):
    made = network()
    made.graph.initializer[0].dims[:] = dims
    with pytest.raises(ModelError):
        load(write(tmp_path / "net.onnx", made))


def test_bytes_in_onnx_runtime_s_own_format_are_no_onnx(tmp_path):
    """That format has a mark in bytes 4 to 7, which may also be part of a name in an ONNX file."""
    tail = network().SerializeToString()
    polyglot = b"\x12\x06\x00\x00ORTM" + tail  # field 2, producer_name, six bytes
    (made,) = OnnxRuntime(admitted(polyglot)).run(np.ones((1, 3, 8, 8), np.float32), ["map"])
    assert made.shape == (1, DIM, 1, 1)
    with pytest.raises(ModelError):
        admitted(b"\x18\x00\x00\x00ORTM" + bytes(64))


# In a gallery


def test_a_gallery_s_network_is_looked_through_before_it_runs(tmp_path, monkeypatch):
    """The gallery of somebody else, whose network reads a file of whoever opens it."""
    photo = tmp_path / "photos" / "a.jpg"
    write_photo(photo, 1)
    embedder = load(save(tmp_path / "net.onnx"))
    index(tmp_path / "photos", tmp_path / "gallery", embedder=embedder)
    hostile = with_constant(elsewhere("secret")).SerializeToString()
    (tmp_path / "gallery" / "network.onnx").write_bytes(hostile)
    (tmp_path / "secret").write_bytes(kernel().tobytes())
    monkeypatch.chdir(tmp_path)
    with Gallery(tmp_path / "gallery") as gallery:
        made_of = gallery.settings["made_of"] | {"network": hashlib.sha256(hostile).hexdigest()}
        settings = json.loads(json.dumps({**gallery.settings, "made_of": made_of}))
        gallery.store.put_document("settings", settings)
    with (
        Gallery(tmp_path / "gallery") as gallery,
        pytest.raises(HoundsightError, match="in another file"),
    ):
        gallery.embedder()


def test_names_that_are_no_text_are_refused():
    """Found by fuzzing: ONNX Runtime loads them, and Python cannot read them."""
    graph = network().SerializeToString().replace(b"side", b"\xc2(de")
    with pytest.raises(ModelError, match=r"names that are no text|utf-8|no ONNX file"):
        OnnxRuntime(admitted(graph))
