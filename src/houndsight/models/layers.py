"""Builds ONNX graphs layer by layer, batch norms folded into the convolutions before them."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from houndsight.errors import CheckpointError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["GraphBuilder", "select"]

# Old enough for every onnxruntime that is supported, and new enough for all that is used here.
_OPSET: Final = 17
_IR_VERSION: Final = 8
_NAMED: Final = 3  # how many names a message lists


def _some(names: Collection[str]) -> str:
    listed = ", ".join(sorted(names)[:_NAMED])
    more = len(names) - _NAMED
    return f"{listed} and {more} more" if more > 0 else listed


def select(
    weights: Mapping[str, NDArray[Any]],
    expected: Mapping[str, tuple[int, ...]],
    *,
    architecture: str,
    ignored: tuple[str, ...],
    path: Path | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Return the tensors that an architecture uses, after checking that they are its own.

    Parameters
    ----------
    weights
        All tensors of a checkpoint.
    expected
        Name and shape of every tensor that is used.
    architecture
        Its name, for messages.
    ignored
        Beginnings of the names that may be there and are not used: the classifier's. Batch norms'
        ``num_batches_tracked`` is never used.
    path
        The checkpoint's file, for messages.

    Raises
    ------
    CheckpointError
        Tensors are missing, surplus, or of another shape.
    """
    import numpy as np

    surplus = [
        name
        for name in weights
        if name not in expected and not name.startswith((*ignored, "num_batches_tracked"))
        if not name.endswith(".num_batches_tracked")
    ]
    missing = [name for name in expected if name not in weights]
    wrong = [
        f"{name} is {weights[name].shape} and not {shape}"
        for name, shape in expected.items()
        if name in weights and weights[name].shape != shape
    ]
    complaints = [
        f"{what} {_some(names)}"
        for what, names in (("lacks", missing), ("has besides", surplus), ("differs:", wrong))
        if names
    ]
    if complaints:
        raise CheckpointError(
            f"these are not the weights of a {architecture}: the file {'; it '.join(complaints)}",
            path=path,
            remedy="Give a file of that architecture, or name the model that it belongs to",
        )
    return {name: np.asarray(weights[name], np.float32) for name in expected}


class GraphBuilder:
    """Collects the nodes and constants of one graph.

    Values are known by the names that the methods return. The input is ``pixels``, float32
    (n, 3, h, w); n, h and w are free.

    Parameters
    ----------
    weights
        The tensors to take constants from.
    epsilon
        What batch norms add to the variance.
    """

    def __init__(self, weights: Mapping[str, NDArray[np.float32]], *, epsilon: float) -> None:
        self._weights = weights
        self._epsilon = epsilon
        self._nodes: list[Any] = []
        self._constants = io.BytesIO()
        self._names: set[str] = set()

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node with one output, and return that output's name."""
        import onnx

        output = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(
            onnx.helper.make_node(operator, inputs, [output], name=output, **attributes)
        )
        return output

    def constant(self, name: str, values: NDArray[np.float32]) -> str:
        """Add a constant, unless one of that name is there, and return its name."""
        import onnx

        if name not in self._names:
            self._names.add(name)
            model = onnx.ModelProto()
            model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
            # Encoded messages that are written one after another are one message
            # (protobuf.dev/programming-guides/encoding, "Last One Wins"). Kept this way the
            # constants are in memory once and not three times, 94 MB each for a ResNet-50.
            self._constants.write(model.SerializeToString(deterministic=True))
        return name

    def conv(self, x: str, name: str, norm: str, **attributes: Any) -> str:
        """Add a convolution and the batch norm after it, as one convolution.

        With scale = gamma / sqrt(variance + epsilon), the batch norm of a convolution is the
        convolution with weight * scale and bias beta + (bias - mean) * scale (Ioffe and Szegedy,
        2015, section 3.1; `torch.nn.utils.fusion.fuse_conv_bn_weights` does the same). It is
        computed in float64 and rounded once. A convolution need not have a bias.

        Parameters
        ----------
        x
            The value to convolve.
        name, norm
            Names of the convolution and of the batch norm in the checkpoint.
        **attributes
            Of ONNX's Conv: ``strides``, ``pads`` or ``auto_pad``, ``group``.

        Raises
        ------
        CheckpointError
            The folded weights are not finite numbers.
        """
        import numpy as np

        weight = self._weights[f"{name}.weight"]
        gamma, beta, mean, variance = (
            self._weights[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        own = self._weights.get(f"{name}.bias", np.float32(0)).astype(np.float64)
        with np.errstate(all="ignore"):  # told in words below
            scale = gamma / np.sqrt(variance + self._epsilon)
            folded = (weight * scale[:, None, None, None]).astype(np.float32)
            bias = (beta + (own - mean) * scale).astype(np.float32)
        if not (np.isfinite(folded).all() and np.isfinite(bias).all()):
            raise CheckpointError(
                f"the weights of {name} and {norm} are not finite numbers",
                remedy="The file is damaged or its training failed: use another",
            )
        inputs = [
            x,
            self.constant(f"{name}.weight", folded),
            self.constant(f"{name}.bias", bias),
        ]
        return self.node("Conv", inputs, kernel_shape=list(weight.shape[2:]), **attributes)

    def relu(self, x: str) -> str:
        """Add max(x, 0)."""
        return self.node("Relu", [x])

    def relu6(self, x: str) -> str:
        """Add min(max(x, 0), 6)."""
        import numpy as np

        limits = [self.constant(str(limit), np.array(limit, np.float32)) for limit in (0, 6)]
        return self.node("Clip", [x, *limits])

    def finish(self, x: str, dim: int) -> bytes:
        """Make `x` the output ``map`` and its mean over positions the output ``vector``.

        Returns
        -------
        bytes
            The model, serialized.
        """
        import onnx

        tensor = onnx.helper.make_tensor_value_info
        float32 = onnx.TensorProto.FLOAT
        pooled = self.node("GlobalAveragePool", [x])
        ends = [
            onnx.helper.make_node("Identity", [x], ["map"]),
            onnx.helper.make_node("Flatten", [pooled], ["vector"]),
        ]
        model = onnx.ModelProto(
            ir_version=_IR_VERSION,
            producer_name="houndsight",
            opset_import=[onnx.helper.make_opsetid("", _OPSET)],
        )
        model.graph.name = "houndsight"
        model.graph.node.extend([*self._nodes, *ends])
        model.graph.input.append(tensor("pixels", float32, ["n", 3, "h", "w"]))
        model.graph.output.append(tensor("vector", float32, ["n", dim]))
        model.graph.output.append(tensor("map", float32, ["n", dim, "map_h", "map_w"]))
        # Equal weights must give equal bytes: the graph is part of an embedder's fingerprint.
        self._constants.write(model.SerializeToString(deterministic=True))
        return self._constants.getvalue()
