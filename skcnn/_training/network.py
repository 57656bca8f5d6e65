"""Compiled networks that later fits use again.

Building a network and tracing its training step takes seconds, which is most of the time of a fit
on small data. Both depend on the plan of the network and the settings of the optimizer alone, so
a network that one fit has trained can serve the next: weights, optimizer state and seeds are set
anew, and what the estimator keeps is a copy of their values.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from .._files.archive import KERAS_CLASSES, LOADABLE, LoadError

Array = NDArray[Any]
Result = TypeVar("Result")


# Functions of networks that are kept although no estimator has them.
MAX_FORWARDS = 32

# Functions that keep what they have compiled.
CACHED: list[Any] = []


def compiles(maxsize: int) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Decorate a function so that it keeps its last results until `clear_compiled`."""

    def decorate(function: Callable[..., Result]) -> Callable[..., Result]:
        cached = functools.lru_cache(maxsize)(function)
        CACHED.append(cached)
        return cached

    return decorate


@dataclass(frozen=True)
class Plan:
    """What a network is built from: a function and its arguments. Equal plans, equal networks."""

    build: Callable[..., keras.Model]
    arguments: tuple[tuple[str, Hashable], ...]

    def changed(self, **arguments: Hashable) -> Plan:
        """Make the plan of a network with other arguments."""
        return Plan(self.build, tuple((dict(self.arguments) | arguments).items()))

    def model(self) -> keras.Model:
        """Build the network."""
        return self.build(**dict(self.arguments))


@dataclass
class State:
    """The values of everything that training changes, and whose optimizer's they are."""

    kind: str
    weights: list[Array]
    seeds: list[Array]
    optimizer: list[Array]


