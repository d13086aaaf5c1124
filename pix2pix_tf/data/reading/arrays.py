"""TIFFs that hold more than a viewer shows, and ``.npy`` files, by tifffile and numpy.

Bands are taken as they are, without alpha or luma.
"""

from __future__ import annotations

import contextlib
import logging
import lzma
import math
import os
import zlib
from collections.abc import Callable, Sequence
from typing import IO, Any, Literal

import numpy as np
import tifffile

from pix2pix_tf.data.pixel_format import MOST_BANDS
from pix2pix_tf.data.reading.stored import StoredImage, bands_of_rows, in_bands, to_16_bits, upright
from pix2pix_tf.errors import DataError

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
NPY = b"\x93NUMPY"

_BYTES_PER_PIXEL = 8  # as much as the deepest photo has: four channels of 16 bits
_SIGNED, _REAL = 2, 3  # values of the tag SampleFormat
_UNPACKERS: dict[int, Callable[[], Any]] = {  # by the tag Compression
    8: zlib.decompressobj, 32946: zlib.decompressobj, 34925: lzma.LZMADecompressor
}  # fmt: skip
_MIN_IS_WHITE = 0  # value of the tag PhotometricInterpretation
_COLORS = {_MIN_IS_WHITE: 1, 1: 1, 2: 3}  # gray or RGB samples, by that tag
_ASSOCIATED = 1  # value of the tag ExtraSamples
_ORIENTATION = 274
_GDAL_NODATA = 42113  # the tag's number
_BANDS = "SCQI"  # tifffile's names of axes that are bands; times and depths aren't
logging.getLogger("tifffile").disabled = True  # about metadata


def open_npy(file: IO[bytes], most_pixels: int) -> StoredImage:
    """Reads [height, width], [height, width, bands] or [bands, height, width]; executes nothing in it."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    _check_size(shape, dtype, most_pixels)
    pixels_at = file.tell()
    if file.seek(0, os.SEEK_END) - pixels_at < math.prod(shape) * dtype.itemsize:
        raise ValueError("pixels are missing")
    file.seek(0)
    return _stored_raster(_as_bands(np.load(file, allow_pickle=False)), ())


def open_tiff(file: IO[bytes], most_pixels: int) -> tuple[StoredImage | None, tuple[float, ...]]:
    """Reads a TIFF, or returns ``None`` if Pillow reads it; also returns the nodata value of a GeoTIFF."""
    nodata: tuple[float, ...] = ()
    try:
        tiff = tifffile.TiffFile(file)
        with contextlib.suppress(Exception):  # most files have no such tag
            nodata = (float(tiff.pages.first.tags.valueof(_GDAL_NODATA)),)
        kind = _kind_of(tiff)
    except Exception:  # its exceptions for damaged files aren't documented; Pillow explains them
        return None, nodata
    with tiff:
        if kind == "photo":
            return None, nodata
        pixels = _read_tiff(tiff, file, most_pixels)
    if kind == "raster":
        return _stored_raster(pixels, nodata), nodata
    height, width, samples = pixels.shape
    has_alpha = samples in (2, 4)
    return StoredImage(
        width, height, samples - has_alpha, 16, lambda: in_bands(pixels), has_alpha, nodata=nodata
    ), nodata


def _stored_raster(raster: np.ndarray, nodata: tuple[float, ...]) -> StoredImage:
    height, width, bands = raster.shape
    bits: Literal[8, 16] = 8 if raster.dtype == np.uint8 else 16
    return StoredImage(width, height, bands, bits, lambda: in_bands(raster), nodata=nodata, raster=raster)


def _kind_of(tiff: tifffile.TiffFile) -> Literal["raster", "deep", "photo"]:
    """Classifies a TIFF.

    Viewers can't show a raster: real or signed numbers, bands, or gray pages. Deep images are gray or RGB
    with more than 8 bits per sample. Pillow reads all others.
    """
    page = tiff.pages.first
    colors = _COLORS.get(page.photometric, 0)
    bands = page.samplesperpixel - (_alpha_of(page) > 0)
    if (
        page.sampleformat in (_SIGNED, _REAL)
        or page.bitspersample > 16
        or bands != (colors or min(bands, 4))
        or (page.samplesperpixel == colors == 1 and len(tiff.series[0].axes) > 2)
    ):
        return "raster"
    return "deep" if colors and page.bitspersample > 8 else "photo"


def _alpha_of(page: tifffile.TiffPage) -> int:
    """Returns the type of a page's extra sample, by the tag ExtraSamples: 0 for a band, else alpha."""
    is_one_more = page.samplesperpixel == _COLORS.get(page.photometric, 0) + 1
    return int(page.extrasamples[0]) if is_one_more and page.extrasamples else 0


