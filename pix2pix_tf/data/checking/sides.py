"""The images of each side of a folder, as the checks see them."""

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
from pix2pix_tf.data.folder import Survey
from pix2pix_tf.data.names import label_sides
from pix2pix_tf.data.pixel_format import ValueRange
from pix2pix_tf.data.reading.numbers import Numbers, merged

MOST = 0.8
"""Share of the images of a side that makes its type."""


class SideImage(NamedTuple):
    """An image of one side: a file, or half of one, which ``digest`` and ``numbers`` are of."""

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
    images: Sequence[SideImage]  # in one order on both sides of pairs
    looks_labeled: np.ndarray  # which images look like label maps, bool [count]; measurements never do
    declared: bool | None  # whether the side is declared as label maps, if anything is declared

    @property
    def phrase(self) -> str:
        """The side in a sentence, after a blank."""
        return f" on side {self.letter}" if self.letter else ""

    @functools.cached_property
    def numbers(self) -> Numbers:
        """Statistics of the values of all images."""
        return merged([image.numbers for image in self.images])

    @functools.cached_property
    def value_range(self) -> ValueRange:
        """The declared range: of measurements their extremes, else that of the type."""
        if self.images[0].checked.values:
            return self.numbers.values
        return 0, 2 ** max(image.checked.bits for image in self.images) - 1

    @functools.cached_property
    def is_label_maps(self) -> bool:
        """Whether the side is declared as label maps; if nothing is declared, whether it looks so."""
        if self.declared is not None:
            return self.declared
        is_numbered = bool(self.numbers.classes) and is_faint(self.numbers, self.value_range)
        return is_numbered or bool(self.looks_labeled.mean() >= MOST)

    def cases(self, is_case: Callable[[SideImage], bool]) -> list[Case]:
        """Returns the images for which a condition holds."""
        return [Case((image.file,)) for image in self.images if is_case(image)]


@dataclasses.dataclass(frozen=True)
class CheckedFolder:
    """What the checks get: a folder, its survey, and the settings that it will be read with."""

    folder: Path
    kind: Kind
    survey: Survey
    data: DataConfig
    sides: Sequence[CheckedSide]

    @property
    def item(self) -> str:
        """What one of the folder's images, or pairs, is called."""
        return ITEMS[self.kind].removeprefix("unpaired ")

    @property
    def distinct_sides(self) -> Sequence[CheckedSide]:
        """The sides; if both are halves of the same files, one for both."""
        is_halved = len(self.sides) == 2 and self.sides[0].images[0].file == self.sides[1].images[0].file
        return [dataclasses.replace(self.sides[0], letter="")] if is_halved else self.sides


def sides_of_survey(survey: Survey, kind: Kind, data: DataConfig) -> list[CheckedSide]:
    """Returns the sides of a folder of that kind; none if no image can be used."""
    sides = [side for number in range(len(survey.used())) for side in _images_of_set(survey, number)]
    appearances = [[image.appearance for image in side] for side in sides]
    if kind == "pairs" and sides:  # a pair may be swapped
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
    """Returns the images of a set, for each side that it has."""
    rows = []
    for split, sets in survey.splits.items():
        for item in sets[number]:
            row = []
            for file in item.files:
                checked, numbers = survey.checked[file], survey.checked[file].numbers
                assert checked.appearances is not None  # of what can be used
                assert numbers is not None
                whole, *halves = checked.digests
                digests = halves if item.is_halved else [whole]
                parts = checked.appearances if item.is_halved else [joined(*checked.appearances)]
                size = checked.width // len(parts), checked.height
                for digest, part in zip(digests, parts, strict=True):
                    if (
                        item.is_halved and checked.values is None
                    ):  # halves may differ, the numbers are of both
                        numbers = numbers._replace(middle=(float(min(part.low)), float(max(part.high))))
                    row.append(SideImage(file, split, *size, digest, part, checked, numbers))
            rows.append(row)
    return list(zip(*rows, strict=True))
