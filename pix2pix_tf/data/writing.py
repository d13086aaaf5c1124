"""Writes translations to image files, in a format that supports their channels and values."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tifffile

from pix2pix_tf.data.pixel_format import PixelFormat, ValueRange
from pix2pix_tf.data.reading.numbers import dequantize
from pix2pix_tf.files import written_whole

SUFFIXES = (".png", ".tif", ".npy")
"""Suffixes of output files."""

_TIFF_TILE = 256
_CLASSIC_TIFF = 2**32 - 2**25  # largest size in bytes for 32-bit offsets, with a margin


def suffix_for(source: Path, form: PixelFormat) -> str:
    """Returns the suffix of a format that supports a translation."""
    if (form.channels in (1, 3) or form.has_alpha) and form.value_range is None:
        return ".png"
    return ".npy" if source.suffix.lower() == ".npy" else ".tif"


def encode_image(image: np.ndarray, suffix: str, values: ValueRange | None = None) -> bytes:
    """Encodes an image as the bytes of a file; ``values`` converts pixel values to measurements."""
    if suffix == ".png":
        return tf.io.encode_png(tf.constant(image)).numpy()
    numbers = image if values is None else dequantize(image, values)
    file = io.BytesIO()
    if suffix == ".npy":
        np.save(file, numbers, allow_pickle=False)
    else:
        channels = numbers.shape[2]
        tifffile.imwrite(file, numbers.squeeze(2) if channels == 1 else numbers, **_layout(channels))
    return file.getvalue()


def _layout(channels: int, has_alpha: bool = False) -> dict[str, Any]:
    """Returns tifffile's options for a number of channels."""
    return {
        "photometric": "rgb" if channels - has_alpha == 3 else "minisblack",
        "planarconfig": "contig" if channels > 1 else None,
        "extrasamples": ["unassalpha"] if has_alpha else None,
        "compression": "zlib",
    }


def write_tiff(path: Path, bands: Iterator[np.ndarray], height: int, has_alpha: bool = False) -> None:
    """Writes a compressed TIFF from an iterator of row bands; the file is created atomically."""
    with written_whole(path) as unfinished:  # fail early if the file can't be written
        unfinished.touch()
        first = next(bands)
        shape = (height, *first.shape[1:])
        is_big = int(np.prod(shape)) * first.dtype.itemsize > _CLASSIC_TIFF
        with tifffile.TiffWriter(unfinished, bigtiff=is_big) as file:
            file.write(
                _tiff_tiles(itertools.chain([first], bands)),
                shape=shape,
                dtype=first.dtype,
                tile=(_TIFF_TILE, _TIFF_TILE),
                predictor=first.dtype.kind == "u",  # few programs read the predictor for floats
                **_layout(shape[2], has_alpha),
            )


def _tiff_tiles(bands: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Cuts row bands of any height into TIFF tiles, row by row; the last tiles may be smaller."""
    waiting = next(bands)
    for band in itertools.chain(bands, [None]):
        whole = len(waiting) if band is None else len(waiting) // _TIFF_TILE * _TIFF_TILE
        for top in range(0, whole, _TIFF_TILE):
            for left in range(0, waiting.shape[1], _TIFF_TILE):
                yield waiting[top : min(top + _TIFF_TILE, whole), left : left + _TIFF_TILE]
        if band is not None:
            waiting = np.concatenate([waiting[whole:], band])
