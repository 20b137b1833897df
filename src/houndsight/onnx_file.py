"""A network that a person brings as an ONNX file: what it takes, and how its output is a vector."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from houndsight.errors import InputError, ModelError
from houndsight.models.admission import admitted, has_other_files
from houndsight.models.description import Description, described
from houndsight.models.spec import ModelSpec, Pooling
from houndsight.networks import open_network
from houndsight.preprocess import Preprocessing
from houndsight.runtime import OnnxRuntime, Runtime

__all__ = ["ARCHITECTURE", "OnnxFile", "open_file", "record", "reopened"]

ARCHITECTURE: Final = "onnx-file"
_LARGEST: Final = (1 << 31) - 1  # bytes of one encoded message: protobuf's own limit
_TYPES: Final = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A network from a file.

    Attributes
    ----------
    model
        What there is to know about it.
    runtime
        Runs it: its outputs are ``vector`` and, where that is the average of a map, ``map``.
    network
        The file's bytes, with all weights: a gallery keeps them.
    """

    model: ModelSpec
    runtime: Runtime
    network: bytes


def open_file(path: Path, given: Mapping[str, Any]) -> OnnxFile:
    """Open an ONNX file by what a JSON file beside it says; see `houndsight.models.description`.

    The network is run once, to see that it takes what is said and what it gives.

    Parameters
    ----------
    path
        The file.
    given
        What is said elsewhere, in the words of the JSON file; wins over it.

    Raises
    ------
    InputError
        What it takes is said nowhere, or not understood, or is not what the network takes.
    ModelError
        The file is no network, or not one that makes vectors of photos.
    """
    if not path.is_file():
        raise InputError("there is no such file", path=path, remedy="Name an .onnx file")
    description = described(path, given)
    network = _whole(path)
    return _opened(path.name, description, network, path)


def record(model: ModelSpec) -> dict[str, Any]:
    """Return what there is to put on record of a network from a file, in the JSON file's words."""
    names = (one.name for one in fields(Description) if one.name != "size")
    said = {"size": model.input_size, **{name: getattr(model, name) for name in names}}
    return {name: value for name, value in said.items() if value is not None}


def reopened(name: str, recorded: Mapping[str, Any], network: bytes) -> OnnxFile:
    """Open a network again that a gallery has kept.

    Parameters
    ----------
    name
        What its file was called.
    recorded
        What `record` returned.
    network
        Its bytes.
    """
    return _opened(name, Description.of(recorded), network, None)


def _whole(path: Path) -> bytes:
    """Read a file, and into it the weights that it has in others."""
    import onnx
    from google.protobuf.message import DecodeError

    too_large = ModelError(
        "is larger than 2 GB, which one ONNX file cannot be",
        path=path,
        remedy="Export it in float16, or take a smaller network of its kind",
    )
    try:
        data = path.read_bytes()
        if len(data) > _LARGEST:
            raise too_large
        model = onnx.load_model_from_string(data)
        if has_other_files(model):
            # Refuses what lies outside the folder: by an absolute path, by "..", behind a link.
            onnx.load_external_data_for_model(model, str(path.parent))
            if model.ByteSize() > _LARGEST:
                raise too_large
            data = model.SerializeToString(deterministic=True)
    except DecodeError as error:
        raise ModelError("is no ONNX file, or damaged", path=path) from error
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error) else type(error).__name__
        raise ModelError(f"cannot be read with all its weights: {reason}", path=path) from error
    return data


def _opened(name: str, description: Description, network: bytes, path: Path | None) -> OnnxFile:
    digest = hashlib.sha256(network).hexdigest()
    try:
        graph = open_network(digest, lambda: admitted(network))
        size = _size(graph, description)
        Preprocessing(  # judges the settings before the network runs
            size,
            description.resize,
            description.scale,
            description.mean,
            description.std,
            shorter=description.shorter,
        )
        layer = _layer(graph, description)
        runtime = _Pooled(graph, layer, description.pooling)
        (tried,) = runtime.run(np.zeros((1, 3, size, size), np.float32), ["vector"])
    except ModelError as error:
        raise type(error)(error.cause, path=path or name, remedy=error.remedy) from error
    except InputError as error:
        raise InputError(error.cause, path=path or name, remedy=error.remedy) from error
    model = ModelSpec(
        name=name,
        architecture=ARCHITECTURE,
        url=None,
        filename=name,
        size=len(network),
        sha256=digest,
        package=None,
        input_size=size,
        resize=description.resize,
        scale=description.scale,
        mean=description.mean,
        std=description.std,
        channels=description.channels,
        layer=layer,
        dim=tried.shape[1],
        licence="not known",
        about=f"the network in {name}",
        resample=description.resample,
        shorter=description.shorter,
        pooling=description.pooling,
    )
    return OnnxFile(model, runtime, network)


