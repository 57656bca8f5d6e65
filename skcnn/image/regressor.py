"""Image regressor."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin

from .._compat import StrOptions, check_sample_weight
from .._training.network import State
from ..heads import LOSSES, NumbersHead
from .arrays import as_numpy
from .estimator import VGG_LITE, Array, ImageEstimator
from .notation import parse


class ImageRegressor(RegressorMixin, ImageEstimator):
    """Image regressor with the architecture given as text.

    The network learns standardized targets; predictions have the units of y.

    Parameters
    ----------
    architecture : str
        The layers, such as ``"CONV-32 -> RELU -> POOL -> FCS"``: ``CONV-m`` (m filters, 3x3;
        ``CONV-m:5`` 5x5, ``CONV-m/2`` stride 2), ``RELU``, ``GELU``, ``SILU``, ``TANH``,
        ``POOL`` (2x2 maximum; ``POOL-3``), ``AVGPOOL``, ``GAP`` (global average), ``BN``,
        ``DROPOUT-p``, ``FC-n``, ``RES[...]`` (residual) and, last, ``FCS`` (the numbers).
        ``[...]*n`` repeats.
    batch_norm : bool, default=True
        Put batch normalization [1]_ after each convolution, before its activation.
    input_shape : tuple of (height, width) or (height, width, channels), default=None
        Shape of the image in a row of a 2-D X. None takes a square grey image when the number
        of features is a square, and one row of pixels otherwise, with a warning.
    standardize : bool, default=True
        Subtract the mean and divide by the standard deviation of each channel of the training
        images, inside the network.
    augmentation : ImageAugmenter, default=None
        How to change the training images, newly in every epoch. Its settings are searched as
        ``augmentation__horizontal_flip``. Validation and prediction never see it.
    image_size : int or tuple of (height, width), default=None
        Size to resize images to, an integer for a square: files, arrays, and lists of arrays and
        of images of Pillow, alike in fit and prediction. None refuses images of different sizes.
    resize : {"stretch", "crop", "pad"}, default="stretch"
        How: by changing the aspect ratio, by cutting off what is beyond it on the longer sides,
        or by filling what is missing on the shorter sides with the `background`. The last two
        need `image_size`.
    background : str or tuple of (red, green, blue), default="white"
        What transparent pixels and padding show: the name of a colour that Pillow knows, such as
        "black" or "#ff8000", or three integers from 0 to 255. Refused where there is neither.
    flip_averaging : bool, default=False
        Predict the mean over an image and its mirror image [5]_, in twice
        the time. For images that show the same when mirrored left to right, as those of
        digits do not. Has no influence on the training, nor on ``val_loss``.
    shift_averaging : bool, default=False
        Predict the mean over an image, with weight 1/2, and the image moved by a pixel to the
        upper left and to the lower right [5]_, in three times the time; borders are mirrored.
        Has no influence on the training either, and goes together with `flip_averaging`.
    epochs : int, default=20
        Passes over the training data.
    batch_size : int, default=128
        Samples in a training step.
    optimizer : str, keras.optimizers.Optimizer or class, default="muon"
        Name, instance or class of a Keras optimizer. Its other arguments can be set as
        ``optimizer__momentum=0.9``. "muon" [4]_ orthogonalizes the steps of the kernels of
        convolutions and leaves the rest to Adam.
    learning_rate : float, default=None
        The learning rate, or its peak under a schedule. None chooses one for the optimizer.
    learning_rate_schedule : {"one_cycle", "cosine", "constant"} or Keras schedule, \
            default="one_cycle"
        How the learning rate moves: up over the first quarter and down to zero [2]_, down
        along a cosine, or not at all.
    weight_decay : float, default=0.0
        Decoupled weight decay [3]_ of the kernels.
    early_stopping : bool, default=False
        Stop when `scoring`, by default the loss, on held-out data has not improved for
        `n_iter_no_change` epochs, and restore the best weights.
    validation_fraction : float, default=0.1
        Share of the training data that `early_stopping` holds out where ``fit`` is given no
        `X_val`; with `groups`, the share of the groups.
    scoring : str or callable, default=None
        What `early_stopping` compares. None and "loss" are the validation loss; other values are
        the name of a scikit-learn scorer, such as "r2", or a callable ``scorer(estimator, X,
        y)``, of which greater is better. A scorer is called after every epoch with an estimator
        that has the current weights and the validation samples as they were given. `history_`
        has its values as ``val_r2``, those of a callable under its ``__name__`` or as
        ``val_score``.
    n_iter_no_change : int, default=5
        Epochs without improvement that `early_stopping` waits.
    checkpoint_dir : str or path, default=None
        Folder for the state of the training, written after every epoch. A fit that finds there
        a training of the same data and parameters goes on with it, to the same weights bit for
        bit; one of others is refused. ``partial_fit`` writes none.
    warm_start : bool, default=False
        Continue from the last fit: from its weights and the state of its optimizer, with a new
        run of the learning-rate schedule.
    precision : {"auto", "float32", "mixed_bfloat16"}, default="auto"
        What the network computes in while it is fitted; its weights, and its predictions after
        it, are float32 always. "auto" takes bfloat16 where the processor or the GPU has it
        natively and images have at least 256 pixels, as it is no faster on smaller ones.
    callbacks : list of keras.callbacks.Callback, default=None
        Called while fitting; afterwards their ``model`` is `model_`. Those that set the learning
        rate need ``learning_rate_schedule="constant"``. They start anew in a fit that resumes
        from a checkpoint.
    random_state : int or numpy.random.RandomState, default=None
        Seed of the weights, the dropout and the order of the samples. The same int gives the
        same network on the same machine.
    verbose : {0, 1, 2}, default=0
        Silent, a progress bar where standard error is a terminal or a notebook, or one line an
        epoch.
    loss : {"squared_error", "absolute_error", "huber"}, default="squared_error"
        The loss of the standardized targets.

    Attributes
    ----------
    target_mean_, target_scale_ : float or ndarray of shape (n_outputs,)
        What is subtracted from y, and what the difference is divided by, before the network
        learns it.
    n_features_in_ : int
        Pixel values in an image.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, when X was a data frame.
    input_shape_ : tuple of (height, width, channels)
        Shape of an image.
    pixel_dtype_ : str
        Dtype of the pixels of the training images, such as "uint8".
    pixel_range_ : tuple of (low, high)
        Range of the pixels of the training images, that of the dtype for uint8.
    pixel_limits_ : tuple of (black, white) or None
        Values of black and white of the images, where padding needs them.
    image_size_ : tuple of (height, width) or None
        Size that images are resized to.
    resize_ : str
        How they are resized.
    row_shape_ : tuple of (height, width, channels) or None
        Shape of the image in a row of a 2-D X, before it is resized.
    background_ : tuple of (red, green, blue)
        What transparent pixels and padding show.
    model_ : keras.Model
        A copy of the network, whose outputs are standardized. What is done to it does not change
        the estimator.
    history_ : dict of str to list of float
        One value an epoch of ``loss``, ``val_loss`` and that of `scoring` where samples are
        validated on, ``learning_rate`` (of the last step of the epoch) and ``seconds``.
    precision_ : {"float32", "mixed_bfloat16"}
        What the last fit computed in.
    n_iter_ : int
        Epochs run.
    best_iteration_ : int
        The epoch, counted from 1, whose weights the network has; 0 where the first diverged.
    callbacks_ : list of keras.callbacks.Callback
        The callbacks of the last fit.

    See Also
    --------
    ImageClassifier : Labels instead of numbers.
    sklearn.neural_network.MLPRegressor : Fully connected networks without Keras.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch Normalization", ICML 2015.
    .. [2] L. N. Smith and N. Topin, "Super-Convergence", 2018.
    .. [3] I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    .. [4] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    .. [5] K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, section 3.

    Examples
    --------
    >>> from skcnn import ImageRegressor, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> ink = X.sum(axis=(1, 2))
    >>> net = ImageRegressor("CONV-16 -> RELU -> POOL -> FCS", epochs=10, random_state=0)
    >>> net.fit(X[:1000], ink[:1000]).score(X[1000:], ink[1000:]) > 0.9
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ImageEstimator._parameter_constraints,
        "loss": [StrOptions(set(LOSSES))],
    }

    def __init__(
        self, architecture: str = VGG_LITE, *, loss: str = "squared_error", **parameters: Any
    ) -> None:
        super().__init__(architecture, **parameters)
        self.loss = loss

    def predict(self, X: Any) -> Array:
        """Predict numbers.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width[, channels]) or (n_samples, n_features)
            The images.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs), float64
            Predictions, in the units of y.
        """
        return self._predictions(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the coefficient of determination, R², of the predictions.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width[, channels]) or (n_samples, n_features)
            The images.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The right numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        float
            1 for perfect predictions, 0 for those that are as good as the mean of y.
        """
        return float(super().score(X, y, sample_weight))

    @property
    def _head(self) -> NumbersHead:
        return NumbersHead(self.target_mean_, self.target_scale_, self.loss)

    def _target_options(self, y: Any) -> dict[str, Any]:
        return {**super()._target_options(y), "y_numeric": True}

    def _check_data(
        self, X: Any, y: Any, sample_weight: Any = None, *, reset: bool, classes: Any = None
    ) -> tuple[Any, Array]:
        if classes is not None:
            raise ValueError(f"classes must be None: {type(self).__name__} predicts numbers.")
        X, y = self._check_images(X, as_numpy(y, "y"), reset=reset)
        y = np.asarray(y, dtype=np.float64)
        if reset:
            parse(
                self.architecture
            )  # now, so that a mistake is reported before anything is learned
            weight = check_sample_weight(sample_weight, X)
            counts = weight > 0
            scale = y[counts].std(axis=0)
            self.target_mean_ = y[counts].mean(axis=0)
            self.target_scale_ = np.where(scale > 0, scale, 1.0)
        return X, self._head.encode(y)

    def _metadata(self) -> dict[str, Any]:
        mean, scale = np.asarray(self.target_mean_), np.asarray(self.target_scale_)
        return {"mean": mean.tolist(), "scale": scale.tolist()}

    def _check_restored(self, network: dict[str, Any], state: State) -> None:
        mean, scale = np.asarray(self.target_mean_), np.asarray(self.target_scale_)
        if mean.shape != scale.shape or not np.isfinite([mean, scale]).all():
            raise ValueError("its target_mean_ and target_scale_ do not go together")
        if mean.shape not in ((), (network["n_outputs"],)):
            raise ValueError("its targets are not those of its network")
        super()._check_restored(network, state)
