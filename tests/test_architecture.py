import functools
import itertools
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from skcnn import FeedForward, ImageClassifier, MiniCNN, SpeedNet, StackedCNN, VGGLite
from skcnn._training.network import MAX_BUILT_LAYERS
from skcnn.image.networks import _Size, build_network, set_standardization
from skcnn.image.notation import (
    Conv,
    Dense,
    Dropout,
    GlobalPool,
    Pool,
    Residual,
    Simple,
    canonical,
    parse,
)

PRESETS = [FeedForward, MiniCNN, StackedCNN, VGGLite, SpeedNet]


def build(text, shape=(8, 8, 1), n_outputs=3, batch_norm=False, standardize=False):
    return build_network(
        architecture=text,
        input_shape=shape,
        n_outputs=n_outputs,
        batch_norm=batch_norm,
        standardize=standardize,
    )


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("INPUT -> CONV-8 -> FCS", "CONV-8->FCS"),
        ("CONV-8:3/1 -> FCS", "CONV-8 -> FCS"),
        ("  conv-08 ->\n\tfcs ", "CONV-8 -> FCS"),
        ("[CONV-8 -> RELU]*2 -> FCS", "CONV-8 -> RELU -> CONV-8 -> RELU -> FCS"),
        ("[[BN]*2 -> TANH]*2 -> FCS", "BN -> BN -> TANH -> [BN]*2 -> TANH -> FCS"),
        ("POOL-2 -> AVGPOOL-2 -> FCS", "POOL -> AVGPOOL -> FCS"),
        ("GAP-1 -> FCS", "GAP -> FCS"),
        ("DROPOUT-.50 -> FCS", "DROPOUT-0.5 -> FCS"),
        ("RES[CONV-8] -> RES[CONV-8] -> FCS", "RES[CONV-8]*2 -> FCS"),
        ("[FCS]", "FCS"),
    ],
)
def test_spellings_of_one_network_are_equal(one, other):
    assert parse(one) == parse(other)
    assert canonical(parse(one)) == canonical(parse(other))


def test_parse_reads_every_token():
    layers = parse(
        "CONV-8:5/2 -> RELU -> GELU -> SILU -> TANH -> POOL-3 -> AVGPOOL -> BN -> "
        "RES[CONV-4] -> GAP-3 -> GAP -> DROPOUT-0.25 -> FC-7 -> FCS"
    )
    assert layers == (
        Conv(8, 5, 2),
        *map(Simple, ["RELU", "GELU", "SILU", "TANH"]),
        Pool("POOL", 3),
        Pool("AVGPOOL", 2),
        Simple("BN"),
        Residual((Conv(4),)),
        GlobalPool(3),
        GlobalPool(),
        Dropout(0.25),
        Dense(7),
        Simple("FCS"),
    )


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("", 0, "expected a layer"),
        ("CONV-32 -> RELU", 15, "expected '-> FCS' at the end"),
        ("CONV -> FCS", 4, "the number of filters"),
        ("CONV- -> FCS", 5, "expected the number of filters"),
        ("CONV-8: -> FCS", 7, "expected the kernel size"),
        ("CONV-8/0 -> FCS", 7, "expected the stride from 1"),
        ("CONV-0 -> FCS", 5, "from 1 to"),
        ("FC-" + "9" * 5000 + " -> FCS", 3, "from 1 to"),
        ("CONVV-8 -> FCS", 0, "did you mean CONV-m?"),
        ("WAT -> FCS", 0, "expected one of CONV-m, FC-n"),
        ("DROPOUT-1 -> FCS", 8, "dropout rate in [0, 1)"),
        ("DROPOUT-1.2.3 -> FCS", 8, "dropout rate in [0, 1)"),
        ("POOL- -> FCS", 5, "expected the pool size"),
        ("[CONV-8 -> FCS", 14, "expected '->' or ']'"),
        ("[CONV-8]*0 -> FCS", 9, "number of repeats from 1"),
        ("[CONV-8]* -> FCS", 10, "expected the number of repeats"),
        ("[[CONV-8]*999]*999 -> FCS", 15, "more than 1000 layers"),
        ("[" * 30 + "BN" + "]" * 30 + " -> FCS", 21, "nested more than"),
        ("CONV-8 -> -> FCS", 10, "expected a layer"),
        ("CONV-8 FCS", 7, "expected '->' or the end"),
        ("FCS -> FC-3 -> FCS", 0, "FCS is only allowed at the end"),
        ("FC-3 -> INPUT -> FCS", 8, "INPUT is only allowed at the beginning"),
        ("INPUT FCS", 6, "expected '->' after INPUT"),
        ("FC-3 -> CONV-8 -> FCS", 8, "needs an image, but FC-3"),
        ("[CONV-8 -> FC-3]*2 -> FCS", 1, "needs an image, but FC-3"),
        ("GAP -> POOL -> FCS", 7, "needs an image, but GAP"),
        ("GAP-0 -> FCS", 4, "expected the number of cells a side from 1"),
        ("FC-3 -> GAP-4 -> FCS", 8, "GAP-4 needs an image, but FC-3"),
        ("RES[GAP-4] -> FCS", 4, "not allowed in RES"),
        ("RES[FC-3] -> FCS", 4, "not allowed in RES"),
        ("RES CONV-8 -> FCS", 4, "expected '[' after RES"),
        ("CONV-8 ->\nCONX-8 -> FCS", 0, "did you mean CONV-m?"),
        ("CONV-² -> FCS", 5, "expected the number of filters"),
    ],
)
def test_parse_error_points_at_the_mistake(text, column, expected):
    with pytest.raises(ValueError, match=r"^architecture: ") as caught:
        parse(text)
    message, line, caret = str(caught.value).split("\n")
    assert expected in message
    assert line[4:] in text.split("\n")
    assert caret == " " * (4 + column) + "^"


