"""From a split's pairs to training batches: decode, jitter, crop, mirror, scale, batch; tf.data only.

Pairs are numbered over the whole run: position p is pair p mod N of epoch p div N. Which pair that is, and
how it is jittered and mirrored, is a pure function of the seed and p. A run that continues therefore needs
nothing but its step, and the number of workers changes nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import numpy as np
import psutil
import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf.config import DataConfig, TrainConfig
from pix2pix_tf.data.pairs import PairDataset, Side, Split, spread

# The paper resizes 256×256 images to 286×286 before cropping; other sizes in proportion.
JITTER_SCALE = 286 / 256

# Decoded pairs may take this share of the memory that is free when training starts.
_CACHE_SHARE = 0.25


def training_batches(
    dataset: PairDataset, config: TrainConfig, first_step: int, last_step: int
) -> tf.data.Dataset:
    """Returns the batches of steps ``first_step`` to ``last_step`` - 1.

    Args:
        dataset: directed, so that A is the input and B the target.
        config: batch size, image size, seed and augmentation.
        first_step: steps already done.
        last_step: steps of the whole run.

    Returns:
        A data set of (input, target), float32 [batch, height, width, channels] in [-1, 1].
    """
    split = dataset.splits["train"]
    batch_size = config.optimization.batch_size
    seed = config.optimization.seed

    def prepare(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pair = split.read(shuffled_index(position, len(split), seed))
        return augmented(pair, dataset.sides, config.data, tf.stack([tf.constant(seed, tf.int64), position]))

    positions = tf.data.Dataset.range(first_step * batch_size, last_step * batch_size)
    batches = positions.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def shuffled_index(position: tf.Tensor, count: int, seed: int) -> tf.Tensor:
    """Returns which pair stands at a position of the run: every epoch is a fresh permutation.

    Args:
        position: int64 scalar, counted over all epochs.
        count: pairs in the split.
        seed: the run's.

    Returns:
        int64 scalar in [0, count).
    """
    epoch, index = position // count, position % count
    key = tf.stack([tf.constant(seed, tf.int64), epoch])
    return tf.random.experimental.index_shuffle(index, key, tf.constant(count - 1, tf.int64))


def augmented(
    pair: tuple[tf.Tensor, tf.Tensor], sides: tuple[Side, Side], config: DataConfig, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns a pair jittered and mirrored, the same draw for both images (paper, section 6.2).

    Args:
        pair: input and target, [height, width, channels] of any size, ``uint8`` or ``uint16``.
        sides: what they are like; label maps are resized with the nearest neighbour.
        config: ``image_size``, ``jitter`` and ``flip``.
        seed: int64 [2], decides the draw.

    Returns:
        Input and target, float32 [height, width, channels] of ``config.size`` in [-1, 1].
    """
    size = config.size
    scale = JITTER_SCALE if config.jitter else 1.0
    loaded = (round(size[0] * scale), round(size[1] * scale))
    draw = tf.random.stateless_uniform([3], seed)
    room = tf.constant([loaded[0] - size[0] + 1, loaded[1] - size[1] + 1], tf.float32)
    offset = tf.cast(draw[:2] * room, tf.int32)
    mirrored = tf.logical_and(config.flip, draw[2] < 0.5)

    def one(image: tf.Tensor, side: Side) -> tf.Tensor:
        image = resized_crop(image, loaded, offset, size, side.labels)
        image = tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)
        return _unit_range(image, side)

    return one(pair[0], sides[0]), one(pair[1], sides[1])


def resized_crop(
    image: tf.Tensor,
    loaded: tuple[int, int],
    offset: tf.Tensor,
    size: tuple[int, int],
    labels: bool,
) -> tf.Tensor:
    """Resizes an image to ``loaded`` and crops ``size`` at ``offset`` from that, in one operation.

    Args:
        image: [height, width, channels].
        loaded: height and width to resize to.
        offset: int32 [2], the crop's top left corner.
        size: height and width of the crop.
        labels: take the nearest neighbour; otherwise an antialiased triangle filter.

    Returns:
        float32 [*size, channels] in the image's own range.
    """
    shape = tf.shape(image)[:2]
    if labels:
        for axis in (0, 1):
            centers = tf.cast(tf.range(size[axis]) + offset[axis], tf.float32) + 0.5
            nearest = tf.cast(centers * (tf.cast(shape[axis], tf.float32) / loaded[axis]), tf.int32)
            image = tf.gather(image, tf.minimum(nearest, shape[axis] - 1), axis=axis)
        image = tf.cast(image, tf.float32)
    else:
        image = tf.raw_ops.ScaleAndTranslate(
            images=image[tf.newaxis],
            size=size,
            scale=tf.constant(loaded, tf.float32) / tf.cast(shape, tf.float32),
            translation=-tf.cast(offset, tf.float32),
            kernel_type="triangle",
            antialias=True,
        )[0]
    return tf.ensure_shape(image, (*size, None))


