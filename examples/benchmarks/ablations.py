"""What each part of the default recipe is worth to VGGLite, and what others would add.

Trains on a share of the images, with flips and shifts, for a few epochs: once as it is by default,
and once for each change of it. Reads a folder with one sub-folder of image files per class, holds
out the last tenth of every class, and writes a table of the mean accuracy over the seeds and of
the processor time of a fit, which other processes hardly change::

    python examples/benchmarks/ablations.py FOLDER [--only "Adam"] [--seeds 2]

``--only`` may be given several times. What was measured stays in RESULTS, so the script can be
stopped and started again, and variants added; another ``--network`` needs another ``--results``.
Progressive resizing is not among the variants: either network takes images of one size.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from _data import FLIPS_AND_SHIFTS, about, load_split, table
from sklearn.base import clone

from skcnn import ImageClassifier, SpeedNet, VGGLite

SHIFTS = clone(FLIPS_AND_SHIFTS).set_params(horizontal_flip=False)


class AlternatingRows:
    """Images of which half are mirrored, the other half each time that they are read again [1]_.

    .. [1] K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, section 3.6.
    """

    def __init__(self, images: np.ndarray) -> None:
        self.images = images
        self.shape, self.dtype = images.shape, images.dtype
        self.mirrored = np.random.default_rng(0).random(len(images)) < 0.5

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Any) -> np.ndarray:
        images, mirrored = self.images[rows].copy(), self.mirrored[rows]
        images[mirrored] = images[mirrored, :, ::-1]
        self.mirrored[rows] = ~mirrored
        return images


class AlternatingFlip(ImageClassifier):
    """Sees every image once each way in two epochs."""

    def _make_batches(self, X: Any, y: Any, weight: Any, **options: Any) -> Any:
        images = AlternatingRows(X) if "augmentation" in options else X
        return super()._make_batches(images, y, weight, **options)


class PlainNormalization(ImageClassifier):
    """Has the batch normalization of Keras, of some ten operations."""

    _training_layers: ClassVar[dict[str, Any]] = {}


class Whitened(ImageClassifier):
    """Has first filters that start from the principal components of the patches."""

    def _initialize(self, model: Any, X: Any, y: Any, weight: Any, rows: Any) -> None:
        super()._initialize(model, X, y, weight, rows)
        kernel = model.get_layer("conv_1").kernel
        kernel.assign(whitening(X[rows[:1000]], kernel.shape))


def whitening(images: np.ndarray, shape: tuple[int, int, int, int]) -> np.ndarray:
    """Compute filters, each with its negative, whose responses to the images are white."""
    scaled = (images - images.mean(axis=(0, 1, 2))) / images.std(axis=(0, 1, 2))
    windows = np.lib.stride_tricks.sliding_window_view(scaled, shape[:2], axis=(1, 2))
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, np.prod(shape[:3]))
    variances, directions = np.linalg.eigh(np.cov(patches, rowvar=False))
    filters = (directions / np.sqrt(variances + 5e-4))[:, ::-1][:, : shape[3] // 2]
    return np.hstack([filters, -filters]).reshape(shape)


NETWORKS: dict[str, Any] = {"VGGLite": VGGLite, "SpeedNet": SpeedNet}
KINDS = {
    "alternating flip": AlternatingFlip,
    "whitening first layer": Whitened,
    "batch normalization of Keras": PlainNormalization,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "Adam": {"optimizer": "adam"},
    "Adam at 0.003": {"optimizer": "adam", "learning_rate": 0.003},
    "AdamW, weight decay 0.05": {"optimizer": "adamw", "weight_decay": 0.05},
    "Muon for dense layers, too": {"optimizer__exclude_layers": ["probability"]},
    "Adam part at 0.3 times the rate": {"optimizer__adam_lr_ratio": 0.3},
    "Muon with a momentum of 0.85": {"optimizer__momentum": 0.85},
    "Muon of three iterations": {"optimizer__ns_steps": 3},
    "label smoothing 0.1": {"label_smoothing": 0.1},
    "label smoothing 0.2": {"label_smoothing": 0.2},
    "no label smoothing": {"label_smoothing": 0.0},
    "no weight decay": {"weight_decay": 0.0},
    "weight decay 0.3": {"weight_decay": 0.3},
    "alternating flip": {"augmentation": SHIFTS},
    "whitening first layer": {},
    "float32": {"precision": "float32"},
    "twice the learning rate": {"learning_rate": 0.02},
    "half the learning rate": {"learning_rate": 0.005},
    "constant learning rate": {"learning_rate_schedule": "constant"},
    "cosine": {"learning_rate_schedule": "cosine"},
    "batches of 64": {"batch_size": 64},
    "batches of 256": {"batch_size": 256},
    "batch normalization of Keras": {},
    "no batch normalization": {"batch_norm": False},
    "no augmentation": {"augmentation": None},
}


def measure(net: ImageClassifier, data: tuple[np.ndarray, ...]) -> dict[str, float]:
    """Fit and score, also on the means of flips and of flips and shifts."""
    X, y, X_test, y_test = data
    start = time.process_time()
    net.fit(X, y)
    seconds = time.process_time() - start
    return {
        "accuracy": net.score(X_test, y_test),
        "flips": net.set_params(flip_averaging=True).score(X_test, y_test),
        "both": net.set_params(shift_averaging=True).score(X_test, y_test),
        "seconds": seconds,
    }


def rows_of(results: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Write a row for each variant, and two for averaging."""
    by_name = defaultdict(list)
    for result in results:
        by_name[result["variant"]].append(result)
    rows = [("recipe", "accuracy", "change", "seeds", "processor seconds")]
    base = {result["seed"]: result["accuracy"] for result in by_name["default"]}

    def add(name: str, measured: list[dict[str, Any]], key: str) -> None:
        changes = [100 * (m[key] - base[m["seed"]]) for m in measured if m["seed"] in base]
        rows.append(
            (
                name,
                f"{np.mean([m[key] for m in measured]):.4f}",
                f"{np.mean(changes):+.1f}" if changes else "",
                str(len(measured)),
                f"{np.median([m['seconds'] for m in measured]):.0f}",
            )
        )

    for name in VARIANTS:
        if name in by_name:
            add(name, by_name[name], "accuracy")
    if base:
        add("flip averaging", by_name["default"], "flips")
        add("flip and shift averaging", by_name["default"], "both")
    return rows


