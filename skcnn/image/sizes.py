"""Resizing, shared by image files and images in memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from typing import Any, TypeVar

import joblib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from .kept import KeptRows, kept_rows

Array = NDArray[Any]
Colour = tuple[int, int, int]
Size = tuple[int, int]
Box = tuple[float, float, float, float]
Result = TypeVar("Result")

SIDES = ("height", "width", "channels")

WHITE = (255, 255, 255)

# In a function that takes less time, threads would wait for each other, as most of it is Python:
# the heads of 1,500 files are read in half the time. Measured anew after so many rows.
QUICK_SECONDS = 1.5e-4
QUICK_ROWS = 32

# Weights of red, green and blue in grey (ITU-R BT.601), as in Pillow.
LUMA = np.array([0.299, 0.587, 0.114])


def check_sides(value: Sequence[int], name: str, *lengths: int) -> tuple[int, ...]:
    """Validate the sides of images and return them as a tuple."""
    sides = tuple(value)
    if len(sides) not in lengths or not all(map(_is_positive, sides)):
        forms = " or ".join(f"({', '.join(SIDES[:n])})" for n in lengths)
        raise ValueError(f"{name} must be {forms}, all positive integers; got {value!r}.")
    return sides


def parse_size(value: Any) -> Size | None:
    """Validate `image_size` and return it as (height, width)."""
    if value is None:
        return None
    if isinstance(value, Integral) and _is_positive(value):
        return int(value), int(value)
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
        raise ValueError(
            f"image_size must be an integer or (height, width), all positive; got {value!r}."
        )
    height, width = check_sides(tuple(value), "image_size", 2)
    return int(height), int(width)


def _is_positive(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and value > 0  # type: ignore[operator]


def parse_colour(value: Any) -> Colour:
    """Validate `background` and return it as (red, green, blue)."""
    try:
        colour = ImageColor.getrgb(value) if isinstance(value, str) else tuple(value)
    except (TypeError, ValueError):
        colour = ()
    whole = all(isinstance(part, Integral) and not isinstance(part, bool) for part in colour)
    if len(colour) != 3 or not whole or not all(0 <= part <= 255 for part in colour):
        raise ValueError(
            "background must be the name of a colour that Pillow knows, such as 'white' or "
            f"'#ff8000', or (red, green, blue) with integers from 0 to 255; got {value!r}."
        )
    return int(colour[0]), int(colour[1]), int(colour[2])


def value_limits(low: float, high: float, dtype: Any) -> tuple[float, float]:
    """Return the values of black and white of images whose pixels go from `low` to `high`.

    White is 255 for uint8. For other dtypes it is 1 if all pixels are in [0, 1], 255 if they are
    in [0, 255] and some are in the upper half, 65535 for uint16 if some are in its upper half, and
    else the highest value. Black is 0, or the lowest value if that is negative.
    """
    dtype = np.dtype(dtype)
    if dtype == np.uint8:
        return 0.0, 255.0
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    for white, known in ((255.0, True), (65535.0, dtype == np.uint16)):
        if known and low >= 0 and white / 2 < high <= white:
            return 0.0, white
    return min(float(low), 0.0), float(high)


def fill_values(background: Colour, channels: int, limits: tuple[float, float]) -> Array:
    """Return the pixel value of a background, given the values of black and white."""
    colour = np.array(background, dtype=float)
    if channels != 3:
        colour = np.repeat(np.rint(LUMA @ colour), channels)
    low, high = limits
    pixel: Array = low + colour / 255 * (high - low)
    return pixel


def _stretch(image: Image.Image, size: Size, fill: Any, box: Box) -> Image.Image:
    return image.resize(size, Image.Resampling.BILINEAR, box)


def _crop(image: Image.Image, size: Size, fill: Any, box: Box) -> Image.Image:
    # As PIL.ImageOps.fit, which takes no box.
    left, top, right, bottom = box
    width, height, ratio = right - left, bottom - top, size[0] / size[1]
    if width / height >= ratio:
        left += (width - ratio * height) / 2
        right = left + ratio * height
    else:
        top += (height - width / ratio) / 2
        bottom = top + width / ratio
    return image.resize(size, Image.Resampling.BILINEAR, (left, top, right, bottom))


def _pad(image: Image.Image, size: Size, fill: Any, box: Box) -> Image.Image:
    # ImageOps.pad would reduce a very long image to zero pixels.
    sides = box[2] - box[0], box[3] - box[1]
    scale = min(size[0] / sides[0], size[1] / sides[1])
    width, height = (max(1, round(side * scale)) for side in sides)
    padded = Image.new(image.mode, size, fill)
    inner = image.resize((width, height), Image.Resampling.BILINEAR, box)
    padded.paste(inner, ((size[0] - width) // 2, (size[1] - height) // 2))
    return padded


# Functions by the value of the parameter `resize`.
RESIZE: dict[str, Callable[[Image.Image, Size, Any, Box], Image.Image]] = {
    "stretch": _stretch,
    "crop": _crop,
    "pad": _pad,
}


def check_resize(value: str) -> str:
    """Validate `resize` and return it."""
    if value not in RESIZE:
        raise ValueError(f"resize must be one of {', '.join(map(repr, RESIZE))}; got {value!r}.")
    return value


def numeric_layers(values: Array, channels: int) -> list[Image.Image]:
    """Convert an array of shape (height, width, channels) to one float32 image per channel.

    Grey is repeated for three channels, and three channels are converted to grey.
    """
    if values.shape[-1] == 3 and channels == 1:
        values = values @ LUMA[:, None]
    return [
        Image.fromarray(values[..., channel % values.shape[-1]].astype(np.float32))
        for channel in range(channels)
    ]


def resized(
    layers: list[Image.Image], size: Size, how: str, pixel: Array, box: Box | None = None
) -> list[Image.Image]:
    """Resize an image: one 8-bit image, or one float32 image per channel.

    Parameters
    ----------
    layers : list of PIL.Image.Image
        The image.
    size : tuple of (height, width)
        The target size.
    how : {"stretch", "crop", "pad"}
        Change the aspect ratio, crop the longer side, or pad the shorter one.
    pixel : ndarray of shape (channels,)
        Pixel value of the padding.
    box : tuple of (left, top, right, bottom), default=None
        The part of the image to resize. None is the whole image.

    Returns
    -------
    list of PIL.Image.Image
        As `layers`.
    """
    target = (size[1], size[0])
    if layers[0].size == target:
        return layers
    fills = _fills(layers, pixel) if how == "pad" else [None] * len(layers)
    box = box or (0, 0, *layers[0].size)
    return [
        RESIZE[how](layer, target, fill, box) for layer, fill in zip(layers, fills, strict=True)
    ]


def _fills(layers: list[Image.Image], pixel: Array) -> list[Any]:
    """Return the value of the padding in each image."""
    if len(layers) > 1 or layers[0].mode not in ("L", "RGB"):
        return [float(value) for value in pixel]
    whole = tuple(int(value) for value in np.rint(pixel))
    return [whole if len(whole) > 1 else whole[0]]


def write_layers(layers: list[Image.Image], out: Array) -> None:
    """Write an image into an array of shape (height, width, channels)."""
    if len(layers) == 1 and out.dtype == np.uint8:
        out[:] = np.asarray(layers[0]).reshape(out.shape)
        return
    pixels = np.dstack([np.asarray(layer) for layer in layers])
    out[:] = np.rint(pixels) if out.dtype.kind == "u" else pixels


def in_parallel(function: Callable[..., Result], *columns: Any) -> list[Result]:
    """Map a function over the rows of some columns, on several threads unless it is quick."""
    rows = list(zip(*columns, strict=True))
    results: list[Any] = []
    is_quick = True
    while is_quick and len(results) < len(rows):
        start, first = time.perf_counter(), len(results)
        part = rows[first : first + (QUICK_ROWS if first else 2)]
        results += [function(*row) for row in part]
        is_quick = time.perf_counter() - start < QUICK_SECONDS * len(part)
    if len(results) == len(rows):
        return results

    # Pillow releases the GIL. Threads take the next row each, as equal shares would not end
    # at the same time; a task of the pool per row would take longer than a small image.
    waiting = itertools.count(len(results))
    results += [None] * (len(rows) - len(results))

    def work() -> None:
        while (row := next(waiting)) < len(rows):
            results[row] = function(*rows[row])

    n_threads = min(joblib.cpu_count(), 8, max(1, len(rows) // 8))
    with ThreadPoolExecutor(n_threads) as pool:
        for done in [pool.submit(work) for _ in range(n_threads)]:
            done.result()
    return results


class LazyImages:
    """Base class of images that are read in batches of rows.

    A subclass has `shape` and `dtype`, and reads rows in ``_read``.
    """

    ndim = 4
    shape: tuple[int, int, int, int]
    dtype: Any
    _kept: KeptRows | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Array:
        if self._kept is None:
            return self._read(rows)
        return self._kept.take(np.arange(len(self))[rows], self._read)

    def keep(self) -> None:
        """Keep the pixels that are read from now on, if there is room for all of them."""
        self._kept = kept_rows(self.shape, self.dtype)

    def _read(self, rows: Any) -> Array:
        """Read rows as an array of shape (n, height, width, channels)."""
        raise NotImplementedError
