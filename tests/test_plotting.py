import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from skcnn import AugmentationDisplay, ImageAugmenter

RNG = np.random.default_rng(0)
FLIP = ImageAugmenter(horizontal_flip=True)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 3), (8, 8, 5)])
def test_augmentation_display_draws_originals_and_variants(shape):
    X = RNG.random((3, *shape))
    display = AugmentationDisplay.from_estimator(FLIP, X, n_variants=4, random_state=0)
    channels = 3 if shape[-1] == 3 else 1
    assert display.variants.shape == (3, 4, 8, 8, channels)
    assert display.figure_ is display.ax_.figure
    drawn = np.asarray(display.image_.get_array()).reshape(3 * 8 + 2, -1, channels)
    first = X.reshape(3, 8, 8, -1)[:, :, :, :channels]
    scaled = (first - first.min()) / (first.max() - first.min())
    np.testing.assert_allclose(drawn[:8, :8], scaled[0], atol=1e-6)
    np.testing.assert_allclose(drawn[9:17, :8], scaled[1], atol=1e-6)
    second = drawn[:8, 11:19]
    assert np.allclose(second, scaled[0], atol=1e-6) or np.allclose(
        second, scaled[0, :, ::-1], atol=1e-6
    )
    labels = [label.get_text() for label in display.ax_.get_xticklabels()]
    assert labels == ["original", "1", "2", "3", "4"]


def test_augmentation_display_draws_on_given_axes():
    _, ax = plt.subplots()
    display = AugmentationDisplay.from_estimator(FLIP, RNG.random((1, 4, 4)), ax=ax)
    assert display.ax_ is ax
    assert display.plot().ax_ is not ax
