"""Signatures of estimators: parameters of base classes spelled out, class bodies checked."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Self

from ._compat import validate_parameter_constraints
from ._files.archive import loadable

# Prefixes of parameters that are passed on to the optimizer and the callbacks.
ROUTES = ("optimizer__", "callbacks__")


def _all_parameters(cls: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class and those that it passes on, ``self`` included."""
    names: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        own = vars(base).get("__init__")
        if own is None or not hasattr(base, "_parameter_constraints"):
            continue
        parameters = inspect.signature(own).parameters.values()
        spelled_out = [each for each in parameters if each.kind is not each.VAR_KEYWORD]
        for parameter in spelled_out:
            names.setdefault(parameter.name, parameter)
        if len(spelled_out) == len(parameters):
            break
    return names


def check_class_attributes(cls: Any) -> None:
    """Refuse a class body that sets a parameter to a bad value or what is no parameter."""
    # Those that a base class has fixed are no longer in its signature.
    names = set(_all_parameters(cls)) | set(cls._parameter_constraints)
    fixed = {name: value for name, value in vars(cls).items() if name in names}
    validate_parameter_constraints(cls._parameter_constraints, fixed, caller_name=cls.__name__)
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


class RoutedParameters:
    """Parameters spelled out, and those that are passed on to the optimizer and the callbacks.

    The class under it in the order of inheritance is scikit-learn's BaseEstimator.
    """

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
        return {**super().get_params(deep), **routed}  # type: ignore[misc]

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
        super().set_params(**plain)  # type: ignore[misc]
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
        super().__setstate__(new | old)  # type: ignore[misc]
