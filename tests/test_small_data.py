"""Settings that are chosen for small data, and warnings where nothing is learned."""

import warnings

import keras
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_score

from skcnn import (
    ImageClassifier,
    ImageRegressor,
    MiniCNN,
    PretrainedClassifier,
    load_digit_images,
)
from skcnn._training.batches import automatic_batch_size
from skcnn.heads import ClassesHead, LabelsHead, NumbersHead

X, Y = (data[:150] for data in load_digit_images(return_X_y=True))
BLANK = np.zeros_like(X)
RNG = np.random.default_rng(0)


def net(kind=ImageClassifier, **parameters):
    return kind("FC-8 -> RELU -> FCS", **{"epochs": 6, "random_state": 0, **parameters})


# Batch size


@pytest.mark.parametrize(
    ("n_samples", "expected"),
    [(1, 1), (5, 5), (60, 8), (129, 8), (150, 9), (1300, 77), (2048, 128), (45_000, 128)],
)
def test_automatic_batch_size(n_samples, expected):
    assert automatic_batch_size(n_samples, 16, 8, 128) == expected


def test_automatic_batches_have_nearly_equal_sizes():
    for n_samples in range(1, 3000, 7):
        size = automatic_batch_size(n_samples, 16, 8, 128)
        n_batches = -(-n_samples // size)
        assert n_batches * size - n_samples < n_batches  # the last one lacks less than one a batch


@pytest.mark.parametrize("batch_size", ["auto", 40])
def test_chosen_settings_are_attributes(batch_size):
    fitted = net(batch_size=batch_size, epochs=3).fit(X, Y)
    assert fitted.batch_size_ == {"auto": 9}.get(batch_size, 40)
    assert fitted.n_steps_ == 3 * -(-150 // fitted.batch_size_)
    assert fitted.learning_rate_ == pytest.approx(0.01)
    again = fitted.set_params(warm_start=True, epochs=1, learning_rate=0.002).fit(X, Y)
    assert again.n_steps_ == -(-150 // fitted.batch_size_)
    assert again.learning_rate_ == pytest.approx(0.002)


def test_attributes_of_a_keras_schedule_and_early_stopping():
    decay = keras.optimizers.schedules.ExponentialDecay(0.05, 1, 0.5)
    assert net(learning_rate_schedule=decay).fit(X, Y).learning_rate_ == pytest.approx(0.05)
    stopped = net(early_stopping=True, epochs=100, n_iter_no_change=1).fit(X, Y)
    assert stopped.n_steps_ == stopped.n_iter_ * -(-135 // stopped.batch_size_)


def test_attributes_of_the_second_phase_of_a_pretrained_network():
    fitted = PretrainedClassifier(net().fit(X, Y), frozen_epochs=2, epochs=3, batch_size="auto")
    fitted.fit(X, Y)
    assert (fitted.batch_size_, fitted.n_steps_) == (9, 3 * 17)
    assert fitted.learning_rate_ == pytest.approx(0.001)


# Failed training


FAILED = {
    "classes": (net(), Y),
    "smoothed": (net(label_smoothing=0.2), Y),
    "labels": (net(), np.eye(10, dtype=int)[Y]),
    "numbers": (net(ImageRegressor), RNG.normal(5, 3, 150)),
    "absolute errors": (net(ImageRegressor, loss="absolute_error"), RNG.normal(5, 3, (150, 2))),
}


@pytest.mark.parametrize("name", FAILED)
def test_training_that_learns_nothing_warns(name):
    estimator, y = FAILED[name]
    with pytest.warns(ConvergenceWarning, match=r"learned next to nothing.*batch_size \(now 9\)"):
        estimator.fit(BLANK, y)


@pytest.mark.parametrize("name", FAILED)
def test_training_that_learns_does_not_warn(name):
    estimator, y = FAILED[name]
    images = X + 0.0
    images[:, 0, 0] = 3 * y if y.ndim == 1 else 3 * y[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        estimator.fit(images, y)


@pytest.mark.parametrize(("n_samples", "epochs"), [(24, 214), (100, 50), (1_000, 38)])
def test_automatic_number_of_epochs_has_enough_steps(n_samples, epochs):
    images, labels = (each[:n_samples] for each in load_digit_images(return_X_y=True))
    fitted = net(epochs="auto").fit(images, labels)
    assert fitted.n_iter_ == epochs
    assert fitted.n_steps_ >= 640
    assert fitted.n_steps_ - fitted.n_steps_ / epochs < 640


def test_warnings_point_to_the_line_of_the_user():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        net(epochs=6).fit(BLANK, Y)
        cross_val_score(net(), X.reshape(len(X), -1), Y, cv=2)
    places = {(each.category, each.filename) for each in seen}
    assert places == {(ConvergenceWarning, __file__), (UserWarning, __file__)}


def test_no_warning_in_the_first_epochs():
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        net(epochs=4).fit(BLANK, Y)
        net(epochs=6).partial_fit(BLANK, Y)


def test_baseline_is_the_loss_of_a_constant_prediction():
    rows = np.arange(100)
    weight = RNG.uniform(0.5, 2, 150)
    head = ClassesHead(np.arange(10))
    targets = head.encode(Y)
    share = np.bincount(Y[rows], weight[rows], 10) / weight[rows].sum()
    constant = np.tile(share, (100, 1))
    expected = log_loss(Y[rows], constant, sample_weight=weight[rows], labels=np.arange(10))
    assert head.baseline(targets, rows, weight) == pytest.approx(expected)
    smoothed = ClassesHead(np.arange(10), 0.1)
    share = np.bincount(Y[rows], minlength=10) / 100
    best = np.float32(np.tile(0.9 * share + 0.01, (100, 1)))
    loss = float(smoothed.loss()(targets[rows], best))
    assert smoothed.baseline(targets, rows, None) == pytest.approx(loss, rel=1e-5)
    several = LabelsHead(10, 0.1)
    best = np.float32(np.tile(0.9 * share + 0.05, (100, 1)))
    loss = float(several.loss()(targets[rows], best))
    assert several.baseline(targets[:], rows, None) == pytest.approx(loss, rel=1e-5)
    numbers = NumbersHead(0.0, 1.0, "squared_error")
    y = numbers.encode(RNG.normal(size=150))
    assert numbers.baseline(y, rows, None) == pytest.approx(y[rows].var(), rel=1e-5)


# The last layer


def textures(n_samples, rng, side=48):
    """Noise that is smooth along one axis or the other, wherever one looks."""
    y = rng.integers(2, size=n_samples)
    values = rng.normal(size=(n_samples, side, side + 4))
    smooth = np.stack([values[..., shift : side + shift] for shift in range(5)]).mean(axis=0)
    return np.where(y[:, None, None], smooth.transpose(0, 2, 1), smooth)[..., None], y


def test_a_last_layer_that_reads_a_large_map_learns_from_few_images():
    # 18,432 inputs, of which a random kernel, or steps as for few inputs, would make chance.
    rng = np.random.default_rng(0)
    fitted = MiniCNN(epochs=10, random_state=0).fit(*textures(60, rng))
    assert fitted.score(*textures(200, rng)) > 0.95


@pytest.mark.parametrize(
    ("architecture", "equal"),
    [("CONV-4 -> RELU -> FCS", True), ("CONV-2 -> RELU -> FCS", False), ("FC-200 -> FCS", False)],
)
def test_a_last_layer_that_reads_a_large_map_starts_at_zero(architecture, equal):
    fitted = ImageClassifier(architecture, learning_rate=1e-30, epochs=1, random_state=0).fit(X, Y)
    assert np.allclose(fitted.predict_proba(X[:5]), 0.1, rtol=1e-6) == equal


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
@pytest.mark.parametrize(
    ("architecture", "share"),
    [
        ("CONV-8 -> RELU -> FCS", 128 / 512),
        ("CONV-2 -> RELU -> FCS", 1),
        ("CONV-8 -> RELU -> FC-512 -> RELU -> FCS", 1),
    ],
)
def test_the_rate_of_a_last_layer_falls_with_the_size_of_its_map(architecture, share, optimizer):
    # The first step of Adam is the rate, except where the gradient is zero.
    fitted = ImageClassifier(architecture, random_state=0, epochs=1, batch_size=150)
    fitted.set_params(optimizer=optimizer, learning_rate_schedule="constant", weight_decay=0.0)
    before = fitted.set_params(learning_rate=1e-30).fit(X, Y).model_.layers[-1].kernel.numpy()
    after = fitted.set_params(learning_rate=1e-3).fit(X, Y).model_.layers[-1].kernel.numpy()
    assert np.abs(after - before).max() == pytest.approx(1e-3 * share, rel=1e-2)
