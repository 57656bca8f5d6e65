"""Recall and precision of a rare class: class weights and thresholds, on few digits."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import precision_score, recall_score
from sklearn.model_selection import train_test_split

from skcnn import MiniCNN, load_digit_images

X, y = load_digit_images(return_X_y=True)
rows = np.isin(y, [1, 8])
X, y = X[rows], y[rows] == 8  # the digit 8 among ones
rare, common = np.flatnonzero(y), np.flatnonzero(~y)
noise = np.random.default_rng(0)
X = X + noise.normal(0, 6, X.shape)

results = {"no weights": [], 'class_weight="balanced"': [], "no weights, threshold 0.2": []}
for seed in range(5):
    train, test = train_test_split(np.arange(len(y)), stratify=y, test_size=0.5, random_state=seed)
    few = np.concatenate([train[~y[train]], train[y[train]][:8]])  # 8 of the rare class
    for name, weight in (("no weights", None), ('class_weight="balanced"', "balanced")):
        net = MiniCNN(class_weight=weight, random_state=seed).fit(X[few], y[few])
        probability = net.predict_proba(X[test])[:, 1]
        for label, threshold in ((name, 0.5), (f"{name}, threshold 0.2", 0.2)):
            if label in results:
                guessed = probability > threshold
                results[label].append(
                    (
                        recall_score(y[test], guessed),
                        precision_score(y[test], guessed, zero_division=0),
                    )
                )
figure, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
places = np.arange(len(results))
for shift, (column, (metric, colour)) in enumerate(
    {0: ("recall", "#1f5f99"), 1: ("precision", "#f59c33")}.items()
):
    values = np.array([[each[column] for each in runs] for runs in results.values()])
    ax.barh(places + 0.36 * shift - 0.18, values.mean(axis=1), 0.34, color=colour, label=metric)
    for place, seeds in zip(places, values, strict=True):
        ax.plot(seeds, np.full(len(seeds), place + 0.36 * shift - 0.18), "k.", markersize=4)
ax.set_yticks(places, results)
ax.invert_yaxis()
ax.set(xlim=(0, 1.02), xlabel="Rare class; bars are means of five seeds (dots)")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
