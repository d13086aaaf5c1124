"""Layers that Keras lacks, and building blocks of generators and discriminators."""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from pix2pix_tf.config import Normalization
from pix2pix_tf.networks.fast.convolutions import DownsamplingConvolution

NORM_EPSILON = 1e-5

_PART: contextvars.ContextVar[tuple[int | tf.Tensor, int]] = contextvars.ContextVar("part", default=(0, 1))


@contextlib.contextmanager
def part_of_batch(index: int | tf.Tensor, count: int) -> Iterator[None]:
    """Makes dropout layers draw for part ``index`` of a batch that is split into ``count`` equal parts."""
    token = _PART.set((index, count))
    try:
        yield
    finally:
        _PART.reset(token)


def drawn_for_part(
    shape: Sequence[int],
    draw: Callable[[list[int]], tf.Tensor],
    index: int | tf.Tensor,
    count: int,
    batch_axis: int = 0,
) -> tf.Tensor:
    """Draws random numbers for one part of a batch as if the whole batch were drawn at once.

    ``shape`` is the part's shape, and ``draw`` returns random numbers of a given shape.
    """
    if count == 1:
        return draw(list(shape))
    whole = [size * count if axis == batch_axis else size for axis, size in enumerate(shape)]
    places = index * shape[batch_axis] + tf.range(shape[batch_axis])
    return tf.gather(draw(whole), places, axis=batch_axis)


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class Dropout(layers.Dropout):
    """`keras.layers.Dropout` whose mask doesn't depend on how the batch is split into parts."""

    def call(self, x: Any, training: bool = False) -> Any:
        index, count = _PART.get()
        if not training or count == 1:
            return super().call(x, training=training)

        def drop(shape: list[int]) -> tf.Tensor:
            return super(Dropout, self).call(tf.ones(shape, x.dtype), training=True)

        return x * drawn_for_part(x.shape, drop, index, count)


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class InstanceNormalization(layers.Layer):
    """Normalizes each channel of each image [batch, height, width, channels] to mean 0 and variance 1.

    A learned scale and offset follow. Equals the paper's batch normalization at batch size 1 (Isola et al.
    2017, section 3.3), and makes an image's output independent of its batch. Statistics are computed in
    float32 with every dtype policy. Converters for mobile devices recognize this four-dimensional form.
    """

    _MOST_FUSED = 16  # the graph has one kernel per image and must stay small

    def __init__(self, epsilon: float = NORM_EPSILON, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = (input_shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=channels, initializer="ones", autocast=False)
        self.beta = self.add_weight(name="beta", shape=channels, initializer="zeros", autocast=False)

    def call(self, x: Any, training: bool | None = None) -> Any:
        if training and x.shape[0] is not None and x.shape[0] <= self._MOST_FUSED:
            # Normalizes each image with TensorFlow's fused batch normalization, which has a fused gradient.
            fused = functools.partial(
                tf.raw_ops.FusedBatchNormV3,
                scale=ops.convert_to_tensor(self.gamma),
                offset=ops.convert_to_tensor(self.beta),
                mean=[],
                variance=[],
                epsilon=self.epsilon,
                is_training=True,
            )
            return tf.concat([fused(x=image).y for image in tf.split(x, x.shape[0])], axis=0)
        x = ops.cast(x, self.variable_dtype)
        centered = x - ops.mean(x, axis=(1, 2), keepdims=True)
        variance = ops.mean(ops.square(centered), axis=(1, 2), keepdims=True)
        scale = self.gamma * ops.rsqrt(variance + self.epsilon)
        return ops.cast(centered * scale + self.beta, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class ReflectToAtLeast(layers.Layer):
    """Extends images [batch, height, width, channels] to ``minimum`` height and width by reflection.

    Pixels are added at the bottom and right. Reflections repeat as needed, so a single pixel is enough.
    """

    def __init__(self, minimum: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.minimum = minimum

    def call(self, x: Any) -> Any:
        for axis in (1, 2):
            static = x.shape[axis]
            if static is None or static < self.minimum:
                x = ops.take(x, _reflected(ops.shape(x)[axis], self.minimum), axis=axis)
        return x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "minimum": self.minimum}


def _reflected(size: Any, minimum: int) -> Any:
    """Returns indices 0, 1 … n-1, n-2 … 1, 0, 1 … of n = ``size`` pixels, at least ``minimum`` of them."""
    last = size - 1
    period = ops.maximum(2 * last, 1)
    position = ops.arange(ops.maximum(size, minimum)) % period
    return last - ops.abs(last - position)


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class ReflectionPadding(layers.Layer):
    """Pads images by reflection, ``pixels`` on each side, without repeating the edge.

    Height and width must be larger than ``pixels``.
    """

    def __init__(self, pixels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.pixels = pixels

    def call(self, x: Any) -> Any:
        sides = [self.pixels, self.pixels]
        return tf.pad(x, [[0, 0], sides, sides, [0, 0]], mode="REFLECT")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pixels": self.pixels}


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class CropToMatch(layers.Layer):
    """Crops the first of [image, reference] at the bottom and right to the height and width of the second.

    Removes the extra row or column after upsampling when downsampling had rounded an odd size up.
    """

    def call(self, inputs: list[Any]) -> Any:
        image, reference = inputs
        if None not in image.shape[1:3] and image.shape[1:3] == reference.shape[1:3]:
            return image
        shape = ops.shape(reference)
        return image[:, : shape[1], : shape[2], :]


def conv_block(
    x: Any,
    filters: int,
    name: str,
    *,
    norm: Normalization,
    dtype: str,
    convolution: Callable[..., layers.Layer] = DownsamplingConvolution,
) -> Any:
    """Applies convolution, normalization and leaky ReLU: the paper's Ck.

    ``name`` is the prefix of the layers' names. With ``norm`` 'none' the convolution has a bias. By default
    the convolution is 4×4 at stride 2.
    """
    x = convolution(filters, **conv_options(name, dtype, use_bias=norm == "none"))(x)
    x = normalize(x, norm, f"{name}_norm", dtype)
    return layers.LeakyReLU(0.2, name=f"{name}_act", dtype=dtype)(x)


def normalize(x: Any, norm: Normalization, name: str, dtype: str) -> Any:
    if norm == "instance":
        return InstanceNormalization(name=name, dtype=dtype)(x)
    if norm == "batch":
        devices = tf.distribute.get_strategy().num_replicas_in_sync
        return layers.BatchNormalization(
            momentum=0.9, epsilon=NORM_EPSILON, name=name, dtype=dtype, synchronized=devices > 1
        )(x)
    return x


def conv_options(block: str, dtype: str, use_bias: bool = True) -> dict[str, Any]:
    """Returns a convolution's arguments: its name, and the paper's initializer N(0, 0.02)."""
    initializer = keras.initializers.RandomNormal(0.0, 0.02)  # draws from Keras' global seed
    return {"use_bias": use_bias, "kernel_initializer": initializer, "name": f"{block}_conv", "dtype": dtype}
