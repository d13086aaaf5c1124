"""``pix2pix data``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional

from pix2pix_tf import config as configs
from pix2pix_tf.commands.parsing import ShareArgs, Shares, parse, start_frameworks
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.names import CATALOG, CYCLE_GAN, full_name, looks_like_path
from pix2pix_tf.errors import ConfigError, DataError, UserError
from pix2pix_tf.models.registry import preset
from pix2pix_tf.storage import address_of
from pix2pix_tf.validation import limited
from pix2pix_tf.wording import counted, did_you_mean, quoted


@dataclasses.dataclass(frozen=True)
class DataListArgs:
    """Lists the data sets that have a name."""

    data_dir: Path | None = None
    """Where data sets are kept; by default where tensorflow-datasets keeps them."""


@dataclasses.dataclass(frozen=True)
class DataArgs:
    """What is common to the commands below."""

    dataset: Positional[str]
    """'procedural', a name such as 'facades', or the path of your folder."""
    data_dir: Path | None = None
    """Where data sets are kept; by default where tensorflow-datasets keeps them."""
    archive: Path | None = None
    """A copy of the data set's .tar.gz on this machine, used instead of a download."""
    mirror_url: str | None = None
    """Where to download from instead of the public server: MIRROR/NAME.tar.gz."""
    kind: Literal["pairs", "unpaired", "images"] | None = None
    """How to take it; by default as it is by itself."""
    layout: configs.Layout = "auto"
    """How a folder holds pairs: 'side-by-side' in one image, or in two 'folders'; 'auto' finds out."""
    skip_bad_images: bool = False
    """Leave out images that can't be read, and count them, instead of stopping."""
    ignore: float | None = None
    """Number of the pixels that have no value (nodata, void classes), in measurements and gray images."""


@dataclasses.dataclass(frozen=True)
class DataDownloadArgs(DataArgs):
    """Downloads and extracts one of the data sets that have a name."""


@dataclasses.dataclass(frozen=True)
class DataCheckArgs(DataArgs):
    """Tells what is wrong with a data set or with your folder; exits 2 if it can't be used."""

    shares: Shares = dataclasses.field(default_factory=ShareArgs)

    image_size: tuple[int, ...] | None = None
    """Height and width that it is to be trained at; by default the data set's own."""
    label_maps: Literal["auto", "none", "A", "B", "both"] = "auto"
    """Sides that are label maps; 'auto' asks the data set, and looks at the images."""
    task: configs.TaskName = "pairs"
    """What is to make pairs of plain photos, as in training; 'pairs' looks for those that are there."""
    json: bool = False
    """Write one JSON object, which names every file."""


@dataclasses.dataclass(frozen=True)
class DataPreviewArgs(DataArgs):
    """Writes a grid of pairs as training sees them: resized, jittered, cropped and mirrored."""

    out: Path = Path("preview.png")
    """Where the grid goes."""
    direction: Literal["AtoB", "BtoA"] | None = None
    """Which side is the input; by default the data set's own."""
    label_maps: Literal["auto", "none", "A", "B", "both"] = "auto"
    """Sides that are label maps; 'auto' asks the data set."""
    task: configs.TaskName = "pairs"
    """What makes pairs of plain photos, as in training; 'pairs' shows those that are there."""
    upscale_factor: Literal[2, 4] = 4
    """How many times larger 'upscale' makes photos."""
    jitter: bool = True
    """Resize to 286/256 and crop, where the data set is trained so."""
    flip: bool = True
    """Mirror at random, where the data set is trained so."""
    image_size: tuple[int, ...] | None = None
    """Height and width, each from 64 to 2048; by default the data set's own."""
    fit: configs.Fit = "resize"
    """How images of another shape get that size: stretched, cropped, or surrounded by their reflection."""
    count: Annotated[int, *limited(1, 64)] = 6
    """How many pairs."""
    seed: Annotated[int, *limited(0, 2**31 - 1)] = 0
    """Decides the order, the jitter and the mirroring, as in training."""


@dataclasses.dataclass(frozen=True)
class DataPackArgs:
    """Writes a folder's images into a few large files, which open in moments and are read at random."""

    folder: Positional[str]
    """Your folder of images."""
    out: Path
    """The folder of the pack; give it as --dataset."""
    kind: Literal["pairs", "unpaired", "images"] | None = None
    """How to take it; by default as it is by itself."""
    seed: Annotated[int, *limited(0, 2**31 - 1)] = 0
    """Decides which images are held out, where the folder doesn't say."""
    layout: configs.Layout = "auto"
    """How the folder holds pairs: 'side-by-side' in one image, or in two 'folders'; 'auto' finds out."""
    shares: Shares = dataclasses.field(default_factory=ShareArgs)
    data_dir: Path | None = None
    """Where it is remembered which images were checked."""
    skip_bad_images: bool = False
    """Leave out images that can't be read, and count them, instead of stopping."""
    ignore: float | None = None
    """Number of the pixels that have no value (nodata, void classes), in measurements and gray images."""


_DATA_USAGE = """usage: pix2pix data list | download NAME | check DATASET | preview DATASET | pack FOLDER

  list       the data sets that have a name, and which of them are on this machine
  download   fetch and prepare one of them
  check      tell what is wrong with a data set or with your folder
  preview    write a grid of pairs as training sees them
  pack       write a folder's images into a few large files, for sets of many thousands

'pix2pix data list --help' (or any other) shows the options."""


