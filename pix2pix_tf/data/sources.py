"""Opens whatever ``--dataset`` names, as the kind of data set that a model learns from."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix_tf.config import TrainConfig, replace
from pix2pix_tf.data.dataset import (
    ITEMS,
    ImageDataset,
    Kind,
    images_of,
    pairs_made_by,
    unpaired,
    with_label_maps,
)
from pix2pix_tf.data.names import (
    CATALOG,
    CYCLE_GAN,
    NAMED,
    PROCEDURAL,
    UNKNOWN,
    full_name,
    kind_of,
    label_sides,
    looks_like_path,
)
from pix2pix_tf.effects import refuse_unread
from pix2pix_tf.errors import ConfigError, DataError
from pix2pix_tf.storage import address_of, local_folder
from pix2pix_tf.wording import counted, did_you_mean

if TYPE_CHECKING:
    import tensorflow as tf

_OF_FILES = ("fit", "photo_filter")  # settings that images from files are read by
_COMPARED = ("evaluate_every", "best_metric")  # settings that held-out pairs are needed for


def open_dataset(config: TrainConfig, kind: Kind | None = None, to_train: bool = True) -> ImageDataset:
    """Opens the data set of a configuration, downloading and preparing it where that is needed.

    Args:
        config: ``dataset`` and whatever else of ``config.data`` concerns its files.
        kind: what is wanted; what the model is trained on if not given. Pairs can be taken for unpaired sets
            (each image then has no counterpart to train on), and one side of pairs or of unpaired sets, the
            target unless the model takes inputs, for images. Where there is a task, pairs are made of images.
        to_train: refuse a data set that has held-out images only.

    Returns:
        Pairs directed, so that A is the input and B the target; unpaired sets as A and B, whatever the
        direction; or images.

    Raises:
        ConfigError: a setting has no meaning for the data set.
        DataError: the name, the folder or an image is wrong, or it can't be taken for that kind.
        SystemFault: there is no network, no space or no permission.
    """
    kind = kind or config.model.data
    data = config.data
    if kind == "pairs" and data.task != "pairs":
        dataset = _with_task(open_dataset(config, "images", to_train), config)
        return _with_used(dataset, *(_COMPARED if dataset.has_targets else ()))
    dataset = _opened(config, kind)
    if data.label_maps != "auto":
        dataset = with_label_maps(dataset, label_sides(data))
    if "train" not in dataset.splits and (to_train or dataset.kind != kind == "unpaired"):
        raise DataError(
            f"{dataset.name}: has {' and '.join(dataset.splits)} but nothing to train on; add images in "
            "train/, or evaluate models on it with 'pix2pix evaluate'"
        )
    used = set()
    if data.ignore in {side.ignore for side in dataset.sides} - {None}:
        used.add("ignore")
    takes_b = dataset.kind != "images" and (config.model.side == 1) == (data.direction == "AtoB")
    if kind != "images" or data.label_maps != ("A" if takes_b else "B"):
        used.add("label_maps")
    if kind == "unpaired" and dataset.kind == "pairs":
        dataset = unpaired(dataset)
    elif kind != "unpaired":
        if dataset.kind != "images" or config.model.side == 0:  # or the way that a student's teacher goes
            used.add("direction")
        dataset = dataset.directed(data.direction)
        if kind == "images" and dataset.kind != "images":
            dataset = images_of(dataset, config.model.side)
    channels: tuple[int | None, ...] = (data.input_channels, data.output_channels)
    if kind == "images":
        channels = channels[config.model.side :][:1]
    if config.model.data == "unpaired" and dataset.kind == "pairs" and data.direction == "BtoA":
        channels = channels[::-1]  # of such models they are A's and B's
    if dataset.has_targets:
        used.update(_COMPARED)
    return _with_used(_with_channels(dataset, channels), *used)


def open_any(config: TrainConfig, usual: TrainConfig, kind: Kind) -> ImageDataset:
    """Opens a data set that needn't be one to train on; refuses settings without effect on it.

    ``usual`` are the data set's own settings.
    """
    dataset = open_dataset(config, kind, to_train=False)
    refuse_unread(config, usual, dataset.used)
    return dataset


def chosen_kind(config: TrainConfig, kind: Kind | None, with_task: Kind) -> Kind:
    """Returns what to take a data set for: ``with_task`` with a task, else ``kind`` if that is given."""
    if config.data.task == "pairs":
        return kind or usual_kind(config.data.dataset)
    if kind not in (None, "images"):
        raise ConfigError(f"--kind {kind} has no meaning with --task {config.data.task}, which makes pairs")
    return with_task


def open_existing(config: TrainConfig) -> ImageDataset | None:
    """Opens the data set of a configuration unless it would be downloaded first: then returns ``None``."""
    data, name = config.data, full_name(config.data.dataset)
    if looks_like_path(data.dataset):
        return None if address_of(data.dataset) else open_dataset(config)
    if name in (PROCEDURAL, UNKNOWN):
        return open_dataset(config)
    from pix2pix_tf.data.named import existing_archive, named_folder

    if named_folder(name, data.data_dir).is_dir():
        return open_dataset(config)
    existing_archive(data.archive)
    _check_name(data.dataset)
    return None


def _with_task(images: ImageDataset, config: TrainConfig) -> ImageDataset:
    """Returns pairs that the task makes of images."""
    from pix2pix_tf.data.tasks import task_for

    photos = dataclasses.replace(images.sides[0], labels=False)
    task = task_for(dataclasses.replace(config.data, output_bits=photos.bits), photos.channels)
    if task.inpaints and photos.value_range is not None:
        raise DataError(
            f"--task {task.name} learns from pictures, whose holes an alpha channel can show; those of "
            f"{images.name} are measurements"
        )
    return pairs_made_by(task, dataclasses.replace(images, sides=(photos,)), config.split_seed)


def usual_kind(dataset: str) -> Kind:
    """Returns the kind that a data set is by itself, as far as that can be told without downloading it."""
    if looks_like_path(dataset):
        from pix2pix_tf.data.layout import likely_kind
        from pix2pix_tf.data.packed import is_pack, open_pack

        folder = local_folder(dataset)
        return open_pack(folder).kind if is_pack(folder) else likely_kind(folder)
    return kind_of(full_name(dataset))


def _opened(config: TrainConfig, kind: Kind) -> ImageDataset:
    """Opens a data set as the kind that it has; raises if it can't be made into the wanted kind."""
    data, name = config.data, full_name(config.data.dataset)
    refuse_unread(config, replace(config, archive=None, mirror_url=None))
    if name == UNKNOWN:
        raise DataError("it is unknown which data set that run's network was trained on; give a --dataset")
    if name == PROCEDURAL:
        from pix2pix_tf.data.procedural import procedural_dataset

        drawn = procedural_dataset(config.optimization.seed, data.size)
        return _with_used(drawn, *(["photo_filter"] if data.jitter else []))
    if looks_like_path(data.dataset):
        from pix2pix_tf.data.folder import FolderOptions, open_folder
        from pix2pix_tf.data.named import data_root
        from pix2pix_tf.data.packed import is_pack, open_pack

        folder = existing_folder(data.dataset)
        ranges, channels = (data.input_range, data.output_range), (data.input_channels, data.output_channels)
        if config.model.data != "unpaired" and data.direction == "BtoA":  # B is the input
            ranges, channels = ranges[::-1], channels[::-1]
        used = {*_OF_FILES, "input_range", "output_range"}
        if is_pack(folder):
            pack = open_pack(folder, ranges, channels)
            _refuse_kind(pack.name, pack.kind, kind, f"; pack it with --kind {kind}")
            return _with_used(pack, *used)
        cache_dir = data_root(data.data_dir)
        seed = config.split_seed
        options = FolderOptions.of(
            data, kind, seed=seed, ranges=ranges, channels=channels, cache_dir=cache_dir
        )
        return _with_used(open_folder(folder, options), *used, "layout", "skip_bad_images", "data_dir")
    from pix2pix_tf.data.named import open_named_dataset

    _check_name(data.dataset)
    _refuse_kind(f"'{data.dataset}'", kind_of(name), kind)
    opened = open_named_dataset(name, data.data_dir, data.archive, data.mirror_url, data.skip_bad_images)
    return _with_used(opened, *_OF_FILES, "skip_bad_images", "data_dir")


