"""The file format: plain values and arrays, written atomically and read without running code.

A file is a zip of ``metadata.json`` and one ``.npy`` file per array. Nothing is compressed and
each array is referenced once, so the memory needed to read a file is bounded by its size; nothing
is unpacked to disk; and no name in a file is imported: classes are looked up in a registry.
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

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from .._compat import check_params
from .._keras import keras, tf
from .registry import LOADABLE, class_name

Array = NDArray[Any]
Result = TypeVar("Result")

FORMAT = "skcnn"
FORMAT_VERSION = 2
DOCUMENT = "metadata.json"

# NumPy's kinds of dtypes, without objects, which need pickle.
KINDS = "biufcSUmM"

# Types of dictionary keys. Keys of other types, and larger integers, can be chosen so that their
# hashes collide, and reading n of them would take time proportional to n**2.
KEYS = (str, int, float, np.bool_, np.integer, np.float64, np.float32, np.float16, np.bytes_)
MAX_KEY = 2**64

# Creating an optimizer takes milliseconds but only a few bytes of a file.
MAX_OBJECTS = 100

# Maximum length of the cause in an error message, which may quote the contents of a file.
MAX_REASON = 1000

# Attributes that an estimator computes on access.
COMPUTED = (property, functools.cached_property)

SCHEDULE = keras.optimizers.schedules.LearningRateSchedule
# Types of the arguments of Keras's optimizers and schedules, which may be in a list.
FLAT = (str, int, float, np.generic, np.ndarray, SCHEDULE)
KERAS_CLASSES = {
    name: value
    for module in (keras.optimizers, keras.optimizers.schedules)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, keras.optimizers.Optimizer | SCHEDULE)
}


class LoadError(ValueError):
    """A file was not written by skcnn, or is damaged."""


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


def versions() -> dict[str, str]:
    """Return the versions of the libraries that the contents of a file depend on."""
    from skcnn import __version__  # set after its modules are imported

    return {
        "skcnn": __version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "tensorflow": tf.version.VERSION,
    }


# Files


def check_path(path: Any, name: str = "path") -> Path:
    """Check that an argument is the name of a file.

    Raises
    ------
    TypeError
        If it is not a str or path.
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
    """Resolve links to the target of a write, which must not exist or be of the given kind."""
    target = Path(os.path.realpath(path))
    if os.path.lexists(target) and not kind(target.stat().st_mode):
        number = errno.EISDIR if target.is_dir() else errno.EEXIST
        raise OSError(number, f"path must be {expected}, but is {describe(target)}", str(path))
    return target


def describe(path: Path) -> str:
    """Describe the type of the file at a path."""
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFREG: "a file",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(path.stat().st_mode), "a device")


