"""Networks as ONNX Runtime has optimised them, kept in the user's cache: they load in no time.

The cache has folders ``networks/<network>-<processor>-<version>-<CRC-32 of its files>``: what ONNX
Runtime makes of a graph depends on its version and on the processor. In each are the graph and its
weights; nothing in it is written again, as whoever runs it has the weights mapped. Everything there
can be deleted: it is made again.
"""

import contextlib
import hashlib
import shutil
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnxruntime

from houndsight.errors import FingerprintMismatch, ModelError
from houndsight.machine import processor
from houndsight.models.cache import cache_folder, locked
from houndsight.models.spec import ModelSpec
from houndsight.runtime import WEIGHTS, OnnxRuntime, gpu_provider

__all__ = ["built_graph", "open_network"]

GRAPH = "network.onnx"


def open_network(identity: str, graph: Callable[[], bytes]) -> OnnxRuntime:
    """Return what runs a network.

    Parameters
    ----------
    identity
        What tells the network from every other: equal only where `graph` returns the same.
    graph
        Builds it as a serialized ONNX model; called only where the cache does not have it.

    Raises
    ------
    ModelError
        ONNX Runtime cannot load it; and whatever `graph` raises.
    """
    if gpu_provider() is not None:
        return OnnxRuntime(graph())  # what is kept is as a CPU wants it
    folder = cache_folder() / "networks"
    name = f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}-{processor()}"
    if (known := _known(folder, name)) is not None:
        return known
    built = graph()
    try:
        # Not the one that wrote it, which has the graph in memory too.
        return _keep(folder, name, built)
    except (OSError, ModelError):  # nothing can be kept here: slower next time, and that is all
        return OnnxRuntime(built)


def _known(folder: Path, name: str) -> OnnxRuntime | None:
    """Load a network that is kept; None where there is none, or it is damaged."""
    for kept in folder.glob(f"{name}-{onnxruntime.__version__}-*/"):
        with contextlib.suppress(ModelError, OSError):
            return _verified(kept)
    return None


def _keep(folder: Path, name: str, built: bytes) -> OnnxRuntime:
    """Write a network as ONNX Runtime optimises it, in the place of what is no longer right."""
    with locked(folder):
        # Another process may have by now: with a second copy the two would share no memory.
        if (known := _known(folder, name)) is not None:
            return known
        draft = folder / "partial"
        shutil.rmtree(draft, ignore_errors=True)  # what a killed process left
        draft.mkdir()
        try:
            OnnxRuntime(built, save=draft / GRAPH)
            for old in folder.glob(f"{name}-*/"):
                shutil.rmtree(old)
            kept = folder / f"{name}-{onnxruntime.__version__}-{_checksum(draft)}"
            return _verified(draft.rename(kept))
        finally:
            shutil.rmtree(draft, ignore_errors=True)  # the disk may be full


def built_graph(
    model: ModelSpec, digest: str, kept: bool, progress: Callable[[int, int], None] | None
) -> bytes:
    """Build a network from a model's weights, as a serialized ONNX model.

    Parameters
    ----------
    model
        The facts about the network.
    digest
        Of the weights.
    kept
        Whether the weights were given as a file, not taken from the catalogue.
    progress
        Called with (bytes done, bytes in all) while weights are downloaded.

    Raises
    ------
    ModelError
        If the weights are not to be had.
    FingerprintMismatch
        If they are others by now.
    """
    # Not above: a network that is in the cache needs neither weights nor what builds a graph.
    from houndsight.models.architectures import architecture
    from houndsight.models.weights import load, load_kept

    weights = load_kept(model, digest) if kept else load(model, None, progress)
    if weights.digest != digest:
        raise FingerprintMismatch(
            f"the weights of {model.name} are others than the vectors were made with: "
            f"{weights.digest[:12]}, not {digest[:12]}",
            remedy="Index the photos into a new gallery",
        )
    return architecture(model.architecture).graph(weights.arrays)


def _verified(kept: Path) -> OnnxRuntime:
    """Load an optimised network while its checksum is taken."""
    with ThreadPoolExecutor(1) as other:
        checksum = other.submit(_checksum, kept)
        runtime = OnnxRuntime(kept / GRAPH)
    if not kept.name.endswith(f"-{checksum.result()}"):
        raise ModelError("is damaged", path=kept)
    return runtime


def _checksum(kept: Path) -> str:
    """Return the CRC-32 of a network's files in hexadecimal: quick, and it tells damage."""
    crc = 0
    for name in (GRAPH, WEIGHTS):
        # A graph whose weights are few has them itself. One that lacks them is not loaded.
        with contextlib.suppress(FileNotFoundError), (kept / name).open("rb") as file:
            while piece := file.read(1 << 20):
                crc = zlib.crc32(piece, crc)
    return f"{crc:08x}"
