import copy
import math
import os
import pickle
import random
import warnings
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest
import tensorflow as tf
from marks import slow
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skcnn import (
    FeedForward,
    ImageAugmenter,
    ImageClassifier,
    MiniCNN,
    Seq2SeqRNN,
    VGGLite,
    load,
)
from skcnn.image.pixels import channel_statistics

TINY = "CONV-4 -> RELU -> POOL -> FCS"


@pytest.fixture(scope="module")
def digits():
    images, target = load_digits(return_X_y=True)
    return images[:300].reshape(-1, 8, 8), target[:300]


def tiny(**parameters):
    return ImageClassifier(TINY, **{"epochs": 2, "random_state": 0, **parameters})


# Inputs


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float64", "bool", "longdouble"])
def test_accepts_all_real_dtypes(digits, dtype):
    X, y = digits
    X = X.astype(dtype)
    net = tiny().fit(X, y)
    assert net.predict_proba(X).dtype == np.float32
    if dtype != "bool":
        reference = tiny().fit(X.astype("float32"), y)
        np.testing.assert_array_equal(net.predict_proba(X), reference.predict_proba(X))


def test_shapes_of_one_image_are_equivalent(digits):
    X, y = digits
    net = tiny().fit(X, y)
    assert net.input_shape_ == (8, 8, 1)
    assert net.n_features_in_ == 8  # X.shape[1], as in scikit-learn
    expected = net.predict_proba(X)
    for other in (X[..., None], X.reshape(-1, 64), X.reshape(-1, 64).tolist()):
        np.testing.assert_array_equal(net.predict_proba(other), expected)
        fitted = tiny().fit(other, y)
        np.testing.assert_array_equal(fitted.predict_proba(other), expected)
        assert fitted.n_features_in_ == np.shape(other)[1]
    with pytest.raises(ValueError, match=r"X has 63 features, but .* is expecting 64 features"):
        net.predict(X.reshape(-1, 64)[:, 1:])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        net.predict(X[0, 0])


@pytest.mark.parametrize(
    ("n_features", "input_shape", "expected"),
    [
        (64, None, (8, 8, 1)),
        (10, None, (1, 10, 1)),
        (1, None, (1, 1, 1)),
        (12, (3, 4), (3, 4, 1)),
        (12, [2, 2, 3], (2, 2, 3)),
    ],
)
def test_rows_become_images(n_features, input_shape, expected):
    X = np.random.default_rng(0).random((20, n_features))
    net = tiny(input_shape=input_shape, epochs=1).fit(X, [0, 1] * 10)
    assert net.input_shape_ == expected
    assert net.model_.input_shape == (None, *expected)


def test_data_frames(digits):
    X, y = digits
    rows = X.reshape(-1, 64)
    names = [f"pixel_{i}" for i in range(64)]
    expected = tiny().fit(rows, y).predict_proba(rows)
    for frame in (pd.DataFrame(rows, columns=names), pl.DataFrame(rows, schema=names)):
        net = tiny().fit(frame, y)
        assert list(net.feature_names_in_) == names
        np.testing.assert_array_equal(net.predict_proba(frame), expected)
    assert net.set_output(transform="pandas").transform(frame).shape == (300, 64)


@pytest.mark.parametrize(
    "labels",
    [["cat", "dog", "emu"], [-5, 7, 1000], [False, True, True], np.array(["a", "b", "c"], object)],
)
def test_labels_come_back_as_they_were(digits, labels):
    X, y = digits
    names = np.asarray(labels)[y % 3]
    net = FeedForward(epochs=8, random_state=0).fit(X, names)
    np.testing.assert_array_equal(net.classes_, np.unique(names))
    assert net.predict(X).dtype == names.dtype
    assert net.score(X, names) > 0.9
    assert net.predict_proba(X).shape == (len(X), len(net.classes_))


# Invalid inputs, which raise before TensorFlow is called

