"""Exact match on three-digit subtraction under the classic and the default recipes.

45,000 questions to train on, 5,000 others to answer. The classic recipe is that of the study skcnn
grew from: Adam at a constant 0.001, batches of 128, 30 epochs. The default recipe is that of
Seq2SeqRNN, for 18 and for 30 epochs, also with the decoder of the study, and with the attention
decoder and batches of 32. The last part trains one estimator on additions and subtractions
together::

    python examples/benchmarks/subtraction.py [--only classic default repeat ...] [--seeds 3]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from _data import machine

from skcnn import Seq2SeqRNN, character_accuracy_score, make_arithmetic

N_TRAIN = 45_000
CLASSIC = {
    "decoder": "repeat",
    "learning_rate": 0.001,
    "learning_rate_schedule": "constant",
    "batch_size": 128,
    "weight_decay": 0.0,
}
REPEAT = {"decoder": "repeat"}
ATTENTION = {"decoder": "attention", "batch_size": 32}


def report(name: str, X: np.ndarray, y: np.ndarray, **parameters: Any) -> None:
    """Fit one estimator and print what it reached."""
    net = Seq2SeqRNN(**parameters)
    net.fit(X[:N_TRAIN], y[:N_TRAIN], X_val=X[N_TRAIN:], y_val=y[N_TRAIN:])
    start = time.perf_counter()
    predicted = net.predict(X[N_TRAIN:])
    seconds = time.perf_counter() - start
    last = net.history_["val_exact_match"][-5:]
    print(
        f"{name:10} seed {net.random_state}, {net.n_iter_} epochs: exact match "
        f"{np.mean(predicted == y[N_TRAIN:]):.4f} ({min(last):.4f} to {max(last):.4f} in the last "
        f"five epochs), characters "
        f"{character_accuracy_score(y[N_TRAIN:], predicted):.4f}; "
        f"{net.model_.count_params()} parameters, {sum(net.history_['seconds']):.0f} s to train, "
        f"{seconds:.2f} s to answer {len(predicted)}",
        flush=True,
    )


def both(seed: int, epochs: int) -> None:
    """Train on additions and subtractions together, and score each."""
    parts = [make_arithmetic(operation=sign, random_state=seed) for sign in "+-"]
    train = [np.concatenate([part[side][:N_TRAIN] for part in parts]) for side in (0, 1)]
    net = Seq2SeqRNN(epochs=epochs, random_state=seed).fit(*train)
    scores = [net.score(X[N_TRAIN:], y[N_TRAIN:]) for X, y in parts]
    print(
        f"{'both signs':10} seed {seed}, {epochs} epochs: exact match {scores[0]:.4f} on +, "
        f"{scores[1]:.4f} on -; {sum(net.history_['seconds']):.0f} s to train",
        flush=True,
    )


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = ["classic", "default", "repeat", "attention", "both"]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(machine(), flush=True)
    X, y = make_arithmetic(random_state=0)
    if "classic" in options.only:
        for seed in range(options.seeds):
            report("classic", X, y, epochs=30, random_state=seed, **CLASSIC)
    for epochs in (18, 30):
        for seed in range(options.seeds):
            if "default" in options.only:
                report("default", X, y, epochs=epochs, random_state=seed)
            if "repeat" in options.only:
                report("repeat", X, y, epochs=epochs, random_state=seed, **REPEAT)
    if "attention" in options.only:
        for seed in range(options.seeds):
            report("attention", X, y, epochs=30, random_state=seed, **ATTENTION)
    if "both" in options.only:
        both(seed=0, epochs=30)


if __name__ == "__main__":
    main()
