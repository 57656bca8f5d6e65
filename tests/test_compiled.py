import gc
import pickle
import random
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from marks import slow
from sklearn.base import clone
from sklearn.metrics import log_loss

import skcnn
from skcnn import (
    ImageAugmenter,
    ImageClassifier,
    SampleGenerator,
    Seq2SeqRNN,
    load_digit_images,
    make_arithmetic,
)
from skcnn._training.network import MAX_FORWARDS, CompiledNetwork, Plan, seed_variables
from skcnn._training.optimizers import Muon
from skcnn._training.pool import POOL, Forward, NetworkPool, forward
from skcnn.image.networks import build_network
from skcnn.sequence.networks import DECODERS, build_seq2seq

X, Y = (data[:200] for data in load_digit_images(return_X_y=True))
QUESTIONS, ANSWERS = make_arithmetic(55, operation="+", n_digits=1, random_state=0)


def net(**parameters):
    # One convolution, as every test compiles a network or more.
    architecture = "CONV-4 -> RELU -> DROPOUT-0.3 -> FCS"
    defaults = {"architecture": architecture, "epochs": 2, "random_state": 0}
    return ImageClassifier(**{**defaults, **parameters})


# What compiles fastest, for tests of what no cell or decoder changes.
QUICK = {"cell": "simple_rnn", "decoder": "repeat"}


def seq(**parameters):
    return Seq2SeqRNN(**{"epochs": 2, "hidden_size": 8, "random_state": 0, **parameters})


def compiled(build, optimizer, **arguments):
    loss = keras.losses.CategoricalCrossentropy()
    return CompiledNetwork(Plan(build, tuple(arguments.items())), optimizer, loss, [])


def compiled_images(architecture, optimizer="adam"):
    return compiled(
        build_network,
        keras.optimizers.get(optimizer),
        architecture=architecture,
        input_shape=(4, 4, 1),
        n_outputs=3,
        batch_norm=True,
        standardize=True,
    )


def compiled_strings(cell, optimizer="adam"):
    return compiled(
        build_seq2seq,
        keras.optimizers.get(optimizer),
        decoder="repeat",
        input_shape=(3, 5),
        output_shape=(2, 7),
        cell=cell,
        hidden_size=6,
        n_layers=2,
    )


def forget():
    POOL._idle.clear()
    forward.cache_clear()


@pytest.fixture
def built(monkeypatch):
    """Start with an empty pool; list whether networks are built or reused."""
    made = []
    original = NetworkPool.acquire

    def take(self, key):
        network = original(self, key)
        made.append("used again" if network else "built")
        return network

    monkeypatch.setattr(NetworkPool, "acquire", take)
    forget()
    return made


@pytest.mark.parametrize(
    "parameters",
    [
        {"architecture": "CONV-4 -> RELU -> RES[CONV-6] -> DROPOUT-0.3 -> POOL -> FCS"},
        *slow(
            {"optimizer": "sgd", "optimizer__momentum": 0.9},
            {"optimizer": keras.optimizers.RMSprop(0.002)},
            {"optimizer": "adamw", "learning_rate_schedule": "constant"},
            {"weight_decay": 0.1, "label_smoothing": 0.1},
            {"learning_rate_schedule": keras.optimizers.schedules.CosineDecay(0.01, 4)},
        ),
        {"augmentation": ImageAugmenter(rotation_range=20, mixup=0.2)},
        {"early_stopping": True, "class_weight": "balanced", "batch_norm": False},
    ],
)
def test_reused_network_is_bit_identical_to_a_new_one(built, parameters):
    fresh = net(**parameters).fit(X, Y)
    others = {"random_state": 7, "standardize": True}
    if not isinstance(parameters.get("optimizer"), keras.optimizers.Optimizer):
        others["weight_decay"] = 2 * (fresh.model_.optimizer.weight_decay or 0)
        if isinstance(parameters.get("learning_rate_schedule", ""), str):
            others["learning_rate"] = 0.3
    net(**{**parameters, **others}).fit(X[::-1], Y[::-1])
    again = net(**parameters).fit(X, Y)
    assert built == ["built", "used again", "used again"]
    np.testing.assert_array_equal(again.predict_proba(X), fresh.predict_proba(X))
    assert again.history_["loss"] == fresh.history_["loss"]


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay"])
def test_learning_rate_and_weight_decay_do_not_need_a_new_network(built, name):
    used = [net(**{name: value}).fit(X, Y).predict_proba(X) for value in (0.05, 1.0)]
    assert built == ["built", "used again"]
    forget()
    fresh = [net(**{name: value}).fit(X, Y).predict_proba(X) for value in (1.0, 0.05)]
    np.testing.assert_array_equal(used, fresh[::-1])
    assert not np.allclose(*used)


