"""Generator of shuffled and augmented batches."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length

from .._keras import PyDataset, tf

Array = NDArray[Any]

# Maximum bytes of a chunk of rows.
CHUNK_BYTES = 2**22

# Maximum bytes of the batches of one compiled call.
PART_BYTES = 2**22

# Rows whose pixels enter the seed of the augmentation.
FINGERPRINT_ROWS = 64


def as_batch(X: Array) -> Array:
    """Convert rows to the input dtype of a network: uint8 is kept, others become float32."""
    return X if X.dtype == np.uint8 else X.astype(np.float32, copy=False)


def weight_of_outputs(weight: Array | None, y: Any) -> Array | None:
    """Reshape sample weights to broadcast over the losses, which have one value per position."""
    return None if weight is None else weight.reshape(-1, *(1,) * (y.ndim - 2))


def row_chunks(X: Any, rows: Array, itemsize: int) -> list[Array]:
    """Split rows into chunks of bounded size, at `itemsize` bytes per value."""
    n_rows = max(1, CHUNK_BYTES // (itemsize * math.prod(X.shape[1:])))
    return [rows[start : start + n_rows] for start in range(0, len(rows), n_rows)]


def read_ahead(X: Any, parts: Sequence[Any]) -> Iterator[Array]:
    """Yield ``X[part]`` for each part; from files, read the next one while the caller works."""
    if isinstance(X, np.ndarray) or len(parts) == 1:
        yield from (X[part] for part in parts)
        return
    with ThreadPoolExecutor(1) as thread:
        waiting = None
        for part in parts:
            read, waiting = waiting, thread.submit(X.__getitem__, part)
            if read is not None:
                yield read.result()
        if waiting is not None:
            yield waiting.result()


def automatic_batch_size(n_samples: int, n_batches: int, smallest: int, largest: int) -> int:
    """Choose the size of about `n_batches` batches within limits, all nearly equal in size."""
    size = min(max(n_samples // max(n_batches, 1), smallest), largest)
    return math.ceil(n_samples / math.ceil(n_samples / size))


@dataclass(frozen=True)
class Part:
    """Consecutive batches, concatenated for one compiled call.

    Attributes
    ----------
    arrays : tuple
        The arrays with the rows of all batches.
    extents : ndarray of int32 of shape (n_batches, n)
        Sizes of each batch, as arguments of `cut`.
    cut : callable
        Slices the tensors of a batch, given ``(arrays, rows, extent)``.
    signature : tuple
        Shapes and dtypes of the arrays.
    """

    arrays: tuple[Any, ...]
    extents: Array
    cut: Callable[..., Any]
    signature: tuple[Any, ...]


def cut_rows(arrays: tuple[Any, ...], rows: slice, extent: Any) -> tuple[Any, ...]:
    """Slice the rows of a batch."""
    return tuple(array[rows] for array in arrays)


class BatchGenerator(PyDataset):
    """Batches of rows, shuffled and augmented anew in every epoch.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        The inputs: an array, or an object that is indexed by rows like one.
    y : array-like of shape (n_samples, ...)
        The targets: an array, or an object that is indexed by rows like one.
    sample_weight : array-like of shape (n_samples,), default=None
        One weight for each row.
    batch_size : int
        Rows per batch; the last batch has the remainder.
    augmentation : object, default=None
        Its ``_prepared(X, y, rows, batch_size)`` returns None, or a callable that augments a
        batch given a seed and has the targets to use as its attribute ``targets``.
    shuffle : bool, default=True
        Whether to shuffle the rows in every epoch.
    random_state : int, default=None
        Seed of shuffling and augmentation. None uses fresh entropy.
    indices : array-like of int, default=None
        The rows to use. None uses all.
    workers : int, default=1
        Threads that prepare batches.
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        batch_size: int,
        augmentation: Any = None,
        shuffle: bool = True,
        random_state: int | None = None,
        indices: Any = None,
        workers: int = 1,
    ) -> None:
        super().__init__(workers=workers)
        self.X, self.y = X, y
        self.sample_weight = None if sample_weight is None else np.asarray(sample_weight)
        check_consistent_length(self.X, self.y, self.sample_weight)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.rows = np.arange(len(self.X)) if indices is None else np.asarray(indices)
        self.epoch = 0
        self._within_epoch = False
        self._entropy = _entropy(random_state)
        self._order: tuple[int, Array] = (-1, self.rows)
        self._augment = None
        if augmentation is not None:
            self._augment = augmentation._prepared(self.X, self.y, self.rows, batch_size)
        if self._augment is not None:
            self.y = self._augment.targets
            self._fingerprint = _fingerprint(self.X, self.y, self.rows)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Array, ...]:
        batch = self._rows(index, index + 1)
        if self._augment is None:
            return batch
        seed = np.random.SeedSequence(
            [self._entropy, self._fingerprint], spawn_key=(1, self.epoch, index)
        )
        weight = batch[2] if len(batch) > 2 else None
        images, targets, weight = self._augment(*batch[:2], weight, seed)
        return (images, targets) if weight is None else (images, targets, weight)

    def _rows(self, start: int, stop: int) -> tuple[Array, ...]:
        """Read the rows of some batches."""
        rows = self._rows_in_order()[start * self.batch_size : stop * self.batch_size]
        batch = as_batch(self.X[rows]), self.y[rows]
        return batch if self.sample_weight is None else (*batch, self.sample_weight[rows])

    @property
    def _max_steps(self) -> int:
        """Maximum number of batches in a part."""
        itemsize = 1 if self._augment is None and self.X.dtype == np.uint8 else 4
        n_bytes = itemsize * math.prod(self.X.shape[1:]) + 4 * math.prod(self.y.shape[1:])
        return max(1, PART_BYTES // int(n_bytes * self.batch_size))

    def _read(self, start: int, stop: int) -> Part:
        """Read the batches from `start` to before `stop`."""
        if self._augment is None:
            arrays = self._rows(start, stop)
        else:
            batches = [self[index] for index in range(start, stop)]
            arrays = tuple(map(np.concatenate, zip(*batches, strict=True)))
        signature = tuple(tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in arrays)
        return Part(arrays, np.zeros((stop - start, 0), np.int32), cut_rows, signature)

    @property
    def state(self) -> dict[str, int]:
        """The seed and the number of finished epochs, enough to resume."""
        return {"random_state": self._entropy, "epoch": self.epoch}

    @state.setter
    def state(self, state: dict[str, int]) -> None:
        self._entropy, self.epoch = state["random_state"], state["epoch"]
        self._order = (-1, self.rows)

    def on_epoch_begin(self) -> None:
        """Record that Keras has started an epoch."""
        self._within_epoch = True

    def on_epoch_end(self) -> None:
        """Advance to the next epoch if one was started.

        Keras also calls this before the first epoch. The epoch advances here rather than at its
        start because Keras, with several workers, prefetches batches before it calls
        ``on_epoch_begin``, and discards those prefetched before it calls ``on_epoch_end``.
        """
        self.epoch += self._within_epoch
        self._within_epoch = False

    def _rows_in_order(self) -> Array:
        if not self.shuffle:
            return self.rows
        epoch, order = self._order
        if epoch != self.epoch:
            epoch = self.epoch
            seed = np.random.SeedSequence(self._entropy, spawn_key=(0, epoch))
            order = np.random.default_rng(seed).permutation(self.rows)
            self._order = (epoch, order)
        return order


def _entropy(random_state: int | None) -> int:
    entropy = np.random.SeedSequence(random_state).entropy
    assert isinstance(entropy, int)
    return entropy


def _fingerprint(X: Any, y: Array, rows: Array) -> int:
    """Hash the targets and some of the pixels of the training data.

    The hash does not depend on the dtype or the container of the pixels.
    """
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), FINGERPRINT_ROWS)).astype(int)]
    digest = hashlib.blake2b(X[some].astype(np.float32).tobytes(), digest_size=8)
    targets = getattr(y, "codes", y)
    digest.update(targets[rows].tobytes())
    return int.from_bytes(digest.digest(), "little")
