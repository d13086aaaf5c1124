"""The layers that Keras lacks, compared with NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.networks.layers import (
    CropToMatch,
    InstanceNormalization,
    ReflectToAtLeast,
)
from tests.networks.inputs import second_derivatives


def random(shape, seed=0, scale=1.0, shift=0.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale + shift).astype(np.float32)


def instance_norm(x, gamma, beta, epsilon=1e-5):
    x = x.astype(np.float64)
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


@pytest.mark.parametrize("shape", [(1, 4, 4, 2), (3, 7, 5, 4), (2, 1, 9, 1)])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.01, 3.0), (50.0, -20.0)])
def test_instance_normalization_formula(shape, scale, shift):
    x = random(shape, scale=scale, shift=shift)
    layer = InstanceNormalization()
    layer.build(shape)
    gamma, beta = random(shape[-1:], 1), random(shape[-1:], 2)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    # The mean of a channel far from zero is off by some 1e-7 of it: 3e-7 against a deviation of 0.01.
    np.testing.assert_allclose(layer(x), instance_norm(x, gamma, beta), rtol=1e-4, atol=2e-4)


def test_bfloat16_statistics_stay_float32():
    x = random((2, 64, 64, 3), scale=0.5, shift=10.0)
    layer = InstanceNormalization(dtype="mixed_bfloat16")
    y = layer(x)
    assert y.dtype == tf.bfloat16
    assert layer.gamma.dtype == "float32"
    rounded = tf.cast(tf.cast(x, tf.bfloat16), tf.float32).numpy()
    expected = instance_norm(rounded, 1.0, 0.0)
    # bfloat16 has 8 bits of mantissa: the result is rounded once, by at most 2**-9 of itself.
    np.testing.assert_allclose(tf.cast(y, tf.float32), expected, rtol=2**-8, atol=1e-4)


def traced(layer):
    return tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 3])])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (2, 5), (3, 40), (8, 8), (9, 7), (33, 16)])
@pytest.mark.parametrize("minimum", [1, 8, 33])
def test_reflection_equals_numpy(height, width, minimum):
    x = random((2, height, width, 3))
    padding = [(0, 0), (0, max(0, minimum - height)), (0, max(0, minimum - width)), (0, 0)]
    expected = np.pad(x, padding, mode="reflect")
    layer = ReflectToAtLeast(minimum)
    np.testing.assert_array_equal(layer(x), expected)
    np.testing.assert_array_equal(traced(layer)(x), expected)


@pytest.mark.parametrize("reference", [(4, 6), (3, 6), (4, 5), (1, 1)])
def test_cropping_keeps_the_top_left(reference):
    x, other = random((2, 4, 6, 3)), random((2, *reference, 5), 1)
    layer, expected = CropToMatch(), x[:, : reference[0], : reference[1]]
    specs = [[tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, None, None, 5])]]
    np.testing.assert_array_equal(layer([x, other]), expected)
    np.testing.assert_array_equal(tf.function(layer, input_signature=specs)([x, other]), expected)
    assert layer([keras.Input((4, 6, 3)), keras.Input((*reference, 5))]).shape == (None, *reference, 3)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("shape", [(1, 8, 6, 5), (3, 4, 4, 7), (2, 1, 2, 3)])
def test_fused_instance_normalization_gradients(shape, dtype):
    layer = InstanceNormalization(dtype=dtype)
    layer.build(shape)
    layer.gamma.assign(random(shape[-1:], 1, 0.3, 1.0))
    layer.beta.assign(random(shape[-1:], 2))
    x = tf.cast(random(shape, 3, 2.0, 0.5), layer.compute_dtype)
    weights = [layer.gamma.value, layer.beta.value]

    def output_and_gradients(training):
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = layer(x, training=training)
            loss = tf.reduce_sum(tf.sin(tf.cast(output, tf.float32)))
        return [tf.cast(each, tf.float32) for each in (output, *tape.gradient(loss, [x, *weights]))]

    # The eight bits of bfloat16 are a relative error of 2**-8 in each of the few roundings on the way.
    tolerance = {"float32": 1e-4, "mixed_bfloat16": 0.06, "mixed_float16": 0.01}[dtype]
    for fused, plain in zip(output_and_gradients(True), output_and_gradients(False), strict=True):
        np.testing.assert_allclose(fused, plain, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(1, 8, 6, 5), (3, 4, 4, 7)])
def test_fused_instance_normalization_second_derivatives(shape):
    layer = InstanceNormalization()
    layer.build(shape)
    layer.gamma.assign(random(shape[-1:], 1, 0.3, 1.0))
    x = tf.constant(random(shape, 3, 2.0, 0.5))
    weights = [layer.gamma.value, layer.beta.value]
    derivatives = (second_derivatives(layer, x, weights, training) for training in (True, False))
    for fused, plain in zip(*derivatives, strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-4, atol=1e-5 * np.abs(plain).max())