def resized(image: tf.Tensor, size: tuple[int, int], side: Side) -> tf.Tensor:
    """Returns a held-out image at the network's size, in its own integer type: no jitter, no mirror."""
    if tuple(image.shape[:2]) == size:
        return image
    pixels = resized_crop(image, size, tf.zeros([2], tf.int32), size, side.labels)
    return tf.saturate_cast(tf.round(pixels), image.dtype)


def _unit_range(image: tf.Tensor, side: Side) -> tf.Tensor:
    """Scales float32 pixels of the side's depth to [-1, 1]; as ``to_unit_range`` does for integers."""
    image = tf.ensure_shape(image, (None, None, side.channels))
    return image / ((2**side.bits - 1) / 2) - 1.0


def held_out_pairs(
    dataset: PairDataset, size: tuple[int, int], count: int, split: str | None = None
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Returns pairs to look at: the same ones every time, spread over the split.

    Args:
        dataset: directed, so that A is the input and B the target.
        size: height and width to resize them to.
        count: how many at most.
        split: 'train', 'val' or 'test'; what is held out by default.

    Returns:
        Up to ``count`` of (name, input, target), ``uint8`` or ``uint16`` [height, width, channels].
    """
    chosen_from = dataset.splits[split or dataset.held_out]
    pairs = []
    for index in spread(len(chosen_from), count):
        images = chosen_from.read(tf.constant(index))
        both = (resized(image, size, side).numpy() for image, side in zip(images, dataset.sides, strict=True))
        pairs.append((chosen_from.names[index], *both))
    return pairs


def in_memory(dataset: PairDataset, name: str) -> PairDataset:
    """Returns the data set with one split decoded in memory, or as it is where that would not fit."""
    split = dataset.splits[name]
    if _decoded_bytes(split) > _CACHE_SHARE * _available_bytes():
        return dataset
    return dataclasses.replace(dataset, splits={**dataset.splits, name: _decoded(split)})


def _available_bytes() -> float:
    """Memory that this process may still take; containers limit it below what the machine has."""
    available = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # elsewhere than in a limited Linux control group
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
        return min(available, limit)
    return available


def _decoded(split: Split) -> Split:
    indices = tf.data.Dataset.range(len(split))
    pairs = indices.map(split.read, tf.data.AUTOTUNE, deterministic=True).prefetch(8)
    # The bar appears only on a terminal, and only where it takes a while.
    decoded = list(tqdm(pairs, "decoding", len(split), leave=False, unit="pair", delay=2, disable=None))
    first, second = (_PackedImages([pair[side] for pair in decoded]) for side in (0, 1))

    def read(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return first.get(index), second.get(index)

    return Split(split.names, read)


def _decoded_bytes(split: Split) -> float:
    """Estimates the memory of all decoded pairs from a few spread over the split."""
    some = spread(len(split), 16)
    sizes = [sum(image.numpy().nbytes for image in split.read(tf.constant(index))) for index in some]
    return float(np.mean(sizes)) * len(split)


class _PackedImages:
    """Images of any sizes in one tensor, so that a graph can take the i-th without Python."""

    def __init__(self, images: list[tf.Tensor]):
        shapes = np.array([image.shape for image in images], np.int64)
        ends = shapes.prod(axis=1).cumsum()
        with tf.device("CPU"):  # a GPU's memory is for the networks
            self._shapes = tf.constant(shapes)
            self._starts = tf.constant(np.concatenate([[0], ends[:-1]]))
            self._pixels = tf.concat([tf.reshape(image, [-1]) for image in images], axis=0)

    def get(self, index: tf.Tensor) -> tf.Tensor:
        """Returns image ``index``, [height, width, channels]."""
        shape = tf.gather(self._shapes, index)
        start = tf.gather(self._starts, index)
        return tf.reshape(tf.slice(self._pixels, [start], [tf.reduce_prod(shape)]), shape)
