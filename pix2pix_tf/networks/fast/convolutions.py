"""The convolutions of 4×4 as what a processor computes fastest in training.

A convolution that halves and a transposed convolution that doubles are each other's gradient with respect
to the image, and share the gradient with respect to the kernel. Where a batch has many pixels, all three are
computed from fewer products: see :mod:`pix2pix_tf.networks.fast.winograd`. Each is also a matrix product in
disguise, of the image's patches and the kernel. Where an image has few pixels and many channels that form
is faster than the library's own, for the gradient of the kernel many times over.

The gradients consist of operations that TensorFlow differentiates too, as a gradient penalty needs it.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from pix2pix_tf.devices import has_bfloat16_tiles
from pix2pix_tf.networks.fast.winograd import Gradient, Winograd

# Measured in float32 and bfloat16 on several processors: on images of up to so many pixels (of the smaller
# of the two images, all of a batch counted for the first, one of it for the second) the product wins.
_FEW_PIXELS = 128
_FEW_PIXELS_FOR_KERNEL = 256
# From so many pixels (of the smaller image, all of a batch) and channels minimal filtering wins; in bfloat16
# the sums take as long as in float32, the products half. At a batch of one it wins too little, 5 % in
# bfloat16, for 0.4 GB more and 15 s until its loops are compiled.
_MANY_PIXELS = 512
_MANY_CHANNELS = {"float32": 64, "bfloat16": 128}
_MANY_IMAGES = 2


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class HalvingConvolution(layers.Conv2D):
    """Convolution 4×4 at stride 2, which halves height and width, rounding up.

    Args:
        filters: channels of the output.
        **kwargs: as for ``keras.layers.Conv2D``; kernel size, strides, padding and activation are fixed.

    Input: [batch, height, width, channels]; output: [batch, height / 2, width / 2, filters].
    """

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(filters, **_fixed(kwargs))

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Returns ``x`` at half its size."""
        if not (training and _is_fast_here(x)):
            return super().call(x)
        halved = _halve_in_training(x, tf.convert_to_tensor(self.kernel))
        return tf.nn.bias_add(halved, self.bias) if self.use_bias else halved


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class TransposedConvolution(layers.Conv2DTranspose):
    """Transposed convolution 4×4 at stride 2, which doubles height and width.

    Args:
        filters: channels of the output.
        **kwargs: as for ``keras.layers.Conv2DTranspose``; kernel size, strides, padding and activation are
            fixed.

    Input: [batch, height, width, channels]; output: [batch, 2 height, 2 width, filters].
    """

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(filters, **_fixed(kwargs))

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Returns ``x`` at twice its size."""
        if not (training and _is_fast_here(x)):
            return super().call(x)
        doubled = _double_in_training(x, tf.convert_to_tensor(self.kernel))
        return tf.nn.bias_add(doubled, self.bias) if self.use_bias else doubled


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class NearestConvolution(TransposedConvolution):
    """Doubling by the nearest neighbour and a convolution 3×3, as the transposed convolution that both are.

    What an even area is doubled to is even, too, whatever the weights are: a transposed convolution of its
    own 4×4 weights lays a grid over it. It costs as much as that one.

    Args:
        filters: channels of the output.
        **kwargs: as for :class:`TransposedConvolution`.

    Input: [batch, height, width, channels]; output: [batch, 2 height, 2 width, filters].
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the kernel 3×3, and the bias."""
        shape = (3, 3, self.filters, input_shape[-1])
        self._small_kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.bias = None
        if self.use_bias:
            first = self.bias_initializer
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer=first)

    @property
    def kernel(self) -> tf.Tensor:
        """The transposed convolution's kernel [4, 4, filters, channels]: each weight on 2×2 neighbours."""
        small = tf.convert_to_tensor(self._small_kernel)
        for axis in (0, 1):
            before, after = ([[0, 0]] * 4 for _ in range(2))
            before[axis], after[axis] = [1, 0], [0, 1]
            small = tf.pad(small, before) + tf.pad(small, after)
        return small


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class FlatConvolution(layers.Conv2D):
    """Convolution 4×4 at stride 1 without padding.

    Args:
        filters: channels of the output.
        **kwargs: as for ``keras.layers.Conv2D``; kernel size, strides, padding and activation are fixed.

    Input: [batch, height, width, channels]; output: [batch, height - 3, width - 3, filters].
    """

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(filters, **_fixed(kwargs, strides=1, padding="valid"))

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Returns ``x`` convolved."""
        if not (training and _is_fast_here(x)):
            return super().call(x)
        winograd, kernel = Winograd(1, tuple(x.shape[1:3])), tf.convert_to_tensor(self.kernel)
        if not _filters_minimally(x.shape[0], winograd, kernel):
            return super().call(x)
        convolved = tf.custom_gradient(winograd.convolve)(x, kernel)
        return tf.nn.bias_add(convolved, self.bias) if self.use_bias else convolved


def _fixed(kwargs: dict[str, Any], strides: int = 2, padding: str = "same") -> dict[str, Any]:
    # A saved configuration names the fixed arguments too.
    return kwargs | {"kernel_size": 4, "strides": strides, "padding": padding, "activation": None}


def _is_fast_here(x: tf.Tensor) -> bool:
    return None not in x.shape and not tf.config.list_logical_devices("GPU")


def _filters_minimally(batch: int, winograd: Winograd, kernel: tf.Tensor) -> bool:
    return (
        batch >= _MANY_IMAGES
        and batch * math.prod(winograd.result) >= _MANY_PIXELS
        and _gains_from_minimal_filtering(kernel.dtype)
        and min(kernel.shape[2:]) >= _MANY_CHANNELS[kernel.dtype.name]
    )


@functools.cache
def _gains_from_minimal_filtering(dtype: tf.DType) -> bool:
    # Where products in bfloat16 are four times as fast as in float32, sums and differences would dominate.
    fast = dtype == tf.float32 or (dtype == tf.bfloat16 and not has_bfloat16_tiles())
    return fast and tf.test.is_built_with_xla()


@tf.custom_gradient
def _halve_in_training(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
    winograd = Winograd(2, tuple(x.shape[1:3]))
    if _filters_minimally(x.shape[0], winograd, kernel):
        return winograd.convolve(x, kernel)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _double(upstream, kernel, x.shape), _kernel_gradient(x, upstream)

    return _halve(x, kernel), gradient


@tf.custom_gradient
def _double_in_training(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
    batch, height, width, _ = x.shape
    winograd = Winograd(2, (2 * height, 2 * width))
    if _filters_minimally(batch, winograd, kernel):
        return winograd.transpose(x, kernel)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _halve(upstream, kernel), _kernel_gradient(upstream, x)

    return _double(x, kernel, (batch, 2 * height, 2 * width, kernel.shape[2])), gradient


def _halve(image: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolution at stride 2.

    Args:
        image: [batch, height, width, channels].
        kernel: [4, 4, channels, filters].

    Returns:
        [batch, height / 2, width / 2, filters], rounded up.
    """
    batch, height, width, _ = image.shape
    half = (batch, -(-height // 2), -(-width // 2), kernel.shape[3])
    if math.prod(half[:3]) > _FEW_PIXELS:
        return tf.nn.conv2d(image, kernel, strides=2, padding="SAME")
    return tf.reshape(tf.matmul(_patches(image), tf.reshape(kernel, [-1, half[3]])), half)


def _double(image: tf.Tensor, kernel: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Transposed convolution at stride 2.

    Args:
        image: [batch, height / 2, width / 2, filters], rounded up.
        kernel: [4, 4, channels, filters].
        shape: batch, height, width, channels.

    Returns:
        A tensor of that shape.
    """
    batch, height, width, filters = image.shape
    if math.prod(image.shape[:3]) > _FEW_PIXELS or tuple(shape[1:3]) != (2 * height, 2 * width):
        return tf.nn.conv2d_transpose(image, kernel, shape, strides=2, padding="SAME")
    pixels = tf.reshape(image, [-1, filters])
    patches = tf.matmul(pixels, tf.reshape(kernel, [-1, filters]), transpose_b=True)
    rows = _overlap(tf.reshape(patches, [batch, height, width, 4, -1]), axis=1)
    columns = _overlap(tf.reshape(rows, [batch, 2 * height, width, 4, -1]), axis=2)
    return tf.reshape(columns, shape)


def _kernel_gradient(image: tf.Tensor, half: tf.Tensor) -> tf.Tensor:
    """The gradient with respect to the kernel that joins two images.

    Args:
        image: [batch, height, width, channels].
        half: [batch, height / 2, width / 2, filters], rounded up.

    Returns:
        [4, 4, channels, filters].
    """
    shape = [4, 4, image.shape[3], half.shape[3]]
    if math.prod(half.shape[1:3]) > _FEW_PIXELS_FOR_KERNEL:
        return tf.raw_ops.Conv2DBackpropFilter(
            input=image, filter_sizes=shape, out_backprop=half, strides=[1, 2, 2, 1], padding="SAME"
        )
    product = tf.matmul(_patches(image), tf.reshape(half, [-1, shape[3]]), transpose_a=True)
    return tf.reshape(product, shape)


def _patches(image: tf.Tensor) -> tf.Tensor:
    """The patches of 4×4 pixels at stride 2, [pixels of the halved image, 16 channels]."""
    patches = tf.image.extract_patches(image, [1, 4, 4, 1], [1, 2, 2, 1], [1, 1, 1, 1], padding="SAME")
    return tf.reshape(patches, [-1, 16 * image.shape[3]])


def _overlap(patches: tf.Tensor, axis: int) -> tf.Tensor:
    """Adds up, along height (axis 1) or width (axis 2), patches of 4 that overlap by 2.

    Args:
        patches: [batch, height, width, 4, values], tap k of pixel i belonging to output 2i + k - 1.

    Returns:
        [batch, height, 2, width, values] for the height, [batch, height, width, 2, values] for the width.
    """
    before, even, odd, after = tf.unstack(patches, axis=3)
    even += _shifted(after, axis, 1)
    odd += _shifted(before, axis, -1)
    return tf.stack([even, odd], axis=axis + 1)


def _shifted(x: tf.Tensor, axis: int, by: int) -> tf.Tensor:
    """Moves values one place forward (``by`` 1) or back (-1), zeros coming in."""
    size = x.shape[axis]
    parts = tf.split(x, [size - 1, 1] if by > 0 else [1, size - 1], axis=axis)
    zero = tf.zeros_like(parts[1] if by > 0 else parts[0])
    return tf.concat([zero, parts[0]] if by > 0 else [parts[1], zero], axis=axis)
