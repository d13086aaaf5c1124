"""Compact summaries of images, which make comparing thousands of images cheap.

The two halves of a file are summarized separately, because it may hold a pair side by side. `joined` combines
the two summaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from pix2pix_tf.data.pixels import as_rgb

_HEIGHT, _WIDTH = 8, 9  # thumbnail size: 8 rows of 8 differences between neighbors
_GRID = 32  # samples per axis of a half; a class that covers 1 % of the pixels gets about ten samples
_FLAT = 4  # largest difference of 8-bit values between neighbors in a flat area after JPEG compression
NEAR = 16
"""Largest difference of 8-bit values at which two colors count as the same."""
_SMALLEST_SHARE = 0.01
_MOST_COLORS, _MOST_CANDIDATES = 12, 24
_RIM = 2  # columns where JPEG mixes the two halves
_PLACES = np.array([1 << 16, 1 << 8, 1], np.int32)


class Appearance(NamedTuple):
    """Summary of an image; for 16-bit images, all fields except ``low`` and ``high`` use the upper 8 bits."""

    thumbnail: str  # RGB bytes of 8x9 means, in hexadecimal digits
    low: Sequence[int]  # minimum of each channel at the file's bit depth, without the outermost columns
    high: Sequence[int]  # maximum of each channel, as ``low``
    flatness: float  # share of pixels that hardly differ from their neighbors
    mixed_colors: int  # number of colors, among a thousand sampled pixels, that occur in no flat area
    # Colors of flat areas as 0xRRGGBB with the share of pixels near each, most frequent first.
    colors: Sequence[tuple[int, float]]

    @property
    def is_constant(self) -> bool:
        """Whether all pixels are equal, apart from the outermost columns."""
        return list(self.low) == list(self.high)


def appearance_of_halves(pixels: np.ndarray) -> list[Appearance]:
    """Summarizes the left and the right half of an image."""
    half = max(1, pixels.shape[1] // 2)
    shown = pixels if pixels.shape[2] in (1, 3) else as_rgb(pixels)
    shown = shown if shown.dtype == np.uint8 else (shown >> 8).astype(np.uint8)
    return [_appearance(pixels[:, part], shown[:, part]) for part in (slice(half), slice(-half, None))]


def seam_of(pixels: np.ndarray) -> float | None:
    """Returns the difference between the columns at the middle, relative to differences of nearby columns.

    The ratio is about 1 in a photo and 4 to 10 in a side-by-side pair. It is ``None`` if the columns are flat
    or noisy.
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


def joined(left: Appearance, right: Appearance) -> Appearance:
    """Combines the summaries of two halves."""
    both = np.concatenate([thumbnail_of(left), thumbnail_of(right)], axis=1).astype(np.uint16)
    thumbnail = ((both[:, ::2] + both[:, 1::2] + 1) // 2).astype(np.uint8)
    colors = sorted([*left.colors, *right.colors], key=lambda each: -each[1])
    is_near = _near(rgb([code for code, _ in colors]))
    shares: dict[int, float] = {}
    for (_, share), is_near_this in zip(colors, is_near, strict=True):
        most_frequent, _ = colors[is_near_this.argmax()]  # the first one that is near
        shares[most_frequent] = shares.get(most_frequent, 0.0) + share / 2
    return Appearance(
        thumbnail.tobytes().hex(),
        [min(each) for each in zip(left.low, right.low, strict=True)],
        [max(each) for each in zip(left.high, right.high, strict=True)],
        (left.flatness + right.flatness) / 2,
        max(left.mixed_colors, right.mixed_colors),
        sorted(shares.items(), key=lambda each: -each[1]),
    )


def thumbnail_of(image: Appearance) -> np.ndarray:
    """Decodes the thumbnail, ``uint8`` [8, 9, 3]."""
    return np.frombuffer(bytes.fromhex(image.thumbnail), np.uint8).reshape(_HEIGHT, _WIDTH, 3)


def rgb(colors: Sequence[int] | np.ndarray) -> np.ndarray:
    """Converts 0xRRGGBB codes to ``int16`` [count, 3]."""
    return (np.array(colors, np.int32).reshape(-1, 1) // _PLACES % 256).astype(np.int16)


def _near(values: np.ndarray) -> np.ndarray:
    """Compares all pairs of the colors [count, 3]; returns bool [count, count]."""
    return (np.abs(values[:, np.newaxis] - values) <= NEAR).all(axis=-1)


def _appearance(pixels: np.ndarray, eight_bits: np.ndarray) -> Appearance:
    small = Image.fromarray(eight_bits[..., 0] if eight_bits.shape[2] == 1 else eight_bits)
    # Bilinear, because a box filter's thumbnail changes more when the image is resized.
    small = small.resize((_WIDTH, _HEIGHT), Image.Resampling.BILINEAR).convert("RGB")
    inner = pixels[:, _RIM:-_RIM] if pixels.shape[1] > 2 * _RIM else pixels
    samples, is_flat = _samples(eight_bits)
    codes = samples.astype(np.int32) @ _PLACES
    return Appearance(
        small.tobytes().hex(),
        inner.min(axis=0).min(axis=0).tolist(),
        inner.max(axis=0).max(axis=0).tolist(),
        round(float(is_flat.mean()), 3),
        len(np.setdiff1d(codes, codes[is_flat])),
        _colors(samples, codes[is_flat]),
    )


def _samples(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples pixels on a grid: ``int16`` [count, 3], and whether each is in a flat area, bool [count]."""
    height, width = pixels.shape[:2]
    rows = np.linspace(0, max(0, height - 2), min(_GRID, height)).astype(np.intp)
    columns = np.linspace(0, max(0, width - 2), min(_GRID, width)).astype(np.intp)
    strips = pixels[rows], pixels[np.minimum(rows + 1, height - 1)]
    here = strips[0][:, columns].astype(np.int16)
    beside = strips[0][:, np.minimum(columns + 1, width - 1)]
    below = strips[1][:, columns]
    is_flat = ((np.abs(beside - here) <= _FLAT) & (np.abs(below - here) <= _FLAT)).all(axis=-1)
    samples = here.reshape(-1, here.shape[-1])
    return np.broadcast_to(samples, (len(samples), 3)), is_flat.ravel()


def _colors(samples: np.ndarray, flat: np.ndarray) -> list[tuple[int, float]]:
    """Returns the colors of flat areas, each with the share of samples that are near no earlier color."""
    codes, counts = np.unique(flat, return_counts=True)
    candidates = codes[np.argsort(-counts, kind="stable")[:_MOST_CANDIDATES]]
    if not len(candidates):
        return []
    values = rgb(candidates)
    near = np.logical_and.reduce(
        [np.abs(values[:, np.newaxis, band] - samples[:, band]) <= NEAR for band in range(3)]
    )
    near_each_other = _near(values)
    is_free = np.ones(len(samples), bool)
    colors: list[tuple[int, float]] = []
    chosen: list[int] = []
    for at, candidate in enumerate(candidates.tolist()):
        if near_each_other[at, chosen].any():
            continue
        share = float((near[at] & is_free).mean())
        if share >= _SMALLEST_SHARE and len(chosen) < _MOST_COLORS:
            chosen.append(at)
            colors.append((candidate, round(share, 3)))
            is_free &= ~near[at]
    return sorted(colors, key=lambda each: -each[1])
