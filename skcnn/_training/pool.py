"""The pool of compiled networks for reuse by later fits, and compiled prediction."""

from __future__ import annotations

import functools
import json
import math
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._keras import keras, tf
from .batches import as_batch, read_ahead
from .fusing import FoldedWeights
from .network import CACHED, MAX_FORWARDS, CompiledNetwork, Plan, compiles, seed_variables

Array = NDArray[Any]

# Limits of the pool: idle networks, and bytes of their variables.
MAX_IDLE = 8
MAX_IDLE_BYTES = 2**29

# Limits of one prediction batch, which bound the memory of the activations.
PREDICTION_ROWS = 480
PREDICTION_VALUES = 2**22

# Batches are padded to multiples of this. Eigen's matrix products process rows in groups of three
# vectors of up to 16 values and sum the remaining rows in another order, so without padding the
# last bits of a prediction would depend on its position in X.
ROW_GROUP = 48


# Values of a row that is padded even if it is the only one.
SMALL_VALUES = 64


class NetworkPool:
    """Idle compiled networks; each is used by one fit at a time.

    Parameters
    ----------
    size : int
        Maximum number of idle networks.
    nbytes : int
        Maximum bytes of their variables.
    """

    def __init__(self, size: int, nbytes: int) -> None:
        self.size = size
        self.nbytes = nbytes
        self._idle: list[tuple[Hashable, CompiledNetwork]] = []
        self._lock = threading.Lock()

    def acquire(self, key: Hashable) -> CompiledNetwork | None:
        """Remove and return an idle network with this key, or None."""
        with self._lock:
            for index in reversed(range(len(self._idle))):
                if self._idle[index][0] == key:
                    return self._idle.pop(index)[1]
        return None

    def release(self, key: Hashable, network: CompiledNetwork) -> None:
        """Add an idle network, evicting the oldest ones beyond the limits."""
        with self._lock:
            self._idle.append((key, network))
            while len(self._idle) > self.size or self._waiting_bytes() > self.nbytes:
                self._idle.pop(0)

    def _waiting_bytes(self) -> int:
        return sum(network.nbytes for _, network in self._idle)

    def clear(self) -> None:
        """Remove all networks."""
        with self._lock:
            self._idle.clear()


POOL = NetworkPool(MAX_IDLE, MAX_IDLE_BYTES)


def compile_key(
    plan: Plan, optimizer: keras.optimizers.Optimizer, loss: keras.losses.Loss, metrics: list[Any]
) -> Hashable:
    """Return the key of everything that a traced training step fixes.

    Learning rate and weight decay are not part of it: they are variables of the optimizer.
    """
    # Keras numbers the names of objects that it names itself.
    settings, losses = ({**each.get_config(), "name": None} for each in (optimizer, loss))
    for name in ("learning_rate", "weight_decay"):
        if isinstance(settings.get(name), float | int):
            settings[name] = settings[name] > 0
    fixed = json.dumps([settings, losses], sort_keys=True, default=repr)
    # A network that was built without the values of keyed arguments cannot start a fit.
    network = plan.without_values(), plan.has_values
    # Variables are on the devices of the strategy in whose scope they were created.
    strategy = tf.distribute.get_strategy() if tf.distribute.has_strategy() else None
    return *network, type(optimizer), type(loss), fixed, tuple(metrics), strategy


