"""VGGLite under skorch, in a process of its own, as PyTorch and TensorFlow crash in one.

Reads images, labels and epochs and prints the median seconds of the epochs after the first::

    python examples/benchmarks/_skorch.py X.npy Y.npy EPOCHS BATCH_SIZE
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetClassifier


def vgg_lite() -> torch.nn.Module:
    """Build the network."""
    modules: list[Any] = []
    channels = 3
    for filters, count in ((32, 2), (64, 2), (128, 3)):
        for _ in range(count):
            modules += [
                torch.nn.Conv2d(channels, filters, 3, padding=1, bias=False),
                torch.nn.BatchNorm2d(filters),
                torch.nn.ReLU(),
            ]
            channels = filters
        modules.append(torch.nn.MaxPool2d(2))
    modules += [torch.nn.Flatten(), torch.nn.Linear(2048, 100), torch.nn.ReLU()]
    return torch.nn.Sequential(*modules, torch.nn.Linear(100, 10))


def main(X: str, y: str, epochs: str, batch_size: str) -> None:
    """Train, in the memory layout that is the faster one on processors."""
    layout = {"memory_format": torch.channels_last}
    images = torch.from_numpy(np.load(X).transpose(0, 3, 1, 2)).contiguous(**layout)
    net = NeuralNetClassifier(
        vgg_lite().to(**layout),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        batch_size=int(batch_size),
        max_epochs=int(epochs),
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    ).fit(images, torch.from_numpy(np.load(y)))
    print(statistics.median(net.history[1:, "dur"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
