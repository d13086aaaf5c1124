"""Plans a street of houses as boxes in whole pixels, before anything is painted."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import NamedTuple

from pix2pix_tf.data.procedural.randomness import Dice, derive
from pix2pix_tf.data.procedural.styles import INTERIORS, SKIES, STYLES, Color


class Box(NamedTuple):
    """A rectangle of pixels, excluding ``bottom`` and ``right``; ``rise`` is the height of the top arch."""

    top: int
    left: int
    bottom: int
    right: int
    rise: int = 0

    @classmethod
    def standing(cls, center: int, bottom: int, width: int, height: int, rise: int = 0) -> Box:
        """Returns a box centered on ``center`` above row ``bottom``; ``rise`` is in percent of the width."""
        left = center - width // 2
        return cls(bottom - height, left, bottom, left + width, width * rise // 100)

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def center(self) -> int:
        return (self.left + self.right) // 2

    @property
    def pixels(self) -> tuple[slice, slice]:
        """Slices that select the box in an image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, margin: int, below: int) -> Box:
        """Enlarges the box by ``margin`` on three sides and ``below`` at the bottom; both may be negative."""
        rise = self.rise and max(0, self.rise + margin)
        return Box(self.top - margin, self.left - margin, self.bottom + below, self.right + margin, rise)

    def strip(self, top: int, bottom: int, sides: int) -> Box:
        """Returns a box from ``top`` to ``bottom`` that is wider by ``sides`` on each side."""
        return Box(top, self.left - sides, bottom, self.right + sides)


