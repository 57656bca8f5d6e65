"""In-memory images of one or many sizes, resized lazily in batches of rows."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .files import (
    COLOUR_MODES,
    GREY_MODES,
    Head,
    ImageFiles,
    as_bytes,
    as_paths,
    head_of,
    kind_of,
    layers_of,
)
from .sizes import (
    WHITE,
    LazyImages,
    check_resize,
    fill_values,
    in_parallel,
    numeric_layers,
    parse_colour,
    parse_size,
    resized,
    value_limits,
    write_layers,
)

Array = NDArray[Any]

# Pillow modes of uint8 arrays by number of channels; two and four include an alpha channel.
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def as_numpy(X: Any, name: str) -> Any:
    """Convert an array of another array library to NumPy; return all else unchanged."""
    # Tensors of PyTorch have no __array_namespace__, but can be exchanged.
    if isinstance(X, np.ndarray | np.generic) or not (
        hasattr(X, "__array_namespace__") or hasattr(X, "__dlpack__")
    ):
        return X
    try:
        return np.asarray(X)
    except Exception as error:  # libraries raise their own types for arrays on a device
        raise ValueError(
            f"{name} is an array of {type(X).__module__} that NumPy cannot read ({error}); "
            "convert it to a NumPy array."
        ) from error


def as_rows(X: Any) -> Any:
    """Return lazy containers unchanged and convert everything else to an array."""
    return X if hasattr(X, "shape") and not hasattr(X, "__array__") else np.asarray(X)


def images_as_rows(
    X: Any, *, image_size: Any = None, resize: str = "stretch", background: Any = "white"
) -> Any:
    """Return images from files or memory as an array or a container indexed like one."""
    reading = {"image_size": image_size, "resize": resize, "background": background}
    paths = as_paths(X)
    if paths is not None:
        return ImageFiles(paths, **reading)
    if is_image_list(X):
        return ImageArrays(X, **reading)
    X = as_rows(as_numpy(X, "X"))
    size = parse_size(image_size)
    if size is not None and X.shape[1:3] != size and X.ndim in (3, 4):
        return ImageArrays(X if X.ndim == 4 else X[..., None], **reading)
    if parse_colour(background) != WHITE:
        raise ValueError(
            f"background={background!r} is for transparent pixels and the padding of "
            "resize='pad', but X is an array of images with neither."
        )
    return X


def is_image_list(X: Any) -> bool:
    """Return whether X is a list of separate images rather than one array."""
    if isinstance(X, np.ndarray) and (X.ndim != 1 or X.dtype != object):
        return False
    if not isinstance(X, list | tuple | np.ndarray) or not len(X):
        return False
    if not all(_is_image(item) for item in X):
        return False
    # Arrays of equal shape form one array; Pillow images do not, as they may have palettes.
    alike = {(item.shape, item.dtype) if isinstance(item, np.ndarray) else id(item) for item in X}
    return len(alike) > 1 or not isinstance(X[0], np.ndarray)


def _is_image(item: Any) -> bool:
    return isinstance(item, Image.Image) or (isinstance(item, np.ndarray) and item.ndim in (2, 3))


class ImageArrays(LazyImages):
    """Images in memory with the interface of an array of images of one size.

    ``images[rows]`` resizes those rows in parallel and returns (n, height, width, channels).
    uint8 and uint16 pixels keep their dtype, all others become float32.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width, channels), or list
        An array, or a list of arrays of shape (height, width[, channels]) and Pillow images, of
        any size. In a list, uint8 arrays of two or four channels include an alpha channel.
    shape : tuple of (height, width, channels), default=None
        Shape of each image after reading. None uses three channels if any image has colour, and
        the common size.
    image_size : int or tuple of (height, width), default=None
        Size to resize the images to. None raises if the sizes differ.
    resize : {"stretch", "crop", "pad"}, default="stretch"
        Change the aspect ratio, crop the longer side, or pad the shorter one.
    background : str or tuple of (red, green, blue), default="white"
        Colour of transparent pixels and padding.
    limits : tuple of (black, white), default=None
        Pixel values of black and white. None derives them from the images.

    Raises
    ------
    ValueError
        If an item is not an image, or if dtypes differ; the message names the row.
    """

    def __init__(
        self,
        images: Any,
        *,
        shape: tuple[int, int, int] | None = None,
        image_size: Any = None,
        resize: str = "stretch",
        background: Any = "white",
        limits: tuple[float, float] | None = None,
    ) -> None:
        self.images = images if isinstance(images, np.ndarray) else _objects(images)
        self.resize = check_resize(resize)
        self.background = parse_colour(background)
        size = parse_size(image_size)
        if self.images.ndim == 4:
            height, width, depth = self.images.shape[1:]
            heads = [Head(height, width, depth, _kind(self.images.dtype))]
        else:
            heads = [_checked(item, row, self.background) for row, item in enumerate(self.images)]
        self.dtype = np.dtype(_common_kind(heads))
        channels = max(head.channels for head in heads) if shape is None else shape[2]
        self.shape = (len(self.images), *(size or _common_size(heads)), channels)
        if limits is None and self.resize == "pad" and self.dtype != np.uint8:
            limits = self._limits()
        self.limits = limits
        self._fill = fill_values(self.background, channels, limits or (0.0, 255.0))

    def _read(self, rows: Any) -> Array:
        images = self.images[rows]
        out = np.empty((len(images), *self.shape[1:]), dtype=self.dtype)
        in_parallel(self._write, images, out)
        return out

    def fingerprint(self) -> str:
        """Return a fingerprint of the resized images."""
        content = hashlib.sha256(repr((self.shape, self.dtype.name)).encode())
        for start in range(0, len(self), 64):
            content.update(self[start : start + 64].tobytes())
        return content.hexdigest()

    def _limits(self) -> tuple[float, float]:
        """Derive the pixel values of black and white from all pixels."""
        items = [np.asarray(item) for item in self.images]
        low, high = min(item.min() for item in items), max(item.max() for item in items)
        return value_limits(float(low), float(high), self.images[0].dtype)

    def _write(self, item: Any, out: Array) -> None:
        height, width, channels = out.shape
        if isinstance(item, np.ndarray) and item.shape == out.shape:
            out[:] = item
            return
        layers = self._layers(item, channels)
        write_layers(resized(layers, (height, width), self.resize, self._fill), out)

    def _layers(self, item: Any, channels: int) -> list[Image.Image]:
        if isinstance(item, Image.Image):
            return layers_of(item.copy(), "", kind_of(item), channels, self.background)
        values = item if item.ndim == 3 else item[..., None]
        given = values.shape[-1]
        if values.dtype != np.uint8 or (given == channels and given not in (1, 3)):
            return numeric_layers(values, channels)
        pixels = values if given > 1 else values[..., 0]
        return [as_bytes(Image.fromarray(pixels, MODES[given]), channels, self.background)]


def _objects(images: Any) -> Array:
    items = np.empty(len(images), dtype=object)
    for row, item in enumerate(images):  # assigning all at once would unpack the arrays
        items[row] = item
    return items


def _kind(dtype: np.dtype[Any]) -> str:
    return dtype.name if dtype.name in ("uint8", "uint16") else "float32"


def _checked(item: Any, row: int, background: Any) -> Head:
    """Validate an image of a list and return its head."""
    try:
        if isinstance(item, Image.Image):
            return _checked_picture(item, background)
        if item.dtype.kind not in "buif" or 0 in item.shape:
            raise ValueError(f"it is an array of {item.dtype} and shape {item.shape}")
        height, width, depth = (*item.shape, 1)[:3]
        head = Head(height, width, depth, _kind(item.dtype))
        if head.channels not in MODES or (head.channels in (2, 4) and head.dtype != "uint8"):
            raise ValueError(
                f"it has {head.channels} channels of {item.dtype}; images in a list must have one "
                "(grey) or three (colour), and may have an alpha channel if they are uint8"
            )
        if item.dtype.kind == "f" and not np.isfinite(item.sum(dtype=np.float64)):
            raise ValueError("it has pixels that are NaN or infinite")
        return head._replace(channels=_shown_channels(head.channels, background))
    except ValueError as error:
        raise ValueError(f"X has a bad image in row {row}: {error}.") from error


def _shown_channels(channels: int, background: Any) -> int:
    grey = channels == 1 or (channels == 2 and len(set(background)) == 1)
    return 1 if grey else 3


def _checked_picture(image: Image.Image, background: Any) -> Head:
    image.load()
    if image.mode not in GREY_MODES | COLOUR_MODES:
        raise ValueError(f"its pixels are of Pillow's unknown mode {image.mode!r}")
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise ValueError(f"it has {image.n_frames} frames, but a still image is expected")  # type: ignore[attr-defined]
    return head_of(image, background)


def _common_kind(heads: list[Head]) -> str:
    for row, head in enumerate(heads):
        if head.dtype != heads[0].dtype:
            raise ValueError(
                f"X has images of different dtypes: row 0 has values of {heads[0].dtype} and row "
                f"{row} has values of {head.dtype}. Convert them to one dtype."
            )
    return heads[0].dtype


def _common_size(heads: list[Head]) -> tuple[int, int]:
    for row, head in enumerate(heads):
        if head[:2] != heads[0][:2]:
            raise ValueError(
                f"X has images of different sizes: row 0 has {heads[0].height}x"
                f"{heads[0].width} pixels and row {row} has {head.height}x{head.width}. "
                "Set image_size to resize them."
            )
    return heads[0][:2]
