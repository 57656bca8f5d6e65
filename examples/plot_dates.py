"""
Dates as people write them
==========================

"3 mars 1987", "March 3, 1987" and "1987年3月3日" are one day. Instead of a rule for each
language, a network learns to write 1987-03-03 from examples of twelve, which the package ``babel``
generates.

*Needs* ``babel`` and ``pandas``.
"""

# %%
# Examples
# --------

# sphinx_gallery_thumbnail_number = 1
import datetime

import numpy as np
import pandas as pd
from babel.dates import format_date
from sklearn.model_selection import train_test_split

from skcnn import AttentionDisplay, Seq2SeqRNN

LOCALES = ["en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT"]
LOCALES += ["pt_BR", "nl_NL", "sv_SE", "pl_PL", "ru_RU", "ja_JP"]

rng = np.random.default_rng(0)
days = [
    datetime.date(1950, 1, 1) + datetime.timedelta(int(n)) for n in rng.integers(36500, size=4000)
]
X = [
    format_date(day, rng.choice(["medium", "long", "full"]), locale=rng.choice(LOCALES))
    for day in days
]
y = [day.isoformat() for day in days]
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=500, random_state=0)
print(pd.DataFrame({"written": X_train[:5], "date": y_train[:5]}).to_string(index=False))

# %%
# Train
# -----
# Characters that only the test has would be an error; ``handle_unknown="ignore"`` reads them as
# one that is not known. ``normalize="NFC"`` makes the two ways to write "é" one.

net = Seq2SeqRNN(hidden_size=64, handle_unknown="ignore", normalize="NFC", random_state=0).fit(
    X_train, y_train
)
print(f"exact match {net.score(X_test, y_test):.3f}")

# %%
# How sure it is
# --------------
# The probability of the whole string tells which answers a person should look at.

predicted, confidence = net.predict(X_test), net.predict_confidence(X_test)
table = pd.DataFrame({"written": X_test, "predicted": predicted, "confidence": confidence})
table["right"] = predicted == np.array(y_test)
print(table.sort_values("confidence").head(8).to_string(index=False))

# %%
# A date in a way to write it that no example had:

print(net.predict(["Donnerstag, 4. Juli 1996", "4 juillet 1996", "1996年7月4日"]))

# %%
# What it reads
# -------------
# Each row is a character that is written, and its blue the characters that are attended to.

AttentionDisplay.from_estimator(net, "4 juillet 1996")

# %%
# Next steps
# ----------
# :doc:`/guide/sequences` says which decoder suits which strings.
