"""Image files as an array that is decoded a few rows at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import joblib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

Array = NDArray[Any]
Result = TypeVar("Result")

# Pillow's modes and the channels that their pixels need. Any other mode, such as the 32-bit "I"
# and "F", has no agreed range of values.
GREY_MODES = {"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N"}
COLOUR_MODES = {"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}


class ImageFiles:
    """A 1-D array of image paths that reads like the array of their pixels.

    ``files[rows]`` decodes those rows, in parallel, as (n, height, width, channels) bytes, so
    whatever reads an image array by rows reads files too.

    Every file becomes 8-bit grey or RGB: palettes and CMYK turn into RGB, of 16-bit values the
    high byte is kept, transparency is dropped, a camera's orientation tag is obeyed, and of the
    pictures that a phone stores in one JPEG (MPO) the first counts.

    Parameters
    ----------
    paths : array-like of str or path, shape (n_samples,)
        The files.
    shape : tuple of (height, width, channels), default=None
        What to turn each image into. None looks at the head of every file: the channels are
        three if any has colour, else one, and the size is that which all have.
    image_size : tuple of (height, width), default=None
        Size to resize the images to. None refuses images of another size.

    Raises
    ------
    ValueError
        If a file is not one still image that can be decoded; the message names the file.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        paths: Any,
        *,
        shape: tuple[int, int, int] | None = None,
        image_size: Sequence[int] | None = None,
    ) -> None:
        self.paths = np.array([str(os.fspath(path)) for path in paths], dtype=object)
        self.resize = image_size is not None
        if shape is None:
            heads = _in_threads(_head, self.paths)
            size = _common_size(self.paths, heads) if image_size is None else image_size
            shape = (int(size[0]), int(size[1]), max(channels for *_, channels in heads))
        self.shape = (len(self.paths), *shape)

    def __len__(self) -> int:
        return len(self.paths)

    def fingerprint(self) -> tuple[Any, ...]:
        """Return a fingerprint of the contents: the bytes of the files and what they become."""

        def content(path: str) -> str:
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

        return _in_threads(content, self.paths), self.shape

    def __getitem__(self, rows: Any) -> Array:
        paths = self.paths[rows]
        out = np.empty((len(paths), *self.shape[1:]), dtype=np.uint8)
        _in_threads(self._decode_into, paths, out)
        return out

    def _decode_into(self, path: str, out: Array) -> None:
        height, width, channels = out.shape
        with _opened(path) as image:
            if self.resize:
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            elif image.size != (width, height):
                raise ValueError(
                    f"it has {image.height}x{image.width} pixels where {height}x{width} are "
                    "expected; set image_size to have images resized"
                )
            out[:] = np.asarray(_as_bytes(image, channels)).reshape(out.shape)


def is_paths(X: Any) -> bool:
    """Say whether X is a 1-D array-like of file paths rather than of pixels."""
    if isinstance(X, ImageFiles | str | bytes | dict) or not hasattr(X, "__len__"):
        return False
    if getattr(X, "ndim", 1) != 1 or getattr(getattr(X, "dtype", None), "kind", "O") in "biufc":
        return False
    found = [isinstance(item, str | os.PathLike) for item in X]
    if any(found) and not all(found):
        row = found.index(False)
        raise ValueError(
            "X must be paths of image files in every row or in none; row "
            f"{row} is a {type(list(X)[row]).__name__}."
        )
    return any(found)


def read_images(
    paths: Any,
    *,
    shape: tuple[int, int, int] | None = None,
    image_size: Sequence[int] | None = None,
) -> Array:
    """Decode image files into one array of shape (n_samples, height, width, channels)."""
    return ImageFiles(paths, shape=shape, image_size=image_size)[:]


def _in_threads(function: Callable[..., Result], *columns: Any) -> list[Result]:
    # Pillow decodes outside Python's lock. One long run of rows a thread, because small images
    # spend so little time there that handing them over singly would cost more.
    n_threads = min(joblib.cpu_count(), 8, max(1, len(columns[0]) // 8))
    runs = zip(*(np.array_split(column, n_threads) for column in columns), strict=True)
    with ThreadPoolExecutor(n_threads) as pool:
        done = pool.map(lambda run: list(map(function, *run)), runs)
        return [result for results in done for result in results]


def _head(path: str) -> tuple[int, int, int]:
    """Read height, width and needed channels without decoding the pixels."""
    with _opened(path, decode=False) as image:
        width, height = image.size
        # The orientation tags from 5 on swap the sides.
        if image.getexif().get(0x0112, 1) >= 5:
            width, height = height, width
        return height, width, 1 if image.mode in GREY_MODES else 3


def _common_size(paths: Array, heads: list[tuple[int, int, int]]) -> tuple[int, int]:
    for path, (height, width, _) in zip(paths, heads, strict=True):
        if (height, width) != heads[0][:2]:
            raise ValueError(
                f"the image files have different sizes: {paths[0]!r} has {heads[0][0]}x"
                f"{heads[0][1]} pixels and {path!r} has {height}x{width}. Set image_size to have "
                "images resized."
            )
    return heads[0][:2]


@contextmanager
def _opened(path: str, decode: bool = True) -> Iterator[Image.Image]:
    """Open one still image of a known mode; every error names the file."""
    try:
        with Image.open(path) as image:
            # Pillow itself only warns between its limit and twice that.
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise ValueError(
                    f"its {image.height}x{image.width} pixels are more than "
                    f"PIL.Image.MAX_IMAGE_PIXELS={limit}; raise that limit if you trust the file"
                )
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != "MPO":
                raise ValueError(f"it has {frames} frames, but a still image is expected")
            if image.mode not in GREY_MODES | COLOUR_MODES:
                raise ValueError(
                    f"its pixels are of Pillow's mode {image.mode!r}, which has no fixed range; "
                    "8-bit or 16-bit values are expected"
                )
            yield ImageOps.exif_transpose(image) if decode else image
    except Exception as error:
        raise ValueError(f"cannot read the image file {path!r}: {_reason(path, error)}") from error


def _reason(path: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):
        if os.path.getsize(path) == 0:
            return "it is empty"
        return "it is not an image in a format that Pillow knows"
    return str(error) or type(error).__name__


def _as_bytes(image: Image.Image, channels: int) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("P", "PA"):
        # Straight to RGB, Pillow warns of transparency that is kept as bytes.
        image = image.convert("RGBA")
    return image.convert("L" if channels == 1 else "RGB")
