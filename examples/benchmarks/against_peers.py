"""skcnn beside what else people train with: Keras, scikeras, skorch and PyTorch.

The same networks, images, batches, optimizer and epochs, one library after the other, in rounds.
Parts, each with a table of medians:

- training: VGGLite with batch normalization, images a second;
- one image: milliseconds of a prediction;
- step: milliseconds of a step of a tiny network;
- search: seconds of 18 fits on the digits;
- n_jobs: seconds of that search with more epochs, in one process and in two;
- photos: image files a second of reading, of a fit, until its first epoch has ended and in the
  others, and of predictions;
- SpeedNet: images a second beside the recipe of airbench94;
- strings: milliseconds of a step of ``Seq2SeqRNN``.

"accuracy", which takes half an hour and runs only if named, trains SpeedNet and airbench94 for
eight epochs on nine tenths of the images and scores the others. PyTorch and skorch are left out
where they are not installed; ``make bench`` installs them, in an environment of its own::

    python examples/benchmarks/against_peers.py FOLDER [--only photos ...] [--rounds 5]

FOLDER has one sub-folder of image files per class. The files of photos are made of them, of 300 to
600 pixels.
"""

from __future__ import annotations

import argparse
import functools
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

import _keras_peers as peers
import numpy as np
from _data import FLIPS_AND_SHIFTS, about, load_split, table
from _keras_peers import BATCH_SIZE
from _plain_keras import PlainKeras
from _strings import run_lengths
from scikeras.wrappers import KerasClassifier
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from streaming import NETWORK
from transfer import write_files

from skcnn import (
    ImageAugmenter,
    ImageClassifier,
    Seq2SeqRNN,
    SpeedNet,
    VGGLite,
    clear_compiled,
    load_digit_images,
    load_image_folder,
)

LONGER_EPOCHS = 150
N_TRAINING = 2_048
PHOTO_SIZE, N_PHOTOS = 96, 1_500
SPEED_BATCH, SPEED_EPOCHS = 1_000, 8
HAS_PYTORCH = bool(find_spec("skorch"))
Images = tuple[np.ndarray, np.ndarray]


def pytorch(*arguments: object) -> list[float]:
    """Run a peer on PyTorch in another process."""
    script = Path(__file__).with_name("_pytorch.py")
    command = [sys.executable, script, *map(str, arguments)]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [float(value) for value in printed.splitlines()[-1].split()]


def write(folder: Path, X: np.ndarray, y: np.ndarray) -> Path:
    """Write arrays for `pytorch`."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    return folder


def rounds_of(calls: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Make all calls in every round; return the medians."""
    found = defaultdict(list)
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(call())
    return {name: statistics.median(values) for name, values in found.items()}


def epoch_seconds(net: Any, X: np.ndarray, y: np.ndarray) -> float:
    """Fit; return the median seconds of the epochs after the first."""
    return statistics.median(clone(net).fit(X, y).history_["seconds"][1:])


def ratios(unit: str, values: dict[str, float], base: str) -> str:
    """Write measurements and their ratios as a table of reStructuredText."""
    rows = [("with", unit, f"of {base}")]
    rows += [
        (name, f"{value:.3g}", f"{value / values[base]:.2f}") for name, value in values.items()
    ]
    return table(rows)


# The parts


