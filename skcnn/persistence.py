"""Estimators as files, and networks for other runtimes."""

from __future__ import annotations

import errno
import functools
import inspect
import json
import os
import stat
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from sklearn.utils.validation import check_is_fitted

from ._archive import (
    KERAS_CLASSES,
    LOADABLE,
    LoadError,
    attributes,
    check_path,
    check_target,
    copy_permissions,
    encode,
    read,
    write,
)
from ._compiled import MAX_FORWARDS, Plan, State, seed_variables
from ._machine import check_not_forked
from ._quiet import LEVEL

if TYPE_CHECKING:
    from ._keras import KerasEstimator

KIND = "estimator"

# Data, not a setting: it may be many times as large as the network; and a folder that the fit of
# whoever loads the file should not write to.
LEFT_OUT = ("checkpoint_dir", "validation_data")

METADATA = "skcnn.json"

# What TensorFlow and Keras write into the folder of a SavedModel.
SAVED_MODEL = {"assets", "assets.extra", "fingerprint.pb", "saved_model.pb", "variables"}


def save(estimator: KerasEstimator, path: str | os.PathLike[str]) -> None:
    """Write an estimator, fitted or not, to a file that :func:`load` reads."""
    check_target(check_path(path), stat.S_ISREG, "a file")
    if estimator.__sklearn_is_fitted__() and not _finite(estimator._state):
        raise ValueError(
            f"This {type(estimator).__name__} cannot be saved: its network has weights that are "
            "not finite. Fit it again, with a smaller learning_rate."
        )
    parameters, left_out = estimator.get_params(deep=False), []
    for name, value in list(parameters.items()):
        try:
            if name in LEFT_OUT and value is not None:
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
    content: dict[str, Any] = {"estimator": kept}
    if estimator.__sklearn_is_fitted__():
        content |= {"network": estimator._plan.arguments, "state": vars(estimator._state)}
    write(path, KIND, content)


def load(path: str | os.PathLike[str]) -> KerasEstimator:
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
        With the parameters and, where it was fitted, all that it had learnt. Its predictions
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


def _restored(content: Any) -> KerasEstimator:
    from ._keras import KerasEstimator

    estimator = content.get("estimator") if isinstance(content, dict) else content
    if not isinstance(estimator, KerasEstimator):
        raise LoadError(f"it holds no estimator, but a {type(estimator).__name__}")
    if estimator.checkpoint_dir is not None:  # of version 0.1.0
        warnings.warn(
            f"checkpoint_dir={estimator.checkpoint_dir!r} of the file is left out; set it again "
            "to write checkpoints.",
            UserWarning,
            stacklevel=4,
        )
        estimator.checkpoint_dir = None
    if "state" in content:
        plan = Plan(type(estimator)._build, content["network"])
        state = State(**content["state"])
        arguments = dict(plan.arguments)
        given = inspect.signature(plan.build).parameters.values()
        if set(arguments) != {each.name for each in given if each.default is each.empty}:
            raise LoadError(f"its network has the arguments {list(arguments)}")
        estimator._check_restored(arguments, state)
        _check_state(plan, state)
        estimator._plan = plan
        estimator._keep(state)
    return estimator


@functools.lru_cache(maxsize=MAX_FORWARDS)
def variables_of(plan: Plan) -> dict[str, list[tuple[Any, Any]]]:
    """List shapes and dtypes of what a network has, before any of it is made."""
    with tf.Graph().as_default():  # builds the layers without their values
        model = plan.model()
    return {
        name: [(tuple(variable.shape), np.dtype(variable.dtype)) for variable in variables]
        for name, variables in (("weights", model.weights), ("seeds", seed_variables(model)))
    }


