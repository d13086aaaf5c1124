"""Facades drawn by the program: endless pairs of a photo and its label map, with nothing to download.

A facade is first planned (what stands where, in whole pixels) and then painted, label and material by the
same stroke, so that the edges of the two images of a pair lie on each other. Six architectural styles tie
what the labels show (shutters, pillars, a stepped gable) to what the photo shows (plaster, stone, brick), so
that the photo can be learnt from the labels.

All arithmetic is on integers and all randomness is a hash of (seed, index), so that the bytes of a pair
depend neither on the machine nor on NumPy's random generators.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from pix2pix_tf.data.procedural.canvas import PALETTE
from pix2pix_tf.data.procedural.painting import draw_pair
from pix2pix_tf.data.procedural.planning import Box, plan_street
from pix2pix_tf.data.sets import ImageDataset, Images, Side
from pix2pix_tf.errors import ConfigError

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["PALETTE", "Box", "draw_pair", "plan_street", "procedural_dataset"]

_HELD_BYTES = 1 << 28  # a split larger than this is drawn again at each reading


def procedural_dataset(
    seed: int,
    image_size: tuple[int, int],
    train_count: int = 400,
    val_count: int = 50,
    test_count: int = 50,
) -> ImageDataset:
    """Returns the data set of drawn facades: A is the photo, B the label map, both uint8.

    Nothing is drawn before the first reading; then a split is drawn whole and held in memory, or, where it
    is too large for that, pair by pair when read. The splits share no drawing: they take turns in one
    series, and ``procedural-000012`` is ``draw_pair(seed, 12, ...)``.

    Args:
        seed: any integer; another seed gives other facades.
        image_size: height and width in pixels, each at least 32.
        train_count: number of pairs in ``train``, at least 1.
        val_count: number of pairs in ``val``; 0 leaves the split out.
        test_count: number of pairs in ``test``; 0 leaves the split out.

    Returns:
        The splits ``train``, ``val`` and ``test``.

    Raises:
        ConfigError: there would be nothing to train on.
    """
    if train_count < 1:
        raise ConfigError(f"procedural data: can't train on {train_count} pairs; give 1 or more.")
    counts = {"train": train_count, "val": val_count, "test": test_count}
    splits = {
        name: (_drawn(seed, image_size, range(turn, turn + len(counts) * count, len(counts))),)
        for turn, (name, count) in enumerate(counts.items())
        if count > 0
    }
    return ImageDataset("procedural", (Side(channels=3), Side(channels=3, labels=True)), splits)


def _drawn(seed: int, image_size: tuple[int, int], numbers: range) -> Images:
    """Returns the pairs that are the drawings of these numbers."""
    shape = (2, *image_size, 3)
    held = len(numbers) * math.prod(shape) <= _HELD_BYTES

    def draw(place: int) -> np.ndarray:
        return np.stack(draw_pair(seed, numbers[place], *image_size))

    @functools.cache
    def draw_all() -> tf.Tensor:
        import tensorflow as tf

        pairs = np.empty((len(numbers), *shape), np.uint8)
        for place in range(len(numbers)):
            pairs[place] = draw(place)
        # The first reading may be the tracing of a graph, and that graph should not own the images.
        with tf.init_scope(), tf.device("CPU:0"):
            return tf.constant(pairs)

    def read(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        import tensorflow as tf

        if held:
            pair = draw_all()[index]
        else:
            pair = tf.ensure_shape(tf.numpy_function(draw, [index], tf.uint8, stateful=False), shape)
        return pair[0], pair[1]

    return Images([f"procedural-{number:06d}" for number in numbers], read)
