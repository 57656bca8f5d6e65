"""Networks in plain Keras and the estimators that train them, as peers of skcnn."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scikeras.wrappers import KerasClassifier

BATCH_SIZE = 128
BLOCKS = ((32, 2), (64, 2), (128, 3))


class EpochTimes(keras.callbacks.Callback):
    """Note when epochs begin and end."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin a list."""
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Take the time."""
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the seconds."""
        self.seconds.append(time.perf_counter() - self.start)


def compiled(model: keras.Model, learning_rate: float = 0.001, steps: int = 1) -> keras.Model:
    """Compile a network for integer labels."""
    model.compile(
        keras.optimizers.Adam(learning_rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=steps,
    )
    return model


def vgg_lite() -> keras.Model:
    """Build VGGLite with batch normalization."""
    layers = keras.layers
    x = inputs = keras.Input((32, 32, 3))
    for filters, count in BLOCKS:
        for _ in range(count):
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = layers.Activation("relu")(layers.BatchNormalization()(x))
        x = layers.MaxPooling2D()(x)
    x = layers.Dense(100, "relu")(layers.Flatten()(x))
    return compiled(keras.Model(inputs, layers.Dense(10, "softmax")(x)))


def tiny(learning_rate: float = 0.001, filters: int = 8, steps: int = 1) -> keras.Model:
    """Build a tiny network for the digits."""
    layers = keras.layers
    x = inputs = keras.Input((8, 8, 1))
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    outputs = layers.Dense(10, "softmax")(layers.Flatten()(layers.MaxPooling2D()(x)))
    return compiled(keras.Model(inputs, outputs), learning_rate, steps)


def small(size: int) -> keras.Model:
    """Build `streaming.NETWORK`."""
    layers = keras.layers
    x = inputs = keras.Input((size, size, 3))
    x = layers.Rescaling(1 / 64, -2)(x)
    for filters in (16, 32):
        x = layers.Conv2D(filters, 3, padding="same")(x)
        x = layers.Activation("relu")(layers.MaxPooling2D(4)(x))
    outputs = layers.Dense(2, "softmax")(layers.GlobalAveragePooling2D()(x))
    return compiled(keras.Model(inputs, outputs))


def fit_keras(X: np.ndarray, y: np.ndarray, epochs: int) -> float:
    """Train VGGLite with plain Keras; return the median seconds of the epochs after the first."""
    times = EpochTimes()
    vgg_lite().fit(X, y, batch_size=BATCH_SIZE, epochs=epochs, verbose=0, callbacks=[times])
    return statistics.median(times.seconds[1:])


def fit_scikeras(X: np.ndarray, y: np.ndarray, epochs: int) -> float:
    """Train with scikeras."""
    times = EpochTimes()
    KerasClassifier(
        vgg_lite, batch_size=BATCH_SIZE, epochs=epochs, verbose=0, callbacks=[times]
    ).fit(X, y)
    return statistics.median(times.seconds[1:])


def fit_keras_wrapper(X: np.ndarray, y: np.ndarray, epochs: int) -> float:
    """Train with the wrapper of Keras, which takes flat rows and one-hot targets only."""
    times = EpochTimes()

    def build(X: np.ndarray, y: np.ndarray) -> keras.Model:
        model = keras.Sequential([keras.Input((3072,)), keras.layers.Reshape((32, 32, 3))])
        model.add(vgg_lite())
        model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
        return model

    fit_options = {
        "batch_size": BATCH_SIZE,
        "epochs": epochs,
        "verbose": 0,
        "callbacks": [times],
    }
    net = keras.wrappers.SKLearnClassifier(build, fit_kwargs=fit_options)
    net.fit(X.reshape(len(X), -1), y)
    return statistics.median(times.seconds[1:])


def step_milliseconds(X: np.ndarray, y: np.ndarray, epochs: int, steps: int = 1) -> float:
    """Time a step of the tiny network in batches of 32, ``steps`` of them in one call."""
    times = EpochTimes()
    model = tiny(steps=steps)
    model.fit(X, y, batch_size=32, epochs=epochs, verbose=0, callbacks=[times])
    return 1000 * statistics.median(times.seconds[1:]) / -(-len(X) // 32)


def read_folder(folder: Path, size: int) -> Any:
    """Read image files in batches."""
    return keras.utils.image_dataset_from_directory(
        folder, image_size=(size, size), batch_size=32, verbose=False
    )


def photo_rates(folder: Path, n_images: int, size: int, epochs: int) -> list[float]:
    """Return the files a second of reading, the first epoch, the others and prediction."""
    data, times, model = read_folder(folder, size), EpochTimes(), small(size)
    start = time.perf_counter()
    for _ in data:
        pass
    seconds = [time.perf_counter() - start]
    start = time.perf_counter()
    model.fit(data, epochs=epochs, verbose=0, callbacks=[times])
    later = times.seconds[1:]
    seconds += [time.perf_counter() - start - sum(later), statistics.median(later)]
    start = time.perf_counter()
    model.predict(data, verbose=0)
    seconds.append(time.perf_counter() - start)
    return [n_images / each for each in seconds]
