"""Sample grids: labeled columns, one row per example, without resizing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw

from pix2pix_tf.data.pixels import as_shown
from pix2pix_tf.files import write_whole
from pix2pix_tf.fonts import font_for

_GAP = 8
_INK, _PAPER = (40, 40, 40), (255, 255, 255)


def compose_grid(title: str, columns: Sequence[str], rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Lays out images below a title and column names: uint8 [height, width, 3].

    Each row has one image per column, ``uint8`` or ``uint16`` [height, width, channels]; see `as_shown`.
    """
    cells = [[as_shown(image) for image in row] for row in rows]
    heights = [max(image.shape[0] for image in row) for row in cells]
    widths = [max(row[column].shape[1] for row in cells) for column in range(len(columns))]
    text_size = max(11, min(20, widths[0] // 9))
    font = font_for(title + "".join(columns), text_size)
    widths = [max(width, int(font.getlength(name))) for width, name in zip(widths, columns, strict=True)]
    line = text_size + _GAP
    top = 2 * line + _GAP

    width = max(sum(widths) + _GAP * (len(widths) + 1), int(font.getlength(title)) + 2 * _GAP)
    grid = Image.new("RGB", (width, top + sum(heights) + _GAP * len(heights)), _PAPER)
    draw = ImageDraw.Draw(grid)
    draw.text((_GAP, _GAP // 2), title, _INK, font)
    x = _GAP
    for column, name in enumerate(columns):
        draw.text((x, line + _GAP // 2), name, _INK, font)
        y = top
        for row, height in zip(cells, heights, strict=True):
            grid.paste(Image.fromarray(row[column]), (x, y))
            y += height + _GAP
        x += widths[column] + _GAP
    return np.asarray(grid)


def write_grid(path: Path, title: str, columns: Sequence[str], rows: Sequence[Sequence[np.ndarray]]) -> None:
    """Writes a sample grid as a PNG."""
    write_whole(path, tf.io.encode_png(tf.constant(compose_grid(title, columns, rows))).numpy())


def one_row(grid: np.ndarray, height: int, row: int) -> np.ndarray | None:
    """Returns a grid with only one row (from 0) of image height ``height``, or ``None`` if it is missing."""
    rows, top = divmod(len(grid), height + _GAP)  # the title is less high than a row
    if not 0 <= row < rows:
        return None
    start = top + row * (height + _GAP)
    return np.concatenate([grid[:top], grid[start : start + height + _GAP]])
