"""Displays that follow scikit-learn's Display API."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted

from ._keras import keras, tf
from ._strings import check_strings
from .image.arrays import ImageArrays, as_numpy, images_as_rows, is_image_list
from .image.files import Array, as_paths, read_images
from .image.sizes import WHITE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# The colour-blind safe palette of Okabe and Ito, without black and yellow.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]


class AugmentationDisplay:
    """Draw images next to augmented variants of them.

    Use :meth:`from_estimator` to make one; its parameters are stored as attributes.

    Parameters
    ----------
    images : ndarray of shape (n_images, height, width, channels)
        The original images, with one channel (grey) or three (RGB).
    variants : ndarray of shape (n_images, n_variants, height, width, channels)
        The augmented variants of each image.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of the axes.
    image_ : matplotlib.image.AxesImage
        The drawn mosaic.

    See Also
    --------
    ImageAugmenter : The augmentation.

    Examples
    --------
    >>> from skcnn import AugmentationDisplay, ImageAugmenter, load_digit_images
    >>> augmenter = ImageAugmenter(rotation_range=20)
    >>> X = load_digit_images().data[:3]
    >>> display = AugmentationDisplay.from_estimator(augmenter, X, random_state=0)
    >>> display.variants.shape
    (3, 6, 8, 8, 1)
    """

    def __init__(self, images: Array, variants: Array) -> None:
        self.images = images
        self.variants = variants

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_variants: int = 6,
        random_state: int | None = None,
        image_size: int | Sequence[int] | None = None,
        resize: str = "stretch",
        background: str | Sequence[int] = "white",
        ax: Axes | None = None,
    ) -> Self:
        """Augment images and draw them.

        Parameters
        ----------
        estimator : ImageAugmenter
            The augmentation; its ``transform`` is called with `random_state`.
        X : array-like of shape (n_images, height, width[, channels]) or (n_images,)
            The images, or paths of image files, or a list of images. If there are neither one nor
            three channels, the first is drawn.
        n_variants : int, default=6
            Variants of each image.
        random_state : int, default=None
            Seed of the augmentation.
        image_size : int or tuple of (height, width), default=None
            Size to resize the images to. None refuses images of different sizes.
        resize : {"stretch", "crop", "pad"}, default="stretch"
            How, as in the estimators.
        background : str or tuple of (red, green, blue), default="white"
            Colour behind the transparent pixels of image files.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None creates a figure.

        Returns
        -------
        AugmentationDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator is not an ImageAugmenter.
        """
        _check_augmenter(estimator)
        X = images_as_rows(X, image_size=image_size, resize=resize, background=background)[:]
        images = check_images(X)
        # One call for all variants, so that mixup has partners for a single image, too.
        changed = estimator.transform(np.repeat(X, n_variants, 0), random_state=random_state)
        changed = check_images(changed)
        variants = changed.reshape(len(images), n_variants, *images.shape[1:])
        return cls(images, variants).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw one row per image: the original, a gap and its variants.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None creates a figure.

        Returns
        -------
        self
            The display.
        """
        import matplotlib.pyplot as plt

        n_images, n_variants, height, width, channels = self.variants.shape
        if ax is None:
            size = (1.1 * (n_variants + 1) + 0.4, 1.1 * n_images * height / width + 0.5)
            _, ax = plt.subplots(figsize=size, layout="constrained")
        tiles = np.concatenate([self.images[:, None], self.variants], axis=1).astype(float)
        low, high = tiles.min(), tiles.max()
        tiles = (tiles - low) / (high - low or 1.0)
        # White gaps: a narrow one after every tile, a wide one after the originals.
        gap = max(1, width // 12)
        padded = np.pad(tiles, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=1.0)
        mosaic = padded.transpose(0, 2, 1, 3, 4).reshape(
            n_images * (height + gap), (n_variants + 1) * (width + gap), channels
        )
        mosaic = np.insert(mosaic, [width] * 2 * gap, 1.0, axis=1)[:-gap, :-gap]
        self.image_ = ax.imshow(
            mosaic if channels == 3 else mosaic[..., 0], cmap="gray", vmin=0, vmax=1
        )
        starts = np.arange(n_variants + 1) * (width + gap) + 2 * gap * (
            np.arange(n_variants + 1) > 0
        )
        ax.set_xticks(starts + (width - 1) / 2, ["original", *range(1, n_variants + 1)])
        ax.set_yticks([])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_xlabel("augmented variants")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


def _check_augmenter(estimator: Any) -> None:
    transform = getattr(estimator, "transform", None)
    if transform is None or "random_state" not in inspect.signature(transform).parameters:
        hint = "; pass its augmentation" if hasattr(estimator, "augmentation") else ""
        raise _wrong_estimator("an ImageAugmenter", estimator, hint)


def _check_offers(estimator: Any, name: str, expected: str) -> None:
    """Check that an estimator has an attribute; one that ends with _ only a fitted one has."""
    if hasattr(estimator, name):
        return
    if name.endswith("_") and isinstance(estimator, BaseEstimator):
        check_is_fitted(estimator)
    raise _wrong_estimator(expected, estimator)


def _wrong_estimator(expected: str, estimator: Any, hint: str = "") -> TypeError:
    return TypeError(f"estimator must be {expected}; got {type(estimator).__name__}{hint}.")


def check_images(X: Any) -> Array:
    """Return images with one or three channels; of other numbers keep the first."""
    images = check_array(as_numpy(X, "X"), ensure_2d=False, allow_nd=True, input_name="X")
    if images.ndim not in (3, 4):
        raise ValueError(
            "X must be images of shape (n_samples, height, width[, channels]), got an array of "
            f"shape {images.shape}."
        )
    if images.ndim == 3:
        return images[..., None]  # type: ignore[no-any-return]
    return images if images.shape[-1] in (1, 3) else images[..., :1]  # type: ignore[no-any-return]


def _background(estimator: Any) -> Any:
    """Return the background of a classifier, or of the one inside a search or pipeline."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if isinstance(estimator, Pipeline):
        estimator = estimator[-1]
    return getattr(estimator, "background_", WHITE)


def image_axes(
    n_images: int,
    n_columns: int,
    figure: Figure | SubFigure | None = None,
    size: tuple[float, float] = (1.6, 2.1),
) -> tuple[Figure | SubFigure, Array]:
    """Create a grid of axes of `size` inches each, in `figure` or in a new one."""
    import matplotlib.pyplot as plt

    n_rows = max(1, -(-n_images // n_columns))
    if figure is None:
        figsize = (size[0] * n_columns, size[1] * n_rows)
        figure = plt.figure(figsize=figsize, layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    return figure, axes[:n_images]


def draw_image(ax: Axes, image: Array) -> None:
    """Draw an image with one or three channels, scaled to its range of values."""
    low, high = float(image.min()), float(image.max())
    scaled = (image - low) / (high - low or 1.0)
    ax.imshow(scaled if image.shape[-1] == 3 else scaled[..., 0], cmap="gray", vmin=0, vmax=1)


class TrainingHistoryDisplay:
    """Draw the learning curves of one or several estimators: a metric and the loss.

    Use :meth:`from_estimator` to make one; its parameters are stored as attributes.

    Parameters
    ----------
    histories : dict of str to dict of str to list of float
        The ``history_`` of each estimator; the keys are the names to show.
    best_iterations : dict of str to int, default=None
        The epochs, counted from 1, to mark.
    metric : str, default="accuracy"
        The metric to draw next to the loss, such as ``"exact_match"`` of a Seq2SeqRNN.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes of shape (2,)
        The axes of metric and loss, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of the axes.

    Examples
    --------
    >>> from skcnn import MiniCNN, TrainingHistoryDisplay, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> net = MiniCNN(epochs=3, early_stopping=True, random_state=0).fit(X[:500], y[:500])
    >>> display = TrainingHistoryDisplay.from_estimator(net)
    >>> [line.get_label() for line in display.axes_[0].get_lines()][:2]
    ['training', 'validation']
    """

    def __init__(
        self,
        histories: Mapping[str, Mapping[str, Sequence[float]]],
        *,
        best_iterations: Mapping[str, int] | None = None,
        metric: str = "accuracy",
    ) -> None:
        self.histories = histories
        self.best_iterations = best_iterations
        self.metric = metric

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, metric: str = "accuracy", axes: Sequence[Axes] | None = None
    ) -> Self:
        """Draw the history of a fitted estimator, or of several.

        Parameters
        ----------
        estimator : estimator or dict of str to estimator
            Fitted, with a ``history_``. A dict names the estimators.
        metric : str, default="accuracy"
            The metric to draw next to the loss.
        axes : sequence of two matplotlib.axes.Axes, default=None
            Where to draw. None creates a figure.

        Returns
        -------
        TrainingHistoryDisplay
            The display, drawn.
        """
        estimators = estimator if isinstance(estimator, Mapping) else {"": estimator}
        for each in estimators.values():
            _check_offers(each, "history_", "a fitted estimator with a history_")
        histories = {name: each.history_ for name, each in estimators.items()}
        for history in histories.values():
            if metric not in history:
                raise ValueError(f"metric={metric!r} is not in the history: {sorted(history)}.")
        best = {name: each.best_iteration_ for name, each in estimators.items()}
        return cls(histories, best_iterations=best, metric=metric).plot(axes=axes)

    def plot(self, *, axes: Sequence[Axes] | None = None) -> Self:
        """Draw training curves dashed, validation curves solid and the restored epoch as a dot.

        Parameters
        ----------
        axes : sequence of two matplotlib.axes.Axes, default=None
            Where to draw. None creates a figure.

        Returns
        -------
        self
            The display.
        """
        import matplotlib.pyplot as plt

        if axes is None:
            _, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
        for ax, name in zip(axes, (self.metric, "loss"), strict=True):
            for index, (label, history) in enumerate(self.histories.items()):
                self._draw(ax, name, label, history, COLOURS[index % len(COLOURS)])
            ax.set(xlabel="Epoch", ylabel=name.replace("_", " ").capitalize())
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.grid(alpha=0.3)
        axes[0].legend()
        self.axes_ = np.asarray(axes)
        self.figure_ = axes[0].figure
        return self

    def _draw(
        self, ax: Axes, name: str, label: str, history: Mapping[str, Sequence[float]], colour: str
    ) -> None:
        epochs = np.arange(1, len(history[name]) + 1)
        ax.plot(epochs, history[name], "--", color=colour, label=f"{label} training".strip())
        values = history.get(f"val_{name}")
        if values is None:
            return
        ax.plot(epochs, values, color=colour, label=f"{label} validation".strip())
        best = (self.best_iterations or {}).get(label)
        if best is not None:
            mark = f"{label} epoch {best}, kept".strip()
            ax.plot(best, values[best - 1], "o", color=colour, label=mark)


class MisclassifiedImagesDisplay:
    """Draw the misclassified images with the highest predicted probability.

    Use :meth:`from_estimator` or :meth:`from_predictions` to make one; its parameters are stored
    as attributes.

    Parameters
    ----------
    images : sequence of ndarray of shape (height, width, channels)
        The images, with one channel (grey) or three (RGB), most confident mistake first.
    y_true : ndarray of shape (n_images,)
        True classes.
    y_pred : ndarray of shape (n_images,)
        Predicted classes.
    probability : ndarray of shape (n_images,)
        Predicted probabilities of `y_pred`.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes
        The axes, one per image, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of the axes.

    See Also
    --------
    confident_error_counts : Count them per class.

    Examples
    --------
    >>> from skcnn import MiniCNN, MisclassifiedImagesDisplay, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> net = MiniCNN(epochs=3, random_state=0).fit(X[:500], y[:500])
    >>> display = MisclassifiedImagesDisplay.from_estimator(net, X[500:], y[500:], n_images=4)
    >>> bool((display.y_true != display.y_pred).all())
    True
    """

    def __init__(
        self, images: Sequence[Array], y_true: Array, y_pred: Array, probability: Array
    ) -> None:
        self.images = images
        self.y_true = y_true
        self.y_pred = y_pred
        self.probability = probability

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        n_images: int = 12,
        class_names: Sequence[str] | None = None,
        n_columns: int = 6,
        figure: Figure | SubFigure | None = None,
    ) -> Self:
        """Predict, and draw the most confident mistakes.

        Parameters
        ----------
        estimator : classifier
            Fitted, with ``predict_proba`` and ``classes_``.
        X : array-like of shape (n_samples, height, width[, channels]) or (n_samples,)
            The images, or paths of image files.
        y : array-like of shape (n_samples,)
            True classes.
        n_images : int, default=12
            The maximum number of images to draw.
        class_names : sequence of str, default=None
            Names to show, in the order of ``estimator.classes_``. None shows the labels.
        n_columns : int, default=6
            Images per row.
        figure : matplotlib.figure.Figure or SubFigure, default=None
            Where to draw. None creates a figure.

        Returns
        -------
        MisclassifiedImagesDisplay
            The display, drawn.
        """
        _check_offers(estimator, "predict_proba", "a classifier with predict_proba")
        _check_offers(estimator, "classes_", "a classifier with classes_")
        has_background = as_paths(X) is not None or is_image_list(X)
        return cls.from_predictions(
            X,
            y,
            estimator.predict_proba(X),
            classes=estimator.classes_,
            n_images=n_images,
            class_names=class_names,
            n_columns=n_columns,
            figure=figure,
            background=_background(estimator) if has_background else "white",
        )

    @classmethod
    def from_predictions(
        cls,
        X: Any,
        y_true: Any,
        y_proba: Any,
        *,
        classes: Any,
        n_images: int = 12,
        class_names: Sequence[str] | None = None,
        n_columns: int = 6,
        figure: Figure | SubFigure | None = None,
        background: str | Sequence[int] = "white",
    ) -> Self:
        """Draw the most confident mistakes of given predictions.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width[, channels]) or (n_samples,)
            The images, or paths of image files. If there are neither one nor three channels, the
            first is drawn.
        y_true : array-like of shape (n_samples,)
            True classes.
        y_proba : array-like of shape (n_samples, n_classes)
            Predicted probabilities.
        classes : array-like of shape (n_classes,)
            The labels of the columns of `y_proba`.
        n_images : int, default=12
            The maximum number of images to draw.
        class_names : sequence of str, default=None
            Names to show, in the order of `classes`. None shows the labels.
        n_columns : int, default=6
            Images per row.
        figure : matplotlib.figure.Figure or SubFigure, default=None
            Where to draw. None creates a figure.
        background : str or tuple of (red, green, blue), default="white"
            Colour behind the transparent pixels of image files.

        Returns
        -------
        MisclassifiedImagesDisplay
            The display, drawn.
        """
        paths = as_paths(X)
        is_list = paths is None and is_image_list(X)
        if paths is None and not is_list:
            X = check_images(images_as_rows(X, background=background))
        y_true, y_proba = np.asarray(y_true), check_array(y_proba, input_name="y_proba")
        classes = np.asarray(classes)
        names = classes if class_names is None else np.asarray(class_names)
        check_consistent_length(X, y_true, y_proba)
        if not len(classes) == len(names) == y_proba.shape[1]:
            raise ValueError(
                f"y_proba must have one column per class; got {y_proba.shape[1]} columns, "
                f"{len(classes)} classes and {len(names)} class_names."
            )
        best = y_proba.argmax(axis=1)
        probability = y_proba.max(axis=1)
        wrong = np.flatnonzero(classes[best] != y_true)
        rows = wrong[np.argsort(-probability[wrong], kind="stable")][:n_images]
        # Of many sizes one by one.
        if paths is not None:
            chosen = [read_images([path], background=background)[0] for path in paths[rows]]
        elif is_list:
            chosen = [ImageArrays([X[row]], background=background)[:][0] for row in rows]
        else:
            chosen = list(X[rows])
        shown = dict(zip(classes.tolist(), names.tolist(), strict=True))
        true = np.array([shown.get(label, label) for label in y_true[rows].tolist()])
        display = cls(chosen, true, names[best[rows]], probability[rows])
        return display.plot(n_columns=n_columns, figure=figure)

    def plot(self, *, n_columns: int = 6, figure: Figure | SubFigure | None = None) -> Self:
        """Draw a grid of images with their true and predicted classes.

        Parameters
        ----------
        n_columns : int, default=6
            Images per row.
        figure : matplotlib.figure.Figure or SubFigure, default=None
            Where to draw. None creates a figure.

        Returns
        -------
        self
            The display.
        """
        self.figure_, self.axes_ = image_axes(len(self.images), n_columns, figure)
        if not len(self.images):
            self.figure_.suptitle("no mistakes")
        for ax, image, true, predicted, probability in zip(
            self.axes_, self.images, self.y_true, self.y_pred, self.probability, strict=True
        ):
            draw_image(ax, image)
            ax.set_title(f"{true}\nas {predicted}, {probability:.2f}", fontsize=9)
        return self


class FilterDisplay:
    """Draw the filters of the first convolution of a network.

    Use :meth:`from_estimator` to make one; its parameters are stored as attributes.

    Parameters
    ----------
    filters : ndarray of shape (n_filters, height, width, channels)
        The filters, with one channel (grey) or three (RGB).

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_filters,)
        The axes, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of the axes.

    See Also
    --------
    SaliencyDisplay : Draw which pixels contribute to a class.

    Examples
    --------
    >>> from skcnn import FilterDisplay, MiniCNN, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> net = MiniCNN(epochs=1, random_state=0).fit(X, y)
    >>> FilterDisplay.from_estimator(net).filters.shape
    (32, 3, 3, 1)
    """

    def __init__(self, filters: Array) -> None:
        self.filters = filters

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, n_columns: int = 8, figure: Figure | SubFigure | None = None
    ) -> Self:
        """Draw the filters of the first convolution of a fitted classifier.

        Parameters
        ----------
        estimator : classifier
            Fitted, with a ``model_`` that has a convolution.
        n_columns : int, default=8
            Filters per row.
        figure : matplotlib.figure.Figure or SubFigure, default=None
            Where to draw. None creates a figure.

        Returns
        -------
        FilterDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the network has no convolution.
        """
        kernel = _convolutions(estimator)[0].get_weights()[0]
        kernel = kernel if kernel.shape[2] == 3 else kernel[:, :, :1]
        filters = np.moveaxis(kernel, -1, 0)
        return cls(filters).plot(n_columns=n_columns, figure=figure)

    def plot(self, *, n_columns: int = 8, figure: Figure | SubFigure | None = None) -> Self:
        """Draw each filter scaled to its range of values.

        Parameters
        ----------
        n_columns : int, default=8
            Filters per row.
        figure : matplotlib.figure.Figure or SubFigure, default=None
            Where to draw. None creates a figure.

        Returns
        -------
        self
            The display.
        """
        self.figure_, self.axes_ = image_axes(len(self.filters), n_columns, figure, (0.9, 0.9))
        for ax, weights in zip(self.axes_, self.filters, strict=True):
            draw_image(ax, weights)
        return self


class SaliencyDisplay:
    """Draw which pixels contribute to a class, by Grad-CAM.

    The outputs of the last convolution are weighted by the gradient of the score of the class with
    respect to their mean, summed, and drawn over the image [1]_.

    Use :meth:`from_estimator` to make one; its parameters are stored as attributes.

    Parameters
    ----------
    images : ndarray of shape (n_images, height, width, channels)
        The images.
    maps : ndarray of shape (n_images, height, width)
        The contribution of each pixel, between 0 and 1; all 0 if no pixel contributes.
    labels : ndarray of shape (n_images,)
        The classes that are explained.
    probability : ndarray of shape (n_images,)
        Predicted probabilities of `labels`.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes
        The axes, alternating image and map, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of the axes.

    See Also
    --------
    MisclassifiedImagesDisplay : Draw the most confident mistakes.

    References
    ----------
    .. [1] R. R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via
       Gradient-based Localization", ICCV 2017.

    Examples
    --------
    >>> from skcnn import MiniCNN, SaliencyDisplay, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> net = MiniCNN(epochs=5, random_state=0).fit(X, y)
    >>> SaliencyDisplay.from_estimator(net, X[:3]).maps.shape
    (3, 8, 8)
    """

    def __init__(self, images: Array, maps: Array, labels: Array, probability: Array) -> None:
        self.images = images
        self.maps = maps
        self.labels = labels
        self.probability = probability

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        n_columns: int = 3,
        figure: Figure | SubFigure | None = None,
    ) -> Self:
        """Compute the maps of a fitted classifier and draw them.

        Parameters
        ----------
        estimator : classifier
            Fitted, with a ``model_`` that has a convolution, and ``classes_``.
        X : array-like of shape (n_images, height, width[, channels]) or (n_images,)
            The images, or paths of image files.
        y : array-like of shape (n_images,), default=None
            The classes to explain. None explains the predicted classes.
        n_columns : int, default=3
            Images per row, each with its map.
        figure : matplotlib.figure.Figure or SubFigure, default=None
            Where to draw. None creates a figure.

        Returns
        -------
        SaliencyDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the network has no convolution, or a class of `y` is not one of the estimator's.
        """
        _convolutions(estimator)
        _check_offers(estimator, "predict_proba", "a classifier with predict_proba")
        probability = estimator.predict_proba(X)
        classes = estimator.classes_
        codes = probability.argmax(axis=1)
        if y is not None:
            y = np.asarray(y)
            unknown = np.setdiff1d(y, classes)
            if len(unknown) or len(y) != len(codes):
                raise ValueError(
                    f"y must have one of the classes {classes.tolist()} for each of "
                    f"{len(codes)} images; got {y.tolist()}."
                )
            codes = np.searchsorted(classes, y)
        images = estimator._check_inputs(X)[:]  # as the network sees them
        rows = np.arange(len(codes))
        maps = grad_cam(estimator.model_, images, codes)
        display = cls(check_images(images), maps, classes[codes], probability[rows, codes])
        return display.plot(n_columns=n_columns, figure=figure)

    def plot(self, *, n_columns: int = 3, figure: Figure | SubFigure | None = None) -> Self:
        """Draw each image, and next to it the image under its map.

        Parameters
        ----------
        n_columns : int, default=3
            Images per row, each with its map.
        figure : matplotlib.figure.Figure or SubFigure, default=None
            Where to draw. None creates a figure.

        Returns
        -------
        self
            The display.
        """
        self.figure_, self.axes_ = image_axes(2 * len(self.images), 2 * n_columns, figure)
        pairs = zip(self.axes_[::2], self.axes_[1::2], strict=True)
        for (left, right), image, saliency, label, probability in zip(
            pairs, self.images, self.maps, self.labels, self.probability, strict=True
        ):
            draw_image(left, image)
            left.set_title(f"{label}, {probability:.2f}", fontsize=9)
            draw_image(right, image.mean(axis=-1, keepdims=True))
            right.imshow(saliency, cmap="inferno", alpha=0.55, vmin=0, vmax=1)
        return self


def grad_cam(model: keras.Model, images: Array, codes: Array) -> Array:
    """Compute the Grad-CAM of each image for a class.

    Parameters
    ----------
    model : keras.Model
        A network whose last layer is dense with softmax.
    images : ndarray of shape (n_images, height, width, channels)
        The images.
    codes : ndarray of int of shape (n_images,)
        The classes, as indices of the outputs.

    Returns
    -------
    ndarray of shape (n_images, height, width), float32
        The maps, from 0 to 1.
    """
    output = model.layers[-1]
    both = keras.Model(model.input, [_last_maps(model), output.input])
    with tf.GradientTape() as tape:
        outputs, features = both(tf.cast(images, tf.float32), training=False)
        # The score before softmax, whose gradient does not depend on the other classes.
        scores = tf.matmul(tf.cast(features, tf.float32), output.kernel) + output.bias
        score = tf.gather(scores, codes, batch_dims=1)
    importance = tf.reduce_mean(tape.gradient(score, outputs), axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(importance * outputs, axis=-1, keepdims=True))
    maps = tf.image.resize(maps, images.shape[1:3])[..., 0].numpy()
    highest = maps.max(axis=(1, 2), keepdims=True)
    scaled: Array = np.divide(maps, highest, out=np.zeros_like(maps), where=highest > 0)
    return scaled


def _last_maps(model: keras.Model) -> Any:
    """Return the outputs of the last convolution, of a pretrained network all that it averages."""
    pooled = [
        layer.input
        for layer in model.layers
        if isinstance(layer, keras.layers.GlobalAveragePooling2D)
    ]
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    return pooled[-1] if pooled else convolutions[-1].output


def _convolutions(estimator: Any) -> list[keras.layers.Layer]:
    _check_offers(estimator, "model_", "a fitted image estimator with a model_")
    layers = estimator.model_.layers
    found = [layer for layer in layers if isinstance(layer, keras.layers.Conv2D)]
    if not found:
        raise ValueError(
            f"{estimator} has no convolution (CONV) in its network, whose layers are "
            f"{', '.join(layer.name for layer in layers)}."
        )
    return found


class AttentionDisplay:
    """Which characters a network attends to while it writes each character.

    Use :meth:`from_estimator` to make one; its parameters are stored as attributes.

    Parameters
    ----------
    inputs : sequence of str
        The characters, or words, that are read.
    outputs : sequence of str
        Those that are written.
    weights : ndarray of shape (n_outputs, n_inputs)
        How much of the attention each input has while an output is written; rows add up to 1.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure that has them.
    image_ : matplotlib.image.AxesImage
        The drawn weights.

    See Also
    --------
    Seq2SeqRNN : The network.

    Examples
    --------
    >>> from skcnn import AttentionDisplay, Seq2SeqRNN
    >>> net = Seq2SeqRNN(epochs=2, hidden_size=8, random_state=0).fit(["ab", "b"], ["xy", "y"])
    >>> display = AttentionDisplay.from_estimator(net, "ab")
    >>> display.inputs
    ['a', 'b']
    """

    def __init__(self, inputs: Sequence[str], outputs: Sequence[str], weights: Array) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.weights = weights

    @classmethod
    def from_estimator(cls, estimator: Any, text: str, *, ax: Any = None) -> Self:
        """Predict a string and draw the attention.

        Parameters
        ----------
        estimator : Seq2SeqRNN
            Fitted, with ``decoder="autoregressive"`` or ``"attention"``, or a search for one.
        text : str
            The string to read.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        AttentionDisplay
            The display, drawn.
        """
        estimator = getattr(estimator, "best_estimator_", estimator)
        _check_offers(estimator, "_attention", "a Seq2SeqRNN")
        return cls(*estimator._attention(text)).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw one row for each character that is written.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        self
            The display.
        """
        import matplotlib.pyplot as plt

        if ax is None:
            size = (1.5 + 0.3 * len(self.inputs), 1.2 + 0.3 * len(self.outputs))
            _, ax = plt.subplots(figsize=size, layout="constrained")
        self.image_ = ax.imshow(self.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        ax.set_xticks(range(len(self.inputs)), self.inputs)
        ax.set_yticks(range(len(self.outputs)), self.outputs)
        ax.tick_params(length=0)
        ax.set_xlabel("read")
        ax.set_ylabel("written")
        self.ax_, self.figure_ = ax, ax.figure
        return self


class StringMistakesDisplay:
    """Strings that were predicted wrongly, aligned with the right ones, and where the edits are.

    The edits are the fewest that turn the prediction into the right string. Use
    :meth:`from_estimator` or :meth:`from_predictions` to make one; its parameters are stored as
    attributes.

    Parameters
    ----------
    rows : list of list of tuple of (str, str, str)
        For each mistake that is shown, the kind of each character ("equal", "substituted",
        "missing", "extra"), the right one and the predicted one, "" where there is none.
    counts : dict of str to ndarray of shape (n_places,)
        How many characters of each kind of edit there are in all mistakes, by their place in the
        right string.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes of shape (2,)
        The axes of the strings and of the counts, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure that has them.

    See Also
    --------
    character_error_rate : The edits as a share of the characters.

    Examples
    --------
    >>> from skcnn import StringMistakesDisplay
    >>> display = StringMistakesDisplay.from_predictions(["kitten", "cat"], ["sitting", "cat"])
    >>> {kind: int(counts.sum()) for kind, counts in display.counts.items()}
    {'substituted': 2, 'missing': 0, 'extra': 1}
    """

    _COLOURS: ClassVar[dict[str, str]] = {
        "substituted": COLOURS[1],
        "missing": COLOURS[0],
        "extra": COLOURS[3],
    }

    def __init__(
        self, rows: list[list[tuple[str, str, str]]], counts: dict[str, NDArray[np.int_]]
    ) -> None:
        self.rows = rows
        self.counts = counts

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, n_strings: int = 12, figure: Any = None
    ) -> Self:
        """Predict and draw mistakes.

        Parameters
        ----------
        estimator : estimator
            Fitted, with a ``predict`` that returns strings.
        X : array-like of str of shape (n_samples,)
            The strings to read.
        y : array-like of str of shape (n_samples,)
            The right answers.
        n_strings : int, default=12
            The most mistakes to show.
        figure : matplotlib.figure.Figure or SubFigure, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        StringMistakesDisplay
            The display, drawn.
        """
        _check_offers(estimator, "predict", "an estimator that predicts strings")
        return cls.from_predictions(y, estimator.predict(X), n_strings=n_strings, figure=figure)

    @classmethod
    def from_predictions(
        cls, y_true: Any, y_pred: Any, *, n_strings: int = 12, figure: Any = None
    ) -> Self:
        """Draw the mistakes among predictions.

        Parameters
        ----------
        y_true : array-like of str of shape (n_samples,)
            The right strings.
        y_pred : array-like of str of shape (n_samples,)
            The predicted ones.
        n_strings : int, default=12
            The most mistakes to show, the first ones. All are counted.
        figure : matplotlib.figure.Figure or SubFigure, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        StringMistakesDisplay
            The display, drawn.
        """
        y_true, y_pred = check_strings(y_true, "y_true"), check_strings(y_pred, "y_pred")
        check_consistent_length(y_true, y_pred)
        n_places = int(np.strings.str_len(y_true).max()) + 1
        counts = {kind: np.zeros(n_places, int) for kind in cls._COLOURS}
        rows = []
        for right, predicted in zip(y_true.tolist(), y_pred.tolist(), strict=True):
            if right != predicted:
                rows.append(_aligned(right, predicted))
                place = 0
                for kind, character, _ in rows[-1]:
                    if kind != "equal":
                        counts[kind][place] += 1
                    place += bool(character)
        return cls(rows[:n_strings], counts).plot(figure=figure)

    def plot(self, *, figure: Any = None) -> Self:
        """Draw each right string above its prediction, and the counts under all.

        Parameters
        ----------
        figure : matplotlib.figure.Figure or SubFigure, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        self
            The display.
        """
        import matplotlib.pyplot as plt

        n_rows = max(1, len(self.rows))
        if figure is None:
            figure = plt.figure(figsize=(6.4, 2.2 + 0.5 * n_rows), layout="constrained")
        text, bars = self.axes_ = figure.subplots(2, height_ratios=[0.5 * n_rows, 2])
        self.figure_ = figure
        text.set_axis_off()
        text.set_xlim(-0.5, max([12, *map(len, self.rows)]))
        text.set_ylim(3 * n_rows, -1)
        if not self.rows:
            text.set_title("no mistakes")
        for number, row in enumerate(self.rows):
            for place, (kind, *characters) in enumerate(row):
                colour = self._COLOURS.get(kind, "black")
                for line, character in enumerate(characters):
                    text.text(
                        place, 3 * number + line, character or "·", color=colour,
                        family="monospace", ha="center", va="center",
                    )  # fmt: skip
        below = np.zeros(len(next(iter(self.counts.values()))), int)
        for kind, counts in self.counts.items():
            bars.bar(
                range(len(counts)), counts, bottom=below, color=self._COLOURS[kind], label=kind
            )
            below += counts
        bars.set_xlabel("place in the right string")
        bars.set_ylabel("characters")
        bars.legend()
        return self


def _aligned(right: str, predicted: str) -> list[tuple[str, str, str]]:
    """Align two strings with the fewest edits."""
    kinds = {"equal": "equal", "replace": "substituted", "insert": "missing", "delete": "extra"}
    pairs = []
    for code in Levenshtein.opcodes(predicted, right):
        was = predicted[code.src_start : code.src_end]
        should = right[code.dest_start : code.dest_end]
        pairs += [
            (kinds[code.tag], one, other)
            for one, other in itertools.zip_longest(should, was, fillvalue="")
        ]
    return pairs
