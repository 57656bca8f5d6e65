"""Estimators as files, and networks for other runtimes."""

from __future__ import annotations

import os
import stat
import warnings
from typing import Any

from .._environment import check_not_forked
from .archive import (
    LoadError,
    attributes,
    check_path,
    check_target,
    encode,
    read,
    write,
)

KIND = "estimator"

# A folder that the fit of whoever loads the file should not write to.
NOT_SAVED = ("checkpoint_dir",)


def save(estimator: Any, path: str | os.PathLike[str], learned: dict[str, Any]) -> None:
    """Write an estimator, fitted or not, and its network to a file that :func:`load` reads."""
    check_target(check_path(path), stat.S_ISREG, "a file")
    parameters, left_out = estimator.get_params(deep=False), []
    for name, value in list(parameters.items()):
        try:
            if name in NOT_SAVED and value is not None:
                raise TypeError
            encode(value, [])
        except TypeError:
            left_out.append(name)
            del parameters[name]
    if left_out:
        warnings.warn(
            f"The file will not have {', '.join(left_out)}, which are data, code or a place on "
            "this machine; set them again after loading.",
            UserWarning,
            stacklevel=3,
        )
    kept = type(estimator)(**parameters)
    for name, value in attributes(estimator).items():
        setattr(kept, name, value)
    write(path, KIND, {"estimator": kept, **learned})


def load(path: str | os.PathLike[str]) -> Any:
    """Load an estimator that its ``save`` has written.

    Loading runs no code from the file, which holds plain values and arrays only, and takes time
    and memory in proportion to the size of the file. A class of your own must have been imported
    before. The `checkpoint_dir` is None, so that a file cannot make ``fit`` write to a folder.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    estimator
        With the parameters and, where it was fitted, all that it had learned. Its predictions
        are the same bit for bit on the same kind of machine; ``partial_fit`` and a warm start
        go on from there.

    Raises
    ------
    LoadError
        If the file was not written by ``save`` or is damaged, or is no regular file.
    OSError
        If it cannot be opened.

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
    return read(path, KIND, _restored)


def _restored(content: Any) -> Any:
    estimator: Any = content.get("estimator") if isinstance(content, dict) else content
    if not hasattr(estimator, "_restore"):
        raise LoadError(f"it holds no estimator, but a {type(estimator).__name__}")
    if getattr(estimator, "checkpoint_dir", None) is not None:  # of version 0.1.0
        warnings.warn(
            f"checkpoint_dir={estimator.checkpoint_dir!r} of the file is left out; set it again "
            "to write checkpoints.",
            UserWarning,
            stacklevel=4,
        )
        estimator.checkpoint_dir = None
    if "state" in content:
        estimator._restore(content["network"], content["state"])
    return estimator
