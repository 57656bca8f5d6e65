"""Image files with the interface of an array, decoded lazily in batches of rows."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .sizes import (
    WHITE,
    Box,
    Colour,
    LazyImages,
    check_resize,
    fill_values,
    in_parallel,
    numeric_layers,
    parse_colour,
    parse_size,
    resized,
    write_layers,
)

Array = NDArray[Any]
Result = TypeVar("Result")

# Pillow modes by the channels that they are decoded to.
GREY_MODES = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
COLOUR_MODES = {"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}
MODES = GREY_MODES | COLOUR_MODES

# Supported dtypes of pixels. Files of different dtypes have no common value range.
KINDS = {"uint8": "8-bit", "uint16": "16-bit", "float32": "32-bit"}

# Transpositions by EXIF orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION = 0x0112
BITS_PER_SAMPLE = 258

# Pixel value of white for the dtypes with a fixed one.
WHITES = {"uint8": 255.0, "uint16": 65535.0}

# Integers up to here are exact in float32.
EXACT = 2**24

SINGLE_PATH = (str, bytes, os.PathLike)

# Maximum number of files listed in an error message.
MAX_NAMED = 10


class UnreadableImageError(ValueError):
    """A file is not an image that can be read; the message names it and says why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot read the image file {path!r}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> Any:
        # By default exceptions are pickled with their message only, and joblib pickles them.
        return type(self), (self.path, self.reason)


class Head(NamedTuple):
    """Properties of an image that are known before its pixels are decoded."""

    height: int
    width: int
    channels: int
    dtype: str


class ImageFiles(LazyImages):
    """Image files with the interface of the array of their pixels.

    ``files[rows]`` decodes those rows in parallel and returns (n, height, width, channels).

    Images are converted to grey or RGB: palettes and CMYK become RGB, transparent pixels show the
    background, a valid EXIF orientation is applied, and of several pictures in a JPEG (MPO) the
    first is read. The dtype is uint8 for 8-bit files, uint16 for 16-bit files, and float32 for
    files with floats or 32-bit integers.

    Parameters
    ----------
    paths : array-like of str or path, shape (n_samples,) or (n_samples, 1)
        The files.
    shape : tuple of (height, width, channels), default=None
        Shape of each image after decoding. None reads the header of every file and uses three
        channels if any has colour, else one, and the common size.
    dtype : {"uint8", "uint16", "float32"}, default=None
        Required dtype of the pixels. None reads it from the headers.
    image_size : int or tuple of (height, width), default=None
        Size to resize the images to. None raises if the sizes differ.
    resize : {"stretch", "crop", "pad"}, default="stretch"
        Change the aspect ratio, crop the longer side, or pad the shorter one.
    background : str or tuple of (red, green, blue), default="white"
        Colour of transparent pixels and padding.
    check : bool, default=False
        Whether to read the header of every file even if `shape` and `dtype` are given.

    Raises
    ------
    ValueError
        If a file cannot be decoded as a still image, or if dtypes differ; the message names the
        files.
    """

    def __init__(
        self,
        paths: Any,
        *,
        shape: tuple[int, int, int] | None = None,
        dtype: str | None = None,
        image_size: Any = None,
        resize: str = "stretch",
        background: Any = "white",
        check: bool = False,
    ) -> None:
        self.paths = path_array(paths)
        size = parse_size(image_size)
        self.resize = check_resize(resize) if size is not None else None
        self.background = parse_colour(background)
        if shape is None or dtype is None or check:
            expect = functools.partial(self._expected_head, shape, dtype)
            heads, failed = _each_file(expect, self.paths)
            if failed:
                raise _as_one(_merged(failed, unreadable(self.paths)), len(self.paths))
            dtype = _common_dtype(self.paths, heads)
            if shape is None:
                size = size or _common_size(self.paths, heads)
                shape = (*size, max(head.channels for head in heads))
        self.dtype = np.dtype(dtype)
        self._kind = self.dtype.name
        self._fill = self._padding(shape[-1])
        self.shape = (len(self.paths), *shape)

    def fingerprint(self) -> tuple[Any, ...]:
        """Return a fingerprint of the contents of the files and of how they are decoded."""

        def content(path: str) -> str:
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

        # "stretch" is left out to match the fingerprints of versions without `resize`.
        how = () if self.resize in (None, "stretch") else (self.resize,)
        return _each_file(content, self.paths)[0], self.shape, self.background, *how

    def _padding(self, channels: int) -> Array:
        """Return the pixel value of the padding."""
        if self.resize == "pad" and self.dtype.name not in WHITES:
            raise ValueError(
                "resize='pad' needs the value of the background, which is unknown for "
                f"{KINDS[self.dtype.name]} image files; use resize='crop' or 'stretch'."
            )
        return fill_values(self.background, channels, (0.0, WHITES.get(self.dtype.name, 1.0)))

    def _read(self, rows: Any) -> Array:
        paths = self.paths[rows]
        out = np.empty((len(paths), *self.shape[1:]), dtype=self.dtype)
        failed = _each_file(self._decode_into, paths, out)[1]
        if failed:
            # Report all unreadable files at once, as each would make another fit fail.
            raise _as_one(_each_file(self._decode, self.paths)[1] or failed, len(self.paths))
        return out

    def _expected_head(self, shape: Any, dtype: str | None, path: str) -> Head:
        with _opened(path) as image:
            head = head_of(image, self.background)
            _check_dtype(head.dtype, dtype or head.dtype)
            if shape is not None and not self.resize:
                _check_size(head[:2], shape[:2])
            return head

    def _decode(self, path: str) -> None:
        self._decode_into(path, np.empty(self.shape[1:], dtype=self.dtype))

    def _decode_into(self, path: str, out: Array) -> None:
        height, width, channels = out.shape
        with _opened(path) as image:
            kind = kind_of(image)
            _check_dtype(kind, self._kind)
            box = None if self.resize is None else _reduce(image, (height, width))
            layers = layers_of(image, path, kind, channels, self.background)
            if self.resize is not None:
                layers = resized(layers, (height, width), self.resize, self._fill, box)
            _check_size(layers[0].size[::-1], (height, width))
            write_layers(layers, out)


