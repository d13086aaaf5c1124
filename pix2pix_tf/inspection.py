"""``pix2pix data``: which data sets there are, what is wrong with one, how training sees it."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf import config as configs
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.catalog import catalog_entries
from pix2pix_tf.data.doctor import Finding, Report, check_folder
from pix2pix_tf.data.doctor.findings import Case
from pix2pix_tf.data.names import CYCLE_GAN, PROCEDURAL, full_name
from pix2pix_tf.data.packed import is_pack
from pix2pix_tf.data.pipeline import training_batches
from pix2pix_tf.data.pixels import encode_png, to_uint8
from pix2pix_tf.data.preparing import data_root
from pix2pix_tf.data.published import published_counts
from pix2pix_tf.data.sets import ITEMS, ImageDataset, Images, Kind
from pix2pix_tf.data.sources import existing_folder, open_dataset, usual_kind
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.files import first_line, printable, write_whole
from pix2pix_tf.models.registry import preset
from pix2pix_tf.sheets import compose_sheet
from pix2pix_tf.storage import local_folder
from pix2pix_tf.wording import counted

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
    """Opens a data set, preparing it where that is needed, and says in a line what it holds."""
    return _description(_opened(config, kind), config)


def _description(dataset: ImageDataset, config: TrainConfig) -> str:
    kinds = []
    for what, side in zip(_SIDE_NAMES[dataset.kind], dataset.sides, strict=True):
        kinds.append(f"{what} {_colours(side.channels)}{' label maps' if side.labels else ''}")
    direction = f"{config.data.direction}: " if dataset.kind == "pairs" else ""
    return f"{dataset.description()}; {direction}{', '.join(kinds)}"


def _opened(config: TrainConfig, kind: Kind | None) -> ImageDataset:
    """Opens a data set, and refuses settings that have no effect on it."""
    dataset = open_dataset(config, kind or usual_kind(config.data.dataset), to_train=False)
    configs.refuse_unread(config, preset(config.data.dataset), dataset.used)
    return dataset


def check_dataset(config: TrainConfig, kind: Kind | None = None, as_json: bool = False) -> tuple[str, bool]:
    """Says what kind a data set is, and what is wrong with it."""
    kind = _with_task(config, kind, "images")
    name = config.data.dataset
    if not configs.looks_like_path(name) or is_pack(local_folder(name)):
        if config.data.size != preset(name).data.size:
            raise ConfigError(f"--image-size has no effect with --dataset {name}, which has its own sizes")
        dataset = _opened(config, kind)
        findings = [] if name == PROCEDURAL else list(_damaged(dataset, Path(name)))
        if not as_json:
            said = [line for finding in findings for line in _said(finding, Path(name))] or [_NOTHING]
            return "\n".join([_description(dataset, config), *said]), not findings
        counts = {split: tuple(map(len, sets)) for split, sets in dataset.splits.items()}
        return _json(dataset.kind, full_name(name), counts, findings), not findings
    folder = existing_folder(name)
    usual = preset(name)
    configs.refuse_unread(config, usual)
    kind = kind or usual_kind(name)
    report = check_folder(folder, config.data, config.split_seed, data_root(config.data.data_dir), kind)
    if report.is_good:
        configs.refuse_unread(config, usual, configs.READ_IF.keys() - report.unread)
    if as_json:
        return _json(report.kind, report.layout, report.counts, report.findings), report.is_good
    return "\n".join(_lines(folder, report)), report.is_good


_NOTHING = "nothing is wrong"
_MOST_NAMED = 3
_INDENT = " " * 12


def _damaged(dataset: ImageDataset, place: Path) -> Iterator[Finding]:
    """Reads every image of a packed or prepared data set; yields what can't be read."""

    def fault(images: Images, number: int) -> str:
        try:
            images.read(tf.constant(number, tf.int64))
        except tf.errors.OpError as error:
            return first_line(error)
        return ""

    cases = []
    for split, sets in dataset.splits.items():
        for images in sets:
            with ThreadPoolExecutor() as executor:
                faults = executor.map(functools.partial(fault, images), range(len(images)))
                bar = tqdm(faults, f"reading {split}", len(images), delay=2, leave=False, disable=None)
                cases += [Case((place / f"{split} {at}",), why) for at, why in enumerate(bar) if why]
    if cases:
        message = f"{counted(len(cases), 'record')} can't be read"
        yield Finding("error", "unreadable", tuple(cases), message, "pack or prepare the data set again")


