"""Image augmentation, and generators of augmented batches."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.utils import check_array

from .._compat import Interval, StrOptions, check_params, validate_parameter_constraints
from .._environment import check_not_forked
from .._files.archive import loadable
from .._training.batches import BatchGenerator
from .._training.network import compiles
from .._typing import BaseEstimator
from ..heads import OneHot
from .arrays import as_numpy, as_rows, images_as_rows
from .layers import RandomPart
from .pixels import value_range

Array = NDArray[Any]


# Minimum number of pixel values per epoch to compile with XLA, which takes half a second and cuts
# the time of the layers that it can fuse to a tenth.
FUSED_VALUES = 2**24

# Maximum of zoom_range: the side of the visible area, in sides of the image.
MAX_ZOOM = 4.0

# Layers that mix images and their labels.
MIXING = (keras.layers.MixUp, keras.layers.CutMix)


@loadable
class ImageAugmenter(BaseEstimator):
    """Random changes of images while a network is fitted.

    Given to an image classifier as ``augmentation``, it changes the training images, newly in
    every epoch, and never those of validation, scoring or prediction. It has no ``fit``, so a
    pipeline, which would augment what it predicts, refuses it as a step.

    All images of a batch are changed independently, by Keras's preprocessing layers. Values
    stay in their range: 0 to 255 for uint8, else from the lowest to the highest of the images.

    Parameters
    ----------
    rotation_range : float, default=0
        Largest rotation in degrees, either way; 0 to 180.
    width_shift_range : float, default=0
        Largest shift to the left or right, as a fraction of the width. Shifts are of whole
        pixels, which keeps images sharp.
    height_shift_range : float, default=0
        Largest shift up or down, as a fraction of the height.
    zoom_range : float or tuple of (low, high), default=0
        A float zooms height and width by factors from ``1 - zoom_range`` to ``1 + zoom_range``,
        about the middle. A tuple shows a part of the image, at a random place, whose sides are
        shares of those of the image from `low` to `high`, such as ``(0.5, 1)`` for photographs;
        beyond 1 there is more than the image.
    horizontal_flip : bool, default=False
        Mirror left and right, with probability 0.5.
    vertical_flip : bool, default=False
        Mirror top and bottom, with probability 0.5.
    brightness_range : float, default=0
        Largest value added to or taken from an image, as a fraction of the range of values.
    contrast_range : float, default=0
        The distances to the mean of an image and channel are multiplied by a factor from
        ``1 - contrast_range`` to ``1 + contrast_range``.
    cutout : float, default=0
        Side of the box that is painted over in the middle of the range of values, as a fraction
        of the height and the width [1]_.
    mixup : float, default=0
        Concentration of the beta distribution that the shares of two mixed images and of their
        labels are drawn from [2]_. 0.2 is usual; 0 mixes nothing.
    cutmix : float, default=0
        Concentration of the beta distribution that the areas of boxes are drawn from, which are
        replaced by those of another image, and the labels are mixed alike [3]_; 0 to 1. 1 is
        usual; 0 mixes nothing.
    rand_augment : float, default=0
        Strength of two changes for each batch, drawn from eleven [4]_: shears, shifts, rotations,
        changes of brightness, colour, contrast, sharpness and the number of grey levels,
        solarization, and the spread of contrasts; 0 to 1. For images of three channels.
    fill_mode : {"reflect", "wrap", "nearest", "constant"}, default="reflect"
        What shifts, rotations and zooms put where the image ends; ``"constant"`` is 0.

    See Also
    --------
    SampleGenerator : Batches of augmented images for a bare Keras model.
    AugmentationDisplay : A look at augmented images.

    Notes
    -----
    Settings of Keras's former ``ImageDataGenerator`` carry over:

    ============================================ ===========================================
    ``ImageDataGenerator``                       ``ImageAugmenter``
    ============================================ ===========================================
    ``rotation_range=15`` (degrees)              ``rotation_range=15``
    ``width_shift_range=0.1``                    ``width_shift_range=0.1``
    ``width_shift_range=4`` (pixels of 32)       ``width_shift_range=4 / 32``
    ``zoom_range=0.2`` or ``[0.8, 1.2]``         ``zoom_range=0.2``
    ``horizontal_flip=True``                     ``horizontal_flip=True``
    ``brightness_range=[0.8, 1.2]``              ``brightness_range=0.2``; added to all
                                                 pixels instead of multiplied
    ``fill_mode="nearest"`` (its default)        ``fill_mode="nearest"``; the default here
                                                 is ``"reflect"``
    ``featurewise_center``, ``rescale``          ``standardize=True`` of the classifier
    ``validation_split=0.1``                     ``validation_fraction=0.1`` of the
                                                 classifier; not augmented
    ============================================ ===========================================

    References
    ----------
    .. [1] T. DeVries and G. W. Taylor, "Improved Regularization of Convolutional Neural
       Networks with Cutout", 2017.
    .. [2] H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018.
    .. [3] S. Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
       Localizable Features", ICCV 2019.
    .. [4] E. D. Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced
       Search Space", NeurIPS 2020.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skcnn import ImageAugmenter, MiniCNN, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> net = MiniCNN(epochs=5, augmentation=ImageAugmenter(), random_state=0)
    >>> search = GridSearchCV(net, {"augmentation__vertical_flip": [False, True]}, cv=2)
    >>> search.fit(X[:500], y[:500]).best_params_
    {'augmentation__vertical_flip': False}
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "rotation_range": [Interval(Real, 0, 180, closed="both")],
        "width_shift_range": [Interval(Real, 0, 1, closed="left")],
        "height_shift_range": [Interval(Real, 0, 1, closed="left")],
        "zoom_range": [Interval(Real, 0, 1, closed="left"), tuple, list],
        "horizontal_flip": ["boolean"],
        "vertical_flip": ["boolean"],
        "brightness_range": [Interval(Real, 0, 1, closed="both")],
        "contrast_range": [Interval(Real, 0, 1, closed="both")],
        "cutout": [Interval(Real, 0, 1, closed="left")],
        "mixup": [Interval(Real, 0, None, closed="left")],
        "cutmix": [Interval(Real, 0, 1, closed="both")],
        "rand_augment": [Interval(Real, 0, 1, closed="both")],
        "fill_mode": [StrOptions({"reflect", "wrap", "nearest", "constant"})],
    }

    def __init__(
        self,
        *,
        rotation_range: float = 0,
        width_shift_range: float = 0,
        height_shift_range: float = 0,
        zoom_range: float | Sequence[float] = 0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        brightness_range: float = 0,
        contrast_range: float = 0,
        cutout: float = 0,
        mixup: float = 0,
        cutmix: float = 0,
        rand_augment: float = 0,
        fill_mode: str = "reflect",
    ) -> None:
        self.rotation_range = rotation_range
        self.width_shift_range = width_shift_range
        self.height_shift_range = height_shift_range
        self.zoom_range = zoom_range
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.brightness_range = brightness_range
        self.contrast_range = contrast_range
        self.cutout = cutout
        self.mixup = mixup
        self.cutmix = cutmix
        self.rand_augment = rand_augment
        self.fill_mode = fill_mode

    def transform(
        self,
        X: Any,
        *,
        random_state: int | None = None,
        image_size: int | Sequence[int] | None = None,
        resize: str = "stretch",
        background: str | Sequence[int] = "white",
    ) -> Array:
        """Augment images for a look at them.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width[, channels]) or (n_samples,)
            The images, or paths of image files, or a list of images.
        random_state : int, default=None
            Seed of the changes.
        image_size : int or tuple of (height, width), default=None
            Size to resize the images to. None refuses images of different sizes.
        resize : {"stretch", "crop", "pad"}, default="stretch"
            How, as in the estimators.
        background : str or tuple of (red, green, blue), default="white"
            What the transparent pixels of image files show.

        Returns
        -------
        ndarray of the shape of X, or (n_samples, height, width, channels) where it is resized
            Changed images, of the dtype of X where that is uint8 or floating and else float32.

        Raises
        ------
        ValueError
            If X are not images or a parameter is out of its range.
        """
        X = images_as_rows(X, image_size=image_size, resize=resize, background=background)
        images = check_array(
            X[:] if hasattr(X, "fingerprint") else X,
            ensure_2d=False,
            allow_nd=True,
            input_name="X",
        )
        if images.ndim not in (3, 4):
            raise ValueError(
                "X must be images of shape (n_samples, height, width[, channels]), got an array "
                f"of shape {images.shape}."
            )
        batches = SampleGenerator(
            images[..., None] if images.ndim == 3 else images,
            np.eye(2, dtype=np.float32)[np.zeros(len(images), int)],  # only used by mixing
            batch_size=len(images),
            augmentation=self,
            shuffle=False,
            random_state=random_state,
        )
        changed = batches[0][0]
        dtype = images.dtype if images.dtype.kind == "f" else changed.dtype
        if images.dtype == np.uint8:
            changed, dtype = np.rint(changed), images.dtype
        return changed.astype(dtype).reshape(images.shape)

    def _prepared(
        self, X: Any, y: Any, rows: Array, batch_size: int
    ) -> PreparedAugmentation | None:
        """Compile the augmentation for a training run; return None if it changes nothing."""
        check_params(self)
        if not self._does_something():
            return None
        self._check_zoom()
        return PreparedAugmentation(self, X, y, rows, batch_size)

    def _check_zoom(self) -> None:
        if not isinstance(self.zoom_range, Sequence):
            return
        shares = tuple(self.zoom_range)
        if len(shares) != 2 or not all(isinstance(each, Real) for each in shares):
            raise ValueError(f"zoom_range must be a number or (low, high), got {shares!r}.")
        if not 0 < shares[0] <= shares[1] <= MAX_ZOOM:
            raise ValueError(
                f"zoom_range=(low, high) must have 0 < low <= high <= {MAX_ZOOM}, got {shares!r}."
            )

    def _does_something(self) -> bool:
        settings = self.get_params(deep=False)
        return any(value for name, value in settings.items() if name != "fill_mode")

    def fingerprint(self) -> list[dict[str, Any]] | None:
        """Return a fingerprint of the changes, None where there are none."""
        layers = self._layers((0.0, 1.0))
        return [{**layer.get_config(), "name": None} for layer in layers] or None

    def _layers(self, value_range: tuple[float, float]) -> list[keras.layers.Layer]:
        """Create the Keras layers of the settings that have an effect."""
        layers = keras.layers
        # Each call passes its own seeds. Without this one, a layer would draw from Python's global
        # generator.
        options = {"seed": 0, "data_format": "channels_last", "dtype": "float32"}
        fill = {"fill_mode": self.fill_mode, "fill_value": 0.0, **options}
        bounded = {"value_range": value_range, **options}
        return [
            *self._moving(fill),
            *self._recolouring(bounded, options),
            *([layers.MixUp(float(self.mixup), **options)] if self.mixup else []),
            # Keras treats a single number as a range from 0.
            *([layers.CutMix((float(self.cutmix),) * 2, **options)] if self.cutmix else []),
        ]

    def _moving(self, fill: dict[str, Any]) -> list[keras.layers.Layer]:
        """Create the layers that shift, rotate and zoom."""
        layers, made = keras.layers, []
        if self.width_shift_range or self.height_shift_range:
            made.append(
                layers.RandomTranslation(
                    float(self.height_shift_range),
                    float(self.width_shift_range),
                    interpolation="nearest",
                    **fill,
                )
            )
        if self.rotation_range:
            made.append(layers.RandomRotation(self.rotation_range / 360, **fill))
        if isinstance(self.zoom_range, Sequence):
            low, high = map(float, self.zoom_range)
            made.append(RandomPart(low, high, fill_mode=self.fill_mode))
        elif self.zoom_range:
            made.append(layers.RandomZoom(float(self.zoom_range), float(self.zoom_range), **fill))
        return made

    def _recolouring(
        self, bounded: dict[str, Any], options: dict[str, Any]
    ) -> list[keras.layers.Layer]:
        """Create the layers that change pixels; RandAugment is first, as XLA cannot compile it."""
        layers, made = keras.layers, []
        if self.rand_augment:
            made.append(layers.RandAugment(factor=float(self.rand_augment), **bounded))
            made[-1].supports_jit = False
        if self.horizontal_flip:
            made.append(layers.RandomFlip("horizontal", **options))
        if self.vertical_flip:
            made.append(layers.RandomFlip("vertical", **options))
        if self.brightness_range:
            made.append(layers.RandomBrightness(float(self.brightness_range), **bounded))
        if self.contrast_range:
            # With a single number Keras only increases the contrast.
            factor = (float(self.contrast_range),) * 2
            made.append(layers.RandomContrast(factor, **bounded))
        if self.cutout:
            area, middle = float(self.cutout) ** 2, sum(bounded["value_range"]) / 2
            made.append(
                layers.RandomErasing((1.0, 1.0), scale=(area, area), fill_value=middle, **bounded)
            )
        return made


