"""Displays, in scikit-learn's manner."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

Array = NDArray[Any]


class AugmentationDisplay:
    """Images beside augmented variants of them.

    Use :meth:`from_estimator` to make one; its parameters are stored as attributes.

    Parameters
    ----------
    images : ndarray of shape (n_images, height, width, channels)
        The original images, of one channel (grey) or three (RGB).
    variants : ndarray of shape (n_images, n_variants, height, width, channels)
        What augmentation made of each.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure that has them.
    image_ : matplotlib.image.AxesImage
        The drawn mosaic.

    See Also
    --------
    ImageAugmenter : The augmentation.

    Examples
    --------
    >>> from skcnn import AugmentationDisplay, ImageAugmenter, load_digit_images
    >>> augmenter = ImageAugmenter(rotation_range=20)
    >>> X = load_digit_images().data[:3]
    >>> display = AugmentationDisplay.from_estimator(augmenter, X, random_state=0)
    >>> display.variants.shape
    (3, 6, 8, 8, 1)
    """

    def __init__(self, images: Array, variants: Array) -> None:
        self.images = images
        self.variants = variants

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_variants: int = 6,
        random_state: int | None = None,
        ax: Any = None,
    ) -> Self:
        """Augment images and draw them.

        Parameters
        ----------
        estimator : ImageAugmenter
            What augments, with a ``transform`` that takes a ``random_state``.
        X : array-like of shape (n_images, height, width[, channels])
            The images. Of channels that are neither one nor three the first is drawn.
        n_variants : int, default=6
            Variants of each image.
        random_state : int, default=None
            Seed of the augmentation.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        AugmentationDisplay
            The display, drawn.
        """
        images = check_array(X, ensure_2d=False, allow_nd=True, input_name="X")
        # One call for all variants, so that mixup has partners even for a single image.
        changed = estimator.transform(np.repeat(images, n_variants, 0), random_state=random_state)
        if images.ndim == 3:
            images, changed = images[..., None], changed[..., None]
        if images.shape[-1] not in (1, 3):
            images, changed = images[..., :1], changed[..., :1]
        variants = changed.reshape(len(images), n_variants, *images.shape[1:])
        return cls(images, variants).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw one row an image: the original, a gap, its variants.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        self
            The display.
        """
        import matplotlib.pyplot as plt

        n_images, n_variants, height, width, channels = self.variants.shape
        if ax is None:
            size = (1.1 * (n_variants + 1) + 0.4, 1.1 * n_images * height / width + 0.5)
            _, ax = plt.subplots(figsize=size, layout="constrained")
        tiles = np.concatenate([self.images[:, None], self.variants], axis=1).astype(float)
        low, high = tiles.min(), tiles.max()
        tiles = (tiles - low) / (high - low or 1.0)
        # White gaps: a narrow one after every tile, a wide one after the originals.
        gap = max(1, width // 12)
        padded = np.pad(tiles, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=1.0)
        mosaic = padded.transpose(0, 2, 1, 3, 4).reshape(
            n_images * (height + gap), (n_variants + 1) * (width + gap), channels
        )
        mosaic = np.insert(mosaic, [width] * 2 * gap, 1.0, axis=1)[:-gap, :-gap]
        self.image_ = ax.imshow(
            mosaic if channels == 3 else mosaic[..., 0], cmap="gray", vmin=0, vmax=1
        )
        starts = np.arange(n_variants + 1) * (width + gap) + 2 * gap * (
            np.arange(n_variants + 1) > 0
        )
        ax.set_xticks(starts + (width - 1) / 2, ["original", *range(1, n_variants + 1)])
        ax.set_yticks([])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_xlabel("augmented variants")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
