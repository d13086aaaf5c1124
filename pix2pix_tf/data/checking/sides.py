"""The input of the checks: the images of each side of a folder, and which of them are label maps.

Label maps consist of flat areas whose colors recur in other images. Photos share at most black, white and
gray; drawings share few colors. So a color that recurs exactly is taken for a class unless it is gray.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pix2pix_tf.config import DataConfig, DataKind
from pix2pix_tf.data.checking.appearance import NEAR, Appearance, joined, rgb
from pix2pix_tf.data.checking.decoding import CheckedImage
from pix2pix_tf.data.checking.findings import Case
from pix2pix_tf.data.checking.values import is_faint
from pix2pix_tf.data.dataset import ITEMS, spread
from pix2pix_tf.data.folder import formats_of
from pix2pix_tf.data.layout import Survey
from pix2pix_tf.data.names import label_sides
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.reading.numbers import Numbers, merged

MOST = 0.8
"""Share of a side's images that must agree on a property."""
MOST_MIXED = 12
"""Limit on sampled colors outside of flat areas: thin structures cause a few, JPEG compression hundreds."""

_SAMPLED = 2000
_CELL = 4  # variation of a class color between maps after JPEG compression, in 8-bit values
_CELLS = 256 // _CELL
_LEAST_RECURRENCE = 0.05  # share of the images (of both sides for pairs)
_MOST_CLASSES = 64
_GRAY = 48  # colors with smaller differences between channels count as gray
_LEAST_COLORS = 3
_LEAST_COVERED, _LEAST_COLORED = 0.4, 0.1  # shares of a JPEG-compressed map
_LEAST_COVERED_CLEAN, _LEAST_FLAT_CLEAN = 0.9, 0.6


class SideImage(NamedTuple):
    """An image of one side: a whole file or half of one."""

    file: Path
    split: str
    width: int
    height: int
    digest: int
    appearance: Appearance
    checked: CheckedImage  # of the whole file
    numbers: Numbers  # of the whole file


class CheckedSide(NamedTuple):
    """A side of a folder."""

    letter: str  # A or B; empty if there is one side, or both are halves of the same files
    form: PixelFormat
    images: Sequence[SideImage]  # both sides of pairs are in the same order
    numbers: Numbers  # of all images
    looks_labeled: np.ndarray  # whether each image looks like a label map, bool [count]
    is_label_maps: bool  # as declared, or detected if undeclared

    @property
    def phrase(self) -> str:
        """The side as part of a sentence, with a leading space."""
        return f" on side {self.letter}" if self.letter else ""

    def cases(self, is_case: Callable[[SideImage], bool]) -> list[Case]:
        """Returns the images for which a condition holds."""
        return [Case((image.file,)) for image in self.images if is_case(image)]


@dataclasses.dataclass(frozen=True)
class CheckedFolder:
    """The input of each check: a folder, its survey, and the settings used to read it."""

    folder: Path
    kind: DataKind
    survey: Survey
    data: DataConfig
    sides: Sequence[CheckedSide]  # empty if no image can be used

    @property
    def item(self) -> str:
        """The noun for one item, such as "pair" or "image"."""
        return ITEMS[self.kind].removeprefix("unpaired ")

    @property
    def distinct_sides(self) -> Sequence[CheckedSide]:
        """The sides, merged into one if both are halves of the same files."""
        return [self.sides[0]._replace(letter="")] if self.survey.is_halved and self.sides else self.sides


