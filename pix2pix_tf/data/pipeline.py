"""Makes training batches from a split's images with tf.data: decode, jitter, crop, flip, scale, batch.

Positions are numbered over the whole run: position p is item p mod N of epoch p div N. The image or pair at a
position, and its augmentation, are pure functions of the seed and p. So a resumed run only needs its step,
and the number of workers has no effect. Two unpaired sets have separate N and random numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
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

# Largest share of free memory for caching decoded images.
_CACHE_SHARE = 0.25

# Folded into seeds for a task's random numbers, in training and for held-out images. int64 keeps all 64 bits
# of the seed.
_MADE, _MADE_HELD_OUT = np.int64(1), np.int64(2)

_KERNELS = {"triangle": "triangle", "cubic": "keyscubic"}


@dataclasses.dataclass(frozen=True)
class Share:
    """The devices to make batches for, among all devices that share a step."""

    devices: range = range(1)  # indices of these devices
    total: int = 1  # number of all devices


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
        dataset: What :func:`~pix2pix_tf.open_dataset` returns.
        config: Batch size, image size, seed and augmentation.
        first_step: Number of steps already done.
        last_step: Number of steps of the whole run.
        batches_per_step: Number of batches per step (such as for a critic), which are concatenated.
        share: The devices to make batches for, by default one; each step has one element per device.

    Returns:
        A ``tf.data.Dataset`` of tuples, (input, target), (a, b) or (image,), with float32 tensors
        [batch * batches_per_step / devices, height, width, channels] in [-1, 1]. All devices together get the
        same images for any number of devices. A task makes pairs after cropping. If a side has missing
        pixels, they are 0.0, and weights follow, one tensor for pairs and one per side for other kinds,
        float32 [..., height, width, 1], 1 for pixels with a value and 0 for missing pixels.

    Example:
        >>> config = preset("procedural")
        >>> batches = training_batches(open_dataset(config), config, 0, 1000)
        >>> labels, photos = next(iter(batches))
    """
    parts = dataset.parts("train")
    options = config.optimization
    per_step = batches_per_step * options.accumulate
    per_device = options.batch_size // options.accumulate // share.total  # per accumulated batch

    def prepare(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        # Convert the index in these devices' sequence to the position in the run.
        row, place = number // per_device, number % per_device
        row, part = row // per_step, row % per_step
        step, device = row // len(share.devices), row % len(share.devices) + share.devices.start
        position = ((step * per_step + part) * share.total + device) * per_device + place
        prepared: tuple[tf.Tensor, ...] = ()
        weights: tuple[tf.Tensor, ...] = ()
        for place, (source, sides) in enumerate(parts):
            seed = config.optimization.seed ^ (0x5BD1E995 * place)  # a different seed for each set
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
    """Returns the item at a position of the run; every epoch is a new permutation of ``count`` items."""
    epoch, index = position // count, position % count
    key = tf.stack([tf.constant(seed, tf.int64), epoch])
    # The shuffle uses only 8 bits of each of the two key words (more above 65,536 images). Four shuffles with
    # hashed keys use 64 bits.
    for hashed in tf.unstack(tf.random.stateless_uniform([4, 2], key, None, None, tf.int64)):
        index = tf.random.experimental.index_shuffle(index, hashed, tf.constant(count - 1, tf.int64))
    return index


def augmented(
    images: tuple[tf.Tensor, ...], sides: tuple[PixelFormat, ...], config: DataConfig, seed: tf.Tensor
) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
    """Jitters, flips and rotates an image, or both images of a pair in the same way (paper, section 6.2).

    ``images`` are ``uint8`` or ``uint16`` [height, width, channels], ``seed`` is int64 [2].

    Returns:
        The images, float32 [*config.size, channels] in [-1, 1] with missing pixels as 0.0, and weights,
        float32 [*config.size, 1], 1 where all images have a value and 0 elsewhere.
    """
    size = config.size
    scale = JITTER_SCALE if config.jitter else 1.0
    loaded = (round(size[0] * scale), round(size[1] * scale))
    draw = tf.random.stateless_uniform([5], seed)
    place = _placed(images[0], loaded, size, config.fit, draw[:2] if config.jitter else None)
    weight = tf.ones([*size, 1])
    result = []
    for image, side in zip(images, sides, strict=True):
        cut, valid = place.cut(image, side, config.photo_filter)
        cut = tf.ensure_shape(cut, (None, None, side.channels))
        cut = tf.clip_by_value(cut / ((2**side.bits - 1) / 2) - 1.0, -1.0, 1.0)
        if valid is not None:
            cut, weight = tf.where(valid, cut, 0.0), weight * tf.cast(valid, tf.float32)
        result.append(_oriented(cut, config, draw[2:]))
    return tuple(result), _oriented(weight, config, draw[2:])


def _oriented(image: tf.Tensor, config: DataConfig, draw: tf.Tensor) -> tf.Tensor:
    """Flips and rotates an image; ``draw``, float32 [3] in [0, 1), decides on both flips and the rotation."""
    if config.flip != "none":
        image = _flipped_if(draw[0] < 0.5, image, axis=1)
    if config.flip == "both":
        image = _flipped_if(draw[1] < 0.5, image, axis=0)
    if config.rotate:
        image = tf.ensure_shape(tf.image.rot90(image, tf.cast(4 * draw[2], tf.int32)), image.shape)
    return image


def _flipped_if(condition: tf.Tensor, image: tf.Tensor, axis: int) -> tf.Tensor:
    return tf.cond(condition, lambda: tf.reverse(image, [axis]), lambda: image)


@dataclasses.dataclass(frozen=True)
class _Place:
    """A crop of a resized image, the same for both images of a pair."""

    loaded: tf.Tensor  # int32 [2], height and width of the resized image
    offset: tf.Tensor  # int32 [2], top left corner of the crop; may be outside of the image
    size: tuple[int, int]  # size of the crop
    padded: bool  # whether the crop may extend beyond the image, which is then reflected

    def cut(
        self, image: tf.Tensor, side: PixelFormat, kernel: str = "triangle"
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Returns the crop, as `resized_crop`, and which pixels have a value (``None`` if all have).

        An output pixel is the mean of input pixels with a value, and missing if their weight is below half.
        Colors are weighted by alpha, so that those of transparent pixels don't show at edges.
        """
        pixels, valid = image, None
        if side.has_alpha:
            pixels = tf.cast(pixels, tf.float32)
            pixels = tf.concat([pixels[..., :-1] * pixels[..., -1:], pixels[..., -1:]], -1)
        if side.missing is None:
            pixels = self._cut(pixels, side.labels, kernel)
        else:
            known = tf.cast(has_value(image, side.missing), tf.float32)
            cut = self._cut(tf.concat([tf.cast(pixels, tf.float32) * known, known], -1), side.labels, kernel)
            pixels, valid = cut[..., :-1] / tf.maximum(cut[..., -1:], 0.5), cut[..., -1:] >= 0.5
        if side.has_alpha:
            colors = tf.math.divide_no_nan(pixels[..., :-1], pixels[..., -1:])
            pixels = tf.concat([colors, pixels[..., -1:]], -1)
        return pixels, valid

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
    """Fits an image to a canvas and chooses a crop.

    ``draw``, float32 [2] in [0, 1), determines the crop's position; ``None`` selects the center.
    """
    loaded = tf.constant(canvas)
    if fit != "resize":
        shape = tf.cast(tf.shape(image)[:2], tf.float32)
        scales = tf.constant(canvas, tf.float32) / shape
        scale = tf.reduce_max(scales) if fit == "crop" else tf.reduce_min(scales)
        loaded = tf.maximum(tf.cast(tf.round(shape * scale), tf.int32), 1)
        # Rounding may make the side that determines the scale off by one.
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
    """Resizes an image to ``loaded`` and crops ``size`` at ``offset``, in one operation.

    Label maps use the nearest pixel, other images an antialiased filter: 'triangle', or 'cubic' (Keys 1981),
    which is sharper and overshoots the range.

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
    """Resizes a held-out image to the network's size without augmentation; the type doesn't change."""
    [image] = fitted((image,), (side,), size, "resize")
    return image


def resized_input(
    image: np.ndarray, with_missing: Callable[[], np.ndarray], size: tuple[int, int], form: PixelFormat
) -> np.ndarray:
    """Resizes a model's input without mixing values and missing pixels.

    Missing pixels have the middle value in ``image``, and 0 in the image that ``with_missing`` returns.
    """
    marked = with_missing()
    if has_value(marked, 0).numpy().all():  # no missing pixels
        return resized(tf.constant(image), size, form).numpy()
    form = dataclasses.replace(form, missing=0)
    return filled(resized(tf.constant(marked), size, form), 0).numpy()


def fitted(
    images: tuple[tf.Tensor, ...], sides: tuple[PixelFormat, ...], size: tuple[int, int], fit: Fit
) -> tuple[tf.Tensor, ...]:
    """Fits a held-out image or pair to the network's size, with a center crop; types don't change."""
    place = _placed(images[0], size, size, fit, None)

    def one(image: tf.Tensor, side: PixelFormat) -> tf.Tensor:
        if tuple(image.shape[:2]) == size:
            return image
        cut, valid = place.cut(image, side)
        cut = tf.saturate_cast(tf.round(cut), image.dtype)
        if valid is None or side.missing is None:
            return cut
        beside = tf.constant(side.missing - 1 if side.missing else 1, image.dtype)
        cut = tf.where(has_value(cut, side.missing), cut, beside)  # a mean may equal ``missing``
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
    """Returns one row of a split at the network's size, as integers, without augmentation.

    Images keep their own sizes if ``size`` is ``None``. A task's input depends only on its seed, ``number``
    and ``size``, so it is always the same.
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
    """Returns a fixed sample of images, spread over a split (by default, the held-out split).

    With ``fill``, missing pixels get the middle value, as in inputs of networks.

    Returns:
        Up to ``count`` rows of a name and one image per side, such as (name, input, target), ``uint8`` or
        ``uint16`` [height, width, channels]. Row i of unpaired sets has the i-th images of both sets and the
        name from A.
    """
    parts = dataset.parts(split or dataset.held_out)
    rows = []
    for index in spread(min(len(images) for images, _ in parts), count):
        row: list[Any] = [parts[0][0].names[index]]
        for images, sides in parts:
            read = held_out_row(dataset, images, sides, index, size, fit)
            row_sides = dataset.sides if dataset.task.makes_input else sides
            missing = [side.missing if fill else None for side in row_sides]
            row += [filled(image, level).numpy() for image, level in zip(read, missing, strict=True)]
        rows.append(tuple(row))
    return rows


def in_memory(dataset: ImageDataset, name: str, processes: int = 1) -> ImageDataset:
    """Decodes one split into memory; returns the data set unchanged if the split doesn't fit.

    ``processes`` is the number of processes on this machine that do this at the same time.
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
    """Returns the memory available to this process, including a container's limit."""
    available = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # no limited control group
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
        return min(available, limit)
    return available


def _decoded(images: Images) -> Images:
    """Stores decoded images in memory."""
    indices = tf.data.Dataset.range(len(images))
    reading = indices.map(images.read, tf.data.AUTOTUNE, deterministic=True).prefetch(8)
    # The progress bar appears only on a terminal, after two seconds.
    decoded = list(tqdm(reading, "decoding", len(images), leave=False, unit="image", delay=2, disable=None))
    sides = [_reader_of_one_tensor(side) for side in zip(*decoded, strict=True)]
    return dataclasses.replace(images, read=lambda index: tuple(read(index) for read in sides))


def _reader_of_one_tensor(images: Sequence[tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Stores images of any size in one tensor, from which graphs read without Python and with one copy."""
    all_shapes = np.array([image.shape for image in images], np.int64)
    ends = all_shapes.prod(axis=1).cumsum()
    with tf.device("CPU"):  # leave GPU memory to the networks
        shapes, starts = tf.constant(all_shapes), tf.constant(np.concatenate([[0], ends[:-1]]))
        pixels = tf.concat([tf.reshape(image, [-1]) for image in images], axis=0)

    def read(index: tf.Tensor) -> tf.Tensor:
        shape = tf.gather(shapes, index)
        return tf.reshape(tf.slice(pixels, [tf.gather(starts, index)], [tf.reduce_prod(shape)]), shape)

    return read
