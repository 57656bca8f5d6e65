"""Half an hour of fits, predictions, files, copies and searches in one process.

Draws what to do next at random, checks what comes back, and prints the resident memory every
minute. Ends with an error where anything fails, or where the memory at the end is more than 100 MB
above what it was after the first sixth of the time::

    python examples/benchmarks/soak.py [--minutes 30] [--random-state 0]
"""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from _data import machine
from sklearn.model_selection import GridSearchCV, cross_val_score

import skcnn

MAX_GROWTH = 100e6
# A few sizes, as searches and services have, because oneDNN keeps what it has prepared for each
# shape of a batch, up to a thousand.
N_ROWS = [250, 300, 420, 600]
ARCHITECTURES = [
    "FCS",
    "CONV-4 -> RELU -> FCS",
    "[CONV-4 -> RELU]*2 -> POOL -> FC-10 -> RELU -> DROPOUT-0.2 -> FCS",
    "CONV-4 -> RES[CONV-4 -> GELU] -> GAP -> FCS",
]
IMAGES = skcnn.load_digit_images(return_X_y=True)
QUESTIONS = skcnn.make_arithmetic(2000, n_digits=2, random_state=0)


def resident() -> int:
    """Read the resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Soak:
    """The things to do; each takes a generator of random numbers and checks what it gets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def data(self, rng: np.random.Generator, net: skcnn.ImageClassifier) -> tuple:
        """Draw some rows of the data that an estimator takes."""
        X, y = IMAGES if isinstance(net, skcnn.ImageClassifier) else QUESTIONS
        rows = rng.choice(len(X), rng.choice(N_ROWS), replace=False)
        return X[rows], y[rows]

    def draw(self, rng: np.random.Generator) -> skcnn.ImageClassifier | skcnn.Seq2SeqRNN:
        """Draw an estimator."""
        training = {
            "epochs": int(rng.integers(1, 4)),
            "batch_size": int(rng.choice([16, 50, 128])),
            "learning_rate": float(rng.uniform(0.001, 0.02)),
            "early_stopping": bool(rng.random() < 0.3),
            "validation_fraction": 0.2,
            "random_state": int(rng.integers(1000)),
        }
        if rng.random() < 0.3:
            return skcnn.Seq2SeqRNN(
                cell=str(rng.choice(["lstm", "gru"])), hidden_size=8, **training
            )
        augmentation = skcnn.ImageAugmenter(
            width_shift_range=0.1, cutout=0.2, mixup=float(rng.choice([0, 0.2]))
        )
        return skcnn.ImageClassifier(
            str(rng.choice(ARCHITECTURES)),
            augmentation=augmentation if rng.random() < 0.5 else None,
            **training,
        )

    def fit_and_predict(self, rng: np.random.Generator) -> None:
        """Fit twice, which must give the same, and predict from threads."""
        net = self.draw(rng)
        X, y = self.data(rng, net)
        first = net.fit(X, y).predict_proba(X)
        assert np.array_equal(net.fit(X, y).predict_proba(X), first)
        with ThreadPoolExecutor(4) as threads:
            for again in threads.map(net.predict_proba, [X] * 4):
                assert np.array_equal(again, first)
        net.partial_fit(X, y)

    def save_and_load(self, rng: np.random.Generator) -> None:
        """Send an estimator through a file and a pickle."""
        net = self.draw(rng)
        X, y = self.data(rng, net)
        expected = net.fit(X, y).predict_proba(X)
        net.save(self.folder / "net.skcnn")
        for again in (skcnn.load(self.folder / "net.skcnn"), pickle.loads(pickle.dumps(net))):
            assert np.array_equal(again.predict_proba(X), expected)

    def go_on(self, rng: np.random.Generator) -> None:
        """Fit with a checkpoint, and load what it came to."""
        self.count += 1
        net = self.draw(rng).set_params(checkpoint_dir=self.folder / str(self.count))
        X, y = self.data(rng, net)
        expected = net.fit(X, y).predict_proba(X)
        assert np.array_equal(net.fit(X, y).predict_proba(X), expected)

    def search(self, rng: np.random.Generator) -> None:
        """Search over architecture and learning rate, and cross-validate."""
        net = skcnn.ImageClassifier(epochs=1, random_state=0)
        X, y = self.data(rng, net)
        grid = {"architecture": ARCHITECTURES[:2], "learning_rate": [0.001, 0.01]}
        GridSearchCV(net, grid, cv=2, error_score="raise").fit(X, y).predict(X)
        net = self.draw(rng)
        assert np.isfinite(cross_val_score(net, *self.data(rng, net), cv=2)).all()


def main() -> None:
    """Soak."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--random-state", type=int, default=0)
    options = parser.parse_args()
    print(machine(), flush=True)
    rng = np.random.default_rng(options.random_state)
    start, done, measured = time.monotonic(), Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder))
        tasks = [soak.fit_and_predict, soak.save_and_load, soak.go_on, soak.search]
        while (minutes := (time.monotonic() - start) / 60) < options.minutes:
            task = tasks[int(rng.integers(len(tasks)))]
            task(rng)
            done[task.__name__] += 1
            if len(measured) <= minutes:
                measured.append(resident())
                print(
                    f"minute {minutes:5.1f}: {measured[-1] / 1e6:.0f} MB, {dict(done)}", flush=True
                )
    growth = resident() - measured[len(measured) // 6]
    print(f"{sum(done.values())} tasks without an error")
    print(f"{growth / 1e6:+.0f} MB since the first sixth of the time")
    if growth > MAX_GROWTH:
        sys.exit(f"the memory has grown by more than {MAX_GROWTH / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
