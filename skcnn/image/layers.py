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
