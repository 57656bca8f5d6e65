import keras
import numpy as np
import pytest
import tensorflow as tf

from skcnn._layers import FusedBatchNormalization

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(3, 2, (6, 5, 4, 7)).astype(np.float32)


def step(kind, inputs, dtype="float32", training=True):
    """Normalize with given weights; give the outputs, the gradients and the weights after it."""
    layer = kind(momentum=0.6, dtype=dtype)
    layer.build(inputs.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in layer.get_weights()])
    factors = tf.constant(rng.normal(size=inputs.shape), tf.float32)
    values = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(values)
        outputs = layer(tf.cast(values, layer.compute_dtype), training=training)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * factors)
    gradients = tape.gradient(loss, [values, layer.gamma.value, layer.beta.value])
    return outputs, *gradients, *layer.get_weights()


@pytest.mark.parametrize("rows", [6, 1])
def test_a_fused_step_is_that_of_keras(rows):
    fused = step(FusedBatchNormalization, IMAGES[:rows])
    plain = step(keras.layers.BatchNormalization, IMAGES[:rows])
    for one, other in zip(fused, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_in_bfloat16_the_statistics_stay_float32():
    fused = step(FusedBatchNormalization, IMAGES, "mixed_bfloat16")
    plain = step(keras.layers.BatchNormalization, IMAGES)
    assert fused[0].dtype == tf.bfloat16
    for one, other in zip(fused[4:], plain[4:], strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=0.01)
    np.testing.assert_allclose(tf.cast(fused[0], tf.float32), plain[0], rtol=0.02, atol=0.05)


@pytest.mark.parametrize("training", [True, False])
def test_vectors_are_left_to_keras(training):
    vectors = IMAGES.reshape(6, -1)
    for one, other in zip(
        step(FusedBatchNormalization, vectors, training=training),
        step(keras.layers.BatchNormalization, vectors, training=training),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_a_fused_prediction_is_that_of_keras():
    fused = step(FusedBatchNormalization, IMAGES, training=False)
    plain = step(keras.layers.BatchNormalization, IMAGES, training=False)
    np.testing.assert_allclose(fused[0], plain[0], rtol=1e-5, atol=1e-6)
    for one, other in zip(fused[4:], plain[4:], strict=True):
        np.testing.assert_array_equal(one, other)
