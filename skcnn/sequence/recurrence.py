"""Recurrent cells and the loops that run them over all steps, with their gradients.

TensorFlow's gradient of a loop stores all intermediate values of every step and sums the gradient
of the kernel step by step. Here the loop stores only the states, and the gradients of the kernel
and of the keys are one product each after the loop. A training step of 17 strings of 5 and 4
characters takes 0.86 of the time (medians of two).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._keras import tf
from .._keras_compat import bind_gradient

Tensor = Any
Step = Callable[[Tensor, Tensor, list[Tensor]], list[Tensor]]

# Added to the attention scores of padding.
MASKED = -1e9


def lstm_step(inputs: Tensor, product: Tensor, state: list[Tensor]) -> list[Tensor]:
    """Compute the next state of an LSTM."""
    i, f, g, o = tf.split(inputs + product, 4, axis=-1)
    carry = tf.sigmoid(f) * state[1] + tf.sigmoid(i) * tf.tanh(g)
    return [tf.sigmoid(o) * tf.tanh(carry), carry]


def gru_step(inputs: Tensor, product: Tensor, state: list[Tensor]) -> list[Tensor]:
    """Compute the next state of a GRU with the reset gate applied after the product."""
    z, r, candidate = tf.split(inputs, 3, axis=-1)
    from_z, from_r, from_candidate = tf.split(product, 3, axis=-1)
    z = tf.sigmoid(z + from_z)
    candidate = tf.tanh(candidate + tf.sigmoid(r + from_r) * from_candidate)
    return [z * state[0] + (1 - z) * candidate]


def simple_rnn_step(inputs: Tensor, product: Tensor, state: list[Tensor]) -> list[Tensor]:
    """Compute the next state of a fully connected recurrent layer."""
    return [tf.tanh(inputs + product)]


# The step function of each cell, the number of parts of its kernels and of tensors in its state.
# A step takes the inputs, the product of the last output with the recurrent kernel, and the state.
CELLS: dict[str, tuple[Step, int, int]] = {
    "lstm": (lstm_step, 4, 2),
    "gru": (gru_step, 3, 1),
    "simple_rnn": (simple_rnn_step, 1, 1),
}


def attend(output: Tensor, keys: Tensor, within: Tensor) -> tuple[Tensor, Tensor]:
    """Return the context of outputs, and their attention to the keys.

    Parameters
    ----------
    output : tensor of shape (n_rows, units)
    keys : tensor of shape (n_rows, length, units)
    within : tensor of shape (n_rows, length)
        1 for what may be attended to, else 0.
    """
    scores = tf.linalg.matvec(keys, output) + MASKED * (1 - within)
    # TensorFlow's cost model needs a known rank.
    attention = tf.nn.softmax(tf.ensure_shape(scores, (None, None)))
    attention *= within  # in an empty string all is padding
    return tf.linalg.matvec(keys, attention, transpose_a=True), attention


def advance(
    step: Step,
    inputs: Tensor,
    kernel: Tensor,
    state: list[Tensor],
    keys: Tensor | None = None,
    within: Tensor | None = None,
) -> tuple[list[Tensor], Tensor, list[Tensor]]:
    """Run one step, with the arguments of :func:`recur` for one step.

    Returns the next state, the product with the kernel, and a list with the attention if there
    are `keys`.
    """
    n_cell = len(state) - (keys is not None)
    product = tf.matmul(_read(state, n_cell), kernel)
    new = step(inputs, product, state[:n_cell])
    if keys is None:
        return new, product, []
    context, attention = attend(new[0], keys, within)
    return [*new, context], product, [attention]


def recur(
    step: Step,
    inputs: Tensor,
    kernel: Tensor,
    state: list[Tensor],
    keys: Tensor | None = None,
    within: Tensor | None = None,
) -> list[Tensor]:
    """Run a cell over the first axis of its inputs.

    Parameters
    ----------
    step : callable
        The step function of the cell.
    inputs : tensor of shape (n_steps, ..., n_rows, width)
        The inputs of the cell.
    kernel : tensor of shape (..., n_columns, width)
        The recurrent kernel, of the output and the context; leading axes are independent cells.
    state : list of tensor of shape (..., n_rows, units)
        The initial state of the cell, beginning with its output; with `keys` also the context.
    keys, within : tensor, optional
        What each output attends to, as in :func:`attend`.

    Returns
    -------
    list of tensor of shape (n_steps, ..., n_rows, units)
        The outputs; with `keys` also the contexts.
    """
    attends = keys is not None
    n_cell = len(state) - attends

    def forward(now: list[Tensor], state: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        new, product, attention = advance(step, now[0], kernel, state, keys, within)
        return new, [product, *new, *attention]

    def back(now: list[Tensor], carried: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        given, product, *before = now[: 2 + n_cell]
        upstream, attention = now[2 + n_cell : 2 + n_cell + 1 + attends], now[-1]
        after, found = [carried[0] + upstream[0], *carried[1:n_cell]], []
        if keys is not None:
            d_context = carried[-1] + upstream[1]
            d_attention = tf.linalg.matvec(keys, d_context)
            total = tf.reduce_sum(attention * d_attention, -1, keepdims=True)
            d_scores = attention * (d_attention - total)
            after[0] += tf.linalg.matvec(keys, d_scores, transpose_a=True)
            found = [d_scores, d_context]
        d_given, d_product, *d_state = _gradient(step, given, product, before, after)
        d_read = tf.matmul(d_product, kernel, transpose_b=True)
        d_output, *d_more = (
            [d_read] if keys is None else tf.split(d_read, [-1, keys.shape[-1]], -1)
        )
        d_state[0] = d_output if d_state[0] is None else d_state[0] + d_output
        return [*d_state, *d_more], [d_given, d_product, *found]

    @tf.custom_gradient
    def run(inputs: Tensor, kernel: Tensor, *others: Tensor) -> Any:
        first = list(others[: len(state)])
        (products, *stored), _ = _run_steps(forward, [inputs], first, len(first) + 1 + attends)

        def gradient(*upstream: Tensor) -> tuple[Tensor, ...]:
            before = [
                tf.concat([start[None], each[:-1]], 0)
                for start, each in zip(first, stored, strict=False)
            ]
            given = [inputs, products, *before[:n_cell], *upstream, *stored[len(first) :]]
            zeros = [tf.zeros_like(each) for each in first]
            found, d_state = _run_steps(back, given, zeros, 2 + 2 * attends, backwards=True)
            axes = "d" * (len(kernel.shape) - 2)
            equation = f"t{axes}nu,t{axes}nw->{axes}uw"
            d_kernel = tf.einsum(equation, _read(before, n_cell), found[1])
            gradients = [found[0], d_kernel, *d_state]
            if attends:
                d_keys = tf.einsum("tnl,tnu->nlu", found[2], stored[0])
                d_keys += tf.einsum("tnl,tnu->nlu", stored[-1], found[3])
                gradients.append(d_keys)
            return tuple(gradients)

        return [stored[0], *stored[n_cell : n_cell + attends]], gradient

    outputs = list(run(inputs, kernel, *state, *([keys] if attends else [])))
    bind_gradient(outputs[0])
    return outputs


def _read(state: list[Tensor], n_cell: int) -> Tensor:
    """Return what the kernel multiplies: the output, and the context if there is one."""
    return state[0] if len(state) == n_cell else tf.concat([state[0], state[-1]], -1)


def _gradient(
    step: Step, given: Tensor, product: Tensor, state: list[Tensor], upstream: list[Tensor]
) -> list[Tensor | None]:
    """Return the gradients of inputs, product and state of a step."""
    sources = [given, product, *state]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        new = step(given, product, state)
    return list(tape.gradient(new, sources, output_gradients=upstream))


def _run_steps(
    step: Callable[[list[Tensor], list[Tensor]], tuple[list[Tensor], list[Tensor]]],
    inputs: list[Tensor],
    state: list[Tensor],
    n_outputs: int,
    backwards: bool = False,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run a step over the first axis of its inputs; return stacked outputs and the last state."""
    n_steps = tf.shape(inputs[0])[0]
    given = [
        tf.TensorArray(each.dtype, n_steps, element_shape=each.shape[1:]).unstack(each)
        for each in inputs
    ]
    arrays = [tf.TensorArray(inputs[0].dtype, n_steps) for _ in range(n_outputs)]

    def body(count: Tensor, state: list[Tensor], arrays: list[Any]) -> tuple[Any, ...]:
        time = n_steps - 1 - count if backwards else count
        state, outputs = step([each.read(time) for each in given], state)
        arrays = [array.write(time, out) for array, out in zip(arrays, outputs, strict=True)]
        return count + 1, state, arrays

    _, state, arrays = tf.while_loop(lambda count, *_: count < n_steps, body, (0, state, arrays))
    return [array.stack() for array in arrays], state
