"""Inputs for verification and calibration: images of the run or of a folder, or noise."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from pix2pix_tf import config as configs
from pix2pix_tf.config import Fit, TrainConfig
from pix2pix_tf.data.dataset import ImageDataset, spread
from pix2pix_tf.data.label_maps import named_classes
from pix2pix_tf.data.layout import walk
from pix2pix_tf.data.pipeline import held_out_images, resized_input
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import to_uint8, to_unit_range
from pix2pix_tf.data.reading import read_input
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.effects import refuse_unread
from pix2pix_tf.errors import DataError, UserError
from pix2pix_tf.formats.base import Size
from pix2pix_tf.formats.translator import converted
from pix2pix_tf.models.base import PublishedGenerator

_SEED = 0


class NoiseSamples:
    """Standard normal noise with a fixed seed, ``numbers`` per sample."""

    def __init__(self, numbers: int):
        self.description = f"noise of seed {_SEED}"
        self._numbers = numbers
        self.classes: Mapping[str, Sequence[int]] = {}

    def held_out(self, size: Size, count: int) -> Sequence[np.ndarray]:
        return list(np.random.default_rng(_SEED).standard_normal((count, self._numbers), np.float32))

    def for_calibration(self, size: Size, count: int) -> Sequence[np.ndarray]:
        return list(np.random.default_rng(_SEED + 1).standard_normal((count, self._numbers), np.float32))


class FolderSamples:
    """Images of a folder, at any depth."""

    def __init__(self, folder: Path, form: PixelFormat, inpaints: bool):
        if not folder.is_dir():
            raise DataError(f"--verification-images {folder}: there is no such folder")
        self._files = sorted(walk(folder))
        if not self._files:
            raise DataError(f"--verification-images {folder}: there are no images")
        self._format, self._inpaints = form, inpaints
        self.description = str(folder)
        self.classes: Mapping[str, Sequence[int]] = {}

    def held_out(self, size: Size, count: int) -> Sequence[np.ndarray]:
        chosen = (self._files[number] for number in spread(len(self._files), count))
        return [
            resized_input(self._load(path), functools.partial(self._load, path, 0), size, self._format)
            for path in chosen
        ]

    def _load(self, path: Path, missing: int | None = None) -> np.ndarray:
        return read_input(path, dataclasses.replace(self._format, missing=missing), self._inpaints)

    def for_calibration(self, size: Size, count: int) -> Sequence[np.ndarray]:
        return [_as_uint8(image) for image in self.held_out(size, count)]


class DatasetSamples:
    """Images of the run's data set."""

    def __init__(self, dataset: ImageDataset, generator: PublishedGenerator, fit: Fit):
        self._dataset, self._generator, self._fit = dataset, generator, fit
        self.description = f"{dataset.name} {dataset.held_out}"

    @functools.cached_property
    def classes(self) -> Mapping[str, Sequence[int]]:
        try:
            return named_classes(self._dataset, self._generator.side)
        except DataError:  # declared as label maps, but without a palette
            return {}

    def held_out(self, size: Size, count: int, split: str | None = None) -> Sequence[np.ndarray]:
        rows = held_out_images(self._dataset, size, count, split, self._fit)
        taken = (self._generator.input.channels, self._generator.inpaints)
        return [converted(tf.constant(row[1 + self._generator.side]), *taken).numpy() for row in rows]

    def for_calibration(self, size: Size, count: int) -> Sequence[np.ndarray]:
        return [_as_uint8(image) for image in self.held_out(size, count, "train")]


def run_dataset(config: TrainConfig, data_dir: Path | None) -> ImageDataset:
    """Opens the data set of a run, in ``data_dir`` if it has moved there."""
    asked = config if data_dir is None else configs.replace(config, data_dir=data_dir)
    try:
        dataset = open_dataset(asked)
    except UserError as error:
        raise type(error)(f"{error} (or give a folder with input images as --verification-images)") from error
    refuse_unread(asked, config, dataset.used)
    return dataset


def _as_uint8(image: np.ndarray) -> np.ndarray:
    return to_uint8(to_unit_range(tf.constant(image))).numpy()
