"""Files of plain values and arrays, written whole or not at all and read without running code.

A file is a zip of ``metadata.json`` and one ``.npy`` an array. Nothing in it is compressed and
each array is referred to once, so what is read is never much larger than the file; nothing is
unpacked to disk; and no name in it is imported: a class is looked up among those that registered
themselves.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import json
import math
import os
import stat
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

import keras
import numpy as np
import sklearn
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from .._compat import check_params

Array = NDArray[Any]
Result = TypeVar("Result")
Class = TypeVar("Class", bound=type)

ROOT = __name__.partition(".")[0]

FORMAT = "skcnn"
FORMAT_VERSION = 2
DOCUMENT = "metadata.json"

# NumPy's kinds without objects, which only a pickle could hold.
KINDS = "biufcSUmM"

# Dictionary keys of other types can be chosen so that their hashes collide, and reading n of
# them would take time proportional to n**2. Larger integers than these are such keys.
KEYS = (str, int, float, np.bool_, np.integer, np.float64, np.float32, np.float16, np.bytes_)
MAX_KEY = 2**64

# Making an optimizer takes milliseconds, and a few bytes in a file ask for one.
MAX_OBJECTS = 100

# What an error says of the cause at most, which may quote what the file holds.
MAX_REASON = 1000

# Attributes that an estimator makes when they are asked for.
COMPUTED = (property, functools.cached_property)

# Classes whose objects a file may hold, under their names.
LOADABLE: dict[str, type[BaseEstimator]] = {}

SCHEDULE = keras.optimizers.schedules.LearningRateSchedule
# What Keras's optimizers and schedules take, alone or in a list.
FLAT = (str, int, float, np.generic, np.ndarray, SCHEDULE)
KERAS_CLASSES = {
    name: value
    for module in (keras.optimizers, keras.optimizers.schedules)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, keras.optimizers.Optimizer | SCHEDULE)
}


class LoadError(ValueError):
    """A file is not one that skcnn has written, or is damaged."""


@dataclass(frozen=True)
class Keyed:
    """A value that is compared, hashed and saved by its key.

    For arguments that cannot be hashed or are large, such as pretrained weights.

    Attributes
    ----------
    value : object
        The value, None where it was read from a file.
    key : str
        Equal for equal values and different for others, such as a hash of the contents.
    """

    value: Any = field(compare=False, repr=False)
    key: str


def loadable(cls: Class) -> Class:
    """Register a class whose objects a file may hold."""
    LOADABLE[class_name(cls)] = cls
    return cls


def class_name(cls: type) -> str:
    """Name a class: one of skcnn by its name, another with its module."""
    if cls.__module__.partition(".")[0] == ROOT:
        return cls.__qualname__
    return f"{cls.__module__}:{cls.__qualname__}"


def versions() -> dict[str, str]:
    """Return the versions of the libraries that what is in a file depends on."""
    from skcnn import __version__  # only set when all modules are imported

    return {
        "skcnn": __version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "tensorflow": tf.version.VERSION,
    }


# Files


def check_path(path: Any, name: str = "path") -> Path:
    """Check that an argument names a file.

    Raises
    ------
    TypeError
        If it is no str or path.
    ValueError
        If it is empty or has a null character.
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str or a path object, got {path!r}.")
    if not text or "\0" in text:
        raise ValueError(f"{name} must be the name of a file, got {path!r}.")
    return Path(text)


def check_target(path: Path, kind: Callable[[int], bool], expected: str) -> Path:
    """Follow a link to what is to be replaced, which must not be there or be of a kind."""
    target = Path(os.path.realpath(path))
    if os.path.lexists(target) and not kind(target.stat().st_mode):
        number = errno.EISDIR if target.is_dir() else errno.EEXIST
        raise OSError(number, f"path must be {expected}, but is {describe(target)}", str(path))
    return target


def describe(path: Path) -> str:
    """Name the kind of what is at a path."""
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFREG: "a file",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(path.stat().st_mode), "a device")


