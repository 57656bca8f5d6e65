"""Train VGGLite on scikit-learn's handwritten digits and look at how well it does.

Prints the progress, the test accuracy and a classification report, and saves the learning curves,
the confusion matrix and the worst mistakes as ``quickstart.png``.
"""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay, classification_report
from sklearn.model_selection import train_test_split

from skcnn import VGGLite

# %%
# The images: 1,797 digits of 8x8 grey pixels, a quarter of them held out.

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.images, digits.target, test_size=0.25, stratify=digits.target, random_state=0
)

# %%
# Train. The validation data are only looked at, never learnt from.

net = VGGLite(epochs=15, validation_data=(X_test, y_test), random_state=0, verbose=2)
net.fit(X_train, y_train)

accuracy = net.score(X_test, y_test)
probability = net.predict_proba(X_test)
predicted = net.predict(X_test)
print(classification_report(y_test, predicted, digits=3))
print(f"test accuracy {accuracy:.4f} after {sum(net.history_['seconds']):.1f} s of training")

# %%
# Draw the curves, the confusion matrix and the test images whose true class the network
# believes in least.

figure = plt.figure(figsize=(12, 7), layout="constrained")
grid = figure.add_gridspec(2, 1, height_ratios=[2.2, 1])
top = grid[0].subgridspec(1, 2)
curves = figure.add_subplot(top[0])
epochs = np.arange(1, net.n_iter_ + 1)
curves.plot(epochs, net.history_["accuracy"], label="training")
curves.plot(epochs, net.history_["val_accuracy"], "--", label="test")
curves.set(title="Learning curve", xlabel="Epoch", ylabel="Accuracy", ylim=(0, 1.02))
curves.grid(alpha=0.3)
curves.legend(loc="lower right")

matrix = figure.add_subplot(top[1])
ConfusionMatrixDisplay.from_predictions(y_test, predicted, ax=matrix, cmap="Blues", colorbar=False)
matrix.set_title(f"Test accuracy {accuracy:.3f}")

worst = np.argsort(probability[np.arange(len(y_test)), y_test])[:8]
for index, ax in zip(worst, grid[1].subgridspec(1, 8).subplots(), strict=True):
    ax.imshow(X_test[index], cmap="gray_r")
    ax.set_title(
        f"{y_test[index]} read as {predicted[index]}\n(p = {probability[index].max():.2f})",
        fontsize=9,
        color="firebrick" if predicted[index] != y_test[index] else "black",
    )
    ax.set_axis_off()
figure.savefig("quickstart.png", dpi=110)
print("saved quickstart.png")
