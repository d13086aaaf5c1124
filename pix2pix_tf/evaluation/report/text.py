"""Numbers, names and marks of the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pix2pix_tf.evaluation.intervals import Estimate
from pix2pix_tf.evaluation.results import Evaluation

DIRECTIONS = {
    "lower": "lower is better",
    "higher": "higher is better",
    "one": "closer to 1 is better",
    "target": "best up to the targets’ value",
}

_MARKS = 6  # colors in the template

# Compact, and in the order of models and metrics: Jinja sorts keys by default.
JSON_OPTIONS: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}


def color_marks(evaluation: Evaluation) -> dict[str, int]:
    """Returns the index of each model's color in the template."""
    return {model.name: index % _MARKS for index, model in enumerate(evaluation.models)}


def number_text(value: float, estimate: Estimate) -> str:
    """Formats a value to two digits of its interval's width, or by its size if the width is 0."""
    scale = (estimate.high - estimate.low) or abs(value) / 100
    decimals = max(0, 1 - math.floor(math.log10(scale))) if scale else 0
    text = f"{value:.{decimals}f}" if decimals <= 8 else f"{value:.2e}"
    return text.replace("-", "−")


def listing(names: Sequence[str]) -> str:
    """Joins names as in a sentence: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
