"""Labels and their weights."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest

from skcnn import ImageClassifier, confident_error_counts, load_digit_images

X, Y = (data[:200] for data in load_digit_images(return_X_y=True))


def net(**parameters):
    defaults = {"architecture": "FC-16 -> RELU -> FCS", "epochs": 2, "random_state": 0}
    return ImageClassifier(**{**defaults, **parameters})


@pytest.mark.parametrize("weight", [-1, math.nan, math.inf, None, "2", True, [1]], ids=repr)
@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_weights_of_classes_are_checked(weight, fit):
    with pytest.raises(ValueError, match=r"class_weight must have finite.*for the class 3"):
        getattr(net(class_weight={0: 1.0, 3: weight}), fit)(X, Y)


@pytest.mark.parametrize("labels", [np.arange(10), np.array(list("abcdefghij"))])
def test_weights_of_classes_that_a_fold_lacks_are_allowed(labels):
    weights = {label: 1.0 + code for code, label in enumerate(labels.tolist())}
    some = Y < 7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = net(class_weight=weights).fit(X[some], labels[Y[some]])
    expected = net().fit(X[some], labels[Y[some]], sample_weight=1.0 + Y[some])
    np.testing.assert_array_equal(fitted.predict_proba(X), expected.predict_proba(X))


def test_missing_class_weight_warns_and_is_one():
    with pytest.warns(UserWarning, match=r"no weight for the classes \[1, 2, 3, 4, 5, 6, 7, 8\]"):
        fitted = net(class_weight={0: 5, 9: 0.5, 77: 3}).fit(X, Y)
    weight = np.where(Y == 0, 5.0, np.where(Y == 9, 0.5, 1.0))
    expected = net().fit(X, Y, sample_weight=weight)
    np.testing.assert_array_equal(fitted.predict_proba(X), expected.predict_proba(X))


def test_class_weight_of_unknown_classes_raises():
    names = np.array(list("abcdefghij"))[Y]
    with pytest.raises(ValueError, match=r"none of the classes \['a', .*keys are \[0, 1\]"):
        net(class_weight={0: 2.0, 1: 3.0}).fit(X, names)


@pytest.mark.parametrize("form", [np.array, list, pd.Series, lambda y: pd.Series(y, dtype="str")])
@pytest.mark.parametrize("missing", [None, math.nan, np.float64("nan"), pd.NA])
@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_missing_label_raises(missing, fit, form):
    labels = np.array(list("abcdefghij"), dtype=object)[Y]
    labels[5] = missing
    with pytest.raises(ValueError, match=r"y has the label .* in row 5"):
        getattr(net(), fit)(X, form(labels))


def test_a_rare_class_is_named_by_its_label():
    names = np.array([f"label {code}" for code in Y], dtype=object)
    names[3] = "a rare one"
    with pytest.raises(ValueError, match=r"early_stopping=True cannot hold out.*a rare one"):
        net(early_stopping=True).fit(X, names)


def test_logarithms_of_probabilities():
    fitted = net().fit(X, Y)
    expected = np.log(fitted.predict_proba(X))
    np.testing.assert_array_equal(fitted.predict_log_proba(X), expected)
    settings = {"epochs": 40, "optimizer": "sgd", "learning_rate": 30.0, "batch_size": 128}
    sure = net(batch_norm=False, label_smoothing=0.0, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert sure.fit(X * 1000, Y).predict_log_proba(X * 1000).min() < -80


MANY = """
import resource
import numpy as np
from skcnn import ImageClassifier
rng = np.random.default_rng(0)
n_classes, n_samples = 10_000, 20_000
y = np.arange(n_samples) % n_classes
X = rng.integers(0, 256, (n_samples, 2, 2), dtype=np.uint8)
net = ImageClassifier("FC-2 -> FCS", epochs=1, batch_size=256, random_state=0)
net.fit(X[:20], y[:20])  # starts TensorFlow
used = int(next(l for l in open("/proc/self/status") if l.startswith("VmData")).split()[1]) * 1024
# Half of what one-hot rows or all probabilities would take.
limit = used + n_samples * n_classes * 4 // 2
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
net.set_params(early_stopping=True, validation_fraction=0.5).fit(X, y)
print(net.predict(X).shape)
"""


def test_many_classes_need_memory_for_codes_only(run_python):
    assert run_python(MANY).stdout.splitlines() == ["(20000,)"]


def test_confident_errors_of_many_classes():
    n_classes = 30_000  # a square matrix of them would take 7 GB
    probability = np.full((3, n_classes), 0.5 / n_classes)
    probability[:, 7] += 0.5
    counts = confident_error_counts([7, 8, 9], probability, margin=1.5, labels=range(n_classes))
    assert counts[[7, 8, 9]].tolist() == [0, 1, 1]
    assert counts.sum() == 2
