"""Optimised networks in the cache: the same vectors, sooner; never a reason to fail."""

import numpy as np
import pytest

from houndsight import networks
from houndsight.errors import ModelError
from houndsight.networks import open_network


@pytest.fixture
def graph(case):
    """What builds the graph, and counts."""

    def build():
        build.calls += 1
        return case.net.graph(case.weights)

    build.calls = 0
    return build


def kept(cache):
    return sorted((cache / "networks").glob("*.onnx"))


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


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_is_made_again(cache, graph, pixels, damage):
    x = pixels(1, 3, 64, 64)
    (wanted,) = open_network("a", graph).run(x, ["vector"])
    (path,) = kept(cache)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes({"flip": data, "cut": data[:-100], "empty": b""}[damage])
    (got,) = open_network("a", graph).run(x, ["vector"])
    assert graph.calls == 2
    assert np.array_equal(got, wanted)
    assert len(kept(cache)) == 1
    open_network("a", graph)
    assert graph.calls == 2


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