def _check_state(plan: Plan, state: State) -> None:
    """Compare the arrays with what the network has."""
    for name, expected in variables_of(plan).items():
        arrays = getattr(state, name)
        if [(array.shape, array.dtype) for array in arrays] != expected:
            raise LoadError(f"its {name} are not those of its network")
    if not _finite(state):
        raise LoadError("its network has weights that are not finite")
    if not all(
        isinstance(value, np.ndarray) and value.dtype.kind in "biuf" for value in state.optimizer
    ):
        raise LoadError("the state of its optimizer is no list of arrays")


def _finite(state: State) -> bool:
    return all(np.isfinite(weight).all() for weight in state.weights)


@contextmanager
def _all_as_it_was() -> Iterator[None]:
    """Take back what tf2onnx, and Keras for it, leave in the environment and in NumPy."""
    had, level = "object" in vars(np), os.environ.get(LEVEL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
            yield
    finally:
        if not had:
            vars(np).pop("object", None)
        if level is None:
            os.environ.pop(LEVEL, None)
        else:
            os.environ[LEVEL] = level


def _to_onnx(path: Path, metadata: str) -> None:
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"skcnn": metadata})
    onnx.save(model, path)


def _to_saved_model(path: Path, metadata: str) -> None:
    extra = path / "assets.extra"
    extra.mkdir()
    (extra / METADATA).write_text(metadata, encoding="utf-8")


def _to_litert(path: Path, metadata: str) -> None:
    # Where files beside a network of this format are kept: a zip at its end.
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(METADATA, metadata)


ADD_METADATA = {"onnx": _to_onnx, "tf_saved_model": _to_saved_model, "litert": _to_litert}


def export(estimator: KerasEstimator, path: str | os.PathLike[str], format: str) -> None:
    """Write the network of a fitted estimator for another runtime."""
    check_is_fitted(estimator)
    if format not in ADD_METADATA:
        raise ValueError(f"format must be one of {', '.join(ADD_METADATA)}; got {format!r}.")
    if format == "onnx" and not (find_spec("onnx") and find_spec("tf2onnx")):
        raise ImportError(
            "format='onnx' needs the packages onnx and tf2onnx: pip install 'skcnn[export]'"
        )
    if format == "tf_saved_model":
        target = check_target(check_path(path), stat.S_ISDIR, "the folder of a SavedModel")
        _check_saved_model(target, path)
    else:
        target = check_target(check_path(path), stat.S_ISREG, "a file")
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(target.parent))
    metadata = json.dumps(estimator._metadata(), default=str)
    model = estimator._network_to_export()
    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras exports what has been called
    # Beside the target and then moved, so that it is never there by half.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".skcnn-") as folder:
        written = Path(folder, "network.tflite")  # the ending is what Keras asks of one format
        with _all_as_it_was():
            model.export(str(written), format=format, verbose=False)  # Keras 3.13 wants a str
        ADD_METADATA[format](written, metadata)
        _replace(target, written, Path(folder, "old"))


def _check_saved_model(folder: Path, path: str | os.PathLike[str]) -> None:
    """Check that a folder has nothing that is not of a SavedModel."""
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    if names and not ({"saved_model.pb"} <= names <= SAVED_MODEL):
        raise FileExistsError(
            errno.EEXIST, "the folder is no SavedModel, so it is not replaced", os.fspath(path)
        )


def _replace(target: Path, written: Path, old: Path) -> None:
    """Put what was written in place, with the permissions of what was there."""
    for replaced in [target, *target.rglob("*")]:
        new = written / replaced.relative_to(target)
        if new.exists():
            copy_permissions(replaced, new)
    if target.is_dir():  # cannot be replaced in one step
        os.replace(target, old)
    try:
        os.replace(written, target)
    except OSError:
        if old.exists():
            os.replace(old, target)
        raise


def trusted_types() -> list[str]:
    """List the types in a pickled estimator that other formats ask to be trusted."""
    types: list[Any] = [Plan, State, *LOADABLE.values(), *KERAS_CLASSES.values()]
    types += {cls._build for cls in LOADABLE.values() if hasattr(cls, "_build")}
    return sorted(f"{each.__module__}.{each.__qualname__}" for each in types)
