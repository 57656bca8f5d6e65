"""Signatures of estimators: parameters of base classes spelled out, class bodies checked."""

from __future__ import annotations

import difflib
import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self, TypeAlias, TypedDict

import numpy as np
from sklearn.metrics import get_scorer_names

from ._compat import Interval, StrOptions, validate_parameter_constraints
from ._files.registry import loadable
from ._keras import keras
from ._training.optimizers import OPTIMIZERS, SCHEDULES
from ._typing import Predictor

# Prefixes of parameters that are passed on to the optimizer and the callbacks.
ROUTES = ("optimizer__", "callbacks__")

Optimizer: TypeAlias = str | keras.optimizers.Optimizer | type[keras.optimizers.Optimizer]
Schedule: TypeAlias = str | keras.optimizers.schedules.LearningRateSchedule
Callbacks: TypeAlias = (
    Sequence[keras.callbacks.Callback] | Mapping[str, Any] | keras.callbacks.Callback
)

Scoring: TypeAlias = str | Callable[..., float]


class OptimizerParameters(TypedDict, total=False):
    """Types of the arguments of Keras's optimizers, which all estimators pass on."""

    optimizer__adam_beta_1: float
    optimizer__adam_beta_2: float
    optimizer__adam_lr_ratio: float
    optimizer__adam_weight_decay: float
    optimizer__amsgrad: bool
    optimizer__beta: float
    optimizer__beta_1: float
    optimizer__beta_2: float
    optimizer__beta_2_decay: float
    optimizer__centered: bool
    optimizer__clip_threshold: float
    optimizer__clipnorm: float | None
    optimizer__clipvalue: float | None
    optimizer__ema_momentum: float
    optimizer__ema_overwrite_frequency: int | None
    optimizer__epsilon: float
    optimizer__epsilon_1: float
    optimizer__epsilon_2: float
    optimizer__exclude_embeddings: bool
    optimizer__exclude_layers: list[str]
    optimizer__global_clipnorm: float | None
    optimizer__gradient_accumulation_steps: int | None
    optimizer__initial_accumulator_value: float
    optimizer__l1_regularization_strength: float
    optimizer__l2_regularization_strength: float
    optimizer__l2_shrinkage_regularization_strength: float
    optimizer__learning_rate: float | keras.optimizers.schedules.LearningRateSchedule
    optimizer__learning_rate_power: float
    optimizer__loss_scale_factor: float | None
    optimizer__momentum: float
    optimizer__muon_a: float
    optimizer__muon_b: float
    optimizer__muon_c: float
    optimizer__nesterov: bool
    optimizer__ns_steps: int
    optimizer__relative_step: bool
    optimizer__rho: float
    optimizer__rms_rate: float
    optimizer__use_ema: bool
    optimizer__warmup_steps: int
    optimizer__weight_decay: float | None


class OwnTrainingParameters(TypedDict, total=False):
    """Types of the parameters of `KerasEstimator` itself."""

    epochs: int | Literal["auto"]
    batch_size: int | str
    optimizer: Optimizer
    learning_rate: float | None
    learning_rate_schedule: Schedule
    weight_decay: float | None
    early_stopping: bool
    validation_fraction: float
    scoring: Scoring | None
    n_iter_no_change: int
    checkpoint_dir: str | os.PathLike[str] | None
    warm_start: bool
    precision: str
    callbacks: Callbacks | None
    random_state: int | np.random.RandomState | None
    verbose: int


