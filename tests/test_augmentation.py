import itertools
from typing import ClassVar

import keras
import numpy as np
import pytest
from marks import slow
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline

from skcnn import ImageAugmenter, ImageClassifier, MiniCNN, SampleGenerator, load_digit_images
from skcnn._training.batches import BatchGenerator, as_batch
from skcnn.base import KerasEstimator

RNG = np.random.default_rng(0)
EVERYTHING = {
    "rotation_range": 30,
    "width_shift_range": 0.2,
    "height_shift_range": 0.2,
    "zoom_range": 0.3,
    "horizontal_flip": True,
    "vertical_flip": True,
    "brightness_range": 0.4,
    "contrast_range": 0.4,
    "cutout": 0.4,
    "mixup": 0.4,
    "cutmix": 0.8,
}
# Tested separately: requires three channels, or replaces another setting.
OTHERS = {"rand_augment": 0.6, "zoom_range": (0.5, 0.9)}


@pytest.fixture(params=["plain", "fused"])
def path(request, monkeypatch):
    """Augmentation with and without XLA, which draw different random numbers."""
    if request.param == "fused":
        monkeypatch.setattr("skcnn.image.augmented.FUSED_VALUES", 1)


def images(n=8, shape=(8, 8, 3)):
    return RNG.integers(0, 256, (n, *shape), dtype=np.uint8)


def augmented(X, **settings):
    return ImageAugmenter(**settings).transform(X, random_state=0)


# ImageAugmenter


def test_default_augmenter_changes_nothing():
    X = images()
    np.testing.assert_array_equal(ImageAugmenter().transform(X), X)


@pytest.mark.parametrize(("name", "value"), [*EVERYTHING.items(), *OTHERS.items()])
def test_every_setting_changes_images(name, value, path):
    X = images()
    changed = augmented(X, **{name: value})
    assert changed.shape == X.shape
    assert not np.array_equal(changed, X)
    np.testing.assert_array_equal(augmented(X, **{name: value}), changed)
    other = ImageAugmenter(**{name: value}).transform(X, random_state=1)
    assert not np.array_equal(other, changed)


@pytest.mark.parametrize("mode", ["wrap", "nearest", "constant"])
def test_fill_mode_changes_the_borders(mode):
    X = images()
    shifted = {"width_shift_range": 0.4}
    assert not np.array_equal(augmented(X, **shifted, fill_mode=mode), augmented(X, **shifted))


@pytest.mark.parametrize(
    ("shape", "limits"),
    [
        pytest.param(*case, marks=pytest.mark.slow if number % 5 else ())
        for number, case in enumerate(
            itertools.product(
                [(6, 9), (6, 9, 1), (6, 9, 3), (6, 9, 5)],
                [("uint8", 0, 255), ("float32", 0, 1), ("float64", -1, 1), ("int16", -500, 500)],
            )
        )
    ],
)
def test_values_keep_their_range_and_dtype(shape, limits):
    dtype, low, high = limits
    X = RNG.uniform(low, high, (20, *shape)).astype(dtype)
    changed = augmented(X, **{**EVERYTHING, "fill_mode": "nearest"})
    assert changed.shape == X.shape
    assert changed.dtype == (np.float32 if dtype == "int16" else X.dtype)
    bounds = (0, 255) if dtype == "uint8" else (X.min(), X.max())
    assert bounds[0] - 1e-3 <= changed.min() < changed.max() <= bounds[1] + 1e-3


@pytest.mark.parametrize(("name", "axis"), [("horizontal_flip", 2), ("vertical_flip", 1)])
def test_flips_mirror_about_half_of_the_images(name, axis, path):
    X = images(200)
    changed = augmented(X, **{name: True})
    mirrored = (changed == np.flip(X, axis)).all(axis=(1, 2, 3))
    untouched = (changed == X).all(axis=(1, 2, 3))
    assert (mirrored ^ untouched).all()
    assert 70 < mirrored.sum() < 130


