"""The data of the report's tables and bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pix2pix_tf.evaluation.report.text import DIRECTIONS
from pix2pix_tf.evaluation.results import Evaluation
from pix2pix_tf.metrics import Metric


def metric_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Returns a row per metric: the values of the models and the targets, and the best model.

    A row's ``place`` maps a value to its position on the bars, in percent.
    """
    rows = []
    for metric in evaluation.metrics:
        values = [model.values.get(metric.name) for model in evaluation.models]
        own = evaluation.targets.values.get(metric.name)
        ideal = 1.0 if metric.better == "one" else own.value if own else None
        ends = [end for each in (*values, own) if each for end in (each.value, each.low, each.high)]
        best, is_ahead = _best(evaluation, metric)
        rows.append(
            {
                "metric": metric,
                "direction": DIRECTIONS[metric.better],
                "values": values,
                "own": own,
                "ideal": ideal,
                "best": best,
                "is_ahead": is_ahead,
                "place": _places(ends if ideal is None else [*ends, ideal]),
            }
        )
    return rows


def _places(values: Sequence[float]) -> Callable[[float], float]:
    """Returns a function that maps a value to its position on a bar, in percent, with margins."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    span = high - low or abs(high) or 1.0
    return lambda value: round(6 + 88 * (value - low) / span, 2)


def _best(evaluation: Evaluation, metric: Metric) -> tuple[str | None, bool]:
    """Returns the best model, and whether it is better than each other model beyond chance."""
    badness = {
        model.name: evaluation.badness(metric, model.values[metric.name].value)
        for model in evaluation.models
        if metric.name in model.values
    }
    if not evaluation.comparisons or len(set(badness.values())) < 2:
        return None, False
    best = min(badness, key=lambda name: badness[name])
    won = [each for each in evaluation.comparisons if each.metric == metric and each.better == best]
    return best, {name for each in won for name in each.models} >= set(badness)


def difference_tables(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Returns the comparisons of each pair of models; their bars have 0 in the middle."""

    def around_zero(*ends: float) -> Callable[[float], float]:
        reach = max(map(abs, ends)) or 1.0
        return lambda value: round(50 + 44 * value / reach, 2)

    pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for each in evaluation.comparisons:
        difference = each.difference
        place = around_zero(difference.value, difference.low, difference.high)
        pairs.setdefault(each.models, []).append({"comparison": each, "place": place})
    return [{"models": models, "rows": rows} for models, rows in pairs.items()]
