"""Filters and Grad-CAM."""

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from sklearn.exceptions import NotFittedError

from skcnn import FilterDisplay, ImageClassifier, SaliencyDisplay, load_digit_images

X, Y = (data[:300] for data in load_digit_images(return_X_y=True))


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def net(architecture="CONV-6 -> RELU -> POOL -> FCS", **parameters):
    return ImageClassifier(architecture, **{"epochs": 1, "random_state": 0, **parameters})


def test_filter_display_shows_the_first_convolution():
    fitted = net("CONV-5:3 -> RELU -> CONV-7 -> FCS").fit(X, Y)
    display = FilterDisplay.from_estimator(fitted, n_columns=3)
    kernel = fitted.model_.get_layer("conv_1").get_weights()[0]
    np.testing.assert_array_equal(display.filters, np.moveaxis(kernel, -1, 0))
    assert len(display.axes_) == 5
    drawn = display.axes_[4].images[0].get_array()
    weights = kernel[:, :, 0, 4]
    scaled = (weights - weights.min()) / (weights.max() - weights.min())
    np.testing.assert_allclose(drawn, scaled, rtol=1e-6)
    assert display.figure_ is display.axes_[0].figure


@pytest.mark.parametrize(("channels", "shown"), [(1, 1), (2, 1), (3, 3), (5, 1)])
def test_channels_of_filters(channels, shown):
    images = np.random.default_rng(0).normal(size=(20, 6, 6, channels))
    fitted = net("CONV-4 -> FCS").fit(images, np.arange(20) % 2)
    assert FilterDisplay.from_estimator(fitted).filters.shape == (4, 3, 3, shown)


def left_or_right(n_samples=300):
    """Images whose class is the side of a bright spot."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(n_samples, 12, 24))
    side, height = rng.integers(0, 2, n_samples), rng.integers(1, 9, n_samples)
    width = np.where(side == 0, 2, 18) + rng.integers(0, 3, n_samples)
    for image, y, x in zip(images, height, width, strict=True):
        image[y : y + 3, x : x + 3] += 6
    return images, np.array(["left", "right"])[side], height + 1, width + 1


def test_saliency_highlights_the_relevant_region():
    images, side, y, x = left_or_right()
    fitted = net("[CONV-8 -> RELU]*2 -> POOL -> FCS", epochs=10).fit(images, side)
    assert fitted.score(images, side) > 0.95
    display = SaliencyDisplay.from_estimator(fitted, images[:40])
    assert display.maps.shape == (40, 12, 24)
    assert display.maps.min() == 0
    np.testing.assert_array_equal(display.maps.max(axis=(1, 2)), 1)
    np.testing.assert_array_equal(display.labels, fitted.predict(images[:40]))
    np.testing.assert_allclose(
        display.probability, fitted.predict_proba(images[:40]).max(axis=1), rtol=1e-6
    )
    at = display.maps.reshape(40, -1).argmax(axis=1)
    distance = np.hypot(at // 24 - y[:40], at % 24 - x[:40])
    assert np.median(distance) < 3
    assert len(display.axes_) == 80
    assert display.axes_[0].get_title().startswith(f"{display.labels[0]}, ")


def test_saliency_matches_the_definition_of_grad_cam():
    fitted = net("CONV-3 -> POOL -> FCS", batch_norm=False, standardize=False).fit(X, Y)
    display = SaliencyDisplay.from_estimator(fitted, X[:4], Y[:4])
    model = fitted.model_
    outputs = keras.Model(model.input, model.get_layer("conv_1").output)(X[:4, ..., None]).numpy()
    kernel = model.layers[-1].get_weights()[0].reshape(4, 4, 3, 10)
    for index, label in enumerate(Y[:4]):
        # The gradient of a maximum flows only to its position.
        gradient = np.zeros_like(outputs[index])
        for row, column, channel in np.ndindex(4, 4, 3):
            part = outputs[index, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2, channel]
            y, x = np.unravel_index(part.argmax(), part.shape)
            gradient[2 * row + y, 2 * column + x, channel] = kernel[row, column, channel, label]
        expected = np.maximum((gradient.mean(axis=(0, 1)) * outputs[index]).sum(axis=-1), 0)
        np.testing.assert_allclose(display.maps[index], expected / expected.max(), atol=1e-5)


def test_saliency_of_other_classes(tmp_path):
    fitted = net(epochs=3).fit(X, Y.astype(str))
    asked = np.array(["3", "7"])
    display = SaliencyDisplay.from_estimator(fitted, X[:2], asked)
    np.testing.assert_array_equal(display.labels, asked)
    np.testing.assert_allclose(display.probability, fitted.predict_proba(X[:2])[[0, 1], [3, 7]])
    paths = []
    for number, image in enumerate(X[:2]):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(image.astype(np.uint8)).save(paths[-1])
    from_files = SaliencyDisplay.from_estimator(fitted, paths, asked)
    np.testing.assert_array_equal(from_files.maps, display.maps)


def test_invalid_inputs_raise():
    with pytest.raises(NotFittedError):
        FilterDisplay.from_estimator(net())
    flat = net("FC-3 -> RELU -> FCS").fit(X, Y)
    for draw in (
        lambda: FilterDisplay.from_estimator(flat),
        lambda: SaliencyDisplay.from_estimator(flat, X),
    ):
        with pytest.raises(ValueError, match=r"has no convolution .*flatten, fc_1"):
            draw()
    fitted = net().fit(X, Y)
    for y in ([77, 1], [1]):
        with pytest.raises(ValueError, match=r"one of the classes \[0, .*for each of 2 images"):
            SaliencyDisplay.from_estimator(fitted, X[:2], y)
