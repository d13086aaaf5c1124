"""Opens the data set of ``--dataset``, as the kind that a model needs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tensorflow as tf

from pix2pix_tf.config import DataKind, TrainConfig, replace
from pix2pix_tf.data.dataset import ITEMS, ImageDataset, images_of, pairs_made_by, unpaired, with_label_maps
from pix2pix_tf.data.folder import open_folder, requested_formats
from pix2pix_tf.data.layout import likely_kind
from pix2pix_tf.data.named import existing_archive, named_folder, open_named_dataset
from pix2pix_tf.data.names import (
    NAMED,
    PROCEDURAL,
    UNKNOWN,
    facts_of,
    full_name,
    label_sides,
    looks_like_path,
)
from pix2pix_tf.data.packed import is_pack, open_pack
from pix2pix_tf.data.pixels import convert_channels
from pix2pix_tf.data.procedural import procedural_dataset
from pix2pix_tf.data.tasks import task_for
from pix2pix_tf.effects import refuse_unread
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.storage import address_of, local_folder
from pix2pix_tf.wording import did_you_mean

_FILE_SETTINGS = ("fit", "photo_filter")  # used when images are read from files
_EVALUATION_SETTINGS = ("evaluate_every", "best_metric")  # used only with held-out pairs


def open_dataset(config: TrainConfig, kind: DataKind | None = None, to_train: bool = True) -> ImageDataset:
    """Opens the data set of a configuration; downloads and prepares it if necessary.

    Args:
        config: The configuration; ``config.data`` selects the data set and how its files are read.
        kind: 'pairs', 'unpaired' or 'images'; by default, what the model trains on. Pairs can be used as
            unpaired sets, and one side of pairs or unpaired sets as images (``config.model.side`` selects
            it). A task makes pairs from images.
        to_train: Whether to raise an error if the data set has no training images.

    Returns:
        Pairs, input first whatever the direction is; or unpaired sets A and B, regardless of the direction;
        or images. ``splits`` maps the names of the splits to their images.

    Raises:
        ConfigError: A setting doesn't apply to the data set.
        DataError: The name, the folder or an image is invalid, or the data set has the wrong kind.
        SystemFault: Network, disk space or permission is missing.
    """
    data = config.data
    wanted = kind or config.model.data
    makes_pairs = wanted == "pairs" and data.task != "pairs"
    kind = "images" if makes_pairs else wanted
    dataset = _opened(config, kind)
    # Whether a model of single images takes side B of pairs, or takes other images as side B.
    if dataset.kind == "images":
        takes_b = config.model.side == 0 and data.direction == "BtoA"
    else:
        takes_b = (config.model.side == 1) == (data.direction == "AtoB")
    if data.label_maps != "auto":
        places = label_sides(data)
        if dataset.kind == "images":
            places = "A" if "AB"[takes_b] in places else ""
        dataset = with_label_maps(dataset, places)
    if "train" not in dataset.splits and (to_train or dataset.kind != kind == "unpaired"):
        raise DataError(
            f"{dataset.name}: nothing to train on (only {' and '.join(dataset.splits)}); add images in "
            "train/, or evaluate models on it with 'pix2pix evaluate'"
        )
    used = set()
    if data.ignore in {side.ignore for side in dataset.sides} - {None}:
        used.add("ignore")
    if kind != "images" or data.label_maps != ("A" if takes_b else "B"):
        used.add("label_maps")
    if kind == "unpaired" and dataset.kind == "pairs":
        dataset = unpaired(dataset)
    elif kind != "unpaired":
        # Side 0 is for distillation, where the teacher has a direction.
        if dataset.kind != "images" or config.model.side == 0:
            used.add("direction")
        dataset = dataset.directed(data.direction)
        if kind == "images" and dataset.kind != "images":
            dataset = images_of(dataset, config.model.side)
    if makes_pairs:
        dataset = _with_task(dataset, config)
    if dataset.has_targets:
        used.update(_EVALUATION_SETTINGS)
    return dataset.using(*used)


def open_any(config: TrainConfig, usual: TrainConfig, kind: DataKind) -> ImageDataset:
    """Opens a data set, possibly without training images; raises if a setting has no effect on it.

    ``usual`` has the data set's default settings.
    """
    dataset = open_dataset(config, kind, to_train=False)
    refuse_unread(config, usual, dataset.used)
    return dataset


def chosen_kind(config: TrainConfig, kind: DataKind | None, with_task: DataKind) -> DataKind:
    """Returns ``with_task`` if there is a task, else ``kind``, by default the data set's own kind."""
    if config.data.task == "pairs":
        return kind or usual_kind(config.data.dataset)
    if kind not in (None, "images"):
        raise ConfigError(f"--kind {kind} doesn't apply to --task {config.data.task}, which makes pairs")
    return with_task


