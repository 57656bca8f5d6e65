"""
A folder of photos
==================

From a folder of photos to the mistakes: features of a pretrained network first, fine-tuning
second.

The example needs neither photos nor a network connection. It draws the photos, of shapes on
backgrounds, and takes the weights of MobileNet for ImageNet where Keras has cached them; else it
first trains a small network on other shapes.
"""

# %%
# The photos
# ----------
# Pictures of many sizes in one folder a class, as a camera and a person would leave them.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline

from skcnn import (
    AugmentationDisplay,
    ImageAugmenter,
    ImageClassifier,
    ImageFeatures,
    MisclassifiedImagesDisplay,
    PretrainedClassifier,
    SaliencyDisplay,
    load_image_folder,
)

rng = np.random.default_rng(0)


def picture(n_corners, star=False):
    """Draw a shape of a random colour, place and turn on a background."""
    width, height = rng.integers(60, 120, 2)
    ground = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image = Image.fromarray(ground).resize((width, height), Image.Resampling.BICUBIC)
    radius = min(width, height) * rng.uniform(0.25, 0.4)
    n_points = 2 * n_corners if star else n_corners
    angles = np.arange(n_points) / n_points * 2 * np.pi + rng.uniform(0, 2 * np.pi)
    radii = np.where(np.arange(n_points) % 2, 0.45, 1.0) if star else np.ones(n_points)
    x = width / 2 + radius * radii * np.cos(angles)
    y = height / 2 + radius * radii * np.sin(angles)
    points = [tuple(point) for point in np.column_stack([x, y]).tolist()]
    ImageDraw.Draw(image).polygon(points, fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


CLASSES = {
    "triangle": lambda: picture(3),
    "square": lambda: picture(4),
    "star": lambda: picture(5, star=True),
    "disc": lambda: picture(60),
}
folder = Path(tempfile.mkdtemp())
for name, draw in CLASSES.items():
    (folder / name).mkdir()
    for number in range(30):
        draw().save(folder / name / f"{number:02}.jpg")

photos = load_image_folder(folder)
X, X_test, y, y_test = train_test_split(
    photos.data, photos.target, train_size=80, stratify=photos.target, random_state=0
)
figure, axes = plt.subplots(2, 6, figsize=(8, 3), layout="constrained")
for ax, path, label in zip(axes.ravel(), X, y, strict=False):
    ax.imshow(Image.open(path))
    ax.set_title(label, fontsize=9)
    ax.set_axis_off()

# %%
# The network
# -----------
# For photos of your own this section is one line, ``backbone = "MobileNetV2"``.

SIZE = 48


def pretrained_network():
    """Return a backbone and its parameters."""
    try:
        features = ImageFeatures("MobileNet", image_size=128).fit(X[:1])
    except OSError:  # neither a cache nor a network
        other_shapes = {n: [picture(n) for _ in range(60)] for n in (5, 6, 8)}
        other_shapes |= {-n: [picture(n, star=True) for _ in range(60)] for n in (3, 4, 7)}
        images = [image for found in other_shapes.values() for image in found]
        labels = np.repeat(list(other_shapes), 60)
        network = ImageClassifier(
            "[CONV-16 -> RELU -> CONV-16 -> RELU -> POOL] -> "
            "[CONV-32 -> RELU -> CONV-32 -> RELU -> POOL]*2 -> GAP -> FCS",
            image_size=SIZE,
            resize="crop",
            epochs=25,
            random_state=0,
        )
        return {"backbone": network.fit(images, labels)}
    return {"backbone": features.backbone, "image_size": 128}


network = pretrained_network()
print(f"This page was made with the network {network['backbone']}.")

# %%
# Features first
# --------------
# The features of all images are computed once a fold, and a linear classifier learns from them.

features = make_pipeline(ImageFeatures(**network), LogisticRegression(max_iter=5000))
print(f"cross-validated: {cross_val_score(features, X, y, cv=5).mean():.3f}")
print(f"on the other photos: {features.fit(X, y).score(X_test, y_test):.3f}")

# %%
# Fine-tuning second
# ------------------
# First a new head on the features, then the network at a lower rate. The training photos are
# mirrored, and parts of them are shown, newly in every epoch.

augmentation = ImageAugmenter(horizontal_flip=True, rotation_range=30, zoom_range=(0.7, 1.0))
AugmentationDisplay.from_estimator(
    augmentation, X[:3], image_size=SIZE, resize="crop", random_state=0
)
net = PretrainedClassifier(
    **network, frozen_epochs=15, epochs=15, augmentation=augmentation, random_state=0
)
net.fit(X, y, X_val=X_test, y_val=y_test)
print(f"on the other photos: {net.score(X_test, y_test):.3f}")

figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.plot(1 + np.arange(net.n_iter_), net.history_["val_accuracy"])
ax.axvline(net.frozen_epochs + 0.5, color="0.6", linestyle="--")
ax.set(xlabel="Epoch: the head alone, then the network", ylabel="Accuracy on the other photos")

# %%
# The mistakes
# ------------
# The surest mistakes, and what the network looked at.

MisclassifiedImagesDisplay.from_estimator(net, X_test, y_test, n_images=6)
SaliencyDisplay.from_estimator(net, X_test[:3])

# %%
# Next steps
# ----------
# Rank the photos whose label is probably wrong, as in
# :ref:`sphx_glr_gallery_plot_doubtful_labels.py`, from predictions for photos that the classifier
# has not seen:

probability = cross_val_predict(features, X, y, cv=5, method="predict_proba")
print(probability[:3].round(2))
plt.show()
