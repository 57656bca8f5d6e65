"""The scikit-learn estimator around a Keras model.

The only module that knows scikeras or the Keras training loop. scikeras is used by
composition: its ``BaseWrapper`` routes parameters such as ``optimizer__momentum`` to the
optimizer and builds callbacks. Inheriting from it would bring its old ``_more_tags``, which
scikit-learn refuses in any base class, and a fit that seeds the whole process.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scikeras.wrappers import BaseWrapper
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, estimator_html_repr
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import check_is_fitted

from . import persistence
from ._archive import KERAS_CLASSES, class_name, loadable
from ._checkpoint import Checkpoint, Saved, digest, reserved
from ._compiled import (
    POOL,
    CompiledNetwork,
    Forward,
    Plan,
    State,
    compile_key,
    forward,
    save_for_plain_keras,
)
from ._machine import check_not_forked
from ._muon import Muon
from ._summary import as_html, as_text, layer_rows
from .augmentation import ImageAugmenter, SampleGenerator, as_batch, compile_augmentation
from .metrics import check_sample_weight
from .training import (
    SCHEDULES,
    SETS_LEARNING_RATE,
    BestWeights,
    EpochLog,
    LearningRateCycle,
    ProgressBar,
    RetraceChanged,
    default_learning_rate,
    hand_over,
    has_schedule,
    is_open,
    restored_epoch,
)

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"skcnn needs Keras on TensorFlow, but Keras runs on {keras.backend.backend()!r}. "
        "Set the environment variable KERAS_BACKEND=tensorflow before the first import of keras."
    )

Array = NDArray[Any]

ROUTES = ("optimizer__", "callbacks__")

# Attributes that are made from the others, and the callbacks of a fit that is over, which hold
# on to its network.
NOT_KEPT = ("model_", "_forward", "_weight_tensors", "callbacks_")

# What a compiled call of a network gives.
FEATURES, OUTPUTS = range(2)

# What one call of the network predicts at most; bounds the memory of its activations.
PREDICTION_ROWS = 480
PREDICTION_VALUES = 2**22

# Rows are predicted in multiples of this. Eigen's matrix products take rows in groups of three
# vectors of up to 16 values and sum what is left over in another order, so without the rows that
# fill the last group up a prediction would depend, in its last bits, on its place in X.
ROW_GROUP = 48

# Factors beyond these vanish or overflow in float32. A weight decay is multiplied by a rate.
TINY = float(np.finfo(np.float32).tiny)
LARGEST = {
    "learning_rate": float(np.finfo(np.float32).max),
    "weight_decay": math.sqrt(np.finfo(np.float32).max),
}

OPTIMIZERS = {
    name.lower(): value
    for name, value in KERAS_CLASSES.items()
    if issubclass(value, keras.optimizers.Optimizer)
    and value is not keras.optimizers.Optimizer
    and "learning_rate" in inspect.signature(value).parameters  # not those of other optimizers
} | {"muon": Muon}


class KerasEstimator(BaseEstimator):
    """Base class: parameters, training loop and prediction of a Keras model.

    A subclass says what its data are and builds its network, through `_check_data`,
    `_check_inputs`, `_network_arguments` and `_build`, and what else it does differently through
    the methods below those. Data are arrays, or what reads like them by rows.

    It names only its own parameters in ``__init__`` and passes the others on as ``**training``;
    they are spelled out in its signature. A parameter that the body of a subclass sets as a
    class attribute is fixed and leaves the signature.
    """

    # Arguments of the network that are not named after their parameter.
    _parameter_of: ClassVar[dict[str, str]] = {}

    # Only estimators of images have the parameter.
    augmentation: ImageAugmenter | None = None

    # Builds the network from what `_network_arguments` gives, and with these the one to train.
    _build: ClassVar[Callable[..., keras.Model]]
    _training_layers: ClassVar[dict[str, Any]] = {}

    _plan: Plan
    _state: State
    _forward: Forward
    history_: dict[str, list[float]]

    # Parameters that do not change the weights, or only through what is compared anyway: the
    # seed, the shape of X, the precision and the weights to start from. A subclass adds its own.
    _NON_TRAINING_PARAMS: ClassVar[frozenset[str]] = frozenset(
        {"callbacks", "checkpoint_dir", "precision", "random_state", "verbose", "warm_start"}
    )

    # What early stopping watches, a name in the history.
    _monitor = "val_accuracy"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "optimizer": [StrOptions(set(OPTIMIZERS)), keras.optimizers.Optimizer, type],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "learning_rate_schedule": [
            StrOptions({"constant", *SCHEDULES}),
            keras.optimizers.schedules.LearningRateSchedule,
        ],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "validation_data": [tuple, list, None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "checkpoint_dir": [str, os.PathLike, None],
        "warm_start": ["boolean"],
        "precision": [StrOptions({"auto", "float32", "mixed_bfloat16"})],
        "callbacks": [list, tuple, dict, keras.callbacks.Callback, type, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        epochs: int = 20,
        batch_size: int = 128,
        optimizer: Any = "adam",
        learning_rate: float | None = None,
        learning_rate_schedule: Any = "one_cycle",
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        validation_data: tuple[Any, Any] | None = None,
        n_iter_no_change: int = 5,
        class_weight: dict[Any, float] | str | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        warm_start: bool = False,
        precision: str = "auto",
        callbacks: Any = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.validation_data = validation_data
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.checkpoint_dir = checkpoint_dir
        self.warm_start = warm_start
        self.precision = precision
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _check_class_attributes(cls)
        cls.__init__ = _spell_out(cls)  # type: ignore[method-assign]
        loadable(cls)

    # Parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, those routed to the optimizer or the callbacks included.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of parameters that are estimators.

        Returns
        -------
        dict
            Names and values.
        """
        routed = {name: value for name, value in vars(self).items() if name.startswith(ROUTES)}
        return {**super().get_params(deep), **routed}

    def set_params(self, **params: Any) -> Self:
        """Set parameters, such as ``epochs`` or ``optimizer__momentum``.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self
            This estimator.
        """
        routed = {name: value for name, value in params.items() if name.startswith(ROUTES)}
        for name in set(params) - set(routed):
            whole, _, part = name.partition("__")
            value = params.get(whole, getattr(self, whole, None))
            if part and whole in self.get_params(deep=False) and not hasattr(value, "set_params"):
                raise ValueError(
                    f"{name} cannot be set, because {whole} is {value!r}, which has no "
                    "parameters. Set it first."
                )
        super().set_params(**{name: params[name] for name in params if name not in routed})
        for name, value in routed.items():
            setattr(self, name, value)
        return self

    # What a subclass provides

    def _check_data(self, X: Any, y: Any, *, reset: bool, classes: Any = None) -> tuple[Any, Any]:
        """Validate inputs and targets and encode the targets as the network's outputs.

        With `reset` the estimator learns shapes and labels from them, without it compares.
        """
        raise NotImplementedError

    def _check_inputs(self, X: Any) -> Array:
        """Validate inputs for prediction."""
        raise NotImplementedError

    def _network_arguments(self, X: Array, y: Array) -> dict[str, Any]:
        """Return the arguments of `_build` for these data, plain values that can be hashed."""
        raise NotImplementedError

    def _initialize(
        self, model: keras.Model, X: Any, y: Any, weight: Array | None, rows: Array
    ) -> None:
        """Set the initial values that depend on the rows of the data it will be trained on."""

    def _learn_range(self, X: Any, rows: Array) -> None:
        """Learn the range of the rows of the data that are trained on."""

    def _balance(self, y: Any) -> Array | None:
        """Compute weights of samples from `class_weight`, None where there are none."""
        return None

    def _check_weighted(self, y: Any, rows: Array) -> None:
        """Check that the targets of the rows whose weight is positive can be learned from."""

    def _strata(self, y: Any, rows: Array) -> Array | None:
        """Return what a validation split of rows keeps in proportion, None for nothing."""
        return None

    def _metrics(self) -> list[Any]:
        """Return what Keras records beside the loss."""
        return ["accuracy"]

    def _choose_precision(self, X: Array) -> str:
        """Choose in what to train on these data where `precision` is "auto"."""
        return "float32"

    def _watchers(self, validation: SampleGenerator | None) -> list[keras.callbacks.Callback]:
        """Make the callbacks that parameters of the subclass ask for."""
        return []

    # Training

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the network.

        Parameters
        ----------
        X : array-like
            Training samples; see the class for the shapes.
        y : array-like of shape (n_samples,)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples. Only their proportions matter; samples of weight zero are
            left out.

        Returns
        -------
        self
            The fitted estimator.
        """
        with reserved(self.checkpoint_dir), self._learner() as learner:
            reset = not (self.warm_start and learner.__sklearn_is_fitted__())
            X, y = learner._check_data(X, y, reset=reset)
            learner._train(X, y, sample_weight, reset, self.epochs, self.learning_rate_schedule)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch on a part of the data, at a constant learning rate.

        Parameters
        ----------
        X : array-like
            Training samples; see the class for the shapes.
        y : array-like of shape (n_samples,)
            Targets.
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
        with self._learner() as learner:
            reset = not learner.__sklearn_is_fitted__()
            X, y = learner._check_data(X, y, reset=reset, classes=classes)
            learner._train(X, y, sample_weight, reset, 1, schedule, resumable=False)
        return self

    def _check_partial_fit(self) -> None:
        """Refuse parameters that need all data, of which ``partial_fit`` sees a part."""
        if self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping=True, which would hold out a part "
                "of every call; set early_stopping=False and score on data of your own."
            )

    @contextmanager
    def _learner(self) -> Iterator[Self]:
        """Train a copy, and put what it learned in place in one step where nothing failed.

        Until then this estimator stays as it was, for threads that predict with it and for the
        caller of a fit that raises.
        """
        before = vars(self).copy()
        learner = self._snapshot()
        learner.__dict__ = before.copy()
        yield learner
        after = vars(learner)
        learned = {
            name: value
            for name, value in after.items()
            if name not in before or before[name] is not value
        }
        # Not what another fit learned meanwhile or before.
        kept = {
            name: value
            for name, value in vars(self).copy().items()
            if name in after or not name.endswith("_")
        }
        self.__dict__ = kept | learned

    def _snapshot(self) -> Self:
        """Return this estimator as it is now, which a fit in another thread does not change."""
        snapshot = object.__new__(type(self))
        snapshot.__dict__ = self.__dict__
        return snapshot

    def _train(
        self,
        X: Array,
        y: Array,
        sample_weight: Any,
        reset: bool,
        epochs: int,
        schedule: Any,
        resumable: bool = True,
    ) -> None:
        check_not_forked()
        check_floatx()
        seed = self._draw_seed()
        self.precision_ = self._choose_precision(X) if self.precision == "auto" else self.precision
        checkpoint, saved = None, None
        if self.checkpoint_dir is not None and resumable:
            identity = self._identity(X, y, sample_weight, reset, seed)
            checkpoint = Checkpoint(self.checkpoint_dir, identity)
            saved = checkpoint.saved
            seed = seed if saved is None else saved.seed
        build_seed, order_seed, split_seed = np.random.SeedSequence(seed).spawn(3)
        optimizer = self._make_optimizer(schedule)
        self.callbacks_ = self._make_callbacks(schedule, optimizer)

        rows, weight, validation = self._divide(X, y, sample_weight, split_seed)
        history: dict[str, list[float]] = {}
        arguments = self._network_arguments(X, y)
        if reset:
            self._plan = Plan(type(self)._build, tuple(arguments.items()))
        else:
            self._check_same_network(dict(self._plan.arguments), arguments)
            history = {name: list(values) for name, values in self.history_.items()}
        network, give_back = self._take_network(optimizer)
        model = network.model
        if reset:
            network.start(_integer(build_seed))
            self._initialize(model, X, y, weight, rows)
        else:
            network.load(self._state)
        network.adopt(optimizer)
        first = done = len(history.get("loss", []))
        if saved is not None:
            network.load(State(**saved.state))
            history = saved.history
            done = len(history.get("loss", []))
        if weight is not None:
            # One axis for each of the loss, which has a value for every place of a sequence.
            weight = weight.reshape(-1, *(1,) * (len(model.output_shape) - 2))

        batches = self._batches(
            X,
            y,
            weight,
            rows,
            shuffle=True,
            augmentation=self.augmentation,
            random_state=_integer(order_seed),
        )
        batches.epoch = done
        last = first + epochs
        if self.early_stopping:
            best = BestWeights(self._monitor, "max", self.n_iter_no_change, done=first)
        else:
            best = BestWeights("loss", "min", done=first)
        if saved is not None:
            best.progress = saved.best
        callbacks = [*self.callbacks_, *self._watchers(validation)]
        if self.callbacks_:
            callbacks.append(RetraceChanged(network))
        cycle = SCHEDULES.get(schedule) if isinstance(schedule, str) else None
        if cycle is not None:
            peak, n_steps = float(optimizer.learning_rate), epochs * len(batches)
            step = (done - first) * len(batches)
            current = float(model.optimizer.learning_rate) if self.callbacks_ else None
            callbacks.append(LearningRateCycle(cycle, peak, n_steps, step, current))
        callbacks += [EpochLog(history), best]
        if self.verbose == 1:
            callbacks.append(ProgressBar(last, len(batches), done))
        if checkpoint is not None:

            def capture(finished: bool) -> Saved:
                state = vars(network.state())
                return Saved(identity, seed, finished, state, history, best.progress)

            checkpoint.capture = capture
            callbacks.append(checkpoint)  # last, when all others have seen the epoch
        if saved is not None and saved.finished:
            best.set_model(model)
            best.on_train_end()
            completed = True
        else:
            completed = self._loop(network, batches, validation, callbacks, history, first, last)
        self.history_ = history
        self.n_iter_ = len(history["loss"])
        self.best_iteration_ = self.n_iter_
        restored = restored_epoch(self.callbacks_)
        if best.stops_early or best.diverged:
            self.best_iteration_ = best.best_epoch + 1
        elif restored is not None:
            self.best_iteration_ = restored + 1
        state = network.state()
        if best.diverged:
            state.optimizer = network.first.optimizer
            warnings.warn(
                f"The loss became {history['loss'][-1]} in epoch {self.n_iter_}. The weights of "
                f"epoch {self.best_iteration_} are kept, 0 being those it started from. Try a "
                "smaller learning_rate.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self._keep(state)
        if self.callbacks_:
            # The network that was trained serves other fits; theirs is a copy.
            hand_over(self.callbacks_, model, self.model_)
        if completed:
            give_back()

    def _check_same_network(self, learned: dict[str, Any], asked: dict[str, Any]) -> None:
        """Refuse to continue with a network other than the one that was fitted."""
        for name, value in asked.items():
            if learned[name] != value:
                raise ValueError(
                    f"{self._parameter_of.get(name, name)} has changed since the last fit, from "
                    f"{learned[name]!r} to {value!r}, but warm_start=True and partial_fit "
                    "continue with the fitted network. Set it back, or fit anew with "
                    "warm_start=False."
                )

    def _divide(
        self, X: Array, y: Array, sample_weight: Any, seed: np.random.SeedSequence
    ) -> tuple[Array, Array | None, SampleGenerator | None]:
        """Choose the rows to train on, their weights, and what to validate on."""
        weight = self._weights(X, y, sample_weight)
        rows = np.arange(len(X)) if weight is None else np.flatnonzero(weight)
        self._learn_range(X, rows)
        validation = None
        if self.validation_data is not None:
            held_out_data = self._check_validation_data(self.validation_data)
            validation = self._batches(*held_out_data, None, None)
        elif self.early_stopping:
            rows, held_out = self._split(rows, y, seed)
            validation = self._batches(X, y, None, held_out)
        if weight is not None:
            weight = (weight / weight[rows].mean()).astype(np.float32)
        return rows, weight, validation

    def _loop(
        self,
        network: CompiledNetwork,
        batches: SampleGenerator,
        validation: SampleGenerator | None,
        callbacks: list[keras.callbacks.Callback],
        history: dict[str, list[float]],
        first: int,
        last: int,
    ) -> bool:
        """Train after epoch `first` up to epoch `last`; say whether it was not interrupted."""
        try:
            with network.feed(x=batches, validation_data=validation) as data:
                network.model.fit(
                    **data,
                    epochs=last,
                    initial_epoch=len(history.get("loss", [])),
                    shuffle=False,
                    callbacks=callbacks,
                    verbose=2 if self.verbose > 1 and is_open(sys.stdout) else 0,
                )
        except KeyboardInterrupt:
            if len(history.get("loss", [])) == first:
                raise  # nothing has been learnt
            for callback in callbacks:
                callback.on_train_end()
            warnings.warn(
                f"The training was interrupted after epoch {len(history['loss'])} of {last}; what "
                "it had learnt is kept.",
                UserWarning,
                stacklevel=4,
            )
            return False
        return True

    def _identity(
        self, X: Array, y: Array, sample_weight: Any, reset: bool, seed: int
    ) -> dict[str, str]:
        """Say what a training is of, so that none goes on as another."""
        given = None if sample_weight is None else np.asarray(sample_weight)
        values: dict[str, Any] = {
            "estimator": class_name(type(self)),
            "X": X,
            "y": y,
            "sample_weight": given,
            "random_state": None if self.random_state is None else seed,
            "weights to start from": None if reset else self._state.weights,
        }
        values |= self._training_params()
        values["precision"] = self.precision_
        return {name: digest(value) for name, value in values.items()}

    def _training_params(self) -> dict[str, Any]:
        """Return the parameters that the weights depend on."""
        left_out = set(self._NON_TRAINING_PARAMS)
        if not self.early_stopping:
            left_out |= {"n_iter_no_change", "validation_data", "validation_fraction"}
        elif self.validation_data is not None:
            left_out.add("validation_fraction")
        params = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name.partition("__")[0] not in left_out
        }
        if params.get("validation_data") is not None:
            # As the network sees it: the same images, wherever they are kept.
            params["validation_data"] = self._check_validation_data(params["validation_data"])
        return params

    def _take_network(
        self, optimizer: keras.optimizers.Optimizer
    ) -> tuple[CompiledNetwork, Callable[[], None]]:
        """Get a compiled network for this fit alone, and what to call after it."""
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=self.label_smoothing)
        metrics = self._metrics()
        plan = self._plan.changed(dtype=self.precision_, **self._training_layers)
        key = compile_key(plan, optimizer, loss, metrics)
        network = POOL.take(key)
        if network is None:
            own = type(optimizer).from_config(optimizer.get_config())
            if own.weight_decay:
                # Traced as a number it would be a constant.
                own.weight_decay = keras.Variable(own.weight_decay, trainable=False)
            network = CompiledNetwork(plan, own, loss, metrics)
        settings = network.settings() if self.callbacks_ else None

        def give_back() -> None:
            # A callback may have changed more than a later fit sets anew.
            if settings is None or network.settings() == settings:
                POOL.give(key, network)

        return network, give_back

    def _draw_seed(self) -> int:
        # None is fresh entropy, not NumPy's global generator, which must stay as it was.
        if self.random_state is None:
            return int(np.random.SeedSequence().generate_state(1)[0])
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _batches(
        self,
        X: Array,
        y: Array,
        sample_weight: Array | None,
        rows: Array | None,
        shuffle: bool = False,
        **options: Any,
    ) -> SampleGenerator:
        return SampleGenerator(
            X,
            y,
            sample_weight,
            batch_size=self.batch_size,
            indices=rows,
            shuffle=shuffle,
            **options,
        )

    def _weights(self, X: Array, y: Array, sample_weight: Any) -> Array | None:
        parts = {"class_weight": self._balance(y)}
        if sample_weight is not None:
            parts["sample_weight"] = check_sample_weight(sample_weight, X)
        weight = _product({name: part for name, part in parts.items() if part is not None})
        if weight is None:
            return None
        self._check_weighted(y, np.flatnonzero(weight))
        return weight

    def _split(self, rows: Array, y: Array, seed: np.random.SeedSequence) -> tuple[Array, Array]:
        strata = self._strata(y, rows)
        try:
            train, held_out = train_test_split(
                rows,
                test_size=self.validation_fraction,
                stratify=strata,
                random_state=_integer(seed),
            )
        except ValueError as error:
            raise ValueError(
                f"early_stopping=True cannot hold out validation_fraction="
                f"{self.validation_fraction} of {len(rows)} samples: {error}"
            ) from error
        return train, held_out

    def _check_validation_data(self, data: tuple[Any, Any]) -> tuple[Array, Array]:
        if len(data) != 2:
            raise ValueError(
                "validation_data must be a pair (X, y), got a "
                f"{type(data).__name__} of length {len(data)}."
            )
        try:
            return self._check_data(*data, reset=False)
        except ValueError as error:
            raise ValueError(f"validation_data: {error}") from error

    def _make_optimizer(self, schedule: Any) -> keras.optimizers.Optimizer:
        """Make a fresh optimizer from the parameters."""
        routed = self._routed("optimizer__")
        optimizer = self.optimizer
        if isinstance(optimizer, str):
            optimizer = OPTIMIZERS[optimizer]
        given = self._optimizer_arguments(routed, schedule)
        if isinstance(optimizer, keras.optimizers.Optimizer):
            made = self._copied_optimizer(optimizer, routed, given)
        else:
            _check_routed(optimizer, routed)
            if "learning_rate" not in given and "optimizer__learning_rate" not in routed:
                given["learning_rate"] = default_learning_rate(optimizer, schedule)
            routed.update({f"optimizer__{name}": value for name, value in given.items()})
            wrapper = BaseWrapper(optimizer=optimizer, **routed)
            made = wrapper._get_compile_kwargs()["optimizer"]
        if schedule in SCHEDULES and has_schedule(made):
            raise ValueError(
                "optimizer has a learning-rate schedule of its own, beside "
                f"learning_rate_schedule={schedule!r}; set learning_rate_schedule='constant' "
                "to train with that of the optimizer."
            )
        for name in ("learning_rate", "weight_decay"):
            value = given.get(name, routed.get(f"optimizer__{name}", made.get_config()[name]))
            full_name = name if name in given else f"optimizer__{name}"
            _check_float32(full_name, value, LARGEST[name])
        return made

    def _optimizer_arguments(self, routed: dict[str, Any], schedule: Any) -> dict[str, Any]:
        """Return what parameters of the estimator say of the optimizer."""
        rate: Any = self.learning_rate
        if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            if rate is not None:
                raise ValueError(
                    "learning_rate must be None when learning_rate_schedule is a Keras schedule, "
                    f"which has its own; got {rate!r}."
                )
            rate = schedule
        # TensorFlow keeps something for every name of a variable, and Keras's would be new ones.
        given: dict[str, Any] = {"name": "optimizer"}
        for name, value in (("learning_rate", rate), ("weight_decay", self.weight_decay or None)):
            if value is None:
                continue
            if f"optimizer__{name}" in routed:
                raise ValueError(
                    f"Set {name} or optimizer__{name}, not both; got {value!r} and "
                    f"{routed[f'optimizer__{name}']!r}."
                )
            given[name] = value
        return given

    def _copied_optimizer(
        self,
        optimizer: keras.optimizers.Optimizer,
        routed: dict[str, Any],
        given: dict[str, Any],
    ) -> keras.optimizers.Optimizer:
        """Make a fresh optimizer with the settings of one that the user has made."""
        if routed:
            raise ValueError(
                "Parameters routed as optimizer__... need an optimizer name or class; got an "
                f"instance of {type(optimizer).__name__}."
            )
        config = optimizer.get_config()
        decay, usual = config["weight_decay"], inspect.signature(type(optimizer)).parameters
        default = usual["weight_decay"].default if "weight_decay" in usual else None
        if "weight_decay" in given and decay not in (None, 0, default, given["weight_decay"]):
            raise ValueError(
                f"weight_decay={self.weight_decay!r} of the estimator and weight_decay={decay!r} "
                "of the optimizer differ; set weight_decay=0 for that of the optimizer."
            )
        return type(optimizer).from_config({**config, **given})

    def _make_callbacks(
        self, schedule: Any, optimizer: keras.optimizers.Optimizer
    ) -> list[keras.callbacks.Callback]:
        """List the callbacks of the user, with those that are given as classes made."""
        wrapper = BaseWrapper(callbacks=self.callbacks, **self._routed("callbacks__"))
        wrapper._initialize_callbacks()
        callbacks: list[keras.callbacks.Callback] = keras.tree.flatten(wrapper._fit_callbacks)
        if schedule != "constant" or has_schedule(optimizer):
            for callback in callbacks:
                if isinstance(callback, SETS_LEARNING_RATE):
                    raise ValueError(
                        f"callbacks has a {type(callback).__name__}, which sets the learning "
                        f"rate, and so does learning_rate_schedule={schedule!r} or the schedule "
                        "of the optimizer. Set learning_rate_schedule='constant' to leave it to "
                        "the callback, or remove that."
                    )
        return callbacks

    def _routed(self, prefix: str) -> dict[str, Any]:
        parameters = self.get_params(deep=False).items()
        return {name: value for name, value in parameters if name.startswith(prefix)}

    # Prediction

    def _outputs(self, X: Any, then: Callable[[Array], Array] | None = None) -> Array:
        """Run the network over X and return its outputs, float32.

        With `then` return what it makes of the outputs of some rows, which bounds the memory.
        """
        return self._run(X, OUTPUTS, then)

    def _features(self, X: Any) -> Array:
        """Run the network over X and return the inputs of its last layer, float32."""
        return self._run(X, FEATURES)

    def _run(self, X: Any, output: int, then: Callable[[Array], Array] | None = None) -> Array:
        check_is_fitted(self)
        check_not_forked()
        fitted = self._snapshot()
        X = fitted._check_inputs(X)
        values = max(math.prod(X.shape[1:]), fitted._forward.n_outputs)
        most = max(1, min(PREDICTION_ROWS, PREDICTION_VALUES // values))
        # One row alone, which is often asked for and has no place, is not worth filling up.
        group = min(ROW_GROUP, most) if len(X) > 1 else 1
        n_rows = most - most % group
        parts = []
        for start in range(0, len(X), n_rows):
            batch = as_batch(X[start : start + n_rows])
            fill = np.repeat(batch[-1:], -len(batch) % group, axis=0)
            filled = np.concatenate([batch, fill]) if len(fill) else batch
            part = fitted._predict_batch(filled, output).numpy()[: len(batch)]
            parts.append(part if then is None else then(part))
        return np.concatenate(parts)

    def _predict_batch(self, batch: Array, output: int) -> tf.Tensor:
        return self._forward(batch, self._weight_tensors)[output]

    def _keep(self, state: State) -> None:
        check_not_forked()
        self._state = state
        self._weight_tensors = [tf.constant(weight) for weight in state.weights]
        # Traced now, so that prediction may come from many threads.
        self._forward = forward(self._plan)
        self.__dict__.pop("model_", None)

    def _network(self, **changes: Any) -> keras.Model:
        """Build the network with its weights, with some arguments changed."""
        check_not_forked()
        model = self._plan.changed(**changes).model()
        model.set_weights(self._state.weights)
        return model

    def _network_to_export(self) -> keras.Model:
        """Build the network so that other runtimes can run it."""
        return self._network()

    @functools.cached_property
    def model_(self) -> keras.Model:
        """A copy of the network, compiled; what is done to it does not change the estimator."""
        if not self.__sklearn_is_fitted__():
            raise AttributeError(f"this {type(self).__name__} has no model_ before it is fitted")
        model = self._network()
        optimizer = self._make_optimizer(self.learning_rate_schedule)
        model.compile(
            optimizer=optimizer, loss="categorical_crossentropy", metrics=self._metrics()
        )
        save_for_plain_keras(model)
        return model

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the estimator, fitted or not, to a file that :func:`skcnn.load` reads.

        The file has the parameters, what was learnt, and the versions of the libraries. Not
        `callbacks`, `checkpoint_dir`, `validation_data` and a `random_state` that is a generator:
        a warning names what is left out.

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
        persistence.save(self, path)

    def export(self, path: str | os.PathLike[str], format: str = "onnx") -> None:
        """Write the fitted network for a runtime without skcnn.

        It takes float32 arrays of the shape ``model_.input_shape`` and gives probabilities, as
        ``predict_proba`` does. The file has the labels with it, as JSON: in the metadata
        ``skcnn`` of an ONNX file, in ``assets.extra/skcnn.json`` of a SavedModel, and in
        ``skcnn.json`` of the zip at the end of a LiteRT file.

        Parameters
        ----------
        path : str or path
            The file, or the folder of a SavedModel. What is there is replaced if it is of the
            same kind.
        format : {"onnx", "tf_saved_model", "litert"}, default="onnx"
            ONNX needs ``pip install 'skcnn[export]'``.

        Raises
        ------
        ValueError
            If there is no such format.
        ImportError
            If a package is missing.
        OSError
            If the file cannot be written.
        """
        persistence.export(self, path, format)

    def _metadata(self) -> dict[str, Any]:
        """Return what somebody with the network alone needs, for JSON."""
        raise NotImplementedError

    def _check_restored(self, network: dict[str, Any], state: State) -> None:
        """Check that what a file says was learnt belongs together."""
        for values in self.history_.values():
            if len(values) != self.n_iter_ or not all(isinstance(v, float) for v in values):
                raise ValueError("its history_ is not that of its training")
        if not 0 <= self.best_iteration_ <= self.n_iter_:
            raise ValueError(f"its best_iteration_={self.best_iteration_} is not of its training")

    def summary(self) -> None:
        """Print the layers of the fitted network with their shapes and parameter counts."""
        check_is_fitted(self)
        print(as_text(layer_rows(self.model_)))

    def _html_repr(self) -> str:
        """Make what a notebook shows: scikit-learn's diagram, and under it the layers."""
        diagram: str = estimator_html_repr(self)
        if self.__sklearn_is_fitted__():
            rows = layer_rows(self.model_)
            return diagram + as_html(f"Network of {rows[-1][2]} parameters", rows)
        names = self._layer_names()
        return diagram + as_html("Network", [(name, "", "") for name in names]) * bool(names)

    def _layer_names(self) -> list[str]:
        """List what is known of the layers before the data are."""
        return []

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_state")

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name not in NOT_KEPT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.__sklearn_is_fitted__():
            self._keep(self._state)


