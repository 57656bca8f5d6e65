"""One training run: divide the data, train the network, return what it has come to."""

from __future__ import annotations

import functools
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from .._compat import check_sample_weight
from .batches import BatchGenerator
from .callbacks import (
    BestWeights,
    EpochLog,
    LearningRateCycle,
    ProgressBar,
    RetraceChanged,
    is_open,
    restored_epoch,
)
from .checkpoint import Checkpoint, Saved
from .network import CompiledNetwork, State
from .optimizers import SCHEDULES, TINY

Array = NDArray[Any]


def integer_seed(seed: np.random.SeedSequence) -> int:
    """Turn a seed sequence into the non-negative 31-bit seed that Keras and scikit-learn take."""
    return int(seed.generate_state(1)[0] >> 1)


@dataclass
class Division:
    """The rows of the data by their use.

    Attributes
    ----------
    weighted : ndarray of int
        The rows whose weight is positive.
    rows : ndarray of int
        Those of them to train on.
    held_out : ndarray of int or None
        Those of them to validate on.
    weight : ndarray of shape (n_samples,) or None
        Weights whose mean is 1 over the rows to train on.
    validation : BatchGenerator or None
        What to validate on.
    """

    weighted: Array
    rows: Array
    held_out: Array | None
    weight: Array | None
    validation: BatchGenerator | None = None

    def weight_of_outputs(self, y: Any) -> Array | None:
        """Return the weights with one axis for each of the loss, which has one a place."""
        return None if self.weight is None else self.weight.reshape(-1, *(1,) * (y.ndim - 2))


def divide(
    X: Any,
    y: Any,
    sample_weight: Any,
    parts: dict[str, Array],
    head: Any,
    validation_fraction: float | None,
    seed: np.random.SeedSequence,
) -> Division:
    """Choose the rows to train on, their weights, and the rows to validate on.

    Parameters
    ----------
    X, y : array-like of shape (n_samples, ...)
        Inputs and encoded targets.
    sample_weight : array-like of shape (n_samples,) or None
        Weights of the samples.
    parts : dict of str to ndarray
        Further weights of the samples, by the name of the parameter that asks for them.
    head : Head
        What the targets mean.
    validation_fraction : float or None
        The share to hold out.
    seed : numpy.random.SeedSequence
        Seed of the choice.
    """
    if sample_weight is not None:
        given = check_sample_weight(sample_weight, X)
        parts = {**parts, "sample_weight": given}
    weight = _product(parts)
    weighted = np.arange(len(X))
    if weight is not None:
        weighted = np.flatnonzero(weight)
        head.check_rows(y, weighted)
    rows, held_out = weighted, None
    if validation_fraction is not None:
        rows, held_out = _split(weighted, head.strata(y, weighted), validation_fraction, seed)
    if weight is not None:
        weight = (weight / weight[rows].mean()).astype(np.float32)
    return Division(weighted, rows, held_out, weight)


def _split(
    rows: Array, strata: Array | None, fraction: float, seed: np.random.SeedSequence
) -> tuple[Array, Array]:
    try:
        train, held_out = train_test_split(
            rows, test_size=fraction, stratify=strata, random_state=integer_seed(seed)
        )
    except ValueError as error:
        raise ValueError(
            f"early_stopping=True cannot hold out validation_fraction={fraction} of {len(rows)} "
            f"samples: {error}"
        ) from error
    return train, held_out


