"""Validation samples, and checks of the arguments of ``fit`` that give them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import indexable

from .._compat import check_sample_weight, safe_indexing
from .._missing import check_no_missing
from .batches import BatchGenerator, weight_of_outputs

Array = NDArray[Any]


@dataclass(frozen=True)
class ValidationSet:
    """Validation samples.

    Attributes
    ----------
    X, y : array-like of shape (n_samples, ...)
        Inputs and encoded targets, as the network sees them.
    given : tuple of (X, y)
        Inputs and targets as passed by the user, for scorers.
    weight : ndarray of shape (n_samples,), default=None
        Weights of the samples.
    rows : ndarray of int, default=None
        The validation rows; None for all.
    """

    X: Any
    y: Any
    given: tuple[Any, Any]
    weight: Array | None = None
    rows: Array | None = None

    def batches(self, make: Callable[..., BatchGenerator]) -> BatchGenerator:
        """Create the validation batches."""
        weight = None
        if self.weight is not None:
            weight = weight_of_outputs(
                (self.weight / self.weight.mean()).astype(np.float32), self.y
            )
        return make(self.X, self.y, weight, indices=self.rows, shuffle=False)

    def as_given(self) -> tuple[Any, Any]:
        """Return inputs and targets as passed by the user."""
        if self.rows is None:
            return self.given
        X, y = (safe_indexing(part, self.rows) for part in indexable(*self.given))
        return X, y


def check_validation_arguments(
    X_val: Any,
    y_val: Any,
    sample_weight_val: Any,
    groups: Any,
    *,
    early_stopping: bool,
    scoring: Any,
) -> None:
    """Refuse arguments of ``fit`` that cannot have an effect.

    Raises
    ------
    ValueError
        If an argument, or the parameter `scoring`, needs another one that is not given.
    """
    if X_val is None:
        for name, value in (("y_val", y_val), ("sample_weight_val", sample_weight_val)):
            if value is not None:
                raise ValueError(f"{name} is given, but X_val is None; give both or none.")
        if scoring is not None and not early_stopping:
            raise ValueError(
                f"scoring={scoring!r} has no effect without samples to score; give X_val and "
                "y_val to fit, or set early_stopping=True."
            )
    elif y_val is None:
        raise ValueError("X_val is given, but y_val is None; give both or none.")
    if groups is None:
        return
    if X_val is not None:
        raise ValueError(
            "groups has no effect beside X_val, as then no training samples are held out; give "
            "one of them."
        )
    if not early_stopping:
        raise ValueError(
            "groups has no effect with early_stopping=False, as then no training samples are "
            "held out; set early_stopping=True or leave groups out."
        )


def check_validation_set(
    check: Callable[..., tuple[Any, Any]], X_val: Any, y_val: Any, sample_weight_val: Any
) -> ValidationSet | None:
    """Check `X_val`, `y_val` and `sample_weight_val`; return None if they are None."""
    if X_val is None:
        return None
    with _validation_names("X_val and y_val"):
        X, y = check(X_val, y_val, reset=False)
    weight = None
    if sample_weight_val is not None:
        with _validation_names("sample_weight_val"):
            weight = check_sample_weight(sample_weight_val, X)
    return ValidationSet(X, y, (X_val, y_val), weight)


@contextmanager
def _validation_names(otherwise: str) -> Iterator[None]:
    """Replace X, y and sample_weight by the names of the validation arguments in errors."""
    try:
        yield
    except (TypeError, ValueError) as error:
        text, named = re.subn(r"^(X|y|sample_weight)\b", r"\1_val", str(error))
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(text if named else f"{otherwise}: {text}") from error


def check_groups(groups: Any, n_samples: int) -> Array | None:
    """Validate groups and encode them as integers; return None if they are None."""
    if groups is None:
        return None
    values = np.asarray(groups, dtype=object)
    if values.shape != (n_samples,):
        raise ValueError(
            f"groups must have one value for each of the {n_samples} samples, got an array of "
            f"shape {values.shape}."
        )
    check_no_missing(values, "groups", "group")
    try:
        return np.unique(values, return_inverse=True)[1]
    except TypeError as error:
        kinds = " and ".join(sorted({type(value).__name__ for value in values}))
        raise TypeError(f"groups must have values of one type, got {kinds}.") from error
