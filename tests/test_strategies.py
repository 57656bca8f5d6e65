"""Training on several devices with the strategies of ``tf.distribute``."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from skcnn import load, load_digit_images

MIRRORED = """
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

import json
import sys

import numpy as np
from skcnn import ImageAugmenter, ImageClassifier, Seq2SeqRNN, load_digit_images, make_arithmetic

X, y = load_digit_images(return_X_y=True)
X, y = X[:160], y[:160]
"""

IMAGES = """
def losses(**parameters):
    settings = {"epochs": 3, "batch_size": 32, "random_state": 0} | parameters
    net = ImageClassifier("CONV-8 -> RELU -> POOL -> FCS", **settings).fit(X, y, X_val=X, y_val=y)
    return net, net.history_["loss"], net.history_["val_loss"]

found = []
averaged = {"optimizer": "adam", "optimizer__use_ema": True, "optimizer__ema_momentum": 0.5}
for parameters in ({"batch_norm": False}, {**averaged, "early_stopping": True},
                   {"augmentation": ImageAugmenter(horizontal_flip=True)}):
    one, *expected = losses(**parameters)
    with strategy.scope():
        several, *values = losses(**parameters)
        inside = several.predict(X).tolist()
    assert several.predict(X).tolist() == inside
    found.append([expected, values])
several.save(sys.argv[1])
print(json.dumps([found, several.predict_proba(X[:5]).tolist()]))
"""

SHARES = """
from skcnn import PretrainedClassifier

settings = {"batch_size": 32, "random_state": 0}
map_reader = ImageClassifier("CONV-16 -> RELU -> FCS", batch_norm=False, epochs=2, **settings)
backbone = ImageClassifier("CONV-8 -> RELU -> GAP -> FCS", batch_norm=False, epochs=9, **settings)
decayed = PretrainedClassifier(
    backbone.fit(X, y), layer_decay=1e-4, dropout=0.0, epochs=9, frozen_epochs=9, **settings
)
for net in (map_reader, decayed):
    expected = net.fit(X, y).model_.get_weights()
    with strategy.scope():
        values = net.fit(X, y).model_.get_weights()
    print(json.dumps([[w.tolist() for w in weights] for weights in (expected, values)]))
"""

STRINGS = """
X, y = make_arithmetic(200, n_digits=2, random_state=0)

def losses():
    return Seq2SeqRNN(epochs=2, hidden_size=16, random_state=0).fit(X, y).history_["loss"]

expected = losses()
with strategy.scope():
    print(json.dumps([expected, losses()]))
"""

WORKER = """
import json
import os
import sys

cluster = {"worker": [f"127.0.0.1:{port}" for port in sys.argv[2:]]}
task = {"type": "worker", "index": int(sys.argv[1])}
os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
import tensorflow as tf

strategy = tf.distribute.MultiWorkerMirroredStrategy()
from skcnn import ImageClassifier, load_digit_images

X, y = load_digit_images(return_X_y=True)
X, y = X[:160], y[:160]
with strategy.scope():
    net = ImageClassifier("CONV-8 -> RELU -> POOL -> FCS", epochs=2, batch_size=32, random_state=0)
    net.fit(X, y)
print(json.dumps([net.history_["loss"], net.predict_proba(X[:5]).tolist()]))
"""


def last_line(process):
    return json.loads(process.stdout.splitlines()[-1])


def test_mirrored_training_has_the_losses_of_one_device(run_python, tmp_path):
    path = tmp_path / "net.skcnn"
    found, probabilities = last_line(run_python(MIRRORED + IMAGES, str(path)))
    for (expected, values), tolerance in zip(found, (1e-4, 0.02, 0.02), strict=True):
        # Batch normalization uses the statistics of each device's share.
        np.testing.assert_allclose(values, expected, rtol=tolerance)
    X, _ = load_digit_images(return_X_y=True)
    np.testing.assert_allclose(load(path).predict_proba(X[:5]), probabilities, atol=1e-6)


def test_shares_of_the_learning_rate_hold_on_several_devices(run_python):
    for line in run_python(MIRRORED + SHARES).stdout.splitlines()[-2:]:
        for expected, values in zip(*json.loads(line), strict=True):
            np.testing.assert_allclose(values, expected, atol=2e-3)


def test_mirrored_training_of_strings(run_python):
    expected, values = last_line(run_python(MIRRORED + STRINGS))
    np.testing.assert_allclose(values, expected, rtol=1e-2)


@pytest.mark.slow
def test_two_workers_learn_the_same_network(run_python):
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        ports = [str(each.getsockname()[1]) for each in (one, other)]
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda index: run_python(WORKER, index, *ports), "01"))
    (losses, probabilities), (others, same) = (last_line(run) for run in runs)
    assert losses[-1] < losses[0]
    assert losses == others
    assert probabilities == same
