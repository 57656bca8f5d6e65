"""Trackers of experiments: TensorBoard, Weights & Biases and MLflow, as Keras callbacks."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import keras
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

import skcnn
from skcnn import ImageClassifier, Seq2SeqRNN, load_digit_images

X, Y = load_digit_images(return_X_y=True)
X, Y = X[Y < 3][:120], Y[Y < 3][:120]
SMALL = "CONV-2 -> RELU -> FCS"


def net(**parameters):
    return ImageClassifier(**{"architecture": SMALL, "epochs": 3, "random_state": 0, **parameters})


# TensorBoard


class TensorBoardOfEachFit(keras.callbacks.TensorBoard):
    """The example of the guide."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def set_model(self, model):
        self.log_dir = tempfile.mkdtemp(dir=self.folder)
        super().set_model(model)


def test_tensorboard_has_a_folder_for_each_fit_of_a_search(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    estimator = net(callbacks=[TensorBoardOfEachFit(str(tmp_path))], early_stopping=True)
    search = GridSearchCV(estimator, {"learning_rate": [0.01, 0.1]}, cv=2).fit(X, Y)
    found = {}
    for folder in tmp_path.iterdir():
        for part in ("train", "validation"):
            events = EventAccumulator(str(folder / part)).Reload()
            found[folder.name, part] = [
                float(np.asarray(keras.ops.convert_to_numpy(_scalar(event))))
                for event in events.Tensors("epoch_loss")
            ]
    assert len(found) == 2 * (2 * 2 + 1)
    best = search.best_estimator_
    folder = os.path.basename(best.callbacks[0].log_dir)
    np.testing.assert_allclose(found[folder, "train"], best.history_["loss"], rtol=1e-6)
    np.testing.assert_allclose(found[folder, "validation"], best.history_["val_loss"], rtol=1e-6)


def _scalar(event):
    from tensorflow import make_ndarray

    return make_ndarray(event.tensor_proto)


# Weights & Biases


def test_weights_and_biases_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    from wandb.integration.keras import WandbMetricsLogger

    monkeypatch.setenv("WANDB_SILENT", "true")

    class RunOfEachFit(keras.callbacks.Callback):
        """The example of the guide."""

        def on_train_begin(self, logs=None):
            self.run = wandb.init(mode="offline", dir=str(tmp_path), reinit="create_new")

        def on_epoch_end(self, epoch, logs=None):
            self.run.log(logs)

        def on_train_end(self, logs=None):
            self.logged = dict(self.run.summary)
            self.run.finish()
            self.run = None  # so that the estimator can be cloned and pickled

    estimator = net(callbacks=[RunOfEachFit()], early_stopping=True)
    search = GridSearchCV(estimator, {"learning_rate": [0.01, 0.1]}, cv=2).fit(X, Y)
    assert len(list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))) == 5
    best = search.best_estimator_
    for name in ("loss", "val_loss", "val_accuracy"):
        assert best.callbacks[0].logged[name] == best.history_[name][-1]

    run = wandb.init(mode="offline", dir=str(tmp_path))
    fitted = net(callbacks=[WandbMetricsLogger()]).fit(X, Y)
    assert run.summary["epoch/loss"] == fitted.history_["loss"][-1]
    np.testing.assert_allclose(
        run.summary["epoch/learning_rate"], fitted.history_["learning_rate"][-1]
    )
    run.finish()


# MLflow

# Without the requirements, MLflow finds them by loading the model in another process.
SAFE = {"skops_trusted_types": skcnn.TRUSTED_TYPES, "pip_requirements": ["skcnn"]}


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    mlflow = pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("mlflow")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment("skcnn", artifact_location=f"file://{folder}/artifacts")
    mlflow.set_experiment("skcnn")
    yield mlflow
    mlflow.set_tracking_uri(before)


def metric(mlflow, run, name):
    values = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
    return [each.value for each in sorted(values, key=lambda each: each.step)]


