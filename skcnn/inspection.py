"""Displays of what a fitted network has learnt."""

from __future__ import annotations

from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from sklearn.utils.validation import check_is_fitted

from .displays import check_images, draw_image, image_axes
from .image.files import Array, as_paths, read_images


class FilterDisplay:
    """The filters of the first convolution of a network.

    Use :meth:`from_estimator` to make one; its parameters are stored as attributes.

    Parameters
    ----------
    filters : ndarray of shape (n_filters, height, width, channels)
        The filters, of one channel (grey) or three (RGB).

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_filters,)
        The axes, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure that has them.

    See Also
    --------
    SaliencyDisplay : Which parts of an image a class was recognized by.

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
    def from_estimator(cls, estimator: Any, *, n_columns: int = 8, figure: Any = None) -> Self:
        """Draw the filters of the first convolution of a fitted classifier.

        Parameters
        ----------
        estimator : classifier
            Fitted, with a ``model_`` that has a convolution.
        n_columns : int, default=8
            Filters beside each other.
        figure : matplotlib.figure.Figure or SubFigure, default=None
            Where to draw. None makes a figure.

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
        # Of channels that are neither one nor three, the first.
        kernel = kernel if kernel.shape[2] == 3 else kernel[:, :, :1]
        filters = np.moveaxis(kernel, -1, 0)
        return cls(filters).plot(n_columns=n_columns, figure=figure)

    def plot(self, *, n_columns: int = 8, figure: Any = None) -> Self:
        """Draw each filter from its lowest value, black, to its highest.

        Parameters
        ----------
        n_columns : int, default=8
            Filters beside each other.
        figure : matplotlib.figure.Figure or SubFigure, default=None
            Where to draw. None makes a figure.

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
    """Which parts of an image speak for a class, by Grad-CAM [1]_.

    The outputs of the last convolution are weighted by how much the score of the class rises with
    their mean, summed, and drawn over the image.

    Use :meth:`from_estimator` to make one; its parameters are stored as attributes.

    Parameters
    ----------
    images : ndarray of shape (n_images, height, width, channels)
        The images.
    maps : ndarray of shape (n_images, height, width)
        From 0 to 1, where each image speaks most for the class; all 0 where nothing does.
    labels : ndarray of shape (n_images,)
        The classes that are spoken for.
    probability : ndarray of shape (n_images,)
        Their predicted probabilities.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes
        The axes, image and map in turn, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure that has them.

    See Also
    --------
    MisclassifiedImagesDisplay : The surest mistakes, worth such a look.

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
        cls, estimator: Any, X: Any, y: Any = None, *, n_columns: int = 3, figure: Any = None
    ) -> Self:
        """Compute the maps of a fitted classifier and draw them.

        Parameters
        ----------
        estimator : classifier
            Fitted, with a ``model_`` that has a convolution, and ``classes_``.
        X : array-like of shape (n_images, height, width[, channels]) or (n_images,)
            The images, or paths of image files.
        y : array-like of shape (n_images,), default=None
            The classes to speak for. None takes those predicted.
        n_columns : int, default=3
            Images beside each other, each with its map.
        figure : matplotlib.figure.Figure or SubFigure, default=None
            Where to draw. None makes a figure.

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
        probability = estimator.predict_proba(X)
        classes = estimator.classes_
        codes = probability.argmax(axis=1)
        if y is not None:
            y = np.asarray(y)
            unknown = np.setdiff1d(y, classes)
            if len(unknown) or len(y) != len(codes):
                raise ValueError(
                    f"y must have one of the classes {classes.tolist()} for each of "
                    f"{len(codes)} images, got {y.tolist()}."
                )
            codes = np.searchsorted(classes, y)
        paths = as_paths(X)
        if paths is not None:
            X = read_images(
                paths,
                shape=estimator.input_shape_,
                image_size=estimator.image_size_,
                background=estimator.background_,
            )
        images = np.asarray(X).reshape(-1, *estimator.input_shape_)
        rows = np.arange(len(codes))
        maps = grad_cam(estimator.model_, images, codes)
        display = cls(check_images(images), maps, classes[codes], probability[rows, codes])
        return display.plot(n_columns=n_columns, figure=figure)

    def plot(self, *, n_columns: int = 3, figure: Any = None) -> Self:
        """Draw each image, and beside it the same under its map.

        Parameters
        ----------
        n_columns : int, default=3
            Images beside each other, each with its map.
        figure : matplotlib.figure.Figure or SubFigure, default=None
            Where to draw. None makes a figure.

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
        The classes, as numbers of the outputs.

    Returns
    -------
    ndarray of shape (n_images, height, width), float32
        The maps, from 0 to 1.
    """
    last = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)][-1]
    output = model.layers[-1]
    both = keras.Model(model.input, [last.output, output.input])
    with tf.GradientTape() as tape:
        outputs, features = both(tf.cast(images, tf.float32), training=False)
        # The score before softmax, which would mix in the scores of the other classes.
        scores = tf.matmul(tf.cast(features, tf.float32), output.kernel) + output.bias
        score = tf.gather(scores, codes, batch_dims=1)
    importance = tf.reduce_mean(tape.gradient(score, outputs), axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(importance * outputs, axis=-1, keepdims=True))
    maps = tf.image.resize(maps, images.shape[1:3])[..., 0].numpy()
    highest = maps.max(axis=(1, 2), keepdims=True)
    scaled: Array = np.divide(maps, highest, out=np.zeros_like(maps), where=highest > 0)
    return scaled


def _convolutions(estimator: Any) -> list[keras.layers.Layer]:
    check_is_fitted(estimator)
    layers = estimator.model_.layers
    found = [layer for layer in layers if isinstance(layer, keras.layers.Conv2D)]
    if not found:
        raise ValueError(
            f"{estimator} has no convolution (CONV) in its network, whose layers are "
            f"{', '.join(layer.name for layer in layers)}."
        )
    return found