class SampleGenerator(BatchGenerator):
    """Batches of rows, in a new order and with new augmentation at every epoch.

    ``fit`` of the estimators trains on them, and a bare Keras model can:
    ``model.fit(batches, epochs=10, shuffle=False)``. Only the rows of a batch are read and
    converted, so X can be larger than the memory.

    A batch depends on nothing but `random_state`, the number of the epoch and its own number,
    so it is the same however many threads prepare batches and wherever training resumes. The
    augmentation depends on the data as well: two folds of a cross-validation see different
    changes under one `random_state`.

    Parameters
    ----------
    X : array of shape (n_samples, ...) or array-like of paths of shape (n_samples,)
        The inputs, of any real dtype; a `numpy.memmap` stays on disk. A list of images of many
        sizes is taken, too. Augmentation needs images, of shape (n_samples, height, width,
        channels).
    y : array-like of shape (n_samples, ...)
        The targets, or what reads like an array by rows. Under mixup integer labels become
        one-hot rows, for a loss such as ``categorical_crossentropy``.
    sample_weight : array-like of shape (n_samples,), default=None
        One weight for each row.
    batch_size : int
        Rows in a batch; the last batch holds the rest.
    augmentation : ImageAugmenter, default=None
        How to change the images.
    shuffle : bool, default=True
        Whether to draw a new order for every epoch.
    random_state : int, default=None
        Seed of the orders and the augmentation. None takes one from the operating system.
    indices : array-like of int, default=None
        The rows to use. None uses all of them.
    image_size : int or tuple of (height, width), default=None
        Size to resize images to. None refuses images of different sizes.
    resize : {"stretch", "crop", "pad"}, default="stretch"
        How, as in the estimators.
    background : str or tuple of (red, green, blue), default="white"
        What transparent pixels and padding show.
    workers : int, default=1
        Threads that prepare batches.

    Attributes
    ----------
    state : dict
        ``random_state`` and the number of epochs done, of plain integers. Setting it resumes
        there.

    Raises
    ------
    ValueError
        If the lengths of the data differ or a parameter is out of its range.

    See Also
    --------
    ImageAugmenter : The changes and their settings.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn import SampleGenerator
    >>> batches = SampleGenerator(np.arange(5), np.arange(5), batch_size=2, random_state=0)
    >>> len(batches)
    3
    >>> [len(y) for _, y in batches]
    [2, 2, 1]
    >>> batches.state
    {'random_state': 0, 'epoch': 0}
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "augmentation": [ImageAugmenter, None],
        "shuffle": ["boolean"],
        "random_state": [Interval(Integral, 0, None, closed="left"), None],
        "workers": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        batch_size: int,
        augmentation: ImageAugmenter | None = None,
        shuffle: bool = True,
        random_state: int | None = None,
        indices: Any = None,
        image_size: int | Sequence[int] | None = None,
        resize: str = "stretch",
        background: str | Sequence[int] = "white",
        workers: int = 1,
    ) -> None:
        given = locals()
        validate_parameter_constraints(
            self._parameter_constraints,
            {name: given[name] for name in self._parameter_constraints},
            caller_name=type(self).__name__,
        )
        super().__init__(
            images_as_rows(X, image_size=image_size, resize=resize, background=background),
            as_rows(as_numpy(y, "y")),
            sample_weight,
            batch_size=batch_size,
            augmentation=augmentation,
            shuffle=shuffle,
            random_state=random_state,
            indices=indices,
            workers=workers,
        )


class PreparedAugmentation:
    """Compiled augmentation of the batches of a data set.

    Parameters
    ----------
    augmentation : ImageAugmenter
        The settings.
    X : array-like of shape (n_samples, height, width, channels)
        The images.
    y : array-like of shape (n_samples, ...)
        The targets.
    rows : ndarray of int
        The training rows.
    batch_size : int
        Rows in a full batch.

    Attributes
    ----------
    targets : array-like
        The targets, one-hot encoded if they are mixed.
    """

    def __init__(
        self, augmentation: ImageAugmenter, X: Any, y: Any, rows: Array, batch_size: int
    ) -> None:
        shape = X.shape[1:]
        if len(shape) != 3 or 0 in shape:
            raise ValueError(
                "augmentation needs images: X must have shape (n_samples, height, width, "
                f"channels), got {X.shape}."
            )
        if augmentation.rand_augment and shape[2] != 3:
            raise ValueError(
                f"rand_augment changes colours, but X has images of {shape[2]} channels; it needs "
                "three."
            )
        self.mixes = bool(augmentation.mixup or augmentation.cutmix)
        self.targets = _mixable(y) if self.mixes else y
        self._augment, self._n_states = compile_augmentation(
            _hashable(augmentation.get_params(deep=False)),
            shape,
            value_range(X, rows),
            # XLA compiles for a fixed batch size, so only full batches use it.
            batch_size if len(rows) * math.prod(shape) >= FUSED_VALUES else None,
        )

    def __call__(
        self, images: Array, targets: Array, weight: Array | None, seed: np.random.SeedSequence
    ) -> tuple[Array, Array, Array | None]:
        """Augment a batch."""
        check_not_forked()
        states = seed.generate_state(2 * self._n_states).view(np.int32).reshape(-1, 2)
        arguments = [tf.constant(images.astype(np.float32, copy=False)), tf.constant(states)]
        if not self.mixes:
            return self._augment(*arguments).numpy(), targets, weight
        if weight is None:
            arguments.append(tf.constant(targets.astype(np.float32)))
            images, mixed = (tensor.numpy() for tensor in self._augment(*arguments))
            return images, mixed, None
        # Mixing the weighted targets and the weights, and dividing one by the other, weights each
        # of two mixed samples by its sample weight times its share.
        weighted = np.column_stack([targets * weight[:, None], weight])
        arguments.append(tf.constant(weighted.astype(np.float32)))
        images, mixed = (tensor.numpy() for tensor in self._augment(*arguments))
        total = mixed[:, -1:]
        share = np.divide(mixed[:, :-1], total, out=targets.astype(np.float32), where=total > 0)
        return images, share, total[:, 0].astype(weight.dtype)


def _hashable(settings: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (name, tuple(value) if isinstance(value, Sequence) and name == "zoom_range" else value)
        for name, value in sorted(settings.items())
    )


def _mixable(y: Any) -> Any:
    """Return targets that can be averaged: codes are one-hot encoded."""
    if y.ndim > 1:
        return y
    if y.dtype.kind not in "iu" or y.min() < 0:
        raise ValueError(
            "mixup and cutmix mix labels: y must be one-hot rows or integers from 0, got "
            f"{y.dtype} values."
        )
    return OneHot(y, int(y.max()) + 1)


@compiles(maxsize=32)
def compile_augmentation(
    settings: tuple[tuple[str, Any], ...],
    shape: tuple[int, int, int],
    value_range: tuple[float, float],
    fused_size: int | None,
) -> tuple[Callable[..., Any], int]:
    """Trace the layers once for all fits with these settings, with the seeds as an input.

    Returns the function and the number of seeds. XLA compiles it for batches of `fused_size` rows.
    """
    layers = ImageAugmenter(**dict(settings))._layers(value_range)
    # The order of the layers: not compiled by XLA, compiled by XLA, mixing.
    first = sum(not layer.supports_jit for layer in layers)
    last = len(layers) - sum(isinstance(layer, MIXING) for layer in layers)

    def run(part: slice, data: Any, states: Any) -> Any:
        seeds = [layer.generator.state for layer in layers[part]]
        given = [tf.cast(state, seed.dtype) for seed, state in zip(seeds, states, strict=True)]
        with keras.StatelessScope(list(zip(seeds, given, strict=True))):
            for layer in layers[part]:
                data = layer(data, training=True)
        return data

    def traced(fuse: bool) -> Callable[..., Any]:
        middle = functools.partial(run, slice(first, last))
        if fuse:
            middle = tf.function(middle, autograph=False, jit_compile=True)

        def augment(images: Any, states: Any, labels: Any = None) -> Any:
            seeds = tf.unstack(states)
            images = run(slice(first), images, seeds[:first])
            images = middle(images, seeds[first:last])
            if labels is None:
                return images
            data = run(slice(last, None), {"images": images, "labels": labels}, seeds[last:])
            return data["images"], data["labels"]

        signature = [
            tf.TensorSpec((fused_size if fuse else None, *shape), tf.float32),
            tf.TensorSpec((len(layers), 2), tf.int32),
        ]
        if last < len(layers):
            signature.append(tf.TensorSpec((None, None), tf.float32))
        function = tf.function(augment, autograph=False)
        return function.get_concrete_function(*signature)  # type: ignore[no-any-return]

    plain = traced(fuse=False)
    if fused_size is None or first == last:
        return plain, len(layers)
    fused = traced(fuse=True)

    def either(images: Any, *others: Any) -> Any:
        return (fused if len(images) == fused_size else plain)(images, *others)

    return either, len(layers)
