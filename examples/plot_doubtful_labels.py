"""
Labels that are probably wrong
==============================

A few labels of every collection are wrong. Confident learning [1]_ ranks them, from the
probabilities of a classifier that has not seen the sample: a sample is doubtful where another
class is more probable than it usually is for the samples of that class. The package ``cleanlab``
does it.

.. [1] C. G. Northcutt, L. Jiang and I. L. Chuang, "Confident Learning: Estimating Uncertainty in
   Dataset Labels", Journal of Artificial Intelligence Research 70, 2021.

*Needs* ``cleanlab``.
"""

# %%
# Images, some with a wrong label
# -------------------------------
# The digits of scikit-learn, of which three in a hundred get another label.

# sphinx_gallery_thumbnail_number = 1
import matplotlib.pyplot as plt
import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcnn import ImageFeatures, MiniCNN, load_digit_images

X, y_true = load_digit_images(return_X_y=True)
rng = np.random.default_rng(0)
X, y_true = X[:1000], y_true[:1000]
y = y_true.copy()
wrong = rng.choice(len(y), 30, replace=False)
y[wrong] = (y[wrong] + rng.integers(1, 10, 30)) % 10

# %%
# Probabilities of samples that were not seen
# -------------------------------------------
# Features make the cross-validation fast; they are of a network that has learned other digits. For
# photos, ``ImageFeatures("MobileNetV2")`` has learned from those of ImageNet.

Z, labels = load_digit_images(return_X_y=True)
network = MiniCNN(epochs=15, random_state=0).fit(Z[1000:], labels[1000:])
features = ImageFeatures(network).fit_transform(X)
classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
probability = cross_val_predict(classifier, features, y, cv=5, method="predict_proba")

# %%
# Doubtful labels
# ---------------
# How many of the labels that we made wrong are found, and how many others are doubted?

doubtful = find_label_issues(y, probability, return_indices_ranked_by="self_confidence")
found = np.isin(doubtful, wrong)
print(f"{len(doubtful)} labels are doubted, {found.sum()} of the 30 wrong ones among them")
quality = get_label_quality_scores(y, probability)
print(f"quality of the wrong labels: {quality[wrong].mean():.2f}, of all: {quality.mean():.2f}")

figure, axes = plt.subplots(3, 8, figsize=(9, 4.4), layout="constrained")
for ax, row in zip(axes.ravel(), doubtful, strict=False):
    ax.imshow(X[row], cmap="gray")
    ax.set_title(f"{y[row]}, or {probability[row].argmax()}?", fontsize=9)
for ax in axes.ravel():
    ax.set_axis_off()
figure.suptitle("the label, and the most probable class")
plt.show()

# %%
# Next steps
# ----------
# Look at the pictures and correct the labels by hand, best of all with the photos in front of you;
# the rarest classes have the most doubtful ones. Without the doubtful samples a classifier may be
# trained by ``sample_weight``.
