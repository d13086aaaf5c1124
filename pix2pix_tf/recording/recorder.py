"""Sends metrics and samples to all sinks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence

import keras

from pix2pix_tf.checkpoints import write_network
from pix2pix_tf.files import write_whole
from pix2pix_tf.models.base import Metric, Sheet
from pix2pix_tf.recording.jsonl import JsonLines, read_metrics
from pix2pix_tf.recording.plots import plot_metrics, plot_validation
from pix2pix_tf.recording.progress import Progress
from pix2pix_tf.recording.samples import SampleSheets, write_sheet
from pix2pix_tf.recording.sink import Sink
from pix2pix_tf.recording.tensorboard import TensorBoard
from pix2pix_tf.runs import RunDirectory


class Recorder(contextlib.AbstractContextManager["Recorder"]):
    """Context manager that opens all sinks, records one training session and closes them.

    Records of steps later than ``first_step`` are removed. ``title`` is that of plots and sample grids.
    """

    def __init__(
        self,
        run: RunDirectory,
        *,
        metrics: Sequence[Metric],
        first_step: int,
        last_step: int,
        steps_per_epoch: float,
        title: str,
        config_text: str,
    ):
        self._run = run
        self._metrics = metrics
        self._last_step = last_step
        self._steps_per_epoch = steps_per_epoch
        self._title = title
        self._config_text = config_text
        self._logged_step = first_step

    def __enter__(self) -> Recorder:
        lines = JsonLines(self._run.metrics_file, self._logged_step)
        self._seconds_before = lines.kept[-1]["seconds"] if lines.kept else 0.0
        tags = {metric.name: metric.tag for metric in self._metrics}
        labels = {metric.name: metric.bar for metric in self._metrics if metric.bar}
        self._board = TensorBoard(self._run.tensorboard, self._logged_step, tags, self._config_text)
        self._validation = JsonLines(self._run.validation_file, self._logged_step)
        # Last, after everything that can fail: an error message must not follow an open progress bar.
        self._progress = Progress(self._logged_step, self._last_step, labels)
        self._sinks: list[Sink] = [lines, self._board, SampleSheets(self._run.samples), self._progress]
        self._start = self._logged_time = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        for sink in (self._validation, *reversed(self._sinks)):
            sink.close()

    def advance(self) -> None:
        self._progress.advance()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Records the means of values since the previous call."""
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
        self._validation.log(step, values)
        self._board.log(step, {f"val/{name}": value for name, value in values.items()})

    def sample(self, step: int, sheet: Sheet) -> None:
        for sink in self._sinks:
            sink.show(step, f"{self._title}, step {step}", sheet)

    def finish(self, step: int, sheet: Sheet, networks: Mapping[str, keras.Model]) -> None:
        """Writes the last sample grid, the plots and the published networks."""
        self._progress.finish()
        self.sample(step, sheet)
        if any(metric.plot for metric in self._metrics):
            lines = read_metrics(self._run.metrics_file)
            write_whole(self._run.loss_plot, plot_metrics(lines, self._metrics, self._title))
        if validated := read_metrics(self._run.validation_file):
            write_whole(self._run.validation_plot, plot_validation(validated, self._title))
        for name, network in networks.items():
            write_network(self._run.keras_file(name), network)
        # Last, because this file marks the run as complete.
        write_sheet(self._run.final_sheet, f"{self._title}, step {step}", sheet)
