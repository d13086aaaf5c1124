"""Writes scalars, sample grids and the config for TensorBoard."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from pix2pix_tf import config as configs
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.files import explain_disk_faults
from pix2pix_tf.models.base import Metric, SampleGrid
from pix2pix_tf.recording.sink import Sink
from pix2pix_tf.sample_grids import compose_grid


class TensorBoard(Sink):
    """Writes TensorBoard event files; hides events of an earlier session after ``first_step``."""

    def __init__(self, folder: Path, first_step: int, metrics: Sequence[Metric], config: TrainConfig):
        self._folder = folder
        self._tags = {metric.name: metric.tag for metric in metrics}
        with explain_disk_faults(folder.parent):
            if first_step:
                _drop_beyond(folder, first_step)
            self._writer = tf.summary.create_file_writer(str(folder))
        with self._at(first_step):
            settings = json.dumps(configs.to_json(config), indent=2)
            tf.summary.text("config", f"```json\n{settings}\n```")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        with self._at(step):
            for name, value in values.items():
                tf.summary.scalar(self._tags.get(name, name), value)

    def validate(self, step: int, values: Mapping[str, float]) -> None:
        self.log(step, {f"val/{name}": value for name, value in values.items()})

    def images(self, step: int, grid: SampleGrid) -> None:
        """Writes one image per row."""
        with self._at(step):
            for number, row in enumerate(grid.rows, start=1):
                strip = compose_grid(f"step {step}", grid.columns, [row])
                tf.summary.image(f"samples/{number}", strip[np.newaxis])

    def close(self) -> None:
        with contextlib.suppress(OSError, tf.errors.OpError):
            self._writer.close()

    @contextlib.contextmanager
    def _at(self, step: int) -> Iterator[None]:
        """Writes and flushes the summaries of a step."""
        with explain_disk_faults(self._folder):
            with self._writer.as_default(step=step):
                yield
            self._writer.flush()


def _drop_beyond(folder: Path, step: int) -> None:
    """Marks a restart after ``step``, so that TensorBoard hides later events."""
    folder.mkdir(exist_ok=True)
    now = time.time()
    name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}.0.restart"
    events = (
        Event(wall_time=now, file_version="brain.Event:2"),
        Event(wall_time=now, step=step + 1, session_log=SessionLog(status=SessionLog.START)),
    )
    # TensorBoard's own writer uses a thread, which prints errors as tracebacks.
    with tf.io.TFRecordWriter(str(folder / name)) as writer:
        for event in events:
            writer.write(event.SerializeToString())
