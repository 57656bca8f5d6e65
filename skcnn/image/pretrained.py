"""Estimators on pretrained networks: a head first, then the top of the network."""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from .._compat import Interval, StrOptions
from .._fitted import FEATURES
from .._training.callbacks import ProgressBar
from .._training.loop import Training, TrainingRun
from .._training.network import CompiledNetwork, Plan, State, draw_weights
from .._training.pool import forward, predict_in_parts
from .backbones import build_head, build_pretrained, prepared
from .classifier import ClassifierParameters, ImageClassifier
from .estimator import ImageEstimator, ImageParameters
from .features import Backbone, PretrainedInputs, set_preparation
from .regressor import ImageRegressor, RegressorParameters
from .weights import IMAGENET

Array = NDArray[Any]

# Features up to here are kept in memory, more of them in a temporary file.
FEATURES_IN_MEMORY = 2**28

# The learning rate of the second phase in shares of that of the first.
FINE_SHARE = 0.1

# Defaults of inherited parameters.
PRETRAINED_DEFAULTS: ImageParameters = {
    "batch_size": 32,
    "epochs": 5,
    "optimizer": "adam",
    "resize": "crop",
}

# The phases of a training, as checkpoints number them.
HEAD, WHOLE = range(2)

# Weights of the head: kernel and bias.
N_HEAD = 2


if TYPE_CHECKING:

    class _Part(PretrainedInputs, ImageEstimator):
        """What a class with this part is, to those who check types."""
else:
    _Part = PretrainedInputs


class PretrainedTraining(_Part):
    """Part of an image estimator: a new head on a pretrained network, trained in two phases.

    In the first the network is frozen. Where nothing is augmented, its features are computed
    once. In the second its top is trained, too.
    """

    _pretrained_constraints: ClassVar[dict[str, list[Any]]] = {
        **PretrainedInputs._backbone_constraints,
        "trainable": [Interval(Integral, 0, None, closed="left"), StrOptions({"all"})],
        "frozen_epochs": [Interval(Integral, 0, None, closed="left")],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }
    _build: ClassVar[Any] = staticmethod(build_pretrained)
    _training_layers: ClassVar[dict[str, Any]] = {}
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
        # Not read again: the file of the weights may be elsewhere.
        learned = dict(self._plan.arguments)
        asked = {"backbone": self._backbone_argument(), **self._head_arguments()}
        # More of the network may be trained than before.
        changed = {name: asked.pop(name) for name in ("trainable", "layer_decay")}
        self._check_same_network(learned, asked)
        self._plan = self._plan.changed(**changed)
        return self._plan.changed(dtype=self.precision_)

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
        # The contents of the file, wherever it is.
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
            n_batches = -(-len(training.division.rows) // self.batch_size)
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
            self._train_whole(dataclasses.replace(training, epochs=epochs[WHOLE]), plan)

    def _epochs_of_phases(self, training: Training) -> tuple[int, int]:
        """Return how many epochs are of each phase."""
        tunes = self.trainable != 0
        if not training.is_whole:
            done = 0 if training.reset else self.n_iter_
            return (0, 1) if tunes and done >= self.frozen_epochs else (1, 0)
        if not training.reset and tunes:
            return 0, training.epochs
        if not tunes and not self.frozen_epochs:
            raise ValueError(
                "frozen_epochs=0 and trainable=0 leave nothing to train; set frozen_epochs, the "
                "epochs in which the head is trained, or trainable."
            )
        return self.frozen_epochs, training.epochs if tunes else 0

    def _augments(self) -> bool:
        augmentation = self.augmentation
        return augmentation is not None and augmentation._does_something()

    def _is_over(self, phase: int, training: Training) -> bool:
        """Tell checkpoints the phase, and return whether an earlier process has finished it."""
        if training.checkpoint is None:
            return False
        training.checkpoint.phase = phase
        return training.checkpoint.is_over

    def _train_head(self, training: Training, plan: Plan) -> tuple[Any, bool]:
        """Train the head on the features of the images, which are computed once."""
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
        """Train the head on images that are changed in every epoch."""
        return self._train_images(training, plan.changed(trainable=0, layer_decay=1.0))

    def _train_whole(self, training: Training, plan: Plan) -> None:
        """Train the top of the network with the head."""
        slower = self._make_optimizer(training.schedule)
        if not isinstance(slower.get_config()["learning_rate"], dict):
            slower.learning_rate = FINE_SHARE * float(slower.learning_rate)
        self._train_images(dataclasses.replace(training, optimizer=slower), plan)

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
            else:  # after the head alone
                network.load(dataclasses.replace(state, seeds=network.state().seeds))

        found: list[Any] = []

        def learn(run: TrainingRun) -> None:
            self._learn_from(run)
            found.append(self._best_of(run))

        history = {} if state is None else self.history_
        goes_on = self._fit_network(training, plan, load, learn, history)
        return found[0], goes_on

    def _best_of(self, run: TrainingRun) -> tuple[float | None, int] | None:
        """Return what early stopping compares with in the next phase."""
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
            preparation = prepared(brought, self._limits) or ()
            return [np.asarray(each, np.float32) for each in (*preparation, *brought.arrays)]
        model = plan.changed(dtype="float32").model()
        draw_weights(model, np.random.default_rng(training.build_seed))
        set_preparation(model, arguments["backbone"], None, self._limits)
        weights: list[Array] = model.get_weights()
        return weights[:-N_HEAD]

    def _with_features(self, training: Training, base: list[Array]) -> Training:
        """Return a training of the head: images replaced by their features."""
        network = forward(self._plan)
        n_outputs = self._head.n_outputs
        shapes: tuple[tuple[int, ...], ...] = ((network.n_features, n_outputs), (n_outputs,))
        of_head: list[Array] = [np.zeros(shape, np.float32) for shape in shapes]
        weights = [tf.constant(each) for each in (*base, *of_head)]

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
    """Make an array in memory, or in a temporary file that ends with it."""
    if math.prod(shape) * np.dtype(dtype).itemsize <= FEATURES_IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


class PretrainedClassifier(PretrainedTraining, ImageClassifier):
    """PLACEHOLDER."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ImageClassifier._parameter_constraints,
        **PretrainedTraining._pretrained_constraints,
    }
    _defaults = PRETRAINED_DEFAULTS
    architecture = "FCS"  # not used, as the two below it
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
        **parameters: Unpack[ClassifierParameters],
    ) -> None:
        super().__init__(**parameters)
        self.backbone = backbone
        self.weights = weights
        self.frozen_epochs = frozen_epochs
        self.trainable = trainable
        self.layer_decay = layer_decay
        self.dropout = dropout


class PretrainedRegressor(PretrainedTraining, ImageRegressor):
    """PLACEHOLDER."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ImageRegressor._parameter_constraints,
        **PretrainedTraining._pretrained_constraints,
    }
    _defaults = PRETRAINED_DEFAULTS
    architecture = "FCS"  # not used, as the two below it
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
        **parameters: Unpack[RegressorParameters],
    ) -> None:
        super().__init__(**parameters)
        self.backbone = backbone
        self.weights = weights
        self.frozen_epochs = frozen_epochs
        self.trainable = trainable
        self.layer_decay = layer_decay
        self.dropout = dropout
