"""
Learn to subtract from examples
===============================

A recurrent network reads "123-456" one character at a time and writes "-333", having seen nothing
but questions and answers. Here it learns differences of numbers up to 99 from a part of all
questions that there are, and answers others.

*Needs* ``pandas``.
"""

# %%
# Questions and answers
# ---------------------

# sphinx_gallery_thumbnail_number = 1
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, ShuffleSplit, train_test_split

from skcnn import Seq2SeqRNN, character_accuracy_score, make_arithmetic

X, y = make_arithmetic(8000, n_digits=2, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=1000, random_state=0)
print(pd.DataFrame({"question": X_train[:5], "answer": y_train[:5]}).to_string(index=False))

# %%
# Train
# -----
# Ten test questions are printed after every epoch with ``show_samples=10``; here three.

net = Seq2SeqRNN(epochs=12, show_samples=3, random_state=0)
net.fit(X_train, y_train, X_val=X_test, y_val=y_test)

# %%
# Characters flatter
# ------------------
# The share of right characters says little about the share of right answers: a difference with
# one wrong digit is wrong. ``score`` is the exact match.

predicted = net.predict(X_test)
print(f"characters {character_accuracy_score(y_test, predicted):.3f}")
print(f"exact match {net.score(X_test, y_test):.3f}")

figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
epochs = np.arange(1, net.n_iter_ + 1)
ax.plot(epochs, net.history_["val_accuracy"], "--", color="#0072b2", label="characters")
ax.plot(epochs, net.history_["val_exact_match"], color="#d55e00", label="exact match")
ax.set(xlabel="Epoch", ylabel="Share of the test questions", ylim=(0, 1.02))
ax.grid(alpha=0.3)
ax.legend(loc="lower right")
plt.show()

# %%
# Which questions are wrong
# -------------------------
# A borrow is needed where a digit of the second number is larger than the one above it.

table = pd.DataFrame({"question": X_test, "expected": y_test, "guessed": predicted})
left, right = (table["question"].str.split("-").str[side].astype(int) for side in (0, 1))
larger, smaller = np.maximum(left, right), np.minimum(left, right)
table["wrong"] = table["expected"] != table["guessed"]
table["borrow"] = np.where(larger % 10 < smaller % 10, "borrow", "no borrow")
table["sign"] = np.where(left < right, "negative", "positive or 0")
table["digits"] = left.astype(str).str.len() + right.astype(str).str.len()

wrong = table[table["wrong"]]
print(f"{len(wrong)} of {len(table)} are wrong")
print(wrong[["question", "expected", "guessed"]].head(10).to_string(index=False))

kinds = ["borrow", "sign", "digits"]
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), sharey=True, layout="constrained")
for ax, kind in zip(axes, kinds, strict=True):
    share = table.groupby(kind)["wrong"].mean()
    ax.bar(share.index.astype(str), share, color="#56b4e9")
    ax.set_title(kind if kind != "digits" else "digits in the question")
axes[0].set_ylabel("Share of wrong answers")
plt.show()

# %%
# Search cell and size
# --------------------
# A short search with one split, which scores characters: ``scoring=`` takes any metric of strings.

search = GridSearchCV(
    Seq2SeqRNN(epochs=4, random_state=0),
    {"cell": ["lstm", "gru"], "hidden_size": [32, 128]},
    scoring=make_scorer(character_accuracy_score),
    cv=ShuffleSplit(1, test_size=0.2, random_state=0),
    refit=False,
).fit(X_train, y_train)
results = pd.DataFrame(search.cv_results_)
columns = ["param_cell", "param_hidden_size", "mean_test_score", "mean_fit_time"]
print(results[columns].round(3).to_string(index=False))

# %%
# Next steps
# ----------
# * ``decoder="attention"`` lets the network look back at the question while it writes.
# * Three digits take 45,000 questions: ``examples/benchmarks/subtraction.py``.
