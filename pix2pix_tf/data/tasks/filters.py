"""Filters of single images that several tasks use."""

from __future__ import annotations

import tensorflow as tf


def extended(image: tf.Tensor, pixels: int) -> tf.Tensor:
    """Repeats the edge of an image [height, width, channels] of any size, so many pixels to each side."""
    for axis in (0, 1):
        side = tf.shape(image)[axis]
        image = tf.gather(image, tf.clip_by_value(tf.range(-pixels, side + pixels), 0, side - 1), axis=axis)
    return image


def filtered(image: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Correlates every channel with one kernel; the edge goes on beyond the image.

    Args:
        image: float32 [height, width, channels].
        kernel: float32 [odd side, the same side].

    Returns:
        float32 [height, width, channels].
    """
    around = extended(image, kernel.shape[0] // 2)
    channels = tf.transpose(around, [2, 0, 1])[..., tf.newaxis]  # [channels, height, width, 1]
    result = tf.nn.conv2d(channels, kernel[..., tf.newaxis, tf.newaxis], strides=1, padding="VALID")
    return tf.ensure_shape(tf.transpose(result[..., 0], [1, 2, 0]), image.shape)
