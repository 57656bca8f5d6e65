"""Estimators on pretrained networks, trained in two phases."""

import io
import json
import pickle
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
from marks import slow
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from test_features import randomize

import skcnn
from skcnn import (
    FilterDisplay,
    ImageAugmenter,
    ImageClassifier,
    ImageFeatures,
    MisclassifiedImagesDisplay,
    PretrainedClassifier,
    PretrainedRegressor,
    SaliencyDisplay,
    TrainingHistoryDisplay,
    load,
    load_digit_images,
)
from skcnn._training.network import CompiledNetwork, rate_shares
from skcnn.image import pretrained

DIGITS, LABELS = load_digit_images(return_X_y=True)
LOW = LABELS < 5
X, Y = DIGITS[~LOW][:120], LABELS[~LOW][:120]
X_TEST, Y_TEST = DIGITS[~LOW][120:300], LABELS[~LOW][120:300]
INK = X.sum(axis=(1, 2))


@pytest.fixture(scope="module")
def backbone():
    """A network that tells 0 to 4 apart, in three blocks."""
    architecture = "CONV-16 -> RELU -> CONV-16 -> RELU -> POOL -> CONV-32 -> RELU -> GAP -> FCS"
    net = ImageClassifier(architecture, epochs=8, batch_size=128, random_state=0)
    return net.fit(DIGITS[LOW], LABELS[LOW])


@pytest.fixture(scope="module")
def mobile(tmp_path_factory):
    """A file with random weights of the smallest network in the table."""
    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    rng = np.random.default_rng(0)
    model = keras.applications.MobileNet(include_top=False, weights=None)
    images = rng.uniform(-0.5, 0.5, (16, 1, 1, 3)) + rng.uniform(-0.5, 0.5, (16, 40, 32, 3))
    randomize(model, images).save_weights(path)
    return str(path)


@pytest.fixture
def net(backbone):
    return PretrainedClassifier(backbone, frozen_epochs=6, epochs=3, random_state=0)


def weights_of(fitted):
    return {weight.path: weight.numpy() for weight in fitted.model_.weights}


def same(one, other):
    return all(map(np.array_equal, one, other))


# The phases


def test_two_phases_learn_more_than_the_head(net):
    frozen = clone(net).set_params(trainable=0, frozen_epochs=20).fit(X, Y)
    tuned = net.set_params(frozen_epochs=20, epochs=8).fit(X, Y)
    assert frozen.n_iter_ == 20
    assert tuned.n_iter_ == 28
    np.testing.assert_array_equal(frozen.history_["loss"], tuned.history_["loss"][:20])
    assert frozen.score(X_TEST, Y_TEST) > 0.35
    assert tuned.score(X_TEST, Y_TEST) > frozen.score(X_TEST, Y_TEST) + 0.1
    # The second phase has a tenth of the learning rate and continues the first.
    rates = tuned.history_["learning_rate"]
    assert max(rates[20:]) < 0.2 * max(rates[:20])
    assert tuned.history_["loss"][20] < 1.2 * tuned.history_["loss"][19]


def test_second_phase_does_not_drift_where_nothing_is_left_to_learn(net, backbone):
    net.set_params(frozen_epochs=200, learning_rate=0.1, dropout=0.0)
    rows = np.flatnonzero(Y < 7)[:12]
    before = weights_of(backbone)["conv_1/kernel"]
    changes = []
    for epsilon in ({}, {"optimizer__epsilon": 1e-7}):
        fitted = clone(net).set_params(**epsilon).fit(X[rows], Y[rows])
        assert fitted.history_["loss"][199] < 0.01  # the head knows the samples by heart
        changes.append(np.abs(weights_of(fitted)["conv_1/kernel"] - before).mean())
    assert 0 < changes[0] < changes[1] / 4


