"""Convolutional and fully connected image classifiers."""

from __future__ import annotations

import functools
import math
import operator
import sys
import warnings
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import keras
import numpy as np
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_X_y, validate_data

from ._architecture import build_network, canonical, n_weighted, parse, set_standardization
from ._compiled import State
from ._image_files import WHITE, ImageFiles, as_paths, parse_colour
from ._keras import OUTPUTS, Array, KerasEstimator
from ._machine import native_bfloat16
from ._one_hot import OneHot
from .augmentation import ImageAugmenter, as_numpy, row_chunks

VGG_LITE = (
    "[CONV-32 -> RELU]*2 -> POOL -> [CONV-64 -> RELU]*2 -> POOL -> "
    "[CONV-128 -> RELU]*3 -> POOL -> FC-100 -> RELU -> FCS"
)


SIDES = ("height", "width", "channels")

# How far shift averaging moves images, in pixels along both axes, and the weights.
SHIFTS = {0: 0.5, 1: 0.25, -1: 0.25}

# Channels of grey, grey with alpha, colour, and colour with alpha.
COLOURS = (1, 2, 3, 4)

# Rows in which a prediction looks for the range of its pixels, and the share of the range of the
# training from which on images count as scaled down: below that of 1 to 16, the pixels of digits.
ROWS_OF_RANGE = 64
NARROW = 15

# Pixels of files whose range is fixed, so that no other files can be predicted.
INTEGER_FILES = ("uint8", "uint16")

# Steps of the range of values that rounding to float32 must leave apart.
FLOAT32_LEVELS = 1000

# On smaller images bfloat16 is no faster than float32.
MIXED_PRECISION_PIXELS = 256


