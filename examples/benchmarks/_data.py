"""What the benchmarks share: the images, the classic recipe and the line about the machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

import skcnn

import keras  # after skcnn, which keeps TensorFlow quiet  # isort: skip
import tensorflow as tf  # isort: skip


# The recipe and the augmentation of the study that skcnn grew from.
CLASSIC = {
    "label_smoothing": 0.0,
    "batch_norm": False,
    "standardize": False,
    "optimizer": "adadelta",
    "learning_rate_schedule": "constant",
    "batch_size": 300,
}
CLASSIC_AUGMENTATION = skcnn.ImageAugmenter(
    width_shift_range=0.1, height_shift_range=0.1, vertical_flip=True, fill_mode="nearest"
)
FLIPS_AND_SHIFTS = skcnn.ImageAugmenter(
    width_shift_range=0.125, height_shift_range=0.125, horizontal_flip=True
)
GOOD_AUGMENTATION = clone(FLIPS_AND_SHIFTS).set_params(cutout=0.25)


def hold_out(images: Any, share: float = 1) -> tuple[np.ndarray, ...]:
    """Hold out the last tenth of every class; take the first share of either part."""
    labels = images.target
    if labels.dtype.kind == "i":
        labels = np.array(images.target_names)[labels]
    train, held_out = [], []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        first = len(rows) - len(rows) // 10
        train.append(rows[: round(share * first)])
        held_out.append(rows[first : first + round(share * (len(rows) - first))])
    train, held_out = np.concatenate(train), np.concatenate(held_out)
    return images.data[train], labels[train], images.data[held_out], labels[held_out]


def load_split(folder: str | Path) -> tuple[np.ndarray, ...]:
    """Read the images of every class, the last tenth of each held out."""
    return hold_out(skcnn.load_image_folder(folder, as_array=True))


def about(X: np.ndarray, X_test: np.ndarray) -> str:
    """Describe data, machine and versions."""
    return f"{len(X)} training and {len(X_test)} held-out images of {X.shape[1:]}; {machine()}"


def table(rows: list[tuple[str, ...]]) -> str:
    """Write rows, the first of them the heads, as a table of reStructuredText."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    line = " ".join("=" * width for width in widths)
    head, *body = (" ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join([line, head, line, *body, line])


def machine() -> str:
    """Describe machine and versions."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (
        f"{os.cpu_count()} cores of {models[0] if models else platform.machine()}, "
        f"{len(tf.config.list_physical_devices('GPU'))} GPUs; TensorFlow {tf.__version__}, Keras "
        f"{keras.__version__}, skcnn {skcnn.__version__}"
    )
