"""Muon for convolutions."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

# The root mean square that Adam's updates have, about, so that its learning rates fit
# (J. Liu et al., "Muon is Scalable for LLM Training", 2025).
UPDATE_RMS = 0.2


@keras.saving.register_keras_serializable(package="skcnn")
class Muon(keras.optimizers.Muon):
    """Keras's Muon [1]_, for the kernels of convolutions as well.

    A kernel is taken as a matrix with one column a filter. Biases, the parameters of
    normalizations and the fully connected layers of skcnn's networks are left to Adam.

    Parameters
    ----------
    learning_rate, weight_decay, **options
        As those of Keras, with one weight decay for all, none unless it is asked for. Adam
        has the layers whose names have one of the words in `exclude_layers`, by default "fc"
        and "probability".

    References
    ----------
    .. [1] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    """

    def __init__(
        self, learning_rate: Any = 0.001, weight_decay: Any = None, **options: Any
    ) -> None:
        options.setdefault("exclude_layers", ["fc", "probability"])
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **options)

    def _should_use_adamw(self, variable: Any) -> bool:
        return len(variable.shape) < 2 or any(map(variable.path.count, self.exclude_layers))

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign(m, gradient + m * self.momentum)
        direction = gradient + m * self.momentum if self.nesterov else m
        matrix = ops.reshape(direction, (-1, variable.shape[-1]))
        update = self.zeropower_via_newtonschulz5(matrix, self.ns_steps)
        update *= lr * UPDATE_RMS * math.sqrt(max(matrix.shape))
        self.assign_sub(variable, ops.reshape(update, variable.shape))

    def _apply_weight_decay(self, variables: Any) -> None:
        keras.optimizers.Optimizer._apply_weight_decay(self, variables)
