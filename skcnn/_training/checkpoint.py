"""Resume interrupted training runs from checkpoints."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from .._files import archive as _archive
from .._keras import keras
from .._warnings import warn

try:
    import fcntl
except ImportError:  # Windows cannot lock a folder
    fcntl = None  # type: ignore[assignment]

NAME = "checkpoint.skcnn"
KIND = "training"


@dataclass
class Saved:
    """The contents of a checkpoint.

    Attributes
    ----------
    identity : dict of str to str
        Fingerprints of the data and parameters, by the names that an error message shows. A
        training run resumes only where all are equal.
    seed : int
        The seed drawn from `random_state`.
    finished : bool
        Whether all epochs are done.
    state : dict
        Weights, seeds and the state of the optimizer.
    history : dict of str to list of float
        The logs of the epochs.
    best : dict
        The best weights so far and the rest of the state of early stopping.
    phase : int
        The number of the phase, if the training run has several.
    first : int or None
        Number of epochs before the phase. None in files of version 0.1.0.
    """

    identity: dict[str, str]
    seed: int
    finished: bool
    state: dict[str, Any]
    history: dict[str, list[float]]
    best: dict[str, Any]
    phase: int = 0
    first: int | None = None


def digest(value: Any) -> str:
    """Hash a value, with the same result in every process and for every array container."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, tuple | list):
        value = [digest(item) for item in value]
    elif isinstance(value, dict):
        value = sorted((digest(key), digest(item)) for key, item in value.items())
    elif isinstance(value, int | float) and abs(value) < 2**53:
        value = float(value)  # 5, 5.0 and np.int64(5) are the same setting
    elif isinstance(value, keras.optimizers.Optimizer | _archive.SCHEDULE):
        # The name depends on the number of optimizers created in the process.
        value = type(value).__name__, {**value.get_config(), "name": None}
    elif isinstance(value, np.ndarray):
        value = np.ascontiguousarray(value)  # joblib's hash depends on the strides
    elif hasattr(value, "fingerprint"):
        value = value.fingerprint()
    try:
        return str(joblib.hash(value, coerce_mmap=True))
    except pickle.PicklingError:
        if not callable(value):
            raise
        # Lambdas and nested functions cannot be pickled; hash their names.
        return digest((value.__module__, getattr(value, "__qualname__", type(value).__qualname__)))


@contextmanager
def reserved(folder: str | os.PathLike[str] | None) -> Iterator[None]:
    """Create a checkpoint folder and lock it against other fits; do nothing for None.

    Raises
    ------
    RuntimeError
        If another fit uses the folder.
    OSError
        If the folder cannot be written.
    """
    if folder is None:
        yield
        return
    path = _archive.check_path(folder, "checkpoint_dir")
    with ExitStack() as stack:
        try:
            path.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(path))
            # Left by a process that died while writing, as this one holds the lock.
            for leftover in path.glob(f"{NAME}.*.tmp"):
                leftover.unlink()
        except OSError as error:
            raise type(error)(
                error.errno,
                f"checkpoint_dir={str(folder)!r} cannot be written: {error.strerror}",
                str(folder),
            ) from error
        yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder itself; the kernel releases the lock however the process ends."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"checkpoint_dir={str(folder)!r} is in use by {_owner(descriptor)}. Fits that run "
                "at the same time, such as those of a search, need separate folders."
            ) from None
        except OSError as error:  # some network file systems do not support locks
            warn(
                f"checkpoint_dir={str(folder)!r} cannot be locked ({error.strerror}): make sure "
                "that no other fit uses it.",
            )
        yield
    finally:
        # After close() alone, processes forked in the meantime would still hold the lock.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _owner(descriptor: int) -> str:
    """Name the process that holds the lock, if the system reports it."""
    inode = os.fstat(descriptor).st_ino
    try:
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:  # exists on Linux only
        locks = []
    for _, kind, *_, process, where, _, _ in locks:
        if kind == "FLOCK" and where.endswith(f":{inode}") and int(process) > 0:
            same = int(process) == os.getpid()
            return f"another fit of this process, {process}" if same else f"process {process}"
    return "another process"


class Checkpoint(keras.callbacks.Callback):
    """Write the state of a training run to a folder, at its start and after every epoch.

    Parameters
    ----------
    folder : str or path
        The folder, locked with :func:`reserved`.
    identity : dict of str to str
        Fingerprints of the data and parameters of the training run.
    seed : int
        The seed of a new training run; a resumed one keeps its own.

    Attributes
    ----------
    phase : int
        To be set: the number of the phase, if the training run has several.
    capture : callable
        Set by the training run: takes whether all epochs are done and returns the fields of
        :class:`Saved` that it owns.

    Raises
    ------
    ValueError
        If the checkpoint belongs to a training run with other data or parameters.
    """

    def __init__(
        self, folder: str | os.PathLike[str], identity: dict[str, str], seed: int
    ) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.identity = identity
        self.path = self.folder / NAME
        self.seed = seed
        self.capture: Callable[[bool], dict[str, Any]]
        self.phase = 0
        self._found: Saved | None = None
        if self.path.exists():
            self._found = _archive.read(self.path, KIND, lambda content: Saved(**content))
            self._compare(self._found.identity)
            self.seed = self._found.seed

    @property
    def saved(self) -> Saved | None:
        """The checkpoint of this phase that an earlier process has written, or None."""
        found = self._found
        return found if found is not None and found.phase == self.phase else None

    @property
    def is_over(self) -> bool:
        """Whether an earlier process has finished this phase."""
        return self._found is not None and self._found.phase > self.phase

    def _compare(self, other: dict[str, str]) -> None:
        names = {**self.identity, **other}
        differing = [name for name in names if self.identity.get(name) != other.get(name)]
        if differing:
            last = differing.pop()
            listed = f"{', '.join(differing)} and {last}" if differing else last
            raise ValueError(
                f"checkpoint_dir={str(self.folder)!r} has a checkpoint of a training run with "
                f"different {listed}. Use another folder, or remove the checkpoint."
            )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.saved is None:
            self.write(finished=False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.write(finished=self.model.stop_training or epoch + 1 == self.params["epochs"])

    def write(self, finished: bool) -> None:
        """Write the checkpoint."""
        saved = Saved(self.identity, self.seed, phase=self.phase, **self.capture(finished))
        _archive.write(self.path, KIND, vars(saved))
