"""Label maps: the colours that stand for classes, and who reads classes in pictures."""

import abc
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.pipeline import resized
from pix2pix_tf.data.sets import ImageDataset, Side, spread
from pix2pix_tf.errors import DataError

MOST_CLASSES = 32
MOST_READ = 400
"""Images that colours, frequencies and scores are taken from, spread over the split."""

_MOST_LOSSLESS = 64  # colours; a map that went through JPEG has thousands
_EVEN = 4  # levels that JPEG leaves between the pixels of an even area
_NEAR = 16  # levels between two colours that are one class; those of Cityscapes are 20 apart and more
SMALLEST_SHARE = 2e-4
"""Of the pixels, of a class: JPEG's chance finds have a tenth of it, rare classes ten times."""


def palette(dataset: ImageDataset, side: int) -> np.ndarray:
    """Returns the colours of the classes in the label maps to train on, the most frequent first.

    In a map that was blurred, by JPEG for one, only the inside of even areas counts: on the edges are mixed
    colours that belong to no class.

    Args:
        dataset: pairs.
        side: which of the two are label maps, 0 or 1.

    Returns:
        ``uint8`` [classes, channels], from 2 to 32 classes.

    Raises:
        DataError: there are no two colours, or the maps have 16 bits.
    """
    if dataset.sides[side].bits != 8:
        raise DataError(f"{dataset.name}: its label maps have 16 bits a channel; give maps of 8")
    whole, inside = [], []
    for label_map in each_of(dataset, "train", side):
        codes = label_map.astype(np.int32) @ _PLACES[-label_map.shape[-1] :]
        whole.append(np.unique(codes, return_counts=True))
        inside.append(np.unique(codes[1:-1, 1:-1][_even_pixels(label_map)], return_counts=True))
    colours, counts = _total(whole)
    is_lossless = len(colours) <= _MOST_LOSSLESS
    if not is_lossless:
        colours, counts = _total(inside)
    rgb = np.stack([colours // place % 256 for place in _PLACES[-dataset.sides[side].channels :]], axis=-1)
    found = rgb[_peaks(rgb, counts, 0 if is_lossless else _NEAR)].astype(np.uint8)
    if len(found) < 2:
        raise DataError(
            f"{dataset.name}: its label maps have no two even colours; `label_maps` says which side has "
            "classes"
        )
    return found


_PLACES = np.array([1 << 16, 1 << 8, 1], np.int32)  # of red, green and blue in a colour's code


def each_of(dataset: ImageDataset, split: str, side: int) -> Iterator[np.ndarray]:
    """Yields one side of pairs spread over a split."""
    [pairs] = dataset.splits[split]
    for number in spread(len(pairs), MOST_READ):
        yield pairs.read(tf.constant(number))[side].numpy()


def _even_pixels(image: np.ndarray) -> np.ndarray:
    """Returns which pixels equal their neighbours but for JPEG's noise, bool [height - 2, width - 2]."""
    low = high = image
    for axis in (0, 1):
        three = [np.arange(start, image.shape[axis] - 2 + start) for start in range(3)]
        low = np.minimum.reduce([low.take(each, axis) for each in three])
        high = np.maximum.reduce([high.take(each, axis) for each in three])
    return (high - low).max(axis=-1) <= _EVEN


def _total(histograms: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the values and the counts of several histograms in one."""
    values, place = np.unique(np.concatenate([each for each, _ in histograms]), return_inverse=True)
    return values, np.bincount(place, np.concatenate([counts for _, counts in histograms]), len(values))


def _peaks(colours: np.ndarray, counts: np.ndarray, distance: int) -> list[int]:
    """Returns the places of the colours that most others are near, the most frequent first.

    Args:
        colours: int [n, channels].
        counts: pixels of each, float [n].
        distance: largest difference in a channel of what is one class.
    """
    left = counts.copy()
    found: list[tuple[float, int]] = []
    while left.any() and len(found) < 4 * MOST_CLASSES:
        peak = int(left.argmax())
        near = np.abs(colours - colours[peak]).max(axis=-1) <= distance
        found.append((float(left[near].sum()), peak))
        left[near] = 0
    found.sort(key=lambda each: -each[0])
    return [peak for count, peak in found[:MOST_CLASSES] if count >= SMALLEST_SHARE * counts.sum()]


def classes_of(image: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Returns for each pixel the class whose colour is nearest.

    Args:
        image: ``uint8`` [height, width, channels].
        palette: ``uint8`` [classes, channels].

    Returns:
        int32 [height, width].
    """
    colours = palette.astype(np.float32)
    # |x - c|² without |x|², which is the same for all classes; such integers are exact in float32.
    distance = np.square(colours).sum(axis=-1) - 2 * image.astype(np.float32) @ colours.T
    return distance.argmin(axis=-1).astype(np.int32)


# ---------------------------------------------------------------- who reads classes


class ClassReader(abc.ABC):
    """What tells the classes of a picture.

    Args:
        palette: the classes' colours, ``uint8`` [classes, channels].
    """

    def __init__(self, palette: np.ndarray):
        self.palette = palette

    @abc.abstractmethod
    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Returns the class of each pixel, int32 [height, width]; ``picture``: [height, width, channels]."""

    def confusion(self, picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Returns how many pixels of which class were taken for which.

        Args:
            picture: ``uint8`` [height, width, channels].
            labels: its label map, ``uint8``, resized to the classes that are read from the picture.

        Returns:
            int64 [classes, classes], rows the truth; the sum is the number of pixels.
        """
        found = self(picture)
        size = (found.shape[0], found.shape[1])
        labels = resized(tf.constant(labels), size, Side(labels.shape[-1], labels=True))
        pairs = classes_of(np.asarray(labels), self.palette) * len(self.palette) + found
        return np.bincount(pairs.reshape(-1), minlength=len(self.palette) ** 2).reshape(
            len(self.palette), len(self.palette)
        )


class LabelReader(ClassReader):
    """Reads the classes of label maps off their colours."""

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Returns the class of each pixel, int32 [height, width]; ``picture``: ``uint8``."""
        return classes_of(picture, self.palette)
