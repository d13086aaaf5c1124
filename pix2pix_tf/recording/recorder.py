"""Sends metrics and sample grids to all sinks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras

from pix2pix_tf.config import TrainConfig
from pix2pix_tf.files import written_whole
from pix2pix_tf.models.base import Metric, SampleGrid
from pix2pix_tf.recording.jsonl import JsonLines, read_metrics
from pix2pix_tf.recording.plots import Plots
from pix2pix_tf.recording.progress import Progress
from pix2pix_tf.recording.sink import Sink
from pix2pix_tf.recording.tensorboard import TensorBoard
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.sample_grids import write_grid


class Recorder(contextlib.AbstractContextManager["Recorder"]):
    """Context manager that records one training session; ``title`` is the title of plots and sample grids.

    ``sinks`` are the caller's. Records of an earlier session after ``first_step`` are discarded.
    """

    def __init__(
        self,
        run: RunDirectory,
        config: TrainConfig,
        metrics: Sequence[Metric],
        first_step: int,
        last_step: int,
        steps_per_epoch: float,
        title: str,
        sinks: Sequence[Sink] = (),
    ):
        self._run = run
        self._steps_per_epoch = steps_per_epoch
        self._title = title
        self._sinks: list[Sink] = [
            JsonLines(run, first_step),
            TensorBoard(run.tensorboard, first_step, metrics, config),
            Plots(run, metrics, title),
            # Last, because the error of a sink that fails to open must not follow an open progress bar.
            Progress(first_step, last_step, metrics),
            *sinks,
        ]
        earlier = read_metrics(run.metrics_file)
        self._seconds_before = earlier[-1]["seconds"] if earlier else 0.0
        self._logged_step = first_step
        self._start = self._logged_time = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        for sink in reversed(self._sinks):
            sink.close()

    def advance(self) -> None:
        for sink in self._sinks:
            sink.advance()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Records training metrics, averaged since the previous call."""
        now = time.perf_counter()
        rate = (step - self._logged_step) / max(now - self._logged_time, 1e-9)
        self._logged_step, self._logged_time = step, now
        everything = {
            "epoch": step / self._steps_per_epoch,
            **values,
            "steps_per_second": rate,
            "seconds": self._seconds_before + now - self._start,
        }
        for sink in self._sinks:
            sink.log(step, everything)

    def validate(self, step: int, values: Mapping[str, float]) -> None:
        """Records metrics of held-out images."""
        for sink in self._sinks:
            sink.validate(step, values)

    def sample(self, step: int, grid: SampleGrid) -> None:
        """Records a sample grid, also as a file."""
        for sink in self._sinks:
            sink.images(step, grid)
        self._write(self._run.samples / f"step_{step:09d}.png", step, grid)

    def _write(self, path: Path, step: int, grid: SampleGrid) -> None:
        title = "; ".join(filter(None, (f"{self._title}, step {step}", grid.caption)))
        write_grid(path, title, grid.columns, grid.rows)

    def finish(self, step: int, grid: SampleGrid, networks: Mapping[str, keras.Model]) -> None:
        """Records the last sample grid and writes the published networks and final.png."""
        self.sample(step, grid)
        for sink in self._sinks:
            sink.finish()
        for name, network in networks.items():
            with written_whole(self._run.keras_file(name)) as unfinished:
                network.save(unfinished)
        # Last, because this file marks the run as complete.
        self._write(self._run.final_grid, step, grid)
