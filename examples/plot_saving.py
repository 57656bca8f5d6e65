"""
Stop, save, export
==================

A training that goes on where it was broken off, a file that can be loaded without trusting whoever
wrote it, and a network that runs without skcnn.

*Needs* nothing beyond skcnn.
"""

# sphinx_gallery_thumbnail_number = 1

# %%
# A training that outlives its process
# ------------------------------------
# With ``checkpoint_dir`` the state of the training is written after every epoch. Here the training
# is broken off in its fifth epoch, as a power cut would; the next ``fit`` goes on from the fourth
# and comes to the weights of a training that was never broken off, bit for bit.

import json
import tempfile
from pathlib import Path

import keras
import numpy as np

import skcnn
from skcnn import MiniCNN, TrainingHistoryDisplay, load_digit_images

X, y = load_digit_images(return_X_y=True)
folder = Path(tempfile.mkdtemp())


class PowerCut(keras.callbacks.Callback):
    """Break the fifth epoch off."""

    def on_epoch_begin(self, epoch, logs=None):
        """Raise an error in it."""
        if epoch == 4:
            raise RuntimeError("the power is cut")


settings = {"epochs": 10, "random_state": 0}
try:
    MiniCNN(**settings, checkpoint_dir=folder / "run", callbacks=[PowerCut()]).fit(X, y)
except RuntimeError as error:
    print(error)

net = MiniCNN(**settings, checkpoint_dir=folder / "run").fit(X, y)
never_broken_off = MiniCNN(**settings).fit(X, y)
print(np.array_equal(net.predict_proba(X), never_broken_off.predict_proba(X)))

# %%
TrainingHistoryDisplay.from_estimator(net)

# %%
# A file
# ------
# Parameters, weights, labels and history in one file, of plain values and arrays only.

net.save(folder / "digits.skcnn")
again = skcnn.load(folder / "digits.skcnn")
print(np.array_equal(again.predict(X), net.predict(X)))

(folder / "other.skcnn").write_bytes(b"something else")
try:
    skcnn.load(folder / "other.skcnn")
except skcnn.LoadError as error:
    print(str(error).replace(str(folder), "..."))

# %%
# Another runtime
# ---------------
# LiteRT runs on phones and microcontrollers, ONNX nearly everywhere, a SavedModel in TensorFlow
# Serving. The labels go with the network.

net.export(folder / "digits", format="tf_saved_model")

import tensorflow as tf  # noqa: E402

served = tf.saved_model.load(folder / "digits")
outputs = served.serve(X[:5, ..., None].astype(np.float32)).numpy()
labels = json.loads((folder / "digits" / "assets.extra" / "skcnn.json").read_text())["labels"]
print([labels[place] for place in outputs.argmax(axis=1)], net.predict(X[:5]).tolist())

# %%
# Next steps
# ----------
# The user guide has more on stopping and going on, on what a file holds, and on the formats.
