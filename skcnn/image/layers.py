"""Layers of Keras on faster operations of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

# What a batch counts for in the moving statistics at least, while the weights hardly move.
LEAST_SHARE = 0.1


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization in one operation while training, with a memory that grows.

    Keras computes it in float32 from some ten operations, which take up to three tenths of
    the training time of a small VGG network on a processor. The weights are the same. Predictions
    are left to Keras, as TensorFlow would merge one operation with activations for which it has
    no kernel.

    Attributes
    ----------
    progress : callable
        To be set: gives the number of training steps before this one, and the learning rate in
        shares of its peak. In the first steps the moving statistics follow the batches closely, as
        those of ``tf.train.ExponentialMovingAverage`` do, to forget their initial values. As
        the learning rate falls and the weights move less, they are means of more batches. None
        keeps to `momentum`.
    """

    progress: Callable[[], tuple[Any, Any]] | None = None

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
        if self.progress is not None:
            steps, pace = self.progress()
            share = tf.clip_by_value(share * pace, min(LEAST_SHARE, share), share)
            share = tf.maximum(share, 9 / (10 + tf.cast(steps, tf.float32)))
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * (1 - share) + value * share)
        return outputs if is_image else outputs[:, 0, 0]
