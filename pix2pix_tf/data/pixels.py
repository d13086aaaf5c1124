"""Pixels to pixels: channels, depths and ranges, by integer arithmetic, so that every machine gives the same.

What files are read with (numpy) and what graphs do (TensorFlow) are the same formulas.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import numpy as np
import tensorflow as tf

from pix2pix_tf.errors import DataError

WITH_ALPHA = (2, 4)
"""Channels of gray and of RGB images with alpha."""
_SQUARE = 8  # pixels
_TOO_NARROW = "a side-by-side pair must be at least 2 pixels wide"

Whole = TypeVar("Whole", np.ndarray, tf.Tensor)
"""Integers wide enough for the products below, in Python or in a graph."""


def luma(rgb: Whole) -> Whole:
    """BT.601 luma, rounded, of [..., 3]: [..., 1]."""
    return (299 * rgb[..., 0:1] + 587 * rgb[..., 1:2] + 114 * rgb[..., 2:3] + 500) // 1000


def over_white(image: Whole, white: int) -> Whole:
    """Lays [..., channels and alpha] over white, rounded: [..., channels]."""
    alpha = image[..., -1:]
    return (image[..., :-1] * alpha + white * (white - alpha) + white // 2) // white


def convert_channels(image: tf.Tensor, channels: int, with_alpha: bool = False) -> tf.Tensor:
    """Turns an array of pixels gray or RGB, with the arithmetic of `read_image`.

    An array therefore gives the same pixels as a file of it, read in the same depth. Alpha is laid over
    white; ``with_alpha`` keeps it, or adds it, as the last of the channels.
    """
    known = image.shape.rank == 3 and image.shape[2] in (1, 2, 3, 4)
    if channels - with_alpha not in (1, 3) or not known or image.dtype not in (tf.uint8, tf.uint16):
        raise ValueError(
            "convert_channels turns uint8 or uint16 [height, width, 1 to 4 channels] into 1 or 3 channels, "
            f"not {image.dtype.name} {image.shape} into {channels}"
        )
    if with_alpha:
        if image.shape[2] in WITH_ALPHA:
            image, alpha = image[..., :-1], image[..., -1:]
        else:
            alpha = tf.fill(tf.concat([tf.shape(image)[:2], [1]], axis=0), image.dtype.max)
        converted = convert_channels(image, channels - 1)
        return tf.concat([converted, tf.cast(alpha, image.dtype)], axis=-1)
    with tf.device("CPU"):  # where integers are quick
        wide = tf.cast(image, tf.int64)
        if image.shape[2] in WITH_ALPHA:
            wide = over_white(wide, image.dtype.max)
        if wide.shape[2] != channels:
            wide = luma(wide) if channels == 1 else tf.repeat(wide, 3, axis=2)
        return tf.cast(wide, image.dtype)


# ---------------------------------------------------------------- alpha as the mask of inpainting


def over_checkerboard(image: np.ndarray) -> np.ndarray:
    """Returns an image ``uint8`` or ``uint16`` [height, width, 2 or 4] over a checkerboard, as editors do."""
    rows, columns = np.indices(image.shape[:2]) // _SQUARE
    board = np.where((rows + columns) % 2, 0.8, 1.0)[..., np.newaxis] * np.iinfo(image.dtype).max
    alpha = image[..., -1:] / np.iinfo(image.dtype).max
    return np.round(image[..., :-1] * alpha + board * (1 - alpha)).astype(image.dtype)


def mask_of(image: np.ndarray) -> np.ndarray:
    """Returns which pixels of an image with alpha are to be inpainted, bool [height, width, 1]."""
    return image[..., -1:] <= np.iinfo(image.dtype).max // 2


def with_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns an image with alpha whose pixels are transparent if a mask is white, or if they were."""
    if image.shape[:2] != mask.shape[:2]:
        (height, width), own = image.shape[:2], mask.shape[:2]
        raise DataError(
            f"its mask is {own[1]}x{own[0]} pixels, the image {width}x{height}; give both the same size"
        )
    alpha = np.where(mask > 127, 0, image[..., -1:]).astype(image.dtype)
    return np.concatenate([image[..., :-1], alpha], axis=-1)


