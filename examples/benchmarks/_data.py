"""What the benchmarks share: the images and the line about the machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np

import skcnn

import keras  # after skcnn, which keeps TensorFlow quiet  # isort: skip
import tensorflow as tf  # isort: skip


def load_split(folder: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Read the images of every class, the last tenth of each held out."""
    images = skcnn.load_image_folder(folder, as_array=True)
    labels = np.array(images.target_names)[images.target]
    counts = np.bincount(images.target)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    train = rank < counts[images.target] - counts[images.target] // 10
    return images.data[train], labels[train], images.data[~train], labels[~train]


def about(X: np.ndarray, X_test: np.ndarray) -> str:
    """Describe data, machine and versions."""
    return f"{len(X)} training and {len(X_test)} held-out images of {X.shape[1:]}; {machine()}"


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
