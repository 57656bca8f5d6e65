"""The samples of a training run: their weights, and which rows are held out."""

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
    # None is fresh entropy, not NumPy's global generator, which must stay as it was.
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


@dataclass
class Samples:
    """What a fit is given, checked.

    Attributes
    ----------
    X, y : array-like of shape (n_samples, ...)
        Inputs and encoded targets, as the network sees them.
    given : tuple of (X, y)
        Inputs and targets as they were given.
    sample_weight : array-like of shape (n_samples,) or None
        Weights of the samples as they were given.
    weight : ndarray of shape (n_samples,) or None
        Their product with weights that parameters ask for.
    rows : ndarray of int
        The rows whose weight is positive.
    groups : ndarray of int of shape (n_samples,), default=None
        The number of the group of each sample.
    validation : ValidationSet, default=None
        What to validate on in place of samples that are held out.
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
        """Return what the weights depend on, by the names of the arguments."""
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
    """The samples by their use.

    Attributes
    ----------
    rows : ndarray of int
        The rows to train on.
    weight : ndarray of shape (n_samples,) or None
        Weights whose mean is 1 over the rows to train on.
    validation : ValidationSet or None
        What to validate on.
    """

    rows: Array
    weight: Array | None
    validation: ValidationSet | None


def weigh(
    X: Any, y: Any, sample_weight: Any, parts: dict[str, Array], head: Any
) -> tuple[Array | None, Array]:
    """Return the weights of samples, and the rows whose weight is positive.

    Parameters
    ----------
    X, y : array-like of shape (n_samples, ...)
        Inputs and encoded targets.
    sample_weight : array-like of shape (n_samples,) or None
        Weights of the samples.
    parts : dict of str to ndarray
        Further weights of the samples, by the name of the parameter that asks for them.
    head : Head
        What the targets mean.
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
    """Choose the rows to train on, their weights, and what to validate on.

    Parameters
    ----------
    samples : Samples
        The samples.
    head : Head
        What their targets mean.
    validation_fraction : float or None
        The share to hold out where there are no samples to validate on.
    seed : numpy.random.SeedSequence
        Seed of the choice.
    """
    rows, weight, validation = samples.rows, samples.weight, samples.validation
    if validation_fraction is not None and validation is None:
        rows, held_out = _split(samples, head, validation_fraction, integer_seed(seed))
        validation = ValidationSet(samples.X, samples.y, samples.given, rows=held_out)
    if weight is not None:
        weight = (weight / weight[rows].mean()).astype(np.float32)
    return Division(rows, weight, validation)


def _split(samples: Samples, head: Any, fraction: float, seed: int) -> tuple[Array, Array]:
    """Split the rows into those to train on and those that are held out."""
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
    """Multiply weights of samples; refuse those whose proportions float32 cannot express."""
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