GOOD_X, GOOD_Y = np.random.default_rng(0).random((12, 4, 4)), np.arange(12) % 3


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.where(GOOD_X > 0.9, np.nan, GOOD_X), GOOD_Y, "X contains NaN"),
        (np.where(GOOD_X > 0.9, np.inf, GOOD_X), GOOD_Y, "X contains infinity"),
        (GOOD_X * 1e39, GOOD_Y, "too large for dtype..float32"),
        (GOOD_X * 1e30, GOOD_Y, "too large to standardize"),
        (sparse.csr_array(GOOD_X.reshape(12, 16)), GOOD_Y, "X is a sparse csr_array"),
        (GOOD_X[0, 0], GOOD_Y[:4], "Expected 2D array, got 1D array"),
        (GOOD_X[None, None], [0], "must have 2, 3 or 4 dimensions.*got 5"),
        (GOOD_X[:, :0], GOOD_Y, "without pixels"),
        (GOOD_X[:0], GOOD_Y[:0], "0 sample"),
        (GOOD_X, GOOD_Y[:-1], "inconsistent numbers of samples"),
        (GOOD_X, np.zeros(12, int), "y has only one class"),
        (GOOD_X, GOOD_Y + 0.5, "Unknown label type: continuous"),
        (GOOD_X, np.where(GOOD_Y == 0, np.nan, GOOD_Y), "y contains NaN"),
        (GOOD_X, None, "y"),
        (GOOD_X + 1j, GOOD_Y, "Complex data not supported"),
        (np.full((12, 4), "a"), GOOD_Y, "not compatible|could not convert"),
        ([[1, 2], [3]], [0, 1], "inhomogeneous"),
    ],
)
def test_bad_data_is_refused(monkeypatch, X, y, message):
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("reached Keras"))
    with pytest.raises(ValueError, match=message):
        tiny().fit(X, y)


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float32"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [((0, 8, 8), "0 sample"), ((2, 8, 9), "is expecting"), ((2, 0, 8), "pixels")],
)
def test_prediction_raises_for_bad_images(digits, dtype, bad, message):
    net = tiny(epochs=1).fit(*digits)
    with pytest.raises(ValueError, match=message):
        net.predict(np.zeros(bad, dtype))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_prediction_raises_for_non_finite_images(digits, dtype, value):
    net = tiny(epochs=1).fit(*digits)
    images = digits[0][:3].astype(dtype)
    images[1, 2, 3] = value
    with pytest.raises(ValueError, match=r"X contains (NaN|infinity)"):
        net.predict(images)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"architecture": "CONV-8"}, "expected '-> FCS' at the end"),
        ({"architecture": 3}, "'architecture' parameter"),
        ({"epochs": 0}, "'epochs' parameter"),
        ({"batch_size": 2.5}, "'batch_size' parameter"),
        ({"optimizer": "adamm"}, "'optimizer' parameter"),
        ({"optimizer": dict}, "optimizer must be a name"),
        (
            {"optimizer": keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())},
            "optimizer is a LossScaleOptimizer",
        ),
        ({"learning_rate": 0}, "'learning_rate' parameter"),
        ({"learning_rate_schedule": "linear"}, "'learning_rate_schedule' parameter"),
        ({"label_smoothing": 1}, "'label_smoothing' parameter"),
        ({"validation_fraction": 0.0}, "'validation_fraction' parameter"),
        ({"early_stopping": True, "validation_fraction": 0.1}, "early_stopping=True cannot"),
        ({"early_stopping": True, "scoring": "accurracy"}, "'scoring' parameter"),
        ({"input_shape": (4,)}, "input_shape must be"),
        ({"input_shape": (4, 5)}, "is not the shape of X's images"),
        ({"augmentation": {"mixup": 0.1}}, "'augmentation' parameter"),
        ({"augmentation": ImageAugmenter(cutout=2)}, "'cutout' parameter of ImageAugmenter"),
        ({"class_weight": {9: 1.0}}, "class_weight has none of the classes"),
        ({"class_weight": {0: 0, 1: 0}}, "fewer than two classes"),
        ({"callbacks": [3]}, "callbacks"),
        ({"optimizer__momentumm": 0.9}, "Muon has no argument 'momentumm'"),
        ({"learning_rate": 0.1, "optimizer__learning_rate": 0.2}, "not both"),
        ({"random_state": -1}, "'random_state' parameter|non-negative|unsigned"),
    ],
)
def test_bad_parameters_are_refused(monkeypatch, parameters, message):
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("reached Keras"))
    with pytest.raises((ValueError, TypeError), match=message):
        tiny().set_params(**parameters).fit(GOOD_X, GOOD_Y)


