"""
Recipes on few images
=====================

The same network on the same 300 images, by several recipes: the defaults, other optimizers, a
constant learning rate, without batch normalization, and with augmentation.

*Needs* nothing beyond skcnn.
"""

# %%
# The images
# ----------
# Digits with noise, so that no recipe comes to 100 %.

# sphinx_gallery_thumbnail_number = 1
import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from skcnn import ImageAugmenter, StackedCNN, load_digit_images

X, y = load_digit_images(return_X_y=True)
X = X + np.random.default_rng(0).normal(0, 4, X.shape)
X_train, X_val, y_train, y_val = train_test_split(X, y, train_size=300, stratify=y, random_state=0)

# %%
# The recipes
# -----------
# Each recipe has 30 epochs and three seeds.

shifts = ImageAugmenter(width_shift_range=0.125, height_shift_range=0.125, rotation_range=10)
RECIPES = {
    "defaults": {},
    "Adam": {"optimizer": "adam"},
    "SGD with momentum": {"optimizer": "sgd", "optimizer__momentum": 0.9},
    "constant rate": {"learning_rate_schedule": "constant"},
    "no batch normalization": {"batch_norm": False},
    "augmentation": {"augmentation": shifts},
}
nets = {
    name: [
        StackedCNN(epochs=30, random_state=seed, **parameters).fit(
            X_train, y_train, X_val=X_val, y_val=y_val
        )
        for seed in range(3)
    ]
    for name, parameters in RECIPES.items()
}

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained", sharex=True)
for name, found in nets.items():
    for ax, value in ((left, "val_accuracy"), (right, "loss")):
        mean = np.mean([net.history_[value] for net in found], axis=0)
        ax.plot(np.arange(1, 31), mean, label=name)
left.set(xlabel="Epoch", ylabel="Validation accuracy, mean of the seeds")
right.set(xlabel="Epoch", ylabel="Training loss, mean of the seeds", yscale="log")
for ax in (left, right):
    ax.grid(alpha=0.3)
left.legend(fontsize=8)

# %%
# The ends
# --------
# Dots are seeds, bars their means. What lies within the spread of the seeds is no difference.

figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
scores = np.array([[net.score(X_val, y_val) for net in found] for found in nets.values()])
places = np.arange(len(nets))
ax.barh(places, scores.mean(axis=1), color="#84b5dd")
ax.plot(scores, places, "o", color="#1f5f99", markersize=4)
ax.set_yticks(places, nets)
ax.invert_yaxis()
ax.set(xlabel=f"Accuracy on {len(X_val)} other images", xlim=(scores.min() - 0.02, 1))
ax.grid(axis="x", alpha=0.3)
plt.show()
for name, each in zip(nets, scores, strict=True):
    print(f"{name:24} {each.mean():.3f}, from {each.min():.3f} to {each.max():.3f}")

# %%
# Next steps
# ----------
# :doc:`plot_augmentation_search` searches the augmentation; the user guide says what the curves of
# runs that fail look like (:doc:`/guide/overfitting`).
