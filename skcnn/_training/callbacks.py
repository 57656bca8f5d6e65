"""Keras callbacks: learning-rate schedules, early stopping, history and progress bar."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from .._keras import keras
from .._keras_compat import averages, replace_model, routed_callbacks
from .network import CompiledNetwork, assign_values, values_of
from .optimizers import has_schedule

Array = NDArray[Any]

# Keras callbacks that set the learning rate and so conflict with a schedule.
SETS_LEARNING_RATE = (
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ReduceLROnPlateau,
)


def restored_epoch(callbacks: Iterable[keras.callbacks.Callback]) -> int | None:
    """Return the epoch, from 0, whose weights the user's EarlyStopping has restored."""
    restored = [
        callback.best_epoch
        for callback in callbacks
        if isinstance(callback, keras.callbacks.EarlyStopping)
        and callback.restore_best_weights
        and callback.best_weights is not None
    ]
    return restored[-1] if restored else None


def hand_over(
    callbacks: Iterable[keras.callbacks.Callback], trained: keras.Model, model: keras.Model
) -> None:
    """Replace the trained network in callbacks by another one."""
    for callback in callbacks:
        replace_model(callback, trained, model)


def make_callbacks(
    callbacks: Any, routed: dict[str, Any], schedule: Any, optimizer: keras.optimizers.Optimizer
) -> list[keras.callbacks.Callback]:
    """Return the user's callbacks as a list, with classes instantiated.

    Raises
    ------
    TypeError
        If an item is not a callback.
    ValueError
        If both a callback and a schedule set the learning rate.
    """
    found = routed_callbacks(callbacks, routed)
    if schedule != "constant" or has_schedule(optimizer):
        for callback in found:
            if isinstance(callback, SETS_LEARNING_RATE):
                raise ValueError(
                    f"callbacks has a {type(callback).__name__}, which sets the learning rate, "
                    f"and so does learning_rate_schedule={schedule!r} or the schedule of the "
                    "optimizer. Set learning_rate_schedule='constant', or remove the callback."
                )
    if any(isinstance(callback, keras.callbacks.SwapEMAWeights) for callback in found):
        raise ValueError(
            "callbacks has a SwapEMAWeights, but the averages of an optimizer with use_ema=True "
            "are validated and kept without it. Set optimizer__use_ema=True instead."
        )
    return found


def watches_batches(callbacks: Iterable[keras.callbacks.Callback], phase: str) -> bool:
    """Return whether a callback overrides the batch hooks of a phase, "train" or "test"."""
    names = [f"on_{phase}_batch_{when}" for when in ("begin", "end")]
    if phase == "train":
        names += ["on_batch_begin", "on_batch_end"]
    return any(
        getattr(getattr(callback, name), "__func__", None)
        is not getattr(keras.callbacks.Callback, name)
        for callback in callbacks
        for name in names
    )


def is_open(stream: Any) -> bool:
    """Return whether a standard stream exists and is open."""
    return stream is not None and not getattr(stream, "closed", False)


class RetraceChanged(keras.callbacks.Callback):
    """Retrace the training step if a callback changed the network before training starts.

    Parameters
    ----------
    network : CompiledNetwork
        The network in the state in which it was traced.
    """

    def __init__(self, network: CompiledNetwork) -> None:
        super().__init__()
        self.network = network
        self.settings = network.settings()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.network.settings() != self.settings:
            self.network.training.retrace()
            self.network.evaluation.retrace()


