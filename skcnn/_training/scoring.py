"""Scoring during training: the value that early stopping monitors."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

from sklearn.metrics import get_scorer

from .._compat import takes_sample_weight
from .._keras import keras
from .network import CompiledNetwork, is_finite
from .validation import ValidationSet

Scorer = Callable[..., float]


def score_name(scoring: Any) -> str:
    """Return the name of a scorer in ``history_``, without ``val_``."""
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
    # A lambda has no name, and "loss" is recorded by Keras.
    own = name.isidentifier() and (isinstance(scoring, str) or name != "loss")
    return name if own else "score"


def monitored(scoring: Any, head: Any) -> tuple[str, str]:
    """Return the name of the monitored value in ``history_``, and "max" or "min"."""
    if scoring is None:
        return f"val_{head.monitor}", head.mode
    if isinstance(scoring, str) and scoring == "loss":
        return "val_loss", "min"
    return f"val_{score_name(scoring)}", "max"


def is_scored(scoring: Any, validation: ValidationSet | None, head: Any) -> bool:
    """Tell whether a scorer has to be called, or a value that Keras records suffices.

    Keras applies sample weights to the loss, but not to metrics.
    """
    if scoring is None:
        weighted = validation is not None and validation.weight is not None
        return weighted and head.monitor != "loss"
    return not (isinstance(scoring, str) and scoring == "loss")


def own_score(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
    """Call the ``score`` method of an estimator."""
    return float(estimator.score(X, y, sample_weight=sample_weight))


class ValidationScore(keras.callbacks.Callback):
    """Add the score of the validation samples to the logs of an epoch.

    Parameters
    ----------
    estimator : KerasEstimator
        The estimator being fitted.
    network : CompiledNetwork
        The training network.
    validation : ValidationSet
        The validation samples.

    Raises
    ------
    ValueError
        If the scorer fails, does not return a number, or returns NaN where early stopping
        compares it.
    """

    def __init__(
        self, estimator: Any, network: CompiledNetwork, validation: ValidationSet
    ) -> None:
        super().__init__()
        self.estimator = estimator
        self.network = network
        self.scoring = estimator.scoring
        self.name = monitored(self.scoring, estimator._head)[0]
        self.scorer: Scorer = own_score if self.scoring is None else get_scorer(self.scoring)
        self.samples = validation.as_given()
        self.options = {}
        if validation.weight is not None and takes_sample_weight(self.scorer):
            self.options["sample_weight"] = validation.weight

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        logs[self.name] = self._score()

    def _score(self) -> float:
        state = self.network.state()
        if not is_finite(state):  # training ends
            return math.nan
        try:
            score = self.scorer(self.estimator._at(state), *self.samples, **self.options)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"scoring={self.scoring!r} cannot score the validation samples: {error}"
            ) from error
        if not isinstance(score, Real):
            raise ValueError(
                f"scoring={self.scoring!r} must return a number, got {score!r}, a "
                f"{type(score).__name__}."
            )
        if math.isnan(score) and self.estimator.early_stopping:
            raise ValueError(
                f"scoring={self.scoring!r} is NaN for the validation samples, so "
                "early_stopping=True cannot compare epochs. Give samples for which it is defined, "
                "or another scoring."
            )
        return float(score)


def validation_score(
    estimator: Any, network: CompiledNetwork, validation: ValidationSet | None
) -> ValidationScore | None:
    """Create the scoring callback; None if a value that Keras records suffices."""
    if validation is None or not is_scored(estimator.scoring, validation, estimator._head):
        return None
    return ValidationScore(estimator, network, validation)
