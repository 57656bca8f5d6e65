"""Compiled networks that wait for the next fit, and the function that predicts."""

from __future__ import annotations

import json
import math
import threading
import weakref
from collections.abc import Hashable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from .network import CACHED, MAX_FORWARDS, CompiledNetwork, Plan, compiles

Array = NDArray[Any]

# Networks that wait to be used again: how many, and their variables in bytes.
MAX_IDLE = 8


MAX_IDLE_BYTES = 2**29


class NetworkPool:
    """Compiled networks that wait for the next fit of their kind; a fit has one for itself.

    Parameters
    ----------
    size : int
        The most networks that wait.
    nbytes : int
        The most bytes of their variables.
    """

    def __init__(self, size: int, nbytes: int) -> None:
        self.size = size
        self.nbytes = nbytes
        self._idle: list[tuple[Hashable, CompiledNetwork]] = []
        self._lock = threading.Lock()

    def take(self, key: Hashable) -> CompiledNetwork | None:
        """Take a network out, None where there is none of this kind."""
        with self._lock:
            for index in reversed(range(len(self._idle))):
                if self._idle[index][0] == key:
                    return self._idle.pop(index)[1]
        return None

    def give(self, key: Hashable, network: CompiledNetwork) -> None:
        """Put a network in, in place of those that wait longest where there is no room."""
        with self._lock:
            self._idle.append((key, network))
            while len(self._idle) > self.size or self._waiting_bytes() > self.nbytes:
                self._idle.pop(0)

    def _waiting_bytes(self) -> int:
        return sum(network.nbytes for _, network in self._idle)

    def clear(self) -> None:
        """Let go of all."""
        with self._lock:
            self._idle.clear()


POOL = NetworkPool(MAX_IDLE, MAX_IDLE_BYTES)


def compile_key(
    plan: Plan, optimizer: keras.optimizers.Optimizer, loss: keras.losses.Loss, metrics: list[Any]
) -> Hashable:
    """Name what is fixed in a traced training step.

    Learning rate and weight decay are not: they are variables of the optimizer.
    """
    settings = dict(optimizer.get_config())
    settings.pop("name")
    for name in ("learning_rate", "weight_decay"):
        if isinstance(settings.get(name), float | int):
            settings[name] = settings[name] > 0
    fixed = json.dumps([settings, loss.get_config()], sort_keys=True, default=repr)
    return plan, type(optimizer), type(loss), fixed, tuple(metrics)


class Forward:
    """One compiled call of a network: a batch and its weights to its features and outputs.

    The weights are inputs, so one function serves all estimators of a plan, from any thread. It
    takes any number of rows and is traced here, not at the first prediction.

    Parameters
    ----------
    plan : Plan
        The network.

    Attributes
    ----------
    n_features : int
        The size of the features.
    n_outputs : int
        The outputs for a sample.
    """

    def __init__(self, plan: Plan) -> None:
        model = plan.model()
        both = keras.Model(model.input, [model.layers[-1].input, model.output], name="forward")

        def run(batch: Any, *values: Any) -> Any:
            with keras.StatelessScope(list(zip(model.weights, values, strict=True))):
                return both(batch, training=False)

        self._run = tf.function(run, autograph=False).get_concrete_function(
            tf.TensorSpec(model.input.shape, model.input.dtype),
            *(tf.TensorSpec(weight.shape, weight.dtype) for weight in model.weights),
        )
        self._dtypes = [output.dtype for output in self._run.outputs]
        features, outputs = both.output_shape
        self.n_features = int(features[-1])
        self.n_outputs = math.prod(outputs[1:])

    def __call__(self, batch: Array, weights: list[Any]) -> list[Any]:
        """Run the network over a batch."""
        # Called by itself, the function would look at the type of every weight each time, which
        # takes longer than to predict an image.
        return tf.raw_ops.PartitionedCall(  # type: ignore[no-any-return]
            args=[batch.astype(np.float32, copy=False), *weights],
            Tout=self._dtypes,
            f=self._run,
        )


# Those that estimators hold, however many; and those used last, for estimators to come.
_held: weakref.WeakValueDictionary[Plan, Forward] = weakref.WeakValueDictionary()


@compiles(MAX_FORWARDS)
def forward(plan: Plan) -> Forward:
    """Return the function that predicts with networks of a plan, traced once for all of them."""
    function = _held.get(plan)
    if function is None:
        function = _held[plan] = Forward(plan)
    return function


def clear_compiled() -> None:
    """Free the memory of what fits have compiled for later ones.

    Later fits, predictions of estimators that are fitted or loaded after it, and augmentations
    compile anew, with the same results. Fitted estimators go on predicting.

    Notes
    -----
    Without it, at most 8 networks of together 512 MB wait to be used again, and 32 functions
    that predict.

    See Also
    --------
    keras.utils.clear_session : The same for what Keras keeps.

    Examples
    --------
    >>> import skcnn
    >>> skcnn.clear_compiled()
    """
    POOL.clear()
    for function in CACHED:
        function.cache_clear()
