"""Peers on PyTorch, each run in a process of its own, as PyTorch and TensorFlow crash in one.

The first argument names a function of `COMMANDS`, the others are passed to it as strings. Numbers
are printed on the last line, apart by spaces::

    python examples/benchmarks/_pytorch.py search
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _airbench import Airbench
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn import functional

CHANNELS_LAST: dict[str, Any] = {"memory_format": torch.channels_last}
CORES = 2


def vgg_lite() -> nn.Module:
    """Build the network."""
    modules: list[Any] = []
    channels = 3
    for filters, count in ((32, 2), (64, 2), (128, 3)):
        for _ in range(count):
            modules += [
                nn.Conv2d(channels, filters, 3, padding=1, bias=False),
                nn.BatchNorm2d(filters),
                nn.ReLU(),
            ]
            channels = filters
        modules.append(nn.MaxPool2d(2))
    modules += [nn.Flatten(), nn.Linear(2048, 100), nn.ReLU()]
    return nn.Sequential(*modules, nn.Linear(100, 10)).to(**CHANNELS_LAST)


class Tiny(nn.Module):
    """The network of the search."""

    def __init__(self, filters: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, filters, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(filters, filters, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * filters, 10),
        )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Compute the logits."""
        return self.layers(X)


def skorch(module: Any, **settings: Any) -> NeuralNetClassifier:
    """Make a classifier that trains on all samples with Adam."""
    return NeuralNetClassifier(
        module,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        **settings,
    )


def search() -> float:
    """Search over filters and rates with skorch, and return the seconds."""
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 1, 8, 8).astype(np.float32) / 16
    net = skorch(Tiny, max_epochs=5, batch_size=32)
    start = time.perf_counter()
    GridSearchCV(net, {"module__filters": [8, 16, 32], "lr": [0.001, 0.01]}, cv=3).fit(X, y)
    return time.perf_counter() - start


def read(folder: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Read images, in the memory layout that is the faster one on processors, and labels."""
    X, y = (np.load(Path(folder, f"{name}.npy")) for name in "Xy")
    return torch.from_numpy(X.transpose(0, 3, 1, 2)).contiguous(**CHANNELS_LAST), torch.from_numpy(
        y
    )


def train_skorch(folder: str, epochs: str, batch_size: str) -> float:
    """Train VGGLite with skorch; return the median seconds of the epochs after the first."""
    net = skorch(vgg_lite(), batch_size=int(batch_size), max_epochs=int(epochs)).fit(*read(folder))
    return statistics.median(net.history[1:, "dur"])


def train(folder: str, epochs: str, batch_size: str, precision: str) -> float:
    """Train VGGLite with a loop; return the median seconds of the epochs after the first."""
    (X, y), net = read(folder), vgg_lite()
    adam = torch.optim.Adam(net.parameters(), lr=0.001, fused=True)
    seconds = []
    for _ in range(int(epochs)):
        start = time.perf_counter()
        for rows in torch.randperm(len(X)).split(int(batch_size)):
            adam.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                loss = functional.cross_entropy(net((X[rows].float() - 120) / 64), y[rows])
            loss.backward()
            adam.step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def airbench(folder: str, epochs: str, batch_size: str, seed: str) -> tuple[float, ...]:
    """Train airbench94; return seconds, and the accuracy of single and averaged images."""
    (X, y), net = read(folder), Airbench(int(batch_size), seed=int(seed))
    seconds = net.fit(X, y, int(epochs))
    if not Path(folder, "test").exists():
        return (seconds,)
    X, y = read(f"{folder}/test")
    return seconds, net.score(X, y, averaged=False), net.score(X, y, averaged=True)


# Photos


class Photos(torch.utils.data.Dataset[torch.Tensor]):
    """Image files, decoded at a fraction of their size, as pixels of one size."""

    def __init__(self, folder: str, size: int) -> None:
        self.paths, self.size = sorted(Path(folder).rglob("*.jpg")), size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as image:
            image.draft("RGB", (self.size, self.size))
            pixels = image.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(pixels))


def decode(folder: str, size: str) -> float:
    """Return the files a second of a DataLoader, its two workers running."""
    photos = Photos(folder, int(size))
    loader = torch.utils.data.DataLoader(
        photos, batch_size=32, num_workers=CORES, persistent_workers=True
    )
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        for _ in loader:
            pass
        seconds.append(time.perf_counter() - start)
    return len(photos) / seconds[-1]


# Strings


class Strings(nn.Module):
    """Bidirectional LSTM as encoder, and an LSTM with attention as decoder."""

    def __init__(self, n_inputs: int, n_outputs: int, size: int) -> None:
        super().__init__()
        settings = {"batch_first": True}
        self.read = nn.Embedding(n_inputs, size, padding_idx=0)
        self.encoder = nn.LSTM(size, size, bidirectional=True, **settings)
        self.keys = nn.Linear(2 * size, size)
        self.start = nn.ModuleList(nn.Linear(2 * size, size) for _ in range(2))
        self.written = nn.Embedding(n_outputs, size, padding_idx=0)
        self.decoder = nn.LSTM(size, size, **settings)
        self.outputs = nn.Linear(2 * size, n_outputs)

    def forward(self, X: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """Compute the logits at every position of the output."""
        states, last = self.encoder(self.read(X))
        start = [
            dense(torch.cat([state[0], state[1]], -1))[None]
            for dense, state in zip(self.start, last, strict=True)
        ]
        keys = self.keys(states)
        queries, _ = self.decoder(self.written(given), tuple(start))
        weights = (queries @ keys.transpose(1, 2)).masked_fill((X == 0)[:, None], -1e9)
        found = torch.softmax(weights, -1) @ keys
        return self.outputs(torch.cat([queries, found], -1))


def strings(folder: str, epochs: str, batch_size: str, size: str) -> float:
    """Train on codes of strings; return the median milliseconds of a step after one epoch."""
    X, y = (torch.from_numpy(np.load(Path(folder, f"{name}.npy"))).long() for name in "Xy")
    net = Strings(int(X.max()) + 1, int(y.max()) + 1, int(size))
    adam = torch.optim.Adam(net.parameters(), lr=0.001, fused=True)
    milliseconds = []
    for _ in range(int(epochs)):
        batches, start = list(torch.randperm(len(X)).split(int(batch_size))), time.perf_counter()
        for rows in batches:
            adam.zero_grad(set_to_none=True)
            logits = net(X[rows], y[rows, :-1])
            functional.cross_entropy(
                logits.transpose(1, 2), y[rows, 1:], ignore_index=0
            ).backward()
            adam.step()
        milliseconds.append(1000 * (time.perf_counter() - start) / len(batches))
    return statistics.median(milliseconds[1:])


COMMANDS: dict[str, Callable[..., float | tuple[float, ...]]] = {
    "search": search,
    "skorch": train_skorch,
    "train": train,
    "airbench": airbench,
    "decode": decode,
    "strings": strings,
}


if __name__ == "__main__":
    torch.set_num_threads(CORES)
    print(*np.atleast_1d(COMMANDS[sys.argv[1]](*sys.argv[2:])))
