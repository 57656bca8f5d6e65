"""Save and load estimators."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from .._environment import check_not_forked
from .._warnings import warn
from .archive import (
    LoadError,
    attributes,
    check_path,
    check_target,
    encode,
    read,
    write,
)

if TYPE_CHECKING:
    from ..base import KerasEstimator

KIND = "estimator"

# Parameters that are never saved: loading a file must not make ``fit`` write to a folder.
NOT_SAVED = ("checkpoint_dir",)


def save(estimator: Any, path: str | os.PathLike[str], learned: dict[str, Any]) -> None:
    """Save an estimator, fitted or not, and its network."""
    check_target(check_path(path), stat.S_ISREG, "a file")
    parameters, unsaved = estimator.get_params(deep=False), []
    for name, value in list(parameters.items()):
        try:
            if name in NOT_SAVED and value is not None:
                raise TypeError
            encode(value, [])
        except TypeError:
            unsaved.append(name)
            del parameters[name]
    if unsaved:
        warn(
            f"The file does not contain {', '.join(unsaved)}, which cannot be saved: data, code "
            "or a local path. Set them again after loading.",
        )
    kept = type(estimator)(**parameters)
    for name, value in attributes(estimator).items():
        setattr(kept, name, value)
    write(path, KIND, {"estimator": kept, **learned})


def load(path: str | os.PathLike[str]) -> KerasEstimator:
    """Load an estimator that was saved with its ``save`` method.

    A file contains only plain values and arrays: loading runs no code from it, and takes time and
    memory proportional to its size. Classes defined outside of skcnn must be imported before.
    `checkpoint_dir` is reset to None, so that a file cannot make ``fit`` write to a folder.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    estimator : estimator
        The estimator with its parameters and, if it was fitted, its learned state. Predictions
        are bit-identical on the same kind of machine; ``partial_fit`` and warm starts continue
        from the saved state.

    Raises
    ------
    LoadError
        If the file was not written by ``save``, is damaged, or is not a regular file.
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> from skcnn import MiniCNN, load, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> net = MiniCNN(epochs=1, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(f"{folder}/digits.skcnn")
    ...     again = load(f"{folder}/digits.skcnn")
    >>> bool((again.predict_proba(X) == net.predict_proba(X)).all())
    True
    """
    check_not_forked()
    estimator: KerasEstimator = read(path, KIND, _restored)
    return estimator


def _restored(content: Any) -> Any:
    estimator: Any = content.get("estimator") if isinstance(content, dict) else content
    if not hasattr(estimator, "_restore"):
        raise LoadError(f"it contains a {type(estimator).__name__} instead of an estimator")
    if getattr(estimator, "checkpoint_dir", None) is not None:  # files of version 0.1.0
        warn(
            f"checkpoint_dir={estimator.checkpoint_dir!r} of the file is ignored; set it again to "
            "write checkpoints.",
        )
        estimator.checkpoint_dir = None
    if "state" in content:
        estimator._restore(content["network"], content["state"])
    return estimator
