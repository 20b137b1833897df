"""ResNets in torchvision's layout, of bottleneck blocks or of basic ones.

He et al., "Deep Residual Learning for Image Recognition", 2015. A bottleneck that halves the map
does so in its 3 x 3 convolution as in torchvision, or in its first 1 x 1 convolution as in the
paper; a basic block, of two 3 x 3 convolutions, in its first.
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

__all__ = ["ResNet"]

_NORM: Final = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, slots=True)
class _Block:
    """One block: its prefix in the checkpoint, its channels, its stride."""

    prefix: str
    inputs: int
    width: int
    outputs: int
    stride: int
    projected: bool  # whether the shortcut has a convolution


@dataclass(frozen=True, slots=True)
class _Convolution:
    inputs: int
    outputs: int
    kernel: int
    stride: int


@dataclass(frozen=True, slots=True)
class ResNet:
    """A ResNet as data.

    Attributes
    ----------
    name
        For messages.
    blocks
        Blocks in each stage; every stage but the first halves the map.
    width
        Channels after the stem; doubled by every stage.
    expansion
        Output channels of a block, in multiples of its width.
    basic
        Whether blocks are basic ones, as in ResNet-18 and 34.
    epsilon
        What batch norms add to the variance; `torch.nn.BatchNorm2d`'s default.
    strided
        Which convolution of a bottleneck halves the map, 1 or 2.
    biases
        Whether convolutions have a bias of their own.
    """

    name: str = "resnet50"
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    expansion: int = 4
    basic: bool = False
    epsilon: float = 1e-5
    strided: int = 2
    biases: bool = False

    ignored: ClassVar[tuple[str, ...]] = ("fc.",)

    @property
    def dim(self) -> int:
        """Length of the vector."""
        return (self.width << (len(self.blocks) - 1)) * self.expansion

    def _blocks(self) -> Iterator[_Block]:
        inputs = self.width
        for stage, count in enumerate(self.blocks):
            width = self.width << stage
            for index in range(count):
                yield _Block(
                    prefix=f"layer{stage + 1}.{index}",
                    inputs=inputs,
                    width=width,
                    outputs=width * self.expansion,
                    stride=2 if stage and not index else 1,
                    projected=not index and (stage > 0 or inputs != width * self.expansion),
                )
                inputs = width * self.expansion

    def _convolutions(self, block: _Block) -> list[_Convolution]:
        """Return the convolutions of a block, one after another."""
        inputs, width, outputs, stride = block.inputs, block.width, block.outputs, block.stride
        if self.basic:
            return [_Convolution(inputs, width, 3, stride), _Convolution(width, outputs, 3, 1)]
        first, second = (stride, 1) if self.strided == 1 else (1, stride)
        return [
            _Convolution(inputs, width, 1, first),
            _Convolution(width, width, 3, second),
            _Convolution(width, outputs, 1, 1),
        ]

    def expected(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor that is used."""
        shapes: dict[str, tuple[int, ...]] = {}

        def layer(conv: str, norm: str, outputs: int, inputs: int, kernel: int) -> None:
            shapes[f"{conv}.weight"] = (outputs, inputs, kernel, kernel)
            if self.biases:
                shapes[f"{conv}.bias"] = (outputs,)
            shapes.update({f"{norm}.{part}": (outputs,) for part in _NORM})

        layer("conv1", "bn1", self.width, 3, 7)
        for block in self._blocks():
            at = block.prefix
            for n, one in enumerate(self._convolutions(block), start=1):
                layer(f"{at}.conv{n}", f"{at}.bn{n}", one.outputs, one.inputs, one.kernel)
            if block.projected:
                layer(f"{at}.downsample.0", f"{at}.downsample.1", block.outputs, block.inputs, 1)
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
            Tensors by their names in torchvision; ``fc.*`` and ``num_batches_tracked`` are ignored.

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
        net = GraphBuilder(self.select(weights), epsilon=self.epsilon)
        x = net.relu(net.conv("pixels", "conv1", "bn1", strides=[2, 2], pads=[3, 3, 3, 3]))
        x = net.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        for block in self._blocks():
            at, shortcut = block.prefix, x
            if block.projected:
                strides = [block.stride, block.stride]
                shortcut = net.conv(x, f"{at}.downsample.0", f"{at}.downsample.1", strides=strides)
            for n, one in enumerate(self._convolutions(block), start=1):
                x = net.conv(
                    net.relu(x) if n > 1 else x,
                    f"{at}.conv{n}",
                    f"{at}.bn{n}",
                    strides=[one.stride, one.stride],
                    pads=[one.kernel // 2] * 4,
                )
            x = net.relu(net.node("Add", [x, shortcut]))
        return net.finish(x, self.dim)
