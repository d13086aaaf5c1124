"""losses.png: the metrics of a run over its steps."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np

from pix2pix_tf.models.base import Metric


def plot_metrics(lines: Sequence[dict[str, float]], metrics: Sequence[Metric], title: str) -> bytes:
    """Returns a PNG of the metrics that have a name in plots, with their running means.

    Args:
        lines: of metrics.jsonl.
        metrics: what is measured.
        title: the line at the top.
    """
    import matplotlib.figure  # here, because nothing else needs it and it takes a while

    shown = [metric for metric in metrics if metric.plot]
    figure = matplotlib.figure.Figure(figsize=(9, 1 + 2 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axis, metric in zip(axes, shown, strict=True):
        # An earlier release, which the run was begun with, may have measured less.
        points = [(line["step"], line[metric.name]) for line in lines if metric.name in line]
        steps, values = np.array(points, np.float64).reshape(-1, 2).T
        axis.plot(steps, values, color="0.75", linewidth=1)
        axis.plot(steps, running_mean(values), color="tab:blue", linewidth=1.6)
        axis.set_ylabel(metric.plot)
        axis.grid(alpha=0.3)
        if metric.level is not None:
            level, meaning = metric.level
            axis.axhline(level, color="tab:red", linestyle=":", linewidth=1, label=meaning)
            axis.legend(loc="upper right")
    axes[-1].set_xlabel("step")
    axes[0].set_title(title)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The font may lack letters of the data set's name: no reason to write to the screen.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def running_mean(values: np.ndarray) -> np.ndarray:
    """Returns the centred mean over a twentieth of the run, over fewer values at both ends.

    Args:
        values: float [values].
    """
    if not len(values):
        return values
    reach = len(values) // 40
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - reach, 0), np.minimum(index + reach + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)
