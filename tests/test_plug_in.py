"""An estimator defined outside of the package: a head and the validation of its data."""

import re

import numpy as np
import pytest
from sklearn.base import ClassifierMixin
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.multiclass import check_classification_targets

from skcnn import load, load_digit_images
from skcnn.heads import LabelsHead
from skcnn.image.estimator import ImageEstimator


class OrdinalHead(LabelsHead):
    """Ordered labels, encoded as binary targets "greater than label k" (Frank and Hall, 2001)."""

    def __init__(self, labels):
        super().__init__(len(labels) - 1)
        self.labels = labels

    def encode(self, y):
        return super().encode(y[:, None] > self.labels[:-1])

    def decode(self, outputs):
        return self.labels[(outputs > 0.5).sum(axis=1)]


class OrdinalClassifier(ClassifierMixin, ImageEstimator):
    """Image classifier for labels that have an order."""

    @property
    def _head(self):
        return OrdinalHead(self.classes_)

    def _check_data(self, X, y, sample_weight=None, *, reset, classes=None):
        X, y = self._check_images(X, y, reset=reset)
        check_classification_targets(y)
        if reset:
            self.classes_ = np.unique(y if classes is None else classes)
        if len(self.classes_) < 2:
            raise ValueError("y has only one class")
        return X, self._head.encode(y)

    def predict(self, X):
        return self._predictions(X)

    def _metadata(self):
        return {"labels": self.classes_.tolist()}


# With mini-batches, a weight of two is not equivalent to repeating a sample.
EXCEPTED = "check_sample_weight_equivalence"
# The other checks are of code that it shares with the estimators of test_sklearn_contract.
OF_LABELS = re.compile(
    "class|_y_|takes_y|sample_weights_shape|unfitted|pickle|empty_data|n_features"
)
ORDINAL = OrdinalClassifier("FC-16 -> RELU -> FCS", optimizer="adam", epochs=20)


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=name, marks=() if OF_LABELS.search(name) else pytest.mark.slow)
        for _, check in estimator_checks_generator(ORDINAL)
        if not (name := check.func.__name__).startswith(EXCEPTED)
    ],
)
def test_sklearn_check(check):
    check(ORDINAL)


def test_ordinal_classifier_fits_saves_and_resumes(tmp_path):
    X = load_digit_images().data[:300]
    ink = np.digitize(X.sum(axis=(1, 2)), [270, 310, 350])
    net = OrdinalClassifier("FC-32 -> RELU -> FCS", epochs=20, random_state=0).fit(X, ink)
    assert net.score(X, ink) > 0.7
    assert np.abs(net.predict(X) - ink).max() <= 1
    net.save(tmp_path / "net.skcnn")
    again = load(tmp_path / "net.skcnn")
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert again.partial_fit(X, ink).n_iter_ == 21
