"""Minimal filtering, against the library's own convolutions and their gradients."""

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.networks.fast.winograd import _BY_STRIDE, Winograd

# Stride, height, width: whole tiles, some that stick out, images of hardly a tile.
SIZES = [(2, 8, 6), (2, 7, 9), (2, 1, 5), (1, 11, 6)]
PADDING = {1: "VALID", 2: "SAME"}

pytestmark = pytest.mark.slow  # its loops have to be compiled


@pytest.mark.parametrize(("stride", "taps", "results", "products"), [(2, 2, 2, 3), (1, 4, 4, 9)])
def test_a_filter_needs_fewer_products_and_is_exact(stride, taps, results, products):
    parts = _BY_STRIDE[stride]
    random = np.random.default_rng(0)
    image, kernel = random.integers(-99, 99, taps + results - 1), random.integers(-99, 99, taps)
    found = parts.result.T @ ((parts.kernel @ kernel) * (parts.image @ image))
    np.testing.assert_array_equal(found, np.correlate(image, kernel, "valid"))
    assert len(parts.image) == products < taps * results


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


@pytest.mark.parametrize(("stride", "height", "width"), SIZES)
def test_both_convolutions_and_all_gradients_are_the_librarys(stride, height, width):
    winograd, image, result, kernel = operands(stride, (height, width), tf.float32)
    expected = plain(stride, image, result, kernel)
    convolved, gradient = winograd.convolve(image, kernel)
    transposed, gradient_of_transposed = winograd.transpose(result, kernel)
    image_gradient, kernel_gradient = gradient(result)
    result_gradient, same_kernel_gradient = gradient_of_transposed(image)
    for found, exact in [
        (convolved, expected[0]),
        (result_gradient, expected[0]),
        (transposed, expected[1]),
        (image_gradient, expected[1]),
        (kernel_gradient, expected[2]),
        (same_kernel_gradient, expected[2]),
    ]:
        assert found.shape == exact.shape
        assert distance(found, exact) < 2e-6


# Of a value of 1 bfloat16 keeps 8 bits: rounding once costs 0.17 %, and sums of four or sixteen values more.
@pytest.mark.parametrize(("stride", "bound"), [(2, 0.007), (1, 0.014)])
def test_bfloat16_is_off_by_as_much_as_the_documentation_says(stride, bound):
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
