"""Detects label maps: images of flat areas whose colors recur in other images.

Photos share at most black, white and gray; drawings share few colors. So a color that recurs exactly is
taken for a class unless it is gray.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pix2pix_tf.data.checking.appearance import NEAR, Appearance, rgb
from pix2pix_tf.data.dataset import spread

MOST_MIXED = 12
"""Limit on sampled colors outside of flat areas: thin structures cause a few, JPEG compression hundreds."""

_SAMPLED = 2000
_CELL = 4  # variation of a class color between maps after JPEG compression, in 8-bit values
_CELLS = 256 // _CELL
_LEAST_RECURRENCE = 0.05  # share of the images (of both sides for pairs)
_MOST_CLASSES = 64
_GRAY = 48  # colors with smaller differences between channels count as gray
_LEAST_COLORS = 3
_LEAST_COVERED, _LEAST_COLORED = 0.4, 0.1  # shares of a JPEG-compressed map
_LEAST_COVERED_CLEAN, _LEAST_FLAT_CLEAN = 0.9, 0.6


def recurring_colors(appearances: Sequence[Appearance]) -> np.ndarray:
    """Returns the colors that occur in flat areas of several images, ``int16`` [count, 3]."""
    some = [appearances[number] for number in spread(len(appearances), _SAMPLED)]
    colors = rgb([color for each in some for color, _ in each.colors]) // _CELL
    counts = np.zeros((_CELLS + 2,) * 3, np.int32)
    np.add.at(counts, tuple(colors.T + 1), 1)
    for axis in range(3):  # add the counts of neighboring cells
        counts += np.roll(counts, 1, axis) + np.roll(counts, -1, axis)
    counts = counts[1:-1, 1:-1, 1:-1]
    palette: list[list[int]] = []
    reach = NEAR // _CELL
    while len(palette) < _MOST_CLASSES:
        peak = [int(at) for at in np.unravel_index(counts.argmax(), counts.shape)]
        if counts[tuple(peak)] < max(2, _LEAST_RECURRENCE * len(some)):
            break
        palette.append([at * _CELL + _CELL // 2 for at in peak])
        counts[tuple(slice(max(0, at - reach), at + reach + 1) for at in peak)] = 0
    return np.array(palette, np.int16).reshape(-1, 3)


def look_like_label_maps(appearances: Sequence[Appearance], palette: np.ndarray) -> np.ndarray:
    """Classifies images as label maps, bool [count]."""
    is_colored = np.ptp(palette, axis=1) >= _GRAY if len(palette) else np.zeros(0, bool)
    has_classes = is_colored.sum() >= _LEAST_COLORS

    def is_label_map(image: Appearance) -> bool:
        if not image.colors or not len(palette):
            return False
        colors, shares = zip(*image.colors, strict=True)
        near = (np.abs(rgb(colors)[:, np.newaxis] - palette) <= NEAR).all(axis=-1)
        covered = float(np.array(shares) @ near.any(axis=1))
        colored = float(np.array(shares) @ near[:, is_colored].any(axis=1))
        is_clean = (
            image.mixed_colors <= MOST_MIXED
            and image.flatness >= _LEAST_FLAT_CLEAN
            and near.any(axis=1).sum() >= _LEAST_COLORS
            and covered >= _LEAST_COVERED_CLEAN
        )
        return is_clean or (has_classes and covered >= _LEAST_COVERED and colored >= _LEAST_COLORED)

    return np.array(list(map(is_label_map, appearances)), bool)