def _size(graph: OnnxRuntime, description: Description) -> int:
    """Return the side of the square that goes in, after looking at what the graph takes."""
    shape = graph.input_shape
    if graph.input_type not in _TYPES or len(shape) != 4:
        raise ModelError(
            f"its input is {graph.input_type} {list(shape)}, not photos as floating-point numbers "
            "[n, 3, height, width]",
            remedy="Export the part of the network that takes photos, before any text",
        )
    sides = shape[1:3] if _channels_last(graph) else shape[2:]
    fixed = {side for side in sides if isinstance(side, int)}
    if len(fixed) > 1 or (fixed and description.size not in (None, *fixed)):
        takes = " x ".join(str(side) for side in sides)
        said = "" if description.size is None else f", and {description.size} was said"
        raise InputError(
            f"the network takes photos of {takes}{said}",
            remedy="Say the size that it takes; only squares can be taken",
        )
    size = description.size or next(iter(fixed), None)
    if size is None:
        raise InputError(
            "the network takes photos of any size, and nothing says which it was trained with",
            remedy='Say "size" in the JSON file beside it, or give --image-size',
        )
    return size


def _layer(graph: OnnxRuntime, description: Description) -> str:
    """Return the output that gives the vector: the one said, or the only one."""
    names, layer = graph.outputs, description.layer
    if layer is None and len(names) == 1:
        layer = names[0]
    if layer in names:
        return str(layer)
    trouble = "nothing says which gives the vector" if layer is None else f"none is {layer!r}"
    raise InputError(
        f"the network has the outputs {', '.join(names)}, and {trouble}",
        remedy='Say "layer" in the JSON file beside it, or give --layer',
    )


def _channels_last(graph: OnnxRuntime) -> bool:
    shape = graph.input_shape
    return bool(shape[3] == 3 and shape[1] != 3)


class _Pooled:
    """Runs a graph and makes its one output a vector for each photo; see `Runtime`.

    What has two dimensions is taken as it is; of tokens (n, tokens, dim) the first or the mean; of
    a map (n, dim, h, w) the average over places. Networks as TensorFlow exports them, with
    channels last, and those for one photo at a time are fed as they want it.
    """

    def __init__(self, graph: OnnxRuntime, layer: str, pooling: Pooling | None) -> None:
        self._graph = graph
        self._layer = layer
        self._pooling = pooling
        self._last = _channels_last(graph)
        self.device = graph.device
        self.versions = graph.versions

    def single(self) -> _Pooled:
        """Return what runs on the calling thread alone; see `Runtime.single`."""
        return _Pooled(self._graph.single(), self._layer, self._pooling)

    def run(self, pixels: NDArray[np.float32], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Run the network once; see `Runtime.run`."""
        fed = pixels.transpose(0, 2, 3, 1) if self._last else pixels
        fed = np.ascontiguousarray(fed, _TYPES[self._graph.input_type])
        batch = self._graph.input_shape[0]
        step = batch if isinstance(batch, int) else len(fed)
        if len(fed) % step:
            raise ModelError(
                f"the network takes {step} photos at a time",
                remedy="Export it with a free number of photos, or for one",
            )
        made = np.concatenate(
            [
                self._graph.run(fed[at : at + step], [self._layer])[0]
                for at in range(0, len(fed), step)
            ]
        )
        if len(made) != len(fed):
            raise ModelError(f"the network gives {len(made)} results for {len(fed)} photos")
        vector, regions = self._vectors(made)
        if "map" in outputs and regions is None:
            raise ModelError(
                f"the network's output '{self._layer}' is no map of regions",
                remedy="Take an output [n, dim, h, w], or leave out what needs it",
            )
        found = {"vector": vector, "map": regions}
        return [np.ascontiguousarray(found[name], np.float32) for name in outputs]

    def _vectors(self, made: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        shape = list(made.shape)
        if made.dtype.kind != "f":
            raise ModelError(f"the network's output '{self._layer}' is {made.dtype}, not float")
        if made.ndim == 3 and self._pooling is None:
            raise InputError(
                f"the network's output '{self._layer}' is {shape}: tokens, of which one vector is "
                "to be made",
                remedy='Say "pooling" in the JSON file beside it, or give --pooling: cls or mean',
            )
        if made.ndim == 3:
            return (made[:, 0] if self._pooling == "cls" else _mean(made, 1)), None
        if self._pooling is not None or made.ndim not in (2, 4):
            said = f", which has no tokens to take the {self._pooling} of" if self._pooling else ""
            raise InputError(
                f"the network's output '{self._layer}' is {shape}{said}",
                remedy="Take one that is [n, dim], [n, tokens, dim] with pooling cls or mean, or "
                "[n, dim, height, width]",
            )
        if made.ndim == 2:
            return made, None
        regions = made.transpose(0, 3, 1, 2) if self._last else made
        return _mean(regions, (2, 3)), regions


def _mean(values: NDArray[Any], axes: int | tuple[int, ...]) -> NDArray[Any]:
    return np.asarray(values.mean(axis=axes, dtype=np.float32))
