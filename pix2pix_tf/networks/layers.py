"""The layers that Keras lacks, and the blocks that generator and discriminator share."""

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
from pix2pix_tf.networks.fast.convolutions import HalvingConvolution

LEAKY_SLOPE = 0.2
NORM_EPSILON = 1e-5


_PART: contextvars.ContextVar[tuple[int | tf.Tensor, int]] = contextvars.ContextVar("part", default=(0, 1))


@contextlib.contextmanager
def part_of_batch(index: int | tf.Tensor, count: int) -> Iterator[None]:
    """Tells layers which of ``count`` equal parts of a batch they are given."""
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
    """Draws for a part of a batch what would be drawn for it if the batch were computed at once.

    Args:
        shape: of the part's numbers.
        draw: gives random numbers of a shape.
        index: which part it is.
        count: of how many.
        batch_axis: which axis numbers the images.
    """
    if count == 1:
        return draw(list(shape))
    whole = [size * count if axis == batch_axis else size for axis, size in enumerate(shape)]
    places = index * shape[batch_axis] + tf.range(shape[batch_axis])
    return tf.gather(draw(whole), places, axis=batch_axis)


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class Dropout(layers.Dropout):
    """``keras.layers.Dropout`` that drops the same units of an image in whatever part of a batch it comes."""

    def call(self, x: Any, training: bool = False) -> Any:
        """Returns ``x`` with units dropped in training."""
        index, count = _PART.get()
        if not training or count == 1:
            return super().call(x, training=training)

        def drop(shape: list[int]) -> tf.Tensor:
            return super(Dropout, self).call(tf.ones(shape, x.dtype), training=True)

        return x * drawn_for_part(x.shape, drop, index, count)


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class InstanceNormalization(layers.Layer):
    """Normalises every channel of every image to mean 0 and variance 1, then scales and shifts it.

    It is what the paper's batch normalisation is at its batch size of 1 (Isola et al. 2017, section 3.3),
    and it makes an image's output independent of its batch. Statistics are computed in float32 whatever
    the layer's precision. Written over height and width in four dimensions, so that converters for
    mobile devices recognise it.

    Args:
        epsilon: added to the variance.

    Input and output: float [batch, height, width, channels].
    """

    _MOST_FUSED = 16  # one kernel an image: the graph must not grow without end

    def __init__(self, epsilon: float = NORM_EPSILON, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates scale and offset, one a channel."""
        channels = (input_shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=channels, initializer="ones", autocast=False)
        self.beta = self.add_weight(name="beta", shape=channels, initializer="zeros", autocast=False)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Returns ``x`` normalised."""
        if training and x.shape[0] is not None and x.shape[0] <= self._MOST_FUSED:
            return self._normalize_fused(x)
        x = ops.cast(x, self.variable_dtype)
        centered = x - ops.mean(x, axis=(1, 2), keepdims=True)
        variance = ops.mean(ops.square(centered), axis=(1, 2), keepdims=True)
        scale = self.gamma * ops.rsqrt(variance + self.epsilon)
        return ops.cast(centered * scale + self.beta, self.compute_dtype)

    def _normalize_fused(self, x: tf.Tensor) -> tf.Tensor:
        """Batch normalisation of one image after the other, in one fused kernel each, forward and back."""
        images = tf.split(x, x.shape[0]) if x.shape[0] > 1 else [x]
        scale, offset = ops.convert_to_tensor(self.gamma), ops.convert_to_tensor(self.beta)
        fused = functools.partial(
            tf.raw_ops.FusedBatchNormV3, mean=[], variance=[], epsilon=self.epsilon, is_training=True
        )
        normalized = [fused(x=image, scale=scale, offset=offset).y for image in images]
        return tf.concat(normalized, axis=0) if len(images) > 1 else normalized[0]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the layer."""
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class ReflectToAtLeast(layers.Layer):
    """Extends images that are too small by reflection at their bottom and right edges.

    Args:
        minimum: the height and width that an image has afterwards, at least.

    Input: [batch, height, width, channels]; output: [batch, max(height, minimum), max(width, minimum),
    channels]. Reflections repeat as often as needed, so that one pixel is enough.
    """

    def __init__(self, minimum: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.minimum = minimum

    def call(self, x: Any) -> Any:
        """Returns ``x`` extended; ``x`` itself where its static size is large enough."""
        for axis in (1, 2):
            static = x.shape[axis]
            if static is None or static < self.minimum:
                x = ops.take(x, _reflected(ops.shape(x)[axis], self.minimum), axis=axis)
        return x

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the output's shape, unknown sides staying unknown."""
        batch, height, width, channels = input_shape
        sides = (None if side is None else max(side, self.minimum) for side in (height, width))
        return (batch, *sides, channels)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the layer."""
        return {**super().get_config(), "minimum": self.minimum}


def _reflected(size: Any, minimum: int) -> Any:
    """Indices 0 1 … n-1 n-2 … 1 0 1 … into ``size`` pixels, at least ``minimum`` of them."""
    last = size - 1
    period = ops.maximum(2 * last, 1)
    position = ops.arange(ops.maximum(size, minimum)) % period
    return last - ops.abs(last - position)


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class ReflectionPadding(layers.Layer):
    """Surrounds images by their reflection, the edge itself not repeated.

    Args:
        pixels: to each side.

    Input: [batch, height, width, channels], height and width more than ``pixels``; output: [batch, height +
    2 pixels, width + 2 pixels, channels].
    """

    def __init__(self, pixels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.pixels = pixels

    def call(self, x: Any) -> Any:
        """Returns ``x`` surrounded."""
        sides = [self.pixels, self.pixels]
        return tf.pad(x, [[0, 0], sides, sides, [0, 0]], mode="REFLECT")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the output's shape, unknown sides staying unknown."""
        batch, height, width, channels = input_shape
        sides = (None if side is None else side + 2 * self.pixels for side in (height, width))
        return (batch, *sides, channels)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the layer."""
        return {**super().get_config(), "pixels": self.pixels}


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class CropToMatch(layers.Layer):
    """Crops an image at the bottom and right to the height and width of another.

    A transposed convolution doubles the size, but the encoder halved an odd size upwards: the last row or
    column is one too many.

    Inputs: [image, reference], both [batch, height, width, channels]; output: the image's channels at the
    reference's height and width.
    """

    def call(self, inputs: list[Any]) -> Any:
        """Returns the image cropped; the image itself where the static sizes are equal."""
        image, reference = inputs
        if None not in image.shape[1:3] and image.shape[1:3] == reference.shape[1:3]:
            return image
        shape = ops.shape(reference)
        return image[:, : shape[1], : shape[2], :]

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Returns the reference's batch, height and width with the image's channels."""
        image, reference = input_shape
        return (*reference[:3], image[3])


def conv_block(
    x: Any,
    filters: int,
    name: str,
    *,
    norm: Normalization,
    dtype: str,
    convolution: Callable[..., layers.Layer] = HalvingConvolution,
) -> Any:
    """Convolution, normalisation, leaky ReLU: the paper's Ck.

    Args:
        x: [batch, height, width, channels].
        filters: channels of the output.
        name: prefix of the layers' names.
        norm: which normalisation; 'none' gives the convolution a bias instead.
        dtype: a Keras precision policy.
        convolution: what makes the convolution, by default 4×4 at stride 2.

    Returns:
        [batch, height / 2, width / 2, filters], rounded up, or of the size that the convolution gives.
    """
    x = convolution(
        filters,
        use_bias=norm == "none",
        kernel_initializer=initial_weights(),
        name=f"{name}_conv",
        dtype=dtype,
    )(x)
    x = normalize(x, norm, f"{name}_norm", dtype)
    return layers.LeakyReLU(LEAKY_SLOPE, name=f"{name}_act", dtype=dtype)(x)


def normalize(x: Any, norm: Normalization, name: str, dtype: str) -> Any:
    """Returns ``x`` [batch, height, width, channels] normalised as ``norm`` says."""
    if norm == "instance":
        return InstanceNormalization(name=name, dtype=dtype)(x)
    if norm == "batch":
        devices = tf.distribute.get_strategy().num_replicas_in_sync
        return layers.BatchNormalization(
            momentum=0.9, epsilon=NORM_EPSILON, name=name, dtype=dtype, synchronized=devices > 1
        )(x)
    return x


def initial_weights() -> keras.initializers.Initializer:
    """The paper's first weights, N(0, 0.02), drawn from Keras' global seed."""
    return keras.initializers.RandomNormal(0.0, 0.02)
