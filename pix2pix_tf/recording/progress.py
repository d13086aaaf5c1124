"""The progress bar: steps, rate, remaining time and the most important metrics."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from pix2pix_tf.models.base import Metric
from pix2pix_tf.recording.sink import Sink


class Progress(Sink):
    """A progress bar on standard error, with the metrics that have a short name."""

    def __init__(self, first_step: int, last_step: int, metrics: Sequence[Metric]):
        self._labels = {metric.name: metric.bar for metric in metrics if metric.bar}
        self._bar = tqdm(
            total=last_step,
            initial=first_step,
            unit="step",
            desc="training",
            dynamic_ncols=True,
            smoothing=0.05,
            mininterval=0.1 if sys.stderr.isatty() else 10.0,  # in a log file, each update is a line
        )

    def advance(self) -> None:
        self._bar.update()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        shown = {label: f"{values[name]:.3g}" for name, label in self._labels.items() if name in values}
        self._bar.set_postfix(shown, refresh=False)

    def finish(self) -> None:
        self._bar.set_description("finishing")

    def close(self) -> None:
        self._bar.close()