def write(path: str | os.PathLike[str], kind: str, content: Any) -> None:
    """Write a file so that at every moment it is there whole, the old one or the new.

    It has the permissions of the file it replaces, or those of any new file. A link is followed.

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
    target = check_target(check_path(path), stat.S_ISREG, "a file")
    # Unique, so that two writers of one file do not write into each other.
    temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            _write_zip(file, json.dumps(document, indent=1), arrays)
            file.flush()
            os.fsync(file.fileno())
        copy_permissions(target, temporary)
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise type(error)(
            error.errno, f"{path} cannot be written: {error.strerror}", str(path)
        ) from error
    finally:
        with contextlib.suppress(OSError):  # it may never have been there
            temporary.unlink()


def copy_permissions(old: Path, new: Path) -> None:
    """Give a new file the owner, where that is allowed, and the mode of the one it replaces."""
    with contextlib.suppress(FileNotFoundError):
        status = old.stat()
        if hasattr(os, "chown"):
            with contextlib.suppress(PermissionError):
                os.chown(new, status.st_uid, status.st_gid)
        os.chmod(new, stat.S_IMODE(status.st_mode))


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
    path = check_path(path)
    if not stat.S_ISREG(path.stat().st_mode):  # reading a named pipe would wait for a writer
        raise LoadError(f"{path} cannot be loaded: it is {describe(path)}, not a file")
    with open(path, "rb") as file:
        try:
            return understand(_content(file, kind))
        # A damaged file may fail anywhere between the zip and the network.
        except Exception as error:
            known = isinstance(error, ValueError | zipfile.BadZipFile)
            reason = str(error) if known else repr(error)
            if len(reason) > MAX_REASON:
                reason = f"{reason[:MAX_REASON]}..."
            raise LoadError(f"{path} cannot be loaded: {reason}") from error


def _content(file: IO[bytes], kind: str) -> Any:
    document, arrays = _read_zip(file)
    if document["format"] != FORMAT or document["kind"] != kind:
        raise LoadError(f"it is not a file in which skcnn keeps {kind}s")
    if document["format_version"] > FORMAT_VERSION:
        raise LoadError(
            f"it was written by skcnn {document['versions']['skcnn']}, which is newer than "
            f"this, {versions()['skcnn']}"
        )
    return decode(document["content"], arrays)


def _read_zip(file: IO[bytes]) -> tuple[dict[str, Any], list[Array]]:
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        expected = [DOCUMENT, *map(_entry, range(len(entries) - 1))]
        for entry, name in zip(entries, expected, strict=True):
            if entry.filename != name:
                raise LoadError(f"its entry {entry.filename!r} should be {name!r}")
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise LoadError(f"its entry {name!r} is compressed")
        if sum(entry.file_size for entry in entries) > size:
            raise LoadError("its entries are larger than the file")
        document = json.loads(archive.read(entries[0]))
        return document, [_array(archive.read(entry), size) for entry in entries[1:]]


def _entry(number: int) -> str:
    return f"arrays/{number}.npy"


def _array(data: bytes, most: int) -> Array:
    file = io.BytesIO(data)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, in_columns, dtype = readers[np.lib.format.read_magic(file)](file)
    if dtype.kind not in KINDS:
        raise LoadError(f"it has an array of {dtype}, which could run code")
    if math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise LoadError("it has an array of another size than it says")
    # Items of no bytes, and no items along one axis, leave the other axes free.
    if not dtype.itemsize or math.prod(n or 1 for n in shape) * dtype.itemsize > most:
        raise LoadError(f"it has an array of {dtype} of the shape {shape}, which has no values")
    order: Literal["F", "C"] = "F" if in_columns else "C"
    return np.ndarray(shape, dtype, data, file.tell(), order=order).copy("K")


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
            for key in value:
                _check_key(key)
            return {"dict": [every(item) for item in value.items()]}
        case os.PathLike():
            return os.fspath(value)
    return _encode_object(value, arrays)


def _encode_object(value: Any, arrays: list[Array]) -> Any:
    """Turn a class of Keras, or an object of a class that a file may hold, into its parts."""
    match value:
        case Keyed():
            return {"key": value.key}
        case type() if KERAS_CLASSES.get(value.__name__) is value:
            return {"class": value.__name__}
        case keras.optimizers.Optimizer() | SCHEDULE() if type(value) in KERAS_CLASSES.values():
            config = value.get_config()
            if isinstance(config.get("learning_rate"), dict):
                schedule = keras.optimizers.schedules.deserialize(config["learning_rate"])
                config["learning_rate"] = schedule
            _check_config(config)
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
    if array.dtype.kind not in KINDS or not array.dtype.itemsize:
        raise TypeError(f"an array of {array.dtype} cannot be saved")
    arrays.append(array)
    return {"array": len(arrays) - 1, "scalar": isinstance(value, np.generic)}


def _check_key(key: Any) -> None:
    if not (key is None or isinstance(key, KEYS)) or (isinstance(key, int) and abs(key) > MAX_KEY):
        raise TypeError(f"a dict with the key {key!r} cannot be saved")


def _check_config(config: dict[str, Any]) -> None:
    """Check that the arguments of an optimizer or a schedule are flat, as Keras's all are."""
    for name, value in config.items():
        items = value if isinstance(value, list | tuple) else [value]
        if not all(item is None or isinstance(item, FLAT) for item in items):
            raise TypeError(f"a Keras object with {name}={value!r} cannot be saved")


