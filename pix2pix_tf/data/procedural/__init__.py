"""Procedurally drawn facades: pairs of a photo and its label map, in any number and without a download.

A facade is first planned (boxes in whole pixels) and then painted. Each stroke paints label and material
together, so the edges of both images coincide. In six architectural styles, features that labels show
(shutters, pillars, a stepped gable) go with materials that only the photo shows (plaster, stone, brick), so
that a network can infer the photo from the labels.

All arithmetic uses integers, and all randomness is a hash of (seed, index). So the bytes of a pair don't
depend on the machine or on NumPy's random generators.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.dataset import ImageDataset, Images
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.procedural.canvas import PALETTE
from pix2pix_tf.data.procedural.painting import draw_pair
from pix2pix_tf.data.procedural.planning import Box, plan_street

__all__ = ["PALETTE", "Box", "draw_pair", "plan_street", "procedural_dataset"]

_HELD_BYTES = 1 << 28  # larger splits are drawn again on each reading


def procedural_dataset(
    seed: int, image_size: tuple[int, int], train_count: int = 400, val_count: int = 50, test_count: int = 50
) -> ImageDataset:
    """Returns the data set of drawn facades: A is the photo, B the label map, both uint8.

    Splits are drawn at the first reading and kept in memory; large ones are drawn pair by pair when read. The
    splits take turns in one series of drawings, so they share none: ``procedural-000012`` is
    ``draw_pair(seed, 12, ...)``. A split of no pairs is left out.
    """
    counts = {"train": train_count, "val": val_count, "test": test_count}
    splits = {
        name: (_drawn(seed, image_size, range(turn, turn + len(counts) * count, len(counts))),)
        for turn, (name, count) in enumerate(counts.items())
        if count
    }
    return ImageDataset("procedural", (PixelFormat(), PixelFormat(labels=True)), splits)


def _drawn(seed: int, image_size: tuple[int, int], numbers: range) -> Images:
    shape = (2, *image_size, 3)
    held = len(numbers) * math.prod(shape) <= _HELD_BYTES

    def draw(place: int) -> np.ndarray:
        return np.stack(draw_pair(seed, numbers[place], *image_size))

    @functools.cache
    def draw_all() -> tf.Tensor:
        pairs = np.empty((len(numbers), *shape), np.uint8)
        for place in range(len(numbers)):
            pairs[place] = draw(place)
        # The first reading may happen while a graph is traced; the graph should not hold the images.
        with tf.init_scope(), tf.device("CPU:0"):
            return tf.constant(pairs)

    def read(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if held:
            pair = draw_all()[index]
        else:
            pair = tf.ensure_shape(tf.numpy_function(draw, [index], tf.uint8, stateful=False), shape)
        return pair[0], pair[1]

    images = Images([f"procedural-{number:06d}" for number in numbers], read)
    return dataclasses.replace(images, known=functools.cache(images.digests))