def test_shifts_are_whole_pixels_up_to_the_range(path):
    X = images(300, (8, 8, 1))
    changed = augmented(X, width_shift_range=0.25)
    mirrored = np.pad(X, ((0, 0), (0, 0), (3, 3), (0, 0)), mode="symmetric")
    seen = set()
    for image, moved in zip(mirrored, changed, strict=True):
        found = [by for by in range(-3, 4) if np.array_equal(image[:, 3 - by : 11 - by], moved)]
        assert len(found) == 1
        seen.add(found[0])
    assert seen == {-2, -1, 0, 1, 2}


def test_rotation_is_in_degrees():
    X = images(300, (9, 9, 1)).astype(float)
    X[:, :, :4] = 0
    # 5 degrees hardly move the pixels of the middle columns, 180 degrees move all.
    little = np.abs(augmented(X, rotation_range=5)[:, 3:6, 1] - X[:, 3:6, 1]).mean()
    much = np.abs(augmented(X, rotation_range=180)[:, 3:6, 1] - X[:, 3:6, 1]).mean()
    assert little < 1 < 30 < much


def test_zoom_range_tuple_crops_at_a_random_place():
    rows, columns = np.mgrid[:33, :33].astype(np.float32)
    X = np.repeat(np.dstack([rows, columns])[None], 200, axis=0)
    changed = augmented(X, zoom_range=(0.5, 0.75))
    spans = changed.max(axis=(1, 2)) - changed.min(axis=(1, 2))
    # The aspect ratio is preserved, and the crop is inside the image.
    np.testing.assert_allclose(spans[:, 0], spans[:, 1], atol=1e-3)
    assert (spans.min() / 32, spans.max() / 32) == pytest.approx((0.5, 0.75), abs=0.02)
    assert changed.min() >= 0
    assert changed.max() <= 32
    assert (changed.min(axis=(1, 2)).min(axis=0) < 1).all()
    assert (changed.max(axis=(1, 2)).max(axis=0) > 31).all()
    # Beyond 1, the crop contains the image.
    ones = np.ones((50, 16, 16, 1), np.float32)
    around = augmented(np.concatenate([ones, 0 * ones]), zoom_range=[1.5, 2], fill_mode="constant")
    shares = around[:50].mean(axis=(1, 2, 3))
    assert 0.2 < shares.min() < shares.max() < 0.6


def test_rand_augment_requires_three_channels():
    with pytest.raises(ValueError, match="rand_augment changes colours, but X has images of 1"):
        augmented(images(shape=(8, 8, 1)), rand_augment=0.5)


def test_cutmix_replaces_a_box_and_mixes_labels_by_its_area():
    # Every image has a different value, which shows its share.
    X = np.repeat(np.arange(32.0)[:, None], 20 * 20, axis=1).reshape(32, 20, 20, 1)
    y, weight = np.eye(32, dtype=np.float32), np.linspace(1, 2, 32)
    options = {"batch_size": 32, "shuffle": False, "random_state": 0}
    augmentation = ImageAugmenter(cutmix=1.0)
    changed, mixed = SampleGenerator(X, y, augmentation=augmentation, **options)[0]
    assert set(np.unique(changed)) <= set(range(32))
    np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-5)
    shares = np.array([(changed == value).mean(axis=(1, 2, 3)) for value in range(32)]).T
    # The box consists of whole pixels.
    np.testing.assert_allclose(shares, mixed, atol=0.1)
    assert (shares.max(axis=1) < 0.95).mean() > 0.05
    *_, total = SampleGenerator(X, y, weight, augmentation=augmentation, **options)[0]
    assert ((total >= 1) & (total <= 2)).all()


def test_cutout_is_a_box_in_the_middle_of_the_range(path):
    X = np.zeros((50, 16, 12, 3), np.float32)
    X[0, 0, 0] = 10.0
    painted = augmented(X, cutout=0.25)[1:] == 5.0
    # A quarter of each side: 4 rows of 3 pixels, wherever the box starts.
    assert set(painted.any(axis=(2, 3)).sum(axis=1)) == {4}
    assert set(painted.any(axis=(1, 3)).sum(axis=1)) == {3}
    assert set(painted.sum(axis=(1, 2, 3))) == {4 * 3 * 3}


