"""``pix2pix data``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional

from pix2pix_tf import config as configs
from pix2pix_tf.commands.parsing import parse, start_frameworks
from pix2pix_tf.data.names import NAMED, full_name, looks_like_path
from pix2pix_tf.errors import ConfigError, DataError, UserError
from pix2pix_tf.models.registry import preset
from pix2pix_tf.storage import address_of
from pix2pix_tf.validation import limited
from pix2pix_tf.wording import counted, did_you_mean, quoted

if TYPE_CHECKING:
    from pix2pix_tf.data.dataset import ImageDataset


@dataclasses.dataclass(frozen=True)
class DataListOptions:
    """Lists the named data sets."""

    data_dir: Path | None = None
    """Directory of data sets; the one of tensorflow-datasets by default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """Options of commands that read images. Options that training also has mean the same."""

    data_dir: Path | None = None
    """Directory of data sets; the one of tensorflow-datasets by default."""
    kind: configs.DataKind | None = None
    """Kind of data set; detected by default."""
    layout: configs.Layout = "auto"
    """How a folder stores pairs: 'side-by-side' in one image, or in two 'folders'; 'auto' detects it."""
    skip_bad_images: bool = False
    """Skip and count unreadable images instead of stopping."""
    ignore: float | None = None
    """Value of pixels without data (nodata, void classes), in measurements and gray images."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataOptions(ReadingOptions):
    """Options of commands that read any data set."""

    dataset: Positional[str]
    """'procedural', a name such as 'facades', or the path of a folder."""
    archive: Path | None = None
    """A local copy of the data set's .tar.gz, used instead of a download."""
    mirror_url: str | None = None
    """Server to download from instead of the public one: MIRROR/NAME.tar.gz."""


@dataclasses.dataclass(frozen=True)
class DataDownloadOptions(DataOptions):
    """Downloads and extracts a named data set."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitOptions(ReadingOptions):
    """Options of commands that split a folder."""

    val_share: float | None = None
    """Share of a folder held out for validation if it has no val/, as in training."""
    test_share: float | None = None
    """Share of a folder held out for --split test."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageOptions(DataOptions):
    """Options of commands that process images as in training."""

    image_size: tuple[int, ...] | None = None
    """Height and width, each from 64 to 2048; the data set's preset by default."""
    label_maps: configs.LabelMaps = "auto"
    """Sides that are label maps; 'auto' uses the data set's declaration, and 'check' detects them."""
    task: configs.TaskName = "pairs"
    """Task that makes pairs from photos, as in training; 'pairs' expects pairs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataCheckOptions(ImageOptions, SplitOptions):
    """Reports problems of a data set or a folder; the exit code is 2 if it can't be used."""

    json: bool = False
    """Print a JSON object that names every file."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataPreviewOptions(ImageOptions):
    """Writes a grid of pairs as used in training: resized, jittered, cropped and flipped."""

    out: Path = Path("preview.png")
    """Output file."""
    direction: configs.Direction | None = None
    """Input side and output side; the data set's preset by default."""
    upscale_factor: Literal[2, 4] = 4
    """Enlargement of the task 'upscale'."""
    jitter: bool = True
    """Resize to 286/256 and crop, unless the data set's preset disables it."""
    flip: bool = True
    """Flip at random, unless the data set's preset disables it."""
    fit: configs.Fit = "resize"
    """How images with a different aspect ratio get this size: stretched, cropped, or padded by reflection."""
    count: Annotated[int, *limited(1, 64)] = 6
    """Number of pairs."""
    seed: Annotated[int, *limited(0, 2**31 - 1)] = 0
    """Seed of the order, the jitter and the flips, as in training."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataPackOptions(SplitOptions):
    """Packs a folder's images into a few large files, which open fast and support random access."""

    folder: Positional[str]
    """Folder of images."""
    out: Path
    """Folder of the pack, for --dataset."""
    seed: Annotated[int, *limited(0, 2**31 - 1)] = 0
    """Seed of the split, if the folder has no val/ and test/."""


