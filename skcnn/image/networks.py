"""Build Keras models from architectures."""

from __future__ import annotations

import math
from collections import Counter
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from .._keras import keras
from .._training.network import check_size, keep_weights
from .._training.optimizers import HIDDEN_LAYER, OUTPUT_LAYERS
from .layers import FusedBatchNormalization, gelu
from .notation import (
    ACTIVATIONS,
    Conv,
    Dense,
    Dropout,
    GlobalPool,
    Layer,
    Pool,
    Residual,
    Simple,
    parse,
)

# With Keras's default of 0.99, the statistics would lag hundreds of batches behind the weights.
BATCH_NORM_MOMENTUM = 0.6

# A last layer that reads a map of more numbers starts at zero and is trained at a smaller rate, as
# a step of Adam changes each weight by about the rate, so that the outputs change in proportion to
# the number of inputs (G. Yang et al., "Tensor Programs V", 2022).
# docs/guide/small_data.rst has MiniCNN with and without it. With 512, its textures have 0.987, its
# stripes 0.930, rings 0.867, CIFAR-10 0.358 and Fashion-MNIST 0.827. On a last layer that reads
# 300 hidden units, as that of FeedForward, it costs half a point of the digits.
MANY_INPUTS = 128

POOL_LAYERS = {"POOL": keras.layers.MaxPooling2D, "AVGPOOL": keras.layers.AveragePooling2D}


def build_network(
    *,
    architecture: str,
    input_shape: tuple[int, int, int],
    n_outputs: int,
    batch_norm: bool,
    standardize: bool,
    activation: str = "softmax",
    dtype: str = "float32",
    fused: bool = False,
) -> keras.Model:
    """Build the Keras model of an architecture.

    Parameters
    ----------
    architecture : str
        The layers.
    input_shape : tuple of (height, width, channels)
        Shape of one image.
    n_outputs : int
        Number of units of the last layer.
    batch_norm : bool
        Add batch normalization after each convolution that is not followed by BN.
    standardize : bool
        Start with a layer that subtracts the mean and divides by the standard deviation of each
        channel. They are initialized to 0 and 1; :func:`set_standardization` sets them.
    activation : {"softmax", "sigmoid", "linear"}
        Activation of the last layer, FCS.
    dtype : str
        Keras dtype policy of all layers but the last, whose output is float32.
    fused : bool
        Use layers that train faster than those of Keras, or avoid bugs in TensorFlow, with the
        same weights.

    Returns
    -------
    keras.Model
        Not compiled. The weights come from a fixed seed and are drawn again before training. The
        inputs of the last layer are the features.

    Raises
    ------
    ValueError
        If the network has more layers or parameters than can be trained.
    """
    layers = parse(architecture)
    size = _Size(batch_norm, fused)
    size.add_network(layers, input_shape, n_outputs, standardize)
    check_size("architecture", size.n_layers, size.n_parameters)
    builder = _Builder(batch_norm, dtype, fused)
    inputs = keras.Input(input_shape, name="image", dtype="float32")
    # Unlike a Normalization layer, a frozen BatchNormalization holds the statistics in variables
    # instead of constants, so that a traced training step can be used for other data.
    outputs = inputs
    if standardize:
        outputs = keras.layers.BatchNormalization(
            center=False,
            scale=False,
            epsilon=0.0,
            trainable=False,
            name="standardize",
            dtype="float32",
        )(inputs)
    outputs = builder.apply(outputs, layers[:-1])
    features = builder.flatten(outputs)
    reads_map = len(outputs.shape) > 2 and features.shape[-1] > MANY_INPUTS
    outputs = add_output(features, n_outputs, activation, from_zero=reads_map)
    model = keras.Model(inputs, outputs, name="network")
    if reads_map:
        model.layers[-1].kernel.learning_rate_share = MANY_INPUTS / features.shape[-1]
    return model


def add_output(
    features: keras.KerasTensor, n_outputs: int, activation: str, *, from_zero: bool
) -> keras.KerasTensor:
    """Add a last layer.

    With fewer samples than features, training does not change what a random kernel makes of
    directions without samples, so it would stay. MobileNetV2, the last layer alone, random and
    zero: 100 images of CIFAR-10 (JPEG copy) 0.458 and 0.498, 200 images 0.556 and 0.573, 2,000
    images 0.676 and 0.680; 142 photographs of 97 px 0.843 and 0.854, of 224 px 0.907 and 0.916.
    For MiniCNN see ``docs/guide/small_data.rst``.
    """
    layer = keras.layers.Dense(
        n_outputs,
        activation=activation,
        kernel_initializer="zeros" if from_zero else keras.initializers.GlorotUniform(seed=0),
        name=OUTPUT_LAYERS[activation],
        dtype="float32",
    )
    if from_zero:
        keep_weights(layer)
    return layer(features)