def training(images: Images, folder: Path, rounds: int, epochs: int = 3) -> str:
    """Measure images a second of each peer."""
    X, y = (values[:N_TRAINING] for values in images)
    X = X.astype(np.float32)
    files = write(folder / "training", X, y)

    def ours(**settings: str) -> Callable[[], float]:
        net = VGGLite(epochs=epochs, batch_size=BATCH_SIZE, random_state=0, **settings)
        return lambda: epoch_seconds(net, X, y)

    calls: dict[str, Callable[[], float]] = {
        "skcnn, defaults": ours(),
        "skcnn, Adam": ours(optimizer="adam"),
        "skcnn, Adam, float32": ours(optimizer="adam", precision="float32"),
        "Keras": lambda: peers.fit_keras(X, y, epochs),
        "scikeras": lambda: peers.fit_scikeras(X, y, epochs),
        "Keras SKLearnClassifier": lambda: peers.fit_keras_wrapper(X, y, epochs),
    }
    if HAS_PYTORCH:
        calls["skorch"] = lambda: pytorch("skorch", files, epochs, BATCH_SIZE)[0]
        for precision in ("float32", "bfloat16"):
            command = ("train", files, epochs, BATCH_SIZE, precision)
            calls[f"PyTorch, {precision}"] = lambda command=command: pytorch(*command)[0]
    seconds = rounds_of(calls, rounds)
    rates = {name: len(X) / value for name, value in seconds.items()}
    return ratios("images a second", rates, "Keras")


def one_image(images: Images, folder: Path, rounds: int) -> str:
    """Measure milliseconds of predicting one image."""
    import tensorflow as tf

    X, y = images
    X = X.astype(np.float32)
    ours = VGGLite(epochs=1, random_state=0).fit(X[:500], y[:500])
    theirs = KerasClassifier(peers.vgg_lite, epochs=1, verbose=0).fit(X[:500], y[:500])
    model = peers.vgg_lite()
    call = tf.function(lambda image: model(image, training=False))
    image = X[:1]

    def timed(predict: Callable[[], object], repeats: int = 20) -> Callable[[], float]:
        def run() -> float:
            seconds = []
            for _ in range(repeats):
                start = time.perf_counter()
                predict()
                seconds.append(time.perf_counter() - start)
            return 1000 * statistics.median(seconds)

        predict()  # traces
        return run

    calls = {
        "skcnn": timed(lambda: ours.predict(image)),
        "scikeras": timed(lambda: theirs.predict(image, verbose=0)),
        "keras.Model.predict": timed(lambda: model.predict(image, verbose=0)),
        "one compiled call": timed(lambda: call(image).numpy()),
    }
    return ratios("milliseconds", rounds_of(calls, rounds), "scikeras")


def step(images: Images, folder: Path, rounds: int, epochs: int = 12) -> str:
    """Measure milliseconds of a step of the network of the search, of batches of 32 digits."""
    X, y = load_digit_images(return_X_y=True)
    X = X.astype(np.float32)
    net = ImageClassifier(
        "[CONV-8 -> RELU]*2 -> POOL -> FCS",
        batch_norm=False,
        epochs=epochs,
        batch_size=32,
        random_state=0,
    )
    adam = clone(net).set_params(optimizer="adam")

    n_steps = -(-len(X) // 32)
    calls = {
        "skcnn, Adam": lambda: 1000 * epoch_seconds(adam, X, y) / n_steps,
        "skcnn, Muon": lambda: 1000 * epoch_seconds(net, X, y) / n_steps,
        "Keras": lambda: peers.step_milliseconds(X, y, epochs),
        f"Keras, {n_steps} steps a call": lambda: peers.step_milliseconds(X, y, epochs, n_steps),
    }
    return ratios("milliseconds a step", rounds_of(calls, rounds), "Keras")


def search(images: Images, folder: Path, rounds: int, *, longer: bool = False) -> str:
    """Measure seconds of searches, or those of one of many epochs in one and in two processes."""
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8, 1).astype(np.float32)
    rates, filters = [0.001, 0.01], [8, 16, 32]
    settings = {"epochs": 5, "batch_size": 32, "random_state": 0}
    ours = ImageClassifier(batch_norm=False, optimizer="adam", **settings)
    theirs = KerasClassifier(peers.tiny, verbose=0, **settings)
    names = [f"[CONV-{number} -> RELU]*2 -> POOL -> FCS" for number in filters]
    grid = {"architecture": names, "learning_rate": rates}
    moved = ImageAugmenter(width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True)

    def run(net: object, grid: dict[str, list[object]], n_jobs: int = 1) -> Callable[[], float]:
        def seconds() -> float:
            clear_compiled()  # else only the first round would trace
            start = time.perf_counter()
            GridSearchCV(net, grid, cv=3, n_jobs=n_jobs, error_score="raise").fit(X, y)
            return time.perf_counter() - start

        return seconds

    if longer:
        net = clone(ours).set_params(epochs=LONGER_EPOCHS)
        calls = {f"n_jobs={n_jobs}": run(net, grid, n_jobs) for n_jobs in (1, 2)}
        return ratios("seconds", rounds_of(calls, rounds), "n_jobs=1")
    calls = {
        "skcnn": run(ours, grid),
        "skcnn, Muon": run(clone(ours).set_params(optimizer="muon"), grid),
        "skcnn, shifts and flips": run(clone(ours).set_params(augmentation=moved), grid),
        "scikeras": run(theirs, {"model__filters": filters, "model__learning_rate": rates}),
    }
    if HAS_PYTORCH:
        calls["skorch"] = lambda: pytorch("search")[0]
    return ratios("seconds", rounds_of(calls, rounds), "scikeras")


