"""Optimizers: the registry, default learning rates and schedules, Muon, routed parameters."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from .._files.archive import KERAS_CLASSES
from .._keras import keras, tf
from .._keras_compat import MuonHooks, routed_optimizer

# Names of the fully connected layers of image networks, which Muon leaves to Adam: the prefix of
# the hidden ones, and the name of the last one by its activation.
HIDDEN_LAYER = "fc"
OUTPUT_LAYERS = {"softmax": "probability", "sigmoid": "probability", "linear": "number"}

# Scales updates to about the root mean square of Adam's, so that Adam's learning rates fit
# (J. Liu et al., "Muon is Scalable for LLM Training", 2025).
UPDATE_RMS = 0.2


@keras.saving.register_keras_serializable(package="skcnn")
@functools.cache
def orthogonalizer(a: float, b: float, c: float, n_steps: int) -> Any:
    """Trace the Newton-Schulz iteration of Keras's Muon once for the kernels of all shapes.

    Traced for each kernel, the first fit of VGGLite takes 1.1 times the processor time.

    The polynomials of all steps are functions of the first Gram matrix, so they are multiplied
    first, and the wide matrix only once: 128 rows of 1,152 take 0.51 of the time, 256 of 2,304
    0.37, and results differ by 2e-6 (1e-4 for matrices of low rank).
    """

    def orthogonalize(matrix: Any) -> Any:
        x = matrix / (keras.ops.norm(matrix, axis=(-2, -1), keepdims=True) + 1e-7)
        gram = x @ keras.ops.transpose(x)
        scaled_identity = a * tf.eye(keras.ops.shape(gram)[0], dtype=gram.dtype)
        product = None
        for step in range(n_steps):
            factor = scaled_identity + b * gram + c * gram @ gram
            product = factor if product is None else factor @ product
            if step < n_steps - 1:
                gram = factor @ (factor @ gram)
        return x if product is None else product @ x

    matrices = tf.TensorSpec((None, None))
    return tf.function(orthogonalize, autograph=False, input_signature=[matrices])


class Muon(MuonHooks):
    """Keras's Muon [1]_, extended to the kernels of convolutions.

    A kernel is reshaped to a matrix with one column per filter. Adam trains biases, normalization
    parameters and the fully connected layers of skcnn's networks. With Adam for all, VGGLite
    reaches an accuracy 9.3 points lower in five epochs (``docs/guide/performance.rst``), and 0.9
    points lower with Muon for the hidden fully connected layers, too.

    Parameters
    ----------
    learning_rate, weight_decay, **options
        As in ``keras.optimizers.Muon``, but `weight_decay` applies to all kernels and is None by
        default. Adam trains the layers whose names contain a string of `exclude_layers`, by
        default the fully connected layers of skcnn.

    References
    ----------
    .. [1] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    """

    def __init__(
        self, learning_rate: Any = 0.001, weight_decay: Any = None, **options: Any
    ) -> None:
        layers = list(dict.fromkeys([HIDDEN_LAYER, *OUTPUT_LAYERS.values()]))
        options.setdefault("exclude_layers", layers)
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **options)

    def uses_adam(self, variable: Any) -> bool:
        return len(variable.shape) < 2 or any(map(variable.path.count, self.exclude_layers))

    def muon_step(self, gradient: Any, variable: Any, rate: Any, momentum: Any) -> None:
        self.assign(momentum, gradient + momentum * self.momentum)
        direction = gradient + momentum * self.momentum if self.nesterov else momentum
        matrix = keras.ops.reshape(direction, (-1, variable.shape[-1]))
        is_tall = matrix.shape[0] > matrix.shape[1]
        update = orthogonalizer(self.muon_a, self.muon_b, self.muon_c, self.ns_steps)(
            keras.ops.transpose(matrix) if is_tall else matrix
        )
        update = keras.ops.transpose(update) if is_tall else update
        update *= rate * UPDATE_RMS * math.sqrt(max(matrix.shape))
        self.assign_sub(variable, keras.ops.reshape(update, variable.shape))


# Factors out of this range underflow or overflow in float32. A weight decay is multiplied by a
# learning rate.
TINY = float(np.finfo(np.float32).tiny)


LARGEST = {
    "learning_rate": float(np.finfo(np.float32).max),
    "weight_decay": math.sqrt(np.finfo(np.float32).max),
}


OPTIMIZERS = {
    name.lower(): value
    for name, value in KERAS_CLASSES.items()
    if issubclass(value, keras.optimizers.Optimizer)
    and value is not keras.optimizers.Optimizer
    and "learning_rate" in inspect.signature(value).parameters  # excludes wrappers of optimizers
} | {"muon": Muon}


def current_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """Return the learning rate of an optimizer, which may be one on several devices."""
    return float(optimizer.learning_rate.numpy())


def check_routed(optimizer: Any, routed: dict[str, Any]) -> None:
    """Check that the optimizer has the arguments that are routed to it."""
    if not (inspect.isclass(optimizer) and issubclass(optimizer, keras.optimizers.Optimizer)):
        raise TypeError(
            "optimizer must be a name, a keras.optimizers.Optimizer or a class of them, got "
            f"{optimizer!r}."
        )
    known = _arguments(optimizer)
    for name in routed:
        prefix, _, argument = name.partition("__")
        if prefix == "optimizer" and argument not in known:
            raise ValueError(
                f"{name}: {optimizer.__name__} has no argument {argument!r}; it takes "
                f"{', '.join(known)}."
            )


def check_float32(name: str, value: Any, largest: float) -> None:
    """Raise ValueError for a factor that underflows or overflows in float32."""
    if isinstance(value, Real) and value != 0 and not TINY <= float(value) <= largest:
        raise ValueError(
            f"{name}={value!r} is out of the range of float32; it must be between "
            f"{TINY:.2g} and {largest:.2g}."
        )


def _arguments(optimizer: type[keras.optimizers.Optimizer]) -> list[str]:
    """List the arguments of an optimizer class and of its base classes."""
    names: dict[str, None] = {}
    for cls in optimizer.__mro__[:-1]:
        for parameter in inspect.signature(cls).parameters.values():
            if parameter.kind is not parameter.VAR_KEYWORD and parameter.name != "name":
                names[parameter.name] = None
        if cls is keras.optimizers.Optimizer:
            break
    return list(names)


# Default learning rates: the peak of a one-cycle or cosine schedule, and constant ones. Other
# optimizers use Keras's default. Adadelta was published with 1.0, which Keras 3 changed to 0.001.
PEAK_LEARNING_RATES = {
    "adam": 0.01,
    "adamw": 0.01,
    "nadam": 0.01,
    "muon": 0.01,
    "adadelta": 1.0,
    "sgd": 0.1,
}


CONSTANT_LEARNING_RATES = {"adadelta": 1.0}


# Weight decay that `weight_decay=None` sets. Ten epochs of 45,000 images of CIFAR-10 (JPEG copy)
# without and with it: StackedCNN 0.773 and 0.784 (0.2: 0.798), VGGLite 0.838 and 0.846.
WEIGHT_DECAYS = {"muon": 0.1}


# One cycle is the default: in five epochs a constant rate costs VGGLite 4.0 points of accuracy,
# and a cosine 10.1 (docs/guide/performance.rst).
def one_cycle(progress: float) -> float:
    """Rise linearly over the first quarter of the training run, then fall linearly to zero."""
    return progress / 0.25 if progress < 0.25 else (1 - progress) / 0.75


def cosine(progress: float) -> float:
    """Fall from one to zero along half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * progress))


