"""Validation and reading of the images that are passed to an estimator."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils.validation import check_array, check_X_y, validate_data

from .._compat import StrOptions
from .._keras import keras
from .._warnings import warn
from .arrays import ImageArrays, as_numpy, is_image_list
from .files import ImageFiles, as_paths
from .layers import ResizeLikePillow
from .sizes import RESIZE, WHITE, check_sides, fill_values, parse_colour, parse_size

Array = NDArray[Any]

# Numbers of channels: grey, grey with alpha, colour, colour with alpha.
COLOURS = (1, 2, 3, 4)

# Prediction checks the range of the first rows. Images whose range is smaller than the training
# range by this factor count as scaled down; below 16, to include digits (0 to 16) in [0, 1].
ROWS_OF_RANGE = 64

NARROW = 15

# Dtypes with a fixed range: a network fitted on one of them predicts no files of another.
INTEGER_FILES = ("uint8", "uint16")

# Default of y in prediction, as None is an invalid target.
UNSET: Any = object()


class ImageInputs:
    """Mixin for estimators that validates and reads images, and learns how to read them.

    The estimator has the parameters `input_shape`, `image_size`, `resize` and `background`.
    """

    _reading_constraints: ClassVar[dict[str, list[Any]]] = {
        "input_shape": [tuple, list, None],
        "image_size": [Integral, tuple, list, None],
        "resize": [StrOptions(set(RESIZE))],
        "background": [str, tuple, list],
    }

    input_shape: Any
    image_size: Any
    resize: str
    background: Any

    feature_names_in_: Array
    input_shape_: tuple[int, int, int]
    n_features_in_: int
    pixel_dtype_: str | None
    pixel_range_: tuple[float, float] | None
    pixel_limits_: tuple[float, float] | None
    image_size_: tuple[int, int] | None
    resize_: str
    background_: tuple[int, int, int]
    row_shape_: tuple[int, int, int] | None

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
            return self._check_lazily(ImageFiles, paths, y, reset=reset)
        if is_image_list(X):
            return self._check_lazily(ImageArrays, X, y, reset=reset)
        X, y = self._check_pixels(X, y, reset=reset)
        X = self._learn_array(X) if reset else self._as_learned(X)
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
        if reset or (ndim <= 2 and self.row_shape_ is not None):
            # Sets or checks n_features_in_ and feature_names_in_.
            checked = validate_data(
                self,
                X,
                **self._given_targets(y),
                reset=reset,
                allow_nd=True,
                dtype="numeric",
            )
        elif y is UNSET:
            checked = (
                X
                if ndim > 2 and _is_finite_array(X)
                else check_array(X, allow_nd=True, estimator=self, input_name="X")
            )
        else:
            options = self._target_options(y)
            checked = check_X_y(X, y, allow_nd=True, estimator=self, **options)
        X, y = (checked, y) if y is UNSET else checked
        if X.ndim == 2 and not reset:
            self._check_row_length(X)
        if X.ndim > 2 and 0 in X.shape[1:]:
            raise ValueError(f"X has images without pixels: their shape is {_shape_of_images(X)}.")
        if X.dtype.kind == "f" and X.dtype.itemsize > 4:
            limit = np.finfo(np.float32).max
            if X.max() > limit or X.min() < -limit:
                raise ValueError("X has values too large for dtype('float32').")
        return X, y

    def _check_row_length(self, X: Array) -> None:
        """Check that rows have the pixels of an image, where the fit has seen no rows."""
        expected = math.prod(self.row_shape_ or self.input_shape_)
        if X.shape[1] != expected:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {expected} "
                "features as input."
            )

    def _learn_array(self, X: Any) -> Any:
        """Learn how to read an array of images, and read it."""
        shape = self._shape_of_rows(X) if X.ndim == 2 else self._checked_shape(X)
        row_shape = shape if X.ndim == 2 else None  # to check later rows
        size = self._given_size() or shape[:2]
        read_shape = (*size, self._shown_channels(shape[2], X.dtype))
        X = X.reshape(len(X), *shape)
        is_read = shape != read_shape
        if is_read:
            X = ImageArrays(X, shape=read_shape, **{**self._reading(), "image_size": size})
        if parse_colour(self.background) != WHITE and not (is_read and self.resize == "pad"):
            raise ValueError(
                f"background={self.background!r} is for transparent pixels and the padding of "
                f"resize='pad', but X is an array of images of shape {shape} with "
                "neither."
            )
        self._learn_reading(X, row_shape)
        return X

    def _as_learned(self, X: Array) -> Any:
        """Read an array of images as in fit."""
        shape = self.row_shape_ or self.input_shape_
        if X.ndim > 2:
            shape = _shape_of_images(X)
        X = X.reshape(len(X), *shape)
        if shape == self.input_shape_:
            return X
        shown = {self._shown_channels(shape[2], X.dtype), self.input_shape_[2]}
        if self.image_size_ is None or not (len(shown) == 1 or shown == {1, 3}):
            raise ValueError(
                f"X has images of shape {shape}, but {type(self).__name__} is "
                f"expecting images of shape {self.input_shape_}{_hint(X, self.input_shape_)}."
            )
        return ImageArrays(X, limits=self.pixel_limits_, **self._learned_reading())

    def _shown_channels(self, channels: int, dtype: Any) -> int:
        """Return the number of channels that images of an array are converted to."""
        return channels

    def _read_shape(self) -> tuple[int, int, int] | None:
        """Return the shape that images of files and lists are converted to; None to infer it."""
        return self._given_shape()

    def _reading(self) -> dict[str, Any]:
        """Return the parameters for reading images."""
        return {
            "image_size": self._given_size(),
            "resize": self.resize,
            "background": self.background,
        }

    def _learned_reading(self) -> dict[str, Any]:
        """Return the learned parameters for reading images."""
        reading = {
            "shape": self.input_shape_,
            "image_size": self.image_size_,
            "resize": self.resize_,
            "background": self.background_,
        }
        return reading

    def _learn_reading(self, X: Any, row_shape: tuple[int, int, int] | None = None) -> None:
        """Set the learned attributes from the images after reading."""
        self.input_shape_ = X.shape[1:]
        self.row_shape_ = row_shape
        self.pixel_dtype_ = X.dtype.name
        self.pixel_range_ = None
        self.pixel_limits_ = getattr(X, "limits", None)
        self.image_size_ = self._given_size()
        self.resize_ = self.resize
        self.background_ = parse_colour(self.background)

    def _checked_shape(self, X: Array) -> tuple[int, int, int]:
        """Check that an array of images is channels-last, and return the shape of an image."""
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
                f"input_shape={shape} if the shape is correct."
            )
        return shape

    def _shape_of_rows(self, X: Array) -> tuple[int, int, int]:
        """Return the shape of images that are flattened to the rows of an array."""
        n_features, given = X.shape[1], self._given_shape()
        if given is None:
            side = math.isqrt(n_features)
            shape = (side, side, 1) if side * side == n_features else (1, n_features, 1)
            if shape != getattr(self, "input_shape_", None):
                warn(
                    f"X has rows of {n_features} features, which are read as images of shape "
                    f"{shape}. Set input_shape to the shape of the images.",
                )
            return shape
        if math.prod(given) != n_features:
            raise ValueError(
                f"input_shape={given} needs {math.prod(given)} features, but X has {n_features} "
                "features."
            )
        return given

    def _given_targets(self, y: Any) -> dict[str, Any]:
        return {} if y is UNSET else {"y": y, **self._target_options(y)}

    def _target_options(self, y: Any) -> dict[str, Any]:
        """Return the options for scikit-learn's validation of the targets."""
        if not issparse(y):
            y = np.asarray(y)
        return {"multi_output": y.ndim == 2 and y.shape[1] > 1}

    def _check_lazily(
        self, kind: type[ImageFiles] | type[ImageArrays], items: Any, y: Any, *, reset: bool
    ) -> tuple[Any, Any]:
        """Validate files, or images of many sizes, without reading all pixels."""
        rows = np.zeros((len(items), 1))
        if not reset:
            if y is not UNSET:
                _, y = check_X_y(rows, y, estimator=self, **self._target_options(y))
            options: dict[str, Any] = {"limits": self.pixel_limits_}
            if kind is ImageFiles:
                dtype = self.pixel_dtype_ if self.pixel_dtype_ in INTEGER_FILES else None
                options = {"dtype": dtype, "check": y is not UNSET}
            images = kind(items, **self._learned_reading(), **options)
            self._check_range(images)
            if y is not UNSET:
                images.keep()
            return images, y
        # Also deletes feature_names_in_.
        checked = validate_data(self, rows, **self._given_targets(y))
        y = y if y is UNSET else checked[1]
        given, size = self._given_shape(), self._given_size()
        if given is not None and size is not None and given[:2] != size:
            raise ValueError(f"input_shape={given} and image_size={size} differ; set one of them.")
        images = kind(items, shape=self._read_shape(), **self._reading())
        self._learn_reading(images)
        if y is not UNSET:
            images.keep()  # every epoch reads them
        return images, y

    def _check_read_as_before(self) -> None:
        """Raise if parameters for reading images have changed since the last fit."""
        size, shape = self._given_size(), self._given_shape()
        for name, new, learned in (
            ("background", parse_colour(self.background), self.background_),
            ("image_size", size, self.input_shape_[:2]),
            ("resize", self.resize if self.image_size_ else None, self.resize_),
            ("input_shape", shape, self.row_shape_ or self.input_shape_),
        ):
            if new not in (None, learned):
                raise ValueError(
                    f"{name} has changed since the last fit, from {learned} to {new}, but "
                    "warm_start=True and partial_fit must read images as before. Set it back, or "
                    "call fit with warm_start=False."
                )

    def _given_size(self) -> tuple[int, int] | None:
        size = parse_size(self.image_size)
        if size is None and self.resize != "stretch":
            raise ValueError(
                f"resize={self.resize!r} needs image_size, the size to resize images to; got "
                "image_size=None."
            )
        return size

    def _given_shape(self) -> tuple[int, int, int] | None:
        if self.input_shape is None:
            return None
        given = check_sides(self.input_shape, "input_shape", 2, 3)
        return given if len(given) == 3 else (*given, 1)  # type: ignore[return-value]

    def _check_range(self, X: Any) -> None:
        """Warn if the pixels are scaled differently from those of the training images."""
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
        # Integers of the same dtype are not rescaled, only dark.
        narrower = low < most <= low + span / NARROW and not (same_dtype and X.dtype.kind in "iu")
        if span and (wider or narrower):
            warn(
                f"X has pixels from {least:.6g} to {most:.6g} ({X.dtype}), but the network was "
                f"fitted on pixels from {low:.6g} to {high:.6g} ({self.pixel_dtype_}); scale "
                "them alike.",
            )

    def _with_resize(self, build: Callable[[], keras.Model]) -> Callable[[], keras.Model]:
        """Return a function that builds the network with a resizing layer in front."""
        if self.image_size_ is None:
            raise ValueError(
                "with_resize=True needs the size to resize images to, but image_size was None in "
                "fit."
            )
        size, channels = self.image_size_, self.input_shape_[2]
        pixel = fill_values(self.background_, channels, self.pixel_limits_ or (0.0, 255.0))

        def built() -> keras.Model:
            inputs = keras.Input((None, None, channels), name="image", dtype="float32")
            resized = ResizeLikePillow(size, self.resize_, pixel)(inputs)
            return keras.Model(inputs, build()(resized))

        return built

    def _reading_metadata(self) -> dict[str, Any]:
        """Return the metadata that an exported network needs for reading images, for JSON."""
        size = self.image_size_
        return {
            "input_shape": list(self.input_shape_),
            "image_size": None if size is None else list(size),
            "resize": None if size is None else self.resize_,
            "background": list(self.background_),
            "pixel_dtype": self.pixel_dtype_,
            "pixel_range": None if self.pixel_range_ is None else list(self.pixel_range_),
            "pixel_limits": None if self.pixel_limits_ is None else list(self.pixel_limits_),
        }

    def _check_restored_values(self) -> None:
        """Check the attributes read from a file that describe pixel values."""
        if not isinstance(self.pixel_dtype_, str | None):
            raise ValueError("its pixel_dtype_ is not the name of a dtype")
        for name in ("pixel_limits_", "pixel_range_"):
            values = getattr(self, name)
            if values is not None:
                low, high = map(float, values)
                if not -math.inf < low <= high < math.inf:
                    raise ValueError(f"its {name}={values} is not a finite range")

    def _check_restored_reading(self, input_shape: tuple[int, ...]) -> None:
        """Check that the attributes read from a file are consistent."""
        shape = check_sides(self.input_shape_, "input_shape_", 3)
        if input_shape != shape:
            raise ValueError(f"its input_shape_={shape} is not that of its network")
        # Files of version 0.1.0 lack these.
        defaults = {
            "background_": WHITE,
            "image_size_": self.image_size,
            "pixel_dtype_": None,
            "pixel_range_": None,
            "pixel_limits_": None,
            "resize_": "stretch",
            "row_shape_": None,
        }
        for name, default in defaults.items():
            if not hasattr(self, name):
                setattr(self, name, default)
        parse_colour(self.background_)
        if self.resize_ not in RESIZE:
            raise ValueError(f"its resize_={self.resize_!r} is unknown")
        n_features: Any = self.n_features_in_
        if self.row_shape_ is not None:
            shape = check_sides(self.row_shape_, "row_shape_", 3)
            if n_features != math.prod(shape):
                raise ValueError(f"its n_features_in_ is not that of rows of shape {shape}")
        elif not isinstance(n_features, Integral) or n_features < 1:
            raise ValueError(f"its n_features_in_={n_features!r} is not a positive integer")
        if self.image_size_ is not None:
            check_sides(self.image_size_, "image_size_", 2)
        self._check_restored_values()
        names = getattr(self, "feature_names_in_", None)
        if names is not None and names.shape != (self.n_features_in_,):
            raise ValueError("its feature_names_in_ are not one per feature")


def _shape_of_images(X: Array) -> tuple[int, int, int]:
    height, width, channels = (*X.shape[1:], 1)[:3]
    return height, width, channels


def _hint(X: Array, expected: tuple[int, int, int]) -> str:
    """Suggest moving the channels last if that gives the expected shape."""
    if X.ndim == 4 and (*X.shape[2:], X.shape[1]) == expected:
        return "; move the channels last with np.moveaxis(X, 1, -1)"
    return ""


def _is_finite_array(X: Any) -> bool:
    """Return whether to skip check_array, which takes a tenth of the time of one image."""
    if type(X) is not np.ndarray or X.dtype.kind not in "biuf" or not len(X):
        return False
    # The sum is finite only if all values are, and allocates no array.
    with np.errstate(over="ignore", invalid="ignore"):
        return X.dtype.kind != "f" or bool(np.isfinite(X.sum()))
