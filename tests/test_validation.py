"""Validation data, groups in the hold-out, and scorers."""

import math
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    get_scorer,
    log_loss,
    make_scorer,
    mean_absolute_error,
    mean_squared_error,
)
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from skcnn import (
    ImageClassifier,
    ImageRegressor,
    Seq2SeqRNN,
    clear_compiled,
    load,
    load_digit_images,
    make_arithmetic,
)
from skcnn._files import archive
from skcnn._training.pool import forward

DIGITS, TARGET = load_digit_images(return_X_y=True)
X, Y = DIGITS[:200], TARGET[:200]
X_VAL, Y_VAL = DIGITS[200:300], TARGET[200:300]
GROUPS = np.arange(200) // 10
WEIGHT = np.linspace(0, 3, 100)
QUESTIONS, ANSWERS = make_arithmetic(55, operation="+", n_digits=1, random_state=0)


def net(**parameters):
    return ImageClassifier(
        **{"architecture": "CONV-4 -> RELU -> POOL -> FCS", "epochs": 3, "random_state": 0}
        | parameters
    )


# Groups


def held_out_rows(fitted, groups):
    """Return the held-out rows of a fit, as recorded by a scorer."""
    seen = []

    def remember(estimator, X, y):
        seen.append((np.asarray(X), np.asarray(y)))
        return 0.0

    clone(fitted).set_params(scoring=remember, early_stopping=True).fit(X, Y, groups=groups)
    assert len(seen) == fitted.epochs
    return [int(np.flatnonzero((image == X).all(axis=(1, 2)))[0]) for image in seen[0][0]], seen[0]


def test_groups_stay_together():
    rows, (images, labels) = held_out_rows(net(validation_fraction=0.25), GROUPS)
    assert len(rows) == 50  # 5 of 20 groups of 10
    assert not set(GROUPS[rows]) & set(np.delete(GROUPS, rows))
    np.testing.assert_array_equal(labels, Y[rows])
    np.testing.assert_array_equal(images, X[rows])


@pytest.mark.parametrize(
    "as_container",
    [
        list,
        pd.Series,
        lambda g: pd.Series(g).astype("category"),
        lambda g: np.char.mod("g%02d", g),
    ],
)
def test_groups_of_any_form(as_container):
    expected = net(early_stopping=True).fit(X, Y, groups=GROUPS)
    other = net(early_stopping=True).fit(X, Y, groups=as_container(GROUPS))
    np.testing.assert_array_equal(other.predict_proba(X), expected.predict_proba(X))
    assert other.history_["val_loss"] == expected.history_["val_loss"]


def test_groups_of_samples_without_weight_are_not_held_out():
    weight = (GROUPS < 4) * 1.0
    parameters = {"early_stopping": True, "validation_fraction": 0.7}
    alone = net(**parameters).fit(X[:40], Y[:40], groups=GROUPS[:40])
    both = net(**parameters).fit(X, Y, weight, groups=GROUPS)
    assert both.history_["val_loss"][0] == pytest.approx(alone.history_["val_loss"][0], rel=1e-4)


@pytest.mark.parametrize("groups", [[pd.NA, *range(199)], [pd.NaT, *range(199)]])
def test_missing_groups_raise(groups):
    with pytest.raises(ValueError, match=r"groups has the group (<NA>|NaT) in row 0"):
        net(early_stopping=True).fit(X, Y, groups=groups)


# Validation data


@pytest.mark.parametrize("early_stopping", [False, True])
def test_validation_set_replaces_the_hold_out(early_stopping):
    fitted = net(early_stopping=early_stopping, n_iter_no_change=9)
    fitted.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert {"val_loss", "val_accuracy"} < set(fitted.history_)
    plain = net().fit(X, Y)
    assert fitted.history_["loss"] == plain.history_["loss"]
    if not early_stopping:
        np.testing.assert_array_equal(fitted.predict_proba(X), plain.predict_proba(X))


def test_sample_weight_val():
    fitted = net(label_smoothing=0.0).fit(X, Y, X_val=X_VAL, y_val=Y_VAL, sample_weight_val=WEIGHT)
    probability = fitted.predict_proba(X_VAL)
    loss = log_loss(Y_VAL, probability, sample_weight=WEIGHT, labels=fitted.classes_)
    assert fitted.history_["val_loss"][-1] == pytest.approx(loss, rel=1e-4)
    score = fitted.score(X_VAL, Y_VAL, WEIGHT)
    assert fitted.history_["val_accuracy"][-1] == pytest.approx(score)
    assert score != pytest.approx(fitted.score(X_VAL, Y_VAL))
    scaled = net(label_smoothing=0.0).fit(
        X, Y, X_val=X_VAL, y_val=Y_VAL, sample_weight_val=7 * WEIGHT
    )
    assert scaled.history_["val_loss"] == pytest.approx(fitted.history_["val_loss"], rel=1e-5)


