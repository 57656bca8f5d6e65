"""Saving and loading: round trips, invalid files, and export to other runtimes."""

import copy
import io
import itertools
import json
import os
import pickle
import random
import re
import stat
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import cloudpickle
import joblib
import keras
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from marks import slow
from sklearn.exceptions import NotFittedError

import skcnn
from skcnn import (
    ImageAugmenter,
    ImageClassifier,
    LoadError,
    Seq2SeqRNN,
    load,
    load_digit_images,
    make_arithmetic,
)
from skcnn._files.archive import decode, encode

X, Y = (data[:100] for data in load_digit_images(return_X_y=True))
QUESTIONS, ANSWERS = make_arithmetic(55, operation="+", n_digits=1, random_state=0)
HERE = Path(__file__).parent / "data"


def net(**parameters):
    architecture = "CONV-2 -> RELU -> DROPOUT-0.1 -> POOL -> FCS"
    defaults = {"architecture": architecture, "epochs": 2, "random_state": 0}
    return ImageClassifier(**{**defaults, **parameters})


def seq(**parameters):
    return Seq2SeqRNN(**{"hidden_size": 4, "epochs": 2, "random_state": 0, **parameters})


class Fitted(dict):
    """Estimators, fitted on first access."""

    def __missing__(self, kind):
        self[kind] = (net() if kind == "image" else seq()).fit(*DATA[kind])
        return self[kind]


FITTED = Fitted()
DATA = {"image": (X, Y), "strings": (QUESTIONS, ANSWERS)}


def through_a_file(estimator, tmp_path):
    estimator.save(tmp_path / "estimator.skcnn")
    assert [path.name for path in tmp_path.iterdir()] == ["estimator.skcnn"]
    return load(str(tmp_path / "estimator.skcnn"))


def through_joblib(estimator, tmp_path):
    joblib.dump(estimator, tmp_path / "estimator.joblib", compress=3)
    return joblib.load(tmp_path / "estimator.joblib")


ROUND_TRIPS = {
    "save": through_a_file,
    "pickle": lambda estimator, _: pickle.loads(pickle.dumps(estimator)),
    "joblib": through_joblib,
    "cloudpickle": lambda estimator, _: cloudpickle.loads(cloudpickle.dumps(estimator)),
    "deepcopy": lambda estimator, _: copy.deepcopy(estimator),
}


def plain(estimator):
    """All parameters in a comparable form."""
    return {name: repr(value) for name, value in estimator.get_params().items()}


@pytest.mark.parametrize(
    ("kind", "trip"),
    [
        *(("image", trip) for trip in ROUND_TRIPS),
        ("strings", "save"),
        ("strings", "pickle"),
        *(pytest.param("strings", trip, marks=pytest.mark.slow) for trip in list(ROUND_TRIPS)[2:]),
    ],
)
def test_fitted_estimator_round_trip(kind, trip, tmp_path):
    before, (inputs, targets) = FITTED[kind], DATA[kind]
    after = ROUND_TRIPS[trip](before, tmp_path)
    assert type(after) is type(before)
    assert plain(after) == plain(before)
    np.testing.assert_array_equal(after.predict_proba(inputs), before.predict_proba(inputs))
    np.testing.assert_array_equal(after.predict(inputs), before.predict(inputs))
    assert after.history_ == before.history_
    assert after.n_iter_ == before.n_iter_
    # and training continues from the same state
    other = copy.deepcopy(before)
    for estimator in (after, other):
        estimator.partial_fit(inputs, targets)
    np.testing.assert_array_equal(after.predict_proba(inputs), other.predict_proba(inputs))


@pytest.mark.parametrize("trip", ROUND_TRIPS.values(), ids=ROUND_TRIPS)
@pytest.mark.parametrize("make", [net, seq])
def test_unfitted_estimator_round_trip(trip, make, tmp_path):
    after = trip(make(epochs=7), tmp_path)
    assert plain(after) == plain(make(epochs=7))
    with pytest.raises(NotFittedError):
        after.predict(X)


@pytest.mark.parametrize(
    "parameters",
    [
        {"optimizer": "sgd", "optimizer__momentum": 0.9, "optimizer__nesterov": True},
        {"optimizer": keras.optimizers.RMSprop(0.002, rho=0.8)},
        {"optimizer": keras.optimizers.Lion},
        {"optimizer": keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9))},
        {"learning_rate_schedule": keras.optimizers.schedules.PiecewiseConstantDecay([5], [1, 2])},
        {"class_weight": {np.int64(label): 1 + label for label in range(10)}},
        {"augmentation": ImageAugmenter(cutout=0.25, fill_mode="wrap"), "early_stopping": True},
        {"input_shape": (8, 8, 1), "validation_fraction": np.float64(0.3)},
    ],
)
def test_parameters_round_trip(parameters, tmp_path):
    before = net(**parameters)
    after = through_a_file(before, tmp_path)

    def comparable(estimator):
        return {
            name: value.get_config()
            if hasattr(value, "get_config") and value != keras.optimizers.Lion
            else repr(value)
            for name, value in estimator.get_params().items()
        }

    assert comparable(after) == comparable(before)
    assert {type(value) for value in parameters.values()} == {
        type(after.get_params()[name]) for name in parameters
    }


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["ant", "bee", "cäfer"]),
        np.array(["ant", "bee", "cat"], dtype=object),
        np.array([True, False, True]),
        np.array([-1.0, 0.0, 7.0]),
        np.array([3, 5, 250], dtype=np.uint8),
    ],
)
def test_labels_round_trip(labels, tmp_path):
    fitted = net(epochs=1).fit(X, labels[Y % 3])
    after = through_a_file(fitted, tmp_path)
    assert after.classes_.dtype == fitted.classes_.dtype
    np.testing.assert_array_equal(after.predict(X), fitted.predict(X))


