"""DiffAugment: the discriminator sees augmented images, real and generated ones alike (Zhao et al. 2020).

With few images, a discriminator overfits; augmentation prevents that. All augmentations are differentiable:
the generator is trained through them and doesn't learn to reproduce them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from pix2pix_tf.models.forward import ForwardPass

_FURTHEST = 1 / 8  # maximum translation, as a fraction of the side
_CUT_OUT = 1 / 2  # size of the cutout, as a fraction of the side


def augmented(
    forward: ForwardPass, images: tf.Tensor, condition: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Augments images [batch, height, width, channels] by color, translation and cutout.

    The condition gets the same translation and cutout, but keeps its colors. Each image and each call draws
    its own augmentation.
    """
    images = _recolored(forward, images)
    both = images if condition is None else tf.concat([images, condition], axis=-1)
    both = _with_hole(forward, _moved(forward, both))
    if condition is None:
        return both, None
    images, condition = tf.split(both, [images.shape[-1], condition.shape[-1]], axis=-1)
    return images, condition


def _recolored(forward: ForwardPass, images: tf.Tensor) -> tf.Tensor:
    """Changes brightness by up to ±0.5, saturation by 0 to 2, contrast by 0.5 to 1.5."""
    brightness, saturation, contrast = tf.unstack(
        forward.uniform([3, images.shape[0], 1, 1, 1], batch_axis=1)
    )
    images += brightness - 0.5
    gray = tf.reduce_mean(images, axis=-1, keepdims=True)
    images = gray + 2 * saturation * (images - gray)
    even = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return even + (contrast + 0.5) * (images - even)


def _moved(forward: ForwardPass, images: tf.Tensor) -> tf.Tensor:
    """Translates by whole pixels, filling with 0."""
    batch, height, width, _ = images.shape
    draws = tf.unstack(forward.uniform([2, batch], batch_axis=1) * 2 - 1)
    down, right = (tf.round(by * _FURTHEST * side) for by, side in zip(draws, (height, width), strict=True))
    zero, one = tf.zeros([batch]), tf.ones([batch])
    transforms = tf.stack([one, zero, -right, zero, one, -down, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )


def _with_hole(forward: ForwardPass, images: tf.Tensor) -> tf.Tensor:
    """Sets a rectangle of half the height and width to 0; its center may be anywhere in the image."""
    batch, *sides, _ = images.shape
    inside = []
    for side, draw in zip(sides, tf.unstack(forward.uniform([2, batch, 1], batch_axis=1)), strict=True):
        start = tf.floor(draw * side) - side * _CUT_OUT / 2
        places = tf.range(side, dtype=tf.float32)
        inside.append((places >= start) & (places < start + side * _CUT_OUT))
    rows, columns = inside
    hole = rows[:, :, tf.newaxis, tf.newaxis] & columns[:, tf.newaxis, :, tf.newaxis]
    return tf.where(hole, 0.0, images)