simple = st.sampled_from(["RELU", "GELU", "SILU", "TANH", "BN"]).map(Simple)
image_layers = st.recursive(
    simple
    | st.builds(Conv, st.integers(1, 100_000), st.integers(1, 99), st.integers(1, 99))
    | st.builds(Pool, st.sampled_from(["POOL", "AVGPOOL"]), st.integers(1, 99))
    | st.builds(Dropout, st.floats(0, 1, exclude_max=True)),
    lambda layer: st.builds(Residual, st.lists(layer, min_size=1, max_size=4).map(tuple)),
    max_leaves=8,
)
vector_layers = simple | st.builds(Dense, st.integers(1, 100_000))
networks = st.builds(
    lambda image, gap, vector: (*image, *gap, *vector, Simple("FCS")),
    st.lists(image_layers, max_size=8),
    st.sampled_from([(), (GlobalPool(),), (GlobalPool(4),)]),
    st.lists(vector_layers, max_size=4),
)


@given(networks)
def test_canonical_round_trip(layers):
    assert parse(canonical(layers)) == layers


tokens = st.sampled_from(
    [
        "CONV-8",
        "CONV-",
        "RELU",
        "POOL",
        "FC-3",
        "FCS",
        "RES[",
        "[",
        "]",
        "]*2",
        "*",
        "->",
        "-",
        ":",
        "/",
        "9",
        "0.5",
        "DROPOUT-0.5",
        "INPUT",
    ]
)


@settings(max_examples=500)
@given(st.text() | st.lists(tokens).map("".join) | st.lists(tokens).map(" -> ".join))
def test_random_text_raises_only_value_error(text):
    try:
        layers = parse(text)
    except ValueError as error:
        assert "^" in str(error)  # noqa: PT017
    else:
        assert parse(canonical(layers)) == layers


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 1), (2, 2, 3), (5, 3, 2), (9, 9, 1)])
def test_every_preset_takes_every_size(preset, shape):
    model = build(preset.architecture, shape, batch_norm=True, standardize=True)
    assert model(np.zeros((2, *shape))).shape == (2, 3)


@pytest.mark.parametrize(
    ("preset", "count"),
    list(zip(PRESETS, [924_910, 82_826, 234_550, 640_502, 1_971_650], strict=True)),
)
def test_parameter_counts_of_the_presets(preset, count):
    model = build(preset.architecture, (32, 32, 3), n_outputs=10)
    assert sum(weight.numpy().size for weight in model.trainable_weights) == count


