"""The losses against the paper's formulas, written in float64 NumPy."""

import math

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.losses import adversarial_loss, discriminator_loss, generator_loss


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def random(shape, seed=0, scale=1.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


# float32 sums of some hundred terms: a few parts in a million.
CLOSE = {"rtol": 5e-6}


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_the_adversarial_loss_is_the_papers_cross_entropy(scale):
    logits = random((2, 6, 5, 1), scale=scale)
    real, fake = adversarial_loss(logits, real=True), adversarial_loss(logits, real=False)
    np.testing.assert_allclose(real, -np.log(sigmoid(logits)).mean(), **CLOSE)
    np.testing.assert_allclose(fake, -np.log(1 - sigmoid(logits)).mean(), **CLOSE)


@pytest.mark.parametrize("real", [True, False])
def test_an_undecided_discriminator_costs_log_2(real):
    loss = adversarial_loss(tf.zeros([1, 30, 30, 1]), real)
    assert loss.shape == ()
    assert loss.dtype == tf.float32
    np.testing.assert_allclose(loss, math.log(2), **CLOSE)


@pytest.mark.parametrize(("real", "direction"), [(True, -1), (False, 1)])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_logits_cost_their_size_or_nothing_and_never_overflow(real, direction, size):
    logits = tf.constant([[size]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = adversarial_loss(logits, real)
    wrong = size * direction > 0
    np.testing.assert_allclose(loss, abs(size) if wrong else 0.0, **CLOSE)
    np.testing.assert_allclose(tape.gradient(loss, logits), [[direction if wrong else 0.0]], atol=1e-6)


def test_the_discriminators_loss_is_half_the_sum_of_both_verdicts():
    real, fake = random((2, 3, 3, 1), 1), random((2, 3, 3, 1), 2)
    expected = 0.5 * (-np.log(sigmoid(real)).mean() - np.log(1 - sigmoid(fake)).mean())
    np.testing.assert_allclose(discriminator_loss(real, fake), expected, **CLOSE)
    zeros = tf.zeros([1, 3, 3, 1])
    np.testing.assert_allclose(discriminator_loss(zeros, zeros), math.log(2), **CLOSE)


def test_real_and_generated_logits_have_their_own_side():
    surely_real, surely_fake = tf.fill([1, 2, 2, 1], 20.0), tf.fill([1, 2, 2, 1], -20.0)
    assert discriminator_loss(surely_real, surely_fake) < 1e-6
    assert discriminator_loss(surely_fake, surely_real) > 19


@pytest.mark.parametrize("weight", [0.0, 1.0, 100.0])
def test_the_generators_loss_is_the_adversarial_one_plus_lambda_times_l1(weight):
    logits, fake, target = random((2, 3, 3, 1)), random((2, 8, 8, 3), 1), random((2, 8, 8, 3), 2)
    loss = generator_loss(logits, fake, target, weight)
    gan = -np.log(sigmoid(logits)).mean()
    l1 = np.abs(target.astype(np.float64) - fake).mean()
    np.testing.assert_allclose(loss.gan, gan, **CLOSE)
    np.testing.assert_allclose(loss.l1, l1, **CLOSE)
    np.testing.assert_allclose(loss.total, gan + weight * l1, **CLOSE)


def test_a_perfect_picture_has_no_l1_and_black_for_white_has_2():
    target = tf.ones([1, 4, 4, 3])
    logits = tf.zeros([1, 2, 2, 1])
    assert generator_loss(logits, target, target, 100.0).l1 == 0
    assert generator_loss(logits, -target, target, 100.0).l1 == 2


def test_the_generator_wants_its_picture_taken_for_real():
    picture = tf.zeros([1, 4, 4, 3])
    believed = generator_loss(tf.fill([1, 2, 2, 1], 3.0), picture, picture, 100.0)
    doubted = generator_loss(tf.fill([1, 2, 2, 1], -3.0), picture, picture, 100.0)
    assert believed.total < math.log(2) < doubted.total