def test_schedule_does_not_affect_batch_norm_of_the_next_fit(built):
    def constant():
        return net(learning_rate_schedule="constant").fit(X, Y).predict_proba(X)

    fresh = constant()
    net(learning_rate_schedule="cosine").fit(X, Y)
    np.testing.assert_array_equal(constant(), fresh)
    assert built == ["built", "used again", "used again"]


@pytest.mark.parametrize("decoder", ["repeat", "attention"])
def test_recurrent_networks_are_reused(built, decoder):
    fresh = seq(decoder=decoder).fit(QUESTIONS, ANSWERS)
    seq(decoder=decoder, random_state=3, learning_rate=0.5).fit(QUESTIONS, ANSWERS)
    again = seq(decoder=decoder).fit(QUESTIONS, ANSWERS)
    assert built == ["built", "used again", "used again"]
    np.testing.assert_array_equal(again.predict_proba(QUESTIONS), fresh.predict_proba(QUESTIONS))


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "sgd"},
        {"label_smoothing": 0.3},
        {"architecture": "FCS"},
        *slow({"optimizer__momentum": 0.5}, {"weight_decay": 0.0}),
        *slow({"batch_norm": False}, {"standardize": False}),
    ],
)
def test_settings_of_the_traced_step_need_a_new_network(built, change):
    net().fit(X, Y)
    net(**change).fit(X, Y)
    assert built == ["built", "built"]


