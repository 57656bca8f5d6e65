"""Features of pretrained networks."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Sequence
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from .._environment import check_not_forked
from .._files import estimators
from .._files.archive import Keyed
from .._files.export import export
from .._fitted import FittedNetwork, learning
from .._parameters import RoutedParameters
from .._saved import learned, restored_network
from .._training.network import Plan, State, draw_weights
from .._training.optimizers import check_floatx
from .._typing import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    fit_context,
)
from .backbones import (
    BACKBONES,
    SMALLEST,
    Brought,
    build_features,
    check_backbone,
    prepared,
    starting_weights,
)
from .estimator import ImageEstimator
from .inputs import ImageInputs
from .networks import set_standardization
from .notation import n_weighted, parse
from .pixels import pixel_range
from .sizes import parse_size, value_limits
from .weights import IMAGENET, hash_of, read_weights

Array = NDArray[Any]

Backbone: TypeAlias = str | ImageEstimator | FrozenEstimator

# Maximum nesting of skcnn networks as backbones.
MAX_DEPTH = 10


class PretrainedInputs(ImageInputs):
    """Mixin for estimators on a pretrained network: validation of images, reading of weights.

    In addition to those of `ImageInputs`, the estimator has the parameters `backbone` and
    `weights`.
    """

    _backbone_constraints: ClassVar[dict[str, list[Any]]] = {
        **ImageInputs._reading_constraints,
        "backbone": [str, ImageEstimator, FrozenEstimator],
        "weights": [str, os.PathLike, None],
    }

    backbone: Any
    weights: Any
    weights_sha256_: str | None

    @property
    def _own_network(self) -> Any:
        """The fitted estimator used as backbone; None if the backbone is in the table."""
        backbone = self.backbone
        if isinstance(backbone, str):
            check_backbone(backbone)
            return None
        backbone = getattr(backbone, "estimator", backbone)
        if not isinstance(backbone, ImageEstimator):
            raise ValueError(f"backbone must be a fitted image estimator, got {backbone!r}.")
        if not backbone.__sklearn_is_fitted__():
            raise ValueError(
                f"backbone is a {type(backbone).__name__} that is not fitted. Fit it first; in a "
                "parameter grid, whose values are cloned, wrap it as "
                "sklearn.frozen.FrozenEstimator(backbone)."
            )
        if self.weights not in (IMAGENET, None):
            raise ValueError(
                f"weights={self.weights!r} needs the name of a network as backbone, but backbone "
                f"is a fitted {type(backbone).__name__}, which has its own weights."
            )
        return backbone

    def __sklearn_clone__(self) -> Any:
        """Clone all parameters except a fitted backbone, whose clone would not be fitted."""
        if isinstance(self.backbone, str):
            return super().__sklearn_clone__()  # type: ignore[misc]
        frozen: Any = copy.copy(self)
        frozen.backbone = FrozenEstimator(self.backbone)
        cloned = super(PretrainedInputs, frozen).__sklearn_clone__()  # type: ignore[misc]
        cloned.backbone = self.backbone
        return cloned

    def _given_size(self) -> tuple[int, int]:
        size, network = parse_size(self.image_size), self._own_network
        if network is not None:
            own = network.input_shape_[:2]
            if size not in (None, own):
                raise ValueError(
                    f"image_size={self.image_size} is not that of the backbone, whose images have "
                    f"{own[0]}x{own[1]} pixels; set image_size=None."
                )
            return own  # type: ignore[no-any-return]
        usual = BACKBONES[self.backbone].usual
        size = size or (usual, usual)
        if min(size) < SMALLEST:
            raise ValueError(
                f"image_size={size} is too small: {self.backbone} needs images of at least "
                f"{SMALLEST}x{SMALLEST} pixels."
            )
        return size

    def _shown_channels(self, channels: int, dtype: Any) -> int:
        if channels not in (1, 3) and not (channels in (2, 4) and dtype == np.uint8):
            raise ValueError(
                f"X has images of {channels} channels of {dtype}; pretrained networks take one "
                "(grey) or three (red, green, blue), plus an alpha channel for uint8."
            )
        network = self._own_network
        if network is not None:
            return network.input_shape_[2]  # type: ignore[no-any-return]
        return 1 if channels < 3 else 3

    def _read_shape(self) -> tuple[int, int, int] | None:
        network = self._own_network
        return super()._read_shape() if network is None else network.input_shape_

    def _checked_limits(self, X: Any) -> tuple[float, float]:
        """Return the pixel values of black and white; needs `pixel_range_`."""
        assert self.pixel_range_ is not None
        return self.pixel_limits_ or value_limits(*self.pixel_range_, X.dtype)

    def _read_backbone(self) -> tuple[dict[str, Any], Brought | None]:
        """Return the arguments of a network that describe its backbone, and the weights."""
        network, backbone = self._own_network, self._backbone_argument()
        brought: Brought | None = None
        if network is not None:
            arrays = network._state.weights[:-2]  # without the last layer
            brought = Brought(tuple(arrays), None, None, hash_of(arrays))
        elif self.weights is not None:
            brought = read_weights(backbone, self.weights, self.input_shape_[:2])
        self.weights_sha256_ = None if brought is None else brought.sha256
        return {
            "backbone": backbone,
            "input_shape": self.input_shape_,
            "weights": None if brought is None else Keyed(brought, brought.sha256),
        }, brought

    def _backbone_argument(self) -> Any:
        """Return the name of the backbone, or the arguments of an skcnn network."""
        network = self._own_network
        if network is None:
            return self.backbone
        return tuple(each for each in network._plan.arguments if each[0] != "weights")

    def _check_restored_backbone(self, network: dict[str, Any], state: State) -> None:
        """Check the backbone read from a file before it is built."""
        backbone, depth = network["backbone"], 0
        while not isinstance(backbone, str):
            arguments, depth = dict(backbone), depth + 1
            if "architecture" in arguments:
                if n_weighted(parse(arguments["architecture"])) > len(state.weights) + 1:
                    raise ValueError("its network has more layers than weights")
                break
            backbone = arguments["backbone"]
            if depth > MAX_DEPTH:
                raise ValueError("its network has too many nested networks")
        else:
            check_backbone(backbone)
        self._check_restored_reading(network["input_shape"])


class ImageFeatures(
    PretrainedInputs,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    RoutedParameters,
    FittedNetwork,
    BaseEstimator,
):
    """Features of images, by a network that was trained on others.

    The network is one of `keras.applications`, without its top, or a fitted image estimator of
    this package; its last feature maps are averaged over the image. Nothing is trained.

    Parameters
    ----------
    backbone : str or estimator, default="MobileNetV2"
        "MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "EfficientNetB0",
        "EfficientNetV2B0", "ResNet50V2", "DenseNet121", "NASNetMobile" or "ConvNeXtTiny", or a
        fitted image estimator, whose `image_size` is then that of its fit. In the grid of a
        search it is wrapped as `sklearn.frozen.FrozenEstimator`.
    weights : str, path or None, default="imagenet"
        "imagenet" for the weights of Keras, which are downloaded once and cached; a file of
        weights that Keras has written, without the top; or None for random weights. Read in
        ``fit``, once a process.
    input_shape : tuple of (height, width) or (height, width, channels), default=None
        Shape of the image in a row of a 2-D X, before it is resized.
    image_size : int or tuple of (height, width), default=None
        Size to resize images to, an integer for a square; at least 32. None takes that which the
        network was designed for, 224.
    resize : {"crop", "pad", "stretch"}, default="crop"
        How: by cutting off what is beyond the aspect ratio on the longer sides, by filling what
        is missing on the shorter sides with the `background`, or by changing the aspect ratio.
    background : str or tuple of (red, green, blue), default="white"
        What transparent pixels and padding show: the name of a colour that Pillow knows, or three
        integers from 0 to 255.

    Attributes
    ----------
    weights_sha256_ : str or None
        SHA-256 of the file of the weights.
    n_features_in_ : int
        Number of columns of a 2-D X. For images in an array their height, ``X.shape[1]``, as in
        scikit-learn; 1 for paths and lists of images.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, when X was a data frame.
    input_shape_ : tuple of (height, width, channels)
        Shape of an image as the network sees it.
    pixel_dtype_ : str
        Dtype of the pixels.
    pixel_range_ : tuple of (low, high)
        Range of the pixels, that of the dtype for uint8.
    pixel_limits_ : tuple of (black, white)
        The values that the network takes as black and white: 0 and 255 for uint8; else 0 and 1,
        255 or 65535 where all pixels are within them and not much darker; else the range.
    image_size_ : tuple of (height, width)
        Size that images are resized to.
    resize_ : str
        How they are resized.
    row_shape_ : tuple of (height, width, channels) or None
        Shape of the image in a row of a 2-D X, before it is resized.
    background_ : tuple of (red, green, blue)
        What transparent pixels and padding show.

    See Also
    --------
    ImageClassifier : Networks that are trained from nothing.

    Notes
    -----
    The pixels are prepared as the network asks for; images are given as they are.

    In a pipeline with ``memory``, the features are computed once for the same images and
    parameters, so that a search over the classifier alone does not compute them again. Files are
    compared by their paths.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skcnn import ImageFeatures, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> features = ImageFeatures("MobileNetV3Small", weights=None, image_size=32)
    >>> make_pipeline(features, LogisticRegression()).fit(X[:100], y[:100]).predict(X[:3]).shape
    (3,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **PretrainedInputs._backbone_constraints
    }
    _build = staticmethod(build_features)
    _former_arguments: ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        backbone: Backbone = "MobileNetV2",
        *,
        weights: str | os.PathLike[str] | None = IMAGENET,
        input_shape: Sequence[int] | None = None,
        image_size: int | Sequence[int] | None = None,
        resize: str = "crop",
        background: str | Sequence[int] = "white",
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.input_shape = input_shape
        self.image_size = image_size
        self.resize = resize
        self.background = background

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Read the weights, and learn how to read the images.

        Parameters
        ----------
        X : array-like
            Images of shape (n_samples, height, width[, channels]) or (n_samples, n_features),
            paths of image files, or a list of arrays or of images of Pillow of any sizes.
        y : None
            Ignored.

        Returns
        -------
        self
            The fitted transformer.

        Raises
        ------
        OSError
            If the weights are not there and cannot be downloaded.
        ValueError
            If X are not images, or a file has the weights of another network.
        """
        check_not_forked()
        check_floatx()
        with learning(self) as learner:
            learner._learn(X)
        return self

    def _learn(self, X: Any) -> None:
        X, _ = self._check_images(X, reset=True)
        self.pixel_range_ = pixel_range(X, np.arange(len(X)))
        self.pixel_limits_ = limits = self._checked_limits(X)
        arguments, brought = self._read_backbone()
        plan = Plan(build_features, tuple(arguments.items()))
        weights = _drawn(plan, limits) if brought is None else starting_weights(brought, limits)
        self._plan = plan.without_values()
        self._keep(State("", weights, [], []))

    def transform(self, X: Any) -> Array:
        """Compute the features of images.

        Parameters
        ----------
        X : array-like
            Images, of any kind that ``fit`` takes.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out), float32
            Features.
        """
        return self._features(X)

    @property
    def _n_features_out(self) -> int:
        return self._forward.n_features

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        # joblib.Memory compares unfitted transformers by their state, so include the file.
        path = self.weights
        if not self.__sklearn_is_fitted__() and path not in (None, IMAGENET):
            with contextlib.suppress(OSError):
                status = os.stat(path)
                state["_weights_status"] = status.st_mtime_ns, status.st_size
        return state

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the transformer, fitted or not, to a file that :func:`skcnn.load` reads.

        The file has the weights, so that loading it needs no download.

        Parameters
        ----------
        path : str or path
            The file, by custom ``.skcnn``.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        estimators.save(self, path, learned(self))

    def export(
        self, path: str | os.PathLike[str], format: str = "onnx", *, with_resize: bool = False
    ) -> None:
        """Write the fitted network for a runtime without skcnn.

        It takes float32 arrays of the shape ``(n, *input_shape_)`` and gives features, as
        ``transform`` does. The file has as
        JSON how images are read: in the metadata ``skcnn`` of an ONNX file, in
        ``assets.extra/skcnn.json`` of a SavedModel, and in ``skcnn.json`` of the zip at the end of
        a LiteRT file.

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
        network = self._with_resize(self._network) if with_resize else self._network
        export(network, self._metadata(), path, format, output="features")

    def _metadata(self) -> dict[str, Any]:
        return self._reading_metadata()

    def _restore(self, network: tuple[tuple[str, Any], ...], state: dict[str, Any]) -> None:
        plan, restored = restored_network(self, network, state)
        self._plan = plan
        self._keep(restored)

    def _check_restored(self, network: dict[str, Any], state: State) -> None:
        self._check_restored_backbone(network, state)


def _drawn(plan: Plan, limits: tuple[float, float]) -> list[Array]:
    """Draw the weights of a network of the table from a fixed seed."""
    model = plan.model()
    draw_weights(model, np.random.default_rng(0))
    set_preparation(model, dict(plan.arguments)["backbone"], None, limits)
    return model.get_weights()  # type: ignore[no-any-return]


def set_preparation(
    model: Any, backbone: Any, brought: Brought | None, limits: tuple[float, float]
) -> None:
    """Set the normalization of pixels in a network, given the values of black and white."""
    if brought is None:
        known = BACKBONES[backbone]
        brought = Brought((), known.mean, known.deviation, "")
    preparation = prepared(brought, limits)
    if preparation is not None:
        set_standardization(model, *preparation)