def test_feature_names_round_trip(tmp_path):
    frame = pd.DataFrame(X.reshape(len(X), -1)).rename(columns="pixel{}".format)
    fitted = net(epochs=1).fit(frame, Y)
    after = through_a_file(fitted, tmp_path)
    np.testing.assert_array_equal(after.feature_names_in_, fitted.feature_names_in_)
    np.testing.assert_array_equal(after.predict_proba(frame), fitted.predict_proba(frame))


def test_unsaved_parameters_warn(tmp_path):
    fitted = net(
        callbacks=[keras.callbacks.Callback()],
        scoring=lambda net, X, y: net.score(X, y),
        random_state=np.random.RandomState(0),
    ).fit(X, Y, X_val=X, y_val=Y)
    with pytest.warns(UserWarning, match="not contain callbacks, random_state, scoring"):
        after = through_a_file(fitted, tmp_path)
    assert after.callbacks is after.scoring is after.random_state is None
    np.testing.assert_array_equal(after.predict_proba(X), fitted.predict_proba(X))


def test_checkpoint_dir_is_not_restored(tmp_path):
    before = net(checkpoint_dir=tmp_path / "mine")
    with pytest.warns(UserWarning, match="not contain checkpoint_dir, which"):
        assert through_a_file(before, tmp_path).checkpoint_dir is None
    # nor from a file of an earlier version
    document, arrays = content_of(tmp_path / "estimator.skcnn")
    parameters = dict(document["content"]["dict"])["estimator"]["parameters"]["dict"]
    parameters.append(["checkpoint_dir", "theirs"])
    (tmp_path / "old.skcnn").write_bytes(pack(document, arrays))
    with pytest.warns(UserWarning, match="checkpoint_dir='theirs' of the file is ignored"):
        assert load(tmp_path / "old.skcnn").checkpoint_dir is None


def test_set_params_after_fit_keeps_the_file_loadable(tmp_path):
    changed = copy.deepcopy(FITTED["image"]).set_params(architecture="FCS", batch_norm=False)
    after = through_a_file(changed, tmp_path)
    assert after.architecture == "FCS"
    np.testing.assert_array_equal(after.predict_proba(X), changed.predict_proba(X))


def test_files_contain_versions_and_are_deterministic(tmp_path):
    for name in "ab":
        FITTED["image"].save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a") as archive:
        document = json.loads(archive.read("metadata.json"))
    assert document["versions"]["skcnn"] == skcnn.__version__
    assert document["versions"]["tensorflow"] == tf.version.VERSION


class Own(ImageClassifier):
    """A preset of a user."""

    architecture = "FCS"


def test_user_class_loads_after_its_import(tmp_path, run_python):
    fitted = Own(epochs=1, random_state=0).fit(X, Y)
    after = through_a_file(fitted, tmp_path)
    assert type(after) is Own
    np.testing.assert_array_equal(after.predict_proba(X), fitted.predict_proba(X))
    # In another process the file of a class of skcnn loads, and this one does not.
    FITTED["image"].save(tmp_path / "a.skcnn")
    np.save(tmp_path / "X.npy", X)
    code = """
import sys
import numpy as np
import skcnn
net = skcnn.load(sys.argv[1] + "/a.skcnn")
np.save(sys.argv[1] + "/out.npy", net.predict_proba(np.load(sys.argv[1] + "/X.npy")))
try:
    skcnn.load(sys.argv[1] + "/estimator.skcnn")
except skcnn.LoadError as error:
    print(error)
"""
    said = run_python(code, str(tmp_path)).stdout
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), FITTED["image"].predict_proba(X))
    assert "Own; import the module that defines it first" in said


@pytest.mark.parametrize("path", sorted(HERE.glob("*.skcnn")), ids=lambda path: path.stem)
def test_files_of_earlier_versions_load(path):
    expected = json.loads(path.with_suffix(".json").read_text())
    after = load(path)
    inputs = np.array(expected["inputs"])
    np.testing.assert_allclose(after.predict_proba(inputs), expected["probabilities"], atol=1e-5)
    assert after.predict(inputs).tolist() == expected["predictions"]
    parameters = {name: repr(value) for name, value in after.get_params(deep=False).items()}
    if path.stem.endswith("-0.1.0"):
        assert expected["parameters"].pop("validation_data") == "None"  # an argument of fit now
    assert expected["parameters"].items() <= parameters.items()


