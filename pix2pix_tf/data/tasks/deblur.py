"""Deblurring of photos that are out of focus or have motion blur."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import tensorflow as tf

from pix2pix_tf.data.tasks.base import PhotoTask
from pix2pix_tf.data.tasks.filters import filtered

_RADIUS = 10  # kernel radius in pixels
_DEVIATION = (0.8, 3.0)  # range of the Gaussian's standard deviation in pixels
_LENGTH = (4.0, 18.0)  # range of the motion's length in pixels


@dataclasses.dataclass(frozen=True)
class Deblur(PhotoTask):
    """The input is the photo with Gaussian or motion blur of random strength."""

    name: ClassVar[str] = "deblur"
    takes_photos: ClassVar[bool] = True

    def degraded(self, photo: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        kind, strength, direction = tf.unstack(tf.random.stateless_uniform([3], seed))
        places = tf.range(-_RADIUS, _RADIUS + 1, dtype=tf.float32)
        rows, columns = places[:, tf.newaxis], places[tf.newaxis]  # offsets from the kernel's center
        deviation = _DEVIATION[0] + (_DEVIATION[1] - _DEVIATION[0]) * strength
        gaussian = tf.exp(-(tf.square(rows) + tf.square(columns)) / (2 * tf.square(deviation)))
        # Motion is a line through the center, one pixel wide with soft edges.
        length, angle = _LENGTH[0] + (_LENGTH[1] - _LENGTH[0]) * strength, math.pi * direction
        along = tf.abs(columns * tf.cos(angle) + rows * tf.sin(angle))
        across = tf.abs(rows * tf.cos(angle) - columns * tf.sin(angle))
        motion = tf.maximum(1.0 - across, 0.0) * tf.clip_by_value((length + 1.0) / 2 - along, 0.0, 1.0)
        kernel = tf.where(kind < 0.5, gaussian, motion)
        return filtered(photo, kernel / tf.reduce_sum(kernel))
