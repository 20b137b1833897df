"""Optimised networks in the cache: the same vectors, sooner; never a reason to fail."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from houndsight import networks
from houndsight.errors import ModelError
from houndsight.networks import open_network
from houndsight.runtime import OnnxRuntime


@pytest.fixture
def graph(case):
    """What builds the graph, and counts."""

    def build():
        build.calls += 1
        return case.net.graph(case.weights)

    build.calls = 0
    return build


def kept(cache):
    return sorted((cache / "networks").glob("*-*-*/"))


def test_the_second_time_it_is_not_built_and_gives_the_same_numbers(cache, graph, pixels):
    x = pixels(2, 3, 64, 64)
    first = open_network("a", graph).run(x, ["vector", "map"])
    (path,) = kept(cache)
    second = open_network("a", graph).run(x, ["vector", "map"])
    assert graph.calls == 1
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert kept(cache) == [path]
    open_network("b", graph)
    assert graph.calls == 2
    assert len(kept(cache)) == 2


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
@pytest.mark.parametrize("name", [networks.GRAPH, networks.WEIGHTS])
def test_a_damaged_file_is_made_again(cache, graph, pixels, name, damage):
    x = pixels(1, 3, 64, 64)
    (wanted,) = open_network("a", graph).run(x, ["vector"])
    path = kept(cache)[0] / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.unlink()  # not in its place: what was loaded has it mapped
    if damage != "gone":
        path.write_bytes({"flip": data, "cut": data[:-100], "empty": b""}[damage])
    (got,) = open_network("a", graph).run(x, ["vector"])
    assert graph.calls == 2
    assert np.array_equal(got, wanted)
    assert len(kept(cache)) == 1
    open_network("a", graph)
    assert graph.calls == 2


def test_weights_are_mapped_and_shared(cache, graph, pixels):
    runtimes = [open_network("a", graph) for _ in range(2)]
    runtimes.append(runtimes[0].single())
    weights = kept(cache)[0] / networks.WEIGHTS
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        pytest.skip("only Linux says what is mapped")
    assert str(weights) in maps.read_text()
    x = pixels(1, 3, 64, 64)
    (wanted,) = runtimes[0].run(x, ["vector"])
    shutil.rmtree(cache)  # they have it all the same
    for runtime in runtimes:
        np.testing.assert_allclose(runtime.run(x, ["vector"])[0], wanted, rtol=1e-5, atol=1e-6)


def test_a_network_without_weights_is_kept_too(cache, pixels):
    mean = helper.make_node("ReduceMean", ["pixels", "axes"], ["vector"], keepdims=0)
    float_ = TensorProto.FLOAT
    graph = helper.make_graph(
        [mean],
        "mean",
        [helper.make_tensor_value_info("pixels", float_, ["n", 3, "high", "wide"])],
        [helper.make_tensor_value_info("vector", float_, ["n", 3])],
        [helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    x = pixels(2, 3, 8, 8)
    for _ in range(2):
        (means,) = open_network("a", model.SerializeToString).run(x, ["vector"])
        np.testing.assert_allclose(means, x.mean(axis=(2, 3)), rtol=1e-5, atol=1e-6)
    assert len(kept(cache)) == 1


def test_what_a_killed_process_left_is_no_obstacle(cache, graph):
    left = cache / "networks" / "partial" / networks.GRAPH
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half of it")
    open_network("a", graph)
    open_network("a", graph)
    assert graph.calls == 1
    assert not left.parent.exists()


def test_a_network_that_could_not_be_written_leaves_nothing(cache, graph, monkeypatch, pixels):
    (wanted,) = OnnxRuntime(graph()).run(x := pixels(1, 3, 64, 64), ["vector"])

    def on_a_full_disk(network, *, save=None):
        if save is None:
            return OnnxRuntime(network)
        save.with_name(networks.WEIGHTS).write_bytes(b"half of it")
        raise ModelError("no space left on device")

    monkeypatch.setattr(networks, "OnnxRuntime", on_a_full_disk)
    (got,) = open_network("a", graph).run(x, ["vector"])
    assert np.array_equal(got, wanted)
    assert not [path for path in (cache / "networks").iterdir() if path.is_dir()]


def test_what_another_process_has_kept_meanwhile_is_taken(cache, graph):
    def slow():
        open_network("a", graph)  # by another process, while this one builds it too
        kept(cache)[0].joinpath("theirs").touch()
        return graph()

    open_network("a", slow)
    assert kept(cache)[0].joinpath("theirs").exists()


def test_another_version_or_processor_builds_its_own(cache, graph, monkeypatch):
    open_network("a", graph)
    monkeypatch.setattr(networks.onnxruntime, "__version__", "0.0")
    open_network("a", graph)
    assert graph.calls == 2
    assert len(kept(cache)) == 1  # what the version before made is of no use any more
    monkeypatch.setattr(networks, "processor", lambda: "another1")
    open_network("a", graph)
    assert graph.calls == 3
    assert len(kept(cache)) == 2  # a home folder may be shared by machines


def test_a_cache_that_cannot_be_written_is_no_obstacle(cache, graph, pixels):
    cache.write_text("a file where a folder should be")
    (vector,) = open_network("a", graph).run(pixels(1, 3, 64, 64), ["vector"])
    assert np.isfinite(vector).all()
    assert graph.calls == 1


def test_a_graph_that_is_none_is_still_refused(cache):
    with pytest.raises(ModelError, match="cannot load the graph"):
        open_network("a", lambda: b"no graph")
    assert kept(cache) == []