def test_training_goes_on_with_the_former_architecture_of_a_preset(tmp_path, monkeypatch):
    former = "CONV-2 -> RELU -> POOL -> FC-5 -> RELU -> FCS"
    with monkeypatch.context() as earlier:
        earlier.setattr(skcnn.StackedCNN, "architecture", former)
        skcnn.StackedCNN(epochs=1, random_state=0).fit(X, Y).save(tmp_path / "net.skcnn")
    fitted = load(tmp_path / "net.skcnn")
    before = fitted.model_.get_weights()
    after = fitted.partial_fit(X, Y).model_.get_weights()
    assert [weight.shape for weight in after] == [weight.shape for weight in before]
    assert not np.allclose(after[-1], before[-1])
    assert fitted.fit(X, Y).model_.count_params() > sum(map(np.size, before))


def test_test_data_include_every_release():
    changes = (HERE.parents[1] / "docs" / "changelog.rst").read_text()
    releases = re.findall(r"^(\d+\.\d+\.\d+)\n-+$", changes, re.MULTILINE)
    assert "0.1.0" in releases
    for release in releases:
        assert len(list(HERE.glob(f"*-{release}.skcnn"))) == 2, release
    # What is not in development is a release.
    assert skcnn.__version__ in releases or ".dev" in skcnn.__version__


# Invalid and malicious files


def content_of(path):
    with zipfile.ZipFile(path) as archive:
        entries = [archive.read(name) for name in archive.namelist()]
    return json.loads(entries[0]), entries[1:]


def pack(document, arrays):
    """Write a zip as skcnn does, with correct checksums."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("metadata.json", json.dumps(document))
        for number, array in enumerate(arrays):
            archive.writestr(f"arrays/{number}.npy", array)
    return out.getvalue()


class Payload:
    """Create a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def written(tmp_path):
    FITTED["image"].save(tmp_path / "good.skcnn")
    return content_of(tmp_path / "good.skcnn")


def refused(tmp_path, data, match):
    (tmp_path / "bad.skcnn").write_bytes(data)
    with pytest.raises(LoadError, match=rf"bad\.skcnn cannot be loaded: .*{match}"):
        load(tmp_path / "bad.skcnn")


def npy(array, **options):
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def test_load_does_not_unpickle(written, tmp_path):
    document, arrays = written
    payload = Payload(tmp_path / "was here")
    refused(tmp_path, pickle.dumps(payload), "zip file")
    objects = npy(np.array([payload], dtype=object), allow_pickle=True)
    refused(tmp_path, pack(document, [objects, *arrays[1:]]), "could run code")
    for name in ("../escaped.npy", "/tmp/escaped.npy", "state.pkl"):
        out = io.BytesIO(pack(document, arrays))
        with zipfile.ZipFile(out, "a") as archive:
            archive.writestr(name, pickle.dumps(payload))
        refused(tmp_path, out.getvalue(), "its entry")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.skcnn", "good.skcnn"]


def test_load_does_not_create_arbitrary_objects(written, tmp_path):
    document, arrays = written
    trace = tmp_path / "was here"
    name = str(trace)
    layer = keras.layers.Lambda(lambda x: (open(name, "w").close(), x)[1])
    model = keras.Sequential([keras.Input((2,)), layer])
    model.save(tmp_path / "model.keras")
    trace.unlink()
    refused(tmp_path, (tmp_path / "model.keras").read_bytes(), "its entry")
    config = keras.saving.serialize_keras_object(model.layers[0])
    config = json.loads(json.dumps(config, default=str))
    for value in (
        config,
        {"keras": "Lambda", "config": {"dict": []}},
        {"keras": "Adam", "config": config},
        {"class": "Lambda"},
        {"object": "os:system", "parameters": {"dict": []}, "attributes": {"dict": []}},
        {
            "object": "subprocess:Popen",
            "parameters": {"dict": [["args", "true"]]},
            "attributes": {},
        },
    ):
        bad = copy.deepcopy(document)
        parameters = dict(bad["content"]["dict"])["estimator"]["parameters"]["dict"]
        next(item for item in parameters if item[0] == "optimizer")[1] = value
        refused(tmp_path, pack(bad, arrays), "")
    assert not trace.exists()


def test_file_with_excessive_memory_raises(written, tmp_path):
    document, arrays = written
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", json.dumps(document))
        archive.writestr("arrays/0.npy", npy(np.zeros(2**24)))
    refused(tmp_path, out.getvalue(), "is compressed")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (2**40,)}
    )
    refused(
        tmp_path, pack(document, [header.getvalue(), *arrays[1:]]), "size differs from its header"
    )
    network = dict(item["tuple"] for item in dict(document["content"]["dict"])["network"]["tuple"])
    assert network["architecture"].startswith("CONV-2")
    text = json.dumps(document).replace(network["architecture"], "CONV-2 -> FC-100000 -> FCS")
    refused(tmp_path, pack(json.loads(text), arrays), "do not match its network")


PRIME = 2**61 - 1  # hash(n) is n modulo this


def header(descr, shape):
    out = io.BytesIO()
    described = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, described)
    return out.getvalue()


