"""Resizing of images of any size and kind."""

import numpy as np
import pytest
from PIL import Image
from sklearn.model_selection import GridSearchCV, cross_val_score

from skcnn import (
    AugmentationDisplay,
    ImageAugmenter,
    ImageClassifier,
    ImageRegressor,
    MisclassifiedImagesDisplay,
    SaliencyDisplay,
    SampleGenerator,
    load,
    load_image_folder,
)
from skcnn.image.arrays import ImageArrays, is_image_list
from skcnn.image.files import ImageFiles
from skcnn.image.sizes import value_limits

RNG = np.random.default_rng(0)
WAYS = ("stretch", "crop", "pad")


def net(**parameters):
    parameters = {"epochs": 2, "random_state": 0, "image_size": 8, **parameters}
    return ImageClassifier("CONV-4 -> RELU -> POOL -> FCS", **parameters)


def photos(n=40, channels=3, dtype=np.uint8):
    """Images of many sizes, bright or dark."""
    images = []
    for row in range(n):
        shape = (*RNG.integers(6, 24, 2), channels)
        image = RNG.integers(0, 128, shape) + 127 * (row % 2)
        images.append(image.astype(dtype) if channels > 1 else image[..., 0].astype(dtype))
    return images, np.arange(n) % 2


def saved(folder, images):
    paths = [folder / f"{row}.png" for row in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    return paths


# The values of resize

HALVES = np.repeat(np.repeat(np.array([[10, 20, 30, 40]], np.uint8), 4, axis=1), 8, axis=0)


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        ("stretch", [[10, 20, 30, 40]] * 4),
        ("crop", [[20, 20, 30, 30]] * 4),
        ("pad", [[0] * 4, [10, 20, 30, 40], [10, 20, 30, 40], [0] * 4]),
    ],
)
def test_the_aspect_ratio(tmp_path, resize, expected):
    # 16 pixels wide, 8 high, to 4x4: columns of 10, 20, 30 and 40.
    path = saved(tmp_path, [HALVES])
    options = {"image_size": 4, "resize": resize, "background": "black"}
    for images in (
        ImageFiles(path, **options),
        ImageArrays(HALVES[None, ..., None], **options),
        ImageArrays([HALVES, HALVES[..., None]], **options),
        ImageArrays([Image.fromarray(HALVES)], **options),
        ImageArrays(HALVES[None, ..., None].astype(np.uint16), **options),  # up to 40
        ImageArrays(HALVES[None, ..., None] / 255, **options),
    ):
        assert images.shape == (len(images), 4, 4, 1)
        scale = 255 if images.dtype == np.float32 else 1
        # An antialiased filter mixes a little at the edges of the columns.
        np.testing.assert_allclose(images[:][0, ..., 0] * scale, expected, atol=3)


@pytest.mark.parametrize("resize", WAYS)
@pytest.mark.parametrize("channels", [1, 3])
def test_files_arrays_and_pillow_images_are_read_equally(tmp_path, resize, channels):
    images, _ = photos(channels=channels)
    options = {"image_size": (9, 7), "resize": resize, "background": (250, 120, 10)}
    expected = ImageFiles(saved(tmp_path, images), **options)[:]
    assert expected.shape == (40, 9, 7, channels)
    np.testing.assert_array_equal(ImageArrays(images, **options)[:], expected)
    pictures = [Image.fromarray(image) for image in images]
    np.testing.assert_array_equal(ImageArrays(pictures, **options)[:], expected)
    mixed = [*pictures[:20], *images[20:]]
    np.testing.assert_array_equal(ImageArrays(mixed, **options)[5:30], expected[5:30])


@pytest.mark.parametrize("resize", WAYS)
@pytest.mark.parametrize("shape", [(1, 900), (900, 1), (1, 1)])
def test_very_long_images(resize, shape):
    image = np.full((*shape, 3), 7, np.uint8)
    read = ImageArrays([image, image[:1]], image_size=(5, 6), resize=resize)[:]
    assert read.shape == (2, 5, 6, 3)
    assert (read == 7).any()


def test_images_of_the_target_size_are_unchanged():
    images = RNG.normal(size=(3, 5, 6, 2)).astype(np.float32)
    np.testing.assert_array_equal(ImageArrays(images, image_size=(5, 6))[1:], images[1:])


def test_grey_and_colour_mix_and_transparent_pixels_show_the_background():
    grey, colour = np.full((4, 4), 50, np.uint8), np.full((6, 6, 3), 90, np.uint8)
    clear = np.full((5, 5, 4), 200, np.uint8)
    clear[..., 3] = 0
    misty = np.dstack([grey, np.full((4, 4), 0, np.uint8)])
    for items in (
        [grey, colour, clear, misty],
        [Image.fromarray(grey), Image.fromarray(colour), Image.fromarray(clear), misty],
    ):
        read = ImageArrays(items, image_size=3, background="red")[:]
        assert read.shape == (4, 3, 3, 3)
        expected = [[50] * 3, [90] * 3, [255, 0, 0], [255, 0, 0]]
        np.testing.assert_array_equal(read[:, 1, 1], expected)
    assert ImageArrays([grey, misty], image_size=3).shape[-1] == 1
    assert ImageArrays([grey, colour], image_size=3, shape=(3, 3, 1))[:].shape[-1] == 1


