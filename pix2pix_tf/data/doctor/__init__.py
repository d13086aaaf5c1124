"""What is wrong with a user's folder of images, what it means, and what to do about it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pix2pix_tf.config import DataConfig
from pix2pix_tf.data.checking.appearance import joined
from pix2pix_tf.data.doctor.chart import Chart, Picture
from pix2pix_tf.data.doctor.examinations import EXAMINATIONS
from pix2pix_tf.data.doctor.findings import Finding
from pix2pix_tf.data.folder import Item, Survey, sides_of, survey_folder
from pix2pix_tf.data.rasters import Numbers, merged
from pix2pix_tf.data.sets import Kind

__all__ = ["EXAMINATIONS", "Finding", "Report", "check_folder"]


@dataclasses.dataclass(frozen=True)
class Report:
    """What `check_folder` found.

    Args:
        kind: what the folder has of what was asked for: pairs, if its images hold two side by side.
        layout: in words.
        counts: the usable images or pairs of each split; A's and B's where these are apart.
        sizes: of each side's pictures, how many have each size (width, height), most frequent first.
        channels: of each side, 1 (grey), 3 (RGB) or as many bands.
        bits: 8 or 16, of each side.
        numbers: of each side, those of halves as one.
        findings: the gravest first.
        unread: settings that have no effect on the folder.
    """

    kind: Kind
    layout: str
    counts: Mapping[str, tuple[int, ...]]
    sizes: Sequence[Mapping[tuple[int, int], int]]
    channels: tuple[int, ...]
    bits: tuple[int, ...]
    numbers: Sequence[Numbers]
    findings: Sequence[Finding]
    unread: frozenset[str]

    @property
    def is_good(self) -> bool:
        """Whether the folder can be trained on."""
        return all(finding.severity != "error" for finding in self.findings)


def check_folder(
    folder: Path, data: DataConfig, seed: int, cache_dir: Path | None, kind: Kind = "pairs"
) -> Report:
    """Finds everything that is wrong with a folder."""
    survey = survey_folder(
        folder,
        seed,
        cache_dir,
        kind,
        with_looks=True,
        layout=data.layout,
        shares=(data.val_share, data.test_share),
        ignored=data.ignored,
    )
    used = survey.used()
    if any(item.is_halved for items in used for item in items):
        kind = "pairs"
    sides = tuple(side for number in range(len(used)) for side in _pictures(survey, number))
    chart = Chart(folder, kind, survey, data, sides)
    # Errors are known from opening the folder; the rest is about pictures.
    examinations = [each for each in EXAMINATIONS if sides or each.severity == "error"]
    facts = [side for items in used for side in sides_of(items, survey.checked)]
    return Report(
        kind=kind,
        layout=survey.layout,
        counts={name: tuple(map(len, sets)) for name, sets in survey.splits.items()},
        sizes=[
            dict(Counter((picture.width, picture.height) for picture in side).most_common()) for side in sides
        ],
        channels=tuple(side.channels for side in facts),
        bits=tuple(side.bits for side in facts),
        numbers=[merged([picture.numbers for picture in side]) for _, side in chart.distinct_sides()]
        if sides
        else [],
        findings=[finding for each in examinations for finding in each.findings(chart)],
        unread=frozenset(() if survey.is_split_here else ("val_share", "test_share"))
        | frozenset(() if data.ignore in {side.ignore for side in facts} else ("ignore",)),
    )


def _pictures(survey: Survey, number: int) -> list[tuple[Picture, ...]]:
    """The pictures of a set, for each side that it has."""

    def of_item(item: Item, split: str) -> list[Picture]:
        found = []
        for file in item.files:
            image = survey.checked[file]
            assert image.looks is not None  # of what can be used
            assert image.numbers is not None
            for look in image.looks if item.is_halved else (joined(*image.looks),):
                width = image.width // (2 if item.is_halved else 1)
                numbers = image.numbers
                if item.is_halved and image.values is None:  # halves may differ, the numbers are of both
                    numbers = numbers._replace(middle=(float(min(look.low)), float(max(look.high))))
                found.append(Picture(file, split, width, image.height, look, image, numbers))
        return found

    items = [of_item(item, split) for split, sets in survey.splits.items() for item in sets[number]]
    return list(zip(*items, strict=True))
