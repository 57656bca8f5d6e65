"""Numbers and several labels an image, beside scikit-learn's MLP on the same rows.

Angles: digits of 16x16 pixels, rotated by angles between -45 and 45 degrees, and the mean absolute
error in degrees. Tags: pictures of two different digits side by side, tagged with both, and the
share of pictures whose tags are all right. No test picture is made of a digit that was trained on.
Medians over the seeds, one run::

    python examples/benchmarks/targets.py [--seeds 3] [--epochs 20]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _data import machine, table
from scipy.ndimage import rotate, zoom
from sklearn.metrics import accuracy_score, mean_absolute_error
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skcnn

ARCHITECTURE = (
    "[CONV-32 -> RELU]*2 -> POOL -> [CONV-64 -> RELU]*2 -> POOL -> FC-128 -> RELU -> FCS"
)
HIDDEN = (256,)
COPIES = 4
N_PAIRS = {"train": 4_000, "test": 1_000}


def rotated(images: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Enlarge and rotate each image several times; return pictures and angles in degrees."""
    angles = random.uniform(-45, 45, COPIES * len(images))
    large = [zoom(image, 2, order=1) for image in images]
    pictures = [
        rotate(large[index % len(images)], angle, reshape=False, order=1)
        for index, angle in enumerate(angles)
    ]
    return np.stack(pictures), angles


def pairs(
    images: np.ndarray, digits: np.ndarray, n_pairs: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Put two images of different digits side by side; return pictures and indicators."""
    drawn = random.integers(len(images), size=(4 * n_pairs, 2))
    drawn = drawn[digits[drawn[:, 0]] != digits[drawn[:, 1]]][:n_pairs]
    tags = np.zeros((n_pairs, 10), dtype=int)
    np.put_along_axis(tags, digits[drawn], 1, axis=1)
    return np.concatenate([images[drawn[:, 0]], images[drawn[:, 1]]], axis=2), tags


def rows(images: np.ndarray) -> np.ndarray:
    """Flatten the images for scikit-learn."""
    return images.reshape(len(images), -1)


def timed(
    net: Any, data: list[np.ndarray], score: Callable[[Any, Any], float]
) -> tuple[float, float]:
    """Fit and score; return the score on the test rows and the seconds of the fit."""
    X, y, X_test, y_test = data
    start = time.perf_counter()
    net.fit(X, y)
    return score(y_test, net.predict(X_test)), time.perf_counter() - start


def compare(seed: int, epochs: int) -> dict[tuple[str, str], tuple[float, float]]:
    """Run both tasks with one seed."""
    images, digits = skcnn.load_digit_images(return_X_y=True)
    split = train_test_split(images, digits, test_size=0.25, stratify=digits, random_state=seed)
    train, test, train_digits, test_digits = split
    random = np.random.default_rng(seed)
    angles = [*rotated(train, random), *rotated(test, random)]
    tags = [
        *pairs(train, train_digits, N_PAIRS["train"], random),
        *pairs(test, test_digits, N_PAIRS["test"], random),
    ]
    settings = {"epochs": epochs, "random_state": seed}
    flat = {
        name: [rows(X), y, rows(Z), z]
        for name, (X, y, Z, z) in {"angles": angles, "tags": tags}.items()
    }
    of_numbers = MLPRegressor(hidden_layer_sizes=HIDDEN, max_iter=300, random_state=seed)
    of_labels = MLPClassifier(hidden_layer_sizes=HIDDEN, max_iter=300, random_state=seed)
    one_a_tag = OneVsRestClassifier(of_labels)
    return {
        ("angle, mean absolute error in degrees", "ImageRegressor"): timed(
            skcnn.ImageRegressor(ARCHITECTURE, **settings), angles, mean_absolute_error
        ),
        ("angle, mean absolute error in degrees", "MLPRegressor"): timed(
            make_pipeline(StandardScaler(), of_numbers), flat["angles"], mean_absolute_error
        ),
        ("two tags, subset accuracy", "ImageClassifier"): timed(
            skcnn.ImageClassifier(ARCHITECTURE, **settings), tags, accuracy_score
        ),
        ("two tags, subset accuracy", "OneVsRest(MLPClassifier)"): timed(
            make_pipeline(StandardScaler(), one_a_tag), flat["tags"], accuracy_score
        ),
    }


def main() -> None:
    """Print the table of medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    print(machine(), flush=True)
    runs = [compare(seed, arguments.epochs) for seed in range(arguments.seeds)]
    lines = [("task", "estimator", "median", "each seed", "seconds of a fit")]
    for task, estimator in runs[0]:
        scores, seconds = zip(*(run[task, estimator] for run in runs), strict=True)
        each = ", ".join(f"{score:.3f}" for score in scores)
        lines.append(
            (task, estimator, f"{np.median(scores):.3f}", each, f"{np.median(seconds):.0f}")
        )
    print(table(lines))


if __name__ == "__main__":
    main()
