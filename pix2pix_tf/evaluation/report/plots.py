"""The report's plots: power spectra and loss curves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import Locator, LogLocator, MaxNLocator

from pix2pix_tf.evaluation.results import Evaluation
from pix2pix_tf.recording.plots import running_mean

_NO_CURVE = ("step", "epoch", "seconds", "steps_per_second")
_POINTS = 240  # per curve; a plot can't resolve more


@dataclasses.dataclass(frozen=True)
class _Line:
    """A line of a plot; ``mark`` names its color and dashes.

    Faint lines show raw values behind their running mean. They are not in the legend.
    """

    name: str
    mark: int | str
    points: np.ndarray  # [points, 2]
    faint: bool = False


def spectrum_plots(evaluation: Evaluation, marks: Mapping[str, int]) -> list[dict[str, Any]]:
    """Returns plots of power spectra, absolute and relative to the targets, on logarithmic axes."""
    target_power = np.array(evaluation.targets.spectrum)
    powers, shares = [], []
    names: list[tuple[str, int | str]] = [*marks.items(), ("targets", "targets")]
    for (name, mark), result in zip(names, (*evaluation.models, evaluation.targets), strict=True):
        points = np.column_stack([evaluation.frequencies, result.spectrum])
        drawn = (points > 0).all(axis=1)  # logarithmic axes can't show 0
        powers.append(_Line(name, mark, points[drawn]))
        drawn &= target_power > 0
        share = points[drawn, 1] / target_power[drawn]
        shares.append(_Line(name, mark, np.column_stack([points[drawn, 0], share])))
    title = "Power relative to the targets"
    return [
        *_plot("Power", "cycles per pixel", "power", powers, logarithmic=True),
        *_plot(title, "cycles per pixel", "outputs / targets", shares, logarithmic=True),
    ]


def fine_detail(evaluation: Evaluation) -> dict[str, float]:
    """Returns each model's power at high frequencies relative to the targets'; empty if theirs is 0."""
    fine = np.asarray(evaluation.frequencies) >= 0.25
    target_power = np.asarray(evaluation.targets.spectrum)[fine].sum()
    return {
        model.name: np.asarray(model.spectrum)[fine].sum() / target_power
        for model in evaluation.models
        if target_power
    }


def curve_plots(
    curves: Mapping[str, Sequence[Mapping[str, float]]], marks: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Returns a plot per logged value, with the running mean of each model."""
    logged = dict.fromkeys(
        key for each in curves.values() for line in each for key in line if key not in _NO_CURVE
    )
    plots = []
    for value in logged:
        lines = []
        for name, records in curves.items():
            known = [
                (record["step"], record[value])
                for record in records
                if math.isfinite(record.get(value, math.nan))
            ]
            points = np.array(known, np.float64).reshape(-1, 2)
            if len(points) >= 40:  # with fewer, the mean equals the values
                lines.append(_Line(name, marks[name], _thinned(points), faint=True))
            mean = np.column_stack([points[:, 0], running_mean(points[:, 1])])
            lines.append(_Line(name, marks[name], _thinned(mean)))
        plots += _plot(value, "step", value, lines)
    return plots


def _thinned(points: np.ndarray) -> np.ndarray:
    """Averages neighboring points, to at most `_POINTS`."""
    each = -(-len(points) // _POINTS) or 1
    return np.array([points[at : at + each].mean(axis=0) for at in range(0, len(points), each)])


def _plot(
    title: str, x_label: str, y_label: str, lines: Sequence[_Line], logarithmic: bool = False
) -> list[dict[str, Any]]:
    """Returns a list of one plot in 1000x1000 units, or an empty list if there is nothing to draw."""
    lines = [line for line in lines if len(line.points)]
    if not lines:
        return []
    points = np.concatenate([line.points for line in lines])
    low, high = points.min(axis=0), points.max(axis=0)
    around = np.abs(low) / 2 + (low == 0)
    wider_low, wider_high = (low / 2, high * 2) if logarithmic else (low - around, high + around)
    flat = np.isclose(low, high, rtol=1e-9, atol=0)  # means of equal values can differ by rounding
    low, high = np.where(flat, wider_low, low), np.where(flat, wider_high, high)

    def place(values: Any, axis: int) -> Any:
        """Maps the range of an axis to 0 to 1000."""
        at, start, end = (np.log(each) if logarithmic else each for each in (values, low[axis], high[axis]))
        return 1000 * (at - start) / (end - start)

    def ticks(axis: int, locator: Locator, label: Callable[[float], str]) -> list[tuple[float, str]]:
        """Returns positions in percent, with their labels."""
        values = locator.tick_values(low[axis], high[axis])
        places = [(round(float(place(value, axis)) / 10, 2), label(value)) for value in values]
        return [(percent, text) for percent, text in places if -1 <= percent <= 101]

    def decimal(value: float) -> str:
        return f"{value:g}".replace("-", "−")

    if logarithmic:
        # Frequencies of checkerboard artifacts are 1/2, 1/4, 1/8 … cycles per pixel.
        x_ticks = ticks(0, LogLocator(2), lambda value: f"1/{1 / value:g}")
        y_ticks = ticks(1, LogLocator(subs=(1, 2, 5) if high[1] < 100 * low[1] else (1,)), decimal)
    else:
        x_ticks, y_ticks = (ticks(axis, MaxNLocator(5, steps=[1, 2, 5, 10]), decimal) for axis in (0, 1))
    drawn = []
    for line in lines:
        points = line.points if len(line.points) > 1 else line.points.repeat(2, axis=0)  # a dot
        places = zip(place(points[:, 0], 0), place(points[:, 1], 1), strict=True)
        drawn.append(vars(line) | {"points": " ".join(f"{x:.0f},{1000 - y:.0f}" for x, y in places)})
    plot = {
        "title": title,
        "x_label": x_label,
        "y_label": y_label,
        "x_ticks": x_ticks,
        "y_ticks": y_ticks,
        "lines": drawn,
    }
    return [plot]
