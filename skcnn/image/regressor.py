"""Image regressor."""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict, Unpack

import numpy as np

from .._compat import StrOptions, check_sample_weight
from .._training.network import State
from .._typing import RegressorMixin
from ..heads import LOSSES, NumbersHead
from .arrays import as_numpy
from .estimator import VGG_LITE, Array, ImageEstimator, ImageParameters
from .notation import parse


class OwnRegressorParameters(TypedDict, total=False):
    """Types of the parameters that `ImageRegressor` adds to `ImageEstimator`."""

    loss: str


class RegressorParameters(OwnRegressorParameters, ImageParameters, total=False):
    """Types of all parameters of `ImageRegressor` but `architecture`."""


class ImageRegressor(RegressorMixin, ImageEstimator):
    """Image regressor with the architecture given as text.

    The network learns standardized targets; predictions have the units of y.

    Parameters
    ----------
    architecture : str, default="[CONV-32 -> RELU]*2 -> POOL -> [CONV-64 -> RELU]*2 -> \
            POOL -> [CONV-128 -> RELU]*3 -> POOL -> GAP-4 -> FC-100 -> RELU -> FCS"
        The layers, such as ``"CONV-32 -> RELU -> POOL -> FCS"``: ``CONV-m`` (m filters, 3x3;
        ``CONV-m:5`` 5x5, ``CONV-m/2`` stride 2), ``RELU``, ``GELU``, ``SILU``, ``TANH``, ``POOL``
        (2x2 maximum; ``POOL-3``), ``AVGPOOL``, ``GAP`` (global average; ``GAP-4`` to at most 4x4),
        ``BN``, ``DROPOUT-p``, ``FC-n``, ``RES[...]`` (residual) and, last, ``FCS`` (the output
        layer). ``[...]*n`` repeats.
    loss : {"squared_error", "absolute_error", "huber"}, default="squared_error"
        Loss of the standardized targets. "huber" is quadratic up to an error of one standard
        deviation of y and linear beyond.
    batch_norm : bool, default=True
        Whether to apply batch normalization after each convolution, before its activation.
    standardize : bool, default=True
        Whether to subtract the mean and divide by the standard deviation of each channel of the
        training images, inside the network.
    input_shape : tuple of (height, width) or (height, width, channels), default=None
        Shape of the images of a 2-D X, whose rows are flattened images. None takes a square grey
        image where the number of features is a square, and one row of pixels otherwise, with a
        warning. Images of another shape are refused.
    augmentation : ImageAugmenter, default=None
        Random changes of the training images, drawn anew in every epoch. Its parameters are
        searched as ``augmentation__horizontal_flip``. Images for validation and prediction are not
        changed.
    image_size : int or tuple of (height, width), default=None
        Size in pixels to which images are resized, an integer for a square: files, arrays, and
        lists of arrays and of Pillow's images, in fit and in prediction. None refuses images of
        different sizes.
    resize : {"stretch", "crop", "pad"}, default="stretch"
        How images are resized: "stretch" changes the aspect ratio, "crop" cuts off what is beyond
        it on the longer side, "pad" fills the shorter side with the `background`. The last two
        need `image_size`.
    background : str or tuple of (red, green, blue), default="white"
        Colour that replaces transparent pixels and that padding shows: a name that Pillow knows,
        such as "black" or "#ff8000", or three integers from 0 to 255. Other colours than white are
        refused where there is neither.
    flip_averaging : bool, default=False
        Whether to average predictions over each image and its mirror image, which doubles the time
        of prediction. Use it only where mirroring left to right preserves the target; not for
        digits. Affects neither training nor the metrics in `history_`.
    shift_averaging : bool, default=False
        Whether to average predictions over each image, with weight 1/2, and over the image shifted
        by one pixel to the upper left and to the lower right, with weight 1/4 each; borders are
        mirrored. Triples the time of prediction, also that of `flip_averaging`. Affects neither
        training nor the metrics in `history_`.
    epochs : int or "auto", default="auto"
        Number of passes over the training data, at least 1. "auto" is 20, and more for few
        samples, for at least 640 training steps. With `warm_start` every ``fit`` adds as many;
        ``partial_fit`` always makes one.
    batch_size : int or "auto", default="auto"
        Samples per training step, at least 1. "auto" is 128, and less for fewer than 2,048
        samples, down to 8, so that an epoch has about 16 steps.
    optimizer : str, keras.optimizers.Optimizer or class, default="muon"
        Name, instance or class of a Keras optimizer; a name is the class in lower case. Other
        arguments of a name or class are set as ``optimizer__momentum=0.9``. "muon" orthogonalizes
        the updates of kernels, and leaves biases, normalizations and fully connected layers to
        Adam.
    learning_rate : float, default=None
        Learning rate, or its peak under "one_cycle" and "cosine"; positive. None takes that of an
        optimizer instance, and for a name or class 0.01 ("muon", "adam", "adamw", "nadam"), 0.1
        ("sgd") or 1.0 ("adadelta"); for other optimizers, and all but "adadelta" under "constant",
        the default of Keras. Refused beside a Keras schedule and ``optimizer__learning_rate``.
    learning_rate_schedule : {"one_cycle", "cosine", "constant"} or Keras schedule, \
            default="one_cycle"
        Learning rate during ``fit``, set before every step: "one_cycle" rises linearly over the
        first quarter of the steps and falls linearly to zero, "cosine" falls along half a cosine,
        "constant" stays. ``partial_fit`` trains at a constant rate under each of the three.
    weight_decay : float, default=0.0
        Decoupled weight decay of the kernels, not negative. None is 0.1 for "muon" and the default
        of Keras for other optimizers.
    early_stopping : bool, default=False
        Whether to stop when `scoring` on validation data has not improved for `n_iter_no_change`
        epochs, and to restore the weights of the best epoch. The validation data are the `X_val`
        of ``fit``, or else a part of the training data. Refused in ``partial_fit``.
    validation_fraction : float, default=0.1
        Share of the training data, in (0, 1), that `early_stopping` holds out where ``fit`` gets
        no `X_val`, stratified by class; with `groups`, the share of the groups. Has no effect
        otherwise.
    scoring : str or callable, default=None
        Value that `early_stopping` compares. None is the accuracy of classes, the subset accuracy
        of several labels a sample, the validation loss of numbers and the exact match of strings.
        "loss" is the validation loss. Others are the name of a scikit-learn scorer, such as
        "f1_macro", or a callable ``scorer(estimator, X, y)``, of which greater is better. A scorer
        is called after every epoch with an estimator that has the current weights and the
        validation samples as they were given; `history_` has its values as ``val_f1_macro``, those
        of a callable under its ``__name__`` or as ``val_score``. Refused without validation data.
    n_iter_no_change : int, default=5
        Epochs without improvement after which `early_stopping` stops, at least 1. Has no effect
        without it.
    checkpoint_dir : str or path, default=None
        Folder for the state of the training run, written after every epoch. A ``fit`` with the
        same data and parameters resumes an interrupted run from there and learns the same weights
        bit for bit; a folder with a run of others is refused. ``partial_fit`` writes none.
    warm_start : bool, default=False
        Whether ``fit`` continues from the last one: from its weights and the state of its
        optimizer, with a new run of the learning-rate schedule. Refused where the parameters ask
        for another network.
    precision : {"auto", "float32", "mixed_bfloat16"}, default="auto"
        Precision of the computations in training; weights and predictions are float32 always. For
        images "auto" takes bfloat16 where the processor or the GPU computes in it natively and
        images have at least 256 pixels, as it is no faster on smaller ones; for strings it takes
        float32.
    callbacks : list of keras.callbacks.Callback, default=None
        Callbacks of ``fit`` and ``partial_fit``; afterwards their ``model`` is `model_`. Those
        that set the learning rate need ``learning_rate_schedule="constant"``. They start anew in a
        fit that resumes from a checkpoint.
    random_state : int or numpy.random.RandomState, default=None
        Seed of all that is random in a fit: initial weights, held-out samples, the order of the
        samples and, for images, dropout and augmentation. An int gives the same network on the
        same machine. None takes a new seed from the operating system.
    verbose : {0, 1, 2}, default=0
        Output of ``fit``: 0 is silent, 1 a progress bar where standard error is a terminal or a
        notebook, 2 one line per epoch.

    Attributes
    ----------
    target_mean_, target_scale_ : float or ndarray of shape (n_outputs,)
        What is subtracted from y, and what the difference is divided by, before the network learns
        it.
    n_features_in_ : int
        Number of columns of a 2-D X. For images in an array their height, ``X.shape[1]``, as in
        scikit-learn; 1 for paths and lists of images.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, when X was a data frame.
    input_shape_ : tuple of (height, width, channels)
        Shape of an image.
    pixel_dtype_ : str
        Dtype of the pixels of the training images, such as "uint8". Prediction takes 8-bit files
        where it is "uint8" and 16-bit files where it is "uint16".
    pixel_range_ : tuple of (low, high)
        Range of the pixels of the training images, that of the dtype for uint8. Prediction warns
        of images of another scale.
    pixel_limits_ : tuple of (black, white) or None
        Values of black and white pixels, where padding needs them.
    image_size_ : tuple of (height, width) or None
        Size in pixels to which images are resized.
    resize_ : str
        How images are resized.
    row_shape_ : tuple of (height, width, channels) or None
        Shape of the image in a row of a 2-D X, before it is resized.
    background_ : tuple of (red, green, blue)
        Colour that replaces transparent pixels and that padding shows.
    model_ : keras.Model
        A copy of the network, compiled. What is done to it does not change the estimator.
    history_ : dict of str to list of float
        Values per epoch of ``loss``, of the same with ``val_`` where there is validation data, of
        ``learning_rate`` (that of the last step) and of ``seconds``. A name that not all epochs
        have is NaN in the others. ``warm_start`` and ``partial_fit`` append to it.
    batch_size_ : int
        Samples per training step in the last fit.
    learning_rate_ : float
        Learning rate of the last fit, or its peak; the first of a Keras schedule.
    n_steps_ : int
        Number of training steps of the last fit.
    precision_ : {"float32", "mixed_bfloat16"}
        Precision of the computations in the last fit.
    n_iter_ : int
        Number of epochs trained.
    best_iteration_ : int
        The epoch, counted from 1, whose weights the network has; 0 where the first diverged.
    callbacks_ : list of keras.callbacks.Callback
        The callbacks of the last fit.

    See Also
    --------
    ImageClassifier : Labels instead of numbers.
    sklearn.neural_network.MLPRegressor : Fully connected networks without Keras.

    Notes
    -----
    The methods are those of [1]_ (batch normalization), [2]_ (one-cycle schedule), [3]_ (decoupled
    weight decay), [4]_ (Muon) and, in section 3, [5]_ (flip and shift averaging).

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch Normalization", ICML 2015.
    .. [2] L. N. Smith and N. Topin, "Super-Convergence", 2018.
    .. [3] I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    .. [4] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    .. [5] K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024.

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

    target_mean_: float | Array
    target_scale_: float | Array

    def __init__(
        self,
        architecture: str = VGG_LITE,
        *,
        loss: str = "squared_error",
        **parameters: Unpack[ImageParameters],
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
            parse(self.architecture)  # raise before anything is learned
            weight = check_sample_weight(sample_weight, X)
            counts = weight > 0
            scale = y[counts].std(axis=0)
            self.target_mean_ = y[counts].mean(axis=0)
            self.target_scale_ = np.where(scale > 0, scale, 1.0)
        return X, self._head.encode(y)

    def _metadata(self) -> dict[str, Any]:
        mean, scale = np.asarray(self.target_mean_), np.asarray(self.target_scale_)
        return {
            "mean": mean.tolist(),
            "scale": scale.tolist(),
            **self._reading_metadata(),
        }

    def _check_restored(self, network: dict[str, Any], state: State) -> None:
        mean, scale = np.asarray(self.target_mean_), np.asarray(self.target_scale_)
        if mean.shape != scale.shape or not np.isfinite([mean, scale]).all():
            raise ValueError("its target_mean_ and target_scale_ do not match or are not finite")
        if mean.shape not in ((), (network["n_outputs"],)):
            raise ValueError("its target_mean_ does not match the outputs of its network")
        super()._check_restored(network, state)
