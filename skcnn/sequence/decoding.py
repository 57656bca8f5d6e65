"""Greedy and beam search, compiled once for strings of all lengths."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._keras import keras, tf
from .._training.network import MAX_FORWARDS, Plan, compiles
from .._training.pool import ROW_GROUP, StatelessCall

Array = NDArray[Any]
Tensor = Any

# Maximum rows of a call and values of its largest tensor, to bound the memory.
ROWS = 480
VALUES = 2**24
# Lengths are padded to a multiple of this. Sums over positions differ in the last bits between
# lengths, so predictions then depend less on the other strings of a batch.
LENGTH_GROUP = 8

CODES = tf.TensorSpec((None, None), tf.int32)
NUMBER = tf.TensorSpec((), tf.int32)


@dataclass
class Memory:
    """The keys of the attention, and a mask that is False for padding."""

    keys: Tensor
    mask: Tensor


class Steps:
    """The two parts of an autoregressive network: encoding, and one decoding step.

    Parameters
    ----------
    model : keras.Model
        The network, as :func:`skcnn.sequence.networks.build_seq2seq` builds it.
    """

    def __init__(self, model: keras.Model) -> None:
        self.encoder, self.keys, self.start, self.decoder, self.mix, self.logit = (
            model.get_layer(name)
            for name in ("encoder", "keys", "start", "decoder", "mix", "logit")
        )

    def read(self, source: Tensor) -> tuple[Memory, list[Tensor]]:
        """Encode strings; return the memory and the initial state."""
        places, last = self.encoder(source, training=False)
        keys = self.keys(places)
        state = self.decoder.initial_state(keys, self.start(last))
        return Memory(keys, tf.not_equal(source, 0)), state

    def write(
        self, previous: Tensor, memory: Memory, state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Return the log-probabilities of the next code, the next state and the attention."""
        top, state, attention = self.decoder.step(previous, memory.keys, memory.mask, state)
        return tf.nn.log_softmax(self.logit(self.mix(top))), state, attention


def _allowed(log_proba: Tensor, done: Tensor, more: Tensor) -> Tensor:
    """Return which codes are allowed: after the end and at the last step, only the end."""
    is_end = tf.range(log_proba.shape[-1]) == 0
    return is_end | (~done[..., None] & more)


def greedy(
    steps: Steps, source: Tensor, limit: Tensor, traced: bool = False
) -> tuple[Tensor, ...]:
    """Choose the most probable code at each step, and the end at the last step.

    Returns
    -------
    tuple of Tensor
        Codes of shape (n_rows, length) and log-probabilities of shape (n_rows,). With `traced`
        also the probabilities of all codes and the attention at each step.
    """
    memory, state = steps.read(source)
    n_rows = tf.shape(source)[0]
    kept = range(2 if traced else 0)
    arrays = [tf.TensorArray(tf.float32, 0, dynamic_size=True) for _ in kept]

    def going(time: Tensor, written: Tensor, done: Tensor, *others: Any) -> Tensor:
        return (time < limit) & ~tf.reduce_all(done)

    def body(
        time: Tensor, written: Tensor, done: Tensor, total: Tensor, state: Any, arrays: Any
    ) -> tuple[Any, ...]:
        log_proba, state, attention = steps.write(written[:, -1], memory, state)
        open_to = tf.where(_allowed(log_proba, done, time + 1 < limit), log_proba, -np.inf)
        codes = tf.argmax(open_to, -1, output_type=tf.int32)
        total += tf.where(done, 0.0, tf.reduce_max(open_to, -1))
        found = tf.exp(log_proba), attention
        arrays = [array.write(time, found[each]) for each, array in zip(kept, arrays, strict=True)]
        written = tf.concat([written, codes[:, None]], 1)
        return time + 1, written, done | (codes == 0), total, state, arrays

    before = (
        0,
        tf.zeros((n_rows, 1), tf.int32),
        tf.zeros(n_rows, tf.bool),
        tf.zeros(n_rows),
        state,
        arrays,
    )
    shapes = tf.nest.map_structure(lambda each: getattr(each, "shape", None), before[2:5])
    shapes = (tf.TensorShape(()), tf.TensorShape((None, None)), *shapes, [None for _ in kept])
    _, written, _, total, _, arrays = tf.while_loop(going, body, before, shapes)
    return written[:, 1:], total, *(tf.transpose(each.stack(), (1, 0, 2)) for each in arrays)


