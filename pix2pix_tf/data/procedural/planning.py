"""Plans a street of houses as boxes in whole pixels, before anything is painted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from pix2pix_tf.data.procedural.randomness import Dice, derive
from pix2pix_tf.data.procedural.styles import INTERIORS, SKIES, STYLES, Colour, Interior, Style


class Box(NamedTuple):
    """A rectangle of pixels; ``bottom`` and ``right`` are excluded. The top edge is an arch ``rise`` high."""

    top: int
    left: int
    bottom: int
    right: int
    rise: int = 0

    @classmethod
    def standing(cls, centre: int, bottom: int, width: int, height: int, rise: int = 0) -> Box:
        """Returns a box that stands on row ``bottom``; ``rise`` is in percent of its width."""
        left = centre - width // 2
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
    def centre(self) -> int:
        """The middle column, the right one of two."""
        return (self.left + self.right) // 2

    @property
    def pixels(self) -> tuple[slice, slice]:
        """The index of the box's pixels in an image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, margin: int, below: int) -> Box:
        """Returns the box with a margin on three sides and another one below; negative margins shrink it."""
        rise = self.rise and max(0, self.rise + margin)
        return Box(self.top - margin, self.left - margin, self.bottom + below, self.right + margin, rise)


class Window(NamedTuple):
    """A window and what is visible through it."""

    box: Box
    interior: Interior


@dataclasses.dataclass(frozen=True)
class Facade:
    """The plan of one house, in pixels of the image."""

    style: Style
    key: int  # seed of its textures
    wall_colour: Colour
    door_colour: Colour
    shutter_colour: Colour
    line: int  # thickness of the thinnest detail
    wall: Box  # from the eaves down to the pavement
    ground: Box  # the part of the wall on the ground floor
    top: Box  # gable, mansard or tiled roof above the wall; empty for a parapet
    chimneys: tuple[Box, ...]
    dormers: tuple[Box, ...]  # windows in the roof or gable
    windows: tuple[Window, ...]
    door: Box
    shops: tuple[Box, ...]
    cornices: tuple[Box, ...]  # the eaves come first
    mouldings: tuple[Box, ...]
    pillars: tuple[Box, ...]
    shutters: tuple[Box, ...]
    balconies: tuple[Box, ...]
    pediments: tuple[Box, ...]


@dataclasses.dataclass(frozen=True)
class Street:
    """The plan of one image: houses side by side, sky above and pavement below."""

    key: int  # seed of clouds, pavement and grain
    sky: tuple[Colour, Colour]  # at the zenith and at the horizon
    shadow: int  # light in the shadow, in 256ths
    pavement: int  # its first row
    houses: tuple[Facade, ...]  # from left to right