def _all_parameters(cls: type[KerasEstimator]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class and those that it passes on, ``self`` included."""
    names: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        own = vars(base).get("__init__")
        if own is None or not issubclass(base, KerasEstimator):
            continue
        parameters = inspect.signature(own).parameters.values()
        spelled_out = [each for each in parameters if each.kind is not each.VAR_KEYWORD]
        for parameter in spelled_out:
            names.setdefault(parameter.name, parameter)
        if len(spelled_out) == len(parameters):
            break
    return names


def _check_class_attributes(cls: type[KerasEstimator]) -> None:
    """Refuse a class body that sets a parameter to a bad value or what is no parameter."""
    # Those that a base class has fixed are no longer in its signature.
    names = set(_all_parameters(cls)) | set(cls._parameter_constraints)
    fixed = {name: value for name, value in vars(cls).items() if name in names}
    validate_parameter_constraints(cls._parameter_constraints, fixed, caller_name=cls.__name__)
    declared = vars(cls).get("__annotations__", {})
    for name, value in vars(cls).items():
        is_data = not (callable(value) or hasattr(value, "__get__") or name.startswith("_"))
        if is_data and name not in names and "ClassVar" not in str(declared.get(name)):
            close = difflib.get_close_matches(name, names - {"self"}, n=1)
            hint = f"; did you mean {close[0]}?" if close else "."
            raise TypeError(
                f"class {cls.__name__} sets {name} = {value!r}, but has no parameter of that "
                f"name{hint} A constant of your own is annotated as ClassVar."
            )


def _spell_out(cls: type[KerasEstimator]) -> Callable[..., None]:
    """Make an ``__init__`` whose signature has the inherited parameters in place of ``**``."""
    init = cls.__init__
    names = _all_parameters(cls)
    fixed = set(names) & set(vars(cls))
    kept = [parameter for name, parameter in names.items() if name not in fixed]
    signature = inspect.Signature(sorted(kept, key=lambda parameter: parameter.kind))

    @functools.wraps(init)
    def __init__(self: KerasEstimator, *args: Any, **params: Any) -> None:  # noqa: N807
        routed = {name: value for name, value in params.items() if name.startswith(ROUTES)}
        plain = {name: value for name, value in params.items() if name not in routed}
        bound = signature.bind(self, *args, **plain)
        bound.apply_defaults()
        init(**bound.arguments)
        for name in fixed:
            delattr(self, name)  # the class attribute shows again
        for name, value in routed.items():
            setattr(self, name, value)

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    return __init__


def _check_routed(optimizer: Any, routed: dict[str, Any]) -> None:
    """Name the parameter when the optimizer has no argument of a routed name."""
    if not (inspect.isclass(optimizer) and issubclass(optimizer, keras.optimizers.Optimizer)):
        raise TypeError(
            "optimizer must be a name, a keras.optimizers.Optimizer or a class of them, got "
            f"{optimizer!r}."
        )
    known = _arguments(optimizer)
    for name in routed:
        prefix, _, argument = name.partition("__")
        if prefix == "optimizer" and argument not in known:
            raise ValueError(
                f"{name}: {optimizer.__name__} has no argument {argument!r}; it has "
                f"{', '.join(known)}."
            )


def _check_float32(name: str, value: Any, largest: float) -> None:
    """Refuse a factor that vanishes or overflows in float32."""
    if isinstance(value, Real) and value != 0 and not TINY <= float(value) <= largest:
        raise ValueError(
            f"{name}={value!r} is out of the range of float32 arithmetic; it must be between "
            f"{TINY:.2g} and {largest:.2g}."
        )


def _product(parts: dict[str, Array]) -> Array | None:
    """Multiply weights of samples; refuse those whose proportions float32 cannot express."""
    if not parts:
        return None
    with np.errstate(over="ignore", under="ignore"):
        weight: Array = functools.reduce(np.multiply, parts.values())
        total = weight.sum()
    kept = np.logical_and.reduce([part > 0 for part in parts.values()])
    least = weight[kept].min(initial=total)
    if not total < np.inf or (kept.any() and not least > total * TINY):
        names = " and ".join(f"{name}={_span(part)}" for name, part in parts.items())
        raise ValueError(
            f"The weights of the samples overflow or vanish in float32: {names}. Scale them to "
            "about 1."
        )
    return weight


def _span(weight: Array) -> str:
    return f"{weight[weight > 0].min(initial=weight.max()):.3g}...{weight.max():.3g}"


def _arguments(optimizer: type[keras.optimizers.Optimizer]) -> list[str]:
    """List what an optimizer class takes, also what it passes on to its base classes."""
    names: dict[str, None] = {}
    for cls in optimizer.__mro__[:-1]:
        for parameter in inspect.signature(cls).parameters.values():
            if parameter.kind is not parameter.VAR_KEYWORD and parameter.name != "name":
                names[parameter.name] = None
        if cls is keras.optimizers.Optimizer:
            break
    return list(names)


def clear_compiled() -> None:
    """Free the memory of what fits have compiled for later ones.

    Later fits, predictions of estimators that are fitted or loaded after it, and augmentations
    compile anew, with the same results. Fitted estimators go on predicting.

    Notes
    -----
    Without it, at most 8 networks of together 512 MB wait to be used again, and 32 functions
    that predict.

    See Also
    --------
    keras.utils.clear_session : The same for what Keras keeps.

    Examples
    --------
    >>> import skcnn
    >>> skcnn.clear_compiled()
    """
    POOL.clear()
    for cached in (forward, compile_augmentation, persistence.variables_of):
        cached.cache_clear()


def check_floatx() -> None:
    """Refuse a default dtype of Keras in which optimizers and losses would not fit networks."""
    if keras.config.floatx() != "float32":
        raise ValueError(
            f"skcnn trains in float32, but keras.config.floatx() is {keras.config.floatx()!r}; "
            "call keras.config.set_floatx('float32') before fit."
        )


def _integer(seed: np.random.SeedSequence) -> int:
    """Turn a seed sequence into the non-negative 31-bit seed that Keras and scikit-learn take."""
    return int(seed.generate_state(1)[0] >> 1)
