"""The report's tables: text of cells and positions of bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pix2pix_tf.evaluation.report.words import DIRECTIONS, badness_of, interval_width, label_of, number_text

MARKS = 6  # number of model colors in the template


def marked_models(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the models, each with the index of its color."""
    return [
        {"name": name, "mark": index % MARKS, "path": model.get("path"), "step": model.get("step")}
        for index, (name, model) in enumerate(results["models"].items())
    ]


def metric_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns a row per metric: the models' cells, the targets' own value and the positions of bars."""
    rows = []
    targets = (results.get("targets") or {}).get("values", {})
    for metric, about in results["metrics"].items():
        found = {name: model["values"].get(metric) or {} for name, model in results["models"].items()}
        best, ahead = _best(results, metric, found)
        own = targets.get(metric) or {}
        ideal = 1.0 if about.get("better") == "one" else own.get("value")
        place = _places(_numbers_of(list(found.values()), own, ideal))
        cells = [
            {
                **_cell(estimate, place),
                "name": name,
                "mark": index % MARKS,
                "best": name == best,
                "ahead": ahead,
                "counted": estimate.get("count") not in (None, results.get("count")),
            }
            for index, (name, estimate) in enumerate(found.items())
        ]
        rows.append(
            {
                "metric": metric,
                "label": about.get("label", metric),
                "help": about.get("help", ""),
                "direction": DIRECTIONS.get(about.get("better"), ""),
                "cells": cells,
                "target": _cell(own, place) if own else None,
                "ideal": None if ideal is None else place(ideal),
            }
        )
    return rows


def _numbers_of(
    found: Sequence[Mapping[str, Any]], own: Mapping[str, Any], ideal: float | None
) -> list[float]:
    """Returns all values that a row's bars must show."""
    ends = [each.get(part) for each in (*found, own) for part in ("value", "low", "high")]
    return [value for value in (*ends, ideal) if value is not None]


def _places(values: Sequence[float]) -> Callable[[float], float]:
    """Returns a function from a value to its position on a bar in percent, with a margin on both sides."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    span = high - low or abs(high) or 1.0
    return lambda value: round(6 + 88 * (value - low) / span, 2)


def _cell(estimate: Mapping[str, Any], place: Callable[[float], float]) -> dict[str, Any]:
    """Returns value and interval as text, in full and as positions on a bar."""
    width = interval_width(estimate)
    parts = {part: estimate.get(part) for part in ("value", "low", "high")}
    return {
        "raw": parts,
        "text": {part: number_text(value, width) for part, value in parts.items()},
        "at": {part: None if value is None else place(value) for part, value in parts.items()},
        "has_interval": width is not None,
        "count": estimate.get("count"),
    }


def _best(
    results: Mapping[str, Any], metric: str, found: Mapping[str, Mapping[str, Any]]
) -> tuple[str | None, bool]:
    """Returns the best of several models, and whether it is significantly better than every other one."""
    ranks = {name: badness_of(results, metric, estimate.get("value")) for name, estimate in found.items()}
    known = {name: rank for name, rank in ranks.items() if rank is not None}
    if not results.get("comparisons") or len(set(known.values())) < 2:
        return None, False
    best = min(known, key=lambda name: known[name])
    beaten = {
        name
        for each in results.get("comparisons") or []
        if each["metric"] == metric and each["larger_than_chance"] and each.get("better") == best
        for name in each["models"]
    }
    return best, beaten >= set(known)


def difference_tables(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the differences of metrics for each pair of models."""
    pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    marks = {model["name"]: model["mark"] for model in marked_models(results)}
    for found in results.get("comparisons") or []:
        first, second = found["models"]
        pairs.setdefault((first, second), []).append(
            {
                **_cell(found, _around_zero(found)),
                "metric": found["metric"],
                "label": label_of(results, found["metric"]),
                "help": results["metrics"].get(found["metric"], {}).get("help", ""),
                "larger": found["larger_than_chance"],
                "better": found.get("better"),
                "mark": marks.get(found.get("better") if found["larger_than_chance"] else None, "none"),
            }
        )
    return [{"first": first, "second": second, "rows": rows} for (first, second), rows in pairs.items()]


def _around_zero(found: Mapping[str, Any]) -> Callable[[float], float]:
    """Like `_places`, with 0 in the middle."""
    ends = [abs(found[part]) for part in ("value", "low", "high") if found.get(part) is not None]
    reach = max(ends, default=0) or 1.0
    return lambda value: round(50 + 44 * value / reach, 2)
