"""Inpainting: masks photos with random strokes and boxes, which the network fills."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.pixels import over_checkerboard
from pix2pix_tf.data.tasks.base import PhotoTask

_AREA = (0.11, 0.39)  # share of the image to mask; the actual share differs by at most 1 %
_STROKES, _JOINTS, _BOXES = 4, 4, 3  # maximum of strokes, turns per stroke, maximum of boxes
_DOWNSAMPLINGS = 8
_CONFIDENCE = 4.0  # a square's mean color is used fully if at least a quarter of its pixels is known
_FAR = 1e6


@dataclasses.dataclass(frozen=True)
class Inpaint(PhotoTask):
    """The input is a masked photo with an alpha channel: 1 where pixels are known, -1 in the mask.

    The output equals the photo exactly at known pixels, and the network fills the mask.
    """

    name: ClassVar[str] = "inpaint"
    adds_layers = True
    inpaints: ClassVar[bool] = True
    photo_channels = (1, 3)  # predict reads masks from gray and RGB images only

    @property
    def input_channels(self) -> int:
        return self.image_channels + 1

    def degraded(self, photo: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Masks 10 to 40 % of the photo at random."""
        alpha = tf.where(random_mask(photo.shape[:2], seed), -1.0, 1.0)
        return self.network_input(tf.concat([photo, alpha], axis=-1))

    def network_input(self, image: tf.Tensor) -> tf.Tensor:
        """Fills the mask (alpha at most one half) with smooth colors."""
        known = _known(image)
        return tf.concat([_diffused(image[..., :-1], known), 2.0 * known - 1.0], axis=-1)

    def shown(self, given: np.ndarray) -> np.ndarray:
        return over_checkerboard(given)

    def composed(self, given: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        """Returns the output inside of the mask and the photo outside."""
        known = _known(given)
        return given[..., :-1] * known + output * (1.0 - known)

    def weight(self, given: tf.Tensor) -> tf.Tensor:
        return 1.0 - _known(given)


def _known(image: tf.Tensor) -> tf.Tensor:
    """Returns exactly 1 at known pixels and 0 in the mask, so that products don't round pixels."""
    return tf.clip_by_value(image[..., -1:] * 1e6, 0.0, 1.0)


def _diffused(colors: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Fills the mask with surrounding colors; known pixels stay exactly the same.

    A network with instance normalization is slow to learn the colors around a mask, so the input contains
    them. The pull-push algorithm (Gortler et al. 1996, section 3.5) downsamples the known pixels repeatedly,
    then fills missing pixels of each level from the next coarser one. ``known`` is 1 or 0, [..., height,
    width, 1].
    """
    shape = tf.shape(colors)
    weighted = tf.concat([colors * known, known], axis=-1)
    levels = [tf.reshape(weighted, tf.concat([[-1], tf.shape(weighted)[-3:]], axis=0))]
    for _ in range(_DOWNSAMPLINGS):
        levels.append(tf.nn.avg_pool2d(levels[-1], 2, 2, "SAME"))
    filled = _mean_color(tf.reduce_mean(levels[-1], axis=(1, 2), keepdims=True))
    for level in reversed(levels):
        filled = tf.image.resize(filled, tf.shape(level)[1:3])
        share = tf.minimum(_CONFIDENCE * level[..., -1:], 1.0)
        filled = _mean_color(level) * share + filled * (1.0 - share)
    return tf.reshape(filled, shape)


def _mean_color(weighted: tf.Tensor) -> tf.Tensor:
    return weighted[..., :-1] / tf.maximum(weighted[..., -1:], 1e-6)


def random_mask(size: tuple[int, int] | tf.TensorShape, seed: tf.Tensor) -> tf.Tensor:
    """Draws a random mask of brush strokes and boxes, bool [height, width, 1].

    The shapes start thin and grow by the same distance until they cover a random area.
    """
    height, width = size
    side = float(min(height, width))
    rows = tf.range(height, dtype=tf.float32)[:, tf.newaxis, tf.newaxis]
    columns = tf.range(width, dtype=tf.float32)[tf.newaxis, :, tf.newaxis]
    seeds = tf.unstack(tf.random.split(seed, 3))
    distance = tf.minimum(
        tf.reduce_min(_from_strokes(rows, columns, (height, width), side, seeds[0]), axis=-1),
        tf.reduce_min(_from_boxes(rows, columns, (height, width), side, seeds[1]), axis=-1),
    )
    low, high = _AREA
    share = low + (high - low) * tf.random.stateless_uniform([], seeds[2])
    ordered = tf.sort(tf.reshape(distance, [-1]))
    edge = ordered[tf.cast(share * (height * width), tf.int32)]
    return (distance < edge)[..., tf.newaxis]


def _from_strokes(
    rows: tf.Tensor, columns: tf.Tensor, size: tuple[int, int], side: float, seed: tf.Tensor
) -> tf.Tensor:
    """Returns the distance from each pixel to each stroke segment, [height, width, segments]."""
    draws = tf.random.stateless_uniform([6, _STROKES, _JOINTS], seed)
    # Each stroke is a random walk with turns of up to 70 degrees. Some strokes are omitted, never the first.
    turns = (draws[0] - 0.5) * (140 / 180 * math.pi)
    turns += tf.pad(2 * math.pi * draws[1, :, :1], [[0, 0], [0, _JOINTS - 1]])
    steps, angles = (0.05 + 0.2 * draws[2]) * side, tf.cumsum(turns, axis=1)
    starts = draws[3, :, :2] * tf.constant(size, tf.float32)
    moves = steps[..., tf.newaxis] * tf.stack([tf.sin(angles), tf.cos(angles)], axis=-1)
    ends = starts[:, tf.newaxis] + tf.cumsum(moves, axis=1)  # [strokes, joints, row and column]
    begins = tf.concat([starts[:, tf.newaxis], ends[:, :-1]], axis=1)
    brush = (0.01 + 0.05 * draws[4, :, 0]) * side
    absent = (draws[5, :, 0] < 0.4) & (tf.range(_STROKES) > 0)
    thickness = tf.repeat(tf.where(absent, -_FAR, brush), _JOINTS)

    (row, column), (to_row, to_column) = (
        tf.unstack(tf.reshape(points, [-1, 2]), axis=-1) for points in (begins, ends - begins)
    )
    length = tf.maximum(tf.square(to_row) + tf.square(to_column), 1e-6)
    place = tf.clip_by_value(((rows - row) * to_row + (columns - column) * to_column) / length, 0.0, 1.0)
    return (
        tf.sqrt(tf.square(rows - row - place * to_row) + tf.square(columns - column - place * to_column))
        - thickness
    )


def _from_boxes(
    rows: tf.Tensor, columns: tf.Tensor, size: tuple[int, int], side: float, seed: tf.Tensor
) -> tf.Tensor:
    """Returns the distance from each pixel to each box, negative inside, [height, width, boxes]."""
    draws = tf.random.stateless_uniform([5, _BOXES], seed)
    row, column = draws[0] * size[0], draws[1] * size[1]
    half_height, half_width = (0.03 + 0.12 * draws[2]) * side, (0.03 + 0.12 * draws[3]) * side
    outside = tf.maximum(tf.abs(rows - row) - half_height, tf.abs(columns - column) - half_width)
    return tf.where(draws[4] < 0.5, outside, _FAR)
