"""Datasets: scikit-learn's digits, folders of image files, CIFAR-10 and arithmetic as text."""

from __future__ import annotations

import contextlib
import os
import pickle
import tarfile
from collections.abc import Callable, Sequence
from numbers import Integral
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias, overload

import numpy as np
from sklearn.datasets import load_digits
from sklearn.utils import check_random_state

from ._compat import Interval, StrOptions
from ._typing import Bunch, validate_params
from ._warnings import warn
from .image.files import Array, ImageFiles, read_images, unreadable
from .image.sizes import RESIZE, WHITE, parse_colour

CIFAR10_NAMES = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]
CIFAR10_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
CIFAR10_ARCHIVE = "cifar-10-python.tar.gz"
CIFAR10_FOLDER = "cifar-10-batches-py"
CIFAR10_BATCHES = {
    "train": [f"data_batch_{number}" for number in range(1, 6)],
    "test": ["test_batch"],
}


Samples: TypeAlias = tuple[Array, Array]


@overload
def load_digit_images(*, return_X_y: Literal[False] = False) -> Bunch: ...
@overload
def load_digit_images(*, return_X_y: Literal[True]) -> Samples: ...
@validate_params({"return_X_y": ["boolean"]}, prefer_skip_nested_validation=True)
def load_digit_images(*, return_X_y: bool = False) -> Bunch | Samples:
    """Load scikit-learn's handwritten digits as images.

    Parameters
    ----------
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    sklearn.utils.Bunch
        ``data``, ndarray of shape (1797, 8, 8) with values from 0.0 to 16.0; ``target``, ndarray
        of shape (1797,) of the digits; ``target_names``, list of str.

    See Also
    --------
    sklearn.datasets.load_digits : The same images as rows of 64 features.

    Examples
    --------
    >>> from skcnn import load_digit_images
    >>> load_digit_images().data.shape
    (1797, 8, 8)
    """
    digits = load_digits()
    names = [str(name) for name in digits.target_names]
    return _as_bunch(digits.images, digits.target, names, return_X_y)


# Names of files and folders that operating systems create, in lower case.
SYSTEM_NAMES = {
    "$recycle.bin",
    "@eadir",
    "__macosx",
    "desktop.ini",
    "ehthumbs.db",
    "icon\r",
    "lost+found",
    "system volume information",
    "thumbs.db",
}


