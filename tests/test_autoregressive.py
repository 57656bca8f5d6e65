"""Seq2SeqRNN with the autoregressive decoder."""

import copy
import itertools
import pickle
import threading

import numpy as np
import pytest
import tensorflow as tf
from marks import slow
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score

import skcnn
from skcnn import Seq2SeqRNN, character_error_rate, exact_match_score, make_arithmetic
from skcnn.sequence.batches import StringBatches
from skcnn.sequence.decoding import best_sequences, in_batches
from skcnn.sequence.networks import DECODERS, build_seq2seq, network_size

X, Y = make_arithmetic(55, operation="+", n_digits=1, random_state=0)
WORDS = np.array(["".join(p) for n in range(1, 5) for p in itertools.product("ab", repeat=n)])
TWICE = np.array(["".join(2 * char for char in word) for word in WORDS])
ALL_DECODERS = [*sorted(DECODERS.keys() - {"attention"}), *slow("attention")]
# What compiles fastest, for tests of what no decoder, cell or optimizer changes.
PLAIN = {"decoder": "repeat", "cell": "simple_rnn", "optimizer": "sgd", "epochs": 1}


def net(**parameters):
    defaults = {"epochs": 2, "batch_size": 16, "hidden_size": 32, "random_state": 0}
    return Seq2SeqRNN(**{**defaults, **parameters})


@pytest.fixture(scope="module")
def learned():
    """A network that has learned to repeat every character."""
    return net(epochs=80, learning_rate=0.01, batch_size=8).fit(WORDS, TWICE)


@pytest.fixture(scope="module")
def rough():
    """Networks of every decoder after little training, so that no output has probability 0."""
    return {name: net(decoder=name, epochs=1).fit(WORDS, WORDS) for name in DECODERS}


def test_learns_and_predicts_longer_strings_than_in_training(learned):
    assert learned.score(WORDS, TWICE) == 1
    assert learned.predict(["abbab", "babab"]).tolist() == ["aabbbbaabb", "bbaabbaabb"]
    assert max(map(len, TWICE)) == 8


def test_autoregressive_is_the_default_decoder(learned):
    assert Seq2SeqRNN().decoder == learned.decoder_ == "autoregressive"
    names = [layer.name for layer in learned.model_.layers]
    assert {"source", "encoder", "decoder", "logit"} <= set(names)


@pytest.mark.parametrize(
    ("cell", "embedding_size", "bidirectional"),
    [
        pytest.param(*options, marks=pytest.mark.slow if number % 3 else ())
        for number, options in enumerate(
            itertools.product(["lstm", "gru", "simple_rnn"], [None, 5], [False, True])
        )
    ],
)
def test_padding_is_ignored_and_steps_match_teacher_forcing(cell, embedding_size, bidirectional):
    options = {"decoder": "autoregressive", "cell": cell, "hidden_size": 4, "n_layers": 3}
    options |= {"input_shape": (None, 7), "output_shape": (None, 6), "dropout": 0.1}
    options |= {"bidirectional": bidirectional, "embedding_size": embedding_size}
    model = build_seq2seq(**options)
    assert network_size(**options) == (len(model.layers), model.count_params())
    source = np.array([[1, 2, 3], [4, 0, 0]], np.int32)
    target = np.array([[1, 2, 0], [3, 0, 0]], np.int32)
    logits = model([source, target])
    longer = model([np.pad(source, ((0, 0), (0, 4))), np.pad(target, ((0, 0), (0, 2)))])
    np.testing.assert_allclose(longer[:, :3], logits, atol=1e-6)
    from skcnn.sequence.decoding import Steps

    steps = Steps(model)
    memory, state = steps.read(source)
    previous = tf.zeros(2, tf.int32)
    for place in range(3):
        log_proba, state, attention = steps.write(previous, memory, state)
        np.testing.assert_allclose(log_proba, tf.nn.log_softmax(logits[:, place]), atol=1e-5)
        np.testing.assert_allclose(attention[1], [1, 0, 0], atol=1e-6)
        previous = tf.constant(target[:, place])