def run(arguments: list[str]) -> int:
    actions: dict[str, tuple[type[Any], Callable[[Any], None]]] = {
        "list": (DataListOptions, _list),
        "download": (DataDownloadOptions, _download),
        "check": (DataCheckOptions, _check),
        "preview": (DataPreviewOptions, _preview),
        "pack": (DataPackOptions, _pack),
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: pix2pix data list | download NAME | check DATASET | preview DATASET | pack FOLDER\n")
        for name, (options, _) in actions.items():
            print(f"  {name:<9} {options.__doc__}")
        print("\n'pix2pix data COMMAND --help' lists the options.")
        return 0 if arguments else 2
    if arguments[0] not in actions:
        meant = did_you_mean(arguments[0], actions)
        raise UserError(
            f"unknown command 'pix2pix data {arguments[0]}'{meant}; use one of {', '.join(actions)}"
        )
    options, action = actions[arguments[0]]
    action(parse(options, f"data {arguments[0]}", arguments[1:]))
    return 0


def _list(options: DataListOptions) -> None:
    from pix2pix_tf.data.named import PUBLIC_SERVER, named_folder, stored_counts

    print(f"{'procedural':<22} generated, no download")
    for name, facts in NAMED.items():
        short = Path(name).name  # may also be the name of a data set of pairs
        stored = stored_counts(name, options.data_dir)
        counts = [f"{count} {split}" for split, count in (stored or facts.counts).items()]
        where = "not downloaded"
        if stored:
            where = f"in {named_folder(name, options.data_dir)}"
        elif facts.archive_bytes:
            where += f": {PUBLIC_SERVER}/{name}.tar.gz, {facts.archive_bytes / 1e6:,.0f} MB"
        print(f"{short if full_name(short) == name else name:<22} {facts.kind}: {facts.description}")
        print(f"{'':<22} {'; '.join(filter(None, (', '.join(counts), where)))}")
        if facts.license:
            print(f"{'':<22} license: {facts.license}")


def _download(options: DataDownloadOptions) -> None:
    if looks_like_path(options.dataset):
        raise DataError(
            f"'{options.dataset}' has no download; 'pix2pix data list' shows the data sets that do"
        )
    start_frameworks()
    from pix2pix_tf.data.checking.report import description

    print(description(_opened(options), preset(options.dataset).data.direction))


def _check(options: DataCheckOptions) -> None:
    start_frameworks()
    from pix2pix_tf.data.checking.report import check_dataset

    usual = preset(options.dataset)
    report = check_dataset(configs.override(usual, options), usual, options.kind)
    print(report.to_json() if options.json else report.text())
    if not report.is_good:
        raise DataError(f"{options.dataset} can't be trained on; see the errors above")


def _preview(options: DataPreviewOptions) -> None:
    out = options.out if options.out.suffix else options.out.with_suffix(".png")
    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out {quoted(out)}: the grid is a PNG; the name must end in .png")
    usual = preset(options.dataset).data
    options = dataclasses.replace(
        options, jitter=options.jitter and usual.jitter, flip=options.flip and usual.flip
    )
    start_frameworks()
    from pix2pix_tf.data.dataset import ITEMS
    from pix2pix_tf.data.preview import write_preview

    dataset = _opened(options)
    write_preview(dataset, configs.override(preset(options.dataset), options), options.count, out)
    print(f"{out}: {counted(options.count, ITEMS[dataset.kind])} as used in training")


def _opened(options: DataOptions) -> ImageDataset:
    from pix2pix_tf.data.sources import chosen_kind, open_any

    config = configs.override(preset(options.dataset), options)
    return open_any(config, preset(options.dataset), chosen_kind(config, options.kind, "pairs"))


def _pack(options: DataPackOptions) -> None:
    start_frameworks()
    from pix2pix_tf.data.packed import pack_folder
    from pix2pix_tf.data.sources import existing_folder, usual_kind

    is_stored = address_of(options.folder) is not None
    folder = existing_folder(options.folder if is_stored else str(Path(options.folder).absolute()))
    kind = options.kind or usual_kind(str(folder))
    config = configs.replace(configs.override(preset(), options), split_seed=options.seed)
    dataset = pack_folder(folder, options.out, config, kind)
    print(f"{dataset.description()}; to train on it: pix2pix train --dataset {quoted(options.out)}")
