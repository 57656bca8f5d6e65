"""Compiled augmentation of batches."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._environment import check_not_forked
from .._keras import keras, tf
from .._training.network import compiles
from ..heads import OneHot
from .layers import RandomPart
from .pixels import value_range

if TYPE_CHECKING:
    from .augmentation import ImageAugmenter

Array = NDArray[Any]


# Minimum number of pixel values per epoch to compile with XLA, which takes half a second and cuts
# the time of the layers that it can fuse to a tenth.
FUSED_VALUES = 2**24

# Layers that mix images and their labels.
MIXING = (keras.layers.MixUp, keras.layers.CutMix)


def augmentation_layers(
    settings: Mapping[str, Any], value_range: tuple[float, float]
) -> list[keras.layers.Layer]:
    """Create the Keras layers of the settings that have an effect."""
    layers = keras.layers
    # Each call passes its own seeds. Without this one, a layer would draw from Python's global
    # generator.
    options = {"seed": 0, "data_format": "channels_last", "dtype": "float32"}
    fill = {"fill_mode": settings["fill_mode"], "fill_value": 0.0, **options}
    bounded = {"value_range": value_range, **options}
    made = [*_moving(settings, fill), *_recolouring(settings, bounded, options)]
    if settings["mixup"]:
        made.append(layers.MixUp(float(settings["mixup"]), **options))
    if settings["cutmix"]:
        # Keras treats a single number as a range from 0.
        made.append(layers.CutMix((float(settings["cutmix"]),) * 2, **options))
    return made


def _moving(settings: Mapping[str, Any], fill: dict[str, Any]) -> list[keras.layers.Layer]:
    """Create the layers that shift, rotate and zoom."""
    layers, made = keras.layers, []
    if settings["width_shift_range"] or settings["height_shift_range"]:
        made.append(
            layers.RandomTranslation(
                float(settings["height_shift_range"]),
                float(settings["width_shift_range"]),
                interpolation="nearest",
                **fill,
            )
        )
    if settings["rotation_range"]:
        made.append(layers.RandomRotation(settings["rotation_range"] / 360, **fill))
    zoom = settings["zoom_range"]
    if isinstance(zoom, Sequence):
        low, high = map(float, zoom)
        made.append(RandomPart(low, high, fill_mode=settings["fill_mode"]))
    elif zoom:
        made.append(layers.RandomZoom(float(zoom), float(zoom), **fill))
    return made


def _recolouring(
    settings: Mapping[str, Any], bounded: dict[str, Any], options: dict[str, Any]
) -> list[keras.layers.Layer]:
    """Create the layers that change pixels; RandAugment is first, as XLA cannot compile it."""
    layers, made = keras.layers, []
    if settings["rand_augment"]:
        made.append(layers.RandAugment(factor=float(settings["rand_augment"]), **bounded))
        made[-1].supports_jit = False
    if settings["horizontal_flip"]:
        made.append(layers.RandomFlip("horizontal", **options))
    if settings["vertical_flip"]:
        made.append(layers.RandomFlip("vertical", **options))
    if settings["brightness_range"]:
        made.append(layers.RandomBrightness(float(settings["brightness_range"]), **bounded))
    if settings["contrast_range"]:
        # With a single number Keras only increases the contrast.
        factor = (float(settings["contrast_range"]),) * 2
        made.append(layers.RandomContrast(factor, **bounded))
    if settings["cutout"]:
        area, middle = float(settings["cutout"]) ** 2, sum(bounded["value_range"]) / 2
        made.append(
            layers.RandomErasing((1.0, 1.0), scale=(area, area), fill_value=middle, **bounded)
        )
    return made


class PreparedAugmentation:
    """Compiled augmentation of the batches of a data set.

    Parameters
    ----------
    augmentation : ImageAugmenter
        The settings.
    X : array-like of shape (n_samples, height, width, channels)
        The images.
    y : array-like of shape (n_samples, ...)
        The targets.
    rows : ndarray of int
        The training rows.
    batch_size : int
        Rows in a full batch.

    Attributes
    ----------
    targets : array-like
        The targets, one-hot encoded if they are mixed.
    """

    def __init__(
        self, augmentation: ImageAugmenter, X: Any, y: Any, rows: Array, batch_size: int
    ) -> None:
        shape = X.shape[1:]
        if len(shape) != 3 or 0 in shape:
            raise ValueError(
                "augmentation needs images: X must have shape (n_samples, height, width, "
                f"channels), got {X.shape}."
            )
        if augmentation.rand_augment and shape[2] != 3:
            raise ValueError(
                f"rand_augment changes colours, but X has images of {shape[2]} channels; it needs "
                "three."
            )
        self.mixes = bool(augmentation.mixup or augmentation.cutmix)
        self.targets = _mixable(y) if self.mixes else y
        self._augment, self._n_states = compile_augmentation(
            _hashable(augmentation.get_params(deep=False)),
            shape,
            value_range(X, rows),
            # XLA compiles for a fixed batch size, so only full batches use it.
            batch_size if len(rows) * math.prod(shape) >= FUSED_VALUES else None,
        )

    def __call__(
        self, images: Array, targets: Array, weight: Array | None, seed: np.random.SeedSequence
    ) -> tuple[Array, Array, Array | None]:
        """Augment a batch."""
        check_not_forked()
        states = seed.generate_state(2 * self._n_states).view(np.int32).reshape(-1, 2)
        arguments = [tf.constant(images.astype(np.float32, copy=False)), tf.constant(states)]
        if not self.mixes:
            return self._augment(*arguments).numpy(), targets, weight
        if weight is None:
            arguments.append(tf.constant(targets.astype(np.float32)))
            images, mixed = (tensor.numpy() for tensor in self._augment(*arguments))
            return images, mixed, None
        # Mixing the weighted targets and the weights, and dividing one by the other, weights each
        # of two mixed samples by its sample weight times its share.
        weighted = np.column_stack([targets * weight[:, None], weight])
        arguments.append(tf.constant(weighted.astype(np.float32)))
        images, mixed = (tensor.numpy() for tensor in self._augment(*arguments))
        total = mixed[:, -1:]
        share = np.divide(mixed[:, :-1], total, out=targets.astype(np.float32), where=total > 0)
        return images, share, total[:, 0].astype(weight.dtype)


def _hashable(settings: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (name, tuple(value) if isinstance(value, Sequence) and name == "zoom_range" else value)
        for name, value in sorted(settings.items())
    )


def _mixable(y: Any) -> Any:
    """Return targets that can be averaged: codes are one-hot encoded."""
    if y.ndim > 1:
        return y
    if y.dtype.kind not in "iu" or y.min() < 0:
        raise ValueError(
            "mixup and cutmix mix labels: y must be one-hot rows or integers from 0, got "
            f"{y.dtype} values."
        )
    return OneHot(y, int(y.max()) + 1)


def _run(layers: list[keras.layers.Layer], data: Any, states: Any) -> Any:
    """Run layers with the given seeds."""
    seeds = [layer.generator.state for layer in layers]
    given = [tf.cast(state, seed.dtype) for seed, state in zip(seeds, states, strict=True)]
    with keras.StatelessScope(list(zip(seeds, given, strict=True))):
        for layer in layers:
            data = layer(data, training=True)
    return data


@compiles(maxsize=32)
def compile_augmentation(
    settings: tuple[tuple[str, Any], ...],
    shape: tuple[int, int, int],
    value_range: tuple[float, float],
    fused_size: int | None,
) -> tuple[Callable[..., Any], int]:
    """Trace the layers once for all fits with these settings, with the seeds as an input.

    Returns the function and the number of seeds. XLA compiles it for batches of `fused_size` rows.
    """
    layers = augmentation_layers(dict(settings), value_range)
    # The order of the layers: not compiled by XLA, compiled by XLA, mixing.
    first = sum(not layer.supports_jit for layer in layers)
    last = len(layers) - sum(isinstance(layer, MIXING) for layer in layers)

    def traced(fuse: bool) -> Callable[..., Any]:
        middle = functools.partial(_run, layers[first:last])
        if fuse:
            middle = tf.function(middle, autograph=False, jit_compile=True)

        def change(images: Any, states: Any) -> Any:
            seeds = tf.unstack(states)
            return middle(_run(layers[:first], images, seeds[:first]), seeds[first:last])

        def change_and_mix(images: Any, states: Any, labels: Any) -> Any:
            data = {"images": change(images, states), "labels": labels}
            data = _run(layers[last:], data, tf.unstack(states)[last:])
            return data["images"], data["labels"]

        signature = [
            tf.TensorSpec((fused_size if fuse else None, *shape), tf.float32),
            tf.TensorSpec((len(layers), 2), tf.int32),
        ]
        # One function for each signature: for an argument that is left out, TensorFlow would try
        # another way to call, and write all values into an error message first.
        function = tf.function(change, autograph=False)
        if last < len(layers):
            signature.append(tf.TensorSpec((None, None), tf.float32))
            function = tf.function(change_and_mix, autograph=False)
        return function.get_concrete_function(*signature)  # type: ignore[no-any-return]

    plain = traced(fuse=False)
    if fused_size is None or first == last:
        return plain, len(layers)
    fused = traced(fuse=True)

    def either(images: Any, *others: Any) -> Any:
        return (fused if len(images) == fused_size else plain)(images, *others)

    return either, len(layers)
