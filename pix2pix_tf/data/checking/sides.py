"""The input of the checks: the images of each side of a folder."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pix2pix_tf.config import DataConfig
from pix2pix_tf.data.checking.appearance import Appearance, joined
from pix2pix_tf.data.checking.decoding import CheckedImage
from pix2pix_tf.data.checking.findings import Case
from pix2pix_tf.data.checking.label_maps import look_like_label_maps, recurring_colors
from pix2pix_tf.data.checking.values import is_faint
from pix2pix_tf.data.dataset import ITEMS, Kind
from pix2pix_tf.data.layout import Survey
from pix2pix_tf.data.names import label_sides
from pix2pix_tf.data.pixel_format import ValueRange
from pix2pix_tf.data.reading.numbers import Numbers, merged

MOST = 0.8
"""Share of a side's images that must agree on a property."""


class SideImage(NamedTuple):
    """An image of one side: a whole file or half of one; ``digest`` and ``numbers`` are of this part."""

    file: Path
    split: str
    width: int
    height: int
    digest: int
    appearance: Appearance
    checked: CheckedImage
    numbers: Numbers


@dataclasses.dataclass(frozen=True)
class CheckedSide:
    """A side of a folder."""

    letter: str  # A or B; empty if there is one side, or both are halves of the same files
    images: Sequence[SideImage]  # both sides of pairs are in the same order
    looks_labeled: np.ndarray  # whether each image looks like a label map, bool [count]; not measurements
    declared: bool | None  # whether --label-maps includes this side; None if it isn't set

    @property
    def phrase(self) -> str:
        """The side as part of a sentence, with a leading space."""
        return f" on side {self.letter}" if self.letter else ""

    @functools.cached_property
    def numbers(self) -> Numbers:
        """Statistics of the values of all images."""
        return merged([image.numbers for image in self.images])

    @functools.cached_property
    def value_range(self) -> ValueRange:
        """The extremes of measurements; the range of the integer type for other images."""
        if self.images[0].checked.values:
            return self.numbers.values
        return 0, 2 ** max(image.checked.bits for image in self.images) - 1

    @functools.cached_property
    def is_label_maps(self) -> bool:
        """Whether the side has label maps: as declared, or detected if undeclared."""
        if self.declared is not None:
            return self.declared
        is_numbered = bool(self.numbers.classes) and is_faint(self.numbers, self.value_range)
        return is_numbered or bool(self.looks_labeled.mean() >= MOST)

    def cases(self, is_case: Callable[[SideImage], bool]) -> list[Case]:
        """Returns the images for which a condition holds."""
        return [Case((image.file,)) for image in self.images if is_case(image)]


@dataclasses.dataclass(frozen=True)
class CheckedFolder:
    """The input of each check: a folder, its survey, and the settings used to read it."""

    folder: Path
    kind: Kind
    survey: Survey
    data: DataConfig
    sides: Sequence[CheckedSide]

    @property
    def item(self) -> str:
        """The noun for one item, such as "pair" or "image"."""
        return ITEMS[self.kind].removeprefix("unpaired ")

    @property
    def distinct_sides(self) -> Sequence[CheckedSide]:
        """The sides, merged into one if both are halves of the same files."""
        is_halved = len(self.sides) == 2 and self.sides[0].images[0].file == self.sides[1].images[0].file
        return [dataclasses.replace(self.sides[0], letter="")] if is_halved else self.sides


def sides_of_survey(survey: Survey, kind: Kind, data: DataConfig) -> list[CheckedSide]:
    """Returns the sides of a folder; empty if no image can be used."""
    sides = [side for number in range(len(survey.sets())) for side in _images_of_set(survey, number)]
    appearances = [[image.appearance for image in side] for side in sides]
    if kind == "pairs" and sides:  # one palette for both sides, because pairs may be swapped
        palettes = [recurring_colors([*appearances[0], *appearances[1]])] * 2
    else:
        palettes = [recurring_colors(each) for each in appearances]
    return [
        CheckedSide(
            letter if len(sides) == 2 else "",
            side,
            look_like_label_maps(each, palette)
            & [image.checked.values is None and image.checked.channels in (1, 3) for image in side],
            None if data.label_maps == "auto" else letter in label_sides(data),
        )
        for letter, side, each, palette in zip("AB", sides, appearances, palettes, strict=False)
    ]


def _images_of_set(survey: Survey, number: int) -> list[tuple[SideImage, ...]]:
    """Returns the images of each side of a set."""
    rows = []
    for split, sets in survey.splits.items():
        for item in sets[number]:
            row = []
            for file in item.files:
                checked, numbers = survey.checked[file], survey.checked[file].numbers
                assert checked.appearances is not None  # the survey lists usable files only
                assert numbers is not None
                whole, *halves = checked.digests
                digests = halves if survey.is_halved else [whole]
                parts = checked.appearances if survey.is_halved else [joined(*checked.appearances)]
                size = checked.width // len(parts), checked.height
                for digest, part in zip(digests, parts, strict=True):
                    if survey.is_halved and checked.values is None:
                        # The halves may differ, and the statistics are of the whole file.
                        numbers = numbers._replace(middle=(float(min(part.low)), float(max(part.high))))
                    row.append(SideImage(file, split, *size, digest, part, checked, numbers))
            rows.append(row)
    return list(zip(*rows, strict=True))
