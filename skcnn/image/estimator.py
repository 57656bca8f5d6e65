"""Base class of the image estimators."""

from __future__ import annotations

import functools
import math
import operator
import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from .._environment import native_bfloat16
from .._files.export import export
from .._fitted import OUTPUTS
from .._keras import keras
from .._parameters import TrainingParameters
from .._training.network import State
from .._typing import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from ..base import KerasEstimator
from .augmentation import ImageAugmenter
from .inputs import ImageInputs
from .networks import build_network, set_standardization
from .notation import canonical, n_weighted, parse
from .pixels import channel_statistics, pixel_range

Array = NDArray[Any]

VGG_LITE = (
    "[CONV-32 -> RELU]*2 -> POOL -> [CONV-64 -> RELU]*2 -> POOL -> "
    "[CONV-128 -> RELU]*3 -> POOL -> GAP-4 -> FC-100 -> RELU -> FCS"
)

# Shifts in pixels along both axes, and their weights. Shift and flip averaging raise the accuracy
# of VGGLite after ten augmented epochs by 1.6 points (one seed), flip averaging alone by 1.4
# (docs/guide/performance.rst).
SHIFTS = {0: 0.5, 1: 0.25, -1: 0.25}

# On smaller images bfloat16 is not faster than float32. On CIFAR-10 it saves a third of the time
# of VGGLite and costs 0.7 points of accuracy (docs/guide/performance.rst).
MIXED_PRECISION_PIXELS = 256


class LayerParameters(TypedDict, total=False):
    """Types of the parameters that estimators on a pretrained network do not have."""

    batch_norm: bool
    standardize: bool


class PixelParameters(TypedDict, total=False):
    """Types of the parameters for reading, augmenting and averaging images."""

    input_shape: Sequence[int] | None
    augmentation: ImageAugmenter | None
    image_size: int | Sequence[int] | None
    resize: str
    background: str | Sequence[int]
    flip_averaging: bool
    shift_averaging: bool


class AnyImageParameters(PixelParameters, TrainingParameters, total=False):
    """Types of the parameters of all image estimators."""


class ImageParameters(LayerParameters, AnyImageParameters, total=False):
    """Types of all parameters of `ImageEstimator` but `architecture`."""


class ImageEstimator(
    ImageInputs, ClassNamePrefixFeaturesOutMixin, TransformerMixin, KerasEstimator
):
    """Base class of image estimators, with predictions averaged over views of an image.

    A subclass provides a head and the validation of its targets.
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
    _defaults: ClassVar[TrainingParameters] = {"optimizer": "muon"}
    _PREDICTION_PARAMS: ClassVar[frozenset[str]] = frozenset({"flip_averaging", "shift_averaging"})
    _build = staticmethod(build_network)
    _training_layers: ClassVar[dict[str, Any]] = {"fused": True}
    _former_arguments: ClassVar[dict[str, str]] = {"n_classes": "n_outputs"}

    def __init__(
        self,
        architecture: str = VGG_LITE,
        *,
        batch_norm: bool = True,
        standardize: bool = True,
        input_shape: Sequence[int] | None = None,
        augmentation: ImageAugmenter | None = None,
        image_size: int | Sequence[int] | None = None,
        resize: str = "stretch",
        background: str | Sequence[int] = "white",
        flip_averaging: bool = False,
        shift_averaging: bool = False,
        **parameters: Unpack[TrainingParameters],
    ) -> None:
        super().__init__(**parameters)
        self.architecture = architecture
        self.batch_norm = batch_norm
        self.standardize = standardize
        self.input_shape = input_shape
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
        """Return the weighted mean of the predictions for the views of the images."""
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
            # Canonical, so that different spellings share a compiled network.
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
            return []  # fit raises the error

    def export(
        self, path: str | os.PathLike[str], format: str = "onnx", *, with_resize: bool = False
    ) -> None:
        """Write the fitted network for a runtime without skcnn.

        It takes float32 arrays of the shape ``model_.input_shape`` and gives probabilities, as
        ``predict_proba`` does, or standardized numbers. The file has as JSON the labels, or the
        mean and scale of the numbers, and how images are read: in the metadata ``skcnn`` of an
        ONNX file, in ``assets.extra/skcnn.json`` of a SavedModel, and in ``skcnn.json`` of the zip
        at the end of a LiteRT file.

        Parameters
        ----------
        path : str or path
            The file, or the folder of a SavedModel. What is there is replaced if it is of the
            same kind.
        format : {"onnx", "tf_saved_model", "litert"}, default="onnx"
            ONNX needs ``pip install 'skcnn[export]'``.
        with_resize : bool, default=False
            Whether the network takes images of any size, those of a batch alike, and resizes them
            as in the fit, but for the rounding of bytes. Needs images that were resized.

        Raises
        ------
        ValueError
            If there is no such format, or no size to resize to.
        ImportError
            If a package is missing.
        OSError
            If the file cannot be written.
        """
        check_is_fitted(self)
        build = self._network_to_export
        build = self._with_resize(build) if with_resize else build
        export(build, self._metadata(), path, format, output=self._head.output)

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
        """Check the number of layers before any are built."""
        if n_weighted(parse(network["architecture"])) > len(state.weights):
            raise ValueError("its network has more layers than weights")

    def _initialize(
        self, model: keras.Model, X: Any, y: Any, weight: Array | None, rows: Array
    ) -> None:
        self._prepare_pixels(model, X, rows)
        super()._initialize(model, X, y, weight, rows)

    def _prepare_pixels(self, model: keras.Model, X: Any, rows: Array) -> None:
        """Set the normalization of pixels in a network."""
        if self.standardize:
            set_standardization(model, *channel_statistics(X, rows))

    def _batch_options(self) -> dict[str, Any]:
        return {"augmentation": self.augmentation}


def _gelu(x: Any) -> Any:
    """Compute GELU without erfc, which Keras uses and ONNX lacks."""
    return 0.5 * x * (1 + keras.ops.erf(x * math.sqrt(0.5)))
