"""Which pictures show the same although their pixels differ: saved anew as JPEG, or scaled.

A difference hash of 64 bits finds who may be alike, in a time that grows with the pictures and not with their
pairs; the thumbnails decide.
"""

from __future__ import annotations

import collections

import numpy as np

_BANDS, _BITS = 4, 16  # of a hash: whoever differs in up to three bits has one band in common
_MOST_BITS = 6  # that may differ
_GRADIENT = 2  # levels; less is what JPEG adds, and would make bits of even areas random
_MOST_MEAN, _MOST_AT_ALL = 1.5, 8  # levels between thumbnails; those of two facades are 8 apart, at most 43
_RESIZED = 3  # times that, where a picture has another size
_LEAST_CONTRAST = 8.0  # levels: all pictures with less are alike


def difference_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Returns for each picture where its brightness rises to the right."""
    grey = thumbnails.astype(np.int16).sum(axis=-1)
    rises = (np.diff(grey, axis=2) > 3 * _GRADIENT).reshape(len(grey), 64)
    return np.packbits(rises, axis=1).view(np.uint64).ravel()


def near_copies(thumbnails: np.ndarray, splits: np.ndarray, sizes: np.ndarray) -> dict[int, int]:
    """Returns for the number of a picture that of the first like it before it, of another split or size."""
    hashes = difference_hashes(thumbnails[:, 0])
    bands = hashes.view(np.uint16).reshape(len(hashes), _BANDS)
    has_contrast = thumbnails.std(axis=(2, 3)).max(axis=(1, 2)) >= _LEAST_CONTRAST
    buckets: list[dict[int, list[int]]] = [collections.defaultdict(list) for _ in range(_BANDS)]
    for number in np.flatnonzero(has_contrast).tolist():
        for bucket, band in zip(buckets, bands[number].tolist(), strict=True):
            bucket[band].append(number)
    found = {}
    for number in np.flatnonzero(has_contrast).tolist():
        for bucket, band in zip(buckets, bands[number].tolist(), strict=True):
            others = np.array(bucket[band])
            is_other = (splits[others] != splits[number]) | (sizes[others] != sizes[number]).any(1)
            others = others[(others < number) & is_other]
            others = others[np.bitwise_count(hashes[others] ^ hashes[number]) <= _MOST_BITS]
            apart = np.abs(thumbnails[others].astype(np.int16) - thumbnails[number])
            more = np.where((sizes[others] == sizes[number]).all(1), 1, _RESIZED)
            is_like = apart.max(axis=(1, 2, 3, 4)) <= _MOST_AT_ALL * more
            alike = others[is_like & (apart.mean(axis=(1, 2, 3, 4)) <= _MOST_MEAN * more)]
            if len(alike):
                found[number] = int(alike[0])
                break
    return found
