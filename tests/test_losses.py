"""The losses, compared with the papers' formulas in float64 NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.losses import GAN_LOSSES, gradient_penalty, pixel_loss
from pix2pix_tf.networks import build_discriminator
from pix2pix_tf.networks.fast.convolutions import (
    DownsamplingConvolution,
    FlatConvolution,
    TransposedConvolution,
)
from pix2pix_tf.networks.layers import InstanceNormalization
from pix2pix_tf.networks.spectral import SpectralDownsamplingConvolution


def random(shape, seed=0, scale=1.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


CLOSE = {"rtol": 5e-6, "atol": 1e-7}  # float32 sums of some hundred terms
REAL, FAKE = [[2.0, -1.0], [0.5, 0.0]], [[1.0, -3.0], [0.0, -0.5]]


@pytest.mark.parametrize(
    ("kind", "discriminator", "generator"),
    [
        # log(1 + e^-2), log(1 + e^1), log(1 + e^-0.5), log 2; log(1 + e^1), log(1 + e^-3) …
        (
            "vanilla",
            (0.126928 + 1.313262 + 0.474077 + 0.693147 + 1.313262 + 0.048587 + 0.693147 + 0.474077) / 8,
            (0.313262 + 3.048587 + 0.693147 + 0.974077) / 4,
        ),
        ("lsgan", ((1 + 4 + 0.25 + 1) / 4 + (1 + 9 + 0 + 0.25) / 4) / 2, (0 + 16 + 1 + 2.25) / 4),
        ("hinge", (0 + 2 + 0.5 + 1) / 4 + (2 + 0 + 1 + 0.5) / 4, 2.5 / 4),
        ("wgan-gp", -2.5 / 4 - 1.5 / 4, 2.5 / 4),
    ],
)
def test_losses_of_four_logits_by_hand(kind, discriminator, generator):
    real, fake = tf.constant(REAL), tf.constant(FAKE)
    for loss, expected in [
        (GAN_LOSSES[kind].discriminator(real, fake), discriminator),
        (GAN_LOSSES[kind].generator(fake), generator),
    ]:
        assert loss.shape == ()
        assert loss.dtype == tf.float32
        np.testing.assert_allclose(loss, expected, rtol=2e-6)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_logits(size):
    logits = tf.constant([[size]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = GAN_LOSSES["vanilla"].generator(logits)
    np.testing.assert_allclose(loss, max(-size, 0), **CLOSE)
    np.testing.assert_allclose(tape.gradient(loss, logits), [[-1.0 if size < 0 else 0.0]], atol=1e-6)
    costs = GAN_LOSSES["vanilla"].discriminator(logits, -logits)
    np.testing.assert_allclose(costs, max(-size, 0), **CLOSE)


@pytest.mark.parametrize(("kind", "distance"), [("l1", np.abs), ("l2", np.square)])
def test_pixel_losses_are_mean_distances_per_image(kind, distance):
    fake, target = random((3, 8, 8, 2), 1), random((3, 8, 8, 2), 2)
    distances = distance(target.astype(np.float64) - fake)
    np.testing.assert_allclose(pixel_loss(kind, fake, target), distances.mean(), **CLOSE)
    # A different share of pixels counts in each image, and none of the last image.
    shares = np.array([0.9, 0.45, 0.0])[:, None, None, None]
    weight = (np.random.default_rng(9).random((3, 8, 8, 1)) < shares).astype(np.float32)
    means = [each[mask[..., 0] > 0].mean() for each, mask in zip(distances[:2], weight[:2], strict=True)]
    for factor in (1, 0.5):
        loss = pixel_loss(kind, fake, target, factor * weight)
        np.testing.assert_allclose(loss, sum(means) / 3, **CLOSE)


def draws(shape, seed=0):
    real, fake = (tf.constant(random(shape, seed + number)) for number in (1, 2))
    return real, fake, tf.random.stateless_uniform([shape[0], 1, 1, 1], (seed, 3))


def test_penalty_between_real_and_generated_images():
    real, fake, _ = draws((3, 4, 4, 2))
    mix = tf.reshape(tf.constant([0.0, 1.0, 0.25]), [3, 1, 1, 1])

    def critic(images):
        """Three logits per image. The gradient of their mean is twice the image."""
        squares = tf.reduce_sum(tf.square(images), axis=[1, 2, 3])
        return tf.stack([squares * factor / 2 for factor in (1, 2, 3)], axis=1)

    penalty, norm = gradient_penalty(critic, real, fake, mix)
    images = [fake[0], real[1], 0.25 * real[2] + 0.75 * fake[2]]
    norms = np.array([2 * np.linalg.norm(image) for image in images])
    np.testing.assert_allclose(norm, norms.mean(), rtol=1e-5)
    np.testing.assert_allclose(penalty, np.square(norms - 1).mean(), rtol=1e-5)


def test_penalty_of_a_flat_critic():
    weight = tf.Variable(tf.zeros([4, 4, 3]))
    real, fake, mix = draws((2, 4, 4, 3))
    with tf.GradientTape() as tape:
        penalty, norm = gradient_penalty(
            lambda images: tf.reduce_sum(images * weight, axis=[1, 2, 3]), real, fake, mix
        )
    np.testing.assert_allclose([penalty, norm], [1, 0], atol=1e-5)
    assert np.isfinite(tape.gradient(penalty, weight)).all()


def smooth_critic(kind, dtype):
    """A critic without leaky ReLUs, whose gradient would be discontinuous."""
    layers = {
        "halving": lambda: [DownsamplingConvolution(3, dtype=dtype)],
        "flat": lambda: [FlatConvolution(3, dtype=dtype)],
        "spectral": lambda: [SpectralDownsamplingConvolution(3, dtype=dtype)],
        "normalized": lambda: [
            DownsamplingConvolution(3, dtype=dtype),
            InstanceNormalization(dtype=dtype),
            TransposedConvolution(2, dtype=dtype),
        ],
    }[kind]()
    tanh = keras.layers.Activation("tanh", dtype=dtype)
    return keras.Sequential([keras.Input((10, 9, 2), dtype=dtype), *layers, tanh])


@pytest.mark.parametrize("kind", ["halving", "flat", "spectral", "normalized"])
def test_penalty_gradients_equal_numerical_ones(kind):
    """Compares float32 gradients of the fast layers with float64 differences of the plain layers."""
    keras.utils.set_random_seed(0)
    critic, exact = smooth_critic(kind, "float32"), smooth_critic(kind, "float64")
    for own, other in zip(critic.weights, exact.weights, strict=True):
        own.assign(own + random(own.shape, 5, 0.3) * own.trainable)
        other.assign(own)
    directions = [random(weight.shape, 10 + seed) for seed, weight in enumerate(critic.trainable_weights)]
    real, fake, mix = draws((2, 10, 9, 2))
    training = kind != "spectral"  # each call in training would make a power iteration
    weights = [weight.value for weight in critic.trainable_weights]
    with tf.GradientTape() as tape:
        penalty, _ = gradient_penalty(lambda images: critic(images, training=training), real, fake, mix)
    slope = sum(np.sum(g * d) for g, d in zip(tape.gradient(penalty, weights), directions, strict=True))

    def penalty_at(step):
        for own, other, direction in zip(
            critic.trainable_weights, exact.trainable_weights, directions, strict=True
        ):
            other.assign(tf.cast(own, "float64") + step * direction)
        images = tf.cast(mix * real + (1 - mix) * fake, "float64")
        with tf.GradientTape() as tape:
            tape.watch(images)
            scores = tf.reduce_mean(exact(images, training=False), axis=[1, 2, 3])
        lengths = [np.linalg.norm(gradient) for gradient in tape.gradient(scores, images).numpy()]
        return np.mean(np.square(np.array(lengths) - 1))

    numerical = (penalty_at(1e-5) - penalty_at(-1e-5)) / 2e-5
    np.testing.assert_allclose(penalty_at(0), penalty, rtol=1e-5)
    np.testing.assert_allclose(slope, numerical, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [("mixed_bfloat16", 0.25), ("mixed_float16", 0.1)])
@pytest.mark.slow
def test_mixed_precision_penalty_differs_by_rounding(dtype, tolerance):
    # Most of the tolerance is for activations whose sign changes by rounding, and with it the gradient.
    (exact, exact_length, expected), (penalty, length, found) = map(penalty_and_gradients, ("float32", dtype))
    assert penalty.dtype == length.dtype == tf.float32
    np.testing.assert_allclose(length, exact_length, rtol=0.02)
    np.testing.assert_allclose(penalty, exact, rtol=tolerance)
    assert tf.norm(found - expected) / tf.norm(expected) < tolerance


def penalty_and_gradients(dtype):
    keras.utils.set_random_seed(0)
    critic = build_discriminator(base_filters=4, condition_channels=None, dtype=dtype)
    for weight in critic.trainable_weights:  # initial weights are too small
        weight.assign(weight + random(weight.shape, 5, 0.1))
    real, fake, mix = draws((2, 33, 40, 3))

    @tf.function
    def gradients():
        weights = [weight.value for weight in critic.trainable_weights]
        with tf.GradientTape() as tape:
            found = gradient_penalty(lambda images: critic(images, training=True), real, fake, mix)
        parts = tape.gradient(found[0], weights, unconnected_gradients="zero")
        return *found, tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0)

    return gradients()
