"""What is known of a folder when it is examined."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pix2pix_tf.config import DataConfig
from pix2pix_tf.data.checking.appearance import Look
from pix2pix_tf.data.checking.decoding import CheckedImage
from pix2pix_tf.data.doctor.flat_colours import look_like_label_maps, recurring_colours
from pix2pix_tf.data.folder import Survey
from pix2pix_tf.data.rasters import Doubt, Numbers, doubts, merged
from pix2pix_tf.data.sets import ITEMS, Kind

MOST = 0.8
"""Of the pictures, where most are meant."""


class Picture(NamedTuple):
    """An image of one side: a file, or half of one.

    Args:
        file: where it is.
        split: where it belongs.
        width: in pixels.
        height: likewise.
        look: what it looks like.
        image: what is known of the file.
        numbers: of the file.
    """

    file: Path
    split: str
    width: int
    height: int
    look: Look
    image: CheckedImage
    numbers: Numbers


@dataclasses.dataclass(frozen=True)
class Chart:
    """What is examined.

    Args:
        folder: the folder.
        kind: what it has.
        survey: what was found out by opening it.
        data: how it is to be used.
        sides: the pictures of A and B, which stand in one order where they are pairs; or of the one side.
    """

    folder: Path
    kind: Kind
    survey: Survey
    data: DataConfig
    sides: tuple[tuple[Picture, ...], ...]

    def named_sides(self) -> Iterator[tuple[str, tuple[Picture, ...]]]:
        """Yields A and B, or the images, as they are called."""
        yield from zip(
            (" on side A", " on side B") if len(self.sides) == 2 else ("",), self.sides, strict=True
        )

    def distinct_sides(self) -> Iterator[tuple[str, tuple[Picture, ...]]]:
        """Yields the same; where both are halves of the same files, the first alone."""
        names = list(self.named_sides())
        yield from [("", names[0][1])] if self.sides[0][0].file == self.sides[-1][0].file else names

    def doubts(self, side: tuple[Picture, ...]) -> list[Doubt]:
        """Returns what may be wrong with the numbers of a side."""
        numbers = merged([picture.numbers for picture in side])
        bits = max(picture.image.bits for picture in side)
        return list(doubts(numbers, numbers.values if side[0].image.values else (0, 2**bits - 1)))

    def sets(self) -> list[list[tuple[Picture, ...]]]:
        """Returns what is drawn by one number, of each set: pairs of pictures, or single ones."""
        if self.kind == "pairs":
            return [list(zip(*self.sides, strict=True))]
        return [[(picture,) for picture in side] for side in self.sides]

    @functools.cached_property
    def label_maps(self) -> tuple[np.ndarray, ...]:
        """Which pictures of each side look like label maps, bool [count]; measurements never do."""
        looks = [[picture.look for picture in side] for side in self.sides]
        if self.kind == "pairs":  # a pair may be swapped
            palettes = [recurring_colours([*looks[0], *looks[1]])] * 2
        else:
            palettes = [recurring_colours(each) for each in looks]
        return tuple(
            look_like_label_maps(*each) & [picture.image.has_colours for picture in side]
            for each, side in zip(zip(looks, palettes, strict=True), self.sides, strict=True)
        )

    @functools.cached_property
    def has_label_maps(self) -> tuple[bool, ...]:
        """Which sides are label maps: those that are said to be, else those that look so."""
        said = {"auto": None, "none": "", "A": "A", "B": "B", "both": "AB"}[self.data.label_maps]
        if said is not None:
            return tuple(name in said for name in "AB"[: len(self.sides)])
        return tuple(
            each.mean() >= MOST or any(doubt.classes for doubt in self.doubts(side))
            for each, side in zip(self.label_maps, self.sides, strict=True)
        )


def item_of(chart: Chart) -> str:
    """Returns what one of the folder's images, or pairs, is called."""
    return ITEMS[chart.kind].removeprefix("unpaired ")
