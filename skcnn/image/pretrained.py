"""Estimators that fine-tune pretrained networks."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import tempfile
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

import numpy as np
from numpy.typing import NDArray

from .._compat import Interval, StrOptions
from .._fitted import FEATURES
from .._keras import keras
from .._training.callbacks import ProgressBar
from .._training.loop import Training, TrainingRun
from .._training.network import CompiledNetwork, Plan, State, draw_weights
from .._training.optimizers import current_rate
from .._training.pool import forward, predict_in_parts
from .backbones import build_head, build_pretrained, starting_weights
from .classifier import ImageClassifier, OwnClassifierParameters
from .estimator import AnyImageParameters, ImageEstimator, ImageParameters
from .features import Backbone, PretrainedInputs, set_preparation
from .regressor import ImageRegressor, OwnRegressorParameters
from .weights import IMAGENET

Array = NDArray[Any]

# Maximum bytes of features in memory; larger arrays are memory-mapped to a temporary file.
FEATURES_IN_MEMORY = 2**28

# Factor of the learning rate in the second phase.
FINE_SHARE = 0.1

# Below this share of the loss of a constant prediction, the rate of the second phase falls with
# the training loss of the head: what has little left to learn only drifts. MobileNetV2 with
# photographs of 224 px fell from 0.899 to 0.860 without it.
LITTLE_LEFT = 0.1

# Least epsilon of Adam in the second phase. Adam's steps do not shrink with the gradient, so a
# network whose head has learned a few samples by heart would drift. MobileNetV2 at 97 px, the
# head alone, then with 1e-4, 1e-3, 3e-3 and 1e-2: 142 photographs 0.860, 0.827, 0.849, 0.866,
# 0.877; 2,000 images of CIFAR-10 (JPEG copy) 0.674, -, 0.781, 0.780, 0.742. Digits with a backbone
# that has learned other digits, median of three seeds, lose four points from 1e-3 to 3e-3.
FINE_EPSILON = 1e-3

# Share of the steps of the second phase over which its weights are averaged. MobileNetV2 at 97 px,
# the head alone and after each epoch, with the last weights and with averages: 142 photographs
# 0.860; 0.849 0.820 0.843 0.877 0.849 and 0.860; 0.860 0.865 0.854 0.865 0.877; 2,000 images of
# CIFAR-10 (JPEG copy) 0.674; 0.636 0.695 0.727 0.781 and 0.674; 0.707 0.732 0.775 0.783. Twice
# the share gives 0.877 and 0.787.
AVERAGED_SHARE = 0.2

# Defaults of inherited parameters.
PRETRAINED_DEFAULTS: ImageParameters = {
    "batch_size": 32,
    "epochs": 5,
    "optimizer": "adam",
    "resize": "crop",
    "weight_decay": 0.0,
}

# The numbers of the phases in checkpoints.
HEAD, WHOLE = range(2)

# Number of arrays in the head: kernel and bias.
N_HEAD = 2


if TYPE_CHECKING:

    class _Part(PretrainedInputs, ImageEstimator):
        """The bases of a class with this mixin, for type checkers."""
else:
    _Part = PretrainedInputs


class PretrainedTraining(_Part):
    """Mixin that trains a new head on a pretrained network, in two phases.

    In the first phase the network is frozen; without augmentation its features are computed only
    once. In the second phase the top of the network is trained with the head.
    """

    _pretrained_constraints: ClassVar[dict[str, list[Any]]] = {
        **PretrainedInputs._backbone_constraints,
        "trainable": [Interval(Integral, 0, None, closed="left"), StrOptions({"all"})],
        "frozen_epochs": [Interval(Integral, 0, None, closed="left")],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }
    _build: ClassVar[Any] = staticmethod(build_pretrained)
    _former_arguments: ClassVar[dict[str, str]] = {}

    trainable: int | str
    frozen_epochs: int
    layer_decay: float
    dropout: float

    # The network

    def _network_arguments(self, X: Any, y: Any) -> dict[str, Any]:
        return {**self._read_backbone()[0], **self._head_arguments()}

    def _head_arguments(self) -> dict[str, Any]:
        head: Any = self._head
        trainable = self.trainable
        return {
            "n_outputs": head.n_outputs,
            "activation": head.activation,
            "trainable": trainable if isinstance(trainable, str) else int(trainable),
            "layer_decay": float(self.layer_decay),
            "dropout": float(self.dropout),
        }

    def _training_plan(self, X: Any, y: Any, reset: bool) -> Plan:
        if reset:
            return super()._training_plan(X, y, reset)
        # The weights are not read again, as the file may have been moved.
        learned = dict(self._plan.arguments)
        asked = {"backbone": self._backbone_argument(), **self._head_arguments()}
        # These may change between fits.
        changed = {name: asked.pop(name) for name in ("trainable", "layer_decay")}
        self._check_same_network(learned, asked)
        self._plan = self._plan.changed(**changed)
        return self._plan.changed(dtype=self.precision_, **self._training_layers)

    def _prepare_pixels(self, model: keras.Model, X: Any, rows: Array) -> None:
        arguments, brought = self._read_backbone()
        set_preparation(model, arguments["backbone"], brought, self._limits)

    @property
    def _limits(self) -> tuple[float, float]:
        assert self.pixel_limits_ is not None
        return self.pixel_limits_

    def _learn_statistics(self, X: Any, rows: Array) -> None:
        super()._learn_statistics(X, rows)
        if self.pixel_limits_ is None:
            self.pixel_limits_ = self._checked_limits(X)

    def _training_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super()._training_params()
        # Identify weights by their contents, not by the path.
        if self.warm_start and self.__sklearn_is_fitted__():
            params["backbone"] = self._backbone_argument()
            params["weights"] = self.weights_sha256_
        else:
            arguments, brought = self._read_backbone()
            params["backbone"] = arguments["backbone"]
            params["weights"] = None if brought is None else brought.sha256
        return params

    def _layer_names(self) -> list[str]:
        return []

    def _check_restored_layers(self, network: dict[str, Any], state: State) -> None:
        self._check_restored_backbone(network, state)

    # Training

    def _train_network(self, training: Training) -> None:
        samples, epochs = training.samples, self._epochs_of_phases(training)
        plan = self._training_plan(samples.X, samples.y, training.reset)
        done = 0 if training.reset else self.n_iter_
        if self.verbose == 1:
            n_batches = self._n_batches(len(training.division.rows))
            training.bar = ProgressBar(done + sum(epochs), n_batches, done)
            training.bar.remaining = epochs[WHOLE]
        if epochs[HEAD] and not self._is_over(HEAD, training):
            phase = dataclasses.replace(training, epochs=epochs[HEAD])
            if phase.bar is not None:
                phase.bar.goes_on = epochs[WHOLE] > 0
            train = self._train_frozen if self._augments() else self._train_head
            best, goes_on = train(phase, plan)
            training = dataclasses.replace(training, reset=False, best=best)
            if not goes_on:
                return
        if epochs[WHOLE]:
            self._is_over(WHOLE, training)
            if training.bar is not None:
                training.bar.goes_on = False
            share = FINE_SHARE * (self._left_to_learn(training) if epochs[HEAD] else 1)
            self._train_whole(dataclasses.replace(training, epochs=epochs[WHOLE]), plan, share)

    def _epochs_of_phases(self, training: Training) -> tuple[int, int]:
        """Return the number of epochs of each phase."""
        tunes = self.trainable != 0
        if not training.is_whole:
            done = 0 if training.reset else self.n_iter_
            return (0, 1) if tunes and done >= self.frozen_epochs else (1, 0)
        if not training.reset and tunes:
            return 0, training.epochs
        if not tunes and not self.frozen_epochs:
            raise ValueError(
                "frozen_epochs=0 and trainable=0 leave nothing to train; set frozen_epochs, the "
                "number of epochs that train only the head, or trainable."
            )
        return self.frozen_epochs, training.epochs if tunes else 0

    def _all_epochs(self, n_epochs: int) -> int:
        return self.frozen_epochs + (n_epochs if self.trainable != 0 else 0)

    def _augments(self) -> bool:
        augmentation = self.augmentation
        return augmentation is not None and augmentation._does_something()

    def _is_over(self, phase: int, training: Training) -> bool:
        """Set the phase of the checkpoint; return whether the checkpoint is of a later one."""
        if training.checkpoint is None:
            return False
        training.checkpoint.phase = phase
        return training.checkpoint.is_over

    def _train_head(self, training: Training, plan: Plan) -> tuple[Any, bool]:
        """Train the head on features that are computed once."""
        start = None if training.reset else self._state
        base = self._base_weights(training, plan)
        n_seeds = forward(self._plan).n_seeds
        features = self._with_features(training, base)

        def load(network: CompiledNetwork) -> None:
            network.start(training.build_seed)
            if start is None:
                self._start_head(network.model, training)
                return
            seeds = start.seeds if len(start.seeds) == len(network.first.seeds) else []
            own = State(start.kind, start.weights[-N_HEAD:], seeds, start.optimizer)
            network.load(own if seeds else dataclasses.replace(own, seeds=network.state().seeds))

        found: list[Any] = []

        def learn(run: TrainingRun) -> None:
            state = run.state()
            seeds = state.seeds if len(state.seeds) == n_seeds else []
            whole = State(state.kind, [*base, *state.weights], seeds, state.optimizer)
            self._learn_from(run, whole)
            found.append(self._best_of(run))

        arguments = {"n_features": features.samples.X.shape[1], **self._head_arguments()}
        of_head = ("n_features", "n_outputs", "activation", "dropout")
        head = Plan(build_head, tuple((name, arguments[name]) for name in of_head))
        history = {} if start is None else self.history_
        self._frozen_weights = base
        try:
            goes_on = self._fit_network(features, head, load, learn, history)
        finally:
            del self._frozen_weights
        return found[0], goes_on

    def _train_frozen(self, training: Training, plan: Plan) -> tuple[Any, bool]:
        """Train the head on images that are augmented in every epoch."""
        return self._train_images(training, plan.changed(trainable=0, layer_decay=1.0))

    def _left_to_learn(self, training: Training) -> float:
        """Return the training loss of the head as a share, up to 1, of `LITTLE_LEFT`."""
        saved = None if training.checkpoint is None else training.checkpoint.saved
        losses = self.history_["loss"] if saved is None else saved.history["loss"][: saved.first]
        samples, division = training.samples, training.division
        constant = self._head.baseline(samples.y, division.rows, division.weight)
        return min(1.0, losses[-1] / (LITTLE_LEFT * constant)) if constant else 1.0

    def _train_whole(self, training: Training, plan: Plan, share: float) -> None:
        """Train the head and the top of the network at a share of the learning rate."""
        slower = self._make_optimizer(training.schedule)
        if not isinstance(slower.get_config()["learning_rate"], dict):
            slower.learning_rate = share * current_rate(slower)
        if isinstance(self.optimizer, str):
            given = self.get_params(deep=False)
            if hasattr(slower, "epsilon") and "optimizer__epsilon" not in given:
                slower.epsilon = max(slower.epsilon, FINE_EPSILON)
            if "optimizer__use_ema" not in given:
                slower.use_ema, slower.ema_momentum = True, self._ema_momentum(training)
        self._train_images(dataclasses.replace(training, optimizer=slower), plan)

    def _ema_momentum(self, training: Training) -> float:
        """Return the momentum of an average over about `AVERAGED_SHARE` of the steps."""
        if not training.is_whole:
            return 0.0  # no average, but an optimizer with the same variables
        n_steps = training.epochs * self._n_batches(len(training.division.rows))
        # A power of two, as each momentum needs another compiled network.
        return 1 - 2.0 ** -max(0, round(math.log2(AVERAGED_SHARE * n_steps)))

    def _train_images(self, training: Training, plan: Plan) -> tuple[Any, bool]:
        state = None if training.reset else self._state
        division = training.division

        def load(network: CompiledNetwork) -> None:
            network.start(training.build_seed)
            if state is None:
                samples, rows = training.samples, division.rows
                self._initialize(network.model, samples.X, samples.y, division.weight, rows)
            elif len(state.seeds) == len(network.first.seeds):
                network.load(state)
            else:  # the state is from `_train_head`
                network.load(dataclasses.replace(state, seeds=network.state().seeds))

        found: list[Any] = []

        def learn(run: TrainingRun) -> None:
            self._learn_from(run)
            found.append(self._best_of(run))

        history = {} if state is None else self.history_
        goes_on = self._fit_network(training, plan, load, learn, history)
        return found[0], goes_on

    def _best_of(self, run: TrainingRun) -> tuple[float | None, int] | None:
        """Return the best value and epoch, from which early stopping in the next phase starts."""
        if not self.early_stopping:
            return None
        return run.best.best, run.best.best_epoch

    def _start_head(self, model: keras.Model, training: Training) -> None:
        division = training.division
        bias = self._head.bias(training.samples.y, division.rows, division.weight)
        if bias is not None:
            model.layers[-1].bias.assign(bias)

    def _base_weights(self, training: Training, plan: Plan) -> list[Array]:
        """Return the weights of the network without its head."""
        if not training.reset:
            return self._state.weights[:-N_HEAD]
        arguments, brought = self._read_backbone()
        if brought is not None:
            return starting_weights(brought, self._limits)
        model = plan.changed(dtype="float32").model()
        draw_weights(model, np.random.default_rng(training.build_seed))
        set_preparation(model, arguments["backbone"], None, self._limits)
        weights: list[Array] = model.get_weights()
        return weights[:-N_HEAD]

    def _with_features(self, training: Training, base: list[Array]) -> Training:
        """Replace the images of a training run by their features."""
        network = forward(self._plan)
        n_outputs = self._head.n_outputs
        shapes: tuple[tuple[int, ...], ...] = ((network.n_features, n_outputs), (n_outputs,))
        of_head: list[Array] = [np.zeros(shape, np.float32) for shape in shapes]
        weights = network.prepared([*base, *of_head])

        def features(X: Any) -> Array:
            return predict_in_parts(
                lambda batch: network(batch, weights)[FEATURES],
                X,
                network.n_features,
                empty=_empty_features,
            )

        samples, division = training.samples, training.division
        X, validation = features(samples.X), division.validation
        if validation is not None:
            held_out = X if validation.X is samples.X else features(validation.X)
            validation = dataclasses.replace(validation, X=held_out)
        return dataclasses.replace(
            training,
            samples=dataclasses.replace(samples, X=X),
            division=dataclasses.replace(division, validation=validation),
        )

    def _at(self, state: State) -> Any:
        frozen = getattr(self, "_frozen_weights", None)
        if frozen is not None:
            state = State(state.kind, [*frozen, *state.weights], [], [])
        return super()._at(state)


def _empty_features(shape: tuple[int, ...], dtype: Any) -> Array:
    """Allocate an array in memory, or memory-mapped to a file that is deleted with it."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if n_bytes <= FEATURES_IN_MEMORY:
        return np.empty(shape, dtype)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if n_bytes > free:  # writing to the array would kill the process
        raise OSError(
            f"the features of {shape[0]} images take {n_bytes / 1e6:.0f} MB, but {folder!r} has "
            f"{free / 1e6:.0f} MB left; set the environment variable TMPDIR to another folder."
        )
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