def test_brightness_adds_and_contrast_multiplies_per_image(path):
    X = RNG.uniform(0.4, 0.6, (30, 5, 5, 2))
    X[0, 0, 0], X[0, 0, 1] = 0.0, 1.0
    moved = augmented(X, brightness_range=0.2)[1:] - X[1:]
    np.testing.assert_allclose(moved.std(axis=(1, 2, 3)), 0, atol=1e-6)
    assert 0.1 < np.abs(moved).max() <= 0.2
    changed = augmented(X, contrast_range=0.3)[1:]
    factor = changed.std(axis=(1, 2)) / X[1:].std(axis=(1, 2))
    np.testing.assert_allclose(factor[:, 0], factor[:, 1], rtol=1e-4)
    assert 0.7 <= factor.min() < 0.9 < 1.1 < factor.max() <= 1.3
    np.testing.assert_allclose(changed.mean(axis=(1, 2)), X[1:].mean(axis=(1, 2)), atol=1e-6)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"rotation_range": 200}, r"rotation_range.*ImageAugmenter.*\[0.0, 180.0\]"),
        ({"width_shift_range": 4}, r"width_shift_range.*\[0.0, 1.0\).*Got 4"),
        ({"zoom_range": (0.8, 5)}, r"zoom_range.*high <= 4.0, got \(0.8, 5\)"),
        ({"horizontal_flip": "yes"}, "horizontal_flip.*bool"),
        ({"mixup": -1}, "mixup"),
        ({"cutmix": 1.5}, "cutmix"),
        ({"rand_augment": 2}, "rand_augment"),
        ({"zoom_range": (0.8, 0.5)}, "zoom_range.* low <= high"),
        ({"zoom_range": (0, 0.5)}, "zoom_range.* 0 < low"),
        ({"zoom_range": (0.5,)}, "zoom_range must be a number or"),
        ({"zoom_range": ("a", "b")}, "zoom_range must be a number or"),
        ({"fill_mode": "mirror"}, "fill_mode.*reflect"),
    ],
)
def test_bad_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        ImageAugmenter(**setting).transform(images())


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((2, 3)), "X must be images of shape"),
        (np.zeros((0, 4, 4)), "0 sample"),
        (np.full((2, 4, 4), np.nan), "X contains NaN"),
    ],
)
def test_transform_raises_for_invalid_images(X, message):
    with pytest.raises(ValueError, match=message):
        ImageAugmenter(horizontal_flip=True).transform(X)


def test_augmenter_is_not_a_pipeline_step():
    augmenter = ImageAugmenter(cutout=0.2)
    net = clone(MiniCNN(augmentation=augmenter)).set_params(augmentation__mixup=0.5)
    assert (net.augmentation.cutout, net.augmentation.mixup) == (0.2, 0.5)
    assert augmenter.mixup == 0
    assert repr(augmenter) == "ImageAugmenter(cutout=0.2)"
    with pytest.raises(TypeError, match="should be transformers"):
        make_pipeline(augmenter, net).fit(images(), [0, 1] * 4)


def test_nested_parameters_require_an_augmenter():
    with pytest.raises(ValueError, match=r"augmentation__mixup cannot be set, because .* is None"):
        MiniCNN().set_params(augmentation__mixup=0.2)
    net = MiniCNN().set_params(augmentation=ImageAugmenter(), augmentation__mixup=0.2)
    assert net.augmentation.mixup == 0.2


@pytest.mark.parametrize("shape", [(1, 1, 1), *slow((1, 7, 1)), (2, 1, 3)])
def test_tiny_images(shape):
    X = images(5, shape)
    assert augmented(X, **EVERYTHING).shape == X.shape


# SampleGenerator


def epochs_of(batches, n):
    """Run the generator as Keras does and collect the targets of every epoch."""
    orders = []
    for _ in range(n):
        batches.on_epoch_begin()
        orders.append(np.concatenate([batch[1] for batch in batches]))
        batches.on_epoch_end()
    return orders


def test_each_epoch_has_every_row_in_a_new_order():
    X = np.arange(50) * 2
    first, second = epochs_of(SampleGenerator(X, X + 1, batch_size=8, random_state=0), 2)
    np.testing.assert_array_equal(np.sort(first), X + 1)
    np.testing.assert_array_equal(np.sort(second), X + 1)
    assert not np.array_equal(first, second)


