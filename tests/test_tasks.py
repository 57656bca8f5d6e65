"""scikit-learn's callbacks see the epochs of a fit, through a search and a pipeline, too."""

import keras
import numpy as np
import pytest
from marks import slow
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skcnn import ImageClassifier, PretrainedClassifier, Seq2SeqRNN, load, load_digit_images

callback = pytest.importorskip("sklearn.callback")

X, Y = (data[:100] for data in load_digit_images(return_X_y=True))
WORDS = np.array(["ab", "ba", "aab", "bab"] * 5)


class Records:
    """Note the tasks and what a hook gets."""

    def __init__(self):
        self.events = []

    def setup(self, estimator, context):
        self.events.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.events.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context):
        self.events.append(("begin", context.task_name, context.task_id, context.max_subtasks))

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        if fitted_estimator is not None:
            predicted = fitted_estimator.predict(X)
            self.events.append(("end", context.task_name, context.task_id, predicted))


def net(**parameters):
    return ImageClassifier("FC-8 -> RELU -> FCS", **{"epochs": 3, "random_state": 0, **parameters})


def named(events):
    return [event[:3] for event in events]


def test_epochs_are_tasks_of_the_fit():
    records = Records()
    fitted = net().set_callbacks(records).fit(X, Y)
    epochs = [[("begin", "epoch", each), ("end", "epoch", each)] for each in range(3)]
    assert named(records.events) == [
        ("setup", "fit"),
        ("begin", "fit", 0),
        *epochs[0],
        *epochs[1],
        *epochs[2],
        ("end", "fit", 0),
        ("teardown", "fit"),
    ]
    assert records.events[1][-1] == 3
    # An estimator that a hook gets predicts as one that was fitted for so many epochs.
    ends = [event[-1] for event in records.events if event[0] == "end"]
    np.testing.assert_array_equal(ends[-1], fitted.predict(X))
    np.testing.assert_array_equal(ends[-2], fitted.predict(X))
    # The callbacks change nothing.
    np.testing.assert_array_equal(fitted.predict_proba(X), net().fit(X, Y).predict_proba(X))
    assert not [name for name in vars(fitted) if "tasks" in name or "_ctx" in name]


def test_callback_stops_the_training():
    class Stops(Records):
        def on_fit_task_end(self, estimator, context):
            return context.task_name == "epoch" and context.task_id == 1

    assert net(epochs=9).set_callbacks(Stops()).fit(X, Y).n_iter_ == 2


def test_failed_fit_tears_down():
    def fail(epoch, logs):
        raise ValueError("of the second epoch")

    records = Records()
    failing = net(callbacks=keras.callbacks.LambdaCallback(on_epoch_end=fail))
    with pytest.raises(ValueError, match="of the second epoch"):
        failing.set_callbacks(records).fit(X, Y)
    assert records.events[0] == ("setup", "fit")
    assert records.events[-1] == ("teardown", "fit")
    records.events.clear()
    with pytest.raises(ValueError, match="FC-8 -> "):
        net().set_params(architecture="FC-8 -> ").set_callbacks(records).fit(X, Y)
    assert records.events == []  # invalid arguments begin no task


def test_automatic_number_of_epochs_is_known_from_the_begin():
    records = Records()
    automatic = net(epochs="auto", early_stopping=True, n_iter_no_change=1_000)
    fitted = automatic.set_callbacks(records).fit(X, Y)
    assert fitted.n_steps_ >= 640
    assert ("begin", "fit", 0, fitted.n_iter_) in records.events


@pytest.mark.parametrize(
    ("estimator", "n_epochs"),
    [
        (Seq2SeqRNN(decoder="repeat", hidden_size=4, epochs=2), 2),
        (PretrainedClassifier(net().fit(X, Y), frozen_epochs=2, epochs=1), 3),
        (PretrainedClassifier(net().fit(X, Y), frozen_epochs=2, trainable=0), 2),
    ],
)
def test_all_kinds_of_estimators(estimator, n_epochs):
    records = Records()
    data = (WORDS, WORDS) if isinstance(estimator, Seq2SeqRNN) else (X, Y)
    estimator.set_callbacks(records).fit(*data)
    assert ("begin", "fit", 0, n_epochs) in records.events
    assert [event[1:3] for event in records.events if event[0] == "end"] == [
        *(("epoch", each) for each in range(n_epochs)),
        ("fit", 0),
    ]


@pytest.mark.parametrize("n_jobs", [1, *slow(2)])
def test_scores_of_all_epochs_of_a_search(n_jobs):
    monitor = callback.ScoringMonitor(scoring="accuracy")
    estimator = net().set_callbacks(monitor)
    search = GridSearchCV(estimator, {"learning_rate": [0.01, 0.001]}, cv=2, n_jobs=n_jobs)
    search.fit(X, Y)
    scores = [entry for entry in monitor.get_logs().data if entry["task_name"] == "epoch"]
    assert len(scores) == 5 * 3  # four fits and the refit, of three epochs
    assert all(0 <= score["accuracy"] <= 1 for score in scores)


def test_progress_bar_reaches_the_epochs_in_a_pipeline(capsys):
    pytest.importorskip("rich")
    pipeline = make_pipeline(FunctionTransformer(), net())
    search = GridSearchCV(pipeline, {"imageclassifier__epochs": [1, 2]}, cv=2, refit=False)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(X, Y)
    printed = capsys.readouterr().out
    assert "GridSearchCV" in printed
    assert "ImageClassifier" in printed


def test_clones_and_files(tmp_path):
    records = Records()
    estimator = net().set_callbacks(records)
    clone(estimator).fit(X, Y).save(tmp_path / "net.skcnn")
    assert records.events
    assert not hasattr(load(tmp_path / "net.skcnn"), "_skl_callbacks")
