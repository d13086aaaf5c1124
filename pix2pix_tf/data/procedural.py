"""Facades drawn by the program: endless pairs of a photo and its label map, with nothing to download.

A facade is first planned (what stands where, in whole pixels) and then painted, label and material by the
same stroke, so that the two images of a pair agree to the pixel. Six architectural styles tie what the
labels show (shutters, pillars, a stepped gable) to what the photo shows (plaster, stone, brick), so that
the photo can be learnt from the labels.

All arithmetic is on integers and all randomness is a hash of (seed, index): the same pair has the same
bytes on every machine and with every version of NumPy.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

import numpy as np

from pix2pix_tf.data.pairs import PairDataset, Side, Split
from pix2pix_tf.errors import ConfigError

if TYPE_CHECKING:
    import tensorflow as tf

Colour = tuple[int, int, int]
Bond = Literal["brick", "ashlar", "plaster"]
Interior = Literal["dark", "drapes", "blind", "lit"]
T = TypeVar("T")

PALETTE: Mapping[str, Colour] = MappingProxyType(
    {
        "sky": (0, 0, 128),
        "wall": (0, 0, 255),
        "window": (0, 128, 255),
        "door": (0, 255, 255),
        "cornice": (0, 255, 128),
        "moulding": (128, 255, 128),
        "balcony": (128, 255, 0),
        "shutter": (255, 255, 0),
        "roof": (255, 128, 0),
        "pillar": (255, 0, 0),
        "shop": (128, 0, 0),
        "pavement": (128, 128, 128),
    }
)
"""The RGB colour of each class in a label map, in the spirit of the CMP facades."""

_HELD_BYTES = 1 << 28  # a split larger than this is drawn again at each reading

_SKY, _WALL, _WINDOW, _DOOR, _CORNICE, _MOULDING, _BALCONY, _SHUTTER, _ROOF, _PILLAR, _SHOP, _PAVEMENT = (
    range(len(PALETTE))
)
_FULL_LIGHT = 256  # light and blending weights are fixed-point numbers with 8 fractional bits
_GOLDEN = 0x9E3779B97F4A7C15
_MASK64 = (1 << 64) - 1


# ---------------------------------------------------------------------------------------------- randomness


def _mix(value: int) -> int:
    """Returns SplitMix64's finaliser of ``value``: a bijection of the 64-bit integers."""
    value &= _MASK64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK64
    return value ^ (value >> 31)


def _derive(key: int, number: int) -> int:
    """Returns a new key; for one ``key``, different numbers below 2**64 give different keys."""
    return _mix(_mix(key) + number * _GOLDEN)


