"""Heads: the last layer, loss and metrics of a kind of target.

A head is the only place that knows the kind of target. It defines the activation of the last
layer, the loss, the metrics and the value that early stopping monitors; it encodes targets and
decodes outputs. Targets are encoded lazily, one batch at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ._keras import keras

Array = NDArray[Any]

# Losses of regression by name.
LOSSES = {
    "squared_error": keras.losses.MeanSquaredError,
    "absolute_error": keras.losses.MeanAbsoluteError,
    "huber": keras.losses.Huber,
}


@keras.saving.register_keras_serializable(package="skcnn")
def exact_match(y_true: Any, y_pred: Any) -> Any:
    """Compute for each sample whether all characters up to its end are correct."""
    predicted = keras.ops.argmax(y_pred, axis=-1)
    if len(y_true.shape) < len(y_pred.shape):  # codes
        true = keras.ops.cast(y_true, predicted.dtype)
    else:
        # A position without a target has an unknown character, which cannot be predicted.
        known = keras.ops.any(y_true > 0, axis=-1)
        true = keras.ops.where(known, keras.ops.argmax(y_true, axis=-1), -1)
    # As in decoding, everything after the first padding is padding.
    predicted = predicted * keras.ops.cumprod(
        keras.ops.cast(predicted > 0, predicted.dtype), axis=-1
    )
    return keras.ops.cast(keras.ops.all(true == predicted, axis=-1), "float32")


def _within(codes: Any) -> Any:
    """Return 1 for the places of strings and their ends, 0 for those behind, as float32."""
    before = keras.ops.cast(codes[:, :-1] != 0, "float32")
    return keras.ops.pad(before, [[0, 0], [1, 0]], constant_values=1.0)


@keras.saving.register_keras_serializable(package="skcnn")
def accuracy(y_true: Any, y_pred: Any) -> Any:
    """Compute for each sample the share of its characters, the end included, that are right.

    Each is predicted from the right characters before it.
    """
    predicted = keras.ops.argmax(y_pred, axis=-1)
    right = keras.ops.cast(keras.ops.cast(y_true, predicted.dtype) == predicted, "float32")
    within = _within(y_true)
    return keras.ops.sum(right * within, axis=-1) / keras.ops.sum(within, axis=-1)


@keras.saving.register_keras_serializable(package="skcnn")
class SequenceCrossentropy(keras.losses.Loss):
    """Cross-entropy of the characters of strings, the end included, from codes and logits.

    The mean over the characters of a batch. Characters that are not known, whose code is the
    number of those that are, do not count.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of the target that is spread over all characters.
    """

    from_codes = True

    def __init__(self, label_smoothing: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.label_smoothing = label_smoothing

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        codes, last = keras.ops.cast(y_true, "int32"), y_pred.shape[-1] - 1
        within = _within(codes) * keras.ops.cast(codes <= last, "float32")
        losses = keras.ops.sparse_categorical_crossentropy(
            keras.ops.minimum(codes, last), y_pred, from_logits=True
        )
        if self.label_smoothing:
            spread = keras.ops.logsumexp(y_pred, axis=-1) - keras.ops.mean(y_pred, axis=-1)
            losses = (1 - self.label_smoothing) * losses + self.label_smoothing * spread
        # One value a sample, which its weight multiplies.
        n_characters = keras.ops.maximum(keras.ops.mean(keras.ops.sum(within, axis=-1)), 1.0)
        return keras.ops.sum(losses * within, axis=-1) / n_characters


@keras.saving.register_keras_serializable(package="skcnn")
def subset_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Compute for each sample whether all labels are correct."""
    return keras.ops.cast(keras.ops.all((y_true > 0.5) == (y_pred > 0.5), axis=-1), "float32")


def _entropy(frequencies: Array, label_smoothing: float) -> float:
    """Compute the cross-entropy of predicting the frequencies of smoothed labels."""
    smoothed = (1 - label_smoothing) * frequencies + label_smoothing / len(frequencies)
    return float(-np.sum(smoothed * np.log(np.where(smoothed > 0, smoothed, 1))))