def decode(value: Any, arrays: list[Array]) -> Any:
    """Turn what :func:`encode` made into the value, taking its arrays out of the list."""
    return _Decoder(arrays).decode(value)


class _Decoder:
    """Makes values, in time and memory proportional to what they are made from."""

    def __init__(self, arrays: list[Array]) -> None:
        self.arrays = dict(enumerate(arrays))
        self.n_objects = 0

    def every(self, values: list[Any]) -> list[Any]:
        for index, item in enumerate(values):  # in place, as lists may be most of a file
            values[index] = self.decode(item)
        return values

    def decode(self, value: Any) -> Any:
        match value:
            case list():
                return self.every(value)
            case {"tuple": list(items)}:
                return tuple(self.every(items))
            case {"dict": list(items)}:
                return self.dictionary(items)
            case {"array": int(number), "scalar": scalar}:
                if number not in self.arrays:
                    raise LoadError(f"its array {number} is not there, or used before")
                array = self.arrays.pop(number)
                return array[()] if scalar else array
            case {"objects": list(items), "shape": list(shape)}:
                return np.fromiter(self.every(items), object, len(items)).reshape(shape)
            case dict():
                return self.object(value)
        return value

    def object(self, value: dict[str, Any]) -> Any:
        match value:
            case {"key": str(key)}:
                return Keyed(None, key)
            case {"class": name}:
                return KERAS_CLASSES[name]
            case {"keras": name, "config": config}:
                self.count_object()
                config = self.decode(config)
                _check_config(config)
                return KERAS_CLASSES[name](**config)
            case {"object": name, "parameters": parameters, "attributes": learned}:
                self.count_object()
                return self.estimator(name, parameters, learned)
        raise LoadError(f"it has an unknown kind of value with the keys {list(value)}")

    def dictionary(self, items: list[Any]) -> dict[Any, Any]:
        decoded = {}
        for key, item in map(self.every, items):
            _check_key(key)
            decoded[key] = item
        return decoded

    def count_object(self) -> None:
        self.n_objects += 1
        if self.n_objects > MAX_OBJECTS:
            raise LoadError(f"it has more than {MAX_OBJECTS} objects")

    def estimator(self, name: str, parameters: Any, learned: Any) -> BaseEstimator:
        if name not in LOADABLE:
            raise LoadError(
                f"it holds a {name}, a class that is not there; import the module that defines it "
                "first"
            )
        cls, given = LOADABLE[name], self.decode(parameters)
        former: frozenset[str] = getattr(cls, "_FORMER_PARAMETERS", frozenset())
        restored = cls(**{key: value for key, value in given.items() if key not in former})
        check_params(restored)
        for attribute, item in self.decode(learned).items():
            made = isinstance(getattr(type(restored), attribute, None), COMPUTED)
            if attribute.startswith("_") or not attribute.endswith("_") or made:
                raise LoadError(f"{attribute!r} is no name of a learned attribute")
            setattr(restored, attribute, item)
        return restored


def attributes(estimator: BaseEstimator) -> dict[str, Any]:
    """Return what an estimator has learned, without what is private to it."""
    return {
        name: value
        for name, value in estimator.__getstate__().items()
        if name.endswith("_") and not name.startswith("_")
    }
