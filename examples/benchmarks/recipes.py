"""Accuracy and seconds of VGGLite under the default and the classic recipe.

The classic recipe is that of the CIFAR-10 study skcnn grew from: Adadelta at a constant learning
rate of 1.0, batches of 300, no batch normalization, pixels divided by 255. Reads a folder with
one sub-folder of image files per class and holds out the last tenth of every class::

    python examples/benchmarks/recipes.py FOLDER [--epochs 5] [--classic-epochs 10]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _data import CLASSIC, about, load_split

from skcnn import VGGLite


def main() -> None:
    """Fit both recipes and print their epochs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--classic-epochs", type=int, default=10)
    parser.add_argument("--random-state", type=int, default=0)
    options = parser.parse_args()

    X, y, X_test, y_test = load_split(options.folder)
    print(about(X, X_test))
    recipes = {
        "default": (VGGLite(epochs=options.epochs), 1),
        "classic": (VGGLite(epochs=options.classic_epochs, **CLASSIC), 255),
    }
    for name, (net, divisor) in recipes.items():
        if not net.epochs:
            continue
        scale = (
            (lambda images, d=divisor: images)
            if divisor == 1
            else (lambda images, d=divisor: images.astype(np.float32) / d)
        )
        net.set_params(random_state=options.random_state)
        net.set_params(validation_data=(scale(X_test), y_test)).fit(scale(X), y)
        seconds = np.cumsum(net.history_["seconds"])
        for epoch, (accuracy, elapsed) in enumerate(
            zip(net.history_["val_accuracy"], seconds, strict=True), start=1
        ):
            print(
                f"{name:8} epoch {epoch:3}: accuracy {accuracy:.4f}, {elapsed:7.1f} s", flush=True
            )


if __name__ == "__main__":
    main()