def colliding(n):
    # hash(complex(a, b)) is hash(a) + 1000003 * hash(b)
    return [npy(np.complex128(complex(1e12 - 1000003 * k, k))) for k in range(n)]


def bombs(document, arrays):
    """Files that would need far more memory or time than their size, by name."""

    def of(value=None, first=None, more=(), network=None):
        bad = copy.deepcopy(document)
        content = dict(bad["content"]["dict"])
        parameters = content["estimator"]["parameters"]["dict"]
        if value is not None:
            next(item for item in parameters if item[0] == "callbacks")[1] = value
        for item in content["network"]["tuple"]:
            if item["tuple"][0] in (network or {}):
                item["tuple"][1] = network[item["tuple"][0]]
        content["network"]["tuple"] += [
            {"tuple": list(item)}
            for item in (network or {}).items()
            if item[0] == "unrolled_steps"
        ]
        return pack(bad, [first or arrays[0], *arrays[1:], *more])

    n = len(arrays)
    scalar = {"scalar": True}
    yield from {
        f"no bytes {descr}": of(first=header(descr, (3 * 10**9,)))
        for descr in ("|S0", "<U0", "|V0")
    }.items()
    yield "no rows", of(first=header("<f8", (0, 3 * 10**9)))
    yield "no columns", of(first=header("<f8", (3 * 10**9, 0)))
    yield "long items", of(first=header("<U500000000", (0,)))
    text = npy(np.array("x" * 10**5))
    yield "one scalar often", of([{"array": n, **scalar}] * 2**14, more=[text])
    image = npy(np.zeros((1, 10**5)))
    yield "one array often", of([{"array": n, "scalar": False}] * 2**14, more=[image])
    yield "ints", of({"dict": [[k * PRIME, 0] for k in range(40_000)]})
    yield "tuples", of({"dict": [[{"tuple": [k * PRIME]}, 0] for k in range(40_000)]})
    keys = colliding(10_000)
    items = [[{"array": n + k, **scalar}, 0] for k in range(len(keys))]
    yield "complex", of({"dict": items}, more=keys)
    yield "floats", of({"dict": [[2.0 ** (61 * k % 900), 0] for k in range(40_000)]})
    yield "optimizers", of([{"keras": "Adam", "config": {"dict": []}}] * 10_000)
    made = {"object": "ImageAugmenter", "parameters": {"dict": []}, "attributes": {"dict": []}}
    yield "estimators", of([made] * 10_000)
    nested = {"dict": [["beta_1", [[0]] * 100_000]]}
    yield "lists in an optimizer", of({"keras": "Adam", "config": nested})
    yield "empty lists", of([[]] * 200_000)
    yield "objects", of({"objects": [[0] * 10] * 20_000, "shape": [20_000]})
    yield "a shape", of({"objects": [], "shape": [0, 3 * 10**9]})
    yield "depth", of().replace(b'"one_cycle"', b"[" * 10**5 + b"]" * 10**5)
    yield "digits", of().replace(b'"one_cycle"', b"9" * 10**6)
    convolutions = "CONV-1 -> RELU -> " * 400 + "FCS"
    yield "layers", of(network={"architecture": convolutions})
    yield "steps", of(network={"unrolled_steps": 10**6})


LIMITED = """
import resource, sys, time
from pathlib import Path
import skcnn

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

skcnn.load(sys.argv[1] + "/good.skcnn")
for path in sorted(Path(sys.argv[1]).glob("*.bomb")):
    used, start = peak(), time.process_time()
    try:
        skcnn.load(path)
        said = "loaded"
    except skcnn.LoadError as error:
        said = str(error)
    seconds, size = time.process_time() - start, path.stat().st_size / 2**20
    if seconds > 1.5 + 3 * size or peak() - used > 40 + 60 * size or "MemoryError" in said:
        print(f"{path.stem}: {size:.2f} MB, {seconds:.1f} s, {peak() - used:.0f} MB, {said[:80]}")
"""


def test_time_and_memory_are_bounded_by_the_size_of_a_file(written, tmp_path, run_python):
    for name, data in bombs(*written):
        (tmp_path / f"{name.replace('|', '')}.bomb").write_bytes(data)
    assert run_python(LIMITED, str(tmp_path)).stdout == ""


def test_load_raises_for_irregular_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a named pipe"), ("/dev/zero", "a device")):
        with pytest.raises(LoadError, match=f"{path} cannot be loaded: it is {kind}, not a file"):
            load(path)
    with pytest.raises(LoadError, match=f"{tmp_path} cannot be loaded: it is a folder"):
        load(tmp_path)
    FITTED["image"].save(tmp_path / "a")
    (tmp_path / "link").symlink_to("a")
    assert load(tmp_path / "link").n_iter_ == FITTED["image"].n_iter_


@pytest.mark.parametrize("path", ["", None, 3, b"a", "a\0b", 1.5])
def test_invalid_path_raises(path):
    for use in (FITTED["image"].save, FITTED["image"].export, load):
        with pytest.raises((TypeError, ValueError), match=r"^path must be [^\n]*, got"):
            use(path)
    with pytest.raises((TypeError, ValueError), match="checkpoint_dir"):
        net(checkpoint_dir="" if path is None else path).fit(X, Y)


