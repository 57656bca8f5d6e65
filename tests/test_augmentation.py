import keras
import numpy as np
import pytest

from skcnn.augmentation import SampleGenerator, as_batch


def epochs_of(batches, n):
    """Run the generator as Keras does and collect the targets of every epoch."""
    orders = []
    for _ in range(n):
        batches.on_epoch_begin()
        orders.append(np.concatenate([batches[i][1] for i in range(len(batches))]))
        batches.on_epoch_end()
    return orders


def test_every_row_comes_once_an_epoch_in_a_new_order():
    X = np.arange(50) * 2
    first, second = epochs_of(SampleGenerator(X, X + 1, batch_size=8, random_state=0), 2)
    np.testing.assert_array_equal(np.sort(first), X + 1)
    np.testing.assert_array_equal(np.sort(second), X + 1)
    assert not np.array_equal(first, second)


def test_the_order_depends_on_seed_and_epoch_alone():
    X = np.arange(50)
    first = epochs_of(SampleGenerator(X, X, batch_size=8, random_state=3), 3)
    again = SampleGenerator(X, X, batch_size=50, random_state=3)
    again.epoch = 1
    np.testing.assert_array_equal(epochs_of(again, 1)[0], first[2])
    other = epochs_of(SampleGenerator(X, X, batch_size=8, random_state=4), 1)[0]
    assert not np.array_equal(other, first[0])


def test_weights_follow_their_samples_and_the_last_batch_is_kept():
    X = np.arange(20)
    rows = np.arange(3, 14)
    batches = SampleGenerator(X, X, X * 0.5, batch_size=4, indices=rows, random_state=0)
    batches.on_epoch_begin()
    assert [len(batches[i][0]) for i in range(len(batches))] == [4, 4, 3]
    for i in range(3):
        inputs, targets, weight = batches[i]
        np.testing.assert_array_equal(inputs, targets)
        np.testing.assert_array_equal(weight, targets * 0.5)
        assert set(targets) <= set(rows)


def test_unshuffled_batches_keep_the_order():
    X = np.arange(10)
    for order in epochs_of(SampleGenerator(X, X, batch_size=3, shuffle=False), 2):
        np.testing.assert_array_equal(order, X)


def test_a_bare_keras_model_trains_on_it():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(64, 3)).astype(np.float32)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    batches = SampleGenerator(X, X @ [[1.0], [2.0], [3.0]], batch_size=16, random_state=0)
    losses = model.fit(batches, epochs=30, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < 1e-3 < losses[0]


@pytest.mark.parametrize(
    ("dtype", "expected"), [("uint8", "uint8"), ("int16", "float32"), ("float64", "float32")]
)
def test_bytes_stay_bytes_until_the_network(dtype, expected):
    assert as_batch(np.zeros(3, dtype)).dtype == expected