# ---------------------------------------------------------------- images to look at


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Returns an image as it is shown: grey as three equal channels, of two channels the first red and the
    second green, of more than three the first three.
    """
    channels = image.shape[2]
    if channels == 2:
        image = np.concatenate([image, np.zeros_like(image[..., :1])], axis=2)
    return np.ascontiguousarray(np.broadcast_to(image[..., :3], (*image.shape[:2], 3)))


def as_shown(image: np.ndarray) -> np.ndarray:
    """Returns ``uint8`` or ``uint16`` [height, width, channels] as RGB of 8 bits, see :func:`as_rgb`."""
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return as_rgb(image)


def split_side_by_side(pair: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts a side-by-side pair into its left half A and its right half B."""
    width = tf.shape(pair)[1]
    half = width // 2
    with tf.control_dependencies([tf.debugging.Assert(half >= 1, [_TOO_NARROW])]):
        return pair[:, :half], pair[:, width - half :]


def content_digest(pixels: np.ndarray) -> int:
    """Returns 64 bits of the pixels of an image [height, width, channels], however they are stored."""
    # One row first: it is enough of most pictures in color.
    if pixels.shape[2] == 3 and all((some == some[..., :1]).all() for some in (pixels[:1], pixels)):
        pixels = pixels[..., :1]  # gray, written as RGB
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    digest = hashlib.blake2b(f"{pixels.shape} {pixels.dtype}".encode(), digest_size=8)
    digest.update(pixels.data)
    return int.from_bytes(digest.digest())


def content_digests(pixels: np.ndarray) -> tuple[int, int, int]:
    """Returns the digests of an image, and of the halves that `split_side_by_side` makes of it."""
    half = max(1, pixels.shape[1] // 2)
    left, right = content_digest(pixels[:, :half]), content_digest(pixels[:, -half:])
    return content_digest(pixels), left, right


def has_value(image: tf.Tensor, missing: int) -> tf.Tensor:
    """Returns which pixels [..., 1] have a value, that is another level than ``missing`` in some channel."""
    return tf.reduce_any(tf.not_equal(image, tf.constant(missing, image.dtype)), axis=-1, keepdims=True)


def filled(image: tf.Tensor, missing: int | None) -> tf.Tensor:
    """Returns an integer image with the middle level in its missing pixels, as networks are given it."""
    if missing is None:
        return image
    image = tf.convert_to_tensor(image)
    return tf.where(has_value(image, missing), image, tf.constant(image.dtype.max // 2 + 1, image.dtype))


def to_unit_range(image: tf.Tensor) -> tf.Tensor:
    """Scales ``uint8`` or ``uint16`` of any shape to ``float32`` in [-1, 1]."""
    if image.dtype not in (tf.uint8, tf.uint16):
        raise ValueError(f"to_unit_range takes uint8 or uint16, not {image.dtype}")
    # A product, because graphs turn a division by a constant into one, and round otherwise than by itself.
    return tf.cast(image, tf.float32) * (2 / image.dtype.max) - 1.0


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    return from_unit_range(image, tf.uint8)


def from_unit_range(image: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Turns floats in [-1, 1], of any shape, into the levels of ``uint8`` or ``uint16``.

    Rounds to the nearest level (halves to the even one); what is outside the range becomes the lowest or the
    highest, and what is not a number the lowest.
    """
    half = dtype.max / 2
    level = tf.cast(image, tf.float32) * half + half
    level = tf.where(tf.math.is_nan(level), 0.0, level)  # NaN as an integer differs between machines
    return tf.cast(tf.round(tf.clip_by_value(level, 0.0, float(dtype.max))), dtype)
