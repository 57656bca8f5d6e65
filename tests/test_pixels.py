"""Validation of the value range, the channel layout and the shape of images."""

import copy
import time
import warnings

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.ensemble import BaggingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.pipeline import make_pipeline

from skcnn import ImageClassifier, load, load_digit_images

X, Y = (data[:200] for data in load_digit_images(return_X_y=True))
BYTES = (X * 15.9).astype(np.uint8)
UNIT = BYTES / 255


def net(**parameters):
    defaults = {"architecture": "FC-16 -> RELU -> FCS", "epochs": 1, "random_state": 0}
    return ImageClassifier(**{**defaults, **parameters})


def files(tmp_path, images):
    for row, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{row:03}.png")
    return sorted(tmp_path.glob("*.png"))


OTHER_SCALES = {
    "bytes, 0 to 1": (BYTES, UNIT),
    "bytes, 0 to 1 in float32": (BYTES, UNIT.astype(np.float32)),
    "bytes, -1 to 1": (BYTES, 2 * UNIT - 1),
    "0 to 1, bytes": (UNIT, BYTES),
    "0 to 1, 0 to 255": (UNIT, BYTES.astype(float)),
    "0 to 1, -1 to 1": (UNIT, 2 * UNIT - 1),
    "-1 to 1, 0 to 255": (2 * UNIT - 1, BYTES),
    "floats of 0 to 255, 0 to 1": (BYTES.astype(float), UNIT),
    "0 to 16, 0 to 1": (X, X / 16),
    "16 bits, bytes": (BYTES.astype(np.uint16) * 257, BYTES),
    "bytes, 16 bits": (BYTES, BYTES.astype(np.uint16) * 257),
    "integers of 0 to 16, of 0 to 255": (X.astype(int), BYTES.astype(int)),
}
METHODS = ["predict", "predict_proba", "transform", "score", "partial_fit", "fit"]


def call(fitted, method, images):
    arguments = (images,) if method in ("predict", "predict_proba", "transform") else (images, Y)
    return getattr(fitted.set_params(warm_start=True), method)(*arguments)


@pytest.mark.parametrize(("trained", "given"), OTHER_SCALES.values(), ids=OTHER_SCALES)
@pytest.mark.parametrize("shape", ["images", "rows"])
def test_other_scale_warns(trained, given, shape):
    fitted = net().fit(trained, Y)
    given = given.reshape(len(given), -1) if shape == "rows" else given
    with pytest.warns(UserWarning, match=r"X has pixels from .* fitted on pixels from .* alike"):
        fitted.predict(given)
    with pytest.warns(UserWarning, match="X has pixels from"):
        fitted.predict(given[:1])


@pytest.mark.parametrize("method", METHODS)
def test_other_scale_warns_in_every_method(method, tmp_path):
    fitted = net().fit(BYTES, Y)
    fitted.save(tmp_path / "net.skcnn")
    for estimator in (fitted, load(tmp_path / "net.skcnn"), copy.deepcopy(fitted)):
        with pytest.warns(UserWarning, match=r"from 0 to 0\.9.*from 0 to 255 \(uint8\)"):
            call(estimator, method, UNIT)


def test_other_scale_of_validation_images_warns():
    with pytest.warns(UserWarning, match="X has pixels from"):
        net().fit(BYTES, Y, X_val=UNIT, y_val=Y)


def test_other_scale_between_files_and_arrays_warns(tmp_path):
    paths = files(tmp_path, BYTES)
    with pytest.warns(UserWarning, match=r"from 0 to 255 \(uint8\).*from 0 to 0\.9.*\(float64\)"):
        net().fit(UNIT, Y).predict(paths)
    with pytest.warns(UserWarning, match=r"from 0 to 0\.9.*\(float64\).*from 0 to 255 \(uint8\)"):
        net().fit(paths, Y).predict(UNIT)


