"""The scikit-learn estimator around a Keras model, and the plug-in point for new ones.

scikeras is used by composition, for the routing of parameters such as ``optimizer__momentum``.
Inheriting from it would bring its old ``_more_tags``, which scikit-learn refuses in any base
class, and a fit that seeds the whole process.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state, estimator_html_repr
from sklearn.utils.validation import check_is_fitted

from ._compat import Interval, StrOptions, fit_context
from ._environment import check_not_forked
from ._files import estimators
from ._files.archive import LoadError, class_name
from ._files.export import export
from ._parameters import RoutedParameters
from ._summary import as_html, as_text, layer_rows
from ._training.batches import BatchGenerator
from ._training.callbacks import hand_over, make_callbacks
from ._training.checkpoint import Checkpoint, digest, reserved
from ._training.loop import Division, TrainingRun, divide, integer_seed
from ._training.network import Plan, State, check_state, is_finite, save_for_plain_keras
from ._training.optimizers import OPTIMIZERS, SCHEDULES, check_floatx, make_optimizer
from ._training.pool import POOL, Forward, acquire, forward, predict_in_parts
from .heads import Head

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"skcnn needs Keras on TensorFlow, but Keras runs on {keras.backend.backend()!r}. "
        "Set the environment variable KERAS_BACKEND=tensorflow before the first import of keras."
    )

Array = NDArray[Any]

# Attributes that are made from the others, and the callbacks of a fit that is over, which hold
# on to its network.
NOT_PICKLED = ("model_", "_forward", "_weight_tensors", "callbacks_")

# Arguments of networks that a training run chooses, not those who build them.
CHOSEN_IN_TRAINING = {"dtype", "fused", "unrolled_steps"}

# What a compiled call of a network returns.
FEATURES, OUTPUTS = range(2)


class KerasEstimator(RoutedParameters, BaseEstimator):
    """Base class: parameters, fit, partial_fit, and the outputs of a network.

    A subclass provides a head through `_head`, checks its data in `_check_data` and
    `_check_inputs`, and builds its network with `_build` from `_network_arguments`. Data are
    arrays, or what reads like arrays by rows.

    It names only its own parameters in ``__init__`` and passes the others on as ``**training``;
    they are spelled out in its signature. A parameter that the body of a subclass sets as a
    class attribute is fixed and leaves the signature.
    """

    # Makes the batches to train on and to validate on.
    _generator: ClassVar[Callable[..., BatchGenerator]] = BatchGenerator

    # Builds the network from what `_network_arguments` returns, and with these the one to train.
    _build: ClassVar[Callable[..., keras.Model]]
    _training_layers: ClassVar[dict[str, Any]] = {}

    # Arguments of the network that are not named after their parameter, and those that files of
    # earlier versions have under another name.
    _parameter_of: ClassVar[dict[str, str]] = {}
    _former_arguments: ClassVar[dict[str, str]] = {}

    # Parameters that do not change the weights, or only through what is compared anyway: the
    # seed, the shape of X, the precision and the weights to start from. A subclass adds its own.
    _NON_TRAINING_PARAMS: ClassVar[frozenset[str]] = frozenset(
        {"callbacks", "checkpoint_dir", "precision", "random_state", "verbose", "warm_start"}
    )

    _plan: Plan
    _state: State
    _forward: Forward
    _weight_tensors: list[tf.Tensor]
    history_: dict[str, list[float]]

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
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "validation_data": [tuple, list, None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
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
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        validation_data: tuple[Any, Any] | None = None,
        n_iter_no_change: int = 5,
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
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.validation_data = validation_data
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
        """The head of the network that is fitted, from what was learned of the targets."""
        raise NotImplementedError

    def _check_data(
        self, X: Any, y: Any, sample_weight: Any = None, *, reset: bool, classes: Any = None
    ) -> tuple[Any, Any]:
        """Validate inputs and targets, and encode the targets with the head.

        With `reset` the estimator learns shapes and labels from them, without it compares.
        """
        raise NotImplementedError

    def _check_inputs(self, X: Any) -> Any:
        """Validate inputs for prediction."""
        raise NotImplementedError

    def _network_arguments(self, X: Any, y: Any) -> dict[str, Any]:
        """Return the arguments of `_build` for these data, plain values that can be hashed."""
        raise NotImplementedError

    def _metadata(self) -> dict[str, Any]:
        """Return what users of the exported network need, for JSON."""
        raise NotImplementedError

    # What a subclass may do differently

    def _learn_statistics(self, X: Any, rows: Array) -> None:
        """Learn from the rows that are trained on what prediction compares with."""

    def _initialize(
        self, model: keras.Model, X: Any, y: Any, weight: Array | None, rows: Array
    ) -> None:
        """Set the initial values that depend on the rows that are trained on."""
        bias = self._head.bias(y, rows, weight)
        if bias is not None:
            model.layers[-1].bias.assign(bias)

    def _compiled_calls(self, plan: Plan) -> Any:
        """Return what predicts with networks of a plan, traced and ready for many threads."""
        return forward(plan)

    def _weight_parts(self, y: Any) -> dict[str, Array]:
        """Return weights of samples that parameters ask for, by the name of the parameter."""
        return {}

    def _choose_precision(self, X: Any) -> str:
        """Choose in what to train on these data where `precision` is "auto"."""
        return "float32"

    def _batch_options(self) -> dict[str, Any]:
        """Return options of the batches that are trained on."""
        return {}

    def _own_callbacks(self, validation: BatchGenerator | None) -> list[keras.callbacks.Callback]:
        """Make the callbacks that parameters of the subclass ask for."""
        return []

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
            params["validation_data"] = self._check_validation_data()
        return params

    def _check_partial_fit(self) -> None:
        """Refuse parameters that need all data, of which ``partial_fit`` sees a part."""
        if self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping=True, which would hold out a part "
                "of every call; set early_stopping=False and score on data of your own."
            )

    # Training

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the network.

        Parameters
        ----------
        X : array-like
            Training samples; see the class for the shapes.
        y : array-like
            Targets; see the class for the shapes.
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
            X, y = learner._check_data(X, y, sample_weight, reset=reset)
            learner._train(X, y, sample_weight, reset, self.epochs, self.learning_rate_schedule)
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
        with self._learner() as learner:
            reset = not learner.__sklearn_is_fitted__()
            X, y = learner._check_data(X, y, sample_weight, reset=reset, classes=classes)
            learner._train(X, y, sample_weight, reset, 1, schedule, resumable=False)
        return self

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
        X: Any,
        y: Any,
        sample_weight: Any,
        reset: bool,
        epochs: int,
        schedule: Any,
        resumable: bool = True,
    ) -> None:
        """Divide the data, build or take a network, train it, and keep what it has learned."""
        check_not_forked()
        check_floatx()
        self.precision_ = self._choose_precision(X) if self.precision == "auto" else self.precision
        seed, checkpoint = self._draw_seed(), None
        if self.checkpoint_dir is not None and resumable:
            identity = self._identity(X, y, sample_weight, reset, seed)
            checkpoint = Checkpoint(self.checkpoint_dir, identity, seed)
            seed = checkpoint.seed
        build_seed, order_seed, split_seed = np.random.SeedSequence(seed).spawn(3)
        optimizer = self._make_optimizer(schedule)
        self.callbacks_ = make_callbacks(
            self.callbacks, self._routed("callbacks__"), schedule, optimizer
        )
        division = self._divide(X, y, sample_weight, split_seed)
        head, plan = self._head, self._training_plan(X, y, reset)
        key, network = acquire(plan, optimizer, head.loss(), head.metrics())
        if reset:
            network.start(integer_seed(build_seed))
            self._initialize(network.model, X, y, division.weight, division.rows)
        else:
            network.load(self._state)
        network.set_optimizer(optimizer)
        run = TrainingRun(
            network,
            self._batches(X, y, division, integer_seed(order_seed)),
            division.validation,
            history={} if reset else self.history_,
            epochs=epochs,
            monitor=(f"val_{head.monitor}", head.mode) if self.early_stopping else None,
            patience=self.n_iter_no_change,
            checkpoint=checkpoint,
        )
        completed = run.train(
            schedule,
            optimizer,
            [*self._own_callbacks(division.validation), *self.callbacks_],
            self.verbose,
        )
        self._learn_from(run)
        if completed and run.unchanged:
            POOL.release(key, network)

    def _learn_from(self, run: TrainingRun) -> None:
        """Keep what a training run has learned."""
        self.history_ = run.history
        self.n_iter_ = len(run.history["loss"])
        self.best_iteration_ = run.best_iteration
        self._keep(run.state())
        if self.callbacks_:
            # The network that was trained serves other fits; theirs is a copy.
            hand_over(self.callbacks_, run.network.model, self.model_)

    def _training_plan(self, X: Any, y: Any, reset: bool) -> Plan:
        """Plan the network to train, which goes on with the fitted one unless `reset`."""
        arguments = self._network_arguments(X, y)
        if reset:
            self._plan = Plan(type(self)._build, tuple(arguments.items()))
        else:
            self._check_same_network(dict(self._plan.arguments), arguments)
        return self._plan.changed(dtype=self.precision_, **self._training_layers)

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
        self, X: Any, y: Any, sample_weight: Any, seed: np.random.SeedSequence
    ) -> Division:
        """Choose the rows to train on, their weights, and what to validate on."""
        head = self._head
        division = divide(
            X,
            y,
            sample_weight,
            self._weight_parts(y),
            head,
            self.validation_fraction
            if self.early_stopping and self.validation_data is None
            else None,
            seed,
        )
        self._learn_statistics(X, division.weighted)
        if self.validation_data is not None:
            division.validation = self._generator(
                *self._check_validation_data(), batch_size=self.batch_size, shuffle=False
            )
        elif division.held_out is not None:
            division.validation = self._generator(
                X, y, batch_size=self.batch_size, indices=division.held_out, shuffle=False
            )
        return division

    def _batches(self, X: Any, y: Any, division: Division, seed: int) -> BatchGenerator:
        return self._generator(
            X,
            y,
            division.weight_of_outputs(y),
            batch_size=self.batch_size,
            indices=division.rows,
            random_state=seed,
            **self._batch_options(),
        )

    def _check_validation_data(self) -> tuple[Any, Any]:
        data = self.validation_data
        assert data is not None
        if len(data) != 2:
            raise ValueError(
                "validation_data must be a pair (X, y), got a "
                f"{type(data).__name__} of length {len(data)}."
            )
        try:
            return self._check_data(*data, reset=False)
        except ValueError as error:
            raise ValueError(f"validation_data: {error}") from error

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

    def _draw_seed(self) -> int:
        # None is fresh entropy, not NumPy's global generator, which must stay as it was.
        if self.random_state is None:
            return int(np.random.SeedSequence().generate_state(1)[0])
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _make_optimizer(self, schedule: Any) -> keras.optimizers.Optimizer:
        return make_optimizer(
            self.optimizer,
            self.learning_rate,
            self.weight_decay,
            schedule,
            self._routed("optimizer__"),
        )

    # Prediction

    def _outputs(self, X: Any, then: Callable[[Array], Array] | None = None) -> Array:
        """Run the network over X and return its outputs, float32.

        With `then` return what it makes of the outputs of some rows, which bounds the memory.
        """
        return self._run(X, OUTPUTS, then)

    def _predictions(self, X: Any) -> Array:
        """Run the network over X and return its outputs as the head decodes them."""
        fitted = self._snapshot()  # its head and network are of one fit
        check_is_fitted(fitted)
        return fitted._outputs(X, fitted._head.decode)

    def _features(self, X: Any) -> Array:
        """Run the network over X and return the inputs of its last layer, float32."""
        return self._run(X, FEATURES)

    def _run(self, X: Any, output: int, then: Callable[[Array], Array] | None = None) -> Array:
        check_is_fitted(self)
        check_not_forked()
        fitted = self._snapshot()
        X = fitted._check_inputs(X)
        predict = functools.partial(fitted._predict_batch, output=output)
        return predict_in_parts(predict, X, fitted._forward.n_outputs, then)

    def _predict_batch(self, batch: Array, output: int) -> tf.Tensor:
        return self._forward(batch, self._weight_tensors)[output]

    def _keep(self, state: State) -> None:
        check_not_forked()
        self._state = state
        self._weight_tensors = [tf.constant(weight) for weight in state.weights]
        # Traced now, so that prediction may come from many threads.
        self._forward = self._compiled_calls(self._plan)
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
        model, head = self._network(), self._head
        optimizer = self._make_optimizer(self.learning_rate_schedule)
        model.compile(optimizer=optimizer, loss=head.loss(), metrics=head.metrics())
        save_for_plain_keras(model)
        return model

    # Files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the estimator, fitted or not, to a file that :func:`skcnn.load` reads.

        The file has the parameters, what was learned, and the versions of the libraries. Not
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
        learned: dict[str, Any] = {}
        if self.__sklearn_is_fitted__():
            if not is_finite(self._state):
                raise ValueError(
                    f"This {type(self).__name__} cannot be saved: its network has weights that "
                    "are not finite. Fit it again, with a smaller learning_rate."
                )
            learned = {"network": self._plan.arguments, "state": vars(self._state)}
        estimators.save(self, path, learned)

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
        check_is_fitted(self)
        export(self._network_to_export, self._metadata(), path, format)

    def _restore(self, network: tuple[tuple[str, Any], ...], state: dict[str, Any]) -> None:
        """Take what a file says was learned, once it is checked."""
        former = self._former_arguments
        arguments = {former.get(name, name): value for name, value in network}
        plan, learned = Plan(type(self)._build, tuple(arguments.items())), State(**state)
        known = inspect.signature(plan.build).parameters
        needed = {name for name, each in known.items() if each.default is each.empty}
        if not needed <= set(arguments) <= set(known) - CHOSEN_IN_TRAINING:
            raise LoadError(f"its network has the arguments {list(arguments)}")
        self._check_restored(arguments, learned)
        check_state(plan, learned)
        self._plan = plan
        self._keep(learned)

    def _check_restored(self, network: dict[str, Any], state: State) -> None:
        """Check that what a file says was learned belongs together."""
        for values in self.history_.values():
            if len(values) != self.n_iter_ or not all(isinstance(v, float) for v in values):
                raise ValueError("its history_ is not that of its training")
        if not 0 <= self.best_iteration_ <= self.n_iter_:
            raise ValueError(f"its best_iteration_={self.best_iteration_} is not of its training")

    # Display and state

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
        return {name: value for name, value in state.items() if name not in NOT_PICKLED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.__sklearn_is_fitted__():
            self._keep(self._state)
