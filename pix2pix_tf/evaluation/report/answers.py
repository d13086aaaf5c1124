"""Reads the answer files of the report's "real or fake?" game."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from pix2pix_tf.errors import DataError
from pix2pix_tf.evaluation.intervals import Estimate
from pix2pix_tf.files import first_line
from pix2pix_tf.metrics import Metric

REAL = "real"  # key of the real images in an answer file

ANSWERS_FORMAT = 1

TAKEN_FOR_REAL = Metric(
    "taken_for_real",
    "taken for real",
    "share of images that people took for real in the report's 'real or fake?' game",
    "higher",
)

_WIDTH_95 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution


def answers_key(model: str) -> str:
    """Returns a model's key in an answer file; it never equals `REAL`."""
    return f"{model} (model)" if model == REAL else model


def wilson_interval(taken: int, shown: int) -> tuple[float, float]:
    """Returns Wilson's 95 % interval of a share; it is valid for few answers and for shares near 0 and 1."""
    share, square = taken / shown, _WIDTH_95**2
    center = share + square / (2 * shown)
    reach = _WIDTH_95 * math.sqrt(share * (1 - share) / shown + square / (4 * shown**2))
    low, high = (center - reach) / (1 + square / shown), (center + reach) / (1 + square / shown)
    return max(0.0, low), min(1.0, high)


def read_answers(paths: Sequence[Path]) -> dict[str, Estimate]:
    """Returns the share of images taken for real, for each model and for `REAL`."""
    found: dict[str, list[bool]] = {}
    for path in paths:
        try:
            content = json.loads(path.read_bytes())
            if content["format"] != ANSWERS_FORMAT:
                raise ValueError(f"format {content['format']}, not {ANSWERS_FORMAT}")
            for answer in content["answers"]:
                model, taken = answer["model"], answer["taken_for_real"]
                if not isinstance(taken, bool) or answer["real"] is not (model == REAL):
                    raise ValueError(f"invalid answer for {model!r}")
                found.setdefault(model, []).append(taken)
        except PermissionError:
            raise
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f"{path}: not an answer file of a report ({first_line(error)}); save the answers in the "
                "report again"
            ) from None
    return {
        model: Estimate(
            sum(answers) / len(answers), *wilson_interval(sum(answers), len(answers)), len(answers)
        )
        for model, answers in found.items()
    }
