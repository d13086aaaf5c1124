"""The report of `pix2pix data check`."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf.config import DataKind, Direction, TrainConfig
from pix2pix_tf.data.checking.checks import CHECKS
from pix2pix_tf.data.checking.findings import Case, Finding, found
from pix2pix_tf.data.checking.sides import CheckedFolder, checked_folder
from pix2pix_tf.data.dataset import ITEMS, SIDE_NAMES, ImageDataset, Images
from pix2pix_tf.data.folder import survey_folder
from pix2pix_tf.data.names import PROCEDURAL, full_name, looks_like_path
from pix2pix_tf.data.packed import is_pack
from pix2pix_tf.data.sources import chosen_kind, existing_folder, open_any
from pix2pix_tf.effects import READ_IF, refuse_unread
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.files import first_line, printable
from pix2pix_tf.storage import local_folder
from pix2pix_tf.wording import counted

_SEVERITIES = ("error", "warning", "note")
_MOST_SIZES = 5
_INDENT = " " * 12


@dataclasses.dataclass(frozen=True)
class Report:
    """Summary and problems of a data set."""

    place: Path
    kind: DataKind  # pairs if a folder has side-by-side images, even if a different kind was requested
    layout: str
    counts: Mapping[str, tuple[int, ...]]  # usable images or pairs per split; A and B apart if unpaired
    summary: Sequence[str]  # lines
    findings: Sequence[Finding]  # most severe first
    unread: frozenset[str] = frozenset()  # settings without effect

    @property
    def is_good(self) -> bool:
        """Whether the data set can be trained on."""
        return all(finding.severity != "error" for finding in self.findings)

    def text(self) -> str:
        """Formats the report as text that names a few files per finding."""
        lines = list(self.summary)
        for finding in self.findings:
            lines.append(f"  {finding.severity:<9} {finding.message}")
            lines += [f"{_INDENT}{line}" for line in (finding.where(self.place), finding.fix) if line]
        severities = Counter(finding.severity for finding in self.findings)
        lines.append(", ".join(counted(*each[::-1]) for each in severities.items()) or "nothing is wrong")
        return printable("\n".join(lines))

    def to_json(self) -> str:
        """Formats the report as a JSON object that names every file."""
        findings = [
            {"severity": each.severity, "code": each.code, "files": each.files}
            | {"message": printable(each.message), "fix": printable(each.fix)}
            for each in self.findings
        ]
        report = {"kind": self.kind, "layout": self.layout, "counts": self.counts, "findings": findings}
        return json.dumps(report, indent=2)  # ASCII, for any encoding of stdout


def check_dataset(config: TrainConfig, usual: TrainConfig, kind: DataKind | None = None) -> Report:
    """Checks the data set of a configuration; ``usual`` has the data set's default settings."""
    name, data = config.data.dataset, config.data
    kind = chosen_kind(config, kind, "images")
    if not looks_like_path(name) or is_pack(local_folder(name)):
        if data.size != usual.data.size:
            raise ConfigError(
                f"--image-size has no effect on --dataset {name}, whose sizes are fixed; omit it"
            )
        return _check_records(open_any(config, usual, kind), config)
    refuse_unread(config, usual)
    report = check_folder(existing_folder(name), config, kind)
    if report.is_good:
        refuse_unread(config, usual, READ_IF.keys() - report.unread)
    return report


def check_folder(folder: Path, config: TrainConfig, kind: DataKind) -> Report:
    """Runs all checks on a folder of images."""
    data = config.data
    survey = survey_folder(folder, config, kind, with_appearance=True)
    if survey.is_halved:
        kind = "pairs"
    checked = checked_folder(folder, kind, survey, data)
    findings = list(survey.findings)
    for check in CHECKS if checked.sides else ():
        findings += check(checked)
    return Report(
        place=folder,
        kind=kind,
        layout=survey.layout,
        counts={split: tuple(map(len, sets)) for split, sets in survey.splits.items()},
        summary=list(_summary(checked)),
        findings=sorted(findings, key=lambda finding: _SEVERITIES.index(finding.severity)),
        unread=frozenset(() if survey.is_split_here else ("val_share", "test_share"))
        | frozenset(() if data.ignore in {side.form.ignore for side in checked.sides} else ("ignore",)),
    )


def _summary(checked: CheckedFolder) -> Iterator[str]:
    survey, items = checked.survey, f"{ITEMS[checked.kind]}s"
    layout = f"{items} in {survey.layout}" if survey.layout else "no known layout"
    yield f"{checked.folder}: {layout}{', for --model cyclegan' if checked.kind == 'unpaired' else ''}"
    counts = (
        f"{' + '.join(str(len(items)) for items in sets)} {split}" for split, sets in survey.splits.items()
    )
    yield f"  {items:<9} {', '.join(counts) or 'none'}"
    for side in checked.sides[: 1 if checked.kind == "pairs" else 2]:
        sizes = Counter((image.width, image.height) for image in side.images).most_common()
        shown = ", ".join(f"{width}x{height} ({count})" for (width, height), count in sizes[:_MOST_SIZES])
        more = f" and {len(sizes) - _MOST_SIZES} more" if len(sizes) > _MOST_SIZES else ""
        yield f"  sizes     {shown}{more}"
    if forms := [side.form for side in checked.sides]:
        channels = " and ".join(_channels(form.channels) for form in forms)
        yield f"  channels  {channels}, {' and '.join(str(form.bits) for form in forms)} bits"
    for side in checked.distinct_sides:
        (low, high), (first, last) = side.numbers.values, side.numbers.middle
        missing = f", {side.numbers.missing:.2%} of the pixels missing" if side.numbers.missing else ""
        name = f"{side.letter}: " if side.letter else ""
        yield f"  values    {name}{low:.6g} to {high:.6g}, 98 % from {first:.6g} to {last:.6g}{missing}"


def description(dataset: ImageDataset, direction: Direction) -> str:
    """Describes an opened data set in one line."""
    sides = [
        f"{name} {_channels(side.channels)}{' label maps' if side.labels else ''}"
        for name, side in zip(SIDE_NAMES[dataset.kind], dataset.sides, strict=True)
    ]
    prefix = f"{direction}: " if dataset.kind == "pairs" else ""
    return f"{dataset.description()}; {prefix}{', '.join(sides)}"


def _channels(count: int) -> str:
    return {1: "gray", 3: "RGB"}.get(count, f"{count} bands")


def _check_records(dataset: ImageDataset, config: TrainConfig) -> Report:
    """Reads every image of a packed or prepared data set and reports unreadable ones."""

    def fault(images: Images, number: int) -> str:
        try:
            images.read(tf.constant(number, tf.int64))
        except tf.errors.OpError as error:
            return first_line(error)
        return ""

    name, cases = config.data.dataset, []
    for split, sets in dataset.splits.items() if name != PROCEDURAL else ():
        for images in sets:
            with ThreadPoolExecutor() as executor:
                faults = executor.map(functools.partial(fault, images), range(len(images)))
                bar = tqdm(faults, f"reading {split}", len(images), delay=2, leave=False, disable=None)
                cases += [Case((Path(name, f"{split} {at}"),), why) for at, why in enumerate(bar) if why]
    again = "pack or prepare the data set again"
    return Report(
        place=Path(name),
        kind=dataset.kind,
        layout=full_name(name),
        counts={split: tuple(map(len, sets)) for split, sets in dataset.splits.items()},
        summary=[description(dataset, config.data.direction)],
        findings=list(found("error", "unreadable", "record", "that can't be read", again, cases)),
    )
