"""Networks that learn strings from strings."""

from __future__ import annotations

import sys
from numbers import Integral, Real
from typing import Any, ClassVar, Unpack

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length

from .._compat import Interval, StrOptions
from .._parameters import TrainingParameters
from .._strings import check_strings
from .._training.batches import BatchGenerator
from .._training.callbacks import is_open
from .._training.network import State
from ..base import Array, KerasEstimator
from ..heads import OneHot, StringsHead
from ..metrics import exact_match_score
from .characters import CharacterTable, tag_strings
from .networks import CELLS, build_seq2seq


class Seq2SeqRNN(KerasEstimator):
    """Learn to write strings from strings, such as "-333" from "123-456".

    A recurrent network reads the characters of a string into a vector, and another writes the
    answer from it, a softmax over the characters at each place [1]_. Strings may have any
    length up to that of the longest in training, on either side.

    Parameters
    ----------
    cell : {"lstm", "gru", "simple_rnn"}, default="lstm"
        Kind of the recurrent layers.
    hidden_size : int, default=128
        Units of each recurrent layer, at least 1.
    n_layers : int, default=1
        Recurrent layers of the encoder, and as many of the decoder; at least 1.
    decoder : {"repeat", "attention"}, default="repeat"
        Input of the output layer at every place: the state of the decoder ("repeat"), or that and
        the states of the encoder that it attends to ("attention") [2]_. Every decoder starts from
        the last state of the encoder, repeated at every place.
    reverse_input : bool, default=True
        Whether to read strings from their end, which shortens the path to what is written first
        [1]_.
    show_samples : int, default=0
        Number of validation samples to print after every epoch, with the expected and the
        predicted string. Needs validation data.
    label_smoothing : float, default=0.0
        Share of the target, in [0, 1), that is spread evenly over all characters.
    epochs : int, default=20
        Number of passes over the training data, at least 1. With `warm_start` every ``fit`` adds
        as many; ``partial_fit`` always makes one.
    batch_size : int, default=64
        Samples per training step, at least 1.
    optimizer : str, keras.optimizers.Optimizer or class, default="adam"
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
    weight_decay : float, default=0.05
        Decoupled weight decay of the kernels, not negative.
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
    input_table_, output_table_ : CharacterTable
        The characters and lengths of both sides.
    reverse_input_ : bool
        Whether the network reads strings from their end.
    model_ : keras.Model
        A copy of the network, compiled. What is done to it does not change the estimator.
    history_ : dict of str to list of float
        Values per epoch of ``loss``, of ``accuracy`` (the share of characters, padding included)
        and ``exact_match`` (the share of whole strings), the same with ``val_`` where there is
        validation data, of ``learning_rate`` (that of the last step) and of ``seconds``. A name
        that not all epochs have is NaN in the others. ``warm_start`` and ``partial_fit`` append to
        it.
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
    make_arithmetic : Questions and answers to learn from.
    exact_match_score : What ``score`` gives.

    References
    ----------
    .. [1] I. Sutskever, O. Vinyals and Q. V. Le, "Sequence to Sequence Learning with Neural
       Networks", NeurIPS 2014.
    .. [2] M.-T. Luong, H. Pham and C. D. Manning, "Effective Approaches to Attention-based
       Neural Machine Translation", EMNLP 2015.

    Examples
    --------
    >>> from skcnn import Seq2SeqRNN
    >>> numbers = [f"{number:02}" for number in range(100)]
    >>> halves = [str(int(number) // 2) for number in numbers]
    >>> net = Seq2SeqRNN(epochs=60, batch_size=16, random_state=0).fit(numbers, halves)
    >>> net.predict(["08", "90"])
    array(['4', '45'], dtype='<U2')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **KerasEstimator._parameter_constraints,
        "cell": [StrOptions(set(CELLS))],
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "decoder": [StrOptions({"repeat", "attention"})],
        "reverse_input": ["boolean"],
        "show_samples": [Interval(Integral, 0, None, closed="left")],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }
    _NON_TRAINING_PARAMS: ClassVar[frozenset[str]] = KerasEstimator._NON_TRAINING_PARAMS | {
        "show_samples"
    }
    _defaults: ClassVar[TrainingParameters] = {"batch_size": 64, "weight_decay": 0.05}
    _parameter_of: ClassVar[dict[str, str]] = {"attention": "decoder"}
    _build = staticmethod(build_seq2seq)

    def __init__(
        self,
        *,
        cell: str = "lstm",
        hidden_size: int = 128,
        n_layers: int = 1,
        decoder: str = "repeat",
        reverse_input: bool = True,
        show_samples: int = 0,
        label_smoothing: float = 0.0,
        **parameters: Unpack[TrainingParameters],
    ) -> None:
        super().__init__(**parameters)
        self.cell = cell
        self.hidden_size = hidden_size
        self.n_layers = n_layers
        self.decoder = decoder
        self.reverse_input = reverse_input
        self.show_samples = show_samples
        self.label_smoothing = label_smoothing

    def __sklearn_tags__(self) -> Any:
        tags = tag_strings(super().__sklearn_tags__())
        tags.target_tags.required = True
        return tags

    def predict_proba(self, X: Any) -> Array:
        """Predict the probability of each character at each place.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            The strings to read.

        Returns
        -------
        ndarray of shape (n_samples, length, n_characters), float32
            Probabilities in the order of ``output_table_.characters_``, the padding first.
        """
        return self._outputs(X)

    def predict(self, X: Any) -> NDArray[np.str_]:
        """Predict the strings to write.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            The strings to read.

        Returns
        -------
        ndarray of str of shape (n_samples,)
            The most probable characters up to the first padding.
        """
        return self._predictions(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the share of strings that are predicted whole.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            The strings to read.
        y : array-like of str of shape (n_samples,)
            The right answers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        float
            The exact match.
        """
        return exact_match_score(y, self.predict(X), sample_weight=sample_weight)

    @property
    def _head(self) -> StringsHead:
        return StringsHead(self.output_table_, self.label_smoothing)

    def _check_data(
        self, X: Any, y: Any, sample_weight: Any = None, *, reset: bool, classes: Any = None
    ) -> tuple[OneHot, OneHot]:
        if classes is not None:
            raise ValueError(
                f"classes must be None: {type(self).__name__} writes strings, not classes."
            )
        X, y = check_strings(X, "X"), check_strings(y, "y")
        check_consistent_length(X, y)
        if reset:
            self.input_table_ = CharacterTable()._learn(X, "X")
            self.output_table_ = CharacterTable()._learn(y, "y")
            self.reverse_input_ = bool(self.reverse_input)
        return self._encoded(X), self._head.encode(y)

    def _check_inputs(self, X: Any) -> Any:
        return self._encoded(check_strings(X, "X"))

    def _encoded(self, X: NDArray[np.str_]) -> OneHot:
        table = self.input_table_
        return OneHot(self._in_order(table._codes(X, "X")), len(table.characters_))

    def _in_order(self, codes: Array) -> Array:
        """Turn codes from the order of the strings to that of reading, or back."""
        return codes[:, ::-1] if self.reverse_input_ else codes

    def _check_same_network(self, learned: dict[str, Any], asked: dict[str, Any]) -> None:
        super()._check_same_network(
            {**learned, "reverse_input": self.reverse_input_},
            {**asked, "reverse_input": bool(self.reverse_input)},
        )

    def _network_arguments(self, X: Any, y: Any) -> dict[str, Any]:
        return {
            "input_shape": X.shape[1:],
            "output_shape": y.shape[1:],
            "cell": self.cell,
            "hidden_size": int(self.hidden_size),
            "n_layers": int(self.n_layers),
            "attention": self.decoder == "attention",
        }

    def _metadata(self) -> dict[str, Any]:
        return {
            "input_characters": self.input_table_.characters_.tolist(),
            "output_characters": self.output_table_.characters_.tolist(),
            "reverse_input": self.reverse_input_,
        }

    def _network_to_export(self) -> keras.Model:
        # A loop needs operations that LiteRT leaves to TensorFlow.
        return self._network(
            unrolled_steps=max(self.input_table_.length_, self.output_table_.length_)
        )

    def _check_restored(self, network: dict[str, Any], state: State) -> None:
        super()._check_restored(network, state)
        if not hasattr(self, "reverse_input_"):  # a file of version 0.1.0
            self.reverse_input_ = bool(self.reverse_input)
        if network["n_layers"] > len(state.weights):  # before as many are built
            raise ValueError("its network has more layers than weights")
        for table, side in (
            (self.input_table_, "input_shape"),
            (self.output_table_, "output_shape"),
        ):
            known = table.characters_
            in_order = np.array_equal(known, np.union1d([""], known)) and known.dtype == "<U1"
            if not in_order or network[side] != (table.length_, len(known)):
                raise ValueError("its characters are not those of its network")

    def _own_callbacks(self, validation: BatchGenerator | None) -> list[keras.callbacks.Callback]:
        if not self.show_samples:
            return []
        if validation is None:
            raise ValueError(
                f"show_samples={self.show_samples} needs X_val or early_stopping=True to take "
                "samples from."
            )
        rows = validation.rows[: self.show_samples]
        questions = self.input_table_._strings(self._in_order(validation.X.codes[rows]))
        answers = self.output_table_._strings(validation.y.codes[rows])
        return [SampleView(validation.X[rows], questions, answers, self.output_table_)]


class SampleView(keras.callbacks.Callback):
    """Print some samples after every epoch, with the expected and the guessed string."""

    def __init__(
        self,
        inputs: Array,
        questions: NDArray[np.str_],
        answers: NDArray[np.str_],
        table: CharacterTable,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.questions = questions
        self.answers = answers
        self.table = table

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Print the samples."""
        codes = np.argmax(self.model.predict_on_batch(self.inputs), axis=2)
        guesses = self.table._strings(codes)
        match = (logs or {})["val_exact_match"]
        print_text(f"epoch {epoch + 1}: exact match {match:.4f}")
        wide, narrow = max(map(len, self.questions)), self.table.length_
        for question, answer, guess in zip(self.questions, self.answers, guesses, strict=True):
            mark = "✓" if answer == guess else "✗"
            line = f"{question:{wide}}  expected {answer:{narrow}}  guessed {guess:{narrow}}"
            print_text(f"  {line}  {mark}")


def print_text(text: str) -> None:
    """Print a line, with escapes for characters that standard output cannot encode."""
    if is_open(sys.stdout):
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding))
