"""Plans a street of houses as boxes in whole pixels, before anything is painted."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import NamedTuple

from pix2pix_tf.data.procedural.randomness import Dice, derive
from pix2pix_tf.data.procedural.styles import INTERIORS, SKIES, STYLES, Color, Interior, Style


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


@dataclasses.dataclass(frozen=True)
class Facade:
    """The plan of one house, in pixels of the image."""

    style: Style
    key: int  # seed of the textures
    wall_color: Color
    door_color: Color
    shutter_color: Color
    line: int  # thickness of the thinnest detail
    wall: Box  # from the eaves down to the pavement
    ground: Box  # the part of the wall on the ground floor
    top: Box  # gable, mansard or tiled roof above the wall; empty for a parapet
    chimneys: Sequence[Box]
    dormers: Sequence[Box]  # windows in the roof or gable
    windows: Sequence[tuple[Box, Interior]]
    door: Box
    shops: Sequence[Box]
    cornices: Sequence[Box]  # the eaves come first
    moldings: Sequence[Box]
    pillars: Sequence[Box]
    shutters: Sequence[Box]
    balconies: Sequence[Box]
    pediments: Sequence[Box]


@dataclasses.dataclass(frozen=True)
class Street:
    """The plan of one image: houses side by side, sky above and pavement below."""

    key: int  # seed of clouds, pavement and grain
    sky: tuple[Color, Color]  # at the zenith and at the horizon
    shadow: int  # light in full shadow, in 256ths
    pavement: int  # first row of the pavement
    houses: Sequence[Facade]  # from left to right


def to_pixels(length: int, unit: int, least: int = 1) -> int:
    """Converts a length in 1024ths of ``unit``, the shorter side of the image, to whole pixels."""
    return max(least, (length * unit + 512) // 1024)


@dataclasses.dataclass(frozen=True)
class _Grid:
    """A facade's stories (rows, from the ground up) and bays (columns, from the left)."""

    style: Style
    unit: int
    wall: Box
    stories: Sequence[tuple[int, int]]
    bays: Sequence[tuple[int, int]]

    def px(self, length: int, least: int = 1) -> int:
        return to_pixels(length, self.unit, least)

    def cell(self, story: int, bay: int) -> Box:
        (top, bottom), (left, right) = self.stories[story], self.bays[bay]
        return Box(top, left, bottom, right)