SCHEDULES: dict[str, Callable[[float], float]] = {"one_cycle": one_cycle, "cosine": cosine}


def default_learning_rate(
    optimizer: type[keras.optimizers.Optimizer], schedule: object, share: float = 1.0
) -> float:
    """Return the default learning rate of an optimizer class under a schedule.

    `share` is the factor of `PEAK_LEARNING_RATES`.
    """
    name = optimizer.__name__.lower()
    rates = PEAK_LEARNING_RATES if schedule in SCHEDULES else CONSTANT_LEARNING_RATES
    if name not in rates:
        # A fixed name, as TensorFlow keeps memory for every new name of a variable.
        return current_rate(optimizer(name="optimizer"))
    return rates[name] * (share if schedule in SCHEDULES else 1)


def has_schedule(optimizer: keras.optimizers.Optimizer) -> bool:
    """Return whether the learning rate of an optimizer is a Keras schedule."""
    return isinstance(optimizer.get_config()["learning_rate"], dict)


def make_optimizer(
    optimizer: Any,
    learning_rate: float | None,
    weight_decay: float | None,
    schedule: Any,
    routed: dict[str, Any],
    share: float = 1.0,
) -> keras.optimizers.Optimizer:
    """Create an optimizer from the parameters of an estimator.

    Parameters
    ----------
    optimizer : str, keras.optimizers.Optimizer or class
        Name, instance or class.
    learning_rate : float or None
        The learning rate, or its peak. None uses the default.
    weight_decay : float or None
        The decoupled weight decay. None uses the default, and that of an instance.
    schedule : str or keras.optimizers.schedules.LearningRateSchedule
        The learning-rate schedule.
    routed : dict
        Arguments of the optimizer, with the prefix ``optimizer__``.
    share : float, default=1.0
        Factor of `PEAK_LEARNING_RATES`.

    Raises
    ------
    ValueError, TypeError
        If the parameters conflict; the message names them.
    """
    routed = dict(routed)
    if isinstance(optimizer, str):
        optimizer = OPTIMIZERS[optimizer]
    cls = optimizer if inspect.isclass(optimizer) else type(optimizer)
    if issubclass(cls, keras.optimizers.LossScaleOptimizer):
        raise TypeError(
            "optimizer is a LossScaleOptimizer, but skcnn trains in float32 and bfloat16, whose "
            "gradients need no scaling; pass the optimizer that it wraps."
        )
    if weight_decay is None and optimizer is cls and "optimizer__weight_decay" not in routed:
        weight_decay = WEIGHT_DECAYS.get(cls.__name__.lower())
    given = _arguments_of_estimator(learning_rate, weight_decay, schedule, routed)
    if isinstance(optimizer, keras.optimizers.Optimizer):
        made = _copied(optimizer, routed, given)
    else:
        check_routed(optimizer, routed)
        if "learning_rate" not in given and "optimizer__learning_rate" not in routed:
            given["learning_rate"] = default_learning_rate(optimizer, schedule, share)
        routed.update({f"optimizer__{name}": value for name, value in given.items()})
        made = routed_optimizer(optimizer, routed)
    if schedule in SCHEDULES and has_schedule(made):
        raise ValueError(
            f"Both the optimizer and learning_rate_schedule={schedule!r} set a learning-rate "
            "schedule; set learning_rate_schedule='constant' to use the one of the optimizer."
        )
    for name in ("learning_rate", "weight_decay"):
        value = given.get(name, routed.get(f"optimizer__{name}", made.get_config()[name]))
        full_name = name if name in given else f"optimizer__{name}"
        check_float32(full_name, value, LARGEST[name])
    return made


