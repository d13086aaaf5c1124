"""Arrays of measurements: ``.npy`` files and TIFFs that hold more than a viewer shows.

Bands are taken as they are, without alpha or luma. What isn't uint8 becomes 16-bit levels of a range of
values, the same range for all images of a side, so that everything behind the reader knows two types only.
"""

from __future__ import annotations

import contextlib
import logging
import lzma
import math
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

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
_MIN_IS_WHITE = 0  # of the tag PhotometricInterpretation
_COLORS = {_MIN_IS_WHITE: 1, 1: 1, 2: 3}  # by that tag, where samples are gray or RGB
_ASSOCIATED = 1  # of the tag ExtraSamples
_ORIENTATION = 274
_BANDS = "SCQI"  # what pages can be, as tifffile names axes; moments and depths aren't channels
_TURNS = {  # by orientation, see `turn_of`
    2: (False, (1,)), 3: (False, (0, 1)), 4: (False, (0,)),
    5: (True, ()), 6: (True, (1,)), 7: (True, (0, 1)), 8: (True, (0,)),
}  # fmt: skip

_GDAL_NODATA = 42113  # the tag's number
_HUGE = 1e30  # numbers beyond are nodata: that of ArcGIS is the lowest float32, rounded in many ways
_USUAL_NODATA = (-9999, -99999, -999, 9999, -32768, -32767, 32767, 65535)
_FAR, _FAR_IF_USUAL = 3 / 4, 1 / 8  # gap between a sentinel and all other numbers, of their whole range
_SAMPLED = 2**16  # numbers that percentiles and gaps are taken from
MOST_CLASSES = 32
logging.getLogger("tifffile").disabled = True  # what it thinks of a file's metadata

ValueRange = tuple[float, float]
"""The values that the lowest and the highest level stand for."""

Turn = tuple[bool, tuple[int, ...]]
"""Whether height and width change places, and which axes are reversed after that."""

# Arithmetic is done in bands of about so many pixels: what it needs beside the image stays small.
_BAND = 2**20


