"""Callbacks of the user: they are not copied, and do not compete for the learning rate."""

import tempfile
import threading

import keras
import numpy as np
import optuna
import pytest
from optuna_integration import KerasPruningCallback
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skcnn import (
    ImageClassifier,
    Seq2SeqRNN,
    clear_compiled,
    load_digit_images,
    make_arithmetic,
)
from skcnn._training.pool import POOL, NetworkPool

X, Y = (data[:200] for data in load_digit_images(return_X_y=True))
QUESTIONS, ANSWERS = make_arithmetic(55, operation="+", n_digits=1, random_state=0)


def net(**parameters):
    defaults = {"architecture": "FC-16 -> RELU -> FCS", "epochs": 3, "random_state": 0}
    return ImageClassifier(**{**defaults, **parameters})


def fitted_strings(**parameters):
    defaults = {"decoder": "repeat", "cell": "simple_rnn", "hidden_size": 4, "epochs": 3}
    return Seq2SeqRNN(**defaults, random_state=0, **parameters).fit(QUESTIONS, ANSWERS)


def fitted_images(**parameters):
    return net(**parameters).fit(X, Y)


KINDS = pytest.mark.parametrize("fitted", [fitted_images, fitted_strings])


class Locked(keras.callbacks.Callback):
    """Cannot be copied or pickled."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
        self.epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        with self.lock:
            self.epochs += 1


@KINDS
def test_callbacks_are_not_copied(fitted):
    history, mine = keras.callbacks.History(), Locked()
    callbacks = [history, [mine]]
    estimator = fitted(callbacks=callbacks)
    assert estimator.callbacks is callbacks
    assert estimator.callbacks_ == [history, mine]
    assert mine.epochs == 3
    assert history.history["loss"] == estimator.history_["loss"]


@KINDS
def test_the_model_of_a_callback_is_the_fitted_network_after_a_fit(fitted):
    mine = Locked()
    estimator = fitted(callbacks=[mine])
    weights = mine.model.get_weights()
    fitted(callbacks=[Locked()])  # trains the same compiled network
    for one, other, kept in zip(
        mine.model.get_weights(), estimator.model_.get_weights(), weights, strict=True
    ):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, kept)


def test_clone_copies_callbacks():
    stopping = keras.callbacks.EarlyStopping("loss")
    original = net(callbacks=[stopping]).fit(X, Y)
    copy = clone(original).set_params(epochs=1).fit(X, Y)
    assert type(copy.callbacks[0]) is type(stopping)
    assert copy.callbacks[0] is not stopping
    assert stopping.model is original.model_


def test_a_search_with_callbacks_builds_one_network(monkeypatch):
    found = []
    original = NetworkPool.acquire
    monkeypatch.setattr(
        NetworkPool, "acquire", lambda pool, key: found.append(original(pool, key)) or found[-1]
    )
    POOL.clear()
    estimator = net(callbacks=[keras.callbacks.EarlyStopping("loss")], epochs=1)
    GridSearchCV(estimator, {"learning_rate": [0.01, 0.1]}, cv=2).fit(X, Y)
    assert [network is None for network in found] == [True, False, False, False, False]


class Changes(keras.callbacks.Callback):
    """Change the network in a given hook."""

    def __init__(self, when, what):
        super().__init__()
        self.what = what
        setattr(self, when, lambda *_, **__: self.change())

    def change(self):
        match self.what:
            case "trainable":
                self.model.get_layer("fc_1").trainable = False
            case "momentum":
                self.model.optimizer.momentum = 0.0
            case "compile":
                self.model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])


@pytest.mark.parametrize(
    ("when", "what"),
    [
        ("on_train_begin", "trainable"),
        ("on_epoch_end", "momentum"),
        ("on_train_end", "compile"),
        # Keras itself fails if the model is compiled between epochs.
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in [
                ("on_train_begin", "momentum"),
                ("on_train_begin", "compile"),
                ("on_epoch_end", "trainable"),
                ("on_train_end", "trainable"),
                ("on_train_end", "momentum"),
            ]
        ),
    ],
)
def test_changes_by_a_callback_do_not_affect_other_fits(what, when):
    settings = {"optimizer": "sgd", "optimizer__momentum": 0.9, "epochs": 2}
    settings["learning_rate_schedule"] = "constant"
    expected = net(**settings).fit(X, Y).predict_proba(X)
    changed = net(**settings, callbacks=[Changes(when, what)])
    again = changed.fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(net(**settings).fit(X, Y).predict_proba(X), expected)
    POOL.clear()
    np.testing.assert_array_equal(changed.fit(X, Y).predict_proba(X), again)
    np.testing.assert_array_equal(net(**settings).fit(X, Y).predict_proba(X), expected)


def test_optuna_pruning():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        direction="maximize",
        pruner=optuna.pruners.ThresholdPruner(lower=0.99, n_warmup_steps=1),
    )

    def objective(trial):
        pruning = KerasPruningCallback(trial, "val_accuracy")
        return net(epochs=9, callbacks=[pruning], early_stopping=True).fit(X, Y).score(X, Y)

    study.optimize(objective, n_trials=1)
    (trial,) = study.trials
    assert trial.state == optuna.trial.TrialState.PRUNED
    assert len(trial.intermediate_values) == 2


# The learning rate


def scheduler():
    return keras.callbacks.LearningRateScheduler(lambda epoch, rate: 1e-4 * (epoch + 1))


def plateau():
    return keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=9)


SCHEDULES = [
    {},
    {"learning_rate_schedule": "cosine"},
    {"learning_rate_schedule": keras.optimizers.schedules.CosineDecay(0.01, 9)},
    {
        "learning_rate_schedule": "constant",
        "optimizer": keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.01, 9)),
    },
]


@KINDS
@pytest.mark.parametrize("make", [scheduler, plateau])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=["one_cycle", "cosine", "keras", "optimizer"])
def test_callback_and_schedule_that_set_the_learning_rate_raise(fitted, make, schedule):
    with pytest.raises(ValueError, match=r"learning_rate_schedule='constant'") as refused:
        fitted(callbacks=[[make()]], **schedule)
    assert type(make()).__name__ in str(refused.value)


class SetsRate(keras.callbacks.Callback):
    def __init__(self, when):
        super().__init__()
        setattr(self, when, self.set_rate)

    def set_rate(self, *arguments, **options):
        self.model.optimizer.learning_rate = 0.5


@pytest.mark.parametrize(
    "when",
    ["on_train_begin", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin",
     "on_train_batch_end"],
)  # fmt: skip
def test_callback_that_overrides_a_scheduled_rate_raises(when):
    with pytest.raises(ValueError, match=r"set the learning rate to 0\.5.*'constant'"):
        net(callbacks=[SetsRate(when)], architecture="FCS", optimizer="sgd").fit(X, Y)


def test_history_records_the_learning_rate_of_the_step():
    seen = []

    class Sees(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(float(self.model.optimizer.learning_rate))

    for callbacks in ([scheduler(), Sees()], [plateau(), Sees()], [SetsRate("on_epoch_end")]):
        seen.clear()
        fitted = net(learning_rate_schedule="constant", batch_size=200, callbacks=callbacks)
        rates = fitted.fit(X, Y).history_["learning_rate"]
        np.testing.assert_allclose(rates, seen or [0.001, 0.5, 0.5])
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    fitted = net(learning_rate_schedule=decay, batch_size=100).fit(X, Y)  # two steps an epoch
    np.testing.assert_allclose(fitted.history_["learning_rate"], [0.05, 0.0125, 0.003125])


# EarlyStopping passed by the user


class Scores(keras.callbacks.Callback):
    """Log a score that is best in a given epoch."""

    def __init__(self, best):
        super().__init__()
        self.best = best

    def on_epoch_end(self, epoch, logs=None):
        logs["mine"] = float(epoch == self.best)


@KINDS
@pytest.mark.parametrize("best", [0, 1, 2])
def test_best_iteration_of_user_early_stopping(fitted, best):
    weights = {}

    class Keeps(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            weights[epoch] = self.model.get_weights()

    def stopping(restore):
        return keras.callbacks.EarlyStopping(
            "mine", mode="max", patience=5, restore_best_weights=restore
        )

    estimator = fitted(callbacks=[Scores(best), stopping(True), Keeps()])
    assert estimator.best_iteration_ == best + 1
    for one, other in zip(estimator.model_.get_weights(), weights[best], strict=True):
        np.testing.assert_array_equal(one, other)
    assert fitted(callbacks=[Scores(best), stopping(False)]).best_iteration_ == 3


# What callbacks log


@pytest.mark.parametrize("value", ["good", "1.5", None, [1, 2], {}], ids=repr)
def test_non_numeric_logs_raise(value):
    class Logs(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["mine"] = value

    with pytest.raises(TypeError, match=r"has logged mine=.* must be numbers"):
        net(callbacks=[Logs()], verbose=1, architecture="FCS", optimizer="sgd").fit(X, Y)


class CheckpointOfEachFit(keras.callbacks.ModelCheckpoint):
    """The example of the guide."""

    def __init__(self, folder):
        super().__init__("unset.keras", monitor="loss", save_best_only=True)
        self.folder = folder

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.filepath = tempfile.mkdtemp(dir=self.folder) + "/best.keras"


def test_callbacks_can_write_one_file_per_fit_of_a_search(tmp_path):
    estimator = net(epochs=1, callbacks=[CheckpointOfEachFit(str(tmp_path))])
    search = GridSearchCV(estimator, {"learning_rate": [0.01, 0.1]}, cv=2).fit(X, Y)
    written = sorted(path.relative_to(tmp_path).name for path in tmp_path.glob("*/*"))
    assert written == ["best.keras"] * 5
    best = keras.saving.load_model(search.best_estimator_.callbacks[0].filepath)
    np.testing.assert_allclose(
        best.predict(X[..., None], verbose=0), search.predict_proba(X), atol=1e-6
    )


def test_change_of_the_network_reaches_the_validation():
    class Blurs(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model.get_layer("bn_1").epsilon = 100.0

    def val_loss():
        changed = ImageClassifier("BN -> FCS", epochs=1, random_state=0, callbacks=[Blurs()])
        return changed.fit(X, Y, X_val=X, y_val=Y).history_["val_loss"]

    clear_compiled()
    fresh = val_loss()
    clear_compiled()
    # Leaves a network whose evaluation is traced.
    plain = ImageClassifier("BN -> FCS", epochs=1, random_state=0).fit(X, Y, X_val=X, y_val=Y)
    assert val_loss() == fresh != plain.history_["val_loss"]
