"""skcnn beside what else trains a Keras or PyTorch network as a scikit-learn estimator.

The same network (VGGLite with batch normalization), images, batches, optimizer and epochs under
skcnn, plain Keras, scikeras, Keras's SKLearnClassifier and skorch, one after the other in rounds,
and skcnn once more with its own defaults; then the prediction of one image, a search of 18 fits on
the digits, and that search with more epochs in one and in two processes. Writes table and plot.
skorch is left out where it is not installed; ``make bench`` installs it, in an environment of its
own::

    python examples/benchmarks/against_peers.py [FOLDER] [--images 5000] [--rounds 5]

FOLDER has one sub-folder of image files per class; without it the images are noise, which takes
as long.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from _data import about, load_split, table
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skcnn import ImageAugmenter, ImageClassifier, VGGLite

import keras  # after skcnn, which keeps TensorFlow quiet  # isort: skip
from scikeras.wrappers import KerasClassifier  # isort: skip

BATCH_SIZE = 128
LONGER_EPOCHS = 150
BLOCKS = ((32, 2), (64, 2), (128, 3))
Fit = Callable[[np.ndarray, np.ndarray, int], float]


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


def vgg_lite() -> keras.Model:
    """Build the network with the layers of Keras."""
    layers = keras.layers
    x = inputs = keras.Input((32, 32, 3))
    for filters, count in BLOCKS:
        for _ in range(count):
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = layers.Activation("relu")(layers.BatchNormalization()(x))
        x = layers.MaxPooling2D()(x)
    x = layers.Dense(100, "relu")(layers.Flatten()(x))
    return compiled(keras.Model(inputs, layers.Dense(10, "softmax")(x)))


def compiled(model: keras.Model, learning_rate: float = 0.001) -> keras.Model:
    """Compile a network for integer labels."""
    optimizer = keras.optimizers.Adam(learning_rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit_skcnn(**settings: str) -> Fit:
    """Train with skcnn."""

    def fit(X: np.ndarray, y: np.ndarray, epochs: int) -> float:
        net = VGGLite(epochs=epochs, batch_size=BATCH_SIZE, random_state=0, **settings)
        return statistics.median(net.fit(X, y).history_["seconds"][1:])

    return fit


def fit_keras(X: np.ndarray, y: np.ndarray, epochs: int) -> float:
    """Train with plain Keras."""
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


def run_skorch(*arguments: str) -> float:
    """Run skorch in another process."""
    script = Path(__file__).with_name("_skorch.py")
    command = [sys.executable, script, *arguments]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def fit_skorch(X: np.ndarray, y: np.ndarray, epochs: int) -> float:
    """Train with skorch."""
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/X.npy", f"{folder}/y.npy"]
        for file, values in zip(files, (X, y), strict=True):
            np.save(file, values)
        return run_skorch("train", *files, str(epochs), str(BATCH_SIZE))


def training(X: np.ndarray, y: np.ndarray, rounds: int, epochs: int) -> dict[str, float]:
    """Measure images a second of each peer, in rounds."""
    fits: dict[str, Fit] = {
        "skcnn, defaults": fit_skcnn(),
        "skcnn, Adam": fit_skcnn(optimizer="adam"),
        "skcnn, Adam, float32": fit_skcnn(optimizer="adam", precision="float32"),
        "Keras": fit_keras,
        "scikeras": fit_scikeras,
        "Keras SKLearnClassifier": fit_keras_wrapper,
    }
    if find_spec("skorch"):
        fits["skorch"] = fit_skorch
    seconds = defaultdict(list)
    for _ in range(rounds):
        for name, fit in fits.items():
            seconds[name].append(fit(X, y, epochs))
    return {name: len(X) / statistics.median(values) for name, values in seconds.items()}


def tiny(learning_rate: float = 0.001, filters: int = 8) -> keras.Model:
    """Build a tiny network for the digits."""
    layers = keras.layers
    x = inputs = keras.Input((8, 8, 1))
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    outputs = layers.Dense(10, "softmax")(layers.Flatten()(layers.MaxPooling2D()(x)))
    return compiled(keras.Model(inputs, outputs), learning_rate)


def searches(rounds: int) -> dict[str, float]:
    """Measure seconds of searches."""
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8, 1).astype(np.float32)
    rates, filters = [0.001, 0.01], [8, 16, 32]
    settings = {"epochs": 5, "batch_size": 32, "random_state": 0}
    ours = ImageClassifier(batch_norm=False, optimizer="adam", **settings)
    theirs = KerasClassifier(tiny, verbose=0, **settings)
    names = [f"[CONV-{number} -> RELU]*2 -> POOL -> FCS" for number in filters]
    grid = {"architecture": names, "learning_rate": rates}
    moved = ImageAugmenter(width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True)
    longer = clone(ours).set_params(epochs=LONGER_EPOCHS)
    runs = {
        "skcnn, 18 fits": (ours, grid, 1),
        "skcnn, shifts and flips": (clone(ours).set_params(augmentation=moved), grid, 1),
        "scikeras, 18 fits": (
            theirs,
            {"model__filters": filters, "model__learning_rate": rates},
            1,
        ),
        f"skcnn, {LONGER_EPOCHS} epochs, n_jobs=1": (longer, grid, 1),
        f"skcnn, {LONGER_EPOCHS} epochs, n_jobs=2": (longer, grid, 2),
    }
    seconds = defaultdict(list)
    for _ in range(rounds):
        for name, (net, values, n_jobs) in runs.items():
            start = time.perf_counter()
            GridSearchCV(net, values, cv=3, n_jobs=n_jobs, error_score="raise").fit(X, y)
            seconds[name].append(time.perf_counter() - start)
        if find_spec("skorch"):
            seconds["skorch, 18 fits"].append(run_skorch("search"))
    return {name: statistics.median(each) for name, each in seconds.items()}


def one_image(X: np.ndarray, y: np.ndarray, repeats: int = 100) -> dict[str, float]:
    """Measure milliseconds of predicting one image."""
    import tensorflow as tf

    ours = VGGLite(epochs=1, random_state=0).fit(X[:500], y[:500])
    theirs = KerasClassifier(vgg_lite, epochs=1, verbose=0).fit(X[:500], y[:500])
    model = vgg_lite()
    call = tf.function(lambda image: model(image, training=False))
    image = X[:1]
    calls = {
        "skcnn": lambda: ours.predict(image),
        "scikeras": lambda: theirs.predict(image, verbose=0),
        "keras.Model.predict": lambda: model.predict(image, verbose=0),
        "compiled call": lambda: call(image).numpy(),
    }
    seconds = defaultdict(list)
    for number in range(repeats + 3):
        for name, predict in calls.items():
            start = time.perf_counter()
            predict()
            if number >= 3:  # the first ones trace
                seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}


def ratios(unit: str, values: dict[str, float], base: str) -> str:
    """Write measurements and their ratios as a table of reStructuredText."""
    rows = [("with", unit, f"of {base}")]
    rows += [
        (name, f"{value:.3g}", f"{value / values[base]:.2f}") for name, value in values.items()
    ]
    return table(rows)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("against_peers.png"))
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    if options.folder is None:
        X, y = rng.integers(256, size=(options.images, 32, 32, 3)), np.arange(options.images) % 10
    else:
        X, y, *_ = load_split(options.folder)
        rows = rng.choice(len(X), options.images, replace=False)
        X, y = X[rows], np.unique(y[rows], return_inverse=True)[1]
    X = X.astype(np.float32)
    print(about(X, X[:0]), flush=True)
    measured = {
        "training, images a second": (training(X, y, options.rounds, options.epochs), "Keras"),
        "one image, milliseconds": (one_image(X, y), "scikeras"),
        "search, seconds": (searches((options.rounds + 1) // 2), "scikeras, 18 fits"),
    }
    figure, axes = plt.subplots(len(measured), figsize=(7, 7), layout="constrained")
    for axis, (title, (values, base)) in zip(axes, measured.items(), strict=True):
        print(f"\n{ratios(title, values, base)}", flush=True)
        axis.barh(list(values), list(values.values()), color="#0072b2")
        axis.bar_label(axis.containers[0], fmt="%.3g", padding=3)
        axis.invert_yaxis()
        axis.margins(x=0.12)
        axis.set_title(title)
    figure.savefig(options.out, dpi=110)
    print(f"\nsaved {options.out}")


if __name__ == "__main__":
    main()
