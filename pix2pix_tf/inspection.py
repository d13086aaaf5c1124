"""``pix2pix data``: which data sets there are, what is wrong with one, how training sees it."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from pix2pix_tf import config as configs
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.catalog import catalog_entries, data_root
from pix2pix_tf.data.folder import check_folder
from pix2pix_tf.data.images import encode_png, to_uint8
from pix2pix_tf.data.pipeline import training_batches
from pix2pix_tf.data.sources import existing_folder, open_dataset
from pix2pix_tf.files import write_whole
from pix2pix_tf.sheets import compose_sheet


def list_datasets(data_dir: Path | None) -> str:
    """Returns a line for every data set that has a name."""
    lines = ["procedural       drawn by the program, no download"]
    for entry in catalog_entries(data_dir):
        counts = ", ".join(f"{count} {split}" for split, count in entry.counts.items()) or "not counted yet"
        where = (
            f"in {entry.prepared}"
            if entry.prepared
            else f"not here yet: {entry.url}, {_size(entry.archive_bytes)}"
        )
        lines.append(f"{entry.name:<16} {entry.description} ({counts})\n{'':16} {where}")
        if entry.license:
            lines.append(f"{'':16} licence: {entry.license}")
    return "\n".join(lines)


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def describe_dataset(config: TrainConfig) -> str:
    """Opens a data set, preparing it where that is needed, and says in a line what it holds."""
    dataset = open_dataset(config)
    kinds = []
    for what, side in zip(("input", "target"), dataset.sides, strict=True):
        kinds.append(
            f"{what} {'grey' if side.channels == 1 else 'RGB'}{' label maps' if side.labels else ''}"
        )
    return f"{dataset.description()}; {config.data.direction}: {', '.join(kinds)}"


def check_dataset(config: TrainConfig) -> tuple[str, bool]:
    """Says what is wrong with a data set.

    Returns:
        A report of some lines, and whether it can be trained on.

    Raises:
        UserError: it can't even be opened.
    """
    if not configs.looks_like_path(config.data.dataset):
        return describe_dataset(config) + "\nnothing is wrong", True
    folder = existing_folder(config.data.dataset)
    report = check_folder(folder, config.optimization.seed, data_root(config.data.data_dir))
    counts = ", ".join(f"{count} {split}" for split, count in report.counts.items()) or "no"
    sizes = ", ".join(
        f"{height}x{width} ({count})" for (height, width), count in list(report.sizes.items())[:5]
    )
    more = f" and {len(report.sizes) - 5} more" if len(report.sizes) > 5 else ""
    channels = " and ".join("grey" if count == 1 else "RGB" for count in report.channels)
    lines = [
        f"{folder}: {report.layout}",
        f"  pairs     {counts}",
        f"  sizes     {sizes or 'none'}{more} (height x width)",
        f"  channels  A and B: {channels}, {report.bits[0]} and {report.bits[1]} bits",
        *(f"  problem   {problem}" for problem in report.problems),
        f"problems: {len(report.problems)}" if report.problems else "nothing is wrong",
    ]
    return "\n".join(lines), not report.problems


def preview_dataset(config: TrainConfig, count: int, out: Path) -> None:
    """Writes a sheet of the first pairs of training, jittered and mirrored as they will be.

    Args:
        config: the data set, the image size and the seed.
        count: how many pairs.
        out: the PNG file.

    Raises:
        UserError: the data can't be used.
        SystemFault: ``out`` can't be written.
    """
    dataset = open_dataset(config)
    config = configs.replace(config, batch_size=1)
    batches = training_batches(dataset, config, 0, count)
    rows = [[to_uint8(image[0]).numpy() for image in batch] for batch in batches]
    title = f"{configs.dataset_label(config.data.dataset)} {config.data.direction}"
    sheet = compose_sheet(title, ("input", "target"), rows)
    write_whole(out, encode_png(tf.constant(sheet)).numpy())
