"""Preview of training images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from pix2pix_tf.config import TrainConfig, dataset_label, replace
from pix2pix_tf.data.dataset import ITEMS, SIDE_NAMES, ImageDataset
from pix2pix_tf.data.pipeline import training_batches
from pix2pix_tf.data.pixels import to_uint8
from pix2pix_tf.files import write_whole
from pix2pix_tf.sample_grids import compose_grid


def write_preview(dataset: ImageDataset, config: TrainConfig, count: int, out: Path) -> None:
    """Writes a grid of the first training images after augmentation."""
    if "train" not in dataset.splits:
        dataset = dataclasses.replace(dataset, splits={"train": dataset.splits[dataset.held_out]})
    batches = training_batches(dataset, replace(config, batch_size=1), 0, count)
    rows = [_first_row(dataset, batch) for batch in batches]
    title = dataset_label(config.data.dataset)
    if dataset.task.makes_input:
        title += f", {dataset.task.name}"
    else:
        title += f" {config.data.direction}" if dataset.kind == "pairs" else f", {ITEMS[dataset.kind]}s"
    grid = compose_grid(title, SIDE_NAMES[dataset.kind], rows)
    write_whole(out, tf.io.encode_png(tf.constant(grid)).numpy())


def _first_row(dataset: ImageDataset, batch: Sequence[tf.Tensor]) -> list[np.ndarray]:
    """Returns the first images of a batch as 8-bit images; of a task, the target as it is published."""
    first, *others = batch[: len(dataset.sides)]
    shown = dataset.task.shown(to_uint8(first[0]).numpy())
    return [shown, *(to_uint8(dataset.task.to_image(first, other)[0]).numpy() for other in others)]
