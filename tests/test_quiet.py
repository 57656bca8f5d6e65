"""TensorFlow's startup messages and the backend of Keras."""

import importlib
import os
import sys

import keras
import pytest

import skcnn._keras
from skcnn._environment import quiet_tensorflow_start


def test_import_and_first_fit_print_only_other_output_and_keep_the_environment(run_python):
    code = """
import logging, os
before = os.environ.get("TF_CPP_MIN_LOG_LEVEL"), logging.root.level, logging.root.handlers[:]
import skcnn
skcnn.FeedForward(epochs=1).fit([[[0.0, 1]], [[1, 0]]] * 5, [0, 1] * 5).predict([[[0.0, 1]]])
after = os.environ.get("TF_CPP_MIN_LOG_LEVEL"), logging.root.level, logging.root.handlers[:]
print(before == after == (None, 30, []))

# Other output is shown. The fit has already loaded tensorflow, so hide that.
import sys
del sys.modules["tensorflow"]
from skcnn._environment import quiet_tensorflow_start
with quiet_tensorflow_start():
    os.write(2, b"I0000 00:00:1700000000.000000    1 port.cc:153] oneDNN is on.\\nmine\\n")
"""
    result = run_python(code)
    assert result.stdout == "True\n"
    assert result.stderr == "mine\n"


def test_log_level_of_the_user_is_kept(monkeypatch, capfd):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    # As at the first import, which another test makes in a new process.
    monkeypatch.delitem(sys.modules, "tensorflow")
    message = "I0000 00:00:1700000000.000000    1 port.cc:153] oneDNN is on.\n"
    with quiet_tensorflow_start():
        assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"
        os.write(2, message.encode())
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"
    assert capfd.readouterr().err == message


def test_other_keras_backend_raises(monkeypatch):
    # No other backend is installed, so mock its name.
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ImportError, match="needs Keras on TensorFlow, but Keras runs on 'jax'"):
        importlib.reload(skcnn._keras)
