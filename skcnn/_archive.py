"""Files of plain values and arrays, written whole or not at all and read without running code.

A file is a zip of ``metadata.json`` and one ``.npy`` an array. Nothing in it is compressed, so
what is read is never larger than the file; nothing is unpacked to disk; and no name in it is
imported: a class is looked up among those that registered themselves.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np
import sklearn
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

Array = NDArray[Any]
Result = TypeVar("Result")
Class = TypeVar("Class", bound=type)

FORMAT = "skcnn"
FORMAT_VERSION = 1
DOCUMENT = "metadata.json"

# NumPy's kinds without objects, which only a pickle could hold.
KINDS = "biufcSUmM"

# Classes whose objects a file may hold, under their names.
LOADABLE: dict[str, type[BaseEstimator]] = {}

SCHEDULE = keras.optimizers.schedules.LearningRateSchedule
KERAS_CLASSES = {
    name: value
    for module in (keras.optimizers, keras.optimizers.schedules)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, keras.optimizers.Optimizer | SCHEDULE)
}


class LoadError(ValueError):
    """A file is not one that skcnn has written, or is damaged."""


def loadable(cls: Class) -> Class:
    """Register a class whose objects a file may hold."""
    LOADABLE[class_name(cls)] = cls
    return cls


def class_name(cls: type) -> str:
    """Name a class: one of skcnn by its name, another with its module."""
    if cls.__module__.partition(".")[0] == __package__:
        return cls.__qualname__
    return f"{cls.__module__}:{cls.__qualname__}"


def versions() -> dict[str, str]:
    """Return the versions of the libraries that what is in a file depends on."""
    from . import __version__  # only set when all modules are imported

    return {
        "skcnn": __version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "tensorflow": tf.version.VERSION,
    }


# Files


def write(path: str | os.PathLike[str], kind: str, content: Any) -> None:
    """Write a file so that at every moment it is there whole, the old one or the new.

    Raises
    ------
    TypeError
        If the content has a value that :func:`encode` does not know.
    OSError
        If the file cannot be written; what was there before is still there.
    """
    arrays: list[Array] = []
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "versions": versions(),
        "content": encode(content, arrays),
    }
    path = Path(path)
    # A name of this process, so that two that write one file do not write into each other.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            _write_zip(file, json.dumps(document, indent=1), arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise type(error)(
            error.errno, f"{path} cannot be written: {error.strerror}", str(path)
        ) from error
    finally:
        with contextlib.suppress(OSError):  # it may never have been there
            temporary.unlink()


def _write_zip(file: Any, document: str, arrays: list[Array]) -> None:
    # A fixed date makes the same content the same bytes.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(DOCUMENT), document)
        for number, array in enumerate(arrays):
            with archive.open(zipfile.ZipInfo(_entry(number)), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read(path: str | os.PathLike[str], kind: str, understand: Callable[[Any], Result]) -> Result:
    """Read a file and hand its content to a function.

    Raises
    ------
    LoadError
        If anything is wrong with the file, what the function raises included.
    OSError
        If the file cannot be opened.
    """
    data = Path(path).read_bytes()
    try:
        document, arrays = _read_zip(data)
        if document["format"] != FORMAT or document["kind"] != kind:
            raise LoadError(f"it is not a file in which skcnn keeps {kind}s")
        if document["format_version"] > FORMAT_VERSION:
            raise LoadError(
                f"it was written by skcnn {document['versions']['skcnn']}, which is newer than "
                f"this, {versions()['skcnn']}"
            )
        return understand(decode(document["content"], arrays))
    # A damaged file may fail anywhere between the zip and the network.
    except Exception as error:
        known = isinstance(error, ValueError | zipfile.BadZipFile)
        reason = str(error) if known else repr(error)
        raise LoadError(f"{os.fspath(path)} cannot be loaded: {reason}") from error


def _read_zip(data: bytes) -> tuple[dict[str, Any], list[Array]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        expected = [DOCUMENT, *map(_entry, range(len(entries) - 1))]
        for entry, name in zip(entries, expected, strict=True):
            if entry.filename != name:
                raise LoadError(f"its entry {entry.filename!r} should be {name!r}")
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise LoadError(f"its entry {name!r} is compressed")
        if sum(entry.file_size for entry in entries) > len(data):
            raise LoadError("its entries are larger than the file")
        document = json.loads(archive.read(entries[0]))
        return document, [_array(archive.read(entry)) for entry in entries[1:]]


def _entry(number: int) -> str:
    return f"arrays/{number}.npy"


def _array(data: bytes) -> Array:
    file = io.BytesIO(data)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, in_columns, dtype = readers[np.lib.format.read_magic(file)](file)
    body = data[file.tell() :]
    if dtype.kind not in KINDS:
        raise LoadError(f"it has an array of {dtype}, which could run code")
    if math.prod(shape) * dtype.itemsize != len(body):
        raise LoadError("it has an array of another size than it says")
    return np.ndarray(shape, dtype, buffer=body, order="F" if in_columns else "C").copy("K")


# Values. JSON has no tuples, arrays or keys that are numbers: what it has not is an object with
# one key that says what it is.


def encode(value: Any, arrays: list[Array]) -> Any:
    """Turn a value into what JSON can hold, adding its arrays to a list.

    Raises
    ------
    TypeError
        If it is of a kind that cannot be read back without running code.
    """

    def every(values: Any) -> list[Any]:
        return [encode(item, arrays) for item in values]

    match value:
        case None | bool() | str():
            return value if not isinstance(value, np.generic) else _encode_array(value, arrays)
        case np.ndarray() | np.generic():
            return _encode_array(value, arrays)
        case int() | float():
            return value
        case list():
            return every(value)
        case tuple():
            return {"tuple": every(value)}
        case dict():
            return {"dict": [every(item) for item in value.items()]}
        case os.PathLike():
            return os.fspath(value)
        case type() if KERAS_CLASSES.get(value.__name__) is value:
            return {"class": value.__name__}
        case keras.optimizers.Optimizer() | SCHEDULE() if type(value) in KERAS_CLASSES.values():
            config = value.get_config()
            if isinstance(config.get("learning_rate"), dict):
                config["learning_rate"] = value._learning_rate
            return {"keras": type(value).__name__, "config": encode(config, arrays)}
        case BaseEstimator() if class_name(type(value)) in LOADABLE:
            return {
                "object": class_name(type(value)),
                "parameters": encode(value.get_params(deep=False), arrays),
                "attributes": encode(attributes(value), arrays),
            }
    raise TypeError(f"a {type(value).__name__} cannot be saved: {value!r}")


def _encode_array(value: Any, arrays: list[Array]) -> Any:
    array = np.asarray(value)
    if array.dtype.kind == "O":
        shape = list(array.shape)
        return {"objects": [encode(item, arrays) for item in array.flat], "shape": shape}
    if array.dtype.kind not in KINDS:
        raise TypeError(f"an array of {array.dtype} cannot be saved")
    arrays.append(array)
    return {"array": len(arrays) - 1, "scalar": isinstance(value, np.generic)}


def decode(value: Any, arrays: list[Array]) -> Any:
    """Turn what :func:`encode` made into the value."""

    def every(values: Any) -> list[Any]:
        return [decode(item, arrays) for item in values]

    match value:
        case list():
            return every(value)
        case {"tuple": items}:
            return tuple(every(items))
        case {"dict": items}:
            return dict(every(item) for item in items)
        case {"array": number, "scalar": scalar}:
            array = arrays[range(len(arrays))[number]]
            return array[()] if scalar else array
        case {"objects": items, "shape": shape}:
            objects = np.empty(len(items), dtype=object)
            objects[:] = every(items)
            return objects.reshape(shape)
        case {"class": name}:
            return KERAS_CLASSES[name]
        case {"keras": name, "config": config}:
            return KERAS_CLASSES[name](**decode(config, arrays))
        case {"object": name, "parameters": parameters, "attributes": learnt}:
            if name not in LOADABLE:
                raise LoadError(
                    f"it holds a {name}, a class that is not there; import the module that "
                    "defines it first"
                )
            restored = LOADABLE[name](**decode(parameters, arrays))
            restored._validate_params()
            for attribute, item in decode(learnt, arrays).items():
                if attribute.startswith("_") or not attribute.endswith("_"):
                    raise LoadError(f"{attribute!r} is no name of a learnt attribute")
                setattr(restored, attribute, item)
            return restored
        case dict():
            raise LoadError(f"it has an unknown kind of value with the keys {sorted(value)}")
    return value


def attributes(estimator: BaseEstimator) -> dict[str, Any]:
    """Return what an estimator has learnt, without what is private to it."""
    return {
        name: value
        for name, value in estimator.__getstate__().items()
        if name.endswith("_") and not name.startswith("_")
    }
