"""What augmentation costs and what it brings, for VGGLite.

``cost`` fits with and without shifts, flips and cutout in alternating epochs of one run and
reports the ratio of the median seconds. ``accuracy`` fits 10 epochs with the setting of the
classic study (shifts of 0.1, vertical flip) and with a better one (shifts of 0.125, horizontal
flip, cutout 0.25). ``few`` compares single settings under the defaults, on the first 50 images of
every class and 100 held-out ones, three seeds. Reads a folder with one sub-folder of image files
per class and holds out the last tenth of every class::

    python examples/benchmarks/augmentation.py FOLDER [--only cost] [--epochs 10]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _data import (
    CLASSIC_AUGMENTATION,
    FLIPS_AND_SHIFTS,
    GOOD_AUGMENTATION,
    about,
    load_split,
    table,
)

from skcnn import ImageAugmenter, VGGLite

SINGLE = {
    "none": None,
    "horizontal_flip=True": ImageAugmenter(horizontal_flip=True),
    "shifts of 0.125": ImageAugmenter(width_shift_range=0.125, height_shift_range=0.125),
    "flips and shifts": FLIPS_AND_SHIFTS,
    "rotation_range=15": ImageAugmenter(rotation_range=15),
    "cutout=0.25": ImageAugmenter(cutout=0.25),
    "mixup=0.2": ImageAugmenter(mixup=0.2),
    "cutmix=1.0": ImageAugmenter(cutmix=1.0),
}
SETTINGS = {"classic": CLASSIC_AUGMENTATION, "good": GOOD_AUGMENTATION}


def cost(X: np.ndarray, y: np.ndarray, n_epochs: int = 9, n_samples: int = 12_800) -> None:
    """Alternate epochs with and without augmentation."""
    rows = np.random.default_rng(0).permutation(len(X))[:n_samples]
    nets = {
        "plain": VGGLite(random_state=0),
        "augmented": VGGLite(random_state=0, augmentation=SETTINGS["good"]),
    }
    for epoch in range(n_epochs + 1):  # the first traces the training step
        for net in nets.values():
            net.partial_fit(X[rows], y[rows])
        print(
            f"epoch {epoch}: " + str({n: net.history_["seconds"][-1] for n, net in nets.items()})
        )
    median = {name: np.median(net.history_["seconds"][1:]) for name, net in nets.items()}
    print(
        f"median seconds of {n_epochs} alternating epochs of {n_samples} images: "
        f"plain {median['plain']:.2f}, augmented {median['augmented']:.2f}, ratio "
        f"{median['augmented'] / median['plain']:.3f}"
    )


def accuracy(data: tuple[np.ndarray, ...], epochs: int, random_state: int) -> None:
    """Fit with both settings."""
    X, y, X_test, y_test = data
    for name, augmentation in SETTINGS.items():
        net = VGGLite(epochs=epochs, augmentation=augmentation, random_state=random_state)
        net.fit(X, y, X_val=X_test, y_val=y_test)
        for epoch, value in enumerate(net.history_["val_accuracy"], start=1):
            print(f"{name:8} epoch {epoch:3}: held-out accuracy {value:.4f}", flush=True)
        print(f"{name:8} {sum(net.history_['seconds']):.0f} s, {augmentation}", flush=True)


def few(data: tuple[np.ndarray, ...], n_per_class: int = 50, seeds: int = 3) -> None:
    """Compare single settings on few images."""
    X, y, X_test, y_test = data
    train, test = (first_of_each(codes, n) for codes, n in ((y, n_per_class), (y_test, 100)))
    rows = [("augmentation", "median", "lowest", "highest", "seconds a fit")]
    for name, augmentation in SINGLE.items():
        scores, seconds = [], []
        for seed in range(seeds):
            net = VGGLite(augmentation=augmentation, random_state=seed).fit(X[train], y[train])
            scores.append(net.score(X_test[test], y_test[test]))
            seconds.append(sum(net.history_["seconds"]))
        found = (np.median(scores), min(scores), max(scores))
        rows.append((name, *(f"{value:.3f}" for value in found), f"{np.median(seconds):.0f}"))
        print(rows[-1], flush=True)
    print(table(rows))


def first_of_each(y: np.ndarray, number: int) -> np.ndarray:
    """Return the first rows of every class."""
    return np.concatenate([np.flatnonzero(y == label)[:number] for label in np.unique(y)])


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=["cost", "accuracy", "few"])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--random-state", type=int, default=0)
    options = parser.parse_args()
    data = load_split(options.folder)
    print(about(data[0], data[2]), flush=True)
    if options.only in (None, "cost"):
        cost(*data[:2])
    if options.only in (None, "accuracy"):
        accuracy(data, options.epochs, options.random_state)
    if options.only in (None, "few"):
        few(data)


if __name__ == "__main__":
    main()
