"""
Transfer to other data
======================

What a network has learned on one data set helps on another with few labels: as features for a
classifier of other classes, and as the start of further training.

*Needs* nothing beyond skcnn.
"""

# %%
# Two data sets
# -------------
# The first has the digits as they were scanned. The second stands for another hand and
# scanner: slanted, fainter and noisy, with no more than 60 labelled images.

# sphinx_gallery_thumbnail_number = 2
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skcnn import ImageAugmenter, ImageClassifier, PretrainedClassifier, load_digit_images

X, y = load_digit_images(return_X_y=True)
X_first, X_rest, y_first, y_rest = train_test_split(
    X, y, train_size=900, stratify=y, random_state=0
)
rng = np.random.default_rng(0)
slanted = ImageAugmenter(rotation_range=30, fill_mode="constant")
X_other = 0.6 * slanted.transform(X_rest.astype(float), random_state=0)
X_other += rng.normal(0, 1.0, X_other.shape)
X_few, X_test, y_few, y_test = train_test_split(
    X_other, y_rest, train_size=60, stratify=y_rest, random_state=0
)

figure, axes = plt.subplots(2, 8, figsize=(8, 2.2), layout="constrained")
for row, images in zip(axes, (X_first, X_few), strict=True):
    for ax, image in zip(row, images, strict=False):
        ax.imshow(image, cmap="gray")
        ax.set_axis_off()

# %%
# Fine-tune on the second data
# ----------------------------
# A fitted estimator is a backbone: :class:`~skcnn.PretrainedClassifier` replaces its last layer,
# trains the new one alone and then the whole network at a smaller rate. The classes may be
# others. The same network that starts from nothing has the 60 images alone.

ARCHITECTURE = "[CONV-16 -> RELU]*2 -> POOL -> [CONV-32 -> RELU]*2 -> POOL -> FC-50 -> RELU -> FCS"
# The network sees the images slanted either way.
shared = {
    "augmentation": ImageAugmenter(rotation_range=15, fill_mode="nearest"),
    "random_state": 0,
}
first = ImageClassifier(ARCHITECTURE, epochs=12, batch_size=32, **shared).fit(X_first, y_first)
scores = {"learned on the first only": first.score(X_test, y_test)}

net = PretrainedClassifier(first, epochs=20, batch_size=8, **shared).fit(X_few, y_few)
scores["fine-tuned on the second"] = net.score(X_test, y_test)

from_nothing = ImageClassifier(ARCHITECTURE, epochs=40, batch_size=8, **shared).fit(X_few, y_few)
scores["learned on the second only"] = from_nothing.score(X_test, y_test)
for name, score in scores.items():
    print(f"{name}: {score:.3f}")

# %%
# Features for other classes
# --------------------------
# The inputs of the last layer, which ``transform`` gives, are features for any classifier; here,
# whether a digit has a closed loop.

few_loops, test_loops = (np.isin(labels, [0, 6, 8, 9]) for labels in (y_few, y_test))
for name, features in {"fine-tuned": net, "from nothing": from_nothing}.items():
    classifier = LogisticRegression(max_iter=5000).fit(features.transform(X_few), few_loops)
    score = classifier.score(features.transform(X_test), test_loops)
    print(f"loop or none, with the features {name}: {score:.3f}")

# %%
# What it comes to
# ----------------

figure, ax = plt.subplots(figsize=(7, 2), layout="constrained")
bars = ax.barh(list(scores), list(scores.values()), color="#0072b2")
ax.bar_label(bars, fmt="%.3f", padding=3)
ax.invert_yaxis()
ax.set(xlim=(0, 1), xlabel=f"Accuracy on {len(y_test)} images of the second data")
plt.show()
