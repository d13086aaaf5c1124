"""Paints a planned street from back to front."""

from __future__ import annotations

import numpy as np

from pix2pix_tf.data.procedural import materials
from pix2pix_tf.data.procedural.canvas import FULL_LIGHT, Canvas, ramp, slope
from pix2pix_tf.data.procedural.planning import Box, Facade, Street, plan_street


def draw_pair(seed: int, index: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws a facade, or several facades side by side if the image is wide.

    ``seed`` selects a series, and ``index``, in [0, 2**64), a pair of the series. ``height`` and ``width``
    must be at least 32. Returns photo (A) and labels (B), each uint8 [height, width, 3]; labels only use
    colors of ``PALETTE``.
    """
    street = plan_street(seed, index, height, width)
    canvas = Canvas(height, width, street.shadow)
    _paint_sky(canvas, street)
    for house in street.houses:
        for paint in _PARTS:
            paint(canvas, house)
    _paint_pavement(canvas, street)
    return canvas.develop(street.key + 4)


def _paint_sky(canvas: Canvas, street: Street) -> None:
    height, width = canvas.light.shape
    deep = max(house.wall.top for house in street.houses)
    down = np.minimum(256, (np.arange(height) << 8) // deep)
    canvas.color[:] = materials.blend(*street.sky, down)[:, None]
    cell = canvas.unit // 5
    clouds = 2 * materials.smooth_noise(street.key + 1, (deep, width), (cell // 3, cell))
    clouds += materials.smooth_noise(street.key + 2, (deep, width), (max(2, cell // 6), cell // 3))
    sky = canvas.color[:deep]
    sky += (np.array((252, 250, 248), np.int32) - sky) * np.clip(clouds - 400, 0, 230)[..., None] >> 8


def _paint_pavement(canvas: Canvas, street: Street) -> None:
    height, width = canvas.light.shape
    box = Box(street.pavement, 0, height, width)
    course, length = max(3, box.height // 2), max(6, canvas.unit // 12)
    slabs = materials.masonry(street.key + 3, box.shape, course, length, joint=-18, spread=5)
    canvas.paint(box, "pavement", np.array((158, 154, 148)) + slabs[..., None])
    canvas.cast(Box(0, 0, street.pavement, width), max(2, box.height // 3))


def _paint_roof(canvas: Canvas, house: Facade) -> None:
    """Paints chimneys and a mansard or tiled roof; gables are painted with the wall."""
    style, box = house.style, house.top
    brick = np.array(style.roofing) + ((20, -4, -14) if style.roof == "mansard" else -14)
    for chimney in house.chimneys:
        canvas.paint(chimney, "roof", brick)
        canvas.shade(chimney._replace(left=chimney.right - max(1, chimney.width // 3)), 200)
        canvas.shade(chimney._replace(bottom=chimney.top + 2 * house.line), 180)
    if style.roof in ("mansard", "tiles"):
        ridge = box.width - box.height * (1 if style.roof == "mansard" else 2)
        tiles = materials.roof_tiles(house.key + 4, style.roofing, box.shape, house.line)
        canvas.paint(box, "roof", tiles, slope(box.shape, ridge))


def _paint_wall(canvas: Canvas, house: Facade) -> None:
    """Paints the wall, and the gable with its coping if there is one."""
    style, ground = house.style, house.ground
    box = house.wall._replace(top=house.top.top) if style.gabled else house.wall
    outline = np.ones(box.shape, bool)
    gable = outline[: box.height - house.wall.height]
    if style.gabled:
        is_stepped = style.roof == "stepped"
        top_width = box.width * 24 // 100 if is_stepped else box.width // 12
        gable[:] = slope(gable.shape, top_width, 5 if is_stepped else None)
    stones = materials.wall(house.key, style.bond, house.wall_color, box.shape, canvas.unit)
    canvas.paint(box, "wall", stones, outline)
    thick = 3 * house.line
    coping = gable.copy()
    coping[thick:] &= ~gable[:-thick]
    canvas.paint(box._replace(bottom=house.wall.top), "cornice", style.trim, coping)
    if style.ground_bond != style.bond:
        color = np.array(style.trim) - 22
        stones = materials.wall(house.key, style.ground_bond, color, ground.shape, canvas.unit)
        canvas.paint(ground, "wall", stones)
    canvas.shade(ground._replace(top=ground.bottom - 4 * house.line), 206)  # the plinth


def _paint_cornices(canvas: Canvas, house: Facade) -> None:
    line = house.line
    for number, box in enumerate(house.cornices()):
        at_eaves = number == 0
        third = max(1, box.height // 3)
        canvas.paint(box, "cornice", house.style.trim)
        canvas.shade(box._replace(top=box.bottom - third), 212)
        canvas.cast(box, (8 if at_eaves else 3) * line + 1)
        if at_eaves and box.height >= 6:
            dentils = np.where(np.arange(box.width) // (2 * line) % 2, 200, FULL_LIGHT)
            canvas.shade(box._replace(top=box.top + third, bottom=box.bottom - third), dentils)


def _paint_pillars(canvas: Canvas, house: Facade) -> None:
    line, cap = house.line, 3 * house.line
    for box in house.pillars():
        canvas.paint(box, "pillar", house.style.trim)
        canvas.shade(box, 236 + np.minimum(20, ramp(box.width) // 6) - ramp(box.width) // 5)
        for foot in (box.top + cap, box.bottom):
            canvas.shade(box._replace(top=foot - line, bottom=foot), 200)
        canvas.shade(box._replace(left=box.right, right=box.right + line), canvas.shadow + 40)


def _paint_moldings(canvas: Canvas, house: Facade) -> None:
    for box in house.moldings():
        canvas.paint(box, "moulding", house.style.trim)
        canvas.cast(box, 2 * house.line)


def _paint_pediments(canvas: Canvas, house: Facade) -> None:
    edge = house.line + 1
    for box in house.pediments():
        canvas.paint(box, "cornice", house.style.trim, slope(box.shape, 2))
        inner = Box(box.top + edge, box.left + 2 * edge, box.bottom - edge, box.right - 2 * edge)
        if inner.height > 1 and inner.width > 2:
            canvas.shade(inner, np.where(slope(inner.shape, 2), 205, FULL_LIGHT))
        canvas.cast(box, 2 * house.line)


def _paint_windows(canvas: Canvas, house: Facade) -> None:
    line = house.line
    for box, interior in (*((box, "dark") for box in house.dormers()), *house.windows):
        canvas.paint(box, "window", materials.glazing(box, interior, house.style, line))
        reveal = np.full(box.shape, FULL_LIGHT)
        reveal[:, :line] = canvas.shadow + 50
        reveal[: max(1, box.height // 12)] = canvas.shadow
        canvas.shade(box, reveal)


def _paint_dormers(canvas: Canvas, house: Facade) -> None:
    """Paints the frames around dormers; `_paint_windows` paints their glass."""
    line = house.line
    for dormer in house.dormers():
        box = dormer.grown(2 * line, line)
        canvas.paint(box, "moulding", house.style.trim)
        canvas.shade(Box(box.top + box.rise, box.right, box.bottom, box.right + 2 * line), 190)


def _paint_shutters(canvas: Canvas, house: Facade) -> None:
    slat = 2 * house.line
    for box in house.shutters():
        canvas.paint(box, "shutter", house.shutter_color)
        slats = np.where(np.arange(box.height) % slat == slat - 1, 196, FULL_LIGHT)
        canvas.shade(box, slats[:, None])
        canvas.shade(box._replace(left=box.right, right=box.right + house.line), canvas.shadow + 40)


def _paint_balconies(canvas: Canvas, house: Facade) -> None:
    """Paints slabs and railings; the background remains visible between the rails, slightly darker."""
    line, style = house.line, house.style
    for box in house.balconies:
        slab = min(box.height - 1, 2 * line + line // 2)
        balcony = canvas.color[box.pixels] * 3 // 4
        balcony[:, np.arange(box.width) % (2 * line + 1) < line] = style.metal
        balcony[:line] = balcony[-slab - line : -slab] = style.metal
        balcony[-slab:] = style.trim
        canvas.paint(box, "balcony", balcony)
        canvas.cast(box, 5 * line)


def _paint_door(canvas: Canvas, house: Facade) -> None:
    box, line = house.door, house.line
    height, width = box.shape
    canvas.paint(box, "door", house.door_color)
    light = np.full((height, width), FULL_LIGHT)
    leaf = (width - 2 * line) // 2
    for left in (line, width - line - leaf):
        for top, bottom in ((30, 58), (64, 92)):
            panel = light[height * top // 100 : height * bottom // 100, left + line : left + leaf - line]
            panel[:], panel[:line] = 216, 170
    light[:, (width - 1) // 2 : (width - 1) // 2 + line] = 120
    light[: 2 * line] = 140
    canvas.shade(box, light)
    fanlight = box._replace(bottom=box.top + max(1, height * 22 // 100, box.rise)).grown(-line, 0)
    if min(fanlight.shape) > 0:
        canvas.paint(fanlight, "door", materials.glass(fanlight.shape, "dark"))


def _paint_shops(canvas: Canvas, house: Facade) -> None:
    front, line = np.array(house.style.awning) - 30, house.line
    for box in house.shops:
        canvas.paint(box, "shop", front)
        top, quarter = box.top + box.height * 20 // 100, box.width // 4
        sign = Box(box.top + line, box.left + quarter, top - line, box.right - quarter)
        if sign.height > 0:
            canvas.paint(sign, "shop", (238, 222, 176))
        display = Box(top, box.left + line, box.bottom - box.height * 16 // 100, box.right - line)
        canvas.paint(display, "shop", materials.shop_window(display.shape, front, line))
        awning = box._replace(top=top, bottom=top + box.height * 22 // 100)
        white = np.arange(box.width) // (4 * line) % 2 > 0  # alternating stripes
        canvas.paint(awning, "shop", np.where(white[:, None], (244, 238, 226), house.style.awning))
        canvas.shade(awning, (FULL_LIGHT - ramp(awning.height) // 6)[:, None])
        canvas.cast(awning, 4 * line)


_PARTS = (
    _paint_roof,
    _paint_wall,
    _paint_dormers,
    _paint_pillars,
    _paint_moldings,
    _paint_windows,
    _paint_shutters,
    _paint_door,
    _paint_shops,
    _paint_cornices,
    _paint_pediments,
    _paint_balconies,
)  # from back to front