def own_photo_rates(folder: Path, epochs: int) -> list[float]:
    """Return what `_keras_peers.photo_rates` does."""
    paths, y = load_image_folder(folder, return_X_y=True)
    net = ImageClassifier(
        NETWORK,
        image_size=PHOTO_SIZE,
        batch_norm=False,
        epochs=epochs,
        batch_size=32,
        optimizer="adam",
        random_state=0,
    )
    start = time.perf_counter()
    load_image_folder(folder, as_array=True, image_size=PHOTO_SIZE)
    seconds = [time.perf_counter() - start]
    clear_compiled()  # else only the first round would trace
    start = time.perf_counter()
    fitted = net.fit(paths, y)
    later = fitted.history_["seconds"][1:]
    seconds += [time.perf_counter() - start - sum(later), statistics.median(later)]
    start = time.perf_counter()
    fitted.predict(paths)
    seconds.append(time.perf_counter() - start)
    return [len(paths) / each for each in seconds]


def photos(source: Path, folder: Path, rounds: int, epochs: int = 3) -> str:
    """Measure image files a second."""
    files = folder / "photos"
    files.mkdir()
    write_files(files, source, N_PHOTOS, 300, 600)
    calls: dict[str, Callable[[], list[float]]] = {
        "skcnn": lambda: own_photo_rates(files, epochs),
        "Keras": lambda: peers.photo_rates(files, N_PHOTOS, PHOTO_SIZE, epochs),
    }
    if HAS_PYTORCH:
        calls["PyTorch DataLoader, two workers"] = lambda: pytorch("decode", files, PHOTO_SIZE)
    found: dict[str, list[list[float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(call())
    heads = ("files a second", "read", "first epoch", "other epochs", "predict")
    medians = {name: np.median(values, axis=0) for name, values in found.items()}
    rows = [(name, *(f"{rate:.0f}" for rate in rates)) for name, rates in medians.items()]
    return table([heads, *((*row, *["-"] * (len(heads) - len(row))) for row in rows)])


def speednet(images: Images, folder: Path, rounds: int, epochs: int = 3) -> str:
    """Measure images a second of SpeedNet and of airbench94, both with shifts and flips."""
    X, y = images
    files = write(folder / "speednet", X.astype(np.float32), y)
    net = SpeedNet(
        epochs=epochs, batch_size=SPEED_BATCH, augmentation=FLIPS_AND_SHIFTS, random_state=0
    )
    calls = {
        "SpeedNet": lambda: epoch_seconds(net, X, y),
    }
    if HAS_PYTORCH:
        command = ("airbench", files, epochs, SPEED_BATCH, 0)
        calls["PyTorch, airbench94"] = lambda: pytorch(*command)[0] / epochs
    seconds = rounds_of(calls, rounds)
    rates = {name: len(X) / value for name, value in seconds.items()}
    return ratios("images a second", rates, list(rates)[-1])


def strings(images: Images, folder: Path, rounds: int, epochs: int = 3) -> str:
    """Measure milliseconds of a step of 64 strings, with 128 units."""
    X, y, *_ = run_lengths()
    lists = [list(map(list, side.tolist())) for side in (X, y)]
    n_steps = -(-len(X) // 64)
    other = PlainKeras(128, 0.1).fit(*lists)  # traces
    read, written = (other._encode(part, side) for side, part in enumerate(lists))
    files = write(folder / "strings", read, written)
    net = Seq2SeqRNN(hidden_size=128, batch_size=64, epochs=epochs, random_state=0)
    times = peers.EpochTimes()

    def keras_step() -> float:
        inputs, expected = [read, written[:, :-1]], written[:, 1:]
        settings = {"batch_size": 64, "epochs": epochs, "verbose": 0, "callbacks": [times]}
        other.model.fit(inputs, expected, **settings)
        return 1000 * statistics.median(times.seconds[1:]) / n_steps

    calls = {
        "skcnn": lambda: 1000 * epoch_seconds(net, X, y) / n_steps,
        "Keras": keras_step,
    }
    if HAS_PYTORCH:
        calls["PyTorch"] = lambda: pytorch("strings", files, epochs, 64, 128)[0]
    return ratios("milliseconds a step", rounds_of(calls, rounds), "Keras")


def accuracy(split: tuple[np.ndarray, ...], folder: Path, seeds: int) -> str:
    """Train SpeedNet and airbench94 on all images; return seconds and accuracies."""
    X, y, X_test, y_test = split
    files = write(folder / "accuracy", X.astype(np.float32), y)
    write(files / "test", X_test.astype(np.float32), y_test)
    rows = [("network", "seed", "seconds", "single", "averaged")]
    for seed in range(seeds):
        net = SpeedNet(
            epochs=SPEED_EPOCHS,
            batch_size=SPEED_BATCH,
            augmentation=FLIPS_AND_SHIFTS,
            random_state=seed,
        ).fit(X, y)
        scores = [net.score(X_test, y_test)]
        net.set_params(flip_averaging=True, shift_averaging=True)
        scores.append(net.score(X_test, y_test))
        results = {"SpeedNet": [float(np.sum(net.history_["seconds"])), *scores]}
        if HAS_PYTORCH:
            results["airbench94"] = pytorch("airbench", files, SPEED_EPOCHS, SPEED_BATCH, seed)
        for name, (seconds, *values) in results.items():
            rows.append((name, str(seed), f"{seconds:.0f}", *(f"{each:.4f}" for each in values)))
            print(rows[-1], flush=True)
    return table(rows)


IMAGE_PARTS = {
    "training": training,
    "one image": one_image,
    "step": step,
    "search": search,
    "n_jobs": functools.partial(search, longer=True),
    "SpeedNet": speednet,
    "strings": strings,
}


def main() -> None:
    """Measure and report."""
    names = [*IMAGE_PARTS, "photos"]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=[*names, "accuracy"], default=names)
    parser.add_argument("--images", type=int, default=6_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    X, y, X_test, y_test = load_split(options.folder)
    classes = np.unique(y)
    y, y_test = (np.searchsorted(classes, labels) for labels in (y, y_test))
    rows = np.random.default_rng(0).choice(len(X), options.images, replace=False)
    print(about(X[rows], X[:0]), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in options.only:
            if part == "photos":
                report = photos(options.folder, folder, options.rounds)
            elif part == "accuracy":
                report = accuracy((X, y, X_test, y_test), folder, (options.rounds + 1) // 2)
            else:
                report = IMAGE_PARTS[part]((X[rows], y[rows]), folder, options.rounds)
            print(f"\n{part}\n\n{report}", flush=True)


if __name__ == "__main__":
    main()
