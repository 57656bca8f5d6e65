"""The learning rate of every epoch under the three schedules, read from history_."""

import matplotlib.pyplot as plt
import numpy as np

from skcnn import ImageClassifier, load_digit_images

X, y = load_digit_images(return_X_y=True)
figure, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
for schedule in ("one_cycle", "cosine", "constant"):
    net = ImageClassifier("FCS", epochs=20, batch_size=8, learning_rate=0.01, random_state=0)
    net.set_params(learning_rate_schedule=schedule).fit(X[:80], y[:80])
    ax.plot(np.arange(1, 21), net.history_["learning_rate"], "o-", markersize=3, label=schedule)
ax.set(xlabel="Epoch", ylabel="Learning rate of its last step", xticks=range(0, 21, 4))
ax.grid(alpha=0.3)
ax.legend()