@overload
def load_image_folder(
    path: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    as_array: bool = False,
    image_size: int | Sequence[int] | None = None,
    resize: str = "stretch",
    background: str | Sequence[int] = "white",
    on_error: str = "raise",
    return_X_y: Literal[False] = False,
) -> Bunch: ...
@overload
def load_image_folder(
    path: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    as_array: bool = False,
    image_size: int | Sequence[int] | None = None,
    resize: str = "stretch",
    background: str | Sequence[int] = "white",
    on_error: str = "raise",
    return_X_y: Literal[True],
) -> Samples: ...
@validate_params(
    {
        "path": [str, os.PathLike],
        "classes": ["array-like", None],
        "as_array": ["boolean"],
        "image_size": [Integral, tuple, list, None],
        "resize": [StrOptions(set(RESIZE))],
        "background": [str, tuple, list],
        "on_error": [StrOptions({"raise", "skip"})],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_image_folder(
    path: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    as_array: bool = False,
    image_size: int | Sequence[int] | None = None,
    resize: str = "stretch",
    background: str | Sequence[int] = "white",
    on_error: str = "raise",
    return_X_y: bool = False,
) -> Bunch | Samples:
    """Load a folder with one sub-folder of image files per class.

    Every file in a class folder must be an image. Hidden and system files and folders are
    ignored: names that begin with a dot, ``Thumbs.db``, ``ehthumbs.db``,
    ``desktop.ini``, ``__MACOSX``, ``@eaDir``, ``$RECYCLE.BIN``, ``System Volume Information``,
    ``lost+found`` and the ``Icon`` files of macOS. Files next to the class folders are ignored.

    Parameters
    ----------
    path : str or path
        The folder; its sub-folders are the classes.
    classes : array-like of str, default=None
        All classes, for a folder that lacks some of them, such as a test folder. A sub-folder
        with another name is an error. None uses the names of the sub-folders.
    as_array : bool, default=False
        Whether to decode the images. False returns their paths, which estimators read batch by
        batch.
    image_size : int or tuple of (height, width), default=None
        The size of the decoded images, an integer for a square. None refuses images of different
        sizes. Only with ``as_array=True``.
    resize : {"stretch", "crop", "pad"}, default="stretch"
        How images are resized, as in :class:`ImageClassifier`. Only with `image_size`.
    background : str or tuple of (red, green, blue), default="white"
        Colour behind the transparent pixels of decoded images: the name of a colour that
        Pillow knows, or three integers from 0 to 255. Only with ``as_array=True``.
    on_error : {"raise", "skip"}, default="raise"
        Whether files that cannot be read raise an error that lists them, or are skipped.
        "skip" decodes every image once to find damaged files.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch. A warning then says how many
        files were skipped.

    Returns
    -------
    sklearn.utils.Bunch
        ``data``, ndarray of shape (n_samples,) of str, or of shape (n_samples, height, width,
        channels) of uint8, or of uint16 or float32 if the files have more than 8 bits;
        ``target``, ndarray of shape (n_samples,) of str, the names of the classes;
        ``target_names``, list of `classes` or else the class folders; ``skipped``, list of
        tuples (path, reason) of the skipped files. Samples are ordered by class and file name.

    Raises
    ------
    ValueError
        If there is no class folder, if one is empty and `classes` is None, or if files in them
        are not still images; the message names them. With ``as_array=False`` and
        ``on_error="raise"`` only file headers are read: a damaged image raises the error when
        an estimator decodes it.

    Notes
    -----
    Palette and CMYK images become RGB and the EXIF orientation is applied; images are grey if
    all files are. Files of 8 and of 16 bits per value cannot be mixed. Files with more than
    ``PIL.Image.MAX_IMAGE_PIXELS`` pixels are refused.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from skcnn import load_image_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cat", "dog"):
    ...         (Path(folder) / name).mkdir()
    ...         Image.new("RGB", (4, 4)).save(Path(folder) / name / "0.png")
    ...     images = load_image_folder(folder, as_array=True)
    >>> images.data.shape, images.target.tolist(), images.target_names
    ((2, 4, 4, 3), ['cat', 'dog'], ['cat', 'dog'])
    """
    _check_decoding(as_array, image_size, resize, background)
    files, names = _class_files(Path(path), classes)
    paths = np.array([str(file) for found in files for file in found])
    target = np.repeat(np.array(names), [len(found) for found in files])
    errors = unreadable(paths) if on_error == "skip" else []
    skipped = [(error.path, error.reason) for error in errors]
    if skipped:
        kept = ~np.isin(paths, [file for file, _ in skipped])
        paths, target = paths[kept], target[kept]
        if not len(paths):
            raise ValueError(
                f"path={str(path)!r} has no image that can be read; the first of "
                f"{len(skipped)} files is {skipped[0][0]!r}: {skipped[0][1]}."
            )
    data = paths
    if as_array:
        data = read_images(paths, image_size=image_size, resize=resize, background=background)
    else:
        # Sizes may differ here: the estimator that reads the paths has an image_size.
        ImageFiles(paths, image_size=(1, 1))
    if return_X_y and skipped:
        warn(
            f"{len(skipped)} files that cannot be read were skipped, the first of them "
            f"{skipped[0][0]!r}: {skipped[0][1]}. With return_X_y=False the result lists them.",
        )
    return _as_bunch(data, target, names, return_X_y, skipped=skipped)


def _check_decoding(as_array: bool, image_size: Any, resize: str, background: Any) -> None:
    """Refuse parameters of decoding if images are not decoded."""
    colour = parse_colour(background)
    if resize != "stretch" and image_size is None:
        raise ValueError(f"resize={resize!r} needs image_size, the size to bring images to.")
    for name, value, changes in (
        ("image_size", image_size, image_size is not None),
        ("background", background, colour != WHITE),
    ):
        if changes and not as_array:
            raise ValueError(
                f"{name}={value!r} needs as_array=True; with as_array=False set it on "
                "the estimator that reads the paths."
            )


def _class_files(root: Path, classes: Any) -> tuple[list[list[Path]], list[str]]:
    """List the files of each class, and the class names."""
    if not root.is_dir():
        raise ValueError(f"path={str(root)!r} is not a folder.")
    shown = sorted(filter(_is_shown, root.iterdir()))
    folders = {entry.name: entry for entry in shown if entry.is_dir()}
    if not folders:
        raise ValueError(f"path={str(root)!r} has no sub-folder; one for each class is expected.")
    names = list(folders) if classes is None else _check_classes(classes, folders, root)
    files = []
    for name in names:
        found = sorted(filter(_is_shown, folders[name].iterdir())) if name in folders else []
        nested = [str(entry) for entry in found if entry.is_dir()]
        if nested:
            raise ValueError(f"the class folder has a folder inside: {nested[0]!r}.")
        if not found and classes is None:
            raise ValueError(f"the class folder {str(folders[name])!r} is empty.")
        files.append(found)
    if not any(files):
        raise ValueError(f"path={str(root)!r} has no file of the classes {names}.")
    return files, names


def _check_classes(classes: Any, folders: dict[str, Path], root: Path) -> list[str]:
    names = list(classes)
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"classes must be the names of the classes, as str; got {classes!r}.")
    if len(set(names)) < len(names):
        raise ValueError(f"classes has duplicate names: {classes!r}.")
    others = [name for name in folders if name not in names]
    if others:
        raise ValueError(
            f"path={str(root)!r} has sub-folders that are not in classes={names}: {others}."
        )
    return [str(name) for name in names]


@overload
def fetch_cifar10(
    *,
    data_home: str | os.PathLike[str] | None = None,
    subset: str = "train",
    return_X_y: Literal[False] = False,
) -> Bunch: ...
@overload
def fetch_cifar10(
    *,
    data_home: str | os.PathLike[str] | None = None,
    subset: str = "train",
    return_X_y: Literal[True],
) -> Samples: ...
@validate_params(
    {
        "data_home": [str, os.PathLike, None],
        "subset": [StrOptions({"train", "test", "all"})],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def fetch_cifar10(
    *,
    data_home: str | os.PathLike[str] | None = None,
    subset: str = "train",
    return_X_y: bool = False,
) -> Bunch | Samples:
    """Load CIFAR-10, 60,000 colour images of ten classes.

    [1]_ describes the images.

    Parameters
    ----------
    data_home : str or path, default=None
        A folder with the archive ``cifar-10-python.tar.gz``, the unpacked folder
        ``cifar-10-batches-py``, or image files such as ``train/airplane/0000.png``. None uses
        the cache of `keras.datasets`, which downloads the archive if needed.
    subset : {"train", "test", "all"}, default="train"
        The 50,000 training images, the 10,000 test images, or both, training images first.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    sklearn.utils.Bunch
        ``data``, ndarray of shape (n_samples, 32, 32, 3) of uint8; ``target``, ndarray of shape
        (n_samples,) of int; ``target_names``, list of the ten names.

    Raises
    ------
    OSError
        If `data_home` is None and the archive is neither cached nor can be downloaded.
    ValueError
        If `data_home` has none of the three, or a damaged one.

    References
    ----------
    .. [1] A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

    Examples
    --------
    >>> from skcnn import fetch_cifar10
    >>> X, y = fetch_cifar10(return_X_y=True)  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (50000, 32, 32, 3)
    """
    parts = ["train", "test"] if subset == "all" else [subset]
    if data_home is None:
        data, target = _cifar10_from_keras(parts)
    else:
        data, target = _cifar10_from_folder(Path(data_home), parts)
    return _as_bunch(data, target, list(CIFAR10_NAMES), return_X_y)


OPERATIONS = {"+": np.add, "-": np.subtract, "*": np.multiply}


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "operation": [StrOptions(set(OPERATIONS))],
        "n_digits": [Interval(Integral, 1, 9, closed="both")],
        "mirrored": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_arithmetic(
    n_samples: int = 50_000,
    *,
    operation: str = "-",
    n_digits: int = 3,
    mirrored: bool = True,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[Array, Array]:
    """Generate distinct arithmetic questions and their answers, as text.

    For each number the number of digits is drawn first, from 1 to `n_digits`, and then each
    digit, so that short numbers are frequent; "007" becomes 7.

    Parameters
    ----------
    n_samples : int, default=50_000
        Number of questions.
    operation : {"-", "+", "*"}, default="-"
        The operation. Only one of 3+5 and 5+3, or of 3*5 and 5*3, occurs.
    n_digits : int, default=3
        The maximum number of digits of a number, from 1 to 9.
    mirrored : bool, default=True
        Whether both 3-5 and 5-3 may occur. A network that has learned one of them needs only
        the sign of the other: if a tenth of the 50,000 questions is held out, 32 % of it occur
        mirrored in the rest (23 % of 20,000 questions). It has no effect on sums and
        products, which never occur mirrored.
    random_state : int or numpy.random.RandomState, default=None
        Seed of the numbers. None uses a random seed.

    Returns
    -------
    X : ndarray of str of shape (n_samples,)
        The questions, such as "123-456".
    y : ndarray of str of shape (n_samples,)
        The answers, such as "-333".

    Raises
    ------
    ValueError
        If fewer than `n_samples` questions exist.

    See Also
    --------
    Seq2SeqRNN : Learn the answers.

    Examples
    --------
    >>> from skcnn import make_arithmetic
    >>> X, y = make_arithmetic(3, random_state=0)
    >>> X, y
    (array(['3-60', '4-72', '9-117'], dtype='<U5'), array(['-57', '-68', '-108'], dtype='<U4'))
    """
    ordered = mirrored and operation == "-"
    n_numbers = 10**n_digits
    n_questions = n_numbers**2 if ordered else n_numbers * (n_numbers + 1) // 2
    if n_samples > n_questions:
        raise ValueError(
            f"n_samples={n_samples} is more than the {n_questions} questions that exist with "
            f"operation={operation!r}, n_digits={n_digits} and mirrored={mirrored}."
        )
    rng = check_random_state(np.random.RandomState() if random_state is None else random_state)
    pairs = np.empty((0, 2), dtype=np.int64)
    while len(pairs) < n_samples:
        drawn = (max(1000, 2 * (n_samples - len(pairs))), 2)
        scale = 10 ** rng.randint(1, n_digits + 1, drawn)
        pairs = np.concatenate([pairs, (rng.random_sample(drawn) * scale).astype(np.int64)])
        sides = pairs if ordered else np.sort(pairs, axis=1)
        _, first = np.unique(sides @ np.array([n_numbers, 1]), return_index=True)
        pairs = pairs[np.sort(first)]
    left, right = pairs[:n_samples].T
    questions = np.strings.add(np.strings.add(left.astype(str), operation), right.astype(str))
    answers = OPERATIONS[operation](left, right).astype(str)
    return _narrow(questions), _narrow(answers)


def _narrow(strings: Array) -> Array:
    """Shrink the itemsize of an array of str to its longest string."""
    return strings.astype(f"<U{np.strings.str_len(strings).max()}")


def _as_bunch(
    data: Array, target: Array, names: list[str], return_X_y: bool, **others: Any
) -> Bunch | Samples:
    if return_X_y:
        return data, target
    return Bunch(data=data, target=target, target_names=names, **others)


def _is_shown(entry: Path) -> bool:
    return not entry.name.startswith(".") and entry.name.lower() not in SYSTEM_NAMES


def _cifar10_from_keras(parts: list[str]) -> tuple[Array, Array]:
    from ._keras import keras

    try:
        loaded = dict(zip(("train", "test"), keras.datasets.cifar10.load_data(), strict=True))
    except Exception as error:  # Keras raises a plain Exception where the download fails
        raise OSError(
            f"CIFAR-10 could not be downloaded ({error}). Without a network, put "
            f"{CIFAR10_ARCHIVE} from {CIFAR10_PAGE} into a folder and pass data_home=that folder."
        ) from error
    images = np.concatenate([loaded[part][0] for part in parts])
    if keras.config.image_data_format() == "channels_first":
        images = images.transpose(0, 2, 3, 1)
    return images, np.concatenate([loaded[part][1].ravel() for part in parts]).astype(int)


def _cifar10_from_folder(home: Path, parts: list[str]) -> tuple[Array, Array]:
    batches = [name for part in parts for name in CIFAR10_BATCHES[part]]
    archive = home / CIFAR10_ARCHIVE
    if (home / CIFAR10_FOLDER).is_dir():
        return _read_batches(batches, lambda name: _regular(home / CIFAR10_FOLDER / name))
    if archive.is_file():
        try:
            with tarfile.open(archive) as members:
                return _read_batches(batches, lambda name: _member(members, name))
        except (tarfile.TarError, EOFError) as error:
            raise ValueError(f"data_home: {str(archive)!r} is damaged: {error}") from error
    if all((home / part).is_dir() for part in parts):
        folders = [load_image_folder(home / part, as_array=True) for part in parts]
        for folder in folders:
            if folder.target_names != CIFAR10_NAMES:
                raise ValueError(
                    f"data_home={str(home)!r} has the classes {folder.target_names}, but those "
                    f"of CIFAR-10 are {CIFAR10_NAMES}."
                )
        target = np.concatenate([folder.target for folder in folders])
        return (
            np.concatenate([folder.data for folder in folders]),
            np.searchsorted(CIFAR10_NAMES, target),
        )
    raise ValueError(
        f"data_home={str(home)!r} has neither {CIFAR10_ARCHIVE} (from {CIFAR10_PAGE}), nor its "
        f"folder {CIFAR10_FOLDER}, nor folders of images named {' and '.join(parts)}."
    )


def _regular(path: Path) -> IO[bytes]:
    # Opening a named pipe would block.
    if not path.is_file():
        raise FileNotFoundError(path.name)
    return open(path, "rb")


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    found = None
    with contextlib.suppress(KeyError):
        found = archive.extractfile(f"{CIFAR10_FOLDER}/{name}")
    if found is None:
        raise FileNotFoundError(name)
    return found


def _read_batches(names: list[str], opened: Callable[[str], IO[bytes]]) -> tuple[Array, Array]:
    images, labels = [], []
    for name in names:
        try:
            with opened(name) as file:
                batch = _ArraysOnly(file, encoding="bytes").load()
            images.append(np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32))
            labels.append(np.asarray(batch[b"labels"], int))
        except Exception as error:
            raise ValueError(
                f"data_home: the CIFAR-10 file {name!r} is missing or damaged: {error!r}"
            ) from error
    return np.concatenate(images).transpose(0, 2, 3, 1), np.concatenate(labels)


class _ArraysOnly(pickle.Unpickler):
    """Unpickle NumPy arrays only, so that no code can run."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return super().find_class("numpy._core.multiarray", name)
        raise pickle.UnpicklingError(f"a CIFAR-10 batch holds no {module}.{name}")
