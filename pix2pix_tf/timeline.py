"""``pix2pix timeline``: a GIF of one row of a run's sample grids over the training."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from pix2pix_tf.data.dataset import spread
from pix2pix_tf.errors import RunError
from pix2pix_tf.files import write_whole
from pix2pix_tf.runs import open_run
from pix2pix_tf.sample_grids import one_row

LIMIT = 1_000_000  # bytes
_MOST_FRAMES = 30
_MILLISECONDS, _MILLISECONDS_LAST = 300, 2000
_SHRINK = 0.85


def timeline(run: str | Path, out: Path | None = None, row: int = 1) -> Path:
    """Writes one row (from 1) of the sample grids as a GIF of at most 1 MB, scaled down if needed.

    The timeline of RUN@4000 ends at that step. The default path is ``RUN/timeline.gif``. Returns the path.
    """
    opened = open_run(run)
    directory, height = opened.directory, opened.config.data.size[0]
    grids = sorted(directory.samples.glob("step_*.png"))
    if opened.named_step is not None:
        grids = [grid for grid in grids if grid.name <= f"step_{opened.named_step:09d}.png"]
    if not grids:
        raise RunError(
            f"{directory.place} has no sample grids yet; training writes one every --sample-every steps"
        )
    frames = []
    for number in spread(len(grids), _MOST_FRAMES):
        frame = one_row(np.asarray(Image.open(grids[number]).convert("RGB")), height, row - 1)
        if frame is None:
            raise RunError(f"--row {row}: the sample grids in {directory.samples} have fewer rows")
        frames.append(Image.fromarray(frame))
    # Grids with a longer title may be wider.
    width, height = (min(frame.size[axis] for frame in frames) for axis in (0, 1))
    frames = [frame.crop((0, 0, width, height)) for frame in frames]
    out = out or directory.beside("timeline.gif")
    write_whole(out, _small_enough(frames))
    return out


def _small_enough(frames: list[Image.Image]) -> bytes:
    """Encodes a GIF, scaled down until it has at most `LIMIT` bytes."""
    durations = [_MILLISECONDS] * (len(frames) - 1) + [_MILLISECONDS_LAST]
    scale = 1.0
    while True:
        scaled = (frame.resize([max(1, round(scale * side)) for side in frame.size]) for frame in frames)
        first, *others = (frame.quantize(128, dither=Image.Dither.NONE) for frame in scaled)
        gif = io.BytesIO()
        first.save(gif, "gif", save_all=True, append_images=others, duration=durations, loop=0, optimize=True)
        if gif.tell() <= LIMIT:
            return gif.getvalue()
        scale *= _SHRINK
