"""Small ONNX networks made by hand, and what they compute, plainly."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PATCH, DIM = 8, 6
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
FLOAT = TensorProto.FLOAT


def kernel(seed=0):
    """Weights of one convolution, float32 (DIM, 3, PATCH, PATCH)."""
    return np.random.default_rng(seed).normal(0, 0.1, (DIM, 3, PATCH, PATCH)).astype(np.float32)


def patches(pixels, seed=0):
    """What the convolution makes of pixels (n, 3, h, w): float64 (n, DIM, h / PATCH, w / PATCH)."""
    n, _, high, wide = pixels.shape
    grid = pixels.reshape(n, 3, high // PATCH, PATCH, wide // PATCH, PATCH)
    return np.einsum("ncyaxb,dcab->ndyx", grid.astype(np.float64), kernel(seed).astype(np.float64))


def network(
    outputs=("map",),
    *,
    side=None,
    batch="n",
    seed=0,
    kind=FLOAT,
    last=False,
    inputs=1,
):
    """Return an ONNX model of one convolution, with the outputs that are named.

    ``map`` (n, DIM, y, x), ``tokens`` (n, y * x, DIM), ``pooled`` (n, DIM), ``flat`` (n * DIM),
    ``whole`` (n, DIM) as integers.
    """
    side = side or "side"
    weight = numpy_helper.from_array(kernel(seed), "kernel")
    nodes, x = [], "pixels"
    if last:
        nodes.append(helper.make_node("Transpose", [x], ["first"], perm=[0, 3, 1, 2]))
        x = "first"
    if kind != FLOAT:
        nodes.append(helper.make_node("Cast", [x], ["cast"], to=FLOAT))
        x = "cast"
    size = [PATCH, PATCH]
    nodes.append(helper.make_node("Conv", [x, "kernel"], ["m"], kernel_shape=size, strides=size))
    shape = numpy_helper.from_array(np.array([0, DIM, -1]), "shape")
    one = numpy_helper.from_array(np.array([-1]), "one")
    made = {
        "map": [("Identity", ["m"], {})],
        "tokens": [("Reshape", ["m", "shape"], {}), ("Transpose", [None], {"perm": [0, 2, 1]})],
        "pooled": [("GlobalAveragePool", ["m"], {}), ("Flatten", [None], {})],
        "flat": [("GlobalAveragePool", ["m"], {}), ("Reshape", [None, "one"], {})],
        "whole": [
            ("GlobalAveragePool", ["m"], {}),
            ("Flatten", [None], {}),
            ("Cast", [None], {"to": TensorProto.INT64}),
        ],
    }
    for name in outputs:
        before = None
        for number, (operator, given, attributes) in enumerate(made[name]):
            final = number == len(made[name]) - 1
            after = name if final else f"{name}_{number}"
            given = [before if one is None else one for one in given]
            nodes.append(helper.make_node(operator, given, [after], **attributes))
            before = after
    axes = {"map": 4, "tokens": 3, "pooled": 2, "flat": 1, "whole": 2}
    takes = [batch, side, side, 3] if last else [batch, 3, side, side]
    graph = helper.make_graph(
        nodes,
        "handmade",
        [helper.make_tensor_value_info("pixels", kind, takes)]
        + [helper.make_tensor_value_info(f"more_{n}", FLOAT, [1]) for n in range(inputs - 1)],
        [
            helper.make_tensor_value_info(
                name, TensorProto.INT64 if name == "whole" else FLOAT, [None] * axes[name]
            )
            for name in outputs
        ],
        [weight, shape, one],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def save(path, *outputs, **options):
    """Write such a network to a file; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(network(outputs or ("map",), **options), path)
    return path
