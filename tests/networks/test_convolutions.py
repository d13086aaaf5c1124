"""The convolutions in training, compared with Keras' convolutions."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.devices import resolve_precision
from pix2pix_tf.networks.fast import convolutions
from pix2pix_tf.networks.fast.convolutions import (
    DownsamplingConvolution,
    FlatConvolution,
    NearestConvolution,
    TransposedConvolution,
)
from pix2pix_tf.networks.fast.winograd import Winograd
from tests.networks.inputs import filter_everything_minimally, second_derivatives
from tests.training.steps import eagerly

SHAPES = {
    DownsamplingConvolution: [(2, 2, 2, 7), (1, 3, 5, 4), (3, 18, 20, 3), (1, 40, 36, 2)],
    TransposedConvolution: [(2, 1, 1, 7), (1, 2, 3, 5), (3, 8, 8, 4), (1, 17, 18, 2)],
    FlatConvolution: [(1, 4, 4, 3), (2, 9, 7, 5)],
}
CASES = [(kind, shape) for kind, shapes in SHAPES.items() for shape in shapes]


def built(kind, shape, **options):
    layer = kind(6, **options)
    layer.build(shape)
    kernel = layer.trainable_weights[0]
    kernel.assign(tf.random.stateless_normal(kernel.shape, (1, 2)))
    layer.bias.assign(tf.random.stateless_normal((6,), (3, 4)))
    return layer


def output_and_gradients(layer, x, training):
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = layer(x, training=training)
        loss = tf.reduce_sum(tf.cast(output, tf.float32) * tf.random.stateless_normal(output.shape, (7, 8)))
    gradients = tape.gradient(loss, [x, layer.kernel.value, layer.bias.value])
    return [tf.cast(each, tf.float32).numpy() for each in (output, *gradients)]


FILTERED = [
    (DownsamplingConvolution, (3, 9, 12, 3)),
    (TransposedConvolution, (2, 5, 8, 4)),
    (FlatConvolution, (2, 7, 6, 5)),
]


@pytest.mark.parametrize(
    ("kind", "shape", "filtered"),
    [
        *((*case, False) for case in CASES),
        *(pytest.param(*case, True, marks=pytest.mark.slow) for case in FILTERED),
    ],
)
def test_training_equals_keras(kind, shape, filtered, monkeypatch):
    if filtered:
        filter_everything_minimally(monkeypatch)
    layer = built(kind, shape)
    x = tf.random.stateless_normal(shape, (5, 6))
    fast, plain = (output_and_gradients(layer, x, training) for training in (True, False))
    # Sums of at most some thousand float32 products, in a different order.
    for fast_one, plain_one in zip(fast, plain, strict=True):
        np.testing.assert_allclose(fast_one, plain_one, rtol=1e-4, atol=1e-4 * np.abs(plain_one).max())


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(("kind", "shape"), CASES)
def test_mixed_precision_differs_by_rounding(kind, shape, dtype):
    if dtype == "mixed_bfloat16" and resolve_precision("auto") != dtype:
        pytest.skip("without bfloat16 hardware, TensorFlow rounds each term of a product's sums")
    layer, exact = built(kind, shape, dtype=dtype), built(kind, shape)
    x = tf.cast(tf.random.stateless_normal(shape, (5, 6)), layer.compute_dtype)
    exact.kernel.assign(tf.cast(tf.cast(layer.kernel.value, x.dtype), tf.float32))
    found = output_and_gradients(layer, x, True)
    own = output_and_gradients(layer, x, False)
    truth = output_and_gradients(exact, tf.cast(x, tf.float32), False)
    # At most twice the error of Keras, which is random.
    for found_one, own_one, truth_one in zip(found, own, truth, strict=True):
        error, usual = np.abs(found_one - truth_one).max(), np.abs(own_one - truth_one).max()
        assert error <= 2 * usual + 1e-3 * np.abs(truth_one).max()


@pytest.mark.parametrize(("kind", "shape"), CASES)
def test_inference_equals_keras(kind, shape, monkeypatch):
    filter_everything_minimally(monkeypatch)
    for name in ("_downsample", "_upsample", "_winograd"):
        monkeypatch.setattr(convolutions, name, None)
    layer = built(kind, shape)
    x = tf.random.stateless_normal(shape, (5, 6))
    call = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, shape[-1]])])
    np.testing.assert_array_equal(call(x), layer(x))


@pytest.mark.parametrize(
    ("kind", "shape", "filtered"),
    [
        *((*case, None) for case in CASES),
        *((kind, (2, 7, 6, 3), "eagerly") for kind in SHAPES),
        # One layer only, because XLA takes 10 s to compile second derivatives.
        pytest.param(DownsamplingConvolution, (2, 8, 6, 2), "compiled", marks=pytest.mark.slow),
    ],
)
def test_second_derivatives_equal_keras(kind, shape, filtered, monkeypatch):
    if filtered:
        filter_everything_minimally(monkeypatch)
    layer, x = built(kind, shape), tf.random.stateless_normal(shape, (5, 6))
    weights = [layer.kernel.value, layer.bias.value]
    with eagerly() if filtered == "eagerly" else contextlib.nullcontext():
        found = tf.function(second_derivatives)(layer, x, weights, True)
        expected = second_derivatives(layer, x, weights, False)
    for fast, plain in zip(found, expected, strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=2e-5 * np.abs(plain).max())


@pytest.mark.parametrize("training", [True, False])
def test_nearest_upsampling_equals_repetition_and_convolution(training):
    layer = NearestConvolution(5, use_bias=True, name="nearest")
    x = tf.random.stateless_normal((2, 6, 9, 3), (1, 2))
    layer.build(x.shape)
    [small, bias] = layer.trainable_variables
    bias.assign(tf.range(5.0))
    doubled = tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)
    # A transposed convolution uses the flipped kernel, with channels and filters exchanged.
    turned = tf.transpose(tf.reverse(small.value, [0, 1]), [0, 1, 3, 2])
    expected = tf.nn.conv2d(doubled, turned, 1, "SAME") + bias.value
    np.testing.assert_allclose(layer(x, training=training), expected, rtol=1e-4, atol=1e-5)
    assert layer.count_params() == 3 * 3 * 3 * 5 + 5


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
