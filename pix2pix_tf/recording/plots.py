"""losses.png and validation.png: what was measured in a run, over its steps."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pix2pix_tf.fonts import font_file_for
from pix2pix_tf.models.base import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A panel each: its label, what the names of its metrics end with, and a level worth a line.
_OF_PICTURES: tuple[tuple[str, str, tuple[float, str] | None], ...] = (
    ("L1 (lower is better)", "l1", None),
    ("SSIM (higher is better)", "ssim", None),
    ("sharpness", "sharpness", (1.0, "1: as sharp as the targets")),
    ("grid at 2 to 16 px", r"grid_\d+", (1.0, "1: none")),
)


def plot_metrics(lines: Sequence[dict[str, float]], metrics: Sequence[Metric], title: str) -> bytes:
    """Returns a PNG of the metrics that have a name in plots, with their running means.

    Args:
        lines: of metrics.jsonl.
        metrics: what is measured.
        title: the line at the top.
    """
    shown = [metric for metric in metrics if metric.plot]
    figure, axes = _panels(len(shown), title)
    for axis, metric in zip(axes, shown, strict=True):
        steps, values = _points(lines, metric.name)
        axis.plot(steps, values, color="0.75", linewidth=1)
        axis.plot(steps, running_mean(values), color="tab:blue", linewidth=1.6)
        axis.set_ylabel(metric.plot)
        _mark(axis, metric.level)
    return _png(figure)


def plot_validation(lines: Sequence[dict[str, float]], title: str) -> bytes:
    """Returns a PNG of how good the pictures of held-out images were.

    Args:
        lines: of validation.jsonl.
        title: the line at the top.
    """
    figure, axes = _panels(len(_OF_PICTURES), title)
    names = list(dict.fromkeys(name for line in lines for name in line))
    for axis, (label, ending, level) in zip(axes, _OF_PICTURES, strict=True):
        found = [name for name in names if re.fullmatch(f"(.*_)?{ending}", name)]
        for name in found:
            axis.plot(*_points(lines, name), marker=".", linewidth=1.6, label=name if found[1:] else None)
        axis.set_ylabel(label)
        _mark(axis, level)
    return _png(figure)


def _panels(count: int, title: str) -> tuple[Figure, Sequence[Axes]]:
    import matplotlib.figure  # here, because nothing else needs it and it takes a while

    figure = matplotlib.figure.Figure(figsize=(9, 1 + 2 * count), layout="constrained")
    axes = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    axes[-1].set_xlabel("step")
    file = font_file_for(title)
    axes[0].set_title(title, fontproperties=Path(file) if file else None, fontsize="large")
    for axis in axes:
        axis.grid(alpha=0.3)
    return figure, list(axes)


def _points(lines: Sequence[dict[str, float]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns steps and values; an earlier release, which the run was begun with, may have measured less."""
    points = [(line["step"], line[name]) for line in lines if name in line]
    steps, values = np.array(points, np.float64).reshape(-1, 2).T
    return steps, values


def _mark(axis: Axes, level: tuple[float, str] | None) -> None:
    """Draws a line at a level, and says what lines mean where there are several."""
    if level is not None:
        axis.axhline(level[0], color="tab:red", linestyle=":", linewidth=1, label=level[1])
    if axis.get_legend_handles_labels()[1]:
        axis.legend(loc="best", fontsize="small")


def _png(figure: Figure) -> bytes:
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
