"""The state of a fitted estimator: atomic updates, prediction, pickling."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from ._environment import check_not_forked
from ._files.export import export
from ._keras import keras, tf
from ._saved import check_history, restored_network
from ._summary import as_text, html_repr, layer_rows
from ._training.network import Plan, State, save_for_plain_keras
from ._training.pool import Forward, forward, predict_in_parts

Array = NDArray[Any]
Estimator = TypeVar("Estimator", bound="FittedNetwork")

# Attributes derived from the others, and callbacks of the last fit, which reference its network.
NOT_PICKLED = ("model_", "_forward", "_weight_tensors", "callbacks_")

# The outputs of a compiled call of a network.
FEATURES, OUTPUTS = range(2)


@contextmanager
def learning(estimator: Estimator) -> Iterator[Estimator]:
    """Fit a copy of an estimator, and update the estimator in one step on success.

    Until then the estimator is unchanged, for threads that predict with it and for the caller of
    a fit that raises.
    """
    before = vars(estimator).copy()
    copy = estimator._snapshot()
    copy.__dict__ = before.copy()
    yield copy
    after = vars(copy)
    learned = {
        name: value
        for name, value in after.items()
        if name not in before or before[name] is not value
    }
    # Without attributes of an earlier or concurrent fit.
    kept = {
        name: value
        for name, value in vars(estimator).copy().items()
        if name in after or not name.endswith("_")
    }
    estimator.__dict__ = kept | learned


class FittedNetwork:
    """The network of an estimator and its outputs.

    The class under it in the order of inheritance is scikit-learn's BaseEstimator.
    """

    _plan: Plan
    _state: State
    _forward: Forward
    _weight_tensors: list[tf.Tensor]

    history_: dict[str, list[float]]
    n_iter_: int
    best_iteration_: int

    learning_rate_schedule: Any
    _head: Any
    _make_optimizer: Callable[[Any], keras.optimizers.Optimizer]
    _metadata: Callable[[], dict[str, Any]]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_state")

    def _snapshot(self) -> Self:
        """Return a view of the current state, which a fit in another thread does not change."""
        snapshot = object.__new__(type(self))
        snapshot.__dict__ = self.__dict__
        return snapshot

    def _at(self, state: State) -> Self:
        """Return a copy with the given network state, such as that after an epoch."""
        estimator = object.__new__(type(self))
        estimator.__dict__ = self.__dict__.copy()
        estimator._keep(state)
        return estimator

    def _keep(self, state: State) -> None:
        check_not_forked()
        self._state = state
        # Traced here, so that many threads can predict.
        self._forward = self._compiled_calls(self._plan)
        self._weight_tensors = self._forward.prepared(state.weights)
        self.__dict__.pop("model_", None)

    def _compiled_calls(self, plan: Plan) -> Any:
        """Return the compiled functions that predict with networks of a plan."""
        return forward(plan)

    def _outputs(self, X: Any, then: Callable[[Array], Array] | None = None) -> Array:
        """Run the network over X and return its outputs, float32.

        `then` is applied to the outputs of each part of the rows, which bounds the memory.
        """
        return self._run(X, OUTPUTS, then)

    def _predictions(self, X: Any) -> Array:
        """Run the network over X and decode its outputs."""
        fitted: Any = self._snapshot()  # its head and network are of one fit
        check_is_fitted(fitted)
        outputs: Array = fitted._outputs(X, fitted._head.decode)
        return outputs

    def _features(self, X: Any) -> Array:
        """Run the network over X and return the inputs of its last layer, float32."""
        return self._run(X, FEATURES)

    def _run(self, X: Any, output: int, then: Callable[[Array], Array] | None = None) -> Array:
        check_is_fitted(self)
        check_not_forked()
        fitted: Any = self._snapshot()
        X = fitted._check_inputs(X)
        predict = functools.partial(fitted._predict_batch, output=output)
        return predict_in_parts(predict, X, fitted._forward.n_outputs, then)

    def _predict_batch(self, batch: Array, output: int) -> tf.Tensor:
        return self._forward(batch, self._weight_tensors)[output]

    def _network(self, **changes: Any) -> keras.Model:
        """Build the network with its weights, with some arguments changed."""
        check_not_forked()
        model = self._plan.changed(**changes).model()
        model.set_weights(self._state.weights)
        return model

    def _network_to_export(self) -> keras.Model:
        """Build the network with operations that other runtimes support."""
        return self._network()

    @functools.cached_property
    def model_(self) -> keras.Model:
        """A compiled copy of the network; changing it does not change the estimator."""
        if not self.__sklearn_is_fitted__():
            raise AttributeError(f"this {type(self).__name__} has no model_ before it is fitted")
        model, head = self._network(), self._head
        optimizer = self._make_optimizer(self.learning_rate_schedule)
        model.compile(optimizer=optimizer, loss=head.loss(), metrics=head.metrics())
        save_for_plain_keras(model)
        return model

    def export(self, path: str | os.PathLike[str], format: str = "onnx") -> None:
        """Write the fitted network for a runtime without skcnn.

        It takes float32 arrays of the shape ``model_.input_shape`` and gives probabilities, as
        ``predict_proba`` does. The file has the labels with it, as JSON: in the metadata
        ``skcnn`` of an ONNX file, in ``assets.extra/skcnn.json`` of a SavedModel, and in
        ``skcnn.json`` of the zip at the end of a LiteRT file.

        Parameters
        ----------
        path : str or path
            The file, or the folder of a SavedModel. What is there is replaced if it is of the
            same kind.
        format : {"onnx", "tf_saved_model", "litert"}, default="onnx"
            ONNX needs ``pip install 'skcnn[export]'``.

        Raises
        ------
        ValueError
            If there is no such format.
        ImportError
            If a package is missing.
        OSError
            If the file cannot be written.
        """
        check_is_fitted(self)
        export(self._network_to_export, self._metadata(), path, format, output=self._head.output)

    def _restore(self, network: tuple[tuple[str, Any], ...], state: dict[str, Any]) -> None:
        """Restore the learned network from a file, after checking it."""
        self._plan, restored = restored_network(self, network, state)
        self._keep(restored)

    def _check_restored(self, network: dict[str, Any], state: State) -> None:
        """Check that the learned attributes from a file are consistent."""
        check_history(self.history_, self.n_iter_, self.best_iteration_)

    def summary(self) -> None:
        """Print the layers of the fitted network with their shapes and parameter counts."""
        check_is_fitted(self)
        print(as_text(layer_rows(self.model_)))

    def _html_repr(self) -> str:
        return html_repr(self)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        return {name: value for name, value in state.items() if name not in NOT_PICKLED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[misc]
        if self.__sklearn_is_fitted__():
            self._keep(self._state)
