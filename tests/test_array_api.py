"""Array API inputs, with and without scikit-learn's array API dispatch."""

import array_api_strict as xp
import numpy as np
import pytest

from skcnn import (
    AugmentationDisplay,
    ImageAugmenter,
    ImageClassifier,
    MisclassifiedImagesDisplay,
    SaliencyDisplay,
    SampleGenerator,
    load_digit_images,
)

pytestmark = pytest.mark.usefixtures("dispatch")
X, Y = (data[:60] for data in load_digit_images(return_X_y=True))


def net():
    return ImageClassifier("CONV-2 -> RELU -> FCS", epochs=1, random_state=0)


@pytest.mark.parametrize("data", [X, X.astype(np.uint8), X.reshape(60, -1)])
def test_estimators_accept_array_api_inputs(data):
    expected = net().fit(data, Y)
    strict = xp.asarray(data)
    fitted = net().fit(strict, xp.asarray(Y), xp.asarray(np.ones(60)))
    for found in (fitted.predict_proba(strict), fitted.predict_proba(data)):
        np.testing.assert_array_equal(found, expected.predict_proba(data))
    np.testing.assert_array_equal(fitted.transform(strict), expected.transform(data))
    np.testing.assert_array_equal(fitted.predict(strict), expected.predict(data))
    assert fitted.score(strict, Y) == expected.score(data, Y)
    fitted.partial_fit(strict, xp.asarray(Y))
    np.testing.assert_array_equal(
        fitted.predict_proba(data), expected.partial_fit(data, Y).predict_proba(data)
    )


def test_batches_and_displays_accept_array_api_inputs():
    strict, labels = xp.asarray(X), xp.asarray(Y)
    batches = SampleGenerator(strict, labels, batch_size=4, shuffle=False)
    np.testing.assert_array_equal(batches[0][0], X[:4].astype(np.float32))
    augmenter = ImageAugmenter(horizontal_flip=True)
    np.testing.assert_array_equal(
        augmenter.transform(strict, random_state=0), augmenter.transform(X, random_state=0)
    )
    fitted = net().fit(X, Y)
    display = AugmentationDisplay.from_estimator(augmenter, strict[:2, ...], random_state=0)
    np.testing.assert_array_equal(display.images[..., 0], X[:2])
    display = MisclassifiedImagesDisplay.from_estimator(fitted, strict, labels, n_images=2)
    assert len(display.images) == 2
    display = SaliencyDisplay.from_estimator(fitted, strict[:2, ...], labels[:2])
    np.testing.assert_array_equal(display.images[..., 0], X[:2])


def test_arrays_on_a_device_raise():
    fitted = net().fit(X, Y)
    away = xp.asarray(X, device=xp.Device("device1"))
    for call in (fitted.predict, lambda X: net().fit(X, Y), ImageAugmenter().transform):
        with pytest.raises(ValueError, match=r"X is an array of array_api_strict.*device1"):
            call(away)
    with pytest.raises(ValueError, match=r"y is an array of array_api_strict.*NumPy array"):
        net().fit(X, xp.asarray(Y, device=xp.Device("device1")))
