"""What houndsight doctor says: checked against the machine, and on machines made up."""

import os

import numpy as np
import pytest

import houndsight.embedder
from fakes import FakeRuntime, fake_embedder
from houndsight import diagnosis, runtime
from houndsight.diagnosis import _why, diagnose
from houndsight.runtime import OnnxRuntime, gpu_provider


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.delenv("HOUNDSIGHT_DEVICE", raising=False)
    monkeypatch.setattr(diagnosis.shutil, "which", lambda _: None)


def providers(monkeypatch, *names):
    import onnxruntime

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: [*names, "CPUExecutionProvider"]
    )


def test_what_is_said_of_this_machine(monkeypatch, cache):
    monkeypatch.setattr(houndsight.embedder, "TIMED_S", 0.05)
    made = FakeRuntime()
    found = diagnose(fake_embedder(runtime=made))
    assert made.images == made.runs * 16
    assert found.speed > 0
    assert (found.device, found.precision, found.model) == ("fake", "float32", "fake")
    assert 1 <= found.cpus <= found.all_cpus == os.cpu_count()
    assert found.versions["numpy"] == np.__version__
    assert found.cache == str(cache)
    assert found.cache_writable


def test_why_no_gpu_is_used(monkeypatch, tmp_path):
    providers(monkeypatch)
    assert _why("cuda") == "cuda runs the network"
    assert _why("cpu", tmp_path) == "none was found on this machine"
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    assert "pip install onnxruntime-gpu" in _why("cpu", tmp_path)
    providers(monkeypatch, "CUDAExecutionProvider")
    assert "CUDAExecutionProvider is installed, but could not be loaded" in _why("cpu", tmp_path)
    monkeypatch.setenv("HOUNDSIGHT_DEVICE", "cpu")
    assert "HOUNDSIGHT_DEVICE is set to cpu" in _why("cpu", tmp_path)


def test_a_gpu_is_asked_for_where_its_provider_is_installed(monkeypatch):
    import onnxruntime

    asked = []

    class Session:
        def __init__(self, *_, providers, **__):
            asked.append(providers)

        def get_providers(self):
            return [p if isinstance(p, str) else p[0] for p in asked[-1]]

        def get_inputs(self):
            return [type("Input", (), {"name": "pixels"})]

        def get_outputs(self):
            return []

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    providers(monkeypatch, "DmlExecutionProvider", "CUDAExecutionProvider")
    assert gpu_provider() == "CUDAExecutionProvider"
    assert OnnxRuntime(b"").device == "cuda"
    assert asked[0] == [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"]
    monkeypatch.setenv(runtime.CPU_ONLY, "CPU")
    assert gpu_provider() is None
    assert OnnxRuntime(b"").device == "cpu"
    assert asked[1] == ["CPUExecutionProvider"]