def _read_tiff(tiff: tifffile.TiffFile, file: IO[bytes], most_pixels: int) -> np.ndarray:
    """Returns [height, width, bands], upright; larger values are brighter.

    Gray pages become bands; of other pages, the first is read.
    """
    page = tiff.pages.first
    source = tiff.series[0] if page.samplesperpixel == 1 else page
    _check_size(source.shape, np.dtype(source.dtype), most_pixels)
    pages = [each for each in tiff.series[0].pages if each is not None] if source is not page else [page]
    if any(len(each.dataoffsets) < math.prod(page.chunked) for each in pages):
        raise ValueError("pixels are missing")
    _refuse_bombs(pages, file)
    try:
        array = source.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        raise ImportError from None
    if array.ndim > 2 and source.axes[0] not in "YX":
        if array.ndim > 3 or source.axes[0] not in _BANDS or len(array) > MOST_BANDS:
            raise DataError(
                f"a TIFF of {list(array.shape)} along {source.axes}: only up to {MOST_BANDS} pages that "
                "aren't times or depths are bands; save each page as an image of its own"
            )
        array = np.moveaxis(array, 0, -1)
    array = _as_bands(array)

    # As Pillow decodes 8-bit images: larger is brighter, colors not multiplied by alpha, full range, upright.
    alpha, bits = _alpha_of(page), page.bitspersample
    highest = 2**bits - 1 if bits > 1 else 255
    if array.dtype.kind == "u" and (page.photometric == _MIN_IS_WHITE or alpha == _ASSOCIATED):
        for rows in bands_of_rows(array[0].size, len(array)):
            colors = array[rows, :, : -1 if alpha else None]
            if page.photometric == _MIN_IS_WHITE:
                colors[...] = highest - colors
            if alpha == _ASSOCIATED:  # colors are multiplied by it
                wide = colors.astype(np.int64) * highest // np.maximum(array[rows, :, -1:], 1)
                colors[...] = wide.clip(max=highest)
    if 8 < bits < 16 and array.shape[2] - (alpha > 0) == _COLORS.get(page.photometric):
        array = to_16_bits(array, highest)
    return upright(array, page.tags.valueof(_ORIENTATION, 1))


def _refuse_bombs(pages: Sequence[tifffile.TiffPage | tifffile.TiffFrame], file: IO[bytes]) -> None:
    """Limits the size to which each part of a TIFF decompresses, because tifffile has no such limit."""
    first = pages[0]
    unpacker = _UNPACKERS.get(first.compression)
    if unpacker is None:
        return
    most = math.prod(first.chunks) * np.dtype(first.dtype).itemsize
    for page in pages:
        for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
            file.seek(offset)
            if size and len(unpacker().decompress(file.read(size), most + 1)) > most:
                raise ValueError("more than its pixels")


def _check_size(shape: Sequence[int], dtype: np.dtype, most_pixels: int) -> None:
    pixels, most_bytes = math.prod(sorted(shape)[-2:]), most_pixels * _BYTES_PER_PIXEL
    if pixels > most_pixels:
        raise DataError(f"{list(shape)} are more than the limit of {most_pixels} pixels; make it smaller")
    if math.prod(shape) * max(dtype.itemsize, 2) > most_bytes:  # they are read as at least 16 bits
        raise DataError(
            f"{list(shape)} of {dtype} need more than the limit of {most_bytes >> 20} MB; make it smaller, "
            "or of fewer bands or bits"
        )


def _as_bands(array: np.ndarray) -> np.ndarray:
    """Returns an array as [height, width, bands]; raises ``DataError`` if it has no such form."""
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
