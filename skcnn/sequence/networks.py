"""Build sequence-to-sequence networks, with a registry of decoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .._keras import keras
from .._training.network import check_size
from ..base import LEAST_STEPS
from .layers import LARGE, AttentionDecoder, Encoder

# Recurrent layers of up to this many steps are unrolled, which takes longer to trace and runs
# faster.
UNROLLED_STEPS = 32

CELLS = {
    "lstm": keras.layers.LSTM,
    "gru": keras.layers.GRU,
    "simple_rnn": keras.layers.SimpleRNN,
}
# Per cell: number of matrices, bias vectors per matrix in Keras's layers, and state tensors.
GATES = {"lstm": (4, 1, 2), "gru": (3, 2, 1), "simple_rnn": (1, 1, 1)}

# Size of the embeddings chosen by "auto" if there are many characters.
LARGE_SIZE = 64

Shape = tuple[int | None, int]


@dataclass(frozen=True)
class Decoder:
    """An entry of the registry of decoders.

    Attributes
    ----------
    build : callable
        Builds the network from the arguments of :func:`build_seq2seq`.
    size : callable
        Counts its Keras layers and its parameters from the same arguments.
    autoregressive : bool
        Whether it reads codes of any length and decodes step by step, rather than one-hot rows of
        fixed lengths all at once.
    steps_an_epoch : int
        Approximate number of training steps per epoch for few samples.
    least_steps : int
        Least number of training steps with the number of epochs "auto".
    defaults : dict of str to object
        The values of "auto". Parameters that are not included have no effect with this decoder.
    """

    build: Callable[..., keras.Model]
    size: Callable[..., tuple[int, int]]
    autoregressive: bool = False
    steps_an_epoch: int = 0
    least_steps: int = LEAST_STEPS
    defaults: dict[str, Any] = field(default_factory=dict)


def build_seq2seq(
    *,
    decoder: str,
    input_shape: Shape,
    output_shape: Shape,
    cell: str,
    hidden_size: int,
    n_layers: int,
    bidirectional: bool = False,
    dropout: float = 0.0,
    embedding_size: int | str | None = None,
    dtype: str = "float32",
    unrolled_steps: int = UNROLLED_STEPS,
) -> keras.Model:
    """Build the Keras model of a decoder.

    Parameters
    ----------
    decoder : str
        A name in `DECODERS`.
    input_shape, output_shape : tuple of (length, n_characters)
        A length of None allows any length.
    cell, hidden_size, n_layers, bidirectional, dropout, embedding_size
        As in :class:`skcnn.Seq2SeqRNN`; the last three for decoders that use them.
    dtype : str
        Keras dtype policy of all layers but the last, whose output is float32.
    unrolled_steps : int
        Maximum number of steps to unroll, for fixed lengths.

    Returns
    -------
    keras.Model
        Not compiled. The weights come from a fixed seed and are drawn again before training.

    Raises
    ------
    ValueError
        If the network has more layers or parameters than can be trained.
    """
    kind = DECODERS[decoder]
    arguments: dict[str, Any] = {
        "input_shape": input_shape,
        "output_shape": output_shape,
        "cell": cell,
        "hidden_size": hidden_size,
        "n_layers": n_layers,
    }
    if kind.autoregressive:
        arguments["bidirectional"] = bidirectional
        arguments["dropout"] = dropout
        arguments["embedding_size"] = embedding_size
    check_size(
        f"cell={cell!r}, hidden_size={hidden_size}, n_layers={n_layers}", *kind.size(**arguments)
    )
    return kind.build(**arguments, dtype=dtype, unrolled_steps=unrolled_steps)


def network_size(*, decoder: str, **arguments: Any) -> tuple[int, int]:
    """Count the Keras layers and the parameters of a network without building it."""
    return DECODERS[decoder].size(**arguments)


# Decoders that predict all positions at once


def _build_repeat(
    *,
    input_shape: tuple[int, int],
    output_shape: tuple[int, int],
    cell: str,
    hidden_size: int,
    n_layers: int,
    unrolled_steps: int,
    dtype: str,
    attention: bool = False,
) -> keras.Model:
    """Build encoder, repeated vector, decoder and a softmax at each position."""
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


def _build_attention(**arguments: Any) -> keras.Model:
    return _build_repeat(**arguments, attention=True)


def _size_of_repeat(
    *,
    input_shape: tuple[int, int],
    output_shape: tuple[int, int],
    cell: str,
    hidden_size: int,
    n_layers: int,
    attention: bool = False,
) -> tuple[int, int]:
    matrices, biases, _ = GATES[cell]

    def recurrent(n_inputs: int) -> int:
        return matrices * hidden_size * (n_inputs + hidden_size + biases)

    n_parameters = recurrent(input_shape[1]) + (2 * n_layers - 1) * recurrent(hidden_size)
    n_parameters += output_shape[1] * (hidden_size * (1 + attention) + 1)
    return 2 * n_layers + 3 + 2 * attention, n_parameters


def _size_of_attention(**arguments: Any) -> tuple[int, int]:
    return _size_of_repeat(**arguments, attention=True)


# Autoregressive decoder


def _build_autoregressive(
    *,
    input_shape: Shape,
    output_shape: Shape,
    cell: str,
    hidden_size: int,
    n_layers: int,
    bidirectional: bool,
    dropout: float,
    embedding_size: int | str | None,
    dtype: str,
    unrolled_steps: int,
) -> keras.Model:
    """Build the network for teacher forcing: logits of each character, given those before it.

    Code 0 is padding in the input and the end of the output. The code after the last is an unknown
    character.
    """
    recurrent: dict[str, Any] = {"cell": cell, "units": hidden_size, "n_layers": n_layers}
    shared = {**recurrent, "dropout": dropout, "dtype": dtype}

    def dense(name: str, units: int, **options: Any) -> keras.layers.Layer:
        kernel = keras.initializers.GlorotUniform(seed=0)
        options = {"kernel_initializer": kernel, "dtype": dtype, **options}
        return keras.layers.Dense(units, name=name, **options)

    def drop(name: str, x: Any) -> Any:
        if not dropout:
            return x
        return keras.layers.Dropout(dropout, seed=0, name=name, dtype=dtype)(x)

    source = keras.Input((None,), name="source", dtype="int32")
    target = keras.Input((None,), name="target", dtype="int32")
    encoder = Encoder(
        n_codes=input_shape[1] + 1,
        embedding_size=_vector_size(embedding_size, input_shape[1]),
        bidirectional=bidirectional,
        name="encoder",
        **shared,
    )
    memory, last = encoder(source)
    keys = dense("keys", hidden_size, use_bias=False)(drop("drop_memory", memory))
    start = dense("start", GATES[cell][2] * n_layers * hidden_size, activation="tanh")(last)
    decoder = AttentionDecoder(
        n_codes=output_shape[1] + 1,
        embedding_size=_vector_size(embedding_size, output_shape[1]),
        name="decoder",
        **shared,
    )
    x = decoder(target, keys, keras.ops.not_equal(source, 0), start)
    x = dense("mix", _mix_size(hidden_size, output_shape[1]), activation="tanh")(
        drop("drop_written", x)
    )
    logits = dense("logit", output_shape[1], dtype="float32")(drop("drop_mix", x))
    return keras.Model([source, target], logits, name="network")


def _vector_size(embedding_size: int | str | None, n_characters: int) -> int | None:
    """Choose the size of the embeddings; None for one-hot vectors."""
    if isinstance(embedding_size, str):  # "auto"
        return LARGE_SIZE if n_characters > LARGE else None
    return embedding_size


def _mix_size(hidden_size: int, n_characters: int) -> int:
    """Choose the inputs of the last layer: fewer for many characters, where it dominates."""
    return hidden_size if n_characters <= LARGE else min(hidden_size, LARGE_SIZE)


def _size_of_autoregressive(
    *,
    input_shape: Shape,
    output_shape: Shape,
    cell: str,
    hidden_size: int,
    n_layers: int,
    bidirectional: bool,
    dropout: float,
    embedding_size: int | str | None,
) -> tuple[int, int]:
    matrices, _, n_states = GATES[cell]
    n_directions = 1 + bidirectional
    vocabularies = (input_shape[1] + 1, output_shape[1] + 1)

    def recurrent(n_inputs: int) -> int:
        return matrices * hidden_size * (n_inputs + hidden_size + 1)

    def dense(n_inputs: int, units: int) -> int:
        return (n_inputs + 1) * units

    sizes = [_vector_size(embedding_size, shape[1]) for shape in (input_shape, output_shape)]
    read, written = (size or n_codes for size, n_codes in zip(sizes, vocabularies, strict=True))
    n_parameters = sum(
        n_codes * (size or 0) for size, n_codes in zip(sizes, vocabularies, strict=True)
    )
    n_parameters += n_directions * recurrent(read)
    n_parameters += (n_layers - 1) * n_directions * recurrent(n_directions * hidden_size)
    n_parameters += n_directions * hidden_size * hidden_size  # the keys
    n_parameters += dense(n_directions * hidden_size, n_states * n_layers * hidden_size)
    n_parameters += recurrent(written + hidden_size)
    upper = [2 * hidden_size] + [hidden_size] * n_layers
    n_parameters += sum(map(recurrent, upper[: n_layers - 1]))
    mix = _mix_size(hidden_size, output_shape[1])
    n_parameters += dense(2 * hidden_size, mix) + dense(mix, output_shape[1])
    return 8 + 3 * bool(dropout), n_parameters


DECODERS = {
    "repeat": Decoder(_build_repeat, _size_of_repeat, defaults={"reverse_input": True}),
    "attention": Decoder(_build_attention, _size_of_attention, defaults={"reverse_input": True}),
    "autoregressive": Decoder(
        _build_autoregressive,
        _size_of_autoregressive,
        autoregressive=True,
        steps_an_epoch=256,
        least_steps=10_000,
        defaults={
            "reverse_input": False,
            "bidirectional": True,
            "dropout": 0.0,
            "embedding_size": "auto",
        },
    ),
}
