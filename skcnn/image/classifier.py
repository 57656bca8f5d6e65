"""Image classifiers with single-label and multi-label targets and class weights."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, ClassVar, TypedDict, Unpack

import numpy as np
from scipy.sparse import issparse
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from .._compat import Interval, StrOptions
from .._missing import check_no_missing
from .._training.network import State
from .._typing import ClassifierMixin
from .._warnings import warn
from ..heads import ClassesHead, LabelsHead
from .arrays import as_numpy
from .estimator import VGG_LITE, Array, ImageEstimator, ImageParameters
from .notation import parse


class OwnClassifierParameters(TypedDict, total=False):
    """Types of the parameters that `ImageClassifier` adds to `ImageEstimator`."""

    label_smoothing: float
    class_weight: dict[Any, float] | str | None


class ClassifierParameters(OwnClassifierParameters, ImageParameters, total=False):
    """Types of all parameters of `ImageClassifier` but `architecture`."""


class ImageClassifier(ClassifierMixin, ImageEstimator):
    """Image classifier with the architecture given as text.

    Parameters
    ----------
    architecture : str, default="[CONV-32 -> RELU]*2 -> POOL -> [CONV-64 -> RELU]*2 -> \
            POOL -> [CONV-128 -> RELU]*3 -> POOL -> GAP-4 -> FC-100 -> RELU -> FCS"
        The layers, such as ``"CONV-32 -> RELU -> POOL -> FCS"``: ``CONV-m`` (m filters, 3x3;
        ``CONV-m:5`` 5x5, ``CONV-m/2`` stride 2), ``RELU``, ``GELU``, ``SILU``, ``TANH``, ``POOL``
        (2x2 maximum; ``POOL-3``), ``AVGPOOL``, ``GAP`` (global average; ``GAP-4`` to at most 4x4),
        ``BN``, ``DROPOUT-p``, ``FC-n``, ``RES[...]`` (residual) and, last, ``FCS`` (the output
        layer). ``[...]*n`` repeats.
    label_smoothing : float, default=0.1
        Share of the target, in [0, 1), that is spread evenly over all classes. With several labels
        a sample, the share by which targets are moved to 1/2.
    class_weight : dict or "balanced", default=None
        Weights of the classes in the loss: a dict from class to weight, finite and not negative,
        or "balanced" for weights inversely proportional to the frequencies of the classes. Classes
        that the dict lacks have weight 1, with a warning; keys that are not classes of y are
        ignored as long as others are. Refused with several labels a sample, and "balanced" in
        ``partial_fit``.
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
    weight_decay : float, default=None
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
    classes_ : ndarray of shape (n_classes,)
        The class labels, sorted; with several labels a sample the numbers of the columns of y.
    multilabel_ : bool
        Whether y was an indicator matrix, for several labels a sample.
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
        Values per epoch of ``loss``, of ``accuracy`` (``subset_accuracy`` with several labels a
        sample), the same with ``val_`` where there is validation data, of ``learning_rate`` (that
        of the last step) and of ``seconds``. A name that not all epochs have is NaN in the others.
        ``warm_start`` and ``partial_fit`` append to it.
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
    VGGLite : A small VGG network, the one to start with.
    sklearn.neural_network.MLPClassifier : Fully connected networks without Keras.

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
    >>> from skcnn import ImageClassifier, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> net = ImageClassifier("CONV-16 -> RELU -> POOL -> FCS", epochs=5, random_state=0)
    >>> net.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.8
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ImageEstimator._parameter_constraints,
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _defaults: ClassVar[ImageParameters] = {"weight_decay": None}

    def __init__(
        self,
        architecture: str = VGG_LITE,
        *,
        label_smoothing: float = 0.1,
        class_weight: dict[Any, float] | str | None = None,
        **parameters: Unpack[ImageParameters],
    ) -> None:
        super().__init__(architecture, **parameters)
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight

    def predict_proba(self, X: Any) -> Array:
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width[, channels]) or (n_samples, n_features)
            The images.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float32
            Probabilities in the order of `classes_`.
        """
        return self._outputs(X)

    def predict(self, X: Any) -> Array:
        """Predict the most probable class, or the labels with a probability above one half.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width[, channels]) or (n_samples, n_features)
            The images.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Labels, or the indicator matrix of several labels.
        """
        return self._predictions(X)

    def predict_log_proba(self, X: Any) -> Array:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width[, channels]) or (n_samples, n_features)
            The images.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float32
            Logarithms of the probabilities, in the order of `classes_`; minus infinity where a
            probability is zero.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    @property
    def _head(self) -> ClassesHead | LabelsHead:
        if self.multilabel_:
            return LabelsHead(len(self.classes_), self.label_smoothing)
        return ClassesHead(self.classes_, self.label_smoothing)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _check_data(
        self, X: Any, y: Any, sample_weight: Any = None, *, reset: bool, classes: Any = None
    ) -> tuple[Any, Any]:
        y = as_numpy(y, "y")
        _check_no_missing(y)
        X, y = self._check_images(X, y, reset=reset)
        check_classification_targets(y)
        kind = type_of_target(y)
        multilabel = kind == "multilabel-indicator"
        if issparse(y):
            y = y.toarray()
        if y.ndim == 2 and not (multilabel and np.isin(y, (0, 1)).all()):
            raise ValueError(
                f"y must be 1d array of labels, or an indicator matrix of zeros and ones, got an "
                f"array of shape {y.shape} with other values."
            )
        if reset:
            # Parsed early, to raise for an invalid architecture before anything is learned.
            parse(self.architecture)
            self.multilabel_ = multilabel
            self.classes_ = _labels(y, classes, multilabel)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes={classes!r} are not those of the first call: {self.classes_!r}."
            )
        if multilabel and self.class_weight is not None:
            raise ValueError(
                f"class_weight={self.class_weight!r} needs one label per sample, but y is an "
                "indicator matrix; use sample_weight."
            )
        if multilabel != self.multilabel_:
            raise ValueError(
                "y must have one label per sample or be an indicator matrix, as in the first fit; "
                f"got a {kind} target."
            )
        return X, self._head.encode(y)

    def _metadata(self) -> dict[str, Any]:
        return {"labels": self.classes_.tolist(), **self._reading_metadata()}

    def _check_restored(self, network: dict[str, Any], state: State) -> None:
        if not hasattr(self, "multilabel_"):  # a file of version 0.1.0
            self.multilabel_ = False
        if not isinstance(self.classes_, np.ndarray) or len(self.classes_) != network["n_outputs"]:
            raise ValueError("its classes_ are not those of its network")
        if not np.array_equal(self.classes_, np.unique(self.classes_)):
            raise ValueError("its classes_ are not sorted, or not unique")
        super()._check_restored(network, state)

    def _weight_parts(self, y: Any) -> dict[str, Array]:
        if self.class_weight is None:
            return {}
        if isinstance(self.class_weight, str):
            return {"class_weight": compute_sample_weight(self.class_weight, y.codes)}
        weights = _weights_of_classes(self.class_weight, self.classes_, y.codes)
        return {"class_weight": weights[y.codes]}

    def _check_partial_fit(self) -> None:
        super()._check_partial_fit()
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit does not support class_weight='balanced', which needs all labels. "
                "Use sklearn.utils.class_weight.compute_class_weight('balanced', classes=..., "
                "y=...) on them and give the weights as a dict."
            )


def _labels(y: Array, classes: Any, multilabel: bool) -> Array:
    """Return the sorted labels; for a matrix one per column, by default its index."""
    if multilabel:
        labels: Array = np.arange(y.shape[1]) if classes is None else np.unique(classes)
        if len(labels) != y.shape[1]:
            raise ValueError(
                f"classes must have one label for each of the {y.shape[1]} columns of y, an "
                f"indicator matrix; got {len(labels)} labels: {classes!r}."
            )
        return labels
    labels = LabelEncoder().fit(y if classes is None else np.asarray(classes)).classes_
    if len(labels) < 2:
        raise ValueError(
            f"y has only one class, {labels[0]!r}; a classifier needs at least two classes."
        )
    return labels


def _check_no_missing(y: Any) -> None:
    """Refuse missing labels before NumPy converts them to str along with the others."""
    labels = y if hasattr(y, "dtype") else np.array(y, dtype=object)
    numbers = isinstance(labels, np.ndarray) and labels.dtype.kind != "O"
    if not issparse(labels) and labels.ndim == 1 and not numbers:
        check_no_missing(labels, "y", "label")


def _weights_of_classes(class_weight: dict[Any, float], classes: Array, codes: Array) -> Array:
    """Look up the weight of each class; classes missing from the dict get 1."""
    for label, weight in class_weight.items():
        number = isinstance(weight, Real) and not isinstance(weight, bool)
        if not number or not 0 <= weight < math.inf:
            raise ValueError(
                f"class_weight must have finite, non-negative numbers, got "
                f"{weight!r} for the class {label!r}."
            )
    labels = classes.tolist()
    if not class_weight.keys() & set(labels):
        raise ValueError(
            f"class_weight has none of the classes {labels}; its keys are {list(class_weight)}."
        )
    without = [labels[code] for code in np.unique(codes) if labels[code] not in class_weight]
    if without:
        warn(
            f"class_weight has no weight for the classes {without} of y; each gets 1.",
        )
    return np.array([class_weight.get(label, 1.0) for label in labels], dtype=np.float64)