def test_batch_norm_follows_each_convolution_once():
    assert kinds(build("CONV-4 -> RELU -> FCS", batch_norm=True)) == [
        "InputLayer", "Conv2D", "BatchNormalization", "Activation", "Flatten", "Dense"
    ]  # fmt: skip
    once = kinds(build("CONV-4 -> BN -> RELU -> FCS", batch_norm=True))
    assert once.count("BatchNormalization") == 1
    assert "BatchNormalization" not in kinds(build("CONV-4 -> RELU -> FCS"))


def test_pools_pad_odd_sizes():
    pooled = build("POOL -> FCS", (5, 3, 1))
    assert pooled.get_layer("pool_1").output.shape == (None, 3, 2, 1)
    image = np.arange(15, dtype=np.float32).reshape(1, 5, 3, 1)
    features = keras.Model(pooled.input, pooled.get_layer("pool_1").output)(image)
    np.testing.assert_array_equal(features[0, :, :, 0], [[4, 5], [10, 11], [13, 14]])


@pytest.mark.parametrize(
    ("shape", "size", "cell"),
    [
        ((8, 12, 1), 4, (2, 3)),
        ((9, 5, 2), 4, (3, 2)),
        ((4, 3, 1), 4, (1, 1)),
        ((7, 7, 1), 1, (7, 7)),
    ],
)
def test_global_pooling_averages_cells(shape, size, cell):
    model = build(f"GAP-{size} -> FCS", shape)
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    pooled = [
        [
            image[row : row + cell[0], column : column + cell[1]].mean(axis=(0, 1))
            for column in range(0, shape[1], cell[1])
        ]
        for row in range(0, shape[0], cell[0])
    ]
    features = keras.Model(model.input, model.layers[-1].input)(image[None])[0]
    np.testing.assert_allclose(features, np.ravel(pooled), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("preset", [StackedCNN, VGGLite])
def test_presets_read_larger_maps_in_as_many_cells(preset):
    sizes = [build(preset.architecture, (side, side, 3)).count_params() for side in (32, 64, 200)]
    assert len(set(sizes)) == 1
    assert "gap_1" not in [each.name for each in build(preset.architecture, (32, 32, 3)).layers]


def test_residual_adds_its_input():
    model = build("RES[CONV-1:1] -> FCS", (2, 2, 1))
    model.get_layer("conv_1").set_weights([np.full((1, 1, 1, 1), 3.0), np.zeros(1)])
    image = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1)
    features = keras.Model(model.input, model.get_layer("add_1").output)(image)
    np.testing.assert_array_equal(features, 4 * image)


@pytest.mark.parametrize("size", [1, 2, 5, 7, 8])
def test_residual_projects_where_shapes_differ(size):
    body = "RES[CONV-6/2 -> RELU -> POOL-3 -> RES[CONV-4/2]] -> GAP -> FCS"
    model = build(body, (size, size, 3), batch_norm=True)
    small = -(-size // 12)
    assert model.get_layer("add_2").output.shape == (None, small, small, 4)


def test_standardize_layer_has_zero_mean_and_unit_variance():
    rng = np.random.default_rng(0)
    X = rng.normal([3, 100], [0.1, 20], size=(50, 4, 4, 2)).astype(np.float32)
    model = build("FCS", (4, 4, 2), standardize=True)
    set_standardization(model, X.mean(axis=(0, 1, 2)), X.var(axis=(0, 1, 2)))
    standard = keras.Model(model.input, model.get_layer("standardize").output)(X).numpy()
    np.testing.assert_allclose(standard.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(standard.std(axis=(0, 1, 2)), 1, atol=1e-4)
    assert not model.get_layer("standardize").trainable_weights


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        *(preset.architecture for preset in PRESETS),
        "FCS",
        "GAP -> FC-3 -> FCS",
        "GAP-4 -> CONV-2 -> GAP-20 -> FCS",
        "BN -> CONV-4:5/2 -> BN -> TANH -> AVGPOOL-3 -> DROPOUT-0.5 -> FC-3 -> BN -> FCS",
        "CONV-5:1/3 -> RES[CONV-4/2 -> RES[POOL] -> BN] -> RES[RELU] -> GAP -> FCS",
        "[RES[CONV-4:1/2 -> POOL-3]]*3 -> FC-2 -> FC-3 -> FCS",
    ],
)
def test_computed_size_matches_the_built_network(text, batch_norm, fused):
    options = {"batch_norm": batch_norm, "fused": fused, "standardize": True}
    model = build_network(architecture=text, input_shape=(17, 9, 3), n_outputs=4, **options)
    size = _Size(batch_norm, fused)
    size.add_network(parse(text), (17, 9, 3), 4, standardize=True)
    assert (size.n_layers, size.n_parameters) == (len(model.layers), model.count_params())


