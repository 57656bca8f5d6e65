"""The defaults on small problems, beside the best of a grid and scikit-learn's classifiers.

None of the problems decides alone. For each network the accuracy of its defaults on held-out
images, the median and the lowest of the seeds, then with ``--grid`` that of the best of several
batch sizes, learning rates, epochs and optimizers, and that of the best of LogisticRegression, SVC
and MLPClassifier on the same rows::

    python examples/benchmarks/small_data.py [--only digits ...] [--networks VGGLite] [--grid]

Generated problems and the digits need nothing. ``--cifar`` is a folder with one sub-folder of
images per class, ``--fashion`` the folder with the four files of Fashion-MNIST (Debian package
dataset-fashion-mnist), ``--stamps`` that of the photographs (Debian package
tuxpaint-stamps-default); problems without their folder are left out.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from _data import machine, table
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC
from transfer import stamps

import skcnn

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Problem = Callable[[int], Split]
N_TEST = 600
GRID = {
    "batch_size": [16, 64],
    "learning_rate": [0.003, 0.01, 0.03],
    "epochs": [20, 60],
    "optimizer": ["adam", "muon"],
}
BASELINES = [
    LogisticRegression(max_iter=2000),
    SVC(),
    MLPClassifier(max_iter=500, random_state=0),
]


# Problems


def drawn(X: np.ndarray, y: np.ndarray, n_train: int, seed: int) -> Split:
    """Draw images to train on and others to score, of all classes alike."""
    n_test = min(N_TEST, len(X) - n_train)
    X, X_test, y, y_test = train_test_split(
        X, y, train_size=n_train, test_size=n_test, stratify=y, random_state=seed
    )
    return X, y, X_test, y_test


def digits(n_train: int, seed: int) -> Split:
    """Draw digits of 8x8 pixels."""
    return drawn(*skcnn.load_digit_images(return_X_y=True), n_train, seed)


def imbalanced(seed: int) -> Split:
    """Draw ones among zeros, eights and nines: a class of a tenth."""
    X, y = skcnn.load_digit_images(return_X_y=True)
    rare = np.flatnonzero(y == 1)[:54]
    rows = np.concatenate([np.flatnonzero(np.isin(y, [0, 8, 9])), rare])
    return drawn(X[rows], y[rows] == 1, 200, seed)


def two_classes(seed: int) -> Split:
    """Tell threes from eights."""
    X, y = skcnn.load_digit_images(return_X_y=True)
    rows = np.isin(y, [3, 8])
    return drawn(X[rows], y[rows], 60, seed)


def noisy(image: np.ndarray, rng: np.random.Generator, noise: float) -> np.ndarray:
    """Add a tint and noise to grey values."""
    tinted = image[..., None] * rng.uniform(0.6, 1, 3) + rng.normal(0, noise, (*image.shape, 3))
    return np.clip(tinted, 0, 255).astype(np.uint8)


def generated(
    draw: Callable[[int, np.random.Generator], np.ndarray], n_classes: int, n_train: int, seed: int
) -> Split:
    """Draw images of a generator."""
    rng = np.random.default_rng(seed)
    y = rng.integers(n_classes, size=n_train + 300)
    X = np.stack([draw(label, rng) for label in y])
    return X[:n_train], y[:n_train], X[n_train:], y[n_train:]


def stripe(label: int, rng: np.random.Generator, side: int = 64) -> np.ndarray:
    """Draw horizontal, vertical or diagonal stripes."""
    row, column = np.mgrid[:side, :side]
    along = (row, column, (row + column) / np.sqrt(2))[label]
    wave = np.sin(2 * np.pi * along / rng.uniform(6, 14) + rng.uniform(0, 6.3)) > 0
    return noisy(wave * rng.uniform(60, 120) + rng.uniform(20, 90), rng, 20)


def round_shape(label: int, rng: np.random.Generator, side: int = 64) -> np.ndarray:
    """Draw a disc or a ring on noise."""
    row, column = np.mgrid[:side, :side]
    middle = rng.uniform(side / 3, side * 2 / 3, 2)
    radius = rng.uniform(side / 8, side / 4)
    distance = np.hypot(row - middle[0], column - middle[1])
    inside = (distance < radius) & ((distance > 0.6 * radius) | (label == 0))
    return noisy(np.where(inside, rng.uniform(120, 220), rng.uniform(20, 100)), rng, 25)


def texture(label: int, rng: np.random.Generator, side: int = 96) -> np.ndarray:
    """Draw noise that is smooth along no, one or both axes."""
    values = rng.normal(size=(side + 8, side + 8))
    for axis in range(2):
        if label > axis:
            values = np.apply_along_axis(np.convolve, axis, values, np.ones(9) / 3, "same")
    return noisy(128 + 40 * values[4 : side + 4, 4 : side + 4], rng, 5)


def fashion(folder: Path, n_train: int, seed: int) -> Split:
    """Draw from Fashion-MNIST."""

    def read(name: str, start: int) -> np.ndarray:
        (path,) = folder.glob(f"{name}*")
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        return np.frombuffer(content, np.uint8, offset=start)

    X = read("train-images", 16).reshape(-1, 28, 28)
    return drawn(X, read("train-labels", 8), n_train, seed)


@functools.cache
def cifar_images(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read CIFAR-10 (JPEG copy)."""
    return skcnn.load_image_folder(folder, as_array=True, return_X_y=True)


