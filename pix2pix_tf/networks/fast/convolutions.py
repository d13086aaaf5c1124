"""4×4 convolutions with gradients that are fast on CPUs.

A convolution at stride 2 and the transposed convolution at stride 2 are each other's gradient with respect to
the image, and have the same gradient with respect to the kernel. For batches with many pixels, all three use
minimal filtering (`pix2pix_tf.networks.fast.winograd`). For images with few pixels and many channels, all
three are a matrix product of image patches and kernel. This is faster than TensorFlow's implementation, many
times for the gradient of the kernel.

All gradients consist of differentiable TensorFlow operations, because a gradient penalty needs second
derivatives.
"""

from __future__ import annotations

import functools
import math
from typing import Any, ClassVar

import keras
import tensorflow as tf
from keras import layers

from pix2pix_tf.devices import has_bfloat16_tiles
from pix2pix_tf.networks.fast.winograd import Gradient, Winograd, overlap_added

# Largest numbers of pixels for which the matrix product is faster, measured in float32 and bfloat16 on
# several CPUs: pixels of a batch of half-size images, and for the kernel's gradient of one half-size image.
_FEW_PIXELS = 128
_FEW_PIXELS_FOR_KERNEL = 256
# Smallest numbers of pixels (of a batch of half-size images), channels and images for which minimal filtering
# is faster. In bfloat16 the products take half the time, but the sums take as long as in float32. For a batch
# of one, a gain of 5 % in bfloat16 isn't worth 0.4 GB of memory and 15 s of compilation.
_MANY_PIXELS = 512
_MANY_CHANNELS = {"float32": 64, "bfloat16": 128}
_MANY_IMAGES = 2


class _FastInTraining(layers.Layer):
    """Mixin for 4×4 convolutions; the arguments are the Keras layer's, except for the fixed ones."""

    fixed: ClassVar[dict[str, Any]] = {"kernel_size": 4, "strides": 2, "padding": "same", "activation": None}

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(filters, **kwargs | self.fixed)

    def call(self, x: Any, training: bool | None = None) -> Any:
        if training and _is_fast_here(x):
            convolved = self._convolve(x, tf.convert_to_tensor(self.kernel))
            if convolved is not None:
                return tf.nn.bias_add(convolved, self.bias) if self.use_bias else convolved
        return super().call(x)

    def _convolve(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor | None:
        """Returns the convolution without bias; ``None`` if Keras' implementation is as fast."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class DownsamplingConvolution(_FastInTraining, layers.Conv2D):
    """4×4 convolution at stride 2: halves height and width, rounding up."""

    def _convolve(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return _downsample_in_training(x, kernel)


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class TransposedConvolution(_FastInTraining, layers.Conv2DTranspose):
    """4×4 transposed convolution at stride 2: doubles height and width."""

    def _convolve(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return _upsample_in_training(x, kernel)


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class FlatConvolution(_FastInTraining, layers.Conv2D):
    """4×4 convolution at stride 1 without padding: height and width shrink by 3."""

    fixed: ClassVar[dict[str, Any]] = {**_FastInTraining.fixed, "strides": 1, "padding": "valid"}

    def _convolve(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor | None:
        winograd = _winograd(1, tuple(x.shape[1:3]))
        if not _filters_minimally(x.shape[0], winograd, kernel):
            return None
        return tf.custom_gradient(winograd.convolve)(x, kernel)


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class NearestConvolution(TransposedConvolution):
    """Nearest-neighbor upsampling and a 3×3 convolution, computed as one 4×4 transposed convolution.

    Constant areas stay constant for any weights, whereas a freely trained transposed convolution produces
    checkerboard artifacts. Both take the same time.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (3, 3, self.filters, input_shape[-1])
        self._small_kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.bias = None
        if self.use_bias:
            initializer = self.bias_initializer
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer=initializer)

    @property
    def kernel(self) -> tf.Tensor:
        """The equivalent kernel [4, 4, filters, channels]: each 3×3 weight, added to 2×2 neighboring taps."""
        small = tf.convert_to_tensor(self._small_kernel)
        for axis in (0, 1):
            before, after = ([[0, 0]] * 4 for _ in range(2))
            before[axis], after[axis] = [1, 0], [0, 1]
            small = tf.pad(small, before) + tf.pad(small, after)
        return small


