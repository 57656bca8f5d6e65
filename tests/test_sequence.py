import copy
import io
import pickle
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marks import slow
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skcnn import (
    CharacterTable,
    Seq2SeqRNN,
    character_accuracy_score,
    make_arithmetic,
)
from skcnn.heads import exact_match
from skcnn.sequence.networks import build_seq2seq, network_size

# CharacterTable


@given(st.lists(st.text(st.characters(exclude_characters="\0"), max_size=6), min_size=1))
@settings(max_examples=50, deadline=None)
def test_any_strings_round_trip(strings):
    table = CharacterTable().fit(strings)
    encoded = table.transform(strings)
    longest = max(1, max(map(len, strings)))
    assert encoded.shape == (len(strings), longest, len(set("".join(strings))) + 1)
    assert encoded.dtype == np.float32
    assert (encoded.sum(axis=2) == 1).all()
    assert table.inverse_transform(encoded).tolist() == strings


def test_padding_is_not_a_character():
    table = CharacterTable().fit(["a b", " "])
    assert table.characters_.tolist() == ["", " ", "a", "b"]
    assert table.transform([" "])[0].argmax(axis=1).tolist() == [1, 0, 0]
    assert table.inverse_transform(table.transform([" ", ""])).tolist() == [" ", ""]


def test_the_first_padding_ends_a_string():
    table = CharacterTable().fit(["ab"])
    rows = np.eye(3)[[[1, 0], [0, 2], [1, 2]]]
    assert table.inverse_transform(rows).tolist() == ["a", "", "ab"]


def test_characters_and_length_can_be_given():
    table = CharacterTable(characters="9876543210-", length=5).fit(["12"])
    assert "".join(table.characters_) == "-0123456789"
    assert table.transform(["-2345"]).shape == (1, 5, 12)
    with pytest.raises(ValueError, match=r"unknown character '\+'"):
        CharacterTable(characters="12").fit(["1+2"])


@pytest.mark.parametrize(
    ("strings", "message"),
    [
        (["1", "2x3"], "X has the unknown character 'x' at position 1 of '2x3' in row 1"),
        (["1", "12345"], "X has a string of 5 characters in row 1, '12345'; at most 3"),
        (["1", 2], "X must be str in every row; row 1 is a int"),
        ([b"1"], "row 0 is a bytes"),
        ("123", "X must be a 1-D array of str, got one str"),
        ([], "0 sample"),
        ([["1"]], "row 0 is a list"),
    ],
)
def test_bad_strings_are_named(strings, message):
    table = CharacterTable().fit(["123"])
    with pytest.raises(ValueError, match=message):
        table.transform(strings)


def test_bad_rows_are_refused():
    table = CharacterTable().fit(["12"])
    with pytest.raises(ValueError, match=r"X must have shape \(n_samples, \*\(2, 3\)\)"):
        table.inverse_transform(np.zeros((1, 3, 3)))
    with pytest.raises(NotFittedError):
        CharacterTable().transform(["1"])


# Seq2SeqRNN, on sums of one digit, which are learned in seconds

X, Y = make_arithmetic(55, operation="+", n_digits=1, random_state=0)


def net(**parameters):
    defaults = {"decoder": "repeat", "epochs": 2, "batch_size": 16, "hidden_size": 16}
    defaults["random_state"] = 0
    return Seq2SeqRNN(**{**defaults, **parameters})


@pytest.fixture(scope="module")
def learned():
    return net(epochs=100, hidden_size=32, learning_rate=0.02).fit(X, Y)


def test_learns_addition(learned):
    assert learned.score(X, Y) == 1
    assert learned.predict(X[:3]).tolist() == Y[:3].tolist()
    weight = np.arange(55)
    wrong = np.where(np.arange(55) < 10, "99", Y)
    assert learned.score(X, wrong, sample_weight=weight) == pytest.approx(
        weight[10:].sum() / weight.sum()
    )


def test_probabilities_are_of_characters_at_places(learned):
    probability = learned.predict_proba(X)
    assert probability.shape == (55, 2, 11)
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability.sum(axis=2), 1, atol=1e-5)
    decoded = learned.output_table_.inverse_transform(probability)
    np.testing.assert_array_equal(decoded, learned.predict(X))