def test_second_phase_is_slow_where_the_head_has_learned_all(net, tmp_path):
    rows = np.flatnonzero(Y < 7)[:12]
    share = np.bincount(Y[rows])[5:] / 12
    constant = -np.sum(share * np.log(share))
    parameters = {"frozen_epochs": 50, "learning_rate": 0.1, "dropout": 0.0}
    fitted = clone(net).set_params(**parameters).fit(X[rows], Y[rows])
    left = fitted.history_["loss"][49] / (0.1 * constant)
    assert left < 0.5
    assert fitted.learning_rate_ == pytest.approx(0.01 * left)
    # A resumed second phase has the same rate.
    resumed = clone(net).set_params(**parameters, checkpoint_dir=tmp_path)
    with pytest.raises(SystemExit):
        clone(resumed).set_params(callbacks=[Stop(51)]).fit(X[rows], Y[rows])
    assert resumed.fit(X[rows], Y[rows]).learning_rate_ == fitted.learning_rate_
    assert same(resumed._state.weights, fitted._state.weights)
    # Without a head that has learned before, it is a tenth of the rate.
    assert fitted.partial_fit(X[rows], Y[rows]).learning_rate_ == pytest.approx(0.01)
    alone = clone(net).set_params(**{**parameters, "frozen_epochs": 0}).fit(X[rows], Y[rows])
    assert alone.learning_rate_ == pytest.approx(0.01)


def test_second_phase_averages_its_weights(net, monkeypatch):
    momenta = []
    original = CompiledNetwork.set_optimizer

    def recorded(self, optimizer):
        momenta.append(optimizer.ema_momentum if optimizer.use_ema else None)
        original(self, optimizer)

    monkeypatch.setattr(CompiledNetwork, "set_optimizer", recorded)
    given = {"X_val": X_TEST, "y_val": Y_TEST}
    fitted = net.fit(X, Y, **given)
    # A fifth of the three epochs of four batches are 2.4 steps, of eight epochs 6.4.
    clone(net).set_params(epochs=8).fit(X, Y)
    assert momenta == [None, 0.5, None, 0.875]
    assert fitted.history_["val_accuracy"][-1] == pytest.approx(fitted.score(X_TEST, Y_TEST))
    last = clone(net).set_params(optimizer__use_ema=False).fit(X, Y, **given)
    assert momenta[4:] == [None, None]
    np.testing.assert_array_equal(last.history_["loss"], fitted.history_["loss"])
    assert not same(last.predict_proba(X_TEST), fitted.predict_proba(X_TEST))
    # A call of partial_fit has no average, and continues with the state of the optimizer.
    steps = fitted._state.optimizer[0]
    assert fitted.partial_fit(X, Y)._state.optimizer[0] == steps + 4
    assert momenta[6:] == [0.0]


@pytest.mark.parametrize("trainable", [0, 1, 2, "all"])
def test_frozen_layers_stay_bit_for_bit(net, backbone, trainable):
    fitted = net.set_params(trainable=trainable).fit(X, Y)
    before, after = weights_of(backbone), weights_of(fitted)
    n_trained = 3 if trainable == "all" else trainable
    trained = [f"conv_{number}/kernel" for number in (1, 2, 3)][3 - n_trained :]
    for path, value in before.items():
        if path.startswith("probability"):
            continue
        assert np.array_equal(after[path], value) is (path not in trained), path


def test_batch_norm_uses_pretrained_statistics_in_training(net, backbone):
    # In training mode, features would depend on the other images of the batch.
    net.set_params(dropout=0.0, augmentation=ImageAugmenter(horizontal_flip=True), trainable=0)
    flipped = clone(net).set_params(batch_size=120, frozen_epochs=1, learning_rate=1e-30)
    loss = flipped.fit(X, Y).history_["loss"][0]
    # With the initial head, the loss is a mean over independent images.
    single = clone(flipped).set_params(batch_size=1).fit(X, Y).history_["loss"][0]
    assert loss == pytest.approx(single, rel=0.02)


def test_augmented_features_are_not_cached(net, monkeypatch):
    read = []
    original = pretrained.predict_in_parts
    monkeypatch.setattr(
        pretrained, "predict_in_parts", lambda *a, **k: read.append(1) or original(*a, **k)
    )
    clone(net).fit(X, Y)
    assert len(read) == 1
    clone(net).set_params(augmentation=ImageAugmenter()).fit(X, Y)  # which changes nothing
    assert len(read) == 2
    shifted = ImageAugmenter(width_shift_range=0.1)
    fitted = clone(net).set_params(augmentation=shifted).fit(X, Y)
    assert len(read) == 2
    assert fitted.n_iter_ == 9
    assert fitted.score(X_TEST, Y_TEST) > 0.3


