"""Ranges and statistics of the pixels of images, which are read a few rows at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._training.batches import row_chunks
from .files import ImageFiles

Array = NDArray[Any]

# Steps of the range of values that rounding to float32 must leave apart.
FLOAT32_LEVELS = 1000


def value_range(X: Any, rows: Array) -> tuple[float, float]:
    """Return the lowest and highest value of images, the limits of the dtype for uint8."""
    if X.dtype == np.uint8:
        return 0.0, 255.0
    low, high = _channel_ranges(X, rows)
    return float(low.min()), float(high.max())


def pixel_range(X: Any, rows: Array) -> tuple[float, float]:
    """Return the range that the pixels of other images are compared with.

    It is that of the dtype for integer files, and else as :func:`value_range` finds it.

    Raises
    ------
    ValueError
        If values differ by so little, beside their size, that float32 cannot tell them apart.
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
    """Return the lowest and the highest value of each channel."""
    ends = []
    for part in row_chunks(X, rows, itemsize=8):
        pixels = X[part].reshape(-1, X.shape[-1])
        ends.append((pixels.min(axis=0), pixels.max(axis=0)))
    low, high = zip(*ends, strict=True)
    return np.min(low, axis=0), np.max(high, axis=0)


def _check_float32(X: Any, rows: Array, low: Array, high: Array) -> None:
    """Refuse channels whose values float32 cannot tell apart."""
    exact = np.float64 if X.dtype.kind == "f" and X.dtype.itemsize <= 8 else np.longdouble
    error = np.zeros(X.shape[-1], exact)
    for part in row_chunks(X, rows, itemsize=8):
        pixels = X[part].reshape(-1, X.shape[-1])
        errors = np.abs(pixels.astype(exact) - pixels.astype(np.float32))
        error = np.maximum(error, errors.max(axis=0))
    low, high = low.astype(exact), high.astype(exact)
    lost = (high > low) & (error > (high - low) / FLOAT32_LEVELS)
    if lost.any():
        channel = int(lost.argmax())
        raise ValueError(
            f"X has values from {low[channel]} to {high[channel]} in channel {channel}, which "
            "float32, in which networks compute, cannot tell apart. Subtract an offset such "
            "as X.min() first."
        )


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
