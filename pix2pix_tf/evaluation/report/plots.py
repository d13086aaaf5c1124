"""The report's plots: power spectra and loss curves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pix2pix_tf.evaluation.report.text import MARKS
from pix2pix_tf.evaluation.results import Evaluation
from pix2pix_tf.recording.plots import running_mean

_POINTS = 240  # of a curve: more than the plot can resolve


@dataclasses.dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Returns the position of a value: 0 at the start of the axis, 1 at the end."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return (value - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Returns positions in percent of the axis, with their labels."""
        values = self._powers() if self.logarithmic else self._steps()
        return [(round(100 * self.at(value), 2), f"{value:g}".replace("-", "−")) for value in values]

    def _steps(self) -> list[float]:
        rough = (self.high - self.low or 1.0) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(index * step, 12) for index in range(first, last + 1)]

    def _powers(self) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        every = max(1, (last - first) // 5)
        factors = (1, 2, 5) if last - first <= 2 else (1,)
        values = [factor * 10.0**power for power in range(first, last + 1, every) for factor in factors]
        return [value for value in values if self.low <= value <= self.high]


@dataclasses.dataclass(frozen=True)
class _Line:
    """A line of a plot.

    Args:
        mark: index of its color; ``None`` for the targets, which are dashed.
        points: float [points, 2], x and y.
        faint: raw values whose mean is another line; not in the legend.
    """

    name: str
    mark: int | None
    points: np.ndarray
    faint: bool = False


def _plot(
    title: str,
    labels: tuple[str, str],
    lines: Sequence[_Line],
    x_ticks: Callable[[_Axis], list[tuple[float, str]]] = _Axis.ticks,
    logarithmic: tuple[bool, bool] = (False, False),
) -> dict[str, Any] | None:
    """Returns lines for the template, in a square of side 1000, or ``None`` if there is nothing to draw."""
    lines = [line for line in lines if len(line.points)]
    if not lines:
        return None
    points = np.concatenate([line.points for line in lines])
    (x_low, y_low), (x_high, y_high) = points.min(axis=0), points.max(axis=0)
    x, y = _Axis(x_low, x_high, logarithmic[0]), _Axis(y_low, y_high, logarithmic[1])
    if x_low == x_high:
        x = _Axis(x_low - 1, x_high + 1)
    if y_low == y_high:
        y = _Axis(y_low / 2, y_high * 2, True) if logarithmic[1] else _Axis(y_low - 1, y_high + 1)
    return {
        "title": title,
        "x_label": labels[0],
        "y_label": labels[1],
        "x_ticks": x_ticks(x),
        "y_ticks": y.ticks(),
        "lines": [
            {"name": line.name, "mark": line.mark, "faint": line.faint, "points": _path(line.points, x, y)}
            for line in lines
        ],
    }


def _path(points: np.ndarray, x: _Axis, y: _Axis) -> str:
    if len(points) == 1:
        points = np.repeat(points, 2, axis=0)  # drawn as a dot, because line ends are round
    return " ".join(f"{1000 * x.at(h):.0f},{1000 - 1000 * y.at(v):.0f}" for h, v in points.tolist())


def spectrum_plots(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Returns plots of power spectra, absolute and relative to the targets, on logarithmic axes."""
    lines = _spectra(evaluation)
    x_label = "cycles per pixel"
    whole = _plot("Power", (x_label, "power"), lines, _octaves, (True, True))
    targets = dict(lines[-1].points.tolist())
    shares = []
    for line in lines:
        points = [(x, y / targets[x]) for x, y in line.points.tolist() if x in targets]
        shares.append(dataclasses.replace(line, points=np.array(points, np.float64).reshape(-1, 2)))
    share = _plot(
        "Power relative to the targets", (x_label, "outputs / targets"), shares, _octaves, (True, True)
    )
    return [plot for plot in (whole, share) if plot]


def _spectra(evaluation: Evaluation) -> list[_Line]:
    """Returns the models' spectra, and last the targets'."""
    marked = [(model.name, index % MARKS, model.spectrum) for index, model in enumerate(evaluation.models)]
    lines = []
    for name, mark, spectrum in (*marked, ("targets", None, evaluation.targets.spectrum)):
        points = np.column_stack([evaluation.frequencies, spectrum])
        lines.append(_Line(name, mark, points[(points > 0).all(axis=1)]))  # logarithmic axes can't show 0
    return lines


def _octaves(axis: _Axis) -> list[tuple[float, str]]:
    """Returns ticks at 1/2, 1/4, 1/8 … cycles per pixel, the periods of checkerboard artifacts."""
    periods = [2**power for power in range(1, 14) if axis.low <= 0.5**power <= axis.high * 1.02]
    return [(round(100 * axis.at(1 / period), 2), f"1/{period}") for period in periods]


def fine_detail(evaluation: Evaluation) -> list[str]:
    """Returns a sentence per model that compares the power of its finest detail with the targets'."""
    sentences = []
    fine = np.asarray(evaluation.frequencies) >= 0.25
    of_targets = np.asarray(evaluation.targets.spectrum)[fine].sum()
    for model in evaluation.models:
        if of_targets:
            share = np.asarray(model.spectrum)[fine].sum() / of_targets
            sentences.append(
                f"In details of 2 to 4 pixels {model.name} has {share:.0%} of the targets’ power."
            )
    return sentences


def curve_plots(
    evaluation: Evaluation, curves: Mapping[str, Sequence[Mapping[str, float]]]
) -> list[dict[str, Any]]:
    """Returns one plot per logged value, with each model's running mean."""
    logged = dict.fromkeys(key for lines in curves.values() for line in lines for key in line)
    plots = []
    for value in logged:
        if value == "step":
            continue
        lines = []
        for index, model in enumerate(evaluation.models):
            known = [
                (line["step"], line[value])
                for line in curves.get(model.name, ())
                if math.isfinite(line.get(value, math.nan))
            ]
            points = np.array(known, np.float64).reshape(-1, 2)
            mark = index % MARKS
            if len(points) >= 40:  # with fewer, the mean equals the values
                lines.append(_Line(model.name, mark, _thinned(points), faint=True))
            mean = np.column_stack([points[:, 0], running_mean(points[:, 1])])
            lines.append(_Line(model.name, mark, _thinned(mean)))
        plots.append(_plot(value, ("step", value), lines))
    return [plot for plot in plots if plot]


def _thinned(points: np.ndarray) -> np.ndarray:
    """Averages neighboring points, to at most `_POINTS`."""
    if len(points) <= _POINTS:
        return points
    each = -(-len(points) // _POINTS)
    return np.array([points[at : at + each].mean(axis=0) for at in range(0, len(points), each)])
