"""The batches that training reads."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def as_batch(X: Array) -> Array:
    """Convert rows to what a network takes: uint8 as it is, all else float32."""
    return X if X.dtype == np.uint8 else X.astype(np.float32, copy=False)


class SampleGenerator(keras.utils.PyDataset):
    """Batches of rows, in a new order at every epoch.

    Only the rows of a batch are read and converted, so X can be larger than the memory. The
    order depends on nothing but `random_state` and the number of the epoch.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
        The inputs, of any real dtype.
    y : ndarray of shape (n_samples, ...)
        The targets.
    sample_weight : ndarray of shape (n_samples,), default=None
        One weight for each row.
    batch_size : int
        Rows in a batch; the last batch holds the rest.
    indices : ndarray of int, default=None
        The rows to use. None uses all of them.
    shuffle : bool, default=True
        Whether to draw a new order before every epoch.
    random_state : int, default=None
        Seed of the orders. None takes one from the operating system.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.augmentation import SampleGenerator
    >>> batches = SampleGenerator(np.arange(5), np.arange(5), batch_size=2, random_state=0)
    >>> len(batches)
    3
    >>> [len(y) for _, y in (batches[i] for i in range(3))]
    [2, 2, 1]
    """

    def __init__(
        self,
        X: Array,
        y: Array,
        sample_weight: Array | None = None,
        *,
        batch_size: int,
        indices: Array | None = None,
        shuffle: bool = True,
        random_state: int | None = None,
    ) -> None:
        super().__init__()
        self.X = X
        self.y = y
        self.sample_weight = sample_weight
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.rows = np.arange(len(X)) if indices is None else indices
        self.entropy = np.random.SeedSequence(random_state).entropy
        self.epoch = -1
        self.order = self.rows

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Array, ...]:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        batch = as_batch(self.X[rows]), self.y[rows]
        return batch if self.sample_weight is None else (*batch, self.sample_weight[rows])

    def on_epoch_begin(self) -> None:
        """Draw the order of the next epoch.

        It happens here because Keras has already begun to read ahead when it calls
        ``on_epoch_end``.
        """
        self.epoch += 1
        if self.shuffle:
            seed = np.random.SeedSequence(self.entropy, spawn_key=(self.epoch,))
            self.order = np.random.default_rng(seed).permutation(self.rows)