def test_sample_weight_val_of_strings():
    weight = np.arange(55)
    fitted = Seq2SeqRNN(cell="simple_rnn", hidden_size=16, epochs=20, random_state=0)
    given = {"X_val": QUESTIONS, "y_val": ANSWERS, "sample_weight_val": weight}
    fitted.fit(QUESTIONS, ANSWERS, **given)
    score = fitted.score(QUESTIONS, ANSWERS, weight)
    assert 0 < score != pytest.approx(fitted.score(QUESTIONS, ANSWERS))
    assert fitted.history_["val_exact_match"][-1] == pytest.approx(score)


def test_sample_weight_val_of_a_regressor():
    ink = DIGITS.sum(axis=(1, 2))
    fitted = ImageRegressor("FC-8 -> RELU -> FCS", epochs=2, random_state=0)
    fitted.fit(X, ink[:200], X_val=X_VAL, y_val=ink[200:300], sample_weight_val=WEIGHT)
    error = mean_squared_error(ink[200:300], fitted.predict(X_VAL), sample_weight=WEIGHT)
    loss = error / fitted.target_scale_**2
    assert fitted.history_["val_loss"][-1] == pytest.approx(loss, rel=1e-4)


def test_warm_start_uses_the_new_validation_data():
    fitted = net(warm_start=True).fit(X, Y).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    values = fitted.history_["val_accuracy"]
    assert [math.isnan(value) for value in values] == [True] * 3 + [False] * 3
    with pytest.raises(ValueError, match=r"^X_val has images of shape \(8, 7, 1\)"):
        fitted.fit(X, Y, X_val=X_VAL[:, :, 1:], y_val=Y_VAL)
    with pytest.raises(ValueError, match=r"^y_val has labels that are not among the classes"):
        fitted.fit(X, Y, X_val=X_VAL, y_val=Y_VAL + 10)


# Scorers


def no_score(estimator, X, y):
    return 0.5


def error_of(metric):
    return lambda estimator, X, y: -metric(y, estimator.predict(X))


@pytest.mark.parametrize(
    ("scoring", "name"),
    [
        ("f1_macro", "val_f1_macro"),
        ("neg_log_loss", "val_neg_log_loss"),
        ("accuracy", "val_accuracy"),
        (make_scorer(f1_score, average="weighted"), "val_score"),
        (error_of(mean_absolute_error), "val_score"),
        (no_score, "val_no_score"),
    ],
)
def test_a_scorer_is_recorded_every_epoch(scoring, name):
    fitted = net(scoring=scoring).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    expected = get_scorer(scoring)(fitted, X_VAL, Y_VAL)
    assert fitted.history_[name][-1] == pytest.approx(expected)
    assert len(fitted.history_[name]) == 3
    assert set(fitted.history_) - {name} >= {"val_loss", "loss"}
    np.testing.assert_array_equal(fitted.predict_proba(X), net().fit(X, Y).predict_proba(X))


def test_early_stopping_keeps_the_epoch_of_the_best_score():
    scores = iter([0.1, 0.7, 0.3, 0.2, 0.1, 0.0])
    fitted = net(
        early_stopping=True, n_iter_no_change=2, epochs=6, scoring=lambda *_: next(scores)
    ).fit(X, Y)
    assert fitted.history_["val_score"] == [0.1, 0.7, 0.3, 0.2]
    assert fitted.best_iteration_ == 2


@pytest.mark.parametrize("scoring", ["neg_log_loss", "loss", None])
def test_monitored_value_by_scoring(scoring):
    fitted = net(early_stopping=True, epochs=8, n_iter_no_change=8, scoring=scoring)
    fitted.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    name, best = {
        "neg_log_loss": ("val_neg_log_loss", np.argmax),
        "loss": ("val_loss", np.argmin),
        None: ("val_accuracy", np.argmax),
    }[scoring]
    assert fitted.best_iteration_ == best(fitted.history_[name]) + 1


