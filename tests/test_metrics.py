import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits
from sklearn.metrics import make_scorer
from sklearn.naive_bayes import GaussianNB

from skcnn import (
    character_accuracy_score,
    character_error_rate,
    confident_error_counts,
    exact_match_score,
)

TRUE, GUESSED = ["12", "-7", "305", ""], ["12", "-1", "35", ""]


def test_exact_match_counts_whole_strings():
    assert exact_match_score(TRUE, GUESSED) == 0.5
    assert exact_match_score(TRUE, GUESSED, sample_weight=[0, 1, 2, 1]) == 0.25
    assert exact_match_score(pd.Series(TRUE), np.array(GUESSED, object)) == 0.5


def test_character_accuracy_counts_places():
    # correct: 2 of 2, 1 of 2, 1 of 3, and 0 of 0
    assert character_accuracy_score(TRUE, GUESSED) == 4 / 7
    assert character_accuracy_score(TRUE, GUESSED, sample_weight=[0, 1, 2, 5]) == 3 / 8
    assert character_accuracy_score(["", ""], ["", ""]) == 1
    assert character_accuracy_score(["ab"], [""]) == 0
    assert character_accuracy_score([""], ["ab"]) == 0


@given(st.lists(st.tuples(st.text("añ€😀", max_size=5), st.text("añ€😀", max_size=5)), min_size=1))
def test_character_accuracy_against_a_loop(pairs):
    right = total = 0
    for true, guessed in pairs:
        right += sum(a == b for a, b in zip(true, guessed, strict=False))
        total += max(len(true), len(guessed))
    expected = right / total if total else 1.0
    assert character_accuracy_score(*zip(*pairs, strict=True)) == pytest.approx(expected)
    assert exact_match_score(*zip(*pairs, strict=True)) == np.mean([a == b for a, b in pairs])


@pytest.mark.parametrize("score", [exact_match_score, character_accuracy_score])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((TRUE, GUESSED[1:]), "inconsistent numbers of samples"),
        ((TRUE, [1, 2, 3, 4]), "y_pred must be str in every row; row 0 is a int: 1"),
        ((["a", None], ["a", "b"]), "y_true must be str in every row; row 1 is a NoneType"),
        (("abc", ["a"]), "y_true must be a 1-D array of str, got one str"),
        (([], []), "0 sample"),
        ((np.array([["a"]]), ["a"]), "Expected 1D array, got 2D array"),
        ((["a\0"], ["a"]), "NUL"),
    ],
)
def test_invalid_strings_raise(score, arguments, message):
    with pytest.raises(ValueError, match=message):
        score(*arguments)


def test_all_zero_weights_raise():
    for score in (exact_match_score, character_accuracy_score):
        with pytest.raises(ValueError, match="at least one non-zero"):
            score(TRUE, GUESSED, sample_weight=np.zeros(4))
    with pytest.raises(ValueError, match="at least one non-zero"):
        confident_error_counts(CLASSES, PROBABILITY, sample_weight=np.zeros(5))


def test_metrics_as_scorers():
    class Upper(BaseEstimator):
        def predict(self, X):
            return np.char.upper(X)

    scorer = make_scorer(character_accuracy_score)
    assert scorer(Upper(), np.array(["ab", "c"]), np.array(["AB", "D"])) == 2 / 3


# Confident errors

CLASSES = np.array(["a", "b", "c", "b", "b"])
PROBABILITY = np.array(
    [[0.09, 0.9, 0.01], [0.96, 0.04, 0], [0.2, 0.2, 0.6], [0, 0.05, 0.95], [0.9, 0.1, 0]]
)


def test_confident_errors_are_counted_by_true_class():
    # the last sample is exactly on the margin of 2 * (1 - 0.1)
    assert confident_error_counts(CLASSES, PROBABILITY).tolist() == [1, 2, 0]
    assert confident_error_counts(CLASSES, PROBABILITY, margin=1.91).tolist() == [0, 1, 0]
    assert confident_error_counts(CLASSES, PROBABILITY, margin=0.5).tolist() == [1, 3, 1]
    weighted = confident_error_counts(CLASSES, PROBABILITY, sample_weight=[0.5, 1, 1, 3, 1])
    assert weighted.tolist() == [0.5, 4, 0]


def test_labels_order_the_columns_of_confident_errors():
    swapped = confident_error_counts(CLASSES, PROBABILITY[:, [2, 0, 1]], labels=["c", "a", "b"])
    assert swapped.tolist() == [0, 1, 2]
    two = confident_error_counts(CLASSES[:2], PROBABILITY[:2], labels=["a", "b", "c"])
    assert two.tolist() == [1, 1, 0]


def test_confident_errors_as_a_scorer():
    scorer = make_scorer(confident_error_counts, response_method="predict_proba", margin=1.0)
    X, y = load_digits(n_class=3, return_X_y=True)
    counts = scorer(GaussianNB().fit(X, y), X, y)
    wrong = np.bincount(y[GaussianNB().fit(X, y).predict(X) != y], minlength=3)
    assert counts.tolist() == wrong.tolist()
    assert counts.sum() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y_true": ["a", "b"]}, "inconsistent numbers of samples"),
        ({"y_true": ["a", "b", "a", "b", "b"]}, "y_proba has 3 columns, but there are 2 labels"),
        ({"labels": ["a", "b", "x"]}, "y_true has classes that are not among the labels"),
        ({"margin": 3}, "margin must be a number from 0 to 2, got 3"),
        ({"y_proba": PROBABILITY[:, 0]}, "Expected 2D array"),
    ],
)
def test_bad_probabilities_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        confident_error_counts(**{"y_true": CLASSES, "y_proba": PROBABILITY, **arguments})


def test_character_error_rate_is_the_edit_distance_over_the_length():
    assert character_error_rate(["abc", "de"], ["abc", "de"]) == 0
    assert character_error_rate(["abc", "de"], ["axc", "d"]) == 2 / 5
    assert character_error_rate(["ab"], ["abxyzw"]) == 2
    assert character_error_rate(["", "ab"], ["", "ab"]) == 0
    assert character_error_rate([""], ["a"]) == 1
    assert character_error_rate(["abc", "d"], ["abx", "d"], sample_weight=[1, 3]) == 1 / 6


def test_error_rate_uses_the_nearest_reference():
    answers = [["colour", "color"], ["grey"], "gray"]
    guesses = ["color", "gray", "gray"]
    assert exact_match_score(answers, guesses) == pytest.approx(2 / 3)
    assert character_error_rate(answers, guesses) == 1 / 13
    assert exact_match_score(np.array(answers, dtype=object), guesses) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match=r"y_true\[1\] must be str in every row; row 0 is a int"):
        exact_match_score([["a"], [1]], ["a", "b"])
    with pytest.raises(ValueError, match=r"y_true\[0\]"):
        character_error_rate([[], ["a"]], ["a", "b"])
