"""Image classifiers with an architecture."""

from __future__ import annotations

from typing import ClassVar, Unpack

from .classifier import ClassifierParameters, ImageClassifier
from .estimator import VGG_LITE


class Preset(ImageClassifier):
    """Base class: `ImageClassifier` whose architecture is fixed, also for type checkers."""

    def __init__(self, **parameters: Unpack[ClassifierParameters]) -> None:
        super().__init__(**parameters)


class FeedForward(Preset):
    """One hidden layer with dropout, no convolution.

    The parameters are those of :class:`ImageClassifier` but for the architecture, which is
    ``FC-300 -> RELU -> DROPOUT-0.5 -> FCS``.

    See Also
    --------
    ImageClassifier : All parameters, attributes and any architecture.

    Examples
    --------
    >>> from skcnn import FeedForward, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> FeedForward(epochs=5, random_state=0).fit(X[:1000], y[:1000]).predict(X[:3])
    array([0, 1, 2])
    """

    architecture = "FC-300 -> RELU -> DROPOUT-0.5 -> FCS"


class MiniCNN(Preset):
    """One convolution, one pooling.

    The parameters are those of :class:`ImageClassifier` but for the architecture, which is
    ``CONV-32 -> RELU -> POOL -> FCS``.

    See Also
    --------
    ImageClassifier : All parameters, attributes and any architecture.

    Examples
    --------
    >>> from skcnn import MiniCNN, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> MiniCNN(epochs=15, random_state=0).fit(X[:1000], y[:1000]).predict(X[:3])
    array([0, 1, 2])
    """

    architecture = "CONV-32 -> RELU -> POOL -> FCS"


class StackedCNN(Preset):
    """Two blocks of two convolutions and one hidden layer.

    The parameters are those of :class:`ImageClassifier` but for the architecture, which is
    ``[[CONV-32 -> RELU]*2 -> POOL]*2 -> FC-100 -> RELU -> FCS``.

    See Also
    --------
    ImageClassifier : All parameters, attributes and any architecture.

    Examples
    --------
    >>> from skcnn import StackedCNN, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> StackedCNN(epochs=5, random_state=0).fit(X[:1000], y[:1000]).predict(X[:3])
    array([0, 1, 2])
    """

    architecture = "[[CONV-32 -> RELU]*2 -> POOL]*2 -> FC-100 -> RELU -> FCS"


class VGGLite(Preset):
    """A small VGG network [1]_ of seven convolutions, the one to start with.

    The parameters are those of :class:`ImageClassifier` but for the architecture, which is
    ``[CONV-32 -> RELU]*2 -> POOL -> [CONV-64 -> RELU]*2 -> POOL -> [CONV-128 -> RELU]*3 -> POOL
    -> FC-100 -> RELU -> FCS``.

    See Also
    --------
    ImageClassifier : All parameters, attributes and any architecture.

    References
    ----------
    .. [1] K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
       Recognition", ICLR 2015.

    Examples
    --------
    >>> from skcnn import VGGLite, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> VGGLite(epochs=5, random_state=0).fit(X[:1000], y[:1000]).predict(X[:3])
    array([0, 1, 2])
    """

    architecture = VGG_LITE


class SpeedNet(Preset):
    """The network of airbench94 [1]_: wide convolutions, pooled early.

    The parameters are those of :class:`ImageClassifier`, with airbench94's ``epochs=10`` and
    ``label_smoothing=0.2`` as defaults, but for the architecture, which is
    ``CONV-24:2 -> GELU -> CONV-64 -> POOL -> GELU -> CONV-64 -> GELU
    -> [CONV-256 -> POOL -> GELU -> CONV-256 -> GELU]*2 -> POOL-4 -> FCS``.

    Unlike in airbench94 the first layer is learned, not computed from the patches of the images,
    and a batch is of 128 images, not 1,024. Its flips and shifts, in `augmentation` and in
    `flip_averaging` and `shift_averaging`, are asked for here, as they depend on the images.

    See Also
    --------
    ImageClassifier : All parameters, attributes and any architecture.
    VGGLite : A smaller network.

    References
    ----------
    .. [1] K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024.

    Examples
    --------
    >>> from skcnn import SpeedNet, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> SpeedNet(epochs=3, random_state=0).fit(X[:600], y[:600]).predict(X[:3])
    array([0, 1, 2])
    """

    architecture = (
        "CONV-24:2 -> GELU -> CONV-64 -> POOL -> GELU -> CONV-64 -> GELU -> "
        "[CONV-256 -> POOL -> GELU -> CONV-256 -> GELU]*2 -> POOL-4 -> FCS"
    )
    _defaults: ClassVar[ClassifierParameters] = {"epochs": 10, "label_smoothing": 0.2}
