"""The convolutions of stride 2 as training computes them, against Keras' own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.networks import convolutions
from pix2pix_tf.networks.convolutions import HalvingConvolution, TransposedConvolution

# Batch, height, width, channels: products throughout, products for the kernel's gradient only, none.
SHAPES = {
    HalvingConvolution: [
        (2, 2, 2, 7),
        (1, 3, 5, 4),
        (1, 16, 16, 5),
        (3, 18, 20, 3),
        (1, 17, 30, 3),
        (1, 40, 36, 2),
    ],
    TransposedConvolution: [
        (2, 1, 1, 7),
        (1, 2, 3, 5),
        (1, 8, 8, 4),
        (3, 8, 8, 4),
        (1, 1, 5, 4),
        (1, 17, 18, 2),
    ],
}
CASES = [(kind, shape) for kind, shapes in SHAPES.items() for shape in shapes]


def built(kind, shape, **options):
    layer = kind(6, **options)
    layer.build(shape)
    layer.kernel.assign(tf.random.stateless_normal(layer.kernel.shape, (1, 2)))
    layer.bias.assign(tf.random.stateless_normal((6,), (3, 4)))
    return layer


def output_and_gradients(layer, x, training):
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = layer(x, training=training)
        loss = tf.reduce_sum(tf.cast(output, tf.float32) * tf.random.stateless_normal(output.shape, (7, 8)))
    gradients = tape.gradient(loss, [x, layer.kernel.value, layer.bias.value])
    return [tf.cast(each, tf.float32).numpy() for each in (output, *gradients)]


@pytest.mark.parametrize(("kind", "shape"), CASES)
def test_training_equals_keras_own_with_all_gradients(kind, shape):
    layer = built(kind, shape)
    x = tf.random.stateless_normal(shape, (5, 6))
    fast, plain = (output_and_gradients(layer, x, training) for training in (True, False))
    # Sums of at most some thousand float32 products, added up in another order.
    for fast_one, plain_one in zip(fast, plain, strict=True):
        np.testing.assert_allclose(fast_one, plain_one, rtol=1e-4, atol=1e-4 * np.abs(plain_one).max())


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(("kind", "shape"), CASES)
def test_in_mixed_precision_only_the_rounding_differs(kind, shape, dtype):
    layer, exact = built(kind, shape, dtype=dtype), built(kind, shape)
    x = tf.cast(tf.random.stateless_normal(shape, (5, 6)), layer.compute_dtype)
    exact.kernel.assign(tf.cast(tf.cast(layer.kernel.value, x.dtype), tf.float32))
    found = output_and_gradients(layer, x, True)
    own = output_and_gradients(layer, x, False)
    truth = output_and_gradients(exact, tf.cast(x, tf.float32), False)
    # Not further from the truth than Keras' own, but for luck.
    for found_one, own_one, truth_one in zip(found, own, truth, strict=True):
        error, usual = np.abs(found_one - truth_one).max(), np.abs(own_one - truth_one).max()
        assert error <= 2 * usual + 1e-3 * np.abs(truth_one).max()


@pytest.mark.parametrize(("kind", "shape"), CASES)
def test_inference_is_keras_own_at_any_size(kind, shape, monkeypatch):
    for name in ("_halve", "_double"):
        monkeypatch.setattr(convolutions, name, None)
    layer = built(kind, shape)
    x = tf.random.stateless_normal(shape, (5, 6))
    call = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, shape[-1]])])
    np.testing.assert_array_equal(call(x), layer(x))


@pytest.mark.parametrize("kind", [HalvingConvolution, TransposedConvolution])
def test_unknown_sizes_train_too(kind):
    layer = built(kind, (1, 6, 8, 3))
    x = tf.random.stateless_normal((2, 6, 8, 3), (5, 6))
    call = tf.function(
        lambda x: layer(x, training=True), input_signature=[tf.TensorSpec([None, None, None, 3])]
    )
    np.testing.assert_allclose(call(x), layer(x, training=True), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [HalvingConvolution, TransposedConvolution])
def test_layers_are_rebuilt_from_their_configuration(kind):
    layer = built(kind, (1, 6, 8, 3), use_bias=True, name="convolution")
    rebuilt = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(rebuilt) is kind
    assert rebuilt.get_config() == layer.get_config()
