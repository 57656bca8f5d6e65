"""Pretrained backbones: a table of keras.applications models, and networks built on them."""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._keras import keras
from .._training.fusing import fuse_normalizations
from .._training.network import keep_weights
from .networks import add_output, build_network

Array = NDArray[Any]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Backbone:
    """A network of keras.applications without its top.

    Attributes
    ----------
    file : str
        File name of the ImageNet weights in Keras's cache, with the placeholder ``{size}`` if
        they depend on the image size.
    blocks : str
        Regular expression. Layers whose names match with the same group form a block. Other
        layers belong to the block of the preceding layer, the first ones to block 0.
    mean, deviation : tuple of float
        Mean and standard deviation for normalizing pixels in [0, 255].
    sizes : tuple of int
        Sides of the square images for which there are separate ImageNet weights.
    usual : int
        Default side of the images.
    options : tuple of (name, value)
        Arguments of the function that builds it.
    """

    file: str
    blocks: str
    mean: Triple = (127.5, 127.5, 127.5)
    deviation: Triple = (127.5, 127.5, 127.5)
    sizes: tuple[int, ...] = ()
    usual: int = 224
    options: tuple[tuple[str, Any], ...] = ()


# Mean and standard deviation of the pixels of ImageNet.
OF_IMAGENET: dict[str, Any] = {
    "mean": (0.485 * 255, 0.456 * 255, 0.406 * 255),
    "deviation": (0.229 * 255, 0.224 * 255, 0.225 * 255),
}
NO_PREPROCESSING = (("include_preprocessing", False),)

BACKBONES = {
    "MobileNet": Backbone(
        "mobilenet_1_0_{size}_tf_no_top.h5",
        r"^conv_(?:dw|pw)_(\d+)",
        sizes=(128, 160, 192, 224),
    ),
    "MobileNetV2": Backbone(
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_{size}_no_top.h5",
        r"^(expanded_conv|block_\d+|Conv_1)",
        sizes=(96, 128, 160, 192, 224),
    ),
    "MobileNetV3Small": Backbone(
        "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        r"^(expanded_conv(?:_\d+)?|conv_1)",
        options=NO_PREPROCESSING,
    ),
    "MobileNetV3Large": Backbone(
        "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        r"^(expanded_conv(?:_\d+)?|conv_1)",
        options=NO_PREPROCESSING,
    ),
    # Its weights include the statistics of a Normalization layer: see `_fold_normalization`.
    "EfficientNetB0": Backbone(
        "efficientnetb0_notop.h5",
        r"^(block\d+[a-z]|top)",
        mean=(0.0, 0.0, 0.0),
        deviation=(1.0, 1.0, 1.0),
    ),
    "EfficientNetV2B0": Backbone(
        "efficientnetv2-b0_notop.h5",
        r"^(block\d+[a-z]|top)",
        options=NO_PREPROCESSING,
        **OF_IMAGENET,
    ),
    "ResNet50V2": Backbone(
        "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        r"^(conv\d_block\d+|post)",
    ),
    "DenseNet121": Backbone(
        "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
        r"^(conv\d_block\d+|pool[234]|bn$)",
        **OF_IMAGENET,
    ),
    "NASNetMobile": Backbone(
        "nasnet_mobile_no_top.h5",
        r"^(?:adjust|normal|reduction|separable).*?_((?:stem_|reduce_)?\d+)$",
    ),
    "ConvNeXtTiny": Backbone(
        "convnext_tiny_notop.h5",
        r"(stage_\d_block_\d|downsampling_block_\d)",
        options=NO_PREPROCESSING,
        **OF_IMAGENET,
    ),
}

SMALLEST = 32  # Keras's minimum for all of them

# Blocks of an skcnn network: one for each convolution and fully connected layer.
OWN_BLOCKS = r"^((?:conv|fc)_\d+)"

# Layers that keep their pretrained statistics during training.
FROZEN = (keras.layers.BatchNormalization, keras.layers.Normalization)


# Networks


@contextmanager
def _nothing_changed(dtype: str) -> Iterator[None]:
    """Set Keras's dtype policy; on exit, restore it and the state of Python's random module."""
    # Keras's initializers draw seeds from the random module even if they are not used.
    policy, state = keras.config.dtype_policy(), random.getstate()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(state)


