"""The results of an evaluation, as JSON and as a table for the terminal."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pix2pix_tf.evaluation.intervals import Comparison, Estimate
from pix2pix_tf.metrics import Metric
from pix2pix_tf.wording import counted


@dataclasses.dataclass(frozen=True)
class Result:
    """Metrics by name and the mean power spectrum of a model's outputs, or of the targets.

    ``trained_on`` counts the evaluated pairs that the model was trained on.
    """

    name: str
    path: str
    step: int | None
    trained_on: int
    values: dict[str, Estimate]
    spectrum: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The content of metrics.json.

    Args:
        image_size: height and width that pairs were compared at; ``None`` if each pair has its own.
        packages: versions by package name.
        metrics: the metrics in display order.
        targets: metrics of the targets themselves.
        frequencies: frequencies of the spectra, in cycles per pixel.
        comparisons: a comparison per pair of models and metric; empty if there are too few images.
        left_out: reasons by the name of the omitted result.
        inception: the network used for FID and KID, if they were computed.
    """

    dataset: str
    split: str
    direction: str
    count: int
    image_size: tuple[int, int] | None
    packages: Mapping[str, str]
    metrics: Sequence[Metric]
    models: Sequence[Result]
    targets: Result
    frequencies: Sequence[float]
    comparisons: Sequence[Comparison]
    left_out: Mapping[str, str]
    inception: Mapping[str, str] | None = None

    def badness(self, metric: Metric, value: float) -> float:
        """Returns a number that is higher for worse values of a metric."""
        own = self.targets.values.get(metric.name)
        return float(metric.badness(value, own.value if own else 0.0))

    def to_json(self) -> dict[str, Any]:
        """Returns the content of metrics.json."""

        def numbers(result: Result) -> dict[str, Any]:
            values = {name: _estimate_json(value) for name, value in result.values.items()}
            return {"values": values, "spectrum": result.spectrum}

        return vars(self) | {
            "metrics": {
                each.name: {"label": each.label, "better": each.better, "help": each.help}
                for each in self.metrics
            },
            "models": {
                each.name: {
                    "path": each.path,
                    "step": each.step,
                    "trained_on": each.trained_on,
                    **numbers(each),
                }
                for each in self.models
            },
            "targets": numbers(self.targets),
            "comparisons": [
                {
                    "metric": each.metric.name,
                    "models": list(each.models),
                    **_estimate_json(each.difference),
                    "larger_than_chance": each.larger_than_chance,
                    "better": each.better,
                }
                for each in self.comparisons
            ],
            "left_out": [{"metric": metric, "because": because} for metric, because in self.left_out.items()],
        }

    def table(self) -> str:
        """Returns a table of all metrics with intervals, then the significant differences and omissions."""
        table = Table(
            title=f"{escape(self.dataset)} {self.split}, {counted(self.count, 'pair')}, {self.direction}"
        )
        table.add_column("")
        for name in (*(model.name for model in self.models), "targets"):
            table.add_column(escape(name), justify="right")
        columns = [*(model.values for model in self.models), self.targets.values]
        for metric in self.metrics:
            table.add_row(metric.label, *(_cell(values.get(metric.name)) for values in columns))
        text = io.StringIO()
        console = Console(file=text, width=30 + 26 * len(columns), highlight=False)
        console.print(table)
        lines = [
            f"{each.metric.label}: {each.better} is better than {other}, by more than chance"
            for each in self.comparisons
            for other in each.models
            if each.better and other != each.better
        ]
        if lines:
            lines.append("before trusting this, train again with another --seed, especially after few steps")
        elif self.comparisons:
            lines.append("no model is better than another by more than chance")
        for line in lines:
            console.print(line, markup=False, soft_wrap=True)
        for metric_name, because in self.left_out.items():
            console.print(f"left out: {metric_name}: {because}", markup=False, soft_wrap=True)
        return text.getvalue().rstrip()


def _estimate_json(estimate: Estimate) -> dict[str, float]:
    """Rounds to six digits; more digits would be noise."""
    rounded = {name: float(f"{getattr(estimate, name):.6g}") for name in ("value", "low", "high")}
    return {**rounded, "count": estimate.count}


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.low == estimate.high:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} ({estimate.low:.4g}–{estimate.high:.4g})"
