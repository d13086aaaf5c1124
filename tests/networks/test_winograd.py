"""Minimal filtering, compared with TensorFlow's convolutions and their gradients."""

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.networks.fast.winograd import Winograd


# bfloat16 has 8 significant bits: rounding once costs 0.17 %, sums of four or sixteen values more.
@pytest.mark.slow  # compiles loops
@pytest.mark.parametrize(("stride", "padding", "bound"), [(2, "SAME", 0.007), (1, "VALID", 0.014)])
def test_bfloat16_error_is_the_documented_one(stride, padding, bound):
    winograd = Winograd(stride, (34, 34))
    shapes = [(2, 34, 34, 32), (2, *winograd.result, 32), (4, 4, 32, 32)]
    image, result, kernel = (
        tf.cast(tf.random.stateless_normal(shape, (number, 1)), tf.bfloat16)
        for number, shape in enumerate(shapes)
    )
    convolved, gradient = winograd.convolve(image, kernel)
    found = (convolved, *gradient(result))

    image, result, kernel = (tf.cast(each, tf.float32) for each in (image, result, kernel))
    with tf.GradientTape() as tape:
        tape.watch([image, kernel])
        convolved = tf.nn.conv2d(image, kernel, stride, padding)
        loss = tf.reduce_sum(convolved * result)
    for rounded, exact in zip(found, (convolved, *tape.gradient(loss, [image, kernel])), strict=True):
        assert rounded.dtype == tf.bfloat16
        error = tf.cast(rounded, tf.float32) - exact
        assert bound / 2 < tf.norm(error) / tf.norm(exact) < bound
        # The error has no bias.
        assert abs(tf.reduce_mean(error)) < 4 * tf.math.reduce_std(error) / np.sqrt(tf.size(error))