def to_pixels(length: int, unit: int, least: int = 1) -> int:
    """Converts a length in 1024ths of ``unit``, the shorter side of the image, to whole pixels."""
    return max(least, (length * unit + 512) // 1024)


@dataclasses.dataclass(frozen=True)
class _Grid:
    """A facade's stories (rows, from the ground up) and bays (columns, from the left)."""

    style: Style
    unit: int
    wall: Box
    storeys: tuple[tuple[int, int], ...]
    bays: tuple[tuple[int, int], ...]

    def px(self, length: int, least: int = 1) -> int:
        """Converts a length in 1024ths of the image's shorter side to pixels."""
        return to_pixels(length, self.unit, least)

    def cell(self, storey: int, bay: int) -> Box:
        (top, bottom), (left, right) = self.storeys[storey], self.bays[bay]
        return Box(top, left, bottom, right)


def plan_street(seed: int, index: int, height: int, width: int) -> Street:
    """Plans image ``index``, in [0, 2**64), of the series ``seed``; a wide image has several houses."""
    dice = Dice(derive(derive(0, seed), index))
    unit = min(height, width)
    pavement = height - max(2, dice.between(36, 56) * unit // 1024)
    houses = (4 * width + 2 * unit) // (5 * unit)  # width about 5/4 of the shorter side each; at least one
    edges = [width * i // houses for i in range(houses + 1)]
    return Street(
        key=dice.key,
        sky=dice.pick(SKIES),
        shadow=dice.between(120, 160),
        pavement=pavement,
        houses=tuple(
            _plan_facade(dice.child(i), Box(0, edges[i], pavement, edges[i + 1]), unit) for i in range(houses)
        ),
    )


def _plan_facade(dice: Dice, lot: Box, unit: int) -> Facade:
    # The order of these random calls determines which facade belongs to a seed.
    style = dice.pick(STYLES)
    grid, top = _plan_grid(dice, style, lot, unit)
    storeys, bays = len(grid.storeys), len(grid.bays)
    door, ground_windows, shops = _plan_ground(dice, grid)
    upper = [_plan_window(grid, storey, bay) for storey in range(1, storeys) for bay in range(bays)]
    windows = upper + ground_windows
    pillar = grid.px(30, least=2)
    return Facade(
        style=style,
        key=dice.key,
        wall_colour=_jittered(dice, dice.pick(style.walls)),
        door_colour=dice.pick(style.doors),
        shutter_colour=dice.pick(style.shutters or style.doors),  # unused without shutters
        line=grid.px(5),
        wall=grid.wall,
        ground=grid.wall._replace(top=grid.storeys[0][0]),
        top=top,
        chimneys=() if style.gabled else _plan_chimneys(dice, grid, top),
        dormers=_plan_dormers(grid, top),
        windows=tuple(Window(box, dice.pick(INTERIORS)) for box in windows),
        door=door,
        shops=shops,
        cornices=_plan_cornices(grid, door, pillar),
        mouldings=_plan_mouldings(grid, windows),
        pillars=_plan_pillars(grid, door, pillar) if style.pillars != "none" else (),
        shutters=_plan_shutters(upper) if style.shutters else (),
        balconies=_plan_balconies(dice, grid, upper),
        pediments=_plan_pediments(grid, upper[:bays]) if style.pediments else (),
    )


def _jittered(dice: Dice, colour: Colour) -> Colour:
    """Makes a color slightly lighter or darker, and slightly warmer or cooler."""
    tone, warmth = dice.between(-6, 6), dice.between(-3, 3)
    return colour[0] + tone + warmth, colour[1] + tone, colour[2] + tone - warmth


_CROWNS = {"parapet": 0, "mansard": 130, "tiles": 58, "gable": 150, "stepped": 210}  # heights above the wall


def _plan_grid(dice: Dice, style: Style, lot: Box, unit: int) -> tuple[_Grid, Box]:
    """Returns the grid and the box of what is above the wall."""
    detached = style.roof in ("tiles", "mansard") and dice.chance(40)
    margin = to_pixels(dice.between(40, 80), unit) if detached else 0
    left, right = lot.left + margin, lot.right - margin
    crown = to_pixels(_CROWNS[style.roof], unit, least=0)
    eaves = crown + to_pixels(dice.between(70, 150), unit)
    # In 1024ths and not in pixels, so that the number of stories and bays hardly depends on the image size.
    storeys = max(2, (lot.bottom - eaves) * 1024 // (unit * dice.between(*style.storey)))
    bays = max(2, (right - left) * 1024 // (unit * dice.between(*style.bay)))
    storey = (lot.bottom - eaves) * 8 // (storeys * 8 + 2)  # the ground floor is a quarter higher
    tops = [eaves + storey * (storeys - 1 - i) for i in range(storeys)]
    bay = (right - left) // bays
    first = (left + right - bay * bays) // 2
    grid = _Grid(
        style=style,
        unit=unit,
        wall=Box(eaves, left, lot.bottom, right),
        storeys=tuple(zip(tops, [lot.bottom, *tops[:-1]], strict=True)),
        bays=tuple((first + bay * i, first + bay * (i + 1)) for i in range(bays)),
    )
    overhang = to_pixels(18, unit) if detached else 0
    return grid, Box(eaves - crown, left - overhang, eaves, right + overhang)


def _plan_window(grid: _Grid, storey: int, bay: int) -> Box:
    style, cell, upper = grid.style, grid.cell(storey, bay), grid.cell(-1, bay)
    height = max(3, min(upper.height * style.window[1] // 100, upper.height * 84 // 100 - grid.px(34)))
    width = max(3, min(cell.width * style.window[0] // 100, height * 4 // 5))
    # French windows reach down to their balcony; other windows have a parapet below the sill.
    parapet = 24 if storey == 0 else 10 if style.balconies == "continuous" else 16
    bottom = cell.bottom - max(2, cell.height * parapet // 100)
    if storey == 0:
        height = bottom - cell.top - cell.height * 26 // 100  # level with the door
    return Box.standing(cell.centre, bottom, width, height, style.rise)


def _plan_ground(dice: Dice, grid: _Grid) -> tuple[Box, list[Box], tuple[Box, ...]]:
    """Returns the door, and next to it either windows or shops."""
    bays = len(grid.bays)
    entrance = bays // 2 if bays % 2 or dice.chance(40) else dice.pick((0, bays - 1))
    cell = grid.cell(0, entrance)
    width = max(4, min(cell.width * 56 // 100, grid.px(130)))
    height = cell.height - cell.height * 26 // 100
    door = Box.standing(cell.centre, cell.bottom, width, height, grid.style.rise)
    others = [bay for bay in range(bays) if bay != entrance]
    if not dice.chance(grid.style.shops):
        return door, [_plan_window(grid, 0, bay) for bay in others], ()
    top, inset = cell.top + cell.height * 16 // 100, max(1, cell.width * 8 // 100)
    runs = [run for run in (others[:entrance], others[entrance:]) if run]
    ends = [(grid.cell(0, run[0]).left + inset, grid.cell(0, run[-1]).right - inset) for run in runs]
    return door, [], tuple(Box(top, left, cell.bottom, right) for left, right in ends)


def _plan_balconies(dice: Dice, grid: _Grid, windows: Sequence[Box]) -> tuple[Box, ...]:
    kind, bays = grid.style.balconies, len(grid.bays)
    storeys = [windows[i : i + bays] for i in range(0, len(windows), bays)]
    runs: list[tuple[Box, Box]] = []  # first and last window of each balcony
    if kind == "continuous":
        lowest_and_highest = storeys[:: max(1, len(storeys) - 1)]
        runs = [(row[0], row[-1]) for row in lowest_and_highest]
    elif kind == "single":
        runs = [(box, box) for box in storeys[0]]
    elif kind == "alternate":
        parity = dice.between(0, 1)
        chosen = [bay for bay in range(bays) if min(bay, bays - 1 - bay) % 2 == parity]
        runs = [(row[bay], row[bay]) for row in storeys for bay in chosen]
    rail, slab, side = max(2, windows[0].height * 34 // 100), grid.px(14), grid.cell(0, 0).width * 14 // 100
    return tuple(Box(a.bottom - rail, a.left - side, a.bottom + slab, b.right + side) for a, b in runs)


def _plan_pediments(grid: _Grid, windows: Sequence[Box]) -> tuple[Box, ...]:
    high, low, sides = grid.px(40), grid.px(6), grid.px(22)
    return tuple(Box(box.top - high, box.left - sides, box.top - low, box.right + sides) for box in windows)


def _plan_chimneys(dice: Dice, grid: _Grid, top: Box) -> tuple[Box, ...]:
    width, height = grid.px(60), top.height + grid.px(dice.between(36, 56))
    centres = [grid.wall.left + grid.wall.width * n // 100 for n in dice.pick(((20,), (80,), (15, 85)))]
    return tuple(Box.standing(centre, top.bottom, width, height) for centre in centres)


def _plan_dormers(grid: _Grid, top: Box) -> tuple[Box, ...]:
    if grid.style.roof == "mansard":
        centres = [(left + right) // 2 for left, right in grid.bays]
        height, width, sill, rise = 56, 70, 12, 30
    elif grid.style.gabled:
        centres = [top.centre]
        height, width, sill, rise = 36, 76, 14, 50
    else:
        return ()
    bottom = top.bottom - max(1, top.height * sill // 100)
    height, width = max(3, top.height * height // 100), grid.px(width, least=3)
    return tuple(Box.standing(centre, bottom, width, height, rise) for centre in centres)


def _plan_cornices(grid: _Grid, door: Box, pillar: int) -> tuple[Box, ...]:
    """Returns the eaves, the string courses and the lintel over the door and its pillars."""
    wall, eaves, string = grid.wall, grid.px(28, least=2), grid.px(14)
    marked = grid.storeys[:-1] if grid.style.cornices else grid.storeys[:1]
    tops = [(wall.top - eaves // 2, eaves), *((top - string // 2, string) for top, _ in marked)]
    cornices = [Box(top, wall.left, top + height, wall.right) for top, height in tops]
    if grid.style.pillars != "none":
        reach = pillar + string // 2
        cornices.append(Box(door.top - string, door.left - reach, door.top, door.right + reach))
    return tuple(cornices)


def _plan_mouldings(grid: _Grid, windows: Sequence[Box]) -> tuple[Box, ...]:
    sill, lintel, sides = grid.px(12), grid.px(18), grid.px(14)
    above: list[Box] = []
    if grid.style.surround:
        above = [box.grown(sides, 0) for box in windows]
    elif not grid.style.rise and not grid.style.shutters:
        above = [Box(box.top - lintel, box.left - sides, box.top, box.right + sides) for box in windows]
    sills = [Box(box.bottom, box.left - sides, box.bottom + sill, box.right + sides) for box in windows]
    return (*above, *sills)


def _plan_pillars(grid: _Grid, door: Box, width: int) -> tuple[Box, ...]:
    """Returns the pilasters of the upper stories and the two pillars beside the door."""
    wall = grid.wall
    middles = [left - width // 2 for left, _ in grid.bays[1:]] if grid.style.pillars == "all" else []
    pilasters = [wall.left, *middles, wall.right - width]
    return (
        *(Box(wall.top, left, grid.storeys[0][0], left + width) for left in pilasters),
        *(Box(door.top, left, door.bottom, left + width) for left in (door.left - width, door.right)),
    )


def _plan_shutters(windows: Sequence[Box]) -> tuple[Box, ...]:
    leaf = max(1, windows[0].width // 2)
    lefts = ((box, left) for box in windows for left in (box.left - leaf, box.right))
    return tuple(Box(box.top, left, box.bottom, left + leaf) for box, left in lefts)
