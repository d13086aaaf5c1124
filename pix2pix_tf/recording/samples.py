"""Sample grids: outputs for held-out images, one PNG per sampling step."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from pix2pix_tf.data.pixels import encode_png
from pix2pix_tf.files import write_whole
from pix2pix_tf.models.base import Sheet
from pix2pix_tf.recording.sink import Sink
from pix2pix_tf.sheets import compose_sheet


class SampleSheets(Sink):
    """Writes ``step_000001000.png`` and so on."""

    def __init__(self, folder: Path):
        self._folder = folder

    def show(self, step: int, title: str, sheet: Sheet) -> None:
        write_sheet(self._folder / f"step_{step:09d}.png", title, sheet)


def write_sheet(path: Path, title: str, sheet: Sheet) -> None:
    image = compose_sheet("; ".join(filter(None, (title, sheet.caption))), sheet.columns, sheet.rows)
    write_whole(path, encode_png(tf.constant(image)).numpy())