def plan_street(seed: int, index: int, height: int, width: int) -> Street:
    """Plans image ``index``, in [0, 2**64), of the series ``seed``; a wide image has several houses."""
    dice = Dice(derive(derive(0, seed), index))
    unit = min(height, width)
    pavement = height - max(2, dice.between(36, 56) * unit // 1024)
    count = (4 * width + 2 * unit) // (5 * unit)  # houses are about 5/4 of the shorter side wide
    edges = itertools.pairwise(width * i // count for i in range(count + 1))
    lots = [Box(0, left, pavement, right) for left, right in edges]
    sky, shadow = dice.pick(SKIES), dice.between(120, 160)
    houses = [_plan_facade(dice.child(i), lot, unit) for i, lot in enumerate(lots)]
    return Street(dice.key, sky, shadow, pavement, houses)


def _plan_facade(dice: Dice, lot: Box, unit: int) -> Facade:
    # Changing the order of these random calls changes the facade of each seed.
    style = dice.pick(STYLES)
    grid, top = _plan_grid(dice, style, lot, unit)
    stories, bays = len(grid.stories), len(grid.bays)
    door, ground_windows, shops = _plan_ground(dice, grid)
    upper = [_plan_window(grid, story, bay) for story in range(1, stories) for bay in range(bays)]
    windows = upper + ground_windows
    (red, green, blue), tone, warmth = dice.pick(style.walls), dice.between(-6, 6), dice.between(-3, 3)
    return Facade(
        style=style,
        key=dice.key,
        wall_color=(red + tone + warmth, green + tone, blue + tone - warmth),
        door_color=dice.pick(style.doors),
        shutter_color=dice.pick(style.shutters or style.doors),  # unused without shutters
        line=grid.px(5),
        wall=grid.wall,
        ground=grid.wall._replace(top=grid.stories[0][0]),
        top=top,
        chimneys=_plan_chimneys(dice, grid, top),
        dormers=_plan_dormers(grid, top),
        windows=[(box, dice.pick(INTERIORS)) for box in windows],
        door=door,
        shops=shops,
        cornices=_plan_cornices(grid, door),
        moldings=_plan_moldings(grid, windows),
        pillars=_plan_pillars(grid, door),
        shutters=_plan_shutters(grid, upper),
        balconies=_plan_balconies(dice, grid, upper),
        pediments=_plan_pediments(grid, upper[:bays]),
    )


_CROWNS = {"parapet": 0, "mansard": 130, "tiles": 58, "gable": 150, "stepped": 210}  # heights above the wall


def _plan_grid(dice: Dice, style: Style, lot: Box, unit: int) -> tuple[_Grid, Box]:
    """Returns the grid, and the box of the gable or roof above the wall."""
    detached = style.roof in ("tiles", "mansard") and dice.chance(40)
    margin = to_pixels(dice.between(40, 80), unit) if detached else 0
    left, right = lot.left + margin, lot.right - margin
    crown = to_pixels(_CROWNS[style.roof], unit, least=0)
    eaves = crown + to_pixels(dice.between(70, 150), unit)
    # In 1024ths instead of pixels, so that stories and bays hardly depend on the image size.
    stories = max(2, (lot.bottom - eaves) * 1024 // (unit * dice.between(*style.story)))
    bays = max(2, (right - left) * 1024 // (unit * dice.between(*style.bay)))
    story = (lot.bottom - eaves) * 8 // (stories * 8 + 2)  # the ground floor is a quarter higher
    tops = [eaves + story * (stories - 1 - i) for i in range(stories)]
    bay = (right - left) // bays
    first = (left + right - bay * bays) // 2
    wall = Box(eaves, left, lot.bottom, right)
    columns = [(first + bay * i, first + bay * (i + 1)) for i in range(bays)]
    grid = _Grid(style, unit, wall, list(zip(tops, [lot.bottom, *tops[:-1]], strict=True)), columns)
    overhang = to_pixels(18, unit) if detached else 0
    return grid, wall.strip(eaves - crown, eaves, overhang)


def _plan_window(grid: _Grid, story: int, bay: int) -> Box:
    style, cell, upper = grid.style, grid.cell(story, bay), grid.cell(-1, bay)
    height = max(3, min(upper.height * style.window[1] // 100, upper.height * 84 // 100 - grid.px(34)))
    width = max(3, min(cell.width * style.window[0] // 100, height * 4 // 5))
    # French windows reach down to their balcony; other windows have a parapet below the sill.
    parapet = 24 if story == 0 else 10 if style.balconies == "continuous" else 16
    bottom = cell.bottom - max(2, cell.height * parapet // 100)
    if story == 0:
        height = bottom - cell.top - cell.height * 26 // 100  # level with the door
    return Box.standing(cell.center, bottom, width, height, style.rise)


def _plan_ground(dice: Dice, grid: _Grid) -> tuple[Box, list[Box], list[Box]]:
    """Returns the door, and the ground floor's windows and shops (one of the two lists is empty)."""
    bays = len(grid.bays)
    entrance = bays // 2 if bays % 2 or dice.chance(40) else dice.pick((0, bays - 1))
    cell = grid.cell(0, entrance)
    width = max(4, min(cell.width * 56 // 100, grid.px(130)))
    height = cell.height - cell.height * 26 // 100
    door = Box.standing(cell.center, cell.bottom, width, height, grid.style.rise)
    others = [bay for bay in range(bays) if bay != entrance]
    if not dice.chance(grid.style.shops):
        return door, [_plan_window(grid, 0, bay) for bay in others], []
    top, inset = cell.top + cell.height * 16 // 100, max(1, cell.width * 8 // 100)
    runs = [run for run in (others[:entrance], others[entrance:]) if run]
    ends = [(grid.cell(0, run[0]).left + inset, grid.cell(0, run[-1]).right - inset) for run in runs]
    return door, [], [Box(top, left, cell.bottom, right) for left, right in ends]


def _plan_balconies(dice: Dice, grid: _Grid, windows: Sequence[Box]) -> list[Box]:
    kind, bays = grid.style.balconies, len(grid.bays)
    stories = [windows[i : i + bays] for i in range(0, len(windows), bays)]
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
    rail, slab, side = max(2, windows[0].height * 34 // 100), grid.px(14), grid.cell(0, 0).width * 14 // 100
    return [Box(a.bottom - rail, a.left - side, a.bottom + slab, b.right + side) for a, b in runs]


def _plan_pediments(grid: _Grid, windows: Sequence[Box]) -> list[Box]:
    if not grid.style.pediments:
        return []
    high, low, sides = grid.px(40), grid.px(6), grid.px(22)
    return [box.strip(box.top - high, box.top - low, sides) for box in windows]


def _plan_chimneys(dice: Dice, grid: _Grid, top: Box) -> list[Box]:
    if grid.style.gabled:
        return []
    width, height = grid.px(60), top.height + grid.px(dice.between(36, 56))
    centers = [grid.wall.left + grid.wall.width * n // 100 for n in dice.pick(((20,), (80,), (15, 85)))]
    return [Box.standing(center, top.bottom, width, height) for center in centers]


def _plan_dormers(grid: _Grid, top: Box) -> list[Box]:
    if grid.style.roof == "mansard":
        centers = [(left + right) // 2 for left, right in grid.bays]
        height, width, sill, rise = 56, 70, 12, 30
    elif grid.style.gabled:
        centers = [top.center]
        height, width, sill, rise = 36, 76, 14, 50
    else:
        return []
    bottom = top.bottom - max(1, top.height * sill // 100)
    height, width = max(3, top.height * height // 100), grid.px(width, least=3)
    return [Box.standing(center, bottom, width, height, rise) for center in centers]


def _plan_cornices(grid: _Grid, door: Box) -> list[Box]:
    """Returns the eaves, the string courses and the lintel over the door and its pillars."""
    wall, eaves, string = grid.wall, grid.px(28, least=2), grid.px(14)
    marked = grid.stories[:-1] if grid.style.cornices else grid.stories[:1]
    tops = [(wall.top - eaves // 2, eaves), *((top - string // 2, string) for top, _ in marked)]
    cornices = [wall.strip(top, top + height, 0) for top, height in tops]
    if grid.style.pillars != "none":
        cornices.append(door.strip(door.top - string, door.top, grid.px(30, least=2) + string // 2))
    return cornices


def _plan_moldings(grid: _Grid, windows: Sequence[Box]) -> list[Box]:
    sill, lintel, sides = grid.px(12), grid.px(18), grid.px(14)
    above: list[Box] = []
    if grid.style.surround:
        above = [box.grown(sides, 0) for box in windows]
    elif not grid.style.rise and not grid.style.shutters:
        above = [box.strip(box.top - lintel, box.top, sides) for box in windows]
    return [*above, *(box.strip(box.bottom, box.bottom + sill, sides) for box in windows)]


def _plan_pillars(grid: _Grid, door: Box) -> list[Box]:
    """Returns the pilasters of the upper stories and the two pillars beside the door."""
    if grid.style.pillars == "none":
        return []
    wall, width = grid.wall, grid.px(30, least=2)
    middles = [left - width // 2 for left, _ in grid.bays[1:]] if grid.style.pillars == "all" else []
    pilasters = [wall.left, *middles, wall.right - width]
    return [
        *(Box(wall.top, left, grid.stories[0][0], left + width) for left in pilasters),
        *(Box(door.top, left, door.bottom, left + width) for left in (door.left - width, door.right)),
    ]


def _plan_shutters(grid: _Grid, windows: Sequence[Box]) -> list[Box]:
    if not grid.style.shutters:
        return []
    leaf = max(1, windows[0].width // 2)
    lefts = ((box, left) for box in windows for left in (box.left - leaf, box.right))
    return [Box(box.top, left, box.bottom, left + leaf) for box, left in lefts]
