"""How training proceeds: learning rates, their schedules, and what each epoch records."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import keras

# Peak learning rates of a one-cycle or cosine schedule, and constant ones. Keras's default
# serves where an optimizer is not listed. Adadelta was published with 1.0, which Keras 3
# changed to 0.001.
PEAK_LEARNING_RATES = {
    "adam": 0.01,
    "adamw": 0.01,
    "nadam": 0.01,
    "adadelta": 1.0,
    "sgd": 0.1,
}
CONSTANT_LEARNING_RATES = {"adadelta": 1.0}


def one_cycle(progress: float) -> float:
    """Rise linearly over the first quarter of the training, then fall linearly to zero."""
    return progress / 0.25 if progress < 0.25 else (1 - progress) / 0.75


def cosine(progress: float) -> float:
    """Fall from one to zero along half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * progress))


SCHEDULES: dict[str, Callable[[float], float]] = {"one_cycle": one_cycle, "cosine": cosine}


def default_learning_rate(optimizer: type[keras.optimizers.Optimizer], schedule: object) -> float:
    """Choose the learning rate for an optimizer class and the name of a schedule."""
    name = optimizer.__name__.lower()
    rates = PEAK_LEARNING_RATES if schedule in SCHEDULES else CONSTANT_LEARNING_RATES
    return rates.get(name, float(optimizer().learning_rate))


class LearningRateCycle(keras.callbacks.Callback):
    """Set the learning rate before every batch.

    It assigns the optimizer's variable instead of being a Keras schedule inside the compiled
    step, so that one compiled step serves every peak and every number of steps.

    Parameters
    ----------
    schedule : callable
        Maps the progress of the training, from 0 to 1, to a fraction of the peak.
    peak : float
        The highest learning rate.
    n_steps : int
        Batches in the whole training.
    """

    def __init__(self, schedule: Callable[[float], float], peak: float, n_steps: int) -> None:
        super().__init__()
        self.schedule = schedule
        self.peak = peak
        self.n_steps = n_steps
        self.step = 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # The middle of the step, because both ends of a cycle are zero.
        progress = (self.step + 0.5) / self.n_steps
        self.model.optimizer.learning_rate = self.peak * self.schedule(progress)
        self.step += 1


class EpochLog(keras.callbacks.Callback):
    """Add the last learning rate and the seconds of each epoch to its logs."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)
            logs["seconds"] = time.perf_counter() - self.start