def test_a_folder_is_not_written_as_a_file(tmp_path):
    (tmp_path / "folder").mkdir()
    for use in (FITTED["image"].save, FITTED["image"].export):
        with pytest.raises(IsADirectoryError, match="path must be a file, but is a folder"):
            use(tmp_path / "folder")
    os.mkfifo(tmp_path / "pipe")
    for use in (FITTED["image"].save, FITTED["image"].export):
        with pytest.raises(FileExistsError, match="path must be a file, but is a named pipe"):
            use(tmp_path / "pipe")


@pytest.mark.parametrize(
    "content",
    [
        {"dict": [["estimator", 3]]},
        {"dict": []},
        [],
        7,
        {"object": "ImageAugmenter", "parameters": {"dict": []}, "attributes": {"dict": []}},
        {"dict": [["estimator", {"keras": "Adam", "config": {"dict": []}}]]},
    ],
)
def test_file_without_estimator_raises(written, tmp_path, content):
    document, arrays = written
    refused(tmp_path, pack({**document, "content": content}, arrays), "instead of an estimator")


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(kind, value, tmp_path):
    FITTED[kind].save(tmp_path / "good.skcnn")
    document, arrays = content_of(tmp_path / "good.skcnn")
    content = dict(document["content"]["dict"])
    number = dict(content["state"]["dict"])["weights"][-1]["array"]
    weight = np.load(io.BytesIO(arrays[number]))
    weight[-1] = value
    arrays[number] = npy(weight)
    refused(tmp_path, pack(document, arrays), "weights that are not finite")
    broken = copy.deepcopy(FITTED[kind])
    broken._state.weights[-1][-1] = value
    with pytest.raises(ValueError, match="cannot be saved: its network has weights that are not"):
        broken.save(tmp_path / "broken.skcnn")
    assert not (tmp_path / "broken.skcnn").exists()


@pytest.mark.parametrize("order", [[1, 0, *range(2, 10)], [0, 0, *range(2, 10)]])
def test_classes_that_are_not_sorted_or_differ_are_refused(written, tmp_path, order):
    document, arrays = written
    arrays[0] = npy(np.array(order))
    refused(tmp_path, pack(document, arrays), "classes_ are not sorted, or not unique")


@pytest.mark.parametrize("name", ["model_", "_state", "fit"])
def test_file_with_other_attributes_raises(written, tmp_path, name):
    document, arrays = written
    attributes = dict(document["content"]["dict"])["estimator"]["attributes"]["dict"]
    attributes.append([name, 3])
    refused(tmp_path, pack(document, arrays), "not the name of a learned attribute")


@pytest.mark.parametrize("key", [(1, 2), 2**70, np.complex128(1)])
def test_dict_with_unsupported_keys_is_not_saved(key, tmp_path):
    with pytest.warns(UserWarning, match="not contain class_weight"):
        assert through_a_file(net(class_weight={key: 1.0}), tmp_path).class_weight is None


# Concurrent and repeated writes


def test_save_keeps_permissions_and_follows_links(tmp_path):
    old = os.umask(0o027)
    try:
        FITTED["image"].save(tmp_path / "a")
        FITTED["image"].export(tmp_path / "b", format="litert")
        FITTED["image"].export(tmp_path / "c", format="tf_saved_model")
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"a": 0o640, "b": 0o640, "c": 0o750}
    for name, mode in {"a": 0o604, "b": 0o600, "c": 0o705}.items():
        (tmp_path / name).chmod(mode)
        (tmp_path / f"link to {name}").symlink_to(name)
    before = (tmp_path / "a").read_bytes()
    net().save(tmp_path / "link to a")
    FITTED["image"].export(tmp_path / "link to b", format="litert")
    FITTED["image"].export(tmp_path / "link to c", format="tf_saved_model")
    for name, mode in {"a": 0o604, "b": 0o600, "c": 0o705}.items():
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode
        assert (tmp_path / f"link to {name}").is_symlink()
    assert (tmp_path / "a").read_bytes() != before
    assert len(list(tmp_path.iterdir())) == 6


