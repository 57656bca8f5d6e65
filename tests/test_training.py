import fcntl
import math
import os
import pickle
import pty
import struct
import sys
import termios
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import cross_val_score

from skcnn import FeedForward, ImageClassifier, clear_compiled, load_digit_images
from skcnn._training.callbacks import EpochLog
from skcnn._training.optimizers import SCHEDULES, cosine, default_learning_rate, one_cycle

X, Y = (data[:150] for data in load_digit_images(return_X_y=True))


def net(**parameters):
    defaults = {"architecture": "CONV-4 -> RELU -> FCS", "epochs": 4, "random_state": 0}
    return ImageClassifier(**{**defaults, **parameters})


def test_one_cycle_rises_over_a_quarter_and_falls_to_zero():
    progress = [0, 0.125, 0.25, 0.625, 1]
    assert [one_cycle(p) for p in progress] == [0, 0.5, 1, 0.5, 0]


def test_cosine_falls_from_one_to_zero():
    np.testing.assert_allclose([cosine(p) for p in (0, 0.5, 1)], [1, 0.5, 0], atol=1e-15)


@pytest.mark.parametrize("schedule", SCHEDULES.values())
def test_schedules_are_fractions_of_the_peak(schedule):
    values = np.array([schedule(p) for p in np.linspace(0, 1, 101)])
    assert values.min() >= 0
    assert values.max() == pytest.approx(1)


def test_default_learning_rates():
    optimizers = keras.optimizers
    # Keras 3 changed Adadelta's default of 1.0
    assert default_learning_rate(optimizers.Adadelta, "constant") == 1.0
    assert default_learning_rate(optimizers.Adam, "constant") == pytest.approx(0.001)
    assert default_learning_rate(optimizers.Adam, "one_cycle") == 0.01
    assert default_learning_rate(optimizers.Lion, "one_cycle") == pytest.approx(
        float(optimizers.Lion().learning_rate)
    )


@pytest.mark.parametrize(
    ("parameters", "rate"),
    [
        ({}, 0.003),
        ({"optimizer": "sgd"}, 0.03),
        ({"learning_rate": 0.02}, 0.02),
        ({"learning_rate_schedule": "constant"}, 0.001),
        ({"optimizer": keras.optimizers.Adam(0.004)}, 0.004),
    ],
)
def test_feed_forward_has_default_rates_of_its_own(parameters, rate):
    fitted = FeedForward(epochs=1, random_state=0, **parameters).fit(X, Y)
    assert fitted.learning_rate_ == pytest.approx(rate)
    assert fitted.label_smoothing == 0