def build_backbone(name: str, dtype: str = "float32", **options: Any) -> keras.Model:
    """Build a network of the table without its top."""
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "pretrained networks have channels last, but keras.config.image_data_format() is "
            f"{keras.config.image_data_format()!r}; call "
            "keras.config.set_image_data_format('channels_last') before fit."
        )
    build = getattr(keras.applications, name)
    options = {"weights": None, **dict(BACKBONES[name].options), **options}
    with _nothing_changed(dtype), warnings.catch_warnings():
        # `_size_of_imagenet` warns about sizes without weights instead of Keras.
        warnings.simplefilter("ignore")
        return build(include_top=False, **options)


def blocks_of(layers: list[keras.layers.Layer], pattern: str) -> list[int]:
    """Return the block number of each layer, starting from 0."""
    numbers: dict[str, int] = {}
    found, block = [], 0
    for layer in layers:
        match = re.search(pattern, layer.name)
        if match:
            block = numbers.setdefault(match[1], len(numbers) + 1)
        found.append(block)
    return found


def check_backbone(name: Any) -> str:
    """Check that a backbone is in the table, and return its name."""
    if name not in BACKBONES:
        raise ValueError(
            f"backbone must be a fitted image estimator or one of {', '.join(BACKBONES)}; got "
            f"{name!r}."
        )
    return str(name)


class Brought(NamedTuple):
    """Pretrained weights and the matching normalization of pixels.

    Attributes
    ----------
    arrays : tuple of ndarray
        The weights, in the order of the layers.
    mean, deviation : tuple of float or None
        Mean and standard deviation for normalizing pixels in [0, 255]. None if the arrays
        include them.
    sha256 : str
        The hash of the file, or of the arrays.
    """

    arrays: tuple[Array, ...]
    mean: Triple | None
    deviation: Triple | None
    sha256: str


def build_features(
    *,
    backbone: Any,
    input_shape: tuple[int, int, int],
    weights: Brought | None = None,
    dtype: str = "float32",
) -> keras.Model:
    """Build a backbone as a feature extractor.

    Parameters
    ----------
    backbone : str or tuple
        A name in the table, or the arguments of an skcnn network.
    input_shape : tuple of (height, width, channels)
        Shape of one image, with one or three channels.
    weights : Brought, default=None
        Initial weights of the backbone. None if they are set later.
    dtype : str
        Keras dtype policy of the backbone.

    Returns
    -------
    keras.Model
        The input of its last layer are the features.
    """
    inputs, features = _start(backbone, input_shape, weights, 0, 1.0, dtype)
    outputs = keras.layers.Flatten(name="output", dtype="float32")(features)
    return keras.Model(inputs, outputs, name="network")


def build_pretrained(
    *,
    backbone: Any,
    input_shape: tuple[int, int, int],
    n_outputs: int,
    activation: str,
    weights: Brought | None = None,
    trainable: int | str = 0,
    layer_decay: float = 1.0,
    dropout: float = 0.0,
    dtype: str = "float32",
    fused: bool = False,
) -> keras.Model:
    """Build a backbone with a new head.

    Parameters
    ----------
    backbone, input_shape, weights, dtype
        As in :func:`build_features`.
    n_outputs : int
        Units of the last layer.
    activation : {"softmax", "sigmoid", "linear"}
        Activation of the last layer.
    trainable : int or "all", default=0
        Number of blocks to train, counted from the top of the backbone.
    layer_decay : float, default=1.0
        Factor of the learning rate from each block to the one below it.
    dropout : float, default=0.0
        Dropout rate of the features.
    fused : bool, default=False
        Whether to compute convolutions with the batch normalizations after them.

    Returns
    -------
    keras.Model
        Not compiled.
    """
    inputs, features = _start(backbone, input_shape, weights, trainable, layer_decay, dtype)
    outputs = head(features, n_outputs, activation, dropout)
    model = keras.Model(inputs, outputs, name="network")
    if fused:
        fuse_normalizations(model.layers)
    return model


def build_head(
    *, n_features: int, n_outputs: int, activation: str, dropout: float, dtype: str = "float32"
) -> keras.Model:
    """Build only the head of :func:`build_pretrained`, to train it on features."""
    features = keras.Input((n_features,), name="features", dtype="float32")
    return keras.Model(features, head(features, n_outputs, activation, dropout), name="head")


