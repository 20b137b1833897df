"""Small networks with random weights; a model that a local server has."""

import hashlib
import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest
from local_server import CONTENT, Server
from plain_networks import efficientnet_lite, random_weights, resnet

from houndsight.models import architectures, download
from houndsight.models.efficientnet_lite import EfficientNetLite, Stage
from houndsight.models.resnet import ResNet
from houndsight.models.spec import spec

TINY = ResNet(name="tiny", blocks=(1, 1), width=4, expansion=2)
"""The network in tests/fixtures/checkpoints."""


@dataclass(frozen=True)
class Case:
    """An architecture, weights for it, and what computes its map plainly."""

    net: object
    weights: dict
    plain: object


RESNET = ResNet(name="small", blocks=(2, 1, 2), width=4, expansion=2)
BASIC = ResNet(name="small-basic", blocks=(2, 1, 2), width=4, expansion=1, basic=True)
LITE = EfficientNetLite(
    name="small-lite",
    stem=8,
    head=20,
    stages=(
        Stage(expand=1, channels=6, repeats=1, stride=1, kernel=3),
        Stage(expand=3, channels=10, repeats=2, stride=2, kernel=5),
        Stage(expand=2, channels=10, repeats=1, stride=1, kernel=3),
        Stage(expand=2, channels=12, repeats=2, stride=2, kernel=3),
    ),
)


@pytest.fixture(scope="session", params=["resnet", "basic", "efficientnet-lite"])
def case(request):
    if request.param == "resnet":
        return Case(RESNET, random_weights(RESNET), resnet)
    if request.param == "basic":
        return Case(BASIC, random_weights(BASIC), resnet)
    return Case(LITE, random_weights(LITE), efficientnet_lite)


@pytest.fixture(scope="session")
def tiny():
    return TINY


@pytest.fixture
def pixels():
    def make(*shape, seed=1):
        return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)

    return make


@pytest.fixture
def server():
    server = Server()
    # Polling often: closing waits for the next poll.
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HOUNDSIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("HOUNDSIGHT_OFFLINE", raising=False)
    monkeypatch.setattr(download, "_WAIT_S", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def model(server, cache, tiny, monkeypatch):
    """A model whose weights the local server has."""
    known = {**architectures.ARCHITECTURES, "tiny": tiny}
    monkeypatch.setattr(architectures, "ARCHITECTURES", known)
    return replace(
        spec("resnet50"),
        name="tiny",
        architecture="tiny",
        url=server.url,
        filename="tiny-1234.pth",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        dim=16,
    )
