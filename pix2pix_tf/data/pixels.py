"""Conversions of channels, bit depths and ranges, with integer arithmetic for identical results everywhere.

Reading files (NumPy) and graphs (TensorFlow) use the same formulas.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.pixel_format import WITH_ALPHA, PixelFormat
from pix2pix_tf.errors import DataError

_SQUARE = 8  # side of the checkerboard's squares in pixels
_TOO_NARROW = "a side-by-side pair must be at least 2 pixels wide"

Whole = TypeVar("Whole", np.ndarray, tf.Tensor)
"""Integers wide enough for the products below, in Python or in a graph."""


def luma(rgb: Whole) -> Whole:
    """Converts RGB [..., 3] to rounded BT.601 luma [..., 1]."""
    return (299 * rgb[..., 0:1] + 587 * rgb[..., 1:2] + 114 * rgb[..., 2:3] + 500) // 1000


def over_white(image: Whole, white: int) -> Whole:
    """Blends [..., channels and alpha] with white, rounded; returns [..., channels]."""
    alpha = image[..., -1:]
    return (image[..., :-1] * alpha + white * (white - alpha) + white // 2) // white


def convert_channels(image: tf.Tensor, channels: int, with_alpha: bool = False) -> tf.Tensor:
    """Converts an image to gray or RGB with the arithmetic of `read_image`.

    So an array and a file with the same pixels give the same result. Alpha is blended with white, unless
    ``with_alpha`` keeps it (or adds it) as the last channel.
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
    with tf.device("CPU"):  # integer operations are faster there
        wide = tf.cast(image, tf.int64)
        if image.shape[2] in WITH_ALPHA:
            wide = over_white(wide, image.dtype.max)
        if wide.shape[2] != channels:
            wide = luma(wide) if channels == 1 else tf.repeat(wide, 3, axis=2)
        return tf.cast(wide, image.dtype)


# ---------------------------------------------------------------- alpha


def over_checkerboard(image: np.ndarray) -> np.ndarray:
    """Blends an image with alpha, ``uint8`` or ``uint16`` [height, width, 2 or 4], with a checkerboard."""
    rows, columns = np.indices(image.shape[:2]) // _SQUARE
    board = np.where((rows + columns) % 2, 0.8, 1.0)[..., np.newaxis] * np.iinfo(image.dtype).max
    alpha = image[..., -1:] / np.iinfo(image.dtype).max
    return np.round(image[..., :-1] * alpha + board * (1 - alpha)).astype(image.dtype)


def shown_as(form: PixelFormat, image: np.ndarray) -> np.ndarray:
    """Blends an image of a format with a checkerboard if it has alpha."""
    return over_checkerboard(image) if form.has_alpha else image


def mask_of(image: np.ndarray) -> np.ndarray:
    """Returns the inpainting mask of an image with alpha, bool [height, width, 1]."""
    return image[..., -1:] <= np.iinfo(image.dtype).max // 2


def with_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Makes the pixels of an image with alpha transparent where the mask is white."""
    if image.shape[:2] != mask.shape[:2]:
        (height, width), own = image.shape[:2], mask.shape[:2]
        raise DataError(
            f"its mask is {own[1]}x{own[0]} pixels, the image {width}x{height}; give both the same size"
        )
    alpha = np.where(mask > 127, 0, image[..., -1:]).astype(image.dtype)
    return np.concatenate([image[..., :-1], alpha], axis=-1)


# ---------------------------------------------------------------- images for display


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Converts an image to RGB for display: repeats gray, shows two channels as red and green, and uses the
    first three of more channels.
    """
    channels = image.shape[2]
    if channels == 2:
        image = np.concatenate([image, np.zeros_like(image[..., :1])], axis=2)
    return np.ascontiguousarray(np.broadcast_to(image[..., :3], (*image.shape[:2], 3)))


def as_shown(image: np.ndarray) -> np.ndarray:
    """Converts ``uint8`` or ``uint16`` [height, width, channels] to 8-bit RGB, see `as_rgb`."""
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
    """Returns a 64-bit hash of the pixels [height, width, channels], independent of memory layout."""
    # Test one row first, which is enough for most color images.
    if pixels.shape[2] == 3 and all((some == some[..., :1]).all() for some in (pixels[:1], pixels)):
        pixels = pixels[..., :1]  # gray, written as RGB
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    digest = hashlib.blake2b(f"{pixels.shape} {pixels.dtype}".encode(), digest_size=8)
    digest.update(pixels.data)
    return int.from_bytes(digest.digest())


def content_digests(pixels: np.ndarray) -> tuple[int, int, int]:
    """Returns the digests of an image and of its halves, as cut by `split_side_by_side`."""
    half = max(1, pixels.shape[1] // 2)
    left, right = content_digest(pixels[:, :half]), content_digest(pixels[:, -half:])
    return content_digest(pixels), left, right


def has_value(image: tf.Tensor, missing: int) -> tf.Tensor:
    """Whether pixels, [..., 1], have a value: some channel differs from ``missing``."""
    return tf.reduce_any(tf.not_equal(image, tf.constant(missing, image.dtype)), axis=-1, keepdims=True)


def filled(image: tf.Tensor, missing: int | None) -> tf.Tensor:
    """Fills the missing pixels of an integer image with the middle value, as in inputs of networks."""
    if missing is None:
        return image
    image = tf.convert_to_tensor(image)
    return tf.where(has_value(image, missing), image, tf.constant(image.dtype.max // 2 + 1, image.dtype))


def to_unit_range(image: tf.Tensor) -> tf.Tensor:
    """Scales ``uint8`` or ``uint16`` of any shape to ``float32`` in [-1, 1]."""
    if image.dtype not in (tf.uint8, tf.uint16):
        raise ValueError(f"to_unit_range takes uint8 or uint16, not {image.dtype}")
    # Multiply, because graphs replace division by a constant with multiplication, which rounds differently.
    return tf.cast(image, tf.float32) * (2 / image.dtype.max) - 1.0


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    return from_unit_range(image, tf.uint8)


def from_unit_range(image: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Scales floats in [-1, 1], of any shape, to ``uint8`` or ``uint16``.

    Rounds half to even, clips values outside of the range, and converts NaN to 0.
    """
    half = dtype.max / 2
    level = tf.cast(image, tf.float32) * half + half
    level = tf.where(tf.math.is_nan(level), 0.0, level)  # the cast of NaN differs between machines
    return tf.cast(tf.round(tf.clip_by_value(level, 0.0, float(dtype.max))), dtype)
