"""Measures images against their targets. Only a few hundred numbers per image stay in memory."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf.config import Fit
from pix2pix_tf.data.dataset import ImageDataset
from pix2pix_tf.data.pipeline import fitted, held_out_row
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import has_value
from pix2pix_tf.errors import DataError
from pix2pix_tf.evaluation.candidates import Candidate, Size
from pix2pix_tf.evaluation.inception import FEATURES, Inception
from pix2pix_tf.evaluation.segmentation import ClassReader
from pix2pix_tf.metrics import CONFUSION, METRICS, Measure, measures_of, radial_power

# By measure, or by key: rows [images, k].
Measured = Mapping[Measure | str, np.ndarray]

SIZE = "size"
"""Key of the images' heights and widths."""


class Comparable(NamedTuple):
    """An output and its target in [0, 1], equal where ``valid`` is false; see `metrics.Measure`."""

    output: np.ndarray
    target: np.ndarray
    valid: np.ndarray | None

    @property
    def is_empty(self) -> bool:
        """Whether no pixel of the target has a value."""
        return self.valid is not None and not self.valid.any()


def comparable(output: np.ndarray, target: np.ndarray, side: PixelFormat) -> Comparable:
    """Converts integer images of the targets' side; colors are multiplied by alpha, if there is any."""
    scaled, scaled_target = unit_range(output), unit_range(target)
    if side.has_alpha:
        for image in (scaled, scaled_target):
            image[..., :-1] *= image[..., -1:]
    valid = None if side.missing is None else has_value(target, side.missing).numpy()[..., 0]
    if valid is None or valid.all():
        return Comparable(scaled, scaled_target, None)
    fill = scaled_target[valid].mean(axis=0) if valid.any() else 0.0
    scaled, scaled_target = (
        np.where(valid[..., np.newaxis], each, fill).astype(np.float32) for each in (scaled, scaled_target)
    )
    return Comparable(scaled, scaled_target, valid)


def unit_range(image: np.ndarray) -> np.ndarray:
    """Converts an integer image to float32 in [0, 1]."""
    return image.astype(np.float32) / np.iinfo(image.dtype).max


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The pairs to evaluate on; the inputs are the data set's first side.

    ``size`` is the height and width to compare at; ``None`` keeps the size of each target.
    """

    dataset: ImageDataset
    split: str
    size: Size | None
    fit: Fit = "resize"

    def __len__(self) -> int:
        return len(self.dataset.splits[self.split][0])

    def read(self, number: int) -> tuple[str, np.ndarray, np.ndarray]:
        """Returns a pair's name, its input (not resized) and its target (at the compared size)."""
        [(images, sides)] = self.dataset.parts(self.split)
        if self.dataset.task.makes_input:
            given, target = held_out_row(self.dataset, images, sides, number, self.size, self.fit)
            return images.names[number], given.numpy(), target.numpy()
        given, target = images.read(tf.constant(number))
        if self.size is not None:
            fitted_input, target = fitted((given, target), sides, self.size, self.fit)
            given = given if self.fit == "resize" else fitted_input  # a model may have its own size
        return images.names[number], given.numpy(), target.numpy()


def progress(numbers: Sequence[int], title: str) -> tqdm[int]:
    """Shows a progress bar of images on a terminal."""
    return tqdm(numbers, title, unit="image", dynamic_ncols=True, leave=False, disable=None)


def measure(
    candidate: Candidate, pairs: Pairs, reader: ClassReader | None = None, inception: Inception | None = None
) -> Measured:
    """Measures all of a candidate's outputs."""
    sides = pairs.dataset.sides
    labels_are_input = sides[0].labels and not sides[1].labels
    rows = collections.defaultdict[Measure | str, list[np.ndarray]](list)
    for number in progress(range(len(pairs)), candidate.name):
        name, given, target = pairs.read(number)
        output = candidate.output(name, given, target)
        images = comparable(output, target, sides[1])
        if images.is_empty:
            raise DataError(
                f"{pairs.dataset.name}: no pixel of the target of '{name}' has a value; remove the pair"
            )
        rows[SIZE].append(np.array(target.shape[:2]))
        defined = [metric for metric in METRICS if metric.smallest <= min(target.shape[:2])]
        for each in (*measures_of(defined), radial_power):
            rows[each].append(each(*images))
        if reader is not None:
            labels, side = (given, sides[0]) if labels_are_input else (target, sides[1])
            rows[CONFUSION].append(reader.confusion(output, labels, side.missing).reshape(-1))
        if inception is not None and images.valid is None:  # filled areas would change the features
            rows[FEATURES].append(inception(images.output))
    return {each: np.stack(rows.pop(each)) for each in list(rows)}  # frees each list at once