def test_unknown_parameters_are_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'epoch'"):
        VGGLite(epoch=3)
    with pytest.raises(TypeError, match="architecture"):
        VGGLite(architecture=TINY)
    with pytest.raises(ValueError, match="Invalid parameter 'epoch'"):
        VGGLite().set_params(epoch=3)


def test_prediction_raises_for_other_shapes(digits):
    X, y = digits
    with pytest.raises(NotFittedError):
        tiny().predict(X)
    net = tiny().fit(X, y)
    with pytest.raises(ValueError, match=r"images of shape \(4, 8, 1\)"):
        net.predict(X[:, :4])
    with pytest.raises(ValueError, match="63 features"):
        net.predict(X.reshape(-1, 64)[:, 1:])


@pytest.mark.parametrize("n_rows", [2, 20, 61])
@pytest.mark.parametrize("architecture", ["FC-30 -> RELU -> FCS", "CONV-8 -> RELU -> POOL -> FCS"])
def test_prediction_does_not_depend_on_the_row_position(digits, architecture, n_rows):
    X, y = digits
    net = ImageClassifier(architecture, epochs=1, random_state=0).fit(X, y)
    for method in (net.predict_proba, net.transform):
        outputs = method(np.repeat(X[:1], n_rows, axis=0))
        np.testing.assert_array_equal(outputs, np.repeat(outputs[:1], n_rows, axis=0))


# Training


@pytest.mark.parametrize("name", ["sample_weight", "class_weight"])
def test_scale_of_weights_does_not_matter(digits, name):
    X, y = digits
    if name == "sample_weight":
        nets = [tiny().fit(X, y, sample_weight=scale * (1 + y)) for scale in (1, 8)]
    else:
        weights = [{label: scale * (1 + label) for label in range(10)} for scale in (1, 8)]
        nets = [tiny(class_weight=weight).fit(X, y) for weight in weights]
    one, other = (net.predict_proba(X) for net in nets)
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, tiny().fit(X, y).predict_proba(X))


def test_class_weights_multiply_those_of_samples(digits):
    X, y = digits
    weight = np.random.default_rng(0).uniform(0.5, 2, 300)
    both = tiny(class_weight={3: 4.0}).fit(X, y, sample_weight=weight)
    product = tiny().fit(X, y, sample_weight=weight * np.where(y == 3, 4.0, 1.0))
    np.testing.assert_array_equal(both.predict_proba(X), product.predict_proba(X))
    assert (both.predict_proba(X) != tiny().fit(X, y, weight).predict_proba(X)).any()


@pytest.mark.parametrize("weighted", [False, True])
def test_initial_bias_matches_class_frequencies(digits, weighted):
    X, _ = digits
    y = np.repeat([0, 1, 2], [240, 50, 10])
    weight = np.where(y == 2, 24.0, 1.0) if weighted else np.ones(300)
    fitted = tiny(epochs=1, learning_rate=1e-30).fit(X, y, sample_weight=weight)
    expected = 1 + 300 * np.bincount(y, weight) / weight.sum()
    bias = fitted.model_.layers[-1].bias.numpy()
    np.testing.assert_allclose(np.exp(bias) / np.exp(bias).sum(), expected / expected.sum(), 1e-5)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform"])
def test_prediction_takes_few_rows_at_a_time(digits, monkeypatch, method):
    sizes = []
    original = ImageClassifier._predict_batch

    def record(self, batch, output):
        sizes.append(batch.shape)
        return original(self, batch, output)

    monkeypatch.setattr(ImageClassifier, "_predict_batch", record)
    for X in (digits[0].repeat(7, axis=0), np.zeros((70, 256, 256), np.uint8)):
        fitted = ImageClassifier("GAP -> FCS", epochs=1).fit(X[:4], [0, 1, 0, 1])
        assert len(getattr(fitted, method)(X)) == len(X)
        assert sum(size[0] for size in sizes) >= len(X)
        assert max(size[0] for size in sizes) <= 480
        assert max(map(math.prod, sizes)) <= 2**22
        sizes.clear()


