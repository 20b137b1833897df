"""Which object builds which architecture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from houndsight.errors import ModelError
from houndsight.models.efficientnet_lite import EfficientNetLite
from houndsight.models.resnet import ResNet
from houndsight.models.resnet_keras import KerasResNet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ARCHITECTURES", "Architecture", "architecture"]


class Architecture(Protocol):
    """Turns weights into a graph; see `houndsight.models.resnet.ResNet`."""

    @property
    def dim(self) -> int:
        """Length of the vector."""
        ...

    def expected(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor that is used."""
        ...

    def select(
        self, weights: Mapping[str, NDArray[Any]], path: Path | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Return the tensors that are used, checked by name and shape."""
        ...

    def graph(self, weights: Mapping[str, NDArray[Any]]) -> bytes:
        """Return the network as a serialized ONNX model."""
        ...


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "resnet18": ResNet("resnet18", blocks=(2, 2, 2, 2), expansion=1, basic=True),
        "resnet34": ResNet("resnet34", blocks=(3, 4, 6, 3), expansion=1, basic=True),
        "resnet50": ResNet(),
        "resnet101": ResNet("resnet101", blocks=(3, 4, 23, 3)),
        "resnet152": ResNet("resnet152", blocks=(3, 8, 36, 3)),
        "resnet50-keras": KerasResNet(),
        "efficientnet-lite0": EfficientNetLite(),
    }
)


def architecture(name: str) -> Architecture:
    """Return the architecture of that name.

    Raises
    ------
    ModelError
        No architecture has that name; the message lists those there are.
    """
    try:
        return ARCHITECTURES[name]
    except KeyError:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ModelError(
            f"no architecture is called {name!r}", remedy=f"Choose one of: {known}"
        ) from None
