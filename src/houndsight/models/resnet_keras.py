"""ResNets as Keras publishes them: the weights of He et al., in Keras's names and layout.

As in the paper, a block that halves the map does so in its first 1 x 1 convolution. Convolutions
have biases; kernels are stored as (height, width, inputs, outputs). Keras puts zeros around the map
before the pooling of the stem, torchvision minus infinity: after a ReLU the greatest value is the
same. The network takes pixels in the order B, G, R, less their mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from houndsight.models.layers import select
from houndsight.models.resnet import ResNet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["KerasResNet"]

_NORM: Final = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_CONV: Final = {"weight": "kernel", "bias": "bias"}
_RESNET50: Final = ResNet(name="resnet50-keras", epsilon=1.001e-5, strided=1, biases=True)
# A block's layers are numbered 0 (its shortcut) to 3.
_BLOCK: Final = re.compile(r"layer(\d+)\.(\d+)\.(?:(conv|bn)(\d)|downsample\.([01]))\.(\w+)")


def _keras_name(name: str) -> str:
    """Return what Keras calls a tensor that torchvision calls by `name`."""
    found = _BLOCK.fullmatch(name)
    if found is None:
        kind, _, part = name.partition("1.")
        layer = f"conv1_{kind}"
    else:
        stage, block, kind, number, shortcut, part = found.groups()
        if shortcut is not None:
            kind, number = ("conv", "bn")[int(shortcut)], "0"
        layer = f"conv{int(stage) + 1}_block{int(block) + 1}_{number}_{kind}"
    return f"{layer}.{(_CONV if kind == 'conv' else _NORM)[part]}"


@dataclass(frozen=True, slots=True)
class KerasResNet:
    """A ResNet of Keras, computed by the one in torchvision's layout.

    Attributes
    ----------
    net
        The same network in torchvision's layout; its defaults are ResNet-50's.
    """

    net: ResNet = _RESNET50

    ignored: ClassVar[tuple[str, ...]] = ("predictions.", "probs.", "fc1000.")

    @property
    def name(self) -> str:
        """For messages."""
        return self.net.name

    @property
    def dim(self) -> int:
        """Length of the vector."""
        return self.net.dim

    def expected(self) -> dict[str, tuple[int, ...]]:
        """Return name (``conv1_conv.kernel``) and shape of every tensor that is used."""
        return {
            _keras_name(name): (*shape[2:], shape[1], shape[0]) if len(shape) == 4 else shape
            for name, shape in self.net.expected().items()
        }

    def select(
        self, weights: Mapping[str, NDArray[Any]], path: Path | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Return the tensors that are used, checked by name and shape.

        Raises
        ------
        CheckpointError
            Tensors are missing, surplus, or of another shape.
        """
        return select(
            weights, self.expected(), architecture=self.name, ignored=self.ignored, path=path
        )

    def graph(self, weights: Mapping[str, NDArray[Any]]) -> bytes:
        """Build the network; see `ResNet.graph`.

        Parameters
        ----------
        weights
            Tensors by layer and variable; the classifier's are ignored.

        Raises
        ------
        CheckpointError
            Tensors are missing, surplus, of another shape, or not finite.
        """
        used = self.select(weights)
        renamed = {name: used[_keras_name(name)] for name in self.net.expected()}
        return self.net.graph(
            {
                name: array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
                for name, array in renamed.items()
            }
        )
