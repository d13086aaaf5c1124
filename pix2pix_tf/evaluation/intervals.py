"""How sure a number is: bootstrap intervals over the pictures (Efron 1979), paired where two are compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pix2pix_tf.evaluation.metrics import Metric, Value

RESAMPLES = 2000
LEVEL = 0.95
_AT_ONCE = 100  # resamples whose weights are in memory


class Interval(NamedTuple):
    """A value, and where it would lie with other pictures, at 95 %."""

    value: float
    low: float
    high: float


def interval(rows: np.ndarray, value: Value) -> Interval:
    """Returns a metric of a set, and its interval.

    Args:
        rows: a measurement, float [pictures, k].
        value: the metric.
    """
    return _around(float(value(rows.mean(axis=0))), np.concatenate([value(m) for m in _means(rows)]))


def difference(ours: np.ndarray, theirs: np.ndarray, metric: Metric) -> Interval:
    """Returns by how much a metric of a set exceeds that of another, which was painted from the same inputs.

    Args:
        ours: a measurement, float [pictures, k].
        theirs: the same of the other pictures, in the same order.
        metric: what is compared.
    """
    both = np.concatenate([ours, theirs], axis=1)

    def apart(means: np.ndarray) -> np.ndarray:
        a, b = np.split(means, 2, axis=-1)
        return metric.value(a) - metric.value(b)

    return interval(both, apart)


def is_larger_than_chance(apart: Interval, metric: Metric) -> bool:
    """Whether a difference tells two methods apart.

    Other pictures must give it, too (its interval does not hold 0), and it must exceed what another seed does
    to one and the same method, which no number of pictures shows.
    """
    return (apart.low > 0 or apart.high < 0) and abs(apart.value) > metric.seeds


def _means(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yields means [resamples, k] over pictures drawn with replacement, the same draws for every call."""
    random = np.random.default_rng(0)
    count = len(rows)
    for _ in range(0, RESAMPLES, _AT_ONCE):
        drawn = random.multinomial(count, np.full(count, 1 / count), _AT_ONCE)
        yield drawn @ rows / count


def _around(value: float, drawn: np.ndarray) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))
