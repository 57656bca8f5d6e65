"""Convolutions that include the batch normalization after them."""

import keras
import numpy as np
import tensorflow as tf

from skcnn import ImageClassifier
from skcnn._training import pool
from skcnn._training.fusing import FoldedWeights, fuse_normalizations

layers = keras.layers
IMAGES = np.random.default_rng(0).normal(size=(6, 9, 8, 2))


def network():
    """Convolutions with and without bias, scale and centre, in float64."""
    options = {"dtype": "float64"}
    inputs = keras.Input(IMAGES.shape[1:], dtype="float64")
    x = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False, **options)(inputs)
    x = layers.ReLU(**options)(layers.BatchNormalization(trainable=False, **options)(x))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, **options)(x)
    x = layers.BatchNormalization(scale=False, trainable=False, **options)(x)
    x = layers.Conv2D(3, 1, dilation_rate=2, padding="same", **options)(x)
    x = layers.BatchNormalization(center=False, trainable=False, **options)(x)
    return keras.Model(inputs, x)


def test_outputs_and_gradients_stay():
    plain, fused = network(), network()
    fuse_normalizations(fused.layers)
    rng = np.random.default_rng(1)
    weights = [rng.uniform(0.2, 1, weight.shape) for weight in plain.weights]
    found = []
    for model in (plain, fused):
        model.set_weights(weights)
        with tf.GradientTape() as tape:
            outputs = model(IMAGES, training=True)
            loss = tf.reduce_sum(tf.sin(outputs))
        variables = [each.value for each in model.trainable_weights]
        found.append([outputs, *tape.gradient(loss, variables)])
    assert len(found[0]) == 1 + 5
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
        assert np.abs(one).max() > 0.01


def test_folded_weights_give_the_same_outputs():
    plain, folded = network(), network()
    rng = np.random.default_rng(1)
    weights = [rng.uniform(0.2, 1, weight.shape) for weight in plain.weights]
    plain.set_weights(weights)
    expected = plain(IMAGES)
    prepare = FoldedWeights(folded)
    given = [tf.constant(weight) for weight in weights]
    folded.set_weights(prepare(given))
    np.testing.assert_allclose(folded(IMAGES), expected, rtol=1e-9)
    for before, weight in zip(weights, given, strict=True):
        np.testing.assert_array_equal(before, weight)


def fused_layers(outputs, inputs):
    model = keras.Model(inputs, outputs)
    fuse_normalizations(model.layers)
    return sum("call" in vars(layer) for layer in model.layers)


def test_what_is_used_twice_is_not_fused():
    inputs = keras.Input((8, 8, 2))
    convolution = layers.Conv2D(2, 3, padding="same")
    once = convolution(inputs)
    assert fused_layers(layers.BatchNormalization()(once), inputs) == 2
    inputs = keras.Input((8, 8, 2))
    read = layers.Conv2D(2, 3, padding="same")(inputs)
    both = layers.Add()([read, layers.BatchNormalization()(read)])
    assert fused_layers(both, inputs) == 0
    again = keras.Input((8, 8, 2))
    shared = layers.Conv2D(2, 3, padding="same")
    assert fused_layers(layers.BatchNormalization()(shared(shared(again))), again) == 0
    active = layers.Conv2D(2, 3, activation="relu")(again)
    assert fused_layers(layers.BatchNormalization()(active), again) == 0


def test_predictions_are_fused(monkeypatch):
    X = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    seen = []

    class Recording(FoldedWeights):
        def __init__(self, model):
            super().__init__(model)
            seen.append([layer.name for layer in model.layers if "call" in vars(layer)])

    monkeypatch.setattr(pool, "FoldedWeights", Recording)
    architecture = "CONV-5 -> RELU -> POOL -> BN -> CONV-3 -> RELU -> GAP -> FCS"
    net = ImageClassifier(architecture, batch_norm=True, epochs=1, random_state=0)
    fitted = net.fit(X, np.arange(40) % 2)
    probabilities = fitted.predict_proba(X)
    assert seen == [["conv_1", "bn_1", "conv_2", "bn_3"]]
    assert not any("call" in vars(layer) for layer in fitted.model_.layers)
    np.testing.assert_allclose(fitted.model_.predict(X, verbose=0), probabilities, atol=1e-6)
    assert probabilities.std() > 1e-4