@pytest.mark.parametrize("decoder", list(DECODERS))
def test_candidates_are_the_most_probable_of_all_strings(rough, decoder):
    fitted = rough[decoder].set_params(beam_width=1, max_output_length=None)
    limit = 4 if decoder != "autoregressive" else 8
    strings = [
        "".join(chars) for n in range(limit + 1) for chars in itertools.product("ab", repeat=n)
    ]
    for word in ["ab", "bba"]:
        scores = fitted.predict_log_proba([word] * len(strings), strings)
        if decoder != "autoregressive":
            assert np.exp(scores).sum() == pytest.approx(1, abs=1e-4)
        best = np.argsort(-scores)[:4]
        candidates, log_proba = fitted.predict_candidates([word], n_best=4)
        wide = copy.deepcopy(fitted).set_params(beam_width=40)
        candidates, log_proba = wide.predict_candidates([word], n_best=4)
        np.testing.assert_allclose(log_proba[0], scores[best], atol=1e-4)
        assert candidates[0].tolist() == [strings[each] for each in best]


@pytest.mark.parametrize("decoder", list(DECODERS))
def test_confidence_is_the_probability_of_the_prediction(rough, decoder):
    fitted = rough[decoder]
    words = WORDS[:10]
    predicted, confidence = fitted.predict(words), fitted.predict_confidence(words)
    assert confidence.shape == (10,)
    log_proba = fitted.predict_log_proba(words, predicted)
    np.testing.assert_allclose(np.log(confidence), log_proba, atol=1e-4)
    np.testing.assert_allclose(fitted.predict_log_proba(words), log_proba, atol=1e-4)
    candidates, totals = fitted.predict_candidates(words, n_best=3)
    assert candidates.shape == totals.shape == (10, 3)
    assert (np.diff(totals) <= 0).all()
    assert (totals[:, 0] >= log_proba - 1e-4).all()


def test_warm_start_and_partial_fit_continue(learned):
    warm = copy.deepcopy(learned).set_params(warm_start=True, epochs=1)
    assert warm.fit(WORDS, TWICE).n_iter_ == 81
    assert warm.history_["loss"][-1] < learned.history_["loss"][0] / 2
    with pytest.raises(ValueError, match="decoder has changed since the last fit"):
        warm.set_params(decoder="repeat").fit(WORDS, TWICE)
    assert net().partial_fit(WORDS, TWICE).partial_fit(WORDS, TWICE).n_iter_ == 2


def test_maximum_lengths(learned):
    short = net(max_output_length=9, max_input_length=5).fit(WORDS, TWICE)
    assert max(map(len, short.predict(WORDS))) <= 9
    with pytest.raises(ValueError, match="X has a string of 6 characters"):
        short.predict(["aaaaaa"])
    cut = copy.deepcopy(learned).set_params(max_output_length=3)
    assert set(map(len, cut.predict(["abab", "bb"]))) == {3}
    classic = net(**PLAIN, max_input_length=6, max_output_length=9).fit(WORDS, TWICE)
    assert classic.model_.input_shape == (None, 6, 3)
    assert classic.model_.output_shape == (None, 9, 3)


def test_search_over_decoders():
    search = GridSearchCV(
        net(epochs=1), {"decoder": list(DECODERS), "cell": ["lstm"], "hidden_size": [32]}, cv=2
    ).fit(WORDS, WORDS)
    assert len(search.cv_results_["params"]) == 3
    assert search.predict(WORDS).shape == WORDS.shape


@pytest.mark.parametrize("options", [{}, {"reverse_input": True}, {"decoder": "attention"}])
def test_attention_display_shows_inputs_and_outputs(options):
    fitted = net(epochs=3, **options).fit(WORDS, WORDS)
    display = skcnn.AttentionDisplay.from_estimator(fitted, "abba")
    assert list(display.inputs) == ["a", "b", "b", "a"]
    assert "".join(display.outputs) == fitted.predict(["abba"])[0]
    assert display.weights.shape == (len(display.outputs), 4)
    if fitted.decoder_ == "autoregressive":
        np.testing.assert_allclose(display.weights.sum(axis=1), 1, atol=1e-5)
    assert display.image_.get_array().shape == display.weights.shape


