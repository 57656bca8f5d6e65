"""Ranges and statistics of pixels, computed over batches of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._training.batches import read_ahead, row_chunks
from .files import ImageFiles

Array = NDArray[Any]

# Minimum number of levels that the value range must have after rounding to float32.
FLOAT32_LEVELS = 1000


def value_range(X: Any, rows: Array) -> tuple[float, float]:
    """Return the minimum and maximum of images; for uint8, of the dtype."""
    if X.dtype == np.uint8:
        return 0.0, 255.0
    low, high = _channel_ranges(X, rows)
    return float(low.min()), float(high.max())


def pixel_range(X: Any, rows: Array) -> tuple[float, float]:
    """Return the range that images in prediction are compared with.

    For integer files it is the range of the dtype, otherwise that of :func:`value_range`.

    Raises
    ------
    ValueError
        If values differ too little, relative to their size, to be distinct in float32.
    """
    if isinstance(X, ImageFiles) and X.dtype.kind == "u":
        return 0.0, float(np.iinfo(X.dtype).max)
    # Values of float32 and of up to 16 bits are exact in float32.
    if X.dtype.itemsize <= 2 or X.dtype == np.float32:
        return value_range(X, rows)
    low, high = _channel_ranges(X, rows)
    _check_float32(X, rows, low, high)
    return float(low.min()), float(high.max())


def _channel_ranges(X: Any, rows: Array) -> tuple[Array, Array]:
    """Return the minimum and maximum of each channel."""
    chunks = _chunks(X, rows)
    ends = [(_by_channel(np.min, chunk), _by_channel(np.max, chunk)) for chunk in chunks]
    low, high = zip(*ends, strict=True)
    return np.min(low, axis=0), np.max(high, axis=0)


def _check_float32(X: Any, rows: Array, low: Array, high: Array) -> None:
    """Raise if the values of a channel are not distinct in float32."""
    exact = np.float64 if X.dtype.kind == "f" and X.dtype.itemsize <= 8 else np.longdouble
    error = np.zeros(X.shape[-1], exact)
    for pixels in _chunks(X, rows):
        errors = np.abs(pixels.astype(exact) - pixels.astype(np.float32))
        error = np.maximum(error, _by_channel(np.max, errors))
    low, high = low.astype(exact), high.astype(exact)
    lost = (high > low) & (error > (high - low) / FLOAT32_LEVELS)
    if lost.any():
        channel = int(lost.argmax())
        raise ValueError(
            f"X has values from {low[channel]} to {high[channel]} in channel {channel}, which "
            "float32, the dtype of networks, cannot tell apart. Subtract an offset such "
            "as X.min() first."
        )


def channel_statistics(X: Array, rows: Array) -> tuple[Array, Array]:
    """Compute the mean and variance of each channel in batches of rows.

    Constant channels get a variance of one, so that they stay finite when standardized.
    """
    count, mean, scatter = 0, np.zeros(X.shape[-1]), np.zeros(X.shape[-1])
    for chunk in _chunks(X, rows):
        pixels = chunk.astype(np.float64, order="C")
        size = pixels.size // X.shape[-1]
        own_mean = _by_channel(np.mean, pixels)
        lines = pixels.reshape(len(pixels), X.shape[1], -1)
        lines -= np.tile(own_mean, X.shape[2])
        own_variance = _by_channel(np.mean, np.square(pixels, out=pixels))
        shift, total = own_mean - mean, count + size
        # The update by Chan et al., as a sum of squares would suffer from cancellation.
        scatter += own_variance * size + shift**2 * count * size / total
        mean += shift * size / total
        count = total
    variance = scatter / count
    if variance.max() > np.finfo(np.float32).max:
        raise ValueError("X has values too large to standardize in float32; scale it first.")
    return mean, np.where(variance < np.finfo(np.float32).tiny, 1.0, variance)


def _chunks(X: Any, rows: Array) -> Iterator[Array]:
    """Read images in chunks whose float64 values fit into the cache.

    Files are read in larger ones, and ahead: the first epoch of 1,500 files then takes 0.91
    of the time.
    """
    for block in read_ahead(X, row_chunks(X, rows, X.dtype.itemsize)):
        for part in row_chunks(block, np.arange(len(block)), itemsize=8):
            yield block[part[0] : part[-1] + 1]


def _by_channel(reduce: Callable[..., Array], pixels: Array) -> Array:
    """Reduce images to one value per channel.

    The images and lines first, as NumPy is slow along an axis before a short one: statistics of
    1,500 images of 96x96x3 take 83 ms instead of 1,016 ms.
    """
    return reduce(reduce(pixels, axis=(0, 1)), axis=0)