def test_later_fit_does_not_change_earlier_estimators():
    first = net(random_state=1).fit(X, Y)
    expected, weights = first.predict_proba(X), first.model_.get_weights()
    net(random_state=2).fit(X, Y)
    np.testing.assert_array_equal(first.predict_proba(X), expected)
    for one, other in zip(first.model_.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_model_is_a_copy():
    fitted = net(optimizer__adam_beta_2=0.95).fit(X, Y)
    expected = fitted.predict_proba(X)
    batch = X[..., None].astype(np.float32)
    np.testing.assert_allclose(fitted.model_(batch, training=False), expected, atol=1e-6)
    assert fitted.model_ is fitted.model_
    assert fitted.model_.optimizer.adam_beta_2 == 0.95
    fitted.model_.set_weights([np.zeros_like(w) for w in fitted.model_.get_weights()])
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    assert not hasattr(net(), "model_")


class Stops(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


def test_interrupted_fit_leaves_the_pool_consistent(built):
    expected = net().fit(X, Y).predict_proba(X)
    fitted = net(random_state=1).fit(X, Y)
    before = fitted.predict_proba(X)
    fitted.set_params(callbacks=[Stops()], architecture="FCS")
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(X, Y)
    np.testing.assert_array_equal(fitted.predict_proba(X), before)
    np.testing.assert_array_equal(net().fit(X, Y).predict_proba(X), expected)


def test_partial_fit_continues_the_optimizer_state():
    def steps(between):
        part = net(learning_rate=0.01).partial_fit(X, Y)
        if between:
            net(random_state=9).fit(X, Y)  # trains the same compiled network
        return part.partial_fit(X, Y).predict_proba(X)

    np.testing.assert_array_equal(steps(True), steps(False))


def test_fits_in_threads_match_sequential_fits():
    def fit(seed):
        return net(random_state=seed).fit(X, Y).predict_proba(X)

    expected = [fit(seed) for seed in range(4)]
    forget()
    with ThreadPoolExecutor(4) as threads:
        for one, other in zip(threads.map(fit, range(4)), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_predictions_in_threads_match_sequential_predictions():
    images, strings = net().fit(X, Y), seq(**QUICK).fit(QUESTIONS, ANSWERS)

    def predict(number):
        part = slice(number % 7, None, 1 + number % 3)
        if number % 2:
            return strings.predict_proba(QUESTIONS[part])
        return images.predict_proba(X[part])

    expected = list(map(predict, range(64)))
    forget()
    images, strings = pickle.loads(pickle.dumps((images, strings)))
    with ThreadPoolExecutor(8) as threads:
        for one, other in zip(threads.map(predict, range(64)), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_different_estimators_fit_in_parallel_threads():
    def fit(kind):
        if kind == "images":
            augmentation = ImageAugmenter(rotation_range=20, mixup=0.2)
            return net(epochs=4, augmentation=augmentation).fit(X, Y).predict_proba(X)
        return seq(epochs=4, **QUICK).fit(QUESTIONS, ANSWERS).predict_proba(QUESTIONS)

    kinds = ["images", "strings"] * 2
    expected = list(map(fit, kinds))
    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    with ThreadPoolExecutor(2) as threads:
        for one, other in zip(threads.map(fit, kinds), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert random.getstate() == before[1]


def test_pool_evicts_the_oldest_network():
    waiting = {
        name: SimpleNamespace(nbytes=size) for name, size in zip("abc", [3, 4, 5], strict=True)
    }
    pool = NetworkPool(2, 100)
    for name, network in waiting.items():
        pool.release(name, network)
    assert [pool.acquire(name) for name in "abc"] == [None, waiting["b"], waiting["c"]]
    assert pool.acquire("c") is None


def test_the_pool_is_bounded_in_bytes():
    pool = NetworkPool(10, 100)
    for name, size in zip("abcd", [50, 40, 30, 20], strict=True):
        pool.release(name, SimpleNamespace(nbytes=size))
    assert [pool.acquire(name) is not None for name in "abcd"] == [False, True, True, True]
    pool.release("e", SimpleNamespace(nbytes=101))
    assert pool.acquire("e") is None


def test_pool_counts_the_bytes_of_a_network(built):
    net(architecture="FC-1000 -> FCS").fit(X, Y)
    ((_, network),) = POOL._idle
    weights = 64 * 1000 + 1000 + 1000 * 10 + 10
    # Adam keeps two moments of the dense layers; all values are stored twice.
    assert 2 * 3 * 4 * weights <= network.nbytes < 2.2 * 3 * 4 * weights


def test_compiled_networks_can_be_freed(built):
    fitted = net().fit(X, Y)
    network = weakref.ref(POOL._idle[0][1].model)
    expected = fitted.predict_proba(X)
    skcnn.clear_compiled()
    gc.collect()
    assert network() is None
    assert not POOL._idle
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    np.testing.assert_array_equal(net().fit(X, Y).predict_proba(X), expected)


def alive(kind):
    gc.collect()
    found = [each for each in gc.get_objects() if isinstance(each, kind)]
    return {id(each): weakref.ref(each) for each in found}


def test_fit_releases_its_data():
    before = alive(SampleGenerator)
    fitted = net(early_stopping=True, validation_fraction=0.3).fit(X, Y)
    assert not alive(SampleGenerator).keys() - before.keys()
    assert fitted.predict(X).shape == Y.shape


@pytest.mark.parametrize(
    ("estimator", "data"),
    [
        (net(architecture="CONV-3 -> GELU -> DROPOUT-0.1 -> FCS", weight_decay=0.1), (X, Y)),
        *((seq(decoder=decoder), (QUESTIONS, ANSWERS)) for decoder in DECODERS),
    ],
)
def test_cleared_networks_are_freed(estimator, data):
    clone(estimator).fit(*data)  # TensorFlow keeps a graph from its first use of some functions
    skcnn.clear_compiled()
    before = alive(tf.Graph)
    clone(estimator).fit(*data).predict(data[0])
    made = alive(tf.Graph)
    made = [made[key] for key in made.keys() - before.keys()]
    assert len(made) > 2
    skcnn.clear_compiled()
    gc.collect()
    assert [graph() for graph in made if graph() is not None] == []


def test_an_estimator_keeps_its_prediction_function(built, monkeypatch):
    fitted = net().fit(X, Y)
    expected = fitted.predict_proba(X)
    for units in range(1, MAX_FORWARDS + 2):
        forward(fitted._plan.changed(architecture=f"FC-{units} -> FCS"))
    monkeypatch.setattr(Forward, "__init__", lambda *_: pytest.fail("traced again"))
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    assert len(fitted.transform(X)) == len(X)
    assert fitted.get_feature_names_out().shape == fitted.transform(X).shape[1:]
    # and others of the same network have it
    assert pickle.loads(pickle.dumps(fitted))._forward is fitted._forward
    assert clone(fitted).fit(X, Y)._forward is fitted._forward


def test_a_prediction_function_holds_no_weights(built):
    before = alive(keras.Model)
    function = Forward(Plan(build_network, tuple(net().fit(X, Y)._plan.arguments)))
    skcnn.clear_compiled()
    assert function.n_outputs == 10
    assert not alive(keras.Model).keys() - before.keys()


MEMORY = """
import sys
from skcnn import ImageClassifier, load_digit_images
X, y = (data[:100] for data in load_digit_images(return_X_y=True))

def refit(times):
    for seed in range(times):
        net = ImageClassifier("CONV-4 -> RELU -> FCS", epochs=1, early_stopping=True)
        net.set_params(validation_fraction=0.2, random_state=seed).fit(X, y).predict(X)
        net.set_params(early_stopping=False).partial_fit(X, y)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

before = refit(20)
print(refit(int(sys.argv[1])) - before)
"""


@pytest.mark.parametrize("refits", [60, *slow(200)])
def test_refits_do_not_leak_memory(run_python, record_property, refits):
    growth = int(run_python(MEMORY, str(refits)).stdout)
    record_property(f"growth of the process by {refits} refits, in MB", growth / 1e6)
    assert growth < 0.1e6 * refits


def test_batch_norm_warm_up_follows_the_optimizer_steps(built):
    one_step = {"batch_size": 200, "architecture": "BN -> FCS", "standardize": False}
    fitted = net(epochs=1, **one_step).fit(X, Y)
    normalization = fitted.model_.get_layer("bn_1")
    mean, variance = X.mean(axis=(0, 1, 2)), X.var(axis=(0, 1, 2))
    np.testing.assert_allclose(normalization.moving_mean, 0.9 * mean, rtol=1e-4)
    np.testing.assert_allclose(normalization.moving_variance, 0.1 + 0.9 * variance, rtol=1e-4)
    # The second step continues the training run.
    share = 9 / 11
    moved = fitted.partial_fit(X, Y).model_.get_layer("bn_1").moving_mean
    np.testing.assert_allclose(moved, 0.9 * mean * (1 - share) + mean * share, rtol=1e-4)
    # A new fit on the same compiled network starts over.
    again = net(epochs=1, **one_step).fit(X, Y).model_.get_layer("bn_1")
    np.testing.assert_array_equal(again.moving_mean, normalization.moving_mean)
    assert built.count("used again") == 2


@pytest.mark.parametrize(
    ("make", "what"), [(compiled_images, "CONV-2 -> FC-3 -> BN -> FCS"), (compiled_strings, "gru")]
)
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.Adam(1.0, weight_decay=0.25),
        lambda: keras.optimizers.SGD(1.0, weight_decay=0.25),
        lambda: Muon(1.0, weight_decay=0.25),
    ],
)
def test_weight_decay_applies_to_kernels_only(make, what, optimizer):
    network = make(what, optimizer())
    variables = network.model.trainable_variables
    for variable in variables:
        variable.assign(np.ones(variable.shape))
    network.optimizer.apply([tf.zeros(variable.shape) for variable in variables], variables)
    kernels = [len(variable.shape) > 1 for variable in variables]
    assert True in kernels
    assert False in kernels
    for variable, is_kernel in zip(variables, kernels, strict=True):
        np.testing.assert_allclose(variable, 0.75 if is_kernel else 1.0)


def test_random_layers_have_different_seeds_in_every_fit():
    network = compiled_images("DROPOUT-0.5 -> CONV-2 -> DROPOUT-0.5 -> FCS")
    drawn = []
    for seed in (0, 1, 0):
        network.start(seed)
        drawn.append([tuple(state.numpy()) for state in seed_variables(network.model)])
    assert len({*drawn[0], *drawn[1]}) == 4
    assert drawn[2] == drawn[0]


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_initial_recurrent_kernels_are_orthogonal_and_different(cell):
    network = compiled_strings(cell)
    network.start(0)
    kernels = [
        variable.numpy()
        for variable in network.model.trainable_variables
        if variable.name == "recurrent_kernel"
    ]
    assert len(kernels) == 4
    for kernel in kernels:
        np.testing.assert_allclose(kernel @ kernel.T, np.eye(6), atol=1e-5)
    assert len({kernel.tobytes() for kernel in kernels}) == 4


def test_model_is_compiled_with_the_loss_and_metrics_of_the_training():
    fitted = net(label_smoothing=0.0).fit(X, Y)
    expected = log_loss(Y, fitted.predict_proba(X)), fitted.score(X, Y)
    found = fitted.model_.evaluate(X[..., None], np.eye(10)[Y], verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
