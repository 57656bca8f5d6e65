"""Metrics that scikit-learn has not."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import _check_sample_weight

from ._strings import check_strings


def exact_match_score(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Share of the strings that are predicted whole.

    Parameters
    ----------
    y_true : array-like of str of shape (n_samples,)
        The right strings.
    y_pred : array-like of str of shape (n_samples,)
        The predicted ones.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    float
        From 0 to 1, the best.

    Raises
    ------
    ValueError
        If the lengths differ or a value is not a string.

    See Also
    --------
    character_accuracy_score : The share of characters, which is far higher.

    Examples
    --------
    >>> from skcnn import exact_match_score
    >>> exact_match_score(["12", "-7", "30"], ["12", "-1", "3"])
    0.3333333333333333
    """
    y_true, y_pred, weight = _checked(y_true, y_pred, sample_weight)
    return float(np.average(y_true == y_pred, weights=weight))


def character_accuracy_score(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Share of the characters that are predicted in their places.

    Places are counted from the left, up to the end of the longer of two strings, where the
    shorter is wrong. The characters of all samples count alike.

    Parameters
    ----------
    y_true : array-like of str of shape (n_samples,)
        The right strings.
    y_pred : array-like of str of shape (n_samples,)
        The predicted ones.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples, for each of their characters.

    Returns
    -------
    float
        From 0 to 1, the best.

    Raises
    ------
    ValueError
        If the lengths differ or a value is not a string.

    See Also
    --------
    exact_match_score : The share of whole strings.

    Examples
    --------
    >>> from skcnn import character_accuracy_score
    >>> character_accuracy_score(["12", "-7", "30"], ["12", "-1", "3"])
    0.6666666666666666
    """
    y_true, y_pred, weight = _checked(y_true, y_pred, sample_weight)
    places = np.maximum(np.strings.str_len(y_true), np.strings.str_len(y_pred))
    width = max(1, places.max())
    true, predicted = (
        strings.astype(f"<U{width}").view(np.uint32).reshape(-1, width)
        for strings in (y_true, y_pred)
    )
    # Both are filled up with zeros, so places beyond the longer string are equal.
    right = (true == predicted).sum(axis=1) - (width - places)
    weight = np.ones(len(places)) if weight is None else weight
    total = weight @ places
    return float(weight @ right / total) if total else 1.0


def _checked(y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    y_true, y_pred = check_strings(y_true, "y_true"), check_strings(y_pred, "y_pred")
    check_consistent_length(y_true, y_pred, sample_weight)
    if sample_weight is not None:
        sample_weight = _check_sample_weight(sample_weight, y_true, ensure_non_negative=True)
    return y_true, y_pred, sample_weight
