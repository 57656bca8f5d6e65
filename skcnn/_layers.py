"""Layers of Keras on faster operations of TensorFlow."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization in one operation while training, at a pace that can change.

    Keras computes it in float32 from some ten operations, which take up to three tenths of
    the training time of a small VGG network on a processor. Statistics and weights are the same.
    Predictions are left to Keras, as TensorFlow would merge one operation with activations for
    which it has no kernel.

    Parameters
    ----------
    pace : tf.Variable or float, default=1.0
        What ``1 - momentum`` is multiplied by: the smaller, the more batches the moving
        statistics are a mean of.
    **options
        As those of Keras.
    """

    def __init__(self, pace: Any = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.pace = pace

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize a batch."""
        if not training:
            return super().call(inputs, training=training, mask=mask)
        images = inputs if len(inputs.shape) == 4 else inputs[:, None, None]
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=images,
            scale=self.gamma.value,
            offset=self.beta.value,
            mean=tf.zeros(0),
            variance=tf.zeros(0),
            epsilon=self.epsilon,
        )
        # The operation gives the unbiased variance, Keras keeps that of the batch.
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        variance *= (count - 1) / count
        share = (1 - self.momentum) * self.pace
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving + share * (value - moving))
        return tf.reshape(outputs, tf.shape(inputs))


def set_pace(model: keras.Model, pace: float) -> None:
    """Set the pace of the batch normalization of a network, where it has one that can change."""
    variable = getattr(model, "normalization_pace", None)
    if variable is not None:
        variable.assign(pace)
