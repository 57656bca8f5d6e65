"""Image augmentation: its settings, which need no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from .._compat import Interval, StrOptions, check_params, validate_parameter_constraints
from .._files.registry import loadable
from .._typing import BaseEstimator
from .arrays import images_as_rows

if TYPE_CHECKING:
    from .augmented import PreparedAugmentation

Array = NDArray[Any]

# Maximum of zoom_range: the side of the visible area, in sides of the image.
MAX_ZOOM = 4.0


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
        from .._training.batches import BatchGenerator

        validate_parameter_constraints(
            {"random_state": [Interval(Integral, 0, None, closed="left"), None]},
            {"random_state": random_state},
            caller_name="ImageAugmenter.transform",
        )
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
        batches = BatchGenerator(
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
        from .augmented import PreparedAugmentation

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
        from .augmented import augmentation_layers

        layers = augmentation_layers(self.get_params(deep=False), (0.0, 1.0))
        return [{**layer.get_config(), "name": None} for layer in layers] or None
