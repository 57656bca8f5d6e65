"""KerasEstimator: the base class of all estimators, and the plug-in point for new ones.

scikeras is used by composition, for the routing of parameters such as ``optimizer__momentum``.
Inheriting from it would bring its old ``_more_tags``, which scikit-learn refuses in any base
class, and a fit that seeds the whole process.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from ._environment import check_not_forked
from ._files import estimators
from ._files.registry import class_name
from ._fitted import FittedNetwork, learning
from ._keras import keras
from ._parameters import (
    TRAINING_CONSTRAINTS,
    Callbacks,
    Optimizer,
    OptimizerParameters,
    RoutedParameters,
    Schedule,
    Scoring,
)
from ._saved import learned
from ._training.batches import BatchGenerator, automatic_batch_size, weight_of_outputs
from ._training.callbacks import hand_over, make_callbacks
from ._training.checkpoint import Checkpoint, digest, reserved
from ._training.division import Division, Samples, divide, draw_seed, integer_seed, weigh
from ._training.loop import Training, TrainingRun
from ._training.network import CompiledNetwork, Plan, State
from ._training.optimizers import check_floatx, make_optimizer
from ._training.pool import POOL, acquire
from ._training.scoring import is_scored, monitored, validation_score
from ._training.tasks import EpochTasks, begin_tasks
from ._training.validation import (
    check_groups,
    check_validation_arguments,
    check_validation_set,
)
from ._typing import CallbackSupportMixin, fit_context
from .heads import Head

Array = NDArray[Any]

# What determines the batch size "auto", and the number of epochs "auto".
N_BATCHES, SMALLEST_BATCH, LARGEST_BATCH = 16, 8, 128
N_EPOCHS, LEAST_STEPS = 20, 640


class KerasEstimator(CallbackSupportMixin, FittedNetwork, RoutedParameters):
    """Base class: parameters, fit, partial_fit, and the outputs of a network.

    A subclass provides a head through `_head`, checks its data in `_check_data` and
    `_check_inputs`, and builds its network with `_build` from `_network_arguments`. Data are
    arrays, or what reads like arrays by rows.

    It names only its own parameters in ``__init__`` and passes the others on as ``**parameters``;
    they are spelled out in its signature at run time, and a type checker takes their types from
    ``Unpack[TrainingParameters]``. `_defaults` changes defaults of inherited parameters. A
    parameter that the body of a subclass sets as a class attribute is fixed and leaves the
    signature.
    """

    # Reports the epochs of a fit to scikit-learn's callbacks.
    _tasks: EpochTasks | None = None

    # Creates the training and validation batches.
    _generator: ClassVar[Callable[..., BatchGenerator]] = BatchGenerator

    # Builds the network from `_network_arguments`; the training network also gets these.
    _build: ClassVar[Callable[..., keras.Model]]
    _training_layers: ClassVar[dict[str, Any]] = {}

    # Factor of the default learning rates under a schedule.
    _rate_share: ClassVar[float] = 1.0

    # Network arguments with another name than their parameter, and network arguments that had
    # another name in files of earlier versions.
    _parameter_of: ClassVar[dict[str, str]] = {}
    _former_arguments: ClassVar[dict[str, str]] = {}

    # Parameters that do not change the weights, or only through values that a checkpoint compares
    # anyway: seed, shape of X, precision and initial weights. A subclass adds its own.
    _NON_TRAINING_PARAMS: ClassVar[frozenset[str]] = frozenset(
        {"callbacks", "checkpoint_dir", "precision", "random_state", "verbose", "warm_start"}
    )

    # Those of them that change predictions, and so the value of a scorer.
    _PREDICTION_PARAMS: ClassVar[frozenset[str]] = frozenset()

    _FORMER_PARAMETERS: ClassVar[frozenset[str]] = frozenset({"validation_data"})

    history_: dict[str, list[float]]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = TRAINING_CONSTRAINTS

    def __init__(
        self,
        *,
        epochs: int | Literal["auto"] = "auto",
        batch_size: int | str = "auto",
        optimizer: Optimizer = "adam",
        learning_rate: float | None = None,
        learning_rate_schedule: Schedule = "one_cycle",
        weight_decay: float | None = 0.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        scoring: Scoring | None = None,
        n_iter_no_change: int = 5,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        warm_start: bool = False,
        precision: str = "auto",
        callbacks: Callbacks | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        **routed: Unpack[OptimizerParameters],  # which RoutedParameters stores
    ) -> None:
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.scoring = scoring
        self.n_iter_no_change = n_iter_no_change
        self.checkpoint_dir = checkpoint_dir
        self.warm_start = warm_start
        self.precision = precision
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    # What a subclass provides

    @property
    def _head(self) -> Head:
        """The head of the fitted network, from the learned attributes of the targets."""
        raise NotImplementedError

    def _check_data(
        self, X: Any, y: Any, sample_weight: Any = None, *, reset: bool, classes: Any = None
    ) -> tuple[Any, Any]:
        """Validate inputs and targets, and encode the targets with the head.

        With `reset`, learn shapes and labels; otherwise compare with the learned ones.
        """
        raise NotImplementedError

    def _check_inputs(self, X: Any) -> Any:
        """Validate inputs for prediction."""
        raise NotImplementedError

    def _network_arguments(self, X: Any, y: Any) -> dict[str, Any]:
        """Return the arguments of `_build` for these data; each is hashable or `Keyed`."""
        raise NotImplementedError

    def _metadata(self) -> dict[str, Any]:
        """Return the metadata of an exported network; must be JSON serializable."""
        raise NotImplementedError

    # What a subclass may override

    def _learn_statistics(self, X: Any, rows: Array) -> None:
        """Learn statistics of the training rows, with which prediction compares its inputs."""

    def _initialize(
        self, model: keras.Model, X: Any, y: Any, weight: Array | None, rows: Array
    ) -> None:
        """Set the initial weights that depend on the training rows."""
        bias = self._head.bias(y, rows, weight)
        if bias is not None:
            model.layers[-1].bias.assign(bias)

    def _weight_parts(self, y: Any) -> dict[str, Array]:
        """Return sample weights that follow from parameters, by the name of the parameter."""
        return {}

    def _choose_precision(self, X: Any) -> str:
        """Choose the training precision for these data if `precision` is "auto"."""
        return "float32"

    @property
    def _least_steps(self) -> int:
        """The least number of training steps with the number of epochs "auto"."""
        return LEAST_STEPS

    def _all_epochs(self, n_epochs: int) -> int:
        """Return the number of epochs of all phases of a fit, given the one of `epochs`."""
        return n_epochs

    def _n_epochs(self, n_samples: int) -> int:
        """Return the number of passes over `n_samples` training samples."""
        if self.epochs == "auto":
            return max(N_EPOCHS, math.ceil(self._least_steps / self._n_batches(n_samples)))
        return int(self.epochs)

    def _n_batches(self, n_samples: int) -> int:
        """Return the number of training steps of an epoch of `n_samples` samples."""
        return math.ceil(n_samples / self._samples_per_step(n_samples))

    def _batch_limits(self) -> tuple[int, int, int]:
        """Return how many batches an epoch of few samples has, and the limits of their sizes.

        They determine the batch size "auto".
        """
        return N_BATCHES, SMALLEST_BATCH, LARGEST_BATCH

    def _samples_per_step(self, n_samples: int) -> int:
        """Return the number of samples in a batch of `n_samples` samples."""
        if self.batch_size == "auto":
            return automatic_batch_size(n_samples, *self._batch_limits())
        return int(self.batch_size)

    def _batch_options(self) -> dict[str, Any]:
        """Return options of the training batches."""
        return {}

    def _own_callbacks(self, validation: BatchGenerator | None) -> list[keras.callbacks.Callback]:
        """Create the callbacks that follow from parameters of the subclass."""
        return []

    def _training_params(self) -> dict[str, Any]:
        """Return the parameters that the weights depend on."""
        left_out = set(self._NON_TRAINING_PARAMS)
        if not self.early_stopping:
            left_out |= {"n_iter_no_change", "scoring", "validation_fraction"}
        return {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name.partition("__")[0] not in left_out
        }

    def _check_partial_fit(self) -> None:
        """Refuse parameters that need all data, because ``partial_fit`` sees a part of them."""
        if self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping=True, which would hold out a part "
                "of every call; set early_stopping=False and score on data of your own."
            )

    # Training

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        groups: Any = None,
    ) -> Self:
        """Fit the network to training data.

        Parameters
        ----------
        X : array-like
            Training samples; see the class for the shapes.
        y : array-like
            Targets; see the class for the shapes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples. Only their proportions matter; samples of weight zero are
            left out.
        X_val : array-like, default=None
            Samples to validate on after every epoch, of the kind of X. `early_stopping` then
            holds out none of X.
        y_val : array-like, default=None
            Targets of `X_val`.
        sample_weight_val : array-like of shape (n_val_samples,), default=None
            Weights of `X_val` in the validation loss and the score. Only their proportions
            matter.
        groups : array-like of shape (n_samples,), default=None
            The group of each sample, such as a patient or a scene. `early_stopping` holds out
            whole groups, a share of `validation_fraction` of them.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data are not valid, or an argument or parameter would have no effect.
        """
        check_validation_arguments(
            X_val,
            y_val,
            sample_weight_val,
            groups,
            early_stopping=self.early_stopping,
            scoring=self.scoring,
        )
        with reserved(self.checkpoint_dir), learning(self) as learner:
            reset = not (self.warm_start and learner.__sklearn_is_fitted__())
            samples = learner._samples(X, y, sample_weight, reset=reset)
            samples.groups = check_groups(groups, len(samples.X))
            samples.validation = check_validation_set(
                learner._check_data, X_val, y_val, sample_weight_val
            )
            begin = functools.partial(begin_tasks, self, X, y, sample_weight)
            learner._train(samples, reset, self.learning_rate_schedule, begin)
            tasks = vars(learner).pop("_tasks")
            if tasks is not None:
                tasks.end(learner)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch on a part of the data, at a constant learning rate.

        Parameters
        ----------
        X : array-like
            Training samples; see the class for the shapes.
        y : array-like
            Targets; see the class for the shapes.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come. Needed in the first call unless `y` has them all.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self
            The estimator.
        """
        self._check_partial_fit()
        schedule = self.learning_rate_schedule
        if isinstance(schedule, str):
            schedule = "constant"
        with learning(self) as learner:
            reset = not learner.__sklearn_is_fitted__()
            samples = learner._samples(X, y, sample_weight, reset=reset, classes=classes)
            learner._train(samples, reset, schedule)
        return self

    def _samples(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool, classes: Any = None
    ) -> Samples:
        """Check and weigh the samples, and learn their statistics."""
        inputs, targets = self._check_data(X, y, sample_weight, reset=reset, classes=classes)
        parts = self._weight_parts(targets)
        weight, rows = weigh(inputs, targets, sample_weight, parts, self._head)
        self._learn_statistics(inputs, rows)
        return Samples(inputs, targets, (X, y), sample_weight, weight, rows)

    def _train(
        self,
        samples: Samples,
        reset: bool,
        schedule: Any,
        begin: Callable[[int], EpochTasks | None] | None = None,
    ) -> None:
        """Divide the samples, build or reuse a network, train it, and store the result.

        `begin` begins the task of a fit, given its number of epochs; None is ``partial_fit``.
        """
        is_whole = begin is not None
        check_not_forked()
        check_floatx()
        X, head = samples.X, self._head
        self.precision_ = self._choose_precision(X) if self.precision == "auto" else self.precision
        seed, checkpoint = draw_seed(self.random_state), None
        if self.checkpoint_dir is not None and is_whole:
            identity = self._identity(samples, reset, seed)
            checkpoint = Checkpoint(self.checkpoint_dir, identity, seed)
            seed = checkpoint.seed
        build_seed, order_seed, split_seed = np.random.SeedSequence(seed).spawn(3)
        optimizer = self._make_optimizer(schedule)
        if optimizer.use_ema and not is_whole:
            raise ValueError(
                "partial_fit does not support an optimizer with use_ema=True, as each call would "
                "start from the average of the one before; set use_ema=False, or use fit."
            )
        self.callbacks_ = make_callbacks(
            self.callbacks, self._routed("callbacks__"), schedule, optimizer
        )

        fraction = self.validation_fraction if self.early_stopping else None
        division = divide(samples, head, fraction, split_seed)
        epochs = 1
        if begin is not None:
            epochs = self._n_epochs(len(division.rows))
            self._tasks = begin(self._all_epochs(epochs))
        self._train_network(
            Training(
                samples,
                division,
                reset=reset,
                epochs=epochs,
                schedule=schedule,
                optimizer=optimizer,
                checkpoint=checkpoint,
                build_seed=integer_seed(build_seed),
                order_seed=integer_seed(order_seed),
                is_whole=is_whole,
            )
        )

    def _train_network(self, training: Training) -> None:
        """Train the network and keep what it has learned."""
        X, y, division = training.samples.X, training.samples.y, training.division
        plan = self._training_plan(X, y, training.reset)

        def start(network: CompiledNetwork) -> None:
            if training.reset:
                network.start(training.build_seed)
                self._initialize(network.model, X, y, division.weight, division.rows)
            else:
                network.load(self._state)

        history = {} if training.reset else self.history_
        self._fit_network(training, plan, start, self._learn_from, history)

    def _fit_network(
        self,
        training: Training,
        plan: Plan,
        start: Callable[[CompiledNetwork], None],
        learn: Callable[[TrainingRun], None],
        history: dict[str, list[float]],
    ) -> bool:
        """Build or take a network, train it, and hand it over to what learns from it.

        Return whether it was trained to the end.
        """
        head, division, optimizer = self._head, training.division, training.optimizer
        key, network = acquire(plan, optimizer, head.loss(), head.metrics())
        start(network)
        network.set_optimizer(optimizer)

        validation = division.validation
        batches = validation.batches(self._make_batches) if validation else None
        run = TrainingRun(
            network,
            self._batches(training.samples.X, training.samples.y, division, training.order_seed),
            batches,
            score=validation_score(self, network, validation),
            history=history,
            epochs=training.epochs,
            monitor=monitored(self.scoring, head) if self.early_stopping else None,
            patience=self.n_iter_no_change,
            checkpoint=training.checkpoint,
            bar=training.bar,
            best=training.best,
            baseline=head.baseline(training.samples.y, division.rows, division.weight),
            tasks=self._tasks,
        )
        if self._tasks is not None:
            self._tasks.attributes = lambda: vars(self._at(network.state()))
        callbacks = [*self._own_callbacks(batches), *self.callbacks_]
        completed = run.train(training.schedule, optimizer, callbacks, self.verbose)

        learn(run)
        if completed and run.unchanged:
            POOL.release(key, network)
        return completed and not run.best.diverged

    def _learn_from(self, run: TrainingRun, state: State | None = None) -> None:
        """Set the learned attributes from a training run, in a state of the whole network."""
        self.history_ = run.history
        self.n_iter_ = len(run.history["loss"])
        self.batch_size_ = run.batches.batch_size
        self.learning_rate_ = run.learning_rate
        self.n_steps_ = run.n_steps
        self.best_iteration_ = run.best_iteration
        self._keep(state or run.state())
        if self.callbacks_:
            # The trained network is reused by other fits, so callbacks get a copy.
            hand_over(self.callbacks_, run.network.model, self.model_)

    def _training_plan(self, X: Any, y: Any, reset: bool) -> Plan:
        """Plan the training network; without `reset` it must equal the fitted one."""
        arguments = self._network_arguments(X, y)
        asked = Plan(type(self)._build, tuple(arguments.items()))
        if reset:
            self._plan = asked.without_values()
        else:
            self._check_same_network(dict(self._plan.arguments), arguments)
        chosen = {"dtype": self.precision_, **self._training_layers}
        return self._plan.changed(**asked.keyed, **chosen)

    def _check_same_network(self, learned: dict[str, Any], asked: dict[str, Any]) -> None:
        """Refuse to continue training with another network than the fitted one."""
        for name, value in asked.items():
            if learned[name] != value:
                raise ValueError(
                    f"{self._parameter_of.get(name, name)} has changed since the last fit, from "
                    f"{learned[name]!r} to {value!r}, but warm_start=True and partial_fit "
                    "continue with the fitted network. Set it back, or fit anew with "
                    "warm_start=False."
                )

    def _batches(self, X: Any, y: Any, division: Division, seed: int) -> BatchGenerator:
        weight = weight_of_outputs(division.weight, y)
        options = {"random_state": seed, **self._batch_options()}
        return self._make_batches(X, y, weight, indices=division.rows, **options)

    def _make_batches(self, X: Any, y: Any, weight: Any, **options: Any) -> BatchGenerator:
        indices = options["indices"]
        n_samples = len(X) if indices is None else len(indices)
        batch_size = self._samples_per_step(n_samples)
        return self._generator(X, y, weight, batch_size=batch_size, **options)

    def _identity(self, samples: Samples, reset: bool, seed: int) -> dict[str, str]:
        """Fingerprint data and parameters, so that only the same run resumes from a checkpoint."""
        values = samples.identity(stops_early=self.early_stopping) | {
            "estimator": class_name(type(self)),
            "random_state": None if self.random_state is None else seed,
            "weights to start from": None if reset else self._state.weights,
            **self._training_params(),
            "precision": self.precision_,
        }
        if samples.validation is not None:
            values.pop("validation_fraction", None)
        if self.early_stopping and is_scored(self.scoring, samples.validation, self._head):
            values |= {name: getattr(self, name) for name in self._PREDICTION_PARAMS}
        return {name: digest(value) for name, value in values.items()}

    def _make_optimizer(self, schedule: Any) -> keras.optimizers.Optimizer:
        return make_optimizer(
            self.optimizer,
            self.learning_rate,
            self.weight_decay,
            schedule,
            self._routed("optimizer__"),
            self._rate_share,
        )

    # Files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the estimator, fitted or not, to a file that :func:`skcnn.load` reads.

        The file has the parameters, what was learned, and the versions of the libraries. Not
        `callbacks`, `checkpoint_dir`, a `scoring` that is a function and a `random_state` that is
        a generator: a warning names what is left out.

        Parameters
        ----------
        path : str or path
            The file, by custom ``.skcnn``. One that is there is replaced when the new one is
            whole, and its permissions are kept; a link is followed.

        Raises
        ------
        ValueError
            If the path is empty or the network has weights that are not finite.
        OSError
            If the file cannot be written.
        """
        estimators.save(self, path, learned(self))

    def _layer_names(self) -> list[str]:
        """List the layers that are known before ``fit``."""
        return []
