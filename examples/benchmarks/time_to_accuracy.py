"""Accuracy against seconds of VGGLite, under the classic recipe and under the default.

The classic recipe is that of the CIFAR-10 study that skcnn grew from: Adadelta at a constant
learning rate of 1.0, batches of 300, no batch normalization, pixels divided by 255, float32. Reads
a folder with one sub-folder of image files per class, holds out the last tenth of every class, and
writes a table and the curves: the seconds of a recipe to an accuracy and in all, and its accuracy
at the end, of single images and with flips, and flips and shifts, averaged::

    python examples/benchmarks/time_to_accuracy.py FOLDER [--target 0.706] [--only classic]

``--only`` may be given several times. A training leaves its state in RUNS after every epoch, so
the script can be stopped and started again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from _data import CLASSIC, FLIPS_AND_SHIFTS, about, load_split, table

from skcnn import ImageClassifier, SpeedNet, VGGLite

RECIPES = {
    "classic": VGGLite(epochs=10, precision="float32", **CLASSIC),
    "default, 3 epochs": VGGLite(epochs=3),
    "default, augmented, 10 epochs": VGGLite(epochs=10, augmentation=FLIPS_AND_SHIFTS),
    "augmented, weight decay 0.05, 30 epochs": VGGLite(
        epochs=30, augmentation=FLIPS_AND_SHIFTS, weight_decay=0.05
    ),
    "SpeedNet, augmented, 10 epochs": SpeedNet(augmentation=FLIPS_AND_SHIFTS),
}


def curve(net: ImageClassifier) -> tuple[np.ndarray, np.ndarray]:
    """Give seconds of training and the held-out accuracy after them."""
    return np.cumsum(net.history_["seconds"]), np.array(net.history_["val_accuracy"])


def seconds_to(net: ImageClassifier, target: float) -> str:
    """Say after how many seconds an accuracy was reached."""
    seconds, accuracy = curve(net)
    reached = seconds[accuracy >= target]
    return f"{reached[0]:.0f}" if len(reached) else f"not in {seconds[-1]:.0f}"


def main() -> None:
    """Fit, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--target", type=float, default=0.706)
    parser.add_argument("--only", action="append", choices=list(RECIPES))
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("time_to_accuracy"))
    options = parser.parse_args()

    X, y, X_test, y_test = load_split(options.folder)
    print(about(X, X_test), flush=True)
    rows = [("recipe", f"seconds to {options.target}", "seconds", "accuracy", "flips", "both")]
    plt.style.use("tableau-colorblind10")
    figure, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name in options.only or RECIPES:
        net, scale = RECIPES[name], np.float32(255 if name == "classic" else 1)
        images, held_out = (X / scale, X_test / scale) if scale > 1 else (X, X_test)
        net.set_params(
            random_state=options.random_state,
            checkpoint_dir=options.runs / f"{name.replace(', ', '-').replace(' ', '-')}",
        ).fit(images, y, X_val=held_out, y_val=y_test)
        seconds, accuracy = curve(net)
        flips = net.set_params(flip_averaging=True).score(held_out, y_test)
        both = net.set_params(shift_averaging=True).score(held_out, y_test)
        scores = [f"{score:.4f}" for score in (accuracy[-1], flips, both)]
        rows.append((name, seconds_to(net, options.target), f"{seconds[-1]:.0f}", *scores))
        print(rows[-1], flush=True)
        ax.plot(seconds, accuracy, "o-", markersize=3, label=name)
    ax.axhline(options.target, color="0.5", linewidth=0.8)
    ax.set(xlabel="Seconds of training", ylabel="Held-out accuracy", xscale="log")
    ax.legend()
    figure.savefig(options.runs / "curves.png", dpi=110)
    print(f"\n{table(rows)}\n\nsaved {options.runs / 'curves.png'}")


if __name__ == "__main__":
    main()