def test_samples_of_weight_zero_are_left_out(digits):
    X, y = digits
    weight = (np.arange(300) < 200).astype(float)
    spoilt = np.where(weight[:, None, None] > 0, X, 1e6)
    one = tiny().fit(X, y, sample_weight=weight).predict_proba(X)
    np.testing.assert_array_equal(
        tiny().fit(spoilt, y, sample_weight=weight).predict_proba(X), one
    )


def test_early_stopping_restores_the_best_weights(digits):
    X, y = digits
    net = tiny(epochs=60, early_stopping=True, n_iter_no_change=3, validation_fraction=0.3).fit(
        X, y
    )
    accuracy = net.history_["val_accuracy"]
    assert net.n_iter_ == len(accuracy) == net.best_iteration_ + 3 < 60
    assert net.best_iteration_ == np.argmax(accuracy) + 1
    held_out = tiny(epochs=60, early_stopping=True, n_iter_no_change=3)
    held_out.fit(X, y, X_val=X, y_val=y)
    assert held_out.score(X, y) == pytest.approx(max(held_out.history_["val_accuracy"]), abs=1e-6)


def test_history_has_one_value_an_epoch(digits):
    X, y = digits
    net = tiny(epochs=4, batch_size=128).fit(X, y, X_val=X[:50], y_val=y[:50])
    assert set(net.history_) == {
        "accuracy", "loss", "val_accuracy", "val_loss", "learning_rate", "seconds"
    }  # fmt: skip
    assert {len(values) for values in net.history_.values()} == {4}
    # 3 batches an epoch: 12 steps, up for the first 3; these are the middles of the 3rd ... 12th
    expected = 0.01 * np.array([2.5 / 3, 6.5 / 9, 3.5 / 9, 0.5 / 9])
    np.testing.assert_allclose(net.history_["learning_rate"], expected, rtol=1e-5)
    assert net.history_["val_accuracy"][-1] == pytest.approx(net.score(X[:50], y[:50]), abs=1e-6)


def test_warm_start_continues_and_fit_restarts(digits):
    X, y = digits
    net = tiny(warm_start=True).fit(X, y)
    assert net.n_iter_ == 2
    loss = net.fit(X, y).history_["loss"]
    assert net.n_iter_ == len(loss) == 4
    assert loss[0] > loss[1] > loss[2] > loss[3]
    first = tiny().fit(X, y)
    before = first.predict_proba(X)
    np.testing.assert_array_equal(first.fit(X, y).predict_proba(X), before)
    with pytest.raises(ValueError, match="labels that are not among the classes"):
        net.fit(X, y + 1)


def test_partial_fit_learns_the_classes_once(digits):
    X, y = digits
    net = tiny(learning_rate=0.01)
    net.partial_fit(X[y < 5], y[y < 5], classes=range(10))
    for part in [slice(0, 150), slice(150, 300)] * 15:
        net.partial_fit(X[part], y[part])
    assert net.n_iter_ == 31
    assert net.history_["learning_rate"] == pytest.approx([0.01] * 31)
    assert net.score(X, y) > 0.6
    with pytest.raises(ValueError, match="not those of the first call"):
        net.partial_fit(X, y, classes=range(9))


def test_partial_fit_continues_after_fit(digits):
    X, y = digits
    net = tiny().fit(X, y)
    before = net.predict_proba(X)
    net.partial_fit(X, y)
    assert net.n_iter_ == 3
    assert net.history_["learning_rate"][-1] == pytest.approx(0.001)
    assert np.abs(net.predict_proba(X) - before).max() > 0.01


