"""Pixels to files: each translation in a kind of file that can hold it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import tensorflow as tf
import tifffile

from pix2pix_tf.data.pixels import encode_png
from pix2pix_tf.data.rasters import ValueRange, to_values

SUFFIXES = (".png", ".tif", ".npy")
"""The endings of what is written."""


def suffix_for(source: Path, channels: int, is_measured: bool) -> str:
    """Returns the ending of the kind of file that can hold a translation.

    Args:
        source: what was translated; arrays become arrays.
        channels: of the translation.
        is_measured: it is of numbers with a range, not of levels.

    Returns:
        ``.png`` for grey and RGB of 8 and 16 bits; else ``.npy`` for a ``.npy``, and ``.tif``.
    """
    if channels in (1, 3) and not is_measured:
        return ".png"
    return ".npy" if source.suffix.lower() == ".npy" else ".tif"


def encode_image(image: np.ndarray, suffix: str, values: ValueRange | None = None) -> bytes:
    """Encodes an image as the bytes of a file.

    Args:
        image: ``uint8`` or ``uint16`` [height, width, channels].
        suffix: of :func:`suffix_for`.
        values: what the lowest and the highest level stand for; the file then has these numbers, float32.
    """
    if suffix == ".png":
        return encode_png(tf.constant(image)).numpy()
    numbers = image if values is None else to_values(image, values)
    file = io.BytesIO()
    if suffix == ".npy":
        np.save(file, numbers, allow_pickle=False)
    else:
        kind = "rgb" if numbers.shape[2] == 3 else "minisblack"
        tifffile.imwrite(
            file,
            numbers.squeeze(2) if numbers.shape[2] == 1 else numbers,
            photometric=kind,
            planarconfig="contig" if numbers.shape[2] > 1 else None,
            compression="zlib",
        )
    return file.getvalue()
