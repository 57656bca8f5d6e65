"""A model-building function for the wrappers of scikeras."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from .._keras import keras
from .._training.network import draw_seeds, draw_weights, seed_variables
from .networks import build_network
from .notation import canonical, parse
from .presets import ARCHITECTURES
from .sizes import check_sides

# Activation of the last layer and default loss by the `target_type_` of scikeras's classifier.
CLASSIFICATION = {
    "binary": ("sigmoid", "binary_crossentropy"),
    "multiclass": ("softmax", "sparse_categorical_crossentropy"),
    "multilabel-indicator": ("sigmoid", "binary_crossentropy"),
}


def build_model(
    architecture: str = "VGGLite",
    *,
    meta: dict[str, Any],
    compile_kwargs: dict[str, Any],
    batch_norm: bool = True,
    input_shape: Sequence[int] | None = None,
) -> keras.Model:
    """Build a compiled network for ``scikeras.wrappers.KerasClassifier`` and ``KerasRegressor``.

    It is their argument `model`. They pass `meta` and `compile_kwargs`; the other parameters are
    set and searched as parameters of the wrapper, such as ``model__architecture``. Unlike the
    estimators of skcnn, the network does not standardize the pixels: scale them, or let the
    architecture begin with BN.

    Parameters
    ----------
    architecture : str, default="VGGLite"
        The name of a preset, or the layers, such as ``"CONV-32 -> RELU -> POOL -> FCS"``; see
        :doc:`/guide/architecture`.
    meta : dict
        Metadata of the wrapper.
    compile_kwargs : dict
        Arguments of ``keras.Model.compile``. Where the wrapper has no `loss`, the loss is the
        cross-entropy in classification and the squared error in regression.
    batch_norm : bool, default=True
        Whether to apply batch normalization after each convolution, before its activation.
    input_shape : tuple of (height, width) or (height, width, channels), default=None
        Shape of the images of a 2-D X, whose rows are flattened images. None takes the shape of
        the images of X.

    Returns
    -------
    keras.Model
        The network. Two classes have one output, the probability of the second.

    Raises
    ------
    ValueError
        If the architecture, the shape of the images or the kind of target is not valid.

    See Also
    --------
    ImageClassifier : The estimator that also standardizes, augments, resumes and saves.

    Examples
    --------
    >>> from scikeras.wrappers import KerasClassifier
    >>> from skcnn import build_model, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> net = KerasClassifier(
    ...     build_model, architecture="CONV-8 -> RELU -> POOL -> FCS", batch_norm=True,
    ...     optimizer="adam", optimizer__learning_rate=0.01, epochs=5, random_state=0, verbose=0,
    ... )
    >>> net.fit(X[:1000] / 16, y[:1000]).score(X[1000:] / 16, y[1000:]) > 0.8
    True
    """
    activation, loss, n_outputs = _output(meta)
    shape = meta["X_shape_"][1:]
    image_shape = _image_shape(shape, input_shape)
    network = build_network(
        architecture=canonical(parse(ARCHITECTURES.get(architecture, architecture))),
        input_shape=image_shape,
        n_outputs=n_outputs,
        batch_norm=batch_norm,
        standardize=False,
        activation=activation,
    )
    # The random_state of a wrapper is the seed of NumPy's global generator, here and in no other
    # place of skcnn.
    rng = np.random.default_rng(check_random_state(None).randint(2**31))
    draw_weights(network, rng)
    draw_seeds(seed_variables(network), rng)
    if shape != image_shape:
        inputs = keras.Input(shape)
        network = keras.Model(inputs, network(keras.layers.Reshape(image_shape)(inputs)))
    network.compile(**compile_kwargs | {"loss": compile_kwargs.get("loss") or loss})
    return network


def _output(meta: dict[str, Any]) -> tuple[str, str, int]:
    """Return activation, default loss and number of outputs for a kind of target."""
    if "n_classes_" not in meta:
        return "linear", "mean_squared_error", meta["n_outputs_"]
    kind = meta["target_type_"]
    if kind not in CLASSIFICATION:
        raise ValueError(
            f"y must have one label per sample or be an indicator matrix; got a {kind} target."
        )
    activation, loss = CLASSIFICATION[kind]
    return activation, loss, 1 if kind == "binary" else meta["n_classes_"]


def _image_shape(
    shape: tuple[int, ...], input_shape: Sequence[int] | None
) -> tuple[int, int, int]:
    """Return the shape of the images that samples of a shape are."""
    given = shape if input_shape is None else check_sides(input_shape, "input_shape", 2, 3)
    image = (*given, 1) if len(given) == 2 else given
    if len(image) != 3 or shape not in (image, given, (math.prod(image),)):
        raise ValueError(
            "X must have images, or rows of the pixels of images of the shape "
            f"model__input_shape={input_shape}; got samples of shape {shape}."
        )
    return image