def beam(steps: Steps, source: Tensor, limit: Tensor, width: Tensor) -> tuple[Tensor, ...]:
    """Search for the most probable strings with a beam of `width` prefixes.

    Returns
    -------
    tuple of Tensor
        Codes of shape (n_rows, width, length) and log-probabilities of shape (n_rows, width),
        the best first.
    """
    memory, state = steps.read(source)
    n_rows = tf.shape(source)[0]
    memory = Memory(*(tf.repeat(each, width, 0) for each in (memory.keys, memory.mask)))
    state = [tf.repeat(each, width, 0) for each in state]
    # The initial prefixes are equal, so only one may be extended.
    totals = tf.tile(tf.where(tf.range(width) == 0, 0.0, -np.inf)[None], (n_rows, 1))

    def going(time: Tensor, written: Tensor, done: Tensor, *others: Any) -> Tensor:
        return (time < limit) & ~tf.reduce_all(done)

    def body(
        time: Tensor, written: Tensor, done: Tensor, totals: Tensor, state: Any
    ) -> tuple[Any, ...]:
        previous = tf.reshape(written[:, :, -1], (-1,))
        log_proba, state, _ = steps.write(previous, memory, state)
        n_codes = log_proba.shape[-1]
        log_proba = tf.reshape(log_proba, (n_rows, width, n_codes))
        allowed = _allowed(log_proba, done, time + 1 < limit)
        log_proba = tf.where(done[:, :, None], 0.0, log_proba)
        log_proba = tf.where(allowed, log_proba, -np.inf)
        scores = tf.reshape(totals[:, :, None] + log_proba, (n_rows, width * n_codes))
        totals, best = tf.math.top_k(scores, width)
        parents, codes = best // n_codes, best % n_codes
        rows = tf.reshape(parents + width * tf.range(n_rows)[:, None], (-1,))
        state = [tf.ensure_shape(tf.gather(each, rows), each.shape) for each in state]
        written = tf.gather(written, parents, batch_dims=1)
        written = tf.concat([written, codes[:, :, None]], 2)
        return time + 1, written, codes == 0, totals, state

    before = (
        0,
        tf.zeros((n_rows, width, 1), tf.int32),
        tf.zeros((n_rows, width), tf.bool),
        totals,
        state,
    )
    shapes = (
        tf.TensorShape(()),
        tf.TensorShape((None, None, None)),
        tf.TensorShape((None, None)),
        tf.TensorShape((None, None)),
        [each.shape for each in state],
    )
    _, written, _, totals, _ = tf.while_loop(going, body, before, shapes)
    return written[:, :, 1:], totals


def log_probability(model: keras.Model, source: Tensor, target: Tensor) -> Tensor:
    """Compute the log-probability of given strings, including their end."""
    logits = model([source, target], training=False)
    known = tf.shape(logits)[-1]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.minimum(target, known - 1), logits)
    losses = tf.where(target < known, losses, np.inf)
    within = tf.pad(target[:, :-1] != 0, [[0, 0], [1, 0]], constant_values=True)
    return -tf.reduce_sum(tf.where(within, losses, 0.0), 1)


class Writer:
    """Compiled functions of an autoregressive network, shared by all estimators of a plan.

    Each function is traced on first use, once for all lengths.

    Parameters
    ----------
    plan : Plan
        The plan of the network.
    """

    def __init__(self, plan: Plan) -> None:
        self.model = plan.model()
        self._steps = Steps(self.model)
        functions: dict[str, tuple[Callable[..., Any], list[tf.TensorSpec]]] = {
            "greedy": (functools.partial(greedy, self._steps), [CODES, NUMBER]),
            "traced": (functools.partial(greedy, self._steps, traced=True), [CODES, NUMBER]),
            "beam": (functools.partial(beam, self._steps), [CODES, NUMBER, NUMBER]),
            "score": (functools.partial(log_probability, self.model), [CODES, CODES]),
        }
        self._functions = functions
        self._lock = threading.Lock()
        self._calls: dict[str, StatelessCall] = {}
        self._prepare("greedy")  # traced before threads can call it

    def _prepare(self, name: str) -> StatelessCall:
        with self._lock:
            if name not in self._calls:
                function, specs = self._functions[name]
                self._calls[name] = StatelessCall(self.model, function, specs)
        return self._calls[name]

    def prepared(self, weights: list[Any]) -> list[tf.Tensor]:
        """Return the tensors that calls take for these weights."""
        return [tf.convert_to_tensor(weight) for weight in weights]

    def __call__(self, name: str, inputs: list[Any], weights: list[tf.Tensor]) -> list[Array]:
        """Run a function of this module over a batch.

        Parameters
        ----------
        name : {"greedy", "traced", "beam", "score"}
            The function.
        inputs : list
            Codes of shape (n_rows, length), and further inputs of the function.
        weights : list of Tensor
            The prepared weights.
        """
        return [output.numpy() for output in self._prepare(name)(inputs, weights)]


