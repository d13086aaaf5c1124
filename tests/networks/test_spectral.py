"""Spectral normalization, compared with NumPy's singular values and numerical derivatives."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.networks.spectral import (
    SpectralConvolution,
    SpectralDownsamplingConvolution,
    SpectralFlatConvolution,
)
from tests.networks.inputs import images

KINDS = [
    lambda **kwargs: SpectralConvolution(6, 3, **kwargs),
    lambda **kwargs: SpectralDownsamplingConvolution(6, **kwargs),
    lambda **kwargs: SpectralFlatConvolution(6, **kwargs),
]
KIND = pytest.mark.parametrize("kind", KINDS, ids=["plain", "halving", "flat"])


def built(kind, **kwargs):
    keras.utils.set_random_seed(0)
    layer = kind(kernel_initializer=keras.initializers.RandomNormal(0.0, 3.0), **kwargs)
    layer.build((1, 8, 8, 5))
    return layer


def largest_singular_value(kernel):
    kernel = tf.cast(kernel, tf.float64).numpy()
    return np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


def raw_kernel(layer):
    """The weight that ``kernel`` is the normalized form of."""
    return layer.trainable_variables[0]


@KIND
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 5e-3), ("mixed_float16", 1e-3)]
)
def test_largest_singular_value_converges_to_1(kind, dtype, tolerance):
    layer = built(kind, dtype=dtype)
    assert largest_singular_value(raw_kernel(layer).value) > 10
    for _ in range(100):
        layer(images(1, 8, 8, 5), training=True)
    assert layer.kernel.dtype.name == dtype.removeprefix("mixed_")
    assert abs(largest_singular_value(layer.kernel) - 1) < tolerance


@KIND
def test_one_power_iteration_per_training_call(kind):
    layer = built(kind)
    matrix, u = raw_kernel(layer).numpy().reshape(-1, 6), layer.u.numpy()
    layer(images(1, 8, 8, 5))
    np.testing.assert_array_equal(layer.u, u)
    layer(images(1, 8, 8, 5), training=True)
    expected = matrix.T @ matrix @ u
    np.testing.assert_allclose(layer.u, expected / np.linalg.norm(expected), rtol=1e-4, atol=1e-5)
    assert not any(weight is layer.u for weight in layer.trainable_weights)


@KIND
def test_gradients_flow_through_sigma(kind):
    layer, x = built(kind, dtype="float32"), images(1, 8, 8, 5)
    layer(x, training=True)
    kernel, weight = raw_kernel(layer), raw_kernel(layer).numpy()
    u = layer.u.numpy().astype(np.float64)
    direction = np.random.default_rng(1).normal(size=weight.shape)

    def loss(at):
        """The loss in float64 with constant u."""
        matrix = at.reshape(-1, 6)
        used = (matrix / np.linalg.norm(matrix @ u)).reshape(at.shape)
        output = tf.nn.conv2d(x.astype(np.float64), used, layer.strides, layer.padding.upper())
        return tf.reduce_sum(tf.sin(output)).numpy()

    with tf.GradientTape() as tape:
        objective = tf.reduce_sum(tf.sin(layer(x)))
    gradient = tape.gradient(objective, kernel.value).numpy()
    weight = weight.astype(np.float64)
    expected = (loss(weight + 1e-5 * direction) - loss(weight - 1e-5 * direction)) / 2e-5
    np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=1e-4)
    # The normalized kernel is independent of the weight's scale.
    assert abs(np.sum(gradient * weight)) < 1e-5 * np.linalg.norm(gradient) * np.linalg.norm(weight)