class PretrainedClassifierParameters(OwnClassifierParameters, AnyImageParameters, total=False):
    """Types of the parameters that `PretrainedClassifier` shares with `ImageClassifier`."""


class PretrainedRegressorParameters(OwnRegressorParameters, AnyImageParameters, total=False):
    """Types of the parameters that `PretrainedRegressor` shares with `ImageRegressor`."""


class PretrainedClassifier(PretrainedTraining, ImageClassifier):
    """A new head on a pretrained network, trained first alone and then with the network.

    Few images are needed, as the network has learned from others what images are made of. In the
    first phase its features are computed once, and the head learns from them in seconds. In the
    second phase the network is trained further, at a lower learning rate towards the input; its
    batch normalizations keep the statistics of the pretraining.

    Parameters
    ----------
    backbone : str or estimator, default="MobileNetV2"
        The pretrained network: "MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large",
        "EfficientNetB0", "EfficientNetV2B0", "ResNet50V2", "DenseNet121", "NASNetMobile" or
        "ConvNeXtTiny" of `keras.applications`, without its top, or a fitted image estimator of
        this package, whose last layer is replaced. In the grid of a search an estimator is wrapped
        as `sklearn.frozen.FrozenEstimator`.
    weights : str, path or None, default="imagenet"
        Weights of the backbone: "imagenet" for those that Keras downloads once and caches, a file
        that Keras has written of the network without its top, or None for random ones. Read in
        ``fit``, once a process.
    frozen_epochs : int, default=20
        Number of passes over the training data in the first phase, in which the head alone is
        trained. Where nothing is augmented, the backbone computes its features once. In
        ``partial_fit``, the number of calls that train the head alone.
    trainable : int or "all", default="all"
        Blocks of the backbone, counted from its top, that the second phase trains. 0 leaves the
        second phase out.
    layer_decay : float, default=0.8
        Factor, in (0, 1], of the learning rate from the head to the highest block of the backbone
        and from every block to the one below it.
    dropout : float, default=0.2
        Share of the features, in [0, 1), that the head does not see in a training step.
    label_smoothing : float, default=0.0
        Share of the target, in [0, 1), that is spread evenly over all classes. With several labels
        a sample, the share by which targets are moved to 1/2.
    class_weight : dict or "balanced", default=None
        Weights of the classes in the loss: a dict from class to weight, finite and not negative,
        or "balanced" for weights inversely proportional to the frequencies of the classes. Classes
        that the dict lacks have weight 1, with a warning; keys that are not classes of y are
        ignored as long as others are. Refused with several labels a sample, and "balanced" in
        ``partial_fit``.
    input_shape : tuple of (height, width) or (height, width, channels), default=None
        Shape of the images of a 2-D X, whose rows are flattened images. None takes a square grey
        image where the number of features is a square, and one row of pixels otherwise, with a
        warning. Images of another shape are refused.
    augmentation : ImageAugmenter, default=None
        Random changes of the training images, drawn anew in every epoch. Its parameters are
        searched as ``augmentation__horizontal_flip``. Images for validation and prediction are not
        changed.
    image_size : int or tuple of (height, width), default=None
        Size in pixels to which images are resized, an integer for a square, at least 32: files,
        arrays, and lists of arrays and of Pillow's images, in fit and in prediction. None takes
        224, for which the networks were designed, or the size of a backbone of this package.
    resize : {"stretch", "crop", "pad"}, default="crop"
        How images are resized: "stretch" changes the aspect ratio, "crop" cuts off what is beyond
        it on the longer side, "pad" fills the shorter side with the `background`.
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
    epochs : int or "auto", default=5
        Number of passes over the training data in the second phase, in which the backbone is
        trained, too, at least 1. "auto" is 20, and more for few samples, for at least 640 training
        steps. With `warm_start` every ``fit`` adds as many; ``partial_fit`` always makes one.
    batch_size : int or "auto", default=32
        Samples per training step, at least 1. "auto" is 128, and less for fewer than 2,048
        samples, down to 8, so that an epoch has about 16 steps.
    optimizer : str, keras.optimizers.Optimizer or class, default="adam"
        Name, instance or class of a Keras optimizer; a name is the class in lower case. Other
        arguments of a name or class are set as ``optimizer__momentum=0.9``. "muon" orthogonalizes
        the updates of kernels, and leaves biases, normalizations and fully connected layers to
        Adam.
    learning_rate : float, default=None
        Learning rate of the first phase, or its peak under "one_cycle" and "cosine"; positive. The
        second phase has a tenth of it, and less where the head has learned the training data
        almost by heart, with a loss below a tenth of that of a constant prediction. None takes
        that of an optimizer instance, and for a name or class 0.01 ("muon", "adam", "adamw",
        "nadam"), 0.1 ("sgd") or 1.0 ("adadelta"); for other optimizers, and all but "adadelta"
        under "constant", the default of Keras. Refused beside a Keras schedule, which both phases
        follow, and ``optimizer__learning_rate``. In the second phase an optimizer given by name
        has an ``epsilon`` of at least 0.001, unless ``optimizer__epsilon`` is set: steps then
        become small where little is left to learn. And its weights are averaged over about a fifth
        of the steps, unless ``optimizer__use_ema`` is False.
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
    weights_sha256_ : str or None
        SHA-256 of the file of the weights; of a backbone of this package, of its weights.
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
    pixel_limits_ : tuple of (black, white)
        The values that the network takes as black and white: 0 and 255 for uint8; else 0 and 1,
        255 or 65535, where all pixels are within them and not much darker; else the range.
    image_size_ : tuple of (height, width)
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
    ImageFeatures : The features alone, for other estimators of scikit-learn.
    ImageClassifier : Networks that are trained from nothing.

    Notes
    -----
    The pixels are prepared as the network asks for; images are given as they are. In `history_`
    the epochs of both phases follow each other. Early stopping compares across both, so that the
    second never ends with less than the first. A saved file has the weights, so that loading it
    needs no download.

    The phases are those of Keras's guide to transfer learning and of [1]_; the rates of the layers
    are those of [2]_.

    References
    ----------
    .. [1] J. Howard and S. Gugger, "fastai: A Layered API for Deep Learning", Information 11(2),
       2020.
    .. [2] J. Howard and S. Ruder, "Universal Language Model Fine-tuning for Text Classification",
       ACL 2018.

    Examples
    --------
    >>> from skcnn import MiniCNN, PretrainedClassifier, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> low, high = y < 5, y >= 5
    >>> backbone = MiniCNN(epochs=5, random_state=0).fit(X[low], y[low])
    >>> net = PretrainedClassifier(backbone, random_state=0).fit(X[high][:200], y[high][:200])
    >>> net.score(X[high][200:], y[high][200:]) > 0.8
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ImageClassifier._parameter_constraints,
        **PretrainedTraining._pretrained_constraints,
    }
    _defaults: ClassVar[Any] = {**PRETRAINED_DEFAULTS, "label_smoothing": 0.0}
    architecture = "FCS"  # unused, as are the next two
    batch_norm = False
    standardize = False

    def __init__(
        self,
        backbone: Backbone = "MobileNetV2",
        *,
        weights: str | os.PathLike[str] | None = IMAGENET,
        frozen_epochs: int = 20,
        trainable: int | str = "all",
        layer_decay: float = 0.8,
        dropout: float = 0.2,
        **parameters: Unpack[PretrainedClassifierParameters],
    ) -> None:
        super().__init__(**parameters)
        self.backbone = backbone
        self.weights = weights
        self.frozen_epochs = frozen_epochs
        self.trainable = trainable
        self.layer_decay = layer_decay
        self.dropout = dropout


class PretrainedRegressor(PretrainedTraining, ImageRegressor):
    """Numbers, from a new head on a pretrained network that is trained in two phases.

    Few images are needed, as the network has learned from others what images are made of. In the
    first phase its features are computed once, and the head learns from them in seconds. In the
    second phase the network is trained further, at a lower learning rate towards the input; its
    batch normalizations keep the statistics of the pretraining.

    Parameters
    ----------
    backbone : str or estimator, default="MobileNetV2"
        The pretrained network: "MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large",
        "EfficientNetB0", "EfficientNetV2B0", "ResNet50V2", "DenseNet121", "NASNetMobile" or
        "ConvNeXtTiny" of `keras.applications`, without its top, or a fitted image estimator of
        this package, whose last layer is replaced. In the grid of a search an estimator is wrapped
        as `sklearn.frozen.FrozenEstimator`.
    weights : str, path or None, default="imagenet"
        Weights of the backbone: "imagenet" for those that Keras downloads once and caches, a file
        that Keras has written of the network without its top, or None for random ones. Read in
        ``fit``, once a process.
    frozen_epochs : int, default=20
        Number of passes over the training data in the first phase, in which the head alone is
        trained. Where nothing is augmented, the backbone computes its features once. In
        ``partial_fit``, the number of calls that train the head alone.
    trainable : int or "all", default="all"
        Blocks of the backbone, counted from its top, that the second phase trains. 0 leaves the
        second phase out.
    layer_decay : float, default=0.8
        Factor, in (0, 1], of the learning rate from the head to the highest block of the backbone
        and from every block to the one below it.
    dropout : float, default=0.2
        Share of the features, in [0, 1), that the head does not see in a training step.
    loss : {"squared_error", "absolute_error", "huber"}, default="squared_error"
        Loss of the standardized targets. "huber" is quadratic up to an error of one standard
        deviation of y and linear beyond.
    input_shape : tuple of (height, width) or (height, width, channels), default=None
        Shape of the images of a 2-D X, whose rows are flattened images. None takes a square grey
        image where the number of features is a square, and one row of pixels otherwise, with a
        warning. Images of another shape are refused.
    augmentation : ImageAugmenter, default=None
        Random changes of the training images, drawn anew in every epoch. Its parameters are
        searched as ``augmentation__horizontal_flip``. Images for validation and prediction are not
        changed.
    image_size : int or tuple of (height, width), default=None
        Size in pixels to which images are resized, an integer for a square, at least 32: files,
        arrays, and lists of arrays and of Pillow's images, in fit and in prediction. None takes
        224, for which the networks were designed, or the size of a backbone of this package.
    resize : {"stretch", "crop", "pad"}, default="crop"
        How images are resized: "stretch" changes the aspect ratio, "crop" cuts off what is beyond
        it on the longer side, "pad" fills the shorter side with the `background`.
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
    epochs : int or "auto", default=5
        Number of passes over the training data in the second phase, in which the backbone is
        trained, too, at least 1. "auto" is 20, and more for few samples, for at least 640 training
        steps. With `warm_start` every ``fit`` adds as many; ``partial_fit`` always makes one.
    batch_size : int or "auto", default=32
        Samples per training step, at least 1. "auto" is 128, and less for fewer than 2,048
        samples, down to 8, so that an epoch has about 16 steps.
    optimizer : str, keras.optimizers.Optimizer or class, default="adam"
        Name, instance or class of a Keras optimizer; a name is the class in lower case. Other
        arguments of a name or class are set as ``optimizer__momentum=0.9``. "muon" orthogonalizes
        the updates of kernels, and leaves biases, normalizations and fully connected layers to
        Adam.
    learning_rate : float, default=None
        Learning rate of the first phase, or its peak under "one_cycle" and "cosine"; positive. The
        second phase has a tenth of it, and less where the head has learned the training data
        almost by heart, with a loss below a tenth of that of a constant prediction. None takes
        that of an optimizer instance, and for a name or class 0.01 ("muon", "adam", "adamw",
        "nadam"), 0.1 ("sgd") or 1.0 ("adadelta"); for other optimizers, and all but "adadelta"
        under "constant", the default of Keras. Refused beside a Keras schedule, which both phases
        follow, and ``optimizer__learning_rate``. In the second phase an optimizer given by name
        has an ``epsilon`` of at least 0.001, unless ``optimizer__epsilon`` is set: steps then
        become small where little is left to learn. And its weights are averaged over about a fifth
        of the steps, unless ``optimizer__use_ema`` is False.
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
    weights_sha256_ : str or None
        SHA-256 of the file of the weights; of a backbone of this package, of its weights.
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
    pixel_limits_ : tuple of (black, white)
        The values that the network takes as black and white: 0 and 255 for uint8; else 0 and 1,
        255 or 65535, where all pixels are within them and not much darker; else the range.
    image_size_ : tuple of (height, width)
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
    ImageFeatures : The features alone, for other estimators of scikit-learn.
    ImageRegressor : Networks that are trained from nothing.

    Notes
    -----
    The pixels are prepared as the network asks for; images are given as they are. In `history_`
    the epochs of both phases follow each other. Early stopping compares across both, so that the
    second never ends with less than the first. A saved file has the weights, so that loading it
    needs no download.

    The phases are those of Keras's guide to transfer learning and of [1]_; the rates of the layers
    are those of [2]_.

    References
    ----------
    .. [1] J. Howard and S. Gugger, "fastai: A Layered API for Deep Learning", Information 11(2),
       2020.
    .. [2] J. Howard and S. Ruder, "Universal Language Model Fine-tuning for Text Classification",
       ACL 2018.

    Examples
    --------
    >>> from skcnn import MiniCNN, PretrainedRegressor, load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> ink = X.sum(axis=(1, 2))
    >>> backbone = MiniCNN(epochs=5, random_state=0).fit(X[:1000], y[:1000])
    >>> net = PretrainedRegressor(backbone, random_state=0).fit(X[1000:1400], ink[1000:1400])
    >>> net.score(X[1400:], ink[1400:]) > 0.8
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ImageRegressor._parameter_constraints,
        **PretrainedTraining._pretrained_constraints,
    }
    _defaults = PRETRAINED_DEFAULTS
    architecture = "FCS"  # unused, as are the next two
    batch_norm = False
    standardize = False

    def __init__(
        self,
        backbone: Backbone = "MobileNetV2",
        *,
        weights: str | os.PathLike[str] | None = IMAGENET,
        frozen_epochs: int = 20,
        trainable: int | str = "all",
        layer_decay: float = 0.8,
        dropout: float = 0.2,
        **parameters: Unpack[PretrainedRegressorParameters],
    ) -> None:
        super().__init__(**parameters)
        self.backbone = backbone
        self.weights = weights
        self.frozen_epochs = frozen_epochs
        self.trainable = trainable
        self.layer_decay = layer_decay
        self.dropout = dropout
