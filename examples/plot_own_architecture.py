"""
An architecture of your own
===========================

A network is a line of text, and a line of text in a class is an estimator of its own. Nothing else
needs to be written: no layers, no shapes, no training loop.

*Needs* nothing beyond skcnn.
"""

# %%
# From text to network
# --------------------
# Convolutions, activations, pooling, residual blocks and repetitions are words; what follows from
# the data, such as the shape of the input and the number of classes, is left out.

# sphinx_gallery_thumbnail_number = 2
import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skcnn import FilterDisplay, ImageClassifier, TrainingHistoryDisplay, load_digit_images

X, y = load_digit_images(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=1000, stratify=y, random_state=0
)


class PlainNet(ImageClassifier):
    """Five convolutions in a row."""

    architecture = "CONV-16 -> GELU -> [CONV-16 -> GELU]*4 -> GAP -> FCS"


class ResidualNet(ImageClassifier):
    """The same convolutions, two by two with a shortcut."""

    architecture = "CONV-16 -> GELU -> [RES[CONV-16 -> GELU -> CONV-16] -> GELU]*2 -> GAP -> FCS"


# The curves compare the networks; nothing is chosen by them.
validation = {"X_val": X_test, "y_val": y_test}
plain = PlainNet(epochs=15, random_state=0).fit(X_train, y_train, **validation)
residual = ResidualNet(epochs=15, random_state=0).fit(X_train, y_train, **validation)
TrainingHistoryDisplay.from_estimator({"plain": plain, "residual": residual})

# %%
# What it has become
# ------------------
# ``summary`` prints the layers with their shapes and parameters, as Keras has built them.

residual.summary()

# %%
# The filters of the first convolution.

FilterDisplay.from_estimator(residual)

# %%
# Features for another model
# --------------------------
# ``transform`` gives what the last layer classifies, so the network can be a step of a pipeline.

classifier = LogisticRegression(max_iter=2000).fit(residual.transform(X_train), y_train % 2)
print(f"odd or even: {classifier.score(residual.transform(X_test), y_test % 2):.3f}")

# %%
# Mistakes in the text
# --------------------
# A mistake is shown with a caret under the place and what was expected there.

for architecture in ("CONV-16 -> RELU -> POLL -> FCS", "[CONV-16 -> RELU*2 -> FCS"):
    try:
        ImageClassifier(architecture).fit(X_train, y_train)
    except ValueError as error:
        print(error, end="\n\n")

plt.show()
