"""Preview of training images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pix2pix_tf.config import TrainConfig, dataset_label, replace
from pix2pix_tf.data.dataset import ITEMS, SIDE_NAMES, ImageDataset
from pix2pix_tf.data.pipeline import training_batches
from pix2pix_tf.data.pixels import shown_as, to_uint8
from pix2pix_tf.sample_grids import write_grid


def write_preview(dataset: ImageDataset, config: TrainConfig, count: int, out: Path) -> None:
    """Writes a grid of the first training images after augmentation."""
    if "train" not in dataset.splits:
        dataset = dataclasses.replace(dataset, splits={"train": dataset.splits[dataset.held_out]})
    batches = training_batches(dataset, replace(config, batch_size=1), 0, count)
    task, rows = dataset.task, []
    for batch in batches:
        first, *others = batch[: len(dataset.sides)]
        shown = task.shown(to_uint8(first[0]).numpy())
        images = (to_uint8(task.to_image(first, other)[0]).numpy() for other in others)
        rows.append([shown, *(shown_as(dataset.sides[-1], image) for image in images)])
    title = dataset_label(config.data.dataset)
    if task.makes_input:
        title += f", {task.name}"
    else:
        title += f" {config.data.direction}" if dataset.kind == "pairs" else f", {ITEMS[dataset.kind]}s"
    write_grid(out, title, SIDE_NAMES[dataset.kind], rows)