def test_two_threads_that_save_to_one_path(tmp_path):
    path, failed = tmp_path / "a.skcnn", []
    FITTED["image"].save(path)

    def work(use):
        try:
            for _ in range(25):
                use(path)
        except Exception as error:
            failed.append(error)

    uses = [FITTED["image"].save, FITTED["strings"].save, lambda path: content_of(path)]
    threads = [threading.Thread(target=work, args=(use,)) for use in uses * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert [each.name for each in tmp_path.iterdir()] == ["a.skcnn"]


def test_two_processes_that_save_to_one_path(tmp_path):
    code = """
import sys, skcnn
estimator = skcnn.ImageClassifier(epochs=1)
print("ready", flush=True)
for _ in range(60):
    estimator.save(sys.argv[1])
"""
    path, mine = tmp_path / "a.skcnn", net(epochs=2)
    mine.save(path)
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"ready\n"
        while other.poll() is None:
            mine.save(path)
            content_of(path)
            time.sleep(0.002)  # leave the other process some of the processor
    assert other.returncode == 0
    assert load(path).epochs in (1, 2)
    assert [each.name for each in tmp_path.iterdir()] == ["a.skcnn"]


def test_export_replaces_only_saved_model_folders(tmp_path, monkeypatch):
    path = tmp_path / "exported"
    path.mkdir()  # an empty folder is nobody's
    for fitted in (net(epochs=1).fit(X, Y), FITTED["image"]):
        fitted.export(path, format="tf_saved_model")
    outputs, _ = run_saved_model(path, np.float32(X[..., None]))
    np.testing.assert_allclose(outputs, FITTED["image"].predict_proba(X), atol=1e-4)
    (path / "notes.txt").write_text("mine")
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    for folder in (path, other):
        before = sorted(folder.rglob("*"))
        with pytest.raises(FileExistsError, match="the folder is not a SavedModel"):
            FITTED["image"].export(folder, format="tf_saved_model")
        assert sorted(folder.rglob("*")) == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="path must be the folder of a SavedModel"):
        FITTED["image"].export(tmp_path / "file", format="tf_saved_model")


@pytest.mark.parametrize("format", ["onnx", "tf_saved_model", "litert"])
def test_failed_export_keeps_the_old_file(format, tmp_path, monkeypatch):
    path = tmp_path / "exported"
    FITTED["image"].export(path, format=format)
    before = {each: each.is_file() and each.read_bytes() for each in tmp_path.rglob("*")}

    def fails(source, target):
        if Path(source).name == "network.tflite":
            raise OSError(28, "No space left on device")
        return replace(source, target)

    replace = os.replace
    monkeypatch.setattr("skcnn._files.export.os.replace", fails)
    with pytest.raises(OSError, match="No space left"):
        FITTED["image"].export(path, format=format)
    after = {each: each.is_file() and each.read_bytes() for each in tmp_path.rglob("*")}
    assert after == before


def test_a_network_of_too_many_layers_is_not_built(tmp_path):
    FITTED["strings"].save(tmp_path / "good.skcnn")
    document, arrays = content_of(tmp_path / "good.skcnn")
    text = json.dumps(document).replace(
        '{"tuple": ["n_layers", 1]}', '{"tuple": ["n_layers", 1000000]}'
    )
    assert text != json.dumps(document)
    refused(tmp_path, pack(json.loads(text), arrays), "more layers than weights")


def test_file_of_a_later_version_raises(written, tmp_path):
    document, arrays = written
    later = {**document, "format_version": 99, "versions": {"skcnn": "7.0"}}
    refused(tmp_path, pack(later, arrays), "skcnn 7.0, which is newer than the installed")
    refused(tmp_path, pack({**document, "format": "other"}, arrays), "not a skcnn file of kind")


def test_load_raises_for_a_checkpoint(tmp_path):
    net(checkpoint_dir=tmp_path).fit(X, Y)
    with pytest.raises(LoadError, match="not a skcnn file of kind 'estimator'"):
        load(tmp_path / "checkpoint.skcnn")


