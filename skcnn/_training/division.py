"""Weights of the samples, and the split into training and validation rows."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit, train_test_split
from sklearn.utils import check_random_state

from .._compat import check_sample_weight
from .optimizers import TINY
from .validation import ValidationSet

Array = NDArray[Any]


def integer_seed(seed: np.random.SeedSequence) -> int:
    """Turn a seed sequence into the non-negative 31-bit seed that Keras and scikit-learn take."""
    return int(seed.generate_state(1)[0] >> 1)


def draw_seed(random_state: Any) -> int:
    """Draw the seed of a training run."""
    # None means fresh entropy, as NumPy's global generator must not change.
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


@dataclass
class Samples:
    """The validated arguments of ``fit``.

    Attributes
    ----------
    X, y : array-like of shape (n_samples, ...)
        Inputs and encoded targets, as the network sees them.
    given : tuple of (X, y)
        Inputs and targets as passed by the user.
    sample_weight : array-like of shape (n_samples,) or None
        Sample weights as passed by the user.
    weight : ndarray of shape (n_samples,) or None
        The product of sample weights and weights that follow from parameters.
    rows : ndarray of int
        The rows whose weight is positive.
    groups : ndarray of int of shape (n_samples,), default=None
        The index of the group of each sample.
    validation : ValidationSet, default=None
        Validation samples that replace the hold-out.
    """

    X: Any
    y: Any
    given: tuple[Any, Any]
    sample_weight: Any
    weight: Array | None
    rows: Array
    groups: Array | None = None
    validation: ValidationSet | None = None

    def identity(self, *, stops_early: bool) -> dict[str, Any]:
        """Return the data that the learned weights depend on, by argument name."""
        weight = None if self.sample_weight is None else np.asarray(self.sample_weight)
        values = {"X": self.X, "y": self.y, "sample_weight": weight}
        if self.groups is not None:
            values["groups"] = self.groups
        if self.validation is not None and stops_early:
            values |= {"X_val": self.validation.X, "y_val": self.validation.y}
            values["sample_weight_val"] = self.validation.weight
        return values


@dataclass
class Division:
    """Training rows and validation samples.

    Attributes
    ----------
    rows : ndarray of int
        The training rows.
    weight : ndarray of shape (n_samples,) or None
        Weights with mean 1 over the training rows.
    validation : ValidationSet or None
        The validation samples.
    """

    rows: Array
    weight: Array | None
    validation: ValidationSet | None


def weigh(
    X: Any, y: Any, sample_weight: Any, parts: dict[str, Array], head: Any
) -> tuple[Array | None, Array]:
    """Return the sample weights and the rows with a positive weight.

    Parameters
    ----------
    X, y : array-like of shape (n_samples, ...)
        Inputs and encoded targets.
    sample_weight : array-like of shape (n_samples,) or None
        Weights of the samples.
    parts : dict of str to ndarray
        Further sample weights, by the name of the parameter they follow from.
    head : Head
        The head of the targets.
    """
    if sample_weight is not None:
        parts = {**parts, "sample_weight": check_sample_weight(sample_weight, X)}
    weight = _product(parts)
    if weight is None:
        return None, np.arange(len(X))
    rows = np.flatnonzero(weight)
    head.check_rows(y, rows, "sample_weight and class_weight leave")
    return weight, rows


def divide(
    samples: Samples, head: Any, validation_fraction: float | None, seed: np.random.SeedSequence
) -> Division:
    """Choose the training rows, their weights, and the validation samples.

    Parameters
    ----------
    samples : Samples
        The samples.
    head : Head
        The head of the targets.
    validation_fraction : float or None
        The fraction to hold out if `samples` has no validation samples.
    seed : numpy.random.SeedSequence
        Seed of the split.
    """
    rows, weight, validation = samples.rows, samples.weight, samples.validation
    if validation_fraction is not None and validation is None:
        rows, held_out = _split(samples, head, validation_fraction, integer_seed(seed))
        validation = ValidationSet(samples.X, samples.y, samples.given, rows=held_out)
    if weight is not None:
        weight = (weight / weight[rows].mean()).astype(np.float32)
    return Division(rows, weight, validation)


def _split(samples: Samples, head: Any, fraction: float, seed: int) -> tuple[Array, Array]:
    """Split the rows into training rows and held-out rows."""
    rows = samples.rows
    groups = None if samples.groups is None else samples.groups[rows]
    what = f"{len(rows)} samples"
    if groups is not None:
        n_groups = len(np.unique(groups))
        what = f"{n_groups} groups"
        if n_groups < 2:
            raise ValueError(
                "groups has only one group among the samples to train on, but "
                "early_stopping=True holds out whole groups; give at least two, or X_val."
            )
    try:
        if groups is None:
            train, held_out = train_test_split(
                rows, test_size=fraction, stratify=head.strata(samples.y, rows), random_state=seed
            )
        else:
            splitter = GroupShuffleSplit(1, test_size=fraction, random_state=seed)
            train, held_out = (rows[part] for part in next(splitter.split(rows, groups=groups)))
    except ValueError as error:
        raise ValueError(
            f"early_stopping=True cannot hold out validation_fraction={fraction} of {what}: "
            f"{error}"
        ) from error
    if groups is not None:
        head.check_rows(samples.y, train, "the groups that are not held out have")
    return train, held_out


def _product(parts: dict[str, Array]) -> Array | None:
    """Multiply sample weights; raise if their proportions are out of the range of float32."""
    if not parts:
        return None
    with np.errstate(over="ignore", under="ignore"):
        weight: Array = functools.reduce(np.multiply, parts.values())
        total = weight.sum()
    kept = np.logical_and.reduce([part > 0 for part in parts.values()])
    least = weight[kept].min(initial=total)
    if not total < np.inf or (kept.any() and not least > total * TINY):
        names = " and ".join(f"{name}={_span(part)}" for name, part in parts.items())
        raise ValueError(
            f"The weights of the samples overflow or vanish in float32: {names}. Scale them to "
            "about 1."
        )
    return weight


def _span(weight: Array) -> str:
    return f"{weight[weight > 0].min(initial=weight.max()):.3g}...{weight.max():.3g}"
