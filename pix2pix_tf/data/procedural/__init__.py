"""Procedurally drawn facades: any number of pairs of a photo and its label map, without a download.

Planning places boxes in whole pixels; painting then draws them. Each box is painted in both images at once,
so edges coincide. There are six architectural styles. Each combines features that labels show (shutters,
pillars, a stepped gable) with materials that only the photo shows (plaster, stone, brick). So a network can
infer the photo from the labels.

All arithmetic uses integers, and all random numbers are hashes of (seed, index). So a pair is identical on
every machine and with every version of NumPy.
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
from pix2pix_tf.data.procedural.planning import plan_street

__all__ = ["PALETTE", "draw_pair", "plan_street", "procedural_dataset"]

_MEMORY_BYTES = 1 << 28  # larger splits are drawn again at every read


def procedural_dataset(
    seed: int, image_size: tuple[int, int], train_count: int = 400, val_count: int = 50, test_count: int = 50
) -> ImageDataset:
    """Returns the data set of drawn facades: A is the photo, B the label map, both uint8.

    A split is drawn at its first read and stored in memory; a large split is drawn pair by pair. Pairs of one
    series are assigned to the splits in turn: ``procedural-000012`` is ``draw_pair(seed, 12, ...)``. Empty
    splits are omitted.
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
    fits_in_memory = len(numbers) * math.prod(shape) <= _MEMORY_BYTES

    def draw(place: int) -> np.ndarray:
        return np.stack(draw_pair(seed, numbers[place], *image_size))

    @functools.cache
    def draw_all() -> tf.Tensor:
        pairs = np.empty((len(numbers), *shape), np.uint8)
        for place in range(len(numbers)):
            pairs[place] = draw(place)
        # The first read may occur while tracing a graph, which must not contain the images.
        with tf.init_scope(), tf.device("CPU:0"):
            return tf.constant(pairs)

    def read(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if fits_in_memory:
            pair = draw_all()[index]
        else:
            pair = tf.ensure_shape(tf.numpy_function(draw, [index], tf.uint8, stateful=False), shape)
        return pair[0], pair[1]

    images = Images([f"procedural-{number:06d}" for number in numbers], read)
    return dataclasses.replace(images, known=functools.cache(images.digests))