def bands_of_rows(width: int, height: int) -> Iterator[slice]:
    """Yields the rows of an image from top to bottom, some at a time."""
    rows = max(_BAND // width, 1)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def turn_of(orientation: int) -> Turn:
    """Returns what makes an image of an EXIF orientation upright."""
    return _TURNS.get(orientation, (False, ()))


def spread(levels: np.ndarray, highest: int) -> np.ndarray:
    """Returns levels from 0 to ``highest`` as those of 16 bits."""
    if highest == 65535:
        return levels.astype(np.uint16, copy=False)
    return ((levels.astype(np.uint32) * 65535 + highest // 2) // highest).astype(np.uint16)


def read_raster(file: IO[bytes], most_pixels: int) -> np.ndarray | None:
    """Returns the numbers of a raster, [height, width, bands] of any type; ``None`` of a picture."""
    start = file.read(6)
    file.seek(0)
    if start == b"\x93NUMPY":
        return _read_npy(file, most_pixels)
    return read_tiff(file, most_pixels) if kind_of_tiff(file) == "raster" else None


def kind_of_tiff(file: IO[bytes]) -> Literal["raster", "deep", "picture"] | None:
    """Returns what a TIFF is; ``None`` of another file.

    A raster has what no viewer shows: real or signed numbers, bands, pages of gray. A deep picture has more
    than 8 bits a sample, of gray or RGB. Pillow reads the others.
    """
    try:
        if file.read(4) not in _TIFF:
            return None
        file.seek(0)
        with tifffile.TiffFile(file) as tiff:
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
            return "deep" if colors and page.bitspersample > 8 else "picture"
    except Exception:  # what it raises of damaged files is nowhere declared
        return "picture"
    finally:
        file.seek(0)


def has_pages(path: Path) -> bool:
    """Whether the bands of an image file are pages of a TIFF."""
    with path.open("rb") as file:
        if kind_of_tiff(file) != "raster":
            return False
        with tifffile.TiffFile(file) as tiff:
            return tiff.pages.first.samplesperpixel == 1


def _alpha_of(page: tifffile.TiffPage) -> int:
    """Returns what the last sample of a page is, by the tag ExtraSamples: alpha if it isn't 0."""
    is_one_more = page.samplesperpixel == _COLORS.get(page.photometric, 0) + 1
    return int(page.extrasamples[0]) if is_one_more and page.extrasamples else 0


def read_tiff(file: IO[bytes], most_pixels: int) -> np.ndarray:
    """Reads a TIFF as [height, width, bands] of whole or real numbers, upright, the higher the brighter.

    Several pages of gray are bands; of other pages the first is taken.
    """
    with (
        explaining_damage("damaged or truncated TIFF image; replace or delete it"),
        tifffile.TiffFile(file) as tiff,
    ):
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
                    "aren't moments or depths are bands; save each page as an image of its own"
                )
            array = np.moveaxis(array, 0, -1)
        return _normalized(_as_bands(array), page)


def _normalized(array: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """Returns what tifffile gives, [height, width, bands], as Pillow gives pictures of 8 bits."""
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
        array = spread(array, highest)
    turned, reversed_axes = turn_of(page.tags.valueof(_ORIENTATION, 1))
    return np.flip(array.swapaxes(0, 1) if turned else array, reversed_axes)


def _refuse_bombs(pages: Sequence[tifffile.TiffPage | tifffile.TiffFrame], file: IO[bytes]) -> None:
    """Unpacks each part of a TIFF no further than its pixels go, because tifffile has no such limit."""
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


def _read_npy(file: IO[bytes], most_pixels: int) -> np.ndarray:
    """Reads [height, width], [height, width, bands] or [bands, height, width]; executes nothing in it."""
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
    except ImportError:
        raise DataError(
            "its compression can't be read by the package imagecodecs, as it is installed: save the file "
            "without compression, or install that anew"
        ) from None
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


class Numbers(NamedTuple):
    """What the numbers of an image are like, missing pixels left out.

    Args:
        values: the lowest and the highest.
        middle: the 1st and the 99th percentile without sentinels.
        missing: the share of the pixels without a value.
        nodata: the declared number that stands for them, if there are any such pixels.
        sentinels: numbers far from all others, which may stand for missing pixels, and their shares.
        classes: of gray images and measurements the other numbers, if they are whole and few.
    """

    values: ValueRange
    middle: ValueRange
    missing: float = 0.0
    nodata: float | None = None
    sentinels: Sequence[Sequence[float]] = ()
    classes: Sequence[int] = ()


class Nodata(NamedTuple):
    """Which pixels of a file have no value, besides NaN and infinities, and the level they get.

    Args:
        numbers: that stand for no value.
        is_measured: one such channel makes a pixel missing; otherwise all channels must be such.
        level: that missing pixels get; values get others.
        clipped: counts the values outside of the range, and all of them, if it is given.
    """

    numbers: Sequence[float]
    is_measured: bool
    level: int = 0
    clipped: list[int] | None = None

    def missing(self, array: np.ndarray) -> np.ndarray:
        """Returns which pixels of [height, width, channels] have no value, bool [height, width]."""
        found = ~np.isfinite(array)
        with np.errstate(all="ignore"):
            for number in self.numbers:
                found |= abs(array / number - 1) < 2e-3 if abs(number) > _HUGE else array == number
        return found.any(-1) if self.is_measured else found.all(-1)


def declared_nodata(file: IO[bytes]) -> list[float]:
    """Returns the number that a GeoTIFF declares for pixels without a value, if the file is one."""
    file.seek(0)
    try:
        if file.read(4) in _TIFF:
            file.seek(0)
            with tifffile.TiffFile(file) as tiff:
                return [float(tiff.pages.first.tags.valueof(_GDAL_NODATA))]
    except Exception:  # as above; most TIFFs have no such tag
        pass
    finally:
        file.seek(0)
    return []


def numbers_of(array: np.ndarray, nodata: Nodata) -> Numbers:
    """Looks at the numbers of an image [height, width, channels]."""
    ends, missing, some = [], 0, []
    for rows in bands_of_rows(array[0].size, len(array)):
        valid = array[rows].reshape(-1, array.shape[2])
        if nodata.numbers or array.dtype.kind == "f":
            valid = valid[~nodata.missing(array[rows]).ravel()]
        missing += array[rows].size - valid.size
        if valid.size:
            ends += [valid.min(), valid.max()]
            some.append(valid[:: max(array.size // _SAMPLED, 1)])
    if not some:
        raise DataError("not one of its pixels has a value; replace or delete it")
    sample = np.concatenate(some)
    levels = np.union1d(sample, np.array(ends, sample.dtype)).astype(np.float64)
    is_gray = nodata.is_measured or bool((sample == sample[:, :1]).all())
    low, high = levels[0], levels[-1]
    sentinels: list[list[float]] = []
    while is_gray and len(levels) > 2 and len(sentinels) < 2:
        at = 0 if levels[1] - levels[0] > levels[-1] - levels[-2] else -1
        number, gap = levels[at], abs(levels[at] - levels[1 if at == 0 else -2])
        is_usual = number in _USUAL_NODATA or abs(number) > _HUGE
        if gap < (_FAR_IF_USUAL if is_usual else _FAR) * (levels[-1] - levels[0]):
            break
        sentinels.append([float(number), np.count_nonzero(array == float(number)) / array.size])
        levels = np.delete(levels, at)
    is_few = is_gray and len(levels) <= MOST_CLASSES and (levels == levels.round()).all()
    within = sample[(sample >= levels[0]) & (sample <= levels[-1])]
    first, last = np.percentile(within, (1, 99)) if within.size else (levels[0], levels[-1])
    return Numbers(
        (float(low), float(high)),
        (float(first), float(last)),
        missing / array.size,
        next((number for number in nodata.numbers if (array == number).any()), None),
        sentinels,
        [int(level) for level in levels] if is_few else [],
    )


def merged(images: Sequence[Numbers]) -> Numbers:
    """Returns what the numbers of several images are like; a tenth of them may differ from ``middle``."""
    lows, highs = zip(*(each.values for each in images), strict=True)
    first, last = zip(*(each.middle for each in images), strict=True)
    sentinels: dict[float, float] = {}
    for number, share in (found for each in images for found in each.sentinels):
        sentinels[number] = sentinels.get(number, 0.0) + share / len(images)
    classes = sorted({number for each in images for number in each.classes} - sentinels.keys())
    return Numbers(
        (min(lows), max(highs)),
        (float(np.percentile(first, 10)), float(np.percentile(last, 90))),
        sum(each.missing for each in images) / len(images),
        sentinels=[*sentinels.items()],
        classes=classes if all(each.classes for each in images) and len(classes) <= MOST_CLASSES else (),
    )


def quantize(array: np.ndarray, values: ValueRange) -> np.ndarray:
    """Spreads a range of values over the levels of 16 bits but 0; what is outside becomes its nearer end."""
    low, high = values
    share = (array.astype(np.float64) - low) / max(high - low, np.finfo(np.float64).tiny)
    return np.round(np.nan_to_num(share, nan=0.0).clip(0.0, 1.0) * 65535).clip(1).astype(np.uint16)


def dequantize(levels: np.ndarray, values: ValueRange) -> np.ndarray:
    """Returns what levels of 8 or 16 bits stand for, float32; the opposite of :func:`quantize`."""
    low, high = values
    share = levels.astype(np.float64) / np.iinfo(levels.dtype).max
    return (share * (high - low) + low).astype(np.float32)