def _hash_grid(key: int, height: int, width: int) -> np.ndarray:
    """Returns independent uniform integers, uint64 [height, width]."""
    value = np.arange(1, height * width + 1, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(key & _MASK64)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (value ^ (value >> np.uint64(31))).reshape(height, width)


class _Dice:
    """A stream of choices, each a hash of the key and of how many choices came before."""

    def __init__(self, key: int):
        self.key = key
        self._rolls = 0

    def between(self, low: int, high: int) -> int:
        """Returns an integer in [low, high]."""
        self._rolls += 1
        return low + _derive(self.key, self._rolls) % (high - low + 1)

    def pick(self, options: Sequence[T]) -> T:
        """Returns one of ``options``."""
        return options[self.between(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        """Returns True in ``percent`` of 100 cases."""
        return self.between(0, 99) < percent

    def jitter(self, colour: Colour, amount: int) -> Colour:
        """Returns ``colour`` a little lighter or darker, a little warmer or cooler."""
        tone, warmth = self.between(-amount, amount), self.between(-amount // 2, amount // 2)
        return _tint(colour, tone + warmth, tone, tone - warmth)

    def child(self, number: int) -> _Dice:
        """Returns dice of their own for one part, so that other parts may change without it."""
        return _Dice(_derive(self.key, (1 << 32) + number))


# -------------------------------------------------------------------------------------------------- styles


@dataclasses.dataclass(frozen=True)
class Style:
    """What the facades of one architecture have in common.

    Args:
        bond: how the wall of the upper storeys is built.
        ground_bond: how the wall of the ground storey is built.
        walls: colours of the wall, one is chosen.
        trim: colour of cornices, mouldings and pillars.
        joinery: colour of the window frames.
        doors: colours of the door, one is chosen.
        shutters: colours of the shutters, one is chosen; empty for none.
        roof: the shape of the top.
        roofing: colour of the roof.
        metal: colour of the railings.
        awning: colour of the shops.
        storey: range of a storey's height, in 1024ths of the image's short side.
        bay: range of a bay's width, in 1024ths of the image's short side.
        window: width of a window in percent of its bay, height in percent of its storey.
        rise: height of the windows' arch in percent of their width.
        panes: rows and columns of panes in a window.
        surround: windows stand in a moulding.
        pediments: windows of the first upper storey have a pediment.
        pillars: between which bays pilasters stand.
        balconies: along which windows balconies run.
        cornices: a string course marks every storey, not the ground storey alone.
        shops: percent of the houses that have shops.
    """

    bond: Bond
    ground_bond: Bond
    walls: tuple[Colour, ...]
    trim: Colour
    joinery: Colour
    doors: tuple[Colour, ...]
    shutters: tuple[Colour, ...]
    roof: Literal["parapet", "mansard", "tiles", "gable", "stepped"]
    roofing: Colour
    metal: Colour
    awning: Colour
    storey: tuple[int, int]
    bay: tuple[int, int]
    window: tuple[int, int]
    rise: int
    panes: tuple[int, int]
    surround: bool
    pediments: bool
    pillars: Literal["none", "corners", "all"]
    balconies: Literal["none", "single", "alternate", "continuous"]
    cornices: bool
    shops: int


_PARISIAN = Style(
    bond="ashlar",
    ground_bond="ashlar",
    walls=((222, 205, 174), (214, 198, 170), (228, 213, 186)),
    trim=(236, 224, 200),
    joinery=(240, 238, 230),
    doors=((38, 74, 62), (46, 58, 86)),
    shutters=(),
    roof="mansard",
    roofing=(98, 110, 126),
    metal=(40, 42, 48),
    awning=(176, 48, 46),
    storey=(165, 195),
    bay=(190, 245),
    window=(46, 74),
    rise=0,
    panes=(3, 2),
    surround=True,
    pediments=False,
    pillars="none",
    balconies="continuous",
    cornices=True,
    shops=80,
)
_CANAL_HOUSE = Style(
    bond="brick",
    ground_bond="brick",
    walls=((164, 78, 58), (150, 70, 56), (172, 90, 64)),
    trim=(228, 218, 198),
    joinery=(244, 242, 236),
    doors=((30, 84, 64), (26, 66, 82)),
    shutters=(),
    roof="stepped",
    roofing=(120, 66, 54),
    metal=(40, 42, 48),
    awning=(38, 98, 76),
    storey=(150, 180),
    bay=(190, 250),
    window=(50, 68),
    rise=22,
    panes=(3, 2),
    surround=False,
    pediments=False,
    pillars="none",
    balconies="none",
    cornices=False,
    shops=35,
)
_MEDITERRANEAN = Style(
    bond="plaster",
    ground_bond="plaster",
    walls=((236, 178, 104), (232, 160, 112), (240, 192, 122)),
    trim=(248, 232, 206),
    joinery=(246, 240, 228),
    doors=((112, 66, 40), (124, 76, 44)),
    shutters=((54, 112, 88), (62, 120, 104)),
    roof="tiles",
    roofing=(190, 98, 66),
    metal=(54, 50, 50),
    awning=(44, 74, 124),
    storey=(180, 215),
    bay=(235, 300),
    window=(36, 62),
    rise=0,
    panes=(2, 2),
    surround=False,
    pediments=False,
    pillars="none",
    balconies="alternate",
    cornices=False,
    shops=30,
)
_GEORGIAN = Style(
    bond="brick",
    ground_bond="ashlar",
    walls=((176, 140, 98), (168, 132, 92), (186, 150, 108)),
    trim=(242, 238, 228),
    joinery=(248, 248, 246),
    doors=((150, 34, 40), (134, 30, 44)),
    shutters=(),
    roof="parapet",
    roofing=(104, 108, 116),
    metal=(34, 36, 40),
    awning=(38, 98, 76),
    storey=(175, 210),
    bay=(200, 260),
    window=(42, 66),
    rise=0,
    panes=(4, 3),
    surround=False,
    pediments=False,
    pillars="corners",
    balconies="single",
    cornices=False,
    shops=15,
)
_GRUENDERZEIT = Style(
    bond="plaster",
    ground_bond="ashlar",
    walls=((158, 196, 178), (164, 188, 206), (170, 200, 186)),
    trim=(248, 246, 236),
    joinery=(250, 248, 242),
    doors=((106, 62, 40), (92, 56, 40)),
    shutters=(),
    roof="gable",
    roofing=(142, 84, 68),
    metal=(52, 56, 60),
    awning=(176, 48, 46),
    storey=(170, 200),
    bay=(205, 260),
    window=(44, 64),
    rise=0,
    panes=(2, 2),
    surround=True,
    pediments=True,
    pillars="all",
    balconies="none",
    cornices=True,
    shops=45,
)
_VENETIAN = Style(
    bond="plaster",
    ground_bond="ashlar",
    walls=((206, 112, 96), (214, 126, 104), (198, 104, 92)),
    trim=(244, 232, 214),
    joinery=(92, 62, 48),
    doors=((88, 54, 38), (98, 62, 42)),
    shutters=(),
    roof="parapet",
    roofing=(178, 96, 70),
    metal=(226, 216, 200),
    awning=(44, 74, 124),
    storey=(185, 225),
    bay=(190, 240),
    window=(46, 66),
    rise=50,
    panes=(2, 2),
    surround=True,
    pediments=False,
    pillars="corners",
    balconies="single",
    cornices=True,
    shops=30,
)
_STYLES = (_PARISIAN, _CANAL_HOUSE, _MEDITERRANEAN, _GEORGIAN, _GRUENDERZEIT, _VENETIAN)
# Mostly dark panes: what nobody can tell from the labels should be the exception.
_INTERIORS: tuple[Interior, ...]
_INTERIORS = ("dark", "dark", "dark", "dark", "dark", "dark", "drapes", "drapes", "drapes", "blind", "lit")
_SKIES = (
    ((88, 146, 214), (200, 222, 240)),
    ((104, 156, 214), (214, 228, 240)),
    ((78, 134, 206), (192, 214, 236)),
)


# ---------------------------------------------------------------------------------------------------- plans


class Box(NamedTuple):
    """A rectangle of pixels, ``bottom`` and ``right`` excluded, its top rounded to an arch ``rise`` high."""

    top: int
    left: int
    bottom: int
    right: int
    rise: int = 0

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left

    @property
    def centre(self) -> int:
        """The column in the middle, the right one of two."""
        return (self.left + self.right) // 2

    def grown(self, top: int, sides: int, bottom: int) -> Box:
        """Returns the box with margins around it."""
        rise = self.rise and self.rise + top
        return Box(self.top - top, self.left - sides, self.bottom + bottom, self.right + sides, rise)


@dataclasses.dataclass(frozen=True)
class Window:
    """A window and what is seen through it."""

    box: Box
    interior: Interior


@dataclasses.dataclass(frozen=True)
class Facade:
    """What stands where on one house, in pixels of the image.

    Args:
        style: what it has in common with other houses.
        key: hash key of its textures.
        wall_colour, door_colour, shutter_colour: what it has of its own.
        line: thickness of the thinnest detail.
        wall: the wall from the eaves down to the pavement.
        ground: the part of the wall that belongs to the ground storey.
        top: gable, mansard or tiles above the wall; empty under a parapet.
        chimneys: behind the top.
        windows, door, shops, cornices, mouldings, pillars, shutters, balconies, pediments: as they say.
        dormers: windows that stand in the top.
    """

    style: Style
    key: int
    wall_colour: Colour
    door_colour: Colour
    shutter_colour: Colour
    line: int
    wall: Box
    ground: Box
    top: Box
    chimneys: tuple[Box, ...]
    windows: tuple[Window, ...]
    dormers: tuple[Window, ...]
    door: Box
    shops: tuple[Box, ...]
    cornices: tuple[Box, ...]
    mouldings: tuple[Box, ...]
    pillars: tuple[Box, ...]
    shutters: tuple[Box, ...]
    balconies: tuple[Box, ...]
    pediments: tuple[Box, ...]


@dataclasses.dataclass(frozen=True)
class Street:
    """One image: the houses side by side, the sky above and the pavement below.

    Args:
        key: hash key of clouds and noise.
        unit: the image's short side, which all lengths are measured by.
        sky: colours of the zenith and of the horizon.
        shadow: the light left in a shadow, in 256ths.
        pavement: first row of the pavement.
        houses: from left to right.
    """

    key: int
    unit: int
    sky: tuple[Colour, Colour]
    shadow: int
    pavement: int
    houses: tuple[Facade, ...]


def _px(length: int, unit: int, least: int = 1) -> int:
    return max(least, (length * unit + 512) // 1024)


@dataclasses.dataclass(frozen=True)
class _Grid:
    """The storeys (from the ground up) and bays (from the left) that order a facade."""

    wall: Box
    unit: int
    storeys: tuple[tuple[int, int], ...]
    bays: tuple[tuple[int, int], ...]

    def px(self, length: int) -> int:
        """Returns a length given in 1024ths of the image's short side in pixels, at least 1."""
        return _px(length, self.unit)

    def cell(self, storey: int, bay: int) -> Box:
        """Returns the part of the wall that belongs to one storey and one bay."""
        (top, bottom), (left, right) = self.storeys[storey], self.bays[bay]
        return Box(top, left, bottom, right)


def plan_street(seed: int, index: int, height: int, width: int) -> Street:
    """Plans image number ``index``; a wide image holds several houses.

    Args:
        seed: any integer; another seed gives another endless series.
        index: 0 or more.
        height: of the image, in pixels.
        width: of the image, in pixels.
    """
    dice = _Dice(_derive(_derive(0, seed), index))
    unit = min(height, width)
    pavement = height - max(2, dice.between(36, 56) * unit // 1024)
    houses = max(1, (width * 4 + 2 * unit) // (5 * unit)) if width > height else 1
    edges = [width * i // houses for i in range(houses + 1)]
    lots = [Box(0, left, pavement, right) for left, right in itertools.pairwise(edges)]
    return Street(
        key=dice.key,
        unit=unit,
        sky=dice.pick(_SKIES),
        shadow=dice.between(120, 160),
        pavement=pavement,
        houses=tuple(_plan_facade(dice.child(i), lot, unit) for i, lot in enumerate(lots)),
    )


def _plan_facade(dice: _Dice, lot: Box, unit: int) -> Facade:
    style = dice.pick(_STYLES)
    grid, top = _plan_grid(dice, style, lot, unit)
    door, ground_windows, shops = _plan_ground(dice, style, grid)
    upper = [
        _plan_window(style, grid, storey, bay)
        for storey in range(1, len(grid.storeys))
        for bay in range(len(grid.bays))
    ]
    boxes = upper + ground_windows
    return Facade(
        style=style,
        key=dice.key,
        wall_colour=dice.jitter(dice.pick(style.walls), 6),
        door_colour=dice.pick(style.doors),
        shutter_colour=dice.pick(style.shutters or style.doors),
        line=grid.px(5),
        wall=grid.wall,
        ground=Box(grid.storeys[0][0], grid.wall.left, grid.wall.bottom, grid.wall.right),
        top=top,
        chimneys=_plan_chimneys(dice, style, grid, top),
        windows=tuple(Window(box, dice.pick(_INTERIORS)) for box in boxes),
        dormers=tuple(Window(box, "dark") for box in _plan_dormers(style, grid, top)),
        door=door,
        shops=shops,
        cornices=_plan_cornices(style, grid, door),
        mouldings=_plan_mouldings(style, grid, boxes),
        pillars=_plan_pillars(style, grid, door),
        shutters=_plan_shutters(style, grid, upper),
        balconies=_plan_balconies(dice, style, grid, upper),
        pediments=_plan_pediments(style, grid, upper),
    )


_CROWNS = {"parapet": 0, "mansard": 130, "tiles": 58, "gable": 150, "stepped": 210}  # heights above the wall


def _plan_grid(dice: _Dice, style: Style, lot: Box, unit: int) -> tuple[_Grid, Box]:
    """Returns the storeys and bays, and the box of what stands above the wall."""
    detached = style.roof in ("tiles", "mansard") and dice.chance(40)
    margin = _px(dice.between(40, 80), unit) if detached else 0
    left, right = lot.left + margin, lot.right - margin
    crown = _px(_CROWNS[style.roof], unit, least=0)
    eaves = crown + _px(dice.between(70, 150), unit)
    # Counted in 1024ths, not in pixels: a facade has as many storeys and bays at every size.
    storeys = max(2, (lot.bottom - eaves) * 1024 // (unit * dice.between(*style.storey)))
    bays = max(2, (right - left) * 1024 // (unit * dice.between(*style.bay)))
    storey = (lot.bottom - eaves) * 8 // (storeys * 8 + 2)  # the ground storey is a quarter higher
    tops = [eaves + storey * (storeys - 1 - i) for i in range(storeys)]
    bay = (right - left) // bays
    first = (left + right - bay * bays) // 2
    grid = _Grid(
        wall=Box(eaves, left, lot.bottom, right),
        unit=unit,
        storeys=tuple(zip(tops, [lot.bottom, *tops[:-1]], strict=True)),
        bays=tuple((first + bay * i, first + bay * (i + 1)) for i in range(bays)),
    )
    overhang = _px(18, unit) if detached else 0
    return grid, Box(eaves - crown, left - overhang, eaves, right + overhang)


def _plan_window(style: Style, grid: _Grid, storey: int, bay: int) -> Box:
    cell, lowest = grid.cell(storey, bay), grid.cell(len(grid.storeys) - 1, bay)
    # French windows reach down to their balcony; the others leave a parapet below the sill.
    bottom = cell.bottom - max(2, cell.height * (10 if style.balconies == "continuous" else 16) // 100)
    headroom = lowest.height * 84 // 100 - grid.px(34)
    height = max(3, min(lowest.height * style.window[1] // 100, headroom))
    width = max(3, min(cell.width * style.window[0] // 100, height * 4 // 5))
    left = cell.centre - width // 2
    return Box(bottom - height, left, bottom, left + width, width * style.rise // 100)


def _plan_ground(dice: _Dice, style: Style, grid: _Grid) -> tuple[Box, list[Box], tuple[Box, ...]]:
    bays = len(grid.bays)
    entrance = bays // 2 if bays % 2 or dice.chance(40) else dice.pick((0, bays - 1))
    cell = grid.cell(0, entrance)
    width = max(4, min(cell.width * 56 // 100, grid.px(130)))
    top = cell.top + cell.height * 26 // 100
    left = cell.centre - width // 2
    door = Box(top, left, cell.bottom, left + width, width * style.rise // 100)
    others = [bay for bay in range(bays) if bay != entrance]
    if not dice.chance(style.shops):
        return door, [_plan_ground_window(style, grid, bay) for bay in others], ()
    runs = [run for run in (others[:entrance], others[entrance:]) if run]
    return door, [], tuple(_plan_shop(grid, run) for run in runs)


def _plan_ground_window(style: Style, grid: _Grid, bay: int) -> Box:
    cell = grid.cell(0, bay)
    upper = _plan_window(style, grid, 1, bay)
    bottom = cell.bottom - max(2, cell.height * 24 // 100)
    return Box(cell.top + cell.height * 26 // 100, upper.left, bottom, upper.right, upper.rise)


def _plan_shop(grid: _Grid, run: Sequence[int]) -> Box:
    first, last = grid.cell(0, run[0]), grid.cell(0, run[-1])
    inset = max(1, first.width * 8 // 100)
    return Box(first.top + first.height * 16 // 100, first.left + inset, first.bottom, last.right - inset)


def _plan_balconies(dice: _Dice, style: Style, grid: _Grid, windows: Sequence[Box]) -> tuple[Box, ...]:
    if style.balconies == "none":
        return ()
    bays = len(grid.bays)
    storeys = [windows[i : i + bays] for i in range(0, len(windows), bays)]
    slab, overhang = grid.px(14), max(1, grid.bays[0][1] - grid.bays[0][0]) * 14 // 100

    def balcony(first: Box, last: Box) -> Box:
        top = first.bottom - max(2, first.height * 34 // 100)
        return Box(top, first.left - overhang, first.bottom + slab, last.right + overhang)

    if style.balconies == "continuous":
        rows = storeys if len(storeys) == 1 else [storeys[0], storeys[-1]]
        return tuple(balcony(row[0], row[-1]) for row in rows)
    parity = dice.between(0, 1) if style.balconies == "alternate" else None
    rows = storeys if style.balconies == "alternate" else storeys[:1]
    return tuple(
        balcony(box, box)
        for row in rows
        for bay, box in enumerate(row)
        if parity is None or min(bay, bays - 1 - bay) % 2 == parity
    )


def _plan_pediments(style: Style, grid: _Grid, windows: Sequence[Box]) -> tuple[Box, ...]:
    if not style.pediments:
        return ()
    sides = grid.px(22)
    return tuple(
        Box(box.top - grid.px(40), box.left - sides, box.top - grid.px(6), box.right + sides)
        for box in windows[: len(grid.bays)]
    )


def _plan_chimneys(dice: _Dice, style: Style, grid: _Grid, top: Box) -> tuple[Box, ...]:
    if style.roof in ("gable", "stepped"):
        return ()
    width, height = grid.px(60), grid.px(dice.between(36, 56))
    places = dice.pick(((20,), (80,), (15, 85)))
    lefts = [grid.wall.left + grid.wall.width * place // 100 - width // 2 for place in places]
    return tuple(Box(top.top - height, left, top.bottom, left + width) for left in lefts)


def _plan_dormers(style: Style, grid: _Grid, top: Box) -> list[Box]:
    if style.roof == "mansard":
        height, width = max(3, top.height * 56 // 100), max(3, grid.px(70))
        lefts = [(left + right) // 2 - width // 2 for left, right in grid.bays]
        bottom = top.bottom - max(1, top.height * 12 // 100)
        return [Box(bottom - height, left, bottom, left + width, width * 30 // 100) for left in lefts]
    if style.roof in ("gable", "stepped"):
        height, width = max(3, top.height * 36 // 100), max(3, grid.px(76))
        left, bottom = top.centre - width // 2, top.bottom - max(1, top.height * 14 // 100)
        return [Box(bottom - height, left, bottom, left + width, width * 50 // 100)]
    return []


def _plan_cornices(style: Style, grid: _Grid, door: Box) -> tuple[Box, ...]:
    wall, eaves, string = grid.wall, max(2, grid.px(28)), max(1, grid.px(14))
    marked = grid.storeys[:-1] if style.cornices else grid.storeys[:1]
    tops = [(wall.top - eaves // 2, eaves), *((top - string // 2, string) for top, _ in marked)]
    cornices = [Box(top, wall.left, top + height, wall.right) for top, height in tops]
    if style.pillars != "none":
        reach = _pillar_width(grid) + string // 2
        cornices.append(Box(door.top - string, door.left - reach, door.top, door.right + reach))
    return tuple(cornices)


def _plan_mouldings(style: Style, grid: _Grid, windows: Sequence[Box]) -> tuple[Box, ...]:
    sill, sides = grid.px(12), grid.px(14)
    sills = [Box(box.bottom, box.left - sides, box.bottom + sill, box.right + sides) for box in windows]
    if style.surround:
        return (*(box.grown(sides, sides, 0) for box in windows), *sills)
    if style.rise or style.shutters:
        return tuple(sills)
    lintels = [Box(box.top - grid.px(18), box.left - sides, box.top, box.right + sides) for box in windows]
    return (*lintels, *sills)


def _pillar_width(grid: _Grid) -> int:
    return max(2, grid.px(30))


def _plan_pillars(style: Style, grid: _Grid, door: Box) -> tuple[Box, ...]:
    if style.pillars == "none":
        return ()
    width = _pillar_width(grid)
    top, bottom = grid.wall.top, grid.storeys[0][0]
    middles = [left - width // 2 for left, _ in grid.bays[1:]] if style.pillars == "all" else []
    pilasters = [grid.wall.left, *middles, grid.wall.right - width]
    portico = [door.left - width, door.right]
    return (
        *(Box(top, left, bottom, left + width) for left in pilasters),
        *(Box(door.top, left, door.bottom, left + width) for left in portico),
    )


def _plan_shutters(style: Style, grid: _Grid, windows: Sequence[Box]) -> tuple[Box, ...]:
    if not style.shutters:
        return ()
    leaf = max(1, windows[0].width // 2)
    lefts = ((box, left) for box in windows for left in (box.left - leaf, box.right))
    return tuple(Box(box.top, left, box.bottom, left + leaf) for box, left in lefts)


# ------------------------------------------------------------------------------------ textures and outlines


def _tint(colour: Colour, red: int, green: int, blue: int) -> Colour:
    """Returns ``colour`` with an amount added to each channel."""
    r, g, b = (min(255, max(0, value + add)) for value, add in zip(colour, (red, green, blue), strict=True))
    return r, g, b


def _tone(colour: Colour, amount: int) -> Colour:
    """Returns ``colour`` lighter (positive ``amount``) or darker."""
    return _tint(colour, amount, amount, amount)


def _blend(first: Colour, second: Colour, weight: np.ndarray) -> np.ndarray:
    """Returns the colours from ``first`` (weight 0) to ``second`` (weight 256), int32 [..., 3]."""
    start, end = np.array(first, np.int32), np.array(second, np.int32)
    return start + ((end - start) * weight[..., None] >> 8)


def _ramp(length: int) -> np.ndarray:
    """Returns weights from 0 up to almost 256, int32 [length]."""
    return (np.arange(length, dtype=np.int32) << 8) // max(1, length)


def _smooth_noise(key: int, height: int, width: int, cell_height: int, cell_width: int) -> np.ndarray:
    """Returns value noise in [0, 255], int32 [height, width], that varies over the size of a cell."""

    def places(length: int, cell: int) -> tuple[np.ndarray, np.ndarray]:
        whole, rest = np.divmod(np.arange(length, dtype=np.int32), cell)
        t = (rest << 8) // cell
        return whole, t * t * (768 - 2 * t) >> 16

    y, ty = places(height, cell_height)
    x, tx = places(width, cell_width)
    lattice = (_hash_grid(key, int(y[-1]) + 2, int(x[-1]) + 2) >> np.uint64(56)).astype(np.int32)
    rows = lattice[y] + ((lattice[y + 1] - lattice[y]) * ty[:, None] >> 8)
    left = rows[:, x]
    return left + ((rows[:, x + 1] - left) * tx >> 8)


def _masonry(
    key: int, height: int, width: int, course: int, length: int, joint: int, spread: int
) -> np.ndarray:
    """Returns courses of stones laid in a running bond, as tones to add to a colour.

    Args:
        key: hash key of the tones of single stones.
        height: of the wall, in pixels; the courses count from its foot.
        width: of the wall, in pixels.
        course: height of a course with its joint.
        length: length of a stone with its joint.
        joint: the tone of the joints.
        spread: the tones of the stones are in [-spread, spread].

    Returns:
        int32 [height, width].
    """
    thickness = max(1, course // 8)
    row, in_row = np.divmod(np.arange(height, dtype=np.int32)[::-1], course)
    shifted = np.arange(width, dtype=np.int32) + np.array([[0], [length // 2]], np.int32)
    column, in_column = np.divmod(shifted, length)
    tones = _hash_grid(key, int(row[0]) + 1, int(column.max()) + 1) % np.uint64(2 * spread + 1)
    odd = row & 1
    stones = (tones.astype(np.int32) - spread)[row[:, None], column[odd]]
    joints = (in_row < thickness)[:, None] | (in_column < thickness)[odd]
    return np.where(joints, np.int32(joint), stones)


@functools.lru_cache(maxsize=512)
def _arch(height: int, width: int, rise: int) -> np.ndarray:
    """Returns the inside of an opening whose head is half an ellipse, bool [height, width], read-only."""
    x = 2 * np.arange(width, dtype=np.int64) + 1 - width
    y = np.maximum(0, 2 * rise - 2 * np.arange(height, dtype=np.int64) - 1)[:, None]
    inside = x * x * (4 * rise * rise) + y * y * (width * width) <= width * width * 4 * max(rise, 1) ** 2
    mask = inside if rise else np.ones((height, width), bool)
    mask.flags.writeable = False
    return mask


def _slope(height: int, width: int, top_width: int) -> np.ndarray:
    """Returns a trapezium that stands on its long side, bool [height, width]."""
    half = (top_width * height + (width - top_width) * (np.arange(height) + 1)) // max(1, height)
    return np.abs(2 * np.arange(width) + 1 - width) <= half[:, None]


def _steps(height: int, width: int, count: int) -> np.ndarray:
    """Returns a stepped gable, bool [height, width]."""
    step = np.arange(height) * count // height + 1
    half = (width * 24 // 100 * count + (width - width * 24 // 100) * (step - 1)) // count
    return np.abs(2 * np.arange(width) + 1 - width) <= half[:, None]


# ------------------------------------------------------------------------------------------------- painting


class _Canvas:
    """The label map, the colour of the materials and the light on them, painted together.

    Attributes:
        labels: class of each pixel, uint8 [height, width].
        colour: of the material in full light, int32 [height, width, 3] in [0, 255].
        light: that reaches the material, int32 [height, width] in [0, 256].
        shadow: light left in a full shadow.
    """

    def __init__(self, height: int, width: int, shadow: int):
        self.labels = np.full((height, width), _SKY, np.uint8)
        self.colour = np.zeros((height, width, 3), np.int32)
        self.light = np.full((height, width), _FULL_LIGHT, np.int32)
        self.shadow = shadow

    def paint(
        self, box: Box, label: int, colour: Colour | np.ndarray, mask: np.ndarray | None = None
    ) -> None:
        """Paints a thing that hides what was there, shadows included.

        Args:
            box: where; inside the image.
            label: the thing's class.
            colour: one colour, or an array that broadcasts to [box.height, box.width, 3].
            mask: its outline, bool [box.height, box.width]; the box, arched if it is, unless given.
        """
        view = slice(box.top, box.bottom), slice(box.left, box.right)
        if mask is None and box.rise:
            mask = _arch(box.height, box.width, box.rise)
        if mask is None:
            self.labels[view], self.colour[view], self.light[view] = label, colour, _FULL_LIGHT
        else:
            self.labels[view][mask] = label
            self.light[view][mask] = _FULL_LIGHT
            np.copyto(self.colour[view], np.asarray(colour, np.int32), where=mask[..., None])

    def shade(self, box: Box, light: int | np.ndarray) -> None:
        """Takes light away; what of the box is outside the image is ignored.

        Args:
            box: where.
            light: what remains, in 256ths; an array must broadcast to [box.height, box.width].
        """
        if box.rise:
            light = np.where(_arch(box.height, box.width, box.rise), light, _FULL_LIGHT)
        view = self.light[max(0, box.top) : max(0, box.bottom), max(0, box.left) : max(0, box.right)]
        factor = np.broadcast_to(np.asarray(light, np.int32), (box.height, box.width))
        view *= factor[max(0, -box.top) :, max(0, -box.left) :][: view.shape[0], : view.shape[1]]
        view >>= 8

    def cast(self, box: Box, depth: int) -> None:
        """Casts the shadow of something that stands out by ``depth`` on what is below it."""
        fade = self.shadow + (_ramp(depth) * _ramp(depth) >> 8) * (_FULL_LIGHT - self.shadow) // 256
        aside = depth // 3  # the sun stands in the upper left
        self.shade(Box(box.bottom, box.left + aside, box.bottom + depth, box.right + aside), fade[:, None])


def _paint_sky(canvas: _Canvas, street: Street) -> None:
    height, width = canvas.labels.shape
    deep = max(house.wall.top for house in street.houses)
    gradient = _blend(street.sky[0], street.sky[1], np.minimum(256, (np.arange(height) << 8) // max(1, deep)))
    canvas.colour[:] = gradient[:, None].astype(np.int32)
    cell = max(4, street.unit // 5)
    clouds = 2 * _smooth_noise(street.key + 1, deep, width, max(2, cell // 3), cell)
    clouds += _smooth_noise(street.key + 2, deep, width, max(2, cell // 6), max(2, cell // 3))
    cover = np.clip(clouds - 400, 0, 230)[..., None]
    sky = canvas.colour[:deep]
    sky += (np.array((252, 250, 248), np.int32) - sky) * cover >> 8


def _paint_pavement(canvas: _Canvas, street: Street) -> None:
    height, width = canvas.labels.shape
    box = Box(street.pavement, 0, height, width)
    course, length = max(3, box.height // 2), max(6, street.unit // 12)
    slabs = _masonry(street.key + 3, box.height, width, course, length, -18, 5)
    canvas.paint(box, _PAVEMENT, np.array((158, 154, 148), np.int32) + slabs[..., None])
    canvas.cast(box.grown(0, 0, -box.height), max(2, box.height // 3))


def _wall_texture(house: Facade, bond: Bond, colour: Colour, box: Box, unit: int) -> np.ndarray:
    """Returns the material of a wall in full light, int32 [height, width, 3]."""
    height, width = box.height, box.width
    if bond == "brick":
        course = _px(14, unit, least=3)
        tones = _masonry(house.key + 1, height, width, course, course * 5 // 2, 16 if course < 5 else 30, 9)
    elif bond == "ashlar":
        course = _px(46, unit, least=5)
        tones = _masonry(house.key + 2, height, width, course, course * 9 // 4, -20, 4)
    else:
        tones = np.zeros((height, width), np.int32)
    cell = max(4, unit // 6)
    tones += (_smooth_noise(house.key + 3, height, width, cell, cell) - 128) // 16
    return np.array(colour, np.int32) + tones[..., None]


def _paint_wall(canvas: _Canvas, house: Facade, unit: int) -> None:
    box = Box(house.top.top, house.wall.left, house.wall.bottom, house.wall.right)
    mask = None
    if house.style.roof in ("gable", "stepped"):
        mask = np.ones((box.height, box.width), bool)
        mask[: house.top.height] = _gable(house, house.top.height, box.width)
    else:
        box = house.wall
    canvas.paint(box, _WALL, _wall_texture(house, house.style.bond, house.wall_colour, box, unit), mask)
    if house.style.ground_bond != house.style.bond:
        stone = _tone(house.style.trim, -22)
        stones = _wall_texture(house, house.style.ground_bond, stone, house.ground, unit)
        canvas.paint(house.ground, _WALL, stones)
    plinth = Box(house.wall.bottom - 4 * house.line, house.wall.left, house.wall.bottom, house.wall.right)
    canvas.shade(plinth, 206)


def _gable(house: Facade, height: int, width: int) -> np.ndarray:
    """Returns the outline of the gable, bool [height, width]."""
    return _steps(height, width, 5) if house.style.roof == "stepped" else _slope(height, width, width // 12)


def _paint_gable_edge(canvas: _Canvas, house: Facade) -> None:
    """Paints the coping that covers the edge of a gable."""
    box = Box(house.top.top, house.wall.left, house.top.bottom, house.wall.right)
    outline = _gable(house, box.height, box.width)
    inner, thick = outline.copy(), max(2, 3 * house.line)
    inner[:thick] = False
    inner[thick:] &= outline[:-thick]
    canvas.paint(box, _CORNICE, house.style.trim, outline & ~inner)


def _paint_roof(canvas: _Canvas, house: Facade) -> None:
    box, style = house.top, house.style
    for chimney in house.chimneys:
        brick = _tint(style.roofing, 20, -4, -14) if style.roof == "mansard" else _tone(style.roofing, -14)
        canvas.paint(chimney, _ROOF, brick)
        flank = max(1, chimney.width // 3)
        canvas.shade(Box(chimney.top, chimney.right - flank, chimney.bottom, chimney.right), 200)
        canvas.shade(Box(chimney.top, chimney.left, chimney.top + 2 * house.line, chimney.right), 180)
    if style.roof not in ("mansard", "tiles"):
        return
    rows = max(2, 3 * house.line)
    in_row = np.arange(box.height, dtype=np.int32) % rows
    tones = _masonry(house.key + 4, box.height, box.width, rows, max(3, rows * 3 // 2), -14, 6)
    tones += (_ramp(box.height) // 10)[:, None] - 10 + np.where(in_row == rows - 1, 8, 0)[:, None]
    mask = _slope(box.height, box.width, box.width - box.height * (1 if style.roof == "mansard" else 2))
    canvas.paint(box, _ROOF, np.array(style.roofing, np.int32) + tones[..., None], mask)


def _paint_cornices(canvas: _Canvas, house: Facade) -> None:
    for number, box in enumerate(house.cornices):
        canvas.paint(box, _CORNICE, house.style.trim)
        third = max(1, box.height // 3)
        canvas.shade(Box(box.bottom - third, box.left, box.bottom, box.right), 212)
        canvas.cast(box, (8 if number == 0 else 3) * house.line + 1)
        if number == 0 and box.height >= 6:
            dentils = np.where(np.arange(box.width) // (2 * house.line) % 2, 200, _FULL_LIGHT)
            canvas.shade(Box(box.top + third, box.left, box.bottom - third, box.right), dentils)


def _paint_pillars(canvas: _Canvas, house: Facade) -> None:
    for box in house.pillars:
        canvas.paint(box, _PILLAR, house.style.trim)
        across = 236 + np.minimum(20, _ramp(box.width) // 6) - _ramp(box.width) // 5
        canvas.shade(box, across)
        cap = 3 * house.line
        for top in (box.top, box.bottom - cap):
            canvas.shade(Box(top + cap - house.line, box.left, top + cap, box.right), 200)
        canvas.shade(Box(box.top, box.right, box.bottom, box.right + house.line), canvas.shadow + 40)


def _paint_mouldings(canvas: _Canvas, house: Facade) -> None:
    for box in house.mouldings:
        canvas.paint(box, _MOULDING, house.style.trim)
        canvas.cast(box, 2 * house.line)


def _paint_pediments(canvas: _Canvas, house: Facade) -> None:
    for box in house.pediments:
        outline = _slope(box.height, box.width, 2)
        canvas.paint(box, _CORNICE, house.style.trim, outline)
        edge = house.line + 1
        inner = Box(box.top + edge, box.left + 2 * edge, box.bottom - edge, box.right - 2 * edge)
        if inner.height > 1 and inner.width > 2:
            canvas.shade(inner, np.where(_slope(inner.height, inner.width, 2), 205, _FULL_LIGHT))
        canvas.cast(box, 2 * house.line)


def _glass(height: int, width: int, interior: Interior) -> np.ndarray:
    """Returns panes that mirror the sky, with what is seen behind them, int32 [height, width, 3]."""
    x, y = np.arange(width, dtype=np.int32), np.arange(height, dtype=np.int32)[:, None]
    down = np.broadcast_to(_ramp(height)[:, None], (height, width))
    if interior == "lit":
        glass = _blend((250, 214, 140), (206, 140, 72), down)
    else:
        glass = _blend((112, 138, 160), (34, 44, 58), down)
    if interior == "drapes":
        hem = width // 4 - y * width // (8 * height)
        glass[(x < hem) | (x >= width - hem)] = (196, 186, 172)
    elif interior == "blind":
        glass[: height * 2 // 5] = (206, 198, 182)
    glint = (x * height + y * width) * 8 // (height * width) % 8
    glass[(glint == 4) | (glint == 6)] += 22
    return glass


def _glazing(
    box: Box, interior: Interior, style: Style, line: int, shadow: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a window with frame and glazing bars, int32 [h, w, 3], and the light in it, int32 [h, w]."""
    height, width = box.height, box.width
    frame = line if min(height, width) >= 6 else 0  # a frame of one pixel would leave hardly any glass
    colour = np.empty((height, width, 3), np.int32)
    colour[:] = style.joinery
    inner = _arch(height - 2 * frame, width - 2 * frame, max(0, box.rise - frame))
    glass = _glass(height - 2 * frame, width - 2 * frame, interior)
    np.copyto(colour[frame : height - frame, frame : width - frame], glass, where=inner[..., None])
    rows, columns = style.panes
    # Bars closer than five pixels would leave more wood than glass.
    rows, columns = min(rows, height // 5), min(columns, width // 5)
    for i in range(1, rows):
        colour[height * i // rows :][: max(1, line * 2 // 3)] = style.joinery
    for i in range(1, columns):
        colour[:, (width * i - line // 2) // columns :][:, : max(1, line * 2 // 3)] = style.joinery
    light = np.full((height, width), _FULL_LIGHT, np.int32)
    light[: max(1, height // 12)] = shadow
    light[:, : max(1, line)] = np.minimum(light[:, : max(1, line)], shadow + 50)
    return colour, light


def _paint_windows(canvas: _Canvas, house: Facade) -> None:
    panes: dict[tuple[int, int, int, Interior], tuple[np.ndarray, np.ndarray]] = {}
    for window in (*house.dormers, *house.windows):
        box = window.box
        kind = (box.height, box.width, box.rise, window.interior)
        if kind not in panes:
            panes[kind] = _glazing(box, window.interior, house.style, house.line, canvas.shadow)
        colour, light = panes[kind]
        canvas.paint(box, _WINDOW, colour)
        canvas.shade(box, light)


def _paint_dormers(canvas: _Canvas, house: Facade) -> None:
    """Paints the surrounds of the windows in the roof or gable; their glass comes with the other windows."""
    for dormer in house.dormers:
        surround = dormer.box.grown(2 * house.line, 2 * house.line, house.line)
        canvas.paint(surround, _MOULDING, house.style.trim)
        straight = surround.top + surround.rise
        canvas.shade(Box(straight, surround.right, surround.bottom, surround.right + 2 * house.line), 190)


def _paint_shutters(canvas: _Canvas, house: Facade) -> None:
    slat = max(2, 2 * house.line)
    for box in house.shutters:
        canvas.paint(box, _SHUTTER, house.shutter_colour)
        slats = np.where(np.arange(box.height) % slat == slat - 1, 196, _FULL_LIGHT)
        canvas.shade(box, slats[:, None])
        canvas.shade(Box(box.top, box.right, box.bottom, box.right + house.line), canvas.shadow + 40)


def _paint_balconies(canvas: _Canvas, house: Facade) -> None:
    for box in house.balconies:
        view = canvas.colour[box.top : box.bottom, box.left : box.right]
        slab = min(box.height - 1, max(1, 2 * house.line + house.line // 2))
        behind = view * 3 // 4
        behind[:, np.arange(box.width) % (2 * house.line + 1) < house.line] = house.style.metal
        behind[: house.line] = behind[-slab - house.line : -slab] = house.style.metal
        behind[-slab:] = house.style.trim
        canvas.paint(box, _BALCONY, behind)
        canvas.cast(box, 5 * house.line)


def _paint_door(canvas: _Canvas, house: Facade) -> None:
    box, line = house.door, house.line
    canvas.paint(box, _DOOR, house.door_colour)
    canvas.shade(box, _door_relief(house))
    bottom = box.top + max(1, box.height * 22 // 100, box.rise)
    fanlight = Box(box.top + line, box.left + line, bottom, box.right - line, max(0, box.rise - line))
    if min(fanlight.height, fanlight.width) > 0:
        canvas.paint(fanlight, _DOOR, _glass(fanlight.height, fanlight.width, "dark"))


def _door_relief(house: Facade) -> np.ndarray:
    """Returns the light on the two leaves of a panelled door in its reveal, int32 [height, width]."""
    height, width, line = house.door.height, house.door.width, house.line
    light = np.full((height, width), _FULL_LIGHT, np.int32)
    leaf = (width - 2 * line) // 2
    for left in (line, width - line - leaf):
        for top, bottom in ((30, 58), (64, 92)):
            panel = light[height * top // 100 : height * bottom // 100, left + line : left + leaf - line]
            panel[:], panel[:line] = 216, 170
    light[:, (width - 1) // 2 : (width - 1) // 2 + line] = 120
    light[: 2 * line] = 140
    return light


def _paint_shops(canvas: _Canvas, house: Facade) -> None:
    front = _tone(house.style.awning, -30)
    for box in house.shops:
        line = house.line
        canvas.paint(box, _SHOP, front)
        fascia, awning, riser = (box.height * share // 100 for share in (20, 22, 16))
        quarter = box.width // 4
        sign = Box(box.top + line, box.left + quarter, box.top + fascia - line, box.right - quarter)
        if sign.height > 0:
            canvas.paint(sign, _SHOP, (238, 222, 176))
        display = Box(box.top + fascia, box.left + line, box.bottom - riser, box.right - line)
        canvas.paint(display, _SHOP, _display(display.height, display.width, front, line))
        _paint_awning(canvas, house, Box(box.top + fascia, box.left, box.top + fascia + awning, box.right))


def _display(height: int, width: int, front: Colour, line: int) -> np.ndarray:
    """Returns a lit shop window with goods on show, int32 [height, width, 3]."""
    glass = _glass(height, width, "lit")
    stand = max(2, 3 * line)
    goods = np.array((62, 52, 74, 46, 58, 70, 50))[np.arange(width) // stand % 7] * height // 100
    shown = (np.arange(height)[:, None] >= height - goods // 2) & (np.arange(width) % stand > 0)
    glass[shown] = glass[shown] * np.array((160, 150, 170)) >> 8
    panes = max(1, width // (22 * line))
    for i in range(1, panes):
        glass[:, width * i // panes :][:, :line] = front
    return glass


def _paint_awning(canvas: _Canvas, house: Facade, box: Box) -> None:
    stripe = max(2, 4 * house.line)
    stripes = np.where(
        (np.arange(box.width) // stripe % 2 == 0)[:, None], house.style.awning, (244, 238, 226)
    )
    canvas.paint(box, _SHOP, stripes.astype(np.int32))
    canvas.shade(box, (_FULL_LIGHT - _ramp(box.height) // 6)[:, None])
    canvas.cast(box, 4 * house.line)


def _paint_house(canvas: _Canvas, house: Facade, unit: int) -> None:
    _paint_roof(canvas, house)
    _paint_wall(canvas, house, unit)
    if house.style.roof in ("gable", "stepped"):
        _paint_gable_edge(canvas, house)
    _paint_dormers(canvas, house)
    _paint_pillars(canvas, house)
    _paint_mouldings(canvas, house)
    _paint_windows(canvas, house)
    _paint_shutters(canvas, house)
    _paint_door(canvas, house)
    _paint_shops(canvas, house)
    _paint_cornices(canvas, house)
    _paint_pediments(canvas, house)
    _paint_balconies(canvas, house)


def _develop(canvas: _Canvas, street: Street) -> np.ndarray:
    """Returns the photo of what was painted, uint8 [height, width, 3]: light, lens and grain."""
    height, width = canvas.labels.shape
    fall = 272 - _ramp(width)[None, :] // 8 - (_ramp(height) // 10)[:, None]
    light = np.where(canvas.labels == _SKY, _FULL_LIGHT, canvas.light * fall >> 8)
    photo = np.clip(canvas.colour * light[..., None] >> 8, 0, 255)
    padded = np.pad(photo, ((1, 1), (0, 0), (0, 0)), "edge")
    photo = padded[:-2] + 6 * photo + padded[2:]
    padded = np.pad(photo, ((0, 0), (1, 1), (0, 0)), "edge")
    photo = padded[:, :-2] + 6 * photo + padded[:, 2:]
    grain = (_hash_grid(street.key + 4, height, width) % np.uint64(7)).astype(np.int32) - 3
    return np.clip((photo >> 6) + grain[..., None], 0, 255).astype(np.uint8)


def draw_pair(seed: int, index: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws one facade as a photo and as a label map.

    Args:
        seed: any integer.
        index: any integer from 0 to 2**63; each gives another facade.
        height: at least 32 pixels.
        width: at least 32 pixels.

    Returns:
        The photo (A) and the labels (B), each uint8 [height, width, 3]; the labels hold colours of
        ``PALETTE`` alone.

    Raises:
        ValueError: the image is too small for a facade.

    Example:
        >>> photo, labels = draw_pair(seed=0, index=12, height=256, width=256)
    """
    if min(height, width) < 32:
        raise ValueError(f"a facade of {height} x {width} pixels can't be drawn: both must be 32 or more")
    street = plan_street(seed, index, height, width)
    canvas = _Canvas(height, width, street.shadow)
    _paint_sky(canvas, street)
    for house in street.houses:
        _paint_house(canvas, house, street.unit)
    _paint_pavement(canvas, street)
    palette = np.array(list(PALETTE.values()), np.uint8)
    return _develop(canvas, street), palette[canvas.labels]


def procedural_dataset(
    seed: int,
    image_size: tuple[int, int],
    train_count: int = 400,
    val_count: int = 50,
    test_count: int = 50,
) -> PairDataset:
    """Returns the data set of drawn facades: A is the photo, B the label map.

    Nothing is drawn before the first reading; then a split is drawn whole and held in memory (about two
    seconds for 400 pairs of 128 x 128), or, where it is too large for that, pair by pair when read. The
    splits share no facade: they take turns in one series, and ``procedural-000012`` is
    ``draw_pair(seed, 12, ...)``.

    Args:
        seed: any integer; another seed gives other facades.
        image_size: height and width in pixels.
        train_count: number of pairs in ``train``, at least 1.
        val_count: number of pairs in ``val``; 0 leaves the split out.
        test_count: number of pairs in ``test``; 0 leaves the split out.

    Raises:
        ConfigError: there would be nothing to train on.
    """
    if train_count < 1:
        raise ConfigError(f"procedural data: can't train on {train_count} pairs; give 1 or more.")
    counts = {"train": train_count, "val": val_count, "test": test_count}
    splits = {
        name: _drawn_split(seed, image_size, range(turn, turn + len(counts) * count, len(counts)))
        for turn, (name, count) in enumerate(counts.items())
        if count > 0
    }
    return PairDataset("procedural", (Side(channels=3), Side(channels=3, labels=True)), splits)


def _drawn_split(seed: int, image_size: tuple[int, int], numbers: range) -> Split:
    height, width = image_size

    @functools.cache
    def draw_all() -> tuple[tf.Tensor, tf.Tensor]:
        import tensorflow as tf

        photos, labels = (np.empty((len(numbers), height, width, 3), np.uint8) for _ in range(2))
        for i, number in enumerate(numbers):
            photos[i], labels[i] = draw_pair(seed, number, height, width)
        # The first reading may be the tracing of a graph, and that graph should not own the images.
        with tf.init_scope(), tf.device("CPU:0"):
            return tf.constant(photos), tf.constant(labels)

    def read_held(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        photos, labels = draw_all()
        return photos[index], labels[index]

    def read_drawing(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        import tensorflow as tf

        def draw(i: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return draw_pair(seed, numbers[int(i)], height, width)

        photo, labels = tf.numpy_function(draw, [index], [tf.uint8, tf.uint8], stateful=False)
        return tf.ensure_shape(photo, (height, width, 3)), tf.ensure_shape(labels, (height, width, 3))

    held = 2 * 3 * height * width * len(numbers) <= _HELD_BYTES
    return Split([f"procedural-{number:06d}" for number in numbers], read_held if held else read_drawing)
