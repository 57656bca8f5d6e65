"""Learning curves of training runs that go well and that fail, on a few digits."""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from skcnn import MiniCNN, StackedCNN, load_digit_images

warnings.simplefilter("ignore")
X, y = load_digit_images(return_X_y=True)
rng = np.random.default_rng(0)
X, y = X[:900], y[:900]
few, X_val, y_val = slice(0, 60), X[600:], y[600:]
many = slice(0, 600)
shuffled = rng.permutation(y[many])

runs = {
    "Goes well": (StackedCNN(epochs=15), X[many], y[many], X_val, y_val),
    "Learned by heart": (
        StackedCNN(
            epochs=50, learning_rate_schedule="constant", learning_rate=0.001, batch_norm=False
        ),
        X[few], y[few], X_val, y_val,
    ),
    "Learning rate too high": (
        StackedCNN(epochs=15, optimizer="adam", learning_rate=0.1, batch_norm=False),
        X[many], y[many], X_val, y_val,
    ),
    "Learning rate too low": (
        MiniCNN(epochs=15, optimizer="adam", learning_rate=2e-5), X[many], y[many], X_val, y_val,
    ),
    "Labels that say nothing": (
        MiniCNN(epochs=40), X[many], shuffled, X_val, y_val,
    ),
    "Validated on other images": (
        StackedCNN(epochs=15), X[many], y[many], 16 - X_val, y_val,
    ),
}  # fmt: skip
figure, axes = plt.subplots(2, 3, figsize=(9.5, 5.2), layout="constrained")
for ax, (title, (net, *data)) in zip(axes.ravel(), runs.items(), strict=True):
    net.set_params(random_state=0).fit(*data[:2], X_val=data[2], y_val=data[3])
    epochs = np.arange(1, net.n_iter_ + 1)
    ax.plot(epochs, net.history_["loss"], color="#1f5f99", label="training loss")
    ax.plot(epochs, net.history_["val_loss"], color="#d55e00", label="validation loss")
    ax.axhline(np.log(10), color="0.6", linewidth=1, linestyle=":", label="guessing")
    ax.set_title(
        f"{title}\nvalidation accuracy {net.history_['val_accuracy'][-1]:.2f}", fontsize=10
    )
    ax.set_ylim(0, min(6, 1.1 * max(net.history_["val_loss"] + [2.5])))
    ax.grid(alpha=0.3)
for ax in axes[1]:
    ax.set_xlabel("Epoch")
axes[0, 0].legend(fontsize=8)