def _check_name(dataset: str) -> None:
    """Raises `DataError` if there is no data set of that name."""
    from pix2pix_tf.data.tfds_images import is_tfds_name

    if full_name(dataset) not in NAMED and not is_tfds_name(dataset):
        raise _no_such_dataset(dataset)


def _refuse_kind(dataset: str, found: Kind, wanted: Kind, fix: str = "") -> None:
    """Raises `DataError` if a data set of one kind can't be made into the other."""
    if found != wanted and (wanted == "pairs" or found == "images"):
        raise DataError(f"{dataset} has {ITEMS[found]}s, where {ITEMS[wanted]}s are needed{fix}")


def _with_used(dataset: ImageDataset, *settings: str) -> ImageDataset:
    """Returns the data set with more settings marked as used."""
    return dataclasses.replace(dataset, used=dataset.used | {*settings})


def _with_channels(dataset: ImageDataset, channels: tuple[int | None, ...]) -> ImageDataset:
    """Returns the data set with the images of each side converted to the given channel counts, if any."""
    sides = tuple(
        dataclasses.replace(side, channels=asked or side.channels)
        for asked, side in zip(channels, dataset.sides, strict=True)
    )
    if sides == dataset.sides:
        return dataset
    for now, side in zip(sides, dataset.sides, strict=True):
        if now != side and not {now.channels, side.channels} <= {1, 3}:
            raise ConfigError(
                f"{dataset.name} has images of {counted(side.channels, 'channel')}, which can't become "
                f"{now.channels}; only gray and RGB become each other, and alpha of all images a band"
            )
    from pix2pix_tf.data.pixels import convert_channels

    def converting(wanted: tuple[int, ...], images: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        return tuple(convert_channels(image, count) for image, count in zip(images, wanted, strict=True))

    converted = dataclasses.replace(dataset, sides=sides)
    splits = {
        split: tuple(
            images.mapped(functools.partial(converting, tuple(side.channels for side in of_set)))
            for images, of_set in converted.parts(split)
        )
        for split in dataset.splits
    }
    return dataclasses.replace(converted, splits=splits)


def existing_folder(dataset: str) -> Path:
    """Returns the folder that ``--dataset`` names, fetched where it is in an object store."""
    folder = local_folder(dataset)
    if folder.exists():
        return folder
    if folder.is_absolute():  # as a run remembers it
        raise DataError(f"there is no folder {folder}; if it has moved, say where it is now")
    raise _no_such_dataset(dataset)


def _no_such_dataset(dataset: str) -> DataError:
    names = dict.fromkeys([PROCEDURAL, *CATALOG, *(Path(name).name for name in CYCLE_GAN)])
    meant = did_you_mean(dataset, names) or f" ({', '.join(names)})"
    return DataError(f"'{dataset}': there is no such folder, and no data set of that name{meant}")