def test_attention_follows_the_characters(learned, rough):
    display = skcnn.AttentionDisplay.from_estimator(learned, "abba")
    turned = net(epochs=80, learning_rate=0.01, batch_size=8, reverse_input=True)
    again = skcnn.AttentionDisplay.from_estimator(turned.fit(WORDS, TWICE), "abba")
    for each in (display, again):
        centres = each.weights @ np.arange(4)
        assert centres[-1] - centres[0] > 1
    with pytest.raises(ValueError, match="decoder='repeat' has no attention"):
        skcnn.AttentionDisplay.from_estimator(rough["repeat"], "abba")


def test_a_wider_beam_predicts_the_best_candidate(rough):
    wide = copy.deepcopy(rough["autoregressive"]).set_params(beam_width=5)
    np.testing.assert_array_equal(wide.predict(WORDS), wide.predict_candidates(WORDS, 5)[0][:, 0])
    with pytest.raises(ValueError, match="'beam_width' parameter"):
        wide.set_params(beam_width=0).predict(WORDS)


@pytest.mark.parametrize("n_best", [0, 1.5, True, None])
def test_n_best_is_checked(learned, n_best):
    with pytest.raises(ValueError, match="n_best must be an int of at least 1"):
        learned.predict_candidates(WORDS, n_best=n_best)


def test_best_sequences_of_independent_places():
    proba = np.array([[[0.1, 0.6, 0.3], [0.5, 0.3, 0.2]]])
    codes, totals = best_sequences(np.log(proba), 4)
    np.testing.assert_allclose(np.exp(totals[0]), [0.3, 0.18, 0.15, 0.12])
    assert codes[0].tolist() == [[1, 0], [1, 1], [2, 0], [1, 2]]


def test_predictions_do_not_depend_on_other_rows(learned):
    words = np.concatenate([WORDS, ["ab" * n for n in range(1, 9)], [""]])
    together = learned.predict_proba(words)
    assert together.shape == (len(words), 8, 3)
    np.testing.assert_allclose(together.sum(axis=2), 1, atol=1e-5)
    alone = np.concatenate([learned.predict_proba([word]) for word in words])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    singly = [learned.predict([word])[0] for word in words]
    assert learned.predict(words).tolist() == singly


def test_prediction_batches_are_bounded_by_length():
    codes = np.zeros((100, 4000), np.uint16)
    for row in range(100):
        codes[row, : 40 * row + 1] = 1
    shapes = []

    def run(batch):
        shapes.append(batch.shape)
        return [batch[:, 0]]

    rows = np.concatenate([rows for rows, _ in in_batches(run, codes, places=2**10)])
    assert sorted(rows) == list(range(100))
    assert all(n_rows * length <= 2**14 or n_rows == 1 for n_rows, length in shapes)
    assert len(shapes) > 5


def test_prediction_of_new_lengths_does_not_retrace(monkeypatch):
    traces = []
    call = skcnn.sequence.layers.Encoder.call
    monkeypatch.setattr(
        skcnn.sequence.layers.Encoder,
        "call",
        lambda self, *args, **kwargs: traces.append(1) or call(self, *args, **kwargs),
    )
    words = ["a" * n for n in range(1, 40)]
    fitted = net(hidden_size=3, batch_size=4, bidirectional=False, optimizer="sgd")
    fitted.fit(words, words)
    fitted.predict(words)
    n_traces = len(traces)
    fitted.predict(words[::2])
    fitted.predict(["a" * 100])
    assert len(traces) == n_traces


def test_batches_group_strings_of_similar_length():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 30, 400)
    codes = (np.arange(31) < lengths[:, None]).astype(np.uint16)
    batches = StringBatches(codes, codes, np.arange(400.0), batch_size=16, random_state=0)
    batches.on_epoch_begin()
    seen, widths = [], []
    for index in range(len(batches)):
        (source, target), same, weight = batches[index]
        assert source.dtype == target.dtype == np.int32
        assert target is same
        assert target.shape[1] == source.shape[1] + 1
        seen.extend(weight)
        widths.append(source.shape[1])
        np.testing.assert_array_equal(source.sum(axis=1), lengths[weight.astype(int)])
    assert sorted(seen) == list(range(400))
    assert np.mean(widths) < 19  # 15 without any padding, 29 without order
    first = [batches[index][0][0].tolist() for index in range(3)]
    batches.on_epoch_end()
    assert [batches[index][0][0].tolist() for index in range(3)] != first


