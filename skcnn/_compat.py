"""Private symbols of scikit-learn that skcnn uses, each with its reason.

`_fit_context`, `Interval`, `StrOptions`, `validate_parameter_constraints`, `validate_params`:
scikit-learn's declarative check of parameters, with its messages. Without them every class would
check its parameters by hand.

`_check_sample_weight`: the check of weights of scikit-learn's own estimators.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from sklearn.base import _fit_context as fit_context
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
    "validate_parameter_constraints",
    "validate_params",
]


def check_sample_weight(sample_weight: Any, X: Any) -> NDArray[Any]:
    """Validate weights of samples, which must not all be zero."""
    weight: NDArray[Any] = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
    if not weight.any():  # which scikit-learn checks itself from 1.8 on
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weight