def run(arguments: list[str]) -> int:
    actions: dict[str, Callable[[list[str]], int]] = {
        "list": _data_list,
        "download": _data_download,
        "check": _data_check,
        "preview": _data_preview,
        "pack": _data_pack,
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_DATA_USAGE)
        return 0 if arguments else 2
    if arguments[0] not in actions:
        meant = did_you_mean(arguments[0], actions)
        raise UserError(f"there is no 'pix2pix data {arguments[0]}'{meant}; there are {', '.join(actions)}")
    return actions[arguments[0]](arguments[1:])


def _data_list(arguments: list[str]) -> int:
    args = parse(DataListArgs, "data list", arguments)
    from pix2pix_tf.data.named import PUBLIC_SERVER, named_folder, stored_counts

    def show(name: str, description: str, counts: Mapping[str, int], *more: str, uncounted: str) -> None:
        in_words = ", ".join(f"{count} {split}" for split, count in counts.items()) or uncounted
        print(f"{name:<22} {description} ({in_words})")
        for line in more:
            print(f"{'':<22} {line}")

    print(f"{'procedural':<22} drawn by the program, no download")
    for name, facts in CATALOG.items():
        size = facts.archive_bytes
        in_words = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
        counts = stored_counts(name, args.data_dir)
        where = f"not here yet: {PUBLIC_SERVER}/{name}.tar.gz, {in_words}"
        if counts:
            where = f"in {named_folder(name, args.data_dir)}"
        license_line = [f"license: {facts.license}"] if facts.license else []
        show(
            name, facts.description, counts or facts.counts, where, *license_line, uncounted="not counted yet"
        )
    for name, description in CYCLE_GAN.items():
        # The bare name of some is that of a data set of pairs.
        shown = name if full_name(name) != name else f"cycle_gan/{name}"
        counts = stored_counts(f"cycle_gan/{name}", args.data_dir)
        show(shown, f"unpaired: {description}", counts, uncounted="not here yet")
    return 0


def _data_download(arguments: list[str]) -> int:
    args = parse(DataDownloadArgs, "data download", arguments)
    if looks_like_path(args.dataset):
        raise DataError(f"'{args.dataset}' has no download; 'pix2pix data list' shows what has")
    start_frameworks()
    from pix2pix_tf.data.checking.report import description
    from pix2pix_tf.data.sources import chosen_kind, open_any

    config = _dataset_config(args)
    dataset = open_any(config, preset(args.dataset), chosen_kind(config, args.kind, "pairs"))
    print(description(dataset, config.data.direction))
    return 0


def _data_check(arguments: list[str]) -> int:
    args = parse(DataCheckArgs, "data check", arguments)
    start_frameworks()
    from pix2pix_tf.data.checking.report import check_dataset

    settings: dict[str, Any] = {"label_maps": args.label_maps, "task": args.task, **args.shares.given()}
    if args.image_size is not None:
        settings["image_size"] = args.image_size
    config = configs.replace(_dataset_config(args), **settings)
    report = check_dataset(config, preset(args.dataset), args.kind)
    print(report.to_json() if args.json else report.text())
    if not report.is_good:
        raise DataError(f"{args.dataset} can't be trained on as it is; the report above says why")
    return 0


def _data_preview(arguments: list[str]) -> int:
    args = parse(DataPreviewArgs, "data preview", arguments)
    out = args.out if args.out.suffix else args.out.with_suffix(".png")
    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out {quoted(out)}: the grid is a PNG; give a name that ends in .png")
    brought = preset(args.dataset).data
    given = {name: getattr(args, name) for name in ("direction", "image_size")}
    settings = {name: value for name, value in given.items() if value is not None}
    settings.update(jitter=args.jitter and brought.jitter, flip=args.flip and brought.flip)
    settings.update(seed=args.seed, label_maps=args.label_maps, fit=args.fit)
    settings.update(task=args.task, upscale_factor=args.upscale_factor)
    start_frameworks()
    from pix2pix_tf.data.dataset import ITEMS
    from pix2pix_tf.data.preview import write_preview
    from pix2pix_tf.data.sources import chosen_kind, open_any

    config = configs.replace(_dataset_config(args), **settings)
    dataset = open_any(config, preset(args.dataset), chosen_kind(config, args.kind, "pairs"))
    write_preview(dataset, config, args.count, out)
    print(f"{out}: {counted(args.count, ITEMS[dataset.kind])} as training sees them")
    return 0


def _dataset_config(args: DataArgs) -> TrainConfig:
    return configs.replace(
        preset(args.dataset),
        data_dir=args.data_dir,
        archive=args.archive,
        mirror_url=args.mirror_url,
        layout=args.layout,
        skip_bad_images=args.skip_bad_images,
        ignore=args.ignore,
    )


def _data_pack(arguments: list[str]) -> int:
    args = parse(DataPackArgs, "data pack", arguments)
    start_frameworks()
    from pix2pix_tf.data.folder import FolderOptions
    from pix2pix_tf.data.named import data_root
    from pix2pix_tf.data.packed import pack_folder
    from pix2pix_tf.data.sources import existing_folder, usual_kind

    folder = existing_folder(args.folder if address_of(args.folder) else str(Path(args.folder).absolute()))
    kind = args.kind or usual_kind(str(folder))
    settings = {"layout": args.layout, "skip_bad_images": args.skip_bad_images, "ignore": args.ignore}
    data = configs.replace(preset(), **settings, **args.shares.given()).data
    options = FolderOptions.of(data, kind, seed=args.seed, cache_dir=data_root(args.data_dir))
    dataset = pack_folder(folder, args.out, options)
    print(f"{dataset.description()}; pix2pix train --dataset {quoted(args.out)} learns from it")
    return 0
