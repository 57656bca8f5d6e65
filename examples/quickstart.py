"""
Quickstart
==========

Train VGGLite on scikit-learn's handwritten digits and look at how well it does.

Prints the progress, the test accuracy and a classification report, and saves the learning curves,
the confusion matrix and the worst mistakes as ``quickstart.png``.

*Needs* nothing beyond skcnn.
"""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from sklearn.metrics import ConfusionMatrixDisplay, classification_report
from sklearn.model_selection import train_test_split

from skcnn import MisclassifiedImagesDisplay, TrainingHistoryDisplay, VGGLite, load_digit_images

# %%
# Images and labels
# -----------------
# 1,797 digits of 8x8 grey pixels, in three parts: a quarter of them for the test at the end, 200
# for the learning curves, and the others to train on.

X, y = load_digit_images(return_X_y=True)
X_rest, X_test, y_rest, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
X_train, X_val, y_train, y_val = train_test_split(
    X_rest, y_rest, test_size=200, stratify=y_rest, random_state=0
)

# %%
# Training
# --------
# The validation images are scored after every epoch and never learned from.

net = VGGLite(epochs=15, random_state=0, verbose=2)
net.fit(X_train, y_train, X_val=X_val, y_val=y_val)

# %%
# The test
# --------

accuracy = net.score(X_test, y_test)
probability = net.predict_proba(X_test)
predicted = net.predict(X_test)
print(classification_report(y_test, predicted, digits=3))
print(f"test accuracy {accuracy:.4f} after {sum(net.history_['seconds']):.1f} s of training")

# %%
# What it has learned
# -------------------
# The curves, the confusion matrix and the mistakes that the network is surest of.

figure = plt.figure(figsize=(12, 6.5), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=[2.4, 1])
*curves, matrix = top.subplots(1, 3)
TrainingHistoryDisplay.from_estimator(net, axes=curves)
ConfusionMatrixDisplay.from_predictions(y_test, predicted, ax=matrix, cmap="Blues", colorbar=False)
matrix.set_title(f"Test accuracy {accuracy:.3f}")
MisclassifiedImagesDisplay.from_predictions(
    X_test, y_test, probability, classes=net.classes_, n_images=8, n_columns=8, figure=bottom
)
figure.savefig("quickstart.png", dpi=110)
print("saved quickstart.png")

# %%
# Next steps
# ----------
# :doc:`plot_photos` does the same with a folder of photos, :doc:`plot_mistakes` looks closer, and
# :doc:`/getting_started` leads from the folder to the exported model.