def test_the_classic_network_has_205324_parameters():
    questions, answers = make_arithmetic(200, random_state=0)
    fitted = Seq2SeqRNN(decoder="repeat", epochs=1).fit(questions, answers)
    assert fitted.model_.count_params() == 205_324
    assert [type(layer).__name__ for layer in fitted.model_.layers if layer.count_params()] == [
        "LSTM",
        "LSTM",
        "Dense",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"reverse_input": False},
        {"epochs": 3},
        {"batch_size": 20},
        {"learning_rate": 0.02},
        {"learning_rate_schedule": "constant"},
        {"weight_decay": 3.0},
        {"random_state": 1},
        *slow({"cell": "gru"}, {"cell": "simple_rnn"}, {"hidden_size": 17}, {"n_layers": 2}),
        *slow({"decoder": "attention"}, {"optimizer": "sgd"}, {"optimizer__beta_1": 0.5}),
        *slow({"label_smoothing": 0.2}, {"early_stopping": True}),
    ],
)
def test_every_parameter_changes_the_training(change):
    base = net().fit(X, Y).predict_proba(X)
    assert not np.allclose(net().set_params(**change).fit(X, Y).predict_proba(X), base)


@pytest.mark.parametrize("decoder", ["attention", *slow("repeat")])
@pytest.mark.parametrize("cell", ["gru", *slow("lstm", "simple_rnn")])
def test_layers_are_of_the_cell(cell, decoder):
    model = net(cell=cell, decoder=decoder, n_layers=2, epochs=1).fit(X, Y).model_
    kinds = [type(layer).__name__ for layer in model.layers]
    name = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN"}[cell]
    assert kinds.count(name) == 4
    assert ("Attention" in kinds) == (decoder == "attention")


@pytest.mark.parametrize("decoder", ["repeat", "attention"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_computed_size_matches_the_built_network(cell, decoder):
    options = {"input_shape": (3, 5), "output_shape": (2, 7), "cell": cell}
    options |= {"hidden_size": 6, "n_layers": 3, "decoder": decoder}
    model = build_seq2seq(**options)
    assert network_size(**options) == (len(model.layers), model.count_params())


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ({"hidden_size": 10**9}, "12,000,[0-9,]+ parameters"),
        ({"n_layers": 10**6, "hidden_size": 1}, "2,000,003 layers"),
        ({"n_layers": 200, "hidden_size": 1000, "cell": "gru"}, "2,399,[0-9,]+ parameters"),
    ],
)
def test_too_large_networks_raise(monkeypatch, parameters, count):
    monkeypatch.setattr(keras, "Input", None)
    name = next(iter(parameters))
    with pytest.raises(ValueError, match=f"{name}={parameters[name]}.* {count}; at most"):
        Seq2SeqRNN(decoder="repeat", **parameters).fit(["1", "2"], ["3", "4"])


def test_long_strings_are_not_unrolled():
    long = np.array([text * 12 for text in X])
    fitted = net(epochs=1).fit(long, Y)
    assert not fitted.model_.get_layer("encoder_1").unroll
    assert fitted.model_.get_layer("decoder_1").unroll
    assert fitted.predict(long).shape == (55,)


def test_all_containers_of_strings_are_equivalent(learned):
    expected = learned.predict(X)
    for other in (X.tolist(), X.astype(object), pd.Series(X), tuple(X)):
        np.testing.assert_array_equal(learned.predict(other), expected)


def test_variable_lengths_and_unicode():
    words = ["löwe", "ß", "", "日本", "😀x"]
    upside = [word[::-1] for word in words]
    fitted = net(epochs=100, hidden_size=32, learning_rate=0.02, batch_size=5).fit(words, upside)
    assert fitted.predict(words).tolist() == upside


def test_history_has_both_accuracies():
    fitted = net(epochs=3).fit(X, Y, X_val=X[:20], y_val=Y[:20])
    assert set(fitted.history_) == {
        "accuracy", "exact_match", "loss", "val_accuracy", "val_exact_match", "val_loss",
        "val_character_error_rate", "learning_rate", "seconds",
    }  # fmt: skip
    assert fitted.history_["val_exact_match"][-1] == pytest.approx(fitted.score(X[:20], Y[:20]))


