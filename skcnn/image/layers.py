"""Custom Keras layers for batch normalization, augmentation and resizing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .._keras import keras, tf

# With another number of channels, TensorFlow's normalization takes eight times as long in bfloat16
# as in float32, which it computes in then.
WHOLE_CHANNELS = 16


def gelu(x: Any) -> Any:
    """Compute GELU in float32, with its derivative in closed form.

    With its gradient it takes 0.65 of the time of Keras's in bfloat16, and 0.76 in float32 (6.3
    million values). The name is that of Keras, so that networks are written to files as with it.
    """
    value = tf.cast(tf.stop_gradient(x), tf.float32)
    share = 0.5 + 0.5 * tf.math.erf(math.sqrt(0.5) * value)
    density = math.sqrt(0.5 / math.pi) * tf.exp(-0.5 * tf.square(value))
    slope = tf.cast(share + value * density, x.dtype)
    # Zero, with the gradient `slope`. TensorFlow would keep the graph of a tf.custom_gradient.
    return tf.cast(value * share, x.dtype) + slope * (x - tf.stop_gradient(x))


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization in one TensorFlow operation while training.

    Keras uses about ten operations in float32. The weights are the same; VGGLite trains in 121
    processor seconds instead of 171, with an equal accuracy within the spread of the seeds
    (``docs/guide/performance.rst``). Predictions use Keras's operations, as TensorFlow would fuse
    a single one with activations for which it has no kernel.

    Attributes
    ----------
    steps_done : callable
        To be set: returns the number of training steps before this one. In the first steps the
        momentum is lower, as in ``tf.train.ExponentialMovingAverage`` with `num_updates`, so
        that the initial moving statistics lose their influence. None always uses `momentum`.
    """

    steps_done: Callable[[], Any] | None = None

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The class that Keras writes to files, so that they can be read without skcnn."""
        return keras.layers.BatchNormalization  # type: ignore[no-any-return]

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize a batch."""
        if not training:
            return super().call(inputs, training=training, mask=mask)
        is_image = len(inputs.shape) == 4
        x = inputs if is_image else inputs[:, None, None]
        if inputs.shape[-1] % WHOLE_CHANNELS:
            x = tf.cast(x, tf.float32)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=self.gamma.value,
            offset=self.beta.value,
            mean=tf.zeros(0),
            variance=tf.zeros(0),
            epsilon=self.epsilon,
        )
        # The operation returns the unbiased variance, Keras stores the biased one.
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        variance *= (count - 1) / count
        if tf.distribute.has_strategy():  # else the statistics of the devices would drift apart
            context = tf.distribute.get_replica_context()
            mean, variance = context.all_reduce("MEAN", [mean, variance])
        share = 1 - self.momentum
        if self.steps_done is not None:
            share = tf.maximum(share, 9 / (10 + tf.cast(self.steps_done(), tf.float32)))
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * (1 - share) + value * share)
        outputs = tf.cast(outputs, inputs.dtype)
        return outputs if is_image else outputs[:, 0, 0]


class RandomPart(keras.layers.Layer):
    """Crop each image at a random position to a random size, and resize it to the original size.

    Keras's RandomZoom always zooms about the centre.

    Parameters
    ----------
    low, high : float
        Range of the sides of the crop, as fractions of those of the image. With more than 1 the
        crop contains the image.
    fill_mode : {"reflect", "wrap", "nearest", "constant"}
        How to fill the area outside of the image.
    """

    def __init__(self, low: float, high: float, fill_mode: str) -> None:
        super().__init__(dtype="float32")
        self.low = low
        self.high = high
        self.fill_mode = fill_mode
        self.generator = keras.random.SeedGenerator(0)
        self.supports_jit = False

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Crop and resize each image of a batch."""
        n_images, (height, width) = keras.ops.shape(images)[0], images.shape[1:3]

        def draw(low: float, high: float) -> Any:
            return keras.random.uniform((n_images,), low, high, seed=self.generator)

        share, top, left = draw(self.low, self.high), draw(0.0, 1.0), draw(0.0, 1.0)
        zero = keras.ops.zeros_like(share)
        # Maps output coordinates to input coordinates.
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


class ResizeLikePillow(keras.layers.Layer):
    """Resize images of any size in an exported network, as Pillow does in training.

    Pillow's bilinear filter is antialiased, which other runtimes do not support. It is computed
    with two matrix products.

    Parameters
    ----------
    size : tuple of (height, width)
        The target size.
    how : {"stretch", "crop", "pad"}
        As the parameter ``resize``.
    pixel : array-like of shape (channels,)
        Pixel value of the padding.
    """

    def __init__(self, size: tuple[int, int], how: str, pixel: Any) -> None:
        super().__init__(dtype="float32", name="resize")
        self.size = size
        self.how = how
        self.pixel = [float(value) for value in pixel]

    def call(self, images: Any) -> Any:
        """Resize a batch."""
        ops = keras.ops
        sides = [ops.cast(side, "float32") for side in ops.shape(images)[1:3]]
        ratios = [side / target for side, target in zip(sides, self.size, strict=True)]
        common = ops.minimum(*ratios) if self.how == "crop" else ops.maximum(*ratios)
        parts = []
        for side, target, ratio in zip(sides, self.size, ratios, strict=True):
            inner, step = float(target), common if self.how == "crop" else ratio
            if self.how == "pad":
                inner = ops.maximum(1.0, ops.round(side / common))
                step = side / inner
            parts.append(self._weights(side, target, step, inner))
        (rows, shown_rows), (columns, shown_columns) = parts
        channels_first = ops.transpose(images, (0, 3, 1, 2))
        resized = ops.matmul(ops.matmul(rows, channels_first), ops.transpose(columns))
        resized = ops.transpose(resized, (0, 2, 3, 1))
        if self.how != "pad":
            return resized
        shown = (shown_rows[:, None] * shown_columns[None, :])[None, :, :, None]
        return resized * shown + (1.0 - shown) * ops.convert_to_tensor(self.pixel, "float32")

    def _weights(self, side: Any, target: int, ratio: Any, inner: Any) -> tuple[Any, Any]:
        """Return the filter weights along an axis, and a mask of the pixels without padding."""
        ops = keras.ops
        place = ops.arange(target, dtype="float32") - ops.floor((target - inner) / 2)
        # The crop is centred.
        start = (side - ratio * inner) / 2
        centre = (place + 0.5) * ratio + start
        pixels = ops.arange(ops.cast(side, "int32"), dtype="float32") + 0.5
        support = ops.maximum(ratio, 1.0)
        weights = ops.maximum(0.0, 1.0 - ops.abs(pixels[None] - centre[:, None]) / support)
        total = ops.sum(weights, axis=1, keepdims=True)
        shown = ops.cast((place >= 0) & (place < inner), "float32")
        return weights / ops.maximum(total, 1e-6), shown

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the shape of the resized images."""
        return (input_shape[0], *self.size, input_shape[3])
