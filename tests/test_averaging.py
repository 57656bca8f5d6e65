"""Optimizers with moving averages of the weights: the averages are validated and kept."""

import keras
import numpy as np
import pytest
from sklearn.base import clone

from skcnn import ImageClassifier, Seq2SeqRNN, load_digit_images, make_arithmetic

X, Y = (data[:96] for data in load_digit_images(return_X_y=True))
QUESTIONS, ANSWERS = make_arithmetic(55, operation="+", n_digits=1, random_state=0)
MOMENTUM = 0.8
AVERAGED = {"optimizer__use_ema": True, "optimizer__ema_momentum": MOMENTUM}
COMMON = {"epochs": 3, "batch_size": 16, "random_state": 0, "optimizer": "adam"}


def images(**parameters):
    return ImageClassifier("FC-8 -> RELU -> FCS", **COMMON, **parameters), (X, Y)


def strings(**parameters):
    net = Seq2SeqRNN(decoder="repeat", cell="gru", hidden_size=4, **COMMON, **parameters)
    return net, (QUESTIONS, ANSWERS)


KINDS = pytest.mark.parametrize("make", [images, strings])


class Steps(keras.callbacks.Callback):
    """Keep the weights after every step and after every epoch."""

    def __init__(self, *, stop_after=None, interrupt_at=None):
        super().__init__()
        self.stop_after = stop_after
        self.interrupt_at = interrupt_at
        self.of_steps, self.of_epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.of_steps.append(self.model.get_weights())
        if len(self.of_steps) == self.interrupt_at:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        self.of_epochs.append(self.model.get_weights())
        if epoch + 1 == self.stop_after:
            self.model.stop_training = True


def average(of_steps):
    """Average the weights of all steps, as Keras defines it."""
    result = of_steps[0]
    for weights in of_steps[1:]:
        result = [MOMENTUM * a + (1 - MOMENTUM) * w for a, w in zip(result, weights, strict=True)]
    return result


def assert_close(some, others):
    for one, other in zip(some, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def equal(one, other):
    return all(map(np.array_equal, one.model_.get_weights(), other.model_.get_weights()))


@KINDS
def test_averages_are_validated_and_kept(make):
    steps = Steps()
    net, (X, y) = make(callbacks=steps, **AVERAGED)
    fitted = net.fit(X, y, X_val=X, y_val=y)
    n_batches = len(steps.of_steps) // 3
    for epoch, weights in enumerate(steps.of_epochs, start=1):
        assert_close(weights, average(steps.of_steps[: epoch * n_batches]))
    assert_close(fitted.model_.get_weights(), average(steps.of_steps))
    # The training goes on from the last weights, not from their average.
    plain, usual = Steps(), make()[0]
    usual.set_params(callbacks=plain).fit(X, y)
    for averaged, last in zip(steps.of_steps, plain.of_steps, strict=True):
        assert_close(averaged, last)


def test_validation_and_scores_are_those_of_the_averages():
    net, _ = images(**AVERAGED, scoring="neg_log_loss", label_smoothing=0.0)
    fitted = net.fit(X, Y, X_val=X, y_val=Y)
    assert fitted.history_["val_accuracy"][-1] == pytest.approx(fitted.score(X, Y))
    logs = fitted.history_
    np.testing.assert_allclose(logs["val_loss"], np.negative(logs["val_neg_log_loss"]), rtol=1e-4)
    usual, _ = images(label_smoothing=0.0)
    last = usual.fit(X, Y, X_val=X, y_val=Y).history_
    np.testing.assert_array_equal(last["loss"], logs["loss"])
    assert min(np.abs(np.subtract(last["val_loss"], logs["val_loss"]))) > 0.01


@pytest.mark.parametrize(("stop", "n_steps"), [({"stop_after": 2}, 12), ({"interrupt_at": 8}, 8)])
def test_averages_are_kept_where_training_stops(stop, n_steps):
    steps = Steps(**stop)
    net, _ = images(callbacks=steps, **AVERAGED)
    if "interrupt_at" in stop:
        with pytest.warns(UserWarning, match="was interrupted"):
            net.fit(X, Y)
    else:
        net.fit(X, Y)
    assert len(steps.of_steps) == n_steps
    assert_close(net.model_.get_weights(), average(steps.of_steps))


def test_early_stopping_keeps_the_best_averages():
    net, _ = images(callbacks=Steps(), early_stopping=True, n_iter_no_change=2, **AVERAGED)
    net.set_params(epochs=15, learning_rate=0.3, validation_fraction=0.3)
    fitted = net.fit(X, Y)
    assert fitted.best_iteration_ < fitted.n_iter_
    best = net.callbacks.of_epochs[fitted.best_iteration_ - 1]
    for one, other in zip(fitted.model_.get_weights(), best, strict=True):
        np.testing.assert_array_equal(one, other)


class Stop(keras.callbacks.Callback):
    """End the process before an epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise SystemExit


@KINDS
def test_resumed_training_is_bit_identical(make, tmp_path):
    net, (X, y) = make(**AVERAGED)
    expected = clone(net).fit(X, y)
    interrupted = clone(net).set_params(checkpoint_dir=tmp_path)
    with pytest.raises(SystemExit):
        clone(interrupted).set_params(callbacks=Stop()).fit(X, y)
    assert equal(interrupted.fit(X, y), expected)


def test_a_warm_start_continues_from_the_averages():
    net, _ = images(warm_start=True, **AVERAGED)
    before = net.fit(X, Y).model_.get_weights()
    tiny = {"learning_rate": 1e-30, "learning_rate_schedule": "constant"}
    assert_close(net.set_params(**tiny).fit(X, Y).model_.get_weights(), before)


def test_averages_that_would_be_wrong_are_refused():
    net, _ = images(**AVERAGED)
    with pytest.raises(ValueError, match="partial_fit does not support an optimizer with use_ema"):
        net.partial_fit(X, Y)
    swap = keras.callbacks.SwapEMAWeights()
    for optimizer in ("adam", keras.optimizers.Adam(use_ema=True)):
        given = ImageClassifier("FCS", optimizer=optimizer, callbacks=swap)
        with pytest.raises(ValueError, match="callbacks has a SwapEMAWeights"):
            given.fit(X, Y)
