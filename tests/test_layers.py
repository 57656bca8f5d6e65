import keras
import numpy as np
import pytest
import tensorflow as tf

from skcnn.image.layers import WHOLE_CHANNELS, FusedBatchNormalization, gelu

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(3, 2, (6, 5, 4, 7)).astype(np.float32)


def step(kind, inputs, dtype="float32"):
    """Normalize with fixed weights; return the outputs, the gradients and the new weights."""
    layer = kind(momentum=0.6, dtype=dtype)
    layer.build(inputs.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in layer.get_weights()])
    factors = tf.constant(rng.normal(size=inputs.shape), tf.float32)
    values = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(values)
        outputs = layer(tf.cast(values, layer.compute_dtype), training=True)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * factors)
    gradients = tape.gradient(loss, [values, layer.gamma.value, layer.beta.value])
    return outputs, *gradients, *layer.get_weights()


@pytest.mark.parametrize("rows", [6, 1])
def test_fused_batch_norm_matches_keras(rows):
    fused = step(FusedBatchNormalization, IMAGES[:rows])
    plain = step(keras.layers.BatchNormalization, IMAGES[:rows])
    for one, other in zip(fused, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n_channels", [7, WHOLE_CHANNELS])
def test_statistics_are_float32_in_bfloat16(n_channels):
    images = np.concatenate([IMAGES, 2 * IMAGES, 3 * IMAGES], axis=-1)[..., :n_channels]
    fused = step(FusedBatchNormalization, images, "mixed_bfloat16")
    plain = step(keras.layers.BatchNormalization, images)
    assert fused[0].dtype == tf.bfloat16
    for one, other in zip(fused[4:], plain[4:], strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=0.01)
    np.testing.assert_allclose(tf.cast(fused[0], tf.float32), plain[0], rtol=0.02, atol=0.05)


def test_vectors_are_normalized_like_1x1_images():
    vectors = IMAGES.reshape(6, -1)
    fused = step(FusedBatchNormalization, vectors)
    plain = step(keras.layers.BatchNormalization, vectors)
    for one, other in zip(fused, plain, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("steps", "share"), [(0, 0.9), (8, 0.5), (80, 0.4)])
def test_first_steps_reduce_the_weight_of_initial_statistics(steps, share):
    layer = FusedBatchNormalization(momentum=0.6)
    layer.build(IMAGES.shape)
    layer.moving_mean.assign(np.full(7, 100.0))
    layer.steps_done = lambda: tf.constant(steps)
    layer(IMAGES, training=True)
    expected = 100 * (1 - share) + IMAGES.mean(axis=(0, 1, 2)) * share
    np.testing.assert_allclose(layer.moving_mean, expected, rtol=1e-5)


def test_predictions_use_keras_operations():
    layers = [FusedBatchNormalization(), keras.layers.BatchNormalization()]
    one, other = (layer(IMAGES, training=False) for layer in layers)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-6), ("bfloat16", 2**-8)])
def test_gelu_and_its_gradient_are_exact_to_rounding(dtype, error):
    values = tf.cast(np.linspace(-12, 12, 4801), dtype)
    exact = tf.cast(values, tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([values, exact])
        found, expected = gelu(values), keras.activations.gelu(exact)
    for one, other in (
        (found, expected),
        (tape.gradient(found, values), tape.gradient(expected, exact)),
    ):
        assert one.dtype == dtype
        np.testing.assert_allclose(tf.cast(one, tf.float64), other, rtol=error, atol=1e-6)


def test_gelu_is_written_to_files_as_that_of_keras():
    layer = keras.layers.Activation(gelu)
    assert layer.get_config()["activation"] == "gelu"
    loaded = keras.layers.Activation.from_config(layer.get_config())
    assert loaded.activation is keras.activations.gelu
