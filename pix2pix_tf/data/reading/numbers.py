"""What the numbers of images are like: their range, missing pixels and undeclared sentinels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pix2pix_tf.data.pixel_format import ValueRange
from pix2pix_tf.data.reading.stored import bands_of_rows
from pix2pix_tf.errors import DataError

MOST_CLASSES = 32
_HUGE = 1e30  # numbers beyond are nodata: that of ArcGIS is the lowest float32, rounded in many ways
_USUAL_NODATA = (-9999, -99999, -999, 9999, -32768, -32767, 32767, 65535)
_FAR, _FAR_IF_USUAL = 3 / 4, 1 / 8  # gap between a sentinel and all other numbers, of their whole range
_SAMPLED = 2**16  # numbers that percentiles and gaps are taken from


class Numbers(NamedTuple):
    """What the numbers of an image are like, missing pixels left out."""

    values: ValueRange  # the lowest and the highest
    middle: ValueRange  # the 1st and the 99th percentile without sentinels
    missing: float = 0.0  # the share of the pixels without a value
    nodata: float | None = None  # the declared number that stands for them, if there are such pixels
    sentinels: Sequence[Sequence[float]] = ()
    """Numbers far from all others, which may stand for missing pixels, and their shares."""
    classes: Sequence[int] = ()
    """Of gray images and measurements the numbers without sentinels, if they are whole and few."""


def missing_pixels(array: np.ndarray, nodata: Sequence[float], is_measured: bool) -> np.ndarray:
    """Returns which pixels of [height, width, channels] have no value, bool [height, width].

    Of measurements one channel that is NaN, infinite or nodata makes a pixel missing, else all channels must.
    """
    found = ~np.isfinite(array)
    with np.errstate(all="ignore"):
        for number in nodata:
            found |= abs(array / number - 1) < 2e-3 if abs(number) > _HUGE else array == number
    return found.any(-1) if is_measured else found.all(-1)


def numbers_of(array: np.ndarray, nodata: Sequence[float], is_measured: bool) -> Numbers:
    """Looks at the numbers of an image [height, width, channels]."""
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
        raise DataError("not one of its pixels has a value; replace or delete it")
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
        next((number for number in nodata if (array == number).any()), None),
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
    """Returns what levels of 8 or 16 bits stand for, float32; the inverse of `quantize`."""
    low, high = values
    share = levels.astype(np.float64) / np.iinfo(levels.dtype).max
    return (share * (high - low) + low).astype(np.float32)
