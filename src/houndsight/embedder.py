"""Photos to vectors: a model's facts, its network, and the fingerprint of what they make."""

import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from houndsight import images
from houndsight.errors import FingerprintMismatch, ImageError, InputError, ModelError
from houndsight.fingerprint import differences, fingerprint_of
from houndsight.machine import available_cpus
from houndsight.models.admission import admitted
from houndsight.models.spec import ModelSpec, spec
from houndsight.networks import built_graph, open_network
from houndsight.onnx_file import ARCHITECTURE, OnnxFile, open_file, record, reopened
from houndsight.preprocess import Preprocessing, Resize
from houndsight.runtime import OnnxRuntime, Runtime
from houndsight.streaming import Prepared, stream
from houndsight.types import Skipped, Vectors

__all__ = ["Embedder"]

TIMED_S = 2.0
# Rises when a graph built here computes something else for the same weights.
GRAPH_VERSION = 1


S = TypeVar("S")
P = TypeVar("P", bound=Prepared)


@dataclass(frozen=True, slots=True)
class _Photo:
    path: bytes
    pixels: NDArray[np.float32] | None
    reason: str | None = None


class Embedder:
    """Turns images into vectors.

    Parameters
    ----------
    model
        The facts about the network.
    runtime
        Runs its graph.
    weights_digest
        Digest of the weights' values; None where `network` is all there is.
    image_size
        Side in pixels of the square that the network sees; the model's own size when None.
    resize
        ``squash`` or ``crop``; the model's own rule when None.
    normalise
        Whether vectors are scaled to Euclidean norm 1.
    weights_file
        Whether the weights were given as a file, not taken from the catalogue.
    network, precision
        The graph, where `runtime` runs that and not one built from weights, and what it computes
        in: a narrower one in ``int8`` or ``float16``, or a person's own.
    """

    def __init__(
        self,
        model: ModelSpec,
        runtime: Runtime,
        *,
        weights_digest: str | None,
        image_size: int | None = None,
        resize: Resize | None = None,
        normalise: bool = True,
        weights_file: bool = False,
        network: bytes | None = None,
        precision: str = "float32",
    ) -> None:
        self.model = model
        self.runtime = runtime
        self.normalise = normalise
        self.weights_file = weights_file
        self.network = network
        self.preprocessing = Preprocessing(
            size=image_size or model.input_size,
            resize=resize or model.resize,
            scale=model.scale,
            mean=model.mean,
            std=model.std,
            channels=model.channels,
            resample=model.resample,
            shorter=model.shorter,
        )
        self.made_of: dict[str, Any] = {
            "graph": _graph_name(model),
            "layer": model.layer,
            "preprocessing": self.preprocessing.settings(),
            "normalised": normalise,
            "precision": precision,
        }
        if weights_digest is not None:
            self.made_of["weights"] = weights_digest
        if network is not None:
            self.made_of["network"] = _digest(network)
        if model.pooling is not None:
            self.made_of["pooling"] = model.pooling
        self.fingerprint = fingerprint_of(self.made_of)

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] = "resnet50",
        *,
        weights: str | os.PathLike[str] | None = None,
        image_size: int | None = None,
        resize: Resize | None = None,
        normalise: bool = True,
        description: Mapping[str, Any] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> "Embedder":
        """Load a model by name, its weights from a file or else from the cache or the network.

        Or load a person's own network: an ONNX file, with what it takes in a JSON file beside it
        (see docs/bring-your-own-network.md).

        Weights given as a file are copied into the user's cache folder, so that a gallery made
        with them can be used later without naming the file.

        Parameters
        ----------
        model
            A name from `houndsight models`, or the path of a file that ends in ``.onnx``.
        weights
            A local ``.safetensors``, ``.pth`` or ``.h5`` for that model's architecture.
        image_size, resize, normalise
            As for the class.
        description
            For an ONNX file: what the JSON file beside it says or lacks, in the same words.
        progress
            Called with (bytes done, bytes in all) while weights are downloaded.

        Raises
        ------
        ModelError
            If the model is unknown, or its weights are absent, damaged or do not fit.
        InputError
            If what an ONNX file takes is not said.
        """
        model = os.fspath(model)
        if model.lower().endswith(".onnx"):
            if weights is not None:
                raise InputError("holds its weights itself", path=model, remedy="Give no others")
            settings = {"size": image_size, "resize": resize, **(description or {})}
            said = {name: value for name, value in settings.items() if value is not None}
            return cls._own(open_file(Path(model), said), normalise)
        if description:
            raise InputError(
                f"{next(iter(description))!r} is for networks from an .onnx file; {model} has its "
                "own",
                remedy="Leave it out, or name the file as the model",
            )
        # Not above: a network that is in the cache needs neither weights nor what builds a graph.
        from houndsight.models.architectures import architecture
        from houndsight.models.weights import keep, load

        facts = _catalogued(model)
        # Settings are judged before anything is downloaded.
        Preprocessing(image_size or facts.input_size, resize or facts.resize, 1, (0,) * 3, (1,) * 3)
        file = None if weights is None else Path(weights)

        loaded = load(facts, file, progress)
        if file is not None:
            keep(loaded, facts)
        graph = architecture(facts.architecture).graph
        return cls(
            facts,
            open_network(f"{_graph_name(facts)} {loaded.digest}", lambda: graph(loaded.arrays)),
            weights_digest=loaded.digest,
            image_size=image_size,
            resize=resize,
            normalise=normalise,
            weights_file=file is not None,
        )

    @classmethod
    def _own(cls, file: OnnxFile, normalise: bool) -> "Embedder":
        return cls(
            file.model,
            file.runtime,
            weights_digest=None,
            normalise=normalise,
            network=file.network,
        )

    @classmethod
    def reopen(
        cls,
        settings: Mapping[str, Any],
        *,
        network: bytes | None = None,
        runtime: Runtime | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> "Embedder":
        """Load the embedder that a gallery was made with; `Gallery.embedder` calls this.

        Parameters
        ----------
        settings
            What the gallery has on record.
        network
            The graph that it keeps, if it does: a narrower one, or a person's own.
        runtime
            What runs the network, where nothing is to be loaded for it.
        progress
            Called with (bytes done, bytes in all) while weights are downloaded.

        Raises
        ------
        ModelError
            If its weights are no longer to be had.
        FingerprintMismatch
            If this version makes other vectors than the gallery's.
        """
        made_of = settings["made_of"]
        if network is not None and "description" in settings:
            file = reopened(settings["model"], settings["description"], network)
            if runtime is not None:
                file = replace(file, runtime=runtime)
            return cls._own(file, made_of["normalised"])._checked(settings)
        facts = spec(settings["model"])
        kept, digest = settings["weights_file"], made_of["weights"]
        shape = made_of["preprocessing"]
        if runtime is not None:
            pass
        elif network is None:
            runtime = open_network(
                f"{_graph_name(facts)} {digest}", lambda: built_graph(facts, digest, kept, progress)
            )
        else:
            runtime = open_network(_digest(network), lambda: admitted(network))
        made = cls(
            facts,
            runtime,
            weights_digest=digest,
            image_size=shape["size"],
            resize=shape["resize"],
            normalise=made_of["normalised"],
            weights_file=kept,
            network=network,
            precision=made_of["precision"],
        )
        return made._checked(settings)

    def _checked(self, settings: Mapping[str, Any]) -> "Embedder":
        """Return itself, if it makes the vectors that a gallery holds."""
        if self.fingerprint != settings["fingerprint"]:
            raise FingerprintMismatch(
                "this installation makes other vectors than the gallery holds: "
                + differences(settings["made_of"], self.made_of),
                remedy="Index the photos into a new gallery",
            )
        return self

    def float_graph(self) -> bytes:
        """Return the network in float32 as a serialized ONNX model, built from its weights.

        Raises
        ------
        ModelError
            If its weights are no longer to be had.
        InputError
            If it is a person's own, which is used as it is.
        """
        if "weights" not in self.made_of:
            raise InputError(
                "a network from an ONNX file computes in what it was exported in",
                path=self.model.name,
                remedy="Leave --precision out, or export it in that precision",
            )
        return built_graph(self.model, self.made_of["weights"], self.weights_file, None)

    def with_network(self, network: bytes, precision: str) -> "Embedder":
        """Return an embedder that is alike but for its network, a narrower one."""
        return Embedder(
            self.model,
            OnnxRuntime(network),
            weights_digest=self.made_of["weights"],
            image_size=self.preprocessing.size,
            resize=self.preprocessing.resize,
            normalise=self.normalise,
            weights_file=self.weights_file,
            network=network,
            precision=precision,
        )

    def pixels(self, photo: "str | bytes | os.PathLike[str] | Image.Image") -> NDArray[np.float32]:
        """Return what the network takes of a photo, float32 (3, size, size).

        Raises
        ------
        ImageError
            If it cannot be read.
        """
        if isinstance(photo, Image.Image):
            return self.preprocessing(photo.convert("RGB"))
        path = os.fsencode(photo)
        data = images.read(path).data
        decoded = images.decode(data, path=path, at_least=self.preprocessing.decode_at_least)
        return self.preprocessing(decoded.image)

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        return self.model.dim

    def settings(self) -> dict[str, Any]:
        """Return what a gallery puts on record: enough for `reopen`."""
        own = self.model.architecture == ARCHITECTURE
        return {
            **({"description": record(self.model)} if own else {}),
            "model": self.model.name,
            "weights_file": self.weights_file,
            "dim": self.dim,
            "made_of": self.made_of,
            "fingerprint": self.fingerprint,
            "versions": {"pillow": PIL.__version__, **self.runtime.versions},
        }

    def speed(self, pixels: NDArray[np.float32]) -> float:
        """Return how many images a second the network manages in `stream`: its best of two seconds.

        Parameters
        ----------
        pixels
            Some photos', float32 (n, 3, size, size).
        """
        self.runtime.single()  # opened once, which is not what is asked for
        # As many as keep every thread busy alike.
        photos = [_Photo(b"", one) for one in pixels] * available_cpus()
        best, until = float("inf"), time.perf_counter() + TIMED_S
        while time.perf_counter() < until or best == float("inf"):
            begin = time.perf_counter()
            for _ in self.stream(photos, lambda photo: photo):
                pass
            best = min(best, time.perf_counter() - begin)
        return len(photos) / best

    def embed(
        self, photos: "str | bytes | os.PathLike[str] | Image.Image | Iterable[Any]"
    ) -> Vectors:
        """Return the vectors of images.

        Parameters
        ----------
        photos
            One or several: paths, or Pillow images (taken as upright; alpha is not looked at).

        Returns
        -------
        Vectors
            float32 (n, dim): the average over the last feature map (layer ``avg_pool`` in
            ResNet-50), of Euclidean norm 1 unless made with ``normalise=False``. Without
            normalisation 0 or more for both built-in models.

        Raises
        ------
        ImageError
            If one of them cannot be read; `stream` goes on past such photos.
        """
        if isinstance(photos, str | bytes | os.PathLike | Image.Image):
            photos = [photos]
        found: list[NDArray[np.float32]] = []
        for batch in self.stream(photos, self._shape):
            found.extend(vector for _, vector in batch if vector is not None)
        return Vectors(
            np.stack(found) if found else np.empty((0, self.dim), np.float32), self.fingerprint
        )

    def regions(
        self, photos: "str | bytes | os.PathLike[str] | Image.Image | Iterable[Any]"
    ) -> NDArray[np.float32]:
        """Return what the network found where: the feature maps that vectors are averages of.

        Parameters
        ----------
        photos
            As for `embed`.

        Returns
        -------
        ndarray
            float32 (n, dim, h, w), a grid over what the network sees of a photo, of size / 32
            each way. The average over the grid is the vector that `embed` returns: with
            normalisation, a photo's regions are divided by the length of their average.

        Raises
        ------
        ImageError
            If a photo cannot be read.
        ModelError
            If the graph lacks the output ``map``, or vectors are not its average.
        """
        if isinstance(photos, str | bytes | os.PathLike | Image.Image):
            photos = [photos]
        made = [self._regions(self.pixels(photo)) for photo in cast("Iterable[Any]", photos)]
        side = -(-self.preprocessing.size // 32)
        return np.stack(made) if made else np.empty((0, self.dim, side, side), np.float32)

    def _regions(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        regions: NDArray[np.float32]
        (vector,), (regions,) = self.runtime.run(pixels[None], ["vector", "map"])
        average = regions.mean(axis=(1, 2), dtype=np.float64)
        length = float(np.linalg.norm(average))
        # Float32 sums of 49 numbers agree to about 1e-6; a network that pools otherwise does not.
        if np.linalg.norm(vector - average) > 1e-3 * length:
            raise ModelError(
                "the graph's output 'vector' is not the average of its output 'map', so no region "
                "has a share in it",
                remedy="Use a network that ends in average pooling",
            )
        if self.normalise and length > 0:
            regions = (regions / length).astype(np.float32)
        return regions

    def embed_files(
        self, paths: Iterable[bytes]
    ) -> Iterator[tuple[bytes, NDArray[np.float32] | Skipped]]:
        """Yield for each file, in order, its vector (dim,) or why there is none."""
        for batch in self.stream(paths, self._try_shape):
            for photo, vector in batch:
                if vector is None:
                    yield photo.path, Skipped(photo.path, photo.reason or "")
                else:
                    yield photo.path, vector

    def _shape(self, photo: Any) -> _Photo:
        path = b"" if isinstance(photo, Image.Image) else os.fsencode(photo)
        return _Photo(path, self.pixels(photo))

    def _try_shape(self, path: bytes) -> _Photo:
        try:
            return self._shape(path)
        except ImageError as error:
            return _Photo(path, None, error.reason)

    def stream(
        self, sources: Iterable[S], prepare: Callable[[S], P]
    ) -> Generator[list[tuple[P, NDArray[np.float32] | None]]]:
        """Prepare sources and embed them in batches; see `houndsight.streaming.stream`."""
        # Larger squares go in smaller batches: memory stays the same.
        smaller = (self.model.input_size / self.preprocessing.size) ** 2
        yield from stream(self.runtime, self._vectors, sources, prepare, room=min(1.0, smaller))

    def _vectors(self, runtime: Runtime, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        (vectors,) = runtime.run(pixels, ["vector"])
        if self.normalise:
            lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
            # A vector of zeros has no direction: it stays as it is.
            return (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
        return vectors


def _catalogued(model: str) -> ModelSpec:
    """Return a model of the catalogue; the error says that there can be others."""
    try:
        return spec(model)
    except ModelError as error:
        raise ModelError(
            error.cause, remedy=f"{error.remedy}; or name a file that ends in .onnx"
        ) from None


def _digest(network: bytes) -> str:
    return hashlib.sha256(network).hexdigest()


def _graph_name(model: ModelSpec) -> str:
    return f"{model.architecture}/{GRAPH_VERSION}"
