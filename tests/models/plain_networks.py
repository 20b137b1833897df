"""Networks computed plainly, with loops and einsum in float64."""

import math

import numpy as np


def conv(x, weight, stride=1, pads=((0, 0), (0, 0)), depthwise=False):
    kernel = weight.shape[2:]
    x = np.pad(x, ((0, 0), (0, 0), *pads))
    high, wide = ((x.shape[2 + i] - kernel[i]) // stride + 1 for i in (0, 1))
    out = 0
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            patch = x[:, :, row : row + stride * high : stride]
            patch = patch[:, :, :, column : column + stride * wide : stride]
            taps = weight[:, :, row, column].astype(np.float64)
            if depthwise:
                out = out + patch * taps[:, 0][:, None, None]
            else:
                out = out + np.einsum("nchw,oc->nohw", patch, taps)
    return out


def same(x, kernel, stride):
    """TensorFlow's SAME: ceil(size / stride) outputs, the odd pixel at the end."""
    pads = []
    for size in x.shape[2:]:
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        pads.append((total // 2, total - total // 2))
    return tuple(pads)


def norm(x, weights, name, epsilon):
    gamma, beta, mean, variance = (
        weights[f"{name}.{part}"].astype(np.float64)[:, None, None]
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def max_pool(x):
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    high, wide = ((size - 3) // 2 + 1 for size in x.shape[2:])
    taps = [
        x[:, :, row : row + 2 * high : 2, column : column + 2 * wide : 2]
        for row in range(3)
        for column in range(3)
    ]
    return np.max([tap[:, :, :high, :wide] for tap in taps], axis=0)


def relu(x):
    return np.maximum(x, 0)


def relu6(x):
    return np.clip(x, 0, 6)


def resnet(net, weights, x):
    """The map of a ResNet, float64."""

    def layer(x, at, conv_name, norm_name, **options):
        y = conv(x, weights[f"{at}{conv_name}.weight"], **options)
        return norm(y, weights, f"{at}{norm_name}", 1e-5)

    one = ((1, 1), (1, 1))
    x = relu(layer(x.astype(np.float64), "", "conv1", "bn1", stride=2, pads=((3, 3), (3, 3))))
    x = max_pool(x)
    for stage, count in enumerate(net.blocks):
        for index in range(count):
            at = f"layer{stage + 1}.{index}."
            stride = 2 if stage > 0 and index == 0 else 1
            if net.basic:
                y = relu(layer(x, at, "conv1", "bn1", stride=stride, pads=one))
                y = layer(y, at, "conv2", "bn2", pads=one)
            else:
                y = relu(layer(x, at, "conv1", "bn1"))
                y = relu(layer(y, at, "conv2", "bn2", stride=stride, pads=one))
                y = layer(y, at, "conv3", "bn3")
            if stride == 2 or x.shape[1] != y.shape[1]:
                x = layer(x, at, "downsample.0", "downsample.1", stride=stride)
            x = relu(x + y)
    return x


def efficientnet_lite(net, weights, x):
    """The map of an EfficientNet-Lite, float64."""

    def layer(x, conv_name, norm_name, stride=1, **options):
        weight = weights[f"{conv_name}.weight"]
        y = conv(x, weight, stride, same(x, weight.shape[2], stride), **options)
        return norm(y, weights, norm_name, 1e-3)

    x = relu6(layer(x.astype(np.float64), "_conv_stem", "_bn0", stride=2))
    number = 0
    for stage in net.stages:
        for index in range(stage.repeats):
            at, y = f"_blocks.{number}.", x
            stride = stage.stride if index == 0 else 1
            if stage.expand != 1:
                y = relu6(layer(y, at + "_expand_conv", at + "_bn0"))
            y = layer(y, at + "_depthwise_conv", at + "_bn1", stride=stride, depthwise=True)
            y = layer(relu6(y), at + "_project_conv", at + "_bn2")
            x = x + y if stride == 1 and x.shape[1] == y.shape[1] else y
            number += 1
    return relu6(layer(x, "_conv_head", "_bn1"))


def random_weights(net, seed=0):
    """Weights that keep values of the order of one from layer to layer."""
    random = np.random.default_rng(seed)
    weights = {}
    for name, shape in net.expected().items():
        if len(shape) == 4:
            values = random.normal(0, math.sqrt(2 / math.prod(shape[1:])), shape)
        elif name.endswith("running_var"):
            values = random.uniform(0.5, 1.5, shape)
        elif name.endswith(".weight"):
            values = random.uniform(0.7, 1.3, shape)
        else:
            values = random.normal(0, 0.3, shape)
        weights[name] = values.astype(np.float32)
    return weights
