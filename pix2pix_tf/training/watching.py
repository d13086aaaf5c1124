"""Decides when to evaluate on held-out pairs, and whether the result is the best so far."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pix2pix_tf.config import RecordConfig
from pix2pix_tf.evaluation.measure import Validation
from pix2pix_tf.metrics import METRICS
from pix2pix_tf.models.base import Translate

_SHARE = 0.03  # share of time for evaluation if no interval is set


class Watch:
    """Evaluates on held-out pairs during training.

    ``validation`` is ``None`` if there are no targets. ``best`` has the metrics of the best checkpoint so
    far.
    """

    def __init__(self, validation: Validation | None, record: RecordConfig, best: Mapping[str, Any] | None):
        self._validation = validation
        self._record = record
        [metric] = [metric for metric in METRICS if metric.name == record.best_metric]
        self._sign = -1.0 if metric.better == "lower" else 1.0
        self._best = self._score(best) if best is not None else None
        self._took = 0.0
        self._since = time.perf_counter()

    def is_due(self, step: int, is_last: bool) -> bool:
        if self._validation is None:
            return False
        if self._record.evaluate_every is not None:
            return is_last or step % self._record.evaluate_every == 0
        affordable = self._took <= _SHARE * (time.perf_counter() - self._since)
        return is_last or (affordable and step % self._record.sample_every == 0)

    def look(self, paint: Mapping[str, Translate]) -> tuple[dict[str, float], bool]:
        """Returns the metrics of generators by name, and whether they are the best so far."""
        assert self._validation is not None  # checked by `is_due`
        start = time.perf_counter()
        values = self._validation.measure(paint)
        self._since = time.perf_counter()
        self._took = self._since - start
        score = self._score(values)
        is_best = score is not None and (self._best is None or score > self._best)
        if is_best:
            self._best = score
        return values, is_best

    def _score(self, values: Mapping[str, float]) -> float | None:
        """Returns the best metric's value, negated if lower is better; a mean if there are two directions."""
        name = self._record.best_metric
        found = [value for key, value in values.items() if key == name or key.endswith(f"_{name}")]
        return self._sign * sum(found) / len(found) if found else None
