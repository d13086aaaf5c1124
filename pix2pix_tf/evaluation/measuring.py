"""A set of pictures, measured one by one: what is kept of each is a few hundred numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf.config import Fit
from pix2pix_tf.data.pipeline import fitted, held_out_row
from pix2pix_tf.data.pixels import has_value
from pix2pix_tf.data.sets import ImageDataset
from pix2pix_tf.errors import DataError
from pix2pix_tf.evaluation.inception import FEATURES, Inception
from pix2pix_tf.evaluation.judged import Judged, Size
from pix2pix_tf.evaluation.labels import ClassReader
from pix2pix_tf.evaluation.metrics import CONFUSION, MEASUREMENTS, Metric
from pix2pix_tf.wording import counted


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The pairs that are judged on.

    Args:
        dataset: directed: inputs first.
        split: its name.
        size: height and width that all are compared at; each its own if ``None``.
        fit: how pairs of another shape get that size.
    """

    dataset: ImageDataset
    split: str
    size: Size | None
    fit: Fit = "resize"

    def __len__(self) -> int:
        return len(self.dataset.splits[self.split][0])

    def read(self, number: int) -> tuple[str, np.ndarray, np.ndarray]:
        """Returns a pair's name, its input as it is or fitted, and its target as it is compared."""
        [(images, sides)] = self.dataset.parts(self.split)
        if self.dataset.task is not None:
            given, target = held_out_row(self.dataset, images, sides, number, self.size, self.fit)
            return images.names[number], given.numpy(), target.numpy()
        given, target = images.read(tf.constant(number))
        if self.size is not None:
            as_compared, target = fitted((given, target), sides, self.size, self.fit)
            given = given if self.fit == "resize" else as_compared  # a model may have a size of its own
        return images.names[number], given.numpy(), target.numpy()


class Measured:
    """Measurements of a set: float64, but features for FID and KID, float32.

    Attributes:
        smallest_side: of all pictures.
        largest: pixels of the largest one.
    """

    def __init__(self) -> None:
        self._pictures: dict[str, list[np.ndarray]] = {}
        self._stacked: dict[str, np.ndarray] = {}
        self.smallest_side = 1 << 30
        self.largest = 0

    def add(self, measurements: Mapping[str, np.ndarray]) -> None:
        """Takes a picture's measurements by name."""
        for name, values in measurements.items():
            self._pictures.setdefault(name, []).append(values)

    def count(self, name: str) -> int:
        """Returns how many pictures have a measurement."""
        return len(self._pictures.get(name, ())) or len(self._stacked.get(name, ()))

    def rows(self, metric: Metric | str) -> np.ndarray:
        """Returns what a metric, or a measurement, is made from: [pictures, k], once all are taken."""
        name = metric if isinstance(metric, str) else metric.measurement
        if name in self._pictures:  # kept once, not twice
            self._stacked[name] = np.stack(self._pictures.pop(name))
        return self._stacked[name]


def measure(
    judged: Judged, pairs: Pairs, reader: ClassReader | None = None, extractor: Inception | None = None
) -> Measured:
    """Measures all of a model's pictures.

    Raises:
        DataError: a picture is missing, or has other channels than its target.
    """
    found = Measured()
    labels_are_given = pairs.dataset.sides[0].labels and not pairs.dataset.sides[1].labels
    of_labels = pairs.dataset.sides[0 if labels_are_given else 1]
    for name, given, target, picture in pictures(judged, pairs, range(len(pairs))):
        scaled, beside, valid = compared(picture, target, pairs.dataset.sides[1].missing)
        if valid is not None and not valid.any():
            raise DataError(
                f"{pairs.dataset.name}: no pixel of the target of '{name}' has a value; remove the pair"
            )
        found.smallest_side = min(found.smallest_side, *picture.shape[:2])
        found.largest = max(found.largest, picture.shape[0] * picture.shape[1])
        found.add({each: measurement(scaled, beside, valid) for each, measurement in MEASUREMENTS.items()})
        if reader is not None:
            labels = given if labels_are_given else target
            found.add({CONFUSION: reader.confusion(picture, labels, of_labels.missing).reshape(-1)})
        if extractor is not None and valid is None:  # a filled area would be texture to it
            found.add({FEATURES: extractor(scaled)})
    return found


def pictures(
    judged: Judged, pairs: Pairs, numbers: range | list[int]
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Yields name, input, target and picture of some pairs, behind a bar."""
    for number in tqdm(numbers, judged.name, unit="picture", dynamic_ncols=True, leave=False, disable=None):
        name, given, target = pairs.read(number)
        picture = judged.paint(name, given, target)
        if picture.shape != target.shape:
            raise DataError(
                f"{judged.path} paints {_shape(picture)}, the targets of {pairs.dataset.name} have "
                f"{_shape(target)}"
            )
        yield name, given, target, picture


def compared(
    picture: np.ndarray, target: np.ndarray, missing: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Returns picture and target in [0, 1], alike where the target has no value, and where it has one.

    Args:
        picture: an integer image.
        target: likewise.
        missing: the target's level of pixels without a value.
    """
    scaled, beside = unit(picture), unit(target)
    valid = None if missing is None else has_value(target, missing).numpy()[..., 0]
    if valid is None or valid.all():
        return scaled, beside, None
    fill = beside[valid].mean(axis=0) if valid.any() else 0.0
    scaled, beside = (
        np.where(valid[..., np.newaxis], each, fill).astype(np.float32) for each in (scaled, beside)
    )
    return scaled, beside, valid


def unit(image: np.ndarray) -> np.ndarray:
    """Returns an integer image as float32 in [0, 1]."""
    return image.astype(np.float32) / np.iinfo(image.dtype).max


def _shape(image: np.ndarray) -> str:
    height, width, channels = image.shape
    return f"{width}x{height} pixels of {counted(channels, 'channel')}"