def write(path: str | os.PathLike[str], kind: str, content: Any) -> None:
    """Write a file atomically.

    The permissions of a file that is replaced are kept. Links are followed.

    Raises
    ------
    TypeError
        If the content has a value that :func:`encode` does not support.
    OSError
        If the file cannot be written; an existing file is unchanged then.
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
    # Unique, so that concurrent writers of one file do not interfere.
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
        with contextlib.suppress(OSError):  # it may not exist
            temporary.unlink()


def copy_permissions(old: Path, new: Path) -> None:
    """Copy mode and, if permitted, owner of the replaced file to the new one."""
    with contextlib.suppress(FileNotFoundError):
        status = old.stat()
        if hasattr(os, "chown"):
            with contextlib.suppress(PermissionError):
                os.chown(new, status.st_uid, status.st_gid)
        os.chmod(new, stat.S_IMODE(status.st_mode))


def _write_zip(file: Any, document: str, arrays: list[Array]) -> None:
    # The date is fixed, so that equal contents give equal bytes.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(DOCUMENT), document)
        for number, array in enumerate(arrays):
            with archive.open(zipfile.ZipInfo(_entry(number)), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # other systems cannot open folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read(path: str | os.PathLike[str], kind: str, understand: Callable[[Any], Result]) -> Result:
    """Read a file and pass its content to a function.

    Raises
    ------
    LoadError
        If the file is invalid, or the function raises an exception.
    OSError
        If the file cannot be opened.
    """
    path = check_path(path)
    if not stat.S_ISREG(path.stat().st_mode):  # a named pipe would block
        raise LoadError(f"{path} cannot be loaded: it is {describe(path)}, not a file")
    with open(path, "rb") as file:
        try:
            return understand(_content(file, kind))
        # A damaged file may raise anything, from reading the zip to building the network.
        except Exception as error:
            known = isinstance(error, ValueError | zipfile.BadZipFile)
            reason = str(error) if known else repr(error)
            if len(reason) > MAX_REASON:
                reason = f"{reason[:MAX_REASON]}..."
            raise LoadError(f"{path} cannot be loaded: {reason}") from error


def _content(file: IO[bytes], kind: str) -> Any:
    document, arrays = _read_zip(file)
    if document["format"] != FORMAT or document["kind"] != kind:
        raise LoadError(f"it is not a skcnn file of kind {kind!r}")
    if document["format_version"] > FORMAT_VERSION:
        raise LoadError(
            f"it was written by skcnn {document['versions']['skcnn']}, which is newer than the "
            f"installed version, {versions()['skcnn']}"
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
        raise LoadError(f"it has an array of dtype {dtype}, which could run code")
    if math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise LoadError("it has an array whose size differs from its header")
    # With items of zero bytes, or an axis of length zero, other axes could have any length.
    if not dtype.itemsize or math.prod(n or 1 for n in shape) * dtype.itemsize > most:
        raise LoadError(f"it has an array of dtype {dtype} and shape {shape} without values")
    order: Literal["F", "C"] = "F" if in_columns else "C"
    return np.ndarray(shape, dtype, data, file.tell(), order=order).copy("K")


# Values. What JSON lacks, such as tuples, arrays and keys that are numbers, is encoded as an
# object whose first key names its type.


def encode(value: Any, arrays: list[Array]) -> Any:
    """Encode a value for JSON, appending its arrays to a list.

    Raises
    ------
    TypeError
        If the value is of a type that cannot be read back without running code.
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
    """Encode a Keras class, or an object of Keras or of a registered class."""
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
    """Check that the arguments of an optimizer or a schedule are not nested, as in Keras."""
    for name, value in config.items():
        items = value if isinstance(value, list | tuple) else [value]
        if not all(item is None or isinstance(item, FLAT) for item in items):
            raise TypeError(f"a Keras object with {name}={value!r} cannot be saved")


def decode(value: Any, arrays: list[Array]) -> Any:
    """Decode the result of :func:`encode`; each array of the list can be used once."""
    return _Decoder(arrays).decode(value)


class _Decoder:
    """Decodes values in time and memory proportional to the size of the encoded ones."""

    def __init__(self, arrays: list[Array]) -> None:
        self.arrays = dict(enumerate(arrays))
        self.n_objects = 0

    def every(self, values: list[Any]) -> list[Any]:
        for index, item in enumerate(values):  # in place, as lists may be large
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
                    raise LoadError(f"its array {number} is missing or used twice")
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
        raise LoadError(f"it has a value of an unknown type with the keys {list(value)}")

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
                f"it has an object of the unknown class {name}; import the module that defines "
                "it first"
            )
        cls, given = LOADABLE[name], self.decode(parameters)
        former: frozenset[str] = getattr(cls, "_FORMER_PARAMETERS", frozenset())
        restored = cls(**{key: value for key, value in given.items() if key not in former})
        check_params(restored)
        for attribute, item in self.decode(learned).items():
            made = isinstance(getattr(type(restored), attribute, None), COMPUTED)
            if attribute.startswith("_") or not attribute.endswith("_") or made:
                raise LoadError(f"{attribute!r} is not the name of a learned attribute")
            setattr(restored, attribute, item)
        return restored


def attributes(estimator: BaseEstimator) -> dict[str, Any]:
    """Return the public learned attributes of an estimator."""
    return {
        name: value
        for name, value in estimator.__getstate__().items()
        if name.endswith("_") and not name.startswith("_")
    }
