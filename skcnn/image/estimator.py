"""The base class of estimators of images."""

from __future__ import annotations

import functools
import math
import operator
import warnings
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, ClassVar, TypedDict, Unpack

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils.validation import check_array, check_X_y, validate_data

from .._environment import native_bfloat16
from .._fitted import OUTPUTS
from .._parameters import TrainingParameters
from .._training.network import State
from .._typing import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from ..base import KerasEstimator
from .augmentation import ImageAugmenter, as_numpy
from .files import WHITE, ImageFiles, as_paths, parse_colour
from .networks import build_network, set_standardization
from .notation import canonical, n_weighted, parse
from .pixels import channel_statistics, pixel_range

Array = NDArray[Any]

VGG_LITE = (
    "[CONV-32 -> RELU]*2 -> POOL -> [CONV-64 -> RELU]*2 -> POOL -> "
    "[CONV-128 -> RELU]*3 -> POOL -> FC-100 -> RELU -> FCS"
)

SIDES = ("height", "width", "channels")

# How far shift averaging moves images, in pixels along both axes, and the weights. With flips
# it gains VGGLite 1.6 points of accuracy after ten augmented epochs (one seed), flips alone 1.4
# (docs/guide/performance.rst).
SHIFTS = {0: 0.5, 1: 0.25, -1: 0.25}

# Channels of grey, grey with alpha, colour, and colour with alpha.
COLOURS = (1, 2, 3, 4)

# Rows in which a prediction looks for the range of its pixels, and the share of the range of the
# training from which on images count as scaled down: below that of 1 to 16, the pixels of digits.
ROWS_OF_RANGE = 64

NARROW = 15

# Pixels of files whose range is fixed, so that no other files can be predicted.
INTEGER_FILES = ("uint8", "uint16")

# No targets, as there are none in prediction.
UNSET: Any = object()

# On smaller images bfloat16 is no faster than float32. On those of CIFAR-10 it saves a third of
# the time of VGGLite and costs 0.7 points of accuracy (docs/guide/performance.rst).
MIXED_PRECISION_PIXELS = 256


class OwnImageParameters(TypedDict, total=False):
    """Types of the parameters of `ImageEstimator` itself, beside its architecture."""

    batch_norm: bool
    input_shape: Sequence[int] | None
    standardize: bool
    augmentation: ImageAugmenter | None
    image_size: Sequence[int] | None
    background: str | Sequence[int]
    flip_averaging: bool
    shift_averaging: bool


class ImageParameters(OwnImageParameters, TrainingParameters, total=False):
    """Types of the parameters of `ImageEstimator` beside its architecture."""


class ImageEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, KerasEstimator):
    """Base class: which images are valid, and predictions averaged over views of an image.

    A subclass provides a head and the check of its targets.
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
    _NON_TRAINING_PARAMS: ClassVar[frozenset[str]] = KerasEstimator._NON_TRAINING_PARAMS | {
        "background",
        "flip_averaging",
        "image_size",
        "input_shape",
        "shift_averaging",
    }
    _defaults: ClassVar[TrainingParameters] = {"optimizer": "muon"}
    _PREDICTION_PARAMS: ClassVar[frozenset[str]] = frozenset({"flip_averaging", "shift_averaging"})
    _build = staticmethod(build_network)
    _training_layers: ClassVar[dict[str, Any]] = {"fused": True}
    _former_arguments: ClassVar[dict[str, str]] = {"n_classes": "n_outputs"}

    feature_names_in_: Array
    input_shape_: tuple[int, int, int]
    pixel_dtype_: str | None
    pixel_range_: tuple[float, float] | None
    image_size_: tuple[int, ...] | None
    background_: tuple[int, ...]

    def __init__(
        self,
        architecture: str = VGG_LITE,
        *,
        batch_norm: bool = True,
        input_shape: Sequence[int] | None = None,
        standardize: bool = True,
        augmentation: ImageAugmenter | None = None,
        image_size: Sequence[int] | None = None,
        background: str | Sequence[int] = "white",
        flip_averaging: bool = False,
        shift_averaging: bool = False,
        **parameters: Unpack[TrainingParameters],
    ) -> None:
        super().__init__(**parameters)
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

    def _check_inputs(self, X: Any) -> Any:
        return self._check_images(X, reset=False)[0]

    def _check_images(self, X: Any, y: Any = UNSET, *, reset: bool) -> tuple[Any, Any]:
        """Validate images and view them as (n_samples, height, width, channels)."""
        if X is None:
            raise ValueError("X must be images, or the paths of image files; got None.")
        X, y = as_numpy(X, "X"), as_numpy(y, "y")
        if not reset and y is not UNSET:
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
                **({} if y is UNSET else {"y": y, **self._target_options(y)}),
                reset=reset,
                allow_nd=True,
                dtype="numeric",
            )
        elif y is UNSET:
            checked = (
                X
                if _is_finite_array(X)
                else check_array(X, allow_nd=True, estimator=self, input_name="X")
            )
        else:
            options = self._target_options(y)
            checked = check_X_y(X, y, allow_nd=True, estimator=self, **options)
        X, y = (checked, y) if y is UNSET else checked
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

    def _target_options(self, y: Any) -> dict[str, Any]:
        """Return what scikit-learn's validation has to know of the targets."""
        if not issparse(y):
            y = np.asarray(y)
        return {"multi_output": y.ndim == 2 and y.shape[1] > 1}

    def _check_files(self, paths: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """Validate paths of image files; their pixels are read batch by batch."""
        rows = np.zeros((len(paths), 1))
        if not reset:
            if y is not UNSET:
                _, y = check_X_y(rows, y, estimator=self, **self._target_options(y))
            files = ImageFiles(
                paths,
                shape=self.input_shape_,
                dtype=self.pixel_dtype_ if self.pixel_dtype_ in INTEGER_FILES else None,
                image_size=self.image_size_,
                background=self.background_,
                check=y is not UNSET,
            )
            self._check_range(files)
            return files, y
        # Forgets the names of columns, too.
        _, y = validate_data(self, rows, y, **self._target_options(y))
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

    def _learn_statistics(self, X: Any, rows: Array) -> None:
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

    def _network_arguments(self, X: Any, y: Any) -> dict[str, Any]:
        head = self._head
        return {
            # One spelling, so that two spellings of one network share what is compiled.
            "architecture": canonical(parse(self.architecture)),
            "input_shape": self.input_shape_,
            "n_outputs": head.n_outputs,
            "activation": head.activation,
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
        super()._initialize(model, X, y, weight, rows)

    def _batch_options(self) -> dict[str, Any]:
        return {"augmentation": self.augmentation}


def _shape_of_images(X: Array) -> tuple[int, int, int]:
    height, width, channels = (*X.shape[1:], 1)[:3]
    return height, width, channels


def _hint(X: Array, expected: tuple[int, int, int]) -> str:
    """Say how to move channels last where that gives the expected shape."""
    if X.ndim == 4 and (*X.shape[2:], X.shape[1]) == expected:
        return "; move the channels last with np.moveaxis(X, 1, -1)"
    return ""


def _gelu(x: Any) -> Any:
    """Compute GELU without erfc, which Keras takes and ONNX has not."""
    return 0.5 * x * (1 + keras.ops.erf(x * math.sqrt(0.5)))


def _is_finite_array(X: Any) -> bool:
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
