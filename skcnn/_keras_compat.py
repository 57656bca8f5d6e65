"""Private symbols of Keras and scikeras, as in `_compat`, which does not import them."""

from __future__ import annotations

import sys
import weakref
from typing import Any

from ._keras import BaseWrapper, keras, tf

__all__ = [
    "MuonHooks",
    "averages",
    "bind_gradient",
    "replace_model",
    "routed_callbacks",
    "routed_optimizer",
    "skip_gradient_sum",
]


# scikeras. Required: its public methods build a whole model.


def routed_callbacks(callbacks: Any, routed: dict[str, Any]) -> list[keras.callbacks.Callback]:
    """List callbacks and make those that are given as classes, with arguments routed to them."""
    wrapper = BaseWrapper(callbacks=callbacks, **routed)
    wrapper._initialize_callbacks()
    return keras.tree.flatten(wrapper._fit_callbacks)  # type: ignore[no-any-return]


def routed_optimizer(
    optimizer: type[keras.optimizers.Optimizer], routed: dict[str, Any]
) -> keras.optimizers.Optimizer:
    """Make an optimizer of a class with the arguments routed to it."""
    return BaseWrapper(optimizer=optimizer, **routed)._get_compile_kwargs()["optimizer"]


# Keras


def skip_gradient_sum(optimizer: keras.optimizers.Optimizer) -> None:
    """Leave out the sum of gradients over replicas where there is one replica.

    TensorFlow registers the gradient of the sum for good, so it never frees a graph that has
    one. Optional: without it, memory grows with every network that is compiled.
    """
    if hasattr(optimizer, "_all_reduce_sum_gradients") and not tf.distribute.has_strategy():
        optimizer._all_reduce_sum_gradients = list


def bind_gradient(output: Any) -> None:
    """Keep the gradient of a `tf.custom_gradient` only as long as the graph of its output.

    TensorFlow registers it for good, and with it all graphs around it. Optional: without it,
    memory grows with every network that is compiled.
    """
    module = sys.modules.get("tensorflow.python.framework.ops")
    entries = getattr(getattr(module, "gradient_registry", None), "_registry", {})
    if tf.executing_eagerly():
        return
    name = output.op.node_def.attr["_gradient_op_type"].s.decode()
    entry = entries.get(name, {})
    if "type" in entry:
        graph = tf.compat.v1.get_default_graph()
        gradient: Any = weakref.ref(entry["type"])
        graph.skcnn_gradients = [*getattr(graph, "skcnn_gradients", []), gradient()]
        entry["type"] = lambda *arguments: gradient()(*arguments)
        weakref.finalize(graph, entries.pop, name, None)


def replace_model(
    callback: keras.callbacks.Callback, trained: keras.Model, model: keras.Model
) -> None:
    """Set the model of a callback that has seen another one being trained.

    Not through `set_model`, which in some callbacks starts something. Optional: without it, the
    callback keeps the trained network, whose weights change when another fit uses it again.
    """
    if getattr(callback, "_model", None) is trained:
        callback._model = model


def averages(optimizer: keras.optimizers.Optimizer) -> list[tuple[Any, Any]]:
    """List the variables of an optimizer with ``use_ema=True`` and their moving averages.

    Required for ``use_ema=True`` alone.
    """
    try:
        variables = optimizer._trainable_variables
        found = optimizer._model_variables_moving_average
    except AttributeError:
        raise RuntimeError(
            f"optimizer__use_ema=True does not work with Keras {keras.__version__}, whose "
            "optimizers do not show their averages; set it to False, or use Keras 3.13."
        ) from None
    return list(zip(variables, found, strict=True))


class MuonHooks(keras.optimizers.Muon):
    """Muon whose private hooks call public methods that a subclass defines.

    Required for Muon alone: without them Keras would leave convolutions to Adam and decay all
    weights by its own default, so Muon is refused and other optimizers work.
    """

    def __init__(self, **options: Any) -> None:
        for hook in ("_should_use_adamw", "_muon_update_step", "_apply_weight_decay"):
            if not hasattr(keras.optimizers.Muon, hook):
                raise RuntimeError(
                    f"optimizer='muon' does not work with Keras {keras.__version__}, whose Muon "
                    f"has no {hook}; choose another optimizer, such as 'adam', or Keras 3.13."
                )
        super().__init__(**options)

    def uses_adam(self, variable: Any) -> bool:
        """Tell whether Adam trains a variable."""
        raise NotImplementedError

    def muon_step(self, gradient: Any, variable: Any, rate: Any, momentum: Any) -> None:
        """Train a variable that Adam does not."""
        raise NotImplementedError

    def _should_use_adamw(self, variable: Any) -> bool:
        return self.uses_adam(variable)

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.muon_step(gradient, variable, lr, m)

    def _apply_weight_decay(self, variables: Any) -> None:
        # Keras's Muon has another weight decay for the variables that Adam trains.
        keras.optimizers.Optimizer._apply_weight_decay(self, variables)
