"""``pix2pix data``: which data sets there are, what is wrong with one, how training sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from pix2pix_tf import config as configs
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.catalog import catalog_entries
from pix2pix_tf.data.folder import check_folder
from pix2pix_tf.data.names import CYCLE_GAN, full_name
from pix2pix_tf.data.pipeline import training_batches
from pix2pix_tf.data.pixels import encode_png, to_uint8
from pix2pix_tf.data.preparing import data_root
from pix2pix_tf.data.published import published_counts
from pix2pix_tf.data.sets import ITEMS, ImageDataset, Kind
from pix2pix_tf.data.sources import existing_folder, open_dataset, usual_kind
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.files import write_whole
from pix2pix_tf.sheets import compose_sheet

_NAME_WIDTH = 22
_IN_WORDS = {kind: f"{item}s" for kind, item in ITEMS.items()}
_SIDE_NAMES = {"pairs": ("input", "target"), "unpaired": ("A", "B"), "images": ("image",)}


def list_datasets(data_dir: Path | None) -> str:
    """Returns a line or two for every data set that has a name."""
    lines = [f"{'procedural':<{_NAME_WIDTH}} drawn by the program, no download"]
    for entry in catalog_entries(data_dir):
        facts = entry.facts
        where = (
            f"in {entry.prepared}"
            if entry.prepared
            else f"not here yet: {entry.url}, {_size(facts.archive_bytes)}"
        )
        lines.append(f"{facts.name:<{_NAME_WIDTH}} {facts.description} ({_counts(entry.counts)})")
        lines.append(f"{'':{_NAME_WIDTH}} {where}")
        if facts.license:
            lines.append(f"{'':{_NAME_WIDTH}} licence: {facts.license}")
    for name, description in CYCLE_GAN.items():
        # The bare name of some is that of a data set of pairs.
        shown = name if full_name(name) != name else f"cycle_gan/{name}"
        counts = published_counts(f"cycle_gan/{name}", data_dir)
        where = _counts(counts) if counts else "not here yet"
        lines.append(f"{shown:<{_NAME_WIDTH}} unpaired: {description} ({where})")
    return "\n".join(lines)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {split}" for split, count in counts.items()) or "not counted yet"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def describe_dataset(config: TrainConfig, kind: Kind | None = None) -> str:
    """Opens a data set, preparing it where that is needed, and says in a line what it holds.

    Args:
        config: the data set.
        kind: how to take it; as it is by itself if None.
    """
    dataset = open_dataset(config, kind or usual_kind(config.data.dataset))
    kinds = []
    for what, side in zip(_SIDE_NAMES[dataset.kind], dataset.sides, strict=True):
        kinds.append(
            f"{what} {'grey' if side.channels == 1 else 'RGB'}{' label maps' if side.labels else ''}"
        )
    direction = f"{config.data.direction}: " if dataset.kind == "pairs" else ""
    return f"{dataset.description()}; {direction}{', '.join(kinds)}"


def check_dataset(config: TrainConfig, kind: Kind | None = None) -> tuple[str, bool]:
    """Says what kind a data set is, and what is wrong with it.

    Args:
        config: the data set.
        kind: how to take it; as it is by itself if None.

    Returns:
        A report of some lines, and whether it can be trained on.

    Raises:
        UserError: it can't even be opened.
    """
    if not configs.looks_like_path(config.data.dataset):
        return describe_dataset(config, kind) + "\nnothing is wrong", True
    folder = existing_folder(config.data.dataset)
    kind = kind or usual_kind(config.data.dataset)
    report = check_folder(folder, config.split_seed, data_root(config.data.data_dir), kind)
    counts = ", ".join(f"{' + '.join(map(str, of_sets))} {name}" for name, of_sets in report.counts.items())
    channels = " and ".join("grey" if count == 1 else "RGB" for count in report.channels)
    bits = " and ".join(map(str, report.bits))
    skipping = config.data.skip_bad_images
    count = len(report.problems) + (0 if skipping else len(report.bad_files))
    lines = [
        f"{folder}: {_IN_WORDS[report.kind]} in {report.layout}",
        f"  {_IN_WORDS[report.kind]:<9} {counts or 'none'}",
        *(f"  sizes     {_sizes(sizes)} (height x width)" for sizes in report.sizes),
        f"  channels  {channels or 'none'}, {bits or 'no'} bits",
        *(f"  note      {note}" for note in report.notes),
        *(f"  {'left out' if skipping else 'problem':<9} {each}" for each in report.bad_files),
        *(f"  problem   {problem}" for problem in report.problems),
        f"problems: {count}" if count else "nothing is wrong",
    ]
    return "\n".join(lines), report.is_good(skipping)


def _sizes(sizes: Mapping[tuple[int, int], int]) -> str:
    shown = ", ".join(f"{height}x{width} ({count})" for (height, width), count in list(sizes.items())[:5])
    return shown + (f" and {len(sizes) - 5} more" if len(sizes) > 5 else "")


def preview_dataset(config: TrainConfig, count: int, out: Path, kind: Kind | None = None) -> Kind:
    """Writes a sheet of the first images of training, jittered and mirrored as they will be.

    Args:
        config: the data set, the image size and the seed.
        count: how many rows.
        out: the PNG file.
        kind: how to take the data set; as it is by itself if None.

    Returns:
        How it was taken.

    Raises:
        UserError: the data can't be used.
        SystemFault: ``out`` can't be written.
    """
    if config.data.task != "pairs":
        if kind not in (None, "images"):
            raise ConfigError(
                f"`kind` {kind} has no meaning with `task` {config.data.task}, which makes pairs"
            )
        kind = "pairs"
    dataset = open_dataset(config, kind or usual_kind(config.data.dataset))
    config = configs.replace(config, batch_size=1)
    batches = training_batches(dataset, config, 0, count)
    rows = [_as_shown(dataset, batch) for batch in batches]
    title = configs.dataset_label(config.data.dataset)
    if dataset.task is not None:
        title += f", {dataset.task.name}"
    else:
        title += f" {config.data.direction}" if dataset.kind == "pairs" else f", {_IN_WORDS[dataset.kind]}"
    sheet = compose_sheet(title, _SIDE_NAMES[dataset.kind], rows)
    write_whole(out, encode_png(tf.constant(sheet)).numpy())
    return dataset.kind


def _as_shown(dataset: ImageDataset, batch: Sequence[tf.Tensor]) -> list[np.ndarray]:
    """Returns a batch's first row to look at; of what a task's network is to give, the finished picture."""
    if dataset.task is None:
        return [to_uint8(image[0]).numpy() for image in batch]
    given, target = batch
    picture = dataset.task.finished(given, target)
    return [dataset.task.shown(to_uint8(given[0]).numpy()), to_uint8(picture[0]).numpy()]