class Interrupts(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch == self.epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now:
            raise KeyboardInterrupt


@pytest.mark.parametrize("early_stopping", [False, True])
def test_interrupt_keeps_the_learned_weights(early_stopping):
    interrupted = net(callbacks=[Interrupts(2)], early_stopping=early_stopping)
    with pytest.warns(UserWarning, match="interrupted after epoch 2 of 4"):
        interrupted.fit(X, Y)
    whole = net(early_stopping=early_stopping).fit(X, Y)
    assert interrupted.n_iter_ == 2
    assert interrupted.history_["loss"] == whole.history_["loss"][:2]
    assert interrupted.predict(X).shape == Y.shape
    if early_stopping:
        assert interrupted.best_iteration_ in (1, 2)
    # and later fits are not affected
    np.testing.assert_array_equal(
        net(early_stopping=early_stopping).fit(X, Y).predict_proba(X), whole.predict_proba(X)
    )


def test_interrupt_before_the_first_epoch_raises():
    interrupted = net(callbacks=[Interrupts(0)])
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(X, Y)
    with pytest.raises(NotFittedError):
        interrupted.predict(X)


class Spoils(keras.callbacks.Callback):
    """Make the loss infinite from an epoch on."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.model.set_weights([weight * np.nan for weight in self.model.get_weights()])


@pytest.mark.parametrize("early_stopping", [False, True])
def test_diverging_training_keeps_the_best_weights(early_stopping):
    diverged = net(callbacks=[Spoils(2)], early_stopping=early_stopping)
    with pytest.warns(ConvergenceWarning, match="nan in epoch 3. .* Try a smaller learning_rate"):
        diverged.fit(X, Y)
    assert diverged.n_iter_ == 3
    assert math.isnan(diverged.history_["loss"][2])
    assert 1 <= diverged.best_iteration_ <= 2
    assert diverged.score(X, Y) > 0.15
    # and the invalid state of the optimizer is reset
    diverged.set_params(callbacks=None, early_stopping=False).partial_fit(X, Y)
    assert np.isfinite(diverged.predict_proba(X)).all()
    assert np.isfinite(diverged.history_["loss"][3])


def test_early_stopping_restores_weights_of_this_fit():
    validation = {"X_val": X, "y_val": Y}
    first = net(early_stopping=True, warm_start=True, epochs=3).fit(X, Y, **validation)
    second = clone(first).fit(X, Y, **validation).set_params(learning_rate=0.2, n_iter_no_change=1)
    second.fit(X, Y, **validation)
    assert second.n_iter_ == len(second.history_["val_accuracy"]) > 3
    assert second.best_iteration_ > 3
    best = second.history_["val_accuracy"][second.best_iteration_ - 1]
    assert second.score(X, Y) == pytest.approx(best, abs=1e-6)


def test_warm_start_restarts_the_learning_rate_cycle():
    fitted = net(warm_start=True, epochs=2).fit(X, Y).fit(X, Y)
    rates = fitted.history_["learning_rate"]
    assert rates[:2] == pytest.approx(rates[2:])
    assert rates[1] < rates[0]


def test_a_name_that_not_all_epochs_log_is_nan_in_the_others():
    fitted = net(warm_start=True, epochs=1).fit(X, Y)
    fitted.fit(X, Y, X_val=X, y_val=Y).fit(X, Y)
    values = fitted.history_["val_accuracy"]
    assert [math.isnan(value) for value in values] == [True, False, True]
    assert {len(values) for values in fitted.history_.values()} == {3}


def test_history_includes_logs_of_user_callbacks():
    class Logs(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["twice"] = 2 * epoch

    assert net(callbacks=[Logs()]).fit(X, Y).history_["twice"] == [0, 2, 4, 6]
    history = {}
    log = EpochLog(history)
    log.set_model(keras.Sequential([keras.layers.Dense(1)]))
    log.model.compile("adam", "mse")
    log.on_epoch_begin(0)
    log.on_epoch_end(0, {"loss": 1})
    assert set(history) == {"loss", "learning_rate", "seconds"}


def test_folds_do_not_share_callbacks():
    mine = Interrupts(99)
    scores = cross_val_score(net(callbacks=[mine]), X, Y, cv=3, error_score="raise")
    assert len(scores) == 3
    assert not hasattr(mine, "now")


def all_of(reader):
    shown = b""
    while True:
        try:
            part = os.read(reader, 10_000)
        except OSError:  # nobody has the terminal any more
            return shown
        if not part:
            return shown
        shown += part


def test_progress_bar_shows_epoch_metrics_and_eta(monkeypatch):
    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 150, 0, 0))
    with ThreadPoolExecutor(1) as thread, os.fdopen(terminal, "w") as stream:
        reading = thread.submit(all_of, reader)
        monkeypatch.setattr(sys, "stderr", stream)
        net(epochs=3, verbose=1).fit(X, Y, X_val=X, y_val=Y)
    os.close(reader)
    shown = reading.result()
    last = shown.decode().strip().split("\r")[-1]
    for text in ("epoch 3/3", "100%", "loss=", "val_accuracy=", "<00:00"):
        assert text in last


@pytest.mark.parametrize(("verbose", "lines"), [(0, 0), (1, 0), (2, 8)])
def test_output_without_a_terminal(capfd, verbose, lines):
    net(verbose=verbose).fit(X, Y)
    out, err = capfd.readouterr()
    assert len(out.splitlines()) == lines
    assert err == ""


@pytest.mark.parametrize("floatx", ["float64", "float16", "bfloat16"])
def test_other_floatx_raises(floatx):
    fitted = net().fit(X, Y)
    expected = fitted.predict_proba(X)
    keras.config.set_floatx(floatx)
    try:
        for call in (fitted.fit, fitted.partial_fit):
            with pytest.raises(ValueError, match=rf"keras.config.floatx\(\) is '{floatx}'"):
                call(X, Y)
        again = pickle.loads(pickle.dumps(fitted))
        clear_compiled()
        np.testing.assert_array_equal(again.predict_proba(X), expected)
    finally:
        keras.config.set_floatx("float32")
