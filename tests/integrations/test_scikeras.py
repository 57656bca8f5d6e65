"""The model-building function in scikeras's own wrappers."""

import keras
import numpy as np
import pytest
from marks import slow
from scikeras.wrappers import KerasClassifier, KerasRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skcnn import build_model, load_digit_images
from skcnn.image.networks import build_network
from skcnn.image.presets import ARCHITECTURES

X, Y = load_digit_images(return_X_y=True)
TEST_X, TEST_Y = X[1000:1300], Y[1000:1300]
X, Y = X[:600], Y[:600]
SMALL = "BN -> CONV-8 -> RELU -> POOL -> FCS"


def classifier(architecture=SMALL, **parameters):
    defaults = {"epochs": 5, "optimizer": "adam", "optimizer__learning_rate": 0.01}
    parameters = {**defaults, "random_state": 0, "verbose": 0, **parameters}
    return KerasClassifier(build_model, architecture=architecture, **parameters)


def test_a_search_over_the_architecture_finds_the_better_network():
    # Without a BN at the start, unscaled pixels and one epoch of a small rate are not enough.
    grid = {"model__architecture": ["BN -> DROPOUT-0.99 -> FCS", SMALL]}
    search = GridSearchCV(classifier(), grid, cv=2, n_jobs=1).fit(X, Y)
    assert search.best_params_ == {"model__architecture": SMALL}
    assert search.score(TEST_X, TEST_Y) > 0.85


def test_batch_norm_of_the_wrapper_changes_the_network():
    sizes = [
        classifier(batch_norm=each, epochs=1).fit(X[:50], Y[:50]).model_.count_params()
        for each in (False, True)
    ]
    assert sizes[1] - sizes[0] == 3 * 8  # four values a filter in place of its bias


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_presets_have_their_architecture(name):
    meta = {
        "X_shape_": (50, 8, 8),
        "n_classes_": 10,
        "n_outputs_": 1,
        "target_type_": "multiclass",
    }
    built = build_model(name, meta=meta, compile_kwargs={"optimizer": "adam", "loss": None})
    expected = build_network(
        architecture=ARCHITECTURES[name],
        input_shape=(8, 8, 1),
        n_outputs=10,
        batch_norm=True,
        standardize=False,
    )
    assert built.count_params() == expected.count_params()
    assert built.loss == "sparse_categorical_crossentropy"


def test_images_and_rows_learn_the_same():
    images = classifier().fit(X[..., None], Y).predict_proba(TEST_X[..., None])
    grey = classifier().fit(X, Y).predict_proba(TEST_X)
    flat = classifier(input_shape=(8, 8)).fit(X.reshape(600, -1), Y)
    rows = flat.predict_proba(TEST_X.reshape(300, -1))
    np.testing.assert_allclose(grey, images, atol=1e-6)
    np.testing.assert_allclose(rows, images, atol=1e-6)


def test_random_state_seeds_weights_and_dropout():
    architecture = "BN -> FC-8 -> RELU -> DROPOUT-0.5 -> FCS"
    one, same, other = (
        classifier(architecture, random_state=seed, epochs=1).fit(X, Y).predict_proba(TEST_X)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert abs(one - other).max() > 0.01


@pytest.mark.parametrize("loss", [None, "binary_crossentropy"])
def test_two_classes(loss):
    labels = np.array(["even", "odd"])
    fitted = classifier(loss=loss).fit(X, labels[Y % 2])
    assert fitted.score(TEST_X, labels[TEST_Y % 2]) > 0.8
    assert fitted.predict_proba(TEST_X).shape == (300, 2)


def test_categorical_crossentropy():
    fitted = classifier(loss="categorical_crossentropy", metrics=["accuracy"]).fit(X, Y)
    assert fitted.score(TEST_X, TEST_Y) > 0.85
    assert fitted.history_["accuracy"][-1] > 0.85


def test_several_labels():
    labels = np.stack([Y % 2 == 0, Y > 4, Y == 0], axis=1).astype(int)
    fitted = classifier().fit(X, labels)
    assert (fitted.predict(X) == labels).mean() > 0.85


@pytest.mark.parametrize("n_outputs", [2, *slow(1)])
def test_regression(n_outputs):
    target = np.stack([X.mean((1, 2)), X[:, :4].mean((1, 2))], axis=1)[:, :n_outputs].squeeze()
    net = KerasRegressor(
        build_model,
        architecture="FC-16 -> RELU -> FCS",
        optimizer="adam",
        optimizer__learning_rate=0.01,
        epochs=30,
        batch_size=100,
        random_state=0,
        verbose=0,
    )
    pipeline = make_pipeline(FunctionTransformer(lambda X: X / 16), net)
    search = GridSearchCV(
        pipeline, {"kerasregressor__model__architecture": ["FC-16 -> RELU -> FCS"]}, cv=2
    )
    assert search.fit(X, target).best_score_ > 0.7
    assert search.predict(X).shape == target.shape


def test_a_fitted_wrapper_saves_a_model_that_keras_loads(tmp_path):
    fitted = classifier().fit(X, Y)
    fitted.model_.save(tmp_path / "a.keras")
    loaded = keras.saving.load_model(tmp_path / "a.keras")
    np.testing.assert_allclose(
        loaded.predict(TEST_X, verbose=0), fitted.predict_proba(TEST_X), atol=1e-6
    )


@pytest.mark.parametrize(
    ("images", "input_shape"),
    [(X.reshape(600, -1), None), (X.reshape(600, -1), (8, 9)), (X, (4, 16)), (X, (8, 8, 2))],
)
def test_samples_of_another_shape_raise(images, input_shape):
    with pytest.raises(ValueError, match=r"X must have images.*got samples of shape"):
        classifier(input_shape=input_shape).fit(images, Y)


def test_bad_architectures_and_targets_raise():
    with pytest.raises(ValueError, match=r"unknown layer CNV; did you mean CONV-m"):
        classifier("CNV-3 -> FCS").fit(X, Y)
    with pytest.raises(ValueError, match=r"got a multiclass-multioutput target"):
        classifier().fit(X, np.stack([Y, Y], axis=1))
