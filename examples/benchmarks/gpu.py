"""A fit of VGGLite and of SpeedNet on a GPU, beside the same fit on the processor.

Says so where TensorFlow has no GPU. The images are random, as only the time counts::

    python examples/benchmarks/gpu.py [--images 5000] [--epochs 3]
"""

from __future__ import annotations

import argparse

import numpy as np
from _data import machine, table

from skcnn import ImageClassifier, SpeedNet, VGGLite

import tensorflow as tf  # after skcnn, which keeps it quiet  # isort: skip


def rate(net: ImageClassifier, X: np.ndarray, y: np.ndarray, device: str) -> float:
    """Return the images a second of the epochs after the first, which also compiles."""
    with tf.device(device):
        net.fit(X, y)
    return len(X) / float(np.median(net.history_["seconds"][1:]))


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    print(machine())
    if not tf.config.list_physical_devices("GPU"):
        print("TensorFlow has no GPU here: there is nothing to measure.")
        return
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (options.images, 32, 32, 3), dtype=np.uint8)
    y = rng.integers(0, 10, options.images)
    rows = [("network", "GPU, images/s", "processor, images/s")]
    for kind in (VGGLite, SpeedNet):
        net = kind(epochs=options.epochs, batch_size=128, random_state=0)
        rates = [rate(net, X, y, device) for device in ("GPU:0", "CPU:0")]
        rows.append((kind.__name__, *(f"{each:.0f}" for each in rates)))
    print(table(rows))


if __name__ == "__main__":
    main()
