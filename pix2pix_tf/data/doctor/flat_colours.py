"""Which pictures are label maps by the look of them: flat areas in colours that recur from map to map.

Photos repeat black, white and greys at most, drawings have colours of their own: what recurs to the level and
is no grey is a class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pix2pix_tf.data.checking.appearance import NEAR, Look, rgb
from pix2pix_tf.data.sets import spread

MOST_STRAYS = 12
"""Colours outside of even areas among a thousand pixels of a label map, those of thin things; one that went
through JPEG has a hundred and more."""

_MOST_LOOKED_AT = 2000
_CELL = 4  # levels that a class wanders from map to map, by JPEG
_CELLS = 256 // _CELL
_LEAST_RECURRENCE = 0.05  # of the pictures, of both sides where these are pairs
_MOST_CLASSES = 64
_GREY = 48  # levels between the channels; less is no colour
_LEAST_COLOURS = 3
_LEAST_COVERED, _LEAST_COLOURED = 0.4, 0.1  # of a map that went through JPEG
_LEAST_COVERED_CLEAN, _LEAST_EVEN_CLEAN = 0.9, 0.6


def recurring_colours(looks: Sequence[Look]) -> np.ndarray:
    """Returns the colours that even areas of several pictures are painted in, ``int16`` [count, 3]."""
    some = [looks[number] for number in spread(len(looks), _MOST_LOOKED_AT)]
    colours = rgb([colour for look in some for colour, _ in look.colours]) // _CELL
    counts = np.zeros((_CELLS + 2,) * 3, np.int32)
    np.add.at(counts, tuple(colours.T + 1), 1)
    for axis in range(3):  # with the cells around
        counts += np.roll(counts, 1, axis) + np.roll(counts, -1, axis)
    counts = counts[1:-1, 1:-1, 1:-1]
    found: list[list[int]] = []
    reach = NEAR // _CELL
    while len(found) < _MOST_CLASSES:
        peak = [int(at) for at in np.unravel_index(counts.argmax(), counts.shape)]
        if counts[tuple(peak)] < max(2, _LEAST_RECURRENCE * len(some)):
            break
        found.append([at * _CELL + _CELL // 2 for at in peak])
        counts[tuple(slice(max(0, at - reach), at + reach + 1) for at in peak)] = 0
    return np.array(found, np.int16).reshape(-1, 3)


def look_like_label_maps(looks: Sequence[Look], palette: np.ndarray) -> np.ndarray:
    """Returns which pictures look like label maps, bool [count]."""
    is_coloured = np.ptp(palette, axis=1) >= _GREY if len(palette) else np.zeros(0, bool)
    has_classes = is_coloured.sum() >= _LEAST_COLOURS
    return np.array([_is_label_map(look, palette, is_coloured, has_classes) for look in looks], bool)


def _is_label_map(look: Look, palette: np.ndarray, is_coloured: np.ndarray, has_classes: bool) -> bool:
    if not look.colours or not len(palette):
        return False
    colours, shares = zip(*look.colours, strict=True)
    near = (np.abs(rgb(colours)[:, np.newaxis] - palette) <= NEAR).all(axis=-1)
    covered = float(np.array(shares) @ near.any(axis=1))
    coloured = float(np.array(shares) @ near[:, is_coloured].any(axis=1))
    is_clean = (
        look.strays <= MOST_STRAYS
        and look.evenness >= _LEAST_EVEN_CLEAN
        and near.any(axis=1).sum() >= _LEAST_COLOURS
        and covered >= _LEAST_COVERED_CLEAN
    )
    return is_clean or (has_classes and covered >= _LEAST_COVERED and coloured >= _LEAST_COLOURED)