def test_the_order_depends_on_seed_and_epoch_alone():
    X = np.arange(50)
    first = epochs_of(SampleGenerator(X, X, batch_size=8, random_state=3), 3)
    again = SampleGenerator(X, X, batch_size=50, random_state=3)
    again.epoch = 2
    np.testing.assert_array_equal(epochs_of(again, 1)[0], first[2])
    other = epochs_of(SampleGenerator(X, X, batch_size=8, random_state=4), 1)[0]
    assert not np.array_equal(other, first[0])


def test_weights_follow_their_samples_and_the_last_batch_is_kept():
    X = np.arange(20)
    rows = np.arange(3, 14)
    batches = SampleGenerator(X, X, X * 0.5, batch_size=4, indices=rows, random_state=0)
    assert [len(batches[i][0]) for i in range(len(batches))] == [4, 4, 3]
    for inputs, targets, weight in batches:
        np.testing.assert_array_equal(inputs, targets)
        np.testing.assert_array_equal(weight, targets * 0.5)


def test_unshuffled_batches_keep_the_order():
    X = np.arange(10)
    for order in epochs_of(SampleGenerator(X, X, batch_size=3, shuffle=False), 2):
        np.testing.assert_array_equal(order, X)


def test_augmentation_differs_between_epochs():
    X = images(6)
    batches = SampleGenerator(
        X, np.arange(6), batch_size=6, shuffle=False, augmentation=ImageAugmenter(cutout=0.3)
    )
    first, again = batches[0][0], batches[0][0]
    np.testing.assert_array_equal(first, again)
    epochs_of(batches, 1)
    assert not np.array_equal(batches[0][0], first)
    assert not np.array_equal(first[0] == 127.5, first[1] == 127.5)


def test_restored_state_continues_the_stream():
    X = images(10)
    options = {"batch_size": 4, "augmentation": ImageAugmenter(**EVERYTHING)}
    batches = SampleGenerator(X, np.eye(10), random_state=None, **options)
    epochs_of(batches, 2)
    state = batches.state
    assert state["epoch"] == 2
    expected = [batch[0] for batch in batches]
    epochs_of(batches, 1)
    resumed = SampleGenerator(X, np.eye(10), random_state=5, **options)
    resumed[0]
    resumed.state = state
    for one, other in zip(resumed, expected, strict=True):
        np.testing.assert_array_equal(one[0], other)


def trained_weights(workers, **options):
    """Weights of a bare Keras model after three epochs."""
    X = np.random.default_rng(1).random((90, 6, 6, 1), dtype=np.float32)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(3, "softmax", kernel_initializer="zeros"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy")
    batches = SampleGenerator(
        X,
        np.arange(90) % 3,
        np.linspace(0.5, 1.5, 90),
        batch_size=16,
        augmentation=ImageAugmenter(rotation_range=20, zoom_range=(0.5, 1), mixup=0.2, cutmix=0.5),
        random_state=0,
        workers=workers,
        **options,
    )
    model.fit(batches, epochs=3, shuffle=False, verbose=0)
    assert batches.state == {"random_state": 0, "epoch": 3}
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


@pytest.mark.parametrize("workers", [2, *slow(4)])
def test_number_of_workers_does_not_change_training(workers):
    np.testing.assert_array_equal(trained_weights(workers), trained_weights(1))


def test_full_batches_of_large_data_use_xla(monkeypatch):
    X, y = images(30), np.arange(30)
    monkeypatch.setattr("skcnn.image.augmented.FUSED_VALUES", X.size)
    options = {"batch_size": 16, "random_state": 0, "shuffle": False}
    for settings in (EVERYTHING, {"cutout": 0.3}):
        options["augmentation"] = ImageAugmenter(**settings)
        batches = SampleGenerator(X, y, **options)
        assert [len(batch[0]) for batch in batches] == [16, 14]
        np.testing.assert_array_equal(batches[0][0], SampleGenerator(X, y, **options)[0][0])
    painted = (batches[0][0] == 127.5).all(axis=3)
    assert set(painted.sum(axis=(1, 2))) <= {4, 6, 9}
    assert len({box.tobytes() for box in painted}) > 8


def test_mixup_mixes_labels_and_weights_by_the_shares_of_the_images(path):
    n = 40
    X = np.eye(n, dtype=np.float32).reshape(n, 1, n, 1)  # image i has its only value at pixel i
    y = np.arange(n) % 5
    weight = np.linspace(0, 2, n)
    augmentation = ImageAugmenter(mixup=1.0)
    options = {"batch_size": n, "augmentation": augmentation, "random_state": 0}
    for given in (None, weight):
        inputs, targets, *rest = SampleGenerator(X, y, given, **options)[0]
        share = inputs.reshape(n, n)  # row: a mixed image, column: whose share it has
        np.testing.assert_allclose(share.sum(axis=1), 1, atol=1e-6)
        assert 1 < (share > 0).sum(axis=1).mean() <= 2
        if given is None:
            assert rest == []
            np.testing.assert_allclose(targets, share @ np.eye(5)[y], atol=1e-6)
            continue
        np.testing.assert_allclose(rest[0], share @ weight, atol=1e-6)
        # The loss sums weight times target.
        np.testing.assert_allclose(
            targets * rest[0][:, None], share @ (weight[:, None] * np.eye(5)[y]), atol=1e-5
        )
        np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-5)