def test_exact_match_in_history_matches_decoded_strings():
    rng = np.random.default_rng(0)
    table = CharacterTable(characters="ab", length=3).fit(["a"])
    true = np.array(["".join(rng.choice(["a", "b"], rng.integers(0, 4))) for _ in range(500)])
    guessed = np.eye(3)[rng.integers(0, 3, (500, 3))]
    expected = table.inverse_transform(guessed) == true
    assert 0 < expected.sum() < 500
    np.testing.assert_array_equal(exact_match(table.transform(true), guessed), expected)


def test_early_stopping_monitors_the_exact_match():
    fitted = net(epochs=200, hidden_size=32, learning_rate=0.02, early_stopping=True)
    fitted.fit(X, Y)
    match = fitted.history_["val_exact_match"]
    assert fitted.best_iteration_ == np.argmax(match) + 1
    assert fitted.n_iter_ == min(200, fitted.best_iteration_ + 5)


def test_sample_weights():
    weight = np.ones(55)
    weight[::2] = 0
    spoilt = np.where(weight > 0, Y, "9")
    one = net().fit(X, Y, sample_weight=weight).predict_proba(X)
    np.testing.assert_array_equal(net().fit(X, spoilt, sample_weight=weight).predict_proba(X), one)
    twice = net().fit(X, Y, sample_weight=2 * weight).predict_proba(X)
    np.testing.assert_array_equal(twice, one)
    other = net().fit(X, Y, sample_weight=np.arange(55)).predict_proba(X)
    assert not np.array_equal(other, one)
    with pytest.raises(ValueError, match="Sample weights must contain at least one non-zero"):
        net().fit(X, Y, sample_weight=np.zeros(55))


def test_seeds_and_copies(learned):
    one, same, other = (net(random_state=seed).fit(X, Y).predict_proba(X) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    expected = learned.predict_proba(X)
    for twin in (copy.deepcopy(learned), pickle.loads(pickle.dumps(learned))):
        np.testing.assert_array_equal(twin.predict_proba(X), expected)
    assert clone(learned).get_params() == learned.get_params()


def test_partial_fit_and_warm_start_continue():
    fitted = net().partial_fit(X, Y).partial_fit(X, Y)
    assert fitted.n_iter_ == 2
    with pytest.raises(ValueError, match="unknown character 'x'"):
        fitted.partial_fit(["1+x"], ["2"])
    with pytest.raises(ValueError, match="classes must be None"):
        net().partial_fit(X, Y, classes=["1", "2"])
    warm = net(warm_start=True).fit(X, Y)
    loss = warm.history_["loss"][-1]
    assert warm.fit(X, Y).history_["loss"][0] < loss + 0.1


def test_pipeline_search_and_clone():
    scores = cross_val_score(net(), X, Y, cv=2)
    assert scores.shape == (2,)
    search = GridSearchCV(
        net(epochs=60, learning_rate=0.02),
        {"hidden_size": [1, 32], "cell": ["gru"]},
        scoring=make_scorer(character_accuracy_score),
        cv=[(np.arange(55), np.arange(55))],  # what it can learn, not what it makes of the rest
    ).fit(X, Y)
    assert search.best_params_["hidden_size"] == 32
    assert search.best_score_ == character_accuracy_score(Y, search.predict(X)) > 0.9
    spaced = np.char.replace(X, "+", " + ")
    pipe = make_pipeline(FunctionTransformer(lambda X: np.char.replace(X, " ", "")), net())
    np.testing.assert_array_equal(pipe.fit(spaced, Y).predict(spaced), net().fit(X, Y).predict(X))


def test_sample_view_prints_after_every_epoch(capsys):
    fitted = net(show_samples=3).fit(X, Y, X_val=X[:20], y_val=Y[:20])
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == fitted.n_iter_ * 4
    match = fitted.history_["val_exact_match"][1]
    assert printed[4] == f"epoch 2: exact match {match:.4f}"
    for line, question, answer, guess in zip(
        printed[5:], X[:3], Y[:3], fitted.predict(X[:3]), strict=True
    ):
        mark = "✓" if guess == answer else "✗"
        words = ["expected", answer, "guessed", *([guess] if guess else []), mark]
        assert line.split() == [question, *words]
    net().fit(X, Y)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cell": "rnn"}, "'cell' parameter"),
        ({"hidden_size": 0}, "'hidden_size' parameter"),
        ({"n_layers": 0}, "'n_layers' parameter"),
        ({"decoder": "beam"}, "'decoder' parameter"),
        ({"reverse_input": 3}, "'reverse_input' parameter"),
        ({"show_samples": -1}, "'show_samples' parameter"),
        ({"show_samples": 3}, "show_samples=3 needs X_val or early_stopping=True"),
    ],
)
def test_bad_parameters_are_refused(monkeypatch, parameters, message):
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("reached Keras"))
    with pytest.raises(ValueError, match=message):
        net(**parameters).fit(X, Y)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (X, Y[:-1], "inconsistent numbers of samples"),
        (np.arange(55), Y, "X must be str in every row; row 0 is a int"),
        (X, np.arange(55), "y must be str in every row; row 0 is a int"),
        (X, None, "y must be a 1-D array of str, got one NoneType"),
        (X.reshape(5, 11), Y, "Expected 1D array, got 2D array instead: X"),
        ([], [], "0 sample"),
    ],
)
def test_bad_data_are_refused(X, y, message):
    with pytest.raises(ValueError, match=message):
        net().fit(X, y)