def head(features: Any, n_outputs: int, activation: str, dropout: float) -> Any:
    """Add dropout and a last layer, which starts at zero, to features."""
    if dropout:
        features = keras.layers.Dropout(dropout, seed=0, name="dropout", dtype="float32")(features)
    return add_output(features, n_outputs, activation, from_zero=True)


def _start(
    backbone: Any,
    input_shape: tuple[int, int, int],
    weights: Brought | None,
    trainable: int | str,
    layer_decay: float,
    dtype: str,
) -> tuple[Any, Any]:
    """Build a backbone up to its features and mark the layers to train."""
    if isinstance(backbone, str):
        inputs, features, layers = _from_table(backbone, input_shape, dtype)
    else:
        inputs, features, layers = _from_network(dict(backbone), dtype)
    if weights is not None:
        _set_weights(layers, weights.arrays)
    numbers = blocks_of(layers, _blocks_pattern(backbone))
    n_blocks = numbers[-1] + 1
    n_trained = n_blocks if trainable == "all" else int(trainable)
    if n_trained > n_blocks:
        raise ValueError(
            f"trainable={trainable} is more than the {n_blocks} blocks of the backbone; "
            "'all' trains all of them."
        )
    for layer, number in zip(layers, numbers, strict=True):
        depth = n_blocks - number
        layer.trainable = depth <= n_trained and not isinstance(layer, FROZEN)
        for weight in layer.weights:
            weight.learning_rate_share = float(layer_decay) ** depth
    return inputs, features


def _from_table(name: str, input_shape: tuple[int, int, int], dtype: str) -> tuple[Any, Any, Any]:
    inputs = keras.Input(input_shape, name="image", dtype="float32")
    pixels = inputs
    if input_shape[2] == 1:
        pixels = keras.layers.Concatenate(name="colour", dtype="float32")([inputs] * 3)
    # As in `build_network`, a frozen BatchNormalization holds the statistics in variables.
    pixels = keras.layers.BatchNormalization(
        center=False,
        scale=False,
        epsilon=0.0,
        trainable=False,
        name="standardize",
        dtype="float32",
    )(pixels)
    base = build_backbone(name, dtype, input_tensor=pixels, pooling="avg")
    own = {"image", "colour", "standardize"}
    return inputs, base.output, [layer for layer in base.layers if layer.name not in own]


def _from_network(arguments: dict[str, Any], dtype: str) -> tuple[Any, Any, Any]:
    """Build an skcnn network without its last layer and the dropout before it."""
    is_own = "architecture" in arguments
    build = build_network if is_own else build_pretrained
    network = build(**arguments, dtype=dtype)
    features = network.layers[-1].input
    if isinstance(network.layers[-2], keras.layers.Dropout):
        features = network.layers[-2].input
    base = keras.Model(network.input, features)
    return network.input, features, base.layers


def _set_weights(layers: list[keras.layers.Layer], arrays: tuple[Array, ...]) -> None:
    variables = [weight for layer in layers for weight in layer.weights]
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    for layer in layers:
        keep_weights(layer)


def _blocks_pattern(backbone: Any) -> str:
    while not isinstance(backbone, str):
        arguments = dict(backbone)
        if "architecture" in arguments:
            return OWN_BLOCKS
        backbone = arguments["backbone"]
    return BACKBONES[backbone].blocks


def prepared(weights: Brought, limits: tuple[float, float]) -> tuple[Array, Array] | None:
    """Return the mean and variance for normalizing pixels with these limits."""
    if weights.mean is None or weights.deviation is None:
        return None
    black, white = limits
    scale = (white - black or 1.0) / 255
    mean = black + np.array(weights.mean) * scale
    return mean, (np.array(weights.deviation) * scale) ** 2


def starting_weights(weights: Brought, limits: tuple[float, float]) -> list[Array]:
    """Return the initial weights of a backbone for pixels with these limits."""
    preparation = prepared(weights, limits) or ()
    return [
        *(np.asarray(each, np.float32) for each in preparation),
        *map(np.asarray, weights.arrays),
    ]