class ImageClassifier(
    ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, KerasEstimator
):
    """Image classifier with the architecture given as text.

    Parameters
    ----------
    architecture : str
        The layers, such as ``"CONV-32 -> RELU -> POOL -> FCS"``: ``CONV-m`` (m filters, 3x3;
        ``CONV-m:5`` 5x5, ``CONV-m/2`` stride 2), ``RELU``, ``GELU``, ``SILU``, ``TANH``,
        ``POOL`` (2x2 maximum; ``POOL-3``), ``AVGPOOL``, ``GAP`` (global average), ``BN``,
        ``DROPOUT-p``, ``FC-n``, ``RES[...]`` (residual) and, last, ``FCS`` (softmax over the
        classes). ``[...]*n`` repeats.
    batch_norm : bool, default=True
        Put batch normalization [1]_ after each convolution, before its activation.
    input_shape : tuple of (height, width) or (height, width, channels), default=None
        Shape of the image in a row of a 2-D X. None takes a square grey image when the number
        of features is a square, and one row of pixels otherwise, with a warning.
    standardize : bool, default=True
        Subtract the mean and divide by the standard deviation of each channel of the training
        images, inside the network.
    augmentation : ImageAugmenter, default=None
        How to change the training images, newly in every epoch. Its settings are searched as
        ``augmentation__horizontal_flip``. Validation and prediction never see it.
    image_size : tuple of (height, width), default=None
        Size to resize image files to. None refuses files of different sizes.
    background : str or tuple of (red, green, blue), default="white"
        What the transparent pixels of image files show: the name of a colour that Pillow knows,
        such as "black" or "#ff8000", or three integers from 0 to 255. Refused beside arrays.
    flip_averaging : bool, default=False
        Predict the mean of the probabilities of an image and of its mirror image [5]_, in twice
        the time. For images that show the same when mirrored left to right, as those of
        digits do not. Has no influence on the training, nor on ``val_accuracy``.
    shift_averaging : bool, default=False
        Predict the mean over an image, with weight 1/2, and the image moved by a pixel to the
        upper left and to the lower right [5]_, in three times the time; borders are mirrored.
        Has no influence on the training either, and goes together with `flip_averaging`.
    epochs : int, default=20
        Passes over the training data.
    batch_size : int, default=128
        Samples in a training step.
    optimizer : str, keras.optimizers.Optimizer or class, default="muon"
        Name, instance or class of a Keras optimizer. Its other arguments can be set as
        ``optimizer__momentum=0.9``. "muon" [4]_ orthogonalizes the steps of the kernels of
        convolutions and leaves the rest to Adam.
    learning_rate : float, default=None
        The learning rate, or its peak under a schedule. None chooses one for the optimizer.
    learning_rate_schedule : {"one_cycle", "cosine", "constant"} or Keras schedule, \
            default="one_cycle"
        How the learning rate moves: up over the first quarter and down to zero [2]_, down
        along a cosine, or not at all.
    weight_decay : float, default=0.0
        Decoupled weight decay [3]_ of the kernels.
    label_smoothing : float, default=0.0
        Share of the target that is spread over all classes.
    early_stopping : bool, default=False
        Stop when the accuracy on held-out data has not improved for `n_iter_no_change`
        epochs, and go back to the best weights.
    validation_fraction : float, default=0.1
        Share of the training data, stratified, that `early_stopping` holds out when there are
        no `validation_data`.
    validation_data : tuple of (X, y), default=None
        Data that is scored after each epoch.
    n_iter_no_change : int, default=5
        Epochs without improvement that `early_stopping` waits.
    class_weight : dict or "balanced", default=None
        Weights of the classes, finite and not negative. Keys that are not classes of y are
        ignored as long as others are; classes without a key get 1, with a warning.
    checkpoint_dir : str or path, default=None
        Folder for the state of the training, written after every epoch. A fit that finds there
        a training of the same data and parameters goes on with it, to the same weights bit for
        bit; one of others is refused. ``partial_fit`` writes none.
    warm_start : bool, default=False
        Continue from the last fit: from its weights and the state of its optimizer, with a new
        run of the learning-rate schedule.
    precision : {"auto", "float32", "mixed_bfloat16"}, default="auto"
        What the network computes in while it is fitted; its weights, and its predictions after
        it, are float32 always. "auto" takes bfloat16 where the processor or the GPU has it
        natively and images have at least 256 pixels, as it is no faster on smaller ones.
    callbacks : list of keras.callbacks.Callback, default=None
        Called while fitting; afterwards their ``model`` is `model_`. Those that set the learning
        rate need ``learning_rate_schedule="constant"``. They start anew in a fit that resumes
        from a checkpoint.
    random_state : int or numpy.random.RandomState, default=None
        Seed of the weights, the dropout and the order of the samples. The same int gives the
        same network on the same machine.
    verbose : {0, 1, 2}, default=0
        Silent, a progress bar where standard error is a terminal or a notebook, or one line an
        epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    n_features_in_ : int
        Pixel values in an image.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, when X was a data frame.
    input_shape_ : tuple of (height, width, channels)
        Shape of an image.
    pixel_dtype_ : str
        Dtype of the pixels of the training images, such as "uint8". Prediction takes 8-bit files
        where it is "uint8" and 16-bit files where it is "uint16".
    pixel_range_ : tuple of (low, high)
        Range of the pixels of the training images, that of the dtype for uint8. Prediction warns
        of images of another scale.
    image_size_ : tuple of (height, width) or None
        Size that image files are resized to.
    background_ : tuple of (red, green, blue)
        What the transparent pixels of image files show.
    model_ : keras.Model
        A copy of the network. What is done to it does not change the estimator.
    history_ : dict of str to list of float
        One value an epoch of ``loss`` and ``accuracy``, ``val_loss`` and ``val_accuracy`` where
        there is validation data, ``learning_rate`` (the last of the epoch) and ``seconds``. A
        name that not all epochs have is NaN in the others. ``warm_start`` and ``partial_fit``
        add to it.
    precision_ : {"float32", "mixed_bfloat16"}
        What the last fit computed in.
    n_iter_ : int
        Epochs run.
    best_iteration_ : int
        The epoch, counted from 1, whose weights the network has; 0 where the first diverged.
    callbacks_ : list of keras.callbacks.Callback
        The callbacks of the last fit.

    See Also
    --------
    VGGLite : A small VGG network, the one to start with.
    sklearn.neural_network.MLPClassifier : Fully connected networks without Keras.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch Normalization", ICML 2015.
    .. [2] L. N. Smith and N. Topin, "Super-Convergence", 2018.
    .. [3] I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    .. [4] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    .. [5] K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, section 3.

    Examples
    --------
    >>> from skcnn import ImageClassifier, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> net = ImageClassifier("CONV-16 -> RELU -> POOL -> FCS", epochs=5, random_state=0)
    >>> net.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.8
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **KerasEstimator._parameter_constraints,
        "architecture": [str],
        "batch_norm": ["boolean"],
        "input_shape": [tuple, list, None],
        "standardize": ["boolean"],
        "augmentation": [ImageAugmenter, None],
        "image_size": [tuple, list, None],
        "background": [str, tuple, list],
        "flip_averaging": ["boolean"],
        "shift_averaging": ["boolean"],
    }

    pixel_range_: tuple[float, float] | None
    image_size_: tuple[int, ...] | None

    _build = staticmethod(build_network)
    _training_layers: ClassVar[dict[str, Any]] = {"fused": True}
    _NON_TRAINING_PARAMS: ClassVar[frozenset[str]] = KerasEstimator._NON_TRAINING_PARAMS | {
        "background",
        "flip_averaging",
        "image_size",
        "input_shape",
        "shift_averaging",
    }

    def __init__(
        self,
        architecture: str = VGG_LITE,
        *,
        batch_norm: bool = True,
        input_shape: tuple[int, ...] | None = None,
        standardize: bool = True,
        augmentation: ImageAugmenter | None = None,
        image_size: tuple[int, int] | None = None,
        background: str | tuple[int, int, int] = "white",
        flip_averaging: bool = False,
        shift_averaging: bool = False,
        optimizer: Any = "muon",
        **training: Any,
    ) -> None:
        super().__init__(optimizer=optimizer, **training)
        self.architecture = architecture
        self.batch_norm = batch_norm
        self.input_shape = input_shape
        self.standardize = standardize
        self.augmentation = augmentation
        self.image_size = image_size
        self.background = background
        self.flip_averaging = flip_averaging
        self.shift_averaging = shift_averaging

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "architecture" in vars(cls):
            parse(vars(cls)["architecture"])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def predict_proba(self, X: Any) -> Array:
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width[, channels]) or (n_samples, n_features)
            The images.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float32
            Probabilities in the order of `classes_`.
        """
        return self._outputs(X)

    def predict(self, X: Any) -> Array:
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width[, channels]) or (n_samples, n_features)
            The images.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        fitted = self._snapshot()
        codes = fitted._outputs(X, lambda part: part.argmax(axis=1))
        return fitted.classes_[codes]  # type: ignore[no-any-return]

    def predict_log_proba(self, X: Any) -> Array:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width[, channels]) or (n_samples, n_features)
            The images.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float32
            Logarithms of the probabilities, in the order of `classes_`; minus infinity where a
            probability is zero.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def transform(self, X: Any) -> Array:
        """Compute the features that the last layer classifies.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width[, channels]) or (n_samples, n_features)
            The images.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out), float32
            Features.
        """
        return self._features(X)

    def _predict_batch(self, batch: Array, output: int) -> Any:
        predict = functools.partial(super()._predict_batch, output=output)
        if output != OUTPUTS or not self._averages:
            return predict(batch)
        return self._averaged(batch, predict, np.take)

    @property
    def _averages(self) -> bool:
        return bool(self.flip_averaging or self.shift_averaging)

    def _averaged(
        self, images: Any, predict: Callable[[Any], Any], take: Callable[..., Any]
    ) -> Any:
        """Predict the mean over the views of images that the parameters ask for."""
        rows, columns = (np.pad(np.arange(size), 1, "reflect") for size in images.shape[1:3])
        mirror = columns[-2:0:-1]
        parts = []
        for shift, weight in (SHIFTS if self.shift_averaging else {0: 1.0}).items():
            moved = images
            if shift:
                moved = take(moved, rows[1 + shift : len(rows) - 1 + shift], axis=1)
                moved = take(moved, columns[1 + shift : len(columns) - 1 + shift], axis=2)
            views = [moved, take(moved, mirror, axis=2)] if self.flip_averaging else [moved]
            parts += [predict(view) * (weight / len(views)) for view in views]
        return functools.reduce(operator.add, parts)

    @property
    def _n_features_out(self) -> int:
        return self._forward.n_features

    def _check_data(
        self, X: Any, y: Any, *, reset: bool, classes: Any = None
    ) -> tuple[Any, OneHot]:
        y = as_numpy(y, "y")
        _check_no_missing(y)
        X, y = self._check_images(X, y, reset=reset)
        check_classification_targets(y)
        if reset:
            encoder = LabelEncoder().fit(y if classes is None else np.asarray(classes))
            if len(encoder.classes_) < 2:
                raise ValueError(
                    f"y has only one class, {encoder.classes_[0]!r}; a classifier needs at least "
                    "two classes."
                )
            # Read now, so that a mistake in it is reported before anything is learnt.
            parse(self.architecture)
            self.classes_ = encoder.classes_
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes={classes!r} are not those of the first call: {self.classes_!r}."
            )
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y has labels that are not among the classes {self.classes_!r}: {unknown!r}."
            )
        return X, OneHot(np.searchsorted(self.classes_, y), len(self.classes_))

    def _check_inputs(self, X: Any) -> Any:
        return self._check_images(X, reset=False)[0]

    def _check_images(self, X: Any, y: Any = "none", *, reset: bool) -> tuple[Any, Any]:
        """Validate images and view them as (n_samples, height, width, channels)."""
        if X is None:
            raise ValueError("X must be images, or the paths of image files; got None.")
        X, y = as_numpy(X, "X"), as_numpy(y, "y")
        if not reset and not isinstance(y, str):
            self._check_read_as_before()
        paths = as_paths(X)
        if paths is not None:
            return self._check_files(paths, y, reset=reset)
        X, y = self._check_pixels(X, y, reset=reset)
        if reset:
            self._learn_shape(X)
        elif X.ndim > 2 and _shape_of_images(X) != self.input_shape_:
            raise ValueError(
                f"X has images of shape {_shape_of_images(X)}, but {type(self).__name__} is "
                f"expecting images of shape {self.input_shape_}{_hint(X, self.input_shape_)}."
            )
        X = X.reshape(len(X), *self.input_shape_)
        if not reset:
            self._check_range(X)
        return X, y

    def _check_pixels(self, X: Any, y: Any, *, reset: bool) -> tuple[Array, Any]:
        """Validate an array of images or of rows of pixels."""
        if issparse(X):
            raise ValueError(
                f"{type(self).__name__} takes dense images only, but X is a sparse "
                f"{type(X).__name__}. Use X.toarray()."
            )
        ndim = len(X.shape if hasattr(X, "shape") else np.asarray(X).shape)
        if ndim > 4:
            raise ValueError(
                f"X must have 2, 3 or 4 dimensions, (n_samples, n_features) or (n_samples, "
                f"height, width[, channels]); got {ndim}."
            )
        if reset or ndim <= 2:
            # Features are counted per row here and names of columns are kept.
            checked = validate_data(
                self,
                X,
                **({} if isinstance(y, str) else {"y": y}),
                reset=reset,
                allow_nd=True,
                dtype="numeric",
            )
        elif isinstance(y, str):
            checked = (
                X if _sound(X) else check_array(X, allow_nd=True, estimator=self, input_name="X")
            )
        else:
            checked = check_X_y(X, y, allow_nd=True, estimator=self)
        X, y = (checked, y) if isinstance(y, str) else checked
        if X.ndim > 2 and 0 in X.shape[1:]:
            raise ValueError(f"X has images without pixels: their shape is {_shape_of_images(X)}.")
        if X.dtype.kind == "f" and X.dtype.itemsize > 4:
            limit = np.finfo(np.float32).max
            if X.max() > limit or X.min() < -limit:
                raise ValueError("X has values too large for dtype('float32').")
        return X, y

    def _learn_shape(self, X: Array) -> None:
        """Learn how to read the images of an array."""
        shape = self._shape_of_rows(X) if X.ndim == 2 else self._checked_shape(X)
        size = self._given_size()
        if size is not None and shape[:2] != size:
            raise ValueError(
                f"image_size={self.image_size} resizes image files only, but X is an array of "
                f"images of shape {shape}."
            )
        if parse_colour(self.background) != WHITE:
            raise ValueError(
                f"background={self.background!r} is for transparent pixels of image files only, "
                f"but X is an array of images of shape {shape}."
            )
        self.input_shape_ = shape
        self.n_features_in_ = math.prod(shape)
        self.pixel_dtype_ = X.dtype.name
        self.pixel_range_ = None
        self.image_size_ = size
        self.background_ = WHITE

    def _checked_shape(self, X: Array) -> tuple[int, int, int]:
        """Return the shape of the images of an array, which must have their channels last."""
        shape, given = _shape_of_images(X), self._given_shape()
        if given is not None and given != shape:
            raise ValueError(
                f"input_shape={given} is not the shape of X's images, {shape}{_hint(X, given)}."
            )
        height, width, channels = shape
        short, long = sorted((width, channels))
        if given is None and height <= max(COLOURS) < short and long <= 4 * short:
            raise ValueError(
                f"X has images of shape {shape}, (height, width, channels), which look as if "
                "their channels came first. Move them last with np.moveaxis(X, 1, -1), or set "
                f"input_shape={shape} if that is their shape."
            )
        return shape

    def _shape_of_rows(self, X: Array) -> tuple[int, int, int]:
        """Return the shape of the images whose pixels are the rows of an array."""
        n_features, given = X.shape[1], self._given_shape()
        if given is None:
            side = math.isqrt(n_features)
            shape = (side, side, 1) if side * side == n_features else (1, n_features, 1)
            if shape != getattr(self, "input_shape_", None):
                warnings.warn(
                    f"X has rows of {n_features} features, which are read as images of shape "
                    f"{shape}. Set input_shape to the shape of the images.",
                    UserWarning,
                    stacklevel=2,
                )
            return shape
        if math.prod(given) != n_features:
            raise ValueError(
                f"input_shape={given} needs {math.prod(given)} features, but X has {n_features} "
                "features."
            )
        return given

    def _check_files(self, paths: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """Validate paths of image files; their pixels are read batch by batch."""
        rows = np.zeros((len(paths), 1))
        if not reset:
            if not isinstance(y, str):
                _, y = check_X_y(rows, y, estimator=self)
            files = ImageFiles(
                paths,
                shape=self.input_shape_,
                dtype=self.pixel_dtype_ if self.pixel_dtype_ in INTEGER_FILES else None,
                image_size=self.image_size_,
                background=self.background_,
                check=not isinstance(y, str),
            )
            self._check_range(files)
            return files, y
        _, y = validate_data(self, rows, y)  # forgets the names of columns, too
        given, size = self._given_shape(), self._given_size()
        if given is not None and size is not None and given[:2] != size:
            raise ValueError(f"input_shape={given} is not of image_size={size}; set one of them.")
        background = parse_colour(self.background)
        files = ImageFiles(paths, shape=given, image_size=size, background=background)
        self.input_shape_ = files.shape[1:]
        self.n_features_in_ = math.prod(self.input_shape_)
        self.pixel_dtype_ = files.dtype.name
        self.pixel_range_ = None
        self.image_size_ = size
        self.background_ = background
        return files, y

    def _check_read_as_before(self) -> None:
        """Refuse to continue with images that are read in another way."""
        size, shape = self._given_size(), self._given_shape()
        for name, new, learned in (
            ("background", parse_colour(self.background), self.background_),
            ("image_size", size, self.input_shape_[:2]),
            ("input_shape", shape, self.input_shape_),
        ):
            if new not in (None, learned):
                raise ValueError(
                    f"{name} has changed since the last fit, from {learned} to {new}, but "
                    "warm_start=True and partial_fit continue with images that are read as "
                    "before. Set it back, or fit anew with warm_start=False."
                )

    def _given_size(self) -> tuple[int, ...] | None:
        return None if self.image_size is None else _sides(self.image_size, "image_size", 2)

    def _given_shape(self) -> tuple[int, int, int] | None:
        if self.input_shape is None:
            return None
        given = _sides(self.input_shape, "input_shape", 2, 3)
        return given if len(given) == 3 else (*given, 1)  # type: ignore[return-value]

    def _learn_range(self, X: Any, rows: Array) -> None:
        low, high = pixel_range(X, rows)
        if self.pixel_range_ is not None:
            low, high = min(low, self.pixel_range_[0]), max(high, self.pixel_range_[1])
        self.pixel_range_ = low, high

    def _check_range(self, X: Any) -> None:
        """Warn where images have another scale than those of the training."""
        same_dtype = X.dtype.name == self.pixel_dtype_
        if self.pixel_range_ is None or (same_dtype and X.dtype == np.uint8):
            return
        low, high = self.pixel_range_
        if isinstance(X, ImageFiles):
            if X.dtype.kind == "f" or same_dtype:
                return
            least, most = 0.0, float(np.iinfo(X.dtype).max)
        else:
            some = X[:ROWS_OF_RANGE]
            least, most = float(some.min()), float(some.max())
        span = high - low
        wider = least <= low - span or most >= high + span
        # Dark images are within the range of integers; a fraction of it is another scale.
        narrower = low < most <= low + span / NARROW and not (same_dtype and X.dtype.kind in "iu")
        if span and (wider or narrower):
            warnings.warn(
                f"X has pixels from {least:.6g} to {most:.6g} ({X.dtype}), but the network was "
                f"fitted on pixels from {low:.6g} to {high:.6g} ({self.pixel_dtype_}); scale "
                "them alike.",
                UserWarning,
                stacklevel=2,
            )

    def _network_arguments(self, X: Array, y: Array) -> dict[str, Any]:
        return {
            # One spelling, so that two spellings of one network share what is compiled.
            "architecture": canonical(parse(self.architecture)),
            "input_shape": self.input_shape_,
            "n_classes": len(self.classes_),
            "batch_norm": bool(self.batch_norm),
            "standardize": bool(self.standardize),
        }

    def _training_params(self) -> dict[str, Any]:
        params = super()._training_params()
        if "architecture" in params:  # not fixed by a preset
            params["architecture"] = canonical(parse(self.architecture))
        return params

    def _choose_precision(self, X: Array) -> str:
        large = math.prod(X.shape[1:3]) >= MIXED_PRECISION_PIXELS
        return "mixed_bfloat16" if large and native_bfloat16() else "float32"

    def _layer_names(self) -> list[str]:
        try:
            return list(map(str, parse(self.architecture)))
        except (TypeError, ValueError, AttributeError):
            return []  # fit says what is wrong

    def _metadata(self) -> dict[str, Any]:
        return {"labels": self.classes_.tolist()}

    def _network_to_export(self) -> keras.Model:
        network = super()._network_to_export()
        for layer in network.layers:
            if getattr(layer, "activation", None) is keras.activations.gelu:
                layer.activation = _gelu
        if not self._averages:
            return network
        mean = self._averaged(network.input, network, keras.ops.take)
        return keras.Model(network.input, mean)

    def _check_restored(self, network: dict[str, Any], state: State) -> None:
        super()._check_restored(network, state)
        if not isinstance(self.classes_, np.ndarray) or network["n_classes"] != len(self.classes_):
            raise ValueError("its classes_ are not those of its network")
        if not np.array_equal(self.classes_, np.unique(self.classes_)):
            raise ValueError("its classes_ are not sorted, or not different")
        if n_weighted(parse(network["architecture"])) > len(state.weights):  # before all are built
            raise ValueError("its network has more layers than weights")
        shape = _sides(self.input_shape_, "input_shape_", 3)
        if network["input_shape"] != shape or self.n_features_in_ != math.prod(shape):
            raise ValueError(f"its input_shape_={shape} is not that of its network")
        # What files of version 0.1.0 do not have.
        defaults = {
            "background_": WHITE,
            "image_size_": self.image_size,
            "pixel_dtype_": None,
            "pixel_range_": None,
        }
        for name, default in defaults.items():
            if not hasattr(self, name):
                setattr(self, name, default)
        parse_colour(self.background_)
        if not isinstance(self.pixel_dtype_, str | None):
            raise ValueError("its pixel_dtype_ is not the name of a dtype")
        if self.image_size_ is not None:
            _sides(self.image_size_, "image_size_", 2)
        if self.pixel_range_ is not None:
            low, high = map(float, self.pixel_range_)
            if not -math.inf < low <= high < math.inf:
                raise ValueError(f"its pixel_range_={self.pixel_range_} is not one")
        names = getattr(self, "feature_names_in_", None)
        if names is not None and names.shape != (self.n_features_in_,):
            raise ValueError("its feature_names_in_ are not one a feature")

    def _initialize(
        self, model: keras.Model, X: Any, y: Any, weight: Array | None, rows: Array
    ) -> None:
        if self.standardize:
            set_standardization(model, *channel_statistics(X, rows))
        # Start from the class frequencies, as an imbalanced problem would otherwise spend its
        # first epochs on learning them (Lin et al., "Focal Loss", 2017, section 4.1).
        count = np.bincount(
            y.codes[rows], None if weight is None else weight[rows], minlength=y.shape[1]
        )
        frequency = 1 + count / count.sum() * len(rows)
        model.layers[-1].bias.assign(np.log(frequency / frequency.mean()))

    def _balance(self, y: OneHot) -> Array | None:
        if self.class_weight is None:
            return None
        if isinstance(self.class_weight, str):
            return compute_sample_weight(self.class_weight, y.codes)  # type: ignore[no-any-return]
        return _weights_of_classes(self.class_weight, self.classes_, y.codes)[y.codes]

    def _check_weighted(self, y: OneHot, rows: Array) -> None:
        if len(np.unique(y.codes[rows])) < 2:
            raise ValueError(
                "sample_weight and class_weight leave fewer than two classes with a positive "
                "weight; a classifier needs at least two."
            )

    def _strata(self, y: OneHot, rows: Array) -> Array | None:
        return self.classes_[y.codes[rows]]  # type: ignore[no-any-return]

    def _check_partial_fit(self) -> None:
        super()._check_partial_fit()
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit does not support class_weight='balanced', which needs all labels. "
                "Use sklearn.utils.class_weight.compute_class_weight('balanced', classes=..., "
                "y=...) on them and give the weights as a dict."
            )


