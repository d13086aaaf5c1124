"""The report's tables: text of cells and positions of bars."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pix2pix_tf.evaluation.intervals import Comparison, Estimate
from pix2pix_tf.evaluation.report.text import DIRECTIONS, MARKS, number_text
from pix2pix_tf.evaluation.results import Evaluation
from pix2pix_tf.metrics import Metric


def metric_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Returns a row per metric: the models' cells, the targets' own value and the positions of bars."""
    rows = []
    for metric in evaluation.metrics:
        estimates = {model.name: model.values.get(metric.name) for model in evaluation.models}
        known = {name: each for name, each in estimates.items() if each is not None}
        own = evaluation.targets.values.get(metric.name)
        best, is_ahead = _best(evaluation, metric, known)
        ideal = 1.0 if metric.better == "one" else own.value if own else None
        shown = [*known.values(), *([own] if own else [])]
        ends = [end for each in shown for end in (each.value, each.low, each.high)]
        place = _places([*ends, *([] if ideal is None else [ideal])])
        cells = [
            {
                **(_cell(each, place) if each else {"raw": None}),
                "name": name,
                "mark": index % MARKS,
                "best": name == best,
                "ahead": is_ahead,
                "counted": each is not None and each.count != evaluation.count,
            }
            for index, (name, each) in enumerate(estimates.items())
        ]
        rows.append(
            {
                "label": metric.label,
                "help": metric.help,
                "direction": DIRECTIONS[metric.better],
                "cells": cells,
                "target": _cell(own, place) if own else None,
                "ideal": None if ideal is None else place(ideal),
            }
        )
    return rows


def _places(values: Sequence[float]) -> Callable[[float], float]:
    """Returns a function from a value to its position on a bar in percent, with a margin on both sides."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    span = high - low or abs(high) or 1.0
    return lambda value: round(6 + 88 * (value - low) / span, 2)


def _cell(estimate: Estimate, place: Callable[[float], float]) -> dict[str, Any]:
    """Returns value and interval as numbers, as text and as positions on a bar."""
    raw = dataclasses.asdict(estimate)
    count = raw.pop("count")
    return {
        "raw": raw,
        "text": {part: number_text(value, estimate) for part, value in raw.items()},
        "at": {part: place(value) for part, value in raw.items()},
        "count": count,
    }


def _best(
    evaluation: Evaluation, metric: Metric, estimates: Mapping[str, Estimate]
) -> tuple[str | None, bool]:
    """Returns the best of several models, and whether it is better than every other one beyond chance."""
    own = evaluation.targets.values.get(metric.name)
    badness = {
        name: metric.badness(each.value, own.value if own else 0.0) for name, each in estimates.items()
    }
    if not evaluation.comparisons or len(set(badness.values())) < 2:
        return None, False
    best = min(badness, key=lambda name: badness[name])
    beaten = {
        name
        for each in evaluation.comparisons
        if each.metric == metric and each.better == best
        for name in each.models
    }
    return best, beaten >= set(badness)


def difference_tables(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Returns the differences of metrics for each pair of models."""
    marks = {model.name: index % MARKS for index, model in enumerate(evaluation.models)}
    pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for each in evaluation.comparisons:
        pairs.setdefault(each.models, []).append(
            {
                **_cell(each.difference, _around_zero(each)),
                "label": each.metric.label,
                "help": each.metric.help,
                "larger": each.larger_than_chance,
                "better": each.better,
                "mark": "none" if each.better is None else marks[each.better],
            }
        )
    return [{"first": first, "second": second, "rows": rows} for (first, second), rows in pairs.items()]


def _around_zero(comparison: Comparison) -> Callable[[float], float]:
    """Like `_places`, with 0 in the middle."""
    difference = comparison.difference
    reach = max(map(abs, (difference.value, difference.low, difference.high))) or 1.0
    return lambda value: round(50 + 44 * value / reach, 2)
