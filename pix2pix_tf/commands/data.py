"""Lists, downloads, checks, previews and packs data sets."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional

from pix2pix_tf import config as configs
from pix2pix_tf.commands.options import HELP_FLAGS, overview
from pix2pix_tf.commands.parsing import parse, start_frameworks
from pix2pix_tf.config import DataConfig, TrainConfig
from pix2pix_tf.data.names import NAMED, looks_like_path, short_name
from pix2pix_tf.errors import ConfigError, DataError, UserError
from pix2pix_tf.models.registry import preset
from pix2pix_tf.storage import address_of
from pix2pix_tf.validation import COMMON, Limits, fields_of
from pix2pix_tf.wording import counted, did_you_mean, flag, quoted, shown

if TYPE_CHECKING:
    from pix2pix_tf.data.checking.report import Report
    from pix2pix_tf.data.dataset import ImageDataset


_Data = Annotated[DataConfig, tyro.conf.arg(name="")]  # flags without the prefix "data."


def _settings(*names: str) -> DataConfig:
    """Returns the defaults in a subclass of `DataConfig` that has flags for these settings only."""
    without_flag = [
        (name, Annotated[annotation, tyro.conf.Fixed, tyro.conf.Suppress], default)
        for name, annotation, default in fields_of(DataConfig)
        if name not in names
    ]
    kind = dataclasses.make_dataclass("DataConfig", without_flag, bases=(DataConfig,), frozen=True)
    return typing.cast(DataConfig, kind())


_FILES = ("data_dir", "layout", "skip_bad_images", "ignore")
_ANY = (*_FILES, "archive", "mirror_url")
_SHARES = ("val_share", "test_share")
_IMAGES = ("image_size", "label_maps", "task")
_DOWNLOADED = _settings(*_ANY)
_CHECKED = _settings(*_ANY, *_IMAGES, *_SHARES)
_PREVIEWED = _settings(*_ANY, *_IMAGES, "direction", "upscale_factor", "jitter", "flip", "rotate", "fit")
_PACKED = _settings(*_FILES, *_SHARES)


@dataclasses.dataclass(frozen=True)
class DataListOptions:
    """Lists the named data sets."""

    data_dir: Path | None = None
    """Directory of the named data sets; by default that of tensorflow-datasets."""
    json: bool = False
    """Print a JSON list; without a download, 'folder' is null."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Options of commands that read images. Options that training also has mean the same."""

    kind: configs.DataKind | None = None
    """Kind of data set; detected by default."""
    dataset: Positional[str]
    """'procedural', a name such as 'facades', or the path of a folder."""
    data: _Data

    def config(self) -> TrainConfig:
        """Returns the data set's preset with these settings."""
        return configs.replace(preset(self.dataset), **vars(self.data))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataDownloadOptions(DataOptions):
    """Downloads and extracts a named data set."""

    data: _Data = _DOWNLOADED


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataCheckOptions(DataOptions):
    """Reports problems of a data set; exit code 2 if it can't be used."""

    data: _Data = _CHECKED
    json: Annotated[bool, COMMON] = False
    """Print a JSON object that names every file."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataPreviewOptions(DataOptions):
    """Writes a grid of pairs as training sees them: resized and jittered."""

    data: _Data = _PREVIEWED
    out: Annotated[Path, COMMON] = Path("preview.png")
    """Output file."""
    count: Annotated[int, Limits(1, 64), COMMON] = 6
    """Number of pairs."""
    seed: Annotated[int, Limits(0, 2**31 - 1)] = 0
    """Seed of image order, jitter and flips, as in training."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataPackOptions:
    """Packs a folder's images into a few large files, which open fast."""

    folder: Positional[str]
    """Folder of images."""
    kind: configs.DataKind | None = None
    """Kind of data set; detected by default."""
    data: _Data = _PACKED
    out: Path
    """Folder of the pack, for --dataset."""
    seed: Annotated[int, Limits(0, 2**31 - 1)] = 0
    """Seed of the split, if the folder has no val/ and test/."""


def run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in HELP_FLAGS:
        print(f"usage: pix2pix data COMMAND [options]\n\n{overview(OPTIONS)}")
        print("\n'pix2pix data COMMAND --help' shows the options of a command.")
        return 0 if arguments else 2
    name, *flags = arguments
    if name not in OPTIONS:
        meant = did_you_mean(name, OPTIONS)
        raise UserError(f"unknown command 'data {name}'{meant}; use one of {', '.join(OPTIONS)}")
    kind, action = _ACTIONS[name]
    options = parse(kind, f"data {name}", flags)
    if isinstance(options, DataOptions):  # again, with the defaults of the data set's preset
        data = type(options.data)(**vars(preset(options.dataset).data))
        options = parse(kind, f"data {name}", flags, dataclasses.replace(options, data=data))
    action(options)
    return 0