@pytest.mark.parametrize(
    ("low", "high", "dtype", "limits"),
    [
        (3, 17, "uint8", (0, 255)),
        (0.1, 0.9, "float32", (0, 1)),
        (0, 1, "bool", (0, 1)),
        (0, 200, "int64", (0, 255)),
        (0, 16, "float64", (0, 16)),
        (0, 60000, "uint16", (0, 65535)),
        (0, 60000, "float32", (0, 60000)),
        (-1, 1, "float32", (-1, 1)),
    ],
)
def test_values_of_black_and_white(low, high, dtype, limits):
    assert value_limits(low, high, dtype) == limits


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        ([np.zeros((2, 3)), np.zeros((3, 3))], True),
        ([np.zeros((2, 3)), np.zeros((2, 3))], False),
        ([Image.new("L", (2, 2))], True),
        ((Image.new("L", (2, 2)), np.zeros((2, 3, 3))), True),
        ([np.zeros(3), np.zeros(3)], False),
        ([[1, 2], [3, 4]], False),
        (np.zeros((2, 3, 3)), False),
        ([], False),
        (["a.png"], False),
    ],
)
def test_is_image_list(X, expected):
    assert is_image_list(X) is expected


# Estimators


@pytest.mark.parametrize("resize", WAYS)
def test_estimators_read_all_kinds_of_images_equally(tmp_path, resize):
    images, y = photos()
    paths = saved(tmp_path, images)
    fitted = net(resize=resize, background="blue", epochs=10).fit(paths, y)
    assert fitted.resize_ == resize
    assert fitted.input_shape_ == (8, 8, 3)
    assert fitted.score(paths, y) > 0.9
    expected = fitted.predict_proba(paths)
    pictures = [Image.fromarray(image) for image in images]
    for X in (images, pictures, np.array([*pictures, None], object)[:-1]):
        np.testing.assert_array_equal(fitted.predict_proba(X), expected)
        again = net(resize=resize, background="blue", epochs=10).fit(X, y)
        np.testing.assert_array_equal(again.predict_proba(X), expected)
    fitted.save(tmp_path / "net.skcnn")
    other = load(tmp_path / "net.skcnn").set_params(resize="stretch", image_size=None)
    np.testing.assert_array_equal(other.predict_proba(images), expected)
    with pytest.raises(ValueError, match="resize has changed since the last fit"):
        fitted.set_params(resize=WAYS[WAYS.index(resize) - 1]).partial_fit(images, y)


@pytest.mark.parametrize("scale", [1, 1 / 255, 10.0])
def test_arrays_of_one_size_are_resized_lazily_and_padded_alike(scale):
    pixels = RNG.integers(0, 256, (60, 5, 10, 3))
    pixels[::2] //= 3
    X, y = (pixels * scale).astype(np.float32), np.arange(60) % 2
    fitted = net(resize="pad", background="black").fit(X, y)
    by_hand = np.zeros((60, 8, 8, 3), np.float32)
    by_hand[:, 2:6] = ImageArrays(X, image_size=(4, 8))[:]
    assert fitted.pixel_limits_ == ((0, 255 * scale) if scale != 1 else (0, 255))
    expected = net().fit(by_hand, y).predict_proba(by_hand)
    np.testing.assert_allclose(fitted.predict_proba(X), expected, atol=1e-6)
    # A single dark image uses the learned values of black and white.
    white = net(resize="pad", background="white").fit(X, y)
    dark = X[:1] / 100
    assert white._check_inputs(dark)[:].max() == pytest.approx(255 * scale)


def test_images_of_other_sizes_in_prediction():
    X = RNG.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    fitted = net().fit(X, np.arange(40) % 2)
    small = RNG.integers(0, 256, (6, 5, 7, 3), dtype=np.uint8)
    expected = fitted.predict_proba(ImageArrays(small, image_size=8)[:])
    np.testing.assert_array_equal(fitted.predict_proba(small), expected)
    # A grey image after a fit on colour images, without image_size.
    grey = small[..., 0]
    expected = fitted.predict_proba(np.repeat(ImageArrays([*grey], image_size=8)[:], 3, axis=-1))
    np.testing.assert_array_equal(fitted.predict_proba(grey), expected)
    with pytest.raises(ValueError, match=r"images of shape \(5, 7, 2\)"):
        fitted.predict(small[..., :2])
    with pytest.raises(ValueError, match="expecting images of shape"):
        net(image_size=None).fit(X, np.arange(40) % 2).predict(small)