class AverageWeights(keras.callbacks.Callback):
    """Validate and keep the moving averages of the weights that the optimizer computes.

    The averages are in the network from the validation to the end of an epoch, and in the end.
    Keras's SwapEMAWeights keeps the last weights instead where training stops early, and swaps by
    additions, which round.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
        The optimizer, with ``use_ema=True``.
    resumed : bool
        Whether the network has the averages, as its state was captured at the end of an epoch.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, resumed: bool) -> None:
        super().__init__()
        pairs = averages(optimizer)
        self.weights = [weight for weight, _ in pairs]
        self.averages = [average for _, average in pairs]
        self.in_network = resumed

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.in_network:
            assign_values(self.averages, values_of(self.weights))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._have_averages(False)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._have_averages(True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._have_averages(True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._have_averages(True)

    def _have_averages(self, wanted: bool) -> None:
        if self.in_network != wanted:
            last = values_of(self.weights)
            assign_values(self.weights, values_of(self.averages))
            assign_values(self.averages, last)
            self.in_network = wanted


class LearningRateCycle:
    """The learning rates of the steps of a training run.

    The training step assigns them to the variable of the optimizer. A Keras schedule would be
    compiled into it, so that every peak and number of steps would need another one.

    Parameters
    ----------
    schedule : callable
        Maps the progress of the training run, from 0 to 1, to a fraction of the peak.
    peak : float
        The highest learning rate.
    n_steps : int
        Batches in the whole training run.
    step : int, default=0
        Batches already trained on, in a resumed training run.
    current : float, default=None
        The current learning rate, to detect callbacks that set it. None does not check.
    """

    def __init__(
        self,
        schedule: Callable[[float], float],
        peak: float,
        n_steps: int,
        step: int = 0,
        current: float | None = None,
    ) -> None:
        self.schedule = schedule
        self.peak = peak
        self.n_steps = n_steps
        self.step = step
        self.current = current

    def next(self, n_steps: int, current: float) -> Array:
        """Return the learning rates of the next steps, given the current one.

        Raises
        ------
        ValueError
            If a callback has set the learning rate.
        """
        if self.current is not None:
            self._check_rate(current, self.current)
        # The middle of a step, because the rate is zero at both ends of a cycle.
        progress = (self.step + np.arange(n_steps) + 0.5) / self.n_steps
        rates = np.array([self.peak * self.schedule(each) for each in progress.tolist()])
        if self.current is not None:
            self.current = float(np.float32(rates[-1]))
        self.step += n_steps
        return rates

    def _check_rate(self, found: float, expected: float) -> None:
        if found != expected:
            raise ValueError(
                f"One of the callbacks has set the learning rate to {found:.6g}, but "
                f"learning_rate_schedule={self.schedule.__name__!r} sets it before every batch. "
                "Set learning_rate_schedule='constant' to let the callback set it."
            )


class BestWeights(keras.callbacks.EarlyStopping):
    """Restore the best weights after stopping early or after the loss diverged.

    Unlike Keras's EarlyStopping it can be resumed, considers the initial weights too, and stops
    at the first batch whose loss is not finite.

    Parameters
    ----------
    monitor : str
        The name of the compared value in the logs.
    mode : {"min", "max"}
        Whether a lower or a higher value is better.
    patience : int, default=None
        Epochs without improvement before stopping. None never stops early and keeps the last
        weights if the loss is finite.
    done : int, default=0
        Epochs of earlier training runs.
    """

    def __init__(
        self, monitor: str, mode: str, patience: int | None = None, done: int = 0
    ) -> None:
        super().__init__(
            monitor=monitor,
            mode=mode,
            patience=math.inf if patience is None else patience,
            restore_best_weights=True,
        )
        self.diverged = False
        self.resumed = False
        self.best: float | None = None
        self.best_epoch: int = done - 1

    @property
    def stops_early(self) -> bool:
        return self.patience < math.inf  # type: ignore[no-any-return]

    @property
    def progress(self) -> dict[str, Any]:
        """The state from which a resumed training run continues."""
        names = ("wait", "best", "best_epoch", "best_weights", "diverged")
        return {name: getattr(self, name) for name in names}

    @progress.setter
    def progress(self, progress: dict[str, Any]) -> None:
        for name, value in progress.items():
            setattr(self, name, value)
        self.resumed = True

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.resumed:
            self.best_weights = self.model.get_weights()

    def check(self, loss: float) -> None:
        """Stop if the loss of the epoch so far is not finite."""
        if not np.isfinite(loss):
            self.diverged = self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.diverged:
            super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.stops_early or self.diverged:
            super().on_train_end(logs)


class EpochLog(keras.callbacks.Callback):
    """Append the logs of each epoch to a history, with the learning rate and the duration.

    Parameters
    ----------
    history : dict of str to list of float
        The logs of earlier epochs. A name that an epoch does not log is NaN there.

    Attributes
    ----------
    rate : float
        The learning rate of the last step.
    """

    def __init__(self, history: dict[str, list[float]]) -> None:
        super().__init__()
        self.history = history
        self.rate = math.nan

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        done = len(self.history.get("loss", []))
        seconds = time.perf_counter() - self.start
        logs = {**(logs or {}), "learning_rate": self.rate, "seconds": seconds}
        entry = {name: _number(name, value) for name, value in logs.items()}
        for name in {**self.history, **entry}:
            values = self.history.setdefault(name, [math.nan] * done)
            values.append(entry.get(name, math.nan))


def _number(name: str, value: Any) -> float:
    try:
        if not isinstance(value, str | bytes):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise TypeError(
        f"One of the callbacks has logged {name}={value!r}, a {type(value).__name__}; the logs "
        "of an epoch must be numbers, as history_ holds them."
    )


class ProgressBar(keras.callbacks.Callback):
    """Progress bar with epoch, metrics and ETA; disabled when stderr is not a terminal.

    Parameters
    ----------
    epochs : int
        The number of the last epoch.
    n_batches : int
        Batches per epoch.
    done : int, default=0
        Number of finished epochs.

    Attributes
    ----------
    goes_on : bool
        Whether another phase of the training run follows and uses the same bar.
    remaining : int
        Number of epochs of that phase, to be set before it starts.
    """

    def __init__(self, epochs: int, n_batches: int, done: int = 0) -> None:
        super().__init__()
        self.epochs = epochs
        self.n_batches = n_batches
        self.done = done
        self.goes_on = False
        self.remaining = 0
        self.bar: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.bar is not None:
            # An earlier phase may have stopped early.
            self.bar.total = self.bar.n + self.params["steps"] * self.remaining
            return
        # disable=None disables the bar where stderr is not a terminal, except in notebooks.
        self.bar = tqdm(
            total=(self.epochs - self.done) * self.n_batches,
            unit="batch",
            disable=None if is_open(sys.stderr) else True,
        )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.bar.set_description(f"epoch {epoch + 1}/{self.epochs}", refresh=False)

    def advance(self, n_batches: int) -> None:
        """Advance the bar by finished batches."""
        self.bar.update(n_batches)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.bar.set_postfix({name: f"{value:.4f}" for name, value in (logs or {}).items()})

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if not self.goes_on:
            self.bar.close()
