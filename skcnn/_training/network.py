"""Compiled networks that can be reused by later fits.

Building a network and tracing its training step takes seconds, most of the time of a fit on small
data. Both depend only on the plan of the network and the settings of the optimizer, so a network
trained by one fit can be reused by the next: weights, optimizer state and seeds are reset, and the
estimator keeps a copy of their values. A search of 18 short fits takes 12 seconds, and 76 with
scikeras, which compiles in every fit (docs/guide/performance.rst).
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._files.archive import KERAS_CLASSES, Keyed, LoadError
from .._files.registry import LOADABLE
from .._keras import keras, tf
from .._keras_compat import skip_gradient_sum
from .optimizers import current_rate, scale_rates
from .steps import CompiledSteps

Array = NDArray[Any]
Result = TypeVar("Result")


# Maximum number of cached prediction functions, besides those that estimators hold.
MAX_FORWARDS = 32

# Functions with a cache that `clear_compiled` empties.
CACHED: list[Any] = []


def compiles(maxsize: int) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Decorate a function with an LRU cache that `clear_compiled` empties."""

    def decorate(function: Callable[..., Result]) -> Callable[..., Result]:
        cached = functools.lru_cache(maxsize)(function)
        CACHED.append(cached)
        return cached

    return decorate


@dataclass(frozen=True)
class Plan:
    """What a network is built from: a function and its arguments.

    Equal plans build networks with the same layers. An argument may be :class:`Keyed`: the
    function gets its value, such as pretrained weights, or None where the weights are set after
    the network is built. Layers that bring weights are marked with :func:`keep_weights`.
    """

    build: Callable[..., keras.Model]
    arguments: tuple[tuple[str, Hashable], ...]

    def changed(self, **arguments: Hashable) -> Plan:
        """Return a copy of the plan with other arguments."""
        return Plan(self.build, tuple((dict(self.arguments) | arguments).items()))

    @property
    def keyed(self) -> dict[str, Keyed]:
        """The arguments that are compared by their keys."""
        return {name: value for name, value in self.arguments if isinstance(value, Keyed)}

    @property
    def has_values(self) -> bool:
        """Whether the values of all keyed arguments are known, so that a fit can start."""
        return all(argument.value is not None for argument in self.keyed.values())

    def without_values(self) -> Plan:
        """Return an equal plan without the values of keyed arguments, to free their memory."""
        return self.changed(**{name: Keyed(None, each.key) for name, each in self.keyed.items()})

    def model(self) -> keras.Model:
        """Build the network."""
        return self.build(
            **{
                name: value.value if isinstance(value, Keyed) else value
                for name, value in self.arguments
            }
        )


@dataclass
class State:
    """The values of all variables that training changes, and the class of the optimizer."""

    kind: str
    weights: list[Array]
    seeds: list[Array]
    optimizer: list[Array]


class CompiledNetwork:
    """A network with its optimizer, loss and metrics, whose training step is traced once.

    Parameters
    ----------
    plan : Plan
        The plan of the network.
    optimizer : keras.optimizers.Optimizer
        A new optimizer that no other network uses.
    loss : keras.losses.Loss
        The loss.
    metrics : list
        The metrics of ``keras.Model.compile``.
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
        skip_gradient_sum(optimizer)
        # Weight decay harms biases and normalization parameters.
        optimizer.exclude_from_weight_decay(
            var_list=[weight for weight in self.model.trainable_weights if len(weight.shape) < 2]
        )
        self.model.compile(optimizer=optimizer, loss=loss, metrics=metrics)
        # A model that a callback saves predicts in float32, as the estimator does.
        float32 = plan.without_values().changed(dtype="float32")
        self.model.get_config = lambda: float32.model().get_config()
        save_for_plain_keras(self.model)
        # If optimizer and metrics created their variables while the training step is traced,
        # TensorFlow would trace it twice.
        optimizer.build(self.model.trainable_variables)
        for layer in self.model.layers:
            if hasattr(layer, "steps_done"):
                layer.steps_done = lambda: optimizer.iterations.value
        shape = [1, *(size or 1 for size in self.model.output_shape[1:])]
        target = keras.ops.zeros(shape[:-1] if getattr(loss, "from_codes", False) else shape)
        self.model.compute_metrics(None, target, keras.ops.zeros(shape))
        self._seeds = seed_variables(self.model)
        scale_rates(optimizer, rate_shares(self.model))
        self.training = CompiledSteps(self.model, trains=True)
        self.evaluation = CompiledSteps(self.model, trains=False)
        self.first = self.state()

    def start(self, seed: int) -> None:
        """Reset all variables to the initial values for this seed."""
        self.load(self.first)
        rng = np.random.default_rng(seed)
        draw_weights(self.model, rng)
        draw_seeds(self._seeds, rng)

    def set_optimizer(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Copy the learning rate and the weight decay of an optimizer of the same class."""
        # A Keras schedule is part of the traced step.
        if not isinstance(optimizer.get_config()["learning_rate"], dict):
            self.optimizer.learning_rate = current_rate(optimizer)
        if optimizer.weight_decay:
            self.optimizer.weight_decay.assign(optimizer.weight_decay)

    def settings(self) -> str:
        """Describe the settings that a traced training step fixes and a fit does not reset."""
        optimizer = self.model.optimizer
        settings = {"optimizer": id(optimizer), **optimizer.get_config()}
        for name in ("learning_rate", "weight_decay"):
            settings.pop(name, None)
        layers = type(self.model).get_config(self.model)  # not the float32 config set above
        return json.dumps([settings, layers], sort_keys=True, default=repr)

    @property
    def nbytes(self) -> int:
        """Bytes of the variables and of the copy of their initial values."""
        variables = [*self.model.variables, *self.optimizer.variables]
        sizes = [each.value.dtype.size * math.prod(each.shape) for each in variables]
        return 2 * int(sum(sizes))

    def state(self) -> State:
        """Return a copy of all values."""
        return State(
            type(self.optimizer).__name__,
            values_of(self.model.weights),
            values_of(self._seeds),
            values_of(self.optimizer.variables),
        )

    def load(self, state: State) -> None:
        """Set all values; reset the optimizer if the state is of another optimizer class."""
        assign_values(self.model.weights, state.weights)
        # Recurrent networks of version 0.1.0 had none.
        assign_values(self._seeds, state.seeds or self.first.seeds)
        fits = (state.kind, len(state.optimizer)) == (self.first.kind, len(self.first.optimizer))
        assign_values(self.optimizer.variables, (state if fits else self.first).optimizer)


