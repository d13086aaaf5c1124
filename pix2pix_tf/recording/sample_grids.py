"""Writes sample grids: outputs for held-out images, one PNG per sampling step."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from pix2pix_tf.files import write_whole
from pix2pix_tf.models.base import SampleGrid
from pix2pix_tf.recording.sink import Sink
from pix2pix_tf.sample_grids import compose_grid


class SampleGrids(Sink):
    """Writes ``step_000001000.png`` and so on."""

    def __init__(self, folder: Path):
        self._folder = folder

    def images(self, step: int, title: str, grid: SampleGrid) -> None:
        write_grid(self._folder / f"step_{step:09d}.png", title, grid)


def write_grid(path: Path, title: str, grid: SampleGrid) -> None:
    image = compose_grid("; ".join(filter(None, (title, grid.caption))), grid.columns, grid.rows)
    write_whole(path, tf.io.encode_png(tf.constant(image)).numpy())