# All writers that estimators hold; `writer` itself caches those used last.
_held: weakref.WeakValueDictionary[Plan, Writer] = weakref.WeakValueDictionary()


@compiles(MAX_FORWARDS)
def writer(plan: Plan) -> Writer:
    """Return the compiled functions of a plan, which all its estimators share."""
    found = _held.get(plan)
    if found is None:
        found = _held[plan] = Writer(plan)
    return found


def in_batches(
    run: Callable[..., list[Array]], *codes: Array, places: int, cut: bool = True
) -> Iterator[list[Array]]:
    """Run a function over batches of rows of similar lengths.

    Parameters
    ----------
    run : callable
        Takes a batch of each array of codes and returns a list of arrays with as many rows.
    *codes : ndarray of int of shape (n_rows, length)
        Codes, padded with zeros.
    places : int
        Values that the network computes per position, to bound the rows of a batch.
    cut : bool, default=True
        Whether to truncate a batch to its longest strings.

    Yields
    ------
    list of ndarray
        The indices of the rows of a batch, and the arrays that the function returned.
    """
    lengths = [
        np.count_nonzero(each, axis=1) if cut else np.full(len(each), each.shape[1])
        for each in codes
    ]
    order, start = np.lexsort(lengths[::-1]), 0
    while start < len(order):
        longest = max(size[order[start : start + ROWS]].max() for size in lengths)
        n_rows = max(1, min(ROWS, VALUES // (places * max(1, int(longest)))))
        # A single row, a frequent case, is not padded.
        group = min(ROW_GROUP, n_rows) if len(order) > 1 else 1
        chosen = order[start : start + n_rows - n_rows % group]
        start += len(chosen)
        filled = np.pad(chosen, (0, -len(chosen) % group), mode="edge")
        batch = [each[filled] for each in codes]
        if cut:
            batch = [
                _cut(each, int(size[chosen].max()) + (number > 0))  # targets include the end
                for number, (each, size) in enumerate(zip(batch, lengths, strict=True))
            ]
        yield [chosen, *(output[: len(chosen)] for output in run(*batch))]


def _cut(codes: Array, length: int) -> Array:
    """Truncate or pad codes to a multiple of `LENGTH_GROUP`."""
    length = max(1, -(-length // LENGTH_GROUP)) * LENGTH_GROUP
    codes = codes[:, :length].astype(np.int32)
    return np.pad(codes, ((0, 0), (0, length - codes.shape[1])))


def best_sequences(log_proba: Array, width: int) -> tuple[Array, Array]:
    """Find the most probable strings if the characters of a string are independent.

    Parameters
    ----------
    log_proba : ndarray of shape (n_rows, length, n_codes)
        Log-probabilities of the codes at each position.
    width : int
        Number of strings per row.

    Returns
    -------
    codes : ndarray of int of shape (n_rows, width, length)
        Codes, padded with zeros; the best first.
    totals : ndarray of shape (n_rows, width)
        Their log-probabilities, including the end; minus infinity if there are no more strings.
    """
    n_rows, length, n_codes = log_proba.shape
    codes = np.zeros((n_rows, width, 0), np.intp)
    totals = np.full((n_rows, width), -np.inf)
    totals[:, 0] = 0
    done = np.zeros((n_rows, width), bool)
    ended = np.where(np.arange(n_codes) == 0, 0.0, -np.inf)
    for place in range(length):
        step = np.where(done[..., None], ended, log_proba[:, None, place])
        scores = (totals[..., None] + step).reshape(n_rows, -1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :width]
        totals = np.take_along_axis(scores, best, 1)
        parents, new = np.divmod(best, n_codes)
        codes = np.take_along_axis(codes, parents[..., None], 1)
        codes = np.concatenate([codes, new[..., None]], 2)
        done = new == 0
    return codes, totals


def log_probability_of(proba: Array, codes: Array) -> Array:
    """Compute the log-probability of strings whose characters are independent.

    Parameters
    ----------
    proba : ndarray of shape (n_rows, length, n_codes)
        Probabilities of the codes at each position.
    codes : ndarray of int of shape (n_rows, length)
        The strings. The code `n_codes` has probability zero.

    Returns
    -------
    ndarray of shape (n_rows,)
        Log-probabilities of the strings, including their end unless they have the full length.
    """
    padded = np.pad(proba, ((0, 0), (0, 0), (0, 1)))
    found = np.take_along_axis(padded, codes[..., None].astype(np.intp), 2)[..., 0]
    within = np.pad(codes[:, :-1] > 0, ((0, 0), (1, 0)), constant_values=True)
    with np.errstate(divide="ignore"):
        return np.log(np.where(within, found, 1)).sum(axis=1)  # type: ignore[no-any-return]