def save_for_plain_keras(model: keras.Model) -> None:
    """Exclude optimizer and metrics, some of which need skcnn, from files that Keras writes."""
    model.get_compile_config = lambda: None


def seed_variables(model: keras.Model) -> list[Any]:
    """List the states of the random layers of a network, nested ones included."""
    weights = set(map(id, model.weights))
    return [variable for variable in model.variables if id(variable) not in weights]


def keep_weights(layer: keras.layers.Layer) -> None:
    """Mark a layer, or a network and its layers, to start every fit from the weights it has.

    All other layers are drawn anew at the start of a fit.
    """
    layer.keeps_weights = True
    for inner in getattr(layer, "layers", ()):
        keep_weights(inner)


def draw_weights(model: keras.Model, rng: np.random.Generator) -> None:
    """Draw the weights of all layers that bring none."""
    brought = set(map(id, brought_weights(model)))
    for variable in model.weights:
        if len(variable.shape) > 1 and id(variable) not in brought:
            kind = keras.initializers.GlorotUniform
            if variable.name == "recurrent_kernel":
                kind = keras.initializers.Orthogonal
            draw = kind(seed=int(rng.integers(2**31)))
            variable.assign(draw(variable.shape, dtype=variable.dtype))


def draw_seeds(seeds: list[Any], rng: np.random.Generator) -> None:
    """Draw the states of the random layers, as listed by :func:`seed_variables`."""
    for state in seeds:
        state.assign(np.array([rng.integers(2**31), 0]))


def rate_shares(model: keras.Model) -> list[tuple[Any, float]]:
    """List the variables that are trained at a share of the learning rate, and the shares.

    A builder sets ``learning_rate_share`` on variables.
    """
    return [
        (variable, variable.learning_rate_share)
        for variable in model.trainable_variables
        if hasattr(variable, "learning_rate_share")
    ]


def brought_weights(layer: keras.layers.Layer) -> list[Any]:
    """List the weights of a network that are marked with :func:`keep_weights`."""
    if getattr(layer, "keeps_weights", False):
        return layer.weights  # type: ignore[no-any-return]
    inner = getattr(layer, "layers", ())
    return [weight for each in inner for weight in brought_weights(each)]


def values_of(variables: Iterable[Any]) -> list[Array]:
    """Return a copy of the values of variables."""
    # Copied, as TensorFlow may write to the memory that it shares with NumPy.
    return [np.array(variable.value.numpy()) for variable in variables]


def assign_values(variables: Iterable[Any], values: Iterable[Array]) -> None:
    """Set the values of variables."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@compiles(MAX_FORWARDS)
def variables_of(plan: Plan) -> dict[str, list[tuple[Any, Any]]]:
    """List shapes and dtypes of the variables of a network without allocating them."""
    with tf.Graph().as_default():  # the variables get no values
        model = plan.model()
    return {
        name: [(tuple(variable.shape), np.dtype(variable.dtype)) for variable in variables]
        for name, variables in (("weights", model.weights), ("seeds", seed_variables(model)))
    }


def check_state(plan: Plan, state: State) -> None:
    """Check that the arrays of a state fit the network of a plan."""
    for name, expected in variables_of(plan).items():
        arrays = getattr(state, name)
        if name == "seeds" and not arrays:  # a recurrent network of version 0.1.0
            continue
        if [(array.shape, array.dtype) for array in arrays] != expected:
            raise LoadError(f"its {name} do not match its network")
    if not is_finite(state):
        raise LoadError("its network has weights that are not finite")
    if not all(
        isinstance(value, np.ndarray) and value.dtype.kind in "biuf" for value in state.optimizer
    ):
        raise LoadError("the state of its optimizer is not a list of arrays")


def is_finite(state: State) -> bool:
    return all(np.isfinite(weight).all() for weight in state.weights)


def trusted_types() -> list[str]:
    """List the types in a pickled estimator that skops asks to be trusted."""
    types: list[Any] = [Keyed, Plan, State, *LOADABLE.values(), *KERAS_CLASSES.values()]
    types += {cls._build for cls in LOADABLE.values() if hasattr(cls, "_build")}
    return sorted(f"{each.__module__}.{each.__qualname__}" for each in types)


# float32 weights of 1 GiB.
MAX_PARAMETERS = 2**28

# Half of Python's recursion limit, as Keras visits the layers recursively.
MAX_BUILT_LAYERS = 500


def check_size(name: str, n_layers: int, n_parameters: int) -> None:
    """Raise ValueError for a network that would exhaust the recursion limit or the memory.

    `name` names the parameters of the estimator that determine the size.
    """
    for count, limit, what in (
        (n_layers, MAX_BUILT_LAYERS, "layers"),
        (n_parameters, MAX_PARAMETERS, "parameters"),
    ):
        if count > limit:
            raise ValueError(
                f"{name}: the network would have {count:,} {what}; at most {limit:,} are allowed."
            )
