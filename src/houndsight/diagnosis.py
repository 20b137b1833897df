"""What really runs the network here, how fast, and why no GPU does."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import houndsight
from houndsight.embedder import BATCH, Embedder
from houndsight.machine import available_cpus, cpu_flags
from houndsight.models.cache import cache_folder
from houndsight.runtime import CPU_ONLY, GPUS, gpu_provider

__all__ = ["Diagnosis", "diagnose"]

VNNI = {"avx512_vnni", "avx_vnni", "asimddp"}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found.

    Attributes
    ----------
    versions
        Of houndsight, Python, and the libraries that decide what a vector is.
    model, precision
        Of the network that was run.
    device
        Where it ran.
    gpu
        Why a GPU is used, or is not.
    cpus, all_cpus
        CPUs that may be used, and that the machine has.
    quick_integers
        Whether the processor has instructions for 8-bit networks, with which they gain most.
    speed
        Images a second, the network alone, batches of 16.
    cache, cache_writable
        The folder for weights and networks, and whether anything can be kept there.
    """

    versions: dict[str, str]
    model: str
    precision: str
    device: str
    gpu: str
    cpus: int
    all_cpus: int
    quick_integers: bool
    speed: float
    cache: str
    cache_writable: bool


def diagnose(embedder: Embedder) -> Diagnosis:
    """Run a network for two seconds and say what there is to say about this machine."""
    size = embedder.preprocessing.size
    pixels = np.zeros((BATCH, 3, size, size), np.float32)
    above = next(p for p in (cache_folder(), *cache_folder().parents) if p.exists())
    return Diagnosis(
        versions={
            "houndsight": houndsight.__version__,
            "python": sys.version.split()[0],
            "numpy": np.__version__,
            **embedder.settings()["versions"],
        },
        model=embedder.model.name,
        precision=embedder.made_of["precision"],
        device=embedder.runtime.device,
        gpu=_why(embedder.runtime.device),
        cpus=available_cpus(),
        all_cpus=os.cpu_count() or 1,
        quick_integers=bool(VNNI & cpu_flags()),
        speed=embedder.speed(pixels),
        cache=str(cache_folder()),
        cache_writable=os.access(above, os.W_OK),
    )


def _why(device: str, root: Path = Path("/")) -> str:
    """Say why a GPU runs the network, or does not."""
    if device in GPUS:
        return f"{device} runs the network"
    if os.environ.get(CPU_ONLY, "").strip().lower() == "cpu":
        return f"not used, as {CPU_ONLY} is set to cpu"
    nvidia = (root / "dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None
    if not nvidia and not (root / "dev/kfd").exists():
        return "none was found on this machine"
    if gpu_provider() is None:
        package = "onnxruntime-gpu" if nvidia else "onnxruntime-rocm"
        return (
            "there is one, but this ONNX Runtime is for CPUs only: run pip uninstall onnxruntime, "
            f"then pip install {package}"
        )
    return (
        f"there is one, and {gpu_provider()} is installed, but could not be loaded: the driver, "
        "CUDA or cuDNN may be missing or of another version"
    )