@pytest.fixture(scope="module")
def base():
    return net().fit(X, Y).predict_log_proba(X, Y)


def test_seeds(base):
    np.testing.assert_array_equal(net().fit(X, Y).predict_log_proba(X, Y), base)


def test_history_matches_prediction():
    fitted = net(epochs=3).fit(X, Y, X_val=X[:20], y_val=Y[:20])
    guesses = fitted.predict(X[:20])
    history = fitted.history_
    assert history["val_exact_match"][-1] == pytest.approx(exact_match_score(Y[:20], guesses))
    rate = character_error_rate(Y[:20], guesses)
    assert history["val_character_error_rate"][-1] == pytest.approx(rate)
    assert len(history["val_character_error_rate"]) == 3


def test_show_samples_prints(capsys):
    fitted = net(show_samples=2).fit(X, Y, X_val=X[:20], y_val=Y[:20])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[-1].split()[:4] == [X[1], "expected", Y[1], "guessed"]
    assert fitted.predict(X[1:2])[0] in lines[-1]


def test_sample_weights():
    weight = np.ones(55)
    weight[::2] = 0
    spoilt = np.where(weight > 0, Y, "9")
    one = net().fit(X, Y, sample_weight=weight).predict_log_proba(X, Y)
    two = net().fit(X, spoilt, sample_weight=weight).predict_log_proba(X, Y)
    np.testing.assert_array_equal(one, two)
    other = net().fit(X, Y, sample_weight=np.arange(55)).predict_log_proba(X, Y)
    assert not np.allclose(one, other)


@pytest.mark.parametrize(
    "change",
    [
        {"reverse_input": True},
        {"batch_size": 20},
        {"batch_size": "auto"},
        {"random_state": 1},
        {"cell": "gru"},
        # The others compile a network of their own, too.
        *slow(
            {"cell": "simple_rnn"},
            {"dropout": 0.3},
            {"hidden_size": 17},
            {"n_layers": 2},
            {"bidirectional": False},
            {"embedding_size": 4},
            {"weight_decay": 3.0},
            {"label_smoothing": 0.2},
            {"early_stopping": True},
            {"characters": "0123456789+x"},
            {"precision": "mixed_bfloat16"},
        ),
    ],
)
def test_every_parameter_changes_the_training(base, change):
    changed = net().set_params(**change).fit(X, Y)
    assert not np.allclose(changed.predict_log_proba(X, Y), base, atol=1e-7)


