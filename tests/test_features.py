"""ImageFeatures: the table of backbones, and the sources of weights."""

import hashlib
import os
import pickle
import random
import shutil
import stat
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from marks import slow
from PIL import Image
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

import skcnn
from skcnn import ImageClassifier, ImageFeatures, LoadError, load, load_digit_images
from skcnn.image import weights as weights_module
from skcnn.image.backbones import BACKBONES, blocks_of, build_pretrained

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (5, 40, 33, 3), dtype=np.uint8)
NOISE = RNG.integers(0, 256, (32, 40, 33, 3), dtype=np.uint8)
DIGITS, Y = (data[:200] for data in load_digit_images(return_X_y=True))

MODULES = {
    "MobileNet": "mobilenet",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3Small": "mobilenet_v3",
    "MobileNetV3Large": "mobilenet_v3",
    "EfficientNetB0": "efficientnet",
    "EfficientNetV2B0": "efficientnet_v2",
    "ResNet50V2": "resnet_v2",
    "DenseNet121": "densenet",
    "NASNetMobile": "nasnet",
    "ConvNeXtTiny": "convnext",
}

# Number of blocks by the paper or by Keras's layer names, including the layers before the first.
N_BLOCKS = {
    "MobileNet": 14,
    "MobileNetV2": 19,
    "MobileNetV3Small": 13,
    "MobileNetV3Large": 17,
    "EfficientNetB0": 18,
    "EfficientNetV2B0": 23,
    "ResNet50V2": 18,
    "DenseNet121": 63,
    "NASNetMobile": 17,
    "ConvNeXtTiny": 22,
}