def set_standardization(
    model: keras.Model, mean: NDArray[np.float64], variance: NDArray[np.float64]
) -> None:
    """Set the channel statistics of the standardization layer of a model."""
    model.get_layer("standardize").set_weights([mean, variance])


class _Builder:
    """Add layers to a functional model and number their names.

    All initializers and random layers have a seed; otherwise Keras would draw one from Python's
    global generator.
    """

    def __init__(self, batch_norm: bool, dtype: str, fused: bool) -> None:
        self.batch_norm = batch_norm
        self.dtype = dtype
        self.fused = fused
        self.norm = FusedBatchNormalization if fused else keras.layers.BatchNormalization
        self.counts: Counter[str] = Counter()

    def name(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"{kind}_{self.counts[kind]}"

    def apply(self, x: keras.KerasTensor, layers: tuple[Layer, ...]) -> keras.KerasTensor:
        for layer, follower in zip_longest(layers, layers[1:]):
            match layer:
                case Conv():
                    x = self.convolution(x, layer, followed_by_norm=follower == Simple("BN"))
                case Pool(name, size):
                    x = POOL_LAYERS[name](
                        size,
                        padding="same",
                        data_format="channels_last",
                        name=self.name(name.lower()),
                        dtype=self.dtype,
                    )(x)
                case Dense(units):
                    x = self.dense(self.flatten(x), units)
                case Dropout(rate):
                    x = keras.layers.Dropout(
                        rate, seed=0, name=self.name("dropout"), dtype=self.dtype
                    )(x)
                case Residual(body):
                    x = self.residual(x, body)
                case Simple("BN"):
                    x = self.normalization(x)
                case GlobalPool(size):
                    x = self.global_pooling(x, size)
                case Simple(name):
                    activation = gelu if self.fused and name == "GELU" else ACTIVATIONS[name]
                    x = keras.layers.Activation(
                        activation, name=self.name(name.lower()), dtype=self.dtype
                    )(x)
        return x

    def convolution(
        self, x: keras.KerasTensor, layer: Conv, *, followed_by_norm: bool
    ) -> keras.KerasTensor:
        add_norm = self.batch_norm and not followed_by_norm
        strides = layer.strides
        if self.fused and layer.kernel_size == 1 and strides > 1:
            x, strides = self.subsample(x, strides), 1
        x = keras.layers.Conv2D(
            layer.filters,
            layer.kernel_size,
            strides=strides,
            padding="same",
            data_format="channels_last",
            use_bias=not (add_norm or followed_by_norm),  # redundant before a normalization
            kernel_initializer=keras.initializers.GlorotUniform(seed=0),
            name=self.name("conv"),
            dtype="float32" if _one_column(x, strides) else self.dtype,
        )(x)
        return self.normalization(x) if add_norm else x

    def subsample(self, x: keras.KerasTensor, strides: int) -> keras.KerasTensor:
        """Keep the pixels that a strided 1x1 convolution reads.

        TensorFlow's filter gradient of a strided 1x1 convolution writes past the end of its
        buffer for some shapes, also in float32.
        """
        return keras.layers.AveragePooling2D(
            1,
            strides=strides,
            padding="same",
            data_format="channels_last",
            name=self.name("subsample"),
            dtype=self.dtype,
        )(x)

    def global_pooling(self, x: keras.KerasTensor, size: int) -> keras.KerasTensor:
        cell = _divided(x.shape[1:], size)[:-1]
        if size > 1 and cell == (1, 1):
            return x
        options = {"data_format": "channels_last", "dtype": self.dtype, "name": self.name("gap")}
        if size == 1:
            return keras.layers.GlobalAveragePooling2D(**options)(x)
        return keras.layers.AveragePooling2D(cell, padding="same", **options)(x)

    def normalization(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return self.norm(momentum=BATCH_NORM_MOMENTUM, name=self.name("bn"), dtype=self.dtype)(x)

    def dense(self, x: keras.KerasTensor, units: int) -> keras.KerasTensor:
        return keras.layers.Dense(
            units,
            kernel_initializer=keras.initializers.GlorotUniform(seed=0),
            name=self.name(HIDDEN_LAYER),
            dtype=self.dtype,
        )(x)

    def flatten(self, x: keras.KerasTensor) -> keras.KerasTensor:
        if len(x.shape) == 2:
            return x
        return keras.layers.Flatten(data_format="channels_last", name="flatten", dtype=self.dtype)(
            x
        )

    def residual(self, x: keras.KerasTensor, body: tuple[Layer, ...]) -> keras.KerasTensor:
        y = self.apply(x, body)
        if y.shape != x.shape:
            strides = math.prod(_strides(layer) for layer in body)
            projection = Conv(y.shape[-1], kernel_size=1, strides=strides)
            x = self.convolution(x, projection, followed_by_norm=False)
        return keras.layers.Add(name=self.name("add"), dtype=self.dtype)([x, y])


class _Size:
    """Count the Keras layers and the parameters of a network without building it."""

    def __init__(self, batch_norm: bool, fused: bool) -> None:
        self.batch_norm = batch_norm
        self.fused = fused
        self.n_layers = 0
        self.n_parameters = 0

    def add(self, n_parameters: int) -> None:
        self.n_layers += 1
        self.n_parameters += n_parameters

    def add_network(
        self,
        layers: tuple[Layer, ...],
        shape: tuple[int, ...],
        n_outputs: int,
        standardize: bool,
    ) -> None:
        self.add(0)
        if standardize:
            self.add(2 * shape[-1])
        self.add_dense(self.add_sequence(layers[:-1], shape), n_outputs)

    def add_sequence(self, layers: tuple[Layer, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
        for layer, follower in zip_longest(layers, layers[1:]):
            match layer:
                case Conv():
                    shape = self.add_convolution(layer, shape, follower == Simple("BN"))
                case Dense(units):
                    shape = self.add_dense(shape, units)
                case Residual(body):
                    shape = self.add_residual(body, shape)
                case Simple("BN"):
                    self.add(4 * shape[-1])
                case GlobalPool(size):
                    shape = self.add_global_pooling(shape, size)
                case _:
                    self.add(0)
            if isinstance(layer, Pool):
                shape = _divided(shape, layer.size)
        return shape

    def add_global_pooling(self, shape: tuple[int, ...], size: int) -> tuple[int, ...]:
        cell = _divided(shape, size)[:-1]
        if size == 1 or cell != (1, 1):
            self.add(0)
        sides = [-(-side // part) for side, part in zip(shape[:-1], cell, strict=True)]
        return shape[-1:] if size == 1 else (*sides, shape[-1])

    def add_convolution(
        self, layer: Conv, shape: tuple[int, ...], followed_by_norm: bool
    ) -> tuple[int, ...]:
        kernel = layer.kernel_size**2 * shape[-1] * layer.filters
        add_norm = self.batch_norm and not followed_by_norm
        if self.fused and layer.kernel_size == 1 < layer.strides:
            self.add(0)
        self.add(kernel + layer.filters * (not (add_norm or followed_by_norm)))
        if add_norm:
            self.add(4 * layer.filters)
        return (*_divided(shape, layer.strides)[:-1], layer.filters)

    def add_dense(self, shape: tuple[int, ...], units: int) -> tuple[int, ...]:
        if len(shape) > 1:
            self.add(0)
        self.add((math.prod(shape) + 1) * units)
        return (units,)

    def add_residual(self, body: tuple[Layer, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
        made = self.add_sequence(body, shape)
        if made != shape:
            strides = math.prod(map(_strides, body))
            self.add_convolution(Conv(made[-1], 1, strides), shape, False)
        self.add(0)
        return made


def _divided(shape: tuple[int, ...], strides: int) -> tuple[int, ...]:
    return (*(-(-side // strides) for side in shape[:-1]), shape[-1])


def _one_column(x: keras.KerasTensor, strides: int) -> bool:
    """Return whether the outputs of a strided convolution are one pixel wide.

    TensorFlow computes those incorrectly in bfloat16: if the stride exceeds the width, the filter
    gradient reads uninitialized memory; if it equals the width, some outputs are wrong.
    """
    return strides > 1 and x.shape[2] <= strides


def _strides(layer: Layer) -> int:
    match layer:
        case Conv(strides=strides):
            return strides
        case Pool(size=size):
            return size
        case Residual(body):
            return math.prod(_strides(inner) for inner in body)
    return 1
