"""Image classifiers with a fixed architecture."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from .classifier import ClassifierParameters, ImageClassifier
from .estimator import VGG_LITE


class Preset(ImageClassifier):
    """Base class of the presets; type checkers see that it has no parameter `architecture`."""

    def __init__(self, **parameters: Unpack[ClassifierParameters]) -> None:
        super().__init__(**parameters)

    def _check_same_network(self, learned: dict[str, Any], asked: dict[str, Any]) -> None:
        # Files of version 0.1.0 have the architecture that the preset had then.
        same = asked | {"architecture": learned["architecture"]}
        super()._check_same_network(learned, same)


class FeedForward(Preset):
    """One hidden layer with dropout, no convolution.

    The architecture is fixed: ``FC-300 -> RELU -> DROPOUT-0.5 -> FCS``.

    Parameters
    ----------
    label_smoothing : float, default=0.0
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
        optimizer instance, and for a name or class 0.003 ("muon", "adam", "adamw", "nadam"), 0.03
        ("sgd") or 0.3 ("adadelta"); for other optimizers, and all but "adadelta" under "constant",
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
    ImageClassifier : Image classifier with any architecture.

    Examples
    --------
    >>> from skcnn import FeedForward, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> FeedForward(epochs=5, random_state=0).fit(X[:1000], y[:1000]).predict(X[:3])
    array([0, 1, 2])
    """

    architecture = "FC-300 -> RELU -> DROPOUT-0.5 -> FCS"
    # Ten epochs of 45,000 images of CIFAR-10 (JPEG copy): 0.550; without the smaller rate about
    # 0.49, with label smoothing of 0.1 0.545. 1,100 digits: 0.978, and 0.988 at the common rate.
    _defaults: ClassVar[ClassifierParameters] = {"label_smoothing": 0.0}
    _rate_share = 0.3


class MiniCNN(Preset):
    """One convolution, one pooling.

    The architecture is fixed: ``CONV-32 -> RELU -> POOL -> FCS``.

    Parameters
    ----------
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
    ImageClassifier : Image classifier with any architecture.

    Examples
    --------
    >>> from skcnn import MiniCNN, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> MiniCNN(epochs=15, random_state=0).fit(X[:1000], y[:1000]).predict(X[:3])
    array([0, 1, 2])
    """

    architecture = "CONV-32 -> RELU -> POOL -> FCS"


class StackedCNN(Preset):
    """Two blocks of two convolutions and one hidden layer.

    The architecture is fixed:
    ``[[CONV-32 -> RELU]*2 -> POOL]*2 -> GAP-8 -> FC-100 -> RELU -> FCS``. ``GAP-8`` averages the
    maps of images of more than 32 pixels to 8x8.

    Parameters
    ----------
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
    ImageClassifier : Image classifier with any architecture.

    Examples
    --------
    >>> from skcnn import StackedCNN, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> StackedCNN(epochs=5, random_state=0).fit(X[:1000], y[:1000]).predict(X[:3])
    array([0, 1, 2])
    """

    architecture = "[[CONV-32 -> RELU]*2 -> POOL]*2 -> GAP-8 -> FC-100 -> RELU -> FCS"


class VGGLite(Preset):
    """A small VGG network of seven convolutions, the one to start with.

    The architecture follows [1]_ and is fixed:
    ``[CONV-32 -> RELU]*2 -> POOL -> [CONV-64 -> RELU]*2 -> POOL -> [CONV-128 -> RELU]*3 -> POOL
    -> GAP-4 -> FC-100 -> RELU -> FCS``. ``GAP-4`` averages the maps of images of more than 32
    pixels to 4x4.

    Parameters
    ----------
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
    ImageClassifier : Image classifier with any architecture.

    References
    ----------
    .. [1] K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
       Recognition", ICLR 2015.

    Examples
    --------
    >>> from skcnn import VGGLite, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> VGGLite(epochs=5, random_state=0).fit(X[:400], y[:400]).predict(X[:3])
    array([0, 1, 2])
    """

    architecture = VGG_LITE


class SpeedNet(Preset):
    """The network of airbench94: wide convolutions, pooled early.

    The defaults of `epochs` and `label_smoothing` are those of airbench94 [1]_. The architecture
    is fixed:
    ``CONV-24:2 -> GELU -> CONV-64 -> POOL -> GELU -> CONV-64 -> GELU
    -> [CONV-256 -> POOL -> GELU -> CONV-256 -> GELU]*2 -> POOL-4 -> FCS``.

    Unlike in airbench94 the first layer is learned, not computed from the patches of the images,
    and a batch is of 128 images, not 1,024. Its flips and shifts, in `augmentation` and in
    `flip_averaging` and `shift_averaging`, are asked for here, as they depend on the images.

    Parameters
    ----------
    label_smoothing : float, default=0.2
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
    epochs : int or "auto", default=10
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
    ImageClassifier : Image classifier with any architecture.
    VGGLite : A smaller network.

    References
    ----------
    .. [1] K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024.

    Examples
    --------
    >>> from skcnn import SpeedNet, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> SpeedNet(epochs=2, batch_size=50, random_state=0).fit(X[:400], y[:400]).predict(X[:3])
    array([0, 1, 2])
    """

    architecture = (
        "CONV-24:2 -> GELU -> CONV-64 -> POOL -> GELU -> CONV-64 -> GELU -> "
        "[CONV-256 -> POOL -> GELU -> CONV-256 -> GELU]*2 -> POOL-4 -> FCS"
    )
    _defaults: ClassVar[ClassifierParameters] = {
        "epochs": 10,
        "label_smoothing": 0.2,
        "weight_decay": 0.0,
    }


# The architectures by the names of the presets.
ARCHITECTURES = {
    cls.__name__: cls.architecture for cls in (FeedForward, MiniCNN, SpeedNet, StackedCNN, VGGLite)
}