def test_every_batch_of_an_epoch_and_all_targets_change_the_stream(path):
    X = np.repeat(images(1), 12, axis=0)
    options = {
        "batch_size": 4,
        "shuffle": False,
        "augmentation": ImageAugmenter(cutout=0.4),
        "random_state": 0,
    }
    batches = [batch for batch, _ in SampleGenerator(X, np.arange(12), **options)]
    others = [batch for batch, _ in SampleGenerator(X, np.arange(12) + 1, **options)]
    assert len({batch.tobytes() for batch in batches + others}) == 6


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_the_stream_depends_on_pixels_and_not_on_their_dtype(dtype):
    X, y = images(12), np.arange(12)
    options = {
        "batch_size": 12,
        "shuffle": False,
        "augmentation": ImageAugmenter(cutout=0.4),
        "random_state": 0,
    }
    boxes = SampleGenerator(X, y, **options)[0][0] == 127.5
    same = SampleGenerator(X.astype(dtype), y, **options)[0][0]
    middle = 127.5 if dtype == "uint8" else (X.min() + X.max()) / 2
    np.testing.assert_array_equal(same == np.float32(middle), boxes)
    other = SampleGenerator(X[::-1], y, **options)[0][0] == 127.5
    assert not np.array_equal(other, boxes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "'batch_size' parameter of SampleGenerator"),
        ({"y": np.arange(5)}, "inconsistent numbers of samples"),
        ({"sample_weight": np.ones(3)}, "inconsistent numbers of samples"),
        ({"augmentation": "flip"}, "'augmentation' parameter"),
        ({"augmentation": ImageAugmenter(zoom_range=2)}, "'zoom_range' parameter"),
        ({"X": np.zeros((6, 4)), "augmentation": ImageAugmenter(cutout=0.1)}, "needs images"),
        (
            {"y": np.linspace(0, 1, 6), "augmentation": ImageAugmenter(mixup=0.2)},
            "y must be one-hot rows or integers",
        ),
        ({"random_state": -1}, "'random_state' parameter"),
        ({"workers": 0}, "'workers' parameter"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    arguments = {"X": images(6), "y": np.arange(6), "batch_size": 2, **arguments}
    with pytest.raises(ValueError, match=message):
        SampleGenerator(arguments.pop("X"), arguments.pop("y"), **arguments)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("uint8", "uint8"), ("int16", "float32"), ("float64", "float32")]
)
def test_uint8_batches_stay_uint8(dtype, expected):
    assert as_batch(np.zeros(3, dtype)).dtype == expected


# Augmentation while fitting, and only then


class Watched(BatchGenerator):
    """Record the options and the batches of every generator."""

    made: ClassVar[list["Watched"]] = []

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.augments = options.get("augmentation") is not None
        self.given = []
        self.made.append(self)

    def _read(self, start, stop):
        part = super()._read(start, stop)
        self.given.append(part.arrays[0])
        return part