SAME_SCALES = {
    "the same": (X, X),
    "bytes, dark": (BYTES, BYTES // 40),
    "bytes, as floats": (BYTES, BYTES.astype(float)),
    "floats, bytes": (BYTES.astype(float), BYTES),
    "one of many": (X, X[7:8]),
    "noisy": (UNIT, UNIT + np.random.default_rng(0).normal(0, 0.1, UNIT.shape)),
    "brighter": (UNIT, 1.8 * UNIT),
    "black": (UNIT, np.zeros((1, 8, 8))),
    "black bytes": (BYTES, np.zeros((1, 8, 8))),
    "dark integers": (X.astype(int), X.astype(int) // 16),
    "one value": (np.where(Y[:, None, None] > 4, 3.0, 3.0) + 0 * X, X),
}


@pytest.mark.parametrize(("trained", "given"), SAME_SCALES.values(), ids=SAME_SCALES)
def test_same_scale_does_not_warn(trained, given, tmp_path):
    fitted = net().fit(trained, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.predict(given)
        fitted.predict(given[:1])
        if trained is BYTES:
            fitted.predict(files(tmp_path, BYTES[:3]))


def test_pixel_range_is_that_of_the_training_rows():
    spoilt = np.concatenate([X, 1e6 + X])
    fitted = net().fit(spoilt, np.tile(Y, 2), sample_weight=np.repeat([1.0, 0.0], 200))
    assert fitted.pixel_range_ == (0, 16)
    fitted.partial_fit(X * 1.5, Y)
    assert fitted.pixel_range_ == (0, 24)
    assert net().fit(BYTES, Y).pixel_range_ == (0, 255)


def test_range_check_takes_one_percent_of_a_prediction():
    fitted = net().fit(UNIT, Y)
    image = UNIT[:1].astype(np.float32)

    def seconds(function, times=200):
        start = time.perf_counter()
        for _ in range(times):
            function(image[..., None])
        return time.perf_counter() - start

    looks = min(seconds(fitted._check_range) for _ in range(5))
    assert looks < 0.1 * min(seconds(fitted.predict) for _ in range(5))


# Layout


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("sides", [(32, 32), (24, 32), (8, 8), (20, 64)])
def test_channels_that_come_first_are_refused(channels, sides):
    images = np.random.default_rng(0).random((20, channels, *sides))
    with pytest.raises(ValueError, match=r"channels came first.*np\.moveaxis\(X, 1, -1\)"):
        net().fit(images, np.arange(20) % 2)
    with pytest.raises(ValueError, match=r"input_shape.*np\.moveaxis\(X, 1, -1\)"):
        net(input_shape=(*sides, channels)).fit(images, np.arange(20) % 2)


def test_channels_that_come_first_are_moved_or_declared():
    images, y = np.random.default_rng(0).random((20, 3, 8, 8)), np.arange(20) % 2
    fitted = net().fit(np.moveaxis(images, 1, -1), y)
    with pytest.raises(ValueError, match=r"expecting images.*np\.moveaxis\(X, 1, -1\)"):
        fitted.predict(images)
    assert net(input_shape=images.shape[1:]).fit(images, y).input_shape_ == images.shape[1:]


@pytest.mark.parametrize(
    "shape", [(1, 300, 8), (5, 32, 32), (3, 32, 3), (1, 1, 8), (4, 4, 64), (2, 2, 2), (1, 64, 12)]
)
def test_images_of_small_height_are_accepted(shape):
    images = np.random.default_rng(0).random((20, *shape))
    assert net().fit(images, np.arange(20) % 2).input_shape_ == shape


# Precision


@pytest.mark.parametrize(
    "images",
    [
        X + 1e9,
        X - 1e9,
        X.astype(np.int64) + 2**53,
        X.astype(np.int64) - 2**62,
        X.astype(np.uint64) + 2**63,
        X.astype(np.int32) + 2**30,
        np.stack([X, X + 1e9, X], axis=-1),
        np.stack([X * 1e12, X + 1e9, X], axis=-1),
        (X + 1e12).astype(np.longdouble),
        1 + X * 1e-9,
    ],
    ids=range(10),
)
@pytest.mark.parametrize("parameters", [{}, {"standardize": False}], ids=["", "not standardized"])
def test_values_not_distinct_in_float32_raise(images, parameters):
    with pytest.raises(ValueError, match=r"float32.* cannot tell apart. Subtract an offset"):
        net(**parameters).fit(images, Y)


@pytest.mark.parametrize(
    "images",
    [X + 1e5, X * 1e-20, X * 1e30, X.astype(np.int64) * 2**50, (X > 8) + 1e6, X * 0 + 1e9 + 0.1],
    ids=range(6),
)
def test_values_distinct_in_float32_are_accepted(images):
    standardize = bool(images.max() < 1e20)
    assert net(standardize=standardize, batch_norm=False).fit(images, Y).pixel_range_[1] > 0


# Rows


def test_guessed_image_shape_of_rows_warns():
    rows, y = load_digits(return_X_y=True)
    rows, y = rows[:200], y[:200]
    with pytest.warns(UserWarning, match=r"rows of 64 features.*\(8, 8, 1\). Set input_shape"):
        fitted = net().fit(rows, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.fit(rows, y).predict(rows)
        net().fit(X, y).fit(rows, y)
        net(input_shape=(8, 8)).fit(rows, y).partial_fit(rows, y)
    with pytest.warns(UserWarning, match=r"rows of 63 features.*\(1, 63, 1\)"):
        fitted.fit(rows[:, 1:], y)


def test_dropped_columns_warn():
    rows = X.reshape(200, 64)
    with pytest.warns(UserWarning, match=r"rows of 49 features.*\(7, 7, 1\)"):
        make_pipeline(SelectKBest(k=49), net()).fit(rows, Y)
    with pytest.warns(UserWarning, match=r"rows of 49 features"):
        BaggingClassifier(net(), n_estimators=1, max_features=49).fit(rows, Y)
    with pytest.raises(ValueError, match=r"input_shape=.* needs 64 features, but X has 49"):
        make_pipeline(SelectKBest(k=49), net(input_shape=(8, 8))).fit(rows, Y)


# Prediction uses learned attributes, not parameters


def test_set_params_for_reading_does_not_change_predictions(tmp_path):
    paths = files(tmp_path, BYTES[:60])
    fitted = net(image_size=(6, 5)).fit(paths, Y[:60])
    expected = fitted.predict_proba(paths)
    fitted.set_params(image_size=None, input_shape=(3, 3), background="black")
    np.testing.assert_array_equal(fitted.predict_proba(paths), expected)
    fitted.save(tmp_path / "net.skcnn")
    np.testing.assert_array_equal(load(tmp_path / "net.skcnn").predict_proba(paths), expected)


@pytest.mark.parametrize("change", [{"input_shape": (4, 16)}, {"image_size": (4, 16)}], ids=str)
def test_training_continues_on_images_of_one_shape(change):
    fitted = net(input_shape=(8, 8)).fit(X.reshape(200, 64), Y)
    with pytest.raises(ValueError, match=f"{next(iter(change))} has changed since the last fit"):
        fitted.set_params(**change).partial_fit(X.reshape(200, 64), Y)