@pytest.mark.parametrize("decoder", ["repeat", "attention"])
@pytest.mark.parametrize("name", ["bidirectional", "dropout", "embedding_size"])
def test_parameters_without_effect_are_refused(decoder, name):
    value = {"bidirectional": False, "dropout": 0.1, "embedding_size": None}[name]
    message = f"{name}={value} has no effect with decoder='{decoder}'; it needs decoder='auto"
    with pytest.raises(ValueError, match=message):
        net(decoder=decoder, **{name: value}).fit(X, Y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"embedding_size": 0}, "'embedding_size' parameter"),
        ({"bidirectional": 2}, "'bidirectional' parameter"),
        ({"analyzer": "byte"}, "'analyzer' parameter"),
        ({"analyzer": ("char", "byte")}, "'analyzer' parameter of CharacterTable"),
        ({"analyzer": ("char",)}, "analyzer must be one value for X and y or a pair"),
        ({"handle_unknown": "skip"}, "'handle_unknown' parameter"),
        ({"normalize": "nfc"}, "'normalize' parameter"),
        ({"max_output_length": 1}, "y has a string of 2 characters in row"),
        ({"max_input_length": 2}, "X has a string of 3 characters in row 0"),
        ({"characters": "0123"}, "X has the unknown character"),
        ({"hidden_size": 10**6}, "parameters; at most"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        net(**parameters).fit(X, Y)


def test_parts_of_an_epoch_are_bounded_with_their_targets():
    source, target = np.ones((32, 2), np.uint16), np.ones((32, 10_000), np.uint16)
    batches = StringBatches(source, target, batch_size=16)
    assert batches._max_steps == 2**22 // (4 * 16 * 10_002)


def test_auto_batch_size_is_small_for_few_samples():
    estimator = Seq2SeqRNN()
    estimator.decoder_ = "autoregressive"
    sizes = [estimator._samples_per_step(n) for n in (10, 2500, 6000, 45_000, 10**6)]
    assert sizes == [5, 9, 23, 64, 64]
    estimator.decoder_ = "repeat"
    assert [estimator._samples_per_step(n) for n in (10, 45_000)] == [10, 64]


# Strings


def test_characters_to_words():
    words = ["one", "neon", "no", "on"] * 4
    spoken = ["W AH N", "N AH N", "N AH", "AH N"] * 4
    fitted = net(analyzer=("char", "word"), epochs=60, batch_size=8, learning_rate=0.02)
    fitted.fit(words, spoken)
    assert fitted.output_table_.characters_.tolist() == ["", "AH", "N", "W"]
    assert fitted.predict(["neon", "no"]).tolist() == ["N AH N", "N AH"]
    assert fitted.score(words, spoken) == 1
    again = pickle.loads(pickle.dumps(fitted))
    assert again.predict(["on"]).tolist() == ["AH N"]


def test_normalize_unifies_unicode_forms():
    # As many characters as in test_characters_to_words, so that its network is compiled.
    composed, decomposed = ["é", "e", "è"] * 4, ["e\u0301", "e", "e\u0300"] * 4
    fitted = net(normalize="NFC", epochs=60, batch_size=4, learning_rate=0.02)
    fitted.fit(decomposed, composed)
    assert fitted.input_table_.characters_.tolist() == ["", "e", "è", "é"]
    assert fitted.predict(["e\u0301", "é"]).tolist() == ["é", "é"]
    assert fitted.score(composed, decomposed) == 1


def test_words_to_words():
    fitted = net(**PLAIN, analyzer="word").fit(["a  b", "c a"], ["x y", "y"])
    assert fitted.input_table_.characters_.tolist() == ["", "a", "b", "c"]
    with pytest.raises(ValueError, match="unknown word 'ab' at position 1 of 'a ab' in row 0"):
        fitted.predict(["a ab"])


@pytest.mark.parametrize("decoder", ALL_DECODERS)
def test_handle_unknown_ignore_scores_all_folds(learned, decoder):
    words = np.array(["ab", "ba", "abba", "xyxyxyxy"] * 3)
    folds = [(np.arange(12)[words != "xyxyxyxy"], np.flatnonzero(words == "xyxyxyxy"))]
    scores = cross_val_score(net(decoder=decoder, handle_unknown="ignore"), words, words, cv=folds)
    assert scores.tolist() == [0]
    with pytest.raises(ValueError, match="unknown character 'x' at position 0"):
        learned.predict(["xy"])


@pytest.mark.parametrize("decoder", ALL_DECODERS)
def test_unknown_characters_count_as_wrong_in_the_validation(decoder):
    given = {"X_val": ["ab", "ax"], "y_val": ["ab", "ax"]}
    fitted = net(
        decoder=decoder, handle_unknown="ignore", epochs=40, learning_rate=0.02, batch_size=8
    ).fit(WORDS, WORDS, **given)
    assert fitted.history_["val_exact_match"][-1] <= 0.5
    assert np.isfinite(fitted.history_["val_loss"]).all()
    assert fitted.history_["val_character_error_rate"][-1] >= 0.25


def test_characters_parameter_as_a_pair():
    fitted = net(**PLAIN, characters=("0123456789+", "0123456789-")).fit(X, Y)
    assert "-" in fitted.output_table_.characters_
    assert "-" not in fitted.input_table_.characters_
    words = net(**PLAIN, characters=(None, ["x", "y"]), analyzer=("char", "word"))
    words.fit(["a"], ["x"])
    assert words.output_table_.characters_.tolist() == ["", "x", "y"]


# History, search, persistence and export


def test_resumed_training_is_bit_identical(tmp_path):
    class Stop(skcnn.base.keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError("stop")

    options = {"epochs": 4, "dropout": 0.1, "checkpoint_dir": str(tmp_path)}
    options |= {"cell": "simple_rnn", "bidirectional": False}
    with pytest.raises(RuntimeError, match="stop"):
        net(callbacks=[Stop()], **options).fit(X, Y)
    resumed = net(**options).fit(X, Y)
    whole = net(**{**options, "checkpoint_dir": None}).fit(X, Y)
    np.testing.assert_array_equal(resumed.predict_log_proba(X, Y), whole.predict_log_proba(X, Y))


def test_save_pickle_and_copy(learned, tmp_path):
    expected = learned.predict_proba(WORDS)
    learned.save(tmp_path / "net.skcnn")
    loaded = skcnn.load(tmp_path / "net.skcnn")
    for again in (loaded, copy.deepcopy(learned), pickle.loads(pickle.dumps(learned))):
        np.testing.assert_array_equal(again.predict_proba(WORDS), expected)
        assert again.decoder_ == "autoregressive"
    assert loaded.predict_candidates(["ab"], 2)[0][0, 0] == "aabb"
    with pytest.raises(NotFittedError):
        Seq2SeqRNN().predict_candidates(["a"])


def test_threads_share_a_network(learned):
    expected = learned.predict_candidates(WORDS, 3)
    twin = pickle.loads(pickle.dumps(learned))
    skcnn.clear_compiled()
    found = []

    def predict():
        found.append(twin.predict_candidates(WORDS, 3))

    threads = [threading.Thread(target=predict) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for strings, log_proba in found:
        np.testing.assert_array_equal(strings, expected[0])
        np.testing.assert_allclose(log_proba, expected[1], atol=1e-6)


def test_summary_and_representation(learned, capsys):
    learned.summary()
    assert "any x 64" in capsys.readouterr().out
    assert "encoder" in learned._repr_html_()


def test_a_saved_model_has_encoder_and_step(learned, tmp_path):
    learned.export(tmp_path / "net", format="tf_saved_model")
    functions = tf.saved_model.load(tmp_path / "net").signatures
    codes = tf.constant(learned.input_table_._codes(WORDS, "X").astype(np.int32))
    given = functions["encode"](source=codes)
    previous, written = tf.zeros(len(WORDS), tf.int32), []
    for _ in range(9):
        found = functions["decode_step"](previous=previous, **given)
        previous = tf.argmax(found["log_proba"], -1, output_type=tf.int32)
        written.append(previous.numpy())
        given = {name: found.get(name, value) for name, value in given.items()}
    strings = learned.output_table_._strings(np.stack(written, 1))
    np.testing.assert_array_equal(strings, learned.predict(WORDS))


def test_onnx_contains_greedy_search(learned, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    learned.export(tmp_path / "net.onnx")
    session = runtime.InferenceSession(tmp_path / "net.onnx")
    codes = learned.input_table_._codes(WORDS, "X").astype(np.int32)
    written, log_proba = session.run(["codes", "log_proba"], {"source": codes})
    np.testing.assert_array_equal(learned.output_table_._strings(written), learned.predict(WORDS))
    np.testing.assert_allclose(np.exp(log_proba), learned.predict_confidence(WORDS), atol=1e-4)
    with pytest.raises(ValueError, match="'litert' does not support decoder='autoregressive'"):
        learned.export(tmp_path / "net.tflite", format="litert")


# Displays


def test_mistakes_are_aligned():
    display = skcnn.StringMistakesDisplay.from_predictions(
        ["kitten", "cat", "abc"], ["sitting", "cat", "ac"], n_strings=1
    )
    assert display.rows == [
        [
            ("substituted", "k", "s"),
            *(("equal", char, char) for char in "itt"),
            ("substituted", "e", "i"),
            ("equal", "n", "n"),
            ("extra", "", "g"),
        ]
    ]
    assert display.counts["substituted"].tolist() == [1, 0, 0, 0, 1, 0, 0]
    assert display.counts["extra"].tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert display.counts["missing"].tolist() == [0, 1, 0, 0, 0, 0, 0]
    assert len(display.axes_[0].texts) == 14
    empty = skcnn.StringMistakesDisplay.from_predictions(["a"], ["a"])
    assert empty.axes_[0].get_title() == "no mistakes"


def test_mistakes_of_an_estimator(learned):
    display = skcnn.StringMistakesDisplay.from_estimator(learned, WORDS, WORDS)
    assert sum(counts.sum() for counts in display.counts.values()) > 0
