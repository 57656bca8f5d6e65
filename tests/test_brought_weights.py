"""Builders of networks that set weights, such as those of a pretrained block."""

import hashlib
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.base import ClassifierMixin, clone

import skcnn
from skcnn import LoadError, load, load_digit_images
from skcnn._training.network import (
    CompiledNetwork,
    Keyed,
    Plan,
    State,
    check_state,
    keep_weights,
    seed_variables,
)
from skcnn._training.pool import POOL
from skcnn.heads import ClassesHead
from skcnn.image.estimator import ImageEstimator

X, Y = (data[:200] for data in load_digit_images(return_X_y=True))
X = X / 16


def make_block():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, name="conv"),
            keras.Sequential(
                [layers.BatchNormalization(name="bn"), layers.Dropout(0.5, name="dropout")],
                name="inner",
            ),
            layers.ReLU(name="relu"),
        ],
        name="block",
    )


def build(*, n_outputs, weights, trainable, dtype="float32"):
    block = make_block()
    if weights is not None:
        block.set_weights(weights)
        keep_weights(block)
    block.trainable = trainable
    inputs = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Flatten(name="flatten")(block(inputs))
    outputs = keras.layers.Dense(n_outputs, "softmax", name="probability")(x)
    return keras.Model(inputs, outputs, name="network")


class BlockClassifier(ClassifierMixin, ImageEstimator):
    """A classifier on a pretrained block, whose weights are read from a file."""

    _build = staticmethod(build)
    _training_layers = {}  # noqa: RUF012

    def __init__(self, path=None, *, trainable=False, **parameters):
        super().__init__(**parameters)
        self.path = path
        self.trainable = trainable

    _parameter_constraints = {  # noqa: RUF012
        **ImageEstimator._parameter_constraints,
        "path": [str],
        "trainable": ["boolean"],
    }

    @property
    def _head(self):
        return ClassesHead(self.classes_)

    def _check_data(self, X, y, sample_weight=None, *, reset, classes=None):
        X, y = self._check_images(X, y, reset=reset)
        if reset:
            self.classes_ = np.unique(y if classes is None else classes)
            self.key_ = hashlib.sha256(Path(self.path).read_bytes()).hexdigest()
        return X, self._head.encode(y)

    def _network_arguments(self, X, y):
        weights = None
        if Path(self.path).exists():
            with np.load(self.path) as arrays:
                weights = [arrays[name] for name in arrays.files]
        return {
            "n_outputs": len(self.classes_),
            "weights": Keyed(weights, self.key_),
            "trainable": self.trainable,
        }

    def _check_restored(self, network, state):
        pass

    def _initialize(self, model, X, y, weight, rows):
        pass

    def predict(self, X):
        return self._predictions(X)


@pytest.fixture
def weights():
    rng = np.random.default_rng(0)
    return [
        rng.uniform(0.5, 1.5, weight.shape).astype(np.float32)
        for weight in make_block().get_weights()
    ]


@pytest.fixture
def net(tmp_path, weights):
    np.savez(tmp_path / "block.npz", *weights)
    skcnn.clear_compiled()
    return BlockClassifier(str(tmp_path / "block.npz"), epochs=2, random_state=0)


def block_of(fitted):
    return fitted.model_.get_layer("block").get_weights()


def same(one, other):
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def test_a_frozen_block_keeps_its_weights_bit_for_bit(net, weights):
    net.set_params(epochs=20).fit(X, Y)
    assert same(block_of(net), weights)
    assert net.score(X, Y) > 0.5
    assert same(block_of(net.partial_fit(X, Y)), weights)


@pytest.mark.parametrize("trainable", [False, True])
def test_second_fit_reuses_the_network_and_its_initial_weights(
    net, weights, trainable, monkeypatch
):
    net.set_params(trainable=trainable)
    first = net.fit(X, Y)._state.weights
    assert same(block_of(net), weights) is not trainable
    assert len(POOL._idle) == 1
    # Only the prediction network, without weights, is built again.
    monkeypatch.setattr("skcnn._training.pool.CompiledNetwork", None)
    assert same(clone(net).fit(X, Y)._state.weights, first)
    other = clone(net).set_params(random_state=1).fit(X, Y)
    assert not same(other._state.weights[-2:], first[-2:])
    assert same(net.fit(X, Y)._state.weights, first)


def test_warm_start_reuses_the_network(net, monkeypatch):
    whole = clone(net).set_params(trainable=True).fit(X, Y).partial_fit(X, Y)
    net.set_params(trainable=True).fit(X, Y)
    monkeypatch.setattr("skcnn._training.pool.CompiledNetwork", None)
    assert same(net.partial_fit(X, Y)._state.weights, whole._state.weights)


def test_layers_inside_a_block_have_different_seeds(net):
    states = [net.set_params(random_state=seed).fit(X, Y)._state.seeds for seed in (0, 1, 0)]
    assert [len(seeds) for seeds in states] == [1, 1, 1]
    assert same(states[0], states[2])
    assert not same(states[0], states[1])


def test_different_weights_use_another_network(net, weights):
    probability = net.fit(X, Y)._outputs(X)
    np.savez(net.path, *[weight / 2 for weight in weights])
    other = clone(net).fit(X, Y)
    assert not np.array_equal(other._outputs(X), probability)
    assert same(block_of(other), [weight / 2 for weight in weights])
    net.set_params(warm_start=True).key_ = other.key_
    with pytest.raises(ValueError, match=r"weights has changed .* from Keyed\(key='"):
        net.fit(X, Y)


def test_saved_network_loads_without_the_weights_file(net, weights, tmp_path):
    net.set_params(trainable=True).fit(X, Y)
    file = Path(net.path)
    content = file.read_bytes()
    fresh = clone(net)
    net.save(tmp_path / "net.skcnn")
    file.unlink()
    for again in (load(tmp_path / "net.skcnn"), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(again._outputs(X), net._outputs(X))
        assert same(block_of(again), block_of(net))
        assert again.partial_fit(X, Y).n_iter_ == 3
    # A fit that continues without the file must not pool its network for fits that start.
    file.write_bytes(content)
    assert same(fresh.fit(X, Y)._state.weights, net._state.weights)


def test_estimators_and_pool_release_the_weights_of_the_plan(net):
    net.fit(X, Y)
    assert net._plan.keyed["weights"] == Keyed(None, net.key_)
    assert net._plan.keyed["weights"].value is None
    (key, _), *_ = POOL._idle
    assert key[0].keyed["weights"].value is None


def test_frozen_layers_without_own_weights_are_reinitialized():
    arguments = {"n_outputs": 3, "weights": None, "trainable": False}
    drawn = []
    for seed in (0, 0, 1):
        network = CompiledNetwork(
            Plan(build, tuple(arguments.items())),
            keras.optimizers.SGD(name="optimizer"),
            keras.losses.CategoricalCrossentropy(),
            [],
        )
        network.start(seed)
        drawn.append(network.model.get_layer("block").get_weights())
    assert same(drawn[0], drawn[1])
    assert not same(drawn[0], drawn[2])


def test_only_old_recurrent_networks_load_without_seeds():
    plan = Plan(build, (("n_outputs", 3), ("weights", Keyed(None, "a")), ("trainable", False)))
    model = plan.model()
    values, (seed,) = model.get_weights(), seed_variables(model)
    check_state(plan, State("Adam", values, [seed.numpy()], []))
    check_state(plan, State("Adam", values, [], []))
    with pytest.raises(LoadError, match="seeds do not match its network"):
        check_state(plan, State("Adam", values, [seed.numpy()] * 2, []))
