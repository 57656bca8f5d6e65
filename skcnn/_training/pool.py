"""Compiled networks that wait for the next fit, and the function that predicts."""

from __future__ import annotations

import functools
import json
import math
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from .batches import as_batch
from .network import CACHED, MAX_FORWARDS, CompiledNetwork, Plan, compiles

Array = NDArray[Any]

# Networks that wait to be used again: how many, and their variables in bytes.
MAX_IDLE = 8
MAX_IDLE_BYTES = 2**29

# What one call of the network predicts at most; bounds the memory of its activations.
PREDICTION_ROWS = 480
PREDICTION_VALUES = 2**22

# Rows are predicted in multiples of this. Eigen's matrix products take rows in groups of three
# vectors of up to 16 values and sum what is left over in another order, so without the rows that
# fill the last group up a prediction would depend, in its last bits, on its place in X.
ROW_GROUP = 48


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

    def acquire(self, key: Hashable) -> CompiledNetwork | None:
        """Take a network out, None where there is none of this kind."""
        with self._lock:
            for index in reversed(range(len(self._idle))):
                if self._idle[index][0] == key:
                    return self._idle.pop(index)[1]
        return None

    def release(self, key: Hashable, network: CompiledNetwork) -> None:
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


class StatelessCall:
    """A compiled function of a network whose weights are inputs.

    One function serves all estimators of a plan, from any thread. It is traced here, not when it
    is called first.

    Parameters
    ----------
    model : keras.Model
        The network.
    function : callable
        Computes tensors with the layers of the network.
    specs : list of tf.TensorSpec
        Shapes and dtypes of what it takes.
    """

    def __init__(
        self, model: keras.Model, function: Callable[..., Any], specs: list[tf.TensorSpec]
    ) -> None:
        def run(*values: Any) -> Any:
            inputs, weights = values[: len(specs)], values[len(specs) :]
            with keras.StatelessScope(list(zip(model.weights, weights, strict=True))):
                return function(*inputs)

        self._run = tf.function(run, autograph=False).get_concrete_function(
            *specs, *(tf.TensorSpec(weight.shape, weight.dtype) for weight in model.weights)
        )
        self._dtypes = [output.dtype for output in self._run.outputs]

    def __call__(self, inputs: list[Any], weights: list[Any]) -> list[Any]:
        """Compute the tensors."""
        # Called by itself, the function would look at the type of every weight each time, which
        # takes longer than to predict an image.
        return tf.raw_ops.PartitionedCall(  # type: ignore[no-any-return]
            args=[*inputs, *weights], Tout=self._dtypes, f=self._run
        )


class Forward:
    """One compiled call of a network: a batch and its weights to its features and outputs.

    It takes any number of rows.

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
        spec = tf.TensorSpec(model.input.shape, model.input.dtype)
        run = functools.partial(both, training=False)
        self._call = StatelessCall(model, run, [spec])
        features, outputs = both.output_shape
        self.n_features = int(features[-1])
        self.n_outputs = math.prod(outputs[1:])

    def __call__(self, batch: Array, weights: list[Any]) -> list[Any]:
        """Run the network over a batch."""
        return self._call([batch.astype(np.float32, copy=False)], weights)


# Those that estimators hold, however many; and those used last, for estimators to come.
_held: weakref.WeakValueDictionary[Plan, Forward] = weakref.WeakValueDictionary()


@compiles(MAX_FORWARDS)
def forward(plan: Plan) -> Forward:
    """Return the function that predicts with networks of a plan, traced once for all of them."""
    function = _held.get(plan)
    if function is None:
        function = _held[plan] = Forward(plan)
    return function


def acquire(
    plan: Plan, optimizer: keras.optimizers.Optimizer, loss: keras.losses.Loss, metrics: list[Any]
) -> tuple[Hashable, CompiledNetwork]:
    """Get a compiled network for one fit alone, and the key under which it is released."""
    key = compile_key(plan, optimizer, loss, metrics)
    network = POOL.acquire(key)
    if network is None:
        own = type(optimizer).from_config(optimizer.get_config())
        if own.weight_decay:
            # Traced as a number it would be a constant.
            own.weight_decay = keras.Variable(own.weight_decay, trainable=False)
        network = CompiledNetwork(plan, own, loss, metrics)
    return key, network


def predict_in_parts(
    predict: Callable[[Array], tf.Tensor],
    X: Any,
    n_outputs: int,
    then: Callable[[Array], Array] | None = None,
) -> Array:
    """Predict some rows at a time.

    Parameters
    ----------
    predict : callable
        Predicts a batch.
    X : array-like of shape (n_samples, ...)
        The inputs.
    n_outputs : int
        The outputs for a sample.
    then : callable, default=None
        What to make of the outputs of a batch before the next one is predicted.
    """
    values = max(math.prod(X.shape[1:]), n_outputs)
    most = max(1, min(PREDICTION_ROWS, PREDICTION_VALUES // values))
    # One row alone, which is often asked for and has no place, is not worth filling up.
    group = min(ROW_GROUP, most) if len(X) > 1 else 1
    n_rows = most - most % group
    parts = []
    for start in range(0, len(X), n_rows):
        batch = as_batch(X[start : start + n_rows])
        fill = np.repeat(batch[-1:], -len(batch) % group, axis=0)
        filled = np.concatenate([batch, fill]) if len(fill) else batch
        part = predict(filled).numpy()[: len(batch)]
        parts.append(part if then is None else then(part))
    return np.concatenate(parts)


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