def open_existing(config: TrainConfig) -> ImageDataset | None:
    """Opens the data set of a configuration, or returns ``None`` if it must be downloaded first."""
    data, name = config.data, full_name(config.data.dataset)
    if looks_like_path(data.dataset):
        return None if address_of(data.dataset) else open_dataset(config)
    if name in (PROCEDURAL, UNKNOWN) or named_folder(name, data.data_dir).is_dir():
        return open_dataset(config)
    existing_archive(data.archive, name)
    _check_name(data.dataset)
    return None


def refuse_missing(dataset: str) -> None:
    """Raises `DataError` if ``--dataset`` is neither a folder nor a data set's name; opens nothing."""
    if looks_like_path(dataset):
        if address_of(dataset) is None:
            existing_folder(dataset)
    elif full_name(dataset) not in (PROCEDURAL, UNKNOWN):
        _check_name(dataset)


def _with_task(images: ImageDataset, config: TrainConfig) -> ImageDataset:
    """Makes pairs from images with the configured task."""
    photos = dataclasses.replace(images.sides[0], labels=False)
    task = task_for(dataclasses.replace(config.data, output_bits=photos.bits), photos.channels)
    if task.inpaints and photos.value_range is not None:
        raise DataError(
            f"--task {task.name} needs photos, but the images of {images.name} are measurements; give a "
            "data set of photos"
        )
    return pairs_made_by(task, dataclasses.replace(images, sides=(photos,)), config.split_seed)


def usual_kind(dataset: str) -> DataKind:
    """Returns a data set's own kind, as far as it is known without downloading the data set."""
    if looks_like_path(dataset):
        folder = local_folder(dataset)
        return open_pack(folder).kind if is_pack(folder) else likely_kind(folder)
    return facts_of(dataset).kind


def _opened(config: TrainConfig, kind: DataKind) -> ImageDataset:
    """Opens a data set as its own kind; raises if it can't be converted to ``kind``."""
    data, name = config.data, full_name(config.data.dataset)
    refuse_unread(config, replace(config, archive=None, mirror_url=None))
    if name == UNKNOWN:
        raise DataError("the imported run doesn't record its training data set; add --dataset")
    if looks_like_path(data.dataset):
        folder = existing_folder(data.dataset)
        used = {*_FILE_SETTINGS, "input_range", "output_range"}
        if is_pack(folder):
            pack = open_pack(folder, config, kind)
            _refuse_kind(pack.name, pack.kind, kind, f"; pack it with --kind {kind}")
            return pack.using(*used)
        opened = open_folder(folder, config, kind)
        return opened.using(*used, "layout", "skip_bad_images", "data_dir")
    # Only folders and packs are read with these settings.
    config = replace(config, input_range=None, output_range=None, ignore=None)
    if name == PROCEDURAL:
        return _procedural(config, kind)
    _check_name(data.dataset)
    _refuse_kind(f"'{data.dataset}'", facts_of(name).kind, kind)
    try:
        opened = open_named_dataset(name, config, kind)
    except SystemFault as error:
        if not Path(data.dataset).is_dir():
            raise
        raise SystemFault(f"{error}; for the local folder, give --dataset ./{data.dataset}") from error
    return opened.using(*_FILE_SETTINGS, "skip_bad_images", "data_dir")


def _procedural(config: TrainConfig, kind: DataKind) -> ImageDataset:
    dataset = procedural_dataset(config.optimization.seed, config.data.size)
    sides = requested_formats(dataset.sides, config, kind, PROCEDURAL)

    def convert(images: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        return tuple(
            convert_channels(image, side.channels) for image, side in zip(images, sides, strict=True)
        )

    if sides != dataset.sides:
        splits = {split: (pairs.mapped(convert),) for split, (pairs,) in dataset.splits.items()}
        dataset = dataclasses.replace(dataset, sides=sides, splits=splits)
    return dataset.using(*(["photo_filter"] if config.data.jitter else []))


def _check_name(dataset: str) -> None:
    """Raises `DataError` if no data set has this name."""
    from pix2pix_tf.data.tfds_images import is_tfds_name

    if full_name(dataset) not in NAMED and not is_tfds_name(dataset):
        raise _no_such_dataset(dataset)


def _refuse_kind(dataset: str, found: DataKind, wanted: DataKind, fix: str = "") -> None:
    """Raises `DataError` if a data set can't be converted to the wanted kind."""
    if found != wanted and (wanted == "pairs" or found == "images"):
        raise DataError(f"{dataset} has {ITEMS[found]}s, but {ITEMS[wanted]}s are needed{fix}")


def existing_folder(dataset: str) -> Path:
    """Returns the folder of ``--dataset``; fetches it if it is in an object store."""
    folder = local_folder(dataset)
    if folder.exists():
        return folder
    if folder.is_absolute():  # runs store absolute paths
        raise DataError(f"there is no folder {folder}; if it has moved, give the new path with --dataset")
    raise _no_such_dataset(dataset)


def _no_such_dataset(dataset: str) -> DataError:
    names = dict.fromkeys([PROCEDURAL, *(Path(name).name for name in NAMED)])
    meant = did_you_mean(dataset, names) or f" ({', '.join(names)})"
    return DataError(f"'{dataset}' is neither a folder nor the name of a data set{meant}")