def _list(options: DataListOptions) -> None:
    from pix2pix_tf.data.named import PUBLIC_SERVER, named_folder, stored_counts

    listed: list[dict[str, Any]] = []
    lines = [f"{'procedural':<22} generated, no download"]
    for name, facts in NAMED.items():
        stored = stored_counts(name, options.data_dir)
        counts = stored or dict(facts.counts)
        folder = str(named_folder(name, options.data_dir)) if stored else None
        row = {"name": short_name(name), "kind": facts.kind, "description": facts.description}
        listed.append({**row, "counts": counts, "folder": folder, "license": facts.license or None})
        where = f"in {folder}" if stored else "not downloaded"
        if facts.archive_bytes and not stored:
            source = facts.source or f"{PUBLIC_SERVER}/{name}.tar.gz"
            where += f": {source}, {facts.archive_bytes / 1e6:,.0f} MB"
        numbers = ", ".join(f"{count} {split}" for split, count in counts.items())
        lines.append(f"{short_name(name):<22} {facts.kind}: {facts.description}")
        lines.append(f"{'':<22} {'; '.join(filter(None, (numbers, where)))}")
        lines += [f"{'':<22} license: {facts.license}"] if facts.license else []
    print(json.dumps(listed, indent=2) if options.json else "\n".join(lines))


def _download(options: DataDownloadOptions) -> None:
    if looks_like_path(options.dataset):
        raise DataError(f"'{options.dataset}' is not a named data set; 'pix2pix data list' lists these")
    start_frameworks()
    from pix2pix_tf.data.checking.report import description

    config = options.config()
    print(description(_opened(config, options), config.data.direction))


def _check(options: DataCheckOptions) -> None:
    start_frameworks()
    from pix2pix_tf.data.checking.report import check_dataset

    config, usual = options.config(), preset(options.dataset)
    report = check_dataset(config, usual, options.kind)
    print(report.to_json() if options.json else report.text())
    if not report.is_good:
        raise DataError(f"{options.dataset} can't be trained on; fix the errors above")
    if "train" in report.counts and not options.json:
        print(f"To train: {_training_command(config, usual, report)}")


def _training_command(config: TrainConfig, usual: TrainConfig, report: Report) -> str:
    """Returns the command that trains on a data set, with the given settings and those of the findings."""
    given, before = configs.settings_of(config), configs.settings_of(usual)
    settings = {name: value for name, value in given.items() if value != before[name]}
    for finding in report.findings if report.kind == "pairs" else ():
        settings |= finding.settings
    if report.kind == "unpaired":
        settings["model"] = "cyclegan"
    elif report.kind == "images" and config.data.task == "pairs":
        settings["task"] = "colorize"
    words = ["pix2pix train --dataset", quoted(config.data.dataset)]
    for name, value in settings.items():
        values = value if isinstance(value, tuple) else () if value is True else (value,)
        if name == "image_size":
            values = tuple(dict.fromkeys(values))  # one number for a square
        words += [flag(name), *(quoted(shown(each)) for each in values)]
    return " ".join(words)


def _preview(options: DataPreviewOptions) -> None:
    out = options.out if options.out.suffix else options.out.with_suffix(".png")
    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out {quoted(out)}: the grid is a PNG; the name must end in .png")
    start_frameworks()
    from pix2pix_tf.data.dataset import ITEMS
    from pix2pix_tf.data.preview import write_preview

    config = configs.replace(options.config(), seed=options.seed)
    dataset = _opened(config, options)
    write_preview(dataset, config, options.count, out)
    print(f"{out}: {counted(options.count, ITEMS[dataset.kind])} as used in training")


def _opened(config: TrainConfig, options: DataOptions) -> ImageDataset:
    from pix2pix_tf.data.sources import chosen_kind, open_any

    return open_any(config, preset(options.dataset), chosen_kind(config, options.kind, "pairs"))


def _pack(options: DataPackOptions) -> None:
    start_frameworks()
    from pix2pix_tf.data.packed import pack_folder
    from pix2pix_tf.data.sources import existing_folder, usual_kind

    is_stored = address_of(options.folder) is not None
    folder = existing_folder(options.folder if is_stored else str(Path(options.folder).absolute()))
    kind = options.kind or usual_kind(str(folder))
    config = configs.replace(preset(), **{**vars(options.data), "split_seed": options.seed})
    dataset = pack_folder(folder, options.out, config, kind)
    print(dataset.description())
    print(f"To train: pix2pix train --dataset {quoted(options.out)}")


_ACTIONS: dict[str, tuple[type[Any], Callable[[Any], None]]] = {
    "list": (DataListOptions, _list),
    "download": (DataDownloadOptions, _download),
    "check": (DataCheckOptions, _check),
    "preview": (DataPreviewOptions, _preview),
    "pack": (DataPackOptions, _pack),
}
OPTIONS = {name: kind for name, (kind, _) in _ACTIONS.items()}
