"""What pictures look like, in a few numbers each: enough to compare ten thousand without their pixels.

An image file is looked at in halves, since it may hold a pair side by side; `joined` makes one picture of
them where it doesn't.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from pix2pix_tf.data.pixels import as_rgb, content_digest

_HEIGHT, _WIDTH = 8, 9  # of a thumbnail: 8 differences of neighbours in each of 8 rows
_GRID = 32  # samples of a half each way: a class of a hundredth of the pixels has ten
_EVEN = 4  # levels that JPEG leaves between the pixels of an even area
NEAR = 16
"""Levels between two colours that count as one."""
_SMALLEST_SHARE = 0.01
_MOST_COLOURS, _MOST_CANDIDATES = 12, 24
_RIM = 2
_PLACES = np.array([1 << 16, 1 << 8, 1], np.int32)


class Look(NamedTuple):
    """What a picture looks like; of 16 bits all but ``low`` and ``high`` are those of its upper 8.

    Args:
        digest: the same for the same pixels, and only for these.
        thumbnail: RGB bytes of `_HEIGHT` x `_WIDTH` means, in hexadecimal digits.
        low: the least sample of each channel, in the file's own depth; without the outermost columns, which
            JPEG mixes with those of the other half.
        high: the largest.
        evenness: the share of pixels that hardly differ from their neighbours.
        strays: how many colours of about a thousand pixels no even area has.
        colours: what even areas are painted in, as 0xRRGGBB, the largest first, and the share of all pixels
            that are like each.
    """

    digest: str
    thumbnail: str
    low: Sequence[int]
    high: Sequence[int]
    evenness: float
    strays: int
    colours: Sequence[tuple[int, float]]

    @property
    def is_constant(self) -> bool:
        """Whether all pixels are the same (but for the outermost columns)."""
        return list(self.low) == list(self.high)


def look_at(pixels: np.ndarray) -> tuple[Look, Look]:
    """Looks at the left and the right half of an image."""
    half = max(1, pixels.shape[1] // 2)
    halves = (pixels[:, :half], pixels[:, -half:])
    shown = pixels if pixels.shape[2] in (1, 3) else as_rgb(pixels)
    eight_bits = shown if shown.dtype == np.uint8 else (shown >> 8).astype(np.uint8)
    left, right = map(_look, halves, (eight_bits[:, :half], eight_bits[:, -half:]))
    return left, right


def seam_of(pixels: np.ndarray) -> float | None:
    """Returns the step from the left half to the right one, divided by those between columns near it.

    That is about 1 in a photo, 4 to 10 in a pair side by side. None where columns are even, or noise.
    """
    half = pixels.shape[1] // 2
    if half < 4:
        return None
    columns = np.concatenate([pixels[:, max(0, half - 10) : half], pixels[:, -half:][:, :10]], axis=1)
    columns = columns / (257 if pixels.dtype == np.uint16 else 1)
    steps = np.abs(np.diff(columns, axis=1)).mean(axis=(0, 2))
    at = len(steps) // 2
    near = max(0.5, *np.median([steps[:at], steps[at + 1 :]], axis=1))
    rims = columns[:, at : at + 2]
    contrast = np.abs(rims - rims.mean(axis=0)).mean(axis=(0, 2)).min()
    return round(float(steps[at] / near), 3) if contrast >= 2 * near else None


def joined(left: Look, right: Look) -> Look:
    """Returns the look of a picture that has been looked at in halves."""
    both = np.concatenate([thumbnail_of(left), thumbnail_of(right)], axis=1).astype(np.uint16)
    thumbnail = ((both[:, ::2] + both[:, 1::2] + 1) // 2).astype(np.uint8)
    return Look(
        left.digest + right.digest,
        thumbnail.tobytes().hex(),
        [min(each) for each in zip(left.low, right.low, strict=True)],
        [max(each) for each in zip(left.high, right.high, strict=True)],
        (left.evenness + right.evenness) / 2,
        max(left.strays, right.strays),
        _merged([*left.colours, *right.colours]),
    )


def _merged(colours: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """The colours of two halves as those of the whole, where what is near counts as one."""
    colours = sorted(colours, key=lambda each: -each[1])
    shares: dict[int, float] = {}
    for (_, share), first in zip(colours, _alike(rgb([code for code, _ in colours])), strict=True):
        code = colours[first.argmax()][0]
        shares[code] = shares.get(code, 0.0) + share / 2
    return sorted(shares.items(), key=lambda each: -each[1])


def _alike(values: np.ndarray) -> np.ndarray:
    """Which colours, [count, 3], are near which, bool [count, count]."""
    return (np.abs(values[:, np.newaxis] - values) <= NEAR).all(axis=-1)


def thumbnail_of(look: Look) -> np.ndarray:
    """Returns the thumbnail, ``uint8`` [8, 9, 3]."""
    return np.frombuffer(bytes.fromhex(look.thumbnail), np.uint8).reshape(_HEIGHT, _WIDTH, 3)


def rgb(colours: Sequence[int] | np.ndarray) -> np.ndarray:
    """Returns colours that are written 0xRRGGBB as ``int16`` [count, 3]."""
    return (np.array(colours, np.int32).reshape(-1, 1) // _PLACES % 256).astype(np.int16)


def _look(pixels: np.ndarray, eight_bits: np.ndarray) -> Look:
    small = Image.fromarray(eight_bits[..., 0] if eight_bits.shape[2] == 1 else eight_bits)
    # A smooth filter, as of a few pixels a box would take others at another size.
    small = small.resize((_WIDTH, _HEIGHT), Image.Resampling.BILINEAR).convert("RGB")
    inner = pixels[:, _RIM:-_RIM] if pixels.shape[1] > 2 * _RIM else pixels
    samples, is_even = _samples(eight_bits)
    codes = samples.astype(np.int32) @ _PLACES
    return Look(
        f"{content_digest(pixels):016x}",
        small.tobytes().hex(),
        inner.min(axis=0).min(axis=0).tolist(),
        inner.max(axis=0).max(axis=0).tolist(),
        round(float(is_even.mean()), 3),
        len(np.setdiff1d(codes, codes[is_even])),
        _colours(samples, codes[is_even]),
    )


def _samples(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels on a grid, ``int16`` [count, 3], and which of them are like their neighbours, bool [count]."""
    height, width = pixels.shape[:2]
    rows = np.linspace(0, max(0, height - 2), min(_GRID, height)).astype(np.intp)
    columns = np.linspace(0, max(0, width - 2), min(_GRID, width)).astype(np.intp)
    strips = pixels[rows], pixels[np.minimum(rows + 1, height - 1)]
    here = strips[0][:, columns].astype(np.int16)
    beside = strips[0][:, np.minimum(columns + 1, width - 1)]
    below = strips[1][:, columns]
    is_even = ((np.abs(beside - here) <= _EVEN) & (np.abs(below - here) <= _EVEN)).all(axis=-1)
    samples = here.reshape(-1, here.shape[-1])
    return np.broadcast_to(samples, (len(samples), 3)), is_even.ravel()


def _colours(samples: np.ndarray, even: np.ndarray) -> list[tuple[int, float]]:
    """The colours of even areas, each with the share of samples near it and near none before it."""
    found, counts = np.unique(even, return_counts=True)
    candidates = found[np.argsort(-counts, kind="stable")[:_MOST_CANDIDATES]]
    if not len(candidates):
        return []
    values = rgb(candidates)
    near = np.logical_and.reduce(
        [np.abs(values[:, np.newaxis, band] - samples[:, band]) <= NEAR for band in range(3)]
    )
    alike = _alike(values)
    is_free = np.ones(len(samples), bool)
    colours: list[tuple[int, float]] = []
    chosen: list[int] = []
    for at, candidate in enumerate(candidates.tolist()):
        if alike[at, chosen].any():
            continue
        share = float((near[at] & is_free).mean())
        if share >= _SMALLEST_SHARE and len(chosen) < _MOST_COLOURS:
            chosen.append(at)
            colours.append((candidate, round(share, 3)))
            is_free &= ~near[at]
    return sorted(colours, key=lambda each: -each[1])