@pytest.mark.parametrize(
    ("text", "shape", "problem"),
    [
        ("FC-100000 -> FC-100000 -> FCS", (8, 8, 1), "10,006,900,003 parameters"),
        ("CONV-100000:99 -> GAP -> FCS", (8, 8, 1), "980,500,003 parameters"),
        ("CONV-99999 -> CONV-99999 -> FCS", (8, 8, 1), "90,0[0-9,]+ parameters"),
        ("RES[RES[CONV-20000 -> RELU -> CONV-20000]] -> GAP -> FCS", (8, 8, 1), "3,600,[0-9,]+ p"),
        ("FC-300 -> FCS", (4000, 4000, 1), "4,800,001,203 parameters"),
        ("[RELU]*999 -> FCS", (8, 8, 1), "1,002 layers"),
        ("[[CONV-1 -> RELU]*99]*5 -> FCS", (8, 8, 1), "993 layers"),
        ("[RES[CONV-2/2]]*249 -> FCS", (8, 8, 1), "50[0-9] layers"),
        ("RES[RES[RES[" + "RES[BN]]]] -> [RES[BN]]*249 -> FCS", (8, 8, 1), "50[0-9] layers"),
    ],
)
def test_too_large_networks_raise_before_they_are_built(monkeypatch, text, shape, problem):
    def allocates(*arguments, **options):
        raise AssertionError("a layer is made")

    monkeypatch.setattr(keras, "Input", allocates)
    with pytest.raises(ValueError, match=f"^architecture: .* {problem}.*at most"):
        build(text, shape)


def test_network_of_maximum_depth_trains():
    text = f"[TANH]*{MAX_BUILT_LAYERS - 3} -> FCS"
    net = ImageClassifier(text, epochs=1, standardize=False, random_state=0)
    net.fit(np.random.default_rng(0).random((8, 4, 4)), [0, 1] * 4)
    assert len(net.model_.layers) == MAX_BUILT_LAYERS
    assert len(net.predict_proba(np.zeros((3, 4, 4)))) == 3


def poison():
    """Leave NaN in freed memory, to detect reads of uninitialized memory."""
    for size in 4 ** np.arange(3, 10):
        tf.fill([size], tf.constant(np.nan, tf.bfloat16))


def gradients(text, shape, dtype, batch, times=1):
    """Compute the gradients of a training network with fixed weights."""
    model = build_network(
        architecture=text,
        input_shape=shape,
        n_outputs=3,
        batch_norm=False,
        standardize=False,
        dtype=dtype,
        fused=True,
    )
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if weight.ndim > 1:
            weight.assign(rng.normal(size=weight.shape) / np.sqrt(np.prod(weight.shape[:-1])))
    X, factors = rng.normal(size=(batch, *shape)), rng.normal(size=(batch, 3))
    for _ in range(times):
        with tf.GradientTape() as tape:
            poison()
            loss = tf.reduce_sum(model(X, training=True) * factors)
        poison()
        found = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
        yield np.concatenate([gradient.numpy().ravel() for gradient in found])


def assert_right_in_bfloat16(text, shape, batch=16):
    (exact,) = gradients(text, shape, "float32", batch)
    one, other = gradients(text, shape, "mixed_bfloat16", batch, times=2)
    assert np.linalg.norm(one - exact) < 0.1 * np.linalg.norm(exact)
    np.testing.assert_array_equal(one, other)


NARROW = [(5, 1, 1), (300, 1, 3), (1, 1, 8), (17, 2, 3), (4, 3, 16)]


@pytest.mark.parametrize(
    ("kernel", "strides"),
    [
        pytest.param(*each, marks=pytest.mark.slow if number % 3 else ())
        for number, each in enumerate(itertools.product([1, 2, 3, 8], [1, 2, 3, 5]))
    ],
)
def test_strided_convolution_gradients_in_bfloat16(kernel, strides):
    for shape in [*NARROW, (3, strides, 16)]:
        assert_right_in_bfloat16(f"CONV-8:{kernel}/{strides} -> FCS", shape)


