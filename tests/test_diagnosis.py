"""What houndsight doctor says: checked against the machine, and on machines made up."""

import os
import re
import shutil
import tomllib
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest

import houndsight.embedder
from fakes import FakeRuntime, fake_embedder
from houndsight import Gallery, diagnosis, index, runtime
from houndsight.diagnosis import EXTRAS, _why, diagnose
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
    assert made.images == made.runs * 4
    assert found.speed > 0
    assert (found.device, found.precision, found.model) == ("fake", "float32", "fake")
    assert 1 <= found.cpus <= found.all_cpus == os.cpu_count()
    assert found.versions["numpy"] == np.__version__
    assert found.cache == str(cache)
    assert found.cache_writable
    assert os.uname().release in found.system
    weights, networks = found.folders
    assert (weights.path, weights.files, weights.bytes) == (str(cache / "weights"), 0, 0)
    assert networks.name == "networks"


def test_threads_are_what_is_asked_for_and_cpus_what_there_are(monkeypatch):
    monkeypatch.setattr(houndsight.embedder, "TIMED_S", 0.01)
    before = diagnose(fake_embedder())
    assert before.threads == before.cpus
    monkeypatch.setenv("HOUNDSIGHT_THREADS", "7")
    after = diagnose(fake_embedder())
    assert (after.threads, after.cpus) == (7, before.cpus)


def test_folders_are_measured(monkeypatch, cache, tmp_path, photos):
    monkeypatch.setattr(houndsight.embedder, "TIMED_S", 0.01)
    made = fake_embedder()
    index(photos, tmp_path / "g", embedder=made)
    (cache / "weights" / "deep").mkdir(parents=True)
    (cache / "weights" / "a").write_bytes(b"x" * 100)
    (cache / "weights" / "deep" / "b").write_bytes(b"x" * 23)
    with Gallery(tmp_path / "g") as gallery:
        found = {folder.name: folder for folder in diagnose(made, gallery).folders}
    assert (found["weights"].files, found["weights"].bytes) == (2, 123)
    thumbnails = list((tmp_path / "g" / "thumbnails").rglob("*.jpg"))
    assert found["its thumbnails"].files == len(thumbnails) == 12
    assert found["its thumbnails"].bytes == sum(one.stat().st_size for one in thumbnails)
    assert found["gallery"].bytes > found["its thumbnails"].bytes
    free = shutil.disk_usage(tmp_path).free
    assert found["gallery"].free == pytest.approx(free, rel=0.05)


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(houndsight.embedder, "TIMED_S", 0.01)
    monkeypatch.setitem(EXTRAS, "none", ("nothing", ("sys", "no_such_module")))
    extras = {extra.name: extra for extra in diagnose(fake_embedder()).extras}
    assert extras["none"].missing == ("no_such_module",)
    assert extras["none"].command == "pip install 'houndsight[none]'"


def test_the_extras_are_those_of_the_project():
    file = Path(__file__).resolve().parents[1] / "pyproject.toml"
    if not file.exists():
        pytest.skip("pyproject.toml is not there: this is no full checkout")
    extras = tomllib.loads(file.read_text("utf-8"))["project"]["optional-dependencies"]
    extras.pop("all")
    assert set(EXTRAS) == set(extras)
    packages = packages_distributions()
    for name, (_, modules) in EXTRAS.items():
        wanted = {re.match(r"[\w-]+", line)[0] for line in extras[name]}
        for module in modules:
            import_module(module)
        brought = {name.replace("_", "-") for module in modules for name in packages[module]}
        assert brought == wanted


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
            shape, kind = ["n", 3, 224, 224], "tensor(float)"
            return [type("Input", (), {"name": "pixels", "shape": shape, "type": kind})]

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
