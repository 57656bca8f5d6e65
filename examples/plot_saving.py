"""
Stop, save, export
==================

Resume an interrupted training run, load a file without trusting whoever wrote it, and run a
network without skcnn.

*Needs* nothing beyond skcnn.
"""

# %%
# Resume a training run
# ---------------------
# With ``checkpoint_dir`` the state of the training run is written after every epoch. Here the run
# is interrupted in its fifth epoch, as by a power cut. The next ``fit`` resumes after the fourth
# epoch and learns the weights of an uninterrupted run, bit for bit.

# sphinx_gallery_thumbnail_number = 1
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
uninterrupted = MiniCNN(**settings).fit(X, y)
print(np.array_equal(net.predict_proba(X), uninterrupted.predict_proba(X)))

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
# :doc:`/guide/saving` says what a file promises, :doc:`/guide/deployment` how to serve a network.