def test_scorer_named_loss_does_not_replace_the_loss():
    def loss(estimator, X, y):
        return 3.0

    fitted = net(scoring=loss).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert fitted.history_["val_score"] == [3.0] * 3
    assert 3.0 not in fitted.history_["val_loss"]


def test_scoring_of_regressors_and_strings():
    ink = X.sum(axis=(1, 2))
    numbers = ImageRegressor("FC-8 -> RELU -> FCS", epochs=2, random_state=0)
    numbers.set_params(scoring="r2").fit(X, ink, X_val=X, y_val=ink)
    assert numbers.history_["val_r2"][-1] == pytest.approx(numbers.score(X, ink))
    strings = Seq2SeqRNN(cell="simple_rnn", decoder="repeat", hidden_size=8, epochs=2)
    strings.set_params(scoring="accuracy", random_state=0)
    strings.fit(QUESTIONS, ANSWERS, X_val=QUESTIONS.tolist(), y_val=pd.Series(ANSWERS))
    # The accuracy of whole strings, unlike that of Keras.
    expected = accuracy_score(ANSWERS, strings.predict(QUESTIONS))
    assert strings.history_["val_accuracy"][-1] == pytest.approx(expected)


def test_scorer_gets_weights_if_supported():
    given = {"X_val": X_VAL, "y_val": Y_VAL, "sample_weight_val": WEIGHT}
    fitted = net(scoring="f1_macro").fit(X, Y, **given)
    expected = f1_score(Y_VAL, fitted.predict(X_VAL), average="macro", sample_weight=WEIGHT)
    assert fitted.history_["val_f1_macro"][-1] == pytest.approx(expected)
    assert net(scoring=no_score).fit(X, Y, **given).history_["val_no_score"] == [0.5] * 3


def test_scorer_gets_an_immutable_estimator_of_the_epoch():
    seen = []

    def remember(estimator, X, y):
        seen.append((estimator, estimator.predict_proba(X), estimator.model_.get_weights()))
        return len(seen)

    fitted = net(scoring=remember).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert len({probability.tobytes() for _, probability, _ in seen}) == 3
    for estimator, probability, weights in seen:
        np.testing.assert_array_equal(estimator.predict_proba(X_VAL), probability)
        for one, other in zip(estimator.model_.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(seen[-1][1], fitted.predict_proba(X_VAL))
    assert not hasattr(seen[0][0], "history_")


def test_scorer_reuses_the_compiled_prediction():
    clear_compiled()
    before = forward.cache_info().misses
    fitted = net(scoring="f1_macro", epochs=5).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    fitted.predict(X_VAL)
    assert forward.cache_info().misses == before + 1


def test_scorer_applies_view_averaging():
    fitted = net(scoring="neg_log_loss", flip_averaging=True)
    fitted.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    expected = -log_loss(Y_VAL, fitted.predict_proba(X_VAL), labels=fitted.classes_)
    assert fitted.history_["val_neg_log_loss"][-1] == pytest.approx(expected)


ROWS = X.reshape(len(X), -1)
CONTAINERS = {
    "list": lambda rows: rows.tolist(),
    "frame": lambda rows: pd.DataFrame(rows).rename(columns=str),
    "polars": lambda rows: pl.DataFrame(rows, schema=[f"c{n}" for n in range(64)]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CONTAINERS)
def test_held_out_rows_of_any_container_are_scored(name):
    parameters = {"early_stopping": True, "scoring": "f1_macro", "input_shape": (8, 8)}
    expected = net(**parameters).fit(X, Y).history_["val_f1_macro"]
    found = net(**parameters).fit(CONTAINERS[name](ROWS), list(Y)).history_["val_f1_macro"]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        ("f1", "cannot score the validation samples: .*multiclass"),
        (lambda estimator, X, y: "good", "must return a number, got 'good', a str"),
        (lambda estimator, X, y: math.nan, "is NaN for the validation samples"),
        (lambda estimator, X: 1.0, "cannot score the validation samples: .*argument"),
    ],
)
def test_failing_scorer_raises(scoring, message):
    with pytest.raises(ValueError, match=f"^scoring=.*{message}"):
        net(early_stopping=True, scoring=scoring).fit(X, Y)


def test_nan_score_is_recorded_without_early_stopping():
    fitted = net(scoring=lambda *_: math.nan).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert np.isnan(fitted.history_["val_score"]).all()


# Pipelines, searches and metadata routing


