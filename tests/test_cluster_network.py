"""Indexing on a Ray cluster over links that are slow, or cut: nodes in network namespaces."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from clusters import HUB, PORT, Network, decoding, missing
from fakes import write_photo
from houndsight import Embedder, RayCluster, index
from houndsight.cluster import BLOCK, IN_FLIGHT
from houndsight.shaping import shaped
from networks import MEAN, STD, save
from test_cluster import DOGS, same

ray = pytest.importorskip("ray", reason="needs the extra ray")
NO_NETWORK = missing()
pytestmark = pytest.mark.skipif(NO_NETWORK is not None, reason=str(NO_NETWORK))

PHOTOS = 150
EACH_S = 0.1  # what decoding a photo takes at least, so that there is a midst


def slowly_shaped(data, path, shape):
    """Decode a photo as ever, but not at once."""
    time.sleep(EACH_S)
    return shaped(data, path, shape)


def embedder(folder):
    """Load a small network of the tests' own."""
    description = {"mean": MEAN, "std": STD, "size": 64}
    return Embedder.load(str(folder / "net.onnx"), description=description)


def drive(folder, nodes):
    """Index on the cluster, in a process of its own; says when, and what came of it."""
    with RayCluster(f"{HUB}:{PORT}") as cluster:
        while sum(node["Alive"] for node in ray.nodes()) <= nodes:
            time.sleep(0.2)
        print("ready", flush=True)
        sys.stdin.readline()

        report = index(
            folder / "photos",
            folder / "there",
            embedder=embedder(folder),
            engine=decoding(cluster, slowly_shaped),
            progress=lambda now: print(f"done {now.done}", flush=True),
        )
        told = {"embedded": cluster.embedded, "received": cluster.received, "new": report.new}
        print(json.dumps(told), flush=True)


@pytest.fixture
def folder(tmp_path):
    """Photos of dogs, or drawings where these are not there; and the network."""
    dogs = sorted(DOGS.rglob("*.jpg"))[:PHOTOS]
    (tmp_path / "photos").mkdir()
    for n in range(PHOTOS):
        if dogs:
            (tmp_path / "photos" / f"{n}.jpg").symlink_to(dogs[n])
        else:
            write_photo(tmp_path / "photos" / f"{n}.jpg", n, (96, 80))
    save(tmp_path / "net.onnx", "map", side=64)
    return tmp_path


def said(driver, errors, until):
    """Return the driver's lines, up to one that fulfils a condition."""
    lines = []
    for line in driver.stdout:
        lines.append(line.strip())
        if until(lines[-1]):
            return lines
    raise AssertionError(f"it ended early: {lines}, {errors.read_text()[-2000:]}")


def test_a_slow_node_is_waited_for_and_one_cut_off_is_done_without(folder):
    index(folder / "photos", folder / "here", embedder=embedder(folder))
    paths = [str(Path(__file__).parent), *filter(None, sys.path)]
    environment = dict(os.environ) | {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",  # whatever the user has at home
        "PYTHONPATH": os.pathsep.join(paths),
    }
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        environment.pop(name, None)
    code = f"from test_cluster_network import *; drive(Path({str(folder)!r}), 2)"
    slow, lost = 0, 1
    errors = folder / "errors.log"
    with Network(2, environment) as network, errors.open("w") as log:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log, "text": True}
        driver = network.inside(network.hub, [sys.executable, "-c", code], **pipes)
        said(driver, errors, lambda line: line == "ready")
        how = network.slow_down(slow)
        driver.stdin.write("\n")
        driver.stdin.flush()
        begun = time.monotonic()
        said(driver, errors, lambda line: line.startswith("done") and int(line.split()[1]) >= 40)
        network.cut(lost)
        *_, last = said(driver, errors, lambda line: line.startswith("{"))
        took = time.monotonic() - begun
        assert driver.wait(30) == 0
    told = json.loads(last)
    embedded = Counter(told["embedded"])
    twice = embedded.total() - told["received"]
    print(f"{how}; {took:.1f} s, by node {dict(embedded)}, embedded once more: {twice}")
    assert set(embedded) == {network.address(slow), network.address(lost)}
    assert told["new"] == told["received"] == PHOTOS
    assert same(folder / "here", folder / "there") == PHOTOS
    assert 0 <= twice <= 2 * IN_FLIGHT * BLOCK
    assert embedded[network.address(slow)] >= PHOTOS - 40 - 2 * IN_FLIGHT * BLOCK
