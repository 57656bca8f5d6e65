"""Image regressors and multi-label classifiers."""

import copy
import pickle

import keras
import numpy as np
import pandas as pd
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from scipy.sparse import csr_array, csr_matrix
from sklearn.base import clone, is_regressor
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, cross_val_score
from sklearn.preprocessing import MultiLabelBinarizer

from skcnn import ImageAugmenter, ImageClassifier, ImageRegressor, load, load_digit_images

X, DIGITS = (data[:300] for data in load_digit_images(return_X_y=True))
INK = X.sum(axis=(1, 2))
TWO = np.stack([INK, 1e6 * X[:, :4].sum(axis=(1, 2)) - 3e7], axis=1)
LABELS = np.stack([DIGITS % 2 == 0, DIGITS > 4, DIGITS % 3 == 0], axis=1).astype(int)
NETWORK = "FC-32 -> RELU -> FCS"


def regressor(**parameters):
    return ImageRegressor(
        **{"architecture": NETWORK, "epochs": 5, "random_state": 0, **parameters}
    )


def classifier(**parameters):
    return ImageClassifier(
        **{"architecture": NETWORK, "epochs": 5, "random_state": 0, **parameters}
    )


# Regression


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_predictions_have_the_units_of_the_targets(loss):
    net = regressor(loss=loss, epochs=15).fit(X, INK)
    assert is_regressor(net)
    assert net.predict(X).shape == (300,)
    assert net.score(X, INK) == r2_score(INK, net.predict(X)) > 0.8
    many = regressor(loss=loss, epochs=15).fit(X, TWO)
    assert many.predict(X).shape == (300, 2)
    assert r2_score(TWO, many.predict(X), multioutput="raw_values").min() > 0.7


def test_losses_match_keras():
    net = regressor(loss="absolute_error", epochs=1, batch_size=300, learning_rate=1e-9)
    net.fit(X, INK)
    error = np.abs(net.predict(X) - INK).mean() / INK.std()
    assert net.history_["loss"][0] == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_predictions_follow_the_scale_of_the_targets(scale):
    one, other = regressor().fit(X, INK), regressor().fit(X, scale * INK + 7)
    np.testing.assert_allclose(other.predict(X), scale * one.predict(X) + 7, rtol=1e-4)


