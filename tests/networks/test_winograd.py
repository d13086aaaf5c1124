"""Minimal filtering, against the library's own convolutions and their gradients."""

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.networks.fast.winograd import Winograd

PADDING = {1: "VALID", 2: "SAME"}

pytestmark = pytest.mark.slow  # its loops have to be compiled


def operands(stride, size, dtype, batch=2, channels=5, filters=6):
    winograd = Winograd(stride, size)
    shapes = [(batch, *size, channels), (batch, *winograd.result, filters), (4, 4, channels, filters)]
    return winograd, *(
        tf.cast(tf.random.stateless_normal(shape, (number, 1)), dtype) for number, shape in enumerate(shapes)
    )


def plain(stride, image, result, kernel):
    """The convolution of the image, the transposed one of the result, and the kernel's gradient."""
    image, result, kernel = (tf.cast(each, tf.float32) for each in (image, result, kernel))
    options = {"strides": stride, "padding": PADDING[stride]}
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        convolved = tf.nn.conv2d(image, kernel, **options)
        loss = tf.reduce_sum(convolved * result)
    transposed = tf.nn.conv2d_transpose(result, kernel, image.shape, **options)
    return convolved, transposed, tape.gradient(loss, kernel)


# Of a value of 1 bfloat16 keeps 8 bits: rounding once costs 0.17 %, and sums of four or sixteen values more.
@pytest.mark.parametrize(("stride", "bound"), [(2, 0.007), (1, 0.014)])
def test_bfloat16_error_is_the_documented_one(stride, bound):
    winograd, image, result, kernel = operands(stride, (34, 34), tf.bfloat16, channels=32, filters=32)
    convolved, gradient = winograd.convolve(image, kernel)
    for found, exact in zip(
        (convolved, *gradient(result)), plain(stride, image, result, kernel), strict=True
    ):
        assert found.dtype == tf.bfloat16
        error = tf.cast(found, tf.float32) - exact
        assert bound / 2 < distance(found, exact) < bound
        # At random: it does not push in one direction.
        assert abs(tf.reduce_mean(error)) < 4 * tf.math.reduce_std(error) / np.sqrt(
            error.shape.num_elements()
        )


def distance(found, exact):
    return tf.norm(tf.cast(found, tf.float32) - exact) / tf.norm(exact)