def randomize(model, images):
    """Set the statistics of normalization layers to those of images, prepared for the network.

    With those that Keras starts from, the values of a deep network with random weights vanish, and
    features do not tell images apart.
    """
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) > 1:
            draw = keras.initializers.GlorotUniform(seed=int(rng.integers(2**31)))
            weight.assign(draw(weight.shape))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            _, _, count = layer.get_weights()
            layer.set_weights([rng.uniform(0.4, 0.5, 3), rng.uniform(0.04, 0.06, 3), count])
            layer.finalize_state()
    norms = [each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        _, _, *statistics = layer.get_weights()
        shape = statistics[0].shape
        layer.set_weights([rng.uniform(0.8, 1.2, shape), rng.normal(0, 0.1, shape), *statistics])
        layer.momentum = 0.0
    model(images, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    return model


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A file with random weights of the smallest network."""
    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    model = keras.applications.MobileNet(include_top=False, weights=None)
    randomize(model, NOISE / 127.5 - 1).save_weights(path)
    return str(path)


@pytest.fixture(scope="module")
def small_model(small, tmp_path_factory):
    """The whole network of these weights, as Keras 2 wrote it."""
    path = tmp_path_factory.mktemp("weights") / "model.h5"
    model = keras.applications.MobileNet(include_top=False, weights=None)
    model.load_weights(small)
    model.save(path)
    return path


@pytest.fixture(scope="module")
def net():
    architecture = "CONV-8 -> RELU -> POOL -> CONV-8 -> RELU -> GAP -> DROPOUT-0.5 -> FCS"
    return ImageClassifier(architecture, epochs=1, random_state=0).fit(DIGITS, Y)


# The table


EACH_BACKBONE = ["MobileNet", *slow(*sorted(BACKBONES.keys() - {"MobileNet"}))]


@pytest.mark.parametrize("name", EACH_BACKBONE)
def test_features_match_keras_applications(name, tmp_path):
    before = random.getstate()
    plain = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=X.shape[1:], pooling="avg"
    )
    path = tmp_path / "plain.weights.h5"
    prepare = getattr(keras.applications, MODULES[name]).preprocess_input
    randomize(plain, prepare(NOISE.astype(np.float32))).save_weights(path)
    expected = plain.predict(prepare(X.astype(np.float32)), verbose=0)
    random.setstate(before)
    policy = keras.config.dtype_policy()
    fitted = ImageFeatures(name, weights=path, image_size=X.shape[1:3]).fit(X)
    features = fitted.transform(X)
    assert features.dtype == np.float32
    assert features.std(axis=0).mean() > 0.01  # they tell images apart
    # Rounding errors grow from layer to layer: those of another batch size alone reach 1e-5.
    np.testing.assert_allclose(features, expected, atol=3e-5 * np.abs(expected).max(), rtol=0)
    assert fitted.weights_sha256_ == hashlib.sha256(path.read_bytes()).hexdigest()
    # Nothing global has changed.
    assert random.getstate() == before
    assert keras.config.dtype_policy() == policy
    numbers = blocks_of(plain.layers, BACKBONES[name].blocks)
    assert max(numbers) == numbers[-1] == N_BLOCKS[name] - 1
    # Loading does not need the file of the weights.
    fitted.save(tmp_path / "features.skcnn")
    path.unlink()
    np.testing.assert_array_equal(load(tmp_path / "features.skcnn").transform(X), features)


# Number of convolutions with a normalization after them.
N_FUSED = {"MobileNet": 27, "MobileNetV2": 52, "ResNet50V2": 32}


@pytest.mark.parametrize("name", ["MobileNet", *slow("MobileNetV2", "ResNet50V2")])
def test_normalizations_are_computed_with_convolutions(name):
    arguments = {"backbone": name, "input_shape": (40, 33, 3), "n_outputs": 2}
    fused, plain = (
        build_pretrained(**arguments, activation="linear", trainable="all", fused=fused)
        for fused in (True, False)
    )
    assert sum("call" in vars(layer) for layer in fused.layers) == 2 * N_FUSED[name]
    assert not any("call" in vars(layer) for layer in plain.layers)
    for one, other in zip(fused.weights, plain.weights, strict=True):
        assert one.path.split("/")[-2:] == other.path.split("/")[-2:]


def test_model_has_the_values_of_plain_keras_between_its_layers(small):
    fitted = ImageFeatures("MobileNet", weights=small, image_size=(40, 33)).fit(X)
    plain = keras.applications.MobileNet(include_top=False, weights=None, input_shape=X.shape[1:])
    plain.load_weights(small)
    prepared = keras.applications.mobilenet.preprocess_input(X.astype(np.float32))
    found = []
    for model, images in ((fitted._network(), X), (plain, prepared)):
        output = model.get_layer("conv_dw_1").output
        found.append(keras.Model(model.input, output).predict(images, verbose=0))
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("format", ["onnx", *slow("tf_saved_model", "litert")])
def test_exported_networks_compute_the_features(small, tmp_path, format):
    fitted = ImageFeatures("MobileNet", weights=small, image_size=32).fit(X)
    seen = fitted._check_inputs(X)[:].astype(np.float32)
    path = tmp_path / "network"
    fitted.export(path, format=format)
    if format == "onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(path)
        (features,) = session.run(None, {session.get_inputs()[0].name: seen})
    elif format == "tf_saved_model":
        features = keras.layers.TFSMLayer(path, call_endpoint="serve")(seen).numpy()
    else:
        litert = pytest.importorskip("ai_edge_litert.interpreter")
        runner = litert.Interpreter(str(path)).get_signature_runner()
        name = next(iter(runner.get_input_details()))
        features = np.concatenate([*runner(**{name: seen[:1]}).values()])
        seen = seen[:1]
    np.testing.assert_allclose(features, fitted.transform(X)[: len(seen)], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("scale", "dtype"), [(1, np.float64), (1 / 255, np.float32), (257, np.uint16), (3, np.float32)]
)
def test_the_range_of_the_pixels_does_not_matter(small, scale, dtype):
    features = ImageFeatures("MobileNet", weights=small, image_size=X.shape[1:3])
    white = X.copy()
    white[0, 0, 0] = 0, 255, 255
    expected = features.fit_transform(white)
    scaled = (white * np.float64(scale)).astype(dtype)
    found = clone(features).fit(scaled)
    assert found.pixel_limits_ == pytest.approx((0, 255 * scale), rel=1e-6)
    np.testing.assert_allclose(found.transform(scaled), expected, rtol=1e-4, atol=1e-4)


def test_grey_images_are_shown_in_three_channels(small):
    grey = X[..., 0]
    features = ImageFeatures("MobileNet", weights=small, image_size=32)
    fitted = clone(features).fit(grey)
    assert fitted.input_shape_ == (32, 32, 1)
    colour = clone(features).fit_transform(np.repeat(grey[..., None], 3, axis=-1))
    np.testing.assert_allclose(fitted.transform(grey), colour, rtol=1e-5, atol=1e-6)
    # A grey image after a fit on colour images, and transparent pixels.
    fitted = clone(features).fit(X)
    np.testing.assert_allclose(fitted.transform(grey), colour, rtol=1e-5, atol=1e-6)
    clear = np.concatenate([X, np.zeros_like(X[..., :1])], axis=-1)
    white = fitted.transform(np.full_like(X, 255))
    np.testing.assert_array_equal(fitted.transform(clear), white)
    with pytest.raises(ValueError, match="5 channels of uint8; pretrained networks take one"):
        fitted.transform(np.concatenate([X, X[..., :2]], axis=-1))


def test_accepts_all_kinds_of_images(small, tmp_path):
    images = [RNG.integers(0, 256, (*RNG.integers(20, 60, 2), 3), dtype=np.uint8) for _ in X]
    paths = [tmp_path / f"{row}.png" for row in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    fitted = ImageFeatures("MobileNet", weights=small, image_size=32).fit(paths)
    expected = fitted.transform(paths)
    np.testing.assert_array_equal(fitted.transform(images), expected)
    np.testing.assert_array_equal(fitted.transform([*map(Image.open, paths)]), expected)
    assert not np.array_equal(fitted.set_params(resize="pad").fit_transform(paths), expected)


def test_is_a_transformer(small):
    features = ImageFeatures("MobileNet", weights=small, image_size=32).set_output(
        transform="pandas"
    )
    frame = features.fit_transform(X)
    assert list(frame.columns) == list(features.get_feature_names_out())
    assert frame.shape == (5, 1024)
    again = pickle.loads(pickle.dumps(features))
    np.testing.assert_array_equal(again.transform(X), frame)


def test_random_weights_are_deterministic():
    features = ImageFeatures("MobileNet", weights=None, image_size=32)
    fitted = clone(features).fit(X)
    np.testing.assert_array_equal(clone(features).fit_transform(X), fitted.transform(X))
    assert fitted.weights_sha256_ is None


def test_default_image_size(small):
    features = ImageFeatures("MobileNet", weights=small).fit(X)
    assert features.input_shape_ == (224, 224, 3)
    assert features.image_size_ == (224, 224)


def test_pipeline_memory_computes_features_once_per_fold(small, tmp_path, monkeypatch):
    read = []
    transform = ImageFeatures.transform
    monkeypatch.setattr(
        ImageFeatures, "transform", lambda self, X: read.append(len(X)) or transform(self, X)
    )
    images, y = np.repeat(X, 4, axis=0), np.arange(20) % 2
    features = ImageFeatures("MobileNet", weights=small, image_size=32)
    pipeline = make_pipeline(features, LogisticRegression(), memory=str(tmp_path))
    grid = {"logisticregression__C": [0.1, 1.0, 10.0]}
    GridSearchCV(pipeline, grid, cv=2, refit=False, error_score="raise").fit(images, y)
    # Training and test rows of two folds, the latter for every candidate.
    assert sum(read) == 2 * 10 + 3 * 2 * 10
    computed = features.fit_transform(images)
    read.clear()
    GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2).fit(computed, y)
    assert not read


def test_pipeline_memory_detects_a_changed_weights_file(small, tmp_path):
    path = shutil.copy(small, tmp_path / "own.weights.h5")
    features = ImageFeatures("MobileNet", weights=path, image_size=32)
    pipeline = make_pipeline(features, "passthrough", memory=str(tmp_path / "memory"))
    first = pipeline.fit_transform(X)
    with h5py.File(path, "a") as file:
        file["layers/conv2d/vars/0"][:] *= 2
    assert not np.array_equal(clone(pipeline).fit_transform(X), first)


# skcnn networks as backbones


def test_a_fitted_network_as_backbone(net, tmp_path):
    features = ImageFeatures(net).fit(DIGITS)
    np.testing.assert_allclose(features.transform(DIGITS), net.transform(DIGITS), atol=1e-6)
    expected = features.transform(DIGITS)
    for copy in (clone(features), ImageFeatures(FrozenEstimator(net))):
        np.testing.assert_array_equal(copy.fit_transform(DIGITS), expected)
    features.save(tmp_path / "features.skcnn")
    again = load(tmp_path / "features.skcnn")
    np.testing.assert_array_equal(again.transform(DIGITS), expected)
    with pytest.raises(ValueError, match="backbone is a ImageClassifier that is not fitted"):
        again.fit(DIGITS)
    deeper = ImageFeatures(skcnn.PretrainedClassifier(net, trainable=0).fit(DIGITS, Y))
    np.testing.assert_allclose(deeper.fit_transform(DIGITS), expected, atol=1e-6)


def test_cross_validation_keeps_the_backbone(net):
    pipeline = make_pipeline(ImageFeatures(net), LogisticRegression(max_iter=1000))
    assert cross_val_score(pipeline, DIGITS, Y, cv=2).mean() > 0.3
    grid = {"imagefeatures__backbone": [FrozenEstimator(net)]}
    GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(DIGITS, Y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"backbone": "MobileNetV5"}, "backbone must be a fitted image estimator or one of Mob"),
        ({"backbone": ImageClassifier()}, "is not fitted. Fit it first; in a parameter grid"),
        ({"backbone": LogisticRegression()}, "'backbone' parameter"),
        ({"image_size": 31}, r"image_size=\(31, 31\) is too small: MobileNetV2 needs images of"),
        ({"image_size": (0, 40)}, "image_size must be .* positive"),
        ({"weights": 3}, "'weights' parameter"),
        ({"resize": "zoom"}, "'resize' parameter"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        ImageFeatures(**parameters).fit(X)


def test_image_size_and_weights_raise_with_a_fitted_backbone(net):
    with pytest.raises(ValueError, match="image_size=9 is not that of the backbone"):
        ImageFeatures(net, image_size=9).fit(DIGITS)
    with pytest.raises(ValueError, match=r"weights='a.h5' needs the name of a network"):
        ImageFeatures(net, weights="a.h5").fit(DIGITS)


# Files of weights


def features_of(path, name="MobileNet"):
    return ImageFeatures(name, weights=path, image_size=32).fit(X)


def test_weights_are_read_once_per_process(small, monkeypatch):
    skcnn.clear_compiled()
    features_of(small)
    monkeypatch.setattr(keras.Model, "load_weights", None)
    features_of(small)
    os.utime(small)  # another file, for all we know
    with pytest.raises(ValueError, match="not those of MobileNet"):
        features_of(small)


def test_files_of_keras_2_and_with_another_ending(small, small_model, tmp_path):
    expected = features_of(small).transform(X)
    shutil.copy(small, tmp_path / "weights.hdf5")
    for path in (small_model, tmp_path / "weights.hdf5"):
        np.testing.assert_array_equal(features_of(path).transform(X), expected)


def damaged(folder, small):
    path = folder / "half.weights.h5"
    path.write_bytes(Path(small).read_bytes()[:2000])
    return path


def with_top(folder, small):
    path = folder / "top.weights.h5"
    keras.applications.MobileNet(weights=None).save_weights(path)
    return path


def missing(folder, small):
    return folder / "none.weights.h5"


@pytest.mark.parametrize(
    ("make", "name", "error", "message"),
    [
        (missing, "MobileNet", FileNotFoundError, "none.weights.h5' does not exist; it must be"),
        (damaged, "MobileNet", ValueError, "is not an HDF5 file with weights, or is damaged"),
        (with_top, "MobileNet", ValueError, "has more arrays than MobileNet without its top"),
        (lambda folder, small: small, "MobileNetV3Small", ValueError, "not those of MobileNetV3S"),
        (lambda folder, small: folder, "MobileNet", FileNotFoundError, "does not exist"),
    ],
)
def test_invalid_weights_file_error_is_one_line(
    make, name, error, message, small, tmp_path, recwarn, capfd
):
    path = make(tmp_path, small)
    capfd.readouterr()
    recwarn.clear()
    with pytest.raises(error, match=message) as raised:
        features_of(path, name)
    assert "\n" not in str(raised.value)
    assert not list(recwarn)
    assert capfd.readouterr().out == ""


# Keras's downloads and its cache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of Keras, without network access."""
    home = tmp_path / "keras"
    (home / "models").mkdir(parents=True)
    monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(home))

    def no_network(origin, *_):
        raise Exception(f"URL fetch failure on {origin}: None -- [Errno -3] no network")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", no_network)
    skcnn.clear_compiled()
    return home / "models"


FILE = "mobilenet_1_0_{}_tf_no_top.h5"


@pytest.fixture(scope="module")
def large_features(small):
    """The features of images of a size for which Keras has weights of ImageNet."""
    return ImageFeatures("MobileNet", weights=small, image_size=128).fit_transform(X)


def test_imagenet_weights_offline_raise(cache):
    with pytest.raises(OSError, match="cannot be downloaded") as raised:
        features_of("imagenet", "EfficientNetV2B0")
    message = str(raised.value)
    assert "\n" not in message
    assert "efficientnetv2-b0_notop.h5" in message
    assert str(cache) in message


def test_imagenet_weights_from_the_cache(large_features, cache, small_model):
    shutil.copy(small_model, cache / FILE.format(128))
    features = ImageFeatures("MobileNet", image_size=128).fit(X)
    np.testing.assert_array_equal(features.transform(X), large_features)
    content = (cache / FILE.format(128)).read_bytes()
    assert features.weights_sha256_ == hashlib.sha256(content).hexdigest()


def test_imagenet_weights_are_downloaded(large_features, cache, small_model, monkeypatch):
    def download(origin, target, *_):
        shutil.copy(small_model, target)

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", download)
    features = ImageFeatures("MobileNet", image_size=128).fit(X)
    np.testing.assert_array_equal(features.transform(X), large_features)


def test_damaged_cache_raises(cache):
    path = cache / FILE.format(128)
    path.write_bytes(b"broken off")
    with pytest.raises(OSError, match="is damaged") as raised:
        ImageFeatures("MobileNet", image_size=128).fit(X)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_imagenet_weights_from_a_read_only_cache(large_features, cache, small_model, monkeypatch):
    shutil.copy(small_model, cache / FILE.format(128))
    allowed = os.access
    monkeypatch.setattr(
        os, "access", lambda path, *mode: str(path) != str(cache.parent) and allowed(path, *mode)
    )
    features = ImageFeatures("MobileNet", image_size=128).fit(X)
    np.testing.assert_array_equal(features.transform(X), large_features)


def test_image_size_without_imagenet_weights_warns(cache, small_model):
    shutil.copy(small_model, cache / FILE.format(224))
    with pytest.warns(UserWarning, match=r"square images of 128, .*\(97, 97\) those of 224"):
        ImageFeatures("MobileNet", image_size=97).fit(X)


@pytest.mark.parametrize("name", EACH_BACKBONE)
def test_backbone_file_names_match_keras(name, cache, monkeypatch):
    asked = []

    def get_file(fname, *_, **__):
        asked.append(fname)
        raise OSError("stop here")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    with pytest.raises(OSError, match="stop here"):
        ImageFeatures(name).fit(X)
    assert asked == [BACKBONES[name].file.format(size=224)]


def test_efficientnet_imagenet_normalization(tmp_path, monkeypatch):
    path = tmp_path / "b0.h5"
    # The values of images after the additional division.
    images = 115 + (NOISE - 115.0) / np.sqrt(0.225)
    model = randomize(keras.applications.EfficientNetB0(include_top=False, weights=None), images)
    model.save(path)
    plain = ImageFeatures("EfficientNetB0", weights=path, image_size=32)
    expected = clone(plain).fit_transform(X)
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(weights_module, "EFFICIENTNET_IMAGENET", digest)
    skcnn.clear_compiled()
    fitted = clone(plain).fit(X)
    assert not np.allclose(fitted.transform(X), expected, atol=1e-3)
    # The network that Keras builds for ImageNet weights.
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(path))
    keras_own = keras.applications.EfficientNetB0(
        include_top=False, weights="imagenet", input_shape=(32, 32, 3), pooling="avg"
    )
    seen = fitted._check_inputs(X)[:].astype(np.float32)
    found = keras_own(seen).numpy()
    np.testing.assert_allclose(fitted.transform(X), found, rtol=0, atol=3e-5 * found.max())