def test_mlflow_callback_logs_every_epoch(mlflow):
    import mlflow.keras

    with mlflow.start_run() as run:
        callback = mlflow.keras.MlflowCallback()
        fitted = net(callbacks=[callback], early_stopping=True).fit(X, Y)
        mlflow.log_params(fitted.get_params())
    mlflow.flush_async_logging()
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(metric(mlflow, run, name), fitted.history_[name])
    parameters = mlflow.get_run(run.info.run_id).data.params
    assert parameters["architecture"] == SMALL
    assert float(parameters["optimizer_learning_rate"]) > 0


def test_mlflow_autolog_of_keras_sees_no_fit_but_does_not_disturb(mlflow):
    import mlflow.tensorflow

    def n_runs():
        return len(mlflow.search_runs(output_format="list"))

    before, expected = n_runs(), net().fit(X, Y).predict_proba(X)
    mlflow.tensorflow.autolog(log_models=False)
    try:
        np.testing.assert_array_equal(net().fit(X, Y).predict_proba(X), expected)
        assert n_runs() == before  # as the guide says
        # A model that Keras itself trains is logged.
        net().fit(X, Y).model_.fit(X[..., None], np.eye(3)[Y], epochs=1, verbose=0)
        assert n_runs() == before + 1
    finally:
        mlflow.tensorflow.autolog(disable=True)


def test_mlflow_autolog_of_scikit_learn_logs_a_search(mlflow):
    import mlflow.sklearn

    mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True)
    try:
        with mlflow.start_run() as run:
            search = GridSearchCV(net(), {"learning_rate": [0.001, 0.1]}, cv=2).fit(X, Y)
    finally:
        mlflow.sklearn.autolog(disable=True)
    data = mlflow.get_run(run.info.run_id).data
    assert data.metrics["best_cv_score"] == pytest.approx(search.best_score_)
    assert data.params["best_learning_rate"] == str(search.best_params_["learning_rate"])
    runs = mlflow.search_runs(output_format="list")
    children = [
        each for each in runs if each.data.tags.get("mlflow.parentRunId") == run.info.run_id
    ]
    assert {each.data.params["learning_rate"] for each in children} == {"0.001", "0.1"}


@pytest.mark.parametrize("kind", ["images", "strings"])
def test_mlflow_model_in_the_safe_format(mlflow, kind):
    import mlflow.sklearn

    inputs = X
    fitted = net()
    if kind == "strings":
        inputs = np.array(["ab", "ba", "a"] * 5)
        fitted = Seq2SeqRNN(hidden_size=2, epochs=1)
    fitted.fit(inputs, Y if kind == "images" else inputs)
    with mlflow.start_run():
        model = mlflow.sklearn.log_model(fitted, name="model", **SAFE)
    assert model.flavors["sklearn"]["serialization_format"] == "skops"
    loaded = mlflow.sklearn.load_model(model.model_uri)
    np.testing.assert_array_equal(loaded.predict(inputs), fitted.predict(inputs))
    np.testing.assert_array_equal(loaded.predict_proba(inputs), fitted.predict_proba(inputs))


def test_mlflow_serves_a_model(mlflow, tmp_path):
    import mlflow.sklearn

    fitted = net().fit(X, Y)
    mlflow.sklearn.save_model(
        fitted,
        str(tmp_path / "model"),
        pyfunc_predict_fn="predict_proba",
        **SAFE,
        signature=mlflow.models.infer_signature(X, fitted.predict_proba(X)),
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["--model-uri", str(tmp_path / "model"), "--port", str(port)]
    # MLflow starts uvicorn by its name.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    server = subprocess.Popen(command, start_new_session=True, env={**os.environ, "PATH": path})
    try:
        body = json.dumps({"inputs": X[:5].tolist()}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", data=body, headers=headers
        )
        for _ in range(1200):
            try:
                answer = json.load(urllib.request.urlopen(request))
                break
            except urllib.error.URLError as error:
                if isinstance(error, urllib.error.HTTPError):
                    raise AssertionError(error.read().decode()) from error
                assert server.poll() is None
                time.sleep(0.2)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    np.testing.assert_allclose(answer["predictions"], fitted.predict_proba(X[:5]), rtol=1e-5)
