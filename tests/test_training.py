import keras
import numpy as np
import pytest

from skcnn.training import SCHEDULES, cosine, default_learning_rate, one_cycle


def test_one_cycle_rises_over_a_quarter_and_falls_to_zero():
    progress = [0, 0.125, 0.25, 0.625, 1]
    assert [one_cycle(p) for p in progress] == [0, 0.5, 1, 0.5, 0]


def test_cosine_falls_from_one_to_zero():
    np.testing.assert_allclose([cosine(p) for p in (0, 0.5, 1)], [1, 0.5, 0], atol=1e-15)


@pytest.mark.parametrize("schedule", SCHEDULES.values())
def test_schedules_are_fractions_of_the_peak(schedule):
    values = np.array([schedule(p) for p in np.linspace(0, 1, 101)])
    assert values.min() >= 0
    assert values.max() == pytest.approx(1)


def test_default_learning_rates():
    optimizers = keras.optimizers
    # Keras 3 took the classic 1.0 of Adadelta away
    assert default_learning_rate(optimizers.Adadelta, "constant") == 1.0
    assert default_learning_rate(optimizers.Adam, "constant") == pytest.approx(0.001)
    assert default_learning_rate(optimizers.Adam, "one_cycle") == 0.01
    assert default_learning_rate(optimizers.Lion, "one_cycle") == pytest.approx(
        float(optimizers.Lion().learning_rate)
    )
