import keras
import numpy as np
import pytest
from sklearn.base import clone

from skcnn import ImageClassifier, Seq2SeqRNN, load, load_digit_images
from skcnn._training.optimizers import Muon

X, Y = (data[:300] for data in load_digit_images(return_X_y=True))
RNG = np.random.default_rng(0)


def stepped(optimizer, shape, gradient, name="kernel"):
    variable = keras.Variable(np.zeros(shape, np.float32), name=name)
    optimizer.build([variable])
    optimizer.apply([keras.ops.convert_to_tensor(gradient)])
    return variable.numpy()


def test_convolution_update_is_orthogonal_with_the_scale_of_adam():
    shape = (3, 3, 5, 8)
    gradient = RNG.normal(size=shape).astype(np.float32)
    step = stepped(Muon(0.1), shape, gradient)
    # Newton-Schulz only approximates singular values of one.
    values = np.linalg.svd(step.reshape(-1, 8), compute_uv=False) / (0.1 * 0.2 * 45**0.5)
    assert values == pytest.approx(np.ones(8), abs=0.35)
    assert np.sum(step * gradient) < 0
    assert np.sqrt(np.mean(step**2)) == pytest.approx(0.1 * 0.2, rel=0.3)


def test_matrix_update_matches_keras():
    gradient = RNG.normal(size=(6, 4)).astype(np.float32)
    ours = stepped(Muon(0.1), (6, 4), gradient)
    theirs = stepped(keras.optimizers.Muon(0.1, weight_decay=None), (6, 4), gradient)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "name"), [((7,), "bias"), ((4, 3), "fc_1"), ((4, 3), "probability")]
)
def test_vectors_and_dense_layers_are_left_to_adam(shape, name):
    gradient = RNG.normal(size=shape).astype(np.float32)
    ours = stepped(Muon(0.1), shape, gradient, name)
    np.testing.assert_allclose(
        ours, stepped(keras.optimizers.Adam(0.1), shape, gradient), rtol=1e-4
    )


def test_no_weight_decay_by_default():
    variable = keras.Variable(np.ones((4, 3), np.float32))
    plain, decayed = Muon(0.1), Muon(0.1, weight_decay=0.5)
    for optimizer, expected in ((plain, 1.0), (decayed, 0.95)):
        optimizer.build([variable])
        variable.assign(np.ones((4, 3)))
        optimizer._apply_weight_decay([variable])
        np.testing.assert_allclose(variable, np.full((4, 3), expected), rtol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, 0.1),
        ({"optimizer": "adam"}, None),
        ({"optimizer": "adamw"}, 0.004),
        ({"optimizer": Muon}, 0.1),
        ({"optimizer": Muon(weight_decay=0.2)}, 0.2),
        ({"optimizer__weight_decay": 0.3}, 0.3),
        ({"weight_decay": 0.0}, None),
    ],
)
def test_default_weight_decay(parameters, expected):
    fitted = ImageClassifier("FCS", epochs=1, **parameters).fit(X, Y)
    assert fitted.model_.optimizer.weight_decay == expected


def test_muon_is_the_default_optimizer_of_images():
    net = ImageClassifier("CONV-8 -> RELU -> POOL -> FCS", epochs=8, random_state=0).fit(X, Y)
    assert isinstance(net.model_.optimizer, Muon)
    assert net.score(X, Y) > 0.9
    assert Seq2SeqRNN().optimizer == "adam"


def test_settings_and_state_survive_save_and_load(tmp_path):
    optimizer = Muon(0.02, momentum=0.8)
    again = Muon.from_config(optimizer.get_config())
    assert (again.momentum, float(again.learning_rate)) == (0.8, pytest.approx(0.02))
    settings = {"architecture": "CONV-4 -> RELU -> FCS", "epochs": 2, "random_state": 0}
    net = clone(ImageClassifier(**settings)).fit(X, Y)
    net.save(tmp_path / "net.skcnn")
    restored = load(tmp_path / "net.skcnn")
    np.testing.assert_array_equal(
        restored.partial_fit(X, Y).predict_proba(X), net.partial_fit(X, Y).predict_proba(X)
    )
