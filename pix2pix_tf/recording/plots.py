"""losses.png and validation.png: a run's metrics plotted over its steps."""

from __future__ import annotations

import io
import itertools
import typing
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pix2pix_tf.config import Direction
from pix2pix_tf.files import write_whole
from pix2pix_tf.fonts import font_file_for
from pix2pix_tf.metrics import METRICS
from pix2pix_tf.models.base import Metric
from pix2pix_tf.recording.jsonl import read_metrics
from pix2pix_tf.recording.sink import Sink
from pix2pix_tf.runs import RunDirectory

# Value and label of reference lines, by `Metric.better`.
_LEVELS = {"one": (1.0, "1: as the targets"), "target": (1.0, "1: none")}


class Plots(Sink):
    """Writes losses.png and validation.png at the end of training."""

    def __init__(self, run: RunDirectory, metrics: Sequence[Metric], title: str):
        self._run = run
        self._metrics = metrics
        self._title = title

    def finish(self) -> None:
        if any(metric.plot for metric in self._metrics):
            lines = read_metrics(self._run.metrics_file)
            write_whole(self._run.loss_plot, plot_metrics(lines, self._metrics, self._title))
        if validated := read_metrics(self._run.validation_file):
            write_whole(self._run.validation_plot, plot_validation(validated, self._title))


def plot_metrics(lines: Sequence[dict[str, float]], metrics: Sequence[Metric], title: str) -> bytes:
    """Returns a PNG of the metrics with a plot label, and of their running means."""
    panels = [(metric.plot, [metric.name], metric.level) for metric in metrics if metric.plot]
    return _plot(lines, panels, title, with_means=True)


def plot_validation(lines: Sequence[dict[str, float]], title: str) -> bytes:
    """Returns a PNG of the validation metrics."""
    names = list(dict.fromkeys(name for line in lines for name in line))
    panels = []
    validated = (metric for metric in METRICS if metric.in_training)
    for _, group in itertools.groupby(validated, lambda metric: metric.measure):
        first, *others = group
        prefixes = ("", *(f"{direction}_" for direction in typing.get_args(Direction)))
        shown = {f"{prefix}{metric.name}" for prefix in prefixes for metric in (first, *others)}
        label = first.name.rpartition("_")[0] if others else first.label
        if first.better in ("lower", "higher"):
            label += f" ({first.direction})"
        panels.append((label, [name for name in names if name in shown], _LEVELS.get(first.better)))
    return _plot(lines, panels, title)


def _plot(
    lines: Sequence[dict[str, float]],
    panels: Sequence[tuple[str, Sequence[str], tuple[float, str] | None]],
    title: str,
    with_means: bool = False,
) -> bytes:
    """Returns a PNG of panels, each with a label, the names of its metrics and a reference line."""
    import matplotlib.figure  # imported here because it is slow

    figure = matplotlib.figure.Figure(figsize=(9, 1 + 2 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    axes[-1].set_xlabel("step")
    axes[0].set_title(title, fontproperties=Path(font_file_for(title)), fontsize="large")
    for axis, (label, names, level) in zip(axes, panels, strict=True):
        axis.grid(alpha=0.3)
        axis.set_ylabel(label)
        for name in names:
            points = [(line["step"], line[name]) for line in lines if name in line]
            steps, values = np.array(points, np.float64).reshape(-1, 2).T
            if with_means:
                axis.plot(steps, values, color="0.75", linewidth=1)
                axis.plot(steps, running_mean(values), color="tab:blue", linewidth=1.6)
            else:
                axis.plot(steps, values, marker=".", linewidth=1.6, label=name if names[1:] else None)
        if level is not None:
            axis.axhline(level[0], color="tab:red", linestyle=":", linewidth=1, label=level[1])
        if axis.get_legend_handles_labels()[1]:
            axis.legend(loc="best", fontsize="small")
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Ignores warnings about characters that the font lacks.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def running_mean(values: np.ndarray) -> np.ndarray:
    """Returns the centered moving average over a twentieth of the run; windows are cut at both ends."""
    if not len(values):
        return values
    reach = len(values) // 40
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - reach, 0), np.minimum(index + reach + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)
