"""Export networks to other runtimes."""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .._environment import LEVEL
from .._keras import keras
from .archive import check_path, check_target, copy_permissions

METADATA = "skcnn.json"

# Side of the dummy images for networks that accept images of any size.
ANY_SIDE = 32


# Names of axes of any length in an ONNX file, those of images and all others.
IMAGE_SIDES = ("batch", "height", "width")
SIDES = ("batch", "length")

# Files that TensorFlow and Keras write to the folder of a SavedModel.
SAVED_MODEL = {"assets", "assets.extra", "fingerprint.pb", "saved_model.pb", "variables"}


@contextmanager
def _restored_globals() -> Iterator[None]:
    """Undo the changes that tf2onnx and Keras make to os.environ and the numpy namespace."""
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
    for value in [*model.graph.input, *model.graph.output]:
        sides = value.type.tensor_type.shape.dim
        for side, name in zip(sides, IMAGE_SIDES if len(sides) == 4 else SIDES, strict=False):
            if not side.HasField("dim_value"):
                side.dim_param = name
    onnx.save(model, path)


def _to_saved_model(path: Path, metadata: str) -> None:
    extra = path / "assets.extra"
    extra.mkdir()
    (extra / METADATA).write_text(metadata, encoding="utf-8")


def _to_litert(path: Path, metadata: str) -> None:
    # The format stores associated files in a zip that is appended to the network.
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(METADATA, metadata)


ADD_METADATA = {"onnx": _to_onnx, "tf_saved_model": _to_saved_model, "litert": _to_litert}


def _write_whole(network: keras.Model, path: Path, format: str, output: str) -> None:
    """Write a network as a function from a batch to its outputs, which get a name."""
    if format == "tf_saved_model":
        _write_saved_model(network, path, output)
        return
    named = keras.Model(network.input, {output: network.output})
    # Keras requires a call before the export.
    named(np.zeros((1, *(side or ANY_SIDE for side in network.input_shape[1:])), np.float32))
    named.export(str(path), format=format, verbose=False)  # Keras 3.13 wants a str


def _write_saved_model(network: keras.Model, path: Path, output: str) -> None:
    """Write a SavedModel: `serve` for Python, and the signature of TensorFlow Serving."""
    (inputs,) = network.inputs
    signature = [keras.InputSpec(shape=inputs.shape, dtype=inputs.dtype, name=inputs.name)]
    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint("serve", network.__call__, signature)
    archive.add_endpoint("serving_default", lambda batch: {output: network(batch)}, signature)
    archive.write_out(str(path), verbose=False)


def export(
    model: Callable[[], keras.Model],
    metadata: dict[str, Any],
    path: str | os.PathLike[str],
    format: str,
    write: Callable[[keras.Model, Path, str], None] | None = None,
    output: str = "probabilities",
) -> None:
    """Build a network and export it to another runtime.

    `write` writes the network; by default as one function, whose result is named `output`.
    """
    if format not in ADD_METADATA:
        raise ValueError(f"format must be one of {', '.join(ADD_METADATA)}; got {format!r}.")
    if format == "onnx" and not (find_spec("onnx") and find_spec("tf2onnx")):
        raise ImportError(
            "format='onnx' requires the packages onnx and tf2onnx: pip install 'skcnn[export]'"
        )
    if format == "tf_saved_model":
        target = check_target(check_path(path), stat.S_ISDIR, "the folder of a SavedModel")
        _check_saved_model(target, path)
    else:
        target = check_target(check_path(path), stat.S_ISREG, "a file")
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the folder does not exist", str(target.parent))
    network = model()
    # Written next to the target and then moved, so that the target is never incomplete.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".skcnn-") as folder:
        written = Path(folder, "network.tflite")  # the suffix that Keras requires of LiteRT
        with _restored_globals():
            if write is None:
                _write_whole(network, written, format, output)
            else:
                write(network, written, format)
        ADD_METADATA[format](written, json.dumps(metadata, default=str))
        _replace(target, written, Path(folder, "old"))


def _check_saved_model(folder: Path, path: str | os.PathLike[str]) -> None:
    """Check that a folder contains only files of a SavedModel."""
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    if names and not ({"saved_model.pb"} <= names <= SAVED_MODEL):
        raise FileExistsError(
            errno.EEXIST, "the folder is not a SavedModel and is not replaced", os.fspath(path)
        )


def _replace(target: Path, written: Path, old: Path) -> None:
    """Move the written files to the target, with the permissions of those that they replace."""
    for replaced in [target, *target.rglob("*")]:
        new = written / replaced.relative_to(target)
        if new.exists():
            copy_permissions(replaced, new)
    if target.is_dir():  # a folder cannot be replaced atomically
        os.replace(target, old)
    try:
        os.replace(written, target)
    except OSError:
        if old.exists():
            os.replace(old, target)
        raise
