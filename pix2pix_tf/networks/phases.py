"""Doublings as they are computed fastest once a network is trained: as convolutions whose channels become
pixels."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers

_TAPS = 4  # of the largest kernel, each way


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class PhaseConvolution(layers.Layer):
    """A transposed convolution that doubles its image, as a convolution whose channels then become pixels.

    An output pixel is made of 2×2 input pixels, and which of the kernel's taps, up to 4×4, they meet depends
    on whether its row and its column are even. So one convolution 2×2 gives all four cases, the phases, as
    channels. That is much faster than a transposed convolution: in XNNPACK in any case, in TensorFlow where
    an image has few pixels or the result few channels.

    Its weights are those of the transposed convolution in another order, see :func:`phase_weights`. To bring
    them there takes as long as some convolutions, so it is done once, not with every image.

    Args:
        filters: channels of the output.
        taps: of the transposed convolution's kernel each way, from 2 to 4.
        use_bias: whether it has a bias.

    Input: [batch, height, width, channels]; output: [batch, 2 height, 2 width, filters].
    """

    def __init__(self, filters: int, taps: int = _TAPS, use_bias: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.taps, self.use_bias = filters, taps, use_bias

    @classmethod
    def of(cls, layer: layers.Layer) -> PhaseConvolution | None:
        """Returns what computes the same, its weights still to be set; ``None`` of another kind of layer."""
        if not isinstance(layer, layers.Conv2DTranspose):
            return None
        height, width = layer.kernel_size
        can_be = (
            tuple(layer.strides) == (2, 2)
            and layer.padding == "same"
            and layer.output_padding is None
            and tuple(layer.dilation_rate) == (1, 1)
            and layer.activation is keras.activations.linear
            and height == width
            and 2 <= height <= _TAPS
        )
        if not can_be:
            return None
        return cls(layer.filters, height, layer.use_bias, name=layer.name, dtype=layer.dtype_policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates kernel and bias."""
        shape = (2, 2, input_shape[-1], 4 * self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="zeros")
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(4 * self.filters,), initializer="zeros")

    def call(self, x: Any) -> Any:
        """Returns ``x`` at twice its size."""
        size = tf.shape(x)
        height, width = (size[axis] if x.shape[axis] is None else x.shape[axis] for axis in (1, 2))
        shift = int(self.taps == _TAPS)  # pixel i meets the outputs from 2i - shift on
        x = tf.pad(x, [[0, 0], [1, shift], [1, shift], [0, 0]])
        x = tf.nn.conv2d(x, tf.convert_to_tensor(self.kernel), strides=1, padding="VALID")
        if self.use_bias:
            x = tf.nn.bias_add(x, tf.convert_to_tensor(self.bias))
        return tf.nn.depth_to_space(x, 2)[:, shift : shift + 2 * height, shift : shift + 2 * width]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the output's shape, unknown sides staying unknown."""
        batch, height, width, _ = input_shape
        return (batch, *(side and 2 * side for side in (height, width)), self.filters)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the layer."""
        own = {"filters": self.filters, "taps": self.taps, "use_bias": self.use_bias}
        return {**super().get_config(), **own}


def phase_weights(layer: layers.Conv2DTranspose) -> list[tf.Tensor]:
    """Returns a transposed convolution's weights as :class:`PhaseConvolution` has them."""
    missing = _TAPS - layer.kernel_size[0]
    kernel = tf.pad(tf.convert_to_tensor(layer.kernel), [[0, missing], [0, missing], [0, 0], [0, 0]])
    filters, channels = kernel.shape[2:]
    # Of the window that begins at pixel i - 1: output 2i - shift is x[i - 1] · k[2] + x[i] · k[0], the one
    # behind it x[i - 1] · k[3] + x[i] · k[1].
    taps = tf.reshape(kernel, [2, 2, 2, 2, filters, channels])
    taps = tf.transpose(tf.reverse(taps, [0, 2]), [0, 2, 5, 1, 3, 4])
    weights = [tf.reshape(taps, [2, 2, channels, 4 * filters])]
    return [*weights, tf.tile(tf.convert_to_tensor(layer.bias), [4])] if layer.use_bias else weights


def in_phases(network: keras.Model) -> keras.Model:
    """Returns the network with its doublings as :class:`PhaseConvolution`, their weights still to be set.

    It shares all other layers, and their weights, with ``network``.
    """
    return keras.models.clone_model(network, clone_function=lambda layer: PhaseConvolution.of(layer) or layer)


def set_phases(phased: keras.Model, network: keras.Model) -> None:
    """Gives a network of :func:`in_phases` the weights of the one that it was made of."""
    for layer in phased.layers:
        if isinstance(layer, PhaseConvolution):
            for variable, value in zip(
                layer.weights, phase_weights(network.get_layer(layer.name)), strict=True
            ):
                variable.assign(value)
