"""Epochs as tasks of scikit-learn's callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._keras import keras


class EpochTasks(keras.callbacks.Callback):
    """Report epochs to the callbacks that scikit-learn's ``set_callbacks`` has set.

    Parameters
    ----------
    estimator : KerasEstimator
        The estimator that the user fits.
    context : sklearn.callback.CallbackContext
        The task of the whole fit.
    data : dict
        ``X``, ``y`` and ``metadata`` of the fit.
    """

    def __init__(self, estimator: Any, context: Any, data: dict[str, Any]) -> None:
        super().__init__()
        self.estimator = estimator
        self.context = context
        self.data = data
        # Returns the attributes of the estimator with the present weights.
        self.attributes: Callable[[], dict[str, Any]] | None = None
        self.epoch: Any = None

    def end(self, fitted: Any) -> None:
        """Report the end of the fit."""
        self.context.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes=lambda: vars(fitted),
            **self.data,
        )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch = self.context.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        stops = self.epoch.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=self.attributes, **self.data
        )
        if stops:
            self.model.stop_training = True


def begin_tasks(
    estimator: Any, X: Any, y: Any, sample_weight: Any, n_epochs: int
) -> EpochTasks | None:
    """Begin the task of a fit, whose subtasks are its epochs; None without callbacks."""
    if not {"_skl_callbacks", "_parent_callback_ctx"} & vars(estimator).keys():
        return None
    context = estimator._init_callback_context(max_subtasks=n_epochs)
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    tasks = EpochTasks(estimator, context, {"X": X, "y": y, "metadata": metadata})
    context.call_on_fit_task_begin(estimator=estimator, **tasks.data)
    return tasks
