"""Statistics of pixel values: range, missing pixels and undeclared nodata values (sentinels)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pix2pix_tf.data.pixel_format import ValueRange
from pix2pix_tf.data.reading.stored import bands_of_rows
from pix2pix_tf.errors import DataError

MOST_CLASSES = 32
_HUGE = 1e30  # larger numbers are nodata, such as ArcGIS's lowest float32, whose rounding varies
_USUAL_NODATA = (-9999, -99999, -999, 9999, -32768, -32767, 32767, 65535)
_FAR, _FAR_IF_USUAL = 3 / 4, 1 / 8  # smallest gap between a sentinel and other values, relative to the range
_SAMPLED = 2**16  # sample size for percentiles and gaps


class Numbers(NamedTuple):
    """Statistics of an image's values, without missing pixels."""

    values: ValueRange  # minimum and maximum
    middle: ValueRange  # 1st and 99th percentile without sentinels
    missing: float = 0.0  # share of missing pixels
    nodata: float | None = None  # declared value of missing pixels, if there are any
    sentinels: Sequence[Sequence[float]] = ()
    """Values far from all others, which may mark missing pixels, and their shares."""
    classes: Sequence[int] = ()
    """Distinct values of gray images and measurements, without sentinels, if they are few integers."""


def missing_pixels(array: np.ndarray, nodata: Sequence[float], is_measured: bool) -> np.ndarray:
    """Finds the missing pixels of [height, width, channels], bool [height, width].

    A pixel is missing if its channels are NaN, infinite or nodata: any channel for measurements, all channels
    for other images.
    """
    found = ~np.isfinite(array)
    with np.errstate(all="ignore"):
        for number in _representable(nodata, array.dtype):
            found |= abs(array / number - 1) < 2e-3 if abs(number) > _HUGE else array == number
    return found.any(-1) if is_measured else found.all(-1)


def _representable(nodata: Sequence[float], dtype: np.dtype) -> Sequence[float]:
    """Clips values to the range of real pixels, as programs that write GeoTIFFs clip the pixels.

    A raster of float32 often declares the lowest float64.
    """
    if dtype.kind != "f":
        return nodata
    limits = np.finfo(dtype)
    clipped = np.clip(nodata, float(limits.min), float(limits.max)).tolist()
    return [number if np.isinf(number) else level for number, level in zip(nodata, clipped, strict=True)]


def numbers_of(array: np.ndarray, nodata: Sequence[float], is_measured: bool) -> Numbers:
    """Computes the statistics of an image [height, width, channels]."""
    ends, missing, some = [], 0, []
    for rows in bands_of_rows(array[0].size, len(array)):
        valid = array[rows].reshape(-1, array.shape[2])
        if nodata or array.dtype.kind == "f":
            valid = valid[~missing_pixels(array[rows], nodata, is_measured).ravel()]
        missing += array[rows].size - valid.size
        if valid.size:
            ends += [valid.min(), valid.max()]
            some.append(valid[:: max(array.size // _SAMPLED, 1)])
    if not some:
        raise DataError("no pixel has a value; replace or delete the file")
    sample = np.concatenate(some)
    levels = np.union1d(sample, np.array(ends, sample.dtype)).astype(np.float64)
    is_gray = is_measured or bool((sample == sample[:, :1]).all())
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
        next((number for number in _representable(nodata, array.dtype) if (array == number).any()), None),
        sentinels,
        [int(level) for level in levels] if is_few else [],
    )


def merged(images: Sequence[Numbers]) -> Numbers:
    """Merges the statistics of several images; ``middle`` ignores outliers (a tenth of the images)."""
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
    """Scales a value range to 1 to 65535 (0 marks missing pixels); clips values outside of the range."""
    low, high = values
    share = (array.astype(np.float64) - low) / max(high - low, np.finfo(np.float64).tiny)
    return np.round(np.nan_to_num(share, nan=0.0).clip(0.0, 1.0) * 65535).clip(1).astype(np.uint16)


def dequantize(levels: np.ndarray, values: ValueRange) -> np.ndarray:
    """Inverse of `quantize`: converts 8-bit or 16-bit pixel values to measurements, float32."""
    low, high = values
    share = levels.astype(np.float64) / np.iinfo(levels.dtype).max
    return (share * (high - low) + low).astype(np.float32)
