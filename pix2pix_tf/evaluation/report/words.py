"""Numbers and names as the report writes them."""

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

# Compact, and models and metrics keep their order, which Jinja would sort.
JSON_OPTIONS: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}


def number_text(value: float | None, width: float | None = None) -> str:
    """A number with as many decimals as its uncertainty, or else its size, deserves.

    Args:
        value: the number; None is written as a dash.
        width: of its interval, of which two digits are kept.
    """
    if value is None:
        return "–"
    scale = abs(width or value / 100)
    decimals = max(0, 1 - math.floor(math.log10(scale))) if scale else 0
    text = f"{value:.{decimals}f}" if decimals <= 8 else f"{value:.2e}"
    return text.replace("-", "−")


def interval_width(estimate: Mapping[str, Any]) -> float | None:
    """Returns how wide a value's interval is; None where it has none."""
    low, high = estimate.get("low"), estimate.get("high")
    return None if low is None or high is None else high - low


def listing(names: Sequence[str]) -> str:
    """Returns names as a sentence has them: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def label_of(results: Mapping[str, Any], metric: str) -> str:
    """Returns what the page calls a metric."""
    return str(results["metrics"].get(metric, {}).get("label", metric))


def target_value(results: Mapping[str, Any], metric: str) -> float | None:
    """Returns the targets' own value of a metric; None where they have none."""
    return ((results.get("targets") or {}).get("values", {}).get(metric) or {}).get("value")


def badness_of(results: Mapping[str, Any], metric: str, value: float | None) -> float | None:
    """How bad a value is: the more, the worse; None where that can't be told."""
    better = results["metrics"].get(metric, {}).get("better")
    if better is None or value is None or not math.isfinite(value):
        return None
    of_targets = target_value(results, metric)
    if of_targets is None:
        return None if better == "target" else badness(better, value, math.nan)
    return badness(better, value, of_targets)
