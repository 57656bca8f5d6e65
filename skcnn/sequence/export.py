"""Export autoregressive networks to other runtimes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from .._keras import keras, tf
from .decoding import CODES, Memory, Steps, greedy

# Minimum ONNX opset for the loops and the reversal of sequences.
OPSET = 15


def write_autoregressive(network: keras.Model, path: Path, format: str, *, limit: int) -> None:
    """Export an autoregressive network.

    Parameters
    ----------
    network : keras.Model
        The network.
    path : Path
        The file or folder to write.
    format : {"onnx", "tf_saved_model", "litert"}
        A SavedModel has the functions ``encode`` and ``decode_step``, ONNX a greedy search.
    limit : int
        Maximum number of codes that the search writes.

    Raises
    ------
    ValueError
        If the format does not support loops.
    """
    if format == "litert":
        raise ValueError(
            "format='litert' does not support decoder='autoregressive', which needs a loop with a "
            "data-dependent number of steps; use format='onnx' or 'tf_saved_model', or "
            "decoder='attention'."
        )
    if format == "onnx":
        _write_onnx(network, path, limit)
    else:
        _write_saved_model(network, path)


def _write_saved_model(network: keras.Model, path: Path) -> None:
    steps = Steps(network)
    names = [f"state_{number}" for number in range(steps.decoder.n_state_tensors)]

    def encode(source: Any) -> dict[str, Any]:
        memory, state = steps.read(source)
        return {"keys": memory.keys, "mask": memory.mask, **dict(zip(names, state, strict=True))}

    def decode_step(previous: Any, keys: Any, mask: Any, **state: Any) -> dict[str, Any]:
        log_proba, new, attention = steps.write(
            previous, Memory(keys, mask), [state[name] for name in names]
        )
        found = {"log_proba": log_proba, "attention": attention}
        return {**found, **dict(zip(names, new, strict=True))}

    codes = tf.TensorSpec((None, None), tf.int32, name="source")
    encoded = tf.function(encode, autograph=False).get_concrete_function(codes)
    memory = {
        name: tf.TensorSpec(each.shape, each.dtype, name=name)
        for name, each in encoded.structured_outputs.items()
    }
    previous = tf.TensorSpec((None,), tf.int32, name="previous")
    step = tf.function(decode_step, autograph=False).get_concrete_function(previous, **memory)
    module = tf.Module()
    module.weights = [weight.value for weight in network.weights]
    tf.saved_model.save(module, str(path), signatures={"encode": encoded, "decode_step": step})


def _write_onnx(network: keras.Model, path: Path, limit: int) -> None:
    import tf2onnx

    run = functools.partial(greedy, Steps(network), limit=limit)

    values = [(weight, weight.numpy()) for weight in network.weights]

    def search(source: Any) -> dict[str, Any]:
        # tf2onnx drops variables that are read in a loop.
        constants = [(weight, tf.constant(value)) for weight, value in values]
        with keras.StatelessScope(constants):
            codes, log_proba = run(source)
        return {"codes": codes, "log_proba": log_proba}

    spec = tf.TensorSpec(CODES.shape, CODES.dtype, name="source")
    function = tf.function(search, input_signature=[spec], autograph=False)
    tf2onnx.convert.from_function(
        function, input_signature=[spec], opset=OPSET, output_path=str(path)
    )
