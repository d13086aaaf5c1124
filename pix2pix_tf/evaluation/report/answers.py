"""Answers from the report's "real or fake?" game, as the page saves them."""

from __future__ import annotations

import collections
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.evaluation.intervals import Estimate
from pix2pix_tf.metrics import Metric

REAL = "real"  # key of the data set's real images in a file of answers

ANSWERS_FORMAT = 1

TAKEN_FOR_REAL = Metric(
    "taken_for_real",
    "taken for real",
    "share of images that people took for real in 'real or fake?' of a report",
    "higher",
)

_WIDTH_95 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution


def answers_key(model: str) -> str:
    """Returns a model's key in a file of answers, which must differ from that of the real images."""
    return f"{model} (model)" if model == REAL else model


def wilson_interval(taken: int, shown: int) -> tuple[float, float]:
    """Returns Wilson's 95 % interval of a share, which also holds for few answers and extreme shares.

    ``taken`` of ``shown`` were counted. For ``shown`` 0 the interval is [0, 1].
    """
    if not shown:
        return 0.0, 1.0
    share, square = taken / shown, _WIDTH_95**2
    centre = share + square / (2 * shown)
    reach = _WIDTH_95 * math.sqrt(share * (1 - share) / shown + square / (4 * shown**2))
    low, high = (centre - reach) / (1 + square / shown), (centre + reach) / (1 + square / shown)
    return max(0.0, low), min(1.0, high)


def read_answers(paths: Sequence[Path]) -> dict[str, Estimate]:
    """Returns the share taken for real, for each model and for `REAL`, of JSON files that the game saved."""
    taken, shown = collections.Counter[str](), collections.Counter[str]()
    for path in paths:
        for name, (taken_here, shown_here) in _count(path, _content(path)).items():
            taken[name] += taken_here
            shown[name] += shown_here
    return {
        name: Estimate(taken[name] / max(count, 1), *wilson_interval(taken[name], count), count)
        for name, count in shown.items()
    }


def _content(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise DataError(f"{path}: no such file; give one that the report's game has saved") from None
    except OSError as error:
        raise SystemFault(f"{path}: can't be read ({error.strerror or error})") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}: damaged: not JSON; save the answers again") from None


def _count(path: Path, content: Any) -> dict[str, tuple[int, int]]:
    """Returns, for each model, the number of images taken for real and of all images; checks the file."""

    def damaged(what: str) -> DataError:
        return DataError(f"{path}: {what}; save the answers again")

    if not isinstance(content, dict) or "format" not in content:
        raise damaged("not the answers of a report's game")
    if content["format"] != ANSWERS_FORMAT or isinstance(content["format"], bool):
        raise damaged(f"answers of format {content['format']!r}, not {ANSWERS_FORMAT}")
    models, answers = content.get("models"), content.get("answers")
    if not isinstance(models, dict) or not isinstance(answers, list):
        raise damaged("damaged: models or answers are missing")
    found: dict[str, list[bool]] = {name: [] for name in models}
    for number, answer in enumerate(answers, 1):
        if not _is_answer(answer) or answer["model"] not in found:
            raise damaged(f"damaged: answer {number} can't be read")
        found[answer["model"]].append(answer["taken_for_real"])
    counted = {name: (sum(taken), len(taken)) for name, taken in found.items()}
    for name, stated in models.items():
        if (
            not isinstance(stated, dict)
            or (stated.get("taken_for_real"), stated.get("shown")) != counted[name]
        ):
            raise damaged(f"damaged: the counts of {name!a} aren't those of its answers")
    return counted


def _is_answer(answer: Any) -> bool:
    return (
        isinstance(answer, dict)
        and all(isinstance(answer.get(key), str) for key in ("picture", "model"))
        and all(isinstance(answer.get(key), bool) for key in ("real", "taken_for_real"))
        and answer["real"] == (answer["model"] == REAL)
    )
