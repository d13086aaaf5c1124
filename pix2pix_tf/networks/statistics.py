"""Instance normalisation by given statistics: what a part of an image needs to be painted as part of it."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf
from keras import layers

from pix2pix_tf.networks.layers import InstanceNormalization


def normalizations(network: keras.Model) -> list[InstanceNormalization]:
    """Returns the layers whose statistics are those of the whole image."""
    return [layer for layer in network.layers if isinstance(layer, InstanceNormalization)]


def probe(network: keras.Model) -> keras.Model:
    """Returns a model from an image to what each of :func:`normalizations` takes of it, by its name."""
    return keras.Model(network.input, {layer.name: layer.input for layer in normalizations(network)})


def moments(x: tf.Tensor) -> tf.Tensor:
    """Returns what statistics of several parts of an image are averaged from.

    Args:
        x: [1, height, width, channels] of a part.

    Returns:
        float64 [2, channels]: the means, and those of the squares.
    """
    mean, variance = (tf.cast(each, tf.float64) for each in tf.nn.moments(tf.cast(x, tf.float32), (0, 1, 2)))
    return tf.stack([mean, variance + mean**2])


def with_fixed_statistics(network: keras.Model) -> keras.Model:
    """Returns the network with :func:`normalizations` by statistics that are set with :func:`set_statistics`.

    It shares all other layers, and their weights, with ``network``.
    """

    def fixed(layer: layers.Layer) -> layers.Layer:
        if not isinstance(layer, InstanceNormalization):
            return layer
        # Not trainable, it takes its moving averages even where dropout is kept.
        return layers.BatchNormalization(
            epsilon=layer.epsilon, trainable=False, name=layer.name, dtype=layer.dtype_policy
        )

    return keras.models.clone_model(network, clone_function=fixed)


def set_statistics(fixed: keras.Model, network: keras.Model, found: Mapping[str, tf.Tensor]) -> None:
    """Makes a network of :func:`with_fixed_statistics` normalise by the statistics of an image.

    Args:
        fixed: that network.
        network: what it was made of: gives scale and offset.
        found: the :func:`moments` of the image, averaged over its parts, by the layers' names.
    """
    for layer in normalizations(network):
        mean, square = found[layer.name]
        variance = tf.maximum(square - mean**2, 0)
        fixed.get_layer(layer.name).set_weights([layer.gamma, layer.beta, mean, variance])
