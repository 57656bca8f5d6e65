"""The classes whose objects a file may contain; no name in a file is imported."""

from __future__ import annotations

from typing import TypeVar

from sklearn.base import BaseEstimator

Class = TypeVar("Class", bound=type)

ROOT = __name__.partition(".")[0]

# The registry, by name.
LOADABLE: dict[str, type[BaseEstimator]] = {}


def loadable(cls: Class) -> Class:
    """Register a class whose objects a file may contain."""
    LOADABLE[class_name(cls)] = cls
    return cls


def class_name(cls: type) -> str:
    """Return the name of a class in files, with its module unless it is part of skcnn."""
    if cls.__module__.partition(".")[0] == ROOT:
        return cls.__qualname__
    return f"{cls.__module__}:{cls.__qualname__}"