def _check_no_missing(y: Any) -> None:
    """Refuse labels that are missing, before NumPy makes text of them beside other text."""
    labels = y if hasattr(y, "dtype") else np.array(y, dtype=object)
    if labels.ndim == 1 and not (isinstance(labels, np.ndarray) and labels.dtype.kind != "O"):
        for row, label in enumerate(np.asarray(labels, dtype=object)):
            if (
                label is None
                or label is getattr(sys.modules.get("pandas"), "NA", None)
                or (isinstance(label, float) and math.isnan(label))
            ):
                raise ValueError(
                    f"y has the label {label!r} in row {row}; each sample needs a label."
                )


def _weights_of_classes(class_weight: dict[Any, float], classes: Array, codes: Array) -> Array:
    """Look up the weight of each class; those that the dict does not have weigh 1."""
    for label, weight in class_weight.items():
        number = isinstance(weight, Real) and not isinstance(weight, bool)
        if not number or not 0 <= weight < math.inf:
            raise ValueError(
                f"class_weight must have numbers that are finite and not negative, got "
                f"{weight!r} for the class {label!r}."
            )
    labels = classes.tolist()
    if not class_weight.keys() & set(labels):
        raise ValueError(
            f"class_weight has none of the classes {labels}; its keys are {list(class_weight)}."
        )
    without = [labels[code] for code in np.unique(codes) if labels[code] not in class_weight]
    if without:
        warnings.warn(
            f"class_weight has no weight for the classes {without} of y; each gets 1.",
            UserWarning,
            stacklevel=2,
        )
    return np.array([class_weight.get(label, 1.0) for label in labels], dtype=np.float64)