def _json(kind: Kind, layout: str, counts: Mapping[str, tuple[int, ...]], findings: Sequence[Finding]) -> str:
    shown = [
        {
            "severity": finding.severity,
            "code": finding.code,
            "files": finding.files,
            "message": finding.message,
            "fix": finding.fix,
        }
        for finding in findings
    ]
    report = {"kind": kind, "layout": layout, "counts": counts, "findings": shown}
    return json.dumps(report, indent=2, ensure_ascii=False)


def _lines(folder: Path, report: Report) -> Iterator[str]:
    counts = ", ".join(f"{' + '.join(map(str, of_sets))} {name}" for name, of_sets in report.counts.items())
    channels = " and ".join(map(_colours, report.channels))
    bits = " and ".join(map(str, report.bits))
    yield (
        f"{printable(str(folder))}: "
        + (f"{_IN_WORDS[report.kind]} in {report.layout}" if report.layout else "no known layout")
        + (", for --model cyclegan" if report.kind == "unpaired" else "")
    )
    yield f"  {_IN_WORDS[report.kind]:<9} {counts or 'none'}"
    yield from (
        f"  sizes     {_sizes(sizes)}" for sizes in report.sizes[: 1 if report.kind == "pairs" else 2]
    )
    if channels:
        yield f"  channels  {channels}, {bits} bits"
    for name, numbers in zip(
        ("A: ", "B: ") if len(report.numbers) == 2 else ("",), report.numbers, strict=False
    ):
        (low, high), (first, last) = numbers.values, numbers.middle
        missing = f", {numbers.missing:.2%} of the pixels missing" if numbers.missing else ""
        yield f"  values    {name}{low:.6g} to {high:.6g}, 98 % from {first:.6g} to {last:.6g}{missing}"
    for finding in report.findings:
        yield from _said(finding, folder)
    severities = Counter(finding.severity for finding in report.findings)
    yield ", ".join(counted(count, severity) for severity, count in severities.items()) or _NOTHING


def _said(finding: Finding, folder: Path) -> Iterator[str]:
    yield f"  {finding.severity:<9} {finding.message}"
    if finding.cases and (named := _named(finding, folder)) != os.curdir:
        yield _INDENT + named
    yield f"{_INDENT}{finding.fix}"


def _colours(channels: int) -> str:
    return {1: "grey", 3: "RGB"}.get(channels, f"{channels} bands")


def _named(finding: Finding, folder: Path) -> str:
    """Names a few of the files of a finding, as they are called in the folder."""
    cases = finding.cases
    shown = []
    for files, remark in cases[:_MOST_NAMED]:
        names = [os.path.relpath(file, folder) for file in files[:_MOST_NAMED]]
        more = f" = {len(files) - len(names)} more" if len(files) > len(names) else ""
        shown.append(" = ".join(names) + more + (f" ({remark})" if remark else ""))
    more = f" and {len(cases) - len(shown)} more" if len(cases) > len(shown) else ""
    return printable(", ".join(shown) + more)


def _sizes(sizes: Mapping[tuple[int, int], int]) -> str:
    shown = ", ".join(f"{width}x{height} ({count})" for (width, height), count in list(sizes.items())[:5])
    return shown + (f" and {len(sizes) - 5} more" if len(sizes) > 5 else "")


def preview_dataset(config: TrainConfig, count: int, out: Path, kind: Kind | None = None) -> Kind:
    """Writes a sheet of the first images of training, jittered and mirrored as they will be."""
    kind = _with_task(config, kind, "pairs")
    dataset = _opened(config, kind)
    if "train" not in dataset.splits:
        dataset = dataclasses.replace(dataset, splits={"train": dataset.splits[dataset.held_out]})
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


def _with_task(config: TrainConfig, kind: Kind | None, taken: Kind) -> Kind | None:
    """Returns how a data set is taken: as asked, where no task makes pairs of its images."""
    if config.data.task == "pairs":
        return kind
    if kind not in (None, "images"):
        raise ConfigError(f"--kind {kind} has no meaning with --task {config.data.task}, which makes pairs")
    return taken


def _as_shown(dataset: ImageDataset, batch: Sequence[tf.Tensor]) -> list[np.ndarray]:
    """Returns a batch's first row to look at; of what a task's network is to give, the finished picture."""
    if dataset.task is None:
        return [to_uint8(image[0]).numpy() for image in batch[: len(dataset.sides)]]
    given, target, *_ = batch
    picture = dataset.task.finished(given, target)
    return [dataset.task.shown(to_uint8(given[0]).numpy()), to_uint8(picture[0]).numpy()]