def test_a_diverging_run_warns(digits):
    X, y = digits
    net = tiny(optimizer="sgd", learning_rate=1e30, batch_norm=False, epochs=5)
    with pytest.warns(ConvergenceWarning, match="smaller learning_rate"):
        net.fit(X, y)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "CONV-5 -> RELU -> POOL -> FCS"},
        {"batch_norm": False},
        {"standardize": False},
        {"epochs": 3},
        {"batch_size": 50},
        {"optimizer": "sgd"},
        # The others compile a network of their own, too.
        *slow(
            {"optimizer": keras.optimizers.Adam(0.001)},
            {"optimizer": keras.optimizers.SGD},
            {"learning_rate_schedule": keras.optimizers.schedules.CosineDecay(0.01, 6)},
        ),
        {"optimizer__momentum": 0.5},
        {"precision": "mixed_bfloat16"},
        {"learning_rate": 0.02},
        {"learning_rate_schedule": "constant"},
        {"learning_rate_schedule": "cosine"},
        {"weight_decay": 0.3},
        {"label_smoothing": 0.2},
        {"class_weight": {0: 5.0}},
        {"early_stopping": True},
        {"augmentation": ImageAugmenter(horizontal_flip=True)},
        {"random_state": 1},
    ],
)
def test_every_parameter_changes_the_training(digits, change):
    X, y = digits
    base = tiny().fit(X, y).predict_proba(X)
    assert not np.allclose(tiny().set_params(**change).fit(X, y).predict_proba(X), base)


def test_flip_averaging_affects_predictions_only(digits, tmp_path):
    X, y = digits
    net = tiny().fit(X, y)
    alone, mirrored = net.predict_proba(X), net.predict_proba(X[:, :, ::-1])
    features = net.transform(X)
    net.set_params(flip_averaging=True)
    averaged = net.predict_proba(X)
    np.testing.assert_allclose(averaged, (alone + mirrored) / 2, atol=1e-6)
    assert not np.allclose(averaged, alone, atol=0.01)
    np.testing.assert_array_equal(averaged, net.predict_proba(X[:, :, ::-1]))
    np.testing.assert_allclose(averaged[:1], net.predict_proba(X[:1]), atol=1e-6)
    np.testing.assert_array_equal(net.predict(X), net.classes_[averaged.argmax(axis=1)])
    np.testing.assert_array_equal(net.transform(X), features)
    twin = tiny(flip_averaging=True).fit(X, y)
    assert twin.history_["loss"] == net.history_["loss"]
    np.testing.assert_array_equal(twin.predict_proba(X), averaged)
    net.save(tmp_path / "net.skcnn")
    np.testing.assert_array_equal(load(tmp_path / "net.skcnn").predict_proba(X), averaged)


