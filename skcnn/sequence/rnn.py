"""Sequence-to-sequence estimator for strings."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Self, Unpack

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._compat import Interval, StrOptions, validate_parameter_constraints
from .._environment import check_not_forked
from .._files.export import export
from .._fitted import OUTPUTS
from .._keras import keras, tf
from .._parameters import TrainingParameters
from .._strings import check_strings
from .._training.batches import BatchGenerator
from .._training.callbacks import is_open
from .._training.network import Plan, State
from .._training.pool import predict_in_parts
from ..base import Array, KerasEstimator
from ..heads import OneHot, StepwiseStringsHead, StringsHead
from ..metrics import character_error_rate, exact_match_score
from .batches import StringBatches
from .characters import ANALYZERS, NORMAL_FORMS, CharacterTable, tag_strings
from .decoding import best_sequences, in_batches, log_probability_of, writer
from .export import write_autoregressive
from .networks import CELLS, DECODERS, GATES, Decoder, build_seq2seq

# Limits of `batch_size="auto"`.
BATCH_LIMITS = (8, 64)


class Seq2SeqRNN(KerasEstimator):
    """Learn to write strings from strings, such as "-333" from "123-456".

    A recurrent network reads a string, and another writes the answer, one character after the
    other, from what it has read and written before [1]_.

    Parameters
    ----------
    decoder : {"autoregressive", "attention", "repeat"}, default="autoregressive"
        How answers are written. "autoregressive": each character from those before it, with
        attention to all that was read [2]_; strings may have any length on either side. "repeat"
        writes all places at once from a single vector, and "attention" from that and, at every
        place, what it attends to; strings may be as long as the longest in training.
    cell : {"lstm", "gru", "simple_rnn"}, default="lstm"
        Kind of the recurrent layers.
    hidden_size : int, default=128
        Units of each recurrent layer, at least 1.
    n_layers : int, default=1
        Recurrent layers of the encoder, and as many of the decoder; at least 1.
    bidirectional : bool or "auto", default="auto"
        Whether the encoder reads strings in both directions [3]_. "auto" does so with
        ``decoder="autoregressive"``; True is refused with other decoders.
    reverse_input : bool or "auto", default="auto"
        Whether to read strings from their end, which shortens the path to what is written first
        [1]_. "auto" does so except with ``decoder="autoregressive"``.
    embedding_size : int, None or "auto", default="auto"
        Length of the vector that is learned for each character. None uses one-hot vectors, and so
        does "auto" for alphabets of up to 512 characters; for larger ones it is 64. Only with
        ``decoder="autoregressive"``.
    dropout : float or "auto", default="auto"
        Fraction of the values between layers that is set to zero in training. "auto" is 0. Only
        with ``decoder="autoregressive"``.
    analyzer : {"char", "word"} or pair of these, default="char"
        The tokens of strings: characters, or words separated by white space, which predictions
        join by a space. A pair sets it for X and for y: ``("char", "word")`` writes "HH AH L OW"
        for "hello".
    characters : str, list of str or pair of these, default=None
        All characters, or words, that may occur, in X and y or, as a tuple of two, in X and in y.
        None uses those of the strings in ``fit``.
    handle_unknown : {"error", "ignore"}, default="error"
        Unknown characters and strings that are too long raise an error, or are read as a special
        character and truncated. An unknown character in y counts as an error in validation and
        does not contribute to the loss.
    normalize : {"NFC", "NFKC", "NFD", "NFKD"}, default=None
        Unicode normal form that is applied to all strings, so that the two encodings of "é" are
        equal. None leaves strings unchanged.
    max_input_length : int, default=None
        Maximum number of characters, or words, of an input. None is unlimited with
        ``decoder="autoregressive"``, and the longest string in ``fit`` with others.
    max_output_length : int, default=None
        Maximum number of characters, or words, of a prediction. None is twice the longest answer
        in ``fit`` with ``decoder="autoregressive"``, and the longest answer with others.
    beam_width : int, default=1
        Number of candidates that prediction keeps. 1 takes the most probable character at each
        step; 5 sometimes finds a more probable string and takes about five times as long.
    show_samples : int, default=0
        Number of validation samples to print after every epoch, with the expected and the
        predicted string. Needs validation data.
    label_smoothing : float, default=0.0
        Share of the target, in [0, 1), that is spread evenly over all characters.
    epochs : int or "auto", default="auto"
        Number of passes over the training data, at least 1. "auto" is 20, and more for few
        samples, for at least 640 training steps, or 10,000 with ``decoder="autoregressive"``. With
        `warm_start` every ``fit`` adds as many; ``partial_fit`` always makes one.
    batch_size : int or "auto", default="auto"
        Samples per training step, at least 1. "auto" is 64; with ``decoder="autoregressive"`` it
        is smaller for fewer than 16,000 samples, down to 8, so that an epoch has about 256 steps.
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
    input_table_, output_table_ : CharacterTable
        The characters and lengths of both sides.
    decoder_ : str
        The decoder of the fitted network.
    reverse_input_ : bool
        Whether the network reads strings from their end.
    model_ : keras.Model
        A copy of the network, compiled. What is done to it does not change the estimator.
    history_ : dict of str to list of float
        Values per epoch of ``loss``, of ``accuracy`` (the share of characters) and
        ``exact_match`` (the share of whole strings), the same with ``val_`` and
        ``val_character_error_rate`` where there is validation data, of ``learning_rate`` (that of
        the last step) and of ``seconds``. With ``decoder="autoregressive"`` a character is
        predicted from the right characters before it, and padding does not count. A name that not
        all epochs have is NaN in the others. ``warm_start`` and ``partial_fit`` append to
        it.
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
    make_arithmetic : Questions and answers to learn from.
    exact_match_score : What ``score`` gives.

    References
    ----------
    .. [1] I. Sutskever, O. Vinyals and Q. V. Le, "Sequence to Sequence Learning with Neural
       Networks", NeurIPS 2014.
    .. [2] M.-T. Luong, H. Pham and C. D. Manning, "Effective Approaches to Attention-based
       Neural Machine Translation", EMNLP 2015.
    .. [3] D. Bahdanau, K. Cho and Y. Bengio, "Neural Machine Translation by Jointly Learning to
       Align and Translate", ICLR 2015.

    Examples
    --------
    >>> from skcnn import Seq2SeqRNN
    >>> numbers = [f"{number:02}" for number in range(100)]
    >>> halves = [str(int(number) // 2) for number in numbers]
    >>> net = Seq2SeqRNN(epochs=30, batch_size=16, random_state=0).fit(numbers, halves)
    >>> net.predict(["08", "90"])
    array(['4', '45'], dtype='<U2')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **KerasEstimator._parameter_constraints,
        "decoder": [StrOptions(set(DECODERS))],
        "cell": [StrOptions(set(CELLS))],
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "bidirectional": ["boolean", StrOptions({"auto"})],
        "reverse_input": ["boolean", StrOptions({"auto"})],
        "embedding_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"}), None],
        "dropout": [Interval(Real, 0, 1, closed="left"), StrOptions({"auto"})],
        "analyzer": [StrOptions(set(ANALYZERS)), tuple],
        "characters": [str, list, tuple, None],
        "handle_unknown": [StrOptions({"error", "ignore"})],
        "normalize": [StrOptions(set(NORMAL_FORMS)), None],
        "max_input_length": [Interval(Integral, 1, None, closed="left"), None],
        "max_output_length": [Interval(Integral, 1, None, closed="left"), None],
        "beam_width": [Interval(Integral, 1, None, closed="left")],
        "show_samples": [Interval(Integral, 0, None, closed="left")],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }
    _NON_TRAINING_PARAMS: ClassVar[frozenset[str]] = KerasEstimator._NON_TRAINING_PARAMS | {
        "beam_width",
        "show_samples",
    }
    _PREDICTION_PARAMS: ClassVar[frozenset[str]] = frozenset({"beam_width"})
    _defaults: ClassVar[TrainingParameters] = {"weight_decay": 0.05}
    _build = staticmethod(build_seq2seq)

    decoder_: str
    _forward: Any

    def __init__(
        self,
        *,
        decoder: str = "autoregressive",
        cell: str = "lstm",
        hidden_size: int = 128,
        n_layers: int = 1,
        bidirectional: bool | str = "auto",
        reverse_input: bool | str = "auto",
        embedding_size: int | str | None = "auto",
        dropout: float | str = "auto",
        analyzer: str | tuple[str, str] = "char",
        characters: Any = None,
        handle_unknown: str = "error",
        normalize: str | None = None,
        max_input_length: int | None = None,
        max_output_length: int | None = None,
        beam_width: int = 1,
        show_samples: int = 0,
        label_smoothing: float = 0.0,
        **parameters: Unpack[TrainingParameters],
    ) -> None:
        super().__init__(**parameters)
        self.decoder = decoder
        self.cell = cell
        self.hidden_size = hidden_size
        self.n_layers = n_layers
        self.bidirectional = bidirectional
        self.reverse_input = reverse_input
        self.embedding_size = embedding_size
        self.dropout = dropout
        self.analyzer = analyzer
        self.characters = characters
        self.handle_unknown = handle_unknown
        self.normalize = normalize
        self.max_input_length = max_input_length
        self.max_output_length = max_output_length
        self.beam_width = beam_width
        self.show_samples = show_samples
        self.label_smoothing = label_smoothing

    def __sklearn_tags__(self) -> Any:
        tags = tag_strings(super().__sklearn_tags__())
        tags.target_tags.required = True
        return tags

    # Prediction

    def predict(self, X: Any) -> NDArray[np.str_]:
        """Predict the strings to write.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            The strings to read.

        Returns
        -------
        ndarray of str of shape (n_samples,)
            The best of each beam; with ``beam_width=1`` the most probable character at each step
            until the end.
        """
        fitted = self._ready()
        return fitted._written(fitted._check_inputs(X))

    def predict_candidates(self, X: Any, n_best: int = 5) -> tuple[NDArray[np.str_], Array]:
        """Predict the most probable strings, found by a beam search.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            The strings to read.
        n_best : int, default=5
            Strings for each sample. The beam is `beam_width` or `n_best` wide, whichever is more.

        Returns
        -------
        candidates : ndarray of str of shape (n_samples, n_best)
            Strings, the most probable first.
        log_proba : ndarray of shape (n_samples, n_best)
            Their log-probabilities; minus infinity where there are no more strings.
        """
        if not isinstance(n_best, Integral) or isinstance(n_best, bool) or n_best < 1:
            raise ValueError(f"n_best must be an int of at least 1, got {n_best!r}.")
        fitted = self._ready()
        return fitted._candidates(fitted._check_inputs(X), int(n_best))

    def predict_confidence(self, X: Any) -> Array:
        """Compute the probability of each string that ``predict`` returns.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            The strings to read.

        Returns
        -------
        ndarray of shape (n_samples,)
            From 0 to 1. It is that of the whole string, its end included.
        """
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any, y: Any = None) -> Array:
        """Compute the log-probability of answers.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            The strings to read.
        y : array-like of str of shape (n_samples,), default=None
            One answer for each. None takes the strings that ``predict`` returns.

        Returns
        -------
        ndarray of shape (n_samples,)
            Natural logarithms of the probabilities that exactly these strings are written.
        """
        fitted = self._ready()
        X = fitted._check_inputs(X)
        if y is None:
            return fitted._candidates(X, 1)[1][:, 0]
        y = check_strings(y, "y")
        check_consistent_length(X, y)
        result = np.zeros(len(y))
        for rows, log_proba in fitted._scored(X, y):
            result[rows] = log_proba
        return result

    def predict_proba(self, X: Any) -> Array:
        """Predict the probability of each character at each place.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            The strings to read.

        Returns
        -------
        ndarray of shape (n_samples, length, n_characters), float32
            Probabilities in the order of ``output_table_.characters_``, the padding first, at
            the places of strings of up to ``output_table_.length_`` characters. With
            ``decoder="autoregressive"`` they depend on the most probable characters before.
        """
        fitted = self._ready()
        if not fitted._kind.autoregressive:
            return fitted._outputs(X)
        X, table = fitted._check_inputs(X), fitted.output_table_
        result = np.zeros((len(X), table.length_, len(table.characters_)), np.float32)
        result[:, :, 0] = 1

        def run(codes: Array) -> list[Array]:
            return fitted._call("traced", codes, table.length_ + 1)

        for rows, codes, _, proba, _ in in_batches(run, X, places=fitted._values_a_place):
            written = np.cumprod(np.pad(codes > 0, ((0, 0), (1, 0)), constant_values=True), 1)
            within = written[:, :-1, None].astype(bool)
            n_places = min(proba.shape[1], table.length_)
            kept = within[:, :n_places], proba[:, :n_places], result[rows, :n_places]
            result[rows, :n_places] = np.where(*kept)
        return result

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
        fitted = self._ready()
        y = fitted.output_table_._normal(check_strings(y, "y"))
        return exact_match_score(y, fitted.predict(X), sample_weight=sample_weight)

    def _ready(self) -> Self:
        """Return a snapshot of this estimator after checking it for prediction."""
        fitted = self._snapshot()
        check_is_fitted(fitted)
        check_not_forked()
        names = ("beam_width", "max_output_length")
        validate_parameter_constraints(
            {name: fitted._parameter_constraints[name] for name in names},
            {name: getattr(fitted, name) for name in names},
            caller_name=type(fitted).__name__,
        )
        return fitted

    @property
    def _kind(self) -> Decoder:
        return DECODERS[self.decoder_]

    @property
    def _limit(self) -> int:
        """Maximum number of characters to write."""
        return int(self.max_output_length or 2 * self.output_table_.length_)

    @property
    def _values_a_place(self) -> int:
        """Values per input position in the largest tensor of the network."""
        return 2 * GATES[self.cell][0] * int(self.hidden_size)

    def _compiled_calls(self, plan: Plan) -> Any:
        return writer(plan) if self._kind.autoregressive else super()._compiled_calls(plan)

    def _call(self, name: str, *inputs: Any) -> list[Array]:
        outputs: list[Array] = self._forward(name, list(inputs), self._weight_tensors)
        return outputs

    def _written(self, X: Any) -> NDArray[np.str_]:
        """Predict strings for encoded inputs."""
        if self.beam_width > 1 or self._kind.autoregressive:
            return self._candidates(X, 1)[0][:, 0]
        predict = functools.partial(self._predict_batch, output=OUTPUTS)
        return predict_in_parts(predict, X, self._forward.n_outputs, self._head.decode)

    def _candidates(self, X: Any, n_best: int) -> tuple[NDArray[np.str_], Array]:
        width = max(int(self.beam_width), n_best)
        strings, log_proba = np.empty((len(X), n_best), object), np.zeros((len(X), n_best))
        for rows, codes, totals in self._searched(X, width):
            best = codes[:, :n_best].reshape(-1, codes.shape[2])
            found = self.output_table_._strings(best)
            strings[rows] = found.reshape(-1, n_best)
            log_proba[rows] = totals[:, :n_best]
        return strings.astype(np.str_), log_proba

    def _searched(self, X: Any, width: int) -> Iterator[tuple[Array, Array, Array]]:
        """Search in batches; yield row indices, codes and log-probabilities."""
        limit = self._limit

        def write(codes: Array) -> list[Array]:
            if width == 1:
                return [each[:, None] for each in self._call("greedy", codes, limit + 1)]
            return self._call("beam", codes, limit + 1, width)

        def choose(codes: Array) -> list[Array]:
            with np.errstate(divide="ignore"):
                return list(best_sequences(np.log(self._probabilities(codes)), width))

        if self._kind.autoregressive:
            found = in_batches(write, X, places=self._values_a_place * width)
        else:
            found = in_batches(choose, X.codes, places=X.shape[2], cut=False)
        for rows, codes, totals in found:
            yield rows, codes[:, :, :limit], totals

    def _scored(self, X: Any, y: NDArray[np.str_]) -> Iterator[list[Array]]:
        """Score targets in batches; yield row indices and log-probabilities."""
        if self._kind.autoregressive:
            y = self.output_table_._codes(y, "y", any_length=True, more=1)
            run = functools.partial(self._call, "score")
            yield from in_batches(run, X, y, places=self._values_a_place)
            return
        y = self.output_table_._codes(y, "y")

        def score(read: Array, written: Array) -> list[Array]:
            return [log_probability_of(self._probabilities(read), written)]

        yield from in_batches(score, X.codes, y, places=X.shape[2], cut=False)

    def _attention(self, text: str) -> tuple[list[str], list[str], Array]:
        """Return the input and output characters for a string, and the attention weights."""
        fitted = self._ready()
        X = fitted._check_inputs([text])
        if fitted.decoder_ == "repeat":
            raise ValueError("decoder='repeat' has no attention; use another decoder.")
        if fitted._kind.autoregressive:
            codes, _, _, weights = fitted._call("traced", X.astype(np.int32), fitted._limit + 1)
        else:
            model = fitted._network()
            codes, layer = model(X[:]).numpy().argmax(axis=2), model.get_layer("attention")
            written, read = keras.Model(model.input, layer.input)(X[:])
            weights = tf.nn.softmax(tf.matmul(written, read, transpose_b=True)).numpy()
        places = fitted._in_order(np.arange(1, weights.shape[2] + 1)[None])[0] - 1
        inputs, outputs = (
            table._parts(str(strings[0]))
            for table, strings in (
                (fitted.input_table_, fitted.input_table_._normal(np.array([text]))),
                (fitted.output_table_, fitted.output_table_._strings(codes)),
            )
        )
        return inputs, outputs, weights[0][: len(outputs), places][:, : len(inputs)]

    def _probabilities(self, codes: Array) -> Array:
        """Compute the probabilities at all positions; not for autoregressive decoders."""
        batch = OneHot(codes, len(self.input_table_.characters_))[:]
        proba: Array = self._predict_batch(batch, OUTPUTS).numpy()
        return proba

    # Data

    @property
    def _head(self) -> StringsHead:
        head = StepwiseStringsHead if self._kind.autoregressive else StringsHead
        return head(self.output_table_, self.label_smoothing)

    def _generator(self, *args: Any, **options: Any) -> BatchGenerator:
        kind = StringBatches if self._kind.autoregressive else BatchGenerator
        return kind(*args, **options)

    def _batch_limits(self) -> tuple[int, int, int]:
        return self._kind.steps_an_epoch, *BATCH_LIMITS

    @property
    def _least_steps(self) -> int:
        return self._kind.least_steps

    def _check_data(
        self, X: Any, y: Any, sample_weight: Any = None, *, reset: bool, classes: Any = None
    ) -> tuple[Any, Any]:
        if classes is not None:
            raise ValueError(
                f"classes must be None: {type(self).__name__} predicts strings, not classes."
            )
        X, y = check_strings(X, "X"), check_strings(y, "y")
        check_consistent_length(X, y)
        if reset:
            self._check_options()
            self.input_table_ = self._table(0, self.max_input_length)._learn(X, "X")
            self.output_table_ = self._table(1, self.max_output_length)._learn(y, "y")
            self.decoder_ = self.decoder
            self.reverse_input_ = bool(self._option("reverse_input"))
        return self._encoded(X), self._head.encode(y)

    def _check_options(self) -> None:
        """Raise for parameters without effect with the decoder, and for incomplete pairs."""
        takes = DECODERS[self.decoder].defaults
        for name in ("bidirectional", "embedding_size", "dropout"):
            value = getattr(self, name)
            if value != "auto" and name not in takes:
                others = [repr(key) for key, kind in DECODERS.items() if name in kind.defaults]
                raise ValueError(
                    f"{name}={value!r} has no effect with decoder={self.decoder!r}; it needs "
                    f"decoder={' or '.join(others)}, or {name}='auto'."
                )
        for name in ("analyzer", "characters"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != 2:
                raise ValueError(
                    f"{name} must be one value for X and y or a pair of them, got {value!r}."
                )

    def _option(self, name: str) -> Any:
        """Return the value of a parameter that may be "auto"."""
        value = getattr(self, name)
        return DECODERS[self.decoder].defaults[name] if value == "auto" else value

    def _table(self, side: int, length: int | None) -> CharacterTable:
        analyzer, characters = (
            value[side] if isinstance(value, tuple) else value
            for value in (self.analyzer, self.characters)
        )
        table = CharacterTable(
            characters=characters,
            length=length,
            analyzer=analyzer,
            handle_unknown=self.handle_unknown,
            normalize=self.normalize,
        )
        table._validate_params()
        return table

    def _check_inputs(self, X: Any) -> Any:
        return self._encoded(check_strings(X, "X"))

    def _encoded(self, X: NDArray[np.str_]) -> Any:
        table, any_length = self.input_table_, self._kind.autoregressive
        codes = self._in_order(table._codes(X, "X", any_length=any_length))
        return codes if any_length else OneHot(codes, len(table.characters_))

    def _in_order(self, codes: Array) -> Array:
        """Reverse codes if `reverse_input_`; calling it twice restores them."""
        if not self.reverse_input_:
            return codes
        if not self._kind.autoregressive:
            return codes[:, ::-1]
        # Only the string is reversed, not its padding.
        places, lengths = np.arange(codes.shape[1]), np.count_nonzero(codes, axis=1)[:, None]
        turned = np.where(places < lengths, lengths - 1 - places, places)
        return np.take_along_axis(codes, turned, 1)

    # The network

    def _check_same_network(self, learned: dict[str, Any], asked: dict[str, Any]) -> None:
        super()._check_same_network(
            {**learned, "reverse_input": self.reverse_input_},
            {**asked, "reverse_input": bool(self._option("reverse_input"))},
        )

    def _network_arguments(self, X: Any, y: Any) -> dict[str, Any]:
        kind = DECODERS[self.decoder]
        shapes = [
            (None if kind.autoregressive else table.length_, len(table.characters_))
            for table in (self.input_table_, self.output_table_)
        ]
        options = {
            "decoder": self.decoder,
            "input_shape": shapes[0],
            "output_shape": shapes[1],
            "cell": self.cell,
            "hidden_size": int(self.hidden_size),
            "n_layers": int(self.n_layers),
        }
        for name in kind.defaults:
            if name != "reverse_input":
                options[name] = self._option(name)
        return options

    def _metadata(self) -> dict[str, Any]:
        return {
            "decoder": self.decoder_,
            "input_characters": self.input_table_.characters_.tolist(),
            "output_characters": self.output_table_.characters_.tolist(),
            "analyzers": [self.input_table_.analyzer, self.output_table_.analyzer],
            "normalize": self.input_table_.normalize,
            "reverse_input": self.reverse_input_,
        }

    def export(self, path: str | os.PathLike[str], format: str = "onnx") -> None:
        """Write the fitted network for a runtime without skcnn.

        With the decoders "repeat" and "attention" it takes float32 arrays of the shape
        ``model_.input_shape``, one-hot rows of characters, and gives probabilities, as
        ``predict_proba`` does.

        With ``decoder="autoregressive"`` it takes int32 codes of shape (n_samples, length): the
        places of the characters in ``input_table_.characters_``, filled up with zeros. An ONNX
        file gives the ``codes`` of a greedy search, up to the first 0, and their ``log_proba``.
        A SavedModel has two functions for a search of one's own: ``encode`` gives what
        ``decode_step`` takes beside the codes that were written last, zeros at first, and that
        gives log-probabilities of the next ones and its next state.

        The file has the characters with it, as JSON: in the metadata ``skcnn`` of an ONNX file,
        in ``assets.extra/skcnn.json`` of a SavedModel, and in ``skcnn.json`` of the zip at the
        end of a LiteRT file.

        Parameters
        ----------
        path : str or path
            The file, or the folder of a SavedModel. What is there is replaced if it is of the
            same kind.
        format : {"onnx", "tf_saved_model", "litert"}, default="onnx"
            ONNX needs ``pip install 'skcnn[export]'``. LiteRT cannot hold
            ``decoder="autoregressive"``.

        Raises
        ------
        ValueError
            If there is no such format, or it cannot hold the decoder.
        ImportError
            If a package is missing.
        OSError
            If the file cannot be written.
        """
        fitted = self._ready()
        if not fitted._kind.autoregressive:
            return super().export(path, format)
        write = functools.partial(write_autoregressive, limit=fitted._limit + 1)
        export(fitted._network, fitted._metadata(), path, format, write)

    def _network_to_export(self) -> keras.Model:
        # A loop would need TensorFlow operations that LiteRT lacks.
        return self._network(
            unrolled_steps=max(self.input_table_.length_, self.output_table_.length_)
        )

    def _restore(self, network: tuple[tuple[str, Any], ...], state: dict[str, Any]) -> None:
        arguments = dict(network)
        if "attention" in arguments:  # a file of version 0.1.0
            arguments["decoder"] = "attention" if arguments.pop("attention") else "repeat"
        self.decoder_ = arguments["decoder"]
        super()._restore(tuple(arguments.items()), state)

    def _check_restored(self, network: dict[str, Any], state: State) -> None:
        super()._check_restored(network, state)
        if not hasattr(self, "reverse_input_"):  # a file of version 0.1.0
            self.reverse_input_ = bool(self.reverse_input)
        if network["n_layers"] > len(state.weights):  # checked before any are built
            raise ValueError("its network has more layers than weights")
        for table, side in (
            (self.input_table_, "input_shape"),
            (self.output_table_, "output_shape"),
        ):
            known, longest = table.characters_, getattr(table, "length_", None)
            if type(longest) is not int or longest < 1:
                raise ValueError("its strings have no greatest length")
            in_order = np.array_equal(known, np.union1d([""], known)) and known.dtype.kind == "U"
            if table.analyzer == "char":
                in_order &= known.dtype == "<U1"
            length = None if self._kind.autoregressive else longest
            if not in_order or network[side] != (length, len(known)):
                raise ValueError("its characters are not those of its network")

    def _own_callbacks(self, validation: BatchGenerator | None) -> list[keras.callbacks.Callback]:
        if validation is None:
            if self.show_samples:
                raise ValueError(
                    f"show_samples={self.show_samples} needs X_val or "
                    "early_stopping=True to take samples from."
                )
            return []
        X, y = validation.X, validation.y
        questions = self.input_table_._strings(self._in_order(getattr(X, "codes", X)))
        answers = self.output_table_._strings(getattr(y, "codes", y))
        rows, calls = validation.rows, self._compiled_calls(self._plan)
        X = X[rows] if self._kind.autoregressive else OneHot(X.codes[rows], X.shape[2])

        def predict(model: keras.Model) -> NDArray[np.str_]:
            reader = object.__new__(type(self))
            weights = calls.prepared([weight.value for weight in model.weights])
            reader.__dict__ = {**vars(self), "_forward": calls, "_weight_tensors": weights}
            return reader._written(X)

        return [StringValidation(predict, questions[rows], answers[rows], self.show_samples)]


class StringValidation(keras.callbacks.Callback):
    """Log the character error rate of the validation data and print samples after every epoch.

    Parameters
    ----------
    predict : callable
        Predicts the strings with a network.
    questions, answers : ndarray of str of shape (n_samples,)
        Inputs and targets.
    n_shown : int
        Number of samples to print, with the expected and the predicted string.
    """

    def __init__(
        self,
        predict: Callable[[keras.Model], NDArray[np.str_]],
        questions: NDArray[np.str_],
        answers: NDArray[np.str_],
        n_shown: int,
    ) -> None:
        super().__init__()
        self.predict = predict
        self.questions = questions
        self.answers = answers
        self.n_shown = n_shown

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log the rate and print the samples."""
        guesses = self.predict(self.model)
        logs = {} if logs is None else logs
        logs["val_character_error_rate"] = character_error_rate(self.answers, guesses)
        if self.n_shown:
            print_text(f"epoch {epoch + 1}: exact match {logs['val_exact_match']:.4f}")
            self._show(guesses)

    def _show(self, guesses: NDArray[np.str_]) -> None:
        shown = slice(self.n_shown)
        questions, answers, guesses = self.questions[shown], self.answers[shown], guesses[shown]
        wide = max(map(len, questions))
        narrow = max(map(len, [*answers, *guesses]))
        for question, answer, guess in zip(questions, answers, guesses, strict=True):
            mark = "✓" if answer == guess else "✗"
            line = f"{question:{wide}}  expected {answer:{narrow}}  guessed {guess:{narrow}}"
            print_text(f"  {line}  {mark}")


def print_text(text: str) -> None:
    """Print a line, escaping characters that standard output cannot encode."""
    if is_open(sys.stdout):
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding))
