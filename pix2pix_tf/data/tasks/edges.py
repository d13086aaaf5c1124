"""Photos from edge drawings."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.tasks.base import PhotoTask
from pix2pix_tf.data.tasks.filters import extended, filtered

_DEVIATION = 1.4  # standard deviation of the blur that suppresses texture, in pixels
_RADIUS = 4
_FAINT, _BLACK = 1.0, 2.5  # gradients where lines start and are black, relative to the photo's mean gradient
_LEAST = 0.02  # lower limit of the mean gradient, so that noise in a uniform photo draws no lines

_PLACES = np.arange(-_RADIUS, _RADIUS + 1)
_BLUR = np.exp(-(_PLACES[:, None] ** 2 + _PLACES[None] ** 2) / (2 * _DEVIATION**2))
_SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
_LUMA = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True)
class Edges(PhotoTask):
    """The input is an edge drawing, black (-1) on white (1): Canny's edges (1986) without hysteresis.

    Lines mark maxima of the blurred photo's gradient. Steeper edges are darker.
    """

    name: ClassVar[str] = "edges"

    input_channels = 1

    def degraded(self, photo: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        weights = _LUMA if self.image_channels == 3 else (1.0,)
        gray = tf.reduce_sum(photo * tf.constant(weights), axis=-1, keepdims=True)
        smooth = filtered(gray, tf.constant(_BLUR / _BLUR.sum(), tf.float32))
        across = filtered(smooth, tf.constant(_SOBEL, tf.float32))
        down = filtered(smooth, tf.constant(_SOBEL.T, tf.float32))
        steepness = tf.sqrt(tf.square(across) + tf.square(down))
        steepest = _is_peak(steepness, tf.atan2(down, across))
        relative = steepness / tf.maximum(tf.reduce_mean(steepness), _LEAST)
        ink = tf.clip_by_value((relative - _FAINT) / (_BLACK - _FAINT), 0.0, 1.0)
        return 1.0 - 2.0 * tf.where(steepest, ink, 0.0)


def _is_peak(steepness: tf.Tensor, angle: tf.Tensor) -> tf.Tensor:
    """Non-maximum suppression: whether neither neighbor along the gradient is steeper."""
    shape = tf.shape(steepness)
    around = extended(steepness, 1)
    octant = tf.cast(tf.round(angle * (4 / math.pi)), tf.int32) % 4  # →, ↘, ↓, ↙
    peak = tf.zeros_like(steepness, tf.bool)
    for number, (row, column) in enumerate([(0, 1), (1, 1), (1, 0), (1, -1)]):
        ahead = around[1 + row :, 1 + column :][: shape[0], : shape[1]]
        behind = around[1 - row :, 1 - column :][: shape[0], : shape[1]]
        # Mark only one of two equal neighbors, so that lines are one pixel wide.
        peak |= (octant == number) & (steepness > ahead) & (steepness >= behind)
    return peak