def main() -> None:
    """Fit what is asked for and has not been, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--network", choices=list(NETWORKS), default="VGGLite")
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", action="append", choices=list(VARIANTS))
    parser.add_argument("--results", type=Path, default=Path("ablations.json"))
    options = parser.parse_args()

    preset = NETWORKS[options.network](epochs=options.epochs, augmentation=FLIPS_AND_SHIFTS)
    X, y, *held_out = load_split(options.folder)
    some = np.random.default_rng(0).permutation(len(X))[: round(options.share * len(X))]
    data = X[some], y[some], *held_out
    print(about(data[0], data[2]), flush=True)
    results = json.loads(options.results.read_text()) if options.results.exists() else []
    done = {(result["variant"], result["seed"]) for result in results}
    for seed in range(options.seeds):
        for name in options.only or VARIANTS:
            if (name, seed) in done:
                continue
            settings = preset.get_params(deep=False) | {"random_state": seed} | VARIANTS[name]
            net = KINDS.get(name, ImageClassifier)(preset.architecture, **settings)
            results.append({"variant": name, "seed": seed, **measure(net, data)})
            options.results.write_text(json.dumps(results, indent=1))
            print(results[-1], flush=True)
    print(f"\n{options.epochs} epochs\n\n{table(rows_of(results))}")


if __name__ == "__main__":
    main()
