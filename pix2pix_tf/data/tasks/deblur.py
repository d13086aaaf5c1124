"""Sharp photos from blurred ones: out of focus, or moved."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import tensorflow as tf

from pix2pix_tf.data.tasks.base import PhotoTask
from pix2pix_tf.data.tasks.filters import filtered

_RADIUS = 10  # of the kernels, in pixels
_DEVIATION = (0.8, 3.0)
_LENGTH = (4.0, 18.0)


@dataclasses.dataclass(frozen=True)
class Deblur(PhotoTask):
    """The input is the photo blurred: by a Gaussian or along a line, as strongly as is drawn."""

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
    """Rows [side, 1] and columns [1, side] of a kernel, from its middle."""
    places = tf.range(-_RADIUS, _RADIUS + 1, dtype=tf.float32)
    return places[:, tf.newaxis], places[tf.newaxis]


def _gaussian(deviation: tf.Tensor) -> tf.Tensor:
    rows, columns = _grid()
    return tf.exp(-(tf.square(rows) + tf.square(columns)) / (2 * tf.square(deviation)))


def _motion(length: tf.Tensor, angle: tf.Tensor) -> tf.Tensor:
    """A line one pixel wide through the middle, with soft edges."""
    rows, columns = _grid()
    along = tf.abs(columns * tf.cos(angle) + rows * tf.sin(angle))
    across = tf.abs(rows * tf.cos(angle) - columns * tf.sin(angle))
    return tf.maximum(1.0 - across, 0.0) * tf.clip_by_value((length + 1.0) / 2 - along, 0.0, 1.0)