class TrainingRun:
    """A training run of a compiled network.

    Parameters
    ----------
    network : CompiledNetwork
        The network with its initial weights.
    batches : BatchGenerator
        The training data.
    validation : BatchGenerator or None
        The validation data.
    history : dict of str to list of float
        The history of earlier epochs.
    epochs : int
        Number of epochs.
    monitor : tuple of (name, mode) or None
        The value that early stopping monitors; None does not stop early.
    patience : int
        Epochs without improvement before early stopping.
    checkpoint : Checkpoint or None
        Writes the state, and has the state of an interrupted run to resume.

    Attributes
    ----------
    unchanged : bool
        Whether another fit can reuse the network: callbacks changed nothing but weights.
    best_iteration : int
        The epoch, from 1, whose weights the network has.
    """

    def __init__(
        self,
        network: CompiledNetwork,
        batches: BatchGenerator,
        validation: BatchGenerator | None,
        *,
        history: dict[str, list[float]],
        epochs: int,
        monitor: tuple[str, str] | None,
        patience: int,
        checkpoint: Checkpoint | None,
    ) -> None:
        self.network = network
        self.batches = batches
        self.validation = validation
        self.history = {name: list(values) for name, values in history.items()}
        self.first = len(history.get("loss", []))
        self.last = self.first + epochs
        self.checkpoint = checkpoint
        if monitor is None:
            self.best = BestWeights("loss", "min", done=self.first)
        else:
            self.best = BestWeights(*monitor, patience, done=self.first)
        if checkpoint is not None:
            checkpoint.capture = self._capture
            if checkpoint.saved is not None:
                self._resume(checkpoint.saved)
        self.batches.epoch = self.done

    @property
    def done(self) -> int:
        """Number of finished epochs."""
        return len(self.history.get("loss", []))

    def train(
        self,
        schedule: Any,
        optimizer: keras.optimizers.Optimizer,
        callbacks: list[keras.callbacks.Callback],
        verbose: int,
    ) -> bool:
        """Train; return False if interrupted."""
        network, settings = self.network, self.network.settings() if callbacks else None
        own: list[keras.callbacks.Callback] = [RetraceChanged(network)] if callbacks else []
        if isinstance(schedule, str) and schedule in SCHEDULES:
            own.append(self._cycle(schedule, optimizer, watched=bool(callbacks)))
        own += [EpochLog(self.history), self.best]
        if verbose == 1:
            own.append(ProgressBar(self.last, len(self.batches), self.done))
        if self.checkpoint is not None:
            own.append(self.checkpoint)  # last, after all others have processed the epoch
        saved = None if self.checkpoint is None else self.checkpoint.saved
        if saved is not None and saved.finished:
            self.best.set_model(network.model)
            self.best.on_train_end()
            completed = True
        else:
            completed = self._loop([*callbacks, *own], verbose)
        self.unchanged = settings is None or network.settings() == settings
        self.best_iteration = self._best_iteration(callbacks)
        if self.best.diverged:
            self._warn_of_divergence()
        return completed

    def state(self) -> State:
        """Return a copy of all values, with a reset optimizer if the loss has diverged."""
        state = self.network.state()
        if self.best.diverged:
            state.optimizer = self.network.first.optimizer
        return state

    def _resume(self, saved: Saved) -> None:
        self.network.load(State(**saved.state))
        self.history = saved.history
        self.best.progress = saved.best

    def _capture(self, finished: bool) -> dict[str, Any]:
        """Return the fields of a checkpoint."""
        return {
            "finished": finished,
            "state": vars(self.network.state()),
            "history": self.history,
            "best": self.best.progress,
        }

    def _cycle(
        self, schedule: str, optimizer: keras.optimizers.Optimizer, watched: bool
    ) -> LearningRateCycle:
        n_batches = len(self.batches)
        return LearningRateCycle(
            SCHEDULES[schedule],
            float(optimizer.learning_rate),
            (self.last - self.first) * n_batches,
            (self.done - self.first) * n_batches,
            float(self.network.optimizer.learning_rate) if watched else None,
        )

    def _loop(self, callbacks: list[keras.callbacks.Callback], verbose: int) -> bool:
        """Train up to the last epoch; return False if interrupted."""
        try:
            with self.network.feed(x=self.batches, validation_data=self.validation) as data:
                self.network.model.fit(
                    **data,
                    epochs=self.last,
                    initial_epoch=self.done,
                    shuffle=False,
                    callbacks=callbacks,
                    verbose=2 if verbose > 1 and is_open(sys.stdout) else 0,
                )
        except KeyboardInterrupt:
            if self.done == self.first:
                raise  # nothing has been learned
            for callback in callbacks:
                callback.on_train_end()
            warnings.warn(
                f"The training run was interrupted after epoch {self.done} of {self.last}; the "
                "weights learned so far are kept.",
                UserWarning,
                stacklevel=5,
            )
            return False
        return True

    def _best_iteration(self, callbacks: list[keras.callbacks.Callback]) -> int:
        if self.best.stops_early or self.best.diverged:
            return int(self.best.best_epoch) + 1
        restored = restored_epoch(callbacks)
        return self.done if restored is None else restored + 1

    def _warn_of_divergence(self) -> None:
        warnings.warn(
            f"The loss became {self.history['loss'][-1]} in epoch {self.done}. The weights of "
            f"epoch {self.best_iteration} are kept, where 0 are the initial ones. Try a smaller "
            "learning_rate.",
            ConvergenceWarning,
            stacklevel=5,
        )


def _product(parts: dict[str, Array]) -> Array | None:
    """Multiply weights of samples; refuse those whose proportions float32 cannot express."""
    if not parts:
        return None
    with np.errstate(over="ignore", under="ignore"):
        weight: Array = functools.reduce(np.multiply, parts.values())
        total = weight.sum()
    kept = np.logical_and.reduce([part > 0 for part in parts.values()])
    least = weight[kept].min(initial=total)
    if not total < np.inf or (kept.any() and not least > total * TINY):
        names = " and ".join(f"{name}={_span(part)}" for name, part in parts.items())
        raise ValueError(
            f"The weights of the samples overflow or vanish in float32: {names}. Scale them to "
            "about 1."
        )
    return weight


def _span(weight: Array) -> str:
    return f"{weight[weight > 0].min(initial=weight.max()):.3g}...{weight.max():.3g}"
