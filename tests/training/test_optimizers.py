"""Adam against its formulas and Keras, the loss scale against its rules."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.training.optimizers import EPSILON, Adam, LossScale, all_finite

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
def test_five_steps_are_those_of_the_formula(learning_rate, beta_1, beta_2, scale):
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


@pytest.mark.parametrize(("learning_rate", "beta_1", "beta_2"), RATES)
def test_five_steps_are_those_of_keras(learning_rate, beta_1, beta_2):
    ours, theirs = start(), [keras.Variable(value.numpy()) for value in start()]
    adam = Adam(ours, beta_1, beta_2)
    reference = keras.optimizers.Adam(learning_rate, beta_1, beta_2, epsilon=EPSILON)
    for step in range(5):
        gradients = [tf.constant(gradient) for gradient in gradients_of(step)]
        adam.apply(gradients, learning_rate, tf.constant(step + 1, tf.int64))
        reference.apply(gradients, theirs)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-6)  # float32, five roundings


def test_a_later_step_needs_nothing_but_the_moments_and_the_step():
    whole, halves = start(), start()
    adam, first = Adam(whole, 0.5, 0.9), Adam(halves, 0.5, 0.9)
    for step in range(3):
        adam.apply([tf.constant(g) for g in gradients_of(step)], 1e-2, tf.constant(step + 1, tf.int64))
        first.apply([tf.constant(g) for g in gradients_of(step)], 1e-2, tf.constant(step + 1, tf.int64))
    second = Adam(halves, 0.5, 0.9)
    for ours, theirs in zip(second.moments, first.moments, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            one.assign(other)
    adam.apply([tf.constant(g) for g in gradients_of(3)], 1e-2, tf.constant(4, tf.int64))
    second.apply([tf.constant(g) for g in gradients_of(3)], 1e-2, tf.constant(4, tf.int64))
    for one, other in zip(whole, halves, strict=True):
        np.testing.assert_array_equal(one, other)


# ---------------------------------------------------------------- loss scale


def test_good_updates_double_the_scale_and_an_overflow_halves_it():
    scale = LossScale(initial=8.0, patience=3)
    seen = []
    for finite in (True, True, True, True, False, True):
        scale.update(tf.constant(finite))
        seen.append((float(scale.scale), int(scale.good_updates)))
    assert seen == [(8, 1), (8, 2), (16, 0), (16, 1), (8, 0), (8, 1)]


@pytest.mark.parametrize(("initial", "finite", "stays"), [(1.0, False, 1.0), (2.0**24, True, 2.0**24)])
def test_the_scale_stays_within_its_limits(initial, finite, stays):
    scale = LossScale(initial=initial, patience=1)
    for _ in range(3):
        scale.update(tf.constant(finite))
    assert float(scale.scale) == stays


def test_gradients_are_divided_by_the_scale():
    scale = LossScale(initial=2.0**15)
    small, large = scale.unscale([tf.constant([2.0**-5, 2.0**15]), tf.constant(-(2.0**16))])
    np.testing.assert_array_equal(small, [2.0**-20, 1.0])
    np.testing.assert_array_equal(large, -2.0)


@pytest.mark.parametrize(
    ("values", "finite"),
    [
        ([[1.0, -2.0], [3e38]], True),
        ([[0.0], []], True),
        ([[1.0, np.nan], [0.0]], False),
        ([[1.0], [np.inf]], False),
        ([[-np.inf, np.inf], [0.0]], False),
    ],
)
def test_one_bad_number_in_any_tensor_is_noticed(values, finite):
    assert bool(all_finite([tf.constant(value, tf.float32) for value in values])) is finite
