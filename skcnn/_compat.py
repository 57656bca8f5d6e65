"""Private symbols of scikit-learn that skcnn uses, each with its reason.

`_fit_context`, `Interval`, `StrOptions`, `validate_parameter_constraints`, `validate_params`:
scikit-learn's declarative check of parameters, with its messages. Without them every class would
check its parameters by hand.

`_check_sample_weight`: the check of weights of scikit-learn's own estimators.

`_safe_indexing`: rows of any container. Public in scikit-learn's documentation.

`_score_func`: the metric of a scorer, whose signature says whether it takes weights.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray
from sklearn.base import _fit_context as fit_context
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)
from sklearn.utils.validation import _check_sample_weight

__all__ = [
    "Interval",
    "StrOptions",
    "check_sample_weight",
    "fit_context",
    "safe_indexing",
    "takes_sample_weight",
    "validate_parameter_constraints",
    "validate_params",
]


def check_sample_weight(sample_weight: Any, X: Any) -> NDArray[Any]:
    """Validate weights of samples, which must not all be zero."""
    weight: NDArray[Any] = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
    if not weight.any():  # which scikit-learn checks itself from 1.8 on
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weight


def takes_sample_weight(scorer: Callable[..., Any]) -> bool:
    """Tell whether a scorer takes weights of samples."""
    metric = getattr(scorer, "_score_func", scorer)
    return "sample_weight" in inspect.signature(metric).parameters