# Paths


def path_array(paths: Any) -> Array:
    """Return paths, possibly in a single column, as a 1-D array of str."""
    if isinstance(paths, SINGLE_PATH):
        raise ValueError(
            "X must be images or a list of paths of image files; got the single path "
            f"{paths!r}. For one image pass a list: [{paths!r}]."
        )
    if _is_column(paths):
        paths = np.asarray(paths).ravel()
    return np.array([str(os.fspath(path)) for path in paths], dtype=object)


def is_paths(X: Any) -> bool:
    """Return whether X has file paths, 1-D or in a single column, rather than pixels."""
    if isinstance(X, ImageFiles | str | bytes | dict) or not hasattr(X, "__len__"):
        return False
    if _is_column(X):
        X = np.asarray(X).ravel()
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


def as_paths(X: Any) -> Array | None:
    """Return the paths in X; None if X does not have paths.

    Raises
    ------
    ValueError
        If X is a single path, or has paths in some rows only.
    """
    return path_array(X) if isinstance(X, SINGLE_PATH) or is_paths(X) else None


def _is_column(X: Any) -> bool:
    """Return whether X is an array or a data frame with a single column."""
    shape = getattr(X, "shape", ())
    return isinstance(shape, tuple) and len(shape) == 2 and shape[1] == 1


# Many files


def read_images(
    paths: Any,
    *,
    shape: tuple[int, int, int] | None = None,
    image_size: Any = None,
    resize: str = "stretch",
    background: Any = "white",
) -> Array:
    """Decode image files into one array of shape (n_samples, height, width, channels)."""
    return ImageFiles(
        paths, shape=shape, image_size=image_size, resize=resize, background=background
    )[:]


def unreadable(paths: Any) -> list[UnreadableImageError]:
    """Decode image files without resizing; return the errors of those that fail."""
    return _each_file(_decode_alone, path_array(paths))[1]


def _each_file(
    function: Callable[..., Result], paths: Array, *columns: Any
) -> tuple[list[Result], list[UnreadableImageError]]:
    """Call a function for every file in parallel; return the results and the errors."""

    def attempt(*arguments: Any) -> Result | UnreadableImageError:
        try:
            return function(*arguments)
        except UnreadableImageError as error:
            return error

    done: list[Result] = []
    failed: list[UnreadableImageError] = []
    for result in in_parallel(attempt, paths, *columns):
        if isinstance(result, UnreadableImageError):
            failed.append(result)
        else:
            done.append(result)
    return done, failed


def _merged(
    some: list[UnreadableImageError], others: list[UnreadableImageError]
) -> list[UnreadableImageError]:
    """Merge errors, keeping one per file."""
    return list({error.path: error for error in (*others, *some)}.values())


def _as_one(errors: list[UnreadableImageError], n_files: int) -> ValueError:
    """Combine the errors of several files into one."""
    if len(errors) == 1:
        return errors[0]
    lines = [f"  {error.path!r}: {error.reason}" for error in errors[:MAX_NAMED]]
    if len(errors) > MAX_NAMED:
        lines.append(f"  and {len(errors) - MAX_NAMED} more")
    return ValueError("\n".join([f"cannot read {len(errors)} of {n_files} image files:", *lines]))


