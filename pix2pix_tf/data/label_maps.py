"""Finds the class colors of label maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.dataset import ImageDataset, images_of, spread
from pix2pix_tf.data.names import PROCEDURAL, facts_of
from pix2pix_tf.data.procedural.canvas import PALETTE
from pix2pix_tf.errors import DataError

MOST_CLASSES = 32
MOST_READ = 400
"""Largest number of images, spread over the split, used for colors, frequencies and scores."""

_MOST_LOSSLESS = 64  # colors of lossless maps; JPEG-compressed maps have thousands
_EVEN = 4  # largest difference between neighbors in a flat area after JPEG compression
_NEAR = 16  # largest difference between colors of one class; classes of Cityscapes differ by at least 20
SMALLEST_SHARE = 2e-4
"""Smallest share of pixels of a class. JPEG artifacts have about a tenth of it, rare classes ten times."""


def palette(dataset: ImageDataset, side: int) -> np.ndarray:
    """Returns the colors of the classes in a side's label maps, ``uint8`` [2 to 32, channels].

    Frequent colors come first. In JPEG-compressed maps, only the interior of flat areas counts, because mixed
    colors at edges belong to no class.

    Raises:
        DataError: There are fewer than two colors, or the maps have 16 bits.
    """
    if dataset.sides[side].bits != 8:
        raise DataError(f"{dataset.name}: its label maps have 16 bits per channel; use 8 bits")
    whole, inside = [], []
    split = "train" if "train" in dataset.splits else dataset.held_out
    for label_map in each_of(dataset, split, side):
        codes = label_map.astype(np.int32) @ _PLACES[-label_map.shape[-1] :]
        whole.append(np.unique(codes, return_counts=True))
        inside.append(np.unique(codes[1:-1, 1:-1][_even_pixels(label_map)], return_counts=True))
    colors, counts = _total(whole)
    is_lossless = len(colors) <= _MOST_LOSSLESS
    if not is_lossless:
        colors, counts = _total(inside)
    rgb = np.stack([colors // place % 256 for place in _PLACES[-dataset.sides[side].channels :]], axis=-1)
    found = rgb[_peaks(rgb, counts, 0 if is_lossless else _NEAR)].astype(np.uint8)
    if (missing := dataset.sides[side].missing) is not None:
        found = found[(found != missing).any(axis=-1)]  # missing pixels belong to no class
    if len(found) < 2:
        raise DataError(
            f"{dataset.name}: its label maps have fewer than two flat colors; give the side that has label "
            "maps with --label-maps"
        )
    return found


_PLACES = np.array([1 << 16, 1 << 8, 1], np.int32)  # of red, green and blue in a color's code


def each_of(dataset: ImageDataset, split: str, side: int) -> Iterator[np.ndarray]:
    """Yields one side of pairs that are spread over a split."""
    [pairs] = dataset.splits[split]
    for number in spread(len(pairs), MOST_READ):
        yield pairs.read(tf.constant(number))[side].numpy()


def named_classes(dataset: ImageDataset, side: int) -> dict[str, tuple[int, ...]]:
    """Returns the `palette` of a side by class name; empty if the side has no label maps.

    Unnamed classes are called 'class 1', 'class 2' and so on.
    """
    if not dataset.sides[side].labels:
        return {}
    if dataset.kind == "unpaired":
        dataset, side = images_of(dataset, side), 0
    known = PALETTE if dataset.name == PROCEDURAL else facts_of(dataset.name).classes
    named = {}
    for number, color in enumerate(palette(dataset, side).tolist(), start=1):
        near = (
            name
            for name, known_color in known.items()
            if len(color) == len(known_color)
            and max(abs(one - other) for one, other in zip(color, known_color, strict=True)) <= _NEAR
        )
        named[next(near, f"class {number}")] = tuple(color)
    return named


def _even_pixels(image: np.ndarray) -> np.ndarray:
    """Whether pixels equal their neighbors apart from JPEG noise, bool [height - 2, width - 2]."""
    low = high = image
    for axis in (0, 1):
        three = [np.arange(start, image.shape[axis] - 2 + start) for start in range(3)]
        low = np.minimum.reduce([low.take(each, axis) for each in three])
        high = np.maximum.reduce([high.take(each, axis) for each in three])
    return (high - low).max(axis=-1) <= _EVEN


def _total(histograms: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Merges histograms; returns values and counts."""
    values, place = np.unique(np.concatenate([each for each, _ in histograms]), return_inverse=True)
    return values, np.bincount(place, np.concatenate([counts for _, counts in histograms]), len(values))


def _peaks(colors: np.ndarray, counts: np.ndarray, distance: int) -> list[int]:
    """Clusters colors, int [n, channels], and returns the index of each cluster's peak, most frequent first.

    Colors that differ by at most ``distance`` in every channel are one class.
    """
    left = counts.copy()
    found: list[tuple[float, int]] = []
    while left.any() and len(found) < 4 * MOST_CLASSES:
        peak = int(left.argmax())
        near = np.abs(colors - colors[peak]).max(axis=-1) <= distance
        found.append((float(left[near].sum()), peak))
        left[near] = 0
    found.sort(key=lambda each: -each[0])
    return [peak for count, peak in found[:MOST_CLASSES] if count >= SMALLEST_SHARE * counts.sum()]


def classes_of(image: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Returns the class with the nearest color for each pixel, int32 [height, width]."""
    colors = palette.astype(np.float32)
    # |x - c|² without |x|², which is the same for all classes; such integers are exact in float32.
    distance = np.square(colors).sum(axis=-1) - 2 * image.astype(np.float32) @ colors.T
    return distance.argmin(axis=-1).astype(np.int32)