@pytest.mark.parametrize("target", [INK, TWO], ids=["one", "two"])
def test_saved_regressor_loads_and_continues(target, tmp_path):
    net = regressor().fit(X, target)
    net.save(tmp_path / "net.skcnn")
    for again in (load(tmp_path / "net.skcnn"), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(again.predict(X), net.predict(X))
        expected = copy.deepcopy(net).partial_fit(X, target).predict(X)
        np.testing.assert_array_equal(again.partial_fit(X, target).predict(X), expected)


def test_a_regressor_resumes_from_a_checkpoint(tmp_path):
    class Dies(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                raise RuntimeError

    settings = {"checkpoint_dir": tmp_path, "early_stopping": True}
    with pytest.raises(RuntimeError):
        regressor(**settings, callbacks=[Dies()]).fit(X, INK)
    resumed = regressor(**settings).fit(X, INK)
    whole = regressor(early_stopping=True).fit(X, INK)
    np.testing.assert_array_equal(resumed.predict(X), whole.predict(X))


def test_early_stopping_of_a_regressor_monitors_the_validation_loss():
    net = regressor(epochs=60, early_stopping=True, n_iter_no_change=2, learning_rate=0.1)
    losses = net.fit(X, INK).history_["val_loss"]
    assert net.n_iter_ == len(losses) == net.best_iteration_ + 2 < 60
    assert net.best_iteration_ == np.argmin(losses) + 1


def test_only_mixup_changes_the_targets():
    augmented = regressor(augmentation=ImageAugmenter(rotation_range=20, horizontal_flip=True))
    assert augmented.fit(X, INK).score(X, INK) > 0.5
    mixed = regressor(augmentation=ImageAugmenter(mixup=1.0)).fit(X, INK)
    assert mixed.score(X, INK) > 0.3
    weighted = clone(mixed).fit(X, INK, sample_weight=np.where(DIGITS < 5, 1.0, 1e-6))
    assert weighted.score(X[DIGITS < 5], INK[DIGITS < 5]) > 0.3


def test_samples_of_weight_zero_do_not_count():
    weight = (np.arange(300) < 200).astype(float)
    spoilt = np.where(weight > 0, INK, 1e9)
    one = regressor().fit(X, INK, sample_weight=weight)
    other = regressor().fit(X, spoilt, sample_weight=weight)
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


def test_a_regressor_is_searched_on_files(tmp_path):
    for row, image in enumerate((X[:60] * 15).astype(np.uint8)):
        Image.fromarray(image).save(tmp_path / f"{row:02}.png")
    paths = sorted(tmp_path.glob("*.png"))
    grid = {"loss": ["huber", "squared_error"], "augmentation__rotation_range": [0, 5]}
    search = GridSearchCV(regressor(augmentation=ImageAugmenter()), grid, cv=2)
    assert search.fit(paths, INK[:60]).predict(paths).shape == (60,)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_an_exported_regressor_has_its_units_in_the_metadata(tmp_path):
    net = regressor().fit(X, INK)
    net.export(tmp_path / "net.tflite", "litert")
    interpreter = Interpreter(str(tmp_path / "net.tflite"))
    run = interpreter.get_signature_runner()
    (name,) = run.get_input_details()
    (outputs,) = run(**{name: X[:1, ..., None].astype(np.float32)}).values()
    units = net._metadata()
    np.testing.assert_allclose(
        outputs[:, 0] * units["scale"] + units["mean"], net.predict(X[:1]), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda: regressor(loss="mse").fit(X, INK), "'loss' parameter"),
        (lambda: regressor().fit(X, INK * np.nan), "y contains NaN"),
        (lambda: regressor().fit(X, np.array(["a"] * 300)), "could not convert string|numeric"),
        (lambda: regressor().fit(X, np.zeros((300, 2, 2))), "dim 3|dimensions|ndim"),
        (lambda: regressor().fit(X, INK[1:]), "inconsistent numbers of samples"),
        (lambda: regressor().fit(X, INK).partial_fit(X, TWO), "y must have 1 numbers"),
        (lambda: regressor().partial_fit(X, INK, classes=[0, 1]), "classes must be None"),
        (lambda: regressor(architecture="CONV-8").fit(X, INK), "expected '-> FCS'"),
    ],
)
def test_bad_targets_of_a_regressor_are_refused(fit, message):
    with pytest.raises(ValueError, match=message):
        fit()


@pytest.mark.parametrize("name", ["class_weight", "label_smoothing"])
def test_regressors_have_no_classifier_parameters(name):
    with pytest.raises(TypeError, match=name):
        ImageRegressor(**{name: 0.1})


def test_column_vector_y_warns():
    with pytest.warns(DataConversionWarning):
        net = regressor().fit(X, INK[:, None])
    assert net.predict(X).shape == (300,)


def test_a_constant_target_is_predicted():
    assert regressor(epochs=1).fit(X, np.full(300, 3.0)).predict(X) == pytest.approx(3, abs=2)


# Multi-label classification


@pytest.mark.parametrize(
    "form", [np.asarray, csr_array, csr_matrix, pd.DataFrame, np.ndarray.tolist]
)
def test_indicator_matrices(form):
    net = classifier(epochs=15).fit(X, form(LABELS))
    predicted = net.predict(X)
    assert predicted.shape == (300, 3)
    assert set(np.unique(predicted)) == {0, 1}
    probability = net.predict_proba(X)
    np.testing.assert_array_equal(predicted, probability > 0.5)
    assert net.score(X, LABELS) == accuracy_score(LABELS, predicted) > 0.8
    assert net.history_["subset_accuracy"][-1] > 0.7
    np.testing.assert_array_equal(net.classes_, [0, 1, 2])


