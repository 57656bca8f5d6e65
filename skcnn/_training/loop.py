"""A training run of a compiled network."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from .._keras import keras
from .._warnings import warn
from .batches import BatchGenerator
from .callbacks import (
    AverageWeights,
    BestWeights,
    EpochLog,
    LearningRateCycle,
    ProgressBar,
    RetraceChanged,
    is_open,
    restored_epoch,
    watches_batches,
)
from .checkpoint import Checkpoint, Saved
from .division import Division, Samples
from .network import CompiledNetwork, State
from .optimizers import SCHEDULES, current_rate
from .scoring import ValidationScore
from .tasks import EpochTasks

# A training run has failed if no epoch has a loss of less than this share of that of a constant
# prediction. In the first epochs this may happen in good runs.
FAILED_SHARE = 0.97
FAILED_EPOCHS = 5


@dataclass
class Training:
    """The arguments of a training run and its phases.

    Attributes
    ----------
    samples : Samples
        The samples.
    division : Division
        The training rows and validation samples.
    reset : bool
        Whether to start from new weights.
    epochs : int
        Number of epochs.
    schedule : str or keras.optimizers.schedules.LearningRateSchedule
        The learning-rate schedule.
    optimizer : keras.optimizers.Optimizer
        The optimizer.
    checkpoint : Checkpoint or None
        Writes the state.
    build_seed, order_seed : int
        Seeds of the weights and of the order of the samples.
    is_whole : bool
        Whether it is a call of ``fit`` rather than ``partial_fit``.
    bar : ProgressBar, default=None
        The progress bar shared by several phases. None creates one.
    best : tuple of (value, epoch), default=None
        The best monitored value of an earlier phase, and its epoch, from 0.
    """

    samples: Samples
    division: Division
    reset: bool
    epochs: int
    schedule: Any
    optimizer: keras.optimizers.Optimizer
    checkpoint: Checkpoint | None
    build_seed: int
    order_seed: int
    is_whole: bool
    bar: ProgressBar | None = None
    best: tuple[float | None, int] | None = None


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
    score : ValidationScore or None
        Scores the estimator after every epoch.
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
    bar : ProgressBar, default=None
        The progress bar. None creates one.
    best : tuple of (value, epoch), default=None
        The monitored value of the initial weights, from an earlier phase, and its epoch, from 0.
    baseline : float, default=None
        The loss of the best constant prediction, to warn where nothing is learned.
    tasks : EpochTasks, default=None
        Reports the epochs to scikit-learn's callbacks.

    Attributes
    ----------
    learning_rate : float
        The learning rate, or its peak.
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
        score: ValidationScore | None,
        history: dict[str, list[float]],
        epochs: int,
        monitor: tuple[str, str] | None,
        patience: int,
        checkpoint: Checkpoint | None,
        bar: ProgressBar | None = None,
        best: tuple[float | None, int] | None = None,
        baseline: float | None = None,
        tasks: EpochTasks | None = None,
    ) -> None:
        self.network = network
        self.batches = batches
        self.validation = validation
        self.score = score
        self.history = {name: list(values) for name, values in history.items()}
        self.first = len(history.get("loss", []))
        self.last = self.first + epochs
        self.checkpoint = checkpoint
        if monitor is None:
            self.best = BestWeights("loss", "min", done=self.first)
        else:
            self.best = BestWeights(*monitor, patience, done=self.first)
        if best is not None:
            self.best.best, self.best.best_epoch = best
        self.bar = bar
        self.baseline = baseline
        self.tasks = tasks
        self.learning_rate = math.nan
        self.cycle: LearningRateCycle | None = None
        if checkpoint is not None:
            checkpoint.capture = self._capture
            if checkpoint.saved is not None:
                self._resume(checkpoint.saved)
        self.log = EpochLog(self.history)
        self.batches.epoch = self.done

    @property
    def n_steps(self) -> int:
        """Number of training steps of the finished epochs."""
        return (self.done - self.first) * len(self.batches)

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
        self.learning_rate = current_rate(optimizer)
        own: list[keras.callbacks.Callback] = [RetraceChanged(network)] if callbacks else []
        if isinstance(schedule, str) and schedule in SCHEDULES:
            self.cycle = self._cycle(schedule, optimizer, watched=bool(callbacks))
        own += [self.log, self.best]
        if self.tasks is not None:
            own.append(self.tasks)
        if verbose == 1:
            self.bar = self.bar or ProgressBar(self.last, len(self.batches), self.done)
            own.append(self.bar)
        if self.checkpoint is not None:
            own.append(self.checkpoint)  # last, after all others have processed the epoch
        saved = None if self.checkpoint is None else self.checkpoint.saved
        if saved is not None and saved.finished:
            self.best.set_model(network.model)
            self.best.on_train_end()
            completed = True
        else:
            # First, so that all others see the averages and the score.
            first: list[keras.callbacks.Callback] = []
            if network.optimizer.use_ema:
                first.append(AverageWeights(network.optimizer, resumed=saved is not None))
            if self.score is not None:
                first.append(self.score)
            completed = self._loop([*first, *callbacks, *own], verbose)
        self.unchanged = settings is None or network.settings() == settings
        self.best_iteration = self._best_iteration(callbacks)
        if self.best.diverged:
            self._warn_of_divergence()
        elif self._has_failed():
            self._warn_of_failure()
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
        if saved.first is not None:
            self.first, self.last = saved.first, self.last - self.first + saved.first
        self.best.progress = saved.best

    def _capture(self, finished: bool) -> dict[str, Any]:
        """Return the fields of a checkpoint."""
        return {
            "finished": finished,
            "state": vars(self.network.state()),
            "history": self.history,
            "first": self.first,
            "best": self.best.progress,
        }

    def _cycle(
        self, schedule: str, optimizer: keras.optimizers.Optimizer, watched: bool
    ) -> LearningRateCycle:
        n_batches = len(self.batches)
        return LearningRateCycle(
            SCHEDULES[schedule],
            current_rate(optimizer),
            (self.last - self.first) * n_batches,
            (self.done - self.first) * n_batches,
            current_rate(self.network.optimizer) if watched else None,
        )

    def _loop(self, callbacks: list[keras.callbacks.Callback], verbose: int) -> bool:
        """Train up to the last epoch; return False if interrupted."""
        try:
            self._epochs(callbacks, 2 if verbose > 1 and is_open(sys.stdout) else 0)
        except KeyboardInterrupt:
            if self.done == self.first:
                raise  # nothing was learned
            for callback in callbacks:
                callback.on_train_end()
            warn(
                f"The training run was interrupted after epoch {self.done} of {self.last}; the "
                "weights learned so far are kept.",
            )
            return False
        return True

    def _epochs(self, callbacks: list[keras.callbacks.Callback], verbose: int) -> None:
        """Train like ``keras.Model.fit``; many steps per call unless callbacks watch batches."""
        model, logs = self.network.model, None
        listener = keras.callbacks.CallbackList(
            callbacks,
            add_history=True,
            add_progbar=verbose > 0,
            model=model,
            verbose=verbose,
            epochs=self.last,
            steps=len(self.batches),
        )
        watched = {phase: watches_batches(callbacks, phase) for phase in ("train", "test")}
        model.stop_training = False
        listener.on_train_begin()
        for epoch in range(self.done, self.last):
            listener.on_epoch_begin(epoch)
            logs = self._train_epoch(listener, watched["train"])
            if self.validation is not None:
                score = self._evaluate(self.validation, listener, watched["test"])
                logs |= {f"val_{name}": value for name, value in score.items()}
            listener.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        listener.on_train_end(logs)

    def _train_epoch(
        self, listener: keras.callbacks.CallbackList, watched: bool
    ) -> dict[str, float]:
        """Train on all batches, and return loss and metrics."""
        model = self.network.model
        logs: dict[str, float] = {}
        calls = self._calls("train", self.batches, listener, watched, self._next_rates)
        with closing(calls):
            for n_steps, logs, rate in calls:
                self.log.rate = rate
                self.best.check(logs["loss"])
                if self.bar is not None:
                    self.bar.advance(n_steps)
                if model.stop_training:
                    break
        return logs

    def _evaluate(
        self, batches: BatchGenerator, listener: keras.callbacks.CallbackList, watched: bool
    ) -> dict[str, float]:
        """Evaluate on all batches, and return loss and metrics."""
        logs: dict[str, float] = {}
        listener.on_test_begin()
        for _, so_far, _ in self._calls("test", batches, listener, watched):
            logs = so_far
        listener.on_test_end(logs)
        return logs

    def _calls(
        self,
        phase: str,
        batches: BatchGenerator,
        listener: keras.callbacks.CallbackList,
        watched: bool,
        rates: Callable[[int], Any] = lambda n_steps: None,
    ) -> Generator[tuple[int, dict[str, float], float], None, None]:
        """Run all batches; yield the steps of each call, the logs so far and the last rate."""
        steps = self.network.training if phase == "train" else self.network.evaluation
        begin, end = (getattr(listener, f"on_{phase}_batch_{when}") for when in ("begin", "end"))
        self.network.model.reset_metrics()
        with closing(steps.parts(batches, one_by_one=watched)) as parts:
            for first, part in parts:
                if watched:
                    begin(first)
                n_steps = len(part.extents)
                logs, rate = steps(part, batches.batch_size, rates(n_steps))
                if watched:
                    end(first, logs)
                yield n_steps, logs, rate

    def _next_rates(self, n_steps: int) -> Any:
        """Return the learning rates of the next steps, None if no cycle sets them."""
        if self.cycle is None:
            return None
        return self.cycle.next(n_steps, current_rate(self.network.model.optimizer))

    def _best_iteration(self, callbacks: list[keras.callbacks.Callback]) -> int:
        if self.best.stops_early or self.best.diverged:
            return int(self.best.best_epoch) + 1
        restored = restored_epoch(callbacks)
        return self.done if restored is None else restored + 1

    def _has_failed(self) -> bool:
        """Tell whether the network is hardly better than a constant prediction."""
        losses = self.history["loss"][self.first :]
        if self.baseline is None or len(losses) < FAILED_EPOCHS:
            return False
        return min(losses) > FAILED_SHARE * self.baseline

    def _warn_of_failure(self) -> None:
        losses = self.history["loss"][self.first :]
        warn(
            f"The network has learned next to nothing: its training loss was {losses[0]:.4g} in "
            f"the first epoch and {losses[-1]:.4g} in the last, and predicting the same for all "
            f"samples has {self.baseline:.4g}. Try a smaller learning_rate (now "
            f"{self.learning_rate:.3g}), a smaller batch_size (now {self.batches.batch_size}), "
            f"more epochs (now {len(losses)}) or a smaller network, and look at the samples and "
            "targets.",
            ConvergenceWarning,
        )

    def _warn_of_divergence(self) -> None:
        warn(
            f"The loss became {self.history['loss'][-1]} in epoch {self.done}. The weights of "
            f"epoch {self.best_iteration} are kept, where 0 are the initial ones. Try a smaller "
            "learning_rate.",
            ConvergenceWarning,
        )
