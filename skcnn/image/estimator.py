"""The base class of estimators of images."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from .._environment import native_bfloat16
from .._fitted import OUTPUTS
from .._training.batches import row_chunks
from .._training.network import State
from ..base import KerasEstimator
from .augmentation import ImageAugmenter
from .files import ImageFiles
from .inputs import ImageInputs
from .networks import build_network, set_standardization
from .notation import canonical, n_weighted, parse

Array = NDArray[Any]

VGG_LITE = (
    "[CONV-32 -> RELU]*2 -> POOL -> [CONV-64 -> RELU]*2 -> POOL -> "
    "[CONV-128 -> RELU]*3 -> POOL -> FC-100 -> RELU -> FCS"
)

# How far shift averaging moves images, in pixels along both axes, and the weights.
SHIFTS = {0: 0.5, 1: 0.25, -1: 0.25}

# Steps of the range of values that rounding to float32 must leave apart.
FLOAT32_LEVELS = 1000

# On smaller images bfloat16 is no faster than float32.
MIXED_PRECISION_PIXELS = 256


class ImageEstimator(
    ImageInputs, ClassNamePrefixFeaturesOutMixin, TransformerMixin, KerasEstimator
):
    """Base class: which images are valid, and predictions averaged over views of an image.

    A subclass provides a head and the check of its targets.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **KerasEstimator._parameter_constraints,
        "architecture": [str],
        "batch_norm": ["boolean"],
        "standardize": ["boolean"],
        "augmentation": [ImageAugmenter, None],
        **ImageInputs._reading_constraints,
        "flip_averaging": ["boolean"],
        "shift_averaging": ["boolean"],
    }
    _NON_TRAINING_PARAMS: ClassVar[frozenset[str]] = KerasEstimator._NON_TRAINING_PARAMS | {
        "background",
        "flip_averaging",
        "image_size",
        "input_shape",
        "resize",
        "shift_averaging",
    }
    _PREDICTION_PARAMS: ClassVar[frozenset[str]] = frozenset({"flip_averaging", "shift_averaging"})
    _build = staticmethod(build_network)
    _training_layers: ClassVar[dict[str, Any]] = {"fused": True}
    _former_arguments: ClassVar[dict[str, str]] = {"n_classes": "n_outputs"}

    def __init__(
        self,
        architecture: str = VGG_LITE,
        *,
        batch_norm: bool = True,
        input_shape: tuple[int, ...] | None = None,
        standardize: bool = True,
        augmentation: ImageAugmenter | None = None,
        image_size: int | tuple[int, int] | None = None,
        resize: str = "stretch",
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
        self.resize = resize
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

    def _learn_statistics(self, X: Any, rows: Array) -> None:
        low, high = pixel_range(X, rows)
        if self.pixel_range_ is not None:
            low, high = min(low, self.pixel_range_[0]), max(high, self.pixel_range_[1])
        self.pixel_range_ = low, high

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
        self._check_restored_layers(network, state)
        self._check_restored_reading(network["input_shape"])

    def _check_restored_layers(self, network: dict[str, Any], state: State) -> None:
        """Check that the layers are those of the weights, before all are built."""
        if n_weighted(parse(network["architecture"])) > len(state.weights):
            raise ValueError("its network has more layers than weights")

    def _initialize(
        self, model: keras.Model, X: Any, y: Any, weight: Array | None, rows: Array
    ) -> None:
        self._prepare_pixels(model, X, rows)
        super()._initialize(model, X, y, weight, rows)

    def _prepare_pixels(self, model: keras.Model, X: Any, rows: Array) -> None:
        """Set how a network prepares pixels."""
        if self.standardize:
            set_standardization(model, *channel_statistics(X, rows))

    def _batch_options(self) -> dict[str, Any]:
        return {"augmentation": self.augmentation}


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