def _arguments_of_estimator(
    learning_rate: Any, weight_decay: float | None, schedule: Any, routed: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of the optimizer that parameters of the estimator set."""
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        if learning_rate is not None:
            raise ValueError(
                "learning_rate must be None when learning_rate_schedule is a Keras schedule, "
                f"which sets it; got {learning_rate!r}."
            )
        learning_rate = schedule
    # A fixed name, as TensorFlow keeps memory for every new name of a variable.
    given: dict[str, Any] = {"name": "optimizer"}
    values = {"learning_rate": learning_rate, "weight_decay": weight_decay or None}
    for name, value in values.items():
        if value is None:
            continue
        if f"optimizer__{name}" in routed:
            raise ValueError(
                f"Set {name} or optimizer__{name}, not both; got {value!r} and "
                f"{routed[f'optimizer__{name}']!r}."
            )
        given[name] = value
    return given


def _copied(
    optimizer: keras.optimizers.Optimizer, routed: dict[str, Any], given: dict[str, Any]
) -> keras.optimizers.Optimizer:
    """Create an optimizer with the settings of an instance that the user has passed."""
    if routed:
        raise ValueError(
            "Parameters routed as optimizer__... need an optimizer name or class; got an "
            f"instance of {type(optimizer).__name__}."
        )
    config = optimizer.get_config()
    decay, usual = config["weight_decay"], inspect.signature(type(optimizer)).parameters
    default = usual["weight_decay"].default if "weight_decay" in usual else None
    if "weight_decay" in given and decay not in (None, 0, default, given["weight_decay"]):
        raise ValueError(
            f"weight_decay={given['weight_decay']!r} of the estimator and weight_decay="
            f"{decay!r} of the optimizer differ; set weight_decay=0 to use the optimizer's."
        )
    return type(optimizer).from_config({**config, **given})


def scale_rates(optimizer: keras.optimizers.Optimizer, shares: list[tuple[Any, float]]) -> None:
    """Have an optimizer update some variables at a share of its learning rate."""
    shares = [(variable, share) for variable, share in shares if share != 1]
    if not shares:
        return
    # Keras passes its own variable, the TensorFlow variable in it, or that of one device.
    of_devices = tf.distribute.get_strategy().experimental_local_results
    factors = {
        id(each): share
        for variable, share in shares
        for each in (variable, variable.value, *of_devices(variable.value))
    }
    update = optimizer.update_step

    def scaled(gradient: Any, variable: Any, learning_rate: Any) -> None:
        update(gradient, variable, learning_rate * factors.get(id(variable), 1.0))

    optimizer.update_step = scaled


def check_floatx() -> None:
    """Check that Keras's default dtype is float32, as optimizers and losses use it."""
    if keras.config.floatx() != "float32":
        raise ValueError(
            f"skcnn trains in float32, but keras.config.floatx() is {keras.config.floatx()!r}; "
            "call keras.config.set_floatx('float32') before fit."
        )
