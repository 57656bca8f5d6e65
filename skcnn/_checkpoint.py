"""A training that goes on where it was when its process died."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import keras
import numpy as np

from . import _archive

NAME = "checkpoint.skcnn"
KIND = "training"


@dataclass
class Saved:
    """What a training needs to go on.

    Attributes
    ----------
    identity : dict of str to str
        What must be the same for it to go on, under names that an error can say.
    seed : int
        The seed drawn from `random_state`.
    finished : bool
        Whether no epoch is left.
    state : dict
        Weights, seeds and the state of the optimizer.
    history : dict of str to list of float
        What the epochs logged.
    best : dict
        The best weights so far, and what else stops the training early.
    """

    identity: dict[str, str]
    seed: int
    finished: bool
    state: dict[str, Any]
    history: dict[str, list[float]]
    best: dict[str, Any]


def digest(value: Any) -> str:
    """Name a value, the same in every process and for every container of the same array."""
    if isinstance(value, keras.optimizers.Optimizer | _archive.SCHEDULE):
        # Without the name, which counts the optimizers of a process.
        value = type(value).__name__, {**value.get_config(), "name": None}
    elif isinstance(value, np.ndarray):
        value = np.ascontiguousarray(value)  # joblib tells strides apart
    elif hasattr(value, "stamps"):
        value = value.stamps()
    return str(joblib.hash(value, coerce_mmap=True))


class Checkpoint(keras.callbacks.Callback):
    """Write the state of a training into a folder, at its beginning and after every epoch.

    Parameters
    ----------
    folder : str or path
        The folder, made where it is not there.
    identity : dict of str to str
        What the training is of.

    Attributes
    ----------
    saved : Saved or None
        What an earlier process has written there.
    capture : callable
        To be set: gives what is to be written, told whether the training is at its end.

    Raises
    ------
    ValueError
        If the folder has a training of something else.
    """

    def __init__(self, folder: str | os.PathLike[str], identity: dict[str, str]) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.identity = identity
        self.path = self.folder / NAME
        self.capture: Callable[[bool], Saved]
        self.saved: Saved | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Left by a process that died while it wrote.
            for rest in self.folder.glob(f"{NAME}.*.tmp"):
                rest.unlink()
        except OSError as error:
            raise type(error)(
                error.errno,
                f"checkpoint_dir={str(folder)!r} cannot be written: {error.strerror}",
                str(folder),
            ) from error
        if self.path.exists():
            self.saved = _archive.read(self.path, KIND, lambda content: Saved(**content))
            self._compare(self.saved.identity)

    def _compare(self, other: dict[str, str]) -> None:
        names = {**self.identity, **other}
        differing = [name for name in names if self.identity.get(name) != other.get(name)]
        if differing:
            last = differing.pop()
            listed = f"{', '.join(differing)} and {last}" if differing else last
            raise ValueError(
                f"checkpoint_dir={str(self.folder)!r} holds a training with other {listed}. Give "
                "this one a folder of its own, or remove that."
            )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.saved is None:
            self.write(finished=False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.write(finished=self.model.stop_training or epoch + 1 == self.params["epochs"])

    def write(self, finished: bool) -> None:
        """Write the file."""
        _archive.write(self.path, KIND, vars(self.capture(finished)))
