"""Keras, TensorFlow and scikeras, imported here and nowhere else.

Whichever module needs them first, they start quietly and with this process's share of the cores;
modules that need them only in some functions import this one there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._environment import limit_threads_to_share, quiet_tensorflow_start

with quiet_tensorflow_start():
    import keras
    import tensorflow as tf
    from scikeras.wrappers import BaseWrapper

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"skcnn needs Keras on TensorFlow, but Keras runs on {keras.backend.backend()!r}. "
        "Set the environment variable KERAS_BACKEND=tensorflow before the first import of keras."
    )

limit_threads_to_share()

# Keras has no types: see _typing.
if TYPE_CHECKING:

    class PyDataset:
        def __init__(
            self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
        ) -> None: ...

        workers: int
        use_multiprocessing: bool
        max_queue_size: int

        @property
        def num_batches(self) -> int | None: ...
        def on_epoch_begin(self) -> None: ...
        def on_epoch_end(self) -> None: ...

else:
    PyDataset = keras.utils.PyDataset

__all__ = ["BaseWrapper", "PyDataset", "keras", "tf"]