# The values that the parameters of `KerasEstimator` may have.
TRAINING_CONSTRAINTS: dict[str, list[Any]] = {
    "epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "optimizer": [StrOptions(set(OPTIMIZERS)), keras.optimizers.Optimizer, type],
    "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
    "learning_rate_schedule": [
        StrOptions({"constant", *SCHEDULES}),
        keras.optimizers.schedules.LearningRateSchedule,
    ],
    "weight_decay": [Interval(Real, 0, None, closed="left"), None],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "scoring": [StrOptions({"loss", *get_scorer_names()}), callable, None],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "checkpoint_dir": [str, os.PathLike, None],
    "warm_start": ["boolean"],
    "precision": [StrOptions({"auto", "float32", "mixed_bfloat16"})],
    "callbacks": [list, tuple, dict, keras.callbacks.Callback, type, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


# Editors list parameters in the order of the bases, so that the own come first.
class TrainingParameters(OwnTrainingParameters, OptimizerParameters, total=False):
    """Types of the parameters of `KerasEstimator`, for estimators that pass them on."""


def _all_parameters(cls: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class and those that it passes on, ``self`` included."""
    names: dict[str, inspect.Parameter] = {}
    defaults: dict[str, Any] = {}
    for base in cls.__mro__:
        defaults = vars(base).get("_defaults", {}) | defaults
        own = vars(base).get("__init__")
        if own is None or not hasattr(base, "_parameter_constraints"):
            continue
        parameters = inspect.signature(own).parameters.values()
        spelled_out = [each for each in parameters if each.kind is not each.VAR_KEYWORD]
        for parameter in spelled_out:
            default = defaults.get(parameter.name, parameter.default)
            names.setdefault(parameter.name, parameter.replace(default=default))
        if len(spelled_out) == len(parameters):
            break
    return names


def check_class_attributes(cls: Any) -> None:
    """Refuse a class body that gives a parameter a bad value or sets what is no parameter."""
    # Those that a base class has fixed are no longer in its signature.
    names = set(_all_parameters(cls)) | set(cls._parameter_constraints)
    fixed = {name: value for name, value in vars(cls).items() if name in names}
    defaults = vars(cls).get("_defaults", {})
    if not defaults.keys() <= names:
        raise TypeError(
            f"class {cls.__name__} has _defaults for {sorted(defaults.keys() - names)}, which are "
            "not its parameters."
        )
    for values in (fixed, defaults):
        validate_parameter_constraints(
            cls._parameter_constraints, values, caller_name=cls.__name__
        )
    declared = vars(cls).get("__annotations__", {})
    for name, value in vars(cls).items():
        is_data = not (callable(value) or hasattr(value, "__get__") or name.startswith("_"))
        if is_data and name not in names and "ClassVar" not in str(declared.get(name)):
            close = difflib.get_close_matches(name, names - {"self"}, n=1)
            hint = f"; did you mean {close[0]}?" if close else "."
            raise TypeError(
                f"class {cls.__name__} sets {name} = {value!r}, but has no parameter of that "
                f"name{hint} A constant of your own is annotated as ClassVar."
            )


def spell_out(cls: Any) -> Callable[..., None]:
    """Make an ``__init__`` whose signature has the inherited parameters in place of ``**``."""
    init = cls.__init__
    names = _all_parameters(cls)
    fixed = set(names) & set(vars(cls))
    kept = [parameter for name, parameter in names.items() if name not in fixed]
    signature = inspect.Signature(sorted(kept, key=lambda parameter: parameter.kind))

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **params: Any) -> None:  # noqa: N807
        routed = {name: value for name, value in params.items() if name.startswith(ROUTES)}
        plain = {name: value for name, value in params.items() if name not in routed}
        bound = signature.bind(self, *args, **plain)
        bound.apply_defaults()
        init(**bound.arguments)
        for name in fixed:
            delattr(self, name)  # the class attribute shows again
        for name, value in routed.items():
            setattr(self, name, value)

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    return __init__


class RoutedParameters(Predictor):
    """Parameters spelled out, and those that are passed on to the optimizer and the callbacks.

    `_defaults` are the defaults that a class changes of parameters that it inherits.
    """

    _defaults: ClassVar[TrainingParameters] = {}
    # Parameters of earlier versions, which files and pickles of theirs have.
    _FORMER_PARAMETERS: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_class_attributes(cls)
        cls.__init__ = spell_out(cls)  # type: ignore[method-assign]
        loadable(cls)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, those routed to the optimizer or the callbacks included.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of parameters that are estimators.

        Returns
        -------
        dict
            Names and values.
        """
        routed = {name: value for name, value in vars(self).items() if name.startswith(ROUTES)}
        return {**super().get_params(deep), **routed}

    def set_params(self, **params: Any) -> Self:
        """Set parameters, such as ``epochs`` or ``optimizer__momentum``.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self
            This estimator.
        """
        routed = {name: value for name, value in params.items() if name.startswith(ROUTES)}
        for name in set(params) - set(routed):
            whole, _, part = name.partition("__")
            value = params.get(whole, getattr(self, whole, None))
            if part and whole in self.get_params(deep=False) and not hasattr(value, "set_params"):
                raise ValueError(
                    f"{name} cannot be set, because {whole} is {value!r}, which has no "
                    "parameters. Set it first."
                )
        plain = {name: params[name] for name in params if name not in routed}
        super().set_params(**plain)
        for name, value in routed.items():
            setattr(self, name, value)
        return self

    def _routed(self, prefix: str) -> dict[str, Any]:
        """Return the parameters that are passed on to what a prefix says."""
        parameters = self.get_params(deep=False).items()
        return {name: value for name, value in parameters if name.startswith(prefix)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A pickle of an earlier version may have other parameters.
        new = {
            name: parameter.default
            for name, parameter in inspect.signature(type(self)).parameters.items()
            if parameter.default is not parameter.empty
        }
        old = {name: value for name, value in state.items() if name not in self._FORMER_PARAMETERS}
        super().__setstate__(new | old)
