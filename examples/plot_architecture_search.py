"""
Search the architecture
=======================

An architecture is text, so it is searched like any other parameter. Each of the networks below is
built, traced and compiled once, however many folds it is fitted to.

*Needs* nothing beyond skcnn.
"""

# %%
# What is searched
# ----------------
# ``CONV-8`` is a convolution of 8 filters, ``[...]*2`` repeats, ``RES[...]`` adds its input to
# its output, ``FCS`` is the softmax over the classes. In a notebook an estimator shows its layers
# under scikit-learn's diagram.

# sphinx_gallery_thumbnail_number = 1
import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, train_test_split

from skcnn import ImageClassifier, load_digit_images

X, y = load_digit_images(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=600, stratify=y, random_state=0
)
architectures = [
    "FCS",
    "FC-50 -> RELU -> FCS",
    "CONV-8 -> RELU -> POOL -> FCS",
    "CONV-8 -> RELU -> RES[CONV-8 -> RELU -> CONV-8] -> POOL -> FCS",
]
net = ImageClassifier(epochs=8, random_state=0)
search = GridSearchCV(net, {"architecture": architectures}, cv=3)
search.fit(X_train, y_train)
search.best_estimator_

# %%
# Accuracy and size
# -----------------
# Dots are the three folds, bars their means.

results = search.cv_results_
folds = np.array([results[f"split{fold}_test_score"] for fold in range(3)]).T
figure, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
places = np.arange(len(architectures))
ax.barh(places, results["mean_test_score"], color="#56b4e9")
for place, scores in zip(places, folds, strict=True):
    ax.plot(scores, [place] * 3, "o", color="#0072b2", markersize=4)
ax.set_yticks(places, architectures)
ax.invert_yaxis()
ax.set(xlabel="Accuracy in cross-validation", xlim=(0, 1))

print(f"accuracy on {len(X_test)} other digits: {search.score(X_test, y_test):.3f}")
search.best_estimator_.summary()

# %%
# An architecture of your own
# ---------------------------
# A class with an architecture is an estimator of its own, whose ``architecture`` is no longer a
# parameter. A mistake in the text is shown with a caret under the place.


class ResidualNet(ImageClassifier):
    """A convolution and two residual blocks."""

    architecture = "CONV-8 -> RELU -> [RES[CONV-8 -> RELU -> CONV-8] -> RELU]*2 -> GAP -> FCS"


own = ResidualNet(epochs=15, random_state=0).fit(X_train, y_train)
print(f"ResidualNet: {own.score(X_test, y_test):.3f}")

try:
    ImageClassifier("CONV-8 -> RELU -> CONV -> FCS").fit(X_train, y_train)
except ValueError as error:
    print(error)

# %%
# Next steps
# ----------
# :doc:`plot_augmentation_search` searches what happens to the images,
# :doc:`plot_mistakes` looks at what a network gets wrong.
