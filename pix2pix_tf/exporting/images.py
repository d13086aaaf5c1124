"""The images that an export is proven and calibrated with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from pix2pix_tf import config as configs
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.images import is_image_file, load_image, to_uint8, to_unit_range
from pix2pix_tf.data.pipeline import held_out_images, resized
from pix2pix_tf.data.sets import Side, spread
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.errors import DataError, UserError

Size = tuple[int, int]


class ProofImages:
    """Input images: the run's own, or a folder's.

    Args:
        config: the run's.
        folder: images at any depth, instead of the run's.
        data_dir: where data sets are kept, if not where the run had them.

    Attributes:
        description: which images these are, in words.

    Raises:
        UserError: there are no such images.
    """

    def __init__(self, config: TrainConfig, folder: Path | None, data_dir: Path | None):
        self._channels = config.data.input_channels or 3
        self._folder = folder
        if folder is None:
            if data_dir is not None:
                config = configs.replace(config, data_dir=data_dir)
            try:
                self._dataset = open_dataset(config)
            except UserError as error:
                raise type(error)(f"{error} (or give --proof-images FOLDER with input images)") from error
            self.description = f"{self._dataset.name} {self._dataset.held_out}"
            return
        if not folder.is_dir():
            raise DataError(f"--proof-images {folder}: there is no such folder")
        self._files = sorted(path for path in folder.rglob("*") if path.is_file() and is_image_file(path))
        if not self._files:
            raise DataError(f"--proof-images {folder}: there are no images")
        self.description = str(folder)

    def held_out(self, size: Size, count: int) -> list[np.ndarray]:
        """Input images that were not trained on, uint8 or uint16 of that size."""
        if self._folder is None:
            return [image for _, image, _ in held_out_images(self._dataset, size, count)]
        return self._from_files(size, count)

    def for_calibration(self, size: Size, count: int) -> list[np.ndarray]:
        """Input images that were trained on, uint8 of that size."""
        if self._folder is None:
            pairs = held_out_images(self._dataset, size, count, split="train")
            return [_as_uint8(image) for _, image, _ in pairs]
        return [_as_uint8(image) for image in self._from_files(size, count)]

    def _from_files(self, size: Size, count: int) -> list[np.ndarray]:
        chosen = (self._files[number] for number in spread(len(self._files), count))
        images = (load_image(path, self._channels) for path in chosen)
        return [resized(image, size, Side(self._channels)).numpy() for image in images]


def _as_uint8(image: np.ndarray) -> np.ndarray:
    return to_uint8(to_unit_range(tf.constant(image))).numpy()
