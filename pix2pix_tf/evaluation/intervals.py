"""How sure a number is: Bayesian bootstrap intervals (Rubin 1981), paired where two models are compared.

A resample weighs every image and leaves none out, so a class that few images have, or a ratio to what few of
them have, is defined in each as in the whole set.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pix2pix_tf.evaluation.metrics import Metric, Value, badness

RESAMPLES = 2000
LEVEL = 0.95
FEWEST = 10
"""Pictures below which no difference is told from chance: of 5, intervals are so short that equal methods
differ in every sixth metric."""

_AT_ONCE = 100  # resamples that are computed together


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


class Comparison(NamedTuple):
    """Two sets of pictures that were painted from the same inputs.

    Args:
        apart: by how much the metric of the first exceeds that of the second.
        differs: that is larger than chance.
        better: 1 if the first is better by more than chance, -1 if the second is, else 0.
    """

    apart: Interval
    differs: bool
    better: int


def compare(ours: np.ndarray, theirs: np.ndarray, targets: np.ndarray, metric: Metric) -> Comparison:
    """Compares two sets by a metric.

    A difference tells two methods apart if other pictures would show it, too (its interval does not hold 0),
    and if it exceeds what another seed does to one and the same method, which no number of pictures shows.
    So does a difference in how bad they are: of two pictures one may be too sharp and one as much too soft.

    Args:
        ours: a measurement, float [pictures, k].
        theirs: the same of the other pictures, in the same order.
        targets: the same of the targets.
        metric: what is compared.
    """
    every = np.concatenate([ours, theirs, targets], axis=1)

    def apart(means: np.ndarray) -> np.ndarray:
        a, b, _ = (metric.value(each) for each in np.split(means, 3, axis=-1))
        return a - b

    def worse(means: np.ndarray) -> np.ndarray:
        a, b, target = (metric.value(each) for each in np.split(means, 3, axis=-1))
        return badness(metric.better, a, target) - badness(metric.better, b, target)

    found, behind = interval(every, apart), interval(every, worse)
    differs = _is_larger_than_chance(found, len(every), metric)
    is_ordered = differs and _is_larger_than_chance(behind, len(every), metric)
    return Comparison(found, differs, 0 if not is_ordered else 1 if behind.value < 0 else -1)


def _is_larger_than_chance(apart: Interval, count: int, metric: Metric) -> bool:
    return count >= FEWEST and (apart.low > 0 or apart.high < 0) and abs(apart.value) > metric.seeds


def _means(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yields weighted means [resamples, k] over the pictures, with the same weights for every call."""
    weights = _weights(len(rows))
    for start in range(0, RESAMPLES, _AT_ONCE):
        yield weights[start : start + _AT_ONCE].astype(np.float64) @ rows


@functools.lru_cache(maxsize=1)
def _weights(count: int) -> np.ndarray:
    """Returns the weights of each resample, of sum 1: float32 [resamples, pictures]."""
    weights = np.empty((RESAMPLES, count), np.float32)
    random, shape = np.random.default_rng(0), max(count - 1, 1) / count  # means vary as without weights
    for resample in weights:
        drawn = random.standard_gamma(shape, count)
        resample[:] = drawn / drawn.sum()
    return weights


def _around(value: float, drawn: np.ndarray) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # Histograms of a resample overlap less than those of the whole set, whose value is part of its interval.
    return Interval(value, min(float(low), value), max(float(high), value))
