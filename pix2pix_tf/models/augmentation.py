"""DiffAugment: the discriminator sees augmented images, both real and generated ones (Zhao et al. 2020).

With few images, a discriminator overfits; augmentation prevents that. All augmentations are differentiable:
the generator is trained through them and doesn't learn to reproduce them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from pix2pix_tf.models.forward import ForwardPass

_MAX_TRANSLATION = 1 / 8  # maximum, as a fraction of the side
_CUTOUT = 1 / 2  # size, as a fraction of the side


def augmented(forward: ForwardPass, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Augments a discriminator's inputs by color, translation and cutout.

    ``inputs`` are [condition, image] or [image], each [batch, height, width, channels]. The condition keeps
    its colors. The augmentation differs for each image and each call.
    """
    *condition, images = inputs
    both = tf.concat([*condition, _recolored(forward, images)], axis=-1)
    both = _with_cutout(forward, _translated(forward, both))
    return tf.split(both, [each.shape[-1] for each in inputs], axis=-1)


def _recolored(forward: ForwardPass, images: tf.Tensor) -> tf.Tensor:
    """Changes brightness by up to ±0.5, saturation by 0 to 2, contrast by 0.5 to 1.5."""
    brightness, saturation, contrast = tf.unstack(
        forward.uniform([3, images.shape[0], 1, 1, 1], batch_axis=1)
    )
    images += brightness - 0.5
    gray = tf.reduce_mean(images, axis=-1, keepdims=True)
    images = gray + 2 * saturation * (images - gray)
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (contrast + 0.5) * (images - mean)


def _translated(forward: ForwardPass, images: tf.Tensor) -> tf.Tensor:
    """Translates by whole pixels, filling with 0."""
    batch, height, width, _ = images.shape
    draws = tf.unstack(forward.uniform([2, batch], batch_axis=1) * 2 - 1)
    sides = zip(draws, (height, width), strict=True)
    down, right = (tf.round(draw * _MAX_TRANSLATION * side) for draw, side in sides)
    zero, one = tf.zeros([batch]), tf.ones([batch])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([one, zero, -right, zero, one, -down, zero, zero], axis=1),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )


def _with_cutout(forward: ForwardPass, images: tf.Tensor) -> tf.Tensor:
    """Sets a rectangle of half the height and width to 0; its center may be anywhere in the image."""
    batch, *sides, _ = images.shape
    inside = []
    for side, draw in zip(sides, tf.unstack(forward.uniform([2, batch, 1], batch_axis=1)), strict=True):
        start = tf.floor(draw * side) - side * _CUTOUT / 2
        positions = tf.range(side, dtype=tf.float32)
        inside.append((positions >= start) & (positions < start + side * _CUTOUT))
    rows, columns = inside
    cutout = rows[:, :, tf.newaxis, tf.newaxis] & columns[:, tf.newaxis, :, tf.newaxis]
    return tf.where(cutout, 0.0, images)