def cifar(folder: Path, n_train: int, seed: int) -> Split:
    """Draw from CIFAR-10 (JPEG copy)."""
    return drawn(*cifar_images(folder), n_train, seed)


def photographs(folder: Path, seed: int) -> Split:
    """Take one of five folds of the cut-out photographs, of 64 pixels."""
    paths, y = stamps(folder)
    X = skcnn.ImageAugmenter().transform(paths, image_size=64, resize="pad")
    folds = StratifiedKFold(5, shuffle=True, random_state=0).split(X, y)
    train, test = next(itertools.islice(folds, seed % 5, None))
    return X[train], y[train], X[test], y[test]


def problems(options: argparse.Namespace) -> Iterator[tuple[str, Problem]]:
    """List the problems whose data are there."""
    for n in (60, 90, 200, 1_000):
        yield f"digits {n}", functools.partial(digits, n)
    yield "digits, a class of a tenth", imbalanced
    yield "digits, 3 and 8", two_classes
    yield "stripes", functools.partial(generated, stripe, 3, 135)
    yield "rings and discs", functools.partial(generated, round_shape, 2, 150)
    yield "textures", functools.partial(generated, texture, 3, 120)
    if options.fashion:
        for n in (100, 500, 5_000):
            yield f"fashion {n}", functools.partial(fashion, options.fashion, n)
    if options.cifar:
        for n in (200, 1_000, 5_000, 45_000):
            yield f"cifar {n}", functools.partial(cifar, options.cifar, n)
    if options.stamps:
        yield "photographs", functools.partial(photographs, options.stamps)


# Scores


def score(net: skcnn.ImageClassifier, split: Split, seed: int) -> float:
    """Fit and score."""
    X, y, X_test, y_test = split
    return clone(net).set_params(random_state=seed).fit(X, y).score(X_test, y_test)


def best_baseline(split: Split) -> float:
    """Score scikit-learn's classifiers on the pixels."""
    X, y, X_test, y_test = split
    flat, flat_test = X.reshape(len(X), -1), X_test.reshape(len(X_test), -1)
    nets = [make_pipeline(MinMaxScaler(), net) for net in BASELINES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return max(net.fit(flat, y).score(flat_test, y_test) for net in nets)


def best_of_grid(net: skcnn.ImageClassifier, splits: list[Split]) -> tuple[float, str]:
    """Score all settings; return the best median and its settings."""
    found = {}
    for values in itertools.product(*GRID.values()):
        settings = dict(zip(GRID, values, strict=True))
        changed = clone(net).set_params(**settings)
        scores = [score(changed, split, seed) for seed, split in enumerate(splits)]
        found[", ".join(map(str, values))] = float(np.median(scores))
    best = max(found, key=found.__getitem__)
    return found[best], best


def main() -> None:
    """Print a line for each problem and network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], help="beginnings of names of problems")
    parser.add_argument("--networks", nargs="+", default=["VGGLite", "MiniCNN"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--grid", action="store_true")
    for name in ("cifar", "fashion", "stamps"):
        parser.add_argument(f"--{name}", type=Path)
    options = parser.parse_args()
    print(machine(), flush=True)
    rows = [("problem", "network", "median", "lowest", "scikit-learn", "grid", "of", "seconds")]
    for name, problem in problems(options):
        if options.only and not name.startswith(tuple(options.only)):
            continue
        splits = [problem(seed) for seed in range(options.seeds)]
        baseline = np.median([best_baseline(split) for split in splits])
        for network in options.networks:
            net = getattr(skcnn, network)()
            start = time.perf_counter()
            scores = [score(net, split, seed) for seed, split in enumerate(splits)]
            seconds = (time.perf_counter() - start) / len(splits)
            best, settings = best_of_grid(net, splits) if options.grid else (np.nan, "-")
            numbers = [
                f"{value:.3f}" for value in (np.median(scores), min(scores), baseline, best)
            ]
            rows.append((name, network, *numbers, settings, f"{seconds:.0f}"))
            print(" | ".join(rows[-1]), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
