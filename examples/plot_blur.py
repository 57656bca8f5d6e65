"""
A number from a photo: how blurred it is
========================================

A regressor learns from parts of some photos by how many pixels they were blurred, and measures
the blur of parts of others. The photos are those of scikit-learn and scikit-image; a blurred photo
has its label at once, so that any number of them can be made.

*Needs* ``scikit-image``.
"""

# %%
# Photos and blurs
# ----------------
# Parts of 48 pixels; the radius of the blur is between 0 and 3 pixels.

# sphinx_gallery_thumbnail_number = 2
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageFilter
from skimage import data
from sklearn.datasets import load_sample_images
from sklearn.metrics import PredictionErrorDisplay, mean_absolute_error
from sklearn.model_selection import GroupKFold, cross_val_score

from skcnn import ImageAugmenter, ImageRegressor

china, flower = load_sample_images().images
PHOTOS = {
    "pagoda": china,
    "astronaut": data.astronaut(),
    "coffee": data.coffee(),
    "cat": data.chelsea(),
    "flower": flower,
    "rocket": data.rocket(),
}
rng = np.random.default_rng(0)


def blurred(photo, n_parts):
    """Cut parts that have contrasts at random places, each blurred by another radius."""
    parts, radii = [], rng.uniform(0, 3, n_parts)
    while len(parts) < n_parts:
        top, left = (rng.integers(0, side - 60) for side in photo.shape[:2])
        part = photo[top : top + 60, left : left + 60]
        if part.std(axis=(0, 1)).mean() > 25:  # no sky
            blur = ImageFilter.GaussianBlur(float(radii[len(parts)]))
            parts.append(np.asarray(Image.fromarray(part).filter(blur))[6:54, 6:54])
    return np.stack(parts), radii


cut = [blurred(photo, 150) for photo in PHOTOS.values()]
X = np.concatenate([parts for parts, _ in cut])
y = np.concatenate([radii for _, radii in cut])
photo = np.repeat(list(PHOTOS), 150)

figure, axes = plt.subplots(2, 6, figsize=(9, 3.4), layout="constrained")
for column, name in zip(axes.T, PHOTOS, strict=True):
    for ax, row in zip(column, np.flatnonzero(photo == name), strict=False):
        ax.imshow(X[row])
        ax.set_title(f"{name}, {y[row]:.1f}", fontsize=9)
        ax.set_axis_off()

# %%
# Two photos are kept for the test
# --------------------------------
# All parts of a photo are on one side. Mirroring keeps the blur, so the training parts are
# mirrored; a zoom would not.

test = np.isin(photo, ["flower", "rocket"])
net = ImageRegressor(
    "[CONV-16 -> RELU]*2 -> POOL -> [CONV-32 -> RELU]*2 -> POOL -> CONV-32 -> RELU -> GAP -> FCS",
    loss="huber",
    augmentation=ImageAugmenter(horizontal_flip=True, vertical_flip=True),
    epochs=15,
    random_state=0,
).fit(X[~test], y[~test])

predicted = net.predict(X[test])
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
PredictionErrorDisplay.from_predictions(
    y[test], predicted, kind="actual_vs_predicted", ax=left, scatter_kwargs={"s": 12}
)
left.set(xlabel="Predicted radius (pixels)", ylabel="Radius (pixels)")
left.set(xticks=range(4), yticks=range(4))
errors = [mean_absolute_error(y[test][photo[test] == n], predicted[photo[test] == n])
          for n in ("flower", "rocket")]  # fmt: skip
right.bar(["flower", "rocket"], errors, color="#1f5f99")
right.set(ylabel="Mean absolute error (pixels)", title="On photos that were not seen")
print(f"R² {net.score(X[test], y[test]):.3f}")

# %%
# Every photo in turn
# -------------------
# Two photos say little about others. ``GroupKFold`` keeps the parts of a photo together.

scores = cross_val_score(
    net, X, y, groups=photo, cv=GroupKFold(3), scoring="neg_mean_absolute_error"
)
print("mean absolute error of three folds:", (-scores).round(2))
plt.show()

# %%
# Next steps
# ----------
# :doc:`/guide/regression` has losses, and several labels for one image.
