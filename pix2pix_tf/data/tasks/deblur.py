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
        kernel = tf.cond(
            kind < 0.5,
            lambda: _gaussian(_DEVIATION[0] + (_DEVIATION[1] - _DEVIATION[0]) * strength),
            lambda: _motion(_LENGTH[0] + (_LENGTH[1] - _LENGTH[0]) * strength, math.pi * direction),
        )
        return filtered(photo, kernel / tf.reduce_sum(kernel))


def _grid() -> tuple[tf.Tensor, tf.Tensor]:
    """Returns row offsets [side, 1] and column offsets [1, side] from a kernel's center."""
    places = tf.range(-_RADIUS, _RADIUS + 1, dtype=tf.float32)
    return places[:, tf.newaxis], places[tf.newaxis]


def _gaussian(deviation: tf.Tensor) -> tf.Tensor:
    rows, columns = _grid()
    return tf.exp(-(tf.square(rows) + tf.square(columns)) / (2 * tf.square(deviation)))


def _motion(length: tf.Tensor, angle: tf.Tensor) -> tf.Tensor:
    """Returns a line through the center, one pixel wide with soft edges."""
    rows, columns = _grid()
    along = tf.abs(columns * tf.cos(angle) + rows * tf.sin(angle))
    across = tf.abs(rows * tf.cos(angle) - columns * tf.sin(angle))
    return tf.maximum(1.0 - across, 0.0) * tf.clip_by_value((length + 1.0) / 2 - along, 0.0, 1.0)
