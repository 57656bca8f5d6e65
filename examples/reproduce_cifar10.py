"""The CIFAR-10 study that skcnn grew from, and what the same networks reach today.

Four networks, a to d, in the recipe of the study: Adadelta at a constant learning rate of 1.0,
batches of 300, pixels divided by 255, no batch normalization, 10 epochs. Then network d for 20
epochs with the augmentation of the study, and its confident mistakes. Then the four networks with
the defaults of skcnn. The last tenth of the images of every class is held out for validation::

    python examples/reproduce_cifar10.py [FOLDER] [--quick] [--runs RUNS] [--only classic]

Without FOLDER the images are those of ``keras.datasets``; FOLDER may have the archive of CIFAR-10,
or image files as ``train/airplane/0000.png``. Every training leaves its state in RUNS after every
epoch, so the script can be stopped and started again. ``--quick`` takes a tenth of the images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from benchmarks._data import CLASSIC, CLASSIC_AUGMENTATION, about, hold_out, table

from skcnn import (
    FeedForward,
    ImageClassifier,
    MiniCNN,
    StackedCNN,
    TrainingHistoryDisplay,
    VGGLite,
    confident_error_counts,
    fetch_cifar10,
)

NETWORKS = {"a": FeedForward, "b": MiniCNN, "c": StackedCNN, "d": VGGLite}
ORIGINAL = {"a": 0.4017, "b": 0.5920, "c": 0.6791, "d": 0.7062, "d augmented": 0.7055}


def scaled(images: np.ndarray) -> np.ndarray:
    """Divide pixels by 255, as the study did."""
    return images.astype(np.float32) / 255


def train(
    name: str, net: ImageClassifier, data: tuple[np.ndarray, ...], runs: Path
) -> ImageClassifier:
    """Fit a network, or go on with what an earlier run has left."""
    X, y, X_test, y_test = data
    net.set_params(
        checkpoint_dir=runs / name.replace(" ", "-"),
        random_state=0,
        verbose=1,
    )
    net.fit(X, y, X_val=X_test, y_val=y_test)
    print(
        f"{name:20} {net.model_.count_params():9,} parameters, {net.n_iter_:2} epochs: training "
        f"accuracy {net.history_['accuracy'][-1]:.4f}, validation accuracy "
        f"{net.history_['val_accuracy'][-1]:.4f}, {sum(net.history_['seconds']):5.0f} s",
        flush=True,
    )
    return net


def results(nets: dict[str, ImageClassifier]) -> str:
    """Write what was reached as a table of reStructuredText."""
    rows = [("network", "recipe", "epochs", "parameters", "training", "validation", "original")]
    for name, net in nets.items():
        recipe, _, network = name.partition(" ")
        rows.append(
            (
                f"{network[0]}, {type(net).__name__}",
                recipe + " with augmentation" * ("augmented" in network),
                f"{net.n_iter_}",
                f"{net.model_.count_params():,}",
                f"{net.history_['accuracy'][-1]:.4f}",
                f"{net.history_['val_accuracy'][-1]:.4f}",
                f"{ORIGINAL[network]:.4f}" if recipe == "classic" else "",
            )
        )
    return table(rows)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=Path, default=Path("reproduce_cifar10"))
    parser.add_argument("--only", choices=["classic", "default"])
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()

    data = hold_out(fetch_cifar10(data_home=options.folder), 0.1 if options.quick else 1)
    print(about(data[0], data[2]), flush=True)
    runs = options.runs / ("quick" if options.quick else "full")
    nets: dict[str, ImageClassifier] = {}
    if options.only != "default":
        classic = (scaled(data[0]), data[1], scaled(data[2]), data[3])
        for letter, network in NETWORKS.items():
            name = f"classic {letter}"
            net = network(epochs=options.epochs, **CLASSIC)
            nets[name] = train(name, net, classic, runs)
        net = VGGLite(epochs=2 * options.epochs, augmentation=CLASSIC_AUGMENTATION, **CLASSIC)
        nets["classic d augmented"] = train("classic d augmented", net, classic, runs)
        probability = net.predict_proba(classic[2])
        counts = confident_error_counts(data[3], probability, labels=net.classes_)
        print("confident mistakes of d with augmentation, per true class:")
        for label, count in zip(net.classes_, counts, strict=True):
            print(f"  {label:12} {count}")
    if options.only != "classic":
        for letter, network in NETWORKS.items():
            name = f"default {letter}"
            nets[name] = train(name, network(epochs=options.epochs), data, runs)

    print(results(nets))
    recipes = [recipe for recipe in ("classic", "default") if f"{recipe} a" in nets]
    figure, axes = plt.subplots(
        len(recipes), 2, figsize=(12.5, 3.8 * len(recipes)), layout="constrained", squeeze=False
    )
    for recipe, row in zip(recipes, axes, strict=True):
        histories = {name: nets[name].history_ for name in nets if name.startswith(recipe)}
        TrainingHistoryDisplay(histories).plot(axes=row)
        row[0].get_legend().remove()  # ten curves leave no room for one
        row[1].legend(
            *row[0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1, 0.5)
        )
    figure.savefig(runs / "curves.png", dpi=110)
    print(f"saved {runs / 'curves.png'}")


if __name__ == "__main__":
    main()
