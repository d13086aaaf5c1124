"""The data of the report's tables and bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pix2pix_tf.evaluation.intervals import Comparison
from pix2pix_tf.evaluation.results import Evaluation
from pix2pix_tf.metrics import Metric

Place = Callable[[float], float]  # maps a value to its position on a bar, in percent


def metric_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Returns a row per metric: the values of the models and the targets, and the best model."""
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
                "values": values,
                "own": own,
                "ideal": ideal,
                "best": best,
                "is_ahead": is_ahead,
                "place": _places(ends if ideal is None else [*ends, ideal]),
            }
        )
    return rows


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


def difference_tables(evaluation: Evaluation) -> dict[tuple[str, str], list[tuple[Comparison, Place]]]:
    """Returns the comparisons of each pair of models; their bars have 0 in the middle."""
    tables: dict[tuple[str, str], list[tuple[Comparison, Place]]] = {}
    for each in evaluation.comparisons:
        ends = (each.difference.value, each.difference.low, each.difference.high)
        place = _places([*ends, *(-end for end in ends)])
        tables.setdefault(each.models, []).append((each, place))
    return tables


def _places(values: Sequence[float]) -> Place:
    """Returns a function that maps the values' range to a bar, with margins."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low == high:
        low, high = low - 1, high + 1
    return lambda value: round(6 + 88 * (value - low) / (high - low), 2)
