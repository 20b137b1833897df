"""The runtime: outputs by name, errors in words, no more threads than CPUs it may use."""

import math
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from houndsight import machine
from houndsight.errors import InputError, ModelError
from houndsight.machine import available_cpus
from houndsight.networks import open_network
from houndsight.runtime import OnnxRuntime, Runtime


@pytest.fixture(scope="module")
def runtime(case):
    return OnnxRuntime(case.net.graph(case.weights), threads=1)


def test_outputs_come_in_the_order_asked_for(runtime, pixels):
    as_protocol: Runtime = runtime
    found, vector = as_protocol.run(pixels(1, 3, 32, 32), ["map", "vector"])
    assert (found.ndim, vector.ndim) == (4, 2)
    assert as_protocol.device == "cpu"
    assert set(as_protocol.versions) == {"onnxruntime"}


def test_an_output_that_the_graph_lacks_is_named(runtime, pixels):
    with pytest.raises(ModelError, match="no output 'logits', only vector, map"):
        runtime.run(pixels(1, 3, 32, 32), ["vector", "logits"])


@pytest.mark.parametrize("shape", [(1, 4, 32, 32), (3, 32, 32)])
def test_pixels_of_another_shape_are_refused(runtime, pixels, shape):
    with pytest.raises(ModelError, match="cannot run the graph"):
        runtime.run(pixels(*shape), ["vector"])


def test_pixels_of_another_type_are_refused(runtime, pixels):
    with pytest.raises(ModelError, match="cannot run the graph"):
        runtime.run(pixels(1, 3, 32, 32).astype(np.float64), ["vector"])


@pytest.mark.parametrize("graph", [b"", b"no graph", b"\x08\x08"])
def test_a_graph_that_is_none_is_refused(graph):
    with pytest.raises(ModelError, match=r"cannot load the graph|inputs, not one"):
        OnnxRuntime(graph)


def test_threads_can_be_set(monkeypatch):
    monkeypatch.setenv("HOUNDSIGHT_THREADS", " 3 ")
    assert available_cpus() == 3
    for text in ("0", "-1", "two", "1.5", "3000000000"):
        monkeypatch.setenv("HOUNDSIGHT_THREADS", text)
        with pytest.raises(InputError, match="HOUNDSIGHT_THREADS is"):
            available_cpus()


def test_threads_may_share_a_runtime(runtime, pixels):
    batches = [pixels(2, 3, 32, 32, seed=seed) for seed in range(8)]
    alone = [runtime.run(batch, ["vector"])[0] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda batch: runtime.run(batch, ["vector"])[0], batches))
    np.testing.assert_array_equal(alone, together)


@pytest.fixture
def eight(monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def cgroup(root, name, limits):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"0::/{name}\n")
    for folder, limit in limits.items():
        place = root / "sys/fs/cgroup" / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / "cpu.max").write_text(limit)


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(
    ("limits", "cpus"),
    [
        ({}, 8),
        ({"a/b": "max 100000\n"}, 8),
        ({"a/b": "200000 100000\n"}, 2),
        ({"a": "150000 100000\n", "a/b": "max 100000\n"}, 2),
        ({"a": "500000 100000\n", "a/b": "300000 100000\n"}, 3),
        ({"": "10000 100000\n"}, 1),  # seen from inside a container
        ({"a/b": "1600000 100000\n"}, 8),
        ({"a/b": "nonsense\n"}, 8),
        ({"a/b": "100000 0\n"}, 8),
    ],
)
def test_cpus_respect_the_quota(tmp_path, limits, cpus):
    cgroup(tmp_path, "a/b", limits)
    assert available_cpus(tmp_path) == cpus


@pytest.mark.usefixtures("eight")
def test_cpus_without_cgroups(tmp_path):
    assert available_cpus(tmp_path) == 8


def test_cpus_without_affinity(tmp_path, monkeypatch):
    monkeypatch.delattr(machine.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(machine.os, "cpu_count", lambda: None)
    assert available_cpus(tmp_path) == 1
    assert math.isfinite(available_cpus())


def test_on_a_thread_of_its_own_it_computes_the_same(case, pixels):
    runtime = OnnxRuntime(case.net.graph(case.weights), threads=2)
    single = runtime.single()
    assert single is runtime.single() is not runtime
    assert single.single() is single
    x = pixels(3, 3, 32, 32)
    (whole,), (alone,) = runtime.run(x, ["vector"]), single.run(x, ["vector"])
    np.testing.assert_allclose(alone, whole, rtol=1e-5, atol=1e-6)


def test_a_network_that_is_gone_from_the_cache_goes_on_with_all_threads(case, cache):
    graph = case.net.graph(case.weights)
    runtime = open_network("case", lambda: graph)
    shutil.rmtree(cache)
    assert runtime.single() is runtime