class CompiledNetwork:
    """A network with its optimizer, loss and metrics, whose training step is traced once.

    Parameters
    ----------
    plan : Plan
        The network.
    optimizer : keras.optimizers.Optimizer
        A fresh optimizer, used by this network alone.
    loss : keras.losses.Loss
        The loss.
    metrics : list
        What Keras records.
    """

    def __init__(
        self,
        plan: Plan,
        optimizer: keras.optimizers.Optimizer,
        loss: keras.losses.Loss,
        metrics: list[Any],
    ) -> None:
        self.model = plan.model()
        self.optimizer = optimizer
        self._peak = tf.Variable(0.0, trainable=False)
        if not tf.distribute.has_strategy():
            # There are no replicas to sum gradients over, and TensorFlow never frees a graph that
            # has such a sum, as it registers the gradient of the sum for good.
            optimizer._all_reduce_sum_gradients = list
        # Weight decay harms biases and normalization parameters.
        optimizer.exclude_from_weight_decay(
            var_list=[weight for weight in self.model.trainable_weights if len(weight.shape) < 2]
        )
        self.model.compile(optimizer=optimizer, loss=loss, metrics=metrics)
        # What a callback saves predicts as the estimator does, in float32.
        float32 = plan.changed(dtype="float32")
        self.model.get_config = lambda: float32.model().get_config()
        save_for_plain_keras(self.model)
        # Optimizer and metrics would make their variables while the training step is traced, and
        # TensorFlow would trace it a second time.
        optimizer.build(self.model.trainable_variables)
        for layer in self.model.layers:
            if hasattr(layer, "progress"):
                layer.progress = self._progress
        shape = [1, *(size or 1 for size in self.model.output_shape[1:])]
        target = keras.ops.zeros(shape[:-1] if getattr(loss, "from_codes", False) else shape)
        self.model.compute_metrics(None, target, keras.ops.zeros(shape))
        self._seeds = seed_variables(self.model)
        self._feeds: dict[Hashable, Feed] = {}
        self.first = self.state()

    def start(self, seed: int) -> None:
        """Set all to where a fresh network with this seed starts."""
        self.load(self.first)
        rng = np.random.default_rng(seed)
        for variable in self.model.trainable_variables:
            if len(variable.shape) > 1:
                kind = keras.initializers.GlorotUniform
                if variable.name == "recurrent_kernel":
                    kind = keras.initializers.Orthogonal
                draw = kind(seed=int(rng.integers(2**31)))
                variable.assign(draw(variable.shape, dtype=variable.dtype))
        for state in self._seeds:
            state.assign(np.array([rng.integers(2**31), 0]))

    def set_optimizer(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Copy the learning rate and the weight decay of another optimizer of the kind."""
        # A schedule is a part of the traced step.
        if not isinstance(optimizer.get_config()["learning_rate"], dict):
            self.optimizer.learning_rate = float(optimizer.learning_rate)
            self._peak.assign(float(optimizer.learning_rate))
        if optimizer.weight_decay:
            self.optimizer.weight_decay.assign(optimizer.weight_decay)

    def _progress(self) -> tuple[Any, Any]:
        """Give what moving statistics depend on; without a known peak the rate is at it."""
        rate = tf.cast(self.optimizer.learning_rate, tf.float32)
        pace = tf.where(self._peak > 0, rate / self._peak, 1.0)
        return self.optimizer.iterations.value, pace

    @contextmanager
    def feed(self, **sources: Any) -> Iterator[dict[str, Any]]:
        """Turn what gives batches into data sets for Keras, for as long as it trains on them."""
        feeds = {}
        for name, source in sources.items():
            if source is not None:
                signature = source.signature()
                if (name, signature) not in self._feeds:
                    self._feeds[name, signature] = Feed(signature)
                feeds[name] = self._feeds[name, signature]
                feeds[name].source = source
        try:
            yield {name: feed.dataset() for name, feed in feeds.items()}
        except tf.errors.OpError:
            # TensorFlow hides what a source has raised in the text of an error of its own.
            for feed in feeds.values():
                if feed.error is not None:
                    raise feed.error from feed.error.__cause__
            raise
        finally:
            for feed in feeds.values():
                feed.source = feed.error = None

    def settings(self) -> str:
        """Describe what a traced training step fixes and a fit does not set anew."""
        optimizer = self.model.optimizer
        settings = {"optimizer": id(optimizer), **optimizer.get_config()}
        for name in ("learning_rate", "weight_decay"):
            settings.pop(name, None)
        layers = type(self.model).get_config(self.model)  # of the model itself as it is now
        return json.dumps([settings, layers], sort_keys=True, default=repr)

    @property
    def nbytes(self) -> int:
        """The bytes of the variables and of the copy of their first values."""
        variables = [*self.model.variables, *self.optimizer.variables]
        sizes = [each.value.dtype.size * math.prod(each.shape) for each in variables]
        return 2 * int(sum(sizes))

    def state(self) -> State:
        """Copy the values out."""
        return State(
            type(self.optimizer).__name__,
            _values(self.model.weights),
            _values(self._seeds),
            _values(self.optimizer.variables),
        )

    def load(self, state: State) -> None:
        """Set the values; those of an optimizer of another kind start anew."""
        _assign(self.model.weights, state.weights)
        _assign(self._seeds, state.seeds)
        fits = (state.kind, len(state.optimizer)) == (self.first.kind, len(self.first.optimizer))
        _assign(self.optimizer.variables, (state if fits else self.first).optimizer)


class Feed:
    """A data set of the batches of whatever its source is now.

    Keras would make one of its own at every fit, and TensorFlow never frees the functions of one
    that it has run.

    Parameters
    ----------
    signature : tuple of tf.TensorSpec, or of tuples of them
        Shapes and dtypes of a batch.

    Attributes
    ----------
    source : keras.utils.PyDataset
        What gives the batches.
    error : Exception or None
        What the source has raised.
    """

    def __init__(self, signature: tuple[Any, ...]) -> None:
        self.source: keras.utils.PyDataset | None = None
        self.error: Exception | None = None
        # A generator lives as long as the graph that was the default one when TensorFlow got it,
        # which else is that of the thread.
        self._graph = tf.Graph()
        with self._graph.as_default(), tf.__internal__.eager_context.eager_mode():
            self._batches = tf.data.Dataset.from_generator(self._epoch, output_signature=signature)

    def dataset(self) -> tf.data.Dataset:
        """Make the data set for the source that is there; each pass over it is an epoch."""
        assert self.source is not None
        count = tf.data.experimental.assert_cardinality(len(self.source))
        return self._batches.apply(count).prefetch(tf.data.AUTOTUNE)

    def _epoch(self) -> Iterator[tuple[Array, ...]]:
        source = self.source
        assert source is not None
        try:
            source.on_epoch_end()
            source.on_epoch_begin()
            for index in range(len(source)):
                yield source[index]
        except Exception as error:
            self.error = error
            raise


def save_for_plain_keras(model: keras.Model) -> None:
    """Leave optimizer and metrics out of what Keras saves, as some are known to skcnn alone."""
    model.get_compile_config = lambda: None


def seed_variables(model: keras.Model) -> list[Any]:
    """List the states of the random layers of a network."""
    generators = [getattr(layer, "seed_generator", None) for layer in model.layers]
    return [generator.state for generator in generators if generator is not None]


def _values(variables: Iterable[Any]) -> list[Array]:
    # Copies, as TensorFlow may go on writing where it lets NumPy read.
    return [np.array(variable.value.numpy()) for variable in variables]


def _assign(variables: Iterable[Any], values: Iterable[Array]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@compiles(MAX_FORWARDS)
def variables_of(plan: Plan) -> dict[str, list[tuple[Any, Any]]]:
    """List shapes and dtypes of what a network has, before any of it is made."""
    with tf.Graph().as_default():  # builds the layers without their values
        model = plan.model()
    return {
        name: [(tuple(variable.shape), np.dtype(variable.dtype)) for variable in variables]
        for name, variables in (("weights", model.weights), ("seeds", seed_variables(model)))
    }


def check_state(plan: Plan, state: State) -> None:
    """Compare the arrays with what the network has."""
    for name, expected in variables_of(plan).items():
        arrays = getattr(state, name)
        if [(array.shape, array.dtype) for array in arrays] != expected:
            raise LoadError(f"its {name} are not those of its network")
    if not is_finite(state):
        raise LoadError("its network has weights that are not finite")
    if not all(
        isinstance(value, np.ndarray) and value.dtype.kind in "biuf" for value in state.optimizer
    ):
        raise LoadError("the state of its optimizer is no list of arrays")


def is_finite(state: State) -> bool:
    return all(np.isfinite(weight).all() for weight in state.weights)


def trusted_types() -> list[str]:
    """List the types in a pickled estimator that other formats ask to be trusted."""
    types: list[Any] = [Plan, State, *LOADABLE.values(), *KERAS_CLASSES.values()]
    types += {cls._build for cls in LOADABLE.values() if hasattr(cls, "_build")}
    return sorted(f"{each.__module__}.{each.__qualname__}" for each in types)


# What is built in Keras may be more: weights of 1 GiB, and half of Python's recursion limit, as
# Keras visits the layers recursively.
MAX_PARAMETERS = 2**28


MAX_BUILT_LAYERS = 500


def check_size(name: str, n_layers: int, n_parameters: int) -> None:
    """Refuse a network that would exhaust the recursion limit or the memory.

    `name` says which parameters of the estimator ask for it.
    """
    for count, limit, what in (
        (n_layers, MAX_BUILT_LAYERS, "layers"),
        (n_parameters, MAX_PARAMETERS, "parameters"),
    ):
        if count > limit:
            raise ValueError(
                f"{name}: the network would have {count:,} {what}; at most {limit:,} are possible."
            )