def _common_size(paths: Array, heads: list[Head]) -> tuple[int, int]:
    for path, (height, width, *_) in zip(paths, heads, strict=True):
        if (height, width) != heads[0][:2]:
            raise ValueError(
                f"the image files have different sizes: {paths[0]!r} has {heads[0].height}x"
                f"{heads[0].width} pixels and {path!r} has {height}x{width}. Set image_size to "
                "resize them."
            )
    return heads[0][:2]


def _common_dtype(paths: Array, heads: list[Head]) -> str:
    for path, head in zip(paths, heads, strict=True):
        if head.dtype != heads[0].dtype:
            raise ValueError(
                f"the image files have different bit depths: {paths[0]!r} has "
                f"{KINDS[heads[0].dtype]} and {path!r} {KINDS[head.dtype]} pixels. Convert them "
                "to one."
            )
    return heads[0].dtype


# One file


@contextmanager
def _opened(path: str) -> Iterator[Image.Image]:
    """Open one still image of a known mode; every error names the file."""
    try:
        # Opening a named pipe would block.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("it is not a regular file")
        with Image.open(path) as image:
            # Pillow only warns up to twice its limit.
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise ValueError(
                    f"its {image.height}x{image.width} pixels are more than "
                    f"PIL.Image.MAX_IMAGE_PIXELS={limit}; raise that limit if you trust the file"
                )
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != "MPO":
                raise ValueError(f"it has {frames} frames, but a still image is expected")
            if image.mode not in MODES:
                raise ValueError(f"its pixels are of Pillow's unknown mode {image.mode!r}")
            yield image
    except Exception as error:
        raise UnreadableImageError(path, _reason(path, error)) from error


def _reason(path: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):
        if os.path.getsize(path) == 0:
            return "it is empty"
        return "it is not an image in a format that Pillow knows"
    return str(error) or type(error).__name__


def head_of(image: Image.Image, background: Colour) -> Head:
    """Return the head of an image that is not decoded yet."""
    # `_orientation` decodes a PNG to find its tags, after which the stored dtype is lost.
    dtype = kind_of(image)
    is_grey = image.mode in GREY_MODES or _raw_mode(image).startswith("LA")
    shows_colour = image.has_transparency_data and len(set(background)) > 1
    width, height = image.size
    # Orientations from 5 on swap the sides, which Pillow has already done for TIFF.
    if image.format != "TIFF" and _orientation(image) >= 5:
        width, height = height, width
    return Head(height, width, 1 if is_grey and not shows_colour else 3, dtype)


def _check_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    if size != expected:
        raise ValueError(
            f"it has {size[0]}x{size[1]} pixels where {expected[0]}x{expected[1]} are expected; "
            "set image_size to resize images"
        )