class OneHot:
    """An array of codes that is indexed like the array of its one-hot rows.

    One-hot rows are created when they are read, as they are many times larger than the codes. The
    code `n_codes`, for unknown characters, gives zeros.

    Parameters
    ----------
    codes : ndarray of int of shape (n_samples, ...)
        The codes.
    n_codes : int
        The length of a one-hot row.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, codes: Array, n_codes: int) -> None:
        self.codes = codes
        self.shape = (*codes.shape, n_codes)
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return len(self.codes)

    def fingerprint(self) -> tuple[Array, tuple[int, ...]]:
        """Return a fingerprint of the contents."""
        return self.codes, self.shape

    def __getitem__(self, rows: Any) -> Array:
        codes, n_codes = self.codes[rows].astype(np.intp)[..., None], self.shape[-1]
        one_hot = np.zeros((*codes.shape[:-1], n_codes), dtype=np.float32)
        np.put_along_axis(one_hot, np.minimum(codes, n_codes - 1), codes < n_codes, axis=-1)
        return one_hot


class Head(ABC):
    """The last layer, loss and metrics of a kind of target.

    Attributes
    ----------
    activation : str
        The activation of the last layer.
    n_outputs : int
        The units of the last layer.
    monitor : str
        The metric that early stopping monitors on validation data.
    mode : {"max", "min"}
        Whether greater or smaller values are better.
    output : str
        The name of the output of an exported network.
    """

    activation: ClassVar[str]
    output: ClassVar[str] = "probabilities"
    monitor: ClassVar[str] = "accuracy"
    mode: ClassVar[str] = "max"
    n_outputs: int

    @abstractmethod
    def loss(self) -> keras.losses.Loss:
        """Create the loss."""

    def metrics(self) -> list[Any]:
        """List the metrics that Keras records."""
        return []

    @abstractmethod
    def encode(self, y: Any) -> Any:
        """Encode validated targets as the desired outputs of the network."""

    @abstractmethod
    def decode(self, outputs: Array) -> Array:
        """Decode outputs to predictions."""

    def bias(self, targets: Any, rows: Array, weight: Array | None) -> Array | None:
        """Compute the initial bias of the last layer; None for zeros."""
        return None

    def baseline(self, targets: Any, rows: Array, weight: Array | None) -> float | None:
        """Compute the loss of the best constant prediction; None if it is not known."""
        return None

    def check_rows(self, targets: Any, rows: Array, cause: str) -> None:
        """Check that some rows can be learned from; `cause` is what has chosen them."""

    def strata(self, targets: Any, rows: Array) -> Array | None:
        """Return the classes by which a split is stratified, None for no stratification."""
        return None


class ClassesHead(Head):
    """One label per sample, out of several.

    Parameters
    ----------
    labels : ndarray of shape (n_classes,)
        The labels, sorted.
    label_smoothing : float, default=0.0
        Fraction of the target that is spread evenly over all classes.
    """

    activation = "softmax"

    def __init__(self, labels: Array, label_smoothing: float = 0.0) -> None:
        self.labels = labels
        self.label_smoothing = label_smoothing
        self.n_outputs = len(labels)

    def loss(self) -> keras.losses.Loss:
        return keras.losses.CategoricalCrossentropy(label_smoothing=self.label_smoothing)

    def metrics(self) -> list[Any]:
        return ["accuracy"]

    def encode(self, y: Any) -> OneHot:
        unknown = np.setdiff1d(y, self.labels)
        if len(unknown):
            raise ValueError(
                f"y has labels that are not among the classes {self.labels!r}: {unknown!r}."
            )
        return OneHot(np.searchsorted(self.labels, y), len(self.labels))

    def decode(self, outputs: Array) -> Array:
        return self.labels[outputs.argmax(axis=1)]  # type: ignore[no-any-return]

    def _count(self, targets: OneHot, rows: Array, weight: Array | None) -> Array:
        """Return the sum of the weights of each class."""
        given = None if weight is None else weight[rows]
        return np.bincount(targets.codes[rows], given, self.n_outputs)

    def bias(self, targets: OneHot, rows: Array, weight: Array | None) -> Array:
        # Start from the class frequencies; the first epochs of an imbalanced problem would
        # otherwise be spent on learning them (Lin et al., "Focal Loss", 2017, section 4.1).
        count = self._count(targets, rows, weight)
        frequency = 1 + count / count.sum() * len(rows)
        return np.log(frequency / frequency.mean())  # type: ignore[no-any-return]

    def baseline(self, targets: OneHot, rows: Array, weight: Array | None) -> float:
        count = self._count(targets, rows, weight)
        return _entropy(count / count.sum(), self.label_smoothing)

    def check_rows(self, targets: OneHot, rows: Array, cause: str) -> None:
        if len(np.unique(targets.codes[rows])) < 2:
            raise ValueError(
                f"{cause} fewer than two classes to train on; a classifier needs at least two."
            )

    def strata(self, targets: OneHot, rows: Array) -> Array:
        return self.labels[targets.codes[rows]]


class LabelsHead(Head):
    """Any number of labels per sample, as an indicator matrix.

    Parameters
    ----------
    n_labels : int
        The number of columns of the matrix.
    label_smoothing : float, default=0.0
        Fraction by which targets are moved towards 1/2.
    """

    activation = "sigmoid"
    monitor = "subset_accuracy"

    def __init__(self, n_labels: int, label_smoothing: float = 0.0) -> None:
        self.n_outputs = n_labels
        self.label_smoothing = label_smoothing

    def loss(self) -> keras.losses.Loss:
        return keras.losses.BinaryCrossentropy(label_smoothing=self.label_smoothing)

    def metrics(self) -> list[Any]:
        return [subset_accuracy]

    def encode(self, y: Any) -> Array:
        if y.ndim != 2 or y.shape[1] != self.n_outputs:
            raise ValueError(
                f"y must be an indicator matrix of {self.n_outputs} columns, as in the first "
                f"fit; got an array of shape {y.shape}."
            )
        return np.asarray(y, dtype=np.float32)

    def decode(self, outputs: Array) -> Array:
        return (outputs > 0.5).astype(int)

    def bias(self, targets: Array, rows: Array, weight: Array | None) -> Array:
        count = np.ones(len(rows)) if weight is None else weight[rows]
        # The frequencies with one added sample that has each label and one that has none.
        share = (count @ targets[rows] + 1) / (count.sum() + 2)
        return np.log(share / (1 - share))  # type: ignore[no-any-return]

    def baseline(self, targets: Array, rows: Array, weight: Array | None) -> float:
        share = np.average(targets[rows], axis=0, weights=None if weight is None else weight[rows])
        pairs = np.stack([share, 1 - share], axis=1)
        return float(np.mean([_entropy(pair, self.label_smoothing) for pair in pairs]))


class NumbersHead(Head):
    """One or more numbers per sample, standardized for the network.

    Parameters
    ----------
    mean, scale : float or ndarray of shape (n_outputs,)
        Mean and scale of the targets. Floats if targets and predictions are 1-D.
    loss : {"squared_error", "absolute_error", "huber"}
        The loss.
    """

    activation = "linear"
    monitor = "loss"
    mode = "min"
    output = "standardized_numbers"

    def __init__(self, mean: Any, scale: Any, loss: str) -> None:
        self.flat = np.ndim(mean) == 0
        self.mean = np.atleast_1d(mean)
        self.scale = np.atleast_1d(scale)
        self.loss_name = loss
        self.n_outputs = len(self.mean)

    def loss(self) -> keras.losses.Loss:
        return LOSSES[self.loss_name]()

    def encode(self, y: Any) -> Array:
        columns = y.reshape(len(y), -1)
        if columns.shape[1] != self.n_outputs or (y.ndim == 1) != self.flat:
            raise ValueError(
                f"y must have {self.n_outputs} numbers a sample, as in the first fit; got an "
                f"array of shape {y.shape}."
            )
        return ((columns - self.mean) / self.scale).astype(np.float32)  # type: ignore[no-any-return]

    def baseline(self, targets: Array, rows: Array, weight: Array | None) -> float:
        center = np.median if self.loss_name == "absolute_error" else np.mean
        given = targets[rows]
        constant = np.broadcast_to(center(given, axis=0), given.shape)
        return float(self.loss()(given, constant, None if weight is None else weight[rows]))

    def decode(self, outputs: Array) -> Array:
        numbers = outputs * self.scale + self.mean
        return numbers[:, 0] if self.flat else numbers  # type: ignore[no-any-return]


class StringsHead(Head):
    """One string per sample, as one character per position.

    Parameters
    ----------
    table : CharacterTable
        The characters and the maximum length of the strings.
    label_smoothing : float, default=0.0
        Fraction of the target that is spread evenly over all characters.
    """

    activation = "softmax"
    monitor = "exact_match"

    def __init__(self, table: Any, label_smoothing: float = 0.0) -> None:
        self.table = table
        self.label_smoothing = label_smoothing
        self.n_outputs = len(table.characters_)

    def loss(self) -> keras.losses.Loss:
        return keras.losses.CategoricalCrossentropy(label_smoothing=self.label_smoothing)

    def metrics(self) -> list[Any]:
        return ["accuracy", exact_match]

    def encode(self, y: Any) -> Any:
        return OneHot(self.table._codes(y, "y"), self.n_outputs)

    def decode(self, outputs: Array) -> Array:
        return self.table._strings(outputs.argmax(axis=2))  # type: ignore[no-any-return]


class StepwiseStringsHead(StringsHead):
    """A string a sample, written one character after the other.

    Parameters
    ----------
    table : CharacterTable
        The characters and the length of the strings.
    label_smoothing : float, default=0.0
        Share of the target that is spread over all characters.
    """

    activation = "linear"

    def loss(self) -> keras.losses.Loss:
        return SequenceCrossentropy(self.label_smoothing)

    def metrics(self) -> list[Any]:
        return [accuracy, exact_match]

    def encode(self, y: Any) -> Any:
        return self.table._codes(y, "y", more=1)