def checked_folder(folder: Path, kind: DataKind, survey: Survey, data: DataConfig) -> CheckedFolder:
    sides: list[tuple[SideImage, ...]] = []
    for number in range(len(survey.sets())):
        items = [(split, item) for split, sets in survey.splits.items() for item in sets[number]]
        rows = [[_parts(survey, split, file) for file in item.files] for split, item in items]
        sides += zip(*(itertools.chain(*row) for row in rows), strict=True)
    appearances = [[image.appearance for image in side] for side in sides]
    if kind == "pairs" and sides:  # one palette for both sides, because pairs may be swapped
        appearances = [[*appearances[0], *appearances[1]]] * 2
    letters = "AB" if len(sides) == 2 else ("",)
    checked = []
    for letter, form, images, each in zip(letters, formats_of(survey), sides, appearances, strict=False):
        numbers = merged([image.numbers for image in images])
        looks_labeled = _look_like_label_maps(images, _recurring_colors(each))
        is_label_maps = (letter or "A") in label_sides(data)
        if data.label_maps == "auto":
            is_numbered = bool(numbers.classes) and is_faint(numbers, form.stored_range)
            is_label_maps = is_numbered or bool(looks_labeled.mean() >= MOST)
        checked.append(CheckedSide(letter, form, images, numbers, looks_labeled, is_label_maps))
    return CheckedFolder(folder, kind, survey, data, checked)


def _parts(survey: Survey, split: str, file: Path) -> list[SideImage]:
    """Returns the image of a file, or the images of its halves."""
    checked = survey.checked[file]
    assert checked.appearances is not None  # the survey lists usable files only
    assert checked.numbers is not None
    whole, *halves = checked.digests
    if survey.is_halved:
        parts = list(zip(halves, checked.appearances, strict=True))
    else:
        parts = [(whole, joined(*checked.appearances))]
    size = checked.width // len(parts), checked.height
    return [SideImage(file, split, *size, *part, checked, checked.numbers) for part in parts]


def _recurring_colors(appearances: Sequence[Appearance]) -> np.ndarray:
    """Returns the colors that occur in flat areas of several images, ``int16`` [count, 3]."""
    some = [appearances[number] for number in spread(len(appearances), _SAMPLED)]
    colors = rgb([color for each in some for color, _ in each.colors]) // _CELL
    counts = np.zeros((_CELLS + 2,) * 3, np.int32)
    np.add.at(counts, tuple(colors.T + 1), 1)
    for axis in range(3):  # add the counts of neighboring cells
        counts += np.roll(counts, 1, axis) + np.roll(counts, -1, axis)
    counts = counts[1:-1, 1:-1, 1:-1]
    palette: list[list[int]] = []
    reach = NEAR // _CELL
    while len(palette) < _MOST_CLASSES:
        peak = [int(at) for at in np.unravel_index(counts.argmax(), counts.shape)]
        if counts[tuple(peak)] < max(2, _LEAST_RECURRENCE * len(some)):
            break
        palette.append([at * _CELL + _CELL // 2 for at in peak])
        counts[tuple(slice(max(0, at - reach), at + reach + 1) for at in peak)] = 0
    return np.array(palette, np.int16).reshape(-1, 3)


def _look_like_label_maps(images: Sequence[SideImage], palette: np.ndarray) -> np.ndarray:
    """Classifies images as label maps, bool [count]."""
    is_colored = np.ptp(palette, axis=1) >= _GRAY
    has_classes = is_colored.sum() >= _LEAST_COLORS

    def is_label_map(image: SideImage) -> bool:
        if image.checked.values is not None or image.checked.channels not in (1, 3):
            return False  # measurements and bands
        colors = rgb([color for color, _ in image.appearance.colors])
        shares = np.array([share for _, share in image.appearance.colors])
        near = (np.abs(colors[:, np.newaxis] - palette) <= NEAR).all(axis=-1)  # [colors, classes]
        covered = float(shares @ near.any(axis=1))
        colored = float(shares @ near[:, is_colored].any(axis=1))
        is_clean = (
            image.appearance.mixed_colors <= MOST_MIXED
            and image.appearance.flatness >= _LEAST_FLAT_CLEAN
            and near.any(axis=1).sum() >= _LEAST_COLORS
            and covered >= _LEAST_COVERED_CLEAN
        )
        return is_clean or (has_classes and covered >= _LEAST_COVERED and colored >= _LEAST_COLORED)

    return np.array(list(map(is_label_map, images)), bool)
