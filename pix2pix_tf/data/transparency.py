"""Images with an alpha channel that says something: what is transparent is a hole to be painted.

Elsewhere alpha is laid over white; here it stays the last channel, 255 where a pixel is known.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.images import MAX_PIXELS, MIDDLE, load_image, load_with_alpha
from pix2pix_tf.data.pixels import convert_channels
from pix2pix_tf.data.rasters import ValueRange
from pix2pix_tf.errors import DataError

WITH_ALPHA = (2, 4)
"""Channels of grey and of RGB images with alpha."""
_SQUARE = 8  # pixels


def load_transparent(path: Path, channels: int, most_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Reads an image file with its alpha channel."""
    return convert_transparent(tf.constant(load_with_alpha(path, most_pixels)), channels).numpy()


def load_input(
    path: Path,
    channels: int,
    inpaints: bool,
    values: ValueRange | None,
    most_pixels: int = MAX_PIXELS,
    ignore: float | None = None,
    clipped: list[int] | None = None,
) -> np.ndarray:
    """Reads an image file as a model takes it, in its full depth; missing pixels get the middle level."""
    if inpaints:
        return load_transparent(path, channels, most_pixels)
    return load_image(path, channels, None, values, most_pixels, MIDDLE, ignore, clipped)


def convert_transparent(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Turns pixels grey or RGB and keeps, or adds, their alpha."""
    if image.shape[-1] in WITH_ALPHA:
        colour, alpha = image[..., :-1], image[..., -1:]
    else:
        colour, alpha = image, tf.fill(tf.concat([tf.shape(image)[:2], [1]], axis=0), image.dtype.max)
    return tf.concat([convert_channels(colour, channels - 1), tf.cast(alpha, image.dtype)], axis=-1)


def over_checkerboard(image: np.ndarray) -> np.ndarray:
    """Returns an image ``uint8`` or ``uint16`` [height, width, 2 or 4] over a chessboard, as editors do."""
    rows, columns = np.indices(image.shape[:2]) // _SQUARE
    board = np.where((rows + columns) % 2, 0.8, 1.0)[..., np.newaxis] * np.iinfo(image.dtype).max
    alpha = image[..., -1:] / np.iinfo(image.dtype).max
    return np.round(image[..., :-1] * alpha + board * (1 - alpha)).astype(image.dtype)


def hole_of(image: np.ndarray) -> np.ndarray:
    """Returns what of an image ``uint8`` or ``uint16`` [height, width, 2 or 4] is to be painted, bool."""
    return image[..., -1:] <= np.iinfo(image.dtype).max // 2


def has_hole(image: np.ndarray) -> bool:
    """Whether something of an image, as `hole_of` takes it, is to be painted."""
    return bool(hole_of(image).any())


def with_hole(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns an image whose pixels are transparent where a mask is white, besides those that are already."""
    if image.shape[:2] != mask.shape[:2]:
        (height, width), own = image.shape[:2], mask.shape[:2]
        raise DataError(
            f"its mask is {own[1]}x{own[0]} pixels, the image {width}x{height}; give both the same size"
        )
    alpha = np.where(mask > 127, 0, image[..., -1:]).astype(image.dtype)
    return np.concatenate([image[..., :-1], alpha], axis=-1)