@pytest.mark.parametrize(
    ("kernel", "size", "channels"), [(4, 8, 16), (8, 8, 16), (4, 4, 16), (8, 8, 8), (6, 6, 16)]
)
def test_patches_as_wide_as_the_image_in_bfloat16(kernel, size, channels):
    assert_right_in_bfloat16(f"CONV-8:{kernel}/{size} -> FCS", (5, size, channels), batch=3)


@pytest.mark.parametrize(
    "layer",
    [
        "CONV-4 -> BN",
        "CONV-4 -> POOL",
        "CONV-4 -> POOL-5",
        "CONV-4 -> AVGPOOL-3",
        "CONV-4 -> RELU",
        "CONV-4 -> GELU",
        "CONV-4 -> SILU",
        "CONV-4 -> TANH",
        "CONV-4 -> GAP -> FC-5",
        "CONV-4 -> GAP-4",
        "FC-7",
        "RES[CONV-4/2]",
        "RES[CONV-3 -> POOL-4 -> RES[CONV-6/3]]",
    ],
)
def test_every_layer_in_bfloat16_on_narrow_images(layer):
    for shape in [(1, 1, 8), (17, 1, 3), (7, 2, 3)]:
        assert_right_in_bfloat16(f"{layer} -> FCS", shape)


def trained_weights(architecture, X, batch_size=16):
    model = ImageClassifier(
        architecture,
        epochs=2,
        batch_size=batch_size,
        precision="mixed_bfloat16",
        random_state=0,
    ).fit(X, np.arange(len(X)) % 2)
    return model.model_.get_weights()


@pytest.mark.parametrize(
    ("architecture", "shape", "fits"),
    [
        ("[CONV-8/2 -> RELU]*2 -> GAP -> FCS", (300, 1), 5),
        ("CONV-16 -> CONV-8:8/8 -> FCS", (16, 8, 8), 2),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in [
                ("[CONV-4/2 -> RELU]*7 -> FCS", (64, 64), 5),
                ("CONV-4:5/3 -> RELU -> CONV-4:2/2 -> FCS", (9, 2, 3), 2),
                (
                    "RES[CONV-8/2] -> RES[CONV-8 -> POOL] -> RES[CONV-16:5/9]*2 -> FCS",
                    (32, 30),
                    2,
                ),
            ]
        ),
    ],
)
def test_bfloat16_training_is_deterministic(architecture, shape, fits):
    X = np.random.default_rng(0).random((40, *shape))
    first = trained_weights(architecture, X)
    assert all(np.isfinite(weight).all() for weight in first)
    for _ in range(fits - 1):
        poison()
        for one, other in zip(first, trained_weights(architecture, X), strict=True):
            np.testing.assert_array_equal(one, other)


def test_strided_kernels_of_one_pixel_do_not_write_past_their_memory(run_python):
    run_python(
        textwrap.dedent("""
        import numpy as np
        from skcnn import ImageClassifier
        X = np.random.default_rng(0).random((30, 32, 30, 8), np.float32)
        for precision in ("float32", "mixed_bfloat16"):
            net = ImageClassifier("CONV-33:1/2 -> RES[CONV-16/2] -> GAP -> FCS", epochs=8,
                batch_size=3, precision=precision, random_state=0).fit(X, np.arange(30) % 2)
            assert np.isfinite(net.history_["loss"]).all()
    """)
    )


def test_training_network_matches_prediction_network():
    text = "CONV-5:1/3 -> RES[CONV-4/2 -> RES[POOL]] -> CONV-3/9 -> FCS"
    make = functools.partial(
        build_network,
        architecture=text,
        input_shape=(17, 9, 3),
        n_outputs=3,
        batch_norm=True,
        standardize=True,
    )
    plain, fused = make(), make(fused=True)
    fused.set_weights(plain.get_weights())
    X = np.random.default_rng(0).normal(size=(4, 17, 9, 3))
    np.testing.assert_allclose(fused(X), plain(X), rtol=1e-5)
