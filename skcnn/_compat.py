"""Private symbols of Keras, TensorFlow, scikit-learn and scikeras: no other module uses any.

Each has a name of its own here, with the reason why it is needed and what happens without it.
``tests/test_compat.py`` checks that each exists in the installed versions, and that what is
optional can be absent.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from numpy.typing import NDArray
from scikeras.wrappers import BaseWrapper

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
    "MuonHooks",
    "StrOptions",
    "check_params",
    "check_sample_weight",
    "fit_context",
    "keras_home",
    "replace_model",
    "routed_callbacks",
    "routed_optimizer",
    "safe_indexing",
    "skip_gradient_sum",
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


# scikeras. Required: its public methods build a whole model.


def routed_callbacks(callbacks: Any, routed: dict[str, Any]) -> list[keras.callbacks.Callback]:
    """List callbacks and make those that are given as classes, with arguments routed to them."""
    wrapper = BaseWrapper(callbacks=callbacks, **routed)
    wrapper._initialize_callbacks()
    return keras.tree.flatten(wrapper._fit_callbacks)  # type: ignore[no-any-return]


def routed_optimizer(
    optimizer: type[keras.optimizers.Optimizer], routed: dict[str, Any]
) -> keras.optimizers.Optimizer:
    """Make an optimizer of a class with the arguments routed to it."""
    return BaseWrapper(optimizer=optimizer, **routed)._get_compile_kwargs()["optimizer"]


# Keras


def skip_gradient_sum(optimizer: keras.optimizers.Optimizer) -> None:
    """Leave out the sum of gradients over replicas where there is one replica.

    TensorFlow registers the gradient of the sum for good, so it never frees a graph that has
    one. Optional: without it, memory grows with every network that is compiled.
    """
    if hasattr(optimizer, "_all_reduce_sum_gradients") and not tf.distribute.has_strategy():
        optimizer._all_reduce_sum_gradients = list


def replace_model(
    callback: keras.callbacks.Callback, trained: keras.Model, model: keras.Model
) -> None:
    """Set the model of a callback that has seen another one being trained.

    Not through `set_model`, which in some callbacks starts something. Optional: without it, the
    callback keeps the trained network, whose weights change when another fit uses it again.
    """
    if getattr(callback, "_model", None) is trained:
        callback._model = model


def keras_home() -> str:
    """Return the folder in which Keras keeps files.

    Optional: without it, the folder is that of the environment, which Keras read when it was
    imported.
    """
    config = sys.modules.get("keras.src.backend.config")
    if config is not None and hasattr(config, "keras_home"):
        return str(config.keras_home())
    return os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras"))


class MuonHooks(keras.optimizers.Muon):
    """Muon whose private hooks call public methods that a subclass defines.

    Required for Muon alone: without them Keras would leave convolutions to Adam and decay all
    weights by its own default, so Muon is refused and other optimizers work.
    """

    def __init__(self, **options: Any) -> None:
        for hook in ("_should_use_adamw", "_muon_update_step", "_apply_weight_decay"):
            if not hasattr(keras.optimizers.Muon, hook):
                raise RuntimeError(
                    f"optimizer='muon' does not work with Keras {keras.__version__}, whose Muon "
                    f"has no {hook}; choose another optimizer, such as 'adam', or Keras 3.13."
                )
        super().__init__(**options)

    def uses_adam(self, variable: Any) -> bool:
        """Tell whether Adam trains a variable."""
        raise NotImplementedError

    def muon_step(self, gradient: Any, variable: Any, rate: Any, momentum: Any) -> None:
        """Train a variable that Adam does not."""
        raise NotImplementedError

    def _should_use_adamw(self, variable: Any) -> bool:
        return self.uses_adam(variable)

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.muon_step(gradient, variable, lr, m)

    def _apply_weight_decay(self, variables: Any) -> None:
        # Keras's Muon has another weight decay for the variables that Adam trains.
        keras.optimizers.Optimizer._apply_weight_decay(self, variables)


# TensorFlow


def tensorflow_has_run() -> bool:
    """Tell whether the threads of TensorFlow, which no fork copies, have been started.

    Optional: without it, a process that was forked too late hangs instead of raising.
    """
    module: Any = sys.modules.get("tensorflow.python.eager.context")
    context = module.context() if hasattr(module, "context") else None
    return bool(getattr(context, "_initialized", False))
