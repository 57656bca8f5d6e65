"""Codes that read like their one-hot rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class OneHot:
    """An array of codes that is indexed like the array of their one-hot rows.

    Only the rows that are read are made, which are many times larger than their codes.

    Parameters
    ----------
    codes : ndarray of int of shape (n_samples, ...)
        The codes.
    n_codes : int
        The length of a one-hot row.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, codes: Array, n_codes: int) -> None:
        self.codes = codes
        self.shape = (*codes.shape, n_codes)
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return len(self.codes)

    def fingerprint(self) -> tuple[Array, tuple[int, ...]]:
        """Return a fingerprint of the contents."""
        return self.codes, self.shape

    def __getitem__(self, rows: Any) -> Array:
        codes = self.codes[rows]
        one_hot = np.zeros((*codes.shape, self.shape[-1]), dtype=np.float32)
        np.put_along_axis(one_hot, codes[..., None].astype(np.intp), 1, axis=-1)
        return one_hot
