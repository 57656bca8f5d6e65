"""An encoder and a decoder with attention in plain Keras, decoded by a loop in Python.

What a user of Keras writes in a few lines: bidirectional encoder, attention, teacher forcing,
greedy decoding, Adam at its default rate.
"""

from __future__ import annotations

import time
from itertools import chain

import keras
import numpy as np
from keras import layers

START, END = 1, 2


def network(n_inputs: int, n_outputs: int, size: int) -> keras.Model:
    """Build the network for codes of characters."""
    read = keras.Input((None,), dtype="int32")
    written = keras.Input((None,), dtype="int32")
    x = layers.Embedding(n_inputs, size, mask_zero=True)(read)
    lstm = layers.LSTM(size, return_sequences=True, return_state=True)
    states, *last = layers.Bidirectional(lstm)(x)
    keys = layers.Dense(size)(states)
    start = [
        layers.Dense(size)(layers.Concatenate()([last[part], last[part + 2]])) for part in (0, 1)
    ]
    x = layers.Embedding(n_outputs, size, mask_zero=True)(written)
    x = layers.LSTM(size, return_sequences=True)(x, initial_state=start)
    x = layers.Concatenate()([x, layers.Attention()([x, keys])])
    return keras.Model([read, written], layers.Dense(n_outputs, activation="softmax")(x))


class PlainKeras:
    """The network with what encodes and decodes strings, given as lists of characters or words."""

    def __init__(self, size: int, seconds: float, max_epochs: int = 1_000, seed: int = 0) -> None:
        self.size, self.seconds, self.max_epochs, self.seed = size, seconds, max_epochs, seed

    def fit(self, X: list[list[str]], y: list[list[str]]) -> PlainKeras:
        """Train for some seconds of processor time, in whole epochs."""
        keras.utils.set_random_seed(self.seed)
        self.codes = [
            {part: code for code, part in enumerate(sorted(set(chain.from_iterable(side))), 3)}
            for side in (X, y)
        ]
        self.length = max(map(len, y))
        read, written = self._encode(X, 0), self._encode(y, 1)
        self.model = network(len(self.codes[0]) + 3, len(self.codes[1]) + 3, self.size)
        self.model.compile("adam", "sparse_categorical_crossentropy")
        start, self.epochs = time.process_time(), 0
        while self.epochs < self.max_epochs and time.process_time() - start < self.seconds:
            given, expected = written[:, :-1], written[:, 1:]
            self.model.fit([read, given], expected, batch_size=64, verbose=0)
            self.epochs += 1
        self.trained = time.process_time() - start
        return self

    def predict(self, X: list[list[str]]) -> list[list[str]]:
        """Write the most probable part at each step, 512 samples at a time."""
        parts = {code: part for part, code in self.codes[1].items()}
        read, answers = self._encode(X, 0), []
        for start in range(0, len(read), 512):
            batch = read[start : start + 512]
            written = np.full((len(batch), 1), START, np.int32)
            for _ in range(self.length + 1):
                best = self.model.predict_on_batch([batch, written])[:, -1].argmax(-1)
                written = np.concatenate([written, best[:, None].astype(np.int32)], 1)
            for row in written[:, 1:].tolist():
                row = row[: row.index(END)] if END in row else row
                answers.append([parts.get(code, "?") for code in row])
        return answers

    def _encode(self, strings: list[list[str]], side: int) -> np.ndarray:
        around = ([START], [END]) if side else ([], [])
        rows = [
            [*around[0], *(self.codes[side].get(part, 0) for part in text), *around[1]]
            for text in strings
        ]
        codes = np.zeros((len(rows), max(map(len, rows))), np.int32)
        for code, row in zip(codes, rows, strict=True):
            code[: len(row)] = row
        return codes
