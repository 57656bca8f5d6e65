"""
Search the augmentation
=======================

Whether flipping or shifting training images helps depends on what they show. Augmentation is a
parameter of the network like any other, so a grid search can find out; it happens in the training
folds only, and the scores are those of images as they are.

Here the images are handwritten digits: a shifted digit is still the same digit, a mirrored one
often is none.

*Needs* nothing beyond skcnn.
"""

# %%
# What the augmentation does
# --------------------------
# :class:`~skcnn.AugmentationDisplay` shows images beside variants of them.

# sphinx_gallery_thumbnail_number = 2
import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split

from skcnn import AugmentationDisplay, ImageAugmenter, MiniCNN, load_digit_images

X, y = load_digit_images(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=300, stratify=y, random_state=0
)

both = ImageAugmenter(horizontal_flip=True, width_shift_range=0.15)
display = AugmentationDisplay.from_estimator(both, X_train[:4], random_state=0)

# %%
# Search
# ------
# The settings of the augmentation are searched together with the number of epochs: augmented
# images take longer to learn.

search = GridSearchCV(
    MiniCNN(augmentation=ImageAugmenter(), random_state=0),
    {
        "augmentation__horizontal_flip": [False, True],
        "augmentation__width_shift_range": [0, 0.15],
        "epochs": [10, 40],
    },
    cv=StratifiedKFold(3, shuffle=True, random_state=0),
)
search.fit(X_train, y_train)
print(search.best_params_)
print(f"accuracy on {len(X_test)} other digits: {search.score(X_test, y_test):.3f}")

# %%
# The result
# ----------
# Dots are the three folds, bars their means.

results = search.cv_results_
folds = np.array([results[f"split{fold}_test_score"] for fold in range(3)]).T
names = [
    ("flips" if flip else "no flips") + (", shifts" if shift else "") + f"\n{epochs} epochs"
    for flip, shift, epochs in zip(
        results["param_augmentation__horizontal_flip"],
        results["param_augmentation__width_shift_range"],
        results["param_epochs"],
        strict=True,
    )
]
order = np.argsort(results["mean_test_score"])
figure, ax = plt.subplots(figsize=(7, 5), layout="constrained")
rows = np.arange(len(order))
ax.barh(rows, results["mean_test_score"][order], color="#9ecae1")
ax.plot(folds[order], rows, "o", color="#08519c", markersize=4)
ax.set_yticks(rows, [names[i] for i in order])
ax.set(xlabel="Accuracy on the held-out folds", xlim=(folds.min() - 0.02, 1))
ax.grid(axis="x", alpha=0.3)
plt.show()

# %%
# Next steps
# ----------
# * The settings that come from Keras's former ``ImageDataGenerator`` are listed in
#   :class:`~skcnn.ImageAugmenter`.
# * :class:`~skcnn.SampleGenerator` gives the same batches to a bare Keras model.
