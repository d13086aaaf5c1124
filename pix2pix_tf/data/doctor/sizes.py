"""Sizes that don't fit, and counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from pix2pix_tf.config import IMAGE_SIDE
from pix2pix_tf.data import images
from pix2pix_tf.data.doctor.chart import Chart, item_of
from pix2pix_tf.data.doctor.findings import Case, Found
from pix2pix_tf.data.folder import walk
from pix2pix_tf.wording import counted

_FEW = 50  # the paper's smallest set has 400
_MOST_ENLARGED = 2.0
_MOST_DISTORTED = 2.0


def enlarged(chart: Chart) -> Iterator[Found]:
    """Yields pictures that training would enlarge."""
    height, width = chart.data.size
    small = {
        picture.file: picture
        for side in chart.sides
        for picture in side
        if max(height / picture.height, width / picture.width) >= _MOST_ENLARGED
    }
    if small:
        usual = Counter((each.height, each.width) for each in small.values()).most_common(1)[0][0]
        cases = [Case((file,), f"{each.width}x{each.height}") for file, each in small.items()]
        yield Found(cases, {"size": f"{width}x{height}", "other": _other_size(chart, small, *usual)})


def distorted(chart: Chart) -> Iterator[Found]:
    """Yields pictures that training would squeeze."""
    height, width = chart.data.size
    bent = {}
    for picture in (picture for side in chart.sides for picture in side):
        by = (picture.width / picture.height) / (width / height)
        if max(by, 1 / by) > _MOST_DISTORTED:
            bent[picture.file] = picture
    if bent:
        ratio = float(np.median([picture.width / picture.height for picture in bent.values()]))
        sides = [32 * max(1, round(side / 32)) for side in (height / ratio**0.5, width * ratio**0.5)]
        cases = [Case((file,), f"{each.width}x{each.height}") for file, each in bent.items()]
        yield Found(cases, {"size": f"{width}x{height}", "other": _other_size(chart, bent, *sides)})


def not_pairs(chart: Chart) -> Iterator[Found]:
    """Yields a finding if the images look like single images, not like side-by-side pairs."""
    halves = [item for items in chart.survey.used() for item in items if item.is_halved]
    if chart.data.layout != "auto":
        return
    if chart.survey.is_seamless:
        yield Found([], {"why": "the left half of the images goes on in the right one"})
    elif halves and all(picture.height >= 2 * picture.width for picture in chart.sides[0]):
        yield Found([], {"why": "no image is wider than high"})


def too_few(chart: Chart) -> Iterator[Found]:
    """Yields that there is little to train on."""
    counts = [len(items) for items in chart.survey.splits.get("train", ((),))]
    if min(counts) < _FEW:
        yield Found([], {"few": counted(min(counts), item_of(chart))})


def nothing_held_out(chart: Chart) -> Iterator[Found]:
    """Yields that there is nothing to judge by."""
    if not {"val", "test"} & chart.survey.splits.keys():
        yield Found([])


def passed_over(chart: Chart) -> Iterator[Found]:
    """Yields images of unread kinds."""
    named = {file for problem in chart.survey.problems for file in problem.files}
    cases = [Case((path,)) for path in walk(chart.folder, images.is_unread_image) if path not in named]
    if cases:
        yield Found(cases, {"kinds": images.KINDS, "fix": images.conversion(cases[0].files[0])})


def _other_size(chart: Chart, files: Iterable[Path], height: float, width: float) -> str:
    """What to do about files that don't fit: where they are most of all, train at their size."""
    every = {picture.file for side in chart.sides for picture in side}
    if len(set(files)) < len(every) / 2:
        return "leave them out"
    smallest, largest = IMAGE_SIDE.low or 0, IMAGE_SIDE.high or math.inf
    sides = [round(min(max(side, smallest), largest)) for side in (height, width)]
    words = "" if sides[0] == sides[1] else " (height and width)"
    return f"train with --image-size {' '.join(map(str, dict.fromkeys(sides)))}{words}"
