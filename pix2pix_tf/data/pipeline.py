"""From a split's images to training batches: decode, jitter, crop, mirror, scale, batch; tf.data only.

Positions are numbered over the whole run: position p is number p mod N of epoch p div N. Which image or pair
that is, and how it is jittered and mirrored, is a pure function of the seed and p. A run that continues
therefore needs nothing but its step, and the number of workers changes nothing. Of two unpaired sets each has
its own N and its own draws.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf.config import DataConfig, Fit, TrainConfig
from pix2pix_tf.data.dataset import ImageDataset, Images, spread
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import filled, has_value

# The paper resizes 256×256 images to 286×286 before cropping; other sizes in proportion.
JITTER_SCALE = 286 / 256

# Decoded images may take this share of the memory that is free when training starts.
_CACHE_SHARE = 0.25

# What seeds are folded with where a task draws, in training and where images are held out. Of int64, as the
# folded seed has as many bits as that.
_MADE, _MADE_HELD_OUT = np.int64(1), np.int64(2)

_KERNELS = {"triangle": "triangle", "cubic": "keyscubic"}


@dataclasses.dataclass(frozen=True)
class Share:
    """The devices that batches are for, of all devices that share a step."""

    devices: range = range(1)  # their numbers
    total: int = 1  # of all devices


ALONE = Share()


def training_batches(
    dataset: ImageDataset,
    config: TrainConfig,
    first_step: int,
    last_step: int,
    batches_per_step: int = 1,
    share: Share = ALONE,
) -> tf.data.Dataset:
    """Returns the batches of steps ``first_step`` to ``last_step`` - 1.

    Args:
        dataset: of any kind; of pairs, directed, so that A is the input and B the target.
        config: batch size, image size, seed and augmentation.
        first_step: steps already done.
        last_step: steps of the whole run.
        batches_per_step: how many batches a step takes, such as a critic's; they come as one.
        share: for which devices; one element for each of them a step, one after the other.

    Returns:
        A data set of tuples with a tensor for each side: (input, target) of pairs, (a, b) of unpaired
        sets, (image,) of images; float32 [batch * batches_per_step / devices, height, width, channels] in
        [-1, 1]. What all devices get together is the same, however many there are.
        A task makes pairs of what is cropped already; their target is what its network is to give.
        Where some side has missing pixels, these are 0.0, and float32 [..., height, width, 1] follow, 1 where
        there is a value and else 0: one of pairs, for both images; one for each side of others.
    """
    parts = dataset.parts("train")
    options = config.optimization
    per_step = batches_per_step * options.accumulate
    per_device = options.batch_size // options.accumulate // share.total  # of what is computed at once

    def prepare(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        # Which position of the run stands at this place of what these devices get.
        row, place = number // per_device, number % per_device
        row, part = row // per_step, row % per_step
        step, device = row // len(share.devices), row % len(share.devices) + share.devices.start
        position = ((step * per_step + part) * share.total + device) * per_device + place
        prepared: tuple[tf.Tensor, ...] = ()
        weights: tuple[tf.Tensor, ...] = ()
        for place, (source, sides) in enumerate(parts):
            seed = config.optimization.seed ^ (0x5BD1E995 * place)  # of the second set another
            drawn = source.read(shuffled_index(position, len(source), seed))
            draw = tf.stack([tf.constant(seed, tf.int64), position])
            images, weight = augmented(drawn, sides, config.data, draw)
            prepared, weights = prepared + images, (*weights, weight)
        seed = tf.random.experimental.stateless_fold_in(draw, _MADE)
        prepared = dataset.task.training_row(prepared, seed)
        return prepared + weights if any(side.missing is not None for side in dataset.sides) else prepared

    element = per_step * per_device
    of_step = element * len(share.devices)
    numbers = tf.data.Dataset.range(first_step * of_step, last_step * of_step)
    batches = numbers.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.batch(element, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def shuffled_index(position: tf.Tensor, count: int, seed: int) -> tf.Tensor:
    """Returns which of ``count`` items is at a position of the run: every epoch is a fresh permutation."""
    epoch, index = position // count, position % count
    key = tf.stack([tf.constant(seed, tf.int64), epoch])
    # The shuffle reads only 8 bits of each of a key's two words, more above 65,536 images. Four shuffles with
    # hashed keys use 64 bits.
    for hashed in tf.unstack(tf.random.stateless_uniform([4, 2], key, None, None, tf.int64)):
        index = tf.random.experimental.index_shuffle(index, hashed, tf.constant(count - 1, tf.int64))
    return index


def augmented(
    images: tuple[tf.Tensor, ...], sides: tuple[PixelFormat, ...], config: DataConfig, seed: tf.Tensor
) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
    """Returns an image or a pair jittered and mirrored, the same draw for both (paper, section 6.2).

    Args:
        images: one, or input and target, [height, width, channels] of any size, ``uint8`` or ``uint16``.
        sides: their formats.
        config: how they are jittered and mirrored.
        seed: int64 [2], decides the draw.

    Returns:
        The images, float32 [*config.size, channels] in [-1, 1], missing pixels 0.0; and float32
        [*config.size, 1], 1 if all of them have a value, else 0.
    """
    size = config.size
    scale = JITTER_SCALE if config.jitter else 1.0
    loaded = (round(size[0] * scale), round(size[1] * scale))
    draw = tf.random.stateless_uniform([3], seed)
    place = _placed(images[0], loaded, size, config.fit, draw[:2] if config.jitter else None)
    mirrored = tf.logical_and(config.flip, draw[2] < 0.5)
    weight = tf.ones([*size, 1])
    result = []

    def flipped(image: tf.Tensor) -> tf.Tensor:
        return tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)

    for image, side in zip(images, sides, strict=True):
        cut, valid = place.cut(image, side, config.photo_filter)
        cut = tf.ensure_shape(cut, (None, None, side.channels))
        cut = tf.clip_by_value(cut / ((2**side.bits - 1) / 2) - 1.0, -1.0, 1.0)
        if valid is not None:
            cut, weight = tf.where(valid, cut, 0.0), weight * tf.cast(valid, tf.float32)
        result.append(flipped(cut))
    return tuple(result), flipped(weight)


@dataclasses.dataclass(frozen=True)
class _Place:
    """The place of the network's image in an image, or in a pair: the same for both."""

    loaded: tf.Tensor  # int32 [2], height and width that the image is resized to
    offset: tf.Tensor  # int32 [2], the top left corner in that; may be outside of it
    size: tuple[int, int]  # of the network's image
    padded: bool  # whether some of it may be outside, where it is the image's reflection

    def cut(
        self, image: tf.Tensor, side: PixelFormat, kernel: str = "triangle"
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Returns what lies there, as `resized_crop` does, and which pixels have a value: ``None`` for all.

        A pixel is a mean of those that have a value, and missing where they weigh less than half.
        """
        if side.missing is None:
            return self._cut(image, side.labels, kernel), None
        valid = tf.cast(has_value(image, side.missing), tf.float32)
        cut = self._cut(tf.concat([tf.cast(image, tf.float32) * valid, valid], -1), side.labels, kernel)
        return cut[..., :-1] / tf.maximum(cut[..., -1:], 0.5), cut[..., -1:] >= 0.5

    def _cut(self, image: tf.Tensor, labels: bool, kernel: str) -> tf.Tensor:
        if not self.padded:
            return resized_crop(image, self.loaded, self.offset, self.size, labels, kernel)
        image = resized_crop(image, self.loaded, tf.zeros([2], tf.int32), self.loaded, labels, kernel)
        for axis in (0, 1):
            last = self.loaded[axis] - 1
            position = (tf.range(self.size[axis]) + self.offset[axis]) % tf.maximum(2 * last, 1)
            image = tf.gather(image, last - tf.abs(last - position), axis=axis)  # … 2 1 0 1 … n-1 n-2 …
        return tf.ensure_shape(image, (*self.size, None))


def _placed(
    image: tf.Tensor, canvas: tuple[int, int], size: tuple[int, int], fit: Fit, draw: tf.Tensor | None
) -> _Place:
    """Fits an image to a canvas, and chooses there a place for the network's image.

    ``draw``, float32 [2] in [0, 1), decides where between the edges; by default it is the center.
    """
    loaded = tf.constant(canvas)
    if fit != "resize":
        shape = tf.cast(tf.shape(image)[:2], tf.float32)
        scales = tf.constant(canvas, tf.float32) / shape
        scale = tf.reduce_max(scales) if fit == "crop" else tf.reduce_min(scales)
        loaded = tf.maximum(tf.cast(tf.round(shape * scale), tf.int32), 1)
        # Rounded, the side that decides the scale may be off by one.
        loaded = tf.maximum(loaded, canvas) if fit == "crop" else tf.minimum(loaded, canvas)
    room = tf.maximum(loaded, canvas) - size
    offset = room // 2 if draw is None else tf.cast(draw * tf.cast(room + 1, tf.float32), tf.int32)
    margin = tf.maximum(canvas - loaded, 0) // 2
    return _Place(loaded, offset - margin, size, padded=fit == "pad")


def resized_crop(
    image: tf.Tensor,
    loaded: tuple[int, int] | tf.Tensor,
    offset: tf.Tensor,
    size: tuple[int, int] | tf.Tensor,
    labels: bool,
    kernel: str = "triangle",
) -> tf.Tensor:
    """Resizes an image to ``loaded`` and crops ``size`` at ``offset`` from that, in one operation.

    Labels are taken from the nearest pixel, others get an antialiased filter: 'triangle', or 'cubic' (Keys
    1981), which is sharper and exceeds the range.

    Returns:
        float32 [*size, channels] in the image's own range.
    """
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.cast(loaded, tf.float32) / shape
    if labels:
        whole = tf.cast(loaded, tf.float32)
        for axis in (0, 1):
            centers = tf.cast(tf.range(size[axis]) + offset[axis], tf.float32) + 0.5
            nearest = tf.cast(centers * (shape[axis] / whole[axis]), tf.int32)
            image = tf.gather(image, tf.minimum(nearest, tf.shape(image)[axis] - 1), axis=axis)
        image = tf.cast(image, tf.float32)
    else:
        image = tf.raw_ops.ScaleAndTranslate(
            images=image[tf.newaxis],
            size=size,
            scale=scale,
            translation=-tf.cast(offset, tf.float32),
            kernel_type=_KERNELS[kernel],
            antialias=True,
        )[0]
    return image if tf.is_tensor(size) else tf.ensure_shape(image, (*size, None))


def resized(image: tf.Tensor, size: tuple[int, int], side: PixelFormat) -> tf.Tensor:
    """Returns a held-out image at the network's size, in its own integer type: no jitter, no mirror."""
    [image] = fitted((image,), (side,), size, "resize")
    return image


def resized_input(
    image: np.ndarray, with_missing: Callable[[], np.ndarray], size: tuple[int, int], form: PixelFormat
) -> np.ndarray:
    """Returns a model's input at another size, without mixing values with missing pixels.

    ``image`` has the middle level in missing pixels, what ``with_missing`` returns has 0 instead.
    """
    marked = with_missing()
    if has_value(marked, 0).numpy().all():  # else 0 may be a value
        return resized(tf.constant(image), size, form).numpy()
    form = dataclasses.replace(form, missing=0)
    return filled(resized(tf.constant(marked), size, form), 0).numpy()


def fitted(
    images: tuple[tf.Tensor, ...], sides: tuple[PixelFormat, ...], size: tuple[int, int], fit: Fit
) -> tuple[tf.Tensor, ...]:
    """Returns a held-out image or pair at the network's size, in integers, cropped to its center."""
    place = _placed(images[0], size, size, fit, None)

    def one(image: tf.Tensor, side: PixelFormat) -> tf.Tensor:
        if tuple(image.shape[:2]) == size:
            return image
        cut, valid = place.cut(image, side)
        cut = tf.saturate_cast(tf.round(cut), image.dtype)
        if valid is None or side.missing is None:
            return cut
        beside = tf.constant(side.missing - 1 if side.missing else 1, image.dtype)
        cut = tf.where(has_value(cut, side.missing), cut, beside)  # a mean may come to that level
        return tf.where(valid, cut, tf.constant(side.missing, image.dtype))

    return tuple(one(image, side) for image, side in zip(images, sides, strict=True))


def held_out_row(
    dataset: ImageDataset,
    images: Images,
    sides: tuple[PixelFormat, ...],
    number: int,
    size: tuple[int, int] | None,
    fit: Fit,
) -> tuple[tf.Tensor, ...]:
    """Returns one row of a split at the network's size, in integers: no jitter, no mirror.

    Each has its own size if ``size`` is ``None``. What a task makes depends on its seed, the number and the
    size alone: every look sees the same.
    """
    read = images.read(tf.constant(number))
    if size is not None:
        read = fitted(read, sides, size, fit)
    seed = tf.constant([dataset.task_seed, number], tf.int64)
    seed = tf.random.experimental.stateless_fold_in(seed, _MADE_HELD_OUT)
    return dataset.task.held_out_row(read, seed, sides[0].missing)


def held_out_images(
    dataset: ImageDataset,
    size: tuple[int, int],
    count: int,
    split: str | None = None,
    fit: Fit = "resize",
    fill: bool = True,
) -> list[tuple[Any, ...]]:
    """Returns images to look at: the same ones every time, spread over the split (what is held out).

    If ``fill``, missing pixels get the middle level, which networks are given for them.

    Returns:
        Up to ``count`` rows of a name and an image for each side, such as (name, input, target), ``uint8``
        or ``uint16`` [height, width, channels]. A row of unpaired sets has the i-th of both, and A's name;
        with the smaller set the rows end.
    """
    parts = dataset.parts(split or dataset.held_out)
    rows = []
    for index in spread(min(len(images) for images, _ in parts), count):
        row: list[Any] = [parts[0][0].names[index]]
        for images, sides in parts:
            read = held_out_row(dataset, images, sides, index, size, fit)
            of_each = dataset.sides if dataset.task.makes_input else sides
            missing = [side.missing if fill else None for side in of_each]
            row += [filled(image, level).numpy() for image, level in zip(read, missing, strict=True)]
        rows.append(tuple(row))
    return rows


def in_memory(dataset: ImageDataset, name: str, processes: int = 1) -> ImageDataset:
    """Returns the data set with one split decoded in memory, or as it is if that would not fit.

    ``processes`` on this machine do so at the same time.
    """
    sets = dataset.splits[name]
    needed = 0.0
    for images in sets:  # estimated from a few
        some = [images.read(tf.constant(index)) for index in spread(len(images), 16)]
        needed += np.mean([sum(image.numpy().nbytes for image in read) for read in some]) * len(images)
    if needed > _CACHE_SHARE * _available_bytes() / processes:
        return dataset
    return dataclasses.replace(dataset, splits={**dataset.splits, name: tuple(map(_decoded, sets))})


def _available_bytes() -> float:
    """Memory that this process may still take; containers limit it below what the machine has."""
    available = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # elsewhere than in a limited Linux control group
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
        return min(available, limit)
    return available


def _decoded(images: Images) -> Images:
    """Returns images of any sizes in tensors of strings, so that a graph can take the i-th without Python."""
    indices = tf.data.Dataset.range(len(images))
    reading = indices.map(images.read, tf.data.AUTOTUNE, deterministic=True).prefetch(8)
    # The bar appears only on a terminal, and only where it takes a while.
    decoded = list(tqdm(reading, "decoding", len(images), leave=False, unit="image", delay=2, disable=None))
    with tf.device("CPU"):  # a GPU's memory is for the networks
        sides = [
            (tf.stack([tf.io.serialize_tensor(image) for image in side]), side[0].dtype, side[0].shape[2])
            for side in zip(*decoded, strict=True)
        ]

    def read(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tuple(
            tf.ensure_shape(tf.io.parse_tensor(tf.gather(stored, index), dtype), (None, None, channels))
            for stored, dtype, channels in sides
        )

    return dataclasses.replace(images, read=read)
