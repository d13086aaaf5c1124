"""An opened image file before its pixels are converted: what every decoder returns."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from pix2pix_tf.errors import DataError

_REVERSED_AXES = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
"""By EXIF orientation, after height and width have changed places for 5 and more."""

# Arithmetic is done on bands of about so many pixels: the memory it needs beside the image stays small.
_BAND = 2**20


@dataclasses.dataclass(frozen=True)
class StoredImage:
    """What a file's header says, and how its pixels are decoded."""

    width: int  # as stored
    height: int  # as stored
    channels: int  # of a picture 1 (gray) or 3 (RGB), alpha not counted; else the bands
    bits: Literal[8, 16]  # of each sample as it is read
    rows: Callable[[], Iterator[np.ndarray]]
    """Decodes it from top to bottom, yields [rows, width] or [rows, width, channels]."""
    has_alpha: bool = False  # whether alpha follows the channels
    orientation: int = 1  # as EXIF numbers it
    nodata: tuple[float, ...] = ()  # numbers that the file declares for pixels without a value
    raster: np.ndarray | None = None
    """All its numbers [height, width, bands] of any type, if it holds what no viewer shows."""

    @property
    def is_measured(self) -> bool:
        """Whether its numbers are measurements, which need a range of values."""
        return self.raster is not None and self.raster.dtype != np.uint8

    def nodata_and(self, ignore: float | None) -> tuple[float, ...]:
        """Returns the declared nodata and ``ignore``, which concerns measurements and gray images."""
        can_ignore = self.channels != 3 or self.is_measured
        return self.nodata if ignore is None or not can_ignore else (*self.nodata, ignore)


def bands_of_rows(width: int, height: int) -> Iterator[slice]:
    """Yields the rows of an image from top to bottom, some at a time."""
    rows = max(_BAND // width, 1)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def in_bands(pixels: np.ndarray) -> Iterator[np.ndarray]:
    return (pixels[rows] for rows in bands_of_rows(pixels.shape[1], len(pixels)))


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    swaps_axes = 5 <= orientation <= 8
    return np.flip(pixels.swapaxes(0, 1) if swaps_axes else pixels, _REVERSED_AXES.get(orientation, ()))


def to_16_bits(levels: np.ndarray, highest: int) -> np.ndarray:
    """Scales levels from 0 to ``highest``."""
    if highest == 65535:
        return levels.astype(np.uint16, copy=False)
    return ((levels.astype(np.uint32) * 65535 + highest // 2) // highest).astype(np.uint16)


@contextlib.contextmanager
def explaining_damage(problem: str) -> Iterator[None]:
    """Turns whatever decoders raise for a damaged file, which isn't documented, into ``DataError``."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except ImportError:
        raise DataError(
            "its compression can't be read by the package imagecodecs, as it is installed: save the file "
            "without compression, or install that anew"
        ) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's
            raise
        raise DataError(problem) from None
