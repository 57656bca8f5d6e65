"""Validation of arrays of strings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_strings(values: Any, name: str) -> NDArray[np.str_]:
    """Validate a 1-D array-like of str and return it as an array."""
    if hasattr(values, "__array__"):
        values = np.asarray(values)
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise ValueError(
            f"{name} must be a 1-D array of str, got one {type(values).__name__}: {values!r}."
        )
    if getattr(values, "ndim", 1) != 1:
        raise ValueError(
            f"Expected 1D array, got {values.ndim}D array instead: {name} must be strings, but "
            f"its shape is {values.shape}."
        )
    # Not converted to an array first, which would turn numbers among strings into strings.
    items = values.tolist() if hasattr(values, "tolist") else list(values)
    if not items:
        raise ValueError(f"Found array with 0 sample(s) while a minimum of 1 is required: {name}.")
    for row, item in enumerate(items):
        if not isinstance(item, str):
            raise ValueError(
                f"{name} must be str in every row; row {row} is a {type(item).__name__}: {item!r}."
            )
        if "\0" in item:  # NumPy pads strings with it
            raise ValueError(
                f"{name} has the character NUL, which NumPy strings cannot hold, in row {row}."
            )
    return np.array(items, dtype=np.str_)