def _check_dtype(dtype: str, expected: str) -> None:
    if dtype != expected:
        raise ValueError(f"it has {KINDS[dtype]} pixels where {KINDS[expected]} ones are expected")


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation; ignore an invalid one."""
    try:
        value = image.getexif().get(ORIENTATION)
    except Exception:  # damaged tags make Pillow raise exceptions of any type
        return 1
    return value if isinstance(value, int) and value in TURNS else 1


def _reduce(image: Image.Image, size: tuple[int, int]) -> Box | None:
    """Let a JPEG be decoded at the smallest scale, of 1/2 to 1/8, not below the target size.

    Returns the box of the picture in the turned image, whose last pixels may be partly outside;
    None if the scale is 1.
    """
    # From decoding them as a whole, 189 photographs and drawings of 300 to 600 px differ at 96 px
    # by 0.9 of 255 in the mean, at 224 px by 0.3 (TensorFlow's resizing without antialiasing, of
    # files decoded as a whole: 5.5 at 96 px). At least 1.5 times the target size would give
    # 0.4 at 96 px, and read 0.86 as many files a second.
    height, width = size
    if image.format not in ("JPEG", "MPO") or min(image.size) < 2 * min(size):
        return None
    orientation = _orientation(image)
    drafted = image.draft(None, (height, width) if orientation >= 5 else (width, height))
    if drafted is None:
        return None
    sides, ends = image.size, drafted[1][2:]
    if orientation >= 5:
        sides, ends = sides[::-1], ends[::-1]
    left = sides[0] - ends[0] if orientation in (2, 3, 6, 7) else 0
    top = sides[1] - ends[1] if orientation in (3, 4, 7, 8) else 0
    return left, top, left + ends[0], top + ends[1]


def _raw_mode(image: Image.Image) -> str:
    """Return the mode of the stored pixels, such as "RGB;16B"; "" if Pillow does not report it."""
    for tile in getattr(image, "tile", []):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if arguments and isinstance(arguments[0], str):
            return arguments[0]
    return ""


def _is_cut_to_8_bits(image: Any) -> bool:
    """Return whether Pillow would drop the low bytes of an image."""
    if not getattr(image, "tile", None):  # already decoded, or not from a file
        return False
    codec, *_, arguments = image.tile[0]
    match image.format:
        case "PPM":
            return codec == "ppm" and bool(arguments[-1] > 255)
        case "SGI":
            return codec == "SGI16" or (codec == "sgi_rle" and bool(arguments[-1] == 2))
        case "JPEG2000":
            return image.mode != "I;16" and _jpeg2000_bits(image) > 8
        case "TIFF":
            return bool(max(image.tag_v2.get(BITS_PER_SAMPLE, (8,))) > 8)
    stored = _raw_mode(image)
    return ";16" in stored and not stored.startswith("BGR;16")  # 16 bits per pixel


def _jpeg2000_bits(image: Any) -> int:
    """Read the bits per value, which Pillow does not report."""
    place = image.fp.tell()
    image.fp.seek(0)
    head = image.fp.read(2**16)
    image.fp.seek(place)
    # The start of the codestream; the bit depth is at byte 42 from there.
    sizes = head.find(b"\xff\x4f\xff\x51")
    return (head[sizes + 42] & 0x7F) + 1 if 0 <= sizes < len(head) - 42 else 8


def kind_of(image: Image.Image) -> str:
    """Return the dtype of the stored pixels, which Pillow does not always preserve."""
    is_wide = image.mode == "I" and image.format in ("PNG", "PPM")
    if is_wide or image.mode.startswith("I;16"):
        return "uint16"
    if image.mode in ("I", "F"):
        return "float32"
    if not _is_cut_to_8_bits(image):
        return "uint8"
    if image.format != "PNG":
        raise ValueError(
            f"Pillow reads only the high bytes of the 16-bit pixels in a {image.format} file; "
            "convert it to PNG"
        )
    return "uint16"


def layers_of(
    image: Image.Image, path: str, dtype: str, channels: int, background: Colour
) -> list[Image.Image]:
    """Decode an image, apply its orientation and blend it with the background.

    Returns one 8-bit image, or one float32 image per channel.
    """
    # Pillow scales greys of 2 and 4 bits to 8 bits, but not the transparent grey value.
    scale = {"L;2": 85, "L;4": 17}.get(_raw_mode(image), 1)
    if image.format == "PNG" and isinstance(image.info.get("transparency"), int):
        image.info["transparency"] *= scale
    image.load()
    turn = TURNS.get(_orientation(image))
    if dtype == "uint8":
        layers = [as_bytes(image, channels, background)]
    else:
        values = _as_values(image, path, background)
        layers = numeric_layers(values, channels)
    return layers if turn is None else [layer.transpose(turn) for layer in layers]


def _decode_alone(path: str) -> None:
    with _opened(path) as image:
        layers_of(image, path, kind_of(image), 3, WHITE)


def as_bytes(image: Image.Image, channels: int, background: Colour) -> Image.Image:
    """Convert an 8-bit image to grey or RGB, blended with the background."""
    mode = "L" if channels == 1 else "RGB"
    if not image.has_transparency_data:
        return image if image.mode == mode else image.convert(mode)
    if image.mode == "La":  # Pillow converts La only to LA
        image = image.convert("LA")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, background), image).convert(mode)


def _as_values(image: Image.Image, path: str, background: Colour) -> Array:
    """Return pixels of more than 8 bits as (height, width, channels), without rounding."""
    if image.mode in COLOUR_MODES or image.has_transparency_data:
        from .._keras import tf  # Pillow would drop the low bytes

        try:
            decoded = tf.io.decode_png(Path(path).read_bytes(), channels=4, dtype=tf.uint16)
        except tf.errors.InvalidArgumentError as error:
            raise ValueError("its PNG data are damaged") from error
        pixels = decoded.numpy().astype(np.float64)
        alpha = pixels[..., 3:] / 65535
        # 257 scales the background from 8 to 16 bits.
        return pixels[..., :3] * alpha + 257 * np.array(background) * (1 - alpha)  # type: ignore[no-any-return]
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise ValueError("it has pixels that are NaN or infinite")
    if image.mode == "I" and max(-int(values.min()), int(values.max())) > EXACT:
        raise ValueError(f"it has integers beyond {EXACT}, which float32 cannot tell apart")
    return values[..., None]
