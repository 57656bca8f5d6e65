"""Layers of Keras on faster operations of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization in one operation while training.

    Keras computes it in float32 from some ten operations. The weights are the same; VGGLite trains
    in 121 processor seconds instead of 171, to the same accuracy within the spread of the seeds
    (``docs/guide/performance.rst``). Predictions use Keras's operations, as TensorFlow would merge
    a single one with activations for which it has no kernel.

    Attributes
    ----------
    steps_done : callable
        To be set: returns the number of training steps before this one. In the first steps the
        moving statistics follow the batches closely, as those of
        ``tf.train.ExponentialMovingAverage`` do with `num_updates`, to forget their initial
        values. None keeps to `momentum`.
    """

    steps_done: Callable[[], Any] | None = None

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The class that Keras writes into files, which can be read without skcnn."""
        return keras.layers.BatchNormalization  # type: ignore[no-any-return]

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize a batch."""
        if not training:
            return super().call(inputs, training=training, mask=mask)
        is_image = len(inputs.shape) == 4
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs if is_image else inputs[:, None, None],
            scale=self.gamma.value,
            offset=self.beta.value,
            mean=tf.zeros(0),
            variance=tf.zeros(0),
            epsilon=self.epsilon,
        )
        # The operation gives the unbiased variance, Keras keeps that of the batch.
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        variance *= (count - 1) / count
        share = 1 - self.momentum
        if self.steps_done is not None:
            share = tf.maximum(share, 9 / (10 + tf.cast(self.steps_done(), tf.float32)))
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * (1 - share) + value * share)
        return outputs if is_image else outputs[:, 0, 0]


class RandomPart(keras.layers.Layer):
    """Show a part of each image, of a random size and at a random place, in the size of the whole.

    Keras's RandomZoom zooms about the middle.

    Parameters
    ----------
    low, high : float
        The sides of the part, in shares of those of the image. Beyond 1 the image is a part.
    fill_mode : {"reflect", "wrap", "nearest", "constant"}
        What is shown beyond the image.
    """

    def __init__(self, low: float, high: float, fill_mode: str) -> None:
        super().__init__(dtype="float32")
        self.low = low
        self.high = high
        self.fill_mode = fill_mode
        self.generator = keras.random.SeedGenerator(0)
        self.supports_jit = False

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Show a part of each image of a batch."""
        n_images, (height, width) = keras.ops.shape(images)[0], images.shape[1:3]

        def draw(low: float, high: float) -> Any:
            return keras.random.uniform((n_images,), low, high, seed=self.generator)

        share, top, left = draw(self.low, self.high), draw(0.0, 1.0), draw(0.0, 1.0)
        zero = keras.ops.zeros_like(share)
        # From the pixels that are shown to those of the image.
        rows = [share, zero, left * (1 - share) * (width - 1)]
        columns = [zero, share, top * (1 - share) * (height - 1)]
        transform = keras.ops.stack([*rows, *columns, zero, zero], axis=1)
        return keras.ops.image.affine_transform(
            images, transform, fill_mode=self.fill_mode, data_format="channels_last"
        )

    def get_config(self) -> dict[str, Any]:
        """Return the parameters."""
        config = {"low": self.low, "high": self.high, "fill_mode": self.fill_mode}
        return {**super().get_config(), **config}
