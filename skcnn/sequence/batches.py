"""Batches of strings of similar lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._keras import tf
from .._training.batches import BatchGenerator, Part

Array = NDArray[Any]

# Number of batches whose rows are sorted by length together.
SORTED_BATCHES = 16


def cut_strings(arrays: tuple[Any, ...], rows: slice, extent: Any) -> tuple[Any, ...]:
    """Slice a batch of strings, truncated to its longest."""
    (source, target), _, *weight = arrays
    target = target[rows, : extent[1]]
    return (source[rows, : extent[0]], target), target, *(each[rows] for each in weight)


class StringBatches(BatchGenerator):
    """Batches of codes, truncated to their longest strings.

    A batch is ``(input codes, target codes), target codes[, weights]``. Training batches are
    shuffled, then rows of similar lengths are grouped to reduce padding.

    Parameters
    ----------
    X : ndarray of int of shape (n_samples, length)
        Input codes, padded with zeros.
    y : ndarray of int of shape (n_samples, length)
        Target codes, padded with at least one zero.
    *args, **options
        As in :class:`skcnn._training.batches.BatchGenerator`.
    """

    def __init__(self, X: Array, y: Array, *args: Any, **options: Any) -> None:
        super().__init__(X, y, *args, **options)
        self.lengths = np.count_nonzero(X, axis=1), np.count_nonzero(y, axis=1)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self._read(index, index + 1).arrays

    def _read(self, start: int, stop: int) -> Part:
        """Read the batches from `start` to before `stop`."""
        rows = self._rows_in_order()[start * self.batch_size : stop * self.batch_size]
        first = np.arange(0, len(rows), self.batch_size)
        read, written = (
            np.maximum(np.maximum.reduceat(lengths[rows], first), least)
            for lengths, least in zip(self.lengths, (1, 0), strict=True)
        )
        source = self.X[rows, : read.max()].astype(np.int32)
        target = self.y[rows, : written.max() + 1].astype(np.int32)
        extents = np.column_stack([read, written + 1]).astype(np.int32)
        weight = [] if self.sample_weight is None else [self.sample_weight[rows]]
        codes = tf.TensorSpec((None, None), tf.int32)
        weights = [tf.TensorSpec((None,), each.dtype) for each in weight]
        signature = ((codes, codes), codes, *weights)
        return Part(((source, target), target, *weight), extents, cut_strings, signature)

    def _rows_in_order(self) -> Array:
        known, _ = self._order
        order = super()._rows_in_order()
        if self.shuffle and known != self.epoch:
            order = self._by_length(order)
            self._order = (self.epoch, order)
        return order

    def _by_length(self, order: Array) -> Array:
        """Sort groups of batches by length, then shuffle the batches."""
        size = self.batch_size
        read, written = self.lengths
        batches = []
        for start in range(0, len(order), SORTED_BATCHES * size):
            rows = order[start : start + SORTED_BATCHES * size]
            rows = rows[np.lexsort((read[rows], written[rows]))]
            batches += [rows[first : first + size] for first in range(0, len(rows), size)]
        rest = [batches.pop()] if len(batches[-1]) < size else []  # the partial batch stays last
        seed = np.random.SeedSequence(self._entropy, spawn_key=(2, self.epoch))
        np.random.default_rng(seed).shuffle(batches)
        return np.concatenate([*batches, *rest])
