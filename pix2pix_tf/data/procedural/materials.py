"""Materials as color arrays: masonry, plaster and glass."""

from __future__ import annotations

import numpy as np

from pix2pix_tf.data.procedural.canvas import arch, ramp
from pix2pix_tf.data.procedural.planning import Box, to_pixels
from pix2pix_tf.data.procedural.randomness import hash_grid
from pix2pix_tf.data.procedural.styles import Bond, Color, Interior, Style


def blend(first: Color, second: Color, weight: np.ndarray) -> np.ndarray:
    """Blends from ``first`` (weight 0) to ``second`` (weight 256), int32 [..., 3]."""
    start, end = np.array(first, np.int32), np.array(second, np.int32)
    return start + ((end - start) * weight[..., None] >> 8)


def smooth_noise(key: int, shape: tuple[int, int], cell: tuple[int, int]) -> np.ndarray:
    """Returns value noise in [0, 255], interpolated smoothly within each cell, int32 [height, width]."""

    def places(length: int, cell: int) -> tuple[np.ndarray, np.ndarray]:
        whole, rest = np.divmod(np.arange(length, dtype=np.int32), cell)
        t = (rest << 8) // cell
        return whole, t * t * (768 - 2 * t) >> 16

    (y, ty), (x, tx) = (places(*axis) for axis in zip(shape, cell, strict=True))
    lattice = (hash_grid(key, int(y[-1]) + 2, int(x[-1]) + 2) >> 56).astype(np.int32)
    rows = lattice[y] + ((lattice[y + 1] - lattice[y]) * ty[:, None] >> 8)
    left = rows[:, x]
    return left + ((rows[:, x + 1] - left) * tx >> 8)


def masonry(
    key: int, shape: tuple[int, int], course: int, length: int, joint: int, spread: int
) -> np.ndarray:
    """Returns a running bond as brightness offsets, int32 [height, width].

    Courses are counted from the bottom of the wall. ``course`` and ``length`` are a stone's height and length
    in pixels and include the joint. ``joint`` is the brightness offset of joints; stones have offsets in
    [-``spread``, ``spread``].
    """
    height, width = shape
    thickness = max(1, course // 8)
    row, in_row = np.divmod(np.arange(height, dtype=np.int32)[::-1], course)
    shifted = np.arange(width, dtype=np.int32) + np.array([[0], [length // 2]], np.int32)
    column, in_column = np.divmod(shifted, length)
    tones = hash_grid(key, int(row[0]) + 1, int(column.max()) + 1) % (2 * spread + 1)
    odd = row & 1
    stones = (tones.astype(np.int32) - spread)[row[:, None], column[odd]]
    joints = (in_row < thickness)[:, None] | (in_column < thickness)[odd]
    return np.where(joints, np.int32(joint), stones)


def wall(key: int, bond: Bond, color: Color | np.ndarray, shape: tuple[int, int], unit: int) -> np.ndarray:
    """Returns a wall in full light, int32 [height, width, 3]; ``unit`` is the shorter side of the image."""
    tones = (smooth_noise(key + 3, shape, (unit // 6, unit // 6)) - 128) // 16  # weathering
    if bond == "brick":
        course = to_pixels(14, unit, least=3)
        tones += masonry(key + 1, shape, course, course * 5 // 2, joint=16 if course < 5 else 30, spread=9)
    elif bond == "ashlar":
        course = to_pixels(46, unit, least=5)
        tones += masonry(key + 2, shape, course, course * 9 // 4, joint=-20, spread=4)
    return np.array(color, np.int32) + tones[..., None]


def roof_tiles(key: int, color: Color, shape: tuple[int, int], line: int) -> np.ndarray:
    """Returns a roof in full light, int32 [height, width, 3]; tiles are 3 * ``line`` pixels high."""
    rows = 3 * line
    tones = masonry(key, shape, rows, rows * 3 // 2, joint=-14, spread=6)
    tones += (ramp(shape[0]) // 10)[:, None] - 10
    tones[rows - 1 :: rows] += 8
    return np.array(color, np.int32) + tones[..., None]


def glass(shape: tuple[int, int], interior: Interior) -> np.ndarray:
    """Returns panes with two reflections and the room behind them, int32 [height, width, 3]."""
    height, width = shape
    x, y = np.arange(width, dtype=np.int32), np.arange(height, dtype=np.int32)[:, None]
    top, bottom = ((250, 214, 140), (206, 140, 72)) if interior == "lit" else ((112, 138, 160), (34, 44, 58))
    panes = np.repeat(blend(top, bottom, ramp(height))[:, None], width, axis=1)
    if interior == "drapes":
        hem = width // 4 - y * width // (8 * height)
        panes[(x < hem) | (x >= width - hem)] = (196, 186, 172)
    elif interior == "blind":
        panes[: height * 2 // 5] = (206, 198, 182)
    glint = (x * height + y * width) * 8 // (height * width) % 8
    panes[(glint == 4) | (glint == 6)] += 22
    return panes


def glazing(box: Box, interior: Interior, style: Style, line: int) -> np.ndarray:
    """Returns a window with frame and glazing bars in full light, int32 [box.height, box.width, 3]."""
    height, width = box.shape
    frame = line if min(height, width) >= 6 else 0  # smaller windows have no room for a frame
    inner = box.grown(-frame, -frame)
    window = np.full((*box.shape, 3), style.joinery, np.int32)
    view = window[frame : height - frame, frame : width - frame]
    np.copyto(view, glass(inner.shape, interior), where=arch(inner)[..., None])
    # Bars closer than five pixels would cover most of the glass.
    rows, columns = min(style.panes[0], height // 5), min(style.panes[1], width // 5)
    bar = max(1, line * 2 // 3)
    for i in range(1, rows):
        window[height * i // rows :][:bar] = style.joinery
    for i in range(1, columns):
        window[:, (width * i - line // 2) // columns :][:, :bar] = style.joinery
    return window


def shop_window(shape: tuple[int, int], frame: np.ndarray, line: int) -> np.ndarray:
    """Returns lit glass with goods between bars of color ``frame``, int32 [height, width, 3]."""
    height, width = shape
    panes = glass(shape, "lit")
    stand = 3 * line
    goods = np.array((62, 52, 74, 46, 58, 70, 50))[np.arange(width) // stand % 7] * height // 100
    shown = (np.arange(height)[:, None] >= height - goods // 2) & (np.arange(width) % stand > 0)
    panes[shown] = panes[shown] * np.array((160, 150, 170)) >> 8
    count = max(1, width // (22 * line))
    for i in range(1, count):
        panes[:, width * i // count :][:, :line] = frame
    return panes