class StatelessCall:
    """A compiled function of a network whose weights are inputs.

    One function serves all estimators of a plan, from any thread. It is traced on creation, not at
    the first call.

    Parameters
    ----------
    model : keras.Model
        The network.
    function : callable
        Computes tensors with the layers of the network.
    specs : list of tf.TensorSpec
        Shapes and dtypes of its inputs.
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
        # A direct call of the function would check the type of every weight: one image then takes
        # 3.9 ms instead of 2.7 ms (docs/guide/performance.rst).
        return tf.raw_ops.PartitionedCall(  # type: ignore[no-any-return]
            args=[*inputs, *weights, *self._run.captured_inputs],
            Tout=self._dtypes,
            f=self._run,
        )


class Forward:
    """Compiled forward pass: maps a batch and prepared weights to features and outputs.

    It takes any number of rows.

    Parameters
    ----------
    plan : Plan
        The plan of the network.

    Attributes
    ----------
    n_features : int
        Number of features per sample.
    n_outputs : int
        Number of outputs per sample.
    n_seeds : int
        Number of random layers.
    """

    def __init__(self, plan: Plan) -> None:
        model = plan.model()
        self._folded = FoldedWeights(model)
        both = keras.Model(model.input, [model.layers[-1].input, model.output], name="forward")
        self.n_seeds = len(seed_variables(model))
        spec = tf.TensorSpec(model.input.shape, model.input.dtype)
        run = functools.partial(both, training=False)
        self._call = StatelessCall(model, run, [spec])
        features, outputs = both.output_shape
        self.n_features = int(features[-1])
        self.n_outputs = math.prod(outputs[1:])

    def prepared(self, weights: list[Any]) -> list[tf.Tensor]:
        """Return the tensors that calls take for these weights."""
        return self._folded([tf.convert_to_tensor(weight) for weight in weights])

    def __call__(self, batch: Array, weights: list[tf.Tensor]) -> list[Any]:
        """Run the network over a batch."""
        return self._call([batch.astype(np.float32, copy=False)], weights)


# All functions that estimators hold; `forward` itself caches those used last.
_held: weakref.WeakValueDictionary[Plan, Forward] = weakref.WeakValueDictionary()


@compiles(MAX_FORWARDS)
def forward(plan: Plan) -> Forward:
    """Return the forward pass of a plan, which all networks of the plan share."""
    function = _held.get(plan)
    if function is None:
        function = _held[plan] = Forward(plan)
    return function


def acquire(
    plan: Plan, optimizer: keras.optimizers.Optimizer, loss: keras.losses.Loss, metrics: list[Any]
) -> tuple[Hashable, CompiledNetwork]:
    """Return a compiled network for exclusive use, and the key to release it with."""
    key = compile_key(plan, optimizer, loss, metrics)
    network = POOL.acquire(key)
    if network is None:
        own = type(optimizer).from_config(optimizer.get_config())
        if own.weight_decay:
            # A plain number would be traced as a constant.
            own.weight_decay = keras.Variable(own.weight_decay, trainable=False)
        network = CompiledNetwork(plan, own, loss, metrics)
    return key, network


def predict_in_parts(
    predict: Callable[[Array], tf.Tensor],
    X: Any,
    n_outputs: int,
    then: Callable[[Array], Array] | None = None,
    empty: Callable[..., Array] = np.empty,
) -> Array:
    """Predict in batches of bounded memory.

    Parameters
    ----------
    predict : callable
        Predicts a batch.
    X : array-like of shape (n_samples, ...)
        The inputs.
    n_outputs : int
        Number of outputs per sample.
    then : callable, default=None
        Applied to the outputs of each batch.
    empty : callable, default=numpy.empty
        Makes the array for the outputs, of a shape and a dtype.
    """
    values = max(math.prod(X.shape[1:]), n_outputs)
    most = max(1, min(PREDICTION_ROWS, PREDICTION_VALUES // values))
    # A single row, the most frequent case, is not padded: it has one position only. A small one
    # is, as this costs little, and its prediction then has the bits that it has in a batch.
    group = min(ROW_GROUP, most) if len(X) > 1 or values <= SMALL_VALUES else 1
    n_rows = most - most % group
    parts: list[Array] = []
    whole: Array | None = None
    starts = range(0, len(X), n_rows)
    batches = read_ahead(X, [slice(start, start + n_rows) for start in starts])
    for start, rows in zip(starts, batches, strict=True):
        batch = as_batch(rows)
        fill = np.repeat(batch[-1:], -len(batch) % group, axis=0)
        filled = np.concatenate([batch, fill]) if len(fill) else batch
        part = predict(filled).numpy()[: len(batch)]
        if then is not None:
            parts.append(then(part))
            continue
        if whole is None:  # at once, as a copy of all parts would need as much memory again
            whole = empty((len(X), *part.shape[1:]), part.dtype)
        whole[start : start + len(part)] = part
    return np.concatenate(parts) if whole is None else whole


def clear_compiled() -> None:
    """Free the memory of compiled networks that are kept for later fits.

    Later fits, augmentations and predictions of newly fitted or loaded estimators compile again,
    with the same results. Fitted estimators are not affected.

    Notes
    -----
    At most 8 networks, of 512 MB together, and 32 prediction functions are kept for reuse.

    See Also
    --------
    keras.utils.clear_session : Frees the global state of Keras.

    Examples
    --------
    >>> import skcnn
    >>> skcnn.clear_compiled()
    """
    POOL.clear()
    for function in CACHED:
        function.cache_clear()
