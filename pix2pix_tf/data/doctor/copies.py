"""Pictures that are there more than once."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pix2pix_tf.data.checking.appearance import thumbnail_of
from pix2pix_tf.data.doctor.chart import Chart, Picture, item_of
from pix2pix_tf.data.doctor.findings import Case, Found
from pix2pix_tf.data.doctor.near_copies import near_copies
from pix2pix_tf.wording import counted


def duplicates(chart: Chart) -> Iterator[Found]:
    """Yields the same pixels within a split."""
    cases = []
    for members in chart.sets():
        alike = collections.defaultdict(list)
        for pictures in members:
            if not _is_blank(pictures, tuple(range(len(pictures)))):
                digests = tuple(picture.look.digest for picture in pictures)
                alike[pictures[0].split, digests].append(pictures[0].file)
        cases += [Case(tuple(files)) for files in alike.values() if len(files) > 1]
    if cases:
        yield Found(cases, {"copies": counted(sum(len(case.files) - 1 for case in cases), item_of(chart))})


def in_two_splits(chart: Chart) -> Iterator[Found]:
    """Yields the same pixels in several splits."""
    cases = []
    for members in _informative(chart):
        firsts: dict[Any, dict[str, Path]] = collections.defaultdict(dict)
        for pictures, sides in members:
            if not _is_blank(pictures, sides):
                firsts[_key(pictures, sides)].setdefault(pictures[0].split, pictures[0].file)
        cases += [Case(tuple(files.values())) for files in firsts.values() if len(files) > 1]
    if cases:
        yield Found(cases)


def nearly_in_two_splits(chart: Chart) -> Iterator[Found]:
    """Yields pictures of several splits that only saving or resizing made differ."""
    cases = [Case((b.file, a.file)) for a, b in _near_copies(chart) if a.split != b.split]
    if cases:
        yield Found(cases)


def resized(chart: Chart) -> Iterator[Found]:
    """Yields pictures that are in a split in several sizes."""
    cases = [Case((b.file, a.file)) for a, b in _near_copies(chart) if a.split == b.split]
    if cases:
        yield Found(cases)


def _near_copies(chart: Chart) -> Iterator[tuple[Picture, Picture]]:
    """Yields pictures nearly like an earlier one of another split or size, and that."""
    splits = {name: place for place, name in enumerate(chart.survey.splits)}
    for members in _informative(chart):
        once = {_key(*member): member for member in members}  # copies are another finding
        alike = collections.defaultdict(list)
        for pictures, sides in once.values():
            alike[sides].append(pictures)
        for sides, every in alike.items():
            every.sort(key=lambda pictures: splits[pictures[0].split])
            thumbnails = np.array([[thumbnail_of(each[side].look) for side in sides] for each in every])
            places = np.array([splits[each[0].split] for each in every])
            sizes = np.array([(each[0].width, each[0].height) for each in every])
            found = near_copies(thumbnails, places, sizes)
            yield from ((every[a][0], every[b][0]) for a, b in found.items())


def _informative(chart: Chart) -> Iterator[list[tuple[tuple[Picture, ...], tuple[int, ...]]]]:
    """Yields of each set its pairs, or images, with the sides that tell them from others.

    Two photos may well have one label map; where both sides are maps, both count.
    """
    for number, members in enumerate(chart.sets()):
        masks = chart.label_maps if chart.kind == "pairs" else chart.label_maps[number : number + 1]
        yield [
            (
                pictures,
                tuple(at for at, mask in enumerate(masks) if not mask[place]) or tuple(range(len(masks))),
            )
            for place, pictures in enumerate(members)
        ]


def _key(pictures: tuple[Picture, ...], sides: tuple[int, ...]) -> tuple[Any, ...]:
    return (sides, *(pictures[side].look.digest for side in sides))


def _is_blank(pictures: tuple[Picture, ...], sides: tuple[int, ...]) -> bool:
    return all(pictures[side].look.is_constant for side in sides)