def _shape_of_images(X: Array) -> tuple[int, int, int]:
    height, width, channels = (*X.shape[1:], 1)[:3]
    return height, width, channels


def _hint(X: Array, expected: tuple[int, int, int]) -> str:
    """Say how to move channels last where that gives the expected shape."""
    if X.ndim == 4 and (*X.shape[2:], X.shape[1]) == expected:
        return "; move the channels last with np.moveaxis(X, 1, -1)"
    return ""


def pixel_range(X: Any, rows: Array) -> tuple[float, float]:
    """Return the lowest and highest value of images, the limits of the dtype for uint8.

    Raises
    ------
    ValueError
        If values differ by so little, beside their size, that float32 cannot tell them apart.
    """
    if X.dtype == np.uint8 or (isinstance(X, ImageFiles) and X.dtype.kind == "u"):
        return 0.0, float(np.iinfo(X.dtype).max)
    ends, errors = [], []
    # Those of float32 and of up to 16 bits are exact.
    is_exact = X.dtype.itemsize <= 2 or X.dtype == np.float32
    exact = np.float64 if X.dtype.kind == "f" and X.dtype.itemsize <= 8 else np.longdouble
    for part in row_chunks(X, rows, itemsize=8):
        pixels = X[part].reshape(-1, X.shape[-1])
        ends.append((pixels.min(axis=0), pixels.max(axis=0)))
        if not is_exact:
            errors.append(np.abs(pixels.astype(exact) - pixels.astype(np.float32)).max(axis=0))
    low = np.min([low for low, _ in ends], axis=0).astype(exact)
    high = np.max([high for _, high in ends], axis=0).astype(exact)
    if not is_exact:
        lost = (high > low) & (np.max(errors, axis=0) > (high - low) / FLOAT32_LEVELS)
        if lost.any():
            channel = int(lost.argmax())
            raise ValueError(
                f"X has values from {low[channel]} to {high[channel]} in channel {channel}, which "
                "float32, in which networks compute, cannot tell apart. Subtract an offset such "
                "as X.min() first."
            )
    return float(low.min()), float(high.max())


