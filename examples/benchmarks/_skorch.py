"""Networks under skorch, in a process of its own, as PyTorch and TensorFlow crash in one.

"train" reads images and labels, trains VGGLite and prints the median seconds of the epochs after
the first; "search" prints the seconds of the search of `against_peers.py`::

    python examples/benchmarks/_skorch.py train X.npy Y.npy EPOCHS BATCH_SIZE
    python examples/benchmarks/_skorch.py search
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
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


class Tiny(torch.nn.Module):
    """The network of the search."""

    def __init__(self, filters: int = 8) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, filters, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(filters, filters, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(16 * filters, 10),
        )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Compute the logits."""
        return self.layers(X)


def search() -> None:
    """Search over filters and rates."""
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 1, 8, 8).astype(np.float32) / 16
    net = NeuralNetClassifier(
        Tiny,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        max_epochs=5,
        batch_size=32,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    start = time.perf_counter()
    GridSearchCV(net, {"module__filters": [8, 16, 32], "lr": [0.001, 0.01]}, cv=3).fit(X, y)
    print(time.perf_counter() - start)


def train(X: str, y: str, epochs: str, batch_size: str) -> None:
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
    {"train": train, "search": search}[sys.argv[1]](*sys.argv[2:])
