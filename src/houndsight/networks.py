"""Networks as ONNX Runtime has optimised them, kept in the user's cache: they load much quicker.

The cache has ``networks/<network>-<processor>-<version>-<CRC-32 of the file>.onnx``: what ONNX
Runtime makes of a graph depends on its version and on the processor. Everything there can be
deleted: it is made again.
"""

import contextlib
import hashlib
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import onnxruntime

from houndsight.errors import FingerprintMismatch, ModelError
from houndsight.machine import processor
from houndsight.models.cache import cache_folder, locked, temporary
from houndsight.models.spec import ModelSpec
from houndsight.runtime import OnnxRuntime, gpu_provider

__all__ = ["built_graph", "open_network"]


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
    here = f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}-{processor()}"
    for path in folder.glob(f"{here}-{onnxruntime.__version__}-*.onnx"):
        with contextlib.suppress(ModelError, OSError):
            return _verified(path)
    built = graph()
    try:
        with locked(folder):
            draft = folder / f"{here}.onnx"
            with temporary(folder, draft) as unfinished:
                OnnxRuntime(built, save=unfinished)
            for old in folder.glob(f"{here}-*.onnx"):
                old.unlink(missing_ok=True)
            kept = folder / f"{here}-{onnxruntime.__version__}-{_checksum(draft)}.onnx"
            draft.replace(kept)
        return _verified(kept)  # not the one that wrote it, which has the graph in memory too
    except (OSError, ModelError):  # nothing can be kept here: slower next time, and that is all
        return OnnxRuntime(built)


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


def _verified(path: Path, threads: int | None = None) -> OnnxRuntime:
    """Load an optimised network while its checksum is taken."""
    with ThreadPoolExecutor(1) as other:
        checksum = other.submit(_checksum, path)
        runtime = OnnxRuntime(path, threads=threads, alone=partial(_verified, path, 1))
    if not path.stem.endswith(f"-{checksum.result()}"):
        raise ModelError("is damaged", path=path)
    return runtime


def _checksum(path: Path) -> str:
    """Return a file's CRC-32 in hexadecimal: half of what a digest takes, and what tells damage."""
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            crc = zlib.crc32(piece, crc)
    return f"{crc:08x}"
