"""Formats numbers and names for the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pix2pix_tf.evaluation.metrics import badness

DIRECTIONS = {
    "lower": "lower is better",
    "higher": "higher is better",
    "one": "nearer to 1 is better",
    "target": "no more than the targets’ own is best",
}

# Compact; Jinja's default would sort models and metrics.
JSON_OPTIONS: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}


def number_text(value: float | None, width: float | None = None) -> str:
    """Formats a number to two digits of its interval's ``width``, or by its size; ``None`` as a dash."""
    if value is None:
        return "–"
    scale = abs(width or value / 100)
    decimals = max(0, 1 - math.floor(math.log10(scale))) if scale else 0
    text = f"{value:.{decimals}f}" if decimals <= 8 else f"{value:.2e}"
    return text.replace("-", "−")


def interval_width(estimate: Mapping[str, Any]) -> float | None:
    low, high = estimate.get("low"), estimate.get("high")
    return None if low is None or high is None else high - low


def listing(names: Sequence[str]) -> str:
    """Joins names as in a sentence: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def label_of(results: Mapping[str, Any], metric: str) -> str:
    return str(results["metrics"].get(metric, {}).get("label", metric))


def target_value(results: Mapping[str, Any], metric: str) -> float | None:
    """Returns the targets' own value of a metric; ``None`` if there is none."""
    return ((results.get("targets") or {}).get("values", {}).get(metric) or {}).get("value")


def badness_of(results: Mapping[str, Any], metric: str, value: float | None) -> float | None:
    """Returns a number that is higher for worse values; ``None`` if the metric has no direction."""
    better = results["metrics"].get(metric, {}).get("better")
    if better is None or value is None or not math.isfinite(value):
        return None
    of_targets = target_value(results, metric)
    if of_targets is None:
        return None if better == "target" else badness(better, value, math.nan)
    return badness(better, value, of_targets)