def _gelu(x: Any) -> Any:
    """Compute GELU without erfc, which Keras takes and ONNX has not."""
    return 0.5 * x * (1 + keras.ops.erf(x * math.sqrt(0.5)))


def _sound(X: Any) -> bool:
    """Tell whether check_array would find nothing; it takes a tenth of the time of one image."""
    if type(X) is not np.ndarray or X.dtype.kind not in "biuf" or not len(X):
        return False
    # A sum is finite only where all values are, and needs no memory.
    with np.errstate(over="ignore", invalid="ignore"):
        return X.dtype.kind != "f" or bool(np.isfinite(X.sum()))


def _sides(value: Sequence[int], name: str, *lengths: int) -> tuple[int, ...]:
    sides = tuple(value)
    if len(sides) not in lengths or not all(
        isinstance(n, Integral) and not isinstance(n, bool) and n > 0 for n in sides
    ):
        forms = " or ".join(f"({', '.join(SIDES[:n])})" for n in lengths)
        raise ValueError(f"{name} must be {forms}, all positive integers; got {value!r}.")
    return sides


def channel_statistics(X: Array, rows: Array) -> tuple[Array, Array]:
    """Compute the mean and variance of each channel, reading a few rows at a time.

    Constant channels get a variance of one, so that standardizing keeps them finite.
    """
    count, mean, scatter = 0, np.zeros(X.shape[-1]), np.zeros(X.shape[-1])
    for part in row_chunks(X, rows, itemsize=8):
        pixels = X[part].reshape(-1, X.shape[-1]).astype(np.float64)
        shift = pixels.mean(axis=0) - mean
        total = count + len(pixels)
        # Chan et al.'s update, which stays exact where a sum of squares would cancel.
        scatter += pixels.var(axis=0) * len(pixels) + shift**2 * count * len(pixels) / total
        mean += shift * len(pixels) / total
        count = total
    variance = scatter / count
    if variance.max() > np.finfo(np.float32).max:
        raise ValueError("X has values too large to standardize in float32; scale it first.")
    return mean, np.where(variance < np.finfo(np.float32).tiny, 1.0, variance)


class FeedForward(ImageClassifier):
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


class MiniCNN(ImageClassifier):
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


class StackedCNN(ImageClassifier):
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


class VGGLite(ImageClassifier):
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


class SpeedNet(ImageClassifier):
    """The network of airbench94 [1]_: wide convolutions, pooled early.

    The parameters are those of :class:`ImageClassifier`, with airbench94's ``epochs=10`` and
    ``label_smoothing=0.2`` as defaults, but for the architecture, which is
    ``CONV-24:2 -> GELU -> CONV-64 -> POOL -> GELU -> CONV-64 -> GELU
    -> [CONV-256 -> POOL -> GELU -> CONV-256 -> GELU]*2 -> POOL-4 -> FCS``.

    Unlike in airbench94 the first layer is learnt, not computed from the patches of the images,
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

    def __init__(
        self, *, epochs: int = 10, label_smoothing: float = 0.2, **parameters: Any
    ) -> None:
        super().__init__(epochs=epochs, label_smoothing=label_smoothing, **parameters)
