"""Graphs in narrower numbers: quicker, at the price of a little accuracy.

8-bit integers, for CPUs: static quantization by ONNX Runtime, unsigned activations by the least and
greatest value seen on calibration photos, signed weights for each output channel. Weights use 7
bits: with 8, processors without VNNI instructions overflow, and would make other vectors than those
with them. Half precision, for GPUs: weights and activations in float16.
"""

import contextlib
import logging
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["halved", "left_in_float", "quantized"]


def left_in_float(graph: bytes) -> dict[str, list[str]]:
    """Return which nodes might be left in float32, by a name for people; the fastest choice first.

    The first convolution sees the pixels, and what it loses all others lack. The last stage, from
    the last convolution with a stride on, makes the vector.
    """
    nodes = [node for node in _parsed(graph).graph.node if node.name]
    names = [node.name for node in nodes]
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    first = convolutions[0].name
    strided = [node.name for node in convolutions if _stride(node) > 1]
    last = names[names.index(strided[-1]) :]
    return {
        "none": [],
        "first convolution": [first],
        "first convolution, last stage": [first, *last],
    }


def _parsed(graph: bytes) -> Any:
    import onnx

    return onnx.load_model_from_string(graph)


def _stride(node: Any) -> int:
    return max((max(a.ints) for a in node.attribute if a.name == "strides"), default=1)


def quantized(graph: bytes, pixels: NDArray[np.float32], float32: Collection[str] = ()) -> bytes:
    """Return a graph with integer weights and activations.

    Parameters
    ----------
    graph
        A serialized ONNX model with one input.
    pixels
        float32 (n, 3, h, w), what the network takes of calibration photos.
    float32
        Names of the nodes that stay as they are; pooling at the end always does.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = _parsed(graph)
    # The vector stays the average of the map, which says what part each region has in it; pooling
    # takes next to no time.
    pooling = [node.name for node in model.graph.node if node.op_type == "GlobalAveragePool"]
    add_pre_process_metadata(model)  # shapes are known and batch norms folded: else it would warn
    name = model.graph.input[0].name

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(pixels)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            one = next(self.left, None)
            return None if one is None else {name: one[None]}

    with tempfile.TemporaryDirectory() as folder, _root_logger_left_alone():
        path = Path(folder) / "network.onnx"
        quantization.quantize_static(
            model,
            path,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            per_channel=True,
            reduce_range=True,
            nodes_to_exclude=[*float32, *pooling],
        )
        return path.read_bytes()


def halved(graph: bytes) -> bytes:
    """Return a graph that computes in float16; it takes and gives float32 as before."""
    before = list(sys.path)
    from onnxruntime.transformers.float16 import convert_float_to_float16

    sys.path[:] = before  # that package puts itself there
    made: bytes = convert_float_to_float16(_parsed(graph), keep_io_types=True).SerializeToString()
    return made


@contextlib.contextmanager
def _root_logger_left_alone() -> Iterator[None]:
    """Keep ONNX Runtime's calls of `logging.info` from configuring the root logger."""
    root, nothing = logging.getLogger(), logging.NullHandler()
    root.addHandler(nothing)
    try:
        yield
    finally:
        root.removeHandler(nothing)
