"""Opens whatever ``--dataset`` names."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix_tf.config import TrainConfig, flag, looks_like_path
from pix2pix_tf.data.pairs import PairDataset, Split
from pix2pix_tf.errors import ConfigError, DataError

if TYPE_CHECKING:
    import tensorflow as tf

    from pix2pix_tf.data.pairs import ReadPair


def open_dataset(config: TrainConfig, show_progress: bool = True) -> PairDataset:
    """Opens the data set of a configuration, downloading and preparing it where that is needed.

    Args:
        config: ``dataset`` and whatever else of ``config.data`` concerns its files.
        show_progress: show a bar while files are fetched or checked.

    Returns:
        The data set directed, so that A is the input and B the target.

    Raises:
        DataError: the name, the folder or an image is wrong.
        SystemFault: there is no network, no space or no permission.
    """
    data = config.data
    if data.dataset == "procedural" or looks_like_path(data.dataset):
        for name in ("archive", "mirror_url"):
            if getattr(data, name) is not None:
                raise ConfigError(f"{flag(name)} is for data sets of the catalogue, not for '{data.dataset}'")
    if data.dataset == "procedural":
        from pix2pix_tf.data.procedural import procedural_dataset

        dataset = procedural_dataset(config.optimization.seed, data.size)
    elif looks_like_path(data.dataset):
        from pix2pix_tf.data.catalog import data_root
        from pix2pix_tf.data.folder import open_folder_dataset

        dataset = open_folder_dataset(
            existing_folder(data.dataset),
            seed=config.optimization.seed,
            cache_dir=data_root(data.data_dir),
            skip_bad_images=data.skip_bad_images,
            show_progress=show_progress,
        )
    else:
        from pix2pix_tf.data.catalog import open_catalog_dataset

        dataset = open_catalog_dataset(
            data.dataset,
            data_dir=data.data_dir,
            archive=data.archive,
            mirror=data.mirror_url,
            skip_bad_images=data.skip_bad_images,
            show_progress=show_progress,
        )
    if data.label_maps != "auto":
        labelled = {"none": (), "A": ("A",), "B": ("B",), "both": ("A", "B")}[data.label_maps]
        sides = [
            dataclasses.replace(side, labels=name in labelled)
            for name, side in zip("AB", dataset.sides, strict=True)
        ]
        dataset = dataclasses.replace(dataset, sides=(sides[0], sides[1]))
    channels = (config.network.input_channels, config.network.output_channels)
    return _with_channels(dataset.directed(data.direction), channels)


def _with_channels(dataset: PairDataset, channels: tuple[int | None, int | None]) -> PairDataset:
    """Returns the data set with its images turned grey or RGB where that is asked for."""
    sides = dataset.sides
    wanted = [asked or side.channels for asked, side in zip(channels, sides, strict=True)]
    if wanted == [side.channels for side in sides]:
        return dataset
    from pix2pix_tf.data.images import convert_channels

    def converting(read: ReadPair) -> ReadPair:
        def read_converted(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            a, b = read(index)
            return convert_channels(a, wanted[0]), convert_channels(b, wanted[1])

        return read_converted

    splits = {name: Split(split.names, converting(split.read)) for name, split in dataset.splits.items()}
    converted = [dataclasses.replace(side, channels=count) for side, count in zip(sides, wanted, strict=True)]
    return dataclasses.replace(dataset, sides=(converted[0], converted[1]), splits=splits)


def existing_folder(dataset: str) -> Path:
    """Returns the folder that ``--dataset`` names.

    Raises:
        DataError: there is none; a bare word was probably meant as a catalogue name, so these are listed.
    """
    folder = Path(dataset).expanduser()
    if not folder.exists():
        from pix2pix_tf.data.catalog import catalog_names

        names = ", ".join(("procedural", *catalog_names()))
        raise DataError(
            f"--dataset {dataset}: there is no such folder, and no data set of that name ({names})"
        )
    return folder