def to_pixels(length: int, unit: int, least: int = 1) -> int:
    """Converts a length in 1024ths of ``unit``, the shorter side of the image, to whole pixels."""
    return max(least, (length * unit + 512) // 1024)


_CROWNS = {"parapet": 0, "mansard": 130, "tiles": 58, "gable": 150, "stepped": 210}  # heights above the wall


class Facade:
    """The plan of one house, in pixels of the image.

    The constructor makes all random choices; the methods return boxes that follow from them.
    """

    def __init__(self, dice: Dice, lot: Box, unit: int):
        # Changing the order of these random calls changes the facade of each seed.
        self.unit = unit
        self.key = dice.key  # seed of the textures
        self.line = self.px(5)  # thickness of the thinnest detail
        self.style = style = dice.pick(STYLES)
        self._plan_grid(dice, lot)
        ground_windows = self._plan_ground(dice)
        stories, bays = range(1, len(self.stories)), range(len(self.bays))
        self.upper = [self._window(story, bay) for story in stories for bay in bays]  # without ground floor
        (red, green, blue), tone, warmth = dice.pick(style.walls), dice.between(-6, 6), dice.between(-3, 3)
        self.wall_color = (red + tone + warmth, green + tone, blue + tone - warmth)
        self.door_color = dice.pick(style.doors)
        self.shutter_color = dice.pick(style.shutters or style.doors)  # unused without shutters
        self.chimneys: list[Box] = []
        if not style.gabled:
            size = self.px(60), self.top.height + self.px(dice.between(36, 56))
            centers = [
                self.wall.left + self.wall.width * n // 100 for n in dice.pick(((20,), (80,), (15, 85)))
            ]
            self.chimneys = [Box.standing(center, self.top.bottom, *size) for center in centers]
        self.windows = [(box, dice.pick(INTERIORS)) for box in [*self.upper, *ground_windows]]
        self.balconies = self._plan_balconies(dice)

    def px(self, length: int, least: int = 1) -> int:
        return to_pixels(length, self.unit, least)

    def _plan_grid(self, dice: Dice, lot: Box) -> None:
        style = self.style
        detached = style.roof in ("tiles", "mansard") and dice.chance(40)
        margin = self.px(dice.between(40, 80)) if detached else 0
        left, right = lot.left + margin, lot.right - margin
        crown = self.px(_CROWNS[style.roof], least=0)
        eaves = crown + self.px(dice.between(70, 150))
        # In 1024ths instead of pixels, so that stories and bays hardly depend on the image size.
        stories = max(2, (lot.bottom - eaves) * 1024 // (self.unit * dice.between(*style.story)))
        bays = max(2, (right - left) * 1024 // (self.unit * dice.between(*style.bay)))
        story = (lot.bottom - eaves) * 8 // (stories * 8 + 2)  # the ground floor is a quarter higher
        tops = [eaves + story * (stories - 1 - i) for i in range(stories)]
        bay = (right - left) // bays
        first = (left + right - bay * bays) // 2
        self.wall = Box(eaves, left, lot.bottom, right)  # from the eaves down to the pavement
        self.ground = self.wall._replace(top=tops[0])  # the part of the wall on the ground floor
        # Gable, mansard or tiled roof above the wall; empty for a parapet.
        self.top = self.wall.strip(eaves - crown, eaves, self.px(18) if detached else 0)
        self.stories = list(zip(tops, [lot.bottom, *tops[:-1]], strict=True))  # rows, from the ground up
        self.bays = [(first + bay * i, first + bay * (i + 1)) for i in range(bays)]  # columns

    def _cell(self, story: int, bay: int) -> Box:
        (top, bottom), (left, right) = self.stories[story], self.bays[bay]
        return Box(top, left, bottom, right)

    def _window(self, story: int, bay: int) -> Box:
        style, cell, upper = self.style, self._cell(story, bay), self._cell(-1, bay)
        height = max(3, min(upper.height * style.window[1] // 100, upper.height * 84 // 100 - self.px(34)))
        width = max(3, min(cell.width * style.window[0] // 100, height * 4 // 5))
        # French windows reach down to their balcony; other windows have a parapet below the sill.
        parapet = 24 if story == 0 else 10 if style.balconies == "continuous" else 16
        bottom = cell.bottom - max(2, cell.height * parapet // 100)
        if story == 0:
            height = bottom - cell.top - cell.height * 26 // 100  # level with the door
        return Box.standing(cell.center, bottom, width, height, style.rise)

    def _plan_ground(self, dice: Dice) -> list[Box]:
        """Plans the door, and shops or windows; returns the windows."""
        bays = len(self.bays)
        entrance = bays // 2 if bays % 2 or dice.chance(40) else dice.pick((0, bays - 1))
        cell = self._cell(0, entrance)
        width = max(4, min(cell.width * 56 // 100, self.px(130)))
        height = cell.height - cell.height * 26 // 100
        self.door = Box.standing(cell.center, cell.bottom, width, height, self.style.rise)
        self.shops: list[Box] = []
        others = [bay for bay in range(bays) if bay != entrance]
        if not dice.chance(self.style.shops):
            return [self._window(0, bay) for bay in others]
        top, inset = cell.top + cell.height * 16 // 100, max(1, cell.width * 8 // 100)
        for run in filter(None, (others[:entrance], others[entrance:])):
            left, right = self._cell(0, run[0]).left + inset, self._cell(0, run[-1]).right - inset
            self.shops.append(Box(top, left, cell.bottom, right))
        return []

    def _plan_balconies(self, dice: Dice) -> list[Box]:
        kind, bays = self.style.balconies, len(self.bays)
        stories = [self.upper[i : i + bays] for i in range(0, len(self.upper), bays)]
        runs: list[tuple[Box, Box]] = []  # first and last window of each balcony
        if kind == "continuous":
            lowest_and_highest = stories[:: max(1, len(stories) - 1)]
            runs = [(row[0], row[-1]) for row in lowest_and_highest]
        elif kind == "single":
            runs = [(box, box) for box in stories[0]]
        elif kind == "alternate":
            parity = dice.between(0, 1)
            chosen = [bay for bay in range(bays) if min(bay, bays - 1 - bay) % 2 == parity]
            runs = [(row[bay], row[bay]) for row in stories for bay in chosen]
        rail, slab = max(2, self.upper[0].height * 34 // 100), self.px(14)
        side = self._cell(0, 0).width * 14 // 100
        return [Box(a.bottom - rail, a.left - side, a.bottom + slab, b.right + side) for a, b in runs]

    def pediments(self) -> list[Box]:
        """Returns the pediments over the windows of the first upper story."""
        high, low, sides = self.px(40), self.px(6), self.px(22)
        windows = self.upper[: len(self.bays)] if self.style.pediments else []
        return [box.strip(box.top - high, box.top - low, sides) for box in windows]

    def dormers(self) -> list[Box]:
        """Returns the windows in the roof or gable."""
        if self.style.roof == "mansard":
            centers = [(left + right) // 2 for left, right in self.bays]
            height, width, sill, rise = 56, 70, 12, 30
        elif self.style.gabled:
            centers = [self.top.center]
            height, width, sill, rise = 36, 76, 14, 50
        else:
            return []
        bottom = self.top.bottom - max(1, self.top.height * sill // 100)
        height, width = max(3, self.top.height * height // 100), self.px(width, least=3)
        return [Box.standing(center, bottom, width, height, rise) for center in centers]

    def cornices(self) -> list[Box]:
        """Returns the eaves, the string courses and the lintel over the door and its pillars."""
        wall, eaves, string = self.wall, self.px(28, least=2), self.px(14)
        marked = self.stories[:-1] if self.style.cornices else self.stories[:1]
        tops = [(wall.top - eaves // 2, eaves), *((top - string // 2, string) for top, _ in marked)]
        cornices = [wall.strip(top, top + height, 0) for top, height in tops]
        if self.style.pillars != "none":
            sides = self.px(30, least=2) + string // 2
            cornices.append(self.door.strip(self.door.top - string, self.door.top, sides))
        return cornices

    def moldings(self) -> list[Box]:
        windows = [box for box, _ in self.windows]
        sill, lintel, sides = self.px(12), self.px(18), self.px(14)
        above: list[Box] = []
        if self.style.surround:
            above = [box.grown(sides, 0) for box in windows]
        elif not self.style.rise and not self.style.shutters:
            above = [box.strip(box.top - lintel, box.top, sides) for box in windows]
        return [*above, *(box.strip(box.bottom, box.bottom + sill, sides) for box in windows)]

    def pillars(self) -> list[Box]:
        """Returns the pilasters of the upper stories and the two pillars beside the door."""
        if self.style.pillars == "none":
            return []
        wall, door, width = self.wall, self.door, self.px(30, least=2)
        middles = [left - width // 2 for left, _ in self.bays[1:]] if self.style.pillars == "all" else []
        pilasters = [wall.left, *middles, wall.right - width]
        return [
            *(Box(wall.top, left, self.ground.top, left + width) for left in pilasters),
            *(Box(door.top, left, door.bottom, left + width) for left in (door.left - width, door.right)),
        ]

    def shutters(self) -> list[Box]:
        leaf = max(1, self.upper[0].width // 2)
        windows = self.upper if self.style.shutters else []
        lefts = ((box, left) for box in windows for left in (box.left - leaf, box.right))
        return [Box(box.top, left, box.bottom, left + leaf) for box, left in lefts]


@dataclasses.dataclass(frozen=True)
class Street:
    """The plan of one image: houses side by side, sky above and pavement below."""

    key: int  # seed of clouds, pavement and grain
    sky: tuple[Color, Color]  # at the zenith and at the horizon
    shadow: int  # light in full shadow, in 256ths
    pavement: int  # first row of the pavement
    houses: Sequence[Facade]  # from left to right


def plan_street(seed: int, index: int, height: int, width: int) -> Street:
    """Plans image ``index``, in [0, 2**64), of the series ``seed``; a wide image has several houses."""
    dice = Dice(derive(derive(0, seed), index))
    unit = min(height, width)
    pavement = height - max(2, dice.between(36, 56) * unit // 1024)
    count = (4 * width + 2 * unit) // (5 * unit)  # houses are about 5/4 of the shorter side wide
    edges = itertools.pairwise(width * i // count for i in range(count + 1))
    sky, shadow = dice.pick(SKIES), dice.between(120, 160)
    houses = [
        Facade(dice.child(i), Box(0, left, pavement, right), unit) for i, (left, right) in enumerate(edges)
    ]
    return Street(dice.key, sky, shadow, pavement, houses)
