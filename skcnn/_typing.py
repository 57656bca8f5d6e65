"""scikit-learn's base classes, with types for type checkers.

scikit-learn has no types, so that for a type checker its classes are ``Any``, and so would be
every attribute of a class derived from them. At run time these are the classes themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Literal, Self, TypeVar

    from numpy.typing import NDArray

    Function = TypeVar("Function", bound=Callable[..., Any])

    def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[Function], Function]: ...

    def validate_params(
        constraints: Mapping[str, Any], *, prefer_skip_nested_validation: bool
    ) -> Callable[[Function], Function]: ...

    class BaseEstimator:
        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **params: Any) -> Self: ...
        def get_metadata_routing(self) -> Any: ...
        def _validate_params(self) -> None: ...
        def __sklearn_tags__(self) -> Any: ...
        def __sklearn_clone__(self) -> Self: ...
        def __getstate__(self) -> dict[str, Any]: ...
        def __setstate__(self, state: dict[str, Any]) -> None: ...

    # The methods of a predictor, and those that scikit-learn derives from their signatures.
    class Predictor(BaseEstimator):
        def predict(self, X: Any) -> NDArray[Any]: ...
        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float: ...
        def set_fit_request(self, **metadata: bool | str | None) -> Self: ...
        def set_partial_fit_request(self, **metadata: bool | str | None) -> Self: ...
        def set_score_request(self, **metadata: bool | str | None) -> Self: ...

    class CallbackSupportMixin:
        def set_callbacks(self, *callbacks: Any) -> Self: ...
        def _init_callback_context(self, *, max_subtasks: int | None = 0) -> Any: ...

    class ClassifierMixin:
        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float: ...

    class RegressorMixin:
        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float: ...

    class TransformerMixin:
        def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> NDArray[Any]: ...
        def set_output(
            self, *, transform: Literal["default", "pandas", "polars"] | None = None
        ) -> Self: ...

    class ClassNamePrefixFeaturesOutMixin:
        def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]: ...

    class Bunch(dict[str, Any]):
        def __getattr__(self, name: str) -> Any: ...

else:
    from sklearn.base import (
        BaseEstimator,
        ClassifierMixin,
        ClassNamePrefixFeaturesOutMixin,
        RegressorMixin,
        TransformerMixin,
    )
    from sklearn.utils import Bunch

    from ._compat import CallbackSupportMixin, fit_context, validate_params

    Predictor = BaseEstimator

__all__ = [
    "BaseEstimator",
    "Bunch",
    "CallbackSupportMixin",
    "ClassNamePrefixFeaturesOutMixin",
    "ClassifierMixin",
    "Predictor",
    "RegressorMixin",
    "TransformerMixin",
    "fit_context",
    "validate_params",
]
