import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from PIL import Image
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skcnn import (
    AttentionDisplay,
    AugmentationDisplay,
    FilterDisplay,
    ImageAugmenter,
    MiniCNN,
    MisclassifiedImagesDisplay,
    SaliencyDisplay,
    Seq2SeqRNN,
    StringMistakesDisplay,
    TrainingHistoryDisplay,
    load_digit_images,
)

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


LOGISTIC = LogisticRegression().fit([[0], [1]], [0, 1])
PIXELS = RNG.random((1, 4, 4))


@pytest.mark.parametrize(
    ("display", "other", "arguments", "match"),
    [
        (AugmentationDisplay, MiniCNN(), [PIXELS], "MiniCNN; pass its augmentation"),
        (AugmentationDisplay, StandardScaler(), [PIXELS], "an ImageAugmenter; got StandardS"),
        (TrainingHistoryDisplay, LOGISTIC, [], "a history_; got LogisticRegression"),
        (MisclassifiedImagesDisplay, None, [PIXELS, [0]], "predict_proba; got NoneType"),
        (MisclassifiedImagesDisplay, Seq2SeqRNN(), [["a"], ["b"]], "classes_; got Seq2SeqRNN"),
        (FilterDisplay, LOGISTIC, [], "a model_; got LogisticRegression"),
        (SaliencyDisplay, LOGISTIC, [PIXELS], "a model_; got LogisticRegression"),
        (AttentionDisplay, MiniCNN(), ["a"], "a Seq2SeqRNN; got MiniCNN"),
        (StringMistakesDisplay, StandardScaler(), [["a"], ["b"]], "strings; got StandardScaler"),
    ],
    ids=lambda each: each.__name__ if isinstance(each, type) else None,
)
def test_displays_name_an_estimator_that_they_cannot_draw(display, other, arguments, match):
    if isinstance(other, Seq2SeqRNN):
        other = Seq2SeqRNN(decoder="repeat", epochs=1).fit(["a", "b"], ["b", "a"])
    with pytest.raises(TypeError, match=f"^estimator must be .*{match}"):
        display.from_estimator(other, *arguments)


class Prior(BaseEstimator):
    """A classifier that learns nothing, so that scikit-learn takes it as not fitted."""

    classes_ = np.array([0, 1])

    def predict_proba(self, X):
        return np.tile([0.9, 0.1], (len(X), 1))


def test_misclassified_images_of_a_classifier_that_learns_nothing():
    X = RNG.random((3, 4, 4))
    display = MisclassifiedImagesDisplay.from_estimator(Prior(), X, [0, 1, 1])
    assert len(display.images) == 2


# Histories


@pytest.fixture(scope="module")
def nets():
    X, y = (data[:300] for data in load_digit_images(return_X_y=True))
    stopped = MiniCNN(epochs=6, early_stopping=True, random_state=0).fit(X, y)
    return stopped, MiniCNN(epochs=3, random_state=0).fit(X, y)


def lines_of(ax):
    return {line.get_label(): line.get_ydata().tolist() for line in ax.get_lines()}


def test_history_display_draws_the_history(nets):
    stopped, _ = nets
    display = TrainingHistoryDisplay.from_estimator(stopped)
    history, best = stopped.history_, stopped.best_iteration_
    for ax, name in zip(display.axes_, ("accuracy", "loss"), strict=True):
        assert ax.get_ylabel() == name.capitalize()
        assert lines_of(ax) == {
            "training": history[name],
            "validation": history[f"val_{name}"],
            f"epoch {best}, kept": [history[f"val_{name}"][best - 1]],
        }
    assert display.figure_ is display.axes_[0].figure


def test_history_display_compares_estimators_on_given_axes(nets):
    _, axes = plt.subplots(1, 2)
    named = dict(zip(("one", "other"), nets, strict=True))
    display = TrainingHistoryDisplay.from_estimator(named, axes=axes)
    assert display.axes_[0] is axes[0]
    assert {"one training", "one validation", "other training"} < set(lines_of(axes[0]))
    colours = {line.get_label(): line.get_color() for line in axes[0].get_lines()}
    assert colours["one training"] == colours["one validation"] != colours["other training"]


def test_history_display_raises_without_history(nets):
    with pytest.raises(NotFittedError):
        TrainingHistoryDisplay.from_estimator(MiniCNN())
    with pytest.raises(ValueError, match="metric='recall' is not in the history"):
        TrainingHistoryDisplay.from_estimator(nets[0], metric="recall")


# Mistakes

IMAGES = RNG.random((5, 4, 6))
TRUE = np.array(["a", "b", "c", "a", "b"])
PROBABILITY = np.array(
    [[0.9, 0.05, 0.05], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.3, 0.6], [0, 1, 0]]
)


def titles(display):
    return [ax.get_title() for ax in display.axes_]


def test_mistakes_are_sorted_by_confidence():
    display = MisclassifiedImagesDisplay.from_predictions(
        IMAGES, TRUE, PROBABILITY, classes=["a", "b", "c"]
    )
    assert titles(display) == ["c\nas b, 0.80", "b\nas a, 0.70", "a\nas c, 0.60"]
    drawn = display.axes_[0].get_images()[0].get_array()
    scaled = (IMAGES[2] - IMAGES[2].min()) / (IMAGES[2].max() - IMAGES[2].min())
    np.testing.assert_allclose(drawn, scaled)
    two = MisclassifiedImagesDisplay.from_predictions(
        IMAGES, TRUE, PROBABILITY, classes=["a", "b", "c"], n_images=2, class_names=list("ABC")
    )
    assert titles(two) == ["C\nas B, 0.80", "B\nas A, 0.70"]


def test_mistakes_on_image_files_of_any_size(tmp_path):
    paths = []
    for row, size in enumerate([(4, 6), (3, 3), (5, 5), (4, 4), (6, 6)]):
        image = Image.fromarray(RNG.integers(0, 256, (*size, 3), dtype=np.uint8))
        paths.append(tmp_path / f"{row}.png")
        image.save(paths[-1])
    display = MisclassifiedImagesDisplay.from_predictions(
        paths, TRUE, PROBABILITY, classes=["a", "b", "c"]
    )
    assert [image.shape for image in display.images] == [(5, 5, 3), (3, 3, 3), (4, 4, 3)]


def test_mistakes_of_an_estimator(nets):
    X, y = (data[300:500] for data in load_digit_images(return_X_y=True))
    net = nets[1]
    display = MisclassifiedImagesDisplay.from_estimator(net, X, y, n_images=4)
    wrong = net.predict(X) != y
    assert wrong.sum() > 4
    assert display.probability[0] == net.predict_proba(X)[wrong].max()
    assert len(display.axes_) == 4


def test_misclassified_display_without_mistakes():
    display = MisclassifiedImagesDisplay.from_predictions(
        IMAGES[:2], ["a", "b"], np.eye(2), classes=["a", "b"]
    )
    assert len(display.axes_) == 0
    assert display.figure_.get_suptitle() == "no mistakes"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": np.zeros((5, 4))}, "X must be images"),
        ({"y_true": TRUE[1:]}, "inconsistent numbers of samples"),
        ({"classes": ["a", "b"]}, "got 3 columns, 2 classes"),
        ({"class_names": ["a", "b"]}, "3 classes and 2 class_names"),
    ],
)
def test_bad_predictions_are_refused(arguments, message):
    arguments = {
        "X": IMAGES, "y_true": TRUE, "y_proba": PROBABILITY, "classes": list("abc"), **arguments
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        MisclassifiedImagesDisplay.from_predictions(**arguments)
