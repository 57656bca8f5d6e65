"""Parameters without effect raise, in particular when training continues."""

import functools

import keras
import numpy as np
import pytest

from skcnn import ImageClassifier, Seq2SeqRNN, VGGLite, load, load_digit_images, make_arithmetic

X, Y = (data[:200] for data in load_digit_images(return_X_y=True))
QUESTIONS, ANSWERS = make_arithmetic(55, operation="+", n_digits=1, random_state=0)
DATA = {"image": (X, Y), "strings": (QUESTIONS, ANSWERS)}


def make(kind, **parameters):
    if kind == "image":
        defaults = {"architecture": "FC-16 -> RELU -> FCS", "epochs": 2, "random_state": 0}
        return ImageClassifier(**{**defaults, **parameters})
    return Seq2SeqRNN(**{"epochs": 2, "hidden_size": 4, "random_state": 0, **parameters})


def directly(estimator, folder):
    return estimator


def through_a_file(estimator, folder):
    estimator.save(folder / "net.skcnn")
    return load(folder / "net.skcnn")


CONTINUE = {
    "warm start": lambda net, *data: net.set_params(warm_start=True).fit(*data),
    "partial_fit": lambda net, *data: net.partial_fit(*data),
}
NETWORK = [
    ("image", {"architecture": "FC-8 -> RELU -> FCS"}),
    ("image", {"batch_norm": False}),
    ("image", {"standardize": False}),
    ("strings", {"cell": "gru"}),
    ("strings", {"hidden_size": 5}),
    ("strings", {"n_layers": 2}),
    ("strings", {"decoder": "attention"}),
    ("strings", {"reverse_input": True}),
    ("strings", {"bidirectional": False}),
    ("strings", {"embedding_size": 3}),
]


@pytest.mark.parametrize("trip", [directly, through_a_file])
@pytest.mark.parametrize("goes_on", CONTINUE.values(), ids=CONTINUE)
@pytest.mark.parametrize(("kind", "change"), NETWORK, ids=lambda value: str(value))
def test_changed_network_parameters_raise_when_continuing(kind, change, goes_on, trip, tmp_path):
    fitted = trip(make(kind).fit(*DATA[kind]), tmp_path)
    before = fitted.predict_proba(DATA[kind][0])
    fitted.set_params(**change)
    with pytest.raises(ValueError, match=rf"^{next(iter(change))} has changed since the last fit"):
        goes_on(fitted, *DATA[kind])
    np.testing.assert_array_equal(fitted.predict_proba(DATA[kind][0]), before)


def test_other_spelling_of_the_architecture_continues():
    fitted = make("image", warm_start=True).fit(X, Y)
    assert fitted.set_params(architecture="fc-16->relu->fcs").fit(X, Y).n_iter_ == 4


EFFECTS = [
    {"optimizer": "sgd"},
    {"optimizer": keras.optimizers.RMSprop()},
    {"optimizer__beta_1": 0.5},
    {"learning_rate": 0.3},
    {"weight_decay": 0.5},
    {"label_smoothing": 0.5},
    {"batch_size": 20},
]


# What compiles fastest, as most of the changes need a network of their own.
QUICK = {"image": {}, "strings": {"cell": "simple_rnn", "decoder": "repeat"}}


def continued(kind, **change):
    fitted = make(kind, optimizer="adam", warm_start=True, **QUICK[kind]).fit(*DATA[kind])
    return fitted.set_params(**change).fit(*DATA[kind]).predict_proba(DATA[kind][0])


unchanged = functools.cache(continued)


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("change", EFFECTS, ids=lambda change: "-".join(change))
def test_changed_training_parameters_take_effect(kind, change):
    assert not np.allclose(continued(kind, **change), unchanged(kind))


@pytest.mark.parametrize("kind", DATA)
def test_partial_fit_raises_with_early_stopping(kind):
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        make(kind, early_stopping=True).partial_fit(*DATA[kind])


