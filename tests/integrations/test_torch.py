"""Tensors of PyTorch, with and without scikit-learn's array API dispatch."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score

from skcnn import (
    ImageAugmenter,
    ImageClassifier,
    ImageRegressor,
    SampleGenerator,
    load_digit_images,
)

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("dispatch")
X, Y = (data[:60] for data in load_digit_images(return_X_y=True))
KINDS = [X, X.astype(np.uint8), X.reshape(60, -1)]


def net():
    return ImageClassifier("CONV-2 -> RELU -> FCS", epochs=1, random_state=0)


@pytest.mark.parametrize("data", KINDS, ids=["images", "bytes", "rows"])
def test_tensors_are_read_as_arrays(data):
    expected = net().fit(data, Y, np.ones(60))
    images, labels, weight = map(torch.as_tensor, (data, Y, np.ones(60)))
    fitted = net().fit(images, labels, weight, X_val=images, y_val=labels)
    for found in (fitted.predict_proba(images), fitted.predict_proba(data)):
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, expected.predict_proba(data))
    np.testing.assert_array_equal(fitted.transform(images), expected.transform(data))
    assert fitted.score(images, labels) == expected.score(data, Y)
    assert fitted.score(images, labels, weight) == expected.score(data, Y)
    fitted.partial_fit(images, labels)
    np.testing.assert_array_equal(
        fitted.predict_proba(data), expected.partial_fit(data, Y).predict_proba(data)
    )


def test_searches_split_tensors():
    images, labels = torch.as_tensor(X), torch.as_tensor(Y)
    expected = cross_val_score(net(), X, Y, cv=2)
    np.testing.assert_array_equal(cross_val_score(net(), images, labels, cv=2), expected)
    search = GridSearchCV(net(), {"epochs": [1]}, cv=2).fit(images, labels)
    assert search.best_score_ == expected.mean()


def test_regression_and_batches_read_tensors():
    target = torch.as_tensor(X.mean((1, 2)))
    regressor = ImageRegressor("FCS", epochs=1, random_state=0)
    expected = regressor.fit(X, target.numpy()).predict(X)
    score = regressor.score(X, target.numpy())
    fitted = regressor.fit(torch.as_tensor(X), target)
    np.testing.assert_array_equal(fitted.predict(torch.as_tensor(X)), expected)
    assert fitted.score(torch.as_tensor(X), target) == score
    batches = SampleGenerator(torch.as_tensor(X), torch.as_tensor(Y), batch_size=4, shuffle=False)
    np.testing.assert_array_equal(batches[0][0], X[:4].astype(np.float32))
    augmenter = ImageAugmenter(horizontal_flip=True)
    np.testing.assert_array_equal(
        augmenter.transform(torch.as_tensor(X), random_state=0),
        augmenter.transform(X, random_state=0),
    )


@pytest.mark.parametrize("make", ["on a device", "with a gradient", "bfloat16"])
def test_tensors_that_numpy_cannot_read_raise(make):
    images = torch.as_tensor(X)
    match make:
        case "on a device":
            images = images.to("meta")
        case "with a gradient":
            images = images.requires_grad_()
        case "bfloat16":
            images = images.to(torch.bfloat16)
    fitted = net().fit(X, Y)
    for call in (fitted.predict, lambda X: net().fit(X, Y), ImageAugmenter().transform):
        with pytest.raises(ValueError, match=r"X is an array of torch.*convert it to a NumPy"):
            call(images)
