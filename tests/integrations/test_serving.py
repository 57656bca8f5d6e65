"""Exported networks behind HTTP: names of inputs and outputs, and many clients at a time."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from PIL import Image

from skcnn import ImageClassifier, ImageFeatures, ImageRegressor, Seq2SeqRNN, load_digit_images

APP = Path(__file__).parents[2] / "examples" / "serving"
N_CLIENTS = 16
DIGITS, Y = (data[:120] for data in load_digit_images(return_X_y=True))


def photos(folder, mode="RGB"):
    """Image files of different sizes with a digit in them."""
    rng, paths = np.random.default_rng(0), []
    for number, digit in enumerate(DIGITS):
        size = tuple(rng.integers(9, 40, 2).tolist())
        image = Image.fromarray(np.uint8(digit * 15)).convert(mode).resize(size)
        if mode == "RGBA":
            image.putalpha(128)
        paths.append(folder / f"{number}.png")
        image.save(paths[-1])
    return paths


@contextmanager
def served(model):
    """The address of the app in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)]
    environment = {**os.environ, "SKCNN_MODEL": str(model)}
    server = subprocess.Popen([*command, "--log-level", "warning"], cwd=APP, env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/openapi.json")
                break
            except urllib.error.URLError:
                assert server.poll() is None
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait()


def post(address, body):
    with urllib.request.urlopen(urllib.request.Request(address, data=body)) as answer:
        return json.load(answer)


@pytest.mark.parametrize(
    ("mode", "reading"),
    [
        ("RGB", {"resize": "stretch"}),
        ("L", {"resize": "crop"}),
        ("RGBA", {"resize": "pad", "background": "navy"}),
    ],
)
def test_sixteen_clients_get_the_predictions_of_the_estimator(
    tmp_path, mode, reading, record_property
):
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    (tmp_path / "photos").mkdir()
    paths = photos(tmp_path / "photos", mode)
    labels = np.array(["even", "odd"])[Y % 2]
    net = ImageClassifier(
        "CONV-4 -> RELU -> FCS", image_size=(10, 12), epochs=2, random_state=0, **reading
    ).fit(paths, labels)
    net.export(tmp_path / "net.onnx")
    expected, predicted = net.predict_proba(paths), net.predict(paths)
    files = [path.read_bytes() for path in paths]
    with served(tmp_path / "net.onnx") as address:
        start = time.perf_counter()
        with ThreadPoolExecutor(N_CLIENTS) as clients:
            answers = list(clients.map(lambda file: post(f"{address}/predict", file), files))
        rate = len(files) / (time.perf_counter() - start)
        images = np.float32(net._check_inputs(paths)[:])
        body = json.dumps({"instances": images.tolist()}).encode()
        arrays = post(f"{address}/v1/models/net:predict", body)["predictions"]
        for bad, place in ((b"text", "predict"), (b'{"instances": [1]}', "v1/models/net:predict")):
            with pytest.raises(urllib.error.HTTPError) as refused:
                post(f"{address}/{place}", bad)
            assert refused.value.code in (400, 422)
    found = [list(answer["probabilities"].values()) for answer in answers]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(arrays, expected, atol=1e-5)
    assert [answer["label"] for answer in answers] == predicted.tolist()
    assert list(answers[0]["probabilities"]) == ["even", "odd"]
    record_property("requests a second", f"{rate:.0f}")


def classifier():
    return ImageClassifier("FCS", epochs=1, random_state=0).fit(DIGITS, Y)


def labels_of_a_sample():
    return ImageClassifier("FCS", epochs=1).fit(DIGITS, np.eye(10, dtype=int)[Y])


def regressor():
    return ImageRegressor("FCS", epochs=1).fit(DIGITS, DIGITS.mean((1, 2)))


def features():
    return ImageFeatures(classifier()).fit(DIGITS)


def strings():
    words = ["ab", "ba", "a"] * 5
    return Seq2SeqRNN(decoder="repeat", hidden_size=2, epochs=1).fit(words, words)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (classifier, "probabilities"),
        (labels_of_a_sample, "probabilities"),
        (regressor, "standardized_numbers"),
        (features, "features"),
        (strings, "probabilities"),
    ],
)
def test_outputs_say_what_they_are(make, name, tmp_path):
    fitted = make()
    fitted.export(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert made.name == name
    assert given.shape[0] == made.shape[0] == "batch"
    inputs = np.random.default_rng(0).random((3, *given.shape[1:]), np.float32)
    (expected,) = session.run([name], {given.name: inputs})

    fitted.export(tmp_path / "net", format="tf_saved_model")
    loaded = tf.saved_model.load(tmp_path / "net")
    signature = loaded.signatures["serving_default"]
    assert list(signature.structured_outputs) == [name]
    assert list(signature.structured_input_signature[1]) == [given.name]
    outputs = signature(**{given.name: tf.constant(inputs)})[name]
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_allclose(loaded.serve(inputs), expected, atol=1e-5)


def test_axes_of_images_of_any_size_are_named(tmp_path):
    net = ImageClassifier("FCS", image_size=9, epochs=1).fit(DIGITS, Y)
    net.export(tmp_path / "net.onnx", with_resize=True)
    (given,) = onnxruntime.InferenceSession(tmp_path / "net.onnx").get_inputs()
    assert given.shape == ["batch", "height", "width", 1]
