"""Instance normalization with fixed statistics, so that tiles are normalized like the whole image."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf
from keras import layers

from pix2pix_tf.networks.layers import InstanceNormalization


def normalizations(network: keras.Model) -> list[InstanceNormalization]:
    """Returns the layers that depend on statistics of the whole image."""
    return [layer for layer in network.layers if isinstance(layer, InstanceNormalization)]


def probe(network: keras.Model) -> keras.Model:
    """Returns a model from an image to the inputs of all `normalizations`, by layer name."""
    return keras.Model(network.input, {layer.name: layer.input for layer in normalizations(network)})


def moments(x: tf.Tensor) -> tf.Tensor:
    """Returns the mean and the mean square of each channel of a tile [1, height, width, channels].

    The result is float64 [2, channels] and can be averaged over tiles.
    """
    mean, variance = (tf.cast(each, tf.float64) for each in tf.nn.moments(tf.cast(x, tf.float32), (0, 1, 2)))
    return tf.stack([mean, variance + mean**2])


def with_fixed_statistics(network: keras.Model) -> keras.Model:
    """Returns the network with `normalizations` that use the statistics given to `set_statistics`.

    All other layers are shared with ``network``.
    """

    def fixed(layer: layers.Layer) -> layers.Layer:
        if not isinstance(layer, InstanceNormalization):
            return layer
        # Not trainable, so it uses its moving averages even if dropout stays active.
        return layers.BatchNormalization(
            epsilon=layer.epsilon, trainable=False, name=layer.name, dtype=layer.dtype_policy
        )

    return keras.models.clone_model(network, clone_function=fixed)


def set_statistics(fixed: keras.Model, network: keras.Model, found: Mapping[str, tf.Tensor]) -> None:
    """Sets an image's statistics in a model from `with_fixed_statistics`.

    ``network`` is the original model, whose scale and offset are copied. ``found`` has the average `moments`
    of each layer's input, by layer name.
    """
    for layer in normalizations(network):
        mean, square = found[layer.name]
        variance = tf.maximum(square - mean**2, 0)
        fixed.get_layer(layer.name).set_weights([layer.gamma, layer.beta, mean, variance])