def test_rows_of_pixels_are_resized(tmp_path):
    X = RNG.integers(0, 256, (40, 35), dtype=np.uint8)
    y = X.mean(axis=1)
    parameters = {"epochs": 2, "random_state": 0, "image_size": (8, 9)}
    fitted = ImageRegressor("CONV-4 -> FCS", input_shape=None, **parameters)
    with pytest.warns(UserWarning, match="set input_shape|Set input_shape"):
        fitted.fit(X, y)
    assert fitted.row_shape_ == (1, 35, 1)
    fitted = ImageRegressor("CONV-4 -> FCS", input_shape=(5, 7), **parameters).fit(X, y)
    assert (fitted.n_features_in_, fitted.input_shape_) == (35, (8, 9, 1))
    expected = fitted.predict(X)
    np.testing.assert_array_equal(fitted.predict(X.reshape(40, 5, 7)), expected)
    fitted.save(tmp_path / "net.skcnn")
    np.testing.assert_array_equal(load(tmp_path / "net.skcnn").predict(X), expected)


def test_searches_over_sizes_of_arrays_and_lists():
    images, y = photos()
    grid = {"image_size": [6, (8, 10)], "resize": ["crop", "pad"]}
    search = GridSearchCV(net(), grid, cv=2, error_score="raise").fit(images, y)
    assert search.best_estimator_.input_shape_[:2] in ((6, 6), (8, 10))
    assert len(cross_val_score(net(), images, y, cv=2)) == 2


def test_resized_images_are_augmented_held_out_and_resumed(tmp_path):
    images, y = photos()
    augmentation = ImageAugmenter(horizontal_flip=True)
    parameters = {"augmentation": augmentation, "early_stopping": True, "epochs": 3}
    expected = net(**parameters).fit(images, y).predict_proba(images)
    first = net(**parameters, checkpoint_dir=tmp_path).fit(images, y)
    again = net(**parameters, checkpoint_dir=tmp_path).fit(images, y)
    for fitted in (first, again):
        np.testing.assert_array_equal(fitted.predict_proba(images), expected)
    with pytest.raises(ValueError, match="different X"):
        net(**parameters, resize="crop", checkpoint_dir=tmp_path).fit(images, y)


def test_previews_and_displays_have_the_size(tmp_path):
    images, y = photos()
    options = {"image_size": 8, "resize": "crop"}
    seen = ImageArrays(images, **options)[:]
    unchanged = ImageAugmenter()
    np.testing.assert_array_equal(unchanged.transform(images, **options), seen)
    paths = saved(tmp_path, images)
    np.testing.assert_array_equal(unchanged.transform(paths, **options), seen)
    display = AugmentationDisplay.from_estimator(unchanged, images[:3], **options)
    np.testing.assert_array_equal(display.images, seen[:3])
    batches = SampleGenerator(images, y, batch_size=40, shuffle=False, **options)
    np.testing.assert_array_equal(batches[0][0], seen)
    fitted = net(resize="crop").fit(images, y)
    shown = SaliencyDisplay.from_estimator(fitted, images[:3])
    np.testing.assert_array_equal(shown.images, seen[:3])
    mistakes = MisclassifiedImagesDisplay.from_estimator(fitted, images, 1 - y, n_images=50)
    assert {image.shape for image in mistakes.images} <= {image.shape for image in images}


def test_folders_are_decoded_to_a_size(tmp_path):
    images, _ = photos(6)
    for row, image in enumerate(images):
        folder = tmp_path / "ab"[row % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / f"{row}.png")
    data = load_image_folder(tmp_path, as_array=True, image_size=8, resize="pad").data
    ordered = [*images[::2], *images[1::2]]
    np.testing.assert_array_equal(data, ImageArrays(ordered, image_size=8, resize="pad")[:])
    with pytest.raises(ValueError, match="resize='pad' needs image_size"):
        load_image_folder(tmp_path, as_array=True, resize="pad")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda images: [*images, np.zeros((3, 3, 5), np.uint8)], "row 4: it has 5 channels"),
        (lambda images: [*images, np.zeros((3, 3, 4))], "row 4: it has 4 channels of float64"),
        (lambda images: [*images, np.zeros((3, 0, 3), np.uint8)], r"row 4: .*\(3, 0, 3\)"),
        (lambda images: [*images, np.zeros((3, 3, 3), object)], "row 4: it is an array of object"),
        (lambda images: [*images, np.full((3, 3), np.nan)], "row 4: .*NaN"),
        (lambda images: [*images, np.zeros((3, 3))], "row 0 has values of uint8 and row 4 has"),
    ],
)
def test_bad_images_in_a_list_are_named(spoil, message):
    images = spoil(photos(4)[0])
    with pytest.raises(ValueError, match=message):
        net().fit(images, np.arange(5) % 2)


def test_images_of_many_sizes_need_a_size():
    images, y = photos(4)
    with pytest.raises(ValueError, match=r"different sizes.*Set image_size"):
        net(image_size=None).fit(images, y)
