"""Detection of missing labels and groups."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np


def is_missing(value: Any) -> bool:
    """Tell whether a value is None, NaN, NaT or pandas.NA."""
    pandas = sys.modules.get("pandas")
    return (
        value is None
        or (pandas is not None and (value is pandas.NA or value is pandas.NaT))
        or (isinstance(value, float) and math.isnan(value))
        or (isinstance(value, np.datetime64 | np.timedelta64) and np.isnat(value))
    )


def check_no_missing(values: Any, name: str, each: str) -> None:
    """Refuse missing values in a 1-D array-like, before NumPy converts them to text.

    Parameters
    ----------
    values : array-like of shape (n_samples,)
        The values.
    name : str
        The name of the argument.
    each : str
        The singular noun for a value, for the message.
    """
    for row, value in enumerate(np.asarray(values, dtype=object)):
        if is_missing(value):
            raise ValueError(
                f"{name} has the {each} {value!r} in row {row}; each sample needs a {each}."
            )
