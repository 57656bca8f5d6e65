"""Pixels that are kept between the epochs of a fit, in memory or in a temporary file."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Maximum bytes of pixels that are kept in memory.
KEPT_BYTES = 2**29

# Maximum share of the free space that a temporary file takes.
DISK_SHARE = 0.5


class RowFile:
    """Rows of an array in a temporary file without a name, which is gone with the object.

    Unlike in a memory-mapped file, rows take no memory of the process, and a full disk raises an
    OSError.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    dtype : dtype
        Its dtype.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self._shape, self._dtype = shape[1:], np.dtype(dtype)
        self._row_bytes = math.prod(shape[1:]) * self._dtype.itemsize
        with tempfile.TemporaryFile() as file:
            self._file = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._file)

    def __getitem__(self, rows: Array) -> Array:
        values = np.empty((len(rows), *self._shape), self._dtype)
        for row, value in zip(rows, values, strict=True):
            self._check(os.preadv(self._file, [value], int(row) * self._row_bytes))
        return values

    def __setitem__(self, rows: Array, values: Array) -> None:
        for row, value in zip(rows, values, strict=True):
            self._check(os.pwrite(self._file, value.data, int(row) * self._row_bytes))

    def _check(self, n_bytes: int) -> None:
        if n_bytes != self._row_bytes:
            raise OSError(f"a temporary file in {tempfile.gettempdir()!r} is not complete")

    def __getstate__(self) -> NoReturn:
        raise TypeError("the file of a RowFile is open in this process only")


class KeptRows:
    """Rows that are read anew until they are kept.

    In memory, rows are kept when they are read for the first time. A file is written when they
    are read for the second time, as some fits need each image once.

    Parameters
    ----------
    rows : ndarray or RowFile
        Where to keep them.
    n_rows : int
        Their number.
    """

    def __init__(self, rows: Any, n_rows: int) -> None:
        self._rows = rows
        self._is_read = np.full(n_rows, isinstance(rows, np.ndarray))
        self._is_kept = np.zeros(n_rows, dtype=bool)

    def take(self, rows: Array, read: Callable[[Array], Array]) -> Array:
        """Return rows; `read` returns those that are not kept."""
        is_kept = self._is_kept[rows]
        missing = rows[~is_kept]
        if not len(missing):
            kept: Array = self._rows[rows]
            return kept
        new = read(missing)
        self._keep(missing, new)
        if len(missing) == len(rows):
            return new
        values = np.empty((len(rows), *new.shape[1:]), new.dtype)
        values[is_kept], values[~is_kept] = self._rows[rows[is_kept]], new
        return values

    def _keep(self, rows: Array, values: Array) -> None:
        again = self._is_read[rows]
        self._is_read[rows] = True
        try:
            self._rows[rows[again]] = values[again]
        except OSError:  # the disk is full; they are read anew
            return
        self._is_kept[rows[again]] = True


def kept_rows(shape: tuple[int, ...], dtype: Any) -> KeptRows | None:
    """Make room for rows in memory or in a temporary file; return None if there is none."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if n_bytes <= KEPT_BYTES:
        return KeptRows(np.empty(shape, dtype), shape[0])
    if not hasattr(os, "preadv"):  # Windows
        return None
    try:
        free = shutil.disk_usage(tempfile.gettempdir()).free
        return KeptRows(RowFile(shape, dtype), shape[0]) if n_bytes <= DISK_SHARE * free else None
    except OSError:  # no folder for temporary files
        return None