def test_large_features_are_memory_mapped(net, monkeypatch, tmp_path):
    expected = clone(net).fit(X, Y).predict_proba(X_TEST)
    monkeypatch.setattr(pretrained, "FEATURES_IN_MEMORY", 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mapped = []
    memmap = np.memmap
    monkeypatch.setattr(np, "memmap", lambda *a, **k: mapped.append(k) or memmap(*a, **k))
    np.testing.assert_array_equal(clone(net).fit(X, Y).predict_proba(X_TEST), expected)
    assert [each["shape"] for each in mapped] == [(120, 32)]
    assert not list(tmp_path.iterdir())


def test_features_that_do_not_fit_on_the_disk_are_refused(net, monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained, "FEATURES_IN_MEMORY", 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    free = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", {str(tmp_path): free}.__getitem__)
    with pytest.raises(OSError, match=r"of 120 images take .* MB left; set .* TMPDIR"):
        net.fit(X, Y)


def test_layer_decay_scales_the_learning_rate(net, backbone, monkeypatch):
    shares = {}
    start = CompiledNetwork.start
    monkeypatch.setattr(
        CompiledNetwork,
        "start",
        lambda self, seed: (
            shares.update({v.path: share for v, share in rate_shares(self.model)}),
            start(self, seed),
        ),
    )
    fitted = net.set_params(layer_decay=0.5).fit(X, Y)
    kernels = {path: share for path, share in shares.items() if path.startswith("conv")}
    assert kernels == {"conv_1/kernel": 0.125, "conv_2/kernel": 0.25, "conv_3/kernel": 0.5}
    # An SGD step is proportional to the rate, so its size shows the factor.
    before = weights_of(backbone)
    parameters = {"optimizer": "sgd", "learning_rate_schedule": "constant", "dropout": 0.0}

    def moved(decay):
        after = weights_of(clone(fitted).set_params(layer_decay=decay, **parameters).fit(X, Y))
        return [np.abs(after[path] - before[path]).max() for path in kernels]

    even, falling = moved(1.0), moved(1e-3)
    assert falling[2] < 0.01 * even[2]
    assert falling[0] < 1e-5 * even[0] + 1e-7


@pytest.mark.parametrize(
    "optimizer",
    ["adam", "muon", *slow(keras.optimizers.SGD(0.1, momentum=0.9))],
)
def test_layer_decay_with_all_kinds_of_optimizers(net, backbone, optimizer):
    before = weights_of(backbone)
    fitted = net.set_params(optimizer=optimizer, layer_decay=1e-4).fit(X, Y)
    after = weights_of(fitted)
    moved = [np.abs(after[f"conv_{n}/kernel"] - before[f"conv_{n}/kernel"]).max() for n in (1, 3)]
    assert moved[0] < 1e-6 < moved[1] * 100


def test_same_seed_gives_the_same_network(net):
    first = clone(net).fit(X, Y)._state.weights
    assert same(clone(net).fit(X, Y)._state.weights, first)
    assert not same(
        clone(net).set_params(random_state=1).fit(X, Y)._state.weights[-2:], first[-2:]
    )


@pytest.mark.parametrize("augmentation", [None, ImageAugmenter(width_shift_range=0.1)])
def test_the_head_starts_from_the_frequencies_of_the_classes(net, augmentation):
    net.set_params(frozen_epochs=1, trainable=0, augmentation=augmentation)
    frequencies = (np.bincount(Y)[5:] + 1) / (len(Y) + 5)
    for _ in range(2):  # the second time with the network of the first
        untrained = clone(net).set_params(learning_rate=1e-9).fit(X, Y)
        predicted = untrained.predict_proba(X_TEST)
        np.testing.assert_allclose(predicted, np.tile(frequencies, (len(X_TEST), 1)), rtol=1e-4)
        trained = clone(net).set_params(learning_rate=0.1).fit(X, Y).predict_proba(X_TEST)
        assert np.abs(trained - predicted).max() > 0.05


def test_nothing_to_train_is_refused(net):
    with pytest.raises(ValueError, match="frozen_epochs=0 and trainable=0 leave nothing"):
        net.set_params(frozen_epochs=0, trainable=0).fit(X, Y)
    with pytest.raises(ValueError, match="trainable=7 is more than the 4 blocks"):
        net.set_params(frozen_epochs=1, trainable=7).fit(X, Y)
    with pytest.raises(ValueError, match="'layer_decay' parameter"):
        net.set_params(trainable=1, layer_decay=0).fit(X, Y)


def test_one_phase_alone(net):
    fitted = net.set_params(frozen_epochs=0).fit(X, Y)
    assert fitted.n_iter_ == 3


# Early stopping, progress, resuming, continuing


def test_early_stopping_over_both_phases(net):
    parameters = {"early_stopping": True, "n_iter_no_change": 2, "validation_fraction": 0.3}
    fitted = net.set_params(frozen_epochs=40, epochs=2, **parameters).fit(X, Y)
    accuracy = fitted.history_["val_accuracy"]
    assert len(accuracy) == fitted.n_iter_ < 42
    assert fitted.best_iteration_ == 1 + int(np.argmax(accuracy))
    # If the second phase does not improve, the weights of the first are restored.
    harmed = clone(fitted).set_params(learning_rate=0.01, frozen_epochs=10)
    harmed.set_params(layer_decay=1.0, epochs=3, n_iter_no_change=3, random_state=1)
    frozen = clone(harmed).set_params(trainable=0).fit(X, Y)
    fine = pretrained.FINE_SHARE
    try:
        pretrained.FINE_SHARE = 1e4
        harmed.fit(X, Y)
    finally:
        pretrained.FINE_SHARE = fine
    assert harmed.best_iteration_ == frozen.best_iteration_
    np.testing.assert_array_equal(harmed.predict_proba(X), frozen.predict_proba(X))


def test_scorers_see_the_whole_network(net):
    given = {"X_val": X_TEST, "y_val": Y_TEST}
    fitted = net.set_params(early_stopping=True, scoring="neg_log_loss").fit(X, Y, **given)
    scores = fitted.history_["val_neg_log_loss"]
    assert len(scores) == 9
    np.testing.assert_allclose(np.negative(scores), fitted.history_["val_loss"], rtol=1e-3)


def test_diverging_loss_stops_both_phases(net):
    with pytest.warns(ConvergenceWarning, match="The loss became"):
        fitted = net.set_params(
            optimizer="sgd", learning_rate=1e30, learning_rate_schedule="constant"
        ).fit(X * 1e3, Y)
    assert fitted.n_iter_ < 9


def test_one_progress_bar(net, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    net.set_params(verbose=1).fit(X, Y)
    last = shown.getvalue().split("\r")[-1]
    assert "100%" in last
    assert "36/36" in last  # nine epochs of four batches
    assert "epoch 9/9" in last
    assert shown.getvalue().count("\n") == 1


class Stop(keras.callbacks.Callback):
    """Interrupt the training run after an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise SystemExit


@pytest.mark.parametrize(
    ("epoch", "early_stopping"),
    [
        (3, False),
        (6, True),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in [(0, False), (0, True), (3, True), (6, False), (8, False), (8, True)]
        ),
    ],
)
def test_interrupted_training_resumes_in_its_phase(net, tmp_path, epoch, early_stopping):
    net.set_params(early_stopping=early_stopping)
    expected = clone(net).fit(X, Y)
    interrupted = clone(net).set_params(checkpoint_dir=tmp_path)
    with pytest.raises(SystemExit):
        clone(interrupted).set_params(callbacks=[Stop(epoch)]).fit(X, Y)
    resumed = interrupted.fit(X, Y)
    assert same(resumed._state.weights, expected._state.weights)
    assert resumed.history_["loss"] == expected.history_["loss"]
    assert resumed.best_iteration_ == expected.best_iteration_
    # A finished training run is not repeated.
    again = clone(interrupted).fit(X, Y)
    assert same(again._state.weights, expected._state.weights)
    with pytest.raises(ValueError, match="different trainable"):
        clone(interrupted).set_params(trainable=1).fit(X, Y)


def test_partial_fit_trains_the_head_first(net, backbone):
    net.set_params(frozen_epochs=2)
    before = weights_of(backbone)["conv_3/kernel"]
    for _ in range(2):
        net.partial_fit(X, Y)
        assert np.array_equal(weights_of(net)["conv_3/kernel"], before)
    net.partial_fit(X, Y)
    assert not np.array_equal(weights_of(net)["conv_3/kernel"], before)
    assert net.n_iter_ == 3
    # The head continues with its optimizer state.
    head = clone(net).set_params(frozen_epochs=10)
    losses = [head.partial_fit(X, Y).history_["loss"][-1] for _ in range(10)]
    assert losses[-1] < losses[0]
    assert head.n_iter_ == 10


def test_a_warm_start_trains_the_network_further(net, backbone):
    net.set_params(warm_start=True).fit(X, Y)
    loss = net.history_["loss"][-1]
    net.fit(X, Y)
    assert net.n_iter_ == 12
    assert net.history_["loss"][-1] < loss
    # After training only the head, `trainable` may increase.
    frozen = clone(net).set_params(trainable=0).fit(X, Y)
    frozen.set_params(trainable=2).fit(X, Y)
    assert frozen.n_iter_ == 9
    assert not np.array_equal(
        weights_of(frozen)["conv_3/kernel"], weights_of(backbone)["conv_3/kernel"]
    )
    with pytest.raises(ValueError, match="dropout has changed since the last fit"):
        frozen.set_params(dropout=0.0).fit(X, Y)


# Targets


def test_regression(backbone):
    net = PretrainedRegressor(backbone, frozen_epochs=20, epochs=10, random_state=0).fit(X, INK)
    ink = X_TEST.sum(axis=(1, 2))
    frozen = clone(net).set_params(trainable=0).fit(X, INK)
    assert net.score(X_TEST, ink) > max(0.4, frozen.score(X_TEST, ink) + 0.2)
    two = clone(net).set_params(frozen_epochs=2, epochs=1).fit(X, np.column_stack([INK, -INK]))
    assert two.predict(X_TEST).shape == (180, 2)


def test_multilabel(net):
    y = np.column_stack([Y % 2 == 0, Y > 6]).astype(int)
    fitted = net.set_params(frozen_epochs=20, epochs=10).fit(X, y)
    truth = np.column_stack([Y_TEST % 2 == 0, Y_TEST > 6])
    assert (fitted.predict(X_TEST) == truth).mean() > 0.7


def test_sample_and_class_weights(net):
    weight = np.where(Y == 5, 0, 1)
    fitted = clone(net).fit(X, Y, sample_weight=weight)
    assert 5 not in fitted.predict(X)
    balanced = clone(net).set_params(class_weight="balanced").fit(X, Y)
    assert not same(balanced._state.weights, clone(net).fit(X, Y)._state.weights)


# Networks of the table


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Files of red and green images of many sizes, some of them grey."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for row in range(24):
        image = rng.integers(0, 60, (*rng.integers(40, 80, 2), 3), dtype=np.uint8)
        image[..., row % 2] += 150
        paths.append(str(folder / f"{row}.png"))
        Image.fromarray(image).save(paths[-1])
    return np.array(paths), np.arange(24) % 2


@pytest.fixture(scope="module")
def fitted(mobile, photos):
    net = PretrainedClassifier(
        "MobileNet",
        weights=mobile,
        image_size=(40, 32),
        frozen_epochs=30,
        epochs=1,
        trainable=1,
        batch_size=12,
        learning_rate=0.001,
        random_state=0,
    )
    return net.fit(*photos)


def test_backbone_of_the_table(fitted, photos, mobile, tmp_path):
    paths, y = photos
    assert fitted.score(paths, y) == 1
    assert fitted.input_shape_ == (40, 32, 3)
    features = ImageFeatures("MobileNet", weights=mobile, image_size=(40, 32)).fit(paths)
    frozen = clone(fitted).set_params(trainable=0).fit(paths, y)
    np.testing.assert_allclose(frozen.transform(paths), features.transform(paths), atol=1e-5)
    assert frozen.weights_sha256_ == features.weights_sha256_
    # Saved and pickled estimators do not need the file of the weights.
    fitted.save(tmp_path / "net.skcnn")
    other = clone(fitted).set_params(weights="gone.h5")
    expected = fitted.predict_proba(paths)
    for again in (load(tmp_path / "net.skcnn"), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(again.predict_proba(paths), expected)
        assert again.set_params(weights="gone.h5").partial_fit(paths, y).n_iter_ == 32
    with pytest.raises(FileNotFoundError, match=r"weights='gone.h5' does not exist"):
        other.fit(paths, y)


def test_displays_with_a_backbone_of_the_table(fitted, photos):
    paths, y = photos
    display = SaliencyDisplay.from_estimator(fitted, paths[:3])
    assert display.maps.shape == (3, 40, 32)
    assert display.maps.max() == pytest.approx(1)
    np.testing.assert_array_equal(display.images, fitted._check_inputs(paths[:3])[:])
    assert FilterDisplay.from_estimator(fitted).filters.shape == (32, 3, 3, 3)
    assert len(MisclassifiedImagesDisplay.from_estimator(fitted, paths, 1 - y).images) == 12
    TrainingHistoryDisplay.from_estimator(fitted)


@pytest.mark.parametrize(
    "format",
    ["onnx", *slow("litert", "tf_saved_model")],
)
def test_exports_say_how_to_read_images(fitted, photos, tmp_path, format):
    path = tmp_path / "network"
    fitted.export(path, format=format)
    metadata = metadata_of(path, format)
    assert metadata["labels"] == [0, 1]
    assert metadata["image_size"] == [40, 32]
    assert metadata["resize"] == "crop"
    assert metadata["background"] == [255, 255, 255]
    assert metadata["pixel_limits"] == [0.0, 255.0]


@pytest.mark.parametrize(
    ("format", "resize"),
    [
        ("onnx", "stretch"),
        ("litert", "crop"),
        ("tf_saved_model", "pad"),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in [
                ("onnx", "crop"),
                ("onnx", "pad"),
                ("litert", "stretch"),
                ("litert", "pad"),
                ("tf_saved_model", "stretch"),
                ("tf_saved_model", "crop"),
            ]
        ),
    ],
)
def test_exported_networks_resize_as_in_fit(backbone, tmp_path, format, resize):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 17, (20, 30, 24)).astype(np.float32)
    net = ImageClassifier("CONV-4 -> RELU -> FCS", epochs=1, random_state=0)
    net.set_params(image_size=(9, 12), resize=resize).fit(X, np.arange(20) % 2)
    with pytest.raises(ValueError, match="with_resize=True needs the size"):
        backbone.export(tmp_path / "none", with_resize=True)
    path = tmp_path / "network"
    net.export(path, format=format, with_resize=True)
    for images in (X, rng.integers(0, 17, (2, 7, 40)).astype(np.float32)):
        found = run_exported(path, format, images[..., None])
        np.testing.assert_allclose(found, net.predict_proba(list(images)), atol=1e-4)


def run_exported(path, format, images):
    if format == "onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(path)
        return session.run(None, {session.get_inputs()[0].name: images})[0]
    if format == "tf_saved_model":
        return keras.layers.TFSMLayer(path, call_endpoint="serve")(images).numpy()
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(str(path))
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(made["index"])


def metadata_of(path, format):
    if format == "onnx":
        onnx = pytest.importorskip("onnx")
        (found,) = onnx.load(path).metadata_props
        return json.loads(found.value)
    if format == "litert":
        import zipfile

        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("skcnn.json"))
    return json.loads(Path(path, "assets.extra", "skcnn.json").read_text())


def test_grey_images_and_random_weights(photos):
    grey = np.stack(
        [np.asarray(Image.open(path).convert("L").resize((32, 32))) for path in photos[0]]
    )
    parameters = {"weights": None, "image_size": 32, "frozen_epochs": 1, "trainable": 0}
    net = PretrainedClassifier("MobileNet", random_state=0, **parameters)
    first = net.fit(grey, photos[1]).predict_proba(grey)
    assert net.input_shape_ == (32, 32, 1)
    np.testing.assert_array_equal(clone(net).fit(grey, photos[1]).predict_proba(grey), first)
    other = clone(net).set_params(random_state=1).fit(grey, photos[1])
    assert not same(other._state.weights[:-2], net._state.weights[:-2])


# Searches


def test_grid_search(net, backbone, mobile):
    grid = {
        "backbone": [
            FrozenEstimator(backbone),
            FrozenEstimator(
                ImageClassifier("FC-8 -> RELU -> FCS", epochs=1, random_state=0).fit(X, Y)
            ),
        ],
        "trainable": [0, 1],
    }
    search = GridSearchCV(net.set_params(epochs=1), grid, cv=2, error_score="raise").fit(X, Y)
    assert search.best_params_["backbone"].estimator is backbone
    assert cross_val_score(clone(net), X, Y, cv=2, error_score="raise").mean() > 0.3
    sizes = PretrainedClassifier(
        "MobileNet", weights=mobile, trainable=0, frozen_epochs=1, random_state=0
    )
    grid = [{"image_size": [32], "resize": ["pad"]}, {"image_size": [40], "resize": ["stretch"]}]
    GridSearchCV(sizes, grid, cv=2, error_score="raise").fit(X[:20], Y[:20] > 6)


def test_nested_backbones(net):
    deeper = PretrainedClassifier(net.fit(X, Y), frozen_epochs=20, epochs=1, random_state=0)
    deeper.fit(DIGITS[LOW][:100], LABELS[LOW][:100])
    assert deeper.score(DIGITS[LOW][100:300], LABELS[LOW][100:300]) > 0.5
    skcnn.clear_compiled()