@pytest.mark.parametrize("flip", [False, True])
def test_shift_averaging_weights_the_image_and_two_shifts(digits, flip):
    X, y = digits
    net = tiny(flip_averaging=flip).fit(X, y)
    alone, features = net.predict_proba(X), net.transform(X)
    around = np.pad(X, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    shifted = [net.predict_proba(part) for part in (around[:, 2:, 2:], around[:, :-2, :-2])]
    net.set_params(shift_averaging=True)
    averaged = net.predict_proba(X)
    np.testing.assert_allclose(averaged, alone / 2 + sum(shifted) / 4, atol=1e-6)
    assert not np.allclose(averaged, alone, atol=0.01)
    np.testing.assert_allclose(averaged[:1], net.predict_proba(X[:1]), atol=1e-6)
    np.testing.assert_array_equal(net.transform(X), features)
    twin = tiny(flip_averaging=flip, shift_averaging=True).fit(X, y)
    np.testing.assert_array_equal(twin.predict_proba(X), averaged)


def test_shift_averaging_takes_images_of_one_row(digits):
    X, y = digits
    rows = X.reshape(len(X), -1)[:, :63]
    net = MiniCNN(epochs=1, random_state=0).fit(rows, y)
    assert net.input_shape_ == (1, 63, 1)
    alone = net.predict_proba(rows)
    assert not np.array_equal(net.set_params(shift_averaging=True).predict_proba(rows), alone)


# Search, pipelines, copies and representation


def test_preset_subclasses(digits):
    class Small(MiniCNN):
        """A preset with other settings."""

        epochs = 2

    class Larger(ImageClassifier):
        """An estimator with a parameter of its own."""

        def __init__(self, *, extra=1, **parameters):
            super().__init__(**parameters)
            self.extra = extra

    X, y = digits
    net = clone(Small(batch_size=50, random_state=0)).fit(X, y)
    assert net.n_iter_ == 2
    assert {"architecture", "epochs"}.isdisjoint(net.get_params())
    assert net.batch_size == 50
    twin = MiniCNN(epochs=2, batch_size=50, random_state=0).fit(X, y)
    np.testing.assert_array_equal(net.predict_proba(X), twin.predict_proba(X))
    assert set(Larger().get_params()) == {"extra", *ImageClassifier().get_params()}
    assert Larger("FCS", extra=2).architecture == "FCS"


def test_search_over_architecture_and_learning_rate(digits):
    X, y = digits
    assert is_classifier(tiny())
    search = GridSearchCV(
        ImageClassifier(epochs=15, random_state=0),
        {"architecture": ["FCS", TINY], "learning_rate": [1e-6, 0.02]},
        cv=2,
    ).fit(X.astype("uint8"), np.array([f"digit {label}" for label in y]))
    assert search.best_params_["learning_rate"] == 0.02
    assert search.best_score_ > 0.6
    assert len(search.cv_results_["params"]) == 4


def test_pipeline_clone_and_routed_parameters(digits):
    X, y = digits
    pipe = make_pipeline(MinMaxScaler(), MiniCNN(epochs=2, optimizer__momentum=0.8))
    pipe.set_params(minicnn__optimizer__adam_beta_2=0.9)
    net = clone(pipe).fit(X.reshape(-1, 64), y)[-1]
    assert net.get_params()["optimizer__momentum"] == 0.8
    assert net.model_.optimizer.adam_beta_2 == 0.9
    assert "optimizer__momentum=0.8" in repr(net)


def test_transform_gives_the_inputs_of_the_last_layer(digits):
    X, y = digits
    net = tiny().fit(X, y)
    features = net.transform(X)
    assert features.shape == (300, len(net.get_feature_names_out())) == (300, 64)
    kernel, bias = net.model_.layers[-1].get_weights()
    codes = np.argmax(features @ kernel + bias, axis=1)
    np.testing.assert_array_equal(net.classes_[codes], net.predict(X))


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"]
)
def test_copies_predict_equally_and_continue_training(digits, copied):
    X, y = digits
    assert copied(tiny()).get_params() == tiny().get_params()
    net = tiny(warm_start=True).fit(X, y)
    twin = copied(net)
    np.testing.assert_array_equal(twin.predict_proba(X), net.predict_proba(X))
    before = net.predict_proba(X)
    twin.fit(X, y)
    np.testing.assert_array_equal(net.predict_proba(X), before)


def test_summary_prints_the_layers(digits, capsys):
    net = ImageClassifier("CONV-4 -> RELU -> POOL -> FCS", epochs=1).fit(*digits)
    net.summary()
    assert capsys.readouterr().out.splitlines() == [
        "layer        output         parameters",
        "image        8 x 8 x 1               0",
        "standardize  8 x 8 x 1               2",
        "conv_1       8 x 8 x 4              36",
        "bn_1         8 x 8 x 4              16",
        "relu_1       8 x 8 x 4               0",
        "pool_1       4 x 4 x 4               0",
        "flatten      64                      0",
        "probability  10                    650",
        "total        694 trainable         704",
    ]
    assert net.model_.count_params() == 704