@pytest.mark.parametrize(
    ("X_val", "y_val", "message"),
    [
        (["1+x"], ["2"], "^X_val has the unknown character"),
        (["1+1"], ["222"], "^y_val has a string of 3"),
        (["1+1"], [2], "^y_val must be str in every row"),
    ],
)
def test_bad_data_to_validate_on_are_refused(X_val, y_val, message):
    with pytest.raises(ValueError, match=message):
        net().fit(X, Y, X_val=X_val, y_val=y_val)


def test_prediction_raises_for_unknown_characters_and_lengths(learned):
    with pytest.raises(NotFittedError):
        net().predict(X)
    with pytest.raises(ValueError, match="unknown character '-' at position 1 of '1-1' in row 1"):
        learned.predict(["1+1", "1-1"])
    with pytest.raises(ValueError, match="string of 4 characters in row 0"):
        learned.predict(["11+1"])
    with pytest.raises(TypeError, match="class_weight"):
        Seq2SeqRNN(class_weight="balanced")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_samples_are_shown_on_any_standard_output(monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    words = ["größe", "früher", "日本", "naïve"] * 5
    net(show_samples=2, epochs=1).fit(words, words, X_val=words, y_val=words)
    stream.flush()
    shown = stream.buffer.getvalue().decode(encoding)
    assert "exact match" in shown
    assert "expected gr" in shown
    assert r"\u2717" in shown or r"\u2713" in shown


@pytest.mark.parametrize("closed", [True, False])
def test_a_fit_does_not_need_standard_output(monkeypatch, closed):
    stream = None
    if closed:
        stream = io.StringIO()
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    words = ["a", "b"] * 10
    for verbose in (1, 2):
        fitted = net(show_samples=2, verbose=verbose).fit(words, words, X_val=words, y_val=words)
        assert fitted.n_iter_ == fitted.epochs


MEMORY = """
import resource
import numpy as np
from skcnn import Seq2SeqRNN
letters = [chr(code) for code in range(0x4E00, 0x4E00 + 1500)]
rng = np.random.default_rng(0)
words = ["".join(rng.choice(letters, 8)) for _ in range(2000)]
words[:188] = ["".join(letters[start : start + 8]) for start in range(0, 1500, 8)]
net = Seq2SeqRNN(hidden_size=4, epochs=1, batch_size=512, random_state=0).fit(words, words)
net.predict(words[:1000])
used = int(next(l for l in open("/proc/self/status") if l.startswith("VmData")).split()[1]) * 1024
# Half of what all probabilities would take.
limit = used + 20_000 * 8 * 1501 * 4 // 4
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
print(net.predict(words * 10).shape)
"""


def test_prediction_memory_is_bounded(run_python):
    assert run_python(MEMORY).stdout.splitlines() == ["(20000,)"]
