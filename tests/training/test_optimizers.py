"""Adam against its formulas and Keras, the loss scale against its rules."""

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.training.optimizers import EPSILON, Adam, LossScale

RATES = [(2e-4, 0.5, 0.999), (1e-2, 0.9, 0.99), (1e-3, 0.0, 0.9)]


def random(shape, seed, scale=1.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def gradients_of(step, scale=1.0):
    return [random((3, 4), 10 * step, scale), random((5,), 10 * step + 1, scale)]


def start():
    return [tf.Variable(random((3, 4), 1)), tf.Variable(random((5,), 2))]


def adam_in_float64(values, steps, learning_rate, beta_1, beta_2, scale=1.0):
    """Algorithm 1 of Kingma & Ba 2015, with epsilon inside the corrected root as section 2 allows."""
    values = [value.numpy().astype(np.float64) for value in values]
    moments = [(np.zeros_like(value), np.zeros_like(value)) for value in values]
    for t in range(1, steps + 1):
        for i, gradient in enumerate(gradients_of(t - 1, scale)):
            m, v = moments[i]
            m = beta_1 * m + (1 - beta_1) * gradient
            v = beta_2 * v + (1 - beta_2) * gradient.astype(np.float64) ** 2
            moments[i] = m, v
            rate = learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
            values[i] = values[i] - rate * m / (np.sqrt(v) + EPSILON)
    return values, moments


@pytest.mark.parametrize(("learning_rate", "beta_1", "beta_2"), RATES)
@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_adam_formula(learning_rate, beta_1, beta_2, scale):
    variables = start()
    expected, moments = adam_in_float64(variables, 5, learning_rate, beta_1, beta_2, scale)
    adam = Adam(variables, beta_1, beta_2)
    first = [variable.numpy() for variable in variables]
    for step in range(5):
        adam.apply(
            [tf.constant(g) for g in gradients_of(step, scale)],
            learning_rate,
            tf.constant(step + 1, tf.int64),
        )
    for i, variable in enumerate(variables):
        # Float32 weights near 1 are rounded by 6e-8 at each step; what changed is right to five digits.
        np.testing.assert_allclose(variable, expected[i], rtol=0, atol=5e-7)
        change, wanted = variable.numpy() - first[i], expected[i] - first[i]
        np.testing.assert_allclose(change, wanted, rtol=1e-3, atol=5e-7)
        for found, moment in zip(adam.moments[i], moments[i], strict=True):
            np.testing.assert_allclose(found, moment, rtol=2e-5, atol=1e-12)


@pytest.mark.parametrize(
    ("initial", "patience", "finite", "expected"),
    [
        (8.0, 3, (1, 1, 1, 1, 0, 1), [(8, 1), (8, 2), (16, 0), (16, 1), (8, 0), (8, 1)]),
        (1.0, 1, (0, 0), [(1, 0), (1, 0)]),  # its limits
        (2.0**24, 1, (1, 1), [(2**24, 0), (2**24, 0)]),
    ],
)
def test_good_updates_double_the_scale_and_overflows_halve_it(initial, patience, finite, expected):
    scale = LossScale(initial=initial, patience=patience)
    seen = []
    for each in finite:
        scale.update(tf.constant(bool(each)))
        seen.append((float(scale.scale), int(scale.good_updates)))
    assert seen == expected