@pytest.fixture
def watched(monkeypatch):
    Watched.made = []
    monkeypatch.setattr(KerasEstimator, "_generator", Watched)
    return Watched.made


# Painted boxes have the value 8, which no pixel of these digits has.
DIGITS, TARGET = load_digit_images(return_X_y=True)
DIGITS, TARGET = np.where(DIGITS[:400] == 8, 9, DIGITS[:400]), TARGET[:400]
PAINTED = ImageAugmenter(cutout=0.4)


def net(**parameters):
    parameters = {"epochs": 2, "random_state": 0, "augmentation": PAINTED, **parameters}
    return ImageClassifier("CONV-8 -> RELU -> POOL -> FCS", **parameters)


@pytest.mark.parametrize("held_out", ["early_stopping", "X_val"])
def test_no_augmented_sample_reaches_validation(watched, held_out):
    stops = held_out == "early_stopping"
    data = {} if stops else {"X_val": DIGITS[300:], "y_val": TARGET[300:]}
    fitted = net(early_stopping=stops, label_smoothing=0.0).fit(DIGITS[:300], TARGET[:300], **data)
    validation = [batches for batches in watched if not batches.augments]
    training = [batches for batches in watched if batches.augments]
    assert len(validation) == len(training) == 1
    assert all((batch == 8).any(axis=(1, 2, 3)).all() for batch in training[0].given)
    assert not any((batch == 8).any() for batch in validation[0].given)
    rows = validation[0].rows
    X, y = (DIGITS, TARGET) if held_out == "early_stopping" else (DIGITS[300:], TARGET[300:])
    loss = log_loss(y[rows], fitted.predict_proba(X[rows]), labels=fitted.classes_)
    assert fitted.history_["val_loss"][fitted.best_iteration_ - 1] == pytest.approx(loss, rel=1e-4)
    if held_out == "early_stopping":
        assert not set(rows) & set(training[0].rows)


def test_no_augmented_sample_reaches_scoring_or_prediction(watched):
    fitted = net().fit(DIGITS, TARGET)
    n_generators = len(watched)
    probability = fitted.predict_proba(DIGITS)
    np.testing.assert_array_equal(fitted.predict_proba(DIGITS), probability)
    assert fitted.score(DIGITS, TARGET) == np.mean(probability.argmax(axis=1) == TARGET)
    assert len(watched) == n_generators
    # The network has no augmentation layers: a direct call gives the same.
    by_hand = fitted.model_(DIGITS[:, :, :, None].astype(np.float32), training=False)
    np.testing.assert_allclose(by_hand, probability, atol=1e-6)


def test_folds_get_different_augmentation_with_one_seed(watched):
    search = GridSearchCV(
        net(), {"augmentation__cutout": [0.4]}, cv=StratifiedKFold(2), refit=False
    )
    search.fit(DIGITS, TARGET)
    one, other = [batches for batches in watched if batches.augments]
    assert one.state == other.state
    boxes = [np.concatenate(batches.given) == 8 for batches in (one, other)]
    size = min(map(len, boxes))
    assert not np.array_equal(boxes[0][:size], boxes[1][:size])
    # the same fold gets the same augmentation
    watched.clear()
    train = next(iter(StratifiedKFold(2).split(DIGITS, TARGET)))[0]
    net().fit(DIGITS[train], TARGET[train])
    np.testing.assert_array_equal(np.concatenate(watched[0].given) == 8, boxes[0])


def test_mixup_with_all_kinds_of_labels_and_weights():
    names = np.array([f"digit {digit}" for digit in TARGET])
    weight = np.where(TARGET < 5, 1.0, 3.0)
    for options in ({}, {"class_weight": "balanced", "label_smoothing": 0.1}):
        fitted = net(epochs=25, augmentation=ImageAugmenter(mixup=0.3), **options)
        fitted.fit(DIGITS, names, sample_weight=weight)
        assert fitted.score(DIGITS, names) > 0.9


def test_searched_augmentation_parameters_change_the_fit():
    search = GridSearchCV(
        net(epochs=6), {"augmentation__rotation_range": [0, 180]}, cv=2, refit=False
    ).fit(DIGITS, TARGET)
    assert search.best_params_ == {"augmentation__rotation_range": 0}