# Damaged files of skcnn, and real weights


def nested(arguments):
    backbone = arguments["backbone"]
    for _ in range(20):
        backbone = (("backbone", backbone),)
    return backbone


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (nested, "too many nested networks"),
        (lambda _: "MobileNetV5", "backbone must be a fitted image estimator or one of"),
        (lambda _: (("architecture", "[CONV-8]*400 -> FCS"),), "more layers than weights"),
    ],
)
def test_files_with_invalid_networks_raise(net, tmp_path, change, message):
    features = ImageFeatures(net).fit(DIGITS)
    arguments = dict(features._plan.arguments)
    features._plan = features._plan.changed(backbone=change(arguments))
    features.save(tmp_path / "bad.skcnn")
    with pytest.raises(LoadError, match=message):
        load(tmp_path / "bad.skcnn")


REAL = os.environ.get("SKCNN_TEST_WEIGHTS", "")
REAL_FILE = Path(REAL, "mobilenet_v2_imagenet_notop.weights.h5")


@pytest.mark.skipif(
    not (REAL and REAL_FILE.exists()),
    reason="SKCNN_TEST_WEIGHTS is not a folder with mobilenet_v2_imagenet_notop.weights.h5",
)
def test_imagenet_weights_separate_photographs():
    from sklearn.datasets import load_sample_images

    china, flower = load_sample_images().images
    # Crops of two photographs, half of each for training.
    pieces = [
        image[top : top + 140, left : left + 140]
        for image in (china, flower)
        for top in (0, 140, 280)
        for left in (0, 160, 320, 480)
    ]
    y = np.repeat(["china", "flower"], 12)
    features = ImageFeatures("MobileNetV2", weights=REAL_FILE, image_size=97)
    pipeline = make_pipeline(features, LogisticRegression())
    assert cross_val_score(pipeline, np.stack(pieces), y, cv=3).mean() > 0.9
    assert stat.S_ISREG(REAL_FILE.stat().st_mode)
