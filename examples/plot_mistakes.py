"""
Look at the mistakes
====================

A score says how often a classifier is wrong, not where. scikit-learn's own displays work on every
estimator of skcnn; beside them there are some for images and networks.

*Needs* nothing beyond skcnn.
"""

# %%
# Which classes are confused
# --------------------------
# Six epochs on a few hundred digits leave some mistakes to look at.

# sphinx_gallery_thumbnail_number = 3
import matplotlib.pyplot as plt
from sklearn.metrics import ConfusionMatrixDisplay, classification_report
from sklearn.model_selection import train_test_split

from skcnn import (
    FilterDisplay,
    MisclassifiedImagesDisplay,
    SaliencyDisplay,
    StackedCNN,
    TrainingHistoryDisplay,
    confident_error_counts,
    load_digit_images,
)

X, y = load_digit_images(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=400, stratify=y, random_state=0
)
X_val, X_test, y_val, y_test = train_test_split(
    X_test, y_test, train_size=200, stratify=y_test, random_state=0
)
net = StackedCNN(epochs=6, random_state=0)
net.fit(X_train, y_train, X_val=X_val, y_val=y_val)
probability = net.predict_proba(X_test)
print(classification_report(y_test, net.predict(X_test)))

figure, ax = plt.subplots(figsize=(5, 5), layout="constrained")
ConfusionMatrixDisplay.from_estimator(net, X_test, y_test, ax=ax, cmap="Blues", colorbar=False)

# %%
# Did the training go well?
# -------------------------

TrainingHistoryDisplay.from_estimator(net)

# %%
# The surest mistakes
# -------------------
# What a classifier is sure of and wrong about is often a wrong label, or a kind of image that the
# training data have too few of.

MisclassifiedImagesDisplay.from_predictions(
    X_test, y_test, probability, classes=net.classes_, n_images=6
)

# %%
# :func:`~skcnn.confident_error_counts` counts them: for each true class, the images whose
# probabilities are further than a margin from the truth.

for label, count in zip(
    net.classes_, confident_error_counts(y_test, probability, margin=1.5), strict=True
):
    print(f"{label}: {count} confident mistakes")

# %%
# What the network looks at
# -------------------------
# Grad-CAM shows which parts of an image speak for a class: here for the one predicted.

SaliencyDisplay.from_estimator(net, X_test[:6])

# %%
# The filters of the first convolution:

FilterDisplay.from_estimator(net, n_columns=16)

# %%
# Next steps
# ----------
# :doc:`plot_augmentation_search` makes the network better, :doc:`plot_saving` keeps it.
