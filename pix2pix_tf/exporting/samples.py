"""Inputs for verification and calibration: images of the run or of a folder, or noise."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from pix2pix_tf import config as configs
from pix2pix_tf.config import Fit, TrainConfig
from pix2pix_tf.data.dataset import ImageDataset, spread
from pix2pix_tf.data.label_maps import named_classes
from pix2pix_tf.data.layout import walk
from pix2pix_tf.data.pipeline import held_out_images, resized_input
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.effects import refuse_unread
from pix2pix_tf.errors import ConfigError, DataError, UserError
from pix2pix_tf.exporting.options import ExportOptions
from pix2pix_tf.formats.base import Samples, Size
from pix2pix_tf.formats.run import GeneratorTranslator
from pix2pix_tf.formats.translator import converted
from pix2pix_tf.models.base import PublishedGenerator
from pix2pix_tf.wording import flag

_SEED = 0


def open_samples(
    config: TrainConfig, generators: Mapping[str, PublishedGenerator], options: ExportOptions
) -> Callable[[GeneratorTranslator], Samples]:
    """Opens the source of samples; returns a function that creates the samples for a generator."""
    is_noise = all(generator.noise for generator in generators.values())
    folder = options.verification_images
    instead = "a model that makes images from noise" if is_noise else folder and "--verification-images"
    for name in ("verification_images", "data_dir") if is_noise else ("data_dir",):
        if instead and getattr(options, name) is not None:
            raise ConfigError(f"{flag(name)} has no effect with {instead}")
    if is_noise:
        return _noise_samples
    if folder is None:
        return functools.partial(dataset_samples, run_dataset(config, options.data_dir), config.data.fit)
    if len(generators) > 1:
        raise ConfigError(f"--verification-images needs --direction; give one of {', '.join(generators)}")
    return functools.partial(_folder_samples, folder)


def _noise_samples(translator: GeneratorTranslator) -> Samples:
    def normal(seed: int, size: Size, count: int) -> list[np.ndarray]:
        return list(np.random.default_rng(seed).standard_normal((count, translator.noise), np.float32))

    return Samples(
        description=f"noise of seed {_SEED}",
        held_out=functools.partial(normal, _SEED),
        for_calibration=functools.partial(normal, _SEED + 1),
    )


def _folder_samples(folder: Path, translator: GeneratorTranslator) -> Samples:
    """Returns samples from a folder and its subfolders."""
    if not folder.is_dir():
        raise DataError(f"--verification-images {folder}: the folder doesn't exist")
    files = sorted(walk(folder))
    if not files:
        raise DataError(f"--verification-images {folder}: the folder has no images")

    def held_out(size: Size, count: int) -> list[np.ndarray]:
        load, form = translator.load_input, translator.input
        chosen = (files[at] for at in spread(len(files), count))
        return [
            resized_input(load(path), functools.partial(load, path, missing=0), size, form) for path in chosen
        ]

    return Samples(description=str(folder), held_out=held_out, for_calibration=held_out)


def dataset_samples(dataset: ImageDataset, fit: Fit, translator: GeneratorTranslator) -> Samples:
    """Returns samples from the run's data set."""
    side = translator.generator.side

    def images(split: str | None, size: Size, count: int) -> list[np.ndarray]:
        rows = held_out_images(dataset, size, count, split, fit)
        taken = (translator.input.channels, translator.inpaints)
        return [converted(tf.constant(row[1 + side]), *taken).numpy() for row in rows]

    def classes() -> dict[str, tuple[int, ...]]:
        try:
            return named_classes(dataset, side)
        except DataError:  # label maps without a palette
            return {}

    return Samples(
        description=f"{dataset.name} {dataset.held_out}",
        held_out=functools.partial(images, None),
        for_calibration=functools.partial(images, "train"),
        classes=classes,
    )


def run_dataset(config: TrainConfig, data_dir: Path | None) -> ImageDataset:
    """Opens a run's data set; ``data_dir`` replaces the run's directory of data sets."""
    asked = config if data_dir is None else configs.replace(config, data_dir=data_dir)
    try:
        dataset = open_dataset(asked)
    except UserError as error:
        raise type(error)(f"{error} (or give a folder with input images as --verification-images)") from error
    refuse_unread(asked, config, dataset.used)
    return dataset