def test_a_file_that_cannot_be_opened_or_written(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing.skcnn")
    with pytest.raises(FileNotFoundError, match=r"missing/a\.skcnn cannot be written"):
        FITTED["image"].save(tmp_path / "missing" / "a.skcnn")


JUNK = [
    None,
    True,
    -1,
    0,
    3,
    10**12,
    0.5,
    float("nan"),
    "",
    "x",
    [],
    {},
    {"array": 0, "scalar": 0},
]
N_MUTANTS = {"bytes": 1200, "document": 600, "arrays": 200}


def places(node, path=()):
    """All paths to values of a JSON document."""
    yield path
    items = enumerate(node) if isinstance(node, list) else getattr(node, "items", list)()
    for key, value in items:
        yield from places(value, (*path, key))


def mutated_bytes(data, draw):
    data = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at, other = (draw.randrange(len(data)) for _ in range(2))
        length = draw.choice([1, 1, 4, 64])
        match draw.randrange(4):
            case 0:
                data[at] ^= 1 << draw.randrange(8)
            case 1:
                data[at : at + length] = data[other : other + length]
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = draw.randbytes(length)
    return bytes(data[: draw.randrange(len(data))] if draw.random() < 0.1 else data)


def mutated_document(document, draw):
    document = copy.deepcopy(document)
    for _ in range(draw.randint(1, 2)):
        path = draw.choice(list(places(document))[1:])
        node = document
        for key in path[:-1]:
            node = node[key]
        match draw.randrange(3):
            case 0:
                node[path[-1]] = draw.choice(JUNK)
            case 1:
                del node[path[-1]]
            case 2:
                other = draw.choice(list(places(document))[1:])
                value = document
                for key in other:
                    value = value[key]
                node[path[-1]] = copy.deepcopy(value)
    return document


def mutated_arrays(arrays, draw):
    arrays = list(arrays)
    at = draw.randrange(len(arrays))
    array = np.load(io.BytesIO(arrays[at]))
    other = draw.choice(
        [
            np.zeros(array.shape, draw.choice(["f8", "i4", "U5", "S3", "c8"])),
            array[..., None],
            array.ravel()[:0],
            np.zeros((3, 3), np.float32),
            array.T.copy(order="F"),
        ]
    )
    match draw.randrange(3):
        case 0:
            arrays[at] = npy(other)
        case 1:
            del arrays[at]
        case 2:
            arrays.insert(at, npy(other))
    return arrays


@pytest.mark.parametrize("share", [5, *slow(1)])
def test_fuzzed_files_load_correctly_or_raise(tmp_path, record_property, share):
    draw = random.Random(0)
    fitted = ImageClassifier("DROPOUT-0.1 -> FCS", epochs=1, random_state=0)
    fitted.fit(X[:, :2, :3], Y % 3)
    expected = fitted.predict_proba(X[:, :2, :3])
    strings = FITTED["strings"]
    paths = [tmp_path / "image.skcnn", tmp_path / "strings.skcnn"]
    for estimator, path in zip((fitted, strings), paths, strict=True):
        estimator.save(path)
    tried, loaded = 0, 0
    bad = tmp_path / "bad.skcnn"
    for kind, n_mutants in N_MUTANTS.items():
        for number in range(n_mutants // share):
            is_image = number % 4 > 0
            path = paths[0 if is_image else 1]
            document, arrays = content_of(path)
            if kind == "bytes":
                data = mutated_bytes(path.read_bytes(), draw)
            elif kind == "document":
                data = pack(mutated_document(document, draw), arrays)
            else:
                data = pack(document, mutated_arrays(arrays, draw))
            bad.write_bytes(data)
            tried += 1
            try:
                after = load(bad)
            except LoadError:
                continue
            loaded += 1
            if not after.__sklearn_is_fitted__():
                assert kind == "document"
                continue
            inputs = X[:, :2, :3] if is_image else QUESTIONS
            outputs = after.predict_proba(inputs)
            if kind == "bytes":
                np.testing.assert_array_equal(
                    outputs, expected if is_image else strings.predict_proba(inputs)
                )
            assert len(after.predict(inputs)) == len(inputs) == len(outputs)
    assert tried == 2000 // share
    assert loaded < tried / 2
    record_property("files tried", f"{tried}, of which {loaded} loaded right")


# Export


def run_onnx(path, inputs):
    session = onnxruntime.InferenceSession(path)
    metadata = session.get_modelmeta().custom_metadata_map["skcnn"]
    (name,) = [argument.name for argument in session.get_inputs()]
    return session.run(None, {name: inputs})[0], metadata


def run_saved_model(path, inputs):
    metadata = (path / "assets.extra" / "skcnn.json").read_text()
    loaded = tf.saved_model.load(path)
    return loaded.serve(inputs).numpy(), metadata


def run_litert(path, inputs):
    interpreter = Interpreter(str(path))
    (at,) = [argument["index"] for argument in interpreter.get_input_details()]
    interpreter.resize_tensor_input(at, inputs.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(at, inputs)
    interpreter.invoke()
    (out,) = [argument["index"] for argument in interpreter.get_output_details()]
    with zipfile.ZipFile(path) as archive:
        return interpreter.get_tensor(out), archive.read("skcnn.json")


RUNTIMES = {"onnx": run_onnx, "tf_saved_model": run_saved_model, "litert": run_litert}
LONG = np.array(["".join(pair * 20) for pair in ("ab", "ba", "aa")])
EVERY_LAYER = (
    "CONV-4 -> BN -> GELU -> RES[CONV-6/2 -> SILU] -> CONV-4:5 -> TANH -> AVGPOOL-3 -> "
    "DROPOUT-0.5 -> POOL -> GAP -> FC-5 -> RELU -> FCS"
)
EXPORTED = {
    "images": (lambda: net().fit(X, Y.astype(str)), X),
    "flip averaging": (lambda: net(flip_averaging=True).fit(X, Y), X),
    "shift averaging": (
        lambda: net(flip_averaging=True, shift_averaging=True).fit(X, Y),
        X,
    ),
    "every layer": (lambda: net(architecture=EVERY_LAYER).fit(X, Y), X),
    "lstm": (lambda: seq(decoder="repeat").fit(QUESTIONS, ANSWERS), QUESTIONS),
    "gru": (lambda: seq(cell="gru", decoder="attention").fit(QUESTIONS, ANSWERS), QUESTIONS),
    "long": (lambda: seq(cell="simple_rnn", decoder="repeat").fit(LONG, LONG), LONG),
}


# Every layer in every format, and every kind of network in one.
EXPORTS = {
    *itertools.product(["every layer"], RUNTIMES),
    ("images", "litert"),
    ("flip averaging", "tf_saved_model"),
    ("shift averaging", "onnx"),
    ("lstm", "onnx"),
    ("gru", "litert"),
    ("long", "tf_saved_model"),
}


@pytest.mark.parametrize(
    ("name", "format"),
    [
        pytest.param(*each, marks=() if each in EXPORTS else pytest.mark.slow)
        for each in itertools.product(EXPORTED, RUNTIMES)
    ],
)
def test_exported_networks_predict_the_same(name, format, tmp_path):
    make, inputs = EXPORTED[name]
    fitted = make()
    path = tmp_path / "exported"
    fitted.export(path, format=format)
    assert list(tmp_path.iterdir()) == [path]
    outputs, metadata = RUNTIMES[format](path, np.float32(fitted._check_inputs(inputs)[:]))
    np.testing.assert_allclose(outputs, fitted.predict_proba(inputs), atol=1e-4)
    metadata = json.loads(metadata)
    if "labels" in metadata:
        labels = np.array(metadata["labels"])
        np.testing.assert_array_equal(labels[outputs.argmax(axis=1)], fitted.predict(inputs))
    else:
        assert metadata["output_characters"] == fitted.output_table_.characters_.tolist()


def test_export_restores_environment_and_numpy(tmp_path, run_python):
    # In a separate process, as the side effects of an import occur only once.
    code = """
import os, sys, warnings
import numpy as np
import skcnn
net = skcnn.ImageClassifier("FCS", epochs=1).fit(np.eye(4), [0, 1, 0, 1])
before = dict(os.environ), set(vars(np)), list(warnings.filters)
net.export(sys.argv[1], format="onnx")
print(before == (dict(os.environ), set(vars(np)), list(warnings.filters)))
"""
    assert run_python(code, str(tmp_path / "a.onnx")).stdout == "True\n"


def test_invalid_exports_raise(tmp_path, monkeypatch):
    with pytest.raises(NotFittedError):
        net().export(tmp_path / "a")
    with pytest.raises(ValueError, match=r"format must be one of onnx, .*; got 'pdf'"):
        FITTED["image"].export(tmp_path / "a", format="pdf")
    with pytest.raises(FileNotFoundError):
        FITTED["image"].export(tmp_path / "missing" / "a")
    monkeypatch.setattr("skcnn._files.export.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="onnx and tf2onnx: pip install"):
        FITTED["image"].export(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


# Models saved by callbacks

PLAIN_KERAS = """
import sys
from pathlib import Path
import keras
import numpy as np
for folder in Path(sys.argv[1]).iterdir():
    model = keras.saving.load_model(folder / "whole.keras")
    copy = keras.models.clone_model(model)
    copy.load_weights(folder / "only.weights.h5")
    kept = keras.saving.load_model(folder / "kept.keras")
    inputs = np.load(folder / "inputs.npy")
    outputs = [each(inputs, training=False) for each in (model, copy, kept)]
    np.save(folder / "outputs.npy", outputs)
assert "skcnn" not in sys.modules
"""
LARGE = np.random.default_rng(0).random((40, 16, 16))
SAVED_BY_CALLBACKS = {
    "images": (net, X, Y),
    "bfloat16": (lambda **p: net(precision="mixed_bfloat16", **p), LARGE, Y[:40]),
    "every layer": (lambda **p: net(architecture=EVERY_LAYER, **p), X, Y),
    "weight decay": (lambda **p: net(weight_decay=0.1, optimizer="adam", **p), X, Y),
    "strings": (lambda **p: seq(decoder="attention", **p), QUESTIONS, ANSWERS),
}


@pytest.mark.parametrize(
    "names",
    [
        ("bfloat16", "every layer", "strings"),
        *slow(("images", "weight decay")),
    ],
    ids=", ".join,
)
def test_model_saved_by_a_callback_loads_in_plain_keras(names, tmp_path, run_python):
    fitted = {}
    for name in names:
        make, inputs, targets = SAVED_BY_CALLBACKS[name]
        folder = tmp_path / name
        saves = [
            keras.callbacks.ModelCheckpoint(folder / "whole.keras"),
            keras.callbacks.ModelCheckpoint(folder / "only.weights.h5", save_weights_only=True),
        ]
        fitted[name] = make(callbacks=saves).fit(inputs, targets)
        fitted[name].model_.save(folder / "kept.keras")
        np.save(folder / "inputs.npy", np.float32(fitted[name]._check_inputs(inputs)[:]))
    run_python(PLAIN_KERAS, str(tmp_path))
    for name, estimator in fitted.items():
        expected = estimator.predict_proba(SAVED_BY_CALLBACKS[name][1])
        for outputs in np.load(tmp_path / name / "outputs.npy"):
            np.testing.assert_allclose(outputs, expected, atol=1e-5, err_msg=name)
        model = estimator.model_
        weights = model.get_weights()
        model.set_weights([np.zeros_like(weight) for weight in weights])
        model.load_weights(tmp_path / name / "only.weights.h5")
        for one, other in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", np.array([object()]), len])
def test_encode_raises_for_unsupported_values(value):
    with pytest.raises(TypeError, match="cannot be saved"):
        encode(value, [])


@pytest.mark.parametrize(
    "value",
    [(1, [2.5, None]), {1: "a", "b": (True,)}, np.float32(1.5), {"array": 1}, {"tuple": [1]}],
)
def test_plain_values_round_trip(value):
    arrays = []
    after = decode(json.loads(json.dumps(encode(value, arrays))), arrays)
    assert after == value
    assert type(after) is type(value)
