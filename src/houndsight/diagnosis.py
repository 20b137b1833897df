"""What really runs the network here, how fast, and why no GPU does."""

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import houndsight
from houndsight.embedder import Embedder
from houndsight.gallery import Gallery
from houndsight.machine import available_cpus, cpu_flags, usable_cpus
from houndsight.models.cache import cache_folder
from houndsight.models.spec import CATALOGUE, ModelSpec
from houndsight.models.weights import locate
from houndsight.runtime import CPU_ONLY, GPUS, gpu_provider
from houndsight.streaming import BATCH

__all__ = ["EXTRAS", "Diagnosis", "Extra", "Folder", "diagnose"]

VNNI = {"avx512_vnni", "avx_vnni", "asimddp"}
# What each extra of the package is for, and the modules that it brings.
EXTRAS = {
    "faiss": ("houndsight export to .faiss", ("faiss",)),
    "gs": ("photos at gs://", ("gcsfs",)),
    "heic": ("photos in HEIC", ("pi_heif",)),
    "keras": ("the model resnet50-keras, weights in .h5", ("h5py",)),
    "map": ("t-SNE in houndsight map", ("sklearn",)),
    "milvus": ("galleries in Milvus, and in files of Milvus Lite", ("milvus_lite", "pymilvus")),
    "parquet": ("houndsight export and import of .parquet, export for Milvus", ("pyarrow",)),
    "raw": ("photos in camera RAW", ("rawpy",)),
    "ray": ("houndsight index --ray", ("ray",)),
    "remote": ("photos at https://", ("fsspec", "aiohttp")),
    "s3": ("photos at s3://", ("s3fs",)),
    "watch": ("houndsight watch", ("watchdog",)),
    "web": ("houndsight serve", ("fastapi", "prometheus_client", "python_multipart", "uvicorn")),
}


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that houndsight keeps things in.

    Attributes
    ----------
    name
        What is in it.
    path
        The folder, which need not exist.
    files, bytes
        How many files are in it and below, and their size together.
    free
        Bytes that are free on its disk.
    """

    name: str
    path: str
    files: int
    bytes: int
    free: int


@dataclass(frozen=True, slots=True)
class Extra:
    """A part of houndsight that is installed on its own.

    Attributes
    ----------
    name, use
        The extra, and what it is for.
    missing
        The modules that it needs and that are not installed; empty where all are.
    command
        What installs it.
    """

    name: str
    use: str
    missing: tuple[str, ...]
    command: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found.

    Attributes
    ----------
    versions
        Of houndsight, Python, and the libraries that decide what a vector is.
    system
        The operating system and its release, and the processor's kind.
    model, precision
        Of the network that was run.
    device
        Where it ran.
    gpu
        Why a GPU is used, or is not.
    cpus, all_cpus
        CPUs that may be used, and that the machine has.
    threads
        Threads that run the network on CPUs, and that decode photos.
    quick_integers
        Whether the processor has instructions for 8-bit networks, with which they gain most.
    speed
        Images a second, the network alone on all CPUs.
    cache, cache_writable
        The folder for weights and networks, and whether anything can be kept there.
    folders
        The parts of the cache; then those of the gallery, where one was given.
    weights
        Of each model of the catalogue the file of its weights, or None where they are not here.
    extras
        The parts that are installed on their own, by name.
    """

    versions: dict[str, str]
    system: str
    model: str
    precision: str
    device: str
    gpu: str
    cpus: int
    all_cpus: int
    threads: int
    quick_integers: bool
    speed: float
    cache: str
    cache_writable: bool
    folders: tuple[Folder, ...]
    weights: dict[str, str | None]
    extras: tuple[Extra, ...]


def diagnose(embedder: Embedder, gallery: Gallery | None = None) -> Diagnosis:
    """Run a network for two seconds and say what there is to say about this machine.

    Parameters
    ----------
    embedder
        Its network is run.
    gallery
        The gallery whose folders are measured beside the cache's, if any.
    """
    size = embedder.preprocessing.size
    pixels = np.zeros((BATCH, 3, size, size), np.float32)
    cache = cache_folder()
    parts = {"weights": cache / "weights", "networks": cache / "networks"}
    if gallery is not None:
        parts |= {
            "gallery": gallery.folder,
            "its thumbnails": gallery.folder / "thumbnails",
            "its spaces": gallery.folder / "spaces",
        }
    return Diagnosis(
        versions={
            "houndsight": houndsight.__version__,
            "python": sys.version.split()[0],
            "numpy": np.__version__,
            **embedder.settings()["versions"],
        },
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        model=embedder.model.name,
        precision=embedder.made_of["precision"],
        device=embedder.runtime.device,
        gpu=_why(embedder.runtime.device),
        cpus=usable_cpus(),
        all_cpus=os.cpu_count() or 1,
        threads=available_cpus(),
        quick_integers=bool(VNNI & cpu_flags()),
        speed=embedder.speed(pixels),
        cache=str(cache),
        cache_writable=os.access(_there(cache), os.W_OK),
        folders=tuple(_measured(name, path) for name, path in parts.items()),
        weights={name: _located(model) for name, model in CATALOGUE.items()},
        extras=tuple(_extra(name, use, needs) for name, (use, needs) in sorted(EXTRAS.items())),
    )


def _there(path: Path) -> Path:
    """Return a path, or the nearest above it that exists."""
    return next(one for one in (path, *path.absolute().parents) if one.exists())


def _measured(name: str, path: Path) -> Folder:
    sizes: list[int] = []
    for folder, _, files in os.walk(path):
        for file in files:
            try:
                sizes.append(os.stat(os.path.join(folder, file)).st_size)
            except OSError:  # gone by now
                continue
    return Folder(name, str(path), len(sizes), sum(sizes), shutil.disk_usage(_there(path)).free)


def _located(model: ModelSpec) -> str | None:
    path = locate(model)
    return None if path is None else str(path)


def _extra(name: str, use: str, needs: tuple[str, ...]) -> Extra:
    missing = tuple(module for module in needs if find_spec(module) is None)
    return Extra(name, use, missing, f"pip install 'houndsight[{name}]'")


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
