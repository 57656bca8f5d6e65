"""The loops of recurrent layers: outputs and gradients."""

import numpy as np
import pytest

from skcnn._keras import tf
from skcnn.sequence.recurrence import CELLS, attend, recur

STEPS, ROWS, UNITS, KEYS = 4, 3, 5, 6


def step_by_step(step, inputs, kernel, state, keys=None, within=None):
    """Run a cell in a Python loop, differentiated by TensorFlow."""
    outputs, contexts, context = [], [], []
    if keys is not None:
        *state, first = state
        context = [first]
    for now in tf.unstack(inputs):
        product = tf.matmul(tf.concat([state[0], *context], -1), kernel)
        state = step(now, product, state)
        if keys is not None:
            context = [attend(state[0], keys, within)[0]]
            contexts.append(context[0])
        outputs.append(state[0])
    return [tf.stack(outputs), *([tf.stack(contexts)] if contexts else [])]


def arguments(cell, kind):
    """Draw inputs, kernel, state and, with attention, keys and a mask."""
    rng = np.random.default_rng(0)
    _, n_parts, n_states = CELLS[cell]
    first = (2,) if kind == "two cells" else ()

    def drawn(*shape):
        return tf.constant(rng.normal(size=shape))

    inputs = drawn(STEPS, *first, ROWS, n_parts * UNITS)
    kernel = drawn(*first, (1 + (kind == "attention")) * UNITS, n_parts * UNITS)
    state = [drawn(*first, ROWS, UNITS) for _ in range(n_states)]
    if kind != "attention":
        return inputs, kernel, state
    within = np.ones((ROWS, KEYS))
    within[1, 4:] = 0
    within[2] = 0  # an empty string
    return inputs, kernel, [*state, drawn(ROWS, UNITS)], drawn(ROWS, KEYS, UNITS), within


@pytest.mark.parametrize("kind", ["one cell", "two cells", "attention"])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_those_of_tensorflow(cell, kind):
    step, (inputs, kernel, state, *memory) = CELLS[cell][0], arguments(cell, kind)
    sources = [inputs, kernel, *state, *memory[:1]]

    @tf.function
    def derived(run):
        with tf.GradientTape() as tape:
            tape.watch(sources)
            outputs = run(step, inputs, kernel, list(state), *memory)
            loss = sum(
                tf.reduce_sum(tf.sin(each) * tf.range(UNITS, dtype=each.dtype)) for each in outputs
            )
        return [*outputs, *tape.gradient(loss, sources)]

    found, expected = derived(recur), derived(step_by_step)
    assert len(found) == len(sources) + 1 + bool(memory)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
        assert np.abs(other).max() > 0.01


def test_gradients_through_a_function_around_the_loop():
    # TensorFlow looks their gradient up by its name instead of recording it.
    step, (inputs, kernel, state) = CELLS["gru"][0], arguments("gru", "one cell")
    wrapped = tf.function(lambda inputs: recur(step, inputs, kernel, list(state))[0])
    gradients = []
    for run in (wrapped, wrapped.python_function):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(tf.sin(run(inputs)))
        gradients.append(tape.gradient(loss, inputs))
    np.testing.assert_allclose(*gradients, rtol=1e-10)
    assert np.abs(gradients[0]).max() > 0.01
