"""The common result of all decoders: an opened image file with unconverted pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

_REVERSED_AXES = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
"""Axes to reverse by EXIF orientation, after swapping height and width for orientations from 5."""

# Pixels per band of rows; processing in bands limits temporary memory.
_BAND = 2**20


@dataclasses.dataclass(frozen=True)
class StoredImage:
    """Header and pixel decoder of an image file."""

    width: int  # as stored
    height: int  # as stored
    channels: int  # 1 (gray) or 3 (RGB), without alpha; or the number of bands
    bits: Literal[8, 16]  # bits per sample after reading
    rows: Callable[[], Iterator[np.ndarray]]
    """Decodes from top to bottom; yields [rows, width] or [rows, width, channels]."""
    has_alpha: bool = False  # whether an alpha channel follows the channels
    orientation: int = 1  # EXIF orientation
    nodata: tuple[float, ...] = ()  # the file's declared values of missing pixels
    raster: np.ndarray | None = None
    """All values [height, width, bands], of any type, if viewers can't show the file."""

    @property
    def is_measured(self) -> bool:
        """Whether pixels are measurements, which need a value range."""
        return self.raster is not None and self.raster.dtype != np.uint8

    def nodata_and(self, ignore: float | None) -> tuple[float, ...]:
        """Returns the declared nodata values and ``ignore`` (for measurements and gray images)."""
        can_ignore = self.channels != 3 or self.is_measured
        return self.nodata if ignore is None or not can_ignore else (*self.nodata, ignore)


def bands_of_rows(width: int, height: int) -> Iterator[slice]:
    """Yields slices of rows from top to bottom."""
    rows = max(_BAND // width, 1)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def in_bands(pixels: np.ndarray) -> Iterator[np.ndarray]:
    return (pixels[rows] for rows in bands_of_rows(pixels.shape[1], len(pixels)))


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    swaps_axes = 5 <= orientation <= 8
    return np.flip(pixels.swapaxes(0, 1) if swaps_axes else pixels, _REVERSED_AXES.get(orientation, ()))


def to_16_bits(levels: np.ndarray, highest: int) -> np.ndarray:
    """Scales values in [0, ``highest``] to 16 bits; clips larger values, as Pillow does."""
    if highest == 65535:
        return levels.astype(np.uint16, copy=False)
    clipped = np.minimum(levels, highest).astype(np.uint32)
    return ((clipped * 65535 + highest // 2) // highest).astype(np.uint16)
