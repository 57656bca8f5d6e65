"""Recurrent layers for sequences of codes of any length.

A layer runs one loop with a dynamic number of steps, so that a training step is traced once for
all lengths. Codes index the rows of the input kernel, or of the embeddings multiplied by it, which
avoids the largest matrix product of Keras's recurrent layers.
"""

from __future__ import annotations

from typing import Any

from .._keras import keras, tf
from .recurrence import CELLS, advance, recur

Tensor = Any

# With more codes than this, a batch looks up few of the rows, so only these are multiplied.
LARGE = 512


class CodeLayer(keras.layers.Layer):
    """Base class of recurrent layers on codes, with dropout of the inputs.

    Parameters
    ----------
    cell : str
        A name in `CELLS`.
    units : int
        Number of units of the cell.
    n_codes : int
        Number of codes.
    embedding_size : int or None
        Size of the embeddings. None looks up the rows of the kernel, which equals a product with
        one-hot rows.
    dropout : float
        Dropout rate of the inputs, with the same mask for all steps.
    """

    def __init__(
        self,
        *,
        cell: str,
        units: int,
        n_codes: int,
        embedding_size: int | None,
        dropout: float,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.supports_jit = False  # XLA would compile for each length
        self.step_function, self.n_parts, self.n_states = CELLS[cell]
        self.cell, self.units, self.n_codes = cell, units, n_codes
        self.embedding_size, self.dropout = embedding_size, dropout
        self.seed_generator = keras.random.SeedGenerator(0) if dropout else None

    def get_config(self) -> dict[str, Any]:
        names = ("cell", "units", "n_codes", "embedding_size", "dropout")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    @property
    def width(self) -> int:
        """Number of columns of a kernel."""
        return self.n_parts * self.units

    def add_kernel(self, name: str, rows: int) -> Any:
        kind = "Orthogonal" if name == "recurrent_kernel" else "GlorotUniform"
        initializer = getattr(keras.initializers, kind)(seed=0)
        return self.add_weight(name=name, shape=(rows, self.width), initializer=initializer)

    def add_bias(self) -> Any:
        """Add a bias that is 1 for the forget gate of an LSTM and else 0, as in Keras."""

        def initial(shape: Any, dtype: Any = None) -> Tensor:
            forget = self.cell == "lstm"
            parts = [tf.fill([self.units], float(forget and part == 1)) for part in range(4)]
            return tf.cast(tf.concat(parts[: self.n_parts], 0), dtype or "float32")

        return self.add_weight(name="bias", shape=(self.width,), initializer=initial)

    def add_embeddings(self) -> Any:
        if self.embedding_size is None:
            return None
        shape = (self.n_codes, self.embedding_size)
        initializer = keras.initializers.GlorotUniform(seed=0)
        return self.add_weight(name="embeddings", shape=shape, initializer=initializer)

    @property
    def n_inputs(self) -> int:
        return self.embedding_size or self.n_codes

    def look_up(
        self, codes: Tensor, embeddings: Any, kernel: Any, bias: Any, training: bool
    ) -> Tensor:
        """Return the inputs of the cell for codes of shape (n_steps, n_rows)."""
        kernel, bias = _dense(tf.convert_to_tensor(kernel)), tf.convert_to_tensor(bias)
        dropped, is_small = training and self.dropout, self.n_codes <= LARGE
        if self.embedding_size is None:
            if not dropped and is_small:
                return tf.gather(kernel + bias, codes)
            found = tf.gather(kernel, codes)
            return bias + (self.drop(found) if dropped else found)
        embeddings = tf.convert_to_tensor(embeddings)
        if not dropped and is_small:
            return tf.gather(tf.matmul(embeddings, kernel) + bias, codes)
        found = tf.gather(_dense(embeddings), codes)
        if dropped:
            found = self.drop(found)
        flat = tf.matmul(tf.reshape(found, (-1, self.embedding_size)), kernel) + bias
        return tf.reshape(flat, (*tf.unstack(tf.shape(codes)), self.width))

    def drop(self, values: Tensor) -> Tensor:
        shape = (1, *(None for _ in values.shape[1:]))
        return keras.random.dropout(
            values, self.dropout, noise_shape=shape, seed=self.seed_generator
        )


def project(values: Tensor, kernel: Any, bias: Any) -> Tensor:
    """Multiply the last axis by a kernel, in one product for all positions."""
    kernel = tf.convert_to_tensor(kernel)
    flat = tf.matmul(tf.reshape(values, (-1, kernel.shape[0])), kernel)
    return tf.reshape(flat + bias, tf.concat([tf.shape(values)[:-1], kernel.shape[1:]], 0))


def _dense(table: Tensor) -> Tensor:
    """Give a table a dense gradient if several devices sum it, as they cannot sum sparse ones."""
    return table * 1.0 if tf.distribute.has_strategy() else table


def _swap(values: Tensor) -> Tensor:
    """Swap the first two of three axes."""
    return tf.transpose(values, (1, 0, 2))


class Encoder(CodeLayer):
    """Encode strings in one or both directions.

    Parameters
    ----------
    n_layers : int
        Number of recurrent layers.
    bidirectional : bool
        Whether to read in both directions, in one loop.
    **options
        As in :class:`CodeLayer`.
    """

    def __init__(self, *, n_layers: int, bidirectional: bool, **options: Any) -> None:
        super().__init__(**options)
        self.n_layers, self.bidirectional = n_layers, bidirectional
        self.n_directions = 1 + bidirectional

    def get_config(self) -> dict[str, Any]:
        more = {"n_layers": self.n_layers, "bidirectional": self.bidirectional}
        return {**super().get_config(), **more}

    def build(self, input_shape: Any) -> None:
        self.embeddings = self.add_embeddings()
        rows = [self.n_inputs] + [self.n_directions * self.units] * (self.n_layers - 1)
        self.cells = [
            [
                (
                    self.add_kernel("kernel", n_rows),
                    self.add_kernel("recurrent_kernel", self.units),
                    self.add_bias(),
                )
                for _ in range(self.n_directions)
            ]
            for n_rows in rows
        ]

    def compute_output_spec(self, codes: Any, training: bool = False) -> Any:
        size = self.n_directions * self.units
        batch, length = codes.shape
        return (
            keras.KerasTensor((batch, length, size), self.compute_dtype),
            keras.KerasTensor((batch, size), self.compute_dtype),
        )

    def call(self, codes: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Return the outputs at all positions and the last ones, with concatenated directions."""
        lengths = tf.math.count_nonzero(codes, axis=1, dtype=tf.int32)
        both = [codes, tf.reverse_sequence(codes, lengths, 1)][: self.n_directions]
        inputs = [
            self.look_up(tf.transpose(side), self.embeddings, kernel, bias, training)
            for side, (kernel, _, bias) in zip(both, self.cells[0], strict=True)
        ]
        sides: list[Tensor] = []
        for cells in self.cells:
            if sides:
                inputs = [
                    project(side, kernel, bias)
                    for side, (kernel, _, bias) in zip(sides, cells, strict=True)
                ]
            outputs = self._run(inputs, [recurrent for _, recurrent, _ in cells])
            aligned, sides = _swap(outputs[:, 0]), [outputs[:, 0]]
            if self.bidirectional:
                back = tf.reverse_sequence(_swap(outputs[:, 1]), lengths, 1)
                aligned = tf.concat([aligned, back], -1)
                sides = [_swap(aligned), _swap(tf.reverse_sequence(aligned, lengths, 1))]
        last = tf.stack([tf.maximum(lengths - 1, 0), tf.range(tf.shape(codes)[0])], 1)
        ends = [tf.gather_nd(outputs[:, side], last) for side in range(self.n_directions)]
        size = self.n_directions * self.units
        shapes = (codes.shape[0], codes.shape[1], size), (codes.shape[0], size)
        return tf.ensure_shape(aligned, shapes[0]), tf.ensure_shape(tf.concat(ends, -1), shapes[1])

    def _run(self, inputs: list[Tensor], kernels: list[Any]) -> Tensor:
        """Run all directions; return outputs of (n_steps, n_directions, n_rows, units)."""
        stacked = tf.stack(inputs, 1)
        kernel = tf.stack([tf.convert_to_tensor(kernel) for kernel in kernels])
        zeros = tf.zeros((self.n_directions, tf.shape(stacked)[2], self.units), stacked.dtype)
        return recur(self.step_function, stacked, kernel, [zeros] * self.n_states)[0]


class AttentionDecoder(CodeLayer):
    """Autoregressive decoder with attention over the encoder outputs.

    The context vector is an input of the next step ("input feeding" [1]_).

    Parameters
    ----------
    n_layers : int
        Number of recurrent layers.
    **options
        As in :class:`CodeLayer`.

    References
    ----------
    .. [1] M.-T. Luong, H. Pham and C. D. Manning, "Effective Approaches to Attention-based
       Neural Machine Translation", EMNLP 2015.
    """

    def __init__(self, *, n_layers: int, **options: Any) -> None:
        super().__init__(**options)
        self.n_layers = n_layers

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n_layers": self.n_layers}

    def build(self, codes_shape: Any, keys_shape: Any, *others: Any) -> None:
        self.embeddings = self.add_embeddings()
        self.kernel = self.add_kernel("kernel", self.n_inputs)
        self.recurrent_kernel = self.add_kernel("recurrent_kernel", self.units)
        self.context_kernel = self.add_kernel("context_kernel", keys_shape[-1])
        self.bias = self.add_bias()
        rows = [self.units + keys_shape[-1]] + [self.units] * (self.n_layers - 2)
        self.cells = [
            (
                self.add_kernel("kernel", n_rows),
                self.add_kernel("recurrent_kernel", self.units),
                self.add_bias(),
            )
            for n_rows in rows[: self.n_layers - 1]
        ]

    def compute_output_spec(self, codes: Any, keys: Any, *others: Any, **options: Any) -> Any:
        return keras.KerasTensor((*codes.shape, self.units + keys.shape[-1]), self.compute_dtype)

    @property
    def n_state_tensors(self) -> int:
        """Number of state tensors: the context, then those of each layer."""
        return 1 + self.n_layers * self.n_states

    def initial_state(self, keys: Tensor, start: Tensor) -> list[Tensor]:
        """Return the initial state tensors, all of (n_rows, size)."""
        parts = tf.split(start, self.n_layers * self.n_states, axis=-1)
        return [tf.zeros_like(keys[:, 0]), *parts]

    def call(
        self, codes: Tensor, keys: Tensor, mask: Tensor, start: Tensor, training: bool = False
    ) -> Tensor:
        """Return output and context at each position, given the codes before it."""
        previous = tf.transpose(tf.pad(codes[:, :-1], [[0, 0], [1, 0]]))
        inputs = self.look_up(previous, self.embeddings, self.kernel, self.bias, training)
        context, *states = self.initial_state(keys, start)
        first, within = [*states[: self.n_states], context], tf.cast(mask, keys.dtype)
        outputs, contexts = recur(self.step_function, inputs, self._kernel(), first, keys, within)
        top = tf.concat([outputs, contexts], -1)
        for number, (kernel, recurrent, bias) in enumerate(self.cells, 1):
            state = states[number * self.n_states : (number + 1) * self.n_states]
            given, recurrent = project(top, kernel, bias), tf.convert_to_tensor(recurrent)
            (top,) = recur(self.step_function, given, recurrent, state)
        if self.cells:
            top = tf.concat([top, contexts], -1)
        size = self.units + keys.shape[-1]
        return tf.ensure_shape(_swap(top), (*codes.shape, size))

    def step(
        self, codes: Tensor, keys: Tensor, mask: Tensor, state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Run one step; return output and context, the next state and the attention."""
        inputs = self.look_up(codes[None], self.embeddings, self.kernel, self.bias, False)[0]
        n_states = self.n_states
        context, *first = state[: 1 + n_states]
        (*first, context), _, (attention,) = advance(
            self.step_function,
            inputs,
            self._kernel(),
            [*first, context],
            keys,
            tf.cast(mask, keys.dtype),
        )
        new, top = [context, *first], tf.concat([first[0], context], -1)
        for number, (kernel, recurrent, bias) in enumerate(self.cells, 1):
            own = state[1 + number * n_states : 1 + (number + 1) * n_states]
            product = tf.matmul(own[0], recurrent)
            own = self.step_function(project(top, kernel, bias), product, own)
            new, top = new + own, own[0]
        if self.cells:
            top = tf.concat([top, context], -1)
        return top, new, attention

    def _kernel(self) -> Tensor:
        return tf.concat([self.recurrent_kernel, self.context_kernel], 0)
