"""scikit-learn's own conformance checks on every public estimator."""

import inspect

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

import skcnn

# Mini-batches make a weight of two different from the same sample twice: scikit-learn excepts
# its own mini-batch MLPClassifier from these checks too.
EXCEPTED = "check_sample_weight_equivalence"
EPOCHS = 5

ESTIMATORS = [
    value
    for value in vars(skcnn).values()
    # an ImageAugmenter has no fit: it is a parameter of estimators
    if inspect.isclass(value) and issubclass(value, BaseEstimator) and hasattr(value, "fit")
]


def test_every_public_estimator_is_checked():
    public = [getattr(skcnn, name) for name in skcnn.__all__]
    assert set(ESTIMATORS) == {value for value in public if hasattr(value, "fit")}
    assert len(ESTIMATORS) >= 5


@parametrize_with_checks([cls(epochs=EPOCHS) for cls in ESTIMATORS])
def test_sklearn_check(estimator, check):
    if check.func.__name__.startswith(EXCEPTED):
        with pytest.raises(AssertionError, match="not equivalent to fitting with removed"):
            check(estimator)
        return
    check(estimator)
