"""Metrics missing from scikit-learn."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from ._compat import check_sample_weight
from ._strings import check_strings


def exact_match_score(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Compute the fraction of strings that are predicted exactly.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Ground truth strings. A list of strings where a sample has several correct ones.
    y_pred : array-like of str of shape (n_samples,)
        Predicted strings.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    float
        The score, between 0 and 1; 1 is best.

    Raises
    ------
    ValueError
        If the lengths differ or a value is not a string.

    See Also
    --------
    character_accuracy_score : The fraction of characters, which is higher.
    character_error_rate : The edits between predicted and true strings.

    Examples
    --------
    >>> from skcnn import exact_match_score
    >>> exact_match_score(["12", "-7", "30"], ["12", "-1", "3"])
    0.3333333333333333
    >>> exact_match_score([["colour", "color"], "grey"], ["color", "gray"])
    0.5
    """
    answers, y_pred, weight = _checked_answers(y_true, y_pred, sample_weight)
    right = [predicted in each for each, predicted in zip(answers, y_pred.tolist(), strict=True)]
    return float(np.average(right, weights=weight))


def character_accuracy_score(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Compute the fraction of characters that are predicted at their position.

    Positions are counted from the left. The positions beyond the end of the shorter of two
    strings count as errors. All characters of all samples have the same weight.

    Parameters
    ----------
    y_true : array-like of str of shape (n_samples,)
        Ground truth strings.
    y_pred : array-like of str of shape (n_samples,)
        Predicted strings.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples. Each character has the weight of its sample.

    Returns
    -------
    float
        The score, between 0 and 1; 1 is best.

    Raises
    ------
    ValueError
        If the lengths differ or a value is not a string.

    See Also
    --------
    exact_match_score : The fraction of exactly predicted strings.

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
    # Both are padded with zeros, so positions beyond the longer string compare equal.
    right = (true == predicted).sum(axis=1) - (width - places)
    weight = np.ones(len(places)) if weight is None else weight
    total = weight @ places
    return float(weight @ right / total) if total else 1.0


def character_error_rate(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Edits that the predicted strings need, as a share of the characters of the right ones.

    An edit inserts, deletes or substitutes a character; the fewest that are needed are counted
    (the Levenshtein distance). It is the word error rate of speech recognition, with characters
    in place of words.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        The right strings. A list of strings where a sample has several right ones, of which the
        one nearest to the prediction counts.
    y_pred : array-like of str of shape (n_samples,)
        The predicted ones.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples, for each of their characters.

    Returns
    -------
    float
        0 is the best. More than 1 where more is wrong than there is.

    Raises
    ------
    ValueError
        If the lengths differ or a value is not a string.

    See Also
    --------
    exact_match_score : The share of whole strings.

    Examples
    --------
    >>> from skcnn import character_error_rate
    >>> character_error_rate(["kitten", "tomato"], ["sitting", "tomato"])
    0.25
    >>> character_error_rate([["colour", "color"]], ["color"])
    0.0
    """
    answers, y_pred, weight = _checked_answers(y_true, y_pred, sample_weight)
    edits, lengths = np.zeros(len(y_pred)), np.zeros(len(y_pred))
    for row, (right, predicted) in enumerate(zip(answers, y_pred.tolist(), strict=True)):
        edits[row], lengths[row] = min(
            (Levenshtein.distance(answer, predicted), len(answer)) for answer in right
        )
    weight = np.ones(len(edits)) if weight is None else weight
    total = weight @ lengths
    return float(weight @ edits / total) if total else float((weight @ edits) > 0)


def confident_error_counts(
    y_true: Any,
    y_proba: Any,
    *,
    margin: float = 1.8,
    labels: Any = None,
    sample_weight: Any = None,
) -> NDArray[Any]:
    """Count the confidently misclassified samples of each class.

    A sample is counted if the L1 distance between its one-hot class and its predicted
    probabilities exceeds `margin`. The distance is between 0 and 2 and equals
    ``2 * (1 - p)``, where ``p`` is the probability of the true class, so ``margin=1.8`` counts
    the samples with ``p < 0.1``.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True classes.
    y_proba : array-like of shape (n_samples, n_classes)
        Predicted probabilities.
    margin : float, default=1.8
        The smallest L1 distance that is counted, between 0 and 2.
    labels : array-like of shape (n_classes,), default=None
        The classes of the columns of `y_proba`. None takes those of `y_true`, sorted.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    ndarray of shape (n_classes,)
        The number, or total weight, of the counted samples of each class.

    Raises
    ------
    ValueError
        If `y_proba` does not have one column per class, or `y_true` has other classes.

    See Also
    --------
    MisclassifiedImagesDisplay : Draw the misclassified images.

    Examples
    --------
    >>> from skcnn import confident_error_counts
    >>> confident_error_counts(["cat", "dog", "dog"], [[0.7, 0.3], [0.2, 0.8], [0.95, 0.05]])
    array([0, 1])
    """
    y_true = column_or_1d(y_true)
    y_proba = check_array(y_proba, input_name="y_proba")
    check_consistent_length(y_true, y_proba, sample_weight)
    if not isinstance(margin, Real) or not 0 <= margin <= 2:
        raise ValueError(f"margin must be a number from 0 to 2, got {margin!r}.")
    labels = np.unique(y_true) if labels is None else column_or_1d(labels)
    if len(labels) != y_proba.shape[1]:
        raise ValueError(
            f"y_proba has {y_proba.shape[1]} columns, but there are {len(labels)} labels: "
            f"{labels!r}. Give all classes as labels."
        )
    unknown = np.setdiff1d(y_true, labels)
    if len(unknown):
        raise ValueError(f"y_true has classes that are not among the labels: {unknown!r}.")
    order = np.argsort(labels)
    codes = order[np.searchsorted(labels, y_true, sorter=order)]
    right = np.take_along_axis(y_proba, codes[:, None], axis=1)[:, 0]
    difference = np.abs(1 - right) - np.abs(right) + np.abs(y_proba).sum(axis=1)
    if sample_weight is not None:
        sample_weight = check_sample_weight(sample_weight, y_true)
        sample_weight = sample_weight[difference > margin]
    return np.bincount(codes[difference > margin], sample_weight, minlength=len(labels))


def _checked(y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    y_true, y_pred = check_strings(y_true, "y_true"), check_strings(y_pred, "y_pred")
    check_consistent_length(y_true, y_pred, sample_weight)
    if sample_weight is not None:
        sample_weight = check_sample_weight(sample_weight, y_true)
    return y_true, y_pred, sample_weight


def _checked_answers(
    y_true: Any, y_pred: Any, sample_weight: Any
) -> tuple[list[list[str]], NDArray[np.str_], Any]:
    """Check strings, and return the right ones of each sample as a list."""
    is_list = hasattr(y_true, "__len__") and getattr(y_true, "ndim", 1) == 1
    several = [
        row
        for row, answers in enumerate(y_true if is_list else [])
        if isinstance(answers, list | tuple | set | frozenset | np.ndarray)
    ]
    if not several:
        y_true, y_pred, sample_weight = _checked(y_true, y_pred, sample_weight)
        return [[answer] for answer in y_true.tolist()], y_pred, sample_weight
    answers = [each if isinstance(each, str) else list(each) for each in y_true]
    for row in several:
        check_strings(answers[row], f"y_true[{row}]")
    first = [
        each if isinstance(each, str) or row not in several else each[0]
        for row, each in enumerate(answers)
    ]
    _, y_pred, sample_weight = _checked(first, y_pred, sample_weight)
    return [[each] if isinstance(each, str) else each for each in answers], y_pred, sample_weight
