"""Private symbols of dependencies: no module but this and `_keras_compat` uses any.

Each has a name of its own here, with the reason why it is needed and what happens without it.
``tests/test_compat.py`` checks that each exists in the installed versions, and that what is
optional can be absent. This module does not import TensorFlow.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

# The check of parameters, with scikit-learn's messages. Required: without it, every class would
# check its parameters by hand.
from sklearn.base import _fit_context as fit_context

# Rows of any container. Required; in scikit-learn's documentation in spite of its name.
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)

# The check of sample weights of scikit-learn's own estimators. Required.
from sklearn.utils.validation import _check_sample_weight

try:
    # Callbacks that a search hands on to its estimators, new in scikit-learn 1.9. Optional:
    # estimators of earlier versions have no `set_callbacks`.
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stand-in where scikit-learn has no callbacks."""


__all__ = [
    "CallbackSupportMixin",
    "Interval",
    "StrOptions",
    "check_params",
    "check_sample_weight",
    "fit_context",
    "keras_home",
    "safe_indexing",
    "takes_sample_weight",
    "tensorflow_has_run",
    "validate_parameter_constraints",
    "validate_params",
]


# scikit-learn


def check_params(estimator: Any) -> None:
    """Check the parameters of an estimator against its `_parameter_constraints`.

    scikit-learn's `fit_context` does it before ``fit``; this is for all other occasions.
    """
    validate_parameter_constraints(
        estimator._parameter_constraints,
        estimator.get_params(deep=False),
        caller_name=type(estimator).__name__,
    )


def check_sample_weight(sample_weight: Any, X: Any) -> NDArray[Any]:
    """Validate weights of samples, which must not all be zero."""
    weight: NDArray[Any] = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
    if not weight.any():  # which scikit-learn checks itself from 1.8 on
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weight


def takes_sample_weight(scorer: Callable[..., Any]) -> bool:
    """Tell whether a scorer takes weights of samples.

    Every scorer of scikit-learn has the argument, its metric may not. Optional: without it, a
    metric that takes no weights is called with them and raises a TypeError.
    """
    metric = getattr(scorer, "_score_func", scorer)
    return "sample_weight" in inspect.signature(metric).parameters


# Keras and TensorFlow, without importing them


def keras_home() -> str:
    """Return the folder in which Keras keeps files.

    Optional: without it, the folder is that of the environment, which Keras read when it was
    imported.
    """
    config = sys.modules.get("keras.src.backend.config")
    if config is not None and hasattr(config, "keras_home"):
        return str(config.keras_home())
    return os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras"))


def tensorflow_has_run() -> bool:
    """Tell whether the threads of TensorFlow, which no fork copies, have been started.

    Optional: without it, a process that was forked too late hangs instead of raising.
    """
    module: Any = sys.modules.get("tensorflow.python.eager.context")
    context = module.context() if hasattr(module, "context") else None
    return bool(getattr(context, "_initialized", False))
