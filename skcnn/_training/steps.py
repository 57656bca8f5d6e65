"""Compiled training and evaluation of many batches in one call.

For small networks, the overhead of Keras per step exceeds the time of the step: 190 steps of two
convolutions on the digits took 3.1 s with ``keras.Model.fit`` and take 0.7 s here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._keras import keras, tf
from .batches import BatchGenerator, Part

Array = NDArray[Any]

# Target duration of a call in seconds, as the progress bar and KeyboardInterrupt wait for its end.
CALL_SECONDS = 0.3

# Steps of the first calls, before the duration of a step is known; the first call also traces.
FIRST_STEPS = (1, 8)


class CompiledSteps:
    """Run a step of a network over many batches in one compiled call.

    Parameters
    ----------
    model : keras.Model
        The compiled network.
    trains : bool
        Whether to train on the batches or to evaluate them.
    """

    def __init__(self, model: keras.Model, trains: bool) -> None:
        self.model = model
        self.trains = trains
        self._functions: dict[Hashable, Any] = {}
        self._n_calls = 0
        self._seconds = 0.0

    def retrace(self) -> None:
        """Discard the traced functions."""
        self._functions.clear()

    def parts(
        self, batches: BatchGenerator, one_by_one: bool
    ) -> Generator[tuple[int, Part], None, None]:
        """Read an epoch in parts, one per call; a thread reads the next part during a call.

        Yields the number of the first batch of each part, and the part.
        """
        n_batches, stop = len(batches), 0

        def read() -> Any:
            nonlocal stop
            start = stop
            stop = min(n_batches, start + (1 if one_by_one else self._n_steps(batches)))
            return start, thread.submit(batches._read, start, stop)

        batches.on_epoch_begin()
        with ThreadPoolExecutor(1) as thread:
            waiting = read()
            while waiting is not None:
                start, part = waiting[0], waiting[1].result()
                waiting = read() if stop < n_batches else None
                yield start, part
        batches.on_epoch_end()

    def __call__(
        self, part: Part, batch_size: int, rates: Array | None = None
    ) -> tuple[dict[str, float], float]:
        """Run the steps; return the metrics of the epoch so far, and the last learning rate.

        `rates` are the learning rates of the steps; None does not set it. Steps after a loss that
        is not finite are skipped.
        """
        start = time.perf_counter()
        key = part.signature, part.cut, rates is None
        if key not in self._functions:
            self._functions[key] = self._trace(part, rates is not None)
        if rates is None:
            rates = np.zeros(len(part.extents), np.float32)
        logs, rate = self._functions[key](
            part.arrays, part.extents, np.int32(batch_size), rates.astype(np.float32)
        )
        logs = {name: float(value) for name, value in logs.items()}
        self._n_calls += 1
        self._seconds = (time.perf_counter() - start) / len(part.extents)
        return logs, float(rate)

    def _n_steps(self, batches: BatchGenerator) -> int:
        if self._n_calls < len(FIRST_STEPS):
            return min(FIRST_STEPS[self._n_calls], batches._max_steps)
        return max(1, min(int(CALL_SECONDS / self._seconds), batches._max_steps))

    def _trace(self, part: Part, sets_rate: bool) -> Callable[..., Any]:
        model, optimizer = self.model, self.model.optimizer
        step = _on_all_devices(model.train_step if self.trains else model.test_step, part.cut)

        def run(arrays: Any, extents: Any, batch_size: Any, rates: Any) -> Any:
            n_steps, n_rows = tf.shape(extents)[0], tf.shape(tf.nest.flatten(arrays)[0])[0]

            def body(index: Any, rate: Any, is_finite: Any) -> Any:
                first = index * batch_size
                rows = slice(first, tf.minimum(first + batch_size, n_rows))
                if sets_rate:
                    optimizer.learning_rate = rates[index]
                if self.trains:
                    rate = tf.convert_to_tensor(optimizer.learning_rate)
                loss = step(arrays, rows, extents[index])
                return index + 1, rate, tf.math.is_finite(loss)

            _, rate, _ = tf.while_loop(
                lambda index, _, is_finite: tf.logical_and(index < n_steps, is_finite),
                body,
                (0, tf.constant(0.0), True),
                parallel_iterations=1,
            )
            return model.get_metrics_result(), rate

        integers = tf.TensorSpec((None, None), tf.int32)
        floats = tf.TensorSpec((None,), tf.float32)
        return tf.function(run, autograph=False).get_concrete_function(  # type: ignore[no-any-return]
            part.signature, integers, tf.TensorSpec((), tf.int32), floats
        )


def _on_all_devices(step: Callable[..., Any], cut: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that runs a step on some rows, and returns the loss.

    Under a strategy of ``tf.distribute`` each device gets its share of the rows.
    """
    if not tf.distribute.has_strategy():
        return lambda arrays, rows, extent: step(cut(arrays, rows, extent))["loss"]
    strategy = tf.distribute.get_strategy()

    def run(arrays: Any, rows: slice, extent: Any) -> Any:
        def on_one() -> Any:
            device = tf.distribute.get_replica_context().replica_id_in_sync_group
            n_rows, n_devices = rows.stop - rows.start, strategy.num_replicas_in_sync
            # At least one row each, as there is no mean loss of none.
            first = tf.minimum(device * n_rows // n_devices, n_rows - 1)
            last = tf.maximum((device + 1) * n_rows // n_devices, first + 1)
            share = slice(rows.start + first, rows.start + last)
            return step(cut(arrays, share, extent))["loss"]

        return strategy.reduce("MEAN", strategy.run(on_one), axis=None)

    return run
