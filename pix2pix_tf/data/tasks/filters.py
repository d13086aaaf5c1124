"""Image filters shared by several tasks."""

from __future__ import annotations

import tensorflow as tf


def extended(image: tf.Tensor, pixels: int) -> tf.Tensor:
    """Pads an image [height, width, channels] by ``pixels`` on each side, repeating the edge pixels."""
    for axis in (0, 1):
        side = tf.shape(image)[axis]
        image = tf.gather(image, tf.clip_by_value(tf.range(-pixels, side + pixels), 0, side - 1), axis=axis)
    return image


def filtered(image: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Correlates each channel with a kernel; pads by repeating edge pixels.

    ``image`` is float32 [height, width, channels]; ``kernel`` is float32 and square, with odd sides.
    """
    around = extended(image, kernel.shape[0] // 2)
    channels = tf.transpose(around, [2, 0, 1])[..., tf.newaxis]  # [channels, height, width, 1]
    result = tf.nn.conv2d(channels, kernel[..., tf.newaxis, tf.newaxis], strides=1, padding="VALID")
    return tf.ensure_shape(tf.transpose(result[..., 0], [1, 2, 0]), image.shape)
