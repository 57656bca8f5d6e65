"""Find, validate and read the weights of pretrained backbones."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .._compat import keras_home
from .._files.archive import check_path
from .._keras import keras
from .._training.network import compiles
from .._warnings import warn
from .backbones import BACKBONES, SMALLEST, Brought, Triple, build_backbone

Array = NDArray[Any]

IMAGENET = "imagenet"
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

# MD5 of EfficientNetB0's ImageNet weights, for which Keras adds a rescaling layer.
EFFICIENTNET_IMAGENET = "50bc09e76180e00e4465e1a485ddc09d"

# Maximum number of cached weight files. The largest in the table has 111 MB.
MAX_READ = 4


def read_weights(backbone: str, weights: Any, size: tuple[int, int]) -> Brought:
    """Read pretrained weights, once per process.

    Parameters
    ----------
    backbone : str
        A name in the table.
    weights : str or path
        "imagenet" or a file.
    size : tuple of (height, width)
        Size of the images, on which the ImageNet weights may depend.

    Raises
    ------
    OSError
        If the file does not exist or cannot be downloaded.
    ValueError
        If a file does not have the weights of this network.
    """
    if isinstance(weights, str) and weights == IMAGENET:
        return _read_imagenet(backbone, _size_of_imagenet(backbone, size))
    path = check_path(weights, "weights")
    if not path.is_file():
        raise FileNotFoundError(
            f"weights={str(path)!r} does not exist; it must be a Keras file with the weights of "
            f"{backbone} without its top, {IMAGENET!r} or None."
        )
    status = path.stat()
    return _read_file(backbone, str(path.resolve()), status.st_mtime_ns, status.st_size)


@compiles(MAX_READ)
def _read_file(
    backbone: str, path: str, modified: int, size: int, is_imagenet: bool = False
) -> Brought:
    content = Path(path).read_bytes()
    model = build_backbone(backbone, input_shape=(SMALLEST, SMALLEST, 3))
    _check_arrays(path, backbone, [tuple(weight.shape) for weight in model.weights])
    try:
        _load_weights(model, path)
    except Exception as error:  # Keras raises exceptions of any type for other networks
        raise ValueError(_other_network(path, backbone, str(error).split("\n")[0])) from error
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    is_imagenet = is_imagenet or digest == EFFICIENTNET_IMAGENET
    return _taken_out(backbone, model, is_imagenet, hashlib.sha256(content).hexdigest())


def _read_imagenet(backbone: str, size: int) -> Brought:
    path = Path(keras_home(), "models", BACKBONES[backbone].file.format(size=size))
    status = path.stat() if path.is_file() else None
    if status is not None and not os.access(keras_home(), os.W_OK):
        # Keras would look for the file in another folder.
        return _read_file(backbone, str(path), status.st_mtime_ns, status.st_size, True)
    return _read_cached(backbone, size, str(path), status and (status.st_mtime_ns, status.st_size))


@compiles(MAX_READ)
def _read_cached(backbone: str, size: int, path: str, status: Any) -> Brought:
    """Read the ImageNet weights with Keras, which downloads them if they are not cached."""
    try:
        model = build_backbone(backbone, weights=IMAGENET, input_shape=(size, size, 3))
    except Exception as error:  # Keras raises a plain Exception if a download fails
        raise OSError(_no_imagenet(backbone, path, error)) from error
    return _taken_out(backbone, model, True, _hash_of_cached(path, model))


def _size_of_imagenet(backbone: str, size: tuple[int, int]) -> int:
    """Choose the image size of the ImageNet weights, as Keras does."""
    known = BACKBONES[backbone]
    if not known.sizes:
        return known.usual
    if size[0] == size[1] and size[0] in known.sizes:
        return size[0]
    warn(
        f"{backbone} has ImageNet weights for square images of {', '.join(map(str, known.sizes))} "
        f"pixels; for image_size={size} those of {known.usual} are used.",
    )
    return known.usual


def _taken_out(backbone: str, model: keras.Model, is_imagenet: bool, sha256: str) -> Brought:
    mean, deviation = _fold_normalization(backbone, model, is_imagenet)
    return Brought(tuple(model.get_weights()), mean, deviation, sha256)


def _fold_normalization(
    backbone: str, model: keras.Model, is_imagenet: bool
) -> tuple[Triple, Triple]:
    """Return the normalization of a network, after resetting its Normalization layer.

    That layer computes constants when weights are loaded, so it would ignore weights that are set
    later.
    """
    known = BACKBONES[backbone]
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            mean, variance, count = layer.get_weights()
            # With ImageNet weights, Keras's additional layer divides by these values, too.
            again = np.sqrt(IMAGENET_DEVIATION) if is_imagenet else np.ones(3)
            deviation = np.sqrt(variance.reshape(-1)) * again
            layer.set_weights([np.zeros_like(mean), np.ones_like(variance), count])
            return _triple(255 * mean.reshape(-1)), _triple(deviation)
    return known.mean, known.deviation


def _triple(values: Array) -> Triple:
    red, green, blue = np.broadcast_to(values, 3).astype(float)
    return float(red), float(green), float(blue)


def _load_weights(model: keras.Model, path: str) -> None:
    # Keras infers the format from the file name.
    with h5py.File(path) as file:
        is_former = "layer_names" in file.attrs or "model_weights" in file
    ending = ".h5" if is_former else ".weights.h5"
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.endswith(".weights.h5") is is_former or not path.endswith(ending):
            path = str(shutil.copyfile(path, Path(folder, f"copy{ending}")))
        model.load_weights(path)


def _check_arrays(path: str, backbone: str, expected: list[tuple[int, ...]]) -> None:
    """Compare the shapes of the arrays in a file with the weights of a network."""
    shapes: Counter[tuple[int, ...]] = Counter()

    def count(name: str, item: Any) -> None:
        is_array = isinstance(item, h5py.Dataset) and not name.startswith("optimizer")
        # Ignore the states of seed generators.
        if is_array and (item.dtype.kind == "f" or item.shape == ()):
            shapes[item.shape] += 1

    try:
        with h5py.File(path) as file:
            file.visititems(count)
    except OSError as error:
        raise ValueError(
            f"weights={path!r} is not an HDF5 file with weights, or is damaged: {error}."
        ) from error
    missing, more = Counter(expected) - shapes, shapes - Counter(expected)
    missing.pop((), None)
    more.pop((), None)
    if more and not missing:
        raise ValueError(
            f"weights={path!r} has more arrays than {backbone} without its top. Use the file "
            "without the top, whose name usually ends in no_top or notop."
        )
    if missing:
        shape, number = next(iter(missing.items()))
        reason = (
            f"of {len(expected)} arrays it lacks {sum(missing.values())}, such as {number} of "
            f"shape {shape}"
        )
        raise ValueError(_other_network(path, backbone, reason))


def _other_network(path: str, backbone: str, reason: str) -> str:
    return (
        f"weights={path!r} are not those of {backbone} without its top: {reason}. Choose the "
        "matching backbone."
    )


def _caches(path: str) -> list[Path]:
    """List the possible paths of a cached file; the second is Keras's fallback."""
    temporary = "/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()
    return [Path(path), Path(temporary, ".keras", "models", Path(path).name)]


def _no_imagenet(backbone: str, path: str, error: Exception) -> str:
    file, reason = Path(path), " ".join(str(error).split())
    cached = [str(place) for place in _caches(path) if place.is_file()]
    if cached:
        return (
            f"weights='imagenet': {cached[0]!r} in Keras's cache is damaged ({reason}). Remove it "
            f"to download it again, or copy the file {file.name} from another machine."
        )
    return (
        f"weights='imagenet': the weights of {backbone} cannot be downloaded ({reason}). Offline, "
        f"copy the file {file.name} to {str(file.parent)!r}, where Keras caches it, "
        "or set weights to the path of a file."
    )


def _hash_of_cached(path: str, model: keras.Model) -> str:
    """Return the hash of the file that Keras has read; of the weights if it is not found."""
    for place in _caches(path):
        if place.is_file():
            return hashlib.sha256(place.read_bytes()).hexdigest()
    return hash_of(model.get_weights())


def hash_of(arrays: list[Array]) -> str:
    """Return the hash of the contents of arrays."""
    content = hashlib.sha256()
    for array in arrays:
        content.update(repr((array.shape, array.dtype.name)).encode() + array.tobytes())
    return content.hexdigest()