def test_a_notebook_shows_diagram_layers_and_losses(digits):
    net = ImageClassifier("CONV-4 -> RELU -> FCS", epochs=2)
    shown = net._repr_html_()
    for text in ("sk-top-container", "CONV-4 -&gt; RELU", "<td>CONV-4</td>", "<td>FCS</td>"):
        assert text in shown
    shown = net.fit(*digits)._repr_html_()
    for text in ("Network of 2,6", "<td>conv_1</td><td>8 x 8 x 4</td><td>36</td>"):
        assert text in shown
    assert "skcnn-history" in shown
    assert "<summary>2 epochs: " in shown
    assert shown.count("<polyline") == 1
    net.set_params(epochs=1).fit(*digits, X_val=digits[0], y_val=digits[1])
    assert net._repr_html_().count("<polyline") == 2
    assert "skcnn-network" not in ImageClassifier("nonsense")._repr_html_()
    assert "skcnn-network" not in Seq2SeqRNN()._repr_html_()


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 0, 1, 2)])
def test_channel_statistics_match_numpy(monkeypatch, order):
    monkeypatch.setattr("skcnn._training.batches.CHUNK_BYTES", 1000)
    X = np.random.default_rng(0).normal([1e4, -3, 0], [1, 0.1, 0], (40, 3, 4, 3))
    X = np.ascontiguousarray(X.transpose(order)).transpose(np.argsort(order))  # order in memory
    rows = np.arange(5, 37)
    mean, variance = channel_statistics(X, rows)
    np.testing.assert_allclose(mean, X[rows].mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(variance[:2], X[rows].var(axis=(0, 1, 2))[:2], rtol=1e-9)
    assert variance[2] == 1


# Determinism and global state

PREDICTIONS = """
import numpy as np
from skcnn import ImageAugmenter, ImageClassifier, load_digit_images
X, y = load_digit_images(return_X_y=True)
# Wide enough that TensorFlow computes with several threads.
architecture = "CONV-32 -> RELU -> DROPOUT-0.3 -> POOL -> FC-128 -> RELU -> FCS"
augmentation = ImageAugmenter(rotation_range=10, mixup=0.2)
net = ImageClassifier(architecture, epochs=1, augmentation=augmentation, random_state=3)
net.fit(X[:300], y[:300])
print(net.predict_proba(X[:500]).tobytes().hex())
"""


def test_two_processes_predict_the_same_bits(run_python):
    with ThreadPoolExecutor(2) as threads:  # at the same time
        first, second = threads.map(run_python, [PREDICTIONS] * 2)
    assert first.stdout == second.stdout != ""
    assert first.stderr == ""  # nor does TensorFlow greet


def test_folds_score_the_same_in_one_process_and_in_two(digits):
    X, y = digits
    scores = [cross_val_score(tiny(epochs=5), X, y, cv=2, n_jobs=n) for n in (1, 2)]
    np.testing.assert_array_equal(*scores)
    assert scores[0].min() > 0.2


def test_seeds(digits):
    X, y = digits

    def probability(random_state):
        return tiny(random_state=random_state).fit(X, y).predict_proba(X)

    np.testing.assert_array_equal(probability(5), probability(5))
    assert not np.array_equal(probability(5), probability(6))
    assert not np.array_equal(probability(None), probability(None))
    stream = np.random.RandomState(0)
    first, second = probability(stream), probability(stream)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(probability(np.random.RandomState(0)), first)


def test_nothing_global_changes(digits):
    X, y = digits

    def state():
        return (
            random.getstate(),
            pickle.dumps(np.random.get_state()),  # noqa: NPY002
            dict(os.environ),
            tf.config.experimental.is_op_determinism_enabled()
            if hasattr(tf.config.experimental, "is_op_determinism_enabled")
            else None,
            keras.config.dtype_policy().name,
            keras.config.floatx(),
            keras.config.image_data_format(),
            tf.config.threading.get_intra_op_parallelism_threads(),
            tf.config.threading.get_inter_op_parallelism_threads(),
            list(warnings.filters),
        )

    before = state()
    for random_state in (None, 0):
        net = ImageClassifier(
            "CONV-4 -> RELU -> DROPOUT-0.5 -> FCS",
            epochs=2,
            random_state=random_state,
            early_stopping=True,
            validation_fraction=0.3,
            augmentation=ImageAugmenter(rotation_range=10, cutout=0.2, mixup=0.2),
        )
        net.fit(X, y).predict(X)
        net.transform(X)
    assert state() == before
    # The fit does not advance TensorFlow's global generator.
    tf.random.set_seed(1)
    expected = tf.random.uniform([3]).numpy(), tf.random.uniform([3]).numpy()
    tf.random.set_seed(1)
    first = tf.random.uniform([3]).numpy()
    tiny().fit(X, y).predict(X)
    np.testing.assert_array_equal([first, tf.random.uniform([3]).numpy()], expected)
