"""Faster upsampling for trained networks: a convolution followed by depth-to-space."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers

_TAPS = 4  # largest kernel size


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class PhaseConvolution(layers.Layer):
    """A transposed convolution at stride 2, computed as a 2×2 convolution and depth-to-space.

    Maps [batch, height, width, channels] to [batch, 2 height, 2 width, filters]. Each output pixel depends on
    2×2 input pixels. The kernel's taps (up to 4×4) that apply depend on whether its row and column are even:
    four cases, called phases. A 2×2 convolution computes all four phases as channels. This is much faster
    than a transposed convolution in XNNPACK, and in TensorFlow for few pixels or few output channels.

    The weights are the transposed convolution's in a different order, see `set_phases`. Reordering takes as
    long as several convolutions, so it is done once and not per image. ``taps`` is the kernel size of the
    transposed convolution, from 2 to 4.
    """

    def __init__(self, filters: int, taps: int = _TAPS, use_bias: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.taps, self.use_bias = filters, taps, use_bias

    @classmethod
    def of(cls, layer: layers.Layer) -> PhaseConvolution | None:
        """Returns an untrained layer equivalent to a transposed convolution; ``None`` for other layers."""
        if (
            not isinstance(layer, layers.Conv2DTranspose)
            or layer.kernel_size not in [(taps, taps) for taps in range(2, _TAPS + 1)]
            or tuple(layer.strides) != (2, 2)
            or layer.padding != "same"
            or layer.output_padding is not None
            or layer.activation is not keras.activations.linear
        ):
            return None
        taps = layer.kernel_size[0]
        return cls(layer.filters, taps, layer.use_bias, name=layer.name, dtype=layer.dtype_policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (2, 2, input_shape[-1], 4 * self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="zeros")
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(4 * self.filters,), initializer="zeros")

    def call(self, x: Any) -> Any:
        size = tf.shape(x)
        height, width = (size[axis] if x.shape[axis] is None else x.shape[axis] for axis in (1, 2))
        shift = int(self.taps == _TAPS)  # input pixel i contributes to outputs from 2i - shift on
        x = tf.pad(x, [[0, 0], [1, shift], [1, shift], [0, 0]])
        x = tf.nn.conv2d(x, tf.convert_to_tensor(self.kernel), strides=1, padding="VALID")
        if self.use_bias:
            x = tf.nn.bias_add(x, tf.convert_to_tensor(self.bias))
        return tf.nn.depth_to_space(x, 2)[:, shift : shift + 2 * height, shift : shift + 2 * width]

    def get_config(self) -> dict[str, Any]:
        own = {"filters": self.filters, "taps": self.taps, "use_bias": self.use_bias}
        return {**super().get_config(), **own}


def in_phases(network: keras.Model) -> keras.Model:
    """Returns the network with `PhaseConvolution` for upsampling; its weights are set by `set_phases`.

    All other layers are shared with ``network``.
    """
    return keras.models.clone_model(network, clone_function=lambda layer: PhaseConvolution.of(layer) or layer)


def set_phases(phased: keras.Model, network: keras.Model) -> None:
    """Copies the weights of ``network`` to the model that `in_phases` made from it."""
    for layer in phased.layers:
        if not isinstance(layer, PhaseConvolution):
            continue
        transposed = network.get_layer(layer.name)
        missing = [0, _TAPS - layer.taps]
        kernel = tf.pad(tf.convert_to_tensor(transposed.kernel), [missing, missing, [0, 0], [0, 0]])
        filters, channels = kernel.shape[2:]
        # For the window that begins at pixel i - 1, output 2i - shift is x[i - 1] · k[2] + x[i] · k[0], and
        # the next output is x[i - 1] · k[3] + x[i] · k[1].
        taps = tf.reshape(kernel, [2, 2, 2, 2, filters, channels])
        taps = tf.transpose(tf.reverse(taps, [0, 2]), [0, 2, 5, 1, 3, 4])
        weights = [tf.reshape(taps, [2, 2, channels, 4 * filters])]
        if layer.use_bias:
            weights.append(tf.tile(tf.convert_to_tensor(transposed.bias), [4]))
        layer.set_weights(weights)