def test_multi_label_binarizer_round_trip():
    tags = [[name for name, has in zip("abc", row, strict=True) if has] for row in LABELS]
    binarizer = MultiLabelBinarizer()
    net = classifier(epochs=15).fit(X, binarizer.fit_transform(tags))
    found = binarizer.inverse_transform(net.predict(X))
    assert np.mean([list(one) == other for one, other in zip(found, tags, strict=True)]) > 0.8


def test_saved_multilabel_classifier_loads_and_continues(tmp_path):
    net = classifier().fit(X, LABELS)
    net.save(tmp_path / "net.skcnn")
    again = load(tmp_path / "net.skcnn")
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    net.partial_fit(X, LABELS)
    np.testing.assert_array_equal(
        again.partial_fit(X, LABELS).predict_proba(X), net.predict_proba(X)
    )


def test_classes_of_partial_fit_name_the_columns():
    names = ["a", "b", "c"]
    net = classifier().partial_fit(X, LABELS, classes=names)
    assert net.classes_.tolist() == names
    assert net.partial_fit(X, LABELS, classes=names).n_iter_ == 2
    with pytest.raises(ValueError, match=r"classes=.* are not those of the first call"):
        net.partial_fit(X, LABELS, classes=["a", "b", "d"])


def test_early_stopping_of_multilabel_monitors_subset_accuracy():
    net = classifier(epochs=40, early_stopping=True, n_iter_no_change=2).fit(X, LABELS)
    accuracy = net.history_["val_subset_accuracy"]
    assert net.best_iteration_ == np.argmax(accuracy) + 1
    assert net.n_iter_ < 40


def test_initial_bias_matches_label_frequencies():
    rare = LABELS.copy()
    rare[10:, 0] = 0
    net = classifier(epochs=1, learning_rate=1e-30).fit(X, rare)
    expected = (rare.sum(axis=0) + 1) / 302
    bias = net.model_.layers[-1].bias.numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-bias)), expected, rtol=1e-4)


def test_weights_and_mixup_of_several_labels():
    weight = np.where(np.arange(300) < 200, 1.0, 0.0)
    spoilt = np.where(weight[:, None] > 0, LABELS, 1 - LABELS)
    settings = {"augmentation": ImageAugmenter(mixup=0.2), "epochs": 10}
    one = classifier(**settings).fit(X, LABELS, sample_weight=weight)
    other = classifier(**settings).fit(X, spoilt, sample_weight=weight)
    assert one.score(X[:200], LABELS[:200]) > 0.6
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_cross_validation_and_thresholds_of_several_labels():
    assert cross_val_score(classifier(epochs=10), X, LABELS, cv=3).mean() > 0.4
    strict = FixedThresholdClassifier(classifier(), threshold=0.9)
    strict.fit(X, LABELS[:, 0])
    assert strict.predict(X).sum() < classifier().fit(X, LABELS[:, 0]).predict(X).sum()


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda: classifier(class_weight="balanced").fit(X, LABELS), "class_weight='balanced'"),
        (lambda: classifier(class_weight={0: 2.0}).fit(X, LABELS), "class_weight={0: 2.0}"),
        (lambda: classifier().fit(X, LABELS * 2 + 1), r"y must be 1d array.*indicator matrix"),
        (lambda: classifier().fit(X, LABELS).partial_fit(X, LABELS[:, :2]), "of 3 columns"),
        (lambda: classifier().fit(X, LABELS).partial_fit(X, DIGITS), "as in the first fit"),
        (lambda: classifier().fit(X, DIGITS).partial_fit(X, LABELS), "as in the first fit"),
        (lambda: classifier().partial_fit(X, LABELS, classes=[0, 1]), "classes must.*3 columns"),
        (lambda: classifier().partial_fit(X, LABELS, classes="abcd"), "got 1 labels: 'abcd'"),
    ],
)
def test_bad_indicator_matrices_are_refused(fit, message):
    with pytest.raises(ValueError, match=message):
        fit()
