"""
A folder of photos
==================

From a folder of photos to the mistakes: features of a pretrained network first, fine-tuning
second.

*Needs* :download:`sample_photos.py <../../examples/sample_photos.py>` beside it. It takes the
photos of Tux Paint's stamps (Debian package ``tuxpaint-stamps-default``) and the weights of
MobileNetV2 for ImageNet; without them it draws shapes and trains a small network.
"""

# %%
# The photos
# ----------
# Pictures of many sizes, in one folder a class. For photos of your own, leave
# ``make_photo_folder`` out and name your folder.

# sphinx_gallery_thumbnail_number = 1
import tempfile

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sample_photos import make_photo_folder, pretrained
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline

from skcnn import (
    AugmentationDisplay,
    ImageAugmenter,
    ImageFeatures,
    MisclassifiedImagesDisplay,
    PretrainedClassifier,
    SaliencyDisplay,
    TrainingHistoryDisplay,
    load_image_folder,
)

folder = tempfile.mkdtemp()
print(f"This page was made with {make_photo_folder(folder)}.")

photos = load_image_folder(folder)
X, X_test, y, y_test = train_test_split(
    photos.data, photos.target, test_size=0.25, stratify=photos.target, random_state=0
)
figure, axes = plt.subplots(3, 6, figsize=(9, 4.6), layout="constrained")
for ax, path, label in zip(axes.ravel(), X, y, strict=False):
    ax.imshow(Image.open(path).convert("RGBA"))
    ax.set_title(label, fontsize=9)
for ax in axes.ravel():
    ax.set_axis_off()

# %%
# The network
# -----------
# With a connection this is ``{"backbone": "MobileNetV2", "image_size": 128, "resize": "pad"}``.

network, about = pretrained(image_size=128)
print(f"This page was made with {about}.")

# %%
# Features first
# --------------
# A linear classifier learns from the features in seconds. Cross-validation uses the training
# photos only.

features = make_pipeline(ImageFeatures(**network), LogisticRegression(max_iter=5000))
scores = cross_val_score(features, X, y, cv=5)
print(f"cross-validated: {scores.mean():.3f}, from {scores.min():.3f} to {scores.max():.3f}")

# %%
# The surest mistakes are those of folds that have not seen the photo.

probability = cross_val_predict(features, X, y, cv=5, method="predict_proba")
pixels = ImageAugmenter().transform(X, image_size=128, resize="pad")
MisclassifiedImagesDisplay.from_predictions(
    pixels, y, probability, classes=np.unique(y), n_images=6
)

# %%
# Fine-tuning second
# ------------------
# First a new head on the features, then the network at a lower rate. The training photos are
# mirrored, turned, and shown in part, anew in every epoch.

augmentation = ImageAugmenter(horizontal_flip=True, rotation_range=15, zoom_range=(0.7, 1.0))
AugmentationDisplay.from_estimator(
    augmentation, X[:3], image_size=128, resize="pad", random_state=0
)

# %%
# A fifth of the training photos is held out for the curves; the dashed line is where the second
# phase begins.

net = PretrainedClassifier(
    **network,
    frozen_epochs=10,
    epochs=5,
    augmentation=augmentation,
    early_stopping=True,
    validation_fraction=0.2,
    n_iter_no_change=10,
    random_state=0,
).fit(X, y)
display = TrainingHistoryDisplay.from_estimator(net)
for ax in display.axes_:
    ax.axvline(net.frozen_epochs + 0.5, color="0.6", linestyle="--")

# %%
# The test
# --------
# The photos that were kept until now, once.

features.fit(X, y)
print(f"features and logistic regression: {features.score(X_test, y_test):.3f}")
print(f"fine-tuned: {net.score(X_test, y_test):.3f}")

# %%
# Grad-CAM shows which parts speak for the predicted class.

SaliencyDisplay.from_estimator(net, X_test[:3])
plt.show()

# %%
# Next steps
# ----------
# :doc:`plot_doubtful_labels` ranks photos whose label is probably wrong; :doc:`plot_saving` keeps
# the network.
