"""Arrays of measurements: ``.npy`` files and TIFFs that hold more than a viewer shows.

Bands are taken as they are, without alpha or luma. What isn't uint8 becomes 16-bit levels of a range of
values, the same range for all images of a side, so that everything behind the reader knows two types only.
"""

from __future__ import annotations

import contextlib
import lzma
import math
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import numpy as np
import tifffile

from pix2pix_tf.errors import DataError

MOST_BANDS = 16
_BYTES = 8  # a pixel: no more memory than the deepest picture takes, four channels of 16 bits
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SIGNED, _REAL = 2, 3  # of the tag SampleFormat
_UNPACKERS: dict[int, Callable[[], Any]] = {  # by the tag Compression
    8: zlib.decompressobj, 32946: zlib.decompressobj, 34925: lzma.LZMADecompressor
}  # fmt: skip
_MIN_IS_WHITE, _MIN_IS_BLACK = 0, 1  # of the tag PhotometricInterpretation

ValueRange = tuple[float, float]
"""The values that the lowest and the highest level stand for."""

# Arithmetic is done in bands of about so many pixels: what it needs beside the image stays small.
_BAND = 2**20


def bands_of_rows(width: int, height: int) -> Iterator[slice]:
    """Yields the rows of an image from top to bottom, some at a time."""
    rows = max(_BAND // width, 1)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def read_raster(file: IO[bytes], most_pixels: int) -> np.ndarray | None:
    """Returns the numbers of a raster, [height, width, bands] of any type; ``None`` of a picture.

    Args:
        file: the file.
        most_pixels: refuse more.

    Raises:
        DataError: it is a raster that can't be read.
    """
    start = file.read(6)
    file.seek(0)
    if start == b"\x93NUMPY":
        return _read_npy(file, most_pixels)
    if start[:4] in _TIFF and _is_raster_tiff(file):
        return read_tiff(file, most_pixels)
    return None


def _is_raster_tiff(file: IO[bytes]) -> bool:
    """Whether a TIFF has what no viewer shows: real or signed numbers, bands, pages of grey."""
    try:
        with tifffile.TiffFile(file) as tiff:
            page, axes = tiff.pages.first, tiff.series[0].axes
            bands = page.samplesperpixel
            is_colour = page.photometric not in (_MIN_IS_WHITE, _MIN_IS_BLACK)
            return (
                page.sampleformat in (_SIGNED, _REAL)
                or page.bitspersample > 16
                or (page.bitspersample > 8 and bands == 2)
                or bands > (4 if is_colour else 2)
                or (bands == 1 and not is_colour and len(axes) > 2)
            )
    except Exception:  # what it raises of damaged files is nowhere declared
        return False
    finally:
        file.seek(0)


def read_tiff(file: IO[bytes], most_pixels: int) -> np.ndarray:
    """Reads a TIFF of any bands and depth; several pages of grey are bands.

    Args:
        file: a TIFF, of which the first series of pages is taken.
        most_pixels: refuse more.

    Returns:
        [height, width, bands] of whole or real numbers.

    Raises:
        DataError: it is damaged, of another shape, or compressed in a way that needs another package.
    """
    with (
        explaining_damage("damaged or truncated TIFF image; replace or delete it"),
        tifffile.TiffFile(file) as tiff,
    ):
        series = tiff.series[0]
        _check_size(series.shape, series.dtype, most_pixels)
        parts = math.prod(series.keyframe.chunked)
        if any(len(page.dataoffsets) < parts for page in series.pages if page is not None):
            raise ValueError("pixels are missing")
        _refuse_bombs(series, file)
        try:
            array = series.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            raise DataError(
                "a TIFF of measurements whose compression needs the package imagecodecs; install it, or save "
                "the file without compression"
            ) from None
    is_first = array.ndim == 3 and series.axes[0] not in "YX" and array.shape[0] <= MOST_BANDS
    return _as_bands(np.moveaxis(array, 0, -1) if is_first else array)


def _refuse_bombs(series: tifffile.TiffPageSeries, file: IO[bytes]) -> None:
    """Unpacks each part of a TIFF no further than its pixels go, because tifffile has no such limit."""
    unpacker = _UNPACKERS.get(series.keyframe.compression)
    if unpacker is None:
        return
    most = math.prod(series.keyframe.chunks) * series.dtype.itemsize
    for page in series.pages:
        if page is None:
            continue
        for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
            file.seek(offset)
            if size and len(unpacker().decompress(file.read(size), most + 1)) > most:
                raise ValueError("more than its pixels")


def _read_npy(file: IO[bytes], most_pixels: int) -> np.ndarray:
    """Reads an array; nothing in it is ever executed.

    Args:
        file: a ``.npy`` of [height, width], [height, width, bands] or [bands, height, width]: the axis of at
            most 16 is that of the bands, the last one if several are.
        most_pixels: refuse more.

    Returns:
        [height, width, bands] of whole or real numbers.

    Raises:
        DataError: it is another array, or no file of an array.
    """
    with explaining_damage("damaged or truncated .npy, or one of Python's objects; save it again"):
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        _check_size(shape, dtype, most_pixels)
        pixels_at = file.tell()
        if file.seek(0, os.SEEK_END) - pixels_at < math.prod(shape) * dtype.itemsize:
            raise ValueError("pixels are missing")
        file.seek(0)
        return _as_bands(np.load(file, allow_pickle=False))


@contextlib.contextmanager
def explaining_damage(problem: str) -> Iterator[None]:
    """Turns what decoders raise of a damaged file, which is nowhere declared, into ``DataError``."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's
            raise
        raise DataError(problem) from None


def _check_size(shape: Sequence[int], dtype: np.dtype, most_pixels: int) -> None:
    pixels = math.prod(sorted(shape)[-2:])
    if pixels > most_pixels:
        raise DataError(f"{list(shape)} are more than the limit of {most_pixels} pixels; make it smaller")
    if math.prod(shape) * max(dtype.itemsize, 2) > most_pixels * _BYTES:  # levels have 2
        raise DataError(
            f"{list(shape)} of {dtype} need more than the limit of {most_pixels * _BYTES >> 20} MB; make it "
            "smaller, or of fewer bands or bits"
        )


def _as_bands(array: np.ndarray) -> np.ndarray:
    """Returns an array as [height, width, bands]; raises ``DataError`` where it is none."""
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim == 3 and array.shape[2] > MOST_BANDS >= array.shape[0]:
        array = np.moveaxis(array, 0, -1)
    is_image = array.ndim == 3 and array.size > 0 and array.shape[2] <= MOST_BANDS
    if not is_image or array.dtype.kind not in "buif":
        raise DataError(
            f"an array of {array.dtype} {list(array.shape)}, not of whole or real numbers [height, width] or "
            f"[height, width, 1 to {MOST_BANDS} bands]"
        )
    return array.astype(np.uint8) * 255 if array.dtype == bool else array


def range_of(array: np.ndarray) -> ValueRange | None:
    """Returns the lowest and highest finite value; ``None`` for uint8, which has levels already.

    Raises:
        DataError: there is no finite value.
    """
    if array.dtype == np.uint8:
        return None
    rows = (array[band] for band in bands_of_rows(array[0].size, len(array)))
    finite = (some[np.isfinite(some)] for some in rows)
    ends = [(some.min(), some.max()) for some in finite if some.size]
    if not ends:
        raise DataError("not one of its values is a finite number; replace or delete it")
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def to_levels(array: np.ndarray, values: ValueRange) -> np.ndarray:
    """Spreads a range of values over 16 bits.

    Args:
        array: of any shape and type. What lies outside of the range becomes its nearer end, what is not a
            number its lower.
        values: the range.

    Returns:
        uint16 of the same shape.
    """
    low, high = values
    share = (array.astype(np.float64) - low) / max(high - low, np.finfo(np.float64).tiny)
    return np.round(np.nan_to_num(share, nan=0.0).clip(0.0, 1.0) * 65535).astype(np.uint16)


def to_values(levels: np.ndarray, values: ValueRange) -> np.ndarray:
    """Returns what levels of 8 or 16 bits stand for, float32; the opposite of :func:`to_levels`."""
    low, high = values
    share = levels.astype(np.float64) / np.iinfo(levels.dtype).max
    return (share * (high - low) + low).astype(np.float32)
