"""Warnings that point to the line of the user."""

from __future__ import annotations

import inspect
import warnings

# Packages whose frames lie between the line of the user and the warning.
WITHIN = {"skcnn", "sklearn", "joblib", "contextlib"}


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line that called skcnn, directly or through scikit-learn."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and _package(frame.f_globals) in WITHIN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level + 1)


def _package(names: dict[str, object]) -> str:
    return str(names.get("__name__", "")).partition(".")[0]