class Halves(TransformerMixin, BaseEstimator):
    """Divide pixels by the maximum of the training images."""

    def fit(self, X, y=None):
        self.largest_ = X.max()
        return self

    def transform(self, X):
        return X / self.largest_


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize("estimator", [net(), Seq2SeqRNN(), ImageRegressor()])
def test_metadata_routing_of_fit_arguments(routing, estimator):
    estimator.set_fit_request(
        X_val=True, y_val=True, sample_weight_val=True, groups=True, sample_weight=True
    )
    requests = estimator.get_metadata_routing().fit.requests
    assert set(requests) == {"X_val", "y_val", "sample_weight_val", "groups", "sample_weight"}


def test_pipeline_transforms_validation_data(routing):
    network = net(scoring="f1_macro").set_fit_request(X_val=True, y_val=True)
    pipe = Pipeline([("scale", Halves()), ("net", network)], transform_input=["X_val"])
    pipe.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    history = pipe[-1].history_
    assert history["val_accuracy"][-1] == pytest.approx(pipe.score(X_VAL, Y_VAL))
    expected = f1_score(Y_VAL, pipe.predict(X_VAL), average="macro")
    assert history["val_f1_macro"][-1] == pytest.approx(expected)


@pytest.mark.filterwarnings("error")
def test_pipeline_of_rows_transforms_validation_data(routing):
    network = net(input_shape=(8, 8)).set_fit_request(X_val=True, y_val=True)
    pipe = Pipeline(
        [("scale", MinMaxScaler(clip=True)), ("net", network)], transform_input=["X_val"]
    )
    pipe.fit(ROWS, Y, X_val=X_VAL.reshape(100, 64), y_val=Y_VAL)
    score = pipe.score(X_VAL.reshape(100, 64), Y_VAL)
    assert pipe[-1].history_["val_accuracy"][-1] == pytest.approx(score)


def test_search_routes_groups_to_cv_and_early_stopping(routing):
    seen = []

    def remember(estimator, X, y):
        seen.append(X)
        return 0.0

    network = net(early_stopping=True, epochs=1, scoring=remember, validation_fraction=0.3)
    search = GridSearchCV(
        network.set_fit_request(groups=True),
        {"batch_size": [64, 128]},
        cv=GroupKFold(2),
        scoring="accuracy",
    ).fit(X, Y, groups=GROUPS)
    assert search.best_estimator_.n_iter_ == 1
    assert len(seen) == 5  # two candidates in two folds, and the best one on all
    assert [len(images) for images in seen] == [30] * 4 + [60]


def test_groups_without_routing_reach_only_cv():
    search = GridSearchCV(net(epochs=1), {"batch_size": [64]}, cv=GroupKFold(2))
    assert search.fit(X, Y, groups=GROUPS).n_splits_ == 2


def test_hold_out_matches_group_shuffle_split():
    rows, _ = held_out_rows(net(validation_fraction=0.25), GROUPS)
    seed = int(np.random.SeedSequence(0).spawn(3)[2].generate_state(1)[0] >> 1)
    splitter = GroupShuffleSplit(1, test_size=0.25, random_state=seed)
    assert rows == next(splitter.split(X, Y, GROUPS))[1].tolist()


# Parameters of earlier versions


def test_a_file_with_a_former_parameter_loads(tmp_path, monkeypatch):
    fitted = net().fit(X, Y)
    monkeypatch.setattr(ImageClassifier, "get_params", with_validation_data)
    archive.write(
        tmp_path / "net.skcnn",
        "estimator",
        {"estimator": fitted, "network": fitted._plan.arguments, "state": vars(fitted._state)},
    )
    monkeypatch.undo()
    after = load(tmp_path / "net.skcnn")
    assert after.get_params() == fitted.get_params()
    assert not hasattr(after, "validation_data")
    np.testing.assert_array_equal(after.predict_proba(X), fitted.predict_proba(X))


def with_validation_data(self, deep=True):
    names = set(self._get_param_names()) - {"scoring"}
    return {name: getattr(self, name) for name in names} | {"validation_data": (X[:3], Y[:3])}


def test_a_pickle_with_a_former_parameter_loads():
    fitted = net().fit(X, Y)
    former = pickle.loads(pickle.dumps(fitted))
    former.validation_data = (X, Y)
    del former.scoring
    after = pickle.loads(pickle.dumps(former))
    assert after.get_params() == fitted.get_params()
    assert not hasattr(after, "validation_data")
    np.testing.assert_array_equal(after.predict_proba(X), fitted.predict_proba(X))
    assert after.fit(X, Y).n_iter_ == 3