def test_partial_fit_raises_with_balanced_class_weight():
    with pytest.raises(ValueError, match="partial_fit does not support class_weight='balanced'"):
        make("image", class_weight="balanced").partial_fit(X, Y)


@pytest.mark.parametrize(
    ("change", "method"),
    [({"reverse_input": True}, "predict_proba"), ({"cell": "gru", "hidden_size": 9}, "predict")],
)
def test_parameters_of_training_do_not_change_predictions(change, method, tmp_path):
    fitted = make("strings").fit(QUESTIONS, ANSWERS)
    expected = getattr(fitted, method)(QUESTIONS)
    fitted.set_params(**change)
    np.testing.assert_array_equal(getattr(fitted, method)(QUESTIONS), expected)
    again = through_a_file(fitted, tmp_path)
    np.testing.assert_array_equal(getattr(again, method)(QUESTIONS), expected)
    assert fitted._metadata() == again._metadata()
    assert fitted._metadata()["reverse_input"] is False


TWICE = [
    {"weight_decay": 0.1, "optimizer__weight_decay": 0.2},
    {"weight_decay": 0.1, "optimizer": keras.optimizers.SGD(weight_decay=0.2)},
    {"learning_rate": 0.1, "optimizer__learning_rate": 0.2},
]


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("twice", TWICE, ids=lambda twice: "-".join(twice))
def test_optimizer_argument_set_twice_raises(kind, twice):
    with pytest.raises(ValueError, match=next(iter(twice))):
        make(kind, **twice).fit(*DATA[kind])


def test_schedule_set_twice_raises():
    decay = keras.optimizers.schedules.CosineDecay(0.1, 9)
    with pytest.raises(
        ValueError, match=r"Both the optimizer.*set learning_rate_schedule='constant'"
    ):
        make("image", optimizer__learning_rate=decay).fit(X, Y)
    settings = {"learning_rate_schedule": "constant", "batch_size": 100}  # two steps an epoch
    fitted = make("image", optimizer__learning_rate=decay, **settings)
    assert fitted.fit(X, Y).history_["learning_rate"][0] > 0.01


# Class bodies


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ({"epoch": 3}, TypeError, "sets epoch = 3.*did you mean epochs"),
        ({"archtecture": "FCS"}, TypeError, "did you mean architecture"),
        ({"colour": "red"}, TypeError, "no parameter of that name"),
        ({"epochs": -3}, ValueError, "'epochs' parameter of Own"),
        ({"epochs": "many"}, ValueError, "'epochs' parameter of Own"),
        ({"optimizer": "adamm"}, ValueError, "'optimizer' parameter of Own"),
        ({"flip_averaging": 3}, ValueError, "'flip_averaging' parameter of Own"),
        ({"architecture": 3}, ValueError, "'architecture' parameter of Own"),
        ({"architecture": "CONV-8"}, ValueError, "architecture: expected '-> FCS'"),
    ],
)
@pytest.mark.parametrize("base", [ImageClassifier, VGGLite])
def test_invalid_class_body_raises(base, body, error, message):
    with pytest.raises(error, match=message):
        type("Own", (base,), body)


@pytest.mark.parametrize(
    "body", [{"cells": "gru"}, {"cell": "lstn"}, {"hidden_size": 0}, {"architecture": "FCS"}]
)
def test_invalid_class_body_of_strings_raises(body):
    with pytest.raises((TypeError, ValueError), match=next(iter(body))):
        type("Own", (Seq2SeqRNN,), body)


def test_valid_class_bodies():
    from typing import ClassVar

    class Own(VGGLite):
        epochs = 1
        batch_size = 100
        classes_of_interest: ClassVar[list[str]] = ["a"]
        _hidden = 3

        @property
        def depth(self):
            return self.architecture.count("CONV")

        @staticmethod
        def helper():
            return 1

    assert Own().depth == 3
    assert "epochs" not in Own().get_params()