# Layers with equal sizes share the compiled functions.
_winograd = functools.cache(Winograd)


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
    # With AMX, products in bfloat16 are four times as fast as in float32, and the sums would dominate.
    fast = dtype == tf.float32 or (dtype == tf.bfloat16 and not has_bfloat16_tiles())
    return fast and tf.test.is_built_with_xla()


@tf.custom_gradient
def _downsample_in_training(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
    winograd = _winograd(2, tuple(x.shape[1:3]))
    if _filters_minimally(x.shape[0], winograd, kernel):
        return winograd.convolve(x, kernel)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _upsample(upstream, kernel, x.shape), _kernel_gradient(x, upstream)

    return _downsample(x, kernel), gradient


@tf.custom_gradient
def _upsample_in_training(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
    batch, height, width, _ = x.shape
    winograd = _winograd(2, (2 * height, 2 * width))
    if _filters_minimally(batch, winograd, kernel):
        return winograd.transpose(x, kernel)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _downsample(upstream, kernel), _kernel_gradient(upstream, x)

    return _upsample(x, kernel, (batch, 2 * height, 2 * width, kernel.shape[2])), gradient


def _downsample(image: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolves [batch, height, width, channels] at stride 2; the output's sides are rounded up."""
    batch, height, width, _ = image.shape
    half = (batch, -(-height // 2), -(-width // 2), kernel.shape[3])
    if math.prod(half[:3]) > _FEW_PIXELS:
        return tf.nn.conv2d(image, kernel, strides=2, padding="SAME")
    return tf.reshape(tf.matmul(_patches(image), tf.reshape(kernel, [-1, half[3]])), half)


def _upsample(image: tf.Tensor, kernel: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Transposed convolution at stride 2; ``shape`` is the shape of the output, whose sides may be odd."""
    batch, height, width, filters = image.shape
    if math.prod(image.shape[:3]) > _FEW_PIXELS or tuple(shape[1:3]) != (2 * height, 2 * width):
        return tf.nn.conv2d_transpose(image, kernel, shape, strides=2, padding="SAME")
    patches = tf.matmul(tf.reshape(image, [-1, filters]), tf.reshape(kernel, [-1, filters]), transpose_b=True)
    patches = tf.reshape(patches, [batch, height, width, 4, 4, -1])
    # The taps of neighboring pixels overlap by 2; tap k of pixel i belongs to output 2i + k - 1.
    rows = overlap_added(tf.unstack(patches, axis=3), 2, axis=1)
    parts = [tf.stack(overlap_added(tf.unstack(row, axis=3), 2, axis=2), axis=3) for row in rows]
    upsampled = tf.reshape(tf.stack(parts, axis=2), [batch, 2 * height + 2, 2 * width + 2, -1])
    return upsampled[:, 1:-1, 1:-1]


def _kernel_gradient(image: tf.Tensor, half: tf.Tensor) -> tf.Tensor:
    """Returns the kernel's gradient [4, 4, channels, filters] from an image and its half-size counterpart."""
    shape = [4, 4, image.shape[3], half.shape[3]]
    if math.prod(half.shape[1:3]) > _FEW_PIXELS_FOR_KERNEL:
        return tf.raw_ops.Conv2DBackpropFilter(
            input=image, filter_sizes=shape, out_backprop=half, strides=[1, 2, 2, 1], padding="SAME"
        )
    product = tf.matmul(_patches(image), tf.reshape(half, [-1, shape[3]]), transpose_a=True)
    return tf.reshape(product, shape)


def _patches(image: tf.Tensor) -> tf.Tensor:
    """Extracts 4×4 patches at stride 2 as [pixels of the half-size image, 16 channels]."""
    patches = tf.image.extract_patches(image, [1, 4, 4, 1], [1, 2, 2, 1], [1, 1, 1, 1], padding="SAME")
    return tf.reshape(patches, [-1, 16 * image.shape[3]])
