"""Recurrent networks that write one sequence from another."""

from __future__ import annotations

from typing import Any

import keras

from .._training.network import check_size

# Recurrent layers of up to so many steps are traced step by step, which runs faster than a loop
# and takes longer to trace.
UNROLLED_STEPS = 32

CELLS = {
    "lstm": keras.layers.LSTM,
    "gru": keras.layers.GRU,
    "simple_rnn": keras.layers.SimpleRNN,
}
# Matrices in each, and bias vectors for each matrix.
GATES = {"lstm": (4, 1), "gru": (3, 2), "simple_rnn": (1, 1)}


def build_seq2seq(
    *,
    input_shape: tuple[int, int],
    output_shape: tuple[int, int],
    cell: str,
    hidden_size: int,
    n_layers: int,
    attention: bool,
    unrolled_steps: int = UNROLLED_STEPS,
    dtype: str = "float32",
) -> keras.Model:
    """Build the Keras model: encoder, repeated vector, decoder, softmax at each place.

    Parameters
    ----------
    input_shape, output_shape : tuple of (length, n_characters)
        Shapes of the one-hot rows.
    cell, hidden_size, n_layers
        As in :class:`skcnn.Seq2SeqRNN`.
    attention : bool
        Let the decoder attend to the states of the encoder.
    unrolled_steps : int
        Most steps to trace one by one.
    dtype : str
        Keras dtype policy of all layers but the softmax, whose output is float32.

    Returns
    -------
    keras.Model
        Not compiled, and with the same weights every time: whoever trains it draws them.

    Raises
    ------
    ValueError
        If the network has more layers or parameters than can be trained.
    """
    size = network_size(input_shape, output_shape, cell, hidden_size, n_layers, attention)
    check_size(f"cell={cell!r}, hidden_size={hidden_size}, n_layers={n_layers}", *size)
    layers, initializers = keras.layers, keras.initializers

    def recurrent(name: str, steps: int, **options: Any) -> keras.layers.Layer:
        return CELLS[cell](
            hidden_size,
            kernel_initializer=initializers.GlorotUniform(seed=0),
            recurrent_initializer=initializers.Orthogonal(seed=0),
            seed=0,
            unroll=steps <= unrolled_steps,
            name=name,
            dtype=dtype,
            **options,
        )

    (length_in, _), (length_out, n_characters) = input_shape, output_shape
    inputs = keras.Input(input_shape, name="characters", dtype="float32")
    x = inputs
    for number in range(1, n_layers + 1):
        x = recurrent(f"encoder_{number}", length_in, return_sequences=True)(x)
    states, vector = x, x[:, -1]
    x = layers.RepeatVector(length_out, name="repeat", dtype=dtype)(vector)
    for number in range(1, n_layers + 1):
        x = recurrent(f"decoder_{number}", length_out, return_sequences=True)(x)
    if attention:
        context = layers.Attention(name="attention", dtype=dtype)([x, states])
        x = layers.Concatenate(name="attended", dtype=dtype)([x, context])
    outputs = layers.Dense(
        n_characters,
        activation="softmax",
        kernel_initializer=initializers.GlorotUniform(seed=0),
        name="probability",
        dtype="float32",
    )(x)
    return keras.Model(inputs, outputs, name="network")


def network_size(
    input_shape: tuple[int, int],
    output_shape: tuple[int, int],
    cell: str,
    hidden_size: int,
    n_layers: int,
    attention: bool,
) -> tuple[int, int]:
    """Count the Keras layers and the parameters of a network without building it."""
    matrices, biases = GATES[cell]

    def recurrent(n_inputs: int) -> int:
        return matrices * hidden_size * (n_inputs + hidden_size + biases)

    n_parameters = recurrent(input_shape[1]) + (2 * n_layers - 1) * recurrent(hidden_size)
    n_parameters += output_shape[1] * (hidden_size * (1 + attention) + 1)
    return 2 * n_layers + 3 + 2 * attention, n_parameters
