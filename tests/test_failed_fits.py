"""A fit is atomic: for its caller if it fails, and for other threads."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pandas as pd
import pytest

from skcnn import ImageClassifier, Seq2SeqRNN, load, load_digit_images, make_arithmetic

X, Y = (data[:200] for data in load_digit_images(return_X_y=True))
QUESTIONS, ANSWERS = make_arithmetic(55, operation="+", n_digits=1, random_state=0)


def net(**parameters):
    defaults = {"architecture": "FC-16 -> RELU -> FCS", "epochs": 2, "random_state": 0}
    return ImageClassifier(**{**defaults, **parameters})


def seq(**parameters):
    quick = {"cell": "simple_rnn", "decoder": "repeat", "hidden_size": 4}
    return Seq2SeqRNN(**{"epochs": 2, "random_state": 0, **quick, **parameters})


class Raises(keras.callbacks.Callback):
    def __init__(self, epoch, error=RuntimeError):
        super().__init__()
        self.epoch = epoch
        self.error = error

    def on_epoch_begin(self, epoch, logs=None):
        if epoch >= self.epoch:
            raise self.error


def refused_checkpoint(folder):
    net(checkpoint_dir=folder, epochs=1).fit(X[:50], Y[:50])
    return folder


OTHER = {"X": X[:, :5, :4], "y": np.array(list("abcdefghij"))[Y]}
IMAGE_FAILURES = {
    "sample weights": lambda net, folder: net.fit(**OTHER, sample_weight=np.ones(3)),
    "validation_fraction": lambda net, folder: net.set_params(
        early_stopping=True, validation_fraction=0.999
    ).fit(**OTHER),
    "X_val": lambda net, folder: net.fit(**OTHER, X_val=X, y_val=Y),
    "scoring": lambda net, folder: net.set_params(early_stopping=True, scoring="f1").fit(**OTHER),
    "optimizer__foo": lambda net, folder: net.set_params(optimizer__foo=3).fit(**OTHER),
    "callbacks": lambda net, folder: net.set_params(callbacks=[3]).fit(**OTHER),
    "checkpoint": lambda net, folder: net.set_params(
        checkpoint_dir=refused_checkpoint(folder)
    ).fit(**OTHER),
    "augmentation": lambda net, folder: net.set_params(augmentation=3).fit(**OTHER),
    "too large": lambda net, folder: net.fit(X * 1e30, OTHER["y"]),
    "first epoch": lambda net, folder: net.set_params(callbacks=[Raises(0)]).fit(**OTHER),
    "second epoch": lambda net, folder: net.set_params(callbacks=[Raises(1)]).fit(**OTHER),
    "interrupt": lambda net, folder: net.set_params(callbacks=[Raises(0, KeyboardInterrupt)]).fit(
        **OTHER
    ),
    "files": lambda net, folder: net.fit(["a.png"] * 200, OTHER["y"]),
    "a frame": lambda net, folder: net.set_params(callbacks=[Raises(0)]).fit(
        pd.DataFrame(X.reshape(200, 64)).rename(columns=str), OTHER["y"]
    ),
    "partial_fit": lambda net, folder: net.partial_fit(X, Y + 1),
    "partial_fit in training": lambda net, folder: net.set_params(
        callbacks=[Raises(0)]
    ).partial_fit(X, Y),
    "warm start": lambda net, folder: net.set_params(warm_start=True).fit(**OTHER),
    "warm start in training": lambda net, folder: net.set_params(
        warm_start=True, callbacks=[Raises(3)]
    ).fit(X, Y),
}
STRING_FAILURES = {
    "sample weights": lambda seq, folder: seq.fit(ANSWERS, QUESTIONS, sample_weight=np.ones(3)),
    "other strings": lambda seq, folder: seq.set_params(epochs=1).fit(
        ANSWERS, QUESTIONS, X_val=["#"], y_val=["#"]
    ),
    "training": lambda seq, folder: seq.set_params(callbacks=[Raises(1)]).fit(ANSWERS, QUESTIONS),
    "partial_fit": lambda seq, folder: seq.partial_fit(ANSWERS, QUESTIONS),
}


def learned(estimator, X, folder):
    """The public learned state of an estimator."""
    attributes = {
        name: repr(value)
        for name, value in vars(estimator).items()
        if name.endswith("_") and name not in ("callbacks_", "model_")
    }
    estimator.set_params(
        callbacks=None,
        scoring=None,
        **({"augmentation": None} if "augmentation" in estimator.get_params(deep=False) else {}),
    ).save(folder / "net.skcnn")
    return (
        attributes,
        estimator.predict(X).tolist(),
        load(folder / "net.skcnn").predict(X).tolist(),
    )


@pytest.mark.parametrize("fails", IMAGE_FAILURES.values(), ids=IMAGE_FAILURES)
@pytest.mark.filterwarnings("ignore:The file does not contain:UserWarning")
def test_failed_fit_does_not_change_the_estimator(fails, tmp_path):
    fitted = net().fit(X, Y)
    before = learned(fitted, X, tmp_path)
    with pytest.raises((Exception, KeyboardInterrupt)):
        fails(fitted, tmp_path)
    assert learned(fitted, X, tmp_path) == before


@pytest.mark.parametrize("fails", STRING_FAILURES.values(), ids=STRING_FAILURES)
def test_failed_fit_of_strings_does_not_change_the_estimator(fails, tmp_path):
    fitted = seq().fit(QUESTIONS, ANSWERS)
    before = learned(fitted, QUESTIONS, tmp_path)
    with pytest.raises((ValueError, RuntimeError)):
        fails(fitted, tmp_path)
    assert learned(fitted, QUESTIONS, tmp_path) == before


@pytest.mark.parametrize("make", [net, seq])
def test_failed_first_fit_leaves_the_estimator_unfitted(make):
    estimator = make(callbacks=[Raises(1)])
    before = vars(estimator).copy()
    with pytest.raises(RuntimeError):
        estimator.fit(*((X, Y) if make is net else (QUESTIONS, ANSWERS)))
    assert vars(estimator) == before


def test_refit_without_feature_names_deletes_them():
    frame = pd.DataFrame(X.reshape(200, 64)).rename(columns=str)
    fitted = net(input_shape=(8, 8)).fit(frame, Y).fit(X, Y)
    assert not hasattr(fitted, "feature_names_in_")


def test_attributes_of_subclasses_survive_a_fit():
    class Own(ImageClassifier):
        def fit(self, X, y, sample_weight=None):
            self.seen_ = len(X)
            return super().fit(X, y, sample_weight)

    fitted = Own("FCS", epochs=1).set_output(transform="pandas").fit(X, Y)
    assert fitted.seen_ == 200
    assert isinstance(fitted.transform(X), pd.DataFrame)


def test_parameters_set_during_a_fit_are_kept():
    class Sets(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            fitted.verbose = 2

    fitted = net(callbacks=[Sets()], epochs=1)
    assert fitted.fit(X, Y).verbose == 2


@pytest.mark.parametrize("kind", ["images", "strings"])
def test_prediction_during_a_fit_sees_a_consistent_state(kind):
    if kind == "images":
        estimator, inputs = net(epochs=1), np.repeat(X[:100], 8, axis=0)
        targets = [np.array(names)[Y] for names in (list("abcdefghij"), list("ABCDEFGHIJ"))]
        fit = [lambda: estimator.fit(X, targets[0]), lambda: estimator.fit(X, targets[1])]
    else:
        estimator, inputs = seq(epochs=1), np.repeat(QUESTIONS[:40], 8)
        others = np.char.translate(ANSWERS, str.maketrans("0123456789", "abcdefghij"))
        fit = [
            lambda: estimator.set_params(reverse_input=True).fit(QUESTIONS, ANSWERS),
            lambda: estimator.set_params(reverse_input=False).fit(QUESTIONS, others),
        ]
    expected = [each().predict(inputs).tolist() for each in fit]
    done = threading.Event()

    def predict():
        found = []
        while not done.is_set():
            found.append(estimator.predict(inputs).tolist())
        return found

    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(predict)
        for turn in range(6):
            fit[turn % 2]()
        done.set()
        assert [each for each in seen.result() if each not in expected] == []


def test_concurrent_fits_leave_a_consistent_state():
    frame = pd.DataFrame(X.reshape(200, 64)).rename(columns=str)
    estimator = net(input_shape=(8, 8))
    calls = [lambda: estimator.fit(frame, Y), lambda: estimator.fit(X, OTHER["y"])]
    for _ in range(3):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda call: call(), calls))
        named = hasattr(estimator, "feature_names_in_")
        assert named == (estimator.classes_.dtype.kind == "i")
        expected = (Y if named else OTHER["y"])[:50]
        whole = net(input_shape=(8, 8)).fit(X, Y if named else OTHER["y"])
        np.testing.assert_array_equal(estimator.predict(X), whole.predict(X))
        assert estimator.predict(X).dtype == expected.dtype
        time.sleep(0.01)
